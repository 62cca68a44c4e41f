/*
 * When descriptors have run out: connections that nobody waits for lose against clients.
 *
 *     a client cannot be accepted, or a request's connection not be opened
 *        |
 *        |--> no pool opens ahead of need (min_idle) for FILES_PAUSE_US
 *        |--> the loop's pipes that are not in use are closed; where there are none
 *        `--> up to FILES_SPARED connections at rest, those first that have rested longest; it is tried again
 *
 * Nothing else would ever heal it: what min_idle wants is idle on purpose, and is opened again as soon as it is gone.
 *
 * At most FILES_LOOKED_AT connections are looked at in one go, some 100 us; the endpoints take turns in being first.
 */
#include <errno.h>

#include "upstream/endpoint.h"

#define FILES_PAUSE_US (5 * US_PER_S)
enum { FILES_SPARED = 16, FILES_LOOKED_AT = 10000 };

/* Those that have rested longest, the longest first. */
struct resters {
	struct upstream_conn *conns[FILES_SPARED];
	size_t count;
	size_t looked_at;
};

static void resters_add(struct resters *r, struct upstream_conn *uc)
{
	if (r->count == FILES_SPARED && r->conns[FILES_SPARED - 1]->rests_since_us <= uc->rests_since_us)
		return;

	size_t at = r->count < FILES_SPARED ? r->count++ : FILES_SPARED - 1;

	for (; at > 0 && r->conns[at - 1]->rests_since_us > uc->rests_since_us; at--)
		r->conns[at] = r->conns[at - 1];
	r->conns[at] = uc;
}

static void resters_find(struct resters *r, struct endpoint *ep)
{
	list_each_safe(&ep->conns, node, next) {
		struct upstream_conn *uc = container_of(node, struct upstream_conn, node);

		if (++r->looked_at > FILES_LOOKED_AT)
			return;
		/* A place on a session has no descriptor of its own. */
		if (uc->state == UPSTREAM_CONN_RESTING && uc->place == NULL)
			resters_add(r, uc);
	}
}

/* All of them, and finds who rests. */
static void endpoints_pause(struct upstreams *ups, struct resters *r, uint64_t now_us)
{
	struct list_node *first = list_pop_front(&ups->endpoints);

	if (first != NULL)
		list_push_back(&ups->endpoints, first);
	list_each_safe(&ups->endpoints, node, next) {
		struct endpoint *ep = container_of(node, struct endpoint, node);

		if (ep->state == ENDPOINT_CLOSED)
			continue;
		weir_pool_pause_ahead(ep->pool, deadline_after(now_us, FILES_PAUSE_US), now_us);
		resters_find(r, ep);
	}
}

/* How many were closed. */
static unsigned resters_close(const struct resters *resters, uint64_t now_us)
{
	unsigned spared = 0;

	for (size_t i = 0; i < resters->count; i++) {
		struct upstream_conn *uc = resters->conns[i];

		/* One that is closed may take others with it; their memory stays until the end of the tick. */
		if (uc->state != UPSTREAM_CONN_RESTING)
			continue;
		weir_pool_spoiled(uc->endpoint->pool, uc->slot, now_us);
		spared += uc->state == UPSTREAM_CONN_CLOSED;
	}
	return spared;
}

unsigned upstreams_spare_files(struct upstreams *ups)
{
	struct resters resters = {0};
	uint64_t now_us = io_now_us(ups->io);

	if (ups->sparing)
		return 0;
	ups->sparing = true;
	endpoints_pause(ups, &resters, now_us);
	unsigned spared = io_pipes_spare(ups->io);

	if (spared == 0)
		spared = resters_close(&resters, now_us);
	ups->sparing = false;
	return spared;
}

bool files_were_spared(struct endpoint *ep, int error)
{
	struct weir_pool_stats stats;

	if (error != -EMFILE && error != -ENFILE)
		return false;
	weir_pool_stats(ep->pool, &stats);
	if (stats.waiting > 0)
		return upstreams_spare_files(ep->ups) > 0;
	weir_pool_pause_ahead(ep->pool, deadline_after(io_now_us(ep->ups->io), FILES_PAUSE_US), io_now_us(ep->ups->io));
	return false;
}
