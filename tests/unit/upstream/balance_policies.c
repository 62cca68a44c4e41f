/* What is particular to the policies that look at load, latency or keys. */
#include "balance_bed.h"

static void open_many(struct bed *bed, const char *balance, size_t count)
{
	char yaml[4096];
	size_t n = (size_t)snprintf(yaml, sizeof(yaml), "balance: {%s}, endpoints: [", balance);

	for (size_t i = 0; i < count; i++)
		n += (size_t)snprintf(
			yaml + n, sizeof(yaml) - n, "%s{address: 10.0.0.%zu:80}", i > 0 ? ", " : "", i + 1);
	snprintf(yaml + n, sizeof(yaml) - n, "]");
	balance_open(bed, yaml);
}

static void all_idle(const struct bed *bed)
{
	for (size_t i = 0; i < group(bed)->count; i++)
		while (bed_endpoint(bed, i)->active > 0)
			endpoint_end(bed_endpoint(bed, i));
}

static unsigned most_active(const struct bed *bed)
{
	unsigned most = 0;

	for (size_t i = 0; i < group(bed)->count; i++)
		most = bed_endpoint(bed, i)->active > most ? bed_endpoint(bed, i)->active : most;
	return most;
}

/* --- random_two -------------------------------------------------------------------------------------------------------- */

/* With one choice the fullest of 10 would have some 30 more than the 1,000 on average; with two it has a few more. */
static void test_two_choices_are_even(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: random_two", 10);
	for (int i = 0; i < 10000; i++)
		endpoint_begin(pick_for(&bed, NULL));
	assert_in_range(most_active(&bed), 1000, 1010);
	all_idle(&bed);
	bed_close(&bed);
}

/* Of two it takes the one with less to do, always. */
static void test_two_choices_choose(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: random_two", 2);
	endpoint_begin(bed_endpoint(&bed, 0));
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(pick_for(&bed, NULL), bed_endpoint(&bed, 1));
	all_idle(&bed);
	bed_close(&bed);
}

/* --- peak_ewma --------------------------------------------------------------------------------------------------------- */

static void answers(const struct bed *bed, size_t i, uint64_t waited_us)
{
	endpoint_report(bed_endpoint(bed, i), &(struct upstream_lease){.at_once = 1}, (struct upstream_result){.status = 200, .waited_us = waited_us});
}

static void fails(const struct bed *bed, size_t i)
{
	endpoint_report(bed_endpoint(bed, i), &(struct upstream_lease){0}, (struct upstream_result){.cause = CAUSE_CONNECT_REFUSED});
}

static void test_slow_one_is_left(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: peak_ewma", 4);
	for (size_t i = 0; i < 4; i++)
		answers(&bed, i, 5000);
	struct shares shares = shares_of(&bed, NULL);
	ASSERT_SHARES(shares, 1, 1, 1, 1);
	answers(&bed, 2, 100000);
	shares = shares_of(&bed, NULL);
	assert_true(shares.of[2] == 0);
	for (size_t i = 0; i < 4; i++)
		assert_true(i == 2 || shares.of[i] > 0.25);
	/* Busy enough, the fast ones are no better: 20 times as slow, and 20 times as much to do. */
	for (size_t i = 0; i < 4; i++)
		for (int n = 0; i != 2 && n < 25; n++)
			endpoint_begin(bed_endpoint(&bed, i));
	shares = shares_of(&bed, NULL);
	assert_true(shares.of[2] > 0.4);
	all_idle(&bed);
	bed_close(&bed);
}

/* It fails at once, and does not look fast for that. An answer of 5xx is a failure. */
static void test_failing_one_does_not_attract(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: peak_ewma", 3);
	for (size_t i = 0; i < 3; i++)
		answers(&bed, i, 5000);
	fails(&bed, 0);
	endpoint_report(bed_endpoint(&bed, 1), &(struct upstream_lease){0}, (struct upstream_result){.status = 503, .waited_us = 10});
	struct shares shares = shares_of(&bed, NULL);
	assert_true(shares.of[2] > 0.6);
	bed_close(&bed);
}

/* A peak counts at once, what is better later only by and by; and silence lets it sink, e times in the decay time. */
static void test_peak_and_decay(void **state)
{
	struct latency_ewma e = {.decay_us = 10 * US_PER_S};
	uint64_t now_us = US_PER_S;

	latency_ewma_answer(&e, now_us, 1000);
	assert_int_equal((int)e.cost_us, 1000);
	latency_ewma_answer(&e, now_us + 1, 50000);
	assert_int_equal((int)e.cost_us, 50000);
	latency_ewma_answer(&e, now_us + 2, 1000);
	assert_true(e.cost_us > 49990);
	assert_in_range((int)latency_ewma_cost(&e, now_us + 10 * US_PER_S), 18000, 18800);
	assert_in_range((int)latency_ewma_cost(&e, now_us + 5 * US_PER_S), 30000, 30600);
	for (uint64_t s = 0; s < 100; s++)
		latency_ewma_answer(&e, now_us + s * US_PER_S, 1000);
	assert_in_range((int)e.cost_us, 999, 1100);
}

/* Failures that follow each other are worse and worse, to a limit. */
static void test_failures_add_up(void **state)
{
	struct latency_ewma e = {.decay_us = 10 * US_PER_S};

	latency_ewma_failure(&e, 1, 0);
	assert_int_equal((int)e.cost_us, 100000);
	latency_ewma_failure(&e, 1, 0);
	assert_int_equal((int)e.cost_us, 400000);
	for (int i = 0; i < 100; i++)
		latency_ewma_failure(&e, 1, 0);
	assert_int_equal((int)e.cost_us, 10000000);
	latency_ewma_failure(&e, 1, 15000000);
	assert_int_equal((int)e.cost_us, 15000000);
}

/* Who was never heard of is asked, but by one request at a time. */
static void test_unknown_one_is_tried(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: peak_ewma", 2);
	answers(&bed, 0, 5000);
	for (int i = 0; i < 100; i++)
		assert_ptr_equal(pick_for(&bed, NULL), bed_endpoint(&bed, 1));
	endpoint_begin(bed_endpoint(&bed, 1));
	for (int i = 0; i < 100; i++)
		assert_ptr_equal(pick_for(&bed, NULL), bed_endpoint(&bed, 0));
	all_idle(&bed);
	bed_close(&bed);
}

/* Others do not pay for it. */
static void test_only_peak_ewma_learns(void **state)
{
	struct bed bed;

	open_many(&bed, "policy: random_two", 2);
	answers(&bed, 0, 5000);
	assert_true(bed_endpoint(&bed, 0)->latency.cost_us == 0);
	bed_close(&bed);
}

/* --- consistent_hash --------------------------------------------------------------------------------------------------- */

#define HASH "policy: consistent_hash, hash_on: path"

static void keys_map(const struct bed *bed, uint64_t *ids)
{
	for (uint64_t key = 0; key < PICKS; key++)
		ids[key] = pick_key(bed, key)->name.id;
}

/* Shares of keys that are all different. */
static void test_keys_are_spread(void **state)
{
	struct shares shares = {{0}};
	struct bed bed;

	open_many(&bed, HASH, 10);
	for (uint64_t key = 0; key < PICKS; key++)
		shares.of[index_of(&bed, pick_key(&bed, key))] += 1.0 / PICKS;
	ASSERT_SHARES(shares, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
	for (size_t i = 0; i < 10; i++)
		assert_true(shares.of[i] > 0.095 && shares.of[i] < 0.105);
	bed_close(&bed);
}

/* One leaves: its own keys move, and at most 5 % of all beside them; they come back when it does. */
static void leave(const struct bed *bed, size_t leaves, uint64_t *before, uint64_t *after)
{
	uint64_t id = bed_endpoint(bed, leaves)->name.id;
	unsigned moved = 0, n = (unsigned)group(bed)->count;

	keys_map(bed, before);
	out(bed, leaves, true);
	keys_map(bed, after);
	for (size_t i = 0; i < PICKS; i++) {
		moved += before[i] != after[i];
		assert_true(after[i] != id);
	}
	assert_in_range(moved, PICKS / n * 95 / 100, PICKS / n + PICKS / 20);
	out(bed, leaves, false);
	keys_map(bed, after);
	assert_memory_equal(before, after, PICKS * sizeof(*before));
}

static void test_few_keys_move(void **state)
{
	static const size_t counts[] = {2, 3, 10, 50};
	uint64_t *before = malloc(PICKS * sizeof(*before)), *after = malloc(PICKS * sizeof(*after));

	for (size_t i = 0; i < COUNT(counts); i++) {
		struct bed bed;

		open_many(&bed, HASH, counts[i]);
		for (size_t leaves = 0; leaves < counts[i] && leaves < 10; leaves++)
			leave(&bed, leaves, before, after);
		bed_close(&bed);
	}
	free(before);
	free(after);
}

/* The file's order is of no importance, and a reload that adds one moves few. */
static void test_keys_stay_over_reloads(void **state)
{
	uint64_t *before = malloc(PICKS * sizeof(*before)), *after = malloc(PICKS * sizeof(*after));
	unsigned moved = 0;
	struct bed bed;

	balance_open(&bed, "balance: {" HASH "}, endpoints: [{address: 10.0.0.1:80}, {address: 10.0.0.2:80}, "
			   "{address: 10.0.0.3:80}]");
	keys_map(&bed, before);
	balance_reload(&bed, "balance: {" HASH "}, endpoints: [{address: 10.0.0.1:80}, {address: 10.0.0.2:80}, "
			     "{address: 10.0.0.3:80}, {address: 10.0.0.4:80}]");
	keys_map(&bed, after);
	for (size_t i = 0; i < PICKS; i++)
		moved += before[i] != after[i];
	assert_in_range(moved, PICKS / 4 * 95 / 100, PICKS / 4 + PICKS / 20);
	free(before);
	free(after);
	bed_close(&bed);
}

/* Everybody asks for the same: nobody has more than 125 % of the average, rounded up, and the first choice is used up first. */
static void test_load_is_bounded(void **state)
{
	struct bed bed;

	open_many(&bed, HASH, 10);
	struct endpoint *first = pick_key(&bed, 7);
	for (unsigned n = 1; n <= 5000; n++) {
		struct endpoint *ep = pick_key(&bed, 7);

		endpoint_begin(ep);
		assert_true(most_active(&bed) <= (n * 125 + 999) / 1000);
	}
	assert_int_equal(first->active, 625);
	/* The bound goes with the load, also of requests that have ended. */
	all_idle(&bed);
	assert_int_equal(group(&bed)->all->load, 0);
	assert_ptr_equal(pick_key(&bed, 7), first);
	bed_close(&bed);
}

/* By weight; the overflow of a key always goes the same way; and `off` is off. */
static void test_bound_by_weight(void **state)
{
	struct bed bed;

	balance_open(&bed, "balance: {" HASH ", hash_load: 200%}, endpoints: [{address: 10.0.0.1:80, weight: 3}, "
			   "{address: 10.0.0.2:80}, {address: 10.0.0.3:80, weight: 6}]");
	for (unsigned n = 1; n <= 1000; n++) {
		endpoint_begin(pick_key(&bed, n % 5));
		for (size_t i = 0; i < 3; i++)
			assert_true(bed_endpoint(&bed, i)->active <= 2 * n * (i == 0 ? 3 : i == 1 ? 1 : 6) / 10 + 1);
	}
	all_idle(&bed);
	balance_reload(&bed, "balance: {" HASH ", hash_load: 0}, endpoints: [{address: 10.0.0.1:80, weight: 3}, "
			     "{address: 10.0.0.2:80}, {address: 10.0.0.3:80, weight: 6}]");
	struct endpoint *first = pick_key(&bed, 7);
	for (unsigned n = 0; n < 1000; n++)
		endpoint_begin(pick_key(&bed, 7));
	assert_int_equal(first->active, 1000);
	all_idle(&bed);
	bed_close(&bed);
}

/* Within a subset the bound is of the subset's own load. */
static void test_bound_within_subset(void **state)
{
	struct bed bed;

	balance_open(&bed, "balance: {" HASH "}, endpoints: [{address: 10.0.0.1:80, labels: {v: \"1\"}}, "
			   "{address: 10.0.0.2:80, labels: {v: \"2\"}}, {address: 10.0.0.3:80, labels: {v: \"2\"}}]");
	const struct balance_key key = {
		.subset = &bed.config->upstreams[0].endpoints[1].labels, .is_hashed = true, .hash = 9};
	for (int n = 0; n < 1000; n++)
		endpoint_begin(bed_endpoint(&bed, 0));
	for (unsigned n = 1; n <= 100; n++) {
		endpoint_begin(pick_for(&bed, &key));
		assert_true(bed_endpoint(&bed, 1)->active <= (n * 125 + 199) / 200);
		assert_true(bed_endpoint(&bed, 2)->active <= (n * 125 + 199) / 200);
	}
	all_idle(&bed);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_two_choices_are_even),
		LOOP_TEST(test_two_choices_choose),
		LOOP_TEST(test_slow_one_is_left),
		LOOP_TEST(test_failing_one_does_not_attract),
		LOOP_TEST(test_peak_and_decay),
		LOOP_TEST(test_failures_add_up),
		LOOP_TEST(test_unknown_one_is_tried),
		LOOP_TEST(test_only_peak_ewma_learns),
		LOOP_TEST(test_keys_are_spread),
		LOOP_TEST(test_few_keys_move),
		LOOP_TEST(test_keys_stay_over_reloads),
		LOOP_TEST(test_load_is_bounded),
		LOOP_TEST(test_bound_by_weight),
		LOOP_TEST(test_bound_within_subset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
