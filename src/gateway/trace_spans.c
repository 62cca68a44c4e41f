/*
 * What is told of a request that has ended: a span of its own, and one for each time that it was sent, with the names of
 * OpenTelemetry's semantic conventions for HTTP, and `weir.*` for what only a gateway knows.
 *
 *     request (SERVER) --+-- try (CLIENT)
 *                        '-- try (CLIENT)
 *
 * Told are requests that are sampled; and, as `on_error` and `slow` say, those that turn out to have failed or to have taken
 * long, whose trace everybody else takes for not sampled.
 */
#include "base/phase.h"
#include "base/planted.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"
#include "tracing/exporter.h"

/* --- whether -------------------------------------------------------------------------------------------------------------- */

/* What the client was told at the end of a call of gRPC is the service's fault. */
static bool is_failed_call(const struct exchange *ex)
{
	return ex->grpc != NULL && grpc_status_is_fault((enum grpc_status)ex->grpc->status);
}

/* By the gateway's doing, or by the upstream's. */
static bool has_failed(const struct exchange *ex, enum cause cause)
{
	if (cause != CAUSE_NONE && cause_info(cause)->fault != FAULT_CLIENT)
		return true;
	return ex->status >= 500 || (cause == CAUSE_NONE && is_failed_call(ex));
}

/* NULL: it is not told of. */
static const char *reason_of(const struct exchange *ex, enum cause cause)
{
	const struct config_tracing *t = &ex->held->config->tracing;

	if (ex->trace->flags & TRACE_SAMPLED)
		return "sampled";
	if (t->on_error && has_failed(ex, cause))
		return "error";
	if (t->slow_us != 0 && io_now_us(ex->worker->io) - ex->started_us >= t->slow_us)
		return "slow";
	return NULL;
}

/* --- the words of OpenTelemetry ----------------------------------------------------------------------------------------------- */

/* Names of methods that everybody knows are few: others are all one. */
static struct view method_word(const struct exchange *ex)
{
	return ex->request.method != METHOD_OTHER ? method_name((enum method)ex->request.method) : VIEW("_OTHER");
}

/* A span's name has few values, too. */
static struct view span_name(struct exchange *ex, bool with_route)
{
	const struct config_route *r = with_route ? ex->route : NULL;
	struct view method = ex->request.method != METHOD_OTHER ? method_word(ex) : VIEW("HTTP");
	const char *rest = r != NULL && r->path_match == PATH_PREFIX ? "/*" : "";
	struct view name;

	if (r == NULL || r->path.n + *rest == 0)
		return method;
	name = arena_printf(&ex->arena, "%.*s %.*s%s", (int)method.n, method.p, (int)r->path.n, r->path.p, rest);
	return name.p != NULL ? name : method;
}

/* The pattern that the route matches. */
static struct view route_pattern(struct view name)
{
	const char *space = memchr(name.p, ' ', name.n);

	return space != NULL ? view_from(name, (size_t)(space - name.p) + 1) : view_of(NULL, 0);
}

static struct view version_word(const struct stream *s, const struct message *m)
{
	if (stream_is_h2(s))
		return VIEW("2");
	return m->minor == 0 ? VIEW("1.0") : VIEW("1.1");
}

/* "127.0.0.1:9001", "[::1]:80": the last colon parts them. A path is a whole. */
static void add_server(struct trace_span *s, struct view address)
{
	size_t colon = address.n;
	uint64_t port = 0;

	while (colon > 0 && address.p[colon - 1] != ':')
		colon--;
	if (colon > 0 && !view_starts(address, VIEW("unix:")) && view_parse_u64(view_from(address, colon), &port)) {
		span_add_text(s, "server.address", view_of(address.p, colon - 1));
		span_add_number(s, "server.port", port);
	} else {
		span_add_text(s, "server.address", address);
	}
}

/* --- the request ---------------------------------------------------------------------------------------------------------- */

static const char *const phase_keys[PHASE_COUNT] = {
#define PHASE_KEY(suffix, word, text) [PHASE_##suffix] = "weir.phase." word "_us",
	PHASES(PHASE_KEY)
#undef PHASE_KEY
};

static void add_request(struct trace_span *s, const struct exchange *ex, struct view name)
{
	const struct message *m = &ex->request;
	bool tls = ex->client->h1.conn.tls != NULL;
	const struct field *agent = message_find(m, FIELD_USER_AGENT);

	span_add_text(s, "http.request.method", method_word(ex));
	if (m->method == METHOD_OTHER)
		span_add_text(s, "http.request.method_original", m->method_name);
	span_add_text(s, "url.scheme", tls ? VIEW("https") : VIEW("http"));
	span_add_text(s, "url.path", ex->target.path);
	span_add_text(s, "http.route", route_pattern(name));
	span_add_text(s, "server.address", ex->target.host);
	if (ex->target.port != 0)
		span_add_number(s, "server.port", ex->target.port);
	span_add_text(s, "client.address", ex->client_address);
	span_add_text(s, "network.peer.address", ex->peer);
	span_add_text(s, "network.protocol.version", version_word(ex->down, m));
	if (agent != NULL)
		span_add_text(s, "user_agent.original", field_value(agent));
}

static void add_call(struct trace_span *s, const struct exchange *ex)
{
	if (ex->grpc == NULL)
		return;
	span_add_text(s, "rpc.system", VIEW("grpc"));
	if (ex->grpc->status < GRPC_STATUS_COUNT)
		span_add_number(s, "rpc.grpc.status_code", ex->grpc->status);
}

static void add_outcome(struct trace_span *s, struct exchange *ex, enum cause cause, const char *reason)
{
	if (ex->status != 0 && cause != CAUSE_CLIENT_GONE)
		span_add_number(s, "http.response.status_code", ex->status);
	span_add_number(s, "http.request.body.size", ex->bytes_in);
	span_add_number(s, "http.response.body.size", ex->bytes_out);
	if (cause != CAUSE_NONE) {
		span_add_text(s, "error.type", view_str(cause_info(cause)->word));
		span_add_text(s, "weir.cause", view_str(cause_info(cause)->word));
	} else if (ex->status >= 500) {
		span_add_text(s, "error.type", arena_printf(&ex->arena, "%u", ex->status));
	} else if (is_failed_call(ex)) {
		span_add_text(s, "error.type", view_str(grpc_status_word((enum grpc_status)ex->grpc->status)));
	}
	add_call(s, ex);
	if (ex->fallback_cause != CAUSE_NONE)
		span_add_text(s, "weir.fallback_cause", view_str(cause_info((enum cause)ex->fallback_cause)->word));
	if (ex->route != NULL)
		span_add_text(s, "weir.route", ex->route->name);
	if (ex->upstream != NULL)
		span_add_text(s, "weir.upstream", ex->upstream->name);
	if (ex->consumer != NULL)
		span_add_text(s, "weir.consumer", ex->consumer->name);
	span_add_text(s, "weir.request_id", ex->request_id);
	span_add_text(s, "weir.exported_for", view_str(reason));
}

static void tell_request(struct exchange *ex, enum cause cause, const char *why, const char *reason, uint64_t wall_us)
{
	const struct exchange_trace *t = ex->trace;
	uint64_t now_us = io_now_us(ex->worker->io);
	struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
	struct trace_span s = {.trace = t->id, .id = t->span_id, .parent_id = t->parent_id, .parent_is_remote = t->parent_id != 0,
		.start_us = wall_us - (now_us - ex->started_us), .end_us = wall_us, .state = t->state, .name = span_name(ex, true),
		.attributes = attributes, .kind = SPAN_SERVER, .flags = t->flags};

	add_request(&s, ex, s.name);
	add_outcome(&s, ex, cause, reason);
	for (int i = 0; i < PHASE_COUNT; i++)
		if (ex->phase_us[i] != 0)
			span_add_number(&s, phase_keys[i], ex->phase_us[i]);
	s.failed = has_failed(ex, cause);
	s.message = view_str(why != NULL ? why : cause != CAUSE_NONE ? cause_info(cause)->text : "");
	exporter_offer(ex->worker->exporter, &s);
}

/* --- a try ---------------------------------------------------------------------------------------------------------------- */

static const char *const try_words[] = {
	[TRY_FIRST] = "first", [TRY_REPLAY] = "replay", [TRY_RETRY] = "retry", [TRY_HEDGE] = "hedge", [TRY_FALLBACK] = "fallback"};

static void add_events(struct trace_span *s, const struct trace_try *try, uint64_t wall_less_us)
{
	if (try->held_us != 0)
		span_add_event(s, "weir.connection_leased", try->held_us + wall_less_us);
	if (try->sent_us != 0)
		span_add_event(s, "weir.request_sent", try->sent_us + wall_less_us);
	if (try->first_byte_us != UINT64_MAX)
		span_add_event(s, "weir.first_byte", try->first_byte_us + wall_less_us);
}

static void add_try(struct trace_span *s, struct exchange *ex, const struct trace_try *try, unsigned resent)
{
	span_add_text(s, "http.request.method", method_word(ex));
	add_server(s, try->endpoint);
	span_add_text(s, "url.path", ex->target.path);
	if (resent > 0)
		span_add_number(s, "http.request.resend_count", resent);
	if (try->status != 0)
		span_add_number(s, "http.response.status_code", try->status);
	if (try->cause != CAUSE_NONE) {
		span_add_text(s, "error.type", view_str(cause_info((enum cause)try->cause)->word));
		span_add_text(s, "weir.cause", view_str(cause_info((enum cause)try->cause)->word));
	} else if (s->failed) {
		span_add_text(s, "error.type", arena_printf(&ex->arena, "%u", try->status));
	}
	span_add_text(s, "weir.upstream", try->upstream);
	span_add_text(s, "weir.endpoint", try->endpoint);
	span_add_text(s, "weir.try", view_str(try_words[try->kind]));
	if (try->held_us != 0)
		span_add_number(s, "weir.connect_us", try->connect_us);
}

static void tell_try(struct exchange *ex, const struct trace_try *try, unsigned resent, uint64_t wall_us)
{
	const struct exchange_trace *t = ex->trace;
	/* From the loop's clock to the wall's. */
	uint64_t less_us = wall_us - io_now_us(ex->worker->io);
	struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
	struct span_event events[SPAN_EVENTS_MAX];
	uint64_t parent_id = PLANTED(TRY_SPAN_ASTRAY) ? t->parent_id : t->span_id;
	struct trace_span s = {.trace = t->id, .id = try->span_id, .parent_id = parent_id, .start_us = try->asked_us + less_us,
		.end_us = try->ended_us + less_us, .state = t->state, .name = span_name(ex, false), .attributes = attributes,
		.events = events, .kind = SPAN_CLIENT, .flags = t->flags};

	s.failed = try->cause != CAUSE_NONE || try->status >= 400;
	if (try->cause != CAUSE_NONE)
		s.message = view_str(cause_info((enum cause)try->cause)->text);
	add_try(&s, ex, try, resent);
	add_events(&s, try, less_us);
	exporter_offer(ex->worker->exporter, &s);
}

/* Apart from what every request does. */
__attribute__((noinline, cold)) static void tell(struct exchange *ex, enum cause cause, const char *why, const char *reason)
{
	uint64_t wall_us = io_wall_us(ex->worker->io);
	unsigned resent = 0;

	tell_request(ex, cause, why, reason, wall_us);
	for (const struct trace_try *try = ex->trace->first_try; try != NULL; try = try->next)
		if (!try->is_void)
			tell_try(ex, try, resent++, wall_us);
}

bool trace_end(struct exchange *ex, enum cause cause, const char *why)
{
	const char *reason = reason_of(ex, cause);

	if (reason == NULL || !ex->held->is_traced)
		return false;
	if (ex->trace->current != NULL)
		trace_try_over(ex, cause);
	tell(ex, cause, why, reason);
	return true;
}
