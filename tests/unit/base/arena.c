/*
 * Arenas: pieces do not overlap and are aligned, the bound holds, a small arena never calls malloc.
 */
#include "base/arena.h"

#include <stdlib.h>

#include "short_memory.h"
#include "unit.h"

static void test_lent_memory_first(void **state)
{
	_Alignas(8) char first[64];
	struct arena a;

	mallocs_made = 0;
	arena_init(&a, first, sizeof(first), 1 << 20);
	for (int i = 0; i < 8; i++)
		assert_ptr_equal(arena_alloc(&a, 5), first + i * 8);
	assert_int_equal(mallocs_made, 0);
	assert_non_null(arena_alloc(&a, 1));
	assert_int_equal(mallocs_made, 1);
	arena_release(&a);
	arena_init(&a, first, sizeof(first), 0);
	assert_ptr_equal(arena_alloc(&a, 64), first);
	assert_null(arena_alloc(&a, 1));
	arena_release(&a);
}

static void test_crooked_lent_memory(void **state)
{
	_Alignas(8) char first[64];
	struct arena a;

	arena_init(&a, first + 3, 13, 0);
	assert_ptr_equal(arena_alloc(&a, 8), first + 8);
	assert_null(arena_alloc(&a, 1));
	arena_release(&a);
	arena_init(&a, first + 3, 4, 0);
	assert_null(arena_alloc(&a, 1));
	arena_release(&a);
}

static void test_nothing_is_something(void **state)
{
	struct arena a;

	arena_init(&a, NULL, 0, 0);
	assert_non_null(arena_alloc(&a, 0));
	assert_non_null(arena_copy(&a, (struct view){0}).p);
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_copy(&a, VIEW("a")).p);
	assert_null(arena_printf(&a, "%d", 1).p);
	arena_release(&a);
	assert_null(arena_alloc(&a, 1));
}

/* Every piece keeps its own pattern while others are taken; sizes go through all the paths. */
static void test_pieces_are_apart(void **state)
{
	struct piece {
		unsigned char *p;
		size_t n;
	} pieces[300];
	char first[100];
	struct arena a;

	srand(1);
	arena_init(&a, first, sizeof(first), 1 << 20);
	for (size_t i = 0; i < COUNT(pieces); i++) {
		size_t n = (size_t)rand() % (i % 10 == 0 ? 6000 : 200);

		pieces[i] = (struct piece){arena_alloc(&a, n), n};
		assert_non_null(pieces[i].p);
		assert_int_equal((uintptr_t)pieces[i].p % 8, 0);
		memset(pieces[i].p, (int)i, n);
	}
	for (size_t i = 0; i < COUNT(pieces); i++) {
		for (size_t k = 0; k < pieces[i].n; k++)
			assert_int_equal(pieces[i].p[k], (unsigned char)i);
	}
	arena_release(&a);
}

static void test_bound(void **state)
{
	struct arena a;
	size_t taken = 0;

	arena_init(&a, NULL, 0, 10000);
	while (arena_alloc(&a, 100) != NULL)
		taken += 100;
	assert_in_range(taken, 9000, 10000);
	arena_release(&a);
	arena_init(&a, NULL, 0, 10000);
	assert_null(arena_alloc(&a, 10000));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 8));
	assert_non_null(arena_alloc(&a, 9000));
	assert_null(arena_alloc(&a, 4000));
	assert_non_null(arena_alloc(&a, 500));
	arena_release(&a);
}

static void test_a_large_piece_keeps_the_block(void **state)
{
	struct arena a;

	arena_init(&a, NULL, 0, 1 << 20);
	char *before = arena_alloc(&a, 8);
	assert_non_null(arena_alloc(&a, 100000));
	assert_ptr_equal(arena_alloc(&a, 8), before + 8);
	arena_release(&a);
}

static void test_copy_and_printf(void **state)
{
	char first[32];
	struct arena a;

	arena_init(&a, first, sizeof(first), 1 << 20);
	struct view copy = arena_copy(&a, VIEW("bytes"));
	struct view fits = arena_printf(&a, "%s-%d", "a", 42);
	struct view longer = arena_printf(&a, "%0200d", 7);

	assert_true(view_eq(copy, VIEW("bytes")));
	assert_true(view_eq(fits, VIEW("a-42")));
	assert_int_equal(fits.p[fits.n], '\0');
	assert_int_equal(longer.n, 200);
	assert_int_equal(strlen(longer.p), 200);
	assert_int_equal(longer.p[199], '7');
	assert_true(view_eq(arena_printf(&a, "%s", ""), VIEW("")));
	arena_release(&a);
}

/* A text that exactly fills the room, with and without its NUL. */
static void test_printf_at_the_edge(void **state)
{
	_Alignas(8) char first[16];
	struct arena a;

	mallocs_made = 0;
	arena_init(&a, first, sizeof(first), 1 << 20);
	assert_true(view_eq(arena_printf(&a, "%s", "123456789012345"), VIEW("123456789012345")));
	assert_int_equal(mallocs_made, 0);
	arena_release(&a);
	arena_init(&a, first, sizeof(first), 1 << 20);
	assert_true(view_eq(arena_printf(&a, "%s", "1234567890123456"), VIEW("1234567890123456")));
	assert_int_equal(mallocs_made, 1);
	arena_release(&a);
}

static void test_out_of_memory(void **state)
{
	struct arena a;

	arena_init(&a, NULL, 0, 1 << 20);
	mallocs_left = 0;
	assert_null(arena_alloc(&a, 10));
	assert_null(arena_alloc(&a, 100000));
	assert_null(arena_printf(&a, "%d", 1).p);
	mallocs_left = INT_MAX;
	assert_non_null(arena_alloc(&a, 10));
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lent_memory_first),
		cmocka_unit_test(test_crooked_lent_memory),
		cmocka_unit_test(test_nothing_is_something),
		cmocka_unit_test(test_pieces_are_apart),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_a_large_piece_keeps_the_block),
		cmocka_unit_test(test_copy_and_printf),
		cmocka_unit_test(test_printf_at_the_edge),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
