/*
 * weir_pool: who holds which connection, who waits, and until when.
 *
 * A pool keeps the books of the connections to one endpoint, for one thread. It never touches a socket and never looks
 * at a clock: it asks its owner to open and close connections, is told what happened, and is given the time with every
 * call that needs one. An acquire can be cancelled at any moment; a connection whose borrower has gone goes back in the
 * same step. There is no waiting for ever and no unbounded queue.
 *
 * Words: a connection is idle, connecting, leased or closing. A lease is the right to use one connection, named by slot
 * and generation. A waiter is an acquire in progress. A deadline is an absolute point in microseconds. A budget is the
 * number of connections that all pools of an endpoint (one per thread) may have together.
 *
 * Re-entrancy: only weir_pool_run calls a waiter's on_outcome, and ops->on_closed. Outcomes are queued; the pool calls
 * ops->wake when there are some (once until collected) and the owner calls weir_pool_run() from its loop, which calls
 * on_outcome for each. Callbacks may call back into the pool. From inside a callback weir_pool_run does nothing (it
 * belongs to the loop), and from inside open and close nothing further is asked of the owner before they have
 * returned, so that no chain of failures nests.
 *
 * Memory: everything is allocated by weir_pool_create, for connections_max and waiters_max; later calls cannot run out.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_pool;
struct weir_pool_budget;

#define WEIR_POOL_CONNECTIONS_MAX 1000000
#define WEIR_POOL_WAITERS_MAX 1000000

/* How an acquire ends: exactly one per acquire. */
enum weir_pool_outcome {
	WEIR_POOL_DELIVERED,    /* the waiter's lease is valid */
	WEIR_POOL_TIMED_OUT,    /* its deadline came first */
	WEIR_POOL_CANCELLED,    /* weir_pool_cancel; never told through on_outcome */
	WEIR_POOL_REJECTED,     /* the queue is full */
	WEIR_POOL_OPEN_FAILED,  /* the endpoint cannot be reached; waiter->reason is what the owner gave */
	WEIR_POOL_CLOSED,       /* the pool is closing */
	WEIR_POOL_PENDING,      /* not an outcome: weir_pool_acquire's answer when on_outcome will follow */
};

/* The right to use one connection. A stale, double or foreign token is recognised and harms nobody. {0} is no lease. */
struct weir_pool_lease {
	uint32_t slot;         /* the owner's slot number + 1 */
	uint32_t generation;
	uint32_t pool;         /* which pool's it is */
};

/*
 * An acquire in progress. Zeroed before the first use. The memory is the caller's and must stay valid until its one
 * outcome or its cancel, and until weir_pool_acquire has returned; then it may be used again.
 */
struct weir_pool_waiter {
	void (*on_outcome)(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);  /* set by the caller */
	uint8_t priority;                /* set by the caller; 0 is served first; 3 and more: last */

	struct weir_pool_lease lease;    /* valid when DELIVERED */
	void *connection;                /* the owner's connection when DELIVERED */
	bool reused;                     /* it has served somebody before */
	int reason;                      /* OPEN_FAILED: the owner's number */

	/* private to the pool */
	struct weir_pool_waiter *prev, *next;
	struct weir_pool *pool;
	uint64_t deadline_us;
	uint64_t queued_us;
	uint32_t deadline_at;
	uint32_t slot;
	uint8_t stage;
	uint8_t outcome;
	uint8_t queue;
};

enum weir_pool_order { WEIR_POOL_LIFO, WEIR_POOL_FIFO };

struct weir_pool_config {
	uint32_t connections_max;     /* of this pool and, through the budget, of all that share it; 1..1000000 */
	/*
	 * Queue bound, 0..1000000. A waiter for whom an open is in flight does not count: so with 0 an acquire may
	 * wait for the connection that is opened for it, and nobody waits for a connection that somebody else has.
	 */
	uint32_t waiters_max;
	uint32_t connecting_max;      /* concurrent opens; 1.. */
	uint32_t uses_max;            /* leases per connection; 0: no limit */
	enum weir_pool_order order;
	uint64_t acquire_timeout_us;  /* upper bound of any waiter's deadline; not 0 */
	uint64_t idle_timeout_us;     /* an idle connection older than this is closed; 0: never */
	uint64_t lifetime_max_us;     /* age at which a connection is not reused any more, +-10% jitter; 0: never */
};

/* What the pool asks of its owner; every one is needed. `owner` is weir_pool_create's. */
struct weir_pool_ops {
	/*
	 * Begin opening a connection for `slot` (0..connections_max - 1). The owner answers once, at once or later,
	 * with weir_pool_opened or weir_pool_open_failed for that slot (also from inside this call).
	 */
	void (*open)(void *owner, uint32_t slot);
	/*
	 * Begin closing; the owner answers with weir_pool_closed for the slot, at once or later. Also for a slot still
	 * opening (`connection` is NULL): the owner gives the attempt up and answers with weir_pool_closed, or with
	 * weir_pool_open_failed, which then means the same.
	 */
	void (*close)(void *owner, uint32_t slot, void *connection);
	/* There are outcomes to collect, or the next event time moved: call weir_pool_run soon. */
	void (*wake)(void *owner);
	/* weir_pool_close has finished; the pool may be freed from here. Told exactly once, from weir_pool_run. */
	void (*on_closed)(void *owner);
	/* Random bits, for jitter. */
	uint64_t (*random)(void *owner);
};

struct weir_pool_stats {
	uint32_t idle, connecting, leased, closing;  /* now */
	uint32_t waiting;                            /* now */
	uint64_t opened, open_failed, closed;        /* totals; opened - closed are there now */
	uint64_t acquires[WEIR_POOL_PENDING];        /* by outcome */
	uint64_t reused;                             /* deliveries of a connection that was used before */
	uint64_t bad_give_backs;                     /* stale, double or foreign tokens */
	uint64_t bad_reports;                        /* the owner told of a slot what cannot be; ignored */
};

/*
 * NULL: out of memory or a config value out of its range (errno EINVAL). The budget is borrowed and may be NULL
 * (private).
 */
struct weir_pool *weir_pool_create(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner,
	struct weir_pool_budget *budget);

/* The pool must have told on_closed, or have no connection and no waiter (checked, aborts). NULL is allowed. */
void weir_pool_free(struct weir_pool *pool);

/*
 * Asks for a connection until deadline_us (cut to now + acquire_timeout). DELIVERED, REJECTED, TIMED_OUT (the deadline
 * has passed), OPEN_FAILED (the open failed inside the call), CLOSED at once (CANCELLED: by a callback inside the
 * call); or PENDING, and then on_outcome exactly once from weir_pool_run, unless cancelled before. Who waits is served
 * before whoever comes later with the same priority, and never at or after the deadline: what was delivered but not
 * told by then goes back, and TIMED_OUT is told.
 *
 * Using a waiter that is still waiting is a bug (checked, aborts).
 */
enum weir_pool_outcome weir_pool_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us);

/*
 * The side that asked gives up. Legal at every stage, O(1) however many wait, idempotent: before acquire (zeroed
 * waiter), waiting, with an outcome not yet collected (a delivered connection goes back in the same step), and after
 * the end (nothing happens; a lease that was told is given back with weir_pool_give_back). After it on_outcome is not
 * called.
 */
void weir_pool_cancel(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us);

enum weir_pool_give_back { WEIR_POOL_REUSABLE, WEIR_POOL_DISCARD };

/* Ends a lease. False (counted, nothing else) for a token that is not a live lease of this pool. */
bool weir_pool_give_back(struct weir_pool *pool, struct weir_pool_lease lease, enum weir_pool_give_back how,
	uint64_t now_us);

/* --- what the owner tells ----------------------------------------------------------------------------------------- */

void weir_pool_opened(struct weir_pool *pool, uint32_t slot, void *connection, uint64_t now_us);
/*
 * `reason` is handed to the waiter that fails with it: the one whose turn it is. Each failed open ends one waiter at
 * most, and none when the opens still in flight are enough for all who wait; another open is begun for those who are
 * left.
 */
void weir_pool_open_failed(struct weir_pool *pool, uint32_t slot, int reason, uint64_t now_us);
/* The answer to ops->close. */
void weir_pool_closed(struct weir_pool *pool, uint32_t slot, uint64_t now_us);
/*
 * An idle connection is no longer usable (readable, closed by the peer): the pool will ask to close it. For a leased
 * one the mark makes its give-back a discard.
 */
void weir_pool_spoiled(struct weir_pool *pool, uint32_t slot, uint64_t now_us);

/* --- time --------------------------------------------------------------------------------------------------------- */

/*
 * Times out waiters, closes idle connections past their time, tells the outcomes that there are (those that arise
 * meanwhile are told by the next run, for which `wake` is called). Call after `wake` and at the time below.
 */
void weir_pool_run(struct weir_pool *pool, uint64_t now_us);

/*
 * When weir_pool_run has something to do next; UINT64_MAX: nothing planned. To be read after each weir_pool_run; when
 * it moves to an earlier time after that, `wake` is called. It may be too early (what was planned has ended), never
 * too late.
 */
uint64_t weir_pool_next_event(const struct weir_pool *pool);

/* --- end ---------------------------------------------------------------------------------------------------------- */

/*
 * Refuses new acquires, ends all waiters with CLOSED, closes idle connections, leased ones as they come back; then
 * on_closed.
 */
void weir_pool_close(struct weir_pool *pool, uint64_t now_us);

/* --- books -------------------------------------------------------------------------------------------------------- */

void weir_pool_stats(const struct weir_pool *pool, struct weir_pool_stats *stats);

/* Recounts every list against the counters; NULL when they agree, else what does not. For tests and the self-audit. */
const char *weir_pool_audit(const struct weir_pool *pool);

/* --- the shared budget -------------------------------------------------------------------------------------------- */

/*
 * Counts the connections of all pools that share it; lock free. Pools help each other out through `notify`:
 *
 *   - a unit that is returned while others wait for one is kept for one of them, which is notified, each in its turn;
 *   - a pool that has waiters and finds the budget spent has one notified that may have idle connections, and that one,
 *     if it has too few to give up, the next.
 *
 * `notify` is called with the owner of the pool in question from the thread of the other: it must only post to the
 * owner's thread, which then calls weir_pool_budget_freed, also when the pool needs nothing any more; it need not when
 * the pool has told on_closed or been freed meanwhile. Two notices of which none has been answered may become one.
 * `notify` is not called for a pool after its on_closed, nor after its weir_pool_free.
 *
 * A pool with waiters of its own serves them first, but while others wait only for one turn: 32 of its waiters, or half
 * the acquire timeout divided by the number of those others and by the connections it has, whichever is over first.
 * Then it closes the next connection that comes back, for one of them, and goes on with the rest; so of pools that are
 * never without waiters none starves. What it has idle it gives up for others that wait, in each of its calls.
 *
 * NULL: out of memory or a bad argument (errno EINVAL): connections_max out of 1..1000000, no notify.
 */
struct weir_pool_budget *weir_pool_budget_create(uint32_t connections_max, void (*notify)(void *owner));
/* All its pools must have been freed (checked, aborts). NULL is allowed. */
void weir_pool_budget_free(struct weir_pool_budget *budget);
/* Connections, and units kept for pools that have been notified. */
uint32_t weir_pool_budget_used(const struct weir_pool_budget *budget);
/* The answer to notify. */
void weir_pool_budget_freed(struct weir_pool *pool, uint64_t now_us);

#endif
