/*
 * Strict-Transport-Security, as the listener has it: once on every answer, whoever gives it. The listener's TLS does not matter
 * here: the configuration asks for it.
 */
#include "gateway.h"

#include "gateway/exchange.h"

#define HSTS "Strict-Transport-Security: max-age=60\r\n"
#define FILE_WITH_ROUTES \
	"version: 1\nlisteners: [{name: l, address: 127.0.0.1:80}]\n" UPSTREAMS \
	"routes: [{name: r, match: {path: /proxied}, upstream: u}, {name: own, match: {path: /own}, respond: {body: own}}]\n"

static const struct filter_ops *const no_filters[1];

static void scene_open(struct gateway *g)
{
	gateway_open(g, FILE_WITH_ROUTES, no_filters);
	g->config->listeners[0].hsts.enabled = true;
	g->config->listeners[0].hsts.line = VIEW(HSTS);
}

static void assert_once(const struct end *client)
{
	struct view got = buf_view(&client->got);
	char *text = strndup(got.p, got.n), *first = strcasestr(text, "\nstrict-transport");

	assert_true(end_has(client, HSTS));
	assert_null(strcasestr(first + 1, "\nstrict-transport"));
	free(text);
}

static void test_own_answers(void **state)
{
	struct end client;
	struct gateway g;

	scene_open(&g);
	client_open(&client, &g, "GET /own HTTP/1.1\r\nHost: h\r\n\r\n");
	end_await(&client, "\r\n\r\nown");
	assert_once(&client);
	end_close(&client);
	client_open(&client, &g, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
	end_await(&client, "no_route");
	assert_once(&client);
	end_close(&client);
	gateway_close(&g);
}

/* What the service says of it does not count. */
static void test_forwarded_answers(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	client_open(&client, &g, "GET /proxied HTTP/1.1\r\nHost: h\r\n\r\n");
	origin_take(&origin, &g);
	end_send(&origin, "HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 2\r\n"
			  "Strict-Transport-Security: max-age=2\r\n\r\nok");
	end_await(&client, "\r\n\r\nok");
	assert_once(&client);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* Nor what it says where the listener says nothing: before the answer and behind it. */
static void test_beside_the_answer(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	client_open(&client, &g, "GET /proxied HTTP/1.1\r\nHost: h\r\n\r\n");
	origin_take(&origin, &g);
	end_send(&origin, "HTTP/1.1 103 Early Hints\r\nstrict-transport-security: max-age=1\r\nA: early\r\n\r\n"
			  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
			  "strict-transport-security: max-age=1\r\nA: late\r\n\r\n");
	end_await(&client, "A: late\r\n\r\n");
	assert_true(end_has(&client, "A: early\r\n"));
	assert_once(&client);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

/* A head of 101 is the final one. */
static void test_upgrade(void **state)
{
	struct end client, origin;
	struct gateway g;

	scene_open(&g);
	client_open(&client, &g, "GET /proxied HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
	origin_take(&origin, &g);
	end_send(&origin, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
			  "strict-transport-security: max-age=1\r\n\r\nhello");
	end_await(&client, "\r\n\r\nhello");
	assert_once(&client);
	end_close(&client);
	end_close(&origin);
	gateway_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_own_answers),
		LOOP_TEST(test_forwarded_answers),
		LOOP_TEST(test_beside_the_answer),
		LOOP_TEST(test_upgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
