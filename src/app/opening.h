/*
 * What another configuration needs opened before anything of it is in force: where requests are logged to, and the sockets of
 * listeners that are new, those of the administration too. It is opened by who loads the configuration, which may wait for it, and
 * refused with the place in the file when it cannot be.
 */
#ifndef WEIR_APP_OPENING_H
#define WEIR_APP_OPENING_H

#include "config/config.h"
#include "control/control.h"
#include "io/inherited.h"
#include "telemetry/journal.h"

/* All zero: nothing. */
struct opening {
	struct journal_output *log;     /* NULL: the one that there is stays */
	struct inherited *bound;        /* a set for each worker (generation_bind), empty where no listener is new */
	unsigned workers;               /* so many */
	struct control_change *control; /* of the administration */
};

/* What `config` says of the journal. `workers`: how many there are. Points into `config`. */
struct journal_options opening_journal(const struct config *config, unsigned workers);

/*
 * Opens what `after` has and `before`, which is in force, has not. opening->workers is set, all else zero. False with complaints: something cannot be opened, and nothing is
 * open. They are not sorted.
 */
bool opening_make(struct opening *opening, const struct config *before, const struct config *after,
	struct config_complaints *complaints);

/* 0 when nobody listens on the address, which would be shared with another gateway without a word; else why it cannot be listened on. */
int opening_probe(const struct address *address);

/* It is in force: nobody listens any more where `before` did and `after` does not. Files of unix sockets are removed. */
void opening_tidy(const struct config *before, const struct config *after);

/* Closes what nobody has taken. */
void opening_release(struct opening *opening);

#endif
