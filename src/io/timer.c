/*
 * A hierarchical timing wheel. Level 0 has a slot for each millisecond, level 1 for each 64, level 2 for each 4,096 ...;
 * ten levels hold every point of time there is. A millisecond is read as ten digits of base 64:
 *
 *   now_ms      00 .. 00 03 17 42 05 60
 *   placed_ms   00 .. 00 03 17 44 11 08
 *                              ^^ the highest digit that differs: level 2, slot 44
 *
 * Everything follows from that one rule:
 * - In a level, the timers' slots are all ahead of the digit of now_ms, and they share its digits above. So a slot never
 *   mixes rounds, and the lowest occupied level holds the next timer, in its lowest slot.
 * - The rule gives the same place until now_ms reaches that slot, so the place need not be stored: cancel finds it again.
 * - When now_ms moves, let H be the highest digit that changed. What stands in levels below H is past; so are the slots
 *   of level H up to the new digit; levels above are untouched. A jump of days costs no more than a step.
 *
 * What comes up is placed anew if its deadline is still ahead: it steps down to a finer level, or its deadline was
 * pushed back meanwhile (lazy re-arming: that cost one store).
 *
 * When the next slot begins that has timers is kept in next_us, so a turn in which nothing comes up costs a comparison. The time is
 * kept as it is told, and read as a millisecond (now_ms above) only where a timer is placed or comes up.
 */
#include "io/timer.h"

#include "base/check.h"

#define DIGIT_BITS 6

_Static_assert(UINT64_MAX / US_PER_MS >> (DIGIT_BITS * WHEEL_LEVELS) == 0, "every millisecond has its digits");

/* The first millisecond that does not begin before `us`. */
static uint64_t ms_at_or_after(uint64_t us)
{
	return us / US_PER_MS + (us % US_PER_MS != 0);
}

static uint64_t now_ms(const struct timer_wheel *w)
{
	return w->now_us / US_PER_MS;
}

/* The highest digit in which two different times differ. */
static unsigned level_between(uint64_t a_ms, uint64_t b_ms)
{
	return (63 - (unsigned)__builtin_clzll(a_ms ^ b_ms)) / DIGIT_BITS;
}

static unsigned digit(uint64_t ms, unsigned level)
{
	return (ms >> (DIGIT_BITS * level)) & (WHEEL_SLOTS - 1);
}

/* Bits 0 to `slot`. */
static uint64_t slots_through(unsigned slot)
{
	return ~(uint64_t)0 >> (WHEEL_SLOTS - 1 - slot);
}

void wheel_init(struct timer_wheel *w, uint64_t now_us)
{
	w->now_us = now_us;
	w->next_us = DEADLINE_NEVER;
	list_init(&w->due);
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		w->occupied[level] = 0;
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

void wheel_release(struct timer_wheel *w)
{
	CHECK(list_empty(&w->due));
	for (unsigned level = 0; level < WHEEL_LEVELS; level++)
		CHECK(w->occupied[level] == 0);
}

/* Puts an unlinked timer where its deadline says. */
static void wheel_place(struct timer_wheel *w, struct io_timer *timer)
{
	uint64_t ms = ms_at_or_after(timer->deadline_us), from_ms = now_ms(w);

	timer->placed_ms = ms;
	if (ms <= now_ms(w)) {
		list_push_back(&w->due, &timer->node);
	} else {
		unsigned level = level_between(ms, now_ms(w));
		unsigned slot = digit(ms, level);

		list_push_back(&w->slots[level][slot], &timer->node);
		w->occupied[level] |= (uint64_t)1 << slot;
		from_ms = ms >> (DIGIT_BITS * level) << (DIGIT_BITS * level);
	}
	w->next_us = deadline_min(w->next_us, from_ms * US_PER_MS);
}

/* When the first slot begins that has timers. */
static uint64_t first_slot_us(const struct timer_wheel *w)
{
	if (!list_empty(&w->due))
		return now_ms(w) * US_PER_MS;
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		if (w->occupied[level] == 0)
			continue;
		unsigned shift = DIGIT_BITS * level;
		uint64_t above = now_ms(w) >> shift >> DIGIT_BITS << DIGIT_BITS;

		return ((above | (unsigned)__builtin_ctzll(w->occupied[level])) << shift) * US_PER_MS;
	}
	return DEADLINE_NEVER;
}

/* Where it stands it comes up early enough for the deadline. */
static bool stands_before(const struct io_timer *timer, uint64_t deadline_us)
{
	return io_timer_armed(timer) && (timer->placed_ms - 1) * US_PER_MS < deadline_us && deadline_us != DEADLINE_NEVER;
}

__attribute__((noinline)) static void set_anew(struct timer_wheel *w, struct io_timer *timer, uint64_t deadline_us)
{
	wheel_cancel(w, timer);
	if (deadline_us == DEADLINE_NEVER)
		return;
	timer->deadline_us = deadline_us;
	wheel_place(w, timer);
}

void wheel_set(struct timer_wheel *w, struct io_timer *timer, uint64_t deadline_us)
{
	if (stands_before(timer, deadline_us))
		timer->deadline_us = deadline_us;
	else
		set_anew(w, timer, deadline_us);
}

void wheel_cancel(struct timer_wheel *w, struct io_timer *timer)
{
	if (!io_timer_armed(timer))
		return;
	list_remove(&timer->node);
	if (timer->placed_ms > now_ms(w)) {
		unsigned level = level_between(timer->placed_ms, now_ms(w));
		unsigned slot = digit(timer->placed_ms, level);

		if (!list_empty(&w->slots[level][slot]))
			return;
		w->occupied[level] &= ~((uint64_t)1 << slot);
	}
	w->next_us = first_slot_us(w);
}

uint64_t wheel_next_due_us(const struct timer_wheel *w)
{
	return w->next_us;
}

/* Moves the timers of the level's slots in `mask` to the end of `to`. */
static void wheel_collect(struct timer_wheel *w, unsigned level, uint64_t mask, struct list *to)
{
	uint64_t passed = w->occupied[level] & mask;

	w->occupied[level] &= ~mask;
	for (; passed != 0; passed &= passed - 1)
		list_splice_back(to, &w->slots[level][__builtin_ctzll(passed)]);
}

/* Something comes up. */
__attribute__((noinline)) static void wheel_turn(struct timer_wheel *w, uint64_t now_us)
{
	uint64_t before_ms = now_ms(w);
	struct list up;

	list_init(&up);
	list_splice_back(&up, &w->due);
	w->now_us = now_us;
	if (now_ms(w) > before_ms) {
		unsigned highest = level_between(now_ms(w), before_ms);

		for (unsigned level = 0; level < highest; level++)
			wheel_collect(w, level, ~(uint64_t)0, &up);
		wheel_collect(w, highest, slots_through(digit(now_ms(w), highest)), &up);
	}
	for (struct list_node *node; (node = list_pop_front(&up)) != NULL;) {
		struct io_timer *timer = container_of(node, struct io_timer, node);

		if (ms_at_or_after(timer->deadline_us) > now_ms(w))
			wheel_place(w, timer);
		else
			timer->on_fire(timer);
	}
	w->next_us = first_slot_us(w);
}

void wheel_advance(struct timer_wheel *w, uint64_t now_us)
{
	if (now_us >= w->next_us)
		wheel_turn(w, now_us);
	else
		w->now_us = now_us;
}
