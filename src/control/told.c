/* See told.h. */
#include "control/told.h"

static bool tell_of(struct told *told, struct admin_conn *c, const struct generation *generation, const struct snapshot *sum)
{
	if (generation == NULL) {
		admin_fail(c, 503, "busy", "no worker has answered yet");
		return false;
	}
	*told = (struct told){generation, generation->config, sum};
	return true;
}

bool told_begin(struct told *told, struct admin_conn *c)
{
	struct control *control = c->control;

	survey_sum(&control->survey, &control->sum);
	return tell_of(told, c, control->sum->generation, control->sum);
}

bool told_configuration(struct told *told, struct admin_conn *c)
{
	return tell_of(told, c, survey_generation(&c->control->survey), NULL);
}

json_t *json_text(struct view text)
{
	json_t *json = json_stringn(text.n > 0 ? text.p : "", text.n);

	return json != NULL ? json : json_string("?");
}

json_t *json_text_or_null(struct view text)
{
	return text.n == 0 ? json_null() : json_text(text);
}

json_t *json_seconds(uint64_t us)
{
	return json_real((double)(us / US_PER_MS) / 1000);
}

json_t *list_with(json_t *list, json_t *item)
{
	if (list != NULL && json_array_append_new(list, item) == 0)
		return list;
	if (list == NULL)
		json_decref(item);
	json_decref(list);
	return NULL;
}
