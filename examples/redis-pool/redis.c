/*
 * The owner of a weir_pool on libuv. What the pool asks for, and what it is told:
 *
 *   open   -> uv_tcp_connect      -> weir_pool_opened, weir_pool_open_failed
 *   check  -> PING                -> weir_pool_checked
 *   close  -> uv_close            -> weir_pool_closed
 *   wake   -> uv_idle             -> weir_pool_run, once the loop comes round
 *   (the next event -> uv_timer   -> weir_pool_run)
 *
 * and, unasked, weir_pool_spoiled when a connection at rest has something to read: its end, or what nobody asked for.
 *
 *            connected          check              +PONG
 *   CONNECTING ------> RESTING ------> PINGING ------------+
 *                       ^  |                               |
 *                       |  +-- delivered -> BUSY <---------+ (RESTING until its command gets it)
 *                       +---- reply ---------+
 *
 * A connection is LOST when its peer goes while it is lent, or on the way to a command: that one fails, and gives it back
 * to be discarded.
 */
#include "redis.h"

#include "resp.h"

#include <string.h>

#define CONNECT_TIMEOUT_MS 1000

static uint64_t now_us(void)
{
	return uv_hrtime() / 1000;
}

static uint32_t slot_of(const struct redis_connection *connection)
{
	return (uint32_t)(connection - connection->redis->connections);
}

static void on_impatient(uv_timer_t *timer);

/* --- a command ---------------------------------------------------------------------------------------------------- */

/* Ends the command that a connection is lent to. The lease ends first, for on_end may want the next. */
static void command_end(
	struct redis_connection *connection, enum weir_pool_give_back how, size_t bytes, const char *why)
{
	struct redis_command *command = connection->command;

	uv_timer_stop(&connection->patience);
	connection->command = NULL;
	connection->state = how == WEIR_POOL_REUSABLE ? REDIS_RESTING : REDIS_LOST;
	weir_pool_give_back(command->redis->pool, command->waiter.lease, how, now_us());
	command->on_end(command, why == NULL ? connection->reply : NULL, bytes, why);
}

/* A request is short and nothing else is on its way: it fits into the socket's buffer, or the connection is no good. */
static bool request_write(struct redis_connection *connection, const char *request)
{
	uv_buf_t buffer = uv_buf_init((char *)request, (unsigned)strlen(request));

	connection->reply_bytes = 0;
	return uv_try_write((uv_stream_t *)&connection->tcp, &buffer, 1) == (int)buffer.len;
}

static void command_start(struct redis_command *command, struct redis_connection *connection)
{
	uint64_t now = now_us(), left_ms = now < command->deadline_us ? (command->deadline_us - now + 999) / 1000 : 0;

	connection->command = command;
	if (connection->state == REDIS_LOST || !request_write(connection, command->request)) {
		/* It fails when the loop comes round, not from in here: the caller does not expect its on_end yet. */
		connection->state = REDIS_LOST;
		left_ms = 0;
	} else {
		connection->state = REDIS_BUSY;
	}
	uv_timer_start(&connection->patience, on_impatient, left_ms, 0);
}

static const char *refusal(const struct redis_command *command, enum weir_pool_outcome outcome)
{
	switch (outcome) {
	case WEIR_POOL_TIMED_OUT: return "no connection in time";
	case WEIR_POOL_REJECTED: return "too many wait";
	case WEIR_POOL_OPEN_FAILED: return uv_strerror(command->waiter.reason);
	default: return "stopped";
	}
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct redis_command *command =
		(struct redis_command *)((char *)waiter - offsetof(struct redis_command, waiter));

	if (outcome == WEIR_POOL_DELIVERED)
		command_start(command, waiter->connection);
	else
		command->on_end(command, NULL, 0, refusal(command, outcome));
}

bool redis_send(struct redis *redis, struct redis_command *command, uint64_t timeout_us, const char **why)
{
	uint64_t now = now_us();
	enum weir_pool_outcome outcome;

	if (redis->pool == NULL) {
		*why = "stopped";
		return false;
	}
	command->redis = redis;
	command->deadline_us = now + timeout_us;
	command->waiter.on_outcome = on_outcome;
	outcome = weir_pool_acquire(redis->pool, &command->waiter, now, command->deadline_us);
	if (outcome == WEIR_POOL_PENDING)
		return true;
	if (outcome != WEIR_POOL_DELIVERED) {
		*why = refusal(command, outcome);
		return false;
	}
	command_start(command, command->waiter.connection);
	return true;
}

/* --- a connection ------------------------------------------------------------------------------------------------- */

/* The peer has gone, or says what it should not. The pool will ask to close it. */
static void connection_lost(struct redis_connection *connection)
{
	enum redis_connection_state state = connection->state;

	connection->state = REDIS_LOST;
	uv_read_stop((uv_stream_t *)&connection->tcp);
	if (state == REDIS_BUSY)
		command_end(connection, WEIR_POOL_DISCARD, 0, "connection lost");
	else if (state == REDIS_PINGING)
		weir_pool_checked(connection->redis->pool, slot_of(connection), false, now_us());
	else if (state == REDIS_RESTING)
		weir_pool_spoiled(connection->redis->pool, slot_of(connection), now_us());
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct redis_connection *connection = handle->data;

	(void)suggested;
	/* When nothing is left libuv says UV_ENOBUFS, and the connection is lost. */
	*buffer = uv_buf_init(
		connection->reply + connection->reply_bytes, (unsigned)(REDIS_REPLY_BYTES - connection->reply_bytes));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
	struct redis_connection *connection = stream->data;
	long length;

	(void)buffer;
	if (got == 0)
		return;
	if (got < 0 || (connection->state != REDIS_BUSY && connection->state != REDIS_PINGING)) {
		connection_lost(connection);
		return;
	}
	connection->reply_bytes += (size_t)got;
	length = resp_length(connection->reply, connection->reply_bytes);
	if (length == 0)
		return;
	if (length != (long)connection->reply_bytes) {
		connection_lost(connection);
	} else if (connection->state == REDIS_BUSY) {
		command_end(connection, WEIR_POOL_REUSABLE, (size_t)length, NULL);
	} else {
		connection->state = REDIS_RESTING;
		/* Redis that is loading its data says -LOADING: not good yet. */
		weir_pool_checked(connection->redis->pool, slot_of(connection), connection->reply[0] == '+', now_us());
	}
}

/* Only now is the slot free: its memory is the handle's. */
static void on_connection_closed(uv_handle_t *handle)
{
	struct redis_connection *connection = handle->data;
	int error = connection->open_error;

	connection->state = REDIS_CLOSED;
	if (error != 0)
		weir_pool_open_failed(connection->redis->pool, slot_of(connection), error, now_us());
	else
		weir_pool_closed(connection->redis->pool, slot_of(connection), now_us());
}

/* An open that fails is closed, too; if the pool has given it up meanwhile, it takes either answer. */
static void connection_close(struct redis_connection *connection, int open_error)
{
	uv_timer_stop(&connection->patience);
	if (uv_is_closing((uv_handle_t *)&connection->tcp))
		return;
	connection->open_error = open_error;
	uv_close((uv_handle_t *)&connection->tcp, on_connection_closed);
}

static void on_connected(uv_connect_t *connecting, int status)
{
	struct redis_connection *connection = connecting->data;

	if (status == UV_ECANCELED)
		return; /* it is being closed already */
	uv_timer_stop(&connection->patience);
	if (status == 0)
		status = uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
	if (status != 0) {
		connection_close(connection, status);
		return;
	}
	connection->state = REDIS_RESTING;
	weir_pool_opened(connection->redis->pool, slot_of(connection), connection, now_us());
}

static void on_impatient(uv_timer_t *timer)
{
	struct redis_connection *connection = timer->data;

	if (connection->state == REDIS_CONNECTING)
		connection_close(connection, UV_ETIMEDOUT);
	else if (connection->state == REDIS_LOST)
		command_end(connection, WEIR_POOL_DISCARD, 0, "connection lost");
	else
		/* The reply may still come: nobody else must take it for theirs. */
		command_end(connection, WEIR_POOL_DISCARD, 0, "no reply in time");
}

/* --- what the pool asks for --------------------------------------------------------------------------------------- */

static void on_open(void *owner, uint32_t slot)
{
	struct redis *redis = owner;
	struct redis_connection *connection = &redis->connections[slot];
	int error = uv_tcp_init(redis->loop, &connection->tcp);

	if (error != 0) {
		weir_pool_open_failed(redis->pool, slot, error, now_us());
		return;
	}
	connection->tcp.data = connection->connecting.data = connection;
	connection->state = REDIS_CONNECTING;
	connection->reply_bytes = 0;
	uv_tcp_nodelay(&connection->tcp, 1);
	error = uv_tcp_connect(
		&connection->connecting, &connection->tcp, (const struct sockaddr *)&redis->address, on_connected);
	if (error != 0)
		connection_close(connection, error);
	else
		uv_timer_start(&connection->patience, on_impatient, CONNECT_TIMEOUT_MS, 0);
}

/* `told` is NULL for a connection that is still opening: the slot says which it is. */
static void on_close(void *owner, uint32_t slot, void *told)
{
	struct redis *redis = owner;

	(void)told;
	connection_close(&redis->connections[slot], 0);
}

static void on_check(void *owner, uint32_t slot, void *told)
{
	struct redis_connection *connection = told;

	(void)owner;
	(void)slot;
	connection->state = REDIS_PINGING;
	if (!request_write(connection, "PING\r\n"))
		connection_lost(connection);
}

static uint64_t on_random(void *owner)
{
	uint64_t bits = 0;

	(void)owner;
	uv_random(NULL, NULL, &bits, sizeof(bits), 0, NULL);
	return bits;
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void on_run_later(uv_timer_t *timer);

static void redis_run(struct redis *redis)
{
	uint64_t now = now_us(), next;

	weir_pool_run(redis->pool, now);
	if (redis->pool == NULL)
		return; /* that was the end: on_closed has been called */
	next = weir_pool_next_event(redis->pool);
	if (next == UINT64_MAX)
		uv_timer_stop(&redis->run_later);
	else
		uv_timer_start(&redis->run_later, on_run_later, next > now ? (next - now + 999) / 1000 : 0, 0);
}

static void on_run_later(uv_timer_t *timer)
{
	redis_run(timer->data);
}

static void on_run_soon(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	redis_run(idle->data);
}

static void on_wake(void *owner)
{
	struct redis *redis = owner;

	uv_idle_start(&redis->run_soon, on_run_soon);
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

static void on_handle_closed(uv_handle_t *handle)
{
	struct redis *redis = handle->data;

	if (--redis->handles == 0)
		redis->on_stopped(redis);
}

static void on_patience_closed(uv_handle_t *handle)
{
	struct redis_connection *connection = handle->data;

	if (--connection->redis->handles == 0)
		connection->redis->on_stopped(connection->redis);
}

/* The pool is empty. Its last books are kept, and what else the loop knows of goes. */
static void on_closed(void *owner)
{
	struct redis *redis = owner;

	weir_pool_stats(redis->pool, &redis->books);
	redis->wrong = weir_pool_audit(redis->pool);
	weir_pool_free(redis->pool);
	redis->pool = NULL;
	uv_close((uv_handle_t *)&redis->run_soon, on_handle_closed);
	uv_close((uv_handle_t *)&redis->run_later, on_handle_closed);
	for (int i = 0; i < REDIS_CONNECTIONS; i++)
		uv_close((uv_handle_t *)&redis->connections[i].patience, on_patience_closed);
}

static void handles_init(struct redis *redis)
{
	uv_idle_init(redis->loop, &redis->run_soon);
	uv_timer_init(redis->loop, &redis->run_later);
	redis->run_soon.data = redis->run_later.data = redis;
	for (int i = 0; i < REDIS_CONNECTIONS; i++) {
		redis->connections[i].redis = redis;
		uv_timer_init(redis->loop, &redis->connections[i].patience);
		redis->connections[i].patience.data = &redis->connections[i];
	}
	redis->handles = 2 + REDIS_CONNECTIONS;
}

bool redis_start(struct redis *redis, uv_loop_t *loop, const struct sockaddr_in *address)
{
	static const struct weir_pool_ops ops = {.open = on_open,
		.close = on_close,
		.check = on_check,
		.wake = on_wake,
		.on_closed = on_closed,
		.random = on_random};
	const struct weir_pool_config config = {
		.connections_max = REDIS_CONNECTIONS,
		.waiters_max = REDIS_WAITERS,
		.connecting_max = 2,
		.checks = WEIR_POOL_CHECK_ON_ACQUIRE,
		.check_timeout_us = 200000,
		.acquire_timeout_us = 1000000,
		.idle_timeout_us = 30000000,
		.backoff_min_us = 20000,
		.backoff_max_us = 500000,
	};

	*redis = (struct redis){.loop = loop, .address = *address};
	redis->pool = weir_pool_create(&config, &ops, redis, NULL);
	if (redis->pool == NULL)
		return false;
	handles_init(redis);
	redis_run(redis);
	return true;
}

void redis_stop(struct redis *redis, void (*on_stopped)(struct redis *redis))
{
	redis->on_stopped = on_stopped;
	weir_pool_close(redis->pool, now_us());
}
