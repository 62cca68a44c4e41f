/* What a target asks of the origin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/origin_plan.h"
#include "base/units.h"

static struct origin_plan plan;

static const char *read_target(const char *target)
{
	plan = (struct origin_plan){.status = 200, .size = 128};
	return origin_plan_read(&plan, view_str(target));
}

static void test_any_other_path_is_the_default(void **state)
{
	const char *const targets[] = {"/", "/users/1", "/echoes", "/status", "*", "http://host/a", "http://host", "/?",
		"/?a=b", "/?sizes=3&=&&"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		assert_null(read_target(targets[i]));
		assert_int_equal(plan.kind, ORIGIN_PLAIN);
		assert_false(plan.special);
		assert_int_equal(plan.size, 128);
		assert_int_equal(plan.status, 200);
	}
}

static void test_paths(void **state)
{
	static const struct {
		const char *target;
		enum origin_kind kind;
	} cases[] = {
		{"/echo", ORIGIN_ECHO}, {"/headers?a=b", ORIGIN_HEADERS}, {"/events", ORIGIN_EVENTS},
		{"/trailers", ORIGIN_TRAILERS}, {"/early-hints", ORIGIN_EARLY_HINTS}, {"/upgrade", ORIGIN_UPGRADE},
		{"/books", ORIGIN_BOOKS},
		{"http://host:1/echo?size=1", ORIGIN_ECHO},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(read_target(cases[i].target));
		assert_int_equal(plan.kind, cases[i].kind);
		assert_true(plan.special);
	}
}

static void test_parameters(void **state)
{
	assert_null(read_target("/x?size=1MiB&delay=50ms&status=503&chunked=1&close=1&fault=truncate&count=7"));
	assert_int_equal(plan.size, MIB);
	assert_int_equal(plan.delay_us, 50 * US_PER_MS);
	assert_int_equal(plan.status, 503);
	assert_int_equal(plan.chunked, 1);
	assert_int_equal(plan.close, 1);
	assert_int_equal(plan.fault, ORIGIN_FAULT_TRUNCATE);
	assert_int_equal(plan.count, 7);
	assert_null(read_target("/status/418"));
	assert_int_equal(plan.status, 418);
	assert_null(read_target("/?size=77"));
	assert_int_equal(plan.size, 77);
	assert_null(read_target("/?fault=none&size=0"));
	assert_int_equal(plan.size, 0);
}

static void test_events_come_with_a_pace_of_their_own(void **state)
{
	assert_null(read_target("/events"));
	assert_int_equal(plan.count, 5);
	assert_int_equal(plan.delay_us, 100 * US_PER_MS);
	assert_null(read_target("/events?count=2&delay=0"));
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.delay_us, 0);
}

static void test_the_books_wait_for_nothing(void **state)
{
	plan = (struct origin_plan){.status = 200, .size = 128, .delay_us = US_PER_S};
	assert_null(origin_plan_read(&plan, VIEW("/books")));
	assert_int_equal(plan.delay_us, 0);
}

static void test_wrong_values_are_told(void **state)
{
	const char *const targets[] = {"/?size=", "/?size=-1", "/?size=1XB", "/?size=18446744073709551615", "/?delay=5",
		"/?delay=2h", "/?status=100", "/?status=600", "/?status=abc", "/status/", "/status/1", "/?chunked=yes",
		"/?close=2", "/capacity?n=0", "/?fault=flood", "/?count=-1", "/?size=1&size=x"};

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		assert_non_null(read_target(targets[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_other_path_is_the_default),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_events_come_with_a_pace_of_their_own),
		cmocka_unit_test(test_the_books_wait_for_nothing),
		cmocka_unit_test(test_wrong_values_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
