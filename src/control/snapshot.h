/*
 * What a worker's counters said at one moment, or the sum of what several said.
 */
#ifndef WEIR_CONTROL_SNAPSHOT_H
#define WEIR_CONTROL_SNAPSHOT_H

#include "gateway/oldest.h"
#include "upstream/upstream.h"

/* What is told. Nothing: that the worker answers, and by which generation, is all there is to know. */
enum snapshot_wants { SNAPSHOT_NOTHING = 0, SNAPSHOT_COUNTERS = 1, SNAPSHOT_OLDEST = 2, SNAPSHOT_STUCK = 4 };

struct snapshot {
	struct worker_stats worker;
	struct oldest oldest;    /* empty unless it was wanted */
	struct generation *generation;   /* one reference: whose endpoints `pools` are of; NULL: of the one it was created for */
	struct generation *in_force;     /* one reference: the worker's, whatever was wanted; NULL: not told yet, or it is a sum */
	int thread;              /* of the worker: its id for the system; 0: not told yet */
	size_t endpoint_count, route_count, listener_count;
	size_t taken;            /* so many of the endpoints and of the routes behind them; less than all: it is being taken */
	struct listener_stats *listeners;  /* of each, over all workers; behind the routes */
	struct time_book *routes;        /* one for each route, in the configuration's order; behind the endpoints */
	struct time_exemplars *exemplars;  /* of each route; behind the listeners; NULL: there is no tracing */
	struct upstream_endpoint_stats endpoints[];  /* one for each endpoint, over all upstreams in the configuration's order */
};

/* All zero. NULL: out of memory. */
struct snapshot *snapshot_create(const struct config *config);

/* NULL is allowed. */
void snapshot_free(struct snapshot *s);

void snapshot_clear(struct snapshot *s);

/*
 * Makes it one of that generation, all zero but for what it says of the oldest, unless it is already: then it stays as it is. Out
 * of memory: it stays what it was.
 */
void snapshot_fit(struct snapshot **s, struct generation *generation);

/*
 * Copies what is wanted (enum snapshot_wants): the worker's counters, of its generation, and its oldest leases. On the worker's thread,
 * whose clients wait meanwhile: so endpoints and routes follow in slices, until snapshot_go_on() says true. Between two of them
 * the loop may turn; each is told as it is in its slice.
 */
void snapshot_begin(struct snapshot **to, struct worker *worker, unsigned wants);
bool snapshot_go_on(struct snapshot **to, struct worker *worker);

/* Where the listener at that address stands; SIZE_MAX: nowhere. */
size_t snapshot_find_listener(const struct config *config, const struct address *address);

/* Adds the counters of `from` to those of `to`. Endpoints and routes that `to` does not have are left out. */
void snapshot_add(struct snapshot *to, const struct snapshot *from);

#endif
