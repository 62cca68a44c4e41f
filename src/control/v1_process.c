/*
 * The process: its log's level, its log files, its end.
 *
 *     GET, PUT  /v1/log/level    {"level": "debug"}
 *     POST      /v1/log/reopen, /v1/drain, /v1/upgrade
 */
#include "control/state.h"

void answer_log_level(struct admin_conn *c)
{
	enum config_log_level level = journal_level(c->control->options.journal);

	admin_answer_json(c, 200, json_pack("{s:s}", "level", config_log_level_word(level)));
}

void answer_set_log_level(struct admin_conn *c)
{
	json_t *content = admin_content(c);
	enum config_log_level level;

	if (content == NULL)
		return;
	const char *word = json_string_value(json_object_get(content, "level"));

	if (word != NULL && json_object_size(content) == 1 && config_log_level_of(view_str(word), &level))
		admin_order(c, ORDERED_LOG_LEVEL, view_str(word));
	else
		admin_fail(c, 400, "bad_request",
			"allowed is {\"level\": WORD}, and as WORD error, warning, info and debug");
	json_decref(content);
}

void answer_reopen(struct admin_conn *c)
{
	admin_order(c, ORDERED_REOPEN, VIEW(""));
}

void answer_drain(struct admin_conn *c)
{
	admin_order(c, ORDERED_DRAIN, VIEW(""));
}

void answer_upgrade(struct admin_conn *c)
{
	admin_order(c, ORDERED_UPGRADE, VIEW(""));
}
