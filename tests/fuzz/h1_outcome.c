/*
 * Reads one message the way a connection does: bytes arrive in pieces; the head is read again whenever more of it has
 * come; the content is taken piece by piece; the trailers are read like the head.
 */
#include "h1_outcome.h"

#include <stdlib.h>

#include "base/check.h"

#define CONTENT_MAX (1u << 24)

static const struct h1_limits limits = {
	.head_bytes_max = 16 * 1024, .field_count_max = OUTCOME_FIELDS_MAX, .target_bytes_max = 4 * 1024};

/* --- arrival ----------------------------------------------------------------------------------------------------- */

static size_t next_whole(struct arrival *arrival)
{
	return SIZE_MAX;
}

static size_t next_byte(struct arrival *arrival)
{
	return 1;
}

/* Mostly small, sometimes large. */
static size_t next_random(struct arrival *arrival)
{
	uint64_t x = arrival->state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	arrival->state = x;
	return 1 + (size_t)(x >> 32) % (1u << (x % 11));
}

struct arrival arrival_whole(void)
{
	return (struct arrival){.next = next_whole};
}

struct arrival arrival_by_byte(void)
{
	return (struct arrival){.next = next_byte};
}

struct arrival arrival_random(uint64_t seed)
{
	return (struct arrival){.next = next_random, .state = seed | 1};
}

/* The bytes that are there, and those that are still to come. */
struct stream {
	struct view here; /* not yet consumed */
	const char *end; /* of everything */
	struct arrival arrival;
};

/* Lets the next piece arrive; false when everything has. */
static bool stream_grow(struct stream *s)
{
	size_t left = (size_t)(s->end - (s->here.p + s->here.n));
	size_t n = s->arrival.next(&s->arrival);

	s->here.n += n < left ? n : left;
	return left > 0;
}

static void stream_consume(struct stream *s, size_t n)
{
	CHECK(n <= s->here.n);
	s->here = view_from(s->here, n);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* Takes a result over; true when reading goes on behind it. */
static bool take_result(struct outcome *o, struct stream *s, struct h1_result r)
{
	o->status = r.status;
	o->cause = r.cause;
	o->why = r.why;
	if (r.status == H1_BAD)
		CHECK(r.why != NULL && r.cause != CAUSE_NONE);
	if (r.status == H1_DONE)
		stream_consume(s, r.consumed);
	return r.status == H1_DONE;
}

static bool read_head(struct outcome *o, const struct outcome_kind *kind, struct stream *s)
{
	struct h1_result r;

	do {
		o->m = (struct message){.fields = o->fields, .field_max = OUTCOME_FIELDS_MAX};
		r = kind->response ? h1_read_response(s->here, &limits, kind->request_method, &o->m)
				   : h1_read_request(s->here, &limits, &o->m);
	} while (r.status == H1_MORE && stream_grow(s));
	o->has_head = take_result(o, s, r);
	return o->has_head;
}

static bool read_trailers(struct outcome *o, struct h1_body *body, struct stream *s)
{
	struct h1_result r;

	do
		r = h1_read_trailers(body, s->here, &limits, &o->trailers);
	while (r.status == H1_MORE && stream_grow(s));
	CHECK(h1_body_done(body) == (r.status == H1_DONE));
	return take_result(o, s, r);
}

/* Reads content until something else comes. */
static enum h1_piece read_content(struct outcome *o, struct h1_body *body, struct stream *s)
{
	for (;;) {
		struct view data, in = s->here;
		enum h1_piece piece = h1_body_read(body, &in, &data, &o->why);

		stream_consume(s, s->here.n - in.n);
		if (piece == H1_PIECE_DATA)
			CHECK(data.n > 0 && buf_append(&o->content, data, CONTENT_MAX));
		else if (piece != H1_PIECE_MORE || !stream_grow(s))
			return piece;
		CHECK(piece != H1_PIECE_MORE || in.n == 0);
	}
}

static void read_body(struct outcome *o, struct stream *s)
{
	struct h1_body body;

	h1_body_init(&body, o->m.framing, o->m.content_length);
	switch (read_content(o, &body, s)) {
	case H1_PIECE_TRAILERS: read_trailers(o, &body, s); break;
	case H1_PIECE_END: CHECK(h1_body_done(&body)); break;
	case H1_PIECE_MORE: o->status = h1_body_eof(&body) ? H1_DONE : H1_MORE; break;
	case H1_PIECE_BAD:
		o->status = H1_BAD;
		o->cause = CAUSE_BAD_REQUEST;
		break;
	case H1_PIECE_DATA: CHECK(false);
	}
}

void outcome_read(struct outcome *o, const struct outcome_kind *kind, struct view bytes, struct arrival arrival)
{
	struct stream s = {.here = view_of(bytes.p, 0), .end = bytes.p + bytes.n, .arrival = arrival};

	*o = (struct outcome){.status = H1_MORE};
	o->trailers = (struct message){.fields = o->trailer_fields, .field_max = OUTCOME_FIELDS_MAX};
	if (read_head(o, kind, &s))
		read_body(o, &s);
	o->consumed = (size_t)(s.here.p - bytes.p);
}

void outcome_release(struct outcome *o)
{
	buf_release(&o->content);
}

/* --- comparing --------------------------------------------------------------------------------------------------- */

static struct view content_of(const struct outcome *o)
{
	return buf_len(&o->content) > 0 ? buf_view(&o->content) : VIEW("");
}

static void check_same_field(const struct field *a, const struct field *b)
{
	CHECK(view_eq(field_name(a), field_name(b)));
	CHECK(view_eq(field_value(a), field_value(b)));
	CHECK(a->id == b->id);
}

/* The fields that are not dropped are the same, in the same order. */
static void check_same_fields(const struct message *a, const struct message *b)
{
	uint32_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < a->field_count && a->fields[i].dropped)
			i++;
		while (k < b->field_count && b->fields[k].dropped)
			k++;
		if (i == a->field_count || k == b->field_count)
			break;
		check_same_field(&a->fields[i], &b->fields[k]);
	}
	CHECK(i == a->field_count && k == b->field_count);
}

static void check_same_message(const struct message *a, const struct message *b)
{
	CHECK(a->method == b->method && a->status == b->status);
	CHECK(view_eq(a->method_name, b->method_name) && view_eq(a->target, b->target) && view_eq(a->host, b->host));
	CHECK(a->framing == b->framing);
	CHECK(a->has_length == b->has_length && a->content_length == b->content_length);
	check_same_fields(a, b);
}

void outcome_check_same(const struct outcome *a, const struct outcome *b)
{
	CHECK(a->status == b->status);
	CHECK(a->has_head == b->has_head);
	if (a->status == H1_BAD)
		CHECK(a->cause == b->cause && strcmp(a->why, b->why) == 0);
	if (a->status == H1_DONE)
		CHECK(a->consumed == b->consumed);
	if (!a->has_head)
		return;
	check_same_message(&a->m, &b->m);
	CHECK(a->m.minor == b->m.minor && view_eq(a->m.reason, b->m.reason) && view_eq(a->m.head, b->m.head));
	CHECK(a->m.keep_alive == b->m.keep_alive && a->m.has_upgrade == b->m.has_upgrade);
	CHECK(a->m.expect_continue == b->m.expect_continue);
	CHECK(view_eq(content_of(a), content_of(b)));
	if (a->status == H1_DONE)
		check_same_fields(&a->trailers, &b->trailers);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void put_start_line(struct h1_writer *w, const struct message *m, bool response)
{
	if (response) {
		h1_put_status_line(w, m->status, m->reason);
		return;
	}
	if (m->minor == 1) {
		h1_put_request_line(w, m->method_name, m->target);
		return;
	}
	h1_put(w, m->method_name);
	h1_put(w, VIEW(" "));
	h1_put(w, m->target);
	h1_put(w, VIEW(" HTTP/1.0\r\n"));
}

static void put_content(struct h1_writer *w, const struct outcome *o)
{
	struct view content = content_of(o);
	char prefix[H1_CHUNK_PREFIX_MAX];

	if (o->m.framing != FRAMING_CHUNKED) {
		h1_put(w, content);
		return;
	}
	if (content.n > 0) {
		h1_put(w, view_of(prefix, h1_chunk_prefix(prefix, content.n)));
		h1_put(w, content);
		h1_put(w, VIEW("\r\n"));
	}
	h1_put(w, VIEW("0\r\n"));
	h1_put_fields(w, &o->trailers);
	h1_put(w, VIEW("\r\n"));
}

void outcome_check_round_trip(const struct outcome *o, const struct outcome_kind *kind)
{
	size_t bytes_max = o->m.head.n + buf_len(&o->content) + (OUTCOME_FIELDS_MAX + 8) * 64 + 32 * 1024;
	char *text = malloc(bytes_max);
	struct h1_writer w = {.p = text, .end = text + bytes_max};
	struct outcome again;

	CHECK(text != NULL);
	put_start_line(&w, &o->m, kind->response);
	h1_put_fields(&w, &o->m);
	h1_put(&w, VIEW("\r\n"));
	/* A colon and a CRLF without blanks grow by one byte each; a head at its limit may then be over it. */
	bool fits = (size_t)(w.p - text) <= limits.head_bytes_max;

	put_content(&w, o);
	CHECK(!h1_is_full(&w));
	outcome_read(&again, kind, view_of(text, (size_t)(w.p - text)), arrival_whole());
	if (fits && again.cause != CAUSE_HEADERS_TOO_LARGE) {
		CHECK(again.status == H1_DONE && again.consumed == (size_t)(w.p - text));
		check_same_message(&o->m, &again.m);
		CHECK(view_eq(content_of(o), content_of(&again)));
		check_same_fields(&o->trailers, &again.trailers);
	}
	outcome_release(&again);
	free(text);
}

void outcome_check(const struct outcome_kind *kind, struct view bytes)
{
	struct outcome whole, parts;
	uint64_t seed = bytes.n;

	for (size_t i = 0; i < bytes.n; i++)
		seed = seed * 31 + (unsigned char)bytes.p[i];
	outcome_read(&whole, kind, bytes, arrival_whole());
	for (unsigned i = 0; i < 3; i++) {
		/* Byte by byte is quadratic in the head. */
		bool by_byte = i == 0 && bytes.n <= 512;

		outcome_read(&parts, kind, bytes, by_byte ? arrival_by_byte() : arrival_random(seed + i));
		outcome_check_same(&whole, &parts);
		outcome_release(&parts);
	}
	if (whole.status == H1_DONE)
		outcome_check_round_trip(&whole, kind);
	outcome_release(&whole);
}
