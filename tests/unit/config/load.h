/*
 * Loading a configuration from a string, and its complaints as one text.
 */
#ifndef WEIR_TESTS_CONFIG_LOAD_H
#define WEIR_TESTS_CONFIG_LOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/config.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The parts that most cases leave as they are, a line each. */
#define VERSION "version: 1\n"
#define LISTENERS "listeners: [{name: l, address: 127.0.0.1:80}]\n"
#define UPSTREAMS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}]}]\n"
#define ROUTES "routes: [{name: r, upstream: users}]\n"

/* One more thing said in an otherwise good file. */
#define ROOT(x) VERSION LISTENERS UPSTREAMS ROUTES x "\n"
#define LISTENER(x) VERSION "listeners: [{name: l, address: 127.0.0.1:80, " x "}]\n" UPSTREAMS ROUTES
#define ADDRESS(x) VERSION "listeners: [{name: l, address: " x "}]\n" UPSTREAMS ROUTES
#define UPSTREAM(x) VERSION LISTENERS "upstreams: [{name: users, endpoints: [{address: 127.0.0.1:81}], " x "}]\n" ROUTES
#define ROUTE(x) VERSION LISTENERS UPSTREAMS "routes: [{name: r, " x "}]\n"
#define FORWARD(x) ROUTE("upstream: users, " x)
#define MATCH(x) FORWARD("match: {" x "}")
#define HEADERS(x) FORWARD("filters: [{headers: {" x "}}]")

/* What config_complaints_print() prints; to be freed. */
static inline char *complaints_text(const struct config_complaints *complaints, const char *name)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	assert_non_null(to);
	config_complaints_print(complaints, name, to);
	fclose(to);
	return text;
}

/* The model of a file that must be right. */
static inline const struct config *load_good(const char *yaml)
{
	const struct config *config;
	struct config_complaints complaints;
	enum config_status status = config_load_bytes("f", view_str(yaml), &config, &complaints);

	if (status != CONFIG_OK) {
		config_complaints_print(&complaints, "f", stderr);
		fail_msg("refused:\n%s", yaml);
	}
	assert_int_equal(complaints.count + complaints.more, 0);
	config_complaints_release(&complaints);
	return config;
}

/* All complaints about a file that must be wrong; to be freed. */
static inline char *load_bad(struct view yaml)
{
	const struct config *config;
	struct config_complaints complaints;

	assert_int_equal(config_load_bytes("f", yaml, &config, &complaints), CONFIG_BAD);
	assert_null(config);
	char *text = complaints_text(&complaints, "f");
	config_complaints_release(&complaints);
	return text;
}

/* A wrong file, and all that is said about it, word for word. */
struct mistake {
	const char *yaml;
	const char *complaints;
};

static inline void mistakes_check(const struct mistake *mistakes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *text = load_bad(view_str(mistakes[i].yaml));

		if (strcmp(text, mistakes[i].complaints) != 0)
			fail_msg("mistake %zu\n%s\nsays\n%s\nand should say\n%s", i, mistakes[i].yaml, text,
				mistakes[i].complaints);
		free(text);
	}
}

static inline void assert_view(struct view actual, const char *expected)
{
	if (!view_eq(actual, view_str(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

#endif
