/* TLS towards endpoints: whose settings are the same, who is asked for, and that nobody is spoken to without it who needs it. */
#include "bed.h"

#define ENDPOINT(address) "endpoints: [{address: \"" address "\"}], "

static void assert_same(const char *a, const char *b, bool same)
{
	const struct config *one = bed_config(a), *other = bed_config(b);

	assert_int_equal(upstream_keeps_pools(&one->upstreams[0], &other->upstreams[0]), same);
	config_free(one);
	config_free(other);
}

static void test_what_makes_another_pool(void **state)
{
#define PLAIN ENDPOINT("127.0.0.1:81")
	assert_same(PLAIN "tls: {verify: false}", PLAIN "tls: {verify: false}", true);
	assert_same(PLAIN "tls: {verify: false}", PLAIN "tls: {}", false);
	assert_same(PLAIN "tls: {verify: false}", PLAIN "tls: off", false);
	assert_same(PLAIN "tls: {verify: false}", PLAIN "tls: {verify: false, min_version: \"1.3\"}", false);
	/* Any file will do: what is in it counts. */
	assert_same(PLAIN "tls: {ca: /etc/passwd}", PLAIN "tls: {ca: /etc/passwd}", true);
	assert_same(PLAIN "tls: {}", PLAIN "tls: {ca: /etc/passwd}", false);
	assert_same(PLAIN "tls: {ca: /etc/group}", PLAIN "tls: {ca: /etc/passwd}", false);
}

static void assert_name(const char *yaml, const char *expected)
{
	const struct config *config = bed_config(yaml);
	const struct config_upstream *upstream = &config->upstreams[0];
	char text[ADDRESS_TEXT_MAX];

	assert_view(endpoint_server_name(upstream, &upstream->endpoints[0], text), expected);
	config_free(config);
}

static void test_who_is_asked_for(void **state)
{
	assert_name(ENDPOINT("users.test:81") "tls: {}", "users.test");
	assert_name(ENDPOINT("users.test.:81") "tls: {}", "users.test");
	assert_name(ENDPOINT("users.test:81") "tls: {server_name: other.test}", "other.test");
	assert_name(ENDPOINT("127.0.0.1:81") "tls: {}", "127.0.0.1");
	assert_name(ENDPOINT("[::1]:81") "tls: {}", "::1");
	assert_name(ENDPOINT("unix:/s") "tls: {verify: false}", "");
	assert_name(ENDPOINT("users.test:81") "tls: off", "");
}

static void assert_authority(const char *yaml, const char *expected)
{
	struct bed bed;

	bed_open(&bed, yaml);
	assert_view(bed_endpoint(&bed, 0)->name.authority, expected);
	bed_close(&bed);
}

/* By requests and health checks that name nobody. */
static void test_who_is_meant(void **state)
{
	assert_authority(ENDPOINT("127.0.0.1:81") "protocol: h2", "127.0.0.1:81");
	assert_authority(ENDPOINT("127.0.0.1:81") "protocol: h2, tls: {server_name: other.test}", "other.test");
	assert_authority(ENDPOINT("unix:/s") "protocol: h2", "localhost");
}

/* Without contexts the connection fails, and nothing goes over it in the clear. */
static void test_nothing_goes_in_the_clear(void **state)
{
	struct bed bed;
	struct user user;

	bed_open(&bed, PLAIN "tls: {verify: false}");
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_FAILED);
	assert_int_equal(user.cause, CAUSE_TLS_FAILED);
	upstream_lease_release(&user.lease);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_makes_another_pool),
		cmocka_unit_test(test_who_is_asked_for),
		LOOP_TEST(test_who_is_meant),
		LOOP_TEST(test_nothing_goes_in_the_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
