/*
 * See generation.h.
 */
#include "gateway/generation.h"

#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "config/finder.h"
#include "gateway/breakers.h"
#include "gateway/listener_books.h"
#include "gateway/state.h"
#include "io/inherited.h"

struct shared *shared_create(const struct filter_ops *const *filters)
{
	struct shared *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->filters = filters;
	s->workers = 1;
	budgets_init(&s->budgets);
	list_init(&s->breakers);
	list_init(&s->times);
	list_init(&s->listeners);
	limits_init(&s->limits);
	return s;
}

void shared_free(struct shared *s)
{
	if (s == NULL)
		return;
	shared_sweep(s);
	budgets_release(&s->budgets);
	route_breakers_sweep(&s->breakers);
	route_times_sweep(&s->times);
	listener_books_sweep(&s->listeners);
	limits_release(&s->limits);
	tls_set_unref(s->tls);
	tls_tickets_free(s->tickets);
	tls_libraries_free(s->libraries);
	free(s->pressure.cells);
	client_caps_free(s->caps);
	free(s);
}

void shared_set_workers(struct shared *s, unsigned workers)
{
	s->workers = workers;
}

void shared_set_secret(struct shared *s, const unsigned char secret[16])
{
	_Static_assert(sizeof(s->limits.secret) == 16, "all of it");
	memcpy(&s->limits.secret, secret, 16);
	/* Nothing of the secret itself: the hash that it goes into is a weak one. */
	s->seed = siphash(s->limits.secret, VIEW("connections by client"));
}

bool shared_set_machine(struct shared *s, const struct config_machine *machine, size_t files_beside)
{
	struct pressure *p = &s->pressure;

	p->cells = calloc(s->workers, sizeof(*p->cells));
	if (p->cells == NULL)
		return false;
	p->machine = *machine;
	p->files_beside = files_beside;
	p->workers = s->workers;
	return true;
}

void shared_set_inherited(struct shared *s, struct inherited *inherited)
{
	s->inherited = inherited;
}

void shared_rotate_tickets(struct shared *s)
{
	if (s->tickets != NULL)
		tls_tickets_rotate(s->tickets);
}

bool shared_write_tickets(const struct shared *s, struct tls_ticket_keys *keys)
{
	const struct tls_tickets *tickets = s->tickets;

	if (tickets != NULL)
		tls_tickets_write(tickets, keys);
	return tickets != NULL;
}

bool shared_adopt_tickets(struct shared *s, const struct tls_ticket_keys *keys)
{
	return s->tickets != NULL && tls_tickets_adopt(s->tickets, keys);
}

/* Parsing certificates takes time, so other addresses of the same endpoints need no new contexts. False: out of memory. */
static bool tls_create(struct generation *g, struct shared *s, const struct config *config)
{
	if (!tls_is_used(config))
		return true;
	if (s->tickets == NULL)
		s->tickets = tls_tickets_create();
	if (s->libraries == NULL)
		s->libraries = tls_libraries_create(s->workers);
	if (s->tickets == NULL || s->libraries == NULL)
		return false;
	if (s->tls != NULL && tls_set_serves(s->tls, config)) {
		g->tls = tls_set_ref(s->tls);
		return true;
	}
	g->tls = tls_set_create(config, s->libraries, s->tickets);
	if (g->tls == NULL)
		return false;
	tls_set_unref(s->tls);
	s->tls = tls_set_ref(g->tls);
	return true;
}

/* Made with the first generation that counts by client; the workers see it with that one, or with a later one. */
static bool caps_create(struct shared *s, const struct config *config)
{
	size_t connections = 0;
	bool wanted = false;

	for (size_t i = 0; i < config->listener_count; i++) {
		connections += config->listeners[i].limits.connections;
		wanted |= config->listeners[i].limits.connections_per_client > 0;
	}
	if (wanted && s->caps == NULL)
		s->caps = client_caps_create(connections, s->seed);
	return !wanted || s->caps != NULL;
}

struct generation *generation_create(struct shared *shared, const struct config *config)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->shared = shared;
	g->router = router_create(config);
	g->finder = finder_create(config);
	g->budgets = budgets_claim(&shared->budgets, config);
	route_breakers_sweep(&shared->breakers);
	g->breakers = route_breakers_claim(&shared->breakers, config, shared->workers);
	route_times_sweep(&shared->times);
	g->times = route_times_claim(&shared->times, config, shared->workers);
	g->books = g->times != NULL ? route_times_books(g->times, config->route_count, shared->workers) : NULL;
	listener_books_sweep(&shared->listeners);
	g->listeners = listener_books_claim(&shared->listeners, config);
	g->limits = limits_claim(&shared->limits, config);
	if (g->router == NULL || g->finder == NULL || g->budgets == NULL || g->breakers == NULL || g->books == NULL || g->limits == NULL ||
		g->listeners == NULL || !caps_create(shared, config) || !tls_create(g, shared, config)) {
		router_free(g->router);
		finder_free(g->finder);
		budgets_drop(g->budgets, config_endpoint_count(config));
		route_breakers_drop(g->breakers, config->route_count);
		route_times_drop(g->times, config->route_count);
		free(g->books);
		listener_books_drop(g->listeners, config->listener_count);
		limits_drop(g->limits, config->rate_limit_count);
		free(g);
		return NULL;
	}
	budgets_resize(g->budgets, config);
	g->config = config;
	g->number = ++shared->generations;
	atomic_init(&g->references, 1);
	return g;
}

void generation_bind(struct generation *g, struct inherited *bound)
{
	g->bound = bound;
}

struct generation *generation_ref(struct generation *g)
{
	atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
	return g;
}

static void generation_free(struct generation *g)
{
	router_free(g->router);
	finder_free(g->finder);
	budgets_drop(g->budgets, config_endpoint_count(g->config));
	route_breakers_drop(g->breakers, g->config->route_count);
	route_times_drop(g->times, g->config->route_count);
	free(g->books);
	listener_books_drop(g->listeners, g->config->listener_count);
	for (unsigned i = 0; g->bound != NULL && i < g->shared->workers; i++)
		inherited_release(&g->bound[i]);
	free(g->bound);
	limits_drop(g->limits, g->config->rate_limit_count);
	tls_set_unref(g->tls);
	config_free(g->config);
	free(g);
}

void shared_on_unused(struct shared *s, void (*on_unused)(void *context), void *context)
{
	s->on_unused = on_unused;
	s->on_unused_context = context;
}

void shared_sweep(struct shared *s)
{
	struct generation *g = atomic_exchange_explicit(&s->unused, NULL, memory_order_acquire);

	for (struct generation *next; g != NULL; g = next) {
		next = g->next_unused;
		generation_free(g);
	}
}

/* Whoever is the last stays as short as others: it may be a worker, which has no time to free a hundred thousand pieces. */
void generation_unref(struct generation *g)
{
	if (g == NULL || atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1)
		return;
	struct shared *s = g->shared;

	g->next_unused = atomic_load_explicit(&s->unused, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(
		&s->unused, &g->next_unused, g, memory_order_release, memory_order_relaxed))
		;
	if (s->on_unused != NULL)
		s->on_unused(s->on_unused_context);
}
