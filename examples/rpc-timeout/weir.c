/*
 * The same client on a weir_pool. What is different:
 *
 *   1. The queue is bounded, and whoever stands in it has a deadline.
 *   2. The caller that gives up cancels, in the same step: its place is free at once.
 *   3. If a connection was on the way to it, the cancel has sent that back. None can be handed to nobody.
 *
 * The pool asks for connections to be opened and closed, and wants weir_pool_run to be called when it has called `wake`
 * and when weir_pool_next_event has come. One timer of the loop does both.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

static struct weir_pool *lender;
static struct timer run_timer;

/* --- what the pool asks of its owner ------------------------------------------------------------------------------ */

static void on_open(void *owner, uint32_t slot)
{
	struct connection *connection = connection_open();

	(void)owner;
	/* Connecting takes no time here. Over a network, start it, and call one of these when it has ended. */
	if (connection != NULL)
		weir_pool_opened(lender, slot, connection, loop_now());
	else
		weir_pool_open_failed(lender, slot, 0, loop_now());
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	(void)owner;
	connection_close(connection);
	weir_pool_closed(lender, slot, loop_now());
}

/* Not now: the pool may be in the middle of something. The loop calls on_run soon. */
static void on_wake(void *owner)
{
	(void)owner;
	loop_timer_at(&run_timer, loop_now());
}

static void on_closed(void *owner)
{
	(void)owner;
	weir_pool_free(lender);
	lender = NULL;
}

/* For jitter: it need not be good. */
static uint64_t on_random(void *owner)
{
	(void)owner;
	return (uint64_t)rand();
}

static void on_run(struct timer *timer)
{
	weir_pool_run(lender, loop_now());
	/* Gone if that was the end of it (on_closed). */
	if (lender != NULL && !timer->armed && weir_pool_next_event(lender) != UINT64_MAX)
		loop_timer_at(timer, weir_pool_next_event(lender));
}

/* --- what the client asks of its pool ----------------------------------------------------------------------------- */

/* A refusal needs nothing here: the call ends when its patience does. */
static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct call *call = (struct call *)((char *)waiter - offsetof(struct call, waiter));

	if (outcome == WEIR_POOL_DELIVERED)
		call_connected(call, waiter->connection);
}

static void weir_acquire(struct call *call)
{
	enum weir_pool_outcome outcome;

	call->waiter.on_outcome = on_outcome;
	outcome = weir_pool_acquire(lender, &call->waiter, loop_now(), UINT64_MAX);
	if (outcome != WEIR_POOL_PENDING)
		on_outcome(&call->waiter, outcome);
}

/* All that the naive pool lacks. */
static void weir_give_up(struct call *call)
{
	weir_pool_cancel(lender, &call->waiter, loop_now());
}

static void weir_give_back(struct call *call, struct connection *connection, enum reuse reuse)
{
	(void)connection;
	weir_pool_give_back(
		lender, call->waiter.lease, reuse == REUSE ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD, loop_now());
}

static struct pool_books weir_books(void)
{
	struct weir_pool_stats stats;

	weir_pool_stats(lender, &stats);
	return (struct pool_books){stats.leased, stats.waiting, weir_pool_audit(lender)};
}

static void weir_start(void)
{
	static const struct weir_pool_ops ops = {
		.open = on_open, .close = on_close, .wake = on_wake, .on_closed = on_closed, .random = on_random};
	const struct weir_pool_config config = {
		.connections_max = CONNECTIONS_MAX,
		.waiters_max = 1000,
		.connecting_max = CONNECTIONS_MAX,
		.acquire_timeout_us = 1000000, /* longer than any caller waits, as in the naive pool */
		.idle_timeout_us = 30000000,
	};

	run_timer.on_due = on_run;
	lender = weir_pool_create(&config, &ops, &run_timer, NULL);
	if (lender == NULL) {
		perror("weir_pool_create");
		exit(1);
	}
}

static void weir_stop(void)
{
	weir_pool_close(lender, loop_now());
	loop_run(loop_now());
}

const struct pool pool_weir = {"weir", weir_start, weir_acquire, weir_give_up, weir_give_back, weir_books, weir_stop};
