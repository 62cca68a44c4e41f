/*
 * GET /healthz: whether the loop of every worker answers. GET /readyz: whether there is still something to be sent here. For those who
 * look after processes, and for load balancers: words, no JSON.
 */
#include "control/state.h"

void answer_health(struct admin_conn *c)
{
	const struct survey *survey = &c->control->survey;

	for (unsigned i = 0; i < survey->count; i++)
		if (!survey_heard(survey, i))
			admin_say(c, "worker %u did not answer within %llu ms\n", i, SURVEY_US / US_PER_MS);
	if (buf_len(&c->content) > 0) {
		admin_answer(c, 503, ADMIN_TEXT);
		return;
	}
	admin_say(c, "ok\n");
	admin_answer(c, 200, ADMIN_TEXT);
}

void answer_ready(struct admin_conn *c)
{
	bool draining = atomic_load(&c->control->draining);

	admin_say(c, "%s\n", draining ? "draining" : "ready");
	admin_answer(c, draining ? 503 : 200, ADMIN_TEXT);
}
