/*
 * What a pool asks of its budget. A seat is a pool's place at the budget: it is where the pool raises its hand when it
 * has waiters and no unit. A pool with a private budget has no budget and no seat (NULL, NULL); then every unit is
 * granted.
 */
#ifndef WEIR_POOL_BUDGET_H
#define WEIR_POOL_BUDGET_H

#include "pool/pool.h"

struct pool_seat;

/* `owner` is what notify is called with. NULL: out of memory. */
struct pool_seat *pool_seat_take(struct weir_pool_budget *budget, void *owner);

/* After it, notify is not called for this seat any more; a call in another thread has returned. */
void pool_seat_leave(struct weir_pool_budget *budget, struct pool_seat *seat);

/* One more connection. False: the budget is spent and the seat's hand is raised. */
bool pool_unit_take(struct weir_pool_budget *budget, struct pool_seat *seat);

/* One connection less; one pool that has its hand raised, other than this one, is notified. */
void pool_unit_return(struct weir_pool_budget *budget, struct pool_seat *seat);

/* The pool needs no unit (any more): its hand goes down. */
void pool_unit_forgo(struct weir_pool_budget *budget, struct pool_seat *seat);

/* A notified pool has taken what it needs: if there are units left, the next one is notified. */
void pool_unit_pass_on(struct weir_pool_budget *budget, struct pool_seat *seat);

/* How many hands are raised while the budget is spent. */
uint32_t pool_units_missed(const struct weir_pool_budget *budget);

#endif
