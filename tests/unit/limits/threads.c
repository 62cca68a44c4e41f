/*
 * Two workers on one store: together they let pass what the definition says, to one in a hundred, over many windows and bursts. Each
 * has a clock of its own, some milliseconds apart from the other's.
 */
#include "limits.h"

#include <pthread.h>
#include <stdatomic.h>

enum { WORKERS = 2, KEYS = 16, STEPS = 20000 };

struct worker {
	pthread_t thread;
	struct limit_store *store;
	const struct limit_rule *rule;
	atomic_uint *arrived;
	uint64_t seed;
	uint64_t passed[KEYS];
	uint64_t running; /* CONCURRENT: that were let pass and have not ended, of one key */
};

/* They walk through the same time together: nobody is a step ahead. */
static void keep_step(struct worker *w, unsigned step)
{
	atomic_fetch_add(w->arrived, 1);
	while (atomic_load(w->arrived) < WORKERS * (step + 1))
		sched_yield();
}

/* A step is a millisecond; bursts and pauses take turns. */
static void *work(void *context)
{
	struct worker *w = context;
	struct chance chance = {.seed = w->seed};

	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t now_us = BEGIN_US + step * US_PER_MS;
		unsigned n = step / 700 % 3 == 2 ? 0 : 4;

		keep_step(w, step);
		while (n-- > 0) {
			struct limit_ask ask = {
				.key = draw(&chance, KEYS), .now_us = now_us - draw(&chance, 3 * US_PER_MS)};
			uint64_t key = ask.key;

			ask.key = hash_u64(1, key);
			assert_true(limit_store_ask(w->store, &ask));
			w->passed[key] += ask.answer.verdict == LIMIT_PASSES || ask.answer.verdict == LIMIT_WAITS;
		}
	}
	return NULL;
}

static void run(struct worker workers[WORKERS], const struct limit_rule *rule, void *(*body)(void *))
{
	struct limit_store *store = limit_store_create(rule, 100000);
	atomic_uint arrived = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.store = store, .rule = rule, .seed = i, .arrived = &arrived};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	limit_store_free(store);
}

/* What one alone, with one clock, would let pass of the same requests. */
static void expect(const struct limit_rule *rule, uint64_t passed[KEYS])
{
	struct limit_store *store = limit_store_create(rule, 100000);
	struct chance chances[WORKERS];

	memset(passed, 0, KEYS * sizeof(*passed));
	for (unsigned i = 0; i < WORKERS; i++)
		chances[i] = (struct chance){.seed = i};
	for (unsigned step = 0; step < STEPS; step++)
		for (unsigned i = 0; i < WORKERS; i++)
			for (unsigned n = step / 700 % 3 == 2 ? 0 : 4; n > 0; n--) {
				uint64_t key = draw(&chances[i], KEYS);
				struct limit_ask ask = {.key = hash_u64(1, key), .now_us = BEGIN_US + step * US_PER_MS};

				draw(&chances[i], 1);
				assert_true(limit_store_ask(store, &ask));
				passed[key] += ask.answer.verdict == LIMIT_PASSES || ask.answer.verdict == LIMIT_WAITS;
			}
	limit_store_free(store);
}

static void test_two_workers(void **state)
{
	static const struct limit_rule rules[] = {
		{.kind = LIMIT_TOKEN_BUCKET, .count = 100, .period_us = US_PER_S, .burst = 60},
		{.kind = LIMIT_TOKEN_BUCKET, .count = 2000, .period_us = 10 * US_PER_S, .burst = 20},
		{.kind = LIMIT_SLIDING_WINDOW, .count = 100, .period_us = US_PER_S},
		{.kind = LIMIT_SLIDING_WINDOW, .count = 400, .period_us = 5 * US_PER_S},
		{.kind = LIMIT_LEAKY_BUCKET, .count = 100, .period_us = US_PER_S, .delay_max_us = 200 * US_PER_MS},
	};

	for (size_t i = 0; i < COUNT(rules); i++) {
		struct worker workers[WORKERS];
		uint64_t expected[KEYS];

		run(workers, &rules[i], work);
		expect(&rules[i], expected);
		for (unsigned key = 0; key < KEYS; key++) {
			uint64_t passed = workers[0].passed[key] + workers[1].passed[key];

			assert_true(expected[key] > 1000);
			assert_in_range(passed * 100, expected[key] * 99, expected[key] * 101);
		}
	}
}

/* How many run, seen from outside: never more than so many of both together. */
static atomic_uint running_now, running_most;

/* False: refused. */
static bool hold_one(struct worker *w, struct limit_ask *held)
{
	unsigned now, most = atomic_load(&running_most);

	*held = (struct limit_ask){.key = 5, .now_us = BEGIN_US};
	assert_true(limit_store_ask(w->store, held));
	if (held->answer.verdict != LIMIT_PASSES)
		return false;
	now = atomic_fetch_add(&running_now, 1) + 1;
	while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
		;
	return true;
}

static void let_go(struct worker *w, const struct limit_ask *held)
{
	atomic_fetch_sub(&running_now, 1);
	limit_store_leave(w->store, held, BEGIN_US);
}

/* At the end both take as much as they get, and so all that there is. */
static void *hold(void *context)
{
	struct worker *w = context;
	struct limit_ask held[8];
	unsigned n = 0;
	struct chance chance = {.seed = w->seed};

	keep_step(w, 0);
	for (unsigned i = 0; i < 100000; i++) {
		if (n > 0 && draw(&chance, 2) == 0)
			let_go(w, &held[--n]);
		else if (n < COUNT(held))
			n += hold_one(w, &held[n]);
	}
	while (n < COUNT(held) && hold_one(w, &held[n]))
		n++;
	keep_step(w, 1);
	assert_int_equal(running_now, 10);
	keep_step(w, 2);
	while (n > 0)
		let_go(w, &held[--n]);
	return NULL;
}

static void test_two_workers_at_once(void **state)
{
	const struct limit_rule rule = {.kind = LIMIT_CONCURRENT, .count = 10};
	struct worker workers[WORKERS];

	run(workers, &rule, hold);
	assert_int_equal(running_now, 0);
	assert_int_equal(running_most, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_workers),
		cmocka_unit_test(test_two_workers_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
