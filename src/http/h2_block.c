/*
 * A header block as it comes, field by field.
 *
 *     text:  GEThttpsexample.com/x user-agent: curl CRLF via: 1.1 a CRLF ...
 *            pseudo-fields, bare   fields, as HTTP/1.1 has them
 *
 * nghttp2 has decompressed and checked each field: names are lower-case tokens, values have no control characters,
 * connection fields and wrong pseudo-fields do not come here (the tests see to it that this is so). What is checked
 * here is how much it is: beyond the limits fields are counted and no longer collected, and a block of several
 * times the limit ends the session, since one byte may stand for a field of kilobytes (a bomb).
 */
#include "http/h2_state.h"

#include <stdlib.h>

enum {
	TEXT_BYTES_FIRST = 2048,
	FIELDS_FIRST = 32,
	BOMB_FACTOR = 4, /* of what a head may have */
	LINE_BYTES = 4,  /* of a field beyond its name and value: colon, blank, CR, LF */
};

void h2_block_begin(struct h2_session *s, enum h2_block_kind kind, int32_t id)
{
	struct h2_block *b = &s->block;

	b->id = id;
	b->kind = (uint8_t)kind;
	b->since_us = kind == H2_BLOCK_UNWANTED ? UINT64_MAX : s->now_us;
	b->refusal = CAUSE_NONE;
	b->crumbs = b->fields_seen = 0;
	b->bytes = 0;
	b->text_used = b->field_count = 0;
	memset(b->pseudo, 0, sizeof(b->pseudo));
}

void h2_block_abandon(struct h2_session *s, int32_t id)
{
	struct h2_block *b = &s->block;

	if (b->kind == H2_BLOCK_NONE || b->id != id)
		return;
	b->kind = H2_BLOCK_UNWANTED;
	b->since_us = UINT64_MAX;
}

/* What most heads need is kept for the next one. */
void h2_block_end(struct h2_session *s)
{
	struct h2_block *b = &s->block;

	b->kind = H2_BLOCK_NONE;
	b->since_us = UINT64_MAX;
	if (b->text_max > TEXT_BYTES_FIRST || b->field_max > FIELDS_FIRST)
		h2_block_release(s);
}

void h2_block_release(struct h2_session *s)
{
	struct h2_block *b = &s->block;

	free(b->text);
	free(b->fields);
	*b = (struct h2_block){.since_us = UINT64_MAX};
}

/* --- room ------------------------------------------------------------------------------------------------------- */

/* What pointed into the text points into it again when it has moved. */
static void rebase(struct h2_block *b, const char *from)
{
	for (unsigned i = 0; i < H2_PSEUDO_COUNT; i++)
		if (b->pseudo[i].p != NULL)
			b->pseudo[i].p = b->text + (b->pseudo[i].p - from);
	for (uint32_t i = 0; i < b->field_count; i++) {
		b->fields[i].name = b->text + (b->fields[i].name - from);
		b->fields[i].value = b->text + (b->fields[i].value - from);
	}
}

bool h2_block_room(struct h2_block *b, size_t n)
{
	size_t max = b->text_max > 0 ? b->text_max : TEXT_BYTES_FIRST;
	char *from = b->text;

	if (b->text_max - b->text_used >= n)
		return true;
	while (max - b->text_used < n)
		max *= 2;
	char *text = malloc(max);

	if (text == NULL)
		return false;
	if (b->text_used > 0)
		memcpy(text, from, b->text_used);
	b->text = text;
	b->text_max = (uint32_t)max;
	rebase(b, from);
	free(from);
	return true;
}

static bool grow_fields(struct h2_block *b)
{
	uint32_t max = b->field_max > 0 ? b->field_max * 2 : FIELDS_FIRST;

	if (b->field_count < b->field_max)
		return true;
	struct field *fields = realloc(b->fields, max * sizeof(*fields));

	if (fields == NULL)
		return false;
	b->fields = fields;
	b->field_max = max;
	return true;
}

static void put(struct h2_block *b, struct view v)
{
	if (v.n > 0)
		memcpy(b->text + b->text_used, v.p, v.n);
	b->text_used += (uint32_t)v.n;
}

bool h2_block_put_field(struct h2_block *b, struct view name, struct view value)
{
	if (!h2_block_room(b, name.n + value.n + LINE_BYTES) || !grow_fields(b))
		return false;
	const char *p = b->text + b->text_used;

	put(b, name);
	put(b, VIEW(": "));
	put(b, value);
	put(b, VIEW("\r\n"));
	b->fields[b->field_count++] = field_of(view_of(p, name.n), view_of(p + name.n + 2, value.n));
	return true;
}

static bool put_pseudo(struct h2_block *b, struct view name, struct view value)
{
	static const struct {
		struct view name;
		enum h2_pseudo which;
	} known[] = {
		{{":method", 7}, H2_METHOD},
		{{":scheme", 7}, H2_SCHEME},
		{{":authority", 10}, H2_AUTHORITY},
		{{":path", 5}, H2_PATH},
		{{":protocol", 9}, H2_PROTOCOL},
		{{":status", 7}, H2_STATUS},
	};

	if (!h2_block_room(b, value.n + 1))
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!view_eq(known[i].name, name))
			continue;
		b->pseudo[known[i].which] = view_of(b->text + b->text_used, value.n);
		put(b, value);
	}
	return true;
}

/* --- limits ----------------------------------------------------------------------------------------------------- */

static void refuse(struct h2_block *b, enum cause cause, const char *why)
{
	if (b->refusal != CAUSE_NONE)
		return;
	b->refusal = (uint8_t)cause;
	b->refusal_why = why;
}

/* Counts one field, and judges how much there is by now. */
static void count(struct h2_session *s, struct view name, struct view value)
{
	const struct h1_limits *l = &s->limits.head;
	struct h2_block *b = &s->block;

	b->bytes += name.n + value.n + LINE_BYTES;
	if (b->bytes > (uint64_t)BOMB_FACTOR * l->head_bytes_max)
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a head is much larger than is allowed");
	if (b->bytes > l->head_bytes_max)
		refuse(b, CAUSE_HEADERS_TOO_LARGE, "the head is larger than is allowed");
	if (b->field_count >= l->field_count_max)
		refuse(b, CAUSE_HEADERS_TOO_LARGE, "there are more fields than are allowed");
	if (name.n > UINT16_MAX)
		refuse(b, CAUSE_HEADERS_TOO_LARGE, "a field name is longer than 65535 bytes");
}

bool h2_block_add(struct h2_session *s, struct view name, struct view value)
{
	struct h2_block *b = &s->block;

	if (view_eq(name, VIEW(":path")) && value.n > s->limits.head.target_bytes_max)
		refuse(b, CAUSE_URI_TOO_LONG, "the request target is longer than is allowed");
	count(s, name, value);
	if (b->kind == H2_BLOCK_UNWANTED || b->refusal != CAUSE_NONE || s->state != H2_OPEN)
		return true;
	if (name.n > 0 && name.p[0] == ':')
		return put_pseudo(b, name, value);
	b->crumbs += view_eq(name, VIEW("cookie"));
	return h2_block_put_field(b, name, value);
}
