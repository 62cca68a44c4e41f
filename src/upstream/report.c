/*
 * What requests bring, told to everybody who learns from it. The order is of no importance: none of them asks another.
 */
#include "upstream/endpoint.h"

/* For the policy peak_ewma. An answer that came before the request was whole says nothing of how fast it answers. */
static void learn_latency(struct endpoint *ep, struct upstream_result result)
{
	uint64_t now_us = io_now_us(ep->ups->io);

	if (upstream_result_failed(result))
		latency_ewma_failure(&ep->latency, now_us, result.waited_us);
	else if (result.waited_us > 0)
		latency_ewma_answer(&ep->latency, now_us, result.waited_us);
}

/* Those who learn only where the configuration says so. */
__attribute__((noinline)) static void tell_others(
	struct endpoint *ep, struct upstream_lease *lease, struct upstream_result result)
{
	if (ep->latency.decay_us != 0)
		learn_latency(ep, result);
	if (ep->looked_at)
		passive_report(ep, result);
	if (lease->breaker_call != 0)
		endpoint_breaker_report(ep, lease, result);
}

struct try_book *upstream_times(const struct upstream_lease *lease)
{
	return lease->picked != NULL ? &lease_named(lease)->stats.times : NULL;
}

/* What came of it, where that is no good answer to a whole request. */
static void count_unusual(struct upstream_endpoint_stats *stats, struct upstream_result result)
{
	if (!upstream_result_failed(result))
		stats->early++;
	else if (result.status != 0)
		stats->errors++;
	else if (cause_info(result.cause)->status == 504)
		stats->silent++;
	else
		stats->broken++;
}

/* Whoever looks at it finds it good. */
static bool is_ordinary(struct upstream_result result)
{
	return result.cause == CAUSE_NONE && result.status < 500 && result.status != 429 && result.waited_us > 0;
}

__attribute__((noinline)) static void note_unusual(
	struct endpoint *ep, const struct upstream_lease *lease, struct upstream_result result)
{
	if (ep->learns)
		concurrency_learn(&ep->window, result);
	if (result.waited_us > 0 && !upstream_result_failed(result))
		load_curve_enter(&ep->stats.curve, lease->at_once, result.waited_us);
	else
		count_unusual(&ep->stats, result);
}

void endpoint_report(struct endpoint *ep, struct upstream_lease *lease, struct upstream_result result)
{
	if (__builtin_expect(!is_ordinary(result), 0)) {
		note_unusual(ep, lease, result);
	} else {
		if (ep->learns)
			limiter_sample(&ep->window, result.waited_us);
		load_curve_enter(&ep->stats.curve, lease->at_once, result.waited_us);
	}
	if (ep->latency.decay_us != 0 || ep->looked_at || lease->breaker_call != 0)
		tell_others(ep, lease, result);
}
