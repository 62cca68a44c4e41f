/* Private to the room: what the files that make up an exchange say to each other. */
#ifndef WEIR_GATEWAY_EXCHANGE_H
#define WEIR_GATEWAY_EXCHANGE_H

#include "base/check.h"
#include "gateway/breakers.h"
#include "gateway/state.h"

/* The arrows of the diagram in exchange.c: where each state may lead to, a bit each. */
extern const uint16_t exchange_arrows[];

/* Changes the state; CHECKs that the diagram has such an arrow. Bytes count as having moved. The second: it is `now_us` on the loop's clock. */
static inline void exchange_enter_at(struct exchange *ex, enum exchange_state state, uint64_t now_us)
{
	CHECK(exchange_arrows[ex->state] & 1u << state);
	ex->state = (uint8_t)state;
	ex->moved_us = now_us;
}

static inline void exchange_enter(struct exchange *ex, enum exchange_state state)
{
	exchange_enter_at(ex, state, io_now_us(ex->worker->io));
}

/* Sets the timer to what the state waits for. */
void exchange_arm(struct exchange *ex);

/* The upstream is told what came of the request that its lease is held for. */
void exchange_report(struct exchange *ex, enum cause cause, unsigned status);
/*
 * Whether a failure says something of the upstream. A deadline does not that has come while the client was still sending, or
 * that the client itself has set too short, nor an answer that only this client cannot take: else anybody could put an endpoint
 * out of service that is well.
 */
bool exchange_blames_upstream(const struct exchange *ex, enum cause cause);
/* The upstream is told of what has failed, if it was its fault and it has not been told. */
void exchange_report_failure(struct exchange *ex, enum cause cause);

/* Something has changed on one of the sides: moves what can be moved (pump.c). The exchange may have ended after it. */
void exchange_pump(struct exchange *ex);

/* The same, after the other events of the loop had their turn. */
void exchange_pump_later(struct exchange *ex);

/* The same, of the upstream's side. */
void exchange_on_answer(struct exchange *ex);

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

/*
 * exchange_finish() of one that is RESPONDING and not is_special, whose request was read to its end and whose answer has gone out whole, by
 * HTTP/1, and whose lease is back. Whoever ends it so does not look at it any more: its memory is free at once.
 */
#define exchange_finish_ordinary(ex) exchange_finish_ordinary_at(ex, __FILE__ ":" EXCHANGE_STR(__LINE__))
void exchange_finish_ordinary_at(struct exchange *ex, const char *where);

/* Walks the request filters from the cursor on, then does what the route does. */
void exchange_filter(struct exchange *ex);

/* Whether the client's connection can carry another request after an answer whose head is written now. */
bool exchange_keeps_client(const struct exchange *ex);

/* The lease has turned out to be dead: asks for another, on which the request is sent again (replay.c says when). */
void exchange_lease_again(struct exchange *ex, enum upstream_retry_reason reason);

/* There is no lease any more, and the request is to be sent again: asks for one. It may end. */
void exchange_lease_anew(struct exchange *ex);

/* The lease is held: sends the request on it. It may end. */
void exchange_send(struct exchange *ex);

/* It goes to ex->upstream: asks for a lease. It may end. */
void exchange_lease(struct exchange *ex);

/*
 * It would end for `cause`, and no answer has begun: whether its route has another answer for that (fallback.c), with which it
 * goes on, and may end.
 */
bool fallback_takes_over(struct exchange *ex, enum cause cause);

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

/* Nothing of it was ever sent, or all of it can be, and may be, sent again. */
bool replay_is_possible(const struct exchange *ex);

/* Sends what was kept, behind the head on the new connection. */
void replay_send(struct exchange *ex);

/* Its method is idempotent, and it asks for no upgrade: what was sent may be sent again. */
bool replay_is_safe(const struct exchange *ex);

/* --- sending it a second time beside the first (hedge.c) -------------------------------------------------------------- */

/* WAITING: when a second try is to begin; DEADLINE_NEVER: never. Sets ex->hedge_at_us. */
uint64_t hedge_plan(struct exchange *ex);

/* The request will be sent again: what is planned counts from then, unless its second try has begun or none may. */
void hedge_plan_anew(struct exchange *ex);

static inline bool hedge_is_due(const struct exchange *ex)
{
	return ex->state == EXCHANGE_WAITING && ex->hedge_at_us != 0 && ex->hedge_at_us <= io_now_us(ex->worker->io);
}

/* It is time. */
void hedge_begin(struct exchange *ex);

/* The lease's upstream is lost: whether another try goes on in its place. */
bool hedge_takes_over(struct exchange *ex);

/* exchange_send() has put its head, or could not. */
void hedge_send_rest(struct exchange *ex, bool fits);

/* The lease was answered first, or everything ends: the other try is given up. */
void hedge_end_other(struct exchange *ex, bool answered);

static inline void hedge_end(struct exchange *ex, bool answered)
{
	if (__builtin_expect(ex->hedge != NULL, 0))
		hedge_end_other(ex, answered);
}

/* The lease that is not the exchange's own at present, and when its head went out (0: not); there is a hedge. */
const struct upstream_lease *hedge_lease(const struct exchange *ex);
uint64_t hedge_head_sent_us(const struct exchange *ex);

/* What is sent has to be kept for it. */
bool hedge_may_follow(const struct exchange *ex);

/* Whose lease it is, the exchange's own or that of its second try. */
struct exchange *exchange_of_lease(struct upstream_lease *lease);

/* --- sending it again for what came of it (retry.c) ------------------------------------------------------------------- */

/* Whether it may be sent again though it was sent, so that what is sent has to be kept. */
bool retry_may_follow(const struct exchange *ex);

/*
 * There is no connection, for `cause`; the upstream has ended or failed; no answer has begun in time; this one has come, which
 * the upstream was told of; the answer is nothing but a status of gRPC for which it is configured. True: the request is being
 * sent again, or will be, or the exchange has ended in trying. False: nothing was done.
 */
bool retry_for_connect(struct exchange *ex, enum cause cause);
bool retry_for_loss(struct exchange *ex);
bool retry_for_silence(struct exchange *ex);
bool retry_for_status(struct exchange *ex, const struct message *head);
bool retry_for_call(struct exchange *ex);

/* BACKING_OFF is over. It may end. */
void retry_resume(struct exchange *ex);

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

/* --- who is served first (priority.c) --------------------------------------------------------------------------------- */

/* What a request's header says: 0 to 3, or UINT8_MAX, nothing. */
uint8_t priority_read(struct view text);

/* The priority on a route that lets its header say it. */
uint8_t priority_named(const struct exchange *ex);

static inline uint8_t exchange_priority(const struct exchange *ex)
{
	return __builtin_expect(ex->route->priority_header.n == 0, 1) ? ex->route->priority : priority_named(ex);
}

/* --- what balancing asks of a request (balance_key.c) ------------------------------------------------------------------ */

/* Where it goes asks something of requests. */
bool balance_key_is_wanted(const struct exchange *ex);

/* Sets the lease's key, before it is asked for. False: the arena is exhausted. */
bool balance_key_make(struct exchange *ex);

/* The lease has a key: writes the cookie that binds the client to the endpoint which has answered, where it has another. */
void balance_key_answer(struct h1_writer *w, const struct exchange *ex);

/* --- the breaker of its route (breakers.c) ---------------------------------------------------------------------------- */

static inline bool exchange_is_admitted(struct exchange *ex)
{
	return !ex->route->has_breaker || route_breaker_admits(ex);
}

static inline void exchange_is_answered(struct exchange *ex)
{
	if (__builtin_expect(ex->breaker_call != 0, 0))
		route_breaker_answered(ex);
}

static inline void exchange_leave_breaker(struct exchange *ex, enum cause cause)
{
	if (ex->breaker_call != 0)
		route_breaker_leave(ex, cause);
}

/* --- https (https.c) ------------------------------------------------------------------------------------------------- */

/* The listener leads to https. True: the request was redirected, or refused, and has ended. */
bool https_redirect(struct exchange *ex);

/* The listener has `hsts`, so `m` does not say it. */
void https_drop_hsts(struct message *m);

/* The listener has `hsts`: writes its field, in place of what `head` (may be NULL) says itself. */
void https_put_hsts(struct h1_writer *w, const struct exchange *ex, struct message *head);

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

/* lease->ops->on_overdue. Tells of a lease on which nothing moves; ends the exchange when its connection is reclaimed. */
bool exchange_overdue(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us);

/* lease->ops->owed_since, ->waits_for_user. */
uint64_t exchange_owed_since(struct upstream_lease *lease);
bool exchange_waits_for_client(struct upstream_lease *lease);

/* --- where its time goes (times.c) ------------------------------------------------------------------------------------- */

/* It waits for something else from now on: what has passed was spent in the phase before. exchange_arm() says so. */
void times_change(struct exchange *ex, enum phase phase);

static inline void exchange_spends(struct exchange *ex, enum phase phase)
{
	if (ex->phase != phase)
		times_change(ex, phase);
}

/* No connection came of the wait for one, for `cause`: which tells what was waited for. */
void times_connect_failed(struct exchange *ex, enum cause cause);

/* A try is over, but not the exchange: the endpoint that was picked for it is told. Before another one is. */
void times_tell_try(struct exchange *ex, const struct upstream_lease *lease);

/* The same of the first of two tries, the second of which goes on: that one's request was sent at since_us. */
void times_tell_beside(struct exchange *ex, const struct upstream_lease *first, uint64_t since_us);

/* The books are told; a tunnel's when it begins, any other's by its end. */
void times_tell(struct exchange *ex);

/* It ends, with a route, because a breaker does not let it through. */
void times_refused(struct exchange *ex, enum breaker_scope whose);

/* The exchange ends: nothing is spent after it. The second: with its only try, and is_special is not set. */
void times_end(struct exchange *ex);
void times_end_ordinary(struct exchange *ex);

/* --- the record (record.c) --------------------------------------------------------------------------------------------- */

/* Tells the observer what is known of the exchange. */
void record_send(struct exchange *ex, enum cause cause, const char *why);

/* Whether it is told of: its route, the sample and what is always told of say so. Asked once; counts what is not. */
bool record_is_wanted(const struct exchange *ex, enum cause cause);

#endif
