/*
 * headers: edits the fields of requests on their way upstream and of responses on their way to the client.
 *
 *     remove, then set (replaces every field of that name, or adds it), then add (beside what is there)
 *
 * What is removed or set does not come by trailers or by a head of 1xx either: it is dropped there. Nothing is set in
 * those.
 *
 * Framing, Host and hop-by-hop fields cannot be edited: the configuration refuses their names.
 */
#include <stdio.h>

#include "filters/filters.h"

static bool edit(const struct config_header_edits *edits, struct message *m, struct arena *arena)
{
	for (size_t i = 0; i < edits->remove_count; i++)
		message_drop_name(m, edits->remove[i]);
	for (size_t i = 0; i < edits->set_count; i++) {
		message_drop_name(m, edits->set[i].name);
		if (!message_add(m, arena, edits->set[i].name, edits->set[i].value))
			return false;
	}
	for (size_t i = 0; i < edits->add_count; i++)
		if (!message_add(m, arena, edits->add[i].name, edits->add[i].value))
			return false;
	return true;
}

static enum filter_verdict apply(struct filter_call *call, const struct config_header_edits *edits, struct message *m)
{
	if (edit(edits, m, call->arena))
		return FILTER_CONTINUE;
	call->cause = CAUSE_MEMORY_EXHAUSTED;
	call->why = "no memory for the edited fields";
	return FILTER_ANSWER;
}

static enum filter_verdict on_request(struct filter_call *call)
{
	return apply(call, &call->config->u.headers.request, call->request);
}

static enum filter_verdict on_response(struct filter_call *call)
{
	return apply(call, &call->config->u.headers.response, call->response);
}

static void drop_edited(const struct config_header_edits *edits, struct message *m)
{
	for (size_t i = 0; i < edits->remove_count; i++)
		message_drop_name(m, edits->remove[i]);
	for (size_t i = 0; i < edits->set_count; i++)
		message_drop_name(m, edits->set[i].name);
}

static void on_request_aside(struct filter_call *call)
{
	drop_edited(&call->config->u.headers.request, call->aside);
}

static void on_response_aside(struct filter_call *call)
{
	drop_edited(&call->config->u.headers.response, call->aside);
}

static size_t edit_count(const struct config_header_edits *edits)
{
	return edits->remove_count + edits->set_count + edits->add_count;
}

static enum cause explain(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES])
{
	snprintf(told, FILTER_TOLD_BYTES, "changes fields: of the request %zu, of the response %zu", edit_count(&config->u.headers.request),
		edit_count(&config->u.headers.response));
	return CAUSE_NONE;
}

const struct filter_ops filter_headers = {
	.name = "headers",
	.explain = explain,
	.on_request = on_request,
	.on_response = on_response,
	.on_request_aside = on_request_aside,
	.on_response_aside = on_response_aside,
};
