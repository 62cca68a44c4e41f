/*
 * A worker's generations: the one in force, and older ones that requests still run on.
 *
 *     worker ----current----> held generation <---held--- exchanges, listeners
 *
 * Uses are counted by the worker alone, without atomic operations; for all of them it has one reference to the generation.
 *
 * A reload changes at once: which routes a new request finds, the endpoints (upstream/reload.c), the listeners' settings, for
 * connections that are open, too. A request that has begun keeps its route, its upstream's settings, and whether its client is
 * trusted: its head may have to be written a second time. A listener that the new configuration has no more goes on as it was:
 * listeners are opened and closed with the process only.
 *
 * Upstreams that are gone are kept for requests of before until none of them can ask for a connection any more, which is
 * looked at now and then.
 */
#include <stdlib.h>

#include "base/check.h"
#include "gateway/breakers.h"
#include "gateway/exchange.h"

#define SETTLE_US (100 * US_PER_MS)

/* --- holding -------------------------------------------------------------------------------------------------------- */

struct held_generation *generation_hold(struct generation *generation)
{
	struct held_generation *held = calloc(1, sizeof(*held));

	if (held == NULL)
		return NULL;
	held->generation = generation_ref(generation);
	held->config = generation->config;
	held->router = generation->router;
	held->uses = 1;
	return held;
}

void held_generation_free(struct held_generation *held)
{
	generation_unref(held->generation);
	free(held);
}

/* --- listeners ------------------------------------------------------------------------------------------------------ */

/* True: one of them has other settings. Where only addresses of host names are others, all are the very same. */
static bool listeners_adopt(struct worker *w, struct held_generation *held)
{
	bool others = false;

	for (size_t i = 0; i < w->listener_count; i++) {
		struct worker_listener *l = &w->listeners[i];
		const struct config_listener *config = config_listener_find(held->config, l->config->name);

		if (config == NULL)
			continue;
		generation_leave(l->held);
		others |= l->config != config;
		l->held = generation_enter(held);
		l->config = config;
		listener_secure(l);
	}
	return others;
}

/*
 * Who is trusted was decided when it connected: it is decided again, for requests to come. So is what a client's end means
 * that came before, and among whose connections it counts.
 */
static void clients_adopt(struct worker *w)
{
	list_each_safe(&w->clients, node, next) {
		struct client *c = container_of(node, struct client, node);

		client_retrust(c);
		client_recount_peer(c);
		if (c->exchange != NULL && c->h1.conn.peer_closed)
			io_defer(w->io, &c->exchange->more);
	}
}

void worker_slabs_raise(struct worker *w)
{
	/* Those that are closed at once keep their memory until the end of the tick: as many as are accepted in one. */
	size_t clients = CLIENT_SPARE + w->listener_count * LISTENER_BATCH;

	for (size_t i = 0; i < w->listener_count; i++)
		clients += w->listeners[i].config->limits.connections;
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

		if (ex->held != w->current && may_still_lease(ex)) {
			io_timer_set(w->io, &w->settle_timer, deadline_after(io_now_us(w->io), SETTLE_US));
			return;
		}
	}
	upstreams_settle(w->upstreams);
}

void worker_on_settle(struct io_timer *timer)
{
	settle(container_of(timer, struct worker, settle_timer));
}

/* --- the reload ----------------------------------------------------------------------------------------------------- */

bool worker_reload(struct worker *w, struct generation *generation)
{
	struct held_generation *before = w->current, *held;

	if (w->draining)
		return true;
	held = generation_hold(generation);
	if (held == NULL)
		return false;
	if (!worker_secure(w, generation) ||
		!upstreams_reload(w->upstreams, generation->config, generation->budgets)) {
		held_generation_free(held);
		return false;
	}
	route_breakers_set(generation->breakers, generation->config, io_now_us(w->io));
	upstreams_secure(w->upstreams, generation->tls, w->index, w->tls_scratch);
	w->current = held;
	/* Looking at every client takes long where there are many. */
	if (listeners_adopt(w, held))
		clients_adopt(w);
	worker_slabs_raise(w);
	shedding_adopt(&w->shedding, &held->config->shedding);
	generation_leave(before);
	settle(w);
	return true;
}
