/*
 * The time books of routes: how long their requests took, and where that went (base/time_book.h).
 *
 * A route's books are its name's for as long as some generation has it, so that no counter goes back with a reload. They are made
 * and freed by the thread that makes generations. Each worker has one of its own, which it alone writes and reads.
 */
#ifndef WEIR_GATEWAY_ROUTE_TIMES_H
#define WEIR_GATEWAY_ROUTE_TIMES_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/time_book.h"
#include "config/model.h"

/* On cache lines of its own: its neighbours are other workers'. */
struct worker_book {
	_Alignas(64) struct time_book book;
	struct time_exemplars exemplars;
};

struct route_times {
	struct list_node node;
	atomic_uint references;        /* generations */
	struct worker_book *books;     /* one for each worker */
	size_t name_n;
	char name[];
};

/* Of every route of the configuration, in its order: those there are, and new ones. NULL: out of memory. */
struct route_times **route_times_claim(struct list *all, const struct config *config, unsigned workers);

/*
 * The books of each worker, in the same order, one worker's behind another's: so that no worker has to go through them. To be given to
 * free(). NULL: out of memory.
 */
struct worker_book **route_times_books(struct route_times *const *times, size_t count, unsigned workers);

/* Any thread. NULL is allowed. */
void route_times_drop(struct route_times **times, size_t count);

/* Frees those that no generation has any more. */
void route_times_sweep(struct list *all);

#endif
