/*
 * See generation.h.
 *
 * A listener is its name, for as long as the process lives: its count of connections stands in `shared`, where workers find
 * it when they are created. Listeners that a later generation adds are not opened, so they need none.
 */
#include "gateway/generation.h"

#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "gateway/state.h"

struct shared *shared_create(const struct filter_ops *const *filters)
{
	struct shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->filters = filters;
	budgets_init(&s->budgets);
	return s;
}

void shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	budgets_release(&s->budgets);
	free(s->connections);
	free(s);
}

/* Only the first generation's listeners are opened. */
static bool connections_create(struct shared *s, const struct config *config)
{
	if (s->connections == NULL)
		s->connections = calloc(config->listener_count, sizeof(*s->connections));
	return s->connections != NULL;
}

struct generation *generation_create(struct shared *shared, const struct config *config)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->router = router_create(config);
	g->budgets = budgets_claim(&shared->budgets, config);
	if (g->router == NULL || g->budgets == NULL || !connections_create(shared, config)) {
		router_free(g->router);
		budgets_drop(g->budgets, config_endpoint_count(config));
		free(g);
		return NULL;
	}
	budgets_resize(g->budgets, config);
	g->config = config;
	g->number = ++shared->generations;
	atomic_init(&g->references, 1);
	return g;
}

struct generation *generation_ref(struct generation *g)
{
	atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
	return g;
}

void generation_unref(struct generation *g)
{
	if (g == NULL || atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1)
		return;
	router_free(g->router);
	budgets_drop(g->budgets, config_endpoint_count(g->config));
	config_free(g->config);
	free(g);
}
