/*
 * The leaky bucket: what leaves it is even, nobody waits longer than allowed, and whoever leaves makes room. Those that wait are
 * kept here, as the filter does.
 */
#include "limits.h"

static const struct limit_rule tens = {
	.kind = LIMIT_LEAKY_BUCKET, .count = 10, .period_us = US_PER_S, .delay_max_us = 500 * US_PER_MS};

static void test_even(void **state)
{
	static const struct limit_rule rules[] = {
		{.count = 10, .period_us = US_PER_S, .delay_max_us = 500 * US_PER_MS},
		{.count = 3, .period_us = US_PER_S, .delay_max_us = 5 * US_PER_S},
		{.count = 7, .period_us = 60 * US_PER_S, .delay_max_us = 20 * US_PER_S},
		{.count = 1000, .period_us = US_PER_S, .delay_max_us = US_PER_S},
		{.count = LIMIT_COUNT_MAX, .period_us = LIMIT_PERIOD_MIN_US, .delay_max_us = US_PER_MS},
	};

	for (size_t i = 0; i < COUNT(rules); i++) {
		const struct limit_rule *rule = &rules[i];
		struct leaky_bucket b = {0};
		struct chance chance = {.seed = i};
		uint64_t now_us = BEGIN_US, last_us = 0, taken = 0;

		for (unsigned n = 0; n < 20000; n++) {
			struct limit_slot slot;
			struct limit_answer answer = leaky_bucket_take(&b, rule, now_us, &slot);
			uint64_t leaves_us = now_us + answer.wait_us;

			if (answer.verdict == LIMIT_REFUSED) {
				assert_true(answer.retry_us > 0);
				now_us += answer.retry_us;
				continue;
			}
			assert_true(answer.wait_us <= rule->delay_max_us);
			assert_int_equal(answer.verdict, answer.wait_us > 0 ? LIMIT_WAITS : LIMIT_PASSES);
			/* As far apart as the rate says, but for a microsecond. */
			assert_true(taken == 0 || leaves_us + 1 >= last_us + rule->period_us / rule->count);
			last_us = leaves_us;
			taken++;
			if (draw(&chance, 50) == 0)
				now_us += draw(&chance, 3 * rule->delay_max_us);
		}
		assert_true(taken > 5000);
	}
}

/* Always full: exactly so many leave in each second, of a rate that does not divide it. */
static void test_rate_is_exact(void **state)
{
	const struct limit_rule rule = {.count = 7, .period_us = US_PER_S, .delay_max_us = US_PER_S};
	struct leaky_bucket b = {0};
	uint64_t left = 0;

	for (uint64_t t = 0; t <= 1000 * US_PER_S; t += 10 * US_PER_MS) {
		struct limit_slot slot;
		struct limit_answer answer = leaky_bucket_take(&b, &rule, BEGIN_US + t, &slot);

		left += answer.verdict != LIMIT_REFUSED && t + answer.wait_us <= 1000 * US_PER_S;
	}
	assert_int_equal(left, 7001);
}

static void test_tells(void **state)
{
	struct leaky_bucket b = {0};
	struct limit_slot slot;
	struct limit_answer answer = leaky_bucket_take(&b, &tens, BEGIN_US, &slot);

	assert_int_equal(answer.verdict, LIMIT_PASSES);
	assert_int_equal(answer.remaining, 5);
	assert_int_equal(answer.reset_us, 100 * US_PER_MS);
	for (unsigned i = 1; i <= 5; i++) {
		answer = leaky_bucket_take(&b, &tens, BEGIN_US, &slot);
		assert_int_equal(answer.verdict, LIMIT_WAITS);
		assert_int_equal(answer.wait_us, i * 100 * US_PER_MS);
		assert_int_equal(answer.remaining, 5 - i);
	}
	answer = leaky_bucket_take(&b, &tens, BEGIN_US + 30 * US_PER_MS, &slot);
	assert_int_equal(answer.verdict, LIMIT_REFUSED);
	assert_int_equal(answer.retry_us, 70 * US_PER_MS);
	assert_int_equal(answer.reset_us, 570 * US_PER_MS);
	assert_false(leaky_bucket_is_fresh(&b, &tens, BEGIN_US + 599 * US_PER_MS));
	assert_true(leaky_bucket_is_fresh(&b, &tens, BEGIN_US + 600 * US_PER_MS));
}

/* The last one's place is the tail's again; one in the middle is the next one's who comes. */
static void test_leaving(void **state)
{
	struct leaky_bucket b = {0};
	struct limit_slot slots[6], again;

	for (unsigned i = 0; i < 6; i++)
		leaky_bucket_take(&b, &tens, BEGIN_US, &slots[i]);
	leaky_bucket_leave(&b, &tens, BEGIN_US, &slots[5]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US, &again).wait_us, 500 * US_PER_MS);
	leaky_bucket_leave(&b, &tens, BEGIN_US, &slots[2]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US, &again).wait_us, 200 * US_PER_MS);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US, &again).verdict, LIMIT_REFUSED);
	/* All of them, from the front: nothing is left but the first slot, which is spent. */
	for (unsigned i = 0; i < 6; i++)
		leaky_bucket_leave(&b, &tens, BEGIN_US, &slots[i]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US, &again).wait_us, 100 * US_PER_MS);
}

/* A slot is spent when its time has come, and one of an earlier queue is nothing. */
static void test_leaving_late(void **state)
{
	struct leaky_bucket b = {0};
	struct limit_slot slots[3], again;

	for (unsigned i = 0; i < 3; i++)
		leaky_bucket_take(&b, &tens, BEGIN_US, &slots[i]);
	leaky_bucket_leave(&b, &tens, BEGIN_US + 100 * US_PER_MS, &slots[1]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US + 100 * US_PER_MS, &again).wait_us, 200 * US_PER_MS);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US + 5 * US_PER_S, &again).wait_us, 0);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US + 5 * US_PER_S, &again).wait_us, 100 * US_PER_MS);
	leaky_bucket_leave(&b, &tens, BEGIN_US + 5 * US_PER_S, &slots[1]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US + 5 * US_PER_S, &again).wait_us, 200 * US_PER_MS);
}

/* A hole whose time is over is nobody's. */
static void test_hole_that_is_over(void **state)
{
	struct leaky_bucket b = {0};
	struct limit_slot slots[6], again;

	for (unsigned i = 0; i < 6; i++)
		leaky_bucket_take(&b, &tens, BEGIN_US, &slots[i]);
	leaky_bucket_leave(&b, &tens, BEGIN_US, &slots[2]);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US + 250 * US_PER_MS, &again).wait_us, 350 * US_PER_MS);
}

enum { WAITERS_MAX = 2000 };

/* Comings and leavings by chance, in queues shorter and longer than what is known of holes: no slot is ever two's. */
static void check_slots(const struct limit_rule *rule, uint64_t seed)
{
	static uint64_t times[WAITERS_MAX];
	static struct limit_slot slots[WAITERS_MAX];
	struct chance chance = {.seed = seed};
	struct leaky_bucket b = {0};
	uint64_t now_us = BEGIN_US;
	size_t n = 0;

	for (unsigned i = 0; i < 40000; i++) {
		struct limit_slot slot;

		now_us += draw(&chance, 8) == 0 ? draw(&chance, rule->period_us / rule->count * 8) : 0;
		for (size_t k = 0; k < n;)
			if (times[k] <= now_us) {
				times[k] = times[--n];
				slots[k] = slots[n];
			} else {
				k++;
			}
		if (n > 0 && draw(&chance, 3) == 0) {
			size_t k = draw(&chance, n);

			leaky_bucket_leave(&b, rule, now_us, &slots[k]);
			times[k] = times[--n];
			slots[k] = slots[n];
			continue;
		}
		struct limit_answer answer = leaky_bucket_take(&b, rule, now_us, &slot);

		if (answer.verdict == LIMIT_REFUSED)
			continue;
		assert_true(answer.wait_us <= rule->delay_max_us);
		for (size_t k = 0; k < n; k++) {
			uint64_t apart = times[k] > now_us + answer.wait_us ? times[k] - now_us - answer.wait_us
			                                                    : now_us + answer.wait_us - times[k];

			assert_true(apart + 1 >= rule->period_us / rule->count);
		}
		if (answer.verdict == LIMIT_WAITS) {
			assert_true(n < WAITERS_MAX);
			times[n] = now_us + answer.wait_us;
			slots[n++] = slot;
		}
	}
}

static void test_no_slot_is_two_peoples(void **state)
{
	const struct limit_rule rules[] = {tens, {.count = 3, .period_us = US_PER_S, .delay_max_us = 5 * US_PER_S},
		{.count = 100, .period_us = US_PER_S, .delay_max_us = 10 * US_PER_S}};

	for (size_t i = 0; i < COUNT(rules); i++)
		for (uint64_t seed = 0; seed < 3; seed++)
			check_slots(&rules[i], seed);
}

static void test_clocks_apart(void **state)
{
	struct leaky_bucket b = {0};
	struct limit_slot slot;

	leaky_bucket_take(&b, &tens, BEGIN_US, &slot);
	/* 5 ms behind the one whose request was let pass at BEGIN_US. */
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US - 5000, &slot).wait_us, 105 * US_PER_MS);
	leaky_bucket_leave(&b, &tens, BEGIN_US - 5000, &slot);
	assert_int_equal(leaky_bucket_take(&b, &tens, BEGIN_US, &slot).wait_us, 100 * US_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_tells),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_leaving_late),
		cmocka_unit_test(test_hole_that_is_over),
		cmocka_unit_test(test_no_slot_is_two_peoples),
		cmocka_unit_test(test_clocks_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
