/* The reference: see model.h. */
#include "model.h"

#include <stddef.h>

static void expect(struct model *m, bool condition, const char *otherwise)
{
	if (!condition && m->wrong == NULL)
		m->wrong = otherwise;
}

void model_init(struct model *m, const struct weir_pool_config *config, struct model_budget *budget)
{
	*m = (struct model){.config = *config, .budget = budget};
}

uint32_t model_count(const struct model *m, enum model_state state)
{
	uint32_t n = 0;

	for (int i = 0; i < MODEL_SLOTS; i++)
		n += m->connections[i].state == state;
	return n;
}

static uint32_t live(const struct model *m)
{
	return MODEL_SLOTS - model_count(m, MODEL_NONE);
}

uint32_t model_waiting(const struct model *m)
{
	uint32_t n = 0;

	for (int w = 0; w < MODEL_WAITERS; w++)
		n += m->waiters[w].stage == MODEL_WAITING;
	return n;
}

/* --- match -------------------------------------------------------------------------------------------------------- */

static void resolve(struct model *m, struct model_waiter *waiter, enum weir_pool_outcome outcome)
{
	waiter->stage = MODEL_RESOLVED;
	waiter->outcome = outcome;
	waiter->number = m->number++;
}

static bool comes_before(const struct model_waiter *a, const struct model_waiter *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->number < b->number;
}

/* Whose turn it is, NULL when nobody waits. */
static struct model_waiter *turn(struct model *m)
{
	struct model_waiter *first = NULL;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_WAITING && (first == NULL || comes_before(waiter, first)))
			first = waiter;
	}
	return first;
}

/* The connection that has been idle longest or shortest, NULL when none is idle. */
static struct model_connection *idle(struct model *m, bool longest)
{
	struct model_connection *best = NULL;

	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_IDLE && (best == NULL || (c->number < best->number) == longest))
			best = c;
	}
	return best;
}

static void expire(struct model *m)
{
	for (int w = 0; w < MODEL_WAITERS; w++)
		if (m->waiters[w].stage == MODEL_WAITING && m->waiters[w].deadline_us <= m->now_us)
			resolve(m, &m->waiters[w], WEIR_POOL_TIMED_OUT);
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_IDLE && m->connections[i].idle_due_us <= m->now_us)
			m->connections[i].state = MODEL_DOOMED;
}

static void lease(struct model *m, struct model_waiter *waiter)
{
	struct model_connection *c = idle(m, m->config.order == WEIR_POOL_FIFO);

	c->state = MODEL_LEASED;
	c->uses++;
	waiter->slot = (uint32_t)(c - m->connections);
}

static void hand_set(struct model *m, bool raised)
{
	if (m->budget == NULL || m->raised == raised)
		return;
	m->budget->raised += raised ? 1 : UINT32_MAX;
	m->raised = raised;
	if (raised)
		m->offers = false;
}

static uint32_t ending(const struct model *m)
{
	return model_count(m, MODEL_DOOMED) + model_count(m, MODEL_CLOSING);
}

static void yield(struct model *m)
{
	if (m->budget == NULL || idle(m, true) == NULL)
		return;
	hand_set(m, false);
	m->offers = true;
	/* The hands for which this pool has just freed units are going down. */
	while (idle(m, true) != NULL && ending(m) < m->budget->raised - m->notices_due)
		idle(m, true)->state = MODEL_DOOMED;
}

/* Other pools that wait for a unit, and that nothing is on its way to. */
static uint32_t missed(const struct model *m)
{
	uint32_t others = m->budget == NULL ? 0 : m->budget->raised - m->raised - m->notices_due;

	return others > ending(m) ? others : 0;
}

/* Instead of an own waiter another pool is to be served with `c`. */
static bool turn_over(struct model *m, const struct model_connection *c)
{
	if (c->uses == 0)
		return false;
	if (missed(m) == 0) {
		m->turn = 0;
		return false;
	}
	if (m->turn == 0)
		m->turn_ends_us = m->now_us + m->config.acquire_timeout_us / 2 / missed(m) / live(m);
	if (m->turn == MODEL_TURN || m->now_us >= m->turn_ends_us) {
		m->turn = 0;
		return true;
	}
	m->turn++;
	return false;
}

static void match(struct model *m)
{
	struct model_waiter *waiter;

	expire(m);
	while (idle(m, true) != NULL && (waiter = turn(m)) != NULL) {
		if (turn_over(m, idle(m, true))) {
			idle(m, true)->state = MODEL_DOOMED;
			continue;
		}
		lease(m, waiter);
		resolve(m, waiter, WEIR_POOL_DELIVERED);
	}
	yield(m);
}

/* An opened connection is not in use any more. */
static void park(struct model *m, struct model_connection *c)
{
	bool used_up = m->config.uses_max > 0 && c->uses >= m->config.uses_max;

	if (c->spoiled || used_up || m->closing || c->expires_us <= m->now_us) {
		c->state = MODEL_DOOMED;
		return;
	}
	c->state = MODEL_IDLE;
	c->number = m->number++;
	c->idle_due_us = c->expires_us;
	if (m->config.idle_timeout_us > 0 && m->now_us + m->config.idle_timeout_us < c->idle_due_us)
		c->idle_due_us = m->now_us + m->config.idle_timeout_us;
}

static void empty(struct model *m, uint32_t slot)
{
	m->connections[slot] = (struct model_connection){0};
	if (m->budget == NULL)
		return;
	if (m->budget->raised - m->notices_due > m->raised)
		m->notices_due++;
	else
		m->budget->used--;
}

/* --- before the call ---------------------------------------------------------------------------------------------- */

void model_time(struct model *m, uint64_t now_us)
{
	if (now_us > m->now_us)
		m->now_us = now_us;
}

static bool full(const struct model *m, uint32_t waiting)
{
	return waiting > m->config.waiters_max + model_count(m, MODEL_CONNECTING);
}

static void end(struct model *m, struct model_waiter *waiter, enum weir_pool_outcome outcome)
{
	m->stats.acquires[outcome]++;
	waiter->stage = outcome == WEIR_POOL_DELIVERED ? MODEL_HOLDING : MODEL_OUT;
	waiter->outcome = outcome;
	if (outcome == WEIR_POOL_DELIVERED && m->connections[waiter->slot].uses > 1)
		m->stats.reused++;
}

void model_acquire(struct model *m, uint32_t w, uint64_t deadline_us, uint8_t priority, bool asking)
{
	struct model_waiter *waiter = &m->waiters[w];
	uint64_t latest_us = m->now_us + m->config.acquire_timeout_us;

	expect(m, waiter->stage == MODEL_OUT, "the test uses a waiter that is in use");
	*waiter = (struct model_waiter){.priority = priority > 3 ? 3 : priority};
	waiter->deadline_us = deadline_us < latest_us ? deadline_us : latest_us;
	match(m);
	if (m->closing) {
		end(m, waiter, WEIR_POOL_CLOSED);
	} else if (waiter->deadline_us <= m->now_us) {
		end(m, waiter, WEIR_POOL_TIMED_OUT);
	} else if (idle(m, true) != NULL) {
		lease(m, waiter);
		end(m, waiter, WEIR_POOL_DELIVERED);
	} else if (asking && full(m, model_waiting(m) + 1)) {
		end(m, waiter, WEIR_POOL_REJECTED);
	} else {
		waiter->stage = MODEL_WAITING;
		waiter->number = m->number++;
	}
	match(m);
}

enum weir_pool_outcome model_acquire_answer(struct model *m, uint32_t w)
{
	struct model_waiter *waiter = &m->waiters[w];

	if (waiter->stage == MODEL_RESOLVED)
		end(m, waiter, waiter->outcome);
	else if (waiter->stage == MODEL_WAITING && full(m, model_waiting(m)))
		end(m, waiter, WEIR_POOL_REJECTED);
	return waiter->stage == MODEL_WAITING ? WEIR_POOL_PENDING : waiter->outcome;
}

static void revoke(struct model *m, struct model_waiter *waiter)
{
	m->connections[waiter->slot].uses--;
	park(m, &m->connections[waiter->slot]);
}

bool model_cancel(struct model *m, uint32_t w)
{
	struct model_waiter *waiter = &m->waiters[w];

	if (waiter->stage != MODEL_WAITING && waiter->stage != MODEL_RESOLVED)
		return false;
	if (waiter->stage == MODEL_RESOLVED && waiter->outcome == WEIR_POOL_DELIVERED)
		revoke(m, waiter);
	end(m, waiter, WEIR_POOL_CANCELLED);
	match(m);
	return true;
}

void model_give_back(struct model *m, uint32_t w, enum weir_pool_give_back how)
{
	struct model_connection *c = &m->connections[m->waiters[w].slot];

	expect(m, m->waiters[w].stage == MODEL_HOLDING && c->state == MODEL_LEASED, "a lease without its connection");
	m->waiters[w].stage = MODEL_OUT;
	c->spoiled |= how == WEIR_POOL_DISCARD;
	park(m, c);
	match(m);
}

bool model_opened(struct model *m, uint32_t slot, uint64_t life_us)
{
	struct model_connection *c = &m->connections[slot];

	if (c->state != MODEL_CONNECTING && !(c->state == MODEL_DOOMED && !c->opened)) {
		m->stats.bad_reports++;
		return false;
	}
	c->opened = true;
	m->stats.opened++;
	c->expires_us = life_us == 0 ? UINT64_MAX : m->now_us + life_us;
	if (c->state == MODEL_CONNECTING)
		park(m, c);
	match(m);
	return true;
}

bool model_open_failed(struct model *m, uint32_t slot, int reason)
{
	struct model_connection *c = &m->connections[slot];
	bool given_up = (c->state == MODEL_DOOMED || c->state == MODEL_CLOSING) && !c->opened;
	struct model_waiter *waiter;

	if (c->state != MODEL_CONNECTING && !given_up) {
		m->stats.bad_reports++;
		return false;
	}
	empty(m, slot);
	expire(m);
	waiter = turn(m);
	if (!given_up)
		m->stats.open_failed++;
	if (!given_up && model_waiting(m) > model_count(m, MODEL_CONNECTING)) {
		waiter->reason = reason;
		resolve(m, waiter, WEIR_POOL_OPEN_FAILED);
	}
	match(m);
	return true;
}

bool model_closed(struct model *m, uint32_t slot)
{
	if (m->connections[slot].state != MODEL_CLOSING) {
		m->stats.bad_reports++;
		return false;
	}
	m->stats.closed += m->connections[slot].opened;
	empty(m, slot);
	match(m);
	return true;
}

void model_budget_freed(struct model *m)
{
	m->passing = true;
	match(m);
}

void model_passed(struct model *m)
{
	bool others = m->budget != NULL && m->budget->raised > m->raised;

	if (!m->passing)
		return;
	if (m->granted > 0) {
		expect(m, !others, "a unit was kept without need");
		m->budget->used -= m->granted;
		m->granted = 0;
	}
	expect(m, !others || m->budget->used >= m->budget->max, "a unit was not passed on");
	m->passing = false;
}

void model_spoiled(struct model *m, uint32_t slot)
{
	struct model_connection *c = &m->connections[slot];

	if (c->state == MODEL_LEASED)
		c->spoiled = true;
	if (c->state == MODEL_IDLE)
		c->state = MODEL_DOOMED;
	match(m);
}

/* The delivery that was resolved first among those that are late, NULL when none is. */
static struct model_waiter *late(struct model *m)
{
	struct model_waiter *first = NULL;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_RESOLVED && waiter->outcome == WEIR_POOL_DELIVERED &&
			waiter->deadline_us <= m->now_us && (first == NULL || waiter->number < first->number))
			first = waiter;
	}
	return first;
}

void model_run(struct model *m)
{
	struct model_waiter *waiter;

	m->run_us = m->now_us;
	while ((waiter = late(m)) != NULL) {
		waiter->outcome = WEIR_POOL_TIMED_OUT;
		revoke(m, waiter);
	}
	match(m);
}

bool model_close(struct model *m)
{
	if (m->closing)
		return false;
	expire(m);
	m->closing = true;
	for (int w = 0; w < MODEL_WAITERS; w++)
		if (m->waiters[w].stage == MODEL_WAITING)
			resolve(m, &m->waiters[w], WEIR_POOL_CLOSED);
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_IDLE || m->connections[i].state == MODEL_CONNECTING)
			m->connections[i].state = MODEL_DOOMED;
	match(m);
	return true;
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

static bool open_wanted(const struct model *m)
{
	return model_waiting(m) > model_count(m, MODEL_CONNECTING) &&
		model_count(m, MODEL_CONNECTING) < m->config.connecting_max && live(m) < m->config.connections_max;
}

void model_open_asked(struct model *m, uint32_t slot)
{
	expect(m, slot < m->config.connections_max, "open: no such slot");
	expect(m, m->connections[slot].state == MODEL_NONE, "open: the slot is in use");
	expect(m, open_wanted(m), "open: not wanted, or no room");
	expect(m, m->budget == NULL || m->granted > 0 || m->budget->used < m->budget->max,
		"open: the budget is spent");
	m->connections[slot].state = MODEL_CONNECTING;
	hand_set(m, false);
	if (m->granted > 0)
		m->granted--;
	else if (m->budget != NULL)
		m->budget->used++;
}

void model_close_asked(struct model *m, uint32_t slot)
{
	expect(m, m->connections[slot].state == MODEL_DOOMED, "close: it is still good");
	m->connections[slot].state = MODEL_CLOSING;
}

/* It answers a notice, or is about to say that it has ended: what it does not need goes on. */
static bool passes_on(const struct model *m)
{
	return m->passing || (m->closing && live(m) == 0 && model_next_event(m) == UINT64_MAX);
}

/* A pool that waits is handed a unit; or there is a free one, and it is told so. */
static void notified_of_unit(struct model *m, struct model *by)
{
	bool returned = by->notices_due > 0, kept = passes_on(by) && by->granted > 0;

	expect(by, returned || kept || (passes_on(by) && by->budget->used < by->budget->max),
		"notify: there is no unit that this pool could pass on");
	if (returned)
		by->notices_due--;
	else if (kept)
		by->granted--;
	else
		by->passing = false;
	if (returned || kept)
		m->granted++;
	hand_set(m, false);
}

/* No unit is free, and a pool is asked for one. */
static void notified_of_hand(struct model *m, struct model *by)
{
	bool raises = open_wanted(by) && !by->raised;
	bool passes = passes_on(by) && by->budget->raised - by->raised > ending(by);

	expect(by, m->offers, "notify: a pool that does not offer");
	expect(by, raises || passes, "notify: no hand has gone up, and no question goes on");
	m->offers = false;
}

void model_notified(struct model *m, struct model *by)
{
	expect(by, m != by, "notify: itself");
	/* Never both: who waits has nothing idle. */
	if (m->raised)
		notified_of_unit(m, by);
	else
		notified_of_hand(m, by);
}

void model_closed_told(struct model *m)
{
	expect(m, !m->raised, "a pool has ended while it waits for a unit");
	m->passing = true;
	model_passed(m);
	m->offers = false;
	m->budget = NULL;
}

void model_told(struct model *m, uint32_t w, enum weir_pool_outcome outcome)
{
	struct model_waiter *waiter = &m->waiters[w];

	expect(m, waiter->stage == MODEL_RESOLVED, "told: a waiter without an outcome");
	expect(m, waiter->outcome == outcome, "told: another outcome");
	expect(m, outcome != WEIR_POOL_DELIVERED || waiter->deadline_us > m->run_us,
		"told: a delivery past the deadline");
	end(m, waiter, outcome);
}

/* --- after the call ----------------------------------------------------------------------------------------------- */

void model_settled(struct model *m)
{
	bool spent = m->budget != NULL && m->budget->used >= m->budget->max && m->granted == 0;

	expect(m, model_count(m, MODEL_DOOMED) == 0, "a doomed connection was not asked to be closed");
	expect(m, !open_wanted(m) || spent, "an open was not asked for");
	expect(m, m->notices_due == 0, "a pool that waits for a unit was not notified");
	hand_set(m, open_wanted(m));
}

const char *model_quiet(struct model *const *models, uint32_t n)
{
	const struct model_budget *budget = NULL;
	uint32_t returning = 0;
	bool binds = false;

	for (uint32_t i = 0; i < n; i++) {
		/* Who has ended has left it. */
		if (models[i]->budget != NULL)
			budget = models[i]->budget;
		returning += ending(models[i]);
		binds |= model_count(models[i], MODEL_IDLE) > 0;
	}
	if (budget != NULL && binds && returning < budget->raised)
		return "a pool waits for a unit that an idle connection of another binds";
	return NULL;
}

void model_stats(struct model *m, struct weir_pool_stats *stats)
{
	*stats = m->stats;
	stats->idle = model_count(m, MODEL_IDLE);
	stats->connecting = model_count(m, MODEL_CONNECTING);
	stats->leased = model_count(m, MODEL_LEASED);
	stats->closing = model_count(m, MODEL_DOOMED) + model_count(m, MODEL_CLOSING);
	stats->waiting = model_waiting(m);
}

uint64_t model_next_event(const struct model *m)
{
	uint64_t next_us = UINT64_MAX;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_RESOLVED)
			return 0;
		if (waiter->stage == MODEL_WAITING && waiter->deadline_us < next_us)
			next_us = waiter->deadline_us;
	}
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_IDLE && m->connections[i].idle_due_us < next_us)
			next_us = m->connections[i].idle_due_us;
	return next_us;
}
