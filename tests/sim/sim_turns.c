/*
 * How time passes in a run: everything that is due happens, each worker has a tick, and then rule 7 is checked.
 */
#include "gateway/oldest.h"
#include "sim_books.h"
#include "sim_breakers.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_health.h"
#include "sim_limits.h"
#include "sim_memory.h"
#include "sim_operator.h"
#include "sim_run_state.h"
#include "sim_shapes.h"
#include "sim_traces.h"

#define TURNS_MAX 3000000

/* What one exchange may hold, and what everything else may. */
#define EXCHANGE_BYTES_MAX (256 * KIB)
/* With HTTP/2 a window of content on its way in, and as much on its way out, in memory that has doubled as it grew. */
#define EXCHANGE_H2_BYTES_MAX (1280 * KIB)
#define SESSION_BYTES_MAX (256 * KIB)
#define SLACK_BYTES (768 * KIB)

/* --- rule 7 ------------------------------------------------------------------------------------------------------- */

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

bool turns_until(bool (*done)(void), uint64_t limit_us)
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

bool never(void)
{
	return false;
}
