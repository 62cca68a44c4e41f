/*
 * Controlled delay, for requests.
 *
 * A queue that absorbs a burst is good: it is gone soon after. A queue that stands is bad: it makes everybody late by its
 * whole length and serves nobody sooner. K. Nichols and V. Jacobson tell the two apart by time instead of length
 * ("Controlling Queue Delay", ACM Queue 10(5), 2012; RFC 8289): it stands when for a whole interval nobody has passed it in
 * less than a target. That test is used here, at the same place, where somebody leaves the queue to be served.
 *
 * What is done then is not theirs. They drop a packet now and then, a little more often each time, so that TCP slows down.
 * Clients of HTTP do not: against ten times what can be served that takes minutes. B. Maurer ("Fail at Scale", ACM Queue
 * 13(8), 2015) has a short timeout for everybody while the queue has not been empty for an interval; so here. While the queue
 * stands, nobody waits in it for longer than the target (queue.c).
 * His other half, the newest first, is left out: a queue that is as short as the target allows has no need of it.
 *
 *                  served after the target,
 *                  for an interval            falls: a new interval
 *         not late ------------> late ------------.
 *            ^  ^                 | |  ^----------'
 *            |  '--- in time -----' | does not fall
 *            |                      v
 *            '---------------- standing      nobody was refused for an interval, or it was empty
 *
 * Two things are added, because what is wrongly shed here is a failed request and not a packet that is sent again.
 *
 *  - A queue that falls is being worked off, however late it is (a thousand requests at once, the backend's pause), and is
 *    left alone: at the end of the interval it must not be shorter than at its beginning by the 16th part of those who were
 *    served meanwhile. So what comes has to be more than some 15/16 of what is served. An interval has at least 8 who were
 *    served: when nobody is, the backend hangs, which is for timeouts to end.
 *  - Whoever makes the queue on purpose (a limit that is lowered to measure something) can excuse it for a while. Not so a
 *    full one: newcomers are refused then whatever is done about those who wait.
 *
 * Weak points. The first interval and the target are a flood's: until then its requests queue up, and are served late. A
 * load of 15/16 to the whole of what can be served, behind a burst, is taken for a queue that stands. Closed loops whose
 * clients take longer now and then (by more than the 16th part) are taken for queues that fall, until the next interval. A
 * backend that slows down and recovers within an interval and a half may cost requests, unless it is excused.
 */
#include "pool/codel.h"

#include "pool/planted.h"

void pool_codel_init(struct pool_codel *c, uint64_t target_us, uint64_t interval_us)
{
	*c = (struct pool_codel){.target_us = target_us, .interval_us = interval_us, .late_us = UINT64_MAX};
}

void pool_codel_begin(struct pool_codel *c)
{
	if (POOL_PLANTED(SHED_AFTER_EMPTY))
		return;
	c->standing = false;
	c->late_us = UINT64_MAX;
}

static void late_from(struct pool_codel *c, uint64_t now_us, uint32_t left)
{
	c->late_us = now_us;
	c->mark = left;
	c->served = 0;
}

static bool falls(const struct pool_codel *c, uint32_t left)
{
	return (uint64_t)left + c->served / POOL_CODEL_FALL + 1 < c->mark;
}

static bool is_excused(const struct pool_codel *c, uint64_t now_us)
{
	return now_us < c->excused_us && now_us >= c->full_until_us;
}

void pool_codel_served(struct pool_codel *c, uint64_t now_us, uint64_t waited_us, uint32_t left)
{
	if (c->standing && now_us - c->refused_us >= c->interval_us) {
		c->standing = false;
		c->late_us = UINT64_MAX;
	}
	if (c->standing)
		return;
	if (waited_us < c->target_us || is_excused(c, now_us)) {
		c->late_us = UINT64_MAX;
		return;
	}
	if (c->late_us == UINT64_MAX) {
		late_from(c, now_us, left);
		return;
	}
	c->served++;
	if (now_us - c->late_us < c->interval_us || c->served < POOL_CODEL_SERVED_MIN)
		return;
	if (falls(c, left)) {
		late_from(c, now_us, left);
		return;
	}
	c->standing = true;
	c->refused_us = now_us;
}

void pool_codel_refused(struct pool_codel *c, uint64_t now_us)
{
	c->refused_us = now_us;
}

void pool_codel_full(struct pool_codel *c, uint64_t now_us)
{
	c->full_until_us = c->interval_us < UINT64_MAX - now_us ? now_us + c->interval_us : UINT64_MAX;
}

void pool_codel_excuse(struct pool_codel *c, uint64_t until_us)
{
	if (until_us > c->excused_us)
		c->excused_us = until_us;
}
