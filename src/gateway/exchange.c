/*
 * One request's life: the only code that knows both sides.
 *
 *     NEW ----------------------------------------------------------.
 *      | routed                                                      |
 *     FILTERING --(a filter pauses; exchange_resume)--> FILTERING    |
 *      | all filters passed                  | answered              |
 *     LEASING                                |                       |  every state -> ENDED,
 *      | a connection is leased, the head is sent                    |  through exchange_finish()
 *      |--------------------.------------------.                     |  and nothing else
 *     EXPECTING -> REQUESTING ------> WAITING  | (by what content is to come)
 *      | (Expect)   | content flows     | all is sent
 *      '------------+-------------------+--------> TUNNELLING (101)
 *                   v                   v
 *                  RESPONDING: the head of the answer is forwarded; content flows, perhaps still both ways
 *                   |
 *                  FLUSHING: the lease is back; the client has still to take the last bytes
 *                   |
 *                  ENDED
 *
 * The two pumps move bytes. Each runs until its source has nothing or its sink is blocked; whichever side then moves
 * wakes the exchange again (exchange_pump). A blocked sink is not read for: that is the backpressure.
 *
 * Every state has a deadline (exchange_arm), counted from when bytes last moved.
 *
 * A function that may end the exchange says so: it returns false when it did, and then nothing may be touched.
 */
#include "gateway/exchange.h"

#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "base/planted.h"

enum {
	INFORMATIONAL_MAX = 16,                 /* 1xx heads before the final one */
	PUMP_BYTES_MAX = 512 * 1024,            /* moved one way in one go, before the loop turns to other events */
	ARENA_EXTRA_BYTES = 64 * 1024,          /* beyond the head: added fields, targets, filter state */
};

/* When the upstream sets no limit for the whole request, waiting for a connection still has one. */
#define LEASING_MARGIN_US (5 * US_PER_S)

/* --- state ------------------------------------------------------------------------------------------------------------ */

#define TO(state) (1u << EXCHANGE_##state)
static const uint16_t transitions[] = {
	[EXCHANGE_NEW] = TO(FILTERING) | TO(ENDED),
	[EXCHANGE_FILTERING] = TO(LEASING) | TO(ENDED),
	[EXCHANGE_LEASING] = TO(EXPECTING) | TO(REQUESTING) | TO(WAITING) | TO(ENDED),
	[EXCHANGE_EXPECTING] = TO(REQUESTING) | TO(WAITING) | TO(RESPONDING) | TO(ENDED),
	[EXCHANGE_REQUESTING] = TO(WAITING) | TO(RESPONDING) | TO(ENDED),
	[EXCHANGE_WAITING] = TO(RESPONDING) | TO(TUNNELLING) | TO(ENDED),
	[EXCHANGE_RESPONDING] = TO(FLUSHING) | TO(ENDED),
	[EXCHANGE_TUNNELLING] = TO(ENDED),
	[EXCHANGE_FLUSHING] = TO(ENDED),
	[EXCHANGE_ENDED] = 0,
};

static void exchange_enter(struct exchange *ex, enum exchange_state state)
{
	CHECK(transitions[ex->state] & 1u << state);
	ex->state = (uint8_t)state;
	ex->moved_us = io_now_us(ex->worker->io);
}

static struct h1_conn *client_side(struct exchange *ex)
{
	return &ex->client->h1;
}

static struct h1_conn *upstream_side(struct exchange *ex)
{
	return &ex->lease.conn->h1;
}

/* The cause when a side's connection has failed: it went away, or there was no memory for its bytes. */
static enum cause failure_of(const struct h1_conn *side, enum cause gone)
{
	return side->conn.error == -ENOMEM || side->conn.send_error == -ENOMEM ? CAUSE_MEMORY_EXHAUSTED : gone;
}

static enum cause client_failure(struct exchange *ex)
{
	return failure_of(client_side(ex), CAUSE_CLIENT_GONE);
}

static enum cause upstream_failure(struct exchange *ex)
{
	return failure_of(upstream_side(ex), CAUSE_UPSTREAM_RESET);
}

static void bytes_moved(struct exchange *ex)
{
	ex->moved_us = io_now_us(ex->worker->io);
}

/* --- deadlines ------------------------------------------------------------------------------------------------------- */

struct wait {
	uint64_t span_us;
	enum cause cause;
};

/* What the exchange waits for in its state, how long, and what it is called when it does not come. */
static struct wait exchange_wait(const struct exchange *ex)
{
	const struct config_listener_timeouts *lt = &ex->client->listener->config->timeouts;
	const struct config_upstream_timeouts *ut = &ex->route->upstream->timeouts;
	bool client_blocked = conn_blocked(&ex->client->h1.conn);

	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_LEASING:
		return (struct wait){ex->route->upstream->pool.acquire_timeout_us + ut->connect_us + LEASING_MARGIN_US,
			CAUSE_POOL_ACQUIRE_TIMEOUT};
	case EXCHANGE_REQUESTING:
		if (conn_blocked(&ex->lease.conn->h1.conn))
			return (struct wait){ut->idle_us, CAUSE_UPSTREAM_IDLE_TIMEOUT};
		return (struct wait){lt->body_idle_us, CAUSE_CLIENT_TIMEOUT};
	case EXCHANGE_EXPECTING:
	case EXCHANGE_WAITING:
		if (PLANTED(MISSED_DEADLINE))
			return (struct wait){DEADLINE_NEVER, CAUSE_FIRST_BYTE_TIMEOUT};
		return (struct wait){ut->first_byte_us, CAUSE_FIRST_BYTE_TIMEOUT};
	case EXCHANGE_RESPONDING:
		if (client_blocked)
			return (struct wait){lt->write_idle_us, CAUSE_CLIENT_TIMEOUT};
		return (struct wait){ut->idle_us, CAUSE_UPSTREAM_IDLE_TIMEOUT};
	case EXCHANGE_TUNNELLING:
		return (struct wait){ut->idle_us, client_blocked ? CAUSE_CLIENT_TIMEOUT : CAUSE_UPSTREAM_IDLE_TIMEOUT};
	default:
		/* FLUSHING; and FILTERING, whose own limit is the filter's. */
		return (struct wait){lt->write_idle_us, CAUSE_CLIENT_TIMEOUT};
	}
}

static void exchange_arm(struct exchange *ex)
{
	struct wait wait = exchange_wait(ex);
	uint64_t deadline = deadline_after(ex->moved_us, wait.span_us);

	ex->deadline_cause = (uint8_t)wait.cause;
	/* A tunnel lives as long as something moves in it. */
	if (ex->request_deadline_us < deadline && ex->state != EXCHANGE_TUNNELLING) {
		deadline = ex->request_deadline_us;
		ex->deadline_cause = CAUSE_REQUEST_DEADLINE;
	}
	if (PLANTED(MISSED_DEADLINE) && ex->state == EXCHANGE_WAITING)
		deadline = DEADLINE_NEVER;
	io_timer_set(ex->worker->io, &ex->timer, deadline);
}

bool exchange_has_deadline(const struct exchange *ex)
{
	return ex->state == EXCHANGE_ENDED || io_timer_armed(&ex->timer);
}

static void exchange_on_timer(struct io_timer *timer)
{
	struct exchange *ex = container_of(timer, struct exchange, timer);

	exchange_finish(ex, (enum cause)ex->deadline_cause, NULL);
}

/*
 * One pump has moved `bytes` in this go. True when that is enough: two fast peers must not keep the loop to themselves.
 * The sockets are left readable, so it goes on from a task and not from an event.
 */
static bool had_its_turn(struct exchange *ex, uint64_t bytes)
{
	if (bytes < PUMP_BYTES_MAX)
		return false;
	io_defer(ex->worker->io, &ex->more);
	return true;
}

/* --- the request's way ---------------------------------------------------------------------------------------------- */

/* The last byte of the request was handed over. */
static void request_complete(struct exchange *ex, const struct message *trailers)
{
	h1_conn_put_end(upstream_side(ex), trailers);
	ex->sent_us = io_now_us(ex->worker->io);
	if (ex->state == EXCHANGE_EXPECTING || ex->state == EXCHANGE_REQUESTING)
		exchange_enter(ex, EXCHANGE_WAITING);
}

/* False: ended. */
static bool request_content(struct exchange *ex, struct view data)
{
	uint64_t body_bytes_max = ex->client->listener->config->limits.body_bytes;

	ex->bytes_in += data.n;
	if (body_bytes_max != 0 && ex->bytes_in > body_bytes_max) {
		exchange_finish(ex, CAUSE_BODY_TOO_LARGE, NULL);
		return false;
	}
	if (ex->state == EXCHANGE_EXPECTING)
		exchange_enter(ex, EXCHANGE_REQUESTING);
	bytes_moved(ex);
	h1_conn_put_body(upstream_side(ex), data);
	return true;
}

/* More of the request's content from the client: 1 there is more, 0 wait, -1 ended. */
static int request_fill(struct exchange *ex)
{
	struct h1_conn *from = client_side(ex);
	ssize_t got;

	/* What was gathered points into the buffer that is about to be filled. A failed send is no end yet: see pump_response. */
	if (h1_conn_flush(upstream_side(ex)) < 0 || conn_blocked(&upstream_side(ex)->conn))
		return 0;
	got = h1_conn_fill(from, client_input_max(ex->client));
	if (got > 0)
		return 1;
	if (got == -EAGAIN)
		return 0;
	if (got == -ENOBUFS)
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE, "the trailer section is too large");
	else
		exchange_finish(ex, client_failure(ex), NULL);
	return -1;
}

/* The trailer section of the request: 1 done, 0 needs more bytes, -1 ended. */
static int request_trailers(struct exchange *ex)
{
	struct h1_limits limits = client_limits(ex->client);
	struct message trailers;
	struct h1_result result = h1_conn_read_trailers(client_side(ex), &limits, &trailers);

	if (result.status == H1_MORE)
		return 0;
	if (result.status == H1_BAD) {
		exchange_finish(ex, result.cause, result.why);
		return -1;
	}
	request_complete(ex, &trailers);
	return 1;
}

/* Client to upstream. False: ended. */
static bool pump_request(struct exchange *ex)
{
	struct h1_conn *to = upstream_side(ex);
	uint64_t before = ex->bytes_in;
	struct view data;
	const char *why;
	int step;

	while (ex->sent_us == 0 && !conn_blocked(&to->conn) && to->conn.send_error == 0) {
		switch (h1_conn_read_body(client_side(ex), &data, &why)) {
		case H1_PIECE_DATA:
			if (!request_content(ex, data))
				return false;
			continue;
		case H1_PIECE_END: request_complete(ex, NULL); continue;
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
		if (had_its_turn(ex, ex->bytes_in - before))
			break;
		step = request_fill(ex);
		if (step <= 0)
			return step == 0;
	}
	h1_conn_flush(to);
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

/* The answer is whole. The lease goes back before the client has taken the last byte. */
static enum step response_complete(struct exchange *ex, const struct message *trailers)
{
	struct h1_conn *to = client_side(ex);
	bool clean = ex->sent_us != 0 && ex->keep_upstream && h1_body_done(&upstream_side(ex)->body);

	if (PLANTED(REUSE_AFTER_EARLY_RESPONSE))
		clean = true;
	h1_conn_put_end(to, trailers);
	if (h1_conn_flush(to) < 0)
		return step_finish(ex, client_failure(ex), NULL);
	upstream_give_back(&ex->lease, clean);
	if (!conn_blocked(&to->conn))
		return step_finish(ex, CAUSE_NONE, NULL);
	exchange_enter(ex, EXCHANGE_FLUSHING);
	exchange_arm(ex);
	return STEP_ENDED;
}

static enum step response_informational(struct exchange *ex, struct message *m)
{
	if (++ex->informational > INFORMATIONAL_MAX)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "too many informational responses");
	if (m->status == 100 && ex->state == EXCHANGE_EXPECTING)
		exchange_enter(ex, EXCHANGE_REQUESTING);
	if (ex->request.minor == 0)
		return STEP_ON;
	if (!forward_informational(ex, m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the head of an informational response is too large");
	return STEP_ON;
}

static enum step response_upgrade(struct exchange *ex, struct message *m)
{
	if (ex->state != EXCHANGE_WAITING || !ex->request.has_upgrade || !m->has_upgrade)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "switched protocols unasked");
	if (!forward_upgrade(ex, m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the response head is too large");
	ex->status = m->status;
	ex->upstream_status = ex->upgraded = true;
	ex->worker->stats.tunnels_open++;
	exchange_enter(ex, EXCHANGE_TUNNELLING);
	if (h1_conn_flush(client_side(ex)) < 0)
		return step_finish(ex, client_failure(ex), NULL);
	return STEP_ENDED;
}

static enum step response_final(struct exchange *ex, struct message *m)
{
	enum cause cause = CAUSE_FILTER_FAILED;
	const char *why = NULL;

	/* Content until the close cannot be told from content cut off: such a connection carries one answer. */
	ex->keep_upstream = m->keep_alive && m->framing != FRAMING_UNTIL_CLOSE;
	if (!filters_on_response(ex, m, &cause, &why))
		return step_finish(ex, cause, why);
	if (!forward_response(ex, m))
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the response head is too large");
	ex->status = m->status;
	ex->upstream_status = true;
	exchange_enter(ex, EXCHANGE_RESPONDING);
	return STEP_ON;
}

static enum step response_head(struct exchange *ex)
{
	const struct config_upstream_limits *l = &ex->route->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message m;
	struct h1_result result =
		h1_conn_read_response(upstream_side(ex), &limits, (enum method)ex->request.method, &m);

	if (result.status == H1_MORE)
		return STEP_FILL;
	if (result.status == H1_BAD)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, result.why);
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
	const struct config_upstream_limits *l = &ex->route->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message trailers;
	struct h1_result result = h1_conn_read_trailers(upstream_side(ex), &limits, &trailers);

	if (result.status == H1_MORE)
		return STEP_FILL;
	if (result.status == H1_BAD)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, result.why);
	return response_complete(ex, &trailers);
}

static enum step response_content(struct exchange *ex)
{
	struct view data;
	const char *why;

	switch (h1_conn_read_body(upstream_side(ex), &data, &why)) {
	case H1_PIECE_DATA:
		ex->bytes_out += data.n;
		h1_conn_put_body(client_side(ex), data);
		return STEP_ON;
	case H1_PIECE_MORE: return STEP_FILL;
	case H1_PIECE_TRAILERS: return response_trailers(ex);
	case H1_PIECE_END: return response_complete(ex, NULL);
	case H1_PIECE_BAD: return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, why);
	}
	return STEP_FILL;
}

/* The upstream has ended its side. */
static enum step response_eof(struct exchange *ex)
{
	struct h1_conn *from = upstream_side(ex);

	if (ex->state == EXCHANGE_RESPONDING && (h1_body_eof(&from->body) || PLANTED(TRUNCATED_LOOKS_COMPLETE)))
		return response_complete(ex, NULL);
	return step_finish(ex, upstream_failure(ex), NULL);
}

static enum step response_fill(struct exchange *ex)
{
	struct h1_conn *from = upstream_side(ex);
	struct h1_conn *to = client_side(ex);
	uint32_t head_bytes = ex->route->upstream->limits.header_bytes;
	ssize_t got;

	if (h1_conn_flush(to) < 0)
		return step_finish(ex, client_failure(ex), NULL);
	if (conn_blocked(&to->conn))
		return STEP_ENDED;
	got = h1_conn_fill(from, head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES);
	if (got == -EAGAIN)
		return STEP_ENDED;
	if (got == 0)
		return response_eof(ex);
	if (got == -ENOBUFS)
		return step_finish(ex, CAUSE_UPSTREAM_BAD_RESPONSE, "the response head is too large");
	if (got < 0)
		return PLANTED(TRUNCATED_LOOKS_COMPLETE) ? response_eof(ex) : step_finish(ex, upstream_failure(ex), NULL);
	bytes_moved(ex);
	if (ex->first_byte_us == UINT64_MAX)
		ex->first_byte_us = io_now_us(ex->worker->io);
	return STEP_ON;
}

/* Upstream to client, until one side has to be waited for, or the exchange ends or becomes a tunnel. */
static void pump_response(struct exchange *ex)
{
	enum step step = STEP_ON;
	uint64_t before = ex->bytes_out;

	while (step != STEP_ENDED && !conn_blocked(&client_side(ex)->conn)) {
		if (ex->state == EXCHANGE_RESPONDING)
			step = response_content(ex);
		else
			step = upstream_side(ex)->unread.n == 0 ? STEP_FILL : response_head(ex);
		if (step == STEP_FILL)
			step = had_its_turn(ex, ex->bytes_out - before) ? STEP_ENDED : response_fill(ex);
	}
	/* Many small pieces may have blocked the client before all of them were out. */
	if (ex->state != EXCHANGE_ENDED && h1_conn_flush(client_side(ex)) < 0)
		exchange_finish(ex, client_failure(ex), NULL);
}

/* --- tunnels --------------------------------------------------------------------------------------------------------- */

/* One direction. False: ended. */
static bool pump_tunnel(struct exchange *ex, struct h1_conn *from, struct h1_conn *to, uint64_t *count)
{
	bool from_client = from == client_side(ex);
	uint64_t before = *count;
	ssize_t got = 1;

	while (got > 0 && !conn_blocked(&to->conn) && !had_its_turn(ex, *count - before)) {
		struct view data = h1_conn_read_raw(from);

		*count += data.n;
		h1_conn_put_raw(to, data);
		if (h1_conn_flush(to) < 0) {
			exchange_finish(ex, from_client ? upstream_failure(ex) : client_failure(ex), NULL);
			return false;
		}
		if (data.n > 0)
			bytes_moved(ex);
		got = conn_blocked(&to->conn) ? -EAGAIN : h1_conn_fill(from, H1_SCRATCH_IN_BYTES);
	}
	if (got == 0)
		conn_shutdown_write(&to->conn);
	if (got < 0 && got != -EAGAIN) {
		exchange_finish(ex, from_client ? client_failure(ex) : upstream_failure(ex), NULL);
		return false;
	}
	return true;
}

static void tunnel(struct exchange *ex)
{
	struct h1_conn *client = client_side(ex), *upstream = upstream_side(ex);

	if (!pump_tunnel(ex, client, upstream, &ex->bytes_in) || !pump_tunnel(ex, upstream, client, &ex->bytes_out))
		return;
	if (client->conn.shut && upstream->conn.shut)
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_arm(ex);
}

/* --- both ways --------------------------------------------------------------------------------------------------------- */

/* Whether the client has taken bytes since the last look: that too is progress. */
static void notice_unblocking(struct exchange *ex)
{
	uint32_t blocked = buf_len(&client_side(ex)->conn.out);

	if (ex->lease.conn != NULL)
		blocked += buf_len(&upstream_side(ex)->conn.out);
	if (blocked < ex->blocked_bytes)
		bytes_moved(ex);
	ex->blocked_bytes = blocked;
}

/* Something has changed on one of the sides: move what can be moved. */
static void exchange_pump(struct exchange *ex)
{
	notice_unblocking(ex);
	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_NEW:
	case EXCHANGE_FILTERING:
	case EXCHANGE_LEASING:
	case EXCHANGE_ENDED: return;
	case EXCHANGE_EXPECTING:
	case EXCHANGE_REQUESTING:
	case EXCHANGE_WAITING:
	case EXCHANGE_RESPONDING:
		if (ex->sent_us == 0 && !pump_request(ex))
			return;
		/* No event tells of bytes that found no memory; a socket's own failure comes as one. */
		if (upstream_side(ex)->conn.send_error == -ENOMEM) {
			exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
			return;
		}
		/* An answer that has begun may have its end behind a piece that the client has just taken. */
		if (ex->state == EXCHANGE_RESPONDING || h1_conn_has_input(upstream_side(ex)))
			pump_response(ex);
		if (ex->state == EXCHANGE_TUNNELLING)
			tunnel(ex);
		else if (ex->state != EXCHANGE_ENDED)
			exchange_arm(ex);
		return;
	case EXCHANGE_TUNNELLING: tunnel(ex); return;
	case EXCHANGE_FLUSHING:
		if (conn_blocked(&client_side(ex)->conn))
			exchange_arm(ex);
		else
			exchange_finish(ex, CAUSE_NONE, NULL);
		return;
	}
}

void exchange_on_client(struct exchange *ex)
{
	const struct conn *conn = &client_side(ex)->conn;

	if (conn->broken || conn->error != 0 || conn->send_error != 0) {
		exchange_finish(ex, client_failure(ex), NULL);
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

static void exchange_on_more(struct io_task *task)
{
	exchange_pump(container_of(task, struct exchange, more));
}

static void exchange_on_upstream(struct upstream_lease *lease)
{
	exchange_pump(container_of(lease, struct exchange, lease));
}

/* --- from the head to the lease ------------------------------------------------------------------------------------- */

/* A connection is leased: the head goes out, and whatever content is there with it. */
static void exchange_send(struct exchange *ex)
{
	ex->first_byte_us = UINT64_MAX;
	ex->head_sent_us = io_now_us(ex->worker->io);
	if (!forward_request(ex)) {
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE, "the head is too large once the gateway's fields are added");
		return;
	}
	if (h1_body_done(&client_side(ex)->body)) {
		exchange_enter(ex, EXCHANGE_WAITING);
		ex->sent_us = ex->head_sent_us;
		h1_conn_flush(upstream_side(ex));
	} else {
		exchange_enter(ex, ex->request.expect_continue ? EXCHANGE_EXPECTING : EXCHANGE_REQUESTING);
	}
	exchange_pump(ex);
}

/* No connection. When the request's own deadline is what ended the wait, that is the cause. */
static void lease_refused(struct exchange *ex, enum cause cause)
{
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us)
		exchange_finish(ex, CAUSE_REQUEST_DEADLINE, NULL);
	else
		exchange_finish(ex, cause, ex->lease.why);
}

static void exchange_on_lease(struct upstream_lease *lease, enum cause cause)
{
	struct exchange *ex = container_of(lease, struct exchange, lease);

	if (cause == CAUSE_NONE)
		exchange_send(ex);
	else
		lease_refused(ex, cause);
}

static void exchange_lease(struct exchange *ex)
{
	const struct config_upstream *upstream = ex->route->upstream;
	enum cause cause;

	ex->lease.on_outcome = exchange_on_lease;
	ex->lease.on_ready = exchange_on_upstream;
	if (upstream->timeouts.request_us != 0)
		ex->request_deadline_us = deadline_after(ex->head_us, upstream->timeouts.request_us);
	exchange_enter(ex, EXCHANGE_LEASING);
	switch (upstream_acquire(ex->worker->upstreams, upstream, &ex->lease, ex->request_deadline_us, &cause)) {
	case UPSTREAM_ACQUIRED: exchange_send(ex); return;
	case UPSTREAM_PENDING: exchange_arm(ex); return;
	case UPSTREAM_FAILED: lease_refused(ex, cause); return;
	}
}

/* What the route does, once all its filters have passed. */
static void exchange_act(struct exchange *ex)
{
	const char *why = forward_rewrite(ex);
	enum cause cause = CAUSE_MEMORY_EXHAUSTED;

	if (why != NULL)
		exchange_finish(ex, cause, why);
	else if (ex->route->action == ACTION_UPSTREAM)
		exchange_lease(ex);
	else if (answer_prepare(ex, &cause, &why))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_finish(ex, cause, why);
}

void exchange_filter(struct exchange *ex)
{
	enum cause cause = CAUSE_FILTER_FAILED;
	const char *why = NULL;

	switch (filters_on_request(ex, &cause, &why)) {
	case FILTER_CONTINUE: exchange_act(ex); return;
	case FILTER_PAUSE:
		io_timer_set(ex->worker->io, &ex->timer, deadline_after(ex->moved_us, FILTER_PAUSE_MAX_US));
		ex->deadline_cause = CAUSE_FILTER_FAILED;
		return;
	case FILTER_ANSWER: exchange_finish(ex, cause, why); return;
	}
}

/*
 * Max-Forwards of OPTIONS and TRACE (RFC 9110 §7.6.2): counted down on the way. False when this hop is the last one: then
 * OPTIONS has its answer here, and TRACE is refused, since reflecting a request would tell its credentials.
 */
static bool count_forwards(struct exchange *ex)
{
	struct message *m = &ex->request;
	struct field *f = NULL;
	struct view less;
	uint64_t left;

	if (m->method == METHOD_OPTIONS || m->method == METHOD_TRACE)
		f = message_find_name(m, VIEW("Max-Forwards"));
	if (f == NULL || !view_parse_u64(field_value(f), &left))
		return true;
	if (left == 0)
		return false;
	less = arena_printf(&ex->arena, "%llu", (unsigned long long)left - 1);
	if (less.p != NULL) {
		f->value = less.p;
		f->value_len = (uint32_t)less.n;
	}
	return true;
}

/* What the last hop answers. */
static void answer_last_hop(struct exchange *ex)
{
	enum cause cause;
	const char *why;

	ex->answer.status = 204;
	if (ex->request.method == METHOD_TRACE)
		exchange_finish(ex, CAUSE_METHOD_NOT_ALLOWED, "Max-Forwards is spent, and TRACE is not answered here");
	else if (answer_prepare(ex, &cause, &why))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_finish(ex, cause, why);
}

struct route_query exchange_query(const struct exchange *ex)
{
	return (struct route_query){.host = ex->target.host, .path = ex->target.path,
		.method = (enum method)ex->request.method, .method_name = ex->request.method_name};
}

static void exchange_route(struct exchange *ex)
{
	const struct config_limits *limits = &ex->client->listener->config->limits;
	struct route_query query = exchange_query(ex);

	if (ex->request.method == METHOD_CONNECT) {
		exchange_finish(ex, CAUSE_METHOD_NOT_ALLOWED, "CONNECT is not offered: this is not a forward proxy");
		return;
	}
	struct route_match match = router_find(ex->worker->shared->router, &query);

	if (match.route == NULL) {
		exchange_finish(ex, match.wrong_method ? CAUSE_METHOD_NOT_ALLOWED : CAUSE_NO_ROUTE, NULL);
		return;
	}
	ex->route = match.route;
	ex->route_rest = match.rest;
	if (limits->body_bytes != 0 && ex->request.content_length > limits->body_bytes) {
		exchange_finish(ex, CAUSE_BODY_TOO_LARGE, NULL);
		return;
	}
	if (!count_forwards(ex)) {
		answer_last_hop(ex);
		return;
	}
	exchange_enter(ex, EXCHANGE_FILTERING);
	exchange_filter(ex);
}

static void exchange_on_release(struct io_task *task)
{
	struct exchange *ex = container_of(task, struct exchange, release);

	slab_free(&ex->worker->exchange_slab, ex);
}

/* NULL: no memory for another exchange; the client was refused. */
static struct exchange *exchange_create(struct client *client)
{
	struct worker *w = client->worker;
	struct exchange *ex = slab_alloc(&w->exchange_slab);

	if (ex == NULL) {
		answer_refuse(client, CAUSE_MEMORY_EXHAUSTED);
		return NULL;
	}
	memset(ex, 0, offsetof(struct exchange, request));
	ex->target = (struct target){0};
	upstream_lease_init(&ex->lease);
	ex->worker = w;
	ex->client = client;
	ex->timer.on_fire = exchange_on_timer;
	ex->more.on_run = exchange_on_more;
	ex->release.on_run = exchange_on_release;
	ex->request_deadline_us = DEADLINE_NEVER;
	ex->first_byte_us = UINT64_MAX;
	ex->started_us = client->head_us;
	ex->head_us = ex->moved_us = io_now_us(w->io);
	arena_init(&ex->arena, ex->first, sizeof(ex->first),
		4 * (size_t)client->listener->config->limits.header_bytes + ARENA_EXTRA_BYTES);
	client->exchange = ex;
	list_push_back(&w->exchanges, &ex->node);
	w->stats.exchanges_started++;
	return ex;
}

void exchange_start(struct client *client, const struct message *head)
{
	struct exchange *ex = exchange_create(client);
	const char *why;

	if (ex == NULL)
		return;
	if (!message_copy(&ex->request, head, &ex->arena, 0)) {
		ex->request = (struct message){0};
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	if (!forward_identify(ex)) {
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	why = target_read(&ex->target, &ex->request, &ex->arena);
	if (why == NULL)
		why = forward_prepare(ex);
	if (why == target_why_memory)
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, why);
	else if (why != NULL)
		exchange_finish(ex, CAUSE_BAD_REQUEST, why);
	else
		exchange_route(ex);
}

void exchange_refuse(struct client *client, enum cause cause, const char *why)
{
	struct exchange *ex = exchange_create(client);

	if (ex == NULL)
		return;
	ex->request = (struct message){0};
	forward_identify(ex);
	exchange_finish(ex, cause, why);
}

/* --- the one ending --------------------------------------------------------------------------------------------------- */

static void double_finish(struct exchange *ex, const char *where)
{
	char text[256];

	ex->worker->stats.exchange_double_finish++;
	snprintf(text, sizeof(text), "bug: an exchange was ended twice, at %s and at %s", ex->ended_at, where);
	ex->worker->observer.on_event(ex->worker->observer.context, LEVEL_ERROR, text);
	DEBUG_CHECK(!"exchange ended twice");
}

/* Causes after which the connection's framing, or the client's good will, is in doubt. */
static bool closes_client(enum cause cause)
{
	switch (cause) {
	case CAUSE_BAD_REQUEST:
	case CAUSE_URI_TOO_LONG:
	case CAUSE_HEADERS_TOO_LARGE:
	case CAUSE_BODY_TOO_LARGE:
	case CAUSE_CLIENT_TIMEOUT: return true;
	default: return false;
	}
}

bool exchange_keeps_client(const struct exchange *ex)
{
	/* After a final answer to Expect nobody knows whether the content will be sent (RFC 9110 §10.1.1). */
	bool content_unsure = ex->request.expect_continue && ex->bytes_in == 0 && !h1_body_done(&ex->client->h1.body);

	return ex->request.keep_alive && !ex->worker->draining && !content_unsure && client_can_discard(ex->client);
}

/* Gives the client what it is still owed, and says what becomes of its connection. */
static enum client_next conclude(struct exchange *ex, enum exchange_state reached, enum cause cause, const char *why)
{
	struct h1_conn *client = client_side(ex);

	if (reached >= EXCHANGE_RESPONDING) {
		/* What has begun and failed must not look complete. */
		if (cause != CAUSE_NONE)
			return CLIENT_ABORT;
		if (reached == EXCHANGE_TUNNELLING || !ex->keep_client)
			return CLIENT_CLOSE;
		return client_can_discard(ex->client) ? CLIENT_KEEP : CLIENT_CLOSE;
	}
	if (cause == CAUSE_CLIENT_GONE) {
		ex->status = cause_info(cause)->status;
		return CLIENT_ABORT;
	}
	bool keep = exchange_keeps_client(ex) && !closes_client(cause);

	if (!answer_write(ex, cause, why, keep) || h1_conn_flush(client) < 0)
		return CLIENT_ABORT;
	return keep ? CLIENT_KEEP : CLIENT_CLOSE;
}

static void count(struct exchange *ex, enum exchange_state reached, enum cause cause)
{
	struct worker_stats *s = &ex->worker->stats;

	s->exchanges_finished++;
	s->exchanges_by_cause[cause]++;
	s->responses_by_class[ex->status >= 100 && ex->status < 600 && cause != CAUSE_CLIENT_GONE ? ex->status / 100 : 0]++;
	s->bytes_in += ex->bytes_in;
	s->bytes_out += ex->bytes_out;
	if (reached == EXCHANGE_TUNNELLING)
		s->tunnels_open--;
}

void exchange_finish_at(struct exchange *ex, enum cause cause, const char *why, const char *where)
{
	struct worker *w = ex->worker;
	struct client *client = ex->client;
	enum exchange_state reached = (enum exchange_state)ex->state;

	if (reached == EXCHANGE_ENDED) {
		double_finish(ex, where);
		return;
	}
	exchange_enter(ex, EXCHANGE_ENDED);
	ex->ended_at = where;
	upstream_drop(&ex->lease);

	enum client_next next = conclude(ex, reached, cause, why);

	count(ex, reached, cause);
	if (w->observer.wants_records)
		record_send(ex, cause, why);
	filters_on_finish(ex);
	io_timer_cancel(w->io, &ex->timer);
	io_defer_cancel(w->io, &ex->more);
	list_remove(&ex->node);
	arena_release(&ex->arena);
	io_defer(w->io, &ex->release);
	client_exchange_ended(client, next);
}
