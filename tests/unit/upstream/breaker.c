/* upstream/breaker: when it opens, what it lets through then, and that two threads together keep to the same. */
#include "upstream/breaker.h"

#include "base/units.h"
#include "../base/unit.h"

static const struct config_breaker usual = {.enabled = true, .failure_percent = 50, .slow_percent = 80, .slow_after_us = US_PER_S,
	.window_us = 10 * US_PER_S, .min_calls = 20, .open_us = 5 * US_PER_S, .open_max_us = 15 * US_PER_S, .half_open_calls = 4};

static struct breaker made(uint64_t now_us)
{
	struct breaker b;

	breaker_init(&b, &usual, now_us);
	return b;
}

static void count(struct breaker *b, uint32_t calls, uint32_t failed, uint32_t slow, uint64_t now_us)
{
	breaker_count(b, &(struct breaker_counts){calls, failed, slow}, now_us, 0);
}

/* Opened at `now_us`, which is long after it was made. */
static struct breaker opened(uint64_t now_us)
{
	struct breaker b = made(0);

	count(&b, 20, 20, 0, now_us);
	assert_int_equal(b.state, BREAKER_OPEN);
	return b;
}

static void test_opens_for_failures(void **state)
{
	struct breaker b = made(0);

	count(&b, 19, 19, 0, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
	count(&b, 1, 0, 0, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_int_equal(b.verdict.calls, 20);
	assert_int_equal(b.verdict.failed, 19);

	b = made(0);
	count(&b, 1000, 499, 0, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
	count(&b, 2, 2, 0, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_OPEN);
}

static void test_opens_for_slowness(void **state)
{
	struct breaker b = made(0);

	count(&b, 100, 0, 79, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
	count(&b, 5, 0, 5, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_OPEN);

	/* Where no call is slow, none is, whatever is counted. */
	b = made(0);
	b.settings.slow_after_us = 0;
	count(&b, 100, 0, 100, 1 * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

/* What is older than the window does not count, by tenths of it; what is not does. */
static void test_window_slides(void **state)
{
	for (uint64_t at = 0; at < 40; at++) {
		struct breaker b = made(0);
		uint64_t first_us = 100 * US_PER_S, then_us = first_us + at * US_PER_S / 2;

		count(&b, 10, 10, 0, first_us);
		count(&b, 10, 0, 0, then_us);
		assert_int_equal(b.state, then_us - first_us < 10 * US_PER_S ? BREAKER_OPEN : BREAKER_CLOSED);
	}
}

static void test_sparse_calls_never_open(void **state)
{
	struct breaker b = made(0);

	for (uint64_t s = 1; s < 1000; s++)
		count(&b, 1, 1, 0, s * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void test_trials(void **state)
{
	const uint64_t now_us = 105 * US_PER_S;
	struct breaker b = opened(100 * US_PER_S);

	assert_true(breaker_is_shut(&b));
	assert_false(breaker_try(&b, now_us));
	breaker_wake(&b, now_us - 1);
	assert_int_equal(b.state, BREAKER_OPEN);
	breaker_wake(&b, now_us);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	for (int i = 0; i < 4; i++) {
		assert_false(breaker_is_shut(&b));
		assert_true(breaker_try(&b, now_us));
	}
	assert_true(breaker_is_shut(&b));
	assert_false(breaker_try(&b, now_us));
	/* One that brings nothing makes room for another. */
	breaker_trial_lost(&b);
	assert_true(breaker_try(&b, now_us));
	for (int i = 0; i < 3; i++)
		breaker_trial_back(&b, i == 0, false, now_us, 0);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	breaker_trial_back(&b, false, false, now_us, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_int_equal(b.verdict.calls, 4);
	assert_int_equal(b.verdict.failed, 1);
	/* It has forgotten what it had opened for. */
	count(&b, 19, 19, 0, now_us);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

/* Those whose clients keep them give their places to others, and count all the same if they come back. */
static void test_trials_that_hang(void **state)
{
	uint64_t now_us = 105 * US_PER_S;
	struct breaker b = opened(100 * US_PER_S);

	breaker_wake(&b, now_us);
	for (int i = 0; i < 4; i++)
		assert_true(breaker_try(&b, now_us));
	breaker_trial_back(&b, false, false, now_us, 0);
	breaker_wake(&b, now_us + 5 * US_PER_S - 1);
	assert_true(breaker_is_shut(&b));
	now_us += 5 * US_PER_S;
	breaker_wake(&b, now_us);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	for (int i = 0; i < 3; i++)
		assert_true(breaker_try(&b, now_us));
	assert_true(breaker_is_shut(&b));
	/* Three of before have left, and nobody else's place is theirs to give. */
	for (int i = 0; i < 4; i++)
		breaker_trial_lost(&b);
	assert_int_equal(b.trials, 1);
	breaker_trial_back(&b, false, false, now_us, 0);
	assert_int_equal(b.trials, 2);
	for (int i = 0; i < 2; i++)
		breaker_trial_back(&b, false, false, now_us, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
}

/* Half of four are enough to shut it: it need not wait for the rest. */
static void test_opens_again_and_for_longer(void **state)
{
	static const uint64_t spans_s[] = {5, 10, 15, 15};
	uint64_t now_us = 100 * US_PER_S;
	struct breaker b = opened(now_us);

	for (int i = 0; i < 4; i++) {
		assert_int_equal(b.until_us - now_us, spans_s[i] * US_PER_S);
		now_us = b.until_us;
		breaker_wake(&b, now_us);
		assert_true(breaker_try(&b, now_us) && breaker_try(&b, now_us));
		breaker_trial_back(&b, true, false, now_us, 0);
		assert_int_equal(b.state, BREAKER_HALF_OPEN);
		breaker_trial_back(&b, true, false, now_us, 0);
		assert_int_equal(b.state, BREAKER_OPEN);
	}
	assert_int_equal(b.opened_total, 5);
}

static void test_long_calm_is_rewarded(void **state)
{
	struct breaker b = opened(100 * US_PER_S);

	for (int soon = 0; soon < 2; soon++) {
		uint64_t now_us = b.until_us, then_us = now_us + (soon == 0 ? 10 : 11) * US_PER_S;

		breaker_wake(&b, now_us);
		for (int i = 0; i < 4; i++) {
			breaker_try(&b, now_us);
			breaker_trial_back(&b, false, false, now_us, 0);
		}
		assert_int_equal(b.state, BREAKER_CLOSED);
		count(&b, 20, 20, 0, then_us);
		assert_int_equal(b.until_us - then_us, (soon == 0 ? 10 : 5) * US_PER_S);
	}
}

static void test_jitter_adds_a_fifth_at_most(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (uint64_t i = 0; i < 10000; i++) {
		struct breaker b = made(0);

		breaker_count(&b, &(struct breaker_counts){20, 20, 0}, 100 * US_PER_S, i * 0x9E3779B97F4A7C15ULL >> 20);
		least = b.until_us < least ? b.until_us : least;
		most = b.until_us > most ? b.until_us : most;
	}
	assert_in_range(least, 105 * US_PER_S, 105 * US_PER_S + 10 * US_PER_MS);
	assert_in_range(most, 106 * US_PER_S - 10 * US_PER_MS, 106 * US_PER_S);
}

static void test_settings(void **state)
{
	struct breaker b = opened(100 * US_PER_S);
	struct config_breaker other = usual;

	breaker_set(&b, &usual, 101 * US_PER_S);
	assert_int_equal(b.state, BREAKER_OPEN);
	other.min_calls = 10;
	breaker_set(&b, &other, 101 * US_PER_S);
	assert_int_equal(b.state, BREAKER_CLOSED);
	count(&b, 10, 10, 0, 101 * US_PER_S);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_int_equal(b.opened_total, 2);
}

/* --- for many workers --------------------------------------------------------------------------------------------------- */

static void test_none(void **state)
{
	struct shared_breaker b;
	struct breaker_side side = {0};
	struct config_breaker off = {0};
	uint32_t call;

	shared_breaker_init(&b);
	for (int i = 0; i < 100; i++) {
		assert_true(shared_breaker_admit(&b, &call, 1));
		assert_int_equal(call, 0);
		assert_false(shared_breaker_report(&b, &side, call, true, 0, 1, 0));
	}
	shared_breaker_set(&b, &off, 1);
	assert_true(shared_breaker_admit(&b, &call, 1));
	assert_int_equal(call, 0);
	assert_false(shared_breaker_wake(&b, 100));
	shared_breaker_release(&b);
}

/* So many calls that fail; how many were admitted. */
static uint32_t fail_calls(struct shared_breaker *b, struct breaker_side *side, uint32_t calls, uint64_t now_us)
{
	uint32_t admitted = 0, call;

	for (uint32_t i = 0; i < calls; i++) {
		if (!shared_breaker_admit(b, &call, now_us))
			continue;
		admitted++;
		shared_breaker_report(b, side, call, true, 0, now_us + i * US_PER_MS, 0);
	}
	return admitted;
}

static void test_one_worker(void **state)
{
	struct shared_breaker b;
	struct breaker_side side = {0};
	uint32_t calls[5];

	shared_breaker_init(&b);
	shared_breaker_set(&b, &usual, 0);
	/* Merged every 10 ms, of which each has 10 calls. */
	assert_in_range(fail_calls(&b, &side, 1000, 100 * US_PER_S), 20, 30);
	assert_int_equal(shared_breaker_state(&b), BREAKER_OPEN);
	assert_false(shared_breaker_admit(&b, &calls[0], 104 * US_PER_S));
	for (int i = 0; i < 4; i++)
		assert_true(shared_breaker_admit(&b, &calls[i], 106 * US_PER_S));
	assert_false(shared_breaker_admit(&b, &calls[4], 106 * US_PER_S));
	shared_breaker_abandon(&b, calls[0]);
	assert_true(shared_breaker_admit(&b, &calls[0], 106 * US_PER_S));
	for (int i = 0; i < 4; i++)
		assert_int_equal(shared_breaker_report(&b, &side, calls[i], false, 0, 106 * US_PER_S, 0), i == 3);
	assert_int_equal(shared_breaker_state(&b), BREAKER_CLOSED);
	shared_breaker_release(&b);
}

static void report(struct shared_breaker *b, struct breaker_side *side, bool failed, uint64_t now_us)
{
	uint32_t call;

	assert_true(shared_breaker_admit(b, &call, now_us));
	shared_breaker_report(b, side, call, failed, 0, now_us, 0);
}

/* What a worker has not told yet grows old with it. */
static enum breaker_state after_pause(uint64_t pause_us)
{
	struct shared_breaker b;
	struct breaker_side side = {0};
	enum breaker_state state;

	shared_breaker_init(&b);
	shared_breaker_set(&b, &usual, 0);
	report(&b, &side, false, 100 * US_PER_S);
	for (int i = 0; i < 19; i++)
		report(&b, &side, true, 100 * US_PER_S + 1);
	assert_int_equal(shared_breaker_state(&b), BREAKER_CLOSED);
	report(&b, &side, false, 100 * US_PER_S + pause_us);
	state = shared_breaker_state(&b);
	shared_breaker_release(&b);
	return state;
}

static void test_what_was_not_told_grows_old(void **state)
{
	assert_int_equal(after_pause(5 * US_PER_S), BREAKER_OPEN);
	assert_int_equal(after_pause(11 * US_PER_S), BREAKER_CLOSED);
}

/* A call that began before it opened says nothing of now, whether it comes while it is half open or closed again. */
static void test_late_calls_count_for_nothing(void **state)
{
	struct shared_breaker b;
	struct breaker_side side = {0}, other = {0};
	uint32_t late[100], trial;

	shared_breaker_init(&b);
	shared_breaker_set(&b, &usual, 0);
	for (int i = 0; i < 100; i++)
		assert_true(shared_breaker_admit(&b, &late[i], 100 * US_PER_S));
	/* What one has counted and not told is of then, too. */
	shared_breaker_report(&b, &other, late[0], true, 0, 100 * US_PER_S, 0);
	for (int i = 1; i < 10; i++)
		shared_breaker_report(&b, &other, late[i], true, 0, 100 * US_PER_S, 0);
	fail_calls(&b, &side, 100, 100 * US_PER_S);
	assert_int_equal(shared_breaker_state(&b), BREAKER_OPEN);
	assert_true(shared_breaker_wake(&b, 106 * US_PER_S));
	for (int i = 10; i < 50; i++)
		assert_false(shared_breaker_report(&b, &side, late[i], true, 0, 106 * US_PER_S, 0));
	for (int i = 0; i < 4; i++) {
		assert_true(shared_breaker_admit(&b, &trial, 106 * US_PER_S));
		shared_breaker_report(&b, &side, trial, false, 0, 106 * US_PER_S, 0);
	}
	for (int i = 50; i < 100; i++)
		shared_breaker_report(&b, &other, late[i], true, 0, (uint64_t)(106 * US_PER_S + i * 20 * US_PER_MS), 0);
	assert_int_equal(shared_breaker_state(&b), BREAKER_CLOSED);
	assert_int_equal(fail_calls(&b, &other, 10, 108 * US_PER_S), 10);
	assert_int_equal(shared_breaker_state(&b), BREAKER_CLOSED);
	shared_breaker_release(&b);
}

enum { THREADS = 2, ROUNDS = 200, CALLS = 50 };

struct party {
	struct shared_breaker breaker;
	pthread_barrier_t barrier;
	atomic_uint admitted;
	atomic_uint_fast64_t now_us;
};

static void *take_part(void *argument)
{
	struct party *p = argument;
	struct breaker_side side = {0};
	uint32_t calls[CALLS];
	int n;

	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&p->barrier);
		uint64_t now_us = atomic_load(&p->now_us);

		n = 0;
		for (int i = 0; i < CALLS; i++)
			n += shared_breaker_admit(&p->breaker, &calls[n], now_us);
		atomic_fetch_add(&p->admitted, (unsigned)n);
		pthread_barrier_wait(&p->barrier);
		for (int i = 0; i < n; i++)
			shared_breaker_report(&p->breaker, &side, calls[i], true, 0, now_us, 0);
		pthread_barrier_wait(&p->barrier);
	}
	return NULL;
}

/* Half open it lets through as many as it says, however many ask at the same time. */
static void test_two_threads(void **state)
{
	static struct party p;
	pthread_t threads[THREADS];

	shared_breaker_init(&p.breaker);
	shared_breaker_set(&p.breaker, &usual, 0);
	pthread_barrier_init(&p.barrier, NULL, THREADS + 1);
	atomic_store(&p.now_us, 100 * US_PER_S);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, take_part, &p);
	for (int round = 0; round < ROUNDS; round++) {
		bool closed = shared_breaker_state(&p.breaker) == BREAKER_CLOSED;

		/* Open it stands until it may be tried; what was counted less than 10 ms ago is told with the next. */
		atomic_fetch_add(&p.now_us, closed ? 20 * US_PER_MS : 20 * US_PER_S);
		atomic_store(&p.admitted, 0);
		pthread_barrier_wait(&p.barrier);
		pthread_barrier_wait(&p.barrier);
		assert_int_equal(atomic_load(&p.admitted), closed ? THREADS * CALLS : usual.half_open_calls);
		pthread_barrier_wait(&p.barrier);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(p.breaker.breaker.opened_total > ROUNDS / 2);
	pthread_barrier_destroy(&p.barrier);
	shared_breaker_release(&p.breaker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_for_failures),
		cmocka_unit_test(test_opens_for_slowness),
		cmocka_unit_test(test_window_slides),
		cmocka_unit_test(test_sparse_calls_never_open),
		cmocka_unit_test(test_trials),
		cmocka_unit_test(test_trials_that_hang),
		cmocka_unit_test(test_opens_again_and_for_longer),
		cmocka_unit_test(test_long_calm_is_rewarded),
		cmocka_unit_test(test_jitter_adds_a_fifth_at_most),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_one_worker),
		cmocka_unit_test(test_what_was_not_told_grows_old),
		cmocka_unit_test(test_late_calls_count_for_nothing),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
