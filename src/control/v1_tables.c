/*
 * What routes do, and what of each kind there is, a row each: pools, limits, breakers.
 *
 *     GET /v1/routes, /v1/pools, /v1/limits, /v1/breakers
 */
#include "base/time_book.h"
#include "control/told.h"
#include "gateway/breakers.h"
#include "limits/registry.h"

/* --- routes ------------------------------------------------------------------------------------------------------- */

static json_t *route_of(const struct told *told, size_t i)
{
	static const char *const actions[] = {
		[ACTION_UPSTREAM] = "upstream", [ACTION_RESPOND] = "respond", [ACTION_REDIRECT] = "redirect"};
	const struct config_route *r = &told->config->routes[i];
	const struct time_book *book = &told->sum->routes[i];
	const char *star = r->path_match == PATH_PREFIX ? "/*" : "";
	json_t *path = r->path_match == PATH_ANY ? json_null() : json_sprintf("%.*s%s", (int)r->path.n, r->path.p, star);
	json_t *host = r->host_match == HOST_ANY ? json_null()
					       : json_sprintf("%s%.*s", r->host_match == HOST_SUFFIX ? "*" : "", (int)r->host.n, r->host.p);

	return json_pack("{s:o, s:o, s:o, s:s, s:o, s:I, s:I, s:f}", "name", json_text_or_null(r->name), "host", host, "path",
		path, "action", actions[r->action], "upstream",
		json_text_or_null(r->action == ACTION_UPSTREAM ? r->upstream->name : VIEW("")), "filters",
		(json_int_t)r->filter_count, "requests", (json_int_t)book->count, "seconds",
		(double)time_book_sum_us(book) / 1e6);
}

void answer_routes(struct admin_conn *c)
{
	struct told told;

	if (!told_begin(&told, c))
		return;
	json_t *list = json_array();

	for (size_t i = 0; i < told.config->route_count; i++)
		list = list_with(list, route_of(&told, i));
	admin_answer_json(c, 200, json_pack("{s:o}", "routes", list));
}

/* --- of endpoints ------------------------------------------------------------------------------------------------- */

/* A row for each endpoint, in the configuration's order. */
static void answer_endpoints(struct admin_conn *c, const char *name,
	json_t *(*row)(const struct config_upstream *u, const struct config_endpoint *e, const struct upstream_endpoint_stats *s))
{
	struct told told;

	if (!told_begin(&told, c))
		return;
	const struct upstream_endpoint_stats *s = told.sum->endpoints;
	json_t *list = json_array();

	for (size_t i = 0; i < told.config->upstream_count; i++)
		for (size_t j = 0; j < told.config->upstreams[i].endpoint_count; j++, s++)
			list = list_with(list, row(&told.config->upstreams[i], &told.config->upstreams[i].endpoints[j], s));
	admin_answer_json(c, 200, json_pack("{s:o}", name, list));
}

static json_t *pool_of(const struct config_upstream *u, const struct config_endpoint *e, const struct upstream_endpoint_stats *s)
{
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "upstream", json_text(u->name), "endpoint",
		json_text(e->address_text), "leased", (json_int_t)s->pool.leased, "idle", (json_int_t)s->pool.idle,
		"connecting", (json_int_t)s->pool.connecting, "checking", (json_int_t)s->pool.checking, "closing",
		(json_int_t)s->pool.closing, "max_connections", (json_int_t)u->pool.max_connections, "waiting",
		(json_int_t)s->pool.waiting, "max_pending", (json_int_t)u->pool.max_pending, "opened",
		(json_int_t)s->pool.opened, "closed", (json_int_t)s->pool.closed);
}

void answer_pools(struct admin_conn *c)
{
	answer_endpoints(c, "pools", pool_of);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static json_t *rate_limit_of(const struct told *told, const struct config_route *route, const struct config_rate_limit *limit)
{
	struct limit_store_stats s = {0};

	limit_store_stats(told->generation->limits[limit->index]->store, &s);
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "route", json_text(route->name), "name", json_text(limit->name),
		"passed", (json_int_t)s.answers[LIMIT_PASSES], "delayed", (json_int_t)s.answers[LIMIT_WAITS], "refused",
		(json_int_t)(s.answers[LIMIT_REFUSED] + s.answers[LIMIT_NO_ROOM]), "keys", (json_int_t)s.keys, "keys_max",
		(json_int_t)s.keys_max, "evictions", (json_int_t)s.evictions);
}

static json_t *rate_limits_of(const struct told *told)
{
	json_t *list = json_array();

	for (size_t i = 0; i < told->config->route_count; i++) {
		const struct config_route *route = &told->config->routes[i];

		for (size_t j = 0; j < route->filter_count; j++)
			if (route->filters[j].kind == CONFIG_FILTER_RATE_LIMIT)
				list = list_with(list, rate_limit_of(told, route, &route->filters[j].u.rate_limit));
	}
	return list;
}

/* How many requests at once each endpoint gets, where that is learned or set. */
static json_t *concurrency_of(const struct told *told)
{
	const struct upstream_endpoint_stats *s = told->sum->endpoints;
	json_t *list = json_array();

	for (size_t i = 0; i < told->config->upstream_count; i++) {
		const struct config_upstream *u = &told->config->upstreams[i];

		for (size_t j = 0; j < u->endpoint_count; j++, s++)
			list = list_with(list,
				json_pack("{s:o, s:o, s:b, s:I, s:I, s:f, s:f, s:I}", "upstream", json_text(u->name), "endpoint",
					json_text(u->endpoints[j].address_text), "learned",
					u->concurrency == CONFIG_CONCURRENCY_AUTO, "limit",
					(json_int_t)s->concurrency.limit, "leased", (json_int_t)s->pool.leased, "knee",
					(double)s->concurrency.knee / 1e6, "latency_s",
					(double)s->concurrency.latency_us / 1e6, "parked",
					(json_int_t)s->concurrency.parked));
	}
	return list;
}

void answer_limits(struct admin_conn *c)
{
	struct told told;

	if (told_begin(&told, c))
		admin_answer_json(c, 200,
			json_pack("{s:o, s:o}", "rate_limits", rate_limits_of(&told), "concurrency", concurrency_of(&told)));
}

/* --- breakers ----------------------------------------------------------------------------------------------------- */

static json_t *route_breaker_of(const struct told *told, size_t i)
{
	struct breaker breaker = {0};

	shared_breaker_look(&told->generation->breakers[i]->breaker, &breaker);
	return json_pack("{s:o, s:n, s:n, s:s, s:I}", "route", json_text(told->config->routes[i].name), "upstream", "endpoint",
		"state", breaker_word(breaker.state), "opened", (json_int_t)breaker.opened_total);
}

void answer_breakers(struct admin_conn *c)
{
	struct told told;

	if (!told_begin(&told, c))
		return;
	const struct upstream_endpoint_stats *s = told.sum->endpoints;
	json_t *list = json_array();

	for (size_t i = 0; i < told.config->route_count; i++)
		if (told.config->routes[i].breaker.enabled)
			list = list_with(list, route_breaker_of(&told, i));
	for (size_t i = 0; i < told.config->upstream_count; i++) {
		const struct config_upstream *u = &told.config->upstreams[i];

		for (size_t j = 0; j < u->endpoint_count; j++, s++)
			if (u->breaker.enabled)
				list = list_with(list,
					json_pack("{s:n, s:o, s:o, s:s, s:I}", "route", "upstream", json_text(u->name), "endpoint",
						json_text(u->endpoints[j].address_text), "state",
						breaker_word(s->breaker_state), "opened", (json_int_t)s->breaker_opened));
	}
	admin_answer_json(c, 200, json_pack("{s:o}", "breakers", list));
}
