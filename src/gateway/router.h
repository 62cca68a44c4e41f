/*
 * Which route a request takes.
 *
 * All criteria of a route must hold. Among those that hold the most specific wins: first by host (exact, then the longest
 * suffix, then any), then by path (exact, then the longest prefix, then any), then a route with methods over one without;
 * what is still equal goes by the order of the file. When routes match but for the method, that is METHOD_NOT_ALLOWED.
 *
 * Immutable after router_create(); shared by all workers.
 */
#ifndef WEIR_GATEWAY_ROUTER_H
#define WEIR_GATEWAY_ROUTER_H

#include "config/model.h"
#include "http/message.h"

struct router;

struct route_query {
	struct view host;         /* canonical: lower case, no port; may be empty */
	struct view path;         /* canonical, or "*" */
	enum method method;
	struct view method_name;
};

struct route_match {
	const struct config_route *route;  /* NULL: none */
	struct view rest;                  /* what the '*' of the path stands for, with its leading '/'; empty for exact */
	bool wrong_method;                 /* route is NULL, but one would match with another method */
};

/* `config` is borrowed. NULL: out of memory. */
struct router *router_create(const struct config *config);
void router_free(struct router *router);

struct route_match router_find(const struct router *router, const struct route_query *query);

/* The route that every request takes, whose `rest` is the path; NULL: there are several, or it does not take every one. */
const struct config_route *router_only(const struct router *router);

/*
 * Tells each method, once, that the routes which match but for the method allow: what a 405 names in Allow. Walks all routes.
 */
void router_methods(const struct router *router, const struct route_query *query,
	void (*on_method)(void *context, struct view method), void *context);

/*
 * Says of every route, in the order of the file, why it was not taken or that it was: `verdict` is one static sentence,
 * `chosen` marks the route that router_find() returns.
 */
void router_explain(const struct router *router, const struct route_query *query,
	void (*on_route)(void *context, const struct config_route *route, bool chosen, const char *verdict), void *context);

#endif
