/*
 * Reloads that a worker refuses, in some runs: there is no memory for what it has to make, at any moment up to the change, no socket for a
 * new listener, or somebody else listens at its address by the time that it is to. Then it is as it was: it serves on with what it had, beside others that have taken the reload, and nothing is
 * left of what it had made. It is told again, later. Nobody who asks for something notices.
 *
 * The same where there is no memory for the generation itself.
 */
#ifndef WEIR_SIM_REFUSALS_H
#define WEIR_SIM_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct generation;
struct io;
struct shared;
struct worker;

/* Whether the run has them. After its faults. */
void refusals_draw_plan(uint64_t seed);

/* As generation_create; in between it may fail once, of which nothing is left. */
struct generation *refusals_create(struct shared *shared, const struct config *config);

/* As worker_reload, of which any allocation may fail. */
bool refusals_reload(struct worker *worker, unsigned index, struct generation *generation);

/* It has ended. */
void refusals_told(struct worker *worker, unsigned index, bool taken);

/* Until the worker is told again. */
uint64_t refusals_pause_us(void);

/* A worker is to have a listener: there is no socket. */
bool refusals_bind(void);

/* The worker of that loop is to listen: somebody else does. */
bool refusals_listen(const struct io *io);

/* Over all runs. */
void refusals_tell_tally(void);
bool refusals_tally_is_full(void);

#endif
