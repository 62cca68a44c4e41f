/*
 * How latency moves with concurrency: how long an endpoint took to answer, by how many requests of this worker it had when one
 * more was sent to it. What tells a backend that is full from a pool that is too small (telemetry/why_curve.c).
 *
 * Counters of 64 bits and nothing else. Levels of twice as many each: [0] 1, [1] 2 and 3, [2] 4 to 7, ..., the last one the rest.
 */
#ifndef WEIR_UPSTREAM_LOAD_CURVE_H
#define WEIR_UPSTREAM_LOAD_CURVE_H

#include <stdint.h>

enum { LOAD_LEVELS = 14 };

struct load_level {
	uint64_t answers;
	uint64_t at_once;                /* the sum of how many there were */
	uint64_t sum_us;                 /* of first bytes */
};

struct load_curve {
	struct load_level levels[LOAD_LEVELS];
};

/* An answer has begun after so long; `at_once` is not 0, and the request itself is among them. */
static inline void load_curve_enter(struct load_curve *curve, uint32_t at_once, uint64_t latency_us)
{
	unsigned level = 31u - (unsigned)__builtin_clz(at_once);

	level = level < LOAD_LEVELS ? level : LOAD_LEVELS - 1;
	curve->levels[level].answers++;
	curve->levels[level].at_once += at_once;
	curve->levels[level].sum_us += latency_us;
}

#endif
