/*
 * Sessions: the connections behind places (sessions.h says what those are).
 *
 *     CONNECTING --TCP, TLS--> SETTLING --the peer's SETTINGS--> OPEN --GOAWAY, lost, old, or its numbers used up--> LEAVING
 *         |                        |                               |                                                    |
 *         '--------- failed, or too late: so did all its places ---'--- without a place at the end of the tick: ended --'
 *
 * A new place goes where most are already, as far as there is room, so that others become empty and are ended. Without room a
 * new session is connected, up to this worker's share of max_connections; beyond that the emptiest takes it, and the stream
 * waits inside the session until the peer allows it, bounded by the exchange's own deadlines.
 *
 * A session that is leaving takes no new place; its idle places are spoiled, and the streams on the others run to their end
 * (or have been told that they are lost). It counts no more against the share, so that others can take over.
 *
 * A path that swallows everything tells nobody, and a session that lived on would fail every request. So when a stream was
 * given up unanswered, and nothing at all has come since it began, for as long as connecting may take, the session is in
 * doubt: the peer is asked with a PING, and has as long again to say anything.
 */
#include "upstream/sessions.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"

enum session_state { SESSION_CONNECTING, SESSION_SETTLING, SESSION_OPEN, SESSION_LEAVING };

enum {
	LAST_READS_MAX = 4,
	STREAMS_EVER_MAX = 1 << 29,           /* half of the numbers that there are (RFC 9113 §5.1.1) */
	STREAM_WINDOW_BYTES = 48 * 1024,      /* at first */
	STREAM_BOOKS_BYTES = 16 * 1024,       /* of the protocol's books, for each stream that there may be */
	GLITCHES_MAX = 10000,                 /* a service under load resets many streams, and means no harm */
};

struct session {
	struct conn conn;
	struct h2_conn h2;
	struct endpoint *endpoint;
	struct list_node node;         /* in endpoint->sessions */
	struct list places;
	uint32_t count;                /* of places */
	uint32_t streams_ever;
	struct io_timer timer;         /* until the session is open: connect timeout; in doubt: to the end of that */
	struct io_task end;            /* closes and frees it, unless it has got a place meanwhile */
	uint64_t opened_us;
	uint64_t doubted_us;           /* since then; 0: it is not in doubt */
	uint8_t state;                 /* enum session_state */
	bool served;                   /* a whole answer at least */
};

static uint64_t now_us(const struct session *s)
{
	return io_now_us(s->endpoint->ups->io);
}

/* --- places on it --------------------------------------------------------------------------------------------------- */

static bool is_sound(const struct session *s)
{
	return s->state == SESSION_OPEN && !h2_conn_is_over(&s->h2) && !h2_session_facts(s->h2.session).going_away;
}

/* Past its lifetime it takes no new place; those that it has live as long as the pool lets them. */
static bool is_worn(const struct session *s)
{
	uint64_t lifetime_us = s->endpoint->settings.lifetime_max_us;

	if (s->streams_ever >= STREAMS_EVER_MAX)
		return true;
	return lifetime_us != 0 && s->state == SESSION_OPEN && now_us(s) - s->opened_us >= lifetime_us;
}

static bool takes_places(const struct session *s)
{
	if (s->state == SESSION_OPEN)
		return is_sound(s) && !is_worn(s);
	return s->state != SESSION_LEAVING;
}

/* How many streams it can carry at a time. What the peer allows is not known before its SETTINGS. */
static uint32_t room_of(const struct session *s)
{
	uint32_t most = s->endpoint->streams_max;
	uint32_t peers = s->state == SESSION_OPEN ? h2_session_streams_max(s->h2.session) : most;

	return peers < most ? peers : most;
}

static void place_enter(struct upstream_place *place, struct session *s)
{
	place->session = s;
	list_push_back(&s->places, &place->node);
	s->count++;
}

/* The next in turn, of `s->count` there are. Others may come and go between two turns. */
static struct upstream_conn *next_in_turn(struct session *s)
{
	struct list_node *node = list_pop_front(&s->places);

	if (node == NULL)
		return NULL;
	list_push_back(&s->places, node);
	return container_of(node, struct upstream_place, node)->conn;
}

/* --- its end ---------------------------------------------------------------------------------------------------------- */

/* Called from inside the session as well, which may not be closed there. */
static void end_soon(struct session *s)
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
	conn_close(&s->conn);
	list_remove(&s->node);
	ep->stats.sessions--;
	free(s);
}

static void on_end(struct io_task *task)
{
	struct session *s = container_of(task, struct session, end);

	if (s->count > 0)
		return;
	if (s->h2.session != NULL) {
		h2_conn_say_goodbye(&s->h2);
		read_away(s);
	}
	session_free(s);
}

/* No new places; those that nobody has are given up. */
static void session_leave(struct session *s)
{
	s->state = SESSION_LEAVING;
	for (uint32_t left = s->count; left > 0; left--) {
		struct upstream_conn *uc = next_in_turn(s);

		if (uc != NULL && uc->state == UPSTREAM_CONN_RESTING)
			weir_pool_spoiled(uc->endpoint->pool, uc->slot, now_us(s));
	}
}

/* It was never open: for each of its places connecting has failed. */
static void session_failed(struct session *s, int error)
{
	struct list_node *node;

	s->state = SESSION_LEAVING;
	io_timer_cancel(s->endpoint->ups->io, &s->timer);
	end_soon(s);
	while ((node = list_pop_front(&s->places)) != NULL) {
		list_push_back(&s->places, node);
		/* It leaves. */
		endpoint_conn_failed(container_of(node, struct upstream_place, node)->conn, error);
	}
}

/* --- its beginning ---------------------------------------------------------------------------------------------------- */

static int place_seat(struct upstream_conn *uc);
static bool has_seats_elsewhere(const struct session *s);

/*
 * The peer allows fewer than wait here: the rest is seated anew, as far as there is somewhere to go. One that allows none yet
 * is waited for: elsewhere it would be the same.
 */
static void session_spread(struct session *s)
{
	while (room_of(s) > 0 && s->count > room_of(s) && has_seats_elsewhere(s)) {
		struct upstream_conn *uc = next_in_turn(s);
		int error;

		place_leave(uc);
		error = place_seat(uc);
		if (error == 0)
			endpoint_conn_opened(uc);
		else if (error != -EINPROGRESS)
			endpoint_conn_failed(uc, error);
	}
}

static void session_opened(struct session *s)
{
	s->state = SESSION_OPEN;
	s->opened_us = now_us(s);
	io_timer_cancel(s->endpoint->ups->io, &s->timer);
	session_spread(s);
	for (uint32_t left = s->count; left > 0; left--) {
		struct upstream_conn *uc = next_in_turn(s);

		if (uc != NULL && uc->state == UPSTREAM_CONN_CONNECTING)
			endpoint_conn_opened(uc);
	}
}

/* Why it has ended before the peer's SETTINGS. */
static int settling_error(const struct session *s)
{
	struct h2_facts facts = h2_session_facts(s->h2.session);

	if (s->conn.error != 0)
		return s->conn.error;
	if (s->conn.send_error != 0)
		return s->conn.send_error;
	return facts.cause == CAUSE_MEMORY_EXHAUSTED ? -ENOMEM : -EPROTONOSUPPORT;
}

/* After each run. */
static void session_ran(struct h2_conn *hc)
{
	struct session *s = container_of(hc, struct session, h2);

	if (s->state == SESSION_SETTLING && h2_session_settled(hc->session))
		session_opened(s);
	else if (s->state == SESSION_SETTLING && h2_conn_is_over(hc))
		session_failed(s, settling_error(s));
	if (s->state == SESSION_OPEN && !is_sound(s))
		session_leave(s);
}

static void on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	struct upstream_conn *uc = container_of(h2_side_of(stream), struct upstream_place, side)->conn;

	(void)hc;
	if (uc->state == UPSTREAM_CONN_HELD)
		uc->lease->on_ready(uc->lease);
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

static void on_conn_ready(struct conn *conn)
{
	struct session *s = container_of(conn, struct session, conn);

	if (s->state == SESSION_CONNECTING) {
		connecting_on_ready(s);
	} else if (s->h2.session != NULL) {
		h2_conn_run(&s->h2);
		session_ran(&s->h2);
	}
}

/* --- whether it lives ------------------------------------------------------------------------------------------------- */

static void session_doubt(struct session *s)
{
	uint64_t patience_us = s->endpoint->connect_timeout_us;

	if (s->doubted_us != 0 || !is_sound(s))
		return;
	s->doubted_us = now_us(s);
	h2_session_ping(s->h2.session);
	io_timer_set(s->endpoint->ups->io, &s->timer, deadline_after(s->doubted_us, patience_us));
}

/* The peer has had its time. */
static void session_decide(struct session *s)
{
	bool lives = s->h2.heard_us > s->doubted_us;

	s->doubted_us = 0;
	if (lives || s->state != SESSION_OPEN)
		return;
	h2_conn_lose(&s->h2);
	session_leave(s);
}

/* A stream that began then was given up. */
static void note_silence(struct session *s, uint64_t since_us)
{
	if (s->h2.heard_us <= since_us && now_us(s) - since_us >= s->endpoint->connect_timeout_us)
		session_doubt(s);
}

static void on_timer(struct io_timer *timer)
{
	struct session *s = container_of(timer, struct session, timer);

	if (s->doubted_us != 0) {
		session_decide(s);
		return;
	}
	/* Once something was sent it stands, and the rest is the handshake. */
	session_failed(s, s->state == SESSION_CONNECTING && s->conn.taken > 0 ? TLS_TIMED_OUT : -ETIMEDOUT);
}

/* Connects. NULL and *error: it could not even begin. */
static struct session *session_create(struct endpoint *ep, int *error)
{
	struct session *s = ep->ups->h2_scratch != NULL ? calloc(1, sizeof(*s)) : NULL;

	if (s == NULL) {
		*error = -ENOMEM;
		return NULL;
	}
	s->endpoint = ep;
	list_init(&s->places);
	s->timer.on_fire = on_timer;
	s->end.on_run = on_end;
	s->conn.on_ready = on_conn_ready;
	s->h2.on_ready = on_stream_ready;
	s->h2.on_ran = session_ran;
	list_push_back(&ep->sessions, &s->node);
	ep->stats.sessions++;
	io_timer_set(ep->ups->io, &s->timer, deadline_after(now_us(s), ep->connect_timeout_us));
	*error = endpoint_connect(ep, &s->conn);
	if (*error == 0)
		*error = session_speak(s);
	if (*error == 0 || *error == -EINPROGRESS)
		return s;
	s->state = SESSION_LEAVING;
	end_soon(s);
	return NULL;
}

/* --- who sits where --------------------------------------------------------------------------------------------------- */

/* How many sessions of the endpoint this worker may have that take places. */
static uint32_t share_of(const struct endpoint *ep)
{
	uint32_t share = ep->settings.connections_max / ep->streams_max / ep->ups->workers;

	return share > 0 ? share : 1;
}

/* Open ones come first; of those the fullest that has room. */
static bool is_better(const struct session *s, const struct session *than)
{
	if (than == NULL || (s->state == SESSION_OPEN) != (than->state == SESSION_OPEN))
		return than == NULL || s->state == SESSION_OPEN;
	return s->count > than->count;
}

/* What there is to choose from. */
struct choice {
	struct session *roomy;         /* NULL: none has room */
	struct session *emptiest;      /* NULL: none takes places */
	uint32_t count;                /* that take places */
};

static struct choice choose(const struct endpoint *ep)
{
	struct choice c = {0};

	list_each_safe(&ep->sessions, node, next) {
		struct session *s = container_of(node, struct session, node);

		if (!takes_places(s))
			continue;
		c.count++;
		if (s->count < room_of(s) && is_better(s, c.roomy))
			c.roomy = s;
		if (c.emptiest == NULL || s->count < c.emptiest->count)
			c.emptiest = s;
	}
	return c;
}

static bool has_seats_elsewhere(const struct session *s)
{
	struct choice c = choose(s->endpoint);

	return c.roomy != NULL || c.count < share_of(s->endpoint);
}

/* Results as place_open. */
static int place_seat(struct upstream_conn *uc)
{
	struct choice c = choose(uc->endpoint);
	struct session *s = c.roomy;
	int error = -ENOMEM;

	if (s == NULL && c.count < share_of(uc->endpoint))
		s = session_create(uc->endpoint, &error);
	else if (s == NULL)
		s = c.emptiest;
	if (s == NULL)
		return error;
	place_enter(uc->place, s);
	return s->state == SESSION_OPEN ? 0 : -EINPROGRESS;
}

int place_open(struct upstream_conn *uc)
{
	struct upstream_place *place = slab_alloc(&uc->endpoint->ups->places);

	if (place == NULL)
		return -ENOMEM;
	place->conn = uc;
	place->session = NULL;
	place->node = (struct list_node){0};
	place->has_stream = false;
	place->side.stream.version = STREAM_H2;
	uc->place = place;
	uc->stream = &place->side.stream;
	return place_seat(uc);
}

/* --- leases ----------------------------------------------------------------------------------------------------------- */

bool place_is_good(const struct upstream_conn *uc)
{
	return uc->place->session != NULL && is_sound(uc->place->session);
}

bool place_had_rested(const struct upstream_conn *uc)
{
	const struct session *s = uc->place->session;

	return now_us(s) > s->opened_us;
}

bool place_had_served(const struct upstream_conn *uc)
{
	return uc->place->session->served;
}

void place_lease(struct upstream_conn *uc)
{
	struct upstream_place *place = uc->place;
	struct session *s = place->session;

	CHECK(s != NULL && s->h2.session != NULL && !place->has_stream);
	h2_side_init(&place->side, &s->h2);
	place->side.scheme = s->endpoint->tls_id != 0 ? VIEW("https") : VIEW("http");
	h2_session_open(s->h2.session, &place->side.h2);
	place->has_stream = true;
	place->leased_us = now_us(s);
	s->streams_ever++;
}

void place_rest(struct upstream_conn *uc, bool served)
{
	struct upstream_place *place = uc->place;

	if (!place->has_stream)
		return;
	place->has_stream = false;
	place->session->served |= served;
	if (!served)
		note_silence(place->session, place->leased_us);
	h2_stream_release(&place->side.h2);
	/* A reset, or a window that was given back, is to be written. */
	h2_conn_send_soon(&place->session->h2);
}

void place_leave(struct upstream_conn *uc)
{
	struct upstream_place *place = uc->place;
	struct session *s = place != NULL ? place->session : NULL;

	if (s == NULL)
		return;
	place_rest(uc, false);
	list_remove(&place->node);
	place->session = NULL;
	if (--s->count == 0)
		end_soon(s);
}

/* --- the self-audit --------------------------------------------------------------------------------------------------- */

static const char *session_audit(const struct session *s, uint64_t *places)
{
	uint32_t count = 0, streams = 0;

	list_each_safe(&s->places, node, next) {
		const struct upstream_place *place = container_of(node, struct upstream_place, node);
		const struct upstream_conn *uc = place->conn;

		if (place->session != s || uc->place != place)
			return "a place is not where its session has it";
		if (place->has_stream != (uc->lease != NULL))
			return "a place has a stream and no holder, or a holder and no stream";
		count++;
		streams += place->has_stream;
	}
	*places += count;
	if (count != s->count)
		return "a session's places and their count differ";
	if (count == 0 && !list_linked(&s->end.node))
		return "a session without places is not ended";
	return s->h2.session != NULL && h2_session_facts(s->h2.session).streams != streams ?
		"a session has streams that nobody holds" : NULL;
}

const char *sessions_audit(const struct endpoint *ep)
{
	uint64_t sessions = 0, places = 0, conns = 0;

	list_each_safe(&ep->sessions, node, next) {
		const char *wrong = session_audit(container_of(node, struct session, node), &places);

		if (wrong != NULL)
			return wrong;
		sessions++;
	}
	if (sessions != ep->stats.sessions)
		return "the sessions and their count differ";
	if (ep->streams_max == 0)
		return NULL;
	list_each_safe(&ep->conns, node, next)
		conns++;
	return conns != places ? "connections and places on sessions differ" : NULL;
}
