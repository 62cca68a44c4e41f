/* Owners that share a budget. Notices are kept in a list and delivered when the test says. */
#ifndef TESTS_POOL_SHARING_H
#define TESTS_POOL_SHARING_H

#include "owner.h"

#define NOTICES_MAX 64

extern struct owner *notices[NOTICES_MAX];
extern int notices_n;

/* The budget's notify. */
void sharing_notify(void *owner);

/* The first notice, off the list. */
struct owner *notice_take(void);
/* Answers all, also those that arise meanwhile. */
void notices_deliver(void);

struct weir_pool_budget *budget_of(uint32_t max);

/* `n` pools with room of their own for 8 connections, and one borrower each. */
void owners_init(struct owner *owners, struct borrower *borrowers, int n, struct weir_pool_budget *budget);
/* All must balance. The budget is freed. */
void owners_release(struct owner *owners, int n, struct weir_pool_budget *budget);

#endif
