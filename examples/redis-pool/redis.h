/*
 * Redis on libuv: many commands at a time over a few connections.
 *
 * Each command borrows a connection from a weir_pool, sends, reads its reply, and gives the connection back. It has one
 * deadline for all of it, and it ends once. Everything happens in the thread of the loop.
 */
#ifndef REDIS_H
#define REDIS_H

#include <stdbool.h>
#include <uv.h>
#include <weir/pool.h>

#define REDIS_CONNECTIONS 4
#define REDIS_WAITERS 1000
#define REDIS_REPLY_BYTES 512 /* the longest reply that is taken */

struct redis;

/* Memory of the caller, zeroed before its first use, and left alone until it has ended. */
struct redis_command {
	const char *request; /* as it is sent; set by the caller, like on_end */

	/* The reply, without a NUL; or NULL: there is none, and why not. */
	void (*on_end)(struct redis_command *command, const char *reply, size_t bytes, const char *why);

	/* private */
	struct weir_pool_waiter waiter;
	struct redis *redis;
	uint64_t deadline_us;
};

/* What a connection is doing. LOST: it is lent, and its peer has gone. */
enum redis_connection_state { REDIS_CLOSED, REDIS_CONNECTING, REDIS_RESTING, REDIS_PINGING, REDIS_BUSY, REDIS_LOST };

struct redis_connection {
	uv_tcp_t tcp;
	uv_connect_t connecting;
	uv_timer_t patience; /* while CONNECTING, and for the command's deadline */
	enum redis_connection_state state;
	struct redis_command *command; /* while BUSY */
	struct redis *redis;
	int open_error; /* why it is closed before it was open */
	char reply[REDIS_REPLY_BYTES];
	size_t reply_bytes;
};

struct redis {
	struct weir_pool *pool; /* NULL: stopped */
	uv_loop_t *loop;
	struct sockaddr_in address;
	uv_idle_t run_soon;                                     /* the pool wants weir_pool_run */
	uv_timer_t run_later;                                   /* and at its next event */
	unsigned handles;                                       /* that are open, beside those of open connections */
	struct redis_connection connections[REDIS_CONNECTIONS]; /* by slot */
	void (*on_stopped)(struct redis *redis);
	struct weir_pool_stats books; /* final, when it has stopped */
	const char *wrong;            /* with them; NULL: nothing */
};

/* Nothing is connected before the first command. False: out of memory. */
bool redis_start(struct redis *redis, uv_loop_t *loop, const struct sockaddr_in *address);

/* on_end follows, from the loop; or false: refused at once, and why. */
bool redis_send(struct redis *redis, struct redis_command *command, uint64_t timeout_us, const char **why);

/* Commands that wait fail, those on their way go on; on_stopped follows when all have ended and everything is closed. */
void redis_stop(struct redis *redis, void (*on_stopped)(struct redis *redis));

#endif
