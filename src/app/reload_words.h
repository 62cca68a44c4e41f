/*
 * What a reload tells the operator.
 */
#ifndef WEIR_APP_RELOAD_WORDS_H
#define WEIR_APP_RELOAD_WORDS_H

#include "app/line.h"
#include "config/compare.h"
#include "config/config.h"

/* Where it is told, a line each, without newline; `level` is enum config_log_level. */
struct reload_teller {
	void (*tell)(void *context, int level, const char *text);
	void *context;
};

/* One line; what is longer is cut. */
__attribute__((format(printf, 3, 4))) void reload_tell(const struct reload_teller *to, int level, const char *format, ...);

/* Each complaint with its place; `name` is the file's. */
void reload_tell_complaints(const struct reload_teller *to, int level, const char *name,
	const struct config_complaints *complaints);

/* Who has taken it. */
struct reload_workers {
	unsigned count;
	unsigned refused;  /* lacked the memory, or could not listen, and go on as before */
};

/* What becomes of endpoints. */
struct reload_endpoints {
	size_t added, kept, drained;
	size_t renewed;    /* with a new pool */
};

/* What a reload from one to the other does beside what the keys say: to endpoints, listeners, the log; and what waits for the next start. */
struct reload_endpoints reload_tell_effects(const struct reload_teller *to, const struct config *before, const struct config *after);

/* How it has ended: "reloaded: ..." only when every worker has taken it. */
void reload_tell_end(const struct reload_teller *to, const struct config *before, const struct config *after,
	const struct reload_endpoints *endpoints, struct reload_workers workers);

/* That some have not taken it. */
void reload_tell_refused(const struct reload_teller *to, struct reload_workers workers);

/* --- what the file says (reload_keys.c) ------------------------------------------------------------------------------ */

/* Every key of the files that says something else, the first hundred of them; secrets are not shown. */
void reload_tell_keys(const struct reload_teller *to, const struct config *before, const struct config *after);

/* "~ routes[users].match.path: "/a" -> "/b"", "+ ..." for what is new, "- ..." for what is gone. */
void reload_difference_put(struct line *line, const struct config_difference *difference);

/* Routes with the same match that change places: the one that stands first is asked first. */
void reload_tell_order(const struct reload_teller *to, const struct config *before, const struct config *after);

#endif
