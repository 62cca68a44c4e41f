/*
 * A worker as a whole: what it counts, whom it refuses, and how it ends, with clients and exchanges in every state.
 */
#include "gateway.h"

#include "gateway/exchange.h"

#define FILE_WITH(listener)                                                                         \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80" listener "}]\n" UPSTREAMS         \
	"routes: [{name: r, upstream: u}, {name: own, match: {path: /own}, respond: {body: own}}, " \
	"{name: moved, match: {path: /moved}, redirect: {location: /own, status: 308}}]\n"

#define OWN "GET /own HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct filter_ops *const no_filters[1];

static void scene_open(struct gateway *g)
{
	gateway_open(g, FILE_WITH(""), no_filters);
}

/* A client with a request under way, whose answer the origin owes. */
static void under_way(struct gateway *g, struct end *client, struct end *origin)
{
	client_open(client, g, GET);
	origin_take(origin, g);
}

/* And another one behind it, where there is no connection for its request. */
static void one_waits(struct gateway *g, struct end *client, struct end *second, struct end *origin)
{
	under_way(g, client, origin);
	client_open(second, g, GET);
	while (worker_stats(g->worker)->exchanges_started < 2)
		run_pending();
	step(g);
}

/* --- serving ----------------------------------------------------------------------------------------------------- */

static void test_counts(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	const struct worker_stats *stats = worker_stats(g.worker);
	under_way(&g, &client, &origin);
	assert_int_equal(stats->exchanges_started, 1);
	assert_int_equal(stats->exchanges_finished, 0);
	end_send(&origin, OK);
	end_await(&client, "ok");
	end_send(&client, OWN "GET /moved HTTP/1.1\r\nHost: h\r\n\r\n");
	end_await(&client, "Location: /own\r\n");
	assert_true(end_has(&client, "HTTP/1.1 308 "));
	gateway_await_finished(&g, 3);
	assert_int_equal(stats->connections_accepted, 1);
	assert_int_equal(stats->connections_open, 1);
	assert_int_equal(stats->exchanges_finished, 3);
	assert_int_equal(stats->exchanges_by_cause[CAUSE_NONE], 3);
	assert_int_equal(stats->responses_by_class[2], 2);
	assert_int_equal(stats->responses_by_class[3], 1);
	assert_int_equal(stats->bytes_out, 2 + 3);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* One beyond the limit is told so; when one leaves there is room again. */
static void test_connection_limit(void **state)
{
	struct end first, second, third;
	struct gateway g;

	gateway_open(&g, FILE_WITH(", limits: {connections: 1}"), no_filters);
	client_open(&first, &g, OWN);
	end_await(&first, "own");
	client_open(&second, &g, "");
	end_await(&second, "client_connections_limited");
	assert_true(end_has(&second, "HTTP/1.1 503 "));
	end_await_gone(&second);
	end_close(&second);
	assert_int_equal(worker_stats(g.worker)->connections_refused, 1);
	assert_int_equal(worker_listener_stats(g.worker, 0).refused, 1);
	assert_int_equal(worker_listener_stats(g.worker, 0).accepted, 2);
	end_close(&first);
	while (worker_stats(g.worker)->connections_open > 0)
		run_pending();
	client_open(&third, &g, OWN);
	end_await(&third, "own");
	end_close(&third);
	gateway_close(&g);
}

static void test_upstream_that_is_not_there(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	door_close(&g.door);
	client_open(&client, &g, GET OWN);
	end_await(&client, "own");
	assert_true(end_has(&client, "HTTP/1.1 502 "));
	assert_true(end_has(&client, "connect_refused"));
	gateway_await_finished(&g, 2);
	assert_int_equal(worker_stats(g.worker)->exchanges_by_cause[CAUSE_CONNECT_REFUSED], 1);
	end_close(&client);
	gateway_close(&g);
}

static void test_address_in_use(void **state)
{
	struct worker_observer observer = {0};
	char error[256];
	struct door door;

	door_open(&door);
	const struct config *config = load_good(FILE_WITH(""));
	config->listeners[0].address = door.address;
	struct shared *shared = shared_create(no_filters);
	struct generation *generation = generation_create(shared, config);
	assert_null(worker_create(fixture.io, shared, generation, 0, &observer, error));
	assert_non_null(strstr(error, "cannot listen on 127.0.0.1:80 (listener l): "));
	generation_unref(generation);
	shared_free(shared);
	door_close(&door);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static uint64_t in_ms(uint64_t ms)
{
	return io_now_us(fixture.io) + ms * US_PER_MS;
}

static void test_drain_with_nobody(void **state)
{
	struct gateway g;

	scene_open(&g);
	worker_drain(g.worker, in_ms(60000), 0);
	gateway_await_drained(&g);
	worker_drain(g.worker, in_ms(0), 0);
	worker_stop(g.worker);
	run_pending();
	gateway_close(&g);
}

/* Idle clients are closed at once, orderly; idle upstream connections too. */
static void test_drain_with_idle_clients(void **state)
{
	struct end fresh, served, origin;
	struct gateway g;

	scene_open(&g);
	end_connect(&fresh, &g.address);
	under_way(&g, &served, &origin);
	end_send(&origin, OK);
	end_await(&served, "ok");
	assert_int_equal(worker_stats(g.worker)->connections_open, 2);
	worker_drain(g.worker, in_ms(60000), 0);
	end_await_end(&fresh);
	end_await_end(&served);
	end_await_end(&origin);
	gateway_await_drained(&g);
	end_close(&fresh);
	end_close(&served);
	end_close(&origin);
	gateway_close(&g);
}

/* Nobody new is let in; what runs is answered, and its client told that this was the last. */
static void test_drain_with_a_running_exchange(void **state)
{
	struct end client, origin, late;
	struct gateway g;

	scene_open(&g);
	under_way(&g, &client, &origin);
	worker_drain(g.worker, in_ms(60000), 0);
	step(&g);
	end_init(&late);
	int result = io_connect(fixture.io, &late.source, &g.address);
	while (result == -EINPROGRESS && !late.heard)
		io_run(fixture.io);
	assert_int_equal(result == -EINPROGRESS ? late.error : result, -ECONNREFUSED);
	assert_int_equal(g.drained, 0);
	end_send(&origin, OK);
	end_await(&client, "ok");
	assert_true(end_has(&client, "200 OK"));
	assert_true(end_has(&client, "Connection: close\r\n"));
	end_await_end(&client);
	gateway_await_drained(&g);
	assert_int_equal(g.cause, CAUSE_NONE);
	end_close(&late);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* Half a head is no idle client: it is served, as the last. */
static void test_drain_with_half_a_head(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	client_open(&client, &g, "GET /own HTTP/1.1\r\nHo");
	run_pending();
	worker_drain(g.worker, in_ms(60000), 0);
	run_pending();
	step(&g);
	end_send(&client, "st: h\r\n\r\n");
	end_await(&client, "own");
	assert_true(end_has(&client, "Connection: close\r\n"));
	end_await_end(&client);
	gateway_await_drained(&g);
	end_close(&client);
	gateway_close(&g);
}

/* What is still running at the deadline is ended, with an answer. */
static void test_drain_deadline(void **state)
{
	struct end client, half, origin;
	struct gateway g;

	scene_open(&g);
	under_way(&g, &client, &origin);
	client_open(&half, &g, "GET /own HTTP/1.1\r\nHo");
	run_pending();
	uint64_t deadline = in_ms(40);
	worker_drain(g.worker, deadline, 0);
	end_await(&client, "draining");
	assert_true(io_now_us(fixture.io) >= deadline);
	assert_true(end_has(&client, "HTTP/1.1 503 "));
	gateway_await_drained(&g);
	end_await_gone(&origin);
	end_await_gone(&half);
	assert_int_equal(worker_stats(g.worker)->exchanges_by_cause[CAUSE_DRAINING], 1);
	end_close(&client);
	end_close(&half);
	end_close(&origin);
	gateway_close(&g);
}

static void test_stop(void **state)
{
	struct end client, idle, origin;
	struct gateway g;

	scene_open(&g);
	under_way(&g, &client, &origin);
	end_connect(&idle, &g.address);
	worker_drain(g.worker, in_ms(60000), 0);
	worker_stop(g.worker);
	end_await(&client, "draining");
	gateway_await_drained(&g);
	end_await_gone(&origin);
	end_await_gone(&idle);
	end_close(&client);
	end_close(&idle);
	end_close(&origin);
	gateway_close(&g);
}

/* In the middle of an answer: what has begun must not look complete. */
static void test_stop_in_an_answer(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	under_way(&g, &client, &origin);
	end_send(&origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	end_await(&client, "abc");
	worker_stop(g.worker);
	assert_true(end_await_gone(&client));
	/* The last chunk, behind the piece; a field of the head may end in 0. */
	assert_false(end_has(&client, "abc\r\n0\r\n"));
	gateway_await_drained(&g);
	assert_int_equal(g.cause, CAUSE_DRAINING);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* While a connection to the upstream is awaited. */
static void test_stop_while_leasing(void **state)
{
	struct end client, second, origin;
	struct gateway g;

	gateway_open(&g,
		"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\n"
		"upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}], pool: {max_connections: 1, "
		"acquire_timeout: 1h}}]\n"
		"routes: [{name: r, upstream: u}]\n",
		no_filters);
	one_waits(&g, &client, &second, &origin);
	worker_stop(g.worker);
	end_await(&client, "draining");
	end_await(&second, "draining");
	gateway_await_drained(&g);
	end_close(&client);
	end_close(&second);
	end_close(&origin);
	gateway_close(&g);
}

/*
 * The pool waits longer where it may open beyond its cap, and what it says in the end is more precise than that the
 * exchange's own time is over: so that one is not over before.
 */
static void test_leasing_waits_for_the_pool(void **state)
{
	struct end client, second, origin;
	struct gateway g;

	gateway_open(&g,
		"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\n"
		"upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}], timeouts: {request: 0}, "
		"pool: {max_connections: 1, acquire_timeout: 20s, on_acquire_timeout: new, max_overflow: 1}}]\n"
		"routes: [{name: r, upstream: u}]\n",
		no_filters);
	one_waits(&g, &client, &second, &origin);

	const struct exchange *ex = container_of(g.worker->exchanges.head.prev, struct exchange, node);

	assert_int_equal(ex->state, EXCHANGE_LEASING);
	assert_true(ex->timer->deadline_us - ex->moved_us > 40 * US_PER_S);
	assert_true(ex->timer->deadline_us - ex->moved_us < 60 * US_PER_S);
	worker_stop(g.worker);
	gateway_await_drained(&g);
	end_close(&client);
	end_close(&second);
	end_close(&origin);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_counts),
		LOOP_TEST(test_connection_limit),
		LOOP_TEST(test_upstream_that_is_not_there),
		LOOP_TEST(test_address_in_use),
		LOOP_TEST(test_drain_with_nobody),
		LOOP_TEST(test_drain_with_idle_clients),
		LOOP_TEST(test_drain_with_a_running_exchange),
		LOOP_TEST(test_drain_with_half_a_head),
		LOOP_TEST(test_drain_deadline),
		LOOP_TEST(test_stop),
		LOOP_TEST(test_stop_in_an_answer),
		LOOP_TEST(test_stop_while_leasing),
		LOOP_TEST(test_leasing_waits_for_the_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
