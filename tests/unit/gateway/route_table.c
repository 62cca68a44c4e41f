/* What the router looks up: what was put is found, with its own number, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "gateway/route_table.h"

enum { ENTRIES = 3000, TEXT_BYTES = 8 };

static char texts[ENTRIES][TEXT_BYTES];

/* Two scopes and kinds of each text, whose hashes are all alike below the mask. */
static struct route_key key_of(size_t i, uint64_t hash_mask)
{
	struct route_key key = {.scope = i % 2, .kind = i / 2 % 2, .text = view_of(texts[i / 4], strlen(texts[i / 4]))};

	key.hash = hash_u64((uint64_t)key.scope << 1 | key.kind, hash_append(HASH_BEGIN, key.text.p, key.text.n)) & hash_mask;
	return key;
}

static void put_and_find(size_t count, uint64_t hash_mask)
{
	struct route_table table;
	size_t text_bytes = 0;

	for (size_t i = 0; i < count; i++)
		snprintf(texts[i], sizeof(texts[i]), "%s%zu", i % 3 == 0 ? "/" : "", i);
	for (size_t i = 0; i < count; i++)
		text_bytes += key_of(i, hash_mask).text.n;
	assert_true(route_table_init(&table, count, text_bytes));
	for (size_t i = 0; i < count; i++) {
		struct route_key key = key_of(i, hash_mask);
		uint32_t *value;

		assert_int_equal(route_table_find(&table, &key), ROUTE_NONE);
		value = route_table_put(&table, &key);
		assert_int_equal(*value, ROUTE_NONE);
		*value = (uint32_t)i;
		assert_ptr_equal(route_table_put(&table, &key), value);
	}
	for (size_t i = 0; i < count; i++) {
		struct route_key key = key_of(i, hash_mask);

		assert_int_equal(route_table_find(&table, &key), i);
	}
	route_table_release(&table);
}

static void test_many(void **state)
{
	put_and_find(ENTRIES, UINT64_MAX);
}

/* The same slot, or the same tag, or both: what they are called tells them apart. */
static void test_alike(void **state)
{
	put_and_find(200, UINT64_MAX << 32);
	put_and_find(200, UINT32_MAX);
	put_and_find(200, 0);
}

static void test_none(void **state)
{
	struct route_key key = {.text = VIEW("")};
	struct route_table table;

	assert_true(route_table_init(&table, 0, 0));
	assert_int_equal(route_table_find(&table, &key), ROUTE_NONE);
	route_table_release(&table);
	route_table_release(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_many), cmocka_unit_test(test_alike), cmocka_unit_test(test_none)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
