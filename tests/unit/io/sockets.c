/*
 * Sockets on the real loop: what is set on them, the edge-triggered contract, ends of every kind, stale events,
 * descriptors running out, listening addresses that are taken.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "io/inherited.h"

/* --- ends of connections ------------------------------------------------------------------------------------ */

struct end {
	struct io_source source;
	unsigned events; /* all that were told since end_forget() */
	int count;
};

struct pair {
	struct end listener;
	struct end client;
	struct end server;
};

static void on_event(struct io_source *source, unsigned events)
{
	struct end *end = container_of(source, struct end, source);

	assert_true(source->fd >= 0);
	end->events |= events;
	end->count++;
	io_stop(fixture.io);
}

static struct end end_of(void (*on)(struct io_source *source, unsigned events))
{
	return (struct end){.source = {.fd = -1, .on_event = on}};
}

static void end_forget(struct end *end)
{
	end->events = 0;
	end->count = 0;
}

static void end_await(struct end *end, unsigned events)
{
	while ((end->events & events) != events)
		io_run(fixture.io);
}

static void end_listen(struct end *end, const char *text)
{
	struct address address;

	*end = end_of(on_event);
	assert_true(address_parse(&address, text));
	assert_int_equal(fixture_listen(&end->source, &address, 512, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_watch(fixture.io, &end->source), 0);
}

static void end_connect(struct end *end, const struct end *listener)
{
	struct address address;

	assert_int_equal(io_local_address(fixture.io, &listener->source, &address), 0);
	int result = io_connect(fixture.io, &end->source, &address);
	assert_true(result == 0 || result == -EINPROGRESS);
	end_await(end, IO_WRITABLE);
	assert_int_equal(io_connect_result(fixture.io, &end->source), 0);
	end_forget(end);
}

/* So many have connected, and wait to be accepted. */
static void end_listen_to(struct end *listener, struct end *clients, int count)
{
	end_listen(listener, "127.0.0.1:0");
	for (int i = 0; i < count; i++) {
		clients[i] = end_of(on_event);
		end_connect(&clients[i], listener);
	}
	end_await(listener, IO_READABLE);
}

static void end_accept(struct end *end, struct end *listener, struct address *peer)
{
	end_await(listener, IO_READABLE);
	assert_int_equal(io_accept(fixture.io, &listener->source, &end->source, peer), 0);
	assert_int_equal(io_watch(fixture.io, &end->source), 0);
	end_await(end, IO_WRITABLE);
	end_forget(end);
}

static void end_send(struct end *end, const char *text)
{
	struct iovec piece = {(void *)(uintptr_t)text, strlen(text)};

	assert_int_equal(io_sendv(fixture.io, &end->source, &piece, 1), strlen(text));
}

static void end_expect(struct end *end, const char *text)
{
	char bytes[64];

	assert_int_equal(io_recv(fixture.io, &end->source, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
}

static void end_expect_result(struct end *end, ssize_t result)
{
	char byte;

	assert_int_equal(io_recv(fixture.io, &end->source, &byte, 1), result);
}

static void pair_open(struct pair *pair, const char *text)
{
	struct address peer;

	end_listen(&pair->listener, text);
	pair->client = end_of(on_event);
	pair->server = end_of(on_event);
	end_connect(&pair->client, &pair->listener);
	end_accept(&pair->server, &pair->listener, &peer);
}

static void pair_close(struct pair *pair)
{
	io_close(fixture.io, &pair->client.source);
	io_close(fixture.io, &pair->server.source);
	io_close(fixture.io, &pair->listener.source);
	assert_int_equal(pair->client.source.fd, -1);
	io_close(fixture.io, &pair->client.source);
}

/* --- opening ------------------------------------------------------------------------------------------------ */

static void assert_settings(int fd, bool tcp)
{
	int on = 0;
	socklen_t len = sizeof(on);

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (!tcp)
		return;
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_int_equal(on, 1);
}

static void exchange(const char *text, bool tcp)
{
	struct pair pair = {.client = end_of(on_event), .server = end_of(on_event)};
	char seen[ADDRESS_TEXT_MAX], own[ADDRESS_TEXT_MAX];
	struct address peer, local;

	end_listen(&pair.listener, text);
	end_connect(&pair.client, &pair.listener);
	end_accept(&pair.server, &pair.listener, &peer);
	assert_int_equal(io_accept(fixture.io, &pair.listener.source, &(struct io_source){.fd = -1}, &local), -EAGAIN);
	assert_int_equal(io_local_address(fixture.io, &pair.client.source, &local), 0);
	address_format(&peer, seen);
	address_format(&local, own);
	assert_string_equal(seen, own);
	assert_settings(pair.listener.source.fd, false);
	assert_settings(pair.client.source.fd, tcp);
	assert_settings(pair.server.source.fd, tcp);
	end_send(&pair.client, "question");
	end_await(&pair.server, IO_READABLE);
	end_expect(&pair.server, "question");
	end_expect_result(&pair.server, -EAGAIN);
	end_send(&pair.server, "answer");
	end_await(&pair.client, IO_READABLE);
	end_expect(&pair.client, "answer");
	pair_close(&pair);
}

static void test_ipv4(void **state)
{
	exchange("127.0.0.1:0", true);
}

static bool ipv6_works(void)
{
	struct io_source source = {.fd = -1};
	struct address address;

	assert_true(address_parse(&address, "[::1]:0"));
	int error = fixture_listen(&source, &address, 1, &(struct io_bind_options){0});
	io_close(fixture.io, &source);
	return error == 0;
}

static void test_ipv6(void **state)
{
	if (!ipv6_works()) {
		fixture_close();
		skip();
	}
	exchange("[::1]:0", true);
}

static void test_refused(void **state)
{
	struct end listener, client = end_of(on_event);
	struct address address;

	end_listen(&listener, "127.0.0.1:0");
	assert_int_equal(io_local_address(fixture.io, &listener.source, &address), 0);
	io_close(fixture.io, &listener.source);
	int result = io_connect(fixture.io, &client.source, &address);
	if (result == -EINPROGRESS) {
		end_await(&client, IO_BROKEN);
		result = io_connect_result(fixture.io, &client.source);
		io_close(fixture.io, &client.source);
	}
	assert_int_equal(result, -ECONNREFUSED);
	assert_int_equal(client.source.fd, -1);
}

/* --- events ------------------------------------------------------------------------------------------------- */

/* One arrival, one event: what was not read is not told again, what comes later is. */
static void test_edges(void **state)
{
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	end_send(&pair.client, "first");
	end_await(&pair.server, IO_READABLE);
	end_forget(&pair.server);
	run_pending();
	run_pending();
	assert_int_equal(pair.server.count, 0);
	end_send(&pair.client, "second");
	end_await(&pair.server, IO_READABLE);
	end_expect(&pair.server, "firstsecond");
	pair_close(&pair);
}

/* A listener is told of each who waits as long as they do, unless it is not to be. */
static void test_a_listener_is_told_again(void **state)
{
	struct end listener, client, server = end_of(on_event);
	struct address peer;

	end_listen_to(&listener, &client, 1);
	for (int i = 0; i < 3; i++) {
		end_forget(&listener);
		end_await(&listener, IO_READABLE);
	}
	io_unwatch(fixture.io, &listener.source);
	end_forget(&listener);
	run_pending();
	run_pending();
	assert_int_equal(listener.count, 0);
	assert_int_equal(io_watch(fixture.io, &listener.source), 0);
	end_accept(&server, &listener, &peer);
	end_forget(&listener);
	run_pending();
	assert_int_equal(listener.count, 0);
	io_close(fixture.io, &server.source);
	io_close(fixture.io, &client.source);
	io_close(fixture.io, &listener.source);
}

/* Nothing at all happens on an idle connection, nor at an idle listener. */
static void test_silence(void **state)
{
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	end_forget(&pair.listener);
	for (int i = 0; i < 10; i++)
		run_pending();
	assert_int_equal(pair.client.count + pair.server.count + pair.listener.count, 0);
	pair_close(&pair);
}

static void test_half_close(void **state)
{
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	end_send(&pair.client, "last");
	io_shutdown_write(fixture.io, &pair.client.source);
	end_await(&pair.server, IO_READABLE | IO_PEER_CLOSED);
	assert_false(pair.server.events & IO_BROKEN);
	end_expect(&pair.server, "last");
	end_expect_result(&pair.server, 0);
	end_send(&pair.server, "answer");
	end_await(&pair.client, IO_READABLE);
	end_expect(&pair.client, "answer");
	io_close(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_PEER_CLOSED | IO_BROKEN);
	end_expect_result(&pair.client, 0);
	pair_close(&pair);
}

static unsigned segments_received(const struct end *end)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(end->source.fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_segs_in;
}

static void send_one_more(struct io *io, struct io_source *source)
{
	static char text[] = "!";
	struct iovec piece = {text, 1};

	assert_int_equal(io_sendv(io, source, &piece, 1), 1);
}

static void drain_one_more(struct io *io, struct io_source *source)
{
	unsigned pipe = io_pipe_lend(io);
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	end_send(&pair.client, "!");
	end_await(&pair.server, IO_READABLE);
	assert_int_equal(io_pipe_fill(io, pipe, &pair.server.source, 1), 1);
	assert_int_equal(io_pipe_drain(io, pipe, source), 1);
	io_pipe_give_back(io, pipe);
	pair_close(&pair);
}

struct following {
	int count; /* of pieces */
	void (*follow)(struct io *io, struct io_source *source);
	bool is_end;
};

/* With how many segments bytes came and what followed them. */
static unsigned segments_with(const struct following *following)
{
	static char text[] = "last";
	struct iovec whole = {text, 4}, parts[2] = {{text, 1}, {text + 1, 3}};
	struct pair pair;
	unsigned before;

	pair_open(&pair, "127.0.0.1:0");
	before = segments_received(&pair.client);
	assert_int_equal(io_sendv_more(fixture.io, &pair.server.source, following->count == 1 ? &whole : parts, following->count), 4);
	following->follow(fixture.io, &pair.server.source);
	end_await(&pair.client, following->is_end ? IO_READABLE | IO_PEER_CLOSED : IO_READABLE);
	before = segments_received(&pair.client) - before;
	end_expect(&pair.client, following->is_end ? "last" : "last!");
	if (following->is_end)
		end_expect_result(&pair.client, 0);
	pair_close(&pair);
	return before;
}

/* They go together, unless the machine is so busy that the system waits for it no longer: not ten times. */
static void test_bytes_and_what_follows_together(void **state)
{
	static const struct following followings[] = {
		{1, io_close, true},
		{2, io_close, true},
		{1, io_shutdown_write, true},
		{1, send_one_more, false},
		{2, send_one_more, false},
		{1, drain_one_more, false},
	};

	for (size_t i = 0; i < COUNT(followings); i++) {
		unsigned least = 100;

		for (int times = 0; times < 10 && least > 1; times++) {
			unsigned segments = segments_with(&followings[i]);

			least = segments < least ? segments : least;
		}
		assert_int_equal(least, 1);
	}
}

static void test_abort_is_a_reset(void **state)
{
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	end_send(&pair.server, "half of the answ");
	end_await(&pair.client, IO_READABLE);
	end_expect(&pair.client, "half of the answ");
	io_abort(fixture.io, &pair.server.source);
	assert_int_equal(pair.server.source.fd, -1);
	end_await(&pair.client, IO_BROKEN);
	assert_false(pair.client.events & IO_HUNG_UP);
	end_expect_result(&pair.client, -ECONNRESET);
	io_abort(fixture.io, &pair.server.source);
	pair_close(&pair);
}

/* Sending to somebody who is gone is an error of the call, not a signal. */
static void test_sending_into_the_void(void **state)
{
	static char byte = 'x';
	struct iovec pieces[2] = {{&byte, 1}, {&byte, 1}};
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	io_abort(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_BROKEN);
	end_expect_result(&pair.client, -ECONNRESET);
	assert_int_equal(io_sendv(fixture.io, &pair.client.source, pieces, 1), -EPIPE);
	assert_int_equal(io_sendv(fixture.io, &pair.client.source, pieces, 2), -EPIPE);
	pair_close(&pair);
}

static void test_vectors(void **state)
{
	static char text[3][5] = {"one ", "two ", "three"};
	struct iovec pieces[3] = {{text[0], 4}, {text[1], 4}, {text[2], 5}};
	struct pair pair;

	pair_open(&pair, "127.0.0.1:0");
	assert_int_equal(io_sendv(fixture.io, &pair.client.source, pieces, 3), 13);
	end_await(&pair.server, IO_READABLE);
	end_expect(&pair.server, "one two three");
	pair_close(&pair);
}

static size_t drain(struct end *end)
{
	static char bytes[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = io_recv(fixture.io, &end->source, bytes, sizeof(bytes))) > 0)
		total += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return total;
}

/* Fills the connection until -EAGAIN; draining it brings an event, and not a byte was lost. */
static void test_backpressure(void **state)
{
	static char bytes[50000];
	struct iovec pieces[2] = {{bytes, 20000}, {bytes + 20000, 30000}};
	size_t sent = 0, received = 0;
	struct pair pair;
	ssize_t n;

	pair_open(&pair, "127.0.0.1:0");
	while ((n = io_sendv(fixture.io, &pair.client.source, pieces, 2)) > 0)
		sent += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	end_forget(&pair.client);
	while ((pair.client.events & IO_WRITABLE) == 0) {
		received += drain(&pair.server);
		io_run(fixture.io);
	}
	end_send(&pair.client, "more");
	for (sent += 4; (received += drain(&pair.server)) < sent;)
		io_run(fixture.io);
	assert_int_equal(received, sent);
	pair_close(&pair);
}

/* What the peer has not taken is told, and each piece that it takes, long before there is room; in the end there is nothing. */
static void count_unsent(const char *text)
{
	static char bytes[50000];
	size_t before, all;
	struct pair pair;

	pair_open(&pair, text);
	assert_int_equal(io_unsent(fixture.io, &pair.client.source), 0);
	while (io_sendv(fixture.io, &pair.client.source, &(struct iovec){bytes, sizeof(bytes)}, 1) > 0)
		;
	run_pending();
	end_forget(&pair.client);
	all = before = io_unsent(fixture.io, &pair.client.source);
	assert_true(before > 0);
	while (io_unsent(fixture.io, &pair.client.source) == before) {
		io_recv(fixture.io, &pair.server.source, bytes, 4096);
		run_pending();
	}
	assert_true(io_unsent(fixture.io, &pair.client.source) < all);
	assert_int_equal(pair.client.events & IO_WRITABLE, 0);
	while (io_unsent(fixture.io, &pair.client.source) > 0) {
		drain(&pair.server);
		run_pending();
	}
	pair_close(&pair);
	assert_int_equal(io_unsent(fixture.io, &pair.client.source), 0);
}

static void test_unsent(void **state)
{
	count_unsent("127.0.0.1:0");
}

/* --- stale events ------------------------------------------------------------------------------------------- */

/* Two connections become readable in one batch; whoever is told first closes both and opens the other anew. */
static struct duel {
	struct end listener;
	struct end ends[2];
	struct address address;
	int told; /* index of the one that was told */
	bool over;
} duel;

static void on_reopened(struct io_source *source, unsigned events)
{
	assert_true(duel.over);
	on_event(source, events);
}

static void on_duel_over(struct io_message *message)
{
	duel.over = true;
	io_stop(fixture.io);
}

static void on_duel(struct io_source *source, unsigned events)
{
	static struct io_message over = {.on_receive = on_duel_over};

	duel.told = source == &duel.ends[1].source;
	struct end *other = &duel.ends[!duel.told];

	io_close(fixture.io, source);
	io_close(fixture.io, &other->source);
	*other = end_of(on_reopened);
	int result = io_connect(fixture.io, &other->source, &duel.address);
	assert_true(result == 0 || result == -EINPROGRESS);
	/* Messages come after the batch: events of the new connection belong to a later one. */
	io_post(fixture.io, &over);
}

static void test_stale_events(void **state)
{
	struct end servers[2];
	struct address peer;

	memset(&duel, 0, sizeof(duel));
	end_listen(&duel.listener, "127.0.0.1:0");
	assert_int_equal(io_local_address(fixture.io, &duel.listener.source, &duel.address), 0);
	for (int i = 0; i < 2; i++) {
		duel.ends[i] = end_of(on_event);
		servers[i] = end_of(on_event);
		end_connect(&duel.ends[i], &duel.listener);
		end_accept(&servers[i], &duel.listener, &peer);
		end_forget(&duel.listener);
		duel.ends[i].source.on_event = on_duel;
	}
	end_send(&servers[0], "x");
	end_send(&servers[1], "x");
	while (!duel.over)
		io_run(fixture.io);
	struct end *reopened = &duel.ends[!duel.told];

	end_await(reopened, IO_WRITABLE);
	assert_int_equal(io_connect_result(fixture.io, &reopened->source), 0);
	io_close(fixture.io, &reopened->source);
	io_close(fixture.io, &servers[0].source);
	io_close(fixture.io, &servers[1].source);
	io_close(fixture.io, &duel.listener.source);
}

/* Two connections become readable in one batch: who is told first sees that the other will be. */
static unsigned due_of_the_other;

static void on_first_of_two(struct io_source *source, unsigned events)
{
	struct end *other = &duel.ends[source == &duel.ends[0].source];

	assert_int_equal(source->due, 0);
	if (!duel.over)
		due_of_the_other = other->source.due;
	else
		assert_int_equal(other->source.due, 0);
	duel.over = true;
	on_event(source, events);
}

static void test_due(void **state)
{
	struct end servers[2];
	struct address peer;

	memset(&duel, 0, sizeof(duel));
	due_of_the_other = 0;
	end_listen(&duel.listener, "127.0.0.1:0");
	for (int i = 0; i < 2; i++) {
		duel.ends[i] = end_of(on_event);
		servers[i] = end_of(on_event);
		end_connect(&duel.ends[i], &duel.listener);
		end_accept(&servers[i], &duel.listener, &peer);
		end_forget(&duel.listener);
		duel.ends[i].source.on_event = on_first_of_two;
	}
	run_pending();
	assert_false(duel.over);
	end_send(&servers[0], "x");
	io_shutdown_write(fixture.io, &servers[1].source);
	run_pending();
	assert_true(due_of_the_other & IO_READABLE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(duel.ends[i].source.due, 0);
		io_close(fixture.io, &duel.ends[i].source);
		io_close(fixture.io, &servers[i].source);
	}
	io_close(fixture.io, &duel.listener.source);
}

/* --- lag ---------------------------------------------------------------------------------------------------- */

#define SLOW_US 20000

static struct {
	struct io_message message;
	uint64_t began_us;             /* the slow tick */
	uint64_t of_before, of_tick;   /* the lag of what was sent before it, and in it; as the tick behind it tells */
} late;

static void spin(uint64_t us)
{
	uint64_t until_us = clock_us(CLOCK_MONOTONIC) + us;

	while (clock_us(CLOCK_MONOTONIC) < until_us)
		;
}

static void on_slow(struct io_source *source, unsigned events)
{
	late.began_us = io_now_us(fixture.io);
	spin(SLOW_US);
	on_event(source, events);
}

static void on_look(struct io_message *message)
{
	late.of_before = io_lag_us(fixture.io, late.began_us - 1);
	late.of_tick = io_lag_us(fixture.io, late.began_us);
}

/* What is told behind a tick of two events, the one of them slow, may have come as soon as that tick had begun. */
static void test_lag(void **state)
{
	struct pair pairs[2];

	pair_open(&pairs[0], "127.0.0.1:0");
	pair_open(&pairs[1], "127.0.0.1:0");
	run_pending();
	pairs[0].client.source.on_event = on_slow;
	end_send(&pairs[0].server, "x");
	end_send(&pairs[1].server, "x");
	end_await(&pairs[0].client, IO_READABLE);
	uint64_t lag_us = io_lag_us(fixture.io, late.began_us - 1);
	assert_true(lag_us >= SLOW_US);
	/* The loop slept behind it: what has come since was told at once; but not what was sent in that tick, and so when? */
	spin(1000);
	late.message.on_receive = on_look;
	io_post(fixture.io, &late.message);
	run_pending();
	assert_int_equal(late.of_before, 0);
	assert_int_equal(late.of_tick, lag_us);
	/* A tick with one event is none that anybody waits for. */
	run_pending();
	assert_int_equal(io_lag_us(fixture.io, late.began_us), 0);
	pair_close(&pairs[0]);
	pair_close(&pairs[1]);
}

/* More events than a batch holds, and every second connection closed by its neighbour's event. */
enum { CROWD = 300 };

static struct end crowd[CROWD];

static void on_crowd(struct io_source *source, unsigned events)
{
	long i = container_of(source, struct end, source) - crowd;

	on_event(source, events);
	if (i % 2 == 0)
		io_close(fixture.io, &crowd[i + 1].source);
}

static void test_crowd(void **state)
{
	static struct end servers[CROWD];
	struct end listener;
	struct address peer;
	int told = 0;

	end_listen(&listener, "127.0.0.1:0");
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = end_of(on_event);
		servers[i] = end_of(on_event);
		end_connect(&crowd[i], &listener);
		end_accept(&servers[i], &listener, &peer);
		end_forget(&listener);
		crowd[i].source.on_event = on_crowd;
	}
	for (int i = 0; i < CROWD; i++)
		end_send(&servers[i], "x");
	run_pending();
	run_pending();
	for (int i = 0; i < CROWD; i += 2) {
		assert_int_equal(crowd[i].count, 1);
		assert_int_equal(crowd[i + 1].source.fd, -1);
		told += crowd[i + 1].count;
	}
	assert_true(told < CROWD / 2);
	for (int i = 0; i < CROWD; i++) {
		io_close(fixture.io, &crowd[i].source);
		io_close(fixture.io, &servers[i].source);
	}
	io_close(fixture.io, &listener.source);
}

/* More than a tick's part of those that came, and a few that were opened from here, which became readable last. */
enum { GUESTS = 120, PART = 64, OPENED = 3 };

static struct end guests[GUESTS], opened[GUESTS];
static int guests_told, opened_told;

static void on_guest(struct io_source *source, unsigned events)
{
	assert_int_equal(opened_told, OPENED);
	guests_told++;
	on_event(source, events);
}

static void on_opened(struct io_source *source, unsigned events)
{
	opened_told++;
	on_event(source, events);
}

static void test_opened_before_a_crowd(void **state)
{
	struct end listener, *closed = &guests[GUESTS - 1];
	struct address peer;

	guests_told = opened_told = 0;
	end_listen(&listener, "127.0.0.1:0");
	for (int i = 0; i < GUESTS; i++) {
		opened[i] = end_of(on_event);
		guests[i] = end_of(on_event);
		end_connect(&opened[i], &listener);
		end_accept(&guests[i], &listener, &peer);
		end_forget(&listener);
		opened[i].source.on_event = on_opened;
		guests[i].source.on_event = on_guest;
	}
	for (int i = 0; i < GUESTS; i++)
		end_send(&opened[i], "x");
	for (int i = 0; i < OPENED; i++)
		end_send(&guests[i], "y");
	run_pending();
	assert_int_equal(opened_told, OPENED);
	assert_int_equal(guests_told, PART);
	/* Those that have still to wait are not forgotten, unless they are closed. */
	assert_true(closed->source.due & IO_READABLE);
	io_close(fixture.io, &closed->source);
	end_send(&guests[OPENED], "y");
	/* That one, and the other end of what is closed, before the rest. */
	opened_told -= 2;
	run_pending();
	assert_int_equal(opened_told, OPENED);
	assert_int_equal(guests_told, GUESTS - 1);
	assert_int_equal(closed->count, 0);
	for (int i = 0; i < GUESTS; i++) {
		assert_true(&guests[i] == closed || guests[i].count == 1);
		io_close(fixture.io, &opened[i].source);
		io_close(fixture.io, &guests[i].source);
	}
	io_close(fixture.io, &listener.source);
}

/* Who waits to be accepted does not wait behind the crowd: each tick tells the listener. */
static void test_accepts_before_a_crowd(void **state)
{
	struct end listener, comer = end_of(on_event);
	struct address address, peer;

	end_listen(&listener, "127.0.0.1:0");
	for (int i = 0; i < GUESTS; i++) {
		opened[i] = end_of(on_event);
		guests[i] = end_of(on_event);
		end_connect(&opened[i], &listener);
		end_accept(&guests[i], &listener, &peer);
	}
	assert_int_equal(io_local_address(fixture.io, &listener.source, &address), 0);
	for (int i = 0; i < GUESTS; i++)
		end_send(&opened[i], "x");
	assert_true(io_connect(fixture.io, &comer.source, &address) <= 0);
	assert_false(io_is_crowded(fixture.io));
	for (int ticks = 1; ticks <= 2; ticks++) {
		end_forget(&listener);
		run_pending();
		assert_int_equal(listener.count, 1);
		assert_int_equal(io_is_crowded(fixture.io), ticks == 1);
		assert_int_equal(guests[GUESTS - 1].count, ticks == 2);
	}
	for (int i = 0; i < GUESTS; i++) {
		io_close(fixture.io, &opened[i].source);
		io_close(fixture.io, &guests[i].source);
	}
	io_close(fixture.io, &comer.source);
	io_close(fixture.io, &listener.source);
}

/* --- descriptors run out ------------------------------------------------------------------------------------ */

static struct rlimit limit_descriptors_to_those_open(void)
{
	struct rlimit before, now;
	int lowest = dup(STDIN_FILENO);

	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = (struct rlimit){(rlim_t)lowest, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

/* Another process goes on listening: a connection that comes then is none of this loop's business. */
static void test_a_closed_listener_that_others_have(void **state)
{
	struct end listener, client = end_of(on_event);
	struct address address;

	end_listen(&listener, "127.0.0.1:0");
	assert_int_equal(io_local_address(fixture.io, &listener.source, &address), 0);
	int others = dup(listener.source.fd);

	assert_true(others >= 0);
	io_close(fixture.io, &listener.source);
	assert_int_equal(io_connect(fixture.io, &client.source, &address), -EINPROGRESS);
	end_await(&client, IO_WRITABLE);
	run_pending();
	assert_int_equal(listener.count, 0);
	io_close(fixture.io, &client.source);
	close(others);
}

/* With a backlog of 1 two may wait. */
static void test_a_full_accept_queue_is_told(void **state)
{
	struct end listener = end_of(on_event), clients[4];
	struct address address;

	assert_true(address_parse(&address, "127.0.0.1:0"));
	assert_int_equal(fixture_listen(&listener.source, &address, 1, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_local_address(fixture.io, &listener.source, &address), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(io_accept_drops(fixture.io, &listener.source), i < 3 ? 0 : 1);
		clients[i] = end_of(on_event);
		assert_int_equal(io_connect(fixture.io, &clients[i].source, &address), -EINPROGRESS);
	}
	assert_int_equal(io_accept_drops(fixture.io, &listener.source), 2);
	for (int i = 0; i < 4; i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener.source);
}

static void test_shedding(void **state)
{
	struct end listener, clients[3], server = end_of(on_event);
	struct address peer;

	end_listen_to(&listener, clients, 3);
	struct rlimit before = limit_descriptors_to_those_open();
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
	assert_int_equal(server.source.fd, -1);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), 0);
	end_await(&clients[0], IO_PEER_CLOSED);
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), 0);
	end_await(&clients[1], IO_PEER_CLOSED);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), 0);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), -EAGAIN);
	io_close(fixture.io, &server.source);
	for (int i = 0; i < 3; i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener.source);
}

/* The reserve makes one connection, which is kept; the next one only when that is closed. It is not spent while nobody waits. */
static void test_reserve_is_spent_and_had_back(void **state)
{
	struct end listener, clients[3], server = end_of(on_event);
	struct address peer;

	end_listen_to(&listener, clients, 2);
	struct rlimit before = limit_descriptors_to_those_open();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
		assert_int_equal(io_reserve_spend(fixture.io, &listener.source), 0);
		assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), 0);
		assert_int_equal(io_reserve_spend(fixture.io, &listener.source), i == 0 ? -EMFILE : -EAGAIN);
		io_close(fixture.io, &server.source);
	}
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
	assert_int_equal(io_reserve_spend(fixture.io, &listener.source), -EAGAIN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end_forget(&listener);
	clients[2] = end_of(on_event);
	end_connect(&clients[2], &listener);
	end_await(&listener, IO_READABLE);
	before = limit_descriptors_to_those_open();
	assert_int_equal(io_reserve_spend(fixture.io, &listener.source), 0);
	io_reserve_restore(fixture.io);
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
	assert_int_equal(io_reserve_spend(fixture.io, &listener.source), 0);
	assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	io_close(fixture.io, &server.source);
	for (int i = 0; i < 3; i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener.source);
}

/* The reserved descriptor itself is lost for a while (another thread was quicker): shedding fails, then works again. */
static void test_shedding_without_reserve(void **state)
{
	struct end listener, clients[2];
	struct rlimit none;

	end_listen_to(&listener, clients, 2);
	struct rlimit before = limit_descriptors_to_those_open();
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), -EMFILE);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), 0);
	before = limit_descriptors_to_those_open();
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	end_await(&clients[0], IO_PEER_CLOSED);
	end_await(&clients[1], IO_PEER_CLOSED);
	for (int i = 0; i < 2; i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener.source);
}

/* The one number that is free then is the reserve's again, and no client's: who waits is shed. */
static void test_reserve_that_was_lost(void **state)
{
	struct end listener, clients[2], server = end_of(on_event);
	struct address peer;
	struct rlimit none;

	end_listen_to(&listener, clients, 2);
	struct rlimit before = limit_descriptors_to_those_open(), limited;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limited), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(io_accept_shed(fixture.io, &listener.source), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limited), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(io_accept(fixture.io, &listener.source, &server.source, &peer), -EMFILE);
		assert_int_equal(io_accept_shed(fixture.io, &listener.source), 0);
		end_await(&clients[i], IO_PEER_CLOSED);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (int i = 0; i < 2; i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener.source);
}

static void test_opening_without_descriptors(void **state)
{
	struct io_source source = {.fd = -1};
	struct address address;

	assert_true(address_parse(&address, "127.0.0.1:1"));
	struct rlimit before = limit_descriptors_to_those_open();
	assert_int_equal(io_connect(fixture.io, &source, &address), -EMFILE);
	assert_int_equal(fixture_listen(&source, &address, 1, &(struct io_bind_options){0}), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(source.fd, -1);
}

/* When memory is short, files may be. */
static void test_memory_is_told_without_descriptors(void **state)
{
	const size_t bytes = 16 << 20;
	/* Not from malloc(), which may have what an earlier test has touched and freed. */
	char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rlimit before = limit_descriptors_to_those_open();
	uint64_t resident = io_resident_bytes(fixture.io);

	assert_true(block != MAP_FAILED);
	assert_true(resident > 0);
	memset(block, 1, bytes);
	assert_true(io_resident_bytes(fixture.io) >= resident + bytes / 2);
	munmap(block, bytes);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* --- listening addresses ------------------------------------------------------------------------------------ */

static int listen_at(struct io_source *source, const struct address *address, bool reuse_port)
{
	*source = (struct io_source){.fd = -1, .on_event = on_event};
	return fixture_listen(source, address, 5, &(struct io_bind_options){.reuse_port = reuse_port});
}

static void test_taken_port(void **state)
{
	struct io_source a, b;
	struct address address;

	assert_true(address_parse(&address, "127.0.0.1:0"));
	assert_int_equal(listen_at(&a, &address, false), 0);
	assert_int_equal(io_local_address(fixture.io, &a, &address), 0);
	assert_int_equal(listen_at(&b, &address, false), -EADDRINUSE);
	assert_int_equal(b.fd, -1);
	io_close(fixture.io, &a);
	assert_int_equal(listen_at(&a, &address, true), 0);
	assert_int_equal(listen_at(&b, &address, true), 0);
	io_close(fixture.io, &a);
	io_close(fixture.io, &b);
}

/* A server that closed first leaves connections in TIME_WAIT; they do not keep it from starting again. */
static void test_restart(void **state)
{
	struct pair pair;
	struct io_source again;
	struct address address;

	pair_open(&pair, "127.0.0.1:0");
	assert_int_equal(io_local_address(fixture.io, &pair.listener.source, &address), 0);
	io_close(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_PEER_CLOSED);
	pair_close(&pair);
	assert_int_equal(listen_at(&again, &address, false), 0);
	io_close(fixture.io, &again);
}

/* IPv6 listeners take IPv6 only, so both families may have the same port. */
static void test_same_port_in_both_families(void **state)
{
	struct io_source v4, v6;
	struct address address, address6;

	if (!ipv6_works()) {
		fixture_close();
		skip();
	}
	assert_true(address_parse(&address, "0.0.0.0:0"));
	assert_true(address_parse(&address6, "[::]:0"));
	assert_int_equal(listen_at(&v4, &address, false), 0);
	assert_int_equal(io_local_address(fixture.io, &v4, &address), 0);
	((struct sockaddr_in6 *)&address6.u.storage)->sin6_port = ((struct sockaddr_in *)&address.u.storage)->sin_port;
	assert_int_equal(listen_at(&v6, &address6, false), 0);
	io_close(fixture.io, &v4);
	io_close(fixture.io, &v6);
}

/* --- unix sockets ------------------------------------------------------------------------------------------- */

static char directory[64];
static char path[96];
static char path_text[128];
static struct address path_address;

static int unix_setup(void **state)
{
	strcpy(directory, "/tmp/weir-unit-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(path_text, sizeof(path_text), "unix:%s", path);
	assert_true(address_parse(&path_address, path_text));
	return 0;
}

static int unix_teardown(void **state)
{
	unlink(path);
	return rmdir(directory);
}

static void test_unix(void **state)
{
	exchange(path_text, false);
}

static void test_unix_unsent(void **state)
{
	count_unsent(path_text);
}

static void test_unix_end(void **state)
{
	struct pair pair;

	pair_open(&pair, path_text);
	end_send(&pair.server, "last");
	io_abort(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_READABLE | IO_PEER_CLOSED);
	end_expect(&pair.client, "last");
	end_expect_result(&pair.client, 0);
	pair_close(&pair);
}

/* Whoever closes there ends both directions: that is no failure, unless it has left bytes unread. */
static void test_unix_hang_up(void **state)
{
	struct pair pair;

	pair_open(&pair, path_text);
	end_send(&pair.server, "last");
	io_close(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_READABLE | IO_PEER_CLOSED | IO_BROKEN | IO_HUNG_UP);
	end_expect(&pair.client, "last");
	end_expect_result(&pair.client, 0);
	pair_close(&pair);
}

static void test_unix_reset(void **state)
{
	struct pair pair;

	pair_open(&pair, path_text);
	end_send(&pair.client, "never read");
	end_await(&pair.server, IO_READABLE);
	io_close(fixture.io, &pair.server.source);
	end_await(&pair.client, IO_BROKEN);
	assert_false(pair.client.events & IO_HUNG_UP);
	end_expect_result(&pair.client, -ECONNRESET);
	pair_close(&pair);
}

static void test_unix_live_server_is_left_alone(void **state)
{
	struct end listener;
	struct io_source second;

	end_listen(&listener, path_text);
	assert_int_equal(listen_at(&second, &path_address, true), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
	io_close(fixture.io, &listener.source);
}

/* A server too busy to answer is alive: its file stays. A client is told to come again. */
static void test_unix_busy_server_is_left_alone(void **state)
{
	struct end clients[3] = {end_of(on_event), end_of(on_event), end_of(on_event)};
	struct io_source listener = {.fd = -1}, second;
	int result = 0;

	assert_int_equal(fixture_listen(&listener, &path_address, 0, &(struct io_bind_options){0}), 0);
	for (size_t i = 0; i < COUNT(clients) && result == 0; i++)
		result = io_connect(fixture.io, &clients[i].source, &path_address);
	assert_int_equal(result, -EAGAIN);
	assert_int_equal(listen_at(&second, &path_address, false), -EADDRINUSE);
	for (size_t i = 0; i < COUNT(clients); i++)
		io_close(fixture.io, &clients[i].source);
	io_close(fixture.io, &listener);
}

static void test_unix_stale_file_is_replaced(void **state)
{
	struct end listener;

	end_listen(&listener, path_text);
	io_close(fixture.io, &listener.source);
	assert_int_equal(access(path, F_OK), 0);
	exchange(path_text, false);
}

/* One that does not listen yet looks like it, too: whoever has bound it finds that the path is not its own any more. */
static void test_unix_path_that_is_anothers(void **state)
{
	struct io_source first = {.fd = -1}, second = {.fd = -1};

	assert_int_equal(io_bind(fixture.io, &first, &path_address, &(struct io_bind_options){0}), 0);
	const struct io_file firsts = io_bound_file(fixture.io, &first);

	assert_int_equal(io_listen_check(fixture.io, &first, &firsts), 0);
	assert_int_equal(io_bind(fixture.io, &second, &path_address, &(struct io_bind_options){0}), 0);
	const struct io_file seconds = io_bound_file(fixture.io, &second);

	assert_int_equal(io_listen_check(fixture.io, &first, &firsts), -EADDRINUSE);
	assert_int_equal(io_listen_check(fixture.io, &second, &seconds), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(io_listen_check(fixture.io, &second, &seconds), -ENOENT);
	io_close(fixture.io, &first);
	io_close(fixture.io, &second);
}

/* Bound for somebody else to take: he does not get it then, and the file of the other stays. */
static void test_unix_path_of_one_to_be_taken(void **state)
{
	struct inherited in = {0};
	struct io_source other = {.fd = -1};

	assert_int_equal(inherited_bind(&in, &path_address, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_bind(fixture.io, &other, &path_address, &(struct io_bind_options){0}), 0);
	assert_int_equal(inherited_take(&in, &path_address), -EADDRINUSE);
	inherited_unbind(&in);
	assert_int_equal(access(path, F_OK), 0);
	io_close(fixture.io, &other);
}

static void test_unix_other_files_are_left_alone(void **state)
{
	struct io_source source;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listen_at(&source, &path_address, false), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_unix_mode(void **state)
{
	static const mode_t modes[] = {0600, 0666, 0777};
	struct io_source source;
	struct stat file;

	for (size_t i = 0; i < COUNT(modes); i++) {
		const struct io_bind_options options = {.unix_mode = modes[i]};

		source = (struct io_source){.fd = -1};
		assert_int_equal(fixture_listen(&source, &path_address, 5, &options), 0);
		assert_int_equal(stat(path, &file), 0);
		assert_int_equal(file.st_mode & 07777, modes[i]);
		io_close(fixture.io, &source);
	}
}

static void test_unix_nobody_there(void **state)
{
	struct end client = end_of(on_event);

	assert_int_equal(io_connect(fixture.io, &client.source, &path_address), -ENOENT);
	assert_int_equal(client.source.fd, -1);
}

static struct CMUnitTest unix_test(const char *name, struct loop_test *test)
{
	struct CMUnitTest on_loop = loop_test(name, test);

	on_loop.setup_func = unix_setup;
	on_loop.teardown_func = unix_teardown;
	return on_loop;
}

#define UNIX_TEST(function) unix_test(#function, &(struct loop_test){function})

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_ipv4),
		LOOP_TEST(test_ipv6),
		LOOP_TEST(test_refused),
		LOOP_TEST(test_edges),
		LOOP_TEST(test_a_listener_is_told_again),
		LOOP_TEST(test_silence),
		LOOP_TEST(test_half_close),
		LOOP_TEST(test_bytes_and_what_follows_together),
		LOOP_TEST(test_abort_is_a_reset),
		LOOP_TEST(test_sending_into_the_void),
		LOOP_TEST(test_vectors),
		LOOP_TEST(test_backpressure),
		LOOP_TEST(test_unsent),
		LOOP_TEST(test_stale_events),
		LOOP_TEST(test_due),
		LOOP_TEST(test_lag),
		LOOP_TEST(test_crowd),
		LOOP_TEST(test_opened_before_a_crowd),
		LOOP_TEST(test_accepts_before_a_crowd),
		LOOP_TEST(test_a_closed_listener_that_others_have),
		LOOP_TEST(test_a_full_accept_queue_is_told),
		LOOP_TEST(test_shedding),
		LOOP_TEST(test_reserve_is_spent_and_had_back),
		LOOP_TEST(test_shedding_without_reserve),
		LOOP_TEST(test_reserve_that_was_lost),
		LOOP_TEST(test_opening_without_descriptors),
		LOOP_TEST(test_memory_is_told_without_descriptors),
		LOOP_TEST(test_taken_port),
		LOOP_TEST(test_restart),
		LOOP_TEST(test_same_port_in_both_families),
		UNIX_TEST(test_unix),
		UNIX_TEST(test_unix_end),
		UNIX_TEST(test_unix_unsent),
		UNIX_TEST(test_unix_hang_up),
		UNIX_TEST(test_unix_reset),
		UNIX_TEST(test_unix_live_server_is_left_alone),
		UNIX_TEST(test_unix_busy_server_is_left_alone),
		UNIX_TEST(test_unix_stale_file_is_replaced),
		UNIX_TEST(test_unix_path_that_is_anothers),
		UNIX_TEST(test_unix_path_of_one_to_be_taken),
		UNIX_TEST(test_unix_other_files_are_left_alone),
		UNIX_TEST(test_unix_mode),
		UNIX_TEST(test_unix_nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
