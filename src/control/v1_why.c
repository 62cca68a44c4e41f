/*
 * GET /v1/why?window=10s&upstream=NAME: why the throughput is not higher (telemetry/why.h), over the last seconds of the window.
 */
#include <stdlib.h>

#include "config/scalar.h"
#include "control/evidence.h"
#include "control/state.h"

#define SPAN_US (10 * US_PER_S)
#define SPAN_MIN_US (1 * US_PER_S)
#define SPAN_MAX_US ((uint64_t)(WINDOW_SAMPLES - 1) * US_PER_S)

static json_t *text_of(struct view text)
{
	return json_stringn(text.p != NULL ? text.p : "", text.n);
}

/* What it is about, of these four; none: {} */
static json_t *subject_of(const struct why_verdict *v)
{
	const struct {
		const char *key;
		struct view value;
	} parts[] = {{"upstream", v->upstream}, {"endpoint", v->endpoint}, {"route", v->route}, {"listener", v->listener}};
	json_t *subject = json_object();

	for (size_t i = 0; i < 4; i++)
		if (parts[i].value.n > 0)
			json_object_set_new(subject, parts[i].key, text_of(parts[i].value));
	if (v->alike > 0)
		json_object_set_new(subject, "endpoints_alike", json_integer(v->alike));
	return subject;
}

static json_t *lines_of(const struct why_verdict *v)
{
	json_t *lines = json_array();

	for (unsigned i = 0; i < v->lines; i++)
		json_array_append_new(lines, json_string(v->arithmetic[i]));
	return lines;
}

/* 0: there is none. Whole ones are written as the configuration takes them. */
static json_t *knob_number(double value)
{
	long long whole = value > 0 && value < 1e15 ? (long long)value : 0;

	if (value <= 0)
		return json_null();
	return (double)whole == value ? json_integer(whole) : json_real(value);
}

static json_t *knob_of(const struct why_verdict *v)
{
	static const char *const turns[] = {[WHY_RAISE] = "raise", [WHY_LOWER] = "lower", [WHY_LEAVE] = "leave"};

	return json_pack("{s:o, s:s, s:o, s:o}", "key", v->key[0] != '\0' ? json_string(v->key) : json_null(), "turn", turns[v->turn],
		"now", knob_number(v->now), "to", knob_number(v->to));
}

static json_t *verdict_of(const struct why_verdict *v)
{
	const struct why_info *info = why_info(v->what);

	return json_pack("{s:s, s:o, s:f, s:{s:s, s:f, s:s}, s:s, s:o, s:o}", "what", info->word, "subject", subject_of(v), "score",
		v->score, "number", "name", info->number, "value", v->number, "unit", info->unit, "text", v->text, "arithmetic",
		lines_of(v), "knob", knob_of(v));
}

static json_t *verdicts_of(const struct why_verdicts *v)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < v->count; i++)
		json_array_append_new(list, verdict_of(&v->verdicts[i]));
	return list;
}

static json_t *ruled_out_of(const struct why_verdicts *v)
{
	json_t *list = json_array();

	for (int what = 0; what < WHY_COUNT; what++)
		if (v->ruled_out[what][0] != '\0')
			json_array_append_new(list,
				json_pack("{s:s, s:s}", "what", why_info((enum why_what)what)->word, "text", v->ruled_out[what]));
	return list;
}

/* Shares of the time of requests. */
static json_t *phases_of(const double phases_s[PHASE_COUNT])
{
	json_t *phases = json_object();
	double sum = 0;

	for (int i = 0; i < PHASE_COUNT; i++)
		sum += phases_s[i];
	for (int i = 0; i < PHASE_COUNT; i++)
		json_object_set_new(phases, phase_word((enum phase)i), json_real(sum > 0 ? phases_s[i] / sum : 0));
	return phases;
}

json_t *why_json(const struct window *window, unsigned back, struct view upstream)
{
	struct why_verdicts *verdicts = malloc(sizeof(*verdicts));
	struct evidence evidence = {0};
	json_t *json = NULL;

	if (verdicts != NULL && evidence_gather(&evidence, window, back, upstream)) {
		const struct why_evidence *e = &evidence.why;

		why_judge(e, verdicts);
		json = json_pack("{s:f, s:f, s:f, s:f, s:s, s:o, s:o, s:o}", "window_s", e->window_s, "requests_per_s",
			e->requests_per_s, "failed_per_s", e->failed_per_s, "in_flight", e->in_flight, "summary", verdicts->summary,
			"phases", phases_of(e->phases_s), "verdicts", verdicts_of(verdicts), "ruled_out", ruled_out_of(verdicts));
	}
	evidence_release(&evidence);
	free(verdicts);
	return json;
}

/* False: it is no span of the window. */
static bool read_span(struct view text, uint64_t *span_us)
{
	*span_us = SPAN_US;
	return text.p == NULL || (scalar_parse(UNIT_TIME, text, span_us) == SCALAR_OK && *span_us >= SPAN_MIN_US && *span_us <= SPAN_MAX_US);
}

static bool has_upstream(const struct config *config, struct view name)
{
	for (size_t i = 0; i < config->upstream_count; i++)
		if (view_eq(config->upstreams[i].name, name))
			return true;
	return name.p == NULL;
}

void answer_why(struct admin_conn *c)
{
	const struct window *window = &c->control->window;
	struct view upstream = admin_parameter(c, VIEW("upstream"));
	uint64_t span_us;

	if (!read_span(admin_parameter(c, VIEW("window")), &span_us)) {
		admin_fail(c, 400, "bad_request", "`window` is a time from 1s to %us", (unsigned)(SPAN_MAX_US / US_PER_S));
		return;
	}
	unsigned back = window_back(window, span_us);

	if (back == 0)
		admin_fail(c, 503, "not_yet", "the gateway has not been watched for long enough: ask again in two seconds");
	else if (!has_upstream(window_sample(window, 0)->generation->config, upstream))
		admin_fail(c, 404, "not_found", "there is no upstream of that name");
	else
		admin_answer_json(c, 200, why_json(window, back, upstream));
}
