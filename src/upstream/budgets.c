/* See budgets.h. */
#include "upstream/budgets.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/index.h"
#include "upstream/endpoint.h"

void budgets_init(struct budget_registry *registry)
{
	list_init(&registry->budgets);
	atomic_init(&registry->changes, 0);
}

/* Frees those that nobody uses any more. */
static void registry_sweep(struct budget_registry *registry)
{
	list_each_safe(&registry->budgets, node, next) {
		struct endpoint_budget *budget = container_of(node, struct endpoint_budget, node);

		if (atomic_load_explicit(&budget->references, memory_order_acquire) != 0)
			continue;
		list_remove(node);
		weir_pool_budget_free(budget->pool_budget);
		shared_breaker_release(&budget->breaker);
		free(budget);
	}
}

void budgets_release(struct budget_registry *registry)
{
	registry_sweep(registry);
	CHECK(list_empty(&registry->budgets));
}

static struct view view_of_address(const struct address *address)
{
	return view_of((const char *)&address->u, address->len);
}

/* Those there are, by upstream and address. False: out of memory. */
static bool registry_index(struct budget_registry *registry, struct index *index)
{
	if (!index_init(index, list_count(&registry->budgets)))
		return false;
	list_each_safe(&registry->budgets, node, next) {
		struct endpoint_budget *budget = container_of(node, struct endpoint_budget, node);

		index_put(index, view_of(budget->upstream_name, budget->upstream_name_n), view_of_address(&budget->address), budget);
	}
	return true;
}

static struct endpoint_budget *budget_create(
	const struct config_upstream *upstream, const struct config_endpoint *endpoint, atomic_uint *changes)
{
	struct weir_pool_config settings = endpoint_settings(upstream);
	struct endpoint_budget *budget = line_calloc(sizeof(*budget) + upstream->name.n);

	if (budget == NULL)
		return NULL;
	budget->pool_budget = weir_pool_budget_create(settings.connections_max, settings.overflow_max, endpoint_notify);
	if (budget->pool_budget == NULL) {
		free(budget);
		return NULL;
	}
	budget->changes = changes;
	shared_breaker_init(&budget->breaker);
	budget->address = endpoint->address;
	budget->upstream_name_n = upstream->name.n;
	memcpy(budget->upstream_name, upstream->name.p, upstream->name.n);
	concurrency_configure(budget, upstream);
	return budget;
}

/* The endpoint's, with one reference more. NULL: out of memory. */
static struct endpoint_budget *budget_claim(struct budget_registry *registry, const struct index *known,
	const struct config_upstream *upstream, const struct config_endpoint *endpoint)
{
	const struct indexed *found = index_find(known, upstream->name, view_of_address(&endpoint->address));
	struct endpoint_budget *budget = found != NULL ? found->thing : NULL;

	if (budget == NULL) {
		budget = budget_create(upstream, endpoint, &registry->changes);
		if (budget == NULL)
			return NULL;
		list_push_back(&registry->budgets, &budget->node);
	}
	return endpoint_budget_ref(budget);
}

/* Returns how many there are: fewer than the configuration has, memory is out. */
static size_t budgets_fill(
	struct endpoint_budget **budgets, struct budget_registry *registry, const struct index *known, const struct config *config)
{
	size_t at = 0;

	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		for (size_t j = 0; j < u->endpoint_count; j++) {
			budgets[at] = budget_claim(registry, known, u, &u->endpoints[j]);
			if (budgets[at] == NULL)
				return at;
			at++;
		}
	}
	return at;
}

struct endpoint_budget **budgets_claim(struct budget_registry *registry, const struct config *config)
{
	size_t count = config_endpoint_count(config), filled = 0;
	struct endpoint_budget **budgets = calloc(count + 1, sizeof(struct endpoint_budget *));
	struct index known = {0};

	registry_sweep(registry);
	bool good = budgets != NULL && registry_index(registry, &known);

	if (good)
		filled = budgets_fill(budgets, registry, &known, config);
	index_release(&known);
	if (good && filled == count)
		return budgets;
	budgets_drop(budgets, filled);
	return NULL;
}

void budgets_resize(struct endpoint_budget *const *budgets, const struct config *config)
{
	for (size_t i = 0; i < config->upstream_count; i++)
		for (size_t j = 0; j < config->upstreams[i].endpoint_count; j++, budgets++)
			concurrency_configure(*budgets, &config->upstreams[i]);
}

void budgets_drop(struct endpoint_budget **budgets, size_t count)
{
	if (budgets == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		endpoint_budget_unref(budgets[i]);
	free(budgets);
}
