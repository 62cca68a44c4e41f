/* See window_sample.h. A sample and its arrays are one piece of memory. */
#include "control/window_sample.h"

#include <stdlib.h>

#include "config/finder.h"
#include "control/thread_stats.h"
#include "gateway/generation.h"
#include "limits/registry.h"

static size_t round_up(size_t bytes)
{
	return (bytes + 15) / 16 * 16;
}

/* Where the arrays stand behind the sample; `at` NULL: only how long it is. */
static size_t lay_out(struct window_sample *s, const struct config *config, unsigned workers)
{
	size_t endpoints = config_endpoint_count(config), at = round_up(sizeof(*s));
	size_t sizes[] = {workers * sizeof(*s->workers), endpoints * sizeof(*s->endpoints), config->route_count * sizeof(*s->routes),
		config->rate_limit_count * sizeof(*s->limits), config->listener_count * sizeof(*s->listeners)};
	size_t places[5];

	for (int i = 0; i < 5; i++) {
		places[i] = at;
		at += round_up(sizes[i]);
	}
	if (s == NULL)
		return at;
	s->worker_count = workers;
	s->endpoint_count = endpoints;
	s->route_count = config->route_count;
	s->limit_count = config->rate_limit_count;
	s->listener_count = config->listener_count;
	s->workers = (void *)((char *)s + places[0]);
	s->endpoints = (void *)((char *)s + places[1]);
	s->routes = (void *)((char *)s + places[2]);
	s->limits = (void *)((char *)s + places[3]);
	s->listeners = (void *)((char *)s + places[4]);
	return at;
}

size_t window_sample_bytes(const struct config *config, unsigned workers)
{
	return lay_out(NULL, config, workers);
}

struct window_sample *window_sample_create(struct generation *generation, unsigned workers)
{
	struct window_sample *s = calloc(1, lay_out(NULL, generation->config, workers));

	if (s == NULL)
		return NULL;
	lay_out(s, generation->config, workers);
	s->generation = generation_ref(generation);
	return s;
}

void window_sample_free(struct window_sample *s)
{
	if (s == NULL)
		return;
	generation_unref(s->generation);
	free(s);
}

struct window_sample *window_sample_anew(struct window_sample *s, struct generation *generation)
{
	unsigned workers = (unsigned)s->worker_count;
	size_t bytes = lay_out(NULL, generation->config, workers);

	if (bytes != lay_out(NULL, s->generation->config, workers)) {
		window_sample_free(s);
		return window_sample_create(generation, workers);
	}
	generation_unref(s->generation);
	memset(s, 0, bytes);
	lay_out(s, generation->config, workers);
	s->generation = generation_ref(generation);
	return s;
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

static uint64_t sum_of(const uint64_t *counts, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

static void take_pool(struct window_endpoint *to, const struct weir_pool_stats *pool)
{
	to->delivered = pool->acquires[WEIR_POOL_DELIVERED];
	to->timed_out = pool->acquires[WEIR_POOL_TIMED_OUT];
	to->queue_full = pool->refusals[WEIR_POOL_QUEUE_FULL];
	to->shed = pool->refusals[WEIR_POOL_SHED] + pool->refusals[WEIR_POOL_LATE];
	to->asked = to->delivered + to->timed_out + to->queue_full + to->shed;
	to->opened = pool->opened;
	to->open_failed = pool->open_failed;
	to->used = sum_of(pool->use.buckets, WEIR_POOL_TIME_BUCKETS);
	to->used_us = pool->use.sum_us;
	to->leased = pool->leased;
	to->waiting = pool->waiting;
	to->connecting = pool->connecting;
}

static void take_endpoint(struct window_endpoint *to, const struct upstream_endpoint_stats *from)
{
	take_pool(to, &from->pool);
	to->sessions_opened = from->sessions_opened;
	to->ports_exhausted = from->ports_exhausted;
	to->files_exhausted = from->open_failed[CAUSE_FILES_EXHAUSTED] - from->ports_exhausted;
	to->tries = from->times.count;
	memcpy(to->phase_us, from->times.sum_us, sizeof(to->phase_us));
	to->connects = from->times.connects;
	to->answers = to->at_once = to->latency_us = 0;
	for (int i = 0; i < LOAD_LEVELS; i++) {
		to->answers += from->curve.levels[i].answers;
		to->at_once += from->curve.levels[i].at_once;
		to->latency_us += from->curve.levels[i].sum_us;
	}
	to->early = from->early;
	to->silent = from->silent;
	to->broken = from->broken;
	to->errors = from->errors;
	to->owed = (uint32_t)from->owed;
	to->owed_long = (uint32_t)from->owed_long;
	to->held_long = (uint32_t)from->held_long;
	to->limit = from->concurrency.limit;
	to->knee = from->concurrency.knee;
	to->base_us = from->concurrency.latency_us;
	to->parked = from->concurrency.parked;
	to->breaker_open = from->breaker_state != 0;
}

static void take_route(struct window_route *to, const struct time_book *from)
{
	to->count = from->count;
	memcpy(to->refused, from->refused, sizeof(to->refused));
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		to->phase_us[i] = from->phases[i].sum_us;
	memcpy(to->whole, from->whole, sizeof(to->whole));
}

static void take_limits(struct window_sample *s)
{
	struct limit *const *limits = s->generation->limits;

	for (size_t i = 0; i < s->limit_count && limits != NULL; i++) {
		struct limit_store_stats stats = {0};

		limit_store_stats(limits[i]->store, &stats);
		memcpy(s->limits[i], stats.answers, sizeof(s->limits[i]));
	}
}

static void take_workers(struct window_sample *s, const struct survey *survey)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		const struct worker_stats *stats = &survey_worker(survey, i)->worker;
		struct window_worker *w = &s->workers[i];

		w->heard = survey_heard(survey, i);
		w->requests = stats->exchanges_finished;
		w->connections = stats->connections_open;
		w->looks = sum_of(stats->shed.lag_counts, SHED_LAG_BUCKETS);
		w->lag_us = stats->shed.lag_sum_us;
		w->late_us = stats->shed.late_us;
		w->accounted = thread_stats_read(survey_worker(survey, i)->thread, &w->run_us, &w->ready_us);
	}
}

void window_sample_take(struct window_sample *s, const struct survey *survey, const struct snapshot *sum)
{
	s->at_us = io_now_us(survey->io);
	s->wall_us = io_wall_us(survey->io);
	process_stats_read(&s->process);
	s->worker = sum->worker;
	for (size_t i = 0; i < s->endpoint_count; i++)
		take_endpoint(&s->endpoints[i], &sum->endpoints[i]);
	for (size_t i = 0; i < s->route_count; i++)
		take_route(&s->routes[i], &sum->routes[i]);
	memcpy(s->listeners, sum->listeners, s->listener_count * sizeof(s->listeners[0]));
	take_limits(s);
	take_workers(s, survey);
}

/* --- moving ------------------------------------------------------------------------------------------------------- */

static void find_endpoints(struct window_moves *moves, const struct config *config, const struct finder *finder)
{
	size_t at = 0;

	for (size_t i = 0; i < config->upstream_count; i++)
		for (size_t j = 0; j < config->upstreams[i].endpoint_count; j++)
			moves->endpoints[at++] = finder_endpoint(finder, config->upstreams[i].name, &config->upstreams[i].endpoints[j]);
}

static size_t limits_of(const struct generation *generation)
{
	return generation->limits != NULL ? generation->config->rate_limit_count : 0;
}

static struct view limit_name(struct limit *const *limit)
{
	return view_of((const char *)limit, sizeof(*limit));
}

/* A limit is the same as long as it is of the same registry's entry. False: out of memory. */
static bool find_limits(struct window_moves *moves, const struct generation *to, const struct generation *from)
{
	struct index known;

	if (!index_init(&known, limits_of(from)))
		return false;
	for (size_t i = 0; i < limits_of(from); i++)
		index_put(&known, limit_name(&from->limits[i]), VIEW(""), NULL);
	for (size_t i = 0; i < limits_of(to); i++) {
		const struct indexed *found = index_find(&known, limit_name(&to->limits[i]), VIEW(""));

		moves->limits[i] = found != NULL ? found->place : SIZE_MAX;
	}
	index_release(&known);
	return true;
}

struct window_moves *window_moves_create(const struct generation *to, const struct generation *from)
{
	const struct config *config = to->config;
	size_t endpoints = config_endpoint_count(config);
	size_t count = endpoints + config->route_count + config->rate_limit_count;
	struct window_moves *moves = malloc(sizeof(*moves) + count * sizeof(size_t));

	if (moves == NULL)
		return NULL;
	moves->endpoints = (size_t *)(moves + 1);
	moves->routes = moves->endpoints + endpoints;
	moves->limits = moves->routes + config->route_count;
	find_endpoints(moves, config, from->finder);
	for (size_t i = 0; i < config->route_count; i++)
		moves->routes[i] = finder_route(from->finder, config->routes[i].name);
	if (find_limits(moves, to, from))
		return moves;
	free(moves);
	return NULL;
}

static void move_listeners(struct window_sample *to, const struct window_sample *from)
{
	const struct config *config = to->generation->config;

	for (size_t i = 0; i < config->listener_count; i++) {
		size_t before = snapshot_find_listener(from->generation->config, &config->listeners[i].address);

		if (before != SIZE_MAX)
			to->listeners[i] = from->listeners[before];
	}
}

void window_sample_move(struct window_sample *to, const struct window_sample *from, const struct window_moves *moves)
{
	to->at_us = from->at_us;
	to->worker = from->worker;
	to->wall_us = from->wall_us;
	to->process = from->process;
	memcpy(to->workers, from->workers, from->worker_count * sizeof(from->workers[0]));
	move_listeners(to, from);
	for (size_t i = 0; i < to->endpoint_count; i++)
		if (moves->endpoints[i] != SIZE_MAX)
			to->endpoints[i] = from->endpoints[moves->endpoints[i]];
	for (size_t i = 0; i < to->route_count; i++)
		if (moves->routes[i] != SIZE_MAX)
			to->routes[i] = from->routes[moves->routes[i]];
	for (size_t i = 0; i < limits_of(to->generation); i++)
		if (moves->limits[i] != SIZE_MAX)
			memcpy(to->limits[i], from->limits[moves->limits[i]], sizeof(to->limits[i]));
}
