/* How balancing is configured: what is kept of it, and what is refused, and where. */
#include "load.h"

#define BALANCE(x) UPSTREAM("balance: {" x "}")
#define ENDPOINT(x) VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81, " x "}]}]\n" ROUTES
#define LABELS_ALLOWED "allowed: a mapping of 1 to 8 labels, such as {version: v2}\n"
#define HASH_ALLOWED "allowed: client_ip, path, header:NAME, cookie:NAME or query:NAME\n"

static void test_defaults(void **state)
{
	const struct config *config = load_good(VERSION LISTENERS UPSTREAMS ROUTES);
	const struct config_balance *b = &config->upstreams[0].balance;

	assert_int_equal(b->policy, BALANCE_LEAST_REQUEST);
	assert_int_equal(b->hash_on, HASH_ON_NOTHING);
	assert_int_equal(b->hash_load, 125);
	assert_int_equal(b->ewma_decay_us, 10 * US_PER_S);
	assert_int_equal(b->slow_start_us, 0);
	assert_true(b->zone_preference);
	assert_int_equal(b->zone_min_share, 70);
	assert_false(b->sticky.enabled);
	assert_false(config->upstreams[0].endpoints[0].backup);
	assert_int_equal(config->upstreams[0].endpoints[0].labels.count, 0);
	assert_false(config->routes[0].has_balance_key);
	assert_int_equal(config->zone.n, 0);
	config_free(config);
}

static void test_slow_start(void **state)
{
	const struct config *config = load_good(BALANCE("policy: random_two, slow_start: 30s"));

	assert_int_equal(config->upstreams[0].balance.slow_start_us, 30 * US_PER_S);
	config_free(config);
	config_free(load_good(BALANCE("policy: consistent_hash, hash_on: path, slow_start: 0")));
}

static void test_hash(void **state)
{
	static const struct {
		const char *yaml;
		enum config_hash_on what;
		const char *name;
	} cases[] = {{"client_ip", HASH_ON_CLIENT_IP, ""}, {"path", HASH_ON_PATH, ""},
		{"'header:X-User'", HASH_ON_HEADER, "X-User"}, {"'cookie:id'", HASH_ON_COOKIE, "id"},
		{"'query:user[id]'", HASH_ON_QUERY, "user[id]"}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char yaml[512];

		snprintf(yaml, sizeof(yaml), BALANCE("policy: consistent_hash, hash_load: 150%%, hash_on: %s"),
			cases[i].yaml);
		const struct config *config = load_good(yaml);
		const struct config_balance *b = &config->upstreams[0].balance;

		assert_int_equal(b->hash_on, cases[i].what);
		assert_view(b->hash_name, cases[i].name);
		assert_int_equal(b->hash_load, 150);
		assert_true(config->routes[0].has_balance_key);
		config_free(config);
	}
	const struct config *config = load_good(BALANCE("policy: consistent_hash, hash_on: path, hash_load: 0"));

	assert_int_equal(config->upstreams[0].balance.hash_load, 0);
	config_free(config);
}

static void test_sticky(void **state)
{
	const struct config *config =
		load_good(BALANCE("sticky: {cookie: route, path: /app, max_age: 1h, same_site: strict}"));
	const struct config_sticky *s = &config->upstreams[0].balance.sticky;

	assert_true(s->enabled && config->routes[0].has_balance_key);
	assert_view(s->before, "Set-Cookie: route=");
	assert_view(s->after, "; Path=/app; Max-Age=3600; HttpOnly; SameSite=Strict");
	config_free(config);
	config = load_good(BALANCE("sticky: {cookie: route}"));
	assert_view(config->upstreams[0].balance.sticky.after, "; Path=/; HttpOnly; SameSite=Lax");
	config_free(config);
}

/* Labels are found whatever their order, and only all of them together. */
static void test_labels(void **state)
{
	const struct config *config = load_good(
		"zone: east\n" VERSION LISTENERS
		"upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81, labels: {a: x, b: y, c: z}, zone: east}, "
		"{address: 127.0.0.1:82, labels: {c: z, b: q}, backup: true, weight: 0}]}]\n"
		"routes: [{name: r, upstream: users, subset: {c: z, a: x}}, "
		"{name: s, upstream: users, match: {path: /s}, subset: {c: z}}]\n");
	const struct config_upstream *u = &config->upstreams[0];
	const struct config_labels *both = &config->routes[0].subset, *one = &config->routes[1].subset;

	assert_true(config_labels_include(&u->endpoints[0].labels, both));
	assert_false(config_labels_include(&u->endpoints[1].labels, both));
	assert_true(config_labels_include(&u->endpoints[0].labels, one));
	assert_true(config_labels_include(&u->endpoints[1].labels, one));
	assert_true(config->routes[0].has_balance_key);
	assert_view(config->zone, "east");
	assert_view(u->endpoints[0].zone, "east");
	assert_true(u->endpoints[1].backup);
	assert_int_equal(u->endpoints[1].weight, 0);
	config_free(config);
}

static void test_mistakes(void **state)
{
	static const struct mistake mistakes[] = {
		{ENDPOINT("weight: 0"),
			"f:3:38: upstreams[0].endpoints: every endpoint has the weight 0, so nobody takes a request; give one of "
			"them more\n"},
		{ENDPOINT("backup: yes"),
			"f:3:71: upstreams[0].endpoints[0].backup: found \"yes\"; allowed: false, true (default false)\n"},
		{ENDPOINT("zone: \"a b\""),
			"f:3:69: upstreams[0].endpoints[0].zone: found \"a b\"; allowed: 1 to 64 letters, digits, '_', '-' or "
			"'.'\n"},
		{ENDPOINT("labels: v2"), "f:3:71: upstreams[0].endpoints[0].labels: found \"v2\"; " LABELS_ALLOWED},
		{ENDPOINT("labels: {}"), "f:3:71: upstreams[0].endpoints[0].labels: found a mapping; " LABELS_ALLOWED},
		{ENDPOINT("labels: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1}"),
			"f:3:71: upstreams[0].endpoints[0].labels: found 9 labels; " LABELS_ALLOWED},
		{ENDPOINT("labels: {\"a b\": 1}"),
			"f:3:72: upstreams[0].endpoints[0].labels.a b: found \"a b\"; allowed: a label's name, 1 to 64 letters, "
			"digits, '_', '-' or '.'\n"},
		{ENDPOINT("labels: {version: [v1]}"),
			"f:3:81: upstreams[0].endpoints[0].labels.version: found a list; allowed: 1 to 64 letters, digits, '_', "
			"'-' or '.'\n"},
		{BALANCE("policy: consistent_hash"),
			"f:3:83: upstreams[0].balance.policy: there is nothing to hash; write `hash_on: client_ip`, or path, "
			"header:NAME, cookie:NAME, query:NAME\n"},
		{BALANCE("policy: consistent_hash, hash_on: user"),
			"f:3:109: upstreams[0].balance.hash_on: found \"user\"; " HASH_ALLOWED},
		{BALANCE("policy: consistent_hash, hash_on: \"header:a b\""),
			"f:3:109: upstreams[0].balance.hash_on: found \"header:a b\"; " HASH_ALLOWED},
		{BALANCE("policy: consistent_hash, hash_on: \"query:\""),
			"f:3:109: upstreams[0].balance.hash_on: found \"query:\"; " HASH_ALLOWED},
		{BALANCE("hash_on: path"),
			"f:3:75: upstreams[0].balance.hash_on: only `policy: consistent_hash` has a use for it; write that, or "
			"take this out\n"},
		{BALANCE("hash_load: 200%"),
			"f:3:75: upstreams[0].balance.hash_load: only `policy: consistent_hash` has a use for it; write that, or "
			"take this out\n"},
		{BALANCE("policy: consistent_hash, hash_on: path, hash_load: 100%"),
			"f:3:126: upstreams[0].balance.hash_load: found \"100%\"; allowed: a share from 101% to 1000%, in %, or 0 "
			"for any load (default 125%)\n"},
		{BALANCE("ewma_decay: 5s"),
			"f:3:75: upstreams[0].balance.ewma_decay: only `policy: peak_ewma` has a use for it; write that, or take "
			"this out\n"},
		{BALANCE("policy: consistent_hash, hash_on: path, slow_start: 5s"),
			"f:3:115: upstreams[0].balance.slow_start: `policy: consistent_hash` has no use for it, since it would move "
			"keys all the time; take this out\n"},
		{BALANCE("zone_min_share: 0%"),
			"f:3:91: upstreams[0].balance.zone_min_share: found \"0%\"; allowed: a share from 1% to 100%, in % (default "
			"70%)\n"},
		{BALANCE("zone_min_share: 70"),
			"f:3:91: upstreams[0].balance.zone_min_share: found \"70\", which has no unit; allowed: a share from 1% to "
			"100%, in % (default 70%)\n"},
		{BALANCE("sticky: {path: /}"),
			"f:3:83: upstreams[0].balance.sticky.cookie: this key is missing; such as `cookie: weir_endpoint`\n"},
		{BALANCE("sticky: {cookie: \"a;b\"}"),
			"f:3:92: upstreams[0].balance.sticky.cookie: found \"a;b\"; allowed: a name for the cookie, 1 to 64 of "
			"letters, digits and !#$%&'*+-.^_`|~\n"},
		{BALANCE("sticky: {cookie: a, path: \"/;b\"}"),
			"f:3:101: upstreams[0].balance.sticky.path: found \"/;b\"; allowed: a path such as / or /app, at most 256 "
			"visible characters without ';'\n"},
		{BALANCE("sticky: {cookie: a, same_site: none, secure: false}"),
			"f:3:106: upstreams[0].balance.sticky.same_site: browsers take `same_site: none` only with `secure`; write "
			"`secure: true`, or lax\n"},
		{FORWARD("subset: {version: v2}"),
			"f:4:45: routes[0].subset: no endpoint of the upstream has all of these labels; write them under its "
			"`endpoints`, or take this out\n"},
		{VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82, weight: 0, "
			"labels: {version: v2}}]}]\nroutes: [{name: r, upstream: users, subset: {version: v2}}]\n",
			"f:4:45: routes[0].subset: every endpoint that has these labels has the weight 0, so nobody takes a request; "
			"give one of them more, or take this out\n"},
		{ROUTE("respond: {}, subset: {version: v2}"),
			"f:4:33: routes[0].subset: a subset is one of an upstream's endpoints, and this route has none; take it "
			"out\n"},
		{ROOT("zone: [a]"), "f:5:7: zone: found a list; allowed: 1 to 64 letters, digits, '_', '-' or '.'\n"},
	};

	mistakes_check(mistakes, COUNT(mistakes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_sticky),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
