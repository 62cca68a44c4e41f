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
 * Re-entrancy: no function of this header calls a waiter's on_outcome synchronously. Outcomes are queued; the pool calls
 * ops->wake when there are some (once until collected) and the owner calls weir_pool_run() from its loop, which calls
 * on_outcome for each. Owner callbacks (open, close, wake) may call back into the pool.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_pool;
struct weir_pool_budget;

/* How an acquire ends: exactly one per waiter. */
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
	uint32_t slot;         /* index + 1 */
	uint32_t generation;
};

/* An acquire in progress. The memory is the caller's and must stay valid until its one outcome or its cancel. */
struct weir_pool_waiter {
	void (*on_outcome)(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);  /* set by the caller */
	uint8_t priority;                /* set by the caller; 0 is served first, up to 3 */

	struct weir_pool_lease lease;    /* valid when DELIVERED */
	void *connection;                /* the owner's connection when DELIVERED */
	bool reused;                     /* it has served somebody before */
	int reason;                      /* OPEN_FAILED: the owner's number */

	/* private to the pool */
	struct weir_pool_waiter *prev, *next;
	struct weir_pool *pool;
	uint64_t deadline_us;
	uint64_t queued_us;
	uint32_t heap_at;
	uint8_t stage;
	uint8_t outcome;
};

enum weir_pool_order { WEIR_POOL_LIFO, WEIR_POOL_FIFO };

struct weir_pool_config {
	uint32_t connections_max;     /* of this pool and, through the budget, of all that share it; 1..1000000 */
	uint32_t waiters_max;         /* queue bound; 0: nobody waits */
	uint32_t connecting_max;      /* concurrent opens; 1.. */
	uint32_t uses_max;            /* leases per connection; 0: no limit */
	enum weir_pool_order order;
	uint64_t acquire_timeout_us;  /* upper bound of any waiter's deadline; not 0 */
	uint64_t idle_timeout_us;     /* an idle connection older than this is closed; 0: never */
	uint64_t lifetime_max_us;     /* age at which a connection is not reused any more, +-10% jitter; 0: never */
};

/* What the pool asks of its owner. `owner` is weir_pool_create's. */
struct weir_pool_ops {
	/*
	 * Begin opening a connection for `slot`. The owner answers, at once or later, with weir_pool_opened or
	 * weir_pool_open_failed for that slot (also from inside this call).
	 */
	void (*open)(void *owner, uint32_t slot);
	/* Begin closing; the owner answers with weir_pool_closed for the slot, at once or later. Also for a slot still opening. */
	void (*close)(void *owner, uint32_t slot, void *connection);
	/* There are outcomes to collect, or the next event time moved: call weir_pool_run soon. */
	void (*wake)(void *owner);
	/* weir_pool_close has finished; the pool may be freed from here. Told exactly once. */
	void (*on_closed)(void *owner);
	/* Random bits, for jitter. */
	uint64_t (*random)(void *owner);
};

struct weir_pool_stats {
	uint32_t idle, connecting, leased, closing;  /* now */
	uint32_t waiting;                            /* now */
	uint64_t opened, open_failed, closed;        /* since the start; opened - closed = idle + leased + closing(opened) */
	uint64_t acquires[WEIR_POOL_PENDING];        /* by outcome */
	uint64_t reused;                             /* deliveries of a connection that was used before */
	uint64_t bad_give_backs;                     /* stale, double or foreign tokens */
};

/* NULL: out of memory or a config value out of its range (errno EINVAL). The budget is borrowed and may be NULL (private). */
struct weir_pool *weir_pool_create(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner,
	struct weir_pool_budget *budget);

/* The pool must have told on_closed, or never had a connection and a waiter. */
void weir_pool_free(struct weir_pool *pool);

/*
 * Asks for a connection until deadline_us (cut to now + acquire_timeout). DELIVERED, REJECTED, TIMED_OUT (the deadline
 * has passed), OPEN_FAILED (open failed inside the call and nobody may wait for another), CLOSED at once; or PENDING, and
 * then on_outcome exactly once from weir_pool_run, unless cancelled before.
 */
enum weir_pool_outcome weir_pool_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us);

/*
 * The side that asked gives up. Legal at every stage, O(1), idempotent: before acquire (zeroed waiter), waiting, with an
 * outcome not yet collected (a delivered connection goes back in the same step), and after the end (nothing happens).
 * After it on_outcome is not called.
 */
void weir_pool_cancel(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us);

enum weir_pool_give_back { WEIR_POOL_REUSABLE, WEIR_POOL_DISCARD };

/* Ends a lease. False (counted, nothing else) for a token that is not a live lease of this pool. */
bool weir_pool_give_back(struct weir_pool *pool, struct weir_pool_lease lease, enum weir_pool_give_back how,
	uint64_t now_us);

/* --- what the owner tells -------------------------------------------------------------------------------------- */

void weir_pool_opened(struct weir_pool *pool, uint32_t slot, void *connection, uint64_t now_us);
/* `reason` is handed to the waiter that fails with it. */
void weir_pool_open_failed(struct weir_pool *pool, uint32_t slot, int reason, uint64_t now_us);
/* The answer to ops->close. */
void weir_pool_closed(struct weir_pool *pool, uint32_t slot, uint64_t now_us);
/*
 * An idle connection is no longer usable (readable, closed by the peer): the pool will ask to close it. For a leased one
 * the mark makes its give-back a discard.
 */
void weir_pool_spoiled(struct weir_pool *pool, uint32_t slot, uint64_t now_us);

/* --- time ------------------------------------------------------------------------------------------------------- */

/* Times out waiters, closes idle connections past their time, delivers outcomes. Call after `wake` and at the time below. */
void weir_pool_run(struct weir_pool *pool, uint64_t now_us);

/* When weir_pool_run has something to do next; UINT64_MAX: nothing planned. */
uint64_t weir_pool_next_event(const struct weir_pool *pool);

/* --- end --------------------------------------------------------------------------------------------------------- */

/* Refuses new acquires, ends all waiters with CLOSED, closes idle connections, leased ones as they come back; then on_closed. */
void weir_pool_close(struct weir_pool *pool, uint64_t now_us);

/* --- books -------------------------------------------------------------------------------------------------------- */

void weir_pool_stats(const struct weir_pool *pool, struct weir_pool_stats *stats);

/* Recounts every list against the counters; NULL when they agree, else what does not. For tests and the self-audit. */
const char *weir_pool_audit(const struct weir_pool *pool);

/* --- the shared budget ---------------------------------------------------------------------------------------------- */

/*
 * Counts the connections of all pools that share it; lock free. When a pool with waiters finds it spent, it registers
 * for a wake; a pool that returns a unit while others are registered calls `notify` with that pool's owner (from the
 * returning thread: the callback must only post to the other thread, which then calls weir_pool_budget_freed).
 */
struct weir_pool_budget *weir_pool_budget_create(uint32_t connections_max, void (*notify)(void *owner));
void weir_pool_budget_free(struct weir_pool_budget *budget);
uint32_t weir_pool_budget_used(const struct weir_pool_budget *budget);
void weir_pool_budget_freed(struct weir_pool *pool, uint64_t now_us);

#endif
