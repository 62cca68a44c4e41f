/*
 * Another configuration for upstreams that are in use.
 *
 *     in the new one, with the same pool settings     stays: its pool, its connections, who waits; weight and times are new
 *     in the new one, with other pool settings        gets a successor beside it, and is drained
 *     not in it                                       is drained
 *     nor is its whole upstream                       is drained once nobody can come with an older configuration: settled
 *
 * Draining: who waits is still served, leases run to their end, then the pool is closed and the endpoint freed. Both pools
 * of an endpoint draw on one budget, so its cap holds all the while.
 *
 * First everything that needs memory is made, then all of it changes at once; between the two nothing can fail.
 *
 *     begin --> make, a slice in each turn of the loop --> change: at once --> follow, a slice in each turn
 *
 * What changes at once is who is in service. What takes long is done in slices before it (endpoints with their pools) and behind
 * it: those in service begin with what they do by themselves (checks, connections ahead of need), groups of before are let go, and
 * each endpoint that is in service no more is drained, which closes its connections. Until its turn comes it serves who waits for
 * it as before; nobody new is sent to it.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "upstream/balance.h"
#include "upstream/roster.h"

/* Of a slice: 1 is some microseconds of work. */
enum { SLICE_COST = 64 };

/* --- making --------------------------------------------------------------------------------------------------------- */

bool upstreams_reload_begin(struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets)
{
	CHECK(ups->making.roster == NULL && !upstreams_follows(ups));
	return making_begin(&ups->making, config, budgets);
}

enum upstreams_progress upstreams_reload_make(struct upstreams *ups)
{
	enum upstreams_progress progress = making_go_on(&ups->making, ups, SLICE_COST);

	if (progress == UPSTREAMS_NO_MEMORY)
		upstreams_reload_cancel(ups);
	return progress;
}

void upstreams_reload_cancel(struct upstreams *ups)
{
	if (ups->making.roster != NULL)
		roster_discard(ups->making.roster);
	ups->making = (struct roster_making){0};
}

/* --- changing ------------------------------------------------------------------------------------------------------- */

/* What balancing goes by. */
static void endpoint_enter_balance(struct endpoint *ep, const struct config_upstream *upstream,
	const struct config_endpoint *config)
{
	ep->weight = config->weight;
	ep->backup = config->backup;
	ep->zone = zone_hash(config->zone);
	ep->labels = config->labels;
	ep->latency.decay_us = upstream->balance.policy == BALANCE_PEAK_EWMA ? upstream->balance.ewma_decay_us : 0;
}

/* What the endpoint before it has learned and counted is its own now. */
static void endpoint_follow_on(struct endpoint *ep)
{
	if (ep->before == NULL)
		return;
	endpoint_learn_from(ep, ep->before);
	endpoint_succeed(ep, ep->before);
	/* From now on this one is asked. */
	prober_stop(ep->before);
	ep->before = NULL;
}

static void endpoint_enter(struct endpoint *ep, const struct roster *roster, const struct config_upstream *upstream,
	const struct config_endpoint *config)
{
	if (ep->state == ENDPOINT_NEW) {
		endpoint_change(ep, ENDPOINT_SERVING);
		list_push_back(&ep->ups->endpoints, &ep->node);
		/* Whoever is there from the beginning is no newcomer. */
		ep->ramp_from_us = roster->number > 1 ? io_now_us(ep->ups->io) : 0;
		endpoint_follow_on(ep);
	}
	ep->roster = roster->number;
	endpoint_enter_balance(ep, upstream, config);
	ep->learns = upstream->concurrency == CONFIG_CONCURRENCY_AUTO;
	ep->connect_timeout_us = upstream->timeouts.connect_us;
	ep->proxy_protocol = upstream->proxy_protocol;
	ep->head_limits = (struct h1_limits){
		.head_bytes_max = upstream->limits.header_bytes, .field_count_max = upstream->limits.header_count};
	endpoint_breaker_begin(ep, &upstream->breaker);
}

static void roster_enter(const struct roster *roster, const struct config *config)
{
	for (size_t i = 0; i < roster->count; i++) {
		const struct config_upstream *u = &config->upstreams[i];
		struct endpoint_group *group = roster->groups[i];

		if (group->before != NULL)
			group->retry_budget = group->before->retry_budget;
		if (group->before != NULL && group->latencies != NULL && group->before->latencies != NULL)
			*group->latencies = *group->before->latencies;
		group->before = NULL;
		for (size_t j = 0; j < u->endpoint_count; j++)
			endpoint_enter(group->endpoints[j], roster, u, &u->endpoints[j]);
	}
}

/* A place may be opened and closed several times in a tick, where connecting succeeds at once. */
enum { CONNS_SPARE = 64 };

/* Twice what the pools may have: a closed connection keeps its memory until the end of the tick. */
static void conns_raise(struct upstreams *ups)
{
	size_t sum = CONNS_SPARE;

	list_each_safe(&ups->endpoints, node, next) {
		const struct endpoint *ep = container_of(node, struct endpoint, node);

		sum += 2 * ((size_t)ep->settings.connections_max + ep->settings.overflow_max);
	}
	slab_raise(&ups->conns, sum);
	slab_raise(&ups->places, sum);
}

void upstreams_reload_change(struct upstreams *ups)
{
	struct roster *roster = ups->making.roster;

	CHECK(roster != NULL && roster->count == ups->making.config->upstream_count);
	ups->change = (struct roster_change){.leaving = ups->roster, .gone_before = ups->gone, .entering = true};
	ups->gone = NULL;
	roster->number = ++ups->rosters;
	ups->roster = roster;
	ups->config = ups->making.config;
	ups->making = (struct roster_making){0};
	roster_enter(roster, ups->config);
	passive_begin(ups);
	conns_raise(ups);
}

/* --- what follows, in slices ------------------------------------------------------------------------------------------ */

/* Begins with what it does by itself. Returns what that costs. */
static int endpoint_begin_alone(struct endpoint *ep, const struct config_upstream *upstream)
{
	struct upstreams *ups = ep->ups;

	if (ups->probes)
		prober_begin(ep, &upstream->health);
	if (ep->stirred)
		return 1;
	ep->stirred = true;
	io_defer(ups->io, &ep->run);
	/* What it opens now. */
	return 1 + 4 * (int)(ep->settings.idle_min < ep->settings.connecting_max ? ep->settings.idle_min
	                                                                          : ep->settings.connecting_max);
}

static void follow_entering(struct upstreams *ups, int *cost)
{
	struct roster_change *ch = &ups->change;

	while (*cost > 0) {
		if (ch->group == ups->roster->count) {
			ch->entering = false;
			return;
		}

		const struct endpoint_group *group = ups->roster->groups[ch->group];

		if (ch->endpoint < group->count) {
			*cost -= endpoint_begin_alone(group->endpoints[ch->endpoint++], &ups->config->upstreams[ch->group]);
			continue;
		}
		ch->group++;
		ch->endpoint = 0;
		--*cost;
	}
}

static void group_begin_retiring(struct upstreams *ups, struct endpoint_group *group)
{
	/* While all its endpoints are there still. */
	candidates_release(group);
	group->next = ups->retiring;
	ups->retiring = group;
}

/* The upstream is gone; if it was before, and is back now, those with an older configuration find it in service. */
static void group_leave(struct upstreams *ups, struct endpoint_group *group, size_t hint)
{
	if (roster_find(ups->roster, group->name, hint) != NULL) {
		group_begin_retiring(ups, group);
		return;
	}
	group->next = ups->gone;
	ups->gone = group;
}

enum { FINDS_FOR_1 = 64 };

static void follow_leaving(struct upstreams *ups, int *cost)
{
	struct roster_change *ch = &ups->change;

	while (*cost > 0 && ch->gone_before != NULL) {
		struct endpoint_group *group = ch->gone_before;

		ch->gone_before = group->next;
		group_leave(ups, group, 0);
		*cost -= 1 + (int)(ups->roster->count / FINDS_FOR_1);
	}
	for (; *cost > 0 && ch->leaving != NULL && ch->left < ch->leaving->count; ch->left++) {
		struct endpoint_group *group = ch->leaving->groups[ch->left];

		ch->leaving->groups[ch->left] = NULL;
		group_leave(ups, group, ch->left);
		*cost -= 1 + (int)((group->count + ups->roster->count) / FINDS_FOR_1);
	}
	if (ch->leaving != NULL && ch->left == ch->leaving->count) {
		free(ch->leaving);
		ch->leaving = NULL;
	}
}

static void endpoint_retire(struct endpoint *ep, struct endpoint *successor)
{
	if (successor != NULL && ep->newer == NULL) {
		endpoint_learn_from(successor, ep);
		endpoint_succeed(successor, ep);
	}
	prober_stop(ep);
	endpoint_breaker_stop(ep);
	endpoint_change(ep, ENDPOINT_DRAINING);
	if (PLANTED(RELOAD_DROPS_WAITERS))
		weir_pool_close(ep->pool, io_now_us(ep->ups->io));
	weir_pool_drain(ep->pool, io_now_us(ep->ups->io));
}

/* Closing a connection takes the system some ten microseconds. */
enum { IDLE_SLICE = 12, CLOSE_COST = 4 };

/* Nobody new is sent there, so those will not be used. Returns what that costs. */
static int idle_close_some(struct endpoint *ep)
{
	uint64_t now_us = io_now_us(ep->ups->io);

	weir_pool_pause_ahead(ep->pool, deadline_after(now_us, US_PER_S), now_us);
	weir_pool_close_idle(ep->pool, IDLE_SLICE, now_us);
	return CLOSE_COST * IDLE_SLICE;
}

/* Drains it if it is no longer in service; of one with many idle connections only some are closed at first. Returns what that costs. */
static int group_retire_next(struct upstreams *ups, struct endpoint_group *group)
{
	struct endpoint *ep = group->endpoints[group->retired++];
	struct weir_pool_stats stats;

	if (ep->roster == ups->roster->number || ep->state != ENDPOINT_SERVING)
		return 1;
	if (PLANTED(RELOAD_SLICE_SKIPPED) && group->retired > 1)
		return 1;
	weir_pool_stats(ep->pool, &stats);
	if (stats.idle > IDLE_SLICE) {
		group->retired--;
		return idle_close_some(ep);
	}
	endpoint_retire(ep, group_find(roster_find(ups->roster, group->name, 0), &ep->address, group->retired - 1));
	return 2 + CLOSE_COST * (int)stats.idle;
}

static void follow_retiring(struct upstreams *ups, int *cost)
{
	while (*cost > 0 && ups->retiring != NULL) {
		struct endpoint_group *group = ups->retiring;

		if (group->retired < group->count) {
			*cost -= group_retire_next(ups, group);
			continue;
		}
		ups->retiring = group->next;
		group_free(group);
		--*cost;
	}
}

bool upstreams_follows(const struct upstreams *ups)
{
	const struct roster_change *ch = &ups->change;

	return ch->entering || ch->gone_before != NULL || ch->leaving != NULL || ups->retiring != NULL;
}

bool upstreams_follow(struct upstreams *ups)
{
	int cost = SLICE_COST;

	/* They have their own end, which is under way. */
	if (ups->on_closed != NULL)
		return false;
	if (ups->change.entering)
		follow_entering(ups, &cost);
	follow_leaving(ups, &cost);
	follow_retiring(ups, &cost);
	return upstreams_follows(ups);
}

bool upstreams_reload(struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets)
{
	enum upstreams_progress progress = UPSTREAMS_NO_MEMORY;

	if (upstreams_reload_begin(ups, config, budgets))
		do
			progress = upstreams_reload_make(ups);
		while (progress == UPSTREAMS_MORE);
	if (progress != UPSTREAMS_DONE)
		return false;
	upstreams_reload_change(ups);
	while (upstreams_follow(ups))
		;
	return true;
}

void upstreams_settle(struct upstreams *ups)
{
	while (ups->gone != NULL) {
		struct endpoint_group *group = ups->gone;

		ups->gone = group->next;
		group_begin_retiring(ups, group);
	}
}

bool upstreams_unsettled(const struct upstreams *ups)
{
	return ups->gone != NULL;
}

static void chain_release(struct endpoint_group *group)
{
	for (struct endpoint_group *next; group != NULL; group = next) {
		next = group->next;
		group_free(group);
	}
}

static void roster_release(struct roster *roster)
{
	for (size_t i = 0; roster != NULL && i < roster->count; i++)
		if (roster->groups[i] != NULL)
			group_free(roster->groups[i]);
	free(roster);
}

void groups_release(struct upstreams *ups)
{
	upstreams_reload_cancel(ups);
	/* Those whose endpoints may be gone have no lists of candidates any more. */
	chain_release(ups->retiring);
	chain_release(ups->gone);
	chain_release(ups->change.gone_before);
	roster_release(ups->change.leaving);
	roster_release(ups->roster);
}
