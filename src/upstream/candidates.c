/*
 * Who may be picked, and with what weight.
 *
 *     the group's endpoints
 *       -> those that the request asks for (subset), in service, with a weight
 *       -> those that are no backup, if there is one
 *       -> those of our own zone, if enough of it is in service; what is missing is filled from the other zones
 *       -> each with its weight, less while it starts slowly
 *
 * Zones: of the weight that our zone has by configuration, zone_min_share (70 %) must be in service. Of what is missing to that
 * the other zones take over: together they count as much, however many they are. So a zone that dies by and by hands its
 * requests on by and by. Source: spillover between localities as Envoy does it (its overprovisioning factor of 1.4 is
 * 1 / 70 %). Weak point: a zone that was too small from the start gets all that its gateways have.
 *
 * Slow start: who is new since a reload, or comes back, begins with a tenth of its weight, which grows in proportion to time.
 * Sources: slow_start of nginx and slowstart of HAProxy, which are linear too. A worker notices that somebody comes back when
 * it picks: one that was out while nobody picked starts at once.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/planted.h"
#include "upstream/balance.h"

enum {
	RAMP_LEAST = WEIGHT_ONE / 10,
	RAMP_STEPS = 100,                  /* so often a list is made anew while somebody starts slowly ... */
	RAMP_STEP_LEAST_US = 10000,        /* ... but no more often than that */
	ZONE_FACTOR_MAX = 64 * WEIGHT_ONE, /* products of weights must fit 64 bits */
};

/* Weights of those who fit: of other zones, and of our own. */
struct tally {
	uint64_t configured[2], in_service[2];
};

/* What a weight of 1 counts there. */
struct zone_factors {
	uint32_t by_own[2];
};

static bool fits(const struct endpoint *ep, const struct config_labels *subset)
{
	return endpoint_weight(ep) > 0 &&
	       (subset == NULL || config_labels_include(&ep->labels, subset) || PLANTED(SUBSET_IGNORED));
}

static bool is_own(const struct endpoint_group *group, const struct endpoint *ep)
{
	return group->zone != 0 && ep->zone == group->zone;
}

static struct tally tally_take(const struct endpoint_group *group, const struct config_labels *subset, bool backup)
{
	struct tally tally = {0};

	for (size_t i = 0; i < group->count; i++) {
		const struct endpoint *ep = group->endpoints[i];
		bool own = is_own(group, ep);

		if (ep->backup != backup || !fits(ep, subset))
			continue;
		tally.configured[own] += endpoint_weight(ep);
		if (endpoint_is_available(ep))
			tally.in_service[own] += endpoint_weight(ep);
	}
	return tally;
}

static struct zone_factors zones_weigh(const struct endpoint_group *group, const struct tally *tally)
{
	uint64_t wanted = tally->configured[true] * group->balance.zone_min_share, have = tally->in_service[true] * 100;

	if (PLANTED(ZONE_IGNORED))
		return (struct zone_factors){{WEIGHT_ONE, WEIGHT_ONE}};
	if (tally->in_service[true] == 0)
		return (struct zone_factors){{WEIGHT_ONE, 0}};
	if (have >= wanted || tally->in_service[false] == 0)
		return (struct zone_factors){{0, WEIGHT_ONE}};

	uint64_t factor = WEIGHT_ONE * (wanted - have) / (100 * tally->in_service[false]);

	factor = factor > ZONE_FACTOR_MAX ? ZONE_FACTOR_MAX : factor;
	return (struct zone_factors){{factor > 0 ? (uint32_t)factor : 1, WEIGHT_ONE}};
}

/* --- slow start ------------------------------------------------------------------------------------------------------ */

/* Sees who comes back. */
static void notice_return(struct endpoint *ep, uint64_t now_us)
{
	bool is_in = endpoint_budget_out(ep->budget) == 0;

	if (is_in && ep->was_out)
		ep->ramp_from_us = now_us;
	ep->was_out = !is_in;
}

/* The part of its weight that it has by now, in WEIGHT_ONEs. */
static uint32_t ramp(const struct endpoint_group *group, const struct endpoint *ep, uint64_t now_us)
{
	uint64_t age_us = now_us > ep->ramp_from_us ? now_us - ep->ramp_from_us : 0;

	if (ep->ramp_from_us == 0 || age_us >= group->balance.slow_start_us)
		return WEIGHT_ONE;
	return RAMP_LEAST + (uint32_t)(age_us * (WEIGHT_ONE - RAMP_LEAST) / group->balance.slow_start_us);
}

/* When the weight of somebody who starts slowly is to be looked at again. */
static uint64_t ramp_next(const struct endpoint_group *group, uint64_t now_us)
{
	uint64_t step_us = group->balance.slow_start_us / RAMP_STEPS;

	return now_us + (step_us > RAMP_STEP_LEAST_US ? step_us : RAMP_STEP_LEAST_US);
}

/* --- the list --------------------------------------------------------------------------------------------------------- */

/* Its requests are counted in the list's load from now on; `load` may be NULL. */
static void load_move(struct endpoint *ep, uint32_t *load)
{
	ep->load_alone = 0;
	ep->load = load != NULL ? load : &ep->load_alone;
	*ep->load += ep->active;
}

static void list_add(struct candidates *set, const struct endpoint_group *group, struct endpoint *ep, uint64_t share,
	uint64_t now_us)
{
	struct candidate *c = &set->list[set->count++];
	uint32_t part = ramp(group, ep, now_us);

	/* What it has earned so far is lost with whoever has left; while everybody stays each keeps his own. */
	if (c->endpoint != ep)
		c->turn = 0;
	c->endpoint = ep;
	c->share = (uint32_t)share;
	c->weight = (uint32_t)(share * part / WEIGHT_ONE);
	c->weight = c->weight > 0 ? c->weight : 1;
	set->weight_sum += c->weight;
	set->share_sum += c->share;
	if (part < WEIGHT_ONE)
		set->refresh_us = ramp_next(group, now_us);
}

static void list_fill(
	struct candidates *set, struct endpoint_group *group, const struct config_labels *subset, uint64_t now_us)
{
	struct tally tally = tally_take(group, subset, false);
	bool backup = tally.in_service[0] + tally.in_service[1] == 0;
	bool counts_load = set == group->all && set->table != NULL;

	if (backup)
		tally = tally_take(group, subset, true);

	struct zone_factors factors = zones_weigh(group, &tally);

	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];
		uint64_t share = (uint64_t)endpoint_weight(ep) * factors.by_own[is_own(group, ep)];
		bool may = (share > 0 && ep->backup == backup) || PLANTED(SPARE_SERVES);
		bool is_in = may && fits(ep, subset) && endpoint_is_available(ep);

		if (group->balance.slow_start_us != 0)
			notice_return(ep, now_us);
		if (counts_load)
			load_move(ep, is_in ? &set->load : NULL);
		if (is_in)
			list_add(set, group, ep, share, now_us);
	}
}

static void candidates_make(
	struct candidates *set, struct endpoint_group *group, const struct config_labels *subset, uint64_t now_us)
{
	/* Before anybody is looked at: what changes from here on is seen the next time. */
	set->seen = atomic_load_explicit(group->changes, memory_order_acquire);
	set->refresh_us = UINT64_MAX;
	set->weight_sum = set->share_sum = 0;
	set->load = 0;
	set->count = 0;
	list_fill(set, group, subset, now_us);
	if (set->count < 2)
		return;
	switch (group->balance.policy) {
	case BALANCE_RANDOM_TWO: balance_random_prepare(set); return;
	case BALANCE_PEAK_EWMA: balance_peak_ewma_prepare(set); return;
	case BALANCE_CONSISTENT_HASH: balance_consistent_hash_prepare(set); return;
	default: return;
	}
}

/* --- finding ---------------------------------------------------------------------------------------------------------- */

struct candidates *candidates_create(enum config_policy policy, size_t room)
{
	size_t table = policy == BALANCE_CONSISTENT_HASH ? HASH_SLOTS * sizeof(uint16_t) : 0;
	size_t lists = sizeof(struct candidates) + room * sizeof(struct candidate);
	struct candidates *set = calloc(1, lists + table);

	if (set == NULL)
		return NULL;
	set->seen = CANDIDATES_STALE;
	if (table > 0)
		set->table = (uint16_t *)((char *)set + lists);
	return set;
}

static uint64_t subset_hash(const struct config_labels *subset)
{
	uint64_t hash = hash_append(HASH_BEGIN, subset->hashes, subset->count * sizeof(subset->hashes[0]));

	return hash != 0 ? hash : 1;
}

static struct candidates *subset_find(struct endpoint_group *group, const struct config_labels *subset)
{
	uint64_t hash = subset_hash(subset);
	struct candidates *set = group->subsets;

	while (set != NULL && set->subset != hash)
		set = set->next;
	if (set != NULL)
		return set;
	set = candidates_create(group->balance.policy, group->count);
	if (set == NULL)
		return NULL;
	set->subset = hash;
	set->next = group->subsets;
	group->subsets = set;
	return set;
}

/* A subset's load is nowhere counted as it changes. */
static void load_count(struct candidates *set)
{
	set->load = 0;
	for (size_t i = 0; i < set->count; i++)
		set->load += set->list[i].endpoint->active;
}

struct candidates *candidates_for(struct endpoint_group *group, const struct config_labels *subset)
{
	struct candidates *set = subset == NULL ? group->all : subset_find(group, subset);

	if (set == NULL)
		return NULL;

	bool is_stale = set->seen != atomic_load_explicit(group->changes, memory_order_relaxed);

	if (is_stale || (set->refresh_us != UINT64_MAX && io_now_us(group->ups->io) >= set->refresh_us))
		candidates_make(set, group, subset, io_now_us(group->ups->io));
	if (subset != NULL && set->table != NULL)
		load_count(set);
	return set;
}

void candidates_outdate(struct endpoint_group *group)
{
	group->all->seen = CANDIDATES_STALE;
	for (struct candidates *set = group->subsets; set != NULL; set = set->next)
		set->seen = CANDIDATES_STALE;
}

/* Those whose requests are counted here are told first. */
static void load_leave(struct endpoint_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		if (group->endpoints[i]->load == &group->all->load)
			load_move(group->endpoints[i], NULL);
}

void candidates_release(struct endpoint_group *group)
{
	if (group->all != NULL)
		load_leave(group);
	free(group->all);
	for (struct candidates *set = group->subsets, *next; set != NULL; set = next) {
		next = set->next;
		free(set);
	}
	group->all = group->subsets = NULL;
}
