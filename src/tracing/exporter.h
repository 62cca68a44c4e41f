/*
 * Sends spans to the collector: in batches, on the worker's own loop, on connections that it leases like every request, so that
 * addresses, TLS, limits and name servers are those of the upstream that the configuration names.
 *
 * It is no exchange: its requests are neither logged, nor traced, nor counted for a route. One is under way at a time. What cannot be
 * sent is dropped and counted: every span that was offered is exported, dropped, or still here.
 */
#ifndef WEIR_TRACING_EXPORTER_H
#define WEIR_TRACING_EXPORTER_H

#include "config/model.h"
#include "io/io.h"
#include "tracing/span.h"

struct exporter;
struct upstreams;

/* Why spans were dropped. */
enum trace_drop {
	TRACE_DROP_QUEUE_FULL,         /* more waited than may */
	TRACE_DROP_REJECTED,           /* the collector does not want them */
	TRACE_DROP_UNDELIVERED,        /* it could not be told, so often as it was tried */
	TRACE_DROP_MEMORY,             /* none for the text */
	TRACE_DROP_OFF,                /* a reload has turned tracing off */
	TRACE_DROP_SHUTDOWN,           /* the gateway has ended before */
	TRACE_DROPS,
};

const char *trace_drop_word(enum trace_drop drop);

/* Counters of one worker, of 64 bits each. */
struct trace_stats {
	uint64_t offered, exported;    /* spans */
	uint64_t dropped[TRACE_DROPS];
	uint64_t failures;             /* requests to the collector that have failed, each time that one was tried */
	uint64_t queued;               /* spans that are here now */
};

/* All pointers are borrowed. NULL: out of memory. Off until it is told what to do. */
struct exporter *exporter_create(struct io *io, struct upstreams *ups, struct trace_stats *stats);

/* From now on these settings count, which stay until the next call. `enabled` false: what waits is dropped. */
void exporter_adopt(struct exporter *e, const struct config_tracing *settings);

/* Takes a copy. */
void exporter_offer(struct exporter *e, const struct trace_span *span);

/* Sends what there is at once, and tries nothing twice; then `on_idle`, from the loop. Not when it is idle. */
void exporter_flush(struct exporter *e, void (*on_idle)(void *context), void *context);
bool exporter_is_idle(const struct exporter *e);

/* Drops everything, and whatever is offered later. Idle from now on; on_idle is not called any more. */
void exporter_stop(struct exporter *e);

/* Behind exporter_stop. */
void exporter_free(struct exporter *e);

/* Its lease, if `lease` is that: it is held by no exchange. */
struct upstream_lease;
bool exporter_holds(const struct upstream_lease *lease);

#endif
