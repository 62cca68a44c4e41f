/* What the files of the model share: see model.h. */
#ifndef TESTS_POOL_MODEL_PARTS_H
#define TESTS_POOL_MODEL_PARTS_H

#include "model.h"

#include <stddef.h>

/* Keeps `otherwise` in wrong, if it is the first. */
void model_expect(struct model *m, bool condition, const char *otherwise);

uint32_t model_supply(const struct model *m);
uint32_t model_ending(const struct model *m);
uint32_t model_fresh(const struct model *m);
uint32_t model_overdue_count(const struct model *m);
bool model_over_cap(const struct model *m);
bool model_fresh_needs_room(const struct model *m);

/* The waiter whose turn it is, NULL when there is none. */
enum model_who { MODEL_ANYBODY, MODEL_FRESH, MODEL_NOT_FRESH };
struct model_waiter *model_turn(struct model *m, enum model_who who);
struct model_connection *model_idle(struct model *m, bool longest);

void model_doom(struct model *m, struct model_connection *c, enum weir_pool_close_reason reason);
void model_resolve(struct model *m, struct model_waiter *waiter, enum weir_pool_outcome outcome);
/* Opened and not in use (any more): idle, or doomed. */
void model_park(struct model *m, struct model_connection *c);
/* Opened or checked: served at once if somebody is there for it, else idle, or doomed. */
void model_arrive(struct model *m, struct model_connection *c, bool checked);
void model_lease(struct model *m, struct model_connection *c, struct model_waiter *waiter);
void model_empty(struct model *m, uint32_t slot);
/* Closing begins: nothing that is not in use stays. */
void model_begin_close(struct model *m);
void model_doom_unleased(struct model *m, enum weir_pool_close_reason reason);
bool model_hand_wanted(const struct model *m);
void model_hand_set(struct model *m, bool raised);
/* The queue's discipline: one comes where nobody was, one is served, the newcomer is to be refused, one is, the lowest goes. */
void model_queue_began(struct model *m);
void model_queue_served(struct model *m, const struct model_waiter *waiter);
enum weir_pool_refusal model_refusal(const struct model *m, const struct model_waiter *waiter);
void model_refuse(struct model *m, struct model_waiter *waiter, enum weir_pool_refusal why);
bool model_make_room(struct model *m, const struct model_waiter *newcomer);
void model_shed(struct model *m);
uint64_t model_next_shed(const struct model *m);
/* One more may be opened beyond connections_max for who has waited through its acquire_timeout. */
bool model_overflow_left(const struct model *m);

/* When an idle connection may be given up to a pool that is owed none. */
uint64_t model_rested_us(const struct model *m, const struct model_connection *c);

void model_expire_waiters(struct model *m);
void model_expire(struct model *m);
void model_match(struct model *m);

/* What comes first: the clock. */
void model_tick(struct model *m);
/* The reason that a timeout has. */
int model_reason(const struct model *m);

/* An open is needed by somebody who waits, or wanted ahead. */
bool model_open_needed(const struct model *m);
bool model_open_ahead(const struct model *m);
bool model_may_connect(const struct model *m);
/* When another attempt may begin beside those that are under way, after some have failed. */
uint64_t model_next_attempt_us(const struct model *m);
/* Where it finds room: within connections_max (and the budget), or beyond. */
bool model_room_within(const struct model *m);
bool model_room_beyond(const struct model *m);
bool model_unit_free(const struct model *m);
bool model_unit_spare(const struct model *m);
/* The connection to be checked next, NULL when none is. */
struct model_connection *model_check_wanted(struct model *m);

#endif
