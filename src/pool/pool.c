/*
 * The life of a pool: creation, its run from the owner's loop, drain, close, free. The other calls of pool.h are in
 * borrow.c (who uses connections) and reports.c (who opens, checks and closes them).
 *
 * What holds whenever a call has returned (audit.c recounts it; tests compare with a model of their own):
 *
 *  1. live = connecting + checking + idle + leased + closing <= connections_max (+ overflow_max), over all pools of a
 *     budget; opened - closed are the connections that exist.
 *  2. A connection is in exactly one list. It is leased if and only if there is exactly one live lease of it.
 *  3. An acquire has exactly one outcome. Whoever comes too late for a delivery gives the connection back in the same step.
 *  4. No wake-up is lost: nobody waits who could be served beside an idle connection, nor beside room to open one while no
 *     back-off runs and no open or check is in flight for it.
 *  5. First come, first served within a priority, but for who is refused. A newcomer does not overtake; who is moved here stands
 *     where it would if it had come here in the first place.
 *  6. The queue is bounded. Who is cancelled leaves in O(1), and the place is free at once.
 *  7. Nobody waits at or after the deadline, and nothing is delivered then, whatever timers have fired.
 *  8. Cancel is legal at every stage, any number of times. An open that nobody waits for any more becomes idle, or is
 *     closed if it is in excess.
 *  9. Callbacks may call back. What fails in one changes nothing but what it reports.
 * 10. What was spoiled, discarded, outlived or beyond the maximum is not leased again.
 * 11. After close there are no waiters, and once the leases are back no connections; the owner is told once.
 * 12. Quiet, nothing is leased: a lease that nobody gives back is told, and reclaimed.
 * 13. Nobody is refused for the time it waits, or would wait, beside room to open a connection, nor at an empty queue, nor
 *     when the queue was empty within the interval (queue.c).
 */
#include "pool/engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* --- creation ----------------------------------------------------------------------------------------------------- */

static bool in_range(uint32_t value, uint32_t min, uint32_t max)
{
	return value >= min && value <= max;
}

static bool limits_valid(const struct weir_pool_config *config)
{
	bool overflows = config->on_acquire_timeout == WEIR_POOL_NEW;

	return in_range(config->connections_max, 1, WEIR_POOL_CONNECTIONS_MAX) &&
		in_range(config->waiters_max, 0, WEIR_POOL_WAITERS_MAX) && config->connecting_max >= 1 &&
		in_range(config->overflow_max, overflows, overflows ? WEIR_POOL_CONNECTIONS_MAX : 0) &&
		config->idle_min <= config->connections_max && config->acquire_timeout_us > 0;
}

static bool times_valid(const struct weir_pool_config *config)
{
	return config->backoff_min_us <= config->backoff_max_us &&
		(config->backoff_min_us > 0 || config->backoff_max_us == 0) &&
		(config->reclaim_after_us == 0 || config->reclaim_after_us >= config->leak_after_us) &&
		(config->queue_target_us > 0) == (config->queue_interval_us > 0);
}

static bool choices_valid(const struct weir_pool_config *config)
{
	return (config->order == WEIR_POOL_LIFO || config->order == WEIR_POOL_FIFO) &&
		(config->on_acquire_timeout == WEIR_POOL_FAIL || config->on_acquire_timeout == WEIR_POOL_NEW) &&
		config->checks <= (WEIR_POOL_CHECK_ON_ACQUIRE | WEIR_POOL_CHECK_ON_GIVE_BACK);
}

static bool ops_valid(const struct weir_pool_ops *ops, const struct weir_pool_config *config)
{
	bool checks = ops->check != NULL && config->check_timeout_us > 0;

	return ops->open != NULL && ops->close != NULL && ops->wake != NULL && ops->on_closed != NULL &&
		ops->random != NULL && (checks || config->checks == WEIR_POOL_CHECK_NEVER);
}

static bool arguments_valid(const struct weir_pool_config *config, const struct weir_pool_ops *ops, const void *owner)
{
	return config != NULL && ops != NULL && owner != NULL && limits_valid(config) && times_valid(config) &&
		choices_valid(config) && ops_valid(ops, config);
}

static uint32_t serial_next(void)
{
	static _Atomic uint32_t serial;

	return atomic_fetch_add(&serial, 1) + 1;
}

/* What follows from the configuration. */
static void pool_configure(struct weir_pool *pool, const struct weir_pool_config *config)
{
	pool->config = *config;
	if (pool->config.connecting_max > config->connections_max)
		pool->config.connecting_max = config->connections_max;
	if (config->leak_after_us == 0)
		pool->config.leak_after_us = config->reclaim_after_us;
	pool->slots_max = config->connections_max + config->overflow_max;
	pool_codel_init(&pool->codel, config->queue_target_us, config->queue_interval_us);
	pool->wait_max_us = config->acquire_timeout_us;
	if (config->on_acquire_timeout == WEIR_POOL_NEW)
		pool->wait_max_us = pool_time_after(config->acquire_timeout_us, config->acquire_timeout_us);
}

struct weir_pool *weir_pool_create(const struct weir_pool_config *config, const struct weir_pool_ops *ops, void *owner,
	struct weir_pool_budget *budget)
{
	struct weir_pool *pool;

	if (!arguments_valid(config, ops, owner)) {
		errno = EINVAL;
		return NULL;
	}
	pool = aligned_alloc(POOL_LINE, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	memset(pool, 0, sizeof(*pool));
	pool_configure(pool, config);
	pool->ops = *ops;
	pool->owner = owner;
	pool->serial = serial_next();
	pool->trim_us = POOL_NEVER;
	pool->next_us = config->idle_min > 0 ? 0 : POOL_NEVER;
	pool_slots_init(pool);
	pool->slots = aligned_alloc(POOL_LINE, pool->slots_max * sizeof(*pool->slots));
	/* Beside the queue and those whom opens, checks and one unit cover there is the newcomer, until it is known what does. */
	if (pool->slots == NULL || !pool_deadlines_init(&pool->idle_deadlines, pool->slots_max) ||
		!pool_deadlines_init(&pool->wait_deadlines, config->waiters_max + pool->slots_max + 2))
		goto fail;
	pool->budget = budget;
	if (budget != NULL && (pool->seat = pool_seat_take(budget, owner)) == NULL)
		goto fail;
	return pool;
fail:
	pool->budget = NULL;
	weir_pool_free(pool);
	errno = ENOMEM;
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

/* --- run, end ---------------------------------------------------------------------------------------------------- */

/* Deliveries that were not told by their deadline: the connection goes back, the waiter will hear TIMED_OUT. */
static void deliveries_expire(struct weir_pool *pool)
{
	for (struct weir_pool_waiter *waiter = pool->outcomes.first; waiter != NULL; waiter = waiter->next) {
		if (waiter->outcome != WEIR_POOL_DELIVERED || waiter->deadline_us > pool->now_us)
			continue;
		waiter->outcome = WEIR_POOL_TIMED_OUT;
		waiter->reason = pool_timeout_reason(pool);
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

void weir_pool_run(struct weir_pool *pool, uint64_t now_us)
{
	if (pool->calling > 0)
		return;
	pool_clock(pool, now_us);
	pool->woken = false;
	if (!POOL_PLANTED(DELIVERY_TO_EXPIRED))
		deliveries_expire(pool);
	pool_settle(pool);
	pool_watch_leases(pool);
	/* The callbacks may add outcomes without end: only as many as there are now. */
	for (uint32_t n = pool->outcomes.count; n > 0 && pool->outcomes.count > 0; n--)
		outcome_tell(pool);
	/* Not before it has come: a plan that is often cancelled and made again would cost a wake each time. */
	if (pool->next_us <= pool->now_us)
		pool_replan(pool);
	pool->replanned = false;
	if (pool_close_due(pool)) {
		pool->stage = POOL_CLOSED;
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
	struct weir_pool_waiter *waiter;

	if (pool->stage >= POOL_CLOSING)
		return;
	pool_clock(pool, now_us);
	pool_expire(pool);
	while ((waiter = pool_waiter_next_fresh(pool)) != NULL)
		pool_waiter_resolve(pool, waiter, WEIR_POOL_CLOSED);
	pool_close_begin(pool);
	pool_settle(pool);
	pool_wake(pool);
}

uint32_t weir_pool_close_idle(struct weir_pool *pool, uint32_t count, uint64_t now_us)
{
	struct slot *slot;

	pool_clock(pool, now_us);
	for (; count > 0 && (slot = pool_slot_last(pool, SLOT_IDLE)) != NULL; count--)
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_POOL);
	pool_settle(pool);
	pool_wake(pool);
	return pool_count(pool, SLOT_IDLE);
}

void weir_pool_drain(struct weir_pool *pool, uint64_t now_us)
{
	if (pool->stage != POOL_OPEN)
		return;
	pool_clock(pool, now_us);
	pool->stage = POOL_DRAINING;
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_pause_ahead(struct weir_pool *pool, uint64_t until_us, uint64_t now_us)
{
	pool_clock(pool, now_us);
	pool_pause_ahead(pool, until_us);
	/* The time is news, too: waiters may have come to their deadline. */
	pool_settle(pool);
	pool_wake(pool);
}

void weir_pool_set_idle_timeout(struct weir_pool *pool, uint64_t idle_timeout_us)
{
	pool->config.idle_timeout_us = idle_timeout_us;
	pool_rest(pool);
}
