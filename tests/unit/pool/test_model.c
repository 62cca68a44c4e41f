/*
 * Pools against the reference model, in lock-step under random schedules: one to three pools with or without a shared
 * budget and with every feature on or off by chance, acquires with short deadlines, cancels at every stage, give-backs
 * right and wrong, opens and checks that succeed, fail or dangle, callbacks that answer at once, later or never and
 * callbacks that call back, time that creeps and jumps, drain, renewal and close at any moment. After every event the
 * model, the statistics, the invariants and the audit must agree (rig.c).
 *
 * A run is a number of episodes; an episode is a function of its seed. WEIR_POOL_EVENTS=n does at least n events
 * instead of 1,000,000; WEIR_POOL_SEED=s replays the one episode that a failure has printed.
 */
#include "planting.h"
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EPISODE_EVENTS 400

static uint64_t seed, random_state;
static uint32_t liveliness;            /* percent of callbacks that do something; 0: they only note it */

static void event_random(struct rig *rig);

/* --- failing, chance ---------------------------------------------------------------------------------------------- */

static void failed(const char *what)
{
	planting_found(what);
	fail_msg("seed %llu, event %llu: %s (replay: WEIR_POOL_SEED=%llu)", (unsigned long long)seed,
		(unsigned long long)world.events, what, (unsigned long long)seed);
}

static uint64_t chance(uint64_t n)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

static bool percent(uint32_t p)
{
	return chance(100) < p;
}

/* 0 in `zero` of 100 cases, else up to n. */
static uint64_t maybe(uint32_t zero, uint64_t n)
{
	return percent(zero) ? 0 : 1 + chance(n);
}

static uint32_t any_slot(void)
{
	return (uint32_t)chance(MODEL_SLOTS);
}

static uint32_t waiter_in(const struct rig *rig, uint32_t mask)
{
	return rig_waiter_in(rig, mask, (uint32_t)chance(MODEL_WAITERS));
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

/* Sometimes a callback calls some pool. */
static void meddle(void)
{
	if (world.depth < 4 && percent(liveliness))
		event_random(&world.rigs[chance(world.pools)]);
}

static void answer(struct rig *rig, enum rig_where where, uint32_t slot)
{
	bool opened = where == RIG_CLOSE && rig->model.connections[slot].opened;

	if (where == RIG_OPEN && percent(liveliness)) {
		if (percent(50))
			rig_opened(rig, slot, chance(UINT64_MAX));
		else
			rig_open_failed(rig, slot, chance(UINT64_MAX));
	} else if (where == RIG_CHECK && percent(liveliness)) {
		rig_checked(rig, slot, percent(60));
	} else if (where == RIG_CLOSE && percent(50)) {
		if (opened || percent(50))
			rig_closed(rig, slot);
		else
			rig_open_failed(rig, slot, 0);
	}
}

static void in_callback(struct rig *rig, enum rig_where where, uint32_t slot)
{
	meddle();
	answer(rig, where, slot);
	meddle();
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Whose waits end together may be served in any order: their times are kept apart where that would matter. */
static void event_acquire(struct rig *rig)
{
	const struct model *m = &rig->model;
	uint64_t deadline_us;

	if (m->config.on_acquire_timeout == WEIR_POOL_NEW)
		while (model_due_taken(m, world.now_us + m->config.acquire_timeout_us) ||
			model_due_taken(m, world.now_us + 2 * m->config.acquire_timeout_us))
			world.now_us++;
	deadline_us = world.now_us + chance(300);
	if (m->config.on_acquire_timeout == WEIR_POOL_NEW)
		while (model_due_taken(m, deadline_us))
			deadline_us++;
	rig_acquire(rig, waiter_in(rig, 1U << MODEL_OUT), deadline_us, (uint8_t)chance(5), percent(10));
}

static void event_cancel(struct rig *rig)
{
	rig_cancel(rig, waiter_in(rig, percent(90) ? 1U << MODEL_WAITING | 1U << MODEL_RESOLVED : UINT32_MAX),
		percent(50));
}

static void event_give_back(struct rig *rig)
{
	rig_give_back(rig, waiter_in(rig, 1U << MODEL_HOLDING), percent(75) ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD);
}

/* A token that is stale here, of another pool, or of nobody. */
static void event_give_back_wrongly(struct rig *rig)
{
	struct rig *from = &world.rigs[chance(world.pools)];
	uint32_t at = (uint32_t)chance(RIG_STALE_MAX), w = waiter_in(from, 1U << MODEL_HOLDING);
	struct weir_pool_lease lease = from->stale[at];
	bool own = from == rig && from->stale_of[at] == rig;

	if (from != rig && w != NOBODY && w != from->acquiring)
		lease = from->waiters[w].lease;
	if (own && percent(10))
		lease.slot = (uint32_t)chance(UINT32_MAX);
	if (own && percent(10))
		lease.generation += 1000;
	rig_give_back_wrongly(rig, lease, own);
}

static void event_open_answered(struct rig *rig)
{
	uint32_t slot = rig_slot_in(rig, MODEL_CONNECTING, any_slot());

	if (slot == NOBODY)
		return;
	if (percent(60))
		rig_opened(rig, slot, chance(UINT64_MAX));
	else
		rig_open_failed(rig, slot, chance(UINT64_MAX));
}

static void event_check_answered(struct rig *rig)
{
	uint32_t slot = rig_slot_in(rig, MODEL_CHECKING, any_slot());

	if (slot != NOBODY)
		rig_checked(rig, slot, percent(70));
}

static void event_close_answered(struct rig *rig)
{
	uint32_t slot = rig_slot_in(rig, MODEL_CLOSING, any_slot());

	if (slot != NOBODY)
		rig_closed(rig, slot);
}

/* Whatever the owner may say of whatever slot. */
static void event_report_wrongly(struct rig *rig)
{
	uint32_t slot = (uint32_t)chance(rig->model.config.connections_max + rig->model.config.overflow_max);

	switch (chance(4)) {
	case 0: rig_opened(rig, slot, chance(UINT64_MAX)); break;
	case 1: rig_open_failed(rig, slot, chance(UINT64_MAX)); break;
	case 2: rig_checked(rig, slot, percent(50)); break;
	default: rig_closed(rig, slot); break;
	}
}

/* To the very moment when something is due, or a little further, or far. */
static void event_time(struct rig *rig)
{
	uint64_t next_us = weir_pool_next_event(rig->pool);

	if (percent(30) && next_us != UINT64_MAX && next_us > world.now_us)
		world.now_us = next_us;
	else
		world.now_us += chance(percent(10) ? 1000 : 30);
}

static void event_rare(struct rig *rig)
{
	switch (chance(9)) {
	case 0: rig_renew(rig); break;
	case 1: rig_set_idle_timeout(rig, maybe(30, 200)); break;
	case 3: rig_excuse(rig, world.now_us + chance(50)); break;
	case 2: rig_resize((uint32_t)(1 + chance(6)), (uint32_t)chance(3)); break;
	case 4:
		if (percent(40))
			rig_drain(rig);
		break;
	case 5:
		if (percent(40))
			rig_close(rig);
		break;
	default: event_report_wrongly(rig); break;
	}
}

static const struct {
	uint32_t weight;
	void (*act)(struct rig *rig);
} events[] = {
	{270, event_acquire},
	{100, event_cancel},
	{170, event_give_back},
	{15, event_give_back_wrongly},
	{135, event_open_answered},
	{80, event_check_answered},
	{60, event_close_answered},
	{20, NULL},  /* spoiled */
	{15, NULL},  /* touch */
	{110, rig_run},
	{50, NULL},  /* a notice is answered */
	{80, event_time},
	{12, event_rare},
};

static void event_other(struct rig *rig, size_t which)
{
	if (which == 7)
		rig_spoiled(rig, any_slot());
	else if (which == 8)
		rig_touch(rig, waiter_in(rig, 1U << MODEL_HOLDING));
	else if (world.depth == 0)
		rig_mail();
}

static void event_random(struct rig *rig)
{
	uint64_t sum = 0, drawn;
	size_t i = 0;

	for (size_t k = 0; k < sizeof(events) / sizeof(events[0]); k++)
		sum += events[k].weight;
	for (drawn = chance(sum); drawn >= events[i].weight; i++)
		drawn -= events[i].weight;
	if (events[i].act != NULL)
		events[i].act(rig);
	else
		event_other(rig, i);
}

/* --- an episode --------------------------------------------------------------------------------------------------- */

static void config_overflow(struct weir_pool_config *config)
{
	config->on_acquire_timeout = WEIR_POOL_NEW;
	config->overflow_max = (uint32_t)(1 + chance(MODEL_SLOTS - config->connections_max));
}

static void config_checks(struct weir_pool_config *config)
{
	config->checks = (unsigned)(1 + chance(3));
	config->check_timeout_us = 1 + chance(100);
}

static struct weir_pool_config config_random(void)
{
	struct weir_pool_config config = {.connections_max = (uint32_t)(1 + chance(5)),
		.waiters_max = (uint32_t)chance(MODEL_WAITERS / 2),
		.connecting_max = (uint32_t)(1 + chance(4)),
		.uses_max = (uint32_t)maybe(50, 4),
		.order = percent(50) ? WEIR_POOL_LIFO : WEIR_POOL_FIFO,
		.acquire_timeout_us = 1 + chance(400),
		.idle_timeout_us = maybe(50, 200),
		.lifetime_max_us = maybe(50, 1000),
		.trim_interval_us = maybe(60, 100),
		.backoff_max_us = maybe(60, 300),
		.reclaim_after_us = maybe(60, 600)};

	config.idle_min = percent(60) ? 0 : (uint32_t)(1 + chance(config.connections_max));
	config.refuse_late = percent(40);
	if (percent(50)) {
		config.queue_target_us = 1 + chance(40);
		config.queue_interval_us = 1 + chance(60);
	}
	if (config.backoff_max_us > 0)
		config.backoff_min_us = 1 + chance(config.backoff_max_us);
	if (percent(50))
		config.leak_after_us = config.reclaim_after_us == 0 ? maybe(50, 300) : 1 + chance(config.reclaim_after_us);
	if (percent(30))
		config_overflow(&config);
	if (percent(40))
		config_checks(&config);
	return config;
}

static void episode_begin(void)
{
	struct weir_pool_config configs[RIG_POOLS_MAX];
	uint32_t pools = (uint32_t)(1 + chance(RIG_POOLS_MAX)), budget_max = 0;

	liveliness = percent(50) ? 0 : 25;
	world.lively = liveliness > 0;
	if (percent(60))
		budget_max = (uint32_t)(1 + chance(6));
	for (uint32_t i = 0; i < pools; i++)
		configs[i] = config_random();
	world_init(pools, configs, budget_max, (uint32_t)chance(3));
}

static void calm_down(void)
{
	liveliness = 0;
	world.lively = false;
	for (int i = 0; i < 20; i++) {
		for (uint32_t k = 0; k < world.pools; k++)
			rig_quieten(&world.rigs[k]);
		while (world.mail_n > 0)
			rig_mail();
		world_check();
		world.now_us += 100;
	}
}

static void episode(uint64_t number)
{
	seed = random_state = number;
	world.failed = failed;
	world.in_callback = in_callback;
	episode_begin();
	for (uint64_t end = world.events + EPISODE_EVENTS; world.events < end;) {
		event_random(&world.rigs[chance(world.pools)]);
		world_check();
	}
	calm_down();
	for (uint32_t k = 0; k < world.pools; k++) {
		const struct model *m = &world.rigs[k].model;

		if (model_waiting(m) + model_count(m, MODEL_LEASED) > 0)
			failed("quiet, and yet something is held");
	}
	world_release();
}

static void pools_agree_with_the_model(void **state)
{
	const char *limit = getenv("WEIR_POOL_EVENTS"), *replay = getenv("WEIR_POOL_SEED");
	uint64_t events_min = limit == NULL ? planting_events(1000000) : strtoull(limit, NULL, 10);

	world.events = 0;
	if (replay != NULL) {
		episode(strtoull(replay, NULL, 10));
		return;
	}
	for (uint64_t s = 1; world.events < events_min; s++)
		episode(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_agree_with_the_model),
	};

	return planting_run(argc, argv, tests, 1);
}
