/*
 * The filter `api_key`: what is refused of it in a file, in words that do not say the key; and what the model has of it.
 */
#include "load.h"

#define KEYS(x) FORWARD("filters: [{api_key: {keys: [" x "]}}]")
#define FILTERS(x) FORWARD("filters: [" x "]")
#define AT "routes[0].filters[0].api_key"
#define GOOD "0123456789abcdef"
#define ONE "keys: [{name: a, key: " GOOD "}]"

/* Of two upstreams one goes by a header. */
#define HASHED(header, action) \
	VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}]}, {name: h, endpoints: [{address: 127.0.0.1:82}], " \
		"balance: {policy: consistent_hash, hash_on: \"header:" header "\"}}]\nroutes: [{name: r, " action \
		", filters: [{api_key: {" ONE "}}]}]\n"

/* What clients write there is not what filters see. */
#define UNSEEN(name) \
	{FILTERS("{api_key: {header: " name ", " ONE "}}"), \
		"f:4:66: " AT ".header: found \"" name "\"; filters do not see what clients write there: choose another one\n"}

static const struct mistake mistakes[] = {
	{FILTERS("{api_key: {}}"), "f:4:57: " AT ".keys: this key is missing\n"},
	{KEYS(""), "f:4:64: " AT ".keys: found a list without items; allowed: a list of 1 to 1000 items\n"},
	{KEYS("{name: a}"), "f:4:65: " AT ".keys[0].key: this key is missing, or `key_file`\n"},
	{KEYS("{key: " GOOD "}"), "f:4:65: " AT ".keys[0].name: this key is missing\n"},
	{KEYS("{name: a, key: " GOOD ", key_file: /x}"),
		"f:4:108: " AT ".keys[0].key_file: the file \"/x\" cannot be read: No such file or directory\n"
		"f:4:108: " AT ".keys[0].key_file: there is one key: write this, or `key`\n"},
	{KEYS("{name: a, key: short-one}"),
		"f:4:80: " AT ".keys[0].key: found a token of 9 characters; allowed: 16 to 512 letters, digits, '-', '.', '_', '~', "
		"'+', '/' or '='\n"},
	{KEYS("{name: a, key: \"" GOOD " \"}"),
		"f:4:80: " AT ".keys[0].key: found a character that no token has, at place 17; allowed: 16 to 512 letters, digits, "
		"'-', '.', '_', '~', '+', '/' or '='\n"},
	{KEYS("{name: a, key: " GOOD "}, {name: a, key: " GOOD "g}"),
		"f:4:106: " AT ".keys[1].name: the name of a key \"a\" is used already at line 4; each must be different\n"},
	{KEYS("{name: a, key: " GOOD "}, {name: b, key: x" GOOD "}, {name: c, key: " GOOD "}"),
		"f:4:134: " AT ".keys[2]: it has the key of \"a\" at line 4; give it one of its own\n"},
	{FILTERS("{api_key: {header: Host, keys: [{name: a, key: " GOOD "}]}}"),
		"f:4:58: " AT ".header: found \"Host\"; the gateway itself decides on this field, see `rewrite: {host: ...}`\n"},
	{FILTERS("{api_key: {header: a b, keys: [{name: a, key: " GOOD "}]}}"),
		"f:4:58: " AT ".header: found \"a b\"; allowed: a field name, of letters, digits and !#$%&'*+-.^_`|~\n"},
	{FILTERS("{api_key: {keys: [{name: a, key: " GOOD "}]}}, {api_key: {header: X-B, keys: [{name: a, key: " GOOD "}]}}"),
		"f:4:102: routes[0].filters[1]: a route asks for one key: put those of all its clients into one `api_key`\n"},
	{FILTERS("{rate_limit: {rate: 1/s, key: consumer}}, {api_key: {keys: [{name: a, key: " GOOD "}]}}"),
		"f:4:47: routes[0].filters[0]: nobody has asked for the key before it, and so nobody has a name; put an `api_key` "
		"before it, or count by something else than `consumer`\n"},
	/* What stands where a key belongs, or where its mapping does, may be one. */
	{KEYS(GOOD),
		"f:4:65: " AT ".keys[0]: found a text; allowed: a mapping with these keys: name, key, key_file\n"},
	{FILTERS("{api_key: {keys: " GOOD "}}"),
		"f:4:64: " AT ".keys: found a text; allowed: a list of 1 to 1000 items\n"},
	{FILTERS("{api_key: " GOOD "}"),
		"f:4:57: " AT ": found a text; allowed: a mapping with these keys: header, keys, forward\n"},
	{KEYS("{name: a, key: [" GOOD "]}"),
		"f:4:80: " AT ".keys[0].key: found a list; allowed: 16 to 512 letters, digits, '-', '.', '_', '~', '+', '/' or '='\n"},
	{FILTERS("{api_key: {header: X-Forwarded-For, " ONE "}}"),
		"f:4:58: " AT ".header: found \"X-Forwarded-For\"; the gateway itself decides on this field\n"},
	UNSEEN("Proxy-Authorization"),
	UNSEEN("x-real-ip"),
	UNSEEN("X-Forwarded-Host"),
	UNSEEN("X-Forwarded-Proto"),
	UNSEEN("Client-Cert"),
	UNSEEN("Client-Cert-Chain"),
	/* What is taken out is not there for others. */
	{FILTERS("{api_key: {" ONE "}}, {rate_limit: {rate: 1/s, key: [route, \"header:x-api-key\"]}}"),
		"f:4:102: routes[0].filters[1]: the `api_key` before it takes \"X-Api-Key\" out, and so nobody has it here; count by `consumer`\n"},
	{FILTERS("{api_key: {header: X-Key, " ONE "}}, {rate_limit: {rate: 1/s, key: \"header:X-Key\"}}"),
		"f:4:117: routes[0].filters[1]: the `api_key` before it takes \"X-Key\" out, and so nobody has it here; count by `consumer`\n"},
	{HASHED("x-api-key", "upstream: h"),
		"f:4:43: routes[0].filters[0]: it takes \"X-Api-Key\" out, by which the upstream \"h\" is to choose endpoints (`hash_on`); "
		"hash on something else, or say `forward: true`\n"},
	{HASHED("X-Api-Key", "upstream: users, fallback: {upstream: h}"),
		"f:4:72: routes[0].filters[0]: it takes \"X-Api-Key\" out, by which the upstream \"h\" is to choose endpoints (`hash_on`); "
		"hash on something else, or say `forward: true`\n"},
};

static const char *const good[] = {
	FILTERS("{rate_limit: {rate: 1/s, key: \"header:X-Api-Key\"}}, {api_key: {" ONE "}}"),
	FILTERS("{api_key: {forward: true, " ONE "}}, {rate_limit: {rate: 1/s, key: \"header:X-Api-Key\"}}"),
	FILTERS("{api_key: {header: X-Key, " ONE "}}, {rate_limit: {rate: 1/s, key: \"header:X-Api-Key\"}}"),
	HASHED("X-Other", "upstream: h"),
};

static void test_good(void **state)
{
	for (size_t i = 0; i < COUNT(good); i++)
		config_free((struct config *)(uintptr_t)load_good(good[i]));
}

static void test_mistakes(void **state)
{
	mistakes_check(mistakes, COUNT(mistakes));
}

static void test_model(void **state)
{
	const struct config *config =
		load_good(FILTERS("{api_key: {header: authorization, forward: true, keys: [{name: a, key: " GOOD
				  "}, {name: b, key: x" GOOD "}]}}, {rate_limit: {rate: 1/s, key: [consumer, route]}}"));
	const struct config_filter *f = config->routes[0].filters;
	const struct config_api_key *k = &f[0].u.api_key;

	assert_int_equal(f[0].kind, CONFIG_FILTER_API_KEY);
	assert_true(k->is_bearer);
	assert_true(k->forward);
	assert_int_equal(k->consumer_count, 2);
	assert_true(view_eq(k->challenge, VIEW("WWW-Authenticate: Bearer realm=\"weir\"\r\n")));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(k->hashes[i], config_api_key_hash(k->consumers[i].key));
	assert_int_not_equal(k->hashes[0], k->hashes[1]);
	assert_int_equal(f[1].u.rate_limit.keys[0].kind, LIMIT_KEY_CONSUMER);
	/* A key is not shown. */
	char *shown = config_show(config);

	assert_null(strstr(shown, GOOD));
	assert_non_null(strstr(shown, "\"name\":\"b\""));
	free(shown);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mistakes), cmocka_unit_test(test_good), cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
