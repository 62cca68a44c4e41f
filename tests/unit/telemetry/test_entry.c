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
	size_t size = entry_record_size(&in);
	char *packed = malloc(size);

	assert_non_null(packed);
	entry_pack_record(&in, packed);
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
	char *packed = malloc(entry_record_size(&record));

	assert_non_null(packed);
	entry_pack_record(&record, packed);
	record.tls = NULL;
	entry_unpack(&out, packed);
	assert_in_range((uintptr_t)out.u.record.tls, (uintptr_t)packed, (uintptr_t)packed + entry_record_size(&record));
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
	char *packed = malloc(entry_event_size(&in));

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
	struct entry_memory memory;

	in.tls = &tls;
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < VIEW_COUNT; i++)
		*view_at(&in, i) = view_of(bytes, sizeof(bytes));
	assert_int_equal(entry_record_size(&in), 0);
	const struct exchange_record *cut = entry_cut_record(&in, &memory);
	size_t size = entry_record_size(cut);
	char *packed = malloc(size);

	assert_non_null(packed);
	assert_in_range(size, 8192, 16384);
	entry_pack_record(cut, packed);
	entry_unpack(&out, packed);
	assert_int_equal(out.u.record.target.n, 8192);
	assert_int_equal(out.u.record.user_agent.n, 1024);
	assert_int_equal(out.u.record.tls->cipher.n, 64);
	assert_ptr_equal(out.u.record.tls->client_subject.p + out.u.record.tls->client_subject.n, packed + size);
	free(packed);
}

/* One byte too many, in any one of them; and not one. */
static void test_only_what_is_long_is_cut(void **state)
{
	static char bytes[8192 + 1];
	static const size_t bytes_max[VIEW_COUNT] = {128, 64, 256, 8192, 256, 1024, 1024, 128, 256, 64, 256, 256};
	struct entry_memory memory;

	for (size_t i = 0; i < VIEW_COUNT; i++) {
		struct exchange_record in = sample_record();

		*view_at(&in, i) = view_of(bytes, bytes_max[i]);
		assert_int_not_equal(entry_record_size(&in), 0);
		*view_at(&in, i) = view_of(bytes, bytes_max[i] + 1);
		assert_int_equal(entry_record_size(&in), 0);
		assert_ptr_equal(entry_cut_record(&in, &memory), &memory.record);
		assert_int_equal(view_at(&memory.record, i)->n, bytes_max[i]);
	}
}

static void test_long_event_is_cut(void **state)
{
	static char bytes[2000];
	struct entry_event event = entry_cut_event((struct entry_event){.text = view_of(bytes, sizeof(bytes))});

	assert_int_equal(event.text.n, 1024);
}

static void test_empty_views(void **state)
{
	const struct exchange_record in = {.status = 0};
	struct entry out;
	char *packed = malloc(entry_record_size(&in));

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
