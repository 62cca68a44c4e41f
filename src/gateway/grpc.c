/*
 * See grpc.h.
 *
 * Deadlines: grpc-timeout shortens the exchange's own, timeouts.request, and never lengthens it. What goes upstream is the
 * shorter of the two, and when a call is sent again what is then left of it: so does Envoy. A stale connection's second sending
 * says the same as the first one (replay.c).
 *
 * Failures of the gateway are told in a head without content (Trailers-Only) of HTTP status 200, which is where clients look.
 * Once an answer's head is out there is nothing to be told any more: the stream is reset, as with every other answer that is
 * cut off, and clients make a failure of that. Trailers of our own could stand behind half a message.
 *
 * A call is sent again for its status when the operator has named that (`retry.on`), the answer is nothing but its failure, so that
 * nothing was passed on, and all that was taken of the request was kept (replay.c). Unary calls with small messages are like that;
 * what streams is not, once more was sent than may be kept.
 */
#include "gateway/grpc.h"

#include <stdio.h>

#include "net/stream.h"

/* A message of ours is a static sentence or two. */
enum { MESSAGE_BYTES_MAX = 512 };

/* The first content-type that makes it a call, by which some service may take it for one. */
static enum grpc_kind kind_of(const struct message *m, struct view *rest)
{
	enum grpc_kind kind = GRPC_NOT;

	for (uint32_t i = 0; i < m->field_count && kind == GRPC_NOT; i++)
		if (m->fields[i].id == FIELD_CONTENT_TYPE)
			kind = grpc_kind_of(field_value(&m->fields[i]), rest);
	return kind;
}

static bool read_timeout(struct exchange *ex, struct grpc_call *call)
{
	const struct field *f = message_find_name(&ex->request, VIEW("grpc-timeout"));

	call->timeout_us = UINT64_MAX;
	return f == NULL || grpc_timeout_parse(field_value(f), &call->timeout_us);
}

/* Here and below: away from requests that are no calls. */
__attribute__((noinline)) const char *grpc_begin(struct exchange *ex)
{
	const struct message *m = &ex->request;
	enum grpc_kind kind = GRPC_NOT;
	struct view rest;

	/* Calls are POST. The failure of anything else is told as what it is. */
	if (m->method == METHOD_POST)
		kind = kind_of(m, &rest);
	if (kind == GRPC_NOT)
		return NULL;
	struct grpc_call *call = arena_alloc(&ex->arena, sizeof(*call));

	if (call == NULL)
		return target_why_memory;
	*call = (struct grpc_call){.kind = (uint8_t)kind, .rest = rest, .status = GRPC_STATUS_COUNT};
	ex->grpc = call;
	ex->is_special = true;
	/* Of several another one may count for the service than has counted here. */
	if (message_count_name(m, VIEW("content-type")) > 1)
		return "a call has more than one content-type";
	if (message_count_name(m, VIEW("grpc-timeout")) > 1)
		return "a call has more than one grpc-timeout";
	return read_timeout(ex, call) ? NULL : "grpc-timeout is malformed";
}

/* --- the deadline ---------------------------------------------------------------------------------------------------- */

/* Where the client has said how long, it is this now. False: the arena is exhausted. */
static bool say_timeout(struct exchange *ex, uint64_t timeout_us)
{
	struct field *f = message_find_name(&ex->request, VIEW("grpc-timeout"));
	char text[GRPC_TIMEOUT_TEXT_MAX];
	struct view value;

	if (f == NULL)
		return true;
	value = arena_copy(&ex->arena, grpc_timeout_format(text, timeout_us));
	if (value.p == NULL)
		return false;
	message_set_value(&ex->request, f, value);
	return true;
}

void grpc_say_left(struct exchange *ex)
{
	uint64_t left_us = ex->request_deadline_us - io_now_us(ex->worker->io);

	/* 0 would be over before it began. */
	if (ex->request_deadline_us != DEADLINE_NEVER)
		say_timeout(ex, left_us > US_PER_MS ? left_us : US_PER_MS);
}

/*
 * TE is of one hop, and so it is said anew, and it is true: trailers are passed on. A service may refuse whoever does not say so.
 * With HTTP/1.1 it would have to be named by Connection, and nobody asks for it.
 */
static bool say_trailers(struct exchange *ex)
{
	if (ex->upstream->protocol != CONFIG_PROTOCOL_H2)
		return true;
	return message_add(&ex->request, &ex->arena, VIEW("TE"), VIEW("trailers"));
}

__attribute__((noinline)) bool grpc_bound(struct exchange *ex)
{
	struct grpc_call *call = ex->grpc;
	uint64_t own_us = ex->upstream->timeouts.request_us;

	call->bridged = ex->route->grpc_web && call->kind != GRPC_PLAIN;
	if (call->timeout_us != UINT64_MAX && !PLANTED(GRPC_TIMEOUT_IGNORED))
		ex->request_deadline_us =
			deadline_min(ex->request_deadline_us, deadline_after(ex->head_us, call->timeout_us));
	if (own_us != 0 && own_us < call->timeout_us && !say_timeout(ex, own_us))
		return false;
	return (!call->bridged || grpc_web_request(ex)) && say_trailers(ex);
}

/* --- sending again --------------------------------------------------------------------------------------------------- */

/* The answer is nothing but its status. */
static bool is_trailers_only(const struct message *head)
{
	return head->framing == FRAMING_NONE || (head->framing == FRAMING_LENGTH && head->content_length == 0);
}

__attribute__((noinline)) bool grpc_retry(struct exchange *ex, const struct message *head)
{
	enum grpc_status status = grpc_status_of(head);

	if (!grpc_may_retry(ex) || status == GRPC_STATUS_COUNT || !is_trailers_only(head))
		return false;
	if (!(ex->upstream->retry.grpc_on >> status & 1u) && !PLANTED(CALL_SENT_AGAIN_UNASKED))
		return false;
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us || PLANTED(CALL_NEVER_SENT_AGAIN))
		return false;
	return retry_for_call(ex);
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static void note_status(struct exchange *ex, const struct message *m)
{
	enum grpc_status status = m != NULL ? grpc_status_of(m) : GRPC_STATUS_COUNT;

	if (status != GRPC_STATUS_COUNT)
		ex->grpc->status = (uint8_t)status;
}

bool grpc_answer(struct exchange *ex, struct message *head)
{
	note_status(ex, head);
	return !ex->grpc->bridged || grpc_web_head(ex, head);
}

const struct message *grpc_put_end(struct exchange *ex, const struct message *trailers)
{
	note_status(ex, trailers);
	if (ex->grpc->answer == GRPC_NOT)
		return trailers;
	grpc_web_trailers(ex, trailers);
	return NULL;
}

void grpc_put_failure(struct h1_writer *w, struct exchange *ex, enum cause cause, const char *why)
{
	enum grpc_status status = grpc_status_of_cause(cause);
	char text[MESSAGE_BYTES_MAX], message[3 * MESSAGE_BYTES_MAX];
	int n = snprintf(text, sizeof(text), "%s%s%s", cause_info(cause)->text, why != NULL ? ": " : "",
		why != NULL ? why : "");
	size_t used = n < MESSAGE_BYTES_MAX ? (size_t)n : MESSAGE_BYTES_MAX - 1;

	if (PLANTED(FAILURE_TOLD_AS_SUCCESS))
		status = GRPC_OK;
	ex->grpc->status = (uint8_t)status;
	h1_put(w, VIEW("Content-Type: "));
	h1_put(w, grpc_kind_name((enum grpc_kind)ex->grpc->kind));
	h1_put(w, ex->grpc->rest);
	h1_put(w, VIEW("\r\nGrpc-Status: "));
	h1_put_u64(w, status);
	h1_put(w, VIEW("\r\n"));
	h1_put_field(w, VIEW("Grpc-Message"), view_of(message, grpc_message_encode(view_of(text, used), message)));
}
