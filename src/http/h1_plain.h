/*
 * Lines as nearly all come: "GET /target HTTP/1.1", "HTTP/1.1 200 OK", "Name: value", each with its CRLF.
 *
 * Each function takes one line that is whole and plain, in a few steps, and returns what follows it; or it takes nothing, and returns NULL.
 * Then the reader that the line belongs to (h1_head.c, h1_field.c) looks at it byte by byte, and finds out whether it is written in
 * another way, is a bad one, or is not all there. So what is refused, and in which words, is decided there and nowhere else, and what
 * is taken here would have been taken there just so (tests/unit/http/plain.c compares them).
 *
 * The SCAN_BEFORE bytes before `end` may be read; p <= end.
 */
#ifndef WEIR_HTTP_H1_PLAIN_H
#define WEIR_HTTP_H1_PLAIN_H

#include "http/field_table.h"
#include "http/scan.h"

/* Whether the literal stands at p. */
#define H1_STANDS(p, end, literal) \
	((size_t)((end) - (p)) >= sizeof(literal) - 1 && memcmp((p), "" literal, sizeof(literal) - 1) == 0)

/* The rest of it, from its target on. */
static inline const char *h1_plain_target(const char *target, const char *end, uint32_t target_bytes_max, struct message *m)
{
	const char *stop = scan_late_above(target, end, ' ');
	size_t n = (size_t)(stop - target);

	if (n == 0 || n > target_bytes_max || !H1_STANDS(stop, end, " HTTP/1.1\r\n"))
		return NULL;
	m->minor = 1;
	m->target = view_of(target, n);
	return stop + sizeof(" HTTP/1.1\r\n") - 1;
}

/* Of any method but GET. */
__attribute__((noinline)) static const char *h1_plain_other_line(
	const char *p, const char *end, uint32_t target_bytes_max, struct message *m)
{
	const char *space = scan_late_above(p, end, ' ');
	struct view name = view_of(p, (size_t)(space - p));
	enum method method = method_of(name);

	if (method == METHOD_OTHER || space == end || *space != ' ')
		return NULL;
	m->method = (uint8_t)method;
	m->method_name = name;
	return h1_plain_target(space + 1, end, target_bytes_max, m);
}

/* A method that has an id, a target of at most target_bytes_max, HTTP/1.1. What is set when there is none means nothing. */
static inline const char *h1_plain_request_line(const char *p, const char *end, uint32_t target_bytes_max, struct message *m)
{
	if (!H1_STANDS(p, end, "GET "))
		return h1_plain_other_line(p, end, target_bytes_max, m);
	m->method = METHOD_GET;
	m->method_name = view_of(p, 3);
	return h1_plain_target(p + 4, end, target_bytes_max, m);
}

/* HTTP/1.1, with no other reason than "OK". */
static inline const char *h1_plain_status_line(const char *p, const char *end, struct message *m)
{
	if (!H1_STANDS(p, end, "HTTP/1.1 200 OK\r\n"))
		return NULL;
	m->minor = 1;
	m->status = 200;
	m->reason = view_of(p + sizeof("HTTP/1.1 200 ") - 1, 2);
	return p + sizeof("HTTP/1.1 200 OK\r\n") - 1;
}

static inline void h1_plain_set(struct field *f, struct view name, const char *value, const char *stop, enum field_id id)
{
	f->name = name.p;
	f->value = value;
	f->value_len = (uint32_t)(stop - value);
	f->name_len = (uint16_t)name.n;
	f->id = (uint8_t)id;
	f->dropped = 0;
}

/* Any one that h1_plain_field takes, wherever it stands. */
__attribute__((noinline)) static const char *h1_plain_late_field(const char *p, const char *end, struct field *f)
{
	const char *colon = scan_late_name(p, end);
	struct view name = view_of(p, (size_t)(colon - p));

	if (name.n == 0 || name.n > UINT16_MAX || !H1_STANDS(colon, end, ": "))
		return NULL;
	const char *value = colon + 2;
	const char *stop = scan_late_above(value, end, 0x1f);

	/* The byte before `stop` is the one behind the colon when the value is empty. */
	if (stop[-1] == ' ' || *value == ' ' || !H1_STANDS(stop, end, "\r\n"))
		return NULL;
	h1_plain_set(f, name, value, stop, field_id(name));
	return stop + 2;
}

/*
 * A name of letters and dashes, ": ", and a value without TAB and without blanks around it, which is not empty. Where sixteen bytes are
 * left for the name, and for the value and the CRLF as many and two, the end need not be asked for so often. A name that has an id is
 * compared with what it can be, and so need not be looked at by itself.
 */
static inline const char *h1_plain_field(const char *p, const char *end, struct field *f)
{
	size_t left = (size_t)(end - p), name_len, value_len;

	if (left < 16)
		return h1_plain_late_field(p, end, f);
	if (!scan_colon_16(p, &name_len) || left < name_len + 2 + 16 + 2)
		return h1_plain_late_field(p, end, f);
	const char *value = p + name_len + 2, *stop;

	if (__builtin_expect(scan_stop_16(value, 0x1f, &value_len), 1))
		stop = value + value_len;
	else
		stop = scan_late_above(value + 16, end - 2, 0x1f);
	/* The byte before `stop` is the one behind the colon when the value is empty. */
	if (value[-1] != ' ' || *value == ' ' || stop[-1] == ' ' || memcmp(stop, "\r\n", 2) != 0)
		return NULL;
	enum field_id id = (enum field_id)field_candidates[name_len][*p & 31];

	if (id == FIELD_OTHER || !scan_is_name(p, field_names[id], name_len)) {
		id = FIELD_OTHER;
		if (name_len == 0 || scan_name_16(p) != name_len)
			return NULL;
	}
	h1_plain_set(f, view_of(p, name_len), value, stop, id);
	return stop + 2;
}

#endif
