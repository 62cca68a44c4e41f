/* upstream/quantile: told to within a step, and lately. */
#include "../base/unit.h"
#include "base/hash.h"
#include "base/units.h"
#include "upstream/quantile.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void test_few_say_nothing(void **state)
{
	struct quantile q = {0};

	for (int i = 0; i < QUANTILE_KNOWN - 1; i++) {
		quantile_add(&q, 1000, 1);
		assert_int_equal(quantile_of(&q, 950), 0);
	}
	quantile_add(&q, 1000, 1);
	assert_true(quantile_of(&q, 950) >= 1000);
}

/* At every scale, and never below what it is. */
static void test_within_a_step(void **state)
{
	static uint64_t values[10000];
	static const unsigned permilles[] = {1, 500, 900, 950, 990, 999, 1000};

	for (unsigned scale = 0; scale < 30; scale++) {
		struct quantile q = {0};

		for (size_t i = 0; i < 10000; i++) {
			values[i] = hash_u64(scale, i) % (1ULL << (scale + 1));
			quantile_add(&q, values[i], 1);
		}
		qsort(values, 10000, sizeof(*values), compare);
		for (size_t p = 0; p < sizeof(permilles) / sizeof(permilles[0]); p++) {
			uint64_t exact = values[permilles[p] * 10 - 1], told = quantile_of(&q, permilles[p]);

			assert_true(told >= exact && told <= exact + exact / QUANTILE_STEPS + 1);
		}
	}
}

static void test_what_is_beyond(void **state)
{
	struct quantile q = {0};

	for (int i = 0; i < QUANTILE_KNOWN; i++)
		quantile_add(&q, UINT64_MAX, 1);
	assert_true(quantile_of(&q, 500) > 3600 * US_PER_S);
}

/* What has become slower is known by that before long. */
static void test_forgets(void **state)
{
	struct quantile q = {0};
	uint64_t now_us = 1, change_us;

	for (; now_us < 60 * US_PER_S; now_us += 10 * US_PER_MS)
		quantile_add(&q, 1000, now_us);
	assert_true(quantile_of(&q, 950) < 1200);
	for (change_us = now_us; quantile_of(&q, 500) < 10000; now_us += 10 * US_PER_MS)
		quantile_add(&q, 10000, now_us);
	assert_true(now_us - change_us < 20 * US_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_say_nothing),
		cmocka_unit_test(test_within_a_step),
		cmocka_unit_test(test_what_is_beyond),
		cmocka_unit_test(test_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
