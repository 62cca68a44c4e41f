/*
 * The configuration as it is shown: what the file says, the defaults of what it does not say, and no secrets.
 */
#include <jansson.h>
#include <stdio.h>

#include "load.h"

static json_t *shown(const char *yaml)
{
	const struct config *config = load_good(yaml);
	char *text = config_show(config);
	json_t *all = json_loads(text, 0, NULL);

	assert_non_null(all);
	free(text);
	config_free(config);
	return all;
}

/* "routes[0].filters" and the like, with one digit. NULL: it is not there. */
static json_t *at(json_t *all, const char *path)
{
	char key[64];

	while (all != NULL && *path != '\0') {
		size_t n = strcspn(path, ".[");

		assert_true(n < sizeof(key));
		memcpy(key, path, n);
		key[n] = '\0';
		if (*path == '[')
			all = json_array_get(all, (size_t)(path[1] - '0'));
		else
			all = json_object_get(all, key);
		path += *path == '[' ? 3 : n;
		path += *path == '.';
	}
	return all;
}

static void assert_at(json_t *all, const char *path, const char *expected)
{
	json_t *value = at(all, path);
	char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("nothing");

	if (strcmp(text, expected) != 0)
		fail_msg("%s is %s, not %s", path, text, expected);
	free(text);
}

static void test_what_is_said_is_shown_as_it_is_said(void **state)
{
	json_t *all = shown(VERSION
		"listeners: [{name: '007', address: 127.0.0.1:80, limits: {connections: 12, body_bytes: 3MiB}}]\n"
		"upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81, weight: 4}], concurrency: auto,\n"
		"  pool: {acquire_timeout: 1500ms}, breaker: true}]\n"
		"routes: [{name: '12', upstream: users}]\n");

	assert_at(all, "version", "1");
	assert_at(all, "listeners[0].name", "\"007\"");
	assert_at(all, "listeners[0].limits.connections", "12");
	assert_at(all, "listeners[0].limits.body_bytes", "\"3MiB\"");
	assert_at(all, "upstreams[0].endpoints[0].weight", "4");
	assert_at(all, "upstreams[0].pool.acquire_timeout", "\"1500ms\"");
	/* In quotes it is a text, whatever it looks like. */
	assert_at(all, "routes[0].name", "\"12\"");
	json_decref(all);
}

static void test_what_is_not_said_has_its_default(void **state)
{
	json_t *all = shown(ROOT("")), *on = shown(UPSTREAM("breaker: true"));

	assert_at(all, "drain_timeout", "\"30s\"");
	assert_at(all, "listeners[0].timeouts.keep_alive", "\"75s\"");
	assert_at(all, "upstreams[0].balance.policy", "\"least_request\"");
	assert_at(all, "upstreams[0].pool.max_pending", "1000");
	assert_at(all, "upstreams[0].breaker", "\"off\"");
	assert_true(json_is_object(at(on, "upstreams[0].breaker")));
	/* Alternatives that the route does not have. */
	assert_at(all, "routes[0].respond", "nothing");
	assert_at(all, "routes[0].redirect", "nothing");
	json_decref(all);
	json_decref(on);
}

#define TOKEN "abcdefgh-abcdefgh-abcdefgh-abcdefgh"
#define MASKED "\"***\""
#define A_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_SECRET_NAME A_64 A_64 A_64 A_64 "-secret"

static void test_secrets_are_not_shown(void **state)
{
	const struct config *config = load_good(VERSION LISTENERS UPSTREAMS
		"routes: [{name: r, upstream: users, filters: [{headers: {request: {set: {AUTHORIZATION: '" TOKEN "', x-plain: plain,\n"
		"    X-Vault-Token: '" TOKEN "', X.Private-KEY: '" TOKEN "', " LONG_SECRET_NAME ": '" TOKEN "'}},\n"
		"  response: {add: {Set-Cookie: '" TOKEN "'}}}}]}]\n"
		"admin: {address: 127.0.0.1:90, token: '" TOKEN "'}\n"
		"tracing: {upstream: users, headers: [{name: x-key, value: '" TOKEN "'}]}\n");
	char *text = config_show(config);
	json_t *all = json_loads(text, 0, NULL);

	assert_null(strstr(text, TOKEN));
	free(text);
	assert_at(all, "admin.token", MASKED);
	assert_at(all, "tracing.headers[0].name", "\"x-key\"");
	assert_at(all, "tracing.headers[0].value", MASKED);
	assert_at(all, "routes[0].filters[0].headers.request.set.AUTHORIZATION", MASKED);
	assert_at(all, "routes[0].filters[0].headers.request.set.X-Vault-Token", MASKED);
	assert_at(all, "routes[0].filters[0].headers.request.set.x-plain", "\"plain\"");
	assert_at(all, "routes[0].filters[0].headers.response.add.Set-Cookie", MASKED);
	json_decref(all);
	config_free(config);
}

/* A field's name says whether its value is a secret; what only looks like such a name is shown. */
static void test_fields_that_carry_secrets(void **state)
{
	static const char *const secret[] = {"Cookie", "Set-Cookie", "X-Vault-Token", "X-Api-Key", "Proxy-Authorization", "X-Client-Secret",
		"X-Password", "X-Pass", "X-Proxy-Pass", "PASS", "X_PASS_1", "ProxyPass", "X-Pass2", "X-DB-Pwd", "X-Passphrase", "X-Passcode",
		"X-JWT-Assertion", "XJwt", "Mcp-Session-Id", "JSESSIONID", "X-Sign", "Sign", "X-Signed-Request", "X-Hub-Signature-256",
		"X-Bearer", "X-Aws-Credentials", "X-Legacy-Cookies"};
	static const char *const plain[] = {"X-Bypass-Cache", "Compass", "X-Passenger", "X-Passed", "X-Trespass", "X-Signal", "X-Design",
		"X-Assign", "Signals", "X-Resigned", "Consign", "X-Plain", "Accept-Language", "Spwdr"};

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]) + sizeof(plain) / sizeof(plain[0]); i++) {
		bool masked = i < sizeof(secret) / sizeof(secret[0]);
		const char *name = masked ? secret[i] : plain[i - sizeof(secret) / sizeof(secret[0])];
		char yaml[512], path[128];

		snprintf(yaml, sizeof(yaml), VERSION LISTENERS UPSTREAMS
			"routes: [{name: r, upstream: users, filters: [{headers: {request: {set: {%s: v}}, response: {add: {%s: v}}}}]}]\n", name,
			name);
		json_t *all = shown(yaml);

		snprintf(path, sizeof(path), "routes[0].filters[0].headers.request.set.%s", name);
		assert_at(all, path, masked ? MASKED : "\"v\"");
		snprintf(path, sizeof(path), "routes[0].filters[0].headers.response.add.%s", name);
		assert_at(all, path, masked ? MASKED : "\"v\"");
		json_decref(all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said_is_shown_as_it_is_said),
		cmocka_unit_test(test_what_is_not_said_has_its_default),
		cmocka_unit_test(test_secrets_are_not_shown),
		cmocka_unit_test(test_fields_that_carry_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
