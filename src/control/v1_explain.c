/*
 * GET /v1/explain?method=GET&url=http://HOST/PATH&client=ADDRESS: which route of the configuration in force a request takes, why not
 * the others, and what its filters do. Nothing is sent.
 */
#include "base/address.h"
#include "control/told.h"
#include "filters/explain.h"

enum { EXPLAIN_BYTES = 64 * 1024 };

struct explained {
	json_t *routes, *filters;
};

static void on_route(void *context, const struct config_route *route, bool chosen, const char *verdict)
{
	struct explained *e = context;
	json_t *name = route->name.n > 0 ? json_text(route->name) : json_sprintf("routes[%u]", route->index);

	e->routes = list_with(e->routes, json_pack("{s:o, s:b, s:s}", "route", name, "chosen", chosen, "verdict", verdict));
}

static void on_filter(void *context, size_t i, const char *filter, const char *does)
{
	struct explained *e = context;

	e->filters = list_with(e->filters, json_pack("{s:s, s:o}", "filter", filter, "does", json_text(view_str(does))));
}

static json_t *explained(const struct told *told, const struct explain_request *request)
{
	struct explained e = {json_array(), json_array()};
	enum cause cause;
	const struct config_route *route =
		explain(told->generation->router, request, &(struct explain_listener){on_route, on_filter, &e}, &cause).route;
	struct view upstream = route != NULL && route->action == ACTION_UPSTREAM ? route->upstream->name : VIEW("");

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "method", json_text(request->method), "host",
		json_text_or_null(request->target.host), "path", json_text(request->target.path), "route",
		route != NULL ? json_text_or_null(route->name) : json_null(), "upstream", json_text_or_null(upstream), "refused",
		cause != CAUSE_NONE ? json_string(cause_info(cause)->word) : json_null(), "filters", e.filters, "routes", e.routes);
}

void answer_explain(struct admin_conn *c)
{
	struct view method = admin_parameter(c, VIEW("method")), url = admin_parameter(c, VIEW("url"));
	struct explain_request request = {
		.method = method.p != NULL ? method : VIEW("GET"), .client = admin_parameter(c, VIEW("client"))};
	unsigned char address[16];
	struct arena arena;
	struct told told;

	/* CONNECT is never routed. */
	if (url.n == 0 || !explain_is_method(request.method) || method_of(request.method) == METHOD_CONNECT) {
		admin_fail(c, 400, "bad_request", "`url` is http://HOST/PATH or /PATH, `method` one that is routed (default GET)");
		return;
	}
	if (request.client.p != NULL && !address_bytes_parse(request.client, address)) {
		admin_fail(c, 400, "bad_request", "`client` is an address such as 203.0.113.7 or 2001:db8::7");
		return;
	}
	if (!told_configuration(&told, c))
		return;
	arena_init(&arena, NULL, 0, EXPLAIN_BYTES);
	const char *why = explain_read(&request, url, &arena);

	if (why != NULL)
		admin_fail(c, 400, "bad_request", "a request for this URL would be refused: %s", why);
	else
		admin_answer_json(c, 200, explained(&told, &request));
	arena_release(&arena);
}
