/* See limiter_run.h. An event is what happens next inside the backend, or an arrival. */
#include "limiter_run.h"

#include "base/check.h"
#include "base/units.h"

#include <math.h>
#include <string.h>

#define WAITING_MAX 10000
#define PER_SERVICE 50
#define LOOK_US 100000

static unsigned limit(const struct run *r)
{
	return r->traffic.limit_fixed != 0 ? r->traffic.limit_fixed : r->limiter.limit;
}

static void merge_if_due(struct run *r, struct limiter_window *w)
{
	uint64_t dipped_us = r->limiter.dipped_us;

	if (limiter_window_due(w, r->now_us))
		limiter_merge(&r->limiter, w, r->now_us);
	r->dips += r->limiter.dipped_us != dipped_us;
	if (r->now_us < r->traffic.measure_from_us)
		return;
	r->limit_low = limit(r) < r->limit_low ? limit(r) : r->limit_low;
	r->limit_high = limit(r) > r->limit_high ? limit(r) : r->limit_high;
}

static void start_waiting(struct run *r)
{
	while (r->waiting > 0 && r->in_flight < limit(r)) {
		unsigned worker = (unsigned)(r->entered++ % RUN_WORKERS);

		r->waiting--;
		r->in_flight++;
		limiter_enter(&r->windows[worker], r->now_us);
		backend_enter(&r->backend, worker, r->now_us);
	}
}

static void measure(struct run *r, uint64_t latency_us)
{
	uint64_t at = latency_us * PER_SERVICE / (uint64_t)r->backend.shape.service_us;

	if (r->now_us < r->traffic.measure_from_us)
		return;
	r->latency_sum_us += (double)latency_us;
	r->measured++;
	r->latency_percents[at < RUN_LATENCIES_MAX ? at : RUN_LATENCIES_MAX - 1]++;
}

static void end(struct run *r, const struct backend_job *job)
{
	struct limiter_window *w = &r->windows[job->client];
	uint64_t latency_us = r->now_us - job->entered_us;

	r->ended[r->now_us / RUN_BUCKET_US]++;
	measure(r, latency_us);
	limiter_sample(w, latency_us);
	limiter_leave(w, r->now_us);
	merge_if_due(r, w);
	r->in_flight--;
	if (r->traffic.clients != 0)
		r->waiting++;
}

static void arrive(struct run *r)
{
	const struct traffic *t = &r->traffic;

	if (r->now_us < r->arrival_us)
		return;
	if (r->waiting < WAITING_MAX)
		r->waiting++;
	r->arrival_us = r->now_us + 1 + (uint64_t)(-1e6 / t->rate * log(backend_draw(&r->backend)));
	if (t->until_us != 0 && r->arrival_us > t->until_us)
		r->arrival_us = DEADLINE_NEVER;
}

/* As long as somebody waits. */
static void look(struct run *r)
{
	if (r->now_us < r->look_us)
		return;
	r->look_us += LOOK_US;
	if (r->waiting > 0 && r->in_flight >= limit(r))
		limiter_stagnates(&r->limiter, r->now_us);
}

static void begin(struct run *r, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	backend_init(&r->backend, shape, seed);
	limiter_init(&r->limiter, 1, traffic->limit_max, 0);
	r->traffic = *traffic;
	r->waiting = traffic->clients;
	r->arrival_us = traffic->clients != 0 ? DEADLINE_NEVER : 0;
	r->limit_low = UINT32_MAX;
	r->look_us = LOOK_US;
	CHECK(traffic->seconds * US_PER_S / RUN_BUCKET_US <= RUN_BUCKETS_MAX);
}

void run(struct run *r, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed)
{
	struct backend_job job;

	begin(r, shape, traffic, seed);
	for (;;) {
		start_waiting(r);
		r->now_us = deadline_min(deadline_min(backend_next_us(&r->backend), r->arrival_us), r->look_us);
		if (r->now_us >= traffic->seconds * US_PER_S)
			return;
		arrive(r);
		look(r);
		while (backend_take_ended(&r->backend, &job, r->now_us))
			end(r, &job);
	}
}

double run_goodput(const struct run *r, double from_s, double to_s)
{
	double ended = 0;

	for (unsigned at = (unsigned)(from_s * 1e6 / RUN_BUCKET_US); at < (unsigned)(to_s * 1e6 / RUN_BUCKET_US); at++)
		ended += r->ended[at];
	return ended / (to_s - from_s);
}

double run_latency_mean_us(const struct run *r)
{
	return r->measured != 0 ? r->latency_sum_us / r->measured : 0;
}

double run_latency_quantile_us(const struct run *r, double quantile)
{
	double left = quantile * r->measured;
	unsigned at = 0;

	for (; at < RUN_LATENCIES_MAX - 1 && left > r->latency_percents[at]; at++)
		left -= r->latency_percents[at];
	return (at + 1) * r->backend.shape.service_us / PER_SERVICE;
}
