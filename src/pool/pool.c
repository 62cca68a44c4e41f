/*
 * The calls of pool.h. Each gives the time, changes one thing, lets the engine settle (engine.c), and wakes.
 *
 * The rule for a failed open: it ends the wait of the one whose turn it is, unless the opens left are enough for
 * everybody. So each attempt serves or ends somebody, and a dead endpoint is tried at most once per waiter.
 *
 * Serving makes a waiter RESOLVED; weir_pool_run tells it. Until then it can be cancelled, or its deadline may come,
 * and the connection goes back as if it had never been leased.
 */
#include "pool/engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

/* --- creation ----------------------------------------------------------------------------------------------------- */

static bool config_valid(const struct weir_pool_config *config)
{
	return config->connections_max >= 1 && config->connections_max <= WEIR_POOL_CONNECTIONS_MAX &&
		config->waiters_max <= WEIR_POOL_WAITERS_MAX && config->connecting_max >= 1 &&
		config->acquire_timeout_us > 0 &&
		(config->order == WEIR_POOL_LIFO || config->order == WEIR_POOL_FIFO);
}

static bool ops_valid(const struct weir_pool_ops *ops)
{
	return ops->open != NULL && ops->close != NULL && ops->wake != NULL && ops->on_closed != NULL &&
		ops->random != NULL;
}

static uint32_t serial_next(void)
{
	static _Atomic uint32_t serial;

	return atomic_fetch_add(&serial, 1) + 1;
}

struct weir_pool *weir_pool_create(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner,
	struct weir_pool_budget *budget)
{
	struct weir_pool *pool;
	uint32_t connections_max = config->connections_max;

	if (!config_valid(config) || !ops_valid(ops)) {
		errno = EINVAL;
		return NULL;
	}
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->config = *config;
	if (pool->config.connecting_max > connections_max)
		pool->config.connecting_max = connections_max;
	pool->ops = *ops;
	pool->owner = owner;
	pool->serial = serial_next();
	pool->next_us = UINT64_MAX;
	pool_slots_init(pool);
	pool->slots = calloc(connections_max, sizeof(*pool->slots));
	/* Beside the queue and those whom an open covers there is the newcomer, until it is known whether one does. */
	if (pool->slots == NULL || !pool_deadlines_init(&pool->idle_deadlines, connections_max) ||
		!pool_deadlines_init(&pool->wait_deadlines, config->waiters_max + pool->config.connecting_max + 1))
		goto fail;
	pool->budget = budget;
	if (budget != NULL && (pool->seat = pool_seat_take(budget, owner)) == NULL)
		goto fail;
	return pool;
fail:
	pool->budget = NULL;
	weir_pool_free(pool);
	return NULL;
}

void weir_pool_free(struct weir_pool *pool)
{
	if (pool == NULL)
		return;
	POOL_CHECK(pool_live(pool) == 0 && pool->waiting == 0 && pool->outcomes.count == 0 && pool->calling == 0);
	pool_seat_leave(pool->budget, pool->seat);
	pool_deadlines_release(&pool->wait_deadlines);
	pool_deadlines_release(&pool->idle_deadlines);
	free(pool->slots);
	free(pool);
}

/* --- acquire, cancel, give back ----------------------------------------------------------------------------------- */

/* More wait than the queue holds and opens in flight cover. */
static bool queue_full(const struct weir_pool *pool, uint32_t waiting)
{
	return waiting > pool->config.waiters_max + pool->in[SLOT_CONNECTING].count;
}

/* What can be said at once; PENDING: the waiter is in its queue. */
static enum weir_pool_outcome waiter_admit(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (pool->closing)
		return pool_waiter_end(pool, waiter, WEIR_POOL_CLOSED);
	if (waiter->deadline_us <= pool->now_us)
		return pool_waiter_end(pool, waiter, WEIR_POOL_TIMED_OUT);
	/* A connection is idle after a match only when nobody waits: nobody is overtaken. */
	if (pool->in[SLOT_IDLE].count > 0) {
		pool_lease_grant(pool, pool_idle_pick(pool), waiter);
		return pool_waiter_end(pool, waiter, WEIR_POOL_DELIVERED);
	}
	/* From inside open or close no open can be begun for the newcomer now: the queue must have room as it is. */
	if (pool->asking && queue_full(pool, pool->waiting + 1))
		return pool_waiter_end(pool, waiter, WEIR_POOL_REJECTED);
	pool_waiter_enqueue(pool, waiter);
	return WEIR_POOL_PENDING;
}

/* What has come of a queued newcomer now that the pool has settled. */
static enum weir_pool_outcome waiter_answer(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	if (waiter->stage == WAITER_RESOLVED)
		return pool_waiter_end(pool, waiter, waiter->outcome);
	if (waiter->stage == WAITER_ENDED)
		return WEIR_POOL_CANCELLED;
	if (queue_full(pool, pool->waiting)) {
		pool_waiter_end(pool, waiter, WEIR_POOL_REJECTED);
		pool_forgo(pool);
		return WEIR_POOL_REJECTED;
	}
	return WEIR_POOL_PENDING;
}

enum weir_pool_outcome weir_pool_acquire(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us,
	uint64_t deadline_us)
{
	enum weir_pool_outcome outcome;
	uint64_t latest_us;

	POOL_CHECK(waiter->on_outcome != NULL);
	POOL_CHECK(waiter->stage == WAITER_NEW || waiter->stage == WAITER_ENDED);
	pool_clock(pool, now_us);
	latest_us = pool_time_after(pool->now_us, pool->config.acquire_timeout_us);
	waiter->pool = pool;
	waiter->deadline_us = deadline_us < latest_us ? deadline_us : latest_us;
	waiter->queued_us = pool->now_us;
	waiter->lease = (struct weir_pool_lease){0};
	waiter->connection = NULL;
	waiter->reused = false;
	waiter->reason = 0;
	pool_match(pool);
	outcome = waiter_admit(pool, waiter);
	pool_ask(pool);
	if (outcome == WEIR_POOL_PENDING)
		outcome = waiter_answer(pool, waiter);
	pool_wake(pool);
	return outcome;
}

void weir_pool_cancel(struct weir_pool *pool, struct weir_pool_waiter *waiter, uint64_t now_us)
{
	bool delivered;

	if (waiter->stage == WAITER_NEW || waiter->stage == WAITER_ENDED)
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

bool weir_pool_give_back(struct weir_pool *pool, struct weir_pool_lease lease, enum weir_pool_give_back how,
	uint64_t now_us)
{
	struct slot *slot = pool_slot_leased(pool, lease);

	if (slot == NULL) {
		pool->stats.stale_give_backs++;
		return false;
	}
	pool_clock(pool, now_us);
	if (how != WEIR_POOL_REUSABLE)
		slot->spoiled = true;
	pool_slot_park(pool, slot);
	pool_settle(pool);
	pool_wake(pool);
	return true;
}

/* --- what the owner tells ----------------------------------------------------------------------------------------- */

/* +-10% of the configured lifetime, so that connections opened together do not end together. */
static uint64_t lifetime_us(const struct weir_pool *pool)
{
	uint64_t span_us = pool->config.lifetime_max_us / 10;

	return pool_time_after(pool->config.lifetime_max_us - span_us,
		pool->ops.random(pool->owner) % (2 * span_us + 1));
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
	slot->connection = connection;
	slot->opened = true;
	pool->stats.opened++;
	if (!dropped && pool->config.lifetime_max_us > 0)
		slot->expires_us = pool_time_after(pool->now_us, lifetime_us(pool));
	if (!dropped)
		pool_slot_park(pool, slot);
	pool_settle(pool);
	pool_wake(pool);
}

/* An open has failed: the one whose turn it is hears it, unless the opens left are enough for all who wait. */
static void waiter_fail(struct weir_pool *pool, int reason)
{
	struct weir_pool_waiter *waiter = pool_waiter_next(pool);

	if (pool->waiting <= pool->in[SLOT_CONNECTING].count)
		return;
	waiter->reason = reason;
	pool_waiter_resolve(pool, waiter, WEIR_POOL_OPEN_FAILED);
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
	if (!given_up)
		pool->stats.open_failed++;
	pool_slot_free(pool, slot);
	/* Whoever is past the deadline has timed out, and did not see the failure. */
	pool_waiters_expire(pool);
	if (!given_up)
		waiter_fail(pool, reason);
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
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_spoiled(struct weir_pool *pool, uint32_t slot_number, uint64_t now_us)
{
	struct slot *slot = pool_slot_named(pool, slot_number);

	pool_clock(pool, now_us);
	if (slot != NULL && slot->state == SLOT_LEASED)
		slot->spoiled = true;
	if (slot != NULL && slot->state == SLOT_IDLE)
		pool_slot_move(pool, slot, SLOT_DOOMED);
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

/* --- time, end ---------------------------------------------------------------------------------------------------- */

/* Deliveries that were not told by their deadline: the connection goes back, the waiter will hear TIMED_OUT. */
static void deliveries_expire(struct weir_pool *pool)
{
	for (struct weir_pool_waiter *waiter = pool->outcomes.first; waiter != NULL; waiter = waiter->next) {
		if (waiter->outcome != WEIR_POOL_DELIVERED || waiter->deadline_us > pool->now_us)
			continue;
		waiter->outcome = WEIR_POOL_TIMED_OUT;
		pool_lease_revoke(pool, waiter);
	}
}

/* Tells the first outcome. The waiter's memory may be gone when this returns. */
static void outcome_tell(struct weir_pool *pool)
{
	struct weir_pool_waiter *waiter = pool->outcomes.first;
	enum weir_pool_outcome outcome = pool_waiter_end(pool, waiter, waiter->outcome);

	pool->calling++;
	waiter->on_outcome(waiter, outcome);
	pool->calling--;
}

static void pool_replan(struct weir_pool *pool)
{
	uint64_t waiter_us = pool_deadlines_next(&pool->wait_deadlines);
	uint64_t idle_us = pool_deadlines_next(&pool->idle_deadlines);

	pool->next_us = waiter_us < idle_us ? waiter_us : idle_us;
}

void weir_pool_run(struct weir_pool *pool, uint64_t now_us)
{
	if (pool->calling > 0)
		return;
	pool_clock(pool, now_us);
	pool->woken = false;
	deliveries_expire(pool);
	pool_settle(pool);
	/* The callbacks may add outcomes without end: only as many as there are now. */
	for (uint32_t n = pool->outcomes.count; n > 0 && pool->outcomes.count > 0; n--)
		outcome_tell(pool);
	/* Not before it has come: a plan that is often cancelled and made again would cost a wake each time. */
	if (pool->next_us <= pool->now_us)
		pool_replan(pool);
	pool->replanned = false;
	if (pool_close_due(pool)) {
		pool->closed_told = true;
		/* Its thread may end with notices unread: what came with them goes to the others now. */
		pool_seat_leave(pool->budget, pool->seat);
		pool->budget = NULL;
		pool->ops.on_closed(pool->owner);
		return;
	}
	pool_wake(pool);
}

uint64_t weir_pool_next_event(const struct weir_pool *pool)
{
	return pool->outcomes.count > 0 || pool_close_due(pool) ? 0 : pool->next_us;
}

void weir_pool_close(struct weir_pool *pool, uint64_t now_us)
{
	static const enum slot_state ended[] = {SLOT_IDLE, SLOT_CONNECTING};
	struct weir_pool_waiter *waiter;
	struct slot *slot;

	if (pool->closing)
		return;
	pool_clock(pool, now_us);
	pool_waiters_expire(pool);
	pool->closing = true;
	while ((waiter = pool_waiter_next(pool)) != NULL)
		pool_waiter_resolve(pool, waiter, WEIR_POOL_CLOSED);
	for (int i = 0; i < 2; i++)
		while ((slot = pool_slot_last(pool, ended[i])) != NULL)
			pool_slot_move(pool, slot, SLOT_DOOMED);
	pool_settle(pool);
	pool_wake(pool);
}

bool weir_pool_touch(struct weir_pool *pool, struct weir_pool_lease lease, uint64_t now_us)
{
	pool_clock(pool, now_us);
	return pool_slot_leased(pool, lease) != NULL;
}

void weir_pool_checked(struct weir_pool *pool, uint32_t slot_number, bool good, uint64_t now_us)
{
	pool->stats.bad_reports++;
}

void weir_pool_renew(struct weir_pool *pool, uint64_t now_us)
{
	pool_clock(pool, now_us);
}

void weir_pool_drain(struct weir_pool *pool, uint64_t now_us)
{
	weir_pool_close(pool, now_us);
}

uint32_t weir_pool_oldest(const struct weir_pool *pool, struct weir_pool_held *held, uint32_t count)
{
	return 0;
}

void weir_pool_set_idle_timeout(struct weir_pool *pool, uint64_t idle_timeout_us)
{
	pool->config.idle_timeout_us = idle_timeout_us;
}
