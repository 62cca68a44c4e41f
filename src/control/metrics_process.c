/*
 * What is told of the program, of its log, of the process, and of the machine that it runs on.
 */
#include "control/metrics_family.h"

/* A uint64_t of struct totals. */
static void put_total(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_sample(x, metric->name, NULL, 0, metric_u64(totals, metric->offset));
}

/* The same, a span or a time. */
static void put_seconds(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_millionths(x, metric->name, NULL, 0, metric_u64(totals, metric->offset));
}

#define TOTAL_COUNTER(name, member, help) COUNTER(name, put_total, struct totals, member, help)
#define TOTAL_GAUGE(name, member, help) GAUGE(name, put_total, struct totals, member, help)

/* --- the program --------------------------------------------------------------------------------------------------- */

static void put_build(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct label version = {"version", view_str(totals->version)};

	exposition_sample(x, metric->name, &version, 1, 1);
}

static void put_reloads(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	for (int i = 0; i < RELOAD_OUTCOMES; i++) {
		const struct label label = {"outcome", view_str(reload_outcome_name((enum reload_outcome)i))};

		exposition_sample(x, metric->name, &label, 1, totals->reloads.total[i]);
	}
}

static void put_refusals(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	static const char *const reasons[ADMIN_REFUSALS] = {
		[ADMIN_NO_TOKEN] = "token",
		[ADMIN_FOREIGN_HOST] = "host",
		[ADMIN_FOREIGN_PAGE] = "page",
		[ADMIN_NO_JSON] = "content_type",
		[ADMIN_TOO_MANY] = "connections",
		[ADMIN_TOO_MUCH] = "answer_bytes",
	};

	exposition_words(x, metric->name, "reason", reasons, totals->refused, ADMIN_REFUSALS);
}

static const struct metric build_rows[] = {
	{"weir_build_info", METRIC_GAUGE, "The version that runs; the value is always 1.", put_build},
	TOTAL_GAUGE("weir_workers", workers, "Workers that were started."),
	TOTAL_GAUGE("weir_workers_unanswered", workers_unanswered,
		"Workers that did not answer in time; their part of every sum is what they said last."),
	TOTAL_GAUGE("weir_config_last_reload_successful", reloads.successful,
		"1: the last reload is in force, or there was none; 0: it was refused, or has failed."),
	GAUGE("weir_config_last_reload_success_timestamp_seconds", put_seconds, struct totals, reloads.successful_us,
		"When the configuration in force was loaded, in seconds since the Unix epoch."),
	{"weir_reloads_total", METRIC_COUNTER, "Reloads that have ended, by outcome.", put_reloads},
	{"weir_admin_refused_total", METRIC_COUNTER,
		"Requests to the administration that were refused before anything was looked up or done for them, by reason.",
		put_refusals},
};

const struct metric_group metrics_of_build = {METRICS(build_rows)};

/* --- its log ------------------------------------------------------------------------------------------------------- */

static void put_skipped(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	exposition_sample(x, metric->name, NULL, 0, totals->sum->worker.log_skipped);
}

static void put_dropped(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct journal_stats *log = &totals->log;
	static const char *const reasons[] = {"full", "memory", "write_failed"};
	const uint64_t counts[] = {log->dropped_full, log->dropped_memory, log->dropped_write};

	exposition_words(x, metric->name, "reason", reasons, counts, 3);
}

static const struct metric log_rows[] = {
	TOTAL_COUNTER("weir_log_lines_total", log.lines, "Lines of the access log and of the event log that were made."),
	COUNTER("weir_log_lines_skipped_total", put_skipped, struct totals, log,
		"Requests without a line in the access log, as the sample or their route says."),
	COUNTER("weir_log_lines_dropped_total", put_dropped, struct totals, log,
		"Lines that there should be and are not, by reason."),
	TOTAL_COUNTER("weir_log_write_errors_total", log.write_errors, "Writes to a log that have failed."),
};

const struct metric_group metrics_of_log = {METRICS(log_rows)};

/* --- the process --------------------------------------------------------------------------------------------------- */

static const struct metric process_rows[] = {
	TOTAL_GAUGE("process_open_fds", process.open_fds, "Open file descriptors."),
	TOTAL_GAUGE("process_max_fds", process.max_fds, "Open file descriptors that are allowed."),
	TOTAL_GAUGE("process_threads", process.threads, "Threads."),
	TOTAL_GAUGE("process_resident_memory_bytes", process.resident_bytes, "Resident memory, in bytes."),
	TOTAL_GAUGE("process_virtual_memory_bytes", process.virtual_bytes, "Virtual memory, in bytes."),
	COUNTER("process_cpu_seconds_total", put_seconds, struct totals, process.cpu_us,
		"User and system processor time, in seconds."),
	GAUGE("process_start_time_seconds", put_seconds, struct totals, process.start_us,
		"When the process was started, in seconds since the Unix epoch."),
};

const struct metric_group metrics_of_process = {METRICS(process_rows)};

/* --- the machine --------------------------------------------------------------------------------------------------- */

static void put_sockets(struct exposition *x, const struct metric *metric, const struct totals *totals)
{
	const struct machine_stats *m = &totals->machine;
	static const char *const states[] = {"in_use", "time_wait", "orphaned"};
	const uint64_t counts[] = {m->tcp_in_use, m->tcp_time_wait, m->tcp_orphaned};

	exposition_words(x, metric->name, "state", states, counts, 3);
}

static const struct metric machine_rows[] = {
	TOTAL_GAUGE("weir_machine_processors", machine.processors, "Processors of the machine that are online."),
	COUNTER("weir_machine_cpu_busy_seconds_total", put_seconds, struct totals, machine.busy_us,
		"Time that the machine's processors were not idle, all of them together, in seconds."),
	TOTAL_GAUGE("weir_machine_memory_bytes", machine.memory_bytes, "Memory of the machine, in bytes."),
	TOTAL_GAUGE("weir_machine_memory_available_bytes", machine.memory_available_bytes,
		"Memory of the machine that could be had without swapping, in bytes."),
	TOTAL_GAUGE("weir_machine_open_files", machine.files_open, "Open files of the machine."),
	TOTAL_GAUGE("weir_machine_open_files_max", machine.files_max, "Open files that the machine allows."),
	TOTAL_COUNTER("weir_machine_listen_overflows_total", machine.listen_overflows,
		"Connections that came to a full accept queue, of any program, since the machine was started."),
	TOTAL_COUNTER("weir_machine_listen_drops_total", machine.listen_drops,
		"Connections that were thrown away before they were accepted, for whatever reason, likewise."),
	{"weir_machine_tcp_sockets", METRIC_GAUGE, "TCP sockets of the machine, by state.", put_sockets},
	TOTAL_GAUGE("weir_machine_local_ports", machine.ports,
		"Local ports that connections to one address can be made from."),
};

const struct metric_group metrics_of_machine = {METRICS(machine_rows)};
