/* Cookies found by name, in what browsers send and in what nobody should. */
#include "../base/unit.h"

#include "http/cookie.h"

static void assert_found(const char *list, const char *value)
{
	struct view found;

	assert_true(cookie_find(view_str(list), VIEW("id"), &found));
	if (!view_eq(found, view_str(value)))
		fail_msg("%s: \"%.*s\" is not \"%s\"", list, (int)found.n, found.p, value);
}

static void test_found(void **state)
{
	assert_found("id=1", "1");
	assert_found("a=2; id=1; b=3", "1");
	assert_found("a=2;id=1;b=3", "1");
	assert_found("  id=1  ", "1");
	assert_found("id=1; id=2", "1");
	assert_found("id=a=b", "a=b");
	assert_found("id=\"a b\"", "\"a b\"");
	assert_found("id=", "");
	assert_found(";;; id=1;", "1");
}

static void test_not_found(void **state)
{
	static const char *const lists[] = {"", ";", "id", "id; a=1", "ids=1", "i=1", "ID=1", "a=id=1", "a=\"; xid=1\"", "id =1", "=1"};
	struct view found;

	for (size_t i = 0; i < COUNT(lists); i++)
		if (cookie_find(view_str(lists[i]), VIEW("id"), &found))
			fail_msg("found in \"%s\"", lists[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
