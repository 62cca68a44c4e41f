/*
 * Answers that the gateway gives itself: errors with their cause, and what `respond` and `redirect` say.
 *
 * An error's body is JSON, written by jansson; the same cause stands in Proxy-Status (RFC 9209). Retry-After goes with 503
 * and 429: as long as whoever refused says, or else one second, in which a full queue may have changed.
 */
#include <jansson.h>
#include <stdio.h>

#include "gateway/exchange.h"
#include "gateway/grpc.h"

enum { BODY_ROOM = 1024, WHY_ROOM = 64 };

struct allow {
	struct h1_writer *w;
	bool begun;
};

static void allow_method(void *context, struct view method)
{
	struct allow *allow = context;

	h1_put(allow->w, allow->begun ? VIEW(", ") : VIEW(""));
	h1_put(allow->w, method);
	allow->begun = true;
}

/* RFC 9110 §15.5.6: a 405 has an Allow, and it may be empty. */
static void put_allow(struct h1_writer *w, const struct exchange *ex)
{
	struct route_query query = exchange_query(ex);
	struct allow allow = {.w = w};

	h1_put(w, VIEW("Allow: "));
	router_methods(ex->held->router, &query, allow_method, &allow);
	h1_put(w, VIEW("\r\n"));
}

/* RFC 9110 §15.5.2: a 401 has a challenge. The filter that was asked last has refused. */
static void put_challenge(struct h1_writer *w, const struct exchange *ex)
{
	const struct config_filter *filter = &ex->route->filters[ex->filter_at - 1];

	if (filter->kind == CONFIG_FILTER_API_KEY)
		h1_put(w, filter->u.api_key.challenge);
}

static void put_proxy_status(struct h1_writer *w, const struct cause_info *info)
{
	h1_put(w, VIEW("Proxy-Status: weir"));
	if (info->proxy_status[0] != '\0') {
		h1_put(w, VIEW("; error="));
		h1_put(w, view_str(info->proxy_status));
	}
	h1_put(w, VIEW("; details=\""));
	h1_put(w, view_str(info->word));
	h1_put(w, VIEW("\"\r\n"));
}

/* {"error": cause, "status": n, "request_id": "...", "message": "..."}; its length, 0 when it cannot be made. */
static size_t error_body(char body[BODY_ROOM], const struct cause_info *info, const char *why, struct view request_id)
{
	json_t *json = json_pack("{s:s, s:i, s:s%, s:s++}", "error", info->word, "status", info->status, "request_id",
		request_id.p != NULL ? request_id.p : "", (int)request_id.n, "message", info->text, why != NULL ? ": " : "",
		why != NULL ? why : "");
	size_t n = json == NULL ? 0 : json_dumpb(json, body, BODY_ROOM, JSON_COMPACT);

	json_decref(json);
	return n <= BODY_ROOM ? n : 0;
}

static void put_start(struct h1_writer *w, struct worker *worker, unsigned status)
{
	h1_put_status_line(w, status, view_of("", 0));
	h1_put(w, worker_date_line(worker));
	h1_put(w, VIEW("Server: weir\r\n"));
}

static void put_connection(struct h1_writer *w, const struct exchange *ex, bool keep_alive)
{
	if (!keep_alive)
		h1_put(w, VIEW("Connection: close\r\n"));
	else if (ex->request.minor == 0)
		h1_put(w, VIEW("Connection: keep-alive\r\n"));
}

static void put_retry_after(struct h1_writer *w, const struct exchange *ex)
{
	h1_put(w, VIEW("Retry-After: "));
	h1_put_u64(w, ex->retry_after_s > 0 ? ex->retry_after_s : 1);
	h1_put(w, VIEW("\r\n"));
}

/* Where the reason has a number in it. The log has the one that is static. */
static const char *told_why(const struct exchange *ex, const char *why, char text[WHY_ROOM])
{
	if (!ex->is_beyond_peer)
		return why;
	snprintf(text, WHY_ROOM, "the upstream takes no more than %u bytes", ex->head_limit_bytes);
	return text;
}

static bool answer_error(struct exchange *ex, enum cause cause, const char *why, bool keep_alive)
{
	const struct cause_info *info = cause_info(cause);
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, H1_SCRATCH_OUT_BYTES / 2);
	char body[BODY_ROOM];
	char text[WHY_ROOM];
	size_t n = error_body(body, info, told_why(ex, why, text), ex->request_id);

	ex->status = (unsigned)info->status;
	put_start(&w, ex->worker, ex->status);
	put_connection(&w, ex, keep_alive);
	h1_put(&w, VIEW("Content-Type: application/json\r\n"));
	h1_put_length(&w, n);
	put_proxy_status(&w, info);
	if (ex->client->listener->config->hsts.enabled)
		https_put_hsts(&w, ex, NULL);
	if (ex->allowances != NULL)
		allowance_put(&w, ex, NULL);
	if (info->status == 401)
		put_challenge(&w, ex);
	if (info->status == 405)
		put_allow(&w, ex);
	if (info->status == 503 || info->status == 429)
		put_retry_after(&w, ex);
	if (ex->request_id.n > 0)
		h1_put_field(&w, VIEW("X-Request-Id"), ex->request_id);
	if (!stream_end_head(to, &w, FRAMING_LENGTH))
		return false;
	if (ex->request.method == METHOD_HEAD)
		return true;
	ex->bytes_out = n;
	stream_put_body(to, view_of(body, n));
	return true;
}

/* The same to a client of gRPC, all of it in the head. */
static bool answer_grpc_error(struct exchange *ex, enum cause cause, const char *why, bool keep_alive)
{
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, H1_SCRATCH_OUT_BYTES / 2);

	ex->status = 200;
	put_start(&w, ex->worker, ex->status);
	put_connection(&w, ex, keep_alive);
	grpc_put_failure(&w, ex, cause, why);
	if (!stream_is_h2(to))
		h1_put_length(&w, 0);
	put_proxy_status(&w, cause_info(cause));
	if (ex->client->listener->config->hsts.enabled)
		https_put_hsts(&w, ex, NULL);
	if (ex->allowances != NULL)
		allowance_put(&w, ex, NULL);
	h1_put_field(&w, VIEW("X-Request-Id"), ex->request_id);
	return stream_end_head(to, &w, FRAMING_NONE);
}

bool answer_prepare(struct exchange *ex, enum cause *cause, const char **why)
{
	struct answer *a = &ex->answer;
	struct message *m = arena_alloc(&ex->arena, sizeof(*m));

	if (websocket_would_seem_open(ex, a->status)) {
		*cause = CAUSE_METHOD_NOT_ALLOWED;
		*why = "CONNECT opens no WebSocket here";
		return false;
	}
	*cause = CAUSE_MEMORY_EXHAUSTED;
	if (m == NULL)
		return false;
	*m = (struct message){.status = (uint16_t)a->status, .minor = 1};
	if (!message_add(m, &ex->arena, VIEW("Server"), VIEW("weir")))
		return false;
	if (a->body.n > 0 && !message_add(m, &ex->arena, VIEW("Content-Type"), a->content_type))
		return false;
	if (a->location.n > 0 && !message_add(m, &ex->arena, VIEW("Location"), a->location))
		return false;
	a->head = m;
	return filters_on_response(ex, m, cause, why);
}

static bool answer_route(struct exchange *ex, bool keep_alive)
{
	const struct answer *a = &ex->answer;
	bool has_content = a->status != 204 && a->status != 304;
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, H1_SCRATCH_OUT_BYTES / 2);

	ex->status = a->status;
	h1_put_status_line(&w, a->status, view_of("", 0));
	if (message_find(a->head, FIELD_DATE) == NULL)
		h1_put(&w, worker_date_line(ex->worker));
	if (ex->client->listener->config->hsts.enabled)
		https_put_hsts(&w, ex, a->head);
	if (ex->allowances != NULL)
		allowance_put(&w, ex, NULL);
	h1_put_fields(&w, a->head);
	put_connection(&w, ex, keep_alive);
	if (has_content)
		h1_put_length(&w, a->body.n);
	h1_put_field(&w, VIEW("X-Request-Id"), ex->request_id);
	if (!stream_end_head(to, &w, FRAMING_LENGTH))
		return false;
	if (!has_content || ex->request.method == METHOD_HEAD)
		return true;
	ex->bytes_out = a->body.n;
	stream_put_body(to, a->body);
	return true;
}

/* Away from answers that are only passed on. */
__attribute__((noinline)) bool answer_write(struct exchange *ex, enum cause cause, const char *why, bool keep_alive)
{
	bool fits;

	if (cause == CAUSE_NONE)
		fits = answer_route(ex, keep_alive);
	else if (ex->grpc != NULL)
		fits = answer_grpc_error(ex, cause, why, keep_alive);
	else
		fits = answer_error(ex, cause, why, keep_alive);
	if (fits)
		stream_put_end(ex->down, NULL);
	return fits;
}

void answer_refuse(struct client *client, struct stream *to, enum method method, enum cause cause, const char *why)
{
	const struct cause_info *info = cause_info(cause);
	struct h1_writer w = stream_begin_head(to, H1_SCRATCH_OUT_BYTES / 2);
	char body[BODY_ROOM];
	size_t n = error_body(body, info, why, view_of("", 0));

	client->worker->stats.exchanges_by_cause[cause]++;
	put_start(&w, client->worker, (unsigned)info->status);
	h1_put(&w, VIEW("Connection: close\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"));
	h1_put_length(&w, n);
	put_proxy_status(&w, info);
	if (stream_end_head(to, &w, FRAMING_LENGTH) && method != METHOD_HEAD)
		stream_put_body(to, view_of(body, n));
	/* Too large a piece would be pointed at; this one was copied. */
	stream_put_end(to, NULL);
	stream_part(to);
	client_exchange_ended(client, to, stream_flush(to) < 0 ? CLIENT_ABORT : CLIENT_CLOSE);
}
