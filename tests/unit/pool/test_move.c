/* Who waits goes on waiting in another pool. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FOREVER 100000000
#define CROWD 64

static struct owner here, there;
static struct borrower holder, other_holder, b[CROWD];

static struct weir_pool_config config_of(uint32_t connections, uint32_t waiters)
{
	struct weir_pool_config config = owner_config();

	config.connections_max = connections;
	config.waiters_max = waiters;
	return config;
}

/* Two pools with one connection each, which is leased. */
static void two_pools(struct weir_pool_config config)
{
	pool_with_lease(&here, config, &holder, NULL);
	pool_with_lease(&there, config, &other_holder, NULL);
}

static void end(void)
{
	for (size_t i = 0; i < sizeof(b) / sizeof(*b); i++)
		if (b[i].owner != NULL)
			borrower_cancel(&b[i]);
	owner_close(&here);
	owner_close(&there);
	owner_run(&here);
	owner_run(&there);
	borrower_give_back(&holder, WEIR_POOL_REUSABLE);
	borrower_give_back(&other_holder, WEIR_POOL_REUSABLE);
	owner_release(&here);
	owner_release(&there);
	memset(b, 0, sizeof(b));
}

static void wait_at(struct owner *owner, int i, uint8_t priority)
{
	borrower_init(&b[i], owner);
	b[i].waiter.priority = priority;
	assert_int_equal(borrower_acquire(&b[i], FOREVER), WEIR_POOL_PENDING);
	here.now_us = there.now_us = owner->now_us + 1;
}

static bool move(int i)
{
	uint64_t now_us = here.now_us > there.now_us ? here.now_us : there.now_us;
	bool moved;

	here.now_us = there.now_us = now_us;
	moved = weir_pool_move(&b[i].waiter, there.pool, now_us);
	owner_audit(&here);
	owner_audit(&there);
	if (moved)
		b[i].owner = &there;
	return moved;
}

/* The order in which those who wait are served. */
static void assert_order(struct owner *owner, const char *order)
{
	struct weir_pool_waiter *waiters[8];
	uint32_t n = weir_pool_waiting(owner->pool, waiters, 8);

	assert_int_equal(n, strlen(order));
	for (uint32_t i = 0; i < n; i++)
		assert_ptr_equal(waiters[i], &b[order[i] - '0'].waiter);
}

/* By its age, within its priority; nothing is counted until it has ended. */
static void keeps_its_place(void **state)
{
	two_pools(config_of(1, 6));
	wait_at(&there, 0, 0);
	wait_at(&here, 1, 0);
	wait_at(&there, 2, 0);
	wait_at(&there, 3, 1);
	wait_at(&here, 4, 1);
	wait_at(&there, 5, 0);
	assert_order(&here, "14");
	assert_true(move(1));
	assert_true(move(4));
	assert_order(&here, "");
	assert_order(&there, "012534");
	assert_int_equal(owner_stats(&here).acquires[WEIR_POOL_CANCELLED], 0);
	for (int i = 0; i < 2; i++) {
		borrower_give_back(i == 0 ? &other_holder : &b[0], WEIR_POOL_REUSABLE);
		owner_run(&there);
		assert_int_equal(b[i].told, 1);
		assert_int_equal(b[i].outcome, WEIR_POOL_DELIVERED);
	}
	assert_int_equal(b[2].told, 0);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owner_run(&there);
	other_holder = b[2];
	b[2].owner = NULL;
	end();
}

/* What is idle there serves it; it hears that from the other pool's run, not before. */
static void served_at_once(void **state)
{
	two_pools(config_of(1, 4));
	borrower_give_back(&other_holder, WEIR_POOL_REUSABLE);
	wait_at(&here, 0, 0);
	assert_true(move(0));
	assert_int_equal(b[0].told, 0);
	owner_run(&there);
	assert_int_equal(b[0].told, 1);
	assert_int_equal(b[0].outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner_stats(&here).waiting, 0);
	other_holder = b[0];
	b[0].owner = NULL;
	end();
}

/* Whose time has come is not moved, whether its pool knows that or not. */
static void not_when_its_time_has_come(void **state)
{
	two_pools(config_of(1, 4));
	wait_at(&here, 0, 0);
	here.now_us += owner_config().acquire_timeout_us;
	assert_false(move(0));
	owner_run(&here);
	assert_int_equal(b[0].outcome, WEIR_POOL_TIMED_OUT);
	b[0].owner = NULL;
	end();
}

/* Its time is not longer there, nor shorter. */
static void keeps_its_deadline(void **state)
{
	struct weir_pool_config config = config_of(1, 4);
	uint64_t due_us;

	two_pools(config);
	wait_at(&here, 0, 0);
	due_us = here.now_us - 1 + config.acquire_timeout_us;
	here.now_us = due_us - 1;
	assert_true(move(0));
	owner_run(&there);
	assert_int_equal(b[0].told, 0);
	owner_run_at(&there, due_us);
	assert_int_equal(b[0].told, 1);
	assert_int_equal(b[0].outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(owner_stats(&here).acquires[WEIR_POOL_TIMED_OUT], 0);
	b[0].owner = NULL;
	end();
}

/* Nothing changes when the other pool could not keep it. */
static void stays(void **state)
{
	two_pools(config_of(1, 1));
	wait_at(&there, 0, 0);
	wait_at(&here, 1, 0);
	assert_false(move(1));
	assert_order(&here, "1");
	borrower_cancel(&b[0]);
	assert_false(weir_pool_move(&b[0].waiter, there.pool, here.now_us));
	assert_false(weir_pool_move(&b[1].waiter, here.pool, here.now_us));
	owner_drain(&there);
	assert_false(move(1));
	assert_order(&here, "1");
	owner_run_at(&here, here.now_us + owner_config().acquire_timeout_us);
	assert_int_equal(b[1].outcome, WEIR_POOL_TIMED_OUT);
	b[0].owner = b[1].owner = NULL;
	end();
}

/* The last who waits in a pool that drains: then it closes. */
static void pool_that_drains_is_left(void **state)
{
	two_pools(config_of(1, 4));
	wait_at(&here, 0, 0);
	owner_drain(&here);
	assert_true(move(0));
	borrower_give_back(&holder, WEIR_POOL_REUSABLE);
	owner_run(&here);
	assert_int_equal(here.closed_told, 1);
	assert_int_equal(b[0].told, 0);
	holder = (struct borrower){0};
	borrower_cancel(&b[0]);
	b[0].owner = NULL;
	owner_release(&here);
	owner_close(&there);
	borrower_give_back(&other_holder, WEIR_POOL_REUSABLE);
	owner_release(&there);
}

static struct weir_pool_config standing_config(void)
{
	struct weir_pool_config config = config_of(1, CROWD);

	config.queue_target_us = 20;
	config.queue_interval_us = 100;
	return config;
}

/* After 10 us the connection comes back, and goes to b[i]. */
static void serve(int i)
{
	there.now_us += 10;
	borrower_give_back(i == 0 ? &other_holder : &b[i - 1], WEIR_POOL_REUSABLE);
	owner_run(&there);
	assert_int_equal(b[i].told, 1);
	assert_int_equal(b[i].outcome, WEIR_POOL_DELIVERED);
}

/* Those who come are older than the target: for an interval the queue does not begin to stand for that. */
static void queue_does_not_stand_for_it(void **state)
{
	two_pools(standing_config());
	for (int i = 0; i < 20; i++)
		wait_at(&here, i, 0);
	here.now_us += 1000;
	for (int i = 0; i < 20; i++)
		assert_true(move(i));
	for (int i = 0; i < 12; i++) {
		serve(i);
		wait_at(&there, 20 + i, 0);
	}
	assert_int_equal(owner_stats(&there).refusals[WEIR_POOL_SHED], 0);
	for (int i = 0; i < 11; i++)
		b[i].owner = NULL;
	other_holder = b[11];
	b[11].owner = NULL;
	end();
}

/* Whoever comes to one that does would be refused. */
static void not_into_a_queue_that_stands(void **state)
{
	int i;

	two_pools(standing_config());
	for (i = 0; i < 20; i++)
		wait_at(&there, i, 0);
	wait_at(&here, CROWD - 1, 0);
	for (i = 0; i < 40; i++) {
		serve(i);
		if (owner_stats(&there).refusals[WEIR_POOL_SHED] > 0)
			break;
		wait_at(&there, 20 + i, 0);
	}
	assert_true(i < 40);
	assert_false(move(CROWD - 1));
	assert_int_equal(owner_stats(&here).waiting, 1);
	other_holder = b[i];
	for (int j = 0; j < CROWD; j++)
		if (b[j].told > 0)
			b[j].owner = NULL;
	end();
}

/* From inside open: the pool is between two steps. */
static bool moved_inside;

static void on_open(struct owner *owner, uint32_t slot)
{
	moved_inside = weir_pool_move(&b[0].waiter, there.pool, owner->now_us);
}

static void not_from_inside_open(void **state)
{
	pool_with(&here, config_of(1, 4), NULL);
	pool_with_lease(&there, config_of(1, 4), &other_holder, NULL);
	here.on_open = on_open;
	moved_inside = true;
	wait_at(&here, 0, 0);
	assert_false(moved_inside);
	here.on_open = NULL;
	assert_true(move(0));
	owner_opened(&here, 0);
	borrower_init(&holder, &here);
	assert_int_equal(borrower_acquire(&holder, FOREVER), WEIR_POOL_DELIVERED);
	end();
}

/* Everything at any time: each acquire has one outcome, and is counted in one pool. */
static uint64_t seed = 1;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static uint64_t outcomes_of(const struct weir_pool_stats *stats)
{
	uint64_t sum = 0;

	for (int i = 0; i < WEIR_POOL_PENDING; i++)
		sum += stats->acquires[i];
	return sum;
}

static void act(struct borrower *one, uint64_t *asked)
{
	struct owner *owner = draw(2) ? &here : &there;
	enum weir_pool_outcome outcome;

	if (one->waiter.lease.slot != 0) {
		one->owner = weir_pool_touch(here.pool, one->waiter.lease, here.now_us) ? &here : &there;
		borrower_give_back(one, draw(4) ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD);
		borrower_init(one, one->owner);
	} else if (one->owner == NULL || one->told > 0) {
		borrower_init(one, owner);
		one->waiter.priority = (uint8_t)draw(5);
		one->waiter.fresh = draw(8) == 0;
		outcome = borrower_acquire(one, 1 + draw(400));
		++*asked;
		one->told = outcome != WEIR_POOL_PENDING;
	} else if (draw(4) == 0) {
		borrower_cancel(one);
		borrower_init(one, owner);
		one->told = 1;
	} else if (weir_pool_move(&one->waiter, owner->pool, owner->now_us)) {
		one->owner = owner;
	}
}

static void at_random(void **state)
{
	struct weir_pool_config config = config_of(2, 3);
	struct weir_pool_stats a, c;
	uint64_t asked = 0;

	config.acquire_timeout_us = 300;
	config.queue_target_us = 20;
	config.queue_interval_us = 60;
	pool_with(&here, config, NULL);
	pool_with(&there, config, NULL);
	here.open_answer = here.close_answer = there.open_answer = there.close_answer = ANSWER_YES;
	for (int i = 0; i < 200000; i++) {
		here.now_us = there.now_us = here.now_us + draw(12);
		here.opens_n = here.closes_n = there.opens_n = there.closes_n = 0;
		act(&b[draw(8)], &asked);
		owner_audit(&here);
		owner_audit(&there);
		if (draw(3) == 0) {
			owner_run(&here);
			owner_run(&there);
		}
	}
	for (int i = 0; i < 8; i++)
		if (b[i].owner != NULL && b[i].waiter.lease.slot != 0)
			act(&b[i], &asked);
		else if (b[i].owner != NULL)
			borrower_cancel(&b[i]);
	a = owner_stats(&here);
	c = owner_stats(&there);
	assert_int_equal(outcomes_of(&a) + outcomes_of(&c), asked);
	assert_int_equal(a.leased + c.leased + a.waiting + c.waiting, 0);
	owner_release(&here);
	owner_release(&there);
	memset(b, 0, sizeof(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_its_place),
		cmocka_unit_test(served_at_once),
		cmocka_unit_test(not_when_its_time_has_come),
		cmocka_unit_test(keeps_its_deadline),
		cmocka_unit_test(stays),
		cmocka_unit_test(pool_that_drains_is_left),
		cmocka_unit_test(queue_does_not_stand_for_it),
		cmocka_unit_test(not_into_a_queue_that_stands),
		cmocka_unit_test(not_from_inside_open),
		cmocka_unit_test(at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
