/*
 * Byte queues: what goes in comes out in order, within the bound, and an empty one owns nothing.
 */
#include "base/buf.h"

#include <stdlib.h>

#include "short_memory.h"
#include "unit.h"

static void test_append_and_consume(void **state)
{
	struct buf b = {0};

	assert_int_equal(buf_len(&b), 0);
	assert_true(buf_append(&b, VIEW("hello "), 100));
	assert_true(buf_append(&b, VIEW("world"), 100));
	assert_true(view_eq(buf_view(&b), VIEW("hello world")));
	buf_consume(&b, 6);
	assert_true(view_eq(buf_view(&b), VIEW("world")));
	buf_consume(&b, 5);
	assert_null(b.memory);
	assert_int_equal(buf_cap(&b), 0);
}

static void test_bound(void **state)
{
	struct buf b;

	buf_init(&b);
	assert_true(buf_append(&b, VIEW("12345678"), 8));
	assert_false(buf_append(&b, VIEW("9"), 8));
	assert_true(buf_append(&b, VIEW(""), 8));
	assert_false(buf_append(&b, VIEW(""), 7));
	assert_true(view_eq(buf_view(&b), VIEW("12345678")));
	buf_consume(&b, 1);
	assert_true(buf_append(&b, VIEW("9"), 8));
	assert_true(view_eq(buf_view(&b), VIEW("23456789")));
	assert_int_equal(buf_cap(&b), 8);
	assert_null(buf_reserve(&b, SIZE_MAX, SIZE_MAX));
	assert_null(buf_reserve(&b, UINT32_MAX / 2, SIZE_MAX));
	buf_release(&b);
	assert_null(b.memory);
}

static bool put(struct buf *b, char c, size_t n, size_t bytes_max)
{
	char *to = buf_reserve(b, n, bytes_max);

	if (to != NULL) {
		memset(to, c, n);
		buf_added(b, n);
	}
	return to != NULL;
}

static void test_reserve(void **state)
{
	struct buf b = {0};

	assert_true(put(&b, 'x', 1000, 4000));
	assert_true(put(&b, 'y', 3000, 4000));
	assert_int_equal(buf_view(&b).p[999], 'x');
	assert_int_equal(buf_view(&b).p[1000], 'y');
	assert_false(put(&b, 'z', 1, 4000));
	buf_release(&b);
	/* Reserved, then nothing came. */
	assert_non_null(buf_reserve(&b, 10, 4000));
	buf_consume(&b, 0);
	assert_null(b.memory);
}

/* As long as the bytes fit, they move within the memory that is there. */
static void test_no_needless_growth(void **state)
{
	struct buf b = {0};

	assert_true(put(&b, 'x', 1000, 4000));
	buf_consume(&b, 400);
	mallocs_made = 0;
	assert_true(put(&b, 'y', 400, 4000));
	assert_int_equal(mallocs_made, 0);
	assert_true(put(&b, 'z', 1, 4000));
	assert_int_equal(mallocs_made, 1);
	assert_int_equal(buf_view(&b).p[599], 'x');
	buf_release(&b);
}

/* A stream of counted bytes through the queue in random steps. */
static void test_random(void **state)
{
	struct buf b = {0};
	unsigned char piece[3000];
	unsigned put = 0, taken = 0;

	srand(3);
	for (int step = 0; step < 20000; step++) {
		size_t n = (size_t)rand() % sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = (unsigned char)((put + i) % 251);
		bool fits = buf_len(&b) + n <= 10000;

		assert_int_equal(buf_append(&b, view_of((char *)piece, n), 10000), fits);
		put += fits ? (unsigned)n : 0;
		n = (size_t)rand() % (buf_len(&b) + 1);
		for (size_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)buf_view(&b).p[i], (taken + i) % 251);
		buf_consume(&b, n);
		taken += (unsigned)n;
		assert_int_equal(buf_len(&b), put - taken);
		assert_true(buf_cap(&b) <= 10000 && (b.memory != NULL) == (buf_len(&b) > 0));
	}
	buf_release(&b);
}

static void test_out_of_memory(void **state)
{
	struct buf b = {0};

	mallocs_left = 0;
	assert_false(buf_append(&b, VIEW("a"), 10));
	mallocs_left = INT_MAX;
	assert_true(buf_append(&b, VIEW("abc"), 10000));
	mallocs_left = 0;
	assert_null(buf_reserve(&b, 5000, 10000));
	mallocs_left = INT_MAX;
	assert_true(view_eq(buf_view(&b), VIEW("abc")));
	buf_release(&b);
}

static void consume_too_much(void *buf)
{
	buf_consume(buf, 4);
}

static void test_consume_too_much(void **state)
{
	struct buf b = {0};

	assert_true(buf_append(&b, VIEW("abc"), 10));
	assert_check_fails(consume_too_much, &b, "buf_len(b)");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_no_needless_growth),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_consume_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
