/*
 * The leases: from the exchange's question to the pool's answer, and back.
 *
 * A lease counts as active on its endpoint from the moment the endpoint is picked until it is over, so that the balancer
 * sees those who wait as well as those who are served.
 */
#include "upstream/upstream.h"

#include <errno.h>

#include "base/check.h"
#include "base/planted.h"
#include "upstream/endpoint.h"

/* Places in the pool's queue. */
enum { PRIORITY_AGAIN, PRIORITY_FIRST_TIME };

static void lease_end(struct upstream_lease *lease)
{
	lease->endpoint->active--;
	lease->endpoint = NULL;
	lease->stage = LEASE_NONE;
	lease->conn = NULL;
}

static void lease_hold(struct upstream_lease *lease, uint64_t now_us)
{
	struct upstream_conn *uc = lease->waiter.connection;
	uint64_t waited_us = now_us - lease->asked_us;

	CHECK(uc->lease == NULL);
	uc->lease = lease;
	lease->conn = uc;
	lease->stage = LEASE_HELD;
	lease->held_since_us = now_us;
	lease->reused = lease->waiter.reused;
	lease->connect_us = lease->reused ? 0 : uc->connect_us;
	lease->queue_us = waited_us > lease->connect_us ? waited_us - lease->connect_us : 0;
}

/* The cause in the words of the table. */
static enum cause outcome_cause(struct upstream_lease *lease, enum weir_pool_outcome outcome)
{
	struct weir_pool_stats stats;

	lease->why = NULL;
	switch (outcome) {
	case WEIR_POOL_DELIVERED: return CAUSE_NONE;
	case WEIR_POOL_REJECTED: return CAUSE_POOL_QUEUE_FULL;
	case WEIR_POOL_OPEN_FAILED: return upstream_connect_cause(lease->waiter.reason, &lease->why);
	case WEIR_POOL_CLOSED: return CAUSE_DRAINING;
	case WEIR_POOL_TIMED_OUT:
		if (lease->waiter.reason != 0)
			return upstream_connect_cause(lease->waiter.reason, &lease->why);
		/* Where nothing was ever established, the wait was for connecting. */
		weir_pool_stats(lease->endpoint->pool, &stats);
		return stats.connecting > 0 && stats.leased + stats.idle == 0 ? CAUSE_CONNECT_TIMEOUT
									      : CAUSE_POOL_ACQUIRE_TIMEOUT;
	case WEIR_POOL_CANCELLED:
	case WEIR_POOL_PENDING: break;
	}
	return CAUSE_INTERNAL;
}

/* Whether the connection could carry another exchange. */
static bool conn_is_clean(struct upstream_conn *uc)
{
	struct conn *conn = &uc->h1.conn;
	char byte;

	if (conn->error != 0 || conn->send_error != 0 || conn->peer_closed || conn_blocked(conn))
		return false;
	if (uc->h1.unread.n > 0 && !PLANTED(SURPLUS_BYTES_REUSED))
		return false;
	/* A receive that filled the buffer to the last byte leaves open whether there is more. */
	return !conn->readable || conn_recv(conn, &byte, 1) == -EAGAIN;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome);

static enum weir_pool_outcome ask_pool(struct upstream_lease *lease, uint64_t now_us, uint8_t priority)
{
	lease->waiter = (struct weir_pool_waiter){.on_outcome = on_outcome, .priority = priority};
	return weir_pool_acquire(lease->endpoint->pool, &lease->waiter, now_us, lease->deadline_us);
}

/*
 * A connection that went from one borrower straight to the next was never idle, so no event could spoil it: it is looked at
 * here, at the price of one receive that only those pay who had to wait.
 */
static bool delivered_is_clean(const struct upstream_lease *lease)
{
	struct upstream_conn *uc = lease->waiter.connection;

	if (!lease->waiter.reused || PLANTED(SURPLUS_BYTES_REUSED))
		return true;
	uc->h1.conn.readable = true;
	return conn_is_clean(uc);
}

static void lease_name(struct upstream_lease *lease, struct endpoint *ep)
{
	upstream_lease_release(lease);
	lease->picked = &ep->name;
	lease->named = ep;
	ep->named++;
}

void upstream_lease_release(struct upstream_lease *lease)
{
	struct endpoint *ep = lease->named;

	if (ep == NULL)
		return;
	lease->picked = NULL;
	lease->named = NULL;
	if (--ep->named == 0 && ep->closed)
		endpoint_free_when_done(ep);
}

/*
 * A reload drains the endpoint, which takes nobody back: of the pools that are in service now one is asked. Where there is
 * none everything is being closed.
 */
static enum weir_pool_outcome ask_successor(struct upstream_lease *lease, uint64_t now_us)
{
	struct endpoint *drained = lease->endpoint;
	struct endpoint_group *group = group_named(drained->ups, drained->name.upstream);

	if (group == NULL || group->count == 0)
		return WEIR_POOL_CLOSED;
	drained->active--;
	lease->endpoint = balance_pick(group);
	lease->endpoint->active++;
	lease_name(lease, lease->endpoint);
	return ask_pool(lease, now_us, PRIORITY_AGAIN);
}

/* The connection that was delivered is none. The lease keeps its place: it is asked for in front. */
static enum weir_pool_outcome ask_again(struct upstream_lease *lease, uint64_t now_us)
{
	CHECK(weir_pool_give_back(lease->endpoint->pool, lease->waiter.lease, WEIR_POOL_DISCARD, now_us));
	enum weir_pool_outcome outcome = ask_pool(lease, now_us, PRIORITY_AGAIN);

	return outcome == WEIR_POOL_CLOSED ? ask_successor(lease, now_us) : outcome;
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct upstream_lease *lease = container_of(waiter, struct upstream_lease, waiter);
	uint64_t now_us = io_now_us(lease->endpoint->ups->io);

	/* Each round costs the pool a connection, so this ends. */
	while (outcome == WEIR_POOL_DELIVERED && !delivered_is_clean(lease))
		outcome = ask_again(lease, now_us);
	if (outcome == WEIR_POOL_PENDING)
		return;

	enum cause cause = outcome_cause(lease, outcome);

	if (cause == CAUSE_NONE) {
		lease_hold(lease, now_us);
	} else {
		lease->queue_us = now_us - lease->asked_us;
		lease_end(lease);
	}
	lease->on_outcome(lease, cause);
}

enum upstream_answer upstream_acquire(struct upstreams *ups, const struct config_upstream *upstream,
	struct upstream_lease *lease, uint64_t deadline_us, enum cause *cause)
{
	uint64_t now_us = io_now_us(ups->io);
	struct endpoint_group *group = group_of(ups, upstream);

	CHECK(lease->stage == LEASE_NONE);
	if (group == NULL || group->count == 0) {
		lease->why = group == NULL ? "the upstream is gone since a reload"
					   : "no address is known of the upstream's host names";
		*cause = CAUSE_NO_HEALTHY_ENDPOINT;
		return UPSTREAM_FAILED;
	}
	struct endpoint *ep = balance_pick(group);

	lease->endpoint = ep;
	lease_name(lease, ep);
	lease->asked_us = now_us;
	lease->queue_us = lease->connect_us = 0;
	lease->reused = false;
	lease->why = NULL;
	lease->deadline_us = deadline_us;
	ep->active++;

	enum weir_pool_outcome outcome = ask_pool(lease, now_us, PRIORITY_FIRST_TIME);

	if (outcome == WEIR_POOL_PENDING) {
		lease->stage = LEASE_WAITING;
		return UPSTREAM_PENDING;
	}
	*cause = outcome_cause(lease, outcome);
	if (*cause != CAUSE_NONE) {
		lease_end(lease);
		return UPSTREAM_FAILED;
	}
	lease_hold(lease, now_us);
	return UPSTREAM_ACQUIRED;
}

void upstream_give_back(struct upstream_lease *lease, bool clean)
{
	struct upstream_conn *uc = lease->conn;
	struct endpoint *ep = lease->endpoint;

	CHECK(lease->stage == LEASE_HELD && uc->lease == lease);
	clean = clean && conn_is_clean(uc);
	if (clean)
		h1_conn_rest(&uc->h1);
	else
		h1_conn_release(&uc->h1);
	uc->lease = NULL;
	if (!uc->reclaimed)
		CHECK(weir_pool_give_back(ep->pool, lease->waiter.lease, clean ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD,
		io_now_us(ep->ups->io)));
	lease_end(lease);
}

void upstream_drop(struct upstream_lease *lease)
{
	switch ((enum upstream_lease_stage)lease->stage) {
	case LEASE_NONE: return;
	case LEASE_HELD: upstream_give_back(lease, false); return;
	case LEASE_WAITING:
		if (!PLANTED(GHOST_WAITER))
			weir_pool_cancel(lease->endpoint->pool, &lease->waiter, io_now_us(lease->endpoint->ups->io));
		lease->queue_us = io_now_us(lease->endpoint->ups->io) - lease->asked_us;
		if (PLANTED(ACTIVE_COUNT_LEAKS))
			lease->endpoint->active++;
		lease_end(lease);
		return;
	}
}
