/*
 * The limit that learns, against modelled backends: what it makes of them with few and with many clients, after they have
 * changed, and where it must not be noticed. Each claim holds for each of several seeds. What each run gave is printed.
 */
#include "../base/unit.h"
#include "base/units.h"
#include "limiter_run.h"

enum { SEEDS = 5, LIMIT_MAX = 2048 };

static struct run r;
static const unsigned crowds[] = {8, 128, 1024};

#define PS8 .sharing = BACKEND_FAIR, .servers = 8, .service_us = 5000, .thrash_percent = 12, .thrash_from = 2
#define FIFO8 .sharing = BACKEND_FIFO, .servers = 8, .service_us = 5000

/* Requests a second, at most, of a run: with the service that its requests have needed in the mean. */
static double capacity(const struct backend_shape *s, unsigned clients)
{
	unsigned busy = clients != 0 && clients < s->servers ? clients : s->servers;
	double paused = s->pause_us != 0 ? (double)s->pause_us / (double)s->pause_every_us : 0;

	return busy * 1e6 / (r.backend.needed_us / r.backend.needs) * (1 - paused);
}

/* What nobody makes slower: one request at a time. */
static double alone_p99_us(const struct backend_shape *shape, uint64_t seed)
{
	struct traffic t = {.clients = 1, .seconds = 100, .limit_max = 1, .limit_fixed = 1};

	run(&r, shape, &t, seed);
	return run_latency_quantile_us(&r, 0.99);
}

static void tell(const char *name, const struct traffic *t, uint64_t seed, double share)
{
	struct limiter_facts facts = limiter_facts(&r.limiter);
	double service_us = r.backend.shape.service_us;

	print_message(
		"%-26s %5u clients, seed %u: goodput %5.1f%%, latency x%.2f, p99 x%.2f, limit %u to %u, now %u, knee %.1f, "
		"base %.2f ms, %u dips; %s\n",
		name, t->clients, (unsigned)seed, share * 100, run_latency_mean_us(&r) / service_us,
		run_latency_quantile_us(&r, 0.99) / service_us, r.limit_low, r.limit_high, facts.limit, facts.knee,
		facts.latency_us / 1000, r.dips, limiter_reason_text(facts.reason));
}

/* --- steady backends -------------------------------------------------------------------------------------------------- */

/* From the tenth second on. */
static void steady(const struct backend_shape *shape, unsigned clients, uint64_t seed, double p99_us)
{
	struct traffic t = {
		.clients = clients, .seconds = 60, .limit_max = LIMIT_MAX, .measure_from_us = 10 * US_PER_S};

	run(&r, shape, &t, seed);
	double share = run_goodput(&r, 10, 60) / capacity(shape, clients);

	tell(shape->name, &t, seed, share);
	assert_true(share >= 0.95);
	assert_true(run_latency_mean_us(&r) <= 3 * shape->service_us);
	assert_true(run_latency_quantile_us(&r, 0.99) <= 3 * p99_us);
	if (shape->law == BACKEND_FIXED && shape->pause_us == 0)
		assert_in_range(r.dips, 1, 10);
	if (clients > shape->servers) {
		assert_in_range(limiter_facts(&r.limiter).limit, shape->servers, 4 * shape->servers);
		assert_true(limiter_facts(&r.limiter).knee > shape->servers * 0.5);
		assert_true(limiter_facts(&r.limiter).knee < shape->servers * 2.0);
	}
}

static void steady_for_all(const struct backend_shape *shapes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double p99_us = alone_p99_us(&shapes[i], 1);

		for (size_t crowd = 0; crowd < COUNT(crowds); crowd++) {
			for (uint64_t seed = 1; seed <= SEEDS; seed++)
				steady(&shapes[i], crowds[crowd], seed, p99_us);
		}
	}
}

static void a_fixed_number_of_workers_is_kept_busy_with_a_short_queue(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "8 workers", FIFO8},
		{.name = "8 workers, exponential", FIFO8, .law = BACKEND_EXPONENTIAL},
		{.name = "1 worker of 2 ms", .sharing = BACKEND_FIFO, .servers = 1, .service_us = 2000},
	};

	(void)state;
	steady_for_all(shapes, COUNT(shapes));
}

/* Whatever a dip found, as many would be allowed: so there is none. */
static void a_quick_one_is_not_dipped(void **state)
{
	static const struct backend_shape shape = {.name = "8 workers of 0.1 ms", .sharing = BACKEND_FIFO, .servers = 8, .service_us = 100};
	struct traffic t = {.clients = 32, .seconds = 20, .limit_max = LIMIT_MAX};

	(void)state;
	run(&r, &shape, &t, 1);
	double share = run_goodput(&r, 0, 20) / capacity(&shape, t.clients);

	tell(shape.name, &t, 1, share);
	assert_int_equal(r.dips, 0);
	assert_true(share >= 0.95);
	assert_in_range(limiter_facts(&r.limiter).latency_us, 390, 410);
}

/* More than it can serve at once costs no throughput, only time: what tells is latency alone. */
static void one_that_shares_itself_fairly_is_not_crowded(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "8 shared", .sharing = BACKEND_FAIR, .servers = 8, .service_us = 5000},
		{.name = "8 shared, exponential", .sharing = BACKEND_FAIR, .law = BACKEND_EXPONENTIAL, .servers = 8, .service_us = 5000},
		{.name = "8 shared, 90/10", .sharing = BACKEND_FAIR, .law = BACKEND_TENFOLD, .servers = 8, .service_us = 5000},
	};

	(void)state;
	steady_for_all(shapes, COUNT(shapes));
}

static void a_backend_that_thrashes_is_kept_from_it(void **state)
{
	static const struct backend_shape shapes[] = {{.name = "weir origin", PS8}, {.name = "64 shared, 20 ms, uneven",
											    .sharing = BACKEND_FAIR,
											    .law = BACKEND_EXPONENTIAL,
											    .servers = 64,
											    .service_us = 20000,
											    .thrash_percent = 12,
											    .thrash_from = 2}};

	(void)state;
	steady_for_all(shapes, COUNT(shapes));
}

static void latencies_that_vary_tenfold_do_not_mislead(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "weir origin, 90/10", PS8, .law = BACKEND_TENFOLD},
		{.name = "weir origin, lognormal", PS8, .law = BACKEND_LOGNORMAL},
		{.name = "8 workers, 90/10", FIFO8, .law = BACKEND_TENFOLD},
		{.name = "8 workers, lognormal", FIFO8, .law = BACKEND_LOGNORMAL},
	};

	(void)state;
	steady_for_all(shapes, COUNT(shapes));
}

/* From a second after each pause up to the next; in a few of these times there is a dip, of about a quarter of a second. */
static void after_pauses(const struct backend_shape *shape, uint64_t seed)
{
	struct traffic t = {.clients = 128, .seconds = 40, .limit_max = LIMIT_MAX};
	double worst = 1, sum = 0;

	run(&r, shape, &t, seed);
	for (unsigned at = 10; at < 40; at += 2) {
		double share = run_goodput(&r, at + 1.1, at + 2) / 1600;

		sum += share;
		worst = share < worst ? share : worst;
	}
	print_message("%s: from 1 s after a pause on %.1f%%, in the worst case %.1f%%\n", shape->name, sum / 15 * 100,
		worst * 100);
	assert_true(sum / 15 >= 0.97);
	assert_true(worst >= 0.85);
}

static void pauses_are_got_over_within_a_second(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "weir origin, pauses", PS8, .pause_every_us = 2000000, .pause_us = 100000},
		{.name = "8 workers, exp., pauses",
			FIFO8,
			.law = BACKEND_EXPONENTIAL,
			.pause_every_us = 2000000,
			.pause_us = 100000},
	};

	(void)state;
	steady_for_all(shapes, COUNT(shapes));
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		after_pauses(&shapes[0], seed);
}

/* The maximum is near, since what is begun in the backend before anything is known has to be waited for (weak points). */
static void one_answer_a_second_is_no_reason_to_give_up(void **state)
{
	static const struct backend_shape shape = {
		.name = "1 worker of 1 s", .sharing = BACKEND_FIFO, .servers = 1, .service_us = 1000000};
	struct traffic t = {.clients = 128, .seconds = 100, .limit_max = 8, .measure_from_us = 60 * US_PER_S};

	(void)state;
	run(&r, &shape, &t, 1);
	tell(shape.name, &t, 1, run_goodput(&r, 1, 100));
	assert_true(run_goodput(&r, 1, 100) >= 0.95);
	assert_true(run_latency_mean_us(&r) <= 3e6);
}

static void the_flood_of_an_open_loop_gets_what_there_is(void **state)
{
	static const struct backend_shape shape = {.name = "weir origin, 10 times that", PS8};
	struct traffic t = {.rate = 16000,
		.until_us = 20 * US_PER_S,
		.seconds = 30,
		.limit_max = LIMIT_MAX,
		.measure_from_us = 5 * US_PER_S};

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(&r, &shape, &t, seed);
		tell(shape.name, &t, seed, run_goodput(&r, 2, 20) / 1600);
		assert_true(run_goodput(&r, 2, 20) >= 0.95 * 1600);
		assert_true(run_latency_mean_us(&r) <= 3 * 5000);
	}
}

/* --- backends that change --------------------------------------------------------------------------------------------- */

/* At 20 s; between 5 and 10 s later the goodput is what it must be "within 10 s", and from then on the latency. */
static void changing(const struct backend_shape *shape, unsigned clients, uint64_t seed)
{
	const struct backend_change *change = &shape->changes[0];
	double now = change->servers * 1e6 / change->service_us;
	struct traffic t = {
		.clients = clients, .seconds = 40, .limit_max = LIMIT_MAX, .measure_from_us = 30 * US_PER_S};

	run(&r, shape, &t, seed);
	double share = run_goodput(&r, 25, 30) / now, later = run_goodput(&r, 30, 40) / now;

	tell(shape->name, &t, seed, share);
	assert_true(share >= 0.90);
	assert_true(later >= 0.90);
	assert_true(run_latency_mean_us(&r) <= 3 * change->service_us);
}

static void what_changes_is_followed_within_seconds(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "half the places", PS8, .changes = {{20000000, 4, 5000}}},
		{.name = "twice the places", PS8, .changes = {{20000000, 16, 5000}}},
		{.name = "half as fast", PS8, .changes = {{20000000, 8, 10000}}},
		{.name = "twice as fast", PS8, .changes = {{20000000, 8, 2500}}},
		{.name = "a tenth as fast", PS8, .changes = {{20000000, 8, 50000}}},
		{.name = "half the workers, exp.", FIFO8, .law = BACKEND_EXPONENTIAL, .changes = {{20000000, 4, 5000}}},
		{.name = "twice the workers, exp.",
			FIFO8,
			.law = BACKEND_EXPONENTIAL,
			.changes = {{20000000, 16, 5000}}},
		{.name = "half as fast, exp.", FIFO8, .law = BACKEND_EXPONENTIAL, .changes = {{20000000, 8, 10000}}},
		{.name = "twice as fast, exp.", FIFO8, .law = BACKEND_EXPONENTIAL, .changes = {{20000000, 8, 2500}}},
		{.name = "half the places, 90/10", PS8, .law = BACKEND_TENFOLD, .changes = {{20000000, 4, 5000}}},
		{.name = "twice the places, 90/10", PS8, .law = BACKEND_TENFOLD, .changes = {{20000000, 16, 5000}}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(shapes); i++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			changing(&shapes[i], 128, seed);
			changing(&shapes[i], 1024, seed);
		}
	}
}

static void a_cache_that_warms_is_followed(void **state)
{
	static const struct backend_shape shape = {.name = "a cache that warms", PS8, .warm_us = 5000000};
	struct traffic t = {.clients = 128, .seconds = 30, .limit_max = LIMIT_MAX, .measure_from_us = 10 * US_PER_S};

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(&r, &shape, &t, seed);
		tell(shape.name, &t, seed, run_goodput(&r, 10, 30) / 1600);
		assert_true(run_goodput(&r, 10, 30) >= 0.95 * 1600);
		assert_true(run_latency_mean_us(&r) <= 3 * 5000);
	}
}

/* --- backends that are not the limit -------------------------------------------------------------------------------------- */

/*
 * The share of the clients' time that they are inside and not before it (Little's law), since with few requests that vary
 * the goodput of two runs without any limit is not the same either.
 */
static void unlimited(const struct backend_shape *shape, unsigned clients, unsigned from_s, uint64_t seed)
{
	struct traffic t = {
		.clients = clients, .seconds = 60, .limit_max = LIMIT_MAX, .measure_from_us = from_s * US_PER_S};

	run(&r, shape, &t, seed);
	double share = run_goodput(&r, from_s, 60) * run_latency_mean_us(&r) / 1e6 / clients;

	tell(shape->name, &t, seed, share);
	assert_true(share >= 0.97);
	assert_true(limiter_facts(&r.limiter).limit >= clients);
}

/* With the start, where the latencies are even; where they vary it takes some hundred of them. */
static void where_the_backend_is_not_the_limit_it_costs_nothing(void **state)
{
	static const struct backend_shape quick = {
		.name = "no limit, 20 ms", .sharing = BACKEND_FIFO, .servers = 4000, .service_us = 20000};
	static const struct backend_shape uneven = {.name = "no limit, lognormal",
		.sharing = BACKEND_FIFO,
		.law = BACKEND_LOGNORMAL,
		.servers = 4000,
		.service_us = 20000};
	static const struct backend_shape slow = {.name = "no limit, 100 ms, 90/10",
		.sharing = BACKEND_FIFO,
		.law = BACKEND_TENFOLD,
		.servers = 4000,
		.service_us = 100000};

	(void)state;
	for (size_t crowd = 0; crowd < COUNT(crowds); crowd++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			unlimited(&quick, crowds[crowd], 0, seed);
			unlimited(&uneven, crowds[crowd], 5, seed);
			unlimited(&slow, crowds[crowd], 15, seed);
		}
	}
	/* By chance only short ones end in the first dip: that is no proof of a queue. */
	unlimited(&slow, 1024, 15, 40);
}

static void five_hundred_at_once_are_found(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "500 workers of 2 ms", .sharing = BACKEND_FIFO, .servers = 500, .service_us = 2000},
		{.name = "500 shared, 2 ms",
			.sharing = BACKEND_FAIR,
			.servers = 500,
			.service_us = 2000,
			.thrash_percent = 12,
			.thrash_from = 2},
	};
	struct traffic t = {.clients = 1024, .seconds = 8, .limit_max = LIMIT_MAX, .measure_from_us = 4 * US_PER_S};

	(void)state;
	for (size_t i = 0; i < COUNT(shapes); i++) {
		run(&r, &shapes[i], &t, 1);
		tell(shapes[i].name, &t, 1, run_goodput(&r, 1, 8) / 250000);
		assert_true(run_goodput(&r, 1, 8) >= 0.95 * 250000);
		assert_true(run_latency_mean_us(&r) <= 3 * 2000);
	}
}

/* The trap of all limiters that know a least latency: it took longer, so there must be a queue, so fewer, so fewer... */
static void a_backend_that_becomes_slow_by_itself_is_not_throttled(void **state)
{
	static const struct backend_shape shape = {.name = "no limit, then x20",
		.sharing = BACKEND_FIFO,
		.servers = 4000,
		.service_us = 5000,
		.changes = {{10000000, 4000, 100000}}};
	struct traffic t = {.clients = 512, .seconds = 30, .limit_max = LIMIT_MAX, .measure_from_us = 15 * US_PER_S};

	(void)state;
	run(&r, &shape, &t, 1);
	tell(shape.name, &t, 1, run_goodput(&r, 15, 30) / 5120);
	assert_true(run_goodput(&r, 15, 30) >= 0.97 * 5120);
	assert_true(limiter_facts(&r.limiter).latency_us > 90000);
}

/* --- the beginning ------------------------------------------------------------------------------------------------------ */

/* From the first request on: the share of the first seconds, and from then on. */
static void beginning(const struct backend_shape *shape, const struct traffic *t, double capacity, double settled_s)
{
	double end_s = settled_s + 5 + 30 * shape->service_us / 1e6;

	run(&r, shape, t, 1);
	print_message("%-26s %5u clients, max %u: %.1f%% in the first %.1f s, then %.1f%%, limit %u\n", shape->name,
		t->clients, t->limit_max, run_goodput(&r, 0, settled_s) / capacity * 100, settled_s,
		run_goodput(&r, settled_s, end_s) / capacity * 100, limiter_facts(&r.limiter).limit);
	assert_true(run_goodput(&r, settled_s, end_s) >= 0.95 * capacity);
}

static void a_backend_that_serves_few_at_once_settles_soon(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "weir origin", PS8},
		{.name = "8 workers, exponential", FIFO8, .law = BACKEND_EXPONENTIAL},
		{.name = "weir origin, 90/10", PS8, .law = BACKEND_TENFOLD},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(shapes); i++) {
		for (unsigned max = 100; max <= 1000; max *= 10) {
			for (size_t crowd = 0; crowd < COUNT(crowds); crowd++) {
				struct traffic t = {.clients = crowds[crowd], .seconds = 20, .limit_max = max};

				run(&r, &shapes[i], &t, 1);
				beginning(&shapes[i], &t, capacity(&shapes[i], t.clients), 1.5);
			}
		}
	}
}

/* Whoever is not the limit is hardly held up, however slow the answers are. */
static void slow_answers_are_not_starved(void **state)
{
	static const struct {
		double service_us, settled_s;
		unsigned max;
	} cases[] = {{100000, 2, 100}, {500000, 4, 100}, {2000000, 14, 100}, {100000, 3, 1000}, {500000, 5, 1000},
		{2000000, 15, 1000}};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct backend_shape shape = {.name = "no limit, slow",
			.sharing = BACKEND_FIFO,
			.servers = 4000,
			.service_us = cases[i].service_us};
		struct traffic t = {.clients = cases[i].max, .seconds = 90, .limit_max = cases[i].max};

		beginning(&shape, &t, t.clients / cases[i].service_us * 1e6, cases[i].settled_s);
		assert_true(run_goodput(&r, 0, cases[i].settled_s) >= 0.3 * t.clients / cases[i].service_us * 1e6);
	}
}

/* They hold their places, and say nothing: who comes after them gets a place all the same. */
static void what_does_not_answer_locks_nobody_out(void **state)
{
	struct limiter l;
	unsigned limits[] = {100, 200, 400, 800, 1000, 1000};

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	for (unsigned i = 1; i < COUNT(limits); i++) {
		assert_int_equal(limiter_stagnates(&l, 0, i * 500 * US_PER_MS - 1), limits[i - 1]);
		assert_int_equal(limiter_stagnates(&l, i * 500 * US_PER_MS, i * 500 * US_PER_MS), limits[i - 1]);
		assert_int_equal(limiter_stagnates(&l, 0, i * 500 * US_PER_MS), limits[i]);
	}
	assert_int_equal(limiter_facts(&l).reason, LIMITER_NO_ANSWERS);
}

/* Also where it was low with good reason, and out of a dip. */
static void a_backend_that_hangs_is_found_again_when_it_is_back(void **state)
{
	static const struct backend_shape shape = {.name = "weir origin, 15 s pause", PS8,
		.pause_every_us = 25000000, .pause_us = 15000000};
	struct traffic t = {.clients = 128, .seconds = 50, .limit_max = 100};

	(void)state;
	run(&r, &shape, &t, 1);
	/* From 25 to 40 s; the next one begins at 50 s. */
	print_message("%s: before %.1f%%, from 5 s after on %.1f%%\n", shape.name, run_goodput(&r, 2, 25) / 16,
		run_goodput(&r, 45, 50) / 16);
	assert_true(run_goodput(&r, 45, 50) >= 0.95 * 1600);
}

/* --- the limiter by itself -------------------------------------------------------------------------------------------------- */

/* `count` requests at once, each of them for latency_us, one batch after the other until the time is up. */
static uint64_t batches_for(struct limiter *l, struct limiter_window *w, unsigned count, uint64_t latency_us,
	uint64_t from_us, uint64_t span_us)
{
	uint64_t now_us = from_us;

	for (; now_us < from_us + span_us; now_us += latency_us) {
		for (unsigned i = 0; i < count; i++)
			limiter_enter(w, now_us);
		for (unsigned i = 0; i < count; i++) {
			limiter_sample(w, latency_us);
			limiter_leave(w, now_us + latency_us);
		}
		if (limiter_window_due(w, now_us + latency_us))
			limiter_merge(l, w, now_us + latency_us);
	}
	return now_us;
}

static uint64_t batches(
	struct limiter *l, struct limiter_window *w, unsigned count, uint64_t latency_us, uint64_t from_us)
{
	return batches_for(l, w, count, latency_us, from_us, 3 * US_PER_S);
}

static void a_window_counts_requests_by_the_time_they_are_in_flight(void **state)
{
	struct limiter_window w = {0};

	(void)state;
	limiter_enter(&w, 10);
	limiter_enter(&w, 20);
	limiter_sample(&w, 30);
	limiter_leave(&w, 40);
	limiter_sample(&w, LIMITER_LATENCY_MAX_US + 5);
	limiter_leave(&w, 50);
	assert_int_equal(limiter_window_flight(&w, 50), 10 + 40 + 10);
	assert_int_equal(w.in_flight, 0);
	assert_int_equal(w.samples, 2);
	assert_int_equal(w.latency_sum_us, 30 + LIMITER_LATENCY_MAX_US);
	assert_int_equal(w.latency_squares, 900 + LIMITER_LATENCY_MAX_US * LIMITER_LATENCY_MAX_US);
}

static void merging_empties_the_window_but_for_what_is_in_flight(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	limiter_init(&l, 1, 100, 0);
	limiter_enter(&w, 0);
	limiter_enter(&w, 0);
	limiter_sample(&w, 5);
	limiter_leave(&w, 5);
	assert_true(limiter_window_due(&w, 5));
	assert_int_equal(limiter_merge(&l, &w, 100), LIMITER_START);
	assert_int_equal(w.samples + w.latency_sum_us + w.latency_squares + limiter_window_flight(&w, 100) - w.merged, 0);
	assert_int_equal(w.in_flight, 1);
	assert_false(limiter_window_due(&w, 100 + LIMITER_MERGE_US - 1));
	limiter_leave(&w, 110);
	assert_int_equal(limiter_window_flight(&w, 200) - w.merged, 10);
}

static void the_limit_stays_within_its_range(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	limiter_init(&l, 1, 3, 0);
	assert_int_equal(l.limit, 3);
	limiter_init(&l, 120, 130, 0);
	assert_int_equal(l.limit, 120);
	limiter_init(&l, 20, 30, 0);
	batches(&l, &w, 30, 5000, 0);
	assert_int_equal(l.limit, 30);
	limiter_set_range(&l, 2, 10, 4 * US_PER_S);
	assert_int_equal(l.limit, 10);
	assert_int_equal(limiter_facts(&l).moved_us, 4 * US_PER_S);
	assert_int_equal(limiter_facts(&l).reason, LIMITER_RANGE);
}

/* Refusals are quick, so counting them as answers would look like a backend without a queue. */
static void while_most_requests_fail_the_limit_stays(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};
	uint64_t now_us = 0;

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	for (; now_us < 3 * US_PER_S; now_us += 1000) {
		limiter_enter(&w, now_us);
		limiter_sample(&w, 1000);
		limiter_failure(&w);
		limiter_failure(&w);
		limiter_merge(&l, &w, now_us + 1000);
		limiter_leave(&w, now_us + 1000);
	}
	assert_int_equal(l.limit, LIMITER_START);
	assert_true(limiter_facts(&l).latency_us == 0);
	batches(&l, &w, LIMITER_START, 1000, now_us);
	assert_true(limiter_facts(&l).latency_us > 0);
	assert_true(l.limit > LIMITER_START);
}

/* A backend that resets what comes beyond 500, and has no answers in time for all before that. */
static void who_breaks_off_most_gets_fewer(void **state)
{
	enum { MOST = 500, ROUND_US = 20000 };
	struct limiter l;
	struct limiter_window w = {0};
	uint64_t now_us = 0;

	(void)state;
	limiter_init(&l, 4, 1000, 0);
	l.limit = l.anchor = 1000;
	while (l.limit > MOST && now_us < US_PER_S) {
		now_us += ROUND_US;
		for (unsigned n = MOST; n < l.limit; n++)
			limiter_loss(&w);
		for (unsigned n = 0; n < 20; n++)
			limiter_sample(&w, 2 * US_PER_S);
		limiter_merge(&l, &w, now_us);
	}
	assert_in_range(l.limit, MOST / 2, MOST);
	assert_int_equal(limiter_facts(&l).reason, LIMITER_LOSSES);
	/* Half a dozen among many answers are no reason. */
	unsigned limit = l.limit;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned n = 0; n < 20; n++)
			limiter_sample(&w, 1000);
		for (unsigned n = 0; n < 10; n++)
			limiter_loss(&w);
		limiter_merge(&l, &w, now_us += US_PER_MS);
	}
	assert_int_equal(l.limit, limit);
}

/* The workers' first answers do not come at once, and what each of them has waited for began before there was a window. */
static void what_was_begun_before_a_window_is_not_more_than_there_are_places(void **state)
{
	enum { EACH = LIMITER_START / 2, TOLD = 40 };
	const uint64_t began_us = 1000 * US_PER_S, first_us = began_us + 70 * US_PER_MS, second_us = first_us + 55 * US_PER_MS;
	struct limiter l;
	struct limiter_window windows[2] = {{0}};

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	for (unsigned n = 0; n < LIMITER_START; n++)
		limiter_enter(&windows[n % 2], began_us);
	limiter_sample(&windows[0], first_us - began_us);
	limiter_merge(&l, &windows[0], first_us);
	for (unsigned n = 0; n < TOLD; n++)
		limiter_sample(&windows[1], second_us - began_us);
	limiter_merge(&l, &windows[1], second_us);
	assert_int_equal(l.phase, LIMITER_DIP);
	assert_true(l.cruise.in_flight <= LIMITER_START);
	assert_true(l.limit <= EACH);
}

/* Places beyond the limit are places: whoever has them is in flight. */
static void what_overflows_is_counted(void **state)
{
	enum { BEYOND = 50, ALL = LIMITER_START + BEYOND };
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	for (unsigned beyond = 0; beyond <= BEYOND; beyond += BEYOND) {
		limiter_init(&l, 1, 1000, 0);
		l.beyond = beyond;
		w = (struct limiter_window){0};
		batches_for(&l, &w, ALL, 50 * US_PER_MS, 0, 1);
		assert_int_equal(l.phase, LIMITER_DIP);
		assert_int_equal(l.cruise.in_flight, LIMITER_START + beyond);
	}
}

/* The first window tells of the first answers of a crowd, and is too fair: it is no reason for more when the dip has seen the rest. */
static void a_queue_that_only_the_dip_has_seen_is_one(void **state)
{
	enum { CROWD = 80, EARLY = 30 };
	uint64_t now_us = 1000 * US_PER_S;
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	limiter_init(&l, 1, 1000, now_us);
	for (unsigned n = 0; n < CROWD; n++)
		limiter_enter(&w, now_us);
	for (unsigned n = 0; n < EARLY; n++)
		limiter_sample(&w, 16 * US_PER_MS);
	now_us += 60 * US_PER_MS;
	limiter_merge(&l, &w, now_us);
	assert_int_equal(l.phase, LIMITER_DIP);
	for (unsigned n = 0; n < CROWD; n++)
		limiter_leave(&w, now_us);
	unsigned limit = l.limit;

	while (l.phase == LIMITER_DIP && l.limit == limit)
		now_us = batches_for(&l, &w, 100, 60 * US_PER_MS, now_us, 1);
	while (l.phase == LIMITER_DIP)
		now_us = batches_for(&l, &w, 15, 15 * US_PER_MS, now_us, 1);
	assert_true(limiter_facts(&l).latency_us < 20 * US_PER_MS);
	assert_true(l.limit <= LIMITER_START);
}

/* One that has come to its end answers late, and not sooner for more requests; so does one that has just been given many more. */
static void who_is_known_to_be_slow_has_more_time_before_it_gets_more(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};
	uint64_t now_us = 1000 * US_PER_S;

	(void)state;
	limiter_init(&l, 1, 1000, now_us);
	for (unsigned n = 0; n < 20; n++)
		limiter_loss(&w);
	unsigned limit = limiter_merge(&l, &w, now_us);

	assert_true(limit < LIMITER_START);
	assert_int_equal(limiter_stagnates(&l, now_us - 1, now_us + 10 * US_PER_S - 1), limit);
	assert_int_equal(limiter_stagnates(&l, now_us - 1, now_us + 10 * US_PER_S), 2 * limit);
	assert_int_equal(limiter_patience_us(&l), 500 * US_PER_MS);
	l.pace_us = 20.0 * US_PER_MS / limit / limit;
	assert_int_equal(limiter_patience_us(&l), 500 * US_PER_MS);
	l.limit = l.anchor = 10 * limit;
	assert_in_range(limiter_patience_us(&l), 5999 * US_PER_MS, 6001 * US_PER_MS);
	/* Also in a dip; and no queue is waited for without end. */
	l.limit = limit;
	assert_in_range(limiter_patience_us(&l), 5999 * US_PER_MS, 6001 * US_PER_MS);
	l.anchor = 100 * limit;
	assert_int_equal(limiter_patience_us(&l), 10 * US_PER_S);
	l.base_us = 20 * US_PER_S;
	assert_int_equal(limiter_patience_us(&l), 3 * 20 * US_PER_S);
}

/* It has been started again: nothing is left inside of what it had broken off, and what comes now are long polls, say. */
static void who_has_lost_all_it_had_is_no_slower_than_others(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};
	uint64_t lost_us = 1000 * US_PER_S, now_us = lost_us + 600 * US_PER_MS;

	(void)state;
	limiter_init(&l, 1, 1000, lost_us);
	for (unsigned n = 0; n < LIMITER_START; n++)
		limiter_loss(&w);
	unsigned limit = limiter_merge(&l, &w, lost_us);

	assert_int_equal(limiter_stagnates(&l, lost_us - 1, now_us), limit);
	assert_int_equal(limiter_stagnates(&l, lost_us, now_us), 2 * limit);
}

/* With one request at a time nothing is gained by fewer, however long they take. */
static void lonely_requests_do_not_lower_the_limit(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	uint64_t now_us = batches(&l, &w, 40, 5000, 0);
	unsigned limit = l.limit;

	assert_true(limit >= 40);
	for (unsigned i = 0; i < 10; i++) {
		now_us = batches(&l, &w, 1, 200000, now_us);
		assert_int_equal(l.limit, limit);
	}
	assert_true(limiter_facts(&l).latency_us > 150000);
}

/* Something else was slow while the dip went on: what it made of that gives less throughput, so it goes back. */
static void a_dip_that_was_wrong_is_taken_back(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	uint64_t now_us = batches(&l, &w, 40, 5000, 0);

	l.limit = l.anchor = 4;
	l.doubted = 40;
	l.doubted_throughput = 40 / 5000.0;
	for (unsigned i = 0; i < 100 && l.limit == 4; i++)
		now_us = batches_for(&l, &w, 4, 5000, now_us, 10000);
	assert_int_equal(l.limit, 40);
	assert_int_equal(l.doubted, 0);
}

/* What was seen before a long silence, and a dip that found no traffic, are given up. */
static void silence_is_forgotten(void **state)
{
	struct limiter l;
	struct limiter_window w = {0};
	uint64_t now_us = 0;

	(void)state;
	limiter_init(&l, 1, 1000, 0);
	for (unsigned i = 0; i < 2000 && l.phase != LIMITER_DIP; i++) {
		for (unsigned n = 0; n < 8; n++)
			limiter_enter(&w, now_us);
		now_us += 5000;
		for (unsigned n = 0; n < 8; n++) {
			limiter_sample(&w, 5000);
			limiter_leave(&w, now_us);
		}
		limiter_merge(&l, &w, now_us);
	}
	assert_int_equal(l.phase, LIMITER_DIP);
	unsigned limit = limiter_facts(&l).limit;

	assert_true(l.limit < limit);
	limiter_enter(&w, now_us);
	limiter_leave(&w, now_us + 3600 * US_PER_S);
	assert_int_equal(limiter_merge(&l, &w, now_us + 3600 * US_PER_S), l.limit);
	assert_int_equal(limiter_merge(&l, &w, now_us + 3700 * US_PER_S), limit);
	assert_int_equal(l.phase, LIMITER_CRUISE);
}

static void init_with_nothing(void *with)
{
	limiter_init(with, 0, 5, 0);
}

static void a_range_that_lets_nothing_in_is_a_bug(void **state)
{
	struct limiter l;

	(void)state;
	assert_check_fails(init_with_nothing, &l, "min >= 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fixed_number_of_workers_is_kept_busy_with_a_short_queue),
		cmocka_unit_test(a_quick_one_is_not_dipped),
		cmocka_unit_test(one_that_shares_itself_fairly_is_not_crowded),
		cmocka_unit_test(a_backend_that_thrashes_is_kept_from_it),
		cmocka_unit_test(latencies_that_vary_tenfold_do_not_mislead),
		cmocka_unit_test(pauses_are_got_over_within_a_second),
		cmocka_unit_test(one_answer_a_second_is_no_reason_to_give_up),
		cmocka_unit_test(the_flood_of_an_open_loop_gets_what_there_is),
		cmocka_unit_test(what_changes_is_followed_within_seconds),
		cmocka_unit_test(a_cache_that_warms_is_followed),
		cmocka_unit_test(where_the_backend_is_not_the_limit_it_costs_nothing),
		cmocka_unit_test(five_hundred_at_once_are_found),
		cmocka_unit_test(a_backend_that_becomes_slow_by_itself_is_not_throttled),
		cmocka_unit_test(a_backend_that_serves_few_at_once_settles_soon),
		cmocka_unit_test(slow_answers_are_not_starved),
		cmocka_unit_test(what_does_not_answer_locks_nobody_out),
		cmocka_unit_test(a_backend_that_hangs_is_found_again_when_it_is_back),
		cmocka_unit_test(a_window_counts_requests_by_the_time_they_are_in_flight),
		cmocka_unit_test(merging_empties_the_window_but_for_what_is_in_flight),
		cmocka_unit_test(the_limit_stays_within_its_range),
		cmocka_unit_test(while_most_requests_fail_the_limit_stays),
		cmocka_unit_test(who_breaks_off_most_gets_fewer),
		cmocka_unit_test(what_was_begun_before_a_window_is_not_more_than_there_are_places),
		cmocka_unit_test(what_overflows_is_counted),
		cmocka_unit_test(a_queue_that_only_the_dip_has_seen_is_one),
		cmocka_unit_test(who_is_known_to_be_slow_has_more_time_before_it_gets_more),
		cmocka_unit_test(who_has_lost_all_it_had_is_no_slower_than_others),
		cmocka_unit_test(lonely_requests_do_not_lower_the_limit),
		cmocka_unit_test(a_dip_that_was_wrong_is_taken_back),
		cmocka_unit_test(silence_is_forgotten),
		cmocka_unit_test(a_range_that_lets_nothing_in_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
