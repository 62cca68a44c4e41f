/*
 * GET /v1/explain?method=GET&url=http://HOST/PATH&client=ADDRESS: which route of the configuration in force a request takes, why not
 * the others, and what its filters do. Nothing is sent.
 */
#include "base/address.h"
#include "control/told.h"
#include "filters/filters.h"
#include "gateway/router.h"
#include "http/chars.h"
#include "http/target.h"

enum { EXPLAIN_BYTES = 64 * 1024 };

static void on_route(void *context, const struct config_route *route, bool chosen, const char *verdict)
{
	json_t **list = context;
	json_t *name = route->name.n > 0 ? json_text(route->name) : json_sprintf("routes[%u]", route->index);

	*list = list_with(*list, json_pack("{s:o, s:b, s:s}", "route", name, "chosen", chosen, "verdict", verdict));
}

/* A method is a token (RFC 9110 §9.1); CONNECT is never routed. */
static bool method_is_routed(struct view method)
{
	for (size_t i = 0; i < method.n; i++)
		if (!char_is(method.p[i], CHAR_TOKEN))
			return false;
	return method.n > 0 && method_of(method) != METHOD_CONNECT;
}

/* What each does; *cause becomes that of the first which would refuse the request. */
static json_t *filters_of(const struct config_route *route, struct view client, enum cause *cause)
{
	json_t *list = json_array();

	for (size_t i = 0; route != NULL && i < route->filter_count; i++) {
		const struct filter_ops *ops = filter_table[route->filters[i].kind];
		char text[FILTER_TOLD_BYTES];
		enum cause refusal = ops->explain(&route->filters[i], client, text);

		*cause = *cause != CAUSE_NONE ? *cause : refusal;
		list = list_with(list, json_pack("{s:s, s:o}", "filter", ops->name, "does", json_text(view_str(text))));
	}
	return list;
}

static json_t *explained(const struct told *told, struct view method, struct view client, const struct target *target)
{
	const struct route_query query = {target->host, target->path, method_of(method), method};
	struct route_match match = router_find(told->generation->router, &query);
	enum cause cause = match.route != NULL ? CAUSE_NONE : match.wrong_method ? CAUSE_METHOD_NOT_ALLOWED : CAUSE_NO_ROUTE;
	const struct config_route *route = match.route;
	struct view upstream = route != NULL && route->action == ACTION_UPSTREAM ? route->upstream->name : VIEW("");
	json_t *routes = json_array(), *filters = filters_of(route, client, &cause);

	router_explain(told->generation->router, &query, on_route, &routes);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "method", json_text(method), "host", json_text_or_null(target->host),
		"path", json_text(target->path), "route", route != NULL ? json_text_or_null(route->name) : json_null(),
		"upstream", json_text_or_null(upstream), "refused",
		cause != CAUSE_NONE ? json_string(cause_info(cause)->word) : json_null(), "filters", filters, "routes", routes);
}

void answer_explain(struct admin_conn *c)
{
	struct view method = admin_parameter(c, VIEW("method")), url = admin_parameter(c, VIEW("url"));
	struct view client = admin_parameter(c, VIEW("client"));
	unsigned char address[16];
	struct target target = {0};
	struct arena arena;
	struct told told;

	method = method.p != NULL ? method : VIEW("GET");
	if (url.n == 0 || !method_is_routed(method)) {
		admin_fail(c, 400, "bad_request", "`url` is http://HOST/PATH or /PATH, `method` one that is routed (default GET)");
		return;
	}
	if (client.p != NULL && !address_bytes_parse(client, address)) {
		admin_fail(c, 400, "bad_request", "`client` is an address such as 203.0.113.7 or 2001:db8::7");
		return;
	}
	if (!told_configuration(&told, c))
		return;
	const struct message message = {
		.minor = 1, .method = (uint8_t)method_of(method), .method_name = method, .target = url};

	arena_init(&arena, NULL, 0, EXPLAIN_BYTES);
	const char *why = target_read(&target, &message, &arena, NULL);

	if (why != NULL)
		admin_fail(c, 400, "bad_request", "a request for this URL would be refused: %s", why);
	else
		admin_answer_json(c, 200, explained(&told, method, client, &target));
	arena_release(&arena);
}
