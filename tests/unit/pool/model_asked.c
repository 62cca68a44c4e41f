/* The reference: the pool's callbacks, and what must hold when a call has returned. See model.h. */
#include "model_parts.h"

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

/* Which way an open found room is seen in what it took. */
void model_open_asked(struct model *m, uint32_t slot)
{
	bool needed, within;

	needed = model_open_needed(m);
	if (needed && model_live(m) < m->config.connections_max && !model_unit_free(m))
		model_hand_set(m, true);
	within = needed ? model_room_within(m) : model_open_ahead(m) && model_unit_spare(m);
	model_expect(m, slot < m->config.connections_max + m->config.overflow_max, "open: no such slot");
	model_expect(m, m->connections[slot].state == MODEL_NONE, "open: the slot is in use");
	model_expect(m, needed || model_open_ahead(m), "open: not wanted");
	model_expect(m, model_may_connect(m), "open: too many, or too soon after one that has failed");
	model_expect(m, within || (needed && model_room_beyond(m)), "open: no room");
	m->connections[slot].state = MODEL_CONNECTING;
	m->connections[slot].since_us = m->now_us;
	m->stats.overflowed += !within;
	if (needed && within)
		model_hand_set(m, false);
	if (needed && within && m->granted > 0)
		m->granted--;
	else if (m->budget != NULL)
		m->budget->used++;
}

void model_check_asked(struct model *m, uint32_t slot)
{
	struct model_connection *c;

	c = model_check_wanted(m);
	model_expect(m, c != NULL, "check: not wanted");
	model_expect(m, c == &m->connections[slot], "check: another connection");
	if (m->wrong != NULL)
		return;
	c->state = MODEL_CHECKING;
	c->check_due_us = m->now_us + m->config.check_timeout_us;
	if (model_count(m, MODEL_IDLE) < m->idle_low)
		m->idle_low = model_count(m, MODEL_IDLE);
}

void model_close_asked(struct model *m, uint32_t slot)
{
	/* Room that was there for a fresh one has gone in a callback, to another pool. */
	if (model_count(m, MODEL_DOOMED) == 0 && model_idle(m, true) == &m->connections[slot] && model_fresh_needs_room(m))
		model_doom(m, &m->connections[slot], WEIR_POOL_CLOSE_YIELDED);
	model_expect(m, m->connections[slot].state == MODEL_DOOMED, "close: it is still good");
	m->connections[slot].state = MODEL_CLOSING;
}

bool model_ended(const struct model *m)
{
	for (int w = 0; w < MODEL_WAITERS; w++)
		if (m->waiters[w].stage == MODEL_RESOLVED)
			return false;
	return m->closing && model_live(m) == 0;
}

/* It answers a notice, or is about to say that it has ended: what it does not need goes on. */
static bool passes_on(const struct model *m)
{
	return m->passing || model_ended(m);
}

/* A pool that waits is handed a unit; or there is a free one, and it is told so. */
static void notified_of_unit(struct model *m, struct model *by)
{
	bool returned = by->notices_due > 0, kept = passes_on(by) && by->granted > 0;

	model_expect(by, returned || kept || (passes_on(by) && by->budget->used < by->budget->max),
		"notify: there is no unit that this pool could pass on");
	if (returned)
		by->notices_due--;
	else if (kept)
		by->granted--;
	else
		by->passing = false;
	if (returned || kept)
		m->granted++;
	model_hand_set(m, false);
}

/* No unit is free, and a pool is asked for one. */
static void notified_of_hand(struct model *m, struct model *by)
{
	bool raises = model_open_needed(by) && model_may_connect(by) && !by->raised;
	bool passes = passes_on(by) && by->budget->raised - by->raised > model_ending(by);

	model_expect(by, m->offers, "notify: a pool that does not offer");
	model_expect(by, raises || passes, "notify: no hand has gone up, and no question goes on");
	by->asked = by->asked || raises;
	m->offers = false;
}

void model_notified(struct model *m, struct model *by)
{
	model_expect(by, m != by, "notify: itself");
	/* Never both: who waits has nothing idle. */
	if (m->raised)
		notified_of_unit(m, by);
	else
		notified_of_hand(m, by);
}

void model_notified_by_resize(struct model *m)
{
	model_expect(m, m->raised && m->budget->used < m->budget->max, "notify: there is no unit, or no need of it");
	model_hand_set(m, false);
}

void model_closed_told(struct model *m)
{
	model_expect(m, !m->raised, "a pool has ended while it waits for a unit");
	m->passing = true;
	model_passed(m);
	m->offers = false;
	m->budget = NULL;
}

uint32_t model_overdue(struct model *m, uint32_t slot, uint64_t held_us, enum weir_pool_overdue what)
{
	struct model_connection *c = &m->connections[slot];
	bool reclaimed = what == WEIR_POOL_RECLAIMED;
	uint64_t limit_us = reclaimed ? m->config.reclaim_after_us : m->config.leak_after_us;
	uint32_t holder = 0;

	while (holder < MODEL_WAITERS - 1 &&
		(m->waiters[holder].stage != MODEL_HOLDING || m->waiters[holder].slot != slot))
		holder++;
	model_expect(m, m->waiters[holder].stage == MODEL_HOLDING && c->state == MODEL_LEASED,
		"overdue: nobody holds it");
	model_expect(m, held_us == m->now_us - c->since_us, "overdue: held for another time");
	model_expect(m, limit_us > 0 && held_us >= limit_us, "overdue: not yet");
	model_expect(m, reclaimed || !c->leak_told, "overdue: told twice");
	if (!reclaimed) {
		c->leak_told = true;
		m->stats.leaking++;
	}
	return holder;
}

/* --- after the call ----------------------------------------------------------------------------------------------- */

/* Where units of a budget come and go meanwhile, what is opened ahead is looked after now and then only. */
static bool open_left(const struct model *m)
{
	if (!model_may_connect(m))
		return false;
	if (model_open_needed(m))
		return model_room_within(m) || model_room_beyond(m);
	return m->budget == NULL && model_open_ahead(m);
}

void model_settled(struct model *m)
{
	model_shed(m);
	model_expect(m, model_count(m, MODEL_DOOMED) == 0, "a doomed connection was not asked to be closed");
	model_expect(m, model_check_wanted(m) == NULL, "a check was not asked for");
	model_expect(m, !open_left(m), "an open was not asked for");
	model_expect(m, m->notices_due == 0, "a pool that waits for a unit was not notified");
	model_hand_set(m, model_hand_wanted(m));
}

void model_watched(struct model *m)
{
	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_connection *c = &m->connections[m->waiters[w].slot];
		uint64_t held_us = m->run_us - c->since_us;

		if (m->waiters[w].stage != MODEL_HOLDING || m->run_us < c->since_us)
			continue;
		model_expect(m, m->config.reclaim_after_us == 0 || held_us < m->config.reclaim_after_us,
			"a lease that is held too long was not reclaimed");
		model_expect(m, m->config.leak_after_us == 0 || held_us < m->config.leak_after_us || c->leak_told,
			"a lease that is held too long was not told");
	}
}

/* Each leased connection has exactly one lease: it is held, or is to be told. */
static const char *invariant_leases(const struct model *m)
{
	uint32_t leases = 0, of[MODEL_SLOTS] = {0};

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage != MODEL_HOLDING &&
			!(waiter->stage == MODEL_RESOLVED && waiter->outcome == WEIR_POOL_DELIVERED))
			continue;
		leases++;
		if (m->connections[waiter->slot].state != MODEL_LEASED || of[waiter->slot]++ > 0)
			return "a lease without a connection of its own";
	}
	return leases == model_count(m, MODEL_LEASED) ? NULL : "a connection is leased to nobody";
}

static const char *invariant_waiters(const struct model *m)
{
	bool idle = model_count(m, MODEL_IDLE) > 0, checks = m->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage != MODEL_WAITING)
			continue;
		if (waiter->deadline_us <= m->now_us)
			return "somebody waits past the deadline";
		if (idle && !waiter->fresh && !checks)
			return "somebody waits beside an idle connection";
		if (m->closing)
			return "somebody waits in a closing pool";
	}
	return NULL;
}

const char *model_invariant(const struct model *m)
{
	uint32_t opened = 0;
	const char *wrong = invariant_leases(m);

	for (int i = 0; i < MODEL_SLOTS; i++)
		opened += m->connections[i].opened;
	if (wrong == NULL)
		wrong = invariant_waiters(m);
	if (wrong != NULL)
		return wrong;
	if (model_live(m) > m->config.connections_max + m->config.overflow_max)
		return "more connections than connections_max and overflow_max";
	if (m->stats.opened - m->stats.closed != opened)
		return "opened - closed is not what is there";
	if (m->budget != NULL && (m->budget->used > m->budget->most || model_live(m) > m->budget->used))
		return "more connections than the budget has";
	if (m->closing && model_live(m) > model_count(m, MODEL_LEASED) + model_ending(m))
		return "a closing pool has connections to lease";
	return NULL;
}

const char *model_invariant_settled(const struct model *m)
{
	if (model_count(m, MODEL_DOOMED) + model_count(m, MODEL_RETURNED) > 0)
		return "a connection was not asked to be closed, or checked";
	if (model_waiting(m) > m->config.waiters_max + m->config.connections_max + m->config.overflow_max + 1)
		return "the queue is longer than its bound";
	if (m->budget == NULL && model_waiting(m) > model_supply(m) && model_may_connect(m) && model_room_within(m))
		return "somebody waits beside room to open";
	/* One may be idle beside an open beyond the cap, for who wants a fresh one: its answer settles that. */
	if (m->budget == NULL && model_over_cap(m) && model_count(m, MODEL_IDLE) > 0 &&
		model_count(m, MODEL_CONNECTING) == 0)
		return "an idle connection beyond the cap";
	return NULL;
}

/* A connection is idle, and not only until it has rested. */
static bool idle_binds(const struct model *m)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_IDLE &&
			(!m->withheld || model_rested_us(m, &m->connections[i]) <= m->now_us))
			return true;
	return false;
}

const char *model_quiet(struct model *const *models, uint32_t n)
{
	const struct model_budget *budget = NULL;
	uint32_t returning = 0, units = 0;
	bool binds = false;

	for (uint32_t i = 0; i < n; i++) {
		/* Who has ended has left it. */
		if (models[i]->budget != NULL)
			budget = models[i]->budget;
		if (models[i]->budget != NULL)
			units += model_live(models[i]) + models[i]->granted;
		returning += model_ending(models[i]);
		/* One that waits itself, for fresh ones, looks again when a close or an open of its own is answered. */
		if (!models[i]->raised || model_ending(models[i]) + model_count(models[i], MODEL_CONNECTING) == 0)
			binds |= idle_binds(models[i]);
	}
	if (budget != NULL && units != budget->used)
		return "a unit of the budget is nobody's";
	if (budget != NULL && binds && returning < budget->raised)
		return "a pool waits for a unit that an idle connection of another binds";
	return NULL;
}

void model_stats(struct model *m, struct weir_pool_stats *stats)
{
	*stats = m->stats;
	stats->idle = model_count(m, MODEL_IDLE);
	stats->connecting = model_count(m, MODEL_CONNECTING);
	stats->checking = model_count(m, MODEL_RETURNED) + model_count(m, MODEL_CHECKING);
	stats->leased = model_count(m, MODEL_LEASED);
	stats->closing = model_ending(m);
	stats->waiting = model_waiting(m);
}

/* --- when something is next --------------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_of_waiter(const struct model_waiter *waiter)
{
	if (waiter->stage == MODEL_RESOLVED)
		return 0;
	if (waiter->stage != MODEL_WAITING)
		return UINT64_MAX;
	return waiter->overdue ? waiter->deadline_us : earlier(waiter->deadline_us, waiter->patience_us);
}

static uint64_t next_of_lease(const struct model *m, const struct model_connection *c)
{
	uint64_t next_us = UINT64_MAX;

	if (m->config.reclaim_after_us > 0)
		next_us = c->since_us + m->config.reclaim_after_us;
	if (m->config.leak_after_us > 0 && !c->leak_told)
		next_us = earlier(next_us, c->since_us + m->config.leak_after_us);
	return next_us;
}

static uint64_t next_of_connection(const struct model *m, const struct model_connection *c)
{
	if (c->state == MODEL_IDLE)
		return m->withheld ? earlier(c->idle_due_us, model_rested_us(m, c)) : c->idle_due_us;
	return c->state == MODEL_CHECKING ? c->check_due_us : UINT64_MAX;
}

/* One beyond the maximum, which other pools may give back without a word, is looked for again. */
static uint64_t next_of_overflow(const struct model *m)
{
	if (m->budget == NULL || model_overdue_count(m) <= model_supply(m) || !model_may_connect(m) ||
		model_live(m) >= m->config.connections_max + m->config.overflow_max)
		return UINT64_MAX;
	return m->now_us + m->config.acquire_timeout_us / 32 + 1;
}

/* The end of a back-off; else another look at whether the budget has a unit to spare. */
static uint64_t next_of_opens(const struct model *m)
{
	uint64_t pause_us = m->config.idle_min > 0 && m->ahead_from_us > m->now_us ? m->ahead_from_us : UINT64_MAX;

	pause_us = earlier(pause_us, next_of_overflow(m));
	if (model_open_needed(m) && model_count(m, MODEL_CONNECTING) < m->config.connecting_max &&
		model_next_attempt_us(m) > m->now_us)
		pause_us = earlier(pause_us, model_next_attempt_us(m));
	if (m->backoff_ends_us > m->now_us)
		return earlier(pause_us, m->backoff_ends_us);
	if (model_open_needed(m) || !model_open_ahead(m) || !model_may_connect(m))
		return pause_us;
	return earlier(pause_us, m->now_us + POOL_AHEAD_RETRY_US);
}

uint64_t model_next_event(const struct model *m)
{
	uint64_t next_us = earlier(next_of_opens(m), model_next_shed(m));

	for (int w = 0; w < MODEL_WAITERS; w++) {
		next_us = earlier(next_us, next_of_waiter(&m->waiters[w]));
		if (m->waiters[w].stage == MODEL_HOLDING)
			next_us = earlier(next_us, next_of_lease(m, &m->connections[m->waiters[w].slot]));
	}
	for (int i = 0; i < MODEL_SLOTS; i++)
		next_us = earlier(next_us, next_of_connection(m, &m->connections[i]));
	return m->trimming ? earlier(next_us, m->trim_due_us) : next_us;
}

bool model_due_taken(const struct model *m, uint64_t due_us)
{
	for (int w = 0; w < MODEL_WAITERS; w++)
		if (m->waiters[w].stage == MODEL_WAITING &&
			(m->waiters[w].deadline_us == due_us || m->waiters[w].patience_us == due_us))
			return true;
	return false;
}
