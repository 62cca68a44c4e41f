/*
 * Requests that are sent again, as this room sees them: which endpoints a request has tried, so that the next try goes
 * to another one while there is one, and what the upstream's budget says (retry_budget.h).
 *
 * A lease remembers endpoints by what they are called: a reload may replace one by another of the same address, which is the
 * same service.
 */
#include "base/planted.h"
#include "upstream/balance.h"

bool was_tried(const struct upstream_lease *lease, const struct endpoint *ep)
{
	for (unsigned i = 0; i < lease->tried_count; i++)
		if (lease->tried[i] == ep->name.id)
			return true;
	return false;
}

static struct candidates *candidates_of(struct endpoint_group *group, const struct upstream_lease *lease)
{
	return candidates_for(group, lease->key != NULL ? lease->key->subset : NULL);
}

/* The least loaded that may be picked and was not tried; NULL: there is none. `but` is held to be tried, too. */
static struct endpoint *untried(const struct candidates *set, const struct upstream_lease *lease, const struct endpoint *but)
{
	const struct candidate *best = NULL;

	for (size_t i = 0; set != NULL && i < set->count; i++) {
		const struct candidate *c = &set->list[i];

		if ((but != NULL && c->endpoint->name.id == but->name.id) || was_tried(lease, c->endpoint))
			continue;
		if (best == NULL || (uint64_t)(c->endpoint->active + 1) * best->weight <
			(uint64_t)(best->endpoint->active + 1) * c->weight)
			best = c;
	}
	return best != NULL ? best->endpoint : NULL;
}

/* Away from balance_pick, which every request goes through. */
__attribute__((noinline, cold)) struct endpoint *tried_avoid(struct endpoint_group *group,
	const struct upstream_lease *lease, struct endpoint *picked)
{
	struct endpoint *other;

	if (picked == NULL || !was_tried(lease, picked))
		return picked;
	other = untried(candidates_of(group, lease), lease, NULL);
	return other != NULL ? other : picked;
}

enum upstream_prospect upstream_prospect(const struct upstreams *ups, const struct config_upstream *upstream,
	const struct upstream_lease *lease)
{
	struct endpoint_group *group = group_named(ups, upstream->name);
	const struct candidates *set = group != NULL && group->count > 0 ? candidates_of(group, lease) : NULL;

	if (untried(set, lease, lease_named(lease)) != NULL)
		return PROSPECT_OTHER;
	return set != NULL && set->count > 0 ? PROSPECT_SAME : PROSPECT_NONE;
}

bool upstream_may_ask_again(struct upstreams *ups, const struct config_upstream *upstream, struct upstream_lease *lease)
{
	struct endpoint_group *group = group_named(ups, upstream->name);
	uint32_t min_per_s = (upstream->retry.min_per_s + ups->workers - 1) / ups->workers;

	if (group == NULL)
		return false;
	if (retry_budget_take(&group->retry_budget, io_now_us(ups->io), upstream->retry.budget_percent, min_per_s) ||
		PLANTED(RETRY_BEYOND_BUDGET))
		return true;
	if (lease->picked != NULL)
		lease_named(lease)->stats.retries_denied++;
	return false;
}

void upstream_avoid(struct upstream_lease *lease, enum upstream_try_failure failure)
{
	struct endpoint *ep = lease_named(lease);

	if (ep == NULL)
		return;
	ep->stats.tried_again[failure]++;
	if (lease->tried_count < UPSTREAM_TRIED_MAX && !was_tried(lease, ep))
		lease->tried[lease->tried_count++] = ep->name.id;
}
