/*
 * What the owner tells of its connections. Each call gives the time, changes one thing, lets the engine settle
 * (engine.c), and wakes. A report that cannot be is counted and ignored: the owner's mistakes do not change the books.
 *
 * The rule for a failed open: where nothing else is alive, the endpoint is plainly dead and everybody who waits hears so
 * at once. Else it ends the wait of the one whose turn it is, unless what is in flight is enough for everybody. So each
 * attempt serves or ends somebody, and between attempts there is a back-off (expiry.c).
 */
#include "pool/engine.h"

#include <stddef.h>

/* +-10% of the configured lifetime, so that connections opened together do not end together. */
static uint64_t lifetime_us(struct weir_pool *pool)
{
	uint64_t span_us = pool->config.lifetime_max_us / 10;

	return pool_time_after(pool->config.lifetime_max_us - span_us, pool_draw(pool, 2 * span_us + 1));
}

/*
 * The endpoint was in trouble and is back. What was asked of it meanwhile and has hung may be long in coming (TCP sends a lost
 * first packet again after a second), and holds room: it is given up, and begun anew where it is needed.
 */
static void hung_give_up(struct weir_pool *pool)
{
	uint64_t span_us = pool->config.backoff_max_us;
	struct slot *slot;

	while (span_us > 0 && (slot = pool_slot_last(pool, SLOT_CONNECTING)) != NULL &&
		pool_time_after(slot->since_us, span_us) <= pool->now_us)
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_RENEWED);
}

static void slot_opened(struct weir_pool *pool, struct slot *slot)
{
	bool is_back = pool->failures > 0;

	pool->failures = 0;
	pool->backoff_us = 0;
	if (pool->config.lifetime_max_us > 0)
		slot->expires_us = pool_time_after(pool->now_us, lifetime_us(pool));
	pool_slot_offer(pool, slot);
	if (is_back)
		hung_give_up(pool);
}

void weir_pool_opened(struct weir_pool *pool, uint32_t slot_number, void *connection, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);
	bool dropped = slot != NULL && slot->state == SLOT_DOOMED && !slot->opened;

	/* Dropped: the pool was closed while it asked for this open. The close to come carries the connection. */
	if (slot == NULL || (slot->state != SLOT_CONNECTING && !dropped)) {
		pool->stats.bad_reports++;
		return;
	}
	pool_clock(pool, now_us);
	pool_expire(pool);
	slot->connection = connection;
	slot->opened = true;
	pool->stats.opened++;
	if (dropped)
		pool->stats.closes[slot->verdict]++;
	else
		slot_opened(pool, slot);
	pool_settle(pool);
	pool_wake(pool);
}

static void waiter_fail(struct weir_pool *pool, struct weir_pool_waiter *waiter, int reason)
{
	waiter->reason = reason;
	pool_waiter_resolve(pool, waiter, WEIR_POOL_OPEN_FAILED);
}

/* No connection is there or on its way. */
static bool endpoint_dead(const struct weir_pool *pool)
{
	return pool_supply(pool) + pool_count(pool, SLOT_IDLE) + pool_leased(pool) == 0;
}

static void open_failed(struct weir_pool *pool, int reason)
{
	bool dead = endpoint_dead(pool);

	pool->stats.open_failed++;
	pool->failures += pool->failures < UINT32_MAX;
	pool->failed_reason = reason;
	pool_back_off(pool);
	pool_pause_ahead(pool, pool_time_after(pool->now_us, POOL_AHEAD_RETRY_US));
	if (!dead && pool->waiting > pool_supply(pool))
		waiter_fail(pool, pool_waiter_next_fresh(pool), reason);
	while (dead && pool->waiting > 0)
		waiter_fail(pool, pool_waiter_next_fresh(pool), reason);
}

void weir_pool_open_failed(struct weir_pool *pool, uint32_t slot_number, int reason, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);
	bool given_up = slot != NULL && (slot->state == SLOT_DOOMED || slot->state == SLOT_CLOSING) && !slot->opened;

	if (slot == NULL || (slot->state != SLOT_CONNECTING && !given_up)) {
		pool->stats.bad_reports++;
		return;
	}
	pool_clock(pool, now_us);
	/* Whoever is past the deadline has timed out, and did not see the failure. */
	pool_expire(pool);
	if (!POOL_PLANTED(SLOT_LOST_ON_FAILED_OPEN))
		pool_slot_free(pool, slot);
	if (!given_up)
		open_failed(pool, reason);
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_closed(struct weir_pool *pool, uint32_t slot_number, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);

	if (slot == NULL || slot->state != SLOT_CLOSING) {
		pool->stats.bad_reports++;
		return;
	}
	pool_clock(pool, now_us);
	if (slot->opened)
		pool->stats.closed++;
	pool_slot_free(pool, slot);
	if (POOL_PLANTED(WAKE_UP_LOST_AFTER_DISCARD))
		return;
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_checked(struct weir_pool *pool, uint32_t slot_number, bool good, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);

	/* Its close has still to be asked for: the owner cannot know that the answer is not needed any more. */
	if (slot != NULL && slot->state == SLOT_DOOMED && slot->opened)
		return;
	if (slot == NULL || slot->state != SLOT_CHECKING) {
		pool->stats.bad_reports++;
		return;
	}
	pool_clock(pool, now_us);
	pool_expire(pool);
	/* Unless the check has just taken too long. */
	if (slot->state == SLOT_CHECKING && good)
		pool_slot_offer(pool, slot);
	else if (slot->state == SLOT_CHECKING && !POOL_PLANTED(SLOT_LOST_ON_FAILED_CHECK))
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_CHECK_FAILED);
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_spoiled(struct weir_pool *pool, uint32_t slot_number, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);

	pool_clock(pool, now_us);
	if (slot != NULL && (slot->state == SLOT_LEASED || slot->state == SLOT_LEAKING))
		slot->verdict = WEIR_POOL_CLOSE_DISCARDED;
	if (slot != NULL && (slot->state == SLOT_IDLE || slot->state == SLOT_RETURNED || slot->state == SLOT_CHECKING))
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_SPOILED);
	pool_settle(pool);
	pool_wake(pool);
}

static void leases_mark(struct weir_pool *pool, enum slot_state state)
{
	for (struct slot *slot = pool_slot_first(pool, state); slot != NULL; slot = pool_slot_older(pool, slot))
		if (slot->verdict == SLOT_GOOD)
			slot->verdict = WEIR_POOL_CLOSE_RENEWED;
}

void weir_pool_renew(struct weir_pool *pool, uint64_t now_us)
{
	pool_clock(pool, now_us);
	leases_mark(pool, SLOT_LEASED);
	leases_mark(pool, SLOT_LEAKING);
	pool_doom_unleased(pool, WEIR_POOL_CLOSE_RENEWED);
	pool->failures = 0;
	pool->backoff_us = pool->ahead_us = 0;
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_budget_freed(struct weir_pool *pool, uint64_t now_us)
{
	pool_clock(pool, now_us);
	pool_settle(pool);
	pool_unit_pass_on(pool->budget, pool->seat, pool_ending(pool));
	pool_wake(pool);
}
