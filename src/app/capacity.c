/*
 * See capacity.h.
 *
 * Timers come a millisecond late on average (io.h), which is much beside a service of five: a job counts as ended
 * that much before its time, so that the mean is right. Short services get a quarter of themselves at most.
 */
#include "app/capacity.h"

#define EARLY_MAX_US (1 * US_PER_MS)

static double early_us(const struct capacity *c)
{
	uint64_t quarter = c->options.service_us / 4;

	return (double)(quarter < EARLY_MAX_US ? quarter : EARLY_MAX_US);
}

/* Service that each request in flight gets in a unit of time; at most 1. */
static double speed(const struct capacity *c)
{
	double load = (double)c->in_flight / c->options.concurrent;
	double thrash = (load - c->options.thrash_from) * c->options.thrash_percent / 100;

	if (load <= 1)
		return 1;
	return 1 / (load * (thrash > 0 ? 1 + thrash : 1));
}

static void advance(struct capacity *c, uint64_t now_us)
{
	c->given += (double)(now_us - c->at_us) * speed(c);
	c->busy_us += (double)(now_us - c->at_us) * c->in_flight;
	c->at_us = now_us;
}

void capacity_init(struct capacity *c, const struct capacity_options *options, uint64_t now_us)
{
	*c = (struct capacity){.options = *options, .at_us = now_us};
	list_init(&c->jobs);
}

void capacity_set(struct capacity *c, unsigned concurrent, uint64_t now_us)
{
	advance(c, now_us);
	c->options.concurrent = concurrent;
}

bool capacity_enter(struct capacity *c, struct capacity_job *job, uint64_t now_us)
{
	if (c->options.reset_above != 0 && c->in_flight >= c->options.reset_above)
		return false;
	advance(c, now_us);
	job->ends = c->given + (double)c->options.service_us;
	list_push_back(&c->jobs, &job->node);
	c->in_flight++;
	if (c->in_flight > c->in_flight_max)
		c->in_flight_max = c->in_flight;
	return true;
}

void capacity_leave(struct capacity *c, struct capacity_job *job, uint64_t now_us)
{
	if (!list_linked(&job->node))
		return;
	advance(c, now_us);
	list_remove(&job->node);
	c->in_flight--;
}

struct capacity_job *capacity_take_ended(struct capacity *c, uint64_t now_us)
{
	struct list_node *first = list_first(&c->jobs);

	if (first == NULL)
		return NULL;
	struct capacity_job *job = container_of(first, struct capacity_job, node);

	advance(c, now_us);
	if (job->ends > c->given + early_us(c) * speed(c))
		return NULL;
	capacity_leave(c, job, now_us);
	return job;
}

double capacity_busy_us(struct capacity *c, uint64_t now_us)
{
	advance(c, now_us);
	return c->busy_us;
}

uint64_t capacity_next_us(const struct capacity *c)
{
	struct list_node *first = list_first(&c->jobs);

	if (first == NULL)
		return DEADLINE_NEVER;
	double left_us = (container_of(first, struct capacity_job, node)->ends - c->given) / speed(c) - early_us(c);

	/* One more, since what is cut off here may not be missing there. */
	return deadline_after(c->at_us, left_us > 0 ? (uint64_t)left_us + 1 : 0);
}
