/*
 * The pool's inside: connections in slots, waiters in queues, and the functions that change them.
 *
 * A slot is in exactly one state and one list, the list of that state, so the counters are the lengths of the lists:
 *
 *            open                opened             acquire
 *   FREE ----------> CONNECTING ---------> IDLE ---------------> LEASED
 *    ^ ^                | |                 | ^                    | |
 *    | +- open_failed --+ | pool closes     | +---- give back -----+ | discarded, spoiled, used up, too old
 *    |                    v                 v expired, spoiled       v
 *    +---- closed --- CLOSING <-- asked -- DOOMED <------------------+
 *
 * DOOMED: the owner has still to be asked to close it. For the outside DOOMED and CLOSING are both "closing".
 *
 * A waiter is NEW (zeroed), WAITING in the queue of its priority, RESOLVED in the list of outcomes to be told, or
 * ENDED.
 */
#ifndef WEIR_POOL_ENGINE_H
#define WEIR_POOL_ENGINE_H

#include "pool/budget.h"
#include "pool/check.h"
#include "pool/deadlines.h"
#include "pool/pool.h"

#define POOL_PRIORITIES 4
#define POOL_NO_SLOT UINT32_MAX
#define POOL_TURN_MAX 32  /* own waiters served while the hand of another pool is up (engine.c) */

enum slot_state { SLOT_FREE, SLOT_CONNECTING, SLOT_IDLE, SLOT_LEASED, SLOT_DOOMED, SLOT_CLOSING, SLOT_STATES };

struct slot {
	void *connection;      /* NULL until opened */
	uint64_t expires_us;   /* not leased again from then on; UINT64_MAX: never */
	uint64_t uses;         /* leases so far */
	uint32_t prev, next;   /* in the list of its state */
	uint32_t generation;   /* of its latest lease */
	uint32_t deadline_at;  /* place in idle_deadlines, while idle */
	uint8_t state;
	bool opened;
	bool spoiled;          /* leased, and not to be used again */
};

struct slot_list {
	uint32_t first, last;
	uint32_t count;
};

enum waiter_stage { WAITER_NEW, WAITER_WAITING, WAITER_RESOLVED, WAITER_ENDED };

struct waiter_list {
	struct weir_pool_waiter *first, *last;
	uint32_t count;
};

struct weir_pool {
	struct weir_pool_config config;
	struct weir_pool_ops ops;
	void *owner;
	struct weir_pool_budget *budget;  /* borrowed; NULL: private, or left after the end */
	struct pool_seat *seat;
	uint32_t serial;                  /* tells this pool's leases from those of others */
	uint64_t now_us;                  /* the latest time any call has given */

	struct slot *slots;               /* connections_max; slots_used of them have ever been used */
	uint32_t slots_used;
	struct slot_list in[SLOT_STATES]; /* the latest first; FREE holds those that were in use before */
	struct pool_deadlines idle_deadlines;

	struct waiter_list queues[POOL_PRIORITIES];
	uint32_t waiting;                 /* in all queues */
	uint32_t turn_leases;             /* own waiters served in the present turn; 0: none has begun */
	uint64_t turn_ends_us;            /* while one has begun */
	struct pool_deadlines wait_deadlines;
	struct waiter_list outcomes;      /* resolved, to be told by weir_pool_run */

	uint64_t next_us;                 /* what weir_pool_next_event says; never later than the first deadline */
	bool replanned;                   /* next_us became earlier since the owner last looked */
	bool woken;                       /* ops->wake was called and weir_pool_run has still to come */
	bool asking;                      /* the loop that asks the owner to open and close is running */
	bool closing;
	bool closed_told;
	uint32_t calling;                 /* depth of owner callbacks */

	struct weir_pool_stats stats;     /* the totals; the present counts are the lists' */
};

/* --- slots.c ------------------------------------------------------------------------------------------------------ */

void pool_slots_init(struct weir_pool *pool);

/* The number by which the owner knows the slot. */
static inline uint32_t slot_index(const struct weir_pool *pool, const struct slot *slot)
{
	return (uint32_t)(slot - pool->slots);
}

/* Connections that exist or are being opened or closed: what counts against the maximum. */
static inline uint32_t pool_live(const struct weir_pool *pool)
{
	return pool->slots_used - pool->in[SLOT_FREE].count;
}

/* Connections that are on their way out: their units will come back. */
static inline uint32_t pool_ending(const struct weir_pool *pool)
{
	return pool->in[SLOT_DOOMED].count + pool->in[SLOT_CLOSING].count;
}

/* A free slot, now CONNECTING. There must be room. */
struct slot *pool_slot_take(struct weir_pool *pool);

/* The only place that changes a slot's state; checks that the step is one of the diagram's. */
void pool_slot_move(struct weir_pool *pool, struct slot *slot, enum slot_state to);

/* The first or last of a list, NULL when it is empty. */
struct slot *pool_slot_first(struct weir_pool *pool, enum slot_state state);
struct slot *pool_slot_last(struct weir_pool *pool, enum slot_state state);

/* The slot that an owner's number or a lease names; NULL when it names none. */
struct slot *pool_slot_named(struct weir_pool *pool, uint32_t index);
struct slot *pool_slot_leased(struct weir_pool *pool, struct weir_pool_lease lease);

/* --- waiters.c ---------------------------------------------------------------------------------------------------- */

/* NEW or ENDED -> WAITING, at the end of its priority's queue. */
void pool_waiter_enqueue(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Whose turn it is; NULL when nobody waits. */
struct weir_pool_waiter *pool_waiter_next(struct weir_pool *pool);

/* WAITING -> RESOLVED: out of the queue, into the outcomes to be told. */
void pool_waiter_resolve(struct weir_pool *pool, struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);

/* Any stage -> ENDED: out of every list, counted with its outcome. */
enum weir_pool_outcome pool_waiter_end(struct weir_pool *pool, struct weir_pool_waiter *waiter,
	enum weir_pool_outcome outcome);

/* Resolves with TIMED_OUT everybody whose deadline has come. */
void pool_waiters_expire(struct weir_pool *pool);

/* --- engine.c ----------------------------------------------------------------------------------------------------- */

/* Takes the caller's time; time never goes back, whatever the callers say. */
void pool_clock(struct weir_pool *pool, uint64_t now_us);
uint64_t pool_time_after(uint64_t now_us, uint64_t span_us);

/* weir_pool_run has something to do at due_us. */
void pool_plan(struct weir_pool *pool, uint64_t due_us);

/* An opened connection that nobody uses: idle if it may be used again, else doomed. */
void pool_slot_park(struct weir_pool *pool, struct slot *slot);

/* The slot is empty; its unit goes back to the budget. */
void pool_slot_free(struct weir_pool *pool, struct slot *slot);

/* Which idle connection is the next to be leased. There must be one. */
struct slot *pool_idle_pick(struct weir_pool *pool);

/* Keeps an idle connection for `waiter`. Its token is not seen before it is handed over: nobody uses it by mistake. */
void pool_lease_grant(struct weir_pool *pool, struct slot *slot, struct weir_pool_waiter *waiter);
void pool_lease_hand_over(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Takes back a connection that was kept for a waiter and not handed over: not a use of the connection. */
void pool_lease_revoke(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Brings waiters and connections together: afterwards nobody waits beside an idle connection. Calls nobody. */
void pool_match(struct weir_pool *pool);

/*
 * After a match: asks the owner for whatever has to be opened and closed. From inside such a callback it is left to the
 * loop around it.
 */
void pool_ask(struct weir_pool *pool);

/* Match, then ask. */
void pool_settle(struct weir_pool *pool);

/* Stops waiting for a unit of the budget if no open is wanted (any more). Part of settling. */
void pool_forgo(struct weir_pool *pool);

/* Closed, with nothing left; the owner has still to be told. */
bool pool_close_due(const struct weir_pool *pool);

/* The last step of every call: wakes the owner if there is a reason. In a callback it is left to the call around it. */
void pool_wake(struct weir_pool *pool);

#endif
