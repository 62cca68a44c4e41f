/* See live.h: one frame of it. Pure. */
#include "base/cause.h"
#include "control/live.h"
#include "control/told.h"

/* --- samples ------------------------------------------------------------------------------------------------------ */

/* What all routes together have of some counters; `at` says where they stand in a route's. */
static void sum_up(
	uint64_t *sum, size_t count, size_t at, const struct window_sample *before, const struct window_sample *now)
{
	for (size_t i = 0; i < now->route_count; i++) {
		const uint64_t *a = (const uint64_t *)((const char *)&before->routes[i] + at);
		const uint64_t *b = (const uint64_t *)((const char *)&now->routes[i] + at);

		for (size_t j = 0; j < count; j++)
			sum[j] += live_moved(a[j], b[j]);
	}
}

static json_t *latency_of(const struct window_sample *before, const struct window_sample *now)
{
	uint64_t whole[TIME_BUCKETS] = {0};
	json_t *counts = json_array();

	sum_up(whole, TIME_BUCKETS, offsetof(struct window_route, whole), before, now);
	for (size_t i = 0; i < TIME_BUCKETS; i++)
		counts = list_with(counts, json_integer((json_int_t)whole[i]));
	return json_pack("{s:i, s:o}", "first_us", TIME_FIRST_US, "counts", counts);
}

static json_t *phases_of(const struct window_sample *before, const struct window_sample *now)
{
	uint64_t phase_us[PHASE_COUNT] = {0};
	json_t *object = json_object();

	sum_up(phase_us, PHASE_COUNT, offsetof(struct window_route, phase_us), before, now);
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		if (json_object_set_new(object, phase_word((enum phase)i), json_integer((json_int_t)phase_us[i])) < 0) {
			json_decref(object);
			return NULL;
		}
	return object;
}

static uint64_t failed_between(const struct worker_stats *before, const struct worker_stats *now)
{
	uint64_t failed = 0;

	for (size_t i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
		failed += live_moved(before->exchanges_by_cause[i], now->exchanges_by_cause[i]);
	return failed;
}

/* The sample so many before the newest. */
static json_t *sample_of(const struct live_scene *scene, unsigned back)
{
	const struct window_sample *before = window_sample(scene->window, back + 1),
				   *now = window_sample(scene->window, back);
	const struct worker_stats *a = &before->worker, *b = &now->worker;

	return json_pack("{s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "at_ms", (json_int_t)(now->wall_us / 1000),
		"interval_s", (double)live_moved(before->at_us, now->at_us) / 1e6, "requests",
		(json_int_t)live_moved(a->exchanges_finished, b->exchanges_finished), "failed",
		(json_int_t)failed_between(a, b), "in_flight",
		(json_int_t)live_moved(b->exchanges_finished, b->exchanges_started), "bytes_in",
		(json_int_t)live_moved(a->bytes_in, b->bytes_in), "bytes_out",
		(json_int_t)live_moved(a->bytes_out, b->bytes_out), "latency", latency_of(before, now), "phases_us",
		phases_of(before, now));
}

/* The oldest first. */
static json_t *past_of(const struct live_scene *scene, unsigned past)
{
	json_t *array = json_array();

	for (unsigned back = past; back > 0; back--)
		array = list_with(array, sample_of(scene, back));
	return array;
}

/* --- failures ----------------------------------------------------------------------------------------------------- */

static json_t *cause_of(enum cause cause, uint64_t count)
{
	static const char *const faults[] = {[FAULT_NOBODY] = "nobody",
		[FAULT_CLIENT] = "client",
		[FAULT_UPSTREAM] = "upstream",
		[FAULT_GATEWAY] = "gateway"};
	const struct cause_info *info = cause_info(cause);

	return json_pack("{s:s, s:i, s:s, s:s, s:I}", "cause", info->word, "status", info->status, "fault",
		faults[info->fault], "text", info->text, "count", (json_int_t)count);
}

/* Over the whole window. */
static json_t *failures_of(const struct live_scene *scene)
{
	const struct window_sample *first = window_sample(scene->window, scene->window->count - 1);
	const struct window_sample *last = window_sample(scene->window, 0);
	json_t *causes = json_array();

	for (unsigned i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++) {
		uint64_t count = live_moved(first->worker.exchanges_by_cause[i], last->worker.exchanges_by_cause[i]);

		if (count > 0)
			causes = list_with(causes, cause_of((enum cause)i, count));
	}
	return json_pack(
		"{s:f, s:o}", "window_s", (double)live_moved(first->at_us, last->at_us) / 1e6, "causes", causes);
}

/* --- workers, the machine ----------------------------------------------------------------------------------------- */

static json_t *worker_of(const struct live_scene *scene, unsigned index)
{
	const struct window_sample *before = window_sample(scene->window, 1), *now = window_sample(scene->window, 0);
	const struct window_worker *told = &before->workers[index], *tells = &now->workers[index];
	uint64_t looks = live_moved(told->looks, tells->looks), lag_us = live_moved(told->lag_us, tells->lag_us);
	uint64_t span_us = live_moved(before->at_us, now->at_us);
	uint64_t run_us = told->accounted && tells->accounted ? live_moved(told->run_us, tells->run_us) : 0;

	return json_pack("{s:i, s:b, s:f, s:I, s:I, s:f}", "index", (int)index, "answers",
		(int)tells->heard, "processor", live_rate(run_us, span_us) / 1e6, "lag_us",
		(json_int_t)(looks > 0 ? lag_us / looks : 0), "connections", (json_int_t)tells->connections,
		"requests_per_s", live_rate(live_moved(told->requests, tells->requests), span_us));
}

static json_t *workers_of(const struct live_scene *scene)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < window_sample(scene->window, 0)->worker_count; i++)
		array = list_with(array, worker_of(scene, i));
	return array;
}

static json_t *machine_of(const struct live_scene *scene)
{
	const struct window_sample *was = window_sample(scene->window, 1), *is = window_sample(scene->window, 0);
	uint64_t cpu_us = live_moved(was->process.cpu_us, is->process.cpu_us);

	return json_pack("{s:f, s:I, s:I, s:I}", "processors_used",
		live_rate(cpu_us, live_moved(was->at_us, is->at_us)) / 1e6, "descriptors",
		(json_int_t)is->process.open_fds, "descriptors_max", (json_int_t)is->process.max_fds, "resident_bytes",
		(json_int_t)is->process.resident_bytes);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static json_t *gateway_of(const struct live_scene *scene)
{
	return json_pack("{s:s, s:I, s:s, s:I}", "version", scene->version, "started_ms",
		(json_int_t)(scene->start_us / 1000), "state", scene->draining ? "draining" : "ready", "generation",
		(json_int_t)window_sample(scene->window, 0)->generation->number);
}

json_t *live_frame(const struct live_scene *scene, unsigned past)
{
	size_t left_out = 0;
	json_t *upstreams = live_upstreams(scene, &left_out);
	json_t *frame = json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:O?, s:O*}", "gateway",
		gateway_of(scene), "sample", sample_of(scene, 0), "failures", failures_of(scene), "upstreams",
		upstreams, "endpoints_left_out", (json_int_t)left_out, "limits", live_limits(scene), "breakers",
		live_breakers(scene), "workers", workers_of(scene), "machine", machine_of(scene), "why", scene->why,
		"reload", scene->reload);

	if (past > 0 && json_object_set_new(frame, "past", past_of(scene, past)) < 0) {
		json_decref(frame);
		return NULL;
	}
	return frame;
}
