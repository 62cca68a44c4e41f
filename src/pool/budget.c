/*
 * The shared budget: how many connections all pools of an endpoint have together. Lock free.
 *
 *   budget: used <= max, raised = number of raised hands
 *     |
 *     +--> seat --> seat --> seat            one per pool, pushed at the front, unlinked only with the budget
 *          owner    owner    (left)          a seat that was left is taken again by the next pool
 *          raised   -        -
 *
 * No wake-up is lost. A pool that finds the budget spent raises its hand and then tries once more; a pool that returns
 * a unit does so and then looks for hands. All of it is sequentially consistent, so of the two at least one sees the
 * other. Whoever lowers a raised hand owes its pool the call of notify, and that pool, whether it still needs the unit
 * or not, answers with weir_pool_budget_freed, which passes what is left on to the next hand. A pool that leaves
 * passes on as well: the notice may be under way to it.
 *
 * A unit may also be bound by an idle connection of a pool to which nothing happens. So raising a hand is a call to all
 * other pools to look at what they have: they answer with weir_pool_budget_freed, too, and give up idle connections.
 *
 * Fairness: the search for a hand starts behind the seat that was notified last.
 */
#include "pool/budget.h"

#include "pool/check.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct pool_seat {
	struct pool_seat *next;    /* fixed once the seat is in the list */
	void *owner;
	_Atomic bool taken;
	_Atomic bool present;      /* may be called; ends before `taken` does */
	_Atomic bool raised;
	_Atomic uint32_t callers;  /* threads that may be about to call notify for it */
};

struct weir_pool_budget {
	_Atomic uint32_t used;
	_Atomic uint32_t raised;   /* never less than the number of raised seats */
	uint32_t max;
	void (*notify)(void *owner);
	struct pool_seat *_Atomic seats;
	struct pool_seat *_Atomic notified_last;
};

struct weir_pool_budget *weir_pool_budget_create(uint32_t connections_max, void (*notify)(void *owner))
{
	struct weir_pool_budget *budget;

	if (connections_max == 0 || connections_max > WEIR_POOL_CONNECTIONS_MAX || notify == NULL) {
		errno = EINVAL;
		return NULL;
	}
	budget = calloc(1, sizeof(*budget));
	if (budget == NULL)
		return NULL;
	budget->max = connections_max;
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
	atomic_store(&seat->present, true);
	return seat;
}

void pool_seat_leave(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget == NULL)
		return;
	pool_unit_forgo(budget, seat);
	atomic_store(&seat->present, false);
	/* Whoever counts itself in from here on finds the hand down and the pool absent, and does not call. */
	while (atomic_load(&seat->callers) > 0)
		sched_yield();
	pool_unit_pass_on(budget, seat);
	atomic_store(&seat->taken, false);
}

static bool unit_try(struct weir_pool_budget *budget)
{
	uint32_t used = atomic_load(&budget->used);

	while (used < budget->max)
		if (atomic_compare_exchange_weak(&budget->used, &used, used + 1))
			return true;
	return false;
}

/* False when it was up already. */
static bool hand_raise(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (atomic_load(&seat->raised))
		return false;
	/* Counted first: the count may be too high for a moment, never too low. */
	atomic_fetch_add(&budget->raised, 1);
	atomic_store(&seat->raised, true);
	return true;
}

/* True for exactly one caller a raise. */
static bool hand_lower(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (!atomic_load(&seat->raised) || !atomic_exchange(&seat->raised, false))
		return false;
	atomic_fetch_sub(&budget->raised, 1);
	return true;
}

/* Asks every pool but `own` to look at its idle connections. */
static void call_others(struct weir_pool_budget *budget, const struct pool_seat *own)
{
	for (struct pool_seat *seat = atomic_load(&budget->seats); seat != NULL; seat = seat->next) {
		if (seat == own || !atomic_load(&seat->present))
			continue;
		/* Counted in before the second look, so that pool_seat_leave waits for the call. */
		atomic_fetch_add(&seat->callers, 1);
		if (atomic_load(&seat->present))
			budget->notify(seat->owner);
		atomic_fetch_sub(&seat->callers, 1);
	}
}

bool pool_unit_take(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	bool raised;

	if (budget == NULL || unit_try(budget))
		return true;
	raised = hand_raise(budget, seat);
	if (unit_try(budget)) {
		hand_lower(budget, seat);
		return true;
	}
	if (raised)
		call_others(budget, seat);
	return false;
}

void pool_unit_forgo(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget != NULL)
		hand_lower(budget, seat);
}

/* Notifies the pool of `seat` if its hand is raised. */
static bool seat_notify(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	bool lowered;

	if (!atomic_load(&seat->raised))
		return false;
	/* Counted in before the hand is lowered, so that pool_seat_leave waits for the call. */
	atomic_fetch_add(&seat->callers, 1);
	lowered = hand_lower(budget, seat);
	if (lowered) {
		atomic_store(&budget->notified_last, seat);
		budget->notify(seat->owner);
	}
	atomic_fetch_sub(&seat->callers, 1);
	return lowered;
}

/* Notifies one pool with a raised hand other than `own`, the first behind the one notified last. */
static void hand_answer(struct weir_pool_budget *budget, const struct pool_seat *own)
{
	struct pool_seat *last = atomic_load(&budget->notified_last);
	struct pool_seat *seat;

	for (seat = last == NULL ? NULL : last->next; seat != NULL; seat = seat->next)
		if (seat != own && seat_notify(budget, seat))
			return;
	for (seat = atomic_load(&budget->seats); seat != NULL; seat = seat->next)
		if (seat != own && seat_notify(budget, seat))
			return;
}

void pool_unit_return(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget == NULL)
		return;
	POOL_CHECK(atomic_fetch_sub(&budget->used, 1) > 0);
	if (atomic_load(&budget->raised) > 0)
		hand_answer(budget, seat);
}

void pool_unit_pass_on(struct weir_pool_budget *budget, struct pool_seat *seat)
{
	if (budget != NULL && atomic_load(&budget->raised) > 0 && atomic_load(&budget->used) < budget->max)
		hand_answer(budget, seat);
}

uint32_t pool_units_missed(const struct weir_pool_budget *budget)
{
	uint32_t raised = budget == NULL ? 0 : atomic_load(&budget->raised);

	return raised > 0 && atomic_load(&budget->used) >= budget->max ? raised : 0;
}
