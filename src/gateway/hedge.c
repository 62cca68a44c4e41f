/*
 * Hedged requests: one that waits for its answer for longer than most do is sent to another endpoint as well, and whichever
 * answers first is its answer. (Dean, Barroso: "The Tail at Scale", CACM 56(2), 2013.)
 *
 *     WAITING --(hedge.after, nothing has come)--> a second lease --its first byte--> it is the answer, the first is dropped
 *        |                                             |       '----- the first's first byte --> the second is dropped
 *        |                                             '-- it fails: as if it had never been
 *        '-- the first fails meanwhile: the second is what is waited for
 *
 * Only what may be sent twice at once: idempotent methods (replay.c) that ask for no upgrade and are no calls, of which all
 * content was kept, whose client has been told nothing. Only to an endpoint that was not tried, only once for each request, and
 * only within the budget of what may be sent again (upstream/retry_budget.h), so that a service that becomes slow as a whole is
 * not asked twice for everything.
 *
 * The exchange's own lease is always the one of which something is expected: where the other one has news they change places
 * (upstream_lease_swap), so nothing else in the exchange knows that there are two. The dropped one's connection is closed, or its
 * stream reset. If it is the first, its endpoint is held to have taken as long as it was waited for.
 */
#include "base/check.h"
#include "base/planted.h"
#include "gateway/exchange.h"
#include "gateway/grpc.h"

struct hedge {
	struct upstream_lease lease;       /* of the try that is not the exchange's own at present */
	struct exchange *exchange;
	uint64_t head_sent_us, sent_us;    /* of that one */
	bool is_first;                     /* that one is the first; else the exchange's own is */
};

/* --- when --------------------------------------------------------------------------------------------------------------- */

bool hedge_may_follow(const struct exchange *ex)
{
	return ex->upstream->hedge.enabled && ex->hedge_at_us != DEADLINE_NEVER && ex->grpc == NULL &&
	       (replay_is_safe(ex) || PLANTED(HEDGE_UNSAFE));
}

static uint64_t after_us(const struct exchange *ex)
{
	const struct config_hedge *hedge = &ex->upstream->hedge;

	if (hedge->permille == 0)
		return hedge->after_us;
	return upstream_latency(ex->worker->upstreams, ex->upstream, hedge->permille);
}

void hedge_plan_anew(struct exchange *ex)
{
	if (ex->hedge_at_us != DEADLINE_NEVER)
		ex->hedge_at_us = 0;
}

uint64_t hedge_plan(struct exchange *ex)
{
	uint64_t us = hedge_may_follow(ex) && ex->hints == 0 ? after_us(ex) : 0;

	ex->hedge_at_us = us != 0 ? deadline_after(ex->head_sent_us, us) : DEADLINE_NEVER;
	return ex->hedge_at_us;
}

/* Nothing of an answer has come, and the same can be said to another endpoint. */
static bool is_open(const struct exchange *ex)
{
	return ex->state == EXCHANGE_WAITING && ex->first_byte_us == UINT64_MAX && ex->sent_us != 0 &&
	       (ex->replay == REPLAY_HEAD || ex->replay == REPLAY_KEPT);
}

/* --- two tries ---------------------------------------------------------------------------------------------------------- */

static void swap_times(uint64_t *a, uint64_t *b)
{
	uint64_t was = *a;

	*a = *b;
	*b = was;
}

const struct upstream_lease *hedge_lease(const struct exchange *ex)
{
	return &ex->hedge->lease;
}

uint64_t hedge_head_sent_us(const struct exchange *ex)
{
	return ex->hedge->head_sent_us;
}

/* The other one is the exchange's own from now on. */
static void change_places(struct exchange *ex)
{
	struct hedge *h = ex->hedge;

	upstream_lease_swap(&ex->lease, &h->lease);
	swap_times(&ex->head_sent_us, &h->head_sent_us);
	swap_times(&ex->sent_us, &h->sent_us);
	h->is_first = !h->is_first;
	if (ex->trace != NULL)
		trace_hedge_swap(ex);
}

static void forget(struct exchange *ex)
{
	struct hedge *h = ex->hedge;

	if (ex->trace != NULL)
		trace_hedge_over(ex);
	if (!PLANTED(HEDGE_LOSER_KEPT) || h->lease.stage != LEASE_HELD)
		upstream_drop(&h->lease);
	upstream_lease_release(&h->lease);
	ex->hedge = NULL;
}

/*
 * The other one was answered first. Its endpoint would look idle if nothing were told of it, and a slow one, or a silent one, be
 * asked again and again. But a wait that was cut short before the other's was over says nothing.
 */
static void tell_wait(struct exchange *ex)
{
	struct hedge *h = ex->hedge;
	uint64_t now_us = io_now_us(ex->worker->io), lag_us;

	if (h->lease.stage != LEASE_HELD || h->sent_us == 0 || h->sent_us >= ex->sent_us)
		return;
	lag_us = io_lag_us(ex->worker->io, h->sent_us);
	if (now_us > h->sent_us + lag_us)
		upstream_gave_up(&h->lease, now_us - h->sent_us - lag_us);
}

void hedge_end_other(struct exchange *ex, bool answered)
{
	struct hedge *h = ex->hedge;
	const struct upstream_lease *second = h->is_first ? &ex->lease : &h->lease;

	if (second->stage == LEASE_HELD)
		upstream_count_hedge(second, answered && h->is_first);
	if (answered)
		tell_wait(ex);
	/* What was waited for it is no time of the second's. */
	if (h->is_first)
		times_tell_beside(ex, &h->lease, ex->head_sent_us);
	forget(ex);
}

bool hedge_takes_over(struct exchange *ex)
{
	struct hedge *h = ex->hedge;

	if (h == NULL || h->lease.stage != LEASE_HELD || ex->first_byte_us != UINT64_MAX)
		return false;
	exchange_report(ex, CAUSE_UPSTREAM_RESET, 0);
	change_places(ex);
	hedge_end(ex, false);
	/* It may have had something to say already. */
	exchange_pump_later(ex);
	return true;
}

static void on_ready(struct upstream_lease *lease)
{
	struct exchange *ex = container_of(lease, struct hedge, lease)->exchange;

	if (stream_has_input(lease->stream))
		change_places(ex);
	exchange_pump(ex);
}

static bool on_overdue(struct upstream_lease *lease, enum weir_pool_overdue what, uint64_t quiet_max_us)
{
	struct exchange *ex = container_of(lease, struct hedge, lease)->exchange;

	if (what != WEIR_POOL_RECLAIMED)
		return true;
	hedge_end(ex, false);
	return false;
}

static uint64_t owed_since(struct upstream_lease *lease)
{
	return container_of(lease, struct hedge, lease)->sent_us;
}

/* --- the second ----------------------------------------------------------------------------------------------------------- */

/* As replay_send does, for a request that was sent whole before. False: it could not be. */
static bool put_rest(struct exchange *ex)
{
	struct stream *to = ex->lease.stream;

	if (ex->replay == REPLAY_KEPT)
		stream_put_body(to, buf_view(&ex->kept));
	stream_put_end(to, ex->replay == REPLAY_KEPT ? ex->kept_trailers : NULL);
	ex->sent_us = ex->head_sent_us;
	return stream_flush(to) >= 0;
}

void hedge_send_rest(struct exchange *ex, bool fits)
{
	if (!fits || !put_rest(ex)) {
		change_places(ex);
		hedge_end(ex, false);
	} else if (stream_has_input(ex->lease.stream)) {
		exchange_pump_later(ex);
	}
}

/* The second lease is held: from here on something is expected of both. */
static void second_is_held(struct exchange *ex)
{
	if (!is_open(ex)) {
		hedge_end(ex, false);
		return;
	}
	change_places(ex);
	exchange_send(ex);
}

static void on_outcome(struct upstream_lease *lease, enum cause cause)
{
	struct exchange *ex = container_of(lease, struct hedge, lease)->exchange;

	if (cause == CAUSE_NONE)
		second_is_held(ex);
	else
		hedge_end(ex, false);
}

static const struct upstream_lease_ops second_ops = {
	.on_outcome = on_outcome, .on_ready = on_ready, .on_overdue = on_overdue, .owed_since = owed_since};

struct exchange *exchange_of_lease(struct upstream_lease *lease)
{
	if (lease->ops == &second_ops)
		return container_of(lease, struct hedge, lease)->exchange;
	return container_of(lease, struct exchange, lease);
}

void hedge_begin(struct exchange *ex)
{
	struct hedge *h = is_open(ex) && ex->hedge == NULL ? arena_alloc(&ex->arena, sizeof(*h)) : NULL;
	enum cause cause;

	ex->hedge_at_us = DEADLINE_NEVER;
	if (h == NULL)
		return;
	*h = (struct hedge){.exchange = ex};
	upstream_lease_init(&h->lease);
	h->lease.ops = &second_ops;
	ex->hedge = h;
	ex->is_special = true;
	if (ex->trace != NULL)
		trace_hedge(ex);
	switch (upstream_acquire_beside(ex->worker->upstreams, ex->upstream, &h->lease, &ex->lease, ex->request_deadline_us, &cause)) {
	case UPSTREAM_ACQUIRED: second_is_held(ex); return;
	case UPSTREAM_PENDING: return;
	case UPSTREAM_FAILED: hedge_end(ex, false); return;
	}
}
