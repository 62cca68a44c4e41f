/*
 * Sessions that find no memory: nothing is handed out that has gone with its session.
 */
#include "../base/short_memory.h"
#include "h2_rig.h"

/* More than half of a stream's window: who reads it has the peer told that there is room again. */
enum { CONTENT_BYTES = 200 * 1024 };

/* Content that has come whole, though its end has not. */
static struct h2_stream *receive_content(struct rig *rig, struct h2_stream **asks)
{
	struct h2_limits limits = rig_limits();
	char *content = calloc(1, CONTENT_BYTES);
	struct h2_stream *answers;

	assert_non_null(content);
	rig_init(rig, &limits, &limits);
	rig_move(rig);
	*asks = rig_request(rig, "POST / HTTP/1.1\r\nHost: a\r\n", FRAMING_CHUNKED);
	h2_stream_put_body(*asks, view_of(content, CONTENT_BYTES));
	rig_move(rig);
	answers = side_ready(&rig->server);
	assert_non_null(answers);
	stream_head(answers);
	assert_int_equal(answers->unread_bytes, CONTENT_BYTES);
	free(content);
	return answers;
}

static enum h1_piece read_body(struct h2_stream *stream, struct view *data, int mallocs)
{
	const char *why = NULL;
	enum h1_piece piece;

	mallocs_left = mallocs;
	piece = h2_stream_read_body(stream, data, &why);
	mallocs_left = INT_MAX;
	return piece;
}

/* To give a window back takes memory, and a session without it ends, with all that stood in it. */
static void content_goes_with_its_session(void **state)
{
	struct rig rig;
	struct h2_stream *asks, *answers = receive_content(&rig, &asks);
	struct view data = VIEW("none");

	assert_int_equal(read_body(answers, &data, 0), H1_PIECE_BAD);
	assert_int_equal(data.n, 0);
	assert_int_equal(answers->fate, H2_LOST);
	assert_int_equal(h2_session_facts(rig.server.session).cause, CAUSE_MEMORY_EXHAUSTED);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

static void content_is_read_where_there_is_memory(void **state)
{
	struct rig rig;
	struct h2_stream *asks, *answers = receive_content(&rig, &asks);
	struct view data;

	assert_int_equal(read_body(answers, &data, INT_MAX), H1_PIECE_DATA);
	assert_int_equal(data.n, CONTENT_BYTES);
	assert_int_equal(answers->fate, H2_LIVE);
	stream_release(asks);
	stream_release(answers);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_goes_with_its_session),
		cmocka_unit_test(content_is_read_where_there_is_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
