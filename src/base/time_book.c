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

static inline unsigned try_bucket(uint64_t us)
{
	unsigned bucket = phase_bucket(us);

	return bucket < 2 ? 0 : least(bucket - 2, TRY_BUCKETS - 1);
}

/* What it was in all. `tries` may be NULL. */
__attribute__((always_inline)) static inline uint64_t enter_phases(
	struct time_book *book, struct try_book *tries, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	uint64_t whole_us = 0;

	for (; spent != 0; spent &= spent - 1) {
		unsigned phase = (unsigned)__builtin_ctz(spent);
		uint64_t us = phase_us[phase];

		whole_us += us;
		book->phases[phase].sum_us += us;
		book->phases[phase].buckets[phase_bucket(us)]++;
		if (tries != NULL && PHASE_BIT(phase) & TRY_PHASES)
			tries->sum_us[phase] += us;
	}
	return whole_us;
}

static inline void count_try(struct try_book *tries, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	tries->count++;
	if (spent & (PHASE_BIT(PHASE_CONNECT) | PHASE_BIT(PHASE_TLS)))
		tries->connects++;
	if (spent & PHASE_BIT(PHASE_FIRST_BYTE))
		tries->first_byte[try_bucket(phase_us[PHASE_FIRST_BYTE])]++;
}

void time_books_enter(struct time_book *book, struct try_book *tries, const uint64_t phase_us[PHASE_COUNT], unsigned spent)
{
	uint64_t whole_us;

	/* Nearly always there is one, and so it is not asked again for each phase. */
	if (tries != NULL) {
		count_try(tries, phase_us, spent);
		whole_us = enter_phases(book, tries, phase_us, spent);
	} else {
		whole_us = enter_phases(book, NULL, phase_us, spent);
	}
	book->count++;
	book->whole[whole_bucket(whole_us)]++;
}

void try_book_enter(struct try_book *tries, const uint64_t phase_us[PHASE_COUNT])
{
	unsigned spent = 0;

	for (unsigned i = PHASE_QUEUE; i <= PHASE_CLIENT; i++) {
		spent |= phase_us[i] > 0 ? PHASE_BIT(i) : 0;
		tries->sum_us[i] += phase_us[i];
	}
	count_try(tries, phase_us, spent);
}

static void counters_add(void *to, const void *from, size_t count)
{
	uint64_t *sum = to;
	const uint64_t *more = from;

	for (size_t i = 0; i < count; i++)
		sum[i] += more[i];
}

void time_book_add(struct time_book *to, const struct time_book *from)
{
	counters_add(to, from, BOOK_COUNTERS);
}

void try_book_add(struct try_book *to, const struct try_book *from)
{
	_Static_assert(sizeof(*to) % sizeof(uint64_t) == 0, "only counters of 64 bits");
	counters_add(to, from, sizeof(*to) / sizeof(uint64_t));
}

uint64_t time_book_sum_us(const struct time_book *book)
{
	uint64_t sum_us = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		sum_us += book->phases[i].sum_us;
	return sum_us;
}

uint64_t try_book_sum_us(const struct try_book *tries)
{
	uint64_t sum_us = 0;

	for (unsigned i = 0; i < PHASE_COUNT; i++)
		sum_us += tries->sum_us[i];
	return sum_us;
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
