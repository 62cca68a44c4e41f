/*
 * The fallback of a route: what answers when its upstream does not. An answer of the gateway's own, or another upstream.
 *
 *     exchange_finish(cause) --(the route has a fallback for it, and no answer has begun)--> the lease is dropped
 *          |                                                                                   |            |
 *          v                                                                        an answer of our own    LEASING, elsewhere
 *        ENDED <------------------------------------------------------------------------------'
 *
 * It is taken once: what fails behind it ends the exchange. The other upstream is asked only with what was not sent yet, or may
 * be sent again (replay.c). An answer of our own that is 2xx is not for a WebSocket by CONNECT: it would look like an open one. The
 * cause for which the fallback was taken stands in the log.
 */
#include "gateway/exchange.h"

static void respond(struct exchange *ex, const struct config_respond *respond)
{
	enum cause cause;
	const char *why = NULL;

	ex->answer = (struct answer){.status = respond->status, .body = respond->body, .content_type = respond->content_type};
	if (answer_prepare(ex, &cause, &why))
		exchange_finish(ex, CAUSE_NONE, NULL);
	else
		exchange_finish(ex, cause, why);
}

/* What was learned from the upstream, and what is held of it. */
static void leave_upstream(struct exchange *ex, enum cause cause)
{
	exchange_leave_breaker(ex, cause);
	exchange_report_failure(ex, cause);
	hedge_end(ex, false);
	hedge_plan_anew(ex);
	times_tell_try(ex, &ex->lease);
	if (ex->trace != NULL)
		trace_try_over(ex, cause);
	upstream_drop(&ex->lease);
	ex->lease.key = NULL;
	ex->lease.tried_count = 0;
	io_timer_cancel(ex->worker->io, ex->timer);
	io_defer_cancel(ex->worker->io, &ex->task);
}

__attribute__((noinline)) bool fallback_takes_over(struct exchange *ex, enum cause cause)
{
	const struct config_fallback *fallback = ex->route != NULL ? &ex->route->fallback : NULL;

	if (fallback == NULL || !(fallback->causes >> cause & 1) || ex->fallback_cause != CAUSE_NONE ||
		ex->state >= EXCHANGE_RESPONDING)
		return false;
	if (fallback->responds ? websocket_would_seem_open(ex, fallback->respond.status) : !replay_is_possible(ex))
		return false;
	ex->fallback_cause = (uint8_t)cause;
	ex->worker->stats.fallbacks++;
	leave_upstream(ex, cause);
	if (fallback->responds) {
		respond(ex, &fallback->respond);
	} else if (stream_flush(ex->down) < 0) {
		/* 1xx for the client had to leave the memory in which the next head is written. */
		exchange_lose_client(ex);
	} else {
		ex->upstream = fallback->upstream;
		ex->request_deadline_us = DEADLINE_NEVER;
		exchange_lease(ex);
	}
	return true;
}
