/*
 * The one port to the outside world: loop, sockets, timers, clocks, randomness.
 *
 * This header has two bodies, chosen at link time: epoll.c (the real one) and tests/sim/io_sim.c (deterministic).
 * Timers are shared by both (timer.c). No room that runs in the simulator asks the operating system for sockets, time or
 * chance by another way; threads that have no loop (the log's writer, the main thread) do.
 *
 * One loop is one thread. Only io_post() may be called from another.
 *
 * A tick: wait for events -> read the clock once -> deliver socket events -> mailbox messages -> due timers ->
 * deferred tasks. Tasks that are posted by deferred tasks run in the next tick, which then does not wait.
 *
 * Events are edge-triggered, for both directions, from the moment of io_watch(): an event says that something may have
 * changed. Whoever is told must act until the call says -EAGAIN (or reads less than asked for), or must remember that
 * there is more to do. There is no re-arming and no changing of interest: a connection costs one epoll_ctl in its life. A listener
 * is told in every tick in which somebody waits there: so it need not be asked until nobody does, which is what costs most.
 *
 * Errors are negative errno values. No function blocks except io_run().
 */
#ifndef WEIR_IO_IO_H
#define WEIR_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/address.h"
#include "base/list.h"
#include "base/units.h"

struct io;

/* --- loop --------------------------------------------------------------------------------------------------- */

/* NULL when the kernel refuses (descriptors, memory); errno says why. Owns a reserved descriptor (see io_accept_shed). */
struct io *io_create(void);

/*
 * Every source must be closed, every timer and task cancelled before (CHECK). Nobody may post any more; a message not
 * yet received never will be.
 */
void io_free(struct io *io);

/* Runs ticks until io_stop(). */
void io_run(struct io *io);

/* Makes io_run() return at the end of the current tick. From this loop's own thread only. */
void io_stop(struct io *io);

/* Monotonic time, read once at the start of a tick. */
uint64_t io_now_us(const struct io *io);

/*
 * How much of the time from `since_us` (a tick's) to now this loop was late: how long the tick before this one went on after
 * it had read its clock, if what is told now may have come meanwhile, for the loop did not sleep behind it; or if `since_us`
 * is that tick, in which all that was sent seems to have been sent at its beginning. 0 if it had one event at most.
 */
uint64_t io_lag_us(const struct io *io, uint64_t since_us);

/* Microseconds since the Unix epoch, consistent with io_now_us() within a tick. */
uint64_t io_wall_us(const struct io *io);

/* 64 random bits from a generator private to the loop, seeded by the kernel (by the seed in simulation). Not for keys. */
uint64_t io_random(struct io *io);

/* --- how the loop and its process are doing --------------------------------------------------------------- */

/*
 * How long an event waits at present, from when it comes until it is told: the time that a letter of the loop to itself has
 * taken, which waits its turn among the events as everything else does. Each call tells of the letter that the call before
 * has sent (for how long it has been on its way, when it has not come yet), and sends the next.
 */
uint64_t io_letter_us(struct io *io);

/* The longest turn of the loop in some span: from the moment at which it woke until it waits again. */
struct io_pause {
	uint64_t longest_us;
	uint64_t busy_us;       /* of processor time, the most that one has taken: what the loop itself is to blame for */
};

/* From now on, beginning with the turn that is under way, turns are measured; *pause is kept up to date until io_pause_end. */
void io_pause_begin(struct io *io, struct io_pause *pause);

/* The turn that is under way counts as far as it has gone. Legal when nothing is measured. */
void io_pause_end(struct io *io);

/* More events wait than one tick tells of: so what is done once in a tick costs little beside them. */
bool io_is_crowded(const struct io *io);

/* Descriptors of sockets and pipes that this loop has open. */
size_t io_files_open(const struct io *io);

/* What a loop has done so far. Written by its own thread only. */
struct io_loop_stats {
	uint64_t turns;   /* ticks */
	uint64_t events;  /* that the system has told it of */
};

const struct io_loop_stats *io_loop_stats(const struct io *io);

/* The process's resident memory; 0: the system does not tell at present. */
uint64_t io_resident_bytes(struct io *io);

/* --- deferred tasks and mailboxes --------------------------------------------------------------------------- */

/* Work for the end of this tick. Zero-initialise; set on_run. A task is posted at most once at a time. */
struct io_task {
	struct list_node node;
	void (*on_run)(struct io_task *task);
};

/* Runs task->on_run at the end of the tick, in posting order. Posting a task that is already posted does nothing. */
void io_defer(struct io *io, struct io_task *task);

/* Legal on a task that is not posted. */
void io_defer_cancel(struct io *io, struct io_task *task);

/* A message to a loop from any thread. Memory belongs to the sender until on_receive is called on the loop's thread. */
struct io_message {
	struct io_message *next;
	void (*on_receive)(struct io_message *message);
};

/* Thread safe and lock free; wakes the loop. Messages of one sender arrive in order. */
void io_post(struct io *io, struct io_message *message);

/* --- timers ------------------------------------------------------------------------------------------------- */

/*
 * A timer. Zero-initialise; set on_fire. Resolution is 1 ms: it never fires early and at most 1 ms late, plus the
 * loop's lag (its waits end on whole milliseconds too). Setting a deadline on an armed timer that is not before the place
 * where it stands costs one store (the wheel is corrected when that comes up), so idle timers may be pushed back on every byte,
 * and one whose deadline goes to and fro stands at the earliest and is not moved.
 */
struct io_timer {
	struct list_node node;
	uint64_t deadline_us;   /* what was asked for; meaningful while armed */
	uint64_t placed_ms;     /* where it stands in the wheel; never after the deadline (rounded up to 1 ms) */
	void (*on_fire)(struct io_timer *timer);
};

/*
 * Arms or moves. DEADLINE_NEVER cancels. Inside on_fire the timer is unarmed and may be set again; with a deadline
 * already past it fires in the next tick.
 */
void io_timer_set(struct io *io, struct io_timer *timer, uint64_t deadline_us);

/* Legal on an unarmed timer. After it on_fire is not called. */
void io_timer_cancel(struct io *io, struct io_timer *timer);

static inline bool io_timer_armed(const struct io_timer *timer)
{
	return list_linked(&timer->node);
}

/* --- sockets ------------------------------------------------------------------------------------------------ */

enum io_event {
	IO_READABLE = 1,     /* bytes, or the end of them, may be read; on a listener: connections wait */
	IO_WRITABLE = 4,     /* room to write; for a connecting socket: the attempt is over, see io_connect_result */
	IO_PEER_CLOSED = 2,  /* the peer will send no more (FIN); bytes before it may still be unread */
	IO_BROKEN = 8,       /* reset, or closed in both directions, or a pending socket error; bytes may still be unread */
	IO_HUNG_UP = 16,     /* with IO_BROKEN: closed in both directions, without an error; so ends a unix socket's peer */
};

/*
 * A socket as the loop knows it. Zero-initialise with fd = -1; stands inside its owner.
 * After io_close() no event is delivered any more, but the memory must stay valid until the end of the tick: free it
 * from a deferred task.
 */
struct io_source {
	int fd;                                                        /* -1: none */
	uint16_t due;                                                  /* events that are fetched and not yet told; to be read */
	bool first;                                                    /* the loop's: told in this tick though there is a crowd */
	bool shared;                                                   /* the loop's: other processes may have the socket too */
	void (*on_event)(struct io_source *source, unsigned events);
	struct list_node node;                                         /* the loop's */
};

struct inherited;

/* What io_bind() needs to know beyond the address. */
struct io_bind_options {
	bool reuse_port;       /* several workers listen on the same address (SO_REUSEPORT) */
	mode_t unix_mode;      /* permissions of a unix socket's file; 0: leave to umask */
	struct inherited *inherited;   /* sockets that may be listened on already (inherited.h); NULL: none */
};

/*
 * Opens and binds, or takes over a socket that somebody else has bound. Sets source->fd. 0, or -EADDRINUSE, -EACCES, -EMFILE, ...
 * Nobody can connect yet: that is refused as if nothing were there. Who has connected to one that is taken over, and listens, waits.
 * A unix socket's file that a dead process left behind is replaced; one that somebody listens on is -EADDRINUSE.
 */
int io_bind(struct io *io, struct io_source *source, const struct address *address, const struct io_bind_options *options);

/* The file that a unix socket has by being bound, to be known again. All 0: none. */
struct io_file {
	uint64_t device, inode;
};

/* Directly behind io_bind(). */
struct io_file io_bound_file(struct io *io, const struct io_source *source);

/*
 * Whether io_listen() would be of use, without letting anybody in. 0; -EADDRINUSE: somebody who shares no address listens there
 * meanwhile, or the path of a unix socket has another file than `bound`, as one that does not listen yet looks like a dead process's to
 * others; -ENOENT: it has none any more. 0 where that cannot be found out, too: io_listen() may fail still.
 */
int io_listen_check(struct io *io, const struct io_source *source, const struct io_file *bound);

/*
 * From now on who connects waits to be accepted, `backlog` of them at most. It may be watched already: then it is told of them. 0; or
 * there is no memory for it, or somebody who shares no address listens there meanwhile: -EADDRINUSE. Then it is bound still.
 */
int io_listen(struct io *io, struct io_source *source, int backlog);

/*
 * Accepts one connection into `source` (non-blocking, TCP_NODELAY; not watched yet) and tells the peer's address.
 * 0, -EAGAIN, -EMFILE/-ENFILE/-ENOBUFS/-ENOMEM (see io_accept_shed); -ECONNABORTED and other errors of the one connection, which is
 * gone with them; or an error of the listener, which it says as often as it is asked (-EPERM where rules of access forbid it, -EINVAL).
 */
int io_accept(struct io *io, struct io_source *listener, struct io_source *source, struct address *peer);

/*
 * When descriptors are exhausted: takes one waiting connection with the reserved descriptor and closes it at once, so
 * that the client learns of it. 0 when one was shed, -EAGAIN when none waits, else the error.
 */
int io_accept_shed(struct io *io, struct io_source *listener);

/* Whether anybody waits to be accepted. It takes a system call: for whom io_accept() has told -EMFILE, which it does with nobody waiting, too. */
bool io_is_waited_for(const struct io_source *listener);

/*
 * When io_accept() says -EMFILE: closes the reserved descriptor, so that one connection more may be
 * accepted and kept. 0; -EAGAIN when none waits, -EMFILE when there is none reserved: nothing has changed then. The next io_close() has it
 * back, or io_reserve_restore() where nothing was accepted after all. (io_resident_bytes() may tell nothing from then on.) It is a number of
 * the process' own limit: where all files of the system are taken (-ENFILE) it makes no room.
 */
int io_reserve_spend(struct io *io, const struct io_source *listener);
void io_reserve_restore(struct io *io);

/* Who has the other end of a unix socket, since it was connected. False: it is no unix socket, or that is not told. */
struct io_peer {
	uint32_t user;
	uint32_t process;
};
bool io_peer_read(struct io *io, const struct io_source *source, struct io_peer *peer);

/*
 * How many connections wait to be accepted, and how many may at most. 0 or an error: unix sockets do not tell.
 */
int io_accept_queue(struct io *io, const struct io_source *listener, unsigned *waiting, unsigned *max);

/*
 * How many connections were thrown away since it listens, as its queue was full. It goes on at 0 after 2^32 - 1. 0 where that is not
 * told.
 */
uint32_t io_accept_drops(struct io *io, const struct io_source *listener);

/*
 * Starts connecting (non-blocking, TCP_NODELAY) and watches. 0: connected already; -EINPROGRESS: an event with
 * IO_WRITABLE or IO_BROKEN will come, then ask io_connect_result(); else the error, and source->fd is -1.
 */
int io_connect(struct io *io, struct io_source *source, const struct address *address);

/* After the event: 0 when connected, else -ECONNREFUSED and so on. */
int io_connect_result(struct io *io, struct io_source *source);

/* Registers the source: from now on events arrive. 0 or -ENOSPC/-ENOMEM. */
int io_watch(struct io *io, struct io_source *source);

/* Of a listener: no event any more, until it is watched again. */
void io_unwatch(struct io *io, struct io_source *source);

/* > 0 bytes; 0 the peer has closed its side; -EAGAIN; -ECONNRESET and so on. */
ssize_t io_recv(struct io *io, struct io_source *source, void *bytes, size_t n);

/* > 0 bytes (possibly fewer than given); -EAGAIN; -EPIPE, -ECONNRESET and so on. Raises no signal. count <= 64. */
ssize_t io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);

/*
 * As io_sendv, of bytes behind which something follows at once: they may be kept for that, so that it goes out with them and the peer is
 * woken once. So io_sendv(), io_pipe_drain(), io_shutdown_write() or io_close() has to follow in the same tick. (io_close() resets where
 * bytes are unread, which may be their end, too.)
 */
ssize_t io_sendv_more(struct io *io, struct io_source *source, const struct iovec *iov, int count);

/*
 * Bytes that were sent and that the peer's system has not acknowledged: what it takes is seen here before there is an event of it, as
 * a socket is writable again only when much has gone. Of a unix socket: the memory that they take. 0 where that is not told.
 */
size_t io_unsent(struct io *io, const struct io_source *source);

/* Ends the sending direction (FIN after what was sent). */
void io_shutdown_write(struct io *io, struct io_source *source);

/* Closes; no event after it. Legal on a source without descriptor. */
void io_close(struct io *io, struct io_source *source);

/*
 * Closes with a reset instead of an orderly end: the peer cannot mistake what it got for the whole. (Unix sockets know
 * no reset: there it is io_close().)
 */
void io_abort(struct io *io, struct io_source *source);

/* The address the socket is bound to. 0 or an error. */
int io_local_address(struct io *io, const struct io_source *source, struct address *address);

/* --- pipes -------------------------------------------------------------------------------------------------- */

/*
 * Through a pipe bytes go from socket to socket without entering user space. A loop has a few, by number from 1 on, which it opens as
 * they are wanted and lends.
 */
enum {
	IO_PIPES_MAX = 16,
	IO_PIPES_KEPT = 12,              /* of these numbers one may be kept; the others are for one go each, so that some always go round */
	IO_PIPE_BYTES_MAX = 256 * 1024,  /* what one is filled with at most, since it may have to be read out */
};

/* One that is empty, of the lowest number. 0: all are lent, or the system gives none at present, or can do nothing with it. */
unsigned io_pipe_lend(struct io *io);

/* What it holds is forgotten. */
void io_pipe_give_back(struct io *io, unsigned pipe);

/* Closes those that are not lent, where descriptors are short. Returns how many of these have come free. */
unsigned io_pipes_spare(struct io *io);

/* Bytes that it holds. */
size_t io_pipe_held(const struct io *io, unsigned pipe);

/*
 * Receives into the pipe, which is empty. As io_recv, but that it says less than `n` does not mean that no more is there, nor do -EAGAIN and
 * 0 mean what they do there: urgent data may stand before what there is. -EOPNOTSUPP: nothing has moved, and this has to be received by
 * io_recv.
 */
ssize_t io_pipe_fill(struct io *io, unsigned pipe, struct io_source *from, size_t n);

/*
 * Sends what the pipe holds, or the first part of it. As io_sendv, but it raises SIGPIPE, which the process has to ignore. -EOPNOTSUPP:
 * nothing has moved, and it has to be read out.
 */
ssize_t io_pipe_drain(struct io *io, unsigned pipe, struct io_source *to);

/* Reads of what the pipe holds the first `n` bytes, or all. > 0; else an error. */
ssize_t io_pipe_read(struct io *io, unsigned pipe, void *bytes, size_t n);

#endif
