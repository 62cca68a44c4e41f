// The header and the library from C++: borrow a connection, give it back, close.
#include <cstdio>
#include <weir/pool.h>

static weir_pool *pool;

static void on_open(void *owner, uint32_t slot)
{
	weir_pool_opened(pool, slot, owner, 0);
}

static void on_close(void *, uint32_t slot, void *)
{
	weir_pool_closed(pool, slot, 0);
}

static void on_wake(void *)
{
}

static void on_closed(void *)
{
	std::puts("closed");
}

static uint64_t on_random(void *)
{
	return 4;
}

static void on_outcome(weir_pool_waiter *, weir_pool_outcome)
{
}

int main()
{
	int owner = 0;
	weir_pool_ops ops = weir_pool_ops();
	weir_pool_config config = weir_pool_config();
	weir_pool_waiter waiter = weir_pool_waiter();
	struct weir_pool_stats stats;

	ops.open = on_open;
	ops.close = on_close;
	ops.wake = on_wake;
	ops.on_closed = on_closed;
	ops.random = on_random;
	config.connections_max = config.connecting_max = 1;
	config.acquire_timeout_us = 1000000;
	waiter.on_outcome = on_outcome;
	pool = weir_pool_create(&config, &ops, &owner, nullptr);
	if (pool == nullptr || weir_pool_acquire(pool, &waiter, 0, 1000) != WEIR_POOL_DELIVERED)
		return 1;
	weir_pool_stats(pool, &stats);
	if (stats.leased != 1 || waiter.connection != &owner)
		return 2;
	std::fputs("delivered, ", stdout);
	weir_pool_give_back(pool, waiter.lease, WEIR_POOL_REUSABLE, 1);
	weir_pool_close(pool, 2);
	weir_pool_run(pool, 2);
	weir_pool_free(pool);
	return 0;
}
