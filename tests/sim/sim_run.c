/*
 * One run, in phases:
 *
 *	create -> rough (clients, faults) -> calm (no faults; probes must be answered) -> quiet (idle connections go)
 *	       -> drain -> free -> nothing is left
 *
 * After every turn rule 7 is checked; rule 8 is what the later phases are for. In some runs the drain comes while
 * clients are still busy, and the calm phase is left out.
 */
#include "sim_run.h"

#include <string.h>

#include "filters/filters.h"
#include "gateway/oldest.h"
#include "gateway/worker.h"
#include "sim_actors.h"
#include "sim_books.h"
#include "sim_breakers.h"
#include "sim_config.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_health.h"
#include "sim_limits.h"
#include "sim_memory.h"
#include "sim_operator.h"
#include "sim_record.h"
#include "sim_refusals.h"
#include "sim_times.h"
#include "sim_traces.h"

#define WORKERS_MAX 2
#define CLIENTS_MAX 24
#define TURNS_MAX 3000000
#define JUMPS_MAX 4
#define RELOADS_MAX 4
#define BULKS 3

/* Rule 7: what one exchange may hold, and what everything else may. */
#define EXCHANGE_BYTES_MAX (256 * KIB)
/* With HTTP/2 a window of content on its way in, and as much on its way out, in memory that has doubled as it grew. */
#define EXCHANGE_H2_BYTES_MAX (1280 * KIB)
#define SESSION_BYTES_MAX (256 * KIB)
#define SLACK_BYTES (768 * KIB)

/* See is_spared(). */
#define SPARED_MAX 2

/* Until the gateway has seen a client go. */
#define PARTING_US 100000

/* Until all workers have a configuration. */
#define ADOPTED_US 50000

enum run_phase { RUN_ROUGH, RUN_CALM, RUN_QUIET, RUN_DRAIN, RUN_OVER };

static struct {
	struct sim_setup setup;
	struct shared *shared;
	struct generation *generation;
	struct generation *before[RELOADS_MAX];  /* those that are to be freed by and by; NULL: nobody looks */
	unsigned reloads;
	struct sim_event reload[RELOADS_MAX], adopt[WORKERS_MAX];
	struct io *ios[WORKERS_MAX];
	struct worker *workers[WORKERS_MAX];
	bool draining, drained[WORKERS_MAX];
	bool tells[WORKERS_MAX];  /* the worker hands records over */
	uint64_t finished;  /* records that were handed over */
	struct sim_server *servers[SERVERS_MAX];
	struct sim_client *clients[CLIENTS_MAX];
	unsigned client_count;
	struct sim_event jumps[JUMPS_MAX], drain;
	uint64_t jumped_us;
	unsigned spared[UPSTREAMS_MAX];  /* probes that a breaker has turned away */
	size_t baseline_bytes;
	uint64_t turns;
} run;

/* --- reloading ---------------------------------------------------------------------------------------------------- */

static void adopt_due(struct sim_event *event)
{
	unsigned i = (unsigned)(event - run.adopt);

	/* One at a time. */
	if (worker_is_reloading(run.workers[i]) || !refusals_reload(run.workers[i], i, run.generation))
		world_schedule(event, world_now_us() + refusals_pause_us());
}

static void on_reloaded(void *context, bool taken)
{
	uintptr_t i = (uintptr_t)context;

	world_note(NOTE_RELOAD, i, run.reloads, taken);
	refusals_told(run.workers[i], (unsigned)i, taken);
	if (!taken && !run.draining)
		world_schedule(&run.adopt[i], world_now_us() + refusals_pause_us());
}

/* Who looks at an old one holds a reference, so that it could not be seen to go too early: not always. */
static void generation_replace(struct generation *generation)
{
	struct generation *before = run.generation;

	run.generation = generation;
	shapes_enter(generation, &run.setup.shape);
	operator_reloaded();
	if (world_chance(500))
		run.before[run.reloads] = before;
	else
		generation_unref(before);
	run.reloads++;
	for (unsigned i = 0; i < run.setup.servers; i++)
		server_pool_changes(run.servers[i], &run.setup.pools[i]);
	for (unsigned i = 0; i < run.setup.workers; i++)
		world_schedule(&run.adopt[i], world_now_us() + (world_chance(500) ? 0 : world_below(5000)));
}

static void on_reload(struct sim_event *event)
{
	struct sim_setup setup = run.setup;
	const struct config *config;
	struct generation *generation;

	memory_fail(0);
	config = setup_redraw(&setup);
	memory_fail(faults.alloc_fails);
	generation = refusals_create(run.shared, config);
	if (generation == NULL) {
		config_free(config);
		return;
	}
	run.setup = setup;
	generation_replace(generation);
}

/* Nothing runs any more: nobody has a reference to an old one, but for those that are looked at here. */
static void check_generations(void)
{
	for (unsigned i = 0; i < run.reloads; i++) {
		if (run.before[i] == NULL)
			continue;
		if (atomic_load(&run.before[i]->references) != 1)
			world_violation("8: what is replaced is freed", "generation %u has %u references", i + 1,
				atomic_load(&run.before[i]->references) - 1);
		generation_unref(run.before[i]);
		run.before[i] = NULL;
	}
}

static void reloads_draw(void)
{
	run.reloads = 0;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		run.adopt[i].on_due = adopt_due;
	for (unsigned i = 0; i < RELOADS_MAX; i++) {
		run.before[i] = NULL;
		run.reload[i].on_due = on_reload;
		if (faults.reloads != 0 && world_chance(400))
			world_schedule(&run.reload[i], world_now_us() + world_below(world_chance(500) ? 100000 : 1000000));
	}
}

/* What was drawn too late for the clients, or found no memory, is done now. */
static void reloads_finish(void)
{
	for (unsigned i = 0; i < RELOADS_MAX; i++)
		world_cancel(&run.reload[i]);
	for (unsigned i = 0; i < run.setup.workers; i++) {
		world_cancel(&run.adopt[i]);
		world_schedule(&run.adopt[i], world_now_us());
	}
}

unsigned run_oldest_generation(void)
{
	uint64_t oldest = run.generation->number;

	for (unsigned i = 0; i < run.setup.workers; i++)
		if (worker_generation(run.workers[i])->number < oldest)
			oldest = worker_generation(run.workers[i])->number;
	return (unsigned)oldest;
}

unsigned run_latest_generation(void)
{
	uint64_t latest = 0;

	for (unsigned i = 0; i < run.setup.workers; i++)
		if (worker_generation(run.workers[i])->number > latest)
			latest = worker_generation(run.workers[i])->number;
	return (unsigned)latest;
}

static bool all_reloaded(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (worker_is_reloading(run.workers[i]) || worker_generation(run.workers[i]) != run.generation)
			return false;
	return true;
}

/* --- the gateway -------------------------------------------------------------------------------------------------- */

static void on_finished(void *context, const struct exchange_record *record)
{
	record_check(record, run.setup.acquire_us);
	times_note((unsigned)(uintptr_t)context, record);
	run.finished++;
	world_note(NOTE_FINISHED, record->status, record->cause, record->total_us);
}

static void on_event(void *context, int level, const char *text)
{
}

static void on_drained(void *context)
{
	uintptr_t i = (uintptr_t)context;

	world_note(NOTE_DRAINED, i, 0, 0);
	if (!run.draining || run.drained[i])
		world_violation("8: drained is told once, after draining", "worker %u", (unsigned)i);
	run.drained[i] = true;
}

/* NULL: memory was refused, everything is as before. */
static struct worker *worker_try(unsigned i)
{
	char error[256] = "";
	struct worker_observer observer = {
		(void *)(uintptr_t)i, world_chance(700) ? on_finished : NULL, on_event, on_reloaded, on_drained};

	run.tells[i] = observer.on_finished != NULL;

	struct worker *worker = worker_create(run.ios[i], run.shared, run.generation, i, &observer, error);

	if (worker == NULL && memory_failed_count() == 0)
		world_violation("8: a worker is created", "worker %u: %s", i, error);
	return worker;
}

/* One of the allocations fails. What is then left to `shared` is counted when everything is over. */
static struct worker *worker_try_failing(unsigned i)
{
	unsigned sockets = sim_sockets_open();
	struct worker *worker;

	memory_fail_nth(1 + (unsigned)world_below(20));
	worker = worker_try(i);
	memory_fail_nth(0);
	if (worker == NULL && sim_sockets_open() != sockets)
		world_violation("8: a worker that cannot be created leaves nothing", "%u sockets",
			sim_sockets_open() - sockets);
	return worker;
}

/* A machine so small that its descriptors run short. */
static void shedding_begin(void)
{
	const struct config_machine machine = {.files_max = 8 + world_also(world_seed(), ALSO_SHEDDING) / 4 % 40};

	SIM_CHECK(shared_set_machine(run.shared, &machine, 0));
}

static void gateway_create(void)
{
	struct sim_faults drawn = faults;

	faults.watch_fails = 0;
	run.shared = shared_create(filter_table);
	SIM_CHECK(run.shared != NULL);
	shared_set_workers(run.shared, run.setup.workers);
	if (plan.sheds)
		shedding_begin();
	run.generation = generation_create(run.shared, run.setup.config);
	SIM_CHECK(run.generation != NULL);
	shapes_enter(run.generation, &run.setup.shape);
	reloads_draw();
	for (unsigned i = 0; i < run.setup.workers; i++) {
		run.ios[i] = io_create();
		if (faults.alloc_fails != 0)
			run.workers[i] = worker_try_failing(i);
		if (run.workers[i] == NULL)
			run.workers[i] = worker_try(i);
		SIM_CHECK(run.workers[i] != NULL);
	}
	faults = drawn;
	memory_fail(faults.alloc_fails);
}

static void gateway_drain(uint64_t span_us)
{
	if (run.draining)
		return;
	run.draining = true;
	world_note(NOTE_PHASE, RUN_DRAIN, span_us, 0);
	for (unsigned i = 0; i < run.setup.workers; i++) {
		if (world_chance(200))
			worker_stop(run.workers[i]);
		else
			worker_drain(run.workers[i], world_now_us() + span_us, world_chance(300) ? 5 * US_PER_S : 0);
	}
}

static void gateway_free(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++) {
		world_cancel(&run.adopt[i]);
		books_tally(run.workers[i]);
		traces_check_left(run.workers[i]);
		worker_free(run.workers[i]);
	}
	check_generations();
	generation_unref(run.generation);
	shared_free(run.shared);
	for (unsigned i = 0; i < run.setup.workers; i++)
		io_free(run.ios[i]);
}

/* --- rule 7 ------------------------------------------------------------------------------------------------------- */

static uint64_t exchanges_of(unsigned i)
{
	const struct worker_stats *stats = worker_stats(run.workers[i]);

	return stats->exchanges_started - stats->exchanges_finished;
}

static uint64_t exchanges_live(void)
{
	uint64_t live = 0;

	for (unsigned i = 0; i < run.setup.workers; i++)
		live += exchanges_of(i);
	return live;
}

static uint64_t connections_live(void)
{
	uint64_t live = 0;

	for (unsigned i = 0; i < run.setup.workers; i++)
		live += worker_stats(run.workers[i])->connections_open;
	return live;
}

/* Whoever is out for its checks, or for what it has answered, comes back when its time has come. */
static void check_health_back(void)
{
	uint64_t since_us;

	for (unsigned i = 0; i < run.setup.servers; i++) {
		unsigned port = SERVER_PORT + i;

		if (plan.health)
			server_check_back(run.servers[i], books_is_unhealthy(run.workers[0], port));
		if (plan.passive && books_is_ejected(run.workers[0], port, &since_us))
			health_check_ejected(port, since_us);
	}
}

static void check_worker(unsigned i)
{
	const char *wrong = worker_audit(run.workers[i]);
	struct oldest stuck;

	if (wrong != NULL)
		world_violation("7: the books balance", "worker %u: %s", i, wrong);
	worker_stuck(run.workers[i], &stuck);
	if (stuck.stuck_count + stuck.stuck_client_count > 0)
		world_violation("7: nothing is without a deadline", "worker %u: %u exchanges, %u clients", i, stuck.stuck_count,
			stuck.stuck_client_count);
	if (worker_stats(run.workers[i])->exchange_double_finish != 0)
		world_violation("7: one ending", "worker %u: an exchange was finished twice", i);
	books_check(i, run.workers[i], exchanges_of(i));
	books_check_left(i, run.workers[i]);
	if (plan.servers_h2)
		books_check_sessions(i, run.workers[i]);
}

static void check_turn(void)
{
	bool h2 = plan.clients_h2 || plan.servers_h2;
	size_t bound = run.baseline_bytes + SLACK_BYTES +
		       (size_t)exchanges_live() * (h2 ? EXCHANGE_H2_BYTES_MAX : EXCHANGE_BYTES_MAX) +
		       (h2 ? (size_t)(connections_live() + sim_sockets_open()) * SESSION_BYTES_MAX : 0) +
		       (plan.traces ? run.setup.workers * TRACES_BYTES_MAX : 0);

	for (unsigned i = 0; i < run.setup.workers; i++)
		check_worker(i);
	breakers_check(run.workers[0], run.generation, exchanges_live());
	if (!run.draining)
		check_health_back();
	limits_check_turn(run.workers, run.setup.workers);
	traces_check_turn(run.workers, run.setup.workers);
	doors_check_turn(run.workers, run.setup.workers);
	/* Other workers, and pools that were replaced, give theirs up when they are called; with HTTP/2 the pool counts streams. */
	if (run.setup.workers == 1 && run.reloads == 0 && !plan.servers_h2)
		books_check_excess(&run.setup, run.workers[0]);
	if (memory_live_bytes() > bound)
		world_violation("7: memory is bounded", "%zu bytes for %llu exchanges", memory_live_bytes(),
			(unsigned long long)exchanges_live());
	if (++run.turns > TURNS_MAX)
		world_violation("8: everything ends", "after %d turns this run still goes on", TURNS_MAX);
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static uint64_t next_us(void)
{
	uint64_t next = world_next_us();

	for (unsigned i = 0; i < run.setup.workers; i++)
		next = deadline_min(next, sim_io_next_us(run.ios[i]));
	return next;
}

/* Everything that is due happens, and each worker has a tick, in drawn order. */
static void turn(void)
{
	unsigned first = (unsigned)world_below(run.setup.workers);

	world_turn_begin();
	world_happen();
	for (unsigned i = 0; i < run.setup.workers; i++)
		sim_io_tick(run.ios[(first + i) % run.setup.workers]);
	shared_sweep(run.shared);
	check_turn();
}

/* Turns until `done`, or until nothing is planned any more or limit_us has come. False: not done. */
static bool turns_until(bool (*done)(void), uint64_t limit_us)
{
	while (!done()) {
		uint64_t next = next_us();

		if (next > limit_us + run.jumped_us) {
			world_advance(limit_us == UINT64_MAX ? 0 : limit_us + run.jumped_us);
			return false;
		}
		world_advance(next);
		turn();
	}
	return true;
}

static bool never(void)
{
	return false;
}

static bool clients_over(void)
{
	for (unsigned i = 0; i < run.client_count; i++)
		if (!client_is_over(run.clients[i]))
			return false;
	return true;
}

static bool all_drained(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (!run.drained[i])
			return false;
	return true;
}

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

/* In runs where nothing may excuse that it stops somewhere. */
static void bulks_draw(void)
{
	bool is_due = world_also(world_seed(), ALSO_BULK) % 4 == 0 && (plan.clients_h2 || plan.servers_h2);

	plan.bulks = is_due && !oracle_run_is_rough() && plan.content_max > BULK_BYTES ? BULKS : 0;
}

static void network_draw(void)
{
	size_t window_min = world_chance(300) ? 512 : 4096, window_max = world_chance(300) ? 4096 : 65536;
	uint64_t latency_max_us = world_chance(300) ? 0 : world_chance(500) ? 1000 : 20000;

	sockets_begin(window_min, window_max, latency_max_us);
	plan.slow = latency_max_us == 20000;
	plan.content_max = window_min == 512 ? 30000 : latency_max_us == 20000 ? 300000 : 3000000;
	bulks_draw();
}

static const char *const combinations[] = {"h1-h1", "h2-h1", "h1-h2", "h2-h2"};
static int spoken = -1;  /* of them; -1: as the seed says */
static bool plainly;

bool sim_speak(const char *what)
{
	for (spoken = 3; spoken >= 0 && strcmp(combinations[spoken], what) != 0; spoken--)
		;
	return spoken >= 0;
}

void sim_plainly(void)
{
	plainly = true;
}

bool sim_draws_as_told(void)
{
	return spoken >= 0 || plainly;
}

static void speak_draw(uint64_t seed)
{
	int combination = spoken >= 0 ? spoken : (int)(seed % 4);

	plan.clients_h2 = combination & 1;
	plan.servers_h2 = combination >> 1;
	plan.tunnels = world_also(seed, ALSO_TUNNELS) % 4 != 0;
	plan.health = world_also(seed, plan.servers_h2 ? ALSO_HEALTH : ALSO_HEALTH_H1) % 3 == 0;
	plan.health_http = world_also(seed, ALSO_HEALTH_HTTP) % 2 == 0;
	plan.health_tcp = !plan.health_http && !plan.servers_h2;
	plan.panics = world_also(seed, ALSO_PANIC) % 4 == 0;
	plan.passive = world_also(seed, ALSO_PASSIVE) % 3 != 0;
	plan.calls = plan.servers_h2 && world_also(seed, ALSO_CALLS) % 3 == 0;
	plan.agains = !plan.calls && world_also(seed, ALSO_AGAINS) % 4 == 0;
	plan.retry_afters = plan.agains && world_also(seed, ALSO_RETRY_AFTER) % 3 == 0;
	plan.wall_jumps = world_also(seed, ALSO_WALL) % 4 == 0;
	plan.limits = world_also(seed, ALSO_LIMITS) % 5 == 0;
	plan.guards = world_also(seed, ALSO_GUARDS) % 6 == 0;
	plan.sheds = faults.hostile && world_also(seed, ALSO_SHEDDING) % 4 == 0;
	breakers_draw_plan(seed);
	limits_draw_plan(seed);
	hedge_draw_plan(seed);
	operator_draw_plan(seed);
	shapes_draw_plan(seed);
	doors_draw_plan(seed);
	refusals_draw_plan(seed);
	traces_draw_plan(seed);
	plan.servers_tunnel = world_also(seed, ALSO_SERVERS_TUNNEL) % 5 != 0;
	if (!plainly)
		return;
	plan.panics = plan.passive = plan.agains = plan.retry_afters = plan.limits = plan.refuses = plan.sheds = false;
	plan.breakers = plan.hedges = plan.operates = plan.traces = false;
	plan.fallback = FALLBACK_NONE;
}

static void begin(uint64_t seed)
{
	static const uint64_t quanta[] = {0, 0, 100, 1000, 1000, 10000};

	world_begin(seed);
	faults_draw();
	oracle_begin();
	speak_draw(seed);
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

bool run_is_draining(void)
{
	return run.draining;
}

bool run_is_check(const struct io_source *source)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (run.workers[i] != NULL && books_is_check(run.workers[i], source))
			return true;
	return false;
}

static bool nothing_runs(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (doors_are_leaving(run.workers[i]))
			return false;
	return exchanges_live() == 0 && connections_live() == 0;
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

bool run_serves_since(unsigned port, uint64_t since_us)
{
	return books_serves_since(run.workers[0], port, since_us);
}

void run_check_arrival(const struct sim_request *request, unsigned port)
{
	uint64_t since_us;

	operator_check_arrival(request, port);
	shapes_check_arrival(request, port);
	if (setup_spares(port, &since_us) && !plan.operates && !plan.refuses_reloads && faults.alloc_fails == 0 && faults.clock_jumps == 0 &&
		request->started_us > since_us + ADOPTED_US && books_serves_since(run.workers[0], SERVER_PORT, request->started_us))
		world_violation("7: who is spared gets no requests", "request %u, which began at %llu us, on port %u",
			request->id, (unsigned long long)request->started_us, port);

	/* With the clock nobody knows what was first. */
	if (faults.clock_jumps == 0 && run.workers[0] != NULL && books_is_ejected(run.workers[0], port, &since_us) &&
		request->started_us > since_us)
		world_violation("7: who is ejected gets no requests", "request %u, which began at %llu us, on port %u, ejected at %llu us",
			request->id, (unsigned long long)request->started_us, port, (unsigned long long)since_us);
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
		listening += sim_listening_all(run.ios[i]);
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
