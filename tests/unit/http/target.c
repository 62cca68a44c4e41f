/*
 * Targets: every form, what the canonical path and host are, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/target.h"

struct fixture {
	char first[4096];
	struct arena arena;
	struct target target;
};

static const char *read_target(struct fixture *f, const char *method, struct view target, const char *host)
{
	struct message m = {.target = target, .host = view_str(host), .method_name = view_str(method)};

	m.method = (uint8_t)method_of(m.method_name);
	arena_init(&f->arena, f->first, sizeof(f->first), 4096);
	return target_read(&f->target, &m, &f->arena, NULL);
}

static void assert_view(struct view actual, const char *expected)
{
	if (!view_eq(actual, view_str(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

/* --- paths and queries ------------------------------------------------------------------------------------------- */

static const struct {
	const char *raw;
	const char *whole;
} paths[] = {
	/* canonical as they are */
	{"/", "/"},
	{"/a", "/a"},
	{"/a/b/", "/a/b/"},
	{"/a.b/c..d/e.", "/a.b/c..d/e."},
	{"/a-b_c~d!$&'()*+,;=:@", "/a-b_c~d!$&'()*+,;=:@"},
	{"/a?", "/a?"},
	{"/a?b=c&d", "/a?b=c&d"},
	{"/a?b?c/../d//e", "/a?b?c/../d//e"},
	{"/?", "/?"},
	{"/?%zz%&%00%2f\\\"<>^`{|}[]", "/?%zz%&%00%2f\\\"<>^`{|}[]"},

	/* percent-encoding */
	{"/%61", "/a"},
	{"/%41%5A%7A%30%39%2d%2D%5f%7e", "/AZz09--_~"},
	{"/%7Euser", "/~user"},
	{"/%c3%bc", "/%C3%BC"},
	{"/%C3%BC", "/%C3%BC"},
	{"/\xc3\xbc", "/%C3%BC"},
	{"/%20%22%3c%3E%5B%5d", "/%20%22%3C%3E%5B%5D"},
	{"/\"<>^`{|}[]", "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D"},
	{"/%25", "/%25"},
	{"/%252e%252e/%252f", "/%252e%252e/%252f"},
	{"/%2561", "/%2561"},
	{"/%3f%3F%23", "/%3F%3F%23"},
	{"/%26%3d%3B%3a%40%2b%2A", "/%26%3D%3B%3A%40%2B%2A"},
	{"/%80%ff", "/%80%FF"},
	{"/a%62?%62", "/ab?%62"},

	/* slashes */
	{"//", "/"},
	{"//a", "/a"},
	{"/a//b", "/a/b"},
	{"/a///b////", "/a/b/"},
	{"/a//?b//c", "/a/?b//c"},

	/* dot segments */
	{"/.", "/"},
	{"/./", "/"},
	{"/a/.", "/a/"},
	{"/a/./b", "/a/b"},
	{"/./a", "/a"},
	{"/a/..", "/"},
	{"/a/../", "/"},
	{"/a/../b", "/b"},
	{"/a/b/..", "/a/"},
	{"/a/b/../c", "/a/c"},
	{"/a/b/../../c", "/c"},
	{"/a/b/c/../../d/./e/..", "/a/d/"},
	{"/a//../b", "/b"},
	{"/a/.//../b", "/b"},
	{"/%2e", "/"},
	{"/a/%2e%2e/b", "/b"},
	{"/a/%2E./b", "/b"},
	{"/a/.%2e/b", "/b"},
	{"/a/%2e/b", "/a/b"},
	{"/...", "/..."},
	{"/.../a", "/.../a"},
	{"/..a", "/..a"},
	{"/.a/b", "/.a/b"},
	{"/.well-known/x", "/.well-known/x"},
	{"/a/..b/.c", "/a/..b/.c"},
	{"/a;x/../b", "/b"},
	{"/a/..?../..", "/?../.."},
	{"/;/a", "/;/a"},
	{"/a;./b", "/a;./b"},

	/* the query */
	{"/a?\xc3\xbc=%c3%bc", "/a?%C3%BC=%c3%bc"},
	{"/a//b?\xff", "/a/b?%FF"},
	{"/%61?", "/a?"},
};

static void paths_become_canonical(void **state)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct fixture f;
		const char *why = read_target(&f, "GET", view_str(paths[i].raw), "h");

		if (why != NULL)
			fail_msg("%s: %s", paths[i].raw, why);
		const char *mark = strchr(paths[i].whole, '?');
		size_t path_len = mark != NULL ? (size_t)(mark - paths[i].whole) : strlen(paths[i].whole);

		assert_int_equal(f.target.form, TARGET_ORIGIN);
		assert_view(f.target.whole, paths[i].whole);
		assert_true(view_eq(f.target.path, view_of(paths[i].whole, path_len)));
		assert_int_equal(f.target.query.p != NULL, mark != NULL);
		if (mark != NULL)
			assert_view(f.target.query, mark + 1);
		arena_release(&f.arena);

		/* Canonical is a fixed point. */
		assert_null(read_target(&f, "GET", view_str(paths[i].whole), "h"));
		assert_view(f.target.whole, paths[i].whole);
		arena_release(&f.arena);
	}
}

static void a_canonical_target_is_not_copied(void **state)
{
	static const char raw[] = "/a/b.c?d=e";
	struct fixture f;

	assert_null(read_target(&f, "GET", view_str(raw), "example.com:80"));
	assert_ptr_equal(f.target.whole.p, raw);
	assert_ptr_equal(f.arena.next, f.first);
	arena_release(&f.arena);
}

#define WITH_NUL(literal) literal, sizeof(literal) - 1

static const struct {
	const char *raw;
	size_t n;
	const char *why;
} refused_paths[] = {
	{WITH_NUL("/%00"), "encoded control"},
	{WITH_NUL("/a%00.html"), "encoded control"},
	{WITH_NUL("/%0a"), "encoded control"},
	{WITH_NUL("/%0D%0A"), "encoded control"},
	{WITH_NUL("/%09"), "encoded control"},
	{WITH_NUL("/%1f"), "encoded control"},
	{WITH_NUL("/%7F"), "encoded control"},
	{WITH_NUL("/a%2fb"), "encoded slash"},
	{WITH_NUL("/a%2Fb"), "encoded slash"},
	{WITH_NUL("/..%2f"), "encoded slash"},
	{WITH_NUL("/a%5cb"), "encoded slash"},
	{WITH_NUL("/..%5C.."), "encoded slash"},
	{WITH_NUL("/a\\b"), "backslash"},
	{WITH_NUL("/\\..\\a"), "backslash"},
	{WITH_NUL("/%"), "malformed"},
	{WITH_NUL("/%2"), "malformed"},
	{WITH_NUL("/%2?a"), "malformed"},
	{WITH_NUL("/%zz"), "malformed"},
	{WITH_NUL("/%2g"), "malformed"},
	{WITH_NUL("/%g2"), "malformed"},
	{WITH_NUL("/%%41"), "malformed"},
	{WITH_NUL("/%u002e"), "malformed"},
	{WITH_NUL("/%-1"), "malformed"},
	{WITH_NUL("/a#b"), "fragment"},
	{WITH_NUL("/#"), "fragment"},
	{WITH_NUL("/a?b#c"), "fragment"},
	{WITH_NUL("/.."), "climbs"},
	{WITH_NUL("/../"), "climbs"},
	{WITH_NUL("/../a"), "climbs"},
	{WITH_NUL("/a/../.."), "climbs"},
	{WITH_NUL("/a/../../b"), "climbs"},
	{WITH_NUL("/%2e%2e/a"), "climbs"},
	{WITH_NUL("/.%2E"), "climbs"},
	{WITH_NUL("//../a"), "climbs"},
	{WITH_NUL("/./../a"), "climbs"},
	{WITH_NUL("/a//../../b"), "climbs"},
	{WITH_NUL("/a/..;/b"), "with parameters"},
	{WITH_NUL("/a/..;x=y/b"), "with parameters"},
	{WITH_NUL("/a/.;/b"), "with parameters"},
	{WITH_NUL("/a/%2e%2e;/b"), "with parameters"},
	{WITH_NUL("/a/..;"), "with parameters"},
	{WITH_NUL("/a b"), "not allowed"},
	{WITH_NUL("/a\tb"), "not allowed"},
	{WITH_NUL("/a\0b"), "not allowed"},
	{WITH_NUL("/a\x7f"), "not allowed"},
	{WITH_NUL("/a\r\nb"), "not allowed"},
	{WITH_NUL("/a?b c"), "not allowed"},
	{WITH_NUL("/a?\0"), "not allowed"},
	{WITH_NUL("/a?\x7f"), "not allowed"},
	{WITH_NUL("/a?\n"), "not allowed"},
	{WITH_NUL(""), "neither"},
	{WITH_NUL("a"), "neither"},
	{WITH_NUL("?a"), "neither"},
	{WITH_NUL("\\a"), "neither"},
	{WITH_NUL("*a"), "neither"},
	{WITH_NUL("**"), "neither"},
	{WITH_NUL("*"), "OPTIONS only"},
	{WITH_NUL("h:80"), "neither"},
	{WITH_NUL("ftp://h/"), "neither"},
	{WITH_NUL("file:///etc/passwd"), "neither"},
	{WITH_NUL("http:/h/"), "neither"},
	{WITH_NUL("http:"), "neither"},
	{WITH_NUL("https:/"), "neither"},
	{WITH_NUL("httpx://h/"), "neither"},
	{WITH_NUL("http://"), "host is empty"},
	{WITH_NUL("http:///a"), "host is empty"},
	{WITH_NUL("http://:80/"), "host is empty"},
	{WITH_NUL("http://u@h/"), "no host may have"},
	{WITH_NUL("http://u:p@h/"), "port"},
	{WITH_NUL("http://h\\a/"), "no host may have"},
	{WITH_NUL("http://h,i/"), "no host may have"},
	{WITH_NUL("http://h%00/"), "no host may have"},
	{WITH_NUL("http://h:0/"), "port"},
	{WITH_NUL("http://[::1/"), "closing bracket"},
	{WITH_NUL("http://h#/"), "fragment"},
	{WITH_NUL("http://h/../a"), "climbs"},
	{WITH_NUL("http://h/%00"), "encoded control"},
	{WITH_NUL("http://h?a b"), "not allowed"},
	{WITH_NUL("http://h?a#b"), "fragment"},
};

static void bad_targets_are_refused(void **state)
{
	for (size_t i = 0; i < sizeof(refused_paths) / sizeof(refused_paths[0]); i++) {
		struct fixture f;
		const char *why = read_target(&f, "GET", view_of(refused_paths[i].raw, refused_paths[i].n), "h");

		if (why == NULL || strstr(why, refused_paths[i].why) == NULL)
			fail_msg("%s: expected \"%s\", got \"%s\"", refused_paths[i].raw, refused_paths[i].why,
				why != NULL ? why : "");
		arena_release(&f.arena);
	}
}

/* --- forms and hosts --------------------------------------------------------------------------------------------- */

struct form {
	const char *method, *raw, *host; /* host of the message; "" when absent */
	enum target_form form;
	const char *whole, *canonical_host, *authority;
	unsigned port;
};

static const struct form forms[] = {
	{"GET", "/", "", TARGET_ORIGIN, "/", "", "", 0},
	{"GET", "/", "h", TARGET_ORIGIN, "/", "h", "h", 0},
	{"GET", "/", "h:8080", TARGET_ORIGIN, "/", "h", "h:8080", 8080},
	{"GET", "/", "h:80", TARGET_ORIGIN, "/", "h", "h:80", 80},
	{"GET", "/", "Example.COM:8080", TARGET_ORIGIN, "/", "example.com", "example.com:8080", 8080},
	{"GET", "/", "h.", TARGET_ORIGIN, "/", "h", "h", 0},
	{"GET", "/", "h.:1", TARGET_ORIGIN, "/", "h", "h:1", 1},
	{"GET", "/", "h:", TARGET_ORIGIN, "/", "h", "h", 0},
	{"GET", "/", "H.:", TARGET_ORIGIN, "/", "h", "h", 0},
	{"GET", "/", "127.0.0.1:80", TARGET_ORIGIN, "/", "127.0.0.1", "127.0.0.1:80", 80},
	{"GET", "/", "[::1]", TARGET_ORIGIN, "/", "[::1]", "[::1]", 0},
	{"GET", "/", "[::1]:443", TARGET_ORIGIN, "/", "[::1]", "[::1]:443", 443},
	{"GET", "/", "[::1]:", TARGET_ORIGIN, "/", "[::1]", "[::1]", 0},
	{"GET", "/", "[0:0:0:0:0:0:0:1]:443", TARGET_ORIGIN, "/", "[::1]", "[::1]:443", 443},
	{"GET", "/", "[2001:DB8::00aB]", TARGET_ORIGIN, "/", "[2001:db8::ab]", "[2001:db8::ab]", 0},
	{"GET", "/", "[::ffff:1.2.3.4]", TARGET_ORIGIN, "/", "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", 0},
	{"OPTIONS", "*", "h", TARGET_ASTERISK, "*", "h", "h", 0},
	{"OPTIONS", "/a", "h", TARGET_ORIGIN, "/a", "h", "h", 0},
	{"OPTIONS", "http://h", "h", TARGET_ASTERISK, "*", "h", "h", 0},
	{"OPTIONS", "http://h:80", "h", TARGET_ASTERISK, "*", "h", "h:80", 80},
	{"OPTIONS", "http://h/", "h", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"OPTIONS", "http://h?a", "h", TARGET_ABSOLUTE, "/?a", "h", "h", 0},
	{"GET", "http://h", "h", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "http://h/a//b?c", "h", TARGET_ABSOLUTE, "/a/b?c", "h", "h", 0},
	{"GET", "http://h?c", "h", TARGET_ABSOLUTE, "/?c", "h", "h", 0},
	{"GET", "http://h?", "h", TARGET_ABSOLUTE, "/?", "h", "h", 0},
	{"GET", "HTTP://H/A", "h", TARGET_ABSOLUTE, "/A", "h", "h", 0},
	{"GET", "https://h/", "h", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "HttpS://h:443/", "h", TARGET_ABSOLUTE, "/", "h", "h:443", 443},
	{"GET", "http://h/", "h:80", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "http://h:80/", "h", TARGET_ABSOLUTE, "/", "h", "h:80", 80},
	{"GET", "https://h/", "h:443", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "http://h:8080/", "H:8080", TARGET_ABSOLUTE, "/", "h", "h:8080", 8080},
	{"GET", "http://h/", "", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "http://h./", "h", TARGET_ABSOLUTE, "/", "h", "h", 0},
	{"GET", "http://[::1]:80/", "[0::1]", TARGET_ABSOLUTE, "/", "[::1]", "[::1]:80", 80},
	{"CONNECT", "h:443", "h:443", TARGET_AUTHORITY, "h:443", "h", "h:443", 443},
	{"CONNECT", "H:443", "h:443", TARGET_AUTHORITY, "H:443", "h", "h:443", 443},
};

static void forms_are_read(void **state)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct form *c = &forms[i];
		struct fixture f;
		const char *why = read_target(&f, c->method, view_str(c->raw), c->host);

		if (why != NULL)
			fail_msg("%s %s, Host %s: %s", c->method, c->raw, c->host, why);
		assert_int_equal(f.target.form, c->form);
		assert_view(f.target.whole, c->whole);
		assert_view(f.target.host, c->canonical_host);
		assert_view(f.target.authority, c->authority);
		assert_int_equal(f.target.port, c->port);
		arena_release(&f.arena);
	}
}

static void contradictions_are_refused(void **state)
{
	static const struct {
		const char *method, *raw, *host, *why;
	} cases[] = {
		{"GET", "http://h/", "i", "contradicts"},
		{"GET", "http://h/", "h:8080", "contradicts"},
		{"GET", "http://h:8080/", "h", "contradicts"},
		{"GET", "http://h:8080/", "h:8081", "contradicts"},
		{"GET", "http://h/", "h:443", "contradicts"},
		{"GET", "https://h/", "h:80", "contradicts"},
		{"GET", "http://[::1]/", "[::2]", "contradicts"},
		{"OPTIONS", "http://h", "i", "contradicts"},
		{"GET", "http://h/", "a b", "no host may have"},
		{"GET", "/", "a,b", "no host may have"},
		{"OPTIONS", "*", "a b", "no host may have"},
		{"CONNECT", "h", "h", "no port"},
		{"CONNECT", "/", "h", "no host may have"},
		{"CONNECT", "h:1/a", "h", "port"},
		{"CONNECT", "http://h/", "h", "port"},
		{"CONNECT", "", "h", "empty"},
		{"CONNECT", "u@h:1", "h", "no host may have"},
		{"options", "*", "h", "OPTIONS only"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		const char *why = read_target(&f, cases[i].method, view_str(cases[i].raw), cases[i].host);

		if (why == NULL || strstr(why, cases[i].why) == NULL)
			fail_msg("%s %s, Host %s: \"%s\"", cases[i].method, cases[i].raw, cases[i].host,
				why != NULL ? why : "");
		arena_release(&f.arena);
	}
}

/* RFC 9110 §7.2, RFC 3986 §3.2.2: names and addresses, and nothing that two readers could take apart differently. */
static void odd_hosts_are_refused(void **state)
{
	static const struct {
		const char *host, *why;
	} cases[] = {
		{":80", "host is empty"},
		{"a b", "no host may have"},
		{"a,b", "no host may have"},
		{"a, b", "no host may have"},
		{"u@a", "no host may have"},
		{"u:p@a", "port"},
		{"a/b", "no host may have"},
		{"http://a", "port"},
		{"a?b", "no host may have"},
		{"a#b", "no host may have"},
		{"a\\b", "no host may have"},
		{"%61", "no host may have"},
		{"a!b", "no host may have"},
		{"a;b", "no host may have"},
		{"\"a\"", "no host may have"},
		{"<a>", "no host may have"},
		{"b\xc3\xbc.de", "no host may have"},
		{"a\t\tb", "no host may have"},
		{"a..b", "empty label"},
		{".a", "empty label"},
		{".", "empty label"},
		{"a..", "empty label"},
		{"a:0", "port"},
		{"a:080", "port"},
		{"a:65536", "port"},
		{"a:99999999999999999999", "port"},
		{"a:+80", "port"},
		{"a:-1", "port"},
		{"a:80:80", "port"},
		{"a:8 0", "port"},
		{"a:http", "port"},
		{"::1", "host is empty"},
		{"[::1", "closing bracket"},
		{"[]", "not an IPv6"},
		{"[", "closing bracket"},
		{"[1.2.3.4]", "not an IPv6"},
		{"[fe80::1%25eth0]", "not an IPv6"},
		{"[fe80::1%eth0]", "not an IPv6"},
		{"[v1.a]", "not an IPv6"},
		{"[::1]x", "no host may have"},
		{"[::1].", "no host may have"},
		{"[::1]:x", "port"},
		{"[::1]:70000", "port"},
		{"a]", "no host may have"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		const char *why = read_target(&f, "GET", VIEW("/"), cases[i].host);

		if (why == NULL || strstr(why, cases[i].why) == NULL)
			fail_msg("Host %s: \"%s\"", cases[i].host, why != NULL ? why : "");
		arena_release(&f.arena);
	}
}

static void hosts_are_bounded(void **state)
{
	char host[300];
	struct fixture f;

	memset(host, 'a', sizeof(host));
	host[255] = '\0';
	assert_null(read_target(&f, "GET", VIEW("/"), host));
	arena_release(&f.arena);
	host[255] = 'a';
	host[256] = '\0';
	assert_non_null(read_target(&f, "GET", VIEW("/"), host));
	arena_release(&f.arena);
}

static void an_empty_arena_is_a_refusal(void **state)
{
	static const struct {
		const char *raw, *host;
	} cases[] = {
		{"/%61", "h"},
		{"/a", "H"},
		{"http://h?a", "h"},
		{"http://H/", "h"},
		{"/?\xff", "h"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct message m = {
			.target = view_str(cases[i].raw), .host = view_str(cases[i].host), .method = METHOD_GET};
		struct arena arena;
		struct target t;
		char first[1];

		arena_init(&arena, first, 0, 0);
		assert_non_null(target_read(&t, &m, &arena, NULL));
		arena_release(&arena);
	}
}

/* --- the memo ------------------------------------------------------------------------------------------------------ */

static struct host_memo memo;

/* The host that is found, and with it the port, of a request with this Host behind others. NULL: it is refused. */
static const char *remembered(struct fixture *f, const char *host)
{
	struct message m = {.target = VIEW("/"), .host = view_str(host), .method = METHOD_GET};

	arena_init(&f->arena, f->first, sizeof(f->first), 4096);
	return target_read(&f->target, &m, &f->arena, &memo) == NULL ? host : NULL;
}

static void a_host_that_comes_again_is_read_alike(void **state)
{
	struct fixture f;

	memo = (struct host_memo){0};
	for (int i = 0; i < 2; i++) {
		assert_non_null(remembered(&f, "example.com:8080"));
		assert_view(f.target.host, "example.com");
		assert_view(f.target.authority, "example.com:8080");
		assert_int_equal(f.target.port, 8080);
	}
	assert_int_equal(memo.n, sizeof("example.com:8080") - 1);
	/* As long, and others. */
	assert_non_null(remembered(&f, "example.com:8081"));
	assert_int_equal(f.target.port, 8081);
	assert_non_null(remembered(&f, "example.org:8081"));
	assert_view(f.target.host, "example.org");
}

static void what_is_not_canonical_is_not_remembered(void **state)
{
	struct fixture f;

	memo = (struct host_memo){0};
	for (int i = 0; i < 2; i++) {
		assert_non_null(remembered(&f, "Example.COM."));
		assert_view(f.target.host, "example.com");
		assert_int_equal(memo.n, 0);
		assert_null(remembered(&f, "a..b"));
		assert_null(remembered(&f, "a:0"));
		assert_int_equal(memo.n, 0);
	}
	assert_non_null(remembered(&f, "a-name-that-is-longer-than-what-is-kept-of-one.example.com:8080"));
	assert_int_equal(memo.n, 0);
	/* HTTP/1.0 without a Host has none, also before anything is remembered (its view has no address then). */
	assert_null(target_read(&f.target, &(struct message){.target = VIEW("/"), .method = METHOD_GET}, &f.arena, &memo));
	assert_int_equal(f.target.host.n, 0);
	assert_non_null(remembered(&f, "a.b"));
	assert_non_null(remembered(&f, ""));
	assert_int_equal(f.target.host.n, 0);
}

static void configured_paths(void **state)
{
	struct fixture f;
	const char *why;

	arena_init(&f.arena, f.first, sizeof(f.first), 0);
	assert_view(target_canonical_path(VIEW("/a//%62/../c"), &f.arena, &why), "/a/c");
	assert_null(why);
	assert_view(target_canonical_path(VIEW("/"), &f.arena, &why), "/");
	assert_null(why);
	static const char *const refused[] = {"", "a", "/a?b", "/..", "/%00", "/a#b", "*", "http://h/"};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(target_canonical_path(view_str(refused[i]), &f.arena, &why).n, 0);
		assert_non_null(why);
	}
	arena_release(&f.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_become_canonical),
		cmocka_unit_test(a_canonical_target_is_not_copied),
		cmocka_unit_test(bad_targets_are_refused),
		cmocka_unit_test(forms_are_read),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(odd_hosts_are_refused),
		cmocka_unit_test(hosts_are_bounded),
		cmocka_unit_test(an_empty_arena_is_a_refusal),
		cmocka_unit_test(a_host_that_comes_again_is_read_alike),
		cmocka_unit_test(what_is_not_canonical_is_not_remembered),
		cmocka_unit_test(configured_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
