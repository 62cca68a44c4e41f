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
	time_books_enter(&book, NULL, phase_us, us > 0 ? PHASE_BIT(phase) : 0);
	return book;
}

static void enter(struct time_book *book, const uint64_t phase_us[PHASE_COUNT])
{
	unsigned spent = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		spent |= phase_us[i] > 0 ? PHASE_BIT(i) : 0;
	time_books_enter(book, NULL, phase_us, spent);
}

static uint64_t sum_of(const uint64_t *counts, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += counts[i];
	return sum;
}

static void test_sums(void **state)
{
	const uint64_t phase_us[PHASE_COUNT] = {[PHASE_READING] = 10, [PHASE_FIRST_BYTE] = 1000, [PHASE_CLIENT] = 5000000};
	struct time_book book = {0};

	enter(&book, phase_us);
	enter(&book, phase_us);
	assert_int_equal(book.count, 2);
	assert_int_equal(book.phases[PHASE_FIRST_BYTE].sum_us, 2000);
	assert_int_equal(time_book_sum_us(&book), 2 * 5001010);
	assert_int_equal(sum_of(book.phases[PHASE_CLIENT].buckets, TIME_PHASE_BUCKETS), 2);
	/* Nothing was spent there: they are not in its histogram. */
	assert_int_equal(sum_of(book.phases[PHASE_QUEUE].buckets, TIME_PHASE_BUCKETS), 0);
}

/* In the bucket below the bound, and not in it from the bound on. */
static void test_bounds_of_phases(void **state)
{
	uint64_t bound = TIME_FIRST_US;

	for (unsigned i = 0; i + 1 < TIME_PHASE_BUCKETS; i++, bound *= 4) {
		struct time_book below = book_of(PHASE_QUEUE, bound - 1), at = book_of(PHASE_QUEUE, bound);

		assert_int_equal(below.phases[PHASE_QUEUE].buckets[i], 1);
		assert_int_equal(at.phases[PHASE_QUEUE].buckets[i + 1], 1);
	}
	assert_int_equal(book_of(PHASE_QUEUE, 1).phases[PHASE_QUEUE].buckets[0], 1);
	assert_int_equal(book_of(PHASE_QUEUE, UINT64_MAX).phases[PHASE_QUEUE].buckets[TIME_PHASE_BUCKETS - 1], 1);
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

static struct try_book try_of(enum phase phase, uint64_t us)
{
	uint64_t phase_us[PHASE_COUNT] = {0};
	struct try_book tries = {0};

	phase_us[phase] = us;
	try_book_enter(&tries, phase_us);
	return tries;
}

/* A try has what was spent in its phases, whether or not the request has spent time in others. */
static void test_tries(void **state)
{
	const uint64_t phase_us[PHASE_COUNT] = {[PHASE_READING] = 9000, [PHASE_QUEUE] = 70, [PHASE_TLS] = 30,
		[PHASE_CLIENT] = 700, [PHASE_BACKOFF] = 100};
	struct time_book request = {0};
	struct try_book tries = {0}, by_itself = {0}, both = {0};

	time_books_enter(&request, &tries, phase_us, PHASE_BIT(PHASE_READING) | PHASE_BIT(PHASE_QUEUE) | PHASE_BIT(PHASE_TLS) |
		PHASE_BIT(PHASE_CLIENT) | PHASE_BIT(PHASE_BACKOFF));
	assert_int_equal(time_book_sum_us(&request), 9900);
	assert_int_equal(try_book_sum_us(&tries), 800);
	assert_int_equal(tries.sum_us[PHASE_QUEUE], 70);
	assert_int_equal(tries.count, 1);
	assert_int_equal(tries.connects, 1);
	assert_int_equal(sum_of(tries.first_byte, TRY_BUCKETS), 0);
	try_book_enter(&by_itself, phase_us);
	assert_memory_equal(&by_itself, &tries, sizeof(tries));
	try_book_add(&both, &tries);
	try_book_add(&both, &by_itself);
	assert_int_equal(both.count, 2);
	assert_int_equal(try_book_sum_us(&both), 1600);
	assert_int_equal(try_of(PHASE_CONNECT, 1).connects, 1);
	assert_int_equal(try_of(PHASE_QUEUE, 1).connects, 0);
}

static void test_bounds_of_tries(void **state)
{
	uint64_t bound = TRY_FIRST_US;

	for (unsigned i = 0; i + 1 < TRY_BUCKETS; i++, bound *= 4) {
		assert_int_equal(try_of(PHASE_FIRST_BYTE, bound - 1).first_byte[i], 1);
		assert_int_equal(try_of(PHASE_FIRST_BYTE, bound).first_byte[i + 1], 1);
	}
	assert_int_equal(try_of(PHASE_FIRST_BYTE, 1).first_byte[0], 1);
	assert_int_equal(try_of(PHASE_FIRST_BYTE, UINT64_MAX).first_byte[TRY_BUCKETS - 1], 1);
	assert_int_equal(sum_of(try_of(PHASE_UPSTREAM, bound).first_byte, TRY_BUCKETS), 0);
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

/* The newest of each bucket, whoever adds them up in which order. */
static void test_exemplars(void **state)
{
	struct time_exemplars one = {0}, two = {0}, sum = {0};

	time_exemplars_enter(&one, &(struct time_exemplar){1, 1, TIME_FIRST_US - 1, 100});
	time_exemplars_enter(&one, &(struct time_exemplar){1, 2, TIME_FIRST_US, 100});
	time_exemplars_enter(&one, &(struct time_exemplar){1, 3, 2 * TIME_FIRST_US - 1, 101});
	time_exemplars_enter(&two, &(struct time_exemplar){2, 1, 1, 99});
	time_exemplars_enter(&two, &(struct time_exemplar){2, 2, UINT64_MAX, 102});
	time_exemplars_add(&sum, &two);
	time_exemplars_add(&sum, &one);
	time_exemplars_add(&sum, &two);
	assert_int_equal(sum.of[0].trace_low, 1);
	assert_int_equal(sum.of[0].trace_high, 1);
	assert_int_equal(sum.of[1].trace_low, 3);
	assert_int_equal(sum.of[1].value_us, 2 * TIME_FIRST_US - 1);
	assert_int_equal(sum.of[2].wall_us, 0);
	assert_int_equal(sum.of[TIME_BUCKETS - 1].trace_high, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_bounds_of_phases),
		cmocka_unit_test(test_bounds_of_the_whole),
		cmocka_unit_test(test_tries),
		cmocka_unit_test(test_bounds_of_tries),
		cmocka_unit_test(test_exemplars),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
