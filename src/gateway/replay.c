/*
 * The stale connection: an upstream may close a resting connection in the very moment in which a request is sent on it.
 * The request then fails through no fault of its own, and is sent again: once, on a connection that was just opened, and
 * only where nothing can have happened through the first time (RFC 9110 §9.2.2, RFC 9112 §9.3.1):
 *
 *     the connection had rested or served before, the request was not sent again yet and its deadline has not come,
 *     not one byte of an answer came, a 1xx included, and
 *       either   the kernel took not one byte of the request: whatever the method
 *       or       the method is idempotent, it asks for no upgrade, and all of it can be sent again
 *
 * What goes out the second time is byte for byte what went out the first time. A head is simply written again: the same
 * fields make the same bytes. Content is harder, since it only passes through:
 *
 *     HEAD --(content will follow: prepare)--> MARKED --(first send: settle)--> KEPT, or SPENT
 *       ^                                        |                               |
 *       '------ nothing was sent: the client ----'          an answer's byte, or '--> SPENT
 *               is back where it was                        more than may be kept (settle, after each send)
 *
 * MARKED lasts from the head to the first send, in one go: all content taken so far still stands where it was received, and
 * when nothing of it was sent the client's connection is put back to before it. That costs a few words and serves every
 * method. Afterwards the bytes are kept as they were sent, framing included, and only where they may be needed: on a
 * connection that was not just opened, for an idempotent method, until the first byte of the answer. A worker keeps
 * H1_KEPT_ALL_MAX of all its requests, in order that slow ones with content cost no more memory than that: one that would be
 * too much is SPENT.
 */
#include <errno.h>

#include "base/planted.h"
#include "gateway/exchange.h"

/* RFC 9110 §9.2.2. */
static bool is_idempotent(const struct exchange *ex)
{
	const unsigned idempotent = 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_OPTIONS | 1u << METHOD_TRACE |
				    1u << METHOD_PUT | 1u << METHOD_DELETE;

	return (idempotent >> ex->request.method & 1u) != 0 || PLANTED(UNSAFE_REPLAY);
}

void replay_prepare(struct exchange *ex)
{
	if (!ex->lease.rested || ex->retries > 0) {
		ex->replay = REPLAY_SPENT;
		return;
	}
	h1_conn_mark(&ex->client->h1, &ex->mark);
	ex->replay = REPLAY_MARKED;
	if (is_idempotent(ex))
		h1_conn_keep(&ex->lease.conn->h1, &ex->kept);
}

/* Nothing was sent: what was taken from the client is given back to it. */
static void rewind_client(struct exchange *ex)
{
	h1_conn_keep(&ex->lease.conn->h1, NULL);
	h1_kept_release(ex->worker->scratch, &ex->kept);
	h1_conn_rewind(&ex->client->h1, &ex->mark);
	ex->bytes_in = 0;
	ex->sent_us = 0;
	ex->replay = REPLAY_HEAD;
}

void replay_settle(struct exchange *ex)
{
	const struct h1_conn *upstream = &ex->lease.conn->h1;

	if (ex->replay == REPLAY_MARKED && h1_conn_is_unsent(upstream) && upstream->conn.send_error != 0)
		rewind_client(ex);
	else
		ex->replay = h1_conn_keeps(upstream) ? REPLAY_KEPT : REPLAY_SPENT;
}

void replay_forget(struct exchange *ex)
{
	if (ex->replay != REPLAY_KEPT)
		return;
	h1_conn_keep(&ex->lease.conn->h1, NULL);
	h1_kept_release(ex->worker->scratch, &ex->kept);
	ex->replay = REPLAY_SPENT;
}

static bool may_replay(const struct exchange *ex)
{
	const struct h1_conn *upstream = &ex->lease.conn->h1;
	bool whole = ex->replay == REPLAY_HEAD || ex->replay == REPLAY_KEPT;

	if ((!ex->lease.rested && !PLANTED(REPLAY_ON_FRESH)) || ex->retries > 0 || ex->first_byte_us != UINT64_MAX || !whole)
		return false;
	if (upstream->conn.error == -ENOMEM || upstream->conn.send_error == -ENOMEM)
		return false;
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us)
		return false;
	return h1_conn_is_unsent(upstream) || (is_idempotent(ex) && !ex->request.has_upgrade);
}

static enum upstream_retry_reason reason_of(const struct conn *conn)
{
	if (conn->send_error != 0)
		return RETRY_SEND_FAILED;
	return conn->reset || conn->error != 0 ? RETRY_RESET : RETRY_CLOSED;
}

bool replay_try(struct exchange *ex)
{
	if (!may_replay(ex))
		return false;
	exchange_lease_again(ex, reason_of(&ex->lease.conn->h1.conn));
	return true;
}

void replay_send(struct exchange *ex)
{
	struct h1_conn *to = &ex->lease.conn->h1;

	h1_conn_put_kept(to, &ex->kept, (enum framing)ex->request.framing);
	h1_conn_flush(to);
	h1_kept_release(ex->worker->scratch, &ex->kept);
	ex->replay = REPLAY_SPENT;
	if (ex->sent_us != 0)
		ex->sent_us = ex->head_sent_us;
	if (ex->sent_us != 0)
		exchange_enter(ex, EXCHANGE_WAITING);
	else if (ex->request.expect_continue && ex->bytes_in == 0)
		exchange_enter(ex, EXCHANGE_EXPECTING);
	else
		exchange_enter(ex, EXCHANGE_REQUESTING);
}
