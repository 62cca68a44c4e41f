/*
 * Waiters: one queue for those who want a fresh connection and one per priority, first come first served within each, and
 * one list of those whose outcome is still to be told. The memory is the callers'; it is not touched after
 * pool_waiter_end.
 */
#include "pool/engine.h"

#include <stddef.h>

static void list_append(struct waiter_list *list, struct weir_pool_waiter *waiter)
{
	waiter->prev = list->last;
	waiter->next = NULL;
	*(list->last == NULL ? &list->first : &list->last->next) = waiter;
	list->last = waiter;
	list->count++;
}

static void list_remove(struct waiter_list *list, struct weir_pool_waiter *waiter)
{
	*(waiter->prev == NULL ? &list->first : &waiter->prev->next) = waiter->next;
	*(waiter->next == NULL ? &list->last : &waiter->next->prev) = waiter->prev;
	waiter->prev = waiter->next = NULL;
	list->count--;
}

static uint8_t queue_of(const struct weir_pool_waiter *waiter)
{
	if (waiter->fresh)
		return QUEUE_FRESH;
	return QUEUE_FIRST + (waiter->priority < POOL_PRIORITIES ? waiter->priority : POOL_PRIORITIES - 1);
}

void pool_waiter_enqueue(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	uint64_t due_us = waiter->patience_us < waiter->deadline_us ? waiter->patience_us : waiter->deadline_us;

	waiter->queue = queue_of(waiter);
	waiter->stage = WAITER_WAITING;
	waiter->overdue = false;
	list_append(&pool->queues[waiter->queue], waiter);
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
	waiter_leave(pool, waiter);
	waiter->stage = WAITER_RESOLVED;
	waiter->outcome = (uint8_t)outcome;
	list_append(&pool->outcomes, waiter);
}

enum weir_pool_outcome pool_waiter_end(struct weir_pool *pool, struct weir_pool_waiter *waiter,
	enum weir_pool_outcome outcome)
{
	waiter_leave(pool, waiter);
	waiter->stage = WAITER_ENDED;
	pool->stats.acquires[outcome]++;
	if (outcome != WEIR_POOL_DELIVERED)
		return outcome;
	pool_lease_hand_over(pool, waiter);
	pool->stats.reused += waiter->reused;
	pool_times_add(&pool->stats.wait, pool->now_us - waiter->queued_us);
	return outcome;
}
