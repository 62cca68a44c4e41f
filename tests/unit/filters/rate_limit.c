/*
 * The filter `rate_limit` with a store that answers later: the test is the store, and takes the place of the one in memory. It keeps
 * what was asked, and answers when the test says so. What it knows is who owes it what: every ask that passed CONCURRENT, or waits,
 * is left once, and one that is withdrawn is never answered.
 */
#include "../gateway/gateway.h"

#include "filters/filters.h"
#include "limits/store.h"

enum { ASKS = 8 };

static struct limit_ask *asked[ASKS]; /* NULL: answered, or withdrawn */
static unsigned ask_count;
static unsigned left; /* limit_store_leave() was called */
static unsigned withdrawn; /* of these, before the answer */

size_t limit_store_bytes(size_t keys_max)
{
	return keys_max;
}

struct limit_store *limit_store_create(const struct limit_rule *rule, size_t keys_max)
{
	return malloc(1);
}

void limit_store_free(struct limit_store *store)
{
	free(store);
}

void limit_store_stats(struct limit_store *store, struct limit_store_stats *stats)
{
	*stats = (struct limit_store_stats){0};
}

bool limit_store_ask(struct limit_store *store, struct limit_ask *ask)
{
	assert_true(ask_count < ASKS);
	asked[ask_count++] = ask;
	io_stop(fixture.io);
	return false;
}

void limit_store_leave(struct limit_store *store, const struct limit_ask *ask, uint64_t now_us)
{
	left++;
	for (unsigned i = 0; i < ask_count; i++)
		if (asked[i] == ask) {
			asked[i] = NULL;
			withdrawn++;
		}
}

/* --- scenes -------------------------------------------------------------------------------------------------------------- */

#define ROUTE(filters) LISTENERS UPSTREAMS "routes: [{name: r, upstream: u, filters: [" filters "]}]\n"
#define RATE "{rate_limit: {rate: 10/s, burst: 5}}"
#define CONCURRENT "{rate_limit: {algorithm: concurrent, max_concurrent: 5}}"
#define LEAKY "{rate_limit: {algorithm: leaky_bucket, rate: 10/s, max_delay: 10s}}"

/* A client has asked, and its request stands still. */
static void scene_open(struct gateway *g, struct end *client, const char *yaml)
{
	ask_count = left = withdrawn = 0;
	gateway_open(g, yaml, filter_table);
	client_open(client, g, GET);
	while (ask_count == 0)
		io_run(fixture.io);
	step(g);
	assert_int_equal(g->finished, 0);
}

static void answer(struct gateway *g, struct limit_answer answer)
{
	struct limit_ask *ask = asked[ask_count - 1];

	assert_non_null(ask);
	asked[ask_count - 1] = NULL;
	ask->answer = answer;
	ask->on_answer(ask);
	step(g);
}

static void scene_close(struct gateway *g, struct end *client)
{
	end_close(client);
	gateway_close(g);
}

static void serve(struct gateway *g, struct end *client)
{
	struct end origin;

	origin_take(&origin, g);
	end_send(&origin, OK);
	end_await(client, "\r\n\r\nok");
	end_close(&origin);
	gateway_await_finished(g, 1);
	assert_int_equal(g->cause, CAUSE_NONE);
}

/* --- tests --------------------------------------------------------------------------------------------------------------- */

/* Two limits in a row: each is asked when the one before it has answered, and both are told to the client. */
static void test_passes(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(RATE "," RATE));
	answer(&g, (struct limit_answer){.verdict = LIMIT_PASSES, .remaining = 4});
	assert_int_equal(ask_count, 2);
	answer(&g, (struct limit_answer){.verdict = LIMIT_PASSES, .remaining = 3});
	serve(&g, &client);
	assert_true(end_has(&client, "\r\nRateLimit: \"r\";r=4;t=0, \"r-2\";r=3;t=0\r\n"));
	assert_int_equal(left, 0);
	scene_close(&g, &client);
}

static void test_refused(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(RATE));
	answer(&g, (struct limit_answer){.verdict = LIMIT_REFUSED, .retry_us = 7 * US_PER_S});
	end_await(&client, "rate_limited");
	assert_true(end_has(&client, "HTTP/1.1 429 "));
	assert_true(end_has(&client, "\r\nRetry-After: 7\r\n"));
	assert_true(end_has(&client, "\r\nRateLimit: "));
	gateway_await_finished(&g, 1);
	assert_int_equal(left, 0);
	scene_close(&g, &client);
}

/* A place that it was given later is given back at the end. */
static void test_concurrent(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(CONCURRENT));
	answer(&g, (struct limit_answer){.verdict = LIMIT_PASSES, .remaining = 4});
	assert_int_equal(left, 0);
	serve(&g, &client);
	assert_int_equal(left, 1);
	assert_int_equal(withdrawn, 0);
	scene_close(&g, &client);
}

/* First it waits for the answer, then for its turn. */
static void test_waits(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(LEAKY));
	answer(&g, (struct limit_answer){.verdict = LIMIT_WAITS, .wait_us = 50 * US_PER_MS});
	assert_int_equal(g.finished, 0);
	serve(&g, &client);
	assert_int_equal(left, 0);
	scene_close(&g, &client);
}

/* It leaves while it waits for its turn, which is another's then. */
static void test_client_leaves_its_turn(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(LEAKY));
	answer(&g, (struct limit_answer){.verdict = LIMIT_WAITS, .wait_us = 10 * US_PER_S});
	end_close(&client);
	gateway_await_finished(&g, 1);
	assert_int_equal(g.cause, CAUSE_CLIENT_GONE);
	assert_int_equal(left, 1);
	assert_int_equal(withdrawn, 0);
	scene_close(&g, &client);
}

/* It leaves before the answer: the ask is withdrawn, so that no answer finds what is gone. */
static void test_client_leaves(void **state)
{
	static const char *const limits[] = {ROUTE(RATE), ROUTE(CONCURRENT), ROUTE(LEAKY)};

	for (size_t i = 0; i < COUNT(limits); i++) {
		struct end client;
		struct gateway g;

		scene_open(&g, &client, limits[i]);
		end_abort(&client);
		gateway_await_finished(&g, 1);
		assert_int_equal(withdrawn, 1);
		assert_int_equal(left, 1);
		scene_close(&g, &client);
	}
}

/* No answer comes: it is not the client who suffers. Nothing is told of a limit of which nothing is known. */
static void test_never_answers(void **state)
{
	static const char *const limits[] = {ROUTE(RATE), ROUTE(CONCURRENT), ROUTE(LEAKY)};

	for (size_t i = 0; i < COUNT(limits); i++) {
		struct end client;
		struct gateway g;

		scene_open(&g, &client, limits[i]);
		serve(&g, &client);
		assert_false(end_has(&client, "RateLimit"));
		assert_int_equal(withdrawn, 1);
		assert_int_equal(left, 1);
		scene_close(&g, &client);
	}
}

/* The worker is stopped while a request waits for the answer. */
static void test_stop(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, ROUTE(RATE));
	scene_close(&g, &client);
	assert_int_equal(withdrawn, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_passes),
		LOOP_TEST(test_refused),
		LOOP_TEST(test_concurrent),
		LOOP_TEST(test_waits),
		LOOP_TEST(test_client_leaves_its_turn),
		LOOP_TEST(test_client_leaves),
		LOOP_TEST(test_never_answers),
		LOOP_TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
