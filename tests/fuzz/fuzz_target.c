/*
 * Targets and hosts from arbitrary bytes. The input is "[METHOD SP] target [LF host]"; without a method it is GET.
 *
 * What comes out is canonical by rules spelt here a second time, and reads as itself.
 */
#include "base/check.h"
#include "fuzz.h"
#include "http/target.h"

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || is_one_of(c, "-._~");
}

static unsigned hex_value(char c)
{
	CHECK(is_one_of(c, "0123456789ABCDEF"));
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* "%XX" is there because the byte may not stand raw, and is none of those that are refused. */
static void check_encoding(struct view path, size_t i)
{
	CHECK(path.n - i >= 3);
	unsigned byte = hex_value(path.p[i + 1]) << 4 | hex_value(path.p[i + 2]);

	CHECK(byte >= 0x20 && byte != 0x7f && byte != '/' && byte != '\\');
	CHECK(!is_unreserved((char)byte));
}

static void check_segment(struct view segment)
{
	CHECK(!view_eq(segment, VIEW(".")) && !view_eq(segment, VIEW("..")));
	CHECK(!view_starts(segment, VIEW(".;")) && !view_starts(segment, VIEW("..;")));
}

static void check_path(struct view path)
{
	size_t segment = 1;

	CHECK(path.n > 0 && path.p[0] == '/');
	for (size_t i = 1; i < path.n; i++) {
		char c = path.p[i];

		if (c == '%')
			check_encoding(path, i);
		else if (c != '/')
			CHECK(is_unreserved(c) || is_one_of(c, "!$&'()*+,;=:@"));
		if (c != '/')
			continue;
		CHECK(i > segment);
		check_segment(view_of(path.p + segment, i - segment));
		segment = i + 1;
	}
	check_segment(view_from(path, segment));
}

static void check_query(struct view query)
{
	for (size_t i = 0; i < query.n; i++)
		CHECK(query.p[i] > 0x20 && query.p[i] < 0x7f && query.p[i] != '#');
}

static void check_host(const struct target *t)
{
	CHECK(view_starts(t->authority, t->host));
	CHECK((t->authority.n == t->host.n) == (t->port == 0));
	for (size_t i = 0; i < t->host.n; i++) {
		char c = t->host.p[i];

		CHECK(!(c >= 'A' && c <= 'Z'));
		CHECK(is_unreserved(c) || (t->host.p[0] == '[' && is_one_of(c, "[:]")));
	}
	CHECK(t->host.n == 0 || t->host.p[t->host.n - 1] != '.');
}

static void check_whole(const struct target *t)
{
	size_t n = t->path.n + (t->query.p != NULL ? 1 + t->query.n : 0);

	CHECK(t->whole.n == n && view_starts(t->whole, t->path));
	if (t->query.p != NULL)
		CHECK(t->whole.p[t->path.n] == '?' && view_eq(view_from(t->whole, t->path.n + 1), t->query));
}

/* The canonical form reads as itself. */
static void check_fixed_point(const struct target *t, const struct message *m, struct arena *arena)
{
	struct message again = {.method = m->method, .target = t->whole, .host = t->authority};
	struct target same;
	const char *why;

	CHECK(target_read(&same, &again, arena, NULL) == NULL);
	CHECK(view_eq(same.whole, t->whole) && view_eq(same.path, t->path) && view_eq(same.query, t->query));
	CHECK(view_eq(same.host, t->host) && view_eq(same.authority, t->authority) && same.port == t->port);
	if (t->form != TARGET_ASTERISK)
		CHECK(view_eq(target_canonical_path(t->path, arena, &why), t->path) && why == NULL);
}

static struct message message_of(struct view input)
{
	const char *line = input.n > 0 ? memchr(input.p, '\n', input.n) : NULL;
	struct message m = {.target = input, .method = METHOD_GET};

	if (line != NULL) {
		m.target.n = (size_t)(line - input.p);
		m.host = view_from(input, m.target.n + 1);
	}
	if (view_starts(m.target, VIEW("OPTIONS ")))
		m.method = METHOD_OPTIONS;
	else if (view_starts(m.target, VIEW("CONNECT ")))
		m.method = METHOD_CONNECT;
	if (m.method != METHOD_GET)
		m.target = view_from(m.target, 8);
	return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct message m = message_of(view_of((const char *)data, n));
	struct arena arena;
	struct target t;
	char first[256];

	arena_init(&arena, first, sizeof(first), 1 << 20);
	if (target_read(&t, &m, &arena, NULL) == NULL) {
		check_host(&t);
		if (t.form == TARGET_ORIGIN || t.form == TARGET_ABSOLUTE) {
			check_path(t.path);
			check_query(t.query);
			check_whole(&t);
		}
		if (t.form != TARGET_AUTHORITY)
			check_fixed_point(&t, &m, &arena);
	}
	arena_release(&arena);
	return 0;
}
