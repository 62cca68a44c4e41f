/* Upstreams that are picked from, without a connection being made: every endpoint keeps the address of its own. */
#ifndef WEIR_TESTS_UPSTREAM_BALANCE_BED_H
#define WEIR_TESTS_UPSTREAM_BALANCE_BED_H

#include "bed.h"

#include "base/hash.h"
#include "upstream/balance.h"

enum { PICKS = 100000, ENDPOINTS_MAX = 64 };

static inline void balance_open_in(struct bed *bed, const char *root, const char *upstream_yaml)
{
	*bed = (struct bed){.config = bed_config_in(root, upstream_yaml)};
	door_open(&bed->door);
	bed_make(bed);
}

static inline void balance_open(struct bed *bed, const char *upstream_yaml)
{
	balance_open_in(bed, "", upstream_yaml);
}

/* The same upstream in another configuration. */
static inline void balance_reload(struct bed *bed, const char *upstream_yaml)
{
	const struct config *before = bed->config;
	struct endpoint_budget **budgets = bed->budgets;

	bed->config = bed_config_in("", upstream_yaml);
	bed->budgets = budgets_claim(&bed->registry, bed->config);
	assert_non_null(bed->budgets);
	assert_true(upstreams_reload(bed->ups, bed->config, bed->budgets));
	upstreams_settle(bed->ups);
	while (upstreams_follow(bed->ups))
		;
	run_pending();
	budgets_drop(budgets, config_endpoint_count(before));
	config_free(before);
}

static inline struct endpoint_group *group(const struct bed *bed)
{
	return bed->ups->roster->groups[0];
}

static inline struct endpoint *pick_for(const struct bed *bed, const struct balance_key *key)
{
	struct upstream_lease lease = {.key = key};

	return balance_pick(group(bed), &lease);
}

static inline struct endpoint *pick_key(const struct bed *bed, uint64_t key)
{
	return pick_for(
		bed, &(struct balance_key){.hash = hash_append(HASH_BEGIN, &key, sizeof(key)), .is_hashed = true});
}

static inline size_t index_of(const struct bed *bed, const struct endpoint *ep)
{
	for (size_t i = 0; i < group(bed)->count; i++)
		if (group(bed)->endpoints[i] == ep)
			return i;
	fail_msg("nobody was picked, or a stranger");
	return 0;
}

static inline void out(const struct bed *bed, size_t i, bool is_out)
{
	assert_true(endpoint_budget_set_out(bed_endpoint(bed, i)->budget, OUT_UNHEALTHY, is_out));
}

struct shares {
	double of[ENDPOINTS_MAX];
};

/* Of PICKS picks with nothing under way. */
static inline struct shares shares_of(const struct bed *bed, const struct balance_key *key)
{
	struct shares shares = {{0}};

	for (int i = 0; i < PICKS; i++)
		shares.of[index_of(bed, pick_for(bed, key))] += 1.0 / PICKS;
	return shares;
}

/*
 * Every share is within 2 % of what the weights say: of itself, not of all picks, so that a light endpoint is held to it, too.
 * Beside that there is the chance that a drawn share has: six of its standard deviations.
 */
static inline void assert_shares(const struct shares *shares, const double *weights, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += weights[i];
	for (size_t i = 0; i < count; i++) {
		double expected = weights[i] / sum, off = shares->of[i] - expected;
		double beyond = (off > 0 ? off : -off) - 0.02 * expected;

		if (beyond > 0 && beyond * beyond > 6 * 6 * expected * (1 - expected) / PICKS)
			fail_msg("endpoint %zu has %.4f of the picks and should have %.4f", i, shares->of[i], expected);
	}
}

#define ASSERT_SHARES(shares, ...) \
	assert_shares(&(shares), (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

#endif
