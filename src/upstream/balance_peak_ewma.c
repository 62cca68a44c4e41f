/*
 * Peak EWMA: of two endpoints drawn by weight (balance_random_two.c) the one is picked whose latency, times what it has to do,
 * is less. The latency is a moving average whose weights decay with time. A higher value replaces it at once ("peak"), so
 * that one slow answer turns requests away; lower ones bring it down slowly; and while nothing is heard it sinks, so that an
 * endpoint that was left alone is tried again.
 *
 * Source: Finagle's PeakEwma load metric with its p2c balancer (Twitter, 2016; also in Linkerd), with its decay time of 10 s.
 * What has to be done counts as active * (average weight / own weight) + 1: so idle endpoints of one latency share by weight,
 * and busy ones are equally busy for their weight. One that was never heard of takes one request at a time while others have
 * been.
 *
 * A failure must not look like a fast answer: it counts as FAILURE_TIMES what is known, and FAILURE_LEAST_US at least.
 *
 * Weak points: each worker learns by itself; latency that depends on the request, not on the endpoint, is noise to it.
 */
#include "upstream/balance.h"

/* Of an endpoint that is being asked for the first time. */
#define COST_UNKNOWN 1e12f

#define FAILURE_TIMES 4
#define FAILURE_LEAST_US (100 * US_PER_MS)
#define FAILURE_MOST_US (10 * US_PER_S)

/* e^-x within 1 % of 1: by the series of e^x. */
static float decayed(uint64_t since_us, uint64_t decay_us)
{
	float x = (float)since_us / (float)decay_us;

	return 1 / (1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4))));
}

static uint64_t since(const struct latency_ewma *e, uint64_t now_us)
{
	return now_us > e->heard_us ? now_us - e->heard_us : 0;
}

float latency_ewma_cost(const struct latency_ewma *e, uint64_t now_us)
{
	return e->cost_us > 0 ? e->cost_us * decayed(since(e, now_us), e->decay_us) : 0;
}

void latency_ewma_answer(struct latency_ewma *e, uint64_t now_us, uint64_t latency_us)
{
	float weight = decayed(since(e, now_us), e->decay_us), latency = (float)(latency_us > 0 ? latency_us : 1);

	if (latency > e->cost_us * weight)
		e->cost_us = latency;
	else
		e->cost_us = e->cost_us * weight + latency * (1 - weight);
	e->heard_us = now_us;
}

void latency_ewma_failure(struct latency_ewma *e, uint64_t now_us, uint64_t waited_us)
{
	uint64_t worse_us = (uint64_t)(FAILURE_TIMES * latency_ewma_cost(e, now_us));

	if (worse_us < FAILURE_LEAST_US)
		worse_us = FAILURE_LEAST_US;
	if (worse_us > FAILURE_MOST_US)
		worse_us = FAILURE_MOST_US;
	latency_ewma_answer(e, now_us, waited_us > worse_us ? waited_us : worse_us);
}

void balance_peak_ewma_prepare(struct candidates *set)
{
	float average = (float)set->weight_sum / (float)set->count;

	balance_random_prepare(set);
	for (size_t i = 0; i < set->count; i++)
		set->list[i].relief = average / (float)set->list[i].weight;
}

static float score(const struct candidate *c, uint64_t now_us)
{
	float cost = latency_ewma_cost(&c->endpoint->latency, now_us), load = (float)c->endpoint->active * c->relief;

	if (cost == 0)
		return load > 0 ? COST_UNKNOWN + COST_UNKNOWN * load : 0;
	return cost * (load + 1);
}

struct endpoint *balance_peak_ewma(struct candidates *set, uint64_t random, uint64_t now_us)
{
	size_t pair[2];

	balance_random_pair(set, random, pair);
	const struct candidate *a = &set->list[pair[0]], *b = &set->list[pair[1]];

	return score(b, now_us) < score(a, now_us) ? b->endpoint : a->endpoint;
}
