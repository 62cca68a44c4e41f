/*
 * Rate limits that refuse, of the route to upstream 0, as some runs have them: one of the four algorithms.
 *
 * Nothing of a request that is refused reaches a server, and it is told when to come again. No more pass than the algorithm
 * allows, and no more run at once. Who is delayed waits no longer than it may; who leaves meanwhile is gone, and its place is
 * another's: when the faults are over everybody is served.
 */
#ifndef WEIR_SIM_LIMITS_H
#define WEIR_SIM_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct sim_reader;
struct sim_request;
struct sim_text;
struct worker;

/* Whether the run has them. After its faults. */
void limits_draw_plan(uint64_t seed);

/* What stands among the filters of the route. */
void limits_write(struct sim_text *text);

/* Such a request may be refused. */
bool limits_may_refuse(const struct sim_request *request);
/* It was. */
void limits_check_refused(const struct sim_request *request, const struct sim_reader *reader);

/* It is tried for the first time: one more has passed. */
void limits_check_passed(const struct sim_request *request);

/* After every turn: of all workers. */
void limits_check_turn(struct worker *const *workers, unsigned count);

#endif
