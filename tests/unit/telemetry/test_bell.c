/* The bell: who is woken by what, and that no work is missed however the two sides interleave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/units.h"
#include "telemetry/bell.h"

/* As many rounds as fit into some seconds: with one processor, and others who want it, each may take milliseconds. */
enum { ROUNDS_MIN = 100, ROUNDS_MAX = 20000, ENOUGH_S = 5, PATIENCE_S = 20 };

/* Of membarrier(2): what the kernel refuses from now on, as for a container's seccomp profile, or for want of memory. 0: nothing. */
static _Atomic(long) refused_command;
static _Atomic(unsigned) refusals;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number != SYS_membarrier)
		return __real_syscall(number, a, b, c, d, e, f);
	/* The others of its arguments are what happened to stand there. */
	if ((int)a != refused_command)
		return __real_syscall(number, (int)a, 0, 0);
	refusals++;
	errno = ENOMEM;
	return -1;
}

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

/* From the start: as on a kernel that has none. */
static void test_no_work_is_missed_where_barriers_are_forbidden(void **state)
{
	static struct bedroom room;

	refused_command = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
	bell_init(&room.bell);
	refused_command = 0;
	assert_false(room.bell.has_kernel);
	no_work_is_missed(&room);
}

/* Only later: then a ring may be missed, but not for long. */
static void test_no_work_is_missed_when_barriers_fail(void **state)
{
	static struct bedroom room;
	unsigned before = refusals;

	bell_init(&room.bell);
	refused_command = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
	no_work_is_missed(&room);
	refused_command = 0;
	assert_true(!room.bell.has_kernel || refusals > before);
}

static void test_nobody_oversleeps_when_barriers_fail(void **state)
{
	struct bell bell;

	bell_init(&bell);
	bell.has_kernel = true;
	refused_command = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
	bell_lie_down(&bell, BELL_ASLEEP);
	refused_command = 0;
	/* Nobody rings. */
	bell_wait(&bell, DEADLINE_NEVER);
	assert_int_equal(bell.state, BELL_ASLEEP);
	bell_get_up(&bell);
	/* That was that sleep: once they do not fail any more it is as long as it is. */
	bell_lie_down(&bell, BELL_ASLEEP);
	assert_false(bell.unsure);
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
		cmocka_unit_test(test_no_work_is_missed_where_barriers_are_forbidden),
		cmocka_unit_test(test_no_work_is_missed_when_barriers_fail),
		cmocka_unit_test(test_nobody_oversleeps_when_barriers_fail),
		cmocka_unit_test(test_work_does_not_end_a_nap),
		cmocka_unit_test(test_work_ends_sleep),
		cmocka_unit_test(test_early_ring_is_not_lost),
		cmocka_unit_test(test_nap_ends_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
