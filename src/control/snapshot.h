/*
 * What a worker's counters said at one moment, or the sum of what several said.
 */
#ifndef WEIR_CONTROL_SNAPSHOT_H
#define WEIR_CONTROL_SNAPSHOT_H

#include "gateway/worker.h"
#include "upstream/upstream.h"

struct snapshot {
	struct worker_stats worker;
	size_t endpoint_count;
	struct weir_pool_stats pools[];  /* one for each endpoint, over all upstreams in the configuration's order */
};

/* All zero. NULL: out of memory. To be freed with free(). */
struct snapshot *snapshot_create(const struct config *config);

void snapshot_clear(struct snapshot *s);

/* Copies the worker's counters. On the worker's thread. */
void snapshot_take(struct snapshot *to, struct worker *worker);

/* Adds `from` to `to`; both are of the same configuration. */
void snapshot_add(struct snapshot *to, const struct snapshot *from);

#endif
