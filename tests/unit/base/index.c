#include "unit.h"

#include "base/index.h"

static void put(struct index *index, const char *name, const char *part)
{
	index_put(index, view_str(name), view_str(part), (void *)(uintptr_t)name);
}

static size_t place(const struct index *index, const char *name, const char *part)
{
	const struct indexed *found = index_find(index, view_str(name), view_str(part));

	assert_true(found == NULL || view_eq(found->name, view_str(name)));
	assert_true(found == NULL || found->thing == found->name.p);
	return found != NULL ? found->place : SIZE_MAX;
}

static void test_empty(void **state)
{
	struct index index;

	assert_true(index_init(&index, 0));
	assert_false(index.has_doubles);
	assert_true(place(&index, "a", "") == SIZE_MAX);
	assert_true(place(&index, "", "") == SIZE_MAX);
	index_release(&index);
	index_release(&index);
}

/* A name that another begins with, an empty one, and parts that look like the end of a name. */
static void test_names_and_parts(void **state)
{
	static const char *const put_in[][2] = {{"b", ""}, {"a", "bc"}, {"ab", "c"}, {"", "x"}, {"abc", ""}, {"a", ""}, {"b", "a"}};
	struct index index;

	assert_true(index_init(&index, 7));
	for (int i = 0; i < 7; i++)
		put(&index, put_in[i][0], put_in[i][1]);
	assert_false(index.has_doubles);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(place(&index, put_in[i][0], put_in[i][1]), i);
	assert_true(place(&index, "a", "b") == SIZE_MAX);
	assert_true(place(&index, "", "") == SIZE_MAX);
	assert_true(place(&index, "c", "") == SIZE_MAX);
	index_release(&index);
}

static void test_the_same_name_twice(void **state)
{
	struct index index;

	assert_true(index_init(&index, 4));
	put(&index, "b", "");
	put(&index, "a", "1");
	put(&index, "a", "");
	put(&index, "a", "");
	assert_true(index.has_doubles);
	assert_int_equal(place(&index, "a", ""), 2);
	assert_int_equal(place(&index, "a", "1"), 1);
	index_release(&index);
}

/* Bytes are compared as they are: addresses, and pointers, are names too. */
static void test_any_bytes(void **state)
{
	enum { N = 1000 };
	static unsigned char names[N][2];
	struct index index;

	assert_true(index_init(&index, N));
	for (size_t i = 0; i < N; i++) {
		names[i][0] = (unsigned char)(i * 7);
		names[i][1] = (unsigned char)(i / 256);
		index_put(&index, view_of((const char *)names[i], 2), VIEW(""), names[i]);
	}
	assert_false(index.has_doubles);
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(index_find(&index, view_of((const char *)names[i], 2), VIEW(""))->thing, names[i]);
	index_release(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_names_and_parts),
		cmocka_unit_test(test_the_same_name_twice),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
