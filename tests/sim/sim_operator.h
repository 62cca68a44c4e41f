/*
 * The operator, who in some runs takes endpoints out of service while requests run, drains them, gives them other weights, and takes
 * that back.
 *
 * What is said holds at once, for all workers: nothing that begins behind it gets to an endpoint that is disabled or has no weight. It
 * holds over reloads, as long as the endpoint is in the file. What is under way there ends as it would have: in a run without faults
 * nobody notices, since one of two endpoints always serves. When all is taken back everybody serves.
 */
#ifndef WEIR_SIM_OPERATOR_H
#define WEIR_SIM_OPERATOR_H

#include "sim_config.h"

struct generation;
struct sim_request;

/* Whether the run has one. After its faults. */
void operator_draw_plan(uint64_t seed);

/* The servers are there, and requests begin. `generation` is where the one in force stands; until operator_end. */
void operator_begin(const struct sim_setup *setup, struct generation *const *generation);

/* Another one is in force. */
void operator_reloaded(void);

/* From now on everybody serves. */
void operator_end(void);

/* The request has come to that port. */
void operator_check_arrival(const struct sim_request *request, unsigned port);

/* Somebody was taken out at any time of the run: there may have been nobody left, or nobody else. */
bool operator_has_taken_out(void);

/* Over all runs. */
void operator_tell_tally(void);
bool operator_tally_is_full(void);

#endif
