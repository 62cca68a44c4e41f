/*
 * The RPC client: calls, the connections that carry them, and what a pool has to do for it. Two pools do: naive.c, which
 * makes the mistake, and weir.c, which lends from a weir_pool. The client is the same for both.
 *
 * A call waits at most 50 ms for a connection and at most 200 ms for the answer: it is less patient than any timer of
 * the pool. It ends once: answered, or timed out.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "loop.h"

#include <weir/pool.h>

#define CONNECTIONS_MAX 8
#define CALLS_MAX 4000

enum call_state { CALL_WAITING, CALL_SENT, CALL_ENDED };

struct call {
	enum call_state state;
	struct timer patience;
	struct connection *connection;  /* while SENT */
	struct call *next_waiting;      /* for naive.c: its place in the queue */
	struct weir_pool_waiter waiter; /* for weir.c: its place in the pool, and its lease */
};

struct connection {
	struct watch watch;
	struct call *call; /* whose answer it is to bring; NULL: nobody's */
};

/* What the books say. */
struct pool_books {
	unsigned leased, waiting;
	const char *wrong; /* NULL: they agree with a recount */
};

enum reuse { REUSE, DISCARD };

struct pool {
	const char *name;
	void (*start)(void);
	/* A connection is wanted: call_connected follows when there is one, also from inside. */
	void (*acquire)(struct call *call);
	/* The caller does not wait any longer. */
	void (*give_up)(struct call *call);
	/* The caller needs its connection no more; DISCARD: an answer may be under way, nobody else must use it. */
	void (*give_back)(struct call *call, struct connection *connection, enum reuse reuse);
	struct pool_books (*books)(void);
	void (*stop)(void);
};

extern const struct pool pool_naive, pool_weir;

/* Counted since the start. */
struct client_counts {
	unsigned started, answered, timed_out;
};

extern struct client_counts client_counts;

/* Every call of this process goes through `pool`. */
void client_start(const struct pool *pool);
void client_call(void);

/* The pool has a connection for the call. */
void call_connected(struct call *call, struct connection *connection);

/* To the server; NULL: it cannot be reached. */
struct connection *connection_open(void);
void connection_close(struct connection *connection);

#endif
