/* When a queue stands (codel.h), and how fast one moves (pace.h): what goes in, what comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pool/codel.h"
#include "pool/pace.h"

#define TARGET 20
#define INTERVAL 100

static struct pool_codel codel;
static uint32_t left;  /* who wait still */

static void begin(void)
{
	pool_codel_init(&codel, TARGET, INTERVAL);
	pool_codel_begin(&codel);
	left = 1000;
}

/* `n` are served, one every 10 us from `now_us` on; each time the queue gets longer by `grows`. */
static void serve(uint64_t now_us, int n, uint64_t waited_us, int grows)
{
	for (int i = 0; i < n; i++) {
		left += (uint32_t)grows;
		pool_codel_served(&codel, now_us, waited_us, left);
		now_us += 10;
	}
}

static void late_for_an_interval_it_stands(void **state)
{
	begin();
	/* The first begins the interval; ten later it is over. */
	serve(0, 10, TARGET, 0);
	assert_false(codel.standing);
	serve(100, 1, TARGET, 0);
	assert_true(codel.standing);
}

static void once_in_time_it_begins_anew(void **state)
{
	begin();
	serve(0, 10, TARGET, 0);
	serve(99, 1, TARGET - 1, 0);
	serve(100, 10, TARGET, 0);
	assert_false(codel.standing);
	serve(200, 1, TARGET, 0);
	assert_true(codel.standing);
}

static void empty_it_begins_anew(void **state)
{
	begin();
	serve(0, 10, TARGET, 0);
	pool_codel_begin(&codel);
	serve(100, 1, TARGET, 0);
	assert_false(codel.standing);
	serve(110, 10, TARGET, 0);
	assert_true(codel.standing);
	pool_codel_begin(&codel);
	assert_false(codel.standing);
}

static void few_who_are_served_say_nothing(void **state)
{
	begin();
	for (int i = 0; i < POOL_CODEL_SERVED_MIN; i++) {
		pool_codel_served(&codel, (uint64_t)i * 1000, 5000, 10);
		assert_false(codel.standing);
	}
	pool_codel_served(&codel, POOL_CODEL_SERVED_MIN * 1000, 5000, 10);
	assert_true(codel.standing);
}

static void what_falls_does_not_stand(void **state)
{
	begin();
	/* Nobody comes: each that is served makes it shorter. */
	serve(0, 500, 10 * TARGET, -1);
	assert_false(codel.standing);
	/* As many come as are served. */
	serve(5000, 10, 10 * TARGET, 0);
	assert_false(codel.standing);
	serve(5100, 1, 10 * TARGET, 0);
	assert_true(codel.standing);
}

static void stands_until_nobody_is_refused_for_an_interval(void **state)
{
	begin();
	serve(0, 11, TARGET, 0);
	assert_true(codel.standing);
	pool_codel_refused(&codel, 150);
	/* In time, since those who would be late are refused. */
	serve(160, 9, TARGET - 1, 0);
	assert_true(codel.standing);
	serve(250, 1, TARGET - 1, 0);
	assert_false(codel.standing);
}

static void excused_it_does_not_begin_to_stand(void **state)
{
	begin();
	pool_codel_excuse(&codel, 500);
	pool_codel_excuse(&codel, 400);
	serve(0, 50, TARGET, 0);
	serve(500, 10, TARGET, 0);
	assert_false(codel.standing);
	serve(600, 1, TARGET, 0);
	assert_true(codel.standing);
	/* Too late. */
	pool_codel_excuse(&codel, 5000);
	assert_true(codel.standing);
}

static void off_it_never_stands(void **state)
{
	pool_codel_init(&codel, 0, 0);
	pool_codel_begin(&codel);
	serve(0, 1000, 1000000, 0);
	assert_false(codel.standing);
}

/* --- the pace ------------------------------------------------------------------------------------------------------ */

static void pace_is_the_mean_of_the_gaps(void **state)
{
	struct pool_pace pace;
	uint64_t now_us = 1000000;

	pool_pace_begin(&pace);
	/* However long it took until the first. */
	for (int i = 0; i <= POOL_PACE_KNOWN; i++) {
		assert_false(pool_pace_is_known(&pace));
		pool_pace_served(&pace, now_us += i % 2 == 0 ? 50 : 150);
	}
	assert_true(pool_pace_is_known(&pace));
	assert_in_range(pool_pace_wait_us(&pace, now_us, 1), 99, 100);
	assert_in_range(pool_pace_wait_us(&pace, now_us, 30), 2990, 3000);
	/* It follows. */
	for (int i = 0; i < 4 * POOL_PACE_MEMORY; i++)
		pool_pace_served(&pace, now_us += 400);
	assert_in_range(pool_pace_wait_us(&pace, now_us, 10), 3900, 4000);
	pool_pace_begin(&pace);
	assert_false(pool_pace_is_known(&pace));
}

static void pause_is_no_pace(void **state)
{
	struct pool_pace pace;
	uint64_t now_us = 0;

	pool_pace_begin(&pace);
	for (int i = 0; i < 2 * POOL_PACE_MEMORY; i++)
		pool_pace_served(&pace, now_us += 1000);
	/* While it lasts, as long again. */
	assert_in_range(pool_pace_wait_us(&pace, now_us + 200000, 10), 208990, 209010);
	/* And when it is over it is not multiplied. */
	pool_pace_served(&pace, now_us += 200000);
	assert_in_range(pool_pace_wait_us(&pace, now_us, 100), 100000, 126000);
}

static void pace_stays_within_its_bounds(void **state)
{
	struct pool_pace pace;
	uint64_t now_us = 0;

	pool_pace_begin(&pace);
	for (int i = 0; i < 2 * POOL_PACE_MEMORY; i++)
		pool_pace_served(&pace, now_us += UINT64_C(1) << 50);
	/* A gap counts for half an hour at most. */
	assert_in_range(pool_pace_wait_us(&pace, now_us, 1 << 20), (UINT64_C(1) << 51) - (1 << 21), UINT64_C(1) << 51);
	pool_pace_begin(&pace);
	for (int i = 0; i < 2 * POOL_PACE_MEMORY; i++)
		pool_pace_served(&pace, now_us);
	assert_int_equal(pool_pace_wait_us(&pace, now_us, 1 << 20), 0);
	/* And recovers from no time at all. */
	for (int i = 0; i < 8 * POOL_PACE_MEMORY; i++)
		pool_pace_served(&pace, now_us += 100000);
	assert_in_range(pool_pace_wait_us(&pace, now_us, 1), 95000, 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_for_an_interval_it_stands),
		cmocka_unit_test(once_in_time_it_begins_anew),
		cmocka_unit_test(empty_it_begins_anew),
		cmocka_unit_test(few_who_are_served_say_nothing),
		cmocka_unit_test(what_falls_does_not_stand),
		cmocka_unit_test(stands_until_nobody_is_refused_for_an_interval),
		cmocka_unit_test(excused_it_does_not_begin_to_stand),
		cmocka_unit_test(off_it_never_stands),
		cmocka_unit_test(pace_is_the_mean_of_the_gaps),
		cmocka_unit_test(pause_is_no_pace),
		cmocka_unit_test(pace_stays_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
