/*
 * The hash: spreads, and depends on every bit of the number and of the key.
 */
#include "base/hash.h"

#include <stdlib.h>

#include "unit.h"

/* One bit of the number, or of the key, changes each bit of the output in about half of the cases. */
static void test_avalanche(void **state)
{
	enum { ROUNDS = 400 };
	static unsigned flips[64][64];

	srand(4);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t x = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 16 ^ (uint64_t)rand();
		uint64_t before = hash_u64(0, x);

		for (unsigned bit = 0; bit < 64; bit++) {
			uint64_t after = hash_u64(0, x ^ 1ULL << bit);

			assert_true(hash_u64(1ULL << bit, x) == after);
			for (unsigned out = 0; out < 64; out++)
				flips[bit][out] += ((before ^ after) >> out) & 1;
		}
	}
	/* 400 throws of a coin: 200 +- 10; seven deviations leave no room for luck, whatever the seed. */
	for (unsigned bit = 0; bit < 64; bit++) {
		for (unsigned out = 0; out < 64; out++)
			assert_in_range(flips[bit][out], 130, 270);
	}
}

/* Numbers in a row, into a table's buckets by the low bits, and by the high bits. */
static void test_spread(void **state)
{
	enum { BUCKETS = 256, NUMBERS = BUCKETS * 100 };
	unsigned low[BUCKETS] = {0}, high[BUCKETS] = {0};

	for (uint64_t i = 0; i < NUMBERS; i++) {
		uint64_t h = hash_u64(42, i);

		low[h % BUCKETS]++;
		high[h >> 56]++;
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		assert_in_range(low[i], 40, 160);
		assert_in_range(high[i], 40, 160);
	}
}

/* Fowler, Noll and Vo's own vectors for FNV-1a; and parts are as good as the whole. */
static void test_bytes(void **state)
{
	assert_true(hash_append(HASH_BEGIN, "", 0) == 0xcbf29ce484222325ULL);
	assert_true(hash_append(HASH_BEGIN, "a", 1) == 0xaf63dc4c8601ec8cULL);
	assert_true(hash_append(HASH_BEGIN, "foobar", 6) == 0x85944171f73967e8ULL);
	assert_true(hash_append(hash_append(HASH_BEGIN, "foo", 3), "bar", 3) == 0x85944171f73967e8ULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_avalanche),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
