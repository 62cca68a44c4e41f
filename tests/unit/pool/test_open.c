/* Opening: how many, when, and what a failure means. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void opens_never_exceed_what_waiters_need(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a, b;

	config.connections_max = 8;
	config.connecting_max = 8;
	pool_with(&owner, config, &a, &b, NULL);
	borrower_acquire(&a, 1000);
	borrower_cancel(&a);
	assert_int_equal(owner.opens_n, 1);
	/* The orphaned open serves the next one: no second open. */
	borrower_acquire(&b, 1000);
	assert_int_equal(owner.opens_n, 1);
	owner_opened(&owner, owner.opens[0]);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &b, NULL);
}

static void orphaned_open_becomes_idle(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 1000);
	borrower_cancel(&a);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(owner_stats(&owner).leased, 0);
	owner_release(&owner);
}

static void concurrent_opens_are_bounded(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b[4];

	config.connections_max = 4;
	config.connecting_max = 2;
	pool_with(&owner, config, NULL);
	for (int i = 0; i < 4; i++) {
		borrower_init(&b[i], &owner);
		borrower_acquire(&b[i], 1000);
	}
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner.opens_n, 3);
	assert_int_equal(owner_stats(&owner).connecting, 2);
	for (int i = 1; i < 4; i++)
		owner_opened(&owner, owner.opens[i]);
	assert_int_equal(owner.opens_n, 4);
	owner_run(&owner);
	for (int i = 0; i < 4; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	owner_release(&owner);
}

static void failed_open_ends_the_one_whose_turn_it_is_and_tries_again_for_the_rest(void **state)
{
	struct owner owner;
	struct borrower lease, b[3];

	/* The connection that is leased shows that the endpoint lives. */
	pool_with_lease(&owner, owner_config(), &lease, NULL);
	for (int i = 0; i < 3; i++) {
		borrower_init(&b[i], &owner);
		borrower_acquire(&b[i], 1000);
	}
	owner_open_failed(&owner, owner.opens[1], 113);
	assert_int_equal(owner.opens_n, 3);
	owner_run(&owner);
	assert_int_equal(b[0].outcome, WEIR_POOL_OPEN_FAILED);
	assert_int_equal(b[0].waiter.reason, 113);
	assert_int_equal(b[1].told + b[2].told, 0);
	owner_opened(&owner, owner.opens[2]);
	owner_run(&owner);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(b[2].told, 0);
	borrower_cancel(&b[2]);
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).open_failed, 1);
	owner_release(&owner);
}

static void failed_open_ends_nobody_when_the_other_opens_suffice(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	borrower_cancel(&a);
	owner_open_failed(&owner, owner.opens[0], 113);
	owner_run(&owner);
	assert_int_equal(b.told, 0);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &b, NULL);
}

static void expired_waiter_times_out_and_does_not_hear_the_failure(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	borrower_acquire(&a, 100);
	borrower_acquire(&b, 1000);
	owner.now_us += 100;
	owner_open_failed(&owner, owner.opens[0], 113);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(b.outcome, WEIR_POOL_OPEN_FAILED);
	owner_release(&owner);
}

static void failure_inside_the_call_is_told_at_once(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner.open_answer = ANSWER_NO;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_OPEN_FAILED);
	assert_int_equal(a.waiter.reason, 111);
	owner_run(&owner);
	assert_int_equal(a.told, 0);
	assert_int_equal(owner.opens_n, 1);
	owner_release(&owner);
}

static void success_inside_the_call_is_told_at_once(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.waiters_max = 0;
	pool_with(&owner, config, &a, NULL);
	owner.open_answer = ANSWER_YES;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_DELIVERED);
	pool_end(&owner, &a, NULL);
}

/* 1000 wait for two connections; one breaks, and every open from then on fails inside the call. */
static void a_thousand_failures_at_once_do_not_nest(void **state)
{
	static struct borrower b[1000];
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower lease, alive;

	config.waiters_max = 1000;
	pool_with_lease(&owner, config, &lease, &alive, NULL);
	borrower_lease(&alive);
	for (int i = 0; i < 1000; i++) {
		borrower_init(&b[i], &owner);
		assert_int_equal(borrower_acquire(&b[i], 1000), WEIR_POOL_PENDING);
	}
	owner.open_answer = ANSWER_NO;
	borrower_give_back(&lease, WEIR_POOL_DISCARD);
	assert_int_equal(owner.opens_n, 1002);
	assert_int_equal(owner.depth_max, 1);
	owner_run(&owner);
	for (int i = 0; i < 1000; i++)
		assert_true(b[i].told == 1 && b[i].outcome == WEIR_POOL_OPEN_FAILED);
	pool_end(&owner, &alive, NULL);
}

static struct borrower *inside;
static enum weir_pool_outcome inside_outcome;

static void acquire_inside(struct owner *owner, uint32_t slot)
{
	owner->on_open = NULL;
	inside_outcome = borrower_acquire(inside, 1000);
	/* Nothing is asked before this call has returned. */
	assert_int_equal(owner->opens_n, 1);
}

static void acquire_from_inside_open_is_served_after_it(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	inside = &b;
	owner.on_open = acquire_inside;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_PENDING);
	assert_int_equal(inside_outcome, WEIR_POOL_PENDING);
	assert_int_equal(owner.opens_n, 2);
	borrower_cancel(&a);
	borrower_cancel(&b);
	owner_release(&owner);
}

static void cancel_inside(struct owner *owner, uint32_t slot)
{
	borrower_cancel(inside);
}

static void acquire_cancelled_from_inside_open_says_so(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	inside = &a;
	owner.on_open = cancel_inside;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_CANCELLED);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_run(&owner);
	assert_int_equal(a.told, 0);
	owner_release(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_never_exceed_what_waiters_need),
		cmocka_unit_test(orphaned_open_becomes_idle),
		cmocka_unit_test(concurrent_opens_are_bounded),
		cmocka_unit_test(failed_open_ends_the_one_whose_turn_it_is_and_tries_again_for_the_rest),
		cmocka_unit_test(failed_open_ends_nobody_when_the_other_opens_suffice),
		cmocka_unit_test(expired_waiter_times_out_and_does_not_hear_the_failure),
		cmocka_unit_test(failure_inside_the_call_is_told_at_once),
		cmocka_unit_test(success_inside_the_call_is_told_at_once),
		cmocka_unit_test(a_thousand_failures_at_once_do_not_nest),
		cmocka_unit_test(acquire_from_inside_open_is_served_after_it),
		cmocka_unit_test(acquire_cancelled_from_inside_open_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
