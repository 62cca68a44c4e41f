/*
 * One clock of "service given so far" for all requests that are served, so each event is one step in a heap by their
 * ends on that clock, whatever the speed does: sharing, a pause, a change. The speed is constant between events, and
 * a pause, its end and a change are events.
 */
#include "backend_model.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/units.h"

#include <math.h>
#include <stddef.h>

#define TWO_PI 6.283185307179586

double backend_draw(struct backend *b)
{
	return (double)((hash_u64(b->seed, b->draws++) >> 12) + 1) / (double)(1ULL << 52);
}

static double need_us(struct backend *b)
{
	double mean_us = b->shape.service_us;

	if (b->at_us < b->shape.warm_us)
		mean_us *= 4 - 3 * (double)b->at_us / (double)b->shape.warm_us;
	switch (b->shape.law) {
	case BACKEND_FIXED: break;
	case BACKEND_EXPONENTIAL: return -mean_us * log(backend_draw(b));
	case BACKEND_TENFOLD: return mean_us / 1.9 * (backend_draw(b) <= 0.9 ? 1 : 10);
	case BACKEND_LOGNORMAL: {
		double radius = sqrt(-2 * log(backend_draw(b)));

		return mean_us * exp(radius * cos(TWO_PI * backend_draw(b)) - 0.5);
	}
	}
	return mean_us;
}

static bool paused(const struct backend *b)
{
	return b->resume_at_us != DEADLINE_NEVER;
}

static double speed(const struct backend *b)
{
	double load = (double)b->served / b->shape.servers;
	double thrash = (load - b->shape.thrash_from) * b->shape.thrash_percent / 100;

	if (paused(b))
		return 0;
	if (b->shape.sharing == BACKEND_FIFO || load <= 1)
		return 1;
	return 1 / (load * (thrash > 0 ? 1 + thrash : 1));
}

static void advance(struct backend *b, uint64_t now_us)
{
	b->given += (double)(now_us - b->at_us) * speed(b);
	b->at_us = now_us;
}

void backend_init(struct backend *b, const struct backend_shape *shape, uint64_t seed)
{
	b->shape = *shape;
	b->changed = b->served = b->waiting = b->first = 0;
	b->draws = b->at_us = 0;
	b->seed = seed * HASH_ROOT_2;
	b->given = b->needed_us = b->needs = 0;
	b->pause_at_us = shape->pause_us != 0 ? shape->pause_every_us : DEADLINE_NEVER;
	b->resume_at_us = DEADLINE_NEVER;
}

/* --- the heap --------------------------------------------------------------------------------------------------------- */

static void push(struct backend *b, struct backend_job job)
{
	unsigned at = b->served++;

	for (; at > 0 && b->heap[(at - 1) / 2].ends > job.ends; at = (at - 1) / 2)
		b->heap[at] = b->heap[(at - 1) / 2];
	b->heap[at] = job;
}

static struct backend_job pop(struct backend *b)
{
	struct backend_job top = b->heap[0], last = b->heap[--b->served];
	unsigned at = 0;

	for (unsigned child; (child = 2 * at + 1) < b->served; at = child) {
		if (child + 1 < b->served && b->heap[child + 1].ends < b->heap[child].ends)
			child++;
		if (b->heap[child].ends >= last.ends)
			break;
		b->heap[at] = b->heap[child];
	}
	b->heap[at] = last;
	return top;
}

/* --- events ----------------------------------------------------------------------------------------------------------- */

static bool has_room(const struct backend *b)
{
	return b->shape.sharing == BACKEND_FAIR || b->served < b->shape.servers;
}

static void serve_waiting(struct backend *b)
{
	while (b->waiting > 0 && has_room(b)) {
		struct backend_job job = b->ring[b->first];

		b->first = (b->first + 1) % BACKEND_INSIDE_MAX;
		b->waiting--;
		job.ends += b->given;
		push(b, job);
	}
}

bool backend_enter(struct backend *b, unsigned client, uint64_t now_us)
{
	if (b->shape.reset_above != 0 && b->served + b->waiting >= b->shape.reset_above)
		return false;
	CHECK(b->served + b->waiting < BACKEND_INSIDE_MAX);
	advance(b, now_us);
	double us = need_us(b);

	b->needed_us += us;
	b->needs++;
	b->ring[(b->first + b->waiting++) % BACKEND_INSIDE_MAX] =
		(struct backend_job){.ends = us, .entered_us = now_us, .client = client};
	serve_waiting(b);
	return true;
}

void backend_pause(struct backend *b, uint64_t now_us, uint64_t until_us)
{
	advance(b, now_us);
	b->resume_at_us = until_us;
}

uint64_t backend_oldest_us(const struct backend *b)
{
	uint64_t oldest_us = DEADLINE_NEVER;

	for (unsigned at = 0; at < b->served; at++)
		oldest_us = deadline_min(oldest_us, b->heap[at].entered_us);
	return b->waiting > 0 ? deadline_min(oldest_us, b->ring[b->first].entered_us) : oldest_us;
}

static const struct backend_change *next_change(const struct backend *b)
{
	const struct backend_change *change = &b->shape.changes[b->changed];

	return b->changed < 2 && change->at_us != 0 ? change : NULL;
}

uint64_t backend_next_us(const struct backend *b)
{
	const struct backend_change *change = next_change(b);
	uint64_t next_us = deadline_min(b->pause_at_us, b->resume_at_us);

	if (change != NULL)
		next_us = deadline_min(next_us, change->at_us);
	if (b->served > 0 && !paused(b)) {
		double left_us = (b->heap[0].ends - b->given) / speed(b);

		next_us = deadline_min(next_us, b->at_us + (left_us > 0 ? (uint64_t)left_us + 1 : 0));
	}
	return next_us;
}

static void happen(struct backend *b, uint64_t now_us)
{
	const struct backend_change *change = next_change(b);

	if (now_us >= b->pause_at_us) {
		b->resume_at_us = b->pause_at_us + b->shape.pause_us;
		b->pause_at_us += b->shape.pause_every_us;
	}
	if (now_us >= b->resume_at_us)
		b->resume_at_us = DEADLINE_NEVER;
	if (change != NULL && now_us >= change->at_us) {
		b->shape.servers = change->servers;
		b->shape.service_us = change->service_us;
		b->changed++;
		serve_waiting(b);
	}
}

bool backend_take_ended(struct backend *b, struct backend_job *job, uint64_t now_us)
{
	advance(b, now_us);
	happen(b, now_us);
	if (b->served == 0 || b->heap[0].ends > b->given)
		return false;
	*job = pop(b);
	serve_waiting(b);
	return true;
}
