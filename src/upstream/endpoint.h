/* Private to the room: what an endpoint consists of. */
#ifndef WEIR_UPSTREAM_ENDPOINT_H
#define WEIR_UPSTREAM_ENDPOINT_H

#include <stdatomic.h>

#include "base/slab.h"
#include "upstream/idle_close.h"
#include "upstream/upstream.h"

struct endpoint {
	struct upstreams *ups;
	const struct config_upstream *upstream;
	const struct config_endpoint *config;
	struct weir_pool *pool;
	struct list conns;             /* every connection of the pool, also those connecting */
	struct io_task run;            /* collects the pool's outcomes at the end of the tick */
	struct io_timer timer;         /* the pool's next event */
	struct io_message freed;       /* another worker returned a unit of the budget, or needs one */
	atomic_bool freed_posted;
	uint32_t active;               /* leases waiting or held */
	struct upstream_endpoint_stats stats;  /* its `pool` is filled for whoever asks */
	const char *mismatch;          /* what the last audit found; NULL: nothing */
	struct idle_close idle_close;  /* when it closes connections that rest */
	uint64_t idle_limit_us;        /* what the pool was told of it */
	int64_t turn;                  /* round robin: what has been earned so far */
	bool running;                  /* weir_pool_run is telling outcomes */
	bool closed;
};

struct upstreams {
	struct io *io;
	struct h1_scratch *scratch;
	const struct config *config;
	struct slab conns;
	struct endpoint *endpoints;    /* of all upstreams, in configuration order */
	size_t *first;                 /* by upstream index: its first endpoint */
	size_t endpoint_count;
	size_t closing;                /* endpoints whose pool has not told on_closed */
	struct io_task closed_task;
	void (*on_closed)(void *context);
	void *context;
	void (*on_event)(void *context, int level, const char *text);  /* may be NULL */
	void *event_context;
	struct io_timer watch;         /* armed from creation until everything is closed */
	size_t watch_at;               /* the endpoint whose books are recounted next */
};

/* Sets up the endpoint and its pool. False: out of memory. */
bool endpoint_init(struct endpoint *ep, struct upstreams *ups, const struct config_upstream *upstream,
	const struct config_endpoint *config, struct weir_pool_budget *budget);
void endpoint_release(struct endpoint *ep);

/* The endpoint has closed a connection that rests, or found it closed. Counts once. */
void endpoint_saw_idle_close(struct endpoint *ep, struct upstream_conn *uc, uint64_t age_us);
/* A connection had rested that long, and was good afterwards. */
void endpoint_saw_survivor(struct endpoint *ep, uint64_t age_us);
/* It says so itself. */
void endpoint_announced(struct endpoint *ep, uint64_t idle_us);

/* NULL when the pool's books agree with the endpoint's own lists. */
const char *endpoint_audit(const struct endpoint *ep);

/* The self-audit, once a second, until it is stopped (watch.c). */
void watch_start(struct upstreams *ups);
void watch_stop(struct upstreams *ups);

/* The pool's ops->overdue. */
void watch_overdue(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what);

/* The cause that stands for a failed connect, and a static sentence where the cause alone says too little (else NULL). */
enum cause upstream_connect_cause(int error, const char **why);

/* All leases go through this pick (balance.c). NULL when the upstream has no endpoint that may be used. */
struct endpoint *balance_pick(struct upstreams *ups, const struct config_upstream *upstream);

#endif
