/*
 * See outlier.h. An endpoint is compared with all others together, itself left out:
 *
 *   failing   the share of its requests that fail is beyond the others' by `error_percent`
 *   slow      more than half of its answers take longer than `slow_factor` times what is typical of the others, and longer by
 *             `slow_margin`, and that share is beyond the others' as well. Typical is the median of the others' medians
 *
 * and what it has beyond the others must be more than chance: DEVIATIONS times the standard deviation that so many requests
 * would have with the others' share.
 *
 * Source: Envoy's outlier detection (https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier), which
 * ejects a host whose success rate is below the mean of all by 1.9 standard deviations of the hosts' rates. What is different
 * here, and why: the endpoint itself is left out, and the deviation is that of chance, since with few hosts a bad one widens
 * the hosts' deviation so far that it cannot fall outside (of two or three none ever could); and there is a margin, since with
 * much traffic differences that harm nobody are beyond chance. Waits are judged by how many are long and not by their mean:
 * one pause makes a mean as long as it likes, and only some requests.
 *
 * Slow must last: most of what comes in OUTLIER_SLOW_US is, without a break. Few answers make a window, and all of them may have
 * waited through one pause, of a garbage collector or of a machine that had no processor to give; what failed in a pause has failed
 * all the same. Nor do two pauses make one that lasts: a longer silence is a break. And fractions of what a scheduler
 * gives at a time are no slowness at all, which is what the margin is for.
 *
 * Weak points: what is wrong with half of the endpoints at once is not seen. Where each endpoint serves another kind of
 * requests (a consistent hash), one kind that takes `slow_factor` times as long as all others looks like a slow endpoint. With
 * less than `results_min` requests in a window nothing is judged; failures in a row are (passive.c).
 */
#include "upstream/outlier.h"

enum { DEVIATIONS = 4, SLOW_PERCENT = 25 };

void outlier_sum(struct outlier_tally *to, const struct outlier_tally *from)
{
	to->failures += from->failures;
	to->unmeasured += from->unmeasured;
	for (size_t i = 0; i < OUTLIER_WAITS; i++)
		to->waits[i] += from->waits[i];
}

static uint64_t answers_measured(const struct outlier_tally *tally)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < OUTLIER_WAITS; i++)
		sum += tally->waits[i];
	return sum;
}

uint64_t outlier_results(const struct outlier_tally *tally)
{
	return (uint64_t)tally->failures + tally->unmeasured + answers_measured(tally);
}

/* The shortest wait of a step. */
static uint32_t step_us(unsigned step)
{
	unsigned octave = (step - 1) / OUTLIER_STEPS_IN_OCTAVE, quarter = (step - 1) % OUTLIER_STEPS_IN_OCTAVE;

	if (step == 0)
		return 1u << (OUTLIER_LEAST_LOG2 - 1);
	return (4 + quarter) << (octave + OUTLIER_LEAST_LOG2 - 2);
}

uint32_t outlier_median_us(const struct outlier_tally *tally, uint32_t least)
{
	uint64_t answers = answers_measured(tally), below = 0;

	if (answers == 0 || answers < least)
		return 0;
	for (unsigned i = 0; i < OUTLIER_WAITS; i++) {
		below += tally->waits[i];
		if (2 * below >= answers)
			return step_us(i);
	}
	return 0;
}

uint32_t outlier_typical_us(const uint32_t *medians, size_t count, uint32_t own)
{
	size_t first = 0, own_at;

	while (first < count && medians[first] == 0)
		first++;
	/* Of equal ones any may be left out. */
	for (own_at = first; own_at < count && medians[own_at] != own; own_at++)
		;

	bool is_in = own != 0 && own_at < count;
	size_t others = count - first - is_in;

	if (others == 0)
		return 0;

	size_t at = first + (others - 1) / 2;

	return medians[is_in && at >= own_at ? at + 1 : at];
}

/* How many answers took longer than that. */
static uint64_t slower_than(const struct outlier_tally *tally, uint64_t us)
{
	uint64_t sum = 0;

	for (unsigned i = outlier_step(us) + 1; i < OUTLIER_WAITS; i++)
		sum += tally->waits[i];
	return sum;
}

/*
 * Its share of bad ones is beyond that of the others by so many percent, and beyond chance. The others' share is counted as
 * if there had been one more of either kind: that of few is not taken for 0.
 */
static bool stands_out(const struct outlier_evidence *e, uint32_t percent, uint32_t least)
{
	double share = ((double)e->others_bad + 1) / ((double)e->others + 2);
	double beyond = (double)e->bad - (double)e->count * share;

	if (e->count < least || e->others < least || beyond <= 0 || beyond * 100 < (double)e->count * percent)
		return false;
	return beyond * beyond > DEVIATIONS * DEVIATIONS * (double)e->count * share * (1 - share);
}

static bool fails(const struct outlier_rules *rules, const struct outlier_tally *own, const struct outlier_tally *all,
	struct outlier_evidence *e)
{
	*e = (struct outlier_evidence){.bad = own->failures, .count = outlier_results(own)};
	e->others_bad = all->failures - own->failures;
	e->others = outlier_results(all) - e->count;
	return rules->error_percent > 0 && stands_out(e, rules->error_percent, rules->results_min);
}

uint64_t outlier_slow_mark_us(const struct outlier_rules *rules, uint32_t typical_us)
{
	uint64_t by_factor_us = (uint64_t)typical_us * rules->slow_factor, by_margin_us = typical_us + rules->slow_margin_us;

	if (by_factor_us == 0)
		return 0;
	return by_factor_us > by_margin_us ? by_factor_us : by_margin_us;
}

void outlier_slowness_note(struct outlier_slowness *slowness, const struct outlier_tally *fresh, uint64_t now_us)
{
	uint64_t answers = answers_measured(fresh);

	if (answers == 0)
		return;
	if (slowness->mark_us == 0 || 2 * slower_than(fresh, slowness->mark_us) <= answers)
		slowness->since_us = 0;
	else if (slowness->since_us == 0 || now_us - slowness->heard_us > OUTLIER_SILENCE_US)
		slowness->since_us = now_us;
	slowness->heard_us = now_us;
}

bool outlier_slowness_lasts(const struct outlier_slowness *slowness)
{
	return slowness->since_us != 0 && slowness->heard_us - slowness->since_us >= OUTLIER_SLOW_US;
}

static bool is_slow(const struct outlier_rules *rules, const struct outlier_tally *own, const struct outlier_tally *all,
	uint32_t typical_us, struct outlier_evidence *e)
{
	uint64_t mark_us = outlier_slow_mark_us(rules, typical_us);

	if (mark_us == 0)
		return false;
	*e = (struct outlier_evidence){.bad = slower_than(own, mark_us), .count = answers_measured(own)};
	e->others_bad = slower_than(all, mark_us) - e->bad;
	e->others = answers_measured(all) - e->count;
	e->median_us = outlier_median_us(own, 1);
	e->others_median_us = typical_us;
	return 2 * e->bad > e->count && stands_out(e, SLOW_PERCENT, rules->results_min / 2);
}

enum outlier_verdict outlier_judge(const struct outlier_rules *rules, const struct outlier_tally *own,
	const struct outlier_tally *all, uint32_t typical_us, struct outlier_evidence *evidence)
{
	if (fails(rules, own, all, evidence))
		return OUTLIER_FAILS;
	return is_slow(rules, own, all, typical_us, evidence) ? OUTLIER_SLOW : OUTLIER_NONE;
}

bool outlier_is_common(const struct outlier_tally *own, const struct outlier_tally *all)
{
	enum { OTHERS_LEAST = 5 };
	uint64_t others = outlier_results(all) - outlier_results(own);

	return others >= OTHERS_LEAST && 2 * (uint64_t)(all->failures - own->failures) > others;
}
