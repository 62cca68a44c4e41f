/* Spans: kept whole within their bounds, and written as OTLP's JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tracing/otlp.h"

static struct span_attribute attributes[SPAN_ATTRIBUTES_MAX];
static struct span_event events[SPAN_EVENTS_MAX];

static struct trace_span span_made(void)
{
	struct trace_span s = {.trace = {1, 2}, .id = 3, .parent_id = 4, .start_us = 1500, .end_us = 1800000000000000, .name = VIEW("GET"),
		.state = VIEW("a=1"), .message = VIEW("no"), .attributes = attributes, .events = events, .kind = SPAN_SERVER,
		.flags = TRACE_SAMPLED, .parent_is_remote = true, .failed = true};

	span_add_text(&s, "a.text", VIEW("\"\xff\n"));
	span_add_text(&s, "an.empty", VIEW(""));
	span_add_number(&s, "a.number", UINT64_MAX);
	span_add_event(&s, "an.event", 7);
	return s;
}

static void a_span_is_written_as_otlp_has_it(void **state)
{
	struct trace_span s = span_made();
	struct buf text = {0};

	assert_true(otlp_begin(&text, VIEW("edge")) && otlp_span(&text, &s, true) && otlp_span(&text, &s, false) && otlp_end(&text));
	assert_true(buf_append(&text, view_of("", 1), SIZE_MAX / 4));
	const char one[] = "{\"traceId\":\"00000000000000010000000000000002\",\"spanId\":\"0000000000000003\",\"flags\":769,\"name\":\"GET\","
		"\"kind\":2,\"startTimeUnixNano\":\"1500000\",\"endTimeUnixNano\":\"1800000000000000000\",\"attributes\":[{\"key\":\"a.text\","
		"\"value\":{\"stringValue\":\"\\\"\xef\xbf\xbd\\n\"}},{\"key\":\"a.number\",\"value\":{\"intValue\":\"18446744073709551615\"}}],"
		"\"parentSpanId\":\"0000000000000004\",\"traceState\":\"a=1\",\"events\":[{\"timeUnixNano\":\"7000\",\"name\":\"an.event\"}],"
		"\"status\":{\"code\":2,\"message\":\"no\"}}";
	char expected[4096];

	snprintf(expected, sizeof(expected), "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
		"{\"stringValue\":\"edge\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":[%s,%s]}]}]}", one, one);
	assert_string_equal(buf_view(&text).p, expected);
	buf_release(&text);
}

/* As many of everything as there may be, and nothing of it plain: the room was reckoned for that. */
static void the_largest_span_fits(void **state)
{
	static char control[SPAN_TEXT_MAX], odd[SPAN_TEXT_MAX];
	struct trace_span s = span_made();
	struct buf text = {0};

	memset(control, 1, sizeof(control));
	memset(odd, 0xff, sizeof(odd));
	s.name = s.message = s.state = view_of(control, sizeof(control));
	while (s.attribute_count < SPAN_ATTRIBUTES_MAX) {
		span_add_text(&s, "a.control", view_of(control, sizeof(control)));
		span_add_text(&s, "an.odd", view_of(odd, sizeof(odd)));
		span_add_number(&s, "a.number", UINT64_MAX);
	}
	while (s.event_count < SPAN_EVENTS_MAX)
		span_add_event(&s, "an.event", UINT64_MAX / 1000);
	assert_true(otlp_begin(&text, view_of(control, sizeof(control))) && otlp_span(&text, &s, true) && otlp_end(&text));
	json_t *read = json_loadb(buf_view(&text).p, buf_len(&text), 0, NULL);

	assert_non_null(read);
	json_decref(read);
	buf_release(&text);
}

static void what_the_collector_refuses_is_counted(void **state)
{
	assert_int_equal(otlp_rejected(VIEW("")), 0);
	assert_int_equal(otlp_rejected(VIEW("{}")), 0);
	assert_int_equal(otlp_rejected(VIEW("no json")), 0);
	assert_int_equal(otlp_rejected(VIEW("{\"partialSuccess\":{}}")), 0);
	assert_int_equal(otlp_rejected(VIEW("{\"partialSuccess\":{\"rejectedSpans\":\"12\"}}")), 12);
	assert_int_equal(otlp_rejected(VIEW("{\"partialSuccess\":{\"rejectedSpans\":3}}")), 3);
	assert_int_equal(otlp_rejected(VIEW("{\"partialSuccess\":{\"rejectedSpans\":-3}}")), 0);
	assert_int_equal(otlp_rejected(VIEW("{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}")), 0);
}

static void a_queue_keeps_copies_within_its_bounds(void **state)
{
	struct trace_span s = span_made();
	struct span_queue queue = {0};
	char name[SPAN_TEXT_MAX + 10];

	memset(name, 'n', sizeof(name));
	s.name = view_of(name, sizeof(name));
	assert_true(span_queue_put(&queue, &s, 2, 100000));
	memset(name, 'x', sizeof(name));
	assert_true(span_queue_put(&queue, &s, 2, 100000));
	assert_false(span_queue_put(&queue, &s, 2, 100000));
	assert_false(span_queue_put(&queue, &s, 3, queue.bytes + 10));
	const struct trace_span *first = span_queue_first(&queue);
	assert_int_equal(first->name.n, SPAN_TEXT_MAX);
	assert_int_equal(first->name.p[0], 'n');
	assert_int_equal(first->attribute_count, 2);
	assert_true(view_eq(first->attributes[0].text, VIEW("\"\xff\n")) && first->attributes[1].number == UINT64_MAX);
	assert_true(first->events[0].at_us == 7 && first->parent_id == 4);
	span_queue_drop(&queue);
	assert_int_equal(span_queue_first(&queue)->name.p[0], 'x');
	span_queue_drop(&queue);
	assert_true(span_queue_first(&queue) == NULL && queue.count == 0 && queue.bytes == 0);
	/* It goes on after it was empty. */
	assert_true(span_queue_put(&queue, &s, 2, 100000));
	span_queue_drop(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_span_is_written_as_otlp_has_it),
		cmocka_unit_test(the_largest_span_fits),
		cmocka_unit_test(what_the_collector_refuses_is_counted),
		cmocka_unit_test(a_queue_keeps_copies_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
