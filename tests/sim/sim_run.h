/*
 * One run: a world, a gateway of one or two workers in it, clients and servers, from a seed to balanced books.
 */
#ifndef WEIR_SIM_RUN_H
#define WEIR_SIM_RUN_H

#include <stdint.h>

/* Runs a seed to its end; returns the hash of its trace. A broken rule does not return (see world_violation). */
uint64_t sim_run(uint64_t seed);

#endif
