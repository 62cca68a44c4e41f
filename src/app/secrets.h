/*
 * What a new process is told that nobody else may know: the keys of session tickets, and behind them, as text, what the operator has set
 * (settings.h). It stands in sealed memory without a name. A program that has another form of it takes nothing.
 */
#ifndef WEIR_APP_SECRETS_H
#define WEIR_APP_SECRETS_H

#include "base/view.h"
#include "net/tls.h"

#define SECRETS_FORM 2             /* another number with every other struct */
struct secrets {
	uint64_t form;             /* SECRETS_FORM */
	uint64_t has_tickets;      /* 0: there are none */
	uint64_t rotate_us;        /* when the keys are to be made anew; CLOCK_MONOTONIC */
	struct tls_ticket_keys tickets;
};

/*
 * A descriptor of memory with them in it, which nobody can change any more. Who may look into this process finds them in its memory as well.
 * `settings` may be empty. -1: there is none (errno).
 */
int secrets_open(const struct secrets *secrets, struct view settings);

/* What stands there. *settings: to be freed; NULL: nothing is set. False: it is of another form, or memory is out. */
bool secrets_read(int fd, struct secrets *secrets, char **settings);

#endif
