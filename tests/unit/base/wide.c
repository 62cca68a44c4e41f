/*
 * Bytes worked on sixteen at once: what is said of short texts is so for every length, and at every byte.
 */
#include "base/wide.h"

#include "unit.h"

enum { LENGTH_MAX = 48 };

static void test_same(void **state)
{
	char a[LENGTH_MAX], b[LENGTH_MAX];

	for (size_t n = 0; n <= LENGTH_MAX; n++) {
		memset(a, 'x', sizeof(a));
		memset(b, 'y', sizeof(b));
		memcpy(b, a, n);
		assert_true(wide_same(a, b, n));
		for (size_t i = 0; i < n; i++) {
			b[i] ^= 1;
			assert_false(wide_same(a, b, n));
			b[i] ^= 1;
		}
	}
}

static void test_copy(void **state)
{
	char from[LENGTH_MAX], to[LENGTH_MAX + 1];

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (char)('a' + i);
	for (size_t n = 0; n <= LENGTH_MAX; n++) {
		memset(to, 0, sizeof(to));
		wide_copy(to, from, n);
		assert_memory_equal(to, from, n);
		assert_int_equal(to[n], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
