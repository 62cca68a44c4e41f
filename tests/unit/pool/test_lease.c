/* Leases and the ages of connections: give-back, tokens, spoiled, used up, too old, idle too long. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void double_give_back_is_counted_and_harms_nobody(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, owner_config(), &a, &b, NULL);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_false(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	/* The same slot is leased to somebody else: a's token is stale, b's lease lives on. */
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_DELIVERED);
	assert_int_equal(a.waiter.lease.slot, b.waiter.lease.slot);
	assert_false(borrower_give_back(&a, WEIR_POOL_DISCARD));
	assert_int_equal(owner_stats(&owner).leased, 1);
	assert_int_equal(owner_stats(&owner).double_give_backs, 1);
	assert_int_equal(owner_stats(&owner).stale_give_backs, 1);
	pool_end(&owner, &b, NULL);
}

static void token_of_a_slot_that_was_reopened_is_stale(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, owner_config(), &a, &b, NULL);
	borrower_give_back(&a, WEIR_POOL_DISCARD);
	borrower_lease(&b);
	assert_int_equal(a.waiter.lease.slot, b.waiter.lease.slot);
	assert_false(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	pool_end(&owner, &b, NULL);
}

static void token_of_another_pool_is_foreign(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner one, two;
	struct borrower a, b;

	owner_init(&one, &config, NULL);
	owner_init(&two, &config, NULL);
	borrower_init(&a, &one);
	borrower_init(&b, &two);
	borrower_lease(&a);
	borrower_lease(&b);
	/* Same slot, same generation, and yet not the same lease. */
	assert_int_equal(a.waiter.lease.slot, b.waiter.lease.slot);
	assert_int_equal(a.waiter.lease.generation, b.waiter.lease.generation);
	assert_false(weir_pool_give_back(two.pool, a.waiter.lease, WEIR_POOL_REUSABLE, two.now_us));
	owner_audit(&two);
	assert_int_equal(owner_stats(&one).leased, 1);
	assert_int_equal(owner_stats(&two).leased, 1);
	assert_int_equal(owner_stats(&two).foreign_give_backs, 1);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_true(borrower_give_back(&b, WEIR_POOL_REUSABLE));
	owner_release(&one);
	owner_release(&two);
}

static void nonsense_tokens_are_no_lease(void **state)
{
	static const struct weir_pool_lease nonsense[] = {
		{0}, {1, 1, 0}, {3, 1, 1}, {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	for (int i = 0; i < 4; i++)
		assert_false(weir_pool_give_back(owner.pool, nonsense[i], WEIR_POOL_REUSABLE, owner.now_us));
	assert_int_equal(owner_stats(&owner).foreign_give_backs, 4);
	owner_release(&owner);
}

static void token_is_not_seen_before_it_is_told(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 1000);
	owner_opened(&owner, owner.opens[0]);
	/* The mistake of giving back what one has not been given. */
	assert_false(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_null(a.waiter.connection);
	owner_run(&owner);
	pool_end(&owner, &a, NULL);
}

static void discarded_connection_is_closed_and_its_place_used_for_a_waiter(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	owner.close_answer = ANSWER_LATER;
	borrower_lease(&a);
	borrower_acquire(&b, 1000);
	borrower_give_back(&a, WEIR_POOL_DISCARD);
	assert_int_equal(owner.closes_n, 1);
	assert_ptr_equal(owner.close_connection, a.waiter.connection);
	/* While it closes it counts against the maximum. */
	assert_int_equal(owner_stats(&owner).closing, 1);
	assert_int_equal(owner.opens_n, 1);
	owner_closed(&owner, owner.closes[0]);
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_false(b.waiter.reused);
	pool_end(&owner, &b, NULL);
}

static void spoiled_idle_connection_is_closed(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_spoiled(&owner, owner.opens[0]);
	assert_int_equal(owner.closes_n, 1);
	assert_int_equal(owner_stats(&owner).idle, 0);
	owner_spoiled(&owner, owner.opens[0]);  /* gone: nothing */
	assert_int_equal(owner.closes_n, 1);
	owner_release(&owner);
}

static void spoiled_leased_connection_is_closed_when_it_comes_back(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	owner_spoiled(&owner, owner.opens[0]);
	assert_int_equal(owner.closes_n, 0);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner.closes_n, 1);
	/* The mark belonged to the connection, not to the slot. */
	borrower_lease(&a);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner.closes_n, 1);
	owner_release(&owner);
}

static void connection_is_closed_after_its_last_use(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.uses_max = 3;
	pool_with(&owner, config, &a, NULL);
	for (uint32_t i = 1; i <= 6; i++) {
		borrower_lease(&a);
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		assert_int_equal(owner.closes_n, i / 3);
	}
	owner_release(&owner);
}

static void idle_connection_is_closed_at_its_time(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a, b;
	uint64_t start;

	config.idle_timeout_us = 500;
	pool_with(&owner, config, &a, &b, NULL);
	start = owner.now_us;
	borrower_lease(&a);
	borrower_lease(&b);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner.now_us += 100;
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(weir_pool_next_event(owner.pool), start + 500);
	owner_run_at(&owner, start + 499);
	assert_int_equal(owner.closes_n, 0);
	owner_run_at(&owner, start + 500);
	assert_int_equal(owner.closes_n, 1);
	assert_int_equal(owner.closes[0], a.waiter.lease.slot - 1);
	assert_int_equal(weir_pool_next_event(owner.pool), start + 600);
	owner_run_at(&owner, start + 600);
	assert_int_equal(owner.closes_n, 2);
	assert_true(weir_pool_next_event(owner.pool) == UINT64_MAX);
	owner_release(&owner);
}

static void idle_connection_past_its_time_is_not_leased_though_its_timer_has_not_fired(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.idle_timeout_us = 500;
	pool_with_lease(&owner, config, &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner.now_us += 500;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_PENDING);
	assert_int_equal(owner.closes_n, 1);
	assert_int_equal(owner.opens_n, 2);
	borrower_cancel(&a);
	owner_release(&owner);
}

/* Neither one of 0 nor one that no clock reaches, and a rest with another one before does not change that. */
static void idle_connection_without_a_time_stays(void **state)
{
	static const uint64_t timeouts[] = {0, UINT64_MAX, UINT64_MAX - 1};
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.idle_timeout_us = 500;
	for (int i = 0; i < 3; i++) {
		pool_with_lease(&owner, config, &a, NULL);
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		weir_pool_set_idle_timeout(owner.pool, timeouts[i]);
		for (int times = 0; times < 3; times++) {
			borrower_lease(&a);
			owner.now_us += 100;
			borrower_give_back(&a, WEIR_POOL_REUSABLE);
			owner_run_at(&owner, owner.now_us + 10000);
		}
		assert_int_equal(owner.closes_n, 0);
		assert_int_equal(owner.opens_n, 1);
		owner_release(&owner);
	}
}

/* random() chooses the life between 90 and 110 percent: 0 is the least, 2 * span the most. */
static const uint64_t life_randoms[] = {0, 200, 100};
static const uint64_t life_spans[] = {900, 1100, 1000};

static void idle_life_ends_within_its_jitter(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.lifetime_max_us = 1000;
	for (int i = 0; i < 3; i++) {
		owner_init(&owner, &config, NULL);
		owner.random = life_randoms[i];
		borrower_init(&a, &owner);
		borrower_lease(&a);
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		owner_run_at(&owner, owner.now_us + life_spans[i] - 1);
		assert_int_equal(owner.closes_n, 0);
		assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 1);
		owner_run_at(&owner, owner.now_us + 1);
		assert_int_equal(owner.closes_n, 1);
		owner_release(&owner);
	}
}

static void leased_life_ends_when_it_comes_back(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.lifetime_max_us = 1000;
	for (int i = 0; i < 3; i++) {
		owner_init(&owner, &config, NULL);
		owner.random = life_randoms[i];
		borrower_init(&a, &owner);
		borrower_lease(&a);
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		owner.now_us += life_spans[i] - 1;
		assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_DELIVERED);
		owner_run_at(&owner, owner.now_us + 1);
		assert_int_equal(owner.closes_n, 0);
		borrower_give_back(&a, WEIR_POOL_REUSABLE);
		assert_int_equal(owner.closes_n, 1);
		owner_release(&owner);
	}
}

static void reports_that_cannot_be_are_counted_and_ignored(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner_opened(&owner, 0);              /* never asked for */
	owner_opened(&owner, UINT32_MAX);
	owner_open_failed(&owner, 7, 1);
	owner_closed(&owner, 0);
	assert_int_equal(owner_stats(&owner).bad_reports, 4);
	borrower_lease(&a);
	owner_opened(&owner, 0);              /* twice */
	owner_open_failed(&owner, 0, 1);      /* after opened */
	owner_closed(&owner, 0);              /* nobody asked */
	owner_spoiled(&owner, 99);            /* a hint: not counted */
	assert_int_equal(owner_stats(&owner).bad_reports, 7);
	assert_int_equal(owner_stats(&owner).leased, 1);
	borrower_give_back(&a, WEIR_POOL_DISCARD);
	owner_closed(&owner, 0);              /* twice */
	assert_int_equal(owner_stats(&owner).bad_reports, 8);
	owner_release(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(double_give_back_is_counted_and_harms_nobody),
		cmocka_unit_test(token_of_a_slot_that_was_reopened_is_stale),
		cmocka_unit_test(token_of_another_pool_is_foreign),
		cmocka_unit_test(nonsense_tokens_are_no_lease),
		cmocka_unit_test(token_is_not_seen_before_it_is_told),
		cmocka_unit_test(discarded_connection_is_closed_and_its_place_used_for_a_waiter),
		cmocka_unit_test(spoiled_idle_connection_is_closed),
		cmocka_unit_test(spoiled_leased_connection_is_closed_when_it_comes_back),
		cmocka_unit_test(connection_is_closed_after_its_last_use),
		cmocka_unit_test(idle_connection_is_closed_at_its_time),
		cmocka_unit_test(idle_connection_without_a_time_stays),
		cmocka_unit_test(idle_connection_past_its_time_is_not_leased_though_its_timer_has_not_fired),
		cmocka_unit_test(idle_life_ends_within_its_jitter),
		cmocka_unit_test(leased_life_ends_when_it_comes_back),
		cmocka_unit_test(reports_that_cannot_be_are_counted_and_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
