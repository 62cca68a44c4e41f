/*
 * Routes that no request can reach.
 *
 * The router prefers the more specific host and path, and with these equal takes the first route whose methods hold. So
 * a route is out of reach when an earlier one has the same host and path, and all its methods. Routes with methods come
 * before those without.
 */
#include <stdlib.h>

#include "config/config.h"
#include "config/read.h"

struct reach {
	const struct config_route *route;
	const struct node *at;
};

static int view_compare(struct view a, struct view b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return a.n > 0 ? memcmp(a.p, b.p, a.n) : 0;
}

int config_match_compare(const struct config_route *a, const struct config_route *b)
{
	if (a->host_match != b->host_match)
		return a->host_match < b->host_match ? -1 : 1;
	if (a->path_match != b->path_match)
		return a->path_match < b->path_match ? -1 : 1;
	int order = view_compare(a->host, b->host);
	return order != 0 ? order : view_compare(a->path, b->path);
}

static int reach_compare(const void *x, const void *y)
{
	const struct config_route *a = ((const struct reach *)x)->route, *b = ((const struct reach *)y)->route;
	int order = config_match_compare(a, b);

	return order != 0 ? order : a->index < b->index ? -1 : 1;
}

static bool has_method(const struct config_route *route, struct view method)
{
	for (size_t i = 0; i < route->other_method_count; i++)
		if (view_eq(route->other_methods[i], method))
			return true;
	return false;
}

/* Whether all methods of `b` are methods of `a`; none at all means every method, and counts for itself. */
static bool methods_cover(const struct config_route *a, const struct config_route *b)
{
	if (a->methods == 0 || b->methods == 0)
		return a->methods == b->methods;
	for (size_t i = 0; i < b->other_method_count; i++)
		if (!has_method(a, b->other_methods[i]))
			return false;
	return (b->methods & ~a->methods) == 0;
}

/* The entries of [first, at) have the same host and path as `at`. */
static void reach_check(struct load *l, const struct reach *first, const struct reach *at)
{
	struct quoted q;

	for (; first < at; first++) {
		if (!methods_cover(first->route, at->route))
			continue;
		complain(l, at->at,
			"no request can reach this route: %s at line %u has the same host and path, and takes all "
			"its methods; take one of them out",
			quote(&q, first->route->name), first->at->line);
		return;
	}
}

void routes_check(struct load *l, const struct node *list)
{
	const struct config *c = l->config;
	struct reach *all = arena_alloc(l->scratch, c->route_count * sizeof(*all));
	size_t n = 0;

	if (all == NULL) {
		l->exhausted = true;
		return;
	}
	node_each(list, child) {
		const struct node *match = node_find(child, VIEW("match"));
		/* What was complained about says nothing yet. */
		if (child->kind == NODE_MAP && (match == NULL || (match->kind == NODE_MAP && !match->troubled)))
			all[n++] = (struct reach){&c->routes[child->index], child};
	}
	qsort(all, n, sizeof(*all), reach_compare);
	for (size_t i = 0, first = 0; i < n; i++) {
		if (config_match_compare(all[first].route, all[i].route) != 0)
			first = i;
		reach_check(l, &all[first], &all[i]);
	}
}
