/*
 * Writing: the exact bytes, memory that ends anywhere, and that what was written reads back as the same message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/date.h"
#include "http/h1.h"

static struct h1_writer writer_of(char *p, size_t n)
{
	return (struct h1_writer){.p = p, .end = p + n};
}

static void put_request(struct h1_writer *w)
{
	h1_put_request_line(w, VIEW("GET"), VIEW("/a?b"));
	h1_put_field(w, VIEW("Host"), VIEW("h"));
	h1_put_field(w, VIEW("X-Empty"), VIEW(""));
	h1_put_length(w, 18446744073709551615u);
	h1_put(w, VIEW("\r\n"));
}

static const char request[] =
	"GET /a?b HTTP/1.1\r\nHost: h\r\nX-Empty: \r\nContent-Length: 18446744073709551615\r\n\r\n";

static void a_request_is_written(void **state)
{
	char text[256];
	struct h1_writer w = writer_of(text, sizeof(text));

	put_request(&w);
	assert_false(h1_is_full(&w));
	assert_true(view_eq(view_of(text, (size_t)(w.p - text)), view_str(request)));
}

/* Too little memory by any amount is full, and nothing is written behind it. */
static void full_is_full(void **state)
{
	for (size_t n = 0; n <= sizeof(request); n++) {
		char *text = malloc(n + (n == 0));
		struct h1_writer w = writer_of(text, n);

		assert_non_null(text);
		put_request(&w);
		assert_int_equal(h1_is_full(&w), n < sizeof(request) - 1);
		free(text);
	}
}

static void status_lines(void **state)
{
	static const struct {
		unsigned status;
		const char *reason;
		const char *line;
	} cases[] = {
		{200, "", "HTTP/1.1 200 OK\r\n"},
		{200, "Fine", "HTTP/1.1 200 Fine\r\n"},
		{100, "", "HTTP/1.1 100 Continue\r\n"},
		{103, "", "HTTP/1.1 103 Early Hints\r\n"},
		{503, "", "HTTP/1.1 503 Service Unavailable\r\n"},
		{511, "", "HTTP/1.1 511 Network Authentication Required\r\n"},
		{299, "", "HTTP/1.1 299 \r\n"},
		{599, "", "HTTP/1.1 599 \r\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[128];
		struct h1_writer w = writer_of(text, sizeof(text));

		h1_put_status_line(&w, cases[i].status, view_str(cases[i].reason));
		assert_true(view_eq(view_of(text, (size_t)(w.p - text)), view_str(cases[i].line)));
	}
	assert_null(h1_reason(0));
	assert_null(h1_reason(599));
	assert_null(h1_reason(100000));
}

static void numbers(void **state)
{
	static const uint64_t cases[] = {0, 1, 9, 10, 99, 100, 12345, 4294967295u, 4294967296u, UINT64_MAX};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[32], expected[32];
		struct h1_writer w = writer_of(text, sizeof(text));

		h1_put_u64(&w, cases[i]);
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)cases[i]);
		assert_true(view_eq(view_of(text, (size_t)(w.p - text)), view_str(expected)));
	}
}

static void chunk_prefixes(void **state)
{
	static const size_t cases[] = {0, 1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65536, 0x1a2b, SIZE_MAX};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[H1_CHUNK_PREFIX_MAX], expected[32];

		snprintf(expected, sizeof(expected), "%zx\r\n", cases[i]);
		assert_true(view_eq(view_of(text, h1_chunk_prefix(text, cases[i])), view_str(expected)));
	}
}

/* Dropped fields are left out, the others keep their case and order; blanks around values are not kept. */
static void fields_are_written(void **state)
{
	static const struct h1_limits limits = {.head_bytes_max = 4096, .field_count_max = 10, .target_bytes_max = 100};
	struct field fields[10];
	struct message m = {.fields = fields, .field_max = 10};
	char text[256];
	struct h1_writer w = writer_of(text, sizeof(text));

	assert_int_equal(
		h1_read_request(VIEW("GET / HTTP/1.1\r\nhOST:h\r\nA:  b\t\r\nDrop: x\r\nC: \td e \r\nEmpty:\r\n"
				     "Last: l\r\n\r\n"),
			&limits, &m)
			.status,
		H1_DONE);
	fields[2].dropped = true;
	h1_put_fields(&w, &m);
	assert_true(view_eq(
		view_of(text, (size_t)(w.p - text)), VIEW("hOST: h\r\nA: b\r\nC: d e\r\nEmpty: \r\nLast: l\r\n")));
}

/* RFC 9110 §5.6.7 has the second one as its example. */
static void dates(void **state)
{
	static const struct {
		uint64_t unix_s;
		const char *text;
	} cases[] = {
		{0, "Thu, 01 Jan 1970 00:00:00 GMT"},
		{784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
		{951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
		{951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
		{253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
	};
	char text[HTTP_DATE_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_true(view_eq(http_date(text, cases[i].unix_s), view_str(cases[i].text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_written),
		cmocka_unit_test(full_is_full),
		cmocka_unit_test(status_lines),
		cmocka_unit_test(numbers),
		cmocka_unit_test(chunk_prefixes),
		cmocka_unit_test(fields_are_written),
		cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
