/*
 * What would become of a request, without sending it: which route takes it, why the others do not, and what its filters do. For
 * `weir explain` and GET /v1/explain, which tell it each in its own way.
 */
#ifndef WEIR_FILTERS_EXPLAIN_H
#define WEIR_FILTERS_EXPLAIN_H

#include "base/arena.h"
#include "base/cause.h"
#include "gateway/router.h"
#include "http/target.h"

struct explain_request {
	struct view method;           /* a token: explain_is_method() */
	struct view client;           /* an address; empty: not known */
	struct target target;         /* explain_read() */
};

/* Who is told. `context` is for both. */
struct explain_listener {
	void (*on_route)(void *context, const struct config_route *route, bool chosen, const char *verdict);
	/* The i-th filter of the route that takes it, by its name, and what it does. */
	void (*on_filter)(void *context, size_t i, const char *filter, const char *does);
	void *context;
};

/* RFC 9110 §9.1 */
bool explain_is_method(struct view method);

/* The URL, http://HOST/PATH or /PATH, as a request would carry it. NULL, or why that would be refused with 400: a static sentence. */
const char *explain_read(struct explain_request *request, struct view url, struct arena *arena);

/* Tells of every route, then of the filters. What takes it; *cause is then for what it would be refused all the same, or CAUSE_NONE. */
struct route_match explain(const struct router *router, const struct explain_request *request, const struct explain_listener *listener,
	enum cause *cause);

#endif
