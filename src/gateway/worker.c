/*
 * A worker: listeners in front, upstreams behind, and the clients and exchanges between them.
 *
 * Its end is a sequence, each step waiting for the one before:
 *
 *     drain: listeners close -> idle clients close -> running exchanges end (or are ended at the deadline)
 *            -> the last client is gone -> pools close -> the last upstream connection is gone -> on_drained
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/planted.h"
#include "config/config.h"
#include "gateway/breakers.h"
#include "gateway/exchange.h"
#include "gateway/listener_books.h"
#include "http/date.h"

/* What the configuration allows for heads fits the scratch. */
_Static_assert(CONFIG_HEADER_COUNT_MAX <= H1_SCRATCH_FIELDS, "as many fields as a head may have");
_Static_assert(CONFIG_HEADER_BYTES_MAX + 32 * KIB <= H1_SCRATCH_OUT_BYTES / 2, "a head, and what is added to it");

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static void on_upstreams_closed(void *context)
{
	struct worker *w = context;

	w->drained = true;
	io_timer_cancel(w->io, &w->drain_timer);
	io_timer_cancel(w->io, &w->settle_timer);
	io_timer_cancel(w->io, &w->overdue_timer);
	w->observer.on_drained(w->observer.context);
}

static void drain_check(struct worker *w);

static void on_spans_sent(void *context)
{
	drain_check(context);
}

static void drain_check(struct worker *w)
{
	if (!w->draining || w->closing_upstreams || !list_empty(&w->clients) || w->client_slab.count_live > 0)
		return;
	/* What was told of the last requests is still to go out, within the same time. */
	if (!exporter_is_idle(w->exporter)) {
		exporter_flush(w->exporter, on_spans_sent, w);
		return;
	}
	exporter_stop(w->exporter);
	w->closing_upstreams = true;
	worker_reload_end(w);
	upstreams_close(w->upstreams, on_upstreams_closed, w);
}

void worker_client_closed(struct worker *w, struct worker_listener *listener)
{
	listener_client_gone(listener);
	if (w->draining)
		drain_check(w);
	else
		listener_resume(&listener->listener);
}

/* Nothing is waited for any more. */
static void end_all(struct worker *w)
{
	list_each_safe(&w->exchanges, node, next)
		exchange_finish(container_of(node, struct exchange, node), CAUSE_DRAINING, NULL);
	list_each_safe(&w->clients, node, next) {
		struct client *c = container_of(node, struct client, node);

		if (c->state == CLIENT_SESSION)
			client_session_say_last(c);
		client_close(c);
	}
}

static void on_drain_deadline(struct io_timer *timer)
{
	struct worker *w = container_of(timer, struct worker, drain_timer);

	end_all(w);
	exporter_stop(w->exporter);
	drain_check(w);
}

static void stop_accepting(struct worker *w)
{
	w->draining = true;
	worker_reload_give_up(w);
	shedding_end(&w->shedding);
	listeners_close(w);
}

void worker_drain(struct worker *w, uint64_t deadline_us, uint64_t idle_us)
{
	if (w->drained)
		return;
	if (!w->draining)
		listeners_accept_waiting(w);
	stop_accepting(w);
	w->drain_idle_us = idle_us;
	list_each_safe(&w->clients, node, next)
		client_drain(container_of(node, struct client, node));
	io_timer_set(w->io, &w->drain_timer, deadline_us);
	drain_check(w);
}

void worker_stop(struct worker *w)
{
	if (w->drained)
		return;
	stop_accepting(w);
	end_all(w);
	exporter_stop(w->exporter);
	drain_check(w);
}

/* --- creation ------------------------------------------------------------------------------------------------------------- */

bool worker_secure(struct worker *w, const struct generation *generation)
{
	if (generation->tls != NULL && w->tls_scratch == NULL)
		w->tls_scratch = tls_scratch_create();
	return generation->tls == NULL || w->tls_scratch != NULL;
}

static bool open_listeners(struct worker *w, char error_text[256])
{
	struct worker_listener **made = listeners_make(w, w->current->generation, w->shared->inherited, error_text);

	if (made == NULL)
		return false;
	if (!listeners_begin(w->current->config, made, error_text)) {
		listeners_discard(w, made, w->current->config->listener_count);
		return false;
	}
	listeners_adopt(w, w->current, made);
	return true;
}

struct worker *worker_create(struct io *io, struct shared *shared, struct generation *generation, unsigned index,
	const struct worker_observer *observer, char error_text[256])
{
	struct worker *w = line_calloc(sizeof(*w));

	snprintf(error_text, 256, "out of memory");
	if (w == NULL)
		return NULL;
	w->io = io;
	w->shared = shared;
	w->index = index;
	w->observer = *observer;
	w->drain_timer.on_fire = on_drain_deadline;
	w->settle_timer.on_fire = worker_on_settle;
	w->overdue_timer.on_fire = worker_on_overdue_told;
	w->reload.slice.on_run = worker_on_reload_slice;
	shedding_init(&w->shedding, w);
	forward_init(w);
	list_init(&w->clients);
	list_init(&w->exchanges);
	list_init(&w->leaving);
	slab_init(&w->client_slab, sizeof(struct client), 0);
	slab_init(&w->exchange_slab, sizeof(struct exchange), 0);
	slab_init(&w->stream_slab, client_stream_bytes(), STREAMS_MAX);
	w->current = generation_hold(generation, index);
	w->scratch = h1_scratch_create();
	w->h2_scratch = h2_scratch_create();
	w->kept_bytes_max = KEPT_ALL_MAX;
	if (w->current == NULL || w->scratch == NULL || w->h2_scratch == NULL ||
		!worker_secure(w, generation))
		goto fail;
	w->upstreams = upstreams_create(io, w->scratch, generation->config, generation->budgets);
	if (w->upstreams == NULL)
		goto fail;
	w->exporter = exporter_create(io, w->upstreams, &w->stats.trace);
	if (w->exporter == NULL)
		goto fail;
	route_breakers_set(generation->breakers, generation->config, io_now_us(io));
	upstreams_speak_h2(w->upstreams, w->h2_scratch, shared->workers);
	upstreams_secure(w->upstreams, generation->tls, index, w->tls_scratch);
	upstreams_observe(w->upstreams, w->observer.on_event, w->observer.context);
	if (index == 0)
		upstreams_probe(w->upstreams);
	if (!open_listeners(w, error_text))
		goto fail;
	worker_slabs_raise(w);
	shedding_adopt(&w->shedding, &w->current->config->shedding);
	exporter_adopt(w->exporter, &w->current->config->tracing);
	return w;
fail:
	stop_accepting(w);
	w->drained = true;
	worker_free(w);
	return NULL;
}

static void generations_leave(struct worker *w)
{
	listeners_free(w);
	if (w->current == NULL)
		return;
	/* Nothing runs on it any more. */
	CHECK(w->current->uses == 1);
	generation_leave(w->current);
}

void worker_free(struct worker *w)
{
	CHECK(w->drained && list_empty(&w->clients) && list_empty(&w->exchanges));
	CHECK(w->stats.exchanges_started == w->stats.exchanges_finished);
	exporter_free(w->exporter);
	upstreams_free(w->upstreams);
	generations_leave(w);
	slab_release(&w->client_slab);
	slab_release(&w->exchange_slab);
	slab_release(&w->stream_slab);
	h1_scratch_free(w->scratch);
	h2_scratch_free(w->h2_scratch);
	tls_scratch_free(w->tls_scratch);
	free(w->pauses);
	free(w);
}

/* --- looking in ------------------------------------------------------------------------------------------------------------- */

/* Once a second. */
__attribute__((noinline)) static void date_line_write(struct worker *w, uint64_t now_s)
{
	struct h1_writer line = {.p = w->date_line, .end = w->date_line + sizeof(w->date_line)};
	char date[HTTP_DATE_BYTES];

	h1_put_field(&line, VIEW("Date"), http_date(date, now_s));
	CHECK(line.p == w->date_line + WORKER_DATE_LINE_BYTES);
	w->date_s = now_s;
}

struct view worker_date_line(struct worker *w)
{
	uint64_t now_s = io_wall_us(w->io) / US_PER_S;

	if (now_s != w->date_s && (now_s > w->date_s || !PLANTED(DATE_NEVER_GOES_BACK)))
		date_line_write(w, now_s);
	return view_of(w->date_line, WORKER_DATE_LINE_BYTES);
}

const struct time_book *worker_route_times(const struct worker *w, size_t i)
{
	return &w->current->books[i]->book;
}

const struct time_exemplars *worker_route_exemplars(const struct worker *w, size_t i)
{
	return &w->current->books[i]->exemplars;
}

const struct io_loop_stats *worker_loop_stats(const struct worker *w)
{
	return io_loop_stats(w->io);
}

static void stats_add_listener(struct worker *w, struct worker_listener *l)
{
	listener_count_overflows(&l->listener);
	w->stats.accept_paused += l->listener.paused;
	w->stats.connections_shed += l->listener.shed;
	w->stats.accept_overflows += l->listener.overflows;
}

const struct worker_stats *worker_stats(struct worker *w)
{
	w->stats.accept_paused = w->of_gone.paused;
	w->stats.connections_shed = w->of_gone.shed;
	w->stats.accept_overflows = w->of_gone.overflows;
	for (size_t i = 0; i < w->listener_count; i++)
		stats_add_listener(w, w->listeners[i]);
	list_each_safe(&w->leaving, node, next)
		stats_add_listener(w, container_of(node, struct worker_listener, node));
	return &w->stats;
}

struct generation *worker_generation(const struct worker *w)
{
	return w->current->generation;
}

struct listener_stats worker_listener_stats(const struct worker *w, size_t i)
{
	const struct listener_book *book = i < w->listener_count ? w->listeners[i]->book : NULL;

	if (book == NULL)
		return (struct listener_stats){0};
	return (struct listener_stats){
		.connections = atomic_load_explicit(&book->connections, memory_order_relaxed),
		.accepted = atomic_load_explicit(&book->accepted, memory_order_relaxed),
		.refused = atomic_load_explicit(&book->refused, memory_order_relaxed),
		.capped = atomic_load_explicit(&book->capped, memory_order_relaxed),
		.handshakes_refused = atomic_load_explicit(&book->handshakes_refused, memory_order_relaxed),
	};
}

const struct upstreams *worker_upstreams(const struct worker *w)
{
	return w->upstreams;
}

void worker_listener_address(const struct worker *w, size_t i, struct address *address)
{
	const struct worker_listener *l = w->listeners[i];

	if (l->listener.source.fd < 0 || io_local_address(w->io, &l->listener.source, address) < 0)
		*address = l->config->address;
}

static bool is_alive(const struct worker *w, const struct exchange *ex)
{
	list_each_safe(&w->exchanges, node, next) {
		if (node == &ex->node)
			return true;
	}
	return false;
}

/* Its state says whether it has an exchange, or a session. What it had before it may still point at. */
static bool client_agrees(const struct worker *w, const struct client *c)
{
	if (c->state == CLIENT_EXCHANGE)
		return c->exchange != NULL && is_alive(w, c->exchange);
	return c->state != CLIENT_SESSION || c->session != NULL;
}

const char *worker_audit(const struct worker *w)
{
	size_t clients = 0, exchanges = 0, kept_bytes = 0;

	list_each_safe(&w->exchanges, node, next) {
		exchanges++;
		kept_bytes += buf_cap(&container_of(node, struct exchange, node)->kept);
	}
	list_each_safe(&w->clients, node, next) {
		const struct client *c = container_of(node, struct client, node);

		clients++;
		if (!client_agrees(w, c))
			return "a client's state and its exchange contradict each other";
		const char *wrong = c->state == CLIENT_SESSION ? client_session_audit(c) : NULL;
		if (wrong != NULL)
			return wrong;
	}
	if (clients != w->stats.connections_open)
		return "connections_open is not the number of clients";
	if (w->stats.exchanges_started - w->stats.exchanges_finished != exchanges)
		return "exchanges started less finished is not the number of live exchanges";
	if (kept_bytes != w->kept_bytes)
		return "kept_bytes is not what the exchanges have kept";
	return upstreams_audit(w->upstreams);
}
