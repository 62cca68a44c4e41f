/*
 * GET /v1/leaks: the oldest leases and exchanges of all workers, as JSON. Times are seconds; a lease that nobody holds has no
 * request.
 *
 *     {"leases": [{"stage": "waiting", "held_s": 12.5, "age_s": 12.5, "quiet_s": 12.4, "request_id": "...", ...}],
 *      "exchanges": [...], "workers_unanswered": [1]}
 *
 * GET /v1/stuck: likewise what has no deadline, or one that has long passed: exchanges, and clients between them.
 */
#include "control/told.h"

/* UINT64_MAX stands for a time that there is none of. */
static json_t *seconds_of(uint64_t us)
{
	uint64_t ms = us / US_PER_MS;

	return us == UINT64_MAX ? json_null() : json_real((double)ms / 1000);
}

/* An empty text stands for one that there is none of. All text is ASCII. */
static json_t *text_of(const char *text)
{
	return *text == '\0' ? json_null() : json_string(text);
}

/* Whatever fails for want of memory makes the whole NULL: json_pack does that with a value that is NULL. */
static json_t *entry_of(const struct oldest_entry *e)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "stage", text_of(e->stage),
		"held_s", seconds_of(e->held_us), "age_s", seconds_of(e->age_us), "quiet_s", seconds_of(e->quiet_us),
		"upstream", text_of(e->upstream), "endpoint", text_of(e->endpoint), "request_id",
		text_of(e->request_id), "method", text_of(e->method), "path", text_of(e->path), "route",
		text_of(e->route), "client", text_of(e->client), "worker", (int)e->worker);
}

static json_t *list_of(const struct oldest_entry *entries, uint32_t count)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < count && list != NULL; i++)
		list = list_with(list, entry_of(&entries[i]));
	return list;
}

static json_t *unanswered_of(const struct survey *survey)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < survey->count && list != NULL; i++)
		if (!survey_heard(survey, i))
			list = list_with(list, json_integer(i));
	return list;
}

void answer_stuck(struct admin_conn *c)
{
	const struct survey *survey = &c->control->survey;
	struct oldest oldest;

	survey_oldest(survey, &oldest);
	admin_answer_json(c, 200,
		json_pack("{s:o, s:o, s:o}", "exchanges", list_of(oldest.stuck, oldest.stuck_count), "clients",
			list_of(oldest.stuck_clients, oldest.stuck_client_count), "workers_unanswered", unanswered_of(survey)));
}

void answer_leaks(struct admin_conn *c)
{
	const struct survey *survey = &c->control->survey;
	struct oldest oldest;

	survey_oldest(survey, &oldest);
	admin_answer_json(c, 200,
		json_pack("{s:o, s:o, s:o}", "leases", list_of(oldest.leases, oldest.lease_count), "exchanges",
			list_of(oldest.exchanges, oldest.exchange_count), "workers_unanswered", unanswered_of(survey)));
}
