/*
 * The shared budget: how many connections all pools of an endpoint have together. Lock free.
 *
 *   budget: used <= max (+ overflow_max), raised = number of raised hands
 *     |
 *     +--> seat --> seat --> seat            one per pool, pushed at the front, unlinked only with the budget
 *          owner    owner    (left)          a seat that was left is taken again by the next pool
 *          raised   offers   -               needs a unit; may have one idle; never both
 *          granted  granted  -               units handed to it that it has not taken yet, counted in used
 *
 * A unit that comes back while a hand is up is not put back but handed to that seat, so that no pool that asks in
 * between, above all the one that returns it, takes it away from who has waited. What the seat's pool does not need
 * when it answers the notice goes the way of every returned unit.
 *
 * A seat has two signs. Its own pool puts them up; whoever takes one down owes that pool the call of notify, so a sign
 * is good for one notice. A notified pool, whatever for and whether it still matters or not, answers with
 * weir_pool_budget_freed, which ends in pool_unit_pass_on: what is left goes on to the next. A pool that leaves passes
 * on as well: a notice may be under way to it.
 *
 * No wake-up is lost. All of it is sequentially consistent, and each side first writes and then looks, so of two that
 * meet at least one sees the other:
 *
 *   raises its hand, then tries once more          | returns a unit, then looks for hands
 *   raises its hand, then looks for offers         | offers, then looks for hands, and gives up idle connections
 *   (has tried in vain)                            | (before each time it lets its connections be idle)
 *
 * So a unit that an idle connection of a quiet pool binds comes loose: one pool that offers is asked, and unless it
 * gives up as many as hands are raised, it has the next one asked. An offer stays up while connections are leased and
 * given back, so that this costs no write; it may be out of date, and is gone once the pool has been asked, or while
 * what is idle has not rested long enough for the hands that are up (the pool looks again when it has). While
 * everything is in use there are no offers, and raising a hand calls nobody.
 *
 * Fairness: of the hands that of the pool with the fewest connections is answered, among equals the first behind the
 * seat that was notified last. The search for an offer starts behind the seat that asks. When a busy pool gives a unit up is engine.c's rule.
 */
#include "pool/budget.h"

#include "pool/check.h"
#include "pool/planted.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct pool_seat {
	struct pool_seat *next;    /* fixed once the seat is in the list */
	void *owner;
	_Atomic bool taken;
	_Atomic bool raised;       /* sign: the pool has waiters and no unit for them */
	_Atomic bool offers;       /* sign: the pool had idle connections when it last looked */
	bool asked;                /* a pool that offers was notified when the hand went up; its own thread's */
	_Atomic uint32_t units;    /* connections of its pool; written by its own thread */
	_Atomic uint32_t granted;  /* units that are its own already; each came with a notice */
	_Atomic uint32_t callers;  /* threads that may be about to call notify for it */
};

struct weir_pool_budget {
	_Atomic uint32_t used;
	_Atomic uint32_t raised;   /* never less than the number of raised seats */
	_Atomic uint32_t max;
	_Atomic uint32_t overflow_max;
	void (*notify)(void *owner);
	struct pool_seat *_Atomic seats;
	struct pool_seat *_Atomic notified_last;
};

static bool limits_valid(uint32_t connections_max, uint32_t overflow_max)
{
	return connections_max >= 1 && connections_max <= WEIR_POOL_CONNECTIONS_MAX &&
		overflow_max <= WEIR_POOL_CONNECTIONS_MAX;
}

struct weir_pool_budget *weir_pool_budget_create(uint32_t connections_max, uint32_t overflow_max,
	void (*notify)(void *owner))
{
	struct weir_pool_budget *budget;

	if (!limits_valid(connections_max, overflow_max) || notify == NULL) {
		errno = EINVAL;
		return NULL;
	}
	budget = calloc(1, sizeof(*budget));
	if (budget == NULL)
		return NULL;
	atomic_init(&budget->max, connections_max);
	atomic_init(&budget->overflow_max, overflow_max);
	budget->notify = notify;
	return budget;
}

void weir_pool_budget_free(struct weir_pool_budget *budget)
{
	struct pool_seat *next;

	if (budget == NULL)
		return;
	POOL_CHECK(atomic_load(&budget->used) == 0);
	for (struct pool_seat *seat = atomic_load(&budget->seats); seat != NULL; seat = next) {
		POOL_CHECK(!atomic_load(&seat->taken));
		next = seat->next;
		free(seat);
	}
	free(budget);
}

uint32_t weir_pool_budget_used(const struct weir_pool_budget *budget)
{
	return atomic_load(&budget->used);
}

/* A seat that was left before, NULL when there is none. */
static struct pool_seat *seat_reuse(struct weir_pool_budget *budget)
{
	bool left;

	for (struct pool_seat *seat = atomic_load(&budget->seats); seat != NULL; seat = seat->next) {
		left = false;
		if (atomic_compare_exchange_strong(&seat->taken, &left, true))
			return seat;
	}
	return NULL;
}

static struct pool_seat *seat_add(struct weir_pool_budget *budget)
{
	struct pool_seat *seat = calloc(1, sizeof(*seat));

	if (seat == NULL)
		return NULL;
	atomic_init(&seat->taken, true);
	seat->next = atomic_load(&budget->seats);
	while (!atomic_compare_exchange_weak(&budget->seats, &seat->next, seat))
		;
	return seat;
}

struct pool_seat *pool_seat_take(struct weir_pool_budget *budget, void *owner)
{
	struct pool_seat *seat = seat_reuse(budget);

	if (seat == NULL)
		seat = seat_add(budget);
	if (seat == NULL)
		return NULL;
	seat->owner = owner;
	return seat;
}

static bool unit_try_below(struct weir_pool_budget *budget, uint32_t limit)
{
	uint32_t used = atomic_load(&budget->used);

	while (used < limit)
		if (atomic_compare_exchange_weak(&budget->used, &used, used + 1))
			return true;
	return false;
}

static bool unit_try(struct weir_pool_budget *budget)
{
	return unit_try_below(budget, atomic_load(&budget->max));
}

/* Gives up a unit that is beyond the maximum. */
static bool unit_shed(struct weir_pool_budget *budget)
{
	uint32_t used = atomic_load(&budget->used);

	while (used > atomic_load(&budget->max))
		if (atomic_compare_exchange_weak(&budget->used, &used, used - 1))
			return true;
	return false;
}

static bool units_left(struct weir_pool_budget *budget)
{
	return atomic_load(&budget->used) < atomic_load(&budget->max);
}

/* False when it was up already. */
static bool hand_raise(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (atomic_load(&seat->raised))
		return false;
	/* Nothing is idle beside a waiter: whoever asked here would ask in vain. */
	atomic_store(&seat->offers, false);
	/* Counted first: the count may be too high for a moment, never too low. */
	atomic_fetch_add(&budget->raised, 1);
	atomic_store(&seat->raised, true);
	return true;
}

static void hand_lower(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (atomic_load(&seat->raised) && atomic_exchange(&seat->raised, false))
		atomic_fetch_sub(&budget->raised, 1);
}

/* Takes `sign` of `seat` down, hands it `units`, notifies its pool. True for exactly one caller each time it is up. */
static bool seat_notify(struct weir_pool_budget *budget, struct pool_seat *seat, _Atomic bool *sign, uint32_t units)
{
	bool lowered;

	if (!atomic_load(sign))
		return false;
	/* Counted in before the sign is taken down, so that pool_seat_leave waits for the call. */
	atomic_fetch_add(&seat->callers, 1);
	lowered = atomic_exchange(sign, false);
	if (lowered) {
		if (units > 0)
			atomic_fetch_add(&seat->granted, units);
		budget->notify(seat->owner);
	}
	atomic_fetch_sub(&seat->callers, 1);
	return lowered;
}

/* The seats as a ring. */
static struct pool_seat *seat_behind(struct weir_pool_budget *budget, const struct pool_seat *seat)
{
	return seat != NULL && seat->next != NULL ? seat->next : atomic_load(&budget->seats);
}

/* Of the pools with a raised hand, other than `own` (NULL: any), the one with the fewest connections; NULL: there is none. */
static struct pool_seat *hand_poorest(struct weir_pool_budget *budget, const struct pool_seat *own)
{
	struct pool_seat *last = atomic_load(&budget->notified_last), *poorest = NULL;
	const struct pool_seat *start = last != NULL ? last : atomic_load(&budget->seats);
	struct pool_seat *seat = seat_behind(budget, start);

	/* Equals take turns: the first behind the one notified last. */
	for (;; seat = seat_behind(budget, seat)) {
		if (seat != own && atomic_load(&seat->raised) &&
			(poorest == NULL || atomic_load(&seat->units) < atomic_load(&poorest->units)))
			poorest = seat;
		if (seat == start)
			return poorest;
	}
}

/* Notifies the poorest pool with a raised hand other than `own` (NULL: any), and hands it `units`. False: there is none. */
static bool hand_answer(struct weir_pool_budget *budget, const struct pool_seat *own, uint32_t units)
{
	struct pool_seat *seat;

	/* Another thread may be quicker: then there is one hand less. */
	while ((seat = hand_poorest(budget, own)) != NULL) {
		if (!seat_notify(budget, seat, &seat->raised, units))
			continue;
		atomic_fetch_sub(&budget->raised, 1);
		atomic_store(&budget->notified_last, seat);
		return true;
	}
	return false;
}

/* Notifies one pool that offers, other than `own`. False: none does. */
static bool offer_take_up(struct weir_pool_budget *budget, const struct pool_seat *own)
{
	struct pool_seat *seat = seat_behind(budget, own);

	while (seat != own && !seat_notify(budget, seat, &seat->offers, 0))
		seat = seat_behind(budget, seat);
	return seat != own;
}

void pool_seat_leave(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget == NULL)
		return;
	hand_lower(budget, seat);
	atomic_store(&seat->offers, false);
	/* Whoever counts itself in from here on finds both signs down, and does not call. */
	while (atomic_load(&seat->callers) > 0)
		sched_yield();
	if (!POOL_PLANTED(GRANT_LOST_WITH_SEAT))
		pool_unit_pass_on(budget, seat, 0);
	atomic_store(&seat->taken, false);
}

/* Only the seat's own thread takes from it. */
static bool grant_take(struct pool_seat *seat)
{
	if (atomic_load(&seat->granted) == 0)
		return false;
	atomic_fetch_sub(&seat->granted, 1);
	return true;
}

/* Only the seat's own thread counts its units. */
static bool unit_taken(struct pool_seat *seat)
{
	atomic_store_explicit(&seat->units, atomic_load_explicit(&seat->units, memory_order_relaxed) + 1,
		memory_order_relaxed);
	return true;
}

bool pool_unit_take(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	bool raised;

	if (budget == NULL)
		return true;
	if (!grant_take(seat) && !unit_try(budget)) {
		raised = hand_raise(budget, seat);
		if (!unit_try(budget)) {
			if (raised)
				seat->asked = offer_take_up(budget, seat);
			return false;
		}
	}
	/* If another unit is needed the hand goes up anew, and the offers are looked at anew. */
	hand_lower(budget, seat);
	return unit_taken(seat);
}

uint32_t pool_units_available(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	uint32_t used = atomic_load(&budget->used), max = atomic_load(&budget->max);

	return atomic_load(&seat->granted) + (used < max ? max - used : 0);
}

bool pool_unit_asked(const struct pool_seat *seat)
{
	return seat != NULL && seat->asked && atomic_load(&seat->raised);
}

bool pool_unit_spare(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	return budget == NULL || (atomic_load(&budget->raised) == 0 && unit_try(budget) && unit_taken(seat));
}

bool pool_unit_take_beyond(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	uint32_t max;

	if (budget == NULL)
		return true;
	max = atomic_load(&budget->max) + atomic_load(&budget->overflow_max);
	return unit_try_below(budget, max) && unit_taken(seat);
}

bool pool_budget_is_quiet(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	return atomic_load(&budget->raised) == 0 && atomic_load(&seat->offers) &&
		atomic_load(&budget->used) <= atomic_load(&budget->max);
}

uint32_t pool_units_beyond(struct weir_pool_budget *budget)
{
	uint32_t used = atomic_load(&budget->used), max = atomic_load(&budget->max);

	return used > max ? used - max : 0;
}

/* A unit that this pool does not need goes to another, or back. */
static void unit_give(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	/*
	 * One of the overflow, too: else who waits would wait for ever beside pools that go beyond the maximum again and
	 * again. But not one that there should not be at all, since the budget has become smaller.
	 */
	bool excess = atomic_load(&budget->used) > atomic_load(&budget->max) + atomic_load(&budget->overflow_max);

	if (!excess && atomic_load(&budget->raised) > 0 && hand_answer(budget, seat, 1))
		return;
	if (!unit_shed(budget))
		POOL_CHECK(atomic_fetch_sub(&budget->used, 1) > 0);
	/*
	 * A hand that went up in between found the unit not yet free; and the maximum may have grown in between. It is
	 * told to try again.
	 */
	if (units_left(budget) && atomic_load(&budget->raised) > 0)
		hand_answer(budget, seat, 0);
}

void pool_unit_return(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget == NULL)
		return;
	atomic_store_explicit(&seat->units, atomic_load_explicit(&seat->units, memory_order_relaxed) - 1,
		memory_order_relaxed);
	unit_give(budget, seat);
}

void pool_unit_forgo(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget != NULL)
		hand_lower(budget, seat);
}

/* How many other pools have their hands raised. There must be a budget. A load or two. */
static uint32_t pool_units_missed(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	uint32_t raised = atomic_load(&budget->raised);

	/* Its own hand, if up, was counted: only this thread raises it. */
	return raised == 0 ? 0 : raised - atomic_load(&seat->raised);
}

uint32_t pool_units_owed(struct weir_pool_budget *budget, const struct pool_seat *seat)
{
	uint32_t own = atomic_load(&seat->units), units, owed = 0;

	if (atomic_load(&budget->raised) == 0)
		return 0;
	for (struct pool_seat *other = atomic_load(&budget->seats); other != NULL; other = other->next) {
		units = atomic_load(&other->units);
		owed += other != seat && atomic_load(&other->raised) && (units == 0 || units + 1 < own);
	}
	return owed;
}

uint32_t pool_unit_offer(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (!atomic_load(&seat->offers)) {
		hand_lower(budget, seat);
		atomic_store(&seat->offers, true);
	}
	return atomic_load(&budget->raised);
}

void pool_unit_withhold(struct pool_seat *seat)
{
	atomic_store(&seat->offers, false);
}

void pool_unit_pass_on(struct weir_pool_budget *budget, struct pool_seat *seat, uint32_t returning)
{
	uint32_t others;

	if (budget == NULL)
		return;
	while (grant_take(seat))
		unit_give(budget, seat);
	others = pool_units_missed(budget, seat);
	if (others > 0 && units_left(budget))
		hand_answer(budget, seat, 0);
	else if (others > returning)
		offer_take_up(budget, seat);
}

bool weir_pool_budget_resize(struct weir_pool_budget *budget, uint32_t connections_max, uint32_t overflow_max)
{
	if (!limits_valid(connections_max, overflow_max))
		return false;
	atomic_store(&budget->max, connections_max);
	atomic_store(&budget->overflow_max, overflow_max);
	/* Whoever is notified passes on what is left. */
	if (units_left(budget) && atomic_load(&budget->raised) > 0)
		hand_answer(budget, NULL, 0);
	return true;
}
