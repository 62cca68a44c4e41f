/* Acquiring, waiting, being served: one test for each sentence of the contract in pool.h. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void acquire_opens_when_nothing_is_idle(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_PENDING);
	assert_int_equal(owner.opens_n, 1);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(a.told, 0);
	owner_run(&owner);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.outcome, WEIR_POOL_DELIVERED);
	assert_ptr_equal(a.waiter.connection, owner_connection(owner.opens[0]));
	assert_int_equal(a.waiter.lease.slot, owner.opens[0] + 1);
	assert_false(a.waiter.reused);
	pool_end(&owner, &a, NULL);
}

static void acquire_reuses_an_idle_connection_at_once(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, owner_config(), &a, &b, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_DELIVERED);
	assert_true(b.waiter.reused);
	assert_int_equal(owner.opens_n, 1);
	assert_int_equal(owner_stats(&owner).reused, 1);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(a.told + b.told, 0);
	owner_release(&owner);
}

static bool try_acquire(struct borrower *borrower, uint64_t deadline_us)
{
	struct owner *owner = borrower->owner;
	bool was_lent = weir_pool_try_acquire(owner->pool, &borrower->waiter, owner->now_us, deadline_us);

	owner_audit(owner);
	return was_lent;
}

/* And does nothing where nothing is idle, or its time is over. */
static void try_acquire_lends_what_is_idle(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	assert_false(try_acquire(&a, UINT64_MAX));
	assert_int_equal(owner.opens_n, 0);
	borrower_lease(&a);
	assert_false(try_acquire(&b, UINT64_MAX));
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_false(try_acquire(&b, owner.now_us));
	memset(&b.waiter, 0xa5, sizeof(b.waiter));
	assert_true(try_acquire(&b, owner.now_us + 1));
	assert_true(b.waiter.reused && b.waiter.rested);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_DELIVERED], 2);
	assert_false(try_acquire(&a, UINT64_MAX));
	assert_int_equal(owner_stats(&owner).waiting, 0);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(a.told + b.told, 0);
	owner_release(&owner);
}

static void acquire_waits_for_a_connection_given_back(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, one_connection(), &a, &b, NULL);
	assert_int_equal(borrower_acquire(&b, 1000), WEIR_POOL_PENDING);
	assert_int_equal(owner.opens_n, 1);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).waiting, 0);
	assert_int_equal(owner_stats(&owner).leased, 1);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_true(b.waiter.reused);
	pool_end(&owner, &b, NULL);
}

static void acquire_past_its_deadline_times_out_even_beside_an_idle_connection(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(borrower_acquire(&a, 0), WEIR_POOL_TIMED_OUT);
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_TIMED_OUT], 1);
	owner_release(&owner);
}

static void waiter_times_out_at_its_deadline(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 500);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 500);
	owner_run_at(&owner, owner.now_us + 499);
	assert_int_equal(a.told, 0);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(a.waiter.lease.slot, 0);
	owner_release(&owner);
}

static void deadline_is_cut_to_the_acquire_timeout(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 5000000);
	assert_int_equal(
		weir_pool_acquire(owner.pool, &b.waiter, owner.now_us, UINT64_MAX), WEIR_POOL_PENDING);
	owner_run_at(&owner, owner.now_us + 1000000);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(b.outcome, WEIR_POOL_TIMED_OUT);
	owner_release(&owner);
}

static void nothing_is_delivered_to_an_expired_waiter_whose_timer_has_not_fired(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 500);
	owner.now_us += 500;
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	owner_release(&owner);
}

static void delivery_not_told_by_the_deadline_goes_back_and_times_out(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	borrower_acquire(&a, 500);
	borrower_acquire(&b, 900);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(owner_stats(&owner).leased, 1);
	owner_run_at(&owner, owner.now_us + 500);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(a.waiter.lease.slot, 0);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_false(b.waiter.reused);
	pool_end(&owner, &b, NULL);
}

static void served_in_the_order_of_coming(void **state)
{
	struct owner owner;
	struct borrower lease, b[4];

	pool_with_lease(&owner, one_connection(), &lease, NULL);
	for (int i = 0; i < 4; i++) {
		borrower_init(&b[i], &owner);
		assert_int_equal(borrower_acquire(&b[i], 1000), WEIR_POOL_PENDING);
	}
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	for (int i = 0; i < 4; i++) {
		owner_run(&owner);
		assert_int_equal(b[i].told, 1);
		assert_int_equal(b[i].outcome, WEIR_POOL_DELIVERED);
		assert_true(i == 3 || b[i + 1].told == 0);
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	}
	owner_release(&owner);
}

static void lower_priority_number_is_served_first(void **state)
{
	static const uint8_t priorities[4] = {3, 200, 1, 0};  /* 200 counts as 3 */
	static const int turns[4] = {3, 2, 0, 1};
	struct owner owner;
	struct borrower lease, b[4];

	pool_with_lease(&owner, one_connection(), &lease, NULL);
	for (int i = 0; i < 4; i++) {
		borrower_init(&b[i], &owner);
		b[i].waiter.priority = priorities[i];
		borrower_acquire(&b[i], 1000);
		b[i].waiter.priority = 0;  /* too late to matter */
	}
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	for (int i = 0; i < 4; i++) {
		owner_run(&owner);
		assert_int_equal(b[turns[i]].outcome, WEIR_POOL_DELIVERED);
		assert_int_equal(b[turns[i]].told, 1);
		borrower_give_back(&b[turns[i]], WEIR_POOL_REUSABLE);
	}
	owner_release(&owner);
}

static void newcomer_does_not_overtake_a_waiter(void **state)
{
	struct owner owner;
	struct borrower a, b, c;

	pool_with_lease(&owner, one_connection(), &a, &b, &c, NULL);
	borrower_acquire(&b, 1000);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	/* b has the connection although it has not been told. */
	assert_int_equal(borrower_acquire(&c, 1000), WEIR_POOL_PENDING);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(c.told, 0);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(c.outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &c, NULL);
}

static void full_queue_rejects_at_once(void **state)
{
	struct owner owner;
	struct borrower lease, b[5];

	pool_with_lease(&owner, one_connection(), &lease, NULL);
	for (int i = 0; i < 5; i++) {
		borrower_init(&b[i], &owner);
		assert_int_equal(borrower_acquire(&b[i], 1000), i < 4 ? WEIR_POOL_PENDING : WEIR_POOL_REJECTED);
	}
	/* A cancelled waiter frees its place at once. */
	borrower_cancel(&b[1]);
	assert_int_equal(borrower_acquire(&b[4], 1000), WEIR_POOL_PENDING);
	/* And so does an expired one whose timer has not fired. */
	owner.now_us += 1000;
	assert_int_equal(borrower_acquire(&b[1], 1000), WEIR_POOL_PENDING);
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	pool_end(&owner, &b[1], NULL);
}

static void without_a_queue_an_acquire_waits_only_for_its_own_open(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b[3];

	config.waiters_max = 0;
	pool_with(&owner, config, NULL);
	for (int i = 0; i < 3; i++) {
		borrower_init(&b[i], &owner);
		assert_int_equal(borrower_acquire(&b[i], 1000), i < 2 ? WEIR_POOL_PENDING : WEIR_POOL_REJECTED);
	}
	assert_int_equal(owner.opens_n, 2);
	owner_opened(&owner, owner.opens[1]);
	owner_opened(&owner, owner.opens[0]);
	owner_run(&owner);
	assert_int_equal(b[0].outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(borrower_acquire(&b[2], 1000), WEIR_POOL_REJECTED);
	pool_end(&owner, &b[0], &b[1], NULL);
}

static void order_of_reuse(enum weir_pool_order order, int expected)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b[2], c;

	config.order = order;
	pool_with(&owner, config, &c, NULL);
	for (int i = 0; i < 2; i++) {
		borrower_init(&b[i], &owner);
		borrower_lease(&b[i]);
	}
	for (int i = 0; i < 2; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	assert_int_equal(borrower_acquire(&c, 1000), WEIR_POOL_DELIVERED);
	assert_ptr_equal(c.waiter.connection, b[expected].waiter.connection);
	pool_end(&owner, &c, NULL);
}

static void lifo_reuses_the_latest(void **state)
{
	order_of_reuse(WEIR_POOL_LIFO, 1);
}

static void fifo_reuses_the_oldest(void **state)
{
	order_of_reuse(WEIR_POOL_FIFO, 0);
}

static void wake_is_called_once_until_collected(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	assert_int_equal(owner.wakes, 1);  /* the next event moved */
	borrower_acquire(&b, 1000);
	owner_opened(&owner, owner.opens[0]);
	owner_opened(&owner, owner.opens[1]);
	assert_int_equal(owner.wakes, 1);
	assert_int_equal(weir_pool_next_event(owner.pool), 0);
	owner_run(&owner);
	assert_int_equal(a.told + b.told, 2);
	assert_int_equal(owner.wakes, 1);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(owner.wakes, 1);  /* nothing to collect */
	owner_release(&owner);
}

static void wake_is_called_when_the_next_event_comes_nearer(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, one_connection(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	owner_run(&owner);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 1000);
	borrower_acquire(&b, 300);
	assert_int_equal(owner.wakes, 2);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 300);
	owner_release(&owner);
}

static void time_never_goes_back(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner_run_at(&owner, 50000);
	/* 900 ago by this clock, but the pool knows better. */
	assert_int_equal(weir_pool_acquire(owner.pool, &a.waiter, 49000, 49900), WEIR_POOL_TIMED_OUT);
	owner_release(&owner);
}

static void reacquire(struct borrower *b)
{
	borrower_give_back(b, WEIR_POOL_REUSABLE);
	borrower_acquire(b, 1000);
}

static void run_tells_only_what_was_there_when_it_began(void **state)
{
	struct owner owner;
	struct borrower lease, b[2];

	pool_with_lease(&owner, one_connection(), &lease, NULL);
	for (int i = 0; i < 2; i++) {
		borrower_init(&b[i], &owner);
		b[i].then = reacquire;
		borrower_acquire(&b[i], 1000);
	}
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	/* Each hands the connection to the other for ever: one step a run, and a wake for the next. */
	for (int i = 0; i < 10; i++) {
		int wakes = owner.wakes;

		owner_run(&owner);
		assert_int_equal(b[0].told + b[1].told, i + 1);
		assert_int_equal(owner.wakes, wakes + 1);
	}
	b[0].then = b[1].then = NULL;
	owner_run(&owner);
	borrower_cancel(&b[0]);
	borrower_cancel(&b[1]);
	pool_end(&owner, &b[0], NULL);
}

static void run_inside(struct owner *owner)
{
	weir_pool_run(owner->pool, owner->now_us);
}

static void run_from_inside_a_callback_does_nothing(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner.on_wake = run_inside;
	borrower_acquire(&a, 1000);
	owner_opened(&owner, owner.opens[0]);
	assert_int_equal(a.told, 0);
	owner_run(&owner);
	assert_int_equal(a.told, 1);
	pool_end(&owner, &a, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acquire_opens_when_nothing_is_idle),
		cmocka_unit_test(acquire_reuses_an_idle_connection_at_once),
		cmocka_unit_test(try_acquire_lends_what_is_idle),
		cmocka_unit_test(acquire_waits_for_a_connection_given_back),
		cmocka_unit_test(acquire_past_its_deadline_times_out_even_beside_an_idle_connection),
		cmocka_unit_test(waiter_times_out_at_its_deadline),
		cmocka_unit_test(deadline_is_cut_to_the_acquire_timeout),
		cmocka_unit_test(nothing_is_delivered_to_an_expired_waiter_whose_timer_has_not_fired),
		cmocka_unit_test(delivery_not_told_by_the_deadline_goes_back_and_times_out),
		cmocka_unit_test(served_in_the_order_of_coming),
		cmocka_unit_test(lower_priority_number_is_served_first),
		cmocka_unit_test(newcomer_does_not_overtake_a_waiter),
		cmocka_unit_test(full_queue_rejects_at_once),
		cmocka_unit_test(without_a_queue_an_acquire_waits_only_for_its_own_open),
		cmocka_unit_test(lifo_reuses_the_latest),
		cmocka_unit_test(fifo_reuses_the_oldest),
		cmocka_unit_test(wake_is_called_once_until_collected),
		cmocka_unit_test(wake_is_called_when_the_next_event_comes_nearer),
		cmocka_unit_test(time_never_goes_back),
		cmocka_unit_test(run_tells_only_what_was_there_when_it_began),
		cmocka_unit_test(run_from_inside_a_callback_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
