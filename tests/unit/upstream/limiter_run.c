/* See limiter_run.h. An event is what happens next inside the backend, to a worker or on the way, or an arrival. */
#include "limiter_run.h"

#include "base/check.h"
#include "base/units.h"

#include <math.h>
#include <string.h>

#define WAITING_MAX 10000
#define PER_SERVICE 50
#define LOOK_US 100000
#define LOSS_US 2000 /* until one that was not taken is known, and asks again */

static unsigned limit(const struct run *r)
{
	return r->traffic.limit_fixed != 0 ? r->traffic.limit_fixed : r->limiter.limit;
}

/* Since the beginning. */
static uint64_t age_us(const struct run *r)
{
	return r->now_us - r->traffic.begin_us;
}

static double random_us(struct run *r, double mean_us)
{
	return -mean_us * log(backend_draw(&r->backend));
}

static void note_limit(struct run *r)
{
	if (age_us(r) < r->traffic.measure_from_us)
		return;
	r->limit_low = limit(r) < r->limit_low ? limit(r) : r->limit_low;
	r->limit_high = limit(r) > r->limit_high ? limit(r) : r->limit_high;
}

static void merge_if_due(struct run *r, struct limiter_window *w)
{
	uint64_t dipped_us = r->limiter.dipped_us;

	if (limiter_window_due(w, r->now_us))
		limiter_merge(&r->limiter, w, r->now_us);
	r->dips += r->limiter.dipped_us != dipped_us;
	note_limit(r);
}

static bool is_awake(const struct run *r, const struct run_worker *worker)
{
	return r->now_us >= worker->awake_us;
}

/* In turn, but for those that stand still; RUN_WORKERS: all do. */
static unsigned next_worker(struct run *r)
{
	for (unsigned tried = 0; tried < RUN_WORKERS; tried++) {
		unsigned worker = (unsigned)(r->entered++ % RUN_WORKERS);

		if (is_awake(r, &r->workers[worker]))
			return worker;
	}
	return RUN_WORKERS;
}

static void put(struct run_outcomes *o, struct run_outcome outcome)
{
	CHECK(o->count < BACKEND_INSIDE_MAX);
	o->ring[(o->first + o->count++) % BACKEND_INSIDE_MAX] = outcome;
}

/* NULL: none has come by now. Good until the next put(). */
static const struct run_outcome *take(struct run_outcomes *o, uint64_t now_us)
{
	const struct run_outcome *outcome = &o->ring[o->first];

	if (o->count == 0 || outcome->at_us > now_us)
		return NULL;
	o->first = (o->first + 1) % BACKEND_INSIDE_MAX;
	o->count--;
	return outcome;
}

static void start(struct run *r, unsigned worker)
{
	struct backend_job job = {.client = worker, .entered_us = r->now_us};

	r->waiting--;
	r->in_flight++;
	limiter_enter(&r->workers[worker].window, r->now_us);
	if (!backend_enter(&r->backend, worker, r->now_us))
		put(&r->lost, (struct run_outcome){.job = job, .at_us = r->now_us + LOSS_US, .lost = true});
}

static void start_waiting(struct run *r)
{
	while (r->waiting > 0 && r->in_flight < limit(r)) {
		unsigned worker = next_worker(r);

		if (worker == RUN_WORKERS)
			return;
		start(r, worker);
	}
}

static void measure(struct run *r, uint64_t latency_us)
{
	uint64_t at = latency_us * PER_SERVICE / (uint64_t)r->backend.shape.service_us;

	if (age_us(r) < r->traffic.measure_from_us)
		return;
	r->latency_sum_us += (double)latency_us;
	r->measured++;
	r->latency_percents[at < RUN_LATENCIES_MAX ? at : RUN_LATENCIES_MAX - 1]++;
}

static void end(struct run *r, const struct run_outcome *outcome, uint64_t lag_us)
{
	struct limiter_window *w = &r->workers[outcome->job.client].window;
	uint64_t seen_us = r->now_us - outcome->job.entered_us;

	if (outcome->lost) {
		limiter_loss(w);
		r->losses++;
		r->lost_us = age_us(r);
	} else {
		r->ended[age_us(r) / RUN_BUCKET_US]++;
		measure(r, outcome->at_us - outcome->job.entered_us);
		limiter_sample(w, seen_us > lag_us ? seen_us - lag_us : 1);
	}
	limiter_leave(w, r->now_us);
	merge_if_due(r, w);
	r->in_flight--;
	if (r->traffic.clients != 0)
		r->waiting++;
}

static void come(struct run *r, struct run_outcome outcome)
{
	struct run_worker *worker = &r->workers[outcome.job.client];

	if (is_awake(r, worker) && worker->inbox.count == 0)
		end(r, &outcome, 0);
	else
		put(&worker->inbox, outcome);
}

static void outcomes(struct run *r)
{
	const struct run_outcome *outcome;
	struct backend_job job;

	for (struct run_worker *worker = r->workers; worker < r->workers + RUN_WORKERS; worker++) {
		while (is_awake(r, worker) && (outcome = take(&worker->inbox, r->now_us)) != NULL)
			end(r, outcome, worker->lag_us);
	}
	while (backend_take_ended(&r->backend, &job, r->now_us))
		come(r, (struct run_outcome){.job = job, .at_us = r->now_us});
	while ((outcome = take(&r->lost, r->now_us)) != NULL)
		come(r, *outcome);
}

static void arrive(struct run *r)
{
	const struct traffic *t = &r->traffic;

	if (r->now_us < r->arrival_us)
		return;
	if (r->waiting < WAITING_MAX)
		r->waiting++;
	r->arrival_us = r->now_us + 1 + (uint64_t)random_us(r, 1e6 / t->rate);
	if (t->until_us != 0 && r->arrival_us - t->begin_us > t->until_us)
		r->arrival_us = DEADLINE_NEVER;
}

static void look_of(struct run *r, struct limiter_window *w)
{
	if (r->traffic.stalls.every_us != 0)
		limiter_merge(&r->limiter, w, r->now_us);
	if (r->in_flight >= limit(r))
		limiter_stagnates(&r->limiter, backend_oldest_us(&r->backend), r->now_us);
	note_limit(r);
}

/* As long as somebody waits. */
static void look(struct run *r)
{
	if (r->now_us < r->look_us)
		return;
	r->look_us += LOOK_US;
	for (unsigned i = 0; i < RUN_WORKERS; i++) {
		if (r->waiting > 0 && is_awake(r, &r->workers[i]))
			look_of(r, &r->workers[i].window);
	}
}

/* --- a busy machine --------------------------------------------------------------------------------------------------- */

static uint64_t next_stall_us(struct run *r, uint64_t from_us)
{
	const struct stalls *s = &r->traffic.stalls;
	uint64_t at_us;

	if (s->every_us == 0)
		return DEADLINE_NEVER;
	at_us = from_us + 1 + (uint64_t)random_us(r, (double)s->every_us);
	return at_us - r->traffic.begin_us <= s->until_us ? at_us : DEADLINE_NEVER;
}

static uint64_t stall_length_us(struct run *r)
{
	const struct stalls *s = &r->traffic.stalls;

	return s->least_us + (uint64_t)((double)(s->most_us - s->least_us) * backend_draw(&r->backend));
}

static void stand_still(struct run *r)
{
	for (struct run_worker *worker = r->workers; worker < r->workers + RUN_WORKERS; worker++) {
		if (r->now_us < worker->stall_us)
			continue;
		uint64_t us = stall_length_us(r);

		worker->awake_us = r->now_us + us;
		worker->lag_us = backend_draw(&r->backend) < 0.5 ? us : 0;
		worker->stall_us = next_stall_us(r, worker->awake_us);
	}
	if (r->now_us >= r->backend_stall_us) {
		uint64_t until_us = r->now_us + stall_length_us(r);

		backend_pause(&r->backend, r->now_us, until_us);
		r->backend_stall_us = next_stall_us(r, until_us);
	}
}

/* --- the run ---------------------------------------------------------------------------------------------------------- */

static void begin(struct run *r, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	backend_init(&r->backend, shape, seed);
	limiter_init(&r->limiter, traffic->limit_min != 0 ? traffic->limit_min : 1, traffic->limit_max, 0);
	r->traffic = *traffic;
	r->now_us = traffic->begin_us;
	r->waiting = traffic->clients;
	r->arrival_us = traffic->clients != 0 ? DEADLINE_NEVER : r->now_us;
	r->limit_low = UINT32_MAX;
	r->look_us = r->now_us + LOOK_US;
	for (unsigned i = 0; i < RUN_WORKERS; i++)
		r->workers[i].stall_us = next_stall_us(r, r->now_us);
	r->backend_stall_us = next_stall_us(r, r->now_us);
	CHECK(traffic->seconds * US_PER_S / RUN_BUCKET_US <= RUN_BUCKETS_MAX);
}

static uint64_t next_us(const struct run *r)
{
	uint64_t at_us = deadline_min(backend_next_us(&r->backend), deadline_min(r->arrival_us, r->look_us));

	at_us = deadline_min(at_us, r->backend_stall_us);
	if (r->lost.count > 0)
		at_us = deadline_min(at_us, r->lost.ring[r->lost.first].at_us);
	for (const struct run_worker *worker = r->workers; worker < r->workers + RUN_WORKERS; worker++)
		at_us = deadline_min(at_us, is_awake(r, worker) ? worker->stall_us : worker->awake_us);
	return at_us;
}

void run(struct run *r, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed)
{
	begin(r, shape, traffic, seed);
	for (;;) {
		start_waiting(r);
		r->now_us = next_us(r);
		if (age_us(r) >= traffic->seconds * US_PER_S)
			return;
		stand_still(r);
		arrive(r);
		look(r);
		outcomes(r);
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
