/*
 * What is known of one host name: sets of addresses, and what answers and failures do to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"
#include "net/host.h"

#define NOW (1000 * US_PER_S)

static bool add(struct host_addresses *set, const char *text)
{
	struct address address;
	unsigned char bytes[16];

	assert_true(address_parse(&address, text) && address_bytes(&address, bytes));
	return host_addresses_add(set, bytes);
}

static struct host_addresses set_of(const char *const *texts)
{
	struct host_addresses set = {0};

	for (; *texts != NULL; texts++)
		assert_true(add(&set, *texts));
	return set;
}

#define SET(...) set_of((const char *const[]){__VA_ARGS__, NULL})

static struct host_answer found(uint32_t ttl_s, struct host_addresses addresses)
{
	return (struct host_answer){.result = HOST_FOUND, .ttl_s = ttl_s, .addresses = addresses};
}

static struct host_answer none(enum host_result result, const char *why)
{
	return (struct host_answer){.result = result, .why = why};
}

static bool settle(struct host *host, struct host_answer v4, struct host_answer v6)
{
	const struct host_answer answers[HOST_FAMILIES] = {v4, v6};

	return host_settle(host, answers, NOW, 0);
}

static void assert_all(const struct host *host, struct host_addresses expected)
{
	struct host_addresses all = host_all(host);

	assert_true(host_addresses_eq(&all, &expected));
}

/* --- sets ----------------------------------------------------------------------------------------------------------- */

static void test_order_does_not_matter(void **state)
{
	struct host_addresses a = SET("10.0.0.1:0", "10.0.0.2:0", "[::1]:0", "[fd00::1]:0");
	struct host_addresses b = SET("[fd00::1]:0", "10.0.0.2:0", "[::1]:0", "10.0.0.1:0", "10.0.0.2:0", "[::1]:0");

	assert_int_equal(a.count, 4);
	assert_true(host_addresses_eq(&a, &b));
	/* IPv4 first. */
	assert_int_equal(a.items[0][15], 1);
	assert_int_equal(a.items[0][12], 10);
	assert_int_equal(a.items[3][0], 0xfd);
}

/* However many there are, and in whatever order, the same ones stay. */
static void test_lowest_stay(void **state)
{
	struct host_addresses up = {0}, down = {0};
	unsigned char address[16] = {[10] = 0xff, [11] = 0xff, [12] = 10};

	for (unsigned i = 0; i < 1000; i++) {
		address[14] = (unsigned char)(i >> 8);
		address[15] = (unsigned char)i;
		assert_true(host_addresses_add(&up, address));
		address[14] = (unsigned char)((999 - i) >> 8);
		address[15] = (unsigned char)(999 - i);
		assert_true(host_addresses_add(&down, address));
	}
	assert_int_equal(up.count, HOST_ADDRESSES_MAX);
	assert_true(host_addresses_eq(&up, &down));
	assert_int_equal(up.items[63][15], 63);
}

static void test_unusable(void **state)
{
	static const char *const unusable[] = {"0.0.0.0:0", "0.1.2.3:0", "224.0.0.1:0", "239.255.255.255:0",
		"255.255.255.255:0", "[::]:0", "[ff02::1]:0"};
	static const char *const usable[] = {"127.0.0.1:0", "223.0.0.1:0", "240.0.0.1:0", "[::1]:0", "[fe80::1]:0"};
	struct host_addresses set = {0};

	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++)
		assert_false(add(&set, unusable[i]));
	assert_int_equal(set.count, 0);
	for (size_t i = 0; i < sizeof(usable) / sizeof(usable[0]); i++)
		assert_true(add(&set, usable[i]));
	assert_int_equal(set.count, sizeof(usable) / sizeof(usable[0]));
}

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void test_first_answer(void **state)
{
	struct host host = {0};

	assert_true(settle(&host, found(30, SET("10.0.0.1:0")), found(60, SET("[fd00::1]:0"))));
	assert_all(&host, SET("10.0.0.1:0", "[fd00::1]:0"));
	assert_int_equal(host.attempts, 1);
	/* The shorter of the two. */
	assert_int_equal(host.due_us, NOW + 30 * US_PER_S);
	/* The same once more is no change. */
	assert_false(settle(&host, found(90, SET("10.0.0.1:0")), found(60, SET("[fd00::1]:0"))));
	assert_int_equal(host.due_us, NOW + 60 * US_PER_S);
	assert_true(settle(&host, found(90, SET("10.0.0.2:0")), found(60, SET("[fd00::1]:0"))));
	assert_all(&host, SET("10.0.0.2:0", "[fd00::1]:0"));
}

static void test_time_to_live_is_cut(void **state)
{
	static const struct {
		uint32_t ttl_s, counts_s;
	} cases[] = {
		{0, HOST_TTL_NONE_S}, {1, 1}, {299, 299}, {300, 300}, {301, 300}, {0x7fffffff, 300}, {UINT32_MAX, 300}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host host = {0};

		settle(&host, found(cases[i].ttl_s, SET("10.0.0.1:0")), none(HOST_NOTHING, "no such address"));
		assert_int_equal(host.due_us, NOW + cases[i].counts_s * US_PER_S);
	}
}

/* An answer for one family says that the other has nothing any more only if that was answered, too. */
static void test_families_are_apart(void **state)
{
	struct host host = {0};

	settle(&host, found(30, SET("10.0.0.1:0")), found(30, SET("[fd00::1]:0")));
	assert_true(settle(&host, found(30, SET("10.0.0.2:0")), none(HOST_FAILED, "silence")));
	assert_all(&host, SET("10.0.0.2:0", "[fd00::1]:0"));
	assert_null(host.trouble);
	assert_true(settle(&host, none(HOST_NOTHING, "nothing"), found(30, SET("[fd00::1]:0"))));
	assert_all(&host, SET("[fd00::1]:0"));
}

/* Heard before the other family has answered: it is known, and no failure any more. */
static void test_hearing(void **state)
{
	struct host_answer one = found(30, SET("10.0.0.1:0")), nothing = none(HOST_NOTHING, "nothing");
	struct host host = {0};

	assert_true(host_hear(&host, HOST_V4, &one));
	assert_false(host_hear(&host, HOST_V4, &one));
	assert_false(host_hear(&host, HOST_V4, &nothing));
	assert_all(&host, SET("10.0.0.1:0"));
	assert_int_equal(host.attempts, 0);
	settle(&host, none(HOST_FAILED, "silence"), none(HOST_FAILED, "silence"));
	assert_non_null(host.trouble);
	assert_true(host_hear(&host, HOST_V4, &one));
	assert_null(host.trouble);
	assert_false(settle(&host, one, none(HOST_FAILED, "silence")));
	assert_int_equal(host.failures, 0);
}

static void test_failures_take_nothing_away(void **state)
{
	static const enum host_result results[][2] = {{HOST_FAILED, HOST_FAILED}, {HOST_FAILED, HOST_NOTHING},
		{HOST_NOTHING, HOST_FAILED}, {HOST_NOTHING, HOST_NOTHING}};
	struct host host = {0};

	settle(&host, found(30, SET("10.0.0.1:0")), found(30, SET("[fd00::1]:0")));
	for (size_t i = 0; i < 4; i++) {
		settle(&host, none(results[i][0], "v4"), none(results[i][1], "v6"));
		assert_all(&host, SET("10.0.0.1:0", "[fd00::1]:0"));
		assert_int_equal(host.failures, i + 1);
		/* What failed says more than what was not there. */
		assert_string_equal(host.trouble, i == 2 ? "v6" : "v4");
	}
	assert_true(settle(&host, found(30, SET("10.0.0.1:0")), found(30, SET("[fd00::1]:0"))));
	assert_null(host.trouble);
	assert_int_equal(host.failures, 0);
}

static void test_trouble_is_a_change_once(void **state)
{
	static const char why[] = "silence";
	struct host host = {0};

	assert_true(settle(&host, none(HOST_FAILED, why), none(HOST_FAILED, why)));
	assert_false(settle(&host, none(HOST_FAILED, why), none(HOST_FAILED, why)));
	assert_int_equal(host_all(&host).count, 0);
}

/* Half a second, doubling up to half a minute, and by chance up to the half of it sooner. */
static void test_back_off(void **state)
{
	const uint64_t whole_ms[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
	struct host_answer failed = none(HOST_FAILED, "silence");
	const struct host_answer answers[HOST_FAMILIES] = {failed, failed};
	struct host host = {0};

	for (size_t i = 0; i < 8; i++) {
		struct host other = host;
		uint64_t half_us = whole_ms[i] * US_PER_MS / 2;

		host_settle(&other, answers, NOW, half_us);
		assert_int_equal(other.due_us, NOW + half_us);
		host_settle(&host, answers, NOW, 0);
		assert_int_equal(host.due_us, NOW + 2 * half_us);
	}
	host.failures = UINT32_MAX - 1;
	host_settle(&host, answers, NOW, UINT64_MAX);
	assert_in_range(host.due_us, NOW + HOST_RETRY_MAX_US / 2, NOW + HOST_RETRY_MAX_US);
}

/* 64 are kept of each family, and of both together. */
static void test_both_families_are_bounded(void **state)
{
	struct host host = {0};
	struct host_addresses v4 = {0}, v6 = {0};
	unsigned char four[16] = {[10] = 0xff, [11] = 0xff, [12] = 10}, six[16] = {0xfd};

	for (unsigned i = 0; i < 60; i++) {
		four[15] = six[15] = (unsigned char)i;
		host_addresses_add(&v4, four);
		host_addresses_add(&v6, six);
	}
	settle(&host, found(30, v4), found(30, v6));
	struct host_addresses all = host_all(&host);

	assert_int_equal(all.count, HOST_ADDRESSES_MAX);
	assert_memory_equal(all.items, v4.items, 60 * 16);
	assert_memory_equal(all.items[60], v6.items, 4 * 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_lowest_stay),
		cmocka_unit_test(test_unusable),
		cmocka_unit_test(test_first_answer),
		cmocka_unit_test(test_time_to_live_is_cut),
		cmocka_unit_test(test_families_are_apart),
		cmocka_unit_test(test_hearing),
		cmocka_unit_test(test_failures_take_nothing_away),
		cmocka_unit_test(test_trouble_is_a_change_once),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_both_families_are_bounded),
	};

	return cmocka_run_group_tests_name("net/host", tests, NULL, NULL);
}
