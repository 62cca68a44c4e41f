/*
 * Filters that ask who comes, access and api_key, through a worker: who is refused, in which order they are asked, and what goes on to
 * the upstream. What blocks mean is looked at in config/access.c.
 */
#include "../gateway/gateway.h"

#include "filters/filters.h"

#define KEY "4f0c1e9a7d5b42c8a1e6"
#define OTHER "91d3c7aa5f2e4b60b8d1"
#define API_KEY(more) "{api_key: {" more "keys: [{name: shop, key: " KEY "}, {name: partner, key: " OTHER "}]}}"
#define ROUTE(filters) LISTENERS UPSTREAMS "routes: [{name: r, upstream: u, filters: [" filters "]}]\n"
#define LAST_HOP(method) method " / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n"
#define HEAD "GET / HTTP/1.1\r\nHost: h\r\n"

struct refusal {
	const char *filters;
	const char *request;
	const char *answer;
};

static void test_refused(void **state)
{
	static const struct refusal refusals[] = {
		{"{access: {deny: [127.0.0.1]}}", GET, "\"forbidden\""},
		{"{access: {allow: [10.0.0.0/8, \"::1\"]}}", GET, "\"forbidden\""},
		/* Who is asked first refuses first. */
		{"{access: {deny: [127.0.0.1]}}, " API_KEY(""), GET, "\"forbidden\""},
		{API_KEY("") ", {access: {deny: [127.0.0.1]}}", GET, "\"unauthorized\""},
		{API_KEY("") ", {access: {deny: [127.0.0.1]}}", HEAD "X-Api-Key: " KEY "\r\n\r\n", "\"forbidden\""},
		/* Also where the answer would be the gateway's own. */
		{"{access: {deny: [127.0.0.1]}}", LAST_HOP("OPTIONS"), "\"forbidden\""},
		{"{access: {deny: [127.0.0.1]}}", LAST_HOP("TRACE"), "\"forbidden\""},
		{API_KEY(""), LAST_HOP("OPTIONS"), "there is no key"},
		{API_KEY(""), GET, "there is no key"},
		{API_KEY(""), HEAD "X-Api-Key: " KEY "\r\nx-api-key: " KEY "\r\n\r\n", "there are several keys"},
		{API_KEY(""), HEAD "X-Api-Key: " KEY "0\r\n\r\n", "the key is not known"},
		{API_KEY(""), HEAD "X-Api-Key:\r\n\r\n", "the key is not known"},
		{API_KEY(""), HEAD "Connection: X-Api-Key\r\nX-Api-Key: " KEY "\r\n\r\n", "there is no key"},
		{API_KEY("header: Authorization, "), HEAD "Authorization: " KEY "\r\n\r\n", "the key is not known"},
	};

	for (size_t i = 0; i < COUNT(refusals); i++) {
		struct end client;
		struct gateway g;
		char text[1024];

		snprintf(text, sizeof(text), ROUTE("%s"), refusals[i].filters);
		gateway_open(&g, text, filter_table);
		client_open(&client, &g, refusals[i].request);
		end_await(&client, refusals[i].answer);
		gateway_await_finished(&g, 1);
		assert_int_equal(end_has(&client, "WWW-Authenticate: "), g.cause == CAUSE_UNAUTHORIZED);
		assert_int_equal(g.cause == CAUSE_FORBIDDEN ? 403 : 401, g.status);
		end_close(&client);
		gateway_close(&g);
	}
}

struct passage {
	const char *filters;
	const char *request;
	const char *shown;      /* to the upstream; NULL: no key */
};

static void test_passes(void **state)
{
	static const struct passage passages[] = {
		{"{access: {allow: [127.0.0.0/8]}}", GET, NULL},
		{"{access: {deny: [10.0.0.0/8]}}, " API_KEY(""), HEAD "x-api-KEY: " OTHER "\r\n\r\n", NULL},
		{API_KEY("forward: true, "), HEAD "X-Api-Key: " KEY "\r\n\r\n", "X-Api-Key: " KEY "\r\n"},
		{API_KEY("header: authorization, "), HEAD "Authorization: Bearer " KEY "\r\n\r\n", NULL},
		{API_KEY("header: X-Token, "), HEAD "X-Token:  " KEY " \r\nX-Api-Key: mine\r\n\r\n", "X-Api-Key: mine\r\n"},
	};

	for (size_t i = 0; i < COUNT(passages); i++) {
		struct end client, origin;
		struct gateway g;
		char text[1024];

		snprintf(text, sizeof(text), ROUTE("%s"), passages[i].filters);
		gateway_open(&g, text, filter_table);
		client_open(&client, &g, passages[i].request);
		origin_take(&origin, &g);
		assert_int_equal(end_has(&origin, passages[i].shown != NULL ? passages[i].shown : KEY), passages[i].shown != NULL);
		assert_false(end_has(&origin, OTHER));
		end_send(&origin, OK);
		end_await(&client, "\r\n\r\nok");
		end_close(&client);
		end_close(&origin);
		gateway_close(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_refused),
		LOOP_TEST(test_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
