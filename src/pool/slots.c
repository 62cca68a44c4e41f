/*
 * Slots: an array reserved at creation for all connections there may be, linked into one list per state. Slots are taken
 * into use from the front of the array, so memory that was never needed is never touched.
 */
#include "pool/engine.h"

#include <stddef.h>

#define STEP(state) (1U << SLOT_##state)

/* The arrows of the diagram in engine.h. */
static const uint16_t slot_steps[SLOT_STATES] = {
	[SLOT_FREE] = STEP(CONNECTING),
	[SLOT_CONNECTING] = STEP(FREE) | STEP(IDLE) | STEP(LEASED) | STEP(DOOMED),
	[SLOT_IDLE] = STEP(CHECKING) | STEP(LEASED) | STEP(DOOMED),
	[SLOT_RETURNED] = STEP(CHECKING) | STEP(DOOMED),
	[SLOT_CHECKING] = STEP(IDLE) | STEP(LEASED) | STEP(DOOMED),
	[SLOT_LEASED] = STEP(IDLE) | STEP(RETURNED) | STEP(LEASED) | STEP(LEAKING) | STEP(DOOMED),
	[SLOT_LEAKING] = STEP(IDLE) | STEP(RETURNED) | STEP(LEASED) | STEP(DOOMED),
	[SLOT_DOOMED] = STEP(CLOSING) | STEP(FREE),
	[SLOT_CLOSING] = STEP(FREE),
};

void pool_slots_init(struct weir_pool *pool)
{
	for (int state = 0; state < SLOT_STATES; state++)
		pool->in[state].ring = (struct slot_link){&pool->in[state].ring, &pool->in[state].ring};
}

/* One that was never used: FREE, and first to be taken. */
static struct slot *slot_begin(struct weir_pool *pool)
{
	struct slot *slot = &pool->slots[pool->slots_used++];
	struct slot_link *ring = &pool->in[SLOT_FREE].ring;

	*slot = (struct slot){.link = {ring, ring->next}, .state = SLOT_FREE, .deadline_at = POOL_NO_DEADLINE};
	ring->next->prev = &slot->link;
	ring->next = &slot->link;
	pool->in[SLOT_FREE].count++;
	return slot;
}

struct slot *pool_slot_take(struct weir_pool *pool)
{
	struct slot *slot = pool_slot_first(pool, SLOT_FREE);

	if (slot == NULL) {
		POOL_CHECK(pool->slots != NULL && pool->slots_used < pool->slots_max);
		slot = slot_begin(pool);
	}
	pool_slot_move(pool, slot, SLOT_CONNECTING);
	slot->connection = NULL;
	slot->expires_us = POOL_NEVER;
	slot->uses = 0;
	slot->verdict = SLOT_GOOD;
	slot->opened = false;
	slot->held = false;
	return slot;
}

void pool_slot_move(struct weir_pool *pool, struct slot *slot, enum slot_state to)
{
	POOL_CHECK(slot_steps[slot->state] & (1U << to));
	pool_slot_step(pool, slot, (enum slot_state)slot->state, to);
}

__attribute__((noinline)) void pool_slot_doom(struct weir_pool *pool, struct slot *slot, enum weir_pool_close_reason why)
{
	bool died = why == WEIR_POOL_CLOSE_SPOILED || why == WEIR_POOL_CLOSE_CHECK_FAILED || why == WEIR_POOL_CLOSE_IDLE;

	/* A service that takes connections and ends them at once, or soon, is not given one after the other. */
	if (died && slot->uses == 0)
		pool_pause_ahead(pool, pool_time_after(pool->now_us, POOL_AHEAD_RETRY_US));
	pool_deadlines_remove(&pool->idle_deadlines, &slot->deadline_at);
	slot->verdict = (uint8_t)why;
	pool->stats.closes[why] += slot->opened;
	pool_slot_move(pool, slot, SLOT_DOOMED);
}

struct slot *pool_slot_named(struct weir_pool *pool, uint32_t index)
{
	return index < pool->slots_used ? &pool->slots[index] : NULL;
}

struct slot *pool_slot_leased(struct weir_pool *pool, struct weir_pool_lease lease)
{
	struct slot *slot = pool_slot_named(pool, lease.slot - 1);

	if (POOL_PLANTED(DOUBLE_GIVE_BACK_ACCEPTED) && slot != NULL)
		lease.generation = slot->generation;
	if (POOL_PLANTED(RECLAIMED_ACCEPTED) && slot != NULL && slot->verdict == WEIR_POOL_CLOSE_RECLAIMED)
		return slot;
	if (slot == NULL || (slot->state != SLOT_LEASED && slot->state != SLOT_LEAKING) ||
		slot->generation != lease.generation || pool->serial != lease.pool)
		return NULL;
	return slot;
}
