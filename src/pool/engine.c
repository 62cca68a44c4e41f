/*
 * The engine: how the pool settles after every call.
 *
 * A call of pool.h changes one thing (a slot's state, a waiter's stage) and then lets the pool settle:
 *
 *   match   what is past its time goes (expiry.c); idle connections find who waits for them, or go              no callbacks
 *   ask     one connection to close, to check or to open, again and again until there is none                   callbacks
 *   shed    who has waited too long in a queue that stands is refused (queue.c)                                 no callbacks
 *   wake    once, if there are outcomes to tell or the next event came nearer                                   callback
 *
 * Match runs in every call, also in one made from a callback, so at the end of each nobody who may be served waits
 * beside an idle connection. Asking happens in one loop only: a call made from inside open, check or close leaves it to
 * the loop that called it. A thousand opens that fail at once are a thousand rounds, not a thousand stack frames.
 *
 * Own waiters come first. What is idle after that, match gives up as far as other pools of the budget wait for a unit: at
 * once to those that it owes one (below), to the others what has rested for POOL_LINGER_US. Else two pools whose queues run
 * empty now and then would exchange connections for ever. Until then the offer is down: whoever asked would ask in vain.
 *
 * The rule for sharing: own waiters come first for one turn. A turn begins when match first serves one of them while
 * this pool owes another one a unit: that one's hand is up, and it has none, or would have fewer still than this one if it
 * had one of its. It is over after POOL_TURN_MAX of them, or after its time: half the acquire timeout,
 * divided by those pools and by the connections of this one. Then the next connection that comes back is closed instead
 * of leased, its unit goes to the poorest of the hands (budget.c), and a new turn begins.
 *
 * So a pool gives up the faster the more it has, and pools that are never without waiters even out, and then keep what they
 * have; where there are fewer units than pools they take turns. It costs one connect for POOL_TURN_MAX leases, or, when
 * leases are long, for each connection two in the acquire timeout: then all hands are answered while those who wait behind
 * them have half their patience left. A connection that ends for another reason needs no turn, and none is given up for a
 * hand that such an end will answer.
 *
 * The rule for opening: while more wait than opens and checks are in flight, and there is room (own maximum, budget,
 * connecting_max, no back-off). While the latest have failed, one attempt at a time, or the next when one has hung for
 * backoff_max: an endpoint in trouble is not stormed, and is found soon when it is back. Beyond the maximum only for those
 * who have waited through their acquire_timeout; as long as one of them waits, whoever is next has what is there beyond it,
 * and after that whatever comes back beyond it is closed. What was opened beyond it, for whatever reason, serves first:
 * closed at once it would only be opened again, here or elsewhere. Ahead of need only into free room, and not for a while
 * after an open that failed or a connection that ended before it had served.
 *
 * Who wants a fresh connection is not served by an idle one. Where there is no room to open one, an idle one goes for it.
 */
#include "pool/engine.h"

#include <stddef.h>

void pool_clock(struct weir_pool *pool, uint64_t now_us)
{
	/* A call from inside `random` would find the pool between two steps. */
	POOL_CHECK(!pool->drawing);
	if (now_us >= POOL_NEVER)
		now_us = POOL_NEVER - 1;
	if (now_us > pool->now_us)
		pool->now_us = now_us;
	pool->rests_until_us = 0;
}

uint64_t pool_draw(struct weir_pool *pool, uint64_t below)
{
	uint64_t bits;

	pool->drawing = true;
	bits = pool->ops.random(pool->owner);
	pool->drawing = false;
	return bits % below;
}

uint64_t pool_time_after(uint64_t now_us, uint64_t span_us)
{
	return span_us < UINT64_MAX - now_us ? now_us + span_us : UINT64_MAX;
}

void pool_times_add(struct weir_pool_times *times, uint64_t span_us)
{
	/* The power of two below twice the sixteenths of it, and one. */
	unsigned bucket = 63 - (unsigned)__builtin_clzll(span_us / 16 * 2 | 1);

	times->buckets[bucket < WEIR_POOL_TIME_BUCKETS ? bucket : WEIR_POOL_TIME_BUCKETS - 1]++;
	times->sum_us += span_us;
}

/* --- leases ------------------------------------------------------------------------------------------------------- */

void pool_lease_grant(struct weir_pool *pool, struct slot *slot, struct weir_pool_waiter *waiter)
{
	bool rested = slot->state != SLOT_CONNECTING;

	pool_slot_move(pool, slot, SLOT_LEASED);
	slot->held = false;
	slot->generation++;
	slot->uses += slot->uses < UINT32_MAX;
	waiter->slot = slot_index(pool, slot);
	waiter->rested = rested;
	if (pool->config.leak_after_us > 0)
		pool_plan(pool, pool_time_after(pool->now_us, pool->config.leak_after_us));
}

void pool_lease_hand_over(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	struct slot *slot = &pool->slots[waiter->slot];

	slot->held = true;
	slot->leased_us = pool->now_us;
	waiter->lease = (struct weir_pool_lease){waiter->slot + 1, slot->generation, pool->serial};
	waiter->connection = slot->connection;
	waiter->reused = slot->uses > 1;
}

void pool_lease_revoke(struct weir_pool *pool, struct weir_pool_waiter *waiter)
{
	struct slot *slot = &pool->slots[waiter->slot];

	slot->uses--;
	pool_slot_park(pool, slot);
}

/* --- what becomes of a connection --------------------------------------------------------------------------------- */

uint32_t pool_beyond(const struct weir_pool *pool)
{
	uint32_t live = pool_live(pool), max = pool->config.connections_max;
	uint32_t own = live > max ? live - max : 0;
	uint32_t shared = pool->budget != NULL ? pool_units_beyond(pool->budget) : 0;

	return own > shared ? own : shared;
}

/* More connections than the maximum, and no other end under way that will mend it. */
static bool over_cap(const struct weir_pool *pool)
{
	return pool_beyond(pool) > pool_ending(pool) && !POOL_PLANTED(OVERFLOW_NEVER_TRIMMED);
}

uint32_t pool_room_left(struct weir_pool *pool)
{
	uint32_t live = pool_live(pool), max = pool->config.connections_max;
	uint32_t room = live < max ? max - live : 0;
	uint32_t units = pool->budget != NULL ? pool_units_available(pool->budget, pool->seat) : room;

	return units < room ? units : room;
}

/* There is no room for the connections that some of the fresh wait for. */
static bool fresh_lack_room(struct weir_pool *pool)
{
	uint32_t fresh = pool->queues[QUEUE_FRESH].count;
	uint32_t coming = pool_count(pool, SLOT_CONNECTING) + pool_ending(pool);

	return fresh > coming && fresh > coming + pool_room_left(pool);
}

/* Why the connection is not to be used again, or SLOT_GOOD. */
static unsigned slot_verdict(const struct weir_pool *pool, const struct slot *slot)
{
	if (slot->verdict != SLOT_GOOD)
		return slot->verdict;
	if (pool->stage >= POOL_CLOSING)
		return WEIR_POOL_CLOSE_POOL;
	if (slot->expires_us <= pool->now_us)
		return WEIR_POOL_CLOSE_LIFETIME;
	if (pool->config.uses_max > 0 && slot->uses >= pool->config.uses_max)
		return WEIR_POOL_CLOSE_USES;
	return SLOT_GOOD;
}

void pool_slot_park(struct weir_pool *pool, struct slot *slot)
{
	unsigned verdict = slot_verdict(pool, slot);

	if (verdict != SLOT_GOOD) {
		pool_slot_doom(pool, slot, verdict);
		return;
	}
	pool_slot_move(pool, slot, SLOT_IDLE);
	pool_idle_began(pool, slot);
}

/* Whether it stays if the check finds it good. */
__attribute__((noinline)) static bool worth_checking(struct weir_pool *pool, const struct slot *slot)
{
	bool excess = over_cap(pool) && pool->overdue == 0;

	return slot_verdict(pool, slot) == SLOT_GOOD && !excess && !fresh_lack_room(pool);
}

/*
 * Somebody waits, and so nothing is idle that could serve them: it goes to the next as it is, without having been idle, once
 * those are gone whose time is over.
 */
__attribute__((noinline)) static void pass_on(struct weir_pool *pool, struct slot *slot)
{
	pool_expire(pool);
	if (pool->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE)
		pool_slot_park(pool, slot);
	else
		pool_slot_offer(pool, slot);
}

void pool_slot_return(struct weir_pool *pool, struct slot *slot)
{
	pool_times_add(&pool->use, pool->now_us - slot->leased_us);
	if ((pool->config.checks & WEIR_POOL_CHECK_ON_GIVE_BACK) && worth_checking(pool, slot))
		pool_slot_move(pool, slot, SLOT_RETURNED);
	else if (pool->waiting == 0)
		pool_slot_park(pool, slot);
	else
		pass_on(pool, slot);
}

void pool_slot_free(struct weir_pool *pool, struct slot *slot)
{
	pool_slot_move(pool, slot, SLOT_FREE);
	slot->connection = NULL;
	pool_unit_return(pool->budget, pool->seat);
}

struct slot *pool_idle_pick(struct weir_pool *pool)
{
	if (pool->config.order == WEIR_POOL_LIFO)
		return pool_slot_first(pool, SLOT_IDLE);
	return pool_slot_last(pool, SLOT_IDLE);
}

/* The connection that was idle longest goes. */
static bool idle_give_up(struct weir_pool *pool, enum weir_pool_close_reason why)
{
	pool_slot_doom(pool, pool_slot_last(pool, SLOT_IDLE), why);
	return true;
}

/* --- sharing ------------------------------------------------------------------------------------------------------ */

uint64_t pool_linger_ends_us(const struct weir_pool *pool)
{
	uint64_t part_us = pool->config.acquire_timeout_us / 4;

	return pool_time_after(pool_slot_last(pool, SLOT_IDLE)->since_us, part_us < POOL_LINGER_US ? part_us : POOL_LINGER_US);
}

/* An idle connection is to be given up for one more of the pools that wait. */
static bool idle_is_due(struct weir_pool *pool, uint32_t missed, uint32_t owed)
{
	return pool_count(pool, SLOT_IDLE) > 0 && pool_ending(pool) < missed &&
		(pool_ending(pool) < owed || pool_linger_ends_us(pool) <= pool->now_us);
}

/* Idle connections bind units of the budget that other pools wait for: one is given up for each pool that does. */
static void idle_yield(struct weir_pool *pool)
{
	uint32_t missed = pool_unit_offer(pool->budget, pool->seat);
	uint32_t owed = missed > 0 ? pool_units_owed(pool->budget, pool->seat) : 0;

	while (idle_is_due(pool, missed, owed))
		idle_give_up(pool, WEIR_POOL_CLOSE_YIELDED);
	pool->withholds = pool_count(pool, SLOT_IDLE) > 0 && pool_ending(pool) < missed;
	if (pool->withholds) {
		pool_unit_withhold(pool->seat);
		pool_plan(pool, pool_linger_ends_us(pool));
	}
}

/* One more own waiter is to be served. True: instead it is the turn of another pool; that ends this pool's. */
static bool turn_over(struct weir_pool *pool)
{
	uint32_t owed = pool_units_owed(pool->budget, pool->seat);

	if (owed <= pool_ending(pool)) {
		pool->turn_leases = 0;
		return false;
	}
	if (pool->turn_leases == 0)
		pool->turn_ends_us = pool_time_after(pool->now_us,
			pool->config.acquire_timeout_us / 2 / owed / pool_live(pool));
	if (pool->turn_leases < POOL_TURN_MAX && pool->now_us < pool->turn_ends_us) {
		pool->turn_leases++;
		return false;
	}
	pool->turn_leases = 0;
	return true;
}

/* A connection that has served is to serve again. True: it goes to another pool, whose turn it is. */
static bool yields(struct weir_pool *pool, const struct slot *slot)
{
	return pool->budget != NULL && slot->uses > 0 && turn_over(pool);
}

/* --- match -------------------------------------------------------------------------------------------------------- */

/*
 * A connection beyond the maximum, and nobody waits who may have one. (Whoever is next has it, lest the others open another
 * one and close it again.)
 */
static bool is_excess(const struct weir_pool *pool, const struct weir_pool_waiter *next)
{
	return over_cap(pool) && (next == NULL || pool->overdue == 0);
}

/* Somebody waits and something is idle. False: what is idle cannot serve them (yet). */
static bool idle_use(struct weir_pool *pool)
{
	struct weir_pool_waiter *waiter = pool_waiter_next(pool);

	if (is_excess(pool, waiter))
		return idle_give_up(pool, WEIR_POOL_CLOSE_OVERFLOW);
	if (fresh_lack_room(pool))
		return idle_give_up(pool, WEIR_POOL_CLOSE_YIELDED);
	if (waiter == NULL || (pool->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE))
		return false;
	if (yields(pool, pool_slot_last(pool, SLOT_IDLE)))
		return idle_give_up(pool, WEIR_POOL_CLOSE_YIELDED);
	pool_lease_grant(pool, pool_idle_pick(pool), waiter);
	pool_waiter_resolve(pool, waiter, WEIR_POOL_DELIVERED);
	return true;
}

void pool_match_all(struct weir_pool *pool)
{
	if (pool->next_us <= pool->now_us)
		pool_expire(pool);
	while (pool->waiting > 0 && pool_count(pool, SLOT_IDLE) > 0 && idle_use(pool))
		;
	while (pool_count(pool, SLOT_IDLE) > 0 && over_cap(pool))
		idle_give_up(pool, WEIR_POOL_CLOSE_OVERFLOW);
	if (pool->stage == POOL_DRAINING && pool->waiting == 0)
		pool_close_begin(pool);
	if (pool_count(pool, SLOT_IDLE) > 0 && pool->budget != NULL)
		idle_yield(pool);
}

void pool_slot_offer(struct weir_pool *pool, struct slot *slot)
{
	bool fresh = slot->state == SLOT_CONNECTING;
	struct weir_pool_waiter *waiter = fresh ? pool_waiter_next_fresh(pool) : pool_waiter_next(pool);

	if (waiter == NULL || slot_verdict(pool, slot) != SLOT_GOOD) {
		pool_slot_park(pool, slot);
	} else if (!fresh && is_excess(pool, waiter)) {
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_OVERFLOW);
	} else if (!fresh && (fresh_lack_room(pool) || yields(pool, slot))) {
		pool_slot_doom(pool, slot, WEIR_POOL_CLOSE_YIELDED);
	} else {
		pool_lease_grant(pool, slot, waiter);
		pool_waiter_resolve(pool, waiter, WEIR_POOL_DELIVERED);
	}
}

/* --- ask ---------------------------------------------------------------------------------------------------------- */

/* Asks for one doomed connection to be closed; false when there is none. */
static bool ask_close(struct weir_pool *pool)
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

/* A connection to be checked: one given back, or an idle one for somebody who waits. NULL: none. */
static struct slot *check_wanted(struct weir_pool *pool)
{
	if (pool_count(pool, SLOT_RETURNED) > 0)
		return pool_slot_last(pool, SLOT_RETURNED);
	if (!(pool->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE) || pool_count(pool, SLOT_IDLE) == 0 ||
		pool_waiting_for_any(pool) <= pool_count(pool, SLOT_CHECKING))
		return NULL;
	return pool_idle_pick(pool);
}

/* Asks for one check; false when none is wanted. */
static bool ask_check(struct weir_pool *pool)
{
	struct slot *slot = check_wanted(pool);

	if (slot == NULL)
		return false;
	pool_slot_move(pool, slot, SLOT_CHECKING);
	pool_plan(pool, pool_time_after(pool->now_us, pool->config.check_timeout_us));
	pool->calling++;
	pool->ops.check(pool->owner, slot_index(pool, slot), slot->connection);
	pool->calling--;
	return true;
}

bool pool_open_needed(const struct weir_pool *pool)
{
	return pool->waiting > pool_supply(pool) || pool->queues[QUEUE_FRESH].count > pool_count(pool, SLOT_CONNECTING);
}

bool pool_open_ahead(const struct weir_pool *pool)
{
	return pool->stage == POOL_OPEN && pool->ahead_us <= pool->now_us &&
		pool_count(pool, SLOT_IDLE) + pool_supply(pool) < pool->waiting + pool->config.idle_min &&
		pool_live(pool) < pool->config.connections_max;
}

bool pool_may_connect(const struct weir_pool *pool)
{
	if (POOL_PLANTED(BACK_OFF_NEVER_ENDS) && pool->backoff_us > 0)
		return false;
	return pool_count(pool, SLOT_CONNECTING) < pool->config.connecting_max && pool->backoff_us <= pool->now_us &&
		pool_next_attempt_us(pool) <= pool->now_us;
}

uint64_t pool_next_attempt_us(const struct weir_pool *pool)
{
	uint64_t span_us = pool->config.backoff_max_us;

	if (pool->failures == 0 || pool_count(pool, SLOT_CONNECTING) == 0)
		return 0;
	return span_us == 0 ? POOL_NEVER : pool_time_after(pool_slot_first(pool, SLOT_CONNECTING)->since_us, span_us);
}

/* An attempt may hang: then the next is not kept waiting for its end. */
static void plan_next_attempt(struct weir_pool *pool)
{
	if (pool_open_needed(pool) && pool_count(pool, SLOT_CONNECTING) < pool->config.connecting_max &&
		pool_next_attempt_us(pool) > pool->now_us)
		pool_plan(pool, pool_next_attempt_us(pool));
}

/* Room for an open within the maximum. */
static bool room_within(struct weir_pool *pool)
{
	return pool_live(pool) < pool->config.connections_max && pool_unit_take(pool->budget, pool->seat);
}

bool pool_overflow_wanted(const struct weir_pool *pool)
{
	return pool->overdue > pool_supply(pool) && pool_live(pool) < pool->slots_max && pool_may_connect(pool);
}

/*
 * Room for an open beyond the maximum, if somebody may have it. Other pools that have taken it tell nobody when they give it
 * back: it is looked for again some times while the waiter has patience left.
 */
static bool room_beyond(struct weir_pool *pool)
{
	if (!pool_overflow_wanted(pool))
		return false;
	if (!pool_unit_take_beyond(pool->budget, pool->seat)) {
		pool_plan(pool, pool_overflow_retry_us(pool));
		return false;
	}
	pool->stats.overflowed++;
	return true;
}

/* Room for an open that nobody waits for. Nobody is told of a unit for it: it is looked for again after a while. */
static bool room_ahead(struct weir_pool *pool)
{
	if (pool_unit_spare(pool->budget, pool->seat))
		return true;
	pool_plan(pool, pool_time_after(pool->now_us, POOL_AHEAD_RETRY_US));
	return false;
}

/* Asks for one connection to be opened; false when none is wanted or there is no room. */
static bool ask_open(struct weir_pool *pool)
{
	struct slot *slot;

	if (!pool_may_connect(pool)) {
		plan_next_attempt(pool);
		return false;
	}
	if (pool_open_needed(pool)) {
		if (!room_within(pool) && !room_beyond(pool))
			return false;
	} else if (!pool_open_ahead(pool) || !room_ahead(pool)) {
		return false;
	}
	slot = pool_slot_take(pool);
	pool->calling++;
	pool->ops.open(pool->owner, slot_index(pool, slot));
	pool->calling--;
	return true;
}

/* While others were asked, the room that somebody was to have for a fresh connection was taken by another pool. */
static bool room_lost(struct weir_pool *pool)
{
	return pool_count(pool, SLOT_IDLE) > 0 && fresh_lack_room(pool) && idle_give_up(pool, WEIR_POOL_CLOSE_YIELDED);
}

bool pool_unit_needed(const struct weir_pool *pool)
{
	return pool_open_needed(pool) && pool_may_connect(pool) && pool_live(pool) < pool->config.connections_max;
}

void pool_forgo(struct weir_pool *pool)
{
	if (pool->budget != NULL && !pool_unit_needed(pool))
		pool_unit_forgo(pool->budget, pool->seat);
}

void pool_ask_all(struct weir_pool *pool)
{
	if (pool->asking)
		return;
	pool->asking = true;
	while (!pool_is_in_use(pool) && (ask_close(pool) || ask_check(pool) || ask_open(pool) || room_lost(pool)))
		;
	pool->asking = false;
	pool_forgo(pool);
}

void pool_ask(struct weir_pool *pool)
{
	if (pool->asking)
		return;
	if (pool_nothing_to_ask(pool)) {
		pool_unit_forgo(pool->budget, pool->seat);
		return;
	}
	pool_ask_all(pool);
	pool_queue_shed(pool);
}

void pool_rest(struct weir_pool *pool)
{
	/* Where something is due nothing rests until it was seen to, whatever time the next caller says it is. */
	bool rests = pool->next_us > pool->now_us && pool_stays_settled(pool);

	pool->rests_until_us = !rests ? 0 : pool->next_us < POOL_FAR ? pool->next_us : POOL_FAR;
}

__attribute__((noinline)) void pool_settle_all(struct weir_pool *pool)
{
	pool_match(pool);
	pool_ask(pool);
}

/* --- end, wake ---------------------------------------------------------------------------------------------------- */

void pool_doom_unleased(struct weir_pool *pool, enum weir_pool_close_reason why)
{
	static const enum slot_state unleased[] = {SLOT_IDLE, SLOT_RETURNED, SLOT_CHECKING, SLOT_CONNECTING};
	struct slot *slot;

	for (size_t i = 0; i < sizeof(unleased) / sizeof(unleased[0]); i++)
		while ((slot = pool_slot_last(pool, unleased[i])) != NULL)
			pool_slot_doom(pool, slot, why);
}

void pool_close_begin(struct weir_pool *pool)
{
	pool->stage = POOL_CLOSING;
	pool_doom_unleased(pool, WEIR_POOL_CLOSE_POOL);
}

bool pool_close_due(const struct weir_pool *pool)
{
	return pool->stage == POOL_CLOSING && pool_live(pool) == 0 && pool->outcomes.count == 0;
}

__attribute__((noinline)) void pool_wake_owner(struct weir_pool *pool)
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
