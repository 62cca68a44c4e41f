/* See time_book.h. */
#include "base/time_book.h"

_Static_assert(sizeof(struct time_book) % sizeof(uint64_t) == 0, "only counters of 64 bits");
enum { BOOK_COUNTERS = sizeof(struct time_book) / sizeof(uint64_t) };

/* How many bits a span has beyond the first bound: 0 below it. */
static inline unsigned bits_beyond(uint64_t us)
{
	us /= TIME_FIRST_US;
	return us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
}

static inline unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static inline unsigned whole_bucket(uint64_t us)
{
	return least(bits_beyond(us), TIME_BUCKETS - 1);
}

static inline unsigned phase_bucket(uint64_t us)
{
	return least((bits_beyond(us) + 1) / 2, TIME_PHASE_BUCKETS - 1);
}

static inline void enter_whole(struct time_book *book, unsigned bucket)
{
	book->whole[bucket]++;
	book->count++;
}

/* What it was in all. */
static inline uint64_t enter_phases(struct time_book *book, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	uint64_t whole_us = 0;

	for (; spent != 0; spent &= spent - 1) {
		unsigned phase = (unsigned)__builtin_ctz(spent);
		uint64_t us = phase_us[phase];

		whole_us += us;
		book->sum_us[phase] += us;
		book->phases[phase][phase_bucket(us)]++;
	}
	return whole_us;
}

/* Nothing was spent but in phases of a try: the two books say the same. */
static inline void enter_alike(struct time_book *a, struct time_book *b, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	uint64_t whole_us = 0;
	unsigned bucket;

	for (; spent != 0; spent &= spent - 1) {
		unsigned phase = (unsigned)__builtin_ctz(spent);
		uint64_t us = phase_us[phase];
		unsigned at = phase_bucket(us);

		whole_us += us;
		a->sum_us[phase] += us;
		b->sum_us[phase] += us;
		a->phases[phase][at]++;
		b->phases[phase][at]++;
	}
	bucket = whole_bucket(whole_us);
	enter_whole(a, bucket);
	enter_whole(b, bucket);
}

void time_books_enter(struct time_book *book, struct time_book *tries, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	if (tries != NULL && (spent & ~TRY_PHASES) == 0) {
		enter_alike(book, tries, phase_us, spent);
		return;
	}
	enter_whole(book, whole_bucket(enter_phases(book, phase_us, spent)));
	if (tries != NULL)
		enter_whole(tries, whole_bucket(enter_phases(tries, phase_us, spent & TRY_PHASES)));
}

void time_book_enter_try(struct time_book *tries, const uint64_t phase_us[PHASE_COUNT])
{
	unsigned spent = 0;

	for (unsigned i = PHASE_QUEUE; i <= PHASE_CLIENT; i++)
		spent |= phase_us[i] > 0 ? PHASE_BIT(i) : 0;
	enter_whole(tries, whole_bucket(enter_phases(tries, phase_us, spent)));
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

void time_exemplars_enter(struct time_exemplars *exemplars, const struct time_exemplar *exemplar)
{
	exemplars->of[whole_bucket(exemplar->value_us)] = *exemplar;
}

void time_exemplars_add(struct time_exemplars *to, const struct time_exemplars *from)
{
	for (unsigned i = 0; i < TIME_BUCKETS; i++)
		if (from->of[i].wall_us > to->of[i].wall_us)
			to->of[i] = from->of[i];
}
