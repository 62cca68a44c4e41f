/*
 * What must be refused: each case as frames made by hand. A malformed request is a stream error that nobody hears
 * of but the peer (RFC 9113 §8.1.1), and the connection goes on; some things end the connection.
 */
#include "h2_rig.h"

#define START ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0/\0"
#define POST ":method\0POST\0:scheme\0https\0:authority\0a\0:path\0/\0"
#define WEBSOCKET ":method\0CONNECT\0:protocol\0websocket\0:scheme\0https\0:authority\0a\0:path\0/chat\0"

/* The connection still serves. */
static void assert_goes_on(struct rig *rig, uint32_t id)
{
	struct bytes frames = {0};
	unsigned asked = rig->server.asked;

	put_get(&frames, id);
	send_frames(rig, &frames);
	assert_int_equal(rig->server.asked, asked + 1);
}

struct malformed {
	const char *name;
	struct view fields; /* as put_block has them */
};

#define BAD(name_, fields_) {name_, {fields_, sizeof(fields_) - 1}}

/* As put_block, but values may hold NUL: names and values end with the byte 0x1f. */
static void put_block_any(struct bytes *to, struct view fields)
{
	char separator = memchr(fields.p, 0x1f, fields.n) != NULL ? 0x1f : '\0';

	while (fields.n > 0) {
		const char *end = memchr(fields.p, separator, fields.n);
		struct view name = view_of(fields.p, (size_t)(end - fields.p));

		fields = view_from(fields, name.n + 1);
		end = memchr(fields.p, separator, fields.n);
		struct view value = view_of(fields.p, (size_t)(end - fields.p));

		fields = view_from(fields, value.n + 1);
		put_literal(to, name, value);
	}
}

#define START_US ":method\037GET\037:scheme\037https\037:authority\037a\037:path\037/\037"

static const struct malformed requests[] = {
	BAD("upper-case name", START "Accept\0*\0"),
	BAD("empty name", START "\0x\0"),
	BAD("name with a blank", START "a b\0x\0"),
	BAD("name with a colon", START "a:b\0x\0"),
	BAD("name with CR LF", START "a\r\nb\0x\0"),
	BAD("name with obs-text", START "a\x80\0x\0"),
	BAD("name with NUL", START_US "a\0b\037x\037"),
	BAD("value with CR LF", START "a\0x\r\nhost: b\0"),
	BAD("value with CR", START "a\0x\ry\0"),
	BAD("value with LF", START "a\0x\ny\0"),
	BAD("value with NUL", START_US "a\037x\0y\037"),
	BAD("value with DEL", START "a\0x\x7f\0"),
	BAD("value with a control", START "a\0x\x01\0"),
	BAD("value that begins with a blank", START "a\0 x\0"),
	BAD("value that ends with a tab", START "a\0x\t\0"),
	BAD("Connection", START "connection\0close\0"),
	BAD("Keep-Alive", START "keep-alive\0timeout=5\0"),
	BAD("Proxy-Connection", START "proxy-connection\0close\0"),
	BAD("Transfer-Encoding", START "transfer-encoding\0chunked\0"),
	BAD("Upgrade", START "upgrade\0websocket\0"),
	BAD("TE other than trailers", START "te\0gzip\0"),
	BAD("TE with more than trailers", START "te\0trailers, gzip\0"),
	BAD("two lengths", START "content-length\0000\0content-length\0000\0"),
	BAD("length as a list", START "content-length\0000, 0\0"),
	BAD("length with a sign", START "content-length\0+0\0"),
	BAD("empty length", START "content-length\0\0"),
	BAD("length beyond all numbers", START "content-length\00099999999999999999999\0"),
	BAD("length without content", POST "content-length\0005\0"),
	BAD("no method", ":scheme\0https\0:authority\0a\0:path\0/\0"),
	BAD("no scheme", ":method\0GET\0:authority\0a\0:path\0/\0"),
	BAD("no path", ":method\0GET\0:scheme\0https\0:authority\0a\0"),
	BAD("no authority and no Host", ":method\0GET\0:scheme\0https\0:path\0/\0"),
	BAD("two methods", ":method\0GET\0" START),
	BAD("two schemes", ":scheme\0https\0" START),
	BAD("two authorities", ":authority\0a\0" START),
	BAD("two paths", ":path\0/\0" START),
	BAD("two Hosts", START "host\0a\0host\0a\0"),
	BAD("unknown pseudo-field", START ":fragment\0x\0"),
	BAD("status of a response", START ":status\000200\0"),
	BAD("pseudo-field behind a field", ":method\0GET\0:scheme\0https\0:authority\0a\0accept\0*\0:path\0/\0"),
	BAD("empty method", ":method\0\0:scheme\0https\0:authority\0a\0:path\0/\0"),
	BAD("method with a blank", ":method\0GET /x\0:scheme\0https\0:authority\0a\0:path\0/\0"),
	BAD("empty path", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0\0"),
	BAD("path that is no path", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0x\0"),
	BAD("path that is a URI", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0http://b/\0"),
	BAD("path of another scheme", ":method\0GET\0:scheme\0ftp\0:authority\0a\0:path\0http://b/\0"),
	BAD("path with a blank", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0/ HTTP/1.1\0"),
	BAD("path with CR LF", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0/\r\nx\0"),
	BAD("asterisk for GET", ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0*\0"),
	BAD("scheme that is none", ":method\0GET\0:scheme\0ht tps\0:authority\0a\0:path\0/\0"),
	BAD("scheme that is not ours", ":method\0GET\0:scheme\0file\0:authority\0a\0:path\0/\0"),
	BAD("empty authority", ":method\0GET\0:scheme\0https\0:authority\0\0:path\0/\0"),
	BAD("empty authority beside Host", ":method\0GET\0:scheme\0https\0:authority\0\0:path\0/\0host\0a\0"),
	BAD("authority with a user", ":method\0GET\0:scheme\0https\0:authority\0u@a\0:path\0/\0"),
	BAD("authority with a path", ":method\0GET\0:scheme\0https\0:authority\0a/b\0:path\0/\0"),
	BAD("authority with a blank", ":method\0GET\0:scheme\0https\0:authority\0a b\0:path\0/\0"),
	BAD("authority with a port that is none", ":method\0GET\0:scheme\0https\0:authority\0a:x\0:path\0/\0"),
	BAD("Host that contradicts", START "host\0b\0"),
	BAD("Host with a port that authority has not", START "host\0a:80\0"),
	BAD("Host with a user", ":method\0GET\0:scheme\0https\0:path\0/\0host\0u@a\0"),
	BAD("CONNECT with a path", ":method\0CONNECT\0:authority\0a:1\0:scheme\0https\0:path\0/\0"),
	BAD("CONNECT without an authority", ":method\0CONNECT\0"),
	BAD("protocol without CONNECT", START ":protocol\0websocket\0"),
	BAD("extended CONNECT without a path",
		":method\0CONNECT\0:protocol\0websocket\0:scheme\0https\0:authority\0a\0"),
	BAD("extended CONNECT without an authority",
		":method\0CONNECT\0:protocol\0websocket\0:scheme\0https\0:path\0/\0host\0a\0"),
	BAD("no fields at all", ""),
};

static void malformed_requests_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct rig rig;
		struct bytes frames = {0}, block = {0};
		struct frame frame;

		rig_init_raw(&rig);
		put_block_any(&block, requests[i].fields);
		put_headers(&frames, END_STREAM, 1, &block);
		send_frames(&rig, &frames);
		struct view output = side_output(&rig, &rig.server);

		if (!output_has(output, F_RST_STREAM, 1, &frame) || read_u32(frame.payload.p) != H2_PROTOCOL_ERROR)
			fail_msg("%s: no stream error", requests[i].name);
		if (rig.server.asked > 0 || side_ready(&rig.server) != NULL)
			fail_msg("%s: somebody heard of it", requests[i].name);
		if (h2_session_facts(rig.server.session).glitches == 0)
			fail_msg("%s: it cost nothing", requests[i].name);
		view_free(output);
		assert_goes_on(&rig, 3);
		rig_lose(&rig);
	}
}

static void what_is_right_is_read(void **state)
{
	static const struct {
		struct view fields;
		const char *host, *target, *text;
		enum method method;
	} cases[] = {
		{{START "te\0trailers\0", 0}, "a", "/", "te: trailers", METHOD_GET},
		{{START "host\0A\0", 0}, "a", "/", "host: A", METHOD_GET},
		{{":method\0GET\0:scheme\0HTTP\0:path\0/?q\0host\0a:80\0", 0}, "a:80", "/?q", "host: a:80", METHOD_GET},
		{{":method\0OPTIONS\0:scheme\0https\0:authority\0[::1]:1\0:path\0*\0", 0}, "[::1]:1", "*", "",
			METHOD_OPTIONS},
		{{":method\0CONNECT\0:authority\0a:443\0", 0}, "a:443", "a:443", "", METHOD_CONNECT},
		{{START "x\0\0y\0z\t\xff\0", 0}, "a", "/", "x: , y: z\t\xff", METHOD_GET},
		{{START "content-length\0000\0", 0}, "a", "/", "content-length: 0", METHOD_GET},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		struct bytes frames = {0}, block = {0};

		rig_init_raw(&rig);
		put_block(&block, cases[i].fields.p);
		put_headers(&frames, END_STREAM, 1, &block);
		send_frames(&rig, &frames);
		struct h2_stream *stream = side_ready(&rig.server);

		assert_non_null(stream);
		struct message m = stream_head(stream);

		assert_int_equal(m.method, cases[i].method);
		assert_true(view_eq(m.host, view_str(cases[i].host)));
		assert_true(view_eq(m.target, view_str(cases[i].target)));
		assert_string_equal(fields_text(&m), cases[i].text);
		assert_int_equal(m.framing, FRAMING_NONE);
		stream_release(stream);
		rig_lose(&rig);
	}
}

/* In many frames, of which each arrives byte by byte. */
static void a_head_may_come_in_pieces(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};

	rig_init_raw(&rig);
	rig.server.step = 1;
	put_block(&block, START "a\0b\0");
	for (size_t at = 0; at < block.n; at += 4) {
		unsigned flags = at == 0 ? END_STREAM : 0;
		size_t n = block.n - at < 4 ? block.n - at : 4;

		if (at + n == block.n)
			flags |= END_HEADERS;
		put_frame(&frames, at == 0 ? F_HEADERS : F_CONTINUATION, flags, 1, view_of(block.p + at, n));
	}
	assert_true(block.n / 4 > 10);
	bytes_free(&block);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	assert_non_null(stream);
	struct message m = stream_head(stream);

	assert_string_equal(fields_text(&m), "a: b");
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	stream_release(stream);
	rig_lose(&rig);
}

/* For how long a head has been on its way, so that somebody can lose patience. */
static void an_incomplete_head_has_a_time(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};

	rig_init_raw(&rig);
	assert_true(h2_session_facts(rig.server.session).head_since_us == UINT64_MAX);
	rig.now_us = 5000000;
	put_block(&block, POST);
	put_headers(&frames, 0, 1, &block);
	size_t n = frames.n;

	side_receive(&rig, &rig.server, view_of(frames.p, 20));
	rig.now_us = 6000000;
	side_receive(&rig, &rig.server, view_of(frames.p + 20, n - 21));
	assert_int_equal(h2_session_facts(rig.server.session).head_since_us, 5000000);
	side_receive(&rig, &rig.server, view_of(frames.p + n - 1, 1));
	assert_true(h2_session_facts(rig.server.session).head_since_us == UINT64_MAX);
	struct h2_stream *stream = side_ready(&rig.server);

	stream_head(stream);
	/* Trailers whose stream is let go of in their midst are waited for by nobody. */
	frames.n = 0;
	put_frame(&frames, F_HEADERS, END_STREAM, 1, view_of("\x10\1a", 3));
	side_receive(&rig, &rig.server, view_of(frames.p, frames.n));
	assert_int_equal(h2_session_facts(rig.server.session).head_since_us, 6000000);
	stream_release(stream);
	assert_true(h2_session_facts(rig.server.session).head_since_us == UINT64_MAX);
	view_free(side_output(&rig, &rig.server));
	frames.n = 0;
	put_frame(&frames, F_CONTINUATION, END_HEADERS, 1, view_of("\1b", 2));
	put_frame(&frames, F_HEADERS, END_HEADERS, 1, view_of("\x82", 1));
	send_frames(&rig, &frames);
	assert_true(h2_session_facts(rig.server.session).head_since_us == UINT64_MAX);
	assert_goes_on(&rig, 3);
	rig_lose(&rig);
}

static void an_extended_connect_needs_an_offer(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};
	struct h2_limits limits = rig_limits();
	struct frame frame;

	limits.connect_protocol = false;
	rig_init(&rig, &limits, NULL);
	put_preface(&frames);
	put_block(&block, WEBSOCKET);
	put_headers(&frames, 0, 1, &block);
	send_frames(&rig, &frames);
	struct view output = side_output(&rig, &rig.server);

	assert_true(output_has(output, F_RST_STREAM, 1, &frame));
	assert_int_equal(rig.server.asked, 0);
	view_free(output);
	rig_lose(&rig);
}

/* Another protocol than a WebSocket stays the CONNECT that it is, which nobody serves. */
static void other_protocols_are_no_upgrade(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};

	rig_init_raw(&rig);
	put_block(&block, ":method\0CONNECT\0:protocol\0connect-udp\0:scheme\0https\0:authority\0a\0:path\0/x\0");
	put_headers(&frames, 0, 1, &block);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);
	struct message m = stream_head(stream);

	assert_false(stream->extended_connect || m.has_upgrade);
	assert_int_equal(m.method, METHOD_CONNECT);
	stream_release(stream);
	rig_lose(&rig);
}

/* --- content and trailers --------------------------------------------------------------------------------------- */

struct content {
	const char *name;
	const char *fields;
	const char *data[2]; /* frames; the last ends the stream unless there are trailers */
	struct view trailers;
	unsigned trailer_flags;
};

static const struct content contents[] = {
	{"more content than its length", POST "content-length\0003\0", {"1234", NULL}, {NULL, 0}, 0},
	{"less content than its length", POST "content-length\0003\0", {"12", NULL}, {NULL, 0}, 0},
	{"less content than its length, and trailers", POST "content-length\0003\0", {"12", NULL}, {"a\0b\0", 4},
		END_STREAM},
	{"trailers with a pseudo-field", POST, {"12", NULL}, {":path\0/\0", 8}, END_STREAM},
	{"trailers with an upper-case name", POST, {"12", NULL}, {"A\0b\0", 4}, END_STREAM},
	{"trailers with CR LF", POST, {"12", NULL}, {"a\0b\r\nc\0", 7}, END_STREAM},
	{"trailers of the connection", POST, {"12", NULL}, {"connection\0x\0", 13}, END_STREAM},
	{"trailers that do not end the stream", POST, {"12", NULL}, {"a\0b\0", 4}, 0},
};

static void put_content(struct bytes *frames, const struct content *c)
{
	struct bytes block = {0};

	put_block(&block, c->fields);
	put_frame(frames, F_HEADERS, END_HEADERS, 1, view_of(block.p, block.n));
	block.n = 0;
	for (unsigned i = 0; i < 2 && c->data[i] != NULL; i++) {
		bool last = i == 1 || c->data[i + 1] == NULL;

		put_frame(frames, F_DATA, last && c->trailers.p == NULL ? END_STREAM : 0, 1, view_str(c->data[i]));
	}
	if (c->trailers.p != NULL) {
		put_block_any(&block, c->trailers);
		put_frame(frames, F_HEADERS, END_HEADERS | c->trailer_flags, 1, view_of(block.p, block.n));
	}
	bytes_free(&block);
}

static void malformed_content_is_never_complete(void **state)
{
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		struct rig rig;
		struct bytes frames = {0};
		struct frame frame;
		char text[100];

		rig_init_raw(&rig);
		put_content(&frames, &contents[i]);
		send_frames(&rig, &frames);
		struct h2_stream *stream = side_ready(&rig.server);

		/* What is wrong with trailers is known at once, what with the length when nghttp2 has told the peer. */
		if (contents[i].trailers.p != NULL && stream->fate != H2_MALFORMED)
			fail_msg("%s: its owner is not told", contents[i].name);
		struct view output = side_output(&rig, &rig.server);

		if (!output_has(output, F_RST_STREAM, 1, &frame) || read_u32(frame.payload.p) != H2_PROTOCOL_ERROR)
			fail_msg("%s: no stream error", contents[i].name);
		if (stream == NULL || stream->fate != H2_MALFORMED)
			fail_msg("%s: its owner does not know", contents[i].name);
		stream_head(stream);
		if (stream_read(stream, text, sizeof(text)) != H1_PIECE_BAD)
			fail_msg("%s: it looks right", contents[i].name);
		view_free(output);
		stream_release(stream);
		assert_goes_on(&rig, 3);
		rig_lose(&rig);
	}
}

/* --- responses -------------------------------------------------------------------------------------------------- */

/* A client that asks for one thing, and what a server says by hand. */
static struct h2_stream *ask_by_hand(struct rig *rig, const char *head, const struct bytes *frames)
{
	struct h2_limits limits = rig_limits();
	struct bytes first = {0};
	struct h2_stream *asks;

	rig_init(rig, NULL, &limits);
	put_frame(&first, F_SETTINGS, 0, 0, view_of("", 0));
	side_receive(rig, &rig->client, view_of(first.p, first.n));
	bytes_free(&first);
	asks = rig_request(rig, head, FRAMING_NONE);
	view_free(side_output(rig, &rig->client));
	side_receive(rig, &rig->client, view_of(frames->p, frames->n));
	return asks;
}

static const struct malformed responses[] = {
	BAD("no status", "server\0x\0"),
	BAD("two statuses", ":status\000200\0:status\000200\0"),
	BAD("status of two digits", ":status\00020\0"),
	BAD("status with a letter", ":status\0002x0\0"),
	BAD("status 101", ":status\000101\0"),
	BAD("status below all", ":status\000099\0"),
	BAD("status beyond all", ":status\000600\0"),
	BAD("pseudo-field of a request", ":status\000200\0:path\0/\0"),
	BAD("pseudo-field behind a field", "a\0b\0:status\000200\0"),
	BAD("upper-case name", ":status\000200\0Server\0x\0"),
	BAD("Connection", ":status\000200\0connection\0close\0"),
	BAD("Transfer-Encoding", ":status\000200\0transfer-encoding\0chunked\0"),
	BAD("value with CR LF", ":status\000200\0a\0b\r\nc\0"),
	BAD("two lengths", ":status\000200\0content-length\0001\0content-length\0001\0"),
	BAD("length without content", ":status\000200\0content-length\0001\0"),
	BAD("informational head that ends the stream", ":status\000103\0"),
};

static void malformed_responses_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
		struct rig rig;
		struct bytes frames = {0}, block = {0};
		struct frame frame;
		struct message m;
		char text[10];

		put_block_any(&block, responses[i].fields);
		put_headers(&frames, END_STREAM, 1, &block);
		struct h2_stream *asks = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);
		struct view output = side_output(&rig, &rig.client);

		if (!output_has(output, F_RST_STREAM, 1, &frame) || read_u32(frame.payload.p) != H2_PROTOCOL_ERROR)
			fail_msg("%s: no stream error", responses[i].name);
		if (side_ready(&rig.client) != asks || asks->fate != H2_MALFORMED)
			fail_msg("%s: its owner does not know", responses[i].name);
		struct h1_result result = h2_stream_read_head(asks, &m, NULL);

		if (result.status != H1_BAD || result.cause != CAUSE_UPSTREAM_BAD_RESPONSE || result.why == NULL)
			fail_msg("%s: it looks like a head", responses[i].name);
		assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_BAD);
		view_free(output);
		bytes_free(&frames);
		stream_release(asks);
		rig_release(&rig);
	}
}

/*
 * HEAD, 204 and 304 have no content, whatever their fields say; and one may have ended without saying so in its
 * head.
 */
static void some_responses_have_no_content(void **state)
{
	static const struct {
		const char *request;
		struct view fields;
	} cases[] = {
		{"HEAD / HTTP/1.1\r\nHost: a\r\n", {":status\000200\0content-length\0005\0", 0}},
		{"GET / HTTP/1.1\r\nHost: a\r\n", {":status\000304\0content-length\0005\0", 0}},
		{"GET / HTTP/1.1\r\nHost: a\r\n", {":status\000204\0", 0}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		struct bytes frames = {0}, block = {0};
		char text[10];

		put_block(&block, cases[i].fields.p);
		put_headers(&frames, 0, 1, &block);
		struct h2_stream *asks = ask_by_hand(&rig, cases[i].request, &frames);
		struct message m = stream_head(asks);

		assert_int_equal(m.framing, FRAMING_NONE);
		assert_int_equal(m.content_length, i < 2 ? 5 : 0);
		assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_MORE);
		frames.n = 0;
		put_frame(&frames, F_DATA, END_STREAM, 1, VIEW(""));
		side_receive(&rig, &rig.client, view_of(frames.p, frames.n));
		assert_int_equal(stream_read(asks, text, sizeof(text)), H1_PIECE_END);
		bytes_free(&frames);
		stream_release(asks);
		rig_release(&rig);
	}
}

static void a_response_head_that_is_too_large_is_refused(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};
	struct message m;
	char value[9000];

	memset(value, 'x', sizeof(value));
	put_block(&block, ":status\000200\0");
	put_literal(&block, VIEW("a"), view_of(value, 8000));
	put_literal(&block, VIEW("b"), view_of(value, 9000));
	put_headers(&frames, END_STREAM, 1, &block);
	struct h2_stream *asks = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);

	assert_int_equal(asks->fate, H2_MALFORMED);
	assert_int_equal(h2_stream_read_head(asks, &m, NULL).cause, CAUSE_UPSTREAM_BAD_RESPONSE);
	bytes_free(&frames);
	stream_release(asks);
	rig_release(&rig);
}

static void put_response(struct bytes *frames, unsigned flags, uint32_t id)
{
	struct bytes block = {0};

	put_block(&block, ":status\000200\0");
	put_headers(frames, flags, id, &block);
}

/* A server that goes on with a stream that it has ended, however the frames arrive. */
static void more_of_an_ended_response_ends_the_connection(void **state)
{
	for (unsigned i = 0; i < 8; i++) {
		struct rig rig;
		struct bytes frames = {0};
		struct h2_stream *asks = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);

		rig.client.step = i & 4 ? 1 : 0;
		put_response(&frames, i & 1 ? END_STREAM : 0, 1);
		if (!(i & 1))
			put_frame(&frames, F_RST_STREAM, 0, 1, view_of("\0\0\0\0", 4));
		if (i & 2)
			put_frame(&frames, F_DATA, 0, 1, VIEW("more"));
		else
			put_response(&frames, END_STREAM, 1);
		side_receive(&rig, &rig.client, view_of(frames.p, frames.n));
		assert_int_equal(h2_session_facts(rig.client.session).error, H2_STREAM_CLOSED);
		assert_int_equal(stream_head(asks).status, 200);
		view_free(side_output(&rig, &rig.client));
		assert_true(h2_session_must_close(rig.client.session));
		bytes_free(&frames);
		stream_release(asks);
		rig_release(&rig);
	}
}

/* What was on its way when we reset the stream is let pass, also of streams that are long forgotten. */
static void more_of_a_response_that_we_reset_is_let_pass(void **state)
{
	enum { STREAMS = 200 };
	struct rig rig;
	struct bytes frames = {0};
	struct h2_stream *asks = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);

	for (unsigned i = 1; i < STREAMS; i++) {
		stream_release(asks);
		asks = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);
		view_free(side_output(&rig, &rig.client));
	}
	for (uint32_t i = 0; i < STREAMS - 1; i++) {
		put_response(&frames, 0, 2 * i + 1);
		put_frame(&frames, F_DATA, END_STREAM, 2 * i + 1, VIEW("more"));
	}
	put_response(&frames, END_STREAM, 2 * STREAMS - 1);
	side_receive(&rig, &rig.client, view_of(frames.p, frames.n));
	assert_int_equal(h2_session_facts(rig.client.session).error, H2_NO_ERROR);
	assert_int_equal(asks->fate, H2_COMPLETE);
	bytes_free(&frames);
	stream_release(asks);
	rig_release(&rig);
}

/* Who says GOAWAY may have begun to answer what it says not to have processed. */
static void more_of_a_refused_response_is_let_pass(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	struct h2_stream *first = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);
	struct h2_stream *second = rig_request(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	put_frame(&frames, F_GOAWAY, 0, 0, view_of("\0\0\0\1\0\0\0\0", 8));
	put_response(&frames, END_STREAM, 3);
	put_response(&frames, END_STREAM, 1);
	side_receive(&rig, &rig.client, view_of(frames.p, frames.n));
	assert_int_equal(second->fate, H2_REFUSED);
	assert_int_equal(first->fate, H2_COMPLETE);
	assert_null(h2_session_facts(rig.client.session).why);
	bytes_free(&frames);
	stream_release(first);
	stream_release(second);
	rig_release(&rig);
}

static void content_of_what_was_not_asked_for_ends_the_connection(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	struct h2_stream *asks;

	put_frame(&frames, F_DATA, 0, 5, VIEW("x"));
	asks = ask_by_hand(&rig, "GET / HTTP/1.1\r\nHost: a\r\n", &frames);
	view_free(side_output(&rig, &rig.client));
	assert_int_equal(h2_session_facts(rig.client.session).error, H2_PROTOCOL_ERROR);
	assert_int_equal(asks->fate, H2_LOST);
	bytes_free(&frames);
	stream_release(asks);
	rig_release(&rig);
}

/* --- the connection --------------------------------------------------------------------------------------------- */

struct broken {
	const char *name;
	uint32_t code;
	unsigned type, flags;
	uint32_t id;
	struct view payload;
};

#define BYTES(literal) {literal, sizeof(literal) - 1}

static const struct broken connections[] = {
	{"DATA for the connection", H2_PROTOCOL_ERROR, F_DATA, 0, 0, BYTES("x")},
	{"DATA for an idle stream", H2_PROTOCOL_ERROR, F_DATA, 0, 5, BYTES("x")},
	{"HEADERS for the connection", H2_PROTOCOL_ERROR, F_HEADERS, END_HEADERS, 0, BYTES("\x82")},
	{"HEADERS with an even number", H2_PROTOCOL_ERROR, F_HEADERS, END_HEADERS, 2, BYTES("\x82")},
	{"HEADERS with a number that was", 0x5, F_HEADERS, END_HEADERS, 1, BYTES("\x82")},
	{"CONTINUATION of nothing", H2_PROTOCOL_ERROR, F_CONTINUATION, END_HEADERS, 5, BYTES("\x82")},
	{"a block that is none", 0x9, F_HEADERS, END_HEADERS | END_STREAM, 5, BYTES("\xff\xff\xff\xff\xff\xff")},
	{"an index beyond the table", 0x9, F_HEADERS, END_HEADERS | END_STREAM, 5, BYTES("\xfe")},
	{"SETTINGS of a stream", H2_PROTOCOL_ERROR, F_SETTINGS, 0, 1, BYTES("")},
	{"SETTINGS of odd size", 0x6, F_SETTINGS, 0, 0, BYTES("12345")},
	{"SETTINGS with a push that is none", H2_PROTOCOL_ERROR, F_SETTINGS, 0, 0, BYTES("\0\2\0\0\0\2")},
	{"SETTINGS with too large a window", H2_FLOW_CONTROL_ERROR, F_SETTINGS, 0, 0, BYTES("\0\4\x80\0\0\0")},
	{"PING of a stream", H2_PROTOCOL_ERROR, F_PING, 0, 1, BYTES("12345678")},
	{"PING of other size", 0x6, F_PING, 0, 0, BYTES("1234567")},
	{"PUSH_PROMISE from a client", H2_PROTOCOL_ERROR, F_PUSH_PROMISE, END_HEADERS, 1, BYTES("\0\0\0\2\x82")},
	{"RST_STREAM of an idle stream", H2_PROTOCOL_ERROR, F_RST_STREAM, 0, 5, BYTES("\0\0\0\x8")},
	{"WINDOW_UPDATE of nothing", H2_PROTOCOL_ERROR, F_WINDOW_UPDATE, 0, 0, BYTES("\0\0\0\0")},
	{"WINDOW_UPDATE beyond all", H2_FLOW_CONTROL_ERROR, F_WINDOW_UPDATE, 0, 0, BYTES("\x7f\xff\xff\xff")},
	{"padding beyond the frame", H2_PROTOCOL_ERROR, F_HEADERS, PADDED | END_HEADERS, 5, BYTES("\x9\x82")},
	{"a stream that depends on itself", H2_PROTOCOL_ERROR, F_PRIORITY, 0, 7, BYTES("\0\0\0\7\x10")},
};

static void a_broken_connection_ends(void **state)
{
	for (size_t i = 0; i < sizeof(connections) / sizeof(connections[0]); i++) {
		const struct broken *b = &connections[i];
		struct rig rig;
		struct bytes frames = {0};
		struct frame frame;

		rig_init_raw(&rig);
		put_get(&frames, 1);
		put_frame(&frames, b->type, b->flags, b->id, b->payload);
		send_frames(&rig, &frames);
		struct view output = side_output(&rig, &rig.server);

		if (!output_has(output, F_GOAWAY, 0, &frame))
			fail_msg("%s: no GOAWAY", b->name);
		if (read_u32(frame.payload.p + 4) != b->code)
			fail_msg("%s: code %u", b->name, read_u32(frame.payload.p + 4));
		if (!h2_session_must_close(rig.server.session) || h2_session_wants_write(rig.server.session))
			fail_msg("%s: it goes on", b->name);
		struct h2_facts facts = h2_session_facts(rig.server.session);

		assert_int_equal(facts.error, b->code);
		assert_non_null(facts.why);
		/* Who was under way is told. */
		struct h2_stream *stream = side_ready(&rig.server);

		assert_non_null(stream);
		assert_true(h2_stream_is_over(stream) && stream->fate != H2_COMPLETE);
		view_free(output);
		stream_release(stream);
		rig_lose(&rig);
	}
}

/* A number below the last one is an error if it was never used; if all were, it is one that we have forgotten. */
static void numbers_go_up(void **state)
{
	struct rig rig;
	struct bytes frames = {0};

	rig_init_raw(&rig);
	for (uint32_t id = 1; id < 1000; id += 2) {
		put_get(&frames, id);
		send_frames(&rig, &frames);
		stream_release(side_ready(&rig.server));
		view_free(side_output(&rig, &rig.server));
	}
	put_get(&frames, 1);
	send_frames(&rig, &frames);
	assert_int_equal(h2_session_facts(rig.server.session).error, H2_NO_ERROR);
	assert_int_equal(rig.server.asked, 500);
	put_get(&frames, 1003);
	put_get(&frames, 1001);
	send_frames(&rig, &frames);
	assert_int_equal(h2_session_facts(rig.server.session).error, H2_PROTOCOL_ERROR);
	assert_int_equal(rig.server.asked, 501);
	view_free(side_output(&rig, &rig.server));
	assert_true(h2_session_must_close(rig.server.session));
	rig_lose(&rig);
}

static void other_first_bytes_end_it(void **state)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct frame frame;

	rig_init(&rig, &limits, NULL);
	side_receive(&rig, &rig.server, VIEW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_int_equal(h2_session_facts(rig.server.session).error, H2_PROTOCOL_ERROR);
	struct view output = side_output(&rig, &rig.server);

	assert_true(output_has(output, F_GOAWAY, 0, &frame));
	assert_true(h2_session_must_close(rig.server.session));
	view_free(output);
	rig_release(&rig);
}

/* --- limits ----------------------------------------------------------------------------------------------------- */

static struct h2_stream *too_large(struct rig *rig, struct bytes *block)
{
	struct bytes frames = {0};

	put_headers(&frames, END_STREAM, 1, block);
	send_frames(rig, &frames);
	struct h2_stream *stream = side_ready(&rig->server);

	assert_non_null(stream);
	return stream;
}

static void a_head_that_is_too_large_is_answered(void **state)
{
	char value[8001];
	struct {
		enum cause cause;
		struct bytes block;
	} cases[3] = {{CAUSE_HEADERS_TOO_LARGE, {0}}, {CAUSE_HEADERS_TOO_LARGE, {0}}, {CAUSE_URI_TOO_LONG, {0}}};

	memset(value, '/', sizeof(value));
	put_block(&cases[0].block, START);
	put_literal(&cases[0].block, VIEW("a"), view_of(value, 8000));
	put_literal(&cases[0].block, VIEW("b"), view_of(value, 8000));
	put_literal(&cases[0].block, VIEW("c"), view_of(value, 400));
	put_block(&cases[1].block, START);
	for (unsigned i = 0; i < 101; i++)
		put_literal(&cases[1].block, VIEW("cookie"), VIEW("a=b"));
	put_block(&cases[2].block, ":method\0GET\0:scheme\0https\0:authority\0a\0");
	put_literal(&cases[2].block, VIEW(":path"), view_of(value, 8001));
	for (unsigned i = 0; i < 3; i++) {
		struct rig rig;
		struct message m;
		struct frame frame;

		rig_init_raw(&rig);
		struct h2_stream *stream = too_large(&rig, &cases[i].block);
		struct h1_result result = h2_stream_read_head(stream, &m, NULL);

		assert_int_equal(result.status, H1_BAD);
		assert_int_equal(result.cause, cases[i].cause);
		assert_non_null(result.why);
		assert_int_equal(stream->fate, H2_LIVE);
		assert_true(stream_put_head(stream, "HTTP/1.1 431 Request Header Fields Too Large\r\n", FRAMING_NONE));
		struct view output = side_output(&rig, &rig.server);

		assert_true(output_has(output, F_HEADERS, 1, &frame));
		assert_int_equal(stream->fate, H2_COMPLETE);
		view_free(output);
		stream_release(stream);
		assert_goes_on(&rig, 3);
		rig_lose(&rig);
	}
}

/* Just as large as is allowed. */
static void a_head_at_the_limit_is_read(void **state)
{
	struct rig rig;
	struct bytes block = {0};
	char value[16384];

	memset(value, 'x', sizeof(value));
	put_block(&block, START);
	/* ":method" "GET" ":scheme" "https" ":authority" "a" ":path" "/", and 4 bytes with each. */
	put_literal(&block, VIEW("a"), view_of(value, 16384 - 29 - 10 - 16 - 1 - 4));
	rig_init_raw(&rig);
	struct h2_stream *stream = too_large(&rig, &block);

	assert_int_equal(stream_head(stream).field_count, 1);
	stream_release(stream);
	put_block(&block, START);
	put_literal(&block, VIEW("a"), view_of(value, 16384 - 29 - 10 - 16 - 1 - 4 + 1));
	struct rig other;
	struct message m;

	rig_init_raw(&other);
	stream = too_large(&other, &block);
	assert_int_equal(h2_stream_read_head(stream, &m, NULL).status, H1_BAD);
	stream_release(stream);
	rig_lose(&rig);
	rig_lose(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_requests_are_refused),
		cmocka_unit_test(what_is_right_is_read),
		cmocka_unit_test(a_head_may_come_in_pieces),
		cmocka_unit_test(an_incomplete_head_has_a_time),
		cmocka_unit_test(an_extended_connect_needs_an_offer),
		cmocka_unit_test(other_protocols_are_no_upgrade),
		cmocka_unit_test(malformed_content_is_never_complete),
		cmocka_unit_test(malformed_responses_are_refused),
		cmocka_unit_test(some_responses_have_no_content),
		cmocka_unit_test(a_response_head_that_is_too_large_is_refused),
		cmocka_unit_test(more_of_an_ended_response_ends_the_connection),
		cmocka_unit_test(more_of_a_response_that_we_reset_is_let_pass),
		cmocka_unit_test(more_of_a_refused_response_is_let_pass),
		cmocka_unit_test(content_of_what_was_not_asked_for_ends_the_connection),
		cmocka_unit_test(a_broken_connection_ends),
		cmocka_unit_test(numbers_go_up),
		cmocka_unit_test(other_first_bytes_end_it),
		cmocka_unit_test(a_head_that_is_too_large_is_answered),
		cmocka_unit_test(a_head_at_the_limit_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
