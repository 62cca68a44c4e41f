/* What `weir explain` prints, for targets that the gateway makes itself: they are to be the ones that it sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/command.h"

static const char yaml[] =
	"version: 1\n"
	"listeners: [{name: l, address: \"127.0.0.1:80\"}]\n"
	"upstreams: [{name: u, endpoints: [{address: \"127.0.0.1:81\"}]}]\n"
	"routes:\n"
	"  - {name: cut, match: {path: \"/cut/*\"}, rewrite: {path: \"/*\"}, upstream: u}\n"
	"  - {name: old, match: {path: \"/old/*\"}, redirect: {location: \"/*\"}}\n"
	"  - {name: away, match: {path: \"/away/*\"}, redirect: {location: \"https://h/*\"}}\n"
	"  - {name: fixed, match: {path: \"/fixed\"}, redirect: {location: \"/here\"}}\n";

static char path[] = "/tmp/weir-explain-XXXXXX";

static int file_write(void **state)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return -1;
	ssize_t n = write(fd, yaml, sizeof(yaml) - 1);

	close(fd);
	return n == (ssize_t)sizeof(yaml) - 1 ? 0 : -1;
}

static int file_remove(void **state)
{
	return unlink(path);
}

/* What it prints on standard output; to be freed. */
static char *explain(const char *method, const char *url, enum exit_code expected)
{
	char name[] = "explain", option[] = "-c";
	char *argv[] = {name, option, path, strdup(method), strdup(url), NULL};
	char *text = NULL;
	size_t n;
	FILE *printed = open_memstream(&text, &n), *standard = stdout;

	assert_non_null(printed);
	stdout = printed;
	enum exit_code code = command_explain.run(5, argv);

	stdout = standard;
	fclose(printed);
	assert_int_equal(code, expected);
	free(argv[3]);
	free(argv[4]);
	return text;
}

static void assert_told(const char *url, const char *line)
{
	char *text = explain("GET", url, EXIT_FINE);

	if (strstr(text, line) == NULL)
		fail_msg("'%s' is not in\n%s", line, text);
	free(text);
}

static void test_rewritten_targets(void **state)
{
	assert_told("/cut", "\n  target  /\n");
	assert_told("/cut/", "\n  target  /\n");
	assert_told("/cut/a?b", "\n  target  /a?b\n");
	assert_told("/cut?b", "\n  target  /?b\n");
}

static void test_redirects(void **state)
{
	assert_told("/old", "is redirected: 302 /\n");
	assert_told("/old?b", "is redirected: 302 /?b\n");
	assert_told("/old/a?b", "is redirected: 302 /a?b\n");
	assert_told("/away/a", "is redirected: 302 https://h/a\n");
	assert_told("/fixed?b", "is redirected: 302 /here\n");
}

/* What no request can have as its method is not routed. */
static void test_methods(void **state)
{
	static const char *const wrong[] = {"", "G T", "GET ", " GET", "G:T", "G\tT", "G\xc3\xa4T", "CONNECT"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *text = explain(wrong[i], "/cut", EXIT_WRONG);

		assert_string_equal(text, "");
		free(text);
	}
	free(explain("M-SEARCH", "/cut", EXIT_FINE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewritten_targets),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, file_write, file_remove);
}
