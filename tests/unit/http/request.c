/*
 * Request heads: what is read, what is refused and why, and that neither depends on how the bytes arrive.
 *
 * A case is the bytes and what must come of them. Every case is read whole, byte by byte, and from memory that ends
 * where the bytes end, so that a sanitizer sees a read behind them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1.h"

#define FIELD_MAX 100

static const struct h1_limits limits = {.head_bytes_max = 4096, .field_count_max = FIELD_MAX, .target_bytes_max = 1000};

/* Reads every prefix of `bytes`, each from memory of its own, until one is decided. The prefix's length is in *used. */
static struct h1_result read_growing(struct view bytes, const struct h1_limits *with, size_t *used)
{
	struct field fields[FIELD_MAX];
	struct h1_result r = {.status = H1_MORE};

	for (*used = 0; *used <= bytes.n; ++*used) {
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		char *copy = malloc(*used + (*used == 0));

		assert_non_null(copy);
		memcpy(copy, bytes.p, *used);
		r = h1_read_request(view_of(copy, *used), with, &m);
		free(copy);
		if (r.status != H1_MORE)
			return r;
	}
	return r;
}

static void assert_same(struct h1_result a, struct h1_result b)
{
	assert_int_equal(a.status, b.status);
	if (a.status == H1_DONE)
		assert_int_equal(a.consumed, b.consumed);
	if (a.status == H1_BAD) {
		assert_int_equal(a.cause, b.cause);
		assert_string_equal(a.why, b.why);
	}
}

/* The whole, and the same piecemeal. */
static struct h1_result read_both(struct view bytes, const struct h1_limits *with, struct message *m)
{
	size_t used;
	struct h1_result r = h1_read_request(bytes, with, m);

	assert_same(r, read_growing(bytes, with, &used));
	return r;
}

/* --- what is refused --------------------------------------------------------------------------------------------- */

struct refusal {
	const char *bytes;
	const char *why; /* a part of the sentence */
	size_t n; /* of `bytes`; 0: to its NUL */
};

#define HEAD(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define WITH_NUL(literal) literal, .n = sizeof(literal) - 1

static const struct refusal refusals[] = {
	/* framing */
	{HEAD("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "both"},
	{HEAD("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "both"},
	{HEAD("Content-Length: 5\r\nContent-Length: 6\r\n"), "more than one Content-Length"},
	{HEAD("Content-Length: 5\r\nContent-Length: 5\r\n"), "more than one Content-Length"},
	{HEAD("Content-Length: 5\r\ncontent-length: 5\r\n"), "more than one Content-Length"},
	{HEAD("Content-Length: +1\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: -1\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 0x10\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1,2\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 5, 5\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 5,\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: ,5\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1 2\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1\t\t2\r\n"), "Content-Length is not"},
	{HEAD("Content-Length:\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: \t \r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1.0\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1e3\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 1_000\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: \"5\"\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 5;\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: five\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: \xd9\xa5\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 9223372036854775808\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 18446744073709551615\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 18446744073709551616\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 18446744073709551621\r\n"), "Content-Length is not"},
	{HEAD("Content-Length: 99999999999999999999999999\r\n"), "Content-Length is not"},
	{HEAD("Transfer-Encoding: gzip\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: gzip, chunked\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked, gzip\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked, chunked\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked,\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: ,chunked\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: identity\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: xchunked\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunke\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: \"chunked\"\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked;q=1\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked\t x\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding:\r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: \r\n"), "not exactly chunked"},
	{HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "more than one Transfer-Encoding"},
	{HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), "more than one Transfer-Encoding"},
	{"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "in HTTP/1.0"},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", "in HTTP/1.0"},

	/* line ends */
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", "bare LF"},
	{"GET / HTTP/1.1\r\nHost: a\n\r\n", "bare LF"},
	{"GET / HTTP/1.1\r\nHost: a\r\n\n", "bare LF"},
	{"GET / HTTP/1.1\r\n\n", "bare LF"},
	{"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare LF"},
	{"GET /\n", "no version"},
	{"GET / HTTP/1.1\rHost: a\r\n\r\n", "CR is not followed"},
	{"GET / HTTP/1.1\r\rHost: a\r\n\r\n", "CR is not followed"},
	{"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "CR is not followed"},
	{"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "CR is not followed"},
	{"GET / HTTP/1.1\r\nHost: a\r\n\rX", "CR is not followed"},
	{"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "CR is not followed"},
	{HEAD("X: a\rb\r\n"), "CR is not followed"},
	{HEAD("X: a\nb: c\r\n"), "bare LF"},
	{HEAD("X\n: a\r\n"), "bare LF"},

	/* folding and blanks */
	{HEAD("X: a\r\n b\r\n"), "begins with a blank"},
	{HEAD("X: a\r\n\tb\r\n"), "begins with a blank"},
	{HEAD(" X: a\r\n"), "begins with a blank"},
	{HEAD("X:\r\n \r\n"), "begins with a blank"},
	{"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "begins with a blank"},
	{"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "begins with a blank"},
	{HEAD("X : a\r\n"), "blank before the colon"},
	{HEAD("X\t: a\r\n"), "blank before the colon"},
	{HEAD("Content-Length : 5\r\n"), "blank before the colon"},
	{HEAD("Transfer-Encoding : chunked\r\n"), "blank before the colon"},
	{HEAD("Transfer-Encoding\t: chunked\r\n"), "blank before the colon"},
	{HEAD("X Y: a\r\n"), "blank before the colon"},

	/* names and values */
	{HEAD(": a\r\n"), "empty name"},
	{HEAD(":\r\n"), "empty name"},
	{HEAD("X\r\n"), "no colon"},
	{HEAD("X(Y): a\r\n"), "field name"},
	{HEAD("X\"Y: a\r\n"), "field name"},
	{HEAD("X/Y: a\r\n"), "field name"},
	{HEAD("X@Y: a\r\n"), "field name"},
	{HEAD("X[0]: a\r\n"), "field name"},
	{HEAD("X{0}: a\r\n"), "field name"},
	{HEAD("X\\Y: a\r\n"), "field name"},
	{HEAD("X,Y: a\r\n"), "field name"},
	{HEAD("X;Y: a\r\n"), "field name"},
	{HEAD("X=Y: a\r\n"), "field name"},
	{HEAD("X<Y>: a\r\n"), "field name"},
	{HEAD("X?: a\r\n"), "field name"},
	{HEAD("X\x80: a\r\n"), "field name"},
	{HEAD("X\xff: a\r\n"), "field name"},
	{HEAD("\xef\xbb\xbfX: a\r\n"), "field name"},
	{HEAD("X\x7f: a\r\n"), "field name"},
	{HEAD("X\x01: a\r\n"), "field name"},
	{HEAD("X\v: a\r\n"), "field name"},
	{HEAD("\vX: a\r\n"), "field name"},
	{HEAD("A-Long-Enough-Name-For-The-Fast-Path\x01: a\r\n"), "field name"},
	{WITH_NUL(HEAD("X\0: a\r\n")), .why = "field name"},
	{WITH_NUL(HEAD("X: a\0b\r\n")), .why = "field value"},
	{WITH_NUL(HEAD("X: \0\r\n")), .why = "field value"},
	{HEAD("X: a\x01\r\n"), "field value"},
	{HEAD("X: a\x08\r\n"), "field value"},
	{HEAD("X: a\v\r\n"), "field value"},
	{HEAD("X: a\f\r\n"), "field value"},
	{HEAD("X: a\x1b[31m\r\n"), "field value"},
	{HEAD("X: a\x1f\r\n"), "field value"},
	{HEAD("X: a\x7f\r\n"), "field value"},
	{HEAD("X: 0123456789abcdef0123456789abcdef\x7f\r\n"), "field value"},
	{HEAD("X: 0123456789abcdef0123456789\tabcdef\x01\r\n"), "field value"},

	/* the request line */
	{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1.9\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/3\r\nHost: a\r\n\r\n", "version"},
	{"GET / http/1.1\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1.\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1.01\r\nHost: a\r\n\r\n", "after the version"},
	{"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "after the version"},
	{"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", "version"},
	{"GET / ICY/1.1\r\nHost: a\r\n\r\n", "version"},
	{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "after the version"},
	{"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", "after the version"},
	{"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", "after the version"},
	{"GET /\r\n", "no version"},
	{"GET / \r\n", "version"},
	{"GET\r\n", "method and a space"},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "more than one space"},
	{"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "version"},
	{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "control character"},
	{"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "version"},
	{" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"GET\x80 / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "control character"},
	{"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "control character"},
	{"GET /0123456789abcdef0123456789abcdef\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "control character"},
	{"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n", "control character"},
	{WITH_NUL("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), .why = "control character"},
	{WITH_NUL("\0GET / HTTP/1.1\r\nHost: a\r\n\r\n"), .why = "method and a space"},
	{WITH_NUL("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"), .why = "method and a space"},
	{"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method and a space"},
	{"\x16\x03\x01\x02", "method and a space"}, /* a TLS ClientHello */
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"},
	{"HTTP/1.1 200 OK\r\n\r\n", "method and a space"},

	/* Host */
	{"GET / HTTP/1.1\r\n\r\n", "no Host"},
	{"GET / HTTP/1.1\r\nX: a\r\n\r\n", "no Host"},
	{"GET http://a/ HTTP/1.1\r\n\r\n", "no Host"},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host"},
	{"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", "more than one Host"},
	{"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "more than one Host"},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", "host is empty"},
	{"GET / HTTP/1.1\r\nHost: \t\r\n\r\n", "host is empty"},
	{"GET / HTTP/1.0\r\nHost:\r\n\r\n", "host is empty"},
};

static void refuses(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *c = &refusals[i];
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_result r = read_both(view_of(c->bytes, c->n != 0 ? c->n : strlen(c->bytes)), &limits, &m);

		if (r.status != H1_BAD || r.cause != CAUSE_BAD_REQUEST || strstr(r.why, c->why) == NULL)
			fail_msg("case %zu, %s: expected \"%s\", status %d, why \"%s\"", i, c->bytes, c->why, r.status,
				r.status == H1_BAD ? r.why : "");
	}
}

/* A fault is refused when its byte arrives, not when the head is complete. */
static void refuses_early(void **state)
{
	static const struct {
		const char *bytes;
		size_t used;
	} cases[] = {
		{"GET / HTTP/2.0\r\n", 12},
		{"GET / HTP/1.1\r\n", 9},
		{" GET", 1},
		{"GET  /", 5},
		{"GET / HTTP/1.1\nX", 15},
		{"GET / HTTP/1.1\rX", 16},
		{"GET / HTTP/1.1\r\nHost : a", 21},
		{"GET / HTTP/1.1\r\nHost: a\x01 b", 24},
		{"GET / HTTP/1.1\r\nHost: a\r\n fold", 26},
		{"GET / HTTP/1.1\r\nContent-Length: +1\r\nX: y", 36},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: y", 34},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t used;

		assert_int_equal(read_growing(view_str(cases[i].bytes), &limits, &used).status, H1_BAD);
		assert_int_equal(used, cases[i].used);
	}
}

/* --- what is read ------------------------------------------------------------------------------------------------ */

struct reading {
	const char *bytes;
	unsigned minor;
	enum method method;
	enum framing framing;
	uint64_t content_length;
	unsigned keep_alive, expect_continue, has_upgrade;
	uint32_t field_count;
	const char *host;
};

#define GET_11(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define GET_10(fields) "GET / HTTP/1.0\r\n" fields "\r\n"
#define LARGE UINT64_C(9223372036854775807)

static const struct reading readings[] = {
	{GET_11(""), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a"},
	{GET_10(""), 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"\r\n" GET_11(""), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a"},

	/* methods */
	{"HEAD / HTTP/1.0\r\n\r\n", 0, METHOD_HEAD, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"POST / HTTP/1.0\r\n\r\n", 0, METHOD_POST, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"PUT / HTTP/1.0\r\n\r\n", 0, METHOD_PUT, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"DELETE / HTTP/1.0\r\n\r\n", 0, METHOD_DELETE, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"PATCH / HTTP/1.0\r\n\r\n", 0, METHOD_PATCH, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"OPTIONS * HTTP/1.0\r\n\r\n", 0, METHOD_OPTIONS, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"CONNECT a:1 HTTP/1.0\r\n\r\n", 0, METHOD_CONNECT, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"TRACE / HTTP/1.0\r\n\r\n", 0, METHOD_TRACE, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"get / HTTP/1.0\r\n\r\n", 0, METHOD_OTHER, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"GETS / HTTP/1.0\r\n\r\n", 0, METHOD_OTHER, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"!#$%&'*+-.^_`|~09azAZ / HTTP/1.0\r\n\r\n", 0, METHOD_OTHER, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"P / HTTP/1.0\r\n\r\n", 0, METHOD_OTHER, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"GET ! HTTP/1.0\r\n\r\n", 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 0, ""},
	{"GET /\xff\x80\"<> HTTP/1.0\r\n\r\n", 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 0, ""},

	/* framing */
	{GET_11("Content-Length: 0\r\n"), 1, METHOD_GET, FRAMING_LENGTH, 0, 1, 0, 0, 2, "a"},
	{GET_11("Content-Length: 5\r\n"), 1, METHOD_GET, FRAMING_LENGTH, 5, 1, 0, 0, 2, "a"},
	{GET_11("content-length:5\r\n"), 1, METHOD_GET, FRAMING_LENGTH, 5, 1, 0, 0, 2, "a"},
	{GET_11("CONTENT-LENGTH: \t 0005 \t\r\n"), 1, METHOD_GET, FRAMING_LENGTH, 5, 1, 0, 0, 2, "a"},
	{GET_11("Content-Length: 9223372036854775807\r\n"), 1, METHOD_GET, FRAMING_LENGTH, LARGE, 1, 0, 0, 2, "a"},
	{GET_10("Content-Length: 5\r\n"), 0, METHOD_GET, FRAMING_LENGTH, 5, 0, 0, 0, 1, ""},
	{GET_11("Transfer-Encoding: chunked\r\n"), 1, METHOD_GET, FRAMING_CHUNKED, 0, 1, 0, 0, 2, "a"},
	{GET_11("transfer-encoding:\tCHUNKED \r\n"), 1, METHOD_GET, FRAMING_CHUNKED, 0, 1, 0, 0, 2, "a"},
	{GET_11("X-Content-Length: 5\r\nTransfer_Encoding: gzip\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 3, "a"},

	/* Connection */
	{GET_11("Connection: close\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 2, "a"},
	{GET_11("Connection: CLOSE\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 2, "a"},
	{GET_11("Connection: keep-alive\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("Connection: keep-alive, close\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 2, "a"},
	{GET_11("Connection: close\r\nConnection: keep-alive\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 3, "a"},
	{GET_11("Connection: ,, close ,\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 2, "a"},
	{GET_11("Connection: closed\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("Connection:\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("Proxy-Connection: close\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_10("Connection: keep-alive\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, ""},
	{GET_10("Connection: Keep-Alive\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, ""},
	{GET_10("Connection: keep-alive, close\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 1, ""},
	{GET_10("Connection: x, keep-alive\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, ""},

	/* Expect and Upgrade */
	{GET_11("Expect: 100-continue\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 1, 0, 2, "a"},
	{GET_11("Expect: 100-Continue\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 1, 0, 2, "a"},
	{GET_11("Expect: x, 100-continue\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 1, 0, 2, "a"},
	{GET_11("Expect: 200-ok\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_10("Expect: 100-continue\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 1, ""},
	{GET_11("Upgrade: websocket\r\nConnection: Upgrade\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 1, 3, "a"},
	{GET_11("Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 1, 3,
		"a"},
	{GET_11("Upgrade: websocket\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("Connection: upgrade\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("Connection: upgrade\r\nUpgrade:\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 3, "a"},
	{GET_10("Connection: upgrade\r\nUpgrade: websocket\r\n"), 0, METHOD_GET, FRAMING_NONE, 0, 0, 0, 0, 2, ""},

	/* Host */
	{"GET / HTTP/1.1\r\nHost: Example.COM:8080\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1,
		"Example.COM:8080"},
	{"GET / HTTP/1.1\r\nHOST:127.0.0.1\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "127.0.0.1"},
	{"GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "[::1]:80"},
	{"GET / HTTP/1.1\r\nhost: [2001:DB8::1]\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "[2001:DB8::1]"},
	{"GET / HTTP/1.1\r\nhost: a_b-c~d.e.\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a_b-c~d.e."},
	{"GET / HTTP/1.1\r\nhost: a:\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a:"},
	/* what Host holds is judged with the target */
	{"GET / HTTP/1.1\r\nhost: a, b@c\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a, b@c"},
	{"GET / HTTP/1.1\r\nhost: a:65535\r\n\r\n", 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 1, "a:65535"},

	/* bytes that are allowed */
	{GET_11("!#$%&'*+-.^_`|~: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2,
		"a"},
	{GET_11("X: \x80\xff\xc3\xbc\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("X: a\tb \t c\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
	{GET_11("X:\r\nY: \r\nZ:\t\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 4, "a"},
	{GET_11("X:: :\r\n"), 1, METHOD_GET, FRAMING_NONE, 0, 1, 0, 0, 2, "a"},
};

static void assert_reading(const struct reading *c, const struct message *m)
{
	assert_int_equal(m->minor, c->minor);
	assert_int_equal(m->method, c->method);
	assert_int_equal(m->framing, c->framing);
	assert_int_equal(m->content_length, c->content_length);
	assert_int_equal(m->has_length, c->framing == FRAMING_LENGTH);
	assert_int_equal(m->keep_alive, c->keep_alive);
	assert_int_equal(m->expect_continue, c->expect_continue);
	assert_int_equal(m->has_upgrade, c->has_upgrade);
	assert_int_equal(m->field_count, c->field_count);
	assert_true(view_eq(m->host, view_str(c->host)));
}

static void reads(void **state)
{
	for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++) {
		const struct reading *c = &readings[i];
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_result r = read_both(view_str(c->bytes), &limits, &m);

		if (r.status != H1_DONE)
			fail_msg("case %zu, %s: status %d, why \"%s\"", i, c->bytes, r.status,
				r.status == H1_BAD ? r.why : "");
		assert_int_equal(r.consumed, strlen(c->bytes));
		assert_reading(c, &m);
	}
}

static void views_point_into_the_bytes(void **state)
{
	static const char bytes[] = "\r\nPOST /p?q HTTP/1.1\r\nHost:  h \r\nX-Empty:\r\nAccept: a, b\t\r\n\r\nGET /";
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};
	struct h1_result r = read_both(
		VIEW("\r\nPOST /p?q HTTP/1.1\r\nHost:  h \r\nX-Empty:\r\nAccept: a, b\t\r\n\r\nGET /"), &limits, &m);

	assert_int_equal(r.status, H1_DONE);
	assert_int_equal(r.consumed, sizeof(bytes) - 1 - 5);
	assert_int_equal(m.head.n, r.consumed - 2);
	assert_true(view_starts(m.head, VIEW("POST ")));
	assert_true(view_eq(view_from(m.head, m.head.n - 4), VIEW("\r\n\r\n")));
	assert_true(view_eq(m.method_name, VIEW("POST")));
	assert_true(view_eq(m.target, VIEW("/p?q")));
	assert_true(view_eq(m.host, VIEW("h")));
	assert_int_equal(m.field_count, 3);
	assert_true(view_eq(field_name(&fields[0]), VIEW("Host")));
	assert_int_equal(fields[0].id, FIELD_HOST);
	assert_true(view_eq(field_name(&fields[1]), VIEW("X-Empty")));
	assert_true(view_eq(field_value(&fields[1]), VIEW("")));
	assert_int_equal(fields[1].id, FIELD_OTHER);
	assert_true(view_eq(field_value(&fields[2]), VIEW("a, b")));
	assert_false(fields[2].dropped);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static void limits_hold(void **state)
{
	static const char head[] = "GET /123456789 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
	size_t n = sizeof(head) - 1;
	const struct {
		struct h1_limits limits;
		enum h1_status status;
		enum cause cause;
	} cases[] = {
		{{(uint32_t)n, 2, 10}, H1_DONE, CAUSE_NONE},
		{{(uint32_t)n - 1, 2, 10}, H1_BAD, CAUSE_HEADERS_TOO_LARGE},
		{{20, 2, 10}, H1_BAD, CAUSE_HEADERS_TOO_LARGE},
		{{3, 2, 10}, H1_BAD, CAUSE_HEADERS_TOO_LARGE},
		{{(uint32_t)n, 1, 10}, H1_BAD, CAUSE_HEADERS_TOO_LARGE},
		{{(uint32_t)n, 2, 9}, H1_BAD, CAUSE_URI_TOO_LONG},
		{{(uint32_t)n, 2, 1}, H1_BAD, CAUSE_URI_TOO_LONG},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_result r = read_both(view_of(head, n), &cases[i].limits, &m);

		assert_int_equal(r.status, cases[i].status);
		if (r.status == H1_BAD)
			assert_int_equal(r.cause, cases[i].cause);
	}
}

/* As many bytes as a head may have, and no end among them: more cannot help. */
static void an_incomplete_head_of_the_limit_is_too_large(void **state)
{
	const struct h1_limits small = {.head_bytes_max = 20, .field_count_max = 10, .target_bytes_max = 10};
	static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};

	assert_int_equal(h1_read_request(view_of(head, 19), &small, &m).status, H1_MORE);
	struct h1_result r = h1_read_request(view_of(head, 20), &small, &m);

	assert_int_equal(r.status, H1_BAD);
	assert_int_equal(r.cause, CAUSE_HEADERS_TOO_LARGE);
}

/* What stands behind the limit is not looked at, so that it cannot change the answer. */
static void bytes_behind_the_limit_do_not_count(void **state)
{
	const struct h1_limits small = {.head_bytes_max = 30, .field_count_max = 10, .target_bytes_max = 10};
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};
	struct h1_result r = read_both(VIEW("GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaa\x01\r\n\r\n"), &small, &m);

	assert_int_equal(r.status, H1_BAD);
	assert_int_equal(r.cause, CAUSE_HEADERS_TOO_LARGE);
}

static void a_name_of_64_kib_is_refused(void **state)
{
	const struct h1_limits large = {.head_bytes_max = 256 * 1024, .field_count_max = 10, .target_bytes_max = 100};
	static const char start[] = "GET / HTTP/1.1\r\nHost: a\r\n";
	size_t n = sizeof(start) - 1 + 65536 + 7;
	char *bytes = malloc(n);
	struct field fields[FIELD_MAX];

	assert_non_null(bytes);
	memset(bytes, 'x', n);
	memcpy(bytes, start, sizeof(start) - 1);
	memcpy(bytes + n - 7, ": v\r\n\r\n", 7);
	struct message m = {.fields = fields, .field_max = FIELD_MAX};
	struct h1_result r = h1_read_request(view_of(bytes, n), &large, &m);

	assert_int_equal(r.status, H1_BAD);
	assert_int_equal(r.cause, CAUSE_HEADERS_TOO_LARGE);
	/* One byte less is a name like any other. */
	memcpy(bytes + n - 8, ": v\r\n\r\n", 7);
	m = (struct message){.fields = fields, .field_max = FIELD_MAX};
	assert_int_equal(h1_read_request(view_of(bytes, n - 1), &large, &m).status, H1_DONE);
	assert_int_equal(fields[1].name_len, 65535);
	free(bytes);
}

/* Every byte in every place of a long value and a long name, so that the wide scan and the table agree. */
static void every_byte_is_classified(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		for (size_t at = 0; at < 40; at++) {
			char bytes[128] = "GET / HTTP/1.0\r\n";
			struct field fields[FIELD_MAX];
			struct message m = {.fields = fields, .field_max = FIELD_MAX};
			size_t n = strlen(bytes);

			memset(bytes + n, 'v', 90);
			memcpy(bytes + n, "X: ", 3);
			bytes[n + 4 + at] = (char)c;
			memcpy(bytes + n + 60, "\r\n\r\n", 4);
			bool allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
			struct h1_result r = h1_read_request(view_of(bytes, n + 64), &limits, &m);

			assert_int_equal(r.status, allowed ? H1_DONE : H1_BAD);

			memset(bytes + n, 'n', 90);
			bytes[n + 1 + at] = (char)c;
			memcpy(bytes + n + 60, ": v\r\n\r\n", 7);
			allowed = c > 0x20 && c < 0x7f && strchr("\"(),/;<=>?@[\\]{}", (int)c) == NULL;
			m = (struct message){.fields = fields, .field_max = FIELD_MAX};
			r = h1_read_request(view_of(bytes, n + 67), &limits, &m);
			assert_int_equal(r.status, allowed ? H1_DONE : H1_BAD);
			if (allowed)
				assert_int_equal(fields[0].name_len, c == ':' ? at + 1 : 60);
		}
	}
}

static void nothing_is_more(void **state)
{
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};

	assert_int_equal(h1_read_request(view_of(NULL, 0), &limits, &m).status, H1_MORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_early),
		cmocka_unit_test(reads),
		cmocka_unit_test(views_point_into_the_bytes),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(an_incomplete_head_of_the_limit_is_too_large),
		cmocka_unit_test(bytes_behind_the_limit_do_not_count),
		cmocka_unit_test(a_name_of_64_kib_is_refused),
		cmocka_unit_test(every_byte_is_classified),
		cmocka_unit_test(nothing_is_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
