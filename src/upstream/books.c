/*
 * What is counted of endpoints.
 *
 *     in service --older--> draining --older--> draining, for longer
 *                <--newer--          <--newer--
 *
 * A reload that changes an endpoint's pool settings gives it a successor. To whoever asks they are one: its counts are
 * those of all of them, and one that is freed leaves its counts to the next newer one. So no counter goes back.
 */
#include <stddef.h>

#include "upstream/endpoint.h"

/* Memory that is counters of 64 bits and nothing else. */
static void counters_add(void *to, const void *from, size_t bytes)
{
	uint64_t *sum = to;
	const uint64_t *more = from;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		sum[i] += more[i];
}

/* The present counts stand in front, and behind them only counters of 64 bits. */
static void pool_stats_add(struct weir_pool_stats *to, const struct weir_pool_stats *from)
{
	_Static_assert(offsetof(struct weir_pool_stats, opened) == 6 * sizeof(uint32_t), "six present counts");
	_Static_assert(offsetof(struct weir_pool_stats, use) + sizeof(to->use) == sizeof(*to), "they end with times");
	_Static_assert(sizeof(struct weir_pool_times) % sizeof(uint64_t) == 0, "which are counters, too");
	to->idle += from->idle;
	to->connecting += from->connecting;
	to->checking += from->checking;
	to->leased += from->leased;
	to->closing += from->closing;
	to->waiting += from->waiting;
	counters_add(&to->opened, &from->opened, sizeof(*to) - offsetof(struct weir_pool_stats, opened));
}

void upstream_endpoint_stats_add(struct upstream_endpoint_stats *to, const struct upstream_endpoint_stats *from)
{
	pool_stats_add(&to->pool, &from->pool);
	counters_add(to->retries, from->retries, sizeof(to->retries));
	counters_add(to->tried_again, from->tried_again, sizeof(to->tried_again));
	to->retries_denied += from->retries_denied;
	counters_add(to->open_failed, from->open_failed, sizeof(to->open_failed));
	to->sessions += from->sessions;
	to->sessions_opened += from->sessions_opened;
	to->health_passed += from->health_passed;
	to->health_failed += from->health_failed;
	to->out |= from->out;
	to->panic |= from->panic;
	to->disabled |= from->disabled;
	to->weight = from->weight;
	to->set = from->set;
	to->active += from->active;
	to->health_state |= from->health_state;
	to->health_reason |= from->health_reason;
	to->health_changed_us |= from->health_changed_us;
	counters_add(to->ejections, from->ejections, sizeof(to->ejections));
	to->ports_exhausted += from->ports_exhausted;
	counters_add(&to->curve, &from->curve, sizeof(to->curve));
	to->early += from->early;
	to->silent += from->silent;
	to->broken += from->broken;
	to->errors += from->errors;
	to->owed += from->owed;
	to->owed_long += from->owed_long;
	to->held_long += from->held_long;
	to->hedges += from->hedges;
	to->hedges_won += from->hedges_won;
	try_book_add(&to->times, &from->times);
	to->breaker_opened += from->breaker_opened;
	to->breaker_state = from->breaker_state;
	to->leaking += from->leaking;
	to->audits += from->audits;
	to->audit_mismatch += from->audit_mismatch;
	if (from->concurrency.told)
		to->concurrency = from->concurrency;
	to->learned_idle_us = idle_close_shorter(to->learned_idle_us, from->learned_idle_us);
	to->announced_idle_us = idle_close_shorter(to->announced_idle_us, from->announced_idle_us);
}

/* What this one counts itself, and was left. */
static void endpoint_stats_add(struct upstream_endpoint_stats *to, const struct endpoint *ep)
{
	struct weir_pool_stats now;

	weir_pool_stats(ep->pool, &now);
	upstream_endpoint_stats_add(to, &ep->stats);
	pool_stats_add(&to->pool, &now);
	to->active += ep->active;
}

void endpoint_succeed(struct endpoint *ep, struct endpoint *before)
{
	while (ep->older != NULL)
		ep = ep->older;
	ep->older = before;
	before->newer = ep;
}

void endpoint_bequeath(struct endpoint *ep)
{
	if (ep->older != NULL)
		ep->older->newer = ep->newer;
	if (ep->newer == NULL)
		return;
	ep->newer->older = ep->older;

	/* These are no counts: the heir has had them since it came, and may know better meanwhile. */
	struct upstream_endpoint_stats *heir = &ep->newer->stats, own = *heir;

	endpoint_stats_add(heir, ep);
	heir->learned_idle_us = own.learned_idle_us;
	heir->announced_idle_us = own.announced_idle_us;
	heir->owed = own.owed;
	heir->owed_long = own.owed_long;
	heir->held_long = own.held_long;
}

/* What all workers would tell alike is told by the first. */
static void health_stats(const struct endpoint *ep, struct upstream_endpoint_stats *stats)
{
	const struct health_record *record = &ep->budget->health;
	unsigned out = endpoint_budget_out(ep->budget);
	uint64_t changed_us;

	stats->out = (out & ~(unsigned)OUT_PANIC) != 0;
	stats->panic = (out & OUT_PANIC) != 0;
	stats->disabled = (out & OUT_DISABLED) != 0;
	stats->weight = endpoint_weight(ep);
	stats->set = atomic_load_explicit(&ep->budget->set, memory_order_relaxed);
	if (!ep->ups->probes)
		return;
	stats->health_state = health_state(ep);
	stats->health_reason = atomic_load_explicit(&record->reason, memory_order_relaxed);
	changed_us = atomic_load_explicit(&record->changed_us, memory_order_relaxed);
	stats->health_changed_us = changed_us == 0 ? 0 : io_now_us(ep->ups->io) - changed_us;
	for (size_t i = 0; i < HEALTH_REASONS; i++)
		stats->ejections[i] = atomic_load_explicit(&record->ejections[i], memory_order_relaxed);
}

bool upstreams_endpoint_stats(const struct upstreams *ups, size_t i, const struct config_upstream **upstream,
	const struct config_endpoint **endpoint, struct upstream_endpoint_stats *stats)
{
	for (size_t at = 0; at < ups->roster->count; at++) {
		const struct endpoint_group *group = ups->roster->groups[at];

		if (i < group->count) {
			*upstream = &ups->config->upstreams[at];
			*endpoint = &(*upstream)->endpoints[i];
			*stats = (struct upstream_endpoint_stats){0};
			for (const struct endpoint *ep = group->endpoints[i]; ep != NULL; ep = ep->older)
				endpoint_stats_add(stats, ep);
			health_stats(group->endpoints[i], stats);
			concurrency_tell(group->endpoints[i]->budget, stats, io_now_us(ups->io));
			stats->breaker_state = shared_breaker_state(&group->endpoints[i]->budget->breaker);
			return true;
		}
		i -= group->count;
	}
	return false;
}
