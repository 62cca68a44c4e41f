/*
 * The metrics of the gateway, as /metrics tells them. docs/metrics.md is the reader's side of the tables in metrics_*.c.
 */
#ifndef WEIR_CONTROL_METRICS_H
#define WEIR_CONTROL_METRICS_H

#include "base/buf.h"
#include "control/exposition.h"
#include "control/machine_stats.h"
#include "control/process_stats.h"
#include "control/refusal.h"
#include "control/reloads.h"
#include "control/snapshot.h"
#include "telemetry/journal.h"

/* All that is told, summed up. */
struct totals {
	const struct config *config;  /* upstreams and endpoints are named by it */
	const char *version;
	const struct snapshot *sum;   /* over all workers */
	const uint64_t *ports;        /* by endpoint: local ports that connections to it take; NULL: not told */
	const struct worker_stats *const *each;  /* what each worker said last; NULL: not told */
	struct limit *const *limits;  /* of that configuration (gateway/limits.h); NULL: not known yet */
	struct route_breaker *const *breakers;  /* of its routes (gateway/breakers.h); likewise */
	uint64_t workers;
	uint64_t workers_unanswered;  /* whose part of the sum is what they said before */
	struct journal_stats log;
	struct reload_counts reloads;
	uint64_t refused[ADMIN_REFUSALS];
	struct process_stats process;
	struct machine_stats machine;
};

/* Appends the text. False when it would be longer than `bytes_max`, or memory is out: then it is useless. */
bool metrics_write(struct buf *to, const struct totals *totals, enum exposition_format format, size_t bytes_max);

#endif
