/* How many connections there are, and why: overflow, idle minimum, trimming, back-off, dead endpoints, fresh ones. */
#include "owner.h"

#include "pool/engine.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t closes(struct owner *owner, enum weir_pool_close_reason reason)
{
	return owner_stats(owner).closes[reason];
}

/* --- overflow ----------------------------------------------------------------------------------------------------- */

static struct weir_pool_config overflow_config(void)
{
	struct weir_pool_config config = owner_config();

	config.connections_max = 1;
	config.on_acquire_timeout = WEIR_POOL_NEW;
	config.overflow_max = 1;
	config.acquire_timeout_us = 100;
	return config;
}

static void overflow_waits_another_acquire_timeout_at_most(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, overflow_config(), &a, &b, NULL);
	borrower_acquire(&b, 100000);
	owner_run_at(&owner, owner.now_us + 99);
	assert_int_equal(owner.opens_n, 1);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(owner.opens_n, 2);
	assert_int_equal(owner_stats(&owner).overflowed, 1);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 100);
	owner_run_at(&owner, owner.now_us + 100);
	assert_int_equal(b.outcome, WEIR_POOL_TIMED_OUT);
	/* Its open, when it comes, is one too many. */
	owner_opened(&owner, owner.opens[1]);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_OVERFLOW), 1);
	pool_end(&owner, &a, NULL);
}

static void who_has_waited_through_keeps_the_place_and_may_be_served_by_what_comes_back(void **state)
{
	struct owner owner;
	struct borrower a, b, c;

	pool_with_lease(&owner, overflow_config(), &a, &b, &c, NULL);
	borrower_acquire(&b, 1000);
	owner_run_at(&owner, owner.now_us + 50);
	borrower_acquire(&c, 1000);
	owner_run_at(&owner, owner.now_us + 50);
	assert_int_equal(owner_stats(&owner).connecting, 1);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(c.told, 0);
	/* c has not waited through, but what was opened serves before it goes. */
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_int_equal(c.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_OVERFLOW), 0);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_OVERFLOW), 1);
	pool_end(&owner, &c, NULL);
}

static void own_deadline_before_the_timeout_opens_nothing_beyond(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with_lease(&owner, overflow_config(), &a, &b, NULL);
	borrower_acquire(&b, 100);
	owner_run_at(&owner, owner.now_us + 100);
	assert_int_equal(b.outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(owner.opens_n, 1);
	pool_end(&owner, &a, NULL);
}

/* --- idle minimum, trimming --------------------------------------------------------------------------------------- */

static void idle_min_is_opened_by_the_first_run_and_replaced_when_it_ages(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.connections_max = 4;
	config.idle_min = 2;
	config.idle_timeout_us = 100;
	pool_with(&owner, config, NULL);
	owner.open_answer = ANSWER_YES;
	assert_int_equal(weir_pool_next_event(owner.pool), 0);
	assert_int_equal(owner.opens_n, 0);
	owner_run(&owner);
	assert_int_equal(owner_stats(&owner).idle, 2);
	/* Beside the leased ones. */
	borrower_init(&a, &owner);
	borrower_lease(&a);
	assert_int_equal(owner_stats(&owner).idle, 2);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(owner_stats(&owner).idle, 3);
	/* What was never used is not replaced at once: the service may not keep what it is given. */
	for (uint64_t i = 0; i < 5; i++) {
		owner_run_at(&owner, owner.now_us + 100);
		assert_int_equal(owner_stats(&owner).idle, 0);
		assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_IDLE), 3 + 2 * i);
		owner_run_at(&owner, owner.now_us + 1000000);
		assert_int_equal(owner_stats(&owner).idle, 2);
	}
	owner_release(&owner);
}

/* The longer of two pauses; whoever asks is served all the while. */
static void idle_min_can_wait(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.connections_max = 4;
	config.idle_min = 2;
	owner_init(&owner, &config, NULL);
	owner.open_answer = ANSWER_YES;
	weir_pool_pause_ahead(owner.pool, owner.now_us + 5000000, owner.now_us);
	weir_pool_pause_ahead(owner.pool, owner.now_us + 100, owner.now_us);
	owner_run_at(&owner, owner.now_us + 4999999);
	assert_int_equal(owner.opens_n, 0);
	borrower_init(&a, &owner);
	borrower_lease(&a);
	assert_int_equal(owner.opens_n, 1);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 1);
	owner_run_at(&owner, owner.now_us + 1);
	assert_int_equal(owner_stats(&owner).idle, 2);
	owner_release(&owner);
}

/* The order to open nothing ahead may come late in a tick: then it tells the pool the time, which ends waits as well. */
static void waits_end_with_the_time_that_a_pause_tells(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	owner_init(&owner, &config, NULL);
	borrower_init(&a, &owner);
	assert_int_equal(borrower_acquire(&a, 500), WEIR_POOL_PENDING);
	owner.now_us += 500;
	weir_pool_pause_ahead(owner.pool, owner.now_us + 1000, owner.now_us);
	assert_null(weir_pool_audit(owner.pool));
	owner_run_at(&owner, owner.now_us);
	assert_int_equal(a.outcome, WEIR_POOL_TIMED_OUT);
	owner_release(&owner);
}

/* A pool that is about to be drained closes what rests in portions: those first that have rested longest. */
static void idle_ones_are_closed_in_portions(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b[5];

	config.connections_max = config.connecting_max = 5;
	owner_init(&owner, &config, NULL);
	for (int i = 0; i < 5; i++) {
		borrower_init(&b[i], &owner);
		borrower_lease(&b[i]);
	}
	for (int i = 1; i < 5; i++)
		borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	assert_int_equal(weir_pool_close_idle(owner.pool, 3, owner.now_us), 1);
	assert_null(weir_pool_audit(owner.pool));
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_POOL], 3);
	assert_int_equal(weir_pool_close_idle(owner.pool, 0, owner.now_us), 1);
	/* It serves as before. */
	borrower_lease(&b[1]);
	assert_int_equal(owner.opens_n, 5);
	assert_int_equal(weir_pool_close_idle(owner.pool, 3, owner.now_us), 0);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	assert_int_equal(weir_pool_close_idle(owner.pool, 3, owner.now_us), 0);
	assert_int_equal(owner_stats(&owner).closes[WEIR_POOL_CLOSE_POOL], 5);
	owner_release(&owner);
}

static void idle_min_takes_no_more_than_the_maximum(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b[2];

	config.idle_min = 2;
	pool_with(&owner, config, NULL);
	borrowers_lease(b, 2, &owner);
	owner_run(&owner);
	assert_int_equal(owner.opens_n, 2);
	borrowers_give_back(b, 2);
	owner_release(&owner);
}

static void half_of_what_was_not_needed_goes_each_interval(void **state)
{
	static const uint32_t left[] = {8, 4, 2, 1, 1, 1};
	struct weir_pool_config config = owner_config();
	struct borrower b[8];
	struct owner owner;

	config.connections_max = config.connecting_max = 8;
	config.trim_interval_us = 1000;
	pool_with(&owner, config, NULL);
	borrowers_lease(b, 8, &owner);
	borrowers_give_back(b, 8);
	/* The interval began when the second became idle; so at its end not all eight were idle all the time. */
	owner_run_at(&owner, owner.now_us + 1000);
	assert_int_equal(owner_stats(&owner).idle, 7);
	borrower_lease(&b[0]);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	for (int i = 1; i < 6; i++) {
		owner_run_at(&owner, owner.now_us + 1000);
		assert_in_range(owner_stats(&owner).idle, 1, left[i - 1]);
		assert_in_range(owner_stats(&owner).idle, left[i], 8);
	}
	assert_int_equal(owner_stats(&owner).idle, 1);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_TRIMMED), 7);
	owner_release(&owner);
}

static void connections_in_use_are_not_trimmed(void **state)
{
	struct weir_pool_config config = owner_config();
	struct borrower b[4];
	struct owner owner;

	config.connections_max = config.connecting_max = 4;
	config.trim_interval_us = 1000;
	pool_with(&owner, config, NULL);
	for (int i = 0; i < 6; i++) {
		borrowers_lease(b, 4, &owner);
		borrowers_give_back(b, 4);
		owner_run_at(&owner, owner.now_us + 500);
	}
	assert_int_equal(owner.closes_n, 0);
	assert_int_equal(owner.opens_n, 4);
	owner_release(&owner);
}

static void idle_timeout_may_be_changed_for_those_to_come(void **state)
{
	struct weir_pool_config config = owner_config();
	struct borrower b[2];
	struct owner owner;

	config.idle_timeout_us = 1000;
	pool_with(&owner, config, NULL);
	borrowers_lease(b, 2, &owner);
	borrower_give_back(&b[0], WEIR_POOL_REUSABLE);
	weir_pool_set_idle_timeout(owner.pool, 300);
	borrower_give_back(&b[1], WEIR_POOL_REUSABLE);
	owner_run_at(&owner, owner.now_us + 300);
	assert_int_equal(owner_stats(&owner).idle, 1);
	owner_run_at(&owner, owner.now_us + 700);
	assert_int_equal(owner_stats(&owner).idle, 0);
	owner_release(&owner);
}

/* --- back-off, dead endpoints ------------------------------------------------------------------------------------- */

static void backoff_doubles_up_to_its_maximum_between_half_and_whole(void **state)
{
	static const uint64_t spans_us[] = {100, 200, 400, 800, 1000, 1000};
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.backoff_min_us = 100;
	config.backoff_max_us = 1000;
	pool_with(&owner, config, &a, NULL);
	for (uint32_t i = 0; i < 6; i++) {
		uint64_t us = i % 2 == 0 ? spans_us[i] : spans_us[i] / 2;

		/* The most that random can add, and the least. */
		owner.random = i % 2 == 0 ? spans_us[i] / 2 : 0;
		borrower_acquire(&a, 100000);
		assert_int_equal(owner.opens_n, i + 1);
		owner_open_failed(&owner, owner.opens[i], 7);
		owner_run(&owner);
		assert_int_equal(a.outcome, WEIR_POOL_OPEN_FAILED);
		borrower_acquire(&a, 100000);
		owner_run_at(&owner, owner.now_us + us - 1);
		assert_int_equal(owner.opens_n, i + 1);
		assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 1);
		owner_run_at(&owner, owner.now_us + 1);
		assert_int_equal(owner.opens_n, i + 2);
		borrower_cancel(&a);
	}
	owner_opened(&owner, owner.opens[6]);
	owner_release(&owner);
}

/* An attempt that hangs, its first packet lost, keeps nobody waiting who would be served by the next. */
static void after_a_failure_the_next_open_does_not_wait_for_one_that_hangs(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a, b, c;

	config.connections_max = config.connecting_max = 3;
	config.backoff_min_us = 100;
	config.backoff_max_us = 300;
	pool_with(&owner, config, &a, &b, &c, NULL);
	borrower_acquire(&a, 100000);
	owner_open_failed(&owner, owner.opens[0], 7);
	owner_run_at(&owner, owner.now_us + 300);
	borrower_acquire(&a, 100000);
	borrower_acquire(&b, 100000);
	borrower_acquire(&c, 100000);
	for (uint32_t n = 2; n <= 3; n++) {
		assert_int_equal(owner.opens_n, n);
		assert_int_equal(weir_pool_next_event(owner.pool), owner.now_us + 300);
		owner_run_at(&owner, owner.now_us + 299);
		assert_int_equal(owner.opens_n, n);
		owner_run_at(&owner, owner.now_us + 1);
	}
	assert_int_equal(owner.opens_n, 4);
	owner_opened(&owner, owner.opens[3]);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_DELIVERED);
	/* Those that hang are begun anew. */
	assert_int_equal(owner.closes_n, 2);
	assert_int_equal(owner.opens_n, 6);
	assert_int_equal(owner_stats(&owner).connecting, 2);
	borrower_cancel(&b);
	borrower_cancel(&c);
	pool_end(&owner, &a, NULL);
}

static void after_a_failure_one_open_at_a_time_until_one_succeeds(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower lease, b[4];

	config.connections_max = config.connecting_max = 4;
	pool_with_lease(&owner, config, &lease, NULL);
	for (int i = 0; i < 4; i++) {
		borrower_init(&b[i], &owner);
		borrower_acquire(&b[i], 1000);
	}
	assert_int_equal(owner_stats(&owner).connecting, 3);
	for (int i = 1; i < 4; i++)
		owner_open_failed(&owner, owner.opens[i], 7);
	assert_int_equal(owner_stats(&owner).connecting, 1);
	owner_opened(&owner, owner.opens[owner.opens_n - 1]);
	owner_run(&owner);
	for (int i = 0; i < 4; i++)
		borrower_cancel(&b[i]);
	for (int i = 0; i < 4; i++)
		if (b[i].outcome == WEIR_POOL_DELIVERED && b[i].told > 0)
			borrower_give_back(&b[i], WEIR_POOL_REUSABLE);
	pool_end(&owner, &lease, NULL);
}

static void all_who_wait_hear_at_once_that_the_endpoint_is_dead(void **state)
{
	struct weir_pool_config config = one_connection();
	struct owner owner;
	struct borrower b[4];

	config.backoff_min_us = config.backoff_max_us = 1000000;
	pool_with(&owner, config, NULL);
	for (int i = 0; i < 4; i++) {
		borrower_init(&b[i], &owner);
		b[i].waiter.priority = (uint8_t)(3 - i);
		borrower_acquire(&b[i], 100000);
	}
	owner_open_failed(&owner, owner.opens[0], 113);
	owner_run(&owner);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(b[i].outcome, WEIR_POOL_OPEN_FAILED);
		assert_int_equal(b[i].waiter.reason, 113);
		assert_true(i == 0 || b[i].order < b[i - 1].order);
	}
	assert_int_equal(owner.opens_n, 1);
	/* Who comes now waits for the end of the back-off, and hears the reason if that is too long. */
	borrower_acquire(&b[0], 1000);
	owner_run_at(&owner, owner.now_us + 1000);
	assert_int_equal(b[0].outcome, WEIR_POOL_TIMED_OUT);
	assert_int_equal(b[0].waiter.reason, 113);
	owner_release(&owner);
}

static void again(struct borrower *b)
{
	if (b->told < 3)
		borrower_acquire(b, 100000);
}

static void the_told_may_ask_again_at_once(void **state)
{
	struct owner owner;
	struct borrower b[3];

	pool_with(&owner, owner_config(), NULL);
	owner.open_answer = ANSWER_LATER;
	for (int i = 0; i < 3; i++) {
		borrower_init(&b[i], &owner);
		b[i].then = again;
		borrower_acquire(&b[i], 100000);
	}
	for (uint32_t i = 0; i < owner.opens_n; i++) {
		owner_open_failed(&owner, owner.opens[i], 1);
		owner_run(&owner);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(b[i].told, 3);
	assert_int_equal(owner_stats(&owner).acquires[WEIR_POOL_OPEN_FAILED], 9);
	owner_release(&owner);
}

/* --- fresh -------------------------------------------------------------------------------------------------------- */

static void fresh_is_served_by_an_open_and_before_all_others(void **state)
{
	struct owner owner;
	struct borrower a, b, c;

	pool_with_lease(&owner, owner_config(), &a, &b, &c, NULL);
	borrower_acquire(&b, 1000);
	c.waiter.fresh = true;
	c.waiter.priority = 3;
	borrower_acquire(&c, 1000);
	/* What comes back is not for c, what is opened is not for b. */
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_opened(&owner, owner.opens[1]);
	owner_run(&owner);
	assert_true(b.told == 1 && b.waiter.reused);
	assert_true(c.told == 1 && !c.waiter.reused);
	assert_ptr_equal(c.waiter.connection, owner_connection(owner.opens[1]));
	pool_end(&owner, &b, &c, NULL);
}

static void an_idle_connection_goes_for_a_fresh_one_where_there_is_no_room(void **state)
{
	struct borrower b[2], c;
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	borrowers_lease(b, 2, &owner);
	borrowers_give_back(b, 2);
	owner_run(&owner);
	borrower_init(&c, &owner);
	c.waiter.fresh = true;
	assert_int_equal(borrower_acquire(&c, 1000), WEIR_POOL_PENDING);
	assert_int_equal(closes(&owner, WEIR_POOL_CLOSE_YIELDED), 1);
	assert_int_equal(owner.opens_n, 3);
	owner_opened(&owner, owner.opens[2]);
	owner_run(&owner);
	assert_int_equal(c.outcome, WEIR_POOL_DELIVERED);
	assert_false(c.waiter.reused);
	assert_int_equal(owner_stats(&owner).idle, 1);
	pool_end(&owner, &c, NULL);
}

/* --- the audit ---------------------------------------------------------------------------------------------------- */

static void assert_rests_in_vain(struct owner *owner)
{
	const char *wrong = weir_pool_audit(owner->pool);

	assert_non_null(wrong);
	assert_string_equal(wrong, "a pool is said to rest that does not");
}

/* With another setting the ordinary way would leave something out: a check, or an end of idling that nobody has planned. */
static void a_pool_that_should_not_rest_is_noticed(void **state)
{
	struct weir_pool_config *config;
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	config = &owner.pool->config;
	assert_true(owner.pool->rests_until_us > owner.now_us);
	config->checks = WEIR_POOL_CHECK_ON_GIVE_BACK;
	assert_rests_in_vain(&owner);
	config->checks = WEIR_POOL_CHECK_NEVER;
	config->idle_timeout_us = POOL_FAR;
	assert_rests_in_vain(&owner);
	config->idle_timeout_us = 0;
	owner_release(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overflow_waits_another_acquire_timeout_at_most),
		cmocka_unit_test(who_has_waited_through_keeps_the_place_and_may_be_served_by_what_comes_back),
		cmocka_unit_test(own_deadline_before_the_timeout_opens_nothing_beyond),
		cmocka_unit_test(idle_min_is_opened_by_the_first_run_and_replaced_when_it_ages),
		cmocka_unit_test(idle_min_can_wait),
		cmocka_unit_test(waits_end_with_the_time_that_a_pause_tells),
		cmocka_unit_test(idle_ones_are_closed_in_portions),
		cmocka_unit_test(idle_min_takes_no_more_than_the_maximum),
		cmocka_unit_test(half_of_what_was_not_needed_goes_each_interval),
		cmocka_unit_test(connections_in_use_are_not_trimmed),
		cmocka_unit_test(idle_timeout_may_be_changed_for_those_to_come),
		cmocka_unit_test(backoff_doubles_up_to_its_maximum_between_half_and_whole),
		cmocka_unit_test(after_a_failure_one_open_at_a_time_until_one_succeeds),
		cmocka_unit_test(after_a_failure_the_next_open_does_not_wait_for_one_that_hangs),
		cmocka_unit_test(all_who_wait_hear_at_once_that_the_endpoint_is_dead),
		cmocka_unit_test(the_told_may_ask_again_at_once),
		cmocka_unit_test(fresh_is_served_by_an_open_and_before_all_others),
		cmocka_unit_test(an_idle_connection_goes_for_a_fresh_one_where_there_is_no_room),
		cmocka_unit_test(a_pool_that_should_not_rest_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
