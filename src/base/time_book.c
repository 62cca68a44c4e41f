/* See time_book.h. */
#include "base/time_book.h"

_Static_assert(sizeof(struct time_book) % sizeof(uint64_t) == 0, "only counters of 64 bits");
enum { BOOK_COUNTERS = sizeof(struct time_book) / sizeof(uint64_t) };

/* How many bits a span has beyond the first bound: 0 below it. */
static unsigned bits_beyond(uint64_t us)
{
	us /= TIME_FIRST_US;
	return us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

void time_book_enter(struct time_book *book, const uint64_t phase_us[PHASE_COUNT])
{
	uint64_t whole_us = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		uint64_t us = phase_us[i];

		if (us == 0)
			continue;
		whole_us += us;
		book->sum_us[i] += us;
		book->phases[i][least((bits_beyond(us) + 1) / 2, TIME_PHASE_BUCKETS - 1)]++;
	}
	book->whole[least(bits_beyond(whole_us), TIME_BUCKETS - 1)]++;
	book->count++;
}

void time_book_add(struct time_book *to, const struct time_book *from)
{
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)from;

	for (size_t i = 0; i < BOOK_COUNTERS; i++)
		sum[i] += more[i];
}

void time_book_since(struct time_book *book, const struct time_book *before)
{
	uint64_t *all = (uint64_t *)book;
	const uint64_t *less = (const uint64_t *)before;

	for (size_t i = 0; i < BOOK_COUNTERS; i++)
		all[i] -= less[i];
}

uint64_t time_book_sum_us(const struct time_book *book)
{
	uint64_t sum_us = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		sum_us += book->sum_us[i];
	return sum_us;
}

uint64_t time_book_phase_count(const struct time_book *book, enum phase phase)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < TIME_PHASE_BUCKETS; i++)
		count += book->phases[phase][i];
	return count;
}
