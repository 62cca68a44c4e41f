/*
 * Views: comparison, trimming, lists of tokens, numbers.
 */
#include "base/secret.h"
#include "base/view.h"

#include "unit.h"

static void test_equality(void **state)
{
	assert_true(view_eq(VIEW("abc"), VIEW("abc")));
	assert_false(view_eq(VIEW("abc"), VIEW("abd")));
	assert_false(view_eq(VIEW("abc"), VIEW("ab")));
	assert_true(view_eq((struct view){0}, VIEW("")));
	assert_true(view_eq(view_str("x"), view_of("xy", 1)));
}

static void test_equality_without_case(void **state)
{
	assert_true(view_eq_nocase(VIEW("Content-LENGTH"), VIEW("cOntent-length")));
	assert_false(view_eq_nocase(VIEW("content-length"), VIEW("content_length")));
	assert_false(view_eq_nocase(VIEW("a"), VIEW("ab")));
	assert_true(view_eq_nocase((struct view){0}, VIEW("")));
}

/* Only letters have a case: characters that differ in the same bit must not be taken for each other. */
static void test_case_is_for_letters_only(void **state)
{
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char x = (char)a, y = (char)b;
			int a_lower = a >= 'A' && a <= 'Z' ? a + 32 : a;
			int b_lower = b >= 'A' && b <= 'Z' ? b + 32 : b;

			assert_int_equal(view_eq_nocase(view_of(&x, 1), view_of(&y, 1)), a_lower == b_lower);
		}
	}
}

static void test_prefix(void **state)
{
	assert_true(view_starts(VIEW("abc"), VIEW("ab")));
	assert_true(view_starts(VIEW("abc"), (struct view){0}));
	assert_false(view_starts(VIEW("ab"), VIEW("abc")));
	assert_true(view_eq(view_from(VIEW("abc"), 1), VIEW("bc")));
	assert_int_equal(view_from(VIEW("abc"), 3).n, 0);
}

static void test_trim(void **state)
{
	assert_true(view_eq(view_trim(VIEW(" \t a b\t ")), VIEW("a b")));
	assert_true(view_eq(view_trim(VIEW(" \t ")), VIEW("")));
	assert_true(view_eq(view_trim((struct view){0}), VIEW("")));
	/* OWS is SP and HTAB, nothing else. */
	assert_int_equal(view_trim(VIEW("\r\n\v\f")).n, 4);
}

static void assert_elements(const char *text, const char *const expected[])
{
	struct view list = view_str(text), element;
	size_t count = 0;

	for (; view_next_element(&list, &element); count++) {
		assert_non_null(expected[count]);
		assert_true(view_eq(element, view_str(expected[count])));
	}
	assert_null(expected[count]);
}

static void test_elements(void **state)
{
	assert_elements("", (const char *const[]){NULL});
	assert_elements("close", (const char *const[]){"close", NULL});
	assert_elements(" close ,\tte,x", (const char *const[]){"close", "te", "x", NULL});
	assert_elements(",a,,b", (const char *const[]){"", "a", "", "b", NULL});
	assert_elements("a,", (const char *const[]){"a", NULL});
	assert_elements("a, ", (const char *const[]){"a", "", NULL});
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "0x10", "1,2", "1.0", "18446744073709551616",
		"99999999999999999999", "184467440737095516150"};
	uint64_t value = 7;

	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(view_parse_u64(view_str(bad[i]), &value));
	assert_int_equal(value, 7);
	assert_true(view_parse_u64(VIEW("0"), &value) && value == 0);
	assert_true(view_parse_u64(VIEW("00012"), &value) && value == 12);
	assert_true(view_parse_u64(VIEW("18446744073709551615"), &value) && value == UINT64_MAX);
}

static void test_secrets(void **state)
{
	struct view secret = VIEW("abcabc");

	assert_true(secret_eq(secret, VIEW("abcabc")));
	assert_false(secret_eq(secret, VIEW("abcabcabcabc")));
	assert_false(secret_eq(VIEW("aa"), VIEW("aaa")));
	assert_false(secret_eq(secret, VIEW("abcabd")));
	assert_false(secret_eq(secret, VIEW("bbcabc")));
	assert_false(secret_eq(secret, VIEW("abc")));
	assert_false(secret_eq(secret, (struct view){0}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_equality_without_case),
		cmocka_unit_test(test_case_is_for_letters_only),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
