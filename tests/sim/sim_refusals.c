/*
 * An allocation is made to fail by its number, counted over worker_reload() and the slices in which endpoints are made
 * (upstreams_reload_make, which the linker routes here), and over nothing else that the worker does meanwhile: who asks for something
 * has memory. In some turns of the loop nothing is made, so that clients come in between.
 */
#include "sim_refusals.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "gateway/state.h"
#include "sim_faults.h"
#include "sim_io.h"
#include "sim_memory.h"
#include "sim_model.h"
#include "sim_world.h"
#include "upstream/endpoint.h"
#include "upstream/roster.h"

#define WORKERS_MAX 2
#define REFUSALS_MAX 8
#define ALLOCATIONS_MAX 40
#define ALLOCATIONS_FEW 6
#define PAUSE_US 10000
#define PAUSE_LONG_US 300000

/* What a refused reload must not have changed. */
struct standing {
	const struct generation *generation;
	const struct roster *roster;
	size_t listeners, leaving, endpoints;
	unsigned sockets;
};

static struct {
	uint64_t number;  /* what is drawn is drawn from it */
	uint64_t pace;    /* and how long making takes */
	unsigned left;    /* so many may be refused still */
	bool no_socket;
	bool no_listening[WORKERS_MAX];
	unsigned fails_at[WORKERS_MAX];  /* so many allocations from now; 0: none fails */
	struct standing before[WORKERS_MAX];
	const struct upstreams *upstreams[WORKERS_MAX];
	const struct io *ios[WORKERS_MAX];
} refusals;

static struct {
	uint64_t at_once, in_slices, sockets, taken, generations;
} tally;

enum upstreams_progress __real_upstreams_reload_make(struct upstreams *upstreams);
enum upstreams_progress __wrap_upstreams_reload_make(struct upstreams *upstreams);

void refusals_draw_plan(uint64_t seed)
{
	refusals.number = world_also(seed, ALSO_LATE_REFUSALS);
	plan.refuses_reloads = faults.reloads != 0 && refusals.number % 3 == 0;
	refusals.pace = hash_u64(seed, ALSO_LATE_REFUSALS);
	refusals.left = REFUSALS_MAX;
	refusals.no_socket = false;
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		refusals.fails_at[i] = 0;
		refusals.no_listening[i] = false;
	}
	/* Those of the run before are gone, and others may stand at their addresses. */
	memset(refusals.upstreams, 0, sizeof(refusals.upstreams));
	memset(refusals.ios, 0, sizeof(refusals.ios));
}

/* 0..n-1. */
static unsigned draw(unsigned n)
{
	refusals.number = refusals.number * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((refusals.number >> 33) % n);
}

/* One of those to come. */
static bool is_due(void)
{
	if (!plan.refuses_reloads || !faults_are_on() || refusals.left == 0 || draw(3) == 0)
		return false;
	refusals.left--;
	return true;
}

uint64_t refusals_pause_us(void)
{
	return plan.refuses_reloads && faults_are_on() ? PAUSE_US + draw(PAUSE_LONG_US) : PAUSE_US;
}

/* --- what stands -------------------------------------------------------------------------------------------------- */

static size_t count_of(const struct list *list)
{
	size_t count = 0;

	for (const struct list_node *node = list->head.next; node != &list->head; node = node->next)
		count++;
	return count;
}

static struct standing standing_of(struct worker *worker)
{
	return (struct standing){
		.generation = worker_generation(worker),
		.roster = worker->upstreams->roster,
		.listeners = worker->listener_count,
		.leaving = count_of(&worker->leaving),
		.endpoints = count_of(&worker->upstreams->endpoints),
		.sockets = sim_bound(worker->io),
	};
}

/* Those that were drained before may have gone since. */
static void check_standing(const struct worker *worker, const struct standing *before, const struct standing *now)
{
	if (now->generation != before->generation || now->roster != before->roster || now->listeners != before->listeners ||
		now->sockets != before->sockets || now->endpoints > before->endpoints)
		world_violation("18: a reload that is refused changes nothing",
			"worker %u: %zu listeners with %u sockets, %zu endpoints; before %zu with %u, %zu", worker->index, now->listeners,
			now->sockets, now->endpoints, before->listeners, before->sockets, before->endpoints);
}

/* --- reloads ------------------------------------------------------------------------------------------------------ */

/* What is new among its listeners is freed at the end of the tick. */
static void check_refused_at_once(struct worker *worker, unsigned index, size_t pieces)
{
	struct standing now = standing_of(worker);
	size_t discarded = now.leaving - refusals.before[index].leaving;

	check_standing(worker, &refusals.before[index], &now);
	if (memory_live_count() != pieces + discarded)
		world_violation("18: a reload that is refused leaves nothing", "worker %u: %zu pieces of memory, %zu before", worker->index,
			memory_live_count(), pieces + discarded);
}

bool refusals_reload(struct worker *worker, unsigned index, struct generation *generation)
{
	/* What a settling has left over is done first. */
	bool is_settled = !upstreams_follows(worker->upstreams);
	bool refuses = is_due();
	size_t pieces = memory_live_count();

	refusals.before[index] = standing_of(worker);
	refusals.upstreams[index] = worker->upstreams;
	refusals.ios[index] = worker->io;
	refusals.fails_at[index] = refuses ? 1 + draw(draw(2) == 0 ? ALLOCATIONS_FEW : ALLOCATIONS_MAX) : 0;
	refusals.no_socket = refuses && plan.doors && draw(3) == 0;
	refusals.no_listening[index] = !refuses && plan.doors && faults_are_on() && plan.refuses_reloads && hash_u64(refusals.pace++, 1) % 6 == 0;
	memory_fail_nth(refusals.fails_at[index]);
	bool begun = worker_reload(worker, generation);
	refusals.fails_at[index] = memory_fail_nth(0);
	refusals.no_socket = false;
	tally.at_once += !begun;
	if (!begun && is_settled)
		check_refused_at_once(worker, index, pieces);
	return begun;
}

enum upstreams_progress __wrap_upstreams_reload_make(struct upstreams *upstreams)
{
	unsigned index = upstreams == refusals.upstreams[0] ? 0 : 1;
	enum upstreams_progress progress;

	if (plan.refuses_reloads && hash_u64(refusals.pace++, 0) % 4 != 0)
		return UPSTREAMS_MORE;

	memory_fail_nth(refusals.fails_at[index]);
	progress = __real_upstreams_reload_make(upstreams);
	refusals.fails_at[index] = memory_fail_nth(0);
	return progress;
}

void refusals_told(struct worker *worker, unsigned index, bool taken)
{
	struct standing now;

	refusals.fails_at[index] = 0;
	refusals.no_listening[index] = false;
	if (taken)
		return;
	now = standing_of(worker);
	tally.in_slices++;
	check_standing(worker, &refusals.before[index], &now);
}

bool refusals_listen(const struct io *io)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (refusals.no_listening[i] && refusals.ios[i] == io) {
			refusals.no_listening[i] = false;
			tally.taken++;
			return true;
		}
	return false;
}

bool refusals_bind(void)
{
	bool refuses = refusals.no_socket;

	refusals.no_socket = false;
	tally.sockets += refuses;
	return refuses;
}

/* --- generations -------------------------------------------------------------------------------------------------- */

struct generation *refusals_create(struct shared *shared, const struct config *config)
{
	uint64_t generations = shared->generations;
	struct generation *generation;

	if (!is_due())
		return generation_create(shared, config);
	memory_fail_nth(1 + draw(ALLOCATIONS_MAX));
	generation = generation_create(shared, config);
	memory_fail_nth(0);
	if (generation != NULL)
		return generation;
	tally.generations++;
	if (shared->generations != generations)
		world_violation("18: a reload that is refused changes nothing", "generation %llu is no more than begun",
			(unsigned long long)shared->generations);
	return generation_create(shared, config);
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

void refusals_tell_tally(void)
{
	printf("reloads refused: at once %llu, of them for want of a socket %llu, in slices %llu, of them as somebody else listens %llu; "
	       "generations %llu\n",
		(unsigned long long)tally.at_once, (unsigned long long)tally.sockets, (unsigned long long)tally.in_slices,
		(unsigned long long)tally.taken, (unsigned long long)tally.generations);
}

bool refusals_tally_is_full(void)
{
	return tally.at_once > 0 && tally.sockets > 0 && tally.in_slices > 0 && tally.taken > 0 && tally.generations > 0;
}
