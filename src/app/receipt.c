/* See receipt.h. Times are told in milliseconds, with what is behind the point. */
#include "app/receipt.h"

#include <jansson.h>
#include <stdio.h>

#include "base/rfc3339.h"
#include "base/units.h"

static double ms(uint64_t us)
{
	return (double)us / US_PER_MS;
}

/* Lines may hold what came from anywhere: what is no UTF-8 is left out. */
static json_t *text_of(const char *text)
{
	json_t *json = json_string(text);

	return json != NULL ? json : json_string("(not UTF-8)");
}

static json_t *lines_of(const struct kept_lines *kept)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < kept->count; i++)
		json_array_append_new(lines, text_of(kept->items[i].text));
	return lines;
}

static json_t *complaints_of(const struct config_complaints *complaints)
{
	json_t *list = json_array();

	for (size_t i = 0; i < complaints->count; i++) {
		const struct config_complaint *c = &complaints->items[i];

		json_array_append_new(list, json_pack("{si si so so}", "line", (int)c->line, "column", (int)c->column, "path",
						    text_of(c->path), "text", text_of(c->text)));
	}
	return list;
}

static json_t *at_of(uint64_t at_us)
{
	char text[RFC3339_BYTES];

	rfc3339_write(at_us, text);
	return json_stringn(text, sizeof(text));
}

char *receipt_json(const struct receipt *r)
{
	char *text;
	json_t *json = json_pack("{ss so ss so si s{sf sf sf sf sf} sf sf so so si si}", "outcome", reload_outcome_name(r->outcome), "at",
		at_of(r->at_us), "by", r->by, "changes", lines_of(&r->changes), "changes_left_out", (int)r->changes.more, "took_ms", "read",
		ms(r->took.read_us), "check", ms(r->took.check_us), "resolve", ms(r->took.resolve_us), "compile",
		ms(r->took.compile_us), "swap", ms(r->took.swap_us), "longest_pause_ms", ms(r->pause.longest_us),
		"longest_pause_busy_ms", ms(r->pause.busy_us), "complaints", complaints_of(&r->complaints), "warnings",
		complaints_of(&r->warnings), "workers", (int)r->workers, "refused", (int)r->refused);
	text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	json_decref(json);
	return text;
}

void receipt_sum_up(const struct receipt *r, char text[200])
{
	snprintf(text, 200,
		"took: read %.1f ms, check %.1f ms, names %.1f ms, compile %.1f ms, swap %.1f ms; no loop paused for longer than "
		"%.2f ms",
		ms(r->took.read_us), ms(r->took.check_us), ms(r->took.resolve_us), ms(r->took.compile_us), ms(r->took.swap_us),
		ms(r->pause.longest_us));
}

void receipt_release(struct receipt *r)
{
	kept_lines_release(&r->changes);
	config_complaints_release(&r->complaints);
	config_complaints_release(&r->warnings);
	*r = (struct receipt){0};
}
