/*
 * A breaker: calls to what is failing are not made for a while, so that it can recover and its callers need not wait.
 *
 *              too many of the latest calls failed, or were slow                     open_for is over
 *     CLOSED --------------------------------------------------> OPEN -------------------------------> HALF_OPEN
 *        ^                                                         ^     too many of the trials failed     |
 *        |                                                         '---------------------------------------|
 *        '---------------------------------------------------------------- else, when all of them are back '
 *
 * CLOSED: calls are made and counted, over a window that slides by tenths. When there are min_calls at least and the share of
 * those that failed is failure_rate, or of those that were slow slow_rate, it opens.
 * OPEN: no call is made, for open_for; each time that the trials fail for twice as long, at most open_max; up to a fifth
 * more by chance, so that many gateways do not try in step. After a whole window in which it stayed closed that begins anew.
 * HALF_OPEN: half_open_calls are made as trials, and what they bring decides. One that ends without bringing anything (its
 * client has left) gives its place to another; so do those that have brought nothing for open_for, all under way: their clients may
 * keep them for as long as they like. What they bring later counts all the same.
 *
 * What was begun in one state and ends in another counts for nothing.
 *
 * Sources: M. Nygard, "Release It!" (2007), for the pattern; the states, and slow calls beside failed ones, as the
 * documentation of resilience4j describes them.
 *
 * Weak points: with few calls a window may hold less than min_calls for ever; and what fails for some callers only (one
 * client's requests) is shut for all.
 *
 * Two layers. The first is pure: no clock, no threads, time is passed in. The second is for many workers: in the usual state
 * a call costs its worker some counting of its own, which is merged every BREAKER_MERGE_US under a lock that nobody waits
 * for; trials are counted one by one.
 */
#ifndef WEIR_UPSTREAM_BREAKER_H
#define WEIR_UPSTREAM_BREAKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "config/model.h"

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

enum { BREAKER_BUCKETS = 10 };

struct breaker_counts {
	uint32_t calls, failed, slow;
};

struct breaker {
	struct config_breaker settings;
	enum breaker_state state;
	uint32_t epoch;                /* how often the state has changed; from 1 */
	uint64_t since_us;             /* in this state */
	uint64_t until_us;             /* OPEN: its end; HALF_OPEN: that of the latest trial's patience */
	uint32_t opened;               /* how often in a row */
	uint64_t opened_total;
	uint32_t trials;               /* HALF_OPEN: under way, and back */
	struct breaker_counts back;    /* those that are back */
	struct breaker_counts verdict; /* what it was opened, or closed, for */
	uint64_t bucket_number[BREAKER_BUCKETS];
	struct breaker_counts buckets[BREAKER_BUCKETS];
};

/* It begins closed. */
void breaker_init(struct breaker *b, const struct config_breaker *settings, uint64_t now_us);

/* With other settings it begins anew; with the same nothing changes. */
void breaker_set(struct breaker *b, const struct config_breaker *settings, uint64_t now_us);

/* CLOSED: calls have ended. `random`: any bits. */
void breaker_count(struct breaker *b, const struct breaker_counts *counts, uint64_t now_us, uint64_t random);

/* OPEN, and the time is over: HALF_OPEN. HALF_OPEN, and that of the trials is: there are places for others. */
void breaker_wake(struct breaker *b, uint64_t now_us);

/* HALF_OPEN: whether one more trial may be made; it is then under way. */
bool breaker_try(struct breaker *b, uint64_t now_us);

/* HALF_OPEN: a trial is back; or it has ended and brought nothing. */
void breaker_trial_back(struct breaker *b, bool failed, bool slow, uint64_t now_us, uint64_t random);
void breaker_trial_lost(struct breaker *b);

/* No call would be admitted now: it is open, or half open and all trials are under way. */
bool breaker_is_shut(const struct breaker *b);

/* --- for many workers ------------------------------------------------------------------------------------------------ */

#define BREAKER_MERGE_US 10000

/* Zero-initialised it is none: it admits everything, and counts nothing. */
struct shared_breaker {
	atomic_uint tag;               /* 0: there is none; else its epoch, and in the lowest bits its state: what a call needs */
	atomic_bool shut;
	atomic_uint_fast64_t until_us, slow_after_us;
	pthread_mutex_t lock;          /* of `breaker` */
	struct breaker breaker;
};

/* What one worker has seen since it last told. Zero-initialise it. */
struct breaker_side {
	struct breaker_counts counts;
	uint32_t tag;                  /* of the state in which that was */
	uint64_t due_us;
};

void shared_breaker_init(struct shared_breaker *b);
void shared_breaker_release(struct shared_breaker *b);

/* settings->enabled false: there is none from now on. */
void shared_breaker_set(struct shared_breaker *b, const struct config_breaker *settings, uint64_t now_us);

#define BREAKER_STATE_BITS 2u

static inline enum breaker_state shared_breaker_state(const struct shared_breaker *b)
{
	return (enum breaker_state)(atomic_load_explicit(&b->tag, memory_order_relaxed) & ((1u << BREAKER_STATE_BITS) - 1));
}

/* What shared_breaker_admit does first, and when that is false: it is not closed. */
static inline bool shared_breaker_admits_all(const struct shared_breaker *b, uint32_t *call)
{
	*call = atomic_load_explicit(&b->tag, memory_order_relaxed);
	return (*call & ((1u << BREAKER_STATE_BITS) - 1)) == BREAKER_CLOSED;
}
bool shared_breaker_try(struct shared_breaker *b, uint32_t *call, uint64_t now_us);

/*
 * Whether a call may be made. *call names it: shared_breaker_report or _abandon has to be called with it, once. 0: there is
 * no breaker, and nothing has to be called.
 */
static inline bool shared_breaker_admit(struct shared_breaker *b, uint32_t *call, uint64_t now_us)
{
	return shared_breaker_admits_all(b, call) || shared_breaker_try(b, call, now_us);
}

/* Whether the call was made to see how it fares. */
static inline bool shared_breaker_is_trial(uint32_t call)
{
	return (call & ((1u << BREAKER_STATE_BITS) - 1)) == BREAKER_HALF_OPEN;
}

/* What a call has brought. `random`: any bits. True: the state has changed. */
bool shared_breaker_report(struct shared_breaker *b, struct breaker_side *side, uint32_t call, bool failed,
	uint64_t waited_us, uint64_t now_us, uint64_t random);

/* A call has ended and brought nothing. */
void shared_breaker_abandon(struct shared_breaker *b, uint32_t call);

/* The same, and it still counts. */
static inline bool shared_breaker_trial_counts(const struct shared_breaker *b, uint32_t call)
{
	return shared_breaker_is_trial(call) && call == atomic_load_explicit(&b->tag, memory_order_relaxed);
}

/* It may be time to try, or to try others. True: it is half open now, and was not. */
bool shared_breaker_wake(struct shared_breaker *b, uint64_t now_us);

/* A copy of what it is, for those who tell of it. */
void shared_breaker_look(struct shared_breaker *b, struct breaker *copy);

/* How long until calls are tried again; 0: they are. */
uint64_t shared_breaker_wait_us(const struct shared_breaker *b, uint64_t now_us);

/* It admits nothing now: when shared_breaker_wake may change that. DEADLINE_NEVER: it admits something. */
uint64_t shared_breaker_look_again_us(const struct shared_breaker *b);

#endif
