/*
 * What is told of each worker for itself: whether they share the load evenly, and whether one of them is full.
 */
#include <stdio.h>

#include "control/metrics_family.h"

typedef void put_value(
	struct exposition *x, const char *name, const struct label *labels, size_t label_count, uint64_t value);

static void put_each_worker(
	struct exposition *x, const struct metric *metric, const struct totals *totals, put_value *put)
{
	for (unsigned i = 0; i < totals->workers; i++) {
		char number[16];
		struct label label = {"worker", view_of(number, (size_t)snprintf(number, sizeof(number), "%u", i))};

		put(x, metric->name, &label, 1, metric_u64(totals->each[i], metric->offset));
	}
}

/* A uint64_t of struct worker_stats. */
static void put_count(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_worker(x, metric, totals, exposition_sample);
}

/* The same, a span. */
static void put_span(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_worker(x, metric, totals, exposition_millionths);
}

static void put_lag(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (unsigned i = 0; i < totals->workers; i++) {
		const struct shed_stats *shed = &totals->each[i]->shed;
		const struct histogram histogram = {
			shed->lag_counts, SHED_LAG_BUCKETS, SHED_LAG_FIRST_US, shed->lag_sum_us, 1, NULL};
		char number[16];
		struct label label = {"worker", view_of(number, (size_t)snprintf(number, sizeof(number), "%u", i))};

		exposition_histogram(x, metric->name, &label, 1, &histogram);
	}
}

static const struct metric rows[] = {
	COUNTER("weir_worker_cpu_seconds_total", put_span, struct worker_stats, cpu_us,
		"Processor time of the worker's thread, user and system, in seconds."),
	COUNTER("weir_worker_turns_total", put_count, struct worker_stats, loop.turns, "Turns of the worker's loop."),
	COUNTER("weir_worker_events_total", put_count, struct worker_stats, loop.events,
		"Events that the worker's loop was told of by the system."),
	{"weir_worker_loop_lag_seconds", METRIC_HISTOGRAM,
		"How long the worker's events wait for their turn, looked at every 100 ms while there is work.",
		put_lag},
	GAUGE("weir_worker_accept_queue", put_count, struct worker_stats, shed.accept_waiting,
		"Connections that wait for the worker to accept them, as of its last look."),
	COUNTER("weir_worker_accept_overflows_total", put_count, struct worker_stats, accept_overflows,
		"Connections that were thrown away as too many waited for the worker to accept them."),
	GAUGE("weir_worker_connections", put_count, struct worker_stats, connections_open,
		"Clients' connections that the worker has open."),
	COUNTER("weir_worker_exchanges_total", put_count, struct worker_stats, exchanges_finished,
		"Requests of the worker's that have ended."),
};

static bool any_workers(const struct totals *totals)
{
	return totals->each != NULL;
}

const struct metric_group metrics_of_workers = {METRICS(rows), .present = any_workers};
