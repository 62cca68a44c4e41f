/*
 * GET /v1/status: the gateway in a few numbers. Totals count from its start.
 * GET /v1/config: the configuration in force (config/show.c has the one list of what is masked).
 */
#include <stdlib.h>

#include "base/rfc3339.h"
#include "control/process_stats.h"
#include "control/told.h"
#include "upstream/budgets.h"

static json_t *time_of(uint64_t wall_us)
{
	char text[RFC3339_SECONDS_BYTES];

	rfc3339_write_seconds(wall_us, text);
	return json_stringn(text, sizeof(text));
}

static json_t *unheard_of(const struct survey *survey)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < survey->count; i++)
		if (!survey_heard(survey, i))
			list = list_with(list, json_integer(i));
	return list;
}

static json_t *requests_of(const struct worker_stats *s)
{
	uint64_t failed = s->exchanges_finished - s->exchanges_by_cause[CAUSE_NONE];

	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)s->exchanges_started, "finished",
		(json_int_t)s->exchanges_finished, "in_flight", (json_int_t)(s->exchanges_started - s->exchanges_finished),
		"failed", (json_int_t)failed, "tunnels", (json_int_t)s->tunnels_open);
}

/* How many there are, how many get no requests, and for how many the operator has set something. */
static json_t *endpoints_of(const struct told *told)
{
	size_t count = config_endpoint_count(told->config), out = 0, set = 0;

	for (size_t i = 0; i < count; i++) {
		const struct endpoint_budget *budget = told->generation->budgets[i];
		unsigned reasons = endpoint_budget_out(budget);

		out += (reasons & ~(unsigned)OUT_PANIC) != 0;
		set += (reasons & OUT_DISABLED) != 0 || atomic_load(&budget->set) != 0;
	}
	return json_pack("{s:I, s:I, s:I}", "total", (json_int_t)count, "out_of_service", (json_int_t)out, "set", (json_int_t)set);
}

static json_t *process_of(void)
{
	struct process_stats p = {0};

	process_stats_read(&p);
	return json_pack("{s:I, s:I, s:I, s:f}", "open_files", (json_int_t)p.open_fds, "open_files_max", (json_int_t)p.max_fds,
		"memory_bytes", (json_int_t)p.resident_bytes, "processor_s", (double)p.cpu_us / 1e6);
}

void answer_status(struct admin_conn *c)
{
	struct control *control = c->control;
	uint64_t now_us = io_wall_us(control->io);
	struct told told;

	if (!told_begin(&told, c))
		return;
	const struct worker_stats *s = &told.sum->worker;

	admin_answer_json(c, 200,
		json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:o, s:o, s:{s:I, s:I}, s:o, s:o, s:s, s:o}", "version",
			control->options.version, "state", atomic_load(&control->draining) ? "draining" : "running",
			"started_at", time_of(control->start_us), "uptime_s",
			json_seconds(now_us > control->start_us ? now_us - control->start_us : 0), "configuration",
			(json_int_t)told.generation->number, "workers", (json_int_t)control->survey.count,
			"workers_unanswered", unheard_of(&control->survey), "requests", requests_of(s), "connections", "open",
			(json_int_t)s->connections_open, "accepted", (json_int_t)s->connections_accepted, "endpoints",
			endpoints_of(&told), "process", process_of(), "log_level",
			config_log_level_word(journal_level(control->options.journal)), "file", json_text(told.config->file)));
}

void answer_config(struct admin_conn *c)
{
	struct told told;

	if (!told_configuration(&told, c))
		return;
	json_t *file = json_text(told.config->file);
	char *text = file != NULL ? json_dumps(file, JSON_ENCODE_ANY) : NULL, *shown = config_show(told.config);

	json_decref(file);
	if (text != NULL && shown != NULL) {
		admin_put(c, VIEW("{\"file\":"));
		admin_put(c, view_str(text));
		admin_say(c, ",\"number\":%llu,\"configuration\":", (unsigned long long)told.generation->number);
		admin_put(c, view_str(shown));
		admin_put(c, VIEW("}\n"));
		admin_answer(c, 200, ADMIN_JSON);
	} else {
		admin_answer_json(c, 200, NULL);
	}
	free(text);
	free(shown);
}
