/*
 * See otlp.h. A tree of values for each span costs some twenty times what a request does, so spans are written from left to right,
 * texts of printable ASCII as they are; only what has to be escaped is jansson's (as in telemetry/format_json.c).
 */
#include "tracing/otlp.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/hex.h"

#define TEXT_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* --- the text ------------------------------------------------------------------------------------------------------------ */

/* `failed` once memory has run out: nothing is appended any more. */
struct writer {
	struct buf *text;
	bool failed;
};

static void put(struct writer *w, struct view v)
{
	w->failed = w->failed || !buf_append(w->text, v, TEXT_BYTES_MAX);
}

#define PUT(w, literal) put(w, VIEW(literal))

/* For json_dump_callback(), which does not look at every result and would go on behind a gap. */
static int on_dumped(const char *bytes, size_t n, void *context)
{
	put(context, view_of(bytes, n));
	return 0;
}

/* What is no UTF-8 has a question mark for each byte that is no ASCII. Cutting may have left half a character, too. */
static json_t *json_text(struct view v)
{
	json_t *text = json_stringn(v.p, v.n);
	char bytes[SPAN_TEXT_MAX];

	if (text != NULL || v.n > sizeof(bytes))
		return text;
	for (size_t i = 0; i < v.n; i++)
		bytes[i] = (unsigned char)v.p[i] < 0x80 ? v.p[i] : '?';
	return json_stringn(bytes, v.n);
}

__attribute__((noinline)) static void put_escaped(struct writer *w, struct view v)
{
	json_t *text = json_text(v);

	if (text == NULL || json_dump_callback(text, on_dumped, w, JSON_ENCODE_ANY) != 0)
		w->failed = true;
	json_decref(text);
}

/* Printable ASCII without the quote and the backslash: it stands in JSON as it is. */
static bool is_plain(struct view v)
{
	unsigned odd = 0;

	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		odd |= (c < 0x20) | (c >= 0x7f) | (c == '"') | (c == '\\');
	}
	return odd == 0;
}

static void put_text(struct writer *w, struct view v)
{
	if (!is_plain(v)) {
		put_escaped(w, v);
		return;
	}
	PUT(w, "\"");
	put(w, v);
	PUT(w, "\"");
}

static void put_number(struct writer *w, uint64_t number)
{
	char text[24];

	put(w, view_of(text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, number)));
}

/* As text, as all numbers of 64 bits are. */
static void put_long(struct writer *w, uint64_t number)
{
	PUT(w, "\"");
	put_number(w, number);
	PUT(w, "\"");
}

static void put_hex(struct writer *w, uint64_t number)
{
	char text[16];

	hex_write(text, number);
	PUT(w, "\"");
	put(w, view_of(text, sizeof(text)));
	PUT(w, "\"");
}

static void put_trace(struct writer *w, struct trace_id trace)
{
	char text[TRACE_ID_BYTES];

	trace_id_write(text, trace);
	PUT(w, "\"");
	put(w, view_of(text, sizeof(text)));
	PUT(w, "\"");
}

/* --- a span -------------------------------------------------------------------------------------------------------------- */

enum { STATUS_ERROR = 2 };
enum { FLAG_HAS_IS_REMOTE = 0x100, FLAG_IS_REMOTE = 0x200 };

static unsigned flags_of(const struct trace_span *s)
{
	return s->flags | FLAG_HAS_IS_REMOTE | (s->parent_is_remote ? FLAG_IS_REMOTE : 0u);
}

static void put_attributes(struct writer *w, const struct trace_span *s)
{
	for (size_t i = 0; i < s->attribute_count; i++) {
		const struct span_attribute *a = &s->attributes[i];

		put(w, i > 0 ? VIEW(",{\"key\":\"") : VIEW("{\"key\":\""));
		put(w, view_str(a->key));
		if (a->text.p != NULL) {
			PUT(w, "\",\"value\":{\"stringValue\":");
			put_text(w, a->text);
		} else {
			PUT(w, "\",\"value\":{\"intValue\":");
			put_long(w, a->number);
		}
		PUT(w, "}}");
	}
}

static void put_events(struct writer *w, const struct trace_span *s)
{
	for (size_t i = 0; i < s->event_count; i++) {
		put(w, i > 0 ? VIEW(",{\"timeUnixNano\":") : VIEW("{\"timeUnixNano\":"));
		put_long(w, s->events[i].at_us * 1000);
		PUT(w, ",\"name\":\"");
		put(w, view_str(s->events[i].name));
		PUT(w, "\"}");
	}
}

/* What only some have. */
static void put_rest(struct writer *w, const struct trace_span *s)
{
	if (s->parent_id != 0) {
		PUT(w, ",\"parentSpanId\":");
		put_hex(w, s->parent_id);
	}
	if (s->state.n > 0) {
		PUT(w, ",\"traceState\":");
		put_text(w, s->state);
	}
	if (s->event_count > 0) {
		PUT(w, ",\"events\":[");
		put_events(w, s);
		PUT(w, "]");
	}
	if (s->failed) {
		PUT(w, ",\"status\":{\"code\":");
		put_number(w, STATUS_ERROR);
		PUT(w, ",\"message\":");
		put_text(w, s->message);
		PUT(w, "}");
	}
}

bool otlp_span(struct buf *text, const struct trace_span *s, bool is_first)
{
	struct writer w = {.text = text};

	put(&w, is_first ? VIEW("{\"traceId\":") : VIEW(",{\"traceId\":"));
	put_trace(&w, s->trace);
	PUT(&w, ",\"spanId\":");
	put_hex(&w, s->id);
	PUT(&w, ",\"flags\":");
	put_number(&w, flags_of(s));
	PUT(&w, ",\"name\":");
	put_text(&w, s->name);
	PUT(&w, ",\"kind\":");
	put_number(&w, s->kind);
	PUT(&w, ",\"startTimeUnixNano\":");
	put_long(&w, s->start_us * 1000);
	PUT(&w, ",\"endTimeUnixNano\":");
	put_long(&w, s->end_us * 1000);
	PUT(&w, ",\"attributes\":[");
	put_attributes(&w, s);
	PUT(&w, "]");
	put_rest(&w, s);
	PUT(&w, "}");
	return !w.failed;
}

/* --- around them --------------------------------------------------------------------------------------------------------- */

bool otlp_begin(struct buf *text, struct view service_name)
{
	struct writer w = {.text = text};

	PUT(&w, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":");
	put_text(&w, service_name);
	PUT(&w, "}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[");
	return !w.failed;
}

bool otlp_end(struct buf *text)
{
	struct writer w = {.text = text};

	PUT(&w, "]}]}]}");
	return !w.failed;
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
