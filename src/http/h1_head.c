/*
 * Heads: the start line, the field lines, and what they say together about the connection and the content.
 *
 *     request:   method SP target SP HTTP/1.x CRLF      *( field CRLF )  CRLF
 *     response:  HTTP/1.x SP status [ SP reason ] CRLF  *( field CRLF )  CRLF
 *
 * One pass, no state between calls: a head that has grown is read again from its beginning. A rule about one field is
 * checked when that field has been read, a rule about the whole when the blank line has; nothing is decided by bytes
 * that a shorter input would not have shown, so splitting the input never changes the outcome.
 *
 * Lines that are as nearly all are take a shorter way (h1_plain.h). A head that is made of them and says nothing out of the ordinary is
 * read by itself, in the end of this file; what is the first that it cannot be read by is where the reader of all heads goes on.
 */
#include "base/check.h"
#include "http/h1_field.h"
#include "http/h1_plain.h"
#include "http/scan.h"

/* What the fields read so far have said. */
enum seen {
	SEEN_HOST = 1 << 0,
	SEEN_CHUNKED = 1 << 1, /* Transfer-Encoding, which can only be chunked */
	SEEN_CLOSE = 1 << 2, /* options of Connection */
	SEEN_KEEP_ALIVE = 1 << 3,
	SEEN_UPGRADE_OPTION = 1 << 4,
	SEEN_UPGRADE = 1 << 5, /* the field */
	SEEN_EXPECT_CONTINUE = 1 << 6,
};

struct head {
	struct h1_cursor at;
	struct message *m;
	unsigned seen;
};

/* Before all of it, when there is nothing in the message but the memory that is lent. */
static inline void message_begin(struct message *m, const struct h1_limits *limits)
{
	CHECK(limits->field_count_max <= m->field_max);
	*m = (struct message){.fields = m->fields, .field_max = m->field_max};
}

/* From `from` on, when what stands before it is in the message already; NULL: nothing is. */
static void head_begin(struct head *h, struct view bytes, const struct h1_limits *limits, const char *from, struct message *m)
{
	*h = (struct head){.at = h1_cursor(bytes, limits->head_bytes_max), .m = m};
	if (from == NULL) {
		message_begin(m, limits);
		return;
	}
	h->at.p = from;
	h->seen = (m->field_ids & FIELD_BIT(FIELD_HOST) ? SEEN_HOST : 0) | (m->keep_alive ? 0 : SEEN_CLOSE);
}

static enum h1_status refuse(struct head *h, const char *why)
{
	return h1_refuse(&h->at, CAUSE_BAD_REQUEST, why);
}

/* --- fields that say how to go on -------------------------------------------------------------------------------- */

/* RFC 9110 §7.2, RFC 9112 §3.2: exactly one. What it holds is judged together with the target, by target_read(). */
static enum h1_status read_host(struct head *h, struct view value)
{
	if (h->seen & SEEN_HOST)
		return refuse(h, "there is more than one Host");
	if (value.n == 0)
		return refuse(h, "the host is empty");
	h->seen |= SEEN_HOST;
	h->m->host = value;
	return H1_DONE;
}

/* RFC 9112 §6.2 and §6.3 rule 5. The list "5, 5" that a recipient may accept is refused. */
static enum h1_status read_content_length(struct head *h, struct view value)
{
	struct message *m = h->m;

	if (m->has_length)
		return refuse(h, "there is more than one Content-Length");
	if (h->seen & SEEN_CHUNKED)
		return refuse(h, "there are both Transfer-Encoding and Content-Length");
	if (!view_parse_u64(value, &m->content_length) || m->content_length > INT64_MAX)
		return refuse(h, "Content-Length is not a number of bytes");
	m->has_length = true;
	return H1_DONE;
}

/* RFC 9112 §6.1 and §6.3 rules 3 and 4: we understand chunked, once, and nothing else. */
static enum h1_status read_transfer_encoding(struct head *h, struct view value)
{
	if (h->seen & SEEN_CHUNKED)
		return refuse(h, "there is more than one Transfer-Encoding");
	if (h->m->has_length)
		return refuse(h, "there are both Transfer-Encoding and Content-Length");
	if (h->m->minor == 0)
		return refuse(h, "there is a Transfer-Encoding in HTTP/1.0");
	if (!view_eq_nocase(value, VIEW("chunked")))
		return refuse(h, "Transfer-Encoding is not exactly chunked");
	h->seen |= SEEN_CHUNKED;
	return H1_DONE;
}

/* RFC 9110 §7.6.1: a list of options, several of which carry the name of a field. */
static void read_connection(struct head *h, struct view value)
{
	struct view option;

	while (view_next_element(&value, &option)) {
		switch (field_id(option)) {
		case FIELD_KEEP_ALIVE: h->seen |= SEEN_KEEP_ALIVE; break;
		case FIELD_UPGRADE: h->seen |= SEEN_UPGRADE_OPTION; break;
		default: h->seen |= view_eq_nocase(option, VIEW("close")) ? SEEN_CLOSE : 0;
		}
	}
}

/* RFC 9110 §10.1.1 */
static void read_expect(struct head *h, struct view value)
{
	struct view element;

	while (view_next_element(&value, &element))
		h->seen |= view_eq_nocase(element, VIEW("100-continue")) ? SEEN_EXPECT_CONTINUE : 0;
}

/* Notes what a field says that tells something. */
static enum h1_status read_field(struct head *h, const struct field *f, bool in_request)
{
	switch (f->id) {
	case FIELD_CONTENT_LENGTH: return read_content_length(h, field_value(f));
	case FIELD_TRANSFER_ENCODING: return read_transfer_encoding(h, field_value(f));
	case FIELD_CONNECTION: read_connection(h, field_value(f)); break;
	case FIELD_UPGRADE: h->seen |= f->value_len > 0 ? SEEN_UPGRADE : 0; break;
	case FIELD_HOST: return in_request ? read_host(h, field_value(f)) : H1_DONE;
	case FIELD_EXPECT: read_expect(h, field_value(f)); break;
	}
	return H1_DONE;
}

/* Whether as much stands before the end as h1_plain.h wants: only of the shortest heads it does not. */
static inline bool may_be_plain(const struct head *h)
{
	return h->at.end - h->m->head.p >= SCAN_BEFORE;
}

/* The line at the cursor, which is not a plain field. */
static enum h1_line read_line(struct head *h, uint32_t count_max)
{
	if (H1_STANDS(h->at.p, h->at.end, "\r\n")) {
		h->at.p += 2;
		return H1_LINE_BLANK;
	}
	return h1_read_line(&h->at, count_max, h->m);
}

/* All further field lines and the blank line. */
static inline enum h1_status read_fields(struct head *h, uint32_t count_max, bool in_request)
{
	struct message *m = h->m;
	/* None where there is too little for h1_plain.h to look at. */
	struct field *f = m->fields + m->field_count, *plain_end = may_be_plain(h) ? m->fields + count_max : f;
	const char *p = h->at.p, *end = h->at.end;
	uint64_t ids = m->field_ids;
	enum h1_line line;

	for (;; f++) {
		const char *next = f < plain_end && p < end && *p != '\r' ? h1_plain_field(p, end, f) : NULL;

		if (next == NULL) {
			h->at.p = p;
			m->field_count = (uint32_t)(f - m->fields);
			line = read_line(h, count_max);
			if (line != H1_LINE_FIELD)
				break;
			next = h->at.p;
		}
		p = next;
		ids |= FIELD_BIT(f->id);
		if (field_tells((enum field_id)f->id, in_request) && read_field(h, f, in_request) == H1_BAD)
			return H1_BAD;
	}
	m->field_ids = ids;
	switch (line) {
	case H1_LINE_BLANK: return H1_DONE;
	case H1_LINE_MORE: return H1_MORE;
	default: return H1_BAD;
	}
}

/* What the whole head says of the connection (RFC 9112 §9.3, RFC 9110 §7.8). */
static void conclude_connection(struct head *h)
{
	struct message *m = h->m;

	m->keep_alive = !(h->seen & SEEN_CLOSE) && (m->minor == 1 || (h->seen & SEEN_KEEP_ALIVE));
	m->has_upgrade = m->minor == 1 && (h->seen & SEEN_UPGRADE) && (h->seen & SEEN_UPGRADE_OPTION);
}

/* --- start lines ------------------------------------------------------------------------------------------------- */

/* "HTTP/1.0" or "HTTP/1.1", case-sensitive (RFC 9112 §2.3). */
static enum h1_status read_version(struct head *h)
{
	static const char why[] = "the version is not HTTP/1.0 or HTTP/1.1";
	const char *p = h->at.p;
	size_t left = (size_t)(h->at.end - p);

	if (left < 8)
		return memcmp(p, "HTTP/1.", left) == 0 ? H1_MORE : refuse(h, why);
	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return refuse(h, why);
	h->m->minor = (uint8_t)(p[7] - '0');
	h->at.p = p + 8;
	return H1_DONE;
}

/* A start line that h1_plain.h has read: what follows it, or NULL. */
static inline bool is_plain(struct head *h, const char *next)
{
	if (next == NULL)
		return false;
	h->at.p = next;
	return true;
}

/* The method and the one space after it (RFC 9112 §3.1). */
static enum h1_status read_method(struct head *h)
{
	const char *method = h->at.p;
	const char *stop = scan_class(method, h->at.end, CHAR_TOKEN);

	if (stop == h->at.end)
		return H1_MORE;
	if (stop == method || *stop != ' ')
		return refuse(h, "the request line does not begin with a method and a space");
	h->m->method_name = view_of(method, (size_t)(stop - method));
	h->m->method = (uint8_t)method_of(h->m->method_name);
	h->at.p = stop + 1;
	return H1_DONE;
}

/* The target, as it comes, and the one space after it (RFC 9112 §3.2). */
static enum h1_status read_target(struct head *h, uint32_t bytes_max)
{
	const char *target = h->at.p;
	const char *stop = scan_target(target, h->at.end);

	if ((size_t)(stop - target) > bytes_max)
		return h1_refuse(&h->at, CAUSE_URI_TOO_LONG, "the request target is longer than is allowed");
	if (stop == h->at.end)
		return H1_MORE;
	if (*stop == '\r' || *stop == '\n')
		return refuse(h, "the request line has no version");
	if (*stop != ' ')
		return refuse(h, "the request target has a control character");
	if (stop == target)
		return refuse(h, "there is more than one space after the method");
	h->m->target = view_of(target, (size_t)(stop - target));
	h->at.p = stop + 1;
	return H1_DONE;
}

static enum h1_status read_request_line(struct head *h, const struct h1_limits *limits)
{
	enum h1_status status;

	/* RFC 9112 §2.2: a client may have sent an empty line after the content of its previous request. */
	if (h->at.p < h->at.end && (*h->at.p == '\r' || *h->at.p == '\n')) {
		status = h1_read_crlf(&h->at, NULL);
		if (status != H1_DONE)
			return status;
	}
	h->m->head.p = h->at.p;
	if (may_be_plain(h) && is_plain(h, h1_plain_request_line(h->at.p, h->at.end, limits->target_bytes_max, h->m)))
		return H1_DONE;
	status = read_method(h);
	if (status == H1_DONE)
		status = read_target(h, limits->target_bytes_max);
	if (status == H1_DONE)
		status = read_version(h);
	if (status == H1_DONE)
		status = h1_read_crlf(&h->at, "the request line does not end after the version");
	return status;
}

/* SP and exactly three digits, 100..599 (RFC 9112 §4, RFC 9110 §15). */
static enum h1_status read_status_code(struct head *h)
{
	static const char why[] = "the status line has no status from 100 to 599";
	const char *p = h->at.p;
	unsigned status = 0;

	if (p == h->at.end)
		return H1_MORE;
	if (*p++ != ' ')
		return refuse(h, why);
	for (unsigned i = 0; i < 3; i++, p++) {
		if (p == h->at.end)
			return H1_MORE;
		if (*p < (i == 0 ? '1' : '0') || *p > (i == 0 ? '5' : '9'))
			return refuse(h, why);
		status = status * 10 + (unsigned)(*p - '0');
	}
	h->m->status = (uint16_t)status;
	h->at.p = p;
	return H1_DONE;
}

/* [ SP reason ] CRLF. Some servers leave out the space with the phrase; nothing can be mistaken for it. */
static enum h1_status read_reason(struct head *h)
{
	const char *p = h->at.p;

	if (p == h->at.end)
		return H1_MORE;
	if (*p == ' ') {
		const char *stop = scan_text(p + 1, h->at.end);

		h->m->reason = view_of(p + 1, (size_t)(stop - p - 1));
		h->at.p = stop;
	}
	return h1_read_crlf(&h->at, "the status line has a character that is not allowed");
}

/* It is none of those that h1_plain.h takes. */
static enum h1_status read_status_line(struct head *h)
{
	h->m->head.p = h->at.p;

	enum h1_status status = read_version(h);

	if (status == H1_DONE)
		status = read_status_code(h);
	if (status == H1_DONE)
		status = read_reason(h);
	return status;
}

/* --- whole heads ------------------------------------------------------------------------------------------------- */

/* RFC 9112 §6.3 rules 6 and 7; 4 and 5 were looked after field by field. */
static enum h1_status conclude_request(struct head *h)
{
	struct message *m = h->m;

	if (m->minor == 1 && !(h->seen & SEEN_HOST))
		return refuse(h, "there is no Host"); /* RFC 9112 §3.2 */
	m->expect_continue = m->minor == 1 && (h->seen & SEEN_EXPECT_CONTINUE);
	if (h->seen & SEEN_CHUNKED)
		m->framing = FRAMING_CHUNKED;
	else
		m->framing = m->has_length ? FRAMING_LENGTH : FRAMING_NONE;
	conclude_connection(h);
	return H1_DONE;
}

/*
 * 1xx and 204 must not speak of content (RFC 9110 §8.6, RFC 9112 §6.1). "Content-Length: 0" is a common and harmless
 * slip, which is not passed on; anything more leaves open whether content follows.
 */
static enum h1_status conclude_bodiless(struct head *h)
{
	struct message *m = h->m;

	if (h->seen & SEEN_CHUNKED)
		return refuse(h, "there is a Transfer-Encoding in a 1xx or 204 response");
	if (m->content_length > 0)
		return refuse(h, "there is a Content-Length in a 1xx or 204 response");
	if (m->has_length)
		message_drop(m, message_find(m, FIELD_CONTENT_LENGTH));
	m->has_length = false;
	m->framing = FRAMING_NONE;
	return H1_DONE;
}

/* RFC 9112 §6.3 rules 1, 4, 5, 6 and 8. */
static enum h1_status conclude_response(struct head *h, enum method request_method)
{
	struct message *m = h->m;

	conclude_connection(h);
	if (m->status < 200 || m->status == 204)
		return conclude_bodiless(h);
	if (request_method == METHOD_HEAD || m->status == 304) {
		m->framing = FRAMING_NONE;
	} else if (h->seen & SEEN_CHUNKED) {
		m->framing = FRAMING_CHUNKED;
	} else if (m->has_length) {
		m->framing = FRAMING_LENGTH;
	} else {
		m->framing = FRAMING_UNTIL_CLOSE;
		m->keep_alive = false;
	}
	return H1_DONE;
}

static struct h1_result head_end(struct head *h, enum h1_status status, struct view bytes, uint32_t bytes_max)
{
	if (status == H1_DONE)
		h->m->head.n = (size_t)(h->at.p - h->m->head.p);
	return h1_result(&h->at, status, bytes, bytes_max);
}

/* Any one, of which what stands before `from` was read already; NULL: nothing was. */
__attribute__((noinline)) static struct h1_result read_any_request(
	struct view bytes, const struct h1_limits *limits, const char *from, struct message *m)
{
	enum h1_status status = H1_DONE;
	struct head h;

	head_begin(&h, bytes, limits, from, m);
	if (from == NULL)
		status = read_request_line(&h, limits);
	if (status == H1_DONE)
		status = read_fields(&h, limits->field_count_max, true);
	if (status == H1_DONE)
		status = conclude_request(&h);
	return head_end(&h, status, bytes, limits->head_bytes_max);
}

__attribute__((noinline)) static struct h1_result read_any_response(
	struct view bytes, const struct h1_limits *limits, enum method request_method, const char *from, struct message *m)
{
	enum h1_status status = H1_DONE;
	struct head h;

	head_begin(&h, bytes, limits, from, m);
	if (from == NULL)
		status = read_status_line(&h);
	if (status == H1_DONE)
		status = read_fields(&h, limits->field_count_max, false);
	if (status == H1_DONE)
		status = conclude_response(&h, request_method);
	struct h1_result result = head_end(&h, status, bytes, limits->head_bytes_max);

	if (result.status == H1_BAD)
		result.cause = CAUSE_UPSTREAM_BAD_RESPONSE;
	return result;
}

/* --- plain heads ------------------------------------------------------------------------------------------------- */

/* Any number of so many digits is one. */
static inline bool is_plain_length(const struct field *f, struct message *m)
{
	const char *p = f->value, *stop = p + f->value_len;
	uint64_t n = 0;

	if (f->value_len > 18)
		return false;
	for (; p < stop; p++) {
		unsigned digit = (unsigned char)*p - (unsigned)'0';

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	m->content_length = n;
	m->has_length = true;
	return true;
}

/* In HTTP/1.1 the one says nothing. */
__attribute__((noinline)) static bool is_plain_connection(struct view value, struct message *m)
{
	if (view_eq_nocase(value, VIEW("keep-alive")))
		return true;
	if (!view_eq_nocase(value, VIEW("close")))
		return false;
	m->keep_alive = false;
	return true;
}

/* Whether a field that tells something does so as nearly all do; `ids` are those before it. */
static inline bool is_plain_telling(const struct field *f, uint64_t ids, struct message *m)
{
	if (ids & FIELD_BIT(f->id))
		return false;
	switch (f->id) {
	case FIELD_CONTENT_LENGTH: return is_plain_length(f, m);
	case FIELD_CONNECTION: return is_plain_connection(field_value(f), m);
	case FIELD_HOST: m->host = field_value(f); return true;
	default: return false;
	}
}

/* Reads fields from p on for as long as they are plain, and returns where the first line stands that is not. */
__attribute__((always_inline)) static inline const char *read_plain_fields(
	const char *p, const char *end, uint32_t count_max, bool in_request, struct message *m)
{
	struct field *f = m->fields, *last = f + count_max;
	uint64_t ids = 0;

	m->keep_alive = true;
	for (; f < last && !H1_STANDS(p, end, "\r\n"); f++) {
		const char *next = h1_plain_field(p, end, f);

		if (next == NULL || (field_tells((enum field_id)f->id, in_request) && !is_plain_telling(f, ids, m)))
			break;
		ids |= FIELD_BIT(f->id);
		p = next;
	}
	m->field_count = (uint32_t)(f - m->fields);
	m->field_ids = ids;
	return p;
}

/* What of `bytes` may be a head: up to there. */
static inline const char *head_limit(struct view bytes, const struct h1_limits *limits)
{
	return bytes.p + (bytes.n < limits->head_bytes_max ? bytes.n : limits->head_bytes_max);
}

/* The fields begin at `first`, and the blank line is all that is left. */
static inline struct h1_result plain_end(struct view bytes, const char *first, const char *blank, struct message *m)
{
	m->head = view_of(bytes.p, (size_t)(blank + 2 - bytes.p));
	m->lines = view_of(first, (size_t)(blank - first));
	return (struct h1_result){.status = H1_DONE, .consumed = (uint32_t)m->head.n};
}

struct h1_result h1_read_request(struct view bytes, const struct h1_limits *limits, struct message *m)
{
	const char *end = head_limit(bytes, limits), *first = NULL, *p;

	message_begin(m, limits);
	if (end - bytes.p >= SCAN_BEFORE)
		first = h1_plain_request_line(bytes.p, end, limits->target_bytes_max, m);
	if (first == NULL)
		return read_any_request(bytes, limits, NULL, m);
	p = read_plain_fields(first, end, limits->field_count_max, true, m);
	if (!H1_STANDS(p, end, "\r\n") || !(m->field_ids & FIELD_BIT(FIELD_HOST))) {
		m->head.p = bytes.p;
		return read_any_request(bytes, limits, p, m);
	}
	m->framing = m->has_length ? FRAMING_LENGTH : FRAMING_NONE;
	return plain_end(bytes, first, p, m);
}

struct h1_result h1_read_response(
	struct view bytes, const struct h1_limits *limits, enum method request_method, struct message *m)
{
	const char *end = head_limit(bytes, limits), *first, *p;

	message_begin(m, limits);
	first = h1_plain_status_line(bytes.p, end, m);
	if (first == NULL)
		return read_any_response(bytes, limits, request_method, NULL, m);
	p = read_plain_fields(first, end, limits->field_count_max, false, m);
	if (!H1_STANDS(p, end, "\r\n") || !m->has_length || request_method == METHOD_HEAD) {
		m->head.p = bytes.p;
		return read_any_response(bytes, limits, request_method, p, m);
	}
	m->framing = FRAMING_LENGTH;
	return plain_end(bytes, first, p, m);
}
