/* See explain.h. */
#include "filters/explain.h"

#include "filters/filters.h"
#include "http/chars.h"

bool explain_is_method(struct view method)
{
	for (size_t i = 0; i < method.n; i++)
		if (!char_is(method.p[i], CHAR_TOKEN))
			return false;
	return method.n > 0;
}

const char *explain_read(struct explain_request *request, struct view url, struct arena *arena)
{
	const struct message message = {
		.minor = 1, .method = (uint8_t)method_of(request->method), .method_name = request->method, .target = url};

	return target_read(&request->target, &message, arena, NULL);
}

/* The cause of the first that would refuse it. */
static enum cause tell_filters(const struct config_route *route, struct view client, const struct explain_listener *listener)
{
	enum cause cause = CAUSE_NONE;

	for (size_t i = 0; i < route->filter_count; i++) {
		const struct filter_ops *ops = filter_table[route->filters[i].kind];
		char does[FILTER_TOLD_BYTES];
		enum cause refusal = ops->explain(&route->filters[i], client, does);

		listener->on_filter(listener->context, i, ops->name, does);
		cause = cause != CAUSE_NONE ? cause : refusal;
	}
	return cause;
}

struct route_match explain(const struct router *router, const struct explain_request *request, const struct explain_listener *listener,
	enum cause *cause)
{
	const struct route_query query = {request->target.host, request->target.path, method_of(request->method), request->method};
	struct route_match match = router_find(router, &query);

	router_explain(router, &query, listener->on_route, listener->context);
	if (match.route != NULL)
		*cause = tell_filters(match.route, request->client, listener);
	else
		*cause = match.wrong_method ? CAUSE_METHOD_NOT_ALLOWED : CAUSE_NO_ROUTE;
	return match;
}
