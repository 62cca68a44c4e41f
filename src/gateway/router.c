/*
 * Two hash tables hold the whole configuration: hosts, and paths within a host.
 *
 *     host "api.example.com" --> paths: "/v1/users" prefix --> routes, those with methods first
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

enum { DEPTH_MAX = CONFIG_PATH_DEPTH_MAX };

/* Routes that have the same host and path, by methods. */
struct bucket {
	struct bucket *next;               /* in the hash chain */
	uint64_t hash;
	const void *scope;                 /* host entries: NULL; path entries: the host's bucket */
	int kind;                          /* enum config_host_match or config_path_match */
	struct view key;
	const struct config_route **routes;
	size_t route_count;
	struct bucket *any_path;           /* host entries: their routes for any path */
	bool has_paths;                    /* host entries: some of their routes look at the path */
};

struct router {
	const struct config *config;
	struct bucket **hosts, **paths;
	size_t mask;
	struct bucket *any_host;
	bool has_exact, has_suffix;        /* whether any host of that kind is configured */
	bool has_paths;                    /* whether any host has */
	unsigned depth_max;                /* most segments in any configured prefix */
	const struct config_route *only;   /* takes every request; NULL: no route does, or there are more specific ones */
};

/* --- hashing (FNV-1a: it can be read off at every prefix of the path; the keys come from the configuration only) --- */

#define FNV_BASIS 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

static uint64_t fnv_step(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * FNV_PRIME;
}

static uint64_t fnv(struct view v)
{
	uint64_t h = FNV_BASIS;

	for (size_t i = 0; i < v.n; i++)
		h = fnv_step(h, v.p[i]);
	return h;
}

static uint64_t path_hash(uint64_t h, const struct bucket *host, enum config_path_match kind)
{
	return (h ^ (uintptr_t)host ^ (uint64_t)kind) * FNV_PRIME;
}

static size_t place(const struct router *r, uint64_t hash)
{
	return (hash ^ hash >> 32) & r->mask;
}

/* --- building ------------------------------------------------------------------------------------------------------ */

static struct bucket *bucket_find(const struct router *r, struct bucket *const *table, uint64_t hash, const void *scope,
	int kind, struct view key)
{
	for (struct bucket *b = table[place(r, hash)]; b != NULL; b = b->next)
		if (b->hash == hash && b->scope == scope && b->kind == kind && view_eq(b->key, key))
			return b;
	return NULL;
}

static struct bucket *bucket_make(struct router *r, struct bucket **table, const struct bucket *like)
{
	struct bucket *b = bucket_find(r, table, like->hash, like->scope, like->kind, like->key);

	if (b != NULL)
		return b;
	b = malloc(sizeof(*b));
	if (b == NULL)
		return NULL;
	*b = *like;
	b->next = table[place(r, b->hash)];
	table[place(r, b->hash)] = b;
	return b;
}

static bool route_has_methods(const struct config_route *route)
{
	return route->methods != 0 || route->other_method_count != 0;
}

/* Those with methods stand before those without; within each, the order of the file. */
static bool bucket_add(struct bucket *b, const struct config_route *route)
{
	const struct config_route **routes = realloc(b->routes, (b->route_count + 1) * sizeof(*b->routes));
	size_t at = b->route_count;

	if (routes == NULL)
		return false;
	b->routes = routes;
	if (route_has_methods(route))
		for (at = 0; at < b->route_count && route_has_methods(routes[at]);)
			at++;
	memmove(routes + at + 1, routes + at, (b->route_count - at) * sizeof(*routes));
	routes[at] = route;
	b->route_count++;
	return true;
}

static unsigned segments(struct view path)
{
	unsigned n = 0;

	for (size_t i = 0; i < path.n; i++)
		n += path.p[i] == '/';
	return n;
}

static bool add_route(struct router *r, const struct config_route *route)
{
	struct bucket host = {.hash = fnv(route->host), .kind = route->host_match, .key = route->host};
	struct bucket *hb = bucket_make(r, r->hosts, &host);

	if (hb == NULL)
		return false;
	if (route->host_match == HOST_ANY)
		r->any_host = hb;
	r->has_exact |= route->host_match == HOST_EXACT;
	r->has_suffix |= route->host_match == HOST_SUFFIX;

	struct bucket path = {.hash = path_hash(fnv(route->path), hb, route->path_match), .scope = hb,
		.kind = route->path_match, .key = route->path};
	struct bucket *pb = bucket_make(r, r->paths, &path);

	if (pb != NULL && route->path_match == PATH_ANY)
		hb->any_path = pb;
	hb->has_paths |= route->path_match != PATH_ANY;
	r->has_paths |= hb->has_paths;
	if (route->path_match == PATH_PREFIX && segments(route->path) > r->depth_max)
		r->depth_max = segments(route->path);
	return pb != NULL && bucket_add(pb, route);
}

/* Once all routes are added. */
static const struct config_route *route_of_all(const struct router *r)
{
	const struct bucket *any = r->any_host != NULL ? r->any_host->any_path : NULL;

	if (any == NULL || r->has_exact || r->has_suffix || r->has_paths || route_has_methods(any->routes[0]))
		return NULL;
	return any->routes[0];
}

struct router *router_create(const struct config *config)
{
	struct router *r = calloc(1, sizeof(*r));
	size_t size = 16;

	if (r == NULL)
		return NULL;
	while (size < 2 * config->route_count)
		size *= 2;
	r->config = config;
	r->mask = size - 1;
	r->hosts = calloc(size, sizeof(struct bucket *));
	r->paths = calloc(size, sizeof(struct bucket *));
	if (r->hosts == NULL || r->paths == NULL)
		goto fail;
	for (size_t i = 0; i < config->route_count; i++)
		if (!add_route(r, &config->routes[i]))
			goto fail;
	r->only = route_of_all(r);
	return r;
fail:
	router_free(r);
	return NULL;
}

static void table_free(struct bucket **table, size_t size)
{
	for (size_t i = 0; table != NULL && i < size; i++) {
		for (struct bucket *b = table[i], *next; b != NULL; b = next) {
			next = b->next;
			free((void *)b->routes);
			free(b);
		}
	}
	free(table);
}

void router_free(struct router *r)
{
	if (r == NULL)
		return;
	table_free(r->hosts, r->mask + 1);
	table_free(r->paths, r->mask + 1);
	free(r);
}

/* --- finding ------------------------------------------------------------------------------------------------------- */

static bool method_holds(const struct config_route *route, const struct route_query *q)
{
	if (!route_has_methods(route))
		return true;
	if (q->method != METHOD_OTHER)
		return route->methods & 1u << q->method;
	for (size_t i = 0; i < route->other_method_count; i++)
		if (view_eq(route->other_methods[i], q->method_name))
			return true;
	return false;
}

/* One bucket: the first route whose methods hold. Notes in *m when only the method was wrong. */
static bool try_bucket(const struct bucket *b, const struct route_query *q, struct route_match *m)
{
	if (b == NULL)
		return false;
	for (size_t i = 0; i < b->route_count; i++) {
		if (method_holds(b->routes[i], q)) {
			m->route = b->routes[i];
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
	uint64_t h = FNV_BASIS;

	if (depth_max > DEPTH_MAX)
		depth_max = DEPTH_MAX;
	p->count = 0;
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '/' && i > 0 && p->count < depth_max) {
			p->at[p->count] = i;
			p->hash[p->count++] = h;
		}
		h = fnv_step(h, path.p[i]);
	}
	if (p->count < depth_max) {
		p->at[p->count] = path.n;
		p->hash[p->count++] = h;
	}
	p->whole = h;
}

static bool try_paths(const struct router *r, const struct bucket *host, const struct prefixes *p,
	const struct route_query *q, struct route_match *m)
{
	uint64_t hash = path_hash(p->whole, host, PATH_EXACT);

	m->rest = view_of("", 0);
	if (try_bucket(bucket_find(r, r->paths, hash, host, PATH_EXACT, q->path), q, m))
		return true;
	for (size_t i = p->count; i-- > 0;) {
		struct view prefix = view_of(q->path.p, p->at[i]);

		hash = path_hash(p->hash[i], host, PATH_PREFIX);
		m->rest = view_from(q->path, p->at[i]);
		if (try_bucket(bucket_find(r, r->paths, hash, host, PATH_PREFIX, prefix), q, m))
			return true;
	}
	return false;
}

static bool try_host(const struct router *r, const struct bucket *host, const struct prefixes *p,
	const struct route_query *q, struct route_match *m)
{
	if (host == NULL)
		return false;
	if (host->has_paths && try_paths(r, host, p, q, m))
		return true;
	m->rest = q->path;
	return try_bucket(host->any_path, q, m);
}

static bool try_exact(const struct router *r, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	return try_host(r, bucket_find(r, r->hosts, fnv(q->host), NULL, HOST_EXACT, q->host), p, q, m);
}

/* Tries the suffixes ".b.c", ".c" of "a.b.c", the longest first. */
static bool try_suffixes(const struct router *r, const struct prefixes *p, const struct route_query *q,
	struct route_match *m)
{
	for (size_t i = 1; i < q->host.n; i++) {
		struct view suffix = view_from(q->host, i);

		if (q->host.p[i] != '.')
			continue;
		if (try_host(r, bucket_find(r, r->hosts, fnv(suffix), NULL, HOST_SUFFIX, suffix), p, q, m))
			return true;
	}
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
	if ((r->has_exact && try_exact(r, &p, q, &m)) || (r->has_suffix && try_suffixes(r, &p, q, &m)) ||
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
