/* See snapshot.h. */
#include "control/snapshot.h"

#include <stdlib.h>

struct snapshot *snapshot_create(const struct config *config)
{
	size_t count = config_endpoint_count(config);
	struct snapshot *s = calloc(1, sizeof(*s) + count * sizeof(s->pools[0]));

	if (s != NULL)
		s->endpoint_count = count;
	return s;
}

void snapshot_clear(struct snapshot *s)
{
	memset(&s->worker, 0, sizeof(s->worker));
	memset(s->pools, 0, s->endpoint_count * sizeof(s->pools[0]));
}

void snapshot_take(struct snapshot *to, struct worker *worker)
{
	const struct upstreams *upstreams = worker_upstreams(worker);
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	to->worker = *worker_stats(worker);
	for (size_t i = 0; i < to->endpoint_count; i++)
		upstreams_endpoint_stats(upstreams, i, &upstream, &endpoint, &to->pools[i]);
}

/* struct worker_stats is counters of 64 bits and nothing else, so it is an array of them. */
static void worker_stats_add(struct worker_stats *to, const struct worker_stats *from)
{
	_Static_assert(sizeof(*to) % sizeof(uint64_t) == 0, "only counters of 64 bits");
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		sum[i] += more[i];
}

static void pool_stats_add(struct weir_pool_stats *to, const struct weir_pool_stats *from)
{
	to->idle += from->idle;
	to->connecting += from->connecting;
	to->leased += from->leased;
	to->closing += from->closing;
	to->waiting += from->waiting;
	to->opened += from->opened;
	to->open_failed += from->open_failed;
	to->closed += from->closed;
	for (size_t i = 0; i < WEIR_POOL_PENDING; i++)
		to->acquires[i] += from->acquires[i];
	to->reused += from->reused;
	to->stale_give_backs += from->stale_give_backs;
	to->bad_reports += from->bad_reports;
}

void snapshot_add(struct snapshot *to, const struct snapshot *from)
{
	worker_stats_add(&to->worker, &from->worker);
	for (size_t i = 0; i < to->endpoint_count; i++)
		pool_stats_add(&to->pools[i], &from->pools[i]);
}
