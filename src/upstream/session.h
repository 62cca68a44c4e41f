/* What a session consists of. For sessions.c and seats.c; whoever audits or tests them looks at it as well. */
#ifndef WEIR_UPSTREAM_SESSION_H
#define WEIR_UPSTREAM_SESSION_H

#include "upstream/sessions.h"

enum session_state { SESSION_PAUSING, SESSION_CONNECTING, SESSION_SETTLING, SESSION_OPEN, SESSION_LEAVING };

struct session {
	struct conn conn;
	struct h2_conn h2;
	struct endpoint *endpoint;
	struct list_node node;         /* in endpoint->sessions */
	struct list granted;           /* places that the pool knows to be open */
	struct list waiting;           /* places that wait for room, or for the session to be open */
	uint32_t granted_count, waiting_count;
	uint32_t room_seen;            /* when it was looked at last */
	uint32_t streams_ever;
	struct io_timer timer;         /* pausing; until it is open: connect timeout; in doubt: to the end of that */
	struct io_task end;            /* closes and frees it, unless it has got a place meanwhile */
	uint64_t opened_us;
	uint64_t blocked_us;           /* the socket takes nothing of what waits, since then; UINT64_MAX: nothing waits */
	uint32_t blocked_taken;        /* what it had taken by then */
	uint64_t doubted_us;           /* since then; 0: it is not in doubt */
	uint8_t state;                 /* enum session_state */
	bool served;                   /* a whole answer at least */
};

static inline uint64_t session_now_us(const struct session *s)
{
	return io_now_us(s->endpoint->ups->io);
}

static inline uint32_t session_places(const struct session *s)
{
	return s->granted_count + s->waiting_count;
}

/* The first of a list of its places; NULL: none. */
static inline struct upstream_conn *session_first(const struct list *places)
{
	struct list_node *node = list_first(places);

	return node != NULL ? container_of(node, struct upstream_place, node)->conn : NULL;
}

/*
 * The same, and it goes to the end: a list of n has had its turn after n of these, though some may come and go between
 * two.
 */
static inline struct upstream_conn *session_next_in_turn(struct list *places)
{
	struct upstream_conn *uc = session_first(places);

	if (uc != NULL)
		list_push_back(places, list_pop_front(places));
	return uc;
}

/* --- sessions.c --------------------------------------------------------------------------------------------------- */

/* It is open, and nothing is known against it. */
bool session_is_sound(const struct session *s);

/* How it has ended before it could be used. */
int session_error(const struct session *s);

/* Connects. NULL and *error: it could not even begin. */
struct session *session_create(struct endpoint *ep, int *error);

/* It has no place any more, and is closed at the end of the tick unless it gets one. */
void session_end_soon(struct session *s);

/* A stream that began then was given up without an answer. */
void session_note_silence(struct session *s, uint64_t since_us);

/* --- seats.c ------------------------------------------------------------------------------------------------------ */

/* It is open, and at the moment nobody new would be served on it. */
bool session_is_stalled(const struct session *s);

/* How many places may be granted: none while it is stalled. What the peer allows is not known before its SETTINGS. */
uint32_t session_room(const struct session *s);

/*
 * It has run; its peer may have taken something, or not, or have allowed another number of streams since the last time.
 * Then who waits is seated, and what rests beyond the room is given up.
 */
void session_look_at_room(struct session *s);

/* It is leaving: what rests is given up, and who waits is seated elsewhere. */
void session_empty(struct session *s);

/* Something has become free: whoever waits on any session of the endpoint is looked after at the end of the tick. */
void seats_changed(struct endpoint *ep);

#endif
