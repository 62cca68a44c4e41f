/*
 * What a reload tells the operator.
 */
#ifndef WEIR_APP_RELOAD_H
#define WEIR_APP_RELOAD_H

#include "app/line.h"
#include "config/compare.h"
#include "config/config.h"

/* Where it is told, a line each, without newline; `level` is enum config_log_level. */
struct reload_teller {
	void (*tell)(void *context, int level, const char *text);
	void *context;
};

/* Each complaint with its place; `name` is the file's. */
void reload_tell_complaints(const struct reload_teller *to, int level, const char *name,
	const struct config_complaints *complaints);

/* Who has taken it. */
struct reload_workers {
	unsigned count;
	unsigned refused;  /* lacked the memory, and go on as before */
};

/*
 * What has changed, what of it takes effect at the next start only, and then how it ended: "reloaded: ..." only when every
 * worker has taken it.
 */
void reload_tell_changes(const struct reload_teller *to, const struct config *before, const struct config *after,
	struct reload_workers workers);

/* The same without an ending: what a reload from one to the other would do. */
void reload_tell_effects(const struct reload_teller *to, const struct config *before, const struct config *after);

/* Every key of the files that says something else, the first hundred of them; secrets are not shown. */
void reload_tell_keys(const struct reload_teller *to, const struct config *before, const struct config *after);

/* "~ routes[users].match.path: "/a" -> "/b"", "+ ..." for what is new, "- ..." for what is gone. */
void reload_difference_put(struct line *line, const struct config_difference *difference);

/* Routes with the same match that change places: the one that stands first is asked first. */
void reload_tell_order(const struct reload_teller *to, const struct config *before, const struct config *after);

/* That some have not taken it. */
void reload_tell_refused(const struct reload_teller *to, struct reload_workers workers);

#endif
