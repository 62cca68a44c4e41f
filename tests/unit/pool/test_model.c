/*
 * Pools against the reference model, in lock-step under random schedules: one to three pools with or without a shared
 * budget, acquires with short deadlines, cancels at every stage, give-backs right and wrong, opens that succeed, fail
 * or dangle, callbacks that answer at once and callbacks that call back, time that creeps and jumps, close at any
 * moment. After every event the model, the statistics and the audit must agree.
 *
 * A run is a number of episodes; an episode is a function of its seed. WEIR_POOL_EVENTS=n does at least n events
 * instead of 1,000,000; WEIR_POOL_SEED=s replays the one episode that a failure has printed.
 */
#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POOLS_MAX 3
#define EPISODE_EVENTS 400
#define STALE_MAX 8
#define NOBODY UINT32_MAX
#define POISON 0xdd

struct rig {
	struct weir_pool *pool;
	struct model model;
	struct weir_pool_waiter waiters[MODEL_WAITERS];
	bool poisoned[MODEL_WAITERS];          /* its memory is as good as freed */
	struct weir_pool_lease stale[STALE_MAX];
	uint32_t stale_n;
	uint64_t random;                       /* what random() says next */
	uint64_t next_us;                      /* what the owner knows of the next event */
	uint32_t wakes;                        /* since the latest run */
	uint32_t asking;                       /* depth of open and close callbacks */
	uint32_t calls;                        /* depth of calls to this pool */
	bool settled;                          /* the outermost of them has been seen to leave it settled */
	uint32_t acquiring;                    /* the waiter of an acquire on the way, and its answer if it is known */
	bool answered;
	enum weir_pool_outcome answer;
	int closed_told;
	uint32_t told;                         /* in the present run */
};

static struct world {
	uint64_t seed, random, now_us, events;
	struct weir_pool_budget *budget;
	struct model_budget model_budget;
	struct rig rigs[POOLS_MAX];
	uint32_t pools;
	struct rig *acting;                    /* whose call is on the way */
	struct rig *mail[256];
	uint32_t mail_n;
	uint32_t depth;                        /* of calls from callbacks */
	uint32_t liveliness;                   /* percent of callbacks that do something; 0: they only note it */
} world;

static void event_random(struct rig *rig);

/* --- failing, chance ---------------------------------------------------------------------------------------------- */

static void wrong(const char *what)
{
	fail_msg("seed %llu, event %llu: %s (replay: WEIR_POOL_SEED=%llu)", (unsigned long long)world.seed,
		(unsigned long long)world.events, what, (unsigned long long)world.seed);
}

static uint64_t chance(uint64_t n)
{
	uint64_t z = (world.random += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return (z ^ (z >> 31)) % n;
}

static bool percent(uint32_t p)
{
	return chance(100) < p;
}

static bool closed_due(const struct rig *rig)
{
	return rig->model.closing && rig->closed_told == 0 && model_count(&rig->model, MODEL_NONE) == MODEL_SLOTS &&
		model_next_event(&rig->model) == UINT64_MAX;
}

/* --- one call: before, after -------------------------------------------------------------------------------------- */

static struct rig *call_begin(struct rig *rig)
{
	struct rig *before = world.acting;

	world.events++;
	world.acting = rig;
	if (rig->calls++ == 0)
		rig->settled = false;
	model_time(&rig->model, world.now_us);
	return before;
}

/* `effective`: the call did something, and so has to leave the pool settled. */
static void call_end(struct rig *rig, struct rig *before, bool effective)
{
	struct weir_pool_stats is, must;
	const char *what = weir_pool_audit(rig->pool);

	world.acting = before;
	/*
	 * In the outermost call wake and on_outcome come last: what happened in other pools since then is not its
	 * fault.
	 */
	if (--rig->calls == 0 && rig->settled)
		effective = false;
	if (rig->asking == 0 && effective)
		model_settled(&rig->model);
	if (what == NULL)
		what = rig->model.wrong;
	if (what != NULL)
		wrong(what);
	weir_pool_stats(rig->pool, &is);
	model_stats(&rig->model, &must);
	if (memcmp(&is, &must, sizeof(is)) != 0)
		wrong("the statistics differ");
	if (world.budget != NULL && weir_pool_budget_used(world.budget) != world.model_budget.used)
		wrong("the budget differs");
	if (rig->asking == 0 && weir_pool_next_event(rig->pool) > model_next_event(&rig->model))
		wrong("the next event is too late");
	if (world.depth > 0)
		return;
	if (rig->wakes > 1)
		wrong("woken twice");
	if (rig->wakes == 0 && (model_next_event(&rig->model) < rig->next_us || closed_due(rig)))
		wrong("not woken");
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

/* Sometimes a callback calls some pool. */
static void meddle(void)
{
	if (world.depth >= 3 || !percent(world.liveliness))
		return;
	world.depth++;
	event_random(&world.rigs[chance(world.pools)]);
	world.depth--;
}

static void report_opened(struct rig *rig, uint32_t slot)
{
	uint64_t life_us = rig->model.config.lifetime_max_us;
	struct rig *before = call_begin(rig);
	bool effective;

	rig->random = chance(UINT64_MAX);
	if (life_us > 0)
		life_us = life_us - life_us / 10 + rig->random % (2 * (life_us / 10) + 1);
	effective = model_opened(&rig->model, slot, life_us);
	weir_pool_opened(rig->pool, slot, &rig->model.connections[slot], world.now_us);
	call_end(rig, before, effective);
}

static void report_open_failed(struct rig *rig, uint32_t slot)
{
	struct rig *before = call_begin(rig);
	bool effective;
	int reason = (int)world.events;

	effective = model_open_failed(&rig->model, slot, reason);
	weir_pool_open_failed(rig->pool, slot, reason, world.now_us);
	call_end(rig, before, effective);
}

static void report_closed(struct rig *rig, uint32_t slot)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_closed(&rig->model, slot);
	weir_pool_closed(rig->pool, slot, world.now_us);
	call_end(rig, before, effective);
}

/* A callback may answer at once; the calls it makes are one level deeper. */
static void answer(void (*report)(struct rig *rig, uint32_t slot), struct rig *rig, uint32_t slot)
{
	world.depth++;
	report(rig, slot);
	world.depth--;
}

static void on_open(void *owner, uint32_t slot)
{
	struct rig *rig = owner;

	model_open_asked(&rig->model, slot);
	rig->asking++;
	if (rig->asking > 1)
		wrong("open and close nest");
	meddle();
	if (percent(world.liveliness))
		answer(percent(50) ? report_opened : report_open_failed, rig, slot);
	meddle();
	rig->asking--;
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	struct rig *rig = owner;
	bool opened = rig->model.connections[slot].opened;

	model_close_asked(&rig->model, slot);
	if (connection != (opened ? &rig->model.connections[slot] : NULL))
		wrong("asked to close a connection of another slot");
	rig->asking++;
	if (rig->asking > 1)
		wrong("open and close nest");
	if (percent(50))
		answer(!opened && percent(50) ? report_open_failed : report_closed, rig, slot);
	meddle();
	rig->asking--;
}

/* The call that is on the way has done its work: before it tells anybody, all must be settled. */
static void has_settled(struct rig *rig)
{
	if (!rig->settled)
		model_settled(&rig->model);
	rig->settled = true;
}

static void on_wake(void *owner)
{
	struct rig *rig = owner;

	rig->wakes++;
	/* The acquire that wakes has its answer already. */
	if (rig->acquiring != NOBODY) {
		rig->answer = model_acquire_answer(&rig->model, rig->acquiring);
		rig->answered = true;
	}
	has_settled(rig);
	model_passed(&rig->model);
	meddle();
}

static void on_closed(void *owner)
{
	struct rig *rig = owner;

	if (!closed_due(rig))
		wrong("closed, but not yet, or twice");
	model_closed_told(&rig->model);
	rig->closed_told++;
}

static uint64_t on_random(void *owner)
{
	struct rig *rig = owner;

	return rig->random;
}

static void on_notify(void *owner)
{
	struct rig *rig = owner;

	model_notified(&rig->model, &world.acting->model);
	assert_true(world.mail_n < 256);
	world.mail[world.mail_n++] = rig;
}

/* What a waiter holds must be what the model says. */
static void check_ended(struct rig *rig, uint32_t w, enum weir_pool_outcome outcome)
{
	const struct weir_pool_waiter *waiter = &rig->waiters[w];
	const struct model_waiter *must = &rig->model.waiters[w];

	if (outcome == WEIR_POOL_OPEN_FAILED && waiter->reason != must->reason)
		wrong("another reason");
	if (outcome != WEIR_POOL_DELIVERED && (waiter->lease.slot != 0 || waiter->connection != NULL))
		wrong("a lease without a delivery");
	if (outcome != WEIR_POOL_DELIVERED)
		return;
	if (waiter->lease.slot != must->slot + 1 || waiter->connection != &rig->model.connections[must->slot])
		wrong("another connection");
	if (waiter->reused != (rig->model.connections[must->slot].uses > 1))
		wrong("reused is not true");
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct rig *rig = NULL;

	for (uint32_t i = 0; i < world.pools; i++)
		if (waiter >= world.rigs[i].waiters && waiter < world.rigs[i].waiters + MODEL_WAITERS)
			rig = &world.rigs[i];
	assert_non_null(rig);
	model_told(&rig->model, (uint32_t)(waiter - rig->waiters), outcome);
	check_ended(rig, (uint32_t)(waiter - rig->waiters), outcome);
	rig->told++;
	has_settled(rig);
	meddle();
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* A random waiter in one of the stages of `mask`. */
static uint32_t waiter_in(struct rig *rig, uint32_t mask)
{
	uint32_t start = (uint32_t)chance(MODEL_WAITERS);

	for (uint32_t i = 0; i < MODEL_WAITERS; i++) {
		uint32_t w = (start + i) % MODEL_WAITERS;

		if (mask & 1U << rig->model.waiters[w].stage)
			return w;
	}
	return NOBODY;
}

static uint32_t slot_in(struct rig *rig, enum model_state state)
{
	uint32_t start = (uint32_t)chance(MODEL_SLOTS);

	for (uint32_t i = 0; i < MODEL_SLOTS; i++)
		if (rig->model.connections[(start + i) % MODEL_SLOTS].state == state)
			return (start + i) % MODEL_SLOTS;
	return NOBODY;
}

/* Zeroes the waiter for its next use; if it was poisoned, nobody may have written to it. */
static void waiter_renew(struct rig *rig, uint32_t w)
{
	const unsigned char *bytes = (const unsigned char *)&rig->waiters[w];

	for (size_t i = 0; rig->poisoned[w] && i < sizeof(rig->waiters[w]); i++)
		if (bytes[i] != POISON)
			wrong("a waiter was written to after its end");
	if (rig->poisoned[w])
		memset(&rig->waiters[w], 0, sizeof(rig->waiters[w]));
	rig->poisoned[w] = false;
	rig->waiters[w].on_outcome = on_outcome;
}

static void event_acquire(struct rig *rig)
{
	uint32_t w = waiter_in(rig, 1U << MODEL_OUT);
	uint64_t deadline_us = world.now_us + chance(300);
	enum weir_pool_outcome outcome, must;
	struct rig *before;

	/* Waiters that an acquire further out is about are left alone. */
	if (w == NOBODY || rig->acquiring != NOBODY)
		return;
	waiter_renew(rig, w);
	rig->waiters[w].priority = (uint8_t)chance(5);
	before = call_begin(rig);
	rig->acquiring = w;
	rig->answered = false;
	model_acquire(&rig->model, w, deadline_us, rig->waiters[w].priority, rig->asking > 0);
	outcome = weir_pool_acquire(rig->pool, &rig->waiters[w], world.now_us, deadline_us);
	must = rig->answered ? rig->answer : model_acquire_answer(&rig->model, w);
	rig->acquiring = NOBODY;
	if (outcome != must)
		wrong("acquire: another answer");
	if (outcome != WEIR_POOL_PENDING && rig->model.waiters[w].stage != MODEL_OUT)
		check_ended(rig, w, outcome);
	call_end(rig, before, true);
}

static void event_cancel(struct rig *rig)
{
	uint32_t w = waiter_in(rig, percent(90) ? 1U << MODEL_WAITING | 1U << MODEL_RESOLVED : UINT32_MAX);
	struct rig *before;
	bool effective;

	if (w == NOBODY || rig->poisoned[w] || (w == rig->acquiring && rig->answered))
		return;
	before = call_begin(rig);
	effective = model_cancel(&rig->model, w);
	weir_pool_cancel(rig->pool, &rig->waiters[w], world.now_us);
	if (rig->model.waiters[w].stage == MODEL_OUT && w != rig->acquiring && percent(50)) {
		memset(&rig->waiters[w], POISON, sizeof(rig->waiters[w]));
		rig->poisoned[w] = true;
	}
	call_end(rig, before, effective);
}

static void event_give_back(struct rig *rig)
{
	uint32_t w = waiter_in(rig, 1U << MODEL_HOLDING);
	enum weir_pool_give_back how = percent(75) ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD;
	struct weir_pool_lease lease;
	struct rig *before;

	/* The answer of an acquire on the way has not been seen by anybody. */
	if (w == NOBODY || w == rig->acquiring)
		return;
	lease = rig->waiters[w].lease;
	rig->stale[rig->stale_n++ % STALE_MAX] = lease;
	before = call_begin(rig);
	model_give_back(&rig->model, w, how);
	if (!weir_pool_give_back(rig->pool, lease, how, world.now_us))
		wrong("a live lease was refused");
	call_end(rig, before, true);
}

/* A token that is stale here, or of another pool. */
static void event_give_back_wrongly(struct rig *rig)
{
	struct rig *from = &world.rigs[chance(world.pools)], *before;
	struct weir_pool_lease lease = from->stale[chance(STALE_MAX)];
	uint32_t w = waiter_in(from, 1U << MODEL_HOLDING);

	if (from != rig && w != NOBODY && w != from->acquiring)
		lease = from->waiters[w].lease;
	before = call_begin(rig);
	rig->model.stats.stale_give_backs++;
	if (weir_pool_give_back(rig->pool, lease, WEIR_POOL_REUSABLE, world.now_us))
		wrong("a wrong lease was accepted");
	call_end(rig, before, false);
}

static void event_open_answered(struct rig *rig)
{
	uint32_t slot = slot_in(rig, MODEL_CONNECTING);

	if (slot == NOBODY)
		return;
	if (percent(60))
		report_opened(rig, slot);
	else
		report_open_failed(rig, slot);
}

static void event_close_answered(struct rig *rig)
{
	uint32_t slot = slot_in(rig, MODEL_CLOSING);

	if (slot != NOBODY)
		report_closed(rig, slot);
}

/* Whatever the owner may say of whatever slot. */
static void event_report_wrongly(struct rig *rig)
{
	uint32_t slot = (uint32_t)chance(rig->model.config.connections_max);

	switch (chance(3)) {
	case 0: report_opened(rig, slot); break;
	case 1: report_open_failed(rig, slot); break;
	default: report_closed(rig, slot); break;
	}
}

static void event_spoiled(struct rig *rig)
{
	uint32_t slot = (uint32_t)chance(MODEL_SLOTS);
	struct rig *before = call_begin(rig);

	model_spoiled(&rig->model, slot);
	weir_pool_spoiled(rig->pool, slot, world.now_us);
	call_end(rig, before, true);
}

static void event_run(struct rig *rig)
{
	uint64_t planned_us = weir_pool_next_event(rig->pool);
	uint32_t resolved = 0;
	struct rig *before;

	/* From inside a callback it would do nothing; that has a test of its own. */
	if (world.depth > 0)
		return;
	before = call_begin(rig);
	rig->wakes = rig->told = 0;
	model_run(&rig->model);
	for (int w = 0; w < MODEL_WAITERS; w++)
		resolved += rig->model.waiters[w].stage == MODEL_RESOLVED;
	weir_pool_run(rig->pool, world.now_us);
	rig->next_us = weir_pool_next_event(rig->pool);
	if (world.liveliness == 0 && rig->told != resolved)
		wrong("run has not told everybody");
	if (world.liveliness == 0 && planned_us > 0 && planned_us <= world.now_us &&
		rig->next_us != model_next_event(&rig->model))
		wrong("the next event was not planned anew");
	if (rig->next_us > 0 && rig->next_us <= rig->model.run_us)
		wrong("the next event is in the past");
	call_end(rig, before, true);
}

static void event_mail(void)
{
	struct rig *rig, *before;

	if (world.mail_n == 0)
		return;
	rig = world.mail[0];
	memmove(world.mail, world.mail + 1, --world.mail_n * sizeof(*world.mail));
	if (rig->pool == NULL)
		return;
	before = call_begin(rig);
	model_budget_freed(&rig->model);
	weir_pool_budget_freed(rig->pool, world.now_us);
	has_settled(rig);
	model_passed(&rig->model);
	call_end(rig, before, true);
}

static void event_close(struct rig *rig)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_close(&rig->model);
	weir_pool_close(rig->pool, world.now_us);
	call_end(rig, before, effective);
}

static void event_time(struct rig *rig)
{
	uint64_t next_us = weir_pool_next_event(rig->pool);

	if (percent(30) && next_us != UINT64_MAX && next_us > world.now_us)
		world.now_us = next_us;  /* to the very moment */
	else
		world.now_us += chance(percent(10) ? 1000 : 30);
}

static void event_random(struct rig *rig)
{
	uint64_t what = chance(1000);

	if (what < 270)
		event_acquire(rig);
	else if (what < 370)
		event_cancel(rig);
	else if (what < 530)
		event_give_back(rig);
	else if (what < 545)
		event_give_back_wrongly(rig);
	else if (what < 680)
		event_open_answered(rig);
	else if (what < 740)
		event_close_answered(rig);
	else if (what < 750)
		event_report_wrongly(rig);
	else if (what < 770)
		event_spoiled(rig);
	else if (what < 870)
		event_run(rig);
	else if (what < 920 && world.depth == 0)
		event_mail();
	else if (what < 999)
		event_time(rig);
	else if (percent(40))
		event_close(rig);
}

/* No idle connection starves a waiter of another pool. */
static void check_quiet(void)
{
	struct model *models[POOLS_MAX];
	const char *what;

	if (world.mail_n > 0)
		return;
	for (uint32_t i = 0; i < world.pools; i++)
		models[i] = &world.rigs[i].model;
	what = model_quiet(models, world.pools);
	if (what != NULL)
		wrong(what);
}

/* --- episodes ----------------------------------------------------------------------------------------------------- */

static struct weir_pool_config config_random(void)
{
	return (struct weir_pool_config){
		.connections_max = (uint32_t)(1 + chance(MODEL_SLOTS)),
		.waiters_max = (uint32_t)chance(MODEL_WAITERS / 2),
		.connecting_max = (uint32_t)(1 + chance(4)),
		.uses_max = percent(50) ? 0 : (uint32_t)(1 + chance(4)),
		.order = percent(50) ? WEIR_POOL_LIFO : WEIR_POOL_FIFO,
		.acquire_timeout_us = 1 + chance(400),
		.idle_timeout_us = percent(50) ? 0 : 1 + chance(200),
		.lifetime_max_us = percent(50) ? 0 : 1 + chance(1000),
	};
}

static void rig_init(struct rig *rig)
{
	static const struct weir_pool_ops ops = {on_open, on_close, on_wake, on_closed, on_random};
	struct weir_pool_config config = config_random();

	*rig = (struct rig){.acquiring = NOBODY, .next_us = UINT64_MAX};
	rig->pool = weir_pool_create(&config, &ops, rig, world.budget);
	assert_non_null(rig->pool);
	if (config.connecting_max > config.connections_max)
		config.connecting_max = config.connections_max;
	model_init(&rig->model, &config, world.budget == NULL ? NULL : &world.model_budget);
}

static void world_init(uint64_t seed)
{
	world = (struct world){.seed = seed, .random = seed, .now_us = 1, .events = world.events};
	world.pools = (uint32_t)(1 + chance(POOLS_MAX));
	world.liveliness = percent(50) ? 0 : 25;
	if (percent(60)) {
		world.model_budget.max = (uint32_t)(1 + chance(6));
		world.budget = weir_pool_budget_create(world.model_budget.max, 0, on_notify);
		assert_non_null(world.budget);
	}
	for (uint32_t i = 0; i < world.pools; i++)
		rig_init(&world.rigs[i]);
}

/* Everybody gives back, every question is answered, nobody new comes: within the longest wait all is quiet. */
static void rig_quieten(struct rig *rig)
{
	for (uint32_t slot; (slot = slot_in(rig, MODEL_CONNECTING)) != NOBODY;)
		report_opened(rig, slot);
	for (uint32_t i = 0; i < MODEL_WAITERS; i++)
		event_give_back(rig);
	while (slot_in(rig, MODEL_CLOSING) != NOBODY)
		event_close_answered(rig);
	event_run(rig);
}

static void rig_release(struct rig *rig)
{
	event_close(rig);
	rig_quieten(rig);
	if (rig->closed_told != 1)
		wrong("the end was not told, or not once");
	weir_pool_free(rig->pool);
	rig->pool = NULL;
}

static void event_outermost(void)
{
	event_random(&world.rigs[chance(world.pools)]);
	check_quiet();
}

static void episode(uint64_t seed)
{
	world_init(seed);
	for (uint64_t end = world.events + EPISODE_EVENTS; world.events < end;)
		event_outermost();
	world.liveliness = 0;
	for (int i = 0; i < 20; i++) {
		for (uint32_t k = 0; k < world.pools; k++)
			rig_quieten(&world.rigs[k]);
		while (world.mail_n > 0)
			event_mail();
		check_quiet();
		world.now_us += 100;
	}
	for (uint32_t k = 0; k < world.pools; k++) {
		const struct model *m = &world.rigs[k].model;

		if (model_waiting(m) + model_count(m, MODEL_LEASED) + model_count(m, MODEL_CONNECTING) > 0)
			wrong("quiet, and yet something is held");
	}
	for (uint32_t k = 0; k < world.pools; k++)
		rig_release(&world.rigs[k]);
	if (world.model_budget.used > 0)
		wrong("units are left in the budget");
	weir_pool_budget_free(world.budget);
}

static void pools_agree_with_the_model(void **state)
{
	const char *events = getenv("WEIR_POOL_EVENTS"), *seed = getenv("WEIR_POOL_SEED");
	uint64_t events_min = events == NULL ? 1000000 : strtoull(events, NULL, 10);

	world.events = 0;
	if (seed != NULL) {
		episode(strtoull(seed, NULL, 10));
		return;
	}
	for (uint64_t s = 1; world.events < events_min; s++)
		episode(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_agree_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
