/*
 * How long things took: a histogram of 64 steps an octave, which is 1.1 %. Nothing but counters of 64 bits, so that one can be added to
 * another like an array.
 */
#ifndef WEIR_BENCH_TIMES_H
#define WEIR_BENCH_TIMES_H

#include <stdint.h>

enum { TIMES_STEPS = 64, TIMES_BUCKETS = 40 * TIMES_STEPS };

struct times {
	uint64_t count;
	uint64_t buckets[TIMES_BUCKETS];
};

/* In whatever unit. */
void times_add(struct times *times, uint64_t took);

/* The upper end of the bucket in which it is; 0: there are none. */
uint64_t times_quantile(const struct times *times, double quantile);

#endif
