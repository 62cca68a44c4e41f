/*
 * What endpoints have over all workers and all generations of the configuration: their caps, what is learned and counted of
 * them, and why they get no requests.
 *
 * An endpoint is its upstream's name and its address. All its pools draw on one budget: those of all workers, and the
 * one that a reload has put out of service beside its successor, so that together they never exceed the cap.
 *
 *     registry --owns--> endpoint_budget <--refers-- generations (arrays, in their configuration's order)
 *                                        <--refers-- endpoints (as long as they have a pool)
 *
 * The registry is one thread's, the one that reloads; references are dropped by any thread. Dropping the last one frees
 * nothing: the registry does, the next time that it is called.
 */
#ifndef WEIR_UPSTREAM_BUDGETS_H
#define WEIR_UPSTREAM_BUDGETS_H

#include <stdatomic.h>

#include "base/line.h"
#include "base/list.h"
#include "config/model.h"
#include "pool/pool.h"
#include "upstream/concurrency.h"
#include "upstream/passive.h"
#include "upstream/breaker.h"

/* Why an endpoint gets no requests. */
enum endpoint_out {
	OUT_UNHEALTHY = 1 << 0,            /* its health checks fail (probe.c) */
	OUT_EJECTED = 1 << 1,              /* it answers worse than the others (outlier.c) */
	OUT_BREAKER = 1 << 2,              /* its breaker is open (breaker.c) */
	OUT_PANIC = 1 << 3,                /* no reason: the first two do not count, too few others are left (passive.c) */
	OUT_DISABLED = 1 << 4,             /* the operator has taken it out: no panic brings it back */
};

/* What the operator has set for an endpoint, beside OUT_DISABLED: it holds over reloads until it is taken back. */
enum {
	SET_WEIGHT_MASK = 0xffff,          /* one more than the weight that counts in place of the configuration's; 0: none is set */
	SET_DRAINED = 1 << 16,             /* the weight is 0, whatever else it would be: only those who are bound to it get there */
};

struct endpoint_budget {
	_Alignas(CACHE_LINE) struct list_node node;  /* in the registry */
	struct weir_pool_budget *pool_budget;
	atomic_uint references;
	atomic_uint out;                   /* a set of enum endpoint_out, changed by endpoint_budget_set_out; empty: in service */
	atomic_uint set;                   /* SET_WEIGHT_MASK, SET_DRAINED; changed by endpoint_budget_set */
	atomic_uint *changes;              /* in the registry */
	struct shared_breaker breaker;
	struct concurrency concurrency;    /* how many requests at once */
	struct health_record health;
	struct address address;
	size_t upstream_name_n;
	char upstream_name[];
};

struct budget_registry {
	struct list budgets;
	atomic_uint changes;               /* how often any `out` has changed, for who has derived something from them */
};

void budgets_init(struct budget_registry *registry);

/* Every reference must have been dropped, and every pool freed (CHECK). */
void budgets_release(struct budget_registry *registry);

/*
 * One budget for each endpoint of the configuration, in its order, with a reference each: those there are, and new ones.
 * Nothing is resized yet. To be given to budgets_drop(). NULL: out of memory.
 */
struct endpoint_budget **budgets_claim(struct budget_registry *registry, const struct config *config);

/* Gives every one of them the size that the configuration says, or the range within which it is learned. */
void budgets_resize(struct endpoint_budget *const *budgets, const struct config *config);

/* Drops the references of budgets_claim(), and the array. NULL is allowed. Any thread. */
void budgets_drop(struct endpoint_budget **budgets, size_t count);

static inline struct endpoint_budget *endpoint_budget_ref(struct endpoint_budget *budget)
{
	atomic_fetch_add_explicit(&budget->references, 1, memory_order_relaxed);
	return budget;
}

/* A set of enum endpoint_out. */
static inline unsigned endpoint_budget_out(const struct endpoint_budget *budget)
{
	return atomic_load_explicit(&budget->out, memory_order_relaxed);
}

/* One of its reasons comes or goes; false: it was so already. Any thread. */
static inline bool endpoint_budget_set_out(struct endpoint_budget *budget, enum endpoint_out reason, bool out)
{
	unsigned before = out ? atomic_fetch_or(&budget->out, reason) : atomic_fetch_and(&budget->out, ~(unsigned)reason);

	if (((before & reason) != 0) == out)
		return false;
	atomic_fetch_add(budget->changes, 1);
	return true;
}

/* The bits of `mask` are `bits` from now on. Any thread, but one at a time. */
static inline void endpoint_budget_set(struct endpoint_budget *budget, unsigned mask, unsigned bits)
{
	atomic_store(&budget->set, (atomic_load(&budget->set) & ~mask) | bits);
	atomic_fetch_add(budget->changes, 1);
}

/* The weight that counts where the configuration says `weight`. */
static inline uint32_t endpoint_budget_weight(const struct endpoint_budget *budget, uint32_t weight)
{
	unsigned set = atomic_load_explicit(&budget->set, memory_order_relaxed);

	if (set == 0)
		return weight;
	if (set & SET_DRAINED)
		return 0;
	return (set & SET_WEIGHT_MASK) != 0 ? (set & SET_WEIGHT_MASK) - 1 : weight;
}

static inline void endpoint_budget_unref(struct endpoint_budget *budget)
{
	atomic_fetch_sub_explicit(&budget->references, 1, memory_order_release);
}

#endif
