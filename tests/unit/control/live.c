/* A frame of the live page, out of samples with known numbers. */
#include "load.h"

#include <math.h>
#include <stdlib.h>

#include "control/live.h"
#include "control/window_sample.h"
#include "gateway/generation.h"
#include "upstream/budgets.h"

enum { SAMPLES = 4, ENDPOINTS_MAX = 600 };

static struct {
	struct generation generation;
	struct endpoint_budget *budgets[ENDPOINTS_MAX];
	struct window window;
	struct live_scene scene;
} bed;

/* Samples a second apart; the newest one at 100 s, which is 1,000 s of Unix time. */
static void begin(const char *text)
{
	memset(&bed, 0, sizeof(bed));
	bed.generation = (struct generation){.references = 1, .number = 7, .config = load(text)};
	bed.generation.budgets = bed.budgets;
	for (size_t i = 0; i < config_endpoint_count(bed.generation.config); i++)
		bed.budgets[i] = calloc(1, sizeof(*bed.budgets[i]) + 1);
	bed.window.sum = snapshot_create(bed.generation.config);
	bed.window.count = bed.window.count_max = SAMPLES;
	bed.window.newest = SAMPLES - 1;
	for (unsigned i = 0; i < SAMPLES; i++) {
		bed.window.samples[i] = window_sample_create(&bed.generation, 1);
		bed.window.samples[i]->at_us = (97 + i) * US_PER_S;
		bed.window.samples[i]->wall_us = (997 + i) * US_PER_S;
	}
	bed.scene = (struct live_scene){.window = &bed.window,
		.version = "0.1",
		.start_us = 400 * US_PER_S};
}

static void end(void)
{
	for (unsigned i = 0; i < SAMPLES; i++)
		window_sample_free(bed.window.samples[i]);
	for (size_t i = 0; i < ENDPOINTS_MAX; i++)
		free(bed.budgets[i]);
	snapshot_free(bed.window.sum);
	config_free(bed.generation.config);
}

/* "upstreams/1/name": what stands there. */
static json_t *at(json_t *json, const char *path)
{
	struct view rest = view_str(path);

	while (rest.n > 0) {
		const char *slash = memchr(rest.p, '/', rest.n);
		size_t n = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)n, rest.p);
		json = json_is_array(json) ? json_array_get(json, (size_t)atoi(key)) : json_object_get(json, key);
		if (json == NULL)
			fail_msg("there is no '%s' of '%s'", key, path);
		rest = view_from(rest, slash != NULL ? n + 1 : n);
	}
	return json;
}

static void assert_number(json_t *frame, const char *path, double number)
{
	json_t *json = at(frame, path);

	if (!json_is_number(json) || fabs(json_number_value(json) - number) > 1e-6)
		fail_msg("%s is %f, and not %f", path, json_number_value(json), number);
}

static void assert_word(json_t *frame, const char *path, const char *word)
{
	assert_string_equal(json_string_value(at(frame, path)), word);
}

static struct window_sample *newest(unsigned back)
{
	return bed.window.samples[SAMPLES - 1 - back];
}

static void what_happened_is_told_of_the_newest_sample(void **state)
{
	begin(three_endpoints);
	newest(1)->worker.exchanges_finished = 100;
	newest(0)->worker.exchanges_finished = 130;
	newest(0)->worker.exchanges_started = 135;
	newest(1)->worker.bytes_out = 10;
	newest(0)->worker.bytes_out = 5010;
	newest(0)->worker.exchanges_by_cause[CAUSE_NONE] = 9;
	newest(0)->worker.exchanges_by_cause[CAUSE_CONNECT_REFUSED] = 2;
	newest(1)->routes[0].whole[3] = 5;
	newest(0)->routes[0].whole[3] = 25;
	newest(0)->routes[0].phase_us[PHASE_QUEUE] = 400;
	json_t *frame = live_frame(&bed.scene, 0);

	assert_number(frame, "sample/at_ms", 1000e3);
	assert_number(frame, "sample/interval_s", 1);
	assert_number(frame, "sample/requests", 30);
	assert_number(frame, "sample/in_flight", 5);
	assert_number(frame, "sample/failed", 2);
	assert_number(frame, "sample/bytes_out", 5000);
	assert_number(frame, "sample/latency/counts/3", 20);
	assert_number(frame, "sample/latency/first_us", TIME_FIRST_US);
	assert_int_equal(json_array_size(at(frame, "sample/latency/counts")), TIME_BUCKETS);
	assert_number(frame, "sample/phases_us/queue", 400);
	assert_int_equal(json_object_size(at(frame, "sample/phases_us")), PHASE_COUNT);
	assert_null(json_object_get(frame, "past"));
	assert_number(frame, "gateway/started_ms", 400e3);
	assert_number(frame, "gateway/generation", 7);
	assert_word(frame, "gateway/state", "ready");
	assert_true(json_is_null(at(frame, "why")));
	json_decref(frame);
	end();
}

static void a_reload_is_told_of_when_it_is_new(void **state)
{
	begin(three_endpoints);
	json_t *frame = live_frame(&bed.scene, 0);

	assert_null(json_object_get(frame, "reload"));
	json_decref(frame);
	bed.scene.reload = json_null();
	frame = live_frame(&bed.scene, 0);
	assert_true(json_is_null(at(frame, "reload")));
	json_decref(frame);
	bed.scene.reload = json_pack("{s:s}", "outcome", "refused");
	frame = live_frame(&bed.scene, 0);
	assert_word(frame, "reload/outcome", "refused");
	json_decref(frame);
	json_decref(bed.scene.reload);
	end();
}

static void what_was_before_is_told_oldest_first(void **state)
{
	begin(three_endpoints);
	newest(2)->worker.exchanges_finished = 1;
	newest(1)->worker.exchanges_finished = 3;
	newest(0)->worker.exchanges_finished = 7;
	json_t *frame = live_frame(&bed.scene, 2);

	assert_int_equal(json_array_size(at(frame, "past")), 2);
	assert_number(frame, "past/0/at_ms", 998e3);
	assert_number(frame, "past/0/requests", 1);
	assert_number(frame, "past/1/at_ms", 999e3);
	assert_number(frame, "past/1/requests", 2);
	assert_number(frame, "sample/requests", 4);
	json_decref(frame);
	end();
}

/* A worker that has ended may take what it had counted with it. */
static void counters_that_go_back_have_not_moved(void **state)
{
	begin(three_endpoints);
	newest(1)->worker.exchanges_finished = 100;
	newest(0)->worker.exchanges_finished = 40;
	newest(1)->worker.exchanges_by_cause[CAUSE_DRAINING] = 4;
	newest(1)->endpoints[0].delivered = 4;
	json_t *frame = live_frame(&bed.scene, 0);

	assert_number(frame, "sample/requests", 0);
	assert_number(frame, "sample/failed", 0);
	assert_number(frame, "upstreams/0/endpoints/0/requests_per_s", 0);
	json_decref(frame);
	end();
}

static void failures_are_those_of_the_whole_window(void **state)
{
	begin(three_endpoints);
	newest(3)->worker.exchanges_by_cause[CAUSE_RATE_LIMITED] = 10;
	for (unsigned i = 0; i < 3; i++)
		newest(i)->worker.exchanges_by_cause[CAUSE_RATE_LIMITED] = 15;
	newest(0)->worker.exchanges_by_cause[CAUSE_UPSTREAM_RESET] = 1;
	json_t *frame = live_frame(&bed.scene, 0);

	assert_number(frame, "failures/window_s", 3);
	assert_int_equal(json_array_size(at(frame, "failures/causes")), 2);
	assert_word(frame, "failures/causes/0/cause", "rate_limited");
	assert_number(frame, "failures/causes/0/count", 5);
	assert_word(frame, "failures/causes/0/fault", "client");
	assert_word(frame, "failures/causes/1/cause", "upstream_reset");
	assert_number(frame, "failures/causes/1/status", 502);
	json_decref(frame);
	end();
}

static void endpoints_and_their_states(void **state)
{
	begin(three_endpoints);
	struct upstream_endpoint_stats *stats = bed.window.sum->endpoints;

	stats[0].pool = (struct weir_pool_stats){.leased = 3, .idle = 2, .connecting = 1, .checking = 1, .waiting = 9};
	stats[0].concurrency.told = true;
	stats[0].concurrency.limit = 12;
	stats[1].health_state = HEALTH_EJECTED;
	stats[1].health_reason = HEALTH_SLOW;
	stats[2].breaker_state = 1;
	newest(0)->endpoints[0].delivered = 50;
	newest(0)->endpoints[0].queue_full = 2;
	newest(0)->endpoints[0].timed_out = 1;
	newest(0)->endpoints[0].answers = 10;
	newest(0)->endpoints[0].latency_us = 4000;
	json_t *frame = live_frame(&bed.scene, 0);

	assert_word(frame, "upstreams/0/name", "first");
	assert_word(frame, "upstreams/0/endpoints/0/address", "127.0.0.1:9001");
	assert_word(frame, "upstreams/0/endpoints/0/state", "in_service");
	assert_number(frame, "upstreams/0/endpoints/0/requests_per_s", 50);
	assert_number(frame, "upstreams/0/endpoints/0/refused_per_s", 3);
	assert_number(frame, "upstreams/0/endpoints/0/first_byte_us", 400);
	assert_number(frame, "upstreams/0/endpoints/0/leased", 3);
	assert_number(frame, "upstreams/0/endpoints/0/connecting", 2);
	assert_number(frame, "upstreams/0/endpoints/0/waiting", 9);
	assert_number(frame, "upstreams/0/endpoints/0/max", 100);
	assert_number(frame, "upstreams/0/endpoints/0/limit", 12);
	assert_word(frame, "upstreams/0/endpoints/1/state", "ejected");
	assert_word(frame, "upstreams/0/endpoints/1/reason", "slow");
	assert_true(json_is_null(at(frame, "upstreams/0/endpoints/1/limit")));
	assert_true(json_is_null(at(frame, "upstreams/0/endpoints/1/first_byte_us")));
	assert_word(frame, "upstreams/1/endpoints/0/state", "breaker_open");
	assert_word(frame, "upstreams/1/endpoints/0/address", "unix:/run/a\"b\\c");
	json_decref(frame);
	end();
}

static void what_the_operator_has_set(void **state)
{
	begin(three_endpoints);
	atomic_store(&bed.budgets[0]->out, OUT_DISABLED | OUT_UNHEALTHY);
	bed.window.sum->endpoints[0].health_state = HEALTH_UNHEALTHY;
	atomic_store(&bed.budgets[1]->set, SET_DRAINED);
	atomic_store(&bed.budgets[2]->set, 6);
	json_t *frame = live_frame(&bed.scene, 0);

	assert_word(frame, "upstreams/0/endpoints/0/state", "disabled");
	assert_word(frame, "upstreams/0/endpoints/1/state", "draining");
	assert_number(frame, "upstreams/0/endpoints/1/weight", 0);
	assert_word(frame, "upstreams/1/endpoints/0/state", "in_service");
	assert_number(frame, "upstreams/1/endpoints/0/weight", 5);
	json_decref(frame);
	end();
}

static void workers_and_the_machine(void **state)
{
	begin(three_endpoints);
	newest(0)->workers[0] = (struct window_worker){.run_us = 250000, .requests = 30, .looks = 6, .lag_us = 700, .connections = 8,
		.heard = true, .accounted = true};
	newest(1)->workers[0] = (struct window_worker){.looks = 4, .lag_us = 100, .accounted = true};
	newest(1)->process.cpu_us = 1000000;
	newest(0)->process =
		(struct process_stats){.cpu_us = 1500000, .open_fds = 30, .max_fds = 1024, .resident_bytes = 1 << 20};
	json_t *frame = live_frame(&bed.scene, 0);

	assert_number(frame, "workers/0/processor", 0.25);
	assert_number(frame, "workers/0/lag_us", 300);
	assert_number(frame, "workers/0/connections", 8);
	assert_number(frame, "workers/0/requests_per_s", 30);
	assert_true(json_is_true(at(frame, "workers/0/answers")));
	assert_number(frame, "machine/processors_used", 0.5);
	assert_number(frame, "machine/descriptors", 30);
	json_decref(frame);
	end();
}

/* However large the configuration, a frame is bounded, and says what is not in it. */
static void what_is_too_much_is_left_out(void **state)
{
	char *text = malloc(64 * 1024);
	size_t n =
		(size_t)sprintf(text, "version: 1\nlisteners: [{name: public, address: '127.0.0.1:80'}]\nupstreams:\n");

	for (int i = 0; i < 3; i++) {
		n += (size_t)sprintf(text + n, "  - {name: u%d, endpoints: [", i);
		for (int j = 0; j < 200; j++)
			n += (size_t)sprintf(text + n, "%s{address: '127.0.%d.%d:90'}", j > 0 ? ", " : "", i, j);
		n += (size_t)sprintf(text + n, "]}\n");
	}
	sprintf(text + n, "routes: [{name: all, upstream: u0}]\n");
	begin(text);
	json_t *frame = live_frame(&bed.scene, 0);

	assert_int_equal(json_array_size(at(frame, "upstreams")), 2);
	assert_int_equal(json_array_size(at(frame, "upstreams/0/endpoints")), 200);
	assert_int_equal(json_array_size(at(frame, "upstreams/1/endpoints")), 56);
	assert_number(frame, "endpoints_left_out", 600 - 256);
	json_decref(frame);
	end();
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_happened_is_told_of_the_newest_sample),
		cmocka_unit_test(a_reload_is_told_of_when_it_is_new),
		cmocka_unit_test(what_was_before_is_told_oldest_first),
		cmocka_unit_test(counters_that_go_back_have_not_moved),
		cmocka_unit_test(failures_are_those_of_the_whole_window),
		cmocka_unit_test(endpoints_and_their_states),
		cmocka_unit_test(what_the_operator_has_set),
		cmocka_unit_test(workers_and_the_machine),
		cmocka_unit_test(what_is_too_much_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
