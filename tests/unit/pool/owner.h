/*
 * An owner for tests: it opens and closes nothing, writes down what the pool asks, and answers as it is told to. Every
 * step goes through a function here that audits the pool afterwards.
 */
#ifndef TESTS_POOL_OWNER_H
#define TESTS_POOL_OWNER_H

#include "pool/pool.h"

#define OWNER_SLOTS 2048

/* How the owner answers the pool's requests. */
enum owner_answer { ANSWER_LATER, ANSWER_YES, ANSWER_NO };

struct owner {
	struct weir_pool *pool;
	uint64_t now_us;
	enum owner_answer open_answer, close_answer;  /* LATER: the test does it */
	enum owner_answer check_answer;               /* NO: not good */

	uint32_t opens[OWNER_SLOTS], opens_n;         /* slots, in the order they were asked for */
	uint32_t closes[OWNER_SLOTS], closes_n;
	void *close_connection;                       /* of the latest close */
	uint32_t checks[OWNER_SLOTS], checks_n;
	uint32_t overdue[OWNER_SLOTS], overdue_n;     /* slots, in the order they were told */
	enum weir_pool_overdue overdue_what;          /* of the latest */
	uint64_t overdue_held_us;
	int wakes, closed_told;
	uint32_t depth, depth_max;                    /* of nested opens */
	uint64_t random;                              /* what random() says */
	void (*on_open)(struct owner *owner, uint32_t slot);   /* instead of open_answer */
	void (*on_close)(struct owner *owner, uint32_t slot);  /* instead of close_answer */
	void (*on_check)(struct owner *owner, uint32_t slot);  /* instead of check_answer */
	void (*on_overdue)(struct owner *owner, uint32_t slot);
	void (*on_wake)(struct owner *owner);
};

/* A waiter that remembers how it ended. */
struct borrower {
	struct weir_pool_waiter waiter;
	struct owner *owner;
	int told;                                     /* how often on_outcome was called */
	enum weir_pool_outcome outcome;
	uint32_t order;                               /* it was the n-th to be told */
	void (*then)(struct borrower *borrower);      /* called from on_outcome */
};

/* 2 connections, 4 waiters, 1 s to wait; lifo; nothing ages. */
struct weir_pool_config owner_config(void);

/* The same with one connection. */
struct weir_pool_config one_connection(void);

/*
 * What most tests begin and end with: a pool, and its borrowers, up to a NULL, who ask nothing yet, or of whom the
 * first has a lease; in the end those who hold one give it back, and the owner is released.
 */
__attribute__((sentinel)) void pool_with(struct owner *owner, struct weir_pool_config config, ...);
__attribute__((sentinel)) void pool_with_lease(struct owner *owner, struct weir_pool_config config, ...);
__attribute__((sentinel)) void pool_end(struct owner *owner, ...);

void owner_init(struct owner *owner, const struct weir_pool_config *config, struct weir_pool_budget *budget);

/* Closes the pool, answers everything, checks that it ends, and frees it. Leases must have been given back. */
void owner_release(struct owner *owner);

void borrower_init(struct borrower *borrower, struct owner *owner);

/* The connection the owner reports for a slot. */
void *owner_connection(uint32_t slot);

/* Calls of the pool at owner->now_us, each followed by an audit. */
enum weir_pool_outcome borrower_acquire(struct borrower *borrower, uint64_t patience_us);
void borrower_cancel(struct borrower *borrower);
bool borrower_give_back(struct borrower *borrower, enum weir_pool_give_back how);
void owner_opened(struct owner *owner, uint32_t slot);
void owner_open_failed(struct owner *owner, uint32_t slot, int reason);
void owner_closed(struct owner *owner, uint32_t slot);
void owner_spoiled(struct owner *owner, uint32_t slot);
void owner_checked(struct owner *owner, uint32_t slot, bool good);
void owner_renew(struct owner *owner);
void owner_drain(struct owner *owner);
void owner_run(struct owner *owner);
void owner_run_at(struct owner *owner, uint64_t now_us);
void owner_close(struct owner *owner);
struct weir_pool_stats owner_stats(struct owner *owner);

/* Fails the test if the books do not agree. */
void owner_audit(struct owner *owner);

/* `n` borrowers that each hold a connection, opened for them as far as none is idle. */
void borrowers_lease(struct borrower *borrowers, int n, struct owner *owner);
void borrowers_give_back(struct borrower *borrowers, int n);

/* Acquires with ANSWER_YES semantics: the borrower has a lease afterwards. */
void borrower_lease(struct borrower *borrower);

#endif
