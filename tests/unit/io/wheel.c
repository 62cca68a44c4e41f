/*
 * The timing wheel against a naive table of deadlines, and what is promised about its costs: few wake-ups, one store
 * for a later deadline, no trouble with jumps of days.
 */
#include "io/timer.h"

#include <stdlib.h>

#include "../base/unit.h"

enum { TIMERS = 200 };

struct subject {
	struct io_timer timer;
	struct world *world;
	uint64_t deadline_us; /* the naive table: DEADLINE_NEVER when unarmed */
	int fired;
};

struct world {
	struct timer_wheel wheel;
	struct subject subjects[TIMERS];
	uint64_t now_us;
	bool meddling; /* on_fire sets and cancels at random */
};

static uint64_t random_u64(void)
{
	return (uint64_t)rand() << 62 ^ (uint64_t)rand() << 31 ^ (uint64_t)rand();
}

/* Any order of magnitude up to 2^bits, all equally likely. */
static uint64_t random_span(unsigned bits)
{
	return random_u64() & (((uint64_t)1 << (unsigned)rand() % (bits + 1)) - 1);
}

/* The first time at which the wheel may fire it: its deadline, in whole milliseconds. */
static uint64_t due_us(uint64_t deadline_us)
{
	return deadline_us == DEADLINE_NEVER ? DEADLINE_NEVER : (deadline_us + 999) / 1000 * 1000;
}

static void subject_set(struct subject *s, uint64_t deadline_us)
{
	wheel_set(&s->world->wheel, &s->timer, deadline_us);
	s->deadline_us = deadline_us;
	assert_int_equal(io_timer_armed(&s->timer), deadline_us != DEADLINE_NEVER);
}

static void subject_cancel(struct subject *s)
{
	wheel_cancel(&s->world->wheel, &s->timer);
	s->deadline_us = DEADLINE_NEVER;
	assert_false(io_timer_armed(&s->timer));
}

static void meddle(struct world *w)
{
	struct subject *s = &w->subjects[rand() % TIMERS];

	switch (rand() % 8) {
	case 0: subject_cancel(s); break;
	case 1: subject_set(s, DEADLINE_NEVER); break;
	case 2: subject_set(s, w->now_us - random_span(20) % (w->now_us + 1)); break;
	default: subject_set(s, w->now_us + random_span(50)); break;
	}
}

static void on_fire(struct io_timer *timer)
{
	struct subject *s = container_of(timer, struct subject, timer);

	assert_false(io_timer_armed(timer));
	assert_true(due_us(s->deadline_us) <= s->world->now_us);
	s->deadline_us = DEADLINE_NEVER;
	s->fired++;
	if (s->world->meddling)
		meddle(s->world);
}

static void world_init(struct world *w, uint64_t now_us)
{
	memset(w, 0, sizeof(*w));
	w->now_us = now_us;
	wheel_init(&w->wheel, now_us);
	for (size_t i = 0; i < TIMERS; i++) {
		w->subjects[i].timer.on_fire = on_fire;
		w->subjects[i].world = w;
		w->subjects[i].deadline_us = DEADLINE_NEVER;
	}
}

static void world_release(struct world *w)
{
	for (size_t i = 0; i < TIMERS; i++)
		subject_cancel(&w->subjects[i]);
	wheel_release(&w->wheel);
}

static uint64_t world_first_due_us(const struct world *w)
{
	uint64_t first = DEADLINE_NEVER;

	for (size_t i = 0; i < TIMERS; i++)
		first = deadline_min(first, due_us(w->subjects[i].deadline_us));
	return first;
}

static void world_advance(struct world *w, uint64_t now_us)
{
	w->now_us = now_us;
	wheel_advance(&w->wheel, now_us);
}

/*
 * Nothing due is left, and the wheel asks to be woken in time for the rest: neither too late nor without a reason.
 * (What on_fire set to a time already past, and then perhaps pushed back, takes another call.)
 */
static void world_check(struct world *w)
{
	for (int n = 0; wheel_next_due_us(&w->wheel) <= w->now_us; n++) {
		assert_true(w->meddling && n < 100);
		world_advance(w, w->now_us);
	}
	uint64_t first_us = world_first_due_us(w), next_us = wheel_next_due_us(&w->wheel);

	assert_true(first_us > w->now_us);
	assert_true(next_us <= first_us);
	assert_int_equal(next_us == DEADLINE_NEVER, first_us == DEADLINE_NEVER);
}

static void run_random(struct world *w, int steps)
{
	for (int step = 0; step < steps; step++) {
		for (int n = rand() % 10; n > 0; n--)
			meddle(w);
		world_advance(w, w->now_us + (rand() % 4 == 0 ? random_span(48) : random_span(12)));
		world_check(w);
	}
}

static void test_random(void **state)
{
	static struct world w;

	srand(5);
	world_init(&w, 123456789);
	run_random(&w, 20000);
	world_release(&w);
}

static void test_random_from_callbacks(void **state)
{
	static struct world w;

	srand(6);
	world_init(&w, 0);
	w.meddling = true;
	run_random(&w, 20000);
	w.meddling = false;
	world_release(&w);
}

/* Waking only when the wheel asks: every timer fires within its millisecond, after a handful of wake-ups. */
static void test_exact_and_few_wakeups(void **state)
{
	static struct world w;
	struct subject *s = &w.subjects[0];

	srand(8);
	for (int round = 0; round < 5000; round++) {
		uint64_t deadline_us;
		int wakeups = 0;

		world_init(&w, random_span(50));
		deadline_us = w.now_us + 1 + random_span(50);
		subject_set(s, deadline_us);
		for (; s->fired == 0; wakeups++)
			world_advance(&w, wheel_next_due_us(&w.wheel));
		assert_true(w.now_us >= deadline_us && w.now_us < deadline_us + 1000);
		assert_true(wakeups <= WHEEL_LEVELS + 1);
		assert_int_equal(wheel_next_due_us(&w.wheel), DEADLINE_NEVER);
		world_release(&w);
	}
}

/* An idle timeout of 75 s pushed back every 10 ms for an hour, as on a busy connection. */
static void test_pushing_back_is_one_store(void **state)
{
	static struct world w;
	struct subject *s = &w.subjects[0];
	int moves = 0, wakeups = 0;

	world_init(&w, 1000000);
	for (int i = 0; i < 360000; i++) {
		uint64_t event_us = w.now_us + 10000;

		while (wheel_next_due_us(&w.wheel) < event_us) {
			world_advance(&w, wheel_next_due_us(&w.wheel));
			wakeups++;
		}
		world_advance(&w, event_us);
		struct list_node before = s->timer.node;

		subject_set(s, w.now_us + 75 * US_PER_S);
		moves += memcmp(&before, &s->timer.node, sizeof(before)) != 0;
	}
	assert_int_equal(s->fired, 0);
	assert_true(moves <= 1);
	assert_true(wakeups <= 3600 / 64 + 2);
	world_release(&w);
}

/* 75 s between requests and 15 s for each answer, by one timer: it stands for the nearest of them, and comes up late for none. */
static void test_to_and_fro_is_one_store(void **state)
{
	static struct world w;
	struct subject *s = &w.subjects[0];
	int moves = 0;

	world_init(&w, 1000000);
	subject_set(s, w.now_us + 75 * US_PER_S);
	for (int i = 0; i < 100000; i++) {
		struct list_node before = s->timer.node;

		world_advance(&w, w.now_us + 1000);
		world_check(&w);
		subject_set(s, w.now_us + (i % 2 ? 75 : 15) * US_PER_S);
		moves += memcmp(&before, &s->timer.node, sizeof(before)) != 0;
	}
	assert_int_equal(s->fired, 0);
	assert_true(moves <= 40);
	subject_set(s, w.now_us + 15 * US_PER_S);
	world_advance(&w, w.now_us + 15 * US_PER_S + 999);
	assert_int_equal(s->fired, 1);
	world_release(&w);
}

/* Some fire together; one of them cancels, moves and re-arms the others. */
static struct world *among;

static void on_fire_among(struct io_timer *timer)
{
	on_fire(timer);
	subject_cancel(&among->subjects[1]);
	subject_set(&among->subjects[2], among->now_us + 5000);
	subject_set(&among->subjects[0], among->now_us);
	subject_set(&among->subjects[3], 1);
}

static void test_meddling_among_the_due(void **state)
{
	static struct world w;

	among = &w;
	world_init(&w, 1000000);
	w.subjects[0].timer.on_fire = on_fire_among;
	for (int i = 0; i < 4; i++)
		subject_set(&w.subjects[i], 1000500);
	world_advance(&w, 1002000);
	assert_int_equal(w.subjects[0].fired, 1);
	assert_int_equal(w.subjects[1].fired, 0);
	assert_int_equal(w.subjects[2].fired, 0);
	w.subjects[0].timer.on_fire = on_fire;
	assert_int_equal(wheel_next_due_us(&w.wheel), 1002000);
	world_advance(&w, 1002000);
	assert_int_equal(w.subjects[0].fired, 2);
	assert_int_equal(w.subjects[3].fired, 1);
	world_advance(&w, 1006999);
	assert_int_equal(w.subjects[2].fired, 0);
	world_advance(&w, 1007000);
	assert_int_equal(w.subjects[2].fired, 1);
	assert_int_equal(w.subjects[1].fired, 0);
	world_release(&w);
}

static void test_jump_of_years(void **state)
{
	static struct world w;

	world_init(&w, 5000000);
	for (size_t i = 0; i < TIMERS; i++)
		subject_set(&w.subjects[i], 5000000 + ((uint64_t)1 << i % 50));
	world_advance(&w, (uint64_t)1 << 55);
	for (size_t i = 0; i < TIMERS; i++)
		assert_int_equal(w.subjects[i].fired, 1);
	assert_int_equal(wheel_next_due_us(&w.wheel), DEADLINE_NEVER);
	world_release(&w);
}

static void test_the_end_of_time(void **state)
{
	static struct world w;

	world_init(&w, 0);
	subject_set(&w.subjects[0], DEADLINE_NEVER - 1);
	world_advance(&w, (uint64_t)1 << 60);
	assert_int_equal(w.subjects[0].fired, 0);
	assert_true(io_timer_armed(&w.subjects[0].timer));
	subject_set(&w.subjects[0], ((uint64_t)1 << 60) + 5000);
	world_advance(&w, ((uint64_t)1 << 60) + 6000);
	assert_int_equal(w.subjects[0].fired, 1);
	world_release(&w);
}

static void release(void *wheel)
{
	wheel_release(wheel);
}

static void test_books(void **state)
{
	static struct world w;

	world_init(&w, 1000);
	subject_set(&w.subjects[0], 1000000);
	assert_check_fails(release, &w.wheel, "occupied[level] == 0");
	subject_set(&w.subjects[0], 0);
	assert_check_fails(release, &w.wheel, "due");
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_random_from_callbacks),
		cmocka_unit_test(test_exact_and_few_wakeups),
		cmocka_unit_test(test_pushing_back_is_one_store),
		cmocka_unit_test(test_to_and_fro_is_one_store),
		cmocka_unit_test(test_meddling_among_the_due),
		cmocka_unit_test(test_jump_of_years),
		cmocka_unit_test(test_the_end_of_time),
		cmocka_unit_test(test_books),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
