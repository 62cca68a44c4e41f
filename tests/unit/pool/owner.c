/* The test owner: see owner.h. */
#include "owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t told_total;

void *owner_connection(uint32_t slot)
{
	static char connections[OWNER_SLOTS];

	return slot < OWNER_SLOTS ? &connections[slot] : NULL;
}

static void on_open(void *context, uint32_t slot)
{
	struct owner *owner = context;

	assert_true(owner->opens_n < OWNER_SLOTS);
	owner->opens[owner->opens_n++] = slot;
	owner->depth++;
	if (owner->depth > owner->depth_max)
		owner->depth_max = owner->depth;
	if (owner->on_open != NULL)
		owner->on_open(owner, slot);
	else if (owner->open_answer == ANSWER_YES)
		owner_opened(owner, slot);
	else if (owner->open_answer == ANSWER_NO)
		owner_open_failed(owner, slot, 111);
	owner->depth--;
}

static void on_close(void *context, uint32_t slot, void *connection)
{
	struct owner *owner = context;

	assert_true(owner->closes_n < OWNER_SLOTS);
	owner->closes[owner->closes_n++] = slot;
	owner->close_connection = connection;
	if (owner->on_close != NULL)
		owner->on_close(owner, slot);
	else if (owner->close_answer == ANSWER_YES)
		owner_closed(owner, slot);
}

static void on_check(void *context, uint32_t slot, void *connection)
{
	struct owner *owner = context;

	assert_true(owner->checks_n < OWNER_SLOTS);
	assert_ptr_equal(connection, owner_connection(slot));
	owner->checks[owner->checks_n++] = slot;
	if (owner->on_check != NULL)
		owner->on_check(owner, slot);
	else if (owner->check_answer != ANSWER_LATER)
		owner_checked(owner, slot, owner->check_answer == ANSWER_YES);
}

static void on_overdue(void *context, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what)
{
	struct owner *owner = context;

	assert_true(owner->overdue_n < OWNER_SLOTS);
	assert_ptr_equal(connection, owner_connection(slot));
	owner->overdue[owner->overdue_n++] = slot;
	owner->overdue_what = what;
	owner->overdue_held_us = held_us;
	owner_audit(owner);
	if (owner->on_overdue != NULL)
		owner->on_overdue(owner, slot);
}

static void on_wake(void *context)
{
	struct owner *owner = context;

	owner->wakes++;
	if (owner->on_wake != NULL)
		owner->on_wake(owner);
}

static void on_closed(void *context)
{
	struct owner *owner = context;

	owner->closed_told++;
}

static uint64_t on_random(void *context)
{
	struct owner *owner = context;

	return owner->random;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct borrower *borrower = (struct borrower *)(void *)waiter;

	borrower->told++;
	borrower->outcome = outcome;
	borrower->order = ++told_total;
	if (borrower->then != NULL)
		borrower->then(borrower);
}

struct weir_pool_config owner_config(void)
{
	return (struct weir_pool_config){.connections_max = 2,
		.waiters_max = 4,
		.connecting_max = 2,
		.order = WEIR_POOL_LIFO,
		.acquire_timeout_us = 1000000};
}

struct weir_pool_config one_connection(void)
{
	struct weir_pool_config config = owner_config();

	config.connections_max = 1;
	return config;
}

void owner_init(struct owner *owner, const struct weir_pool_config *config, struct weir_pool_budget *budget)
{
	static const struct weir_pool_ops ops = {
		on_open, on_close, on_wake, on_closed, on_random, on_check, on_overdue};

	*owner = (struct owner){.now_us = 1000, .close_answer = ANSWER_YES};
	owner->pool = weir_pool_create(config, &ops, owner, budget);
	assert_non_null(owner->pool);
	owner_audit(owner);
}

void owner_release(struct owner *owner)
{
	uint32_t asked = owner->closes_n;
	struct weir_pool_stats stats;

	owner->close_answer = ANSWER_YES;
	owner->on_close = NULL;
	owner_close(owner);
	/* Closes that were asked for before and left to the test. */
	for (uint32_t i = 0; i < asked && owner_stats(owner).closing > 0; i++)
		owner_closed(owner, owner->closes[i]);
	stats = owner_stats(owner);
	assert_int_equal(stats.leased, 0);
	owner_run(owner);
	assert_int_equal(owner->closed_told, 1);
	weir_pool_free(owner->pool);
}

void borrower_init(struct borrower *borrower, struct owner *owner)
{
	*borrower = (struct borrower){.waiter.on_outcome = on_outcome, .owner = owner};
}

/* The first of them; NULL if there is none. */
static struct borrower *borrowers_init(struct owner *owner, va_list borrowers)
{
	struct borrower *first = va_arg(borrowers, struct borrower *);

	for (struct borrower *b = first; b != NULL; b = va_arg(borrowers, struct borrower *))
		borrower_init(b, owner);
	return first;
}

void pool_with(struct owner *owner, struct weir_pool_config config, ...)
{
	va_list borrowers;

	owner_init(owner, &config, NULL);
	va_start(borrowers, config);
	borrowers_init(owner, borrowers);
	va_end(borrowers);
}

void pool_with_lease(struct owner *owner, struct weir_pool_config config, ...)
{
	va_list borrowers;

	owner_init(owner, &config, NULL);
	va_start(borrowers, config);
	borrower_lease(borrowers_init(owner, borrowers));
	va_end(borrowers);
}

void pool_end(struct owner *owner, ...)
{
	struct borrower *borrower;
	va_list borrowers;

	va_start(borrowers, owner);
	while ((borrower = va_arg(borrowers, struct borrower *)) != NULL)
		assert_true(borrower_give_back(borrower, WEIR_POOL_REUSABLE));
	va_end(borrowers);
	owner_release(owner);
}

void owner_audit(struct owner *owner)
{
	const char *wrong = weir_pool_audit(owner->pool);

	if (wrong != NULL)
		fail_msg("audit: %s", wrong);
}

enum weir_pool_outcome borrower_acquire(struct borrower *borrower, uint64_t patience_us)
{
	struct owner *owner = borrower->owner;
	enum weir_pool_outcome outcome;

	outcome = weir_pool_acquire(owner->pool, &borrower->waiter, owner->now_us, owner->now_us + patience_us);
	owner_audit(owner);
	return outcome;
}

void borrower_cancel(struct borrower *borrower)
{
	weir_pool_cancel(borrower->owner->pool, &borrower->waiter, borrower->owner->now_us);
	owner_audit(borrower->owner);
}

bool borrower_give_back(struct borrower *borrower, enum weir_pool_give_back how)
{
	struct owner *owner = borrower->owner;
	bool known = weir_pool_give_back(owner->pool, borrower->waiter.lease, how, owner->now_us);

	owner_audit(owner);
	return known;
}

void owner_opened(struct owner *owner, uint32_t slot)
{
	weir_pool_opened(owner->pool, slot, owner_connection(slot), owner->now_us);
	owner_audit(owner);
}

void owner_open_failed(struct owner *owner, uint32_t slot, int reason)
{
	weir_pool_open_failed(owner->pool, slot, reason, owner->now_us);
	owner_audit(owner);
}

void owner_closed(struct owner *owner, uint32_t slot)
{
	weir_pool_closed(owner->pool, slot, owner->now_us);
	owner_audit(owner);
}

void owner_spoiled(struct owner *owner, uint32_t slot)
{
	weir_pool_spoiled(owner->pool, slot, owner->now_us);
	owner_audit(owner);
}

void owner_checked(struct owner *owner, uint32_t slot, bool good)
{
	weir_pool_checked(owner->pool, slot, good, owner->now_us);
	owner_audit(owner);
}

void owner_renew(struct owner *owner)
{
	weir_pool_renew(owner->pool, owner->now_us);
	owner_audit(owner);
}

void owner_drain(struct owner *owner)
{
	weir_pool_drain(owner->pool, owner->now_us);
	owner_audit(owner);
}

void owner_run(struct owner *owner)
{
	weir_pool_run(owner->pool, owner->now_us);
	owner_audit(owner);
}

void owner_run_at(struct owner *owner, uint64_t now_us)
{
	owner->now_us = now_us;
	owner_run(owner);
}

void owner_close(struct owner *owner)
{
	weir_pool_close(owner->pool, owner->now_us);
	owner_audit(owner);
}

struct weir_pool_stats owner_stats(struct owner *owner)
{
	struct weir_pool_stats stats;

	weir_pool_stats(owner->pool, &stats);
	return stats;
}

void borrower_lease(struct borrower *borrower)
{
	enum owner_answer answer = borrower->owner->open_answer;

	borrower->owner->open_answer = ANSWER_YES;
	assert_int_equal(borrower_acquire(borrower, 1000), WEIR_POOL_DELIVERED);
	borrower->owner->open_answer = answer;
}

void borrowers_lease(struct borrower *borrowers, int n, struct owner *owner)
{
	for (int i = 0; i < n; i++) {
		borrower_init(&borrowers[i], owner);
		borrower_lease(&borrowers[i]);
	}
}

void borrowers_give_back(struct borrower *borrowers, int n)
{
	for (int i = 0; i < n; i++)
		assert_true(borrower_give_back(&borrowers[i], WEIR_POOL_REUSABLE));
}
