/*
 * A worker whose configuration is another one all of a sudden: requests of before end as they began, later ones find the
 * new one, and the old one is gone when its last user is.
 */
#include "gateway.h"

static struct exchange_ref paused; /* slot 0: nobody has */

static enum filter_verdict pause_on_request(struct filter_call *call)
{
	paused = exchange_pause_ref(call->exchange);
	io_stop(fixture.io);
	return FILTER_PAUSE;
}

static const struct filter_ops pausing = {.name = "pausing", .on_request = pause_on_request};
static const struct filter_ops *const table[] = {[CONFIG_FILTER_HEADERS] = &pausing};

#define PAUSE "filters: [{headers: {request: {set: {A: b}}}}]"
#define TO_U LISTENERS UPSTREAMS "routes: [{name: before, upstream: u}]\n"
#define TO_U_PAUSED LISTENERS UPSTREAMS "routes: [{name: before, upstream: u, " PAUSE "}]\n"
#define OWN_ANSWER LISTENERS "routes: [{name: after, respond: {body: after}}]\n"

/* One reference is the test's, to be dropped by it. */
static struct generation *reload(struct gateway *g, const char *yaml)
{
	const struct config *config = load_good(yaml);

	for (size_t i = 0; i < config->upstream_count; i++)
		config->upstreams[i].endpoints[0].address = g->door.address;
	struct generation *generation = generation_create(g->shared, config);

	assert_non_null(generation);
	assert_true(worker_reload(g->worker, generation));
	step(g);
	return generation;
}

static void await_finished(struct gateway *g, unsigned count)
{
	gateway_await_finished(g, count);
	run_pending();
}

static void test_request_that_runs(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U, table);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	struct generation *after = reload(&g, OWN_ANSWER);

	assert_ptr_equal(worker_generation(g.worker), after);
	assert_int_equal(after->references, 2);
	/* The test's, and the worker's for its request. */
	assert_int_equal(g.generation->references, 2);
	end_send(&origin, OK);
	end_await(&client, "ok");
	await_finished(&g, 1);
	assert_int_equal(g.generation->references, 1);
	end_send(&client, GET);
	end_await(&client, "after");
	await_finished(&g, 2);
	assert_int_equal(after->references, 2);
	generation_unref(after);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* Nobody uses it: it goes at once. */
static void test_unused_generation(void **state)
{
	struct gateway g;

	gateway_open(&g, TO_U, table);
	generation_unref(reload(&g, OWN_ANSWER));
	assert_int_equal(g.generation->references, 1);
	generation_unref(reload(&g, TO_U));
	assert_int_equal(worker_generation(g.worker)->references, 1);
	assert_int_equal(worker_generation(g.worker)->number, 3);
	gateway_close(&g);
}

/* It has its route, but not its lease yet, when route and upstream are gone. */
static void test_request_that_is_paused(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U_PAUSED, table);
	paused.slot = 0;
	client_open(&client, &g, GET);
	while (paused.slot == 0)
		io_run(fixture.io);
	generation_unref(reload(&g, OWN_ANSWER));
	generation_unref(reload(&g, OWN_ANSWER));
	assert_true(upstreams_unsettled(worker_upstreams(g.worker)));
	assert_true(exchange_resume(paused, FILTER_CONTINUE, CAUSE_NONE, NULL));
	origin_take(&origin, &g);
	end_send(&origin, OK);
	end_await(&client, "ok");
	await_finished(&g, 1);
	assert_int_equal(g.cause, CAUSE_NONE);
	/* Nobody can come for the upstream any more, which is noticed before long. */
	end_await_end(&origin);
	assert_false(upstreams_unsettled(worker_upstreams(g.worker)));
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* Upstreams that are gone do not wait for what will never ask for a connection again. */
static void test_answer_that_is_under_way(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U, table);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	end_send(&origin, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
	end_await(&client, "ab");
	generation_unref(reload(&g, OWN_ANSWER));
	assert_false(upstreams_unsettled(worker_upstreams(g.worker)));
	end_send(&origin, "cd");
	end_await(&client, "abcd");
	await_finished(&g, 1);
	end_await_end(&origin);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

static void test_stop_with_generations(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U_PAUSED, table);
	paused.slot = 0;
	client_open(&client, &g, GET);
	while (paused.slot == 0)
		io_run(fixture.io);
	generation_unref(reload(&g, TO_U));
	client_open(&origin, &g, GET);
	generation_unref(reload(&g, OWN_ANSWER));
	worker_stop(g.worker);
	gateway_await_drained(&g);
	assert_int_equal(g.generation->references, 1);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* What is on its way out stays as it is. */
static void test_reload_while_draining(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U, table);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	worker_drain(g.worker, io_now_us(fixture.io) + 60 * US_PER_S);
	struct generation *after = reload(&g, OWN_ANSWER);

	assert_ptr_equal(worker_generation(g.worker), g.generation);
	assert_int_equal(after->references, 1);
	end_send(&origin, OK);
	end_await(&client, "ok");
	gateway_await_drained(&g);
	assert_true(worker_reload(g.worker, after));
	generation_unref(after);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* A listener that the file has no more goes on as it was, and keeps what its settings stand in. */
static void test_listener_that_is_gone(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	generation_unref(reload(&g, "version: 1\nlisteners: [{name: other, address: 127.0.0.1:82}]\n"
				    "routes: [{name: r, respond: {body: after}}]\n"));
	assert_int_equal(g.generation->references, 2);
	client_open(&client, &g, GET);
	end_await(&client, "after");
	generation_unref(reload(&g, OWN_ANSWER));
	assert_int_equal(g.generation->references, 1);
	end_send(&client, GET);
	await_finished(&g, 2);
	end_close(&client);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_request_that_runs),
		LOOP_TEST(test_unused_generation),
		LOOP_TEST(test_request_that_is_paused),
		LOOP_TEST(test_answer_that_is_under_way),
		LOOP_TEST(test_stop_with_generations),
		LOOP_TEST(test_reload_while_draining),
		LOOP_TEST(test_listener_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
