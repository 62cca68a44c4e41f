/*
 * See otlp.h. A tree of values for each span costs some twenty times what a request does, so spans are written from left to right with a
 * pen (base/pen.h), as lines of the access log are.
 */
#include "tracing/otlp.h"

#include <jansson.h>

#include "base/pen.h"
#include "tracing/json_text.h"

#define TEXT_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* --- the text ------------------------------------------------------------------------------------------------------------ */

/* `failed` once memory has run out. */
struct writer {
	char *begin;
	struct pen pen;
	bool failed;
};

/* False: there is no memory for so many bytes of texts beside so much that is fixed. */
static bool writer_begin(struct writer *w, struct buf *text, size_t texts, size_t fixed)
{
	size_t most = JSON_TEXT_MAX * texts + fixed;
	char *room = buf_reserve(text, most + PEN_SLACK, TEXT_BYTES_MAX);

	if (room == NULL)
		return false;
	*w = (struct writer){.begin = room, .pen = {room, room + most}};
	return true;
}

static bool writer_end(struct writer *w, struct buf *text)
{
	buf_added(text, (size_t)(w->pen.at - w->begin));
	return !w->failed;
}

static void put_text(struct writer *w, struct view v)
{
	char *behind = json_text_write(w->pen, v);

	if (behind == NULL)
		w->failed = true;
	else
		w->pen.at = behind;
}

/* As text, as all numbers of 64 bits are. */
static void put_long(struct writer *w, uint64_t number)
{
	PEN_PUT(&w->pen, "\"");
	pen_u64(&w->pen, number);
	PEN_PUT(&w->pen, "\"");
}

static void put_hex(struct writer *w, uint64_t number)
{
	PEN_PUT(&w->pen, "\"");
	pen_hex(&w->pen, number);
	PEN_PUT(&w->pen, "\"");
}

static void put_trace(struct writer *w, struct trace_id trace)
{
	PEN_PUT(&w->pen, "\"");
	pen_hex(&w->pen, trace.high);
	pen_hex(&w->pen, trace.low);
	PEN_PUT(&w->pen, "\"");
}

/* Everything but the texts, the quotes of texts and the keys: of a span, of what is around them. */
#define SPAN_FIXED_MAX ((size_t)1024 + SPAN_ATTRIBUTES_MAX * 128 + SPAN_EVENTS_MAX * 128)
#define AROUND_FIXED_MAX ((size_t)512)

/* --- a span -------------------------------------------------------------------------------------------------------------- */

enum { STATUS_ERROR = 2 };
enum { FLAG_HAS_IS_REMOTE = 0x100, FLAG_IS_REMOTE = 0x200 };

static unsigned flags_of(const struct trace_span *s)
{
	return s->flags | FLAG_HAS_IS_REMOTE | (s->parent_is_remote ? FLAG_IS_REMOTE : 0u);
}

/* The bracket is the first comma. */
static void put_attributes(struct writer *w, const struct trace_span *s)
{
	char *begin = w->pen.at;

	if (s->attribute_count == 0)
		w->pen.at++;
	for (size_t i = 0; i < s->attribute_count; i++) {
		const struct span_attribute *a = &s->attributes[i];

		PEN_PUT(&w->pen, ",{\"key\":\"");
		pen_view(&w->pen, a->key);
		if (a->text.p != NULL) {
			PEN_PUT(&w->pen, "\",\"value\":{\"stringValue\":");
			put_text(w, a->text);
		} else {
			PEN_PUT(&w->pen, "\",\"value\":{\"intValue\":");
			put_long(w, a->number);
		}
		PEN_PUT(&w->pen, "}}");
	}
	*begin = '[';
	PEN_PUT(&w->pen, "]");
}

static void put_events(struct writer *w, const struct trace_span *s)
{
	char *begin = w->pen.at;

	for (size_t i = 0; i < s->event_count; i++) {
		PEN_PUT(&w->pen, ",{\"timeUnixNano\":");
		put_long(w, s->events[i].at_us * 1000);
		PEN_PUT(&w->pen, ",\"name\":\"");
		pen_view(&w->pen, s->events[i].name);
		PEN_PUT(&w->pen, "\"}");
	}
	*begin = '[';
	PEN_PUT(&w->pen, "]");
}

/* What only some have. */
static void put_rest(struct writer *w, const struct trace_span *s)
{
	if (s->parent_id != 0) {
		PEN_PUT(&w->pen, ",\"parentSpanId\":");
		put_hex(w, s->parent_id);
	}
	if (s->state.n > 0) {
		PEN_PUT(&w->pen, ",\"traceState\":");
		put_text(w, s->state);
	}
	if (s->event_count > 0) {
		PEN_PUT(&w->pen, ",\"events\":");
		put_events(w, s);
	}
	if (s->failed) {
		PEN_PUT(&w->pen, ",\"status\":{\"code\":");
		pen_u64(&w->pen, STATUS_ERROR);
		PEN_PUT(&w->pen, ",\"message\":");
		put_text(w, s->message);
		PEN_PUT(&w->pen, "}");
	}
}

/* How long they are together, with keys. */
static size_t texts_of(const struct trace_span *s)
{
	size_t n = s->name.n + s->state.n + s->message.n;

	for (size_t i = 0; i < s->attribute_count; i++)
		n += s->attributes[i].key.n + s->attributes[i].text.n;
	for (size_t i = 0; i < s->event_count; i++)
		n += s->events[i].name.n;
	return n;
}

bool otlp_span(struct buf *text, const struct trace_span *s, bool is_first)
{
	struct writer w;

	if (!writer_begin(&w, text, texts_of(s), SPAN_FIXED_MAX))
		return false;
	if (!is_first)
		PEN_PUT(&w.pen, ",");
	PEN_PUT(&w.pen, "{\"traceId\":");
	put_trace(&w, s->trace);
	PEN_PUT(&w.pen, ",\"spanId\":");
	put_hex(&w, s->id);
	PEN_PUT(&w.pen, ",\"flags\":");
	pen_u64(&w.pen, flags_of(s));
	PEN_PUT(&w.pen, ",\"name\":");
	put_text(&w, s->name);
	PEN_PUT(&w.pen, ",\"kind\":");
	pen_u64(&w.pen, s->kind);
	PEN_PUT(&w.pen, ",\"startTimeUnixNano\":");
	put_long(&w, s->start_us * 1000);
	PEN_PUT(&w.pen, ",\"endTimeUnixNano\":");
	put_long(&w, s->end_us * 1000);
	PEN_PUT(&w.pen, ",\"attributes\":");
	put_attributes(&w, s);
	put_rest(&w, s);
	PEN_PUT(&w.pen, "}");
	return writer_end(&w, text);
}

/* --- around them --------------------------------------------------------------------------------------------------------- */

bool otlp_begin(struct buf *text, struct view service_name)
{
	struct writer w;

	if (!writer_begin(&w, text, service_name.n, AROUND_FIXED_MAX))
		return false;
	PEN_PUT(&w.pen, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":");
	put_text(&w, service_name);
	PEN_PUT(&w.pen, "}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[");
	return writer_end(&w, text);
}

bool otlp_end(struct buf *text)
{
	struct writer w;

	if (!writer_begin(&w, text, 0, AROUND_FIXED_MAX))
		return false;
	PEN_PUT(&w.pen, "]}]}]}");
	return writer_end(&w, text);
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
