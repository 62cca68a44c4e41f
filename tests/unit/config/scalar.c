/*
 * Numbers with units, there and back; the nearest spelling.
 */
#include "load.h"

#include "base/units.h"
#include "config/read.h"

static const struct {
	enum scalar_unit unit;
	const char *text;
	enum scalar_status status;
	uint64_t value;
} scalars[] = {
	{UNIT_NONE, "0", SCALAR_OK, 0},
	{UNIT_NONE, "42", SCALAR_OK, 42},
	{UNIT_NONE, "007", SCALAR_OK, 7},
	{UNIT_NONE, "18446744073709551615", SCALAR_OK, UINT64_MAX},
	{UNIT_NONE, "18446744073709551616", SCALAR_TOO_LARGE, 0},
	{UNIT_NONE, "", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_NONE, "-1", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_NONE, " 1", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_NONE, "1k", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_NONE, "1.5", SCALAR_NOT_WHOLE, 0},
	{UNIT_NONE, ".5", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_TIME, "0", SCALAR_OK, 0},
	{UNIT_TIME, "0s", SCALAR_OK, 0},
	{UNIT_TIME, "1us", SCALAR_OK, 1},
	{UNIT_TIME, "250ms", SCALAR_OK, 250 * US_PER_MS},
	{UNIT_TIME, "30s", SCALAR_OK, 30 * US_PER_S},
	{UNIT_TIME, "90m", SCALAR_OK, 5400 * US_PER_S},
	{UNIT_TIME, "24h", SCALAR_OK, 86400 * US_PER_S},
	{UNIT_TIME, "30", SCALAR_WITHOUT_UNIT, 0},
	{UNIT_TIME, "30S", SCALAR_UNKNOWN_UNIT, 0},
	{UNIT_TIME, "1.5s", SCALAR_NOT_WHOLE, 0},
	{UNIT_TIME, "1 s", SCALAR_UNKNOWN_UNIT, 0},
	{UNIT_TIME, "s", SCALAR_NOT_A_NUMBER, 0},
	{UNIT_TIME, "5124095577h", SCALAR_TOO_LARGE, 0},
	{UNIT_BYTES, "0", SCALAR_OK, 0},
	{UNIT_BYTES, "64B", SCALAR_OK, 64},
	{UNIT_BYTES, "64KiB", SCALAR_OK, 65536},
	{UNIT_BYTES, "3MiB", SCALAR_OK, 3 * MIB},
	{UNIT_BYTES, "17179869183GiB", SCALAR_OK, 17179869183 * GIB},
	{UNIT_BYTES, "17179869184GiB", SCALAR_TOO_LARGE, 0},
	{UNIT_BYTES, "64KB", SCALAR_UNKNOWN_UNIT, 0},
	{UNIT_BYTES, "64", SCALAR_WITHOUT_UNIT, 0},
};

static void test_parse(void **state)
{
	for (size_t i = 0; i < COUNT(scalars); i++) {
		uint64_t value = 0;
		enum scalar_status status = scalar_parse(scalars[i].unit, view_str(scalars[i].text), &value);
		if (status != scalars[i].status || (status == SCALAR_OK && value != scalars[i].value))
			fail_msg("\"%s\": status %u, value %llu", scalars[i].text, status, (unsigned long long)value);
	}
}

static void test_format(void **state)
{
	char text[SCALAR_TEXT_MAX];

	assert_string_equal(scalar_format(UNIT_NONE, 0, text), "0");
	assert_string_equal(scalar_format(UNIT_NONE, UINT64_MAX, text), "18446744073709551615");
	assert_string_equal(scalar_format(UNIT_TIME, 0, text), "0");
	assert_string_equal(scalar_format(UNIT_TIME, 90 * US_PER_S, text), "90s");
	assert_string_equal(scalar_format(UNIT_TIME, 1800 * US_PER_S, text), "30m");
	assert_string_equal(scalar_format(UNIT_TIME, 1500, text), "1500us");
	assert_string_equal(scalar_format(UNIT_BYTES, 1023, text), "1023B");
	assert_string_equal(scalar_format(UNIT_BYTES, 65536, text), "64KiB");
	assert_string_equal(scalar_format(UNIT_BYTES, 5 * GIB, text), "5GiB");
}

static const char *hint(const char *word, const char *candidates)
{
	static struct nearest near;
	struct config_complaints none = {0};
	struct load l = {.complaints = &none};
	struct view list = view_str(candidates), candidate;

	nearest_init(&near, &l, view_str(word));
	while (view_next_element(&list, &candidate))
		nearest_offer(&near, candidate);
	return nearest_hint(&near);
}

static void test_nearest(void **state)
{
	assert_string_equal(
		hint("max_conections", "max_connecting,max_connections"), " (did you mean `max_connections`?)");
	assert_string_equal(hint("ofder", "idle,order"), " (did you mean `order`?)");
	assert_string_equal(hint("roder", "idle,order"), " (did you mean `order`?)");
	assert_string_equal(hint("Order", "order"), " (did you mean `order`?)");
	assert_string_equal(hint("order_", "order"), " (did you mean `order`?)");
	assert_string_equal(hint("warn", "error,warning"), " (did you mean `warning`?)");
	assert_string_equal(hint("timeout_idle_pool", "idle"), " (did you mean `idle`?)");
	assert_string_equal(hint("xy", "ab"), "");
	assert_string_equal(hint("zebra", "order"), "");
	assert_string_equal(hint("", "order"), "");
	assert_string_equal(hint("302", "301"), "");
}

static void test_quote(void **state)
{
	struct quoted q;

	assert_string_equal(quote(&q, VIEW("a b")), "\"a b\"");
	assert_string_equal(quote(&q, VIEW("")), "\"\"");
	assert_string_equal(quote(&q, VIEW("a\0\n\x7f")), "\"a\\x00\\x0a\\x7f\"");
	/* Cut at 60 bytes, but never inside a character. */
	assert_string_equal(quote(&q, VIEW("01234567890123456789012345678901234567890123456789012345678\xc3\xa9x")),
		"\"01234567890123456789012345678901234567890123456789012345678...\"");
	for (size_t n = 0; n < 200; n++) {
		char controls[200] = {0};
		assert_true(strlen(quote(&q, view_of(controls, n))) < sizeof(q.text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
