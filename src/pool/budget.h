/*
 * What a pool asks of its budget. A seat is a pool's place at the budget: it is where the pool raises its hand when it
 * has waiters and no unit, and offers when it has idle connections, which bind units. A pool with a private budget has
 * no budget and no seat (NULL, NULL); then every unit is granted.
 */
#ifndef WEIR_POOL_BUDGET_H
#define WEIR_POOL_BUDGET_H

#include "pool/pool.h"

struct pool_seat;

/* `owner` is what notify is called with. NULL: out of memory. */
struct pool_seat *pool_seat_take(struct weir_pool_budget *budget, void *owner);

/*
 * After it, notify is not called for this seat any more; a call in another thread has returned. What was handed to the
 * seat, and what notices unread would have passed on, is passed on.
 */
void pool_seat_leave(struct weir_pool_budget *budget, struct pool_seat *seat);

/*
 * One more connection. False: the budget is spent, the seat's hand is raised, and if it was not up already, one pool
 * that offers is notified.
 */
bool pool_unit_take(struct weir_pool_budget *budget, struct pool_seat *seat);

/* How many units the seat could have now. There must be a budget. */
uint32_t pool_units_available(struct weir_pool_budget *budget, struct pool_seat *seat);

/* Its hand is up, and a pool that offers was notified for it: a unit may be on its way. NULL: no. */
bool pool_unit_asked(const struct pool_seat *seat);

/* One more connection for nobody who waits: only if there is a unit left and no hand is raised. */
bool pool_unit_spare(struct weir_pool_budget *budget, struct pool_seat *seat);

/* One more connection beyond the maximum, within overflow_max. Nobody is notified when there is room again. */
bool pool_unit_take_beyond(struct weir_pool_budget *budget, struct pool_seat *seat);

/* No hand is raised, nothing is beyond the maximum, and the seat's offer is up. */
bool pool_budget_is_quiet(struct weir_pool_budget *budget, struct pool_seat *seat);

/* How many units are taken beyond the maximum. There must be a budget. Two loads. */
uint32_t pool_units_beyond(struct weir_pool_budget *budget);

/* One connection less. The unit goes to a pool that has its hand raised, other than this one, which is notified. */
void pool_unit_return(struct weir_pool_budget *budget, struct pool_seat *seat);

/* The pool needs no unit (any more): its hand goes down. */
void pool_unit_forgo(struct weir_pool_budget *budget, struct pool_seat *seat);

/*
 * Of the pools that have their hands raised, how many this one owes a unit: those that have none, or would have fewer than
 * this one still if they had one of its. There must be a budget. A load while no hand is up.
 */
uint32_t pool_units_owed(struct weir_pool_budget *budget, const struct pool_seat *seat);

/*
 * The pool has idle connections, and so needs no unit. How many hands are raised; when one goes up later the pool may
 * be notified, and then calls this again if it still has idle connections. There must be a budget. Two loads while the
 * offer is up.
 */
uint32_t pool_unit_offer(struct weir_pool_budget *budget, struct pool_seat *seat);

/* What is idle is not to be had yet: the offer goes down, and the pool looks again by itself, soon. */
void pool_unit_withhold(struct pool_seat *seat);

/*
 * A notified pool has taken what it needs and given up what it could; `returning` of its units are on their way back.
 * What was handed to it, and it has not taken, it returns. If there are units left, the next hand is notified; else, if
 * more hands are raised than are returning, the next pool that offers.
 */
void pool_unit_pass_on(struct weir_pool_budget *budget, struct pool_seat *seat, uint32_t returning);

#endif
