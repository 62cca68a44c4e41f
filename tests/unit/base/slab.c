/*
 * Slabs: the bound, reuse, alignment, the books, and that a freed object is out of reach under AddressSanitizer.
 */
#include "base/slab.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/poison.h"
#include "short_memory.h"
#include "unit.h"

#ifdef POISON_AVAILABLE
static bool is_poisoned(const void *p, bool otherwise)
{
	return __asan_address_is_poisoned(p);
}
#else
static bool is_poisoned(const void *p, bool otherwise)
{
	return otherwise;
}
#endif

static void test_bound_and_reuse(void **state)
{
	struct slab s;
	void *objects[10];

	slab_init(&s, 24, COUNT(objects));
	assert_int_equal(s.object_bytes, 32);
	for (size_t i = 0; i < COUNT(objects); i++) {
		objects[i] = slab_alloc(&s);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t)objects[i] % 16, 0);
		memset(objects[i], (int)i, 32);
	}
	assert_null(slab_alloc(&s));
	assert_int_equal(s.count_live, COUNT(objects));
	assert_int_equal(s.count_made, COUNT(objects));
	for (size_t i = 0; i < COUNT(objects); i++)
		assert_int_equal(((unsigned char *)objects[i])[31], i);
	slab_free(&s, objects[3]);
	assert_ptr_equal(slab_alloc(&s), objects[3]);
	assert_null(slab_alloc(&s));
	for (size_t i = 0; i < COUNT(objects); i++)
		slab_free(&s, objects[i]);
	slab_free(&s, NULL);
	assert_int_equal(s.count_live, 0);
	slab_release(&s);
}

/* Random taking and giving over several runs; every live object holds its own number. */
static void test_random(void **state)
{
	enum { OBJECTS = 3000, STEPS = 50000 };
	static uint64_t *live[OBJECTS];
	struct slab s;
	size_t count = 0;

	srand(2);
	slab_init(&s, 200, OBJECTS);
	for (uint64_t step = 0; step < STEPS; step++) {
		size_t i = (size_t)rand() % OBJECTS;

		if (live[i] != NULL) {
			assert_int_equal(live[i][0], i);
			assert_int_equal(live[i][24], i);
			slab_free(&s, live[i]);
			live[i] = NULL;
			count--;
		} else {
			live[i] = slab_alloc(&s);
			assert_non_null(live[i]);
			live[i][0] = live[i][24] = i;
			count++;
		}
		assert_int_equal(s.count_live, count);
		assert_true(s.count_made >= count && s.count_made <= OBJECTS);
	}
	for (size_t i = 0; i < OBJECTS; i++)
		slab_free(&s, live[i]);
	slab_release(&s);
}

static void test_large_objects(void **state)
{
	struct slab s;

	slab_init(&s, 100000, 5);
	void *p = slab_alloc(&s);
	memset(p, 1, 100000);
	assert_int_equal(s.count_made, 4);
	slab_free(&s, p);
	slab_release(&s);
}

static void test_empty(void **state)
{
	struct slab s;

	slab_init(&s, 0, 0);
	assert_int_equal(s.object_bytes, 16);
	assert_null(slab_alloc(&s));
	slab_release(&s);
}

static void test_out_of_memory(void **state)
{
	struct slab s;

	slab_init(&s, 64, 100);
	mallocs_left = 0;
	assert_null(slab_alloc(&s));
	assert_int_equal(s.count_made, 0);
	mallocs_left = INT_MAX;
	slab_free(&s, slab_alloc(&s));
	slab_release(&s);
}

static void test_freed_is_poisoned(void **state)
{
	struct slab s;

	slab_init(&s, 64, 100);
	char *p = slab_alloc(&s);
	assert_false(is_poisoned(p, false) || is_poisoned(p + 63, false));
	assert_true(is_poisoned(p + 64, true));
	slab_free(&s, p);
	assert_true(is_poisoned(p, true) && is_poisoned(p + 63, true));
	slab_release(&s);
}

static void release(void *slab)
{
	slab_release(slab);
}

static void free_one_more(void *slab)
{
	slab_free(slab, malloc(64));
}

static void test_books(void **state)
{
	struct slab s;

	slab_init(&s, 64, 100);
	void *p = slab_alloc(&s);
	assert_check_fails(release, &s, "count_live == 0");
	slab_free(&s, p);
	assert_check_fails(free_one_more, &s, "count_live > 0");
	slab_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound_and_reuse),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_large_objects),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_freed_is_poisoned),
		cmocka_unit_test(test_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
