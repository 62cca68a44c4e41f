/*
 * An exchange that is ended twice: a release build counts it and goes on unharmed, a debug build stops there. Built
 * twice, each time with its own exchange.c.
 */
#include "gateway.h"

#include "gateway/exchange.h"

static const struct filter_ops *const no_filters[1];

/* A client whose request waits at the origin. */
struct scene {
	struct gateway g;
	struct end client, origin;
	struct exchange *exchange;
};

static void scene_open(struct scene *scene)
{
	gateway_open(&scene->g, LISTENERS UPSTREAMS "routes: [{name: r, upstream: u}]\n", no_filters);
	client_open(&scene->client, &scene->g, GET);
	origin_take(&scene->origin, &scene->g);
	assert_false(list_empty(&scene->g.worker->exchanges));
	scene->exchange = container_of(scene->g.worker->exchanges.head.next, struct exchange, node);
}

static void scene_close(struct scene *scene)
{
	end_close(&scene->client);
	end_close(&scene->origin);
	gateway_close(&scene->g);
}

static void finish_twice(void *with)
{
	exchange_finish(with, CAUSE_FIRST_BYTE_TIMEOUT, "the first end");
	exchange_finish(with, CAUSE_INTERNAL, "the second end");
}

#ifdef NDEBUG
static void test_double_finish(void **state)
{
	struct scene scene;

	scene_open(&scene);
	const struct worker_stats *stats = worker_stats(scene.g.worker);
	finish_twice(scene.exchange);
	assert_int_equal(stats->exchange_double_finish, 1);
	assert_int_equal(stats->exchanges_finished, 1);
	assert_int_equal(scene.g.finished, 1);
	assert_int_equal(scene.g.cause, CAUSE_FIRST_BYTE_TIMEOUT);
	assert_int_equal(stats->exchanges_by_cause[CAUSE_INTERNAL], 0);
	step(&scene.g);

	/* Both places are named. */
	const char *first = strstr(scene.g.event, "double_finish.c:");
	assert_non_null(first);
	assert_non_null(strstr(first + 1, "double_finish.c:"));

	/* One answer, and the connection goes on. */
	end_await(&scene.client, "the first end");
	end_forget(&scene.client);
	end_send(&scene.client, GET);
	end_close(&scene.origin);
	origin_take(&scene.origin, &scene.g);
	end_send(&scene.origin, OK);
	end_await(&scene.client, "ok");
	assert_false(end_has(&scene.client, "the second end"));
	assert_true(view_starts(buf_view(&scene.client.got), VIEW("HTTP/1.1 200 OK\r\n")));
	scene_close(&scene);
}
#else
static void test_double_finish(void **state)
{
	struct scene scene;

	scene_open(&scene);
	assert_check_fails(finish_twice, scene.exchange, "exchange ended twice");
	scene_close(&scene);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_double_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
