/*
 * What the gateway counts of its clients and of their requests, over all workers.
 */
#include "control/metrics_family.h"

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

	exposition_words(x, metric->name, "outcome", outcomes, totals->sum->worker.retried, 2);
}

static void put_proxy_refusals(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const reasons[PROXY_REFUSALS] = {
		[PROXY_UNTRUSTED] = "untrusted",
		[PROXY_MALFORMED] = "malformed",
		[PROXY_LATE] = "late",
	};

	exposition_words(x, metric->name, "reason", reasons, totals->sum->worker.proxy_headers_refused, PROXY_REFUSALS);
}

static void put_classes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	exposition_words(x, metric->name, "class", classes, totals->sum->worker.responses_by_class, 6);
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
			metric_u64(&totals->sum->worker, metric->offset + mark * sizeof(uint64_t)));
	}
}

/* One counter for each reason. */
static void put_trace_drops(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (size_t why = 0; why < TRACE_DROPS; why++) {
		const struct label label = {"reason", view_str(trace_drop_word((enum trace_drop)why))};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.trace.dropped[why]);
	}
}

static void put_lag(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct shed_stats *shed = &totals->sum->worker.shed;
	const struct histogram histogram = {shed->lag_counts, SHED_LAG_BUCKETS, SHED_LAG_FIRST_US, shed->lag_sum_us, 1, NULL};
	const struct label none = {0};

	exposition_histogram(x, metric->name, &none, 0, &histogram);
}

/* A uint64_t of struct worker_stats. */
static void put_worker(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_sample(x, metric->name, NULL, 0, metric_u64(&totals->sum->worker, metric->offset));
}

#define WORKER_COUNTER(name, member, help) COUNTER(name, put_worker, struct worker_stats, member, help)
#define WORKER_GAUGE(name, member, help) GAUGE(name, put_worker, struct worker_stats, member, help)
#define MARKS_COUNTER(name, member, help) COUNTER(name, put_marks, struct worker_stats, shed.member, help)
#define MARKS_GAUGE(name, member, help) GAUGE(name, put_marks, struct worker_stats, shed.member, help)

static const struct metric rows[] = {
	WORKER_GAUGE("weir_connections_open", connections_open, "Clients' connections that are open."),
	WORKER_COUNTER("weir_connections_accepted_total", connections_accepted, "Clients' connections accepted."),
	WORKER_COUNTER("weir_connections_refused_total", connections_refused,
		"Clients' connections answered with 503 because the listener had as many as it allows."),
	WORKER_COUNTER("weir_connections_capped_total", connections_capped,
		"Clients' connections refused because the same client had as many as it may have."),
	WORKER_COUNTER("weir_connections_shed_total", connections_shed,
		"Clients' connections closed unserved because descriptors or memory were exhausted."),
	WORKER_COUNTER("weir_accept_paused_total", accept_paused,
		"Times that accepting was paused because descriptors or memory were exhausted, or it failed."),
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

	WORKER_COUNTER("weir_trace_spans_exported_total", trace.exported, "Spans that the collector has taken."),
	{"weir_trace_spans_dropped_total", METRIC_COUNTER, "Spans that were given up, by reason.", put_trace_drops},
	WORKER_COUNTER("weir_trace_export_failures_total", trace.failures,
		"Requests to the collector of traces that have failed, each try."),
	WORKER_GAUGE("weir_trace_spans_queued", trace.queued, "Spans that wait to be taken."),
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
		"Calls of gRPC ended, by the status that the client was told; none: it was told none.",
		put_grpc_statuses},
	WORKER_COUNTER("weir_fallbacks_total", fallbacks, "Requests that their route's fallback has taken over."),
	WORKER_COUNTER(
		"weir_grpc_retries_total", grpc_retries, "Times that a call of gRPC was sent again for its status."),
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
};

const struct metric_group metrics_of_gateway = {METRICS(rows)};
