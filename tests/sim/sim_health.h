/*
 * Health checks (grpc.health.v1, or a request by HTTP) as servers answer them: well most of the time, and in times of sickness in every wrong way.
 *
 * Some flap: they are sick and well in turn, each for about the time between two checks. Some are all sick at the same time.
 *
 * Whoever is sick for long enough is out of service, and whoever comes new gets nothing there; who is well again gets requests
 * after some checks. A check fails for what the server does, and not for what the gateway is short of.
 */
#ifndef WEIR_SIM_HEALTH_H
#define WEIR_SIM_HEALTH_H

#include "sim_wire.h"

struct sim_port;
struct sim_request;

#define SICKNESSES_MAX 2
#define HEALTH_PATH "/grpc.health.v1.Health/Check"
#define HEALTH_HTTP_PATH "/healthz"

/* The same for all upstreams of a run; in milliseconds. */
struct sim_health_config {
	unsigned interval, timeout, rise, fall;
};
extern struct sim_health_config health_config;

/* Of one server. */
struct sim_health {
	struct {
		uint64_t from_us, until_us;
	} sick[SICKNESSES_MAX];
	bool ever_sick;
	uint64_t flaps_us, flaps_from_us; /* sick and well for so long, from then on; 0: it does not flap */
	uint64_t reloaded_us; /* checks may have begun anew then */
	uint64_t well_us;     /* since then nothing stands between a check and its passing; 0: something does */
	bool had_check;       /* one was under way then */
};

/* What is drawn with the configuration of a run that has checks. */
void health_draw_config(void);
void health_draw(struct sim_health *health);
/* Well from now on. */
void health_recover(struct sim_health *health);
void health_reloaded(struct sim_health *health);

/* What stands in the configuration of an upstream. */
void health_write(struct sim_text *text);

/* So long after everything has become well everybody is in service again. */
uint64_t health_recover_us(void);

/* A check has been asked, to its end. False: the connection is to end. */
bool health_answer(struct sim_health *health, struct sim_wire *wire, struct wire_stream *stream);

/* The same on a connection of HTTP/1. */
bool health_answer_h1(struct sim_health *health, struct sim_end *end);

/* A request has come: who asked so late must not get here. */
void health_check_arrival(const struct sim_health *health, const struct sim_request *request, unsigned port);

/* After every turn: who can be asked without fault, and well it is, is not kept out for longer than it takes. */
void health_check_back(struct sim_health *health, const struct sim_port *port, bool is_up, bool is_out);
/* It is ejected since then: nobody is for longer than max_time. */
void health_check_ejected(unsigned port, uint64_t since_us);

/* Checks have so little time that one may fail although nothing is wrong any more. */
bool health_is_impatient(void);

/* Nothing that servers or the network did could make a check fail. */
bool health_cannot_fail(const struct sim_health *health);

#endif
