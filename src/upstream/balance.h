/*
 * Balancing, private to the room: who may be picked, and the policies that pick.
 *
 *     endpoint_group --all-----> candidates: everybody in service      <- nearly every request
 *                    --subsets-> candidates, one for each subset that requests have asked for
 *                                   list[]: the endpoints that may be picked, each with its effective weight
 *
 * A list is made anew (candidates.c) when an endpoint has left or come back anywhere, when a weight was changed, and while
 * slow start is under way. Between that a pick looks at nothing but the list. All of it is one worker's own.
 */
#ifndef WEIR_UPSTREAM_BALANCE_H
#define WEIR_UPSTREAM_BALANCE_H

#include "upstream/endpoint.h"

/* Of an effective weight, what a weight of 1 counts. */
#define WEIGHT_ONE 1024u

/* The table of a consistent hash: a prime, much larger than there are endpoints as a rule. */
enum { HASH_SLOTS = 16381 };

struct candidate {
	struct endpoint *endpoint;
	uint32_t share;                /* in WEIGHT_ONEs: by configuration and zone */
	uint32_t weight;               /* the same after slow start; never 0 */
	int64_t turn;                  /* round robin: what has been earned so far */
	uint32_t keep, alias;          /* random_two, peak_ewma: the alias table (balance_random_two.c) */
	float relief;                  /* peak_ewma: how much lighter a request weighs here than on the average one */
	uint32_t step, at, credit;     /* consistent hash, while its table is made */
};

struct candidates {
	struct candidates *next;       /* the group's next subset */
	uint64_t subset;               /* its labels, hashed; 0: there are none */
	uint64_t seen;                 /* the count of changes that it was made at; CANDIDATES_STALE: make it anew */
	uint64_t refresh_us;           /* make it anew by then; UINT64_MAX: no need */
	uint64_t weight_sum, share_sum;
	uint32_t load;                 /* of group->all: `active` of all in the list, added up */
	size_t last;                   /* least_request: which was picked last */
	uint64_t table_of;             /* consistent hash: whom the table was made of, hashed */
	uint16_t *table;               /* consistent hash: HASH_SLOTS places in the list; else NULL */
	size_t count;
	struct candidate list[];       /* in the group's order, with room for all of the group */
};

#define CANDIDATES_STALE UINT64_MAX

/* --- candidates.c --------------------------------------------------------------------------------------------------- */

/* Empty and stale, with room for `room`. NULL: out of memory. */
struct candidates *candidates_create(enum config_policy policy, size_t room);

/* Those of the group that may take this request, as of now. NULL: out of memory. */
struct candidates *candidates_for(struct endpoint_group *group, const struct config_labels *subset);

/* Makes all lists of the group anew before the next pick. */
void candidates_outdate(struct endpoint_group *group);

/* Frees all lists. Endpoints may outlive them. */
void candidates_release(struct endpoint_group *group);

/* --- the policies: the list is not empty ---------------------------------------------------------------------------- */

struct endpoint *balance_round_robin(struct candidates *set);
struct endpoint *balance_least_request(struct candidates *set);
struct endpoint *balance_random_two(struct candidates *set, uint64_t random);
struct endpoint *balance_peak_ewma(struct candidates *set, uint64_t random, uint64_t now_us);

/* `load_max` is a percentage of the average load; 0: any. */
struct endpoint *balance_consistent_hash(struct candidates *set, uint64_t hash, uint32_t load_max);

/* The endpoint that the request is bound to; NULL: it is out of service, or not in the subset, or there is none. */
struct endpoint *balance_sticky(const struct endpoint_group *group, const struct balance_key *key);

/* --- what the policies need of a list: when it has been made ---------------------------------------------------------- */

/* The table from which weighted chance is drawn. */
void balance_random_prepare(struct candidates *set);

/* Two different ones by weight, where there are two. 64 random bits. */
void balance_random_pair(const struct candidates *set, uint64_t random, size_t pair[2]);

void balance_peak_ewma_prepare(struct candidates *set);

/* Only when it is of other endpoints, or of other shares, than before. */
void balance_consistent_hash_prepare(struct candidates *set);

#endif
