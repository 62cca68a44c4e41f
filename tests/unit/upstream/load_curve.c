/* The levels of a load curve: where each number of requests at once comes to stand. */
#include "../base/unit.h"

#include "upstream/load_curve.h"

static void test_levels(void **state)
{
	static const struct {
		uint32_t at_once;
		unsigned level;
	} cases[] = {{1, 0}, {2, 1}, {3, 1}, {4, 2}, {7, 2}, {8, 3}, {8191, 12}, {8192, 13}, {100000, 13}, {UINT32_MAX, 13}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct load_curve curve = {0};

		load_curve_enter(&curve, cases[i].at_once, 7);
		load_curve_enter(&curve, cases[i].at_once, 8);
		for (unsigned level = 0; level < LOAD_LEVELS; level++) {
			unsigned is_it = level == cases[i].level;

			assert_int_equal(curve.levels[level].answers, is_it ? 2 : 0);
			assert_int_equal(curve.levels[level].at_once, is_it ? 2ull * cases[i].at_once : 0);
			assert_int_equal(curve.levels[level].sum_us, is_it ? 15 : 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
