/*
 * Answers for which there is no memory: what a client gets is the whole answer, or a whole failure, or a connection that visibly
 * breaks off; never a part that looks like the whole. On real sockets, with the administration's side made here.
 */
#include "../base/short_memory.h"
#include "../net/end.h"
#include "load.h"

#include "control/state.h"

enum { PIECES = 12, PIECE_BYTES = 300 };

static struct {
	struct control control;
	struct admin_listener listener;
	struct admin_conn *c;
	struct end end;
} bed;

static void on_event(struct io_source *source, unsigned events)
{
	io_stop(fixture.io);
}

/* Somebody has connected, and has asked for something that is not answered yet. */
static void begin(void)
{
	struct address any;
	char text[1024];

	memset(&bed, 0, sizeof(bed));
	bed.control.io = fixture.io;
	snprintf(text, sizeof(text), "%sadmin: {address: '127.0.0.1:1'}\n", three_endpoints);
	bed.control.config = load(text);
	bed.control.scratch = h1_scratch_create();
	list_init(&bed.control.conns);
	list_init(&bed.control.listeners);
	slab_init(&bed.control.slab, sizeof(struct admin_conn), 4);
	bed.listener.listener.source = (struct io_source){.fd = -1, .on_event = on_event};
	assert_true(address_parse(&any, "127.0.0.1:0"));
	assert_int_equal(fixture_listen(&bed.listener.listener.source, &any, 8, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_watch(fixture.io, &bed.listener.listener.source), 0);
	assert_int_equal(io_local_address(fixture.io, &bed.listener.listener.source, &bed.listener.address), 0);
	end_connect(&bed.end, &bed.listener.address);
	while (admin_conn_accept(&bed.control, &bed.listener) == -EAGAIN)
		io_run(fixture.io);
	assert_false(list_empty(&bed.control.conns));
	bed.c = container_of(list_first(&bed.control.conns), struct admin_conn, node);
	bed.c->keep_alive = true;
}

static void end(void)
{
	if (bed.c != NULL)
		admin_conn_close(bed.c);
	run_pending();
	assert_int_equal(bed.control.slab.count_live, 0);
	assert_int_equal(bed.control.streams[0], 0);
	end_close(&bed.end);
	io_close(fixture.io, &bed.listener.listener.source);
	slab_release(&bed.control.slab);
	h1_scratch_free(bed.control.scratch);
	config_free(bed.control.config);
}

/* Twelve pieces; while this one is said there is no memory. True: it was asked for. */
static bool say_pieces(struct admin_conn *c, int without)
{
	static char piece[PIECE_BYTES];
	bool failed = false;

	for (int i = 0; i < PIECES; i++) {
		memset(piece, 'a' + i, sizeof(piece));
		mallocs_left = i == without ? 0 : 1;
		admin_put(c, view_of(piece, sizeof(piece)));
		failed |= i == without && buf_len(&c->content) == 0;
		mallocs_left = INT_MAX;
	}
	return failed;
}

static void expect_failure(void)
{
	end_await(&bed.end, "too long\"}\n");
	assert_true(view_starts(buf_view(&bed.end.got), VIEW("HTTP/1.1 500 ")));
	assert_true(end_has(&bed.end, "Content-Type: application/json\r\n"));
	assert_true(end_has(&bed.end, "\r\n\r\n{\"error\":\"out_of_memory\""));
	assert_false(end_has(&bed.end, "aaa") || end_has(&bed.end, "lll"));
}

static void test_whichever_piece_is_lost(void **state)
{
	int failures = 0;

	for (int without = 0; without < PIECES; without++) {
		begin();
		bool failed = say_pieces(bed.c, without);

		admin_answer(bed.c, 200, ADMIN_TEXT);
		if (failed) {
			expect_failure();
			failures++;
		} else {
			end_await(&bed.end, "llll");
			assert_true(view_starts(buf_view(&bed.end.got), VIEW("HTTP/1.1 200 ")));
			assert_true(end_has(&bed.end, "Content-Length: 3600\r\n") && end_has(&bed.end, "\r\n\r\naaa"));
		}
		end();
	}
	/* The buffer doubles. */
	assert_true(failures >= 3);
}

/* What is beyond the bound is lost like that. */
static void test_too_long(void **state)
{
	char *much = calloc(1, ADMIN_CONTENT_MAX);

	begin();
	admin_say(bed.c, "aaa");
	admin_put(bed.c, view_of(much, ADMIN_CONTENT_MAX));
	admin_say(bed.c, "lll");
	admin_answer(bed.c, 200, ADMIN_TEXT);
	expect_failure();
	end();
	free(much);
}

static void test_json(void **state)
{
	for (int allowed = 0; allowed < 2; allowed++) {
		begin();
		json_t *json = json_pack("{s:s%}", "text", "aaa", (size_t)3);

		mallocs_left = allowed;
		admin_answer_json(bed.c, 200, json);
		mallocs_left = INT_MAX;
		/* Not even for the failure: its status stands alone. */
		end_await(&bed.end, allowed == 0 ? "Content-Length: 0\r\n" : "\"aaa\"}\n");
		assert_true(view_starts(buf_view(&bed.end.got), allowed == 0 ? VIEW("HTTP/1.1 500 ") : VIEW("HTTP/1.1 200 ")));
		end();
	}
	begin();
	admin_answer_json(bed.c, 200, NULL);
	expect_failure();
	end();
}

/* A client that knows what it has is sent no content, and waits for none. */
static void test_nothing_follows_where_no_content_does(void **state)
{
	begin();
	say_pieces(bed.c, 0);
	bed.c->is_head = true;
	admin_answer(bed.c, 304, ADMIN_TEXT);
	end_await(&bed.end, "Content-Length: 0\r\n");
	assert_true(view_starts(buf_view(&bed.end.got), VIEW("HTTP/1.1 500 ")));
	end();
}

static unsigned ticks;

static bool say_half(struct admin_conn *c)
{
	say_pieces(c, ticks++ == 0 ? PIECES : 1);
	return true;
}

/* Its status has been said: it breaks off, and nothing says that it was complete. */
static void test_answer_that_goes_on(void **state)
{
	begin();
	ticks = 0;
	admin_stream(bed.c, ADMIN_TEXT, say_half);
	end_await(&bed.end, "llll");
	end_forget(&bed.end);
	end_await_gone(&bed.end);
	assert_int_equal(ticks, 2);
	assert_false(end_has(&bed.end, "\r\n0\r\n") || end_has(&bed.end, "lll"));
	bed.c = NULL;
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_whichever_piece_is_lost),
		LOOP_TEST(test_too_long),
		LOOP_TEST(test_json),
		LOOP_TEST(test_nothing_follows_where_no_content_does),
		LOOP_TEST(test_answer_that_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
