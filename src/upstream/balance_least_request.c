/*
 * Least request: the smallest (active + 1) / weight; equals take turns, starting after the one picked last. "Active" are
 * requests that wait for a connection or have one.
 *
 * Source: weighted least-connection scheduling, Zhang, "Linux Virtual Server for Scalable Network Services" (2000); the + 1,
 * which is the request itself, lets weights count when nothing is under way.
 *
 * Weak points: an endpoint that fails at once looks free; each worker sees its own requests only; a pick looks at all.
 */
#include "upstream/balance.h"

/* a is less loaded than b, compared as fractions without dividing. */
static bool less_loaded(const struct candidate *a, const struct candidate *b)
{
	return (uint64_t)(a->endpoint->active + 1) * b->weight < (uint64_t)(b->endpoint->active + 1) * a->weight;
}

struct endpoint *balance_least_request(struct candidates *set)
{
	size_t at = set->last + 1 < set->count ? set->last + 1 : 0;
	struct candidate *best = &set->list[at];

	set->last = at;
	for (size_t i = 1; i < set->count; i++) {
		at = at + 1 < set->count ? at + 1 : 0;
		if (!less_loaded(&set->list[at], best))
			continue;
		best = &set->list[at];
		set->last = at;
	}
	return best->endpoint;
}
