/* The reference: counting, time passing, serving. See model.h. */
#include "model_parts.h"

void model_expect(struct model *m, bool condition, const char *otherwise)
{
	if (!condition && m->wrong == NULL)
		m->wrong = otherwise;
}

void model_init(struct model *m, const struct weir_pool_config *config, struct model_budget *budget)
{
	*m = (struct model){.config = *config, .budget = budget};
	if (budget != NULL)
		budget->models[budget->models_n++] = m;
}

/* --- counts ------------------------------------------------------------------------------------------------------- */

uint32_t model_count(const struct model *m, enum model_state state)
{
	uint32_t n = 0;

	for (int i = 0; i < MODEL_SLOTS; i++)
		n += m->connections[i].state == state;
	return n;
}

uint32_t model_live(const struct model *m)
{
	return MODEL_SLOTS - model_count(m, MODEL_NONE);
}

uint32_t model_supply(const struct model *m)
{
	return model_count(m, MODEL_CONNECTING) + model_count(m, MODEL_RETURNED) + model_count(m, MODEL_CHECKING);
}

uint32_t model_ending(const struct model *m)
{
	return model_count(m, MODEL_DOOMED) + model_count(m, MODEL_CLOSING);
}

uint32_t model_waiting(const struct model *m)
{
	uint32_t n = 0;

	for (int w = 0; w < MODEL_WAITERS; w++)
		n += m->waiters[w].stage == MODEL_WAITING;
	return n;
}

uint32_t model_fresh(const struct model *m)
{
	uint32_t n = 0;

	for (int w = 0; w < MODEL_WAITERS; w++)
		n += m->waiters[w].stage == MODEL_WAITING && m->waiters[w].fresh;
	return n;
}

uint32_t model_overdue_count(const struct model *m)
{
	uint32_t n = 0;

	for (int w = 0; w < MODEL_WAITERS; w++)
		n += m->waiters[w].stage == MODEL_WAITING && m->waiters[w].overdue;
	return n;
}

static uint32_t beyond(uint32_t n, uint32_t max)
{
	return n > max ? n - max : 0;
}

/* Connections more than connections_max, or than the budget's. */
static uint32_t excess(const struct model *m)
{
	uint32_t own = beyond(model_live(m), m->config.connections_max);
	uint32_t shared = m->budget == NULL ? 0 : beyond(m->budget->used, m->budget->max);

	return own > shared ? own : shared;
}

/* Not counting those that are on their way out. */
bool model_over_cap(const struct model *m)
{
	return excess(m) > model_ending(m);
}

void model_tick(struct model *m)
{
	if (m->clock_us > m->now_us)
		m->now_us = m->clock_us;
}

int model_reason(const struct model *m)
{
	return m->failures > 0 ? m->reason : 0;
}

/* --- who and which ------------------------------------------------------------------------------------------------ */

static bool comes_before(const struct model_waiter *a, const struct model_waiter *b)
{
	if (a->fresh != b->fresh)
		return a->fresh;
	if (!a->fresh && a->priority != b->priority)
		return a->priority < b->priority;
	return a->number < b->number;
}

struct model_waiter *model_turn(struct model *m, enum model_who who)
{
	struct model_waiter *first = NULL;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage != MODEL_WAITING || (who != MODEL_ANYBODY && waiter->fresh != (who == MODEL_FRESH)))
			continue;
		if (first == NULL || comes_before(waiter, first))
			first = waiter;
	}
	return first;
}

struct model_connection *model_idle(struct model *m, bool longest)
{
	struct model_connection *best = NULL;

	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_IDLE && (best == NULL || (c->number < best->number) == longest))
			best = c;
	}
	return best;
}

/* --- trimming: how many were idle all the time -------------------------------------------------------------------- */

static void trim_begin(struct model *m)
{
	uint32_t idle = model_count(m, MODEL_IDLE);

	m->trimming = m->config.trim_interval_us > 0 && idle > m->config.idle_min + 1;
	if (!m->trimming)
		return;
	m->idle_low = idle;
	m->trim_due_us = m->now_us + m->config.trim_interval_us;
}

static void idle_entered(struct model *m)
{
	if (!m->trimming)
		trim_begin(m);
}

static void idle_left(struct model *m)
{
	if (model_count(m, MODEL_IDLE) < m->idle_low)
		m->idle_low = model_count(m, MODEL_IDLE);
}

static void trim(struct model *m)
{
	if (!m->trimming || m->trim_due_us > m->now_us)
		return;
	for (uint32_t n = beyond(m->idle_low, m->config.idle_min) / 2; n > 0; n--)
		model_doom(m, model_idle(m, true), WEIR_POOL_CLOSE_TRIMMED);
	trim_begin(m);
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

void model_doom(struct model *m, struct model_connection *c, enum weir_pool_close_reason reason)
{
	bool was_idle = c->state == MODEL_IDLE;

	/* What ends before it has served makes those opened ahead wait. */
	if (c->uses == 0 && (reason == WEIR_POOL_CLOSE_SPOILED || reason == WEIR_POOL_CLOSE_CHECK_FAILED ||
		reason == WEIR_POOL_CLOSE_IDLE))
		m->ahead_from_us = m->now_us + POOL_AHEAD_RETRY_US;
	c->state = MODEL_DOOMED;
	c->reason = reason;
	m->stats.closes[reason] += c->opened;
	if (was_idle)
		idle_left(m);
}

void model_resolve(struct model *m, struct model_waiter *waiter, enum weir_pool_outcome outcome)
{
	waiter->stage = MODEL_RESOLVED;
	waiter->outcome = outcome;
	waiter->number = m->number++;
	waiter->reason = outcome == WEIR_POOL_TIMED_OUT ? model_reason(m) : 0;
	if (outcome == WEIR_POOL_DELIVERED)
		model_queue_served(m, waiter);
}

void model_lease(struct model *m, struct model_connection *c, struct model_waiter *waiter)
{
	bool was_idle = c->state == MODEL_IDLE;

	c->state = MODEL_LEASED;
	c->uses++;
	m->generations[c - m->connections]++;
	c->since_us = m->now_us;
	c->leak_told = false;
	waiter->slot = (uint32_t)(c - m->connections);
	if (was_idle)
		idle_left(m);
}

/* Why it is not used again; WEIR_POOL_CLOSE_REASONS: it is. */
static enum weir_pool_close_reason not_again(const struct model *m, const struct model_connection *c)
{
	if (c->spoiled)
		return WEIR_POOL_CLOSE_DISCARDED;
	if (c->renewed)
		return WEIR_POOL_CLOSE_RENEWED;
	if (m->closing)
		return WEIR_POOL_CLOSE_POOL;
	if (c->expires_us <= m->now_us)
		return WEIR_POOL_CLOSE_LIFETIME;
	if (m->config.uses_max > 0 && c->uses >= m->config.uses_max)
		return WEIR_POOL_CLOSE_USES;
	return WEIR_POOL_CLOSE_REASONS;
}

static void idle_clock(struct model *m, struct model_connection *c)
{
	c->idle_due_us = c->expires_us;
	if (m->config.idle_timeout_us > 0 && m->now_us + m->config.idle_timeout_us < c->idle_due_us)
		c->idle_due_us = m->now_us + m->config.idle_timeout_us;
}

void model_park(struct model *m, struct model_connection *c)
{
	enum weir_pool_close_reason reason = not_again(m, c);

	if (reason != WEIR_POOL_CLOSE_REASONS) {
		model_doom(m, c, reason);
		return;
	}
	c->state = MODEL_IDLE;
	c->number = m->number++;
	c->idle_since_us = m->now_us;
	idle_clock(m, c);
	idle_entered(m);
}

void model_empty(struct model *m, uint32_t slot)
{
	m->connections[slot] = (struct model_connection){0};
	if (m->budget == NULL)
		return;
	if (m->budget->raised - m->notices_due > m->raised &&
		m->budget->used <= m->budget->max + m->budget->overflow)
		m->notices_due++;
	else
		m->budget->used--;
}

/* --- other pools of the budget ------------------------------------------------------------------------------------ */

bool model_hand_wanted(const struct model *m)
{
	return model_open_needed(m) && model_may_connect(m) && model_live(m) < m->config.connections_max;
}

void model_hand_set(struct model *m, bool raised)
{
	/* It may have gone up and down in one call, for which it was not noted. */
	if (!raised)
		m->asked = false;
	if (m->budget == NULL || m->raised == raised)
		return;
	m->budget->raised += raised ? 1 : UINT32_MAX;
	m->raised = raised;
	if (raised)
		m->offers = false;
}

/* The connections of the other pools that wait for a unit, the fewest first; those to whom one is on its way left out. */
static uint32_t waiting_elsewhere(const struct model *m, uint32_t *live)
{
	uint32_t n = 0, at;

	for (uint32_t i = 0; i < m->budget->models_n; i++) {
		const struct model *other = m->budget->models[i];

		if (other == m || other->budget == NULL || !other->raised)
			continue;
		for (at = n++; at > 0 && live[at - 1] > model_live(other); at--)
			live[at] = live[at - 1];
		live[at] = model_live(other);
	}
	for (uint32_t i = m->notices_due; i < n; i++)
		live[i - m->notices_due] = live[i];
	return n > m->notices_due ? n - m->notices_due : 0;
}

/* Other pools that wait for a unit and have fewer than this one would have without it; or none. */
static uint32_t owed(const struct model *m)
{
	uint32_t live[MODEL_POOLS], owed = 0, n = m->budget == NULL ? 0 : waiting_elsewhere(m, live);

	for (uint32_t i = 0; i < n; i++)
		owed += live[i] == 0 || live[i] + 1 < model_live(m);
	return owed > model_ending(m) ? owed : 0;
}

uint64_t model_rested_us(const struct model *m, const struct model_connection *c)
{
	uint64_t part_us = m->config.acquire_timeout_us / 4;

	return c->idle_since_us + (part_us < 10000 ? part_us : 10000);
}

/* Gives up what is idle for those that wait for a unit: at once to whom it is owed, else what has rested. */
static void yield(struct model *m)
{
	struct model_connection *c;

	if (m->budget == NULL || model_idle(m, true) == NULL)
		return;
	model_hand_set(m, false);
	m->offers = true;
	m->withheld = false;
	/* The hands for which this pool has just freed units are going down. */
	while ((c = model_idle(m, true)) != NULL && model_ending(m) < m->budget->raised - m->notices_due) {
		if (owed(m) == 0 && model_rested_us(m, c) > m->now_us) {
			m->offers = false;
			m->withheld = true;
			return;
		}
		model_doom(m, c, WEIR_POOL_CLOSE_YIELDED);
	}
}

/* Instead of an own waiter another pool is to be served with `c`. */
static bool turn_over(struct model *m, const struct model_connection *c)
{
	if (m->budget == NULL || c->uses == 0)
		return false;
	if (owed(m) == 0) {
		m->turn = 0;
		return false;
	}
	if (m->turn == 0)
		m->turn_ends_us = m->now_us + m->config.acquire_timeout_us / 2 / owed(m) / model_live(m);
	if (m->turn == MODEL_TURN || m->now_us >= m->turn_ends_us) {
		m->turn = 0;
		return true;
	}
	m->turn++;
	return false;
}

/* --- match: time has passed --------------------------------------------------------------------------------------- */

static uint64_t waiter_due_us(const struct model_waiter *waiter)
{
	return !waiter->overdue && waiter->patience_us < waiter->deadline_us ? waiter->patience_us : waiter->deadline_us;
}

static struct model_waiter *waiter_due(struct model *m)
{
	struct model_waiter *first = NULL;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_WAITING && waiter_due_us(waiter) <= m->now_us &&
			(first == NULL || waiter_due_us(waiter) < waiter_due_us(first)))
			first = waiter;
	}
	return first;
}

bool model_overflow_left(const struct model *m)
{
	return m->config.on_acquire_timeout == WEIR_POOL_NEW && !m->draining && !m->closing &&
		model_overdue_count(m) + excess(m) < m->config.overflow_max;
}

void model_expire_waiters(struct model *m)
{
	struct model_waiter *waiter;

	while ((waiter = waiter_due(m)) != NULL) {
		if (waiter->deadline_us > m->now_us && model_overflow_left(m))
			waiter->overdue = true;
		else
			model_resolve(m, waiter, WEIR_POOL_TIMED_OUT);
	}
}

static struct model_connection *idle_due(struct model *m)
{
	struct model_connection *first = NULL;

	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_IDLE && c->idle_due_us <= m->now_us &&
			(first == NULL || c->idle_due_us < first->idle_due_us))
			first = c;
	}
	return first;
}

static void expire_idle(struct model *m)
{
	struct model_connection *c;

	while ((c = idle_due(m)) != NULL) {
		model_doom(m, c, c->expires_us <= m->now_us ? WEIR_POOL_CLOSE_LIFETIME : WEIR_POOL_CLOSE_IDLE);
	}
}

static void expire_checks(struct model *m)
{
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_CHECKING && m->connections[i].check_due_us <= m->now_us)
			model_doom(m, &m->connections[i], WEIR_POOL_CLOSE_CHECK_FAILED);
}

/* --- match: serving ----------------------------------------------------------------------------------------------- */

bool model_unit_free(const struct model *m)
{
	return m->budget == NULL || m->granted > 0 || m->budget->used < m->budget->max;
}

/* Those who want a fresh one wait for room, and an idle one takes it up. */
bool model_fresh_needs_room(const struct model *m)
{
	uint32_t room = beyond(m->config.connections_max, model_live(m));
	uint32_t units = m->budget == NULL ? room : m->granted + beyond(m->budget->max, m->budget->used);

	if (units < room)
		room = units;
	return model_fresh(m) > model_count(m, MODEL_CONNECTING) + model_ending(m) + room;
}

/* One step of serving; false: nothing is left to do. */
static bool serve(struct model *m)
{
	struct model_waiter *next = model_turn(m, MODEL_NOT_FRESH);
	struct model_connection *c = model_idle(m, true);

	if (c == NULL || model_waiting(m) == 0)
		return false;
	if (model_over_cap(m) && (next == NULL || model_overdue_count(m) == 0)) {
		model_doom(m, c, WEIR_POOL_CLOSE_OVERFLOW);
	} else if (model_fresh_needs_room(m)) {
		model_doom(m, c, WEIR_POOL_CLOSE_YIELDED);
	} else if (next == NULL || m->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE) {
		return false;
	} else if (turn_over(m, c)) {
		model_doom(m, c, WEIR_POOL_CLOSE_YIELDED);
	} else {
		model_lease(m, model_idle(m, m->config.order == WEIR_POOL_FIFO), next);
		model_resolve(m, next, WEIR_POOL_DELIVERED);
	}
	return true;
}

void model_doom_unleased(struct model *m, enum weir_pool_close_reason reason)
{
	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_IDLE || c->state == MODEL_RETURNED || c->state == MODEL_CHECKING ||
			c->state == MODEL_CONNECTING)
			model_doom(m, c, reason);
	}
}

void model_begin_close(struct model *m)
{
	m->closing = true;
	model_doom_unleased(m, WEIR_POOL_CLOSE_POOL);
}

void model_expire(struct model *m)
{
	model_expire_waiters(m);
	expire_idle(m);
	expire_checks(m);
	trim(m);
}

void model_match(struct model *m)
{
	model_expire(m);
	while (serve(m))
		;
	while (model_over_cap(m) && model_idle(m, true) != NULL)
		model_doom(m, model_idle(m, true), WEIR_POOL_CLOSE_OVERFLOW);
	if (m->draining && !m->closing && model_waiting(m) == 0)
		model_begin_close(m);
	yield(m);
}

void model_arrive(struct model *m, struct model_connection *c, bool checked)
{
	struct model_waiter *next = model_turn(m, checked ? MODEL_NOT_FRESH : MODEL_ANYBODY);

	if (next == NULL || not_again(m, c) != WEIR_POOL_CLOSE_REASONS) {
		model_park(m, c);
	} else if (checked && model_over_cap(m) && model_overdue_count(m) == 0) {
		model_doom(m, c, WEIR_POOL_CLOSE_OVERFLOW);
	} else if (checked && (model_fresh_needs_room(m) || turn_over(m, c))) {
		model_doom(m, c, WEIR_POOL_CLOSE_YIELDED);
	} else {
		model_lease(m, c, next);
		model_resolve(m, next, WEIR_POOL_DELIVERED);
	}
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

bool model_open_needed(const struct model *m)
{
	return model_supply(m) < model_waiting(m) || model_fresh(m) > model_count(m, MODEL_CONNECTING);
}

bool model_open_ahead(const struct model *m)
{
	return !m->draining && !m->closing && m->ahead_from_us <= m->now_us && model_live(m) < m->config.connections_max &&
		model_count(m, MODEL_IDLE) + model_supply(m) < model_waiting(m) + m->config.idle_min;
}

uint64_t model_next_attempt_us(const struct model *m)
{
	uint64_t latest_us = 0;

	if (m->failures == 0 || model_count(m, MODEL_CONNECTING) == 0)
		return 0;
	for (int i = 0; i < MODEL_SLOTS; i++)
		if (m->connections[i].state == MODEL_CONNECTING && m->connections[i].since_us > latest_us)
			latest_us = m->connections[i].since_us;
	return m->config.backoff_max_us == 0 ? UINT64_MAX : latest_us + m->config.backoff_max_us;
}

bool model_may_connect(const struct model *m)
{
	return model_count(m, MODEL_CONNECTING) < m->config.connecting_max && m->backoff_ends_us <= m->now_us &&
		model_next_attempt_us(m) <= m->now_us;
}

bool model_room_within(const struct model *m)
{
	return model_live(m) < m->config.connections_max && model_unit_free(m);
}

bool model_room_beyond(const struct model *m)
{
	return model_overdue_count(m) > model_supply(m) &&
		model_live(m) < m->config.connections_max + m->config.overflow_max &&
		(m->budget == NULL || m->budget->used < m->budget->max + m->budget->overflow);
}

/* One that nobody waits for, also elsewhere. */
bool model_unit_spare(const struct model *m)
{
	return m->budget == NULL || (m->budget->raised == 0 && m->budget->used < m->budget->max);
}

static struct model_connection *returned_first(struct model *m)
{
	struct model_connection *first = NULL;

	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_RETURNED && (first == NULL || c->number < first->number))
			first = c;
	}
	return first;
}

struct model_connection *model_check_wanted(struct model *m)
{
	struct model_connection *returned = returned_first(m);

	if (returned != NULL)
		return returned;
	if (!(m->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE) ||
		model_waiting(m) - model_fresh(m) <= model_count(m, MODEL_CHECKING))
		return NULL;
	return model_idle(m, m->config.order == WEIR_POOL_FIFO);
}
