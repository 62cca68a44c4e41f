/*
 * Wrong rate limits: what has no sense, and what has no effect.
 */
#include "load.h"

#define LIMIT(x) FORWARD("filters: [{rate_limit: {" x "}}]")

/* One of the listeners does not give filters as long as they may take elsewhere. */
#define BRIEF(x) \
	VERSION "listeners: [{name: l, address: 127.0.0.1:80}, {name: m, address: 127.0.0.1:82, timeouts: {filters: 2s}}]\n" UPSTREAMS \
		"routes: [{name: r, upstream: users, filters: [{rate_limit: {algorithm: leaky_bucket, " x "}}]}]\n"

static const struct mistake mistakes[] = {
	{LIMIT("rate: 0/s"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"0/s\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: 1000001/s"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"1000001/s\"; allowed: requests in a "
		"time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in "
		"whole milliseconds\n"},
	{LIMIT("rate: 10"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"10\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: 10/"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"10/\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: 10/x"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"10/x\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: 1/99ms"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"1/99ms\"; allowed: requests in a "
		"time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in "
		"whole milliseconds\n"},
	{LIMIT("rate: 1/31d"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"1/31d\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: 1/100500us"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"1/100500us\"; allowed: requests in a "
		"time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in "
		"whole milliseconds\n"},
	{LIMIT("rate: 1.5/s"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"1.5/s\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: -1/s"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found \"-1/s\"; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("rate: [1/s]"),
		"f:4:67: routes[0].filters[0].rate_limit.rate: found a list; allowed: requests in a time, "
		"such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in whole "
		"milliseconds\n"},
	{LIMIT("burst: 5"),
		"f:4:60: routes[0].filters[0].rate_limit.rate: this key is missing; allowed: requests in a "
		"time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in "
		"whole milliseconds\n"},
	{LIMIT(""),
		"f:4:60: routes[0].filters[0].rate_limit.rate: this key is missing; allowed: requests in a "
		"time, such as 100/s, 10/m, 1000/h or 5/10s: from 1 to 1000000 of them in 100ms to 30d, in "
		"whole milliseconds\n"},
	{LIMIT("rate: 1/s, burst: 0"),
		"f:4:79: routes[0].filters[0].rate_limit.burst: found \"0\"; allowed: a whole number from 1 "
		"to 1000000\n"},
	{LIMIT("rate: 1/s, burst: 1000001"),
		"f:4:79: routes[0].filters[0].rate_limit.burst: found \"1000001\"; allowed: a whole number "
		"from 1 to 1000000\n"},
	{LIMIT("rate: 1/s, burst: many"),
		"f:4:79: routes[0].filters[0].rate_limit.burst: found \"many\"; allowed: a whole number from "
		"1 to 1000000\n"},
	{LIMIT("algorithm: sliding_window, rate: 1/s, burst: 5"),
		"f:4:99: routes[0].filters[0].rate_limit.burst: has an effect only with `algorithm: "
		"token_bucket` or `leaky_bucket`; take it out\n"},
	{LIMIT("rate: 1/s, max_delay: 1s"),
		"f:4:72: routes[0].filters[0].rate_limit.max_delay: has an effect only with `algorithm: "
		"leaky_bucket`; take it out\n"},
	{LIMIT("rate: 1/s, max_concurrent: 5"),
		"f:4:72: routes[0].filters[0].rate_limit.max_concurrent: has an effect only with `algorithm: "
		"concurrent`: here `rate` is the limit; take it out\n"},
	{LIMIT("algorithm: concurrent, rate: 1/s"),
		"f:4:60: routes[0].filters[0].rate_limit.max_concurrent: `algorithm: concurrent` needs it: "
		"how many at once\n"
		"f:4:84: routes[0].filters[0].rate_limit.rate: has an effect only with the other algorithms: "
		"here `max_concurrent` is the limit; take it out\n"},
	{LIMIT("algorithm: concurrent, max_concurrent: 0"),
		"f:4:100: routes[0].filters[0].rate_limit.max_concurrent: found \"0\"; allowed: a whole "
		"number from 1 to 1000000\n"},
	{LIMIT("algorithm: concurrent"),
		"f:4:60: routes[0].filters[0].rate_limit.max_concurrent: `algorithm: concurrent` needs it: "
		"how many at once\n"},
	{LIMIT("algorithm: leaky_buckets, rate: 1/s"),
		"f:4:72: routes[0].filters[0].rate_limit.algorithm: found \"leaky_buckets\" (did you mean "
		"`leaky_bucket`?); allowed: token_bucket, sliding_window, leaky_bucket, concurrent (default "
		"token_bucket)\n"},
	{LIMIT("algorithm: leaky_bucket, rate: 10/m"),
		"f:4:92: routes[0].filters[0].rate_limit.rate: requests are 6000ms apart, and with "
		"`max_delay` of 1s nobody could wait for the one before; make it longer, up to 20s, or use "
		"`algorithm: token_bucket`\n"},
	{LIMIT("algorithm: leaky_bucket, rate: 10/m, max_delay: 5s"),
		"f:4:109: routes[0].filters[0].rate_limit.max_delay: requests are 6000ms apart, and with "
		"`max_delay` of 5s nobody could wait for the one before; make it longer, up to 20s, or use "
		"`algorithm: token_bucket`\n"},
	{LIMIT("algorithm: leaky_bucket, rate: 1/s, burst: 21"),
		"f:4:104: routes[0].filters[0].rate_limit.burst: the last of 21 would wait 21000ms, and "
		"nobody may wait longer than 20s; lower it, or say `max_delay`\n"},
	{LIMIT("algorithm: leaky_bucket, rate: 1/s, max_delay: 21s"),
		"f:4:108: routes[0].filters[0].rate_limit.max_delay: found \"21s\"; allowed: a duration from "
		"1ms to 20s, in us, ms, s, m, h or d (default 1s)\n"},
	{LIMIT("rate: 1/s, key: ip"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"ip\"; allowed: client_ip, consumer, route, "
		"header:NAME or cookie:NAME\n"},
	{LIMIT("rate: 1/s, key: client_up"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"client_up\" (did you mean "
		"`client_ip`?); allowed: client_ip, consumer, route, header:NAME or cookie:NAME\n"},
	{LIMIT("rate: 1/s, key: header"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"header\"; allowed: client_ip, consumer, route, "
		"header:NAME or cookie:NAME\n"},
	{LIMIT("rate: 1/s, key: \"header:\""),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"header:\"; allowed: client_ip, consumer, route, "
		"header:NAME or cookie:NAME\n"},
	{LIMIT("rate: 1/s, key: \"cookie:a b\""),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"cookie:a b\"; allowed: client_ip, "
		"consumer, route, header:NAME or cookie:NAME\n"},
	{LIMIT("rate: 1/s, key: {header: x}"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found a mapping; allowed: one of client_ip, "
		"consumer, route, header:NAME or cookie:NAME, or a list of them\n"},
	{LIMIT("rate: 1/s, key: []"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found a list of 0; allowed: one of client_ip, "
		"consumer, route, header:NAME or cookie:NAME, or a list of 1 to 8 of them\n"},
	{LIMIT("rate: 1/s, key: [route, client_ip, route]"),
		"f:4:96: routes[0].filters[0].rate_limit.key[2]: the key \"route\" is used already at line "
		"4; each must be different\n"},
	{LIMIT("rate: 1/s, key: \"header:X-Forwarded-For\""),
		"f:4:77: routes[0].filters[0].rate_limit.key: found \"header:X-Forwarded-For\"; who the "
		"client is says client_ip, after trusted_proxies; write that\n"},
	{LIMIT("rate: 1/s, key: [\"header:a\", \"header:b\", \"header:c\", \"header:d\", \"header:e\", \"header:f\", \"header:g\", \"header:h\", \"header:i\"]"),
		"f:4:77: routes[0].filters[0].rate_limit.key: found a list of 9; allowed: one of client_ip, "
		"consumer, route, header:NAME or cookie:NAME, or a list of 1 to 8 of them\n"},
	{LIMIT("rate: 1/s, missing: allow"),
		"f:4:72: routes[0].filters[0].rate_limit.missing: has an effect only with a header or a "
		"cookie in `key`; take it out\n"},
	{LIMIT("rate: 1/s, key: route, ipv6_prefix: 48"),
		"f:4:84: routes[0].filters[0].rate_limit.ipv6_prefix: has an effect only with `client_ip` in "
		"`key`; take it out\n"},
	{LIMIT("rate: 1/s, key: route, keys: 5"),
		"f:4:84: routes[0].filters[0].rate_limit.keys: has an effect only with something beside "
		"`route` in `key`; take it out\n"},
	{LIMIT("rate: 1/s, ipv4_prefix: 33"),
		"f:4:85: routes[0].filters[0].rate_limit.ipv4_prefix: found \"33\"; allowed: a whole number "
		"from 1 to 32 (default 32)\n"},
	{LIMIT("rate: 1/s, ipv6_prefix: 0"),
		"f:4:85: routes[0].filters[0].rate_limit.ipv6_prefix: found \"0\"; allowed: a whole number "
		"from 1 to 128 (default 64)\n"},
	{LIMIT("rate: 1/s, missing: skip"),
		"f:4:72: routes[0].filters[0].rate_limit.missing: has an effect only with a header or a "
		"cookie in `key`; take it out\n"
		"f:4:81: routes[0].filters[0].rate_limit.missing: found \"skip\"; allowed: limit, allow "
		"(default limit)\n"},
	{LIMIT("rate: 1/s, keys: 10000001"),
		"f:4:78: routes[0].filters[0].rate_limit.keys: found \"10000001\"; allowed: a whole number "
		"from 1 to 10000000 (default 100000)\n"},
	{LIMIT("rate: 1/s, headers: all"),
		"f:4:81: routes[0].filters[0].rate_limit.headers: found \"all\"; allowed: both, draft, x, "
		"off (default both)\n"},
	{LIMIT("rate: 1/s, name: \"a b\""),
		"f:4:78: routes[0].filters[0].rate_limit.name: found \"a b\"; allowed: 1 to 64 letters, "
		"digits, '_', '-' or '.'\n"},
	/* several */
	{FORWARD("filters: [{rate_limit: {rate: 1/s, name: a}}, {rate_limit: {rate: 2/s, name: a}}]"),
		"f:4:83: routes[0].filters[1]: the name of a rate limit \"a\" is used already at line 4; "
		"each must be different\n"},
	{FORWARD("filters: [{rate_limit: {rate: 1/s}}, {rate_limit: {rate: 2/s, name: r}}]"),
		"f:4:74: routes[0].filters[1]: the name of a rate limit \"r\" is used already at line 4; "
		"each must be different\n"},
	{BRIEF("rate: 1/s, max_delay: 2s"),
		"f:4:47: routes[0].filters[0]: a request may wait 2s here, and `timeouts.filters` of the listener \"m\" is 2s; let it wait "
		"for less (`max_delay`), or raise that\n"},
	{BRIEF("rate: 1/s, burst: 3"),
		"f:4:47: routes[0].filters[0]: a request may wait 3s here, and `timeouts.filters` of the listener \"m\" is 2s; let it wait "
		"for less (`max_delay`), or raise that\n"},
	{FORWARD("filters: [{rate_limit: {algorithm: leaky_bucket, rate: 1/s, max_delay: 13s}}, {rate_limit: {algorithm: leaky_bucket, rate: 1/s, max_delay: 13s}}]"),
		"f:4:46: routes[0].filters: a request may wait 26000ms in these, one after the other; "
		"allowed: 25s in all filters of a route\n"},
	{FORWARD("filters: [{rate_limit: }]"),
		"f:4:60: routes[0].filters[0].rate_limit: found nothing; allowed: a mapping with these keys: "
		"algorithm, rate, burst, max_delay, max_concurrent, key, ipv4_prefix, ipv6_prefix, missing, "
		"keys, headers, name\n"},
	{FORWARD("filters: [{rate_limits: {rate: 1/s}}]"),
		"f:4:48: routes[0].filters[0].rate_limits: unknown key \"rate_limits\" (did you mean "
		"`rate_limit`?); allowed here: headers, rate_limit, access, api_key\n"},
};

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

static void test_good(void **state)
{
	config_free(load_good(BRIEF("rate: 1/s, max_delay: 1999ms")));
	config_free(load_good(BRIEF("rate: 1/s, max_delay: 1s, burst: 3")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes), cmocka_unit_test(test_good)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
