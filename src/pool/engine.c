/*
 * The engine: how the pool settles after every call.
 *
 * A call of pool.h changes one thing (a slot's state, a waiter's stage) and then lets the pool settle:
 *
 *   match   time out waiters, doom idle connections past their time, serve waiters from the idle ones   no callbacks
 *   ask     one connection to close or to open, again and again until there is none                     callbacks
 *   wake    once, if there are outcomes to tell or the next event came nearer                           callback
 *
 * Match runs in every call, also in one made from a callback, so at the end of each nobody who may be served waits
 * beside an idle connection. Asking happens in one loop only: a call made from inside open or close leaves it to the
 * loop that called it. A thousand opens that fail at once are a thousand rounds, not a thousand stack frames.
 *
 * Own waiters come first. What is idle after that, match gives up as far as other pools of the budget wait for a unit.
 *
 * The rule for sharing: own waiters come first for one turn. A turn begins when match first serves one of them while
 * the hand of another pool is up. It is over after POOL_TURN_MAX of them, or after its time: half the acquire timeout,
 * divided by the hands and by the connections of this pool. Then the next connection that comes back is closed instead
 * of leased, its unit goes to one of the hands (budget.c), and a new turn begins.
 *
 * So a pool gives up the faster the more it has, and pools that are never without waiters even out; with one unit they
 * take turns. It costs one connect for POOL_TURN_MAX leases, or, when leases are long, for each connection two in the
 * acquire timeout: then all hands are answered while those who wait behind them have half their patience left. A
 * connection that ends for another reason needs no turn, and none is given up for a hand that such an end will answer.
 *
 * The rule for opening: while more wait than opens are in flight, and there is room (own maximum, budget,
 * connecting_max).
 */
#include "pool/engine.h"

#include <stddef.h>

void pool_clock(struct weir_pool *pool, uint64_t now_us)
{
	if (now_us > pool->now_us)
		pool->now_us = now_us;
}

uint64_t pool_time_after(uint64_t now_us, uint64_t span_us)
{
	return span_us < UINT64_MAX - now_us ? now_us + span_us : UINT64_MAX;
}

void pool_plan(struct weir_pool *pool, uint64_t due_us)
{
	if (due_us >= pool->next_us)
		return;
	pool->next_us = due_us;
	pool->replanned = true;
}

void pool_lease_grant(struct weir_pool *pool, struct slot *slot, struct weir_pool_waiter *waiter)
{
	pool_slot_move(pool, slot, SLOT_LEASED);
	slot->generation++;
	slot->uses++;
	waiter->slot = slot_index(pool, slot);
}

void pool_lease_hand_over(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	const struct slot *slot = &pool->slots[waiter->slot];

	waiter->lease = (struct weir_pool_lease){waiter->slot + 1, slot->generation, pool->serial};
	waiter->connection = slot->connection;
	waiter->reused = slot->uses > 1;
}

void pool_slot_park(struct weir_pool *pool, struct slot *slot)
{
	const struct weir_pool_config *config = &pool->config;
	uint64_t due_us = slot->expires_us;
	bool used_up = config->uses_max > 0 && slot->uses >= config->uses_max;

	if (slot->spoiled || used_up || pool->closing || slot->expires_us <= pool->now_us) {
		pool_slot_move(pool, slot, SLOT_DOOMED);
		return;
	}
	pool_slot_move(pool, slot, SLOT_IDLE);
	if (config->idle_timeout_us > 0 && pool_time_after(pool->now_us, config->idle_timeout_us) < due_us)
		due_us = pool_time_after(pool->now_us, config->idle_timeout_us);
	if (due_us == UINT64_MAX)
		return;
	pool_deadlines_add(&pool->idle_deadlines, &slot->deadline_at, due_us);
	pool_plan(pool, due_us);
}

void pool_lease_revoke(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	struct slot *slot = &pool->slots[waiter->slot];

	slot->uses--;
	pool_slot_park(pool, slot);
}

static void idle_expire(struct weir_pool *pool)
{
	uint32_t *place;
	char *slot;

	while ((place = pool_deadlines_due(&pool->idle_deadlines, pool->now_us)) != NULL) {
		slot = (char *)place - offsetof(struct slot, deadline_at);
		pool_slot_move(pool, (struct slot *)(void *)slot, SLOT_DOOMED);
	}
}

struct slot *pool_idle_pick(struct weir_pool *pool)
{
	if (pool->config.order == WEIR_POOL_LIFO)
		return pool_slot_first(pool, SLOT_IDLE);
	return pool_slot_last(pool, SLOT_IDLE);
}

/* Idle connections bind units of the budget that other pools wait for: one is given up for each pool that does. */
static void idle_yield(struct weir_pool *pool)
{
	uint32_t missed = pool_unit_offer(pool->budget, pool->seat);

	while (pool->in[SLOT_IDLE].count > 0 && pool_ending(pool) < missed)
		pool_slot_move(pool, pool_slot_last(pool, SLOT_IDLE), SLOT_DOOMED);
}

/* One more own waiter is to be served. True: instead it is the turn of another pool; that ends this pool's. */
static bool turn_over(struct weir_pool *pool)
{
	uint32_t missed = pool_units_missed(pool->budget, pool->seat);

	if (missed <= pool_ending(pool)) {
		pool->turn_leases = 0;
		return false;
	}
	if (pool->turn_leases == 0)
		pool->turn_ends_us = pool_time_after(pool->now_us,
			pool->config.acquire_timeout_us / 2 / missed / pool_live(pool));
	if (pool->turn_leases < POOL_TURN_MAX && pool->now_us < pool->turn_ends_us) {
		pool->turn_leases++;
		return false;
	}
	pool->turn_leases = 0;
	return true;
}

/* Gives the connection that was idle longest to another pool if it is that one's turn. A new one is used first. */
static bool turn_yield(struct weir_pool *pool)
{
	struct slot *slot = pool_slot_last(pool, SLOT_IDLE);

	if (slot->uses == 0 || !turn_over(pool))
		return false;
	pool_slot_move(pool, slot, SLOT_DOOMED);
	return true;
}

void pool_match(struct weir_pool *pool)
{
	struct weir_pool_waiter *waiter;

	if (pool->next_us <= pool->now_us) {
		pool_waiters_expire(pool);
		idle_expire(pool);
	}
	while (pool->in[SLOT_IDLE].count > 0 && pool->waiting > 0) {
		if (pool->budget != NULL && turn_yield(pool))
			continue;
		waiter = pool_waiter_next(pool);
		pool_lease_grant(pool, pool_idle_pick(pool), waiter);
		pool_waiter_resolve(pool, waiter, WEIR_POOL_DELIVERED);
	}
	if (pool->in[SLOT_IDLE].count > 0 && pool->budget != NULL)
		idle_yield(pool);
}

void pool_slot_free(struct weir_pool *pool, struct slot *slot)
{
	pool_slot_move(pool, slot, SLOT_FREE);
	slot->connection = NULL;
	pool_unit_return(pool->budget, pool->seat);
}

/* Asks for one doomed connection to be closed; false when there is none. */
static bool pool_ask_close(struct weir_pool *pool)
{
	struct slot *slot = pool_slot_last(pool, SLOT_DOOMED);

	if (slot == NULL)
		return false;
	pool_slot_move(pool, slot, SLOT_CLOSING);
	pool->calling++;
	pool->ops.close(pool->owner, slot_index(pool, slot), slot->connection);
	pool->calling--;
	return true;
}

/* Another open is needed, and there is room for it in this pool. */
static bool pool_open_wanted(const struct weir_pool *pool)
{
	uint32_t connecting = pool->in[SLOT_CONNECTING].count;

	return pool->waiting > connecting && connecting < pool->config.connecting_max &&
		pool_live(pool) < pool->config.connections_max;
}

/* Asks for one connection to be opened; false when none is wanted or the budget is spent. */
static bool pool_ask_open(struct weir_pool *pool)
{
	struct slot *slot;

	if (!pool_open_wanted(pool) || !pool_unit_take(pool->budget, pool->seat))
		return false;
	slot = pool_slot_take(pool);
	pool->calling++;
	pool->ops.open(pool->owner, slot_index(pool, slot));
	pool->calling--;
	return true;
}

void pool_forgo(struct weir_pool *pool)
{
	if (pool->budget != NULL && !pool_open_wanted(pool))
		pool_unit_forgo(pool->budget, pool->seat);
}

void pool_ask(struct weir_pool *pool)
{
	if (pool->asking)
		return;
	pool->asking = true;
	while (pool_ask_close(pool) || pool_ask_open(pool))
		;
	pool->asking = false;
	pool_forgo(pool);
}

void pool_settle(struct weir_pool *pool)
{
	pool_match(pool);
	pool_ask(pool);
}

bool pool_close_due(const struct weir_pool *pool)
{
	return pool->closing && !pool->closed_told && pool_live(pool) == 0 && pool->outcomes.count == 0;
}

void pool_wake(struct weir_pool *pool)
{
	if (pool->woken || pool->calling > 0)
		return;
	if (pool->outcomes.count == 0 && !pool->replanned && !pool_close_due(pool))
		return;
	pool->woken = true;
	pool->calling++;
	pool->ops.wake(pool->owner);
	pool->calling--;
}
