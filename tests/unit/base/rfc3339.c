/*
 * Times in RFC 3339: what is left out is cut off, and every day is the one that libc has.
 */
#include "base/rfc3339.h"

#include <time.h>

#include "unit.h"

static void test_moments(void **state)
{
	char text[RFC3339_BYTES + 1] = "";

	rfc3339_write(1795231500123456, text);
	assert_string_equal(text, "2026-11-21T03:25:00.123Z");
	rfc3339_write(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	rfc3339_write(951782399999999, text);
	assert_string_equal(text, "2000-02-28T23:59:59.999Z");
}

/* Each day of eight hundred years, as libc has it. */
static void test_every_day(void **state)
{
	char text[RFC3339_BYTES + 1] = "", expected[64];

	for (time_t day = 0; day < 800 * 366; day++) {
		time_t at = day * 86400 + (day * 7919) % 86400;
		struct tm tm;

		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.010Z", gmtime_r(&at, &tm));
		rfc3339_write((uint64_t)at * 1000000 + 10999, text);
		assert_string_equal(text, expected);
	}
}

static void test_seconds(void **state)
{
	char text[RFC3339_SECONDS_BYTES + 1] = "";

	rfc3339_write_seconds(1795231500999999, text);
	assert_string_equal(text, "2026-11-21T03:25:00Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moments),
		cmocka_unit_test(test_every_day),
		cmocka_unit_test(test_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
