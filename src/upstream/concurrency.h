/*
 * How many requests may be in flight to one endpoint (`concurrency`), over all workers: the limiter (limiter.h) among the
 * leases, the pool's shared budget and the log.
 *
 *     lease held, told, over --> window --(20 ms)--> limiter --> limit + parked = the budget's size <= max_connections
 *          each worker, its own         one at a time, who gets the try-lock
 *
 * A limit that nobody can confirm must lock nobody out. So a request whose answer has begun and goes on for more than about
 * a second (a download, server-sent events), or that has become a tunnel, is parked: it holds its connection beside the
 * limit and not within it. So are sooner, while others wait, one whose client is slow to take the answer, and one whose client
 * is slow to send it, until it is sent: the backend has next to nothing to do for them, and a few such clients would have all
 * places. And where all places are taken by requests that get no answer the limit grows (limiter_stagnates).
 *
 * A dip of the limiter makes a queue where there need be none. For its time, and a while after, the pools of all workers do
 * not hold their queues to stand for being late, or each dip would cost requests.
 *
 * Private to the room.
 */
#ifndef WEIR_UPSTREAM_CONCURRENCY_H
#define WEIR_UPSTREAM_CONCURRENCY_H

#include <stdatomic.h>

#include "upstream/limiter.h"
#include "upstream/upstream.h"

struct endpoint_budget;

/* What one endpoint has over all workers and generations; in its endpoint_budget. Zeroed memory is a valid beginning. */
struct concurrency {
	atomic_flag busy;              /* a lock that nobody waits for on a request's way; it guards all but the next two */
	atomic_uint parked;            /* requests beside the limit */
	atomic_uint_fast64_t excused_us; /* queues that are late until then are so because of a dip, or of what it left behind */
	bool learns;                   /* concurrency: auto */
	uint32_t max, overflow_max;    /* as configured */
	uint32_t size;                 /* what the pools' budget was told */
	uint32_t told;                 /* the limit that the log knows */
	uint64_t told_us;
	uint64_t merged_us;
	struct limiter limiter;
};

/* How a held lease counts. */
enum flight {
	FLIGHT_NONE,
	FLIGHT_COUNTED,  /* within the limit */
	FLIGHT_ANSWERED, /* the same, and its answer had begun when it was last looked at */
	FLIGHT_PARKED,   /* beside the limit */
};

/* As the configuration says from now on; what was learned stays. Any thread. */
void concurrency_configure(struct endpoint_budget *budget, const struct config_upstream *upstream);

/* The lease is held from now on. */
static inline void concurrency_enter(
	struct limiter_window *window, bool learns, struct upstream_lease *lease, uint64_t now_us)
{
	lease->flight = FLIGHT_NONE;
	if (!learns)
		return;
	lease->flight = FLIGHT_COUNTED;
	limiter_enter(window, now_us);
}

/* A lease has left that was beside the limit; or what this worker has seen is due. */
void concurrency_leave_parked(struct endpoint *ep, uint64_t now_us);
void concurrency_bring(struct endpoint *ep, uint64_t now_us);

/* It is not held any more, and its connection is given back. `window`: the endpoint's. */
static inline void concurrency_leave(
	struct endpoint *ep, struct limiter_window *window, struct upstream_lease *lease, uint64_t now_us)
{
	enum flight flight = (enum flight)lease->flight;

	lease->flight = FLIGHT_NONE;
	if (flight == FLIGHT_NONE)
		return;
	if (flight == FLIGHT_PARKED) {
		concurrency_leave_parked(ep, now_us);
		return;
	}
	limiter_leave(window, now_us);
	if (limiter_window_due(window, now_us))
		concurrency_bring(ep, now_us);
}

/* What came of a request: one line of endpoint_report(). */
void concurrency_learn(struct limiter_window *window, struct upstream_result result);

/* The held lease counts beside the limit from now on. Nothing happens if it does not count within it. */
void concurrency_park(struct endpoint *ep, struct upstream_lease *lease, uint64_t now_us);

/* It counts within the limit again, if it did not. */
void concurrency_unpark(struct endpoint *ep, struct upstream_lease *lease, uint64_t now_us);

/* Somebody waits for a connection: whether anything moves. To be called again and again while that is so (waiting.c). */
void concurrency_look(struct endpoint *ep, uint64_t now_us);

/* Once a second, more or less: parks those whose answers go on for long, and brings what this worker has seen. */
void concurrency_sweep(struct endpoint *ep, uint64_t now_us);

/* What is known, for upstream_endpoint_stats. */
void concurrency_tell(struct endpoint_budget *budget, struct upstream_endpoint_stats *stats, uint64_t now_us);

#endif
