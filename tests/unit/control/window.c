/*
 * The window, on loops that the test turns by hand (see survey.c): samples, what lies between two of them, and how they are moved to
 * another generation. Counters are the worker's own, moved by the test.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "../base/short_memory.h"
#include "load.h"

#include "base/clock.h"
#include "control/evidence.h"
#include "control/window.h"
#include "gateway/generation.h"
#include "upstream/endpoint.h"

enum { WORKERS = 1 };

static const char two_upstreams[] =
	"version: 1\n"
	"listeners: [{name: public, address: '127.0.0.1:80'}]\n"
	"upstreams:\n"
	"  - {name: new, endpoints: [{address: '127.0.0.1:9009'}]}\n"
	"  - {name: first, endpoints: [{address: '127.0.0.1:9002'}, {address: '127.0.0.1:9001'}]}\n"
	"routes: [{name: other, match: {path: /other}, upstream: new}, {name: all, upstream: first}]\n";

static struct {
	struct shared *shared;
	struct generation *generation;
	struct io *io, *worker_io;
	struct survey survey;
	struct worker *worker;
	struct window window;
} bed;

static void on_drained(void *context)
{
	io_stop(context);
}

static void on_reloaded(void *context, bool taken)
{
	assert_true(taken);
}

static int begin(void **state)
{
	static const struct filter_ops *const filters[1];
	struct worker_observer observer = {.on_drained = on_drained, .on_reloaded = on_reloaded};
	char error[256];

	memset(&bed, 0, sizeof(bed));
	bed.shared = shared_create(filters);
	bed.generation = generation_create(bed.shared, load(three_endpoints));
	bed.io = io_create();
	assert_true(survey_init(&bed.survey, bed.io, bed.generation->config, WORKERS));
	bed.worker_io = observer.context = io_create();
	bed.worker = worker_create(bed.worker_io, bed.shared, bed.generation, 0, &observer, error);
	assert_non_null(bed.worker);
	survey_attach(&bed.survey, 0, bed.worker_io, bed.worker);
	assert_true(window_init(&bed.window, &bed.survey, bed.generation->config));
	return 0;
}

static int end(void **state)
{
	window_close(&bed.window);
	window_release(&bed.window);
	worker_stop(bed.worker);
	io_run(bed.worker_io);
	survey_close(&bed.survey);
	survey_release(&bed.survey);
	worker_free(bed.worker);
	io_free(bed.worker_io);
	io_free(bed.io);
	generation_unref(bed.generation);
	shared_free(bed.shared);
	return 0;
}

/* One sample more, without waiting for its second. */
static void sample(void)
{
	window_begin(&bed.window);
	turn(bed.io);
	turn(bed.worker_io);
	turn(bed.io);
}

/* The counters are the worker's to write; it does not run. */
static struct worker_stats *stats(void)
{
	union {
		const struct worker_stats *shown;
		struct worker_stats *own;
	} both = {worker_stats(bed.worker)};

	return both.own;
}

static void test_empty(void **state)
{
	assert_null(window_sample(&bed.window, 0));
	assert_int_equal(window_back(&bed.window, US_PER_S), 0);
	sample();
	assert_non_null(window_sample(&bed.window, 0));
	assert_null(window_sample(&bed.window, 1));
	assert_int_equal(window_back(&bed.window, US_PER_S), 0);
}

static void test_ring(void **state)
{
	for (unsigned i = 1; i <= 2 * WINDOW_SAMPLES + 3; i++) {
		stats()->exchanges_started = i;
		sample();
		assert_int_equal(bed.window.count, i < WINDOW_SAMPLES ? i : WINDOW_SAMPLES);
	}
	for (unsigned back = 0; back < WINDOW_SAMPLES; back++)
		assert_int_equal(window_sample(&bed.window, back)->worker.exchanges_started, 2 * WINDOW_SAMPLES + 3 - back);
	assert_null(window_sample(&bed.window, WINDOW_SAMPLES));
	stats()->exchanges_started = 0;
}

/* The sample that is nearest, and never the newest itself. */
static void test_back(void **state)
{
	static const uint64_t at_s[] = {10, 9, 8, 5, 4};

	for (int i = 0; i < 5; i++)
		sample();
	for (unsigned back = 0; back < 5; back++)
		bed.window.samples[(bed.window.newest + WINDOW_SAMPLES - back) % WINDOW_SAMPLES]->at_us = at_s[back] * US_PER_S;
	assert_int_equal(window_back(&bed.window, 1), 1);
	assert_int_equal(window_back(&bed.window, 1 * US_PER_S), 1);
	assert_int_equal(window_back(&bed.window, 2 * US_PER_S), 2);
	assert_int_equal(window_back(&bed.window, 5 * US_PER_S), 3);
	assert_int_equal(window_back(&bed.window, 60 * US_PER_S), 4);
}

static void test_evidence(void **state)
{
	struct evidence evidence;
	struct window_sample *before;

	sample();
	before = bed.window.samples[bed.window.newest];
	before->endpoints[1].tries = 0;
	stats()->exchanges_started = 45;
	stats()->exchanges_finished = 40;
	stats()->exchanges_by_cause[CAUSE_BREAKER_OPEN] = 6;
	sample();

	struct window_sample *now = bed.window.samples[bed.window.newest];

	before->at_us = 0;
	now->at_us = 2 * US_PER_S;
	now->endpoints[1].used = 30;
	now->endpoints[1].used_us = 60000;
	now->endpoints[1].leased = 7;
	/* Recounted when there were more. */
	now->endpoints[1].owed = now->endpoints[1].owed_long = now->endpoints[1].held_long = 500;
	now->endpoints[1].phase_us[PHASE_FIRST_BYTE] = 1000000;
	now->routes[0].phase_us[PHASE_QUEUE] = 3000000;
	now->routes[0].refused[BREAKER_OF_ROUTE] = before->routes[0].refused[BREAKER_OF_ROUTE] + 4;
	now->routes[0].refused[BREAKER_OF_ENDPOINT] = 2;
	now->listeners[0] = (struct listener_stats){.connections = 8, .accepted = 40, .refused = 6, .capped = 4, .handshakes_refused = 2};
	stats()->shed.lag_counts[3] = stats()->shed.lag_sum_us = stats()->shed.late_us = 0;
	now->worker.shed.requests[SHED_LOOP_LAG] = 3;
	now->worker.shed.connections[SHED_LOOP_LAG] = 1;
	now->workers[0].looks = before->workers[0].looks + 10;
	now->workers[0].lag_us = before->workers[0].lag_us + 500000;
	now->workers[0].late_us = before->workers[0].late_us + 400000;
	assert_true(evidence_gather(&evidence, &bed.window, 1, VIEW("")));
	assert_float_equal(evidence.why.listeners[0].connections, 8, 0.001);
	assert_float_equal(evidence.why.listeners[0].accepted_per_s, 20, 0.001);
	assert_float_equal(evidence.why.listeners[0].refused_per_s, 3, 0.001);
	assert_float_equal(evidence.why.listeners[0].capped_per_s, 2, 0.001);
	assert_float_equal(evidence.why.listeners[0].handshakes_refused_per_s, 1, 0.001);
	assert_float_equal(evidence.why.listeners[0].handshakes_max, 1000, 0.001);
	assert_float_equal(evidence.why.lag_refused_per_s, 2, 0.001);
	assert_float_equal(evidence.workers[0].lag_s, 0.05, 0.0001);
	assert_float_equal(evidence.workers[0].late, 0.2, 0.0001);
	assert_float_equal(evidence.why.window_s, 2, 0.001);
	assert_float_equal(evidence.why.requests_per_s, 20, 0.001);
	assert_float_equal(evidence.why.in_flight, 5, 0.001);
	assert_float_equal(evidence.why.breaker_refused_per_s, 3, 0.001);
	assert_int_equal(evidence.why.breaker_count, 1);
	assert_true(view_eq(evidence.why.breakers[0].route, bed.generation->config->routes[0].name));
	assert_float_equal(evidence.why.breakers[0].refused_per_s[BREAKER_OF_ROUTE], 2, 0.001);
	assert_float_equal(evidence.why.breakers[0].refused_per_s[BREAKER_OF_ENDPOINT], 1, 0.001);
	assert_float_equal(evidence.why.phases_s[PHASE_QUEUE], 1.5, 0.001);
	assert_int_equal(evidence.why.endpoint_count, 3);
	assert_true(view_eq(evidence.why.endpoints[1].endpoint, VIEW("127.0.0.1:9002")));
	assert_float_equal(evidence.why.endpoints[1].served_per_s, 15, 0.001);
	assert_float_equal(evidence.why.endpoints[1].use_s, 0.002, 0.00001);
	assert_float_equal(evidence.why.endpoints[1].leased, 7, 0.001);
	assert_float_equal(evidence.why.endpoints[1].owed, 7, 0.001);
	assert_float_equal(evidence.why.endpoints[1].owed_long, 7, 0.001);
	assert_float_equal(evidence.why.endpoints[1].held_long, 7, 0.001);
	assert_float_equal(evidence.why.endpoints[1].phases_s[PHASE_FIRST_BYTE], 0.5, 0.001);
	evidence_release(&evidence);
	assert_true(evidence_gather(&evidence, &bed.window, 1, VIEW("second")));
	assert_int_equal(evidence.why.endpoint_count, 1);
	evidence_release(&evidence);
	stats()->exchanges_started = stats()->exchanges_finished = 0;
}

/* A worker that does not answer has been late at least since it last did. */
static void test_evidence_of_a_silent_worker(void **state)
{
	struct evidence evidence;

	for (int i = 0; i < 4; i++)
		sample();
	for (unsigned back = 0; back < 4; back++) {
		struct window_sample *s = bed.window.samples[(bed.window.newest + WINDOW_SAMPLES - back) % WINDOW_SAMPLES];

		s->at_us = (10 - back) * US_PER_S;
		s->workers[0].heard = back >= 2;
	}
	assert_true(evidence_gather(&evidence, &bed.window, 3, VIEW("")));
	assert_true(evidence.workers[0].silent);
	assert_float_equal(evidence.workers[0].lag_s, 2, 0.0001);
	assert_float_equal(evidence.workers[0].late, 2.0 / 3, 0.01);
	evidence_release(&evidence);
}

/* The first endpoint's, which are the worker's to write, too. */
static struct load_curve *curve(void)
{
	return &worker_upstreams(bed.worker)->roster->groups[0]->endpoints[0]->stats.curve;
}

static void curve_enter(unsigned answers, uint32_t at_once, uint64_t latency_us)
{
	for (unsigned i = 0; i < answers; i++)
		load_curve_enter(curve(), at_once, latency_us);
}

static void test_levels(void **state)
{
	const struct window_level *level;

	sample();
	curve_enter(12, 10, 5000);
	sample();
	level = &bed.window.levels[0][3];
	assert_float_equal(level->answers, 12, 0.01);
	assert_float_equal(level->in_flight, 10, 0.01);
	assert_float_equal(level->latency_us, 5000, 0.1);
	sample();
	assert_float_equal(level->answers, 12, 0.01);
}

/* An endpoint that was taken away and came back within one step counts from 0 again. */
static void test_levels_of_an_endpoint_that_counts_anew(void **state)
{
	const struct window_level *level;

	sample();
	curve_enter(12, 10, 5000);
	sample();
	*curve() = (struct load_curve){0};
	curve_enter(6, 13, 8000);
	sample();
	level = &bed.window.levels[0][3];
	assert_float_equal(level->answers, 18, 0.01);
	assert_float_equal(level->in_flight, 11, 0.01);
	assert_float_equal(level->latency_us, 6000, 0.1);
}

static void test_levels_are_forgotten(void **state)
{
	struct window_level *level;

	sample();
	level = &bed.window.levels[0][3];
	*level = (struct window_level){.answers = 9, .heard_s = (uint32_t)(io_now_us(bed.io) / US_PER_S) - 590};
	sample();
	assert_float_equal(level->answers, 9, 0.01);
	level->heard_s -= 20;
	sample();
	assert_float_equal(level->answers, 0, 0.01);
}

/* What has counted anew between two samples says nothing of what was between them. */
static void test_evidence_of_counters_that_begin_anew(void **state)
{
	struct window_sample *before, *now;
	struct evidence evidence;

	sample();
	sample();
	before = bed.window.samples[bed.window.newest - 1];
	now = bed.window.samples[bed.window.newest];
	before->endpoints[0].answers = 10;
	before->endpoints[0].at_once = 900;
	now->endpoints[0].answers = 30;
	now->endpoints[0].at_once = 40;
	assert_true(evidence_gather(&evidence, &bed.window, 1, VIEW("first")));
	assert_float_equal(evidence.why.endpoints[0].at_once, 0, 0.001);
	evidence_release(&evidence);
}

/* Without a descriptor to read /proc with nothing is known of a thread, and not what the memory held before. */
static void test_workers_without_descriptors(void **state)
{
	struct rlimit before, none;
	struct evidence evidence;

	for (unsigned i = 0; i < WINDOW_SAMPLES; i++)
		sample();
	assert_true(bed.window.samples[0]->workers[0].accounted);
	bed.window.samples[0]->workers[0].run_us = 7;
	bed.window.samples[1]->workers[0].run_us = 1;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){0, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	sample();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_ptr_equal(window_sample(&bed.window, 0), bed.window.samples[0]);
	assert_false(bed.window.samples[0]->workers[0].accounted);
	bed.window.samples[0]->process.open_fds = 900;
	sample();
	assert_true(bed.window.samples[1]->workers[0].accounted);
	assert_true(evidence_gather(&evidence, &bed.window, 1, VIEW("")));
	assert_float_equal(evidence.why.workers[0].run, 0, 0.001);
	assert_float_equal(evidence.why.workers[0].starved, 0, 0.001);
	assert_float_equal(evidence.why.descriptors_used, 900, 0.001);
	evidence_release(&evidence);
}

/* What was known of an endpoint or a route stays with it, wherever it stands now; what is new was zero. */
static void test_another_generation(void **state)
{
	struct generation *next;

	sample();
	for (size_t i = 0; i < 3; i++) {
		bed.window.samples[bed.window.newest]->endpoints[i].opened = 100 + i;
		bed.window.levels[i][0].answers = 200 + (float)i;
		bed.window.levels[i][0].heard_s = (uint32_t)(io_now_us(bed.io) / US_PER_S);
	}
	bed.window.samples[bed.window.newest]->routes[0].count = 300;
	next = generation_create(bed.shared, load(two_upstreams));
	generation_unref(bed.generation);
	bed.generation = next;
	assert_true(worker_reload(bed.worker, next));
	while (worker_is_reloading(bed.worker))
		turn(bed.worker_io);
	sample();
	assert_int_equal(bed.window.count, 2);

	const struct window_sample *before = window_sample(&bed.window, 1);

	assert_ptr_equal(before->generation, next);
	assert_int_equal(before->endpoints[0].opened, 0);
	assert_int_equal(before->endpoints[1].opened, 101);
	assert_int_equal(before->endpoints[2].opened, 100);
	assert_float_equal(bed.window.levels[0][0].answers, 0, 0.01);
	assert_float_equal(bed.window.levels[1][0].answers, 201, 0.01);
	assert_float_equal(bed.window.levels[2][0].answers, 200, 0.01);
	assert_int_equal(before->routes[0].count, 0);
	assert_int_equal(before->routes[1].count, 300);
}

/* All that stands in the window is of one generation, also behind a step that has found no memory for another one. */
static void assert_of_one_generation(void)
{
	const struct window_sample *newest = window_sample(&bed.window, 0);

	if (newest == NULL) {
		assert_int_equal(window_back(&bed.window, US_PER_S), 0);
		return;
	}
	assert_ptr_equal(newest->generation, bed.window.sum->generation);
	assert_ptr_equal(newest->generation, bed.window.generation);
	assert_int_equal(newest->endpoint_count, bed.window.sum->endpoint_count);
	for (unsigned back = 0; back < bed.window.count; back++)
		assert_ptr_equal(window_sample(&bed.window, back)->generation, newest->generation);
}

/* The worker has answered; of what the window does with that, so many allocations succeed. How many it has made. */
static int sample_short(int allowed)
{
	int before;

	window_begin(&bed.window);
	turn(bed.io);
	turn(bed.worker_io);
	before = mallocs_made;
	mallocs_left = allowed;
	turn(bed.io);
	mallocs_left = INT_MAX;
	return mallocs_made - before;
}

/* Each of its allocations fails once, on the way to another generation and back. */
static void test_another_generation_without_memory(void **state)
{
	int allowed = 0;

	for (bool all = false; !all; allowed++) {
		struct generation *next = generation_create(bed.shared, load(allowed % 2 == 0 ? two_upstreams : three_endpoints));

		sample();
		sample();
		generation_unref(bed.generation);
		bed.generation = next;
		assert_true(worker_reload(bed.worker, next));
		while (worker_is_reloading(bed.worker))
			turn(bed.worker_io);
		all = sample_short(allowed) < allowed;
		assert_of_one_generation();
		sample();
		assert_of_one_generation();
		assert_ptr_equal(bed.window.generation, next);
	}
	assert_true(allowed > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty),
		TEST(ring),
		TEST(back),
		TEST(evidence),
		TEST(evidence_of_a_silent_worker),
		TEST(levels),
		TEST(levels_of_an_endpoint_that_counts_anew),
		TEST(levels_are_forgotten),
		TEST(evidence_of_counters_that_begin_anew),
		TEST(workers_without_descriptors),
		TEST(another_generation),
		TEST(another_generation_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
