/*
 * The oracle: what must be true of every run, whatever went wrong in it.
 *
 *  1. Every request has one answer or a visible abort; answers come in the order of the requests.
 *  2. Every byte of content belongs to the message it stands in; what was cut short never looks complete.
 *  3. What a server receives is exactly the request that was intended. It is sent again once at most, the same bytes, on a
 *     new connection, when it is idempotent and the first connection had served or rested before and gave no byte of an
 *     answer; with HTTP/2 also when the gateway was told that nobody had looked at it (REFUSED_STREAM, or beyond GOAWAY's
 *     last stream), whatever its method. Where requests are hedged one that is idempotent has one copy beside it, at another
 *     server, within the budget, and what the gateway reads first is its answer (sim_hedge.h).
 *  4. Nothing of a refused request, and nothing of a tunnel before its 101, reaches a server; a tunnel is opened by the server alone,
 *     and a WebSocket's handshake is proven to who needs a proof. (What is said in it is under rule 2; see sim_tunnel.h.)
 *  5. An upstream connection that is not at a message boundary, or that said more than its answer, is not used again;
 *     nor handed on to a request that waits for it; nor one that was closed while it was idle, or that rested longer than
 *     its server said it may.
 *  6. A failure names a cause that fits what went wrong; in a run where nothing went wrong there is no failure, and a
 *     reload is nothing that goes wrong. A stale connection makes no request fail that may be sent again, nor does a refusal.
 *  7. The books balance after every turn, nothing is without a deadline, no exchange lives on for a client that has left, memory is bounded by what is going on, caps
 *     hold over all workers, nobody borrows or waits who is not alive, who has refused, or goes away at once, is not stormed,
 *     and nothing rests beyond what a peer allows. Who fails its health checks gets no new requests, there is one check at a
 *     time, none fails for what the gateway is short of, and who is well again is back within the checks that this takes; where
 *     all are used when most are out nobody is turned away for it (sim_health.h).
 *  8. Everything ends; afterwards every count is back where it was, and everybody is served within a bounded time.
 *  9. What the gateway writes is HTTP/2 where it speaks that: frames, states of streams, windows and limits as its peer has
 *     told them. Who breaks the protocol, or asks too much of it, is ended and told so, and nobody else is.
 * 10. A call of gRPC ends with its status, the service's or the gateway's, and by its deadline; it is sent again for a
 *     status where that is configured, and never more often.
 * 11. A breaker that is open lets nothing through, one that is half open so many as it may, and both close when the service is well
 *     again; a fallback takes over before an answer has begun, with what may be sent again (sim_breakers.h).
 * 12. No more pass than a rate limit allows, nobody is delayed for longer than it says, and places are given back (sim_limits.h).
 * 13. The phases of a request add up to its time, none is charged before its state is reached, and a wait is charged to what was
 *     waited for; what is told of the way upstream is of one try, the last one (sim_record.c). At rest the books
 *     of time of routes, of endpoints and the records agree (sim_times.h).
 *
 * 14. A request is told of once, its tries under it, as their servers were told; every span is exported, dropped for a reason, or
 *     waits, within bounds (sim_traces.h, sim_exporter.h).
 * 15. Who was taken out of service by the operator gets nothing that begins behind that, over reloads too, and what is under way there
 *     ends as it would have (sim_operator.h).
 * 16. A request gets to what its configuration has for it: to endpoints of its route's subset, and to those of the gateway's zone while
 *     they serve (sim_shapes.h); where its route led when it began, or since, and all of its tries to the same upstream.
 * 17. A worker listens where its configuration says, and nowhere else, and not before it has taken a reload; a listener that goes takes whoever has connected to it, answers
 *     what is under way, and is gone with its last client (sim_doors.h).
 * 18. A reload that is refused, at once or in the middle, changes nothing and leaves nothing (sim_refusals.h).
 *
 * Rules 1 to 6 are here, as far as they need not be where the bytes are (sim_bytes.c, sim_server.c); 9 is in
 * sim_wire.c, 10 in sim_call.c; 7 and 8 are checked by sim_run.c, sim_books.c and io_sim.c, since they are about
 * the world as a whole.
 */
#ifndef WEIR_SIM_ORACLE_H
#define WEIR_SIM_ORACLE_H

#include "sim_model.h"

/* What the oracle says about is drawn already: it keeps a copy of the faults of the run. */
void oracle_begin(void);

/* Whether faults of this run may make any request fail. */
bool oracle_run_is_rough(void);

/* What the runs so far have come to, as text: a simulator that reaches nothing finds nothing. */
void oracle_tell_tally(void);

/* False when something that many runs must have come to has not been seen; *what names it. */
bool oracle_tally_is_full(const char **what);

/* RFC 9110 §9.2.2. */
bool oracle_is_idempotent(const struct sim_request *request);

/* Rule 6: whether a tunnel may end with this cause, which is none of the others' that only requests come to. */
bool oracle_tunnel_fits(const struct sim_request *request, enum cause cause);

/* --- what a client sees ------------------------------------------------------------------------------------------- */

/* The head of an answer where the answer to `request` is due, 1xx included. Sets the reader's key and framing. */
void oracle_answer_begins(struct sim_request *request, struct sim_reader *reader);

/*
 * A final answer is complete as far as the client can tell. `keeps`: the gateway offers to go on with the connection.
 */
void oracle_answer_complete(struct sim_request *request, const struct sim_reader *reader, bool keeps);

/* How the connection of a request ended before the request had its answer. */
enum sim_end_how {
	ENDED_BY_FIN,
	ENDED_BY_RESET,
	ENDED_BY_CLIENT,
	ENDED_AFTER_CLOSE,
	ENDED_REFUSED,
	ENDED_HALF_CLOSED,  /* the client had ended its direction, which may mean that it has left */
	ENDED_COUNT
};
void oracle_unanswered(const struct sim_request *request, enum sim_end_how how);

/* --- what the gateway writes to servers (sim_tap.c) --------------------------------------------------------------- */

/* A byte of the request is written: on what. */
struct sim_try *oracle_try(struct sim_request *request, const struct sim_try *made);
/* Its head is written to the end. */
void oracle_try_head(const struct sim_request *request, struct sim_try *tried, uint64_t head_hash);

/* --- what a server sees ------------------------------------------------------------------------------------------- */

/* A request's head has arrived: whose it is. Sets the reader's key. */
struct sim_request *oracle_arrival(struct sim_reader *reader);

/* A request is complete as far as the server can tell. */
void oracle_arrival_complete(struct sim_request *request, const struct sim_reader *reader);

#endif
