/*
 * What has no deadline is told of, whatever it is: clients in each state between their exchanges, and exchanges. There is none unless
 * the gateway has a bug, so these take the deadline away.
 */
#include <sys/socket.h>

#include "gateway.h"

#include "../net/authority.h"
#include "gateway/exchange.h"

#define FILE_WITH_ALL \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, trusted_proxies: [127.0.0.1], protocols: [h1, h2], " \
	"proxy_protocol: any}]\n" UPSTREAMS \
	"routes: [{name: r, match: {path: /}, upstream: u}, {name: own, match: {path: /own}, respond: {body: own}}]\n"

#define NAMED "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"

static const struct filter_ops *const no_filters[1];

static struct client *the_client(const struct gateway *g)
{
	struct list_node *first = list_first(&g->worker->clients);

	return first == NULL ? NULL : container_of(first, struct client, node);
}

static void scene_open(struct gateway *g, struct end *client, const char *text)
{
	gateway_open(g, FILE_WITH_ALL, no_filters);
	client_open(client, g, text);
}

static void await_state(const struct gateway *g, enum client_state state)
{
	while (the_client(g) == NULL || the_client(g)->state != state)
		run_pending();
	step(g);
}

/* What is told once the timer is disarmed, and once it is late; nothing before, and while a lag may be the reason. */
static void look_at(const struct gateway *g, struct io_timer *timer, struct oldest *stuck)
{
	uint64_t deadline_us = timer->deadline_us, now_us = io_now_us(fixture.io);

	assert_true(io_timer_armed(timer));
	timer->deadline_us = now_us - STUCK_LATE_US + 1;
	step(g);
	timer->deadline_us = now_us - STUCK_LATE_US;
	worker_stuck(g->worker, stuck);
	assert_int_equal(stuck->stuck_count + stuck->stuck_client_count, 1);
	timer->deadline_us = deadline_us;
	step(g);
	io_timer_cancel(fixture.io, timer);
	worker_stuck(g->worker, stuck);
	assert_int_equal(stuck->stuck_count + stuck->stuck_client_count, 1);
	io_timer_set(fixture.io, timer, deadline_us);
	step(g);
}

static void assert_client_told(struct gateway *g, const char *stage, const char *peer)
{
	struct oldest stuck;

	look_at(g, &the_client(g)->timer, &stuck);
	assert_int_equal(stuck.stuck_client_count, 1);
	assert_string_equal(stuck.stuck_clients[0].stage, stage);
	assert_string_equal(stuck.stuck_clients[0].client, peer);
	assert_string_equal(stuck.stuck_clients[0].request_id, "");
	assert_true(stuck.stuck_clients[0].quiet_us == UINT64_MAX && stuck.stuck_clients[0].held_us == UINT64_MAX);
	assert_true((stuck.stuck_clients[0].age_us == UINT64_MAX) ==
		    (the_client(g)->state == CLIENT_LINGERING || the_client(g)->head_us == 0));
}

static void scene_close(struct gateway *g, struct end *client)
{
	gateway_close(g);
	end_close(client);
}

static void test_naming(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, "PROXY TCP4 192.0.2.7 ");
	await_state(&g, CLIENT_NAMING);
	assert_client_told(&g, "naming", "127.0.0.1");
	scene_close(&g, &client);
}

static void test_idle(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED);
	await_state(&g, CLIENT_IDLE);
	assert_client_told(&g, "idle", "192.0.2.7");
	scene_close(&g, &client);
}

static void test_head(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED "GET / HT");
	await_state(&g, CLIENT_HEAD);
	assert_client_told(&g, "head", "192.0.2.7");
	scene_close(&g, &client);
}

static void test_session(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	await_state(&g, CLIENT_SESSION);
	while (client_session_carries(the_client(&g)))
		run_pending();
	assert_client_told(&g, "session", "192.0.2.7");
	scene_close(&g, &client);
}

/* A request of which the content is not complete, and nobody wants it. */
#define OWN(more) "POST /own HTTP/1.1\r\nHost: h\r\n" more "Content-Length: 10\r\n\r\n12345"

static void test_discarding(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED OWN(""));
	await_state(&g, CLIENT_DISCARDING);
	assert_client_told(&g, "discarding", "192.0.2.7");
	end_send(&client, "67890");
	await_state(&g, CLIENT_IDLE);
	scene_close(&g, &client);
}

static void test_lingering(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED OWN("Connection: close\r\n"));
	await_state(&g, CLIENT_LINGERING);
	assert_client_told(&g, "lingering", "192.0.2.7");
	scene_close(&g, &client);
}

/* It asks on and on, and reads nothing: what the kernel does not take of an answer stands in the connection. */
static void test_flushing(void **state)
{
	const int small = 4096;
	struct end client;
	struct gateway g;

	scene_open(&g, &client, NAMED);
	client.held = true;
	await_state(&g, CLIENT_IDLE);
	/* Little that waits to be read, or nothing gets through any more: many small packets take far more memory than their bytes. */
	assert_int_equal(setsockopt(client.source.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(setsockopt(the_client(&g)->h1.conn.source.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	while (the_client(&g)->state != CLIENT_FLUSHING) {
		end_send(&client, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
		run_pending();
	}
	assert_client_told(&g, "flushing", "192.0.2.7");
	scene_close(&g, &client);
}

/* A client that has come and says nothing. */
static void test_handshake(void **state)
{
	static const char file[] =
		"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80, tls: {certificates: [{cert: %s/a.pem, key: %s/a.key}]}}]\n"
		UPSTREAMS "routes: [{name: r, upstream: u}]\n";
	struct authority authority;
	struct end client;
	struct gateway g;
	char text[1024];

	authority_open(&authority, "an authority");
	authority_issue(&authority, "a", &(struct wish){.common_name = "a", .names = "DNS:a.test"});
	snprintf(text, sizeof(text), file, authority.directory, authority.directory);
	gateway_open(&g, text, no_filters);
	client_open(&client, &g, "");
	await_state(&g, CLIENT_HANDSHAKE);
	assert_client_told(&g, "handshake", "127.0.0.1");
	scene_close(&g, &client);
	authority_close(&authority);
}

/* It is told of once: its client waits for it. */
static void test_exchange(void **state)
{
	struct end client, origin;
	struct oldest stuck;
	struct gateway g;

	scene_open(&g, &client, NAMED GET);
	origin_take(&origin, &g);
	assert_int_equal(the_client(&g)->state, CLIENT_EXCHANGE);
	look_at(&g, the_client(&g)->exchange->timer, &stuck);
	assert_int_equal(stuck.stuck_count, 1);
	assert_string_equal(stuck.stuck[0].stage, "waiting");
	assert_string_equal(stuck.stuck[0].client, "192.0.2.7");
	assert_string_equal(stuck.stuck[0].path, "/");
	scene_close(&g, &client);
	end_close(&origin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_naming),
		LOOP_TEST(test_idle),
		LOOP_TEST(test_head),
		LOOP_TEST(test_session),
		LOOP_TEST(test_discarding),
		LOOP_TEST(test_lingering),
		LOOP_TEST(test_flushing),
		LOOP_TEST(test_handshake),
		LOOP_TEST(test_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
