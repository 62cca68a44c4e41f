/*
 * Response heads: the status line, the framing that goes with status and request method, and what is refused. A
 * refusal is the upstream's fault whatever it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1.h"

#define FIELD_MAX 100

static const struct h1_limits limits = {.head_bytes_max = 4096, .field_count_max = FIELD_MAX};

/* Reads whole and from every prefix, which must come to the same. */
static struct h1_result read_both(struct view bytes, enum method method, struct message *m)
{
	struct h1_result r = h1_read_response(bytes, &limits, method, m);
	struct field fields[FIELD_MAX];

	for (size_t n = 0; n <= bytes.n; n++) {
		struct message part = {.fields = fields, .field_max = FIELD_MAX};
		char *copy = malloc(n + (n == 0));

		assert_non_null(copy);
		memcpy(copy, bytes.p, n);
		struct h1_result q = h1_read_response(view_of(copy, n), &limits, method, &part);

		free(copy);
		if (q.status == H1_MORE)
			continue;
		assert_int_equal(q.status, r.status);
		if (q.status == H1_BAD)
			assert_string_equal(q.why, r.why);
		else
			assert_int_equal(q.consumed, r.consumed);
		break;
	}
	return r;
}

static const struct {
	const char *bytes;
	const char *why;
	enum method method;
} refusals[] = {
	{"HTTP/1.1 099 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 000 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 600 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 999 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 20 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 2 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 2000 X\r\n\r\n", "status line has a character"},
	{"HTTP/1.1 20x X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 +20 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1  200 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1\t200 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1200 X\r\n\r\n", "status from 100"},
	{"HTTP/1.1 200\tX\r\n\r\n", "status line has a character"},
	{"HTTP/1.1 200 a\x01\r\n\r\n", "status line has a character"},
	{"HTTP/1.1 200 a\x7f\r\n\r\n", "status line has a character"},
	{"HTTP/1.1 200 OK\n\r\n", "bare LF"},
	{"HTTP/1.1 200\n", "bare LF"},
	{"HTTP/1.1 200 OK\rX", "CR is not"},
	{"HTTP/1.1 200 OK\r\n\n", "bare LF"},
	{"HTTP/1.1\r\n", "status from 100"},
	{"HTTP/1.2 200 OK\r\n\r\n", "version"},
	{"HTTP/2 200\r\n\r\n", "version"},
	{"HTTP/2.0 200 OK\r\n\r\n", "version"},
	{"HTTP/0.9 200 OK\r\n\r\n", "version"},
	{"http/1.1 200 OK\r\n\r\n", "version"},
	{"ICY 200 OK\r\n\r\n", "version"},
	{" HTTP/1.1 200 OK\r\n\r\n", "version"},
	{"\r\nHTTP/1.1 200 OK\r\n\r\n", "version"},
	{"<html>", "version"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "both"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both", METHOD_HEAD},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "more than one Content-Length"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "Content-Length is not"},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is not"},
	{"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "Content-Length is not"},
	{"HTTP/1.1 304 X\r\nContent-Length: x\r\n\r\n", "Content-Length is not"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not exactly chunked"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "not exactly chunked"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n", "not exactly chunked"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "not exactly chunked"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "not exactly chunked", METHOD_HEAD},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"more than one Transfer"},
	{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "in HTTP/1.0"},
	{"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "1xx or 204"},
	{"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "1xx or 204"},
	{"HTTP/1.1 101 X\r\nTransfer-Encoding: chunked\r\n\r\n", "1xx or 204"},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "1xx or 204"},
	{"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", "1xx or 204"},
	{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "1xx or 204", METHOD_HEAD},
	{"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "blank before the colon"},
	{"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "begins with a blank"},
	{"HTTP/1.1 200 OK\r\n X: y\r\n\r\n", "begins with a blank"},
	{"HTTP/1.1 200 OK\r\nX\r\n\r\n", "no colon"},
	{"HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n", "control character"},
};

static void refuses(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_result r = read_both(view_str(refusals[i].bytes), refusals[i].method, &m);

		if (r.status != H1_BAD || r.cause != CAUSE_UPSTREAM_BAD_RESPONSE ||
			strstr(r.why, refusals[i].why) == NULL)
			fail_msg("case %zu, %s: expected \"%s\", status %d, why \"%s\"", i, refusals[i].bytes,
				refusals[i].why, r.status, r.status == H1_BAD ? r.why : "");
	}
}

struct reading {
	const char *bytes;
	enum method method; /* of the request */
	unsigned status;
	const char *reason;
	enum framing framing;
	uint64_t content_length;
	unsigned has_length, keep_alive, has_upgrade;
};

static const struct reading readings[] = {
	/* reason phrases */
	{"HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 200 \r\n\r\n", METHOD_GET, 200, "", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 200\r\n\r\n", METHOD_GET, 200, "", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 200 Sch\xf6n \t gut\r\n\r\n", METHOD_GET, 200, "Sch\xf6n \t gut", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 599 \r\n\r\n", METHOD_GET, 599, "", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 299 \r\n\r\n", METHOD_GET, 299, "", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},

	/* framing */
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_LENGTH, 5, 1, 1, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_LENGTH, 0, 1, 1, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_CHUNKED, 0, 0, 1, 0},
	{"HTTP/1.0 200 OK\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_LENGTH, 5, 1, 0, 0},
	{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", METHOD_GET, 200, "OK",
		FRAMING_LENGTH, 5, 1, 1, 0},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_LENGTH, 5,
		1, 0, 0},
	{"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", METHOD_GET, 200, "OK", FRAMING_UNTIL_CLOSE, 0, 0, 0, 0},
	{"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n", METHOD_GET, 205, "X", FRAMING_LENGTH, 0, 1, 1, 0},

	/* no content whatever the fields say */
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_HEAD, 200, "OK", FRAMING_NONE, 5, 1, 1, 0},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, 200, "OK", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 200 OK\r\n\r\n", METHOD_HEAD, 200, "OK", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", METHOD_GET, 304, "X", FRAMING_NONE, 5, 1, 1, 0},
	{"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, 304, "X", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 304 X\r\n\r\n", METHOD_GET, 304, "X", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 204 X\r\n\r\n", METHOD_GET, 204, "X", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n", METHOD_GET, 204, "X", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, 100, "Continue", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", METHOD_POST, 100, "Continue", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", METHOD_GET, 103, "Early Hints", FRAMING_NONE, 0, 0, 1, 0},
	{"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", METHOD_GET, 101, "X", FRAMING_NONE, 0,
		0, 1, 1},
	{"HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n", METHOD_GET, 101, "X", FRAMING_NONE, 0, 0, 1, 0},

	/* a Host in a response means nothing */
	{"HTTP/1.1 204 X\r\nHost: a b\r\nHost:\r\n\r\n", METHOD_GET, 204, "X", FRAMING_NONE, 0, 0, 1, 0},
};

static void reads(void **state)
{
	for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++) {
		const struct reading *c = &readings[i];
		struct field fields[FIELD_MAX];
		struct message m = {.fields = fields, .field_max = FIELD_MAX};
		struct h1_result r = read_both(view_str(c->bytes), c->method, &m);

		if (r.status != H1_DONE)
			fail_msg("case %zu, %s: status %d, why \"%s\"", i, c->bytes, r.status,
				r.status == H1_BAD ? r.why : "");
		assert_int_equal(r.consumed, strlen(c->bytes));
		assert_int_equal(m.head.n, strlen(c->bytes));
		assert_int_equal(m.status, c->status);
		assert_true(view_eq(m.reason, view_str(c->reason)));
		assert_int_equal(m.framing, c->framing);
		assert_int_equal(m.content_length, c->content_length);
		assert_int_equal(m.has_length, c->has_length);
		assert_int_equal(m.keep_alive, c->keep_alive);
		assert_int_equal(m.has_upgrade, c->has_upgrade);
	}
}

/* RFC 9110 §8.6: a Content-Length that must not be there is not passed on. */
static void a_length_of_nothing_is_dropped(void **state)
{
	struct field fields[FIELD_MAX];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};

	read_both(VIEW("HTTP/1.1 204 X\r\nA: b\r\nContent-Length: 0\r\n\r\n"), METHOD_GET, &m);
	assert_int_equal(m.field_count, 2);
	assert_false(fields[0].dropped);
	assert_true(fields[1].dropped);
	m = (struct message){.fields = fields, .field_max = FIELD_MAX};
	read_both(VIEW("HTTP/1.1 304 X\r\nA: b\r\nContent-Length: 0\r\n\r\n"), METHOD_GET, &m);
	assert_false(fields[1].dropped);
}

static void limits_hold(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
	struct field fields[2];
	const struct {
		struct h1_limits limits;
		enum h1_status status;
	} cases[] = {
		{{sizeof(head) - 1, 2, 0}, H1_DONE},
		{{sizeof(head) - 2, 2, 0}, H1_BAD},
		{{sizeof(head) - 1, 1, 0}, H1_BAD},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message m = {.fields = fields, .field_max = 2};
		struct h1_result r = h1_read_response(view_str(head), &cases[i].limits, METHOD_GET, &m);

		assert_int_equal(r.status, cases[i].status);
		if (r.status == H1_BAD)
			assert_int_equal(r.cause, CAUSE_UPSTREAM_BAD_RESPONSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(reads),
		cmocka_unit_test(a_length_of_nothing_is_dropped),
		cmocka_unit_test(limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
