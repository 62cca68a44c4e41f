/* See snapshot.h. */
#include "control/snapshot.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/finder.h"

struct snapshot *snapshot_create(const struct config *config)
{
	size_t count = config_endpoint_count(config);
	size_t exemplar_count = config->tracing.enabled ? config->route_count : 0;
	struct snapshot *s =
		calloc(1, sizeof(*s) + count * sizeof(s->endpoints[0]) + config->route_count * sizeof(s->routes[0]) +
				  config->listener_count * sizeof(s->listeners[0]) + exemplar_count * sizeof(s->exemplars[0]));

	if (s == NULL)
		return NULL;
	s->endpoint_count = count;
	s->route_count = config->route_count;
	s->routes = (struct time_book *)(s->endpoints + count);
	s->listener_count = config->listener_count;
	s->listeners = (struct listener_stats *)(s->routes + s->route_count);
	if (exemplar_count > 0)
		s->exemplars = (struct time_exemplars *)(void *)(s->listeners + s->listener_count);
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (s == NULL)
		return;
	generation_unref(s->generation);
	generation_unref(s->in_force);
	free(s);
}

void snapshot_fit(struct snapshot **s, struct generation *generation)
{
	struct snapshot *fitting;

	if ((*s)->generation == generation)
		return;
	fitting = snapshot_create(generation->config);
	if (fitting == NULL)
		return;
	fitting->generation = generation_ref(generation);
	fitting->oldest = (*s)->oldest;
	fitting->in_force = (*s)->in_force;
	(*s)->in_force = NULL;
	snapshot_free(*s);
	*s = fitting;
}

void snapshot_clear(struct snapshot *s)
{
	memset(&s->worker, 0, sizeof(s->worker));
	memset(s->endpoints, 0, s->endpoint_count * sizeof(s->endpoints[0]));
	memset(s->routes, 0, s->route_count * sizeof(s->routes[0]));
	memset(s->listeners, 0, s->listener_count * sizeof(s->listeners[0]));
	if (s->exemplars != NULL)
		memset(s->exemplars, 0, s->route_count * sizeof(s->exemplars[0]));
}

/* Of endpoints and routes, together: some tenths of a millisecond. */
enum { SLICE = 128 };

static size_t parts(const struct snapshot *s)
{
	return s->endpoint_count + s->route_count;
}

static void take_part(struct snapshot *to, struct worker *worker, size_t i)
{
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;

	if (i < to->endpoint_count) {
		upstreams_endpoint_stats(worker_upstreams(worker), i, &upstream, &endpoint, &to->endpoints[i]);
		return;
	}
	i -= to->endpoint_count;
	to->routes[i] = *worker_route_times(worker, i);
	if (to->exemplars != NULL)
		to->exemplars[i] = *worker_route_exemplars(worker, i);
}

/* All but endpoints and routes. */
static void begin_counters(struct snapshot **s, struct worker *worker)
{
	snapshot_fit(s, worker_generation(worker));

	struct snapshot *to = *s;

	to->thread = gettid();
	to->worker = *worker_stats(worker);
	to->worker.loop = *worker_loop_stats(worker);
	to->worker.cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
	/* Without memory for another generation the pools say what they said before. */
	to->taken = to->generation != worker_generation(worker) ? parts(to) : 0;
	for (size_t i = 0; to->taken == 0 && i < to->listener_count; i++)
		to->listeners[i] = worker_listener_stats(worker, i);
}

static void note_in_force(struct snapshot *s, struct generation *generation)
{
	if (s->in_force == generation)
		return;
	generation_unref(s->in_force);
	s->in_force = generation_ref(generation);
}

void snapshot_begin(struct snapshot **to, struct worker *worker, unsigned wants)
{
	(*to)->taken = parts(*to);
	note_in_force(*to, worker_generation(worker));
	if (wants & SNAPSHOT_COUNTERS)
		begin_counters(to, worker);
	oldest_clear(&(*to)->oldest);
	if (wants & SNAPSHOT_OLDEST)
		worker_oldest(worker, &(*to)->oldest);
	if (wants & SNAPSHOT_STUCK)
		worker_stuck(worker, &(*to)->oldest);
}

bool snapshot_go_on(struct snapshot **to, struct worker *worker)
{
	/* Another generation has come in between: its endpoints are others. */
	if ((*to)->taken < parts(*to) && (*to)->generation != worker_generation(worker))
		begin_counters(to, worker);
	for (int i = 0; i < SLICE && (*to)->taken < parts(*to); i++)
		take_part(*to, worker, (*to)->taken++);
	return (*to)->taken == parts(*to);
}

static void worker_stats_add(struct worker_stats *to, const struct worker_stats *from)
{
	_Static_assert(sizeof(*to) % sizeof(uint64_t) == 0, "only counters of 64 bits");
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		sum[i] += more[i];
}

size_t snapshot_find_listener(const struct config *config, const struct address *address)
{
	const struct config_listener *listener = config_listener_at(config, address);

	return listener != NULL ? (size_t)(listener - config->listeners) : SIZE_MAX;
}

/* While a reload is under way, workers may be of different generations: what both have is found by name. */
static void endpoints_add_by_name(struct snapshot *to, const struct snapshot *from)
{
	const struct config *config = to->generation->config;
	const struct finder *finder = from->generation->finder;
	struct upstream_endpoint_stats *stats = to->endpoints;

	for (size_t i = 0; i < config->upstream_count; i++)
		for (size_t j = 0; j < config->upstreams[i].endpoint_count; j++, stats++) {
			size_t at = finder_endpoint(finder, config->upstreams[i].name, &config->upstreams[i].endpoints[j]);

			if (at != SIZE_MAX)
				upstream_endpoint_stats_add(stats, &from->endpoints[at]);
		}
}

static void route_add(struct snapshot *to, size_t i, const struct snapshot *from, size_t at)
{
	time_book_add(&to->routes[i], &from->routes[at]);
	if (to->exemplars != NULL && from->exemplars != NULL)
		time_exemplars_add(&to->exemplars[i], &from->exemplars[at]);
}

static void routes_add_by_name(struct snapshot *to, const struct snapshot *from)
{
	const struct config *config = to->generation->config;

	for (size_t i = 0; i < config->route_count; i++) {
		size_t at = finder_route(from->generation->finder, config->routes[i].name);

		if (at != SIZE_MAX)
			route_add(to, i, from, at);
	}
}

/* Each worker tells of all: one is not told of a little later than another. */
static void listeners_tell(struct snapshot *to, const struct snapshot *from)
{
	bool same = to->generation == from->generation || to->generation == NULL || from->generation == NULL;

	for (size_t i = 0; i < to->listener_count; i++) {
		size_t at = same ? i : snapshot_find_listener(from->generation->config, &to->generation->config->listeners[i].address);

		if (at < from->listener_count)
			to->listeners[i] = from->listeners[at];
	}
}

void snapshot_add(struct snapshot *to, const struct snapshot *from)
{
	worker_stats_add(&to->worker, &from->worker);
	listeners_tell(to, from);
	if (to->generation != from->generation && to->generation != NULL && from->generation != NULL) {
		endpoints_add_by_name(to, from);
		routes_add_by_name(to, from);
		return;
	}
	for (size_t i = 0; i < to->endpoint_count && i < from->endpoint_count; i++)
		upstream_endpoint_stats_add(&to->endpoints[i], &from->endpoints[i]);
	for (size_t i = 0; i < to->route_count && i < from->route_count; i++)
		route_add(to, i, from, i);
}
