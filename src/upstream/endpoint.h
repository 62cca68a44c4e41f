/* Private to the room: what an endpoint consists of, and how endpoints hang together. */
#ifndef WEIR_UPSTREAM_ENDPOINT_H
#define WEIR_UPSTREAM_ENDPOINT_H

#include <stdatomic.h>

#include "base/planted.h"
#include "base/slab.h"
#include "net/tls.h"
#include "upstream/budgets.h"
#include "upstream/idle_close.h"
#include "upstream/latency_ewma.h"
#include "upstream/probe.h"
#include "upstream/quantile.h"
#include "upstream/retry_budget.h"
#include "upstream/upstream.h"

/*
 *     NEW --(a reload takes effect)--> SERVING --(gone, or another pool)--> DRAINING --(on_closed)--> CLOSED
 *                                         |                                    |                        ^
 *                                         `--------(everything closes)--------> CLOSING --(on_closed)---'
 *
 * A new one is freed when the reload does not take effect after all, a closed one when nobody names it any more.
 */
enum endpoint_state { ENDPOINT_NEW, ENDPOINT_SERVING, ENDPOINT_DRAINING, ENDPOINT_CLOSING, ENDPOINT_CLOSED };

/* Lives on its own: it points at no configuration, since it may outlast the one that it came with. */
struct endpoint {
	_Alignas(CACHE_LINE) struct upstreams *ups;
	struct endpoint_budget *budget;    /* one reference */
	struct weir_pool *pool;
	uint32_t *load;                /* where `active` is counted too: in a list of candidates, or here: */
	uint32_t load_alone;
	uint32_t active;               /* leases waiting or held; changed by endpoint_begin and endpoint_end */
	uint32_t held;                 /* leases held */
	uint32_t named;                /* leases whose `picked` is this one's name */
	uint32_t weight;               /* by the configuration: endpoint_weight() says what counts */
	uint8_t state;                 /* enum endpoint_state; changed by endpoint_change only */
	bool learns;                   /* how many requests it takes at once */
	bool looked_at;                /* it counts in `tally`: passive checks are on, and there are others to compare with */
	struct limiter_window window;  /* what this worker has seen of it (concurrency.h) */
	struct latency_ewma latency;   /* for peak_ewma only */
	struct idle_close idle_close;  /* when it closes connections that rest between requests */
	_Alignas(CACHE_LINE) struct upstream_endpoint_stats stats;  /* `pool`: only what it was left by others (books.c) */

	struct list_node node;         /* in ups->endpoints */
	struct endpoint_name name;     /* in the memory behind the endpoint */
	struct address address;
	bool backup;
	bool was_out;                  /* when a list of candidates was last made */
	uint64_t zone;                 /* its name, hashed; 0: none */
	struct config_labels labels;
	uint64_t ramp_from_us;         /* since when it starts slowly; 0: it does not */
	uint64_t connect_timeout_us;
	enum config_proxy_protocol proxy_protocol;
	struct weir_pool_config settings;  /* what its pool was created with */
	uint64_t tls_id;               /* of the TLS settings that it was created with; 0: none */
	struct view server_name;       /* TLS: asked for and verified; in the memory behind the endpoint */
	struct tls_client *tls;        /* one reference; NULL: none, or not told yet (upstreams_secure) */
	struct tls_resumption resumption;
	struct io_timer look;          /* while somebody waits for a connection */
	struct prober prober;          /* of the first worker */
	struct health_tally tally;     /* what came of its requests */
	struct breaker_side breaker_side;
	struct io_timer breaker_timer; /* armed: its breaker may be tried then (breaking.c) */
	uint64_t roster;               /* the number of the latest that it is in */
	struct list conns;             /* every connection of the pool, also those connecting */
	uint32_t streams_max;          /* HTTP/2: on one session; 0: HTTP/1 */
	struct h1_limits head_limits;  /* HTTP/2: of answers, on sessions that begin from now on */
	struct list sessions;          /* HTTP/2: the connections behind the places that are in `conns` */
	uint32_t places_waiting;       /* of those places, how many are not open yet */
	uint32_t sessions_useless;     /* in a row, that ended soon and had served nobody */
	uint64_t session_after_us;     /* none is begun before */
	uint64_t lost_us;              /* a session that had rested was found dead at that time; 0: never */
	struct io_task seating;        /* looks after the places that wait, at the end of the tick */
	struct io_task run;            /* collects the pool's outcomes at the end of the tick */
	struct io_timer timer;         /* the pool's next event */
	struct io_message freed;       /* another worker returned a unit of the budget, or needs one */
	atomic_bool freed_posted;
	struct io_task release;        /* frees it at the end of the tick */
	struct endpoint *before;       /* NEW: whom it will succeed when it comes into service; NULL: nobody */
	struct endpoint *older, *newer;  /* whom it succeeded, and by whom it was succeeded; NULL: nobody that there is */
	const char *mismatch;          /* what the last audit found; NULL: nothing */
	struct idle_close unused_close;  /* as idle_close, those that have never served, which often is another time */
	uint64_t idle_limit_us;        /* what the pool was told of it */
	bool running;                  /* weir_pool_run is telling outcomes */
	bool stirred;                  /* its pool has begun with what it does unasked */
};

/* The endpoints of one upstream that are in service. There is none where nothing is known of its host names yet. */
struct endpoint_group {
	_Alignas(CACHE_LINE) const struct config_upstream *of;  /* what it was made from; to be compared only, while it is in service */
	const atomic_uint *changes;    /* budget_registry's; not NULL where there are endpoints */
	struct endpoint *only;         /* who has every request that asks for nothing; NULL: to be found out, or it depends */
	unsigned only_seen;            /* of *changes: when `only` was found out */
	struct retry_budget retry_budget;
	struct endpoint_group *next;   /* in ups->gone, change.gone_before, or retiring */
	struct endpoint_group *before; /* whose place it is about to take; NULL: nobody's, or it has taken it */
	size_t retired;                /* in ups->retiring: so many of its endpoints were looked at */
	struct upstreams *ups;
	struct view name;              /* the upstream's, in the memory behind the endpoints */
	struct group_balance {
		enum config_policy policy;
		uint32_t hash_load, zone_min_share;
		uint64_t slow_start_us;
	} balance;                     /* as in config_balance */
	uint64_t zone;                 /* our own, hashed; 0: it makes no difference */
	struct candidates *all;        /* who may be picked (balance.h) */
	struct candidates *subsets;    /* and of whom, where a route says that */
	struct config_passive passive;
	uint32_t panic_threshold;      /* percent */
	unsigned panic_seen;           /* of *changes: when it was last looked whether too few are left */
	unsigned judged_seen;          /* likewise: when its endpoints were last compared; passive.c */
	bool was_awake;                /* something was known of them then */
	struct quantile *latencies;    /* of its answers, where hedging is configured; else NULL */
	size_t count;
	struct endpoint *endpoints[];
};

/* Who is in service: a group for each upstream of one configuration, in its order. */
struct roster {
	uint64_t number;               /* no other ever has the same; from 1 */
	size_t count;
	struct endpoint_group *groups[];
};

/* The next roster, which is made in slices (roster.c). */
struct roster_making {
	struct roster *roster;         /* as far as it is made; NULL: none is */
	const struct config *config;
	struct endpoint_budget *const *budgets;  /* of the group's endpoints, or of the next one's */
	struct endpoint_group *group;  /* to be filled; NULL: the next one is to be made */
	struct endpoint_group *before; /* the same upstream's in service; NULL: it is new */
	uint64_t tls_id;               /* of the group's upstream */
};

/* What follows a change of rosters, in slices (reload.c). */
struct roster_change {
	bool entering;                 /* those in service begin with what they do by themselves: */
	size_t group, endpoint;        /* up to here they have */
	struct endpoint_group *gone_before;  /* upstreams that were gone before it: are they back? */
	struct roster *leaving;        /* the roster of before; NULL: it is gone */
	size_t left;                   /* so many of its groups are gone from there */
};

struct upstreams {
	_Alignas(CACHE_LINE) struct io *io;
	struct roster *roster;         /* in service: made from `config` */
	struct h1_scratch *scratch;
	struct tls_scratch *tls_scratch;  /* NULL: no upstream has TLS */
	const struct config *config;   /* the current one */
	uint64_t rosters;              /* how many have been in service */
	struct endpoint_group *gone;   /* upstreams that `config` has no more; in service for older ones until settled */
	struct roster_making making;
	struct roster_change change;
	struct endpoint_group *retiring;  /* whose endpoints are drained, but for those that are in service */
	struct list endpoints;         /* all of them, draining ones too */
	struct slab conns;
	struct slab places;            /* HTTP/2: for each of `conns` one */
	struct h2_scratch *h2_scratch; /* NULL: not told (upstreams_speak_h2) */
	unsigned workers;
	bool probes;                   /* this is the worker that asks for all */
	size_t closing;                /* endpoints whose pool has not told on_closed since upstreams_close */
	struct io_task closed_task;
	void (*on_closed)(void *context);  /* NULL: not closing */
	void *context;
	void (*on_event)(void *context, int level, const char *text);  /* may be NULL */
	void *event_context;
	bool sparing;                  /* connections are being given up (scarce.c) */
	struct io_timer watch;         /* armed from creation until everything is closed */
	struct io_timer passive_timer; /* armed while any endpoint is looked at (passive.c) */
};

/* --- endpoint.c ----------------------------------------------------------------------------------------------------- */

/* How the pools of the upstream's endpoints are to be. */
struct weir_pool_config endpoint_settings(const struct config_upstream *upstream);

/* The same for the same TLS settings, with the same content of their files; 0: no TLS. */
uint64_t endpoint_tls_id(const struct config_upstream *upstream);

/* How many streams a connection may carry; 0: HTTP/1. */
uint32_t endpoint_streams_max(const struct config_upstream *upstream);

/* The name that is asked for and verified there; empty: no TLS, or none is asked for. `text` has room for an address. */
struct view endpoint_server_name(
	const struct config_upstream *upstream, const struct config_endpoint *config, char text[ADDRESS_TEXT_MAX]);

/* A budget's notify: `owner` is an endpoint. Any thread. */
void endpoint_notify(void *owner);

/* With an empty pool; in no list. NULL: out of memory. */
struct endpoint *endpoint_create(struct upstreams *ups, const struct config_upstream *upstream,
	const struct config_endpoint *config, struct endpoint_budget *budget);

/* What `before` has learned of the backend is still true. */
void endpoint_learn_from(struct endpoint *ep, const struct endpoint *before);

/* Changes the state; CHECKs that the diagram above has such an arrow. */
void endpoint_change(struct endpoint *ep, enum endpoint_state state);

/* Its pool is closed, or was never used. */
void endpoint_free(struct endpoint *ep);

/* Changes the state; CHECKs that the diagram in endpoint.c has such an arrow. */
void upstream_conn_enter(struct upstream_conn *uc, enum upstream_conn_state state);

/* An event, if anybody listens: "upstream NAME, endpoint ADDRESS", and what the format says of it ("is ..."). */
__attribute__((format(printf, 3, 4))) void endpoint_tell(const struct endpoint *ep, int level, const char *format, ...);

/* The same of what must never be: an error, "bug: upstream NAME, endpoint ADDRESS: ", and what the format says. */
__attribute__((format(printf, 2, 3))) void endpoint_tell_bug(const struct endpoint *ep, const char *format, ...);

/* As conn_connect, with TLS where the endpoint has it. An error may leave the conn open. */
int endpoint_connect(struct endpoint *ep, struct conn *conn);

/* What was connecting is open, or has failed: the pool is told. */
void endpoint_conn_opened(struct upstream_conn *uc);
void endpoint_conn_failed(struct upstream_conn *uc, int error);

/* Frees it at the end of the tick, once it is closed and nothing points at it any more. */
void endpoint_free_when_done(struct endpoint *ep);

/* The endpoint has closed a connection that rested, or was just taken from its rest. */
void endpoint_saw_idle_close(struct endpoint *ep, const struct upstream_conn *uc, uint64_t age_us);
/* A connection had rested that long, and was good afterwards. */
void endpoint_saw_survivor(struct endpoint *ep, const struct upstream_conn *uc, uint64_t age_us);
/* Where that is learned. */
static inline struct idle_close *endpoint_idle_close(struct endpoint *ep, const struct upstream_conn *uc)
{
	return uc->served ? &ep->idle_close : &ep->unused_close;
}

/* It says so itself. */
void endpoint_announced(struct endpoint *ep, uint64_t idle_us);

/* NULL when the pool's books agree with the endpoint's own lists. */
const char *endpoint_audit(const struct endpoint *ep);

/* NULL when its sessions and the places on them agree (seats.c). */
const char *sessions_audit(const struct endpoint *ep);

/* Seats those places that wait, as far as there is room (seats.c). */
void seats_fill(struct endpoint *ep);

/* Why somebody waits for a place though sessions are open, in one static sentence; NULL: nobody does. */
const char *seats_why_short(const struct endpoint *ep);

/* The self-audit, once a second, until it is stopped (watch.c). */
void watch_start(struct upstreams *ups);
void watch_stop(struct upstreams *ups);

/* The pool's ops->overdue. */
void watch_overdue(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what);

/* The cause that stands for a failed connect, and a static sentence where the cause alone says too little (else NULL). */
enum cause upstream_connect_cause(int error, const char **why);

/* --- scarce.c ----------------------------------------------------------------------------------------------------- */

/* Connecting has failed for want of a descriptor; true: one was made free for somebody who waits. */
bool files_were_spared(struct endpoint *ep, int error);

/* --- books.c -------------------------------------------------------------------------------------------------------- */

/* `ep` is in service now in place of `before`. */
void endpoint_succeed(struct endpoint *ep, struct endpoint *before);

/* It is about to be freed: its counts go to its successor. */
void endpoint_bequeath(struct endpoint *ep);

/* --- reload.c ------------------------------------------------------------------------------------------------------- */

/* The upstream's endpoints in service; `upstream` may be of an earlier configuration. NULL: it has none. */
struct endpoint_group *group_of(const struct upstreams *ups, const struct config_upstream *upstream);

/* The same by name. */
struct endpoint_group *group_named(const struct upstreams *ups, struct view name);

void groups_release(struct upstreams *ups);

/* --- balance.c ------------------------------------------------------------------------------------------------------ */

/* It gets requests: nobody has taken it out of service, or too few others are left. */
static inline bool endpoint_is_available(const struct endpoint *ep)
{
	unsigned out = endpoint_budget_out(ep->budget);

	return out == 0 || (out & (OUT_PANIC | OUT_BREAKER | OUT_DISABLED)) == OUT_PANIC || PLANTED(OUT_ENDPOINT_SERVES) ||
		(out == OUT_DISABLED && PLANTED(DISABLED_SERVES));
}

/* 0: no new requests, but of those who are bound to it. */
static inline uint32_t endpoint_weight(const struct endpoint *ep)
{
	return endpoint_budget_weight(ep->budget, ep->weight);
}

/* Whose name `picked` is; NULL: none was picked. */
static inline struct endpoint *lease_named(const struct upstream_lease *lease)
{
	return lease->picked == NULL ? NULL : container_of((struct endpoint_name *)(uintptr_t)lease->picked, struct endpoint, name);
}

/* A lease begins, or has ended. */
static inline void endpoint_begin(struct endpoint *ep)
{
	ep->active++;
	++*ep->load;
}

static inline void endpoint_end(struct endpoint *ep)
{
	ep->active--;
	--*ep->load;
}

/*
 * Who is to have the request. Of `lease` what its user has set before acquiring is looked at. `group` may be NULL. NULL: there is no
 * endpoint, or all of them are out of service.
 */
struct endpoint *balance_pick(struct endpoint_group *group, const struct upstream_lease *lease);

/*
 * The same for a lease that asks for nothing (it has no key), as long as what the latest balance_pick() has found is still so; NULL: it
 * is to be asked. Who has but one endpoint does not pay for balancing.
 */
static inline struct endpoint *balance_pick_only(const struct endpoint_group *group)
{
	struct endpoint *only = group->only;

	if (only == NULL || PLANTED(ONLY_ENDPOINT_KEPT))
		return only;
	return group->only_seen == atomic_load_explicit(group->changes, memory_order_acquire) ? only : NULL;
}

/* --- waiting.c ------------------------------------------------------------------------------------------------------ */

/* How often those who wait are looked after. */
#define WAITING_LOOK_US (100 * US_PER_MS)

/* Somebody waits for a connection: from now on, as long as that is so, those who do are looked after. */
void waiting_began(struct endpoint *ep, uint64_t now_us);

/* The timer of waiting_began. */
void waiting_on_look(struct io_timer *timer);

/* --- lease.c -------------------------------------------------------------------------------------------------------- */

/*
 * The lease, which waits, goes on waiting for a connection to another endpoint of the group, if there is one that may be picked,
 * that it has not tried and that can take it. False: there is none.
 */
bool lease_move(struct endpoint_group *group, struct upstream_lease *lease, uint64_t now_us);

/* --- tried.c -------------------------------------------------------------------------------------------------------- */

/* `picked` by the policy, or in place of one that the request has tried already another one that serves. */
struct endpoint *tried_avoid(struct endpoint_group *group, const struct upstream_lease *lease, struct endpoint *picked);

bool was_tried(const struct upstream_lease *lease, const struct endpoint *ep);

/* --- breaking.c ----------------------------------------------------------------------------------------------------- */

/* The settings of its breaker, also when they are the same: whoever opened it may be gone. */
void endpoint_breaker_begin(struct endpoint *ep, const struct config_breaker *settings);
void endpoint_breaker_stop(struct endpoint *ep);

/* Whether its breaker lets the lease's request through; the lease then carries what has to be told. */
bool endpoint_breaker_try(struct endpoint *ep, struct upstream_lease *lease);
static inline bool endpoint_breaker_admits_all(const struct endpoint *ep, struct upstream_lease *lease)
{
	return shared_breaker_admits_all(&ep->budget->breaker, &lease->breaker_call);
}

static inline bool endpoint_breaker_admits(struct endpoint *ep, struct upstream_lease *lease)
{
	return endpoint_breaker_admits_all(ep, lease) || endpoint_breaker_try(ep, lease);
}

/* What the request has brought; and it has ended, whether it has brought anything or not. */
void endpoint_breaker_report(struct endpoint *ep, struct upstream_lease *lease, struct upstream_result result);
void endpoint_breaker_leave(struct endpoint *ep, struct upstream_lease *lease);

/* The lease's request is one of those by which it is found out whether the endpoint is back. */
static inline bool endpoint_breaker_tries(const struct endpoint *ep, const struct upstream_lease *lease)
{
	return shared_breaker_trial_counts(&ep->budget->breaker, lease->breaker_call);
}

/* When the first of the group's breakers lets somebody through again; UINT64_MAX: none of them is what keeps requests out. */
uint64_t group_breaker_wait_us(const struct endpoint_group *group);

/* --- report.c ------------------------------------------------------------------------------------------------------- */

/* Tells everybody who learns from what requests bring: of a request that was sent, or that could not be. */
void endpoint_report(struct endpoint *ep, struct upstream_lease *lease, struct upstream_result result);

#endif
