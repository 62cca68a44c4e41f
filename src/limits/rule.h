/*
 * What is limited, how, and what the answer to one request is. Four algorithms, each in its own file; each keeps what it knows of
 * one key in a few words, for which all zero means that nothing is known: as good as a key that was never seen.
 *
 * None of them reads a clock: the time is an argument, of a clock that all workers share. Workers read it once in a turn of their
 * loops and so may be some milliseconds apart. A time before the last one counts as the last one: nothing is ever given twice.
 */
#ifndef WEIR_LIMITS_RULE_H
#define WEIR_LIMITS_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum limit_kind { LIMIT_TOKEN_BUCKET, LIMIT_SLIDING_WINDOW, LIMIT_LEAKY_BUCKET, LIMIT_CONCURRENT };

/* Within these, no sum here leaves 64 bits. */
#define LIMIT_COUNT_MAX 1000000u
#define LIMIT_PERIOD_MIN_US (100 * 1000ULL)
#define LIMIT_PERIOD_MAX_US (30 * 86400 * 1000000ULL)

struct limit_rule {
	enum limit_kind kind;
	uint32_t count;         /* so many requests ... ; CONCURRENT: at once; 1..LIMIT_COUNT_MAX */
	uint64_t period_us;     /* ... in this time; whole milliseconds; CONCURRENT: not used */
	uint32_t burst;         /* TOKEN_BUCKET: what the bucket holds; 1..LIMIT_COUNT_MAX */
	uint64_t delay_max_us;  /* LEAKY_BUCKET: how long a request may wait */
};

/* NO_ROOM: the store has no place for another key (store.h). */
enum limit_verdict { LIMIT_PASSES, LIMIT_WAITS, LIMIT_REFUSED, LIMIT_NO_ROOM, LIMIT_VERDICTS };

struct limit_answer {
	enum limit_verdict verdict;
	uint64_t remaining;     /* requests that would still pass, or wait, now */
	uint64_t reset_us;      /* until the key is as good as new; 0: it is, or nobody knows (CONCURRENT) */
	uint64_t retry_us;      /* REFUSED: until one more may pass; 0: nobody knows */
	uint64_t wait_us;       /* WAITS: how long */
};

/* The place of a request in a leaky bucket's queue. */
struct limit_slot {
	uint64_t base_us;
	uint64_t index;
};

/* Times `by`, divided by `over`, rounded down; `by` below 2^20, `over` below 2^42, `x` and the result any. */
static inline uint64_t limit_scale(uint64_t x, uint64_t by, uint64_t over)
{
	return x / over * by + x % over * by / over;
}

static inline uint64_t limit_divide_up(uint64_t x, uint64_t by)
{
	return x / by + (x % by != 0);
}

/* --- one state for each algorithm, and what can be done with it -------------------------------------------------------- */

struct token_bucket {
	uint64_t updated_us;
	uint64_t missing;       /* to be full; in tokens times period_us */
};

struct limit_answer token_bucket_take(struct token_bucket *b, const struct limit_rule *rule, uint64_t now_us);
/* Nothing is known of the key that a new one would not have. The same for the others. */
bool token_bucket_is_fresh(const struct token_bucket *b, const struct limit_rule *rule, uint64_t now_us);

enum { SLIDING_PARTS = 8 };

struct sliding_window {
	uint64_t part;                        /* the number of the latest part, counted from the clock's zero */
	uint32_t counts[SLIDING_PARTS + 1];   /* of that part and those before, at their number modulo how many these are */
};

struct limit_answer sliding_window_take(struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us);
bool sliding_window_is_fresh(const struct sliding_window *w, const struct limit_rule *rule, uint64_t now_us);

enum { LEAKY_HOLES = 256 };

struct leaky_bucket {
	uint64_t base_us;                     /* the time of slot 0 */
	uint64_t tail;                        /* the first slot that was never given */
	uint64_t holes[LEAKY_HOLES / 64];     /* slots before it that were given back, at their number modulo LEAKY_HOLES */
};

/* *slot is set when it passes or waits. */
struct limit_answer leaky_bucket_take(
	struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us, struct limit_slot *slot);
/* Who had it does not wait any more. A slot whose time has come is spent, and one of an earlier queue is nothing. */
void leaky_bucket_leave(
	struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us, const struct limit_slot *slot);
bool leaky_bucket_is_fresh(const struct leaky_bucket *b, const struct limit_rule *rule, uint64_t now_us);

struct concurrent {
	uint32_t running;
};

struct limit_answer concurrent_take(struct concurrent *c, const struct limit_rule *rule);
/* A request that has passed has ended. */
void concurrent_leave(struct concurrent *c);
bool concurrent_is_fresh(const struct concurrent *c);

#endif
