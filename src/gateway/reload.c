/*
 * A worker's generations: the one in force, and older ones that requests still run on.
 *
 *     worker ----current----> held generation <---held--- exchanges, listeners
 *
 * Uses are counted by the worker alone, without atomic operations; for all of them it has one reference to the generation.
 *
 * A reload changes at once: which routes a new request finds, the endpoints (upstream/reload.c), the listeners' settings. What
 * takes long is done in slices, one in each turn of the loop:
 *
 *     NONE --worker_reload--> SETTLING --> MAKING (endpoints) --all is there: the change--> FOLLOWING (clients, endpoints) --> NONE: told
 *
 * SETTLING is left out unless endpoints of before are being let go, which comes first: the next roster is made from one that has
 * settled into its place.
 *
 * New listeners begin to listen at the end of MAKING: a reload that is refused, or given up, has let nobody in who would be lost with it
 * (but for an instant where there are several: listeners.c).
 *
 * Behind the change connections that are open are looked at: whom they trust, and what they count among. A request that has begun
 * keeps its route, its upstream's settings, and whether its client is trusted: its head may have to be written a second time. What becomes of listeners stands in
 * listeners.c.
 *
 * Upstreams that are gone are kept for requests of before until none of them can ask for a connection any more, which is
 * looked at now and then.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"
#include "gateway/breakers.h"
#include "gateway/exchange.h"
#include "io/inherited.h"

#define SETTLE_US (100 * US_PER_MS)

/* Of a slice: 1 is looking at a client; one that is told to go, and may be closed at once, is more. */
enum { CLIENTS_SLICE = 256, CLIENT_GOES = 16 };

/* --- holding -------------------------------------------------------------------------------------------------------- */

struct held_generation *generation_hold(struct generation *generation, unsigned index)
{
	struct held_generation *held = line_calloc(sizeof(*held));

	if (held == NULL)
		return NULL;
	held->generation = generation_ref(generation);
	held->config = generation->config;
	held->router = generation->router;
	held->uses = 1;
	held->is_traced = generation->config->tracing.enabled;
	held->is_logged = generation->config->log.access;
	held->books = generation->books + index * generation->config->route_count;
	return held;
}

void held_generation_free(struct held_generation *held)
{
	generation_unref(held->generation);
	free(held);
}

/* --- clients -------------------------------------------------------------------------------------------------------- */

/*
 * Who is trusted was decided when it connected: it is decided again, for requests to come. So is what a client's end means
 * that came before, and among whose connections it counts. Returns what that costs.
 */
static int client_adopt(struct client *c)
{
	if (c->listener->state == LISTENER_LEAVING) {
		if (PLANTED(LISTENER_BREAKS_OFF) && client_exchange(c) != NULL)
			exchange_finish(c->exchange, CAUSE_DRAINING, NULL);
		client_drain(c);
		return CLIENT_GOES;
	}
	client_retrust(c);
	client_recount_peer(c);
	if (client_exchange(c) != NULL && c->h1.conn.peer_closed)
		exchange_pump_later(c->exchange);
	return 1;
}

/*
 * Some of those that there were. They go round: whoever was looked at stands behind all others. When some have left meanwhile, some
 * are looked at twice.
 */
static void clients_adopt_some(struct worker *w)
{
	for (int cost = 0; cost < CLIENTS_SLICE && w->reload.clients_left > 0;) {
		struct list_node *node = list_pop_front(&w->clients);

		if (node == NULL) {
			w->reload.clients_left = 0;
			return;
		}
		list_push_back(&w->clients, node);
		w->reload.clients_left--;
		cost += client_adopt(container_of(node, struct client, node));
	}
}

void worker_slabs_raise(struct worker *w)
{
	/* Those that are closed at once keep their memory until the end of the tick: as many as are accepted in one. */
	size_t clients = CLIENT_SPARE + w->listener_count * LISTENER_BATCH;

	for (size_t i = 0; i < w->listener_count; i++)
		clients += w->listeners[i]->config->limits.connections;
	list_each_safe(&w->leaving, node, next)
		clients += container_of(node, struct worker_listener, node)->clients + LISTENER_BATCH;
	slab_raise(&w->client_slab, clients);
	/* Twice: an exchange keeps its memory until the end of the tick, in which its client may begin the next one. */
	slab_raise(&w->exchange_slab, 2 * (clients + STREAMS_MAX));
}

/* --- settling ------------------------------------------------------------------------------------------------------- */

/* Once the answer has begun nothing is tried a second time. */
static bool may_still_lease(const struct exchange *ex)
{
	return ex->state < EXCHANGE_RESPONDING;
}

static void settle(struct worker *w)
{
	if (!upstreams_unsettled(w->upstreams))
		return;
	list_each_safe(&w->exchanges, node, next) {
		const struct exchange *ex = container_of(node, struct exchange, node);

		if (ex->held != w->current && may_still_lease(ex) && !PLANTED(SETTLED_EARLY)) {
			io_timer_set(w->io, &w->settle_timer, deadline_after(io_now_us(w->io), SETTLE_US));
			return;
		}
	}
	upstreams_settle(w->upstreams);
	io_defer(w->io, &w->reload.slice);
}

void worker_on_settle(struct io_timer *timer)
{
	settle(container_of(timer, struct worker, settle_timer));
}

/* --- the reload ----------------------------------------------------------------------------------------------------- */

static void reload_told(struct worker *w, bool taken)
{
	w->reload.stage = WORKER_RELOAD_NONE;
	w->observer.on_reloaded(w->observer.context, taken);
}

static void refusal_tell(struct worker *w, const char *why)
{
	char text[300];

	snprintf(text, sizeof(text), "worker %u refuses the reload: %s", w->index, why);
	w->observer.on_event(w->observer.context, LEVEL_ERROR, text);
}

/* All that is there is there in vain. */
static void next_discard(struct worker *w)
{
	listeners_discard(w, w->reload.listeners, w->reload.next->config->listener_count);
	w->reload.listeners = NULL;
	if (!PLANTED(REFUSED_RELOAD_KEPT))
		held_generation_free(w->reload.next);
	w->reload.next = NULL;
}

/* What changes at once. */
static void reload_change(struct worker *w)
{
	struct held_generation *before = w->current, *held = w->reload.next;
	struct generation *generation = held->generation;

	upstreams_reload_change(w->upstreams);
	route_breakers_set(generation->breakers, generation->config, io_now_us(w->io));
	upstreams_secure(w->upstreams, generation->tls, w->index, w->tls_scratch);
	w->current = held;
	w->reload.next = NULL;
	w->reload.stage = WORKER_RELOAD_FOLLOWING;
	w->reload.clients_left = listeners_adopt(w, held, w->reload.listeners) ? w->stats.connections_open : 0;
	w->reload.listeners = NULL;
	worker_slabs_raise(w);
	shedding_adopt(&w->shedding, &held->config->shedding);
	exporter_adopt(w->exporter, &held->config->tracing);
	generation_leave(before);
}

/* Between this and the change nothing can fail, and no turn of the loop lies. */
static bool reload_listen(struct worker *w)
{
	char text[256];

	if (listeners_begin(w->reload.next->config, w->reload.listeners, text))
		return true;
	refusal_tell(w, text);
	upstreams_reload_cancel(w->upstreams);
	return false;
}

static void reload_make(struct worker *w)
{
	enum upstreams_progress progress = upstreams_reload_make(w->upstreams);

	if (progress == UPSTREAMS_MORE)
		return;
	if (progress == UPSTREAMS_DONE && reload_listen(w)) {
		reload_change(w);
		return;
	}
	next_discard(w);
	reload_told(w, false);
}

static void reload_follow(struct worker *w)
{
	if (listeners_leave_some(w))
		return;
	/* What is told of clients here is heard behind this slice. */
	if (w->reload.clients_left > 0) {
		clients_adopt_some(w);
		return;
	}
	if (upstreams_follow(w->upstreams))
		return;
	settle(w);
	if (!upstreams_follows(w->upstreams))
		reload_told(w, true);
}

static void bound_release(const struct worker *w, struct generation *generation)
{
	if (generation->bound != NULL)
		inherited_release(&generation->bound[w->index]);
}

/* What is to be had before anything changes. False: it is not, and there is nothing of it. */
static bool reload_prepare(struct worker *w, struct generation *generation)
{
	struct inherited *bound = generation->bound != NULL ? &generation->bound[w->index] : NULL;
	char error_text[256] = "out of memory";

	w->reload.next = generation_hold(generation, w->index);
	w->reload.listeners = w->reload.next != NULL ? listeners_make(w, generation, bound, error_text) : NULL;
	/* Those that are left are for nobody. */
	bound_release(w, generation);
	if (w->reload.next == NULL)
		return false;
	if (w->reload.listeners == NULL) {
		refusal_tell(w, error_text);
		held_generation_free(w->reload.next);
		w->reload.next = NULL;
		return false;
	}
	if (worker_secure(w, generation) && upstreams_reload_begin(w->upstreams, generation->config, generation->budgets))
		return true;
	next_discard(w);
	return false;
}

static void asked_drop(struct worker *w)
{
	generation_unref(w->reload.asked);
	w->reload.asked = NULL;
}

static void reload_settle(struct worker *w)
{
	if (upstreams_follow(w->upstreams))
		return;
	bool prepared = reload_prepare(w, w->reload.asked);

	asked_drop(w);
	if (prepared)
		w->reload.stage = WORKER_RELOAD_MAKING;
	else
		reload_told(w, false);
}

void worker_on_reload_slice(struct io_task *task)
{
	struct worker *w = container_of(task, struct worker, reload.slice);

	switch (w->reload.stage) {
	case WORKER_RELOAD_NONE:
		if (upstreams_follow(w->upstreams))
			io_defer(w->io, task);
		return;
	case WORKER_RELOAD_SETTLING: reload_settle(w); break;
	case WORKER_RELOAD_MAKING: reload_make(w); break;
	case WORKER_RELOAD_FOLLOWING: reload_follow(w); break;
	}
	if (w->reload.stage != WORKER_RELOAD_NONE)
		io_defer(w->io, task);
}

bool worker_is_reloading(const struct worker *w)
{
	return w->reload.stage != WORKER_RELOAD_NONE;
}

bool worker_reload(struct worker *w, struct generation *generation)
{
	CHECK(!worker_is_reloading(w));
	if (w->draining) {
		/* Nobody would take who connects there. */
		bound_release(w, generation);
		return true;
	}
	if (upstreams_follows(w->upstreams)) {
		w->reload.asked = generation_ref(generation);
		w->reload.stage = WORKER_RELOAD_SETTLING;
	} else if (reload_prepare(w, generation)) {
		w->reload.stage = WORKER_RELOAD_MAKING;
	} else {
		return false;
	}
	io_defer(w->io, &w->reload.slice);
	return true;
}

void worker_reload_give_up(struct worker *w)
{
	switch (w->reload.stage) {
	case WORKER_RELOAD_NONE:
	case WORKER_RELOAD_FOLLOWING: return;
	case WORKER_RELOAD_SETTLING:
		bound_release(w, w->reload.asked);
		asked_drop(w);
		break;
	case WORKER_RELOAD_MAKING:
		upstreams_reload_cancel(w->upstreams);
		next_discard(w);
		break;
	}
	reload_told(w, true);
}

void worker_reload_end(struct worker *w)
{
	worker_reload_give_up(w);
	io_defer_cancel(w->io, &w->reload.slice);
	if (worker_is_reloading(w))
		reload_told(w, true);
}
