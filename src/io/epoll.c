/*
 * The real body of io.h: Linux, epoll, edge-triggered but for listeners.
 *
 * One tick, top to bottom in io_tick():
 *
 *   epoll_wait -> clock -> sockets -> mailbox -> timers -> deferred tasks
 *   ^                                                            |
 *   +------- waits 0 (tasks left), or until the next timer, for an hour at most
 *
 * Sockets first, because they are what the clock was just read for; timers after them, so that bytes which arrived in
 * the same tick as their deadline count as in time; deferred tasks last, because they free what the others closed.
 *
 * Events already fetched may name a source that an earlier event of the same batch closed. io_close() strikes those out
 * of the batch, so "no event after io_close()" holds even when the source is opened again at once. Every source is marked
 * with what the batch holds for it before the first event is told: so nobody begins to use what is known to have ended.
 *
 * A tick is short, whatever comes. Of more than CROWD events in one batch only those of connections that were opened from
 * here are told at once, and of listeners. The others stand in a line, of which a deferred task tells CROWD in each tick, so
 * what is new is fetched in between. Else a thousand clients who come again at once, each time they are refused, would keep the
 * few answers waiting of which the whole throughput is made: they would look late, and the connections they free would rest. And
 * who waits to be accepted, of whom a listener takes a few in one go, would wait for as many rounds of the line.
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
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/line.h"
#include "io/io.h"
#include "io/kernel.h"
#include "io/listen.h"
#include "io/pipes.h"
#include "io/timer.h"

#define BATCH_EVENTS 256
#define CROWD 64
#define WALL_CHECK_US (100 * US_PER_MS)
#define WAIT_MAX_US 3600000000 /* of one wait */
#define SENDV_COUNT_MAX 64
#define SLEPT_US 20 /* a wait that finds events waiting is shorter */
#define STATM "/proc/self/statm"

/* Why a turn is no short one, which tells of one event and looks at nothing else. They stand above all numbers of events. */
enum {
	LONG_STOPPING = 1 << 16, /* it is to be the last */
	LONG_MEASURED = 2 << 16, /* turns are measured */
	LONG_CROWDED = 4 << 16, /* there is a crowd */
	LONG_BATCH = 8 << 16, /* it has told of several events */
};

/* What every turn of the loop touches stands in the first two lines of the cache. */
struct io {
	_Alignas(CACHE_LINE) uint64_t now_us;
	uint64_t ended_us; /* when the tick before this one had ended; 0: there was little to do in it */
	struct list tasks;
	struct io_loop_stats stats;
	struct io_pause *pause; /* LONG_MEASURED */
	int epoll_fd;
	int short_count; /* of how many events a short turn tells: 1, and no number while it has reasons in it (LONG_STOPPING) */
	bool spent; /* reserved_fd, by io_reserve_spend: what is closed next takes its place */
	int batch_next; /* events before it are delivered */
	int batch_count; /* 0 while there is none */
	uint64_t wall_minus_now_us; /* modulo 2^64 */
	uint64_t wall_check_us; /* when to measure the difference again */
	uint64_t random_key;
	uint64_t random_count;
	struct timer_wheel wheel;
	struct pipes pipes;
	struct epoll_event batch[BATCH_EVENTS];

	int reserved_fd; /* STATM; given up by io_accept_shed and io_reserve_spend; -1 until the next io_accept, or io_close, has it back */
	struct io_source wake; /* the eventfd */
	uint64_t began_us; /* as ended_us */
	uint64_t letter_us; /* when the letter that measures the lag was sent; 0: it has come */
	uint64_t lag_us; /* how long the one took that came last */
	uint64_t busy_us; /* processor time at the beginning of this turn, while they are measured */
	size_t sources_open; /* descriptors handed out and not yet closed */
	struct list crowd; /* sources whose events are fetched and have to wait */
	struct io_task crowd_task;
	/* Written by other threads: on a line of its own. */
	_Alignas(CACHE_LINE) _Atomic(struct io_message *) mailbox;
};

/* The three calls of the hot path. Errors are negative errno values. */
static int wait_for_events(struct io *io, int wait_ms)
{
	return (int)kernel_call(SYS_epoll_pwait, io->epoll_fd, kernel_address(io->batch), BATCH_EVENTS, wait_ms, 0, 0);
}

static ssize_t receive(int fd, void *bytes, size_t n)
{
	return kernel_call(SYS_recvfrom, fd, kernel_address(bytes), (long)n, 0, 0, 0);
}

static ssize_t transmit(int fd, const void *bytes, size_t n, int flags)
{
	return kernel_call(SYS_sendto, fd, kernel_address(bytes), (long)n, MSG_NOSIGNAL | flags, 0, 0);
}

/* --- loop --------------------------------------------------------------------------------------------------- */

static void io_check_wall(struct io *io)
{
	io->wall_check_us = io->now_us + WALL_CHECK_US;
	io->wall_minus_now_us = clock_us(CLOCK_REALTIME) - io->now_us;
}

/* This clock there always is. */
static uint64_t monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint32_t)t.tv_nsec / 1000;
}

static void io_read_clock(struct io *io)
{
	io->now_us = monotonic_us();
	if (__builtin_expect(io->now_us >= io->wall_check_us, 0))
		io_check_wall(io);
}

/* Waking is the whole purpose: the mailbox is looked at in every tick. And it is the letter of io_letter_us(). */
static void on_wake(struct io_source *source, unsigned events)
{
	struct io *io = container_of(source, struct io, wake);

	if (io->letter_us == 0)
		return;
	io->lag_us = clock_us(CLOCK_MONOTONIC) - io->letter_us;
	io->letter_us = 0;
}

static void on_crowd(struct io_task *task);

/* Any file would do. This one tells of the memory, also when there is no descriptor left to open it with. */
static int reserve_descriptor(void)
{
	int fd = open(STATM, O_RDONLY | O_CLOEXEC);

	return fd < 0 && errno == ENOENT ? open("/dev/null", O_RDONLY | O_CLOEXEC) : fd;
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
	struct io *io = line_calloc(sizeof(*io));

	if (io == NULL)
		return NULL;
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
	io->short_count = 1;
	list_init(&io->crowd);
	io->crowd_task.on_run = on_crowd;
	list_init(&io->tasks);
	wheel_init(&io->wheel, io->now_us);
	pipes_init(&io->pipes, io);
	return io;
failed:
	io_release(io);
	return NULL;
}

void io_free(struct io *io)
{
	CHECK(io->sources_open == 0);
	io_defer_cancel(io, &io->crowd_task);
	CHECK(list_empty(&io->tasks));
	pipes_release(&io->pipes);
	wheel_release(&io->wheel);
	io_release(io);
}

/* What epoll_wait is told: milliseconds rounded up. Once in an hour it may wake for nothing. */
static int io_wait_ms(const struct io *io)
{
	uint64_t due_us = wheel_next_due_us(&io->wheel);

	if (due_us <= io->now_us || !list_empty(&io->tasks))
		return 0;
	uint64_t left_us = due_us - io->now_us;

	/* Small numbers are quickly divided. */
	return (int)((uint32_t)((left_us < WAIT_MAX_US ? left_us : WAIT_MAX_US) + US_PER_MS - 1) / (uint32_t)US_PER_MS);
}

_Static_assert((int)IO_READABLE == (int)EPOLLIN && (int)IO_WRITABLE == (int)EPOLLOUT, "most events need no translation");

static inline unsigned events_of(uint32_t epoll_events)
{
	unsigned events = epoll_events & (EPOLLIN | EPOLLOUT);

	/* Most tell of nothing else. */
	if (__builtin_expect(events == epoll_events, 1))
		return events;
	events |= epoll_events & EPOLLRDHUP ? IO_PEER_CLOSED : 0;
	events |= epoll_events & (EPOLLERR | EPOLLHUP) ? IO_BROKEN : 0;
	events |= (epoll_events & (EPOLLERR | EPOLLHUP)) == EPOLLHUP ? IO_HUNG_UP : 0;
	return events;
}

/* Whoever is told first may look at what the others have still to hear. */
static void io_mark_due(struct io *io)
{
	for (int i = 0; i < io->batch_count; i++) {
		struct io_source *source = io->batch[i].data.ptr;

		if (source != NULL)
			source->due = events_of(io->batch[i].events);
	}
}

static void io_deliver_events(struct io *io, int count)
{
	for (int i = 0; i < count; i++) {
		const struct epoll_event *event = &io->batch[i];
		struct io_source *source = event->data.ptr;

		io->batch_next = i + 1;
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
	list_remove(&source->node);
	for (int i = io->batch_next; i < io->batch_count; i++) {
		if (io->batch[i].data.ptr == source)
			io->batch[i].data.ptr = NULL;
	}
}

/* Takes those out of the batch that are not to be told first: they wait. */
__attribute__((noinline)) static void io_join_crowd(struct io *io)
{
	io->short_count |= LONG_CROWDED;
	io_defer(io, &io->crowd_task);
	for (int i = 0; i < io->batch_count; i++) {
		struct io_source *source = io->batch[i].data.ptr;

		if (source->first)
			continue;
		source->due |= events_of(io->batch[i].events);
		if (!list_linked(&source->node))
			list_push_back(&io->crowd, &source->node);
		io->batch[i].data.ptr = NULL;
	}
}

static void on_crowd(struct io_task *task)
{
	struct io *io = container_of(task, struct io, crowd_task);

	/* As long as a batch, and so worth a look at the clock: see io_end_long(). */
	io->short_count |= LONG_BATCH;
	for (int n = 0; n < CROWD && !list_empty(&io->crowd); n++) {
		struct io_source *source = container_of(list_pop_front(&io->crowd), struct io_source, node);
		unsigned events = source->due;

		source->due = 0;
		source->on_event(source, events);
	}
	if (list_empty(&io->crowd))
		io->short_count &= ~LONG_CROWDED;
	else
		io_defer(io, task);
}

__attribute__((noinline)) static void io_empty_mailbox(struct io *io)
{
	struct io_message *oldest = NULL;
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

static void io_deliver_messages(struct io *io)
{
	if (atomic_load_explicit(&io->mailbox, memory_order_relaxed) != NULL)
		io_empty_mailbox(io);
}

static void io_run_task(struct list_node *node)
{
	struct io_task *task = container_of(node, struct io_task, node);

	list_remove(node);
	task->on_run(task);
}

/* Those that are posted meanwhile run in the next tick, so that a task that posts itself leaves room for the rest. */
__attribute__((noinline)) static void io_run_several(struct io *io)
{
	struct list posted;

	list_init(&posted);
	list_splice_back(&posted, &io->tasks);
	for (struct list_node *node; (node = list_first(&posted)) != NULL;)
		io_run_task(node);
}

/* As a rule there is one at most. */
static void io_run_tasks(struct io *io)
{
	struct list_node *first = io->tasks.head.next;

	if (first == &io->tasks.head)
		return;
	if (first->next == &io->tasks.head)
		io_run_task(first);
	else
		io_run_several(io);
}

/* A turn has ended, or is looked at before its end. */
static void io_measure(struct io *io)
{
	/* In this order, so that it is never busy for longer than the turn took. */
	uint64_t busy_us = clock_us(CLOCK_THREAD_CPUTIME_ID), turn_us = clock_us(CLOCK_MONOTONIC) - io->now_us;

	if (turn_us > io->pause->longest_us)
		io->pause->longest_us = turn_us;
	if (busy_us - io->busy_us > io->pause->busy_us)
		io->pause->busy_us = busy_us - io->busy_us;
}

/* None, several, or while something is to be seen to in each turn. */
__attribute__((noinline)) static void io_deliver_batch(struct io *io, int count)
{
	if (count < 0) {
		CHECK(count == -EINTR);
		count = 0;
	}
	io->batch_next = 0;
	io->batch_count = count;
	if (io->short_count & LONG_MEASURED)
		io->busy_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
	/* What comes stands behind a crowd that is there. */
	if (count > CROWD || (count > 0 && io->short_count & LONG_CROWDED))
		io_join_crowd(io);
	if (count > 1) {
		io->short_count |= LONG_BATCH;
		io_mark_due(io);
	}
	io->stats.events += (uint64_t)count;
	io_deliver_events(io, count);
	io->batch_count = 0;
}

/* Nobody can look at another's event, and who closes its source has been told already: nothing is due. */
static void io_deliver_one(struct io *io)
{
	struct io_source *source = io->batch[0].data.ptr;

	io->stats.events++;
	source->on_event(source, events_of(io->batch[0].events));
}

/* The end of a turn that is no short one. False: it was the last. */
__attribute__((noinline)) static bool io_end_long(struct io *io)
{
	if (io->short_count & LONG_BATCH) {
		io->began_us = io->now_us;
		io->ended_us = monotonic_us();
	}
	io->short_count &= ~LONG_BATCH;
	if (io->short_count & LONG_MEASURED)
		io_measure(io);
	return !(io->short_count & LONG_STOPPING);
}

/* False: it was the last. */
static bool io_tick(struct io *io)
{
	int count = wait_for_events(io, io_wait_ms(io));

	io->stats.turns++;
	io_read_clock(io);
	if (count == io->short_count)
		io_deliver_one(io);
	else
		io_deliver_batch(io, count);
	io_deliver_messages(io);
	wheel_advance(&io->wheel, io->now_us);
	io_run_tasks(io);
	/* With one event a tick is over before it is worth a look at the clock. */
	io->ended_us = 0;
	return io->short_count == 1 || io_end_long(io);
}

void io_run(struct io *io)
{
	io->short_count &= ~LONG_STOPPING;
	while (io_tick(io))
		;
}

void io_stop(struct io *io)
{
	io->short_count |= LONG_STOPPING;
}

uint64_t io_now_us(const struct io *io)
{
	return io->now_us;
}

uint64_t io_lag_us(const struct io *io, uint64_t since_us)
{
	if (io->ended_us == 0)
		return 0;
	bool slept = io->now_us > io->ended_us + SLEPT_US;

	return slept && since_us < io->began_us ? 0 : io->ended_us - io->began_us;
}

uint64_t io_wall_us(const struct io *io)
{
	return io->now_us + io->wall_minus_now_us;
}

uint64_t io_random(struct io *io)
{
	return hash_u64(io->random_key, io->random_count++);
}

/* --- how it is doing ---------------------------------------------------------------------------------------- */

/* A write that meets one of io_post() on its way only arrives earlier. */
static void wake(struct io *io)
{
	static const uint64_t one = 1;

	CHECK(write(io->wake.fd, &one, sizeof(one)) == sizeof(one));
}

uint64_t io_letter_us(struct io *io)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);
	uint64_t on_its_way_us = io->letter_us != 0 ? now_us - io->letter_us : 0;
	uint64_t lag_us = on_its_way_us > io->lag_us ? on_its_way_us : io->lag_us;

	if (io->letter_us != 0)
		return lag_us;
	io->letter_us = now_us;
	wake(io);
	return lag_us;
}

void io_pause_begin(struct io *io, struct io_pause *pause)
{
	*pause = (struct io_pause){0};
	io->pause = pause;
	io->short_count |= LONG_MEASURED;
	io->busy_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
}

void io_pause_end(struct io *io)
{
	if (io->short_count & LONG_MEASURED)
		io_measure(io);
	io->short_count &= ~LONG_MEASURED;
}

bool io_is_crowded(const struct io *io)
{
	return io->short_count & LONG_CROWDED;
}

size_t io_files_open(const struct io *io)
{
	return io->sources_open + io->pipes.files;
}

const struct io_loop_stats *io_loop_stats(const struct io *io)
{
	return &io->stats;
}

uint64_t io_resident_bytes(struct io *io)
{
	char text[64] = "", *behind_size;

	if (io->reserved_fd < 0 || pread(io->reserved_fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	strtoull(text, &behind_size, 10);
	uint64_t resident = strtoull(behind_size, NULL, 10);

	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
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
	struct io_message *head = atomic_load_explicit(&io->mailbox, memory_order_relaxed);

	/* Once it is pushed the message is the receiver's: what was in front of it is remembered here. */
	do {
		message->next = head;
	} while (!atomic_compare_exchange_weak_explicit(
		&io->mailbox, &head, message, memory_order_release, memory_order_relaxed));
	if (head == NULL)
		wake(io);
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
	source->first = false;
	source->shared = false;
	source->node = (struct list_node){0};
	io->sources_open += fd >= 0;
	return fd >= 0 ? 0 : fd;
}

int io_bind(
	struct io *io, struct io_source *source, const struct address *address, const struct io_bind_options *options)
{
	int error = io_adopt(io, source, listen_bind(address, options));

	source->first = source->shared = true;
	return error;
}

struct io_file io_bound_file(struct io *io, const struct io_source *source)
{
	return listen_file(source->fd);
}

int io_listen_check(struct io *io, const struct io_source *source, const struct io_file *bound)
{
	return listen_check(source->fd, bound);
}

int io_listen(struct io *io, struct io_source *source, int backlog)
{
	return (int)result_of(listen(source->fd, backlog));
}

int io_accept(struct io *io, struct io_source *listener, struct io_source *source, struct address *peer)
{
	peer->len = sizeof(peer->u);
	/* What a shed has lost to another thread is had back before anybody comes in: else none of those who wait would be shed. */
	if (__builtin_expect(io->reserved_fd < 0 && !io->spent, 0))
		io->reserved_fd = reserve_descriptor();
	/* By the C library, as close() below: ThreadSanitizer follows descriptors from the one to the other. */
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

/* accept4() takes the number before it looks whether anybody waits. */
bool io_is_waited_for(const struct io_source *listener)
{
	struct pollfd waiting = {.fd = listener->fd, .events = POLLIN};

	return poll(&waiting, 1, 0) != 0;
}

/* What is closed for nobody, another thread may take meanwhile. */
int io_reserve_spend(struct io *io, const struct io_source *listener)
{
	if (!io_is_waited_for(listener))
		return -EAGAIN;
	if (io->reserved_fd < 0)
		return -EMFILE;
	close(io->reserved_fd);
	io->reserved_fd = -1;
	io->spent = true;
	return 0;
}

void io_reserve_restore(struct io *io)
{
	if (io->reserved_fd < 0)
		io->reserved_fd = reserve_descriptor();
	io->spent = io->reserved_fd < 0;
}

/* Of a listening socket these two have another meaning than their names (Linux, tcp_get_info). */
int io_accept_queue(struct io *io, const struct io_source *listener, unsigned *waiting, unsigned *max)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return -errno;
	*waiting = info.tcpi_unacked;
	*max = info.tcpi_sacked;
	return 0;
}

bool io_peer_read(struct io *io, const struct io_source *source, struct io_peer *peer)
{
	struct ucred credentials;
	socklen_t len = sizeof(credentials);

	/* Of TCP it tells of nobody: process 0. */
	if (getsockopt(source->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) != 0 || credentials.pid <= 0)
		return false;
	*peer = (struct io_peer){(uint32_t)credentials.uid, (uint32_t)credentials.pid};
	return true;
}

uint32_t io_accept_drops(struct io *io, const struct io_source *listener)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	return getsockopt(listener->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0 ? info[SK_MEMINFO_DROPS] : 0;
}

int io_connect(struct io *io, struct io_source *source, const struct address *address)
{
	int family = address->u.any.sa_family;
	int error = io_adopt(io, source, (int)result_of(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));

	if (error != 0)
		return error;
	source->first = true;
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
	struct epoll_event event = {
		.events = source->shared ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = source};

	return (int)result_of(epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, source->fd, &event));
}

void io_unwatch(struct io *io, struct io_source *source)
{
	io_strike_events(io, source);
	epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

ssize_t io_recv(struct io *io, struct io_source *source, void *bytes, size_t n)
{
	return receive(source->fd, bytes, n);
}

__attribute__((noinline)) static ssize_t transmit_all(int fd, const struct iovec *iov, int count, int flags)
{
	/* sendmsg() does not write to the vector; its type is only shared with recvmsg(). */
	union {
		const struct iovec *given;
		struct iovec *taken;
	} vector = {.given = iov};
	struct msghdr message = {.msg_iov = vector.taken, .msg_iovlen = (size_t)count};

	CHECK(count > 0 && count <= SENDV_COUNT_MAX);
	return result_of(sendmsg(fd, &message, MSG_NOSIGNAL | flags));
}

ssize_t io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	if (count == 1)
		return transmit(source->fd, iov->iov_base, iov->iov_len, 0);
	return transmit_all(source->fd, iov, count, 0);
}

/* One segment less, for which the peer would be woken by itself. Where not all is taken, Linux keeps nothing back. */
ssize_t io_sendv_more(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	if (count == 1)
		return transmit(source->fd, iov->iov_base, iov->iov_len, MSG_MORE);
	return transmit_all(source->fd, iov, count, MSG_MORE);
}

size_t io_unsent(struct io *io, const struct io_source *source)
{
	int bytes = 0;

	return ioctl(source->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void io_shutdown_write(struct io *io, struct io_source *source)
{
	/* Fails only when the connection is gone already; the next event or call says so. */
	shutdown(source->fd, SHUT_WR);
}

/* A reserve that was spent is had back in one step: between two, another thread's next client would have it. */
static void close_or_reserve(struct io *io, int fd)
{
	bool has_it = io->spent && io->reserved_fd < 0 && dup3(io->wake.fd, fd, O_CLOEXEC) == fd;

	if (has_it)
		io->reserved_fd = fd;
	else
		close(fd);
	io->spent = io->spent && !has_it && io->reserved_fd < 0;
}

void io_close(struct io *io, struct io_source *source)
{
	if (source->fd < 0)
		return;
	io_strike_events(io, source);
	/* A connection is forgotten by itself, as nobody holds a second descriptor for it. Whom a listener is shared with may keep it. */
	if (source->shared)
		epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	close_or_reserve(io, source->fd);
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

struct pipes *io_pipes(const struct io *io)
{
	return (struct pipes *)(uintptr_t)&io->pipes;
}
