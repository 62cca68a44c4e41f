/*
 * What hedged requests need of this room (gateway/hedge.c): a second lease beside the first, and how long answers take.
 */
#include "base/check.h"
#include "base/planted.h"
#include "upstream/endpoint.h"

void upstream_lease_swap(struct upstream_lease *a, struct upstream_lease *b)
{
	struct upstream_lease was = *a;

	CHECK(a->stage == LEASE_HELD && b->stage == LEASE_HELD);
	*a = *b;
	*b = was;
	b->ops = a->ops;
	a->ops = was.ops;
	a->conn->lease = a;
	b->conn->lease = b;
}

enum upstream_answer upstream_acquire_beside(struct upstreams *ups, const struct config_upstream *upstream,
	struct upstream_lease *second, const struct upstream_lease *first, uint64_t deadline_us, enum cause *cause)
{
	second->key = first->key;
	second->priority = first->priority;
	second->tried_count = 0;
	for (unsigned i = 0; i < first->tried_count; i++)
		second->tried[second->tried_count++] = first->tried[i];
	if (second->tried_count < UPSTREAM_TRIED_MAX && !PLANTED(HEDGE_AT_SAME_SERVER))
		second->tried[second->tried_count++] = first->picked->id;
	*cause = CAUSE_NO_HEALTHY_ENDPOINT;
	if (upstream_prospect(ups, upstream, second) != PROSPECT_OTHER)
		return UPSTREAM_FAILED;
	if (!upstream_may_ask_again(ups, upstream, second) && !PLANTED(HEDGE_BEYOND_BUDGET))
		return UPSTREAM_FAILED;
	return upstream_acquire(ups, upstream, second, deadline_us, cause);
}

void upstream_count_hedge(const struct upstream_lease *second, bool won)
{
	struct endpoint *ep = lease_named(second);

	if (ep == NULL)
		return;
	ep->stats.hedges++;
	ep->stats.hedges_won += won;
}

/* A breaker is not told: that nothing has come so far is neither a success nor a failure. */
void upstream_gave_up(struct upstream_lease *lease, uint64_t waited_us)
{
	struct endpoint *ep = lease->endpoint;
	uint64_t now_us = io_now_us(ep->ups->io);

	CHECK(lease->stage == LEASE_HELD && !lease->reported);
	lease->reported = true;
	if (ep->learns)
		limiter_sample(&ep->window, waited_us);
	if (ep->latency.decay_us != 0)
		latency_ewma_answer(&ep->latency, now_us, waited_us);
	if (ep->looked_at)
		passive_gave_up(ep, waited_us);
}

void upstream_learn_latency(struct upstreams *ups, const struct config_upstream *upstream, uint64_t latency_us)
{
	struct endpoint_group *group = group_of(ups, upstream);

	if (group != NULL && group->latencies != NULL)
		quantile_add(group->latencies, latency_us, io_now_us(ups->io));
}

uint64_t upstream_latency(struct upstreams *ups, const struct config_upstream *upstream, unsigned permille)
{
	const struct endpoint_group *group = group_of(ups, upstream);

	return group != NULL && group->latencies != NULL ? quantile_of(group->latencies, permille) : 0;
}
