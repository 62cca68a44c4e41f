/*
 * Traces of requests, as some runs have them: the gateway draws or takes up a trace, tells its servers of it, and sends spans to a
 * collector (sim_collector.h) through an upstream of its own, under every fault.
 *
 * A request is told of once, if at all: by a span of its own, and one for each try, which stands under that and is what its server
 * was told of. What is sampled is told of. Every span that was told of is exported, dropped for a reason, or waits, and those that
 * wait are no more than may; nothing counts as exported that the collector has not taken. In the end none is left.
 */
#ifndef WEIR_SIM_TRACES_H
#define WEIR_SIM_TRACES_H

#include "sim_http.h"

#include <stdbool.h>

struct exchange_record;
struct sim_request;
struct sim_text;
struct worker;

/* Of one request: what its servers were told, and what the collector is to be. */
#define TRACED_MAX 10
struct sim_traced {
	uint64_t high, low, span;      /* as its span says; 0: there is none yet */
	uint64_t tries[TRACED_MAX], arrived[TRACED_MAX];
	unsigned try_count, arrived_count;
};

/* To the collector. */
#define COLLECTOR_CONNECTIONS 2

/* More of what exporters hold than everything else. */
#define TRACES_BYTES_MAX (512 * 1024)

/* Whether the run has them. */
void traces_draw_plan(uint64_t seed);

/* The collector is there, until traces_end. From traces_recover on it behaves. */
void traces_begin(void);
void traces_recover(void);
void traces_end(void);

/* What stands in the configuration: among the upstreams, as the last one, and at its end. Some have no `tracing` after a reload. */
void traces_write_upstream(struct sim_text *text);
void traces_write(struct sim_text *text);

/* What its client sends of a trace, in field values; false: nothing. */
bool traces_parent(const struct sim_request *request, char to[64]);

/* The head of a request has come to a server. */
void traces_check_arrival(struct sim_request *request, const struct sim_reader *reader);

/* It has ended; NULL: it is none of the model's. */
void traces_check_record(const struct exchange_record *record, const struct sim_request *request);

void traces_check_turn(struct worker *const *workers, unsigned count);

/* When all has ended: no span waits. */
void traces_check_left(struct worker *worker);

/* Over all runs. */
void traces_tell_tally(void);
bool traces_tally_is_full(void);

#endif
