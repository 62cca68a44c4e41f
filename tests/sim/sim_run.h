/*
 * One run: a world, a gateway of one or two workers in it, clients and servers, from a seed to balanced books.
 */
#ifndef WEIR_SIM_RUN_H
#define WEIR_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

/* Runs a seed to its end; returns the hash of its trace. A broken rule does not return (see world_violation). */
uint64_t sim_run(uint64_t seed);

/* What clients and servers speak: "h1-h1", "h1-h2", "h2-h1" or "h2-h2"; without it the seed says. False: none of these. */
bool sim_speak(const char *what);
bool sim_draws_as_told(void);

/*
 * From now on upstreams do without what watches them, sends again, sheds and limits: a bug that needs none of that shows itself
 * sooner where none of it comes between.
 */
void sim_plainly(void);

struct io_source;
struct sim_request;

/* The number of the oldest generation that a worker has in force. */
unsigned run_oldest_generation(void);
/* Of the latest. */
unsigned run_latest_generation(void);

/* Nothing was against that server's serving, from then until now. */
bool run_serves_since(unsigned port, uint64_t since_us);

/* A request has come there: who is ejected gets none that began behind that. */
void run_check_arrival(const struct sim_request *request, unsigned port);

/* The gateway is told to end. */
bool run_is_draining(void);

/* The connection is that of a health check. */
bool run_is_check(const struct io_source *source);

#endif
