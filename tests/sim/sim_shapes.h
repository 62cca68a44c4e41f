/*
 * What configurations of a run differ in, drawn anew at each reload in runs that have some of it: which endpoints may get a route's
 * requests (subsets), which routes there are and where they lead, in which zone the gateway stands, and where it listens (sim_doors.h).
 *
 * A request is served by one configuration: one that was in force when it began, or has come since. What becomes of it must be right by
 * one of these.
 */
#ifndef WEIR_SIM_SHAPES_H
#define WEIR_SIM_SHAPES_H

#include <stdbool.h>
#include <stdint.h>

struct generation;
struct sim_request;
struct sim_text;

struct sim_shape {
	unsigned doors;    /* listeners, as a mask */
	bool moved;        /* route r0 leads to UPSTREAM_MOVED, which is not there otherwise */
	bool gone;         /* there is no route r1 */
	unsigned serving;  /* servers of upstream 0 in service, as a mask */
	unsigned subset;   /* of route r0: 1 + the one server that may get its requests; 0: all may */
	unsigned zone;     /* the gateway's: 1 + the server of upstream 0 that stands there; 0: none */
};

/* Whether the run has them. After its faults. */
void shapes_draw_plan(uint64_t seed);

/* Of the next configuration, in which `serving` are in service. */
void shape_draw(struct sim_shape *shape, unsigned serving);

/* What stands in the configuration: at its root, behind the address of an endpoint of upstream 0, in route r0. */
void shape_write_root(struct sim_text *text, const struct sim_shape *shape);
void shape_write_endpoint(struct sim_text *text, unsigned server);
void shape_write_route(struct sim_text *text, const struct sim_shape *shape);

/* That generation has that shape, and is the newest. */
void shapes_enter(const struct generation *generation, const struct sim_shape *shape);

/* Its client begins to send it. */
void shapes_request_begins(struct sim_request *request);

/* Listeners of that generation, of the latest that a worker has, and of all or any of those that workers may have, as a mask. */
unsigned shapes_doors_of(const struct generation *generation);
unsigned shapes_doors_latest(void);
unsigned shapes_doors_all(void);
unsigned shapes_doors_any(void);

/* A configuration that it may be served by leads it to that upstream; has no route for it. */
bool shapes_lead_to(const struct sim_request *request, unsigned upstream);
bool shapes_may_lack_route(const struct sim_request *request);
/* The newest has a route for what is asked of that upstream. */
bool shapes_newest_has(unsigned upstream);
/* Route r1 was away at any time. */
bool shapes_have_lost_route(void);

/* It has come to that port. */
void shapes_check_arrival(const struct sim_request *request, unsigned port);

#endif
