/* The shared budget, step by step in one thread: notices are kept in a list and delivered when the test says. */
#include "pool/engine.h"
#include "sharing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void spent_budget_makes_the_other_pool_wait_and_a_returned_unit_is_noticed(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	borrower_lease(&b[0]);
	assert_int_equal(weir_pool_budget_used(budget), 1);
	assert_int_equal(borrower_acquire(&b[1], 1000), WEIR_POOL_PENDING);
	assert_int_equal(o[1].opens_n, 0);
	assert_int_equal(notices_n, 0);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], &o[1]);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	owner_opened(&o[1], 0);
	owner_run(&o[1]);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owners_release(o, 2, budget);
}

static void unit_is_held_until_the_connection_is_closed(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	o[0].close_answer = ANSWER_LATER;
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	assert_int_equal(weir_pool_budget_used(budget), 1);
	assert_int_equal(notices_n, 0);
	owner_closed(&o[0], o[0].closes[0]);
	assert_int_equal(notices_n, 1);
	/* And then for the one that was notified, until it has answered. */
	assert_int_equal(weir_pool_budget_used(budget), 1);
	borrower_cancel(&b[1]);
	notices_deliver();
	assert_int_equal(weir_pool_budget_used(budget), 0);
	owners_release(o, 2, budget);
}

static void connection_nobody_needs_here_is_closed_for_a_pool_that_waits(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	assert_int_equal(o[0].closes_n, 1);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	/* An orphaned open is in excess when another pool waits. */
	borrower_cancel(&b[1]);
	borrower_acquire(&b[0], 1000);
	owner_opened(&o[1], 0);
	assert_int_equal(o[1].closes_n, 1);
	notices_deliver();
	assert_int_equal(o[0].opens_n, 2);
	borrower_cancel(&b[0]);
	owners_release(o, 2, budget);
}

static void a_quiet_pool_gives_up_its_idle_connection_to_a_raised_hand(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	borrower_lease(&b[0]);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	assert_int_equal(borrower_acquire(&b[1], 1000), WEIR_POOL_PENDING);
	/* Nothing happens to the pool that holds it but this. */
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], &o[0]);
	assert_int_equal(o[0].closes_n, 0);
	notices_deliver();
	assert_int_equal(o[0].closes_n, 1);
	assert_int_equal(o[1].opens_n, 1);
	owner_opened(&o[1], 0);
	owner_run(&o[1]);
	assert_int_equal(b[1].outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&o[1]).idle, 1);
	owners_release(o, 2, budget);
}

/* One after the other gives up one, as often as it takes, and the rest stays; once they even out, only what has rested. */
static void waiters_get_as_many_idle_connections_of_others_as_they_need(void **state)
{
	struct weir_pool_budget *budget = budget_of(6);
	struct owner o[3];
	struct borrower b[3], lease[6], more[4];

	owners_init(o, b, 3, budget);
	for (int i = 0; i < 6; i++) {
		borrower_init(&lease[i], &o[i % 2]);
		borrower_lease(&lease[i]);
	}
	for (int i = 0; i < 6; i++)
		borrower_give_back(&lease[i], WEIR_POOL_REUSABLE);
	for (int i = 0; i < 4; i++) {
		borrower_init(&more[i], &o[2]);
		assert_int_equal(borrower_acquire(&more[i], 1000), WEIR_POOL_PENDING);
		assert_int_equal(notices_n, 1);
	}
	notices_deliver();
	assert_int_equal(o[2].opens_n, 2);
	for (int i = 0; i < 2; i++)
		owner_run_at(&o[i], o[i].now_us + POOL_LINGER_US - 1);
	notices_deliver();
	assert_int_equal(o[2].opens_n, 2);
	for (int i = 0; i < 2; i++)
		owner_run_at(&o[i], o[i].now_us + 1);
	notices_deliver();
	assert_int_equal(o[2].opens_n, 4);
	assert_int_equal(owner_stats(&o[0]).idle + owner_stats(&o[1]).idle, 2);
	for (int i = 0; i < 4; i++)
		borrower_cancel(&more[i]);
	owners_release(o, 3, budget);
}

static void pool_that_has_nothing_idle_any_more_has_the_next_one_asked(void **state)
{
	struct weir_pool_budget *budget = budget_of(2);
	struct owner o[3], *first, *second;
	struct borrower b[3];

	owners_init(o, b, 3, budget);
	for (int i = 0; i < 2; i++) {
		borrower_lease(&b[i]);
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	}
	borrower_acquire(&b[2], 1000);
	assert_int_equal(notices_n, 1);
	first = notice_take();
	second = first == &o[0] ? &o[1] : &o[0];
	/* Before the notice arrives what it has idle is leased, and the wait goes on. */
	borrower_cancel(&b[2]);
	borrower_lease(&b[first - o]);
	second->close_answer = ANSWER_LATER;
	borrower_acquire(&b[2], 1000);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], first);
	notices_deliver();
	assert_int_equal(first->closes_n, 0);
	assert_int_equal(second->closes_n, 1);
	owner_closed(second, second->closes[0]);
	notices_deliver();
	assert_int_equal(o[2].opens_n, 1);
	borrower_give_back(&b[first - o], WEIR_POOL_REUSABLE);
	borrower_cancel(&b[2]);
	second->close_answer = ANSWER_YES;
	owners_release(o, 3, budget);
}

static void raising_a_hand_calls_nobody_while_everything_is_in_use(void **state)
{
	struct weir_pool_budget *budget = budget_of(2);
	struct owner o[3];
	struct borrower b[3];

	owners_init(o, b, 3, budget);
	for (int i = 0; i < 2; i++) {
		borrower_lease(&b[i]);
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
		borrower_lease(&b[i]);
	}
	/* Both may have been idle: each is asked once. */
	borrower_acquire(&b[2], 1000);
	assert_int_equal(notices_n, 1);
	notices_deliver();
	for (int i = 0; i < 10; i++) {
		borrower_cancel(&b[2]);
		borrower_acquire(&b[2], 1000);
		assert_int_equal(notices_n, 0);
	}
	borrower_cancel(&b[2]);
	for (int i = 0; i < 2; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	assert_int_equal(o[0].closes_n + o[1].closes_n, 0);
	owners_release(o, 3, budget);
}

static void own_waiters_come_before_those_of_others(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2], own;

	owners_init(o, b, 2, budget);
	borrower_init(&own, &o[0]);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&own, 1000);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	assert_int_equal(o[0].closes_n, 0);
	owner_run(&o[0]);
	assert_int_equal(own.outcome, WEIR_POOL_DELIVERED);
	borrower_give_back(&own, WEIR_POOL_REUSABLE);
	notices_deliver();
	borrower_cancel(&b[1]);
	owners_release(o, 2, budget);
}

/* It asks again at once when it has been closed: the unit is not there for it. */
static void returned_unit_is_not_taken_by_another_than_the_notified(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[3];
	struct borrower b[3], own;

	owners_init(o, b, 3, budget);
	borrower_init(&own, &o[0]);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&own, 1000);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	assert_int_equal(notices_n, 1);
	assert_int_equal(o[0].opens_n, 1);
	borrower_acquire(&b[2], 1000);
	assert_int_equal(o[2].opens_n, 0);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	for (int i = 1; i < 3; i++)
		borrower_cancel(&b[i]);
	borrower_cancel(&own);
	owner_opened(&o[1], 0);
	notices_deliver();
	owners_release(o, 3, budget);
}

/* --- pools that are never without waiters ------------------------------------------------------------------------- */

#define BUSY_LOANS 8

/* A pool with clients that want a connection again as soon as they have given one back. */
struct busy {
	struct owner *owner;
	struct borrower loans[BUSY_LOANS];
	struct borrower *holding[BUSY_LOANS];
	int holding_n, served;
};

static struct busy busy[2];

static void busy_then(struct borrower *borrower)
{
	struct busy *b = borrower >= busy[1].loans ? &busy[1] : &busy[0];

	assert_int_equal(borrower->outcome, WEIR_POOL_DELIVERED);
	b->holding[b->holding_n++] = borrower;
	b->served++;
}

static void busy_begin(struct busy *b, struct owner *owner)
{
	*b = (struct busy){.owner = owner};
	owner->open_answer = ANSWER_YES;
	for (int i = 0; i < BUSY_LOANS; i++) {
		borrower_init(&b->loans[i], owner);
		b->loans[i].then = busy_then;
		if (borrower_acquire(&b->loans[i], 1000000) == WEIR_POOL_DELIVERED)
			b->holding[b->holding_n++] = &b->loans[i];
	}
}

/* Everybody who has a connection gives it back and waits for the next. */
static void busy_step(struct busy *b)
{
	struct borrower *given[BUSY_LOANS];
	int n = b->holding_n;

	memcpy(given, b->holding, sizeof(given));
	b->holding_n = 0;
	for (int i = 0; i < n; i++) {
		borrower_give_back(given[i], WEIR_POOL_REUSABLE);
		if (borrower_acquire(given[i], 1000000) == WEIR_POOL_DELIVERED)
			busy_then(given[i]);
	}
	owner_run(b->owner);
	/* The slots that a test owner can note down are limited; the pool does not need them. */
	b->owner->opens_n = b->owner->closes_n = 0;
}

static void busy_end(struct busy *b)
{
	b->owner->open_answer = ANSWER_LATER;
	for (int i = 0; i < BUSY_LOANS; i++)
		borrower_cancel(&b->loans[i]);
	for (int i = 0; i < b->holding_n; i++)
		borrower_give_back(b->holding[i], WEIR_POOL_REUSABLE);
}

/* So many rounds of `step_us`, in each of which every connection serves once. */
static void two_busy_pools(uint32_t cap, int rounds, uint64_t step_us)
{
	struct weir_pool_budget *budget = budget_of(cap);
	struct owner o[2];
	struct borrower unused[2];
	int total;

	owners_init(o, unused, 2, budget);
	/* The first has all of it before the second comes. */
	for (int i = 0; i < 2; i++)
		busy_begin(&busy[i], &o[i]);
	for (int k = 0; k < rounds; k++) {
		for (int i = 0; i < 2; i++)
			busy_step(&busy[i]);
		notices_deliver();
		for (int i = 0; i < 2; i++)
			o[i].now_us += step_us;
	}
	total = busy[0].served + busy[1].served;
	assert_true(busy[0].served > total / 3 && busy[1].served > total / 3);
	/* Nothing stands still for a turn. */
	assert_true(total > rounds * (int)cap * 9 / 10);
	for (int i = 0; i < 2; i++)
		busy_end(&busy[i]);
	notices_deliver();
	owners_release(o, 2, budget);
}

/* Pools that have evened out keep what they have: nobody reconnects only because another waits, too. */
static void busy_pools_that_have_evened_out_keep_their_connections(void **state)
{
	struct weir_pool_budget *budget = budget_of(4);
	struct owner o[2];
	struct borrower b[2];
	uint64_t opened;

	owners_init(o, b, 2, budget);
	for (int i = 0; i < 2; i++)
		busy_begin(&busy[i], &o[i]);
	for (int k = 0; k < 2000; k++) {
		busy_step(&busy[k % 2]);
		notices_deliver();
	}
	opened = owner_stats(&o[0]).opened + owner_stats(&o[1]).opened;
	for (int k = 0; k < 2000; k++) {
		busy_step(&busy[k % 2]);
		notices_deliver();
	}
	assert_int_equal(owner_stats(&o[0]).opened + owner_stats(&o[1]).opened, opened);
	assert_int_equal(owner_stats(&o[0]).leased, 2);
	assert_int_equal(owner_stats(&o[1]).leased, 2);
	for (int i = 0; i < 2; i++)
		busy_end(&busy[i]);
	notices_deliver();
	owners_release(o, 2, budget);
}

static void two_busy_pools_share_the_budget(void **state)
{
	two_busy_pools(1, 10000, 1);
	two_busy_pools(2, 10000, 1);
	two_busy_pools(4, 10000, 1);
}

/* A turn of 32 would last longer than anybody waits (1 s): its time ends it. Nobody times out (busy_then). */
static void two_busy_pools_with_slow_clients_share_the_budget(void **state)
{
	two_busy_pools(4, 10000, 100000);
}

static void nobody_yields_while_no_hand_is_up(void **state)
{
	struct weir_pool_budget *budget = budget_of(2);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	busy_begin(&busy[0], &o[0]);
	for (int k = 0; k < 1000; k++) {
		busy_step(&busy[0]);
		assert_int_equal(owner_stats(&o[0]).leased, 2);
		o[0].now_us += 100000;
	}
	assert_int_equal(owner_stats(&o[0]).opened, 2);
	busy_end(&busy[0]);
	owners_release(o, 2, budget);
}

static void a_turn_is_32_waiters(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	busy_begin(&busy[0], &o[0]);
	borrower_acquire(&b[1], 1000000);
	for (int k = 0; k < 32; k++)
		busy_step(&busy[0]);
	assert_int_equal(busy[0].served, 32);
	assert_int_equal(notices_n, 0);
	busy_step(&busy[0]);
	assert_int_equal(busy[0].served, 32);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], &o[1]);
	borrower_cancel(&b[1]);
	busy_end(&busy[0]);
	notices_deliver();
	owners_release(o, 2, budget);
}

/* One for each hand, however slowly it closes, and whether or not the hand is up again and again. */
static void one_is_given_up_for_each_turn_and_hand(void **state)
{
	struct weir_pool_budget *budget = budget_of(4);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	o[0].close_answer = ANSWER_LATER;
	busy_begin(&busy[0], &o[0]);
	borrower_acquire(&b[1], 1000000);
	for (int k = 0; k < 8; k++) {
		assert_int_equal(owner_stats(&o[0]).closing, 0);
		busy_step(&busy[0]);
	}
	for (int k = 0; k < 100; k++) {
		busy_step(&busy[0]);
		assert_int_equal(owner_stats(&o[0]).closing, 1);
		assert_int_equal(owner_stats(&o[0]).leased, 3);
	}
	o[0].close_answer = ANSWER_YES;
	for (uint32_t slot = 0; slot < 4; slot++)
		owner_closed(&o[0], slot);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	borrower_cancel(&b[1]);
	busy_end(&busy[0]);
	owner_opened(&o[1], 0);
	notices_deliver();
	owners_release(o, 2, budget);
}

static void notices_go_round(void **state)
{
	struct weir_pool_budget *budget = budget_of(3);
	struct owner o[4];
	struct borrower b[4], lease[3];
	bool told[4] = {false};

	owners_init(o, b, 4, budget);
	for (int i = 0; i < 3; i++) {
		borrower_init(&lease[i], &o[0]);
		borrower_lease(&lease[i]);
	}
	for (int i = 1; i < 4; i++)
		borrower_acquire(&b[i], 1000);
	for (int i = 0; i < 3; i++) {
		struct owner *owner;

		borrower_give_back(&lease[i], WEIR_POOL_DISCARD);
		owner = notice_take();
		assert_int_equal(notices_n, 0);
		assert_false(told[owner - o]);
		told[owner - o] = true;
		/*
		 * It takes the unit, and its hand is up again when the next one is returned: yet that goes to another.
		 */
		weir_pool_budget_freed(owner->pool, owner->now_us);
		borrower_init(&lease[i], owner);
		borrower_acquire(&lease[i], 1000);
	}
	assert_true(told[1] && told[2] && told[3] && !told[0]);
	for (int i = 0; i < 3; i++)
		borrower_cancel(&lease[i]);
	for (int i = 1; i < 4; i++)
		borrower_cancel(&b[i]);
	owners_release(o, 4, budget);
}

static void notified_pool_that_needs_nothing_passes_it_on(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[3];
	struct borrower b[3];
	struct owner *first;

	owners_init(o, b, 3, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&b[2], 1000);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	first = notices[0];
	borrower_cancel(&b[first - o]);
	notices_deliver();
	assert_int_equal(first->opens_n, 0);
	assert_int_equal(o[1].opens_n + o[2].opens_n, 1);
	borrower_cancel(&b[1]);
	borrower_cancel(&b[2]);
	owners_release(o, 3, budget);
}

static void notified_pool_that_is_freed_passes_it_on(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[3], *first, *second;
	struct borrower b[3];

	owners_init(o, b, 3, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&b[2], 1000);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	first = notice_take();
	second = first == &o[1] ? &o[2] : &o[1];
	borrower_cancel(&b[first - o]);
	owner_release(first);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], second);
	notices_deliver();
	assert_int_equal(second->opens_n, 1);
	borrower_cancel(&b[second - o]);
	owner_release(second);
	owner_release(&o[0]);
	weir_pool_budget_free(budget);
}

/* Its thread may not run again: the answer to the notice does not come. */
static void notified_pool_that_has_closed_passes_it_on(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[3], *first, *second;
	struct borrower b[3];

	owners_init(o, b, 3, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_acquire(&b[2], 1000);
	borrower_give_back(&b[0], WEIR_POOL_DISCARD);
	first = notice_take();
	second = first == &o[1] ? &o[2] : &o[1];
	owner_close(first);
	assert_int_equal(notices_n, 0);
	owner_run(first);
	assert_int_equal(first->closed_told, 1);
	assert_int_equal(notices_n, 1);
	assert_ptr_equal(notices[0], second);
	notices_deliver();
	assert_int_equal(second->opens_n, 1);
	/* The late answer does nothing. */
	weir_pool_budget_freed(first->pool, first->now_us);
	owner_audit(first);
	assert_int_equal(weir_pool_budget_used(budget), 1);
	borrower_cancel(&b[second - o]);
	weir_pool_free(first->pool);
	owner_release(second);
	owner_release(&o[0]);
	weir_pool_budget_free(budget);
}

static void pool_that_needs_nothing_any_more_is_not_notified(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	borrower_lease(&b[0]);
	borrower_acquire(&b[1], 1000);
	borrower_cancel(&b[1]);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	assert_int_equal(o[0].closes_n, 0);
	owner_spoiled(&o[0], 0);
	assert_int_equal(notices_n, 0);
	owners_release(o, 2, budget);
}

static void failed_open_returns_its_unit(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct owner o[2];
	struct borrower b[2];

	owners_init(o, b, 2, budget);
	borrower_acquire(&b[0], 1000);
	borrower_acquire(&b[1], 1000);
	owner_open_failed(&o[0], 0, 1);
	notices_deliver();
	assert_int_equal(o[1].opens_n, 1);
	owner_run(&o[0]);
	borrower_cancel(&b[1]);
	owners_release(o, 2, budget);
}

static void seat_of_a_freed_pool_is_used_again(void **state)
{
	struct weir_pool_budget *budget = budget_of(1);
	struct weir_pool_config config = owner_config();
	struct owner o;

	for (int i = 0; i < 100; i++) {
		owner_init(&o, &config, budget);
		owner_release(&o);
	}
	weir_pool_budget_free(budget);
}

static void bad_budgets_are_refused(void **state)
{
	errno = 0;
	assert_null(weir_pool_budget_create(0, 0, sharing_notify));
	assert_int_equal(errno, EINVAL);
	assert_null(weir_pool_budget_create(WEIR_POOL_CONNECTIONS_MAX + 1, 0, sharing_notify));
	assert_null(weir_pool_budget_create(1, 0, NULL));
	weir_pool_budget_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spent_budget_makes_the_other_pool_wait_and_a_returned_unit_is_noticed),
		cmocka_unit_test(unit_is_held_until_the_connection_is_closed),
		cmocka_unit_test(connection_nobody_needs_here_is_closed_for_a_pool_that_waits),
		cmocka_unit_test(a_quiet_pool_gives_up_its_idle_connection_to_a_raised_hand),
		cmocka_unit_test(waiters_get_as_many_idle_connections_of_others_as_they_need),
		cmocka_unit_test(pool_that_has_nothing_idle_any_more_has_the_next_one_asked),
		cmocka_unit_test(raising_a_hand_calls_nobody_while_everything_is_in_use),
		cmocka_unit_test(own_waiters_come_before_those_of_others),
		cmocka_unit_test(returned_unit_is_not_taken_by_another_than_the_notified),
		cmocka_unit_test(busy_pools_that_have_evened_out_keep_their_connections),
		cmocka_unit_test(two_busy_pools_share_the_budget),
		cmocka_unit_test(two_busy_pools_with_slow_clients_share_the_budget),
		cmocka_unit_test(nobody_yields_while_no_hand_is_up),
		cmocka_unit_test(a_turn_is_32_waiters),
		cmocka_unit_test(one_is_given_up_for_each_turn_and_hand),
		cmocka_unit_test(notices_go_round),
		cmocka_unit_test(notified_pool_that_needs_nothing_passes_it_on),
		cmocka_unit_test(notified_pool_that_is_freed_passes_it_on),
		cmocka_unit_test(notified_pool_that_has_closed_passes_it_on),
		cmocka_unit_test(pool_that_needs_nothing_any_more_is_not_notified),
		cmocka_unit_test(failed_open_returns_its_unit),
		cmocka_unit_test(seat_of_a_freed_pool_is_used_again),
		cmocka_unit_test(bad_budgets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
