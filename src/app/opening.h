/*
 * What another configuration needs opened before anything of it is in force: where requests are logged to. It is opened by who loads
 * the configuration, which may wait for it, and refused with the place in the file when it cannot be.
 */
#ifndef WEIR_APP_OPENING_H
#define WEIR_APP_OPENING_H

#include "config/config.h"
#include "telemetry/journal.h"

/* All zero: nothing. */
struct opening {
	struct journal_output *log;     /* NULL: the one that there is stays */
};

/* What `config` says of the journal. `workers`: how many there are. Points into `config`. */
struct journal_options opening_journal(const struct config *config, unsigned workers);

/*
 * Opens what `after` has and `before`, which is in force, has not. False with complaints: something cannot be opened, and nothing is
 * open. They are not sorted.
 */
bool opening_make(struct opening *opening, const struct config *before, const struct config *after,
	struct config_complaints *complaints);

/* Closes what nobody has taken. */
void opening_release(struct opening *opening);

#endif
