/*
 * See metrics.h. One line of the table is one metric: what it is called, what it is, what it means, and where its value
 * stands. Label sets are bounded by the configuration and by closed lists, never by traffic; every member of a set is
 * always there, so that a rate can be taken from its first increment on.
 */
#include "control/metrics.h"

#include "control/exposition.h"

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

	const struct histogram histogram = {times.buckets, WEIR_POOL_TIME_BUCKETS, 16, times.sum_us};

	exposition_histogram(x, metric->name, sample->labels, 2, &histogram);
}

/* One for each of the above: put_pool_waiters and so on, for the table. */
#define PUT_EACH(what)                                                                                            \
	static void put_pool_##what(struct exposition *x, const struct metric *metric, const struct totals *totals) \
	{                                                                                                         \
		put_each_endpoint(x, metric, totals, endpoint_put_##what);                                        \
	}

PUT_EACH(connections)
PUT_EACH(acquires)
PUT_EACH(closes)
PUT_EACH(retries)
PUT_EACH(open_failures)
PUT_EACH(rejected)
PUT_EACH(health_checks)
PUT_EACH(waiters)
PUT_EACH(value)
PUT_EACH(seconds)
PUT_EACH(reuse_ratio)
PUT_EACH(times)

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define COUNTER(name, put, type, member, help) {name, METRIC_COUNTER, help, put, offsetof(type, member)}
#define GAUGE(name, put, type, member, help) {name, METRIC_GAUGE, help, put, offsetof(type, member)}
#define WORKER_COUNTER(name, member, help) COUNTER(name, put_worker, struct worker_stats, member, help)
#define WORKER_GAUGE(name, member, help) GAUGE(name, put_worker, struct worker_stats, member, help)
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
	WORKER_COUNTER("weir_grpc_retries_total", grpc_retries, "Times that a call of gRPC was sent again for its status."),
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
	POOL_TIMES("weir_pool_wait_seconds", pool.wait,
		"How long it took from asking for a connection until it was there, of those that were delivered."),
	POOL_TIMES("weir_pool_use_seconds", pool.use, "How long a request had its connection."),
	POOL_COUNTER("weir_pool_reused_total", value, pool.reused, "Deliveries of a connection that had served before."),
	POOL_GAUGE("weir_pool_reuse_ratio", reuse_ratio, pool,
		"Which part of all deliveries since the start was of connections that had served before; 0 to 1."),
	POOL_COUNTER("weir_pool_retries_total", retries, retries,
		"Requests sent a second time because the reused connection had gone, by how that showed."),
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
	POOL_GAUGE("weir_upstream_sessions", value, sessions,
		"Connections to the endpoint that speak HTTP/2; what its pool counts are their streams."),
	POOL_COUNTER("weir_upstream_health_checks_total", health_checks, health_passed,
		"Health checks of the endpoint that have ended, by result."),
	POOL_GAUGE("weir_upstream_out_of_service", value, out,
		"1 while the endpoint's health checks fail and it gets no requests, else 0."),
	POOL_COUNTER("weir_pool_leases_leaking_total", value, leaking,
		"Requests that had their connection for leak_after and on which nothing had moved."),
	POOL_COUNTER("weir_pool_give_backs_rejected_total", rejected, pool,
		"Connections given back by somebody who did not hold them, by kind. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_bad_reports_total", value, pool.bad_reports,
		"Reports of connections to the pool that could not be true. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_audits_total", value, audits, "Recounts of the pool's books."),
	POOL_COUNTER("weir_pool_audit_mismatch_total", value, audit_mismatch,
		"Recounts that did not agree with the books. A bug in the gateway unless 0."),

	TOTAL_COUNTER("weir_log_dropped_total", log_dropped, "Log entries dropped because there was no room for them."),

	TOTAL_GAUGE("process_open_fds", process.open_fds, "Open file descriptors."),
	TOTAL_GAUGE("process_resident_memory_bytes", process.resident_bytes, "Resident memory, in bytes."),
	COUNTER("process_cpu_seconds_total", put_seconds, struct totals, process.cpu_us,
		"User and system processor time, in seconds."),
	GAUGE("process_start_time_seconds", put_seconds, struct totals, process.start_us,
		"When the process was started, in seconds since the Unix epoch."),
};

bool metrics_write(struct buf *to, const struct totals *totals, size_t bytes_max)
{
	struct exposition x = {.to = to, .bytes_max = bytes_max};

	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]) && !x.full; i++) {
		exposition_family(&x, metrics[i].name, metrics[i].type, metrics[i].help);
		metrics[i].put(&x, &metrics[i], totals);
	}
	return !x.full;
}
