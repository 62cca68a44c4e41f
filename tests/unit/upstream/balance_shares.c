/* What every policy has in common: shares by weight, who is out, backups, zones, subsets, slow start, cookies. */
#include "balance_bed.h"

#define THREE \
	"endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82, weight: 2}, {address: 127.0.0.1:83, weight: 5}]"

static const char *const by_chance_or_turn[] = {
	"round_robin", "random_two", "peak_ewma", "consistent_hash, hash_on: path"};

static void open_with(struct bed *bed, const char *policy, const char *rest)
{
	char yaml[8000];

	snprintf(yaml, sizeof(yaml), "balance: {policy: %s}, %s", policy, rest);
	balance_open(bed, yaml);
}

/* By weight; without the one that is out; and as before when it is back. */
static void test_weights(void **state)
{
	for (size_t i = 0; i < COUNT(by_chance_or_turn); i++) {
		struct bed bed;

		open_with(&bed, by_chance_or_turn[i], THREE);
		struct shares all = shares_of(&bed, NULL);
		out(&bed, 2, true);
		struct shares without = shares_of(&bed, NULL);
		out(&bed, 2, false);
		struct shares again = shares_of(&bed, NULL);

		ASSERT_SHARES(all, 1, 2, 5);
		ASSERT_SHARES(without, 1, 2, 0);
		ASSERT_SHARES(again, 1, 2, 5);
		bed_close(&bed);
	}
}

/* With requests that never end least_request has shares by weight, too. */
static void test_least_request_weights(void **state)
{
	struct shares shares = {{0}};
	struct bed bed;

	open_with(&bed, "least_request", THREE);
	for (int i = 0; i < PICKS; i++) {
		struct endpoint *ep = pick_for(&bed, NULL);

		endpoint_begin(ep);
		shares.of[index_of(&bed, ep)] += 1.0 / PICKS;
	}
	ASSERT_SHARES(shares, 1, 2, 5);
	for (size_t i = 0; i < 3; i++)
		bed_endpoint(&bed, i)->active = 0;
	bed_close(&bed);
}

/* Many endpoints, of all weights: the table that chance is drawn from is right. */
static void test_many_weights(void **state)
{
	enum { MANY = 40 };
	double weights[MANY];
	char yaml[4096];
	size_t n = (size_t)snprintf(yaml, sizeof(yaml), "endpoints: [");
	struct bed bed;

	for (size_t i = 0; i < MANY; i++) {
		weights[i] = i % 7 == 0 ? 100 : (double)(i % 5 + 1);
		n += (size_t)snprintf(yaml + n, sizeof(yaml) - n, "%s{address: 127.0.0.1:%zu, weight: %.0f}",
			i > 0 ? ", " : "", 100 + i, weights[i]);
	}
	snprintf(yaml + n, sizeof(yaml) - n, "]");
	open_with(&bed, "random_two", yaml);
	struct shares shares = shares_of(&bed, NULL);

	assert_shares(&shares, weights, MANY);
	/* A hundred times the picks of its lighter neighbours, not just within 2 % of all. */
	assert_true(shares.of[0] > 10 * shares.of[4] && shares.of[1] > 0);
	bed_close(&bed);
}

/* As the operator does it. */
static void set_weight(const struct bed *bed, size_t i, unsigned weight)
{
	endpoint_budget_set(bed_endpoint(bed, i)->budget, SET_WEIGHT_MASK, weight + 1);
}

/* Whoever has the weight 0 is not picked, by any policy; until that changes, at once and without a reload. */
static void test_weight_is_live(void **state)
{
	for (size_t i = 0; i < COUNT(by_chance_or_turn); i++) {
		struct bed bed;

		open_with(&bed, by_chance_or_turn[i],
			"endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82, weight: 0}, {address: 127.0.0.1:83}]");
		struct shares shares = shares_of(&bed, NULL);
		ASSERT_SHARES(shares, 1, 0, 1);
		set_weight(&bed, 1, 2);
		set_weight(&bed, 0, 0);
		shares = shares_of(&bed, NULL);
		ASSERT_SHARES(shares, 0, 2, 1);
		bed_close(&bed);
	}
}

static void test_weight_by_reload(void **state)
{
	struct bed bed;

	open_with(&bed, "round_robin", THREE);
	struct endpoint *first = bed_endpoint(&bed, 0);
	endpoint_begin(first);
	balance_reload(&bed, "balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81, weight: 0}, "
			     "{address: 127.0.0.1:82, weight: 9}, {address: 127.0.0.1:83}]");
	assert_ptr_equal(bed_endpoint(&bed, 0), first);
	assert_int_equal(first->active, 1);
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 9, 1);
	endpoint_end(first);
	bed_close(&bed);
}

/* One endpoint alone is looked at like many. */
static void test_only_one(void **state)
{
	struct user user;
	struct bed bed;

	open_with(&bed, "round_robin", "endpoints: [{address: 127.0.0.1:81}]");
	assert_ptr_equal(pick_for(&bed, NULL), bed_endpoint(&bed, 0));
	out(&bed, 0, true);
	assert_null(pick_for(&bed, NULL));
	out(&bed, 0, false);
	assert_ptr_equal(pick_for(&bed, NULL), bed_endpoint(&bed, 0));
	set_weight(&bed, 0, 0);
	assert_null(pick_for(&bed, NULL));
	assert_int_equal(user_ask(&user, &bed), UPSTREAM_FAILED);
	assert_int_equal(user.cause, CAUSE_NO_HEALTHY_ENDPOINT);
	assert_string_equal(user.lease.why, "every endpoint in service has the weight 0");
	bed_close(&bed);
}

static void test_backups(void **state)
{
	struct bed bed;

	open_with(&bed, "random_two",
		"endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}, {address: 127.0.0.1:83, backup: true}, "
		"{address: 127.0.0.1:84, backup: true, weight: 3}]");
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 1, 0, 0);
	out(&bed, 0, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 1, 0, 0);
	out(&bed, 1, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 1, 3);
	out(&bed, 2, true);
	out(&bed, 3, true);
	assert_null(pick_for(&bed, NULL));
	out(&bed, 1, false);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 1, 0, 0);
	bed_close(&bed);
}

/* --- zones ------------------------------------------------------------------------------------------------------------- */

/* Four in our zone, two in another one: 70 % of ours must be there. */
#define ZONES(policy) \
	"balance: {policy: " policy \
	"}, endpoints: [{address: 127.0.0.1:81, zone: a}, {address: 127.0.0.1:82, zone: a}, " \
	"{address: 127.0.0.1:83, zone: a}, {address: 127.0.0.1:84, zone: a}, {address: 127.0.0.1:85, zone: b}, " \
	"{address: 127.0.0.1:86, zone: b}]"

static void test_zones(void **state)
{
	struct bed bed;

	balance_open_in(&bed, "zone: a\n", ZONES("random_two"));
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 1, 1, 1, 0, 0);
	out(&bed, 0, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 1, 1, 1, 0, 0);
	/* Two of four are 0.8 short of 70 %: the two others have 0.4 each. */
	out(&bed, 1, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 1, 1, 0.4, 0.4);
	out(&bed, 2, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 0, 1, 0.9, 0.9);
	out(&bed, 5, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 0, 1, 1.8, 0);
	out(&bed, 3, true);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 0, 0, 1, 0);
	out(&bed, 4, true);
	assert_null(pick_for(&bed, NULL));
	out(&bed, 3, false);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 0, 0, 0, 1, 0, 0);
	bed_close(&bed);
}

/* Who has no zone, is in one without endpoints, or does not want it, spreads over all. */
static void test_zones_make_no_difference(void **state)
{
	static const char *const roots[] = {"", "zone: c\n", "zone: a\n"};
	static const char *const upstreams[] = {
		ZONES("round_robin"), ZONES("round_robin"), ZONES("round_robin, zone_preference: false")};

	for (size_t i = 0; i < COUNT(roots); i++) {
		struct bed bed;

		balance_open_in(&bed, roots[i], upstreams[i]);
		struct shares shares = shares_of(&bed, NULL);
		ASSERT_SHARES(shares, 1, 1, 1, 1, 1, 1);
		bed_close(&bed);
	}
}

/* --- subsets ----------------------------------------------------------------------------------------------------------- */

/* The labels of the endpoint in another order would be the same subset. */
static void test_subsets(void **state)
{
	struct bed bed;

	open_with(&bed, "round_robin",
		"endpoints: [{address: 127.0.0.1:81, labels: {v: \"1\"}}, {address: 127.0.0.1:82, labels: {v: \"2\"}}, "
		"{address: 127.0.0.1:83, labels: {v: \"2\", disk: fast}, weight: 3}, "
		"{address: 127.0.0.1:84, labels: {v: \"2\"}, backup: true}]");
	const struct balance_key v2 = {.subset = &bed.config->upstreams[0].endpoints[1].labels};
	const struct balance_key fast = {.subset = &bed.config->upstreams[0].endpoints[2].labels};
	const struct balance_key nobody = {.subset = &(struct config_labels){{1}, 1}};

	struct shares shares = shares_of(&bed, &v2);
	ASSERT_SHARES(shares, 0, 1, 3, 0);
	shares = shares_of(&bed, &fast);
	ASSERT_SHARES(shares, 0, 0, 1, 0);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 1, 3, 0);
	assert_null(pick_for(&bed, &nobody));
	out(&bed, 2, true);
	assert_null(pick_for(&bed, &fast));
	shares = shares_of(&bed, &v2);
	ASSERT_SHARES(shares, 0, 1, 0, 0);
	out(&bed, 1, true);
	shares = shares_of(&bed, &v2);
	ASSERT_SHARES(shares, 0, 0, 0, 1);
	bed_close(&bed);
}

/* --- slow start -------------------------------------------------------------------------------------------------------- */

/* As if so much of its slow start were over; the loop's clock does not move in here. */
static void age(const struct bed *bed, size_t i, uint64_t age_us)
{
	bed_endpoint(bed, i)->ramp_from_us = io_now_us(fixture.io) - age_us;
	candidates_outdate(group(bed));
}

/* From a tenth to all, in proportion to time. */
static void assert_ramp(struct bed *bed)
{
	static const struct {
		uint64_t age_us;
		double part;
	} steps[] = {{0, 0.1}, {2500000, 0.325}, {5000000, 0.55}, {9000000, 0.91}, {10000000, 1}, {60000000, 1}};

	for (size_t i = 0; i < COUNT(steps); i++) {
		age(bed, 1, steps[i].age_us);
		struct shares shares = shares_of(bed, NULL);
		ASSERT_SHARES(shares, 1, steps[i].part, 1);
		assert_int_equal(group(bed)->all->refresh_us != UINT64_MAX, steps[i].part < 1);
	}
}

#define SLOW(policy) "balance: {policy: " policy ", slow_start: 10s}, "

static void test_slow_start_of_newcomer(void **state)
{
	struct bed bed;

	balance_open(&bed, SLOW("round_robin") "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:83}]");
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 1);
	assert_int_equal(group(&bed)->all->refresh_us, UINT64_MAX);
	balance_reload(&bed, SLOW("round_robin") "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}, "
						 "{address: 127.0.0.1:83}]");
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 0.1, 1);
	assert_ramp(&bed);
	bed_close(&bed);
}

static void test_slow_start_of_who_comes_back(void **state)
{
	struct bed bed;

	balance_open(&bed, SLOW("random_two") "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}, "
					      "{address: 127.0.0.1:83}]");
	out(&bed, 1, true);
	assert_non_null(pick_for(&bed, NULL));
	out(&bed, 1, false);
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 0.1, 1);
	assert_ramp(&bed);
	bed_close(&bed);
}

/* What was earned in turns outlives the lists that slow start makes anew. */
static void test_turns_outlive_lists(void **state)
{
	struct shares shares = {{0}};
	struct bed bed;

	open_with(&bed, "round_robin", THREE);
	for (int i = 0; i < 8000; i++) {
		shares.of[index_of(&bed, pick_for(&bed, NULL))] += 1.0 / 8000;
		candidates_outdate(group(&bed));
	}
	ASSERT_SHARES(shares, 1, 2, 5);
	bed_close(&bed);
}

/* A successor with another pool is the same endpoint, and no newcomer. */
static void test_successor_does_not_start(void **state)
{
	struct bed bed;

	balance_open(&bed, SLOW("round_robin") "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}]");
	balance_reload(&bed, SLOW("round_robin") "pool: {max_connections: 7}, endpoints: [{address: 127.0.0.1:81}, "
						 "{address: 127.0.0.1:82}]");
	assert_int_equal(bed_endpoint(&bed, 0)->ramp_from_us, 0);
	assert_int_equal(bed_endpoint(&bed, 1)->ramp_from_us, 0);
	bed_close(&bed);
}

/* --- cookies ----------------------------------------------------------------------------------------------------------- */

static void test_sticky(void **state)
{
	struct bed bed;

	open_with(&bed, "round_robin, sticky: {cookie: c}",
		"endpoints: [{address: 127.0.0.1:81, labels: {v: \"1\"}}, {address: 127.0.0.1:82, labels: {v: \"2\"}}, "
		"{address: 127.0.0.1:83, labels: {v: \"2\"}}]");
	const struct config_labels *v1 = &bed.config->upstreams[0].endpoints[0].labels;
	uint64_t id = bed_endpoint(&bed, 1)->name.id;
	const struct balance_key bound = {.bound = id}, unknown = {.bound = id + 1},
				 elsewhere = {.bound = id, .subset = v1};

	struct shares shares = shares_of(&bed, &bound);
	ASSERT_SHARES(shares, 0, 1, 0);
	shares = shares_of(&bed, &unknown);
	ASSERT_SHARES(shares, 1, 1, 1);
	shares = shares_of(&bed, &elsewhere);
	ASSERT_SHARES(shares, 1, 0, 0);
	out(&bed, 1, true);
	shares = shares_of(&bed, &bound);
	ASSERT_SHARES(shares, 1, 0, 1);
	out(&bed, 1, false);
	/* Emptied: nobody new, but who is bound to it stays. */
	set_weight(&bed, 1, 0);
	shares = shares_of(&bed, &bound);
	ASSERT_SHARES(shares, 0, 1, 0);
	shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 0, 1);
	bed_close(&bed);
}

/* The name does not depend on how the file spells the address, nor on the endpoint's place in it. */
static void test_id_is_of_the_address(void **state)
{
	struct bed one, other;

	open_with(&one, "round_robin", "endpoints: [{address: 127.0.0.1:81}, {address: \"[::1]:82\"}]");
	open_with(&other, "round_robin", "endpoints: [{address: \"[0:0::1]:82\"}, {address: localhost:81}]");
	assert_int_equal(bed_endpoint(&one, 0)->name.id, bed_endpoint(&other, 1)->name.id);
	assert_int_equal(bed_endpoint(&one, 1)->name.id, bed_endpoint(&other, 0)->name.id);
	assert_int_not_equal(bed_endpoint(&one, 0)->name.id, bed_endpoint(&one, 1)->name.id);
	bed_close(&one);
	bed_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_weights),
		LOOP_TEST(test_least_request_weights),
		LOOP_TEST(test_many_weights),
		LOOP_TEST(test_weight_is_live),
		LOOP_TEST(test_weight_by_reload),
		LOOP_TEST(test_only_one),
		LOOP_TEST(test_backups),
		LOOP_TEST(test_zones),
		LOOP_TEST(test_zones_make_no_difference),
		LOOP_TEST(test_subsets),
		LOOP_TEST(test_slow_start_of_newcomer),
		LOOP_TEST(test_slow_start_of_who_comes_back),
		LOOP_TEST(test_turns_outlive_lists),
		LOOP_TEST(test_successor_does_not_start),
		LOOP_TEST(test_sticky),
		LOOP_TEST(test_id_is_of_the_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
