/* What is full is seen, wherever it stands, and what is not shown is told of. */
#include "../base/unit.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/top_frame.h"

enum { ENDPOINTS = 59, LINES = 23 };

static struct {
	json_t *live, *endpoints;
	char *text;
	size_t n;
} bed;

static int begin(void **state)
{
	memset(&bed, 0, sizeof(bed));
	bed.endpoints = json_array();
	for (int i = 0; i < ENDPOINTS; i++)
		json_array_append_new(bed.endpoints,
			json_pack("{s:o, s:s, s:i, s:i, s:i}", "address", json_sprintf("10.0.0.%d:80", i + 1), "state", "in_service", "leased",
				0, "max", 10, "waiting", 0));
	bed.live = json_pack("{s:[{s:s, s:O}], s:i, s:[], s:[], s:{s:[{s:s, s:{}, s:s}]}}", "upstreams", "name", "users", "endpoints",
		bed.endpoints, "endpoints_left_out", 0, "limits", "breakers", "why", "verdicts", "what", "offered_load", "subject", "text",
		"Nothing here is full.");
	assert_non_null(bed.live);
	return 0;
}

static int end(void **state)
{
	json_decref(bed.endpoints);
	json_decref(bed.live);
	free(bed.text);
	return 0;
}

/* Of the frame of a terminal of so many lines. */
static const char *shown(unsigned lines)
{
	unsigned count = 0, column = 0;

	free(bed.text);
	FILE *out = open_memstream(&bed.text, &bed.n);

	top_frame(out, bed.live, lines, "");
	fclose(out);
	for (const char *p = bed.text; *p != '\0'; p++) {
		column = *p == '\n' ? 0 : column + 1;
		count += *p == '\n';
		assert_in_range(column, 0, 79);
	}
	assert_in_range(count, 1, lines);
	return bed.text;
}

static void set(int endpoint, const char *key, int value)
{
	json_object_set_new(json_array_get(bed.endpoints, (size_t)endpoint - 1), key, json_integer(value));
}

static bool is_before(const char *text, const char *one, const char *other)
{
	const char *a = strstr(text, one), *b = strstr(text, other);

	return a != NULL && b != NULL && a < b;
}

static void test_the_fullest_come_first(void **state)
{
	set(50, "leased", 10);
	set(58, "leased", 9);
	set(30, "leased", 10);
	set(30, "waiting", 1);
	const char *text = shown(LINES);

	assert_true(is_before(text, "10.0.0.30:80", "10.0.0.50:80"));
	assert_true(is_before(text, "10.0.0.50:80", "10.0.0.58:80"));
	assert_true(is_before(text, "10.0.0.58:80", "10.0.0.1:80"));
	assert_true(is_before(text, "10.0.0.1:80", "10.0.0.2:80"));
	assert_non_null(strstr(text, " more, none full\n"));
}

/* Of what serves as little, what cannot comes first. */
static void test_out_of_service(void **state)
{
	json_object_set_new(json_array_get(bed.endpoints, 54), "state", json_string("unhealthy"));
	assert_true(is_before(shown(LINES), "10.0.0.55:80", "10.0.0.1:80"));
}

static void test_what_is_not_shown(void **state)
{
	for (int i = 1; i <= ENDPOINTS; i++)
		set(i, "waiting", 1);
	json_object_set_new(bed.live, "endpoints_left_out", json_integer(44));
	const char *text = shown(LINES), *line = strstr(text, "and ");
	unsigned more = 0, full = 0;

	assert_non_null(line);
	assert_int_equal(sscanf(line, "and %u more, %u of them full; 44 more", &more, &full), 2);
	assert_int_equal(more, full);
	assert_non_null(strstr(line, "44 more are not looked at here"));
	/* All of them fit. */
	text = shown(100);
	assert_non_null(strstr(text, "and 0 more, none full; 44 more"));
	json_object_set_new(bed.live, "endpoints_left_out", json_integer(0));
	assert_null(strstr(shown(100), "more"));
}

static void test_what_refuses(void **state)
{
	assert_null(strstr(shown(LINES), "refusing"));
	json_object_set_new(bed.live, "limits",
		json_pack("[{s:s, s:f}, {s:s, s:f}, {s:s, s:f}]", "name", "a / x", "refused_per_s", 0.0, "name", "b / y", "refused_per_s", 3.0,
			"name", "c / z", "refused_per_s", 12.0));
	assert_non_null(strstr(shown(LINES), "refusing   limit c / z 12.0/s and 1 more"));
	json_object_set_new(bed.live, "breakers",
		json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "name", "one", "state", "closed", "name", "two", "state", "half_open", "name",
			"three", "state", "open"));
	assert_non_null(strstr(shown(LINES), "12.0/s and 1 more   breaker three open and 1 more\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_fullest_come_first),
		TEST(out_of_service),
		TEST(what_is_not_shown),
		TEST(what_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
