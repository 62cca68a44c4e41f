/*
 * What endpoints have over all workers and all generations of the configuration: their caps, and whether their health
 * checks pass.
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

#include "base/list.h"
#include "config/model.h"
#include "pool/pool.h"

struct endpoint_budget {
	struct list_node node;             /* in the registry */
	struct weir_pool_budget *pool_budget;
	atomic_uint references;
	atomic_bool out;                   /* its health checks fail: it gets no requests; the first worker says so (probe.c) */
	struct address address;
	size_t upstream_name_n;
	char upstream_name[];
};

struct budget_registry {
	struct list budgets;
	struct list_node *found_last;      /* the next search begins behind it: files change little */
};

void budgets_init(struct budget_registry *registry);

/* Every reference must have been dropped, and every pool freed (CHECK). */
void budgets_release(struct budget_registry *registry);

/*
 * One budget for each endpoint of the configuration, in its order, with a reference each: those there are, and new ones.
 * Nothing is resized yet. To be given to budgets_drop(). NULL: out of memory.
 */
struct endpoint_budget **budgets_claim(struct budget_registry *registry, const struct config *config);

/* Gives every one of them the size that the configuration says. */
void budgets_resize(struct endpoint_budget *const *budgets, const struct config *config);

/* Drops the references of budgets_claim(), and the array. NULL is allowed. Any thread. */
void budgets_drop(struct endpoint_budget **budgets, size_t count);

static inline struct endpoint_budget *endpoint_budget_ref(struct endpoint_budget *budget)
{
	atomic_fetch_add_explicit(&budget->references, 1, memory_order_relaxed);
	return budget;
}

static inline bool endpoint_budget_is_out(const struct endpoint_budget *budget)
{
	return atomic_load_explicit(&budget->out, memory_order_relaxed);
}

static inline void endpoint_budget_unref(struct endpoint_budget *budget)
{
	atomic_fetch_sub_explicit(&budget->references, 1, memory_order_release);
}

#endif
