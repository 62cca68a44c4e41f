/*
 * The breakers of routes (upstream/breaker.h): a route that fails is not tried for a while, whatever endpoint it leads to.
 *
 * A breaker is its route's name for as long as some generation has it, so a reload keeps what is known, unless it changes
 * the settings. They are made and freed by the thread that makes generations; all workers use them.
 */
#ifndef WEIR_GATEWAY_BREAKERS_H
#define WEIR_GATEWAY_BREAKERS_H

#include "base/cause.h"
#include "base/list.h"
#include "upstream/breaker.h"

struct exchange;

struct route_breaker {
	struct list_node node;
	atomic_uint references;        /* generations */
	struct shared_breaker breaker;
	unsigned workers;
	struct breaker_side *sides;    /* one for each of them */
	size_t name_n;
	char name[];
};

/*
 * Of every route of the configuration that has one, in its order, else NULL: those there are, and new ones. NULL: out of
 * memory.
 */
struct route_breaker **route_breakers_claim(struct list *all, const struct config *config, unsigned workers);

/* Gives each the settings that the configuration says. */
void route_breakers_set(struct route_breaker **breakers, const struct config *config, uint64_t now_us);

/* Any thread. NULL is allowed. */
void route_breakers_drop(struct route_breaker **breakers, size_t count);

/* Frees those that no generation has any more. */
void route_breakers_sweep(struct list *all);

/* The exchange's route has a breaker: whether it lets the request through. exchange_is_admitted() asks it. */
bool route_breaker_admits(struct exchange *ex);

/* It has done so, and the answer's head has come. What is tried is back then, since an answer may last for ever. */
void route_breaker_answered(struct exchange *ex);

/* It has done so, and the exchange is about to end, for `cause`. exchange_leave_breaker() tells it. */
void route_breaker_leave(struct exchange *ex, enum cause cause);

#endif
