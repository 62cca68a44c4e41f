/*
 * When does a backend close connections that rest? What it says of itself, and what is learned by watching. Pure: no
 * sockets, no clock. How it thinks stands in idle_close.c.
 */
#ifndef WEIR_UPSTREAM_IDLE_CLOSE_H
#define WEIR_UPSTREAM_IDLE_CLOSE_H

#include "base/view.h"

/* What is believed; private to idle_close.c. */
struct idle_close_belief {
	uint64_t learned_us;      /* 0: nothing */
	uint64_t candidate_us;    /* the shortest of the closes that agree */
	uint64_t agreeing;        /* how many in a row; 0: there is no candidate */
	uint64_t survivors;       /* that rested as long as the candidate, since the latest close */
	uint64_t probed_us;       /* when `learned` was last confirmed or raised */
	uint64_t patience_us;     /* how long it stays before it is raised */
	bool probing;             /* it was raised and has not been contradicted since */
};

struct idle_close {
	/* To be read: a longer time that a connection rested and was good afterwards is news for idle_close_survived. */
	uint64_t doubt_us;
	uint64_t announced_us;    /* 0: nothing */

	/* Private. The closes of one moment are one event: `before` is what was believed without it. */
	struct idle_close_belief belief, before;
	uint64_t moment_us;
	uint64_t shortest_us, longest_us;
};

void idle_close_init(struct idle_close *ic);

/* The backend has closed a connection that had rested for age_us. */
void idle_close_seen(struct idle_close *ic, uint64_t now_us, uint64_t age_us);

/*
 * A connection that had rested for age_us was still good: it has served again, or we have closed it. Ages up to doubt_us
 * need not be told.
 */
void idle_close_survived(struct idle_close *ic, uint64_t now_us, uint64_t age_us);

/* What has been learned; 0: nothing. */
static inline uint64_t idle_close_learned(const struct idle_close *ic)
{
	return ic->belief.learned_us;
}

/* Of two times that were learned, where 0 is nothing. */
static inline uint64_t idle_close_shorter(uint64_t a_us, uint64_t b_us)
{
	return a_us == 0 || (b_us != 0 && b_us < a_us) ? b_us : a_us;
}

/* How long a connection may rest: no longer than configured_us (0: no limit). 0: no limit. */
uint64_t idle_close_limit(const struct idle_close *ic, uint64_t configured_us);

/*
 * Reads the value of one Keep-Alive field: parameters separated by commas, some of them timeout=seconds (RFC 2068
 * §19.7.1.1). *shortest_us goes down to the shortest of them; it begins as UINT64_MAX and stands for all fields of a
 * response, which are one list (RFC 9110 §5.3). False: one is no number, 0 or more than a day; then none of the list is to
 * be believed.
 */
bool idle_close_parse(struct view keep_alive, uint64_t *shortest_us);

#endif
