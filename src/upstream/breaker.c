/* See breaker.h. */
#include "upstream/breaker.h"

#include "base/check.h"
#include "base/planted.h"
#include "base/units.h"

#define JITTER 5  /* a fifth */

/* --- the state ---------------------------------------------------------------------------------------------------------- */

static void enter(struct breaker *b, enum breaker_state state, uint64_t now_us)
{
	b->state = state;
	b->epoch = b->epoch == UINT32_MAX >> BREAKER_STATE_BITS ? 1 : b->epoch + 1;
	b->since_us = now_us;
	b->trials = 0;
	b->back = (struct breaker_counts){0};
	for (size_t i = 0; i < BREAKER_BUCKETS; i++)
		b->buckets[i] = (struct breaker_counts){0};
}

void breaker_init(struct breaker *b, const struct config_breaker *settings, uint64_t now_us)
{
	*b = (struct breaker){.settings = *settings};
	enter(b, BREAKER_CLOSED, now_us);
}

static bool same_settings(const struct config_breaker *a, const struct config_breaker *b)
{
	return a->enabled == b->enabled && a->failure_percent == b->failure_percent && a->slow_percent == b->slow_percent &&
	       a->slow_after_us == b->slow_after_us && a->window_us == b->window_us && a->min_calls == b->min_calls &&
	       a->open_us == b->open_us && a->open_max_us == b->open_max_us && a->half_open_calls == b->half_open_calls;
}

void breaker_set(struct breaker *b, const struct config_breaker *settings, uint64_t now_us)
{
	uint64_t opened_total = b->opened_total;
	uint32_t epoch = b->epoch;

	if (same_settings(&b->settings, settings))
		return;
	*b = (struct breaker){.settings = *settings, .opened_total = opened_total, .epoch = epoch};
	enter(b, BREAKER_CLOSED, now_us);
}

static uint64_t open_span_us(const struct breaker *b, uint64_t random)
{
	uint64_t span_us = b->settings.open_us;

	for (uint32_t i = 1; i < b->opened && span_us < b->settings.open_max_us; i++)
		span_us *= 2;
	if (span_us > b->settings.open_max_us)
		span_us = b->settings.open_max_us;
	return span_us + random % (span_us / JITTER + 1);
}

static void trip(struct breaker *b, const struct breaker_counts *why, uint64_t now_us, uint64_t random)
{
	if (b->state == BREAKER_CLOSED && now_us - b->since_us > b->settings.window_us)
		b->opened = 0;
	b->opened++;
	b->opened_total++;
	b->verdict = *why;
	enter(b, BREAKER_OPEN, now_us);
	b->until_us = deadline_after(now_us, open_span_us(b, random));
}

/* `part` of `all` is `percent` at least. */
static bool is_share(uint32_t part, uint32_t all, uint32_t percent)
{
	return (uint64_t)part * 100 >= (uint64_t)all * percent;
}

static bool is_too_bad(const struct breaker *b, const struct breaker_counts *c)
{
	return is_share(c->failed, c->calls, b->settings.failure_percent) ||
	       (b->settings.slow_after_us > 0 && is_share(c->slow, c->calls, b->settings.slow_percent));
}

/* --- CLOSED ------------------------------------------------------------------------------------------------------------- */

static void counts_add(struct breaker_counts *to, const struct breaker_counts *from)
{
	to->calls += from->calls;
	to->failed += from->failed;
	to->slow += from->slow;
}

static struct breaker_counts window(const struct breaker *b, uint64_t number)
{
	struct breaker_counts sum = {0};

	for (size_t i = 0; i < BREAKER_BUCKETS; i++)
		if (number - b->bucket_number[i] < BREAKER_BUCKETS)
			counts_add(&sum, &b->buckets[i]);
	return sum;
}

void breaker_count(struct breaker *b, const struct breaker_counts *counts, uint64_t now_us, uint64_t random)
{
	uint64_t number = now_us / (b->settings.window_us / BREAKER_BUCKETS);
	size_t at = number % BREAKER_BUCKETS;
	struct breaker_counts sum;

	if (b->state != BREAKER_CLOSED)
		return;
	if (b->bucket_number[at] != number)
		b->buckets[at] = (struct breaker_counts){0};
	b->bucket_number[at] = number;
	counts_add(&b->buckets[at], counts);
	sum = window(b, number);
	if (sum.calls >= b->settings.min_calls && is_too_bad(b, &sum))
		trip(b, &sum, now_us, random);
}

/* --- OPEN, HALF_OPEN ---------------------------------------------------------------------------------------------------- */

static bool all_are_out(const struct breaker *b)
{
	return b->state == BREAKER_HALF_OPEN && b->trials >= b->settings.half_open_calls;
}

void breaker_wake(struct breaker *b, uint64_t now_us)
{
	if (b->state == BREAKER_OPEN && now_us >= b->until_us)
		enter(b, BREAKER_HALF_OPEN, now_us);
	else if (all_are_out(b) && now_us >= b->until_us && !PLANTED(TRIAL_LOST))
		b->trials = b->back.calls;
}

bool breaker_try(struct breaker *b, uint64_t now_us)
{
	if (b->state != BREAKER_HALF_OPEN ||
		(b->trials >= b->settings.half_open_calls && !PLANTED(HALF_OPEN_ADMITS_ALL)))
		return false;
	b->trials++;
	b->until_us = deadline_after(now_us, b->settings.open_us);
	return true;
}

/* Whether those that are not back yet could still make it good. */
static bool is_lost(const struct breaker *b)
{
	struct breaker_counts best = b->back;

	best.calls = b->settings.half_open_calls > best.calls ? b->settings.half_open_calls : best.calls;
	return is_too_bad(b, &best);
}

void breaker_trial_back(struct breaker *b, bool failed, bool slow, uint64_t now_us, uint64_t random)
{
	struct breaker_counts back;

	if (b->state != BREAKER_HALF_OPEN)
		return;
	counts_add(&b->back, &(struct breaker_counts){1, failed, slow});
	back = b->back;
	/* One that is late has given its place away. */
	if (b->trials < back.calls)
		b->trials = back.calls;
	if (is_lost(b)) {
		trip(b, &back, now_us, random);
	} else if (back.calls >= b->settings.half_open_calls) {
		enter(b, BREAKER_CLOSED, now_us);
		b->verdict = back;
	}
}

void breaker_trial_lost(struct breaker *b)
{
	if (b->state == BREAKER_HALF_OPEN && b->trials > b->back.calls && !PLANTED(TRIAL_LOST))
		b->trials--;
}

bool breaker_is_shut(const struct breaker *b)
{
	return b->state == BREAKER_OPEN || all_are_out(b);
}

/* --- for many workers --------------------------------------------------------------------------------------------------- */

void shared_breaker_init(struct shared_breaker *b)
{
	*b = (struct shared_breaker){0};
	pthread_mutex_init(&b->lock, NULL);
}

void shared_breaker_release(struct shared_breaker *b)
{
	pthread_mutex_destroy(&b->lock);
}

static uint32_t tag_of(const struct breaker *b)
{
	return b->epoch << BREAKER_STATE_BITS | (uint32_t)b->state;
}

/* Behind each change, by whoever has the lock, which ends with it. True: the state is another one. */
static bool publish(struct shared_breaker *b)
{
	uint32_t tag = tag_of(&b->breaker);
	bool changed;

	atomic_store_explicit(&b->until_us, b->breaker.until_us, memory_order_relaxed);
	atomic_store_explicit(&b->slow_after_us, b->breaker.settings.slow_after_us, memory_order_relaxed);
	atomic_store_explicit(&b->shut, breaker_is_shut(&b->breaker), memory_order_release);
	changed = atomic_exchange_explicit(&b->tag, tag, memory_order_release) != tag;
	pthread_mutex_unlock(&b->lock);
	return changed;
}

void shared_breaker_set(struct shared_breaker *b, const struct config_breaker *settings, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	if (b->breaker.epoch == 0)
		breaker_init(&b->breaker, settings, now_us);
	else
		breaker_set(&b->breaker, settings, now_us);
	if (settings->enabled) {
		publish(b);
		return;
	}
	atomic_store_explicit(&b->tag, 0, memory_order_relaxed);
	atomic_store_explicit(&b->shut, false, memory_order_relaxed);
	pthread_mutex_unlock(&b->lock);
}

/* Away from what every request goes through. */
__attribute__((noinline)) bool shared_breaker_try(struct shared_breaker *b, uint32_t *call, uint64_t now_us)
{
	bool admitted;

	/* The usual answer of one that is open costs nobody anything. */
	if (shared_breaker_wait_us(b, now_us) > 0)
		return false;
	pthread_mutex_lock(&b->lock);
	breaker_wake(&b->breaker, now_us);
	admitted = b->breaker.state == BREAKER_CLOSED || breaker_try(&b->breaker, now_us);
	*call = tag_of(&b->breaker);
	publish(b);
	return admitted;
}

static bool report_trial(struct shared_breaker *b, uint32_t call, bool failed, bool slow, uint64_t now_us, uint64_t random)
{
	pthread_mutex_lock(&b->lock);
	if (tag_of(&b->breaker) == call)
		breaker_trial_back(&b->breaker, failed, slow, now_us, random);
	return publish(b);
}

/*
 * With what the worker had not told yet. Who has calls again and again tells at once, or soon: what is left over from before a
 * longer pause than the window happened outside of it.
 */
static bool merge(struct shared_breaker *b, struct breaker_side *side, const struct breaker_counts *call, uint64_t now_us,
	uint64_t random)
{
	if (side->tag == tag_of(&b->breaker)) {
		if (now_us - side->due_us > b->breaker.settings.window_us)
			side->counts = (struct breaker_counts){0};
		counts_add(&side->counts, call);
		breaker_count(&b->breaker, &side->counts, now_us, random);
	}
	*side = (struct breaker_side){.due_us = now_us + BREAKER_MERGE_US};
	return publish(b);
}

bool shared_breaker_report(struct shared_breaker *b, struct breaker_side *side, uint32_t call, bool failed,
	uint64_t waited_us, uint64_t now_us, uint64_t random)
{
	uint64_t slow_after_us = atomic_load_explicit(&b->slow_after_us, memory_order_relaxed);
	struct breaker_counts one = {1, failed, slow_after_us > 0 && waited_us >= slow_after_us};

	/* Begun in another state, or there was no breaker, or there is none. */
	if (call == 0 || call != atomic_load_explicit(&b->tag, memory_order_relaxed))
		return false;
	if (shared_breaker_is_trial(call))
		return report_trial(b, call, failed, one.slow > 0, now_us, random);
	if (side->tag != call)
		*side = (struct breaker_side){.tag = call, .due_us = side->due_us};
	if (now_us >= side->due_us && pthread_mutex_trylock(&b->lock) == 0)
		return merge(b, side, &one, now_us, random);
	counts_add(&side->counts, &one);
	return false;
}

void shared_breaker_abandon(struct shared_breaker *b, uint32_t call)
{
	if (!shared_breaker_is_trial(call))
		return;
	pthread_mutex_lock(&b->lock);
	if (tag_of(&b->breaker) == call)
		breaker_trial_lost(&b->breaker);
	publish(b);
}

bool shared_breaker_wake(struct shared_breaker *b, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	if (b->breaker.epoch == 0 || !b->breaker.settings.enabled) {
		pthread_mutex_unlock(&b->lock);
		return false;
	}
	breaker_wake(&b->breaker, now_us);
	return publish(b);
}

void shared_breaker_look(struct shared_breaker *b, struct breaker *copy)
{
	pthread_mutex_lock(&b->lock);
	*copy = b->breaker;
	pthread_mutex_unlock(&b->lock);
}

uint64_t shared_breaker_wait_us(const struct shared_breaker *b, uint64_t now_us)
{
	uint64_t until_us = atomic_load_explicit(&b->until_us, memory_order_relaxed);

	return shared_breaker_state(b) == BREAKER_OPEN && until_us > now_us ? until_us - now_us : 0;
}

uint64_t shared_breaker_look_again_us(const struct shared_breaker *b)
{
	if (shared_breaker_state(b) == BREAKER_CLOSED || !atomic_load_explicit(&b->shut, memory_order_acquire))
		return DEADLINE_NEVER;
	return atomic_load_explicit(&b->until_us, memory_order_relaxed);
}
