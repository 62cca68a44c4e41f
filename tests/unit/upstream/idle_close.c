/*
 * Learning when a backend closes connections that rest, against backends of several shapes. A backend here is a function
 * from chance to the time after which it closes; the client's traffic is a handful of connections with pauses.
 */
#include "../base/unit.h"
#include "base/hash.h"
#include "base/units.h"
#include "upstream/idle_close.h"

#define CONFIGURED (55 * US_PER_S)
#define NEVER UINT64_MAX

static uint64_t draws;

static uint64_t below_n(uint64_t n)
{
	return hash_u64(1, draws++) % n;
}

static uint64_t between(uint64_t low, uint64_t high)
{
	return low + below_n(high - low + 1);
}

struct backend {
	uint64_t low_us, high_us; /* it closes after a time between them; NEVER: it does not */
	uint64_t restart_every_us; /* about; 0: never */
};

/* What happened in a run. */
struct tally {
	unsigned closed; /* connections that the backend closed for their rest */
	unsigned limit_closed; /* that we closed */
	uint64_t limit_min_us, limit_max_us; /* of the limit */
};

enum { CONNECTIONS = 8 };

struct world {
	struct idle_close ic;
	uint64_t now_us, configured_us;
	uint64_t pause_max_us; /* between two uses of a connection */
	uint64_t restart_us; /* the next */
	struct tally tally;
	struct {
		uint64_t since_us, limit_us, closes_us, used_us; /* idle since; when which end comes, and the next use */
		bool open;
	} conns[CONNECTIONS];
};

static void rest(struct world *w, const struct backend *b, int i)
{
	uint64_t limit_us = idle_close_limit(&w->ic, w->configured_us);

	w->conns[i].open = true;
	w->conns[i].since_us = w->now_us;
	w->conns[i].limit_us = limit_us == 0 ? NEVER : w->now_us + limit_us;
	w->conns[i].closes_us = b->low_us == NEVER ? NEVER : w->now_us + between(b->low_us, b->high_us);
	w->conns[i].used_us = w->now_us + between(1, w->pause_max_us);
	w->tally.limit_min_us = limit_us < w->tally.limit_min_us ? limit_us : w->tally.limit_min_us;
	w->tally.limit_max_us = limit_us > w->tally.limit_max_us ? limit_us : w->tally.limit_max_us;
}

static void world_open(struct world *w, const struct backend *b, uint64_t pause_max_us)
{
	draws = 0;
	*w = (struct world){.now_us = 1, .configured_us = CONFIGURED, .pause_max_us = pause_max_us};
	w->restart_us = b->restart_every_us == 0 ? NEVER : between(1, 2 * b->restart_every_us);
	w->tally.limit_min_us = NEVER;
	idle_close_init(&w->ic);
	for (int i = 0; i < CONNECTIONS; i++)
		rest(w, b, i);
}

static uint64_t next_of(const struct world *w, int i)
{
	uint64_t end_us = deadline_min(w->conns[i].limit_us, w->conns[i].closes_us);

	return w->conns[i].open ? deadline_min(end_us, w->conns[i].used_us) : w->conns[i].used_us;
}

/* As the endpoint tells it. */
static void happen(struct world *w, const struct backend *b, int i)
{
	uint64_t age_us = w->now_us - w->conns[i].since_us;

	if (w->conns[i].open && w->now_us == w->conns[i].closes_us) {
		idle_close_seen(&w->ic, w->now_us, age_us);
		w->conns[i].open = false;
		w->tally.closed++;
	} else if (w->conns[i].open && w->now_us == w->conns[i].limit_us) {
		idle_close_survived(&w->ic, w->now_us, age_us);
		w->conns[i].open = false;
		w->tally.limit_closed++;
	} else {
		if (w->conns[i].open && age_us > w->ic.doubt_us)
			idle_close_survived(&w->ic, w->now_us, age_us);
		rest(w, b, i);
	}
}

static void restart(struct world *w, const struct backend *b)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		if (w->conns[i].open)
			idle_close_seen(&w->ic, w->now_us, w->now_us - w->conns[i].since_us);
		w->conns[i].open = false;
	}
	w->restart_us = w->now_us + between(1, 2 * b->restart_every_us);
}

static void run(struct world *w, const struct backend *b, uint64_t span_us)
{
	uint64_t end_us = w->now_us + span_us;

	w->tally = (struct tally){.limit_min_us = NEVER};
	for (;;) {
		int first = 0;

		for (int i = 1; i < CONNECTIONS; i++)
			if (next_of(w, i) < next_of(w, first))
				first = i;
		w->now_us = deadline_min(next_of(w, first), w->restart_us);
		if (w->now_us >= end_us)
			break;
		if (w->now_us == w->restart_us)
			restart(w, b);
		else
			happen(w, b, first);
	}
	w->now_us = end_us;
}

static void assert_between(uint64_t value, uint64_t low, uint64_t high)
{
	if (value < low || value > high)
		fail_msg("%llu ms is not between %llu and %llu", (unsigned long long)(value / US_PER_MS),
			(unsigned long long)(low / US_PER_MS), (unsigned long long)(high / US_PER_MS));
}

#define S(n) ((n) * US_PER_S)

/* --- shapes ------------------------------------------------------------------------------------------------------- */

static void test_fixed(void **state)
{
	const struct backend five = {S(5), S(5), 0};
	struct world w;

	world_open(&w, &five, S(8));
	run(&w, &five, S(60));
	assert_int_equal(idle_close_learned(&w.ic), S(5));
	assert_between(w.tally.closed, 3, 20);
	/* From then on it is almost never the backend that closes: only where a longer time is tried. */
	run(&w, &five, S(4 * 3600));
	assert_between(w.tally.closed, 1, 100);
	assert_true(w.tally.limit_closed > 50 * w.tally.closed);
	assert_between(idle_close_limit(&w.ic, CONFIGURED), S(4), S(6));
}

static void test_jittered(void **state)
{
	const struct backend nginx = {S(60), S(75), 0};
	struct world w;

	world_open(&w, &nginx, S(120));
	w.configured_us = S(300);
	run(&w, &nginx, S(1800));
	assert_between(idle_close_learned(&w.ic), S(60), S(62));
	assert_between(idle_close_limit(&w.ic, S(300)), S(55), S(57));
	run(&w, &nginx, S(24 * 3600));
	/* A longer time is tried some ninety times a day, each time for all connections that come to rest until one is closed. */
	assert_true(w.tally.limit_closed > 10 * w.tally.closed);
	assert_true(w.tally.limit_max_us <= S(60 * 5 / 4));
}

/* The limit that is configured is below: there is nothing to learn. */
static void test_longer_than_configured(void **state)
{
	const struct backend hour = {S(3600), S(3600), 0};
	struct world w;

	world_open(&w, &hour, S(100));
	run(&w, &hour, S(3600));
	assert_int_equal(w.tally.closed, 0);
	assert_int_equal(w.tally.limit_min_us, CONFIGURED);
}

static void test_never_closes(void **state)
{
	const struct backend never = {NEVER, NEVER, 0};
	struct world w;

	world_open(&w, &never, S(100));
	w.configured_us = 0;
	run(&w, &never, S(24 * 3600));
	assert_int_equal(idle_close_learned(&w.ic), 0);
	assert_int_equal(w.tally.limit_max_us, 0);
}

/* A thousand restarts, in pools that are busy and in such that are not, do not fool it. */
static void test_restarts(void **state)
{
	static const uint64_t pauses[] = {US_PER_MS, S(1), S(10), S(50)};
	const struct backend restarting = {NEVER, NEVER, S(300)};

	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		struct world w;

		world_open(&w, &restarting, pauses[i]);
		run(&w, &restarting, pauses[i] < S(1) ? S(600) : S(300 * 1000));
		assert_int_equal(idle_close_learned(&w.ic), 0);
		assert_int_equal(w.tally.limit_min_us, CONFIGURED);
	}
}

/* Nor do they keep the truth from being learned. */
static void test_restarts_of_one_that_closes(void **state)
{
	const struct backend five = {S(5), S(5), S(60)};
	struct world w;

	world_open(&w, &five, S(8));
	run(&w, &five, S(600));
	assert_int_equal(idle_close_learned(&w.ic), S(5));
	run(&w, &five, S(24 * 3600));
	assert_between(w.tally.limit_min_us, S(4), S(5));
}

static void test_grows(void **state)
{
	const struct backend five = {S(5), S(5), 0}, sixty = {S(60), S(60), 0}, never = {NEVER, NEVER, 0};
	struct world w;

	world_open(&w, &five, S(100));
	run(&w, &five, S(600));
	assert_between(idle_close_limit(&w.ic, CONFIGURED), S(4), S(6));
	run(&w, &sixty, S(2 * 3600));
	assert_between(idle_close_limit(&w.ic, CONFIGURED), S(50), S(55));
	run(&w, &never, S(2 * 3600));
	assert_int_equal(idle_close_limit(&w.ic, CONFIGURED), CONFIGURED);
}

static void test_shrinks(void **state)
{
	const struct backend sixty = {S(60), S(60), 0}, five = {S(5), S(5), 0};
	struct world w;

	world_open(&w, &sixty, S(100));
	w.configured_us = S(300);
	run(&w, &sixty, S(1800));
	assert_int_equal(idle_close_learned(&w.ic), S(60));
	run(&w, &five, S(120));
	assert_int_equal(idle_close_learned(&w.ic), S(5));
}

/* It closes behind every answer, or every few, without saying so: no rest is short enough for it. */
static void test_at_once(void **state)
{
	const struct backend at_once = {0, 2 * US_PER_MS, 0};
	struct world w;

	world_open(&w, &at_once, S(1));
	run(&w, &at_once, S(1000));
	assert_int_equal(idle_close_learned(&w.ic), 0);
	assert_int_equal(w.tally.limit_min_us, CONFIGURED);
}

/*
 * One connection, used after always the same rest, of a backend that closes what is half a minute old, wherever it is.
 * Returns how many connections there were in half an hour.
 */
static unsigned run_of_age(uint64_t rest_us)
{
	uint64_t now_us = 1, ends_us = S(30);
	unsigned connections = 1;
	struct idle_close ic;

	draws = 0;
	idle_close_init(&ic);
	while (now_us < S(1800)) {
		uint64_t limit_us = idle_close_limit(&ic, CONFIGURED), span_us = deadline_min(limit_us, rest_us);
		bool closed = now_us + span_us >= ends_us;

		if (closed)
			idle_close_seen(&ic, ends_us, ends_us - now_us);
		else if (limit_us < rest_us || rest_us > ic.doubt_us)
			idle_close_survived(&ic, now_us + span_us, span_us);
		now_us += rest_us;
		if (closed || limit_us < rest_us) {
			connections++;
			ends_us = now_us + S(30) + below_n(S(1));
		}
	}
	return connections;
}

static void test_closes_by_age(void **state)
{
	static const uint64_t rests_ms[] = {10, 45, 60, 200, 600, 900, 1500, 2500};

	for (size_t i = 0; i < COUNT(rests_ms); i++)
		assert_in_range(run_of_age(rests_ms[i] * US_PER_MS), 50, 120);
}

/* --- step by step ------------------------------------------------------------------------------------------------- */

/* Eight connections with the same rest are one event, not eight confirmations. */
static void test_one_moment_is_one_event(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	for (int i = 0; i < 8; i++)
		idle_close_seen(&ic, S(100) + (uint64_t)i, S(7));
	assert_int_equal(idle_close_learned(&ic), 0);
	idle_close_seen(&ic, S(200), S(7));
	assert_int_equal(idle_close_learned(&ic), 0);
	idle_close_seen(&ic, S(300), S(7));
	assert_int_equal(idle_close_learned(&ic), S(7));
}

/* The third confirmation turns out to have been a restart. */
static void test_taken_back(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	idle_close_seen(&ic, S(100), S(7));
	idle_close_seen(&ic, S(200), S(7));
	idle_close_seen(&ic, S(300), S(7));
	assert_int_equal(idle_close_learned(&ic), S(7));
	idle_close_seen(&ic, S(300) + US_PER_MS, S(2));
	assert_int_equal(idle_close_learned(&ic), 0);
}

static void test_survivor_clears_the_candidate(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	assert_int_equal(ic.doubt_us, UINT64_MAX);
	idle_close_seen(&ic, S(100), S(4));
	idle_close_seen(&ic, S(200), S(4));
	assert_int_equal(ic.doubt_us, S(4) - 1);
	idle_close_survived(&ic, S(250), S(7));
	assert_int_equal(ic.doubt_us, UINT64_MAX);
	idle_close_seen(&ic, S(300), S(4));
	assert_int_equal(idle_close_learned(&ic), 0);
}

/* Of those that rested no longer than the candidate it takes more than a few. */
static void test_many_survivors_clear_the_candidate(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	idle_close_seen(&ic, S(100), S(4));
	for (unsigned i = 0; i < 7; i++)
		idle_close_survived(&ic, S(150), S(4));
	idle_close_survived(&ic, S(150), S(3));
	assert_int_equal(ic.belief.agreeing, 1);
	idle_close_seen(&ic, S(200), S(4));
	assert_int_equal(ic.belief.agreeing, 2);
	for (unsigned i = 0; i < 8; i++)
		idle_close_survived(&ic, S(250), S(4));
	assert_int_equal(ic.belief.agreeing, 0);
	assert_int_equal(ic.doubt_us, UINT64_MAX);
}

/* What has just served is no timeout, and in the same moment as others it shows a restart. */
static void test_too_short_to_learn(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	for (uint64_t i = 1; i <= 10; i++)
		idle_close_seen(&ic, S(i), 499 * US_PER_MS);
	assert_int_equal(idle_close_learned(&ic), 0);
	for (uint64_t i = 1; i <= 10; i++) {
		idle_close_seen(&ic, S(100 * i), S(5));
		idle_close_seen(&ic, S(100 * i) + 1, US_PER_MS);
	}
	assert_int_equal(idle_close_learned(&ic), 0);
	for (uint64_t i = 1; i <= 3; i++)
		idle_close_seen(&ic, S(10000 + i), 500 * US_PER_MS);
	assert_int_equal(idle_close_learned(&ic), 500 * US_PER_MS);
	assert_between(idle_close_limit(&ic, CONFIGURED), 300 * US_PER_MS, 400 * US_PER_MS);
	/* So short a time is not kept for long. */
	idle_close_survived(&ic, S(10100), idle_close_limit(&ic, 0));
	assert_int_equal(idle_close_learned(&ic), S(1));
}

/* Without anything that rested up to the limit nobody knows, and nothing is raised. */
static void test_raised_only_by_survivors(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	for (uint64_t i = 1; i <= 3; i++)
		idle_close_seen(&ic, S(i), S(8));
	idle_close_survived(&ic, S(100000), S(3));
	assert_int_equal(idle_close_learned(&ic), S(8));
	idle_close_survived(&ic, S(100000), idle_close_limit(&ic, 0));
	assert_between(idle_close_learned(&ic), S(10), S(10) + 100 * US_PER_MS);
	/* One close is enough to go back, and the next try is later. */
	idle_close_seen(&ic, S(100100), S(8));
	assert_int_equal(idle_close_learned(&ic), S(8));
	idle_close_survived(&ic, S(100100 + 90), idle_close_limit(&ic, 0));
	assert_int_equal(idle_close_learned(&ic), S(8));
	idle_close_survived(&ic, S(100100 + 121), idle_close_limit(&ic, 0));
	assert_true(idle_close_learned(&ic) > S(8));
}

static void test_limit(void **state)
{
	struct idle_close ic;

	idle_close_init(&ic);
	assert_int_equal(idle_close_limit(&ic, CONFIGURED), CONFIGURED);
	assert_int_equal(idle_close_limit(&ic, 0), 0);
	ic.announced_us = S(5);
	assert_between(idle_close_limit(&ic, CONFIGURED), S(4), S(5) - 100 * US_PER_MS);
	assert_between(idle_close_limit(&ic, 0), S(4), S(5) - 100 * US_PER_MS);
	assert_int_equal(idle_close_limit(&ic, 10 * US_PER_MS), 10 * US_PER_MS);
	ic.announced_us = S(3600);
	assert_int_equal(idle_close_limit(&ic, 0), S(3595));
	for (uint64_t i = 1; i <= 3; i++)
		idle_close_seen(&ic, S(i), S(1));
	assert_between(idle_close_limit(&ic, CONFIGURED), 700 * US_PER_MS, 900 * US_PER_MS);
	/* Nonsense. */
	idle_close_seen(&ic, S(100), S(100 * 86400));
	assert_int_equal(idle_close_learned(&ic), S(1));
}

static void test_parse(void **state)
{
	enum { BAD = INT32_MAX };
	static const struct {
		const char *value;
		uint64_t seconds;
	} cases[] = {
		{"timeout=5", 5},
		{"timeout=5, max=100", 5},
		{"max=100 ,\ttimeout=75", 75},
		{"TimeOut=60", 60},
		{", ,timeout=1,,", 1},
		{"timeout=86400", 86400},
		{"timeout=86401", BAD},
		{"timeout=0", BAD},
		{"timeout=", BAD},
		{"timeout", 0},
		{"timeout =5", 0},
		{"timeout= 5", BAD},
		{"timeout=5s", BAD},
		{"timeout=-5", BAD},
		{"timeout=+5", BAD},
		{"timeout=5.0", BAD},
		{"timeout=\"5\"", BAD},
		{"timeout=5;max=1", BAD},
		{"timeout=5, timeout=6", 5},
		{"timeout=6, timeout=5", 5},
		{"timeout=5, timeout=x", BAD},
		{"timeout=x, timeout=5", BAD},
		{"xtimeout=5", 0},
		{"timeout=18446744073709551617", BAD},
		{"max=100", 0},
		{"300", 0},
		{"", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool bad = cases[i].seconds == BAD;
		uint64_t expected_us = cases[i].seconds != 0 ? S(cases[i].seconds) : UINT64_MAX, us = UINT64_MAX;

		if (idle_close_parse(view_str(cases[i].value), &us) == bad || (!bad && us != expected_us))
			fail_msg("\"%s\": %llu", cases[i].value, (unsigned long long)us);
	}
}

/* Several fields are one list. */
static void test_parse_several(void **state)
{
	uint64_t us = UINT64_MAX;

	assert_true(idle_close_parse(VIEW("timeout=9"), &us) && idle_close_parse(VIEW("max=7"), &us));
	assert_int_equal(us, S(9));
	assert_true(idle_close_parse(VIEW("timeout=3"), &us) && idle_close_parse(VIEW("timeout=5"), &us));
	assert_int_equal(us, S(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_jittered),
		cmocka_unit_test(test_longer_than_configured),
		cmocka_unit_test(test_never_closes),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_restarts_of_one_that_closes),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_closes_by_age),
		cmocka_unit_test(test_one_moment_is_one_event),
		cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_survivor_clears_the_candidate),
		cmocka_unit_test(test_many_survivors_clear_the_candidate),
		cmocka_unit_test(test_too_short_to_learn),
		cmocka_unit_test(test_raised_only_by_survivors),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
