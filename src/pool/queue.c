/*
 * The discipline of the queue: who is told that it is no use to wait.
 *
 *   a newcomer who would not be served in time     LATE        the pace (pace.h) says so
 *   who has waited for the target while the queue  SHED
 *   stands (codel.h)
 *   the newcomer to a full queue                   QUEUE_FULL  or in its place the newest of the lowest priority, if that is lower
 *
 * Newcomers to a queue that stands are let wait, though nine of ten may do so in vain. Told at once, clients that come again
 * at once would do so as fast as they can be told, and what they take of the processor is taken from those who are served. So
 * each asks once in the target, and whoever is served is the one who has waited for nearly as long.
 *
 * Nobody is refused for the pace or the target beside room to open a connection: then it is not the connections in use that
 * are waited for. And never so many that those who return a connection find nobody: for each that has one two may wait, one
 * at least, and of these it is who has waited longest that goes when somebody comes. So a service that is the limit is never
 * without work, and where serving takes longer than the target the whole takes three times as long as the service at most.
 *
 * Who wants a fresh connection has waited, and mostly been served, before: it is left alone.
 */
#include "pool/engine.h"

#include <stddef.h>

#define KEPT_TIMES 2  /* as many wait for each connection in use, whatever the target */

/* --- how the queue goes ------------------------------------------------------------------------------------------- */

void pool_queue_began(struct weir_pool *pool)
{
	pool_codel_begin(&pool->codel);
	pool_pace_begin(&pool->pace);
}

/* The longest that anybody has waited: who is served, or who was passed over for it. */
static uint64_t longest_wait_us(const struct weir_pool *pool, const struct weir_pool_waiter *served)
{
	uint64_t since_us = served->queued_us;

	for (int i = QUEUE_FIRST; i < QUEUES; i++)
		if (pool->queues[i].first != NULL && pool->queues[i].first->queued_us < since_us)
			since_us = pool->queues[i].first->queued_us;
	return pool->now_us - since_us;
}

void pool_queue_served(struct weir_pool *pool, const struct weir_pool_waiter *waiter)
{
	pool_pace_served(&pool->pace, pool->now_us);
	/* Else nobody has to look for who has waited longest. */
	if (pool->codel.target_us != 0)
		pool_codel_served(&pool->codel, pool->now_us, longest_wait_us(pool, waiter), pool->waiting);
}

/* There may be one connection more, now or soon. */
static bool could_open(struct weir_pool *pool)
{
	return pool_room_left(pool) > 0 || pool_overflow_has_room(pool);
}

/* As many are left to wait, whatever they wait for. */
static uint32_t kept(const struct weir_pool *pool)
{
	uint32_t leased = pool_leased(pool);

	return pool_supply(pool) + (leased > 0 ? KEPT_TIMES * leased : 1);
}

/* More wait than are kept, and while the queue stands nobody is to wait for longer than the target. */
static bool too_many_wait(const struct weir_pool *pool)
{
	return pool->codel.standing && pool->waiting > kept(pool);
}

static uint64_t shed_due_us(const struct weir_pool *pool, const struct weir_pool_waiter *waiter)
{
	return pool_time_after(waiter->queued_us, pool->codel.target_us);
}

uint64_t weir_pool_backlog_us(const struct weir_pool *pool, uint64_t now_us)
{
	if (pool->waiting == 0 || !pool_pace_is_known(&pool->pace))
		return 0;
	return pool_pace_wait_us(&pool->pace, now_us > pool->now_us ? now_us : pool->now_us, pool->waiting);
}

void weir_pool_excuse_queue(struct weir_pool *pool, uint64_t until_us)
{
	pool_codel_excuse(&pool->codel, until_us);
}

/* --- newcomers ---------------------------------------------------------------------------------------------------- */

/* Who is refused for its own short deadline says nothing about the queue. */
static bool tells_full(const struct weir_pool_waiter *waiter, enum weir_pool_refusal why)
{
	return why == WEIR_POOL_QUEUE_FULL || (why == WEIR_POOL_LATE && waiter->deadline_us >= waiter->patience_us);
}

void pool_queue_refuse(struct weir_pool *pool, struct weir_pool_waiter *waiter, enum weir_pool_refusal why)
{
	waiter->refusal = (uint8_t)why;
	waiter->reason = pool_timeout_reason(pool);
	pool_codel_refused(&pool->codel, pool->now_us);
	if (tells_full(waiter, why))
		pool_codel_full(&pool->codel, pool->now_us);
}

/* How many are served before whoever is last of this queue, and it. What is on its way to somebody is left out. */
static uint32_t place_of_last(const struct weir_pool *pool, uint8_t queue)
{
	uint32_t place = 0, supply = pool_supply(pool);

	for (int i = 0; i <= queue; i++)
		place += pool->queues[i].count;
	return place > supply ? place - supply : 0;
}

/* How long the newcomer would wait. While the queue stands those before it leave it, too, when they have waited for the target. */
static uint64_t expected_us(const struct weir_pool *pool, uint32_t place)
{
	uint64_t wait_us = pool_pace_wait_us(&pool->pace, pool->now_us, place);

	return too_many_wait(pool) && wait_us > pool->codel.target_us ? pool->codel.target_us : wait_us;
}

enum weir_pool_refusal pool_queue_refusal(struct weir_pool *pool, const struct weir_pool_waiter *waiter)
{
	uint64_t due_us = waiter->patience_us < waiter->deadline_us ? waiter->patience_us : waiter->deadline_us;
	uint32_t place;

	if (!pool->config.refuse_late || !pool_pace_is_known(&pool->pace))
		return WEIR_POOL_NOT_REFUSED;
	place = place_of_last(pool, waiter->queue);
	if (waiter->fresh || (place < 2 && !POOL_PLANTED(LATE_BESIDE_EMPTY_QUEUE)) || could_open(pool))
		return WEIR_POOL_NOT_REFUSED;
	return expected_us(pool, place) > due_us - pool->now_us ? WEIR_POOL_LATE : WEIR_POOL_NOT_REFUSED;
}

bool pool_queue_make_room(struct weir_pool *pool, const struct weir_pool_waiter *newcomer)
{
	int priority = newcomer->priority < POOL_PRIORITIES ? newcomer->priority : POOL_PRIORITIES - 1;

	for (int i = QUEUES - 1; i > QUEUE_FIRST + priority; i--) {
		struct weir_pool_waiter *newest = pool->queues[i].last;

		if (newest == NULL)
			continue;
		pool_queue_refuse(pool, newest, WEIR_POOL_QUEUE_FULL);
		pool_waiter_resolve(pool, newest, WEIR_POOL_REJECTED);
		/* A unit of the budget that was asked for both of them may not be needed any more. */
		if (!pool->asking)
			pool_forgo(pool);
		return true;
	}
	return false;
}

/* --- who waits already -------------------------------------------------------------------------------------------- */

/* Whose time is over: of the lowest priority first, and there who has waited longest. NULL: nobody's. */
static struct weir_pool_waiter *shed_next(struct weir_pool *pool)
{
	for (int i = QUEUES - 1; i >= QUEUE_FIRST; i--) {
		struct weir_pool_waiter *first = pool->queues[i].first;

		if (first != NULL && shed_due_us(pool, first) <= pool->now_us)
			return first;
	}
	return NULL;
}

uint64_t pool_queue_due_us(const struct weir_pool *pool)
{
	uint64_t due_us = POOL_NEVER;

	for (int i = QUEUE_FIRST; i < QUEUES && too_many_wait(pool); i++) {
		const struct weir_pool_waiter *first = pool->queues[i].first;

		/* Whose time is over and who is here still, beside room to open, is looked at in the next call. */
		if (first != NULL && shed_due_us(pool, first) > pool->now_us && shed_due_us(pool, first) < due_us)
			due_us = shed_due_us(pool, first);
	}
	return due_us;
}

const char *pool_queue_audit(const struct weir_pool *pool)
{
	if (pool->codel.standing && pool->codel.target_us == 0)
		return "a queue stands, and nobody looks for that";
	if (pool_queue_due_us(pool) < pool->next_us)
		return "somebody is to be shed before the next event";
	return NULL;
}

void pool_queue_shed_late(struct weir_pool *pool)
{
	if (pool->asking || !too_many_wait(pool))
		return;
	/* Each time anew: whoever was to have a connection beyond the maximum leaves room for another one. */
	for (uint32_t n = pool->waiting; n > 0 && too_many_wait(pool) && !could_open(pool); n--) {
		struct weir_pool_waiter *waiter = shed_next(pool);

		if (waiter == NULL)
			break;
		pool_queue_refuse(pool, waiter, WEIR_POOL_SHED);
		pool_waiter_resolve(pool, waiter, WEIR_POOL_REJECTED);
	}
	pool_plan(pool, pool_queue_due_us(pool));
	pool_forgo(pool);
}
