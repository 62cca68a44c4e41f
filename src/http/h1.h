/*
 * HTTP/1.x on the wire (RFC 9112): bytes in, heads and pieces of content out; and back. No I/O, no clock, no memory of
 * its own. Strict: what the grammar does not allow is refused, since two readers that guess differently are how requests
 * are smuggled.
 */
#ifndef WEIR_HTTP_H1_H
#define WEIR_HTTP_H1_H

#include <assert.h>

#include "base/cause.h"
#include "base/wide.h"
#include "http/message.h"

/* What a reader says of the bytes it was given. */
enum h1_status {
	H1_MORE,      /* right so far, incomplete: come again with the same bytes and more */
	H1_DONE,      /* complete; `consumed` says where it ends */
	H1_BAD,       /* refused: `cause` and `why` say it */
};

/* Two words, which are handed back in registers. */
struct h1_result {
	enum h1_status status : 8;
	enum cause cause : 8;  /* H1_BAD: BAD_REQUEST, URI_TOO_LONG, HEADERS_TOO_LARGE, UPSTREAM_BAD_RESPONSE */
	uint32_t consumed;     /* H1_DONE */
	const char *why;       /* H1_BAD: one static sentence for the error body and the log */
};

struct h1_limits {
	uint32_t head_bytes_max;    /* from the first byte to the blank line */
	uint32_t field_count_max;
	uint32_t target_bytes_max;  /* requests */
};

/*
 * Reads a request head. `m->fields`/`m->field_max` are lent by the caller (field_max >= field_count_max). All of *m that
 * belongs to a request is set on H1_DONE; views point into `bytes`. One empty line before the request line is skipped
 * (RFC 9112 §2.2). Malformed bytes are refused as soon as they can be seen, also in an incomplete head.
 *
 * Refused: every case of "Strict reading" in docs/http1.md: both Content-Length and Transfer-Encoding, repeated or
 * malformed lengths, Transfer-Encoding other than exactly one "chunked", Transfer-Encoding in HTTP/1.0, bare CR or LF,
 * obs-fold, blank before the colon, empty or illegal names, NUL and other controls, missing (1.1), repeated or empty
 * Host, HTTP versions other than 1.0 and 1.1. What the target and Host hold is judged by target_read(), which is to be
 * called on every request; CONNECT is left to the caller.
 */
struct h1_result h1_read_request(struct view bytes, const struct h1_limits *limits, struct message *m);

/*
 * Reads a response head. `request_method` decides the framing (HEAD and 1xx/204/304 have no content; RFC 9112 §6.3).
 * A malformed one is CAUSE_UPSTREAM_BAD_RESPONSE.
 */
struct h1_result h1_read_response(struct view bytes, const struct h1_limits *limits, enum method request_method,
	struct message *m);

/* --- content ------------------------------------------------------------------------------------------------ */

/* Reads content by its framing. Initialise with h1_body_init; plain data, may be copied. */
struct h1_body {
	uint8_t framing;        /* enum framing */
	uint8_t state;          /* private to h1_body.c */
	uint16_t line_bytes;    /* of the chunk-size line being read */
	uint32_t overhead;      /* chunk extension bytes so far, bounded */
	uint64_t left;          /* of the length, or of the current chunk */
};

enum h1_piece {
	H1_PIECE_DATA,      /* *data is the next piece of content, pointing into the input */
	H1_PIECE_MORE,      /* everything was consumed, content goes on */
	H1_PIECE_TRAILERS,  /* chunked: the last chunk is past; call h1_read_trailers on what follows */
	H1_PIECE_END,       /* complete; what follows belongs to the next message */
	H1_PIECE_BAD,       /* malformed chunking */
};

void h1_body_init(struct h1_body *body, enum framing framing, uint64_t content_length);

/* True when the content is complete (framing none, length reached, trailers read). */
bool h1_body_done(const struct h1_body *body);

/* All that is to come of it are the next `n` bytes: those of a known length, or none. */
static inline bool h1_body_is_rest(const struct h1_body *body, size_t n)
{
	return body->left == n && (body->framing == FRAMING_LENGTH || body->framing == FRAMING_NONE);
}

/* So it is, and they were taken: it is done. */
void h1_body_end(struct h1_body *body);

/*
 * Takes the next piece from *in (which is advanced past what was consumed). Chunk-size lines may arrive in any
 * fragments. Limits: chunk size below 2^60, a chunk line of at most 512 bytes, extensions of at most 16 KiB in all.
 * *why is set on BAD.
 */
enum h1_piece h1_body_read(struct h1_body *body, struct view *in, struct view *data, const char **why);

/*
 * How much content comes next, as it stands in the input: what is left of the length, or of the chunk; UINT64_MAX: all until the input
 * ends; 0: none, or something else comes before it. Whoever takes it by another way than h1_body_read says how much of it that was.
 */
uint64_t h1_body_coming(const struct h1_body *body);
void h1_body_took(struct h1_body *body, uint64_t n);

/*
 * After H1_PIECE_TRAILERS: reads the trailer section and its blank line into m->fields (lent; m->field_count is set).
 * The same rules as for field lines of a head; fields that must not be trailers (framing, routing, Host, Connection and
 * what RFC 9110 §6.5.1 names) are dropped. On H1_DONE the body is done. The causes are those of a request: a caller
 * who reads a response says UPSTREAM_BAD_RESPONSE instead.
 */
struct h1_result h1_read_trailers(struct h1_body *body, struct view bytes, const struct h1_limits *limits,
	struct message *m);

/* End of input on a FRAMING_UNTIL_CLOSE body is its end: true. For any other unfinished body: false (truncated). */
bool h1_body_eof(struct h1_body *body);

/* --- writing ------------------------------------------------------------------------------------------------ */

/*
 * Writes into memory lent by the caller; full when something did not fit (what was written is then useless, and nothing fits any more).
 * Two words, which are handed over and back in registers. Where heads are made for every request they stay there as long as nobody is
 * given their address.
 */
struct h1_writer {
	char *p;
	char *end;  /* NULL: full */
};

static inline bool h1_is_full(const struct h1_writer *w)
{
	return w->end == NULL;
}

/* Less than 0 when it is full. */
static inline intptr_t h1_room(const struct h1_writer *w)
{
	return (intptr_t)((uintptr_t)w->end - (uintptr_t)w->p);
}

/* False, and full: so many bytes do not fit. */
static inline bool h1_has_room(struct h1_writer *w, size_t n)
{
	if ((intptr_t)n <= h1_room(w))
		return true;
	w->end = NULL;
	return false;
}

/* Always inline, so that a literal becomes a few stores. */
__attribute__((always_inline)) static inline void h1_put(struct h1_writer *w, struct view bytes)
{
	if (!h1_has_room(w, bytes.n))
		return;
	if (bytes.n > 0)
		memcpy(w->p, bytes.p, bytes.n);
	w->p += bytes.n;
}

/* Names and values are mostly short: for those a call costs more than the copying. */
__attribute__((always_inline)) static inline void h1_copy(char *to, struct view bytes)
{
	if (bytes.n > 2 * sizeof(wide) || (__builtin_constant_p(bytes.n) && bytes.n > 0)) {
		memcpy(to, bytes.p, bytes.n);
	} else if (bytes.n >= sizeof(wide)) {
		wide first = wide_load(bytes.p), last = wide_load(bytes.p + bytes.n - sizeof(wide));

		wide_store(to, first);
		wide_store(to + bytes.n - sizeof(wide), last);
	} else {
		wide_copy_few(to, bytes.p, bytes.n);
	}
}

/* The same after h1_has_room has said that it fits, together with what else is put on its word. */
__attribute__((always_inline)) static inline void h1_put_sure(struct h1_writer *w, struct view bytes)
{
	assert((intptr_t)bytes.n <= h1_room(w));
	h1_copy(w->p, bytes);
	w->p += bytes.n;
}

void h1_put_u64(struct h1_writer *w, uint64_t n);

/* "METHOD target HTTP/1.1\r\n" */
void h1_put_request_line(struct h1_writer *w, struct view method, struct view target);

struct h1_writer h1_put_any_status_line(struct h1_writer w, unsigned status, struct view reason);

/* "HTTP/1.1 200 OK\r\n"; an empty reason takes the standard phrase (RFC 9110 §15), or nothing. */
static inline void h1_put_status_line(struct h1_writer *w, unsigned status, struct view reason)
{
	/* Most of them. */
	if (status == 200 && reason.n == 2 && memcmp(reason.p, "OK", 2) == 0)
		h1_put(w, VIEW("HTTP/1.1 200 OK\r\n"));
	else
		*w = h1_put_any_status_line(*w, status, reason);
}

/* "Name: value\r\n" */
void h1_put_field(struct h1_writer *w, struct view name, struct view value);

/* "Content-Length: n\r\n" */
void h1_put_length(struct h1_writer *w, uint64_t n);

/* The half of h1_put_fields for fields that are no lines of the head any more. */
struct h1_writer h1_put_each_field(struct h1_writer w, const struct message *m);

/* Some lines that are as they have to be, mostly some dozens of bytes. */
static inline void h1_put_lines(struct h1_writer *w, struct view lines)
{
	if (!h1_has_room(w, lines.n))
		return;
	if (lines.n < 128)
		wide_copy(w->p, lines.p, lines.n);
	else
		memcpy(w->p, lines.p, lines.n);
	w->p += lines.n;
}

/* Every field that is not dropped, in order. Content-Length among them: the caller drops it where it does not hold. */
static inline void h1_put_fields(struct h1_writer *w, const struct message *m)
{
	if (m->lines.p != NULL)
		h1_put_lines(w, m->lines);
	else
		*w = h1_put_each_field(*w, m);
}

#define H1_CHUNK_PREFIX_MAX 18

/* "1a2b\r\n" into `text`; returns its length. The chunk ends with "\r\n", the body with "0\r\n" trailers "\r\n". */
size_t h1_chunk_prefix(char text[H1_CHUNK_PREFIX_MAX], size_t n);

/* "OK" for 200; NULL when the status has no standard phrase. */
const char *h1_reason(unsigned status);

#endif
