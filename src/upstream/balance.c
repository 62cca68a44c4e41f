/*
 * Which endpoint is next.
 *
 * round_robin: smooth weighted round robin. Each turn every endpoint earns its weight; the richest is picked and pays the
 * sum of all. Over any `sum` picks each endpoint gets exactly its weight, spread evenly. Source: the nginx project's
 * description of its upstream module (2012).
 *
 * least_request: the smallest (active + 1) / weight; equals take turns, starting after the one picked last.
 */
#include "upstream/endpoint.h"

static struct endpoint *pick_round_robin(struct endpoint_group *group)
{
	struct endpoint *best = group->endpoints[0];
	int64_t sum = 0;

	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];

		ep->turn += ep->weight;
		sum += ep->weight;
		if (ep->turn > best->turn)
			best = ep;
	}
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
	size_t best = start % group->count;

	for (size_t i = 1; i < group->count; i++) {
		size_t at = (start + i) % group->count;

		if (less_loaded(group->endpoints[at], group->endpoints[best]))
			best = at;
	}
	group->last = best;
	return group->endpoints[best];
}

struct endpoint *balance_pick(struct endpoint_group *group)
{
	if (group->count == 1)
		return group->endpoints[0];
	if (group->balance == BALANCE_ROUND_ROBIN)
		return pick_round_robin(group);
	return pick_least_request(group);
}
