/*
 * Who is in service: a group of endpoints for each upstream of a configuration. How a group is found, which endpoints it takes
 * over from the roster of before, and how the next roster is made, in slices.
 */
#include "upstream/roster.h"

#include <stdlib.h>

#include "base/hash.h"
#include "upstream/balance.h"

/* --- finding -------------------------------------------------------------------------------------------------------- */

/* `hint` is where it stands if nothing has moved. */
struct endpoint_group *roster_find(const struct roster *roster, struct view name, size_t hint)
{
	if (roster == NULL)
		return NULL;
	if (hint < roster->count && roster->groups[hint] != NULL && view_eq(roster->groups[hint]->name, name))
		return roster->groups[hint];
	for (size_t i = 0; i < roster->count; i++)
		if (roster->groups[i] != NULL && view_eq(roster->groups[i]->name, name))
			return roster->groups[i];
	return NULL;
}

static struct endpoint_group *chain_find(struct endpoint_group *group, struct view name)
{
	while (group != NULL && !view_eq(group->name, name))
		group = group->next;
	return group;
}

struct endpoint_group *group_named(const struct upstreams *ups, struct view name)
{
	struct endpoint_group *group = roster_find(ups->roster, name, 0);

	if (group == NULL)
		group = chain_find(ups->gone, name);
	if (group == NULL)
		group = chain_find(ups->change.gone_before, name);
	return group != NULL ? group : roster_find(ups->change.leaving, name, 0);
}

struct endpoint_group *group_of(const struct upstreams *ups, const struct config_upstream *upstream)
{
	uint32_t index = upstream->index;

	if (index < ups->roster->count && ups->roster->groups[index]->of == upstream)
		return ups->roster->groups[index];
	return group_named(ups, upstream->name);
}

/* NULL: it is not among them. */
struct endpoint *group_find(const struct endpoint_group *group, const struct address *address, size_t hint)
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
void group_free(struct endpoint_group *group)
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

void roster_discard(struct roster *roster)
{
	for (size_t i = 0; i < roster->count; i++)
		group_discard(roster->groups[i]);
	free(roster);
}

uint64_t zone_hash(struct view zone)
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
	struct endpoint_group *group = line_calloc(sizeof(*group) + endpoints_bytes + upstream->name.n);

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

/* With room for all its endpoints, which are still to be made. NULL: out of memory. */
static struct endpoint_group *group_create(struct upstreams *ups, const struct config *config,
	const struct config_upstream *upstream, struct endpoint_budget *const *budgets)
{
	struct endpoint_group *group = group_alloc(config, upstream);

	if (group == NULL)
		return NULL;
	group->ups = ups;
	group->changes = upstream->endpoint_count > 0 ? budgets[0]->changes : NULL;
	if (!upstream->hedge.enabled || upstream->hedge.permille == 0)
		return group;
	group->latencies = calloc(1, sizeof(*group->latencies));
	if (group->latencies != NULL)
		return group;
	group_free(group);
	return NULL;
}

/* The group's next endpoint: the one that there is, if it can go on as it is, or a new one. False: out of memory. */
static bool group_fill(struct roster_making *m, struct endpoint_group *group, const struct config_upstream *upstream)
{
	const struct config_endpoint *config = &upstream->endpoints[group->count];
	struct weir_pool_config settings = endpoint_settings(upstream);
	struct endpoint *before = group_find(m->before, &config->address, group->count), *ep = before;
	char text[ADDRESS_TEXT_MAX];

	if (before == NULL || !endpoint_serves(before, upstream, &settings, m->tls_id,
				      endpoint_server_name(upstream, config, text))) {
		ep = endpoint_create(group->ups, upstream, config, m->budgets[group->count]);
		if (ep == NULL)
			return false;
		ep->before = before;
	}
	group->endpoints[group->count++] = ep;
	return true;
}

/* --- making, in slices ------------------------------------------------------------------------------------------------ */

bool making_begin(struct roster_making *m, const struct config *config, struct endpoint_budget *const *budgets)
{
	*m = (struct roster_making){.config = config, .budgets = budgets};
	m->roster = line_calloc(sizeof(*m->roster) + config->upstream_count * sizeof(struct endpoint_group *));
	return m->roster != NULL;
}

static bool making_next_group(struct roster_making *m, struct upstreams *ups)
{
	const struct config_upstream *upstream = &m->config->upstreams[m->roster->count];
	struct endpoint_group *group = group_create(ups, m->config, upstream, m->budgets);

	if (group == NULL)
		return false;
	m->tls_id = endpoint_tls_id(upstream);
	m->before = roster_find(ups->roster, upstream->name, m->roster->count);
	group->before = m->before;
	group->of = upstream;
	m->group = group;
	m->roster->groups[m->roster->count++] = group;
	return true;
}

enum { GROUP_COST = 2, ENDPOINT_COST = 4 };

enum upstreams_progress making_go_on(struct roster_making *m, struct upstreams *ups, int cost)
{
	for (; cost > 0; cost -= m->group != NULL ? ENDPOINT_COST : GROUP_COST) {
		if (m->group == NULL && m->roster->count == m->config->upstream_count)
			return UPSTREAMS_DONE;
		if (m->group == NULL) {
			if (!making_next_group(m, ups))
				return UPSTREAMS_NO_MEMORY;
			cost -= GROUP_COST;
		}

		const struct config_upstream *upstream = &m->config->upstreams[m->roster->count - 1];

		if (m->group->count < upstream->endpoint_count && !group_fill(m, m->group, upstream))
			return UPSTREAMS_NO_MEMORY;
		if (m->group->count == upstream->endpoint_count) {
			m->budgets += upstream->endpoint_count;
			m->group = NULL;
		}
	}
	return UPSTREAMS_MORE;
}
