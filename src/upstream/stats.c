/*
 * What is counted of endpoints, added up: over workers, and over a pool and its successors.
 */
#include "upstream/endpoint.h"

/* Memory that is counters of 64 bits and nothing else. */
static void counters_add(void *to, const void *from, size_t bytes)
{
	uint64_t *sum = to;
	const uint64_t *more = from;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		sum[i] += more[i];
}

/* The present counts stand in front, and behind them only counters of 64 bits. */
static void pool_stats_add(struct weir_pool_stats *to, const struct weir_pool_stats *from)
{
	_Static_assert(offsetof(struct weir_pool_stats, opened) == 6 * sizeof(uint32_t), "six present counts");
	to->idle += from->idle;
	to->connecting += from->connecting;
	to->checking += from->checking;
	to->leased += from->leased;
	to->closing += from->closing;
	to->waiting += from->waiting;
	counters_add(&to->opened, &from->opened, sizeof(*to) - offsetof(struct weir_pool_stats, opened));
}

/* Of what several workers have learned of one endpoint the shortest counts; 0: nothing was learned. */
static uint64_t shorter(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

void upstream_endpoint_stats_add(struct upstream_endpoint_stats *to, const struct upstream_endpoint_stats *from)
{
	pool_stats_add(&to->pool, &from->pool);
	counters_add(to->retries, from->retries, sizeof(to->retries));
	counters_add(to->open_failed, from->open_failed, sizeof(to->open_failed));
	to->leaking += from->leaking;
	to->audits += from->audits;
	to->audit_mismatch += from->audit_mismatch;
	to->learned_idle_us = shorter(to->learned_idle_us, from->learned_idle_us);
	to->announced_idle_us = shorter(to->announced_idle_us, from->announced_idle_us);
}

/* --- successors ----------------------------------------------------------------------------------------------------- */

/* Of this pool and of those before it that are freed. */
static void own_stats(const struct endpoint *ep, struct upstream_endpoint_stats *stats)
{
	struct weir_pool_stats pool;

	weir_pool_stats(ep->pool, &pool);
	*stats = ep->stats;
	pool_stats_add(&stats->pool, &pool);
}

void endpoint_stats(const struct endpoint *ep, struct upstream_endpoint_stats *stats)
{
	struct upstream_endpoint_stats more;

	own_stats(ep, stats);
	for (const struct endpoint *before = ep->before; before != NULL; before = before->before) {
		own_stats(before, &more);
		upstream_endpoint_stats_add(stats, &more);
	}
}

void endpoint_bequeath(struct endpoint *ep)
{
	struct endpoint *heir = ep->successor;
	struct upstream_endpoint_stats stats;

	if (ep->before != NULL)
		ep->before->successor = heir;
	if (heir == NULL)
		return;
	heir->before = ep->before;
	own_stats(ep, &stats);
	/* What was learned is the heir's own business. */
	stats.learned_idle_us = stats.announced_idle_us = 0;
	upstream_endpoint_stats_add(&heir->stats, &stats);
}
