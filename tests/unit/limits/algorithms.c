/*
 * Token bucket, sliding window and concurrent requests, each against its definition: over many windows and bursts, at times drawn by
 * chance and in a stream that asks for more than there is.
 */
#include "limits.h"

static const struct limit_rule rates[] = {
	{.count = 100, .period_us = US_PER_S, .burst = 100},
	{.count = 100, .period_us = US_PER_S, .burst = 250},
	{.count = 10, .period_us = 60 * US_PER_S, .burst = 1},
	{.count = 7, .period_us = 100 * US_PER_MS, .burst = 3},
	{.count = 1000, .period_us = 3600 * US_PER_S, .burst = 1000},
	{.count = 333, .period_us = 7 * US_PER_S, .burst = 1000},
	{.count = 1, .period_us = LIMIT_PERIOD_MAX_US, .burst = 1},
	{.count = LIMIT_COUNT_MAX, .period_us = LIMIT_PERIOD_MIN_US, .burst = LIMIT_COUNT_MAX},
	{.count = LIMIT_COUNT_MAX, .period_us = LIMIT_PERIOD_MAX_US, .burst = LIMIT_COUNT_MAX},
};

/* --- token bucket -------------------------------------------------------------------------------------------------------- */

/* The definition: what has passed since a time when the bucket was full is below burst + count * t / period, and as much as that. */
static void assert_bucket(const struct limit_rule *rule, uint64_t gap_us)
{
	struct token_bucket b = {0};
	uint64_t passed = 0, span_us = 20 * rule->period_us;

	if (span_us / gap_us > 400000)
		span_us = gap_us * 400000;
	for (uint64_t t = 0; t <= span_us; t += gap_us) {
		uint64_t due = rule->burst + limit_scale(t, rule->count, rule->period_us);
		struct limit_answer answer = token_bucket_take(&b, rule, BEGIN_US + t);

		passed += answer.verdict == LIMIT_PASSES;
		assert_true(passed <= due);
		if (answer.verdict == LIMIT_PASSES)
			continue;
		assert_int_equal(passed, due);
		assert_int_equal(answer.remaining, 0);
		assert_true(answer.retry_us > 0);
	}
}

static void test_bucket_is_exact(void **state)
{
	for (size_t i = 0; i < COUNT(rates); i++) {
		uint64_t token_us = limit_divide_up(rates[i].period_us, rates[i].count);

		assert_bucket(&rates[i], token_us);
		assert_bucket(&rates[i], token_us / 3 + 1);
		assert_bucket(&rates[i], token_us * 7 / 5 + 1);
	}
}

/* What a bucket of real numbers would do, in bursts and pauses. */
static void test_bucket_over_bursts(void **state)
{
	for (size_t i = 0; i < COUNT(rates); i++) {
		const struct limit_rule *rule = &rates[i];
		struct chance chance = {.seed = i};
		struct token_bucket b = {0};
		long double level = rule->burst;
		uint64_t now_us = BEGIN_US, passed = 0, expected = 0;

		for (unsigned burst = 0; burst < 300; burst++) {
			uint64_t pause_us = draw(&chance, 3 * rule->period_us);

			now_us += pause_us;
			level += (long double)pause_us * rule->count / rule->period_us;
			level = level > rule->burst ? rule->burst : level;
			for (uint64_t n = draw(&chance, 500); n > 0; n--) {
				passed += token_bucket_take(&b, rule, now_us).verdict == LIMIT_PASSES;
				/* Only rounding of the real numbers could part them. */
				expected += level >= 1 - 1e-9L;
				level -= level >= 1 - 1e-9L;
			}
		}
		assert_int_equal(passed, expected);
	}
}

static void test_bucket_tells(void **state)
{
	const struct limit_rule rule = {.count = 10, .period_us = US_PER_S, .burst = 3};
	struct token_bucket b = {0};
	struct limit_answer answer = token_bucket_take(&b, &rule, BEGIN_US);

	assert_int_equal(answer.verdict, LIMIT_PASSES);
	assert_int_equal(answer.remaining, 2);
	assert_int_equal(answer.reset_us, 100 * US_PER_MS);
	token_bucket_take(&b, &rule, BEGIN_US);
	token_bucket_take(&b, &rule, BEGIN_US);
	answer = token_bucket_take(&b, &rule, BEGIN_US + 30 * US_PER_MS);
	assert_int_equal(answer.verdict, LIMIT_REFUSED);
	assert_int_equal(answer.retry_us, 70 * US_PER_MS);
	assert_int_equal(answer.reset_us, 270 * US_PER_MS);
	assert_false(token_bucket_is_fresh(&b, &rule, BEGIN_US + 299 * US_PER_MS));
	assert_true(token_bucket_is_fresh(&b, &rule, BEGIN_US + 300 * US_PER_MS));
	/* It is true what it says. */
	assert_int_equal(token_bucket_take(&b, &rule, BEGIN_US + 100 * US_PER_MS - 1).verdict, LIMIT_REFUSED);
	assert_int_equal(token_bucket_take(&b, &rule, BEGIN_US + 100 * US_PER_MS).verdict, LIMIT_PASSES);
}

/* A worker whose clock is behind gets nothing twice, and loses nothing. */
static void test_bucket_of_clocks_apart(void **state)
{
	const struct limit_rule rule = {.count = 1000, .period_us = US_PER_S, .burst = 5};
	struct chance chance = {.seed = 9};
	struct token_bucket b = {0};
	uint64_t passed = 0;

	for (uint64_t t = 0; t <= 10 * US_PER_S; t += 100)
		passed += token_bucket_take(&b, &rule, BEGIN_US + t - (t > 0 ? draw(&chance, 5000) : 0)).verdict ==
		          LIMIT_PASSES;
	assert_in_range(passed, 10005 - 5, 10005);
}

/* --- sliding window ------------------------------------------------------------------------------------------------------ */

/* The definition, told with real numbers. */
struct window_model {
	uint64_t *times;
	size_t count;
};

static bool model_takes(struct window_model *m, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t part_us = rule->period_us / SLIDING_PARTS, now_part = now_us / part_us;
	long double weight = 0, left = (long double)(part_us - now_us % part_us) / part_us;

	for (size_t i = m->count; i-- > 0;) {
		uint64_t age = now_part - m->times[i] / part_us;

		if (age > SLIDING_PARTS)
			break;
		weight += age == SLIDING_PARTS ? left : 1;
	}
	if (weight + 1 > rule->count + 1e-9L)
		return false;
	m->times[m->count++] = now_us;
	return true;
}

static void test_window_over_bursts(void **state)
{
	static const struct limit_rule rules[] = {{.count = 100, .period_us = US_PER_S},
		{.count = 10, .period_us = 60 * US_PER_S}, {.count = 1, .period_us = US_PER_S},
		{.count = 37, .period_us = 100 * US_PER_MS}, {.count = 500, .period_us = 3600 * US_PER_S}};

	for (size_t i = 0; i < COUNT(rules); i++) {
		struct chance chance = {.seed = i};
		struct sliding_window w = {0};
		struct window_model model = {.times = calloc(100000, sizeof(uint64_t))};
		uint64_t now_us = BEGIN_US;

		for (unsigned burst = 0; burst < 600; burst++) {
			now_us += draw(&chance, rules[i].period_us / (1 + draw(&chance, 20)));
			for (uint64_t n = draw(&chance, 100); n > 0; n--) {
				bool passes = sliding_window_take(&w, &rules[i], now_us).verdict == LIMIT_PASSES;

				assert_int_equal(passes, model_takes(&model, &rules[i], now_us));
			}
		}
		assert_true(model.count > 30);
		free(model.times);
	}
}

/* While more is asked for, exactly so many pass in each period, wherever one begins to count, once it has settled. */
static void test_window_at_its_limit(void **state)
{
	const struct limit_rule rule = {.count = 120, .period_us = US_PER_S};
	struct sliding_window w = {0};
	uint64_t passed[50] = {0};

	for (uint64_t t = 0; t < 50 * US_PER_S; t += 1000)
		passed[t / US_PER_S] += sliding_window_take(&w, &rule, BEGIN_US + t).verdict == LIMIT_PASSES;
	for (size_t i = 1; i < COUNT(passed); i++)
		assert_in_range(passed[i], 119, 121);
}

/* However they come, seven eighths of a period see no more. */
static void test_window_never_more_in_seven_eighths(void **state)
{
	const struct limit_rule rule = {.count = 50, .period_us = 800 * US_PER_MS};
	struct chance chance = {.seed = 4};
	struct sliding_window w = {0};
	uint64_t times[50] = {0}, now_us = BEGIN_US;
	size_t passed = 0;

	for (unsigned i = 0; i < 200000; i++) {
		now_us += draw(&chance, 5) == 0 ? draw(&chance, 100 * US_PER_MS) : draw(&chance, 100);
		if (sliding_window_take(&w, &rule, now_us).verdict != LIMIT_PASSES)
			continue;
		assert_true(passed < 50 || now_us - times[passed % 50] >= 700 * US_PER_MS);
		times[passed++ % 50] = now_us;
	}
	assert_true(passed > 10000);
}

static void test_window_tells(void **state)
{
	const struct limit_rule rule = {.count = 4, .period_us = 8 * US_PER_S};
	uint64_t begin_us = 80 * US_PER_S;
	struct sliding_window w = {0};
	struct limit_answer answer = sliding_window_take(&w, &rule, begin_us + US_PER_S / 2);

	assert_int_equal(answer.verdict, LIMIT_PASSES);
	assert_int_equal(answer.remaining, 3);
	assert_int_equal(answer.reset_us, 9 * US_PER_S - US_PER_S / 2);
	for (unsigned i = 0; i < 3; i++)
		answer = sliding_window_take(&w, &rule, begin_us + 3 * US_PER_S);
	assert_int_equal(answer.remaining, 0);
	answer = sliding_window_take(&w, &rule, begin_us + 4 * US_PER_S);
	assert_int_equal(answer.verdict, LIMIT_REFUSED);
	/* The first one has slid out as a whole after 9s: so long must one wait. */
	assert_int_equal(answer.retry_us, 5 * US_PER_S);
	assert_int_equal(answer.reset_us, 8 * US_PER_S);
	assert_int_equal(sliding_window_take(&w, &rule, begin_us + 9 * US_PER_S - 1).verdict, LIMIT_REFUSED);
	assert_false(sliding_window_is_fresh(&w, &rule, begin_us + 12 * US_PER_S - 1));
	assert_true(sliding_window_is_fresh(&w, &rule, begin_us + 12 * US_PER_S));
	assert_int_equal(sliding_window_take(&w, &rule, begin_us + 9 * US_PER_S).verdict, LIMIT_PASSES);
}

/* When it says that one may come again, one may; and not before. */
static void test_retry_is_true(void **state)
{
	struct chance chance = {.seed = 5};

	for (unsigned run = 0; run < 300; run++) {
		struct limit_rule rule = {.count = 1 + (uint32_t)draw(&chance, 30), .period_us = 800 * US_PER_MS};
		struct token_bucket b = {0};
		struct sliding_window w = {0};
		uint64_t now_us = BEGIN_US;

		rule.burst = 1 + (uint32_t)draw(&chance, 30);
		for (unsigned i = 0; i < 100; i++) {
			struct limit_answer bucket = token_bucket_take(&b, &rule, now_us),
					    window = sliding_window_take(&w, &rule, now_us);
			struct token_bucket b2 = b, b3 = b;
			struct sliding_window w2 = w, w3 = w;

			if (bucket.verdict == LIMIT_REFUSED) {
				assert_int_equal(token_bucket_take(&b2, &rule, now_us + bucket.retry_us - 1).verdict,
					LIMIT_REFUSED);
				assert_int_equal(
					token_bucket_take(&b3, &rule, now_us + bucket.retry_us).verdict, LIMIT_PASSES);
			}
			if (window.verdict == LIMIT_REFUSED) {
				assert_int_equal(sliding_window_take(&w2, &rule, now_us + window.retry_us - 1).verdict,
					LIMIT_REFUSED);
				assert_int_equal(sliding_window_take(&w3, &rule, now_us + window.retry_us).verdict,
					LIMIT_PASSES);
			}
			now_us += draw(&chance, 50 * US_PER_MS);
		}
	}
}

static void test_window_of_clocks_apart(void **state)
{
	const struct limit_rule rule = {.count = 100, .period_us = US_PER_S};
	struct chance chance = {.seed = 9};
	struct sliding_window w = {0};
	uint64_t passed = 0;

	for (uint64_t t = 0; t < 20 * US_PER_S; t += 1000)
		passed += sliding_window_take(&w, &rule, BEGIN_US + t - draw(&chance, 5000)).verdict == LIMIT_PASSES;
	assert_in_range(passed, 1990, 2100);
}

/* --- concurrent ---------------------------------------------------------------------------------------------------------- */

static void test_concurrent(void **state)
{
	const struct limit_rule rule = {.kind = LIMIT_CONCURRENT, .count = 3};
	struct concurrent c = {0};

	for (unsigned i = 0; i < 3; i++) {
		struct limit_answer answer = concurrent_take(&c, &rule);

		assert_int_equal(answer.verdict, LIMIT_PASSES);
		assert_int_equal(answer.remaining, 2 - i);
	}
	assert_int_equal(concurrent_take(&c, &rule).verdict, LIMIT_REFUSED);
	concurrent_leave(&c);
	assert_int_equal(concurrent_take(&c, &rule).verdict, LIMIT_PASSES);
	for (unsigned i = 0; i < 3; i++) {
		assert_false(concurrent_is_fresh(&c));
		concurrent_leave(&c);
	}
	assert_true(concurrent_is_fresh(&c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket_is_exact),
		cmocka_unit_test(test_bucket_over_bursts),
		cmocka_unit_test(test_bucket_tells),
		cmocka_unit_test(test_bucket_of_clocks_apart),
		cmocka_unit_test(test_window_over_bursts),
		cmocka_unit_test(test_window_at_its_limit),
		cmocka_unit_test(test_window_never_more_in_seven_eighths),
		cmocka_unit_test(test_window_tells),
		cmocka_unit_test(test_window_of_clocks_apart),
		cmocka_unit_test(test_retry_is_true),
		cmocka_unit_test(test_concurrent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
