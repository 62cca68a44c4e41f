/* Packing: every field survives, views point into the packed bytes, and over-long fields are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "sample.h"
#include "telemetry/entry.h"

static const size_t record_views[] = {
	offsetof(struct exchange_record, listener), offsetof(struct exchange_record, client),
	offsetof(struct exchange_record, consumer),
	offsetof(struct exchange_record, method), offsetof(struct exchange_record, host),
	offsetof(struct exchange_record, target), offsetof(struct exchange_record, protocol),
	offsetof(struct exchange_record, request_id), offsetof(struct exchange_record, user_agent),
	offsetof(struct exchange_record, referer), offsetof(struct exchange_record, route),
	offsetof(struct exchange_record, upstream), offsetof(struct exchange_record, endpoint),
};

#define VIEW_COUNT (sizeof(record_views) / sizeof(record_views[0]))

static struct view *view_at(struct exchange_record *record, size_t i)
{
	return (struct view *)(void *)((char *)record + record_views[i]);
}

static void test_record_round_trip(void **state)
{
	struct entry in = {.kind = ENTRY_RECORD, .u.record = sample_record()}, out;
	size_t size = entry_size(&in);
	char *packed = malloc(size);

	assert_non_null(packed);
	entry_pack(&in, packed);
	entry_unpack(&out, packed);
	assert_int_equal(out.kind, ENTRY_RECORD);
	for (size_t i = 0; i < VIEW_COUNT; i++) {
		struct view *got = view_at(&out.u.record, i);

		assert_true(view_eq(*got, *view_at(&in.u.record, i)));
		assert_true(got->p >= packed && got->p + got->n <= packed + size);
		/* The rest of the record must be equal as it stands. */
		*got = *view_at(&in.u.record, i);
	}
	assert_memory_equal(&in.u.record, &out.u.record, sizeof(in.u.record));
	free(packed);
}

static void test_record_with_tls(void **state)
{
	struct record_tls tls = {VIEW("TLSv1.3"), VIEW("TLS_AES_128_GCM_SHA256"), VIEW("a.test"), VIEW(""), true, false};
	struct exchange_record record = sample_record();
	struct entry in, out;

	record.tls = &tls;
	entry_of_record(&in, &record);
	char *packed = malloc(entry_size(&in));

	assert_non_null(packed);
	entry_pack(&in, packed);
	memset(&in, 0, sizeof(in));
	entry_unpack(&out, packed);
	assert_ptr_equal(out.u.record.tls, &out.tls);
	assert_true(view_eq(out.tls.version, tls.version) && view_eq(out.tls.cipher, tls.cipher));
	assert_true(view_eq(out.tls.server_name, tls.server_name) && out.tls.client_subject.n == 0);
	assert_true(out.tls.resumed);
	assert_true(view_eq(out.u.record.target, record.target) && view_eq(out.u.record.endpoint, record.endpoint));
	free(packed);
}

static void test_event_round_trip(void **state)
{
	struct entry in = {.kind = ENTRY_EVENT, .u.event = {SAMPLE_WALL_US, 2, VIEW("drain begins")}}, out;
	char *packed = malloc(entry_size(&in));

	assert_non_null(packed);
	entry_pack(&in, packed);
	entry_unpack(&out, packed);
	assert_int_equal(out.kind, ENTRY_EVENT);
	assert_int_equal(out.u.event.wall_us, SAMPLE_WALL_US);
	assert_int_equal(out.u.event.level, 2);
	assert_true(view_eq(out.u.event.text, VIEW("drain begins")));
	free(packed);
}

static void test_long_fields_are_cut(void **state)
{
	static char bytes[300000];
	struct entry in = {.kind = ENTRY_RECORD, .u.record = sample_record()}, out;

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < VIEW_COUNT; i++)
		*view_at(&in.u.record, i) = view_of(bytes, sizeof(bytes));
	size_t size = entry_size(&in);
	char *packed = malloc(size);

	assert_non_null(packed);
	assert_in_range(size, 8192, 16384);
	entry_pack(&in, packed);
	entry_unpack(&out, packed);
	assert_int_equal(out.u.record.target.n, 8192);
	assert_int_equal(out.u.record.user_agent.n, 1024);
	assert_ptr_equal(out.u.record.endpoint.p + out.u.record.endpoint.n, packed + size);
	free(packed);
}

static void test_empty_views(void **state)
{
	struct entry in = {.kind = ENTRY_RECORD}, out;
	char *packed = malloc(entry_size(&in));

	assert_non_null(packed);
	entry_pack(&in, packed);
	entry_unpack(&out, packed);
	for (size_t i = 0; i < VIEW_COUNT; i++)
		assert_int_equal(view_at(&out.u.record, i)->n, 0);
	free(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_round_trip),
		cmocka_unit_test(test_record_with_tls),
		cmocka_unit_test(test_event_round_trip),
		cmocka_unit_test(test_long_fields_are_cut),
		cmocka_unit_test(test_empty_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
