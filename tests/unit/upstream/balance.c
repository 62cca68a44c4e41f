/* Who is picked, without a connection being made. */
#include "bed.h"

static struct endpoint *pick(struct bed *bed)
{
	return balance_pick(group_of(bed->ups, &bed->config->upstreams[0]), &(struct upstream_lease){0});
}

static size_t index_of(const struct bed *bed, const struct endpoint *ep)
{
	size_t i = 0;

	while (bed_endpoint(bed, i) != ep)
		i++;
	return i;
}

static size_t pick_index(struct bed *bed)
{
	return index_of(bed, pick(bed));
}

/* The known sequence for weights 5, 1, 1: the heavy one is spread, not bunched. */
static void test_round_robin_is_smooth(void **state)
{
	static const size_t expected[] = {0, 0, 1, 0, 2, 0, 0};
	struct bed bed;

	bed_open(&bed, "balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81, weight: 5}, "
		       "{address: 127.0.0.1:82}, {address: 127.0.0.1:83}]");
	for (size_t round = 0; round < 3; round++)
		for (size_t i = 0; i < COUNT(expected); i++)
			assert_int_equal(pick_index(&bed), expected[i]);
	bed_close(&bed);
}

/* Over any window of the sum of weights each has its weight, exactly; and every picture repeats after it. */
static void test_round_robin_is_exact(void **state)
{
	enum { SUM = 7 + 3 + 1 + 12, ROUNDS = 5 };
	static const size_t weights[] = {7, 3, 1, 12};
	size_t picks[SUM * ROUNDS];
	struct bed bed;

	bed_open(&bed, "balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81, weight: 7}, "
		       "{address: 127.0.0.1:82, weight: 3}, {address: 127.0.0.1:83, weight: 1}, "
		       "{address: 127.0.0.1:84, weight: 12}]");
	for (size_t i = 0; i < COUNT(picks); i++)
		picks[i] = pick_index(&bed);
	for (size_t from = 0; from + SUM <= COUNT(picks); from++) {
		size_t counts[COUNT(weights)] = {0};

		for (size_t i = from; i < from + SUM; i++)
			counts[picks[i]]++;
		for (size_t i = 0; i < COUNT(weights); i++)
			assert_int_equal(counts[i], weights[i]);
	}
	bed_close(&bed);
}

static void test_one_endpoint(void **state)
{
	struct bed bed;

	bed_open(&bed, "balance: {policy: round_robin}, endpoints: [{address: 127.0.0.1:81}]");
	for (int i = 0; i < 10; i++)
		assert_int_equal(pick_index(&bed), 0);
	bed_close(&bed);
}

/* Equals take turns. */
static void test_least_request_of_equals(void **state)
{
	struct bed bed;
	size_t last;

	bed_open(&bed, "balance: {policy: least_request}, endpoints: [{address: 127.0.0.1:81}, "
		       "{address: 127.0.0.1:82}, {address: 127.0.0.1:83}]");
	last = pick_index(&bed);
	for (int i = 0; i < 10; i++) {
		size_t next = pick_index(&bed);

		assert_int_equal(next, (last + 1) % 3);
		last = next;
	}
	bed_close(&bed);
}

/* Whatever is under way, nobody with less to do for its weight is passed over. */
static void test_least_request_is_least(void **state)
{
	struct bed bed;
	uint64_t chance = 1;

	bed_open(&bed, "balance: {policy: least_request}, endpoints: [{address: 127.0.0.1:81, weight: 5}, "
		       "{address: 127.0.0.1:82, weight: 1}, {address: 127.0.0.1:83, weight: 3}]");
	struct endpoint **eps = bed.ups->roster->groups[0]->endpoints;
	for (int i = 0; i < 10000; i++) {
		struct endpoint *picked = pick(&bed);

		for (size_t j = 0; j < 3; j++)
			assert_true((uint64_t)(picked->active + 1) * eps[j]->weight <=
				    (uint64_t)(eps[j]->active + 1) * picked->weight);
		picked->active++;
		chance = chance * 6364136223846793005ULL + 1442695040888963407ULL;
		struct endpoint *released = eps[(chance >> 33) % 3];
		if ((chance >> 40) % 2 == 0 && released->active > 0)
			released->active--;
	}
	for (size_t j = 0; j < 3; j++)
		eps[j]->active = 0;
	bed_close(&bed);
}

/* With nobody released the load goes by weight. */
static void test_least_request_goes_by_weight(void **state)
{
	struct bed bed;

	bed_open(&bed, "balance: {policy: least_request}, endpoints: [{address: 127.0.0.1:81, weight: 5}, "
		       "{address: 127.0.0.1:82, weight: 1}, {address: 127.0.0.1:83, weight: 4}]");
	struct endpoint **eps = bed.ups->roster->groups[0]->endpoints;
	for (int i = 0; i < 1000; i++)
		pick(&bed)->active++;
	assert_int_equal(eps[0]->active, 500);
	assert_int_equal(eps[1]->active, 100);
	assert_int_equal(eps[2]->active, 400);
	for (size_t j = 0; j < 3; j++)
		eps[j]->active = 0;
	bed_close(&bed);
}

/* Leases that wait are counted like those that are held. */
static void test_leases_are_active(void **state)
{
	struct user users[4];
	size_t seen[2] = {0};
	struct bed bed;

	bed_open(&bed, "balance: {policy: least_request}, pool: {max_connections: 1}, "
		       "endpoints: [{address: 127.0.0.1:81}, {address: 127.0.0.1:82}]");
	for (size_t i = 0; i < COUNT(users); i++) {
		assert_int_equal(user_ask(&users[i], &bed), UPSTREAM_PENDING);
		seen[index_of(&bed, users[i].lease.endpoint)]++;
	}
	assert_int_equal(seen[0], 2);
	assert_int_equal(seen[1], 2);
	for (size_t i = 0; i < COUNT(users); i++)
		user_drop(&users[i], &bed);
	assert_int_equal(bed_endpoint(&bed, 0)->active, 0);
	assert_int_equal(bed_endpoint(&bed, 1)->active, 0);
	bed_close(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(test_round_robin_is_smooth),
		LOOP_TEST(test_round_robin_is_exact),
		LOOP_TEST(test_one_endpoint),
		LOOP_TEST(test_least_request_of_equals),
		LOOP_TEST(test_least_request_is_least),
		LOOP_TEST(test_least_request_goes_by_weight),
		LOOP_TEST(test_leases_are_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
