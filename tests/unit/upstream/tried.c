/* Endpoints that a request has tried are avoided as long as there is another one. */
#include "bed.h"

#define THREE                                                                                                        \
	"balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82, weight: 9}, " \
	"{address: 127.0.0.1:83}]"

/* The bed has all endpoints at one door, and what is tried is told by where it is. */
static void three_open(struct bed *bed)
{
	bed_open(bed, THREE);
	for (size_t i = 0; i < 3; i++)
		bed_endpoint(bed, i)->name.id = i + 1;
}

static struct endpoint *pick(struct bed *bed, const struct upstream_lease *lease)
{
	return balance_pick(group_of(bed->ups, &bed->config->upstreams[0]), lease);
}

/* As if it had been picked, and the request had failed there. */
static void try_at(struct upstream_lease *lease, struct endpoint *ep)
{
	lease->picked = &ep->name;
	upstream_avoid(lease, TRY_STATUS_503);
	lease->picked = NULL;
}

static enum upstream_prospect prospect(struct bed *bed, struct upstream_lease *lease, struct endpoint *named)
{
	enum upstream_prospect found;

	lease->picked = named != NULL ? &named->name : NULL;
	found = upstream_prospect(bed->ups, &bed->config->upstreams[0], lease);
	lease->picked = NULL;
	return found;
}

static void test_another_one_is_picked(void **state)
{
	struct upstream_lease lease;
	struct bed bed;

	three_open(&bed);
	upstream_lease_init(&lease);
	try_at(&lease, bed_endpoint(&bed, 1));
	for (int i = 0; i < 50; i++)
		assert_ptr_not_equal(pick(&bed, &lease), bed_endpoint(&bed, 1));
	try_at(&lease, bed_endpoint(&bed, 0));
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(pick(&bed, &lease), bed_endpoint(&bed, 2));
	assert_int_equal(bed_endpoint(&bed, 1)->stats.tried_again[TRY_STATUS_503], 1);
	bed_close(&bed);
}

/* When all were tried the policy picks as it does for everybody. */
static void test_all_were_tried(void **state)
{
	struct upstream_lease lease;
	unsigned counts[3] = {0};
	struct bed bed;

	three_open(&bed);
	upstream_lease_init(&lease);
	for (size_t i = 0; i < 3; i++) {
		try_at(&lease, bed_endpoint(&bed, i));
		try_at(&lease, bed_endpoint(&bed, i));
	}
	assert_int_equal(lease.tried_count, 3);
	for (int i = 0; i < 110; i++)
		for (size_t at = 0; at < 3; at++)
			counts[at] += pick(&bed, &lease) == bed_endpoint(&bed, at);
	assert_true(counts[0] > 0 && counts[1] > counts[0] && counts[2] > 0);
	bed_close(&bed);
}

static void test_prospects(void **state)
{
	struct upstream_lease lease;
	struct bed bed;

	three_open(&bed);
	upstream_lease_init(&lease);
	assert_int_equal(prospect(&bed, &lease, bed_endpoint(&bed, 0)), PROSPECT_OTHER);
	try_at(&lease, bed_endpoint(&bed, 0));
	assert_int_equal(prospect(&bed, &lease, bed_endpoint(&bed, 1)), PROSPECT_OTHER);
	/* Who gets no requests is no prospect. */
	endpoint_budget_set_out(bed_endpoint(&bed, 2)->budget, OUT_UNHEALTHY, true);
	assert_int_equal(prospect(&bed, &lease, bed_endpoint(&bed, 1)), PROSPECT_SAME);
	assert_ptr_not_equal(pick(&bed, &lease), bed_endpoint(&bed, 2));
	endpoint_budget_set_out(bed_endpoint(&bed, 0)->budget, OUT_UNHEALTHY, true);
	endpoint_budget_set_out(bed_endpoint(&bed, 1)->budget, OUT_UNHEALTHY, true);
	assert_int_equal(prospect(&bed, &lease, bed_endpoint(&bed, 1)), PROSPECT_NONE);
	assert_null(pick(&bed, &lease));
	bed_close(&bed);
}

static void test_budget_is_the_upstreams(void **state)
{
	struct upstream_lease lease;
	struct bed bed;

	bed_open(&bed, "retry: {min_retries_per_second: 2, budget: 0%}, endpoints: [{address: 127.0.0.1:81}]");
	upstream_lease_init(&lease);
	lease.picked = &bed_endpoint(&bed, 0)->name;
	assert_true(upstream_may_ask_again(bed.ups, &bed.config->upstreams[0], &lease));
	assert_true(upstream_may_ask_again(bed.ups, &bed.config->upstreams[0], &lease));
	assert_false(upstream_may_ask_again(bed.ups, &bed.config->upstreams[0], &lease));
	assert_int_equal(bed_endpoint(&bed, 0)->stats.retries_denied, 1);
	lease.picked = NULL;
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_another_one_is_picked),
		LOOP_TEST(test_all_were_tried),
		LOOP_TEST(test_prospects),
		LOOP_TEST(test_budget_is_the_upstreams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
