/*
 * The leases: from the exchange's question to the pool's answer, and back.
 *
 * A lease counts as active on its endpoint from the moment the endpoint is picked until it is over, so that the balancer
 * sees those who wait as well as those who are served.
 */
#include "upstream/sessions.h"

#include <errno.h>

#include "base/check.h"
#include "base/planted.h"
#include "base/units.h"
#include "upstream/endpoint.h"

/* An end that comes so soon after the request is that of the connection's rest. */
#define STALE_SOON_US (100 * US_PER_MS)

/* HTTP/2: so many places that are dead when they are told of, and the endpoint is held to be the reason. */
enum { DEAD_MAX = 2 };

__attribute__((noinline)) static void leave_breaker(struct upstream_lease *lease)
{
	endpoint_breaker_leave(lease->endpoint, lease);
}

static inline void lease_end(struct upstream_lease *lease)
{
	if (lease->breaker_call != 0)
		leave_breaker(lease);
	endpoint_end(lease->endpoint);
	lease->endpoint = NULL;
	lease->stage = LEASE_NONE;
	lease->conn = NULL;
	lease->stream = NULL;
}

/* How much of the wait was connecting: the connection may have been begun, or made, before anybody asked for it. */
static uint64_t waited_for_connect(const struct upstream_lease *lease, const struct upstream_conn *uc)
{
	uint64_t from_us = uc->began_us > lease->asked_us ? uc->began_us : lease->asked_us;
	uint64_t until_us = uc->began_us + uc->connect_us;

	return until_us > from_us ? until_us - from_us : 0;
}

/* The connection has served nobody before. */
static void note_connecting(struct upstream_lease *lease, const struct upstream_conn *uc)
{
	lease->connect_us = waited_for_connect(lease, uc);
	lease->tls_us = uc->tls_us < lease->connect_us ? uc->tls_us : lease->connect_us;
	lease->queue_us -= lease->connect_us;
}

/* HTTP/2: `h1` of it is nothing. */
static bool is_place(const struct upstream_conn *uc)
{
	return __builtin_expect(uc->place != NULL, 0);
}

/* What counts is the session: places come and go. */
static void lease_place(struct upstream_lease *lease)
{
	lease->reused = place_had_served(lease->conn);
	lease->rested = lease->reused || place_had_rested(lease->conn);
	place_lease(lease->conn);
}

/* It has served nobody so far, or it is a place. */
__attribute__((noinline)) static void note_newness(struct upstream_lease *lease, const struct upstream_conn *uc, uint64_t now_us)
{
	lease->reused = lease->waiter.reused;
	/* Idle for no time at all it has not rested. */
	lease->rested = lease->reused || (lease->waiter.rested && now_us > uc->rests_since_us);
	if (is_place(uc))
		lease_place(lease);
	if (!lease->reused)
		note_connecting(lease, uc);
}

__attribute__((always_inline)) static inline void lease_hold(
	struct upstream_lease *lease, uint64_t now_us, uint64_t waited_us)
{
	struct upstream_conn *uc = lease->waiter.connection;
	struct endpoint *ep = lease->endpoint;

	upstream_conn_enter(uc, UPSTREAM_CONN_HELD);
	uc->lease = lease;
	lease->conn = uc;
	lease->stream = uc->stream;
	lease->stage = LEASE_HELD;
	lease->reported = lease->late = false;
	lease->at_once = ++ep->held;
	concurrency_enter(&ep->window, ep->learns, lease, now_us);
	lease->held_since_us = now_us;
	lease->queue_us += waited_us;
	if (__builtin_expect(lease->waiter.reused && uc->place == NULL, 1))
		lease->reused = lease->rested = true;
	else
		note_newness(lease, uc, now_us);
}

static bool any_available(const struct endpoint_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		if (endpoint_is_available(group->endpoints[i]))
			return true;
	return false;
}

/* Why the upstream has no endpoint for it. */
static const char *why_none(const struct endpoint_group *group, const struct upstream_lease *lease)
{
	if (group == NULL)
		return "the upstream is gone since a reload";
	if (group->count > 0 && lease->key != NULL && lease->key->subset != NULL)
		return "no endpoint of the route's subset is in service";
	if (any_available(group))
		return "every endpoint in service has the weight 0";
	return group->count == 0 ? "no address is known of the upstream's host names" : "every endpoint fails its health checks";
}

/* There is no endpoint for it; where a breaker is why, it is known when the next call is made. */
static enum cause no_endpoint(struct upstream_lease *lease, const struct endpoint_group *group)
{
	uint64_t wait_us = group_breaker_wait_us(group);

	if (wait_us != UINT64_MAX) {
		lease->retry_after_s = (uint32_t)((wait_us + US_PER_S - 1) / US_PER_S);
		lease->why = NULL;
		return CAUSE_BREAKER_OPEN;
	}
	lease->why = why_none(group, lease);
	return CAUSE_NO_HEALTHY_ENDPOINT;
}

/* Whoever waits in vain is told so, and when those who wait now will have been served. */
static enum cause refusal_cause(struct upstream_lease *lease)
{
	const struct endpoint *ep = lease->endpoint;
	uint64_t backlog_us = weir_pool_backlog_us(ep->pool, io_now_us(ep->ups->io));

	lease->retry_after_s = (uint32_t)(backlog_us / US_PER_S) + 1;
	switch ((enum weir_pool_refusal)lease->waiter.refusal) {
	case WEIR_POOL_SHED:
		lease->why = "those who wait for a connection wait too long already";
		return CAUSE_CONCURRENCY_LIMITED;
	case WEIR_POOL_LATE:
		lease->why = "it could not be served before its time is over";
		return CAUSE_CONCURRENCY_LIMITED;
	case WEIR_POOL_NOT_REFUSED:
	case WEIR_POOL_QUEUE_FULL:
	case WEIR_POOL_REFUSALS: break;
	}
	return CAUSE_POOL_QUEUE_FULL;
}

/* Why nothing was delivered, in the words of the table. */
static enum cause outcome_name(struct upstream_lease *lease, enum weir_pool_outcome outcome)
{
	struct weir_pool_stats stats;

	lease->why = NULL;
	switch (outcome) {
	case WEIR_POOL_REJECTED:
		/* While the endpoint cannot be reached that is why so many wait, or why nobody may. */
		if (lease->waiter.reason != 0)
			return upstream_connect_cause(lease->waiter.reason, &lease->why);
		return refusal_cause(lease);
	case WEIR_POOL_OPEN_FAILED: return upstream_connect_cause(lease->waiter.reason, &lease->why);
	case WEIR_POOL_CLOSED:
		if (lease->endpoint->ups->on_closed != NULL)
			return CAUSE_DRAINING;
		return no_endpoint(lease, group_named(lease->endpoint->ups, lease->endpoint->name.upstream));
	case WEIR_POOL_TIMED_OUT:
		if (lease->waiter.reason != 0)
			return upstream_connect_cause(lease->waiter.reason, &lease->why);
		lease->why = seats_why_short(lease->endpoint);
		if (lease->why != NULL)
			return CAUSE_POOL_ACQUIRE_TIMEOUT;
		/* Where nothing was ever established, the wait was for connecting. */
		weir_pool_stats(lease->endpoint->pool, &stats);
		return stats.connecting > 0 && stats.opened == 0 ? CAUSE_CONNECT_TIMEOUT : CAUSE_POOL_ACQUIRE_TIMEOUT;
	case WEIR_POOL_DELIVERED:
	case WEIR_POOL_CANCELLED:
	case WEIR_POOL_PENDING: break;
	}
	return CAUSE_INTERNAL;
}

/* The same. That the endpoint could not be reached is something that it has done. */
__attribute__((noinline)) static enum cause outcome_cause(struct upstream_lease *lease, enum weir_pool_outcome outcome)
{
	enum cause cause = outcome_name(lease, outcome);

	if (cause == CAUSE_CONNECT_REFUSED || cause == CAUSE_CONNECT_TIMEOUT || cause == CAUSE_TLS_FAILED)
		endpoint_report(lease->endpoint, lease, (struct upstream_result){.cause = cause});
	return cause;
}

/* The turn of the loop that is under way. */
static uint64_t turn_of(const struct upstream_conn *uc)
{
	return io_loop_stats(uc->h1.conn.io)->turns;
}

/* A receive that filled the buffer to the last byte leaves open whether there is more, and so does content through a pipe. */
__attribute__((noinline)) static bool is_drained(struct upstream_conn *uc)
{
	char byte;

	uc->asked_turn = turn_of(uc);
	return conn_recv(&uc->h1.conn, &byte, 1) == -EAGAIN;
}

/* Whether the connection could carry another exchange. */
static bool conn_is_clean(struct upstream_conn *uc)
{
	struct conn *conn = &uc->h1.conn;

	if (conn->error != 0 || conn->send_error != 0 || conn->peer_closed || conn_blocked(conn))
		return false;
	if (uc->h1.unread.n > 0 && !PLANTED(SURPLUS_BYTES_REUSED))
		return false;
	return !conn->readable || is_drained(uc);
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);

/* Something is idle that may be stale: who is replayed once must not get that again, whichever endpoint it is from. */
static inline bool try_pool(struct upstream_lease *lease, uint64_t now_us, uint64_t deadline_us)
{
	return __builtin_expect(!lease->replayed, 1) &&
	       weir_pool_try_acquire(lease->endpoint->pool, &lease->waiter, now_us, deadline_us);
}

static enum weir_pool_outcome ask_pool(struct upstream_lease *lease, uint64_t now_us)
{
	weir_pool_waiter_init(&lease->waiter, on_outcome);
	lease->waiter.priority = lease->priority;
	return weir_pool_acquire(lease->endpoint->pool, &lease->waiter, now_us, lease->deadline_us);
}

/* For a connection that is opened for it. The wait goes on that has begun when the lease was asked for. */
static enum weir_pool_outcome ask_pool_fresh(struct upstream_lease *lease, uint64_t now_us)
{
	const struct weir_pool_config *settings = &lease->endpoint->settings;
	uint64_t times = settings->on_acquire_timeout == WEIR_POOL_NEW ? 2 : 1;
	uint64_t latest_us = deadline_after(lease->asked_us, times * settings->acquire_timeout_us);

	weir_pool_waiter_init(&lease->waiter, on_outcome);
	lease->waiter.priority = lease->priority;
	lease->waiter.fresh = true;
	return weir_pool_acquire(lease->endpoint->pool, &lease->waiter, now_us,
		latest_us < lease->deadline_us ? latest_us : lease->deadline_us);
}

/*
 * The loop may have fetched an event of a connection that rests and not told it yet, because that of the client stood before
 * it. Such a connection is not used: what came is no answer to a request that has not been sent. This sees only what was
 * fetched in one go; of the rest the request's loss will tell, and it is sent again.
 */
static bool has_untold_event(const struct upstream_lease *lease)
{
	const struct upstream_conn *uc = lease->waiter.connection;

	if (is_place(uc))
		return !place_is_good(uc);
	return (uc->h1.conn.source.due & (IO_READABLE | IO_PEER_CLOSED | IO_BROKEN)) != 0;
}

/*
 * A connection that went from one borrower straight to the next was never idle, so no event could spoil it, and what came on
 * one that was idle may not have been told yet: it is looked at here, at the price of one receive that only those pay who had
 * to wait, unless it was asked in this very turn, when it came back.
 */
static bool delivered_is_clean(const struct upstream_lease *lease)
{
	struct upstream_conn *uc = lease->waiter.connection;

	if (uc->place != NULL)
		return place_is_good(uc);
	if (!lease->waiter.rested || PLANTED(SURPLUS_BYTES_REUSED))
		return true;
	if (uc->asked_turn != turn_of(uc))
		conn_look_again(&uc->h1.conn);
	return conn_is_clean(uc);
}

static void lease_name(struct upstream_lease *lease, struct endpoint *ep)
{
	upstream_lease_release(lease);
	lease->picked = &ep->name;
	ep->named++;
}

void upstream_lease_release(struct upstream_lease *lease)
{
	struct endpoint *ep = lease_named(lease);

	if (ep == NULL)
		return;
	lease->picked = NULL;
	if (--ep->named == 0 && ep->state == ENDPOINT_CLOSED)
		endpoint_free_when_done(ep);
}

/* It will not be used again. */
static void conn_is_spent(struct upstream_conn *uc)
{
	upstream_conn_enter(uc, UPSTREAM_CONN_SPENT);
	uc->lease = NULL;
	if (uc->place != NULL)
		place_rest(uc, false);
	else
		h1_conn_release(&uc->h1);
}

/* Its connection comes back. */
__attribute__((always_inline)) static inline void tell_pool(const struct upstream_lease *lease, enum weir_pool_give_back how, uint64_t now_us)
{
	CHECK(weir_pool_give_back(lease->endpoint->pool, lease->waiter.lease, how, now_us));
}

/* So often another one is picked when a breaker lets no more through than those who came first. */
enum { PICKS_MAX = 3 };

/* The first was not let through. */
__attribute__((noinline)) static struct endpoint *pick_another(struct endpoint_group *group, struct upstream_lease *lease)
{
	for (int i = 1; i < PICKS_MAX; i++) {
		struct endpoint *ep = balance_pick(group, lease);

		if (ep == NULL || endpoint_breaker_admits(ep, lease))
			return ep;
	}
	return NULL;
}

__attribute__((noinline)) static struct endpoint *pick_any(struct endpoint_group *group, struct upstream_lease *lease)
{
	struct endpoint *ep = balance_pick(group, lease);

	if (ep == NULL) {
		/* It may be that of one that was there a moment ago. */
		lease->breaker_call = 0;
		return NULL;
	}
	return endpoint_breaker_admits(ep, lease) ? ep : pick_another(group, lease);
}

static inline struct endpoint *pick(struct endpoint_group *group, struct upstream_lease *lease)
{
	struct endpoint *only = group != NULL && lease->key == NULL ? balance_pick_only(group) : NULL;

	return only != NULL && endpoint_breaker_admits_all(only, lease) ? only : pick_any(group, lease);
}

/* It is another endpoint's from now on. */
static void lease_change(struct upstream_lease *lease, struct endpoint *ep)
{
	endpoint_end(lease->endpoint);
	lease->endpoint = ep;
	endpoint_begin(ep);
	lease_name(lease, ep);
}

/*
 * A reload drains the endpoint, which takes nobody back: of the pools that are in service now one is asked. Where there is
 * none everything is being closed, or no address of the upstream's is known any more.
 */
static enum weir_pool_outcome ask_successor(struct upstream_lease *lease, uint64_t now_us)
{
	struct endpoint *drained = lease->endpoint;
	struct endpoint_group *group = group_named(drained->ups, drained->name.upstream);
	struct endpoint *ep;

	if (lease->breaker_call != 0)
		endpoint_breaker_leave(drained, lease);
	ep = pick(group, lease);
	if (ep == NULL)
		return WEIR_POOL_CLOSED;
	lease_change(lease, ep);
	return ask_pool_fresh(lease, now_us);
}

bool lease_move(struct endpoint_group *group, struct upstream_lease *lease, uint64_t now_us)
{
	struct endpoint *from = lease->endpoint;
	uint32_t call = lease->breaker_call;

	/* Whether the endpoint is back is found out by those who wait for it. */
	if (endpoint_breaker_tries(from, lease))
		return false;

	struct endpoint *ep = pick(group, lease);

	if (ep != NULL && ep != from && !was_tried(lease, ep) && weir_pool_move(&lease->waiter, ep->pool, now_us)) {
		lease_change(lease, ep);
		lease->dead = 0;
		if (PLANTED(MOVED_COUNTS_TWICE))
			endpoint_begin(from);
		waiting_began(ep, now_us);
		return true;
	}
	if (ep != NULL)
		endpoint_breaker_leave(ep, lease);
	lease->breaker_call = call;
	return false;
}

/* The connection that was delivered, or held, is no good. */
static void discard(struct upstream_lease *lease, uint64_t now_us)
{
	conn_is_spent(lease->waiter.connection);
	tell_pool(lease, WEIR_POOL_DISCARD, now_us);
}

/*
 * What was delivered is dead: a new connection is asked for instead, since others that rest may be dead as well. The lease
 * keeps its place: who waits for a fresh one is served before all others.
 */
static enum weir_pool_outcome ask_for_fresh(struct upstream_lease *lease, uint64_t now_us)
{
	discard(lease, now_us);

	enum weir_pool_outcome outcome = ask_pool_fresh(lease, now_us);

	return outcome == WEIR_POOL_CLOSED ? ask_successor(lease, now_us) : outcome;
}

static enum weir_pool_outcome replace_untold(struct upstream_lease *lease, uint64_t now_us)
{
	struct upstream_conn *uc = lease->waiter.connection;

	if (uc->h1.conn.source.due & (IO_PEER_CLOSED | IO_BROKEN))
		endpoint_saw_idle_close(uc->endpoint, uc, now_us - uc->rests_since_us);
	return ask_for_fresh(lease, now_us);
}

/*
 * What was delivered is no good when it is told. HTTP/2: where the session is dead and nobody has used it, the next may
 * be so as well, again and again; where the peer has come to allow fewer streams, the next place has room.
 */
static enum weir_pool_outcome replace_told(struct upstream_lease *lease, uint64_t now_us)
{
	const struct upstream_conn *uc = lease->waiter.connection;

	bool was_useless = is_place(uc) && !place_is_alive(uc) && !place_was_used(uc);

	if (was_useless && ++lease->dead >= DEAD_MAX && !PLANTED(GONE_AT_ONCE_STORMED)) {
		lease->waiter.reason = place_error(uc);
		discard(lease, now_us);
		return WEIR_POOL_OPEN_FAILED;
	}
	return ask_for_fresh(lease, now_us);
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct upstream_lease *lease = container_of(waiter, struct upstream_lease, waiter);
	uint64_t now_us = io_now_us(lease->endpoint->ups->io);

	if (outcome == WEIR_POOL_DELIVERED && !delivered_is_clean(lease))
		outcome = replace_told(lease, now_us);
	if (outcome == WEIR_POOL_PENDING)
		return;

	if (outcome == WEIR_POOL_DELIVERED) {
		lease_hold(lease, now_us, now_us - lease->asked_us);
		lease->ops->on_outcome(lease, CAUSE_NONE);
		return;
	}
	enum cause cause = outcome_cause(lease, outcome);

	lease->queue_us += now_us - lease->asked_us;
	lease_end(lease);
	lease->ops->on_outcome(lease, cause);
}

/* The pool's answer to a question, as that of this room. */
__attribute__((noinline)) static enum upstream_answer lease_answer(
	struct upstream_lease *lease, enum weir_pool_outcome outcome, uint64_t now_us, enum cause *cause)
{
	if (outcome == WEIR_POOL_PENDING) {
		lease->stage = LEASE_WAITING;
		waiting_began(lease->endpoint, now_us);
		return UPSTREAM_PENDING;
	}
	if (outcome == WEIR_POOL_DELIVERED) {
		lease_hold(lease, now_us, 0);
		return UPSTREAM_ACQUIRED;
	}
	*cause = outcome_cause(lease, outcome);
	lease_end(lease);
	return UPSTREAM_FAILED;
}

/* Of an earlier try nothing may be told as if it were of this one. */
static inline void lease_begin(struct upstream_lease *lease)
{
	enum { FROM = offsetof(struct upstream_lease, queue_us), TO = offsetof(struct upstream_lease, asked_us) };

	if (!PLANTED(TRY_BEFORE_IS_TOLD) || lease->picked == NULL)
		wide_zero((char *)lease + FROM, TO - FROM);
}

__attribute__((noinline)) static enum upstream_answer refuse(
	struct upstream_lease *lease, const struct endpoint_group *group, enum cause *cause)
{
	if (!PLANTED(TRY_BEFORE_IS_TOLD))
		upstream_lease_release(lease);
	*cause = no_endpoint(lease, group);
	return UPSTREAM_FAILED;
}

/* The pool has lent nothing just so, or nothing that is good. */
__attribute__((noinline)) static enum upstream_answer ask_and_answer(
	struct upstream_lease *lease, bool was_lent, uint64_t now_us, enum cause *cause)
{
	enum weir_pool_outcome outcome = WEIR_POOL_DELIVERED;

	if (!was_lent)
		outcome = lease->replayed ? ask_pool_fresh(lease, now_us) : ask_pool(lease, now_us);
	if (outcome == WEIR_POOL_DELIVERED && has_untold_event(lease))
		outcome = replace_untold(lease, now_us);
	return lease_answer(lease, outcome, now_us, cause);
}

enum upstream_answer upstream_acquire(struct upstreams *ups, const struct config_upstream *upstream,
	struct upstream_lease *lease, uint64_t deadline_us, enum cause *cause)
{
	uint64_t now_us = io_now_us(ups->io);
	struct endpoint_group *group = group_of(ups, upstream);

	CHECK(lease->stage == LEASE_NONE);
	lease_begin(lease);

	struct endpoint *ep = pick(group, lease);

	if (ep == NULL)
		return refuse(lease, group, cause);
	if (lease->tried_count == 0)
		retry_budget_note(&group->retry_budget, now_us);
	lease->endpoint = ep;
	lease_name(lease, ep);
	lease->asked_us = now_us;
	lease->deadline_us = deadline_us;
	endpoint_begin(ep);

	bool was_lent = try_pool(lease, now_us, deadline_us);

	if (!was_lent || has_untold_event(lease))
		return ask_and_answer(lease, was_lent, now_us, cause);
	lease_hold(lease, now_us, 0);
	return UPSTREAM_ACQUIRED;
}

enum upstream_answer upstream_acquire_again(struct upstream_lease *lease, enum upstream_retry_reason reason,
	enum cause *cause)
{
	struct upstream_conn *uc = lease->conn;
	struct endpoint *ep = lease->endpoint;
	uint64_t now_us = io_now_us(ep->ups->io);

	CHECK(lease->stage == LEASE_HELD && uc->lease == lease);
	CHECK(lease->rested || reason == RETRY_REFUSED || PLANTED(REPLAY_ON_FRESH));
	ep->stats.retries[reason]++;
	ep->held--;
	concurrency_leave(ep, &ep->window, lease, now_us);
	/* Unless the request itself took time, it was closed in the moment in which it was taken. */
	if (uc->place == NULL && now_us - lease->held_since_us <= STALE_SOON_US)
		endpoint_saw_idle_close(ep, uc, lease->held_since_us - uc->rests_since_us);
	lease->conn = NULL;
	lease->stream = NULL;
	lease->stage = LEASE_NONE;
	lease->reused = lease->rested = false;
	lease->replayed = true;
	lease->connect_us = lease->tls_us = 0;
	lease->held_since_us = 0;
	lease->asked_us = now_us;
	lease->dead = 0;
	if (uc->place != NULL && reason != RETRY_REFUSED)
		ep->lost_us = now_us;
	return lease_answer(lease, ask_for_fresh(lease, now_us), now_us, cause);
}

void upstream_report(struct upstream_lease *lease, struct upstream_result result)
{
	CHECK(lease->stage == LEASE_HELD && !lease->reported);
	lease->reported = true;
	endpoint_report(lease->endpoint, lease, result);
}

void upstream_sent(struct upstream_lease *lease)
{
	CHECK(lease->stage == LEASE_HELD);
	if (!lease->reported)
		concurrency_unpark(lease->endpoint, lease, io_now_us(lease->endpoint->ups->io));
}

void upstream_tunnels(struct upstream_lease *lease)
{
	CHECK(lease->stage == LEASE_HELD);
	concurrency_park(lease->endpoint, lease, io_now_us(lease->endpoint->ups->io));
}

void upstream_heard(struct upstream_lease *lease, const struct message *response)
{
	uint64_t idle_us = UINT64_MAX;

	for (uint32_t i = 0; i < response->field_count; i++) {
		const struct field *f = &response->fields[i];

		if (f->id == FIELD_KEEP_ALIVE && !idle_close_parse(field_value(f), &idle_us))
			return;
	}
	if (idle_us != UINT64_MAX)
		endpoint_announced(lease->endpoint, idle_us);
}

/* The connection has served: so it had survived its last rest, and another begins. */
static void note_service(const struct upstream_lease *lease, uint64_t now_us)
{
	struct upstream_conn *uc = lease->conn;
	struct endpoint *ep = lease->endpoint;

	if (lease->rested && lease->held_since_us - uc->rests_since_us > endpoint_idle_close(ep, uc)->doubt_us)
		endpoint_saw_survivor(ep, uc, lease->held_since_us - uc->rests_since_us);
	uc->served = true;
	uc->rests_since_us = now_us;
}

/* A stream that ended badly does not harm the others on its session, nor the next one on its place. */
static bool place_comes_back(struct upstream_conn *uc, bool clean)
{
	place_rest(uc, clean);
	return uc->state == UPSTREAM_CONN_HELD && place_is_good(uc);
}

/* Until somebody else wants it. */
static void conn_rests(struct upstream_conn *uc)
{
	upstream_conn_enter(uc, UPSTREAM_CONN_RESTING);
	uc->lease = NULL;
	h1_conn_rest(&uc->h1);
}

/* It is not used again. */
__attribute__((noinline)) static void conn_goes(struct upstream_lease *lease, uint64_t now_us)
{
	struct upstream_conn *uc = lease->conn;
	/* What was reclaimed the pool closes by itself. */
	bool told = uc->state == UPSTREAM_CONN_RECLAIMED || (is_place(uc) && PLANTED(PLACE_LOST_WITH_SESSION));

	conn_is_spent(uc);
	if (!told)
		tell_pool(lease, WEIR_POOL_DISCARD, now_us);
}

void upstream_give_back(struct upstream_lease *lease, bool clean)
{
	struct upstream_conn *uc = lease->conn;
	struct endpoint *ep = lease->endpoint;
	uint64_t now_us = io_now_us(ep->ups->io);
	bool reusable;

	CHECK(lease->stage == LEASE_HELD && uc->lease == lease);
	/* First: what was beside the limit leaves no room behind. */
	ep->held--;
	concurrency_leave(ep, &ep->window, lease, now_us);
	if (is_place(uc)) {
		reusable = place_comes_back(uc, clean);
	} else {
		if (clean)
			note_service(lease, now_us);
		reusable = clean && conn_is_clean(uc);
	}
	if (reusable) {
		conn_rests(uc);
		tell_pool(lease, WEIR_POOL_REUSABLE, now_us);
	} else {
		conn_goes(lease, now_us);
	}
	lease_end(lease);
}

void upstream_drop_any(struct upstream_lease *lease)
{
	switch ((enum upstream_lease_stage)lease->stage) {
	case LEASE_NONE: return;
	case LEASE_HELD: upstream_give_back(lease, false); return;
	case LEASE_WAITING:
		if (!PLANTED(GHOST_WAITER))
			weir_pool_cancel(lease->endpoint->pool, &lease->waiter, io_now_us(lease->endpoint->ups->io));
		lease->queue_us += io_now_us(lease->endpoint->ups->io) - lease->asked_us;
		if (PLANTED(ACTIVE_COUNT_LEAKS))
			endpoint_begin(lease->endpoint);
		lease_end(lease);
		return;
	}
}
