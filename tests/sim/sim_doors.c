#include "sim_doors.h"

#include <stdio.h>

#include "gateway/listener_books.h"
#include "gateway/state.h"
#include "sim_faults.h"
#include "sim_io.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_run.h"
#include "sim_shapes.h"
#include "sim_world.h"

static struct {
	uint64_t number;  /* what is drawn is drawn from it */
} doors;

static struct {
	uint64_t elsewhere;
} tally;

/* --- drawing ------------------------------------------------------------------------------------------------------ */

void doors_draw_plan(uint64_t seed)
{
	doors.number = world_also(seed, ALSO_DOORS);
	plan.doors = faults.reloads != 0 && doors.number % 2 == 0;
}

/* 0..n-1. */
static unsigned draw(unsigned n)
{
	doors.number = doors.number * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((doors.number >> 33) % n);
}

/* Mostly one: then it moves, where it is another one. */
unsigned doors_draw(void)
{
	if (!plan.doors)
		return 1;
	return draw(3) > 0 ? 1u << draw(DOORS_MAX) : 1 + draw((1u << DOORS_MAX) - 1);
}

/* --- clients ------------------------------------------------------------------------------------------------------ */

static struct sim_conn *connect_to(unsigned mask)
{
	unsigned first = draw(DOORS_MAX);
	struct sim_conn *conn = NULL;

	for (unsigned i = 0; i < DOORS_MAX && conn == NULL; i++)
		if (mask >> (first + i) % DOORS_MAX & 1)
			conn = sim_connect(CLIENT_PORT + (first + i) % DOORS_MAX);
	return conn;
}

/* While a reload is under way it may find the new ones closed, and the old ones open still. */
static struct sim_conn *connect_somewhere(void)
{
	unsigned latest = shapes_doors_latest(), any = shapes_doors_any();
	struct sim_conn *conn;

	if (!plan.doors)
		return sim_connect(CLIENT_PORT);
	conn = connect_to(latest);
	if (conn != NULL)
		return conn;
	if ((latest & shapes_doors_all()) != 0 && !oracle_run_is_rough())
		world_violation("1: every request has an answer", "no listener lets anybody in, and a reload has kept some: %x", latest);
	tally.elsewhere++;
	return connect_to(any);
}

struct sim_end *doors_connect(unsigned client, void *owner, void (*on_change)(struct sim_end *end, unsigned changes))
{
	struct sim_conn *conn = connect_somewhere();

	if (conn == NULL && !oracle_run_is_rough())
		world_violation("1: every request has an answer", "client %u cannot connect", client);
	if (conn == NULL)
		return NULL;
	conn->end[0].owner = owner;
	conn->end[0].on_change = on_change;
	return &conn->end[0];
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

/* Where it is not letting go of what was before. */
static void check_sockets(const struct worker *worker)
{
	unsigned wanted = shapes_doors_of(worker_generation(worker));

	for (unsigned door = 0; door < DOORS_MAX; door++)
		if (sim_listening(worker->io, CLIENT_PORT + door) != (wanted >> door & 1))
			world_violation("17: a worker listens where its configuration says", "worker %u, port %u: %u sockets", worker->index,
				CLIENT_PORT + door, sim_listening(worker->io, CLIENT_PORT + door));
}

static unsigned counted_at(const struct worker *worker, const struct listener_book *book)
{
	unsigned count = 0;

	list_each_safe(&worker->clients, node, next) {
		const struct client *client = container_of(node, struct client, node);

		count += client->counted && client->listener->book == book;
	}
	return count;
}

/* Whoever is connected is counted at the listener that it has come by. */
static void check_books(struct worker *const *workers, unsigned count)
{
	list_each_safe(&workers[0]->shared->listeners, node, next) {
		const struct listener_book *book = container_of(node, struct listener_book, node);
		unsigned connections = atomic_load(&book->connections), counted = 0;

		for (unsigned i = 0; i < count; i++)
			counted += counted_at(workers[i], book);
		if (connections != counted)
			world_violation("17: a listener counts its connections", "port %u: %u, where %u are", address_port(&book->address),
				connections, counted);
	}
}

void doors_check_turn(struct worker *const *workers, unsigned count)
{
	if (!plan.doors)
		return;
	for (unsigned i = 0; i < count; i++)
		if (workers[i]->reload.stage != WORKER_RELOAD_FOLLOWING && !workers[i]->draining)
			check_sockets(workers[i]);
	check_books(workers, count);
}

bool doors_are_leaving(const struct worker *worker)
{
	return !list_empty(&worker->leaving);
}

void doors_check_close(unsigned port, unsigned waiting)
{
	bool may_be_short = faults.accept_emfile != 0 || faults.watch_fails != 0 || faults.alloc_fails != 0 || plan.sheds;

	if (waiting > 0 && !may_be_short && !run_is_draining())
		world_violation("17: who has connected is taken before a listener goes", "port %u: %u wait", port, waiting);
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

void doors_tell_tally(void)
{
	printf("clients at listeners that leave %llu\n", (unsigned long long)tally.elsewhere);
}

bool doors_tally_is_full(void)
{
	return tally.elsewhere > 0;
}
