/*
 * Two tables hold the whole configuration: hosts, and paths within a host (route_table.h).
 *
 *     host "api.example.com" --> paths: "/v1/users" prefix --> the first of its routes --next--> ..., those with methods first
 *     host ".example.com"        ...    "/v1/users" exact
 *     host any                   ...    any
 *
 * A look-up tries the hosts from the most to the least specific, and in each the exact path, then the prefixes from the
 * longest to the shortest, then any path. The hashes of all prefixes of the path come from one pass over it, and only as
 * many prefixes are tried as the deepest configured one has segments, so the cost does not grow with what a client sends.
 * Where all requests go one way, whatever they say, nothing is looked up.
 */
#include "gateway/router.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "gateway/route_table.h"

enum { DEPTH_MAX = CONFIG_PATH_DEPTH_MAX };

struct host {
	uint32_t any_path;                 /* the first of its routes for any path; ROUTE_NONE: there is none */
	bool has_exact, has_prefix;        /* whether any of its paths is of that kind */
};

/* Routes and hosts are numbers: their places in the configuration, and in the order in which they were met. */
struct router {
	const struct config *config;
	struct route_table hosts, paths;
	struct host *host;
	uint32_t host_count;
	uint32_t any_host;
	uint32_t *next;                    /* of each route: the next one of the same host and path; ROUTE_NONE: it is the last */
	bool has_exact, has_suffix;        /* whether any host of that kind is configured */
	bool has_paths;                    /* whether any host has */
	unsigned depth_max;                /* most segments in any configured prefix */
	const struct config_route *only;   /* takes every request; NULL: no route does, or there are more specific ones */
};

/* --- keys (FNV-1a: it can be read off at every prefix of the path; what is asked for comes from the configuration only) --- */

static uint64_t text_hash(struct view v)
{
	return hash_append(HASH_BEGIN, v.p, v.n);
}

/* `text_hash` is that of `text`. */
static struct route_key key_of(uint32_t scope, unsigned kind, struct view text, uint64_t text_hash)
{
	return (struct route_key){.hash = hash_u64((uint64_t)scope << 2 | kind, text_hash), .scope = scope, .kind = kind, .text = text};
}

static struct route_key host_key(enum config_host_match kind, struct view name)
{
	return key_of(0, kind, name, text_hash(name));
}

/* --- building ------------------------------------------------------------------------------------------------------ */

static unsigned segments(struct view path)
{
	unsigned n = 0;

	for (size_t i = 0; i < path.n; i++)
		n += path.p[i] == '/';
	return n;
}

static uint32_t host_add(struct router *r, const struct config_route *route)
{
	struct route_key key = host_key(route->host_match, route->host);
	uint32_t *host = route_table_put(&r->hosts, &key);

	if (*host == ROUTE_NONE) {
		*host = r->host_count++;
		r->host[*host].any_path = ROUTE_NONE;
	}
	return *host;
}

static void note_host(struct router *r, enum config_host_match kind, uint32_t host)
{
	if (kind == HOST_ANY)
		r->any_host = host;
	r->has_exact |= kind == HOST_EXACT;
	r->has_suffix |= kind == HOST_SUFFIX;
}

static void note_path(struct router *r, const struct config_route *route, struct host *host)
{
	host->has_exact |= route->path_match == PATH_EXACT;
	host->has_prefix |= route->path_match == PATH_PREFIX;
	r->has_paths |= route->path_match != PATH_ANY;
	if (route->path_match == PATH_PREFIX && segments(route->path) > r->depth_max)
		r->depth_max = segments(route->path);
}

/* In front of those of its host and path that there are. */
static void route_add(struct router *r, uint32_t i)
{
	const struct config_route *route = &r->config->routes[i];
	uint32_t host = host_add(r, route), *first = &r->host[host].any_path;

	note_host(r, route->host_match, host);
	note_path(r, route, &r->host[host]);
	if (route->path_match != PATH_ANY) {
		struct route_key key = key_of(host, route->path_match, route->path, text_hash(route->path));

		first = route_table_put(&r->paths, &key);
	}
	r->next[i] = *first;
	*first = i;
}

/* From the last to the first. */
static void routes_add(struct router *r, bool with_methods)
{
	for (size_t i = r->config->route_count; i-- > 0;)
		if ((r->config->routes[i].methods != 0) == with_methods)
			route_add(r, (uint32_t)i);
}

/* Once all routes are added. */
static const struct config_route *route_of_all(const struct router *r)
{
	uint32_t first = r->any_host != ROUTE_NONE ? r->host[r->any_host].any_path : ROUTE_NONE;

	if (first == ROUTE_NONE || r->has_exact || r->has_suffix || r->has_paths || r->config->routes[first].methods != 0)
		return NULL;
	return &r->config->routes[first];
}

/* False: out of memory. */
static bool router_init(struct router *r, const struct config *config)
{
	size_t count = config->route_count, host_bytes = 0, path_bytes = 0;

	for (size_t i = 0; i < count; i++) {
		host_bytes += config->routes[i].host.n;
		path_bytes += config->routes[i].path.n;
	}
	r->config = config;
	r->any_host = ROUTE_NONE;
	r->host = calloc(count + 1, sizeof(*r->host));
	r->next = calloc(count + 1, sizeof(*r->next));
	return r->host != NULL && r->next != NULL && route_table_init(&r->hosts, count, host_bytes) &&
	       route_table_init(&r->paths, count, path_bytes);
}

struct router *router_create(const struct config *config)
{
	struct router *r = calloc(1, sizeof(*r));

	if (r == NULL || !router_init(r, config)) {
		router_free(r);
		return NULL;
	}
	/* Those with methods come to stand before those without; within each, the order of the file. */
	routes_add(r, false);
	routes_add(r, true);
	r->only = route_of_all(r);
	return r;
}

void router_free(struct router *r)
{
	if (r == NULL)
		return;
	route_table_release(&r->hosts);
	route_table_release(&r->paths);
	free(r->host);
	free(r->next);
	free(r);
}

/* --- finding ------------------------------------------------------------------------------------------------------- */

static bool method_holds(const struct config_route *route, const struct route_query *q)
{
	if (route->methods == 0 || (route->methods & 1u << q->method && q->method != METHOD_OTHER))
		return true;
	for (size_t i = 0; q->method == METHOD_OTHER && i < route->other_method_count; i++)
		if (view_eq(route->other_methods[i], q->method_name))
			return true;
	return false;
}

/* From `at` on, of one host and path: the first route whose methods hold. Notes in *m when only the method was wrong. */
static bool try_routes(const struct router *r, uint32_t at, const struct route_query *q, struct route_match *m)
{
	for (; at != ROUTE_NONE; at = r->next[at]) {
		const struct config_route *route = &r->config->routes[at];

		if (method_holds(route, q)) {
			m->route = route;
			return true;
		}
		m->wrong_method = true;
	}
	return false;
}

/* The path's prefixes that end before a '/' or at its end, at most as deep as the configuration goes. */
struct prefixes {
	size_t count;
	size_t at[DEPTH_MAX + 1];
	uint64_t hash[DEPTH_MAX + 1];
	uint64_t whole;
};

static void prefixes_read(struct prefixes *p, struct view path, unsigned depth_max)
{
	uint64_t h = HASH_BEGIN;

	if (depth_max > DEPTH_MAX)
		depth_max = DEPTH_MAX;
	p->count = 0;
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '/' && i > 0 && p->count < depth_max) {
			p->at[p->count] = i;
			p->hash[p->count++] = h;
		}
		h = hash_append(h, &path.p[i], 1);
	}
	if (p->count < depth_max) {
		p->at[p->count] = path.n;
		p->hash[p->count++] = h;
	}
	p->whole = h;
}

static bool try_exact_path(const struct router *r, uint32_t host, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	struct route_key key = key_of(host, PATH_EXACT, q->path, p->whole);

	m->rest = view_of("", 0);
	return try_routes(r, route_table_find(&r->paths, &key), q, m);
}

static bool try_prefixes(const struct router *r, uint32_t host, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	for (size_t i = p->count; i-- > 0;) {
		struct route_key key = key_of(host, PATH_PREFIX, view_of(q->path.p, p->at[i]), p->hash[i]);

		m->rest = view_from(q->path, p->at[i]);
		if (try_routes(r, route_table_find(&r->paths, &key), q, m))
			return true;
	}
	return false;
}

static bool try_host(const struct router *r, uint32_t at, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	const struct host *host = at != ROUTE_NONE ? &r->host[at] : NULL;

	if (host == NULL)
		return false;
	if ((host->has_exact && try_exact_path(r, at, p, q, m)) || (host->has_prefix && try_prefixes(r, at, p, q, m)))
		return true;
	m->rest = q->path;
	return try_routes(r, host->any_path, q, m);
}

static bool try_named(const struct router *r, enum config_host_match kind, struct view name, const struct prefixes *p,
	const struct route_query *q, struct route_match *m)
{
	struct route_key key = host_key(kind, name);

	return try_host(r, route_table_find(&r->hosts, &key), p, q, m);
}

/* Tries the suffixes ".b.c", ".c" of "a.b.c", the longest first. */
static bool try_suffixes(const struct router *r, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	for (size_t i = 1; i < q->host.n; i++)
		if (q->host.p[i] == '.' && try_named(r, HOST_SUFFIX, view_from(q->host, i), p, q, m))
			return true;
	return false;
}

__attribute__((noinline)) static struct route_match look_up(const struct router *r, struct route_query query)
{
	const struct route_query *q = &query;
	struct route_match m = {0};
	struct prefixes p;

	if (r->has_paths)
		prefixes_read(&p, q->path, r->depth_max);
	else
		p.count = p.whole = 0;
	if ((r->has_exact && try_named(r, HOST_EXACT, q->host, &p, q, &m)) || (r->has_suffix && try_suffixes(r, &p, q, &m)) ||
		try_host(r, r->any_host, &p, q, &m))
		m.wrong_method = false;
	return m;
}

const struct config_route *router_only(const struct router *r)
{
	return r->only;
}

struct route_match router_find(const struct router *r, const struct route_query *q)
{
	return r->only != NULL ? (struct route_match){.route = r->only, .rest = q->path} : look_up(r, *q);
}

/* --- explaining ------------------------------------------------------------------------------------------------------ */

static bool host_holds(const struct config_route *route, struct view host)
{
	switch (route->host_match) {
	case HOST_ANY: return true;
	case HOST_EXACT: return view_eq(route->host, host);
	case HOST_SUFFIX:
		return host.n > route->host.n && view_eq(view_from(host, host.n - route->host.n), route->host);
	}
	return false;
}

static bool path_holds(const struct config_route *route, struct view path)
{
	switch (route->path_match) {
	case PATH_ANY: return true;
	case PATH_EXACT: return view_eq(route->path, path);
	case PATH_PREFIX:
		return view_starts(path, route->path) && (path.n == route->path.n || path.p[route->path.n] == '/');
	}
	return false;
}

void router_explain(const struct router *r, const struct route_query *q,
	void (*on_route)(void *context, const struct config_route *route, bool chosen, const char *verdict), void *context)
{
	struct route_match m = router_find(r, q);

	for (size_t i = 0; i < r->config->route_count; i++) {
		const struct config_route *route = &r->config->routes[i];
		const char *verdict = "it would match too, but the chosen route is more specific or stands before it";

		if (route == m.route)
			verdict = "chosen";
		else if (!host_holds(route, q->host))
			verdict = "the host does not match";
		else if (!path_holds(route, q->path))
			verdict = "the path does not match";
		else if (!method_holds(route, q))
			verdict = "the method is not among its methods";
		on_route(context, route, route == m.route, verdict);
	}
}

/* --- what a 405 allows ------------------------------------------------------------------------------------------------ */

static bool holds_but_for_method(const struct config_route *route, const struct route_query *q)
{
	return host_holds(route, q->host) && path_holds(route, q->path);
}

/* Whether one of the routes before `end` that hold but for the method names it, too. */
static bool named_before(const struct router *r, size_t end, const struct route_query *q, struct view method)
{
	for (size_t i = 0; i < end; i++) {
		const struct config_route *route = &r->config->routes[i];

		for (size_t j = 0; j < route->other_method_count; j++)
			if (view_eq(route->other_methods[j], method) && holds_but_for_method(route, q))
				return true;
	}
	return false;
}

void router_methods(const struct router *r, const struct route_query *q,
	void (*on_method)(void *context, struct view method), void *context)
{
	uint32_t known = 0;

	for (size_t i = 0; i < r->config->route_count; i++) {
		const struct config_route *route = &r->config->routes[i];

		if (!holds_but_for_method(route, q))
			continue;
		known |= route->methods;
		for (size_t j = 0; j < route->other_method_count; j++)
			if (!named_before(r, i, q, route->other_methods[j]))
				on_method(context, route->other_methods[j]);
	}
	for (unsigned m = METHOD_GET; m < METHOD_COUNT; m++)
		if (known & 1u << m)
			on_method(context, method_name((enum method)m));
}
