#include "sim_times.h"

#include <string.h>

#include "gateway/worker.h"
#include "sim_books.h"
#include "sim_model.h"
#include "sim_world.h"
#include "upstream/upstream.h"

static struct {
	uint64_t count, sum_us[PHASE_COUNT];
	bool had_tunnels;  /* whose books end where they begin */
} told[2];

void times_begin(void)
{
	memset(told, 0, sizeof(told));
}

void times_note(unsigned worker_number, const struct exchange_record *record)
{
	if (record->route.n == 0)
		return;
	told[worker_number].count++;
	told[worker_number].had_tunnels |= record->upgraded;
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		told[worker_number].sum_us[i] += record->phase_us[i];
}

/* Over all routes, whose names no reload changes. */
static struct time_book routes_book(const struct worker *worker)
{
	size_t count = worker_generation(worker)->config->route_count;
	struct time_book sum = {0};

	for (size_t i = 0; i < count; i++)
		time_book_add(&sum, worker_route_times(worker, i));
	return sum;
}

static void check_records(unsigned worker_number, const struct time_book *routes)
{
	if (routes->count != told[worker_number].count)
		world_violation("13: the routes' books are those of the records", "worker %u: %llu requests, %llu records", worker_number,
			(unsigned long long)routes->count, (unsigned long long)told[worker_number].count);
	for (unsigned i = 0; i < PHASE_COUNT && !told[worker_number].had_tunnels; i++)
		if (routes->sum_us[i] != told[worker_number].sum_us[i])
			world_violation("13: the routes' books are those of the records", "worker %u, phase %u: %llu us, %llu us", worker_number,
				i, (unsigned long long)routes->sum_us[i], (unsigned long long)told[worker_number].sum_us[i]);
}

void times_check_quiet(unsigned worker_number, struct worker *worker, bool is_told, bool since_begin)
{
	struct time_book routes = routes_book(worker);
	struct try_book tries = books_tries(worker);

	if (worker_stats(worker)->tunnels_open != 0)
		world_violation("8: every count is back", "worker %u: %llu tunnels", worker_number,
			(unsigned long long)worker_stats(worker)->tunnels_open);
	if (is_told)
		check_records(worker_number, &routes);
	/* Two of a request that is hedged wait at the same time. */
	for (unsigned i = PHASE_QUEUE; i <= PHASE_CLIENT && since_begin && !plan.hedges; i++)
		if (routes.sum_us[i] != tries.sum_us[i])
			world_violation("13: what routes have waited for they have waited for at endpoints", "worker %u, phase %u: %llu us, %llu us",
				worker_number, i, (unsigned long long)routes.sum_us[i], (unsigned long long)tries.sum_us[i]);
}
