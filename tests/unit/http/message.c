/*
 * What is done with a head between reading and writing: ids, copies, finding, adding, dropping.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/h1.h"

#define FIELD_MAX 200

static const struct h1_limits limits = {.head_bytes_max = 8192, .field_count_max = FIELD_MAX, .target_bytes_max = 1000};

static struct field fields[FIELD_MAX];

/* A message from a request with these field lines, its fields in `fields`. */
static struct message message_of(const char *lines)
{
	static char bytes[8192];
	struct message m = {.fields = fields, .field_max = FIELD_MAX};
	int n = snprintf(bytes, sizeof(bytes), "GET /t HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);

	assert_true(n > 0 && (size_t)n < sizeof(bytes));
	assert_int_equal(h1_read_request(view_of(bytes, (size_t)n), &limits, &m).status, H1_DONE);
	return m;
}

/* The names that are left, each followed by a blank. */
static const char *names_left(const struct message *m)
{
	static char text[4096];
	size_t n = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];

		if (!f->dropped)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", f->name_len, f->name);
	}
	text[n] = '\0';
	return text;
}

/* --- ids --------------------------------------------------------------------------------------------------------- */

#define NAME(suffix, name) name,
static const char *const names[] = {FIELDS(NAME)};
#undef NAME

static void every_name_has_its_id(void **state)
{
	for (unsigned id = 1; id < FIELD_COUNT; id++) {
		char upper[32] = "";

		for (size_t i = 0; names[id][i] != '\0'; i++)
			upper[i] = (char)toupper((unsigned char)names[id][i]);
		assert_int_equal(field_id(view_str(names[id])), id);
		assert_int_equal(field_id(view_str(upper)), id);
	}
}

/* No name that differs in one byte, or is longer or shorter, has an id. */
static void nearly_a_name_is_other(void **state)
{
	for (unsigned id = 1; id < FIELD_COUNT; id++) {
		char name[32];
		size_t n = strlen(names[id]);

		memcpy(name, names[id], n + 1);
		assert_int_not_equal(field_id(view_of(name, n - 1)), id);
		assert_int_not_equal(field_id(view_of(name, n + 1)), id);
		for (size_t i = 0; i < n; i++) {
			for (unsigned c = 0; c < 256; c++) {
				name[i] = (char)c;
				bool same = tolower((int)c) == names[id][i];

				assert_int_equal(field_id(view_of(name, n)) == id, same);
			}
			name[i] = names[id][i];
		}
	}
	assert_int_equal(field_id(view_of(NULL, 0)), FIELD_OTHER);
	assert_int_equal(field_id(VIEW("a")), FIELD_OTHER);
	assert_int_equal(field_id(VIEW("a-name-that-is-longer-than-all-of-them")), FIELD_OTHER);
}

static void methods_are_case_sensitive(void **state)
{
	static const struct {
		const char *name;
		enum method method;
	} cases[] = {
		{"GET", METHOD_GET},
		{"HEAD", METHOD_HEAD},
		{"POST", METHOD_POST},
		{"PUT", METHOD_PUT},
		{"DELETE", METHOD_DELETE},
		{"PATCH", METHOD_PATCH},
		{"OPTIONS", METHOD_OPTIONS},
		{"CONNECT", METHOD_CONNECT},
		{"TRACE", METHOD_TRACE},
		{"get", METHOD_OTHER},
		{"Get", METHOD_OTHER},
		{"GE", METHOD_OTHER},
		{"GETT", METHOD_OTHER},
		{"", METHOD_OTHER},
		{"POTT", METHOD_OTHER},
		{"OPTIONZ", METHOD_OTHER},
		{"OPTIXNS", METHOD_OTHER},
		{"PROPFIND", METHOD_OTHER},
		{"DELET", METHOD_OTHER},
		{"XELETE", METHOD_OTHER},
		{"DELXTE", METHOD_OTHER},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(method_of(view_str(cases[i].name)), cases[i].method);
}

/* --- copies ------------------------------------------------------------------------------------------------------ */

static void a_copy_stands_on_its_own(void **state)
{
	char first[64];
	struct arena arena;
	char *bytes = strdup("POST /path HTTP/1.1\r\nHost: h:1\r\nA: b\r\nEmpty:\r\n\r\n");
	struct message from = {.fields = fields, .field_max = FIELD_MAX}, to;

	assert_non_null(bytes);
	assert_int_equal(h1_read_request(view_str(bytes), &limits, &from).status, H1_DONE);
	arena_init(&arena, first, sizeof(first), 4096);
	assert_true(message_copy(&to, &from, &arena, 2));
	free(bytes);
	memset(fields, 0xff, sizeof(fields));

	assert_int_equal(to.field_count, 3);
	assert_int_equal(to.field_max, 5);
	assert_int_equal(to.method, METHOD_POST);
	assert_true(view_eq(to.head, VIEW("POST /path HTTP/1.1\r\nHost: h:1\r\nA: b\r\nEmpty:\r\n\r\n")));
	assert_true(view_eq(to.method_name, VIEW("POST")));
	assert_true(view_eq(to.target, VIEW("/path")));
	assert_true(view_eq(to.host, VIEW("h:1")));
	assert_true(view_eq(field_name(&to.fields[1]), VIEW("A")));
	assert_true(view_eq(field_value(&to.fields[1]), VIEW("b")));
	assert_true(view_eq(field_value(&to.fields[2]), VIEW("")));
	assert_true(to.host.p > to.head.p && to.host.p < to.head.p + to.head.n);
	arena_release(&arena);
}

/* Fields that were added before the copy keep the bytes they had. */
static void a_copy_keeps_added_fields(void **state)
{
	char first[4096];
	struct arena arena;
	struct message from = message_of(""), to;

	arena_init(&arena, first, sizeof(first), 0);
	assert_true(message_add(&from, &arena, VIEW("Via"), VIEW("1.1 weir")));
	assert_true(message_copy(&to, &from, &arena, 0));
	assert_true(view_eq(field_value(message_find(&to, FIELD_VIA)), VIEW("1.1 weir")));
	assert_true(view_eq(field_value(message_find(&to, FIELD_HOST)), VIEW("h")));
	arena_release(&arena);
}

static void an_empty_arena_fails(void **state)
{
	char first[64];
	struct arena arena;
	struct message from = message_of("A: b\r\n"), to;

	arena_init(&arena, first, sizeof(first), 0);
	assert_false(message_copy(&to, &from, &arena, 0));
	arena_release(&arena);
	arena_init(&arena, first, sizeof(first), 0);
	from.field_max = from.field_count;
	assert_false(message_add(&from, &arena, VIEW("C"), VIEW("d")));
	assert_int_equal(from.field_count, 2);
	arena_release(&arena);
}

/* --- finding, adding, dropping ----------------------------------------------------------------------------------- */

static void fields_are_found(void **state)
{
	struct message m = message_of("Date: 1\r\nX-A: 2\r\ndate: 3\r\nx-a: 4\r\n");

	assert_true(view_eq(field_value(message_find(&m, FIELD_DATE)), VIEW("1")));
	assert_true(view_eq(field_value(message_find_name(&m, VIEW("DATE"))), VIEW("1")));
	assert_true(view_eq(field_value(message_find_name(&m, VIEW("X-a"))), VIEW("2")));
	assert_null(message_find(&m, FIELD_VIA));
	assert_null(message_find_name(&m, VIEW("x-b")));
	m.fields[1].dropped = m.fields[2].dropped = true;
	assert_true(view_eq(field_value(message_find(&m, FIELD_DATE)), VIEW("3")));
	assert_true(view_eq(field_value(message_find_name(&m, VIEW("x-A"))), VIEW("4")));
}

static void fields_are_added_in_order(void **state)
{
	char first[256];
	struct arena arena;
	struct message m = message_of("A: b\r\n");

	m.field_max = m.field_count;
	arena_init(&arena, first, sizeof(first), 64 * 1024);
	for (unsigned i = 0; i < 100; i++)
		assert_true(message_add(&m, &arena, VIEW("via"), view_of(&"0123456789"[i % 10], 1)));
	assert_int_equal(m.field_count, 102);
	assert_true(m.field_max >= 102);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(m.fields[i + 2].id, FIELD_VIA);
		assert_int_equal(m.fields[i + 2].value[0], '0' + i % 10);
	}
	assert_true(view_eq(field_name(&m.fields[1]), VIEW("A")));
	arena_release(&arena);
}

static void fields_are_dropped_by_name(void **state)
{
	struct message m = message_of("A: 1\r\na: 2\r\nB: 3\r\nVia: 4\r\nA: 5\r\n");

	assert_int_equal(message_count_name(&m, VIEW("a")), 3);
	assert_int_equal(message_count_name(&m, VIEW("via")), 1);
	assert_int_equal(message_drop_name(&m, VIEW("a")), 3);
	assert_int_equal(message_count_name(&m, VIEW("a")), 0);
	assert_int_equal(message_drop_name(&m, VIEW("a")), 0);
	assert_int_equal(message_drop_name(&m, VIEW("VIA")), 1);
	assert_int_equal(message_drop_name(&m, VIEW("none")), 0);
	assert_string_equal(names_left(&m), "Host B ");
}

/* --- hop by hop -------------------------------------------------------------------------------------------------- */

static void hop_by_hop_fields_go(void **state)
{
	static const struct {
		const char *lines;
		const char *left;
	} cases[] = {
		{"", "Host "},
		{"A: b\r\n", "Host A "},
		{"Connection: close\r\nA: b\r\n", "Host A "},
		{"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nA: b\r\n", "Host A "},
		{"Proxy-Connection: keep-alive\r\nTE: trailers\r\nA: b\r\n", "Host A "},
		{"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", "Host Trailer "},
		{"Upgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: Upgrade, HTTP2-Settings\r\n", "Host "},
		{"Proxy-Authorization: x\r\nProxy-Authenticate: y\r\nAuthorization: z\r\n", "Host Authorization "},
		{"X-Hop: 1\r\nConnection: x-hop\r\nX-HOP: 2\r\nX-Hop2: 3\r\n", "Host X-Hop2 "},
		{"Connection: a, b\r\nConnection: c\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n", "Host D "},
		{"Connection: ,, a ,,\r\nA: 1\r\nB: 2\r\n", "Host B "},
		{"Connection: TE, close\r\nTE: trailers\r\n", "Host "},
		{"Connection: cookie\r\nCookie: x\r\n", "Host "},
		{"Connection: not there\r\nA: 1\r\n", "Host A "},
		{"Connection:\r\nA: 1\r\n", "Host A "},
		{"Content-Length: 5\r\nExpect: 100-continue\r\n", "Host Content-Length Expect "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message m = message_of(cases[i].lines);

		assert_true(message_drop_hop_by_hop(&m));
		assert_string_equal(names_left(&m), cases[i].left);
	}
}

static void some_fields_must_not_be_named(void **state)
{
	static const char *const refused[] = {
		"Host",
		"host",
		"Content-Length",
		"content-length",
		"Transfer-Encoding",
		"Expect",
		"Via",
		"Forwarded",
		"X-Forwarded-For",
		"x-forwarded-proto",
		"X-Forwarded-Host",
		"X-Request-Id",
		"X-Real-IP",
		"close, Host",
		"a, b,content-length ",
		"keep-alive,X-Forwarded-For",
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		char line[128];

		snprintf(line, sizeof(line), "Connection: close\r\nConnection: %s\r\n", refused[i]);
		struct message m = message_of(line);

		assert_false(message_drop_hop_by_hop(&m));
	}
}

static void nominations_are_bounded(void **state)
{
	char lines[1024] = "Connection: a";
	size_t n = strlen(lines);

	for (unsigned i = 1; i < 64; i++, n += 2)
		memcpy(lines + n, ",a", 3);
	memcpy(lines + n, "\r\n", 3);
	struct message m = message_of(lines);

	assert_true(message_drop_hop_by_hop(&m));
	memcpy(lines + n, "\r\nConnection: b\r\n", 18);
	m = message_of(lines);
	assert_false(message_drop_hop_by_hop(&m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_has_its_id),
		cmocka_unit_test(nearly_a_name_is_other),
		cmocka_unit_test(methods_are_case_sensitive),
		cmocka_unit_test(a_copy_stands_on_its_own),
		cmocka_unit_test(a_copy_keeps_added_fields),
		cmocka_unit_test(an_empty_arena_fails),
		cmocka_unit_test(fields_are_found),
		cmocka_unit_test(fields_are_added_in_order),
		cmocka_unit_test(fields_are_dropped_by_name),
		cmocka_unit_test(hop_by_hop_fields_go),
		cmocka_unit_test(some_fields_must_not_be_named),
		cmocka_unit_test(nominations_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
