/*
 * The real body of io.h: Linux, epoll, edge-triggered.
 *
 * One tick, top to bottom in io_tick():
 *
 *   epoll_wait -> clock -> sockets -> mailbox -> timers -> deferred tasks
 *   ^                                                            |
 *   +------- waits 0 (tasks left), until the next timer, or for ever
 *
 * Sockets first, because they are what the clock was just read for; timers after them, so that bytes which arrived in
 * the same tick as their deadline count as in time; deferred tasks last, because they free what the others closed.
 *
 * Events already fetched may name a source that an earlier event of the same batch closed. io_close() strikes those out
 * of the batch, so "no event after io_close()" holds even when the source is opened again at once. Every source is marked
 * with what the batch holds for it before the first event is told: so nobody begins to use what is known to have ended.
 *
 * The mailbox is a stack that any thread pushes on and the loop takes whole and turns round. Only the push that finds
 * it empty wakes the loop; the loop pays one load a tick. The eventfd is edge-triggered like everything else and is
 * never read: each write is an edge of its own, and its counter lasts for 2^64 of them.
 *
 * The wall clock is the monotonic clock plus a difference that is measured again every WALL_CHECK_US, so a time stamp
 * costs an addition and a step of the wall clock is seen a moment later.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "io/io.h"
#include "io/listen.h"
#include "io/timer.h"

#define BATCH_EVENTS 256
#define WALL_CHECK_US (100 * US_PER_MS)
#define SENDV_COUNT_MAX 64
#define CACHE_LINE 64

struct io {
	int epoll_fd;
	int reserved_fd; /* given up for a moment by io_accept_shed; -1 while it could not be had back */
	struct io_source wake; /* the eventfd */
	bool stopping;
	uint64_t now_us;
	uint64_t wall_minus_now_us; /* modulo 2^64 */
	uint64_t wall_check_us; /* when to measure the difference again */
	uint64_t random_key;
	uint64_t random_count;
	size_t sources_open; /* descriptors handed out and not yet closed */
	int batch_next; /* events before it are delivered */
	int batch_count;
	struct list tasks;
	struct timer_wheel wheel;
	struct epoll_event batch[BATCH_EVENTS];
	/* Written by other threads: on a line of its own. */
	_Alignas(CACHE_LINE) _Atomic(struct io_message *) mailbox;
};

/*
 * The three calls of the hot path without libc's wrappers. Those are cancellation points, and in a program with threads
 * each pays thirty instructions for it; nothing here is ever cancelled. Results are as the wrappers'.
 */
static int wait_for_events(struct io *io, int wait_ms)
{
	return (int)syscall(SYS_epoll_pwait, io->epoll_fd, io->batch, BATCH_EVENTS, wait_ms, NULL, 0);
}

static ssize_t receive(int fd, void *bytes, size_t n)
{
	return syscall(SYS_recvfrom, fd, bytes, n, 0, NULL, NULL);
}

static ssize_t transmit(int fd, const void *bytes, size_t n)
{
	return syscall(SYS_sendto, fd, bytes, n, MSG_NOSIGNAL, NULL, 0);
}

/* --- loop --------------------------------------------------------------------------------------------------- */

static void io_check_wall(struct io *io)
{
	io->wall_check_us = io->now_us + WALL_CHECK_US;
	io->wall_minus_now_us = clock_us(CLOCK_REALTIME) - io->now_us;
}

static void io_read_clock(struct io *io)
{
	io->now_us = clock_us(CLOCK_MONOTONIC);
	if (io->now_us >= io->wall_check_us)
		io_check_wall(io);
}

/* Waking is the whole purpose: the mailbox is looked at in every tick. */
static void on_wake(struct io_source *source, unsigned events)
{
}

static int reserve_descriptor(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void io_release(struct io *io)
{
	int error = errno;

	if (io->epoll_fd >= 0)
		close(io->epoll_fd);
	if (io->reserved_fd >= 0)
		close(io->reserved_fd);
	if (io->wake.fd >= 0)
		close(io->wake.fd);
	free(io);
	errno = error;
}

struct io *io_create(void)
{
	struct io *io = aligned_alloc(CACHE_LINE, sizeof(*io));

	if (io == NULL)
		return NULL;
	memset(io, 0, sizeof(*io));
	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	io->reserved_fd = reserve_descriptor();
	io->wake = (struct io_source){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .on_event = on_wake};
	if (io->epoll_fd < 0 || io->reserved_fd < 0 || io->wake.fd < 0)
		goto failed;
	if (getrandom(&io->random_key, sizeof(io->random_key), 0) != sizeof(io->random_key))
		goto failed;
	if (io_watch(io, &io->wake) != 0)
		goto failed;
	io_read_clock(io);
	list_init(&io->tasks);
	wheel_init(&io->wheel, io->now_us);
	return io;
failed:
	io_release(io);
	return NULL;
}

void io_free(struct io *io)
{
	CHECK(io->sources_open == 0);
	CHECK(list_empty(&io->tasks));
	wheel_release(&io->wheel);
	io_release(io);
}

/* What epoll_wait is told: milliseconds rounded up, -1 for ever. */
static int io_wait_ms(const struct io *io)
{
	if (!list_empty(&io->tasks))
		return 0;
	uint64_t due_us = wheel_next_due_us(&io->wheel);

	if (due_us == DEADLINE_NEVER)
		return -1;
	if (due_us <= io->now_us)
		return 0;
	uint64_t ms = (due_us - io->now_us + US_PER_MS - 1) / US_PER_MS;

	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static unsigned events_of(uint32_t epoll_events)
{
	unsigned events = 0;

	events |= epoll_events & EPOLLIN ? IO_READABLE : 0;
	events |= epoll_events & EPOLLOUT ? IO_WRITABLE : 0;
	events |= epoll_events & EPOLLRDHUP ? IO_PEER_CLOSED : 0;
	events |= epoll_events & (EPOLLERR | EPOLLHUP) ? IO_BROKEN : 0;
	events |= (epoll_events & (EPOLLERR | EPOLLHUP)) == EPOLLHUP ? IO_HUNG_UP : 0;
	return events;
}

/* Whoever is told first may look at what the others have still to hear; one alone has nobody to look at. */
static void io_mark_due(struct io *io)
{
	if (io->batch_count < 2)
		return;
	for (int i = 0; i < io->batch_count; i++) {
		struct io_source *source = io->batch[i].data.ptr;

		source->due = events_of(io->batch[i].events);
	}
}

static void io_deliver_events(struct io *io)
{
	while (io->batch_next < io->batch_count) {
		struct epoll_event *event = &io->batch[io->batch_next++];
		struct io_source *source = event->data.ptr;

		if (source != NULL) {
			source->due = 0;
			source->on_event(source, events_of(event->events));
		}
	}
}

/* The source is closed: what the batch still holds for it is stale. */
static void io_strike_events(struct io *io, struct io_source *source)
{
	if (source->due == 0)
		return;
	source->due = 0;
	for (int i = io->batch_next; i < io->batch_count; i++) {
		if (io->batch[i].data.ptr == source)
			io->batch[i].data.ptr = NULL;
	}
}

static void io_deliver_messages(struct io *io)
{
	struct io_message *oldest = NULL;

	if (atomic_load_explicit(&io->mailbox, memory_order_relaxed) == NULL)
		return;
	struct io_message *newest = atomic_exchange_explicit(&io->mailbox, NULL, memory_order_acquire);
	while (newest != NULL) {
		struct io_message *older = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = older;
	}
	while (oldest != NULL) {
		struct io_message *message = oldest;

		oldest = message->next;
		message->on_receive(message);
	}
}

/* Those that are posted meanwhile run in the next tick, so that a task that posts itself leaves room for the rest. */
static void io_run_tasks(struct io *io)
{
	struct list posted;

	list_init(&posted);
	list_splice_back(&posted, &io->tasks);
	for (struct list_node *node; (node = list_pop_front(&posted)) != NULL;) {
		struct io_task *task = container_of(node, struct io_task, node);

		task->on_run(task);
	}
}

static void io_tick(struct io *io)
{
	int count = wait_for_events(io, io_wait_ms(io));

	CHECK(count >= 0 || errno == EINTR);
	io->batch_next = 0;
	io->batch_count = count;
	io_read_clock(io);
	io_mark_due(io);
	io_deliver_events(io);
	io_deliver_messages(io);
	wheel_advance(&io->wheel, io->now_us);
	io_run_tasks(io);
}

void io_run(struct io *io)
{
	for (io->stopping = false; !io->stopping;)
		io_tick(io);
}

void io_stop(struct io *io)
{
	io->stopping = true;
}

uint64_t io_now_us(const struct io *io)
{
	return io->now_us;
}

uint64_t io_wall_us(const struct io *io)
{
	return io->now_us + io->wall_minus_now_us;
}

uint64_t io_random(struct io *io)
{
	return hash_u64(io->random_key, io->random_count++);
}

/* --- deferred tasks, mailbox, timers ------------------------------------------------------------------------ */

void io_defer(struct io *io, struct io_task *task)
{
	if (!list_linked(&task->node))
		list_push_back(&io->tasks, &task->node);
}

void io_defer_cancel(struct io *io, struct io_task *task)
{
	list_remove(&task->node);
}

void io_post(struct io *io, struct io_message *message)
{
	static const uint64_t one = 1;
	struct io_message *head = atomic_load_explicit(&io->mailbox, memory_order_relaxed);

	/* Once it is pushed the message is the receiver's: what was in front of it is remembered here. */
	do {
		message->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&io->mailbox, &head, message, memory_order_release, memory_order_relaxed));
	if (head == NULL)
		CHECK(write(io->wake.fd, &one, sizeof(one)) == sizeof(one));
}

void io_timer_set(struct io *io, struct io_timer *timer, uint64_t deadline_us)
{
	wheel_set(&io->wheel, timer, deadline_us);
}

void io_timer_cancel(struct io *io, struct io_timer *timer)
{
	wheel_cancel(&io->wheel, timer);
}

/* --- sockets ------------------------------------------------------------------------------------------------ */

/* The result of a system call as this room tells it. */
static ssize_t result_of(ssize_t result)
{
	return result >= 0 ? result : -errno;
}

/* Takes a descriptor (or a negative error) into the source. */
static int io_adopt(struct io *io, struct io_source *source, int fd)
{
	source->fd = fd >= 0 ? fd : -1;
	io->sources_open += fd >= 0;
	return fd >= 0 ? 0 : fd;
}

int io_listen(
	struct io *io, struct io_source *source, const struct address *address, const struct io_listen_options *options)
{
	return io_adopt(io, source, listen_open(address, options));
}

int io_accept(struct io *io, struct io_source *listener, struct io_source *source, struct address *peer)
{
	peer->len = sizeof(peer->u);
	return io_adopt(io, source,
		(int)result_of(accept4(listener->fd, &peer->u.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC)));
}

int io_accept_shed(struct io *io, struct io_source *listener)
{
	if (io->reserved_fd >= 0)
		close(io->reserved_fd);
	/* Another thread may take the descriptor in between: then this fails as io_accept() did, and so may the next line. */
	int fd = (int)result_of(accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC));
	if (fd >= 0)
		close(fd);
	io->reserved_fd = reserve_descriptor();
	return fd >= 0 ? 0 : fd;
}

int io_connect(struct io *io, struct io_source *source, const struct address *address)
{
	int family = address->u.any.sa_family;
	int error = io_adopt(io, source, (int)result_of(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));

	if (error != 0)
		return error;
	if (family != AF_UNIX && !tcp_set_options(source->fd)) {
		error = -errno;
		goto failed;
	}
	int connecting = (int)result_of(connect(source->fd, &address->u.any, address->len));
	if (connecting != 0 && connecting != -EINPROGRESS) {
		error = connecting;
		goto failed;
	}
	/* Only now: a socket that is not even connecting counts as broken. */
	error = io_watch(io, source);
	if (error == 0)
		return connecting;
failed:
	io_close(io, source);
	return error;
}

int io_connect_result(struct io *io, struct io_source *source)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? -error : -errno;
}

int io_watch(struct io *io, struct io_source *source)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = source};

	return (int)result_of(epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, source->fd, &event));
}

ssize_t io_recv(struct io *io, struct io_source *source, void *bytes, size_t n)
{
	return result_of(receive(source->fd, bytes, n));
}

ssize_t io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	if (count == 1)
		return result_of(transmit(source->fd, iov->iov_base, iov->iov_len));
	/* sendmsg() does not write to the vector; its type is only shared with recvmsg(). */
	union {
		const struct iovec *given;
		struct iovec *taken;
	} vector = {.given = iov};
	struct msghdr message = {.msg_iov = vector.taken, .msg_iovlen = (size_t)count};

	CHECK(count > 0 && count <= SENDV_COUNT_MAX);
	return result_of(sendmsg(source->fd, &message, MSG_NOSIGNAL));
}

void io_shutdown_write(struct io *io, struct io_source *source)
{
	/* Fails only when the connection is gone already; the next event or call says so. */
	shutdown(source->fd, SHUT_WR);
}

void io_close(struct io *io, struct io_source *source)
{
	if (source->fd < 0)
		return;
	io_strike_events(io, source);
	/* The epoll set forgets the descriptor by itself: nobody holds a second one for the same socket. */
	close(source->fd);
	source->fd = -1;
	io->sources_open--;
}

void io_abort(struct io *io, struct io_source *source)
{
	static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (source->fd >= 0)
		setsockopt(source->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	io_close(io, source);
}

int io_local_address(struct io *io, const struct io_source *source, struct address *address)
{
	address->len = sizeof(address->u);
	return (int)result_of(getsockname(source->fd, &address->u.any, &address->len));
}
