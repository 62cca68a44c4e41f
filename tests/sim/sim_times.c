#include "sim_times.h"

#include <string.h>

#include "gateway/worker.h"
#include "sim_books.h"
#include "sim_model.h"
#include "sim_shapes.h"
#include "sim_world.h"
#include "upstream/upstream.h"

static struct told {
	uint64_t count, sum_us[PHASE_COUNT];
	bool had_tunnels;  /* whose books end where they begin */
} told[2][2];  /* by worker; of route r1, and of all others */

static unsigned row_of(struct view route)
{
	return !view_eq(route, VIEW("r1"));
}

void times_begin(void)
{
	memset(told, 0, sizeof(told));
}

void times_note(unsigned worker_number, const struct exchange_record *record)
{
	if (record->route.n == 0)
		return;
	struct told *row = &told[worker_number][row_of(record->route)];

	row->count++;
	row->had_tunnels |= record->upgraded;
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		row->sum_us[i] += record->phase_us[i];
}

/* Over all routes of a row. A book is its route's for as long as there is a configuration with it. */
static struct time_book routes_book(const struct worker *worker, unsigned row)
{
	const struct config *config = worker_generation(worker)->config;
	struct time_book sum = {0};

	for (size_t i = 0; i < config->route_count; i++)
		if (row_of(config->routes[i].name) == row)
			time_book_add(&sum, worker_route_times(worker, i));
	return sum;
}

static void check_records(unsigned worker_number, unsigned row, const struct time_book *routes)
{
	const struct told *of = &told[worker_number][row];

	if (row == row_of(VIEW("r1")) && shapes_have_lost_route()) {
		if (routes->count > of->count)
			world_violation("13: the routes' books are those of the records", "worker %u: %llu requests of r1, %llu records",
				worker_number, (unsigned long long)routes->count, (unsigned long long)of->count);
		return;
	}
	if (routes->count != of->count)
		world_violation("13: the routes' books are those of the records", "worker %u: %llu requests, %llu records", worker_number,
			(unsigned long long)routes->count, (unsigned long long)of->count);
	for (unsigned i = 0; i < PHASE_COUNT && !of->had_tunnels; i++)
		if (routes->phases[i].sum_us != of->sum_us[i])
			world_violation("13: the routes' books are those of the records", "worker %u, phase %u: %llu us, %llu us", worker_number,
				i, (unsigned long long)routes->phases[i].sum_us, (unsigned long long)of->sum_us[i]);
}

void times_check_quiet(unsigned worker_number, struct worker *worker, bool is_told, bool since_begin)
{
	struct time_book routes = {0};
	struct try_book tries = books_tries(worker);

	if (worker_stats(worker)->tunnels_open != 0)
		world_violation("8: every count is back", "worker %u: %llu tunnels", worker_number,
			(unsigned long long)worker_stats(worker)->tunnels_open);
	for (unsigned row = 0; row < 2; row++) {
		struct time_book book = routes_book(worker, row);

		time_book_add(&routes, &book);
		if (is_told)
			check_records(worker_number, row, &book);
	}
	/* Two of a request that is hedged wait at the same time. */
	for (unsigned i = PHASE_QUEUE; i <= PHASE_CLIENT && since_begin && !plan.hedges; i++)
		if (routes.phases[i].sum_us != tries.sum_us[i])
			world_violation("13: what routes have waited for they have waited for at endpoints", "worker %u, phase %u: %llu us, %llu us",
				worker_number, i, (unsigned long long)routes.phases[i].sum_us, (unsigned long long)tries.sum_us[i]);
}
