/* traceparent and tracestate: what is taken, what is not, and what goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "tracing/context.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define GOOD "00-" TRACE "-" SPAN "-01"

static bool parses(const char *text)
{
	struct trace_parent parent;

	return traceparent_parse(view_str(text), &parent);
}

static void hex_is_written_as_people_write_it(void **state)
{
	char text[17] = {0};

	hex_write(text, 0x0123456789abcdefULL);
	assert_string_equal(text, "0123456789abcdef");
}

static void a_parent_is_read_and_written(void **state)
{
	struct trace_parent parent;
	char text[TRACEPARENT_BYTES + 1] = {0};

	assert_true(traceparent_parse(VIEW(GOOD), &parent));
	assert_int_equal(parent.trace.high, 0x0af7651916cd43ddULL);
	assert_int_equal(parent.trace.low, 0x8448eb211c80319cULL);
	assert_int_equal(parent.span_id, 0xb7ad6b7169203331ULL);
	assert_int_equal(parent.flags, TRACE_SAMPLED);
	traceparent_write(text, parent.trace, parent.span_id, parent.flags);
	assert_string_equal(text, GOOD);
	traceparent_write(text, parent.trace, parent.span_id, 0);
	assert_string_equal(text, "00-" TRACE "-" SPAN "-00");
}

static void only_the_known_flag_is_kept(void **state)
{
	struct trace_parent parent;

	assert_true(traceparent_parse(VIEW("00-" TRACE "-" SPAN "-fe"), &parent));
	assert_int_equal(parent.flags, 0);
	assert_true(traceparent_parse(VIEW("00-" TRACE "-" SPAN "-ff"), &parent));
	assert_int_equal(parent.flags, TRACE_SAMPLED);
}

static void later_versions_are_read_as_far_as_they_are_known(void **state)
{
	assert_true(parses("cc-" TRACE "-" SPAN "-01"));
	assert_true(parses("cc-" TRACE "-" SPAN "-01-what the future will be like"));
	assert_true(parses("cc-" TRACE "-" SPAN "-01-"));
	assert_false(parses("cc-" TRACE "-" SPAN "-01.what"));
	assert_false(parses("cc-" TRACE "-" SPAN "-1"));
	assert_false(parses("ff-" TRACE "-" SPAN "-01"));
}

static void what_is_no_parent_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "00", GOOD "-", GOOD "-00", "00-" TRACE "-" SPAN, "00-" TRACE "-" SPAN "-0", "0-" TRACE "-" SPAN "-011",
		"00-00000000000000000000000000000000-" SPAN "-01", "00-" TRACE "-0000000000000000-01",
		"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", "00-" TRACE "-B7AD6B7169203331-01", "0A-" TRACE "-" SPAN "-01",
		"00-" TRACE "-" SPAN "-0g", "00-.af7651916cd43dd8448eb211c80319c-" SPAN "-01", "00-" TRACE "-b7ad6b716920333.-01",
		"00_" TRACE "-" SPAN "-01", "00-" TRACE "_" SPAN "-01", "00-" TRACE "-" SPAN "_01", ".0-" TRACE "-" SPAN "-01",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(parses(bad[i]));
}

/* --- tracestate --- */

static const char *passes(const char *value)
{
	static char text[TRACESTATE_BYTES_MAX + 1];
	struct tracestate gathered = {.count = 0};

	if (!tracestate_gather(&gathered, view_str(value)))
		return NULL;
	text[tracestate_write(text, &gathered)] = '\0';
	return text;
}

static void state_goes_on_in_its_order(void **state)
{
	assert_string_equal(passes("foo=1,bar=2"), "foo=1,bar=2");
	assert_string_equal(passes("foo=1 \t, \t bar=2, ,,baz=3"), "foo=1,bar=2,baz=3");
	assert_string_equal(passes("t61rcwkgmze@ot=x y:z,0tenant@s=!~"), "t61rcwkgmze@ot=x y:z,0tenant@s=!~");
	assert_string_equal(passes("a=  b"), "a=  b");
	assert_string_equal(passes(""), "");
	assert_string_equal(passes(" , "), "");
}

static void malformed_state_is_no_state(void **state)
{
	static const char *const bad[] = {"foo", "foo=", "=1", "Foo=1", "foo =1", "0foo=1", "foo@=1", "@foo=1", "foo@bar@baz=1", "foo=1=2",
		"foo=b\x80r", "foo=1,foo=2", "foo@0b=1", "f\xc3\xb6=1", "foo@abcdefghijklmno=1"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(passes(bad[i]));
	/* ';' may stand in a value, '=' may not. */
	assert_null(passes("foo=1;bar=2"));
	assert_string_equal(passes("foo=1;bar"), "foo=1;bar");
}

static void several_fields_are_one_list(void **state)
{
	struct tracestate gathered = {.count = 0};
	char text[TRACESTATE_BYTES_MAX + 1] = {0};

	assert_true(tracestate_gather(&gathered, VIEW("foo=1")));
	assert_true(tracestate_gather(&gathered, VIEW("")));
	assert_true(tracestate_gather(&gathered, VIEW("bar=2,baz=3")));
	tracestate_write(text, &gathered);
	assert_string_equal(text, "foo=1,bar=2,baz=3");
	assert_false(tracestate_gather(&gathered, VIEW("bar=4")));
}

static void there_are_at_most_32_members(void **state)
{
	char text[1024] = "";

	for (int i = 0; i < 32; i++)
		sprintf(text + strlen(text), "%sk%02d=%d", i > 0 ? "," : "", i, i % 10);
	assert_string_equal(passes(text), text);
	strcat(text, ",one=more");
	assert_null(passes(text));
}

static void too_much_is_cut_where_it_hurts_least(void **state)
{
	char large[400], text[2048];

	memset(large, 'v', 200);
	large[200] = '\0';
	/* 6 x 80 fit. A large one goes first, wherever it stands; then the last. */
	sprintf(text, "big=%s", large);
	for (int i = 0; i < 6; i++)
		sprintf(text + strlen(text), ",k%d=%.77s", i, large);
	assert_null(strstr(passes(text), "big="));
	assert_non_null(strstr(passes(text), "k5="));
	sprintf(text + strlen(text), ",k6=%.77s", large);
	assert_non_null(strstr(passes(text), "k5="));
	assert_null(strstr(passes(text), "k6="));
	assert_true(strlen(passes(text)) <= TRACESTATE_BYTES_MAX);
}

/* --- sampling --- */

static void a_ratio_is_a_ratio_and_always_the_same(void **state)
{
	unsigned sampled = 0;

	for (uint64_t i = 0; i < 100000; i++) {
		struct trace_id id = {i, i * 0x9e3779b97f4a7c15ULL};

		assert_false(trace_is_sampled(id, 0));
		assert_true(trace_is_sampled(id, 1000000));
		sampled += trace_is_sampled(id, 10000);
		/* Who is sampled at a ratio is at every larger one. */
		assert_true(!trace_is_sampled(id, 10000) || trace_is_sampled(id, 20000));
	}
	assert_in_range(sampled, 900, 1100);
	assert_true(trace_is_sampled((struct trace_id){1, UINT64_MAX}, 1000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_is_written_as_people_write_it),
		cmocka_unit_test(a_parent_is_read_and_written),
		cmocka_unit_test(only_the_known_flag_is_kept),
		cmocka_unit_test(later_versions_are_read_as_far_as_they_are_known),
		cmocka_unit_test(what_is_no_parent_is_refused),
		cmocka_unit_test(state_goes_on_in_its_order),
		cmocka_unit_test(malformed_state_is_no_state),
		cmocka_unit_test(several_fields_are_one_list),
		cmocka_unit_test(there_are_at_most_32_members),
		cmocka_unit_test(too_much_is_cut_where_it_hurts_least),
		cmocka_unit_test(a_ratio_is_a_ratio_and_always_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
