/*
 * The descriptors that a new process is given: every socket that this one listens on, and behind them what else it needs. Which sockets listen is
 * asked of the kernel, not of the rooms that have opened them: workers open and close listeners on threads of their own.
 */
#ifndef WEIR_APP_HANDED_H
#define WEIR_APP_HANDED_H

#include <stddef.h>

enum {
	HANDED_FIRST = 3,             /* their numbers begin there, in the new process: SD_LISTEN_FDS_START */
	HANDED_SOCKETS_MAX = 4096,
};

/* What the new process writes to the pipe once it serves. Never another: older and newer versions agree on it. */
#define HANDED_READY_BYTE '+'

/* Behind the sockets. */
enum { HANDED_READY, HANDED_SECRETS, HANDED_MORE };

/*
 * Duplicates, with numbers beyond those that they are given in the new process: the sockets, and behind them the pipe, and the secrets
 * if there are some.
 */
struct handed {
	int fds[HANDED_SOCKETS_MAX + HANDED_MORE];
	size_t count;
	size_t sockets;            /* of these */
};

/* `more`: -1 where there is none. 0 or an errno; then nothing is open. A socket that is closed in that moment is not among them. */
int handed_init(struct handed *handed, const int more[HANDED_MORE]);

void handed_release(struct handed *handed);

#endif
