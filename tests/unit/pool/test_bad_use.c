/* Use that no program should make of a pool: each has a defined answer, a refusal, a count, or an abort. */
#include "owner.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- arguments of weir_pool_create -------------------------------------------------------------------------------- */

static void nothing(void *owner)
{
}

static void slot_nothing(void *owner, uint32_t slot)
{
}

static void connection_nothing(void *owner, uint32_t slot, void *connection)
{
}

static uint64_t random_nothing(void *owner)
{
	return 0;
}

static struct weir_pool_ops ops_complete(void)
{
	return (struct weir_pool_ops){
		slot_nothing, connection_nothing, nothing, nothing, random_nothing, connection_nothing, NULL};
}

static void refused(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner)
{
	errno = 0;
	assert_null(weir_pool_create(config, ops, owner, NULL));
	assert_int_equal(errno, EINVAL);
}

static void config_refused(struct weir_pool_config config)
{
	struct weir_pool_ops ops = ops_complete();

	refused(&config, &ops, &ops);
}

static void config_accepted(struct weir_pool_config config)
{
	struct weir_pool_ops ops = ops_complete();
	struct weir_pool *pool = weir_pool_create(&config, &ops, &ops, NULL);

	assert_non_null(pool);
	weir_pool_free(pool);
}

static void null_owner_and_null_ops_are_refused(void **state)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_ops ops = ops_complete();

	config_accepted(config);
	refused(&config, &ops, NULL);
	refused(&config, NULL, &ops);
	refused(NULL, &ops, &ops);
}

static void missing_callbacks_are_refused(void **state)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_ops ops;

	ops = ops_complete(), ops.open = NULL, refused(&config, &ops, &ops);
	ops = ops_complete(), ops.close = NULL, refused(&config, &ops, &ops);
	ops = ops_complete(), ops.wake = NULL, refused(&config, &ops, &ops);
	ops = ops_complete(), ops.on_closed = NULL, refused(&config, &ops, &ops);
	ops = ops_complete(), ops.random = NULL, refused(&config, &ops, &ops);
}

static void no_cap_is_refused(void **state)
{
	struct weir_pool_config config;

	config = owner_config(), config.connections_max = 0, config_refused(config);
	config = owner_config(), config.connections_max = WEIR_POOL_CONNECTIONS_MAX + 1, config_refused(config);
	config = owner_config(), config.connections_max = UINT32_MAX, config_refused(config);
	config = owner_config(), config.connecting_max = 0, config_refused(config);
}

static void unbounded_queue_is_refused(void **state)
{
	struct weir_pool_config config;

	config = owner_config(), config.waiters_max = WEIR_POOL_WAITERS_MAX + 1, config_refused(config);
	config = owner_config(), config.waiters_max = UINT32_MAX, config_refused(config);
	config = owner_config(), config.waiters_max = 0, config_accepted(config);
}

static void waiting_for_ever_is_refused(void **state)
{
	struct weir_pool_config config = owner_config();

	config.acquire_timeout_us = 0;
	config_refused(config);
}

static void overflow_and_new_go_together(void **state)
{
	struct weir_pool_config config = owner_config();

	config.overflow_max = 1;
	config_refused(config);
	config.on_acquire_timeout = WEIR_POOL_NEW;
	config_accepted(config);
	config.overflow_max = 0;
	config_refused(config);
	config.overflow_max = WEIR_POOL_CONNECTIONS_MAX + 1;
	config_refused(config);
	config.overflow_max = 1;
	config.on_acquire_timeout = (enum weir_pool_on_timeout)2;
	config_refused(config);
}

static void checks_need_an_op_and_a_timeout(void **state)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_ops ops = ops_complete();

	config.checks = WEIR_POOL_CHECK_ON_GIVE_BACK;
	config_refused(config);
	config.check_timeout_us = 1;
	config_accepted(config);
	ops.check = NULL;
	refused(&config, &ops, &ops);
	config.checks = 4;
	config_refused(config);
}

static void limits_that_contradict_each_other_are_refused(void **state)
{
	struct weir_pool_config config;

	config = owner_config(), config.idle_min = config.connections_max, config_accepted(config);
	config = owner_config(), config.idle_min = config.connections_max + 1, config_refused(config);
	config = owner_config(), config.backoff_min_us = 2, config.backoff_max_us = 1, config_refused(config);
	config = owner_config(), config.backoff_min_us = 0, config.backoff_max_us = 1, config_refused(config);
	config = owner_config(), config.backoff_min_us = config.backoff_max_us = 1, config_accepted(config);
	config = owner_config(), config.leak_after_us = 2, config.reclaim_after_us = 1, config_refused(config);
	config = owner_config(), config.leak_after_us = 2, config_accepted(config);
	config = owner_config(), config.order = (enum weir_pool_order)2, config_refused(config);
}

static void budget_without_a_size_is_refused(void **state)
{
	struct weir_pool_budget *budget;

	errno = 0;
	assert_null(weir_pool_budget_create(0, 0, nothing));
	assert_int_equal(errno, EINVAL);
	assert_null(weir_pool_budget_create(WEIR_POOL_CONNECTIONS_MAX + 1, 0, nothing));
	assert_null(weir_pool_budget_create(1, WEIR_POOL_CONNECTIONS_MAX + 1, nothing));
	assert_null(weir_pool_budget_create(1, 0, NULL));
	budget = weir_pool_budget_create(1, 0, nothing);
	assert_false(weir_pool_budget_resize(budget, 0, 0));
	assert_false(weir_pool_budget_resize(budget, 1, WEIR_POOL_CONNECTIONS_MAX + 1));
	assert_true(weir_pool_budget_resize(budget, 2, 3));
	weir_pool_budget_free(budget);
	weir_pool_budget_free(NULL);
}

/* --- calls at the wrong time -------------------------------------------------------------------------------------- */

static void deadline_in_the_past_times_out_at_once(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	assert_int_equal(weir_pool_acquire(owner.pool, &a.waiter, owner.now_us, owner.now_us - 1), WEIR_POOL_TIMED_OUT);
	assert_int_equal(weir_pool_acquire(owner.pool, &a.waiter, owner.now_us, 0), WEIR_POOL_TIMED_OUT);
	assert_int_equal(owner.opens_n, 0);
	assert_int_equal(owner_stats(&owner).waiting, 0);
	owner_release(&owner);
}

/* An open that is known to have failed is the better reason. */
static void deadline_in_the_past_gives_the_latest_reason(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner.open_answer = ANSWER_NO;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_OPEN_FAILED);
	assert_int_equal(borrower_acquire(&a, 0), WEIR_POOL_TIMED_OUT);
	assert_int_equal(a.waiter.reason, 111);
	owner_release(&owner);
}

static void close_twice_and_drain_after_close_do_nothing(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with_lease(&owner, owner_config(), &a, NULL);
	owner_close(&owner);
	owner_close(&owner);
	owner_drain(&owner);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	owner_close(&owner);
	owner_drain(&owner);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	assert_int_equal(owner.closes_n, 1);
	weir_pool_free(owner.pool);
}

static struct borrower *held;

static void give_back_held(struct owner *owner)
{
	if (held != NULL && held->waiter.lease.slot != 0)
		assert_true(borrower_give_back(held, WEIR_POOL_REUSABLE));
	held = NULL;
}

static void give_back_in_slot_callback(struct owner *owner, uint32_t slot)
{
	give_back_held(owner);
}

static void give_back_in_outcome(struct borrower *borrower)
{
	give_back_held(borrower->owner);
}

/* A second lease is given back from inside whatever `b` makes the pool call. */
static void give_back_from(struct owner *owner, void (*provoke)(struct owner *owner, struct borrower *b))
{
	struct borrower lease, b;

	borrower_init(&lease, owner);
	borrower_init(&b, owner);
	borrower_lease(&lease);
	held = &lease;
	provoke(owner, &b);
	assert_null(held);
	assert_int_equal(owner_stats(owner).leased, 0);
	owner->on_open = owner->on_close = owner->on_check = owner->on_overdue = NULL;
	owner->on_wake = NULL;
	owner_release(owner);
}

static void provoke_open(struct owner *owner, struct borrower *b)
{
	owner->on_open = give_back_in_slot_callback;
	/* What is given back inside serves it; the open goes on. */
	assert_int_equal(borrower_acquire(b, 1000), WEIR_POOL_DELIVERED);
	borrower_give_back(b, WEIR_POOL_REUSABLE);
	owner_opened(owner, owner->opens[1]);
}

static void provoke_close(struct owner *owner, struct borrower *b)
{
	borrower_lease(b);
	owner->on_close = give_back_in_slot_callback;
	owner->close_answer = ANSWER_LATER;
	borrower_give_back(b, WEIR_POOL_DISCARD);
	owner_closed(owner, owner->closes[0]);
}

static void provoke_wake(struct owner *owner, struct borrower *b)
{
	owner_run(owner);
	owner->on_wake = give_back_held;
	borrower_acquire(b, 500);
	borrower_cancel(b);
}

static void provoke_outcome(struct owner *owner, struct borrower *b)
{
	b->then = give_back_in_outcome;
	borrower_acquire(b, 500);
	owner_run_at(owner, owner->now_us + 500);
	assert_int_equal(b->outcome, WEIR_POOL_TIMED_OUT);
}

static void provoke_check(struct owner *owner, struct borrower *b)
{
	borrower_acquire(b, 1000);
	owner_opened(owner, owner->opens[1]);
	owner_run(owner);
	owner->on_check = give_back_in_slot_callback;
	borrower_give_back(b, WEIR_POOL_REUSABLE);
	assert_int_equal(owner->checks_n, 2);
	owner_checked(owner, owner->checks[0], true);
	owner_checked(owner, owner->checks[1], true);
}

static void provoke_overdue(struct owner *owner, struct borrower *b)
{
	owner->on_overdue = give_back_in_slot_callback;
	owner_run_at(owner, owner->now_us + 5000);
	assert_int_equal(owner->overdue_n, 1);
	assert_int_equal(owner_stats(owner).closes[WEIR_POOL_CLOSE_RECLAIMED], 0);
}

static void give_back_from_every_callback(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;

	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_open);
	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_close);
	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_wake);
	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_outcome);
	config.reclaim_after_us = 5000;
	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_overdue);
	config.checks = WEIR_POOL_CHECK_ON_GIVE_BACK;
	config.check_timeout_us = 1000;
	owner_init(&owner, &config, NULL), give_back_from(&owner, provoke_check);
}

/* --- what cannot go on -------------------------------------------------------------------------------------------- */

/* Runs `misuse` in a child, which must abort. */
static void aborts(void (*misuse)(struct owner *owner, struct borrower *b))
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower b;
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		fclose(stderr);
		owner_init(&owner, &config, NULL);
		borrower_init(&b, &owner);
		misuse(&owner, &b);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void acquire_twice(struct owner *owner, struct borrower *b)
{
	borrower_acquire(b, 1000);
	borrower_acquire(b, 1000);
}

static void acquire_without_callback(struct owner *owner, struct borrower *b)
{
	b->waiter.on_outcome = NULL;
	borrower_acquire(b, 1000);
}

/* A pool at rest serves it at once. */
static void acquire_at_rest_without_callback(struct owner *owner, struct borrower *b)
{
	borrower_lease(b);
	borrower_give_back(b, WEIR_POOL_REUSABLE);
	owner_run(owner);
	b->waiter.on_outcome = NULL;
	borrower_acquire(b, 1000);
}

static void free_with_connections(struct owner *owner, struct borrower *b)
{
	borrower_lease(b);
	weir_pool_free(owner->pool);
}

static void free_with_waiters(struct owner *owner, struct borrower *b)
{
	borrower_acquire(b, 1000);
	owner_open_failed(owner, owner->opens[0], 1);
	weir_pool_free(owner->pool);
}

static void free_from_an_outcome(struct borrower *b)
{
	weir_pool_free(b->owner->pool);
}

static void free_while_calling(struct owner *owner, struct borrower *b)
{
	b->then = free_from_an_outcome;
	borrower_acquire(b, 1000);
	owner_open_failed(owner, owner->opens[0], 1);
	owner_run(owner);
}

static void cancel_in_another_pool(struct owner *owner, struct borrower *b)
{
	struct weir_pool_config config = owner_config();
	struct owner other;

	owner_init(&other, &config, NULL);
	borrower_acquire(b, 1000);
	weir_pool_cancel(other.pool, &b->waiter, 1000);
}

static void free_a_budget_in_use(struct owner *owner, struct borrower *b)
{
	struct weir_pool_config config = owner_config();
	struct weir_pool_budget *budget = weir_pool_budget_create(1, 0, nothing);
	struct owner other;

	owner_init(&other, &config, budget);
	weir_pool_budget_free(budget);
}

static void use_that_cannot_go_on_aborts(void **state)
{
	aborts(acquire_twice);
	aborts(acquire_without_callback);
	aborts(acquire_at_rest_without_callback);
	aborts(free_with_connections);
	aborts(free_with_waiters);
	aborts(free_while_calling);
	aborts(cancel_in_another_pool);
	aborts(free_a_budget_in_use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_owner_and_null_ops_are_refused),
		cmocka_unit_test(missing_callbacks_are_refused),
		cmocka_unit_test(no_cap_is_refused),
		cmocka_unit_test(unbounded_queue_is_refused),
		cmocka_unit_test(waiting_for_ever_is_refused),
		cmocka_unit_test(overflow_and_new_go_together),
		cmocka_unit_test(checks_need_an_op_and_a_timeout),
		cmocka_unit_test(limits_that_contradict_each_other_are_refused),
		cmocka_unit_test(budget_without_a_size_is_refused),
		cmocka_unit_test(deadline_in_the_past_times_out_at_once),
		cmocka_unit_test(deadline_in_the_past_gives_the_latest_reason),
		cmocka_unit_test(close_twice_and_drain_after_close_do_nothing),
		cmocka_unit_test(give_back_from_every_callback),
		cmocka_unit_test(use_that_cannot_go_on_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
