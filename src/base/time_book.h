/*
 * How long many requests took, and where that time went: the books of a route, and of an endpoint, that one worker keeps. There may
 * be thousands of endpoints, so theirs are short.
 *
 * Counters of 64 bits and nothing else, so that books are added up, and one is taken from another, number by number.
 */
#ifndef WEIR_BASE_TIME_BOOK_H
#define WEIR_BASE_TIME_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/phase.h"

/*
 * Buckets: [0] below TIME_FIRST_US, [i] below that times 2^i (of the whole) or 4^i (of a phase) and not below the bound before, the
 * last one the rest: from 16.8 s on.
 */
#define TIME_FIRST_US 64
enum { TIME_BUCKETS = 20, TIME_PHASE_BUCKETS = 11 };

/* A breaker is a route's own, or an endpoint's. */
enum breaker_scope { BREAKER_OF_ROUTE, BREAKER_OF_ENDPOINT, BREAKER_SCOPES };

struct phase_book {
	uint64_t sum_us;
	uint64_t buckets[TIME_PHASE_BUCKETS];               /* requests by what they spent; those that spent nothing are not in it */
};

/* There may be thousands of routes, whose books no cache holds: so what is counted of one request stands close together. */
struct time_book {
	uint64_t count;                                     /* requests */
	uint64_t whole[TIME_BUCKETS];                       /* requests by what they took in all: the sum of all phases */
	struct phase_book phases[PHASE_COUNT];
	uint64_t refused[BREAKER_SCOPES];                   /* requests that a breaker has refused, by whose it is */
};

/* Buckets of the wait for an endpoint's answer: as those of a phase, but from 4^2 * TIME_FIRST_US to 4.2 s only. */
#define TRY_FIRST_US (TIME_FIRST_US * 16)
enum { TRY_BUCKETS = 8 };

/* Of an endpoint. */
struct try_book {
	uint64_t sum_us[PHASE_COUNT];                       /* nothing in those that are none of a try's */
	uint64_t count;                                     /* tries */
	uint64_t connects;                                  /* of them, those that have waited for a connect */
	uint64_t first_byte[TRY_BUCKETS];                   /* tries that have waited for an answer, by how long */
};

/* One bit for each phase; and those of one try. */
#define PHASE_BIT(phase) (1u << (phase))
#define TRY_PHASES (PHASE_BIT(PHASE_CLIENT + 1) - PHASE_BIT(PHASE_QUEUE))

/*
 * Of each bucket of the whole a request that it counts, the newest one of those that are traced: who looks at a slow bucket finds
 * one that was so slow.
 */
struct time_exemplar {
	uint64_t trace_high, trace_low;  /* both 0: there is none */
	uint64_t value_us;
	uint64_t wall_us;                /* Unix time of its end */
};

struct time_exemplars {
	struct time_exemplar of[TIME_BUCKETS];
};

/* It has taken exemplar->value_us. */
void time_exemplars_enter(struct time_exemplars *exemplars, const struct time_exemplar *exemplar);

/* Of each bucket the newer one stays. */
void time_exemplars_add(struct time_exemplars *to, const struct time_exemplars *from);

/*
 * One more request, which has spent time in the phases `spent`: so much in each. And in `tries`, unless that is NULL, its only
 * try: with what it has spent in the phases of one. Both in one go, since every request passes here.
 */
void time_books_enter(struct time_book *book, struct try_book *tries, const uint64_t phase_us[PHASE_COUNT], unsigned spent);

/* One more try by itself, which has spent so much in each phase of one. */
void try_book_enter(struct try_book *tries, const uint64_t phase_us[PHASE_COUNT]);

void try_book_add(struct try_book *to, const struct try_book *from);

/* In all phases. */
uint64_t try_book_sum_us(const struct try_book *tries);

void time_book_add(struct time_book *to, const struct time_book *from);

/* Of all phases. */
uint64_t time_book_sum_us(const struct time_book *book);

#endif
