/* What a reload tells at its end, above all when not every worker has taken it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/reload_words.h"

#define YAML(endpoints) \
	"version: 1\n" \
	"listeners: [{name: l, address: \"127.0.0.1:80\"}]\n" \
	"upstreams: [{name: u, endpoints: [" endpoints "]}]\n" \
	"routes: [{name: r, upstream: u}]\n"

/* The lines that were told, and the level of the last one. */
struct told {
	char text[2048];
	int level;
};

static void on_tell(void *context, int level, const char *text)
{
	struct told *told = context;
	size_t n = strlen(told->text);

	snprintf(told->text + n, sizeof(told->text) - n, "%s\n", text);
	told->level = level;
}

static const struct config *load(const char *yaml)
{
	struct config_complaints complaints;
	const struct config *config;

	assert_int_equal(config_load_bytes("f", view_str(yaml), &config, &complaints), CONFIG_OK);
	config_complaints_release(&complaints);
	return config;
}

static struct told tell(struct reload_workers workers)
{
	const struct config *before = load(YAML("{address: \"127.0.0.1:81\"}"));
	const struct config *after = load(YAML("{address: \"127.0.0.1:81\"}, {address: \"127.0.0.1:82\"}"));
	struct told told = {.text = ""};
	const struct reload_teller to = {on_tell, &told};

	const struct reload_endpoints endpoints = reload_tell_effects(&to, before, after);

	reload_tell_end(&to, before, after, &endpoints, workers);
	config_free(before);
	config_free(after);
	return told;
}

static void test_taken_by_all(void **state)
{
	struct told told = tell((struct reload_workers){.count = 2});

	assert_string_equal(told.text,
		"upstream u: added: 127.0.0.1:82\n"
		"reloaded: 1 route (1 before); endpoints: 1 added, 1 kept, 0 with a new pool, 0 draining\n");
	assert_int_equal(told.level, LEVEL_INFO);
}

/* Who waits for "reloaded: " must not take it for done. */
static void test_refused_by_one(void **state)
{
	struct told told = tell((struct reload_workers){.count = 2, .refused = 1});

	assert_string_equal(told.text,
		"upstream u: added: 127.0.0.1:82\n"
		"not reloaded by 1 of 2 workers: they lacked the memory, or could not listen, and go on with the configuration of before; "
		"another SIGHUP tries again\n");
	assert_int_equal(told.level, LEVEL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_by_all),
		cmocka_unit_test(test_refused_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
