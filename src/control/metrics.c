/*
 * See metrics.h. One line of the table is one metric: what it is called, what it is, what it means, and where its value
 * stands. Label sets are bounded by the configuration and by closed lists, never by traffic; every member of a set is
 * always there, so that a rate can be taken from its first increment on.
 */
#include "control/metrics.h"

#include "control/exposition.h"
#include "gateway/breakers.h"
#include "limits/registry.h"
#include "upstream/limiter.h"

/* A struct metric's `put` writes its samples; `offset` is where the value stands in what `put` reads. */
struct metric {
	const char *name;
	enum metric_type type;
	const char *help;
	void (*put)(struct exposition *x, const struct metric *metric, const struct totals *totals);
	size_t offset;
};

static uint64_t u64_at(const void *base, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)base + offset, sizeof(value));
	return value;
}

/* --- single values ------------------------------------------------------------------------------------------------ */

/* A uint64_t of struct totals. */
static void put_total(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_sample(x, metric->name, NULL, 0, u64_at(totals, metric->offset));
}

/* The same, a span or a time. */
static void put_seconds(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_millionths(x, metric->name, NULL, 0, u64_at(totals, metric->offset));
}

/* A uint64_t of struct worker_stats. */
static void put_worker(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_sample(x, metric->name, NULL, 0, u64_at(&totals->sum->worker, metric->offset));
}

static void put_build(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct label version = {"version", view_str(totals->version)};

	exposition_sample(x, metric->name, &version, 1, 1);
}

/* --- closed lists ------------------------------------------------------------------------------------------------- */

static void put_causes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (int cause = 0; cause < CAUSE_COUNT; cause++) {
		const struct label label = {"cause", view_str(cause_info((enum cause)cause)->word)};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.exchanges_by_cause[cause]);
	}
}

static void put_retried(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const outcomes[] = {"failed", "succeeded"};

	for (size_t i = 0; i < 2; i++) {
		const struct label label = {"outcome", view_str(outcomes[i])};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.retried[i]);
	}
}

static void put_proxy_refusals(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const reasons[PROXY_REFUSALS] = {
		[PROXY_UNTRUSTED] = "untrusted",
		[PROXY_MALFORMED] = "malformed",
		[PROXY_LATE] = "late",
	};

	for (size_t i = 0; i < PROXY_REFUSALS; i++) {
		const struct label label = {"reason", view_str(reasons[i])};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.proxy_headers_refused[i]);
	}
}

static void put_classes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		const struct label label = {"class", view_str(classes[i])};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.responses_by_class[i]);
	}
}

static void put_grpc_statuses(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (enum grpc_status status = 0; status <= GRPC_STATUS_COUNT; status++) {
		const struct label label = {"code", view_str(grpc_status_word(status))};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.grpc_responses[status]);
	}
}

/* One counter for each mark, at metric->offset of the worker's. */
static void put_marks(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t mark = 0; mark < SHED_MARKS; mark++) {
		const struct label label = {"mark", view_str(shed_mark_word((enum shed_mark)mark))};

		exposition_sample(x, metric->name, &label, 1,
			u64_at(&totals->sum->worker, metric->offset + mark * sizeof(uint64_t)));
	}
}

static void put_lag(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct shed_stats *shed = &totals->sum->worker.shed;
	const struct histogram histogram = {shed->lag_counts, SHED_LAG_BUCKETS, SHED_LAG_FIRST_US, shed->lag_sum_us, 1};
	const struct label none = {0};

	exposition_histogram(x, metric->name, &none, 0, &histogram);
}

/* --- by endpoint -------------------------------------------------------------------------------------------------- */

/* What is told of an endpoint, and its labels; a third may follow. */
struct endpoint_sample {
	const struct upstream_endpoint_stats *stats;
	struct label labels[3];
};

static void put_each_endpoint(struct exposition *x, const struct metric *metric, const struct totals *totals,
	void (*put)(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample))
{
	const struct upstream_endpoint_stats *stats = totals->sum->endpoints;

	for (size_t i = 0; i < totals->config->upstream_count; i++) {
		const struct config_upstream *upstream = &totals->config->upstreams[i];

		for (size_t j = 0; j < upstream->endpoint_count; j++) {
			struct endpoint_sample sample = {stats++,
				{{"upstream", upstream->name}, {"endpoint", upstream->endpoints[j].address_text}}};

			put(x, metric, &sample);
		}
	}
}

/* A sample with a third label. */
static void put_labelled(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	struct label third, uint64_t value)
{
	sample->labels[2] = third;
	exposition_sample(x, metric->name, sample->labels, 3, value);
}

/* A closed list: words[i] is the third label's value of the i-th counter at metric->offset. */
static void put_list(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	const char *label, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_labelled(x, metric, sample, (struct label){label, view_str(words[i])},
			u64_at(sample->stats, metric->offset + i * sizeof(uint64_t)));
}

#define PUT_LIST(x, metric, sample, label, words) put_list(x, metric, sample, label, words, sizeof(words) / sizeof(*(words)))

static void endpoint_put_connections(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = &sample->stats->pool;
	const struct {
		const char *state;
		uint32_t count;
	} states[] = {{"idle", pool->idle}, {"connecting", pool->connecting}, {"checking", pool->checking},
		{"leased", pool->leased}, {"closing", pool->closing}};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		put_labelled(x, metric, sample, (struct label){"state", view_str(states[i].state)}, states[i].count);
}

static void endpoint_put_acquires(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const outcomes[WEIR_POOL_PENDING] = {
		[WEIR_POOL_DELIVERED] = "delivered",
		[WEIR_POOL_TIMED_OUT] = "timed_out",
		[WEIR_POOL_CANCELLED] = "cancelled",
		[WEIR_POOL_REJECTED] = "rejected",
		[WEIR_POOL_OPEN_FAILED] = "open_failed",
		[WEIR_POOL_CLOSED] = "closed",
	};

	PUT_LIST(x, metric, sample, "outcome", outcomes);
}

static void endpoint_put_refusals(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = &sample->stats->pool;

	put_labelled(x, metric, sample, (struct label){"reason", VIEW("queue_full")}, pool->refusals[WEIR_POOL_QUEUE_FULL]);
	put_labelled(x, metric, sample, (struct label){"reason", VIEW("shed")}, pool->refusals[WEIR_POOL_SHED]);
	put_labelled(x, metric, sample, (struct label){"reason", VIEW("late")}, pool->refusals[WEIR_POOL_LATE]);
}

static void endpoint_put_closes(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const reasons[WEIR_POOL_CLOSE_REASONS] = {
		[WEIR_POOL_CLOSE_DISCARDED] = "discarded",
		[WEIR_POOL_CLOSE_SPOILED] = "spoiled",
		[WEIR_POOL_CLOSE_IDLE] = "idle",
		[WEIR_POOL_CLOSE_LIFETIME] = "lifetime",
		[WEIR_POOL_CLOSE_USES] = "uses",
		[WEIR_POOL_CLOSE_TRIMMED] = "trimmed",
		[WEIR_POOL_CLOSE_OVERFLOW] = "overflow",
		[WEIR_POOL_CLOSE_CHECK_FAILED] = "check_failed",
		[WEIR_POOL_CLOSE_YIELDED] = "yielded",
		[WEIR_POOL_CLOSE_RECLAIMED] = "reclaimed",
		[WEIR_POOL_CLOSE_RENEWED] = "renewed",
		[WEIR_POOL_CLOSE_POOL] = "pool_closed",
	};

	PUT_LIST(x, metric, sample, "reason", reasons);
}

static void endpoint_put_retries(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const reasons[RETRY_REASONS] = {
		[RETRY_CLOSED] = "closed",
		[RETRY_RESET] = "reset",
		[RETRY_SEND_FAILED] = "send_failed",
		[RETRY_REFUSED] = "refused",
	};

	PUT_LIST(x, metric, sample, "reason", reasons);
}

static void endpoint_put_tried_again(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const reasons[TRY_FAILURES] = {
		[TRY_CONNECT_FAILED] = "connect_failed",
		[TRY_RESET] = "reset",
		[TRY_FIRST_BYTE_TIMEOUT] = "first_byte_timeout",
		[TRY_STATUS_502] = "status_502",
		[TRY_STATUS_503] = "status_503",
		[TRY_STATUS_504] = "status_504",
		[TRY_GRPC_STATUS] = "grpc_status",
	};

	PUT_LIST(x, metric, sample, "reason", reasons);
}

/* The causes that upstream_connect_cause (upstream/endpoint.c) knows. */
static void endpoint_put_open_failures(
	struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const enum cause causes[] = {
		CAUSE_CONNECT_REFUSED, CAUSE_CONNECT_TIMEOUT, CAUSE_TLS_FAILED, CAUSE_FILES_EXHAUSTED,
		CAUSE_MEMORY_EXHAUSTED};

	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		put_labelled(x, metric, sample, (struct label){"reason", view_str(cause_info(causes[i])->word)},
			sample->stats->open_failed[causes[i]]);
}

static void endpoint_put_rejected(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = &sample->stats->pool;

	put_labelled(x, metric, sample, (struct label){"kind", VIEW("stale")}, pool->stale_give_backs);
	put_labelled(x, metric, sample, (struct label){"kind", VIEW("double")}, pool->double_give_backs);
	put_labelled(x, metric, sample, (struct label){"kind", VIEW("foreign")}, pool->foreign_give_backs);
}

static void endpoint_put_health_checks(
	struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	put_labelled(x, metric, sample, (struct label){"result", VIEW("passed")}, sample->stats->health_passed);
	put_labelled(x, metric, sample, (struct label){"result", VIEW("failed")}, sample->stats->health_failed);
}

/* Each word of the list, 1 for the one that the value at metric->offset stands for. */
static void put_one_of(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	const char *label, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_labelled(x, metric, sample, (struct label){label, view_str(words[i])},
			u64_at(sample->stats, metric->offset) == i);
}

static void endpoint_put_health(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const states[HEALTH_STATES] = {[HEALTH_HEALTHY] = "healthy", [HEALTH_UNHEALTHY] = "unhealthy",
		[HEALTH_EJECTED] = "ejected", [HEALTH_PROBATION] = "probation"};

	put_one_of(x, metric, sample, "state", states, HEALTH_STATES);
}

static const char *const health_reasons[HEALTH_REASONS] = {[HEALTH_UNCHANGED] = "none", [HEALTH_CHECKS_FAIL] = "checks_fail",
	[HEALTH_CHECKS_PASS] = "checks_pass", [HEALTH_FAILURES_IN_A_ROW] = "failures_in_a_row",
	[HEALTH_ERROR_RATE] = "error_rate", [HEALTH_SLOW] = "slow", [HEALTH_TIME_SERVED] = "time_served",
	[HEALTH_PROVEN] = "proven"};

static void endpoint_put_health_reason(
	struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	put_one_of(x, metric, sample, "reason", health_reasons, HEALTH_REASONS);
}

static void endpoint_put_limit_reason(
	struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const char *words[LIMITER_REASON_COUNT];

	for (size_t i = 0; i < LIMITER_REASON_COUNT; i++)
		words[i] = limiter_reason_word((enum limiter_reason)i);
	put_one_of(x, metric, sample, "reason", words, LIMITER_REASON_COUNT);
}

static void endpoint_put_ejections(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	for (size_t i = HEALTH_FAILURES_IN_A_ROW; i <= HEALTH_SLOW; i++)
		put_labelled(x, metric, sample, (struct label){"reason", view_str(health_reasons[i])},
			sample->stats->ejections[i]);
}

static void endpoint_put_waiters(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, sample->stats->pool.waiting);
}

static void endpoint_put_value(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, u64_at(sample->stats, metric->offset));
}

static void endpoint_put_seconds(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_millionths(x, metric->name, sample->labels, 2, u64_at(sample->stats, metric->offset));
}

static void endpoint_put_reuse_ratio(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = &sample->stats->pool;
	uint64_t delivered = pool->acquires[WEIR_POOL_DELIVERED];
	double ratio = delivered > 0 ? (double)pool->reused / (double)delivered : 0;

	exposition_millionths(x, metric->name, sample->labels, 2, (uint64_t)(ratio * 1e6 + 0.5));
}

static void endpoint_put_times(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	struct weir_pool_times times;

	memcpy(&times, (const char *)sample->stats + metric->offset, sizeof(times));

	const struct histogram histogram = {times.buckets, WEIR_POOL_TIME_BUCKETS, 16, times.sum_us, 1};

	exposition_histogram(x, metric->name, sample->labels, 2, &histogram);
}

static struct histogram phase_histogram(const struct time_book *book, unsigned phase)
{
	return (struct histogram){book->phases[phase], TIME_PHASE_BUCKETS, TIME_FIRST_US, book->sum_us[phase], 2};
}

/* The phases of a try. */
static void endpoint_put_phases(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	for (unsigned phase = PHASE_QUEUE; phase <= PHASE_CLIENT; phase++) {
		struct histogram histogram = phase_histogram(&sample->stats->times, phase);

		sample->labels[2] = (struct label){"phase", view_str(phase_word((enum phase)phase))};
		exposition_histogram(x, metric->name, sample->labels, 3, &histogram);
	}
}

/* One for each of the above: put_pool_waiters and so on, for the table. */
#define PUT_EACH(what)                                                                                            \
	static void put_pool_##what(struct exposition *x, const struct metric *metric, const struct totals *totals) \
	{                                                                                                         \
		put_each_endpoint(x, metric, totals, endpoint_put_##what);                                        \
	}

PUT_EACH(phases)
PUT_EACH(connections)
PUT_EACH(acquires)
PUT_EACH(refusals)
PUT_EACH(closes)
PUT_EACH(retries)
PUT_EACH(tried_again)
PUT_EACH(open_failures)
PUT_EACH(rejected)
PUT_EACH(health_checks)
PUT_EACH(health)
PUT_EACH(health_reason)
PUT_EACH(limit_reason)
PUT_EACH(ejections)
PUT_EACH(waiters)
PUT_EACH(value)
PUT_EACH(seconds)
PUT_EACH(reuse_ratio)
PUT_EACH(times)

/* --- by rate limit ------------------------------------------------------------------------------------------------ */

static void put_each_limit(struct exposition *x, const struct metric *metric, const struct totals *totals,
	void (*put)(struct exposition *x, const struct metric *metric, struct label labels[3],
		const struct limit_store_stats *stats))
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];

		for (size_t j = 0; j < route->filter_count; j++) {
			const struct config_rate_limit *limit = &route->filters[j].u.rate_limit;
			struct label labels[3] = {{"route", route->name}, {"limit", limit->name}};
			struct limit_store_stats stats = {0};

			if (route->filters[j].kind != CONFIG_FILTER_RATE_LIMIT)
				continue;
			if (totals->limits != NULL)
				limit_store_stats(totals->limits[limit->index]->store, &stats);
			put(x, metric, labels, &stats);
		}
	}
}

static void limit_put_outcomes(struct exposition *x, const struct metric *metric, struct label labels[3],
	const struct limit_store_stats *stats)
{
	static const char *const outcomes[LIMIT_VERDICTS] = {
		[LIMIT_PASSES] = "passed",
		[LIMIT_WAITS] = "delayed",
		[LIMIT_REFUSED] = "refused",
		[LIMIT_NO_ROOM] = "no_room",
	};

	for (size_t i = 0; i < LIMIT_VERDICTS; i++) {
		labels[2] = (struct label){"outcome", view_str(outcomes[i])};
		exposition_sample(x, metric->name, labels, 3, stats->answers[i]);
	}
}

static void limit_put_value(struct exposition *x, const struct metric *metric, struct label labels[3],
	const struct limit_store_stats *stats)
{
	exposition_sample(x, metric->name, labels, 2, u64_at(stats, metric->offset));
}

static void put_limit_outcomes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_limit(x, metric, totals, limit_put_outcomes);
}

static void put_limit_value(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_limit(x, metric, totals, limit_put_value);
}

/* --- by route ----------------------------------------------------------------------------------------------------- */

static void put_route_times(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct time_book *book = &totals->sum->routes[i];
		const struct label label = {"route", totals->config->routes[i].name};
		const struct histogram whole = {book->whole, TIME_BUCKETS, TIME_FIRST_US, time_book_sum_us(book), 1};

		exposition_histogram(x, metric->name, &label, 1, &whole);
	}
}

/* A route that answers by itself asks no endpoint. */
static void put_route_phases(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];

		for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
			const struct label labels[] = {{"route", route->name}, {"phase", view_str(phase_word((enum phase)phase))}};
			struct histogram histogram = phase_histogram(&totals->sum->routes[i], phase);

			if (phase < PHASE_QUEUE || route->action == ACTION_UPSTREAM)
				exposition_histogram(x, metric->name, labels, 2, &histogram);
		}
	}
}

static void put_each_breaker(struct exposition *x, const struct metric *metric, const struct totals *totals,
	uint64_t (*value)(const struct breaker *breaker))
{
	for (size_t i = 0; i < totals->config->route_count; i++) {
		const struct config_route *route = &totals->config->routes[i];
		const struct label label = {"route", route->name};
		struct breaker breaker = {0};

		if (!route->breaker.enabled)
			continue;
		if (totals->breakers != NULL)
			shared_breaker_look(&totals->breakers[i]->breaker, &breaker);
		exposition_sample(x, metric->name, &label, 1, value(&breaker));
	}
}

static uint64_t breaker_state_of(const struct breaker *breaker)
{
	return breaker->state;
}

static uint64_t breaker_opened_of(const struct breaker *breaker)
{
	return breaker->opened_total;
}

static void put_breaker_states(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_breaker(x, metric, totals, breaker_state_of);
}

static void put_breakers_opened(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_breaker(x, metric, totals, breaker_opened_of);
}

static bool has_breakers(const struct config *config)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (config->routes[i].breaker.enabled)
			return true;
	return false;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define COUNTER(name, put, type, member, help) {name, METRIC_COUNTER, help, put, offsetof(type, member)}
#define GAUGE(name, put, type, member, help) {name, METRIC_GAUGE, help, put, offsetof(type, member)}
#define WORKER_COUNTER(name, member, help) COUNTER(name, put_worker, struct worker_stats, member, help)
#define WORKER_GAUGE(name, member, help) GAUGE(name, put_worker, struct worker_stats, member, help)
#define MARKS_COUNTER(name, member, help) COUNTER(name, put_marks, struct worker_stats, shed.member, help)
#define MARKS_GAUGE(name, member, help) GAUGE(name, put_marks, struct worker_stats, shed.member, help)
#define POOL_COUNTER(name, put, member, help) COUNTER(name, put_pool_##put, struct upstream_endpoint_stats, member, help)
#define POOL_GAUGE(name, put, member, help) GAUGE(name, put_pool_##put, struct upstream_endpoint_stats, member, help)
#define POOL_TIMES(name, member, help) \
	{name, METRIC_HISTOGRAM, help, put_pool_times, offsetof(struct upstream_endpoint_stats, member)}
#define TOTAL_COUNTER(name, member, help) COUNTER(name, put_total, struct totals, member, help)
#define TOTAL_GAUGE(name, member, help) GAUGE(name, put_total, struct totals, member, help)

static const struct metric metrics[] = {
	{"weir_build_info", METRIC_GAUGE, "The version that runs; the value is always 1.", put_build},
	TOTAL_GAUGE("weir_workers", workers, "Workers that were started."),
	TOTAL_GAUGE("weir_workers_unanswered", workers_unanswered,
		"Workers that did not answer in time; their part of every sum is what they said last."),

	WORKER_GAUGE("weir_connections_open", connections_open, "Clients' connections that are open."),
	WORKER_COUNTER("weir_connections_accepted_total", connections_accepted, "Clients' connections accepted."),
	WORKER_COUNTER("weir_connections_refused_total", connections_refused,
		"Clients' connections answered with 503 because the listener had as many as it allows."),
	WORKER_COUNTER("weir_connections_capped_total", connections_capped,
		"Clients' connections refused because the same client had as many as it may have."),
	WORKER_COUNTER("weir_connections_shed_total", connections_shed,
		"Clients' connections closed unserved because descriptors or memory were exhausted."),
	WORKER_COUNTER("weir_accept_paused_total", accept_paused,
		"Times that accepting was paused because descriptors or memory were exhausted."),
	WORKER_COUNTER("weir_tls_handshakes_total", tls_handshakes, "TLS handshakes with clients that were completed."),
	WORKER_COUNTER("weir_tls_handshakes_resumed_total", tls_handshakes_resumed,
		"TLS handshakes with clients that went on with a session of before."),
	WORKER_COUNTER("weir_tls_handshakes_failed_total", tls_handshakes_failed,
		"TLS handshakes with clients that failed, or were not over in time."),
	WORKER_COUNTER("weir_tls_handshakes_refused_total", tls_handshakes_refused,
		"Clients' connections closed because as many handshakes were under way as the listener allows."),

	{"weir_proxy_headers_refused_total", METRIC_COUNTER,
		"Clients' connections closed because of the PROXY header that they had to begin with, by reason.",
		put_proxy_refusals},

	MARKS_GAUGE("weir_shedding", passed, "Workers that refuse new work at present, by the mark that was passed."),
	MARKS_COUNTER("weir_shedding_begun_total", begun, "Times that a worker began to refuse new work, by mark."),
	MARKS_COUNTER("weir_shedding_connections_total", connections,
		"Clients' connections refused because of a mark of the gateway's own, by mark."),
	MARKS_COUNTER("weir_shedding_requests_total", requests, "Requests refused because of such a mark, by mark."),
	{"weir_loop_lag_seconds", METRIC_HISTOGRAM,
		"How long a worker's events wait for their turn, looked at every 100 ms while there is work.", put_lag},

	WORKER_COUNTER("weir_exchanges_started_total", exchanges_started, "Requests begun."),
	WORKER_COUNTER("weir_exchanges_finished_total", exchanges_finished, "Requests ended, however they ended."),
	{"weir_exchanges_total", METRIC_COUNTER,
		"Requests ended, by the cause of their failure (none: they succeeded), and connections refused over "
		"the limit.",
		put_causes},
	{"weir_responses_total", METRIC_COUNTER,
		"Requests ended, by the class of the final status sent to the client; none: nothing was sent.",
		put_classes},
	{"weir_grpc_responses_total", METRIC_COUNTER,
		"Calls of gRPC ended, by the status that the client was told; none: it was told none.", put_grpc_statuses},
	{"weir_request_seconds", METRIC_HISTOGRAM,
		"How long requests took, from the first byte of the head to the end, by route; a tunnel until it was open.",
		put_route_times},
	{"weir_request_phase_seconds", METRIC_HISTOGRAM,
		"Where the time of requests went, by route and phase: what was waited for. Those that spent nothing in a phase are "
		"not counted in it.",
		put_route_phases},
	WORKER_COUNTER("weir_fallbacks_total", fallbacks, "Requests that their route's fallback has taken over."),
	WORKER_COUNTER("weir_grpc_retries_total", grpc_retries, "Times that a call of gRPC was sent again for its status."),
	{"weir_retried_requests_total", METRIC_COUNTER,
		"Requests that were sent again for what came of them and have ended, by outcome; failed: with a failure or a "
		"status of 5xx.",
		put_retried},
	WORKER_COUNTER("weir_bytes_in_total", bytes_in, "Request content received, in bytes, of requests that ended."),
	WORKER_COUNTER("weir_bytes_out_total", bytes_out, "Response content sent, in bytes, of requests that ended."),
	WORKER_COUNTER("weir_exchange_double_finish_total", exchange_double_finish,
		"Requests that were to be ended a second time. A bug in the gateway unless 0."),
	WORKER_COUNTER("weir_exchange_stale_resume_total", exchange_stale_resume,
		"Late answers to requests that had ended already; counted, nothing else."),
	WORKER_GAUGE("weir_tunnels_open", tunnels_open, "Upgraded connections that are open."),

	POOL_GAUGE("weir_pool_connections", connections, pool, "Connections to the endpoint, by state."),
	POOL_GAUGE("weir_pool_waiters", waiters, pool, "Requests that wait for a connection to the endpoint."),
	POOL_COUNTER("weir_pool_acquires_total", acquires, pool.acquires, "Connections asked for, by outcome."),
	POOL_COUNTER("weir_pool_refusals_total", refusals, pool.refusals,
		"Connections asked for whose outcome was `rejected`, by reason."),
	POOL_TIMES("weir_pool_wait_seconds", pool.wait,
		"How long it took from asking for a connection until it was there, of those that were delivered."),
	POOL_TIMES("weir_pool_use_seconds", pool.use, "How long a request had its connection."),
	{"weir_upstream_phase_seconds", METRIC_HISTOGRAM,
		"Where the time of requests went that were sent to the endpoint, by phase; of one that was sent again, each try.",
		put_pool_phases},
	POOL_COUNTER("weir_pool_reused_total", value, pool.reused, "Deliveries of a connection that had served before."),
	POOL_GAUGE("weir_pool_reuse_ratio", reuse_ratio, pool,
		"Which part of all deliveries since the start was of connections that had served before; 0 to 1."),
	POOL_COUNTER("weir_pool_retries_total", retries, retries,
		"Requests sent a second time because the reused connection had gone, by how that showed."),
	POOL_COUNTER("weir_upstream_retries_total", tried_again, tried_again,
		"Requests that were sent again for what came of them at the endpoint, by reason."),
	POOL_COUNTER("weir_upstream_retries_denied_total", value, retries_denied,
		"Requests that were not sent again since the budget for that was exhausted, by the endpoint where they failed."),
	POOL_COUNTER("weir_pool_opened_total", value, pool.opened, "Connections to the endpoint that were opened."),
	POOL_COUNTER("weir_pool_open_failures_total", open_failures, open_failed,
		"Connections to the endpoint that could not be opened, by cause."),
	POOL_COUNTER("weir_pool_overflow_total", value, pool.overflowed,
		"Connections that were begun to be opened beyond max_connections."),
	POOL_COUNTER("weir_pool_closed_total", value, pool.closed, "Connections to the endpoint that were closed."),
	POOL_COUNTER("weir_pool_closes_total", closes, pool.closes,
		"Connections to the endpoint that were to be closed, by reason."),
	POOL_GAUGE("weir_pool_learned_idle_seconds", seconds, learned_idle_us,
		"After how long the endpoint was seen to close idle connections; 0: not seen."),
	POOL_GAUGE("weir_pool_announced_idle_seconds", seconds, announced_idle_us,
		"After how long the endpoint says that it closes idle connections; 0: it says nothing."),
	POOL_GAUGE("weir_upstream_concurrency_limit", value, concurrency.limit,
		"How many requests the endpoint gets at once at most, over all workers, without those that are parked."),
	POOL_GAUGE("weir_upstream_concurrency_knee", seconds, concurrency.knee,
		"From how many requests at once on more only queue inside the endpoint; 0: not reached so far."),
	POOL_GAUGE("weir_upstream_concurrency_latency_seconds", seconds, concurrency.latency_us,
		"The mean time until the endpoint answers when nothing queues inside it; 0: nothing is known."),
	POOL_GAUGE("weir_upstream_concurrency_reason", limit_reason, concurrency.reason,
		"Why the limit is what it is: 1 for the reason of its last move."),
	POOL_GAUGE("weir_upstream_concurrency_moved_seconds", seconds, concurrency.moved_us,
		"How long ago the limit last moved; 0: it never has."),
	POOL_GAUGE("weir_upstream_concurrency_parked", value, concurrency.parked,
		"Requests beside the limit: tunnels, and those whose answer goes on for more than a second."),
	POOL_GAUGE("weir_upstream_sessions", value, sessions,
		"Connections to the endpoint that speak HTTP/2; what its pool counts are their streams."),
	POOL_COUNTER("weir_upstream_health_checks_total", health_checks, health_passed,
		"Health checks of the endpoint that have ended, by result."),
	POOL_GAUGE("weir_upstream_out_of_service", value, out,
		"1 while the endpoint is out of service: its health checks fail, it is ejected, or its breaker is open; else 0."),
	POOL_GAUGE("weir_upstream_panic", value, panic,
		"1 while the endpoint is out of service and gets requests all the same, since too few others are left, else 0."),
	POOL_GAUGE("weir_upstream_health", health, health_state, "Whether the endpoint is in service: 1 for its state."),
	POOL_GAUGE("weir_upstream_health_reason", health_reason, health_reason,
		"Why the endpoint's state has changed last: 1 for the reason."),
	POOL_GAUGE("weir_upstream_health_seconds", seconds, health_changed_us,
		"For how long the endpoint has been in its state; 0: since it came."),
	POOL_COUNTER("weir_upstream_ejections_total", ejections, ejections,
		"Times that the endpoint was ejected for being worse than the others, by reason."),
	POOL_COUNTER("weir_upstream_hedges_total", value, hedges, "Requests that were sent to the endpoint beside another one."),
	POOL_COUNTER("weir_upstream_hedges_won_total", value, hedges_won, "Of them those that it has answered first."),
	POOL_GAUGE("weir_upstream_breaker_state", value, breaker_state,
		"What the endpoint's breaker is: 0 closed (or there is none), 1 open, 2 half open."),
	POOL_COUNTER("weir_upstream_breaker_opened_total", value, breaker_opened, "How often the endpoint's breaker has opened."),
	POOL_COUNTER("weir_pool_leases_leaking_total", value, leaking,
		"Requests that had their connection for leak_after and on which nothing had moved."),
	POOL_COUNTER("weir_pool_give_backs_rejected_total", rejected, pool,
		"Connections given back by somebody who did not hold them, by kind. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_bad_reports_total", value, pool.bad_reports,
		"Reports of connections to the pool that could not be true. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_audits_total", value, audits, "Recounts of the pool's books."),
	POOL_COUNTER("weir_pool_audit_mismatch_total", value, audit_mismatch,
		"Recounts that did not agree with the books. A bug in the gateway unless 0."),

	{"weir_rate_limit_requests_total", METRIC_COUNTER, "Requests that a rate limit was asked for, by what it said.",
		put_limit_outcomes},
	GAUGE("weir_rate_limit_keys", put_limit_value, struct limit_store_stats, keys,
		"Keys that a rate limit knows, those that are as good as new among them."),
	GAUGE("weir_rate_limit_keys_max", put_limit_value, struct limit_store_stats, keys_max,
		"Keys that a rate limit was made for."),
	COUNTER("weir_rate_limit_evictions_total", put_limit_value, struct limit_store_stats, evictions,
		"Keys that a rate limit forgot for others while something was known of them."),

	{"weir_route_breaker_state", METRIC_GAUGE, "What the route's breaker is: 0 closed, 1 open, 2 half open.",
		put_breaker_states},
	{"weir_route_breaker_opened_total", METRIC_COUNTER, "How often the route's breaker has opened.", put_breakers_opened},

	TOTAL_COUNTER("weir_log_dropped_total", log_dropped, "Log entries dropped because there was no room for them."),

	TOTAL_GAUGE("process_open_fds", process.open_fds, "Open file descriptors."),
	TOTAL_GAUGE("process_max_fds", process.max_fds, "Open file descriptors that are allowed."),
	TOTAL_GAUGE("process_resident_memory_bytes", process.resident_bytes, "Resident memory, in bytes."),
	COUNTER("process_cpu_seconds_total", put_seconds, struct totals, process.cpu_us,
		"User and system processor time, in seconds."),
	GAUGE("process_start_time_seconds", put_seconds, struct totals, process.start_us,
		"When the process was started, in seconds since the Unix epoch."),
};

/* A family without samples is none. */
static bool has_samples(const struct metric *metric, const struct totals *totals)
{
	if (metric->put == put_limit_outcomes || metric->put == put_limit_value)
		return totals->config->rate_limit_count > 0;
	if (metric->put == put_breaker_states || metric->put == put_breakers_opened)
		return has_breakers(totals->config);
	return true;
}

bool metrics_write(struct buf *to, const struct totals *totals, size_t bytes_max)
{
	struct exposition x = {.to = to, .bytes_max = bytes_max};

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]) && !x.full; i++) {
		if (!has_samples(&metrics[i], totals))
			continue;
		exposition_family(&x, metrics[i].name, metrics[i].type, metrics[i].help);
		metrics[i].put(&x, &metrics[i], totals);
	}
	return !x.full;
}
