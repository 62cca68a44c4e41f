/*
 * Content and trailers. Every chunked case is read whole, byte by byte, and in every split into two parts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1.h"

#define FIELD_MAX 10

static const struct h1_limits limits = {.head_bytes_max = 1024, .field_count_max = FIELD_MAX};

/* What has been read of one body. */
struct reading {
	struct h1_body body;
	char content[4096];
	size_t n;
	const char *why;
};

/* Feeds one part; returns the last piece's kind, and in *in what was not taken. */
static enum h1_piece feed(struct reading *r, struct view *in)
{
	for (;;) {
		struct view data = {0};
		enum h1_piece piece = h1_body_read(&r->body, in, &data, &r->why);

		if (piece != H1_PIECE_DATA)
			return piece;
		assert_true(data.n > 0);
		assert_true(r->n + data.n <= sizeof(r->content));
		memcpy(r->content + r->n, data.p, data.n);
		r->n += data.n;
	}
}

/* Reads `bytes` in parts that end at `first` and then after every `step` bytes. *rest is what the end left over. */
static enum h1_piece read_in_parts(struct reading *r, struct view bytes, size_t first, size_t step, size_t *rest)
{
	enum h1_piece piece = H1_PIECE_MORE;
	size_t at = 0, end = first;

	for (; at < bytes.n && piece == H1_PIECE_MORE; end = at + step) {
		size_t n = end < bytes.n ? end - at : bytes.n - at;
		char *copy = malloc(n + (n == 0));

		assert_non_null(copy);
		memcpy(copy, bytes.p + at, n);
		struct view in = view_of(copy, n);

		piece = feed(r, &in);
		at += n - in.n;
		free(copy);
	}
	*rest = bytes.n - at;
	return piece;
}

struct chunked {
	const char *bytes;
	enum h1_piece piece; /* TRAILERS, MORE or BAD */
	const char *content; /* BAD: a part of the reason */
	size_t n; /* of `bytes`; 0: to its NUL */
};

#define OK(bytes_, content_) {bytes_, H1_PIECE_TRAILERS, content_, 0}
#define BAD(bytes_, why_) {bytes_, H1_PIECE_BAD, why_, sizeof(bytes_) - 1}

static const struct chunked chunked_cases[] = {
	OK("0\r\n", ""),
	OK("5\r\nhello\r\n0\r\n", "hello"),
	OK("5\r\nhello\r\n6\r\n world\r\n0\r\n", "hello world"),
	OK("A\r\n0123456789\r\n0\r\n", "0123456789"),
	OK("a\r\n0123456789\r\n0\r\n", "0123456789"),
	OK("0a\r\n0123456789\r\n000\r\n", "0123456789"),
	OK("00000000000000000000000000000005\r\nhello\r\n0\r\n", "hello"),
	OK("2\r\n\r\n\r\n0\r\n", "\r\n"),
	OK("5;a\r\nhello\r\n0;b\r\n", "hello"),
	OK("5;a=b\r\nhello\r\n0\r\n", "hello"),
	OK("5;a=b;c=d;e\r\nhello\r\n0\r\n", "hello"),
	OK("5 ;a\r\nhello\r\n0\r\n", "hello"),
	OK("5\t; \ta \t= \tb ;c\r\nhello\r\n0\r\n", "hello"),
	OK("5;a=\"b\"\r\nhello\r\n0\r\n", "hello"),
	OK("5;a=\"\"\r\nhello\r\n0\r\n", "hello"),
	OK("5;a=\"b;=c\\\"\\\\\\ d\xff\t(),/:\";e\r\nhello\r\n0\r\n", "hello"),
	OK("5;a=\"b\" ;c=\"d\"\r\nhello\r\n0\r\n", "hello"),
	OK("5;A-9!=~z\r\nhello\r\n0\r\n", "hello"),
	{"", H1_PIECE_MORE, "", 0},
	{"5", H1_PIECE_MORE, "", 0},
	{"5\r", H1_PIECE_MORE, "", 0},
	{"5\r\n", H1_PIECE_MORE, "", 0},
	{"5\r\nhell", H1_PIECE_MORE, "hell", 0},
	{"5\r\nhello", H1_PIECE_MORE, "hello", 0},
	{"5\r\nhello\r", H1_PIECE_MORE, "hello", 0},
	{"5\r\nhello\r\n", H1_PIECE_MORE, "hello", 0},
	{"fffffffffffffff\r\nx", H1_PIECE_MORE, "x", 0},

	/* sizes */
	BAD("\r\n", "malformed"),
	BAD(" 5\r\nhello\r\n0\r\n", "malformed"),
	BAD("\t5\r\nhello\r\n0\r\n", "malformed"),
	BAD("5 \r\nhello\r\n0\r\n", "malformed"),
	BAD("5\t\r\nhello\r\n0\r\n", "malformed"),
	BAD("5 5\r\nhello\r\n0\r\n", "malformed"),
	BAD("0x5\r\nhello\r\n0\r\n", "malformed"),
	BAD("x5\r\nhello\r\n0\r\n", "malformed"),
	BAD("+5\r\nhello\r\n0\r\n", "malformed"),
	BAD("-5\r\nhello\r\n0\r\n", "malformed"),
	BAD("5h\r\nhello\r\n0\r\n", "malformed"),
	BAD("5.0\r\nhello\r\n0\r\n", "malformed"),
	BAD("5,5\r\nhello\r\n0\r\n", "malformed"),
	BAD("g\r\n", "malformed"),
	BAD("\xb5\r\n", "malformed"),
	BAD("\0005\r\n", "malformed"),
	BAD(";a\r\n", "malformed"),
	BAD("5_0\r\n", "malformed"),
	BAD("1000000000000000\r\n", "too large"),
	BAD("ffffffffffffffff\r\n", "too large"),
	BAD("10000000000000000\r\n", "too large"),
	BAD("10000000000000005\r\nhello\r\n0\r\n", "too large"),
	BAD("fffffffffffffffffffffffffffff\r\n", "too large"),

	/* line ends */
	BAD("5\nhello\r\n0\r\n", "malformed"),
	BAD("5\rhello\r\n0\r\n", "malformed"),
	BAD("5\r\rhello", "malformed"),
	BAD("5\r\nhello\n0\r\n", "do not end"),
	BAD("5\r\nhello\r0\r\n", "do not end"),
	BAD("5\r\nhello0\r\n", "do not end"),
	BAD("5\r\nhello!\r\n0\r\n", "do not end"),
	BAD("6\r\nhello\r\n0\r\n", "do not end"),
	BAD("4\r\nhello\r\n0\r\n", "do not end"),
	BAD("5\r\nhello\r\n\r\n0\r\n", "malformed"),
	BAD("0\n\n", "malformed"),
	BAD("0\n\r\n", "malformed"),

	/* extensions */
	BAD("5;\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;;a\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a;\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;=b\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=b=c\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a b\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=b c\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a \r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=b \r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\" \r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\"c\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\\\r\n\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\n\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\x01\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\\\x01\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\x7f\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\"b\0\"\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a\nb\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a\rb\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a\0b\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a\x7f\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=\xff\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a/b\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;a=b@c\r\nhello\r\n0\r\n", "malformed"),
	BAD("5;'\n\r\n", "malformed"),
};

static void check_chunked(const struct chunked *c, size_t first, size_t step)
{
	struct reading r = {.n = 0};
	struct view bytes = view_of(c->bytes, c->n != 0 ? c->n : strlen(c->bytes));
	size_t rest;

	h1_body_init(&r.body, FRAMING_CHUNKED, 0);
	enum h1_piece piece = read_in_parts(&r, bytes, first, step, &rest);

	if (piece != c->piece)
		fail_msg("%s in parts of %zu, %zu: piece %d, expected %d", c->bytes, first, step, piece, c->piece);
	if (piece == H1_PIECE_BAD) {
		assert_non_null(strstr(r.why, c->content));
		struct view in = VIEW("0\r\n\r\n"), data;

		assert_int_equal(h1_body_read(&r.body, &in, &data, &r.why), H1_PIECE_BAD);
	} else {
		assert_true(view_eq(view_of(r.content, r.n), view_str(c->content)));
		assert_int_equal(rest, 0);
	}
	assert_false(h1_body_done(&r.body));
	assert_false(h1_body_eof(&r.body));
}

static void chunked_in_all_splits(void **state)
{
	for (size_t i = 0; i < sizeof(chunked_cases) / sizeof(chunked_cases[0]); i++) {
		const struct chunked *c = &chunked_cases[i];
		size_t n = c->n != 0 ? c->n : strlen(c->bytes);

		check_chunked(c, n, 1);
		check_chunked(c, 1, 1);
		check_chunked(c, 1, 2);
		for (size_t first = 1; first < n; first++)
			check_chunked(c, first, n);
	}
}

/* A chunk-size line of `n` bytes with its CRLF, by way of an extension. */
static enum h1_piece read_line_of(struct reading *r, size_t n)
{
	char line[1024];
	struct view in = view_of(line, n);

	memset(line, 'x', sizeof(line));
	memcpy(line, "1;", 2);
	memcpy(line + n - 2, "\r\n", 2);
	return feed(r, &in);
}

static void chunk_lines_are_bounded(void **state)
{
	struct reading r = {.n = 0};

	h1_body_init(&r.body, FRAMING_CHUNKED, 0);
	assert_int_equal(read_line_of(&r, 512), H1_PIECE_MORE);
	h1_body_init(&r.body, FRAMING_CHUNKED, 0);
	assert_int_equal(read_line_of(&r, 513), H1_PIECE_BAD);
	assert_non_null(strstr(r.why, "512"));
}

static void extensions_are_bounded_in_all(void **state)
{
	struct reading r = {.n = 0};
	unsigned chunks = 0;
	enum h1_piece piece = H1_PIECE_MORE;

	h1_body_init(&r.body, FRAMING_CHUNKED, 0);
	for (; chunks < 100 && piece == H1_PIECE_MORE; chunks++) {
		struct view in = VIEW("x\r\n");

		piece = read_line_of(&r, 512);
		if (piece == H1_PIECE_MORE)
			piece = feed(&r, &in);
	}
	assert_int_equal(piece, H1_PIECE_BAD);
	assert_non_null(strstr(r.why, "16 KiB"));
	assert_int_equal(chunks, 16 * 1024 / 509 + 1);
}

static void a_length_is_counted(void **state)
{
	struct reading r = {.n = 0};
	struct view in = VIEW("hel");

	h1_body_init(&r.body, FRAMING_LENGTH, 5);
	assert_int_equal(feed(&r, &in), H1_PIECE_MORE);
	assert_false(h1_body_done(&r.body));
	assert_false(h1_body_eof(&r.body));
	in = VIEW("loGET /");
	assert_int_equal(feed(&r, &in), H1_PIECE_END);
	assert_true(h1_body_done(&r.body));
	assert_true(h1_body_eof(&r.body));
	assert_true(view_eq(in, VIEW("GET /")));
	assert_true(view_eq(view_of(r.content, r.n), VIEW("hello")));
}

static void no_content_is_done(void **state)
{
	const struct {
		enum framing framing;
		uint64_t length;
	} cases[] = {{FRAMING_NONE, 0}, {FRAMING_NONE, 5}, {FRAMING_LENGTH, 0}};

	for (size_t i = 0; i < 3; i++) {
		struct reading r = {.n = 0};
		struct view in = VIEW("next");

		h1_body_init(&r.body, cases[i].framing, cases[i].length);
		assert_true(h1_body_done(&r.body));
		assert_int_equal(feed(&r, &in), H1_PIECE_END);
		assert_int_equal(in.n, 4);
		assert_true(h1_body_eof(&r.body));
	}
}

static void until_close_ends_with_the_input(void **state)
{
	struct reading r = {.n = 0};
	struct view in = VIEW("all of this");

	h1_body_init(&r.body, FRAMING_UNTIL_CLOSE, 0);
	assert_int_equal(feed(&r, &in), H1_PIECE_MORE);
	assert_int_equal(r.n, 11);
	assert_false(h1_body_done(&r.body));
	assert_true(h1_body_eof(&r.body));
	assert_true(h1_body_done(&r.body));
	assert_int_equal(feed(&r, &in), H1_PIECE_END);
}

/* --- trailers ---------------------------------------------------------------------------------------------------- */

/* Reads a trailer section behind a last chunk, from every prefix; `m` lends the fields. */
static struct h1_result read_trailers(const char *text, struct h1_body *body, struct message *m)
{
	struct h1_result r = {.status = H1_MORE};
	size_t total = strlen(text);

	for (size_t n = 0; n <= total && r.status == H1_MORE; n++) {
		struct view in = VIEW("0\r\n"), data;
		const char *why;

		h1_body_init(body, FRAMING_CHUNKED, 0);
		assert_int_equal(h1_body_read(body, &in, &data, &why), H1_PIECE_TRAILERS);
		r = h1_read_trailers(body, view_of(text, n), &limits, m);
		assert_int_equal(h1_body_done(body), r.status == H1_DONE);
	}
	return r;
}

static void trailers_are_read(void **state)
{
	static const struct {
		const char *text;
		unsigned count, kept;
	} cases[] = {
		{"\r\n", 0, 0},
		{"X-Sum: 1\r\n\r\n", 1, 1},
		{"X-Sum: 1\r\nETag: \"a\"\r\nServer-Timing: x\r\n\r\n", 3, 3},
		{"Content-Length: 5\r\nX: y\r\n\r\n", 2, 1},
		{"Content-Length: junk\r\n\r\n", 1, 0},
		{"Transfer-Encoding: chunked\r\n\r\n", 1, 0},
		{"Host: evil\r\n\r\n", 1, 0},
		{"Connection: X\r\nX: y\r\n\r\n", 2, 1},
		{"AUTHORIZATION: x\r\nCookie: x\r\nSet-Cookie: x\r\n\r\n", 3, 0},
		{"Content-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\nTrailer: x\r\n\r\n", 4, 0},
		{"TE: x\r\nRange: x\r\nIf-Match: x\r\nCache-Control: x\r\nExpect: x\r\n\r\n", 5, 0},
		{"X-Forwarded-For: x\r\nForwarded: x\r\nVia: x\r\nX-Request-Id: x\r\n\r\n", 4, 0},
		{"Accept: x\r\naccept-language: x\r\nOrigin: x\r\nContent-Disposition: x\r\n\r\n", 4, 0},
		{"Content-Digest: x\r\nX-Origin: x\r\nGrpc-Status: 0\r\n\r\n", 3, 3},
		{"WWW-Authenticate: x\r\nVary: x\r\nAge: 1\r\nExpires: x\r\nLocation: x\r\n\r\n", 5, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_body body;
		struct h1_result r = read_trailers(cases[i].text, &body, &m);
		unsigned kept = 0;

		assert_int_equal(r.status, H1_DONE);
		assert_int_equal(r.consumed, strlen(cases[i].text));
		assert_int_equal(m.field_count, cases[i].count);
		for (uint32_t k = 0; k < m.field_count; k++)
			kept += !fields[k].dropped;
		assert_int_equal(kept, cases[i].kept);
	}
}

static void bad_trailers_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum cause cause;
	} cases[] = {
		{"\n", CAUSE_BAD_REQUEST},
		{"X: y\n\r\n", CAUSE_BAD_REQUEST},
		{"X : y\r\n\r\n", CAUSE_BAD_REQUEST},
		{" X: y\r\n\r\n", CAUSE_BAD_REQUEST},
		{"X: y\r\n z\r\n\r\n", CAUSE_BAD_REQUEST},
		{"X\r\n\r\n", CAUSE_BAD_REQUEST},
		{": y\r\n\r\n", CAUSE_BAD_REQUEST},
		{"X: \x01\r\n\r\n", CAUSE_BAD_REQUEST},
		{"\rX", CAUSE_BAD_REQUEST},
		{"GET / HTTP/1.1\r\n", CAUSE_BAD_REQUEST},
		{"A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", CAUSE_HEADERS_TOO_LARGE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_body body;
		struct h1_result r = read_trailers(cases[i].text, &body, &m);

		assert_int_equal(r.status, H1_BAD);
		assert_int_equal(r.cause, cases[i].cause);
	}
}

static void trailers_are_bounded(void **state)
{
	char text[1100];
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};
	struct h1_body body;

	memset(text, 'x', sizeof(text));
	memcpy(text, "X: ", 3);
	text[sizeof(text) - 1] = '\0';
	struct h1_result r = read_trailers(text, &body, &m);

	assert_int_equal(r.status, H1_BAD);
	assert_int_equal(r.cause, CAUSE_HEADERS_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunked_in_all_splits),
		cmocka_unit_test(chunk_lines_are_bounded),
		cmocka_unit_test(extensions_are_bounded_in_all),
		cmocka_unit_test(a_length_is_counted),
		cmocka_unit_test(no_content_is_done),
		cmocka_unit_test(until_close_ends_with_the_input),
		cmocka_unit_test(trailers_are_read),
		cmocka_unit_test(bad_trailers_are_refused),
		cmocka_unit_test(trailers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
