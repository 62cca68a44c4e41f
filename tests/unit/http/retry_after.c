/* Retry-After: seconds, or a date. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/retry_after.h"

#define S 1000000ULL
/* Sun, 06 Nov 1994 08:49:37 GMT, and a half. */
#define NOW_US (784111777 * S + S / 2)

static void test_good(void **state)
{
	static const struct {
		const char *text;
		uint64_t after_us;
	} good[] = {
		{"0", 0},
		{"120", 120 * S},
		{"00010", 10 * S},
		{"99999999999999", 100ULL * 366 * 86400 * S},
		{"Sun, 06 Nov 1994 08:49:38 GMT", S / 2},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 07:49:37 GMT", 0},
		{"Mon, 07 Nov 1994 08:49:37 GMT", 86400 * S - S / 2},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		/* The obsolete forms; two digits of a year are within fifty years to come. */
		{"Sunday, 06-Nov-94 08:49:38 GMT", S / 2},
		{"Monday, 07-Nov-94 08:49:37 GMT", 86400 * S - S / 2},
		{"Saturday, 05-Nov-44 08:49:37 GMT", 18262 * 86400 * S - S / 2},
		{"Thursday, 01-Jan-70 00:00:00 GMT", 0},
		{"Sun Nov  6 08:49:38 1994", S / 2},
		{"Wed Nov 16 08:49:37 1994", 10 * 86400 * S - S / 2},
		/* 1996 is a leap year: 29 February is 480 days later. */
		{"Thu, 29 Feb 1996 08:49:37 GMT", 480 * 86400 * S - S / 2},
		{"Fri, 01 Mar 1996 08:49:37 GMT", 481 * 86400 * S - S / 2},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		uint64_t after_us = 1;

		if (!retry_after_parse(view_str(good[i].text), NOW_US, &after_us) || after_us != good[i].after_us)
			fail_msg("%s: %llu", good[i].text, (unsigned long long)after_us);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {"", "-1", "1.5", " 1", "soon", "10 s", "99999999999999999999",
		"Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08:49:3x GMT", "Sun, 06 Nov 1869 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37", "Sunday, 06-Nov-xx 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sonntag, 06-Nov-94 08:49:37 GMT", "Monday, 07-Nov-45 08:49:37 GMT", "day, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 94", "Sun Nov  x 08:49:37 1994", "Sun Nov  0 08:49:37 1994"};
	uint64_t after_us;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (retry_after_parse(view_str(bad[i]), NOW_US, &after_us))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
