/* Who is refused a place in the queue, or loses it. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TARGET 20
#define INTERVAL 100
#define GAP 10
#define CROWD 64

static struct owner owner;
static struct borrower holder, crowd[CROWD];

static struct weir_pool_config standing_config(void)
{
	struct weir_pool_config config = one_connection();

	config.waiters_max = CROWD;
	config.queue_target_us = TARGET;
	config.queue_interval_us = INTERVAL;
	return config;
}

static void come(int from, int to)
{
	for (int i = from; i < to; i++) {
		borrower_init(&crowd[i], &owner);
		assert_int_equal(borrower_acquire(&crowd[i], 100000), WEIR_POOL_PENDING);
	}
}

/* After `GAP` the connection comes back, and goes to crowd[i]. */
static void serve(struct borrower *from, int i)
{
	owner.now_us += GAP;
	borrower_give_back(from, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(crowd[i].told, 1);
	assert_int_equal(crowd[i].outcome, WEIR_POOL_DELIVERED);
}

/* `waiting` wait all the time while `n` are served, one after the other; the last of these has the connection then. */
static int serve_in_a_row(int n, int waiting)
{
	come(0, waiting);
	for (int i = 0; i < n; i++) {
		serve(i == 0 ? &holder : &crowd[i - 1], i);
		if (i < n - 1)
			come(waiting + i, waiting + i + 1);
	}
	return n - 1;
}

static void assert_refused(const struct borrower *b, enum weir_pool_refusal why)
{
	assert_int_equal(b->outcome, WEIR_POOL_REJECTED);
	assert_int_equal(b->waiter.refusal, why);
	assert_int_equal(b->waiter.reason, 0);
	assert_int_equal(b->waiter.lease.slot, 0);
}

static void end(struct borrower *has)
{
	owner_close(&owner);
	owner_run(&owner);
	borrower_give_back(has, WEIR_POOL_REUSABLE);
	owner_release(&owner);
}

/* 40 wait; who is served second has waited for the target, and the 12th for the interval after that. */
static void queue_that_stands_is_shed(void **state)
{
	int has;

	pool_with_lease(&owner, standing_config(), &holder, NULL);
	has = serve_in_a_row(11, 40);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_REJECTED], 0);
	come(50, 51);
	serve(&crowd[has], has + 1);
	/* Two may wait for each that has a connection: the latest. */
	assert_int_equal(owner_stats(&owner).waiting, 2);
	for (int i = 12; i < 49; i++) {
		assert_int_equal(crowd[i].told, 1);
		assert_refused(&crowd[i], WEIR_POOL_SHED);
	}
	assert_int_equal(crowd[49].told + crowd[50].told, 0);
	assert_int_equal(owner_stats(&owner).refusals[WEIR_POOL_SHED], 37);
	/* Who comes is let wait, for which the one goes that has waited for the target. */
	come(51, 52);
	owner_run(&owner);
	assert_refused(&crowd[49], WEIR_POOL_SHED);
	serve(&crowd[has + 1], 50);
	serve(&crowd[50], 51);
	/* It was empty. */
	come(52, 64);
	owner.now_us += TARGET;
	owner_run(&owner);
	assert_int_equal(owner_stats(&owner).waiting, 12);
	end(&crowd[51]);
}

/* Who waits is refused at the target whether or not anything else happens then. */
static void shed_by_time_alone(void **state)
{
	int has;

	pool_with_lease(&owner, standing_config(), &holder, NULL);
	has = serve_in_a_row(11, 40);
	come(50, 51);
	serve(&crowd[has], has + 1);
	come(51, 61);
	owner_run(&owner);
	assert_int_equal(owner_stats(&owner).waiting, 11);
	assert_true(weir_pool_next_event(owner.pool) <= owner.now_us + TARGET);
	owner.now_us += TARGET;
	owner_run(&owner);
	assert_int_equal(owner_stats(&owner).waiting, 2);
	for (int i = 50; i < 59; i++)
		assert_refused(&crowd[i], WEIR_POOL_SHED);
	end(&crowd[has + 1]);
}

static void queue_that_is_excused_is_not_shed(void **state)
{
	int has;

	pool_with_lease(&owner, standing_config(), &holder, NULL);
	weir_pool_excuse_queue(owner.pool, owner.now_us + 5 * INTERVAL);
	has = serve_in_a_row(20, 40);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_REJECTED], 0);
	end(&crowd[has]);
}

/* Newcomers are refused as it is: nobody is spared anything. */
static void excuse_ends_with_a_full_queue(void **state)
{
	struct weir_pool_config config = standing_config();
	struct borrower too_many;

	config.waiters_max = 40;
	pool_with_lease(&owner, config, &holder, NULL);
	weir_pool_excuse_queue(owner.pool, owner.now_us + 50 * INTERVAL);
	come(0, 40);
	for (int i = 0; i < 12; i++) {
		borrower_init(&too_many, &owner);
		assert_int_equal(borrower_acquire(&too_many, 100000), WEIR_POOL_REJECTED);
		assert_int_equal(too_many.waiter.refusal, WEIR_POOL_QUEUE_FULL);
		assert_int_equal(owner_stats(&owner).refusals[WEIR_POOL_SHED], 0);
		serve(i == 0 ? &holder : &crowd[i - 1], i);
		if (i < 11)
			come(40 + i, 41 + i);
	}
	assert_true(owner_stats(&owner).refusals[WEIR_POOL_SHED] > 30);
	end(&crowd[11]);
}

static void queue_without_target_is_not_shed(void **state)
{
	struct weir_pool_config config = standing_config();
	int has;

	config.queue_target_us = config.queue_interval_us = 0;
	pool_with_lease(&owner, config, &holder, NULL);
	has = serve_in_a_row(20, 40);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_REJECTED], 0);
	end(&crowd[has]);
}

/* Who is shed leaves like everybody else: once, also if it cancels before it is told. */
static void shed_and_cancelled_before_it_is_told(void **state)
{
	pool_with_lease(&owner, standing_config(), &holder, NULL);
	serve_in_a_row(11, 40);
	owner.now_us += GAP;
	borrower_give_back(&crowd[10], WEIR_POOL_REUSABLE);
	borrower_cancel(&crowd[20]);
	owner_run(&owner);
	assert_int_equal(crowd[20].told, 0);
	assert_int_equal(crowd[21].told, 1);
	assert_refused(&crowd[21], WEIR_POOL_SHED);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_CANCELLED], 1);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_REJECTED], owner_stats(&owner).refusals[WEIR_POOL_SHED]);
	end(&crowd[11]);
}

/* One is served every 10 us. */
static void late_is_told_at_once(void **state)
{
	struct weir_pool_config config = standing_config();
	struct borrower b[3];
	int has;

	config.queue_target_us = config.queue_interval_us = 0;
	config.refuse_late = true;
	pool_with_lease(&owner, config, &holder, &b[0], &b[1], &b[2], NULL);
	has = serve_in_a_row(20, 11);
	assert_int_equal(owner_stats(&owner).waiting, 10);
	assert_int_equal(weir_pool_backlog_us(owner.pool, owner.now_us), 10 * GAP);
	assert_int_equal(borrower_acquire(&b[0], 11 * GAP - 1), WEIR_POOL_REJECTED);
	assert_int_equal(b[0].waiter.refusal, WEIR_POOL_LATE);
	assert_int_equal(borrower_acquire(&b[1], 11 * GAP), WEIR_POOL_PENDING);
	/* Who wants a fresh one has waited before. */
	b[2].waiter.fresh = true;
	assert_int_equal(borrower_acquire(&b[2], 1), WEIR_POOL_PENDING);
	assert_int_equal(owner_stats(&owner).refusals[WEIR_POOL_LATE], 1);
	end(&crowd[has]);
}

/* While it stands those before the newcomer leave by themselves: its turn comes after the target, whatever the pace. */
static void late_in_a_queue_that_stands_is_who_ends_before_the_target(void **state)
{
	struct weir_pool_config config = standing_config();
	struct borrower b[2];
	int has;

	config.refuse_late = true;
	pool_with_lease(&owner, config, &holder, &b[0], &b[1], NULL);
	/* Until the pace is known. */
	weir_pool_excuse_queue(owner.pool, owner.now_us + 8 * GAP);
	has = serve_in_a_row(17, 40);
	come(56, 57);
	serve(&crowd[has], has + 1);
	assert_int_equal(owner_stats(&owner).waiting, 2);
	come(57, 60);
	assert_int_equal(owner_stats(&owner).waiting, 4);
	assert_int_equal(borrower_acquire(&b[0], TARGET - 1), WEIR_POOL_REJECTED);
	assert_int_equal(b[0].waiter.refusal, WEIR_POOL_LATE);
	assert_int_equal(borrower_acquire(&b[1], TARGET), WEIR_POOL_PENDING);
	end(&crowd[has + 1]);
}

static void late_is_nobody_before_an_empty_queue(void **state)
{
	struct weir_pool_config config = standing_config();
	struct borrower b;

	config.refuse_late = true;
	pool_with_lease(&owner, config, &holder, &b, NULL);
	serve_in_a_row(20, 1);
	assert_int_equal(owner_stats(&owner).waiting, 0);
	assert_int_equal(weir_pool_backlog_us(owner.pool, owner.now_us), 0);
	assert_int_equal(borrower_acquire(&b, 1), WEIR_POOL_PENDING);
	end(&crowd[19]);
}

static enum weir_pool_outcome acquire_with(struct borrower *b, uint8_t priority)
{
	borrower_init(b, &owner);
	b->waiter.priority = priority;
	return borrower_acquire(b, 100000);
}

static void higher_priority_takes_the_place_of_the_newest_of_the_lowest(void **state)
{
	struct weir_pool_config config = one_connection();
	struct borrower a, b, c, d, e;

	config.waiters_max = 2;
	pool_with_lease(&owner, config, &holder, NULL);
	assert_int_equal(acquire_with(&a, 3), WEIR_POOL_PENDING);
	assert_int_equal(acquire_with(&b, 200), WEIR_POOL_PENDING);
	assert_int_equal(acquire_with(&c, 3), WEIR_POOL_REJECTED);
	assert_int_equal(c.waiter.refusal, WEIR_POOL_QUEUE_FULL);
	assert_int_equal(acquire_with(&c, 1), WEIR_POOL_PENDING);
	owner_run(&owner);
	assert_refused(&b, WEIR_POOL_QUEUE_FULL);
	assert_int_equal(a.told, 0);
	assert_int_equal(acquire_with(&d, 1), WEIR_POOL_PENDING);
	owner_run(&owner);
	assert_refused(&a, WEIR_POOL_QUEUE_FULL);
	assert_int_equal(acquire_with(&e, 1), WEIR_POOL_REJECTED);
	assert_int_equal(acquire_with(&e, 0), WEIR_POOL_PENDING);
	owner_run(&owner);
	assert_refused(&d, WEIR_POOL_QUEUE_FULL);
	assert_int_equal(owner_stats(&owner).refusals[WEIR_POOL_QUEUE_FULL], 5);
	borrower_give_back(&holder, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(e.outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&e, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(c.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &c, NULL);
}

/* A queue that only the low ones are late in stands all the same, and they go. */
static void low_priority_goes_first(void **state)
{
	struct borrower high;

	pool_with_lease(&owner, standing_config(), &holder, &high, NULL);
	for (int i = 0; i < 20; i++)
		assert_int_equal(acquire_with(&crowd[i], 2), WEIR_POOL_PENDING);
	for (int i = 0; i < 14; i++) {
		assert_int_equal(acquire_with(&high, 0), WEIR_POOL_PENDING);
		owner.now_us += GAP;
		borrower_give_back(&holder, WEIR_POOL_REUSABLE);
		owner_run(&owner);
		assert_int_equal(high.outcome, WEIR_POOL_DELIVERED);
		holder = high;
	}
	for (int i = 0; i < 19; i++)
		assert_refused(&crowd[i], WEIR_POOL_SHED);
	/* One waits on, beside one of the high at a time. */
	assert_int_equal(crowd[19].told, 0);
	end(&holder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_that_stands_is_shed),
		cmocka_unit_test(shed_by_time_alone),
		cmocka_unit_test(queue_that_is_excused_is_not_shed),
		cmocka_unit_test(excuse_ends_with_a_full_queue),
		cmocka_unit_test(queue_without_target_is_not_shed),
		cmocka_unit_test(shed_and_cancelled_before_it_is_told),
		cmocka_unit_test(late_is_told_at_once),
		cmocka_unit_test(late_in_a_queue_that_stands_is_who_ends_before_the_target),
		cmocka_unit_test(late_is_nobody_before_an_empty_queue),
		cmocka_unit_test(higher_priority_takes_the_place_of_the_newest_of_the_lowest),
		cmocka_unit_test(low_priority_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
