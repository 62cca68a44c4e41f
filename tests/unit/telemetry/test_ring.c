/* The ring: entries come out as they went in, whatever the wrap-around; what does not fit is dropped and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "telemetry/ring.h"

/* An entry of n bytes that says which one it is. */
static bool put(struct ring *ring, unsigned char mark, size_t n)
{
	void *room = ring_reserve(ring, n);

	if (room == NULL)
		return false;
	assert_int_equal((uintptr_t)room % 8, 0);
	memset(room, mark, n);
	ring_commit(ring, n);
	return true;
}

static void take(struct ring *ring, unsigned char mark, size_t n)
{
	size_t got;
	const unsigned char *entry = ring_peek(ring, &got);

	assert_non_null(entry);
	assert_int_equal(got, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(entry[i], mark);
	ring_consume(ring);
}

static void test_empty(void **state)
{
	static struct ring ring;
	size_t n;

	assert_true(ring_init(&ring, 64));
	assert_true(ring_empty(&ring));
	assert_null(ring_peek(&ring, &n));
	ring_release(&ring);
}

static void test_uncommitted_is_unseen(void **state)
{
	static struct ring ring;
	size_t n;

	assert_true(ring_init(&ring, 64));
	assert_non_null(ring_reserve(&ring, 8));
	assert_null(ring_peek(&ring, &n));
	ring_commit(&ring, 8);
	assert_non_null(ring_peek(&ring, &n));
	ring_release(&ring);
}

static void test_every_size_around_the_end(void **state)
{
	static struct ring ring;

	for (size_t offset = 0; offset < 256; offset += 8) {
		for (size_t n = 0; n <= 120; n++) {
			assert_true(ring_init(&ring, 256));
			for (size_t at = 0; at < offset; at += 8) {
				assert_true(put(&ring, 1, 0));
				take(&ring, 1, 0);
			}
			assert_true(put(&ring, 0xa5, n));
			take(&ring, 0xa5, n);
			assert_true(put(&ring, 0x5a, 3));
			take(&ring, 0x5a, 3);
			assert_true(ring_empty(&ring));
			assert_int_equal(ring_dropped(&ring), 0);
			ring_release(&ring);
		}
	}
}

static void test_full_drops_and_counts(void **state)
{
	static struct ring ring;

	assert_true(ring_init(&ring, 128));
	for (unsigned char i = 0; i < 8; i++)
		assert_true(put(&ring, i, 8));
	assert_false(put(&ring, 99, 0));
	assert_false(put(&ring, 99, 8));
	assert_int_equal(ring_dropped(&ring), 2);
	take(&ring, 0, 8);
	assert_true(put(&ring, 8, 8));
	for (unsigned char i = 1; i < 9; i++)
		take(&ring, i, 8);
	assert_true(ring_empty(&ring));
	ring_release(&ring);
}

static void test_oversize_is_dropped(void **state)
{
	static struct ring ring;

	assert_true(ring_init(&ring, 128));
	assert_true(put(&ring, 1, 56));
	take(&ring, 1, 56);
	assert_false(put(&ring, 1, 57));
	assert_false(put(&ring, 1, 1000));
	assert_null(ring_reserve(&ring, SIZE_MAX));
	assert_null(ring_reserve(&ring, SIZE_MAX - 7));
	assert_int_equal(ring_dropped(&ring), 4);
	ring_release(&ring);
}

/* What was reserved and is not needed is there for the next. */
static void test_less_than_reserved(void **state)
{
	static struct ring ring;

	assert_true(ring_init(&ring, 256));
	for (unsigned char i = 0; i < 8; i++) {
		char *room = ring_reserve(&ring, 32);

		assert_non_null(room);
		memset(room, i, 5);
		ring_commit(&ring, 5);
	}
	for (unsigned char i = 0; i < 8; i++)
		take(&ring, i, 5);
	assert_true(ring_empty(&ring));
	assert_int_equal(ring_dropped(&ring), 0);
	ring_release(&ring);
}

/* As long as it is emptied it does not go on through all of its memory; and what waits stays where it is. */
static void test_an_empty_one_begins_anew(void **state)
{
	static struct ring ring;
	char *first;
	size_t n;

	assert_true(ring_init(&ring, 1024));
	first = ring_reserve(&ring, 24);
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(put(&ring, 1, 24));
		assert_true(put(&ring, 2, 24));
		assert_true((char *)ring_reserve(&ring, 24) <= first + 256 + 32);
		take(&ring, 1, 24);
		assert_true((char *)ring_reserve(&ring, 24) > first);
		take(&ring, 2, 24);
		assert_null(ring_peek(&ring, &n));
	}
	ring_release(&ring);
}

/* Then as much fits as into a new one, whether or not the reader has seen it. */
static void test_all_of_it_is_there_anew(void **state)
{
	static struct ring ring;

	assert_true(ring_init(&ring, 1024));
	for (unsigned char i = 0; i < 10; i++)
		assert_true(put(&ring, i, 24));
	for (unsigned char i = 0; i < 10; i++)
		take(&ring, i, 24);
	size_t n;

	assert_null(ring_peek(&ring, &n));
	for (unsigned char i = 0; i < 32; i++)
		assert_true(put(&ring, i, 24));
	assert_false(put(&ring, 99, 0));
	assert_int_equal(ring_dropped(&ring), 1);
	for (unsigned char i = 0; i < 32; i++)
		take(&ring, i, 24);
	assert_true(ring_empty(&ring));
	ring_release(&ring);
}

static void test_filling(void **state)
{
	static struct ring ring;
	size_t n;

	assert_true(ring_init(&ring, 1024));
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned char mark = 0; mark < 7; mark++) {
			assert_true(put(&ring, mark, 24));
			assert_false(ring_is_filling(&ring));
		}
		assert_true(put(&ring, 7, 24));
		assert_true(ring_is_filling(&ring));
		for (unsigned char mark = 0; mark < 8; mark++)
			take(&ring, mark, 24);
		assert_null(ring_peek(&ring, &n));
	}
	ring_release(&ring);
}

enum { THREAD_ENTRIES = 200000 };

static void *produce(void *argument)
{
	struct ring *ring = argument;

	for (uint64_t i = 0; i < THREAD_ENTRIES;) {
		size_t n = 8 + i % 50;
		char *room = ring_reserve(ring, n);

		if (room == NULL)
			continue;
		memset(room, (int)(i & 0xff), n);
		memcpy(room, &i, sizeof(i));
		ring_commit(ring, n);
		i++;
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	static struct ring ring;
	pthread_t producer;

	assert_true(ring_init(&ring, 4096));
	assert_int_equal(pthread_create(&producer, NULL, produce, &ring), 0);
	for (uint64_t i = 0; i < THREAD_ENTRIES;) {
		size_t n;
		const unsigned char *entry = ring_peek(&ring, &n);
		uint64_t index;

		if (entry == NULL)
			continue;
		memcpy(&index, entry, sizeof(index));
		assert_int_equal(index, i);
		assert_int_equal(n, 8 + i % 50);
		if (n > 8)
			assert_int_equal(entry[n - 1], i & 0xff);
		ring_consume(&ring);
		i++;
	}
	assert_int_equal(pthread_join(producer, NULL), 0);
	assert_true(ring_empty(&ring));
	ring_release(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_uncommitted_is_unseen),
		cmocka_unit_test(test_every_size_around_the_end),
		cmocka_unit_test(test_full_drops_and_counts),
		cmocka_unit_test(test_oversize_is_dropped),
		cmocka_unit_test(test_less_than_reserved),
		cmocka_unit_test(test_an_empty_one_begins_anew),
		cmocka_unit_test(test_all_of_it_is_there_anew),
		cmocka_unit_test(test_filling),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
