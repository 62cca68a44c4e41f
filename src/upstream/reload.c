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
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/planted.h"
#include "upstream/balance.h"

/* --- finding -------------------------------------------------------------------------------------------------------- */

/* `hint` is where it stands if nothing has moved. */
static struct endpoint_group *roster_find(const struct roster *roster, struct view name, size_t hint)
{
	if (roster == NULL)
		return NULL;
	if (hint < roster->count && view_eq(roster->groups[hint]->name, name))
		return roster->groups[hint];
	for (size_t i = 0; i < roster->count; i++)
		if (view_eq(roster->groups[i]->name, name))
			return roster->groups[i];
	return NULL;
}

struct endpoint_group *group_named(const struct upstreams *ups, struct view name)
{
	struct endpoint_group *group = roster_find(ups->roster, name, 0);

	if (group != NULL)
		return group;
	for (group = ups->gone; group != NULL && !view_eq(group->name, name); group = group->next)
		;
	return group;
}

struct endpoint_group *group_of(const struct upstreams *ups, const struct config_upstream *upstream)
{
	uint32_t index = upstream->index;

	if (index < ups->roster->count && &ups->config->upstreams[index] == upstream)
		return ups->roster->groups[index];
	return group_named(ups, upstream->name);
}

/* NULL: it is not among them. */
static struct endpoint *group_find(const struct endpoint_group *group, const struct address *address, size_t hint)
{
	if (group == NULL)
		return NULL;
	if (hint < group->count && address_eq(&group->endpoints[hint]->address, address))
		return group->endpoints[hint];
	for (size_t i = 0; i < group->count; i++)
		if (address_eq(&group->endpoints[i]->address, address))
			return group->endpoints[i];
	return NULL;
}

/* --- what stays ----------------------------------------------------------------------------------------------------- */

/* Where a member has come that is not asked for here, the size is another one. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct weir_pool_config) == 128, "same_settings knows every member");

static bool same_settings(const struct weir_pool_config *a, const struct weir_pool_config *b)
{
	return a->connections_max == b->connections_max && a->overflow_max == b->overflow_max &&
	       a->waiters_max == b->waiters_max && a->connecting_max == b->connecting_max &&
	       a->idle_min == b->idle_min && a->uses_max == b->uses_max && a->order == b->order &&
	       a->on_acquire_timeout == b->on_acquire_timeout && a->checks == b->checks &&
	       a->check_timeout_us == b->check_timeout_us && a->acquire_timeout_us == b->acquire_timeout_us &&
	       a->idle_timeout_us == b->idle_timeout_us && a->lifetime_max_us == b->lifetime_max_us &&
	       a->trim_interval_us == b->trim_interval_us && a->backoff_min_us == b->backoff_min_us &&
	       a->backoff_max_us == b->backoff_max_us && a->leak_after_us == b->leak_after_us &&
	       a->reclaim_after_us == b->reclaim_after_us && a->queue_target_us == b->queue_target_us &&
	       a->queue_interval_us == b->queue_interval_us && a->refuse_late == b->refuse_late;
}

bool upstream_keeps_pools(const struct config_upstream *before, const struct config_upstream *after)
{
	struct weir_pool_config a = endpoint_settings(before), b = endpoint_settings(after);

	return same_settings(&a, &b) && endpoint_tls_id(before) == endpoint_tls_id(after) &&
	       endpoint_streams_max(before) == endpoint_streams_max(after);
}

/* Whether the endpoint goes on as it is: no other pool, and nobody else to speak to. */
static bool endpoint_serves(const struct endpoint *ep, const struct config_upstream *upstream,
	const struct weir_pool_config *settings, uint64_t tls_id, struct view server_name)
{
	return same_settings(&ep->settings, settings) && ep->streams_max == endpoint_streams_max(upstream) &&
	       ep->tls_id == tls_id && view_eq(ep->server_name, server_name);
}

/* --- making --------------------------------------------------------------------------------------------------------- */

/* Its endpoints stay. */
static void group_free(struct endpoint_group *group)
{
	candidates_release(group);
	free(group->latencies);
	free(group);
}

/* Those that are in the group already came with an older roster; new ones are in none. */
static void group_discard(struct endpoint_group *group)
{
	/* What the lists have counted stands in the endpoints. */
	candidates_release(group);
	for (size_t i = 0; i < group->count; i++)
		if (group->endpoints[i]->state == ENDPOINT_NEW)
			endpoint_free(group->endpoints[i]);
	group_free(group);
}

static void roster_discard(struct roster *roster)
{
	for (size_t i = 0; i < roster->count; i++)
		group_discard(roster->groups[i]);
	free(roster);
}

static uint64_t zone_hash(struct view zone)
{
	return zone.n > 0 ? hash_append(HASH_BEGIN, zone.p, zone.n) | 1 : 0;
}

/* How its endpoints are picked. False: out of memory. */
static bool group_balance(struct endpoint_group *group, const struct config *config, const struct config_upstream *upstream)
{
	const struct config_balance *b = &upstream->balance;

	group->zone = b->zone_preference ? zone_hash(config->zone) : 0;
	group->balance = (struct group_balance){.policy = b->policy, .hash_load = b->hash_load,
		.zone_min_share = b->zone_min_share, .slow_start_us = b->slow_start_us};
	group->all = candidates_create(b->policy, upstream->endpoint_count);
	return group->all != NULL;
}

/* With room for all its endpoints. NULL: out of memory. */
static struct endpoint_group *group_alloc(const struct config *config, const struct config_upstream *upstream)
{
	size_t endpoints_bytes = upstream->endpoint_count * sizeof(struct endpoint *);
	struct endpoint_group *group = calloc(1, sizeof(*group) + endpoints_bytes + upstream->name.n);

	if (group == NULL)
		return NULL;
	char *name = (char *)group->endpoints + endpoints_bytes;

	memcpy(name, upstream->name.p, upstream->name.n);
	group->name = view_of(name, upstream->name.n);
	group->passive = upstream->passive;
	group->panic_threshold = upstream->panic_threshold;
	if (group_balance(group, config, upstream))
		return group;
	free(group);
	return NULL;
}

/* What `before` knows is still true. False: out of memory. */
static bool group_latencies(struct endpoint_group *group, const struct config_upstream *upstream,
	const struct endpoint_group *before)
{
	if (!upstream->hedge.enabled || upstream->hedge.permille == 0)
		return true;
	group->latencies = calloc(1, sizeof(*group->latencies));
	if (group->latencies != NULL && before != NULL && before->latencies != NULL)
		*group->latencies = *before->latencies;
	return group->latencies != NULL;
}

/* `before` are the upstream's endpoints in service, NULL: it is new. */
static struct endpoint_group *group_create(struct upstreams *ups, const struct config *config,
	const struct config_upstream *upstream, const struct endpoint_group *before, struct endpoint_budget *const *budgets)
{
	struct weir_pool_config settings = endpoint_settings(upstream);
	struct endpoint_group *group = group_alloc(config, upstream);
	uint64_t tls_id = endpoint_tls_id(upstream);
	char text[ADDRESS_TEXT_MAX];

	if (group == NULL)
		return NULL;
	group->ups = ups;
	group->changes = upstream->endpoint_count > 0 ? budgets[0]->changes : NULL;
	if (before != NULL)
		group->retry_budget = before->retry_budget;
	if (!group_latencies(group, upstream, before)) {
		group_free(group);
		return NULL;
	}
	for (size_t i = 0; i < upstream->endpoint_count; i++) {
		const struct config_endpoint *ec = &upstream->endpoints[i];
		struct endpoint *ep = group_find(before, &ec->address, i);

		if (ep == NULL ||
			!endpoint_serves(ep, upstream, &settings, tls_id, endpoint_server_name(upstream, ec, text)))
			ep = endpoint_create(ups, upstream, ec, budgets[i]);
		if (ep == NULL) {
			group_discard(group);
			return NULL;
		}
		group->endpoints[group->count++] = ep;
	}
	return group;
}

static struct roster *roster_create(
	struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets)
{
	struct roster *roster = calloc(1, sizeof(*roster) + config->upstream_count * sizeof(struct endpoint_group *));

	if (roster == NULL)
		return NULL;
	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];
		struct endpoint_group *group = group_create(ups, config, u, roster_find(ups->roster, u->name, i), budgets);

		if (group == NULL) {
			roster_discard(roster);
			return NULL;
		}
		roster->groups[roster->count++] = group;
		budgets += u->endpoint_count;
	}
	return roster;
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

static void endpoint_enter(struct endpoint *ep, const struct roster *roster, const struct config_upstream *upstream,
	const struct config_endpoint *config)
{
	if (ep->state == ENDPOINT_NEW) {
		endpoint_change(ep, ENDPOINT_SERVING);
		list_push_back(&ep->ups->endpoints, &ep->node);
		io_defer(ep->ups->io, &ep->run);
		/* Whoever is there from the beginning is no newcomer. */
		ep->ramp_from_us = roster->number > 1 ? io_now_us(ep->ups->io) : 0;
	}
	ep->roster = roster->number;
	endpoint_enter_balance(ep, upstream, config);
	ep->learns = upstream->concurrency == CONFIG_CONCURRENCY_AUTO;
	ep->connect_timeout_us = upstream->timeouts.connect_us;
	ep->proxy_protocol = upstream->proxy_protocol;
	ep->head_limits = (struct h1_limits){
		.head_bytes_max = upstream->limits.header_bytes, .field_count_max = upstream->limits.header_count};
	if (ep->ups->probes)
		prober_begin(ep, &upstream->health);
	endpoint_breaker_begin(ep, &upstream->breaker);
}

static void roster_enter(const struct roster *roster, const struct config *config)
{
	for (size_t i = 0; i < roster->count; i++) {
		const struct config_upstream *u = &config->upstreams[i];

		for (size_t j = 0; j < u->endpoint_count; j++)
			endpoint_enter(roster->groups[i]->endpoints[j], roster, u, &u->endpoints[j]);
	}
}

static void endpoint_retire(struct endpoint *ep, struct endpoint *successor)
{
	if (successor != NULL) {
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

/* Drains those of the group that are no longer in service, and frees it. `now` is in service in its place; NULL: nobody. */
static void group_retire(struct upstreams *ups, struct endpoint_group *group, const struct endpoint_group *now)
{
	for (size_t i = 0; i < group->count; i++)
		if (group->endpoints[i]->roster != ups->roster->number)
			endpoint_retire(group->endpoints[i], group_find(now, &group->endpoints[i]->address, i));
	group_free(group);
}

/* The upstream is gone; if it was before, and is back now, those with an older configuration find it in service. */
static void group_leave(struct upstreams *ups, struct endpoint_group *group, size_t hint)
{
	const struct endpoint_group *now = roster_find(ups->roster, group->name, hint);

	if (now != NULL) {
		group_retire(ups, group, now);
		return;
	}
	group->next = ups->gone;
	ups->gone = group;
}

static void roster_leave(struct upstreams *ups, struct roster *before)
{
	struct endpoint_group *gone = ups->gone;

	ups->gone = NULL;
	while (gone != NULL) {
		struct endpoint_group *next = gone->next;

		group_leave(ups, gone, 0);
		gone = next;
	}
	if (before == NULL)
		return;
	for (size_t i = 0; i < before->count; i++)
		group_leave(ups, before->groups[i], i);
	free(before);
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

bool upstreams_reload(struct upstreams *ups, const struct config *config, struct endpoint_budget *const *budgets)
{
	struct roster *before = ups->roster, *roster = roster_create(ups, config, budgets);

	if (roster == NULL)
		return false;
	roster->number = ++ups->rosters;
	ups->roster = roster;
	ups->config = config;
	roster_enter(roster, config);
	roster_leave(ups, before);
	passive_begin(ups);
	conns_raise(ups);
	return true;
}

void upstreams_settle(struct upstreams *ups)
{
	while (ups->gone != NULL) {
		struct endpoint_group *group = ups->gone;

		ups->gone = group->next;
		group_retire(ups, group, NULL);
	}
}

bool upstreams_unsettled(const struct upstreams *ups)
{
	return ups->gone != NULL;
}

void groups_release(struct upstreams *ups)
{
	for (struct endpoint_group *group = ups->gone, *next; group != NULL; group = next) {
		next = group->next;
		group_free(group);
	}
	for (size_t i = 0; ups->roster != NULL && i < ups->roster->count; i++)
		group_free(ups->roster->groups[i]);
	free(ups->roster);
}
