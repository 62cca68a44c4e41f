/*
 * What is tried: the gateway, of one or two workers, which is created, reloaded, drained and freed. And what of it others want to know.
 */
#include "filters/filters.h"
#include "sim_books.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_memory.h"
#include "sim_operator.h"
#include "sim_record.h"
#include "sim_refusals.h"
#include "sim_run_state.h"
#include "sim_times.h"
#include "sim_traces.h"

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

/* But for the references of this file. */
void check_generations(void)
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

void reloads_finish(void)
{
	for (unsigned i = 0; i < RELOADS_MAX; i++)
		world_cancel(&run.reload[i]);
	for (unsigned i = 0; i < run.setup.workers; i++) {
		world_cancel(&run.adopt[i]);
		world_schedule(&run.adopt[i], world_now_us());
	}
}

bool all_reloaded(void)
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

void gateway_create(void)
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

void gateway_drain(uint64_t span_us)
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

void gateway_free(void)
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

/* --- how much of it there is -------------------------------------------------------------------------------------- */

uint64_t exchanges_of(unsigned i)
{
	const struct worker_stats *stats = worker_stats(run.workers[i]);

	return stats->exchanges_started - stats->exchanges_finished;
}

uint64_t exchanges_live(void)
{
	uint64_t live = 0;

	for (unsigned i = 0; i < run.setup.workers; i++)
		live += exchanges_of(i);
	return live;
}

uint64_t connections_live(void)
{
	uint64_t live = 0;

	for (unsigned i = 0; i < run.setup.workers; i++)
		live += worker_stats(run.workers[i])->connections_open;
	return live;
}

bool nothing_runs(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (doors_are_leaving(run.workers[i]))
			return false;
	return exchanges_live() == 0 && connections_live() == 0;
}

bool all_drained(void)
{
	for (unsigned i = 0; i < run.setup.workers; i++)
		if (!run.drained[i])
			return false;
	return true;
}

/* --- what others ask of it ---------------------------------------------------------------------------------------- */

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

bool run_serves_since(unsigned port, uint64_t since_us)
{
	return books_serves_since(run.workers[0], port, since_us);
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
