/*
 * The limit that learns, on a machine that has no time: the workers' loops and the backend stand still at random for 8 s, while
 * 600 clients come at once. What is measured then is wrong, and nothing may come of it that lasts or that the backend does not
 * survive. Each claim holds for each of many seeds.
 */
#include "../base/unit.h"
#include "base/units.h"
#include "limiter_run.h"

enum { SEEDS = 40, CLIENTS = 600, BUSY_S = 8, TAKEN = 512 };

static struct run r;

#define PS8 .sharing = BACKEND_FAIR, .servers = 8, .service_us = 5000, .thrash_percent = 12, .thrash_from = 2

/* Now and then for long, often for less, and rarely but never for little. */
static const struct stalls machines[] = {
	{.every_us = 300000, .least_us = 5000, .most_us = 300000, .until_us = BUSY_S * US_PER_S},
	{.every_us = 30000, .least_us = 5000, .most_us = 100000, .until_us = BUSY_S * US_PER_S},
	{.every_us = 20000, .least_us = 5000, .most_us = 30000, .until_us = BUSY_S * US_PER_S},
	{.every_us = 1000000, .least_us = 100000, .most_us = 300000, .until_us = BUSY_S * US_PER_S},
};

/* The clock has gone for long, as it does for every process but the first. */
static void run_on(const struct backend_shape *shape, const struct stalls *machine, unsigned seconds, uint64_t seed)
{
	struct traffic t = {.clients = CLIENTS, .seconds = seconds, .limit_min = 4, .limit_max = 1000,
		.begin_us = 72000 * US_PER_S, .stalls = *machine};

	run(&r, shape, &t, seed);
}

/* Of what it can serve. */
static double share(double from_s, double to_s)
{
	return run_goodput(&r, from_s, to_s) / (r.backend.shape.servers * 1e6 / (r.backend.needed_us / r.backend.needs));
}

static void tell(const struct stalls *machine, uint64_t seed, double later)
{
	print_message("%s, every %u ms up to %u ms, seed %u: %u lost (the last after %.1f s), limit up to %u, then %.1f%%, limit %u\n",
		r.backend.shape.name, (unsigned)(machine->every_us / 1000), (unsigned)(machine->most_us / 1000), (unsigned)seed, r.losses,
		(double)r.lost_us / 1e6, r.limit_high, later * 100, limiter_facts(&r.limiter).limit);
}

/* It takes 512: four times what the limit begins with is below that, and nobody gets beyond. */
static void what_a_backend_takes_is_not_exceeded(void **state)
{
	static const struct backend_shape shapes[] = {
		{.name = "weir origin", PS8, .reset_above = TAKEN},
		{.name = "weir origin, exponential", PS8, .law = BACKEND_EXPONENTIAL, .reset_above = TAKEN},
	};

	(void)state;
	for (size_t shape = 0; shape < COUNT(shapes); shape++) {
		for (size_t machine = 0; machine < COUNT(machines); machine++) {
			double sum = 0;

			for (uint64_t seed = 1; seed <= SEEDS; seed++) {
				run_on(&shapes[shape], &machines[machine], 20, seed);
				double later = share(11, 20);

				tell(&machines[machine], seed, later);
				sum += later;
				assert_int_equal(r.losses, 0);
				assert_true(r.limit_high <= 4 * LIMITER_START);
				assert_true(later >= 0.4);
			}
			assert_true(sum / SEEDS >= 0.9);
		}
	}
}

/* It takes fewer than the limit begins with. Each time that it is tried again costs a few, and that is seldom. */
static void what_is_lost_all_the_same_ends(void **state)
{
	static const struct backend_shape shape = {.name = "weir origin that takes 64", PS8, .reset_above = 64};

	(void)state;
	for (size_t machine = 0; machine < COUNT(machines); machine++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			run_on(&shape, &machines[machine], 20, seed);
			tell(&machines[machine], seed, share(11, 20));
			assert_in_range(r.losses, 1, 50000);
			assert_true(r.limit_high <= 3 * LIMITER_START);
			assert_true(share(11, 20) >= 0.5);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_backend_takes_is_not_exceeded),
		cmocka_unit_test(what_is_lost_all_the_same_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
