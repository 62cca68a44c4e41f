/* See breakers.h. */
#include "gateway/breakers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/index.h"
#include "gateway/allowance.h"
#include "gateway/exchange.h"

/* --- where they are ----------------------------------------------------------------------------------------------------- */

static void breaker_free(struct route_breaker *b)
{
	shared_breaker_release(&b->breaker);
	free(b->sides);
	free(b);
}

void route_breakers_sweep(struct list *all)
{
	list_each_safe(all, node, next) {
		struct route_breaker *b = container_of(node, struct route_breaker, node);

		if (atomic_load_explicit(&b->references, memory_order_acquire) != 0)
			continue;
		list_remove(node);
		breaker_free(b);
	}
}

/* Those there are, by name. False: out of memory. */
static bool breakers_index(struct list *all, struct index *index)
{
	if (!index_init(index, list_count(all)))
		return false;
	list_each_safe(all, node, next) {
		struct route_breaker *b = container_of(node, struct route_breaker, node);

		index_put(index, view_of(b->name, b->name_n), VIEW(""), b);
	}
	return true;
}

static struct route_breaker *breaker_create(struct list *all, struct view name, unsigned workers)
{
	struct route_breaker *b = calloc(1, sizeof(*b) + name.n);

	if (b == NULL)
		return NULL;
	b->sides = calloc(workers, sizeof(*b->sides));
	if (b->sides == NULL) {
		free(b);
		return NULL;
	}
	b->workers = workers;
	b->name_n = name.n;
	memcpy(b->name, name.p, name.n);
	shared_breaker_init(&b->breaker);
	list_push_back(all, &b->node);
	return b;
}

/* False: out of memory. */
static bool breakers_fill(
	struct route_breaker **breakers, struct list *all, const struct index *known, const struct config *config, unsigned workers)
{
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		if (!route->breaker.enabled)
			continue;
		const struct indexed *found = index_find(known, route->name, VIEW(""));

		breakers[i] = found != NULL ? found->thing : breaker_create(all, route->name, workers);
		if (breakers[i] == NULL)
			return false;
		atomic_fetch_add_explicit(&breakers[i]->references, 1, memory_order_relaxed);
	}
	return true;
}

struct route_breaker **route_breakers_claim(struct list *all, const struct config *config, unsigned workers)
{
	struct route_breaker **breakers = calloc(config->route_count + 1, sizeof(struct route_breaker *));
	struct index known = {0};

	if (breakers == NULL || !breakers_index(all, &known) || !breakers_fill(breakers, all, &known, config, workers)) {
		route_breakers_drop(breakers, config->route_count);
		breakers = NULL;
	}
	index_release(&known);
	return breakers;
}

void route_breakers_set(struct route_breaker **breakers, const struct config *config, uint64_t now_us)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (breakers[i] != NULL)
			shared_breaker_set(&breakers[i]->breaker, &config->routes[i].breaker, now_us);
}

void route_breakers_drop(struct route_breaker **breakers, size_t count)
{
	for (size_t i = 0; breakers != NULL && i < count; i++)
		if (breakers[i] != NULL)
			atomic_fetch_sub_explicit(&breakers[i]->references, 1, memory_order_release);
	free(breakers);
}

/* --- an exchange and its breaker ---------------------------------------------------------------------------------------- */

static struct route_breaker *breaker_of(const struct exchange *ex)
{
	return ex->held->generation->breakers[ex->route->index];
}

static void tell_change(struct exchange *ex, struct route_breaker *rb)
{
	const struct worker_observer *observer = &ex->worker->observer;
	struct breaker b;
	char text[512];

	shared_breaker_look(&rb->breaker, &b);
	if (b.state == BREAKER_OPEN)
		snprintf(text, sizeof(text), "route %.*s: its breaker has opened: of %u calls %u failed and %u were slow (allowed: "
			"less than %u%% and %u%%); it is tried again in %llu ms", (int)rb->name_n, rb->name, b.verdict.calls,
			b.verdict.failed, b.verdict.slow, b.settings.failure_percent, b.settings.slow_percent,
			(unsigned long long)((b.until_us - b.since_us) / US_PER_MS));
	else
		snprintf(text, sizeof(text), "route %.*s: its breaker has closed: of %u trials %u failed and %u were slow",
			(int)rb->name_n, rb->name, b.verdict.calls, b.verdict.failed, b.verdict.slow);
	observer->on_event(observer->context, b.state == BREAKER_OPEN ? LEVEL_WARNING : LEVEL_INFO, text);
}

bool route_breaker_admits(struct exchange *ex)
{
	struct shared_breaker *b = &breaker_of(ex)->breaker;

	ex->is_special = true;
	ex->admitted_us = io_now_us(ex->worker->io);
	if (shared_breaker_admit(b, &ex->breaker_call, ex->admitted_us))
		return true;
	ex->breaker_call = 0;
	exchange_retry_after(ex, shared_breaker_wait_us(b, ex->admitted_us));
	return false;
}

/* Without what its client took to send it: else anybody who sends slowly could open it. */
static uint64_t waited_us(const struct exchange *ex)
{
	uint64_t until_us = ex->first_byte_us != UINT64_MAX ? ex->first_byte_us : io_now_us(ex->worker->io);
	uint64_t sending_us = ex->sent_us > ex->head_sent_us ? ex->sent_us - ex->head_sent_us : 0;

	if (ex->head_sent_us != 0 && ex->sent_us == 0)
		until_us = ex->head_sent_us;
	return until_us > ex->admitted_us + sending_us ? until_us - ex->admitted_us - sending_us : 0;
}

/* There was no room for it. That is no failure of those that have it, which an open breaker would only make more of. */
static bool is_refusal(enum cause cause)
{
	return cause == CAUSE_CONCURRENCY_LIMITED || cause == CAUSE_POOL_QUEUE_FULL;
}

void route_breaker_answered(struct exchange *ex)
{
	if (shared_breaker_is_trial(ex->breaker_call))
		route_breaker_leave(ex, CAUSE_NONE);
}

void route_breaker_leave(struct exchange *ex, enum cause cause)
{
	struct io *io = ex->worker->io;
	struct route_breaker *rb;
	bool blamed = exchange_blames_upstream(ex, cause) && !is_refusal(cause);
	bool failed = blamed || (ex->upstream_status && ex->status >= 500 && ex->status != 501);
	uint32_t call = ex->breaker_call;

	rb = breaker_of(ex);
	ex->breaker_call = 0;
	/* It was not the upstream that has ended it: nothing is known. */
	if (!failed && !ex->upstream_status)
		shared_breaker_abandon(&rb->breaker, call);
	else if (shared_breaker_report(&rb->breaker, &rb->sides[ex->worker->index], call, failed, waited_us(ex), io_now_us(io),
		io_random(io)))
		tell_change(ex, rb);
}
