/*
 * One run, in phases:
 *
 *	create -> rough (clients, faults) -> calm (no faults; probes must be answered) -> quiet (idle connections go)
 *	       -> drain -> free -> nothing is left
 *
 * After every turn rule 7 is checked; rule 8 is what the later phases are for. In some runs the drain comes while
 * clients are still busy, and the calm phase is left out.
 */
#include "sim_run_state.h"

#include <string.h>

#include "sim_books.h"
#include "sim_breakers.h"
#include "sim_faults.h"
#include "sim_health.h"
#include "sim_memory.h"
#include "sim_operator.h"
#include "sim_shapes.h"
#include "sim_times.h"
#include "sim_traces.h"

/* See is_spared(). */
#define SPARED_MAX 2

/* Until the gateway has seen a client go. */
#define PARTING_US 100000

struct sim_run run;

/* --- actors ------------------------------------------------------------------------------------------------------- */

static void client_add(const struct client_manners *manners, struct sim_request **requests, unsigned count)
{
	SIM_CHECK(run.client_count < CLIENTS_MAX);
	run.clients[run.client_count] = client_new(run.client_count, manners, requests, count);
	run.client_count++;
}

static void client_draw(void)
{
	struct sim_request *requests[CLIENT_REQUESTS_MAX];
	struct client_manners manners;
	unsigned count = 1 + (unsigned)world_below(7);
	uint64_t total = 0, answers_total = 0;

	for (unsigned i = 0; i < count; i++) {
		requests[i] = model_request(i == count - 1);
		total += requests[i]->wire_length + requests[i]->tunnel.ways[WAY_UP].bytes;
		answers_total += 500 + requests[i]->answer.content + requests[i]->tunnel.ways[WAY_DOWN].bytes;
	}
	manners_draw(&manners, total, answers_total);
	client_add(&manners, requests, count);
}

static bool clients_over(void)
{
	for (unsigned i = 0; i < run.client_count; i++)
		if (!client_is_over(run.clients[i]))
			return false;
	return true;
}

static void clients_free(void)
{
	for (unsigned i = 0; i < run.client_count; i++)
		client_free(run.clients[i]);
	run.client_count = 0;
}

static void on_jump(struct sim_event *event)
{
	uint64_t by_us = world_between(1000, 20000000);

	world_note(NOTE_JUMP, by_us, 0, 0);
	run.jumped_us += by_us;
	world_advance(world_now_us() + by_us);
}

static void on_drain(struct sim_event *event)
{
	gateway_drain(run.setup.drain_us);
}

static void mishaps_draw(void)
{
	for (int i = 0; i < JUMPS_MAX && faults.clock_jumps != 0; i++) {
		run.jumps[i].on_due = on_jump;
		if (world_chance(500))
			world_schedule(&run.jumps[i], world_now_us() + world_below(1000000));
	}
	run.drain.on_due = on_drain;
	operator_begin(&run.setup, &run.generation);
	if (faults.drain_midway != 0)
		world_schedule(&run.drain, world_now_us() + world_below(400000));
}

/* --- phases ------------------------------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
	static const uint64_t quanta[] = {0, 0, 100, 1000, 1000, 10000};

	world_begin(seed);
	faults_draw();
	oracle_begin();
	plan_draw(seed);
	world_set_quantum(quanta[world_below(6)]);
	world_set_shuffle(world_chance(500));
	memory_begin();
	network_draw();
	sim_io_begin();
	model_begin();
	run.draining = run.drained[0] = run.drained[1] = false;
	run.workers[0] = run.workers[1] = NULL;
	run.spared[0] = run.spared[1] = 0;
	run.finished = run.jumped_us = run.turns = 0;
	setup_draw(&run.setup);
	for (unsigned i = 0; i < run.setup.servers; i++)
		run.servers[i] = server_new(SERVER_PORT + i, &run.setup.pools[i]);
	traces_begin();
	times_begin();
	gateway_create();
	run.baseline_bytes = memory_live_bytes();
	world_note(NOTE_RUN, faults_mask(), run.setup.servers, run.setup.workers);
}

static void check_health(void)
{
	for (unsigned i = 0; i < run.setup.servers; i++)
		if (server_cannot_fail_checks(run.servers[i]))
			books_check_health(run.workers[0], SERVER_PORT + i);
}

static void phase_rough(void)
{
	unsigned clients = 1 + (unsigned)world_below(world_chance(150) ? CLIENTS_MAX : 10);

	for (unsigned i = 0; i < clients; i++)
		client_draw();
	mishaps_draw();
	if (!turns_until(clients_over, world_now_us() + 2 * run.setup.longest_us)) {
		for (unsigned i = 0; i < run.client_count; i++)
			if (!client_is_over(run.clients[i]))
				client_tell(run.clients[i]);
		world_violation("8: everything ends", "clients still wait");
	}
	clients_free();
	for (int i = 0; i < JUMPS_MAX; i++)
		world_cancel(&run.jumps[i]);
	world_cancel(&run.drain);
	operator_end();
	check_health();
	for (unsigned i = 0; i < run.setup.servers; i++)
		server_recover(run.servers[i]);
	traces_recover();
	faults_stop();
	memory_fail(0);
	reloads_finish();
}

/* Nobody asks for anything any more: whoever still waited for a connection has been told, the books are even. */
static void check_quiet(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++) {
		books_check_quiet(i, run.workers[i]);
		times_check_quiet(i, run.workers[i], run.tells[i], run.reloads == 0);
	}
	check_generations();
}

/* Nobody stays out for what it has done long ago. */
static void check_ejections(void)
{
	uint64_t since_us;

	for (unsigned i = 0; i < run.setup.servers && plan.passive; i++)
		if (books_is_ejected(run.workers[0], SERVER_PORT + i, &since_us))
			world_violation("7: who is ejected comes back", "port %u, since %llu us", SERVER_PORT + i,
				(unsigned long long)since_us);
}

/* It came when the last trial of a breaker was under way, which happens once to each: an endpoint's, and a route's. */
static bool is_spared(const struct sim_request *request)
{
	bool refused = strcmp(request->failure, "breaker_open") == 0 || (request->fell_back && !request_replied_whole(request));

	return plan.breakers && refused && run.spared[request->upstream]++ < SPARED_MAX;
}

static bool is_served(const struct sim_request *request)
{
	if (!request->answered)
		return false;
	if (is_spared(request))
		return true;
	return request_replied_whole(request) || (health_is_impatient() && strcmp(request->failure, "no_healthy_endpoint") == 0);
}

static void probe(unsigned upstream, uint64_t patience_us)
{
	struct client_manners manners = {.piece = 1 << 20, .read_piece = 1 << 20, .start_us = 0};
	struct sim_request *probes[2];

	for (int k = 0; k < 2; k++)
		probes[k] = model_probe(upstream);
	client_add(&manners, probes, 2);
	bool done = turns_until(clients_over, world_now_us() + patience_us);

	for (int k = 0; k < 2; k++)
		if (!done || !is_served(probes[k]))
			world_violation("8: after the faults everything is served",
				"probe %d of upstream %u (request %u): %s", k, upstream, probes[k]->id,
				probes[k]->answered ? probes[k]->failure : "no answer");
	clients_free();
}

static void check_tunnels(void)
{
	const struct sim_request *request;

	for (unsigned i = 0; (request = model_at(i)) != NULL; i++)
		tunnel_check_whole(request);
}

/*
 * Whatever has gone wrong before: a gateway without faults serves everybody. The first probes come as soon as attempts
 * to connect that hang and the longest back-off are over, whoever holds idle connections; the others after times in which
 * connections grow old.
 */
static void phase_calm(void)
{
	world_note(NOTE_PHASE, RUN_CALM, 0, 0);
	if (!turns_until(all_reloaded, world_now_us() + ADOPTED_US))
		world_violation("8: after the faults everything works", "a worker does not reload");
	if (!turns_until(nothing_runs, world_now_us() + run.setup.longest_us))
		world_violation("8: everything ends", "%llu connections, %llu exchanges without clients",
			(unsigned long long)connections_live(), (unsigned long long)exchanges_live());
	check_quiet();
	turns_until(never, world_now_us() + run.setup.recover_us);
	books_check_caps(&run.setup);
	check_ejections();
	check_tunnels();
	for (unsigned i = 0; i < 2 * plan.upstreams; i++) {
		if (!shapes_newest_has(i % plan.upstreams))
			continue;
		probe(i % plan.upstreams, run.setup.longest_us);
		turns_until(never, world_now_us() + PARTING_US);
		/* There may be no more than one connection of clients, and the gateway slow to see that it has ended. */
		turns_until(nothing_runs, world_now_us() + run.setup.longest_us);
	}
	for (unsigned i = 0; i < plan.upstreams; i++) {
		turns_until(never, world_now_us() + run.setup.settle_us);
		if (shapes_newest_has(i))
			probe(i, run.setup.longest_us);
	}
	/* An answer may be whole by its length before its stream has ended. */
	if (plan.servers_h2)
		turns_until(never, world_now_us() + PARTING_US);
	check_quiet();
	breakers_check_closed(run.workers[0], run.generation);
}

static void phase_quiet(void)
{
	unsigned connections = 0, listening = 0;

	world_note(NOTE_PHASE, RUN_QUIET, 0, 0);
	if (!turns_until(nothing_runs, world_now_us() + run.setup.longest_us))
		world_violation("8: every count is back", "%llu connections, %llu exchanges",
			(unsigned long long)connections_live(), (unsigned long long)exchanges_live());
	turns_until(never, world_now_us() + run.setup.settle_us);
	for (unsigned i = 0; i < run.setup.servers; i++) {
		const struct sim_pool *pool = &run.setup.pools[i];
		unsigned kept = pool->idle_min * run.setup.workers;

		if (kept > pool->connections * pool->streams)
			kept = pool->connections * pool->streams;
		connections += kept;
		/* Those that are kept are replaced when they are too old, and a server hears of it later. */
		if (kept == 0 && server_connections(run.servers[i]) > plan.health)
			world_violation("8: idle connections are closed", "server %u: %u", i,
				server_connections(run.servers[i]));
	}
	if (plan.health)
		connections += run.setup.servers;
	if (plan.traces)
		connections += COLLECTOR_CONNECTIONS;
	for (unsigned i = 0; i < run.setup.workers; i++)
		listening += sim_bound(run.ios[i]);
	if (sim_sockets_open() > listening + connections)
		world_violation("8: idle connections are closed", "%u sockets beyond the listeners, where %u are kept",
			sim_sockets_open() - listening, connections);
}

static void phase_end(void)
{
	gateway_drain(run.setup.drain_us);
	if (!turns_until(all_drained, world_now_us() + run.setup.drain_us + run.setup.longest_us))
		world_violation("8: draining ends", "%llu connections, %llu exchanges",
			(unsigned long long)connections_live(), (unsigned long long)exchanges_live());
	if (connections_live() != 0 || exchanges_live() != 0)
		world_violation("8: drained means that nothing is left", "%llu connections, %llu exchanges",
			(unsigned long long)connections_live(), (unsigned long long)exchanges_live());
	gateway_free();
	traces_end();
	for (unsigned i = 0; i < run.setup.servers; i++)
		server_free(run.servers[i]);
	model_end();
	world_end();
	if (memory_live_count() != 0) {
		memory_tell_live();
		world_violation("8: no memory is left behind", "%zu pieces, %zu bytes", memory_live_count(),
			memory_live_bytes());
	}
	if (sockets_live() != 0 || sim_sockets_open() != 0)
		world_violation("8: no socket is left behind", "%u connections, %u descriptors", sockets_live(),
			sim_sockets_open());
}

uint64_t sim_run(uint64_t seed)
{
	begin(seed);
	phase_rough();
	if (!run.draining) {
		phase_calm();
		phase_quiet();
	}
	phase_end();
	return world_hash();
}
