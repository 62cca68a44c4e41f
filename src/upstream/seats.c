/*
 * Seats: which place is on which session, and which of them the pool may hand out.
 *
 *     pool: open --> WAITING --room--> GRANTED (the pool is told: opened) --pool: close, session gone--> left
 *                      |  ^
 *                      '--' seated anew, where there is room sooner
 *
 * A session has room for as many streams as max_streams says, or as the peer allows if that is less; no more places are
 * granted on it. The peer may change its number at any time, 0 included. What rests beyond it is given up then, and whoever
 * needs it asks for a new place; what is held stays.
 *
 * A new place goes where most are already, as far as there is room, so that others become empty and are ended. Without room a
 * new session is connected, up to this worker's share of max_connections; beyond the share only when all have as many streams
 * as max_streams says: who has so many has them from the others, through the pool's budget. What is left waits on the session
 * that has the fewest, as a connection that is being opened: who needs it waits in the pool's queue, no longer than
 * acquire_timeout. When it is not needed after that time, it is given up. Whenever room appears anywhere, all who wait are
 * looked after, at the end of the tick. A session that allows nothing keeps one who waits for it: else it would be ended and
 * another be connected, which allows nothing either, again and again.
 *
 * A session is stalled when for STALLED_US its socket has taken nothing of what waits, or its peer has shut the window that all
 * content shares while some waits; or when half of its memory is in use, as by requests that were given up before they could be
 * written. It has no room until that ends, so nobody new gets behind what stands there; a window of one stream's own stalls only
 * that. No timer tells that it begins: whoever looks for a place sees it. That it ends is seen when the session runs.
 *
 * When a session was lost that had rested, others that have not been heard of since are the last where a place is sought: the
 * service may have gone behind all of them.
 */
#include "upstream/session.h"

#include <errno.h>

#include "base/check.h"
#include "base/planted.h"

/* --- room ------------------------------------------------------------------------------------------------------------- */

enum { STREAMS_EVER_MAX = 1 << 29 };          /* half of the numbers that there are (RFC 9113 §5.1.1) */

#define STALLED_US (100 * US_PER_MS)

/* After a run. */
static void look_at_socket(struct session *s)
{
	if (!conn_blocked(&s->conn)) {
		s->blocked_us = UINT64_MAX;
	} else if (s->blocked_us == UINT64_MAX || s->conn.taken != s->blocked_taken) {
		s->blocked_us = session_now_us(s);
		s->blocked_taken = s->conn.taken;
	}
}

static bool is_long_ago(const struct session *s, uint64_t since_us)
{
	return since_us != UINT64_MAX && session_now_us(s) - since_us >= STALLED_US;
}

bool session_is_stalled(const struct session *s)
{
	if (s->state != SESSION_OPEN)
		return false;
	struct h2_facts facts = h2_session_facts(s->h2.session);

	if (facts.memory_bytes > facts.memory_bytes_max / 2 || is_long_ago(s, facts.shut_since_us))
		return true;
	return conn_blocked(&s->conn) && s->conn.taken == s->blocked_taken && is_long_ago(s, s->blocked_us);
}

uint32_t session_room(const struct session *s)
{
	uint32_t most = s->endpoint->streams_max;
	uint32_t peers = s->state == SESSION_OPEN ? h2_session_streams_max(s->h2.session) : most;

	if (session_is_stalled(s))
		return 0;
	return peers < most ? peers : most;
}

/* Nobody tells that it is stalled: it runs, so that what rests there is given up, and the end of it will be another room. */
static void note_stall(struct session *s)
{
	if (s->room_seen == 0 || !session_is_stalled(s))
		return;
	s->room_seen = UINT32_MAX;
	h2_conn_send_soon(&s->h2);
}

/* Past its lifetime it takes no new place; those that it has live as long as the pool lets them. */
static bool is_worn(const struct session *s)
{
	uint64_t lifetime_us = s->endpoint->settings.lifetime_max_us;

	if (s->streams_ever >= STREAMS_EVER_MAX)
		return true;
	return lifetime_us != 0 && s->state == SESSION_OPEN && session_now_us(s) - s->opened_us >= lifetime_us;
}

static bool takes_places(const struct session *s)
{
	if (s->state == SESSION_OPEN)
		return session_is_sound(s) && !is_worn(s);
	return s->state != SESSION_LEAVING;
}

/* For one more, beside those who wait for it already. */
static bool has_room(const struct session *s)
{
	return session_places(s) < session_room(s);
}

/* It has as many as max_streams says: the peer is not why there is no room. */
static bool is_full(const struct session *s)
{
	uint32_t count = s->state == SESSION_OPEN ? s->granted_count : session_places(s);

	return count >= s->endpoint->streams_max;
}

/* What has gone on with another session since may have gone on with this one, too. */
static bool is_suspect(const struct session *s)
{
	uint64_t lost_us = s->endpoint->lost_us;

	return lost_us != 0 && s->state == SESSION_OPEN && s->opened_us <= lost_us && s->h2.heard_us <= lost_us;
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
	return session_places(s) > session_places(than);
}

/* What there is to choose from, of the sessions that take places. */
struct choice {
	struct session *roomy;         /* NULL: none has room */
	struct session *suspect;       /* the same of those that are */
	struct session *emptiest;      /* NULL: there is none */
	bool may_create;
};

static struct choice choose(const struct endpoint *ep)
{
	struct choice c = {0};
	uint32_t count = 0, full = 0;

	list_each_safe(&ep->sessions, node, next) {
		struct session *s = container_of(node, struct session, node);
		struct session **roomy = is_suspect(s) ? &c.suspect : &c.roomy;

		if (!takes_places(s))
			continue;
		note_stall(s);
		count++;
		full += is_full(s);
		if (has_room(s) && is_better(s, *roomy))
			*roomy = s;
		if (c.emptiest == NULL || session_places(s) < session_places(c.emptiest))
			c.emptiest = s;
	}
	c.may_create = count < share_of(ep) || count == full;
	return c;
}

static void place_enter(struct upstream_conn *uc, struct session *s)
{
	struct upstream_place *place = uc->place;

	place->session = s;
	place->granted = false;
	list_push_back(&s->waiting, &place->node);
	s->waiting_count++;
	uc->endpoint->places_waiting++;
}

static void place_exit(struct upstream_place *place)
{
	struct session *s = place->session;

	list_remove(&place->node);
	place->session = NULL;
	if (place->granted)
		s->granted_count--;
	else
		s->waiting_count--;
	s->endpoint->places_waiting -= !place->granted;
	place->granted = false;
	if (session_places(s) == 0)
		session_end_soon(s);
}

/* It may have a stream from now on. The pool is told by the caller. */
static void place_grant(struct upstream_place *place)
{
	struct session *s = place->session;

	list_remove(&place->node);
	list_push_back(&s->granted, &place->node);
	place->granted = true;
	s->waiting_count--;
	s->granted_count++;
	s->endpoint->places_waiting--;
}

/* Results as place_open. */
static int place_seat(struct upstream_conn *uc)
{
	struct choice c = choose(uc->endpoint);
	struct session *s = c.roomy;
	int error = -ENOMEM;

	if (s == NULL && c.may_create)
		s = session_create(uc->endpoint, &error);
	else if (s == NULL)
		s = c.suspect != NULL ? c.suspect : c.emptiest;
	if (s == NULL)
		return error;
	place_enter(uc, s);
	if (s->state != SESSION_OPEN || s->granted_count >= session_room(s))
		return -EINPROGRESS;
	place_grant(uc->place);
	return 0;
}

static void place_seat_anew(struct upstream_conn *uc)
{
	int error;

	place_exit(uc->place);
	error = place_seat(uc);
	if (error == 0)
		endpoint_conn_opened(uc);
	else if (error != -EINPROGRESS)
		endpoint_conn_failed(uc, error);
}

/* --- who waits -------------------------------------------------------------------------------------------------------- */

/* There is somewhere to go for one who waits here, and the session is not emptied for one that may be no better. */
static bool may_move(const struct session *s)
{
	struct choice c = choose(s->endpoint);

	if (c.roomy != NULL && c.roomy->state == SESSION_OPEN)
		return true;
	return session_places(s) > 1 && (c.roomy != NULL || c.may_create);
}

/* The pool may call back from in here: nothing is remembered over a call. */
static void session_seat(struct session *s)
{
	struct upstream_conn *uc;

	while ((uc = session_first(&s->waiting)) != NULL) {
		if (!takes_places(s)) {
			place_seat_anew(uc);
		} else if (s->granted_count < session_room(s)) {
			place_grant(uc->place);
			endpoint_conn_opened(uc);
		} else if (may_move(s)) {
			place_seat_anew(uc);
		} else {
			return;
		}
	}
}

void seats_fill(struct endpoint *ep)
{
	/* None of them is freed before the end of the tick. */
	list_each_safe(&ep->sessions, node, next) {
		struct session *s = container_of(node, struct session, node);

		if (s->state >= SESSION_OPEN)
			session_seat(s);
	}
}

void seats_changed(struct endpoint *ep)
{
	if (ep->places_waiting > 0)
		io_defer(ep->ups->io, &ep->seating);
}

/* Places that rest are given up, as long as more than `room` are granted: all of them in their turn. */
static void rest_give_up(struct session *s, uint32_t room)
{
	for (uint32_t left = s->granted_count; left > 0 && s->granted_count > room; left--) {
		struct upstream_conn *uc = session_next_in_turn(&s->granted);

		if (uc != NULL && uc->state == UPSTREAM_CONN_RESTING)
			weir_pool_spoiled(uc->endpoint->pool, uc->slot, session_now_us(s));
	}
}

void session_look_at_room(struct session *s)
{
	uint32_t room;

	look_at_socket(s);
	room = session_room(s);
	if (room == s->room_seen)
		return;
	s->room_seen = room;
	if (!PLANTED(ROOM_OUTGROWN))
		rest_give_up(s, room);
	session_seat(s);
	/* What is left of it is for those who wait elsewhere. */
	seats_changed(s->endpoint);
}

void session_empty(struct session *s)
{
	rest_give_up(s, 0);
	seats_changed(s->endpoint);
}

/*
 * It has waited for as long as anybody may. Where nobody waits for it, and it is not kept ready, it is not needed: it counts as
 * opened, and is given up in the same step.
 */
static void place_on_timer(struct io_timer *timer)
{
	struct upstream_conn *uc = container_of(timer, struct upstream_conn, timer);
	struct endpoint *ep = uc->endpoint;
	struct session *s = uc->place->session;
	struct weir_pool_stats stats;

	weir_pool_stats(ep->pool, &stats);
	bool spare = stats.waiting == 0 && stats.idle + stats.connecting > ep->settings.idle_min;

	if (s->state < SESSION_OPEN || !spare) {
		io_timer_set(ep->ups->io, timer, deadline_after(session_now_us(s), ep->settings.acquire_timeout_us));
		return;
	}
	place_grant(uc->place);
	endpoint_conn_opened(uc);
	if (uc->state == UPSTREAM_CONN_RESTING)
		weir_pool_spoiled(ep->pool, uc->slot, io_now_us(ep->ups->io));
}

/* They wait somewhere, and not always on the session that keeps them waiting. */
const char *seats_why_short(const struct endpoint *ep)
{
	bool waits = false, stalled = false;

	list_each_safe(&ep->sessions, node, next) {
		const struct session *s = container_of(node, struct session, node);

		waits |= s->state == SESSION_OPEN && s->waiting_count > 0;
		stalled |= session_is_stalled(s);
	}
	if (stalled)
		return "the endpoint takes nothing at the moment (its connections are stalled)";
	return waits ? "the endpoint allows no more streams at a time (MAX_CONCURRENT_STREAMS)" : NULL;
}

int place_open(struct upstream_conn *uc)
{
	struct endpoint *ep = uc->endpoint;
	struct upstream_place *place = slab_alloc(&ep->ups->places);
	int error;

	if (place == NULL)
		return -ENOMEM;
	place->conn = uc;
	place->session = NULL;
	place->node = (struct list_node){0};
	place->has_stream = false;
	place->side.stream.version = STREAM_H2;
	uc->place = place;
	uc->stream = &place->side.stream;
	uc->timer.on_fire = place_on_timer;
	error = place_seat(uc);
	if (error == -EINPROGRESS)
		io_timer_set(ep->ups->io, &uc->timer, deadline_after(uc->began_us, ep->settings.acquire_timeout_us));
	return error;
}

/* --- leases ----------------------------------------------------------------------------------------------------------- */

bool place_is_alive(const struct upstream_conn *uc)
{
	return uc->place->session != NULL && session_is_sound(uc->place->session);
}

bool place_is_good(const struct upstream_conn *uc)
{
	const struct session *s = uc->place->session;

	return place_is_alive(uc) && (s->granted_count <= session_room(s) || PLANTED(ROOM_OUTGROWN));
}

int place_error(const struct upstream_conn *uc)
{
	return session_error(uc->place->session);
}

uint64_t place_connect_us(const struct upstream_conn *uc)
{
	const struct session *s = uc->place->session;

	return s->opened_us > uc->began_us ? s->opened_us - uc->began_us : 0;
}

uint64_t place_tls_us(const struct upstream_conn *uc)
{
	const struct session *s = uc->place->session;

	return tls_handshake_us(&s->conn, s->opened_us);
}

bool place_had_rested(const struct upstream_conn *uc)
{
	const struct session *s = uc->place->session;

	return session_now_us(s) > s->opened_us;
}

bool place_was_used(const struct upstream_conn *uc)
{
	return uc->place->session->streams_ever > 0;
}

bool place_had_served(const struct upstream_conn *uc)
{
	return uc->place->session->served;
}

void place_lease(struct upstream_conn *uc)
{
	struct upstream_place *place = uc->place;
	struct session *s = place->session;

	CHECK(s != NULL && s->h2.session != NULL && place->granted && !place->has_stream);
	h2_side_init(&place->side, &s->h2);
	place->side.scheme = s->endpoint->tls_id != 0 ? VIEW("https") : VIEW("http");
	h2_session_open(s->h2.session, &place->side.h2);
	place->has_stream = true;
	place->leased_us = session_now_us(s);
	s->streams_ever++;
}

void place_rest(struct upstream_conn *uc, bool served)
{
	struct upstream_place *place = uc->place;

	if (!place->has_stream)
		return;
	place->has_stream = false;
	if (served) {
		place->session->served = true;
		uc->endpoint->sessions_useless = 0;
	} else {
		session_note_silence(place->session, place->leased_us);
	}
	h2_stream_release(&place->side.h2);
	/* A reset, or a window that was given back, is to be written. */
	h2_conn_send_soon(&place->session->h2);
}

void place_leave(struct upstream_conn *uc)
{
	struct upstream_place *place = uc->place;

	if (place == NULL || place->session == NULL)
		return;
	place_rest(uc, false);
	place_exit(place);
	seats_changed(uc->endpoint);
}

/* --- the self-audit --------------------------------------------------------------------------------------------------- */

/* Places of one list; NULL: they are right. */
static const char *places_audit(const struct session *s, const struct list *places, bool granted, uint32_t *count,
	uint32_t *streams)
{
	list_each_safe(places, node, next) {
		const struct upstream_place *place = container_of(node, struct upstream_place, node);
		const struct upstream_conn *uc = place->conn;

		if (place->session != s || uc->place != place || place->granted != granted)
			return "a place is not where its session has it";
		if (granted != (uc->state != UPSTREAM_CONN_CONNECTING))
			return "a place is granted and the pool has not been told, or the other way round";
		if (place->has_stream != (uc->lease != NULL))
			return "a place has a stream and no holder, or a holder and no stream";
		++*count;
		*streams += place->has_stream;
	}
	return NULL;
}

static const char *session_audit(const struct session *s, uint64_t *places, uint64_t *waiting)
{
	uint32_t granted = 0, waits = 0, streams = 0;
	const char *wrong = places_audit(s, &s->granted, true, &granted, &streams);

	if (wrong == NULL)
		wrong = places_audit(s, &s->waiting, false, &waits, &streams);
	if (wrong != NULL)
		return wrong;
	*places += granted + waits;
	*waiting += waits;
	if (granted != s->granted_count || waits != s->waiting_count)
		return "a session's places and their count differ";
	if (granted > s->endpoint->streams_max)
		return "a session has more places than max_streams";
	if (granted + waits == 0 && !list_linked(&s->end.node))
		return "a session without places is not ended";
	return s->h2.session != NULL && h2_session_facts(s->h2.session).streams != streams ?
		"a session has streams that nobody holds" : NULL;
}

const char *sessions_audit(const struct endpoint *ep)
{
	uint64_t sessions = 0, places = 0, waiting = 0, conns = 0;

	list_each_safe(&ep->sessions, node, next) {
		const char *wrong = session_audit(container_of(node, struct session, node), &places, &waiting);

		if (wrong != NULL)
			return wrong;
		sessions++;
	}
	if (sessions != ep->stats.sessions)
		return "the sessions and their count differ";
	if (waiting != ep->places_waiting)
		return "the places that wait and their count differ";
	if (ep->streams_max == 0)
		return NULL;
	list_each_safe(&ep->conns, node, next)
		conns++;
	return conns != places ? "connections and places on sessions differ" : NULL;
}
