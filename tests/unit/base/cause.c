/*
 * The table of causes: complete, words unique and fit for a metric label, a status that fits who is at fault.
 */
#include "base/cause.h"

#include "unit.h"

static void test_rows(void **state)
{
	for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++) {
		const struct cause_info *info = cause_info((enum cause)i);

		assert_non_null(info->word);
		assert_int_equal(strspn(info->word, "abcdefghijklmnopqrstuvwxyz_"), strlen(info->word));
		assert_true(strlen(info->text) > 0);
		assert_non_null(info->proxy_status);
		assert_true(info->fault != FAULT_NOBODY);
		if (info->fault == FAULT_CLIENT)
			assert_in_range(info->status, 400, 499);
		else
			assert_in_range(info->status, 500, 504);
		for (int k = CAUSE_NONE; k < i; k++)
			assert_string_not_equal(info->word, cause_info((enum cause)k)->word);
	}
}

static void test_known(void **state)
{
	assert_string_equal(cause_info(CAUSE_NONE)->word, "none");
	assert_string_equal(cause_info(CAUSE_POOL_ACQUIRE_TIMEOUT)->word, "pool_acquire_timeout");
	assert_int_equal(cause_info(CAUSE_FIRST_BYTE_TIMEOUT)->status, 504);
	assert_int_equal(cause_info(CAUSE_INTERNAL)->fault, FAULT_GATEWAY);
}

static void ask_beyond(void *with)
{
	cause_info(CAUSE_COUNT);
}

static void test_beyond(void **state)
{
	assert_check_fails(ask_beyond, NULL, "CAUSE_COUNT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
