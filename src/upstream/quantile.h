/*
 * A quantile of latencies, as they are lately, in little memory.
 *
 * Latencies are counted in buckets whose bounds grow by an eighth of an octave (9 %), so the quantile is told to within that,
 * whatever the scale. Now and then all counts are halved: what was so long ago weighs little.
 *
 * Source: the logarithmic buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch
 * with Relative-Error Guarantees", VLDB 2019), with a step that needs no logarithm. Weak points: with few answers a second the
 * memory reaches far back, and a service that has just become slower is known by what it was.
 */
#ifndef WEIR_UPSTREAM_QUANTILE_H
#define WEIR_UPSTREAM_QUANTILE_H

#include <stdint.h>

enum {
	QUANTILE_STEPS = 8,                    /* in an octave */
	QUANTILE_BUCKETS = 32 * QUANTILE_STEPS, /* up to 4 hours */
	QUANTILE_KNOWN = 64,                   /* fewer say nothing */
};

/* Zeroed memory is an empty one. */
struct quantile {
	uint64_t halve_us;                     /* the next time */
	uint32_t count;
	uint32_t buckets[QUANTILE_BUCKETS];
};

void quantile_add(struct quantile *q, uint64_t latency_us, uint64_t now_us);

/* Of 1000 latencies so many are not above it; 0: not known yet. */
uint64_t quantile_of(const struct quantile *q, unsigned permille);

#endif
