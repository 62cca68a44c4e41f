/* See quantile.h. */
#include "upstream/quantile.h"

#include "base/units.h"

#define HALVE_EVERY_US (10 * US_PER_S)

/* Below 8 us each has its own. */
static unsigned bucket_of(uint64_t us)
{
	unsigned octave, at;

	if (us < QUANTILE_STEPS)
		return (unsigned)us;
	octave = 63 - (unsigned)__builtin_clzll(us) - 3;
	at = octave * QUANTILE_STEPS + (unsigned)(us >> octave);
	return at < QUANTILE_BUCKETS ? at : QUANTILE_BUCKETS - 1;
}

/* The greatest that is in it. */
static uint64_t bucket_most(unsigned at)
{
	unsigned octave = at / QUANTILE_STEPS, step = at % QUANTILE_STEPS;

	if (octave < 2)
		return at;
	return (((uint64_t)QUANTILE_STEPS + step + 1) << (octave - 1)) - 1;
}

static void halve(struct quantile *q)
{
	q->count = 0;
	for (unsigned i = 0; i < QUANTILE_BUCKETS; i++) {
		q->buckets[i] /= 2;
		q->count += q->buckets[i];
	}
}

void quantile_add(struct quantile *q, uint64_t latency_us, uint64_t now_us)
{
	if (now_us >= q->halve_us || q->count == UINT32_MAX) {
		if (q->halve_us != 0)
			halve(q);
		q->halve_us = now_us + HALVE_EVERY_US;
	}
	q->buckets[bucket_of(latency_us)]++;
	q->count++;
}

uint64_t quantile_of(const struct quantile *q, unsigned permille)
{
	uint64_t rank = ((uint64_t)q->count * permille + 999) / 1000, seen = 0;

	if (q->count < QUANTILE_KNOWN)
		return 0;
	for (unsigned i = 0; i < QUANTILE_BUCKETS; i++) {
		seen += q->buckets[i];
		if (seen >= rank)
			return bucket_most(i);
	}
	return bucket_most(QUANTILE_BUCKETS - 1);
}
