/*
 * Requests and answers between two sessions: heads in both forms, content, trailers, the end, in order and out of it.
 */
#include "h2_rig.h"

static const size_t steps[] = {0, 1, 7, 100};

#define EACH_STEP(step) for (const size_t *step = steps; step < steps + sizeof(steps) / sizeof(steps[0]); step++)

static void init(struct rig *rig, size_t step)
{
	struct h2_limits limits = rig_limits();

	rig_init(rig, &limits, &limits);
	rig->server.step = rig->client.step = step;
	rig_move(rig);
	assert_true(h2_session_settled(rig->server.session) && h2_session_settled(rig->client.session));
}

static void a_request_is_answered(void **state)
{
	EACH_STEP(step)
	{
		struct rig rig;
		char text[100];

		init(&rig, *step);
		struct h2_stream *asks = rig_request(&rig,
			"POST /a?b HTTP/1.1\r\nHost: h.example\r\nContent-Length: 5\r\nX-Mixed-Case: As It Is\r\nConnection: close\r\n"
			"TE: gzip\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\n",
			FRAMING_LENGTH);

		stream_put_text(asks, "hel");
		stream_put_text(asks, "lo");
		h2_stream_put_end(asks, NULL);
		rig_move(&rig);
		struct h2_stream *answers = side_ready(&rig.server);

		assert_non_null(answers);
		assert_null(side_ready(&rig.server));
		struct message m;
		struct view scheme;

		assert_int_equal(h2_stream_read_head(answers, &m, &scheme).status, H1_DONE);
		assert_int_equal(h2_stream_read_head(answers, &m, NULL).status, H1_MORE);
		assert_true(view_eq(scheme, VIEW("https")));
		assert_true(view_eq(m.method_name, VIEW("POST")) && m.method == METHOD_POST);
		assert_true(view_eq(m.target, VIEW("/a?b")) && view_eq(m.host, VIEW("h.example")));
		assert_int_equal(m.minor, 1);
		assert_int_equal(m.keep_alive, 1);
		assert_int_equal(m.framing, FRAMING_LENGTH);
		assert_int_equal(m.content_length, 5);
		assert_string_equal(fields_text(&m), "content-length: 5, x-mixed-case: As It Is, te: trailers");
		assert_int_equal(stream_read(answers, text, sizeof(text)), H1_PIECE_END);
		assert_string_equal(text, "hello");

		assert_true(stream_put_head(
			answers, "HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Length: 3\r\n", FRAMING_LENGTH));
		stream_put_text(answers, "yes");
		assert_int_equal(h2_stream_unsent(answers), 3);
		h2_stream_put_end(answers, NULL);
		rig_move(&rig);
		assert_int_equal(h2_stream_unsent(answers), 0);
		assert_int_equal(answers->fate, H2_COMPLETE);
		assert_int_equal(answers->out, H2_WAY_ENDED);
		assert_ptr_equal(side_ready(&rig.client), asks);
		m = stream_head(asks);
		assert_int_equal(m.status, 200);
		assert_int_equal(m.framing, FRAMING_LENGTH);
		assert_string_equal(fields_text(&m), "server: weir, content-length: 3");
		assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_END);
		assert_string_equal(text, "yes");
		assert_int_equal(asks->fate, H2_COMPLETE);
		stream_release(asks);
		stream_release(answers);
		rig_release(&rig);
	}
}

/* A head that was received goes on by HTTP/1.1 as one run of bytes. */
static void a_head_stands_as_http1_writes_it(void **state)
{
	struct rig rig;
	char text[500];
	struct h1_writer w = {.p = text, .end = text + sizeof(text)};

	init(&rig, 0);
	struct h2_stream *asks =
		rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB:   2  \r\nC:\r\n", FRAMING_NONE);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);
	struct message m = stream_head(answers);

	assert_int_equal(m.framing, FRAMING_NONE);
	assert_true(m.fields[0].name >= m.head.p && m.fields[0].name < m.head.p + m.head.n);
	assert_ptr_equal(m.fields[1].name, m.fields[0].value + m.fields[0].value_len + 2);
	h1_put_fields(&w, &m);
	*w.p = '\0';
	assert_string_equal(text, "a: 1\r\nb: 2\r\nc: \r\n");
	stream_release(asks);
	rig_move(&rig);
	stream_release(answers);
	rig_release(&rig);
}

static void cookies_are_one_field(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig,
		"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nX: y\r\nCookie: b=2\r\nCookie: c=3\r\n", FRAMING_NONE);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);
	struct message m = stream_head(answers);

	assert_string_equal(fields_text(&m), "x: y, cookie: a=1; b=2; c=3");
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void an_expectation_is_seen(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *asks =
		rig_request(&rig, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n", FRAMING_CHUNKED);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);
	struct message m = stream_head(answers);

	assert_int_equal(m.expect_continue, 1);
	assert_int_equal(m.framing, FRAMING_CHUNKED);
	assert_false(m.has_length);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void trailers_go_both_ways(void **state)
{
	EACH_STEP(step)
	{
		struct rig rig;
		char text[100];
		struct field fields[3] = {
			field_of(VIEW("Grpc-Status"), VIEW("0")),
			field_of(VIEW("X-Dropped"), VIEW("1")),
			field_of(VIEW("Expires"), VIEW("7")),
		};
		struct message trailers = {.fields = fields, .field_count = 3, .field_max = 3};
		struct message m;

		fields[1].dropped = true;
		init(&rig, *step);
		struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

		stream_put_text(asks, "one");
		h2_stream_put_end(asks, &trailers);
		rig_move(&rig);
		struct h2_stream *answers = side_ready(&rig.server);

		stream_head(answers);
		assert_int_equal(stream_read(answers, text, sizeof(text)), H1_PIECE_TRAILERS);
		assert_string_equal(text, "one");
		assert_int_equal(h2_stream_read_trailers(answers, &m).status, H1_DONE);
		/* Of those that came, the one that is none for trailers is dropped. */
		assert_int_equal(m.field_count, 2);
		assert_string_equal(fields_text(&m), "grpc-status: 0");
		assert_int_equal(stream_read(answers, text, sizeof(text)), H1_PIECE_END);

		assert_true(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
		rig_move(&rig);
		h2_stream_put_end(answers, &trailers);
		rig_move(&rig);
		assert_int_equal(stream_head(asks).framing, FRAMING_CHUNKED);
		assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_TRAILERS);
		assert_int_equal(h2_stream_read_trailers(asks, &m).status, H1_DONE);
		assert_string_equal(fields_text(&m), "grpc-status: 0");
		assert_int_equal(asks->fate, H2_COMPLETE);
		stream_release(asks);
		stream_release(answers);
		rig_release(&rig);
	}
}

static void a_head_may_be_the_whole_answer(void **state)
{
	struct rig rig;
	char text[10];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "HEAD / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);

	assert_int_equal(stream_head(answers).framing, FRAMING_NONE);
	assert_true(
		stream_put_head(answers, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\ngrpc-status: 5\r\n", FRAMING_NONE));
	struct view output = side_output(&rig, &rig.server);
	struct frame frame;

	assert_true(output_has(output, F_HEADERS, 1, &frame));
	assert_true(frame.flags & END_STREAM);
	assert_false(output_has(output, F_DATA, 1, &frame));
	side_receive(&rig, &rig.client, output);
	view_free(output);
	struct message m = stream_head(asks);

	assert_int_equal(m.framing, FRAMING_NONE);
	assert_true(m.has_length && m.content_length == 77);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_END);
	assert_int_equal(asks->fate, H2_COMPLETE);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void informational_heads_come_first_and_once_each(void **state)
{
	struct rig rig;
	char text[10];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);

	stream_head(answers);
	assert_true(stream_put_head(answers, "HTTP/1.1 100 Continue\r\n", FRAMING_NONE));
	assert_true(stream_put_head(answers, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n", FRAMING_NONE));
	assert_true(stream_put_head(answers, "HTTP/1.1 204 No Content\r\n", FRAMING_NONE));
	rig_move(&rig);
	assert_int_equal(stream_head(asks).status, 100);
	struct message m = stream_head(asks);

	assert_int_equal(m.status, 103);
	assert_string_equal(fields_text(&m), "link: x");
	m = stream_head(asks);
	assert_int_equal(m.status, 204);
	assert_int_equal(m.framing, FRAMING_NONE);
	assert_int_equal(h2_stream_read_head(asks, &m, NULL).status, H1_MORE);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_END);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void only_so_many_informational_heads(void **state)
{
	struct rig rig;
	struct message m;

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);

	for (unsigned i = 0; i < H2_HEADS_MAX + 1; i++)
		assert_true(stream_put_head(answers, "HTTP/1.1 103 Early Hints\r\n", FRAMING_NONE));
	rig_move(&rig);
	assert_int_equal(asks->fate, H2_MALFORMED);
	for (unsigned i = 0; i < H2_HEADS_MAX; i++)
		assert_int_equal(stream_head(asks).status, 103);
	struct h1_result result = h2_stream_read_head(asks, &m, NULL);

	assert_int_equal(result.status, H1_BAD);
	assert_int_equal(result.cause, CAUSE_UPSTREAM_BAD_RESPONSE);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

/* RFC 8441, on both sides: what HTTP/1.1 calls an upgrade. */
static void a_websocket_is_an_extended_connect(void **state)
{
	struct rig rig;
	char text[100];

	init(&rig, 0);
	assert_true(h2_session_can_upgrade(rig.client.session));
	struct h2_stream *asks = rig_request(&rig,
		"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: k\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: a\r\n"
		"Sec-WebSocket-Version: 13\r\n",
		FRAMING_NONE);

	assert_true(asks->extended_connect);
	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);
	struct message m = stream_head(answers);

	assert_true(answers->extended_connect);
	assert_true(m.has_upgrade && m.method == METHOD_GET && view_eq(m.method_name, VIEW("GET")));
	assert_true(view_eq(m.target, VIEW("/chat")) && m.framing == FRAMING_NONE);
	assert_string_equal(fields_text(&m), "sec-websocket-version: 13, upgrade: websocket");
	assert_true(stream_put_head(answers,
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: p\r\nUpgrade: websocket\r\n",
		FRAMING_NONE));
	stream_put_text(asks, "ping");
	stream_put_text(answers, "pong");
	rig_move(&rig);
	m = stream_head(asks);
	assert_true(m.status == 101 && m.has_upgrade && m.framing == FRAMING_NONE);
	assert_string_equal(fields_text(&m), "sec-websocket-protocol: p, upgrade: websocket");
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_MORE);
	assert_string_equal(text, "pong");
	assert_int_equal(stream_read(answers, text, sizeof(text)), H1_PIECE_MORE);
	assert_string_equal(text, "ping");
	h2_stream_put_end(asks, NULL);
	h2_stream_put_end(answers, NULL);
	rig_move(&rig);
	assert_int_equal(asks->fate, H2_COMPLETE);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

/* An upstream that refuses the WebSocket answers as to anything else. */
static void a_refused_websocket_is_an_answer(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *asks = rig_request(
		&rig, "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nHost: a\r\n", FRAMING_NONE);

	rig_move(&rig);
	struct h2_stream *answers = side_ready(&rig.server);

	stream_head(answers);
	assert_true(stream_put_head(answers, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n", FRAMING_NONE));
	rig_move(&rig);
	assert_int_equal(stream_head(asks).status, 403);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void a_websocket_needs_an_offer(void **state)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct h2_stream stream;

	limits.connect_protocol = false;
	rig_init(&rig, &limits, &limits);
	rig_move(&rig);
	assert_false(h2_session_can_upgrade(rig.client.session));
	h2_session_open(rig.client.session, &stream);
	assert_false(stream_put_head(&stream, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n", FRAMING_NONE));
	assert_int_equal(stream.fate, H2_LIVE);
	assert_true(stream_put_head(&stream, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n", FRAMING_NONE));
	h2_stream_release(&stream);
	rig_release(&rig);
}

static void text_that_is_no_head_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"GET / HTTP/1.1",
		"GET / HTTP/1.0\r\n",
		"GET  HTTP/1.1\r\nHost a\r\n",
		"GET / HTTP/1.1\r\nHost\r\n",
		"GET / HTTP/1.1\r\n: a\r\n",
		"GET / HTTP/1.1\r\nA: b",
		"GET / HTTP/1.1\r\nA: b\rc\r\n",
		"GET / HTTP/1.1\r\nA: b\nc\r\n",
		"GET / HTTP/1.1\r\nA b: c\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n",
		"HTTP/1.1 200 OK\r\n",
		"GET\r\n",
	};
	struct rig rig;
	struct h2_stream stream;

	init(&rig, 0);
	h2_session_open(rig.client.session, &stream);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(stream_put_head(&stream, bad[i], FRAMING_NONE));
	assert_int_equal(stream.fate, H2_LIVE);
	assert_int_equal(stream.id, 0);
	h2_stream_release(&stream);
	rig_release(&rig);
}

/* --- out of order ----------------------------------------------------------------------------------------------- */

static void a_reset_is_heard(void **state)
{
	struct rig rig;
	char text[100];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	stream_put_text(asks, "never read");
	struct h2_stream *answers = rig_accept(&rig);

	h2_stream_reset(asks, H2_CANCEL);
	assert_int_equal(asks->fate, H2_RESET_HERE);
	rig_move(&rig);
	assert_ptr_equal(side_ready(&rig.server), answers);
	assert_int_equal(answers->fate, H2_RESET_BY_PEER);
	assert_int_equal(answers->reset_code, H2_CANCEL);
	assert_int_equal(stream_read(answers, text, sizeof(text)), H1_PIECE_BAD);
	assert_string_equal(text, "");
	assert_false(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_NONE));
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

/* Nobody has asked to switch. */
static void a_switch_unasked_is_not_put(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);

	assert_false(stream_put_head(answers, "HTTP/1.1 101 Switching Protocols\r\n", FRAMING_NONE));
	assert_true(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_NONE));
	stream_release(answers);
	stream_release(asks);
	rig_release(&rig);
}

static void an_answer_cut_off_is_not_complete(void **state)
{
	struct rig rig;
	char text[100];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);

	assert_true(stream_put_head(answers, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	stream_put_text(answers, "half");
	rig_move(&rig);
	stream_head(asks);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_MORE);
	h2_stream_reset(answers, H2_INTERNAL_ERROR);
	stream_release(answers);
	rig_move(&rig);
	assert_int_equal(asks->fate, H2_RESET_BY_PEER);
	assert_int_equal(asks->reset_code, H2_INTERNAL_ERROR);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_BAD);
	stream_release(asks);
	rig_release(&rig);
}

/* RFC 9113 §8.1: a server may answer before it has read all, and then ends the request without an error. */
static void an_early_answer_is_whole(void **state)
{
	struct rig rig;
	char text[100];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);

	stream_put_text(asks, "some");
	struct h2_stream *answers = rig_accept(&rig);

	assert_true(stream_put_head(answers, "HTTP/1.1 413 Content Too Large\r\n", FRAMING_CHUNKED));
	stream_put_text(answers, "too much");
	h2_stream_put_end(answers, NULL);
	view_free(side_output(&rig, &rig.client));
	struct view output = side_output(&rig, &rig.server);

	assert_int_equal(answers->out, H2_WAY_ENDED);
	assert_int_equal(answers->fate, H2_LIVE);
	stream_release(answers);
	side_receive(&rig, &rig.client, output);
	view_free(output);
	rig_move(&rig);
	assert_int_equal(asks->fate, H2_RESET_BY_PEER);
	assert_int_equal(asks->reset_code, H2_NO_ERROR);
	assert_int_equal(stream_head(asks).status, 413);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_END);
	assert_string_equal(text, "too much");
	stream_release(asks);
	rig_release(&rig);
}

/* More than all windows, in the end: what comes for streams that are gone goes back, too. */
static void released_streams_take_what_still_comes(void **state)
{
	enum { PIECE = 200000 };
	char *piece = calloc(1, PIECE);
	struct rig rig;

	assert_non_null(piece);
	init(&rig, 0);
	for (unsigned i = 0; i < 20; i++) {
		struct h2_stream *asks = rig_request(&rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
		struct h2_stream *answers = rig_accept(&rig);

		h2_stream_put_body(asks, view_of(piece, PIECE));
		struct view output = side_output(&rig, &rig.client);

		assert_int_equal(h2_stream_unsent(asks), 0);
		stream_release(answers);
		side_receive(&rig, &rig.server, output);
		view_free(output);
		rig_move(&rig);
		assert_int_equal(asks->fate, H2_RESET_BY_PEER);
		assert_int_equal(h2_session_facts(rig.server.session).streams, 0);
		stream_release(asks);
	}
	free(piece);
	rig_release(&rig);
}

static void a_refused_stream_may_be_sent_again(void **state)
{
	struct rig rig;

	init(&rig, 0);
	rig.server.refuses = true;
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	rig_move(&rig);
	assert_int_equal(rig.server.asked, 1);
	assert_null(side_ready(&rig.server));
	assert_ptr_equal(side_ready(&rig.client), asks);
	assert_int_equal(asks->fate, H2_REFUSED);
	stream_release(asks);
	rig_release(&rig);
}

/* The server's limit holds for streams that it has not let go of, whatever the client has done with them. */
static void streams_count_until_they_are_released(void **state)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct h2_stream *held[3];

	limits.streams_max = 2;
	rig_init(&rig, &limits, &limits);
	rig_move(&rig);
	for (unsigned i = 0; i < 2; i++) {
		struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

		held[i] = rig_accept(&rig);
		stream_release(asks);
		rig_move(&rig);
		assert_ptr_equal(side_ready(&rig.server), held[i]);
		assert_int_equal(held[i]->fate, H2_RESET_BY_PEER);
	}
	assert_true(h2_session_can_open(rig.client.session));
	struct h2_stream *third = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	rig_move(&rig);
	assert_int_equal(third->fate, H2_REFUSED);
	assert_int_equal(rig.server.asked, 2);
	stream_release(third);
	stream_release(held[0]);
	third = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	held[2] = rig_accept(&rig);
	assert_int_equal(third->fate, H2_LIVE);
	stream_release(held[1]);
	stream_release(held[2]);
	stream_release(third);
	rig_release(&rig);
}

static void a_client_opens_no_more_than_it_may(void **state)
{
	struct rig rig;
	struct h2_limits server = rig_limits(), client = rig_limits();
	struct h2_stream *asks[2];

	server.streams_max = 2;
	rig_init(&rig, &server, &client);
	rig_move(&rig);
	for (unsigned i = 0; i < 2; i++)
		asks[i] = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	assert_false(h2_session_can_open(rig.client.session));
	stream_release(asks[0]);
	assert_true(h2_session_can_open(rig.client.session));
	stream_release(asks[1]);
	rig_release(&rig);
}

/* --- the end of a session --------------------------------------------------------------------------------------- */

static void a_drain_loses_nothing(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *first = rig_request(&rig, "GET /1 HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers_first = rig_accept(&rig);
	/* Under way while the server begins to drain. */
	struct h2_stream *second = rig_request(&rig, "GET /2 HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct view output = side_output(&rig, &rig.client);

	h2_session_drain(rig.server.session);
	struct view notice = side_output(&rig, &rig.server);
	struct frame frame;

	assert_true(output_has(notice, F_GOAWAY, 0, &frame));
	assert_int_equal(read_u32(frame.payload.p), 0x7fffffff);
	side_receive(&rig, &rig.server, output);
	side_receive(&rig, &rig.client, notice);
	view_free(output);
	view_free(notice);
	assert_false(h2_session_can_open(rig.client.session));
	assert_true(h2_session_facts(rig.client.session).going_away);
	struct h2_stream *answers_second = side_ready(&rig.server);

	assert_non_null(answers_second);
	rig_move(&rig);
	assert_true(stream_put_head(answers_first, "HTTP/1.1 204 No Content\r\n", FRAMING_NONE));
	assert_true(stream_put_head(answers_second, "HTTP/1.1 204 No Content\r\n", FRAMING_NONE));
	assert_false(h2_session_must_close(rig.server.session));
	rig_move(&rig);
	assert_int_equal(first->fate, H2_COMPLETE);
	assert_int_equal(second->fate, H2_COMPLETE);
	stream_release(answers_first);
	assert_false(h2_session_must_close(rig.server.session));
	stream_release(answers_second);
	assert_true(h2_session_must_close(rig.server.session));
	assert_int_equal(h2_session_facts(rig.server.session).error, H2_NO_ERROR);
	stream_release(first);
	stream_release(second);
	assert_true(h2_session_must_close(rig.client.session));
	rig_release(&rig);
}

/* What the server says now: the last streams of its GOAWAYs. It asks for no answer before it has told of the first. */
static unsigned goaways(struct rig *rig, uint32_t last[3])
{
	struct view output = side_output(rig, &rig->server), left = output;
	struct frame frame;
	unsigned count = 0;

	while (next_frame(&left, &frame)) {
		assert_false(count == 0 && frame.type == F_PING);
		if (frame.type == F_GOAWAY && count < 3)
			last[count++] = read_u32(frame.payload.p);
	}
	view_free(output);
	return count;
}

/* Two reloads in a row, say: what is on its way is still taken, until the PING is answered. */
static void a_second_drain_hurries_nothing(void **state)
{
	struct rig rig;
	uint32_t last[3];
	struct bytes pong = {0};

	init(&rig, 0);
	h2_session_drain(rig.server.session);
	h2_session_drain(rig.server.session);
	assert_int_equal(goaways(&rig, last), 1);
	assert_int_equal(last[0], 0x7fffffff);
	h2_session_drain(rig.server.session);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);

	assert_non_null(answers);
	put_frame(&pong, F_PING, ACK, 0, view_of("\0\0\0\0\0\0\0\0", 8));
	send_frames(&rig, &pong);
	assert_int_equal(goaways(&rig, last), 1);
	assert_int_equal(last[0], answers->id);
	stream_release(asks);
	stream_release(answers);
	assert_int_equal(goaways(&rig, last), 0);
	assert_true(h2_session_must_close(rig.server.session));
	rig_release(&rig);
}

/* A client that does not answer the PING may begin streams for 10 s, and no longer. */
static void a_drain_does_not_wait_for_ever(void **state)
{
	struct rig rig;
	uint32_t last[3];
	struct bytes beyond = {0};

	init(&rig, 0);
	/* When the session was last asked for something does not matter. */
	rig.now_us += 60000000;
	h2_session_drain(rig.server.session);
	assert_int_equal(goaways(&rig, last), 1);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);

	rig.now_us += 9999999;
	assert_int_equal(goaways(&rig, last), 0);
	rig.now_us++;
	assert_int_equal(goaways(&rig, last), 1);
	assert_int_equal(last[0], answers->id);
	put_get(&beyond, (uint32_t)answers->id + 2);
	send_frames(&rig, &beyond);
	assert_null(side_ready(&rig.server));
	stream_release(asks);
	stream_release(answers);
	assert_int_equal(goaways(&rig, last), 0);
	assert_true(h2_session_must_close(rig.server.session));
	rig_release(&rig);
}

/* GOAWAY with a last stream below: what is above was not processed. */
static void a_goaway_refuses_what_was_not_processed(void **state)
{
	struct rig rig;

	init(&rig, 0);
	struct h2_stream *first = rig_request(&rig, "GET /1 HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);
	struct h2_stream *second = rig_request(&rig, "GET /2 HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	h2_session_drain(rig.server.session);
	struct bytes pong = {0};

	view_free(side_output(&rig, &rig.server));
	put_frame(&pong, F_PING, ACK, 0, view_of("\0\0\0\0\0\0\0\0", 8));
	send_frames(&rig, &pong);
	struct view output = side_output(&rig, &rig.server);

	side_receive(&rig, &rig.client, output);
	view_free(output);
	assert_int_equal(second->fate, H2_REFUSED);
	assert_int_equal(first->fate, H2_LIVE);
	/* One that was opened before and whose head comes too late. */
	struct h2_stream third;

	h2_session_open(rig.client.session, &third);
	assert_false(stream_put_head(&third, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE));
	assert_int_equal(third.fate, H2_REFUSED);
	h2_stream_release(&third);
	stream_release(first);
	stream_release(second);
	stream_release(answers);
	rig_release(&rig);
}

static void an_end_loses_what_is_under_way(void **state)
{
	struct rig rig;
	char text[10];

	init(&rig, 0);
	struct h2_stream *asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
	struct h2_stream *answers = rig_accept(&rig);

	h2_session_end(rig.server.session, H2_INTERNAL_ERROR);
	assert_false(h2_session_must_close(rig.server.session));
	assert_true(h2_session_wants_write(rig.server.session));
	assert_ptr_equal(side_ready(&rig.server), answers);
	assert_int_equal(answers->fate, H2_LOST);
	rig_move(&rig);
	assert_true(h2_session_must_close(rig.server.session));
	assert_false(h2_session_wants_read(rig.server.session));
	assert_int_equal(h2_session_facts(rig.client.session).error, H2_INTERNAL_ERROR);
	h2_session_lose(rig.client.session, CAUSE_NONE);
	assert_int_equal(asks->fate, H2_LOST);
	assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_BAD);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void the_first_bytes_tell_the_version(void **state)
{
	assert_int_equal(h2_preface(view_of("", 0)), H1_MORE);
	assert_int_equal(h2_preface(VIEW("PRI * HT")), H1_MORE);
	assert_int_equal(h2_preface(VIEW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0")), H1_DONE);
	assert_int_equal(h2_preface(VIEW("PRI * HTTP/1.1\r\n")), H1_BAD);
	assert_int_equal(h2_preface(VIEW("GET / HTTP/1.1\r\n")), H1_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_answered),
		cmocka_unit_test(a_head_stands_as_http1_writes_it),
		cmocka_unit_test(cookies_are_one_field),
		cmocka_unit_test(an_expectation_is_seen),
		cmocka_unit_test(trailers_go_both_ways),
		cmocka_unit_test(a_head_may_be_the_whole_answer),
		cmocka_unit_test(informational_heads_come_first_and_once_each),
		cmocka_unit_test(only_so_many_informational_heads),
		cmocka_unit_test(a_websocket_is_an_extended_connect),
		cmocka_unit_test(a_refused_websocket_is_an_answer),
		cmocka_unit_test(a_websocket_needs_an_offer),
		cmocka_unit_test(text_that_is_no_head_is_refused),
		cmocka_unit_test(a_reset_is_heard),
		cmocka_unit_test(a_switch_unasked_is_not_put),
		cmocka_unit_test(an_answer_cut_off_is_not_complete),
		cmocka_unit_test(an_early_answer_is_whole),
		cmocka_unit_test(released_streams_take_what_still_comes),
		cmocka_unit_test(a_refused_stream_may_be_sent_again),
		cmocka_unit_test(streams_count_until_they_are_released),
		cmocka_unit_test(a_client_opens_no_more_than_it_may),
		cmocka_unit_test(a_drain_loses_nothing),
		cmocka_unit_test(a_second_drain_hurries_nothing),
		cmocka_unit_test(a_drain_does_not_wait_for_ever),
		cmocka_unit_test(a_goaway_refuses_what_was_not_processed),
		cmocka_unit_test(an_end_loses_what_is_under_way),
		cmocka_unit_test(the_first_bytes_tell_the_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
