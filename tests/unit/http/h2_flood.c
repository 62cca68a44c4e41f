/*
 * Peers that mean harm: each flood ends the connection before it costs much, and honest peers that look like one do
 * not.
 */
#include "h2_rig.h"

#define START ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0/\0"

enum { MANY = 100000, MEMORY_MAX = 1024 * 1024 };

static void release_ready(struct rig *rig)
{
	for (struct h2_stream *stream; (stream = side_ready(&rig->server)) != NULL;)
		stream_release(stream);
}

/* One turn of a flood: frames for the n-th time. */
typedef void flood_turn(struct bytes *frames, uint32_t n);

struct flood {
	const char *name;
	flood_turn *turn;
	unsigned turns_max;
	bool held; /* streams are released at the end, and not as soon as their owner hears of them */
};

/* Floods until the session has ended, with what it says read or not; how many turns that took. */
static unsigned flood(struct rig *rig, const struct flood *flood, bool reads)
{
	size_t memory_max = 0;
	unsigned turns = 0;

	while (turns < MANY && h2_session_wants_read(rig->server.session)) {
		struct bytes frames = {0};

		flood->turn(&frames, turns++);
		send_frames(rig, &frames);
		if (h2_session_facts(rig->server.session).memory_bytes > memory_max)
			memory_max = h2_session_facts(rig->server.session).memory_bytes;
		if (reads)
			view_free(side_output(rig, &rig->server));
		if (!flood->held)
			release_ready(rig);
	}
	assert_true(memory_max < MEMORY_MAX);
	return turns;
}

static void assert_ended(struct rig *rig)
{
	struct frame frame;

	assert_int_equal(h2_session_facts(rig->server.session).error, H2_ENHANCE_YOUR_CALM);
	assert_non_null(h2_session_facts(rig->server.session).why);
	struct view output = side_output(rig, &rig->server);

	assert_true(output.n == 0 || output_has(output, F_GOAWAY, 0, &frame));
	view_free(output);
	assert_true(h2_session_must_close(rig->server.session));
}

/* --- what ends -------------------------------------------------------------------------------------------------- */

static void rapid_reset(struct bytes *frames, uint32_t n)
{
	put_get(frames, 2 * n + 1);
	put_frame(frames, F_RST_STREAM, 0, 2 * n + 1, view_of("\0\0\0\x8", 4));
}

/* We are made to reset: a window beyond all bounds. */
static void made_you_reset(struct bytes *frames, uint32_t n)
{
	put_get(frames, 2 * n + 1);
	put_frame(frames, F_WINDOW_UPDATE, 0, 2 * n + 1, view_of("\x7f\xff\xff\xff", 4));
}

/* The same by content beyond its length. */
static void made_you_reset_by_content(struct bytes *frames, uint32_t n)
{
	struct bytes block = {0};

	put_block(&block, START "content-length\0001\0");
	put_headers(frames, 0, 2 * n + 1, &block);
	put_frame(frames, F_DATA, END_STREAM, 2 * n + 1, VIEW("xx"));
}

static void malformed(struct bytes *frames, uint32_t n)
{
	struct bytes block = {0};

	put_block(&block, START "connection\0close\0");
	put_headers(frames, END_STREAM, 2 * n + 1, &block);
}

static void malformed_by_our_rules(struct bytes *frames, uint32_t n)
{
	struct bytes block = {0};

	put_block(&block, START "host\0b\0");
	put_headers(frames, END_STREAM, 2 * n + 1, &block);
}

static void ping(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_PING, 0, 0, VIEW("12345678"));
}

static void ping_ack(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_PING, ACK, 0, VIEW("12345678"));
}

static void settings(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_SETTINGS, 0, 0, view_of("\0\4\0\1\0\0", 6));
}

static void priority(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_PRIORITY, 0, 2 * n + 1, view_of("\0\0\0\0\x10", 5));
}

static void window_by_one(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_WINDOW_UPDATE, 0, 0, view_of("\0\0\0\1", 4));
}

static void unknown(struct bytes *frames, uint32_t n)
{
	put_frame(frames, 0x77, 0xff, 0, VIEW("?"));
}

static void open_first(struct bytes *frames, uint32_t n)
{
	struct bytes block = {0};

	if (n > 0)
		return;
	put_block(&block, START);
	put_headers(frames, 0, 1, &block);
}

static void empty_data(struct bytes *frames, uint32_t n)
{
	open_first(frames, n);
	put_frame(frames, F_DATA, 0, 1, VIEW(""));
}

static void padding_only(struct bytes *frames, uint32_t n)
{
	open_first(frames, n);
	put_frame(frames, F_DATA, PADDED, 1, view_of("\3\0\0\0", 4));
}

static void empty_headers(struct bytes *frames, uint32_t n)
{
	put_frame(frames, F_HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, VIEW(""));
}

static void unknown_large(struct bytes *frames, uint32_t n)
{
	static const char payload[16384];

	put_frame(frames, 0x10, 0, 0, view_of(payload, sizeof(payload)));
}

/* nghttp2 does not tell of content for streams that we have reset. */
static void content_of_the_dead(struct bytes *frames, uint32_t n)
{
	open_first(frames, n);
	for (unsigned i = 0; n > 0 && i < 1000; i++)
		put_frame(frames, F_DATA, 0, 1, VIEW(""));
}

/* Blocks of streams that we have reset are decompressed and forgotten. */
static void headers_of_the_dead(struct bytes *frames, uint32_t n)
{
	open_first(frames, n);
	if (n > 0)
		put_frame(frames, F_HEADERS, END_HEADERS, 1, view_of("\x82", 1));
}

static void floods_end_the_connection(void **state)
{
	static const struct flood floods[] = {
		{"rapid reset", rapid_reset, 450, false},
		{"made you reset", made_you_reset, 450, false},
		{"made you reset by content", made_you_reset_by_content, 450, false},
		{"malformed", malformed, 450, false},
		{"malformed by our rules", malformed_by_our_rules, 450, false},
		{"PING", ping, 550, false},
		{"answers to no PING", ping_ack, 550, false},
		{"SETTINGS", settings, 550, false},
		{"PRIORITY", priority, 550, false},
		{"WINDOW_UPDATE", window_by_one, 550, false},
		{"unknown frames", unknown, 550, false},
		{"empty DATA", empty_data, 450, true},
		{"padding only", padding_only, 450, true},
		{"empty HEADERS", empty_headers, 450, false},
		{"large unknown frames", unknown_large, 550, false},
		{"content of the dead", content_of_the_dead, 1000, false},
		{"HEADERS of the dead", headers_of_the_dead, 550, false},
	};

	for (size_t i = 0; i < 2 * sizeof(floods) / sizeof(floods[0]); i++) {
		struct rig rig;
		bool reads = i % 2 == 0;

		rig_init_raw(&rig);
		unsigned turns = flood(&rig, &floods[i / 2], reads);

		if (turns > floods[i / 2].turns_max)
			fail_msg("%s: %u turns", floods[i / 2].name, turns);
		if (rig.server.asked > 450)
			fail_msg("%s: %u requests", floods[i / 2].name, rig.server.asked);
		/* Who does not read is not read from; one who answers our PING may have been let go in good order. */
		if (h2_session_facts(rig.server.session).error != H2_NO_ERROR)
			assert_ended(&rig);
		else
			assert_true(!reads || h2_session_must_close(rig.server.session));
		rig_lose(&rig);
	}
}

/* All in one receive: nothing of what comes after the end is looked at. */
static void a_flood_in_one_piece_ends_as_soon(void **state)
{
	struct rig rig;
	struct bytes frames = {0};

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 5000; n++)
		rapid_reset(&frames, n);
	send_frames(&rig, &frames);
	/* Nobody has released one: the first hundred fill what a client may have, and the rest is refused. */
	assert_int_equal(rig.server.asked, H2_STREAMS_MAX);
	assert_ended(&rig);
	rig_lose(&rig);
}

/* RFC 9113 §10.5.1, CVE-2024-28182: a block that never ends. */
static void a_block_without_end_ends_the_connection(void **state)
{
	static const struct {
		struct view fields; /* in each frame */
		unsigned times, frames_max;
	} cases[] = {
		{{"", 0}, 1, 25},
		{{"\x10\1a\1b", 5}, 1, 25},
		{{"\x10\1a\1b", 5}, 3000, 25},
		/* Twice the same pseudo-field: the rest of the block is ignored, but not for ever. */
		{{"\x82", 1}, 2, 250},
		{{"\x82", 1}, 16384, 250},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		struct bytes frames = {0}, piece = {0};
		unsigned count = 0;

		for (unsigned n = 0; n < cases[i].times; n++)
			bytes_put(&piece, cases[i].fields.p, cases[i].fields.n);
		rig_init_raw(&rig);
		put_frame(&frames, F_HEADERS, END_STREAM, 1, view_of("\x82", 1));
		send_frames(&rig, &frames);
		assert_int_equal(h2_session_facts(rig.server.session).head_since_us, rig.now_us);
		while (count < 1000 && h2_session_wants_read(rig.server.session)) {
			put_frame(&frames, F_CONTINUATION, 0, 1, view_of(piece.p, piece.n));
			send_frames(&rig, &frames);
			count++;
		}
		assert_true(count < cases[i].frames_max);
		assert_int_equal(rig.server.asked, 0);
		assert_ended(&rig);
		bytes_free(&piece);
		rig_lose(&rig);
	}
}

/* Before anything of it can be decompressed into a field: RFC 7541 §6.3, again and again. */
static void a_block_of_nothing_ends_the_connection(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	char sizes[16384];
	unsigned count = 0;

	memset(sizes, 0x20, sizeof(sizes));
	rig_init_raw(&rig);
	put_frame(&frames, F_HEADERS, END_STREAM, 1, view_of(sizes, sizeof(sizes)));
	for (; count < 1000 && h2_session_wants_read(rig.server.session); count++) {
		send_frames(&rig, &frames);
		put_frame(&frames, F_CONTINUATION, 0, 1, view_of(sizes, sizeof(sizes)));
	}
	assert_true(count < 8);
	assert_ended(&rig);
	bytes_free(&frames);
	rig_lose(&rig);
}

static void empty_frames_of_a_block_are_glitches(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};

	rig_init_raw(&rig);
	put_block(&block, START);
	put_frame(&frames, F_HEADERS, END_STREAM, 1, view_of("", 0));
	put_frame(&frames, F_CONTINUATION, 0, 1, view_of(block.p, block.n));
	put_frame(&frames, F_CONTINUATION, END_HEADERS, 1, view_of("", 0));
	bytes_free(&block);
	send_frames(&rig, &frames);
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 2);
	assert_int_equal(rig.server.asked, 1);
	rig_lose(&rig);
}

/* One byte that stands for 4 KB, many times. */
static void a_bomb_ends_the_connection(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};
	char value[3900];

	memset(value, 'x', sizeof(value));
	rig_init_raw(&rig);
	put_block(&block, START);
	put_indexed_literal(&block, VIEW("a"), view_of(value, sizeof(value)));
	for (unsigned i = 0; i < 10000; i++)
		bytes_put(&block, "\xbe", 1);
	put_headers(&frames, END_STREAM, 1, &block);
	send_frames(&rig, &frames);
	assert_int_equal(rig.server.asked, 0);
	assert_true(h2_session_facts(rig.server.session).memory_bytes < 100000);
	assert_ended(&rig);
	rig_lose(&rig);
}

/* The smallest fields there are, by their number. */
static void a_bomb_of_crumbs_is_refused(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};
	struct message m;

	rig_init_raw(&rig);
	put_block(&block, START);
	put_indexed_literal(&block, VIEW("cookie"), VIEW(""));
	for (unsigned i = 0; i < 5000; i++)
		bytes_put(&block, "\xbe", 1);
	put_headers(&frames, END_STREAM, 1, &block);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	assert_non_null(stream);
	assert_int_equal(h2_stream_read_head(stream, &m, NULL).cause, CAUSE_HEADERS_TOO_LARGE);
	stream_release(stream);
	rig_lose(&rig);
}

static void assert_memory_has_a_cap(uint32_t memory_bytes_max)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct bytes frames = {0};
	uint32_t n = 0;

	limits.memory_bytes_max = memory_bytes_max;
	limits.streams_max = 100000;
	rig_init(&rig, &limits, NULL);
	put_preface(&frames);
	send_frames(&rig, &frames);
	while (n < 10000 && h2_session_wants_read(rig.server.session)) {
		put_get(&frames, 2 * n++ + 1);
		send_frames(&rig, &frames);
		assert_true(h2_session_facts(rig.server.session).memory_bytes <= memory_bytes_max);
	}
	assert_true(n < 1000);
	assert_ended(&rig);
	rig_lose(&rig);
}

/* Wherever the bound falls in what is asked for. */
static void memory_has_a_cap(void **state)
{
	for (uint32_t n = 0; n < 512; n += 8)
		assert_memory_has_a_cap(64 * 1024 + n);
}

/* Bytes in one piece, which the session may look at in several goes; what it has left after the first. */
static void receive_once(struct rig *rig, struct bytes *frames)
{
	h2_session_receive(rig->server.session, view_of(frames->p, frames->n), rig->now_us);
	h2_session_keep_in(rig->server.session);
	bytes_free(frames);
}

/* So that others have their turn in between. Nothing is lost of it, and it takes no more bytes than there are. */
static void many_heads_are_taken_in_turns(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	unsigned turns = 1;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < H2_STREAMS_MAX; n++)
		put_get(&frames, 2 * n + 1);
	receive_once(&rig, &frames);
	assert_true(rig.server.asked > 5 && rig.server.asked < 50);
	for (; h2_session_is_behind(rig.server.session); turns++)
		receive_once(&rig, &frames);
	assert_int_equal(rig.server.asked, H2_STREAMS_MAX);
	assert_true(turns < 10);
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* One head of many fields is as much work as many heads, and more. */
static void a_head_of_many_fields_is_taken_in_turns(void **state)
{
	struct rig rig;
	struct bytes frames = {0}, block = {0};
	unsigned turns = 1;

	rig_init_raw(&rig);
	put_block(&block, START);
	put_indexed_literal(&block, VIEW("cookie"), VIEW(""));
	for (unsigned i = 0; i < 5000; i++)
		bytes_put(&block, "\xbe", 1);
	put_headers(&frames, END_STREAM, 1, &block);
	put_get(&frames, 3);
	receive_once(&rig, &frames);
	assert_int_equal(rig.server.asked, 0);
	for (; h2_session_is_behind(rig.server.session); turns++)
		receive_once(&rig, &frames);
	assert_int_equal(rig.server.asked, 2);
	assert_in_range(turns, 38, 42);
	rig_lose(&rig);
}

/* More comes while something is left: it stands behind that. */
static void what_comes_while_behind_waits(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	uint32_t n = 0;

	rig_init_raw(&rig);
	for (unsigned piece = 0; piece < 4; piece++) {
		for (unsigned i = 0; i < H2_STREAMS_MAX / 4; i++)
			put_get(&frames, 2 * n++ + 1);
		receive_once(&rig, &frames);
	}
	while (h2_session_is_behind(rig.server.session))
		receive_once(&rig, &frames);
	assert_int_equal(rig.server.asked, H2_STREAMS_MAX);
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* Half of what is allowed begins a drain, so that an unlucky client loses nothing. */
static void a_drain_comes_first(void **state)
{
	struct rig rig;
	struct frame frame;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < H2_GLITCHES_MAX / 2; n++) {
		struct bytes frames = {0};

		rapid_reset(&frames, n);
		send_frames(&rig, &frames);
		release_ready(&rig);
	}
	assert_false(h2_session_facts(rig.server.session).going_away);
	struct bytes frames = {0};

	rapid_reset(&frames, 1000);
	send_frames(&rig, &frames);
	release_ready(&rig);
	assert_true(h2_session_facts(rig.server.session).going_away);
	assert_true(h2_session_wants_read(rig.server.session));
	struct view output = side_output(&rig, &rig.server);

	assert_true(output_has(output, F_GOAWAY, 0, &frame));
	assert_int_equal(read_u32(frame.payload.p + 4), H2_NO_ERROR);
	view_free(output);
	rig_lose(&rig);
}

/* An answer byte by byte: each costs a frame in and a frame out. */
static void windows_of_a_byte_end_the_connection(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	char *content = calloc(1, 100000);
	unsigned turns = 0;

	assert_non_null(content);
	rig_init_raw(&rig);
	put_frame(&frames, F_SETTINGS, 0, 0, view_of("\0\4\0\0\0\0", 6));
	put_get(&frames, 1);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	stream_head(stream);
	assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	h2_stream_put_body(stream, view_of(content, 100000));
	while (turns < 5000 && h2_session_wants_read(rig.server.session)) {
		view_free(side_output(&rig, &rig.server));
		put_frame(&frames, F_WINDOW_UPDATE, 0, 1, view_of("\0\0\0\1", 4));
		send_frames(&rig, &frames);
		turns++;
	}
	assert_true(turns < 550);
	assert_true(h2_stream_unsent(stream) == 0);
	assert_int_equal(stream->fate, H2_LOST);
	assert_ended(&rig);
	stream_release(stream);
	free(content);
	rig_lose(&rig);
}

/* --- what does not ---------------------------------------------------------------------------------------------- */

/* Begins an answer to the next request that has come. */
static struct h2_stream *answer_next(struct rig *rig, enum framing framing)
{
	struct h2_stream *stream = side_ready(&rig->server);

	assert_non_null(stream);
	stream_head(stream);
	assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", framing));
	return stream;
}

/* A request, and the beginning of its answer. */
static struct h2_stream *answered(struct rig *rig, uint32_t id, enum framing framing)
{
	struct bytes frames = {0};

	put_get(&frames, id);
	send_frames(rig, &frames);
	return answer_next(rig, framing);
}

static void time_forgives(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 5000; n++) {
		struct bytes frames = {0};

		rapid_reset(&frames, n);
		rig.now_us += 100000;
		send_frames(&rig, &frames);
		view_free(side_output(&rig, &rig.server));
		release_ready(&rig);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 5000);
	assert_false(h2_session_facts(rig.server.session).going_away);
	rig_lose(&rig);
}

/* A client that gives up every other request, and has the rest answered. */
static void proper_ends_forgive(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 5000; n++) {
		struct bytes frames = {0};

		rapid_reset(&frames, 2 * n);
		send_frames(&rig, &frames);
		release_ready(&rig);
		put_get(&frames, 4 * n + 3);
		send_frames(&rig, &frames);
		struct h2_stream *stream = side_ready(&rig.server);

		stream_head(stream);
		assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", FRAMING_NONE));
		view_free(side_output(&rig, &rig.server));
		release_ready(&rig);
	}
	assert_false(h2_session_facts(rig.server.session).going_away);
	rig_lose(&rig);
}

/* What browsers and gRPC do around a request: priorities, windows, a PING. */
static void honest_noise_is_nothing(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 5000; n++) {
		struct bytes frames = {0};

		put_get(&frames, 2 * n + 1);
		priority(&frames, n);
		window_by_one(&frames, n);
		put_frame(&frames, F_WINDOW_UPDATE, 0, 2 * n + 1, view_of("\0\0\0\1", 4));
		ping(&frames, n);
		ping(&frames, n);
		unknown(&frames, n);
		send_frames(&rig, &frames);
		struct h2_stream *stream = side_ready(&rig.server);

		stream_head(stream);
		assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", FRAMING_NONE));
		view_free(side_output(&rig, &rig.server));
		release_ready(&rig);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* Two windows and a PING for each frame of content that it gets. */
static void a_long_answer_may_be_acknowledged(void **state)
{
	struct rig rig;
	struct bytes frames = {0};
	char *content = calloc(1, 16384);

	assert_non_null(content);
	rig_init_raw(&rig);
	put_get(&frames, 1);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	stream_head(stream);
	assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	for (uint32_t n = 0; n < 5000; n++) {
		h2_stream_put_body(stream, view_of(content, 16384));
		view_free(side_output(&rig, &rig.server));
		assert_int_equal(h2_stream_unsent(stream), 0);
		put_frame(&frames, F_WINDOW_UPDATE, 0, 0, view_of("\0\0\x40\0", 4));
		put_frame(&frames, F_WINDOW_UPDATE, 0, 1, view_of("\0\0\x40\0", 4));
		ping(&frames, n);
		send_frames(&rig, &frames);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	stream_release(stream);
	free(content);
	rig_lose(&rig);
}

/* It has not read for long, and now reads at once what stood in the kernel's buffers. */
static void a_long_answer_may_be_acknowledged_late(void **state)
{
	enum { EVENTS = 80000, EVENT_BYTES = 60 };
	struct rig rig;
	struct bytes frames = {0};
	char event[EVENT_BYTES] = {0};

	rig_init_raw(&rig);
	put_frame(&frames, F_SETTINGS, 0, 0, view_of("\0\4\x10\0\0\0", 6));
	put_frame(&frames, F_WINDOW_UPDATE, 0, 0, view_of("\x10\0\0\0", 4));
	put_get(&frames, 1);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	stream_head(stream);
	assert_true(stream_put_head(stream, "HTTP/1.1 200 OK\r\n", FRAMING_CHUNKED));
	for (uint32_t n = 0; n < EVENTS; n++) {
		h2_stream_put_body(stream, view_of(event, EVENT_BYTES));
		view_free(side_output(&rig, &rig.server));
		assert_int_equal(h2_stream_unsent(stream), 0);
	}
	for (uint32_t n = 0; n < EVENTS; n++) {
		put_frame(&frames, F_WINDOW_UPDATE, 0, 0, view_of("\0\0\0\x3c", 4));
		put_frame(&frames, F_WINDOW_UPDATE, 0, 1, view_of("\0\0\0\x3c", 4));
		send_frames(&rig, &frames);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	stream_release(stream);
	rig_lose(&rig);
}

/* Go acknowledges each 4 KiB that are read of 16, others every 512 bytes, on the stream and on the connection. */
static void tiny_reads_may_be_acknowledged(void **state)
{
	enum { READ = 512, FRAME = 16384 };
	struct rig rig;
	struct bytes frames = {0};
	char *content = calloc(1, FRAME);

	assert_non_null(content);
	rig_init_raw(&rig);
	struct h2_stream *stream = answered(&rig, 1, FRAMING_CHUNKED);

	for (uint32_t n = 0; n < 1000; n++) {
		h2_stream_put_body(stream, view_of(content, FRAME));
		view_free(side_output(&rig, &rig.server));
		assert_int_equal(h2_stream_unsent(stream), 0);
		for (unsigned read = 0; read < FRAME / READ; read++) {
			put_frame(&frames, F_WINDOW_UPDATE, 0, 0, view_of("\0\0\2\0", 4));
			put_frame(&frames, F_WINDOW_UPDATE, 0, 1, view_of("\0\0\2\0", 4));
		}
		send_frames(&rig, &frames);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	stream_release(stream);
	free(content);
	rig_lose(&rig);
}

/* gRPC: small messages for long, and for each of them two windows and a PING that measures the way. */
static void each_message_may_be_answered_by_a_ping(void **state)
{
	struct rig rig;
	struct bytes frames = {0};

	rig_init_raw(&rig);
	struct h2_stream *stream = answered(&rig, 1, FRAMING_CHUNKED);

	for (uint32_t n = 0; n < 5000; n++) {
		h2_stream_put_body(stream, VIEW("a message of 20 bytes"));
		view_free(side_output(&rig, &rig.server));
		put_frame(&frames, F_WINDOW_UPDATE, 0, 0, view_of("\0\0\0\x15", 4));
		put_frame(&frames, F_WINDOW_UPDATE, 0, 1, view_of("\0\0\0\x15", 4));
		ping(&frames, n);
		send_frames(&rig, &frames);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	stream_release(stream);
	rig_lose(&rig);
}

/* A day of PINGs, one each second, and nothing else. */
static void a_quiet_connection_may_be_kept_alive(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 86400; n++) {
		struct bytes frames = {0};

		rig.now_us += 1000000;
		ping(&frames, n);
		send_frames(&rig, &frames);
		view_free(side_output(&rig, &rig.server));
	}
	assert_false(h2_session_facts(rig.server.session).going_away);
	rig_lose(&rig);
}

/* The n-th request, of which the content is still to come, and the whole answer to it. */
static void answer_early(struct rig *rig, uint32_t n)
{
	struct bytes frames = {0}, block = {0};

	put_block(&block, START);
	put_headers(&frames, 0, 2 * n + 1, &block);
	send_frames(rig, &frames);
	answer_next(rig, FRAMING_NONE);
	view_free(side_output(rig, &rig->server));
	release_ready(rig);
}

/* gRPC: an answer that is whole ends the call, and the client says so on its side of the stream too. */
static void resets_behind_a_whole_answer_are_nothing(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 5000; n++) {
		struct bytes frames = {0};

		answer_early(&rig, n);
		put_frame(&frames, F_RST_STREAM, 0, 2 * n + 1, view_of("\0\0\0\x8", 4));
		send_frames(&rig, &frames);
		release_ready(&rig);
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* A proxy whose users watch something and go: none of their requests ever comes to its end. */
static void what_was_under_way_for_long_may_be_given_up(void **state)
{
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t round = 0; round < 100; round++) {
		struct bytes frames = {0};
		uint32_t first = 2 * round * H2_STREAMS_MAX + 1;

		for (uint32_t n = 0; n < H2_STREAMS_MAX; n++)
			put_get(&frames, first + 2 * n);
		send_frames(&rig, &frames);
		rig.now_us += 1500000;
		for (uint32_t n = 0; n < H2_STREAMS_MAX; n++)
			put_frame(&frames, F_RST_STREAM, 0, first + 2 * n, view_of("\0\0\0\x8", 4));
		send_frames(&rig, &frames);
		view_free(side_output(&rig, &rig.server));
		release_ready(&rig);
	}
	assert_int_equal(rig.server.asked, 100 * H2_STREAMS_MAX);
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* A browser, page after page: most of the pictures are given up at once, some come. */
static void pages_may_be_left_early(void **state)
{
	enum { PICTURES = 60, COMPLETE = 15, BETWEEN_US = 5 * 1000000 };
	struct rig rig;
	uint32_t id = 1;

	rig_init_raw(&rig);
	for (uint32_t page = 0; page < 100; page++) {
		struct bytes frames = {0};
		uint32_t first = id;

		for (unsigned n = 0; n < PICTURES; n++, id += 2)
			put_get(&frames, id);
		send_frames(&rig, &frames);
		for (unsigned n = 0; n < COMPLETE; n++)
			answer_next(&rig, FRAMING_NONE);
		view_free(side_output(&rig, &rig.server));
		for (uint32_t n = first + 2 * COMPLETE; n < id; n += 2)
			put_frame(&frames, F_RST_STREAM, 0, n, view_of("\0\0\0\x8", 4));
		send_frames(&rig, &frames);
		release_ready(&rig);
		rig.now_us += BETWEEN_US;
	}
	assert_int_equal(rig.server.asked, 100 * PICTURES);
	assert_false(h2_session_facts(rig.server.session).going_away);
	rig_lose(&rig);
}

/* It is drained for what it gave up before, and then gives up everything that is under way, as many as there may be. */
static void what_a_drain_leaves_may_be_given_up(void **state)
{
	static const uint32_t streams[] = {1, 100, 1000};

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct rig rig;
		struct h2_limits limits = rig_limits();
		struct bytes frames = {0};
		uint32_t n = 0;

		h2_limits_set_streams(&limits, streams[i]);
		rig_init(&rig, &limits, NULL);
		put_preface(&frames);
		send_frames(&rig, &frames);
		while (!h2_session_facts(rig.server.session).going_away) {
			rapid_reset(&frames, n++);
			send_frames(&rig, &frames);
			release_ready(&rig);
		}
		uint32_t first = n;

		for (; n < first + streams[i]; n++)
			put_get(&frames, 2 * n + 1);
		send_frames(&rig, &frames);
		for (; first < n; first++)
			put_frame(&frames, F_RST_STREAM, 0, 2 * first + 1, view_of("\0\0\0\x8", 4));
		send_frames(&rig, &frames);
		assert_int_equal(h2_session_facts(rig.server.session).error, H2_NO_ERROR);
		rig_lose(&rig);
	}
}

/* A proxy has a thousand requests for a connection that it has just opened, and has not heard of our limit. */
static void a_crowd_before_our_settings_is_refused_and_no_more(void **state)
{
	enum { CROWD = 1024 };
	struct rig rig;
	struct bytes frames = {0};

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < CROWD; n++)
		put_get(&frames, 2 * n + 1);
	send_frames(&rig, &frames);
	assert_int_equal(rig.server.asked, H2_STREAMS_MAX);
	assert_false(h2_session_facts(rig.server.session).going_away);
	view_free(side_output(&rig, &rig.server));
	for (unsigned n = 0; n < H2_STREAMS_MAX; n++)
		answer_next(&rig, FRAMING_NONE);
	rig_lose(&rig);
}

/* Uploads that are refused before they were sent, each with as much on its way as its window lets. */
static void content_of_answered_requests_is_nothing(void **state)
{
	static const char content[16384];
	struct rig rig;

	rig_init_raw(&rig);
	for (uint32_t n = 0; n < 500; n++) {
		struct bytes frames = {0};

		answer_early(&rig, n);
		for (unsigned sent = 0; sent < H2_STREAM_WINDOW_BYTES; sent += sizeof(content)) {
			put_frame(&frames, F_DATA, 0, 2 * n + 1, view_of(content, sizeof(content)));
			send_frames(&rig, &frames);
			view_free(side_output(&rig, &rig.server));
		}
	}
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 0);
	rig_lose(&rig);
}

/* Many streams under way cost little, and nothing is left of them. */
static void memory_comes_back(void **state)
{
	struct rig rig;
	struct h2_stream *streams[H2_STREAMS_MAX];
	struct bytes frames = {0};
	size_t idle, busy;

	rig_init_raw(&rig);
	idle = h2_session_facts(rig.server.session).memory_bytes;
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t n = 0; n < H2_STREAMS_MAX; n++)
			put_get(&frames, 2 * (round * H2_STREAMS_MAX + n) + 1);
		send_frames(&rig, &frames);
		for (uint32_t n = 0; n < H2_STREAMS_MAX; n++) {
			streams[n] = side_ready(&rig.server);
			assert_non_null(streams[n]);
			assert_true(stream_put_head(streams[n], "HTTP/1.1 200 OK\r\n", FRAMING_NONE));
		}
		busy = h2_session_facts(rig.server.session).memory_bytes;
		assert_true(busy < 400000);
		view_free(side_output(&rig, &rig.server));
		for (uint32_t n = 0; n < H2_STREAMS_MAX; n++)
			stream_release(streams[n]);
	}
	/* nghttp2 remembers as many that are closed as may be open. */
	assert_true(h2_session_facts(rig.server.session).memory_bytes < idle + 60000);
	rig_lose(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floods_end_the_connection),
		cmocka_unit_test(a_flood_in_one_piece_ends_as_soon),
		cmocka_unit_test(a_block_without_end_ends_the_connection),
		cmocka_unit_test(a_block_of_nothing_ends_the_connection),
		cmocka_unit_test(empty_frames_of_a_block_are_glitches),
		cmocka_unit_test(a_bomb_ends_the_connection),
		cmocka_unit_test(a_bomb_of_crumbs_is_refused),
		cmocka_unit_test(memory_has_a_cap),
		cmocka_unit_test(windows_of_a_byte_end_the_connection),
		cmocka_unit_test(many_heads_are_taken_in_turns),
		cmocka_unit_test(a_head_of_many_fields_is_taken_in_turns),
		cmocka_unit_test(what_comes_while_behind_waits),
		cmocka_unit_test(a_drain_comes_first),
		cmocka_unit_test(time_forgives),
		cmocka_unit_test(proper_ends_forgive),
		cmocka_unit_test(honest_noise_is_nothing),
		cmocka_unit_test(a_long_answer_may_be_acknowledged),
		cmocka_unit_test(a_long_answer_may_be_acknowledged_late),
		cmocka_unit_test(tiny_reads_may_be_acknowledged),
		cmocka_unit_test(each_message_may_be_answered_by_a_ping),
		cmocka_unit_test(a_quiet_connection_may_be_kept_alive),
		cmocka_unit_test(resets_behind_a_whole_answer_are_nothing),
		cmocka_unit_test(what_was_under_way_for_long_may_be_given_up),
		cmocka_unit_test(pages_may_be_left_early),
		cmocka_unit_test(what_a_drain_leaves_may_be_given_up),
		cmocka_unit_test(a_crowd_before_our_settings_is_refused_and_no_more),
		cmocka_unit_test(content_of_answered_requests_is_nothing),
		cmocka_unit_test(memory_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
