/*
 * Whether a queue stands: controlled delay for a queue of requests. Pure: time in, verdict out. How it decides stands in
 * codel.c.
 *
 * Whoever has the queue says when it begins (it was empty), who is served from it, and when somebody was refused. While it
 * stands, nobody is to wait in it for longer than the target.
 */
#ifndef WEIR_POOL_CODEL_H
#define WEIR_POOL_CODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Fewer who were served say nothing about where a queue is going. (A test of small cases has its own.) */
#ifndef POOL_CODEL_SERVED_MIN
#define POOL_CODEL_SERVED_MIN 8
#endif
#define POOL_CODEL_FALL 16  /* it falls when it is shorter by the 16th part of those who were served, and one more */

struct pool_codel {
	uint64_t target_us, interval_us;  /* target 0: off; nothing ever stands */
	uint64_t late_us;      /* since when somebody has waited for the target whenever one is served; UINT64_MAX: not */
	uint64_t excused_us;   /* what is late before counts for nothing */
	uint64_t full_until_us; /* nobody is excused before */
	uint64_t refused_us;   /* while it stands: when somebody was refused last */
	uint32_t mark;         /* how many waited at late_us, */
	uint32_t served;       /* and how many were served since */
	bool standing;
};

void pool_codel_init(struct pool_codel *c, uint64_t target_us, uint64_t interval_us);

/* Somebody waits, and nobody did before. */
void pool_codel_begin(struct pool_codel *c);

/* Somebody was served, with a target (not 0); the longest that anybody had waited then is `waited_us`. `left` are waiting still. */
void pool_codel_served(struct pool_codel *c, uint64_t now_us, uint64_t waited_us, uint32_t left);

/* Somebody was refused a place, or lost it. */
void pool_codel_refused(struct pool_codel *c, uint64_t now_us);

/* No more can wait, or not long enough: there are refusals whether or not it stands, so for an interval it is not excused. */
void pool_codel_full(struct pool_codel *c, uint64_t now_us);

/* What is late until then has another reason than too many requests. Does nothing to a queue that stands. */
void pool_codel_excuse(struct pool_codel *c, uint64_t until_us);

#endif
