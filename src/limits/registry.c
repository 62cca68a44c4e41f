/* See registry.h. */
#include "limits/registry.h"

#include <stdlib.h>

#include "base/check.h"

void limits_init(struct limit_registry *registry)
{
	*registry = (struct limit_registry){0};
	list_init(&registry->limits);
}

void limits_sweep(struct limit_registry *registry)
{
	list_each_safe(&registry->limits, node, next) {
		struct limit *limit = container_of(node, struct limit, node);

		if (atomic_load_explicit(&limit->references, memory_order_acquire) != 0)
			continue;
		list_remove(node);
		limit_store_free(limit->store);
		free(limit);
	}
}

void limits_release(struct limit_registry *registry)
{
	limits_sweep(registry);
	CHECK(list_empty(&registry->limits));
}

bool limits_index(const struct limit_registry *registry, struct index *index)
{
	if (!index_init(index, list_count(&registry->limits)))
		return false;
	list_each_safe(&registry->limits, node, next) {
		struct limit *limit = container_of(node, struct limit, node);

		index_put(index, view_of(limit->identity, limit->identity_n), VIEW(""), limit);
	}
	return true;
}

static struct limit *limit_create(
	const struct limit_registry *registry, struct view identity, const struct limit_rule *rule, size_t keys_max)
{
	struct limit *limit = calloc(1, sizeof(*limit) + identity.n);

	if (limit == NULL)
		return NULL;
	limit->store = limit_store_create(rule, keys_max);
	if (limit->store == NULL) {
		free(limit);
		return NULL;
	}
	limit->secret = registry->secret;
	limit->identity_n = identity.n;
	memcpy(limit->identity, identity.p, identity.n);
	return limit;
}

struct limit *limit_claim(struct limit_registry *registry, const struct index *known, struct view identity,
	const struct limit_rule *rule, size_t keys_max)
{
	const struct indexed *found = index_find(known, identity, VIEW(""));
	struct limit *limit = found != NULL ? found->thing : NULL;

	if (limit == NULL) {
		limit = limit_create(registry, identity, rule, keys_max);
		if (limit == NULL)
			return NULL;
		list_push_back(&registry->limits, &limit->node);
	}
	atomic_fetch_add_explicit(&limit->references, 1, memory_order_relaxed);
	return limit;
}
