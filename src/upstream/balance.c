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

static struct endpoint *pick_round_robin(struct endpoint *eps, size_t count)
{
	struct endpoint *best = &eps[0];
	int64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		eps[i].turn += eps[i].config->weight;
		sum += eps[i].config->weight;
		if (eps[i].turn > best->turn)
			best = &eps[i];
	}
	best->turn -= sum;
	return best;
}

/* a is less loaded than b, compared as fractions without dividing. */
static bool less_loaded(const struct endpoint *a, const struct endpoint *b)
{
	return (uint64_t)(a->active + 1) * b->config->weight < (uint64_t)(b->active + 1) * a->config->weight;
}

static struct endpoint *pick_least_request(struct endpoint *eps, size_t count)
{
	/* eps[0].turn remembers where the last pick was: the search starts behind it. */
	size_t start = (size_t)eps[0].turn + 1;
	size_t best = start % count;

	for (size_t i = 1; i < count; i++) {
		size_t at = (start + i) % count;

		if (less_loaded(&eps[at], &eps[best]))
			best = at;
	}
	eps[0].turn = (int64_t)best;
	return &eps[best];
}

struct endpoint *balance_pick(struct upstreams *ups, const struct config_upstream *upstream)
{
	struct endpoint *eps = &ups->endpoints[ups->first[upstream->index]];
	size_t count = upstream->endpoint_count;

	if (count == 0)
		return NULL;
	if (count == 1)
		return &eps[0];
	if (upstream->balance == BALANCE_ROUND_ROBIN)
		return pick_round_robin(eps, count);
	return pick_least_request(eps, count);
}
