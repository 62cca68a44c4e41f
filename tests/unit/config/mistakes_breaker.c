/* What is said of breakers and fallbacks that cannot be; and what one that is written becomes. */
#include "load.h"

#include "base/cause.h"

#define BREAKER(x) UPSTREAM("breaker: {" x "}")
#define FALLBACK(x) FORWARD("fallback: {" x "}")

static const struct mistake mistakes[] = {
	{BREAKER("failure_rate: 0%"),
		"f:3:89: upstreams[0].breaker.failure_rate: found \"0%\"; allowed: a share from 1% to 100%, in % (default 50%)\n"},
	{BREAKER("failure_rate: 101%"),
		"f:3:89: upstreams[0].breaker.failure_rate: found \"101%\"; allowed: a share from 1% to 100%, in % (default 50%)\n"},
	{BREAKER("failure_rate: 50"),
		"f:3:89: upstreams[0].breaker.failure_rate: found \"50\", which has no unit; allowed: a share from 1% to 100%, in % (default 50%)\n"},
	{BREAKER("failure_rate: half"),
		"f:3:89: upstreams[0].breaker.failure_rate: found \"half\"; allowed: a share from 1% to 100%, in % (default 50%)\n"},
	{BREAKER("slow_rate: 50%"),
		"f:3:86: upstreams[0].breaker.slow_rate: no call is slow without `slow_after`; write from when on one is, or take this out\n"},
	{BREAKER("open_for: 2m"),
		"f:3:85: upstreams[0].breaker.open_for: open_for is longer than open_max (1m), up to which it grows; lower the one, or raise the other\n"},
	{BREAKER("open_for: 20s, open_max: 10s"),
		"f:3:85: upstreams[0].breaker.open_for: open_for is longer than open_max (10s), up to which it grows; lower the one, or raise the other\n"},
	{BREAKER("open_max: 1s"),
		"f:3:85: upstreams[0].breaker.open_max: open_for is longer than open_max (1s), up to which it grows; lower the one, or raise the other\n"},
	{BREAKER("half_open_calls: 0"),
		"f:3:92: upstreams[0].breaker.half_open_calls: found \"0\"; allowed: a whole number from 1 to 1000 (default 5)\n"},
	{BREAKER("min_calls: 0"),
		"f:3:86: upstreams[0].breaker.min_calls: found \"0\"; allowed: a whole number from 1 to 1000000 (default 20)\n"},
	{BREAKER("window: 10ms"),
		"f:3:83: upstreams[0].breaker.window: found \"10ms\"; allowed: a duration from 100ms to 1h, in us, ms, s, m, h or d (default 10s)\n"},
	{BREAKER("failur_rate: 10%"),
		"f:3:75: upstreams[0].breaker.failur_rate: unknown key \"failur_rate\" (did you mean `failure_rate`?); allowed here: failure_rate, slow_rate, slow_after, window, min_calls, open_for, open_max, half_open_calls\n"},
	{UPSTREAM("breaker: yes"),
		"f:3:74: upstreams[0].breaker: found \"yes\"; allowed: `off`, `true`, or a mapping with these keys: failure_rate, slow_rate, slow_after, window, min_calls, open_for, open_max, half_open_calls\n"},
	{ROUTE("respond: {}, breaker: true"),
		"f:4:33: routes[0].breaker: it is for calls to an upstream, and this route has none; take it out\n"},
	{FORWARD("breaker: {slow_rate: 50%}"),
		"f:4:58: routes[0].breaker.slow_rate: no call is slow without `slow_after`; write from when on one is, or take this out\n"},
	{BREAKER("slow_after: 20s"),
		"f:3:87: upstreams[0].breaker.slow_after: longer than timeouts.first_byte (15s), which ends a call before it is slow; make it as short at most\n"},
	{UPSTREAM("timeouts: {request: 5s}, breaker: {slow_after: 6s}"),
		"f:3:112: upstreams[0].breaker.slow_after: longer than timeouts.request (5s), which ends a call before it is slow; make it as short at most\n"},
	{UPSTREAM("retry: {per_try_timeout: 2s}, breaker: {slow_after: 3s}"),
		"f:3:117: upstreams[0].breaker.slow_after: longer than retry.per_try_timeout (2s), which ends a call before it is slow; make it as short at most\n"},
	{FORWARD("breaker: {slow_after: 31s}"),
		"f:4:59: routes[0].breaker.slow_after: longer than its upstream's timeouts.request (30s), which ends a call before it is slow; make it as short at most\n"},
	{FALLBACK(""),
		"f:4:47: routes[0].fallback: found neither `respond` nor `upstream`; allowed: one of them\n"},
	{FALLBACK("respond: {}, upstream: users"),
		"f:4:47: routes[0].fallback: found both `respond` and `upstream`; allowed: one of them\n"
		"f:4:71: routes[0].fallback.upstream: this is the route's own upstream; write the name of another\n"},
	{FALLBACK("upstream: users"),
		"f:4:58: routes[0].fallback.upstream: this is the route's own upstream; write the name of another\n"},
	{FALLBACK("upstream: user"),
		"f:4:58: routes[0].fallback.upstream: no upstream is named \"user\" (did you mean `users`?); write the name of one under `upstreams`\n"},
	{FALLBACK("respond: {}, on: []"),
		"f:4:65: routes[0].fallback.on: found a list; allowed: a list of causes, such as [breaker_open]\n"},
	{FALLBACK("respond: {}, on: [bad_request]"),
		"f:4:66: routes[0].fallback.on[0]: found \"bad_request\"; allowed: breaker_open, no_healthy_endpoint, connect_refused, connect_timeout, tls_failed, concurrency_limited, pool_queue_full, pool_acquire_timeout, upstream_reset, upstream_bad_response, first_byte_timeout, upstream_idle_timeout\n"},
	{FALLBACK("respond: {}, on: [breaker_opn]"),
		"f:4:66: routes[0].fallback.on[0]: found \"breaker_opn\" (did you mean `breaker_open`?); allowed: breaker_open, no_healthy_endpoint, connect_refused, connect_timeout, tls_failed, concurrency_limited, pool_queue_full, pool_acquire_timeout, upstream_reset, upstream_bad_response, first_byte_timeout, upstream_idle_timeout\n"},
	{FALLBACK("respond: {status: 204, body: x}"),
		"f:4:77: routes[0].fallback.respond.body: an answer 204 has no body; take it out, or take another status\n"},
	{FALLBACK("respond: {status: 99}"),
		"f:4:66: routes[0].fallback.respond.status: found \"99\"; allowed: a whole number from 200 to 599 (default 200)\n"},
	{ROUTE("respond: {}, fallback: {respond: {}}"),
		"f:4:33: routes[0].fallback: it is for when the upstream does not answer, and this route has none; take it out\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

static void test_model(void **state)
{
	const struct config *c = load_good(BREAKER("failure_rate: 30%, slow_after: 1s, open_for: 1s"));
	const struct config_breaker *b = &c->upstreams[0].breaker;

	assert_true(b->enabled);
	assert_int_equal(b->failure_percent, 30);
	assert_int_equal(b->slow_percent, 100);
	assert_int_equal(b->slow_after_us, US_PER_S);
	assert_int_equal(b->open_us, US_PER_S);
	assert_int_equal(b->open_max_us, 60 * US_PER_S);
	assert_int_equal(b->half_open_calls, 5);
	config_free(c);

	/* As long as a call may last is not too long; and where it may last for ever nothing is. */
	config_free(load_good(BREAKER("slow_after: 15s")));
	config_free(load_good(VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}], timeouts: {request: 0}}]\n"
		"routes: [{name: r, upstream: users, breaker: {slow_after: 1h}}]\n"));

	c = load_good(FORWARD("breaker: true, fallback: {respond: {status: 404, body: x}}"));
	assert_true(c->routes[0].breaker.enabled && c->routes[0].fallback.enabled && c->routes[0].fallback.responds);
	assert_int_equal(c->routes[0].breaker.min_calls, 20);
	assert_int_equal(c->routes[0].fallback.respond.status, 404);
	assert_true(c->routes[0].fallback.causes >> CAUSE_BREAKER_OPEN & 1);
	assert_false(c->routes[0].fallback.causes >> CAUSE_UPSTREAM_RESET & 1);
	assert_false(c->upstreams[0].breaker.enabled);
	config_free(c);

	c = load_good(FALLBACK("respond: {}, on: [upstream_reset]"));
	assert_int_equal(c->routes[0].fallback.causes, 1ULL << CAUSE_UPSTREAM_RESET);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
