/*
 * One request's life: the only code that knows both sides.
 *
 *     NEW ----------------------------------------------------------.
 *      | routed; to LEASING at once where there are no filters       |
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
 * and from EXPECTING, REQUESTING or WAITING back to LEASING: once, when the leased connection turns out to be stale
 * (replay.c; from LEASING itself, when it does not even take the head), and as often as `retry` says when nothing came of it
 * (retry.c; from LEASING itself, when there is no connection). Before the same endpoint is asked again there is a pause:
 *
 *     LEASING, EXPECTING, REQUESTING, WAITING --> BACKING_OFF --> LEASING
 *
 * A route's fallback may take over what would end for a failure before RESPONDING (fallback.c): from where it is the exchange goes
 * to LEASING once more, for another upstream, or to ENDED with an answer of our own. While it is WAITING it may have a second
 * lease (hedge.c).
 *
 * The bytes are moved by the pumps (pump.c): a blocked sink is not read for, and that is the backpressure.
 *
 * A client that ends its direction before its answer is complete has left, unless `half_close: serve` says otherwise: the
 * exchange ends with client_gone, so that nobody's place in a queue, nor a connection, is kept for it. Looked at when the
 * client's connection tells something, before a connection is asked for, and when the last of the content was taken.
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
#include "base/wide.h"
#include "gateway/grpc.h"

enum { ARENA_EXTRA_BYTES = 64 * 1024 };  /* beyond the head: added fields, targets, filter state */

/* When the upstream sets no limit for the whole request, waiting for a connection still has one. */
#define LEASING_MARGIN_US (5 * US_PER_S)

/* Who has not waited for so long has learned nothing of the upstream (upstream/passive.c is as patient). */
#define PATIENCE_LEAST_US (1 * US_PER_S)

/* --- state ------------------------------------------------------------------------------------------------------------ */

#define TO(state) (1u << EXCHANGE_##state)
const uint16_t exchange_arrows[] = {
	[EXCHANGE_NEW] = TO(FILTERING) | TO(LEASING) | TO(ENDED),
	[EXCHANGE_FILTERING] = TO(LEASING) | TO(ENDED),
	[EXCHANGE_LEASING] = TO(EXPECTING) | TO(REQUESTING) | TO(WAITING) | TO(LEASING) | TO(BACKING_OFF) | TO(ENDED),
	[EXCHANGE_BACKING_OFF] = TO(LEASING) | TO(ENDED),
	[EXCHANGE_EXPECTING] = TO(REQUESTING) | TO(WAITING) | TO(RESPONDING) | TO(LEASING) | TO(BACKING_OFF) | TO(ENDED),
	[EXCHANGE_REQUESTING] = TO(WAITING) | TO(RESPONDING) | TO(LEASING) | TO(BACKING_OFF) | TO(ENDED),
	[EXCHANGE_WAITING] = TO(RESPONDING) | TO(TUNNELLING) | TO(LEASING) | TO(BACKING_OFF) | TO(ENDED),
	[EXCHANGE_RESPONDING] = TO(FLUSHING) | TO(ENDED),
	[EXCHANGE_TUNNELLING] = TO(ENDED),
	[EXCHANGE_FLUSHING] = TO(ENDED),
	[EXCHANGE_ENDED] = 0,
};

/* --- deadlines ------------------------------------------------------------------------------------------------------- */

struct wait {
	uint64_t span_us;
	enum cause cause;
	enum phase phase;
};

/* For the answer, once the request was sent. */
static inline struct wait wait_for_answer(const struct exchange *ex)
{
	if (PLANTED(MISSED_DEADLINE))
		return (struct wait){DEADLINE_NEVER, CAUSE_FIRST_BYTE_TIMEOUT, PHASE_FIRST_BYTE};
	return (struct wait){ex->upstream->timeouts.first_byte_us, CAUSE_FIRST_BYTE_TIMEOUT, PHASE_FIRST_BYTE};
}

/* What the exchange waits for in its state, how long, what it is called when it does not come, and where that time goes. */
static struct wait exchange_wait(const struct exchange *ex)
{
	const struct config_listener_timeouts *lt = &ex->client->listener->config->timeouts;
	const struct config_upstream_timeouts *ut = &ex->upstream->timeouts;

	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_LEASING:
		return (struct wait){
			config_pool_wait_max_us(&ex->upstream->pool) + ut->connect_us + LEASING_MARGIN_US,
			CAUSE_POOL_ACQUIRE_TIMEOUT, PHASE_QUEUE};
	case EXCHANGE_BACKING_OFF:
		return (struct wait){ex->retry_at_us > ex->moved_us ? ex->retry_at_us - ex->moved_us : 0, CAUSE_INTERNAL,
			PHASE_BACKOFF};
	case EXCHANGE_REQUESTING:
		if (stream_blocked(ex->lease.stream))
			return (struct wait){ut->idle_us, CAUSE_UPSTREAM_IDLE_TIMEOUT, PHASE_FIRST_BYTE};
		return (struct wait){lt->body_idle_us, CAUSE_CLIENT_TIMEOUT, PHASE_READING};
	case EXCHANGE_EXPECTING:
	case EXCHANGE_WAITING: return wait_for_answer(ex);
	case EXCHANGE_RESPONDING:
		if (stream_blocked(ex->down))
			return (struct wait){lt->write_idle_us, CAUSE_CLIENT_TIMEOUT, PHASE_CLIENT};
		return (struct wait){ut->idle_us, CAUSE_UPSTREAM_IDLE_TIMEOUT, PHASE_UPSTREAM};
	case EXCHANGE_TUNNELLING:
		if (stream_blocked(ex->down))
			return (struct wait){ut->idle_us, CAUSE_CLIENT_TIMEOUT, PHASE_CLIENT};
		return (struct wait){ut->idle_us, CAUSE_UPSTREAM_IDLE_TIMEOUT, PHASE_UPSTREAM};
	case EXCHANGE_FLUSHING: return (struct wait){lt->write_idle_us, CAUSE_CLIENT_TIMEOUT, PHASE_CLIENT};
	default:
		/* FILTERING, whose own limit is timeouts.filters (arm_pause). */
		return (struct wait){lt->write_idle_us, CAUSE_CLIENT_TIMEOUT, PHASE_FILTERS};
	}
}

/* It is in `state`. Where every request passes: in place of a call of its own. */
__attribute__((always_inline)) static inline void arm(struct exchange *ex, enum exchange_state state, struct wait wait)
{
	uint64_t deadline = deadline_after(ex->moved_us, wait.span_us);

	exchange_spends(ex, wait.phase);
	/* What leaves from here on prolongs it. */
	exchange_note_unsent(ex);
	/* A tunnel lives as long as something moves in it. */
	if (ex->request_deadline_us < deadline && state != EXCHANGE_TUNNELLING) {
		deadline = ex->request_deadline_us;
		wait.cause = CAUSE_REQUEST_DEADLINE;
	}
	ex->deadline_cause = (uint8_t)wait.cause;
	if (PLANTED(MISSED_DEADLINE) && state == EXCHANGE_WAITING)
		deadline = DEADLINE_NEVER;
	if (state == EXCHANGE_WAITING && __builtin_expect(ex->upstream->hedge.enabled, 0)) {
		uint64_t hedge_us = ex->hedge_at_us != 0 ? ex->hedge_at_us : hedge_plan(ex);

		deadline = hedge_us < deadline ? hedge_us : deadline;
	}
	io_timer_set(ex->worker->io, ex->timer, deadline);
}

void exchange_arm(struct exchange *ex)
{
	arm(ex, (enum exchange_state)ex->state, exchange_wait(ex));
}

bool exchange_has_deadline(const struct exchange *ex)
{
	return ex->state == EXCHANGE_ENDED || (ex->deadline_cause != CAUSE_NONE && io_timer_armed(ex->timer));
}

/* Whether the answer has been waited for as long as it may be; the timer of one that may be hedged fires before. */
static bool answer_is_overdue(const struct exchange *ex, uint64_t now_us)
{
	return now_us >= deadline_min(ex->request_deadline_us, deadline_after(ex->moved_us, wait_for_answer(ex).span_us));
}

/* Content is to come from the client, and the upstream would take it. */
static bool waits_for_client(const struct exchange *ex)
{
	return ex->lease.stage == LEASE_HELD && ex->sent_us == 0 && !stream_blocked(ex->lease.stream);
}

/* The client is waited for from when it could send: with HTTP/2 its other requests may have stood in the way of this one. */
static bool client_was_barred(struct exchange *ex)
{
	uint64_t until_us = ex->state == EXCHANGE_REQUESTING && waits_for_client(ex) ? client_stream_barred_until_us(ex->down) : 0;

	if (until_us <= ex->moved_us)
		return false;
	ex->moved_us = until_us;
	return true;
}

/*
 * A stream of HTTP/2 tells of bytes that wait only when the last of them has gone, and its connection when there is much room; some may
 * have since.
 */
static bool notices_progress(struct exchange *ex, uint64_t now_us)
{
	if (exchange_notices_progress(ex))
		return true;
	if (!stream_is_h2(ex->down))
		return false;
	if (client_was_barred(ex))
		return true;
	if (!stream_blocked(ex->down) || !client_stream_goes_on(ex->down, ex->moved_us))
		return false;
	ex->moved_us = now_us;
	return true;
}

/* Where the loop has lagged several deadlines may have passed. Nothing begins then that another one ends at once. */
void exchange_on_timer(struct exchange *ex)
{
	uint64_t now_us = io_now_us(ex->worker->io);
	bool has_progress;

	/* What the client had waited for before. */
	if (ex->deadline_cause == CAUSE_NONE)
		return;
	if (ex->state == EXCHANGE_BACKING_OFF) {
		retry_resume(ex);
		return;
	}
	has_progress = notices_progress(ex, now_us);
	if (has_progress && now_us >= ex->request_deadline_us && ex->state != EXCHANGE_TUNNELLING) {
		exchange_finish(ex, CAUSE_REQUEST_DEADLINE, NULL);
	} else if (has_progress || (hedge_is_due(ex) && !answer_is_overdue(ex, now_us))) {
		if (hedge_is_due(ex))
			hedge_begin(ex);
		exchange_arm(ex);
	} else if (!retry_for_silence(ex)) {
		exchange_finish(ex, (enum cause)ex->deadline_cause, NULL);
	}
}

/* --- from the head to the lease ------------------------------------------------------------------------------------- */

static void exchange_on_more(struct io_task *task)
{
	exchange_pump(container_of(task, struct exchange, task));
}

void exchange_pump_later(struct exchange *ex)
{
	/* Then the task is about to free it. */
	CHECK(ex->state != EXCHANGE_ENDED);
	ex->task.on_run = exchange_on_more;
	io_defer(ex->worker->io, &ex->task);
}

static void exchange_on_upstream(struct upstream_lease *lease)
{
	exchange_on_answer(container_of(lease, struct exchange, lease));
}

/*
 * With HTTP/2 a stream that its head cannot be put to has ended with that, unless the head is too large. Where the
 * connection takes no more streams, or has no memory for one, nothing was sent, and so the request goes to another one,
 * whatever its method.
 */
static void head_not_taken(struct exchange *ex)
{
	const struct stream *to = ex->lease.stream;
	bool starved = !stream_was_refused(to) || stream_error(to) == -ENOMEM;

	ex->is_beyond_peer = stream_is_beyond_peer(to);
	ex->head_limit_bytes = stream_head_limit(to);
	if (ex->is_beyond_peer)
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE,
			"the head is larger than the upstream takes (SETTINGS_MAX_HEADER_LIST_SIZE)");
	else if (!stream_broken(to))
		exchange_finish(ex, CAUSE_HEADERS_TOO_LARGE, "the head is too large once the gateway's fields are added");
	else if (stream_was_refused(to) && replay_try(ex))
		return;
	else if (starved)
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, "no memory for the request's head");
	else if (!retry_for_loss(ex))
		exchange_finish(ex, CAUSE_UPSTREAM_RESET, NULL);
}

/* That this worker was busy with others when the answer came is not the upstream's time. */
static uint64_t waited_us(const struct exchange *ex)
{
	uint64_t now_us = io_now_us(ex->worker->io), until_us = deadline_min(ex->first_byte_us, now_us);

	if (ex->sent_us == 0 || until_us <= ex->sent_us)
		return 0;
	uint64_t lag_us = until_us == now_us ? io_lag_us(ex->worker->io, ex->sent_us) : 0;

	return until_us - ex->sent_us > lag_us ? until_us - ex->sent_us - lag_us : 1;
}

void exchange_report(struct exchange *ex, enum cause cause, unsigned status)
{
	struct upstream_result result = {.cause = cause, .status = status, .waited_us = waited_us(ex)};

	upstream_report(&ex->lease, result);
	if (ex->trace != NULL)
		trace_reported(ex, cause, status);
	if (__builtin_expect(ex->upstream->hedge.permille != 0, 0) && cause == CAUSE_NONE && result.waited_us > 0)
		upstream_learn_latency(ex->worker->upstreams, ex->upstream, result.waited_us);
}

/* The client itself has said how long, and it was less than anybody else would have waited. That this worker was late is not its time. */
static bool is_clients_deadline(const struct exchange *ex)
{
	uint64_t own_us = ex->upstream->timeouts.request_us, since_us = ex->sent_us != 0 ? ex->sent_us : ex->head_us;
	uint64_t until_us = deadline_min(io_now_us(ex->worker->io), ex->request_deadline_us);

	if (ex->grpc == NULL || (own_us != 0 && own_us <= ex->grpc->timeout_us))
		return false;
	return until_us < since_us + PATIENCE_LEAST_US;
}

/* The answer was one, and only this client cannot have it: its head is too large for it, or a page where it asked for a tunnel. */
static bool is_beyond_client(const struct exchange *ex)
{
	return stream_is_beyond_peer(ex->down) || (stream_asks_tunnel(ex->down) && ex->lease.reported);
}

bool exchange_blames_upstream(const struct exchange *ex, enum cause cause)
{
	if (cause_info(cause)->fault != FAULT_UPSTREAM || (cause == CAUSE_UPSTREAM_BAD_RESPONSE && is_beyond_client(ex)))
		return false;
	return cause != CAUSE_REQUEST_DEADLINE || (!waits_for_client(ex) && !is_clients_deadline(ex));
}

void exchange_report_failure(struct exchange *ex, enum cause cause)
{
	if (ex->lease.stage == LEASE_HELD && !ex->lease.reported && exchange_blames_upstream(ex, cause))
		exchange_report(ex, cause, 0);
}

/*
 * A connection is leased: the head goes out, and whatever content is there with it. Also of a second try (hedge.c): so the head
 * is made in one place, in which it stands whole, since every request passes here.
 */
void exchange_send(struct exchange *ex)
{
	bool fits;

	ex->first_byte_us = UINT64_MAX;
	ex->head_sent_us = io_now_us(ex->worker->io);
	stream_begin_message(ex->lease.stream);
	if (ex->lease.conn->proxy_protocol != PROXY_PROTOCOL_OFF)
		naming_put_header(ex);
	fits = forward_request(ex);
	if (__builtin_expect(ex->hedge != NULL, 0)) {
		hedge_send_rest(ex, fits);
		return;
	}
	if (!fits) {
		head_not_taken(ex);
		return;
	}
	if (ex->replay == REPLAY_KEPT) {
		replay_send(ex);
	} else if (stream_body_done(ex->down)) {
		exchange_enter_at(ex, EXCHANGE_WAITING, ex->head_sent_us);
		stream_put_end(ex->lease.stream, NULL);
		ex->sent_us = ex->head_sent_us;
		/* The ordinary case: it was sent, and nothing can have come of it yet. */
		if (stream_flush(ex->lease.stream) == 0 && !stream_has_input(ex->lease.stream)) {
			arm(ex, EXCHANGE_WAITING, wait_for_answer(ex));
			return;
		}
	} else {
		replay_prepare(ex);
		stream_expect(ex->down, ex->lease.stream, ex->request.content_length);
		exchange_enter(ex, ex->request.expect_continue ? EXCHANGE_EXPECTING : EXCHANGE_REQUESTING);
	}
	exchange_pump(ex);
}

/* No connection. When the request's own deadline is what ended the wait, that is the cause. */
static void lease_refused(struct exchange *ex, enum cause cause)
{
	times_connect_failed(ex, cause);
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us) {
		exchange_finish(ex, CAUSE_REQUEST_DEADLINE, NULL);
	} else if (!retry_for_connect(ex, cause)) {
		ex->retry_after_s = ex->lease.retry_after_s;
		exchange_finish(ex, cause, ex->lease.why);
	}
}

static void exchange_on_lease(struct upstream_lease *lease, enum cause cause)
{
	struct exchange *ex = container_of(lease, struct exchange, lease);

	if (cause == CAUSE_NONE)
		exchange_send(ex);
	else
		lease_refused(ex, cause);
}

static inline void lease_answered(struct exchange *ex, enum upstream_answer answer)
{
	switch (answer) {
	case UPSTREAM_ACQUIRED: exchange_send(ex); return;
	case UPSTREAM_PENDING: exchange_arm(ex); return;
	case UPSTREAM_FAILED: lease_refused(ex, ex->refused_for); return;
	}
}

void exchange_lease_again(struct exchange *ex, enum upstream_retry_reason reason)
{
	enum upstream_answer answer;

	CHECK(ex->retries == 0 || PLANTED(REFUSED_RETRIED_TWICE));
	ex->retries++;
	hedge_end(ex, false);
	hedge_plan_anew(ex);
	exchange_enter(ex, EXCHANGE_LEASING);
	/* Content that could not be sent was not read either: the end behind it counts from here on. */
	if (exchange_client_left(ex)) {
		exchange_lose_client(ex);
		return;
	}
	if (ex->trace != NULL) {
		trace_try_over(ex, CAUSE_UPSTREAM_RESET);
		trace_try(ex, TRY_REPLAY);
	}
	answer = upstream_acquire_again(&ex->lease, reason, &ex->refused_for);
	lease_answered(ex, answer);
}

static enum trace_try_kind exchange_try_kind(const struct exchange *ex)
{
	if (ex->lease.tried_count > 0)
		return TRY_RETRY;
	return ex->fallback_cause != CAUSE_NONE ? TRY_FALLBACK : TRY_FIRST;
}

/* The state is LEASING. Every request passes. */
__attribute__((always_inline)) static inline void lease_ask(struct exchange *ex, const struct config_upstream *upstream)
{
	enum upstream_answer answer;

	if (ex->trace != NULL)
		trace_try(ex, exchange_try_kind(ex));
	answer = upstream_acquire(ex->worker->upstreams, upstream, &ex->lease, ex->request_deadline_us, &ex->refused_for);
	lease_answered(ex, answer);
}

void exchange_lease_anew(struct exchange *ex)
{
	exchange_enter(ex, EXCHANGE_LEASING);
	/* 100 for the client stands where the next head is written, if what failed has come with it. */
	if (exchange_client_left(ex) || stream_flush(ex->down) < 0)
		exchange_lose_client(ex);
	else
		lease_ask(ex, ex->upstream);
}

static const struct upstream_lease_ops lease_ops = {
	.on_outcome = exchange_on_lease,
	.on_ready = exchange_on_upstream,
	.on_overdue = exchange_overdue,
	.owed_since = exchange_owed_since,
	.waits_for_user = exchange_waits_for_client,
};

/* exchange_lease(), where every request passes. */
static inline void ask_upstream(struct exchange *ex)
{
	const struct config_upstream *upstream = ex->upstream;

	/* The end may have come together with the head: then no event will tell of it. */
	if (exchange_client_left(ex)) {
		exchange_lose_client(ex);
		return;
	}
	ex->lease.ops = &lease_ops;
	ex->lease.priority = exchange_priority(ex);
	if (upstream->timeouts.request_us != 0)
		ex->request_deadline_us = deadline_after(ex->head_us, upstream->timeouts.request_us);
	if (ex->grpc != NULL && !grpc_bound(ex)) {
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	if (balance_key_is_wanted(ex) && !balance_key_make(ex)) {
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	exchange_enter(ex, EXCHANGE_LEASING);
	lease_ask(ex, upstream);
}

void exchange_lease(struct exchange *ex)
{
	ask_upstream(ex);
}

/* With ex->answer. Like the next one away from those requests that have to be quick: those that only pass through. */
__attribute__((noinline)) static void exchange_answer(struct exchange *ex)
{
	enum cause cause = CAUSE_MEMORY_EXHAUSTED;
	const char *why = NULL;

	if (answer_prepare(ex, &cause, &why))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_finish(ex, cause, why);
}

/* What the last hop answers. */
__attribute__((noinline)) static void answer_last_hop(struct exchange *ex)
{
	ex->answer = (struct answer){.status = 204};
	if (ex->request.method == METHOD_TRACE)
		exchange_finish(ex, CAUSE_METHOD_NOT_ALLOWED, "Max-Forwards is spent, and TRACE is not answered here");
	else
		exchange_answer(ex);
}

/* What the route does, once all its filters have passed. */
static inline void exchange_act(struct exchange *ex)
{
	const char *why;

	if (__builtin_expect(ex->is_last_hop, 0)) {
		answer_last_hop(ex);
		return;
	}
	why = forward_rewrite(ex);
	if (why != NULL)
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, why);
	else if (ex->route->action != ACTION_UPSTREAM)
		exchange_answer(ex);
	else if (!exchange_is_admitted(ex))
		exchange_finish(ex, CAUSE_BREAKER_OPEN, "the route's breaker is open");
	else
		ask_upstream(ex);
}

/* A pause counts for the time that the request has. */
static void arm_pause(struct exchange *ex)
{
	uint64_t most_us = deadline_after(ex->moved_us, ex->client->listener->config->timeouts.filters_us);
	uint64_t end_us = exchange_must_end_us(ex);

	exchange_spends(ex, PHASE_FILTERS);
	ex->deadline_cause = end_us < most_us ? CAUSE_REQUEST_DEADLINE : CAUSE_FILTER_FAILED;
	io_timer_set(ex->worker->io, ex->timer, deadline_min(most_us, end_us));
}

__attribute__((noinline)) void exchange_filter(struct exchange *ex)
{
	enum cause cause = CAUSE_FILTER_FAILED;
	const char *why = NULL;

	ex->is_special = true;
	switch (filters_on_request(ex, &cause, &why)) {
	case FILTER_CONTINUE: exchange_act(ex); return;
	case FILTER_PAUSE:
		arm_pause(ex);
		/* No event will tell of an end that came together with the head. */
		if (exchange_client_left(ex))
			exchange_lose_client(ex);
		return;
	case FILTER_ANSWER: exchange_finish(ex, cause, why); return;
	}
}

/*
 * Max-Forwards of OPTIONS and TRACE (RFC 9110 §7.6.2): counted down on the way. False when this hop is the last one: then
 * OPTIONS has its answer here, and TRACE is refused, since reflecting a request would tell its credentials.
 */
__attribute__((noinline)) static bool count_forwards(struct exchange *ex)
{
	struct field *f = message_find_name(&ex->request, VIEW("Max-Forwards"));
	struct view less;
	uint64_t left;

	if (f == NULL || !view_parse_u64(field_value(f), &left))
		return true;
	if (left == 0)
		return false;
	less = arena_printf(&ex->arena, "%llu", (unsigned long long)left - 1);
	if (less.p != NULL)
		message_set_value(&ex->request, f, less);
	return true;
}

struct route_query exchange_query(const struct exchange *ex)
{
	return (struct route_query){.host = ex->target.host, .path = ex->target.path,
		.method = (enum method)ex->request.method, .method_name = ex->request.method_name};
}

/* By what it asks for. False: there is none, and it has ended. */
__attribute__((noinline)) static bool route_find(struct exchange *ex)
{
	struct route_query query = exchange_query(ex);
	struct route_match match = router_find(ex->held->router, &query);

	if (match.route == NULL) {
		exchange_finish(ex, match.wrong_method ? CAUSE_METHOD_NOT_ALLOWED : CAUSE_NO_ROUTE, NULL);
		return false;
	}
	ex->route = match.route;
	ex->route_rest = match.rest;
	return true;
}

/* The same, without a look where all requests take one route. */
static inline bool exchange_find_route(struct exchange *ex)
{
	ex->route = router_only(ex->held->router);
	ex->route_rest = ex->target.path;
	return ex->route != NULL || route_find(ex);
}

static inline void exchange_route(struct exchange *ex)
{
	const struct config_listener *listener = ex->client->listener->config;

	if (ex->request.method == METHOD_CONNECT) {
		exchange_finish(ex, CAUSE_METHOD_NOT_ALLOWED, "CONNECT is not offered: this is not a forward proxy");
		return;
	}
	if (listener->https_redirect.enabled && https_redirect(ex))
		return;
	if (ex->client->h1.conn.tls != NULL &&
		!tls_serves_host(&ex->client->h1.conn, ex->client->listener->tls, ex->target.host)) {
		exchange_finish(ex, CAUSE_MISDIRECTED_REQUEST, NULL);
		return;
	}
	if (!exchange_find_route(ex))
		return;
	ex->upstream = ex->route->upstream;
	if (listener->limits.body_bytes != 0 && ex->request.content_length > listener->limits.body_bytes) {
		exchange_finish(ex, CAUSE_BODY_TOO_LARGE, NULL);
		return;
	}
	if (ex->request.method == METHOD_OPTIONS || ex->request.method == METHOD_TRACE)
		ex->is_last_hop = !count_forwards(ex);
	if (ex->route->filter_count > 0) {
		exchange_enter(ex, EXCHANGE_FILTERING);
		exchange_filter(ex);
	} else {
		exchange_act(ex);
	}
}

static void exchange_on_release(struct io_task *task)
{
	struct exchange *ex = container_of(task, struct exchange, task);

	slab_free(&ex->worker->exchange_slab, ex);
}

/* At the end of the tick. */
static void exchange_free_later(struct exchange *ex)
{
	ex->task.on_run = exchange_on_release;
	io_defer(ex->worker->io, &ex->task);
}

/* NULL: no memory for another exchange; the client was refused. */
__attribute__((always_inline)) static inline struct exchange *exchange_create(struct client *client, struct stream *down, enum method method)
{
	struct worker *w = client->worker;
	struct exchange *ex = slab_alloc(&w->exchange_slab);

	if (ex == NULL) {
		answer_refuse(client, down, method, CAUSE_MEMORY_EXHAUSTED, NULL);
		return NULL;
	}
	wide_zero((char *)ex + EXCHANGE_ZEROED, EXCHANGE_ZEROED_END - EXCHANGE_ZEROED);
	upstream_lease_init(&ex->lease);
	ex->worker = w;
	ex->client = client;
	ex->down = down;
	ex->trusted = client->trusted;
	ex->held = PLANTED(GENERATION_FREED_EARLY) ? w->current : generation_enter(w->current);
	ex->task.node = (struct list_node){NULL, NULL};
	ex->request_deadline_us = DEADLINE_NEVER;
	ex->first_byte_us = UINT64_MAX;
	ex->started_us = ex->phase_since_us = client_exchange_began(client, down, ex);
	ex->head_us = ex->moved_us = io_now_us(w->io);
	arena_init(&ex->arena, ex->first, sizeof(ex->first),
		4 * (size_t)client->listener->config->limits.header_bytes + ARENA_EXTRA_BYTES);
	list_push_back(&w->exchanges, &ex->node);
	w->stats.exchanges_started++;
	return ex;
}

/* The worker takes no new work: the request was refused, and has ended. */
__attribute__((noinline)) static bool exchange_is_shed(struct exchange *ex)
{
	const char *why = NULL;
	enum cause cause = shedding_judge_request(&ex->worker->shedding, &why);

	if (cause != CAUSE_NONE)
		exchange_finish(ex, cause, why);
	return cause != CAUSE_NONE;
}

/* What is told of one that ends before its head was looked at. */
static void know_nothing(struct exchange *ex, enum method method)
{
	ex->request = (struct message){.method = (uint8_t)method};
	ex->target = (struct target){.form = TARGET_ORIGIN};
	ex->peer = ex->client_address = ex->request_id = view_of(NULL, 0);
}

void exchange_start(struct client *client, struct stream *down, const struct message *head)
{
	struct exchange *ex = exchange_create(client, down, (enum method)head->method);
	const char *why;

	if (ex == NULL)
		return;
	if (!message_copy(&ex->request, head, &ex->arena, 0)) {
		/* An answer to HEAD has no content, whatever it says. */
		know_nothing(ex, (enum method)head->method);
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	if (!forward_identify(ex)) {
		ex->target = (struct target){.form = TARGET_ORIGIN};
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, NULL);
		return;
	}
	if (ex->held->is_traced)
		trace_begin(ex);
	why = target_read(&ex->target, &ex->request, &ex->arena, &ex->worker->host_memo);
	if (ex->request.field_ids & FIELD_BIT(FIELD_CONTENT_TYPE)) {
		const char *why_not = grpc_begin(ex);

		why = why != NULL ? why : why_not;
	}
	if (why == NULL)
		why = forward_prepare(ex);
	if (why == target_why_memory)
		exchange_finish(ex, CAUSE_MEMORY_EXHAUSTED, why);
	else if (why != NULL)
		exchange_finish(ex, CAUSE_BAD_REQUEST, why);
	else if (!__builtin_expect(ex->worker->shedding.looks, 0) || !exchange_is_shed(ex))
		exchange_route(ex);
}

void exchange_refuse(struct client *client, struct stream *down, enum method method, enum cause cause, const char *why)
{
	struct exchange *ex = exchange_create(client, down, method);

	if (ex == NULL)
		return;
	know_nothing(ex, method);
	if (forward_identify(ex) && ex->held->is_traced)
		trace_begin(ex);
	exchange_finish(ex, cause, why);
}

/* --- the one ending --------------------------------------------------------------------------------------------------- */

__attribute__((noinline)) static void double_finish(struct exchange *ex, const char *where)
{
	char text[256];

	ex->worker->stats.exchange_double_finish++;
	snprintf(text, sizeof(text), "bug: an exchange was ended twice, at %s and at %s", ex->ended_at, where);
	ex->worker->observer.on_event(ex->worker->observer.context, LEVEL_ERROR, text);
	DEBUG_CHECK(!"exchange ended twice");
}

/*
 * Causes after which the connection's framing, or the client's good will, is in doubt. What only the upstream does not
 * take was whole and in order.
 */
static bool closes_client(const struct exchange *ex, enum cause cause)
{
	switch (cause) {
	case CAUSE_HEADERS_TOO_LARGE: return !ex->is_beyond_peer;
	case CAUSE_BAD_REQUEST:
	case CAUSE_URI_TOO_LONG:
	case CAUSE_BODY_TOO_LARGE:
	case CAUSE_CLIENT_TIMEOUT: return true;
	default: return false;
	}
}

bool exchange_keeps_client(const struct exchange *ex)
{
	/* After a final answer to Expect nobody knows whether the content will be sent (RFC 9110 §10.1.1). */
	bool content_unsure = ex->request.expect_continue && ex->bytes_in == 0 && !stream_body_done(ex->down);

	/* A stream more or less says nothing of its connection. */
	if (stream_is_h2(ex->down))
		return true;
	return ex->request.keep_alive && !client_is_leaving(ex->client) && !ex->worker->shedding.parts && !content_unsure && client_can_discard(ex->client);
}

/* Who has only ended its direction may still be reading the answers before this one, which a reset could destroy. */
static enum client_next part(const struct stream *down)
{
	bool reads = !stream_broken(down) && stream_error(down) == 0 && stream_send_error(down) == 0 && !stream_blocked(down);

	return reads ? CLIENT_CLOSE : CLIENT_ABORT;
}

static inline enum client_next keeps_or_closes(const struct exchange *ex)
{
	return ex->keep_client ? CLIENT_KEEP : CLIENT_CLOSE;
}

/* Gives the client what it is still owed, and says what becomes of its connection. */
static enum client_next conclude(struct exchange *ex, enum exchange_state reached, enum cause cause, const char *why)
{
	if (reached >= EXCHANGE_RESPONDING) {
		/* What has begun and failed must not look complete, to lax readers neither: it ends with a reset. */
		if (cause != CAUSE_NONE)
			return CLIENT_ABORT;
		if (reached == EXCHANGE_TUNNELLING || (!stream_is_h2(ex->down) && !client_can_discard(ex->client)))
			return CLIENT_CLOSE;
		return keeps_or_closes(ex);
	}
	if (cause == CAUSE_CLIENT_GONE) {
		ex->status = cause_info(cause)->status;
		return part(ex->down);
	}
	bool keep = exchange_keeps_client(ex) && !closes_client(ex, cause);

	bool fits = answer_write(ex, cause, why, keep);

	if (!keep)
		stream_part(ex->down);
	if (!fits || stream_flush(ex->down) < 0) {
		ex->status = 0;
		return CLIENT_ABORT;
	}
	return keep ? CLIENT_KEEP : CLIENT_CLOSE;
}

static inline void count_special(struct exchange *ex, enum exchange_state reached, enum cause cause)
{
	struct worker_stats *s = &ex->worker->stats;

	if (ex->grpc != NULL)
		s->grpc_responses[ex->grpc->status]++;
	if (ex->tries > 0)
		s->retried[cause == CAUSE_NONE && ex->status < 500]++;
	if (reached == EXCHANGE_TUNNELLING)
		s->tunnels_open--;
}

static inline void count(struct exchange *ex, enum cause cause)
{
	struct worker_stats *s = &ex->worker->stats;

	s->exchanges_finished++;
	s->exchanges_by_cause[cause]++;
	s->responses_by_class[ex->status >= 100 && ex->status < 600 && cause != CAUSE_CLIENT_GONE ? ex->status / 100 : 0]++;
	s->bytes_in += ex->bytes_in;
	s->bytes_out += ex->bytes_out;
}

/* What it holds of its route's upstream, and for that. */
static inline void let_go(struct exchange *ex, enum exchange_state reached, enum cause cause)
{
	exchange_leave_breaker(ex, cause);
	if (cause != CAUSE_NONE)
		exchange_report_failure(ex, cause);
	hedge_end(ex, false);
	if (PLANTED(TUNNEL_GIVEN_BACK) && reached == EXCHANGE_TUNNELLING)
		upstream_give_back(&ex->lease, true);
	if (!PLANTED(TUNNEL_LEASE_KEPT) || reached != EXCHANGE_TUNNELLING || cause != CAUSE_CLIENT_GONE)
		upstream_drop(&ex->lease);
	if (buf_cap(&ex->kept) > 0)
		replay_forget(ex);
}

/* There is nothing to let go, nor to conclude. */
static bool is_done(const struct exchange *ex)
{
	bool was_special = ex->breaker_call != 0 || ex->hedge != NULL || ex->grpc != NULL || ex->tries > 0 || ex->filter_at > 0;

	return ex->state == EXCHANGE_RESPONDING && ex->lease.stage == LEASE_NONE && buf_cap(&ex->kept) == 0 && !was_special;
}

/* That what is the same for each of a kind is decided when it is compiled, it is there once for each of its two users. */
__attribute__((always_inline)) static inline void end(
	struct exchange *ex, enum exchange_state reached, enum cause cause, const char *why, const char *where, bool is_ordinary)
{
	struct worker *w = ex->worker;
	struct client *client = ex->client;
	struct stream *down = ex->down;

	if (cause != CAUSE_NONE && fallback_takes_over(ex, cause))
		return;
	/* Its route's breaker is asked before any endpoint's is. */
	if (cause == CAUSE_BREAKER_OPEN)
		times_refused(ex, reached < EXCHANGE_LEASING ? BREAKER_OF_ROUTE : BREAKER_OF_ENDPOINT);
	CHECK(exchange_arrows[reached] & TO(ENDED));
	ex->state = EXCHANGE_ENDED;
	ex->ended_at = where;
	if (!is_ordinary)
		let_go(ex, reached, cause);

	enum client_next next = is_ordinary ? keeps_or_closes(ex) : conclude(ex, reached, cause, why);

	count(ex, cause);
	if (is_ordinary) {
		times_end_ordinary(ex);
	} else {
		count_special(ex, reached, cause);
		times_end(ex);
	}
	if (ex->trace != NULL)
		ex->trace->exported = trace_end(ex, cause, why);
	if (ex->held->is_logged && w->observer.on_finished != NULL && record_is_wanted(ex, cause))
		record_send(ex, cause, why);
	if (!is_ordinary && (ex->filter_at > 0 || ex->pause_slot != 0))
		filters_on_finish(ex);
	io_defer_cancel(w->io, &ex->task);
	list_remove(&ex->node);
	if (ex->arena.blocks != NULL)
		arena_release(&ex->arena);
	upstream_lease_release(&ex->lease);
	if (!PLANTED(GENERATION_FREED_EARLY))
		generation_leave(ex->held);
	if (is_ordinary) {
		slab_free(&w->exchange_slab, ex);
		client_exchange_answered(client, next);
	} else {
		exchange_free_later(ex);
		client_exchange_ended(client, down, next);
	}
}

void exchange_finish_at(struct exchange *ex, enum cause cause, const char *why, const char *where)
{
	if (ex->state == EXCHANGE_ENDED)
		double_finish(ex, where);
	else
		end(ex, (enum exchange_state)ex->state, cause, why, where, false);
}

void exchange_finish_ordinary_at(struct exchange *ex, const char *where)
{
	if (__builtin_expect(ex->state != EXCHANGE_RESPONDING, 0)) {
		exchange_finish_at(ex, CAUSE_NONE, NULL, where);
		return;
	}
	DEBUG_CHECK(is_done(ex));
	end(ex, EXCHANGE_RESPONDING, CAUSE_NONE, NULL, where, true);
}
