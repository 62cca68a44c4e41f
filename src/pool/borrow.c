/*
 * The borrowers' calls: acquire, move, cancel, give back, touch. Each gives the time, changes one thing, lets the engine settle
 * (engine.c), and wakes.
 *
 * Serving makes a waiter RESOLVED; weir_pool_run tells it. Until then it can be cancelled, or its deadline may come,
 * and the connection goes back as if it had never been leased.
 *
 * Every lease passes through acquire and give_back, and nearly all find a pool at rest (pool_rest): for these each is one
 * straight way, which takes one connection from one list to the other. All else stands apart ("noinline").
 */
#include "pool/engine.h"

#include <stddef.h>

/* More wait than the queue holds, and what is on its way covers: opens, checks, a unit that another pool has idle. */
static bool queue_full(const struct weir_pool *pool, uint32_t waiting)
{
	uint32_t room = pool->config.waiters_max + pool_supply(pool);

	/* The hand of a pool that is just asking may be up still, and need not be any more. */
	return waiting > room && waiting > room + (pool_unit_asked(pool->seat) && pool_unit_needed(pool));
}

/* An idle connection may be leased as it is. After a match one is idle only when nobody else waits for it. */
static bool served_by_idle(const struct weir_pool *pool, const struct weir_pool_waiter *waiter)
{
	bool takes_reused = !waiter->fresh || POOL_PLANTED(FRESH_SERVED_BY_REUSED);

	return pool_count(pool, SLOT_IDLE) > 0 && takes_reused && !(pool->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE);
}

/* What can be said at once; PENDING: the waiter is in its queue. */
static enum weir_pool_outcome waiter_admit(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (pool->stage != POOL_OPEN)
		return pool_waiter_end(pool, waiter, WEIR_POOL_CLOSED);
	if (waiter->deadline_us <= pool->now_us) {
		waiter->reason = pool_timeout_reason(pool);
		return pool_waiter_end(pool, waiter, WEIR_POOL_TIMED_OUT);
	}
	if (served_by_idle(pool, waiter)) {
		pool_lease_grant(pool, pool_idle_pick(pool), waiter);
		return pool_waiter_end(pool, waiter, WEIR_POOL_DELIVERED);
	}
	/* From inside open, check or close nothing can be begun for the newcomer now: the queue must have room as it is. */
	if (pool->asking && queue_full(pool, pool->waiting + 1) && !pool_queue_make_room(pool, waiter)) {
		pool_queue_refuse(pool, waiter, WEIR_POOL_QUEUE_FULL);
		return pool_waiter_end(pool, waiter, WEIR_POOL_REJECTED);
	}
	pool_waiter_enqueue(pool, waiter);
	return WEIR_POOL_PENDING;
}

/* What has come of a queued newcomer now that the pool has settled. */
static enum weir_pool_outcome waiter_answer(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	enum weir_pool_refusal why;

	if (waiter->stage == WAITER_RESOLVED)
		return pool_waiter_end(pool, waiter, waiter->outcome);
	if (waiter->stage == WAITER_ENDED)
		return WEIR_POOL_CANCELLED;
	why = pool_queue_refusal(pool, waiter);
	if (why == WEIR_POOL_NOT_REFUSED && queue_full(pool, pool->waiting) && !pool_queue_make_room(pool, waiter))
		why = WEIR_POOL_QUEUE_FULL;
	if (why != WEIR_POOL_NOT_REFUSED) {
		pool_queue_refuse(pool, waiter, why);
		pool_waiter_end(pool, waiter, WEIR_POOL_REJECTED);
		/* Its hand goes down, and what is idle beside it (it wanted a fresh one) is offered again. */
		pool_settle(pool);
		return WEIR_POOL_REJECTED;
	}
	return WEIR_POOL_PENDING;
}

/* The newcomer is in its queue. Whoever waits too long leaves it after it is known whether there is a place for it. */
static enum weir_pool_outcome waiter_settle(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	enum weir_pool_outcome outcome;

	/* An idle connection, which does not serve who wants a fresh one, may have to go for it. */
	if (waiter->fresh)
		pool_match(pool);
	pool_ask_all(pool);
	outcome = waiter_answer(pool, waiter);
	pool_queue_shed(pool);
	return outcome;
}

/* Whatever there is to settle. */
__attribute__((noinline)) static enum weir_pool_outcome acquire_settled(struct weir_pool *pool,
	struct weir_pool_waiter *waiter, uint64_t now_us, uint64_t deadline_us)
{
	enum weir_pool_outcome outcome;
	uint64_t latest_us;

	POOL_CHECK(waiter->on_outcome != NULL);
	POOL_CHECK(waiter_is_free(waiter));
	pool_clock(pool, now_us);
	latest_us = pool_time_after(pool->now_us, pool->wait_max_us);
	waiter->pool = pool;
	waiter->patience_us = pool_time_after(pool->now_us, pool->config.acquire_timeout_us);
	waiter->deadline_us = deadline_us < latest_us ? deadline_us : latest_us;
	waiter->queued_us = pool->now_us;
	waiter->lease = (struct weir_pool_lease){0};
	waiter->connection = NULL;
	waiter->reused = waiter->rested = false;
	waiter->reason = 0;
	pool_match(pool);
	outcome = waiter_admit(pool, waiter);
	if (outcome == WEIR_POOL_PENDING)
		outcome = waiter_settle(pool, waiter);
	else
		pool_ask(pool);
	pool_wake(pool);
	return outcome;
}

/* The time at which a pool is that rests. */
static inline uint64_t rest_clock(struct weir_pool *pool, uint64_t now_us)
{
	if (now_us > pool->now_us)
		pool->now_us = now_us;
	return pool->now_us;
}

/* The connection has served nobody before, or so often that it is not counted any more. */
__attribute__((noinline, cold)) static void lend_first(struct weir_pool *pool, struct slot *slot,
	struct weir_pool_waiter *waiter)
{
	if (slot->uses == 0) {
		slot->uses = UINT32_MAX;
		return;
	}
	waiter->reused = false;
	pool->at_once_first++;
}

/* An idle connection of a pool at rest is lent to a newcomer: granted and handed over in one. Its acquire has ended. */
static inline void lend(struct weir_pool *pool, struct slot *slot, struct weir_pool_waiter *waiter, uint64_t now_us)
{
	pool_slot_step(pool, slot, SLOT_IDLE, SLOT_LEASED);
	slot->leased_us = now_us;
	slot->held = true;
	waiter->stage = WAITER_ENDED;
	waiter->reused = waiter->rested = true;
	waiter->connection = slot->connection;
	waiter->lease = (struct weir_pool_lease){slot_index(pool, slot) + 1, ++slot->generation, pool->serial};
	pool->at_once++;
	if (__builtin_expect(++slot->uses <= 1, 0))
		lend_first(pool, slot, waiter);
}

/* The ordinary case: something is idle, and nobody else wants it. */
__attribute__((flatten)) bool weir_pool_try_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us)
{
	if (pool_count(pool, SLOT_IDLE) == 0 || !pool_rests(pool, now_us))
		return false;
	now_us = rest_clock(pool, now_us);
	if (__builtin_expect(deadline_us <= now_us, 0))
		return false;
	lend(pool, pool_idle_pick(pool), waiter, now_us);
	return true;
}

enum weir_pool_outcome weir_pool_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us)
{
	bool may_ask = waiter_is_free(waiter) && waiter->on_outcome != NULL;

	if (may_ask && !waiter->fresh && weir_pool_try_acquire(pool, waiter, now_us, deadline_us))
		return WEIR_POOL_DELIVERED;
	return acquire_settled(pool, waiter, now_us, deadline_us);
}

void weir_pool_cancel(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us)
{
	bool delivered;

	if (waiter_is_free(waiter))
		return;
	if (POOL_PLANTED(CANCEL_DOES_NOT_DEQUEUE) && waiter->stage == WAITER_WAITING)
		return;
	POOL_CHECK(waiter->pool == pool);
	pool_clock(pool, now_us);
	delivered = waiter->stage == WAITER_RESOLVED && waiter->outcome == WEIR_POOL_DELIVERED;
	pool_waiter_end(pool, waiter, WEIR_POOL_CANCELLED);
	if (delivered)
		pool_lease_revoke(pool, waiter);
	pool_settle(pool);
	pool_wake(pool);
}

/* Whether it would be better off there, as far as can be told: neither refused, nor shed, nor out of time at once. */
static bool takes_over(const struct weir_pool *pool, const struct weir_pool_waiter *waiter, uint64_t now_us)
{
	bool has_time = waiter->deadline_us > now_us && (waiter->patience_us > now_us || pool_overflow_has_room(pool));
	bool stands = pool->codel.standing && pool->waiting > 0;

	return has_time && !stands && pool->stage == POOL_OPEN && !pool->asking && !queue_full(pool, pool->waiting + 1);
}

bool weir_pool_move(struct weir_pool_waiter *waiter, struct weir_pool *to, uint64_t now_us)
{
	struct weir_pool *from = waiter->pool;

	if (waiter->stage != WAITER_WAITING || from == to || from->asking || !takes_over(to, waiter, now_us))
		return false;
	pool_clock(from, now_us);
	pool_clock(to, now_us);
	pool_waiter_take_out(from, waiter);
	waiter->pool = to;
	/* Whoever comes may be older than the target: the queue does not stand for that. */
	pool_codel_excuse(&to->codel, pool_time_after(to->now_us, to->codel.interval_us));
	pool_waiter_enqueue(to, waiter);
	pool_settle(from);
	pool_settle(to);
	pool_wake(from);
	pool_wake(to);
	return true;
}

/* A token that is no live lease: whose it was, as far as can be told. */
__attribute__((noinline)) static void give_back_refuse(struct weir_pool *pool, struct weir_pool_lease lease)
{
	const struct slot *slot = pool_slot_named(pool, lease.slot - 1);

	if (slot == NULL || lease.pool != pool->serial || lease.generation == 0 || lease.generation > slot->generation)
		pool->stats.foreign_give_backs++;
	else if (lease.generation == slot->generation)
		pool->stats.double_give_backs++;
	else
		pool->stats.stale_give_backs++;
}

/* Whatever comes back, and whatever there is to settle. */
__attribute__((noinline)) static bool give_back_settled(struct weir_pool *pool, struct weir_pool_lease lease,
	enum weir_pool_give_back how, uint64_t now_us)
{
	struct slot *slot = pool_slot_leased(pool, lease);

	if (slot == NULL) {
		give_back_refuse(pool, lease);
		return false;
	}
	pool_clock(pool, now_us);
	if (how != WEIR_POOL_REUSABLE)
		slot->verdict = WEIR_POOL_CLOSE_DISCARDED;
	pool_slot_return(pool, slot);
	pool_settle(pool);
	pool_wake(pool);
	return true;
}

/* Nothing stands against its being lent again. */
static inline bool is_good(const struct weir_pool *pool, const struct slot *slot, uint64_t now_us)
{
	return slot->verdict == SLOT_GOOD && slot->expires_us > now_us &&
		(pool->config.uses_max == 0 || slot->uses < pool->config.uses_max);
}

/* A copy, made of its parts where it is needed: in the ordinary case they stay in registers. */
static inline struct weir_pool_lease token(struct weir_pool_lease lease)
{
	return (struct weir_pool_lease){lease.slot, lease.generation, lease.pool};
}

/* The ordinary case: it is idle again, and nobody waits for it. */
__attribute__((flatten)) bool weir_pool_give_back(struct weir_pool *pool, struct weir_pool_lease lease,
	enum weir_pool_give_back how, uint64_t now_us)
{
	struct slot *slot = &pool->slots[lease.slot - 1];
	uint64_t used_us;

	if (lease.slot - 1 >= pool->slots_used || slot->state != SLOT_LEASED || slot->generation != lease.generation ||
		pool->serial != lease.pool || how != WEIR_POOL_REUSABLE || !pool_rests(pool, now_us))
		return give_back_settled(pool, token(lease), how, now_us);
	now_us = rest_clock(pool, now_us);
	used_us = now_us - slot->leased_us;
	if (__builtin_expect(!is_good(pool, slot, now_us) || !pool_idle_goes_on(pool, slot, now_us), 0))
		return give_back_settled(pool, token(lease), how, now_us);
	pool_times_add(&pool->use, used_us);
	pool_slot_step(pool, slot, SLOT_LEASED, SLOT_IDLE);
	return true;
}

bool weir_pool_touch(struct weir_pool *pool, struct weir_pool_lease lease, uint64_t now_us)
{
	struct slot *slot = pool_slot_leased(pool, lease);

	if (slot == NULL)
		return false;
	pool_clock(pool, now_us);
	/* To the front of the leases: they stand in the order of their times. */
	pool_slot_move(pool, slot, SLOT_LEASED);
	if (pool->config.leak_after_us > 0)
		pool_plan(pool, pool_time_after(slot->since_us, pool->config.leak_after_us));
	pool_settle(pool);
	pool_wake(pool);
	return true;
}
