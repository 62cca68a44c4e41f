/*
 * The run that is under way, for the files that make it: sim_run.c (its phases), sim_gateway.c (what is tried), sim_turns.c (how time
 * passes, and what holds after each turn), sim_plan.c (what is drawn of it before it begins).
 */
#ifndef WEIR_SIM_RUN_STATE_H
#define WEIR_SIM_RUN_STATE_H

#include "gateway/worker.h"
#include "sim_actors.h"
#include "sim_run.h"

#define WORKERS_MAX 2
#define CLIENTS_MAX 24
#define JUMPS_MAX 4
#define RELOADS_MAX 4

/* Until all workers have a configuration. */
#define ADOPTED_US 50000

enum run_phase { RUN_ROUGH, RUN_CALM, RUN_QUIET, RUN_DRAIN, RUN_OVER };

struct sim_run {
	struct sim_setup setup;
	struct shared *shared;
	struct generation *generation;
	struct generation *before[RELOADS_MAX];  /* those that are to be freed by and by; NULL: nobody looks */
	unsigned reloads;
	struct sim_event reload[RELOADS_MAX], adopt[WORKERS_MAX];
	struct io *ios[WORKERS_MAX];
	struct worker *workers[WORKERS_MAX];
	bool draining, drained[WORKERS_MAX];
	bool tells[WORKERS_MAX];  /* the worker hands records over */
	uint64_t finished;  /* records that were handed over */
	struct sim_server *servers[SERVERS_MAX];
	struct sim_client *clients[CLIENTS_MAX];
	unsigned client_count;
	struct sim_event jumps[JUMPS_MAX], drain;
	uint64_t jumped_us;
	unsigned spared[UPSTREAMS_MAX];  /* probes that a breaker has turned away */
	size_t baseline_bytes;
	uint64_t turns;
};

extern struct sim_run run;

/* --- sim_plan.c --------------------------------------------------------------------------------------------------- */

/* What is spoken, and what the run is about. */
void plan_draw(uint64_t seed);

/* How fast the network is, and how much is sent over it. */
void network_draw(void);

/* --- sim_gateway.c ------------------------------------------------------------------------------------------------ */

/* Of run.setup, with no faults but that memory is refused to a worker. */
void gateway_create(void);

/* Tells every worker to drain or to stop, once. */
void gateway_drain(uint64_t span_us);

/* When all have drained. Nothing of it is left. */
void gateway_free(void);

/* Reloads that were drawn too late for the clients, or found no memory, are done now. */
void reloads_finish(void);
bool all_reloaded(void);

/* Nothing runs any more: nobody has a reference to what was replaced. */
void check_generations(void);

uint64_t exchanges_of(unsigned worker);
uint64_t exchanges_live(void);
uint64_t connections_live(void);

/* No client is there, nor a listener on its way out. */
bool nothing_runs(void);
bool all_drained(void);

/* --- sim_turns.c -------------------------------------------------------------------------------------------------- */

/* Turns until `done`, or until nothing is planned any more or limit_us has come. False: not done. */
bool turns_until(bool (*done)(void), uint64_t limit_us);

/* For turns_until(). */
bool never(void);

#endif
