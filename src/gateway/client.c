/*
 * A client's connection, from accept to close.
 *
 *              .---------------------------- KEEP ----------------------------.
 *              v                                                              |
 *     accept -> IDLE --byte--> HEAD --head complete--> EXCHANGE --ended--> FLUSHING --> DISCARDING
 *                |               |                        |                   |             |
 *                | keep_alive,   | header timeout: 408    | ABORT             | CLOSE       | too much
 *                | EOF           v                        v                   v             v
 *                `-----------> CLOSED <--------------------------------- LINGERING <--------'
 *
 * With TLS a HANDSHAKE stands before the first IDLE; one that fails or is not over in time closes the connection.
 * Where the listener asks for a PROXY header, NAMING stands between accept and IDLE (naming.c).
 *
 * FLUSHING and DISCARDING are passed through at once when there is nothing to flush or to discard. One exchange at a time:
 * pipelined requests stay unread until their turn, so answers come in order by construction.
 *
 * LINGERING (RFC 9112 §9.6): closing a socket that has unread input resets it, and a reset may destroy the answer on its
 * way: the answer to this request, and what a slow reader has still to fetch of those before. So our direction is ended
 * first, and what still comes is thrown away until the client closes, falls silent, or time is up.
 */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "gateway/listener_books.h"
#include "gateway/state.h"

enum {
	DISCARD_MAX = 256 * 1024,  /* content of an answered request that is read to keep the connection */
	LINGER_FILLS = 16,         /* receives in one go, before the loop turns to other events */
};
#define LINGER_US (2 * US_PER_S)
#define LINGER_ALL_US (30 * US_PER_S)
#define LINGER_BEYOND_LIMIT_US (250 * US_PER_MS)
#define LINGER_SESSION_US (250 * US_PER_MS)   /* in all: a flood is not read for long */

/*
 * A client that has connected before a drain and sent nothing yet: its request may be on the way, and unlike one that was
 * kept alive it need not expect to be closed. So it is waited for.
 */
#define DRAIN_NEW_US (1 * US_PER_S)

static void client_serve(struct client *c);
static void client_proceed(struct client *c, enum client_next next);

static uint64_t now_us(const struct client *c)
{
	return io_now_us(c->worker->io);
}

static void arm(struct client *c, uint64_t span_us)
{
	io_timer_set(c->worker->io, &c->timer, deadline_after(now_us(c), span_us));
}

size_t client_input_max(const struct client *c)
{
	uint32_t head_bytes = c->listener->config->limits.header_bytes;

	return head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES;
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void client_free(struct io_task *task)
{
	struct client *c = container_of(task, struct client, task);
	struct worker *w = c->worker;
	struct worker_listener *listener = c->listener;

	slab_free(&w->client_slab, c);
	worker_client_closed(w, listener);
}

/* It is no longer among the connections of the listener and of its client. */
static void client_uncount(struct client *c)
{
	if (c->counted)
		atomic_fetch_sub_explicit(&c->listener->book->connections, 1, memory_order_relaxed);
	if (c->cap != NULL)
		client_caps_leave(c->worker->shared->caps, c->cap);
	c->counted = false;
	c->cap = NULL;
}

/* After the socket is closed. */
static void client_gone(struct client *c)
{
	if (c->state == CLIENT_SESSION && c->session != NULL)
		client_session_end(c);
	if (c->state == CLIENT_HANDSHAKE)
		c->listener->handshakes--;
	c->state = CLIENT_CLOSED;
	h1_conn_release(&c->h1);
	io_timer_cancel(c->worker->io, &c->timer);
	list_remove(&c->node);
	client_uncount(c);
	c->worker->turned_away -= c->beyond_limit;
	c->worker->stats.connections_open--;
	c->task.on_run = client_free;
	io_defer(c->worker->io, &c->task);
}

void client_close(struct client *c)
{
	CHECK(c->state != CLIENT_EXCHANGE);
	if (c->state == CLIENT_CLOSED)
		return;
	conn_close(&c->h1.conn);
	client_gone(c);
}

static void client_abort(struct client *c)
{
	conn_abort(&c->h1.conn);
	client_gone(c);
}

/* Anew whenever bytes came: a client that is still sending has not read the answer yet. */
static void linger_arm(struct client *c)
{
	uint64_t span_us = c->beyond_limit ? LINGER_BEYOND_LIMIT_US : LINGER_US;

	io_timer_set(c->worker->io, &c->timer, deadline_min(deadline_after(now_us(c), span_us), c->linger_until_us));
}

static void linger_read(struct client *c)
{
	/* Who speaks HTTP/2 may have been ended for a flood: others go first. */
	int fills_max = c->speaks_h1 ? LINGER_FILLS : 1;
	ssize_t got = 1;

	for (int i = 0; got > 0 && i < fills_max; i++) {
		h1_conn_read_raw(&c->h1);
		got = h1_conn_fill(&c->h1, H1_SCRATCH_IN_BYTES);
	}
	if (got != -EAGAIN && got <= 0) {
		client_close(c);
		return;
	}
	if (got > 0)
		io_defer(c->worker->io, &c->task);
	linger_arm(c);
}

/* For so long at most. */
static void linger_begin(struct client *c, uint64_t span_us)
{
	c->state = CLIENT_LINGERING;
	c->linger_until_us = deadline_after(now_us(c), span_us);
	conn_shutdown_write(&c->h1.conn);
	linger_read(c);
}

void client_session_over(struct client *c)
{
	const struct conn *conn = &c->h1.conn;
	bool is_open = conn->error == 0 && conn->send_error == 0 && !conn->at_end;
	bool has_flooded = client_session_has_flooded(c);

	/* The exchange that ends last brings it here again. */
	if (!client_session_lose(c))
		return;
	client_session_end(c);
	/* What a flood still has in the socket nobody reads. */
	if (is_open && !has_flooded)
		linger_begin(c, LINGER_SESSION_US);
	else
		client_close(c);
}

/*
 * Its request was whole, it has promised to send nothing behind it, and nothing is there. That is asked of the socket, not only of
 * the events so far: the answer may be waiting for the end, which must not be a reset.
 */
static bool client_is_done(struct client *c)
{
	if (!c->says_close || !h1_body_done(&c->h1.body) || c->h1.unread.n > 0)
		return false;
	conn_look_again(&c->h1.conn);
	return h1_conn_fill(&c->h1, client_input_max(c)) <= 0;
}

static void client_linger(struct client *c)
{
	if (client_is_done(c)) {
		client_close(c);
		return;
	}
	linger_begin(c, LINGER_ALL_US);
}

/* --- between exchanges ---------------------------------------------------------------------------------------------- */

/* For how long one that is leaving is waited for. */
static uint64_t leaving_idle_us(const struct client *c)
{
	return c->worker->draining ? c->worker->drain_idle_us : LEAVING_IDLE_US;
}

/* How long the next request is waited for of one that is leaving. */
static uint64_t leaving_span_us(const struct client *c, bool is_new)
{
	uint64_t span_us = c->listener->config->timeouts.keep_alive_us, leaving_us = leaving_idle_us(c);

	if (!is_new || leaving_us > DRAIN_NEW_US)
		return span_us < leaving_us ? span_us : leaving_us;
	return DRAIN_NEW_US;
}

static void client_idle(struct client *c)
{
	bool is_new = c->head_us == 0, is_leaving = __builtin_expect(client_is_leaving(c), 0);

	c->state = CLIENT_IDLE;
	if (is_leaving && c->h1.unread.n == 0 && !is_new && leaving_idle_us(c) == 0) {
		client_linger(c);
		return;
	}
	arm(c, is_leaving ? leaving_span_us(c, is_new) : c->listener->config->timeouts.keep_alive_us);
	if (c->h1.unread.n > 0 || c->h1.conn.readable)
		io_defer(c->worker->io, &c->task);
	else
		h1_conn_rest(&c->h1);
}

bool client_can_discard(const struct client *c)
{
	const struct h1_body *body = &c->h1.body;

	return h1_body_done(body) || body->framing == FRAMING_CHUNKED || body->left <= DISCARD_MAX;
}

/* One step of throwing content away: 1 go on, 0 wait for more, -1 the connection cannot be kept. */
static int discard_step(struct client *c)
{
	struct message trailers;
	struct h1_result result;
	struct view data;
	const char *why;
	ssize_t got;

	switch (h1_conn_read_body(&c->h1, &data, &why)) {
	case H1_PIECE_DATA:
		c->discarded += (uint32_t)data.n;
		return c->discarded > DISCARD_MAX ? -1 : 1;
	case H1_PIECE_TRAILERS:
		result = h1_conn_read_trailers(&c->h1, client_limits(c), &trailers);
		if (result.status == H1_DONE)
			return 1;
		if (result.status == H1_BAD)
			return -1;
		break;
	case H1_PIECE_MORE: break;
	case H1_PIECE_END: return 1;
	case H1_PIECE_BAD: return -1;
	}
	got = h1_conn_fill(&c->h1, client_input_max(c));
	if (got == -EAGAIN)
		return 0;
	return got > 0 ? 1 : -1;
}

static void client_discard(struct client *c)
{
	while (!h1_body_done(&c->h1.body)) {
		int step = discard_step(c);

		if (step == 0)
			return;
		if (step < 0) {
			client_linger(c);
			return;
		}
	}
	client_idle(c);
}

static void client_proceed(struct client *c, enum client_next next)
{
	if (next == CLIENT_CLOSE) {
		client_linger(c);
	} else if (h1_body_done(&c->h1.body)) {
		client_idle(c);
	} else {
		c->state = CLIENT_DISCARDING;
		c->discarded = 0;
		/* Once for the whole: content that nobody wants any more gets no second wait. */
		arm(c, c->listener->config->timeouts.body_idle_us);
		client_discard(c);
	}
}

static void client_flush_on(struct client *c)
{
	struct conn *conn = &c->h1.conn;

	if (conn->send_error != 0 || conn->broken) {
		client_close(c);
	} else if (!conn_blocked(conn)) {
		client_proceed(c, (enum client_next)c->next);
	} else if (conn_unsent(conn) != c->flushing) {
		c->flushing = conn_unsent(conn);
		arm(c, c->listener->config->timeouts.write_idle_us);
	}
}

/* The timer of FLUSHING: the client may have taken some of what the kernel has, of which no event tells. */
static void client_flush_is_late(struct client *c)
{
	if (conn_unsent(&c->h1.conn) < c->flushing)
		client_flush_on(c);
	else
		client_close(c);
}

/* There is nothing to flush, nor to discard. */
static bool client_is_done_with(const struct client *c)
{
	return c->h1.conn.send_error == 0 && !conn_blocked(&c->h1.conn) && h1_body_done(&c->h1.body);
}

uint64_t client_exchange_began(struct client *c, struct stream *down, struct exchange *ex)
{
	if (stream_is_h2(down))
		return client_stream_began(down, ex);
	c->exchange = ex;
	ex->timer = &c->timer;
	return c->head_us;
}

__attribute__((noinline)) static void client_flush(struct client *c, enum client_next next)
{
	c->state = CLIENT_FLUSHING;
	c->next = (uint8_t)next;
	c->flushing = 0;
	if (next == CLIENT_ABORT)
		client_abort(c);
	else
		client_flush_on(c);
}

void client_exchange_ended(struct client *c, struct stream *down, enum client_next next)
{
	if (stream_is_h2(down)) {
		client_stream_ended(down, next);
		return;
	}
	CHECK(c->state == CLIENT_EXCHANGE);
	if (next == CLIENT_KEEP && !c->h1.conn.broken && client_is_done_with(c))
		client_idle(c);
	else
		client_flush(c, next);
}

void client_exchange_answered(struct client *c, enum client_next next)
{
	/* What is left of its content would be taken for the next request. */
	CHECK(c->state == CLIENT_EXCHANGE && h1_body_done(&c->h1.body));
	DEBUG_CHECK(client_is_done_with(c));
	if (next == CLIENT_KEEP && !c->h1.conn.broken)
		client_idle(c);
	else
		client_flush(c, next);
}

/* --- reading heads -------------------------------------------------------------------------------------------------- */

/* Everything that is there was read and it is not a whole head. */
static void client_wait(struct client *c)
{
	if (c->state == CLIENT_HEAD)
		io_timer_set(c->worker->io, &c->timer,
			deadline_after(c->head_us, c->listener->config->timeouts.header_us));
}

static void client_refuse(struct client *c, enum cause cause, const char *why)
{
	c->state = CLIENT_EXCHANGE;
	exchange_refuse(c, &c->h1.stream, METHOD_OTHER, cause, why);
}

static void client_head_begins(struct client *c)
{
	if (c->state != CLIENT_IDLE)
		return;
	c->state = CLIENT_HEAD;
	c->head_us = now_us(c);
}

/* Tries to take a head from what is unread. True: it became an exchange, or was refused. */
static bool client_take_head(struct client *c)
{
	struct message *head = &c->worker->head;

	/* An empty line behind the last request is no beginning of the next (RFC 9112 §2.2): the connection stays idle. */
	if (c->state == CLIENT_IDLE && view_eq(c->h1.unread, VIEW("\r\n")))
		return false;
	client_head_begins(c);
	struct h1_result result = h1_conn_read_request(&c->h1, client_limits(c), head);

	if (result.status == H1_MORE)
		return false;
	c->speaks_h1 = true;
	if (result.status == H1_BAD) {
		client_refuse(c, result.cause, result.why);
		return true;
	}
	c->state = CLIENT_EXCHANGE;
	c->says_close = !head->keep_alive;
	exchange_start(c, &c->h1.stream, head);
	return true;
}

/* How far the first bytes of a connection are the preface of HTTP/2, where it may speak that: with TLS it has said so before. */
static enum h1_status client_preface(const struct client *c)
{
	if (c->h1.conn.tls != NULL || !(c->listener->config->protocols & 1u << CONFIG_PROTOCOL_H2))
		return H1_BAD;
	return h2_preface(c->h1.unread);
}

/* Takes what is unread for what it is. True: the client does something else now. */
static bool client_take(struct client *c)
{
	if (c->h1.unread.n == 0)
		return false;
	if (__builtin_expect(c->speaks_h1, 1))
		return client_take_head(c);
	switch (client_preface(c)) {
	case H1_DONE: client_session_begin(c); return true;
	case H1_MORE: client_head_begins(c); return false;
	case H1_BAD: break;
	}
	return client_take_head(c);
}

static void client_serve(struct client *c)
{
	ssize_t got;

	do {
		if (client_take(c))
			return;
		/* As much as fits in memory where nothing is yet. */
		got = h1_conn_fill(&c->h1, c->h1.unread.n > 0 ? client_input_max(c) : h1_conn_first_bytes(&c->h1, H1_SCRATCH_IN_BYTES));
	} while (got > 0);
	if (got == -EAGAIN)
		client_wait(c);
	else if (got == -ENOBUFS)
		client_refuse(c, CAUSE_HEADERS_TOO_LARGE, NULL);
	else
		client_close(c);
}

/* Nothing was received yet. A client that may speak both tells by its first bytes, or by TLS. */
static void client_speak(struct client *c)
{
	const struct tls_facts *tls = tls_facts(&c->h1.conn);
	unsigned protocols = c->listener->config->protocols;
	bool h2 = tls != NULL ? tls->protocol == CONFIG_PROTOCOL_H2 : protocols == 1u << CONFIG_PROTOCOL_H2;

	if (h2)
		client_session_begin(c);
	else
		client_idle(c);
}

/* --- the handshake ---------------------------------------------------------------------------------------------------- */

/* Nobody is answered, since nobody has asked yet. An alert has told the client why, where there is one. */
__attribute__((noinline)) static void client_shake_failed(struct client *c, int error)
{
	const char *why = tls_error_text(error);
	char host[ADDRESS_HOST_MAX], text[160];
	struct view peer = client_peer(c, host);

	c->worker->stats.tls_handshakes_failed++;
	snprintf(text, sizeof(text), "client %.*s: the TLS handshake failed: %s", (int)peer.n, peer.p,
		why != NULL ? why : strerror(-error));
	c->worker->observer.on_event(c->worker->observer.context, LEVEL_DEBUG, text);
	client_close(c);
}

static void client_shake(struct client *c)
{
	int result = tls_handshake(&c->h1.conn);

	if (result == -EINPROGRESS)
		return;
	if (result != 0) {
		client_shake_failed(c, result);
		return;
	}
	c->listener->handshakes--;
	c->worker->stats.tls_handshakes++;
	c->worker->stats.tls_handshakes_resumed += tls_facts(&c->h1.conn)->resumed;
	client_speak(c);
}

/* Its listener has TLS. A context that is not there is no reason to go on without. */
static void client_begin_handshake(struct client *c)
{
	struct worker_listener *l = c->listener;
	struct worker *w = c->worker;

	if (l->handshakes >= l->config->limits.handshakes) {
		w->stats.tls_handshakes_refused++;
		atomic_fetch_add_explicit(&l->book->handshakes_refused, 1, memory_order_relaxed);
		client_close(c);
	} else if (l->tls == NULL || tls_accept(&c->h1.conn, l->tls, w->tls_scratch) < 0) {
		l->listener.shed++;
		client_close(c);
	} else {
		c->state = CLIENT_HANDSHAKE;
		l->handshakes++;
		arm(c, l->config->timeouts.handshake_us);
	}
}

/* --- events ----------------------------------------------------------------------------------------------------------- */

static void client_on_ready(struct conn *conn)
{
	struct client *c = container_of(conn, struct client, h1.conn);

	if (__builtin_expect(c->state == CLIENT_IDLE, 1)) {
		client_serve(c);
		return;
	}
	switch ((enum client_state)c->state) {
	case CLIENT_HANDSHAKE: client_shake(c); return;
	case CLIENT_NAMING: client_read_name(c); return;
	case CLIENT_IDLE:
	case CLIENT_HEAD: client_serve(c); return;
	case CLIENT_EXCHANGE: exchange_on_client(c->exchange); return;
	case CLIENT_SESSION: client_session_on_ready(c); return;
	case CLIENT_DISCARDING: client_discard(c); return;
	case CLIENT_FLUSHING: client_flush_on(c); return;
	case CLIENT_LINGERING: linger_read(c); return;
	case CLIENT_CLOSED: return;
	}
}

/* A pipelined request, bytes that came while the last exchange ran, or more to throw away. */
static void client_on_task(struct io_task *task)
{
	struct client *c = container_of(task, struct client, task);

	if (c->state == CLIENT_IDLE)
		client_serve(c);
	else if (c->state == CLIENT_LINGERING)
		linger_read(c);
}

static void client_on_timer(struct io_timer *timer)
{
	struct client *c = container_of(timer, struct client, timer);

	switch ((enum client_state)c->state) {
	case CLIENT_HANDSHAKE: client_shake_failed(c, TLS_TIMED_OUT); return;
	case CLIENT_NAMING: client_name_is_late(c); return;
	case CLIENT_IDLE:
		if (c->head_us == 0)
			client_close(c);
		else
			client_linger(c);
		return;
	case CLIENT_HEAD: client_refuse(c, CAUSE_CLIENT_TIMEOUT, "the request head was not complete in time"); return;
	case CLIENT_EXCHANGE: exchange_on_timer(c->exchange); return;
	case CLIENT_SESSION: client_session_on_timer(c); return;
	case CLIENT_FLUSHING: client_flush_is_late(c); return;
	case CLIENT_DISCARDING:
	case CLIENT_LINGERING: client_close(c); return;
	case CLIENT_CLOSED: return;
	}
}

/* --- accepting ---------------------------------------------------------------------------------------------------------- */

bool client_peer_bytes(const struct client *c, unsigned char bytes[16])
{
	if (c->peer_kind == PEER_IPV6)
		memcpy(bytes, c->peer_bytes, 16);
	return c->peer_kind == PEER_IPV6 || address_bytes_parse(view_of(c->peer_text, c->peer_len), bytes);
}

void client_retrust(struct client *c)
{
	const struct config_listener *l = c->listener->config;
	unsigned char bytes[16];

	/* Who may open the unix socket was decided by its permissions; but not who may open one of another machine. */
	if (l->trusted_proxy_count == 0)
		c->trusted = false;
	else
		c->trusted = client_peer_bytes(c, bytes) ? listener_trusts(l, bytes) : !c->named;
}

/*
 * One more than the listener, or its client, may have. With TLS it could be told so only behind a handshake, which is what it
 * may be after; and not more are told at a time than there is memory kept for.
 */
static void client_turn_away(struct client *c, enum cause cause, const char *why)
{
	struct worker *w = c->worker;

	client_uncount(c);
	c->beyond_limit = true;
	/* What is said here is said by HTTP/1. */
	if (++w->turned_away > CLIENT_SPARE || !shedding_may_tell(&w->shedding) || c->listener->config->tls.enabled ||
		c->listener->config->protocols == 1u << CONFIG_PROTOCOL_H2) {
		w->stats.exchanges_by_cause[cause]++;
		client_close(c);
		return;
	}
	c->state = CLIENT_EXCHANGE;
	/* Its request may be there already, which no event has told yet: the answer must not be reset away over it. */
	c->h1.conn.readable = true;
	answer_refuse(c, &c->h1.stream, METHOD_OTHER, cause, why);
}

void client_identify(struct client *c, const struct address *peer)
{
	char text[ADDRESS_TEXT_MAX];
	unsigned char bytes[16];

	c->peer_port = (uint16_t)address_port(peer);
	if (!address_bytes(peer, bytes))
		c->peer_kind = PEER_LOCAL;
	else
		c->peer_kind = address_bytes_is_ipv4(bytes) ? PEER_IPV4 : PEER_IPV6;
	if (c->peer_kind == PEER_IPV6) {
		memcpy(c->peer_bytes, bytes, sizeof(bytes));
	} else {
		c->peer_len = (uint8_t)address_format_host(peer, text);
		memcpy(c->peer_text, text, c->peer_len);
	}
	client_retrust(c);
}

void client_begin(struct client *c)
{
	if (!c->listener->config->tls.enabled) {
		client_speak(c);
		return;
	}
	client_begin_handshake(c);
	/* What came together with a PROXY header has no event of its own. */
	if (c->state == CLIENT_HANDSHAKE && c->h1.conn.readable)
		client_shake(c);
}

/* Whether the listener has room for one more, which is then counted. */
static bool count_in(struct client *c)
{
	struct worker_listener *listener = c->listener;
	unsigned limit = listener->config->limits.connections;

	atomic_fetch_add_explicit(&listener->book->accepted, 1, memory_order_relaxed);
	c->counted = atomic_fetch_add_explicit(&listener->book->connections, 1, memory_order_relaxed) < limit;
	if (c->counted)
		return true;
	atomic_fetch_sub_explicit(&listener->book->connections, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&listener->book->refused, 1, memory_order_relaxed);
	c->worker->stats.connections_refused++;
	client_turn_away(c, CAUSE_CLIENT_CONNECTIONS_LIMITED, NULL);
	return false;
}

/* Whether the worker takes new work. */
static bool may_come(struct client *c)
{
	const char *why = NULL;
	enum cause cause = shedding_judge_connection(&c->worker->shedding, &why);

	if (cause != CAUSE_NONE)
		client_turn_away(c, cause, why);
	return cause == CAUSE_NONE;
}

/*
 * Whose connections are counted: not those of a unix socket, which have no address, and not those of the proxy behind which
 * clients are named.
 */
static bool is_client_known(const struct client *c)
{
	return c->peer_kind != PEER_LOCAL && (c->listener->config->proxy_protocol == PROXY_PROTOCOL_OFF || c->named);
}

static struct client_cap_key cap_key(const struct client *c)
{
	unsigned char bytes[16] = {0};

	client_peer_bytes(c, bytes);
	return client_cap_key(bytes, c->listener->book->number, c->listener->config->limits.client_prefix);
}

bool client_count_peer(struct client *c)
{
	uint32_t max = c->listener->config->limits.connections_per_client;

	if (max == 0 || !is_client_known(c))
		return true;

	struct client_cap_key key = cap_key(c);

	switch (client_caps_enter(c->worker->shared->caps, &key, max, &c->cap)) {
	case CLIENT_CAP_ENTERED: return true;
	case CLIENT_CAP_NO_MEMORY: client_turn_away(c, CAUSE_MEMORY_EXHAUSTED, NULL); return false;
	case CLIENT_CAP_FULL: break;
	}
	atomic_fetch_add_explicit(&c->listener->book->capped, 1, memory_order_relaxed);
	c->worker->stats.connections_capped++;
	client_turn_away(c, CAUSE_CLIENT_CONNECTIONS_LIMITED, "this client alone has as many as one may have");
	return false;
}

void client_recount_peer(struct client *c)
{
	bool counts = c->listener->config->limits.connections_per_client > 0 && is_client_known(c) && !c->beyond_limit;
	struct client_cap_key key = cap_key(c);

	if (c->cap != NULL && counts && client_cap_is(c->cap, &key))
		return;
	if (c->cap != NULL)
		client_caps_leave(c->worker->shared->caps, c->cap);
	c->cap = NULL;
	/* Without memory it goes uncounted: nobody is sent away for a reload. */
	if (counts)
		client_caps_enter(c->worker->shared->caps, &key, UINT32_MAX, &c->cap);
}

/* There is not even room to say that there is none: the connection is closed unserved. */
static int accept_and_shed(struct worker_listener *listener)
{
	int error = io_accept_shed(listener->worker->io, &listener->listener.source);

	if (error == 0)
		listener->listener.shed++;
	return error;
}

int client_accept(struct worker_listener *listener)
{
	struct worker *w = listener->worker;
	struct client *c = slab_alloc(&w->client_slab);
	struct address peer;

	if (c == NULL)
		return accept_and_shed(listener);
	memset(c, 0, sizeof(*c));
	c->worker = w;
	c->listener = listener;
	c->h1.conn.on_ready = client_on_ready;
	c->timer.on_fire = client_on_timer;
	c->task.on_run = client_on_task;

	int error = conn_accept(&c->h1.conn, w->io, &listener->listener.source, &peer);

	if (error < 0) {
		slab_free(&w->client_slab, c);
		return error;
	}
	h1_conn_init(&c->h1, w->scratch);
	client_identify(c, &peer);
	list_push_back(&w->clients, &c->node);
	w->stats.connections_accepted++;
	w->stats.connections_open++;
	listener->clients++;
	c->state = CLIENT_IDLE;
	if (!count_in(c) || !may_come(c))
		return 0;
	if (listener->config->proxy_protocol != PROXY_PROTOCOL_OFF)
		client_await_name(c);
	else if (client_count_peer(c))
		client_begin(c);
	return 0;
}

bool client_part(struct client *c)
{
	if (c->state != CLIENT_IDLE || c->head_us == 0 || c->h1.unread.n > 0 || c->h1.conn.readable)
		return false;
	client_linger(c);
	return true;
}

void client_drain(struct client *c)
{
	uint64_t until_us = c->timer.deadline_us;

	/* Nobody knows that it is there: it is waited for no longer than for one that is new. */
	if (c->state == CLIENT_NAMING)
		arm(c, DRAIN_NEW_US);
	if (c->state == CLIENT_IDLE && !c->h1.conn.readable)
		client_idle(c);
	else if (c->state == CLIENT_SESSION)
		client_session_drain(c);
	if (c->state == CLIENT_NAMING || c->state == CLIENT_IDLE)
		io_timer_set(c->worker->io, &c->timer, deadline_min(until_us, c->timer.deadline_us));
}
