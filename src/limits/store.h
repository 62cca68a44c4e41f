/*
 * A store knows of each key of one limit what has passed, for all workers together. This is the interface; store_local.c is its one
 * body, in the memory of this process.
 *
 * What is asked is a struct of the asker's, which stays where it is until it is answered, so that a store may have to ask elsewhere:
 * limit_store_ask() returns false then, and ask->on_answer is called once, later, on the asker's loop. The asker need not wait for
 * it: limit_store_leave() withdraws what is not answered yet. The local store always answers at once.
 *
 * A key is 64 bits of siphash(): the store never sees what it was made from, and two keys that are equal are the same one.
 */
#ifndef WEIR_LIMITS_STORE_H
#define WEIR_LIMITS_STORE_H

#include <stddef.h>

#include "limits/rule.h"

struct limit_store;

#define LIMIT_KEYS_MAX 10000000u

struct limit_ask {
	uint64_t key;
	uint64_t now_us;
	struct limit_answer answer;
	struct limit_slot slot;     /* what limit_store_leave() needs; the store's business */
	void (*on_answer)(struct limit_ask *ask);  /* of a store that answers later; `ask` may be gone when it returns */
};

struct limit_store_stats {
	uint64_t answers[LIMIT_VERDICTS];
	uint64_t keys;              /* that it has now, those that are as good as new among them */
	uint64_t keys_max;
	uint64_t evictions;         /* keys forgotten of which something was known */
};

/*
 * What limits of `keys_max` keys take at most. Memory is taken from the system when it is first used.
 */
size_t limit_store_bytes(size_t keys_max);

/* `rule` is copied. NULL: out of memory. */
struct limit_store *limit_store_create(const struct limit_rule *rule, size_t keys_max);

/* NULL is allowed. */
void limit_store_free(struct limit_store *store);

/* Asks for one request, and counts it. Any thread. True: ask->answer is there; false: on_answer comes, and not from in here. */
bool limit_store_ask(struct limit_store *store, struct limit_ask *ask);

/*
 * What passed or waits has ended, at `now_us`: to be said exactly once for each ask of which the answer was one of these, if the rule
 * is CONCURRENT, and if it has left before its wait was over. Otherwise nothing need be said. Any thread.
 *
 * Or: nobody waits any more for an answer that has not come. It does not come then, a place that it would have given is the
 * store's to take back, and `ask` may go. On the asker's thread.
 */
void limit_store_leave(struct limit_store *store, const struct limit_ask *ask, uint64_t now_us);

/* Any thread. */
void limit_store_stats(struct limit_store *store, struct limit_store_stats *stats);

#endif
