/*
 * All that can happen to one pool in a small case: the events, and the state it is in as far as it matters for what
 * comes. See test_explore.c.
 */
#ifndef TESTS_POOL_EXPLORE_H
#define TESTS_POOL_EXPLORE_H

#include "rig.h"

/* How callbacks answer. */
enum explore_answers {
	EXPLORE_LATER,        /* never inside the callback: the answer is an event of its own */
	EXPLORE_AT_ONCE,      /* opens succeed, checks are good, closes are done, all inside the callback */
	EXPLORE_BAD_AT_ONCE,  /* opens and checks fail inside it */
};

/* What happens beside the life of waiters and connections. */
enum explore_events {
	EXPLORE_FRESH = 1,
	EXPLORE_PRIORITY = 2,
	EXPLORE_SPOIL = 4,
	EXPLORE_RENEW = 8,
	EXPLORE_DRAIN = 16,
	EXPLORE_CLOSE = 32,
	EXPLORE_TOUCH = 64,
	EXPLORE_STALE = 128,
};

struct explore_case {
	const char *name;
	struct weir_pool_config config;
	uint32_t waiters;             /* at most so many borrowers at a time */
	uint64_t patience_us;         /* acquires wait for 1 us, 2 us, .. so long */
	enum explore_answers answers;
	unsigned events;              /* enum explore_events, joined by | */
	uint32_t states_min;          /* there are more, so that a case does not shrink unseen */
};

/* One thing that may happen now. */
struct explore_event {
	void (*act)(struct rig *rig, const struct explore_event *event);
	const char *name;
	uint32_t at;                  /* waiter or slot */
	uint32_t arg;
};

#define EXPLORE_EVENTS_MAX 96

/* All that may happen to the rig now, always in the same order; returns how many. */
uint32_t explore_events(const struct explore_case *c, const struct rig *rig, struct explore_event *events);

/* world.in_callback for the case. */
void explore_in_callback(struct rig *rig, enum rig_where where, uint32_t slot);
void explore_set_answers(enum explore_answers answers);

struct explore_print {
	uint64_t a, b;
};

/*
 * The state of the pool, with everything made relative or left out that makes no difference: times count from now,
 * generations and totals are left out, slots and waiters are named by where they stand, not by number.
 */
struct explore_print explore_fingerprint(const struct rig *rig);

#endif
