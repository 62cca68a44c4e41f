/* Sums over workers, and the whole text made from known numbers. */
#include "load.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "control/metrics.h"

/* Every counter different, so that a wrong member shows. `seed` keeps workers apart. */
static struct snapshot *numbered(const struct config *config, uint64_t seed)
{
	struct snapshot *s = snapshot_create(config);
	uint64_t *counters = (uint64_t *)&s->worker;

	assert_non_null(s);
	for (size_t i = 0; i < sizeof(s->worker) / sizeof(uint64_t); i++)
		counters[i] = seed * 1000 + i;
	for (size_t i = 0; i < s->endpoint_count; i++) {
		uint32_t n = (uint32_t)(seed * 10000 + i * 100);

		s->pools[i] = (struct weir_pool_stats){.idle = n + 1,
			.connecting = n + 2,
			.leased = n + 3,
			.closing = n + 4,
			.waiting = n + 5,
			.opened = n + 6,
			.open_failed = n + 7,
			.closed = n + 8,
			.reused = n + 9,
			.stale_give_backs = n + 10,
			.bad_reports = n + 11};
		for (uint32_t outcome = 0; outcome < WEIR_POOL_PENDING; outcome++)
			s->pools[i].acquires[outcome] = n + 20 + outcome;
	}
	return s;
}

static void assert_sample(const struct buf *text, const char *line)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (occurrences(text, whole) != 1)
		fail_msg("'%s' stands %u times in:\n%.*s", line, occurrences(text, whole), (int)buf_len(text),
			buf_view(text).p);
}

static void test_sum(void **state)
{
	const struct config *config = load(three_endpoints);
	struct snapshot *sum = snapshot_create(config), *one = numbered(config, 1), *two = numbered(config, 2);

	assert_int_equal(sum->endpoint_count, 3);
	snapshot_add(sum, one);
	assert_memory_equal(&sum->worker, &one->worker, sizeof(sum->worker));
	snapshot_add(sum, two);
	assert_int_equal(
		sum->worker.connections_accepted, one->worker.connections_accepted + two->worker.connections_accepted);
	assert_int_equal(sum->worker.tunnels_open, one->worker.tunnels_open + two->worker.tunnels_open);
	for (size_t i = 0; i < 3; i++) {
		uint32_t n = (uint32_t)(30000 + i * 200);

		assert_int_equal(sum->pools[i].idle, n + 2);
		assert_int_equal(sum->pools[i].connecting, n + 4);
		assert_int_equal(sum->pools[i].leased, n + 6);
		assert_int_equal(sum->pools[i].closing, n + 8);
		assert_int_equal(sum->pools[i].waiting, n + 10);
		assert_int_equal(sum->pools[i].opened, n + 12);
		assert_int_equal(sum->pools[i].open_failed, n + 14);
		assert_int_equal(sum->pools[i].closed, n + 16);
		assert_int_equal(sum->pools[i].reused, n + 18);
		assert_int_equal(sum->pools[i].stale_give_backs, n + 20);
		assert_int_equal(sum->pools[i].bad_reports, n + 22);
		for (uint32_t outcome = 0; outcome < WEIR_POOL_PENDING; outcome++)
			assert_int_equal(sum->pools[i].acquires[outcome], n + 40 + 2 * outcome);
	}
	snapshot_clear(sum);
	snapshot_add(sum, two);
	assert_memory_equal(&sum->worker, &two->worker, sizeof(sum->worker));
	assert_memory_equal(sum->pools, two->pools, 3 * sizeof(sum->pools[0]));
	free(sum);
	free(one);
	free(two);
	config_free(config);
}

static void assert_worker_samples(const struct buf *text, const struct worker_stats *w)
{
	const struct {
		const char *name;
		uint64_t value;
	} samples[] = {
		{"weir_connections_open", w->connections_open},
		{"weir_connections_accepted_total", w->connections_accepted},
		{"weir_connections_refused_total", w->connections_refused},
		{"weir_connections_shed_total", w->connections_shed},
		{"weir_accept_paused_total", w->accept_paused},
		{"weir_exchanges_started_total", w->exchanges_started},
		{"weir_exchanges_finished_total", w->exchanges_finished},
		{"weir_exchanges_total{cause=\"none\"}", w->exchanges_by_cause[CAUSE_NONE]},
		{"weir_exchanges_total{cause=\"upstream_reset\"}", w->exchanges_by_cause[CAUSE_UPSTREAM_RESET]},
		{"weir_exchanges_total{cause=\"internal\"}", w->exchanges_by_cause[CAUSE_INTERNAL]},
		{"weir_responses_total{class=\"none\"}", w->responses_by_class[0]},
		{"weir_responses_total{class=\"1xx\"}", w->responses_by_class[1]},
		{"weir_responses_total{class=\"5xx\"}", w->responses_by_class[5]},
		{"weir_bytes_in_total", w->bytes_in},
		{"weir_bytes_out_total", w->bytes_out},
		{"weir_exchange_double_finish_total", w->exchange_double_finish},
		{"weir_exchange_stale_resume_total", w->exchange_stale_resume},
		{"weir_tunnels_open", w->tunnels_open},
	};

	for (size_t i = 0; i < COUNT(samples); i++) {
		char line[200];

		snprintf(line, sizeof(line), "%s %llu", samples[i].name, (unsigned long long)samples[i].value);
		assert_sample(text, line);
	}
}

static void assert_pool_samples(const struct buf *text)
{
	static const char *const endpoints[] = {"upstream=\"first\",endpoint=\"127.0.0.1:9001\"",
		"upstream=\"first\",endpoint=\"127.0.0.1:9002\"",
		"upstream=\"second\",endpoint=\"unix:/run/a\\\"b\\\\c\""};
	static const struct {
		const char *name, *label;
		unsigned value;
	} samples[] = {
		{"weir_pool_connections", ",state=\"idle\"", 1},
		{"weir_pool_connections", ",state=\"connecting\"", 2},
		{"weir_pool_connections", ",state=\"leased\"", 3},
		{"weir_pool_connections", ",state=\"closing\"", 4},
		{"weir_pool_waiters", "", 5},
		{"weir_pool_opened_total", "", 6},
		{"weir_pool_open_failed_total", "", 7},
		{"weir_pool_closed_total", "", 8},
		{"weir_pool_reused_total", "", 9},
		{"weir_pool_bad_give_backs_total", "", 10},
		{"weir_pool_acquires_total", ",outcome=\"delivered\"", 20},
		{"weir_pool_acquires_total", ",outcome=\"timed_out\"", 21},
		{"weir_pool_acquires_total", ",outcome=\"cancelled\"", 22},
		{"weir_pool_acquires_total", ",outcome=\"rejected\"", 23},
		{"weir_pool_acquires_total", ",outcome=\"open_failed\"", 24},
		{"weir_pool_acquires_total", ",outcome=\"closed\"", 25},
	};

	for (unsigned i = 0; i < COUNT(samples); i++) {
		for (unsigned j = 0; j < COUNT(endpoints); j++) {
			char line[200];

			snprintf(line, sizeof(line), "%s{%s%s} %u", samples[i].name, endpoints[j], samples[i].label,
				10000 + 100 * j + samples[i].value);
			assert_sample(text, line);
		}
	}
}

static void test_text(void **state)
{
	const struct config *config = load(three_endpoints);
	struct snapshot *sum = numbered(config, 1);
	const struct totals totals = {.config = config,
		.version = "1.2\"3",
		.sum = sum,
		.workers = 4,
		.workers_unanswered = 1,
		.log_dropped = 77,
		.process = {.open_fds = 12, .resident_bytes = 4096, .cpu_us = 1500000, .start_us = 2000001}};
	struct buf text = {0};

	assert_true(metrics_write(&text, &totals, 1000000));
	assert_worker_samples(&text, &sum->worker);
	assert_pool_samples(&text);
	assert_sample(&text, "weir_build_info{version=\"1.2\\\"3\"} 1");
	assert_sample(&text, "weir_workers 4");
	assert_sample(&text, "weir_workers_unanswered 1");
	assert_sample(&text, "weir_log_dropped_total 77");
	assert_sample(&text, "process_open_fds 12");
	assert_sample(&text, "process_resident_memory_bytes 4096");
	assert_sample(&text, "process_cpu_seconds_total 1.500000");
	assert_sample(&text, "process_start_time_seconds 2.000001");
	assert_int_equal(occurrences(&text, "# HELP "), occurrences(&text, "# TYPE "));
	assert_int_equal(occurrences(&text, "weir_exchanges_total{cause="), CAUSE_COUNT);
	assert_int_equal(occurrences(&text, "weir_responses_total{class="), 6);
	assert_int_equal(occurrences(&text, "weir_pool_connections{"), 3 * 4);
	buf_release(&text);
	free(sum);
	config_free(config);
}

static void test_bound(void **state)
{
	const struct config *config = load(three_endpoints);
	struct snapshot *sum = snapshot_create(config);
	const struct totals totals = {.config = config, .version = "1", .sum = sum};
	struct buf text = {0};

	assert_true(metrics_write(&text, &totals, 1000000));
	size_t whole = buf_len(&text);

	buf_release(&text);
	assert_true(metrics_write(&text, &totals, whole));
	buf_release(&text);
	assert_false(metrics_write(&text, &totals, whole - 1));
	buf_release(&text);
	free(sum);
	config_free(config);
}

static void test_process(void **state)
{
	struct process_stats before = {0}, after = {0};
	volatile unsigned work = 0;
	int fd;

	process_stats_read(&before);
	fd = dup(0);
	while (after.cpu_us <= before.cpu_us) {
		for (unsigned i = 0; i < 100000; i++)
			work += i;
		process_stats_read(&after);
	}
	assert_int_equal(after.open_fds, before.open_fds + 1);
	close(fd);
	assert_in_range(after.resident_bytes, 100000, 1ULL << 40);

	uint64_t now_us = (uint64_t)time(NULL) * US_PER_S;

	assert_in_range(process_start_us(), now_us - 600 * US_PER_S, now_us + 2 * US_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
