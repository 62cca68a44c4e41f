/*
 * The pool that is usually written, with the mistake that is usually made. It bounds its connections, it keeps a queue,
 * it is fair, its counts are right, and it passes its tests:
 *
 *   1. The queue has no bound, and who stands in it has no deadline. A caller has a timer of its own, so why would it?
 *   2. When the caller's timer fires, the acquire stays queued: there is nothing to cancel it with.
 *   3. When its turn comes the connection is handed over, the caller is found to have gone, and nobody gives it back.
 *
 * Each of these looks harmless. Together they cost one connection for each caller that was not patient enough, for ever,
 * and when as many callers have gone as there are connections, nothing is served any more, until somebody restarts it.
 * Nothing is logged; the service that is called has been well again for hours.
 */
#include "client.h"

#include <stddef.h>

static struct connection *idle[CONNECTIONS_MAX];
static unsigned idle_count, live;
static struct call *queue_first, **queue_end = &queue_first;
static unsigned queued;

/* The caller's callback, when it has got its connection. */
static void on_acquired(struct call *call, struct connection *connection)
{
	if (call->state == CALL_ENDED)
		return; /* the mistake: "nobody waits for it any more". Nobody gives it back either */
	call_connected(call, connection);
}

static void naive_acquire(struct call *call)
{
	struct connection *connection = NULL;

	if (idle_count > 0)
		connection = idle[--idle_count];
	else if (live < CONNECTIONS_MAX && (connection = connection_open()) != NULL)
		live++;
	if (connection != NULL) {
		on_acquired(call, connection);
		return;
	}
	*queue_end = call;
	queue_end = &call->next_waiting;
	queued++;
}

static void naive_give_up(struct call *call)
{
	(void)call; /* it stays in the queue: see above */
}

static void naive_give_back(struct call *call, struct connection *connection, enum reuse reuse)
{
	(void)call;
	if (reuse == DISCARD) {
		connection_close(connection);
		connection = connection_open();
	}
	if (connection == NULL) {
		live--;
		return;
	}
	if (queue_first == NULL) {
		idle[idle_count++] = connection;
		return;
	}
	call = queue_first;
	queue_first = call->next_waiting;
	if (queue_first == NULL)
		queue_end = &queue_first;
	queued--;
	on_acquired(call, connection);
}

static struct pool_books naive_books(void)
{
	return (struct pool_books){live - idle_count, queued, "cannot tell"};
}

static void naive_start(void)
{
}

static void naive_stop(void)
{
	while (idle_count > 0) {
		connection_close(idle[--idle_count]);
		live--;
	}
}

const struct pool pool_naive = {
	"naive", naive_start, naive_acquire, naive_give_up, naive_give_back, naive_books, naive_stop};
