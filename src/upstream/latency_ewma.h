/*
 * How slow an endpoint is, as it looks from one worker: an average of its latency that forgets with time, follows a peak at
 * once, and sinks while nothing is heard. What the policy peak_ewma goes by; balance_peak_ewma.c has the source.
 */
#ifndef WEIR_UPSTREAM_LATENCY_EWMA_H
#define WEIR_UPSTREAM_LATENCY_EWMA_H

#include <stdint.h>

struct latency_ewma {
	uint64_t decay_us;             /* 0: nobody wants to know */
	uint64_t heard_us;             /* when it last changed */
	float cost_us;                 /* 0: nothing was heard yet */
};

/* An answer took that long. */
void latency_ewma_answer(struct latency_ewma *e, uint64_t now_us, uint64_t latency_us);

/* It has failed: that counts as an answer much slower than it is known for, however soon the failure came. */
void latency_ewma_failure(struct latency_ewma *e, uint64_t now_us, uint64_t waited_us);

/* What is known, less what was forgotten since. */
float latency_ewma_cost(const struct latency_ewma *e, uint64_t now_us);

#endif
