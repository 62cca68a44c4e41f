/* Events and states of a small case: see explore.h. */
#include "explore.h"

#include "pool/engine.h"

/* --- events ------------------------------------------------------------------------------------------------------- */

static enum explore_answers answers_now;

void explore_set_answers(enum explore_answers answers)
{
	answers_now = answers;
}

void explore_in_callback(struct rig *rig, enum rig_where where, uint32_t slot)
{
	if (answers_now == EXPLORE_LATER)
		return;
	if (where == RIG_OPEN && answers_now == EXPLORE_AT_ONCE)
		rig_opened(rig, slot, 0);
	else if (where == RIG_OPEN)
		rig_open_failed(rig, slot, 0);
	else if (where == RIG_CHECK)
		rig_checked(rig, slot, answers_now == EXPLORE_AT_ONCE);
	else if (where == RIG_CLOSE)
		rig_closed(rig, slot);
}

static void act_acquire(struct rig *rig, const struct explore_event *event)
{
	uint8_t priority = event->arg >> 8 & 0xff;

	rig_acquire(rig, event->at, world.now_us + (event->arg & 0xff), priority, event->arg >> 16);
}

static void act_cancel(struct rig *rig, const struct explore_event *event)
{
	rig_cancel(rig, event->at, false);
}

static void act_give_back(struct rig *rig, const struct explore_event *event)
{
	rig_give_back(rig, event->at, event->arg == 0 ? WEIR_POOL_REUSABLE : WEIR_POOL_DISCARD);
}

static void act_touch(struct rig *rig, const struct explore_event *event)
{
	rig_touch(rig, event->at);
}

static void act_opened(struct rig *rig, const struct explore_event *event)
{
	rig_opened(rig, event->at, 0);
}

static void act_open_failed(struct rig *rig, const struct explore_event *event)
{
	rig_open_failed(rig, event->at, 0);
}

static void act_checked(struct rig *rig, const struct explore_event *event)
{
	rig_checked(rig, event->at, event->arg == 0);
}

static void act_closed(struct rig *rig, const struct explore_event *event)
{
	rig_closed(rig, event->at);
}

static void act_spoiled(struct rig *rig, const struct explore_event *event)
{
	rig_spoiled(rig, event->at);
}

static void act_stale(struct rig *rig, const struct explore_event *event)
{
	rig_give_back_wrongly(rig, rig->stale[event->at], true);
}

static void act_tick(struct rig *rig, const struct explore_event *event)
{
	world.now_us++;
}

static void act_run(struct rig *rig, const struct explore_event *event)
{
	rig_run(rig);
}

static void act_renew(struct rig *rig, const struct explore_event *event)
{
	rig_renew(rig);
}

static void act_drain(struct rig *rig, const struct explore_event *event)
{
	rig_drain(rig);
}

static void act_close(struct rig *rig, const struct explore_event *event)
{
	rig_close(rig);
}

struct list {
	struct explore_event *events;
	uint32_t n;
};

static void add(struct list *list, void (*act)(struct rig *rig, const struct explore_event *event), const char *name,
	uint32_t at, uint32_t arg)
{
	if (list->n == EXPLORE_EVENTS_MAX)
		world.failed("more events than there is room for");
	list->events[list->n++] = (struct explore_event){act, name, at, arg};
}

/* Who of two that fall due together may have the connection beyond the maximum is open: only one a tick comes. */
static bool would_tie(const struct model *m, uint64_t us)
{
	uint64_t patience_us = world.now_us + m->config.acquire_timeout_us;

	return m->config.on_acquire_timeout == WEIR_POOL_NEW &&
		(model_due_taken(m, world.now_us + us) || model_due_taken(m, patience_us));
}

static void add_acquires(const struct explore_case *c, const struct model *m, struct list *list, uint32_t w)
{
	for (uint32_t us = 1; us <= c->patience_us; us++) {
		if (would_tie(m, us))
			continue;
		add(list, act_acquire, "acquire", w, us);
		if (c->events & EXPLORE_PRIORITY)
			add(list, act_acquire, "acquire behind", w, us | 1 << 8);
		if (c->events & EXPLORE_FRESH)
			add(list, act_acquire, "acquire fresh", w, us | 1 << 16);
	}
}

static void add_waiter(const struct explore_case *c, struct list *list, const struct model_waiter *waiter, uint32_t w)
{
	if (waiter->stage == MODEL_WAITING || waiter->stage == MODEL_RESOLVED)
		add(list, act_cancel, "cancel", w, 0);
	if (waiter->stage != MODEL_HOLDING)
		return;
	add(list, act_give_back, "give back", w, 0);
	add(list, act_give_back, "discard", w, 1);
	if (c->events & EXPLORE_TOUCH)
		add(list, act_touch, "touch", w, 0);
}

static void add_slot(const struct explore_case *c, struct list *list, enum model_state state, uint32_t slot)
{
	bool spoils = state == MODEL_IDLE || state == MODEL_LEASED || state == MODEL_CHECKING;

	if (state == MODEL_CONNECTING) {
		add(list, act_opened, "opened", slot, 0);
		add(list, act_open_failed, "open failed", slot, 0);
	} else if (state == MODEL_CHECKING) {
		add(list, act_checked, "checked good", slot, 0);
		add(list, act_checked, "checked bad", slot, 1);
	} else if (state == MODEL_CLOSING) {
		add(list, act_closed, "closed", slot, 0);
	}
	if (spoils && c->events & EXPLORE_SPOIL)
		add(list, act_spoiled, "spoiled", slot, 0);
}

static void add_others(const struct explore_case *c, struct list *list, const struct rig *rig)
{
	add(list, act_tick, "tick", 0, 0);
	if (rig->closed_told == 0)
		add(list, act_run, "run", 0, 0);
	if (c->events & EXPLORE_STALE && rig->stale_n > 0)
		add(list, act_stale, "stale give-back", (rig->stale_n - 1) % RIG_STALE_MAX, 0);
	if (c->events & EXPLORE_RENEW)
		add(list, act_renew, "renew", 0, 0);
	if (c->events & EXPLORE_DRAIN && !rig->model.draining)
		add(list, act_drain, "drain", 0, 0);
	if (c->events & EXPLORE_CLOSE && !rig->model.closing)
		add(list, act_close, "close", 0, 0);
}

uint32_t explore_events(const struct explore_case *c, const struct rig *rig, struct explore_event *events)
{
	struct list list = {events, 0};
	bool comes = false;

	/* Borrowers are alike: the first that is free comes. */
	for (uint32_t w = 0; w < c->waiters; w++) {
		const struct model_waiter *waiter = &rig->model.waiters[w];

		if (waiter->stage == MODEL_OUT && !comes) {
			comes = true;
			add_acquires(c, &rig->model, &list, w);
		}
		add_waiter(c, &list, waiter, w);
	}
	for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++)
		add_slot(c, &list, rig->model.connections[slot].state, slot);
	add_others(c, &list, rig);
	return list.n;
}

/* --- states ------------------------------------------------------------------------------------------------------- */

static void mix(struct explore_print *print, uint64_t value)
{
	print->a = (print->a ^ value) * 0x9e3779b97f4a7c15ULL;
	print->a ^= print->a >> 29;
	print->b = (print->b + value) * 0xbf58476d1ce4e5b9ULL;
	print->b ^= print->b >> 32;
}

/* From now; what has come is 0, never is never. */
static uint64_t until(uint64_t due_us)
{
	if (due_us == POOL_NEVER)
		return due_us;
	return due_us > world.now_us ? due_us - world.now_us : 0;
}

static uint64_t idle_due(const struct slot *slot)
{
	return slot->state == SLOT_IDLE ? slot->idle_until_us : POOL_NEVER;
}

/* When it has been there too long, if that matters in its state. */
static uint64_t since_due(const struct weir_pool *pool, const struct slot *slot)
{
	if (slot->state == SLOT_CHECKING)
		return slot->since_us + pool->config.check_timeout_us;
	if (slot->state == SLOT_LEASED && pool->config.leak_after_us > 0)
		return slot->since_us + pool->config.leak_after_us;
	if (slot->state == SLOT_LEAKING)
		return slot->since_us + pool->config.reclaim_after_us;
	return POOL_NEVER;
}

static void mix_slot(struct explore_print *print, const struct weir_pool *pool, const struct slot *slot)
{
	bool used_up = pool->config.uses_max > 0;

	mix(print, slot->verdict | slot->opened << 8 | slot->held << 9 | (slot->uses > 0) << 10);
	mix(print, used_up ? slot->uses : 0);
	mix(print, until(slot->opened ? slot->expires_us : POOL_NEVER));
	mix(print, until(idle_due(slot)));
	mix(print, until(since_due(pool, slot)));
}

static void mix_waiters(struct explore_print *print, const struct weir_pool *pool, const struct waiter_list *list)
{
	mix(print, list->count);
	for (const struct weir_pool_waiter *w = list->first; w != NULL; w = w->next) {
		mix(print, w->stage | w->outcome << 8 | w->overdue << 16 | w->fresh << 17 | w->queue << 18);
		mix(print, until(w->deadline_us));
		mix(print, until(w->patience_us));
		/* Which connection it is: by its place among the leased. */
		if (w->stage == WAITER_RESOLVED && w->outcome == WEIR_POOL_DELIVERED)
			for (struct slot *slot = &pool->slots[w->slot]; slot != NULL; slot = pool_slot_older(pool, slot))
				mix(print, 7);
	}
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
	return value < most ? value : most;
}

/* How the queue goes, if there is one: as far back as it can matter. */
static void mix_queue(struct explore_print *print, const struct weir_pool *pool)
{
	const struct pool_codel *codel = &pool->codel;
	const struct pool_pace *pace = &pool->pace;
	uint64_t most_us = 2 * pool->wait_max_us;

	if (pool->waiting == 0 || (codel->target_us == 0 && !pool->config.refuse_late))
		return;
	mix(print, codel->standing | (codel->late_us == POOL_NEVER) << 1 | (pace->served_us == POOL_NEVER) << 2 |
		pace->served << 3);
	mix(print, codel->late_us == POOL_NEVER ? 0 : at_most(world.now_us - codel->late_us, codel->interval_us));
	mix(print, codel->late_us == POOL_NEVER ? 0 : codel->mark | (uint64_t)at_most(codel->served, 16) << 32);
	mix(print, codel->standing ? at_most(world.now_us - codel->refused_us, codel->interval_us) : 0);
	mix(print, pace->served_us == POOL_NEVER ? 0 : at_most(world.now_us - pace->served_us, most_us));
	mix(print, at_most(pace->mean, most_us * POOL_PACE_SCALE));
}

struct explore_print explore_fingerprint(const struct rig *rig)
{
	const struct weir_pool *pool = rig->pool;
	struct explore_print print = {1, 2};

	for (int state = SLOT_FREE + 1; state < SLOT_STATES; state++) {
		mix(&print, pool->in[state].count);
		for (struct slot *slot = pool_slot_first(pool, state); slot != NULL; slot = pool_slot_older(pool, slot))
			mix_slot(&print, pool, slot);
	}
	for (int i = 0; i < QUEUES; i++)
		mix_waiters(&print, pool, &pool->queues[i]);
	mix_waiters(&print, pool, &pool->outcomes);
	mix_queue(&print, pool);
	mix(&print, (uint64_t)pool->stage | pool->woken << 3 | pool->replanned << 4 | (pool->failures > 0) << 5 |
		pool->withholds << 6);
	mix(&print, pool->withholds && pool_count(pool, SLOT_IDLE) > 0 ? until(pool_linger_ends_us(pool)) : 0);
	mix(&print, until(pool->backoff_us));
	mix(&print, until(pool->next_us));
	mix(&print, until(pool->trim_us));
	mix(&print, pool->trim_us == POOL_NEVER ? 0 : pool->idle_low);
	mix(&print, pool->now_us < world.now_us);
	return print;
}
