/*
 * Content under flow control: what may stand here unread, who waits for whom, and that every byte comes through.
 */
#include "h2_rig.h"

#include "http/h2_state.h"

enum { BIG = 3 * 1024 * 1024 };

static char *pattern(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void init(struct rig *rig)
{
	struct h2_limits limits = rig_limits();

	rig_init(rig, &limits, &limits);
	rig_move(rig);
}

/* Reads all that is there and compares it with the pattern from *at on. */
static void read_and_compare(struct h2_stream *stream, const char *expected, size_t *at)
{
	struct view data;
	const char *why;

	while (h2_stream_read_body(stream, &data, &why) == H1_PIECE_DATA) {
		assert_true(*at + data.n <= BIG);
		assert_memory_equal(data.p, expected + *at, data.n);
		*at += data.n;
	}
}

static void every_byte_comes_through(void **state)
{
	static const struct {
		size_t step, window;
	} ways[] = {{0, 0}, {1000, 0}, {16393, 16393}, {0, 1100}, {70000, 5000}};
	char *content = pattern(BIG);

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct rig rig;
		size_t at = 0;

		init(&rig);
		rig.server.step = ways[i].step;
		rig.client.window = ways[i].window;
		struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

		h2_stream_put_body(asks, view_of(content, BIG));
		h2_stream_put_end(asks, NULL);
		struct h2_stream *answers = rig_accept(&rig);

		/* The window is full, and no byte more is here. */
		assert_int_equal(h2_stream_unsent(asks), BIG - H2_STREAM_WINDOW_BYTES);
		assert_int_equal(answers->unread_bytes, H2_STREAM_WINDOW_BYTES);
		for (unsigned turn = 0; answers->in != H2_WAY_ENDED || h2_stream_unsent(asks) > 0; turn++) {
			assert_true(turn < 100);
			read_and_compare(answers, content, &at);
			rig_move(&rig);
		}
		read_and_compare(answers, content, &at);
		assert_int_equal(at, BIG);
		assert_int_equal(answers->unread_bytes, 0);
		stream_release(asks);
		stream_release(answers);
		rig_release(&rig);
	}
	free(content);
}

/* All streams together may have no more unread than the connection's window. */
static void unread_content_is_bounded(void **state)
{
	enum { STREAMS = 8 };
	char *content = pattern(BIG);
	struct h2_stream *asks[STREAMS], *answers[STREAMS];
	struct rig rig;
	uint64_t unread = 0, unsent = 0;

	init(&rig);
	for (unsigned i = 0; i < STREAMS; i++) {
		asks[i] = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
		answers[i] = rig_accept(&rig);
	}
	for (unsigned i = 0; i < STREAMS; i++)
		h2_stream_put_body(asks[i], view_of(content, BIG));
	rig_move(&rig);
	for (unsigned i = 0; i < STREAMS; i++) {
		unread += answers[i]->unread_bytes;
		unsent += h2_stream_unsent(asks[i]);
	}
	assert_int_equal(unread, H2_SESSION_WINDOW_BYTES);
	assert_int_equal(unread + unsent, (uint64_t)BIG * STREAMS);
	/* Somebody who leaves gives all of it back at once, so the others go on. */
	unsent = h2_stream_unsent(asks[1]);
	for (unsigned i = 2; i < STREAMS; i++)
		stream_release(answers[i]);
	rig_move(&rig);
	size_t n = 0;

	assert_int_equal(stream_skip(answers[1], &n), H1_PIECE_MORE);
	rig_move(&rig);
	assert_true(h2_stream_unsent(asks[1]) < unsent);
	assert_int_equal(answers[0]->unread_bytes, H2_STREAM_WINDOW_BYTES);
	stream_release(answers[0]);
	stream_release(answers[1]);
	for (unsigned i = 0; i < STREAMS; i++)
		stream_release(asks[i]);
	rig_release(&rig);
	free(content);
}

/* Also of streams that have ended in order, and of those that the peer reset. */
static void unread_content_of_the_dead_goes_back(void **state)
{
	char *content = pattern(H2_STREAM_WINDOW_BYTES);
	struct rig rig;

	init(&rig);
	for (unsigned i = 0; i < 40; i++) {
		struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

		h2_stream_put_body(asks, view_of(content, 200000));
		if (i % 2 == 0)
			h2_stream_put_end(asks, NULL);
		struct h2_stream *answers = rig_accept(&rig);

		assert_int_equal(answers->unread_bytes, 200000);
		if (i % 4 >= 2)
			h2_stream_reset(asks, H2_CANCEL);
		rig_move(&rig);
		/* What came whole is still there; what did not is gone. */
		assert_int_equal(answers->unread_bytes, i % 4 == 3 ? 0 : 200000);
		assert_int_equal(h2_stream_unsent(asks), 0);
		stream_release(asks);
		stream_release(answers);
		rig_move(&rig);
		side_drain_ready(&rig.server);
	}
	assert_false(h2_session_facts(rig.server.session).going_away);
	rig_release(&rig);
	free(content);
}

/* While what all streams share is taken up by some of them, none may send; and it is known until when that was. */
static void peer_is_barred_by_what_nobody_reads(void **state)
{
	enum { STREAMS = H2_SESSION_WINDOW_BYTES / H2_STREAM_WINDOW_BYTES };
	char *content = pattern(H2_STREAM_WINDOW_BYTES);
	struct h2_stream *asks[STREAMS], *answers[STREAMS];
	struct view data;
	const char *why;
	struct rig rig;
	size_t n = 0;

	init(&rig);
	for (unsigned i = 0; i < STREAMS; i++) {
		asks[i] = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
		answers[i] = rig_accept(&rig);
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(h2_session_barred_until_us(rig.server.session, 1000 + i), 0);
		h2_stream_put_body(asks[i], view_of(content, H2_STREAM_WINDOW_BYTES));
		rig_move(&rig);
	}
	assert_int_equal(h2_session_barred_until_us(rig.server.session, 2000), 2000);
	/* A little of it is not worth telling yet. */
	assert_int_equal(h2_stream_read_body(answers[0], &data, &why), H1_PIECE_DATA);
	rig.now_us = 3000;
	rig_move(&rig);
	assert_int_equal(h2_session_barred_until_us(rig.server.session, 4000), 4000);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(stream_skip(answers[i], &n), H1_PIECE_MORE);
	assert_int_equal(h2_session_barred_until_us(rig.server.session, 4500), 4500);
	rig.now_us = 5000;
	rig_move(&rig);
	assert_int_equal(h2_session_barred_until_us(rig.server.session, 6000), 5000);
	rig.now_us = 7000;
	rig_move(&rig);
	assert_int_equal(h2_session_barred_until_us(rig.server.session, 8000), 5000);
	for (unsigned i = 0; i < STREAMS; i++) {
		stream_release(asks[i]);
		stream_release(answers[i]);
	}
	rig_release(&rig);
	free(content);
}

static void who_is_blocked_is_told_when_it_goes_on(void **state)
{
	char *content = pattern(BIG);
	struct rig rig;
	struct h2_stream *asks, *answers;
	size_t n = 0;

	init(&rig);
	asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	answers = rig_accept(&rig);
	assert_true(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	h2_stream_put_body(answers, view_of(content, 300 * 1024));
	rig_move(&rig);
	assert_int_equal(h2_stream_unsent(answers), 300 * 1024 - H2_STREAM_WINDOW_BYTES);
	assert_null(side_ready(&rig.server));
	stream_head(asks);
	assert_int_equal(stream_skip(asks, &n), H1_PIECE_MORE);
	rig_move(&rig);
	assert_int_equal(h2_stream_unsent(answers), 0);
	assert_ptr_equal(side_ready(&rig.server), answers);
	/* What goes out at once makes nobody ready. */
	assert_int_equal(stream_skip(asks, &n), H1_PIECE_MORE);
	h2_stream_put_body(answers, view_of(content, 5000));
	rig_move(&rig);
	assert_int_equal(h2_stream_unsent(answers), 0);
	assert_null(side_ready(&rig.server));
	stream_release(answers);
	stream_release(asks);
	rig_release(&rig);
	free(content);
}

static void a_stall_is_seen(void **state)
{
	char *content = pattern(BIG);
	struct rig rig;
	struct h2_stream *asks, *answers;
	size_t n = 0;

	init(&rig);
	asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	answers = rig_accept(&rig);
	assert_true(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	assert_true(h2_session_facts(rig.server.session).stalled_since_us == UINT64_MAX);
	h2_stream_put_body(answers, view_of(content, BIG));
	rig.now_us = 5000000;
	rig_move(&rig);
	assert_int_equal(h2_session_facts(rig.server.session).stalled_since_us, 5000000);
	rig.now_us = 6000000;
	rig_move(&rig);
	assert_int_equal(h2_session_facts(rig.server.session).stalled_since_us, 5000000);
	stream_head(asks);
	stream_skip(asks, &n);
	rig.now_us = 7000000;
	rig_move(&rig);
	assert_int_equal(h2_session_facts(rig.server.session).stalled_since_us, 7000000);
	stream_release(answers);
	assert_true(h2_session_facts(rig.server.session).stalled_since_us == UINT64_MAX);
	stream_release(asks);
	rig_release(&rig);
	free(content);
}

/* Two answers share what goes out: neither waits for the other to be over. */
static void streams_take_turns(void **state)
{
	char *content = pattern(BIG);
	struct h2_stream *asks[2], *answers[2];
	struct frame frame;
	struct rig rig;
	unsigned changes = 0;
	uint32_t last = 0;

	init(&rig);
	for (unsigned i = 0; i < 2; i++) {
		asks[i] = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
		answers[i] = rig_accept(&rig);
		assert_true(stream_put_head(answers[i], "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	}
	for (unsigned i = 0; i < 2; i++)
		h2_stream_put_body(answers[i], view_of(content, 128 * 1024));
	struct view output = side_output(&rig, &rig.server), left = output;

	while (next_frame(&left, &frame)) {
		changes += frame.type == F_DATA && frame.id != last;
		last = frame.type == F_DATA ? frame.id : last;
	}
	assert_true(changes > 8);
	view_free(output);
	for (unsigned i = 0; i < 2; i++) {
		stream_release(asks[i]);
		stream_release(answers[i]);
	}
	rig_release(&rig);
	free(content);
}

/* Small pieces may be gone when they were put; they go out in order with large ones. */
static void pieces_of_all_sizes_keep_their_order(void **state)
{
	static const size_t sizes[] = {1, 5000, 2048, 2049, 7, 60000, 3, 2500, 2500};
	char *content = pattern(BIG);
	struct rig rig;
	size_t put = 0, at = 0;

	init(&rig);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char *copy = malloc(sizes[i]);
			bool lent = sizes[i] > H2_COPY_MAX && round == 1;

			assert_non_null(copy);
			memcpy(copy, content + put, sizes[i]);
			h2_stream_put_body(asks, view_of(lent ? content + put : copy, sizes[i]));
			/* What is small was copied; the rest is when it must be. */
			if (sizes[i] > H2_COPY_MAX && !lent)
				h2_session_keep_out(rig.client.session);
			free(copy);
			put += sizes[i];
		}
	}
	assert_int_equal(h2_stream_unsent(asks), put);
	struct h2_stream *answers = rig_accept(&rig);

	read_and_compare(answers, content, &at);
	assert_int_equal(at, put);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
	free(content);
}

static void what_has_ended_needs_no_window(void **state)
{
	char *content = pattern(H2_STREAM_WINDOW_BYTES);
	struct rig rig;
	struct frame frame;
	size_t n = 0;

	init(&rig);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	h2_stream_put_body(asks, view_of(content, 200000));
	h2_stream_put_end(asks, NULL);
	struct h2_stream *answers = rig_accept(&rig);

	assert_int_equal(stream_skip(answers, &n), H1_PIECE_END);
	struct view output = side_output(&rig, &rig.server);

	assert_false(output_has(output, F_WINDOW_UPDATE, 1, &frame));
	view_free(output);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
	free(content);
}

/* A stream that is reset while its content waits gives up everything, and nothing of it goes out. */
static void a_reset_drops_what_waits(void **state)
{
	char *content = pattern(BIG);
	struct rig rig;

	init(&rig);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	h2_stream_put_body(asks, view_of(content, BIG));
	struct h2_stream *answers = rig_accept(&rig);

	h2_stream_reset(answers, H2_CANCEL);
	assert_int_equal(answers->unread_bytes, 0);
	rig_move(&rig);
	assert_int_equal(asks->fate, H2_RESET_BY_PEER);
	assert_int_equal(h2_stream_unsent(asks), 0);
	assert_ptr_equal(side_ready(&rig.client), asks);
	stream_release(asks);
	stream_release(answers);
	assert_false(h2_session_wants_write(rig.client.session));
	rig_release(&rig);
	free(content);
}

/* --- windows that grow and shrink ------------------------------------------------------------------------------------ */

enum { FIRST = 48 * 1024, WIDE = 256 * 1024 };

/* A client whose streams have small windows at first. */
static void init_frugal(struct rig *rig)
{
	struct h2_limits limits = rig_limits(), frugal = limits;

	frugal.stream_window_bytes = FIRST;
	frugal.stream_window_wide_bytes = WIDE;
	frugal.session_window_bytes = 2 * H2_RATION_BYTES;
	rig_init(rig, &limits, &frugal);
	rig_move(rig);
}

/* A request whose answer is `content`. */
static struct h2_stream *fetch(struct rig *rig, const char *content, struct h2_stream **answers)
{
	struct h2_stream *asks = rig_request(rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	*answers = rig_accept(rig);
	stream_put_head(*answers, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED);
	h2_stream_put_body(*answers, view_of(content, BIG));
	rig_move(rig);
	return asks;
}

static void who_reads_gets_a_wider_window(void **state)
{
	char *content = pattern(BIG);
	struct h2_stream *answers, *asks;
	struct rig rig;
	size_t n = 0;

	init_frugal(&rig);
	asks = fetch(&rig, content, &answers);
	assert_int_equal(asks->unread_bytes, FIRST);
	stream_skip(asks, &n);
	assert_int_equal(asks->read_bytes, FIRST);
	assert_true(h2_stream_widen(asks));
	/* Once. */
	assert_false(h2_stream_widen(asks));
	assert_int_equal(rig.client.ration.wider_bytes, WIDE - FIRST);
	rig_move(&rig);
	assert_int_equal(asks->unread_bytes, WIDE);
	assert_int_equal(rig.client.ration.unread_bytes, WIDE);
	stream_release(asks);
	assert_int_equal(rig.client.ration.wider_bytes, 0);
	assert_int_equal(rig.client.ration.unread_bytes, 0);
	stream_release(answers);
	rig_release(&rig);
	free(content);
}

static void wider_windows_are_drawn_from_one_ration(void **state)
{
	enum { MOST = H2_RATION_BYTES / (WIDE - FIRST) };
	struct h2_stream *asks[MOST + 1], *answers[MOST + 1];
	struct rig rig;

	init_frugal(&rig);
	for (unsigned i = 0; i <= MOST; i++) {
		asks[i] = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
		answers[i] = rig_accept(&rig);
		assert_int_equal(h2_stream_widen(asks[i]), i < MOST);
	}
	assert_true(rig.client.ration.wider_bytes <= H2_RATION_BYTES);
	stream_release(asks[0]);
	assert_true(h2_stream_widen(asks[MOST]));
	for (unsigned i = 1; i <= MOST; i++)
		stream_release(asks[i]);
	assert_int_equal(rig.client.ration.wider_bytes, 0);
	for (unsigned i = 0; i <= MOST; i++)
		stream_release(answers[i]);
	rig_release(&rig);
}

/* Who has no ration has the windows that it said. */
static void a_server_has_one_window(void **state)
{
	struct h2_stream *asks, *answers;
	struct rig rig;

	init_frugal(&rig);
	asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
	answers = rig_accept(&rig);
	assert_false(h2_stream_widen(answers));
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

/* Somebody has left too much unread, on whatever session: the next answers have little room, until that is gone. */
static void windows_are_narrow_while_memory_is_scarce(void **state)
{
	char *content = pattern(BIG);
	struct h2_stream *answers[3], *asks[3];
	struct rig rig;
	size_t n = 0;

	init_frugal(&rig);
	asks[0] = fetch(&rig, content, &answers[0]);
	rig.client.ration.unread_bytes += H2_RATION_BYTES;
	asks[1] = fetch(&rig, content, &answers[1]);
	assert_int_equal(asks[1]->unread_bytes, H2_WINDOW_NARROW_BYTES);
	/* Those that have more keep it, and get more when it is read. */
	assert_int_equal(asks[0]->unread_bytes, FIRST);
	stream_skip(asks[0], &n);
	rig_move(&rig);
	assert_int_equal(asks[0]->unread_bytes, H2_WINDOW_NARROW_BYTES);
	/* Not at the first byte less. */
	rig.client.ration.unread_bytes -= H2_RATION_BYTES / 4;
	asks[2] = fetch(&rig, content, &answers[2]);
	assert_int_equal(asks[2]->unread_bytes, H2_WINDOW_NARROW_BYTES);
	rig.client.ration.unread_bytes -= H2_RATION_BYTES / 4 * 3;
	stream_skip(asks[2], &n);
	rig_move(&rig);
	stream_skip(asks[2], &n);
	rig_move(&rig);
	assert_int_equal(asks[1]->unread_bytes, FIRST);
	assert_int_equal(asks[2]->unread_bytes, FIRST);
	for (unsigned i = 0; i < 3; i++) {
		stream_release(asks[i]);
		stream_release(answers[i]);
	}
	assert_int_equal(rig.client.ration.unread_bytes, 0);
	rig_release(&rig);
	free(content);
}

/* The window that all share, and not that of one stream. */
static void a_shut_window_of_all_is_seen(void **state)
{
	char *content = pattern(BIG);
	struct h2_limits server = rig_limits(), client = rig_limits();
	struct h2_stream *asks[2], *answers[2];
	struct rig rig;
	size_t n;

	server.session_window_bytes = H2_STREAM_WINDOW_BYTES + 1000;
	rig_init(&rig, &server, &client);
	rig_move(&rig);
	for (unsigned i = 0; i < 2; i++) {
		asks[i] = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
		h2_stream_put_body(asks[i], view_of(content, BIG));
		rig.now_us += 1000;
		answers[i] = rig_accept(&rig);
		assert_int_equal(h2_session_facts(rig.client.session).shut_since_us, i == 0 ? UINT64_MAX : rig.now_us);
		assert_int_not_equal(h2_session_facts(rig.client.session).stalled_since_us, UINT64_MAX);
	}
	rig.now_us += 1000;
	rig_move(&rig);
	assert_int_equal(h2_session_facts(rig.client.session).shut_since_us, rig.now_us - 1000);
	/* Some goes, and it is shut anew. */
	stream_skip(answers[0], &n);
	rig_move(&rig);
	assert_int_equal(h2_session_facts(rig.client.session).shut_since_us, rig.now_us);
	/* Nobody waits any more. */
	for (unsigned i = 0; i < 2; i++) {
		stream_release(asks[i]);
		stream_release(answers[i]);
	}
	assert_int_equal(h2_session_facts(rig.client.session).shut_since_us, UINT64_MAX);
	rig_release(&rig);
	free(content);
}

/* What a client asks does not keep it from reading, whether it is given up or not; and each of them leaves the books. */
static void requests_that_wait_do_not_stop_reading(void **state)
{
	struct h2_limits server = rig_limits(), client = rig_limits();
	struct h2_stream *asks[RIG_STREAMS];
	struct rig rig;

	server.streams_max = client.streams_max = 10;
	rig_init(&rig, &server, &client);
	rig_move(&rig);
	for (unsigned turn = 0; turn < 3; turn++) {
		for (unsigned i = 0; i < 400; i++) {
			asks[0] = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
			stream_release(asks[0]);
		}
		asks[turn] = rig_request(&rig, "GET /kept HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
		assert_true(h2_session_wants_read(rig.client.session));
		assert_int_equal(rig.client.session->requests_queued, 401);
		rig_move(&rig);
		assert_int_equal(rig.client.session->requests_queued, 0);
		assert_int_equal(rig.server.asked, turn + 1);
		stream_release(asks[turn]);
		stream_release(side_ready(&rig.server));
		rig_move(&rig);
	}
	rig_release(&rig);
}

/* There is no memory for a request: nothing of it was sent, and others may have some. */
static void a_request_without_memory_is_unsent(void **state)
{
	struct h2_limits limits = rig_limits();
	struct h2_stream *asks[RIG_STREAMS], *last;
	struct rig rig;
	unsigned n = 0;

	limits.streams_max = RIG_STREAMS;
	limits.memory_bytes_max = 128 * 1024;
	rig_init(&rig, &limits, &limits);
	rig_move(&rig);
	do {
		struct rig_stream *stream = calloc(1, sizeof(*stream));

		assert_non_null(stream);
		assert_true(n < RIG_STREAMS);
		h2_session_open(rig.client.session, &stream->h2);
		asks[n++] = last = &stream->h2;
	} while (stream_put_head(last, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE));
	assert_int_equal(last->fate, H2_REFUSED);
	assert_int_equal(last->cause, CAUSE_MEMORY_EXHAUSTED);
	assert_false(h2_session_facts(rig.client.session).ended);
	for (unsigned i = 0; i < n; i++)
		stream_release(asks[i]);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_comes_through),
		cmocka_unit_test(unread_content_is_bounded),
		cmocka_unit_test(peer_is_barred_by_what_nobody_reads),
		cmocka_unit_test(unread_content_of_the_dead_goes_back),
		cmocka_unit_test(who_is_blocked_is_told_when_it_goes_on),
		cmocka_unit_test(a_stall_is_seen),
		cmocka_unit_test(a_shut_window_of_all_is_seen),
		cmocka_unit_test(requests_that_wait_do_not_stop_reading),
		cmocka_unit_test(a_request_without_memory_is_unsent),
		cmocka_unit_test(streams_take_turns),
		cmocka_unit_test(pieces_of_all_sizes_keep_their_order),
		cmocka_unit_test(what_has_ended_needs_no_window),
		cmocka_unit_test(who_reads_gets_a_wider_window),
		cmocka_unit_test(wider_windows_are_drawn_from_one_ration),
		cmocka_unit_test(a_server_has_one_window),
		cmocka_unit_test(windows_are_narrow_while_memory_is_scarce),
		cmocka_unit_test(a_reset_drops_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
