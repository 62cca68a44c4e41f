#include "sim_health.h"

#include "sim_faults.h"
#include "sim_oracle.h"

struct sim_health_config health_config;

/* Grains of time, ways through the network and back, pauses of benign faults. */
#define SLACK_US 300000
#define ANSWER_US 200000 /* and in the end an answer that is given at once */
#define PATIENT_MS 5000
#define GRAIN_COARSE_US 10000

void health_draw_config(void)
{
	if (!oracle_run_is_rough()) {
		health_config = (struct sim_health_config){1000, 2 * PATIENT_MS, 1, 2};
		return;
	}
	health_config.interval = (unsigned)world_between(100, 200);
	health_config.timeout = world_chance(600) ? PATIENT_MS : (unsigned)world_between(150, 300);
	/* A check is some turns, of which one may bring a single byte: so many grains would be its time. */
	if (world_quantum_us() >= GRAIN_COARSE_US)
		health_config.timeout = PATIENT_MS;
	health_config.rise = (unsigned)world_between(1, 3);
	health_config.fall = (unsigned)world_between(1, 2);
}

void health_draw(struct sim_health *health)
{
	uint64_t at_us = world_now_us();

	*health = (struct sim_health){.reloaded_us = at_us};
	if (!oracle_run_is_rough() || !world_chance(600))
		return;
	for (int i = 0; i < SICKNESSES_MAX; i++) {
		at_us += world_below(500000);
		health->sick[i].from_us = at_us;
		at_us += world_chance(300) ? world_below(500000) : world_below(5000000);
		health->sick[i].until_us = at_us;
	}
	health->ever_sick = true;
}

void health_recover(struct sim_health *health)
{
	for (int i = 0; i < SICKNESSES_MAX; i++)
		if (health->sick[i].until_us > world_now_us())
			health->sick[i].until_us = world_now_us();
}

void health_reloaded(struct sim_health *health)
{
	health->reloaded_us = world_now_us();
}

static uint64_t checks_us(unsigned checks, uint64_t each_us)
{
	return checks * (1100ULL * health_config.interval + each_us) + SLACK_US;
}

uint64_t health_recover_us(void)
{
	return plan.health ? checks_us(health_config.rise + 2, ANSWER_US) + 1000ULL * health_config.timeout : 0;
}

/* Since when it is sick now; UINT64_MAX: it is not. */
static uint64_t sick_since_us(const struct sim_health *health)
{
	for (int i = 0; i < SICKNESSES_MAX; i++)
		if (health->sick[i].from_us <= world_now_us() && world_now_us() < health->sick[i].until_us)
			return health->sick[i].from_us;
	return UINT64_MAX;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void put_head(struct sim_wire *wire, struct wire_stream *stream, const char *status, const char *grpc_status)
{
	struct block_writer block = {0};

	block_add(&block, ":status", status);
	block_add(&block, "content-type", "application/grpc");
	if (grpc_status != NULL)
		block_add(&block, "grpc-status", grpc_status);
	wire_put_head(wire, stream, &block, grpc_status != NULL);
}

static void put_trailers(struct sim_wire *wire, struct wire_stream *stream)
{
	struct block_writer block = {0};

	block_add(&block, "grpc-status", "0");
	wire_put_head(wire, stream, &block, true);
}

static void put_message(struct sim_wire *wire, struct wire_stream *stream, char status)
{
	char message[] = {0, 0, 0, 0, 2, 8, status};

	put_head(wire, stream, "200", NULL);
	wire_put_data(wire, stream, message, sizeof(message), false);
	put_trailers(wire, stream);
}

/* False: the connection is to end. */
static bool answer_sick(struct sim_wire *wire, struct wire_stream *stream)
{
	static const char garbage[100] = {1, 2, 3};

	switch (world_below(9)) {
	case 0: return false;
	case 1: put_head(wire, stream, "200", "5"); break;
	case 2: put_head(wire, stream, "503", "0"); break;
	case 3: wire_put_reset(wire, stream, NGHTTP2_INTERNAL_ERROR); break;
	case 4:
		put_head(wire, stream, "200", NULL);
		wire_put_data(wire, stream, garbage, sizeof(garbage), false);
		put_trailers(wire, stream);
		break;
	case 5:
		/* It serves, but nothing says that the call has succeeded. */
		put_head(wire, stream, "200", NULL);
		wire_put_data(wire, stream, "\0\0\0\0\2\10\1", 7, true);
		break;
	case 6: break; /* and silence */
	default: put_message(wire, stream, (char)(world_chance(500) ? 2 : 3)); break;
	}
	return true;
}

bool health_answer(struct sim_health *health, struct sim_wire *wire, struct wire_stream *stream)
{
	if (sick_since_us(health) != UINT64_MAX)
		return answer_sick(wire, stream);
	put_message(wire, stream, 1);
	return true;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

void health_check_arrival(const struct sim_health *health, const struct sim_request *request, unsigned port)
{
	uint64_t since_us = sick_since_us(health);
	uint64_t out_us;

	/* Checks that could not be made say nothing, and with the clock nobody knows. */
	if (since_us == UINT64_MAX || faults.alloc_fails != 0 || faults.connect_fails != 0 || faults.watch_fails != 0 ||
		faults.clock_jumps != 0)
		return;
	if (since_us < health->reloaded_us)
		since_us = health->reloaded_us;
	/* The one that was under way may have passed. */
	out_us = since_us + checks_us(health_config.fall + 1, 1000ULL * health_config.timeout);
	if (request->started_us > out_us)
		world_violation("7: who is out of service gets no requests",
			"request %u, which began at %llu us, on port %u, which is sick since %llu us", request->id,
			(unsigned long long)request->started_us, port, (unsigned long long)since_us);
}

bool health_is_impatient(void)
{
	return plan.health && health_config.timeout < PATIENT_MS;
}

bool health_cannot_fail(const struct sim_health *health)
{
	struct sim_faults f = faults;

	if (health->ever_sick || health_config.timeout < PATIENT_MS)
		return false;
	f.alloc_fails = f.connect_fails = f.watch_fails = f.accept_emfile = f.accept_aborted = 0;
	f.client_leaves = f.client_stalls = f.client_dawdles = f.client_impatient = f.client_resets = f.client_breaks = 0;
	f.malformed = f.answer_defect = f.server_idle_close = f.server_keep_alive = f.server_hasty = 0;
	f.server_head_reset = f.server_unsolicited = f.server_refuses = 0;
	f.tight_limits = f.drain_midway = 0;
#define SIM_FAULT_ANY(field) || f.field != 0
	return !(false SIM_HOSTILE(SIM_FAULT_ANY));
#undef SIM_FAULT_ANY
}
