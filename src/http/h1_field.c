/*
 * Field lines: field-name ":" OWS field-value OWS CRLF (RFC 9112 §5).
 *
 *     Name: value\r\n
 *     ^   ^ ^    ^
 *     |   | |    stop: the first byte that no value may hold, which must be the CR of a CRLF
 *     |   | value, without the blanks around it
 *     |   colon: the first byte that no name may hold
 *     name
 *
 * Every decision is made at the first byte that allows it and looks at nothing behind that byte. So a line is refused
 * as soon as it can be, and the same bytes give the same answer however they arrive.
 */
#include "http/h1_field.h"

#include "http/scan.h"

static const char why_bare_lf[] = "a line ends with a bare LF";

struct h1_cursor h1_cursor(struct view bytes, uint32_t bytes_max)
{
	size_t n = bytes.n < bytes_max ? bytes.n : bytes_max;
	const char *p = n > 0 ? bytes.p : "";

	return (struct h1_cursor){.p = p, .end = p + n};
}

enum h1_status h1_refuse(struct h1_cursor *at, enum cause cause, const char *why)
{
	at->cause = cause;
	at->why = why;
	return H1_BAD;
}

struct h1_result h1_result(const struct h1_cursor *at, enum h1_status status, struct view bytes, uint32_t bytes_max)
{
	switch (status) {
	case H1_DONE: return (struct h1_result){.status = H1_DONE, .consumed = (uint32_t)(at->p - bytes.p)};
	case H1_BAD: return (struct h1_result){.status = H1_BAD, .cause = at->cause, .why = at->why};
	case H1_MORE: break;
	}
	if (bytes.n < bytes_max)
		return (struct h1_result){.status = H1_MORE};
	return (struct h1_result){.status = H1_BAD,
		.cause = CAUSE_HEADERS_TOO_LARGE,
		.why = "the head or the trailers are larger than is allowed"};
}

enum h1_status h1_refuse_crlf(struct h1_cursor *at, const char *why_not)
{
	size_t left = (size_t)(at->end - at->p);

	if (left == 0 || (left == 1 && *at->p == '\r'))
		return H1_MORE;
	/* RFC 9112 §2.2: a bare CR is invalid; a bare LF may be taken for a line end, and we do not. */
	if (*at->p == '\r')
		return h1_refuse(at, CAUSE_BAD_REQUEST, "a CR is not followed by LF");
	return h1_refuse(at, CAUSE_BAD_REQUEST, *at->p == '\n' ? why_bare_lf : why_not);
}

static enum h1_line line_refuse(struct h1_cursor *at, enum cause cause, const char *why)
{
	h1_refuse(at, cause, why);
	return H1_LINE_BAD;
}

/* The byte at `stop` is neither of the name that began at `name` nor a colon after it. */
static enum h1_line line_refuse_name(struct h1_cursor *at, const char *name, const char *stop)
{
	bool blank = *stop == ' ' || *stop == '\t';
	const char *why = "a field name has a character that is not allowed";

	if (*stop == '\n')
		why = why_bare_lf;
	else if (*stop == '\r')
		why = "a field line has no colon";
	else if (blank && stop > name)
		why = "there is a blank before the colon of a field"; /* RFC 9112 §5.1 */
	else if (blank)
		why = "a field line begins with a blank"; /* obs-fold, RFC 9112 §5.2; after the start line, §2.2 */
	else if (*stop == ':')
		why = "a field has an empty name";
	return line_refuse(at, CAUSE_BAD_REQUEST, why);
}

/* The blank line. */
static enum h1_line line_end(struct h1_cursor *at)
{
	switch (h1_read_crlf(at, NULL)) {
	case H1_DONE: return H1_LINE_BLANK;
	case H1_MORE: return H1_LINE_MORE;
	case H1_BAD: break;
	}
	return H1_LINE_BAD;
}

static void field_append(struct message *m, struct view name, struct view value)
{
	struct field field = field_of(name, value);

	m->fields[m->field_count++] = field;
	m->field_ids |= FIELD_BIT(field.id);
}

/* The rest of a field line, from behind its colon. */
static enum h1_line line_read_value(struct h1_cursor *at, const char *value, struct view name, struct message *m)
{
	while (value < at->end && is_blank(*value))
		value++;
	const char *stop = scan_text(value, at->end);

	if (stop == at->end)
		return H1_LINE_MORE;
	const char *value_end = stop;

	while (value_end > value && is_blank(value_end[-1]))
		value_end--;
	at->p = stop;
	switch (h1_read_crlf(at, "a field value has a control character")) {
	case H1_MORE: return H1_LINE_MORE;
	case H1_BAD: return H1_LINE_BAD;
	case H1_DONE: break;
	}
	field_append(m, name, view_of(value, (size_t)(value_end - value)));
	return H1_LINE_FIELD;
}

enum h1_line h1_read_line(struct h1_cursor *at, uint32_t count_max, struct message *m)
{
	const char *name = at->p;

	if (name == at->end)
		return H1_LINE_MORE;
	if (*name == '\r')
		return line_end(at);
	if (m->field_count == count_max)
		return line_refuse(at, CAUSE_HEADERS_TOO_LARGE, "there are more fields than are allowed");
	const char *colon = scan_token(name, at->end);
	size_t name_len = (size_t)(colon - name);

	if (name_len > UINT16_MAX)
		return line_refuse(at, CAUSE_HEADERS_TOO_LARGE, "a field name is longer than 65535 bytes");
	if (colon == at->end)
		return H1_LINE_MORE;
	if (*colon != ':' || name_len == 0)
		return line_refuse_name(at, name, colon);
	return line_read_value(at, colon + 1, view_of(name, name_len), m);
}
