/*
 * What crosses workers: the generations of the configuration, and what outlives them.
 *
 *     shared      once: connections by listener and by client, caps of endpoints, the table of filters, keys of session tickets, and
 *                 each worker's OpenSSL
 *        |
 *     generation  one for each configuration that was ever in force: the model, the router made from it, the contexts of
 *                 TLS, and a reference to the cap of each of its endpoints. Immutable; counted; freed by whoever sweeps
 *
 * A worker has one reference to a generation, however many of its requests run on it, and drops it when the last one has
 * ended (worker.c). Requests run on the generation that they began with.
 */
#ifndef WEIR_GATEWAY_GENERATION_H
#define WEIR_GATEWAY_GENERATION_H

#include <stdatomic.h>

#include "config/model.h"

struct config_machine;
struct endpoint_budget;
struct filter_ops;
struct finder;
struct limit;
struct listener_book;
struct route_breaker;
struct route_times;
struct router;
struct inherited;
struct shared;
struct tls_set;
struct tls_ticket_keys;
struct worker_book;

struct generation {
	atomic_uint references;
	uint64_t number;                   /* 1, 2, ... in the order of their making */
	const struct config *config;
	struct router *router;
	struct finder *finder;             /* of the configuration */
	struct endpoint_budget **budgets;  /* in the configuration's order */
	struct route_breaker **breakers;   /* of its routes; NULL where one has none */
	struct route_times **times;        /* of its routes */
	struct worker_book **books;        /* the same as each worker finds them: one's behind another's */
	struct limit **limits;             /* those of its filters rate_limit, by their index */
	struct listener_book **listeners;  /* of its listeners */
	struct inherited *bound;           /* a set for each worker, of sockets of its listeners; NULL: they bind what is new */
	struct tls_set *tls;               /* one reference; NULL: no TLS anywhere */
	struct shared *shared;             /* whose it is */
	struct generation *next_unused;    /* without references: in shared->unused */
};

/*
 * `filters` is a table with one entry for each enum config_filter_kind (filters/filters.h has it: this room stands below the
 * filters). NULL: out of memory.
 */
struct shared *shared_create(const struct filter_ops *const *filters);

/* How many workers there are, which have contexts of TLS of their own; 1 unless told. Before the first generation. */
void shared_set_workers(struct shared *shared, unsigned workers);

/*
 * What keys that clients choose are hashed with (of rate limits, of caps), so that nobody outside can foresee where they come to
 * stand; zero unless told. Before the first generation.
 */
void shared_set_secret(struct shared *shared, const unsigned char secret[16]);

/*
 * What the process may have, for the marks of `shedding` that are shares of it: without this they are none. `files_beside`:
 * open files that belong to no worker's loop. After shared_set_workers, before the first worker. False: out of memory.
 */
bool shared_set_machine(struct shared *shared, const struct config_machine *machine, size_t files_beside);

/* Listening sockets that the first workers take over where they can (io/inherited.h). Borrowed until they have been created. */
void shared_set_inherited(struct shared *shared, struct inherited *inherited);

/* New keys for session tickets. On the thread that makes generations, now and then. */
void shared_rotate_tickets(struct shared *shared);

/*
 * Keys of session tickets, from the process that is replaced and to the one that replaces us (net/tls.h), on the thread that rotates them.
 * False: there are none here, as TLS is not used; or they are not understood. Taken before the first connection.
 */
bool shared_write_tickets(const struct shared *shared, struct tls_ticket_keys *keys);
bool shared_adopt_tickets(struct shared *shared, const struct tls_ticket_keys *keys);

/* Every generation and every worker must be gone. NULL is allowed. */
void shared_free(struct shared *shared);

/*
 * on_unused(context), on the thread that dropped the last reference to a generation: shared_sweep() has something to do. Without it
 * that is done with the end of `shared`. Before the first generation.
 */
void shared_on_unused(struct shared *shared, void (*on_unused)(void *context), void *context);

/* Frees the generations that nobody uses any more, which takes as long as they are large. Any thread that has the time. */
void shared_sweep(struct shared *shared);

/*
 * The next generation, with one reference, which is the caller's. Owns `config` from now on, in which tls_check() has found
 * nothing. The caps of its endpoints are in force at once. On one thread at a time, which is also the one that may rotate keys.
 * NULL: out of memory; `config` is the caller's still, nothing has changed.
 */
struct generation *generation_create(struct shared *shared, const struct config *config);

/*
 * What is new among its listeners has been bound already: a set for each worker, from malloc. The generation owns them from now on; each
 * worker takes of its own what it can. Before a worker has it.
 */
void generation_bind(struct generation *generation, struct inherited *bound);

/* Any thread. */
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);

#endif
