/* See otlp.h. The envelope is made with no spans in it, and cut where they go. */
#include "tracing/otlp.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

#define TEXT_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* What stands behind the spans. */
#define ENVELOPE_END "]}]}]}"

/* --- pieces ------------------------------------------------------------------------------------------------------------ */

/* What is no UTF-8 has a question mark for each byte that is no ASCII. Cutting may have left half a character, too. */
static json_t *json_text(struct view v)
{
	json_t *text = json_stringn(v.n > 0 ? v.p : "", v.n);
	char bytes[SPAN_TEXT_MAX];

	if (text != NULL || v.n > sizeof(bytes))
		return text;
	for (size_t i = 0; i < v.n; i++)
		bytes[i] = (unsigned char)v.p[i] < 0x80 ? v.p[i] : '?';
	return json_stringn(bytes, v.n);
}

static json_t *json_hex(uint64_t number)
{
	char text[16];

	hex_write(text, number);
	return json_stringn(text, sizeof(text));
}

static json_t *json_trace(struct trace_id trace)
{
	char text[TRACE_ID_BYTES];

	trace_id_write(text, trace);
	return json_stringn(text, sizeof(text));
}

static json_t *json_number(uint64_t number)
{
	char text[24];

	return json_stringn(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number));
}

static json_t *json_nanoseconds(uint64_t us)
{
	return json_number(us * 1000);
}

/* Takes `value`; NULL stands for memory that was not there. */
static json_t *json_attribute(const char *key, const char *type, json_t *value)
{
	return json_pack("{s:s,s:{s:o}}", "key", key, "value", type, value);
}

static json_t *json_attributes(const struct trace_span *s)
{
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < s->attribute_count; i++) {
		const struct span_attribute *a = &s->attributes[i];
		json_t *one = a->text.p != NULL ? json_attribute(a->key, "stringValue", json_text(a->text)) :
						  json_attribute(a->key, "intValue", json_number(a->number));

		if (json_array_append_new(list, one) == 0)
			continue;
		json_decref(list);
		list = NULL;
	}
	return list;
}

static json_t *json_events(const struct trace_span *s)
{
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < s->event_count; i++) {
		const struct span_event *e = &s->events[i];

		if (json_array_append_new(list, json_pack("{s:o,s:s}", "timeUnixNano", json_nanoseconds(e->at_us), "name", e->name)) == 0)
			continue;
		json_decref(list);
		list = NULL;
	}
	return list;
}

/* --- a span -------------------------------------------------------------------------------------------------------------- */

enum { STATUS_UNSET = 0, STATUS_ERROR = 2 };
enum { FLAG_HAS_IS_REMOTE = 0x100, FLAG_IS_REMOTE = 0x200 };

static json_int_t flags_of(const struct trace_span *s)
{
	return s->flags | FLAG_HAS_IS_REMOTE | (s->parent_is_remote ? FLAG_IS_REMOTE : 0);
}

/* What only some have. */
static bool set_rest(json_t *o, const struct trace_span *s)
{
	bool good = true;

	if (s->parent_id != 0)
		good = json_object_set_new_nocheck(o, "parentSpanId", json_hex(s->parent_id)) == 0;
	if (good && s->state.n > 0)
		good = json_object_set_new_nocheck(o, "traceState", json_text(s->state)) == 0;
	if (good && s->event_count > 0)
		good = json_object_set_new_nocheck(o, "events", json_events(s)) == 0;
	if (good && s->failed)
		good = json_object_set_new_nocheck(o, "status",
			json_pack("{s:i,s:o}", "code", STATUS_ERROR, "message", json_text(s->message))) == 0;
	return good;
}

static json_t *json_span(const struct trace_span *s)
{
	json_t *o = json_pack("{s:o,s:o,s:I,s:o,s:i,s:o,s:o,s:o}", "traceId", json_trace(s->trace), "spanId", json_hex(s->id), "flags",
		flags_of(s), "name", json_text(s->name), "kind", (int)s->kind, "startTimeUnixNano", json_nanoseconds(s->start_us),
		"endTimeUnixNano", json_nanoseconds(s->end_us), "attributes", json_attributes(s));

	if (o == NULL || set_rest(o, s))
		return o;
	json_decref(o);
	return NULL;
}

/* --- the text ------------------------------------------------------------------------------------------------------------ */

/* The library does not look at every result of the call, and would go on behind a gap: so the first failure is kept. */
struct dumping {
	struct buf *text;
	bool failed;
};

static int append(const char *bytes, size_t n, void *context)
{
	struct dumping *d = context;

	d->failed = d->failed || !buf_append(d->text, view_of(bytes, n), TEXT_BYTES_MAX);
	return d->failed ? -1 : 0;
}

/* Takes the object, which may be NULL. */
static bool dump(struct buf *text, json_t *o)
{
	struct dumping d = {.text = text};
	bool good = o != NULL && json_dump_callback(o, append, &d, JSON_COMPACT) == 0;

	json_decref(o);
	return good && !d.failed;
}

bool otlp_begin(struct buf *text, struct view service_name)
{
	json_t *name = json_attribute("service.name", "stringValue", json_text(service_name));
	json_t *envelope = json_pack("{s:[{s:{s:[o]},s:[{s:{s:s},s:[]}]}]}", "resourceSpans", "resource", "attributes", name,
		"scopeSpans", "scope", "name", "weir", "spans");

	if (!dump(text, envelope))
		return false;
	text->end -= (uint32_t)strlen(ENVELOPE_END);
	return true;
}

bool otlp_span(struct buf *text, const struct trace_span *span, bool is_first)
{
	return (is_first || buf_append(text, VIEW(","), TEXT_BYTES_MAX)) && dump(text, json_span(span));
}

bool otlp_end(struct buf *text)
{
	return buf_append(text, VIEW(ENVELOPE_END), TEXT_BYTES_MAX);
}

/* --- what comes back ------------------------------------------------------------------------------------------------------ */

uint64_t otlp_rejected(struct view answer)
{
	json_t *root = json_loadb(answer.n > 0 ? answer.p : "", answer.n, 0, NULL);
	json_t *said = json_object_get(json_object_get(root, "partialSuccess"), "rejectedSpans");
	const char *text = json_string_value(said);
	uint64_t rejected = 0;

	/* A number in either form. */
	if (text != NULL && !view_parse_u64(view_str(text), &rejected))
		rejected = 0;
	else if (json_is_integer(said) && json_integer_value(said) > 0)
		rejected = (uint64_t)json_integer_value(said);
	json_decref(root);
	return rejected;
}
