/*
 * Where clients are let in: listeners, which in some runs open, close and move at reloads while requests are under way and connections
 * idle.
 *
 * A listener that the configurations before and behind a reload have lets everybody in all the while. One that is gone takes whoever has
 * connected to it by then, answers what is under way, and is there no longer than its last client. A worker listens where its
 * configuration says, and nowhere else: not before it has taken a reload, since who connects would be lost when it refuses that.
 */
#ifndef WEIR_SIM_DOORS_H
#define WEIR_SIM_DOORS_H

#include <stdbool.h>
#include <stdint.h>

#define CLIENT_PORT 8080  /* and the ones that follow */
#define DOORS_MAX 3

struct sim_conn;
struct worker;

/* Whether the run has more than one. After its faults. */
void doors_draw_plan(uint64_t seed);

/* Those of the next configuration, as a mask. */
unsigned doors_draw(void);

/* A client connects; its end of the connection. NULL: it was refused, which may be. */
struct sim_end *doors_connect(unsigned client, void *owner, void (*on_change)(struct sim_end *end, unsigned changes));

/* After every turn in which nobody drains. */
void doors_check_turn(struct worker *const *workers, unsigned count);

/* Some that are gone are there still. */
bool doors_are_leaving(const struct worker *worker);

/* A listener is closed, with so many that have connected to it; also that of a reload which is refused, or given up. */
void doors_check_close(unsigned port, unsigned waiting);

/* Over all runs. */
void doors_tell_tally(void);
bool doors_tally_is_full(void);

#endif
