/* Options of commands: wherever they stand they are taken out, and what is left are the words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/command.h"

enum { ARGUMENTS_MAX = 8 };

struct line {
	int argc;
	char *argv[ARGUMENTS_MAX];
	char bytes[128];
};

/* "endpoint list -c a", cut at its blanks. */
static struct line *line_of(const char *text)
{
	static struct line line;

	line.argc = 0;
	memset(line.argv, 0, sizeof(line.argv));
	strncpy(line.bytes, text, sizeof(line.bytes) - 1);
	for (char *word = strtok(line.bytes, " "); word != NULL; word = strtok(NULL, " "))
		line.argv[line.argc++] = word;
	return &line;
}

static void assert_words(const struct line *line, const char *expected)
{
	char words[128] = "";

	for (int i = 0; i < line->argc; i++) {
		strcat(words, i > 0 ? " " : "");
		strcat(words, line->argv[i]);
	}
	assert_string_equal(words, expected);
}

static void test_an_option_stands_anywhere(void **state)
{
	static const char *const lines[] = {"e -c f list a", "e list -c f a", "e list a -c f", "e --config f list a", "e list --config=f a"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct line *line = line_of(lines[i]);

		assert_string_equal(command_need_config(&line->argc, line->argv), "f");
		assert_words(line, "e list a");
	}
}

static void test_what_is_no_option_stays(void **state)
{
	struct line *line = line_of("-c --configx f -c=f --config");
	const char *value = NULL;

	assert_true(command_take_option(&line->argc, line->argv, "-c", &value));
	assert_true(command_take_option(&line->argc, line->argv, "--confi", &value));
	assert_null(value);
	assert_words(line, "-c --configx f -c=f --config");
}

static void test_an_empty_value_is_one(void **state)
{
	struct line *line = line_of("e --at= list");
	const char *value = NULL;

	assert_true(command_take_option(&line->argc, line->argv, "--at", &value));
	assert_string_equal(value, "");
	assert_words(line, "e list");
}

static void test_said_wrongly(void **state)
{
	static const char *const lines[] = {"e", "e list", "e list -c", "e --config", "e -c f -c f", "e -c f --config=f", "e --config=f --config f"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct line *line = line_of(lines[i]);

		assert_null(command_need_config(&line->argc, line->argv));
	}
}

static void test_a_flag_is_taken_as_often_as_it_is_there(void **state)
{
	struct line *line = line_of("--json --json a --jsonx --json");

	assert_true(command_take_flag(&line->argc, line->argv, "--json"));
	assert_words(line, "--json a --jsonx");
	assert_false(command_take_flag(&line->argc, line->argv, "--json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_option_stands_anywhere),
		cmocka_unit_test(test_what_is_no_option_stays),
		cmocka_unit_test(test_an_empty_value_is_one),
		cmocka_unit_test(test_said_wrongly),
		cmocka_unit_test(test_a_flag_is_taken_as_often_as_it_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
