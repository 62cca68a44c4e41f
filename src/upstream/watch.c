/*
 * The watch: whether the books are right, and whether somebody has forgotten a connection.
 *
 * Once a second the endpoints' books are recounted, in turn and only as many as WATCH_COST allows, so that no other event of
 * the loop has to wait for it: the next second goes on where this one has ended. A single pool is always recounted as a
 * whole; what that costs beyond WATCH_COST is made up for by waiting as many times longer for the next. So recounting has
 * the same small share of the worker's time whatever the size. What does not agree is a bug: counted each time, told when
 * it is new.
 *
 * A lease that has been held for long is asked of by the pool; whoever holds it knows whether it is in use.
 */
#include "base/check.h"
#include "base/planted.h"
#include "upstream/endpoint.h"

#define WATCH_US (1 * US_PER_S)
/* Connections and waiters that are looked at in one go; some 100 us. */
#define WATCH_COST 10000

/* --- the self-audit ----------------------------------------------------------------------------------------------- */

/* What the room itself knows, against the pool's counts. */
static const char *conns_audit(const struct endpoint *ep, const struct weir_pool_stats *stats)
{
	uint32_t in[UPSTREAM_CONN_CLOSED + 1] = {0};

	list_each_safe(&ep->conns, node, next) {
		const struct upstream_conn *uc = container_of(node, struct upstream_conn, node);
		bool has_holder = uc->state == UPSTREAM_CONN_HELD || uc->state == UPSTREAM_CONN_RECLAIMED;

		if (has_holder != (uc->lease != NULL))
			return "a connection's state and its holder contradict each other";
		in[uc->state]++;
	}
	uint32_t held = in[UPSTREAM_CONN_HELD], resting = in[UPSTREAM_CONN_RESTING];

	if (in[UPSTREAM_CONN_RECLAIMED] + in[UPSTREAM_CONN_SPENT] + in[UPSTREAM_CONN_CLOSED] > 0)
		return "a connection was not closed in the call in which it was given up";
	if (in[UPSTREAM_CONN_CONNECTING] != stats->connecting)
		return "connecting sockets and the pool's count differ";
	/* A connection that was delivered but not collected is leased in the pool and has no holder here yet. */
	if (held + resting != stats->leased + stats->idle + stats->checking || held > stats->leased)
		return "open sockets and the pool's count differ";
	/* Outcomes that are still to be told are counted here and not there. */
	if (ep->active < held + stats->waiting)
		return "fewer leases are counted as active than there are";
	if (ep->active > held + stats->waiting && !list_linked(&ep->run.node) && !ep->running)
		return "more leases are counted as active than there are";
	return NULL;
}

const char *endpoint_audit(const struct endpoint *ep)
{
	struct weir_pool_stats stats;
	const char *wrong = weir_pool_audit(ep->pool);

	if (wrong != NULL)
		return wrong;
	wrong = sessions_audit(ep);
	if (wrong != NULL)
		return wrong;
	weir_pool_stats(ep->pool, &stats);
	return conns_audit(ep, &stats);
}

/* When the clock has leapt all timers are due in one tick: what the pool has still to do in it is not missing. */
static bool is_overtaken(const struct endpoint *ep)
{
	return io_timer_armed(&ep->timer) && ep->timer.deadline_us <= io_now_us(ep->ups->io);
}

/* Longer than most answers take: whoever comes in a crowd is not taken for one who stays. */
#define LONG_US (1 * US_PER_S)

static void note_held(struct upstream_endpoint_stats *stats, struct upstream_lease *lease, uint64_t now_us)
{
	uint64_t owed_us = !lease->reported && lease->ops->owed_since != NULL ? lease->ops->owed_since(lease) : 0;

	stats->held_long += lease->held_since_us + LONG_US <= now_us;
	stats->owed += owed_us != 0;
	stats->owed_long += owed_us != 0 && owed_us + LONG_US <= now_us;
}

/* Who is there, and who waits for an answer. */
static void survey_held(struct endpoint *ep, uint64_t now_us)
{
	struct upstream_endpoint_stats *stats = &ep->stats;

	stats->owed = stats->owed_long = stats->held_long = 0;
	if (ep->held == 0)
		return;
	list_each_safe(&ep->conns, node, next) {
		struct upstream_lease *lease = container_of(node, struct upstream_conn, node)->lease;

		if (lease != NULL)
			note_held(stats, lease, now_us);
	}
}

static void endpoint_recount(struct endpoint *ep)
{
	const char *wrong = is_overtaken(ep) ? NULL : endpoint_audit(ep);

	concurrency_sweep(ep, io_now_us(ep->ups->io));
	survey_held(ep, io_now_us(ep->ups->io));
	ep->stats.audits++;
	ep->stats.audit_mismatch += wrong != NULL;
	if (wrong != NULL && wrong != ep->mismatch)
		endpoint_tell_bug(ep, "the books do not agree: %s", wrong);
	ep->mismatch = wrong;
}

/* About how much there is to look at: places that were ever used, and who waits. */
static uint64_t recount_cost(const struct endpoint *ep)
{
	uint64_t places = (uint64_t)ep->settings.connections_max + ep->settings.overflow_max;
	struct weir_pool_stats stats;

	weir_pool_stats(ep->pool, &stats);

	uint64_t opens = stats.opened + stats.open_failed + stats.connecting;

	return 1 + (opens < places ? opens : places) + stats.waiting;
}

/* Until the next turn, after one of that cost. */
static uint64_t watch_pause_us(uint64_t cost)
{
	return cost <= WATCH_COST ? WATCH_US : WATCH_US * cost / WATCH_COST;
}

static void on_watch(struct io_timer *timer)
{
	struct upstreams *ups = container_of(timer, struct upstreams, watch);
	uint64_t cost = 0;
	size_t left = 0;

	list_each_safe(&ups->endpoints, node, next)
		left++;
	for (; left > 0 && cost < WATCH_COST; left--) {
		struct list_node *node = list_pop_front(&ups->endpoints);
		struct endpoint *ep = container_of(node, struct endpoint, node);

		/* Who has been looked at stands last. */
		list_push_back(&ups->endpoints, node);
		if (ep->state == ENDPOINT_CLOSED)
			continue;
		cost += recount_cost(ep);
		endpoint_recount(ep);
	}
	io_timer_set(ups->io, timer, deadline_after(io_now_us(ups->io), watch_pause_us(cost)));
}

void watch_start(struct upstreams *ups)
{
	ups->watch.on_fire = on_watch;
	io_timer_set(ups->io, &ups->watch, deadline_after(io_now_us(ups->io), WATCH_US));
}

void watch_stop(struct upstreams *ups)
{
	io_timer_cancel(ups->io, &ups->watch);
}

/* --- leases held for long ----------------------------------------------------------------------------------------- */

/* Whoever holds it knows whether it is in use. */
static bool in_use(const struct endpoint *ep, struct upstream_lease *lease, enum weir_pool_overdue what)
{
	return lease->ops->on_overdue == NULL || lease->ops->on_overdue(lease, what, ep->settings.leak_after_us);
}

void watch_overdue(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what)
{
	struct endpoint *ep = owner;
	struct upstream_conn *uc = connection;
	struct upstream_lease *lease = uc->lease;
	bool reclaimed = what == WEIR_POOL_RECLAIMED;

	if (lease == NULL) {
		if (reclaimed)
			upstream_conn_enter(uc, UPSTREAM_CONN_SPENT);
		endpoint_tell_bug(ep, "connection %u has been leased for %llu ms and nobody holds it%s", slot,
			(unsigned long long)(held_us / US_PER_MS), reclaimed ? "; it is closed" : "");
	} else if (reclaimed && PLANTED(RECLAIM_FORGETS_HOLDER)) {
		return;
	} else {
		if (reclaimed)
			upstream_conn_enter(uc, UPSTREAM_CONN_RECLAIMED);
		if (in_use(ep, lease, what)) {
			if (reclaimed)
				upstream_conn_enter(uc, UPSTREAM_CONN_HELD);
			weir_pool_touch(ep->pool, lease->waiter.lease, io_now_us(ep->ups->io));
			return;
		}
	}
	/* The pool closes it next, and nobody may hold it then. */
	CHECK(lease == NULL || !reclaimed || lease->stage == LEASE_NONE);
	ep->stats.leaking += !reclaimed;
}
