/*
 * The books: the counts as they are told to the outside, and a recount of everything they rest on.
 */
#include "pool/engine.h"

#include <stdio.h>
#include <stdlib.h>

void pool_check_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "weir_pool: %s:%d: not true: %s\n", file, line, condition);
	abort();
}

void weir_pool_stats(const struct weir_pool *pool, struct weir_pool_stats *stats)
{
	*stats = pool->stats;
	stats->acquires[WEIR_POOL_DELIVERED] += pool->at_once;
	stats->reused += pool->at_once - pool->at_once_first;
	stats->wait.buckets[0] += pool->at_once;
	stats->use = pool->use;
	stats->idle = pool_count(pool, SLOT_IDLE);
	stats->connecting = pool_count(pool, SLOT_CONNECTING);
	stats->checking = pool_checking(pool);
	stats->leased = pool_leased(pool);
	stats->closing = pool_ending(pool);
	stats->waiting = pool->waiting;
}

/* The oldest leases of one list. */
static uint32_t oldest_of(const struct weir_pool *pool, enum slot_state state, struct weir_pool_held *held, uint32_t count)
{
	uint32_t n = 0;

	for (struct slot *slot = pool_slot_last(pool, state); slot != NULL && n < count; slot = pool_slot_newer(pool, slot))
		if (slot->held)
			held[n++] = (struct weir_pool_held){slot_index(pool, slot), slot->connection, slot->since_us};
	return n;
}

uint32_t weir_pool_oldest(const struct weir_pool *pool, struct weir_pool_held *held, uint32_t count)
{
	uint32_t n = oldest_of(pool, SLOT_LEAKING, held, count);

	return n + oldest_of(pool, SLOT_LEASED, held + n, count - n);
}

/* The place of a member leads to its entry, and the entry back to it. */
static bool deadline_agrees(const struct pool_deadlines *d, const uint32_t *place)
{
	return *place < d->count && d->entries[*place].place == place;
}

/* The entry of one that is idle comes up no later than its time is over. */
static bool idle_ends(const struct weir_pool *pool, const struct slot *slot)
{
	if (slot->state != SLOT_IDLE || slot->idle_until_us == POOL_NEVER)
		return true;
	return slot->deadline_at < pool->idle_deadlines.count &&
		pool_deadlines_of(&pool->idle_deadlines, &slot->deadline_at) <= slot->idle_until_us;
}

static const char *audit_slot_list(const struct weir_pool *pool, enum slot_state state)
{
	const struct slot_list *list = &pool->in[state];
	const struct slot_link *prev = &list->ring;
	uint32_t count = 0;

	for (const struct slot *slot = pool_slot_first(pool, state); slot != NULL; slot = pool_slot_older(pool, slot)) {
		if (slot_index(pool, slot) >= pool->slots_used || count++ >= list->count)
			return "a list of slots is longer than its count";
		if (slot->state != state)
			return "a slot is in a list that is not its state's";
		if (slot->link.prev != prev)
			return "a list of slots is broken";
		prev = &slot->link;
	}
	if (list->ring.prev != prev || count != list->count)
		return "a list of slots is shorter than its count";
	return NULL;
}

static const char *audit_slots(const struct weir_pool *pool)
{
	const char *wrong = NULL;
	uint32_t total = 0, opened = 0, timed = 0;

	for (int state = 0; state < SLOT_STATES && wrong == NULL; state++) {
		wrong = audit_slot_list(pool, state);
		total += pool->in[state].count;
	}
	if (wrong != NULL)
		return wrong;
	if (total != pool->slots_used)
		return "a slot is in no list";
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		const struct slot *slot = &pool->slots[i];

		opened += slot->state != SLOT_FREE && slot->opened;
		if (!idle_ends(pool, slot))
			return "an idle connection is not closed in time";
		if (slot->deadline_at == POOL_NO_DEADLINE)
			continue;
		timed++;
		if (!deadline_agrees(&pool->idle_deadlines, &slot->deadline_at))
			return "the deadline of an idle connection is not its own";
	}
	if (timed != pool->idle_deadlines.members)
		return "more idle deadlines than connections";
	return pool->stats.opened - pool->stats.closed == opened ? NULL : "opened - closed is not what is there";
}

/* A connection kept for a waiter that has still to be told is leased. */
static bool lease_agrees(const struct weir_pool *pool, const struct weir_pool_waiter *waiter)
{
	if (waiter->outcome != WEIR_POOL_DELIVERED)
		return true;
	return waiter->slot < pool->slots_used && pool->slots[waiter->slot].state == SLOT_LEASED &&
		!pool->slots[waiter->slot].held;
}

static const char *audit_waiters(const struct weir_pool *pool, const struct waiter_list *list, enum waiter_stage stage)
{
	const struct weir_pool_waiter *prev = NULL;
	uint32_t count = 0;

	for (const struct weir_pool_waiter *w = list->first; w != NULL; prev = w, w = w->next) {
		if (count++ >= list->count)
			return "a list of waiters is longer than its count";
		if (w->stage != stage || w->pool != pool || w->prev != prev)
			return "a list of waiters is broken";
		if (stage == WAITER_RESOLVED && !lease_agrees(pool, w))
			return "a connection kept for a waiter is not leased";
		if (stage == WAITER_RESOLVED)
			continue;
		if (!deadline_agrees(&pool->wait_deadlines, &w->deadline_at))
			return "the deadline of a waiter is not its own";
		if (w->deadline_us <= pool->now_us || (w->patience_us <= pool->now_us && !w->overdue))
			return "a waiter is past its deadline";
	}
	return list->last == prev && count == list->count ? NULL : "a list of waiters is shorter than its count";
}

static const char *audit_queues(const struct weir_pool *pool)
{
	const char *wrong = audit_waiters(pool, &pool->outcomes, WAITER_RESOLVED);
	uint32_t waiting = 0, overdue = 0;

	for (int i = 0; i < QUEUES && wrong == NULL; i++) {
		wrong = audit_waiters(pool, &pool->queues[i], WAITER_WAITING);
		waiting += pool->queues[i].count;
		for (const struct weir_pool_waiter *w = pool->queues[i].first; w != NULL && wrong == NULL; w = w->next)
			overdue += w->overdue;
	}
	if (wrong != NULL)
		return wrong;
	if (waiting != pool->waiting || waiting != pool->wait_deadlines.members || overdue != pool->overdue)
		return "the waiters are not as many as counted";
	return NULL;
}

/* The next event is not later than any deadline. */
static bool plan_agrees(const struct weir_pool *pool, const struct pool_deadlines *d)
{
	for (uint32_t i = 0; i < d->count; i++)
		if (d->entries[i].place != NULL && d->entries[i].due_us < pool->next_us)
			return false;
	return true;
}

static const char *audit_limits(const struct weir_pool *pool)
{
	const struct weir_pool_config *config = &pool->config;

	if (pool_live(pool) > pool->slots_max || pool_count(pool, SLOT_CONNECTING) > config->connecting_max)
		return "more connections than allowed";
	if (pool->budget != NULL && pool_live(pool) > weir_pool_budget_used(pool->budget))
		return "more connections than units taken from the budget";
	/* And the newcomer, until the acquire that is asking knows whether there is a place for it. */
	if (pool->waiting > config->waiters_max + pool->slots_max + 1 + pool->asking)
		return "more waiters than allowed";
	return NULL;
}

/* What is idle serves nobody who waits, or is about to be checked for them. */
static bool idle_agrees(const struct weir_pool *pool)
{
	uint32_t served = pool_waiting_for_any(pool);

	if (pool_count(pool, SLOT_IDLE) == 0)
		return true;
	/* The check is asked for when the call that asks returns. */
	if (pool->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE)
		return pool->asking || served <= pool_count(pool, SLOT_CHECKING);
	return served == 0;
}

/* What is left to the call that asks, until it returns. */
static const char *audit_asked(const struct weir_pool *pool)
{
	if (pool_count(pool, SLOT_DOOMED) > 0 || pool_count(pool, SLOT_RETURNED) > 0)
		return "nobody was asked to close a doomed connection, or to check a returned one";
	if (pool->budget == NULL && pool_open_needed(pool) && pool_may_connect(pool) &&
		pool_live(pool) < pool->config.connections_max)
		return "somebody waits although there is room to open";
	if (pool->budget == NULL && pool_open_ahead(pool) && pool_may_connect(pool) && pool->next_us > pool->now_us)
		return "fewer are idle than there should be";
	return pool_queue_audit(pool);
}

/* What a pool at rest is spared must be nothing. */
static bool rest_agrees(const struct weir_pool *pool)
{
	return pool_stays_settled(pool) && pool->rests_until_us <= pool->next_us;
}

/* What must hold between the counts whenever a call has returned. */
static const char *audit_rules(const struct weir_pool *pool)
{
	const char *wrong = audit_limits(pool);

	if (wrong != NULL)
		return wrong;
	if (!idle_agrees(pool))
		return "somebody waits beside an idle connection";
	if (pool->stage >= POOL_CLOSING && (pool->waiting + pool_count(pool, SLOT_IDLE) + pool_supply(pool) > 0))
		return "a closing pool has waiters or connections to lease";
	if (pool->rests_until_us > 0 && !rest_agrees(pool))
		return "a pool is said to rest that does not";
	if (pool->asking)
		return NULL;
	wrong = audit_asked(pool);
	if (wrong != NULL)
		return wrong;
	if (!plan_agrees(pool, &pool->wait_deadlines) || !plan_agrees(pool, &pool->idle_deadlines))
		return "a deadline comes before the next event";
	if (pool->calling == 0 && !pool->woken && pool->outcomes.count > 0)
		return "outcomes to tell and no wake";
	return NULL;
}

const char *weir_pool_audit(const struct weir_pool *pool)
{
	const char *wrong = audit_slots(pool);

	if (wrong == NULL)
		wrong = audit_queues(pool);
	return wrong == NULL ? audit_rules(pool) : wrong;
}
