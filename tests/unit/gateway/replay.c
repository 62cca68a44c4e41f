/*
 * The stale connection, seen from inside: what a real origin can hardly bring about at will, above all a request of which
 * the kernel takes nothing, and what is kept of content and when it goes.
 */
#include "gateway.h"

#include "gateway/state.h"

static const struct filter_ops *const no_filters[1];

#define FILE_TEXT LISTENERS UPSTREAMS "routes: [{name: r, upstream: u}]\n"

/* Tells on an event of its own, in the middle of a tick, what is to happen. */
struct trigger {
	struct io_source here, there;
	struct door door;
	struct end *aborts;
	struct end *closes;
};

struct scene {
	struct gateway g;
	struct end client, stale, fresh;
	struct trigger trigger;
};

static void trigger_on_event(struct io_source *source, unsigned events)
{
	struct trigger *t = container_of(source, struct trigger, there);
	char byte;

	if (io_recv(fixture.io, source, &byte, 1) != 1)
		return;
	if (t->aborts != NULL)
		end_abort(t->aborts);
	if (t->closes != NULL)
		end_close(t->closes);
}

static void nothing_on_event(struct io_source *source, unsigned events)
{
}

static void trigger_open(struct trigger *t)
{
	struct address peer;

	*t = (struct trigger){.here = {.fd = -1, .on_event = nothing_on_event},
		.there = {.fd = -1, .on_event = trigger_on_event}};
	door_open(&t->door);
	assert_true(io_connect(fixture.io, &t->here, &t->door.address) <= 0);
	while (io_accept(fixture.io, &t->door.source, &t->there, &peer) == -EAGAIN)
		io_run(fixture.io);
	assert_int_equal(io_watch(fixture.io, &t->there), 0);
	run_pending();
}

static void trigger_close(struct trigger *t)
{
	io_close(fixture.io, &t->here);
	io_close(fixture.io, &t->there);
	door_close(&t->door);
}

/* In the next tick, before what is sent after this call is heard of. */
static void trigger_pull(struct trigger *t)
{
	char byte = '!';

	assert_int_equal(io_sendv(fixture.io, &t->here, &(struct iovec){&byte, 1}, 1), 1);
}

/* A client that has been served once, over a connection that rests. */
static void scene_open(struct scene *s)
{
	gateway_open(&s->g, FILE_TEXT, no_filters);
	client_open(&s->client, &s->g, GET);
	origin_take(&s->stale, &s->g);
	end_send(&s->stale, OK);
	end_await(&s->client, "ok");
	gateway_await_finished(&s->g, 1);
	end_forget(&s->client);
	end_forget(&s->stale);
	trigger_open(&s->trigger);
	s->fresh = (struct end){.source.fd = -1};
}

static void scene_close(struct scene *s)
{
	trigger_close(&s->trigger);
	end_close(&s->client);
	end_close(&s->stale);
	end_close(&s->fresh);
	gateway_close(&s->g);
}

static struct upstream_endpoint_stats stats(const struct scene *s)
{
	struct upstream_endpoint_stats stats;
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	assert_true(upstreams_endpoint_stats(worker_upstreams(s->g.worker), 0, &upstream, &endpoint, &stats));
	return stats;
}

static struct exchange *exchange(const struct scene *s)
{
	return container_of(list_first(&s->g.worker->exchanges), struct exchange, node);
}

static void await_second(struct scene *s, const char *text)
{
	end_accept(&s->fresh, &s->g.door);
	end_await(&s->fresh, text);
	step(&s->g);
}

static void answered(struct scene *s, unsigned retries)
{
	end_send(&s->fresh, OK);
	end_await(&s->client, "ok");
	gateway_await_finished(&s->g, 2);
	assert_int_equal(s->g.cause, CAUSE_NONE);
	assert_int_equal(s->g.retries, retries);
	scene_close(s);
}

/* --- opened ahead ------------------------------------------------------------------------------------------------- */

#define FILE_AHEAD                                                                                           \
	LISTENERS "upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}], pool: {min_idle: 1}}]\n"       \
		  "routes: [{name: r, upstream: u}]\n"

/* It has served nobody yet, but it has rested: it may be stale as any other. */
static void test_opened_ahead(void **state)
{
	struct scene s;

	gateway_open(&s.g, FILE_AHEAD, no_filters);
	end_accept(&s.stale, &s.g.door);
	while (stats(&s).pool.idle < 1)
		run_pending();
	client_open(&s.client, &s.g, "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\ncontent");
	end_await(&s.stale, "\r\n\r\ncontent");
	end_abort(&s.stale);
	/* The next that is opened ahead stands before it, or behind. */
	struct end ends[2];

	end_accept(&ends[0], &s.g.door);
	end_accept(&ends[1], &s.g.door);
	while (!end_has(&ends[0], "content") && !end_has(&ends[1], "content"))
		io_run(fixture.io);
	end_send(end_has(&ends[0], "content") ? &ends[0] : &ends[1], OK);
	end_await(&s.client, "ok");
	gateway_await_finished(&s.g, 1);
	assert_int_equal(s.g.cause, CAUSE_NONE);
	assert_int_equal(s.g.retries, 1);
	assert_int_equal(stats(&s).retries[RETRY_RESET], 1);
	end_close(&s.client);
	end_close(&ends[0]);
	end_close(&ends[1]);
	gateway_close(&s.g);
}

/* --- nothing was sent --------------------------------------------------------------------------------------------- */

/* The reset comes in the same tick as the request, behind the loop's back: it is the send that hears of it. */
static void lost_unsent(struct scene *s, const char *request)
{
	scene_open(s);
	s->trigger.aborts = &s->stale;
	trigger_pull(&s->trigger);
	end_send(&s->client, request);
}

static void unsent_is_sent_again(const char *request, const char *last)
{
	struct scene s;

	lost_unsent(&s, request);
	await_second(&s, last);
	assert_int_equal(stats(&s).retries[RETRY_SEND_FAILED], 1);
	assert_int_equal(s.stale.source.fd, -1);
	answered(&s, 1);
}

static void test_unsent_get(void **state)
{
	unsent_is_sent_again(GET, "\r\n\r\n");
}

static void test_unsent_post(void **state)
{
	unsent_is_sent_again("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\ncontent", "\r\n\r\ncontent");
}

static void test_unsent_post_without_content(void **state)
{
	unsent_is_sent_again("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n");
}

static void test_unsent_chunks(void **state)
{
	unsent_is_sent_again("PATCH /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 1\r\n\r\n",
		"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 1\r\n\r\n");
}

static void test_unsent_put(void **state)
{
	unsent_is_sent_again("PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\ncontent", "\r\n\r\ncontent");
}

static void test_unsent_upgrade(void **state)
{
	struct scene s;

	lost_unsent(&s, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
	await_second(&s, "Upgrade: echo\r\n");
	answered(&s, 1);
}

/* What follows on the client's connection is not touched by going back. */
static void test_unsent_and_pipelined(void **state)
{
	struct scene s;

	lost_unsent(&s, "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none" GET);
	await_second(&s, "\r\n\r\none");
	assert_false(end_has(&s.fresh, "GET"));
	end_send(&s.fresh, OK);
	end_await(&s.fresh, "GET / ");
	end_send(&s.fresh, OK);
	gateway_await_finished(&s.g, 3);
	assert_int_equal(s.g.cause, CAUSE_NONE);
	assert_int_equal(s.g.retries, 0);
	scene_close(&s);
}

/* Half of the content is there, the rest comes while the second connection is being opened. */
static void test_unsent_and_unfinished(void **state)
{
	struct scene s;

	lost_unsent(&s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf");
	await_second(&s, "\r\n\r\nhalf");
	end_send(&s.client, "more");
	end_await(&s.fresh, "\r\n\r\nhalfmore");
	answered(&s, 1);
}

/* A FIN is not noticed by sending: the request was taken. */
static void test_closed_behind_the_loop(void **state)
{
	struct scene s;

	scene_open(&s);
	s.trigger.closes = &s.stale;
	trigger_pull(&s.trigger);
	end_send(&s.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none");
	gateway_await_finished(&s.g, 2);
	assert_int_equal(s.g.cause, CAUSE_UPSTREAM_RESET);
	assert_int_equal(s.g.retries, 0);
	assert_int_equal(stats(&s).pool.opened, 1);
	scene_close(&s);
}

/* The upstream ends it in the moment in which its time is over, before the timer has told. */
static void test_closed_at_the_deadline(void **state)
{
	struct scene s;

	scene_open(&s);
	end_send(&s.client, GET);
	end_await(&s.stale, "\r\n\r\n");
	exchange(&s)->request_deadline_us = io_now_us(fixture.io);
	end_close(&s.stale);
	gateway_await_finished(&s.g, 2);
	assert_int_equal(s.g.cause, CAUSE_REQUEST_DEADLINE);
	assert_int_equal(s.g.retries, 0);
	scene_close(&s);
}

/* --- what is kept ------------------------------------------------------------------------------------------------- */

#define PUT_HEAD(length) "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n"

static void test_kept_until_the_answer(void **state)
{
	struct scene s;

	scene_open(&s);
	end_send(&s.client, PUT_HEAD("7") "content");
	end_await(&s.stale, "\r\n\r\ncontent");
	assert_true(view_eq(buf_view(&exchange(&s)->kept), VIEW("content")));
	end_send(&s.stale, "H");
	while (exchange(&s)->first_byte_us == UINT64_MAX)
		run_pending();
	assert_int_equal(buf_cap(&exchange(&s)->kept), 0);
	end_close(&s.stale);
	gateway_await_finished(&s.g, 2);
	assert_int_equal(s.g.cause, CAUSE_UPSTREAM_RESET);
	assert_int_equal(s.g.retries, 0);
	scene_close(&s);
}

/* Beyond the bound all of it goes, at once. */
static void test_too_much(void **state)
{
	static char piece[KEPT_MAX / 2 + 1];
	struct scene s;

	memset(piece, 'x', sizeof(piece));
	scene_open(&s);
	end_send(&s.client, PUT_HEAD("100000"));
	for (unsigned i = 1; i <= 2; i++) {
		end_send_view(&s.client, view_of(piece, sizeof(piece)));
		end_await_bytes(&s.stale, i * sizeof(piece));
	}
	while (!list_empty(&s.g.worker->exchanges) && exchange(&s)->bytes_in < 2 * sizeof(piece))
		run_pending();
	assert_int_equal(buf_cap(&exchange(&s)->kept), 0);
	end_close(&s.stale);
	gateway_await_finished(&s.g, 2);
	assert_int_equal(s.g.cause, CAUSE_UPSTREAM_RESET);
	assert_int_equal(stats(&s).pool.opened, 1);
	scene_close(&s);
}

/* Others keep so much that there is no room for this one. */
static void test_too_much_of_all(void **state)
{
	struct scene s;

	scene_open(&s);
	s.g.worker->kept_bytes_max = 100;
	end_send(&s.client, PUT_HEAD("7") "content");
	end_await(&s.stale, "\r\n\r\ncontent");
	assert_int_equal(buf_cap(&exchange(&s)->kept), 0);
	assert_int_equal(exchange(&s)->replay, REPLAY_SPENT);
	end_close(&s.stale);
	gateway_await_finished(&s.g, 2);
	assert_int_equal(s.g.cause, CAUSE_UPSTREAM_RESET);
	assert_int_equal(s.g.retries, 0);
	scene_close(&s);
}

static void nothing_is_kept(const char *request)
{
	struct scene s;

	scene_open(&s);
	end_send(&s.client, request);
	end_await(&s.stale, "\r\n\r\n");
	assert_int_equal(buf_cap(&exchange(&s)->kept), 0);
	end_send(&s.stale, OK);
	gateway_await_finished(&s.g, 2);
	scene_close(&s);
}

static void test_nothing_is_kept_of_a_get(void **state)
{
	nothing_is_kept(GET);
}

static void test_nothing_is_kept_of_a_post(void **state)
{
	nothing_is_kept("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none");
}

/* On a new connection there is nothing to keep either. */
static void test_nothing_is_kept_on_a_new_connection(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, FILE_TEXT, no_filters);
	client_open(&client, &g, PUT_HEAD("7") "content");
	end_accept(&origin, &g.door);
	end_await(&origin, "\r\n\r\ncontent");
	assert_int_equal(buf_cap(&container_of(list_first(&g.worker->exchanges), struct exchange, node)->kept), 0);
	end_close(&origin);
	gateway_await_finished(&g, 1);
	assert_int_equal(g.cause, CAUSE_UPSTREAM_RESET);
	end_close(&client);
	gateway_close(&g);
}

/* --- sent again --------------------------------------------------------------------------------------------------- */

/* The second time is the same as the first. */
static void sent_twice(const char *request, const char *last, bool reset)
{
	struct buf first = {0};
	struct scene s;

	scene_open(&s);
	end_send(&s.client, request);
	end_await(&s.stale, last);
	assert_true(buf_append(&first, buf_view(&s.stale.got), END_BYTES_MAX));
	if (reset)
		end_abort(&s.stale);
	else
		end_close(&s.stale);
	await_second(&s, last);
	assert_true(view_eq(buf_view(&first), buf_view(&s.fresh.got)));
	assert_int_equal(buf_cap(&exchange(&s)->kept), 0);
	assert_int_equal(stats(&s).retries[reset ? RETRY_RESET : RETRY_CLOSED], 1);
	buf_release(&first);
	answered(&s, 1);
}

static void test_sent_twice(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		sent_twice(GET, "\r\n\r\n", reset);
		sent_twice(PUT_HEAD("7") "content", "\r\n\r\ncontent", reset);
		sent_twice("DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n",
			"0\r\nX-Sum: 1\r\n\r\n", reset);
	}
}

/* The client may leave while the second connection is waited for, and while it serves. */
static void test_client_leaves(void **state)
{
	for (int served = 0; served < 2; served++) {
		struct scene s;

		scene_open(&s);
		end_send(&s.client, PUT_HEAD("7") "content");
		end_await(&s.stale, "content");
		end_close(&s.stale);
		end_accept(&s.fresh, &s.g.door);
		if (served)
			end_await(&s.fresh, "content");
		end_abort(&s.client);
		gateway_await_finished(&s.g, 2);
		assert_int_equal(s.g.cause, CAUSE_CLIENT_GONE);
		assert_int_equal(s.g.retries, 1);
		scene_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_opened_ahead),
		LOOP_TEST(test_unsent_get),
		LOOP_TEST(test_unsent_post),
		LOOP_TEST(test_unsent_post_without_content),
		LOOP_TEST(test_unsent_chunks),
		LOOP_TEST(test_unsent_put),
		LOOP_TEST(test_unsent_upgrade),
		LOOP_TEST(test_unsent_and_pipelined),
		LOOP_TEST(test_unsent_and_unfinished),
		LOOP_TEST(test_closed_behind_the_loop),
		LOOP_TEST(test_closed_at_the_deadline),
		LOOP_TEST(test_kept_until_the_answer),
		LOOP_TEST(test_too_much),
		LOOP_TEST(test_too_much_of_all),
		LOOP_TEST(test_nothing_is_kept_of_a_get),
		LOOP_TEST(test_nothing_is_kept_of_a_post),
		LOOP_TEST(test_nothing_is_kept_on_a_new_connection),
		LOOP_TEST(test_sent_twice),
		LOOP_TEST(test_client_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
