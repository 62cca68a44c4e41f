/* The size of a shared budget: what goes beyond it, and what becomes of it when it changes. */
#include "sharing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct weir_pool_budget *overflow_budget(struct owner *owners, struct borrower *borrowers)
{
	struct weir_pool_budget *budget = weir_pool_budget_create(1, 1, sharing_notify);
	struct weir_pool_config config = owner_config();

	assert_non_null(budget);
	notices_n = 0;
	config.on_acquire_timeout = WEIR_POOL_NEW;
	config.overflow_max = 2;
	config.acquire_timeout_us = 100;
	for (int i = 0; i < 3; i++) {
		owner_init(&owners[i], &config, budget);
		borrower_init(&borrowers[i], &owners[i]);
	}
	return budget;
}

static void pools_have_one_overflow_together(void **state)
{
	struct owner o[3];
	struct borrower b[3];
	struct weir_pool_budget *budget = overflow_budget(o, b);

	borrower_lease(&b[0]);
	for (int i = 1; i < 3; i++) {
		borrower_acquire(&b[i], 1000);
		owner_run_at(&o[i], o[i].now_us + 100);
	}
	assert_int_equal(o[1].opens_n + o[2].opens_n, 1);
	assert_int_equal(weir_pool_budget_used(budget), 2);
	owner_opened(&o[1], 0);
	owner_run(&o[1]);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	/* The first that comes back, whosever it is, is one too many: it goes, and its unit to who waits. */
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[0]).closes[WEIR_POOL_CLOSE_OVERFLOW], 1);
	assert_int_equal(weir_pool_budget_used(budget), 2);
	notices_deliver();
	assert_int_equal(o[2].opens_n, 1);
	owner_opened(&o[2], 0);
	owner_run(&o[2]);
	assert_int_equal(b[2].outcome, WEIR_POOL_DELIVERED);
	/* The next is one too many, too, and nobody has its unit. */
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[1]).closes[WEIR_POOL_CLOSE_OVERFLOW], 1);
	assert_int_equal(weir_pool_budget_used(budget), 1);
	borrower_give_back(&b[2], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[2]).idle, 1);
	owners_release(o, 3, budget);
}

/* Opened with a unit beyond the maximum for who has not waited for long: closed at once it would be opened for ever. */
static void what_was_opened_beyond_the_maximum_serves_first(void **state)
{
	struct owner o[3];
	struct borrower b[3];
	struct weir_pool_budget *budget = overflow_budget(o, b);

	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	owner_run_at(&o[1], o[1].now_us + 100);
	owner_opened(&o[1], 0);
	owner_run(&o[1]);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	borrower_acquire(&b[2], 1000);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	notices_deliver();
	assert_int_equal(o[2].opens_n, 1);
	assert_int_equal(weir_pool_budget_used(budget), 2);
	owner_opened(&o[2], 0);
	owner_run(&o[2]);
	assert_int_equal(b[2].outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner_stats(&o[2]).closes[WEIR_POOL_CLOSE_OVERFLOW], 0);
	borrower_give_back(&b[2], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[2]).closes[WEIR_POOL_CLOSE_OVERFLOW], 1);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owners_release(o, 3, budget);
}

static void a_smaller_budget_closes_what_comes_back_and_what_is_idle_at_the_next_call(void **state)
{
	struct weir_pool_budget *budget = budget_of(4);
	struct owner o[2];
	struct borrower b[2], lease[4];

	owners_init(o, b, 2, budget);
	borrowers_lease(lease, 2, &o[0]);
	borrowers_lease(lease + 2, 2, &o[1]);
	borrower_give_back(&lease[0], WEIR_POOL_REUSABLE);
	assert_true(weir_pool_budget_resize(budget, 2, 0));
	assert_int_equal(o[0].closes_n, 0);
	borrower_give_back(&lease[2], WEIR_POOL_REUSABLE);
	assert_int_equal(o[1].closes_n, 1);
	owner_run(&o[0]);
	assert_int_equal(o[0].closes_n, 1);
	assert_int_equal(weir_pool_budget_used(budget), 2);
	borrower_give_back(&lease[1], WEIR_POOL_REUSABLE);
	borrower_give_back(&lease[3], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[0]).idle + owner_stats(&o[1]).idle, 2);
	owners_release(o, 2, budget);
}

static void a_larger_budget_is_noticed_by_those_who_wait(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[3];
	struct borrower b[3];

	owners_init(o, b, 3, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&b[2], 1000);
	assert_int_equal(notices_n, 0);
	assert_true(weir_pool_budget_resize(budget, 3, 0));
	notices_deliver();
	assert_int_equal(o[1].opens_n + o[2].opens_n, 2);
	for (int i = 1; i < 3; i++) {
		owner_opened(&o[i], 0);
		owner_run(&o[i]);
	}
	for (int i = 0; i < 3; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	owners_release(o, 3, budget);
}

/* What is opened ahead takes no unit that somebody waits for, and is looked after again when one may be left. */
static void idle_min_takes_only_what_the_budget_has_to_spare(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct weir_pool_config config = owner_config();
	struct owner o[2];
	struct borrower a;

	config.idle_min = 1;
	owner_init(&o[0], &config, budget);
	owner_init(&o[1], &config, budget);
	borrower_init(&a, &o[0]);
	borrower_lease(&a);
	owner_run(&o[1]);
	assert_int_equal(o[1].opens_n, 0);
	assert_true(weir_pool_next_event(o[1].pool) <= o[1].now_us + 1000000);
	borrower_give_back(&a, WEIR_POOL_DISCARD);
	notices_deliver();
	owner_run_at(&o[1], o[1].now_us + 1000000);
	assert_int_equal(o[0].opens_n + o[1].opens_n, 2);
	owners_release(o, 2, budget);
}

/* A newcomer that wants a fresh connection raises the hand beside an idle one, and is rejected: the idle one is on offer. */
static void a_rejected_newcomer_leaves_the_offer_up(void **state)
{
	struct weir_pool_budget *budget = budget_of(2);
	struct weir_pool_config config = owner_config();
	struct borrower lease[2], fresh, b;
	struct owner o[2];

	config.waiters_max = 0;
	owner_init(&o[0], &config, budget);
	config.waiters_max = 4;
	owner_init(&o[1], &config, budget);
	borrowers_lease(lease, 2, &o[0]);
	borrowers_give_back(lease, 2);
	o[0].close_answer = ANSWER_LATER;
	borrower_init(&fresh, &o[0]);
	fresh.waiter.fresh = true;
	assert_int_equal(borrower_acquire(&fresh, 1000), WEIR_POOL_REJECTED);
	assert_int_equal(owner_stats(&o[0]).idle, 1);
	borrower_init(&b, &o[1]);
	borrower_acquire(&b, 1000);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], &o[0]);
	notices_deliver();
	borrower_cancel(&b);
	owners_release(o, 2, budget);
}

/* And one that is in use does not. */
static void a_unit_that_another_pool_has_idle_covers_a_waiter_without_a_queue(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct weir_pool_config config = owner_config();
	struct owner o[2];
	struct borrower a, b;

	config.waiters_max = 0;
	owner_init(&o[0], &config, budget);
	owner_init(&o[1], &config, budget);
	borrower_init(&b, &o[1]);
	borrowers_lease(&a, 1, &o[0]);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_REJECTED);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_PENDING);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	owner_opened(&o[1], 0);
	owner_run(&o[1]);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owners_release(o, 2, budget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_have_one_overflow_together),
		cmocka_unit_test(what_was_opened_beyond_the_maximum_serves_first),
		cmocka_unit_test(a_smaller_budget_closes_what_comes_back_and_what_is_idle_at_the_next_call),
		cmocka_unit_test(a_larger_budget_is_noticed_by_those_who_wait),
		cmocka_unit_test(idle_min_takes_only_what_the_budget_has_to_spare),
		cmocka_unit_test(a_rejected_newcomer_leaves_the_offer_up),
		cmocka_unit_test(a_unit_that_another_pool_has_idle_covers_a_waiter_without_a_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
