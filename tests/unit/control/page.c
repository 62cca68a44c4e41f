/* What of the live page a request is answered with, with the page and without. */
#include "load.h"

#include "control/page.h"

static const struct page_file files[] = {
	{{"index.html", 10}, "text/html", "aaaa", {"plain page", 10}, {"packed", 6}},
	{{"page.js", 7}, "text/javascript", "bbbb", {"plain script", 12}, {"small", 5}},
	{{NULL, 0}, NULL, NULL, {NULL, 0}, {NULL, 0}},
};

static struct page_reply reply;

static void ask(const char *path, bool takes_gzip, const char *known_tags)
{
	const struct page_wish wish = {view_str(path), takes_gzip, view_str(known_tags)};

	page_reply(&reply, files, &wish);
}

static bool says(const char *line)
{
	return strstr(reply.fields, line) != NULL;
}

static void as_it_is_and_as_gzip(void **state)
{
	ask("/", false, "");
	assert_int_equal(reply.status, 200);
	assert_true(view_eq(reply.content, VIEW("plain page")));
	assert_true(says("Content-Type: text/html\r\n") && says("ETag: \"aaaa\"\r\n") && !says("Content-Encoding"));
	ask("/page.js", true, "");
	assert_true(view_eq(reply.content, VIEW("small")));
	assert_true(says("Content-Encoding: gzip\r\n") && says("ETag: \"bbbb-gzip\"\r\n") &&
		    says("Vary: Accept-Encoding\r\n"));
	assert_true(
		says("default-src 'self'") && says("frame-ancestors 'none'") && says("Cache-Control: no-cache\r\n"));
}

static void what_is_known_is_not_sent_again(void **state)
{
	ask("/", false, "\"xxxx\", \"aaaa\"");
	assert_int_equal(reply.status, 304);
	assert_true(says("ETag: \"aaaa\"\r\n"));
	ask("/", false, "W/\"aaaa\"");
	assert_int_equal(reply.status, 304);
	ask("/", false, "*");
	assert_int_equal(reply.status, 304);
	/* Another representation, another file, none. */
	ask("/", true, "\"aaaa\"");
	assert_int_equal(reply.status, 200);
	ask("/page.js", false, "\"aaaa\"");
	assert_int_equal(reply.status, 200);
	ask("/", false, "aaaa, \"");
	assert_int_equal(reply.status, 200);
}

static void without_the_page_it_is_said_what_to_run(void **state)
{
	const struct page_wish wish = {VIEW("/"), true, VIEW("")};

	page_reply(&reply, &files[2], &wish);
	assert_int_equal(reply.status, 404);
	assert_non_null(memmem(reply.content.p, reply.content.n, "./dev build", 11));
	assert_true(says("text/plain") && says("no-store") && !says("gzip"));
}

static void who_takes_gzip(void **state)
{
	static const char *const yes[] = {
		"gzip", "deflate, gzip", "GZIP", "gzip;q=1.0", "gzip; q=0.1", "*", "br, *;q=0.5", "gzip ;q=0.001"};
	static const char *const no[] = {
		"", "br", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *", "xgzip", ",,;,"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(page_takes_gzip(view_str(yes[i])));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(page_takes_gzip(view_str(no[i])));
}

/* Whatever the program was built with. */
static void what_is_embedded_is_in_order(void **state)
{
	for (const struct page_file *file = page_files; file->name.n > 0; file++) {
		assert_true(file->plain.n > 0 && file->packed.n > 0 && strlen(file->tag) == 16);
		assert_memory_equal(file->packed.p, "\x1f\x8b", 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_it_is_and_as_gzip),
		cmocka_unit_test(what_is_known_is_not_sent_again),
		cmocka_unit_test(without_the_page_it_is_said_what_to_run),
		cmocka_unit_test(who_takes_gzip),
		cmocka_unit_test(what_is_embedded_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
