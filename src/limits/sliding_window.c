/*
 * Sliding window: at most `count` requests in the period that ends now. Time is cut into parts, eight to a period, and each has a
 * counter. The window covers the eight latest ones, as far as the current one has come, and of a ninth what has not slid out yet:
 * of that one's requests as large a share counts, as though they had come evenly.
 *
 *          |  9th  |       |       |       |       |       |       |       |  now  |
 *               [---------------------- the window ----------------------------]
 *
 * While more is asked for, exactly `count` pass in each period. No seven eighths of a period ever see more than `count`.
 *
 * Source: J. Desgats, "How we built rate limiting capable of scaling to millions of domains", Cloudflare, 2017, which has the share
 * of the part that slides out, with one part to a period; with more of them the share is of less.
 *
 * Weak points: it does not know when within a part its requests came. Who sends all of it at a part's end gets it again after
 * seven eighths of a period and then, as that part slides out, so that one whole period may see up to twice `count`. Refused
 * requests do not count. The parts begin at multiples of the clock, for all keys at the same time.
 */
#include "limits/rule.h"

#include <string.h>

enum { COUNTERS = SLIDING_PARTS + 1 };

static uint64_t part_us(const struct limit_rule *rule)
{
	return rule->period_us / SLIDING_PARTS;
}

/* Of `age` parts before the latest. */
static uint32_t *count_of(struct sliding_window *w, unsigned age)
{
	return &w->counts[(w->part + COUNTERS - age) % COUNTERS];
}

/* Returns the time, which does not go back behind the latest part. */
static uint64_t advance(struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t part = now_us / part_us(rule);

	if (part < w->part)
		return w->part * part_us(rule);
	if (part - w->part >= COUNTERS) {
		memset(w->counts, 0, sizeof(w->counts));
		w->part = part;
	}
	while (w->part < part) {
		w->part++;
		*count_of(w, 0) = 0;
	}
	return now_us;
}

/* What counts now, in requests times part_us; `left_us`: what of the part that slides out is still inside. */
static uint64_t weigh(struct sliding_window *w, const struct limit_rule *rule, uint64_t left_us)
{
	uint64_t whole = 0;

	for (unsigned age = 0; age < SLIDING_PARTS; age++)
		whole += *count_of(w, age);
	return whole * part_us(rule) + *count_of(w, SLIDING_PARTS) * left_us;
}

/* When so much has slid out. */
static uint64_t slides_after(struct sliding_window *w, const struct limit_rule *rule, uint64_t left_us, uint64_t weight)
{
	uint64_t after_us = 0, span_us = left_us;

	for (unsigned age = COUNTERS; age-- > 0; span_us = part_us(rule)) {
		uint64_t count = *count_of(w, age);

		if (weight <= count * span_us)
			return after_us + (count > 0 ? limit_divide_up(weight, count) : 0);
		weight -= count * span_us;
		after_us += span_us;
	}
	return after_us;
}

/* When everything has. */
static uint64_t empty_after(const struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us)
{
	for (unsigned age = 0; age < COUNTERS && age <= w->part; age++) {
		uint64_t empty_us = (w->part - age + COUNTERS) * part_us(rule);

		if (w->counts[(w->part + COUNTERS - age) % COUNTERS] > 0)
			return empty_us > now_us ? empty_us - now_us : 0;
	}
	return 0;
}

struct limit_answer sliding_window_take(struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us)
{
	uint64_t time_us = advance(w, rule, now_us);
	uint64_t one = part_us(rule), left_us = one - time_us % one;
	uint64_t weight = weigh(w, rule, left_us), full = rule->count * one;
	struct limit_answer answer = {.verdict = LIMIT_PASSES};

	if (weight + one <= full) {
		(*count_of(w, 0))++;
		weight += one;
	} else {
		answer.verdict = LIMIT_REFUSED;
		answer.retry_us = slides_after(w, rule, left_us, weight + one - full);
	}
	answer.remaining = weight < full ? (full - weight) / one : 0;
	answer.reset_us = empty_after(w, rule, now_us);
	return answer;
}

bool sliding_window_is_fresh(const struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us)
{
	return empty_after(w, rule, now_us) == 0;
}
