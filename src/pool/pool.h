/*
 * weir_pool: who holds which connection, who waits, and until when.
 *
 * A pool keeps the books of the connections to one endpoint, for one thread. It never touches a socket and never looks
 * at a clock: it asks its owner to open, check and close connections, is told what happened, and is given the time with
 * every call that needs one. An acquire can be cancelled at any moment; a connection whose borrower has gone goes back in
 * the same step. There is no waiting for ever and no unbounded queue.
 *
 * Words: a connection is connecting, idle, checking, leased or closing. A lease is the right to use one connection, named
 * by slot and generation. A waiter is an acquire in progress. A deadline is an absolute point in microseconds. A budget is
 * the number of connections that all pools of an endpoint (one per thread) may have together.
 *
 * Re-entrancy: only weir_pool_run calls a waiter's on_outcome, ops->overdue and ops->on_closed. Outcomes are queued; the
 * pool calls ops->wake when there are some (once until collected) and the owner calls weir_pool_run() from its loop, which
 * calls on_outcome for each. Callbacks may call back into the pool, also to give back a lease or to close. From inside a
 * callback weir_pool_run does nothing (it belongs to the loop), and from inside open, check and close nothing further is
 * asked of the owner before they have returned, so that no chain of failures nests.
 *
 * Memory: everything is allocated by weir_pool_create, for connections_max, overflow_max and waiters_max; later calls
 * cannot run out.
 *
 * Threads: a pool belongs to one thread; only its budget may be shared with other threads.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pool;
struct weir_pool_budget;

#define WEIR_POOL_CONNECTIONS_MAX 1000000
#define WEIR_POOL_WAITERS_MAX 1000000
#define WEIR_POOL_TIME_BUCKETS 24

/* How an acquire ends: exactly one per acquire. */
enum weir_pool_outcome {
	WEIR_POOL_DELIVERED,    /* the waiter's lease is valid */
	WEIR_POOL_TIMED_OUT,    /* its deadline came first */
	WEIR_POOL_CANCELLED,    /* weir_pool_cancel; never told through on_outcome */
	WEIR_POOL_REJECTED,     /* it is no use to wait: waiter->refusal says why */
	WEIR_POOL_OPEN_FAILED,  /* the endpoint cannot be reached; waiter->reason is what the owner gave */
	WEIR_POOL_CLOSED,       /* the pool is draining or closing */
	WEIR_POOL_PENDING,      /* not an outcome: weir_pool_acquire's answer when on_outcome will follow */
};

/* Why an acquire was REJECTED. */
enum weir_pool_refusal {
	WEIR_POOL_NOT_REFUSED,
	WEIR_POOL_QUEUE_FULL,  /* waiters_max wait; or it has lost its place to one of a higher priority */
	WEIR_POOL_SHED,        /* the queue stands, and it has waited for queue_target */
	WEIR_POOL_LATE,        /* its deadline would come first (config.refuse_late) */
	WEIR_POOL_REFUSALS
};

/* The right to use one connection. A stale, double or foreign token is recognised and harms nobody. {0} is no lease. */
struct weir_pool_lease {
	uint32_t slot;         /* the owner's slot number + 1 */
	uint32_t generation;
	uint32_t pool;         /* which pool's it is */
};

/*
 * An acquire in progress. Zeroed, or weir_pool_waiter_init, before the first use. The memory is the caller's and must stay
 * valid until its one outcome or its cancel, and until weir_pool_acquire has returned; then it may be used again.
 */
struct weir_pool_waiter {
	void (*on_outcome)(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);  /* set by the caller */
	uint8_t priority;                /* set by the caller; 0 is served first; 3 and more: last */
	/*
	 * Set by the caller: serve it with a connection that was just opened, never with one that has served or idled. For
	 * who has found a reused connection dead and tries again. It is served before all priorities.
	 */
	bool fresh;

	struct weir_pool_lease lease;    /* valid when DELIVERED */
	void *connection;                /* the owner's connection when DELIVERED */
	bool reused;                     /* DELIVERED: it has served somebody before */
	bool rested;                     /* DELIVERED: it was not opened just now: its peer may have closed it meanwhile */
	uint8_t refusal;                 /* REJECTED: enum weir_pool_refusal */
	/*
	 * OPEN_FAILED: the owner's number for the failed open. TIMED_OUT, REJECTED: that of the latest failed open if none
	 * has succeeded since, else 0.
	 */
	int reason;

	/* private to the pool; who is served at once needs the first line only */
	uint32_t slot;
	uint8_t stage;
	uint8_t outcome;
	uint8_t queue;
	bool overdue;
	struct weir_pool_waiter *prev, *next;
	struct weir_pool *pool;
	uint64_t deadline_us;
	uint64_t patience_us;
	uint64_t queued_us;
	uint32_t deadline_at;
};

/*
 * Before the first use of a waiter that is not zeroed, or for another use after its end: priority 0, not fresh. Of what else
 * there is in it, what an outcome gives a meaning (above) is set with that outcome; the rest may be what it was before.
 */
static inline void weir_pool_waiter_init(struct weir_pool_waiter *waiter,
	void (*on_outcome)(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome))
{
	waiter->on_outcome = on_outcome;
	waiter->priority = 0;
	waiter->fresh = false;
	waiter->stage = 0;
}

enum weir_pool_order { WEIR_POOL_LIFO, WEIR_POOL_FIFO };

/* What becomes of a waiter whose acquire_timeout is over before its own deadline. */
enum weir_pool_on_timeout {
	WEIR_POOL_FAIL,  /* TIMED_OUT */
	/*
	 * If there is room within overflow_max a connection is opened for it beyond connections_max, for which it waits
	 * another acquire_timeout at most; else TIMED_OUT.
	 */
	WEIR_POOL_NEW,
};

/* When the owner is asked whether a connection is still good (config.checks). */
enum weir_pool_checks {
	WEIR_POOL_CHECK_NEVER = 0,
	WEIR_POOL_CHECK_ON_ACQUIRE = 1,    /* an idle one, before it is leased */
	WEIR_POOL_CHECK_ON_GIVE_BACK = 2,  /* one that comes back reusable, before it is idle or leased again */
};

/* Times are microseconds. Values out of range make weir_pool_create fail with EINVAL. */
struct weir_pool_config {
	uint32_t connections_max;     /* of this pool and, through the budget, of all that share it; 1..1000000 */
	/*
	 * Connections beyond connections_max that WEIR_POOL_NEW may open; 1..1000000 with WEIR_POOL_NEW, else 0. As long as
	 * there are more than connections_max, those that come back are closed, unless somebody waits who has waited
	 * through its acquire_timeout: then they serve whoever is next.
	 */
	uint32_t overflow_max;
	/*
	 * Queue bound, 0..1000000. A waiter for whom an open or a check is in flight does not count, nor one for a unit that
	 * another pool of the budget is asked to give up because it may have idle connections. So with 0 an acquire may wait
	 * for what is made ready for it; but of several that come at once some may be refused although another pool has
	 * idle connections. When it is full, one of a higher priority takes the place of the newest of the lowest.
	 */
	uint32_t waiters_max;
	uint32_t connecting_max;      /* concurrent opens; 1.. After a failed open it is 1 until one succeeds */
	/*
	 * Connections kept ready beside the leased ones, as far as connections_max and the budget leave room;
	 * 0..connections_max. They are opened ahead (by the first weir_pool_run after creation, too). Trimming leaves them;
	 * one that idle_timeout or lifetime_max closes is replaced. For a second after an open that failed, or a connection
	 * that ended before it had served, none is opened ahead.
	 */
	uint32_t idle_min;
	uint32_t uses_max;            /* leases per connection; 0: no limit */
	enum weir_pool_order order;   /* of leasing idle connections: the one used last, or first */
	enum weir_pool_on_timeout on_acquire_timeout;
	bool refuse_late;             /* whoever could not be served by its deadline, as far as can be told, is REJECTED (LATE) */
	unsigned checks;              /* enum weir_pool_checks, joined by |; any needs ops->check and check_timeout */
	uint64_t acquire_timeout_us;  /* upper bound of any wait (twice: WEIR_POOL_NEW); not 0 */
	uint64_t idle_timeout_us;     /* an idle connection older than this is closed; 0: never */
	uint64_t leak_after_us;       /* a lease held longer is told once, by ops->overdue; 0: with reclaim_after, or never */
	uint64_t reclaim_after_us;    /* a lease held longer is ended, its connection closed; 0: never; >= leak_after */
	uint64_t check_timeout_us;    /* a check that takes as long has failed; not 0 where checks are wanted */
	uint64_t lifetime_max_us;     /* age at which a connection is not reused any more, +-10% jitter; 0: never */
	/*
	 * 0: never. Each time this has passed, half of the connections that were idle through all of it, less idle_min,
	 * rounded down, are closed, those idle longest first. So what a surge has left behind decays geometrically, and the
	 * last one stays for idle_timeout. (The low-water mark as caches of memory allocators use it.)
	 */
	uint64_t trim_interval_us;
	/*
	 * After a failed open none is begun for a random time between one half and the whole of backoff_min * 2^n, at most
	 * backoff_max, with n = opens failed in a row - 1. Waiters wait meanwhile. Both 0: no back-off.
	 */
	uint64_t backoff_min_us, backoff_max_us;
	/*
	 * Controlled delay. The queue stands when for queue_interval, whenever somebody is served, one at least had waited for
	 * queue_target, and it does not get shorter. While it stands nobody waits for longer than queue_target: who has is REJECTED
	 * (SHED), as long as more than two wait for each that has a connection. Both 0: no queue is held to stand.
	 */
	uint64_t queue_target_us, queue_interval_us;
};

enum weir_pool_overdue { WEIR_POOL_LEAKING, WEIR_POOL_RECLAIMED };

/* What the pool asks of its owner. `owner` is weir_pool_create's. */
struct weir_pool_ops {
	/*
	 * Begin opening a connection for `slot` (0..connections_max + overflow_max - 1). The owner answers once, at once or
	 * later, with weir_pool_opened or weir_pool_open_failed for that slot (also from inside this call).
	 */
	void (*open)(void *owner, uint32_t slot);
	/*
	 * Begin closing; the owner answers with weir_pool_closed for the slot, at once or later. Also for a slot still
	 * opening (`connection` is NULL): the owner gives the attempt up and answers with weir_pool_closed, or with
	 * weir_pool_open_failed, which then means the same. A check of the connection that is on the way has ended.
	 */
	void (*close)(void *owner, uint32_t slot, void *connection);
	/* There are outcomes to collect, or the next event time moved: call weir_pool_run soon. */
	void (*wake)(void *owner);
	/* weir_pool_close or _drain has finished; the pool may be freed from here. Told exactly once, from weir_pool_run. */
	void (*on_closed)(void *owner);
	/* Random bits, for jitter. Must not call the pool (checked, aborts). */
	uint64_t (*random)(void *owner);
	/*
	 * Begin checking whether the connection is good; the owner answers once, at once or later, with weir_pool_checked,
	 * unless it is asked to close the slot first. May be NULL when config.checks is 0.
	 */
	void (*check)(void *owner, uint32_t slot, void *connection);
	/*
	 * May be NULL. LEAKING: the lease has been held for leak_after. RECLAIMED: for reclaim_after; unless it is given
	 * back or touched inside this call, it ends when this returns (a later give-back is a double or stale one) and
	 * `close` follows. From weir_pool_run only.
	 */
	void (*overdue)(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what);
};

/* Why a connection was closed. */
enum weir_pool_close_reason {
	WEIR_POOL_CLOSE_DISCARDED,     /* given back as not reusable, or spoiled while it was leased */
	WEIR_POOL_CLOSE_SPOILED,       /* while idle or checked */
	WEIR_POOL_CLOSE_IDLE,          /* idle_timeout */
	WEIR_POOL_CLOSE_LIFETIME,      /* lifetime_max */
	WEIR_POOL_CLOSE_USES,          /* uses_max */
	WEIR_POOL_CLOSE_TRIMMED,       /* not needed through a trim_interval */
	WEIR_POOL_CLOSE_OVERFLOW,      /* beyond connections_max */
	WEIR_POOL_CLOSE_CHECK_FAILED,  /* or took too long */
	WEIR_POOL_CLOSE_YIELDED,       /* for another pool of the budget, or for a fresh one that somebody waits for */
	WEIR_POOL_CLOSE_RECLAIMED,     /* reclaim_after */
	WEIR_POOL_CLOSE_RENEWED,       /* weir_pool_renew */
	WEIR_POOL_CLOSE_POOL,          /* weir_pool_close, the end of weir_pool_drain, weir_pool_close_idle */
	WEIR_POOL_CLOSE_REASONS
};

/* How long something took: bucket i counts times below 16 us * 2^i and not below the bucket before; the last, the rest. */
struct weir_pool_times {
	uint64_t sum_us;
	uint64_t buckets[WEIR_POOL_TIME_BUCKETS];
};

struct weir_pool_stats {
	uint32_t idle, connecting, checking, leased, closing;  /* now */
	uint32_t waiting;                            /* now */
	uint64_t opened, open_failed, closed;        /* totals; opened - closed are there now */
	uint64_t acquires[WEIR_POOL_PENDING];        /* by outcome */
	uint64_t refusals[WEIR_POOL_REFUSALS];       /* of those that were REJECTED, by reason */
	uint64_t reused;                             /* deliveries of a connection that was used before */
	uint64_t overflowed;                         /* opens begun beyond connections_max */
	uint64_t closes[WEIR_POOL_CLOSE_REASONS];    /* connections that were to be closed, by reason */
	uint64_t leaking;                            /* leases that were told to be held too long */
	uint64_t double_give_backs;                  /* tokens of a slot's latest lease, which has ended */
	uint64_t stale_give_backs;                   /* tokens of an earlier lease of a slot */
	uint64_t foreign_give_backs;                 /* tokens that never were a lease of this pool */
	uint64_t bad_reports;                        /* the owner told of a slot what cannot be; ignored */
	struct weir_pool_times wait;                 /* of acquires that were DELIVERED */
	struct weir_pool_times use;                  /* of leases that were given back (or reclaimed) */
};

/*
 * NULL: out of memory (errno ENOMEM), or a config value out of its range, an op that is missing, or no owner (errno
 * EINVAL). The budget is borrowed and may be NULL (private); one that is shared by pools of other sizes bounds the sum, and
 * config.connections_max this pool's part.
 */
struct weir_pool *weir_pool_create(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner,
	struct weir_pool_budget *budget);

/* The pool must have told on_closed, or have no connection and no waiter, and not be calling (checked, aborts). NULL is
 * allowed. */
void weir_pool_free(struct weir_pool *pool);

/*
 * Asks for a connection until deadline_us (cut to now + acquire_timeout, or twice that with WEIR_POOL_NEW). DELIVERED,
 * REJECTED, TIMED_OUT (the deadline has passed), OPEN_FAILED (the open failed inside the call), CLOSED at once (CANCELLED:
 * while it was queued, by a callback inside the call; every other answer stands, whatever such a callback has cancelled);
 * or PENDING, and then on_outcome exactly once from weir_pool_run, unless cancelled before.
 * Who waits is served before whoever comes later with the same priority, and never at or after the deadline: what was
 * delivered but not told by then goes back, and TIMED_OUT is told.
 *
 * Using a waiter that is still waiting, or that has no on_outcome, is a bug (checked, aborts).
 */
enum weir_pool_outcome weir_pool_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us);

/*
 * The same where a connection is idle and there is nothing else to be seen to. True: as if that had answered DELIVERED. False: nothing was
 * done, and weir_pool_acquire says what there is. Calls nobody. The waiter does not wait, and need not be initialised: that it asks for a
 * `fresh` connection is not looked at.
 */
bool weir_pool_try_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us, uint64_t deadline_us);

/*
 * Those who wait, in the order in which they will be served as far as can be told now, at most `count`; returns how many. They
 * stay valid until the next call to the pool that may tell outcomes or that cancels.
 */
uint32_t weir_pool_waiting(const struct weir_pool *pool, struct weir_pool_waiter **waiters, uint32_t count);

/*
 * Who waits goes on waiting in another pool of the same thread, for a connection to something that serves as well: until the
 * same deadlines, served before those of its priority who have come later, and counted only where it ends. Costs one step for
 * each of these. on_outcome follows from weir_pool_run of the other pool, also when it can be served at once.
 *
 * False, and nothing has changed: it does not wait any more, or `to` could not keep it (it drains or closes, its queue is
 * full, or stands, or the deadline has come), or it was called from inside open, check or close of one of the two.
 */
bool weir_pool_move(struct weir_pool_waiter *waiter, struct weir_pool *to, uint64_t now_us);

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

/*
 * The lease is in use, not forgotten: leak_after and reclaim_after count from now. False (not counted) when it is no live
 * lease of this pool.
 */
bool weir_pool_touch(struct weir_pool *pool, struct weir_pool_lease lease, uint64_t now_us);

/* --- what the owner tells ----------------------------------------------------------------------------------------- */

void weir_pool_opened(struct weir_pool *pool, uint32_t slot, void *connection, uint64_t now_us);
/*
 * `reason` is handed to the waiters that fail with it. Where nothing else is open or on its way (no connection is
 * connecting, checking, idle or leased) the endpoint is plainly dead, and all who wait hear it at once. Else the one whose
 * turn it is hears it, unless the opens and checks still in flight are enough for all who wait. For those who are left
 * another open is begun when the back-off is over.
 */
void weir_pool_open_failed(struct weir_pool *pool, uint32_t slot, int reason, uint64_t now_us);
/* The answer to ops->close. */
void weir_pool_closed(struct weir_pool *pool, uint32_t slot, uint64_t now_us);
/* The answer to ops->check. A connection that is not good is closed, and whoever waited for it waits on. */
void weir_pool_checked(struct weir_pool *pool, uint32_t slot, bool good, uint64_t now_us);
/*
 * An idle or checked connection is no longer usable (readable, closed by the peer): the pool will ask to close it. For a
 * leased one the mark makes its give-back a discard.
 */
void weir_pool_spoiled(struct weir_pool *pool, uint32_t slot, uint64_t now_us);
/*
 * The endpoint has become another one (its name resolves to another address, its certificate has changed): no connection
 * that exists is leased again. Idle, checked and connecting ones are closed at once, leased ones as they come back. Those
 * who wait wait on, for new connections. Ends a back-off.
 */
void weir_pool_renew(struct weir_pool *pool, uint64_t now_us);

/* Another idle_timeout for connections that become idle from now on; 0: never. For who learns when the peer closes. */
void weir_pool_set_idle_timeout(struct weir_pool *pool, uint64_t idle_timeout_us);

/*
 * No connection is opened ahead of need (idle_min) before until_us; later, if it is paused for longer already. For who
 * is out of descriptors: those that nobody waits for can wait.
 */
void weir_pool_pause_ahead(struct weir_pool *pool, uint64_t until_us, uint64_t now_us);

/*
 * Until then a queue that is late does not begin to stand: for who makes it so on purpose, say by lowering the budget for a
 * while to measure something. A queue that stands already goes on to be shed.
 */
void weir_pool_excuse_queue(struct weir_pool *pool, uint64_t until_us);

/* --- time --------------------------------------------------------------------------------------------------------- */

/*
 * Time is what the owner's calls say: microseconds from any beginning. It may stand still; a time before the latest one
 * counts as that.
 */

/*
 * Times out waiters and checks, closes idle connections past their time, opens what idle_min wants, looks after leases held
 * too long, tells the outcomes that there are (those that arise meanwhile are told by the next run, for which `wake` is
 * called). A delivery that was in time when the run began is told as one, also after a callback has given a later time.
 * Call after creation, after `wake`, and at the time below.
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
 * on_closed. A second time it does nothing.
 */
void weir_pool_close(struct weir_pool *pool, uint64_t now_us);

/*
 * Closes the idle connections that have rested longest, at most `count`; returns how many idle ones are left. For who is about to
 * drain the pool and has no time to close a thousand connections in one go. Where idle_min would have others opened in their place,
 * weir_pool_pause_ahead() comes first.
 */
uint32_t weir_pool_close_idle(struct weir_pool *pool, uint32_t count, uint64_t now_us);

/*
 * Refuses new acquires, and serves those who wait for as long as they do; when the last has its outcome the pool closes as
 * by weir_pool_close, which may also be called before.
 */
void weir_pool_drain(struct weir_pool *pool, uint64_t now_us);

/* --- books -------------------------------------------------------------------------------------------------------- */

void weir_pool_stats(const struct weir_pool *pool, struct weir_pool_stats *stats);

/*
 * How long it will take until those who wait now have been served, going by those who were served last; 0: nobody waits, or
 * too few were served to say. For who is to tell others when to come again.
 */
uint64_t weir_pool_backlog_us(const struct weir_pool *pool, uint64_t now_us);

/* Recounts every list against the counters; NULL when they agree, else what does not. For tests and the self-audit. */
const char *weir_pool_audit(const struct weir_pool *pool);

/* A lease that is held. */
struct weir_pool_held {
	uint32_t slot;
	void *connection;
	uint64_t since_us;  /* leased, or touched, at */
};

/* The oldest leases, the oldest first, at most `count`; returns how many. */
uint32_t weir_pool_oldest(const struct weir_pool *pool, struct weir_pool_held *held, uint32_t count);

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
 * A pool with waiters of its own serves them first, but while others wait that have none, or at least two fewer, only for
 * one turn: 32 of its waiters, or half the acquire timeout divided by the number of those others and by the connections
 * it has, whichever is over first. Then it closes the next connection that comes back, for the poorest of them, and goes on
 * with the rest; so pools that are never without waiters even out, and none starves. What it has idle it gives up for
 * others that wait, in each of its calls.
 *
 * overflow_max more may be taken by pools with WEIR_POOL_NEW, together. What comes back beyond connections_max while another
 * pool waits goes to that one.
 *
 * NULL: out of memory or a bad argument (errno EINVAL): connections_max out of 1..1000000, overflow_max out of 0..1000000,
 * no notify.
 */
struct weir_pool_budget *weir_pool_budget_create(uint32_t connections_max, uint32_t overflow_max,
	void (*notify)(void *owner));
/*
 * Other limits, in the same ranges, from any thread, at any time. What is beyond a smaller one is closed as it comes back or
 * at the next call of the pool that has it idle. False: out of range, nothing is changed.
 */
bool weir_pool_budget_resize(struct weir_pool_budget *budget, uint32_t connections_max, uint32_t overflow_max);
/* All its pools must have been freed (checked, aborts). NULL is allowed. */
void weir_pool_budget_free(struct weir_pool_budget *budget);
/* Connections, and units kept for pools that have been notified. */
uint32_t weir_pool_budget_used(const struct weir_pool_budget *budget);
/* The answer to notify. */
void weir_pool_budget_freed(struct weir_pool *pool, uint64_t now_us);

#ifdef __cplusplus
}
#endif

#endif
