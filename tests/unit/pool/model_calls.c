/* The reference: the calls of pool.h. See model.h. */
#include "model_parts.h"

void model_time(struct model *m, uint64_t now_us)
{
	m->clock_us = now_us;
}

static void times_add(struct weir_pool_times *times, uint64_t us)
{
	int i = 0;

	while (i < WEIR_POOL_TIME_BUCKETS - 1 && us >= 16ULL << i)
		i++;
	times->buckets[i]++;
	times->sum_us += us;
}

/* --- acquire, cancel ---------------------------------------------------------------------------------------------- */

/* A waiter for whom something is on its way takes no place in the queue. */
static bool full(const struct model *m, uint32_t waiting)
{
	bool unit_coming = m->asked && model_hand_wanted(m);

	return waiting > m->config.waiters_max + model_supply(m) + unit_coming;
}

static void end(struct model *m, struct model_waiter *waiter, enum weir_pool_outcome outcome)
{
	struct model_connection *c = &m->connections[waiter->slot];

	m->stats.acquires[outcome]++;
	if (outcome == WEIR_POOL_REJECTED)
		m->stats.refusals[waiter->refusal]++;
	waiter->stage = outcome == WEIR_POOL_DELIVERED ? MODEL_HOLDING : MODEL_OUT;
	waiter->outcome = outcome;
	if (outcome != WEIR_POOL_DELIVERED)
		return;
	m->stats.reused += c->uses > 1;
	c->leased_us = m->now_us;
	times_add(&m->stats.wait, m->now_us - waiter->queued_us);
}

/* Nobody whom it may serve waits beside an idle connection, so nobody is overtaken. */
static struct model_connection *at_once(struct model *m, const struct model_waiter *waiter)
{
	if (waiter->fresh || m->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE)
		return NULL;
	return model_idle(m, m->config.order == WEIR_POOL_FIFO);
}

static void admit(struct model *m, struct model_waiter *waiter, bool asking)
{
	struct model_connection *c = at_once(m, waiter);

	if (m->closing || m->draining) {
		end(m, waiter, WEIR_POOL_CLOSED);
	} else if (waiter->deadline_us <= m->now_us) {
		waiter->reason = model_reason(m);
		end(m, waiter, WEIR_POOL_TIMED_OUT);
	} else if (c != NULL) {
		model_lease(m, c, waiter);
		end(m, waiter, WEIR_POOL_DELIVERED);
	} else if (asking && full(m, model_waiting(m) + 1) && !model_make_room(m, waiter)) {
		model_refuse(m, waiter, WEIR_POOL_QUEUE_FULL);
		end(m, waiter, WEIR_POOL_REJECTED);
	} else {
		if (model_waiting(m) == 0)
			model_queue_began(m);
		waiter->stage = MODEL_WAITING;
		waiter->number = m->number++;
	}
}

void model_acquire(struct model *m, uint32_t w, uint64_t deadline_us, uint8_t priority, bool fresh, bool asking)
{
	struct model_waiter *waiter = &m->waiters[w];
	uint64_t patience_us, latest_us;

	model_tick(m);
	patience_us = latest_us = m->now_us + m->config.acquire_timeout_us;
	model_expect(m, waiter->stage == MODEL_OUT, "the test uses a waiter that is in use");
	if (m->config.on_acquire_timeout == WEIR_POOL_NEW)
		latest_us += m->config.acquire_timeout_us;
	*waiter = (struct model_waiter){.priority = priority > 3 ? 3 : priority, .fresh = fresh};
	waiter->queued_us = m->now_us;
	waiter->patience_us = patience_us;
	waiter->deadline_us = deadline_us < latest_us ? deadline_us : latest_us;
	model_match(m);
	admit(m, waiter, asking);
	model_match(m);
}

static void reject(struct model *m, struct model_waiter *waiter, enum weir_pool_refusal why)
{
	model_refuse(m, waiter, why);
	end(m, waiter, WEIR_POOL_REJECTED);
	model_match(m);
}

enum weir_pool_outcome model_acquire_answer(struct model *m, uint32_t w)
{
	struct model_waiter *waiter = &m->waiters[w];

	enum weir_pool_refusal why = WEIR_POOL_NOT_REFUSED;

	if (waiter->stage == MODEL_WAITING)
		why = model_refusal(m, waiter);
	if (waiter->stage == MODEL_RESOLVED)
		end(m, waiter, waiter->outcome);
	else if (why != WEIR_POOL_NOT_REFUSED)
		reject(m, waiter, why);
	else if (waiter->stage == MODEL_WAITING && full(m, model_waiting(m)) && !model_make_room(m, waiter))
		reject(m, waiter, WEIR_POOL_QUEUE_FULL);
	return waiter->stage == MODEL_WAITING ? WEIR_POOL_PENDING : waiter->outcome;
}

static void revoke(struct model *m, struct model_waiter *waiter)
{
	m->connections[waiter->slot].uses--;
	model_park(m, &m->connections[waiter->slot]);
}

bool model_cancel(struct model *m, uint32_t w)
{
	struct model_waiter *waiter = &m->waiters[w];

	if (waiter->stage != MODEL_WAITING && waiter->stage != MODEL_RESOLVED)
		return false;
	model_tick(m);
	if (waiter->stage == MODEL_RESOLVED && waiter->outcome == WEIR_POOL_DELIVERED)
		revoke(m, waiter);
	end(m, waiter, WEIR_POOL_CANCELLED);
	model_match(m);
	return true;
}

/* --- leases ------------------------------------------------------------------------------------------------------- */

static bool check_on_give_back(const struct model *m, const struct model_connection *c)
{
	bool used_up = m->config.uses_max > 0 && c->uses >= m->config.uses_max;

	return m->config.checks & WEIR_POOL_CHECK_ON_GIVE_BACK && !c->spoiled && !c->renewed && !used_up &&
		c->expires_us > m->now_us && !m->closing && !(model_over_cap(m) && model_overdue_count(m) == 0) &&
		!model_fresh_needs_room(m);
}

void model_give_back(struct model *m, uint32_t w, enum weir_pool_give_back how)
{
	struct model_connection *c = &m->connections[m->waiters[w].slot];

	model_expect(m, m->waiters[w].stage == MODEL_HOLDING && c->state == MODEL_LEASED,
		"a lease without its connection");
	model_tick(m);
	m->waiters[w].stage = MODEL_OUT;
	times_add(&m->stats.use, m->now_us - c->leased_us);
	c->spoiled |= how == WEIR_POOL_DISCARD;
	if (check_on_give_back(m, c)) {
		c->state = MODEL_RETURNED;
		c->number = m->number++;
	} else {
		model_park(m, c);
	}
	model_match(m);
}

void model_give_back_wrongly(struct model *m, struct weir_pool_lease lease, bool own)
{
	uint32_t latest = lease.slot >= 1 && lease.slot <= MODEL_SLOTS ? m->generations[lease.slot - 1] : 0;

	if (!own || lease.generation == 0 || lease.generation > latest)
		m->stats.foreign_give_backs++;
	else if (lease.generation == latest)
		m->stats.double_give_backs++;
	else
		m->stats.stale_give_backs++;
}

void model_touch(struct model *m, uint32_t w)
{
	struct model_connection *c = &m->connections[m->waiters[w].slot];

	model_tick(m);
	c->since_us = m->now_us;
	c->leak_told = false;
	model_match(m);
}

void model_reclaim(struct model *m, uint32_t w)
{
	struct model_connection *c = &m->connections[m->waiters[w].slot];

	if (m->waiters[w].stage != MODEL_HOLDING)
		return;
	m->waiters[w].stage = MODEL_OUT;
	times_add(&m->stats.use, m->now_us - c->leased_us);
	model_doom(m, c, WEIR_POOL_CLOSE_RECLAIMED);
	model_match(m);
}

uint32_t model_oldest(const struct model *m, uint32_t *slots, uint64_t *since_us)
{
	uint32_t n = 0, at;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];
		uint64_t since = m->connections[waiter->slot].since_us;

		if (waiter->stage != MODEL_HOLDING)
			continue;
		for (at = n++; at > 0 && since_us[at - 1] > since; at--) {
			slots[at] = slots[at - 1];
			since_us[at] = since_us[at - 1];
		}
		slots[at] = waiter->slot;
		since_us[at] = since;
	}
	return n;
}

/* --- what the owner tells ----------------------------------------------------------------------------------------- */

static void give_up_hung(struct model *m)
{
	for (int i = 0; i < MODEL_SLOTS; i++) {
		struct model_connection *c = &m->connections[i];

		if (c->state == MODEL_CONNECTING && c->since_us + m->config.backoff_max_us <= m->now_us)
			model_doom(m, c, WEIR_POOL_CLOSE_RENEWED);
	}
}

bool model_opened(struct model *m, uint32_t slot, uint64_t life_us)
{
	struct model_connection *c = &m->connections[slot];

	if (c->state != MODEL_CONNECTING && !(c->state == MODEL_DOOMED && !c->opened)) {
		m->stats.bad_reports++;
		return false;
	}
	model_tick(m);
	model_expire(m);
	c->opened = true;
	m->stats.opened++;
	c->expires_us = life_us == 0 ? UINT64_MAX : m->now_us + life_us;
	if (c->state == MODEL_CONNECTING) {
		bool is_back = m->failures > 0;

		m->failures = 0;
		m->backoff_ends_us = 0;
		model_arrive(m, c, false);
		if (is_back && m->config.backoff_max_us > 0)
			give_up_hung(m);
	} else {
		m->stats.closes[c->reason]++;
	}
	model_match(m);
	return true;
}

static void back_off(struct model *m, uint64_t random)
{
	uint64_t us = m->config.backoff_min_us;

	for (uint32_t i = 1; i < m->failures && us < m->config.backoff_max_us; i++)
		us *= 2;
	if (us > m->config.backoff_max_us)
		us = m->config.backoff_max_us;
	m->backoff_ends_us = us == 0 ? 0 : m->now_us + us - us / 2 + random % (us / 2 + 1);
}

static bool plainly_dead(const struct model *m)
{
	return model_supply(m) + model_count(m, MODEL_IDLE) + model_count(m, MODEL_LEASED) == 0;
}

static void fail_waiters(struct model *m, int reason)
{
	struct model_waiter *waiter;
	bool all = plainly_dead(m);

	if (!all && model_waiting(m) <= model_supply(m))
		return;
	while ((waiter = model_turn(m, MODEL_ANYBODY)) != NULL) {
		model_resolve(m, waiter, WEIR_POOL_OPEN_FAILED);
		waiter->reason = reason;
		if (!all)
			break;
	}
}

bool model_open_failed(struct model *m, uint32_t slot, int reason, uint64_t random)
{
	struct model_connection *c = &m->connections[slot];
	bool given_up = (c->state == MODEL_DOOMED || c->state == MODEL_CLOSING) && !c->opened;

	if (c->state != MODEL_CONNECTING && !given_up) {
		m->stats.bad_reports++;
		return false;
	}
	model_tick(m);
	model_expire(m);
	model_empty(m, slot);
	if (!given_up) {
		m->stats.open_failed++;
		m->failures++;
		m->reason = reason;
		back_off(m, random);
		m->ahead_from_us = m->now_us + POOL_AHEAD_RETRY_US;
		fail_waiters(m, reason);
	}
	model_match(m);
	return true;
}

bool model_checked(struct model *m, uint32_t slot, bool good)
{
	struct model_connection *c = &m->connections[slot];

	/* Its close has still to be asked for: the owner may not know. */
	if (c->state == MODEL_DOOMED && c->opened)
		return false;
	if (c->state != MODEL_CHECKING) {
		m->stats.bad_reports++;
		return false;
	}
	model_tick(m);
	model_expire(m);
	/* Unless the check has just taken too long. */
	if (c->state == MODEL_CHECKING && good)
		model_arrive(m, c, true);
	else if (c->state == MODEL_CHECKING)
		model_doom(m, c, WEIR_POOL_CLOSE_CHECK_FAILED);
	model_match(m);
	return true;
}

bool model_closed(struct model *m, uint32_t slot)
{
	if (m->connections[slot].state != MODEL_CLOSING) {
		m->stats.bad_reports++;
		return false;
	}
	model_tick(m);
	m->stats.closed += m->connections[slot].opened;
	model_empty(m, slot);
	model_match(m);
	return true;
}

void model_spoiled(struct model *m, uint32_t slot)
{
	struct model_connection *c = &m->connections[slot];

	model_tick(m);
	if (c->state == MODEL_LEASED)
		c->spoiled = true;
	if (c->state == MODEL_IDLE || c->state == MODEL_RETURNED || c->state == MODEL_CHECKING)
		model_doom(m, c, WEIR_POOL_CLOSE_SPOILED);
	model_match(m);
}

void model_renew(struct model *m)
{
	model_tick(m);
	for (int i = 0; i < MODEL_SLOTS; i++)
		m->connections[i].renewed |= m->connections[i].state == MODEL_LEASED;
	model_doom_unleased(m, WEIR_POOL_CLOSE_RENEWED);
	m->failures = 0;
	m->backoff_ends_us = m->ahead_from_us = 0;
	model_match(m);
}

void model_set_idle_timeout(struct model *m, uint64_t idle_timeout_us)
{
	m->config.idle_timeout_us = idle_timeout_us;
}

/* --- time, end ---------------------------------------------------------------------------------------------------- */

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

	model_tick(m);
	m->run_us = m->now_us;
	while ((waiter = late(m)) != NULL) {
		waiter->outcome = WEIR_POOL_TIMED_OUT;
		waiter->reason = model_reason(m);
		revoke(m, waiter);
	}
	model_match(m);
}

bool model_drain(struct model *m)
{
	if (m->closing || m->draining)
		return false;
	model_tick(m);
	m->draining = true;
	model_match(m);
	return true;
}

bool model_close(struct model *m)
{
	if (m->closing)
		return false;
	model_tick(m);
	model_expire(m);
	m->closing = true;
	for (int w = 0; w < MODEL_WAITERS; w++)
		if (m->waiters[w].stage == MODEL_WAITING)
			model_resolve(m, &m->waiters[w], WEIR_POOL_CLOSED);
	model_begin_close(m);
	model_match(m);
	return true;
}

void model_budget_freed(struct model *m)
{
	model_tick(m);
	m->passing = true;
	model_match(m);
}

void model_passed(struct model *m)
{
	bool others = m->budget != NULL && m->budget->raised > m->raised;

	if (!m->passing)
		return;
	for (; m->granted > 0; m->granted--) {
		model_expect(m, !others || m->budget->used > m->budget->max + m->budget->overflow,
			"a unit was kept without need");
		m->budget->used--;
	}
	model_expect(m, !others || m->budget->used >= m->budget->max, "a unit was not passed on");
	m->passing = false;
}

/* Told with its end: an outcome, from a run. */
void model_told(struct model *m, uint32_t w, enum weir_pool_outcome outcome)
{
	struct model_waiter *waiter = &m->waiters[w];

	model_expect(m, waiter->stage == MODEL_RESOLVED, "told: a waiter without an outcome");
	model_expect(m, waiter->outcome == outcome, "told: another outcome");
	model_expect(m, outcome != WEIR_POOL_DELIVERED || waiter->deadline_us > m->run_us,
		"told: a delivery past the deadline");
	end(m, waiter, outcome);
}
