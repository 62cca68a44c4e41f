/*
 * A conn against a plain socket. Sending and receiving pass through the wrappers below, so that a test can say how many
 * bytes the kernel takes, what it answers, and can count the calls.
 */
#include "end.h"

#include "net/conn.h"

/* --- the kernel, as the test wants it ---------------------------------------------------------------------------- */

ssize_t __real_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count);
ssize_t __real_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n);
ssize_t __wrap_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n);

static struct {
	struct io_source *source; /* whose calls are counted and changed; NULL: nobody's */
	size_t sends, receives;
	bool limited; /* the next send takes `takes` bytes, those after it nothing */
	size_t takes;
	int send_error; /* what sending answers, when not 0 */
} kernel;

static ssize_t send_some(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	struct iovec cut[8];
	size_t left = kernel.takes;
	int n = 0;

	kernel.takes = 0;
	for (int i = 0; i < count && left > 0; i++) {
		cut[n] = iov[i];
		if (cut[n].iov_len > left)
			cut[n].iov_len = left;
		left -= cut[n++].iov_len;
	}
	return n > 0 ? __real_io_sendv(io, source, cut, n) : -EAGAIN;
}

ssize_t __wrap_io_sendv(struct io *io, struct io_source *source, const struct iovec *iov, int count)
{
	if (source != kernel.source)
		return __real_io_sendv(io, source, iov, count);
	kernel.sends++;
	if (kernel.send_error != 0)
		return kernel.send_error;
	return kernel.limited ? send_some(io, source, iov, count) : __real_io_sendv(io, source, iov, count);
}

ssize_t __wrap_io_recv(struct io *io, struct io_source *source, void *bytes, size_t n)
{
	kernel.receives += source == kernel.source;
	return __real_io_recv(io, source, bytes, n);
}

/* --- a conn and its peer ----------------------------------------------------------------------------------------- */

struct pair {
	struct door door;
	struct conn conn;
	struct end end;
	unsigned ready; /* how often on_ready was called */
};

static void on_ready(struct conn *conn)
{
	container_of(conn, struct pair, conn)->ready++;
	io_stop(fixture.io);
}

static void pair_open(struct pair *pair)
{
	struct address peer;
	int result;

	*pair = (struct pair){.conn.on_ready = on_ready};
	memset(&kernel, 0, sizeof(kernel));
	door_open(&pair->door);
	end_connect(&pair->end, &pair->door.address);
	while ((result = conn_accept(&pair->conn, fixture.io, &pair->door.source, &peer)) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(result, 0);
	kernel.source = &pair->conn.source;
	run_pending();
	pair->ready = 0;
}

static void pair_close(struct pair *pair)
{
	conn_close(&pair->conn);
	end_close(&pair->end);
	door_close(&pair->door);
}

static void await_readable(struct conn *conn)
{
	while (!conn->readable)
		io_run(fixture.io);
}

static int send_text(struct conn *conn, const char *text)
{
	struct iovec piece = {(void *)(uintptr_t)text, strlen(text)};

	return conn_sendv(conn, &piece, 1);
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static void test_accept_tells_the_peer(void **state)
{
	struct pair pair = {.conn.on_ready = on_ready};
	struct address peer, local;

	door_open(&pair.door);
	assert_int_equal(conn_accept(&pair.conn, fixture.io, &pair.door.source, &peer), -EAGAIN);
	assert_false(conn_is_open(&pair.conn));
	end_connect(&pair.end, &pair.door.address);
	assert_int_equal(conn_accept(&pair.conn, fixture.io, &pair.door.source, &peer), 0);
	assert_int_equal(io_local_address(fixture.io, &pair.end.source, &local), 0);
	assert_int_equal(address_port(&peer), address_port(&local));
	assert_true(conn_is_open(&pair.conn));
	pair_close(&pair);
	assert_false(conn_is_open(&pair.conn));
}

static void test_connect(void **state)
{
	struct pair pair = {.conn.on_ready = on_ready};

	door_open(&pair.door);
	int result = conn_connect(&pair.conn, fixture.io, &pair.door.address);
	assert_true(result == 0 || result == -EINPROGRESS);
	while (pair.ready == 0)
		io_run(fixture.io);
	assert_int_equal(conn_connect_result(&pair.conn), 0);
	assert_int_equal(pair.conn.error, 0);
	end_accept(&pair.end, &pair.door);
	assert_int_equal(send_text(&pair.conn, "hello"), 0);
	end_await(&pair.end, "hello");
	pair_close(&pair);
}

static void test_connect_refused(void **state)
{
	struct pair pair = {.conn.on_ready = on_ready};

	door_open(&pair.door);
	door_close(&pair.door);
	int result = conn_connect(&pair.conn, fixture.io, &pair.door.address);
	if (result == -EINPROGRESS) {
		while (pair.ready == 0)
			io_run(fixture.io);
		result = conn_connect_result(&pair.conn);
		assert_int_equal(pair.conn.error, -ECONNREFUSED);
		assert_int_equal(pair.conn.send_error, -ECONNREFUSED);
	}
	assert_int_equal(result, -ECONNREFUSED);
	conn_close(&pair.conn);
}

/* --- sending ----------------------------------------------------------------------------------------------------- */

/* Wherever the kernel cuts three pieces, the rest waits in `out` and follows when there is room. */
static void test_short_write(void **state)
{
	static const char text[] = "one two three";
	const size_t n = sizeof(text) - 1;

	for (size_t cut = 0; cut <= n; cut++) {
		struct iovec pieces[] = {{(void *)(uintptr_t)text, 4}, {(void *)(uintptr_t)(text + 4), 4},
			{(void *)(uintptr_t)(text + 8), n - 8}};
		struct pair pair;

		pair_open(&pair);
		kernel.limited = true;
		kernel.takes = cut;
		assert_int_equal(conn_sendv(&pair.conn, pieces, 3), 0);
		assert_int_equal(kernel.sends, 1);
		assert_int_equal(buf_len(&pair.conn.out), n - cut);
		assert_int_equal(pair.conn.taken, cut);
		assert_int_equal(conn_blocked(&pair.conn), cut < n);
		assert_int_equal(pair.conn.send_error, 0);
		kernel.limited = false;
		/* An edge in either direction tells what is ready in both. */
		end_send(&pair.end, "x");
		await_readable(&pair.conn);
		assert_false(conn_blocked(&pair.conn));
		assert_int_equal(buf_cap(&pair.conn.out), 0);
		end_await_bytes(&pair.end, n);
		end_expect(&pair.end, text);
		assert_int_equal(pair.conn.taken, n);
		pair_close(&pair);
	}
}

/* However much that is, it is never nothing again. */
static void test_what_was_taken_is_not_forgotten(void **state)
{
	struct pair pair;

	pair_open(&pair);
	pair.conn.taken = UINT32_MAX - 4;
	assert_int_equal(send_text(&pair.conn, "1234"), 0);
	assert_true(pair.conn.taken == UINT32_MAX);
	assert_int_equal(send_text(&pair.conn, "5"), 0);
	assert_int_equal(pair.conn.taken, 1);
	pair_close(&pair);
}

/* What is sent while blocked goes behind what waits, without a system call. */
static void test_order_is_kept_while_blocked(void **state)
{
	struct pair pair;

	pair_open(&pair);
	kernel.limited = true;
	kernel.takes = 2;
	assert_int_equal(send_text(&pair.conn, "abc"), 0);
	assert_int_equal(send_text(&pair.conn, "def"), 0);
	assert_int_equal(kernel.sends, 1);
	assert_view(buf_view(&pair.conn.out), "cdef");
	kernel.takes = 1;
	end_send(&pair.end, "x");
	await_readable(&pair.conn);
	assert_view(buf_view(&pair.conn.out), "def");
	assert_true(conn_blocked(&pair.conn));
	kernel.limited = false;
	conn_recv(&pair.conn, &(char[8]){0}, 8);
	end_send(&pair.end, "x");
	await_readable(&pair.conn);
	end_await_bytes(&pair.end, 6);
	end_expect(&pair.end, "abcdef");
	pair_close(&pair);
}

static void test_backpressure(void **state)
{
	const size_t piece_bytes = 256 * 1024;
	char *bytes = malloc(piece_bytes);
	struct pair pair;
	size_t sent = 0;

	assert_non_null(bytes);
	pair_open(&pair);
	pair.end.held = true;
	for (; !conn_blocked(&pair.conn); sent += piece_bytes) {
		for (size_t i = 0; i < piece_bytes; i++)
			bytes[i] = (char)((sent + i) * 7 >> 3);
		assert_int_equal(conn_sendv(&pair.conn, &(struct iovec){bytes, piece_bytes}, 1), 0);
	}
	free(bytes);
	pair.end.held = false;
	end_receive(&pair.end);
	end_await_bytes(&pair.end, sent);
	assert_false(conn_blocked(&pair.conn));
	assert_true(pair.ready > 0);
	assert_int_equal(buf_len(&pair.end.got), sent);
	for (size_t i = 0; i < sent; i++)
		if (buf_view(&pair.end.got).p[i] != (char)(i * 7 >> 3))
			fail_msg("byte %zu of %zu is wrong", i, sent);
	pair_close(&pair);
}

static void on_moment(struct io_timer *timer)
{
	io_stop(fixture.io);
}

/* What is unsent once that stays as it is: to a peer that takes nothing the kernel goes on passing what there is room for. */
static uint32_t unsent_at_last(const struct conn *conn)
{
	enum { MOMENTS = 100 };
	struct io_timer moment = {.on_fire = on_moment};
	uint32_t unsent = conn_unsent(conn);

	for (unsigned same = 0; same < MOMENTS; same++) {
		io_timer_set(fixture.io, &moment, io_now_us(fixture.io) + US_PER_MS);
		while (io_timer_armed(&moment))
			io_run(fixture.io);
		if (conn_unsent(conn) != unsent)
			same = 0;
		unsent = conn_unsent(conn);
	}
	return unsent;
}

/* A peer that takes less than makes room is seen to take something, though there is no event; and one that takes nothing is not. */
static void test_unsent(void **state)
{
	static char bytes[64 * 1024];
	/* Much less than what our side's kernel keeps: so it has no room for more because of what the peer takes here. */
	const int receive_bytes = 32 * 1024;
	struct pair pair;
	uint32_t before;

	pair_open(&pair);
	pair.end.held = true;
	setsockopt(pair.end.source.fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
	assert_int_equal(send_text(&pair.conn, "taken at once"), 0);
	/* Whether the kernel has it still is not asked. */
	assert_int_equal(conn_unsent(&pair.conn), 0);
	/* On a busy machine the kernel may have room again when it has passed on what it had. */
	do {
		while (!conn_blocked(&pair.conn))
			assert_int_equal(conn_sendv(&pair.conn, &(struct iovec){bytes, sizeof(bytes)}, 1), 0);
		before = unsent_at_last(&pair.conn);
	} while (!conn_blocked(&pair.conn));
	size_t kept = buf_len(&pair.conn.out);

	assert_true(before > kept + sizeof(bytes));
	while (conn_unsent(&pair.conn) == before) {
		io_recv(fixture.io, &pair.end.source, bytes, 4096);
		run_pending();
	}
	assert_true(conn_unsent(&pair.conn) < before);
	assert_int_equal(buf_len(&pair.conn.out), kept);
	/* What is accepted counts from then on. */
	before = conn_unsent(&pair.conn);
	assert_int_equal(send_text(&pair.conn, "more"), 0);
	assert_true(conn_unsent(&pair.conn) <= before + 4 && buf_len(&pair.conn.out) == kept + 4);
	pair_close(&pair);
	assert_int_equal(conn_unsent(&pair.conn), 0);
}

static void test_out_is_bounded(void **state)
{
	char *bytes = calloc(1, CONN_OUT_MAX);
	struct pair pair;

	assert_non_null(bytes);
	pair_open(&pair);
	kernel.limited = true;
	assert_int_equal(conn_sendv(&pair.conn, &(struct iovec){bytes, CONN_OUT_MAX}, 1), 0);
	assert_int_equal(buf_len(&pair.conn.out), CONN_OUT_MAX);
	assert_int_equal(send_text(&pair.conn, "x"), -ENOMEM);
	assert_int_equal(pair.conn.send_error, -ENOMEM);
	assert_int_equal(buf_cap(&pair.conn.out), 0);
	assert_int_equal(send_text(&pair.conn, "x"), -ENOMEM);
	free(bytes);
	pair_close(&pair);
}

/* Sending has failed; what the peer said before can still be received. */
static void test_send_error_leaves_receiving(void **state)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	end_send(&pair.end, "answer");
	await_readable(&pair.conn);
	kernel.send_error = -EPIPE;
	assert_int_equal(send_text(&pair.conn, "x"), -EPIPE);
	assert_int_equal(pair.conn.send_error, -EPIPE);
	kernel.send_error = 0;
	assert_int_equal(send_text(&pair.conn, "x"), -EPIPE);
	assert_int_equal(kernel.sends, 1);
	assert_int_equal(pair.conn.error, 0);
	assert_int_equal(conn_recv(&pair.conn, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "answer", 6);
	pair_close(&pair);
}

/* The kernel refuses what waits in `out`: it is forgotten, so nobody waits for it to go. */
static void test_flush_error(void **state)
{
	struct pair pair;

	pair_open(&pair);
	kernel.limited = true;
	assert_int_equal(send_text(&pair.conn, "abc"), 0);
	kernel.send_error = -ECONNRESET;
	end_send(&pair.end, "x");
	await_readable(&pair.conn);
	assert_int_equal(pair.conn.send_error, -ECONNRESET);
	assert_int_equal(pair.conn.error, 0);
	assert_false(conn_blocked(&pair.conn));
	pair_close(&pair);
}

/* --- receiving --------------------------------------------------------------------------------------------------- */

/* A receive of less than the buffer has drained the socket; one that filled it leaves open whether there is more. */
static void test_receive(void **state)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), -EAGAIN);
	assert_int_equal(kernel.receives, 0);
	end_send(&pair.end, "12345678");
	await_readable(&pair.conn);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 8);
	assert_true(pair.conn.readable);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), -EAGAIN);
	assert_false(pair.conn.readable);
	assert_int_equal(kernel.receives, 2);
	end_send(&pair.end, "1234567");
	await_readable(&pair.conn);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 7);
	assert_false(pair.conn.readable);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), -EAGAIN);
	assert_int_equal(kernel.receives, 3);
	pair_close(&pair);
}

/* Bytes and FIN in one event: no further edge comes, so the short receive must not end the reading. */
static void test_bytes_and_end_together(void **state)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	end_send(&pair.end, "last");
	end_shutdown(&pair.end);
	while (!pair.conn.peer_closed)
		io_run(fixture.io);
	assert_false(pair.conn.at_end);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 4);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 0);
	assert_true(pair.conn.at_end);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 0);
	assert_int_equal(pair.conn.error, 0);
	pair_close(&pair);
}

static void test_half_close(void **state)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	end_shutdown(&pair.end);
	await_readable(&pair.conn);
	assert_true(pair.conn.peer_closed);
	assert_false(pair.conn.broken);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), 0);
	assert_int_equal(send_text(&pair.conn, "still here"), 0);
	conn_shutdown_write(&pair.conn);
	assert_true(pair.conn.shut);
	conn_shutdown_write(&pair.conn);
	end_await_end(&pair.end);
	end_expect(&pair.end, "still here");
	run_pending();
	/* Both directions have ended, orderly. */
	assert_false(pair.conn.broken);
	assert_int_equal(pair.conn.error, 0);
	pair_close(&pair);
}

static void test_reset(void **state)
{
	struct pair pair;
	char bytes[8];

	pair_open(&pair);
	end_send(&pair.end, "half");
	await_readable(&pair.conn);
	end_abort(&pair.end);
	while (!pair.conn.broken)
		io_run(fixture.io);
	ssize_t got = conn_recv(&pair.conn, bytes, 8);
	if (got > 0)
		got = conn_recv(&pair.conn, bytes, 8);
	assert_int_equal(got, -ECONNRESET);
	assert_int_equal(pair.conn.error, -ECONNRESET);
	assert_int_equal(conn_recv(&pair.conn, bytes, 8), -ECONNRESET);
	assert_false(pair.conn.at_end);
	assert_true(send_text(&pair.conn, "x") < 0);
	pair_close(&pair);
}

/* --- closing ----------------------------------------------------------------------------------------------------- */

/* The last bytes are sent as such, and are there with the end. */
static void test_parting(void **state)
{
	struct pair pair;

	pair_open(&pair);
	assert_int_equal(send_text(&pair.conn, "first, "), 0);
	assert_int_equal(kernel.sends, 1);
	conn_part(&pair.conn);
	assert_int_equal(send_text(&pair.conn, "last"), 0);
	assert_int_equal(kernel.sends, 1);
	conn_shutdown_write(&pair.conn);
	end_await_end(&pair.end);
	end_expect(&pair.end, "first, last");
	pair_close(&pair);
}

static void test_abort_is_seen_as_a_reset(void **state)
{
	struct pair pair;

	pair_open(&pair);
	assert_int_equal(send_text(&pair.conn, "half an ans"), 0);
	conn_abort(&pair.conn);
	assert_true(end_await_gone(&pair.end));
	assert_false(conn_is_open(&pair.conn));
	pair_close(&pair);
}

static void test_close_is_seen_as_an_end(void **state)
{
	struct pair pair;

	pair_open(&pair);
	assert_int_equal(send_text(&pair.conn, "all of it"), 0);
	conn_close(&pair.conn);
	end_await_end(&pair.end);
	end_expect(&pair.end, "all of it");
	conn_close(&pair.conn);
	conn_shutdown_write(&pair.conn);
	pair_close(&pair);
}

static void test_close_forgets_what_was_not_sent(void **state)
{
	struct pair pair;

	pair_open(&pair);
	kernel.limited = true;
	kernel.takes = 1;
	assert_int_equal(send_text(&pair.conn, "abc"), 0);
	conn_close(&pair.conn);
	assert_int_equal(buf_cap(&pair.conn.out), 0);
	end_await_end(&pair.end);
	end_expect(&pair.end, "a");
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_accept_tells_the_peer),
		LOOP_TEST(test_connect),
		LOOP_TEST(test_connect_refused),
		LOOP_TEST(test_short_write),
		LOOP_TEST(test_what_was_taken_is_not_forgotten),
		LOOP_TEST(test_order_is_kept_while_blocked),
		LOOP_TEST(test_backpressure),
		LOOP_TEST(test_unsent),
		LOOP_TEST(test_out_is_bounded),
		LOOP_TEST(test_send_error_leaves_receiving),
		LOOP_TEST(test_flush_error),
		LOOP_TEST(test_receive),
		LOOP_TEST(test_bytes_and_end_together),
		LOOP_TEST(test_half_close),
		LOOP_TEST(test_reset),
		LOOP_TEST(test_parting),
		LOOP_TEST(test_abort_is_seen_as_a_reset),
		LOOP_TEST(test_close_is_seen_as_an_end),
		LOOP_TEST(test_close_forgets_what_was_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
