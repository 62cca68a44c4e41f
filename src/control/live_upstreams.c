/* See live.h: endpoints, rate limits and breakers as a frame tells of them. */
#include "control/live.h"
#include "control/told.h"
#include "gateway/breakers.h"
#include "gateway/generation.h"
#include "limits/registry.h"
#include "upstream/budgets.h"
#include "upstream/limiter.h"

static const struct config *config_of(const struct live_scene *scene)
{
	return window_sample(scene->window, 0)->generation->config;
}

/* Between the two newest samples. */
static double rate(const struct live_scene *scene, uint64_t before, uint64_t now)
{
	return live_rate(live_moved(before, now),
		live_moved(window_sample(scene->window, 1)->at_us, window_sample(scene->window, 0)->at_us));
}

static json_t *text_of(struct view text)
{
	return json_stringn_nocheck(text.p, text.n);
}

/* --- endpoints ---------------------------------------------------------------------------------------------------- */

static const char *const states[] = {[HEALTH_HEALTHY] = "in_service",
	[HEALTH_UNHEALTHY] = "unhealthy",
	[HEALTH_EJECTED] = "ejected",
	[HEALTH_PROBATION] = "probation"};

static const char *state_of(
	const struct endpoint_budget *budget, uint32_t weight, const struct upstream_endpoint_stats *stats)
{
	if (endpoint_budget_out(budget) & OUT_DISABLED)
		return "disabled";
	if (stats->panic != 0)
		return "panic";
	if (stats->health_state == HEALTH_HEALTHY && stats->breaker_state != 0)
		return "breaker_open";
	if (stats->health_state == HEALTH_HEALTHY && weight == 0)
		return "draining";
	return states[stats->health_state];
}

static uint64_t refused(const struct window_endpoint *e)
{
	return e->queue_full + e->shed + e->timed_out + e->open_failed;
}

static json_t *first_byte_of(const struct window_endpoint *before, const struct window_endpoint *now)
{
	uint64_t answers = live_moved(before->answers, now->answers),
		 us = live_moved(before->latency_us, now->latency_us);

	return answers > 0 ? json_integer((json_int_t)(us / answers)) : json_null();
}

static json_t *limit_of(const struct config_upstream *upstream, const struct upstream_endpoint_stats *stats)
{
	bool has = upstream->concurrency != CONFIG_CONCURRENCY_OFF && stats->concurrency.told;

	return has ? json_integer((json_int_t)stats->concurrency.limit) : json_null();
}

/* Places: connections of HTTP/1, streams of HTTP/2. */
static uint64_t places_of(const struct config_upstream *upstream)
{
	uint64_t streams = upstream->protocol == CONFIG_PROTOCOL_H2 ? upstream->pool.max_streams : 1;

	return upstream->pool.max_connections * streams;
}

static json_t *endpoint_of(const struct live_scene *scene, const struct config_upstream *upstream,
	const struct config_endpoint *endpoint, size_t at)
{
	const struct upstream_endpoint_stats *stats = &scene->window->sum->endpoints[at];
	const struct window_endpoint *now = &window_sample(scene->window, 0)->endpoints[at];
	const struct window_endpoint *was = &window_sample(scene->window, 1)->endpoints[at];
	const struct endpoint_budget *budget = window_sample(scene->window, 0)->generation->budgets[at];
	uint32_t weight = endpoint_budget_weight(budget, endpoint->weight);
	const struct weir_pool_stats *pool = &stats->pool;

	return json_pack("{s:o, s:s, s:s, s:I, s:f, s:f, s:f, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:s}", "address",
		text_of(endpoint->address_text), "state", state_of(budget, weight, stats), "reason",
		health_reason_word((enum health_reason)stats->health_reason), "weight", (json_int_t)weight, "requests_per_s",
		rate(scene, was->delivered, now->delivered), "refused_per_s", rate(scene, refused(was), refused(now)),
		"opened_per_s", rate(scene, was->opened, now->opened), "first_byte_us", first_byte_of(was, now),
		"leased", (json_int_t)pool->leased, "idle", (json_int_t)pool->idle, "connecting",
		(json_int_t)(pool->connecting + pool->checking), "max", (json_int_t)places_of(upstream), "waiting",
		(json_int_t)pool->waiting, "limit", limit_of(upstream, stats), "limit_reason",
		limiter_reason_word((enum limiter_reason)stats->concurrency.reason));
}

static json_t *upstream_of(const struct live_scene *scene, const struct config_upstream *upstream, size_t at)
{
	json_t *endpoints = json_array();

	for (size_t i = 0; i < upstream->endpoint_count && at + i < LIVE_ROWS_MAX; i++)
		endpoints = list_with(endpoints, endpoint_of(scene, upstream, &upstream->endpoints[i], at + i));
	return json_pack("{s:o, s:o}", "name", text_of(upstream->name), "endpoints", endpoints);
}

json_t *live_upstreams(const struct live_scene *scene, size_t *left_out)
{
	const struct config *config = config_of(scene);
	json_t *array = json_array();
	size_t at = 0;

	for (size_t i = 0; i < config->upstream_count; at += config->upstreams[i++].endpoint_count)
		if (at < LIVE_ROWS_MAX)
			array = list_with(array, upstream_of(scene, &config->upstreams[i], at));
	*left_out = at > LIVE_ROWS_MAX ? at - LIVE_ROWS_MAX : 0;
	return array;
}

/* --- rate limits, breakers ---------------------------------------------------------------------------------------- */

static json_t *limit_row(
	const struct live_scene *scene, const struct config_route *route, const struct config_rate_limit *limit)
{
	const struct window_sample *before = window_sample(scene->window, 1), *now = window_sample(scene->window, 0);
	const uint64_t *was = before->limits[limit->index], *is = now->limits[limit->index];
	struct limit_store_stats stats;

	limit_store_stats(now->generation->limits[limit->index]->store, &stats);
	return json_pack("{s:o, s:f, s:f, s:I, s:I}", "name",
		json_sprintf("%.*s / %.*s", (int)route->name.n, route->name.p, (int)limit->name.n, limit->name.p),
		"allowed_per_s", rate(scene, was[LIMIT_PASSES] + was[LIMIT_WAITS], is[LIMIT_PASSES] + is[LIMIT_WAITS]),
		"refused_per_s",
		rate(scene, was[LIMIT_REFUSED] + was[LIMIT_NO_ROOM], is[LIMIT_REFUSED] + is[LIMIT_NO_ROOM]), "keys",
		(json_int_t)stats.keys, "keys_max", (json_int_t)stats.keys_max);
}

json_t *live_limits(const struct live_scene *scene)
{
	const struct config *config = config_of(scene);
	json_t *array = json_array();

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		for (size_t j = 0; j < route->filter_count; j++)
			if (route->filters[j].kind == CONFIG_FILTER_RATE_LIMIT &&
				json_array_size(array) < LIVE_ROWS_MAX)
				array = list_with(array, limit_row(scene, route, &route->filters[j].u.rate_limit));
	}
	return array;
}

static json_t *breaker_row(const char *scope, struct view name, uint64_t state, uint64_t opened)
{
	return json_pack("{s:s, s:o, s:s, s:I}", "scope", scope, "name", text_of(name), "state", breaker_word(state), "opened",
		(json_int_t)opened);
}

static json_t *route_breakers(const struct generation *generation, json_t *array)
{
	for (size_t i = 0; i < generation->config->route_count; i++) {
		struct breaker breaker;

		if (!generation->config->routes[i].breaker.enabled || json_array_size(array) >= LIVE_ROWS_MAX)
			continue;
		shared_breaker_look(&generation->breakers[i]->breaker, &breaker);
		array = list_with(array,
			breaker_row("route", generation->config->routes[i].name, breaker.state, breaker.opened_total));
	}
	return array;
}

json_t *live_breakers(const struct live_scene *scene)
{
	const struct config *config = config_of(scene);
	const struct upstream_endpoint_stats *stats = scene->window->sum->endpoints;
	json_t *array = route_breakers(window_sample(scene->window, 0)->generation, json_array());

	for (size_t i = 0; i < config->upstream_count; i++)
		for (size_t j = 0; j < config->upstreams[i].endpoint_count; j++, stats++)
			if (config->upstreams[i].breaker.enabled && json_array_size(array) < LIVE_ROWS_MAX)
				array = list_with(
					array, breaker_row("endpoint", config->upstreams[i].endpoints[j].address_text,
						       stats->breaker_state, stats->breaker_opened));
	return array;
}
