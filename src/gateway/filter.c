/*
 * The filter cursor: a flat list, walked forward for the request and back for the response.
 *
 * The cursor is how many filters have been asked. It stands behind a filter that has paused, so resuming is walking on.
 * A paused exchange is named by a slot and a generation; a late resume finds another generation and is only counted.
 */
#include "gateway/exchange.h"

#include <stdlib.h>

#include "base/check.h"

static struct filter_call call_for(struct exchange *ex, size_t i, struct message *response)
{
	return (struct filter_call){
		.config = &ex->route->filters[i],
		.state = ex->filter_states[i],
		.exchange = ex,
		.arena = &ex->arena,
		.request = &ex->request,
		.target = &ex->target,
		.response = response,
		.client = ex->client_address,
		.consumer = ex->consumer != NULL ? ex->consumer->name : view_of("", 0),
		.io = ex->worker->io,
		.limits = ex->held->generation->limits,
		.cause = CAUSE_FILTER_FAILED,
	};
}

static const struct filter_ops *ops_of(const struct exchange *ex, size_t i)
{
	return ex->worker->shared->filters[ex->route->filters[i].kind];
}

/* Gives every filter of the route its zeroed state. */
static bool make_states(struct exchange *ex)
{
	size_t count = ex->route->filter_count;

	ex->filter_states = arena_alloc(&ex->arena, count * sizeof(void *));
	if (ex->filter_states == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		size_t bytes = ops_of(ex, i)->state_bytes;

		ex->filter_states[i] = bytes == 0 ? NULL : arena_alloc(&ex->arena, bytes);
		if (bytes == 0)
			continue;
		if (ex->filter_states[i] == NULL)
			return false;
		memset(ex->filter_states[i], 0, bytes);
	}
	return true;
}

enum filter_verdict filters_on_request(struct exchange *ex, enum cause *cause, const char **why)
{
	if (ex->route->filter_count > 0 && ex->filter_states == NULL && !make_states(ex)) {
		*cause = CAUSE_MEMORY_EXHAUSTED;
		return FILTER_ANSWER;
	}
	while (ex->filter_at < ex->route->filter_count) {
		size_t i = ex->filter_at++;
		struct filter_call call = call_for(ex, i, NULL);
		const struct filter_ops *ops = ops_of(ex, i);
		enum filter_verdict verdict = ops->on_request == NULL ? FILTER_CONTINUE : ops->on_request(&call);

		/* A reference that was taken goes with a pause, or there is a filter that will resume what runs. */
		CHECK(ex->pause_slot == 0 || verdict == FILTER_PAUSE);
		if (verdict == FILTER_CONTINUE)
			continue;
		*cause = call.cause;
		*why = call.why;
		return verdict;
	}
	return FILTER_CONTINUE;
}

bool filters_on_response(struct exchange *ex, struct message *response, enum cause *cause, const char **why)
{
	for (size_t i = ex->filter_at; i-- > 0;) {
		struct filter_call call = call_for(ex, i, response);
		const struct filter_ops *ops = ops_of(ex, i);

		if (ops->on_response == NULL || ops->on_response(&call) == FILTER_CONTINUE)
			continue;
		*cause = call.cause;
		*why = call.why;
		return false;
	}
	return true;
}

void filters_on_request_aside(struct exchange *ex, struct message *aside)
{
	for (size_t i = 0; i < ex->filter_at; i++) {
		struct filter_call call = call_for(ex, i, NULL);

		call.aside = aside;
		if (ops_of(ex, i)->on_request_aside != NULL)
			ops_of(ex, i)->on_request_aside(&call);
	}
}

void filters_on_response_aside(struct exchange *ex, struct message *aside)
{
	for (size_t i = ex->filter_at; i-- > 0;) {
		struct filter_call call = call_for(ex, i, NULL);

		call.aside = aside;
		if (ops_of(ex, i)->on_response_aside != NULL)
			ops_of(ex, i)->on_response_aside(&call);
	}
}

void exchange_consumer(struct exchange *ex, const struct config_consumer *consumer)
{
	ex->consumer = consumer;
}

uint64_t exchange_must_end_us(const struct exchange *ex)
{
	const struct config_upstream *upstream = ex->route->upstream;

	if (upstream == NULL || upstream->timeouts.request_us == 0)
		return DEADLINE_NEVER;
	return deadline_after(ex->head_us, upstream->timeouts.request_us);
}

static void pause_end(struct exchange *ex)
{
	struct pause_slot *slot;

	if (ex->pause_slot == 0)
		return;
	slot = &ex->worker->pauses[ex->pause_slot - 1];
	slot->exchange = NULL;
	slot->generation++;
	slot->next_free = ex->worker->pause_free;
	ex->worker->pause_free = ex->pause_slot;
	ex->pause_slot = 0;
}

__attribute__((noinline)) void filters_on_finish(struct exchange *ex)
{
	pause_end(ex);
	for (size_t i = 0; i < ex->filter_at; i++) {
		struct filter_call call = call_for(ex, i, NULL);

		if (ops_of(ex, i)->on_finish != NULL)
			ops_of(ex, i)->on_finish(&call);
	}
}

/* Doubles the table of places; there are never more than exchanges. False: out of memory. */
static bool pause_grow(struct worker *w)
{
	uint32_t count = 2 * w->pause_count + 16;
	struct pause_slot *grown = realloc(w->pauses, count * sizeof(*grown));

	if (grown == NULL)
		return false;
	for (uint32_t i = w->pause_count; i < count; i++) {
		grown[i] = (struct pause_slot){.next_free = w->pause_free};
		w->pause_free = i + 1;
	}
	w->pauses = grown;
	w->pause_count = count;
	return true;
}

struct exchange_ref exchange_pause_ref(struct exchange *ex)
{
	struct worker *w = ex->worker;

	CHECK(ex->state == EXCHANGE_FILTERING && ex->pause_slot == 0);
	if (w->pause_free == 0 && !pause_grow(w))
		return (struct exchange_ref){.worker = w};

	struct pause_slot *slot = &w->pauses[w->pause_free - 1];

	ex->pause_slot = w->pause_free;
	w->pause_free = slot->next_free;
	slot->exchange = ex;
	return (struct exchange_ref){w, ex->pause_slot, slot->generation};
}

bool exchange_resume(struct exchange_ref ref, enum filter_verdict verdict, enum cause cause, const char *why)
{
	struct worker *w = ref.worker;
	struct pause_slot *slot = ref.slot == 0 || ref.slot > w->pause_count ? NULL : &w->pauses[ref.slot - 1];

	if (slot == NULL || slot->exchange == NULL || slot->generation != ref.generation) {
		w->stats.exchange_stale_resume++;
		return false;
	}
	struct exchange *ex = slot->exchange;

	CHECK(verdict != FILTER_PAUSE);
	pause_end(ex);
	if (verdict == FILTER_ANSWER)
		exchange_finish(ex, cause, why);
	else
		exchange_filter(ex);
	return true;
}
