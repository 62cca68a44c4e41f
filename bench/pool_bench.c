/*
 * What it costs to borrow an idle connection and to give it back, in nanoseconds for the pair, beside the pool that is
 * usually written: a mutex and a list, without deadlines, waiters or checks.
 *
 *   pool_bench [PAIRS]      default 20000000
 */
#include "pool/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CONNECTIONS 64

static struct weir_pool *pool;

static void on_open(void *owner, uint32_t slot)
{
	weir_pool_opened(pool, slot, owner, 1);
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	weir_pool_closed(pool, slot, 1);
}

static void on_nothing(void *owner)
{
}

static uint64_t on_random(void *owner)
{
	return 0;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void borrow(struct weir_pool_waiter *waiter, uint64_t now_us)
{
	if (weir_pool_acquire(pool, waiter, now_us, now_us + 1000000) != WEIR_POOL_DELIVERED)
		abort();
}

/* Half of the connections stay leased and half are idle, with a time to live each: the lists are not empty. */
static double weir_run(enum weir_pool_order order, uint64_t pairs)
{
	static const struct weir_pool_ops ops = {on_open, on_close, on_nothing, on_nothing, on_random};
	const struct weir_pool_config config = {.connections_max = CONNECTIONS,
		.waiters_max = 1000,
		.connecting_max = 16,
		.order = order,
		.acquire_timeout_us = 1000000,
		.idle_timeout_us = 55000000,
		.lifetime_max_us = 1800000000};
	struct weir_pool_waiter waiters[CONNECTIONS] = {0};
	double start;

	pool = weir_pool_create(&config, &ops, &pool, NULL);
	if (pool == NULL)
		abort();
	for (int i = 0; i < CONNECTIONS; i++) {
		waiters[i].on_outcome = on_outcome;
		borrow(&waiters[i], 1);
	}
	for (int i = CONNECTIONS / 2; i < CONNECTIONS; i++)
		weir_pool_give_back(pool, waiters[i].lease, WEIR_POOL_REUSABLE, 1);
	start = seconds();
	for (uint64_t i = 0; i < pairs; i++) {
		borrow(&waiters[CONNECTIONS - 1], 1 + i / 16);
		weir_pool_give_back(pool, waiters[CONNECTIONS - 1].lease, WEIR_POOL_REUSABLE, 1 + i / 16);
	}
	start = seconds() - start;
	for (int i = 0; i < CONNECTIONS / 2; i++)
		weir_pool_give_back(pool, waiters[i].lease, WEIR_POOL_REUSABLE, 1 + pairs / 16);
	weir_pool_close(pool, 1 + pairs / 16);
	weir_pool_run(pool, 1 + pairs / 16);
	weir_pool_free(pool);
	return start;
}

struct plain {
	struct plain *next;
};

static double mutex_and_list_run(uint64_t pairs)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct plain connections[CONNECTIONS], *volatile idle = NULL, *taken;
	double start;

	for (int i = 0; i < CONNECTIONS; i++) {
		connections[i].next = idle;
		idle = &connections[i];
	}
	start = seconds();
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
	return seconds() - start;
}

static void report(const char *name, double took, uint64_t pairs)
{
	printf("%-28s %6.1f ns per acquire + give back\n", name, took * 1e9 / (double)pairs);
}

int main(int argc, char **argv)
{
	uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000000;

	if (pairs == 0) {
		fprintf(stderr, "usage: pool_bench [PAIRS]\n");
		return 2;
	}
	report("weir_pool, lifo", weir_run(WEIR_POOL_LIFO, pairs), pairs);
	report("weir_pool, fifo", weir_run(WEIR_POOL_FIFO, pairs), pairs);
	report("a mutex and a list", mutex_and_list_run(pairs), pairs);
	return 0;
}
