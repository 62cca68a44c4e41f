/* Private to the room: what the files that make up an exchange say to each other. */
#ifndef WEIR_GATEWAY_EXCHANGE_H
#define WEIR_GATEWAY_EXCHANGE_H

#include "gateway/state.h"

/* How long a filter may pause an exchange when nothing else bounds it. */
#define FILTER_PAUSE_MAX_US (30 * US_PER_S)

/* Changes the state; CHECKs that the diagram in exchange.c has such an arrow. Bytes count as having moved. */
void exchange_enter(struct exchange *ex, enum exchange_state state);

/* Sets the timer to what the state waits for. */
void exchange_arm(struct exchange *ex);

/* Something has changed on one of the sides: moves what can be moved (pump.c). The exchange may have ended after it. */
void exchange_pump(struct exchange *ex);

/* Whether either side has taken bytes since the last look: that too is progress (pump.c). The first only looks. */
void exchange_note_unsent(struct exchange *ex);
bool exchange_notices_progress(struct exchange *ex);

/* What an end of the client's direction means in this state: true when it has left (pump.c). */
bool exchange_end_is_leave(const struct exchange *ex);

/* Whether the client has left by ending its direction: then nobody wants the answer (`half_close: abort`). */
static inline bool exchange_client_left(const struct exchange *ex)
{
	return stream_peer_closed(ex->down) && exchange_end_is_leave(ex);
}

/*
 * The client is there no more: it has left, or its stream was reset for what it sent, or for want of memory. Ends with
 * the cause that is true (pump.c).
 */
void exchange_lose_client(struct exchange *ex);

/* What the router is asked. */
struct route_query exchange_query(const struct exchange *ex);

/* True unless its state has no armed deadline, which is a bug. */
bool exchange_has_deadline(const struct exchange *ex);

/* Walks the request filters from the cursor on, then does what the route does. */
void exchange_filter(struct exchange *ex);

/* Whether the client's connection can carry another request after an answer whose head is written now. */
bool exchange_keeps_client(const struct exchange *ex);

/* The lease has turned out to be dead: asks for another, on which the request is sent again (replay.c says when). */
void exchange_lease_again(struct exchange *ex, enum upstream_retry_reason reason);

/* It is given back, answered, and the request is to be sent again on another one, or on the same. It may end. */
void exchange_lease_anew(struct exchange *ex);

/* --- sending a request again (replay.c) ------------------------------------------------------------------------------ */

/* The head is gathered and content will follow: from here on it is seen to that it could be sent again. */
void replay_prepare(struct exchange *ex);

/* A piece of content was handed over, while it may still be sent again. Counted in ex->bytes_in already. */
void replay_keep(struct exchange *ex, struct view data);

/* The same for the trailers at its end. */
void replay_keep_trailers(struct exchange *ex, const struct message *trailers);

/* Bytes of the request may have been sent: settles what of it can be sent again, before anything else is received. */
static inline bool replay_is_unsettled(const struct exchange *ex)
{
	return ex->replay >= REPLAY_MARKED;
}
void replay_settle(struct exchange *ex);

/* Whatever happens now, content that has passed is not sent again. */
void replay_forget(struct exchange *ex);

/* The upstream has ended or failed. True: the request is being sent again. False: it may not be, nothing was done. */
bool replay_try(struct exchange *ex);

/* Sends what was kept, behind the head on the new connection. */
void replay_send(struct exchange *ex);

/* --- heads for the other side (forward.c) ---------------------------------------------------------------------------- */

/* Draws the worker's half of its request ids. */
void forward_init(struct worker *w);

/* Settles who the client is and the request's id. False: the arena is exhausted. */
bool forward_identify(struct exchange *ex);

/* Makes the request fit to go upstream: hop-by-hop fields dropped. NULL, or why it is refused with 400. */
const char *forward_prepare(struct exchange *ex);

/* Settles target and Host as they go upstream, and the answer of a route that gives one itself. NULL, or why it failed. */
const char *forward_rewrite(struct exchange *ex);

/* Writes the request head to the upstream's connection. False: it does not fit. */
bool forward_request(struct exchange *ex);

/* Writes the final head of `response` to the client; decides framing and keep_client. False: it does not fit. */
bool forward_response(struct exchange *ex, struct message *response);

/* Drops of trailers what may not go upstream, or to the client, though it may be a trailer. */
void forward_request_trailers(struct exchange *ex, struct message *trailers);
void forward_response_trailers(struct exchange *ex, struct message *trailers);

/* Writes a 1xx head, or the 101 that begins a tunnel, to the client. False: it does not fit. */
bool forward_informational(struct exchange *ex, struct message *response);
bool forward_upgrade(struct exchange *ex, struct message *response);

/* --- WebSockets between the versions of HTTP (websocket.c) -------------------------------------------------------------- */

/* A request that came by HTTP/2 has no Sec-WebSocket-Key from here on. */
void websocket_drop_key(struct message *m);

/* Whether this upgrade can go on to the upstream that was leased; any between two sides of HTTP/1. */
bool websocket_can_pass(struct exchange *ex);

/* Writes Sec-WebSocket-Key where the client has none; Sec-WebSocket-Accept where the upstream's answer has none that counts. */
void websocket_put_key(struct h1_writer *w, struct exchange *ex);
void websocket_put_accept(struct h1_writer *w, const struct exchange *ex, struct message *response);

/* Whether this 101 proves that the handshake was understood, where the client cannot see to that itself. */
bool websocket_is_proven(const struct exchange *ex, const struct message *response);

/* An answer with this status, which opens no WebSocket, would be taken for one that does (RFC 8441 §5). */
static inline bool websocket_would_seem_open(const struct exchange *ex, unsigned status)
{
	return stream_asks_tunnel(ex->down) && status >= 200 && status < 300;
}

/* --- who it is from (naming.c) --------------------------------------------------------------------------------------- */

/* Puts the PROXY header in front of everything else on the connection that was leased for this request. */
void naming_put_header(struct exchange *ex);

/* --- https (https.c) ------------------------------------------------------------------------------------------------- */

/* The listener leads to https. True: the request was redirected, or refused, and has ended. */
bool https_redirect(struct exchange *ex);

/* The listener has `hsts`, so `m` does not say it. */
void https_drop_hsts(const struct message *m);

/* The listener has `hsts`: writes its field, in place of what `head` (may be NULL) says itself. */
void https_put_hsts(struct h1_writer *w, const struct exchange *ex, const struct message *head);

/* --- the filter cursor (filter.c) ------------------------------------------------------------------------------------ */

/* Goes on from the cursor. On FILTER_ANSWER *cause and *why are set. */
enum filter_verdict filters_on_request(struct exchange *ex, enum cause *cause, const char **why);

/* Those whose on_request was called, in reverse. False: one refused, *cause and *why are set. */
bool filters_on_response(struct exchange *ex, struct message *response, enum cause *cause, const char **why);

/*
 * Fields beside the head are shown to the same ones: of the request its trailers, of the response a 1xx or its
 * trailers.
 */
void filters_on_request_aside(struct exchange *ex, struct message *aside);
void filters_on_response_aside(struct exchange *ex, struct message *aside);

void filters_on_finish(struct exchange *ex);

/* --- answers of our own (answer.c) ------------------------------------------------------------------------------------ */

/*
 * Makes the head of ex->answer, so that the response filters see it like any other. False: one refused or memory is out;
 * *cause and *why are set.
 */
bool answer_prepare(struct exchange *ex, enum cause *cause, const char **why);

/* Writes the answer for a cause, or ex->answer for CAUSE_NONE; sets ex->status. False: it does not fit. */
bool answer_write(struct exchange *ex, enum cause cause, const char *why, bool keep_alive);

/* --- the watch over leases (oldest.c) --------------------------------------------------------------------------------- */

/* lease->on_overdue. Tells of a lease on which nothing moves; ends the exchange when its connection is reclaimed. */
bool exchange_overdue(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us);

/* --- the record (record.c) --------------------------------------------------------------------------------------------- */

/* Tells the observer what is known of the exchange. */
void record_send(struct exchange *ex, enum cause cause, const char *why);

#endif
