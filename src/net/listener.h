/*
 * A listener: accepts as long as somebody waits, and pauses instead of spinning when the machine is out of descriptors, or accepting fails
 * for another reason that is not the one connection's.
 *
 * An accept that finds nobody costs as much as half a request: a socket is made and thrown away. So it takes as many at once as
 * waited of late, and lets itself be told that there are more. Where the loop has a crowd of events to tell of, it takes LISTENER_BATCH: one
 * more is little beside them, and a few in each tick, of which all are long, may be too few.
 *
 * While paused, connections wait in the kernel's backlog. Of an exhausted machine one is shed with the reserved descriptor so that at least
 * one client learns of it. Accepting resumes after LISTENER_PAUSE_US or when the owner says that a descriptor came free.
 */
#ifndef WEIR_NET_LISTENER_H
#define WEIR_NET_LISTENER_H

#include "io/io.h"

#define LISTENER_PAUSE_US (50 * US_PER_MS)

/* Connections taken in one go before the loop turns to other events, at most. */
#define LISTENER_BATCH 64

/* So often as many were there as were taken at once: then it is tried whether there are twice as many. */
#define LISTENER_TRIED_AFTER 8

struct listener {
	struct io_source source;
	struct io_file file;       /* a unix socket's, as it was bound */
	struct io *io;
	struct io_timer timer;     /* armed while paused */
	uint8_t at_once;           /* so many are taken in one go */
	uint8_t full;              /* how often as many were there, since that was changed */
	/*
	 * Take one connection (io_accept on listener->source) and give its result; 0 to go on, or what belongs to the one connection,
	 * -EAGAIN when none is left, anything else to pause. Set by the owner.
	 */
	int (*on_accept)(struct listener *listener);
	uint64_t paused;           /* how often descriptors (or memory) were exhausted, or accepting failed */
	uint64_t overflows;        /* connections that came while too many waited, as of listener_count_overflows() */
	uint32_t drops;            /* what the system said of them then */
	uint64_t shed;             /* connections closed unserved: because of that, or by the owner */
};

/* Binds: nobody can connect yet. 0 or the error of io_bind. */
int listener_bind(struct listener *listener, struct io *io, const struct address *address,
	const struct io_bind_options *options);

/*
 * Does of listener_begin() what can fail and lets nobody in: so several are made ready, and then begin. 0 or the error of
 * io_listen_check or io_watch: it is to be closed then.
 */
int listener_ready(struct listener *listener);

/* Listens, behind listener_ready(). 0 or the error of io_listen: it is to be closed then. */
int listener_begin(struct listener *listener, int backlog);

/* All of it in one. 0 or the error, and it is closed. */
int listener_open(struct listener *listener, struct io *io, const struct address *address, int backlog,
	const struct io_bind_options *options);

/*
 * Takes what waits now, at most `count_max`; before listener_close(), so that nobody who has connected is reset. True: there may be more,
 * for whom there is room.
 */
bool listener_accept_waiting(struct listener *listener, int count_max);

/* Resumes a paused listener now: a descriptor came free. */
void listener_resume(struct listener *listener);

/* Looks how many `overflows` there are now: a system call. */
void listener_count_overflows(struct listener *listener);

/* Closes; connections that wait in the backlog are reset by the kernel. */
void listener_close(struct listener *listener);

#endif
