/* The reference: who is refused. See model.h. */
#include "model_parts.h"

#define NOT_LATE UINT64_MAX

/* --- how the queue goes ------------------------------------------------------------------------------------------- */

void model_queue_began(struct model *m)
{
	m->queue = (struct model_queue){.began_us = m->now_us, .late_us = NOT_LATE,
		.excused_us = m->queue.excused_us, .no_excuse_until_us = m->queue.no_excuse_until_us};
}

/* Since when whoever has waited longest has: this one, or who was passed over. */
static uint64_t longest_since_us(const struct model *m, const struct model_waiter *served)
{
	uint64_t since_us = served->queued_us;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_WAITING && !waiter->fresh && waiter->queued_us < since_us)
			since_us = waiter->queued_us;
	}
	return since_us;
}

static void watch(struct model_queue *q, const struct model *m, uint64_t waited_us)
{
	uint32_t left = model_waiting(m);

	if (q->standing && m->now_us >= q->refused_us + m->config.queue_interval_us) {
		q->standing = false;
		q->late_us = NOT_LATE;
	}
	if (q->standing)
		return;
	if (waited_us < m->config.queue_target_us || (m->now_us < q->excused_us && m->now_us >= q->no_excuse_until_us)) {
		q->late_us = NOT_LATE;
	} else if (q->late_us == NOT_LATE) {
		q->late_us = m->now_us;
		q->late_length = left;
		q->late_served = 0;
	} else if (++q->late_served >= POOL_CODEL_SERVED_MIN && m->now_us >= q->late_us + m->config.queue_interval_us) {
		q->standing = left + 1 + q->late_served / 16 >= q->late_length;
		q->refused_us = q->late_us = m->now_us;
		q->late_length = left;
		q->late_served = 0;
	}
}

void model_queue_served(struct model *m, const struct model_waiter *waiter)
{
	struct model_queue *q = &m->queue;

	/* POOL_PACE_MEMORY is 1 here: the mean is the latest. */
	uint64_t most_us = q->served < 1 + POOL_PACE_KNOWN ? UINT64_MAX : 8 * q->gap_us + 1000;

	if (q->served++ > 0)
		q->gap_us = m->now_us - q->served_us < most_us ? m->now_us - q->served_us : most_us;
	q->served_us = m->now_us;
	if (m->config.queue_target_us > 0)
		watch(q, m, m->now_us - longest_since_us(m, waiter));
}

void model_excuse(struct model *m, uint64_t until_us)
{
	if (until_us > m->queue.excused_us)
		m->queue.excused_us = until_us;
}

/* What the n-th to be served will have to wait. */
static uint64_t wait_us(const struct model *m, uint64_t now_us, uint32_t n)
{
	uint64_t since_us = now_us - m->queue.served_us;

	return n * m->queue.gap_us + (since_us > m->queue.gap_us ? since_us - m->queue.gap_us : 0);
}

uint64_t model_backlog_us(const struct model *m, uint64_t now_us)
{
	return model_waiting(m) == 0 || m->queue.served < 1 + POOL_PACE_KNOWN ? 0 : wait_us(m, now_us, model_waiting(m));
}

/* --- who is refused ----------------------------------------------------------------------------------------------- */

static uint32_t kept(const struct model *m)
{
	uint32_t leased = model_count(m, MODEL_LEASED);

	return model_supply(m) + (leased > 0 ? 2 * leased : 1);
}

static bool too_many(const struct model *m)
{
	return m->queue.standing && model_waiting(m) > kept(m);
}

static bool could_open(const struct model *m)
{
	bool room = model_live(m) < m->config.connections_max && model_unit_free(m);

	return room || model_overflow_left(m);
}

static uint32_t place(const struct model *m, const struct model_waiter *of)
{
	uint32_t n = 0;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		n += waiter->stage == MODEL_WAITING && (waiter->fresh || waiter->priority <= of->priority);
	}
	return n > model_supply(m) ? n - model_supply(m) : 0;
}

enum weir_pool_refusal model_refusal(const struct model *m, const struct model_waiter *waiter)
{
	uint64_t due_us = waiter->deadline_us < waiter->patience_us ? waiter->deadline_us : waiter->patience_us;
	uint32_t n = place(m, waiter);
	uint64_t us;

	/* The queue is not empty, what there is is in use, and it is known how fast it goes. */
	if (!m->config.refuse_late || waiter->fresh || n < 2 || could_open(m) || m->queue.served < 1 + POOL_PACE_KNOWN)
		return WEIR_POOL_NOT_REFUSED;
	us = wait_us(m, m->now_us, n);
	/* All the others will have gone by then. */
	if (too_many(m) && us > m->config.queue_target_us)
		us = m->config.queue_target_us;
	return m->now_us + us > due_us ? WEIR_POOL_LATE : WEIR_POOL_NOT_REFUSED;
}

void model_refuse(struct model *m, struct model_waiter *waiter, enum weir_pool_refusal why)
{
	bool by_pool = why == WEIR_POOL_LATE && waiter->deadline_us >= waiter->patience_us;

	waiter->refusal = why;
	waiter->reason = model_reason(m);
	m->queue.refused_us = m->now_us;
	if (why == WEIR_POOL_QUEUE_FULL || by_pool)
		m->queue.no_excuse_until_us = m->now_us + m->config.queue_interval_us;
}

static void refuse_waiting(struct model *m, struct model_waiter *waiter, enum weir_pool_refusal why)
{
	model_resolve(m, waiter, WEIR_POOL_REJECTED);
	model_refuse(m, waiter, why);
}

bool model_make_room(struct model *m, const struct model_waiter *newcomer)
{
	struct model_waiter *victim = NULL;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		struct model_waiter *waiter = &m->waiters[w];
		bool lower = waiter->stage == MODEL_WAITING && !waiter->fresh && waiter->priority > newcomer->priority;

		if (lower && (victim == NULL || waiter->priority > victim->priority ||
			(waiter->priority == victim->priority && waiter->number > victim->number)))
			victim = waiter;
	}
	if (victim == NULL)
		return false;
	refuse_waiting(m, victim, WEIR_POOL_QUEUE_FULL);
	return true;
}

/* The first of a priority; MODEL_WAITERS: there is none. */
static int first_of(const struct model *m, uint8_t priority)
{
	int first = MODEL_WAITERS;

	for (int w = 0; w < MODEL_WAITERS; w++) {
		const struct model_waiter *waiter = &m->waiters[w];

		if (waiter->stage == MODEL_WAITING && !waiter->fresh && waiter->priority == priority &&
			(first == MODEL_WAITERS || waiter->number < m->waiters[first].number))
			first = w;
	}
	return first;
}

static uint64_t shed_due_us(const struct model *m, int w)
{
	return w == MODEL_WAITERS ? UINT64_MAX : m->waiters[w].queued_us + m->config.queue_target_us;
}

static struct model_waiter *shed_next(struct model *m)
{
	for (int priority = 3; priority >= 0; priority--) {
		int first = first_of(m, (uint8_t)priority);

		if (shed_due_us(m, first) <= m->now_us)
			return &m->waiters[first];
	}
	return NULL;
}

void model_shed(struct model *m)
{
	struct model_waiter *waiter;

	while (too_many(m) && !could_open(m) && (waiter = shed_next(m)) != NULL) {
		model_expect(m, m->now_us >= m->queue.began_us + m->config.queue_interval_us,
			"shed: the queue was empty within the interval");
		model_expect(m, model_idle(m, true) == NULL || m->config.checks & WEIR_POOL_CHECK_ON_ACQUIRE,
			"shed: beside an idle connection");
		refuse_waiting(m, waiter, WEIR_POOL_SHED);
	}
}

uint64_t model_next_shed(const struct model *m)
{
	uint64_t next_us = UINT64_MAX;

	if (!too_many(m))
		return UINT64_MAX;
	for (uint8_t priority = 0; priority < 4; priority++) {
		uint64_t due_us = shed_due_us(m, first_of(m, priority));

		if (due_us > m->now_us && due_us < next_us)
			next_us = due_us;
	}
	return next_us;
}
