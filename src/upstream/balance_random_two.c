/*
 * Power of two choices: two endpoints are drawn by weight, and the one that has less to do for its weight is picked; where
 * both have the same, the one drawn first, so that idle endpoints share by weight exactly.
 *
 * Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996). Drawing by weight in constant time:
 * Walker's alias table (1977), made in one sweep over light and heavy items as by Hübschle-Schneider and Sanders, "Parallel
 * Weighted Random Sampling" (2019):
 *
 *     every endpoint has one of n boxes of equal height; what it lacks to fill it, a heavier one puts in on top (`alias`);
 *     a draw takes any box, and a height in it: below `keep` it is the box's owner, else the alias.
 *
 * Weak points: it is chance, so shares agree with the weights in the long run only; as in least_request an endpoint that fails
 * at once looks free.
 */
#include "upstream/balance.h"

/* What it fills of a box whose height is the sum of all weights. */
static uint64_t height(const struct candidates *set, size_t i)
{
	return (uint64_t)set->list[i].weight * set->count;
}

/* The next behind `i` that is heavier than a box is high, or not; the count: there is none. */
static size_t next_of(const struct candidates *set, size_t i, bool heavy)
{
	while (i < set->count && (height(set, i) > set->weight_sum) != heavy)
		i++;
	return i;
}

static void box_fill(struct candidates *set, size_t at, uint64_t own, size_t alias)
{
	struct candidate *c = &set->list[at];

	c->keep = own >= set->weight_sum ? UINT32_MAX : (uint32_t)((double)own / (double)set->weight_sum * UINT32_MAX);
	c->alias = (uint32_t)alias;
}

void balance_random_prepare(struct candidates *set)
{
	size_t light = next_of(set, 0, false), heavy = next_of(set, 0, true);
	uint64_t left = heavy < set->count ? height(set, heavy) : 0;

	while (heavy < set->count) {
		if (left > set->weight_sum && light < set->count) {
			box_fill(set, light, height(set, light), heavy);
			left -= set->weight_sum - height(set, light);
			light = next_of(set, light + 1, false);
			continue;
		}
		/* It has become light by giving; the next heavy one fills up its box. */
		size_t next = next_of(set, heavy + 1, true);

		box_fill(set, heavy, next < set->count ? left : set->weight_sum, next);
		left = next < set->count ? height(set, next) - (set->weight_sum - left) : 0;
		heavy = next;
	}
	for (; light < set->count; light = next_of(set, light + 1, false))
		box_fill(set, light, set->weight_sum, light);
}

/* One by weight. 32 random bits. */
static size_t balance_random_draw(const struct candidates *set, uint32_t random)
{
	uint64_t spread = (uint64_t)random * set->count;
	size_t box = (size_t)(spread >> 32);

	return (uint32_t)spread <= set->list[box].keep ? box : set->list[box].alias;
}

/* The second is drawn again once when it is the first; then it is a neighbour, which chance has chosen too. */
void balance_random_pair(const struct candidates *set, uint64_t random, size_t pair[2])
{
	pair[0] = balance_random_draw(set, (uint32_t)random);
	pair[1] = balance_random_draw(set, (uint32_t)(random >> 32));
	if (pair[1] == pair[0])
		pair[1] = balance_random_draw(set, (uint32_t)(random >> 32) * 2654435761u);
	if (pair[1] == pair[0])
		pair[1] = pair[0] + 1 < set->count ? pair[0] + 1 : 0;
}

struct endpoint *balance_random_two(struct candidates *set, uint64_t random)
{
	size_t pair[2];

	balance_random_pair(set, random, pair);
	const struct candidate *a = &set->list[pair[0]], *b = &set->list[pair[1]];
	bool second = (uint64_t)b->endpoint->active * a->weight < (uint64_t)a->endpoint->active * b->weight;

	return second ? b->endpoint : a->endpoint;
}
