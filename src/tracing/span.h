/*
 * A span as it is told of, and those that wait to be sent: a queue that is bounded in spans and in bytes.
 *
 * Whoever builds one lends everything; the queue keeps a copy in one piece of memory.
 */
#ifndef WEIR_TRACING_SPAN_H
#define WEIR_TRACING_SPAN_H

#include "tracing/context.h"

/* The numbers are OTLP's. */
enum span_kind { SPAN_SERVER = 2, SPAN_CLIENT = 3 };

enum {
	SPAN_ATTRIBUTES_MAX = 36,
	SPAN_EVENTS_MAX = 8,
	SPAN_TEXT_MAX = 2048,          /* of one text; the rest is cut */
};

struct span_attribute {
	struct view key;               /* static, to stand in JSON as it is */
	struct view text;              /* p == NULL: it is ... */
	uint64_t number;               /* ... this */
};

struct span_event {
	struct view name;              /* static, likewise */
	uint64_t at_us;                /* Unix time, as all of these */
};

struct trace_span {
	struct trace_id trace;
	uint64_t id, parent_id;        /* parent 0: none */
	uint64_t start_us, end_us;
	struct view state;             /* tracestate */
	struct view name;
	struct view message;           /* of a failure */
	struct span_attribute *attributes;
	struct span_event *events;
	uint16_t attribute_count, event_count;
	uint8_t kind;                  /* enum span_kind */
	uint8_t flags;                 /* of the trace */
	bool parent_is_remote;
	bool failed;
};

/* For whoever builds one: texts that are empty are left out. */
static inline void span_add_text(struct trace_span *s, const char *key, struct view text)
{
	if (text.n > 0 && s->attribute_count < SPAN_ATTRIBUTES_MAX)
		s->attributes[s->attribute_count++] = (struct span_attribute){.key = view_str(key), .text = text};
}

static inline void span_add_number(struct trace_span *s, const char *key, uint64_t number)
{
	if (s->attribute_count < SPAN_ATTRIBUTES_MAX)
		s->attributes[s->attribute_count++] = (struct span_attribute){.key = view_str(key), .number = number};
}

static inline void span_add_event(struct trace_span *s, const char *name, uint64_t at_us)
{
	if (s->event_count < SPAN_EVENTS_MAX)
		s->events[s->event_count++] = (struct span_event){view_str(name), at_us};
}

struct span_node;

/* Zeroed memory is an empty one. */
struct span_queue {
	struct span_node *first, **last;
	size_t count, bytes;
};

/* False: one of the bounds is reached, or memory is out. */
bool span_queue_put(struct span_queue *queue, const struct trace_span *span, size_t count_max, size_t bytes_max);

/* The oldest; NULL: it is empty. Borrowed until it is dropped. */
const struct trace_span *span_queue_first(const struct span_queue *queue);
void span_queue_drop(struct span_queue *queue);

#endif
