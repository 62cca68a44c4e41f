/*
 * The books of time: sums, buckets and their bounds, adding up and taking apart.
 */
#include "base/time_book.h"

#include <string.h>

#include "unit.h"

static struct time_book book_of(enum phase phase, uint64_t us)
{
	uint64_t phase_us[PHASE_COUNT] = {0};
	struct time_book book = {0};

	phase_us[phase] = us;
	time_book_enter(&book, phase_us);
	return book;
}

static void test_sums(void **state)
{
	const uint64_t phase_us[PHASE_COUNT] = {[PHASE_READING] = 10, [PHASE_FIRST_BYTE] = 1000, [PHASE_CLIENT] = 5000000};
	struct time_book book = {0};

	time_book_enter(&book, phase_us);
	time_book_enter(&book, phase_us);
	assert_int_equal(book.count, 2);
	assert_int_equal(book.sum_us[PHASE_FIRST_BYTE], 2000);
	assert_int_equal(time_book_sum_us(&book), 2 * 5001010);
	assert_int_equal(time_book_phase_count(&book, PHASE_CLIENT), 2);
	/* Nothing was spent there: they are not in its histogram. */
	assert_int_equal(time_book_phase_count(&book, PHASE_QUEUE), 0);
}

/* In the bucket below the bound, and not in it from the bound on. */
static void test_bounds_of_phases(void **state)
{
	uint64_t bound = TIME_FIRST_US;

	for (unsigned i = 0; i + 1 < TIME_PHASE_BUCKETS; i++, bound *= 4) {
		struct time_book below = book_of(PHASE_QUEUE, bound - 1), at = book_of(PHASE_QUEUE, bound);

		assert_int_equal(below.phases[PHASE_QUEUE][i], 1);
		assert_int_equal(at.phases[PHASE_QUEUE][i + 1], 1);
	}
	assert_int_equal(book_of(PHASE_QUEUE, 1).phases[PHASE_QUEUE][0], 1);
	assert_int_equal(book_of(PHASE_QUEUE, UINT64_MAX).phases[PHASE_QUEUE][TIME_PHASE_BUCKETS - 1], 1);
}

static void test_bounds_of_the_whole(void **state)
{
	uint64_t bound = TIME_FIRST_US;

	for (unsigned i = 0; i + 1 < TIME_BUCKETS; i++, bound *= 2) {
		assert_int_equal(book_of(PHASE_TLS, bound - 1).whole[i], 1);
		assert_int_equal(book_of(PHASE_TLS, bound).whole[i + 1], 1);
	}
	assert_int_equal(book_of(PHASE_TLS, 0).whole[0], 1);
	assert_int_equal(book_of(PHASE_TLS, UINT64_MAX).whole[TIME_BUCKETS - 1], 1);
}

static void test_what_has_come(void **state)
{
	const uint64_t first[PHASE_COUNT] = {[PHASE_QUEUE] = 70}, second[PHASE_COUNT] = {[PHASE_QUEUE] = 700, [PHASE_TLS] = 3};
	struct time_book before = {0}, after = {0}, both = {0};

	time_book_enter(&before, first);
	time_book_enter(&after, first);
	time_book_enter(&after, second);
	both = after;
	time_book_since(&after, &before);
	assert_int_equal(after.count, 1);
	assert_int_equal(time_book_sum_us(&after), 703);
	assert_int_equal(after.phases[PHASE_QUEUE][1], 0);
	time_book_add(&after, &before);
	assert_memory_equal(&after, &both, sizeof(both));
}

static void test_words(void **state)
{
	for (int i = 0; i < PHASE_COUNT; i++) {
		const char *word = phase_word((enum phase)i);

		assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(word, phase_word((enum phase)k));
	}
	assert_string_equal(phase_word(PHASE_FIRST_BYTE), "first_byte");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_bounds_of_phases),
		cmocka_unit_test(test_bounds_of_the_whole),
		cmocka_unit_test(test_what_has_come),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
