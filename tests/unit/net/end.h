/*
 * The other side of what is under test: plain sockets on the same loop. An end keeps what it receives; a door is a
 * listening socket on a free port of the loopback.
 */
#ifndef WEIR_TESTS_NET_END_H
#define WEIR_TESTS_NET_END_H

#include <errno.h>
#include <stdlib.h>

#include "../io/fixture.h"
#include "base/buf.h"

#define END_BYTES_MAX (64 * MIB)

struct end {
	struct io_source source;
	struct buf got; /* everything received so far */
	bool held; /* receives nothing, so that its peer gets blocked */
	bool heard; /* an event came */
	bool ended; /* the peer has ended its side, orderly */
	int error; /* negative errno: the connection failed */
};

struct door {
	struct io_source source;
	struct address address;
};

static inline void end_receive(struct end *end)
{
	static char bytes[64 * 1024];
	ssize_t got = 1;

	while (got > 0 && !end->ended && end->error == 0) {
		got = io_recv(fixture.io, &end->source, bytes, sizeof(bytes));
		if (got > 0)
			assert_true(buf_append(&end->got, view_of(bytes, (size_t)got), END_BYTES_MAX));
		else if (got == 0)
			end->ended = true;
		else if (got != -EAGAIN)
			end->error = (int)got;
	}
}

static inline void end_on_event(struct io_source *source, unsigned events)
{
	struct end *end = container_of(source, struct end, source);

	end->heard = true;
	if (!end->held)
		end_receive(end);
	io_stop(fixture.io);
}

static inline void door_on_event(struct io_source *source, unsigned events)
{
	io_stop(fixture.io);
}

static inline void door_open_backlog(struct door *door, int backlog)
{
	struct address any;

	*door = (struct door){.source = {.fd = -1, .on_event = door_on_event}};
	assert_true(address_parse(&any, "127.0.0.1:0"));
	assert_int_equal(fixture_listen(&door->source, &any, backlog, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_watch(fixture.io, &door->source), 0);
	assert_int_equal(io_local_address(fixture.io, &door->source, &door->address), 0);
}

static inline void door_open(struct door *door)
{
	door_open_backlog(door, 512);
}

static inline void door_close(struct door *door)
{
	io_close(fixture.io, &door->source);
}

static inline void end_init(struct end *end)
{
	*end = (struct end){.source = {.fd = -1, .on_event = end_on_event}};
}

static inline void end_accept(struct end *end, struct door *door)
{
	struct address peer;
	int result;

	end_init(end);
	while ((result = io_accept(fixture.io, &door->source, &end->source, &peer)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(result, 0);
	assert_int_equal(io_watch(fixture.io, &end->source), 0);
}

static inline void end_connect(struct end *end, const struct address *address)
{
	end_init(end);
	int result = io_connect(fixture.io, &end->source, address);

	assert_true(result == 0 || result == -EINPROGRESS);
	while (!end->heard)
		io_run(fixture.io);
	assert_int_equal(io_connect_result(fixture.io, &end->source), 0);
}

static inline void end_send_view(struct end *end, struct view bytes)
{
	while (bytes.n > 0) {
		struct iovec piece = {(void *)(uintptr_t)bytes.p, bytes.n};
		ssize_t sent = io_sendv(fixture.io, &end->source, &piece, 1);

		if (sent == -EAGAIN) {
			io_run(fixture.io);
			continue;
		}
		assert_true(sent > 0);
		bytes = view_from(bytes, (size_t)sent);
	}
}

static inline void end_send(struct end *end, const char *text)
{
	end_send_view(end, view_str(text));
}

static inline void end_shutdown(struct end *end)
{
	io_shutdown_write(fixture.io, &end->source);
}

/* Legal twice. */
static inline void end_close(struct end *end)
{
	buf_release(&end->got);
	io_close(fixture.io, &end->source);
}

static inline void end_abort(struct end *end)
{
	buf_release(&end->got);
	io_abort(fixture.io, &end->source);
}

static inline bool end_has(const struct end *end, const char *text)
{
	return buf_len(&end->got) > 0 &&
	       memmem(buf_view(&end->got).p, buf_view(&end->got).n, text, strlen(text)) != NULL;
}

static inline void end_await(struct end *end, const char *text)
{
	while (!end_has(end, text)) {
		if (end->ended || end->error != 0)
			fail_msg("\"%s\" will not come; error %d, received:\n%.*s", text, end->error,
				(int)buf_len(&end->got), buf_view(&end->got).p);
		io_run(fixture.io);
	}
}

static inline void end_await_bytes(struct end *end, size_t n)
{
	while (buf_len(&end->got) < n) {
		assert_false(end->ended);
		assert_int_equal(end->error, 0);
		io_run(fixture.io);
	}
}

/* Awaits an orderly end. */
static inline void end_await_end(struct end *end)
{
	while (!end->ended && end->error == 0)
		io_run(fixture.io);
	assert_int_equal(end->error, 0);
}

/* Awaits any end; true when it was a reset. */
static inline bool end_await_gone(struct end *end)
{
	while (!end->ended && end->error == 0)
		io_run(fixture.io);
	return end->error == -ECONNRESET;
}

static inline void end_expect(const struct end *end, const char *text)
{
	if (!view_eq(buf_view(&end->got), view_str(text)))
		fail_msg("received:\n%.*s\nexpected:\n%s", (int)buf_len(&end->got), buf_view(&end->got).p, text);
}

static inline void end_forget(struct end *end)
{
	buf_release(&end->got);
}

static inline void assert_view(struct view actual, const char *expected)
{
	if (!view_eq(actual, view_str(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

#endif
