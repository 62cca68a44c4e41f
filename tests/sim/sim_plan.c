/*
 * What a run is about: what clients and servers speak, what goes wrong there, what the gateway is asked to do about it. All of it
 * follows from the seed, and from what the command line says.
 */
#include <string.h>

#include "sim_breakers.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_hedge.h"
#include "sim_limits.h"
#include "sim_model.h"
#include "sim_operator.h"
#include "sim_refusals.h"
#include "sim_run_state.h"
#include "sim_shapes.h"
#include "sim_traces.h"

#define BULKS 3

/* In runs where nothing may excuse that it stops somewhere. */
static void bulks_draw(void)
{
	bool is_due = world_also(world_seed(), ALSO_BULK) % 4 == 0 && (plan.clients_h2 || plan.servers_h2);

	plan.bulks = is_due && !oracle_run_is_rough() && plan.content_max > BULK_BYTES ? BULKS : 0;
}

void network_draw(void)
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

void plan_draw(uint64_t seed)
{
	int combination = spoken >= 0 ? spoken : (int)(seed % 4);

	plan.clients_h2 = combination & 1;
	plan.servers_h2 = combination >> 1;
	plan.tunnels = world_also(seed, ALSO_TUNNELS) % 4 != 0;
	plan.health = world_also(seed, plan.servers_h2 ? ALSO_HEALTH : ALSO_HEALTH_H1) % 3 == 0;
	plan.health_http = world_also(seed, ALSO_HEALTH_HTTP) % 2 == 0;
	plan.health_tcp = !plan.health_http && !plan.servers_h2;
	plan.panics = world_also(seed, ALSO_PANIC) % 4 == 0;
	plan.pipes = world_also(seed, ALSO_PIPES) % 3 != 0;
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
