/*
 * The hash: spreads, depends on every bit of the bytes and of the key, and stays what it is (consistent hashing relies
 * on it).
 */
#include "base/hash.h"

#include <stdlib.h>

#include "unit.h"

static void test_lengths_differ(void **state)
{
	static const char zeros[64];
	uint64_t seen[COUNT(zeros)];

	for (size_t n = 0; n < COUNT(zeros); n++) {
		seen[n] = hash_bytes(1, view_of(zeros, n));
		for (size_t k = 0; k < n; k++)
			assert_true(seen[k] != seen[n]);
	}
	assert_true(hash_bytes(1, (struct view){0}) == seen[0]);
}

/* One bit of input changes each bit of output in about half of the cases. */
static void assert_avalanche(uint64_t (*hash)(uint64_t key, const unsigned char bytes[16]), size_t bits)
{
	enum { ROUNDS = 400 };
	static unsigned flips[24 * 8][64];

	memset(flips, 0, sizeof(flips));
	for (int round = 0; round < ROUNDS; round++) {
		unsigned char input[24];

		for (size_t i = 0; i < sizeof(input); i++)
			input[i] = (unsigned char)(rand() >> 7);
		for (size_t bit = 0; bit < bits; bit++) {
			uint64_t key, before, after;

			memcpy(&key, input + 16, 8);
			before = hash(key, input);
			input[bit / 8] ^= (unsigned char)(1 << bit % 8);
			memcpy(&key, input + 16, 8);
			after = hash(key, input);
			input[bit / 8] ^= (unsigned char)(1 << bit % 8);
			for (unsigned out = 0; out < 64; out++)
				flips[bit][out] += ((before ^ after) >> out) & 1;
		}
	}
	/* 400 throws of a coin: 200 +- 10; seven deviations leave no room for luck, whatever the seed. */
	for (size_t bit = 0; bit < bits; bit++) {
		for (unsigned out = 0; out < 64; out++)
			assert_in_range(flips[bit][out], 130, 270);
	}
}

static uint64_t hash_13_bytes(uint64_t key, const unsigned char bytes[16])
{
	return hash_bytes(key, view_of((const char *)bytes, 13));
}

static uint64_t hash_16_bytes(uint64_t key, const unsigned char bytes[16])
{
	return hash_bytes(key, view_of((const char *)bytes, 16));
}

static uint64_t hash_number(uint64_t key, const unsigned char bytes[16])
{
	uint64_t x;

	memcpy(&x, bytes, 8);
	return hash_u64(0, x);
}

static void test_avalanche(void **state)
{
	srand(4);
	assert_avalanche(hash_13_bytes, 13 * 8);
	assert_avalanche(hash_16_bytes, 24 * 8);
	assert_avalanche(hash_number, 64);
}

/* Names as they come in real life, into a table's buckets by the low bits, and by the high bits. */
static void test_spread(void **state)
{
	enum { BUCKETS = 256, NAMES = BUCKETS * 100 };
	unsigned low[BUCKETS] = {0}, high[BUCKETS] = {0}, number[BUCKETS] = {0};

	for (uint64_t i = 0; i < NAMES; i++) {
		char name[32];
		int n = snprintf(name, sizeof(name), "user-%u.example.com", (unsigned)i);
		uint64_t h = hash_bytes(42, view_of(name, (size_t)n));

		low[h % BUCKETS]++;
		high[h >> 56]++;
		number[hash_u64(42, i) % BUCKETS]++;
	}
	for (size_t i = 0; i < BUCKETS; i++) {
		assert_in_range(low[i], 40, 160);
		assert_in_range(high[i], 40, 160);
		assert_in_range(number[i], 40, 160);
	}
}

static void test_stays(void **state)
{
	assert_true(hash_bytes(0, VIEW("")) == 0x9d3862b1ca335ba3ULL);
	assert_true(hash_bytes(1, VIEW("weir")) == 0x30ab00ed3e80bfd7ULL);
	assert_true(hash_bytes(1, VIEW("0123456789abcdef0")) == 0xd80e29eaea19260aULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths_differ),
		cmocka_unit_test(test_avalanche),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
