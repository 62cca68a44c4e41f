/*
 * What a worker's counters said at one moment, or the sum of what several said.
 */
#ifndef WEIR_CONTROL_SNAPSHOT_H
#define WEIR_CONTROL_SNAPSHOT_H

#include "gateway/oldest.h"
#include "upstream/upstream.h"

/* What is told beyond the counters. */
enum snapshot_wants { SNAPSHOT_COUNTERS = 0, SNAPSHOT_OLDEST = 1 };

struct snapshot {
	struct worker_stats worker;
	struct oldest oldest;    /* empty unless it was wanted */
	size_t endpoint_count;
	struct upstream_endpoint_stats endpoints[];  /* one for each endpoint, over all upstreams in the configuration's order */
};

/* All zero. NULL: out of memory. To be freed with free(). */
struct snapshot *snapshot_create(const struct config *config);

void snapshot_clear(struct snapshot *s);

/* Copies the worker's counters, and what else is wanted (enum snapshot_wants). On the worker's thread. */
void snapshot_take(struct snapshot *to, struct worker *worker, unsigned wants);

/* Adds the counters of `from` to those of `to`; both are of the same configuration. */
void snapshot_add(struct snapshot *to, const struct snapshot *from);

#endif
