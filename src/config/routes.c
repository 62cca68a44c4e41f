/*
 * `routes`: what a request must look like, and what is done with it then.
 *
 * A path that ends in the segment '*' stands for everything below: "/a/b" + '*' is kept as the prefix "/a/b", and what
 * the '*' matched is "", "/" or "/c". In `rewrite.path` and `redirect.location` the same '*' puts that rest back.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/filters.h"
#include "config/read.h"
#include "http/authority.h"
#include "http/chars.h"
#include "http/message.h"
#include "http/target.h"

#define TEXT_BYTES_MAX 4096
#define METHODS_MAX 32
#define METHOD_BYTES_MAX 32

static void route_name_read(struct load *l, const struct node *node, void *out)
{
	name_read(l, node, &((struct config_route *)out)->name);
}

/* --- paths ------------------------------------------------------------------------------------------------------ */

/* Cuts a last segment '*' off, up to the '/' before it. False when a '*' stands elsewhere; complained about. */
static bool rest_cut(struct load *l, const struct node *node, struct view *text, bool *keeps_rest)
{
	const char *star = memchr(text->p, '*', text->n);
	struct quoted q;

	*keeps_rest = false;
	if (star == NULL)
		return true;
	if (star == text->p + text->n - 1 && star > text->p && star[-1] == '/') {
		*keeps_rest = true;
		text->n--;
		return true;
	}
	complain(l, node,
		"found %s; allowed: '*' only as the last segment, where it stands for everything below (/a/b/*)",
		quote(&q, *text));
	return false;
}

/* The canonical path, in the model. p == NULL when it is refused; complained about. */
static struct view path_canonical(struct load *l, const struct node *node, struct view text)
{
	const char *why;
	struct quoted q;
	struct view path = target_canonical_path(text, l->scratch, &why);

	if (path.n > 0)
		return load_copy(l, path);
	complain(l, node, "found %s; allowed: a path such as /a/b or /a/b/*; %s", quote(&q, node->text), why);
	return (struct view){0};
}

/* Reads a path with or without '*'. With one, the '/' in front of it is cut off too. False when refused. */
static bool pattern_read(struct load *l, const struct node *node, struct view *path, bool *keeps_rest)
{
	struct view text = text_read(l, node, "a path such as /a/b or /a/b/*");

	if (text.p == NULL || !rest_cut(l, node, &text, keeps_rest))
		return false;
	text = path_canonical(l, node, text);
	if (text.p == NULL)
		return false;
	*path = view_of(text.p, text.n - *keeps_rest);
	return true;
}

/* --- hosts ------------------------------------------------------------------------------------------------------ */

static void host_complain(struct load *l, const struct node *node, const char *allowed, const char *why)
{
	struct quoted q;

	complain(l, node, "found %s; allowed: %s; %s", quote(&q, node->text), allowed, why);
}

/* Reads host[:port] into its canonical form, in scratch memory. False when it is none; complained about. */
static bool host_read(
	struct load *l, const struct node *node, struct view text, const char *allowed, struct authority *a)
{
	const char *why = authority_read(a, text);

	if (why != NULL) {
		host_complain(l, node, allowed, why);
		return false;
	}
	bool enough = authority_make_canonical(a, l->scratch);
	l->exhausted |= !enough;
	return enough;
}

/* --- match ------------------------------------------------------------------------------------------------------ */

static void match_path_read(struct load *l, const struct node *node, void *out)
{
	struct config_route *route = out;
	bool keeps_rest;
	size_t depth = 0;

	if (!pattern_read(l, node, &route->path, &keeps_rest))
		return;
	route->path_match = !keeps_rest ? PATH_EXACT : route->path.n > 0 ? PATH_PREFIX : PATH_ANY;
	for (size_t i = 0; i < route->path.n; i++)
		depth += route->path.p[i] == '/';
	if (keeps_rest && depth > CONFIG_PATH_DEPTH_MAX)
		complain(l, node, "found a prefix of %zu segments; allowed: at most %u", depth, CONFIG_PATH_DEPTH_MAX);
}

static void match_host_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] =
		"a host such as api.example.com, *.example.com or [::1], without a port, or * for any";
	struct view text = text_read(l, node, allowed);
	struct config_route *route = out;
	struct authority a;

	if (text.p == NULL || view_eq(text, VIEW("*")))
		return;
	bool suffix = view_starts(text, VIEW("*."));
	if (!host_read(l, node, view_from(text, suffix ? 2 : 0), allowed, &a))
		return;
	if (a.port != 0 || (suffix && a.host.p[0] == '[')) {
		host_complain(l, node, allowed,
			a.port != 0 ? "requests to every port match" : "an IPv6 address has no suffix");
		return;
	}
	route->host_match = suffix ? HOST_SUFFIX : HOST_EXACT;
	if (suffix)
		route->host = load_keep(l, arena_printf(l->arena, ".%.*s", (int)a.host.n, a.host.p));
	else
		route->host = load_copy(l, a.host);
}

/* Methods are case-sensitive (RFC 9110 §9.1): "get" is another method than GET, and hardly what was meant. */
static bool method_check(struct load *l, const struct node *node, struct view name)
{
	char upper[METHOD_BYTES_MAX];
	struct quoted q;

	if (!token_is_valid(name) || name.n > sizeof(upper)) {
		complain(l, node, "found %s; allowed: a method such as GET", quote(&q, name));
		return false;
	}
	for (size_t i = 0; i < name.n; i++)
		upper[i] = name.p[i] >= 'a' && name.p[i] <= 'z' ? (char)(name.p[i] - 'a' + 'A') : name.p[i];
	enum method meant = method_of(view_of(upper, name.n));
	if (method_of(name) != meant)
		complain(l, node, "found %s (did you mean `%.*s`?); methods are told apart by case", quote(&q, name),
			(int)name.n, upper);
	else if (meant == METHOD_CONNECT)
		complain(l, node, "found \"CONNECT\", which this gateway refuses; take it out");
	else
		return true;
	return false;
}

static void method_read(struct load *l, const struct node *node, struct config_route *route)
{
	struct view name = text_read(l, node, "a method such as GET");

	if (name.p == NULL || !method_check(l, node, name))
		return;
	route->methods |= 1u << method_of(name);
	if (method_of(name) == METHOD_OTHER)
		route->other_methods[route->other_method_count++] = load_copy(l, name);
}

static void methods_read(struct load *l, const struct node *list, void *out)
{
	struct config_route *route = out;
	struct distinct entries[METHODS_MAX];
	struct quoted q;
	size_t n = 0;

	if (list->kind != NODE_LIST || list->count == 0 || list->count > METHODS_MAX) {
		complain(l, list,
			"found %s; allowed: a list of 1 to %u methods, such as [GET, POST]; without the key every "
			"method matches",
			node_describe(&q, list), METHODS_MAX);
		return;
	}
	route->other_methods = load_alloc(l, list->count * sizeof(*route->other_methods));
	if (route->other_methods == NULL)
		return;
	node_each(list, child) {
		method_read(l, child, route);
		if (child->kind == NODE_TEXT)
			entries[n++] = (struct distinct){child->text, child};
	}
	distinct_check(l, entries, n, "the method");
}

static const struct key match_keys[] = {
	{"host", KEY_OWN, .read = match_host_read},
	{"path", KEY_OWN, .read = match_path_read},
	{"methods", KEY_OWN, .read = methods_read},
};

static const struct section match_section = {KEYS(match_keys)};

/* --- rewrite ---------------------------------------------------------------------------------------------------- */

static void rewrite_path_read(struct load *l, const struct node *node, void *out)
{
	struct config_rewrite *rewrite = out;

	rewrite->path_set = pattern_read(l, node, &rewrite->path, &rewrite->path_keeps_rest);
}

static void rewrite_host_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a host with or without a port, such as users.internal:8080";
	struct view text = text_read(l, node, allowed);
	struct config_rewrite *rewrite = out;
	struct authority a;

	if (text.p != NULL && host_read(l, node, text, allowed, &a))
		rewrite->host = load_copy(l, a.text);
}

static const struct key rewrite_keys[] = {
	{"path", KEY_OWN, .read = rewrite_path_read},
	{"host", KEY_OWN, .read = rewrite_host_read},
};

static const struct section rewrite_section = {KEYS(rewrite_keys)};

/* --- actions ---------------------------------------------------------------------------------------------------- */

/* All of them have been read. Made when the first is asked for. */
static struct config_upstream *upstream_find(struct load *l, struct view name)
{
	struct config *c = l->config;

	if (l->upstreams.items == NULL) {
		if (!index_init(&l->upstreams, c->upstream_count)) {
			l->exhausted = true;
			return NULL;
		}
		for (size_t i = 0; i < c->upstream_count; i++)
			index_put(&l->upstreams, c->upstreams[i].name, VIEW(""), &c->upstreams[i]);
	}
	const struct indexed *found = index_find(&l->upstreams, name, VIEW(""));

	return found != NULL ? found->thing : NULL;
}

const struct config_upstream *upstream_named(struct load *l, const struct node *node)
{
	struct view name = text_read(l, node, "the name of an upstream");
	const struct config *c = l->config;
	struct nearest near;
	struct quoted q;

	if (name.p == NULL)
		return NULL;
	const struct config_upstream *upstream = upstream_find(l, name);

	if (upstream != NULL || l->exhausted)
		return upstream;
	/* When `upstreams` as a whole was refused, every route would say so again. */
	if (c->upstream_count == 0 && complained(l->complaints))
		return NULL;
	nearest_init(&near, l, name);
	for (size_t i = 0; i < c->upstream_count; i++)
		nearest_offer(&near, c->upstreams[i].name);
	complain(l, node, "no upstream is named %s%s; write the name of one under `upstreams`", quote(&q, name),
		nearest_hint(&near));
	return NULL;
}

static void upstream_read(struct load *l, const struct node *node, void *out)
{
	((struct config_route *)out)->upstream = upstream_named(l, node);
}

/* "https://host/..." or "/...", in characters that may stand in a field; "//host" would be another host by surprise. */
static bool location_is_valid(struct view text)
{
	struct view rest = text;

	if (view_starts(text, VIEW("http://")))
		rest = view_from(text, 7);
	else if (view_starts(text, VIEW("https://")))
		rest = view_from(text, 8);
	bool absolute = rest.p != text.p;
	if (rest.n == 0 || text.n > TEXT_BYTES_MAX || (rest.p[0] == '/') == absolute || view_starts(rest, VIEW("//")))
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!char_is(text.p[i], CHAR_TARGET) || (unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

static void location_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "https://host/path, http://host/path or /path; a last segment '*' keeps the rest";
	struct view text = text_read(l, node, allowed);
	struct config_route *route = out;
	bool keeps_rest;
	struct quoted q;

	if (text.p == NULL || !rest_cut(l, node, &text, &keeps_rest))
		return;
	bool cut_query = keeps_rest && memchr(text.p, '?', text.n) != NULL;
	if (!location_is_valid(text) || cut_query) {
		complain(l, node, "found %s; allowed: %s", quote(&q, node->text), allowed);
		return;
	}
	route->redirect.location = load_copy(l, view_of(text.p, text.n - keeps_rest));
	route->redirect.location_keeps_rest = keeps_rest;
}

static const struct word redirect_words[] = {{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}, {0}};

static const struct key redirect_keys[] = {
	{"location", KEY_OWN, .required = true, .read = location_read},
	{"status", KEY_CHOICE, FIELD(struct config_route, redirect.status), .words = redirect_words, .preset = 302},
};

static const struct section redirect_section = {KEYS(redirect_keys)};

/* --- the route as a whole --------------------------------------------------------------------------------------- */

/* Exactly one action; what it cannot use is refused, so that nobody waits for its effect. */
static void action_check(struct load *l, const struct node *map, struct config_route *route)
{
	const struct node *upstream = node_find(map, VIEW("upstream"));
	const struct node *respond = node_find(map, VIEW("respond"));
	const struct node *redirect = node_find(map, VIEW("redirect"));
	const struct node *rewrite = node_find(map, VIEW("rewrite"));
	unsigned actions = (upstream != NULL) + (respond != NULL) + (redirect != NULL);

	route->action = respond != NULL ? ACTION_RESPOND : redirect != NULL ? ACTION_REDIRECT : ACTION_UPSTREAM;
	if (actions > 1)
		complain(l, map, "found %u actions; allowed: one of upstream, respond, redirect", actions);
	else if (actions == 0 && node_find(map, VIEW("split")) == NULL)
		complain(l, map, "found no action; allowed: one of upstream, respond, redirect");
	else if (rewrite != NULL && upstream == NULL && actions == 1)
		complain_key(
			l, rewrite, "a rewrite changes what goes to an upstream, and this route has none; take it out");
}

/* A '*' puts back what the '*' of match.path took: there must be one. */
static void rest_check(struct load *l, const struct node *at, const struct config_route *route, bool keeps_rest)
{
	if (at != NULL && keeps_rest && route->path_match == PATH_EXACT)
		complain(l, at, "found '*', but `match.path` is exact; let that end in /*, or write the path out here");
}

/* What gRPC-Web becomes is spoken over HTTP/2 only. */
static void grpc_web_check(struct load *l, const struct node *map, const struct config_route *route)
{
	const struct node *node = node_find(map, VIEW("grpc_web"));

	if (!route->grpc_web || (route->upstream != NULL && route->upstream->protocol == CONFIG_PROTOCOL_H2))
		return;
	if (route->upstream != NULL)
		complain_key(l, node, "it becomes gRPC, which needs an upstream with `protocol: h2`; write that there, or take "
			"this out");
	else if (node_find(map, VIEW("upstream")) == NULL)
		complain_key(l, node, "it becomes gRPC for an upstream, and this route has none; take it out");
}

/* There is nothing to be called that could fail. */
static void route_breaker_needs(struct load *l, const struct node *map, const struct config_route *route)
{
	if (route->breaker.enabled && node_find(map, VIEW("upstream")) == NULL)
		complain_key(l, node_find(map, VIEW("breaker")), "it is for calls to an upstream, and this route has none; take it out");
}

/* It is asked for where the route's own upstream does not answer. */
static void route_fallback_check(struct load *l, const struct node *map, const struct config_route *route)
{
	const struct node *node = node_find(map, VIEW("fallback"));
	const struct config_upstream *second = route->fallback.upstream;

	if (!route->fallback.enabled)
		return;
	if (node_find(map, VIEW("upstream")) == NULL)
		complain_key(l, node, "it is for when the upstream does not answer, and this route has none; take it out");
	else if (second != NULL && second == route->upstream)
		complain(l, node_find(node, VIEW("upstream")), "this is the route's own upstream; write the name of another");
	else if (second != NULL && route->grpc_web && second->protocol != CONFIG_PROTOCOL_H2)
		complain(l, node_find(node, VIEW("upstream")), "gRPC-Web becomes gRPC, which needs an upstream with `protocol: h2`");
}

static void route_check(struct load *l, const struct node *map, void *out)
{
	struct config_route *route = out;
	const struct node *rewrite = node_find(map, VIEW("rewrite"));
	const struct node *redirect = node_find(map, VIEW("redirect"));

	route->index = map->index;
	route->has_rewrite = rewrite != NULL;
	route->has_breaker = route->breaker.enabled;
	action_check(l, map, route);
	grpc_web_check(l, map, route);
	priority_check(l, map, route);
	subset_check(l, map, route);
	route_breaker_needs(l, map, route);
	route_slow_check(l, map, route);
	route_fallback_check(l, map, route);
	rate_limits_check(l, map, route);
	api_keys_check(l, map, route);
	if (rewrite != NULL)
		rest_check(l, node_find(rewrite, VIEW("path")), route, route->rewrite.path_keeps_rest);
	if (redirect != NULL)
		rest_check(l, node_find(redirect, VIEW("location")), route, route->redirect.location_keeps_rest);
}

static const struct key route_keys[] = {
	{"name", KEY_OWN, .required = true, .read = route_name_read},
	{"match", KEY_SECTION, .section = &match_section},
	{"rewrite", KEY_SECTION, FIELD(struct config_route, rewrite), .section = &rewrite_section},
	{"filters", KEY_LIST, ITEMS(struct config_route, filters, filter_count), .min = 1, .max = CONFIG_FILTERS_MAX,
		.section = &filter_section, .hint = "each is a mapping with one key, the kind of the filter"},
	{"upstream", KEY_OWN, .read = upstream_read},
	{"subset", KEY_OWN, .read = route_subset_read},
	{"grpc_web", KEY_CHOICE, FIELD(struct config_route, grpc_web), .words = truth_words, .preset = false},
	{"priority", KEY_CHOICE, FIELD(struct config_route, priority), .words = priority_words, .preset = 1},
	{"priority_header", KEY_OWN, .read = priority_header_read},
	{"breaker", KEY_SWITCH, FIELD(struct config_route, breaker.enabled), .section = &route_breaker_section, .bare = true,
		.preset = false},
	{"respond", KEY_SECTION, FIELD(struct config_route, respond), .section = &respond_section},
	{"redirect", KEY_SECTION, .section = &redirect_section},
	{"fallback", KEY_SECTION, FIELD(struct config_route, fallback), .section = &fallback_section},
	{"log", KEY_SECTION, .section = &route_log_section},
	{"split", KEY_LATER},
};

const struct section route_section = {KEYS(route_keys), .check = route_check};
