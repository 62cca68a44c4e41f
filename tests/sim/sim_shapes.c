#include "sim_shapes.h"

#include "gateway/generation.h"
#include "sim_config.h"
#include "sim_faults.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_run.h"
#include "sim_text.h"
#include "sim_world.h"

#define SHAPES_MAX 16

static struct {
	uint64_t number;  /* what is drawn is drawn from it */
	struct sim_shape shapes[SHAPES_MAX];  /* by the generation's number */
	unsigned newest;
} run;

/* --- drawing ------------------------------------------------------------------------------------------------------ */

void shapes_draw_plan(uint64_t seed)
{
	/* Whoever is a backup, or has no weight, would be the only one of its zone. */
	bool has_roles = world_also(seed, ALSO_SPARES) % 4 == 0;

	run.number = world_also(seed, ALSO_SHAPES);
	plan.reroutes = faults.reloads != 0 && !plan.hedges && world_also(seed, ALSO_REROUTES) % 3 == 0;
	/* Who waits in a filter has no connection yet. */
	plan.limits = plan.limits || plan.reroutes;
	plan.subsets = !has_roles && world_also(seed, ALSO_SUBSETS) % 5 == 0;
	plan.zones = !has_roles && world_also(seed, ALSO_ZONES) % 5 == 0;
	/* The only endpoint of a subset would be ejected for what it answers. */
	plan.passive = plan.passive && (!plan.subsets || oracle_run_is_rough());
}

/* 0..n-1. */
static unsigned draw(unsigned n)
{
	run.number = run.number * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)((run.number >> 33) % n);
}

void shape_draw(struct sim_shape *shape, unsigned serving)
{
	*shape = (struct sim_shape){.serving = serving, .doors = shape->doors};
	if (plan.reroutes) {
		shape->moved = draw(2) == 0;
		shape->gone = draw(3) == 0;
	}
	if (plan.subsets && !shape->moved)
		shape->subset = draw(3);
	if (plan.zones)
		shape->zone = draw(3);
	/* A subset has an endpoint. */
	if (shape->subset > 0 && (serving >> (shape->subset - 1) & 1) == 0)
		shape->subset = 0;
}

void shape_write_root(struct sim_text *text, const struct sim_shape *shape)
{
	if (shape->zone > 0)
		text_printf(text, "zone: z%u\n", shape->zone - 1);
}

void shape_write_endpoint(struct sim_text *text, unsigned server)
{
	if (plan.zones)
		text_printf(text, ", zone: z%u", server);
	if (plan.subsets)
		text_printf(text, ", labels: {part: p%u}", server);
}

void shape_write_route(struct sim_text *text, const struct sim_shape *shape)
{
	if (shape->subset > 0)
		text_printf(text, "    subset: {part: p%u}\n", shape->subset - 1);
}

/* --- which of them a request may have ------------------------------------------------------------------------------ */

void shapes_enter(const struct generation *generation, const struct sim_shape *shape)
{
	SIM_CHECK(generation->number < SHAPES_MAX);
	run.newest = (unsigned)generation->number;
	run.shapes[run.newest] = *shape;
}

void shapes_request_begins(struct sim_request *request)
{
	request->oldest = run_oldest_generation();
}

/* One of those that it may be served by is so. */
static bool any(const struct sim_request *request, unsigned value, bool (*is)(const struct sim_shape *shape, unsigned value))
{
	for (unsigned i = request->oldest; i <= run.newest; i++)
		if (is(&run.shapes[i], value))
			return true;
	return false;
}

static bool is_led_to(const struct sim_shape *shape, unsigned upstream)
{
	if (upstream == 1)
		return !shape->gone;
	return shape->moved == (upstream == UPSTREAM_MOVED);
}

bool shapes_lead_to(const struct sim_request *request, unsigned upstream)
{
	return (upstream == 1) == (request->upstream == 1) && any(request, upstream, is_led_to);
}

static bool lacks_route(const struct sim_shape *shape, unsigned upstream)
{
	return upstream == 1 && shape->gone;
}

bool shapes_may_lack_route(const struct sim_request *request)
{
	return any(request, request->upstream, lacks_route);
}

bool shapes_newest_has(unsigned upstream)
{
	return !lacks_route(&run.shapes[run.newest], upstream);
}

bool shapes_have_lost_route(void)
{
	for (unsigned i = 1; i <= run.newest; i++)
		if (run.shapes[i].gone)
			return true;
	return false;
}

unsigned shapes_doors_of(const struct generation *generation)
{
	return run.shapes[generation->number].doors;
}

unsigned shapes_doors_latest(void)
{
	return run.shapes[run_latest_generation()].doors;
}

unsigned shapes_doors_all(void)
{
	unsigned all = shapes_doors_latest();

	for (unsigned i = run_oldest_generation(); i < run_latest_generation(); i++)
		all &= run.shapes[i].doors;
	return all;
}

unsigned shapes_doors_any(void)
{
	unsigned any = shapes_doors_latest();

	for (unsigned i = run_oldest_generation(); i < run_latest_generation(); i++)
		any |= run.shapes[i].doors;
	return any;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

static bool subset_allows(const struct sim_shape *shape, unsigned server)
{
	return shape->subset == 0 || shape->subset - 1 == server;
}

/* Of two that serve one stands elsewhere; it gets what the one that is here must not. */
static bool zone_allows(const struct sim_shape *shape, unsigned server)
{
	return shape->serving != 3 || shape->zone == 0 || shape->zone - 1 == server || shape->subset - 1 == server;
}

void shapes_check_arrival(const struct sim_request *request, unsigned port)
{
	unsigned server = port - SERVER_PORT;

	if (request->upstream != 0 || setup_upstream_of(port) != 0)
		return;
	if (plan.subsets && !any(request, server, subset_allows))
		world_violation("7: a route's requests get to its subset alone", "request %u on port %u", request->id, port);
	if (plan.zones && faults.alloc_fails == 0 && faults.clock_jumps == 0 && !plan.operates && !plan.breakers &&
		!any(request, server, zone_allows) && run_serves_since(SERVER_PORT + 1 - server, request->started_us))
		world_violation("7: who is in another zone gets no requests", "request %u, which began at %llu us, on port %u", request->id,
			(unsigned long long)request->started_us, port);
}
