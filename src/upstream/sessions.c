/*
 * Sessions: the connections behind places (sessions.h says what those are; seats.c, who sits where).
 *
 *     PAUSING ---> CONNECTING --TCP, TLS--> SETTLING --the peer's SETTINGS--> OPEN --GOAWAY, lost, given up--> LEAVING
 *        |            |                        |                               |                                  |
 *        '- given up -'-- failed, or too late: so did all its places ----------'-- no place when the tick ends: ended
 *
 * A session that is leaving takes no new place; its idle places are spoiled, and the streams on the others run to their end
 * (or have been told that they are lost). It counts no more against the share, so that others can take over.
 *
 * A session that goes away in the moment in which it opens has failed to open: the pool backs off. One that goes away a
 * little later and has not served anybody was of no use either, though the pool has seen it open: the next one is begun
 * after a pause, which doubles with each such session until one serves. So a service that accepts and drains is not
 * stormed.
 *
 * A path that swallows everything tells nobody, and a session that lived on would fail every request. So when a stream
 * was given up unanswered, and nothing at all has come since it began, for as long as connecting may take, the session
 * is in doubt: the peer is asked with empty SETTINGS, which it must acknowledge, and has as long again to say that or
 * anything else. It is not asked with PING: services of gRPC count those while they have nothing to say, and soon end
 * the connection. An answer says nothing of what comes after it, so there may be a doubt again at once.
 */
#include "upstream/session.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"

enum {
	LAST_READS_MAX = 4,
	STREAM_WINDOW_BYTES = 48 * 1024,      /* at first */
	STREAM_BOOKS_BYTES = 16 * 1024,       /* of the protocol's books, for each stream that there may be */
	GLITCHES_MAX = 10000,                 /* a service under load resets many streams, and means no harm */
	PAUSE_DOUBLES_MAX = 5,
};

#define PAUSE_MIN_US (10 * US_PER_MS)         /* 10 ms to 320 ms, and of that a half to the whole */
#define USEFUL_AGE_US (1 * US_PER_S)          /* a session that has lived so long was no mistake */

bool session_is_sound(const struct session *s)
{
	return s->state == SESSION_OPEN && !h2_conn_is_over(&s->h2) && !h2_session_facts(s->h2.session).going_away;
}

/* --- its end ---------------------------------------------------------------------------------------------------------- */

/* Called from inside the session as well, which may not be closed there. */
void session_end_soon(struct session *s)
{
	io_defer(s->endpoint->ups->io, &s->end);
}

/*
 * Closing a socket that has unread input resets it, and the GOAWAY that says why could be lost with that. The end is not waited
 * for: the connection counts, and others need its place.
 */
static void read_away(struct session *s)
{
	struct h2_scratch *scratch = s->endpoint->ups->h2_scratch;

	for (int i = 0; i < LAST_READS_MAX && conn_recv(&s->conn, scratch->in, sizeof(scratch->in)) > 0; i++)
		;
}

static void session_free(struct session *s)
{
	struct endpoint *ep = s->endpoint;

	h2_conn_close(&s->h2);
	io_timer_cancel(ep->ups->io, &s->timer);
	io_defer_cancel(ep->ups->io, &s->end);
	/* One that paused has never had a socket. */
	if (s->conn.io != NULL)
		conn_close(&s->conn);
	list_remove(&s->node);
	ep->stats.sessions--;
	free(s);
}

/* Nobody has had an answer on it: the next one can wait. */
static void note_useless(struct endpoint *ep)
{
	uint32_t doubles = ep->sessions_useless < PAUSE_DOUBLES_MAX ? ep->sessions_useless : PAUSE_DOUBLES_MAX;
	uint64_t half_us = (PAUSE_MIN_US / 2) << doubles;
	uint64_t now = io_now_us(ep->ups->io);

	if (PLANTED(GONE_AT_ONCE_STORMED))
		return;
	ep->sessions_useless++;
	ep->session_after_us = now + half_us + io_random(ep->ups->io) % half_us;
}

static void on_end(struct io_task *task)
{
	struct session *s = container_of(task, struct session, end);

	if (session_places(s) > 0)
		return;
	/* Nor will the next one serve anybody, perhaps. */
	if (!s->served && session_is_stalled(s))
		note_useless(s->endpoint);
	/* On one that takes nothing more nothing can be said, and nothing is read to no purpose. */
	if (s->h2.session != NULL && s->conn.send_error == 0) {
		h2_conn_say_goodbye(&s->h2);
		read_away(s);
	}
	/* Another may stand now. */
	seats_changed(s->endpoint);
	session_free(s);
}

/* No new places; those that nobody has are given up. */
static void session_leave(struct session *s)
{
	s->state = SESSION_LEAVING;
	session_empty(s);
}

/* The peer wants no more streams, or the connection has gone. */
static void session_gone(struct session *s)
{
	if (!s->served && session_now_us(s) - s->opened_us < USEFUL_AGE_US)
		note_useless(s->endpoint);
	session_leave(s);
}

/* It was never open: for each of its places connecting has failed. */
static void session_failed(struct session *s, int error)
{
	struct upstream_conn *uc;

	s->state = SESSION_LEAVING;
	io_timer_cancel(s->endpoint->ups->io, &s->timer);
	session_end_soon(s);
	/* Each leaves. */
	while ((uc = session_first(&s->waiting)) != NULL)
		endpoint_conn_failed(uc, error);
}

/* --- its beginning ---------------------------------------------------------------------------------------------------- */

static void session_opened(struct session *s)
{
	s->state = SESSION_OPEN;
	s->endpoint->stats.sessions_opened++;
	s->opened_us = session_now_us(s);
	s->room_seen = UINT32_MAX;
	s->blocked_us = UINT64_MAX;
	io_timer_cancel(s->endpoint->ups->io, &s->timer);
}

int session_error(const struct session *s)
{
	struct h2_facts facts = h2_session_facts(s->h2.session);

	bool settled = h2_session_settled(s->h2.session);
	int error = s->conn.error != 0 ? s->conn.error : s->conn.send_error;

	if (error != 0 && (!settled || error == -ENOMEM))
		return error;
	if (facts.cause == CAUSE_MEMORY_EXHAUSTED)
		return -ENOMEM;
	if (!settled || facts.why != NULL)
		return -EPROTONOSUPPORT;
	return h2_conn_is_over(&s->h2) ? SESSION_CLOSES : SESSION_GOES_AWAY;
}

/* The peer's first SETTINGS have come, or its end: perhaps both. */
static void settling_ran(struct session *s)
{
	bool settled = h2_session_settled(s->h2.session);
	bool gone = h2_conn_is_over(&s->h2) || h2_session_facts(s->h2.session).going_away;

	if (settled && (!gone || PLANTED(GONE_AT_ONCE_STORMED))) {
		session_opened(s);
	} else if (h2_conn_is_over(&s->h2) || (settled && gone)) {
		if (settled)
			note_useless(s->endpoint);
		session_failed(s, session_error(s));
	}
}

/* After each run. */
static void session_ran(struct h2_conn *hc)
{
	struct session *s = container_of(hc, struct session, h2);

	if (s->state == SESSION_SETTLING)
		settling_ran(s);
	if (s->state != SESSION_OPEN)
		return;
	if (!session_is_sound(s))
		session_gone(s);
	else
		session_look_at_room(s);
}

static void on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	struct upstream_conn *uc = container_of(h2_side_of(stream), struct upstream_place, side)->conn;

	(void)hc;
	if (uc->state == UPSTREAM_CONN_HELD)
		uc->lease->ops->on_ready(uc->lease);
}

static struct h2_limits session_limits(const struct endpoint *ep)
{
	struct h2_limits limits = h2_limits_default(ep->head_limits);

	limits.stream_window_wide_bytes = limits.stream_window_bytes;
	limits.stream_window_bytes = STREAM_WINDOW_BYTES;
	/* A client that takes its answer slowly must not stop the others': the session's window has room for all of them. */
	limits.session_window_bytes = ep->streams_max * limits.stream_window_bytes + H2_RATION_BYTES;
	limits.streams_max = ep->streams_max;
	limits.memory_bytes_max += ep->streams_max * STREAM_BOOKS_BYTES;
	limits.glitches_max = GLITCHES_MAX;
	return limits;
}

int endpoint_speak_h2(struct endpoint *ep, struct conn *conn, struct h2_conn *hc, const struct h2_limits *limits)
{
	const struct tls_facts *facts = tls_facts(conn);

	/* RFC 9113 §3.2. */
	if (facts != NULL && facts->protocol != CONFIG_PROTOCOL_H2)
		return -EPROTONOSUPPORT;
	return h2_conn_open(hc, conn, H2_CLIENT, limits, NULL, NULL, ep->ups->h2_scratch) ? 0 : -ENOMEM;
}

/* The bytes can flow. What was put, and what has come, moves at the end of the tick. */
static int session_speak(struct session *s)
{
	struct h2_limits limits = session_limits(s->endpoint);
	int error = endpoint_speak_h2(s->endpoint, &s->conn, &s->h2, &limits);

	if (error == 0)
		s->state = SESSION_SETTLING;
	return error;
}

static void connecting_on_ready(struct session *s)
{
	int error = conn_connect_result(&s->conn);

	if (error == 0)
		error = session_speak(s);
	if (error != 0 && error != -EINPROGRESS)
		session_failed(s, error);
}

/* Of the bytes that stand in front of a tunnel's end the session knows no more. */
static void tell_ended_tunnels(struct session *s)
{
	s->h2.told_when_out = false;
	for (uint32_t left = s->granted_count; left > 0; left--) {
		struct upstream_conn *uc = session_next_in_turn(&s->granted);

		if (uc != NULL && uc->state == UPSTREAM_CONN_HELD && uc->place->side.h2.out == H2_WAY_ENDED)
			uc->lease->ops->on_ready(uc->lease);
	}
}

static void on_conn_ready(struct conn *conn)
{
	struct session *s = container_of(conn, struct session, conn);

	if (s->state == SESSION_CONNECTING) {
		connecting_on_ready(s);
	} else if (s->h2.session != NULL) {
		h2_conn_run(&s->h2);
		if (s->h2.told_when_out && (!conn_blocked(conn) || conn->send_error != 0))
			tell_ended_tunnels(s);
		session_ran(&s->h2);
	}
}

/* --- whether it lives ------------------------------------------------------------------------------------------------- */

static void session_doubt(struct session *s)
{
	if (s->doubted_us != 0 || !session_is_sound(s))
		return;
	s->doubted_us = session_now_us(s);
	h2_session_ask(s->h2.session);
	h2_conn_send_soon(&s->h2);
	io_timer_set(s->endpoint->ups->io, &s->timer, deadline_after(s->doubted_us, s->endpoint->connect_timeout_us));
}

/* The peer has had its time. */
static void session_decide(struct session *s)
{
	bool lives = s->h2.heard_us >= s->doubted_us;

	s->doubted_us = 0;
	if (lives || s->state != SESSION_OPEN)
		return;
	h2_conn_lose(&s->h2);
	session_leave(s);
}

void session_note_silence(struct session *s, uint64_t since_us)
{
	if (s->h2.heard_us <= since_us && session_now_us(s) - since_us >= s->endpoint->connect_timeout_us)
		session_doubt(s);
}

/* 0, -EINPROGRESS or an error. */
static int session_connect(struct session *s)
{
	struct endpoint *ep = s->endpoint;
	int error;

	s->state = SESSION_CONNECTING;
	io_timer_set(ep->ups->io, &s->timer, deadline_after(session_now_us(s), ep->connect_timeout_us));
	error = endpoint_connect(ep, &s->conn);
	return error == 0 ? session_speak(s) : error;
}

static void pause_ended(struct session *s)
{
	int error = session_connect(s);

	if (error != 0 && error != -EINPROGRESS)
		session_failed(s, error);
}

static void on_timer(struct io_timer *timer)
{
	struct session *s = container_of(timer, struct session, timer);

	if (s->doubted_us != 0)
		session_decide(s);
	else if (s->state == SESSION_PAUSING)
		pause_ended(s);
	else
		/* Once something was sent it stands, and the rest is the handshake. */
		session_failed(s, s->state == SESSION_CONNECTING && s->conn.taken > 0 ? TLS_TIMED_OUT : -ETIMEDOUT);
}

static bool session_pauses(struct session *s)
{
	struct endpoint *ep = s->endpoint;

	if (session_now_us(s) >= ep->session_after_us)
		return false;
	s->state = SESSION_PAUSING;
	io_timer_set(ep->ups->io, &s->timer, ep->session_after_us);
	return true;
}

struct session *session_create(struct endpoint *ep, int *error)
{
	struct session *s = ep->ups->h2_scratch != NULL ? calloc(1, sizeof(*s)) : NULL;

	if (s == NULL) {
		*error = -ENOMEM;
		return NULL;
	}
	s->endpoint = ep;
	list_init(&s->granted);
	list_init(&s->waiting);
	s->timer.on_fire = on_timer;
	s->end.on_run = on_end;
	s->conn.on_ready = on_conn_ready;
	s->h2.on_ready = on_stream_ready;
	s->h2.on_ran = session_ran;
	list_push_back(&ep->sessions, &s->node);
	ep->stats.sessions++;
	*error = session_pauses(s) ? -EINPROGRESS : session_connect(s);
	if (*error == 0 || *error == -EINPROGRESS)
		return s;
	s->state = SESSION_LEAVING;
	session_end_soon(s);
	return NULL;
}
