/*
 * What of a listener outlives generations: how many connections it has and what became of those that came, over all workers. A listener is its address, so a name may
 * change and a listener whose settings change goes on counting. The books are made and freed by the thread that makes generations.
 */
#ifndef WEIR_GATEWAY_LISTENER_BOOKS_H
#define WEIR_GATEWAY_LISTENER_BOOKS_H

#include <stdatomic.h>

#include "base/list.h"
#include "config/model.h"

struct listener_book {
	struct list_node node;
	atomic_uint references;    /* generations */
	atomic_uint connections;   /* open */
	_Atomic(uint64_t) accepted, refused, capped, handshakes_refused;  /* as struct listener_stats */
	uint32_t number;           /* no other book has it */
	struct address address;
};

/* Of every listener of the configuration, in its order: those there are, and new ones. NULL: out of memory. */
struct listener_book **listener_books_claim(struct list *all, const struct config *config);

/* Any thread. NULL is allowed. */
void listener_books_drop(struct listener_book **books, size_t count);

/* Frees those that no generation has any more. */
void listener_books_sweep(struct list *all);

#endif
