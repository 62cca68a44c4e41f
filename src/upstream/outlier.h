/*
 * Which of several endpoints stands out from the others: by failing more often, or by answering more slowly. Counts in,
 * verdict out; no clock, no endpoints.
 *
 *     results --outlier_count_*--> tallies --outlier_sum--> all of them together
 *                                     '------ outlier_judge: one of them against the rest ------> verdict
 */
#ifndef WEIR_UPSTREAM_OUTLIER_H
#define WEIR_UPSTREAM_OUTLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

/*
 * Waits are counted in steps of a quarter of an octave, from 64 us to 32 s: a step is at most a quarter longer than it is
 * said to be.
 */
enum { OUTLIER_STEPS_IN_OCTAVE = 4, OUTLIER_LEAST_LOG2 = 6, OUTLIER_WAITS = 77 };

/* What came of requests to one endpoint, or to several. */
struct outlier_tally {
	uint32_t failures;
	uint32_t unmeasured;               /* successes of which the wait is not known */
	uint32_t waits[OUTLIER_WAITS];     /* the other successes, by how long the answer took */
};

/* What is held against an endpoint. */
struct outlier_rules {
	uint32_t error_percent;            /* failures beyond the share of the others'; 0: not looked at */
	uint32_t slow_factor;              /* times the others' median; 0: not looked at */
	uint64_t slow_margin_us;           /* and longer than it by this */
	uint32_t results_min;              /* both sides must have as many; half of it for waits */
};

enum outlier_verdict { OUTLIER_NONE, OUTLIER_FAILS, OUTLIER_SLOW };

/* Why, in numbers: `bad` of `count` failed or were slow, of the others `others_bad` of `others`. */
struct outlier_evidence {
	uint64_t bad, count, others_bad, others;
	uint32_t median_us, others_median_us;  /* SLOW */
};

/* For how long an endpoint has been slow without a break. Zero-initialise. */
struct outlier_slowness {
	uint64_t mark_us;                  /* longer than that is slow; 0: not known */
	uint64_t since_us;                 /* most of what has come since then was; 0: of what came last it was not */
	uint64_t heard_us;                 /* answers came last */
};

/*
 * It is slow for so long before it is judged to be; after a longer silence that begins anew. Silences are as long as looks tell, which are
 * made four times a second: so of two answers less than a second apart none has been one.
 */
#define OUTLIER_SLOW_US (1 * US_PER_S)
#define OUTLIER_SILENCE_US (OUTLIER_SLOW_US + 500 * US_PER_MS)

static inline unsigned outlier_step(uint64_t wait_us)
{
	if (wait_us < 1u << OUTLIER_LEAST_LOG2)
		return 0;

	unsigned log2 = 63 - (unsigned)__builtin_clzll(wait_us);
	unsigned step = (log2 - OUTLIER_LEAST_LOG2) * OUTLIER_STEPS_IN_OCTAVE + (unsigned)(wait_us >> (log2 - 2) & 3) + 1;

	return step < OUTLIER_WAITS ? step : OUTLIER_WAITS - 1;
}

static inline void outlier_count_answer(struct outlier_tally *tally, uint64_t wait_us)
{
	if (wait_us == 0)
		tally->unmeasured++;
	else
		tally->waits[outlier_step(wait_us)]++;
}

/* Adds `from` up into `to`. */
void outlier_sum(struct outlier_tally *to, const struct outlier_tally *from);

/* How many results there are. */
uint64_t outlier_results(const struct outlier_tally *tally);

/* Half of the answers came within this time, about; 0: there are fewer than `least`. */
uint32_t outlier_median_us(const struct outlier_tally *tally, uint32_t least);

/*
 * The median of all medians but one, which is `own`; those that are 0 do not count. 0: there is none. `medians` are sorted.
 */
uint32_t outlier_typical_us(const uint32_t *medians, size_t count, uint32_t own);

/* From when on an answer is slow, where that is typical of the others; 0: not looked at, or not known. */
uint64_t outlier_slow_mark_us(const struct outlier_rules *rules, uint32_t typical_us);

/* What has come since the last time, now. */
void outlier_slowness_note(struct outlier_slowness *slowness, const struct outlier_tally *fresh, uint64_t now_us);

/* From its first slow answers to its last ones: what has not answered since is no slower for that. */
bool outlier_slowness_lasts(const struct outlier_slowness *slowness);

/* `all` is the sum of everybody's tallies, `own` among them; `typical_us` what is typical of the others. */
enum outlier_verdict outlier_judge(const struct outlier_rules *rules, const struct outlier_tally *own,
	const struct outlier_tally *all, uint32_t typical_us, struct outlier_evidence *evidence);

/* Most of what came of the others has failed, too: then failures are no sign of a bad endpoint. */
bool outlier_is_common(const struct outlier_tally *own, const struct outlier_tally *all);

#endif
