/*
 * Smooth weighted round robin. Each turn every endpoint earns its weight; the richest is picked and pays the sum of all. Over
 * any `sum` picks each endpoint gets exactly its weight, spread evenly.
 *
 * Source: the nginx project's description of its upstream module (2012).
 *
 * Weak points: it looks at nothing but turns, so an endpoint that is slow collects requests; each worker has turns of its own.
 */
#include "upstream/balance.h"

struct endpoint *balance_round_robin(struct candidates *set)
{
	struct candidate *best = &set->list[0];

	for (size_t i = 0; i < set->count; i++) {
		struct candidate *c = &set->list[i];

		c->turn += c->weight;
		if (c->turn > best->turn)
			best = c;
	}
	best->turn -= (int64_t)set->weight_sum;
	return best->endpoint;
}
