/* Looking after connections and leases: checks, leaks and reclaiming, renewal, drain, the times in the books. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t closes(struct owner *owner, enum weir_pool_close_reason reason)
{
	return owner_stats(owner).closes[reason];
}

/* --- checks ------------------------------------------------------------------------------------------------------- */

static struct weir_pool_config checking_config(unsigned checks)
{
	struct weir_pool_config config = owner_config();

	config.connections_max = 1;
	config.checks = checks;
	config.check_timeout_us = 100;
	return config;
}

static void an_idle_connection_is_checked_before_it_is_leased(void **state)
{
	struct weir_pool_config config = checking_config(WEIR_POOL_CHECK_ON_ACQUIRE);
	struct owner owner;
	struct borrower a;

	config.waiters_max = 0;
	pool_with_lease(&owner, config, &a, NULL);
	assert_int_equal(owner.checks_n, 0);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	/* Whom a check is under way for takes no place in the queue. */
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_PENDING);
	assert_int_equal(owner.checks_n, 1);
	assert_int_equal(owner_stats(&owner).checking, 1);
	owner_checked(&owner, owner.checks[0], true);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &a, NULL);
}

static void who_waited_for_a_bad_one_waits_on(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, checking_config(WEIR_POOL_CHECK_ON_ACQUIRE), &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	borrower_acquire(&a, 1000);
	owner_checked(&owner, owner.checks[0], false);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_CHECK_FAILED), 1);
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner.checks_n, 1);
	pool_end(&owner, &a, NULL);
}

static void a_check_that_hangs_has_failed_at_its_timeout(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, checking_config(WEIR_POOL_CHECK_ON_GIVE_BACK), &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).checking, 1);
	owner_run(&owner);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 100);
	owner_run_at(&owner, owner.now_us + 99);
	assert_int_equal(owner.closes_n, 0);
	/* The answer comes, but not before its time is over. */
	owner.now_us++;
	owner_checked(&owner, owner.checks[0], true);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_CHECK_FAILED), 1);
	assert_int_equal(owner_stats(&owner).idle, 0);
	owner_checked(&owner, owner.checks[0], true);
	assert_int_equal(owner_stats(&owner).bad_reports, 1);
	owner_release(&owner);
}

static void a_checked_give_back_serves_who_waits_without_another_check(void **state)
{
	struct weir_pool_config config = checking_config(WEIR_POOL_CHECK_ON_ACQUIRE | WEIR_POOL_CHECK_ON_GIVE_BACK);
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, config, &a, &b, NULL);
	borrower_acquire(&b, 1000);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_checked(&owner, owner.checks[0], true);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner.checks_n, 1);
	/* What is discarded is not looked at. */
	borrower_give_back(&b, WEIR_POOL_DISCARD);
	assert_int_equal(owner.checks_n, 1);
	owner_release(&owner);
}

static void spoil_and_answer(struct owner *owner, uint32_t slot)
{
	owner_spoiled(owner, slot);
	owner_checked(owner, slot, true);
}

static void a_connection_spoiled_while_it_is_checked_is_closed(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, checking_config(WEIR_POOL_CHECK_ON_GIVE_BACK), &a, NULL);
	owner.on_check = spoil_and_answer;
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_SPOILED), 1);
	/* The owner could not know that its answer was not needed any more. */
	assert_int_equal(owner_stats(&owner).bad_reports, 0);
	owner_release(&owner);
}

/* --- leaks -------------------------------------------------------------------------------------------------------- */

static struct weir_pool_config watched_config(void)
{
	struct weir_pool_config config = owner_config();

	config.leak_after_us = 1000;
	config.reclaim_after_us = 3000;
	return config;
}

static void a_lease_held_too_long_is_told_once_and_then_reclaimed(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, watched_config(), &a, NULL);
	owner_run_at(&owner, owner.now_us + 999);
	assert_int_equal(owner.overdue_n, 0);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(owner.overdue_n, 1);
	assert_int_equal(owner.overdue_what, WEIR_POOL_LEAKING);
	assert_int_equal(owner.overdue_held_us, 1000);
	assert_int_equal(owner_stats(&owner).leaking, 1);
	owner_run_at(&owner, owner.now_us + 1999);
	assert_int_equal(owner.overdue_n, 1);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 1);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(owner.overdue_n, 2);
	assert_int_equal(owner.overdue_what, WEIR_POOL_RECLAIMED);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_RECLAIMED), 1);
	assert_int_equal(owner_stats(&owner).leased, 0);
	/* The borrower wakes up at last. */
	assert_false(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner_stats(&owner).double_give_backs, 1);
	owner_release(&owner);
}

static void a_touch_counts_anew(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, watched_config(), &a, NULL);
	for (int i = 0; i < 5; i++) {
		owner_run_at(&owner, owner.now_us + 900);
		assert_true(weir_pool_touch(owner.pool, a.waiter.lease, owner.now_us));
		owner_audit(&owner);
	}
	assert_int_equal(owner.overdue_n, 0);
	owner_run_at(&owner, owner.now_us + 1000);
	assert_int_equal(owner.overdue_n, 1);
	/* Told once, and then again when it has been in use meanwhile. */
	assert_true(weir_pool_touch(owner.pool, a.waiter.lease, owner.now_us));
	owner_run_at(&owner, owner.now_us + 1000);
	assert_int_equal(owner.overdue_n, 2);
	assert_int_equal(owner.overdue_what, WEIR_POOL_LEAKING);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_false(weir_pool_touch(owner.pool, a.waiter.lease, owner.now_us));
	assert_int_equal(owner_stats(&owner).double_give_backs, 0);
	owner_release(&owner);
}

static struct borrower *leaker;

/* A touch brings the time like every other call: what others have due is told in its order. */
static void a_touch_takes_the_time(void **state)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_held held[2];
	struct borrower a, b;
	struct owner owner;

	config.connections_max = 2;
	config.leak_after_us = 100;
	owner_init(&owner, &config, NULL);
	borrower_init(&a, &owner);
	borrower_init(&b, &owner);
	borrower_lease(&a);
	borrower_lease(&b);
	owner.now_us += 1000;
	assert_true(weir_pool_touch(owner.pool, a.waiter.lease, owner.now_us));
	/* Time that goes back is the latest that was given. */
	assert_true(weir_pool_touch(owner.pool, b.waiter.lease, owner.now_us - 500));
	assert_int_equal(weir_pool_oldest(owner.pool, held, 2), 2);
	assert_int_equal(held[0].since_us, owner.now_us);
	assert_int_equal(held[1].since_us, owner.now_us);
	owner_run_at(&owner, owner.now_us + 100);
	assert_int_equal(owner.overdue_n, 2);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owner_release(&owner);
}

static void touch_here(struct owner *owner, uint32_t slot)
{
	assert_true(weir_pool_touch(owner->pool, leaker->waiter.lease, owner->now_us));
}

static void a_touch_inside_the_call_keeps_the_lease(void **state)
{
	struct weir_pool_config config = watched_config();
	struct owner owner;
	struct borrower a;

	config.leak_after_us = 0;
	pool_with_lease(&owner, config, &a, NULL);
	leaker = &a;
	owner.on_overdue = touch_here;
	owner_run_at(&owner, owner.now_us + 3000);
	assert_int_equal(owner_stats(&owner).leased, 1);
	pool_end(&owner, &a, NULL);
}

static void a_reclaimed_slot_serves_who_waits(void **state)
{
	struct weir_pool_config config = watched_config();
	struct owner owner;
	struct borrower a, b;

	config.connections_max = 1;
	pool_with_lease(&owner, config, &a, &b, NULL);
	borrower_acquire(&b, 100000);
	owner_run_at(&owner, owner.now_us + 3000);
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_false(borrower_give_back(&a, WEIR_POOL_DISCARD));
	assert_int_equal(owner_stats(&owner).leased, 1);
	pool_end(&owner, &b, NULL);
}

static void the_oldest_leases_are_listed_oldest_first(void **state)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_held held[4];
	struct borrower b[4];
	struct owner owner;

	config.connections_max = 4;
	config.leak_after_us = 250;
	pool_with(&owner, config, NULL);
	for (int i = 0; i < 3; i++) {
		borrowers_lease(&b[i], 1, &owner);
		owner_run_at(&owner, owner.now_us + 100);
	}
	/* One that has not been collected is nobody's yet. */
	borrower_init(&b[3], &owner);
	borrower_acquire(&b[3], 1000);
	owner_opened(&owner, owner.opens[3]);
	weir_pool_touch(owner.pool, b[0].waiter.lease, owner.now_us);
	assert_int_equal(weir_pool_oldest(owner.pool, held, 4), 3);
	assert_ptr_equal(held[0].connection, b[1].waiter.connection);
	assert_ptr_equal(held[1].connection, b[2].waiter.connection);
	assert_ptr_equal(held[2].connection, b[0].waiter.connection);
	assert_int_equal(held[0].since_us, 1100);
	assert_int_equal(held[2].since_us, owner.now_us);
	assert_int_equal(weir_pool_oldest(owner.pool, held, 1), 1);
	assert_int_equal(weir_pool_oldest(owner.pool, held, 0), 0);
	owner_run(&owner);
	borrowers_give_back(b, 4);
	owner_release(&owner);
}

/* --- renewal, drain ----------------------------------------------------------------------------------------------- */

static void renewal_closes_what_is_there_and_waiters_wait_for_new_ones(void **state)
{
	struct borrower b[2], c;
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	borrowers_lease(b, 2, &owner);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owner_renew(&owner);
	assert_int_equal(owner.closes_n, 1);
	borrower_init(&c, &owner);
	borrower_acquire(&c, 1000);
	assert_int_equal(owner.opens_n, 3);
	/* That open began after the renewal; one that was on its way before it is given up. */
	owner_renew(&owner);
	assert_null(owner.close_connection);
	assert_int_equal(owner.opens_n, 4);
	assert_true(borrower_give_back(&b[0], WEIR_POOL_REUSABLE));
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_RENEWED), 2);
	assert_int_equal(c.told, 0);
	owner_opened(&owner, owner.opens[3]);
	owner_run(&owner);
	assert_int_equal(c.outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&c, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_release(&owner);
}

static void renewal_ends_a_backoff(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.backoff_min_us = config.backoff_max_us = 1000000;
	pool_with(&owner, config, &a, NULL);
	borrower_acquire(&a, 1000);
	owner_open_failed(&owner, owner.opens[0], 1);
	owner_run(&owner);
	borrower_acquire(&a, 1000);
	assert_int_equal(owner.opens_n, 1);
	owner_renew(&owner);
	assert_int_equal(owner.opens_n, 2);
	borrower_cancel(&a);
	owner_opened(&owner, owner.opens[1]);
	owner_release(&owner);
}

static void a_draining_pool_serves_those_who_wait_and_then_closes(void **state)
{
	struct owner owner;
	struct borrower a, b, late;

	pool_with_lease(&owner, one_connection(), &a, &b, &late, NULL);
	borrower_acquire(&b, 1000);
	owner_drain(&owner);
	assert_int_equal(borrower_acquire(&late, 1000), WEIR_POOL_CLOSED);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner.closed_told, 0);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_POOL), 1);
	weir_pool_free(owner.pool);
}

static void close_cuts_a_drain_short(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, one_connection(), &a, &b, NULL);
	borrower_acquire(&b, 1000);
	owner_drain(&owner);
	owner_drain(&owner);
	owner_close(&owner);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_CLOSED);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

/* --- times -------------------------------------------------------------------------------------------------------- */

static void wait_and_use_are_counted_in_buckets_that_double(void **state)
{
	static const struct {
		uint64_t us;
		uint32_t bucket;
	} edges[] = {{0, 0}, {15, 0}, {16, 1}, {31, 1}, {32, 2}, {63, 2}, {64, 3}, {1023, 6}, {1024, 7},
		{(16ULL << 22) - 1, 22}, {16ULL << 22, 23}, {16ULL << 30, 23}};
	struct weir_pool_config config = one_connection();
	uint64_t buckets[WEIR_POOL_TIME_BUCKETS] = {0}, sum_us = 0;
	struct owner owner;
	struct borrower a, b;

	config.acquire_timeout_us = UINT64_MAX;
	pool_with(&owner, config, &a, &b, NULL);
	for (uint32_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
		struct weir_pool_stats stats;

		borrower_lease(&a);
		borrower_acquire(&b, 1ULL << 40);
		owner.now_us += edges[i].us;
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		owner_run(&owner);
		owner.now_us += edges[i].us;
		borrower_give_back(&b, WEIR_POOL_REUSABLE);
		buckets[edges[i].bucket]++;
		sum_us += edges[i].us;
		stats = owner_stats(&owner);
		/* a has not waited. */
		for (uint32_t k = 0; k < WEIR_POOL_TIME_BUCKETS; k++) {
			assert_int_equal(stats.wait.buckets[k], buckets[k] + (k == 0 ? i + 1 : 0));
			assert_int_equal(stats.use.buckets[k], 2 * buckets[k]);
		}
		assert_int_equal(stats.wait.sum_us, sum_us);
		assert_int_equal(stats.use.sum_us, 2 * sum_us);
	}
	owner_release(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_connection_is_checked_before_it_is_leased),
		cmocka_unit_test(who_waited_for_a_bad_one_waits_on),
		cmocka_unit_test(a_check_that_hangs_has_failed_at_its_timeout),
		cmocka_unit_test(a_checked_give_back_serves_who_waits_without_another_check),
		cmocka_unit_test(a_connection_spoiled_while_it_is_checked_is_closed),
		cmocka_unit_test(a_lease_held_too_long_is_told_once_and_then_reclaimed),
		cmocka_unit_test(a_touch_counts_anew),
		cmocka_unit_test(a_touch_takes_the_time),
		cmocka_unit_test(a_touch_inside_the_call_keeps_the_lease),
		cmocka_unit_test(a_reclaimed_slot_serves_who_waits),
		cmocka_unit_test(the_oldest_leases_are_listed_oldest_first),
		cmocka_unit_test(renewal_closes_what_is_there_and_waiters_wait_for_new_ones),
		cmocka_unit_test(renewal_ends_a_backoff),
		cmocka_unit_test(a_draining_pool_serves_those_who_wait_and_then_closes),
		cmocka_unit_test(close_cuts_a_drain_short),
		cmocka_unit_test(wait_and_use_are_counted_in_buckets_that_double),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
