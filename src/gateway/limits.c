/*
 * See limits.h.
 *
 * A limit is the same one after a reload when all that decides what it counts is: the route by name, which of its limits it is, the
 * rule, and what keys are made of. What clients are told of it may change.
 */
#include "gateway/limits.h"

#include <stdlib.h>

#include "base/arena.h"

enum { IDENTITY_FIRST_BYTES = 1024, IDENTITY_MORE_BYTES = 65536 };

/* p == NULL: out of memory. */
static struct view identity_of(
	struct arena *arena, const struct config_route *route, const struct config_rate_limit *limit)
{
	const struct limit_rule *rule = &limit->rule;
	struct view text = arena_printf(arena, "%.*s %u: %d %u/%llu %u %llu; %u %u %u %d", (int)route->name.n,
		route->name.p, limit->position, rule->kind, rule->count, (unsigned long long)rule->period_us,
		rule->burst, (unsigned long long)rule->delay_max_us, limit->keys_max, limit->ipv4_prefix,
		limit->ipv6_prefix, limit->missing);

	for (size_t i = 0; i < limit->key_count && text.p != NULL; i++)
		text = arena_printf(arena, "%.*s %d:%.*s", (int)text.n, text.p, limit->keys[i].kind,
			(int)limit->keys[i].name.n, limit->keys[i].name.p != NULL ? limit->keys[i].name.p : "");
	return text;
}

static struct limit *claim(struct limit_registry *registry, const struct index *known, const struct config_route *route,
	const struct config_rate_limit *config)
{
	char first[IDENTITY_FIRST_BYTES];
	struct arena arena;
	struct limit *limit = NULL;

	arena_init(&arena, first, sizeof(first), IDENTITY_MORE_BYTES);

	struct view identity = identity_of(&arena, route, config);

	if (identity.p != NULL)
		limit = limit_claim(registry, known, identity, &config->rule, config->keys_max);
	arena_release(&arena);
	return limit;
}

/* Those of one route. False: out of memory. */
static bool claim_route(
	struct limit **limits, struct limit_registry *registry, const struct index *known, const struct config_route *route)
{
	for (size_t i = 0; i < route->filter_count; i++) {
		const struct config_rate_limit *limit = &route->filters[i].u.rate_limit;

		if (route->filters[i].kind != CONFIG_FILTER_RATE_LIMIT)
			continue;
		limits[limit->index] = claim(registry, known, route, limit);
		if (limits[limit->index] == NULL)
			return false;
	}
	return true;
}

struct limit **limits_claim(struct limit_registry *registry, const struct config *config)
{
	struct limit **limits = calloc((size_t)config->rate_limit_count + 1, sizeof(struct limit *));
	struct index known = {0};

	limits_sweep(registry);
	bool good = limits != NULL && limits_index(registry, &known);

	for (size_t i = 0; i < config->route_count && good; i++)
		good = claim_route(limits, registry, &known, &config->routes[i]);
	index_release(&known);
	if (good)
		return limits;
	limits_drop(limits, config->rate_limit_count);
	return NULL;
}

void limits_drop(struct limit **limits, size_t count)
{
	for (size_t i = 0; limits != NULL && i < count; i++)
		if (limits[i] != NULL)
			limit_unref(limits[i]);
	free(limits);
}
