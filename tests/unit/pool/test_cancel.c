/* Cancel: at every stage, and the connection of a borrower that has gone is back in the same step. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void before_acquire_nothing_happens(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_CANCELLED], 0);
	borrower_lease(&a);
	pool_end(&owner, &a, NULL);
}

static void while_waiting_the_place_is_free_at_once(void **state)
{
	struct owner owner;
	struct borrower lease, a;

	pool_with_lease(&owner, one_connection(), &lease, &a, NULL);
	borrower_acquire(&a, 1000);
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).waiting, 0);
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_run_at(&owner, owner.now_us + 5000);
	assert_int_equal(a.told, 0);
	owner_release(&owner);
}

static void with_a_delivery_not_collected_the_connection_goes_to_idle(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 1000);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner_stats(&owner).leased, 1);
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).leased, 0);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_run(&owner);
	assert_int_equal(a.told, 0);
	/* Nobody has seen it: it still counts as new. */
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_DELIVERED);
	assert_false(a.waiter.reused);
	pool_end(&owner, &a, NULL);
}

static void with_a_delivery_not_collected_the_connection_goes_to_the_next_waiter(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	owner_opened(&owner, owner.opens[0]);
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).waiting, 0);
	owner_run(&owner);
	assert_int_equal(a.told, 0);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &b, NULL);
}

static void with_another_outcome_not_collected_it_is_not_told(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 100);
	borrower_acquire(&b, 1000);
	owner.now_us += 100;
	owner_open_failed(&owner, owner.opens[0], 1);
	owner_open_failed(&owner, owner.opens[1], 1);
	borrower_cancel(&a);  /* timed out */
	borrower_cancel(&b);  /* failed */
	owner_run(&owner);
	assert_int_equal(a.told + b.told, 0);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_CANCELLED], 2);
	owner_release(&owner);
}

static void after_the_end_nothing_happens(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 1000);
	owner_opened(&owner, owner.opens[0]);
	owner_run(&owner);
	borrower_cancel(&a);
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).leased, 1);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_CANCELLED], 0);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	borrower_cancel(&a);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_release(&owner);
}

static struct borrower *victim;

static void cancel_victim(struct borrower *b)
{
	borrower_cancel(victim);
}

static void from_inside_another_outcome_it_is_not_told_any_more(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	owner_opened(&owner, owner.opens[0]);
	owner_opened(&owner, owner.opens[1]);
	victim = &b;
	a.then = cancel_victim;
	owner_run(&owner);
	assert_int_equal(a.told, 1);
	assert_int_equal(b.told, 0);
	assert_int_equal(owner_stats(&owner).idle, 1);
	pool_end(&owner, &a, NULL);
}

static void free_borrower(struct borrower *b)
{
	free(b);
}

/* The memory belongs to the caller from the outcome or the cancel on: the sanitizer watches. */
static void waiter_memory_is_not_touched_after_its_end(void **state)
{
	struct owner owner;
	struct borrower lease, *b[4];

	/* With a connection in use the endpoint is not plainly dead: an open that fails ends one wait only. */
	pool_with_lease(&owner, owner_config(), &lease, NULL);
	for (int i = 0; i < 4; i++) {
		b[i] = malloc(sizeof(*b[i]));
		assert_non_null(b[i]);
		borrower_init(b[i], &owner);
		b[i]->then = free_borrower;
		borrower_acquire(b[i], 1000);
	}
	borrower_cancel(b[1]);
	free(b[1]);
	owner_open_failed(&owner, owner.opens[1], 1);
	owner_run(&owner);  /* b[0] failed */
	borrower_cancel(b[2]);
	free(b[2]);
	owner_run_at(&owner, owner.now_us + 1000);  /* b[3] timed out */
	owner_run_at(&owner, owner.now_us + 100000);
	owner_opened(&owner, owner.opens[2]);
	pool_end(&owner, &lease, NULL);
}

/* The failure this pool exists for: clients with less patience than the pool's own timer. */
static void impatient_callers_leave_no_ghost_behind(void **state)
{
	struct owner owner;
	struct borrower held[2], b[4];

	pool_with(&owner, owner_config(), NULL);
	for (int i = 0; i < 2; i++) {
		borrower_init(&held[i], &owner);
		borrower_lease(&held[i]);
	}
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 4; i++) {
			borrower_init(&b[i], &owner);
			assert_int_equal(borrower_acquire(&b[i], 1000000), WEIR_POOL_PENDING);
		}
		owner_run_at(&owner, owner.now_us + 1000);
		for (int i = 0; i < 4; i++)
			borrower_cancel(&b[i]);
	}
	for (int i = 0; i < 2; i++)
		borrower_give_back(&held[i], WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner_stats(&owner).leased, 0);
	assert_int_equal(owner_stats(&owner).idle, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(borrower_acquire(&b[i], 1000), WEIR_POOL_DELIVERED);
	for (int i = 0; i < 2; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	owner_release(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_acquire_nothing_happens),
		cmocka_unit_test(while_waiting_the_place_is_free_at_once),
		cmocka_unit_test(with_a_delivery_not_collected_the_connection_goes_to_idle),
		cmocka_unit_test(with_a_delivery_not_collected_the_connection_goes_to_the_next_waiter),
		cmocka_unit_test(with_another_outcome_not_collected_it_is_not_told),
		cmocka_unit_test(after_the_end_nothing_happens),
		cmocka_unit_test(from_inside_another_outcome_it_is_not_told_any_more),
		cmocka_unit_test(waiter_memory_is_not_touched_after_its_end),
		cmocka_unit_test(impatient_callers_leave_no_ghost_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
