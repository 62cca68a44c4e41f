#include "sim_books.h"

#include <stdio.h>

#include "gateway/state.h"
#include "sim_collector.h"
#include "sim_io.h"
#include "sim_model.h"
#include "upstream/probing.h"
#include "upstream/session.h"

/* Over all runs, of the pools that were in service at the end. */
static struct {
	uint64_t overflowed, leaking, health_passed, health_failed, ejections;
	uint64_t closes[WEIR_POOL_CLOSE_REASONS];
	uint64_t refusals[WEIR_POOL_REFUSALS];
} tally;

/* Of the i-th that serves requests; that of the collector stands behind them. */
static const struct config_endpoint *endpoint_at(struct worker *worker, size_t i, struct upstream_endpoint_stats *stats)
{
	const struct config_upstream *upstream;
	const struct config_endpoint *endpoint;
	bool is_there = upstreams_endpoint_stats(worker_upstreams(worker), i, &upstream, &endpoint, stats);

	return is_there && address_port(&endpoint->address) != COLLECTOR_PORT ? endpoint : NULL;
}

static bool stats_of(struct worker *worker, size_t i, struct upstream_endpoint_stats *stats)
{
	return endpoint_at(worker, i, stats) != NULL;
}

#define STALLED_US 100000

/* Who was seated there since has nothing to hope for. */
static void stall_check(unsigned worker_number, const struct session *s)
{
	uint64_t since_us = h2_session_facts(s->h2.session).shut_since_us;

	if (since_us == UINT64_MAX)
		return;
	list_each_safe(&s->granted, node, next) {
		const struct upstream_place *place = container_of(node, struct upstream_place, node);

		if (place->has_stream && place->leased_us > since_us + STALLED_US)
			world_violation("7: nobody is seated where nothing is taken", "worker %u: at %llu us, shut since %llu us",
				worker_number, (unsigned long long)place->leased_us, (unsigned long long)since_us);
	}
}

/*
 * What rests is handed out as it is: a place for which the peer allows no stream would wait in vain. That a session has stalled is
 * found out only when somebody asks for a place.
 */
static void session_check(unsigned worker_number, const struct session *s)
{
	uint32_t resting = 0;

	if (s->state == SESSION_OPEN)
		stall_check(worker_number, s);
	if (!session_is_sound(s) || session_is_stalled(s) || s->granted_count <= session_room(s))
		return;
	list_each_safe(&s->granted, node, next)
		resting += container_of(node, struct upstream_place, node)->conn->state == UPSTREAM_CONN_RESTING;
	if (resting > 0)
		world_violation("7: nothing rests beyond what the peer allows", "worker %u: %u of %u places, %u allowed",
			worker_number, resting, s->granted_count, session_room(s));
}

void books_check_sessions(unsigned worker_number, struct worker *worker)
{
	list_each_safe(&worker_upstreams(worker)->endpoints, node, next) {
		struct endpoint *ep = container_of(node, struct endpoint, node);

		list_each_safe(&ep->sessions, of_session, behind)
			session_check(worker_number, container_of(of_session, struct session, node));
	}
}

static uint64_t hedged_count(const struct worker *worker)
{
	uint64_t count = 0;

	list_each_safe(&worker->exchanges, node, next)
		count += container_of(node, struct exchange, node)->hedge != NULL;
	return count;
}

/* Whoever holds a lease, or waits for one, is an exchange that lives, and has one at a time; two while it is hedged. */
void books_check(unsigned worker_number, struct worker *worker, uint64_t exchanges)
{
	struct upstream_endpoint_stats stats;
	uint64_t borrowers = 0;

	for (size_t i = 0; stats_of(worker, i, &stats); i++) {
		const struct weir_pool_stats *pool = &stats.pool;

		borrowers += (uint64_t)pool->leased + pool->waiting;
		if (pool->double_give_backs + pool->stale_give_backs + pool->foreign_give_backs + pool->bad_reports != 0)
			world_violation("7: leases are given back once", "worker %u, endpoint %zu", worker_number, i);
		if (stats.audit_mismatch != 0)
			world_violation("7: the books balance", "worker %u, endpoint %zu: the self-audit has found it",
				worker_number, i);
	}
	if (borrowers > exchanges && borrowers > exchanges + hedged_count(worker))
		world_violation("7: whoever borrows is alive",
			"worker %u: %llu leases and waiters, %llu exchanges", worker_number,
			(unsigned long long)borrowers, (unsigned long long)exchanges);
}

/* As long as the upstream takes content, what stands before the client's end is read. */
static bool lives_on(const struct exchange *ex)
{
	const struct client *client = ex->client;

	/* With HTTP/2 streams end with their connection, and that as soon as it is read. */
	if (plan.clients_h2 || !client->h1.conn.peer_closed || client->listener->config->half_close != HALF_CLOSE_ABORT)
		return false;
	switch ((enum exchange_state)ex->state) {
	case EXCHANGE_FILTERING:
	case EXCHANGE_LEASING:
	case EXCHANGE_WAITING: return true;
	case EXCHANGE_EXPECTING:
	case EXCHANGE_REQUESTING:
	case EXCHANGE_RESPONDING: return ex->sent_us != 0 || stream_blocked(ex->lease.stream);
	default: return false;
	}
}

void books_check_left(unsigned worker_number, const struct worker *worker)
{
	/* Clients are looked at one after the other, and what their end means may be another thing now. */
	if (worker_is_reloading(worker))
		return;
	list_each_safe(&worker->exchanges, node, next) {
		const struct exchange *ex = container_of(node, struct exchange, node);

		if (lives_on(ex))
			world_violation("7: nothing lives on for a client that has left", "worker %u, state %u",
				worker_number, ex->state);
	}
}

void books_check_excess(const struct sim_setup *setup, struct worker *worker)
{
	const struct config_endpoint *endpoint;
	struct upstream_endpoint_stats stats;

	for (size_t i = 0; (endpoint = endpoint_at(worker, i, &stats)) != NULL; i++) {
		const struct sim_port *port = sim_port_find(address_port(&endpoint->address));
		unsigned cap = setup->pools[port->port - SERVER_PORT].connections;

		if (stats.pool.idle > 0 && port->held - port->checks > cap)
			world_violation("7: what is beyond the cap goes as it comes back",
				"port %u: %u connections, %u idle, the cap is %u", port->port, port->held,
				stats.pool.idle, cap);
	}
}

/* False: it is not in service. */
static bool stats_at(struct worker *worker, unsigned port, struct upstream_endpoint_stats *stats)
{
	const struct config_endpoint *endpoint;

	for (size_t i = 0; (endpoint = endpoint_at(worker, i, stats)) != NULL; i++)
		if (address_port(&endpoint->address) == port)
			return true;
	return false;
}

void books_check_health(struct worker *worker, unsigned port)
{
	struct upstream_endpoint_stats stats;

	if (stats_at(worker, port, &stats) && stats.health_failed != 0)
		world_violation("6: a health check fails for what the server does", "port %u: %llu of %llu failed",
			port, (unsigned long long)stats.health_failed,
			(unsigned long long)(stats.health_failed + stats.health_passed));
}

bool books_serves_since(struct worker *worker, unsigned port, uint64_t since_us)
{
	struct upstream_endpoint_stats stats;

	return stats_at(worker, port, &stats) && stats.out == 0 &&
	       (stats.health_reason == HEALTH_UNCHANGED || world_now_us() - stats.health_changed_us < since_us);
}

bool books_is_unhealthy(struct worker *worker, unsigned port)
{
	struct upstream_endpoint_stats stats;

	return stats_at(worker, port, &stats) && stats.health_state == HEALTH_UNHEALTHY;
}

bool books_is_ejected(struct worker *worker, unsigned port, uint64_t *since_us)
{
	struct upstream_endpoint_stats stats;

	if (!stats_at(worker, port, &stats) || stats.health_state != HEALTH_EJECTED || stats.panic != 0)
		return false;
	*since_us = world_now_us() - stats.health_changed_us;
	return true;
}

bool books_is_check(struct worker *worker, const struct io_source *source)
{
	list_each_safe(&worker_upstreams(worker)->endpoints, node, next) {
		const struct probe *probe = container_of(node, struct endpoint, node)->prober.probe;

		if (probe != NULL && &probe->h1.conn.source == source)
			return true;
	}
	return false;
}

void books_check_quiet(unsigned worker_number, struct worker *worker)
{
	struct upstream_endpoint_stats stats;

	for (size_t i = 0; stats_of(worker, i, &stats); i++) {
		const struct weir_pool_stats *pool = &stats.pool;

		if (pool->leased != 0 || pool->waiting != 0 || stats.active != 0)
			world_violation("8: every count is back", "worker %u, endpoint %zu: %u leased, %u waiting, %llu there",
				worker_number, i, pool->leased, pool->waiting, (unsigned long long)stats.active);
		if (pool->opened - pool->closed != pool->idle + pool->checking + pool->closing)
			world_violation("8: every count is back", "worker %u, endpoint %zu: %llu open, %u idle",
				worker_number, i, (unsigned long long)(pool->opened - pool->closed), pool->idle);
	}
}

/*
 * With HTTP/2 the pool counts streams, and each worker may have one connection that is not full. Those that are past their
 * lifetime go as they become empty, beside those that are not.
 */
static unsigned caps_of(const struct sim_setup *setup, const struct sim_pool *pool)
{
	unsigned most = pool->connections + setup->workers - 1;

	if (!plan.servers_h2)
		return pool->connections;
	return setup->connections_age ? 2 * most : most;
}

void books_check_caps(const struct sim_setup *setup)
{
	for (unsigned i = 0; i < setup->servers; i++) {
		const struct sim_port *port = sim_port_find(SERVER_PORT + i);
		unsigned cap = caps_of(setup, &setup->pools[i]) + plan.health;

		if (port->held > cap)
			world_violation("8: what is beyond the cap goes", "port %u: %u connections, the cap is %u",
				port->port, port->held, cap);
	}
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

static const char *const close_words[WEIR_POOL_CLOSE_REASONS] = {
	[WEIR_POOL_CLOSE_DISCARDED] = "discarded", [WEIR_POOL_CLOSE_SPOILED] = "spoiled",
	[WEIR_POOL_CLOSE_IDLE] = "idle", [WEIR_POOL_CLOSE_LIFETIME] = "lifetime", [WEIR_POOL_CLOSE_USES] = "uses",
	[WEIR_POOL_CLOSE_TRIMMED] = "trimmed", [WEIR_POOL_CLOSE_OVERFLOW] = "overflow",
	[WEIR_POOL_CLOSE_CHECK_FAILED] = "check failed", [WEIR_POOL_CLOSE_YIELDED] = "yielded",
	[WEIR_POOL_CLOSE_RECLAIMED] = "reclaimed", [WEIR_POOL_CLOSE_RENEWED] = "renewed",
	[WEIR_POOL_CLOSE_POOL] = "pool"};

struct try_book books_tries(struct worker *worker)
{
	struct upstream_endpoint_stats stats;
	struct try_book sum = {0};

	for (size_t i = 0; stats_of(worker, i, &stats); i++)
		try_book_add(&sum, &stats.times);
	return sum;
}

void books_tally(struct worker *worker)
{
	struct upstream_endpoint_stats stats;

	for (size_t i = 0; stats_of(worker, i, &stats); i++) {
		tally.overflowed += stats.pool.overflowed;
		for (int why = 0; why < WEIR_POOL_REFUSALS; why++)
			tally.refusals[why] += stats.pool.refusals[why];
		tally.leaking += stats.leaking;
		tally.health_passed += stats.health_passed;
		tally.health_failed += stats.health_failed;
		for (unsigned why = 0; why < HEALTH_REASONS; why++)
			tally.ejections += stats.ejections[why];
		for (unsigned why = 0; why < WEIR_POOL_CLOSE_REASONS; why++)
			tally.closes[why] += stats.pool.closes[why];
	}
}

void books_tell_tally(void)
{
	printf("health checks passed %llu, failed %llu; ejections %llu\n", (unsigned long long)tally.health_passed,
		(unsigned long long)tally.health_failed, (unsigned long long)tally.ejections);
	printf("refused: queue full %llu, shed %llu, late %llu\n", (unsigned long long)tally.refusals[WEIR_POOL_QUEUE_FULL],
		(unsigned long long)tally.refusals[WEIR_POOL_SHED], (unsigned long long)tally.refusals[WEIR_POOL_LATE]);
	printf("opened beyond the cap %llu, leaking %llu; closed:", (unsigned long long)tally.overflowed,
		(unsigned long long)tally.leaking);
	for (unsigned why = 0; why < WEIR_POOL_CLOSE_REASONS; why++)
		printf(" %s %llu", close_words[why], (unsigned long long)tally.closes[why]);
	printf("\n");
}

/* The gateway has no checks, and renews nothing yet. */
bool books_tally_is_full(const char **what)
{
	*what = "connections beyond the cap";
	if (tally.overflowed == 0)
		return false;
	for (unsigned why = 0; why < WEIR_POOL_CLOSE_REASONS; why++) {
		*what = close_words[why];
		if (tally.closes[why] == 0 && why != WEIR_POOL_CLOSE_CHECK_FAILED && why != WEIR_POOL_CLOSE_RENEWED)
			return false;
	}
	return true;
}
