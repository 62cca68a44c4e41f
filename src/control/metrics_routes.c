/*
 * What is told of routes: where the time of their requests went, and of those that have them rate limits and breakers.
 */
#include "control/metrics_family.h"
#include "gateway/breakers.h"
#include "limits/registry.h"
#include "tracing/context.h"

/* --- times -------------------------------------------------------------------------------------------------------- */

/* One for each bucket; NULL: there is no tracing. */
static const struct exemplar *exemplars_of(const struct snapshot *sum, size_t route, struct exemplar to[TIME_BUCKETS])
{
	if (sum->exemplars == NULL)
		return NULL;
	for (size_t i = 0; i < TIME_BUCKETS; i++) {
		const struct time_exemplar *from = &sum->exemplars[route].of[i];

		to[i] = (struct exemplar){.value_us = from->value_us, .wall_us = from->wall_us};
		if ((from->trace_high | from->trace_low) != 0)
			trace_id_write(to[i].trace_id, (struct trace_id){from->trace_high, from->trace_low});
	}
	return to;
}

static void put_route_times(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct time_book *book = &totals->sum->routes[i];
		const struct label label = {"route", totals->config->routes[i].name};
		struct exemplar exemplars[TIME_BUCKETS];
		const struct histogram whole = {book->whole, TIME_BUCKETS, TIME_FIRST_US, time_book_sum_us(book), 1,
			exemplars_of(totals->sum, i, exemplars)};

		exposition_histogram(x, metric->name, &label, 1, &whole);
	}
}

/* A route that answers by itself asks no endpoint. */
static void put_route_phases(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];

		for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
			const struct label labels[] = {{"route", route->name}, {"phase", view_str(phase_word((enum phase)phase))}};
			struct histogram histogram = metric_phase(&totals->sum->routes[i], phase);

			if (phase < PHASE_QUEUE || route->action == ACTION_UPSTREAM)
				exposition_histogram(x, metric->name, labels, 2, &histogram);
		}
	}
}

static const struct metric time_rows[] = {
	{"weir_request_seconds", METRIC_HISTOGRAM,
		"How long requests took, from the first byte of the head to the end, by route; a tunnel until it was open.",
		put_route_times},
	{"weir_request_phase_seconds", METRIC_HISTOGRAM,
		"Where the time of requests went, by route and phase: what was waited for. Those that spent nothing in a phase are "
		"not counted in it.",
		put_route_phases},
};

const struct metric_group metrics_of_times = {METRICS(time_rows)};

/* --- by rate limit ------------------------------------------------------------------------------------------------ */

static void put_each_limit(struct exposition *x, const struct metric *metric, const struct totals *totals,
	void (*put)(struct exposition *x, const struct metric *metric, struct label labels[3],
		const struct limit_store_stats *stats))
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];

		for (size_t j = 0; j < route->filter_count; j++) {
			const struct config_rate_limit *limit = &route->filters[j].u.rate_limit;
			struct label labels[3] = {{"route", route->name}, {"limit", limit->name}};
			struct limit_store_stats stats = {0};

			if (route->filters[j].kind != CONFIG_FILTER_RATE_LIMIT)
				continue;
			if (totals->limits != NULL)
				limit_store_stats(totals->limits[limit->index]->store, &stats);
			put(x, metric, labels, &stats);
		}
	}
}

static void limit_put_outcomes(struct exposition *x, const struct metric *metric, struct label labels[3],
	const struct limit_store_stats *stats)
{
	static const char *const outcomes[LIMIT_VERDICTS] = {
		[LIMIT_PASSES] = "passed",
		[LIMIT_WAITS] = "delayed",
		[LIMIT_REFUSED] = "refused",
		[LIMIT_NO_ROOM] = "no_room",
	};

	for (size_t i = 0; i < LIMIT_VERDICTS; i++) {
		labels[2] = (struct label){"outcome", view_str(outcomes[i])};
		exposition_sample(x, metric->name, labels, 3, stats->answers[i]);
	}
}

static void limit_put_value(struct exposition *x, const struct metric *metric, struct label labels[3],
	const struct limit_store_stats *stats)
{
	exposition_sample(x, metric->name, labels, 2, metric_u64(stats, metric->offset));
}

static void put_limit_outcomes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_limit(x, metric, totals, limit_put_outcomes);
}

static void put_limit_value(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_limit(x, metric, totals, limit_put_value);
}

static bool any_limits(const struct totals *totals)
{
	return totals->config->rate_limit_count > 0;
}

static const struct metric limit_rows[] = {
	{"weir_rate_limit_requests_total", METRIC_COUNTER, "Requests that a rate limit was asked for, by what it said.",
		put_limit_outcomes},
	GAUGE("weir_rate_limit_keys", put_limit_value, struct limit_store_stats, keys,
		"Keys that a rate limit knows, those that are as good as new among them."),
	GAUGE("weir_rate_limit_keys_max", put_limit_value, struct limit_store_stats, keys_max,
		"Keys that a rate limit was made for."),
	COUNTER("weir_rate_limit_evictions_total", put_limit_value, struct limit_store_stats, evictions,
		"Keys that a rate limit forgot for others while something was known of them."),
};

const struct metric_group metrics_of_limits = {METRICS(limit_rows), .present = any_limits};

/* --- by route ----------------------------------------------------------------------------------------------------- */

static void put_each_breaker(struct exposition *x, const struct metric *metric, const struct totals *totals,
	uint64_t (*value)(const struct breaker *breaker))
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];
		const struct label label = {"route", route->name};
		struct breaker breaker = {0};

		if (!route->breaker.enabled)
			continue;
		if (totals->breakers != NULL)
			shared_breaker_look(&totals->breakers[i]->breaker, &breaker);
		exposition_sample(x, metric->name, &label, 1, value(&breaker));
	}
}

static uint64_t breaker_state_of(const struct breaker *breaker)
{
	return breaker->state;
}

static uint64_t breaker_opened_of(const struct breaker *breaker)
{
	return breaker->opened_total;
}

static void put_breaker_states(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_breaker(x, metric, totals, breaker_state_of);
}

static void put_breakers_opened(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_breaker(x, metric, totals, breaker_opened_of);
}

static bool any_breakers(const struct totals *totals)
{
	const struct config *config = totals->config;

	for (size_t i = 0; i < config->route_count; i++)
		if (config->routes[i].breaker.enabled)
			return true;
	return false;
}

static const struct metric breaker_rows[] = {
	{"weir_route_breaker_state", METRIC_GAUGE, "What the route's breaker is: 0 closed, 1 open, 2 half open.",
		put_breaker_states},
	{"weir_route_breaker_opened_total", METRIC_COUNTER, "How often the route's breaker has opened.",
		put_breakers_opened},
};

const struct metric_group metrics_of_breakers = {METRICS(breaker_rows), .present = any_breakers};
