/*
 * CHECK(): says which condition and where, and ends the process; costs nothing when the condition holds.
 */
#include "base/check.h"

#include "unit.h"

static int evaluated;

static void fault(void *with)
{
	CHECK(with == NULL);
}

static void fault_long(void *with)
{
	char condition[2000];

	memset(condition, 'x', sizeof(condition) - 1);
	condition[sizeof(condition) - 1] = '\0';
	check_failed(condition, "file.c", 7);
}

static void test_failing(void **state)
{
	assert_check_fails(fault, &evaluated, "with == ");
	assert_check_fails(fault, &evaluated, "check.c:");
}

static void test_failing_with_a_long_text(void **state)
{
	assert_check_fails(fault_long, NULL, "xxxxxxxx");
}

static void test_holding(void **state)
{
	CHECK(++evaluated == 1);
	assert_int_equal(evaluated, 1);
	fault(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failing),
		cmocka_unit_test(test_failing_with_a_long_text),
		cmocka_unit_test(test_holding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
