/*
 * Planted bugs: faults that the tests put in on purpose, to prove that they would find them.
 *
 * Each is one line at the place where a real bug of its kind would stand: `if (POOL_PLANTED(TRIM_NEVER))`. In a normal
 * build POOL_PLANTED() is the constant 0 and the compiler removes the line. The build of the tests that look for them
 * defines WEIR_POOL_PLANTED and sets `pool_planted_bug` (once, before anything runs).
 */
#ifndef WEIR_POOL_PLANTED_H
#define WEIR_POOL_PLANTED_H

enum pool_planted_bug {
	POOL_PLANTED_NONE,
	POOL_PLANTED_CANCEL_DOES_NOT_DEQUEUE,      /* the ghost: who has given up is still served */
	POOL_PLANTED_DELIVERY_TO_EXPIRED,          /* a wait ends when its timer fires, not at its deadline */
	POOL_PLANTED_SLOT_LOST_ON_FAILED_OPEN,     /* a failed open leaves its slot and its unit behind */
	POOL_PLANTED_SLOT_LOST_ON_FAILED_CHECK,    /* a connection that fails its check after a give-back is not closed */
	POOL_PLANTED_DOUBLE_GIVE_BACK_ACCEPTED,    /* a token of an earlier lease of the slot ends the present one */
	POOL_PLANTED_WAKE_UP_LOST_AFTER_DISCARD,   /* nothing is opened for who waits when a discarded one is gone */
	POOL_PLANTED_GRANT_LOST_WITH_SEAT,         /* a pool that leaves keeps the units it was handed */
	POOL_PLANTED_NEWCOMER_OVERTAKES,           /* a newcomer stands before those who wait */
	POOL_PLANTED_CHECK_NEVER_TIMES_OUT,        /* a check that hangs keeps its slot for ever */
	POOL_PLANTED_OVERFLOW_NEVER_TRIMMED,       /* what comes back beyond the maximum stays */
	POOL_PLANTED_BACK_OFF_NEVER_ENDS,          /* after a failed open none is begun any more */
	POOL_PLANTED_RECLAIMED_ACCEPTED,           /* a late give-back of a lease that was reclaimed counts */
	POOL_PLANTED_FRESH_SERVED_BY_REUSED,       /* who wants a fresh connection is given an idle one */
	POOL_PLANTED_SHED_STAYS_QUEUED,            /* who is refused while it waits keeps its place, and is served as well */
	POOL_PLANTED_LATE_BESIDE_EMPTY_QUEUE,      /* a newcomer is refused for a wait behind nobody */
	POOL_PLANTED_SHED_AFTER_EMPTY,             /* a queue stands although it was empty a moment ago */
	POOL_PLANTED_COUNT
};

#ifdef WEIR_POOL_PLANTED
extern enum pool_planted_bug pool_planted_bug;
#define POOL_PLANTED(name) (pool_planted_bug == POOL_PLANTED_##name)
#else
#define POOL_PLANTED(name) 0
#endif

#endif
