/*
 * Right files: every field of examples/full.yaml, every default, and spellings that mean the same.
 */
#include "load.h"

#include <arpa/inet.h>

#include "base/units.h"
#include "http/grpc.h"
#include "http/message.h"

static void assert_address(const struct address *address, struct view written, const char *expected)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(address, text);
	assert_string_equal(text, expected);
	assert_int_not_equal(written.n, 0);
}

static void assert_field(const struct config_field *field, const char *name, const char *value)
{
	assert_view(field->name, name);
	assert_view(field->value, value);
}

/* `v4` and `prefix` as they were written. */
static void assert_cidr_v4(const struct config_cidr *cidr, const char *v4, unsigned prefix)
{
	uint8_t expected[16] = {[10] = 0xff, [11] = 0xff};

	inet_pton(AF_INET, v4, expected + 12);
	assert_memory_equal(cidr->address, expected, 16);
	assert_int_equal(cidr->prefix, 96 + prefix);
}

/* --- every key of the full example ------------------------------------------------------------------------------ */

static const struct config *full;

static int full_load(void **state)
{
	struct config_complaints complaints;
	enum config_status status = config_load(EXAMPLES "/full.yaml", &full, &complaints);

	config_complaints_print(&complaints, EXAMPLES "/full.yaml", stderr);
	config_complaints_release(&complaints);
	return status == CONFIG_OK ? 0 : -1;
}

static int full_free(void **state)
{
	config_free(full);
	return 0;
}

static void test_full_root(void **state)
{
	assert_view(full->file, EXAMPLES "/full.yaml");
	assert_int_equal(full->workers, 2);
	assert_int_equal(full->listener_count, 2);
	assert_int_equal(full->upstream_count, 2);
	assert_int_equal(full->route_count, 4);
	assert_true(full->admin.enabled);
	assert_view(full->admin.address_text, "127.0.0.1:9180");
	assert_address(&full->admin.address, full->admin.address_text, "127.0.0.1:9180");
	assert_true(full->log.access);
	assert_int_equal(full->log.access_format, LOG_TEXT);
	assert_string_equal(full->log.access_path, "/var/log/weir/access.log");
	assert_int_equal(full->log.level, LEVEL_WARNING);
	assert_int_equal(full->drain_timeout_us, 20 * US_PER_S);
}

static void test_full_listeners(void **state)
{
	const struct config_listener *l = &full->listeners[0];
	static const uint8_t fd00[16] = {0xfd};

	assert_view(l->name, "public");
	assert_view(l->address_text, "127.0.0.1:8080");
	assert_address(&l->address, l->address_text, "127.0.0.1:8080");
	assert_int_equal(l->trusted_proxy_count, 3);
	assert_cidr_v4(&l->trusted_proxies[0], "127.0.0.1", 32);
	assert_cidr_v4(&l->trusted_proxies[1], "10.0.0.0", 8);
	assert_memory_equal(l->trusted_proxies[2].address, fd00, 16);
	assert_int_equal(l->trusted_proxies[2].prefix, 8);
	assert_int_equal(l->half_close, HALF_CLOSE_SERVE);
	assert_int_equal(l->limits.connections, 2000);
	assert_int_equal(l->limits.header_bytes, 16 * KIB);
	assert_int_equal(l->limits.header_count, 64);
	assert_int_equal(l->limits.target_bytes, 4 * KIB);
	assert_int_equal(l->limits.streams, 50);
	assert_int_equal(l->limits.body_bytes, 100 * MIB);
	assert_int_equal(l->timeouts.header_us, 5 * US_PER_S);
	assert_int_equal(l->timeouts.body_idle_us, 20 * US_PER_S);
	assert_int_equal(l->timeouts.keep_alive_us, 60 * US_PER_S);
	assert_int_equal(l->timeouts.write_idle_us, 15 * US_PER_S);
	assert_int_equal(l->proxy_protocol, PROXY_PROTOCOL_ANY);
	assert_false(l->https_redirect.enabled);
	assert_false(l->hsts.enabled);
	l = &full->listeners[1];
	assert_address(&l->address, l->address_text, "unix:/tmp/weir-example.sock");
	assert_int_equal(l->proxy_protocol, PROXY_PROTOCOL_OFF);
	assert_true(l->https_redirect.enabled);
	assert_int_equal(l->https_redirect.port, 8443);
	assert_int_equal(l->https_redirect.status, 301);
}

static void test_full_upstreams(void **state)
{
	const struct config_upstream *u = &full->upstreams[0];

	assert_view(u->name, "users");
	assert_int_equal(u->index, 0);
	assert_int_equal(full->upstreams[1].index, 1);
	assert_int_equal(u->endpoint_count, 3);
	assert_address(&u->endpoints[0].address, u->endpoints[0].address_text, "127.0.0.1:9001");
	assert_int_equal(u->endpoints[0].weight, 3);
	assert_address(&u->endpoints[1].address, u->endpoints[1].address_text, "[::1]:9001");
	assert_view(u->endpoints[0].zone, "east");
	assert_int_equal(u->endpoints[0].labels.count, 2);
	assert_int_equal(u->endpoints[1].weight, 0);
	assert_true(u->endpoints[2].backup);
	assert_view(u->endpoints[1].host, "");
	assert_view(u->endpoints[2].address_text, "users.internal:9001");
	assert_view(u->endpoints[2].host, "users.internal");
	assert_int_equal(u->endpoints[2].port, 9001);
	assert_int_equal(u->balance.policy, BALANCE_CONSISTENT_HASH);
	assert_int_equal(u->balance.hash_on, HASH_ON_HEADER);
	assert_int_equal(u->balance.hash_load, 150);
	assert_int_equal(u->balance.zone_min_share, 50);
	assert_view(u->balance.sticky.cookie, "weir_users");
	assert_int_equal(u->concurrency, 40);
	assert_int_equal(u->pool.max_connections, 50);
	assert_int_equal(u->pool.max_pending, 200);
	assert_int_equal(u->pool.acquire_timeout_us, 500 * US_PER_MS);
	assert_false(u->pool.lifo);
	assert_int_equal(u->pool.idle_timeout_us, 20 * US_PER_S);
	assert_int_equal(u->pool.max_lifetime_us, 600 * US_PER_S);
	assert_int_equal(u->pool.max_uses, 10000);
	assert_int_equal(u->pool.max_connecting, 8);
	assert_int_equal(u->pool.on_acquire_timeout, ON_ACQUIRE_TIMEOUT_NEW);
	assert_int_equal(u->pool.max_overflow, 10);
	assert_int_equal(u->pool.min_idle, 2);
	assert_int_equal(u->pool.leak_after_us, 120 * US_PER_S);
	assert_int_equal(u->pool.reclaim_after_us, 600 * US_PER_S);
	assert_true(u->pool.queue.enabled);
	assert_int_equal(u->pool.queue.target_us, 10 * US_PER_MS);
	assert_int_equal(u->pool.queue.interval_us, 200 * US_PER_MS);
	assert_int_equal(u->pool.max_streams, 20);
	assert_int_equal(u->retry.attempts, 2);
	assert_int_equal(u->retry.grpc_on, 1u << GRPC_UNAVAILABLE | 1u << GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(u->retry.on, 1u << CONFIG_RETRY_CONNECT_FAILED | 1u << CONFIG_RETRY_STALE_CONNECTION |
					      1u << CONFIG_RETRY_RESET | 1u << CONFIG_RETRY_STATUS_503);
	assert_int_equal(u->retry.budget_percent, 10);
	assert_int_equal(u->retry.min_per_s, 5);
	assert_int_equal(u->retry.per_try_us, 2 * US_PER_S);
	assert_int_equal(u->retry.backoff_base_us, 10 * US_PER_MS);
	assert_int_equal(u->retry.backoff_max_us, 500 * US_PER_MS);
	assert_int_equal(u->protocol, CONFIG_PROTOCOL_H2);
	assert_int_equal(u->timeouts.connect_us, 250 * US_PER_MS);
	/* What a try may take is less. */
	assert_int_equal(u->timeouts.first_byte_us, 2 * US_PER_S);
	assert_int_equal(u->timeouts.idle_us, 10 * US_PER_S);
	assert_int_equal(u->timeouts.request_us, 20 * US_PER_S);
	assert_int_equal(u->limits.header_bytes, 32 * KIB);
	assert_int_equal(u->limits.header_count, 50);
	assert_int_equal(full->upstreams[1].timeouts.request_us, 0);
	assert_int_equal(u->proxy_protocol, PROXY_PROTOCOL_OFF);
	assert_int_equal(full->upstreams[1].proxy_protocol, PROXY_PROTOCOL_V2);
}

static void test_full_resolver(void **state)
{
	assert_int_equal(full->host_count, 1);
	assert_view(full->hosts[0], "users.internal");
	assert_int_equal(full->resolver.server_count, 2);
	assert_address(&full->resolver.servers[0], VIEW("127.0.0.1:5353"), "127.0.0.1:5353");
	assert_address(&full->resolver.servers[1], VIEW("[::1]:53"), "[::1]:53");
	assert_int_equal(full->resolver.timeout_us, US_PER_S);
	assert_int_equal(full->resolver.attempts, 2);
}

static void test_full_route_to_upstream(void **state)
{
	const struct config_route *r = &full->routes[0];

	assert_view(r->name, "users");
	assert_int_equal(r->index, 0);
	assert_int_equal(r->host_match, HOST_EXACT);
	assert_view(r->host, "api.example.com");
	assert_int_equal(r->path_match, PATH_PREFIX);
	assert_view(r->path, "/v1/users");
	assert_int_equal(r->methods, 1u << METHOD_GET | 1u << METHOD_POST | 1u << METHOD_OTHER);
	assert_int_equal(r->other_method_count, 1);
	assert_view(r->other_methods[0], "PURGE");
	assert_true(r->rewrite.path_set);
	assert_true(r->rewrite.path_keeps_rest);
	assert_view(r->rewrite.path, "/users");
	assert_view(r->rewrite.host, "users.internal:9001");
	assert_int_equal(r->action, ACTION_UPSTREAM);
	assert_ptr_equal(r->upstream, &full->upstreams[0]);
	assert_true(r->grpc_web);
	assert_false(full->routes[3].grpc_web);
	assert_int_equal(r->priority, 0);
	assert_view(r->priority_header, "Priority");
	assert_int_equal(full->routes[3].priority, 1);
	assert_int_equal(full->routes[3].priority_header.n, 0);
}

/* Those that ask who comes stand before the others. */
enum { FULL_GUARDS = 2 };

static void test_full_guards(void **state)
{
	const struct config_filter *f = full->routes[0].filters;
	const struct config_access *access = &f[0].u.access;

	assert_int_equal(full->routes[0].filter_count, FULL_GUARDS + 4);
	assert_int_equal(f[0].kind, CONFIG_FILTER_ACCESS);
	assert_int_equal(access->allow_count, 2);
	assert_int_equal(access->deny_count, 1);
	assert_cidr_v4(&access->deny[0], "10.66.0.0", 16);
	/* Before, in it, in what is denied, in it again, behind. */
	assert_int_equal(access->ranges[true].count, 5);
	assert_int_equal(access->ranges[false].count, 3);
	assert_int_equal(f[1].kind, CONFIG_FILTER_API_KEY);
	assert_view(f[1].u.api_key.header, "X-Api-Key");
	assert_false(f[1].u.api_key.is_bearer);
	assert_false(f[1].u.api_key.forward);
	assert_int_equal(f[1].u.api_key.consumer_count, 2);
	assert_view(f[1].u.api_key.consumers[1].name, "partner");
	assert_view(f[1].u.api_key.consumers[1].key, "not-so-secret-either");
	assert_view(f[1].u.api_key.challenge, "WWW-Authenticate: ApiKey realm=\"weir\", header=\"X-Api-Key\"\r\n");
}

static void test_full_filters(void **state)
{
	const struct config_filter *f = full->routes[0].filters + FULL_GUARDS;

	assert_int_equal(f->kind, CONFIG_FILTER_HEADERS);
	assert_int_equal(f->u.headers.request.remove_count, 1);
	assert_view(f->u.headers.request.remove[0], "Cookie");
	assert_int_equal(f->u.headers.request.set_count, 1);
	assert_field(&f->u.headers.request.set[0], "X-Gateway", "weir");
	assert_int_equal(f->u.headers.request.add_count, 2);
	assert_field(&f->u.headers.request.add[0], "X-Seen-By", "weir, example");
	assert_field(&f->u.headers.request.add[1], "X-Empty", "");
	assert_view(f->u.headers.response.remove[0], "Server");
	assert_field(&f->u.headers.response.set[0], "Strict-Transport-Security", "max-age=63072000");
	assert_field(&f->u.headers.response.add[0], "Vary", "Origin");
}

static void test_full_rate_limits(void **state)
{
	const struct config_filter *f = full->routes[0].filters + FULL_GUARDS;
	const struct config_rate_limit *tokens = &f[1].u.rate_limit, *leaky = &f[2].u.rate_limit, *running = &f[3].u.rate_limit;

	assert_int_equal(full->rate_limit_count, 3);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(f[i].kind, CONFIG_FILTER_RATE_LIMIT);
		assert_int_equal(f[i].u.rate_limit.index, i - 1);
		assert_int_equal(f[i].u.rate_limit.position, i - 1);
	}
	assert_int_equal(tokens->rule.kind, LIMIT_TOKEN_BUCKET);
	assert_int_equal(tokens->rule.count, 100);
	assert_int_equal(tokens->rule.period_us, US_PER_S);
	assert_int_equal(tokens->rule.burst, 200);
	assert_int_equal(tokens->rule.delay_max_us, 0);
	assert_int_equal(tokens->key_count, 2);
	assert_int_equal(tokens->keys[0].kind, LIMIT_KEY_CLIENT_IP);
	assert_int_equal(tokens->keys[1].kind, LIMIT_KEY_HEADER);
	assert_view(tokens->keys[1].name, "X-Tenant");
	assert_int_equal(tokens->ipv4_prefix, 32);
	assert_int_equal(tokens->ipv6_prefix, 56);
	assert_int_equal(tokens->missing, LIMIT_MISSING_LIMIT);
	assert_int_equal(tokens->keys_max, 50000);
	assert_int_equal(tokens->headers, LIMIT_HEADERS_BOTH);
	assert_view(tokens->name, "users-rate");
	assert_int_equal(leaky->rule.kind, LIMIT_LEAKY_BUCKET);
	assert_int_equal(leaky->rule.delay_max_us, 100 * US_PER_MS);
	assert_int_equal(leaky->keys[0].kind, LIMIT_KEY_ROUTE);
	assert_view(leaky->name, "users-2");
	assert_int_equal(running->rule.kind, LIMIT_CONCURRENT);
	assert_int_equal(running->rule.count, 20);
	assert_view(running->name, "users-3");
}

/* Of one filter. */
static void check_limit(const char *text, const struct limit_rule *expected)
{
	char yaml[512];

	snprintf(yaml, sizeof(yaml), FORWARD("filters: [{headers: {}}, {rate_limit: {%s}}]"), text);

	const struct config *config = load_good(yaml);
	const struct config_filter *f = config->routes[0].filters;
	const struct limit_rule *rule = &f[1].u.rate_limit.rule;

	/* What one kind has by default does not show in another one. */
	assert_int_equal(f[0].u.headers.request.set_count + f[0].u.headers.response.remove_count, 0);
	assert_int_equal(rule->kind, expected->kind);
	assert_int_equal(rule->count, expected->count);
	assert_int_equal(rule->period_us, expected->period_us);
	assert_int_equal(rule->burst, expected->burst);
	assert_int_equal(rule->delay_max_us, expected->delay_max_us);
	config_free(config);
}

static void test_rate_limits(void **state)
{
	const uint64_t s = US_PER_S;
	const struct {
		const char *text;
		struct limit_rule rule;
	} limits[] = {
		{"rate: 10/s", {LIMIT_TOKEN_BUCKET, 10, s, 10, 0}},
		{"rate: 10/500ms, burst: 1", {LIMIT_TOKEN_BUCKET, 10, s / 2, 1, 0}},
		{"rate: 10/m", {LIMIT_TOKEN_BUCKET, 10, 60 * s, 10, 0}},
		{"rate: 10/2h, burst: 15", {LIMIT_TOKEN_BUCKET, 10, 7200 * s, 15, 0}},
		{"rate: 1/30d", {LIMIT_TOKEN_BUCKET, 1, 30 * 86400 * s, 1, 0}},
		{"algorithm: sliding_window, rate: 7/d", {LIMIT_SLIDING_WINDOW, 7, 86400 * s, 7, 0}},
		{"algorithm: leaky_bucket, rate: 10/s", {LIMIT_LEAKY_BUCKET, 10, s, 10, s}},
		{"algorithm: leaky_bucket, rate: 10/s, burst: 5", {LIMIT_LEAKY_BUCKET, 10, s, 5, s / 2}},
		{"algorithm: leaky_bucket, rate: 10/s, burst: 50", {LIMIT_LEAKY_BUCKET, 10, s, 50, 5 * s}},
		{"algorithm: leaky_bucket, rate: 10/s, burst: 50, max_delay: 2s", {LIMIT_LEAKY_BUCKET, 10, s, 50, 2 * s}},
		{"algorithm: leaky_bucket, rate: 10/s, burst: 5, max_delay: 2s", {LIMIT_LEAKY_BUCKET, 10, s, 5, s / 2}},
		{"algorithm: concurrent, max_concurrent: 9", {LIMIT_CONCURRENT, 9, 0, 9, 0}},
	};

	for (size_t i = 0; i < COUNT(limits); i++)
		check_limit(limits[i].text, &limits[i].rule);
}

static void test_full_other_routes(void **state)
{
	const struct config_route *health = &full->routes[1], *moved = &full->routes[2], *files = &full->routes[3];

	assert_int_equal(health->action, ACTION_RESPOND);
	assert_int_equal(health->host_match, HOST_ANY);
	assert_int_equal(health->path_match, PATH_EXACT);
	assert_view(health->path, "/healthz");
	assert_int_equal(health->respond.status, 200);
	assert_view(health->respond.body, "{\"ok\": true}\n");
	assert_view(health->respond.content_type, "application/json");

	assert_int_equal(moved->action, ACTION_REDIRECT);
	assert_int_equal(moved->host_match, HOST_SUFFIX);
	assert_view(moved->host, ".example.org");
	assert_view(moved->redirect.location, "https://www.example.org/new");
	assert_true(moved->redirect.location_keeps_rest);
	assert_int_equal(moved->redirect.status, 308);

	assert_int_equal(files->action, ACTION_UPSTREAM);
	assert_ptr_equal(files->upstream, &full->upstreams[1]);
	assert_int_equal(files->path_match, PATH_ANY);
	assert_int_equal(files->methods, 0);
	assert_false(files->rewrite.path_set);
	assert_int_equal(files->rewrite.host.n, 0);
}

/* --- defaults --------------------------------------------------------------------------------------------------- */

static void test_listener_defaults(void **state)
{
	const struct config *c = load_good(VERSION LISTENERS UPSTREAMS ROUTES);
	const struct config_listener *l = c->listeners;

	assert_int_equal(l->trusted_proxy_count, 0);
	assert_int_equal(l->half_close, HALF_CLOSE_ABORT);
	assert_int_equal(l->proxy_protocol, PROXY_PROTOCOL_OFF);
	assert_false(l->https_redirect.enabled);
	assert_false(l->hsts.enabled);
	assert_view(l->hsts.line, "");
	assert_int_equal(l->limits.connections, 10000);
	assert_int_equal(l->limits.header_bytes, 32 * KIB);
	assert_int_equal(l->limits.header_count, 100);
	assert_int_equal(l->limits.target_bytes, 8 * KIB);
	assert_int_equal(l->limits.streams, 100);
	assert_int_equal(l->limits.body_bytes, 0);
	assert_int_equal(l->timeouts.header_us, 10 * US_PER_S);
	assert_int_equal(l->timeouts.body_idle_us, 30 * US_PER_S);
	assert_int_equal(l->timeouts.keep_alive_us, 75 * US_PER_S);
	assert_int_equal(l->timeouts.write_idle_us, 30 * US_PER_S);
	config_free(c);
}

static void test_upstream_defaults(void **state)
{
	const struct config *c = load_good(VERSION LISTENERS UPSTREAMS ROUTES);
	const struct config_upstream *u = c->upstreams;

	assert_int_equal(u->balance.policy, BALANCE_LEAST_REQUEST);
	assert_int_equal(u->endpoints[0].weight, 1);
	assert_int_equal(u->concurrency, CONFIG_CONCURRENCY_AUTO);
	assert_int_equal(u->pool.max_connections, 100);
	assert_int_equal(u->pool.max_pending, 1000);
	assert_int_equal(u->pool.acquire_timeout_us, US_PER_S);
	assert_true(u->pool.lifo);
	assert_int_equal(u->pool.idle_timeout_us, 55 * US_PER_S);
	assert_int_equal(u->pool.max_lifetime_us, 1800 * US_PER_S);
	assert_int_equal(u->pool.max_uses, 0);
	assert_int_equal(u->pool.max_connecting, 16);
	assert_int_equal(u->pool.on_acquire_timeout, ON_ACQUIRE_TIMEOUT_FAIL);
	assert_int_equal(u->pool.max_overflow, 0);
	assert_int_equal(u->pool.min_idle, 0);
	assert_int_equal(u->pool.leak_after_us, 300 * US_PER_S);
	assert_int_equal(u->pool.reclaim_after_us, 0);
	assert_true(u->pool.queue.enabled);
	assert_int_equal(u->pool.queue.target_us, 50 * US_PER_MS);
	assert_int_equal(u->pool.queue.interval_us, 100 * US_PER_MS);
	assert_int_equal(u->pool.max_streams, 100);
	assert_int_equal(u->retry.attempts, 1);
	assert_int_equal(u->retry.grpc_on, 0);
	assert_int_equal(u->retry.on, 1u << CONFIG_RETRY_CONNECT_FAILED | 1u << CONFIG_RETRY_STALE_CONNECTION);
	assert_int_equal(u->retry.budget_percent, 20);
	assert_int_equal(u->retry.min_per_s, 10);
	assert_int_equal(u->retry.per_try_us, 0);
	assert_int_equal(u->retry.backoff_base_us, 25 * US_PER_MS);
	assert_int_equal(u->retry.backoff_max_us, 250 * US_PER_MS);
	assert_int_equal(u->protocol, CONFIG_PROTOCOL_H1);
	assert_int_equal(u->timeouts.connect_us, US_PER_S);
	assert_int_equal(u->timeouts.first_byte_us, 15 * US_PER_S);
	assert_int_equal(u->timeouts.idle_us, 30 * US_PER_S);
	assert_int_equal(u->timeouts.request_us, 30 * US_PER_S);
	assert_int_equal(u->limits.header_bytes, 64 * KIB);
	assert_int_equal(u->limits.header_count, 200);
	config_free(c);
}

/* Where 0 says that there is none it is not the default. */
static void test_zeros(void **state)
{
	const struct config *c =
		load_good(UPSTREAM("pool: {max_pending: 0, max_lifetime: 0, leak_after: 0}, timeouts: {request: 0}"));
	const struct config_upstream *u = &c->upstreams[0];

	assert_int_equal(u->pool.max_pending, 0);
	assert_int_equal(u->pool.max_lifetime_us, 0);
	assert_int_equal(u->pool.leak_after_us, 0);
	assert_int_equal(u->timeouts.request_us, 0);
	config_free(c);
}

static void test_root_defaults(void **state)
{
	const struct config *c = load_good(VERSION LISTENERS UPSTREAMS ROUTES);

	assert_view(c->file, "f");
	assert_int_equal(c->workers, 0);
	assert_false(c->admin.enabled);
	assert_true(c->log.access);
	assert_int_equal(c->log.access_format, LOG_JSON);
	assert_string_equal(c->log.access_path, "-");
	assert_int_equal(c->log.level, LEVEL_INFO);
	assert_int_equal(c->drain_timeout_us, 30 * US_PER_S);
	config_free(c);
}

static void test_action_defaults(void **state)
{
	const struct config *c =
		load_good(VERSION LISTENERS "routes:\n"
					    "  - {name: a, match: {path: /a}, respond: {}}\n"
					    "  - {name: b, match: {path: /b}, redirect: {location: /a}}\n");

	assert_int_equal(c->routes[0].respond.status, 200);
	assert_int_equal(c->routes[0].respond.body.n, 0);
	assert_view(c->routes[0].respond.content_type, "text/plain; charset=utf-8");
	assert_int_equal(c->routes[1].redirect.status, 302);
	assert_false(c->routes[1].redirect.location_keeps_rest);
	assert_int_equal(c->upstream_count, 0);
	config_free(c);
}

/* A head holds its target: a default that would not fit gives way. */
static void test_small_header_bytes(void **state)
{
	const struct config *c = load_good(LISTENER("limits: {header_bytes: 4KiB}"));

	assert_int_equal(c->listeners[0].limits.target_bytes, 4 * KIB);
	config_free(c);
}

/* --- spellings -------------------------------------------------------------------------------------------------- */

static void test_off(void **state)
{
	const struct config *c = load_good(ROOT("log: {access: off}\nadmin: off"));

	assert_false(c->log.access);
	assert_false(c->admin.enabled);
	config_free(c);
}

static void test_order_of_sections_is_free(void **state)
{
	const struct config *c = load_good(ROUTES UPSTREAMS LISTENERS VERSION);

	assert_ptr_equal(c->routes[0].upstream, &c->upstreams[0]);
	config_free(c);
}

/* Columns count from behind it. */
static void test_byte_order_mark(void **state)
{
	char *text = load_bad(VIEW("\xef\xbb\xbf" "versoin: 1\n" LISTENERS UPSTREAMS ROUTES));

	config_free(load_good("\xef\xbb\xbf" ROOT("")));
	assert_non_null(strstr(text, "f:1:1: versoin: "));
	free(text);
}

static void test_localhost(void **state)
{
	const struct config *c = load_good(ADDRESS("localhost:8080"));

	assert_view(c->listeners[0].address_text, "localhost:8080");
	assert_address(&c->listeners[0].address, c->listeners[0].address_text, "127.0.0.1:8080");
	config_free(c);
}

static void test_hosts_are_canonical(void **state)
{
	static const struct {
		const char *yaml;
		enum config_host_match match;
		const char *host;
	} cases[] = {
		{MATCH("host: API.Example.COM"), HOST_EXACT, "api.example.com"},
		{MATCH("host: api.example.com."), HOST_EXACT, "api.example.com"},
		{MATCH("host: \"*.Example.COM\""), HOST_SUFFIX, ".example.com"},
		{MATCH("host: \"[0:0::1]\""), HOST_EXACT, "[::1]"},
		{MATCH("host: 127.0.0.1"), HOST_EXACT, "127.0.0.1"},
		{MATCH("host: \"*\""), HOST_ANY, ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct config *c = load_good(cases[i].yaml);
		assert_int_equal(c->routes[0].host_match, cases[i].match);
		assert_view(c->routes[0].host, cases[i].host);
		config_free(c);
	}
}

static void test_paths_are_canonical(void **state)
{
	static const struct {
		const char *yaml;
		enum config_path_match match;
		const char *path;
	} cases[] = {
		{MATCH("path: /a/b"), PATH_EXACT, "/a/b"},
		{MATCH("path: /a/b/"), PATH_EXACT, "/a/b/"},
		{MATCH("path: /a/b/*"), PATH_PREFIX, "/a/b"},
		{MATCH("path: //a/./b/../c/*"), PATH_PREFIX, "/a/c"},
		{MATCH("path: /%61/%c3%a9"), PATH_EXACT, "/a/%C3%A9"},
		{MATCH("path: /\u00e9"), PATH_EXACT, "/%C3%A9"},
		{MATCH("path: /a%2Ab"), PATH_EXACT, "/a%2Ab"},
		{MATCH("path: /"), PATH_EXACT, "/"},
		{MATCH("path: /*"), PATH_ANY, ""},
		{MATCH("path: /a/../*"), PATH_ANY, ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct config *c = load_good(cases[i].yaml);
		assert_int_equal(c->routes[0].path_match, cases[i].match);
		assert_view(c->routes[0].path, cases[i].path);
		config_free(c);
	}
}

/* A rest is "", "/" or "/c": what it is appended to has no '/' at its end. */
static void test_rewrites(void **state)
{
	static const struct {
		const char *yaml;
		const char *path, *host;
		bool keeps_rest;
	} cases[] = {
		{FORWARD("rewrite: {path: /b/*}"), "/b", "", true},
		{FORWARD("rewrite: {path: /*}, match: {path: /a/*}"), "", "", true},
		{FORWARD("rewrite: {path: /b/}"), "/b/", "", false},
		{FORWARD("rewrite: {path: /b, host: \"Users:81\"}, match: {path: /a}"), "/b", "users:81", false},
		{FORWARD("rewrite: {path: /, host: \"[0::1]:81\"}"), "/", "[::1]:81", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct config *c = load_good(cases[i].yaml);
		assert_true(c->routes[0].rewrite.path_set);
		assert_int_equal(c->routes[0].rewrite.path_keeps_rest, cases[i].keeps_rest);
		assert_view(c->routes[0].rewrite.path, cases[i].path);
		assert_view(c->routes[0].rewrite.host, cases[i].host);
		config_free(c);
	}
}

/* With the same host and path, other methods make another route, and no methods at all are what is left over. */
static void test_methods_tell_routes_apart(void **state)
{
	config_free(load_good(
		VERSION LISTENERS UPSTREAMS "routes:\n"
					    "  - {name: a, match: {methods: [GET, HEAD]}, upstream: users}\n"
					    "  - {name: b, match: {methods: [POST, PURGE]}, upstream: users}\n"
					    "  - {name: c, match: {methods: [PURGE, LOCK]}, upstream: users}\n"
					    "  - {name: d, upstream: users}\n"));
}

/* The bytes of the file are not needed any more once it is loaded. */
static void test_model_owns_its_strings(void **state)
{
	char *yaml = strdup(MATCH("host: a.example, path: /plain/*, methods: [PURGE]"));
	const struct config *c = load_good(yaml);

	memset(yaml, 'x', strlen(yaml));
	free(yaml);
	assert_view(c->routes[0].host, "a.example");
	assert_view(c->routes[0].path, "/plain");
	assert_view(c->routes[0].other_methods[0], "PURGE");
	assert_view(c->upstreams[0].endpoints[0].address_text, "127.0.0.1:81");
	config_free(c);
	config_free(NULL);
}

/* --- only `admin` ------------------------------------------------------------------------------------------------ */

static void test_admin_alone(void **state)
{
	static const char file[] = "nonsense: 1\nroutes: 7\nroutes: 8\nadmin: {unix: /run/a, limits: {connections: 4}}\n";
	struct config_complaints complaints;
	const struct config *c;

	assert_int_equal(config_load_admin_bytes("a", view_str(file), &c, &complaints), CONFIG_OK);
	assert_int_equal(complaints.count, 0);
	assert_true(c->admin.enabled);
	assert_view(c->admin.unix_text, "unix:/run/a");
	assert_int_equal(c->admin.connections, 4);
	assert_int_equal(c->route_count, 0);
	config_complaints_release(&complaints);
	config_free(c);
}

static void assert_admin_bad(const char *file, const char *path)
{
	struct config_complaints complaints;
	const struct config *c;

	assert_int_equal(config_load_admin_bytes("a", view_str(file), &c, &complaints), CONFIG_BAD);
	assert_null(c);
	assert_int_equal(complaints.count, 1);
	assert_string_equal(complaints.items[0].path, path);
	config_complaints_release(&complaints);
}

static void test_admin_alone_is_checked(void **state)
{
	assert_admin_bad("nonsense: 1\nadmin: {address: x}\n", "admin.address");
	assert_admin_bad("admin: {address: '10.0.0.1:1'}\n", "admin.address");
	assert_admin_bad("routes: [\n", "");
	assert_admin_bad("- a\n", "");
	assert_admin_bad("", "");
}

int main(void)
{
	const struct CMUnitTest tests_full[] = {
		cmocka_unit_test(test_full_root),
		cmocka_unit_test(test_full_listeners),
		cmocka_unit_test(test_full_upstreams),
		cmocka_unit_test(test_full_resolver),
		cmocka_unit_test(test_full_route_to_upstream),
		cmocka_unit_test(test_full_guards),
		cmocka_unit_test(test_full_filters),
		cmocka_unit_test(test_full_rate_limits),
		cmocka_unit_test(test_rate_limits),
		cmocka_unit_test(test_full_other_routes),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listener_defaults),
		cmocka_unit_test(test_upstream_defaults),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_root_defaults),
		cmocka_unit_test(test_action_defaults),
		cmocka_unit_test(test_small_header_bytes),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_order_of_sections_is_free),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_localhost),
		cmocka_unit_test(test_hosts_are_canonical),
		cmocka_unit_test(test_paths_are_canonical),
		cmocka_unit_test(test_rewrites),
		cmocka_unit_test(test_methods_tell_routes_apart),
		cmocka_unit_test(test_model_owns_its_strings),
		cmocka_unit_test(test_admin_alone),
		cmocka_unit_test(test_admin_alone_is_checked),
	};
	int failed = cmocka_run_group_tests(tests_full, full_load, full_free);

	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
