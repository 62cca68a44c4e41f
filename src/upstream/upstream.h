/*
 * Upstreams as one worker sees them: endpoints, who is picked, and leased connections to them.
 *
 * An upstream has endpoints; each endpoint has a pool (the books) and this room owns the sockets that the pool talks
 * about. A lease is how an exchange gets, uses and gives back one connection:
 *
 *     upstream_acquire --> UPSTREAM_ACQUIRED or _PENDING --(on_outcome)--> held --> upstream_give_back
 *                 `--> UPSTREAM_FAILED                 `--> upstream_drop
 *
 * The lease stands inside its user. upstream_drop() ends it at any stage, and is the only call a teardown needs.
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_H
#define WEIR_UPSTREAM_UPSTREAM_H

#include "base/cause.h"
#include "base/time_book.h"
#include "base/wide.h"
#include "config/model.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "upstream/load_curve.h"
#include "upstream/passive.h"

struct endpoint;
struct endpoint_budget;
struct h2_scratch;
struct tls_scratch;
struct tls_set;
struct upstreams;

/* What an endpoint is called. */
struct endpoint_name {
	struct view upstream;
	struct view address_text;      /* as the configuration writes it */
	struct view authority;         /* what to ask it for where nobody names another: its name for TLS, or its address */
	uint64_t id;                   /* of upstream and address, the same in every gateway; never 0 */
};

/* What balancing asks of a request. */
struct balance_key {
	const struct config_labels *subset;  /* only endpoints with all of these; NULL: any */
	uint64_t bound;                /* the id of the endpoint that its client is bound to; 0: none */
	uint64_t hash;                 /* consistent hash */
	bool is_hashed;                /* `hash` is there: the request has what is hashed */
};

enum upstream_lease_stage { LEASE_NONE, LEASE_WAITING, LEASE_HELD };

/* endpoint.c has the arrows. */
enum upstream_conn_state {
	UPSTREAM_CONN_CONNECTING,
	UPSTREAM_CONN_RESTING,   /* the pool has it, or delivers it to somebody who has not been told yet */
	UPSTREAM_CONN_HELD,      /* by `lease` */
	UPSTREAM_CONN_RECLAIMED, /* held still, and the pool takes it back in this very call */
	UPSTREAM_CONN_SPENT,     /* it carries nothing any more: the pool closes it next */
	UPSTREAM_CONN_CLOSED,    /* the memory is freed at the end of the tick */
};

/*
 * A connection to an endpoint as the pool counts them: one that speaks HTTP/1, or a place on one that speaks HTTP/2
 * (sessions.h). Owned by its endpoint; borrowed by the lease that holds it.
 */
struct upstream_conn {
	struct h1_conn h1;             /* HTTP/1 only */
	struct upstream_place *place;  /* HTTP/2 only, else NULL */
	struct stream *stream;         /* of the one or the other */
	struct endpoint *endpoint;
	struct upstream_lease *lease;  /* who holds it; NULL: it is neither held nor reclaimed */
	struct list_node node;         /* in endpoint->conns */
	struct io_timer timer;         /* connect timeout */
	struct io_task release;        /* frees the memory at the end of the tick in which it was closed */
	uint32_t slot;                 /* the pool's */
	uint32_t connect_us;           /* how long connecting took, */
	uint32_t tls_us;               /* and how much of that, at its end, was TLS */
	uint64_t began_us;
	uint64_t rests_since_us;       /* opened, or given back last */
	uint64_t asked_turn;           /* of the loop: it was asked last then whether anything is to be read, or 0 */
	uint8_t state;                 /* enum upstream_conn_state; changed by upstream_conn_enter only */
	bool served;                   /* a whole exchange at least */
	uint8_t proxy_protocol;        /* enum config_proxy_protocol: what its first bytes are to be; then it serves once */
};

/* Each try may have been at another endpoint. */
#define UPSTREAM_TRIED_MAX (1 + CONFIG_RETRY_ATTEMPTS_MAX)

struct upstream_lease;

/* What the user of a lease is told and asked: from the loop, never from inside a call to this room. */
struct upstream_lease_ops {
	void (*on_outcome)(struct upstream_lease *lease, enum cause cause);  /* CAUSE_NONE: the lease is held */
	void (*on_ready)(struct upstream_lease *lease);                      /* its connection has something new */
	/*
	 * The lease has been held for long: LEAKING for leak_after, RECLAIMED for reclaim_after of the pool that it is from,
	 * which may be of a later configuration than the user. In use is what has moved within the last quiet_max_us. True says
	 * that it is in use, and both times begin anew. False and RECLAIMED: it was dropped in the call. NULL: it always is in
	 * use.
	 */
	bool (*on_overdue)(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us);
	/*
	 * Since when the request has been owed the first byte of its answer; 0: it was not sent whole yet, or the answer has
	 * begun. NULL: it is never owed any.
	 */
	uint64_t (*owed_since)(struct upstream_lease *lease);
	/*
	 * Content of the request is still to come, and the upstream would take it; or the answer's is there, and is not taken. So
	 * it is not the upstream that takes its time. NULL: it always is.
	 */
	bool (*waits_for_user)(struct upstream_lease *lease);
};

struct upstream_lease {
	/* Set by the user before acquiring. */
	const struct upstream_lease_ops *ops;
	const struct balance_key *key;  /* borrowed until the lease has ended; NULL: nothing is asked */

	/* To be read by the user while held. */
	struct upstream_conn *conn;
	struct stream *stream;          /* on it the request is written and the answer read */
	const struct endpoint_name *picked;  /* stays until the next acquire, or upstream_lease_release; NULL: none was picked */

	/* Private, but for `priority`. */
	struct endpoint *endpoint;
	uint32_t breaker_call;          /* what its breaker has to be told of; 0: nothing */
	uint32_t at_once;               /* held at its endpoint by this worker when it came to be held, it among them */
	uint8_t stage;                  /* enum upstream_lease_stage */
	bool reported;                  /* upstream_report has been told of the present request */
	bool late;                      /* it has waited for too long and was counted for that (passive.c) */
	uint8_t flight;                 /* enum flight (concurrency.h) */
	bool replayed;                  /* upstream_acquire_again was called: from then on only fresh connections serve */
	uint8_t tried_count;
	uint8_t priority;               /* set by the user too: of the wait: 0 is served first, 3 last */

	/* Of this try, and to be read as well: zero is nothing so far. From here on an initialised one is not zero. */
	uint64_t queue_us;              /* the wait, less connecting; set once the acquire has ended */
	uint64_t connect_us;            /* how much of the wait was connecting: 0 when it was open already */
	uint64_t tls_us;                /* and how much of that was TLS */
	uint64_t held_since_us;         /* 0: this try has come to no connection yet */
	const char *why;                /* of a failure, more precise than the cause: a static sentence, or NULL */
	uint32_t retry_after_s;         /* of a failure: when to come again at the earliest; 0: nothing is known */
	bool reused;                    /* it has served somebody before */
	bool rested;                    /* it was not opened just now: it may have ended unnoticed */
	uint8_t dead;                   /* private; HTTP/2: places that it got on dead, unused sessions since it asked */

	/* Private. What is only needed by who waits, or tries again, is last. */
	uint64_t asked_us;
	uint64_t deadline_us;
	struct weir_pool_waiter waiter;
	/* The ids of the names of endpoints that the request has tried already (upstream_avoid). */
	uint64_t tried[UPSTREAM_TRIED_MAX];
};

/* Both are held: each has what the other had. Who is called back (`ops`) stays with the place. */
void upstream_lease_swap(struct upstream_lease *a, struct upstream_lease *b);

/* Before the first use, and before `ops` and `priority` are set; memory need not be zeroed. */
static inline void upstream_lease_init(struct upstream_lease *lease)
{
	wide_zero((char *)lease, offsetof(struct upstream_lease, queue_us));
}

/* `picked` is not needed any more. Once, behind the end of the last lease; the memory may then be anybody's. */
void upstream_lease_release(struct upstream_lease *lease);

enum upstream_answer { UPSTREAM_ACQUIRED, UPSTREAM_PENDING, UPSTREAM_FAILED };

/* Why a request was sent a second time: how the connection ended on which it was sent first. */
enum upstream_retry_reason { RETRY_CLOSED, RETRY_RESET, RETRY_SEND_FAILED, RETRY_REFUSED, RETRY_REASONS };

/*
 * The upstreams of the configuration. `budgets` has one for each of its endpoints, in its order (budgets.h). All pointers
 * are borrowed; configuration and budgets are until the next upstreams_reload. NULL: out of memory.
 */
struct upstreams *upstreams_create(struct io *io, struct h1_scratch *scratch, const struct config *config,
	struct endpoint_budget *const *budgets);

/*
 * Another configuration, in slices of which each is a fraction of a millisecond: what is needed for it is made
 * (upstreams_reload_make, until it says DONE), then the upstreams are those of the new one at once (upstreams_reload_change;
 * reload.c says what becomes of connections and of those who wait for one), and then upstreams_follow is called until it says that
 * nothing more follows. Upstreams that are gone go on for whoever comes with the configuration of before, until
 * upstreams_settle. `config` and `budgets` are borrowed, as by upstreams_create. Not after upstreams_close; not while something
 * follows.
 */
enum upstreams_progress { UPSTREAMS_MORE, UPSTREAMS_DONE, UPSTREAMS_NO_MEMORY };

/* False: out of memory. Nothing has changed. */
bool upstreams_reload_begin(struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets);
/* NO_MEMORY: it is cancelled. */
enum upstreams_progress upstreams_reload_make(struct upstreams *ups);
/* Before the change: nothing has changed. Legal when none was begun. */
void upstreams_reload_cancel(struct upstreams *ups);
/* Once it is made. Cannot fail. */
void upstreams_reload_change(struct upstreams *ups);
/* A slice of what follows a change, or upstreams_settle. False: nothing more follows. */
bool upstreams_follow(struct upstreams *ups);
bool upstreams_follows(const struct upstreams *ups);

/* All of it in one go. False: out of memory, and nothing has changed. */
bool upstreams_reload(struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets);

/*
 * Behind each of the two above: how endpoints whose upstream has TLS are spoken to from now on. `set` belongs to the same
 * configuration, and is needed during the call only; NULL: no upstream has TLS. `scratch` is borrowed. An endpoint that needs
 * TLS and is not told how is not spoken to at all.
 */
void upstreams_secure(struct upstreams *ups, const struct tls_set *set, unsigned worker, struct tls_scratch *scratch);

/*
 * Once, behind upstreams_create: how endpoints are spoken to that speak HTTP/2, and for how many workers max_connections is
 * to be enough. The scratch is borrowed. Without it such endpoints cannot be connected to.
 */
void upstreams_speak_h2(struct upstreams *ups, struct h2_scratch *scratch, unsigned workers);

/*
 * Once, behind upstreams_speak_h2 and upstreams_secure: this worker does the health checks of all endpoints, for all
 * workers.
 */
void upstreams_probe(struct upstreams *ups);

/* Nobody comes any more with a configuration from before the latest reload: upstreams_follow. Legal when nothing is unsettled. */
void upstreams_settle(struct upstreams *ups);
bool upstreams_unsettled(const struct upstreams *ups);

/* Closes every pool; on_closed(context) is called from the loop, once, when no connection is left. */
void upstreams_close(struct upstreams *ups, void (*on_closed)(void *context), void *context);

/* After on_closed, or when nothing was ever acquired. */
void upstreams_free(struct upstreams *ups);

/* Whether a reload from one to the other keeps the pools: their connections, and who waits for one. */
bool upstream_keeps_pools(const struct config_upstream *before, const struct config_upstream *after);

/*
 * Picks an endpoint of the upstream and asks its pool for a connection until deadline_us (and no longer than
 * acquire_timeout). When FAILED, *cause says why. `upstream` may be of an earlier configuration: then the endpoints are those
 * that the upstream of its name has now.
 */
enum upstream_answer upstream_acquire(struct upstreams *ups, const struct config_upstream *upstream,
	struct upstream_lease *lease, uint64_t deadline_us, enum cause *cause);

/*
 * The held connection had rested and has turned out to be dead before anything came back on it, or its stream was
 * refused (RETRY_REFUSED): it is closed, and a new connection to the same endpoint is asked for, until the same
 * deadline. With HTTP/2 that is a new stream: after a loss on a connection that was opened since, or that has been
 * heard of since, unless there may be no more connections; after a refusal perhaps on the same one. queue_us then is
 * the sum of both waits. Counted by reason.
 */
enum upstream_answer upstream_acquire_again(struct upstream_lease *lease, enum upstream_retry_reason reason,
	enum cause *cause);

/* What came of a try, so that the request is sent again for it (`retry`). */
enum upstream_try_failure {
	TRY_CONNECT_FAILED,
	TRY_RESET,
	TRY_FIRST_BYTE_TIMEOUT,
	TRY_STATUS_502,
	TRY_STATUS_503,
	TRY_STATUS_504,
	TRY_GRPC_STATUS,
	TRY_FAILURES,
};

/* Where another try would go: to an endpoint that the request has not tried, to one that it has, or nowhere. */
enum upstream_prospect { PROSPECT_NONE, PROSPECT_SAME, PROSPECT_OTHER };
enum upstream_prospect upstream_prospect(const struct upstreams *ups, const struct config_upstream *upstream,
	const struct upstream_lease *lease);

/* Takes one try of the upstream's budget for retries (retry_budget.h). False: it is exhausted, which is counted. */
bool upstream_may_ask_again(struct upstreams *ups, const struct config_upstream *upstream, struct upstream_lease *lease);

/*
 * The request will be sent again for this failure of the endpoint that was picked last: counted, and as long as another one
 * is available the next upstream_acquire picks that. The lease's stage does not matter.
 */
void upstream_avoid(struct upstream_lease *lease, enum upstream_try_failure failure);

/* What came of a request that was sent to an endpoint, or could not be. Small enough to be handed over by value. */
struct upstream_result {
	enum cause cause;              /* NONE: an answer came */
	unsigned status;               /* of the answer; 0: none came */
	/* From the request's last byte to the answer's first, or to now, less this loop's lag; 0: not sent whole by then. */
	uint64_t waited_us;
};

/* No answer, or one that says that the service cannot do it: 501 says something of the request. */
static inline bool upstream_result_failed(struct upstream_result result)
{
	return result.cause != CAUSE_NONE || (result.status >= 500 && result.status != 501);
}

/*
 * What came of the request on the held connection, once for each time that one was sent: when the head of its final answer
 * has come, or when it has failed for a reason that may be the endpoint's. Nothing is told of a request whose client has
 * left, or that is sent again because its connection had rested for too long.
 */
void upstream_report(struct upstream_lease *lease, struct upstream_result result);

/* The last of the request's content was handed over. */
void upstream_sent(struct upstream_lease *lease);

/* The held connection is a tunnel from now on: it may last for ever, and says nothing of what else the endpoint could serve. */
void upstream_tunnels(struct upstream_lease *lease);

/*
 * As upstream_acquire, for the request that `first` is held for, and that is to be sent a second time beside it: to an endpoint
 * that it has not tried. FAILED also when there is none, or when the budget of what may be sent again has nothing left.
 */
enum upstream_answer upstream_acquire_beside(struct upstreams *ups, const struct config_upstream *upstream,
	struct upstream_lease *second, const struct upstream_lease *first, uint64_t deadline_us, enum cause *cause);

/* A request was sent a second time beside the first; `won`: it was answered first. Told of the endpoint that `second` names. */
void upstream_count_hedge(const struct upstream_lease *second, bool won);

/*
 * Where it is told what tries have taken at the endpoint that was picked, when they are over and before another one is. NULL: none
 * was picked.
 */
struct try_book *upstream_times(const struct upstream_lease *lease);

/*
 * The request on the held connection was answered elsewhere first, after it had waited here for so long: an answer would have taken
 * longer still. In place of upstream_report().
 */
void upstream_gave_up(struct upstream_lease *lease, uint64_t waited_us);

/* How long an answer took; and how long most of them do, lately: 0: not known. Only for upstreams with `hedge`. */
void upstream_learn_latency(struct upstreams *ups, const struct config_upstream *upstream, uint64_t latency_us);
uint64_t upstream_latency(struct upstreams *ups, const struct config_upstream *upstream, unsigned permille);

/* A final response head came on the held connection. It may say how long the upstream keeps connections that rest. */
void upstream_heard(struct upstream_lease *lease, const struct message *response);

/*
 * Gives the connection back. `clean` says that the exchange on it is complete on both sides; the connection is kept only if
 * it also has nothing unread and is open in both directions. The lease is LEASE_NONE afterwards.
 */
void upstream_give_back(struct upstream_lease *lease, bool clean);

/* Ends the lease whatever its stage: a waiting one is cancelled, a held connection is closed. Legal at any time. */
void upstream_drop_any(struct upstream_lease *lease);
static inline void upstream_drop(struct upstream_lease *lease)
{
	/* As a rule it has ended already. */
	if (lease->stage != LEASE_NONE)
		upstream_drop_any(lease);
}

/*
 * Descriptors have run out where a client wanted one. Nothing is opened ahead of need for some seconds, and pipes that nobody
 * uses are closed, or, where there are none, connections that nobody holds, those first that have rested longest, a few in one
 * call; returns how many descriptors have come free. Not from inside a call to this room.
 */
unsigned upstreams_spare_files(struct upstreams *ups);

/* --- books ---------------------------------------------------------------------------------------------------------- */

/* What is counted of one endpoint, by one worker. */
struct upstream_endpoint_stats {
	struct load_curve curve;             /* of its answers that were none of failure, to requests that were sent whole */
	uint64_t early;                      /* such answers to requests that were not whole yet */
	struct try_book times;               /* of tries at it that are over */
	struct weir_pool_stats pool;
	uint64_t retries[RETRY_REASONS];
	uint64_t tried_again[TRY_FAILURES];  /* requests that were sent again for what came of them here */
	uint64_t retries_denied;             /* and that were not, since the budget was exhausted */
	uint64_t open_failed[CAUSE_COUNT];   /* connections that could not be opened; the connect causes only */
	uint64_t sessions;                   /* HTTP/2: connections, now; those that the pool counts are their streams */
	uint64_t sessions_opened;            /* of these, since ever; up to the peer's SETTINGS */
	uint64_t health_passed, health_failed;  /* health checks */
	uint64_t out;                        /* 1: it is out of service, and gets no requests unless in panic */
	uint64_t panic;                      /* 1: and it gets them all the same, since too few others are left */
	uint64_t disabled;                   /* 1: the operator has taken it out */
	uint64_t weight;                     /* that counts; 0: no new requests */
	uint64_t set;                        /* by the operator: SET_WEIGHT_MASK, SET_DRAINED (upstream/budgets.h) */
	uint64_t active;                     /* requests that are there, or wait for a connection to it */
	uint64_t health_state;               /* enum health_state (upstream/passive.h) */
	uint64_t health_reason;              /* enum health_reason: of its last change */
	uint64_t health_changed_us;          /* how long ago that was; 0: it never was */
	uint64_t ejections[HEALTH_REASONS];  /* told by the first worker only */
	uint64_t ports_exhausted;            /* connections that could not be opened for want of a local port */
	uint64_t silent;                     /* requests that were waited for until their time was up */
	uint64_t broken;                     /* that failed otherwise without an answer */
	uint64_t errors;                     /* that were answered with a failure */
	/* When last recounted: requests that wait for the first byte of their answer; and those that are there, or wait so, for long. */
	uint64_t owed, owed_long, held_long;
	uint64_t hedges, hedges_won;         /* requests that were sent to it beside another; answered first */
	uint64_t breaker_opened;
	uint64_t breaker_state;              /* enum breaker_state, over all workers */
	uint64_t leaking;                    /* leases held for leak_after that were found not to be in use */
	uint64_t audits;                     /* recounts of its books */
	uint64_t audit_mismatch;             /* of them, those that did not agree: a bug when not 0 */
	uint64_t learned_idle_us;            /* after which it has been seen to close idle connections; 0: never seen */
	uint64_t announced_idle_us;          /* what it says itself (Keep-Alive: timeout); 0: nothing */
	struct upstream_concurrency_stats {
		/* How many requests it gets at once, over all workers; each of them says the same. */
		uint64_t limit;              /* without those parked */
		uint64_t knee;               /* in millionths: from which on more only queue; 0: not reached so far */
		uint64_t latency_us;         /* without a queue; 0: nothing is known */
		uint64_t parked;             /* requests beside the limit: tunnels, and answers that go on for long */
		uint64_t moved_us;           /* how long ago the limit last moved by itself; 0: it never has */
		uint64_t reason;             /* enum limiter_reason (upstream/limiter.h): why */
		bool told;                   /* the others are known: the endpoint is in service */
	} concurrency;
};

/* Adds up what several workers have counted of one endpoint. */
void upstream_endpoint_stats_add(struct upstream_endpoint_stats *to, const struct upstream_endpoint_stats *from);

/*
 * What was counted of the endpoint since it came, whatever its pool settings were meanwhile.
 * `i` counts endpoints over all upstreams in the order of the configuration that is current. False past the end.
 */
bool upstreams_endpoint_stats(const struct upstreams *ups, size_t i, const struct config_upstream **upstream,
	const struct config_endpoint **endpoint, struct upstream_endpoint_stats *stats);

/* A lease that is held, and by whom. */
struct upstream_held {
	const struct endpoint_name *name;    /* as long as it is held */
	struct upstream_lease *lease;        /* NULL: nobody holds it, which is a bug */
	uint64_t since_us;                   /* leased, or last found to be in use */
};

/* The leases of all endpoints that are the oldest, the oldest first, at most `count`; returns how many. */
size_t upstreams_oldest(const struct upstreams *ups, struct upstream_held *held, size_t count);

/* NULL when every pool's books agree with this room's own lists. */
const char *upstreams_audit(const struct upstreams *ups);

/*
 * Where this room tells what the operator should read (`level` is enum config_log_level; one line). The self-audit and
 * the watch over leases tell there; without it they only count.
 */
void upstreams_observe(struct upstreams *ups, void (*on_event)(void *context, int level, const char *text),
	void *context);

#endif
