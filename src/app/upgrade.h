/*
 * Another program in place of this one, without a client noticing: the new process gets every socket that this one listens on,
 * and once it serves, this one drains. Until then nothing has changed: if the new one fails, this one goes on. A reload of the file and an
 * upgrade keep out of each other's way (reloading.h).
 *
 *   old:  begin --fork, exec--> look ... look --"ready"--> drain ----------> exit     (here; upgrading.c decides)
 *   new:                 inherit, start, serve --"ready"--> serves on                 (legacy.c)
 *
 * The new program is whatever stands at this one's path by now, with the same arguments, directory and environment. It is told by
 * WEIR_UPGRADE="SOCKETS READY [SECRETS]": how many sockets there are from descriptor 3 on, the descriptor of a pipe to which it writes
 * HANDED_READY_BYTE when it is ready (anything else is a failure), and one of memory with secrets (secrets.h). (A version that does not know of the third leaves it alone.)
 */
#ifndef WEIR_APP_UPGRADE_H
#define WEIR_APP_UPGRADE_H

#include <sys/types.h>

#include "app/secrets.h"
#include "base/units.h"

/* How long the new process may take until it is ready. */
#define UPGRADE_READY_US (60 * US_PER_S)

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

/*
 * Starts the new process. process_tell() whenever there is something to look at. False with why: nothing was started. `settings` may be
 * empty.
 */
bool upgrade_begin(struct upgrade *upgrade, const struct secrets *secrets, struct view settings, char why[256]);

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

/* The new process serves. */
static inline bool upgrade_is_done(const struct upgrade *upgrade)
{
	return upgrade->child != 0 && upgrade->ready < 0;
}

/* When it is to be looked at at the latest; DEADLINE_NEVER: nothing is awaited. */
static inline uint64_t upgrade_deadline(const struct upgrade *upgrade)
{
	return upgrade_is_under_way(upgrade) ? upgrade->deadline_us : DEADLINE_NEVER;
}

/* We end before it is ready: it is told to end, too. */
void upgrade_abandon(struct upgrade *upgrade);

#endif
