/* Pools and their models in lock-step: see rig.h. */
#include "rig.h"

#include "model_parts.h"

#include <string.h>

#define POISON 0xdd

struct rig_world world;

static void wrong(const char *what)
{
	world.failed(what);
}

static bool closed_due(const struct rig *rig)
{
	return model_ended(&rig->model) && rig->closed_told == 0;
}

uint32_t rig_waiter_in(const struct rig *rig, uint32_t mask, uint32_t start)
{
	for (uint32_t i = 0; i < MODEL_WAITERS; i++) {
		uint32_t w = (start + i) % MODEL_WAITERS;

		if (mask & 1U << rig->model.waiters[w].stage)
			return w;
	}
	return NOBODY;
}

uint32_t rig_slot_in(const struct rig *rig, enum model_state state, uint32_t start)
{
	for (uint32_t i = 0; i < MODEL_SLOTS; i++)
		if (rig->model.connections[(start + i) % MODEL_SLOTS].state == state)
			return (start + i) % MODEL_SLOTS;
	return NOBODY;
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

static void compare_oldest(struct rig *rig)
{
	struct weir_pool_held held[MODEL_SLOTS + 1];
	uint32_t slots[MODEL_WAITERS], n, shown;
	uint64_t since_us[MODEL_WAITERS];

	n = model_oldest(&rig->model, slots, since_us);
	shown = weir_pool_oldest(rig->pool, held, MODEL_SLOTS + 1);
	if (shown != n)
		wrong("oldest: not as many leases as are held");
	for (uint32_t i = 0; i < n; i++)
		if (held[i].since_us != since_us[i] ||
			rig->model.connections[held[i].slot].since_us != since_us[i] ||
			held[i].connection != &rig->model.connections[held[i].slot])
			wrong("oldest: another lease");
}

/* Which of them. */
static const char *statistic_differs(const struct weir_pool_stats *is, const struct weir_pool_stats *must)
{
#define DIFFERS(member) \
	if (memcmp(&is->member, &must->member, sizeof(is->member)) != 0) \
		return "statistics differ: " #member
	DIFFERS(idle);
	DIFFERS(connecting);
	DIFFERS(checking);
	DIFFERS(leased);
	DIFFERS(closing);
	DIFFERS(waiting);
	DIFFERS(acquires);
	DIFFERS(refusals);
	DIFFERS(overflowed);
	DIFFERS(closes);
	DIFFERS(leaking);
	DIFFERS(bad_reports);
	DIFFERS(wait);
	DIFFERS(use);
#undef DIFFERS
	return "statistics differ";
}

static void compare(struct rig *rig)
{
	struct weir_pool_stats is, must;
	const char *what = NULL;

	if (world.blind)
		return;
	what = weir_pool_audit(rig->pool);
	if (what == NULL)
		what = rig->model.wrong;
	if (what == NULL)
		what = model_invariant(&rig->model);
	if (what != NULL)
		wrong(what);
	weir_pool_stats(rig->pool, &is);
	model_stats(&rig->model, &must);
	if (memcmp(&is, &must, sizeof(is)) != 0)
		wrong(statistic_differs(&is, &must));
	if (world.budget != NULL && weir_pool_budget_used(world.budget) != world.model_budget.used)
		wrong("the budget differs");
	compare_oldest(rig);
}

/* `effective`: the call did something, and so has to leave the pool settled. */
static void call_end(struct rig *rig, struct rig *before, bool effective)
{
	const char *what = NULL;

	world.acting = before;
	/*
	 * In the outermost call wake and on_outcome come last: what happened in other pools since then is not its
	 * fault.
	 */
	if (--rig->calls == 0 && rig->settled)
		effective = false;
	if (rig->asking == 0 && effective) {
		model_settled(&rig->model);
		what = model_invariant_settled(&rig->model);
	}
	if (what != NULL)
		wrong(what);
	compare(rig);
	if (rig->asking == 0 && weir_pool_next_event(rig->pool) > model_next_event(&rig->model))
		wrong("the next event is too late");
	if (world.depth > 0)
		return;
	if (weir_pool_backlog_us(rig->pool, world.now_us) != model_backlog_us(&rig->model, world.now_us))
		wrong("another backlog");
	if (rig->wakes > 1)
		wrong("woken twice");
	if (rig->wakes == 0 && (model_next_event(&rig->model) < rig->next_us || closed_due(rig)))
		wrong("not woken");
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

static void call_back(struct rig *rig, enum rig_where where, uint32_t slot)
{
	if (world.in_callback == NULL)
		return;
	world.depth++;
	world.in_callback(rig, where, slot);
	world.depth--;
}

static void ask_begin(struct rig *rig)
{
	if (++rig->asking > 1)
		wrong("open, check and close nest");
}

static void on_open(void *owner, uint32_t slot)
{
	struct rig *rig = owner;

	ask_begin(rig);
	model_open_asked(&rig->model, slot);
	call_back(rig, RIG_OPEN, slot);
	rig->asking--;
}

static void on_check(void *owner, uint32_t slot, void *connection)
{
	struct rig *rig = owner;

	ask_begin(rig);
	model_check_asked(&rig->model, slot);
	if (connection != &rig->model.connections[slot])
		wrong("asked to check a connection of another slot");
	call_back(rig, RIG_CHECK, slot);
	rig->asking--;
}

static void on_close(void *owner, uint32_t slot, void *connection)
{
	struct rig *rig = owner;
	bool opened = rig->model.connections[slot].opened;

	ask_begin(rig);
	model_close_asked(&rig->model, slot);
	if (connection != (opened ? &rig->model.connections[slot] : NULL))
		wrong("asked to close a connection of another slot");
	call_back(rig, RIG_CLOSE, slot);
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
	call_back(rig, RIG_WAKE, 0);
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

	if (world.acting == NULL)
		model_notified_by_resize(&rig->model);
	else
		model_notified(&rig->model, &world.acting->model);
	if (world.mail_n == RIG_MAIL_MAX)
		wrong("too many notices");
	world.mail[world.mail_n++] = rig;
}

static void on_overdue(void *owner, uint32_t slot, void *connection, uint64_t held_us, enum weir_pool_overdue what)
{
	struct rig *rig = owner;
	uint32_t w = model_overdue(&rig->model, slot, held_us, what);
	uint32_t generation = rig->model.generations[slot];
	uint64_t since_us = rig->model.connections[slot].since_us;

	has_settled(rig);
	if (connection != &rig->model.connections[slot])
		wrong("overdue: another connection");
	if (rig->model.wrong != NULL)
		wrong(rig->model.wrong);
	call_back(rig, RIG_OVERDUE, slot);
	if (what != WEIR_POOL_RECLAIMED || rig->model.generations[slot] != generation ||
		rig->model.connections[slot].since_us != since_us)
		return;
	rig->stale[rig->stale_n % RIG_STALE_MAX] = rig->waiters[w].lease;
	rig->stale_of[rig->stale_n++ % RIG_STALE_MAX] = rig;
	model_reclaim(&rig->model, w);
	/* The pool settles again before it tells of anything else. */
	rig->settled = false;
}

/* What a waiter holds must be what the model says. */
static void check_ended(struct rig *rig, uint32_t w, enum weir_pool_outcome outcome)
{
	const struct weir_pool_waiter *waiter = &rig->waiters[w];
	const struct model_waiter *must = &rig->model.waiters[w];
	struct model_connection *c = &rig->model.connections[must->slot];

	if (outcome != WEIR_POOL_DELIVERED && (waiter->lease.slot != 0 || waiter->connection != NULL))
		wrong("a lease without a delivery");
	if ((outcome == WEIR_POOL_OPEN_FAILED || outcome == WEIR_POOL_TIMED_OUT) && waiter->reason != must->reason)
		wrong("another reason");
	if (outcome == WEIR_POOL_REJECTED && (waiter->refusal != must->refusal || waiter->reason != must->reason))
		wrong("refused for another reason");
	if (outcome != WEIR_POOL_DELIVERED)
		return;
	if (waiter->lease.slot != must->slot + 1 || waiter->connection != c)
		wrong("another connection");
	if (waiter->lease.generation != rig->model.generations[must->slot])
		wrong("another generation");
	if (waiter->reused != (c->uses > 1))
		wrong("reused is not true");
	if (must->fresh && waiter->reused)
		wrong("a fresh waiter was given a connection that has been used");
}

static void on_outcome(struct weir_pool_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct rig *rig = world.rigs;
	uint32_t w;

	while (waiter < rig->waiters || waiter >= rig->waiters + MODEL_WAITERS)
		rig++;
	w = (uint32_t)(waiter - rig->waiters);
	has_settled(rig);
	model_told(&rig->model, w, outcome);
	check_ended(rig, w, outcome);
	rig->told++;
	call_back(rig, RIG_OUTCOME, w);
}

/* --- events: waiters and leases ----------------------------------------------------------------------------------- */

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

void rig_acquire(struct rig *rig, uint32_t w, uint64_t deadline_us, uint8_t priority, bool fresh)
{
	enum weir_pool_outcome outcome, must;
	struct rig *before;

	/* Waiters that an acquire further out is about are left alone. */
	if (w == NOBODY || rig->acquiring != NOBODY)
		return;
	waiter_renew(rig, w);
	rig->waiters[w].priority = priority;
	rig->waiters[w].fresh = fresh;
	before = call_begin(rig);
	rig->acquiring = w;
	rig->answered = false;
	model_acquire(&rig->model, w, deadline_us, priority, fresh, rig->asking > 0);
	outcome = weir_pool_acquire(rig->pool, &rig->waiters[w], world.now_us, deadline_us);
	must = rig->answered ? rig->answer : model_acquire_answer(&rig->model, w);
	rig->acquiring = NOBODY;
	if (outcome != must)
		wrong("acquire: another answer");
	if (outcome != WEIR_POOL_PENDING && rig->model.waiters[w].outcome == outcome)
		check_ended(rig, w, outcome);
	call_end(rig, before, true);
}

void rig_cancel(struct rig *rig, uint32_t w, bool poison)
{
	struct rig *before;
	bool effective;

	if (w == NOBODY || rig->poisoned[w] || (w == rig->acquiring && rig->answered))
		return;
	before = call_begin(rig);
	effective = model_cancel(&rig->model, w);
	weir_pool_cancel(rig->pool, &rig->waiters[w], world.now_us);
	call_end(rig, before, effective);
	if (poison && rig->model.waiters[w].stage == MODEL_OUT && w != rig->acquiring) {
		memset(&rig->waiters[w], POISON, sizeof(rig->waiters[w]));
		rig->poisoned[w] = true;
	}
}

void rig_give_back(struct rig *rig, uint32_t w, enum weir_pool_give_back how)
{
	struct weir_pool_lease lease;
	struct rig *before;

	/* The answer of an acquire on the way has not been seen by anybody. */
	if (w == NOBODY || w == rig->acquiring)
		return;
	lease = rig->waiters[w].lease;
	rig->stale[rig->stale_n % RIG_STALE_MAX] = lease;
	rig->stale_of[rig->stale_n++ % RIG_STALE_MAX] = rig;
	before = call_begin(rig);
	model_give_back(&rig->model, w, how);
	if (!weir_pool_give_back(rig->pool, lease, how, world.now_us))
		wrong("a live lease was refused");
	call_end(rig, before, true);
}

void rig_give_back_wrongly(struct rig *rig, struct weir_pool_lease lease, bool own)
{
	struct rig *before = call_begin(rig);

	model_give_back_wrongly(&rig->model, lease, own);
	if (weir_pool_touch(rig->pool, lease, world.now_us))
		wrong("touched by a lease that has ended");
	if (weir_pool_give_back(rig->pool, lease, WEIR_POOL_REUSABLE, world.now_us))
		wrong("a wrong lease was accepted");
	call_end(rig, before, false);
}

void rig_touch(struct rig *rig, uint32_t w)
{
	struct rig *before;

	if (w == NOBODY || w == rig->acquiring)
		return;
	before = call_begin(rig);
	model_touch(&rig->model, w);
	if (!weir_pool_touch(rig->pool, rig->waiters[w].lease, world.now_us))
		wrong("a live lease was not touched");
	call_end(rig, before, true);
}

/* --- events: what the owner tells --------------------------------------------------------------------------------- */

void rig_opened(struct rig *rig, uint32_t slot, uint64_t random)
{
	uint64_t life_us = rig->model.config.lifetime_max_us;
	struct rig *before = call_begin(rig);
	bool effective;

	rig->random = random;
	if (life_us > 0)
		life_us = life_us - life_us / 10 + random % (2 * (life_us / 10) + 1);
	effective = model_opened(&rig->model, slot, life_us);
	weir_pool_opened(rig->pool, slot, &rig->model.connections[slot], world.now_us);
	call_end(rig, before, effective);
}

void rig_open_failed(struct rig *rig, uint32_t slot, uint64_t random)
{
	struct rig *before = call_begin(rig);
	bool effective;
	int reason = 1 + (int)(world.events % 1000);

	rig->random = random;
	effective = model_open_failed(&rig->model, slot, reason, random);
	weir_pool_open_failed(rig->pool, slot, reason, world.now_us);
	call_end(rig, before, effective);
}

void rig_checked(struct rig *rig, uint32_t slot, bool good)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_checked(&rig->model, slot, good);
	weir_pool_checked(rig->pool, slot, good, world.now_us);
	call_end(rig, before, effective);
}

void rig_closed(struct rig *rig, uint32_t slot)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_closed(&rig->model, slot);
	weir_pool_closed(rig->pool, slot, world.now_us);
	call_end(rig, before, effective);
}

void rig_spoiled(struct rig *rig, uint32_t slot)
{
	struct rig *before = call_begin(rig);

	model_spoiled(&rig->model, slot);
	weir_pool_spoiled(rig->pool, slot, world.now_us);
	call_end(rig, before, true);
}

void rig_renew(struct rig *rig)
{
	struct rig *before = call_begin(rig);

	model_renew(&rig->model);
	weir_pool_renew(rig->pool, world.now_us);
	call_end(rig, before, true);
}

void rig_set_idle_timeout(struct rig *rig, uint64_t idle_timeout_us)
{
	model_set_idle_timeout(&rig->model, idle_timeout_us);
	weir_pool_set_idle_timeout(rig->pool, idle_timeout_us);
}

void rig_excuse(struct rig *rig, uint64_t until_us)
{
	model_excuse(&rig->model, until_us);
	weir_pool_excuse_queue(rig->pool, until_us);
}

/* --- events: time, end, budget ------------------------------------------------------------------------------------ */

void rig_run(struct rig *rig)
{
	uint64_t planned_us = weir_pool_next_event(rig->pool);
	bool untold = rig_waiter_in(rig, 1U << MODEL_RESOLVED, 0) != NOBODY;
	struct rig *before;

	/* From inside a callback it would do nothing; that has a test of its own. */
	if (world.depth > 0)
		return;
	before = call_begin(rig);
	rig->wakes = rig->told = 0;
	model_run(&rig->model);
	weir_pool_run(rig->pool, world.now_us);
	rig->next_us = weir_pool_next_event(rig->pool);
	/* Behind a delivery that was not collected in time leases are looked at in the next run, which is due at once. */
	if (!untold)
		model_watched(&rig->model);
	if (!world.lively && rig_waiter_in(rig, 1U << MODEL_RESOLVED, 0) != NOBODY)
		wrong("run has not told everybody");
	if (!world.lively && planned_us > 0 && planned_us <= world.now_us &&
		rig->next_us != model_next_event(&rig->model))
		wrong("the next event was not planned anew");
	if (rig->next_us > 0 && rig->next_us <= rig->model.run_us && !untold)
		wrong("the next event is in the past");
	call_end(rig, before, true);
}

void rig_drain(struct rig *rig)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_drain(&rig->model);
	weir_pool_drain(rig->pool, world.now_us);
	call_end(rig, before, effective);
}

void rig_close(struct rig *rig)
{
	struct rig *before = call_begin(rig);
	bool effective;

	effective = model_close(&rig->model);
	weir_pool_close(rig->pool, world.now_us);
	call_end(rig, before, effective);
}

void rig_mail(void)
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

void rig_resize(uint32_t max, uint32_t overflow)
{
	struct rig *before = world.acting;

	if (world.budget == NULL)
		return;
	world.acting = NULL;
	world.model_budget.max = max;
	world.model_budget.overflow = overflow;
	if (max + overflow > world.model_budget.most)
		world.model_budget.most = max + overflow;
	if (!weir_pool_budget_resize(world.budget, max, overflow))
		wrong("the budget was not resized");
	world.acting = before;
}

/* --- the world ---------------------------------------------------------------------------------------------------- */

static void rig_init(struct rig *rig, const struct weir_pool_config *config)
{
	static const struct weir_pool_ops ops = {.open = on_open,
		.close = on_close,
		.wake = on_wake,
		.on_closed = on_closed,
		.random = on_random,
		.check = on_check,
		.overdue = on_overdue};
	struct weir_pool_config cut = *config;

	*rig = (struct rig){.acquiring = NOBODY};
	rig->pool = weir_pool_create(config, &ops, rig, world.budget);
	if (rig->pool == NULL)
		wrong("a pool was not created");
	rig->next_us = weir_pool_next_event(rig->pool);
	if (cut.connecting_max > cut.connections_max)
		cut.connecting_max = cut.connections_max;
	if (cut.leak_after_us == 0)
		cut.leak_after_us = cut.reclaim_after_us;
	model_init(&rig->model, &cut, world.budget == NULL ? NULL : &world.model_budget);
}

void world_init(uint32_t pools, const struct weir_pool_config *configs, uint32_t budget_max, uint32_t budget_overflow)
{
	world.now_us = 1;
	world.pools = pools;
	world.budget = NULL;
	world.acting = NULL;
	world.mail_n = world.depth = 0;
	world.model_budget = (struct model_budget){0};
	if (budget_max > 0) {
		world.budget = weir_pool_budget_create(budget_max, budget_overflow, on_notify);
		world.model_budget.max = budget_max;
		world.model_budget.overflow = budget_overflow;
		world.model_budget.most = budget_max + budget_overflow;
	}
	for (uint32_t i = 0; i < pools; i++)
		rig_init(&world.rigs[i], &configs[i]);
}

void world_check(void)
{
	struct model *models[RIG_POOLS_MAX];
	const char *what;

	for (uint32_t i = 0; i < world.pools; i++) {
		models[i] = &world.rigs[i].model;
		if (models[i]->wrong != NULL)
			wrong(models[i]->wrong);
	}
	what = world.mail_n == 0 ? model_quiet(models, world.pools) : NULL;
	if (what != NULL)
		wrong(what);
}

/* Everybody gives back, every question is answered, nobody new comes: within the longest wait all is quiet. */
void rig_quieten(struct rig *rig)
{
	for (uint32_t slot; (slot = rig_slot_in(rig, MODEL_CHECKING, 0)) != NOBODY;)
		rig_checked(rig, slot, true);
	for (uint32_t slot; (slot = rig_slot_in(rig, MODEL_CONNECTING, 0)) != NOBODY;)
		rig_opened(rig, slot, 0);
	for (uint32_t i = 0; i < MODEL_WAITERS; i++)
		if (rig->model.waiters[i].stage == MODEL_HOLDING)
			rig_give_back(rig, i, WEIR_POOL_REUSABLE);
	for (uint32_t slot; (slot = rig_slot_in(rig, MODEL_CLOSING, 0)) != NOBODY;)
		rig_closed(rig, slot);
	rig_run(rig);
}

static void rig_release(struct rig *rig)
{
	rig_close(rig);
	rig_quieten(rig);
	if (rig->closed_told != 1)
		wrong("the end was not told, or not once");
	weir_pool_free(rig->pool);
	rig->pool = NULL;
}

void world_release(void)
{
	for (uint32_t k = 0; k < world.pools; k++)
		rig_release(&world.rigs[k]);
	if (world.model_budget.used > 0)
		wrong("units are left in the budget");
	weir_pool_budget_free(world.budget);
}

void world_drop(void)
{
	world.in_callback = NULL;
	world_release();
}
