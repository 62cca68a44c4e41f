/*
 * A worker whose configuration is another one all of a sudden: requests of before end as they began, later ones find the
 * new one, and the old one is gone when its last user is.
 */
#include "gateway.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/exchange.h"
#include "gateway/state.h"
#include "upstream/endpoint.h"

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

	gateway_listen_again(g, config);
	for (size_t i = 0; i < config->upstream_count; i++)
		config->upstreams[i].endpoints[0].address = g->door.address;
	struct generation *generation = generation_create(g->shared, config);

	assert_non_null(generation);
	assert_true(gateway_reload(g, generation));
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

#define TO_U_TRUSTING(blocks)                                                                                 \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: [" blocks "]}]\n" UPSTREAMS \
	"routes: [{name: before, upstream: u, " PAUSE "}]\n"

#define FORWARDED "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"

static void await_paused(void)
{
	while (paused.slot == 0)
		io_run(fixture.io);
}

/* Goes on, is answered, and what the origin has received of it stays. */
static void resume_and_answer(struct gateway *g, struct end *client, struct end *origin, unsigned count)
{
	assert_true(exchange_resume(paused, FILTER_CONTINUE, CAUSE_NONE, NULL));
	if (count == 1)
		end_accept(origin, &g->door);
	end_await(origin, "\r\n\r\n");
	end_send(origin, OK);
	end_await(client, "ok");
	end_forget(client);
	await_finished(g, count);
}

/*
 * A request is passed on by what its peer was when it began, each time that it is: half by one rule and half by another
 * would be neither.
 */
static void test_peer_that_is_no_longer_trusted(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U_TRUSTING("127.0.0.0/8"), table);
	paused.slot = 0;
	client_open(&client, &g, FORWARDED);
	await_paused();
	generation_unref(reload(&g, TO_U_TRUSTING("10.0.0.0/8")));
	resume_and_answer(&g, &client, &origin, 1);
	assert_true(end_has(&origin, "X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n"));
	end_forget(&origin);
	paused.slot = 0;
	end_send(&client, FORWARDED);
	await_paused();
	resume_and_answer(&g, &client, &origin, 2);
	assert_true(end_has(&origin, "X-Forwarded-For: 127.0.0.1\r\n"));
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

#define TO_U_PAUSED_WATCHED(pool) \
	LISTENERS "upstreams: [{name: u, endpoints: [{address: 127.0.0.1:81}], pool: {" pool "}}]\n" \
		  "routes: [{name: before, upstream: u, " PAUSE "}]\n"

/*
 * It came when there was no watch, and holds a connection of a pool with one: what is in use is for that pool to say, so
 * a request on which something has just moved loses nothing.
 */
static void test_request_of_before_in_a_pool_that_is_watched(void **state)
{
	struct end client, origin;
	struct gateway g;

	gateway_open(&g, TO_U_PAUSED_WATCHED("leak_after: 0"), table);
	paused.slot = 0;
	client_open(&client, &g, GET);
	while (paused.slot == 0)
		io_run(fixture.io);
	generation_unref(reload(&g, TO_U_PAUSED_WATCHED("leak_after: 1h, reclaim_after: 1h")));
	assert_true(exchange_resume(paused, FILTER_CONTINUE, CAUSE_NONE, NULL));
	origin_take(&origin, &g);

	struct exchange *ex = container_of(list_first(&g.worker->exchanges), struct exchange, node);
	struct upstream_conn *conn = ex->lease.conn;

	assert_int_equal(ex->route->upstream->pool.leak_after_us, 0);
	watch_overdue(ex->lease.endpoint, conn->slot, conn, US_PER_S, WEIR_POOL_LEAKING);
	assert_string_equal(g.event, "");
	watch_overdue(ex->lease.endpoint, conn->slot, conn, US_PER_S, WEIR_POOL_RECLAIMED);
	assert_int_equal(g.finished, 0);
	end_send(&origin, OK);
	end_await(&client, "ok");
	await_finished(&g, 1);
	assert_int_equal(g.cause, CAUSE_NONE);
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

#define TRUSTING "version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: [127.0.0.0/8]}]\n"
#define TRUSTING_TO_U TRUSTING UPSTREAMS "routes: [{name: before, upstream: u}]\n"
#define FROM_PROXY "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.1.1.1\r\nForwarded: for=10.1.1.1\r\n\r\n"

static void assert_trusting(const struct end *origin, bool trusting)
{
	assert_int_equal(end_has(origin, "X-Forwarded-For: 10.1.1.1, 127.0.0.1\r\n"), trusting);
	assert_int_equal(end_has(origin, "X-Forwarded-For: 127.0.0.1\r\n"), !trusting);
	assert_int_equal(end_has(origin, "for=10.1.1.1"), trusting);
}

/* A request has been sent when the file begins or ceases to trust its client, and is sent a second time afterwards. */
static void trust_changes(const char *before, const char *after, bool trusting)
{
	struct end client, origin, fresh;
	struct gateway g;

	gateway_open(&g, before, table);
	client_open(&client, &g, GET);
	origin_take(&origin, &g);
	end_send(&origin, OK);
	await_finished(&g, 1);
	end_forget(&origin);
	end_send(&client, FROM_PROXY);
	end_await(&origin, "\r\n\r\n");
	assert_trusting(&origin, trusting);
	generation_unref(reload(&g, after));
	end_close(&origin);
	origin_take(&fresh, &g);
	assert_trusting(&fresh, trusting);
	end_send(&fresh, OK);
	await_finished(&g, 2);
	assert_int_equal(g.retries, 1);
	/* The next one finds the new file, though its client has not connected anew. */
	end_forget(&fresh);
	end_send(&client, FROM_PROXY);
	end_await(&fresh, "\r\n\r\n");
	assert_trusting(&fresh, !trusting);
	end_close(&client);
	end_close(&fresh);
	gateway_close(&g);
}

static void test_trust_stays_for_a_request(void **state)
{
	trust_changes(TRUSTING_TO_U, TO_U, true);
	trust_changes(TO_U, TRUSTING_TO_U, false);
}

/*
 * Addresses may change every second, and clients are many: they are looked at only where what is asked of them may be
 * another thing. A mark that is wrong shows who has looked.
 */
static void test_clients_are_not_looked_at_for_addresses(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, OWN_ANSWER, table);
	client_open(&client, &g, GET);
	end_await(&client, "after");
	await_finished(&g, 1);
	struct client *c = container_of(list_first(&g.worker->clients), struct client, node);

	c->trusted = true;
	struct generation *same_file = generation_create(g.shared, config_ref(g.config));

	assert_non_null(same_file);
	assert_true(gateway_reload(&g, same_file));
	step(&g);
	assert_true(c->trusted);
	generation_unref(reload(&g, OWN_ANSWER));
	assert_false(c->trusted);
	generation_unref(same_file);
	end_close(&client);
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
	worker_drain(g.worker, io_now_us(fixture.io) + 60 * US_PER_S, 0);
	struct generation *after = reload(&g, OWN_ANSWER);

	assert_ptr_equal(worker_generation(g.worker), g.generation);
	assert_int_equal(after->references, 1);
	end_send(&origin, OK);
	end_await(&client, "ok");
	gateway_await_drained(&g);
	assert_true(gateway_reload(&g, after));
	generation_unref(after);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

#define ELSEWHERE \
	"version: 1\nlisteners: [{name: other, address: 127.0.0.2:82}]\nroutes: [{name: r, respond: {body: after}}]\n"

static bool refuses(const struct address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool refused = connect(fd, &address->u.any, address->len) != 0;

	close(fd);
	return refused;
}

/* Who has come by a listener that is gone is served once more, by its settings, and told that the connection ends. */
static void test_listener_that_is_gone(void **state)
{
	struct end kept, fresh, waiting;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	const struct address old = g.address;

	client_open(&kept, &g, GET);
	end_await(&kept, "before");
	client_open(&waiting, &g, "");
	generation_unref(reload(&g, ELSEWHERE));
	assert_true(refuses(&old));
	assert_int_equal(g.generation->references, 2);
	worker_listener_address(g.worker, 0, &g.address);
	client_open(&fresh, &g, GET);
	end_await(&fresh, "after");
	assert_false(end_has(&fresh, "close"));
	assert_int_equal(worker_listener_stats(g.worker, 0).connections, 1);
	end_send(&waiting, GET);
	end_await(&waiting, "after");
	assert_true(end_has(&waiting, "Connection: close"));
	end_send(&kept, GET);
	end_await(&kept, "after");
	assert_true(end_has(&kept, "Connection: close"));
	await_finished(&g, 4);
	end_close(&waiting);
	end_close(&kept);
	while (g.generation->references > 1)
		run_pending();
	end_close(&fresh);
	gateway_close(&g);
}

/* Reloads in a row: who rests at a listener that is gone is waited for since the first of them. */
static void test_listener_that_is_gone_for_long(void **state)
{
	struct end kept;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	client_open(&kept, &g, GET);
	end_await(&kept, "before");
	await_finished(&g, 1);
	generation_unref(reload(&g, ELSEWHERE));
	const struct client *c = container_of(list_first(&g.worker->clients), struct client, node);
	uint64_t until_us = c->timer.deadline_us, since_us = io_now_us(fixture.io);

	assert_true(until_us <= since_us + LEAVING_IDLE_US);
	while (io_now_us(fixture.io) < since_us + 2000)
		run_pending();
	generation_unref(reload(&g, ELSEWHERE));
	assert_int_equal(c->timer.deadline_us, until_us);
	end_close(&kept);
	gateway_close(&g);
}

/* What cannot be bound changes nothing, and what could be is closed again. */
static void test_listener_that_cannot_be_opened(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	const struct config *config = load_good("version: 1\nlisteners: [{name: a, address: 127.0.0.2:82}, {name: b, address: "
						"127.0.0.1:81}]\nroutes: [{name: r, respond: {body: after}}]\n");

	gateway_listen_again(&g, config);
	config->listeners[1].address = g.door.address;
	struct generation *generation = generation_create(g.shared, config);

	assert_false(worker_reload(g.worker, generation));
	assert_false(worker_is_reloading(g.worker));
	generation_unref(generation);
	client_open(&client, &g, GET);
	end_await(&client, "before");
	await_finished(&g, 1);
	assert_int_equal(worker_listener_stats(g.worker, 0).connections, 1);
	end_close(&client);
	gateway_close(&g);
}

#define ONE_MORE \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}, {name: new, address: 127.0.0.2:82}]\n" \
	"routes: [{name: r, respond: {body: after}}]\n"

#define TWO_MORE \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}, {name: new, address: 127.0.0.2:82}, {name: newer, address: " \
	"127.0.0.2:83}]\nroutes: [{name: r, respond: {body: after}}]\n"

/* A port that is free now. */
static struct address free_address(void)
{
	struct io_source source = {.fd = -1};
	struct address address;

	assert_true(address_parse(&address, "127.0.0.2:0"));
	assert_int_equal(io_bind(fixture.io, &source, &address, &(struct io_bind_options){0}), 0);
	assert_int_equal(io_local_address(fixture.io, &source, &address), 0);
	io_close(fixture.io, &source);
	return address;
}

/* From now on the worker makes what it needs for it; the turn in which all of that is there is still to come. */
static struct generation *reload_begin(struct gateway *g, const struct address *fresh)
{
	const struct config *config = load_good(ONE_MORE);

	gateway_listen_again(g, config);
	config->listeners[1].address = *fresh;
	struct generation *generation = generation_create(g->shared, config);

	g->reload_taken = true;
	assert_true(worker_reload(g->worker, generation));
	assert_true(worker_is_reloading(g->worker));
	return generation;
}

/* Who could connect would be lost if the reload were refused. */
static void test_listener_lets_in_nobody_before_the_change(void **state)
{
	const struct address fresh = free_address();
	struct end client;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	struct generation *generation = reload_begin(&g, &fresh);

	assert_true(refuses(&fresh));
	while (worker_is_reloading(g.worker))
		run_pending();
	assert_true(g.reload_taken);
	generation_unref(generation);
	g.address = fresh;
	client_open(&client, &g, GET);
	end_await(&client, "after");
	await_finished(&g, 1);
	end_close(&client);
	gateway_close(&g);
}

static unsigned listens;

/* In the place of libc's. */
int listen(int fd, int backlog)
{
	listens++;
	return (int)syscall(SYS_listen, fd, backlog);
}

/* The last of two new ones is in somebody's way: the first has not let in anybody who would be reset with it. */
static void test_first_of_two_listeners_that_cannot_be(void **state)
{
	const struct address first = free_address(), second = free_address();
	struct io_source stranger = {.fd = -1};
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	const struct config *config = load_good(TWO_MORE);

	gateway_listen_again(&g, config);
	config->listeners[1].address = first;
	config->listeners[2].address = second;
	struct generation *generation = generation_create(g.shared, config);

	g.reload_taken = true;
	assert_true(worker_reload(g.worker, generation));
	assert_int_equal(fixture_listen(&stranger, &second, 1, &(struct io_bind_options){0}), 0);
	listens = 0;
	while (worker_is_reloading(g.worker))
		run_pending();
	assert_false(g.reload_taken);
	assert_int_equal(listens, 0);
	generation_unref(generation);
	io_close(fixture.io, &stranger);
	gateway_close(&g);
}

/* Somebody who does not share the address listens there by then: nothing changes. */
static void test_listener_that_somebody_else_has_by_then(void **state)
{
	const struct address fresh = free_address();
	struct io_source stranger = {.fd = -1};
	struct end client;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	struct generation *generation = reload_begin(&g, &fresh);

	assert_int_equal(fixture_listen(&stranger, &fresh, 1, &(struct io_bind_options){0}), 0);
	while (worker_is_reloading(g.worker))
		run_pending();
	assert_false(g.reload_taken);
	assert_ptr_equal(worker_generation(g.worker), g.generation);
	assert_int_equal(generation->references, 1);
	generation_unref(generation);
	client_open(&client, &g, GET);
	end_await(&client, "before");
	await_finished(&g, 1);
	end_close(&client);
	io_close(fixture.io, &stranger);
	gateway_close(&g);
}

/* It is its address: with another name it keeps its socket and its connections. */
static void test_listener_with_another_name(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, LISTENERS "routes: [{name: r, respond: {body: before}}]\n", table);
	client_open(&client, &g, GET);
	end_await(&client, "before");
	generation_unref(reload(&g, "version: 1\nlisteners: [{name: new, address: 127.0.0.2:82}, {name: renamed, address: "
				    "127.0.0.1:80}]\nroutes: [{name: r, respond: {body: after}}]\n"));
	assert_int_equal(worker_listener_stats(g.worker, 0).connections, 0);
	assert_int_equal(worker_listener_stats(g.worker, 1).connections, 1);
	assert_false(refuses(&g.address));
	end_send(&client, GET);
	end_await(&client, "after");
	assert_false(end_has(&client, "close"));
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
		LOOP_TEST(test_request_of_before_in_a_pool_that_is_watched),
		LOOP_TEST(test_peer_that_is_no_longer_trusted),
		LOOP_TEST(test_answer_that_is_under_way),
		LOOP_TEST(test_stop_with_generations),
		LOOP_TEST(test_trust_stays_for_a_request),
		LOOP_TEST(test_clients_are_not_looked_at_for_addresses),
		LOOP_TEST(test_reload_while_draining),
		LOOP_TEST(test_listener_that_is_gone),
		LOOP_TEST(test_listener_that_is_gone_for_long),
		LOOP_TEST(test_listener_that_cannot_be_opened),
		LOOP_TEST(test_listener_lets_in_nobody_before_the_change),
		LOOP_TEST(test_listener_that_somebody_else_has_by_then),
		LOOP_TEST(test_first_of_two_listeners_that_cannot_be),
		LOOP_TEST(test_listener_with_another_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
