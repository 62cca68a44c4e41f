/* The end of a pool. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void empty_pool_closes_and_tells_once_from_run(void **state)
{
	struct owner owner;

	pool_with(&owner, owner_config(), NULL);
	owner_close(&owner);
	assert_int_equal(owner.closed_told, 0);
	assert_int_equal(owner.wakes, 1);
	assert_int_equal(weir_pool_next_event(owner.pool), 0);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	owner_close(&owner);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void close_ends_waiters_and_idle_at_once_and_leases_as_they_come_back(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a, b, c;

	config.connections_max = 3;
	pool_with_lease(&owner, config, &a, &b, &c, NULL);
	borrower_lease(&b);
	borrower_give_back(&b, WEIR_POOL_REUSABLE);
	owner_close(&owner);
	assert_int_equal(owner.closes_n, 1);
	assert_int_equal(borrower_acquire(&c, 1000), WEIR_POOL_CLOSED);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 0);
	assert_true(borrower_give_back(&a, WEIR_POOL_REUSABLE));
	assert_int_equal(owner.closes_n, 2);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	assert_int_equal(owner_stats(&owner).opened, owner_stats(&owner).closed);
	weir_pool_free(owner.pool);
}

static void close_tells_waiters_before_it_tells_the_owner(void **state)
{
	struct owner owner;
	struct borrower a, b;

	pool_with(&owner, owner_config(), &a, &b, NULL);
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	owner_close(&owner);
	assert_int_equal(owner.closes_n, 2);  /* both opens are given up */
	assert_null(owner.close_connection);
	assert_int_equal(a.told + b.told, 0);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_CLOSED);
	assert_int_equal(b.outcome, WEIR_POOL_CLOSED);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void open_given_up_may_also_end_as_failed(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner.close_answer = ANSWER_LATER;
	borrower_acquire(&a, 1000);
	owner_close(&owner);
	owner_opened(&owner, owner.opens[0]);  /* too late: its close was asked for */
	assert_int_equal(owner_stats(&owner).bad_reports, 1);
	owner_open_failed(&owner, owner.opens[0], 1);
	assert_int_equal(owner_stats(&owner).open_failed, 0);
	assert_int_equal(owner_stats(&owner).closing, 0);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_CLOSED);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void close_and_open(struct owner *owner, uint32_t slot)
{
	owner_close(owner);
	owner_opened(owner, slot);
}

static void close_from_inside_open_closes_what_was_opened(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	owner.on_open = close_and_open;
	assert_int_equal(borrower_acquire(&a, 1000), WEIR_POOL_CLOSED);
	assert_int_equal(owner.closes_n, 1);
	assert_ptr_equal(owner.close_connection, owner_connection(owner.opens[0]));
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void close_here(struct borrower *b)
{
	owner_close(b->owner);
}

static void close_from_an_outcome_is_told_after_it(void **state)
{
	struct owner owner;
	struct borrower lease, a, b;

	pool_with_lease(&owner, owner_config(), &lease, &a, &b, NULL);
	a.then = close_here;
	borrower_acquire(&a, 1000);
	borrower_acquire(&b, 1000);
	owner_open_failed(&owner, owner.opens[1], 1);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_OPEN_FAILED);
	assert_int_equal(owner.closed_told, 0);
	borrower_give_back(&lease, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(b.outcome, WEIR_POOL_CLOSED);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void delivery_not_collected_at_close_is_still_told(void **state)
{
	struct owner owner;
	struct borrower a;

	pool_with(&owner, owner_config(), &a, NULL);
	borrower_acquire(&a, 1000);
	owner_opened(&owner, owner.opens[0]);
	owner_close(&owner);
	owner_run(&owner);
	assert_int_equal(a.outcome, WEIR_POOL_DELIVERED);
	assert_int_equal(owner.closed_told, 0);
	borrower_give_back(&a, WEIR_POOL_REUSABLE);
	owner_run(&owner);
	assert_int_equal(owner.closed_told, 1);
	weir_pool_free(owner.pool);
}

static void nothing(void *owner)
{
}

static void free_here(void *owner)
{
	struct weir_pool **pool = owner;

	weir_pool_free(*pool);
	*pool = NULL;
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

static void pool_may_be_freed_from_on_closed(void **state)
{
	struct weir_pool_ops ops = {slot_nothing, connection_nothing, nothing, free_here, random_nothing};
	struct weir_pool_config config = owner_config();
	struct weir_pool *pool = NULL;

	pool = weir_pool_create(&config, &ops, &pool, NULL);
	assert_non_null(pool);
	weir_pool_close(pool, 1);
	weir_pool_run(pool, 1);
	assert_null(pool);
}

static void pool_never_used_may_be_freed(void **state)
{
	struct weir_pool_ops ops = {slot_nothing, connection_nothing, nothing, nothing, random_nothing};
	struct weir_pool_config config = owner_config();

	struct weir_pool *pool = weir_pool_create(&config, &ops, &ops, NULL);

	assert_non_null(pool);
	weir_pool_free(pool);
	weir_pool_free(NULL);
}

static void largest_config_is_accepted(void **state)
{
	struct weir_pool_config config = owner_config();
	struct owner owner;
	struct borrower a;

	config.connections_max = WEIR_POOL_CONNECTIONS_MAX;
	config.waiters_max = WEIR_POOL_WAITERS_MAX;
	config.connecting_max = UINT32_MAX;
	config.acquire_timeout_us = config.idle_timeout_us = config.lifetime_max_us = UINT64_MAX;
	pool_with_lease(&owner, config, &a, NULL);
	pool_end(&owner, &a, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_pool_closes_and_tells_once_from_run),
		cmocka_unit_test(close_ends_waiters_and_idle_at_once_and_leases_as_they_come_back),
		cmocka_unit_test(close_tells_waiters_before_it_tells_the_owner),
		cmocka_unit_test(open_given_up_may_also_end_as_failed),
		cmocka_unit_test(close_from_inside_open_closes_what_was_opened),
		cmocka_unit_test(close_from_an_outcome_is_told_after_it),
		cmocka_unit_test(delivery_not_collected_at_close_is_still_told),
		cmocka_unit_test(pool_may_be_freed_from_on_closed),
		cmocka_unit_test(pool_never_used_may_be_freed),
		cmocka_unit_test(largest_config_is_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
