/*
 * What the answer needs to know of the request's head is noted while the head is there: its bytes are gone by the time
 * the content has been read and the delay is over.
 */
#include <jansson.h>
#include <stdlib.h>

#include "app/origin_state.h"

/* Field values may hold any byte (RFC 9110 §5.5, obs-text); JSON only takes UTF-8. Others are told as Latin-1. */
static json_t *json_latin1(struct view bytes)
{
	char *doubled = malloc(2 * bytes.n);
	size_t n = 0;

	if (doubled == NULL)
		return NULL;
	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char byte = (unsigned char)bytes.p[i];

		if (byte >= 0x80)
			doubled[n++] = (char)(0xc0 | byte >> 6);
		doubled[n++] = (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
	}
	json_t *string = json_stringn(doubled, n);

	free(doubled);
	return string;
}

static json_t *json_bytes(struct view bytes)
{
	if (bytes.n == 0)
		return json_string("");
	json_t *string = json_stringn(bytes.p, bytes.n);

	return string != NULL ? string : json_latin1(bytes);
}

static json_t *json_fields(const struct message *m)
{
	json_t *fields = json_array();

	for (uint32_t i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];
		json_t *pair = json_pack("[oo]", json_bytes(field_name(f)), json_bytes(field_value(f)));

		if (json_array_append_new(fields, pair) != 0) {
			json_decref(fields);
			return NULL;
		}
	}
	return fields;
}

/* The text from malloc, or NULL. */
static char *head_as_json(const struct origin *origin, const struct message *m)
{
	json_t *head = json_pack("{ss so so ss so}", "origin", origin->options.name, "method",
		json_bytes(m->method_name), "target", json_bytes(m->target), "version", m->minor == 1 ? "1.1" : "1.0",
		"headers", json_fields(m));
	char *text = head != NULL ? json_dumps(head, JSON_COMPACT) : NULL;

	json_decref(head);
	return text;
}

/* The text from malloc, or NULL. */
static char *books_as_json(struct origin *origin)
{
	const struct origin_stats *stats = &origin->stats;
	struct capacity *capacity = &origin->capacity;
	uint64_t now_us = io_now_us(origin->io);
	json_t *books = json_pack("{ss sf sI sI sI sI sI si si sf}", "origin", origin->options.name, "at_s",
		(double)now_us / US_PER_S, "requests", (json_int_t)stats->requests, "connections",
		(json_int_t)stats->connections, "open", (json_int_t)origin->slab.count_live, "faults",
		(json_int_t)stats->faults, "over_capacity", (json_int_t)stats->over_capacity, "in_flight",
		(int)capacity->in_flight, "in_flight_max", (int)capacity->in_flight_max, "busy_s",
		capacity_busy_us(capacity, now_us) / US_PER_S);
	char *text = books != NULL ? json_dumps(books, JSON_COMPACT) : NULL;

	json_decref(books);
	return text;
}

static bool offers_echo(const struct message *m)
{
	struct view token;

	for (uint32_t i = 0; m->has_upgrade && i < m->field_count; i++) {
		struct view offers = field_value(&m->fields[i]);

		while (m->fields[i].id == FIELD_UPGRADE && view_next_element(&offers, &token)) {
			if (view_eq_nocase(token, VIEW("echo")))
				return true;
		}
	}
	return false;
}

/* False: there is none. */
static bool take_text(struct origin_conn *c, char *text)
{
	c->owned = text;
	c->text = view_str(text != NULL ? text : "");
	return text != NULL;
}

bool origin_note_head(struct origin_conn *c, const struct message *m)
{
	switch ((enum origin_kind)c->plan.kind) {
	case ORIGIN_HEADERS: return take_text(c, head_as_json(c->origin, m));
	case ORIGIN_BOOKS: return take_text(c, books_as_json(c->origin));
	case ORIGIN_UPGRADE: c->may_upgrade = offers_echo(m); return true;
	default: return true;
	}
}
