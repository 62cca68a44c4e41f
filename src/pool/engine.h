/*
 * The pool's inside: connections in slots, waiters in queues, and the functions that change them.
 *
 * A slot is in exactly one state and one list, the list of that state, so the counters are the lengths of the lists. The
 * latest to enter a list is its first.
 *
 *          open                opened               acquire              held long
 *   FREE --------> CONNECTING --------> IDLE <--------------------> LEASED <------> LEAKING
 *                       |              |    ^      give back        ^    |  touch      |
 *                       |       check  |    |  good                 |    | give back   |  (as from LEASED)
 *                       |              v    |                       |    v             |
 *                       |             CHECKING <----- check ------- | RETURNED <-------'
 *                       |                 '---------- good ---------'
 *                       '------------------- opened ----------------'
 *
 *   any of these, when not to be used (again) ---> DOOMED ---close---> CLOSING ---closed---> FREE
 *   CONNECTING, and what was doomed while connecting ---failed---> FREE
 *
 * What was opened, or checked and found good, or comes back, goes straight to LEASED when somebody waits for it. RETURNED: the owner has
 * still to be asked to check it; DOOMED: to close it. For the outside RETURNED and CHECKING are both "checking", LEASED and
 * LEAKING "leased", DOOMED and CLOSING "closing".
 *
 * A waiter is NEW (zeroed), WAITING in the queue of its priority, RESOLVED in the list of outcomes to be told, or
 * ENDED.
 */
#ifndef WEIR_POOL_ENGINE_H
#define WEIR_POOL_ENGINE_H

#include "pool/budget.h"
#include "pool/check.h"
#include "pool/codel.h"
#include "pool/deadlines.h"
#include "pool/pace.h"
#include "pool/planted.h"
#include "pool/pool.h"

#define POOL_LINE 64                   /* a cache line */
#define POOL_PRIORITIES 4
#define POOL_NEVER UINT64_MAX
#define POOL_FAR (UINT64_MAX / 4)        /* what is added to a time before it stays a time */
#define POOL_OVERFLOW_TRIES 32         /* in an acquire_timeout, for a unit beyond the maximum */
#define POOL_TURN_MAX 32               /* own waiters served while the hand of another pool is up (engine.c) */
#define POOL_LINGER_US 10000           /* rest of a connection before it is given up to a pool that has as many;
                                          at most a quarter of the acquire_timeout */
#ifndef POOL_AHEAD_RETRY_US            /* a test that counts in single microseconds has its own */
#define POOL_AHEAD_RETRY_US 1000000    /* how often idle_min is looked after when it cannot be had at once */
#endif

enum slot_state {
	SLOT_FREE,
	SLOT_IDLE,
	SLOT_LEASED,
	SLOT_RETURNED,
	SLOT_DOOMED,
	SLOT_CONNECTING,
	SLOT_CHECKING,
	SLOT_LEAKING,
	SLOT_CLOSING,
	SLOT_STATES
};

#define SLOT_GOOD WEIR_POOL_CLOSE_REASONS  /* a verdict that is none: nothing is known against the connection */

/* Slots stand in a ring with the head of their list: so a step from one list to another asks nothing. */
struct slot_link {
	struct slot_link *prev, *next;
};

/* One cache line. */
struct slot {
	_Alignas(POOL_LINE) struct slot_link link;  /* in the list of its state; first, so that it leads to the slot */
	void *connection;      /* NULL until opened */
	uint64_t expires_us;   /* not leased again from then on; POOL_NEVER: never */
	uint64_t since_us;     /* in its list; a lease: granted or touched */
	union {
		uint64_t leased_us;      /* leased: when its lease was handed over */
		uint64_t idle_until_us;  /* idle: closed then; POOL_NEVER: it has no limit */
	};
	uint32_t uses;         /* leases so far; UINT32_MAX: or more */
	uint32_t generation;   /* of its latest lease */
	uint32_t deadline_at;  /* place in idle_deadlines, which may be that of an earlier rest (expiry.c) */
	uint8_t state;
	uint8_t verdict;       /* why it is to be closed when it comes back (enum weir_pool_close_reason), or SLOT_GOOD */
	bool opened;
	bool held;             /* its lease was handed over */
};

struct slot_list {
	struct slot_link ring; /* next: the first; prev: the last; itself: none */
	uint32_t count;
};

enum waiter_stage { WAITER_NEW, WAITER_ENDED, WAITER_WAITING, WAITER_RESOLVED };

/* No pool has it: it may ask. */
static inline bool waiter_is_free(const struct weir_pool_waiter *waiter)
{
	return waiter->stage <= WAITER_ENDED;
}

/*
 * OPEN -> DRAINING (no newcomers) -> CLOSING (nobody waits any more: nothing unleased stays) -> CLOSED (nothing is left, and the
 * owner was told). DRAINING may be left out.
 */
enum pool_stage { POOL_OPEN, POOL_DRAINING, POOL_CLOSING, POOL_CLOSED };

/* The queues: those who want a fresh connection, then the priorities. */
enum { QUEUE_FRESH, QUEUE_FIRST };
#define QUEUES (QUEUE_FIRST + POOL_PRIORITIES)

struct waiter_list {
	struct weir_pool_waiter *first, *last;
	uint32_t count;
};

/* What lending a connection and taking it back touches stands together, on whole cache lines. */
struct weir_pool {
	_Alignas(POOL_LINE) uint64_t rests_until_us;  /* before that a lease leaves nothing to settle; see pool_rest() */
	uint64_t now_us;                  /* the latest time any call has given */
	struct weir_pool_budget *budget;  /* borrowed; NULL: private, or left after the end */
	struct pool_seat *seat;
	struct slot *slots;               /* slots_max; slots_used of them have ever been used */
	struct slot_list in[SLOT_STATES]; /* FREE holds those that were in use before; IDLE and LEASED are on one line */

	_Alignas(POOL_LINE) uint32_t slots_used;
	uint32_t serial;                  /* tells this pool's leases from those of others */
	uint64_t trim_us;                 /* the end of the present trim interval; POOL_NEVER: none has begun */
	uint32_t idle_low;                /* the fewest idle at once in it */
	uint32_t waiting;                 /* in all queues */
	struct pool_deadlines idle_deadlines;
	uint64_t at_once;                 /* acquires that were DELIVERED without a wait at rest, */
	uint64_t at_once_first;           /* and those of them that got a connection that nobody had used; in no other total */
	struct weir_pool_times use;       /* of leases that were given back (or reclaimed) */

	_Alignas(POOL_LINE) struct weir_pool_config config;  /* its first line */

	uint64_t next_us;                 /* what weir_pool_next_event says; never later than the first deadline */
	uint8_t stage;                    /* enum pool_stage */
	bool replanned;                   /* next_us became earlier since the owner last looked */
	bool woken;                       /* ops->wake was called and weir_pool_run has still to come */
	bool drawing;                     /* ops->random is running */
	bool asking;                      /* the loop that asks the owner to open, check and close is running */
	bool withholds;                   /* what is idle has to rest before other pools may have it */
	struct waiter_list outcomes;      /* resolved, to be told by weir_pool_run */

	uint32_t slots_max;               /* connections_max + overflow_max */
	uint64_t wait_max_us;             /* no acquire waits longer */
	uint32_t failures;                /* opens failed in a row */
	int failed_reason;                /* of the latest */
	uint64_t backoff_us;              /* no open is begun before */
	uint64_t ahead_us;                /* and none ahead of need before */

	struct waiter_list queues[QUEUES];
	uint32_t overdue;                 /* of those waiting, those who may have a connection beyond the maximum */
	uint32_t turn_leases;             /* own waiters served in the present turn; 0: none has begun */
	uint64_t turn_ends_us;            /* while one has begun */
	struct pool_deadlines wait_deadlines;
	struct pool_codel codel;          /* of all queues together; of use while somebody waits */
	struct pool_pace pace;            /* likewise */

	uint32_t calling;                 /* depth of owner callbacks */
	struct weir_pool_ops ops;
	void *owner;
	struct weir_pool_stats stats;     /* the other totals; the present counts are the lists', and its `use` is nothing */
};

/* --- slots.c ------------------------------------------------------------------------------------------------------ */

void pool_slots_init(struct weir_pool *pool);

/* The number by which the owner knows the slot. */
static inline uint32_t slot_index(const struct weir_pool *pool, const struct slot *slot)
{
	return (uint32_t)(slot - pool->slots);
}

static inline uint32_t pool_count(const struct weir_pool *pool, enum slot_state state)
{
	return pool->in[state].count;
}

/* Connections that exist or are being opened or closed: what counts against the maximum. */
static inline uint32_t pool_live(const struct weir_pool *pool)
{
	return pool->slots_used - pool_count(pool, SLOT_FREE);
}

/* Connections that are on their way out: their units will come back. */
static inline uint32_t pool_ending(const struct weir_pool *pool)
{
	return pool_count(pool, SLOT_DOOMED) + pool_count(pool, SLOT_CLOSING);
}

static inline uint32_t pool_checking(const struct weir_pool *pool)
{
	return pool_count(pool, SLOT_RETURNED) + pool_count(pool, SLOT_CHECKING);
}

static inline uint32_t pool_leased(const struct weir_pool *pool)
{
	return pool_count(pool, SLOT_LEASED) + pool_count(pool, SLOT_LEAKING);
}

/* Connections on their way to somebody who waits. */
static inline uint32_t pool_supply(const struct weir_pool *pool)
{
	return pool_count(pool, SLOT_CONNECTING) + pool_checking(pool);
}

/* What a TIMED_OUT gives as its reason: that of the latest failed open if none has succeeded since. */
static inline int pool_timeout_reason(const struct weir_pool *pool)
{
	return pool->failures > 0 ? pool->failed_reason : 0;
}

/* Those who wait for any connection that is good, not for one that was just opened. */
static inline uint32_t pool_waiting_for_any(const struct weir_pool *pool)
{
	return pool->waiting - pool->queues[QUEUE_FRESH].count;
}

/* A free slot, now CONNECTING. There must be room. */
struct slot *pool_slot_take(struct weir_pool *pool);

/* Changes a slot's state, and checks that the step is one of the diagram's. */
void pool_slot_move(struct weir_pool *pool, struct slot *slot, enum slot_state to);

/* The only place that does so. `from` is its state. */
static inline void pool_slot_step(struct weir_pool *pool, struct slot *slot, enum slot_state from, enum slot_state to)
{
	struct slot_link *link = &slot->link, *ring = &pool->in[to].ring;

	link->prev->next = link->next;
	link->next->prev = link->prev;
	pool->in[from].count--;
	link->prev = ring;
	link->next = ring->next;
	ring->next->prev = link;
	ring->next = link;
	pool->in[to].count++;
	slot->state = (uint8_t)to;
	slot->since_us = pool->now_us;
	/* Only a step out of idle can make it fewer. */
	if (from == SLOT_IDLE && pool->in[SLOT_IDLE].count < pool->idle_low)
		pool->idle_low = pool->in[SLOT_IDLE].count;
}

/* To DOOMED, counted with its reason. */
void pool_slot_doom(struct weir_pool *pool, struct slot *slot, enum weir_pool_close_reason why);

/* The slot that a link of a list belongs to; NULL: it is the list's own. */
static inline struct slot *pool_slot_of(const struct weir_pool *pool, enum slot_state state, struct slot_link *link)
{
	return link != &pool->in[state].ring ? (struct slot *)(void *)link : NULL;
}

/* The first or last of a list, which are its newest and its oldest, and who is the next older or newer; NULL when there is none. */
static inline struct slot *pool_slot_first(const struct weir_pool *pool, enum slot_state state)
{
	return pool_slot_of(pool, state, pool->in[state].ring.next);
}

static inline struct slot *pool_slot_last(const struct weir_pool *pool, enum slot_state state)
{
	return pool_slot_of(pool, state, pool->in[state].ring.prev);
}

static inline struct slot *pool_slot_older(const struct weir_pool *pool, const struct slot *slot)
{
	return pool_slot_of(pool, (enum slot_state)slot->state, slot->link.next);
}

static inline struct slot *pool_slot_newer(const struct weir_pool *pool, const struct slot *slot)
{
	return pool_slot_of(pool, (enum slot_state)slot->state, slot->link.prev);
}

/* The slot that an owner's number or a live lease names; NULL when it names none. */
struct slot *pool_slot_named(struct weir_pool *pool, uint32_t index);
struct slot *pool_slot_leased(struct weir_pool *pool, struct weir_pool_lease lease);

/* --- waiters.c ---------------------------------------------------------------------------------------------------- */

/* NEW or ENDED -> WAITING, in its queue behind all who have waited for longer: a newcomer at the end. */
void pool_waiter_enqueue(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* WAITING -> NEW, without an outcome. */
void pool_waiter_take_out(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Whose turn it is; NULL when nobody waits. The first takes any connection that is fresh, the second any that is good. */
struct weir_pool_waiter *pool_waiter_next_fresh(struct weir_pool *pool);
struct weir_pool_waiter *pool_waiter_next(struct weir_pool *pool);

/* WAITING -> RESOLVED: out of the queue, into the outcomes to be told. */
void pool_waiter_resolve(struct weir_pool *pool, struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);

/* Any stage -> ENDED: out of every list, counted with its outcome. */
enum weir_pool_outcome pool_waiter_end(struct weir_pool *pool, struct weir_pool_waiter *waiter,
	enum weir_pool_outcome outcome);

/* --- queue.c ------------------------------------------------------------------------------------------------------ */

/* Somebody waits, and nobody did before; somebody who waited is served. */
void pool_queue_began(struct weir_pool *pool);
void pool_queue_served(struct weir_pool *pool, const struct weir_pool_waiter *waiter);

/* Whether the newcomer, the last of its queue, is to be told at once that it is no use to wait. */
enum weir_pool_refusal pool_queue_refusal(struct weir_pool *pool, const struct weir_pool_waiter *waiter);

/* The waiter is to end as REJECTED, for this. */
void pool_queue_refuse(struct weir_pool *pool, struct weir_pool_waiter *waiter, enum weir_pool_refusal why);

/* The queue is full: whoever has a lower priority than the newcomer loses its place. False: nobody has. */
bool pool_queue_make_room(struct weir_pool *pool, const struct weir_pool_waiter *newcomer);

/* The last part of settling: who has waited too long in a queue that stands is REJECTED. Calls nobody. */
void pool_queue_shed_late(struct weir_pool *pool);

static inline void pool_queue_shed(struct weir_pool *pool)
{
	if (pool->codel.standing)
		pool_queue_shed_late(pool);
}

/* When the next of them will have; POOL_NEVER: nobody will. */
uint64_t pool_queue_due_us(const struct weir_pool *pool);

/* Part of the audit between calls. */
const char *pool_queue_audit(const struct weir_pool *pool);

/* --- expiry.c ----------------------------------------------------------------------------------------------------- */

/* Everything whose time has come, if anything may be due. Calls nobody. */
void pool_expire(struct weir_pool *pool);

/* weir_pool_run has something to do at due_us. */
void pool_plan(struct weir_pool *pool, uint64_t due_us);

/* A waiter whose acquire_timeout is over could have a connection beyond the maximum. */
bool pool_overflow_has_room(const struct weir_pool *pool);

/* Plans anew from all that is pending. */
void pool_replan(struct weir_pool *pool);

/*
 * The slot is about to become idle, in a pool at rest: its time begins, if that takes no plan that there is not already. False:
 * it does, and nothing has changed.
 */
bool pool_idle_goes_on(struct weir_pool *pool, struct slot *slot, uint64_t now_us);

/* The slot has become idle: its time begins. */
void pool_idle_began(struct weir_pool *pool, struct slot *slot);

/* No open for a while, after one has failed; none ahead of need for a while. */
void pool_back_off(struct weir_pool *pool);
void pool_pause_ahead(struct weir_pool *pool, uint64_t until_us);

/* Tells of leases that are held too long and ends those held much too long. From weir_pool_run only. */
void pool_watch_leases(struct weir_pool *pool);

/* --- engine.c ----------------------------------------------------------------------------------------------------- */

/*
 * A call begins that may change anything. Takes the caller's time; time never goes back, whatever the callers say. Each ends with
 * pool_wake().
 */
void pool_clock(struct weir_pool *pool, uint64_t now_us);
uint64_t pool_time_after(uint64_t now_us, uint64_t span_us);

/* A random number below `below`. */
uint64_t pool_draw(struct weir_pool *pool, uint64_t below);

void pool_times_add(struct weir_pool_times *times, uint64_t span_us);

/* How many connections could be opened within the maximum. */
uint32_t pool_room_left(struct weir_pool *pool);

/* Connections beyond the maximum: this pool's own, or the budget's. */
uint32_t pool_beyond(const struct weir_pool *pool);

/* An opened connection that nobody uses any more: idle if it may be used again, else doomed. */
void pool_slot_park(struct weir_pool *pool, struct slot *slot);

/* A connection that was just opened, or just checked and found good: to the next who waits, or parked. */
void pool_slot_offer(struct weir_pool *pool, struct slot *slot);

/* A lease has ended: checked, parked or doomed. */
void pool_slot_return(struct weir_pool *pool, struct slot *slot);

/* The slot is empty; its unit goes back to the budget. */
void pool_slot_free(struct weir_pool *pool, struct slot *slot);

/* When the connection that has been idle longest has rested enough to be given up to any pool. There must be one. */
uint64_t pool_linger_ends_us(const struct weir_pool *pool);

/* Which idle connection is the next to be leased or checked. There must be one. */
struct slot *pool_idle_pick(struct weir_pool *pool);

/* Keeps a connection for `waiter`. Its token is not seen before it is handed over: nobody uses it by mistake. */
void pool_lease_grant(struct weir_pool *pool, struct slot *slot, struct weir_pool_waiter *waiter);
void pool_lease_hand_over(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Takes back a connection that was kept for a waiter and not handed over: not a use of the connection. */
void pool_lease_revoke(struct weir_pool *pool, struct weir_pool_waiter *waiter);

/* Nobody but this pool wants what is idle here. */
static inline bool pool_is_alone(const struct weir_pool *pool)
{
	return pool->budget == NULL || pool_budget_is_quiet(pool->budget, pool->seat);
}

/* That, and nothing is beyond the maximum. */
static inline bool pool_may_rest(const struct weir_pool *pool)
{
	return pool_live(pool) <= pool->config.connections_max && pool_is_alone(pool);
}

void pool_match_all(struct weir_pool *pool);

/*
 * Brings waiters and connections together: afterwards nobody waits beside an idle connection. Calls nobody. In the ordinary
 * case there is nothing to do: nothing is due, and nothing is idle, or nobody waits here or elsewhere, and there is room.
 */
static inline void pool_match(struct weir_pool *pool)
{
	bool quiet = pool->next_us > pool->now_us && pool->stage != POOL_DRAINING;

	if (!quiet || (pool_count(pool, SLOT_IDLE) > 0 && (pool->waiting > 0 || !pool_may_rest(pool))))
		pool_match_all(pool);
}

/* The ordinary case: nobody waits, and nothing is on its way out. */
static inline bool pool_nothing_to_ask(const struct weir_pool *pool)
{
	return pool->waiting + pool_count(pool, SLOT_DOOMED) + pool_count(pool, SLOT_RETURNED) + pool->config.idle_min == 0;
}

/*
 * The ordinary case of a queue: somebody waits, and all connections that there may be are in use. Nothing is to be closed or
 * checked, whatever is wanted there is no room for it, and no attempt to open is waited for.
 */
static inline bool pool_is_in_use(const struct weir_pool *pool)
{
	uint32_t other = pool_count(pool, SLOT_DOOMED) | pool_count(pool, SLOT_RETURNED) | pool_count(pool, SLOT_IDLE);

	return (other | pool->overdue | pool->failures) == 0 && pool_live(pool) >= pool->config.connections_max;
}

/*
 * After a match: asks the owner for whatever has to be opened, checked and closed, then sheds. From inside such a callback it
 * is left to the loop around it. The second does not shed: first it has to be known what becomes of a newcomer.
 */
void pool_ask(struct weir_pool *pool);
void pool_ask_all(struct weir_pool *pool);

/* Nobody waits here, nothing has to be asked, and there is room. */
static inline bool pool_is_settled(const struct weir_pool *pool)
{
	return pool->stage == POOL_OPEN && pool_nothing_to_ask(pool) && pool_live(pool) <= pool->config.connections_max;
}

/* So it is, nobody waits elsewhere, and nothing is due: settling would find nothing to do, as after most calls. */
static inline bool pool_is_at_rest(const struct weir_pool *pool)
{
	return pool->next_us > pool->now_us && pool_is_settled(pool) && pool_is_alone(pool);
}

/*
 * It is settled, and stays so however often a connection is lent and comes back, until what is due next: a lease asks for nothing,
 * and plans nothing that is not planned already (any later one leaks later still).
 */
static inline bool pool_stays_settled(const struct weir_pool *pool)
{
	const struct weir_pool_config *config = &pool->config;

	return pool->calling == 0 && pool_is_settled(pool) && config->checks == WEIR_POOL_CHECK_NEVER &&
		config->idle_timeout_us < POOL_FAR &&
		(config->leak_after_us == 0 || pool->next_us <= pool_time_after(pool->now_us, config->leak_after_us));
}

/* Finds out until when that is so, as far as it is known here: not what other pools want. */
void pool_rest(struct weir_pool *pool);

/* So it is now, at `now_us` or the pool's own time, whichever is later. */
static inline bool pool_rests(const struct weir_pool *pool, uint64_t now_us)
{
	return now_us < pool->rests_until_us && pool_is_alone(pool);
}

/* Match, then ask. */
void pool_settle_all(struct weir_pool *pool);

static inline void pool_settle(struct weir_pool *pool)
{
	if (!pool_is_at_rest(pool))
		pool_settle_all(pool);
}

/* Somebody waits for whom an open has to be begun; one is to be begun for nobody, so that idle_min is there. */
bool pool_open_needed(const struct weir_pool *pool);
bool pool_open_ahead(const struct weir_pool *pool);

/* Somebody may have a connection beyond the maximum; when it is looked for again if there was none left. */
bool pool_overflow_wanted(const struct weir_pool *pool);

static inline uint64_t pool_overflow_retry_us(const struct weir_pool *pool)
{
	return pool_time_after(pool->now_us, pool->config.acquire_timeout_us / POOL_OVERFLOW_TRIES + 1);
}

/* As far as connecting_max and the back-off go, an open may begin now. */
bool pool_may_connect(const struct weir_pool *pool);

/* After failed opens: when another may begin beside those that are under way. 0: any time. */
uint64_t pool_next_attempt_us(const struct weir_pool *pool);

/* The pool could open for somebody who waits if it had a unit of the budget. */
bool pool_unit_needed(const struct weir_pool *pool);

/* Stops waiting for a unit of the budget if no open is wanted (any more). Part of settling. */
void pool_forgo(struct weir_pool *pool);

/* Everything that is not leased. */
void pool_doom_unleased(struct weir_pool *pool, enum weir_pool_close_reason why);

/* Nobody is served any more. */
void pool_close_begin(struct weir_pool *pool);

/* Closed, with nothing left; the owner has still to be told. */
bool pool_close_due(const struct weir_pool *pool);

void pool_wake_owner(struct weir_pool *pool);

/* The last step of every call: wakes the owner if there is a reason. In a callback it is left to the call around it. */
static inline void pool_wake(struct weir_pool *pool)
{
	if (pool->outcomes.count > 0 || pool->replanned || pool->stage == POOL_CLOSING)
		pool_wake_owner(pool);
	if (pool->waiting == 0)
		pool_rest(pool);
}

#endif
