/*
 * Heads read in wide steps are read as byte by byte (bytewise.h): the same message, or the same refusal, in every detail; of heads
 * made up, of those in the corpora of the fuzzers (whose folders are the arguments), and of all of them with bytes changed and cut off.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bytewise.h"
#include "http/scan.h"

enum { FIELDS_MAX = 12, HEAD_MAX = 2048, CHANGES = 300 };

static const struct h1_limits limits = {.head_bytes_max = 1024, .field_count_max = FIELDS_MAX, .target_bytes_max = 64};

static char **folders;

static uint64_t drawn = 0x9e3779b97f4a7c15;

static size_t draw(size_t below)
{
	drawn ^= drawn << 13;
	drawn ^= drawn >> 7;
	drawn ^= drawn << 17;
	return (size_t)(drawn >> 16) % below;
}

/* --- heads ---------------------------------------------------------------------------------------------------------- */

static void same_view(struct view a, struct view b)
{
	assert_ptr_equal(a.p, b.p);
	assert_int_equal(a.n, b.n);
}

static void same_message(const struct message *a, const struct message *b)
{
	assert_int_equal(a->field_count, b->field_count);
	assert_true(a->field_ids == b->field_ids);
	for (uint32_t i = 0; i < a->field_count; i++) {
		same_view(field_name(&a->fields[i]), field_name(&b->fields[i]));
		same_view(field_value(&a->fields[i]), field_value(&b->fields[i]));
		assert_int_equal(a->fields[i].id, b->fields[i].id);
		assert_int_equal(a->fields[i].dropped, b->fields[i].dropped);
	}
	same_view(a->method_name, b->method_name);
	same_view(a->target, b->target);
	same_view(a->reason, b->reason);
	same_view(a->host, b->host);
	same_view(a->head, b->head);
	assert_int_equal(a->minor, b->minor);
	assert_int_equal(a->method, b->method);
	assert_int_equal(a->framing, b->framing);
	assert_int_equal(a->keep_alive, b->keep_alive);
	assert_int_equal(a->expect_continue, b->expect_continue);
	assert_int_equal(a->has_upgrade, b->has_upgrade);
	assert_int_equal(a->status, b->status);
	assert_true(a->content_length == b->content_length);
	assert_int_equal(a->has_length, b->has_length);
}

static void same_result(struct h1_result a, struct h1_result b)
{
	assert_int_equal(a.status, b.status);
	assert_int_equal(a.consumed, b.consumed);
	if (a.status == H1_BAD) {
		assert_int_equal(a.cause, b.cause);
		assert_string_equal(a.why, b.why);
	}
}

/* The lines that go on as they came are what is written one by one; also when some are dropped, of a copy. */
static void writes_the_same(const struct message *read)
{
	char memory[4096], at_once[HEAD_MAX], each[HEAD_MAX];
	struct arena arena;
	struct message m;

	arena_init(&arena, memory, sizeof(memory), 4096);
	assert_true(message_copy(&m, read, &arena, 1));
	assert_int_equal(m.lines.p == NULL, read->lines.p == NULL);
	for (uint32_t i = 0; i < m.field_count && m.lines.p != NULL; i++)
		assert_true(m.fields[i].id != FIELD_OTHER || memchr(m.fields[i].name, '_', m.fields[i].name_len) == NULL);
	for (unsigned i = 0; i < 3; i++) {
		struct h1_writer a = {.p = at_once, .end = at_once + sizeof(at_once)}, b = {.p = each, .end = each + sizeof(each)};

		h1_put_fields(&a, &m);
		b = h1_put_each_field(b, &m);
		assert_false(h1_is_full(&a) || h1_is_full(&b));
		assert_int_equal(a.p - at_once, b.p - each);
		assert_memory_equal(at_once, each, (size_t)(b.p - each));
		if (m.field_count > 0)
			message_drop(&m, &m.fields[i == 0 ? 0 : draw(m.field_count)]);
		if (i == 1 && m.field_count > 0 && draw(3) == 0)
			message_set_value(&m, &m.fields[m.field_count - 1], VIEW("another"));
	}
	arena_release(&arena);
}

/* True: it was a head. The bytes are alone in their memory, so that a look beyond them is seen. */
static bool reads_the_same(struct view bytes, bool response)
{
	char *alone = malloc(bytes.n + (bytes.n == 0));
	struct field wide_fields[FIELDS_MAX], fields[FIELDS_MAX];
	struct message by_steps = {.fields = wide_fields, .field_max = FIELDS_MAX}, m = {.fields = fields, .field_max = FIELDS_MAX};
	struct h1_result a, b;

	assert_non_null(alone);
	memcpy(alone, bytes.p, bytes.n);
	if (response) {
		a = h1_read_response(view_of(alone, bytes.n), &limits, METHOD_GET, &by_steps);
		b = bytewise_read_response(view_of(alone, bytes.n), &limits, METHOD_GET, &m);
	} else {
		a = h1_read_request(view_of(alone, bytes.n), &limits, &by_steps);
		b = bytewise_read_request(view_of(alone, bytes.n), &limits, &m);
	}
	same_result(a, b);
	if (a.status == H1_DONE) {
		same_message(&by_steps, &m);
		writes_the_same(&by_steps);
	}
	free(alone);
	return a.status == H1_DONE;
}

/* Every beginning of it, and it with a few bytes changed, which are mostly of those that mean something. */
static void read_variants(struct view head, bool response)
{
	static const char telling[] = "\r\n\t :-,;A\x7f\x80\x00/1";
	char bytes[HEAD_MAX];

	if (head.n > sizeof(bytes))
		head.n = sizeof(bytes);
	for (size_t n = 0; n <= head.n; n++)
		reads_the_same(view_of(head.p, n), response);
	for (unsigned i = 0; head.n > 0 && i < CHANGES; i++) {
		memcpy(bytes, head.p, head.n);
		for (size_t k = 0; k <= draw(3); k++)
			bytes[draw(head.n)] = draw(4) > 0 ? telling[draw(sizeof(telling) - 1)] : (char)draw(256);
		reads_the_same(view_of(bytes, head.n - (draw(4) == 0 ? draw(head.n) : 0)), response);
	}
}

static void heads_as_they_come(void **state)
{
	static const struct {
		const char *head;
		bool response, is_one;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", false, true},
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, true},
		{"\r\nPOST /a/b?c HTTP/1.1\r\nHost: example.com\r\nContent-Length: 12\r\nX-A: b\r\n\r\nhello", false, true},
		{"DELETE /a HTTP/1.0\r\n\r\n", false, true},
		{"GET / HTTP/1.1\r\n\r\n", false, false},
		{"PURGE /a HTTP/1.1\r\nhost:h\r\nA:\r\nB: \r\nC:  d\t\r\nD: e\tf\r\nE_1: f\r\n\r\n", false, true},
		{"GET /0123456789012345678901234567890123456789012345678901234567890123456789 HTTP/1.1\r\nHost: h\r\n\r\n", false,
			false},
		{"GET /a HTTP/1.1\r\nHost: h\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\nA: 1\r\n"
		 "A: 1\r\n\r\n",
			false, false},
		{"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n",
			false, true},
		{"GET /a HTTP/1.1\r\nHost: h\r\nAccess-Control-Request-Headers-Of-A-Long-Name: a-value-that-is-long-as-well\r\n\r\n",
			false, true},
		{"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n", true, true},
		{"GET / HTTP/1.1\r\nHost: h\r\nContent\rLength: 1\r\nX: a-value-that-is-long-enough\r\n\r\n", false, false},
		{"GET / HTTP/1.1\r\nHost: h\r\n\x08ost: a-value-that-is-long-enough-as-well\r\n\r\n", false, false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1234567890123456789\r\n\r\n", false, true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\nContent-Length: 9\r\nContent-Length: 9\r\n\r\n", false, false},
		{"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\nA: 0123456789012345678901\r\n\r\n", false, false},
		{"HTTP/1.1 200 OK\r\nHost: h\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\nA: 01234567890123456\r\n\r\n", true, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close, upgrade\r\nUpgrade: a\r\nA: 01234567890123456\r\n\r\n", true, true},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\nContent-Length: 1x\r\nA: 01234567890123456\r\n\r\n", true, false},
		{"HTTP/1.1 200 OK\r\n\r\n", true, true},
		{"HTTP/1.1 200\r\n\r\n", true, true},
		{"HTTP/1.1 404 Not Found\r\nServer: s\r\nContent-Length: 0\r\n\r\n", true, true},
		{"HTTP/1.0 204 No\r\nContent-Length: 0\r\n\r\n", true, true},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct view head = view_str(cases[i].head);

		assert_int_equal(reads_the_same(head, cases[i].response), cases[i].is_one);
		read_variants(head, cases[i].response);
	}
}

static void read_file(const char *folder, const char *name)
{
	char path[4096], bytes[HEAD_MAX];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	read_variants(view_of(bytes, n), strstr(folder, "response") != NULL);
}

/* In the order of their names, so that what is drawn is the same each time. */
static void heads_of_the_corpora(void **state)
{
	for (char **folder = folders; *folder != NULL; folder++) {
		struct dirent **entries;
		int count = scandir(*folder, &entries, NULL, alphasort);

		assert_true(count > 10);
		for (int i = 0; i < count; i++) {
			if (entries[i]->d_name[0] != '.')
				read_file(*folder, entries[i]->d_name);
			free(entries[i]);
		}
		free(entries);
	}
}

/* --- scans ------------------------------------------------------------------------------------------------------------ */

static const char *above_blank(const char *p, const char *end)
{
	return scan_late_above(p, end, ' ');
}

/* Runs of every length, at every place before the end, that are ended by any byte. */
static void scans_end_where_they_should(void **state)
{
	static const struct {
		const char *(*by_steps)(const char *p, const char *end);
		const char *(*bytewise)(const char *p, const char *end);
	} scans[] = {
		{scan_text, bytewise_text},
		{scan_target, bytewise_target},
		{scan_token, bytewise_token},
		{scan_late_name, bytewise_name},
		{above_blank, bytewise_target},
	};
	enum { ALL = SCAN_BEFORE + 50 };
	char *bytes = malloc(ALL);

	assert_non_null(bytes);
	for (unsigned round = 0; round < 50000; round++) {
		const char *from = bytes + SCAN_BEFORE + draw(ALL - SCAN_BEFORE + 1);

		for (size_t i = 0; i < ALL; i++)
			bytes[i] = draw(40) > 0 ? "aZ-m"[draw(4)] : (char)draw(256);
		for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++)
			assert_ptr_equal(scans[i].by_steps(from, bytes + ALL), scans[i].bytewise(from, bytes + ALL));
	}
	free(bytes);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_as_they_come),
		cmocka_unit_test(heads_of_the_corpora),
		cmocka_unit_test(scans_end_where_they_should),
	};

	folders = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
