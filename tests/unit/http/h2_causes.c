/*
 * Why a stream has ended, when it was for what its peer did: who is to blame, and who has only lost its connection. And what
 * is not put at all, since the peer has said that it takes no head so large.
 */
#include "h2_rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define BYTES(literal) {literal, sizeof(literal) - 1}

/* A client to whom its server has said this as its SETTINGS. */
static void init(struct rig *rig, struct view settings)
{
	struct h2_limits limits = rig_limits();
	struct bytes first = {0};

	rig_init(rig, NULL, &limits);
	put_frame(&first, F_SETTINGS, 0, 0, settings);
	side_receive(rig, &rig->client, view_of(first.p, first.n));
	bytes_free(&first);
}

static void receive(struct rig *rig, struct bytes *frames)
{
	side_receive(rig, &rig->client, view_of(frames->p, frames->n));
	bytes_free(frames);
}

/* --- who is to blame -------------------------------------------------------------------------------------------- */

struct broken {
	const char *name;
	unsigned type, flags;
	uint32_t id;
	struct view payload;
	bool is_blamed;  /* it is the frame's stream that is malformed */
};

static const struct broken frames_broken[] = {
	{"content before the head", F_DATA, 0, 3, BYTES("x"), true},
	{"a head that is none", F_HEADERS, END_HEADERS, 3, BYTES("\xff\xff\xff\xff\xff\xff"), true},
	{"padding beyond the frame", F_DATA, PADDED, 3, BYTES("\x9x"), true},
	{"content of a stream that was never asked for", F_DATA, 0, 9, BYTES("x"), false},
	{"a window beyond all", F_WINDOW_UPDATE, 0, 0, BYTES("\x7f\xff\xff\xff"), false},
	{"SETTINGS of odd size", F_SETTINGS, 0, 0, BYTES("12345"), false},
	{"a PING of other size", F_PING, 0, 0, BYTES("1234567"), false},
};

static void assert_lost(const struct broken *b, const struct h2_stream *stream, bool innocent)
{
	if (stream->fate != H2_LOST || (stream->reset_code == H2_NO_ERROR) != innocent)
		fail_msg("%s: stream %d has fate %u, code %u", b->name, stream->id, stream->fate, stream->reset_code);
	if (stream->cause != CAUSE_UPSTREAM_BAD_RESPONSE || stream->why == NULL)
		fail_msg("%s: stream %d has cause %u", b->name, stream->id, stream->cause);
}

/* Whether what we have to say is written, or the connection is gone before. */
static void a_broken_frame_blames(const struct broken *b, bool gone)
{
	struct rig rig;
	struct bytes frames = {0};

	init(&rig, view_of("", 0));
	struct h2_stream *first = rig_request(&rig, GET, FRAMING_NONE);
	struct h2_stream *second = rig_request(&rig, GET, FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	put_frame(&frames, F_PING, 0, 0, view_of("12345678", 8));
	put_frame(&frames, b->type, b->flags, b->id, b->payload);
	put_frame(&frames, F_PING, 0, 0, view_of("12345678", 8));
	put_frame(&frames, F_DATA, 0, 1, VIEW("x"));
	receive(&rig, &frames);
	if (gone)
		h2_session_lose(rig.client.session, CAUSE_NONE);
	else
		view_free(side_output(&rig, &rig.client));
	assert_lost(b, first, b->is_blamed);
	if (b->is_blamed && (second->fate != H2_MALFORMED || second->cause != CAUSE_UPSTREAM_BAD_RESPONSE))
		fail_msg("%s: it is not blamed: fate %u, cause %u", b->name, second->fate, second->cause);
	if (!b->is_blamed)
		assert_lost(b, second, false);
	stream_release(first);
	stream_release(second);
	rig_release(&rig);
}

static void a_broken_frame_is_blamed_on_its_stream(void **state)
{
	for (size_t i = 0; i < sizeof(frames_broken) / sizeof(frames_broken[0]); i++) {
		a_broken_frame_blames(&frames_broken[i], false);
		a_broken_frame_blames(&frames_broken[i], true);
	}
}

/* What comes at last is not what it was for. */
static void a_flood_is_blamed_on_nobody(void **state)
{
	const struct broken flood = {.name = "a flood"};
	struct rig rig;
	struct bytes frames = {0};

	init(&rig, view_of("", 0));
	struct h2_stream *asks = rig_request(&rig, GET, FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	for (unsigned i = 0; i < 1000; i++)
		put_frame(&frames, F_PRIORITY, 0, 1, view_of("\0\0\0\0\1", 5));
	receive(&rig, &frames);
	assert_lost(&flood, asks, false);
	assert_int_equal(asks->reset_code, H2_ENHANCE_YOUR_CALM);
	stream_release(asks);
	rig_release(&rig);
}

static void what_the_peer_ends_is_no_fault_of_ours(void **state)
{
	struct rig rig;
	struct bytes frames = {0};

	init(&rig, view_of("", 0));
	struct h2_stream *reset = rig_request(&rig, GET, FRAMING_NONE);
	struct h2_stream *lost = rig_request(&rig, GET, FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	put_frame(&frames, F_RST_STREAM, 0, 1, view_of("\0\0\0\2", 4));
	receive(&rig, &frames);
	h2_session_lose(rig.client.session, CAUSE_NONE);
	assert_int_equal(reset->fate, H2_RESET_BY_PEER);
	assert_int_equal(reset->cause, CAUSE_NONE);
	assert_int_equal(lost->fate, H2_LOST);
	assert_int_equal(lost->cause, CAUSE_NONE);
	assert_int_equal(lost->reset_code, H2_NO_ERROR);
	stream_release(reset);
	stream_release(lost);
	rig_release(&rig);
}

static void a_client_is_told_by_its_own_word(void **state)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct bytes frames = {0};

	rig_init(&rig, &limits, NULL);
	put_preface(&frames);
	put_get(&frames, 1);
	put_frame(&frames, F_PING, 0, 0, view_of("1234567", 7));
	send_frames(&rig, &frames);
	view_free(side_output(&rig, &rig.server));
	struct h2_stream *stream = side_ready(&rig.server);

	assert_int_equal(stream->fate, H2_LOST);
	assert_int_equal(stream->cause, CAUSE_BAD_REQUEST);
	assert_non_null(stream->why);
	stream_release(stream);
	rig_release(&rig);
}

/* --- trailers beyond the limits --------------------------------------------------------------------------------- */

static void trailers_that_are_too_large_can_be_answered(void **state)
{
	struct rig rig;
	struct h2_limits limits = rig_limits();
	struct bytes frames = {0}, block = {0};
	struct message m;
	struct frame frame;
	char value[9000], text[10];

	memset(value, 'x', sizeof(value));
	rig_init(&rig, &limits, NULL);
	put_preface(&frames);
	put_block(&block, ":method\0POST\0:scheme\0https\0:authority\0a\0:path\0/\0");
	put_headers(&frames, 0, 1, &block);
	put_literal(&block, VIEW("a"), view_of(value, sizeof(value)));
	put_literal(&block, VIEW("b"), view_of(value, sizeof(value)));
	put_headers(&frames, END_STREAM, 1, &block);
	send_frames(&rig, &frames);
	struct h2_stream *stream = side_ready(&rig.server);

	stream_head(stream);
	assert_int_equal(stream_read(stream, text, sizeof(text)), H1_PIECE_TRAILERS);
	assert_false(h2_stream_all_read(stream));
	struct h1_result result = h2_stream_read_trailers(stream, &m);

	assert_int_equal(result.status, H1_BAD);
	assert_int_equal(result.cause, CAUSE_HEADERS_TOO_LARGE);
	assert_int_equal(stream->fate, H2_LIVE);
	assert_true(stream_put_head(stream, "HTTP/1.1 431 Request Header Fields Too Large\r\n", FRAMING_NONE));
	struct view output = side_output(&rig, &rig.server);

	assert_true(output_has(output, F_HEADERS, 1, &frame));
	assert_int_equal(stream->fate, H2_COMPLETE);
	assert_int_equal(h2_session_facts(rig.server.session).glitches, 1);
	view_free(output);
	stream_release(stream);
	rig_release(&rig);
}

/* --- what the peer takes ---------------------------------------------------------------------------------------- */

/* ":method" "GET" ":scheme" "http" ":path" "/" ":authority" "a", with 32 bytes each. */
enum { GET_BYTES = 10 + 11 + 6 + 11 + 4 * 32 };

/* A setting of MAX_HEADER_LIST_SIZE. */
static struct view head_list_max(char text[6], uint32_t n)
{
	const unsigned char bytes[6] = {0, 6, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n};

	memcpy(text, bytes, 6);
	return view_of(text, 6);
}

static bool puts_get(struct rig *rig, struct h2_stream *stream)
{
	struct h1_writer w;

	h2_session_open(rig->client.session, stream);
	w = h2_stream_begin_head(stream, 4096);
	h1_put(&w, VIEW(GET));
	return h2_stream_end_head(stream, &w, FRAMING_NONE, VIEW("http"));
}

static void a_head_is_as_large_as_the_peer_takes(void **state)
{
	for (uint32_t less = 0; less < 2; less++) {
		static struct h2_stream stream;
		struct rig rig;
		struct view output;
		struct frame frame;
		char text[6];

		init(&rig, head_list_max(text, GET_BYTES - less));
		view_free(side_output(&rig, &rig.client));
		assert_int_equal(h2_session_head_max(rig.client.session), GET_BYTES - less);
		assert_int_equal(puts_get(&rig, &stream), less == 0);
		assert_int_equal(stream.beyond_peer, less > 0);
		assert_int_equal(stream.fate, H2_LIVE);
		assert_int_equal(stream.id, less == 0 ? 1 : 0);
		output = side_output(&rig, &rig.client);
		assert_int_equal(output_has(output, F_HEADERS, 0, &frame), less == 0);
		view_free(output);
		h2_stream_release(&stream);
		/* Nothing is said of a stream that never was. */
		output = side_output(&rig, &rig.client);
		assert_int_equal(output_has(output, F_RST_STREAM, 0, &frame), less == 0);
		view_free(output);
		rig_release(&rig);
	}
}

static void trailers_are_as_large_as_the_peer_takes(void **state)
{
	struct field fields[] = {field_of(VIEW("a"), VIEW("bc")), field_of(VIEW("dropped"), VIEW("by then"))};
	struct message trailers = {.fields = fields, .field_count = 2};
	char text[6];

	fields[1].dropped = true;
	for (uint32_t less = 0; less < 2; less++) {
		static struct h2_stream stream;
		struct rig rig;

		init(&rig, head_list_max(text, 32 + 3 - less));
		h2_session_open(rig.client.session, &stream);
		assert_int_equal(h2_stream_takes_trailers(&stream, &trailers), less == 0);
		h2_stream_release(&stream);
		rig_release(&rig);
	}
}

/* --- what a client remembers ------------------------------------------------------------------------------------ */

/*
 * As many resets as it says: what a server goes on with that it has ended is seen
 * though as many others were reset, here by nghttp2, which tells of each twice.
 */
static void resets_are_remembered_once(void **state)
{
	enum { RESETS = 60 };
	struct rig rig;
	struct bytes frames = {0}, block = {0};

	init(&rig, view_of("", 0));
	struct h2_stream *first = rig_request(&rig, GET, FRAMING_NONE);

	view_free(side_output(&rig, &rig.client));
	put_block(&block, ":status\000200\0");
	put_headers(&frames, END_STREAM, 1, &block);
	receive(&rig, &frames);
	assert_int_equal(first->fate, H2_COMPLETE);
	for (unsigned i = 0; i < RESETS; i++) {
		struct h2_stream *stream = rig_request(&rig, GET, FRAMING_NONE);

		view_free(side_output(&rig, &rig.client));
		put_block(&block, ":status\000200\0content-length\0005\0");
		put_headers(&frames, 0, (uint32_t)stream->id, &block);
		put_frame(&frames, F_DATA, END_STREAM, (uint32_t)stream->id, VIEW("less"));
		receive(&rig, &frames);
		view_free(side_output(&rig, &rig.client));
		assert_int_equal(stream->fate, H2_MALFORMED);
		stream_release(stream);
	}
	put_frame(&frames, F_DATA, END_STREAM, 1, VIEW("more"));
	receive(&rig, &frames);
	assert_int_equal(h2_session_facts(rig.client.session).error, H2_STREAM_CLOSED);
	stream_release(first);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broken_frame_is_blamed_on_its_stream),
		cmocka_unit_test(a_flood_is_blamed_on_nobody),
		cmocka_unit_test(what_the_peer_ends_is_no_fault_of_ours),
		cmocka_unit_test(a_client_is_told_by_its_own_word),
		cmocka_unit_test(trailers_that_are_too_large_can_be_answered),
		cmocka_unit_test(a_head_is_as_large_as_the_peer_takes),
		cmocka_unit_test(trailers_are_as_large_as_the_peer_takes),
		cmocka_unit_test(resets_are_remembered_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
