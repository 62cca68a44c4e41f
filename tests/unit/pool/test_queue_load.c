/*
 * What the discipline of the queue does to a service that is the limit: discrete events, a pool, a service that takes 8
 * requests at once in some 5 ms each (1,500 a second), and clients of two shapes. Closed: each comes again when it was
 * answered or refused, without regard for Retry-After. Open: they come as they come, however many there are already.
 *
 * What is looked at: whether the service always has work (goodput), how long those had waited who were served, how soon the
 * others are told; and that nobody is refused where the queue is a burst, a pause of the service, or a limit that is lowered
 * for a moment. Each run prints what it has found; the numbers in docs/pool.md are these.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/pool.h"

#define MS UINT64_C(1000)
#define SECOND (1000 * MS)
#define NEVER UINT64_MAX

#define PLACES 8
#define SERVICE_US 5333
#define CAPACITY 1500            /* requests a second */
#define REQUESTS_MAX 4096
#define EVENTS_MAX (2 * REQUESTS_MAX)
#define TARGET_US (20 * MS)
#define INTERVAL_US (100 * MS)

struct load {
	const char *name;
	uint32_t clients;            /* closed */
	uint32_t rate;               /* open: requests a second; together with `clients` */
	uint32_t burst;              /* so many at once after a second */
	uint64_t begins_us, ends_us; /* of the open ones; 0, 0: always */
	uint64_t pause_us;           /* after a second the service does nothing for so long */
	uint64_t dip_us;             /* after a second the limit is 5 for so long */
	bool excused;                /* and the pool is told */
	bool sparse;                 /* places 1, a second each */
	uint32_t high;               /* percent of the requests with a higher priority */
	uint64_t lasts_us;
	bool off;                    /* the queue without discipline */
};

struct found {
	uint64_t served, refused, refused_waiting, timed_out;
	uint64_t waits[2][4000];     /* of those served, by priority, in steps of a quarter of a millisecond */
	uint64_t waited[2];
};

/* --- events: a heap of times --------------------------------------------------------------------------------------- */

enum kind { ARRIVES, ANSWERED, COMES_ALONE, DIPS, RISES };

struct event {
	uint64_t at_us;
	enum kind kind;
	uint32_t request;
};

struct request {
	struct weir_pool_waiter waiter;
	uint64_t asked_us;
	bool closed;                 /* comes again */
	bool high;
	uint32_t next_free;
};

static struct {
	const struct load *load;
	struct weir_pool *pool;
	struct weir_pool_budget *budget;
	uint64_t now_us, run_due_us, random;
	struct event events[EVENTS_MAX];
	uint32_t events_n;
	struct request requests[REQUESTS_MAX];
	uint32_t free;
	struct found found;
	bool closed, freed;
} world;

static void event_add(uint64_t at_us, enum kind kind, uint32_t request)
{
	uint32_t i = world.events_n++;

	assert_true(i < EVENTS_MAX);
	for (; i > 0 && world.events[(i - 1) / 2].at_us > at_us; i = (i - 1) / 2)
		world.events[i] = world.events[(i - 1) / 2];
	world.events[i] = (struct event){at_us, kind, request};
}

static struct event event_take(void)
{
	struct event first = world.events[0], last = world.events[--world.events_n];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < world.events_n) {
		child += child + 1 < world.events_n && world.events[child + 1].at_us < world.events[child].at_us;
		if (world.events[child].at_us >= last.at_us)
			break;
		world.events[i] = world.events[child];
		i = child;
	}
	world.events[i] = last;
	return first;
}

static uint64_t chance(uint64_t n)
{
	uint64_t z = (world.random += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

/* --- the owner ------------------------------------------------------------------------------------------------------ */

static void on_open(void *owner, uint32_t slot)
{
	weir_pool_opened(world.pool, slot, &world, world.now_us);
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	weir_pool_closed(world.pool, slot, world.now_us);
}

static void on_wake(void *owner)
{
	world.run_due_us = world.now_us;
}

static void on_closed(void *owner)
{
	world.closed = true;
}

static uint64_t on_random(void *owner)
{
	return chance(UINT64_MAX);
}

static void on_notify(void *owner)
{
	world.freed = true;
}

static const struct weir_pool_ops ops = {
	.open = on_open, .close = on_close, .wake = on_wake, .on_closed = on_closed, .random = on_random};

/* --- requests ------------------------------------------------------------------------------------------------------- */

static uint64_t service_us(void)
{
	uint64_t mean_us = world.load->sparse ? SECOND : SERVICE_US, ends_us;

	ends_us = world.now_us + mean_us * (80 + chance(41)) / 100;
	if (world.load->pause_us > 0 && ends_us > SECOND && world.now_us < SECOND + world.load->pause_us)
		ends_us += world.now_us < SECOND ? world.load->pause_us : SECOND + world.load->pause_us - world.now_us;
	return ends_us;
}

static void request_free(uint32_t r, uint64_t again_us)
{
	struct request *request = &world.requests[r];

	if (request->closed) {
		event_add(world.now_us + again_us, ARRIVES, r);
		return;
	}
	request->next_free = world.free;
	world.free = r;
}

static void served(struct request *request)
{
	uint64_t waited_us = world.now_us - request->asked_us, step = waited_us / 250;

	world.found.served++;
	world.found.waited[request->high] += waited_us;
	world.found.waits[request->high][step < 3999 ? step : 3999]++;
	event_add(service_us(), ANSWERED, (uint32_t)(request - world.requests));
}

static void ended(struct request *request, enum weir_pool_outcome outcome, bool at_once)
{
	if (outcome == WEIR_POOL_DELIVERED) {
		served(request);
		return;
	}
	world.found.refused += outcome == WEIR_POOL_REJECTED;
	world.found.refused_waiting += outcome == WEIR_POOL_REJECTED && !at_once;
	world.found.timed_out += outcome == WEIR_POOL_TIMED_OUT;
	if (outcome != WEIR_POOL_CLOSED)
		request_free((uint32_t)(request - world.requests), 100 + chance(200));
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	ended((struct request *)(void *)waiter, outcome, false);
}

static void arrives(uint32_t r)
{
	struct request *request = &world.requests[r];
	enum weir_pool_outcome outcome;

	request->asked_us = world.now_us;
	request->waiter.on_outcome = on_outcome;
	request->high = chance(100) < world.load->high;
	request->waiter.priority = request->high ? 0 : 1;
	outcome = weir_pool_acquire(world.pool, &request->waiter, world.now_us, NEVER);
	if (outcome != WEIR_POOL_PENDING)
		ended(request, outcome, true);
}

/* An open one, and when the next comes: at random, with the same chance in each moment (a sum of 12, near enough). */
static void comes_alone(void)
{
	uint64_t gap_us = 2 * SECOND / world.load->rate;
	uint32_t r = world.free;

	event_add(world.now_us + chance(gap_us + 1), COMES_ALONE, 0);
	if (r == 0 || (world.load->ends_us > 0 && (world.now_us < world.load->begins_us || world.now_us >= world.load->ends_us)))
		return;
	world.free = world.requests[r].next_free;
	arrives(r);
}

static void limit_set(uint32_t limit, uint64_t for_us)
{
	assert_true(weir_pool_budget_resize(world.budget, limit, 0));
	if (world.load->excused)
		weir_pool_excuse_queue(world.pool, world.now_us + for_us);
}

static void happens(struct event event)
{
	struct request *request = &world.requests[event.request];

	switch (event.kind) {
	case ARRIVES: arrives(event.request); break;
	case ANSWERED:
		weir_pool_give_back(world.pool, request->waiter.lease, WEIR_POOL_REUSABLE, world.now_us);
		request_free(event.request, 100 + chance(200));
		break;
	case COMES_ALONE: comes_alone(); break;
	case DIPS: limit_set(5, world.load->dip_us); break;
	/* What has queued up meanwhile goes with the tenth part of what is served. */
	case RISES: limit_set(PLACES, 4 * world.load->dip_us); break;
	}
}

/* --- a run ---------------------------------------------------------------------------------------------------------- */

static void world_begin(const struct load *load)
{
	struct weir_pool_config config = {.connections_max = 100, .waiters_max = 2000, .connecting_max = 16,
		.acquire_timeout_us = SECOND};

	if (!load->off) {
		config.queue_target_us = TARGET_US;
		config.queue_interval_us = INTERVAL_US;
		config.refuse_late = true;
	}
	memset(&world, 0, sizeof(world));
	world.load = load;
	world.random = 7;
	world.run_due_us = NEVER;
	world.budget = weir_pool_budget_create(load->sparse ? 1 : PLACES, 0, on_notify);
	world.pool = weir_pool_create(&config, &ops, &world, world.budget);
	assert_non_null(world.pool);
	/* The first is nobody: 0 is the end of the free ones. */
	for (uint32_t r = REQUESTS_MAX - 1; r > load->clients; r--) {
		world.requests[r].next_free = world.free;
		world.free = r;
	}
	for (uint32_t r = 1; r <= load->clients; r++) {
		world.requests[r].closed = true;
		event_add(chance(10 * MS), ARRIVES, r);
	}
	if (load->rate > 0)
		event_add(0, COMES_ALONE, 0);
	for (uint32_t i = 0; i < load->burst; i++) {
		event_add(SECOND + i, ARRIVES, world.free);
		world.free = world.requests[world.free].next_free;
	}
	if (load->dip_us > 0) {
		event_add(SECOND, DIPS, 0);
		event_add(SECOND + load->dip_us, RISES, 0);
	}
}

static void pool_looks(void)
{
	if (world.freed) {
		world.freed = false;
		weir_pool_budget_freed(world.pool, world.now_us);
	}
	while (world.run_due_us <= world.now_us || weir_pool_next_event(world.pool) <= world.now_us) {
		world.run_due_us = NEVER;
		weir_pool_run(world.pool, world.now_us);
	}
}

static void world_end(void)
{
	weir_pool_close(world.pool, world.now_us);
	for (uint32_t i = 0; i < world.events_n; i++)
		if (world.events[i].kind == ANSWERED)
			weir_pool_give_back(world.pool, world.requests[world.events[i].request].waiter.lease,
				WEIR_POOL_REUSABLE, world.now_us);
	while (!world.closed)
		weir_pool_run(world.pool, world.now_us);
	weir_pool_free(world.pool);
	weir_pool_budget_free(world.budget);
}

static double wait_ms(bool high, double share)
{
	uint64_t n = 0, sum = 0;

	for (int i = 0; i < 4000; i++)
		n += world.found.waits[high][i];
	for (int i = 0; i < 4000; i++) {
		sum += world.found.waits[high][i];
		if ((double)sum >= share * (double)n)
			return (i + 1) * 0.25;
	}
	return 0;
}

/* Returns the share of what the service could have served from `from_us` on that it did serve. */
static double run_from(const struct load *load, uint64_t from_us)
{
	bool begun = from_us == 0;

	world_begin(load);
	while (world.now_us < load->lasts_us) {
		uint64_t next_us = weir_pool_next_event(world.pool);

		world.now_us = world.events_n > 0 && world.events[0].at_us < next_us ? world.events[0].at_us : next_us;
		if (world.now_us > load->lasts_us)
			world.now_us = load->lasts_us;
		if (!begun && world.now_us >= from_us) {
			memset(&world.found, 0, sizeof(world.found));
			begun = true;
		}
		while (world.events_n > 0 && world.events[0].at_us <= world.now_us) {
			happens(event_take());
			pool_looks();
		}
		pool_looks();
	}
	assert_null(weir_pool_audit(world.pool));
	world_end();

	double could = (double)(load->lasts_us - from_us) / SECOND * (load->sparse ? 1 : CAPACITY);

	print_message("%-28s goodput %5.1f %%, waits p50 %6.2f p99 %6.2f max %6.2f ms (high %.2f %.2f), refused %llu (%llu "
		      "while waiting), timed out %llu\n",
		load->name, 100 * (double)world.found.served / could, wait_ms(false, 0.5), wait_ms(false, 0.99),
		wait_ms(false, 1), wait_ms(true, 0.5), wait_ms(true, 0.99), (unsigned long long)world.found.refused,
		(unsigned long long)world.found.refused_waiting, (unsigned long long)world.found.timed_out);
	return (double)world.found.served / could;
}

static void closed_loop_is_served_in_time_and_at_capacity(void **state)
{
	double few = run_from(&(struct load){.name = "closed, 8", .clients = 8, .lasts_us = 10 * SECOND}, SECOND);

	assert_int_equal(world.found.refused, 0);
	assert_true(few > 0.95);
	assert_true(run_from(&(struct load){.name = "closed, 16", .clients = 16, .lasts_us = 10 * SECOND}, SECOND) > 0.99);
	assert_int_equal(world.found.refused, 0);
	assert_true(run_from(&(struct load){.name = "closed, 128", .clients = 128, .lasts_us = 10 * SECOND}, SECOND) > 0.99);
	assert_true(wait_ms(false, 0.99) <= TARGET_US / 1000 + 1);
	assert_true(run_from(&(struct load){.name = "closed, 1024", .clients = 1024, .lasts_us = 10 * SECOND}, SECOND) > 0.99);
	assert_true(wait_ms(false, 0.99) <= TARGET_US / 1000 + 1);
	/* Who waits asks nothing: though they come again at once, each is refused once in the target at most. */
	assert_true(world.found.refused <= 1024 * 9 * SECOND / TARGET_US);
	run_from(&(struct load){.name = "closed, 1024, beginning", .clients = 1024, .lasts_us = 10 * SECOND}, 0);
	run_from(&(struct load){.name = "closed, 1024, off", .clients = 1024, .lasts_us = 10 * SECOND, .off = true}, SECOND);
	assert_true(wait_ms(false, 0.5) > 500);
}

static void flood_is_served_in_time_and_at_capacity(void **state)
{
	const struct load flood = {.name = "open, 10 times", .rate = 10 * CAPACITY, .lasts_us = 20 * SECOND};
	const struct load over = {.name = "open, 1.1 times", .rate = CAPACITY * 11 / 10, .lasts_us = 20 * SECOND};
	const struct load both = {.name = "open, 10 times, 1 s", .rate = 10 * CAPACITY, .begins_us = SECOND,
		.ends_us = 2 * SECOND, .lasts_us = 4 * SECOND};

	assert_true(run_from(&flood, SECOND) > 0.99);
	assert_true(wait_ms(false, 0.99) <= TARGET_US / 1000 + 1);
	assert_true(run_from(&over, 5 * SECOND) > 0.97);
	run_from(&both, 0);
	/* It is over, and with it the refusals. */
	run_from(&both, 2 * SECOND + TARGET_US);
	assert_int_equal(world.found.refused, 0);
}

static void priority_is_served_whole(void **state)
{
	const struct load load = {.name = "open, 10 times, 5 % high", .rate = 10 * CAPACITY, .high = 5, .lasts_us = 10 * SECOND};
	uint64_t high = 0;

	assert_true(run_from(&load, SECOND) > 0.99);
	for (int i = 0; i < 4000; i++)
		high += world.found.waits[true][i];
	/* 750 a second for 9 s. */
	assert_true(high > 6500);
	assert_true(wait_ms(true, 0.99) < 15);
}

/* What can be worked off is not refused. */
static void burst_is_served_whole(void **state)
{
	run_from(&(struct load){.name = "1000 at once", .burst = 1000, .lasts_us = 3 * SECOND}, 0);
	assert_int_equal(world.found.served, 1000);
	run_from(&(struct load){.name = "400 at once beside 60 %", .rate = CAPACITY * 6 / 10, .burst = 400, .lasts_us = 4 * SECOND},
		0);
	assert_int_equal(world.found.refused + world.found.timed_out, 0);
}

static void pause_costs_nobody(void **state)
{
	run_from(&(struct load){.name = "60 %, pause of 200 ms", .rate = CAPACITY * 6 / 10, .pause_us = 200 * MS,
			 .lasts_us = 4 * SECOND},
		0);
	assert_int_equal(world.found.refused + world.found.timed_out, 0);
}

static void lowered_limit_that_is_excused_costs_nobody(void **state)
{
	struct load load = {.name = "90 %, limit 5 of 8, 60 ms", .rate = CAPACITY * 9 / 10, .dip_us = 60 * MS,
		.lasts_us = 5 * SECOND};

	run_from(&load, 0);
	assert_int_equal(world.found.refused + world.found.timed_out, 0);
	load.name = "90 %, limit 5 of 8, 270 ms";
	load.dip_us = 270 * MS;
	run_from(&load, 0);
	assert_true(world.found.refused > 0);
	load.name = "the same, excused";
	load.excused = true;
	run_from(&load, 0);
	assert_int_equal(world.found.refused + world.found.timed_out, 0);
}

/* Where serving takes longer than the target there is still always somebody to be served next. */
static void slow_service_always_has_work(void **state)
{
	const struct load load = {.name = "closed, 20, 1 place of 1 s", .clients = 20, .sparse = true, .lasts_us = 200 * SECOND};

	assert_true(run_from(&load, 20 * SECOND) > 0.98);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_loop_is_served_in_time_and_at_capacity),
		cmocka_unit_test(flood_is_served_in_time_and_at_capacity),
		cmocka_unit_test(priority_is_served_whole),
		cmocka_unit_test(burst_is_served_whole),
		cmocka_unit_test(pause_costs_nobody),
		cmocka_unit_test(lowered_limit_that_is_excused_costs_nobody),
		cmocka_unit_test(slow_service_always_has_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
