/* How much may be asked again: a share of a sliding window, and a minimum a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "upstream/retry_budget.h"

#define S 1000000ULL
#define BEGIN_US (1000 * S)

static void requests(struct retry_budget *budget, uint64_t now_us, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		retry_budget_note(budget, now_us);
}

/* How many are given, of so many that are wanted. */
static unsigned taken(struct retry_budget *budget, uint64_t now_us, uint32_t percent, uint32_t min_per_s, unsigned wanted)
{
	unsigned count = 0;

	for (unsigned i = 0; i < wanted; i++)
		count += retry_budget_take(budget, now_us, percent, min_per_s);
	return count;
}

static void test_share(void **state)
{
	struct retry_budget budget = {0};

	requests(&budget, BEGIN_US, 100);
	assert_int_equal(taken(&budget, BEGIN_US, 20, 0, 1000), 20);
	requests(&budget, BEGIN_US + S, 4);
	assert_int_equal(taken(&budget, BEGIN_US + S, 20, 0, 1000), 0);
	requests(&budget, BEGIN_US + S, 1);
	assert_int_equal(taken(&budget, BEGIN_US + S, 20, 0, 1000), 1);
}

static void test_none_and_all(void **state)
{
	struct retry_budget budget = {0};

	requests(&budget, BEGIN_US, 50);
	assert_int_equal(taken(&budget, BEGIN_US, 0, 0, 100), 0);
	assert_int_equal(taken(&budget, BEGIN_US, 100, 0, 100), 50);
}

/* The larger of both counts, not their sum. */
static void test_minimum(void **state)
{
	struct retry_budget budget = {0};

	assert_int_equal(taken(&budget, BEGIN_US, 20, 3, 100), 3);
	assert_int_equal(taken(&budget, BEGIN_US + S / 2, 20, 3, 100), 0);
	assert_int_equal(taken(&budget, BEGIN_US + S, 20, 3, 100), 3);
	requests(&budget, BEGIN_US + S, 100);
	assert_int_equal(taken(&budget, BEGIN_US + S, 20, 3, 100), 14);
}

/* What is older than the window is forgotten, on both sides. */
static void test_window(void **state)
{
	struct retry_budget budget = {0};

	requests(&budget, BEGIN_US, 100);
	assert_int_equal(taken(&budget, BEGIN_US, 20, 0, 10), 10);
	assert_int_equal(taken(&budget, BEGIN_US + (RETRY_BUDGET_SLOTS - 1) * S, 20, 0, 100), 10);
	assert_int_equal(taken(&budget, BEGIN_US + RETRY_BUDGET_SLOTS * S, 20, 0, 100), 0);
	requests(&budget, BEGIN_US + RETRY_BUDGET_SLOTS * S, 100);
	/* Those that were taken in the last second of before still count. */
	assert_int_equal(taken(&budget, BEGIN_US + RETRY_BUDGET_SLOTS * S, 20, 0, 100), 10);
}

static void test_long_rest(void **state)
{
	struct retry_budget budget = {0};

	requests(&budget, BEGIN_US, 1000);
	assert_int_equal(taken(&budget, BEGIN_US + 86400 * S, 20, 0, 10), 0);
	for (unsigned i = 0; i < RETRY_BUDGET_SLOTS; i++)
		assert_int_equal(budget.requests_in[i], 0);
	assert_true(budget.until_us > BEGIN_US + 86400 * S);
	assert_true(budget.until_us <= BEGIN_US + 86401 * S);
}

/* Whatever the traffic is like, over the whole of it no more than the share is asked again. */
static void test_never_more_than_the_share(void **state)
{
	struct retry_budget budget = {0};
	uint64_t all = 0, again = 0, now_us = BEGIN_US, x = 88172645463325252ULL;

	for (unsigned i = 0; i < 20000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		now_us += x % (i % 7 == 0 ? 5 * S : 20000);
		requests(&budget, now_us, x >> 32 & 15);
		all += x >> 32 & 15;
		again += taken(&budget, now_us, 20, 0, 50);
		assert_true(again * 5 <= all);
	}
	assert_true(again * 6 > all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_none_and_all),
		cmocka_unit_test(test_minimum),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_long_rest),
		cmocka_unit_test(test_never_more_than_the_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
