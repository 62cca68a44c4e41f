/*
 *   WAITING --connected--> SENT --answer--> ENDED
 *      |                    |                 ^
 *      +------ 50 ms -------+---- 200 ms -----+
 */
#define _POSIX_C_SOURCE 200809L
#include "client.h"

#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_PATIENCE_US 50000
#define ANSWER_PATIENCE_US 200000

struct client_counts client_counts;
static const struct pool *pool;

/* Calls are not freed, so that what the naive pool does with those that have ended is no worse than it has to be. */
static struct call calls[CALLS_MAX];

static void call_end(struct call *call, unsigned *count)
{
	loop_timer_stop(&call->patience);
	call->state = CALL_ENDED;
	call->connection = NULL;
	(*count)++;
}

static void on_impatient(struct timer *timer)
{
	struct call *call = (struct call *)((char *)timer - offsetof(struct call, patience));
	struct connection *connection = call->connection;
	enum call_state state = call->state;

	call_end(call, &client_counts.timed_out);
	if (state == CALL_WAITING) {
		pool->give_up(call);
		return;
	}
	loop_unwatch(&connection->watch);
	connection->call = NULL;
	pool->give_back(call, connection, DISCARD);
}

/* Answers are as long as requests and come in one piece on a socket pair: nothing is put together here. */
static void on_answer(struct watch *watch)
{
	struct connection *connection = (struct connection *)((char *)watch - offsetof(struct connection, watch));
	struct call *call = connection->call;
	char answer[8];
	ssize_t got = recv(watch->fd, answer, sizeof(answer), MSG_DONTWAIT);

	if (call == NULL || got < 0)
		return;
	loop_unwatch(watch);
	connection->call = NULL;
	call_end(call, got > 0 ? &client_counts.answered : &client_counts.timed_out);
	pool->give_back(call, connection, got > 0 ? REUSE : DISCARD);
}

void call_connected(struct call *call, struct connection *connection)
{
	char request[8] = "request";

	call->state = CALL_SENT;
	call->connection = connection;
	connection->call = call;
	loop_watch(&connection->watch);
	loop_timer_at(&call->patience, loop_now() + ANSWER_PATIENCE_US);
	/* One that cannot be sent times out. */
	(void)!send(connection->watch.fd, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void client_start(const struct pool *chosen)
{
	pool = chosen;
	pool->start();
}

void client_call(void)
{
	struct call *call = &calls[client_counts.started];

	if (client_counts.started == CALLS_MAX) {
		fprintf(stderr, "more than %d calls\n", CALLS_MAX);
		exit(1);
	}
	client_counts.started++;
	call->state = CALL_WAITING;
	call->patience.on_due = on_impatient;
	loop_timer_at(&call->patience, loop_now() + CONNECT_PATIENCE_US);
	pool->acquire(call);
}

struct connection *connection_open(void)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL)
		return NULL;
	connection->watch = (struct watch){on_answer, server_connect()};
	if (connection->watch.fd < 0) {
		free(connection);
		return NULL;
	}
	return connection;
}

void connection_close(struct connection *connection)
{
	close(connection->watch.fd);
	free(connection);
}
