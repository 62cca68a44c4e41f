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
	offsetof(struct exchange_record, client), offsetof(struct exchange_record, method), offsetof(struct exchange_record, host),
	offsetof(struct exchange_record, target), offsetof(struct exchange_record, request_id),
	offsetof(struct exchange_record, user_agent), offsetof(struct exchange_record, referer),
	offsetof(struct exchange_record, endpoint), offsetof(struct exchange_record, listener),
	offsetof(struct exchange_record, consumer), offsetof(struct exchange_record, route),
	offsetof(struct exchange_record, upstream),
};

#define VIEW_COUNT (sizeof(record_views) / sizeof(record_views[0]))

static struct view *view_at(struct exchange_record *record, size_t i)
{
	return (struct view *)(void *)((char *)record + record_views[i]);
}

static void test_record_round_trip(void **state)
{
	struct exchange_record in = sample_record();
	struct entry out;
	char *packed = malloc(ENTRY_RECORD_MAX);

	assert_non_null(packed);
	size_t size = entry_pack_record(&in, packed);

	assert_in_range(size, sizeof(in) / 2, ENTRY_RECORD_MAX);
	entry_unpack(&out, packed);
	assert_int_equal(out.kind, ENTRY_RECORD);
	const char *behind = NULL;

	for (size_t i = 0; i < VIEW_COUNT; i++) {
		struct view *got = view_at(&out.u.record, i);

		assert_true(view_eq(*got, *view_at(&in, i)));
		assert_true(got->p >= packed && got->p + got->n <= packed + size);
		/* One behind the other. */
		assert_ptr_equal(got->p, behind != NULL ? behind : got->p);
		behind = got->p + got->n;
		/* The rest of the record must be equal as it stands. */
		*got = *view_at(&in, i);
	}
	assert_memory_equal(&in, &out.u.record, sizeof(in));
	free(packed);
}

static void test_record_with_tls(void **state)
{
	struct record_tls tls = {VIEW("TLSv1.3"), VIEW("TLS_AES_128_GCM_SHA256"), VIEW("a.test"), VIEW(""), true, false};
	struct exchange_record record = sample_record();
	struct entry out;

	record.tls = &tls;
	char *packed = malloc(ENTRY_RECORD_MAX);

	assert_non_null(packed);
	size_t size = entry_pack_record(&record, packed);

	record.tls = NULL;
	entry_unpack(&out, packed);
	assert_in_range((uintptr_t)out.u.record.tls, (uintptr_t)packed, (uintptr_t)packed + size);
	assert_true(view_eq(out.u.record.tls->version, tls.version) && view_eq(out.u.record.tls->cipher, tls.cipher));
	assert_true(view_eq(out.u.record.tls->server_name, tls.server_name) && out.u.record.tls->client_subject.n == 0);
	assert_true(out.u.record.tls->resumed);
	assert_true(view_eq(out.u.record.target, record.target) && view_eq(out.u.record.endpoint, record.endpoint));
	free(packed);
}

static void test_event_round_trip(void **state)
{
	const struct entry_event in = {SAMPLE_WALL_US, 2, VIEW("drain begins")};
	struct entry out;
	char *packed = malloc(ENTRY_EVENT_MAX);

	assert_non_null(packed);
	entry_pack_event(&in, packed);
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
	struct record_tls tls = {.cipher = view_of(bytes, 65)};
	struct exchange_record in = sample_record();
	struct entry out;

	in.tls = &tls;
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < VIEW_COUNT; i++)
		*view_at(&in, i) = view_of(bytes, sizeof(bytes));
	char *packed = malloc(ENTRY_RECORD_MAX);

	assert_non_null(packed);
	size_t size = entry_pack_record(&in, packed);

	assert_in_range(size, 8192, ENTRY_RECORD_MAX);
	entry_unpack(&out, packed);
	assert_int_equal(out.u.record.target.n, 8192);
	assert_int_equal(out.u.record.user_agent.n, 1024);
	assert_int_equal(out.u.record.tls->cipher.n, 64);
	assert_ptr_equal(out.u.record.tls->client_subject.p + out.u.record.tls->client_subject.n + ENTRY_READ_SLACK, packed + size);
	free(packed);
}

/* One byte too many, in any one of them; and not one. */
static void test_only_what_is_long_is_cut(void **state)
{
	static char bytes[8192 + 1];
	static const size_t bytes_max[VIEW_COUNT] = {128, 64, 256, 8192, 256, 1024, 1024, 128, 256, 64, 256, 256};
	struct entry out;
	char *packed = malloc(ENTRY_RECORD_MAX);

	for (size_t i = 0; i < VIEW_COUNT; i++)
		for (size_t more = 0; more <= 1; more++) {
			struct exchange_record in = sample_record();

			*view_at(&in, i) = view_of(bytes, bytes_max[i] + more);
			entry_pack_record(&in, packed);
			entry_unpack(&out, packed);
			assert_int_equal(view_at(&out.u.record, i)->n, bytes_max[i]);
			assert_true(view_eq(*view_at(&out.u.record, (i + 1) % VIEW_COUNT), *view_at(&in, (i + 1) % VIEW_COUNT)));
		}
	free(packed);
}

static void test_long_event_is_cut(void **state)
{
	static char bytes[2000];
	const struct entry_event event = {.text = view_of(bytes, sizeof(bytes))};
	struct entry out;
	char *packed = malloc(ENTRY_EVENT_MAX);

	assert_non_null(packed);
	entry_pack_event(&event, packed);
	entry_unpack(&out, packed);
	assert_int_equal(out.u.event.text.n, 1024);
	free(packed);
}

static void test_empty_views(void **state)
{
	const struct exchange_record in = {.status = 0};
	struct entry out;
	char *packed = malloc(ENTRY_RECORD_MAX);

	assert_non_null(packed);
	entry_pack_record(&in, packed);
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
		cmocka_unit_test(test_only_what_is_long_is_cut),
		cmocka_unit_test(test_long_event_is_cut),
		cmocka_unit_test(test_empty_views),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
