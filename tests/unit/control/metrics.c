/* Sums over workers, and the whole text made from known numbers. */
#include "load.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "control/metrics.h"

static void counters_number(void *to, size_t bytes, uint64_t n)
{
	uint64_t *counters = to;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		counters[i] = n + i;
}

/* From n + 1 on, in the order of the members; each of the long lists (n + 1000, ...) has numbers of its own. */
static void endpoint_number(struct upstream_endpoint_stats *e, uint32_t n)
{
	struct weir_pool_stats *p = &e->pool;

	*p = (struct weir_pool_stats){.idle = n + 1,
		.connecting = n + 2,
		.checking = n + 3,
		.leased = n + 4,
		.closing = n + 5,
		.waiting = n + 6,
		.opened = n + 7,
		.open_failed = n + 8,
		.closed = n + 9,
		.reused = n + 10,
		.overflowed = n + 11,
		.double_give_backs = n + 12,
		.stale_give_backs = n + 13,
		.foreign_give_backs = n + 14,
		.bad_reports = n + 15,
		.wait.sum_us = n + 16,
		.use.sum_us = n + 17};
	for (uint32_t i = 0; i < WEIR_POOL_PENDING; i++)
		p->acquires[i] = n + 20 + i;
	for (uint32_t i = 0; i < WEIR_POOL_CLOSE_REASONS; i++)
		p->closes[i] = n + 30 + i;
	for (uint32_t i = 0; i < WEIR_POOL_TIME_BUCKETS; i++) {
		p->wait.buckets[i] = n + 1000 + i;
		p->use.buckets[i] = n + 2000 + i;
	}
	for (uint32_t i = 0; i < RETRY_REASONS; i++)
		e->retries[i] = n + 50 + i;
	for (uint32_t i = 0; i < CAUSE_COUNT; i++)
		e->open_failed[i] = n + 3000 + i;
	e->leaking = n + 60;
	e->audits = n + 61;
	e->audit_mismatch = n + 62;
	e->learned_idle_us = n + 63;
	e->announced_idle_us = n + 64;
	counters_number(&e->times, sizeof(e->times), n + 5000);
}

/* Every counter different, so that a wrong member shows. `seed` keeps workers apart. */
static struct snapshot *numbered(const struct config *config, uint64_t seed)
{
	struct snapshot *s = snapshot_create(config);
	uint64_t *counters = (uint64_t *)&s->worker;

	assert_non_null(s);
	for (size_t i = 0; i < sizeof(s->worker) / sizeof(uint64_t); i++)
		counters[i] = seed * 1000 + i;
	for (size_t i = 0; i < s->endpoint_count; i++)
		endpoint_number(&s->endpoints[i], (uint32_t)(seed * 10000 + i * 100));
	for (size_t i = 0; i < s->route_count; i++)
		counters_number(&s->routes[i], sizeof(s->routes[i]), seed * 7000 + i);
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

static void assert_book_sum(const struct time_book *sum, const struct time_book *one, const struct time_book *two)
{
	struct time_book both = *one;

	time_book_add(&both, two);
	assert_memory_equal(sum, &both, sizeof(both));
}

#define ASSERT_SUM(member) assert_int_equal(sum->member, one->member + two->member)

static void assert_times_sum(const struct weir_pool_times *sum, const struct weir_pool_times *one,
	const struct weir_pool_times *two)
{
	ASSERT_SUM(sum_us);
	for (size_t i = 0; i < WEIR_POOL_TIME_BUCKETS; i++)
		ASSERT_SUM(buckets[i]);
}

static void assert_endpoint_sum(const struct upstream_endpoint_stats *sum, const struct upstream_endpoint_stats *one,
	const struct upstream_endpoint_stats *two)
{
	ASSERT_SUM(pool.idle);
	ASSERT_SUM(pool.connecting);
	ASSERT_SUM(pool.checking);
	ASSERT_SUM(pool.leased);
	ASSERT_SUM(pool.closing);
	ASSERT_SUM(pool.waiting);
	ASSERT_SUM(pool.opened);
	ASSERT_SUM(pool.open_failed);
	ASSERT_SUM(pool.closed);
	ASSERT_SUM(pool.reused);
	ASSERT_SUM(pool.overflowed);
	ASSERT_SUM(pool.double_give_backs);
	ASSERT_SUM(pool.stale_give_backs);
	ASSERT_SUM(pool.foreign_give_backs);
	ASSERT_SUM(pool.bad_reports);
	for (size_t i = 0; i < WEIR_POOL_PENDING; i++)
		ASSERT_SUM(pool.acquires[i]);
	for (size_t i = 0; i < WEIR_POOL_CLOSE_REASONS; i++)
		ASSERT_SUM(pool.closes[i]);
	assert_times_sum(&sum->pool.wait, &one->pool.wait, &two->pool.wait);
	assert_times_sum(&sum->pool.use, &one->pool.use, &two->pool.use);
	for (size_t i = 0; i < RETRY_REASONS; i++)
		ASSERT_SUM(retries[i]);
	for (size_t i = 0; i < CAUSE_COUNT; i++)
		ASSERT_SUM(open_failed[i]);
	ASSERT_SUM(times.count);
	ASSERT_SUM(times.connects);
	for (size_t i = 0; i < PHASE_COUNT; i++)
		ASSERT_SUM(times.sum_us[i]);
	for (size_t i = 0; i < TRY_BUCKETS; i++)
		ASSERT_SUM(times.first_byte[i]);
	ASSERT_SUM(leaking);
	ASSERT_SUM(audits);
	ASSERT_SUM(audit_mismatch);
	/* What was learned is no sum: the shortest counts. */
	assert_int_equal(sum->learned_idle_us, one->learned_idle_us);
	assert_int_equal(sum->announced_idle_us, one->announced_idle_us);
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
	for (size_t i = 0; i < 3; i++)
		assert_endpoint_sum(&sum->endpoints[i], &one->endpoints[i], &two->endpoints[i]);
	assert_int_equal(sum->route_count, 1);
	assert_book_sum(&sum->routes[0], &one->routes[0], &two->routes[0]);
	snapshot_clear(sum);
	snapshot_add(sum, two);
	assert_memory_equal(&sum->worker, &two->worker, sizeof(sum->worker));
	assert_memory_equal(sum->endpoints, two->endpoints, 3 * sizeof(sum->endpoints[0]));
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
		{"weir_pool_connections", ",state=\"checking\"", 3},
		{"weir_pool_connections", ",state=\"leased\"", 4},
		{"weir_pool_connections", ",state=\"closing\"", 5},
		{"weir_pool_waiters", "", 6},
		{"weir_pool_acquires_total", ",outcome=\"delivered\"", 20},
		{"weir_pool_acquires_total", ",outcome=\"timed_out\"", 21},
		{"weir_pool_acquires_total", ",outcome=\"cancelled\"", 22},
		{"weir_pool_acquires_total", ",outcome=\"rejected\"", 23},
		{"weir_pool_acquires_total", ",outcome=\"open_failed\"", 24},
		{"weir_pool_acquires_total", ",outcome=\"closed\"", 25},
		{"weir_pool_reused_total", "", 10},
		{"weir_pool_retries_total", ",reason=\"closed\"", 50},
		{"weir_pool_retries_total", ",reason=\"reset\"", 51},
		{"weir_pool_retries_total", ",reason=\"send_failed\"", 52},
		{"weir_pool_opened_total", "", 7},
		{"weir_pool_overflow_total", "", 11},
		{"weir_pool_closed_total", "", 9},
		{"weir_pool_closes_total", ",reason=\"discarded\"", 30},
		{"weir_pool_closes_total", ",reason=\"spoiled\"", 31},
		{"weir_pool_closes_total", ",reason=\"idle\"", 32},
		{"weir_pool_closes_total", ",reason=\"lifetime\"", 33},
		{"weir_pool_closes_total", ",reason=\"uses\"", 34},
		{"weir_pool_closes_total", ",reason=\"trimmed\"", 35},
		{"weir_pool_closes_total", ",reason=\"overflow\"", 36},
		{"weir_pool_closes_total", ",reason=\"check_failed\"", 37},
		{"weir_pool_closes_total", ",reason=\"yielded\"", 38},
		{"weir_pool_closes_total", ",reason=\"reclaimed\"", 39},
		{"weir_pool_closes_total", ",reason=\"renewed\"", 40},
		{"weir_pool_closes_total", ",reason=\"pool_closed\"", 41},
		{"weir_pool_leases_leaking_total", "", 60},
		{"weir_pool_give_backs_rejected_total", ",kind=\"stale\"", 13},
		{"weir_pool_give_backs_rejected_total", ",kind=\"double\"", 12},
		{"weir_pool_give_backs_rejected_total", ",kind=\"foreign\"", 14},
		{"weir_pool_bad_reports_total", "", 15},
		{"weir_pool_audits_total", "", 61},
		{"weir_pool_audit_mismatch_total", "", 62},
		{"weir_pool_open_failures_total", ",reason=\"connect_refused\"", 3000 + CAUSE_CONNECT_REFUSED},
		{"weir_pool_open_failures_total", ",reason=\"connect_timeout\"", 3000 + CAUSE_CONNECT_TIMEOUT},
		{"weir_pool_open_failures_total", ",reason=\"files_exhausted\"", 3000 + CAUSE_FILES_EXHAUSTED},
		{"weir_pool_open_failures_total", ",reason=\"memory_exhausted\"", 3000 + CAUSE_MEMORY_EXHAUSTED},
		{"weir_upstream_first_byte_seconds_bucket", ",le=\"0.001024\"", 5011},
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

#define FIRST "upstream=\"first\",endpoint=\"127.0.0.1:9001\""

static void test_text(void **state)
{
	const struct config *config = load(three_endpoints);
	struct snapshot *sum = numbered(config, 1);
	const struct worker_stats *const each[] = {&sum->worker, &sum->worker, &sum->worker, &sum->worker};
	const uint64_t ports[] = {5, 6, 0};
	const struct totals totals = {.config = config,
		.version = "1.2\"3",
		.sum = sum,
		.each = each,
		.ports = ports,
		.machine = {.tcp_time_wait = 9, .busy_us = 2500000},
		.workers = 4,
		.workers_unanswered = 1,
		.log = {.lines = 76, .dropped_full = 77, .dropped_write = 78},
		.refused = {[ADMIN_NO_TOKEN] = 79, [ADMIN_TOO_MANY] = 80},
		.process = {.open_fds = 12, .resident_bytes = 4096, .cpu_us = 1500000, .start_us = 2000001}};
	struct buf text = {0};

	assert_true(metrics_write(&text, &totals, EXPOSITION_TEXT, 1000000));
	assert_worker_samples(&text, &sum->worker);
	/* Of the first endpoint's tries: 8 buckets behind the counts and the sums of the phases, from 10000 + 5000 on. */
	assert_sample(&text, "weir_upstream_phase_seconds_total{" FIRST ",phase=\"queue\"} 0.015002");
	assert_sample(&text, "weir_upstream_phase_seconds_total{" FIRST ",phase=\"client\"} 0.015007");
	assert_int_equal(occurrences(&text, "weir_upstream_phase_seconds_total{"), 3 * 6);
	assert_sample(&text, "weir_upstream_first_byte_seconds_bucket{" FIRST ",le=\"4.194304\"} 105098");
	assert_sample(&text, "weir_upstream_first_byte_seconds_bucket{" FIRST ",le=\"+Inf\"} 120116");
	assert_sample(&text, "weir_upstream_first_byte_seconds_count{" FIRST "} 120116");
	assert_sample(&text, "weir_upstream_first_byte_seconds_sum{" FIRST "} 0.015005");
	assert_sample(&text, "weir_pool_use_seconds_total{" FIRST "} 0.010017");
	assert_sample(&text, "weir_pool_learned_idle_seconds{" FIRST "} 0.010063");
	assert_sample(&text, "weir_pool_announced_idle_seconds{" FIRST "} 0.010064");
	assert_pool_samples(&text);
	assert_sample(&text, "weir_build_info{version=\"1.2\\\"3\"} 1");
	assert_sample(&text, "weir_workers 4");
	assert_sample(&text, "weir_workers_unanswered 1");
	assert_sample(&text, "weir_log_lines_total 76");
	assert_sample(&text, "weir_log_lines_dropped_total{reason=\"full\"} 77");
	assert_sample(&text, "weir_log_lines_dropped_total{reason=\"write_failed\"} 78");
	assert_sample(&text, "weir_admin_refused_total{reason=\"token\"} 79");
	assert_sample(&text, "weir_admin_refused_total{reason=\"connections\"} 80");
	assert_sample(&text, "process_open_fds 12");
	assert_sample(&text, "weir_upstream_local_ports{upstream=\"first\",endpoint=\"127.0.0.1:9002\"} 6");
	assert_sample(&text, "weir_machine_tcp_sockets{state=\"time_wait\"} 9");
	assert_sample(&text, "weir_machine_cpu_busy_seconds_total 2.500000");
	for (unsigned i = 0; i < 4; i++) {
		char line[100];

		snprintf(line, sizeof(line), "weir_worker_events_total{worker=\"%u\"} %llu", i,
			(unsigned long long)sum->worker.loop.events);
		assert_sample(&text, line);
	}
	assert_sample(&text, "process_resident_memory_bytes 4096");
	assert_sample(&text, "process_cpu_seconds_total 1.500000");
	assert_sample(&text, "process_start_time_seconds 2.000001");
	assert_int_equal(occurrences(&text, "# HELP "), occurrences(&text, "# TYPE "));
	assert_int_equal(occurrences(&text, "weir_exchanges_total{cause="), CAUSE_COUNT);
	assert_int_equal(occurrences(&text, "weir_responses_total{class="), 6);
	assert_int_equal(occurrences(&text, "weir_pool_connections{"), 3 * 5);
	buf_release(&text);
	free(sum);
	config_free(config);
}

/* What is 0 is not told of an endpoint, but for a few. */
static void test_nothing_has_happened(void **state)
{
	const struct config *config = load(three_endpoints);
	struct snapshot *sum = snapshot_create(config);
	const uint64_t ports[] = {0, 0, 0};
	const struct totals totals = {.config = config, .version = "1", .sum = sum, .ports = ports};
	struct buf text = {0};

	assert_true(metrics_write(&text, &totals, EXPOSITION_TEXT, 1000000));
	assert_sample(&text, "weir_pool_waiters{" FIRST "} 0");
	assert_sample(&text, "weir_pool_connections{" FIRST ",state=\"leased\"} 0");
	assert_sample(&text, "weir_upstream_out_of_service{" FIRST "} 0");
	assert_sample(&text, "weir_upstream_health{" FIRST ",state=\"healthy\"} 1");
	assert_in_range(occurrences(&text, FIRST), 10, 20);
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

	assert_true(metrics_write(&text, &totals, EXPOSITION_TEXT, 1000000));
	size_t whole = buf_len(&text);

	buf_release(&text);
	assert_true(metrics_write(&text, &totals, EXPOSITION_TEXT, whole));
	buf_release(&text);
	assert_false(metrics_write(&text, &totals, EXPOSITION_TEXT, whole - 1));
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
		cmocka_unit_test(test_nothing_has_happened),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
