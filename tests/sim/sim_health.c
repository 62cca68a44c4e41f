#include "sim_health.h"

#include <string.h>

#include "sim_faults.h"
#include "sim_oracle.h"
#include "sim_ports.h"

struct sim_health_config health_config;

/* Grains of time, ways through the network and back, pauses of benign faults. */
#define SLACK_US 300000
#define ANSWER_US 200000 /* and in the end an answer that is given at once */
#define PATIENT_MS 5000
#define BRISK_US 40000
#define BACK_SLACK_US 100000

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
	uint64_t at_us = world_now_us(), also = world_also(world_seed(), ALSO_SICKNESS);

	*health = (struct sim_health){.reloaded_us = at_us};
	/* Who is asked no question says nothing: it is up, or down. */
	if (!oracle_run_is_rough() || plan.health_tcp)
		return;
	if (also % 6 == 0) {
		/* All of them. */
		health->ever_sick = true;
		health->sick[0].from_us = at_us + also / 6 % 300000;
		health->sick[0].until_us = health->sick[0].from_us + 1 + also / 6 / 300000 % 3000000;
		return;
	}
	if (!world_chance(600))
		return;
	health->ever_sick = true;
	if (also % 6 < 3) {
		health->flaps_us = 500ULL * health_config.interval + world_below(2000ULL * health_config.interval);
		health->flaps_from_us = at_us;
		return;
	}
	for (int i = 0; i < SICKNESSES_MAX; i++) {
		at_us += world_below(500000);
		health->sick[i].from_us = at_us;
		at_us += world_chance(300) ? world_below(500000) : world_below(5000000);
		health->sick[i].until_us = at_us;
	}
}

void health_recover(struct sim_health *health)
{
	health->flaps_us = 0;
	for (int i = 0; i < SICKNESSES_MAX; i++)
		if (health->sick[i].until_us > world_now_us())
			health->sick[i].until_us = world_now_us();
}

void health_reloaded(struct sim_health *health)
{
	health->reloaded_us = world_now_us();
	health->well_us = 0;
}

static uint64_t checks_us(unsigned checks, uint64_t each_us)
{
	return checks * (1100ULL * health_config.interval + each_us) + SLACK_US;
}

static uint64_t active_recover_us(void)
{
	return plan.health ? checks_us(health_config.rise + 2, ANSWER_US) + 1000ULL * health_config.timeout : 0;
}

#define EJECTED_US 300000
#define EJECTED_MAX_US 1000000

void health_write(struct sim_text *text)
{
	text_printf(text, "    health:\n      panic_threshold: %s\n", plan.panics ? "50%" : "0");
	if (plan.health)
		text_printf(text, "      active: {type: %s, interval: %ums, timeout: %ums, rise: %u, fall: %u}\n",
			plan.health_http ? "http, path: " HEALTH_HTTP_PATH : plan.health_tcp ? "tcp" : "grpc", health_config.interval,
			health_config.timeout, health_config.rise, health_config.fall);
	if (plan.passive)
		text_printf(text,
			"      passive: {consecutive_failures: 2, max_wait: 200ms, min_requests: 5, base_time: %ums, "
			"max_time: %ums}\n",
			EJECTED_US / 1000, EJECTED_MAX_US / 1000);
	else if (plan.subsets)
		text_printf(text, "      passive: off\n");
}

/* With a tenth more by chance, and the tick in which it is seen. */
static uint64_t passive_recover_us(void)
{
	return plan.passive ? EJECTED_MAX_US * 11 / 10 + 2 * SLACK_US : 0;
}

uint64_t health_recover_us(void)
{
	uint64_t passive_us = passive_recover_us();
	uint64_t active_us = active_recover_us();

	return active_us > passive_us ? active_us : passive_us;
}

/* Since when it is sick now; UINT64_MAX: it is not. */
static uint64_t sick_since_us(const struct sim_health *health)
{
	uint64_t flaps = health->flaps_us != 0 ? (world_now_us() - health->flaps_from_us) / health->flaps_us : 0;

	if (health->flaps_us != 0 && flaps % 2 == 1)
		return health->flaps_from_us + flaps * health->flaps_us;
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

/* The same by HTTP. */
static bool answer_sick_http(struct sim_wire *wire, struct wire_stream *stream)
{
	struct block_writer block = {0};

	switch (world_below(5)) {
	case 0: return false;
	case 1: wire_put_reset(wire, stream, NGHTTP2_INTERNAL_ERROR); return true;
	case 2: return true; /* and silence */
	case 3:
		block_add(&block, ":status", "200");
		wire_put_head(wire, stream, &block, false);
		wire_put_reset(wire, stream, NGHTTP2_INTERNAL_ERROR);
		return true;
	default:
		block_add(&block, ":status", "503");
		wire_put_head(wire, stream, &block, true);
		return true;
	}
}

static bool answer_http(const struct sim_health *health, struct sim_wire *wire, struct wire_stream *stream)
{
	struct block_writer block = {0};

	if (sick_since_us(health) != UINT64_MAX)
		return answer_sick_http(wire, stream);
	block_add(&block, ":status", world_chance(500) ? "200" : "204");
	wire_put_head(wire, stream, &block, true);
	return true;
}

bool health_answer(struct sim_health *health, struct sim_wire *wire, struct wire_stream *stream)
{
	if (plan.health_http)
		return answer_http(health, wire, stream);
	if (sick_since_us(health) != UINT64_MAX)
		return answer_sick(wire, stream);
	put_message(wire, stream, 1);
	return true;
}

/* False: the connection is to end. */
static bool answer_sick_h1(struct sim_end *end)
{
	static const char *const answers[] = {"HTTP/1.1 503 Said So\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404 Said So\r\n\r\n",
		"HTTP/1.1 302 Said So\r\nContent-Length: 3\r\n\r\nabc", "HTTQ/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "HTTP/1.1 200 OK\r\nContent-Le"};
	unsigned which = (unsigned)world_below(sizeof(answers) / sizeof(*answers) + 2);

	/* And silence. */
	if (which < 2)
		return which == 0;
	end_send(end, answers[which - 2], strlen(answers[which - 2]));
	return world_chance(500);
}

bool health_answer_h1(struct sim_health *health, struct sim_end *end)
{
	static const char *const answers[] = {"HTTP/1.1 204 Said So\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.0 299 OK\r\nConnection: close\r\n\r\nwell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"};
	unsigned which = (unsigned)world_below(sizeof(answers) / sizeof(*answers));

	if (sick_since_us(health) != UINT64_MAX)
		return answer_sick_h1(end);
	end_send(end, answers[which], strlen(answers[which]));
	/* Two of them have no other end. */
	return which != 1 && which != 3 && world_chance(500);
}

/* --- rules -------------------------------------------------------------------------------------------------------- */

void health_check_arrival(const struct sim_health *health, const struct sim_request *request, unsigned port)
{
	uint64_t since_us = sick_since_us(health);
	uint64_t out_us;

	/* Checks that could not be made say nothing, and with the clock nobody knows. */
	if (since_us == UINT64_MAX || plan.panics || faults.alloc_fails != 0 || faults.connect_fails != 0 || faults.watch_fails != 0 ||
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

/* The network, the machine, and what may come of connections make none fail. What servers go through as a whole is left out. */
static bool are_undisturbed(void)
{
	struct sim_faults f = faults;

	f.alloc_fails = f.connect_fails = f.watch_fails = f.accept_emfile = f.accept_aborted = 0;
	f.client_leaves = f.client_stalls = f.client_dawdles = f.client_impatient = f.client_resets = f.client_breaks = 0;
	f.malformed = f.answer_defect = f.server_idle_close = f.server_keep_alive = 0;
	f.server_head_reset = f.server_unsolicited = f.server_refuses = 0;
	f.tight_limits = f.drain_midway = 0;
	if (plan.servers_h2)
		f.server_hasty = 0;
	f.server_down = f.server_hangs = f.server_stalls = 0;
#define SIM_FAULT_ANY(field) || f.field != 0
	return !(false SIM_HOSTILE(SIM_FAULT_ANY));
#undef SIM_FAULT_ANY
}

bool health_cannot_fail(const struct sim_health *health)
{
	return !health->ever_sick && health_config.timeout >= PATIENT_MS && faults.server_down == 0 && faults.server_hangs == 0 &&
	       faults.server_stalls == 0 && are_undisturbed();
}

/* Ways there and back, in pieces. */
static uint64_t answer_us(void)
{
	return plan.slow || faults.one_byte_read != 0 ? ANSWER_US : BRISK_US;
}

/* A check for which the gateway is short of something fails for nobody, and passes for nobody. */
static bool are_asked(void)
{
	return are_undisturbed() && faults.alloc_fails == 0 && faults.connect_fails == 0 && faults.watch_fails == 0;
}

void health_check_back(struct sim_health *health, const struct sim_port *port, bool is_up, bool is_out)
{
	uint64_t back_us, check_us = 1100ULL * health_config.interval + answer_us();

	if (!is_up || sick_since_us(health) != UINT64_MAX || !are_asked() || health_is_impatient()) {
		health->well_us = 0;
		return;
	}
	if (health->well_us == 0) {
		health->well_us = world_now_us();
		health->had_check = port->checks > 0;
	}
	back_us = health->well_us + (health_config.rise + 1) * check_us + BACK_SLACK_US;
	/* It may have got no answer, and end no sooner. */
	if (health->had_check)
		back_us += 1000ULL * health_config.timeout;
	if (is_out && world_now_us() > back_us)
		world_violation("7: who is well is back in service within the checks that it takes",
			"port %u is well since %llu us, and was to be back at %llu us", port->port,
			(unsigned long long)health->well_us, (unsigned long long)back_us);
}

void health_check_ejected(unsigned port, uint64_t since_us)
{
	if (faults.clock_jumps == 0 && world_now_us() > since_us + passive_recover_us())
		world_violation("7: who is ejected comes back", "port %u, since %llu us", port, (unsigned long long)since_us);
}
