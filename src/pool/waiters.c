/*
 * Waiters: one queue per priority, first come first served within it, and one list of those whose outcome is still to
 * be told. The memory is the callers'; it is not touched after pool_waiter_end.
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

void pool_waiter_enqueue(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	waiter->queue = waiter->priority < POOL_PRIORITIES ? waiter->priority : POOL_PRIORITIES - 1;
	waiter->stage = WAITER_WAITING;
	list_append(&pool->queues[waiter->queue], waiter);
	pool->waiting++;
	pool_deadlines_add(&pool->wait_deadlines, &waiter->deadline_at, waiter->deadline_us);
	pool_plan(pool, waiter->deadline_us);
}

struct weir_pool_waiter *pool_waiter_next(struct weir_pool *pool)
{
	if (pool->waiting == 0)
		return NULL;
	for (int i = 0; i < POOL_PRIORITIES; i++)
		if (pool->queues[i].first != NULL)
			return pool->queues[i].first;
	return NULL;
}

/* Out of whatever list it is in. */
static void waiter_leave(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (waiter->stage == WAITER_WAITING) {
		list_remove(&pool->queues[waiter->queue], waiter);
		pool->waiting--;
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
	if (outcome == WEIR_POOL_DELIVERED)
		pool_lease_hand_over(pool, waiter);
	pool->stats.acquires[outcome]++;
	if (outcome == WEIR_POOL_DELIVERED && waiter->reused)
		pool->stats.reused++;
	return outcome;
}

void pool_waiters_expire(struct weir_pool *pool)
{
	uint32_t *place;
	char *waiter;

	while ((place = pool_deadlines_due(&pool->wait_deadlines, pool->now_us)) != NULL) {
		waiter = (char *)place - offsetof(struct weir_pool_waiter, deadline_at);
		pool_waiter_resolve(pool, (struct weir_pool_waiter *)(void *)waiter, WEIR_POOL_TIMED_OUT);
	}
}
