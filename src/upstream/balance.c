/*
 * Which endpoint is next: all leases go through this, but for those of a single endpoint of which nothing has changed
 * (balance_pick_only).
 *
 *     bound by a cookie (balance_sticky.c) --its endpoint is out--> who may take it (candidates.c) --> the policy picks
 *
 * Each policy stands in a file of its own, with its source: balance_round_robin.c, balance_least_request.c,
 * balance_random_two.c, balance_peak_ewma.c, balance_consistent_hash.c.
 */
#include "upstream/balance.h"

#include "base/hash.h"

/* Without memory for a list: anybody who fits. */
static struct endpoint *pick_any(const struct endpoint_group *group, const struct config_labels *subset)
{
	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];
		bool fits = subset == NULL || config_labels_include(&ep->labels, subset);

		if (fits && endpoint_weight(ep) > 0 && endpoint_is_available(ep))
			return ep;
	}
	return NULL;
}

/* A request without the header, or whatever it is that is hashed, goes anywhere. */
static uint64_t hash_of(const struct endpoint_group *group, const struct balance_key *key)
{
	return key != NULL && key->is_hashed ? hash_u64(HASH_ROOT_3, key->hash) : io_random(group->ups->io);
}

static struct endpoint *pick_by_policy(
	struct endpoint_group *group, struct candidates *set, const struct balance_key *key)
{
	struct io *io = group->ups->io;

	switch (group->balance.policy) {
	case BALANCE_ROUND_ROBIN: return balance_round_robin(set);
	case BALANCE_RANDOM_TWO: return balance_random_two(set, io_random(io));
	case BALANCE_PEAK_EWMA: return balance_peak_ewma(set, io_random(io), io_now_us(io));
	case BALANCE_CONSISTENT_HASH:
		return balance_consistent_hash(set, hash_of(group, key), group->balance.hash_load);
	default: return balance_least_request(set);
	}
}

static struct endpoint *pick(struct endpoint_group *group, const struct balance_key *key)
{
	const struct config_labels *subset = key != NULL ? key->subset : NULL;

	if (key != NULL && key->bound != 0) {
		struct endpoint *bound = balance_sticky(group, key);

		if (bound != NULL)
			return bound;
	}
	struct candidates *set = candidates_for(group, subset);

	if (set == NULL)
		return pick_any(group, subset);
	if (set->count < 2)
		return set->count == 1 ? set->list[0].endpoint : NULL;
	return pick_by_policy(group, set, key);
}

/* There is but one. It is the same until anything changes. */
static struct endpoint *pick_only(struct endpoint_group *group)
{
	struct endpoint *only = group->endpoints[0];

	group->only_seen = atomic_load_explicit(group->changes, memory_order_acquire);
	group->only = endpoint_weight(only) > 0 && endpoint_is_available(only) ? only : NULL;
	return group->only;
}

struct endpoint *balance_pick(struct endpoint_group *group, const struct upstream_lease *lease)
{
	const struct balance_key *key = lease->key;

	if (group == NULL || group->count == 0)
		return NULL;
	if (group->count == 1 && key == NULL)
		return pick_only(group);
	return lease->tried_count == 0 ? pick(group, key) : tried_avoid(group, lease, pick(group, key));
}
