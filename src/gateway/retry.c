/*
 * Requests that are sent again for what came of them: `retry` of the upstream says for what, how often, how much of it.
 *
 *     no connection: connect_failed            nothing was sent: any method; another endpoint, at once, or not at all
 *     lost before an answer: reset             \
 *     no answer in time: first_byte_timeout     | idempotent methods (replay.c), and what is provably unsent;
 *     answered: status_502, _503, _504          | another endpoint at once, the same one after a pause
 *     answered with nothing but a gRPC status  /  (grpc.c says when; any call that the operator has named)
 *
 * Always: nothing of an answer has gone to the client, 1xx but 100 (which is about the request) included; all that was
 * taken of the request's content was kept; the deadline, which is one for all tries, has not come and would not come while
 * we pause; fewer tries were made than `attempts` allows; some endpoint is in service. Last the budget is asked
 * (upstream/retry_budget.h), since what is taken of it is used. A connection that could not be made is not charged: nobody
 * was asked anything. Nor is the replay on a stale connection, which is another matter (replay.c): a request may have both.
 *
 * The pause is drawn from 0 to base, 2 base, 4 base ... up to max ("full jitter": Marc Brooker, "Exponential Backoff And
 * Jitter", AWS Architecture Blog, 2015), so that those who failed together do not come back together. Where an answer has
 * said Retry-After, no endpoint that was tried is asked before; one that asks for more patience than there is passes on.
 *
 * What stands behind the head of an answer that is not passed on is read as far as it is there already; if that is not
 * all of it, the connection is closed (with HTTP/2 the stream is reset) rather than waited for.
 */
#include <errno.h>

#include "base/planted.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"
#include "http/retry_after.h"

/* Away from those that ask, which every request goes through. */
#define AWAY __attribute__((noinline, cold))

/* Nobody waits longer than that for an endpoint that has asked for it. */
#define RETRY_AFTER_MAX_US (60 * US_PER_S)

/* Pieces of an answer that is not passed on. */
enum { UNWANTED_PIECES_MAX = 16 };

#define ON(reason) (1u << CONFIG_RETRY_##reason)

static const struct config_retry *settings(const struct exchange *ex)
{
	return &ex->upstream->retry;
}

static bool has_tries_left(const struct exchange *ex)
{
	return ex->tries < settings(ex)->attempts + (ex->grpc != NULL && PLANTED(CALL_SENT_ONCE_MORE));
}

bool retry_may_follow(const struct exchange *ex)
{
	const uint32_t after_sent = ON(RESET) | ON(FIRST_BYTE_TIMEOUT) | ON(STATUS_502) | ON(STATUS_503) | ON(STATUS_504);

	return (settings(ex)->on & after_sent) != 0 && has_tries_left(ex) && replay_is_safe(ex);
}

/* The client has been told nothing, and the same can be said to another endpoint. */
static bool is_untold(const struct exchange *ex)
{
	return ex->state < EXCHANGE_RESPONDING && ex->hints == 0 &&
	       (ex->replay == REPLAY_HEAD || ex->replay == REPLAY_KEPT);
}

/* --- where to, and when ---------------------------------------------------------------------------------------------- */

static uint64_t pause_us(struct exchange *ex)
{
	const struct config_retry *s = settings(ex);
	uint64_t most = s->backoff_base_us << ex->tries;

	if (most > s->backoff_max_us)
		most = s->backoff_max_us;
	return io_random(ex->worker->io) % (most + 1);
}

/* When the next try may begin; DEADLINE_NEVER: there is none. */
static uint64_t next_us(struct exchange *ex, enum upstream_try_failure failure)
{
	uint64_t now_us = io_now_us(ex->worker->io), at_us;

	switch (upstream_prospect(ex->worker->upstreams, ex->upstream, &ex->lease)) {
	case PROSPECT_NONE: return DEADLINE_NEVER;
	case PROSPECT_OTHER: return now_us;
	case PROSPECT_SAME: break;
	}
	/* The pool has a pause of its own before it connects again. */
	if (failure == TRY_CONNECT_FAILED)
		return DEADLINE_NEVER;
	at_us = now_us + pause_us(ex);
	if (ex->not_before_us <= at_us)
		return at_us;
	if (ex->not_before_us - now_us > RETRY_AFTER_MAX_US)
		return DEADLINE_NEVER;
	return settings(ex)->per_try_us == 0 || ex->not_before_us - now_us <= settings(ex)->per_try_us ? ex->not_before_us :
		DEADLINE_NEVER;
}

/* As next_us; what it gives may be had. */
static uint64_t granted_us(struct exchange *ex, enum upstream_try_failure failure)
{
	uint64_t at_us;

	if (!has_tries_left(ex) || !is_untold(ex))
		return DEADLINE_NEVER;
	at_us = next_us(ex, failure);
	if (at_us >= ex->request_deadline_us || at_us == DEADLINE_NEVER)
		return DEADLINE_NEVER;
	if (failure == TRY_CONNECT_FAILED ||
		upstream_may_ask_again(ex->worker->upstreams, ex->upstream, &ex->lease))
		return at_us;
	return DEADLINE_NEVER;
}

/* The next try, for which at_us was granted. The lease is over. The exchange may have ended after it. */
static void try_again(struct exchange *ex, enum upstream_try_failure failure, uint64_t at_us)
{
	hedge_plan_anew(ex);
	times_tell_try(ex, &ex->lease);
	if (ex->trace != NULL)
		trace_try_over(ex, CAUSE_NONE);
	upstream_avoid(&ex->lease, failure);
	ex->tries++;
	if (at_us <= io_now_us(ex->worker->io)) {
		exchange_lease_anew(ex);
		return;
	}
	ex->retry_at_us = at_us;
	exchange_enter(ex, EXCHANGE_BACKING_OFF);
	if (exchange_client_left(ex))
		exchange_lose_client(ex);
	else
		exchange_arm(ex);
}

AWAY void retry_resume(struct exchange *ex)
{
	if (io_now_us(ex->worker->io) >= ex->request_deadline_us) {
		exchange_finish(ex, CAUSE_REQUEST_DEADLINE, NULL);
		return;
	}
	if (ex->grpc != NULL)
		grpc_say_left(ex);
	exchange_lease_anew(ex);
}

/* --- for what --------------------------------------------------------------------------------------------------------- */

AWAY bool retry_for_connect(struct exchange *ex, enum cause cause)
{
	uint64_t at_us;

	if (cause != CAUSE_CONNECT_REFUSED && cause != CAUSE_CONNECT_TIMEOUT && cause != CAUSE_TLS_FAILED)
		return false;
	at_us = granted_us(ex, TRY_CONNECT_FAILED);
	if (at_us == DEADLINE_NEVER)
		return false;
	if (ex->trace != NULL)
		trace_try_over(ex, cause);
	try_again(ex, TRY_CONNECT_FAILED, at_us);
	return true;
}

/* The held connection's request has failed for `cause`. */
static bool retry_failed(struct exchange *ex, enum upstream_try_failure failure, enum cause cause)
{
	uint64_t at_us = granted_us(ex, failure);

	if (at_us == DEADLINE_NEVER)
		return false;
	exchange_report(ex, cause, 0);
	hedge_end(ex, false);
	upstream_give_back(&ex->lease, failure == TRY_FIRST_BYTE_TIMEOUT && PLANTED(SILENT_REUSED));
	try_again(ex, failure, at_us);
	ex->tries -= PLANTED(TRIES_UNCOUNTED);
	return true;
}

AWAY bool retry_for_loss(struct exchange *ex)
{
	const struct stream *up = ex->lease.stream;

	if ((settings(ex)->on & ON(RESET)) == 0 || PLANTED(LOSS_PASSED_ON) || stream_failure(up).cause != CAUSE_NONE)
		return false;
	if (stream_error(up) == -ENOMEM || stream_send_error(up) == -ENOMEM)
		return false;
	if (!stream_is_unsent(up) && !replay_is_safe(ex) && !PLANTED(RETRY_UNSAFE))
		return false;
	return retry_failed(ex, TRY_RESET, CAUSE_UPSTREAM_RESET);
}

AWAY bool retry_for_silence(struct exchange *ex)
{
	bool waits = ex->state == EXCHANGE_WAITING || ex->state == EXCHANGE_EXPECTING;

	if (!waits || ex->deadline_cause != CAUSE_FIRST_BYTE_TIMEOUT || (settings(ex)->on & ON(FIRST_BYTE_TIMEOUT)) == 0)
		return false;
	if (!replay_is_safe(ex) && !PLANTED(RETRY_UNSAFE))
		return false;
	return retry_failed(ex, TRY_FIRST_BYTE_TIMEOUT, CAUSE_FIRST_BYTE_TIMEOUT);
}

/* TRY_FAILURES: it is none for which anything is sent again. */
static enum upstream_try_failure failure_of(const struct exchange *ex, unsigned status)
{
	uint32_t on = settings(ex)->on;

	switch (status) {
	case 502: return on & ON(STATUS_502) ? TRY_STATUS_502 : TRY_FAILURES;
	case 503: return on & ON(STATUS_503) ? TRY_STATUS_503 : TRY_FAILURES;
	case 504: return on & ON(STATUS_504) ? TRY_STATUS_504 : TRY_FAILURES;
	default: return TRY_FAILURES;
	}
}

/* No endpoint that was tried is asked before its answer says so; of several the latest time counts. */
static void note_retry_after(struct exchange *ex, const struct message *head)
{
	const struct field *f = message_find(head, FIELD_RETRY_AFTER);
	uint64_t after_us, at_us;

	if (f == NULL || PLANTED(RETRY_AFTER_IGNORED) || !retry_after_parse(field_value(f), io_wall_us(ex->worker->io), &after_us))
		return;
	at_us = deadline_after(io_now_us(ex->worker->io), after_us);
	if (at_us > ex->not_before_us)
		ex->not_before_us = at_us;
}

/* The rest of an answer is thrown away, if it is there; then its connection can serve again. */
static bool rest_is_there(struct exchange *ex)
{
	struct stream *up = ex->lease.stream;
	const char *why;
	struct view data;

	for (unsigned i = 0; i < UNWANTED_PIECES_MAX && !stream_body_done(up); i++) {
		if (stream_read_body(up, &data, &why) != H1_PIECE_DATA)
			break;
		if (PLANTED(RETRY_LEAKS_ANSWER))
			stream_put_body(ex->down, data);
	}
	return stream_body_done(up);
}

static void retry_granted(struct exchange *ex, enum upstream_try_failure failure, uint64_t at_us)
{
	bool is_whole = rest_is_there(ex);

	upstream_give_back(&ex->lease, ex->sent_us != 0 && ex->keep_upstream && is_whole);
	try_again(ex, failure, at_us);
}

AWAY bool retry_for_status(struct exchange *ex, const struct message *head)
{
	enum upstream_try_failure failure = failure_of(ex, head->status);
	uint64_t at_us;

	if (failure == TRY_FAILURES || (!replay_is_safe(ex) && !PLANTED(RETRY_UNSAFE)))
		return false;
	note_retry_after(ex, head);
	at_us = granted_us(ex, failure);
	if (at_us == DEADLINE_NEVER)
		return false;
	retry_granted(ex, failure, at_us);
	return true;
}

AWAY bool retry_for_call(struct exchange *ex)
{
	uint64_t at_us = granted_us(ex, TRY_GRPC_STATUS);

	if (at_us == DEADLINE_NEVER)
		return false;
	ex->worker->stats.grpc_retries++;
	if (at_us <= io_now_us(ex->worker->io))
		grpc_say_left(ex);
	retry_granted(ex, TRY_GRPC_STATUS, at_us);
	return true;
}
