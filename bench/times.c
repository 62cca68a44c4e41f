/* See times.h. */
#include "times.h"

#include <math.h>
#include <stddef.h>

void times_add(struct times *times, uint64_t took)
{
	unsigned octave = took < TIMES_STEPS ? 0 : 58 - (unsigned)__builtin_clzll(took);
	size_t at = octave * TIMES_STEPS + (took >> (octave > 0 ? octave - 1 : 0)) - (octave > 0 ? TIMES_STEPS : 0);

	times->count++;
	times->buckets[at < TIMES_BUCKETS ? at : TIMES_BUCKETS - 1]++;
}

uint64_t times_quantile(const struct times *times, double quantile)
{
	uint64_t rank = (uint64_t)ceil(quantile * (double)times->count), seen = 0;

	for (size_t at = 0; at < TIMES_BUCKETS && rank > 0; at++) {
		size_t octave = at / TIMES_STEPS, step = at % TIMES_STEPS;

		seen += times->buckets[at];
		if (seen >= rank)
			return octave == 0 ? step : (TIMES_STEPS + step + 1) << (octave - 1);
	}
	return 0;
}
