/*
 * See why.h. The rules name what they find with a score; here it is ranked. What nothing stands for is ruled out, and when
 * nothing was named nothing is full: what limits is the load that is offered.
 */
#include "telemetry/why.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "telemetry/why_rules.h"

/* From which share of the requests on their failures are told of when nothing is full. */
#define FAILS_SHARE 0.1

#define WHY_INFO(suffix, word, name, unit) [WHY_##suffix] = {word, name, unit},

static const struct why_info infos[WHY_COUNT] = {WHY_WHATS(WHY_INFO)};

const struct why_info *why_info(enum why_what what)
{
	CHECK((unsigned)what < WHY_COUNT);
	return &infos[what];
}

/* --- what the rules say ------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) void why_say(struct why_verdict *verdict, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(verdict->text, sizeof(verdict->text), format, arguments);
	va_end(arguments);
}

void why_reckon(struct why_verdict *verdict, const char *format, ...)
{
	va_list arguments;

	if (verdict->lines == WHY_LINES)
		return;
	va_start(arguments, format);
	vsnprintf(verdict->arithmetic[verdict->lines++], WHY_LINE, format, arguments);
	va_end(arguments);
}

void why_turn(struct why_verdict *verdict, const char *key, enum why_turn turn, double now, double to)
{
	struct view name = verdict->upstream;

	snprintf(verdict->key, sizeof(verdict->key), "upstreams[%.*s].%s", (int)name.n, name.p, key);
	verdict->turn = turn;
	verdict->now = now;
	verdict->to = to;
}

void why_rule_out(struct why_verdicts *v, enum why_what what, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(v->ruled_out[what], WHY_LINE, format, arguments);
	va_end(arguments);
}

/* The same of the same upstream; NULL: there is none. */
static struct why_verdict *find_alike(struct why_verdicts *v, enum why_what what, bool lost, const struct why_endpoint *endpoint)
{
	for (unsigned i = 0; i < v->count; i++)
		if (v->verdicts[i].what == what && v->verdicts[i].lost == lost && endpoint != NULL &&
			view_eq(v->verdicts[i].upstream, endpoint->upstream))
			return &v->verdicts[i];
	return NULL;
}

/* A place for one more; NULL: all are taken by stronger ones. */
static struct why_verdict *find_place(struct why_verdicts *v, double score)
{
	struct why_verdict *weakest = &v->verdicts[0];

	if (v->count < WHY_VERDICTS)
		return &v->verdicts[v->count++];
	for (unsigned i = 1; i < WHY_VERDICTS; i++)
		if (v->verdicts[i].score < weakest->score)
			weakest = &v->verdicts[i];
	return weakest->score < score ? weakest : NULL;
}

static struct why_verdict *name_it(
	struct why_verdicts *v, enum why_what what, bool lost, double score, const struct why_endpoint *endpoint)
{
	struct why_verdict *verdict = score >= WHY_LEAST ? find_alike(v, what, lost, endpoint) : NULL;
	unsigned alike = 0;

	if (score < WHY_LEAST)
		return NULL;
	if (verdict != NULL) {
		alike = ++verdict->alike;
		if (verdict->score >= score)
			return NULL;
	} else {
		verdict = find_place(v, score);
	}
	if (verdict == NULL)
		return NULL;
	*verdict = (struct why_verdict){.what = what, .score = score, .lost = lost, .alike = alike, .turn = WHY_LEAVE};
	if (endpoint != NULL) {
		verdict->upstream = endpoint->upstream;
		verdict->endpoint = endpoint->endpoint;
	}
	return verdict;
}

struct why_verdict *why_name(struct why_verdicts *v, enum why_what what, double score, const struct why_endpoint *endpoint)
{
	return name_it(v, what, false, score, endpoint);
}

struct why_verdict *why_name_lost(struct why_verdicts *v, double score, const struct why_endpoint *endpoint)
{
	return name_it(v, WHY_BACKEND_SATURATED, true, score, endpoint);
}

/* --- what is left when nothing is full ------------------------------------------------------------------------------ */

static enum phase longest_phase(const double phases_s[PHASE_COUNT])
{
	enum phase longest = PHASE_READING;

	for (int i = 0; i < PHASE_COUNT; i++)
		if (phases_s[i] > phases_s[longest])
			longest = (enum phase)i;
	return longest;
}

/* Who has the most requests, and may be asked for more than he can do without anybody having seen it. */
static const struct why_endpoint *never_less(const struct why_evidence *e)
{
	const struct why_endpoint *most = NULL;

	for (size_t i = 0; i < e->endpoint_count; i++)
		if (why_curve(&e->endpoints[i]).backend == BACKEND_UNKNOWN && e->endpoints[i].leased >= 2 &&
			(most == NULL || e->endpoints[i].leased > most->leased))
			most = &e->endpoints[i];
	return most;
}

/* Who has the most requests for which nothing comes, though there is room for more. */
static const struct why_endpoint *most_lost(const struct why_evidence *e)
{
	const struct why_endpoint *most = NULL;

	for (size_t i = 0; i < e->endpoint_count; i++)
		if (why_lost(e, &e->endpoints[i]) > (most != NULL ? why_lost(e, most) : 0))
			most = &e->endpoints[i];
	return most;
}

/* Nobody needs more of what fails. */
static void say_of_offered_load(const struct why_evidence *e, struct why_verdict *verdict)
{
	if (why_share(e->failed_per_s, e->requests_per_s) < FAILS_SHARE) {
		why_say(verdict, "Nothing here is full: the offered load is the limit. More clients, or clients that ask for more at once, "
				 "would get more through.");
		return;
	}
	why_say(verdict, "Nothing here is full, but %.0f %% of the requests fail, most of them as %s. Mend that first: more load would only "
			 "fail more often.", 100 * why_share(e->failed_per_s, e->requests_per_s), e->failed_most);
	why_reckon(verdict, "%.1f of %.1f requests/s fail, %.1f as %s", e->failed_per_s, e->requests_per_s, e->failed_most_per_s,
		e->failed_most);
}

static void judge_offered_load(const struct why_evidence *e, struct why_verdicts *v)
{
	struct why_verdict *verdict;
	enum phase longest = longest_phase(e->phases_s);
	const struct why_endpoint *unknown = never_less(e), *lost = most_lost(e);

	if (v->count > 0) {
		why_rule_out(v, WHY_OFFERED_LOAD, "something is full: more load would wait, or be refused");
		return;
	}
	verdict = why_name(v, WHY_OFFERED_LOAD, 0.5, NULL);
	verdict->number = e->requests_per_s;
	if (e->requests_per_s == 0 && e->in_flight < 0.5) {
		why_say(verdict, "Nothing here is full, and nothing is asked for: no request has ended in this window.");
		return;
	}
	say_of_offered_load(e, verdict);
	why_reckon(verdict, "%.1f requests/s, %.1f in flight on average", e->requests_per_s, e->in_flight);
	if (why_sum(e->phases_s) > 0)
		why_reckon(verdict, "%.0f %% of their time is %s", 100 * why_share(e->phases_s[longest], why_sum(e->phases_s)),
			phase_word(longest));
	if (lost != NULL)
		why_reckon(verdict, "endpoint %.*s: %.1f requests wait for a first byte, %.1f/s get one", (int)lost->endpoint.n,
			lost->endpoint.p, lost->owed, lost->answers_per_s);
	else if (unknown != NULL)
		why_reckon(verdict, "endpoint %.*s has had about %.0f at once all the time: how fast it is with fewer is not known",
			(int)unknown->endpoint.n, unknown->endpoint.p, unknown->leased);
}

/* --- ranking ------------------------------------------------------------------------------------------------------ */

static void rank(struct why_verdicts *v)
{
	for (unsigned i = 1; i < v->count; i++)
		for (unsigned j = i; j > 0 && v->verdicts[j].score > v->verdicts[j - 1].score; j--) {
			struct why_verdict stronger = v->verdicts[j];

			v->verdicts[j] = v->verdicts[j - 1];
			v->verdicts[j - 1] = stronger;
		}
	for (unsigned i = 0; i < v->count; i++)
		v->ruled_out[v->verdicts[i].what][0] = '\0';
}

static void summarize(struct why_verdicts *v)
{
	snprintf(v->summary, sizeof(v->summary), "%s", v->verdicts[0].text);
}

void why_judge(const struct why_evidence *e, struct why_verdicts *v)
{
	memset(v, 0, sizeof(*v));
	why_process(e, v);
	why_clients(e, v);
	why_connections(e, v);
	why_endpoints(e, v);
	judge_offered_load(e, v);
	rank(v);
	summarize(v);
}
