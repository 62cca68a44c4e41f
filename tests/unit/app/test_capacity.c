/* The capacity model: what it promises about time, fairness and limits, with the clock in the test's hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/capacity.h"

#define SERVICE_US (100 * US_PER_MS)
#define SLACK_US (1 * US_PER_MS)   /* what a job may end early, for the timer's sake */

static const struct capacity_options plain = {.concurrent = 4, .service_us = SERVICE_US, .thrash_from = 2};

/* Lets everything end, as a loop would: at each time that the model names. Returns when the last job did. */
static uint64_t run_dry(struct capacity *c, unsigned *ended)
{
	uint64_t now = 0;

	for (*ended = 0; c->in_flight > 0;) {
		now = capacity_next_us(c);
		while (capacity_take_ended(c, now) != NULL)
			(*ended)++;
	}
	assert_true(capacity_next_us(c) == DEADLINE_NEVER);
	return now;
}

static void assert_about(uint64_t us, uint64_t expected)
{
	assert_in_range(us, expected - SLACK_US, expected + expected / 1000 + 2);
}

static uint64_t all_at_once(const struct capacity_options *options, unsigned count)
{
	struct capacity_job jobs[64] = {0};
	struct capacity c;
	unsigned ended;

	capacity_init(&c, options, 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(capacity_enter(&c, &jobs[i], 0));
	uint64_t last = run_dry(&c, &ended);

	assert_int_equal(ended, count);
	assert_int_equal(c.in_flight_max, count);
	return last;
}

static void test_within_capacity_each_takes_the_service_time(void **state)
{
	assert_about(all_at_once(&plain, 1), SERVICE_US);
	assert_about(all_at_once(&plain, 4), SERVICE_US);
}

static void test_the_time_in_flight_is_added_up(void **state)
{
	struct capacity_job jobs[2] = {0};
	struct capacity c;

	capacity_init(&c, &plain, 0);
	assert_true(capacity_enter(&c, &jobs[0], 10));
	assert_true(capacity_enter(&c, &jobs[1], 30));
	assert_int_equal((int)capacity_busy_us(&c, 50), 20 + 2 * 20);
	capacity_leave(&c, &jobs[0], 60);
	assert_int_equal((int)capacity_busy_us(&c, 100), 20 + 2 * 30 + 40);
	capacity_leave(&c, &jobs[1], 100);
	assert_int_equal((int)capacity_busy_us(&c, 1000), 120);
}

static void test_beyond_it_the_time_grows_in_proportion(void **state)
{
	/* Nobody comes behind them, so all end together. */
	assert_about(all_at_once(&plain, 8), 2 * SERVICE_US);
	assert_about(all_at_once(&plain, 40), 10 * SERVICE_US);
}

static void test_thrashing_sets_in_beyond_its_multiple(void **state)
{
	struct capacity_options options = plain;

	options.thrash_percent = 50;
	assert_about(all_at_once(&options, 8), 2 * SERVICE_US);
	assert_about(all_at_once(&options, 16), 4 * SERVICE_US * 2);
}

/* Half of the service is given with 4 at once, the other half with 2. */
static void test_a_capacity_that_changes_is_that_of_those_in_flight_too(void **state)
{
	struct capacity_job jobs[4] = {0};
	struct capacity c;
	unsigned ended;

	capacity_init(&c, &plain, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_true(capacity_enter(&c, &jobs[i], 0));
	capacity_set(&c, 2, SERVICE_US / 2);
	assert_about(run_dry(&c, &ended), SERVICE_US / 2 + SERVICE_US);
	assert_int_equal(ended, 4);
}

static void test_who_comes_later_ends_later(void **state)
{
	struct capacity_job first = {0}, second = {0};
	struct capacity c;

	capacity_init(&c, &plain, 1000);
	assert_true(capacity_enter(&c, &first, 1000));
	assert_true(capacity_enter(&c, &second, 1000 + SERVICE_US / 2));
	assert_null(capacity_take_ended(&c, 1000 + SERVICE_US - 2 * SLACK_US));
	assert_ptr_equal(capacity_take_ended(&c, 1000 + SERVICE_US), &first);
	assert_null(capacity_take_ended(&c, 1000 + SERVICE_US));
	assert_ptr_equal(capacity_take_ended(&c, 1000 + SERVICE_US * 3 / 2), &second);
	assert_int_equal(c.in_flight, 0);
}

static void test_who_leaves_makes_the_others_faster(void **state)
{
	struct capacity_job jobs[8] = {0};
	struct capacity c;
	unsigned ended;

	capacity_init(&c, &plain, 0);
	for (int i = 0; i < 8; i++)
		assert_true(capacity_enter(&c, &jobs[i], 0));
	/* Half of the service at half speed; then the other half at full speed. */
	for (int i = 0; i < 4; i++)
		capacity_leave(&c, &jobs[i], SERVICE_US);
	capacity_leave(&c, &jobs[0], SERVICE_US);
	assert_int_equal(c.in_flight, 4);
	assert_about(run_dry(&c, &ended), SERVICE_US + SERVICE_US / 2);
	assert_int_equal(ended, 4);
}

static void test_above_the_limit_nobody_enters(void **state)
{
	struct capacity_options options = plain;
	struct capacity_job jobs[3] = {0};
	struct capacity c;

	options.reset_above = 2;
	capacity_init(&c, &options, 0);
	assert_true(capacity_enter(&c, &jobs[0], 0));
	assert_true(capacity_enter(&c, &jobs[1], 0));
	assert_false(capacity_enter(&c, &jobs[2], 0));
	assert_int_equal(c.in_flight, 2);
	capacity_leave(&c, &jobs[0], 0);
	assert_true(capacity_enter(&c, &jobs[2], 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_within_capacity_each_takes_the_service_time),
		cmocka_unit_test(test_beyond_it_the_time_grows_in_proportion),
		cmocka_unit_test(test_thrashing_sets_in_beyond_its_multiple),
		cmocka_unit_test(test_a_capacity_that_changes_is_that_of_those_in_flight_too),
		cmocka_unit_test(test_who_comes_later_ends_later),
		cmocka_unit_test(test_who_leaves_makes_the_others_faster),
		cmocka_unit_test(test_above_the_limit_nobody_enters),
		cmocka_unit_test(test_the_time_in_flight_is_added_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
