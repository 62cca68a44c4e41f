/*
 * See budgets.h. A budget is looked for from behind the one that was found last: as long as a file keeps its order, each
 * is found at the first look, however many there are.
 */
#include "upstream/budgets.h"

#include <stdlib.h>

#include "base/check.h"
#include "upstream/endpoint.h"

void budgets_init(struct budget_registry *registry)
{
	list_init(&registry->budgets);
	atomic_init(&registry->changes, 0);
	registry->found_last = &registry->budgets.head;
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
	registry->found_last = &registry->budgets.head;
}

void budgets_release(struct budget_registry *registry)
{
	registry_sweep(registry);
	CHECK(list_empty(&registry->budgets));
}

static bool budget_is_of(const struct endpoint_budget *budget, const struct config_upstream *upstream,
	const struct config_endpoint *endpoint)
{
	return view_eq(view_of(budget->upstream_name, budget->upstream_name_n), upstream->name) &&
	       address_eq(&budget->address, &endpoint->address);
}

static struct endpoint_budget *registry_find(struct budget_registry *registry, const struct config_upstream *upstream,
	const struct config_endpoint *endpoint)
{
	struct list_node *begin = registry->found_last, *node = begin;

	do {
		node = node->next;
		if (node == &registry->budgets.head)
			continue;
		struct endpoint_budget *budget = container_of(node, struct endpoint_budget, node);

		if (budget_is_of(budget, upstream, endpoint)) {
			registry->found_last = node;
			return budget;
		}
	} while (node != begin);
	return NULL;
}

static struct endpoint_budget *budget_create(
	const struct config_upstream *upstream, const struct config_endpoint *endpoint, atomic_uint *changes)
{
	struct weir_pool_config settings = endpoint_settings(upstream);
	struct endpoint_budget *budget = calloc(1, sizeof(*budget) + upstream->name.n);

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

struct endpoint_budget **budgets_claim(struct budget_registry *registry, const struct config *config)
{
	size_t count = config_endpoint_count(config), at = 0;
	struct endpoint_budget **budgets = calloc(count + 1, sizeof(struct endpoint_budget *));
	struct list made;

	registry_sweep(registry);
	list_init(&made);
	for (size_t i = 0; budgets != NULL && i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		for (size_t j = 0; j < u->endpoint_count; j++) {
			struct endpoint_budget *budget = registry_find(registry, u, &u->endpoints[j]);

			if (budget == NULL && (budget = budget_create(u, &u->endpoints[j], &registry->changes)) != NULL)
				list_push_back(&made, &budget->node);
			if (budget == NULL)
				goto fail;
			budgets[at++] = endpoint_budget_ref(budget);
		}
	}
	list_splice_back(&registry->budgets, &made);
	return budgets;
fail:
	list_splice_back(&registry->budgets, &made);
	budgets_drop(budgets, at);
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
