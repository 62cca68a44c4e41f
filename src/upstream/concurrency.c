/*
 * See concurrency.h.
 *
 * A worker that has something to bring (every 20 ms at most, as a lease ends) tries the lock. If another one has it, it goes
 * on and tries again with the next lease: nothing is lost, since its window only grows. Only who configures or asks for the
 * facts waits for it, which is held for a microsecond.
 *
 * The budget's size is what the limit is enforced by: connections, idle ones too, or with HTTP/2 places for streams. A
 * larger one wakes who waits, of whatever worker (pool/budget.c); a smaller one takes effect as connections come back.
 *
 * What is taken for an answer: one that says how long the backend took. Errors of its own (5xx, 429) may have cost it
 * nothing, so they count as failures, as connections do that were refused or reset; a backend that refuses quickly must not
 * look like one that is quick. A time limit that has passed is the least that the answer would have taken.
 */
#include "upstream/concurrency.h"

#include <sched.h>

#include "base/check.h"
#include "base/units.h"
#include "upstream/endpoint.h"

#define UNHURRIED_US (100 * US_PER_MS)     /* a client that keeps a connection waiting after that is in no hurry */
enum { LOOKED_AT_MAX = 10000 };            /* connections at one look; some 100 us */
#define TELL_EVERY_US (10 * US_PER_S)
#define TELL_FACTOR 2

/* What a dip has left behind in the queues is worked off in so many times its length, or is no consequence of it. */
#define EXCUSED_TIMES 4
#define EXCUSED_MAX_US (10 * US_PER_S)

/* What is learned is never less: a mistake, made while the machine was short of time, is not to cost all throughput. */
#define LIMIT_LEAST 4

/* --- the lock --------------------------------------------------------------------------------------------------- */

static bool try_lock(struct concurrency *c)
{
	return !atomic_flag_test_and_set_explicit(&c->busy, memory_order_acquire);
}

static void lock(struct concurrency *c)
{
	while (!try_lock(c))
		sched_yield();
}

static void unlock(struct concurrency *c)
{
	atomic_flag_clear_explicit(&c->busy, memory_order_release);
}

/* --- under the lock --------------------------------------------------------------------------------------------- */

/* What is parked holds connections beside the limit. */
static void resize(struct endpoint_budget *budget)
{
	struct concurrency *c = &budget->concurrency;
	uint64_t size = c->learns ? (uint64_t)c->limiter.limit + atomic_load_explicit(&c->parked, memory_order_relaxed) : c->max;

	size = size < c->max ? size : c->max;
	if (size == c->size)
		return;
	c->size = (uint32_t)size;
	CHECK(weir_pool_budget_resize(budget->pool_budget, c->size, c->overflow_max));
}

/* The limit has moved so far that the log is to say it. */
static bool is_news(struct concurrency *c, uint32_t limit, uint64_t now_us)
{
	bool is_far = limit >= TELL_FACTOR * c->told || limit * TELL_FACTOR <= c->told;

	return is_far && (c->told_us == 0 || now_us >= c->told_us + TELL_EVERY_US);
}

/* Every place is taken and somebody waits, and not only for connections that do not come to be open. */
static bool is_full(const struct endpoint *ep)
{
	struct weir_pool_stats stats;

	weir_pool_stats(ep->pool, &stats);
	return stats.waiting > 0 && (stats.leased > 0 || stats.connecting == 0) &&
	       weir_pool_budget_used(ep->budget->pool_budget) >= ep->budget->concurrency.size;
}

/* Since when the oldest of this worker's requests has been in flight; 0: it has none, and only the others' answers tell. */
static uint64_t oldest_us(const struct endpoint *ep)
{
	uint64_t oldest_us = DEADLINE_NEVER;

	list_each_safe(&ep->conns, node, next) {
		const struct upstream_lease *lease = container_of(node, struct upstream_conn, node)->lease;

		if (lease != NULL && lease->flight != FLIGHT_NONE && lease->flight != FLIGHT_PARKED)
			oldest_us = deadline_min(oldest_us, lease->held_since_us);
	}
	return oldest_us != DEADLINE_NEVER ? oldest_us : 0;
}

/* A dip has begun, goes on, or has just ended. Until the next look at it all workers know of it. */
static void excuse(struct concurrency *c, uint64_t since_us, uint64_t now_us)
{
	uint64_t span_us = EXCUSED_TIMES * (now_us > since_us ? now_us - since_us : 0);

	if (span_us < 2 * WAITING_LOOK_US)
		span_us = 2 * WAITING_LOOK_US;
	if (span_us > EXCUSED_MAX_US)
		span_us = EXCUSED_MAX_US;
	atomic_store_explicit(&c->excused_us, now_us + span_us, memory_order_relaxed);
}

static void take_over(struct endpoint *ep, uint64_t now_us, bool waits)
{
	struct concurrency *c = &ep->budget->concurrency;
	uint64_t dipped_since_us = limiter_dips_since_us(&c->limiter), dips_since_us;

	limiter_merge(&c->limiter, &ep->window, now_us);
	if (waits && c->limiter.limit < c->max && limiter_is_mute(&c->limiter, now_us) && is_full(ep))
		limiter_stagnates(&c->limiter, oldest_us(ep), now_us);
	dips_since_us = limiter_dips_since_us(&c->limiter);
	if (dipped_since_us != UINT64_MAX || dips_since_us != UINT64_MAX)
		excuse(c, dipped_since_us < dips_since_us ? dipped_since_us : dips_since_us, now_us);
	c->merged_us = now_us;
	resize(ep->budget);
}

/* --- workers ---------------------------------------------------------------------------------------------------- */

static void tell_move(const struct endpoint *ep, const struct limiter_facts *facts, uint32_t before)
{
	endpoint_tell(ep, LEVEL_INFO, "gets at most %u requests at once now (%u before; without a queue it answers in %.1f ms): %s",
		facts->limit, before, facts->latency_us / 1000, limiter_reason_text(facts->reason));
}

/* Brings what this worker has seen, if nobody else is about to; `waits`: somebody waits for a connection. */
__attribute__((noinline)) static void merge(struct endpoint *ep, uint64_t now_us, bool waits)
{
	struct concurrency *c = &ep->budget->concurrency;
	struct limiter_facts facts = {0};
	uint32_t before = 0;

	if (!try_lock(c))
		return;
	if (c->learns) {
		take_over(ep, now_us, waits);
		facts = limiter_facts(&c->limiter);
		if (is_news(c, facts.limit, now_us)) {
			before = c->told;
			c->told = facts.limit;
			c->told_us = now_us;
		}
	} else {
		ep->window.due_us = now_us + LIMITER_MERGE_US;
	}
	unlock(c);
	weir_pool_excuse_queue(ep->pool, atomic_load_explicit(&c->excused_us, memory_order_relaxed));
	if (before != 0)
		tell_move(ep, &facts, before);
}

void concurrency_bring(struct endpoint *ep, uint64_t now_us)
{
	merge(ep, now_us, false);
}

__attribute__((noinline)) void concurrency_leave_parked(struct endpoint *ep, uint64_t now_us)
{
	atomic_fetch_sub_explicit(&ep->budget->concurrency.parked, 1, memory_order_relaxed);
	merge(ep, now_us, false);
}

void concurrency_park(struct endpoint *ep, struct upstream_lease *lease, uint64_t now_us)
{
	if (lease->flight == FLIGHT_NONE || lease->flight == FLIGHT_PARKED)
		return;
	lease->flight = FLIGHT_PARKED;
	limiter_leave(&ep->window, now_us);
	atomic_fetch_add_explicit(&ep->budget->concurrency.parked, 1, memory_order_relaxed);
	merge(ep, now_us, false);
}

void concurrency_unpark(struct endpoint *ep, struct upstream_lease *lease, uint64_t now_us)
{
	if (lease->flight != FLIGHT_PARKED)
		return;
	lease->flight = FLIGHT_COUNTED;
	limiter_enter(&ep->window, now_us);
	concurrency_leave_parked(ep, now_us);
}

static bool is_late(enum cause cause)
{
	return cause == CAUSE_FIRST_BYTE_TIMEOUT || cause == CAUSE_UPSTREAM_IDLE_TIMEOUT;
}

void concurrency_learn(struct limiter_window *window, struct upstream_result result)
{
	bool is_answer = result.cause == CAUSE_NONE && result.status < 500 && result.status != 429;

	if (__builtin_expect(!is_answer, 0) && !is_late(result.cause))
		result.cause == CAUSE_UPSTREAM_RESET ? limiter_loss(window) : limiter_failure(window);
	else if (__builtin_expect(result.waited_us > 0, 1))
		limiter_sample(window, result.waited_us);
}

/* Somebody waits, and those have a place whose own client is in no hurry. */
static void park_unhurried(struct endpoint *ep, uint64_t now_us)
{
	unsigned left = LOOKED_AT_MAX;

	list_each_safe(&ep->conns, node, next) {
		struct upstream_lease *lease = container_of(node, struct upstream_conn, node)->lease;

		if (left-- == 0)
			return;
		if (lease == NULL || lease->ops->waits_for_user == NULL)
			continue;
		if (lease->held_since_us + UNHURRIED_US <= now_us && lease->ops->waits_for_user(lease))
			concurrency_park(ep, lease, now_us);
	}
}

void concurrency_look(struct endpoint *ep, uint64_t now_us)
{
	if (!ep->learns)
		return;
	park_unhurried(ep, now_us);
	merge(ep, now_us, true);
}

/* Twice it is found to be answering: since a second at least. */
void concurrency_sweep(struct endpoint *ep, uint64_t now_us)
{
	if (!ep->learns)
		return;
	list_each_safe(&ep->conns, node, next) {
		const struct upstream_conn *uc = container_of(node, struct upstream_conn, node);
		struct upstream_lease *lease = uc->lease;

		if (lease == NULL || !lease->reported)
			continue;
		if (lease->flight == FLIGHT_ANSWERED)
			concurrency_park(ep, lease, now_us);
		else if (lease->flight == FLIGHT_COUNTED)
			lease->flight = FLIGHT_ANSWERED;
	}
	merge(ep, now_us, false);
}

static uint32_t least(const struct concurrency *c)
{
	return c->max < LIMIT_LEAST ? c->max : LIMIT_LEAST;
}

/* Nothing is known. */
static void begin(struct concurrency *c)
{
	limiter_init(&c->limiter, least(c), c->max, c->merged_us);
	c->told = c->limiter.limit;
}

/* --- any thread ------------------------------------------------------------------------------------------------- */

void concurrency_configure(struct endpoint_budget *budget, const struct config_upstream *upstream)
{
	struct weir_pool_config settings = endpoint_settings(upstream);
	struct concurrency *c = &budget->concurrency;
	uint32_t fixed = upstream->concurrency;
	bool learns = fixed == CONFIG_CONCURRENCY_AUTO;

	lock(c);
	c->max = settings.connections_max;
	if (!learns && fixed < c->max)
		c->max = fixed;
	if (learns && c->learns)
		limiter_set_range(&c->limiter, least(c), c->max, c->merged_us);
	else if (learns)
		begin(c);
	c->learns = learns;
	c->overflow_max = c->limiter.beyond = settings.overflow_max;
	c->size = 0;
	resize(budget);
	unlock(c);
}

void concurrency_tell(struct endpoint_budget *budget, struct upstream_endpoint_stats *stats, uint64_t now_us)
{
	struct concurrency *c = &budget->concurrency;
	struct limiter_facts facts = {.reason = LIMITER_CONFIGURED};

	lock(c);
	if (c->learns)
		facts = limiter_facts(&c->limiter);
	else
		facts.limit = c->max;
	unlock(c);
	stats->concurrency.limit = facts.limit;
	stats->concurrency.knee = (uint64_t)(facts.knee * 1e6);
	stats->concurrency.latency_us = (uint64_t)facts.latency_us;
	/* The time is another worker's, and may be a little ahead of ours. */
	if (facts.reason != LIMITER_NONE && facts.reason != LIMITER_CONFIGURED)
		stats->concurrency.moved_us = now_us > facts.moved_us ? now_us - facts.moved_us : 1;
	stats->concurrency.told = true;
	stats->concurrency.parked = atomic_load_explicit(&c->parked, memory_order_relaxed);
	stats->concurrency.reason = facts.reason;
}
