/*
 * The store in memory: keys are told apart, memory is bounded, and who is forgotten when it is full. SipHash and the registry.
 */
#include "limits.h"

#include "limits/registry.h"

static const struct limit_rule ten = {
	.kind = LIMIT_TOKEN_BUCKET, .count = 10, .period_us = 3600 * US_PER_S, .burst = 10};

static struct limit_answer ask(struct limit_store *store, uint64_t key, uint64_t now_us)
{
	struct limit_ask a = {.key = key, .now_us = now_us};

	assert_true(limit_store_ask(store, &a));
	return a.answer;
}

/* `set` and `i` say which key. */
static uint64_t key_of(uint64_t set, uint64_t i)
{
	return hash_u64(1, set << 40 | i);
}

/* Of the paper: key 00 01 .. 0f, input 00 01 .. 0e. The others are of its authors' test vectors. */
static void test_siphash(void **state)
{
	const struct siphash_key key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
	char input[64];

	for (unsigned i = 0; i < sizeof(input); i++)
		input[i] = (char)i;
	assert_true(siphash(key, view_of(input, 15)) == 0xa129ca6149be45e5ULL);
	assert_true(siphash(key, view_of(input, 0)) == 0x726fdb47dd0e0e31ULL);
	assert_true(siphash(key, view_of(input, 1)) == 0x74f839c593dc67fdULL);
	assert_true(siphash(key, view_of(input, 8)) == 0x93f5f5799a932462ULL);
}

static void test_keys_are_told_apart(void **state)
{
	for (size_t keys_max = 10; keys_max <= 100000; keys_max *= 10) {
		struct limit_store *store = limit_store_create(&ten, keys_max);
		struct limit_store_stats stats;

		for (unsigned round = 1; round <= 12; round++)
			for (uint64_t i = 0; i < keys_max; i++) {
				struct limit_answer answer = ask(store, key_of(1, i), BEGIN_US);

				assert_int_equal(answer.verdict, round <= 10 ? LIMIT_PASSES : LIMIT_REFUSED);
				assert_int_equal(answer.remaining, round <= 10 ? 10 - round : 0);
			}
		limit_store_stats(store, &stats);
		assert_int_equal(stats.keys, keys_max);
		assert_int_equal(stats.keys_max, keys_max);
		assert_int_equal(stats.evictions, 0);
		assert_int_equal(stats.answers[LIMIT_PASSES], 10 * keys_max);
		assert_int_equal(stats.answers[LIMIT_REFUSED], 2 * keys_max);
		limit_store_free(store);
	}
}

/* Keys that come again and again stay known while a thousand times as many come once. */
static void test_flood_does_not_drive_out_the_busy(void **state)
{
	enum { BUSY = 300, KEYS = 10000 };
	struct limit_store *store = limit_store_create(&ten, KEYS);
	struct limit_store_stats stats;
	uint64_t passed = 0;

	for (uint64_t i = 0; i < 100 * KEYS; i++) {
		ask(store, key_of(2, i), BEGIN_US + i);
		if (i % 10 == 0)
			passed += ask(store, key_of(3, i / 10 % BUSY), BEGIN_US + i).verdict == LIMIT_PASSES;
	}
	limit_store_stats(store, &stats);
	assert_true(stats.keys <= KEYS + KEYS / 2);
	assert_true(stats.evictions > 90 * KEYS);
	assert_int_equal(passed, 10 * BUSY);
	limit_store_free(store);
}

/* Who is as good as new goes first, even if it was asked for again, and is nothing that was forgotten. */
static void test_the_fresh_go_first(void **state)
{
	enum { KEYS = 50 };
	struct limit_store *store = limit_store_create(&ten, KEYS);
	struct limit_store_stats stats;
	uint64_t later_us = BEGIN_US + 3600 * US_PER_S;

	for (unsigned round = 0; round < 2; round++)
		for (uint64_t i = 0; i < KEYS / 2; i++)
			ask(store, key_of(4, i), BEGIN_US);
	for (uint64_t i = 0; i < KEYS / 2; i++)
		ask(store, key_of(5, i), later_us);
	for (uint64_t i = 0; i < KEYS / 2; i++)
		ask(store, key_of(6, i), later_us);
	limit_store_stats(store, &stats);
	assert_int_equal(stats.evictions, 0);
	for (uint64_t i = 0; i < KEYS / 2; i++)
		assert_int_equal(ask(store, key_of(5, i), later_us).remaining, 8);
	limit_store_free(store);
}

/* Requests that run are never forgotten: then there is no room. */
static void test_what_runs_stays(void **state)
{
	const struct limit_rule one = {.kind = LIMIT_CONCURRENT, .count = 1};
	struct limit_store *store = limit_store_create(&one, 100);
	struct limit_ask asks[100];

	for (uint64_t i = 0; i < COUNT(asks); i++) {
		asks[i] = (struct limit_ask){.key = key_of(7, i), .now_us = BEGIN_US};
		assert_true(limit_store_ask(store, &asks[i]));
		assert_int_equal(asks[i].answer.verdict, LIMIT_PASSES);
	}
	assert_int_equal(ask(store, 99, BEGIN_US).verdict, LIMIT_NO_ROOM);
	assert_int_equal(ask(store, asks[50].key, BEGIN_US).verdict, LIMIT_REFUSED);
	limit_store_leave(store, &asks[50], BEGIN_US);
	/* The hand finds it, though perhaps not at the first look. */
	for (unsigned i = 0; i < 2; i++)
		if (ask(store, 99, BEGIN_US).verdict == LIMIT_PASSES)
			i = 2;
	assert_int_equal(ask(store, 99, BEGIN_US).verdict, LIMIT_REFUSED);
	assert_int_equal(ask(store, asks[50].key, BEGIN_US).verdict, LIMIT_NO_ROOM);
	limit_store_free(store);
}

/* Chains stay whole, whoever is taken out of them. */
static void test_turnover(void **state)
{
	struct limit_store *store = limit_store_create(&ten, 64);
	struct chance chance = {.seed = 8};

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t key = draw(&chance, 200), left = ask(store, key, BEGIN_US + i).remaining;

		assert_true(left <= 9);
		assert_true(ask(store, key, BEGIN_US + i).remaining == (left > 0 ? left - 1 : 0));
	}
	limit_store_free(store);
}

static void test_memory(void **state)
{
	assert_in_range(limit_store_bytes(1), 64, 1024);
	assert_in_range(limit_store_bytes(100000), 100000 * 64, 100000 * 96);
	assert_in_range(limit_store_bytes(LIMIT_KEYS_MAX), 640000000, 960000000);
}

static struct limit *claim(struct limit_registry *registry, struct view identity)
{
	struct index known;
	struct limit *limit;

	assert_true(limits_index(registry, &known));
	limit = limit_claim(registry, &known, identity, &ten, 10);
	index_release(&known);
	return limit;
}

static void test_registry(void **state)
{
	struct limit_registry registry;
	struct limit *first, *again, *other;

	limits_init(&registry);
	first = claim(&registry, VIEW("r 0: 10/s"));
	assert_int_equal(ask(first->store, 1, BEGIN_US).remaining, 9);
	other = claim(&registry, VIEW("r 0: 10/m"));
	again = claim(&registry, VIEW("r 0: 10/s"));
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	assert_int_equal(ask(again->store, 1, BEGIN_US).remaining, 8);
	assert_int_equal(ask(other->store, 1, BEGIN_US).remaining, 9);
	/* Until the last reference is gone, and then not any more. */
	limit_unref(first);
	limits_sweep(&registry);
	assert_int_equal(ask(again->store, 1, BEGIN_US).remaining, 7);
	limit_unref(again);
	limits_sweep(&registry);
	again = claim(&registry, VIEW("r 0: 10/s"));
	assert_int_equal(ask(again->store, 1, BEGIN_US).remaining, 9);
	limit_unref(again);
	limit_unref(other);
	limits_release(&registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_keys_are_told_apart),
		cmocka_unit_test(test_flood_does_not_drive_out_the_busy),
		cmocka_unit_test(test_the_fresh_go_first),
		cmocka_unit_test(test_what_runs_stays),
		cmocka_unit_test(test_turnover),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
