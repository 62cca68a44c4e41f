/*
 * A backend's capacity: `concurrent` requests at once take `service_us` each; more share the same power, and beyond a
 * multiple of it they get in each other's way as well.
 *
 *     speed of one request, n in flight, C = concurrent
 *
 *     1 |--------.
 *       |         `-.   C / n: shared fairly, the throughput stays
 *       |            `--.
 *       |                `--.___   and divided by 1 + thrash * (n / C - thrash_from): the throughput falls
 *       +--------|--------|----------> n
 *                C     thrash_from * C
 *
 * All requests need the same amount of service, so sharing fairly means that they end in the order in which they
 * came: a queue and one clock of "service given so far" are the whole model, and every step is O(1). No sockets, no
 * clock: time is passed in and never goes back.
 */
#ifndef WEIR_APP_CAPACITY_H
#define WEIR_APP_CAPACITY_H

#include "base/list.h"
#include "base/units.h"

struct capacity_options {
	unsigned concurrent;        /* 0: no model, everything is served at once */
	uint64_t service_us;
	unsigned thrash_percent;    /* how much slower for each multiple of `concurrent` beyond thrash_from */
	unsigned thrash_from;       /* multiple of `concurrent` */
	unsigned reset_above;       /* in flight; 0: no limit */
};

/* A request in flight. Stands inside its owner; zero-initialise. */
struct capacity_job {
	struct list_node node;
	double ends;                /* when `given` gets there */
};

struct capacity {
	struct capacity_options options;
	struct list jobs;           /* in order of their end */
	unsigned in_flight;
	unsigned in_flight_max;     /* the most there were */
	uint64_t at_us;             /* the moment of `given` */
	double given;               /* microseconds of service that a request in flight all the while would have got */
	double busy_us;             /* the times that requests have been in flight so far, added up */
};

void capacity_init(struct capacity *capacity, const struct capacity_options *options, uint64_t now_us);

/* So many at once from now on, and those in flight go on with that. */
void capacity_set(struct capacity *capacity, unsigned concurrent, uint64_t now_us);

/* False, and nothing has changed, when more than reset_above would be in flight. */
bool capacity_enter(struct capacity *capacity, struct capacity_job *job, uint64_t now_us);

/* Before its end. Legal on a job that is not in flight. */
void capacity_leave(struct capacity *capacity, struct capacity_job *job, uint64_t now_us);

/* The next job that has ended, no longer in flight; NULL: none has. */
struct capacity_job *capacity_take_ended(struct capacity *capacity, uint64_t now_us);

/* busy_us up to now. Its growth in a time, by that time, is how many were in flight on average. */
double capacity_busy_us(struct capacity *capacity, uint64_t now_us);

/*
 * When capacity_take_ended() has something to take if nobody enters or leaves; DEADLINE_NEVER when nothing is in
 * flight.
 */
uint64_t capacity_next_us(const struct capacity *capacity);

#endif
