/* The bell: who is woken by what, and that no work is missed however the two sides interleave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

#include "base/units.h"
#include "telemetry/bell.h"

/* As many rounds as fit into some seconds: with one processor, and others who want it, each may take milliseconds. */
enum { ROUNDS_MIN = 100, ROUNDS_MAX = 20000, ENOUGH_S = 5, PATIENCE_S = 20 };

struct bedroom {
	struct bell bell;
	_Atomic(unsigned) work;  /* pieces published */
	_Atomic(unsigned) done;  /* pieces found by the sleeper */
	_Atomic(bool) over;      /* there will be no more */
};

static void *sleep_until_all_is_done(void *argument)
{
	struct bedroom *room = argument;

	while (!room->over) {
		/* A while of another length each time, so that the ring comes before, between and after the next lines. */
		for (volatile unsigned i = room->done % 1000; i > 0; i--)
			;
		bell_lie_down(&room->bell, BELL_ASLEEP);
		if (atomic_load(&room->work) == room->done && !room->over)
			bell_wait(&room->bell, DEADLINE_NEVER);
		bell_get_up(&room->bell);
		room->done = atomic_load(&room->work);
	}
	return NULL;
}

/* A piece at a time, so that each must wake the sleeper by itself wherever it stands on its way to sleep. */
static void no_work_is_missed(struct bedroom *room)
{
	pthread_t sleeper;
	time_t enough = time(NULL) + ENOUGH_S;

	assert_int_equal(pthread_create(&sleeper, NULL, sleep_until_all_is_done, room), 0);
	for (unsigned i = 1; i <= ROUNDS_MIN || (i <= ROUNDS_MAX && time(NULL) < enough); i++) {
		time_t until = time(NULL) + PATIENCE_S;

		atomic_store_explicit(&room->work, i, memory_order_release);
		bell_ring_for_work(&room->bell);
		while (atomic_load(&room->done) != i && time(NULL) <= until)
			sched_yield();
		assert_int_equal(room->done, i);
	}
	room->over = true;
	bell_ring(&room->bell);
	assert_int_equal(pthread_join(sleeper, NULL), 0);
}

/* The kernel makes the barriers, if it can. */
static void test_no_work_is_missed(void **state)
{
	static struct bedroom room;

	bell_init(&room.bell);
	no_work_is_missed(&room);
}

static void test_no_work_is_missed_without_the_kernel(void **state)
{
	static struct bedroom room;

	no_work_is_missed(&room);
}

static void test_work_does_not_end_a_nap(void **state)
{
	struct bell bell = {0};

	bell_lie_down(&bell, BELL_NAPPING);
	bell_ring_for_work(&bell);
	assert_int_equal(bell.state, BELL_NAPPING);
	bell_ring(&bell);
	assert_int_equal(bell.state, BELL_AWAKE);
}

static void test_work_ends_sleep(void **state)
{
	struct bell bell = {0};

	bell_lie_down(&bell, BELL_ASLEEP);
	bell_ring_for_work(&bell);
	assert_int_equal(bell.state, BELL_AWAKE);
}

/* Rung between lying down and waiting: the wait returns at once. */
static void test_early_ring_is_not_lost(void **state)
{
	struct bell bell = {0};

	bell_lie_down(&bell, BELL_ASLEEP);
	bell_ring(&bell);
	bell_wait(&bell, DEADLINE_NEVER);
}

static void test_nap_ends_by_itself(void **state)
{
	struct bell bell = {0};

	bell_lie_down(&bell, BELL_NAPPING);
	bell_wait(&bell, US_PER_MS);
	bell_get_up(&bell);
	assert_int_equal(bell.state, BELL_AWAKE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_work_is_missed),
		cmocka_unit_test(test_no_work_is_missed_without_the_kernel),
		cmocka_unit_test(test_work_does_not_end_a_nap),
		cmocka_unit_test(test_work_ends_sleep),
		cmocka_unit_test(test_early_ring_is_not_lost),
		cmocka_unit_test(test_nap_ends_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
