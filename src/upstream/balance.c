/*
 * Which endpoint is next.
 *
 * round_robin: smooth weighted round robin. Each turn every endpoint earns its weight; the richest is picked and pays the
 * sum of all. Over any `sum` picks each endpoint gets exactly its weight, spread evenly. Source: the nginx project's
 * description of its upstream module (2012). One that is out of service neither earns nor pays.
 *
 * least_request: the smallest (active + 1) / weight; equals take turns, starting after the one picked last.
 */
#include "base/planted.h"
#include "upstream/endpoint.h"

static bool serves(const struct endpoint *ep)
{
	return !endpoint_budget_is_out(ep->budget) || PLANTED(OUT_ENDPOINT_SERVES);
}

static struct endpoint *pick_round_robin(struct endpoint_group *group)
{
	struct endpoint *best = NULL;
	int64_t sum = 0;

	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];

		if (!serves(ep))
			continue;
		ep->turn += ep->weight;
		sum += ep->weight;
		if (best == NULL || ep->turn > best->turn)
			best = ep;
	}
	if (best != NULL)
		best->turn -= sum;
	return best;
}

/* a is less loaded than b, compared as fractions without dividing. */
static bool less_loaded(const struct endpoint *a, const struct endpoint *b)
{
	return (uint64_t)(a->active + 1) * b->weight < (uint64_t)(b->active + 1) * a->weight;
}

static struct endpoint *pick_least_request(struct endpoint_group *group)
{
	size_t start = group->last + 1;
	struct endpoint *best = NULL;

	for (size_t i = 0; i < group->count; i++) {
		size_t at = (start + i) % group->count;
		struct endpoint *ep = group->endpoints[at];

		if (!serves(ep) || (best != NULL && !less_loaded(ep, best)))
			continue;
		best = ep;
		group->last = at;
	}
	return best;
}

struct endpoint *balance_pick(struct endpoint_group *group)
{
	if (group == NULL)
		return NULL;
	if (group->count == 1)
		return serves(group->endpoints[0]) ? group->endpoints[0] : NULL;
	if (group->balance == BALANCE_ROUND_ROBIN)
		return pick_round_robin(group);
	return pick_least_request(group);
}
