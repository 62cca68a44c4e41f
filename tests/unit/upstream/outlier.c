/* Who stands out: known numbers, and ten modelled endpoints of which one or more are bad. */
#include "../base/unit.h"

#include <stdlib.h>

#include "upstream/outlier.h"

#define MS 1000u

static const struct outlier_rules rules = {.error_percent = 25, .slow_factor = 5, .slow_margin_us = 10 * MS, .results_min = 20};

enum { ENDPOINTS = 10 };

static struct outlier_tally tallies[ENDPOINTS];
static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((seed >> 33) % n);
}

static void begin(uint64_t with)
{
	seed = with;
	memset(tallies, 0, sizeof(tallies));
}

/* So many requests, of which `percent` fail and the others take about that long: up to twice, one in ten up to ten times. */
static void serve(struct outlier_tally *t, unsigned requests, unsigned percent, uint32_t us)
{
	for (unsigned i = 0; i < requests; i++) {
		uint32_t took = us + random_below(us);

		if (random_below(100) < percent)
			t->failures++;
		else
			outlier_count_answer(t, random_below(10) == 0 ? took * 5ULL : took);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static enum outlier_verdict judge(unsigned which, unsigned count)
{
	struct outlier_tally all = {0};
	struct outlier_evidence evidence;
	uint32_t medians[ENDPOINTS], own = outlier_median_us(&tallies[which], 10);

	for (unsigned i = 0; i < count; i++) {
		outlier_sum(&all, &tallies[i]);
		medians[i] = outlier_median_us(&tallies[i], 10);
	}
	qsort(medians, count, sizeof(*medians), compare);
	return outlier_judge(&rules, &tallies[which], &all, outlier_typical_us(medians, count, own), &evidence);
}

static void test_steps_hold_what_they_say(void **state)
{
	assert_int_equal(outlier_step(0), 0);
	assert_int_equal(outlier_step(63), 0);
	assert_int_equal(outlier_step(64), 1);
	assert_int_equal(outlier_step(79), 1);
	assert_int_equal(outlier_step(80), 2);
	assert_int_equal(outlier_step(128), 5);
	assert_int_equal(outlier_step(UINT64_MAX), OUTLIER_WAITS - 1);
	for (uint32_t us = 64; us < 30000000; us += 1 + us / 100) {
		struct outlier_tally t = {0};

		outlier_count_answer(&t, us);
		assert_in_range(outlier_median_us(&t, 1), us * 4ULL / 5, us);
	}
}

static void test_medians(void **state)
{
	static const uint32_t sorted[] = {0, 0, 10, 20, 30};
	struct outlier_tally t = {0};

	assert_int_equal(outlier_median_us(&t, 0), 0);
	for (unsigned i = 0; i < 9; i++)
		outlier_count_answer(&t, i < 5 ? 64 : 1024);
	assert_int_equal(outlier_median_us(&t, 9), 64);
	assert_int_equal(outlier_median_us(&t, 10), 0);
	/* What is not known does not count, and one is left out. */
	assert_int_equal(outlier_typical_us(sorted, 5, 0), 20);
	assert_int_equal(outlier_typical_us(sorted, 5, 10), 20);
	assert_int_equal(outlier_typical_us(sorted, 5, 20), 10);
	assert_int_equal(outlier_typical_us(sorted, 5, 30), 10);
	assert_int_equal(outlier_typical_us(sorted, 3, 10), 0);
	assert_int_equal(outlier_typical_us(sorted, 2, 0), 0);
}

/* Over many runs: the bad one always, and of the good ones none. */
static void test_one_of_ten(void **state)
{
	for (unsigned run = 0; run < 500; run++) {
		bool is_slow = run % 2 != 0;
		unsigned bad = run % ENDPOINTS;

		begin(run);
		for (unsigned i = 0; i < ENDPOINTS; i++)
			serve(&tallies[i], 100, i == bad && !is_slow ? 50 : 1, i == bad && is_slow ? 100 * MS : 5 * MS);
		for (unsigned i = 0; i < ENDPOINTS; i++)
			assert_int_equal(judge(i, ENDPOINTS),
				i != bad ? OUTLIER_NONE : is_slow ? OUTLIER_SLOW : OUTLIER_FAILS);
	}
}

/* One bad endpoint does not hide another: where the hosts' deviation counts, these would not be found. */
static void test_several_of_ten(void **state)
{
	for (unsigned run = 0; run < 100; run++) {
		begin(run);
		for (unsigned i = 0; i < ENDPOINTS; i++)
			serve(&tallies[i], 200, i < 3 ? 70 : 2, i == 3 ? 200 * MS : 5 * MS);
		for (unsigned i = 0; i < ENDPOINTS; i++)
			assert_int_equal(judge(i, ENDPOINTS), i < 3 ? OUTLIER_FAILS : i == 3 ? OUTLIER_SLOW : OUTLIER_NONE);
	}
}

static void test_one_of_two(void **state)
{
	begin(1);
	serve(&tallies[0], 40, 60, 5 * MS);
	serve(&tallies[1], 40, 0, 5 * MS);
	assert_int_equal(judge(0, 2), OUTLIER_FAILS);
	assert_int_equal(judge(1, 2), OUTLIER_NONE);
}

/* Alike, whatever they are like: many fail, few requests, waits of every length. Chance ejects next to nobody. */
static void test_nobody_of_equals(void **state)
{
	unsigned judged = 0, ejected = 0;

	for (unsigned run = 0; run < 2000; run++) {
		unsigned percent = run * 7 % 80, requests = 20 + run % 50;

		begin(run);
		for (unsigned i = 0; i < ENDPOINTS; i++)
			serve(&tallies[i], requests, percent, 1 * MS + run % 100 * MS);
		for (unsigned i = 0; i < ENDPOINTS; i++, judged++)
			ejected += judge(i, ENDPOINTS) != OUTLIER_NONE;
	}
	assert_true(ejected * 10000 <= judged * 3);
}

/* More than a third of its answers waited through a pause that is a hundred times as long. */
static void test_a_pause_is_not_slow(void **state)
{
	begin(7);
	for (unsigned i = 0; i < ENDPOINTS; i++)
		serve(&tallies[i], 100, 0, 2 * MS);
	for (unsigned i = 0; i < 60; i++)
		outlier_count_answer(&tallies[0], 200 * MS);
	assert_int_equal(judge(0, ENDPOINTS), OUTLIER_NONE);
}

static void serve_two_kinds(struct outlier_tally *t, unsigned quick, unsigned slow)
{
	for (unsigned i = 0; i < quick + slow; i++)
		outlier_count_answer(t, i < quick ? 2 * MS : 100 * MS);
}

/* Two kinds of requests: it had somewhat more of the slow ones. */
static void test_what_is_slow_everywhere_is_not_slow(void **state)
{
	begin(0);
	for (unsigned i = 0; i < ENDPOINTS; i++)
		serve_two_kinds(&tallies[i], i == 0 ? 90 : 120, i == 0 ? 110 : 80);
	assert_int_equal(judge(0, ENDPOINTS), OUTLIER_NONE);
	tallies[0] = (struct outlier_tally){0};
	serve_two_kinds(&tallies[0], 20, 180);
	assert_int_equal(judge(0, ENDPOINTS), OUTLIER_SLOW);
}

/* That none of twenty has failed does not say that none ever does. */
static void test_few_others_are_taken_with_doubt(void **state)
{
	begin(0);
	tallies[0] = (struct outlier_tally){.failures = 5, .unmeasured = 15};
	tallies[1] = (struct outlier_tally){.unmeasured = 20};
	assert_int_equal(judge(0, 2), OUTLIER_NONE);
	tallies[1].unmeasured = 2000;
	tallies[0].failures = 6;
	assert_int_equal(judge(0, 2), OUTLIER_FAILS);
}

static enum outlier_verdict judge_among(uint64_t others_us, uint64_t us)
{
	begin(0);
	for (unsigned i = 0; i < ENDPOINTS; i++)
		for (unsigned n = 0; n < 100; n++)
			outlier_count_answer(&tallies[i], i == 0 ? us : others_us);
	return judge(0, ENDPOINTS);
}

/* Forty times as long, and nobody could tell: fractions of what a scheduler gives at a time. */
static void test_less_than_the_margin_is_nothing(void **state)
{
	assert_int_equal(judge_among(200, 8 * MS), OUTLIER_NONE);
	assert_int_equal(judge_among(200, 16 * MS), OUTLIER_SLOW);
	/* The factor counts where it says more. */
	assert_int_equal(judge_among(8 * MS, 30 * MS), OUTLIER_NONE);
	assert_int_equal(judge_among(8 * MS, 60 * MS), OUTLIER_SLOW);
}

static void note(struct outlier_slowness *s, unsigned quick, unsigned slow, uint64_t now_us)
{
	struct outlier_tally fresh = {0};

	serve_two_kinds(&fresh, quick, slow);
	outlier_slowness_note(s, &fresh, now_us);
}

/* One pause makes as many slow answers as wait for its end, all at once. */
static void test_slow_must_last(void **state)
{
	struct outlier_slowness s = {0};
	uint64_t now_us = 7 * US_PER_S, end_us = now_us + OUTLIER_SLOW_US;

	/* What is slow is not known yet. */
	note(&s, 0, 100, now_us - OUTLIER_SLOW_US);
	note(&s, 0, 100, now_us - 1);
	assert_false(outlier_slowness_lasts(&s));
	s.mark_us = outlier_slow_mark_us(&rules, 2 * MS);
	note(&s, 0, 100, now_us);
	note(&s, 4, 5, end_us - 1);
	assert_false(outlier_slowness_lasts(&s));
	/* Nothing came, or what came has failed: that tells nothing of times. */
	outlier_slowness_note(&s, &(struct outlier_tally){.failures = 5, .unmeasured = 5}, end_us);
	note(&s, 0, 0, end_us);
	assert_false(outlier_slowness_lasts(&s));
	note(&s, 4, 5, end_us);
	assert_true(outlier_slowness_lasts(&s));
	/* Half of them is not most. It begins anew then. */
	note(&s, 5, 5, end_us + 1);
	assert_false(outlier_slowness_lasts(&s));
	note(&s, 0, 1, end_us + 2);
	note(&s, 0, 1, end_us + 1 + OUTLIER_SLOW_US);
	assert_false(outlier_slowness_lasts(&s));
	note(&s, 0, 1, end_us + 2 + OUTLIER_SLOW_US);
	assert_true(outlier_slowness_lasts(&s));
}

/* One slow answer, an hour of nothing, and one pause: neither of the two lasts, nor do both together. */
static void test_slow_does_not_outlive_silence(void **state)
{
	struct outlier_slowness s = {.mark_us = outlier_slow_mark_us(&rules, 2 * MS)};
	uint64_t now_us = 7 * US_PER_S, again_us = now_us + 3600 * US_PER_S;

	note(&s, 0, 1, now_us);
	note(&s, 0, 10, again_us);
	assert_false(outlier_slowness_lasts(&s));
	note(&s, 0, 10, again_us + OUTLIER_SLOW_US / 2);
	assert_false(outlier_slowness_lasts(&s));
	note(&s, 0, 10, again_us + OUTLIER_SLOW_US);
	assert_true(outlier_slowness_lasts(&s));
}

/* One answer in less than a second, seen when it is looked. */
static void test_few_answers_are_no_silence(void **state)
{
	struct outlier_slowness s = {.mark_us = outlier_slow_mark_us(&rules, 2 * MS)};
	uint64_t now_us = 7 * US_PER_S;

	note(&s, 0, 1, now_us);
	note(&s, 0, 1, now_us + 4 * (250 * MS + 75));
	assert_true(outlier_slowness_lasts(&s));
}

static void test_what_is_slow(void **state)
{
	struct outlier_rules off = {.slow_margin_us = 10 * MS};

	assert_int_equal(outlier_slow_mark_us(&rules, 1 * MS), 11 * MS);
	assert_int_equal(outlier_slow_mark_us(&rules, 4 * MS), 20 * MS);
	assert_int_equal(outlier_slow_mark_us(&rules, 0), 0);
	assert_int_equal(outlier_slow_mark_us(&off, 1 * MS), 0);
}

static void test_too_few_say_nothing(void **state)
{
	begin(3);
	for (unsigned i = 1; i < ENDPOINTS; i++)
		serve(&tallies[i], 100, 0, MS);
	tallies[0].failures = 19;
	assert_int_equal(judge(0, ENDPOINTS), OUTLIER_NONE);
	tallies[0].failures = 20;
	assert_int_equal(judge(0, ENDPOINTS), OUTLIER_FAILS);
	/* Nor do others that have none themselves. */
	assert_int_equal(judge(0, 1), OUTLIER_NONE);
}

static void test_each_rule_can_be_off(void **state)
{
	struct outlier_rules off = {.results_min = 20};
	struct outlier_tally own = {.failures = 100}, all = {.failures = 100, .unmeasured = 1000};
	struct outlier_evidence evidence;

	assert_int_equal(outlier_judge(&rules, &own, &all, 0, &evidence), OUTLIER_FAILS);
	assert_int_equal(evidence.bad, 100);
	assert_int_equal(evidence.others, 1000);
	assert_int_equal(outlier_judge(&off, &own, &all, MS, &evidence), OUTLIER_NONE);
}

static void test_what_all_have_in_common(void **state)
{
	struct outlier_tally own = {.failures = 5}, all = {.failures = 8, .unmeasured = 2};

	assert_true(outlier_is_common(&own, &all));
	all.unmeasured = 3;
	assert_false(outlier_is_common(&own, &all));
	all = (struct outlier_tally){.failures = 9};
	assert_false(outlier_is_common(&own, &all));
	assert_false(outlier_is_common(&own, &own));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps_hold_what_they_say),
		cmocka_unit_test(test_medians),
		cmocka_unit_test(test_one_of_ten),
		cmocka_unit_test(test_several_of_ten),
		cmocka_unit_test(test_one_of_two),
		cmocka_unit_test(test_nobody_of_equals),
		cmocka_unit_test(test_a_pause_is_not_slow),
		cmocka_unit_test(test_what_is_slow_everywhere_is_not_slow),
		cmocka_unit_test(test_few_others_are_taken_with_doubt),
		cmocka_unit_test(test_less_than_the_margin_is_nothing),
		cmocka_unit_test(test_slow_must_last),
		cmocka_unit_test(test_slow_does_not_outlive_silence),
		cmocka_unit_test(test_few_answers_are_no_silence),
		cmocka_unit_test(test_what_is_slow),
		cmocka_unit_test(test_too_few_say_nothing),
		cmocka_unit_test(test_each_rule_can_be_off),
		cmocka_unit_test(test_what_all_have_in_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
