/*
 * Field lines (RFC 9112 §5), as they stand in heads and in trailer sections. Private to the readers of this room.
 */
#ifndef WEIR_HTTP_H1_FIELD_H
#define WEIR_HTTP_H1_FIELD_H

#include "http/h1.h"

/* Where a reader stands in its bytes, and what it has against them. */
struct h1_cursor {
	const char *p;
	const char *end;
	enum cause cause;
	const char *why;
};

/* What the next line is. */
enum h1_line {
	H1_LINE_FIELD, /* appended to the message; the cursor stands after the line */
	H1_LINE_BLANK, /* the end of the section; the cursor stands after it */
	H1_LINE_MORE, /* incomplete and right so far */
	H1_LINE_BAD, /* the cursor's cause and why say it */
};

/* Notes the refusal and returns H1_BAD. */
enum h1_status h1_refuse(struct h1_cursor *at, enum cause cause, const char *why);

/* The slow half of h1_read_crlf: it is not there, or not all of it. */
enum h1_status h1_refuse_crlf(struct h1_cursor *at, const char *why_not);

/* Reads "\r\n". `why_not` is the complaint about a first byte that is none of CR and LF. */
static inline enum h1_status h1_read_crlf(struct h1_cursor *at, const char *why_not)
{
	if (at->end - at->p < 2 || memcmp(at->p, "\r\n", 2) != 0)
		return h1_refuse_crlf(at, why_not);
	at->p += 2;
	return H1_DONE;
}

/* Reads one field line, or the blank line, into m->fields; at most `count_max` (<= m->field_max) of them are filled. */
enum h1_line h1_read_line(struct h1_cursor *at, uint32_t count_max, struct message *m);

/*
 * What a reader found, as its result. `bytes` are what it was given and head_bytes_max what may be used of them: an
 * incomplete section of that size is refused as too large.
 */
struct h1_result h1_result(const struct h1_cursor *at, enum h1_status status, struct view bytes, uint32_t bytes_max);

/* The cursor at the beginning of `bytes`, of which it sees bytes_max at most. */
struct h1_cursor h1_cursor(struct view bytes, uint32_t bytes_max);

#endif
