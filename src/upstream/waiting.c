/*
 * Those who wait for a connection to an endpoint: they are looked after ten times a second.
 *
 *   does anything move?      concurrency_look: where nothing does, the limit may be what stands in the way
 *   is it still in service?  an endpoint that has been taken out gets no new requests, but those who wait for it had picked it
 *                            before, and what they wait for may never come: they go on waiting for another one (lease_move)
 *
 * Nothing of theirs has been sent yet, so that is always safe. They keep their deadlines and are served by their age. Who finds
 * nobody who can take it stays where it is: what is out of service still serves, if it can. So does whoever is one of the
 * trials of a breaker that is half open, and everybody in panic, when those who are out are used as well.
 *
 * Each worker looks by itself, so none has to be told.
 */
#include "upstream/endpoint.h"

enum { MOVES_MAX = 128 };  /* in one look; each costs a step for each who waits there and has come later */

#define MORE_US (1 * US_PER_MS)  /* until the next look, when one was not enough */

/* How many of them have gone. */
static uint32_t move_on(struct endpoint *ep, uint64_t now_us)
{
	struct endpoint_group *group = group_named(ep->ups, ep->name.upstream);
	struct weir_pool_waiter *waiters[MOVES_MAX];
	uint32_t count, moved = 0;

	if (group == NULL || group->count < 2)
		return 0;
	/* Outcomes are told by tasks: whoever is among these is there until all are done. */
	count = weir_pool_waiting(ep->pool, waiters, MOVES_MAX);
	for (uint32_t i = 0; i < count; i++)
		moved += lease_move(group, container_of(waiters[i], struct upstream_lease, waiter), now_us);
	return moved;
}

static void look_again(struct endpoint *ep, uint64_t at_us)
{
	if (!io_timer_armed(&ep->look))
		io_timer_set(ep->ups->io, &ep->look, at_us);
}

void waiting_on_look(struct io_timer *timer)
{
	struct endpoint *ep = container_of(timer, struct endpoint, look);
	uint64_t now_us = io_now_us(ep->ups->io);
	struct weir_pool_stats stats;
	bool has_more = false;

	weir_pool_stats(ep->pool, &stats);
	if (stats.waiting == 0)
		return;
	concurrency_look(ep, now_us);
	if (!endpoint_is_available(ep))
		has_more = move_on(ep, now_us) == MOVES_MAX;
	look_again(ep, deadline_after(now_us, has_more ? MORE_US : WAITING_LOOK_US));
}

__attribute__((cold)) void waiting_began(struct endpoint *ep, uint64_t now_us)
{
	look_again(ep, deadline_after(now_us, WAITING_LOOK_US));
}
