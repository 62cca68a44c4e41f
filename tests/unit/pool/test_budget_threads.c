/*
 * The shared budget between threads. Each thread has a pool and borrows in bursts. It lets the others run while a
 * connection is being opened and while it holds one, and when only they can help it sleeps on a semaphore until it is
 * notified: a lost wake-up stops the test for good, and the alarm ends it. One more thread hoards: it borrows only to
 * have idle connections, and then sleeps on them until it is asked to give them up. The connections that exist are
 * counted apart from the budget, at the moments the pools ask for them. Pools are closed and made again all the time,
 * so that seats are left while notices are under way. Each thread has a clock of its own, which runs while it is awake:
 * some have waited through their acquire_timeout and may have a connection beyond the maximum. And now and then somebody
 * changes the size of the budget. Clean under the thread sanitizer.
 */
#include "pool/pool.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 3
#define UNITS 2     /* fewer than the threads: they must meet */
#define OVERFLOW 1
#define PATIENCE_US 1000
#define POOLS 200   /* made by each thread, one after the other */
#define BURSTS 100  /* in the life of a pool */
#define BURST_MAX 3

struct borrower_thread {
	pthread_t thread;
	struct weir_pool_budget *budget;
	struct weir_pool *pool;
	sem_t mail;
	uint64_t random, now_us;
	uint32_t opening[UNITS + OVERFLOW], opening_n;
	struct weir_pool_lease held[BURST_MAX];
	uint32_t held_n;
	int served, closed;
};

struct loan {
	struct weir_pool_waiter waiter;
	struct borrower_thread *thread;
};

static _Atomic bool over;
static sem_t hoarded;  /* each time the hoarder sleeps on idle connections */
static _Atomic int connections, connections_most, notices;

static uint64_t random_next(struct borrower_thread *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

static void on_open(void *owner, uint32_t slot)
{
	struct borrower_thread *t = owner;
	int now = atomic_fetch_add(&connections, 1) + 1;
	int most = atomic_load(&connections_most);

	while (now > most && !atomic_compare_exchange_weak(&connections_most, &most, now))
		;
	t->opening[t->opening_n++] = slot;
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	struct borrower_thread *t = owner;

	atomic_fetch_sub(&connections, 1);
	weir_pool_closed(t->pool, slot, t->now_us);
}

static void on_wake(void *owner)
{
}

static void on_closed(void *owner)
{
	struct borrower_thread *t = owner;

	t->closed++;
}

static uint64_t on_random(void *owner)
{
	return 0;
}

static void on_notify(void *owner)
{
	struct borrower_thread *t = owner;

	atomic_fetch_add(&notices, 1);
	sem_post(&t->mail);
}

static void loan_end(struct loan *loan, enum weir_pool_outcome outcome)
{
	struct borrower_thread *t = loan->thread;

	t->served++;
	if (outcome == WEIR_POOL_DELIVERED)
		t->held[t->held_n++] = loan->waiter.lease;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	loan_end((struct loan *)(void *)waiter, outcome);
}

static void opens_answer(struct borrower_thread *t)
{
	uint32_t slot;

	while (t->opening_n > 0) {
		sched_yield();
		slot = t->opening[--t->opening_n];
		if (random_next(t) % 8 == 0) {
			atomic_fetch_sub(&connections, 1);
			weir_pool_open_failed(t->pool, slot, 1, t->now_us);
		} else {
			weir_pool_opened(t->pool, slot, t, t->now_us);
		}
	}
}

static void leases_give_back(struct borrower_thread *t)
{
	while (t->held_n > 0) {
		sched_yield();
		weir_pool_give_back(t->pool, t->held[--t->held_n],
			random_next(t) % 4 == 0 ? WEIR_POOL_DISCARD : WEIR_POOL_REUSABLE, t->now_us);
	}
}

/* By leaps, so that some have waited through their acquire_timeout. */
static void clock_advance(struct borrower_thread *t)
{
	if (random_next(t) % 8 == 0)
		t->now_us += PATIENCE_US / 2;
	if (random_next(t) % 64 == 0)
		weir_pool_budget_resize(t->budget, 1 + (uint32_t)(random_next(t) % UNITS), OVERFLOW);
}

/* Borrows a few at once and sees all of them through. */
static void burst(struct borrower_thread *t)
{
	struct loan loans[BURST_MAX] = {0};
	int n = 1 + (int)(random_next(t) % BURST_MAX);
	int served_before = t->served;
	enum weir_pool_outcome outcome;

	for (int i = 0; i < n; i++) {
		loans[i].waiter.on_outcome = on_outcome;
		loans[i].thread = t;
		outcome = weir_pool_acquire(t->pool, &loans[i].waiter, t->now_us, UINT64_MAX);
		if (outcome != WEIR_POOL_PENDING)
			loan_end(&loans[i], outcome);
	}
	while (t->served < served_before + n || t->held_n > 0) {
		opens_answer(t);
		clock_advance(t);
		weir_pool_run(t->pool, t->now_us);
		leases_give_back(t);
		if (t->served == served_before + n || t->opening_n > 0 || weir_pool_next_event(t->pool) == 0)
			continue;
		while (sem_wait(&t->mail) != 0)
			;
		weir_pool_budget_freed(t->pool, t->now_us);
	}
}

static void pool_begin(struct borrower_thread *t)
{
	static const struct weir_pool_ops ops = {on_open, on_close, on_wake, on_closed, on_random};
	const struct weir_pool_config config = {.connections_max = UNITS,
		.overflow_max = OVERFLOW,
		.waiters_max = BURST_MAX,
		.connecting_max = UNITS,
		.on_acquire_timeout = WEIR_POOL_NEW,
		.acquire_timeout_us = PATIENCE_US};

	t->pool = weir_pool_create(&config, &ops, t, t->budget);
	if (t->pool == NULL)
		abort();
}

static void pool_end(struct borrower_thread *t)
{
	opens_answer(t);
	if (weir_pool_audit(t->pool) != NULL)
		abort();
	weir_pool_close(t->pool, t->now_us);
	weir_pool_run(t->pool, t->now_us);
	weir_pool_free(t->pool);
}

static void *thread_main(void *context)
{
	struct borrower_thread *t = context;

	for (int i = 0; i < POOLS; i++) {
		pool_begin(t);
		for (int k = 0; k < BURSTS; k++)
			burst(t);
		pool_end(t);
	}
	return NULL;
}

static bool has_idle(const struct borrower_thread *t)
{
	struct weir_pool_stats stats;

	weir_pool_stats(t->pool, &stats);
	return stats.idle > 0;
}

/* What is withheld from the others until it has rested is to be looked at again: it has. */
static void rest(struct borrower_thread *t)
{
	while (weir_pool_next_event(t->pool) != UINT64_MAX) {
		t->now_us = weir_pool_next_event(t->pool);
		weir_pool_run(t->pool, t->now_us);
	}
}

static void *hoarder_main(void *context)
{
	struct borrower_thread *t = context;

	pool_begin(t);
	while (!atomic_load(&over)) {
		burst(t);
		opens_answer(t);
		rest(t);
		while (has_idle(t) && !atomic_load(&over)) {
			sem_post(&hoarded);
			while (sem_wait(&t->mail) != 0)
				;
			weir_pool_budget_freed(t->pool, t->now_us);
			rest(t);
		}
	}
	pool_end(t);
	return NULL;
}

static void borrower_init(struct borrower_thread *t, struct weir_pool_budget *budget, uint64_t seed)
{
	*t = (struct borrower_thread){.budget = budget, .now_us = 1, .random = 0x9e3779b97f4a7c15ULL + seed};
	assert_int_equal(sem_init(&t->mail, 0, 0), 0);
}

static void budget_holds_between_threads_and_nobody_is_forgotten(void **state)
{
	struct weir_pool_budget *budget = weir_pool_budget_create(UNITS, OVERFLOW, on_notify);
	static struct borrower_thread threads[THREADS], hoarder;

	assert_non_null(budget);
	alarm(100);
	assert_int_equal(sem_init(&hoarded, 0, 0), 0);
	borrower_init(&hoarder, budget, THREADS);
	for (int i = 0; i < THREADS; i++)
		borrower_init(&threads[i], budget, (uint64_t)i);
	assert_int_equal(pthread_create(&hoarder.thread, NULL, hoarder_main, &hoarder), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
	/* It has slept on idle connections at least once; when it is alone it comes to it for certain. */
	while (sem_wait(&hoarded) != 0)
		;
	atomic_store(&over, true);
	sem_post(&hoarder.mail);
	assert_int_equal(pthread_join(hoarder.thread, NULL), 0);
	sem_destroy(&hoarder.mail);
	sem_destroy(&hoarded);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(threads[i].closed, POOLS);
		assert_true(threads[i].served >= POOLS * BURSTS);
		sem_destroy(&threads[i].mail);
	}
	assert_int_equal(atomic_load(&connections), 0);
	assert_int_equal(weir_pool_budget_used(budget), 0);
	/* The threads did meet at the limit, and never passed it. */
	assert_in_range(atomic_load(&connections_most), UNITS, UNITS + OVERFLOW);
	assert_true(atomic_load(&notices) > 0);
	weir_pool_budget_free(budget);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_holds_between_threads_and_nobody_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
