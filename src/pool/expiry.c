/*
 * What time brings: waits, idle times, checks, trimming, the back-off, leases held too long.
 *
 * Nothing here needs a timer of its own. pool->next_us is never later than the first of all these times (whatever begins
 * one plans it), the owner calls weir_pool_run by then, and every other call that comes later than next_us looks as well:
 * so nothing is served at or after its deadline, even if no timer has fired yet.
 *
 * A connection that is lent keeps its entry among the idle deadlines, and has it still when it rests again, later then: when the
 * entry comes up, it is put where it belongs. So lending and giving back does not touch the heap.
 *
 * Trimming: idle_low is the fewest connections that were idle at once since the interval began, so at its end that many
 * were not needed at any moment of it. Half of them are closed. What a surge has left behind decays by half each interval.
 *
 * Back-off: the time doubles with each open that fails in a row, and is drawn between its half and its whole, so that many
 * pools do not come back in step. (Exponential back-off with "equal jitter", as M. Brooker names it in the AWS Architecture
 * Blog, 2015.)
 */
#include "pool/engine.h"

#include <stddef.h>

void pool_plan(struct weir_pool *pool, uint64_t due_us)
{
	if (due_us >= pool->next_us)
		return;
	pool->next_us = due_us;
	pool->replanned = true;
}

/* --- waits -------------------------------------------------------------------------------------------------------- */

/* Its acquire_timeout is over, but not its own deadline: whether it may have a connection beyond the maximum. */
bool pool_overflow_has_room(const struct weir_pool *pool)
{
	return pool->config.on_acquire_timeout == WEIR_POOL_NEW && pool->stage == POOL_OPEN &&
		pool->overdue + pool_beyond(pool) < pool->config.overflow_max;
}

static void wait_expire(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (waiter->deadline_us > pool->now_us && pool_overflow_has_room(pool)) {
		pool_deadlines_remove(&pool->wait_deadlines, &waiter->deadline_at);
		pool_deadlines_add(&pool->wait_deadlines, &waiter->deadline_at, waiter->deadline_us);
		pool_plan(pool, waiter->deadline_us);
		waiter->overdue = true;
		pool->overdue++;
		return;
	}
	waiter->reason = pool_timeout_reason(pool);
	pool_waiter_resolve(pool, waiter, WEIR_POOL_TIMED_OUT);
}

static void waits_expire(struct weir_pool *pool)
{
	uint32_t *place;
	char *waiter;

	while ((place = pool_deadlines_due(&pool->wait_deadlines, pool->now_us)) != NULL) {
		waiter = (char *)place - offsetof(struct weir_pool_waiter, deadline_at);
		wait_expire(pool, (struct weir_pool_waiter *)(void *)waiter);
	}
}

/* --- idle connections --------------------------------------------------------------------------------------------- */

/* It has an entry of an earlier rest that comes up in time: as nearly all have that are lent again and again. */
static bool comes_up_before(const struct weir_pool *pool, const struct slot *slot, uint64_t due_us)
{
	return slot->deadline_at != POOL_NO_DEADLINE && pool_deadlines_of(&pool->idle_deadlines, &slot->deadline_at) <= due_us;
}

/* Its entry, if it has one, is an earlier rest's. */
__attribute__((noinline)) static void idle_enlist(struct weir_pool *pool, struct slot *slot)
{
	pool_deadlines_remove(&pool->idle_deadlines, &slot->deadline_at);
	if (slot->state != SLOT_IDLE || slot->idle_until_us == POOL_NEVER)
		return;
	pool_deadlines_add(&pool->idle_deadlines, &slot->deadline_at, slot->idle_until_us);
	pool_plan(pool, slot->idle_until_us);
}

/* Who is the first to have been idle for too long, if it is so by then; NULL: nobody. What is out of date is put right. */
static struct slot *idle_due(struct weir_pool *pool, uint64_t by_us)
{
	uint32_t *place;

	while ((place = pool_deadlines_due(&pool->idle_deadlines, by_us)) != NULL) {
		struct slot *slot = (struct slot *)(void *)((char *)place - offsetof(struct slot, deadline_at));

		if (slot->state == SLOT_IDLE && slot->idle_until_us == pool_deadlines_of(&pool->idle_deadlines, place))
			return slot;
		idle_enlist(pool, slot);
	}
	return NULL;
}

bool pool_idle_goes_on(struct weir_pool *pool, struct slot *slot, uint64_t now_us)
{
	uint64_t timeout_us = pool->config.idle_timeout_us, due_us = now_us + timeout_us;
	bool trims = pool_count(pool, SLOT_IDLE) > 0 && pool->trim_us == POOL_NEVER && pool->config.trim_interval_us > 0;

	/* A sum that wraps is before now, and nothing comes up then in a pool at rest. */
	if (timeout_us == 0 || due_us > slot->expires_us)
		due_us = slot->expires_us;
	if (trims || (!comes_up_before(pool, slot, due_us) && due_us != POOL_NEVER))
		return false;
	slot->idle_until_us = due_us;
	return true;
}

static void idle_time(struct weir_pool *pool, struct slot *slot)
{
	uint64_t timeout_us = pool->config.idle_timeout_us;
	uint64_t due_us = slot->expires_us;

	if (timeout_us > 0 && pool_time_after(pool->now_us, timeout_us) < due_us)
		due_us = pool_time_after(pool->now_us, timeout_us);
	slot->idle_until_us = due_us;
	if (!comes_up_before(pool, slot, due_us))
		idle_enlist(pool, slot);
}

__attribute__((noinline)) static void trim_begin(struct weir_pool *pool)
{
	uint32_t idle = pool_count(pool, SLOT_IDLE);

	if (pool->config.trim_interval_us == 0 || idle <= pool->config.idle_min + 1)
		return;
	pool->idle_low = idle;
	pool->trim_us = pool_time_after(pool->now_us, pool->config.trim_interval_us);
	pool_plan(pool, pool->trim_us);
}

void pool_idle_began(struct weir_pool *pool, struct slot *slot)
{
	idle_time(pool, slot);
	/* The half of one is none: the last is left to idle_timeout. */
	if (pool->trim_us == POOL_NEVER && pool_count(pool, SLOT_IDLE) > pool->config.idle_min + 1)
		trim_begin(pool);
}

static void idle_expire(struct weir_pool *pool)
{
	struct slot *slot;

	while ((slot = idle_due(pool, pool->now_us)) != NULL)
		pool_slot_doom(pool, slot,
			slot->expires_us <= pool->now_us ? WEIR_POOL_CLOSE_LIFETIME : WEIR_POOL_CLOSE_IDLE);
}

static void idle_trim(struct weir_pool *pool)
{
	uint32_t excess;

	if (pool->trim_us > pool->now_us)
		return;
	excess = pool->idle_low > pool->config.idle_min ? pool->idle_low - pool->config.idle_min : 0;
	for (uint32_t n = excess / 2; n > 0; n--)
		pool_slot_doom(pool, pool_slot_last(pool, SLOT_IDLE), WEIR_POOL_CLOSE_TRIMMED);
	pool->trim_us = POOL_NEVER;
	trim_begin(pool);
}

/* --- checks, opens ------------------------------------------------------------------------------------------------ */

/* When the oldest member of a list has been there for `span_us`; POOL_NEVER: it is empty, or there is no limit. */
static uint64_t list_due_us(const struct weir_pool *pool, enum slot_state state, uint64_t span_us)
{
	const struct slot *last = pool_slot_last(pool, state);

	return last == NULL || span_us == 0 ? POOL_NEVER : pool_time_after(last->since_us, span_us);
}

/* A check that hangs does not keep its slot. */
static void checks_expire(struct weir_pool *pool)
{
	if (POOL_PLANTED(CHECK_NEVER_TIMES_OUT))
		return;
	while (list_due_us(pool, SLOT_CHECKING, pool->config.check_timeout_us) <= pool->now_us)
		pool_slot_doom(pool, pool_slot_last(pool, SLOT_CHECKING), WEIR_POOL_CLOSE_CHECK_FAILED);
}

void pool_back_off(struct weir_pool *pool)
{
	uint64_t span_us = pool->config.backoff_min_us;

	for (uint32_t n = 1; n < pool->failures && span_us < pool->config.backoff_max_us; n++)
		span_us = span_us <= UINT64_MAX / 2 ? span_us * 2 : UINT64_MAX;
	if (span_us > pool->config.backoff_max_us)
		span_us = pool->config.backoff_max_us;
	if (span_us == 0)
		return;
	span_us = span_us - span_us / 2 + pool_draw(pool, span_us / 2 + 1);
	pool->backoff_us = pool_time_after(pool->now_us, span_us);
	pool_plan(pool, pool->backoff_us);
}

void pool_pause_ahead(struct weir_pool *pool, uint64_t until_us)
{
	if (pool->config.idle_min == 0)
		return;
	if (pool->ahead_us < until_us)
		pool->ahead_us = until_us;
	pool_plan(pool, pool->ahead_us);
}

void pool_expire(struct weir_pool *pool)
{
	if (pool->next_us > pool->now_us)
		return;
	waits_expire(pool);
	idle_expire(pool);
	checks_expire(pool);
	idle_trim(pool);
}

/* --- leases held too long ----------------------------------------------------------------------------------------- */

/* The lease held longest, if it is due; NULL else. One whose borrower has not been told yet is not held. */
static struct slot *lease_due(struct weir_pool *pool, enum slot_state state, uint64_t span_us)
{
	struct slot *slot = pool_slot_last(pool, state);

	return list_due_us(pool, state, span_us) <= pool->now_us && slot->held ? slot : NULL;
}

static void tell_overdue(struct weir_pool *pool, const struct slot *slot, enum weir_pool_overdue what)
{
	if (pool->ops.overdue == NULL)
		return;
	pool->calling++;
	pool->ops.overdue(pool->owner, slot_index(pool, slot), slot->connection, pool->now_us - slot->since_us, what);
	pool->calling--;
}

static void lease_reclaim(struct weir_pool *pool, struct slot *slot)
{
	uint32_t generation = slot->generation;

	tell_overdue(pool, slot, WEIR_POOL_RECLAIMED);
	/* Unless it was given back, or touched, meanwhile. */
	if (slot->state != SLOT_LEAKING || slot->generation != generation)
		return;
	slot->verdict = WEIR_POOL_CLOSE_RECLAIMED;
	pool_slot_return(pool, slot);
	/* Before the next is told: every callback finds the pool settled. */
	pool_settle(pool);
}

void pool_watch_leases(struct weir_pool *pool)
{
	struct slot *slot;

	while ((slot = lease_due(pool, SLOT_LEASED, pool->config.leak_after_us)) != NULL) {
		uint64_t since_us = slot->since_us;

		pool_slot_move(pool, slot, SLOT_LEAKING);
		slot->since_us = since_us;
		pool->stats.leaking++;
		tell_overdue(pool, slot, WEIR_POOL_LEAKING);
	}
	while ((slot = lease_due(pool, SLOT_LEAKING, pool->config.reclaim_after_us)) != NULL)
		lease_reclaim(pool, slot);
}

/* --- the next event ----------------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void pool_replan(struct weir_pool *pool)
{
	const struct weir_pool_config *config = &pool->config;
	const struct slot *idle = idle_due(pool, POOL_NEVER);
	uint64_t due_us = earlier(pool_deadlines_next(&pool->wait_deadlines), idle != NULL ? idle->idle_until_us : POOL_NEVER);

	due_us = earlier(due_us, pool->trim_us);
	due_us = earlier(due_us, list_due_us(pool, SLOT_CHECKING, config->check_timeout_us));
	due_us = earlier(due_us, list_due_us(pool, SLOT_LEASED, config->leak_after_us));
	due_us = earlier(due_us, list_due_us(pool, SLOT_LEAKING, config->reclaim_after_us));
	if (pool->ahead_us > pool->now_us)
		due_us = earlier(due_us, pool->ahead_us);
	if (pool->backoff_us > pool->now_us)
		due_us = earlier(due_us, pool->backoff_us);
	else if (!pool_open_needed(pool) && pool_open_ahead(pool) && pool_may_connect(pool))
		due_us = earlier(due_us, pool_time_after(pool->now_us, POOL_AHEAD_RETRY_US));
	if (pool->budget != NULL && pool_overflow_wanted(pool))
		due_us = earlier(due_us, pool_overflow_retry_us(pool));
	if (pool_open_needed(pool) && pool_count(pool, SLOT_CONNECTING) < config->connecting_max &&
		pool_next_attempt_us(pool) > pool->now_us)
		due_us = earlier(due_us, pool_next_attempt_us(pool));
	due_us = earlier(due_us, pool_queue_due_us(pool));
	if (pool->withholds && pool_count(pool, SLOT_IDLE) > 0)
		due_us = earlier(due_us, pool_linger_ends_us(pool));
	pool->next_us = due_us;
}
