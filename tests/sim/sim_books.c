#include "sim_books.h"

#include "gateway/worker.h"
#include "sim_io.h"
#include "upstream/upstream.h"

static bool stats_of(struct worker *worker, size_t i, struct upstream_endpoint_stats *stats)
{
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	return upstreams_endpoint_stats(worker_upstreams(worker), i, &upstream, &endpoint, stats);
}

/* Whoever holds a lease, or waits for one, is an exchange that lives, and has one at a time. */
void books_check(unsigned worker_number, struct worker *worker, uint64_t exchanges)
{
	struct upstream_endpoint_stats stats;
	uint64_t borrowers = 0;

	for (size_t i = 0; stats_of(worker, i, &stats); i++) {
		const struct weir_pool_stats *pool = &stats.pool;

		borrowers += (uint64_t)pool->leased + pool->waiting;
		if (pool->double_give_backs + pool->stale_give_backs + pool->foreign_give_backs + pool->bad_reports != 0)
			world_violation("7: leases are given back once", "worker %u, endpoint %zu", worker_number, i);
		if (stats.audit_mismatch != 0)
			world_violation("7: the books balance", "worker %u, endpoint %zu: the self-audit has found it",
				worker_number, i);
	}
	if (borrowers > exchanges)
		world_violation("7: whoever borrows is alive",
			"worker %u: %llu leases and waiters, %llu exchanges", worker_number,
			(unsigned long long)borrowers, (unsigned long long)exchanges);
}

void books_check_quiet(unsigned worker_number, struct worker *worker)
{
	struct upstream_endpoint_stats stats;

	for (size_t i = 0; stats_of(worker, i, &stats); i++) {
		const struct weir_pool_stats *pool = &stats.pool;

		if (pool->leased != 0 || pool->waiting != 0)
			world_violation("8: every count is back", "worker %u, endpoint %zu: %u leased, %u waiting",
				worker_number, i, pool->leased, pool->waiting);
		if (pool->opened - pool->closed != pool->idle + pool->checking + pool->closing)
			world_violation("8: every count is back", "worker %u, endpoint %zu: %llu open, %u idle",
				worker_number, i, (unsigned long long)(pool->opened - pool->closed), pool->idle);
	}
}

void books_check_caps(const struct sim_setup *setup)
{
	for (unsigned i = 0; i < setup->servers; i++) {
		const struct sim_port *port = sim_port_find(SERVER_PORT + i);

		if (port->held > setup->pools[i].connections)
			world_violation("8: what is beyond the cap goes", "port %u: %u connections, the cap is %u",
				port->port, port->held, setup->pools[i].connections);
	}
}
