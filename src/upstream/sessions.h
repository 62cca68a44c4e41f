/*
 * Private to the room: connections that speak HTTP/2, and their places.
 *
 * The pool counts streams. What it calls a connection is, with HTTP/2, a place on a session: the right to have one stream
 * at a time there. So whoever waits, waits as with HTTP/1, and the same books tell.
 *
 *     pool: open  --> place_open:  on a session that has room, or on a new one, or waiting for room
 *     leased      --> place_lease: a stream of its own, each time
 *     given back  --> place_rest:  the stream goes (one that has not ended is reset); the session is not harmed by that
 *     pool: close --> place_leave: a session without places is ended
 */
#ifndef WEIR_UPSTREAM_SESSIONS_H
#define WEIR_UPSTREAM_SESSIONS_H

#include "net/h2_conn.h"
#include "upstream/endpoint.h"

struct session;

struct upstream_place {
	struct h2_side side;
	struct upstream_conn *conn;    /* whose place it is */
	struct session *session;       /* NULL: none, or left */
	struct list_node node;         /* in session->granted or ->waiting */
	uint64_t leased_us;            /* the last time */
	bool granted;                  /* the session has room for it: the pool knows it to be open */
	bool has_stream;               /* `side` is a stream of the session */
};

/* Errors as of connecting: the service ends a connection before anything could be asked on it. */
#define SESSION_GOES_AWAY (-ESHUTDOWN)   /* with GOAWAY */
#define SESSION_CLOSES (-ECONNABORTED)   /* without a word */

/*
 * Begins HTTP/2 on a connection to the endpoint that is open, once with TLS it is known what was agreed on. 0 or an error as of
 * connecting.
 */
int endpoint_speak_h2(struct endpoint *ep, struct conn *conn, struct h2_conn *hc, const struct h2_limits *limits);

/*
 * Finds a place for the connection, which is CONNECTING. 0: it may be used. -EINPROGRESS: endpoint_conn_opened or
 * endpoint_conn_failed tells; it may be long in coming, where the peer allows no more streams. Else an error, and there
 * is nothing to leave.
 */
int place_open(struct upstream_conn *uc);

/* The session carries new streams still. Good: and the peer allows one more beside those that it has. */
bool place_is_alive(const struct upstream_conn *uc);
bool place_is_good(const struct upstream_conn *uc);

/* Of one that is not alive: why, as an error of connecting. */
int place_error(const struct upstream_conn *uc);

/* How long connecting took, for a place that is open: to wait for room is something else. */
uint64_t place_connect_us(const struct upstream_conn *uc);

/* And how much of that, at its end, was TLS, with the SETTINGS behind it. */
uint64_t place_tls_us(const struct upstream_conn *uc);

/* Whether the session was opened before now, whether anybody has had a stream on it, and whether an answer. */
bool place_had_rested(const struct upstream_conn *uc);
bool place_was_used(const struct upstream_conn *uc);
bool place_had_served(const struct upstream_conn *uc);

/* A fresh stream, on a place that is good. */
void place_lease(struct upstream_conn *uc);

/* `served`: its answer was whole. The stream's memory may be used again. Legal without a stream. */
void place_rest(struct upstream_conn *uc, bool served);

/* Gives the place up, with its stream. Legal twice. The memory is the caller's. */
void place_leave(struct upstream_conn *uc);

#endif
