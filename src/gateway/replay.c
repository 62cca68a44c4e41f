/*
 * The stale connection: an upstream may close a resting connection in the very moment in which a request is sent on it.
 * The request then fails through no fault of its own, and is sent again: once, on a connection that was just opened
 * (HTTP/2: or heard of since, upstream/seats.c), and only where nothing can have happened through the first time (RFC
 * 9110 §9.2.2, RFC 9112 §9.3.1):
 *
 *     the connection had rested or served before (or the stream was refused, with HTTP/2), the request was not sent again
 *     yet and its deadline has not come,
 *     not one byte of an answer came, a 1xx included, and
 *       either   the kernel took not one byte of the request, or the stream was refused, by itself or by a GOAWAY (RFC 9113
 *                §8.7): whatever the method
 *       or       the method is idempotent, it asks for no upgrade, all of it can be sent again, and it is not known to
 *                be, nor may be, why an HTTP/2 connection has ended
 *
 * That last condition keeps one request from ending the connections of everybody else, one after the other. A service
 * that ends its connection for an error may have meant any request on it. Where it is the service that breaks the rules
 * (we end the connection then), the request whose stream the broken frame was for fails, and the others on the
 * connection are innocent: they may be sent again. A broken frame that is for no stream may be about any of them, and
 * none is sent again.
 *
 * What goes out the second time is what went out the first time. A head is simply written again: the same fields make the
 * same bytes. Content is harder, since it only passes through:
 *
 *     HEAD --(content will follow: prepare)--> MARKED --(first send: settle)--> KEPT, or SPENT
 *       ^                                        |                               |
 *       '------ nothing was sent: the client ----'          an answer's byte, or '--> SPENT
 *               is back where it was                        more than may be kept (settle, after each send)
 *
 * MARKED lasts from the head to the first send, in one go: all content taken so far still stands where it was received, and
 * when nothing of it was sent the client's connection is put back to before it. That costs a few words and serves every
 * method of HTTP/1. What passes is also kept, without its framing, but only where it may be needed: on a connection that was
 * not just opened, for an idempotent method or where HTTP/2 is spoken (a client cannot be put back, and an upstream may refuse
 * any stream), until the first byte of the answer, up to KEPT_MAX; all of a worker's requests together KEPT_ALL_MAX, so that
 * slow ones with content cost no more memory than that. One of which not all was kept is SPENT.
 *
 * What is kept also serves a request that is to be sent again for what came of it (retry.c, grpc.c): then it is kept on any
 * connection, until the head of the answer has told the status.
 */
#include <errno.h>

#include "base/planted.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"

/* RFC 9110 §9.2.2. */
static bool is_idempotent(const struct exchange *ex)
{
	const unsigned idempotent = 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_OPTIONS | 1u << METHOD_TRACE |
				    1u << METHOD_PUT | 1u << METHOD_DELETE;

	return (idempotent >> ex->request.method & 1u) != 0 || PLANTED(UNSAFE_REPLAY);
}

bool replay_is_safe(const struct exchange *ex)
{
	return is_idempotent(ex) && !ex->request.has_upgrade;
}

bool replay_is_possible(const struct exchange *ex)
{
	bool whole = ex->replay == REPLAY_HEAD || ex->replay == REPLAY_KEPT;

	return whole && (ex->head_sent_us == 0 || replay_is_safe(ex));
}

/* Whether content may be needed a second time: what an HTTP/2 client has sent cannot be put back to where it was. */
static bool is_worth_keeping(const struct exchange *ex)
{
	return is_idempotent(ex) || !stream_can_rewind(ex->down) || stream_is_h2(ex->lease.stream) || grpc_may_retry(ex);
}

/* Frees what was kept. */
static void kept_release(struct exchange *ex)
{
	ex->worker->kept_bytes -= buf_cap(&ex->kept);
	buf_release(&ex->kept);
}

/* Whether the request on the connection that it has got may have to be sent again. */
static bool may_be_needed(const struct exchange *ex)
{
	bool may_be_stale = ex->lease.rested || stream_is_h2(ex->lease.stream);

	return (may_be_stale && ex->retries == 0) || grpc_may_retry(ex) || retry_may_follow(ex) ||
	       hedge_may_follow(ex);
}

void replay_prepare(struct exchange *ex)
{
	if (!may_be_needed(ex)) {
		ex->replay = REPLAY_SPENT;
		return;
	}
	if (stream_can_rewind(ex->down))
		stream_mark(ex->down, &ex->mark);
	ex->replay = REPLAY_MARKED;
}

void replay_keep(struct exchange *ex, struct view data)
{
	struct worker *w = ex->worker;
	uint32_t cap = buf_cap(&ex->kept);

	if (!is_worth_keeping(ex) || ex->kept_short)
		return;
	ex->kept_short = !buf_append(&ex->kept, data, KEPT_MAX);
	w->kept_bytes += buf_cap(&ex->kept) - cap;
	ex->kept_short |= w->kept_bytes > w->kept_bytes_max;
	if (ex->kept_short)
		kept_release(ex);
}

/* A copy in the arena; NULL: it is exhausted. (A trailer section has no bytes of its own that message_copy could take.) */
static const struct message *trailers_copy(struct arena *arena, const struct message *trailers)
{
	struct message *copy = arena_alloc(arena, sizeof(*copy));
	bool fits = copy != NULL;

	if (fits)
		*copy = (struct message){0};
	for (uint32_t i = 0; fits && i < trailers->field_count; i++) {
		const struct field *f = &trailers->fields[i];
		struct view name = arena_copy(arena, field_name(f)), value = arena_copy(arena, field_value(f));

		if (f->dropped)
			continue;
		fits = name.p != NULL && value.p != NULL && message_add(copy, arena, name, value);
	}
	return fits ? copy : NULL;
}

void replay_keep_trailers(struct exchange *ex, const struct message *trailers)
{
	if (!is_worth_keeping(ex) || ex->kept_short)
		return;
	ex->kept_trailers = trailers_copy(&ex->arena, trailers);
	ex->kept_short = ex->kept_trailers == NULL;
}

/* Nothing was sent: what was taken from the client is given back to it. */
static void rewind_client(struct exchange *ex)
{
	kept_release(ex);
	stream_rewind(ex->down, &ex->mark);
	ex->kept_short = false;
	ex->kept_trailers = NULL;
	ex->bytes_in = 0;
	ex->sent_us = 0;
	ex->replay = REPLAY_HEAD;
}

void replay_settle(struct exchange *ex)
{
	const struct stream *up = ex->lease.stream;

	/* A stream of HTTP/2 gathers over several receives, each in the place of the last: it goes by what was kept. */
	bool stands = ex->replay == REPLAY_MARKED && stream_can_rewind(ex->down) && !stream_is_h2(up);

	if (stands && stream_is_unsent(up) && stream_send_error(up) != 0)
		rewind_client(ex);
	else if (is_worth_keeping(ex) && !ex->kept_short)
		ex->replay = REPLAY_KEPT;
	else
		replay_forget(ex);
}

void replay_forget(struct exchange *ex)
{
	kept_release(ex);
	ex->replay = REPLAY_SPENT;
}

static bool may_replay(const struct exchange *ex)
{
	const struct stream *up = ex->lease.stream;
	bool whole = ex->replay == REPLAY_HEAD || ex->replay == REPLAY_KEPT;

	if (stream_was_refused(up) && PLANTED(REFUSED_NOT_RETRIED))
		return false;
	if ((ex->retries > 0 && !PLANTED(REFUSED_RETRIED_TWICE)) || ex->first_byte_us != UINT64_MAX || !whole)
		return false;
	if (!ex->lease.rested && !stream_was_refused(up) && !PLANTED(REPLAY_ON_FRESH))
		return false;
	if (!stream_was_refused(up) && (stream_error(up) == -ENOMEM || stream_send_error(up) == -ENOMEM))
		return false;
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us)
		return false;
	return stream_is_unsent(up) || (replay_is_safe(ex) && stream_was_lost(up));
}

static enum upstream_retry_reason reason_of(const struct stream *up)
{
	if (stream_is_h2(up))
		return stream_was_refused(up) ? RETRY_REFUSED : RETRY_CLOSED;
	if (stream_send_error(up) != 0)
		return RETRY_SEND_FAILED;
	return stream_was_reset(up) || stream_error(up) != 0 ? RETRY_RESET : RETRY_CLOSED;
}

bool replay_try(struct exchange *ex)
{
	if (!may_replay(ex))
		return false;
	exchange_lease_again(ex, reason_of(ex->lease.stream));
	return true;
}

void replay_send(struct exchange *ex)
{
	struct stream *to = ex->lease.stream;
	struct view kept = buf_view(&ex->kept);

	if (PLANTED(CALL_SENT_CUT) && ex->grpc != NULL && ex->tries > 0 && kept.n > 0)
		kept.n--;
	stream_put_body(to, kept);
	if (ex->sent_us != 0) {
		stream_put_end(to, ex->kept_trailers);
		ex->sent_us = ex->head_sent_us;
	}
	stream_flush(to);
	if (!may_be_needed(ex))
		replay_forget(ex);
	if (ex->sent_us != 0)
		exchange_enter(ex, EXCHANGE_WAITING);
	else if (ex->request.expect_continue && ex->bytes_in == 0)
		exchange_enter(ex, EXCHANGE_EXPECTING);
	else
		exchange_enter(ex, EXCHANGE_REQUESTING);
}
