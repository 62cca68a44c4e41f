/*
 * What gRPC says in fields: kinds of content, timeouts, statuses, messages; and a status for every cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/grpc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_view(struct view actual, const char *expected)
{
	if (!view_eq(actual, view_str(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

static const struct {
	const char *type;
	enum grpc_kind kind;
	const char *rest;
} kinds[] = {
	{"application/grpc", GRPC_PLAIN, ""},
	{"application/grpc+proto", GRPC_PLAIN, "+proto"},
	{"Application/GRPC; a=b", GRPC_PLAIN, "; a=b"},
	{"application/grpc ;a=b", GRPC_PLAIN, " ;a=b"},
	{"application/grpc-web", GRPC_WEB, ""},
	{"application/grpc-web+json", GRPC_WEB, "+json"},
	{"application/grpc-web-text", GRPC_WEB_TEXT, ""},
	{"application/grpc-web-text+proto", GRPC_WEB_TEXT, "+proto"},
	{"", GRPC_NOT, NULL},
	{"application/grp", GRPC_NOT, NULL},
	{"application/grpcx", GRPC_NOT, NULL},
	{"application/grpc-", GRPC_NOT, NULL},
	{"application/grpc-webx", GRPC_NOT, NULL},
	{"application/grpc-web-text-x", GRPC_NOT, NULL},
	{"text/application/grpc", GRPC_NOT, NULL},
	{"application/json", GRPC_NOT, NULL},
};

static void test_kinds(void **state)
{
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct view rest;

		if (grpc_kind_of(view_str(kinds[i].type), &rest) != kinds[i].kind)
			fail_msg("%s is taken for something else", kinds[i].type);
		if (kinds[i].kind != GRPC_NOT)
			assert_view(rest, kinds[i].rest);
	}
}

static const struct {
	const char *text;
	uint64_t us;
} timeouts[] = {
	{"0n", 0},
	{"1n", 1},
	{"1000n", 1},
	{"1001n", 2},
	{"7u", 7},
	{"250m", 250000},
	{"3S", 3000000},
	{"2M", 120000000},
	{"1H", 3600000000},
	{"00000001S", 1000000},
	{"99999999H", 359999996400000000},
};

static void test_timeouts(void **state)
{
	static const char *const wrong[] = {"", "S", "1", "1s", "1h", "-1S", "+1S", " 1S", "1 S", "1S ", "1.5S", "123456789S", "1SS",
		"0x1S", "1\xc2\xb5"};
	uint64_t us;

	for (size_t i = 0; i < COUNT(timeouts); i++) {
		assert_true(grpc_timeout_parse(view_str(timeouts[i].text), &us));
		assert_int_equal(us, timeouts[i].us);
	}
	for (size_t i = 0; i < COUNT(wrong); i++)
		if (grpc_timeout_parse(view_str(wrong[i]), &us))
			fail_msg("\"%s\" is taken for a timeout", wrong[i]);
}

static void test_timeouts_back(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} written[] = {{0, "0m"}, {1500, "1m"}, {30000000, "30000m"}, {86400000000, "86400000m"}, {99999999000, "99999999m"},
		{100000000000, "100000S"}, {100000000000000, "1666666M"}, {359999996400000000, "99999999H"},
		{UINT64_MAX, "99999999H"}};
	char text[GRPC_TIMEOUT_TEXT_MAX];

	for (size_t i = 0; i < COUNT(written); i++)
		assert_view(grpc_timeout_format(text, written[i].us), written[i].text);
}

static void test_statuses(void **state)
{
	assert_int_equal(GRPC_UNAUTHENTICATED, 16);
	assert_int_equal(GRPC_UNAVAILABLE, 14);
	assert_int_equal(GRPC_DEADLINE_EXCEEDED, 4);
	assert_int_equal(GRPC_RESOURCE_EXHAUSTED, 8);
	assert_int_equal(GRPC_UNIMPLEMENTED, 12);
	assert_int_equal(grpc_status_parse(VIEW("0")), GRPC_OK);
	assert_int_equal(grpc_status_parse(VIEW("16")), GRPC_UNAUTHENTICATED);
	assert_int_equal(grpc_status_parse(VIEW("17")), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_parse(VIEW("")), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_parse(VIEW("OK")), GRPC_UNKNOWN);
	assert_int_equal(grpc_status_parse(VIEW("99999999999999999999999")), GRPC_UNKNOWN);
	assert_string_equal(grpc_status_word(GRPC_OK), "OK");
	assert_string_equal(grpc_status_word(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(grpc_status_word(GRPC_STATUS_COUNT), "none");
}

static void test_faults(void **state)
{
	unsigned count = 0;

	for (enum grpc_status status = GRPC_OK; status <= GRPC_STATUS_COUNT; status++)
		count += grpc_status_is_fault(status);
	assert_int_equal(count, 6);
	assert_true(grpc_status_is_fault(GRPC_UNKNOWN) && grpc_status_is_fault(GRPC_DEADLINE_EXCEEDED));
	assert_true(grpc_status_is_fault(GRPC_UNIMPLEMENTED) && grpc_status_is_fault(GRPC_INTERNAL));
	assert_true(grpc_status_is_fault(GRPC_UNAVAILABLE) && grpc_status_is_fault(GRPC_DATA_LOSS));
}

/* What docs/grpc.md says. */
static void test_causes(void **state)
{
	static const struct {
		enum cause cause;
		enum grpc_status status;
	} some[] = {{CAUSE_NONE, GRPC_OK}, {CAUSE_NO_ROUTE, GRPC_UNIMPLEMENTED}, {CAUSE_BAD_REQUEST, GRPC_INTERNAL},
		{CAUSE_REQUEST_DEADLINE, GRPC_DEADLINE_EXCEEDED}, {CAUSE_FIRST_BYTE_TIMEOUT, GRPC_DEADLINE_EXCEEDED},
		{CAUSE_CONNECT_REFUSED, GRPC_UNAVAILABLE}, {CAUSE_CONNECT_TIMEOUT, GRPC_UNAVAILABLE},
		{CAUSE_POOL_QUEUE_FULL, GRPC_UNAVAILABLE}, {CAUSE_UPSTREAM_RESET, GRPC_UNAVAILABLE},
		{CAUSE_RATE_LIMITED, GRPC_RESOURCE_EXHAUSTED}, {CAUSE_BODY_TOO_LARGE, GRPC_RESOURCE_EXHAUSTED},
		{CAUSE_UNAUTHORIZED, GRPC_UNAUTHENTICATED}, {CAUSE_FORBIDDEN, GRPC_PERMISSION_DENIED},
		{CAUSE_CLIENT_GONE, GRPC_CANCELLED}, {CAUSE_INTERNAL, GRPC_INTERNAL}};

	for (size_t i = 0; i < COUNT(some); i++)
		assert_int_equal(grpc_status_of_cause(some[i].cause), some[i].status);
	for (enum cause cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++) {
		enum grpc_status status = grpc_status_of_cause(cause);

		if (status == GRPC_OK || status >= GRPC_STATUS_COUNT)
			fail_msg("%s has no status", cause_info(cause)->word);
	}
}

static void test_messages(void **state)
{
	char out[64];

	assert_view(view_of(out, grpc_message_encode(VIEW("plain: a~ b"), out)), "plain: a~ b");
	assert_view(view_of(out, grpc_message_encode(VIEW("100%\r\n\x7f\xc3\xbc"), out)), "100%25%0D%0A%7F%C3%BC");
	assert_int_equal(grpc_message_encode(VIEW(""), out), 0);
}

/* One field says it; several say nothing that could be gone by. */
static void test_status_of(void **state)
{
	struct field fields[2] = {field_of(VIEW("Grpc-Status"), VIEW("5")), field_of(VIEW("grpc-status"), VIEW("5"))};
	struct message m = {.fields = fields};

	assert_int_equal(grpc_status_of(&m), GRPC_STATUS_COUNT);
	m.field_count = 1;
	assert_int_equal(grpc_status_of(&m), GRPC_NOT_FOUND);
	m.field_count = 2;
	assert_int_equal(grpc_status_of(&m), GRPC_UNKNOWN);
	fields[0].dropped = true;
	assert_int_equal(grpc_status_of(&m), GRPC_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_timeouts_back),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_causes),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_status_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
