/*
 * Waiters: one queue for those who want a fresh connection and one per priority, first come first served within each, and
 * one list of those whose outcome is still to be told. The memory is the callers'; it is not touched after
 * pool_waiter_end.
 */
#include "pool/engine.h"

#include <stddef.h>

/* Behind `prev`; NULL: before all. */
static void list_insert(struct waiter_list *list, struct weir_pool_waiter *waiter, struct weir_pool_waiter *prev)
{
	struct weir_pool_waiter *next = prev == NULL ? list->first : prev->next;

	waiter->prev = prev;
	waiter->next = next;
	*(prev == NULL ? &list->first : &prev->next) = waiter;
	*(next == NULL ? &list->last : &next->prev) = waiter;
	list->count++;
}

static void list_remove(struct waiter_list *list, struct weir_pool_waiter *waiter)
{
	*(waiter->prev == NULL ? &list->first : &waiter->prev->next) = waiter->next;
	*(waiter->next == NULL ? &list->last : &waiter->next->prev) = waiter->prev;
	waiter->prev = waiter->next = NULL;
	list->count--;
}

/* The queue that the waiter belongs into. */
static uint8_t pool_waiter_queue(const struct weir_pool_waiter *waiter)
{
	if (waiter->fresh)
		return QUEUE_FRESH;
	return QUEUE_FIRST + (waiter->priority < POOL_PRIORITIES ? waiter->priority : POOL_PRIORITIES - 1);
}

/* The last of those who have waited for at least as long: a newcomer's is the last of all. */
static struct weir_pool_waiter *last_before(const struct waiter_list *queue, const struct weir_pool_waiter *waiter)
{
	struct weir_pool_waiter *last = queue->last;

	while (last != NULL && last->queued_us > waiter->queued_us)
		last = last->prev;
	return last;
}

void pool_waiter_enqueue(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	uint64_t due_us = waiter->patience_us < waiter->deadline_us ? waiter->patience_us : waiter->deadline_us;

	waiter->queue = pool_waiter_queue(waiter);
	waiter->stage = WAITER_WAITING;
	waiter->overdue = false;
	if (pool->waiting == 0)
		pool_queue_began(pool);
	list_insert(&pool->queues[waiter->queue], waiter, last_before(&pool->queues[waiter->queue], waiter));
	pool->waiting++;
	pool_deadlines_add(&pool->wait_deadlines, &waiter->deadline_at, due_us);
	pool_plan(pool, due_us);
}

struct weir_pool_waiter *pool_waiter_next(struct weir_pool *pool)
{
	if (pool->waiting == 0)
		return NULL;
	for (int i = QUEUE_FIRST; i < QUEUES; i++)
		if (pool->queues[i].first != NULL)
			return POOL_PLANTED(NEWCOMER_OVERTAKES) ? pool->queues[i].last : pool->queues[i].first;
	return NULL;
}

struct weir_pool_waiter *pool_waiter_next_fresh(struct weir_pool *pool)
{
	struct weir_pool_waiter *first = pool->queues[QUEUE_FRESH].first;

	return first != NULL ? first : pool_waiter_next(pool);
}

uint32_t weir_pool_waiting(const struct weir_pool *pool, struct weir_pool_waiter **waiters, uint32_t count)
{
	uint32_t n = 0;

	for (int i = 0; i < QUEUES; i++)
		for (struct weir_pool_waiter *waiter = pool->queues[i].first; waiter != NULL && n < count; waiter = waiter->next)
			waiters[n++] = waiter;
	return n;
}

/* Out of whatever list it is in. */
static void waiter_leave(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (waiter->stage == WAITER_WAITING) {
		list_remove(&pool->queues[waiter->queue], waiter);
		pool->waiting--;
		pool->overdue -= waiter->overdue;
		pool_deadlines_remove(&pool->wait_deadlines, &waiter->deadline_at);
	} else if (waiter->stage == WAITER_RESOLVED) {
		list_remove(&pool->outcomes, waiter);
	}
}

void pool_waiter_resolve(struct weir_pool *pool, struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	if (outcome != WEIR_POOL_REJECTED || !POOL_PLANTED(SHED_STAYS_QUEUED))
		waiter_leave(pool, waiter);
	waiter->stage = WAITER_RESOLVED;
	waiter->outcome = (uint8_t)outcome;
	if (outcome == WEIR_POOL_DELIVERED)
		pool_queue_served(pool, waiter);
	list_insert(&pool->outcomes, waiter, pool->outcomes.last);
}

void pool_waiter_take_out(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	waiter_leave(pool, waiter);
	waiter->stage = WAITER_NEW;
}

enum weir_pool_outcome pool_waiter_end(struct weir_pool *pool, struct weir_pool_waiter *waiter,
	enum weir_pool_outcome outcome)
{
	waiter_leave(pool, waiter);
	waiter->stage = WAITER_ENDED;
	pool->stats.acquires[outcome]++;
	if (outcome != WEIR_POOL_DELIVERED) {
		if (outcome == WEIR_POOL_REJECTED)
			pool->stats.refusals[waiter->refusal]++;
		return outcome;
	}
	pool_lease_hand_over(pool, waiter);
	pool->stats.reused += waiter->reused;
	pool_times_add(&pool->stats.wait, pool->now_us - waiter->queued_us);
	return outcome;
}
