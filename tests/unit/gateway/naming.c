/*
 * A client that is to be named by a PROXY header: the worker's books in that state, and every way out of it.
 */
#include "gateway.h"

#include "gateway/exchange.h"

#define FILE_WITH(who, header) \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: [" who "], proxy_protocol: any, " \
	"timeouts: {header: " header "}}]\n" UPSTREAMS \
	"routes: [{name: r, upstream: u}, {name: own, match: {path: /own}, respond: {body: own}}]\n"

#define NAMED "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"

static const struct filter_ops *const no_filters[1];

static void scene_open(struct gateway *g)
{
	gateway_open(g, FILE_WITH("127.0.0.1", "10s"), no_filters);
}

static uint64_t refused(const struct gateway *g, enum proxy_refusal reason)
{
	return worker_stats(g->worker)->proxy_headers_refused[reason];
}

static struct client *the_client(const struct gateway *g)
{
	struct list_node *first = list_first(&g->worker->clients);

	return first == NULL ? NULL : container_of(first, struct client, node);
}

/* A client whose first bytes have been read, and are not a whole header. */
static void half_named(struct end *client, struct gateway *g)
{
	client_open(client, g, "PROXY TCP4 192.0.2.7 ");
	while (the_client(g) == NULL || buf_len(&the_client(g)->h1.in) != strlen("PROXY TCP4 192.0.2.7 "))
		run_pending();
	assert_int_equal(the_client(g)->state, CLIENT_NAMING);
	step(g);
}

/* It is closed without a word. */
static void assert_refused(struct end *client, struct gateway *g, enum proxy_refusal reason)
{
	end_await_gone(client);
	assert_int_equal(buf_len(&client->got), 0);
	run_pending();
	step(g);
	assert_int_equal(refused(g, reason), 1);
	assert_int_equal(worker_stats(g->worker)->connections_open, 0);
	end_close(client);
	gateway_close(g);
}

static void test_named(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	half_named(&client, &g);
	end_send(&client, "198.51.100.1 40000 443\r\n" GET);
	origin_take(&origin, &g);
	assert_true(end_has(&origin, "X-Forwarded-For: 192.0.2.7\r\n"));
	assert_int_equal(the_client(&g)->peer_port, 40000);
	assert_int_equal(buf_cap(&the_client(&g)->h1.in), 0);
	end_send(&origin, OK);
	end_await(&client, "ok");
	gateway_await_finished(&g, 1);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

static void test_late(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, FILE_WITH("127.0.0.1", "20ms"), no_filters);
	client_open(&client, &g, "PROXY TCP4 192.0.2.7 ");
	assert_refused(&client, &g, PROXY_LATE);
}

static void test_malformed(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	half_named(&client, &g);
	end_send(&client, "nobody 1 2\r\n" GET);
	assert_refused(&client, &g, PROXY_MALFORMED);
}

static void test_untrusted(void **state)
{
	struct end client;
	struct gateway g;

	gateway_open(&g, FILE_WITH("192.0.2.1", "10s"), no_filters);
	client_open(&client, &g, NAMED GET);
	assert_refused(&client, &g, PROXY_UNTRUSTED);
}

/* It is given a moment, as to any connection that is new. */
static void test_drain(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	half_named(&client, &g);
	worker_drain(g.worker, io_now_us(fixture.io) + 60 * US_PER_S, 0);
	step(&g);
	end_send(&client, "198.51.100.1 40000 443\r\nGET /own HTTP/1.1\r\nHost: h\r\n\r\n");
	end_await(&client, "own");
	end_await_end(&client);
	gateway_await_drained(&g);
	assert_int_equal(refused(&g, PROXY_LATE), 0);
	end_close(&client);
	gateway_close(&g);
}

static void test_stop(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	half_named(&client, &g);
	worker_stop(g.worker);
	gateway_await_drained(&g);
	end_close(&client);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_named),
		LOOP_TEST(test_late),
		LOOP_TEST(test_malformed),
		LOOP_TEST(test_untrusted),
		LOOP_TEST(test_drain),
		LOOP_TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
