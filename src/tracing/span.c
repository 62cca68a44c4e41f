/* See span.h. A node is the span, its attributes, its events, and the bytes of its texts, one behind the other. */
#include "tracing/span.h"

#include <stdlib.h>
#include <string.h>

struct span_node {
	struct span_node *next;
	size_t bytes;
	struct trace_span span;
};

static size_t cut(struct view text)
{
	return text.n < SPAN_TEXT_MAX ? text.n : SPAN_TEXT_MAX;
}

static size_t node_bytes(const struct trace_span *s)
{
	size_t n = sizeof(struct span_node) + s->attribute_count * sizeof(s->attributes[0]) +
		   s->event_count * sizeof(s->events[0]) + cut(s->state) + cut(s->name) + cut(s->message);

	for (size_t i = 0; i < s->attribute_count; i++)
		n += cut(s->attributes[i].text);
	return n;
}

/* Copies the text behind what stands there, and points to it. */
static void keep(struct view *text, char **to)
{
	size_t n = cut(*text);

	if (n > 0)
		memcpy(*to, text->p, n);
	if (text->p != NULL)
		text->p = *to;
	text->n = n;
	*to += n;
}

bool span_queue_put(struct span_queue *q, const struct trace_span *span, size_t count_max, size_t bytes_max)
{
	size_t bytes = node_bytes(span);
	struct span_node *node;
	char *p;

	if (q->count >= count_max || q->bytes + bytes > bytes_max || (node = malloc(bytes)) == NULL)
		return false;
	*node = (struct span_node){.bytes = bytes, .span = *span};
	node->span.attributes = (struct span_attribute *)(void *)(node + 1);
	node->span.events = (struct span_event *)(void *)(node->span.attributes + span->attribute_count);
	if (span->attribute_count > 0)
		memcpy(node->span.attributes, span->attributes, span->attribute_count * sizeof(span->attributes[0]));
	if (span->event_count > 0)
		memcpy(node->span.events, span->events, span->event_count * sizeof(span->events[0]));
	p = (char *)(node->span.events + span->event_count);
	keep(&node->span.state, &p);
	keep(&node->span.name, &p);
	keep(&node->span.message, &p);
	for (size_t i = 0; i < span->attribute_count; i++)
		keep(&node->span.attributes[i].text, &p);
	*(q->first == NULL ? &q->first : q->last) = node;
	q->last = &node->next;
	q->count++;
	q->bytes += bytes;
	return true;
}

const struct trace_span *span_queue_first(const struct span_queue *q)
{
	return q->first != NULL ? &q->first->span : NULL;
}

void span_queue_drop(struct span_queue *q)
{
	struct span_node *node = q->first;

	q->first = node->next;
	q->count--;
	q->bytes -= node->bytes;
	free(node);
}
