/*
 * What it costs to borrow a connection and to give it back, in nanoseconds for the pair, beside the pool that is
 * usually written: a mutex and a list, without deadlines, waiters or checks.
 *
 *   pool_bench [PAIRS [SCENARIO]]      default: 20000000 pairs of every scenario
 *
 * In all scenarios but one, half of the connections stay leased and half are idle, with a time to live each but in `ageless`: no list is
 * empty. In `queue` all are leased and others wait: each pair is an acquire that waits, a give-back that serves whoever
 * has waited longest, and the telling of it.
 *
 * The program is linked with malloc and its kin wrapped, and fails when the measured part allocates anything.
 */
#include "pool/pool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS 64
#define WAITERS 256
#define SECOND_US UINT64_C(1000000)

/* --- what is allocated -------------------------------------------------------------------------------------------- */

static uint64_t allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	allocations++;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	allocations++;
	return __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	allocations++;
	return __real_realloc(p, n);
}

/* --- the owner ---------------------------------------------------------------------------------------------------- */

static struct weir_pool *pool;
static uint64_t now_us = 1;
static struct weir_pool_waiter *served;  /* who was told last that it has a connection */

static void on_open(void *owner, uint32_t slot)
{
	weir_pool_opened(pool, slot, owner, now_us);
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	weir_pool_closed(pool, slot, now_us);
}

static void on_nothing(void *owner)
{
}

static uint64_t on_random(void *owner)
{
	return 0;
}

static void on_overdue(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what)
{
	abort();
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	if (outcome == WEIR_POOL_CLOSED)
		return;
	if (outcome != WEIR_POOL_DELIVERED)
		abort();
	served = waiter;
}

static const struct weir_pool_ops ops = {
	.open = on_open,
	.close = on_close,
	.wake = on_nothing,
	.on_closed = on_nothing,
	.random = on_random,
	.overdue = on_overdue,
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static struct weir_pool *pool_open(const struct weir_pool_config *config, struct weir_pool_budget *budget)
{
	struct weir_pool *p = weir_pool_create(config, &ops, &pool, budget);

	must(p != NULL);
	return p;
}

static void pool_end(struct weir_pool *p)
{
	weir_pool_close(p, now_us);
	weir_pool_run(p, now_us);
	must(weir_pool_audit(p) == NULL);
	weir_pool_free(p);
}

static enum weir_pool_outcome borrow(struct weir_pool_waiter *waiter)
{
	waiter->on_outcome = on_outcome;
	return weir_pool_acquire(pool, waiter, now_us, now_us + SECOND_US);
}

static void give_back(struct weir_pool_waiter *waiter)
{
	must(weir_pool_give_back(pool, waiter->lease, WEIR_POOL_REUSABLE, now_us));
}

/* --- scenarios ---------------------------------------------------------------------------------------------------- */

/* Sixteen pairs in a tick of the loop, and a microsecond for each tick. */
static void tick(uint64_t i)
{
	now_us += i % 16 == 0;
}

static void run_idle(uint64_t pairs)
{
	struct weir_pool_waiter *one = served;

	give_back(one);
	for (uint64_t i = 0; i < pairs; i++) {
		tick(i);
		must(borrow(one) == WEIR_POOL_DELIVERED);
		give_back(one);
	}
}

static void run_queue(uint64_t pairs)
{
	for (uint64_t i = 0; i < pairs; i++) {
		struct weir_pool_waiter *holder = served;

		tick(i);
		give_back(holder);
		weir_pool_run(pool, now_us);
		must(borrow(holder) == WEIR_POOL_PENDING);
	}
}

static void run_mutex_and_list(uint64_t pairs)
{
	struct plain {
		struct plain *next;
	} connections[CONNECTIONS], *volatile idle = NULL, *taken;
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	for (int i = 0; i < CONNECTIONS; i++) {
		connections[i].next = idle;
		idle = &connections[i];
	}
	for (uint64_t i = 0; i < pairs; i++) {
		pthread_mutex_lock(&mutex);
		taken = idle;
		idle = taken->next;
		pthread_mutex_unlock(&mutex);
		pthread_mutex_lock(&mutex);
		taken->next = idle;
		idle = taken;
		pthread_mutex_unlock(&mutex);
	}
}

struct scenario {
	const char *name;
	void (*run)(uint64_t pairs);  /* `served` has a connection before */
	uint32_t idle, waiting;
	enum weir_pool_order order;
	uint64_t leak_after_us;
	bool shared;                  /* a budget, in which another pool has a part */
	bool ageless;                 /* no connection has a time to live */
};

static const struct scenario scenarios[] = {
	{.name = "lifo", .run = run_idle, .idle = CONNECTIONS / 2, .order = WEIR_POOL_LIFO},
	{.name = "fifo", .run = run_idle, .idle = CONNECTIONS / 2, .order = WEIR_POOL_FIFO},
	{.name = "budget", .run = run_idle, .idle = CONNECTIONS / 2, .shared = true},
	{.name = "leak_watch", .run = run_idle, .idle = CONNECTIONS / 2, .leak_after_us = 600 * SECOND_US},
	{.name = "ageless", .run = run_idle, .idle = CONNECTIONS / 2, .ageless = true},
	{.name = "queue", .run = run_queue, .waiting = WAITERS},
	{.name = "mutex_and_list", .run = run_mutex_and_list},
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool measure(const struct scenario *s, uint64_t pairs)
{
	uint64_t before = allocations, allocated;
	double start = seconds(), took;

	s->run(pairs);
	took = seconds() - start;
	allocated = allocations - before;
	printf("%-16s %7.1f ns per acquire + give back, %" PRIu64 " allocations\n", s->name, took * 1e9 / (double)pairs,
		allocated);
	return allocated == 0;
}

/* Everybody who may ask for a connection. */
static struct weir_pool_waiter people[CONNECTIONS + WAITERS];

/* All connections are opened, some are given back, `served` has one; and whoever is to wait does. */
static void begin(const struct scenario *s)
{
	memset(people, 0, sizeof(people));
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		must(borrow(&people[i]) == WEIR_POOL_DELIVERED);
	for (uint32_t i = 0; i < s->idle; i++)
		give_back(&people[i]);
	served = &people[CONNECTIONS - 1];
	for (uint32_t i = 0; i < s->waiting; i++)
		must(borrow(&people[CONNECTIONS + i]) == WEIR_POOL_PENDING);
}

/* Who waits goes, and who has a connection gives it back; for the others both mean nothing. */
static void end(void)
{
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++) {
		weir_pool_cancel(pool, &people[i], now_us);
		weir_pool_give_back(pool, people[i].lease, WEIR_POOL_REUSABLE, now_us);
	}
	pool_end(pool);
}

/* Returns whether nothing was allocated. */
static bool scenario_run(const struct scenario *s, uint64_t pairs)
{
	const struct weir_pool_config config = {
		.connections_max = CONNECTIONS,
		.waiters_max = 1000,
		.connecting_max = 16,
		.order = s->order,
		.acquire_timeout_us = SECOND_US,
		.idle_timeout_us = s->ageless ? 0 : 55 * SECOND_US,
		.lifetime_max_us = s->ageless ? 0 : 1800 * SECOND_US,
		.leak_after_us = s->leak_after_us,
		.reclaim_after_us = 2 * s->leak_after_us,
	};
	struct weir_pool_budget *budget = s->shared ? weir_pool_budget_create(2 * CONNECTIONS, 0, on_nothing) : NULL;
	struct weir_pool *neighbour = pool_open(&config, budget);
	bool frugal;

	pool = pool_open(&config, budget);
	begin(s);
	frugal = measure(s, pairs);
	end();
	pool_end(neighbour);
	weir_pool_budget_free(budget);
	return frugal;
}

int main(int argc, char **argv)
{
	uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000000;
	bool found = false, frugal = true;

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]) && argc <= 3 && pairs > 0; i++) {
		if (argc > 2 && strcmp(argv[2], scenarios[i].name) != 0)
			continue;
		found = true;
		frugal &= scenario_run(&scenarios[i], pairs);
	}
	if (!found)
		fprintf(stderr, "usage: pool_bench [PAIRS [SCENARIO]]\n");
	if (!frugal)
		fprintf(stderr, "pool_bench: borrowing and giving back allocated memory\n");
	return !found ? 2 : !frugal;
}
