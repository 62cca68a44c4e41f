/*
 * The two pumps, which move the bytes of an exchange between its sides, and the tunnel, which is two of a simpler kind.
 *
 *     pump_request:   client   --fill--> pieces of content --put--> upstream --flush-->
 *     pump_response:  upstream --fill--> head, then pieces --put--> client   --flush-->
 *
 * Each runs until its source has nothing, its sink is blocked, or it has had its turn; whichever side then moves wakes the
 * exchange again. Pieces point into the buffer that they were received into, so the sink is flushed before the source is
 * filled.
 *
 * The ordinary answer comes whole in one receive, and takes the same steps without the loop around them: pass_at_once().
 *
 * A function that may end the exchange says so by what it returns (false, -1, STEP_ENDED), and then nothing may be touched.
 */
#include <errno.h>

#include "base/check.h"
#include "base/planted.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"

enum {
	INFORMATIONAL_MAX = 16,  /* 1xx heads before the final one */
	PUMP_FILLS_MAX = 8,      /* receives one way in one go, before the loop turns to other events */
	PUMP_PIPED_BYTES = 2 * H1_SCRATCH_IN_BYTES,  /* of what goes through a pipe: as much work as a receive, at most */
};

static struct stream *client_side(struct exchange *ex)
{
	return ex->down;
}

static struct stream *upstream_side(struct exchange *ex)
{
	return ex->lease.stream;
}

void exchange_lose_client(struct exchange *ex)
{
	struct stream_failure failure = stream_failure(client_side(ex));

	if (failure.cause == CAUSE_NONE)
		failure.cause = CAUSE_CLIENT_GONE;
	exchange_finish(ex, failure.cause, failure.why);
}

/* The same of the upstream. One that ends a call at its deadline does so because of that. */
static void lose_upstream(struct exchange *ex)
{
	struct stream_failure failure = stream_failure(upstream_side(ex));
	bool is_late = ex->state != EXCHANGE_TUNNELLING && io_now_us(ex->worker->io) >= ex->request_deadline_us;

	if (failure.cause == CAUSE_NONE)
		failure.cause = is_late ? CAUSE_REQUEST_DEADLINE : CAUSE_UPSTREAM_RESET;
	exchange_finish(ex, failure.cause, failure.why);
}

static void bytes_moved(struct exchange *ex)
{
	ex->moved_us = io_now_us(ex->worker->io);
}

/*
 * One pump is about to receive for the `fills`th time in this go. True when that is enough: two fast peers must not keep
 * the loop to themselves. The sockets are left readable, so it goes on from a task and not from an event.
 */
static bool had_its_turn(struct exchange *ex, unsigned fills)
{
	if (fills <= PUMP_FILLS_MAX)
		return false;
	exchange_pump_later(ex);
	return true;
}

/* The fills that those `n` bytes through a pipe are beyond the first. */
static unsigned fills_beyond(size_t n)
{
	return (unsigned)((n - 1) / PUMP_PIPED_BYTES);
}

/* --- the request's way ---------------------------------------------------------------------------------------------- */

static const char why_no_base64[] = "the content is not base64";
static const char why_trailers[] = "the trailers are larger than the upstream takes (SETTINGS_MAX_HEADER_LIST_SIZE)";

/* The last byte of the request was handed over. False: ended. */
static bool request_complete(struct exchange *ex, const struct message *trailers)
{
	if (grpc_translates_request(ex) && !grpc_is_whole(ex)) {
		exchange_finish(ex, CAUSE_BAD_REQUEST, why_no_base64);
		return false;
	}
	if (trailers != NULL && !stream_takes_trailers(upstream_side(ex), trailers)) {
		ex->is_beyond_peer = true;
		ex->head_limit_bytes = stream_head_limit(upstream_side(ex));
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE, why_trailers);
		return false;
	}
	stream_put_end(upstream_side(ex), trailers);
	if (trailers != NULL && trailers->field_count > 0 && replay_is_unsettled(ex))
		replay_keep_trailers(ex, trailers);
	ex->sent_us = io_now_us(ex->worker->io);
	upstream_sent(&ex->lease);
	if (ex->state == EXCHANGE_EXPECTING || ex->state == EXCHANGE_REQUESTING)
		exchange_enter(ex, EXCHANGE_WAITING);
	return true;
}

static void pass(const struct stream *from, struct stream *to, struct view data)
{
	if (PLANTED(LENT_TOO_LONG))
		stream_put_body(to, data);
	else
		stream_pass(from, to, data);
}

/* How much content more the client may send. More may have come than there may be now: a reload can lower the limit meanwhile. */
static uint64_t request_room(const struct exchange *ex)
{
	uint64_t body_bytes_max = ex->client->listener->config->limits.body_bytes;

	if (body_bytes_max == 0)
		return UINT64_MAX;
	return ex->bytes_in < body_bytes_max ? body_bytes_max - ex->bytes_in : 0;
}

/* So much content has come, for which there is room. */
static void request_moved(struct exchange *ex, size_t n)
{
	ex->bytes_in += n;
	if (ex->state == EXCHANGE_EXPECTING)
		exchange_enter(ex, EXCHANGE_REQUESTING);
	bytes_moved(ex);
}

/* False: ended. */
static bool request_content(struct exchange *ex, struct view data)
{
	if (data.n > request_room(ex)) {
		ex->bytes_in += data.n;
		exchange_finish(ex, CAUSE_BODY_TOO_LARGE, NULL);
		return false;
	}
	request_moved(ex, data.n);
	if (grpc_translates_request(ex)) {
		if (grpc_take(ex, data))
			return true;
		exchange_finish(ex, CAUSE_BAD_REQUEST, why_no_base64);
		return false;
	}
	pass(client_side(ex), upstream_side(ex), data);
	if (replay_is_unsettled(ex))
		replay_keep(ex, data);
	return true;
}

/* Content of which nobody needs a copy goes from socket to socket, where it is much. As stream_pipe. */
static size_t request_pipe(struct exchange *ex, unsigned *fills)
{
	size_t got = 0;

	if (ex->grpc == NULL && !replay_is_unsettled(ex))
		got = stream_pipe(client_side(ex), upstream_side(ex), request_room(ex));
	if (got > 0) {
		request_moved(ex, got);
		*fills += fills_beyond(got);
	}
	return got;
}

/* Sends what was gathered. False: the upstream has to be waited for. A failed send is no end yet: see pump_response. */
static bool request_flush(struct exchange *ex)
{
	if (stream_flush(upstream_side(ex)) < 0 || stream_blocked(upstream_side(ex)))
		return false;
	if (replay_is_unsettled(ex))
		replay_settle(ex);
	return true;
}

/* More of the request's content from the client: 1 there is more, 0 wait, -1 ended. */
static int request_fill(struct exchange *ex, unsigned *fills)
{
	/* Once it is settled, a copy may not be needed. */
	if (replay_is_unsettled(ex) && !request_flush(ex))
		return 0;
	if (request_pipe(ex, fills) > 0)
		return 1;
	/* What was gathered points into the buffer that is about to be filled. */
	if (!request_flush(ex))
		return 0;
	ssize_t got = stream_fill(client_side(ex), client_input_max(ex->client));

	if (got > 0)
		return 1;
	if (got == -EAGAIN)
		return 0;
	if (got == -ENOBUFS)
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE, "the trailer section is too large");
	else
		exchange_lose_client(ex);
	return -1;
}

/* The trailer section of the request: 1 done, 0 needs more bytes, -1 ended. */
static int request_trailers(struct exchange *ex)
{
	struct message trailers;
	struct h1_result result = stream_read_trailers(client_side(ex), client_limits(ex->client), &trailers);

	if (result.status == H1_MORE)
		return 0;
	if (result.status == H1_BAD) {
		exchange_finish(ex, result.cause, result.why);
		return -1;
	}
	forward_request_trailers(ex, &trailers);
	return request_complete(ex, &trailers) ? 1 : -1;
}

/* Client to upstream. False: ended. */
static bool pump_request(struct exchange *ex)
{
	struct stream *to = upstream_side(ex);
	unsigned fills = 0;
	struct view data;
	const char *why;
	int step;

	while (ex->sent_us == 0 && !stream_blocked(to) && stream_send_error(to) == 0) {
		switch (stream_read_body(client_side(ex), &data, &why)) {
		case H1_PIECE_DATA:
			if (!request_content(ex, data))
				return false;
			continue;
		case H1_PIECE_END:
			if (!request_complete(ex, NULL))
				return false;
			continue;
		case H1_PIECE_BAD: exchange_finish(ex, CAUSE_BAD_REQUEST, why); return false;
		case H1_PIECE_TRAILERS:
			step = request_trailers(ex);
			if (step < 0)
				return false;
			if (step > 0)
				continue;
			break;
		case H1_PIECE_MORE: break;
		}
		if (had_its_turn(ex, ++fills))
			break;
		step = request_fill(ex, &fills);
		if (step <= 0)
			return step == 0;
	}
	stream_flush(to);
	return true;
}

/* False: ended. */
static bool pump_request_and_settle(struct exchange *ex)
{
	if (!pump_request(ex))
		return false;
	if (replay_is_unsettled(ex))
		replay_settle(ex);
	return true;
}

/* --- the response's way --------------------------------------------------------------------------------------------- */

enum step {
	STEP_ON,     /* something was done; go on */
	STEP_FILL,   /* more bytes of the upstream are needed */
	STEP_ENDED,  /* nothing more for now: the exchange has ended, or waits for an event */
};

static enum step step_finish(struct exchange *ex, enum cause cause, const char *why)
{
	exchange_finish(ex, cause, why);
	return STEP_ENDED;
}

static enum step step_lose_client(struct exchange *ex)
{
	exchange_lose_client(ex);
	return STEP_ENDED;
}

static enum step step_lose_upstream(struct exchange *ex)
{
	lose_upstream(ex);
	return STEP_ENDED;
}

static const char why_client_takes_less[] =
	"the trailers are larger than the client takes (SETTINGS_MAX_HEADER_LIST_SIZE)";

/* The answer is whole. The lease goes back before the client has taken the last byte. */
static enum step response_complete(struct exchange *ex, const struct message *trailers)
{
	struct stream *to = client_side(ex);
	bool clean = ex->sent_us != 0 && ex->keep_upstream && stream_body_done(upstream_side(ex));

	if (PLANTED(REUSE_AFTER_EARLY_RESPONSE))
		clean = true;
	if (trailers != NULL && !stream_takes_trailers(to, trailers))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, why_client_takes_less);
	stream_put_end(to, trailers);
	if (!ex->keep_client || PLANTED(KEPT_ANSWER_HELD))
		stream_part(to);
	if (stream_flush(to) < 0)
		return step_lose_client(ex);
	if (ex->trace != NULL)
		trace_try_answered(ex);
	upstream_give_back(&ex->lease, clean);
	if (!stream_blocked(to))
		return step_finish(ex, CAUSE_NONE, NULL);
	exchange_enter(ex, EXCHANGE_FLUSHING);
	exchange_arm(ex);
	return STEP_ENDED;
}

/* The same, of any answer: the trailers of a call may be more than that. */
static inline enum step response_end(struct exchange *ex, const struct message *trailers)
{
	if (ex->grpc == NULL)
		return response_complete(ex, trailers);
	if (grpc_is_cut(ex))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the answer of a call ends within a message");
	return response_complete(ex, grpc_put_end(ex, trailers));
}

static enum step response_informational(struct exchange *ex, struct message *m)
{
	if (++ex->informational > INFORMATIONAL_MAX)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "too many informational responses");
	if (m->status == 100 && ex->state == EXCHANGE_EXPECTING)
		exchange_enter(ex, EXCHANGE_REQUESTING);
	if (ex->request.minor == 0)
		return STEP_ON;
	ex->hints += m->status != 100;
	if (!forward_informational(ex, m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the head of an informational response is too large");
	return STEP_ON;
}

/* Its head does not go out to the client. */
static enum step response_head_too_large(struct exchange *ex)
{
	const char *why = !stream_is_beyond_peer(client_side(ex)) ? "the response head is too large" :
		"the response head is larger than the client takes (SETTINGS_MAX_HEADER_LIST_SIZE)";

	return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, why);
}

/* Away from response_final: filters look at it. False: one has refused it, and the exchange has ended. */
__attribute__((noinline)) static bool response_filter(struct exchange *ex, struct message *m)
{
	enum cause cause = CAUSE_FILTER_FAILED;
	const char *why = NULL;

	if (filters_on_response(ex, m, &cause, &why))
		return true;
	exchange_finish(ex, cause, why);
	return false;
}

__attribute__((noinline)) static enum step response_upgrade(struct exchange *ex, struct message *m)
{
	if (ex->state != EXCHANGE_WAITING || !ex->request.has_upgrade || !m->has_upgrade)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "switched protocols unasked");
	if (!websocket_is_proven(ex, m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the WebSocket's handshake is not proven");
	exchange_report(ex, CAUSE_NONE, m->status);
	if (ex->filter_at > 0 && !response_filter(ex, m))
		return STEP_ENDED;
	if (!forward_upgrade(ex, m))
		return response_head_too_large(ex);
	times_tell(ex);
	ex->status = m->status;
	ex->upstream_status = ex->upgraded = true;
	exchange_is_answered(ex);
	ex->worker->stats.tunnels_open++;
	exchange_enter(ex, EXCHANGE_TUNNELLING);
	upstream_tunnels(&ex->lease);
	if (stream_flush(client_side(ex)) < 0)
		return step_lose_client(ex);
	return STEP_ENDED;
}

static enum step response_final(struct exchange *ex, struct message *m)
{
	exchange_report(ex, CAUSE_NONE, m->status);
	if (websocket_would_seem_open(ex, m->status))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "an answer of 2xx that opens no WebSocket");
	/* Content until the close cannot be told from content cut off: such a connection carries one answer. */
	ex->keep_upstream = m->keep_alive && m->framing != FRAMING_UNTIL_CLOSE;
	if (ex->grpc != NULL) {
		if (grpc_retry(ex, m))
			return STEP_ENDED;
		replay_forget(ex);
		if (!grpc_answer(ex, m))
			return step_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
	} else if (m->status > 500 && retry_for_status(ex, m)) {
		return STEP_ENDED;
	} else if (ex->replay == REPLAY_KEPT) {
		replay_forget(ex);
	}
	if (ex->filter_at > 0 && !response_filter(ex, m))
		return STEP_ENDED;
	if (!forward_response(ex, m))
		return response_head_too_large(ex);
	ex->status = m->status;
	ex->upstream_status = true;
	exchange_is_answered(ex);
	exchange_enter(ex, EXCHANGE_RESPONDING);
	/* An answer to HEAD tells the length of another. */
	stream_expect(upstream_side(ex), client_side(ex), m->framing == FRAMING_LENGTH ? m->content_length : 0);
	return STEP_ON;
}

/* Away from response_begins: most requests have no content. */
__attribute__((noinline)) static void forget_unless_needed(struct exchange *ex)
{
	if (!grpc_may_retry(ex) && !retry_may_follow(ex))
		replay_forget(ex);
}

/* The first byte of an answer. */
static inline void response_begins(struct exchange *ex, uint64_t now_us)
{
	ex->first_byte_us = now_us;
	if (!PLANTED(HEDGE_LOSER_ANSWERS))
		hedge_end(ex, true);
	if (ex->replay == REPLAY_KEPT)
		forget_unless_needed(ex);
}

/* Bytes of the upstream were received. */
static inline void response_received(struct exchange *ex)
{
	uint64_t now_us = io_now_us(ex->worker->io);

	ex->moved_us = now_us;
	if (ex->first_byte_us == UINT64_MAX)
		response_begins(ex, now_us);
}

/* With HTTP/2 it is the connection that receives, not a fill. */
static void notice_received(struct exchange *ex)
{
	if (stream_is_h2(upstream_side(ex)))
		response_received(ex);
}

/* One for both who ask for it: it is large. */
__attribute__((noinline)) static enum step response_head(struct exchange *ex)
{
	const struct config_upstream_limits *l = &ex->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message m;
	struct h1_result result =
		stream_read_response(upstream_side(ex), &limits, (enum method)ex->request.method, &m);

	if (result.status == H1_MORE)
		return STEP_FILL;
	notice_received(ex);
	if (result.status == H1_BAD)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, result.why);
	if (m.field_ids & FIELD_BIT(FIELD_KEEP_ALIVE) && m.status >= 200 && m.keep_alive)
		upstream_heard(&ex->lease, &m);
	if (!message_drop_hop_by_hop(&m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "Connection names a field that must not be removed");
	if (m.status == 101)
		return response_upgrade(ex, &m);
	if (m.status < 200)
		return response_informational(ex, &m);
	return response_final(ex, &m);
}

static enum step response_trailers(struct exchange *ex)
{
	const struct config_upstream_limits *l = &ex->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message trailers;
	struct h1_result result = stream_read_trailers(upstream_side(ex), &limits, &trailers);

	if (result.status == H1_MORE)
		return STEP_FILL;
	if (result.status == H1_BAD)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, result.why);
	forward_response_trailers(ex, &trailers);
	return response_end(ex, &trailers);
}

/* This piece was the last, and nothing else can follow: HTTP/2 may have trailers still. */
static bool is_read_out(const struct stream *from)
{
	return !stream_is_h2(from) && stream_body_done(from);
}

static enum step response_content(struct exchange *ex)
{
	struct view data;
	const char *why;

	switch (stream_read_body(upstream_side(ex), &data, &why)) {
	case H1_PIECE_DATA:
		notice_received(ex);
		if (ex->grpc != NULL && grpc_put(ex, data))
			return STEP_ON;
		ex->bytes_out += data.n;
		pass(upstream_side(ex), client_side(ex), data);
		return is_read_out(upstream_side(ex)) ? response_end(ex, NULL) : STEP_ON;
	case H1_PIECE_MORE: return STEP_FILL;
	case H1_PIECE_TRAILERS: return response_trailers(ex);
	case H1_PIECE_END: return response_end(ex, NULL);
	case H1_PIECE_BAD: return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, why);
	}
	return STEP_FILL;
}

/*
 * The upstream has ended its side. A reset is told once, and a failed send may have been told it: what then looks like the
 * end of content until the close may be a cut.
 */
static enum step response_eof(struct exchange *ex)
{
	struct stream *from = upstream_side(ex);
	bool orderly = !stream_was_reset(from) && stream_send_error(from) == 0;

	if (ex->state == EXCHANGE_RESPONDING && ((orderly && stream_body_eof(from)) || PLANTED(TRUNCATED_LOOKS_COMPLETE)))
		return response_end(ex, NULL);
	return step_lose_upstream(ex);
}

/* Of a head as much as there may be, of content as much as the client's side wants. */
static size_t response_bytes_max(struct exchange *ex)
{
	uint32_t head_bytes = ex->upstream->limits.header_bytes;
	size_t most = head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES;
	size_t wanted = stream_receive_bytes(client_side(ex));

	if (ex->state != EXCHANGE_RESPONDING)
		wanted = stream_first_bytes(upstream_side(ex), wanted);
	return wanted < most && !stream_has_unread(upstream_side(ex)) ? wanted : most;
}

/* The upstream has ended, or failed. */
static enum step response_over(struct exchange *ex, ssize_t got)
{
	if (got == 0 || PLANTED(TRUNCATED_LOOKS_COMPLETE))
		return response_eof(ex);
	return step_lose_upstream(ex);
}

/* Content that nobody looks at goes from socket to socket, where it is much. FILL: it has to be received. */
static enum step response_pipe(struct exchange *ex, unsigned *fills)
{
	struct stream *from = upstream_side(ex);
	size_t got = ex->grpc == NULL ? stream_pipe(from, client_side(ex), UINT64_MAX) : 0;

	if (got == 0)
		return STEP_FILL;
	ex->bytes_out += got;
	*fills += fills_beyond(got);
	bytes_moved(ex);
	return is_read_out(from) ? response_end(ex, NULL) : STEP_ON;
}

static enum step response_fill(struct exchange *ex, unsigned *fills)
{
	struct stream *from = upstream_side(ex);
	struct stream *to = client_side(ex);
	enum step step = ex->state == EXCHANGE_RESPONDING ? response_pipe(ex, fills) : STEP_FILL;
	ssize_t got;

	if (step != STEP_FILL)
		return step;
	if (stream_flush(to) < 0)
		return step_lose_client(ex);
	if (stream_blocked(to))
		return STEP_ENDED;
	got = stream_fill(from, response_bytes_max(ex));
	if (got == -EAGAIN)
		return STEP_ENDED;
	if (got == -ENOBUFS)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the response head is too large");
	if (got <= 0 && (hedge_takes_over(ex) || replay_try(ex) || retry_for_loss(ex)))
		return STEP_ENDED;
	if (got <= 0)
		return response_over(ex, got);
	response_received(ex);
	return STEP_ON;
}

/* Many small pieces may have blocked the client before all of them were out. */
static void response_flush(struct exchange *ex)
{
	if (ex->state != EXCHANGE_ENDED && stream_flush(client_side(ex)) < 0)
		exchange_lose_client(ex);
}

/* Upstream to client, until one side has to be waited for, or the exchange ends or becomes a tunnel. */
static void pump_response(struct exchange *ex)
{
	enum step step = STEP_ON;
	unsigned fills = 0;

	while (step != STEP_ENDED && !stream_blocked(client_side(ex))) {
		if (ex->state == EXCHANGE_RESPONDING)
			step = response_content(ex);
		else
			step = !stream_has_unread(upstream_side(ex)) ? STEP_FILL : response_head(ex);
		if (step == STEP_FILL)
			step = had_its_turn(ex, ++fills) ? STEP_ENDED : response_fill(ex, &fills);
	}
	response_flush(ex);
}

/* --- tunnels --------------------------------------------------------------------------------------------------------- */

static void lose_side(struct exchange *ex, const struct stream *side)
{
	if (side == client_side(ex) || PLANTED(TUNNEL_SIDES_SWAPPED))
		exchange_lose_client(ex);
	else
		lose_upstream(ex);
}

/* One direction. False: ended. */
static bool pump_tunnel(struct exchange *ex, struct stream *from, struct stream *to, uint64_t *count)
{
	size_t wanted = stream_receive_bytes(to);
	size_t most = wanted < H1_SCRATCH_IN_BYTES ? wanted : H1_SCRATCH_IN_BYTES;
	unsigned fills = 0;
	ssize_t got = 1;

	while (got > 0 && !stream_blocked(to) && !had_its_turn(ex, ++fills)) {
		struct view data = stream_read_raw(from);

		*count += data.n;
		stream_put_raw(to, data);
		if (stream_flush(to) < 0) {
			lose_side(ex, to);
			return false;
		}
		if (data.n > 0)
			bytes_moved(ex);
		got = stream_blocked(to) ? -EAGAIN : stream_fill(from, most);
	}
	if (PLANTED(TUNNEL_CUT_LOOKS_ENDED) && got == -ECONNRESET && from != client_side(ex))
		got = 0;
	if (got == 0)
		stream_shutdown_write(to);
	if (got < 0 && got != -EAGAIN) {
		lose_side(ex, from);
		return false;
	}
	return true;
}

static void tunnel(struct exchange *ex)
{
	struct stream *client = client_side(ex), *upstream = upstream_side(ex);

	if (!pump_tunnel(ex, client, upstream, &ex->bytes_in) || !pump_tunnel(ex, upstream, client, &ex->bytes_out))
		return;
	if (stream_is_shut(client) && stream_is_shut(upstream))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_arm(ex);
}

/* --- both ways --------------------------------------------------------------------------------------------------------- */

void exchange_note_unsent(struct exchange *ex)
{
	uint32_t unsent = stream_unsent(client_side(ex));

	if (ex->lease.stream != NULL)
		unsent += stream_unsent(upstream_side(ex));
	ex->blocked_bytes = unsent;
}

bool exchange_notices_progress(struct exchange *ex)
{
	uint32_t before = ex->blocked_bytes;

	exchange_note_unsent(ex);
	if (ex->blocked_bytes < before)
		bytes_moved(ex);
	return ex->blocked_bytes < before;
}

/*
 * Not for tunnels, in which each direction ends by itself; not in FLUSHING, where the answer is complete; and the answer of
 * a route that gives one itself costs nothing. Content that stands before the end is taken first, which tells whether it was
 * whole, unless the upstream does not take it.
 */
bool exchange_end_is_leave(const struct exchange *ex)
{
	if (ex->client->listener->config->half_close == HALF_CLOSE_SERVE)
		return false;
	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_NEW:
	case EXCHANGE_FILTERING: return ex->route->action == ACTION_UPSTREAM;
	case EXCHANGE_LEASING: return !PLANTED(QUEUED_FIN_UNNOTICED);
	case EXCHANGE_BACKING_OFF: return true;
	case EXCHANGE_EXPECTING:
	case EXCHANGE_REQUESTING:
	case EXCHANGE_WAITING:
	case EXCHANGE_RESPONDING: return ex->sent_us != 0 || stream_blocked(ex->lease.stream);
	default: return false;
	}
}

/* What was there is moved: more is waited for, unless it has ended. */
static void wait_for_more(struct exchange *ex)
{
	if (ex->state == EXCHANGE_TUNNELLING)
		tunnel(ex);
	else if (ex->state != EXCHANGE_ENDED)
		exchange_arm(ex);
}

/* Something has changed on one of the sides: move what can be moved. */
void exchange_pump(struct exchange *ex)
{
	if (ex->blocked_bytes > 0)
		exchange_notices_progress(ex);
	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_NEW:
	case EXCHANGE_ENDED: return;
	case EXCHANGE_FILTERING:
	case EXCHANGE_LEASING:
	case EXCHANGE_BACKING_OFF:
		if (exchange_client_left(ex))
			exchange_lose_client(ex);
		return;
	case EXCHANGE_EXPECTING:
	case EXCHANGE_REQUESTING:
	case EXCHANGE_WAITING:
	case EXCHANGE_RESPONDING:
		if (ex->sent_us == 0 && !pump_request_and_settle(ex))
			return;
		if (exchange_client_left(ex)) {
			exchange_lose_client(ex);
			return;
		}
		/* With HTTP/1 no event tells of bytes that found no memory; a socket's own failure comes as one. */
		if (stream_send_error(upstream_side(ex)) == -ENOMEM) {
			exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
			return;
		}
		/* An answer that has begun may have its end behind a piece that the client has just taken. */
		if (ex->state == EXCHANGE_RESPONDING || stream_has_input(upstream_side(ex)))
			pump_response(ex);
		wait_for_more(ex);
		return;
	case EXCHANGE_TUNNELLING: tunnel(ex); return;
	case EXCHANGE_FLUSHING:
		if (stream_blocked(client_side(ex)))
			exchange_arm(ex);
		else
			exchange_finish(ex, CAUSE_NONE, NULL);
		return;
	}
}

/* --- the ordinary answer ------------------------------------------------------------------------------------------------ */

/* Both sides speak HTTP/1, nothing is unread or unsent, nobody has ended, and the answer to what was sent is all that can come. */
static inline bool is_ordinary(const struct exchange *ex)
{
	return ex->state == EXCHANGE_WAITING && ex->sent_us != 0 && ex->blocked_bytes == 0 && !stream_is_h2(ex->down) &&
	       !stream_is_h2(ex->lease.stream) && !stream_peer_closed(ex->down) && !stream_has_unread(ex->lease.stream) &&
	       stream_send_error(ex->lease.stream) == 0 && ex->grpc == NULL;
}

/* All of the answer is gathered: as response_complete(). */
static inline void complete_at_once(struct exchange *ex, struct h1_conn *to)
{
	if (!ex->keep_client || PLANTED(KEPT_ANSWER_HELD))
		conn_part(&to->conn);
	if (h1_conn_flush(to) < 0) {
		exchange_lose_client(ex);
		return;
	}
	if (ex->trace != NULL)
		trace_try_answered(ex);
	upstream_give_back(&ex->lease, ex->keep_upstream);
	if (conn_blocked(&to->conn)) {
		exchange_enter(ex, EXCHANGE_FLUSHING);
		exchange_arm(ex);
	} else if (ex->is_special) {
		exchange_finish(ex, CAUSE_NONE, NULL);
	} else {
		exchange_finish_ordinary(ex);
	}
}

/* Its head is there, and perhaps its content. What is not as expected is left to the pump, which goes on from where it stands. */
static inline void pass_at_once(struct exchange *ex, struct h1_conn *from, struct h1_conn *to)
{
	enum step step = response_head(ex);
	struct view content;

	if (step == STEP_ENDED) {
		response_flush(ex);
		wait_for_more(ex);
	} else if (ex->state != EXCHANGE_RESPONDING || !h1_conn_read_rest(from, &content)) {
		/* An informational head may be all that has come: then the pump does nothing. */
		if (ex->state != EXCHANGE_RESPONDING && h1_conn_flush(to) < 0)
			exchange_lose_client(ex);
		else
			exchange_pump(ex);
	} else {
		ex->bytes_out += content.n;
		h1_conn_put_body(to, content);
		complete_at_once(ex, to);
	}
}

void exchange_on_answer(struct exchange *ex)
{
	if (__builtin_expect(!is_ordinary(ex), 0)) {
		exchange_pump(ex);
		return;
	}
	struct h1_conn *from = stream_h1(ex->lease.stream);

	/* As much as fits in memory where nothing is yet. What came of it other than bytes the pump finds as well. */
	if (h1_conn_fill(from, h1_conn_first_bytes(from, H1_SCRATCH_IN_BYTES)) > 0) {
		response_received(ex);
		pass_at_once(ex, from, stream_h1(ex->down));
	} else {
		exchange_pump(ex);
	}
}

/* The client can take no answer any more. In a tunnel what it has said before it closed is passed on all the same. */
static bool client_is_gone(const struct exchange *ex)
{
	const struct stream *down = ex->down;

	if (stream_error(down) != 0 || stream_send_error(down) != 0 || stream_was_reset(down))
		return true;
	return stream_broken(down) && ex->state != EXCHANGE_TUNNELLING;
}

void exchange_on_client(struct exchange *ex)
{
	if (client_is_gone(ex)) {
		exchange_lose_client(ex);
		if (PLANTED(DOUBLE_FINISH))
			exchange_finish(ex, CAUSE_CLIENT_GONE, NULL);
		return;
	}
	if (PLANTED(BYTES_BEFORE_101) && ex->state == EXCHANGE_WAITING && ex->request.has_upgrade) {
		uint64_t count = 0;

		pump_tunnel(ex, client_side(ex), upstream_side(ex), &count);
		return;
	}
	exchange_pump(ex);
}
