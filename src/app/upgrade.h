/*
 * Another program in place of this one, without a client noticing: the new process gets every socket that this one listens on,
 * and once it serves, this one drains. Until then nothing has changed: if the new one fails, this one goes on. A reload of the file and an
 * upgrade keep out of each other's way (reloading.h).
 *
 *   old:  begin --fork, exec--> look ... look --"ready"--> drain ----------> exit
 *   new:                 inherit, start, serve --"ready"--> serves on
 *
 * The new program is whatever stands at this one's path by now, with the same arguments, directory and environment. It is told by
 * WEIR_UPGRADE="SOCKETS READY [SECRETS]": how many sockets there are from descriptor 3 on, the descriptor of a pipe to which it writes
 * a byte when it is ready, and one of memory that nobody else has a name for, with the keys of session tickets and behind them what the
 * operator has set (settings.h). (A version that does not know of the third leaves it alone; one that has another form of it takes nothing.)
 */
#ifndef WEIR_APP_UPGRADE_H
#define WEIR_APP_UPGRADE_H

#include <sys/types.h>

#include "base/units.h"
#include "io/inherited.h"
#include "net/tls.h"

/* How long the new process may take until it is ready. */
#define UPGRADE_READY_US (60 * US_PER_S)

/* What the new process is told that nobody else may know. */
#define UPGRADE_FORM 2             /* another number with every other struct */
struct upgrade_secrets {
	uint64_t form;             /* UPGRADE_FORM */
	uint64_t has_tickets;      /* 0: there are none */
	uint64_t rotate_us;        /* when the keys are to be made anew; CLOCK_MONOTONIC */
	struct tls_ticket_keys tickets;
};

/* All zero: none was begun. */
struct upgrade {
	pid_t child;               /* 0: none */
	int ready;                 /* the pipe's end that is read */
	uint64_t deadline_us;      /* CLOCK_MONOTONIC */
};

enum upgrade_state {
	UPGRADE_NONE,              /* none is under way */
	UPGRADE_STARTING,
	UPGRADE_READY,             /* upgrade->child serves; told once */
	UPGRADE_FAILED,            /* the new process is gone, *why says how; told once */
};

/* --- in the process that is replaced ---------------------------------------------------------------------------------- */

/*
 * Starts the new process. process_tell() whenever there is something to look at. False with why: nothing was started. `settings` may be
 * empty.
 */
bool upgrade_begin(struct upgrade *upgrade, const struct upgrade_secrets *secrets, struct view settings, char why[256]);

/* How far it is. A process that is not ready by the deadline is ended. */
enum upgrade_state upgrade_look(struct upgrade *upgrade, char why[256]);

static inline bool upgrade_is_under_way(const struct upgrade *upgrade)
{
	return upgrade->child != 0 && upgrade->ready >= 0;
}

/* It is under way, or the new process serves already. */
static inline bool upgrade_has_successor(const struct upgrade *upgrade)
{
	return upgrade->child != 0;
}

/* When it is to be looked at at the latest; DEADLINE_NEVER: nothing is awaited. */
static inline uint64_t upgrade_deadline(const struct upgrade *upgrade)
{
	return upgrade_is_under_way(upgrade) ? upgrade->deadline_us : DEADLINE_NEVER;
}

/* We end before it is ready: it is told to end, too. */
void upgrade_abandon(struct upgrade *upgrade);

/* --- in the process that replaces it ----------------------------------------------------------------------------------- */

/* Descriptors; -1: nobody waits to be told, and there are no secrets. */
struct upgrade_legacy {
	int ready, secrets;
};

/*
 * What this process was started with: by an upgrade, or by systemd (sd_listen_fds(3)). Takes the variables out of the environment.
 * False with why: one of the descriptors is no listening socket, or out of memory. Before any other thread is started. `in` is to be
 * released in every case.
 */
bool upgrade_inherit(struct inherited *in, struct upgrade_legacy *legacy, char why[256]);

/* Reads them, once. *settings: to be freed; NULL: nothing is set. False: there are none, or of another form, or memory is out. */
bool upgrade_read_secrets(struct upgrade_legacy *legacy, struct upgrade_secrets *secrets, char **settings);

/* We serve. -1 is allowed. */
void upgrade_tell_ready(int ready);

#endif
