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
	exposition_seconds(x, metric->name, u64_at(totals, metric->offset));
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

static void put_classes(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		const struct label label = {"class", view_str(classes[i])};

		exposition_sample(x, metric->name, &label, 1, totals->sum->worker.responses_by_class[i]);
	}
}

/* --- by endpoint -------------------------------------------------------------------------------------------------- */

/* An endpoint's pool and its labels; a third may follow. */
struct endpoint_sample {
	const struct weir_pool_stats *pool;
	struct label labels[3];
};

static void put_each_endpoint(struct exposition *x, const struct metric *metric, const struct totals *totals,
	void (*put)(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample))
{
	const struct weir_pool_stats *pool = totals->sum->pools;

	for (size_t i = 0; i < totals->config->upstream_count; i++) {
		const struct config_upstream *upstream = &totals->config->upstreams[i];

		for (size_t j = 0; j < upstream->endpoint_count; j++) {
			struct endpoint_sample sample = {pool++,
				{{"upstream", upstream->name}, {"endpoint", upstream->endpoints[j].address_text}}};

			put(x, metric, &sample);
		}
	}
}

static void endpoint_put_connections(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = sample->pool;
	const struct {
		const char *state;
		uint32_t count;
	} states[] = {{"idle", pool->idle}, {"connecting", pool->connecting}, {"leased", pool->leased},
		{"closing", pool->closing}};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		sample->labels[2] = (struct label){"state", view_str(states[i].state)};
		exposition_sample(x, metric->name, sample->labels, 3, states[i].count);
	}
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

	for (size_t i = 0; i < WEIR_POOL_PENDING; i++) {
		sample->labels[2] = (struct label){"outcome", view_str(outcomes[i])};
		exposition_sample(x, metric->name, sample->labels, 3, sample->pool->acquires[i]);
	}
}

static void endpoint_put_waiters(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, sample->pool->waiting);
}

static void endpoint_put_value(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, u64_at(sample->pool, metric->offset));
}

static void put_pool_connections(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_endpoint(x, metric, totals, endpoint_put_connections);
}

static void put_pool_acquires(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_endpoint(x, metric, totals, endpoint_put_acquires);
}

static void put_pool_waiters(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_endpoint(x, metric, totals, endpoint_put_waiters);
}

/* A uint64_t of struct weir_pool_stats. */
static void put_pool(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	put_each_endpoint(x, metric, totals, endpoint_put_value);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

#define COUNTER(name, put, type, member, help) {name, METRIC_COUNTER, help, put, offsetof(type, member)}
#define GAUGE(name, put, type, member, help) {name, METRIC_GAUGE, help, put, offsetof(type, member)}
#define WORKER_COUNTER(name, member, help) COUNTER(name, put_worker, struct worker_stats, member, help)
#define WORKER_GAUGE(name, member, help) GAUGE(name, put_worker, struct worker_stats, member, help)
#define POOL_COUNTER(name, member, help) COUNTER(name, put_pool, struct weir_pool_stats, member, help)
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

	WORKER_COUNTER("weir_exchanges_started_total", exchanges_started, "Requests begun."),
	WORKER_COUNTER("weir_exchanges_finished_total", exchanges_finished, "Requests ended, however they ended."),
	{"weir_exchanges_total", METRIC_COUNTER,
		"Requests ended, by the cause of their failure (none: they succeeded), and connections refused over "
		"the limit.",
		put_causes},
	{"weir_responses_total", METRIC_COUNTER,
		"Requests ended, by the class of the final status sent to the client; none: nothing was sent.",
		put_classes},
	WORKER_COUNTER("weir_bytes_in_total", bytes_in, "Request content received, in bytes, of requests that ended."),
	WORKER_COUNTER("weir_bytes_out_total", bytes_out, "Response content sent, in bytes, of requests that ended."),
	WORKER_COUNTER("weir_exchange_double_finish_total", exchange_double_finish,
		"Requests that were to be ended a second time. A bug in the gateway unless 0."),
	WORKER_COUNTER("weir_exchange_stale_resume_total", exchange_stale_resume,
		"Late answers to requests that had ended already; counted, nothing else."),
	WORKER_GAUGE("weir_tunnels_open", tunnels_open, "Upgraded connections that are open."),

	{"weir_pool_connections", METRIC_GAUGE, "Connections to the endpoint, by state.", put_pool_connections},
	{"weir_pool_waiters", METRIC_GAUGE, "Requests that wait for a connection to the endpoint.", put_pool_waiters},
	{"weir_pool_acquires_total", METRIC_COUNTER, "Connections asked for, by outcome.", put_pool_acquires},
	POOL_COUNTER("weir_pool_opened_total", opened, "Connections to the endpoint that were opened."),
	POOL_COUNTER(
		"weir_pool_open_failed_total", open_failed, "Connections to the endpoint that could not be opened."),
	POOL_COUNTER("weir_pool_closed_total", closed, "Connections to the endpoint that were closed."),
	POOL_COUNTER("weir_pool_reused_total", reused, "Deliveries of a connection that had served before."),
	POOL_COUNTER("weir_pool_stale_give_backs_total", stale_give_backs,
		"Connections given back by somebody who did not hold them. A bug in the gateway unless 0."),

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
