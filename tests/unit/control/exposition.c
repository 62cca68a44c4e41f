/* The text format: lines as they must stand, whatever bytes a label has, and a bound that holds. */
#include "load.h"

#include "control/exposition.h"

static void assert_text(struct exposition *x, const char *expected)
{
	assert_false(x->full);
	assert_int_equal(buf_len(x->to), strlen(expected));
	assert_memory_equal(buf_view(x->to).p, expected, strlen(expected));
	buf_release(x->to);
}

static void test_family(void **state)
{
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};

	exposition_family(&x, "a_total", METRIC_COUNTER, "What it is.");
	exposition_family(&x, "b", METRIC_GAUGE, "Another.");
	assert_text(&x, "# HELP a_total What it is.\n# TYPE a_total counter\n# HELP b Another.\n# TYPE b gauge\n");
}

static void test_samples(void **state)
{
	const struct label labels[] = {{"upstream", VIEW("users")}, {"endpoint", VIEW("[::1]:80")}};
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};

	exposition_sample(&x, "a", NULL, 0, 0);
	exposition_sample(&x, "b", labels, 1, 7);
	exposition_sample(&x, "c", labels, 2, UINT64_MAX);
	assert_text(
		&x, "a 0\nb{upstream=\"users\"} 7\nc{upstream=\"users\",endpoint=\"[::1]:80\"} 18446744073709551615\n");
}

static void test_seconds(void **state)
{
	const struct label label = {"l", VIEW("v")};
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};

	exposition_millionths(&x, "a", NULL, 0, 0);
	exposition_millionths(&x, "a", NULL, 0, 999999);
	exposition_millionths(&x, "a", &label, 1, 1795236362574646);
	assert_text(&x, "a 0.000000\na 0.999999\na{l=\"v\"} 1795236362.574646\n");
}

static void test_histogram(void **state)
{
	const struct label label = {"l", VIEW("v")};
	const uint64_t counts[] = {1, 0, 2, 5};
	const struct histogram histogram = {counts, 4, 16, 1500000, 1};
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};

	exposition_family(&x, "h", METRIC_HISTOGRAM, "Times.");
	exposition_histogram(&x, "h", &label, 1, &histogram);
	assert_text(&x, "# HELP h Times.\n# TYPE h histogram\n"
			"h_bucket{l=\"v\",le=\"0.000016\"} 1\n"
			"h_bucket{l=\"v\",le=\"0.000032\"} 1\n"
			"h_bucket{l=\"v\",le=\"0.000064\"} 3\n"
			"h_bucket{l=\"v\",le=\"+Inf\"} 8\n"
			"h_sum{l=\"v\"} 1.500000\n"
			"h_count{l=\"v\"} 8\n");
}

static void test_histogram_with_few_bounds(void **state)
{
	const uint64_t counts[] = {1, 2, 3};
	const struct histogram histogram = {counts, 3, 64, 1000, 2};
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};

	exposition_histogram(&x, "h", NULL, 0, &histogram);
	assert_text(&x, "h_bucket{le=\"0.000064\"} 1\nh_bucket{le=\"0.000256\"} 3\nh_bucket{le=\"+Inf\"} 6\n"
			"h_sum 0.001000\nh_count 6\n");
}

static void assert_escaped(struct view value, const char *expected)
{
	const struct label label = {"l", value};
	struct buf text = {0};
	struct exposition x = {.to = &text, .bytes_max = 1000};
	char line[200];

	exposition_sample(&x, "a", &label, 1, 1);
	snprintf(line, sizeof(line), "a{l=\"%s\"} 1\n", expected);
	assert_text(&x, line);
}

static void test_escaping(void **state)
{
	assert_escaped(VIEW(""), "");
	assert_escaped(view_of(NULL, 0), "");
	assert_escaped(VIEW("plain, {text} = 1"), "plain, {text} = 1");
	assert_escaped(VIEW("\""), "\\\"");
	assert_escaped(VIEW("\\"), "\\\\");
	assert_escaped(VIEW("\n"), "\\n");
	assert_escaped(VIEW("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
	assert_escaped(VIEW("\\n"), "\\\\n");
	assert_escaped(VIEW("\"} 1\nforged 2\n"), "\\\"} 1\\nforged 2\\n");
	assert_escaped(VIEW("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
}

static void test_bound(void **state)
{
	struct buf text = {0};

	/* "a 1\n" fits into four bytes, and not into three. */
	for (size_t bytes_max = 0; bytes_max <= 4; bytes_max++) {
		struct exposition x = {.to = &text, .bytes_max = bytes_max};

		exposition_sample(&x, "a", NULL, 0, 1);
		assert_int_equal(x.full, bytes_max < 4);
		assert_true(buf_len(&text) <= bytes_max);
		buf_release(&text);
	}
}

/* The same family in the other format: no suffix in what is said about it, a unit, an exemplar, an end. */
static void test_openmetrics(void **state)
{
	const uint64_t counts[] = {1, 2};
	const struct exemplar exemplars[] = {
		{.trace_id = ""}, {"0af7651916cd43dd8448eb211c80319c", 67000, 1520879607789000}};
	const struct histogram histogram = {counts, 2, 16, 67010, 1, exemplars};
	struct buf text = {0};
	struct exposition x = {.to = &text, .format = EXPOSITION_OPENMETRICS, .bytes_max = 1000};

	exposition_family(&x, "a_total", METRIC_COUNTER, "What it is.");
	exposition_sample(&x, "a_total", NULL, 0, 3);
	exposition_family(&x, "cpu_seconds_total", METRIC_COUNTER, "Spent.");
	exposition_family(&x, "seconds", METRIC_GAUGE, "A unit alone is a name.");
	exposition_family(&x, "h_seconds", METRIC_HISTOGRAM, "Times.");
	exposition_histogram(&x, "h_seconds", NULL, 0, &histogram);
	exposition_end(&x);
	assert_text(&x, "# HELP a What it is.\n# TYPE a counter\na_total 3\n"
			"# HELP cpu_seconds Spent.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\n"
			"# HELP seconds A unit alone is a name.\n# TYPE seconds gauge\n"
			"# HELP h_seconds Times.\n# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n"
			"h_seconds_bucket{le=\"0.000016\"} 1\n"
			"h_seconds_bucket{le=\"+Inf\"} 3 # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 0.067000 "
			"1520879607.789000\n"
			"h_seconds_sum 0.067010\nh_seconds_count 3\n# EOF\n");
	x.format = EXPOSITION_TEXT;
	exposition_histogram(&x, "h_seconds", NULL, 0, &histogram);
	exposition_end(&x);
	assert_null(memchr(buf_view(&text).p, '#', buf_len(&text)));
	buf_release(&text);
}

static void test_negotiation(void **state)
{
	static const struct {
		const char *accept;
		enum exposition_format format;
	} cases[] = {
		{"", EXPOSITION_TEXT},
		{"*/*", EXPOSITION_TEXT},
		{"text/html, */*;q=0.8", EXPOSITION_TEXT},
		{"application/openmetrics-text", EXPOSITION_OPENMETRICS},
		{"Application/OpenMetrics-Text ; version=1.0.0 ; q=0.2", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=\"1.0.0\"", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", EXPOSITION_TEXT},
		{"application/openmetrics-text;q=0", EXPOSITION_TEXT},
		{"application/openmetrics-text;q=0.000", EXPOSITION_TEXT},
		{"application/openmetrics-text;q=x", EXPOSITION_TEXT},
		{"application/openmetrics-text;q=0.4,text/plain;q=0.5", EXPOSITION_TEXT},
		{"application/openmetrics-text;q=0.5,text/plain;q=0.5", EXPOSITION_OPENMETRICS},
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			EXPOSITION_OPENMETRICS},
		{",;,=;q", EXPOSITION_TEXT},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		if (exposition_negotiate(view_str(cases[i].accept)) != cases[i].format)
			fail_msg("%s", cases[i].accept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_histogram_with_few_bounds),
		cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
