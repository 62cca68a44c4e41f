/*
 * What is told of every endpoint: its pool, its health, what it has learned.
 *
 * There may be thousands, so what is 0 is not told of an endpoint, but for what says that it is there, what it serves and
 * whether it may (put_value, put_connections): what never happened, what is not known, and which of a closed list does not hold. And
 * there is one histogram only.
 */
#include "control/metrics_family.h"
#include "upstream/limiter.h"

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

/* A sample with a third label, unless it is 0. */
static void put_labelled(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	struct label third, uint64_t value)
{
	sample->labels[2] = third;
	if (value > 0)
		exposition_sample(x, metric->name, sample->labels, 3, value);
}

/* A closed list: words[i] is the third label's value of the i-th counter at metric->offset. */
static void put_list(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	const char *label, const char *const words[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_labelled(x, metric, sample, (struct label){label, view_str(words[i])},
			metric_u64(sample->stats, metric->offset + i * sizeof(uint64_t)));
}

#define PUT_LIST(x, metric, sample, label, words) put_list(x, metric, sample, label, words, sizeof(words) / sizeof(*(words)))

static void endpoint_put_connections(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct weir_pool_stats *pool = &sample->stats->pool;

	put_labelled(x, metric, sample, (struct label){"state", VIEW("connecting")}, pool->connecting);
	put_labelled(x, metric, sample, (struct label){"state", VIEW("checking")}, pool->checking);
	put_labelled(x, metric, sample, (struct label){"state", VIEW("closing")}, pool->closing);
	sample->labels[2] = (struct label){"state", VIEW("idle")};
	exposition_sample(x, metric->name, sample->labels, 3, pool->idle);
	sample->labels[2] = (struct label){"state", VIEW("leased")};
	exposition_sample(x, metric->name, sample->labels, 3, pool->leased);
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

/* 1 for the word of the list that the value at metric->offset stands for. */
static void put_one_of(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample,
	const char *label, const char *const words[], size_t count)
{
	uint64_t at = metric_u64(sample->stats, metric->offset);

	if (at < count)
		put_labelled(x, metric, sample, (struct label){label, view_str(words[at])}, 1);
}

static void endpoint_put_health(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	static const char *const states[HEALTH_STATES] = {[HEALTH_HEALTHY] = "healthy", [HEALTH_UNHEALTHY] = "unhealthy",
		[HEALTH_EJECTED] = "ejected", [HEALTH_PROBATION] = "probation"};

	put_one_of(x, metric, sample, "state", states, HEALTH_STATES);
}

static void endpoint_put_health_reason(
	struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const char *words[HEALTH_REASONS];

	for (size_t i = 0; i < HEALTH_REASONS; i++)
		words[i] = health_reason_word((enum health_reason)i);
	put_one_of(x, metric, sample, "reason", words, HEALTH_REASONS);
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
		put_labelled(x, metric, sample, (struct label){"reason", view_str(health_reason_word((enum health_reason)i))},
			sample->stats->ejections[i]);
}

static void endpoint_put_waiters(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, sample->stats->pool.waiting);
}

static void endpoint_put_value(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	exposition_sample(x, metric->name, sample->labels, 2, metric_u64(sample->stats, metric->offset));
}

static void endpoint_put_any(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	if (metric_u64(sample->stats, metric->offset) > 0)
		endpoint_put_value(x, metric, sample);
}

static void endpoint_put_seconds(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	uint64_t us = metric_u64(sample->stats, metric->offset);

	if (us > 0)
		exposition_millionths(x, metric->name, sample->labels, 2, us);
}

/* The phases of a try. */
static void endpoint_put_phases(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	for (unsigned phase = PHASE_QUEUE; phase <= PHASE_CLIENT; phase++) {
		uint64_t us = sample->stats->times.sum_us[phase];

		sample->labels[2] = (struct label){"phase", view_str(phase_word((enum phase)phase))};
		if (us > 0)
			exposition_millionths(x, metric->name, sample->labels, 3, us);
	}
}

static void endpoint_put_first_byte(struct exposition *x, const struct metric *metric, struct endpoint_sample *sample)
{
	const struct try_book *tries = &sample->stats->times;
	const struct histogram histogram = {
		tries->first_byte, TRY_BUCKETS, TRY_FIRST_US, tries->sum_us[PHASE_FIRST_BYTE], 2, NULL};

	if (tries->count > 0)
		exposition_histogram(x, metric->name, sample->labels, 2, &histogram);
}

/* One for each of the above: put_pool_waiters and so on, for the table. */
#define PUT_EACH(what)                                                                                            \
	static void put_pool_##what(struct exposition *x, const struct metric *metric, const struct totals *totals) \
	{                                                                                                         \
		put_each_endpoint(x, metric, totals, endpoint_put_##what);                                        \
	}

PUT_EACH(phases)
PUT_EACH(first_byte)
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
PUT_EACH(any)
PUT_EACH(seconds)

#define POOL_COUNTER(name, put, member, help) COUNTER(name, put_pool_##put, struct upstream_endpoint_stats, member, help)
#define POOL_GAUGE(name, put, member, help) GAUGE(name, put_pool_##put, struct upstream_endpoint_stats, member, help)

/* What is read at one time for all of them. */
static void put_ports(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const uint64_t *ports = totals->ports;
	size_t at = 0;

	for (size_t i = 0; i < totals->config->upstream_count; at += totals->config->upstreams[i++].endpoint_count) {
		const struct config_upstream *upstream = &totals->config->upstreams[i];

		for (size_t j = 0; j < upstream->endpoint_count; j++) {
			const struct label labels[] = {
				{"upstream", upstream->name}, {"endpoint", upstream->endpoints[j].address_text}};

			if (ports != NULL && ports[at + j] > 0)
				exposition_sample(x, metric->name, labels, 2, ports[at + j]);
		}
	}
}

static const struct metric rows[] = {
	POOL_GAUGE("weir_pool_connections", connections, pool, "Connections to the endpoint, by state."),
	POOL_GAUGE("weir_pool_waiters", waiters, pool, "Requests that wait for a connection to the endpoint."),
	POOL_COUNTER("weir_pool_acquires_total", acquires, pool.acquires, "Connections asked for, by outcome."),
	POOL_COUNTER("weir_pool_refusals_total", refusals, pool.refusals,
		"Connections asked for whose outcome was `rejected`, by reason."),
	POOL_COUNTER("weir_pool_use_seconds_total", seconds, pool.use.sum_us, "For how long requests had their connections."),
	{"weir_upstream_phase_seconds_total", METRIC_COUNTER,
		"Where the time of requests went that were sent to the endpoint, by phase; of one that was sent again, each try.",
		put_pool_phases},
	{"weir_upstream_first_byte_seconds", METRIC_HISTOGRAM,
		"How long tries waited for the endpoint to answer, from when it had the request.", put_pool_first_byte},
	POOL_COUNTER("weir_pool_reused_total", value, pool.reused, "Deliveries of a connection that had served before."),
	POOL_COUNTER("weir_pool_retries_total", retries, retries,
		"Requests sent a second time because the reused connection had gone, by how that showed."),
	POOL_COUNTER("weir_upstream_retries_total", tried_again, tried_again,
		"Requests that were sent again for what came of them at the endpoint, by reason."),
	POOL_COUNTER("weir_upstream_retries_denied_total", any, retries_denied,
		"Requests that were not sent again since the budget for that was exhausted, by the endpoint where they failed."),
	POOL_COUNTER("weir_pool_opened_total", value, pool.opened, "Connections to the endpoint that were opened."),
	POOL_COUNTER("weir_pool_open_failures_total", open_failures, open_failed,
		"Connections to the endpoint that could not be opened, by cause."),
	POOL_COUNTER("weir_pool_overflow_total", any, pool.overflowed,
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
	POOL_GAUGE("weir_upstream_concurrency_parked", any, concurrency.parked,
		"Requests beside the limit: tunnels, and those whose answer goes on for more than a second."),
	POOL_GAUGE("weir_upstream_sessions", any, sessions,
		"Connections to the endpoint that speak HTTP/2; what its pool counts are their streams."),
	POOL_COUNTER("weir_upstream_sessions_opened_total", value, sessions_opened,
		"Connections to the endpoint that speak HTTP/2 and were opened."),
	{"weir_upstream_local_ports", METRIC_GAUGE,
		"Local ports that connections to the endpoint take, those that wait after their end among them.", put_ports},
	POOL_COUNTER("weir_upstream_health_checks_total", health_checks, health_passed,
		"Health checks of the endpoint that have ended, by result."),
	POOL_GAUGE("weir_upstream_out_of_service", value, out,
		"1 while the endpoint is out of service: its health checks fail, it is ejected, its breaker is open, or it is disabled; "
		"else 0."),
	POOL_GAUGE("weir_upstream_panic", any, panic,
		"1 while the endpoint is out of service and gets requests all the same, since too few others are left, else 0."),
	POOL_GAUGE("weir_upstream_disabled", any, disabled,
		"1 while the operator has taken the endpoint out of service, else 0."),
	POOL_GAUGE("weir_upstream_weight", value, weight,
		"The endpoint's weight that counts: the operator's, or the configuration's; 0: no new requests."),
	POOL_GAUGE("weir_upstream_health", health, health_state, "Whether the endpoint is in service: 1 for its state."),
	POOL_GAUGE("weir_upstream_health_reason", health_reason, health_reason,
		"Why the endpoint's state has changed last: 1 for the reason."),
	POOL_GAUGE("weir_upstream_health_seconds", seconds, health_changed_us,
		"For how long the endpoint has been in its state; 0: since it came."),
	POOL_COUNTER("weir_upstream_ejections_total", ejections, ejections,
		"Times that the endpoint was ejected for being worse than the others, by reason."),
	POOL_COUNTER("weir_upstream_hedges_total", any, hedges, "Requests that were sent to the endpoint beside another one."),
	POOL_COUNTER("weir_upstream_hedges_won_total", any, hedges_won, "Of them those that it has answered first."),
	POOL_GAUGE("weir_upstream_breaker_state", any, breaker_state,
		"What the endpoint's breaker is: 0 closed (or there is none), 1 open, 2 half open."),
	POOL_COUNTER("weir_upstream_breaker_opened_total", any, breaker_opened, "How often the endpoint's breaker has opened."),
	POOL_COUNTER("weir_pool_leases_leaking_total", any, leaking,
		"Requests that had their connection for leak_after and on which nothing had moved."),
	POOL_COUNTER("weir_pool_give_backs_rejected_total", rejected, pool,
		"Connections given back by somebody who did not hold them, by kind. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_bad_reports_total", any, pool.bad_reports,
		"Reports of connections to the pool that could not be true. A bug in the gateway unless 0."),
	POOL_COUNTER("weir_pool_audits_total", value, audits, "Recounts of the pool's books."),
	POOL_COUNTER("weir_pool_audit_mismatch_total", any, audit_mismatch,
		"Recounts that did not agree with the books. A bug in the gateway unless 0."),
};

static bool any_endpoints(const struct totals *totals)
{
	return totals->config->upstream_count > 0;
}

const struct metric_group metrics_of_endpoints = {METRICS(rows), .present = any_endpoints};
