/* Both formats, exactly; and that no request can break a line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include <jansson.h>

#include "config/model.h"
#include "http/grpc.h"
#include "sample.h"
#include "telemetry/entry.h"
#include "telemetry/format.h"

static char line[FORMAT_LINE_MAX];
static const struct format_fields everything;
static struct format_moment moment;

/* As it comes to be written. Until the next one. */
static const struct exchange_record *unpacked(const struct exchange_record *record)
{
	static uint64_t packed[(ENTRY_RECORD_MAX + FORMAT_READ_SLACK) / 8];
	static struct entry entry;

	/* What stands behind does not matter. */
	memset(packed, '"', sizeof(packed));
	entry_pack_record(record, packed);
	entry_unpack(&entry, packed);
	return &entry.u.record;
}

static void assert_line(size_t n, const char *expected)
{
	assert_in_range(n, 1, sizeof(line) - 1);
	line[n] = '\0';
	assert_string_equal(line, expected);
}

/* Whatever was written before: the same moment, the next, the one before, another day. */
static void test_time_after_another(void **state)
{
	const uint64_t times_us[] = {0, 999999, 1000000, 999999, SAMPLE_WALL_US, SAMPLE_WALL_US + 1000, SAMPLE_WALL_US + 876543,
		SAMPLE_WALL_US + 876544, SAMPLE_WALL_US, SAMPLE_WALL_US - 123457, 951782399999999, 951782400000000};
	struct format_moment one = {0};
	char text[RFC3339_BYTES], expected[RFC3339_BYTES];

	for (size_t i = 0; i < sizeof(times_us) / sizeof(times_us[0]); i++) {
		rfc3339_write(times_us[i], expected);
		format_time_again(&one, times_us[i], text);
		assert_memory_equal(text, expected, sizeof(text));
	}
}

static void test_text(void **state)
{
	struct exchange_record record = sample_record();

	assert_line(format_record_text(&record, line),
		"203.0.113.7 - shop [2026-11-21T03:25:00.123Z] \"GET /v1/users?id=7 HTTP/1.1\" 504 234 \"https://example.com/\" "
		"\"curl/8.5\" listener=\"public\" host=\"api.example.com\" request_id=\"0123abcd\" cause=\"first_byte_timeout\" "
		"why=\"no byte came\" route=\"users\" upstream=\"backend\" endpoint=\"127.0.0.1:9001\" reused=true retries=1 "
		"upstream_status=false upgraded=false bytes_in=10 queue_us=0 connect_us=- first_byte_us=1500000 "
		"total_us=1500321 phases_us=reading:300,first_byte:1500000,client:21\n");
}

static void test_text_of_nothing(void **state)
{
	struct exchange_record record = {.queue_us = UINT64_MAX, .connect_us = UINT64_MAX, .first_byte_us = UINT64_MAX};

	assert_line(format_record_text(&record, line),
		"- - - [1970-01-01T00:00:00.000Z] \"  \" - 0 \"-\" \"-\" listener=- host=- request_id=- cause=- why=- route=- "
		"upstream=- endpoint=- reused=false retries=0 upstream_status=false upgraded=false bytes_in=0 queue_us=- "
		"connect_us=- first_byte_us=- total_us=0 phases_us=-\n");
}

static void test_json(void **state)
{
	struct exchange_record record = sample_record();

	assert_line(format_record_json(unpacked(&record), &everything, &moment, line),
		"{\"time\":\"2026-11-21T03:25:00.123Z\",\"listener\":\"public\",\"client\":\"203.0.113.7\",\"consumer\":\"shop\",\"method\":\"GET\","
		"\"host\":\"api.example.com\",\"target\":\"/v1/users?id=7\",\"protocol\":\"HTTP/1.1\","
		"\"request_id\":\"0123abcd\",\"status\":504,\"cause\":\"first_byte_timeout\",\"why\":\"no byte came\","
		"\"route\":\"users\",\"upstream\":\"backend\",\"endpoint\":\"127.0.0.1:9001\",\"reused\":true,"
		"\"retries\":1,\"upstream_status\":false,\"bytes_in\":10,\"bytes_out\":234,\"queue_us\":0,\"connect_us\":null,"
		"\"first_byte_us\":1500000,\"total_us\":1500321,"
		"\"phases_us\":{\"reading\":300,\"first_byte\":1500000,\"client\":21},\"user_agent\":\"curl/8.5\","
		"\"referer\":\"https://example.com/\",\"upgraded\":false}\n");
}

static void test_grpc(void **state)
{
	struct exchange_record record = sample_record();

	record.grpc = true;
	record.grpc_status = GRPC_UNAVAILABLE;
	line[format_record_json(unpacked(&record), &everything, &moment, line)] = '\0';
	assert_non_null(strstr(line, ",\"upgraded\":false,\"grpc_status\":14}\n"));
	line[format_record_text(&record, line)] = '\0';
	assert_non_null(strstr(line, ",client:21 grpc_status=14\n"));
	record.grpc_status = GRPC_STATUS_COUNT;
	line[format_record_json(unpacked(&record), &everything, &moment, line)] = '\0';
	assert_non_null(strstr(line, ",\"grpc_status\":null}\n"));
	line[format_record_text(&record, line)] = '\0';
	assert_non_null(strstr(line, " grpc_status=-\n"));
}

static void test_json_of_tls(void **state)
{
	struct record_tls tls = {VIEW("TLSv1.3"), VIEW("TLS_AES_128_GCM_SHA256"), VIEW("a.test"), VIEW("CN=client"), true, true};
	struct exchange_record record = sample_record();

	record.tls = &tls;
	line[format_record_json(unpacked(&record), &everything, &moment, line)] = '\0';
	assert_non_null(strstr(line, ",\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_AES_128_GCM_SHA256\","
				     "\"server_name\":\"a.test\",\"resumed\":true,\"client_verify\":\"ok\","
				     "\"client_subject\":\"CN=client\"}}\n"));
}

static void test_json_of_nothing(void **state)
{
	struct exchange_record record = {.queue_us = UINT64_MAX, .connect_us = UINT64_MAX, .first_byte_us = UINT64_MAX};
	json_t *object;

	size_t n = format_record_json(unpacked(&record), &everything, &moment, line);
	object = json_loadb(line, n, 0, NULL);
	assert_non_null(object);
	assert_true(json_is_null(json_object_get(object, "status")));
	assert_true(json_is_null(json_object_get(object, "cause")));
	assert_true(json_is_null(json_object_get(object, "route")));
	assert_true(json_is_null(json_object_get(object, "queue_us")));
	assert_int_equal(json_integer_value(json_object_get(object, "total_us")), 0);
	assert_int_equal(json_object_size(json_object_get(object, "phases_us")), 0);
	json_decref(object);
}

/* Every byte value in a row, so each escape is met. */
static struct view hostile(char bytes[256])
{
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	return view_of(bytes, 256);
}

static void test_text_cannot_be_forged(void **state)
{
	char bytes[256];
	struct exchange_record record = sample_record();

	record.target = record.user_agent = record.client = hostile(bytes);
	size_t n = format_record_text(&record, line);

	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	for (size_t i = 0; i + 1 < n; i++)
		assert_in_range((unsigned char)line[i], 0x20, 0x7e);
	line[n] = '\0';
	assert_non_null(strstr(line, "\\x00\\x01"));
	assert_non_null(strstr(line, " !\\x22#"));
	assert_non_null(strstr(line, "[\\x5c]"));
	assert_non_null(strstr(line, "~\\x7f\\x80"));
	assert_non_null(strstr(line, "\\xff"));
}

static void test_json_cannot_be_forged(void **state)
{
	char bytes[256];
	struct exchange_record record = sample_record();

	record.user_agent = hostile(bytes);
	record.referer = VIEW("a\n\"b\\");
	record.host = VIEW("gr\xc3\xbc\xc3\x9f");
	size_t n = format_record_json(unpacked(&record), &everything, &moment, line);

	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	json_t *object = json_loadb(line, n, JSON_ALLOW_NUL, NULL);

	assert_non_null(object);
	assert_int_equal(json_string_length(json_object_get(object, "user_agent")), 128 + 3 * 128);
	assert_string_equal(json_string_value(json_object_get(object, "referer")), "a\n\"b\\");
	assert_string_equal(json_string_value(json_object_get(object, "host")), "gr\xc3\xbc\xc3\x9f");
	json_decref(object);
}

/* A line that is written from left to right is the one that jansson would have written. */
static void test_json_is_as_jansson_writes_it(void **state)
{
	char bytes[256];
	struct record_tls tls = {VIEW("TLSv1.3"), VIEW("a cipher"), hostile(bytes), VIEW("CN=\xc3\xbc\""), false, true};
	struct exchange_record record = sample_record();

	for (unsigned i = 0; i < 256; i++) {
		record.host = view_of(bytes, i);
		record.referer = view_of(bytes + i, 1);
		record.tls = i % 2 == 0 ? &tls : NULL;
		record.grpc = i % 3 == 0;
		record.trace = (struct trace_id){i, i};
		record.bytes_in = i == 0 ? INT64_MAX : 1ULL << i % 63;
		size_t n = format_record_json(unpacked(&record), &everything, &moment, line);
		json_t *object = json_loadb(line, n, JSON_ALLOW_NUL, NULL);

		assert_non_null(object);
		char *again = json_dumps(object, JSON_COMPACT);

		assert_int_equal(strlen(again), n - 1);
		assert_memory_equal(again, line, n - 1);
		free(again);
		json_decref(object);
	}
}

/* Somebody who sends a NUL is logged all the same. */
static void test_pairs_of_anything(void **state)
{
	static const char *const names[] = {"user_agent", "status"};
	const struct format_fields fields = {names, 2};
	char bytes[256];
	struct exchange_record record = sample_record();

	record.user_agent = hostile(bytes);
	line[format_record_pairs(unpacked(&record), &fields, line)] = '\0';
	assert_memory_equal(line, "user_agent=\"\\x00\\x01", 20);
	assert_non_null(strstr(line, " status=504\n"));
}

static void test_largest_line_fits(void **state)
{
	static char bytes[8192], letters[256];
	struct exchange_record record = sample_record();
	struct view *const views[] = {&record.listener, &record.client, &record.method, &record.host, &record.protocol,
		&record.request_id, &record.route, &record.upstream, &record.endpoint};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		*views[i] = view_of(bytes, 256);
	record.target = view_of(bytes, 8192);
	record.user_agent = record.referer = view_of(bytes, 1024);
	assert_in_range(format_record_text(&record, line), 4 * 8192, FORMAT_LINE_MAX);
	assert_in_range(format_record_json(unpacked(&record), &everything, &moment, line), 6 * 8192, FORMAT_LINE_MAX);
	memset(bytes, 0xff, sizeof(bytes));
	/* Nobody who sends a request chooses these. */
	memset(letters, 'a', sizeof(letters));
	record.listener = record.protocol = record.route = record.upstream = view_of(letters, sizeof(letters));
	assert_in_range(format_record_json(unpacked(&record), &everything, &moment, line), 3 * 8192, FORMAT_LINE_MAX);

	static const char *const names[] = {"listener", "client", "method", "host", "protocol", "request_id", "route", "upstream",
		"endpoint", "target", "user_agent", "referer", "why", "cause", "phases_us", "tls", "time"};
	const struct format_fields fields = {names, sizeof(names) / sizeof(names[0])};

	assert_in_range(format_record_pairs(unpacked(&record), &fields, line), 4 * 8192, FORMAT_LINE_MAX);
}

static void test_event(void **state)
{
	assert_line(format_event(SAMPLE_WALL_US, LEVEL_WARNING, "worker=1", VIEW("a\nb"), line),
		"2026-11-21T03:25:00.123Z warning worker=1 a\\x0ab\n");
	/* A complaint with foreign text in it, as it is. */
	assert_line(format_event(SAMPLE_WALL_US, LEVEL_ERROR, "main", VIEW("f:1:2: a: found \"\\x00\""), line),
		"2026-11-21T03:25:00.123Z error main f:1:2: a: found \"\\x00\"\n");
}

static void test_event_cannot_be_forged(void **state)
{
	char bytes[256];
	size_t n = format_event(SAMPLE_WALL_US, LEVEL_INFO, "main", hostile(bytes), line);

	assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
	for (size_t i = 0; i + 1 < n; i++)
		assert_in_range((unsigned char)line[i], 0x20, 0x7e);
}

static void test_chosen_fields(void **state)
{
	static const char *const names[] = {"status", "target", "grpc_status", "phases_us", "reused", "connect_us", "time"};
	const struct format_fields fields = {names, sizeof(names) / sizeof(names[0])};
	struct exchange_record record = sample_record();
	record.target = VIEW("/a\n\"b\xff");
	assert_line(format_record_json(unpacked(&record), &fields, &moment, line),
		"{\"status\":504,\"target\":\"/a\\n\\\"b\xef\xbf\xbd\",\"grpc_status\":null,\"phases_us\":{\"reading\":300,\"first_byte\":1500000,"
		"\"client\":21},\"reused\":true,"
		"\"connect_us\":null,\"time\":\"2026-11-21T03:25:00.123Z\"}\n");
	assert_line(format_record_pairs(unpacked(&record), &fields, line),
		"status=504 target=\"/a\\x0a\\x22b\\xef\\xbf\\xbd\" grpc_status=- phases_us=reading:300,first_byte:1500000,client:21 "
		"reused=true connect_us=- time=\"2026-11-21T03:25:00.123Z\"\n");
}

static void test_phases_of_no_time(void **state)
{
	static const char *const names[] = {"phases_us", "status"};
	const struct format_fields fields = {names, 2};
	struct exchange_record record = sample_record();

	memset(record.phase_us, 0, sizeof(record.phase_us));
	assert_line(format_record_json(unpacked(&record), &fields, &moment, line), "{\"phases_us\":{},\"status\":504}\n");
	assert_line(format_record_pairs(unpacked(&record), &fields, line), "phases_us=- status=504\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_after_another),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_of_nothing),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_grpc),
		cmocka_unit_test(test_json_of_tls),
		cmocka_unit_test(test_json_of_nothing),
		cmocka_unit_test(test_text_cannot_be_forged),
		cmocka_unit_test(test_json_cannot_be_forged),
		cmocka_unit_test(test_chosen_fields),
		cmocka_unit_test(test_phases_of_no_time),
		cmocka_unit_test(test_json_is_as_jansson_writes_it),
		cmocka_unit_test(test_pairs_of_anything),
		cmocka_unit_test(test_largest_line_fits),
		cmocka_unit_test(test_event),
		cmocka_unit_test(test_event_cannot_be_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
