/*
 * What users of other pools rely on, above all of Netty's FixedChannelPool and SimpleChannelPool: one test for each
 * behaviour that their tests cover. docs/pool-netty.md says which is which, and where this pool is stricter.
 */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_second_acquire_waits_and_is_given_the_same_connection(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, one_connection(), &a, &b, NULL);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_PENDING);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_ptr_equal(b.waiter.connection, a.waiter.connection);
	assert_int_equal(owner.opens_n, 1);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_DELIVERED], 2);
	pool_end(&owner, &b, NULL);
}

static void a_second_give_back_is_refused_and_the_connection_stays_good(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, one_connection(), &a, NULL);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_false(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner_stats(&owner).double_give_backs, 1);
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(owner.closes_n, 0);
	owner_release(&owner);
}

static void an_acquire_times_out_while_the_only_connection_is_out(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a, b;

	config.acquire_timeout_us = 500000;
	pool_with_lease(&owner, config, &a, &b, NULL);
	borrower_acquire(&b, 10000000);
	owner_run_at(&owner, owner.now_us + 499999);
	assert_int_equal(b.told, 0);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(b.outcome, WEIR_POOL_TIMED_OUT);
	/* And leaves nothing behind: the connection that comes back is idle, not given to nobody. */
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(owner_stats(&owner).leased, 0);
	owner_release(&owner);
}

static void no_patience_at_all_is_answered_in_the_call(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, one_connection(), &a, &b, NULL);
	assert_int_equal(borrower_acquire(&b, 0), WEIR_POOL_TIMED_OUT);
	assert_int_equal(b.told, 0);
	pool_end(&owner, &a, NULL);
}

static void after_the_timeout_a_new_connection_is_opened_beyond_the_maximum(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a, b, c;

	config.on_acquire_timeout = WEIR_POOL_NEW;
	config.overflow_max = 1;
	config.acquire_timeout_us = 500;
	pool_with_lease(&owner, config, &a, &b, &c, NULL);
	borrower_acquire(&b, 5000);
	owner_run_at(&owner, owner.now_us + 1);
	borrower_acquire(&c, 5000);
	owner_run_at(&owner, owner.now_us + 499);
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	/* One more and no more: the next times out. */
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_ptr_not_equal(b.waiter.connection, a.waiter.connection);
	assert_int_equal(c.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(owner.opens_n, 2);
	/* And it goes when it is not needed any more. */
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_OVERFLOW], 1);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_release(&owner);
}

static void a_connection_that_died_while_it_was_out_makes_room_for_a_new_one(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, one_connection(), &a, &b, NULL);
	owner_spoiled(&owner, owner.opens[0]);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner.closes_n, 1);
	borrower_lease(&b);
	assert_int_equal(owner.opens_n, 2);
	assert_false(b.waiter.reused);
	pool_end(&owner, &b, NULL);
}

static void the_queue_is_bounded(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a, b, c;

	config.waiters_max = 1;
	pool_with_lease(&owner, config, &a, &b, &c, NULL);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_PENDING);
	assert_int_equal(borrower_acquire(&c, 1000), WEIR_POOL_REJECTED);
	borrower_cancel(&b);
	pool_end(&owner, &a, NULL);
}

static void a_give_back_after_close_is_accepted_and_closes_the_connection(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	owner_close(&owner);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 0);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner.closes_n, 1);
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_POOL], 1);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void a_dead_connection_is_given_back_without_an_error(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	assert_true(borrower_give_back(&a, WEIR_POOL_DISCARD));
	assert_int_equal(owner_stats(&owner).idle, 0);
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_DISCARDED], 1);
	owner_release(&owner);
}

static void close_is_told_when_everything_is_back(void **state)
{
	struct borrower b[2], late;
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	borrowers_lease(b, 2, &owner);
	owner_close(&owner);
	borrower_init(&late, &owner);
	assert_int_equal(borrower_acquire(&late, 1000), WEIR_POOL_CLOSED);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 0);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	assert_int_equal(owner_stats(&owner).leased, 0);
	weir_pool_free(owner.pool);
}

static void close_ends_idle_connections_at_once(void **state)
{
	struct borrower b[2];
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	borrowers_lease(b, 2, &owner);
	borrowers_give_back(b, 2);
	assert_int_equal(owner.closes_n, 0);
	owner_close(&owner);
	assert_int_equal(owner.closes_n, 2);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

/* --- callbacks that fail ------------------------------------------------------------------------------------------ */

static void fail_here(struct owner *owner, uint32_t slot)
{
	owner_open_failed(owner, slot, 5);
}

static void not_good_here(struct owner *owner, uint32_t slot)
{
	owner_checked(owner, slot, false);
}

static void callbacks_that_fail_lose_no_slot(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a;

	config.checks = WEIR_POOL_CHECK_ON_ACQUIRE | WEIR_POOL_CHECK_ON_GIVE_BACK;
	config.check_timeout_us = 1000;
	pool_with(&owner, config, &a, NULL);
	owner.on_open = fail_here;
	for (int i = 0; i < 10; i++)
		assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_OPEN_FAILED);
	owner.on_open = NULL;
	owner.on_check = not_good_here;
	for (int i = 0; i < 10; i++) {
		borrower_lease(&a);
		assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
		assert_int_equal(owner_stats(&owner).idle + owner_stats(&owner).checking, 0);
	}
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_CHECK_FAILED], 10);
	assert_int_equal(owner_stats(&owner).opened, owner_stats(&owner).closed);
	owner_release(&owner);
}

static void fail_the_borrower(struct borrower *b)
{
	borrower_give_back(b, WEIR_POOL_DISCARD);
}

static void a_borrower_that_fails_on_delivery_gives_back(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	a.then = fail_the_borrower;
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	owner_opened(&owner, owner.opens[0]);
	owner_run(&owner);
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &b, NULL);
}

/* --- checks when a connection comes back -------------------------------------------------------------------------- */

static void with_a_check_on_give_back_only_good_ones_stay(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a, b;

	config.checks = WEIR_POOL_CHECK_ON_GIVE_BACK;
	config.check_timeout_us = 1000;
	pool_with(&owner, config, &a, &b, NULL);
	owner.check_answer = ANSWER_YES;
	borrower_lease(&a);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	borrower_lease(&b);
	assert_ptr_equal(a.waiter.connection, b.waiter.connection);
	assert_true(b.waiter.reused);
	owner.check_answer = ANSWER_NO;
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(owner.checks_n, 2);
	assert_int_equal(owner.closes_n, 1);
	borrower_lease(&a);
	assert_int_equal(owner.opens_n, 2);
	assert_false(a.waiter.reused);
	owner.check_answer = ANSWER_YES;
	pool_end(&owner, &a, NULL);
}

static void without_it_a_connection_is_taken_at_the_borrowers_word(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a;

	config.checks = WEIR_POOL_CHECK_ON_ACQUIRE;
	config.check_timeout_us = 1000;
	pool_with(&owner, config, &a, NULL);
	owner.check_answer = ANSWER_NO;
	borrower_lease(&a);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner.checks_n, 0);
	assert_int_equal(owner_stats(&owner).idle, 1);
	/* But it is not leased again without a look at it. */
	borrower_lease(&a);
	assert_int_equal(owner.checks_n, 1);
	assert_int_equal(owner.opens_n, 2);
	pool_end(&owner, &a, NULL);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

static void five_in_order(enum weir_pool_order order)
{
	struct weir_pool_config config = owner_config();
	struct borrower b[5], again[5];
	struct owner owner;

	config.connections_max = 5;
	config.order = order;
	pool_with(&owner, config, NULL);
	borrowers_lease(b, 5, &owner);
	borrowers_give_back(b, 5);
	borrowers_lease(again, 5, &owner);
	for (int i = 0; i < 5; i++)
		assert_ptr_equal(again[i].waiter.connection,
			b[order == WEIR_POOL_LIFO ? 4 - i : i].waiter.connection);
	borrowers_give_back(again, 5);
	owner_release(&owner);
}

static void lifo_leases_the_latest_first(void **state)
{
	five_in_order(WEIR_POOL_LIFO);
}

static void fifo_leases_the_oldest_first(void **state)
{
	five_in_order(WEIR_POOL_FIFO);
}

static void no_more_are_kept_than_the_maximum(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower a, b;

	config.on_acquire_timeout = WEIR_POOL_NEW;
	config.overflow_max = 1;
	config.acquire_timeout_us = 10;
	pool_with_lease(&owner, config, &a, &b, NULL);
	borrower_acquire(&b, 1000);
	owner.open_answer = ANSWER_YES;
	owner_run_at(&owner, owner.now_us + 10);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	/* Both are accepted back; the second is one too many, and is closed. */
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_true(borrower_give_back(&b, WEIR_POOL_REUSABLE));
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(owner.closes_n, 1);
	owner_release(&owner);
}

/* --- pools that close each other ---------------------------------------------------------------------------------- */

static struct owner ring[3];

static void close_the_next(struct borrower *b)
{
	owner_close(b->owner == &ring[2] ? &ring[0] : b->owner + 1);
}

static void close_others(struct owner *owner, uint32_t slot)
{
	for (int i = 0; i < 3; i++)
		if (&ring[i] != owner)
			owner_close(&ring[i]);
	owner_closed(owner, slot);
}

static void run_all_until_closed(void)
{
	for (int k = 0; k < 4; k++)
		for (int i = 0; i < 3; i++)
			owner_run(&ring[i]);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ring[i].closed_told, 1);
		weir_pool_free(ring[i].pool);
	}
}

static void pools_may_close_each_other_from_outcomes(void **state)
{
	struct weir_pool_config config = one_connection();
	struct borrower b[3];

	for (int i = 0; i < 3; i++) {
		owner_init(&ring[i], &config, NULL);
		borrower_init(&b[i], &ring[i]);
		b[i].then = close_the_next;
		borrower_acquire(&b[i], 1000);
	}
	owner_open_failed(&ring[0], 0, 1);
	owner_run(&ring[0]);
	assert_int_equal(b[0].outcome, WEIR_POOL_OPEN_FAILED);
	run_all_until_closed();
	assert_int_equal(b[1].outcome, WEIR_POOL_CLOSED);
	assert_int_equal(b[2].outcome, WEIR_POOL_CLOSED);
}

static void pools_may_close_each_other_from_closes(void **state)
{
	struct weir_pool_config config = one_connection();
	struct borrower b[3];

	for (int i = 0; i < 3; i++) {
		owner_init(&ring[i], &config, NULL);
		borrower_init(&b[i], &ring[i]);
		borrower_lease(&b[i]);
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
		ring[i].on_close = close_others;
	}
	owner_close(&ring[1]);
	run_all_until_closed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_acquire_waits_and_is_given_the_same_connection),
		cmocka_unit_test(a_second_give_back_is_refused_and_the_connection_stays_good),
		cmocka_unit_test(an_acquire_times_out_while_the_only_connection_is_out),
		cmocka_unit_test(no_patience_at_all_is_answered_in_the_call),
		cmocka_unit_test(after_the_timeout_a_new_connection_is_opened_beyond_the_maximum),
		cmocka_unit_test(a_connection_that_died_while_it_was_out_makes_room_for_a_new_one),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(a_give_back_after_close_is_accepted_and_closes_the_connection),
		cmocka_unit_test(a_dead_connection_is_given_back_without_an_error),
		cmocka_unit_test(close_is_told_when_everything_is_back),
		cmocka_unit_test(close_ends_idle_connections_at_once),
		cmocka_unit_test(callbacks_that_fail_lose_no_slot),
		cmocka_unit_test(a_borrower_that_fails_on_delivery_gives_back),
		cmocka_unit_test(with_a_check_on_give_back_only_good_ones_stay),
		cmocka_unit_test(without_it_a_connection_is_taken_at_the_borrowers_word),
		cmocka_unit_test(lifo_leases_the_latest_first),
		cmocka_unit_test(fifo_leases_the_oldest_first),
		cmocka_unit_test(no_more_are_kept_than_the_maximum),
		cmocka_unit_test(pools_may_close_each_other_from_outcomes),
		cmocka_unit_test(pools_may_close_each_other_from_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
