/*
 * A worker's listeners, and what a reload makes of them. A listener is its address: one that stays keeps its socket, whatever else is
 * said of it.
 *
 *     listeners_make --> MADE --listeners_begin, the change--> OPEN --a reload without it--> LEAVING --its last client is gone--> GONE
 *                          `--no change, after all--> GONE
 *
 * A new one is bound first of all, and listens when nothing else can fail any more: until then nobody can connect, so nobody is
 * lost when the reload is refused, or given up. Of several each is looked at before the first listens. What is left is a stranger who
 * begins to listen between the look and the last one's own beginning, microseconds later: who has connected to the first in these
 * is reset.
 * One that leaves takes whoever has connected to it by then, some in each slice; then its socket is closed. Its clients have its
 * settings to their end: it holds the generation that these are of.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/planted.h"
#include "gateway/listener_books.h"
#include "gateway/state.h"
#include "io/inherited.h"

/* --- taking ----------------------------------------------------------------------------------------------------------- */

/* Out of descriptors, connections to upstreams that nobody uses make way for who has come. */
static int on_accept(struct listener *listener)
{
	struct worker_listener *l = container_of(listener, struct worker_listener, listener);
	int result = client_accept(l);

	if (result != -EMFILE && result != -ENFILE)
		return result;
	if (!io_is_waited_for(&listener->source))
		return -EAGAIN;
	if (upstreams_spare_files(l->worker->upstreams) > 0)
		result = client_accept(l);
	return result;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

static void listener_release(struct worker_listener *l)
{
	struct worker *w = l->worker;

	w->of_gone.paused += l->listener.paused;
	w->of_gone.shed += l->listener.shed;
	w->of_gone.overflows += l->listener.overflows;
	list_remove(&l->node);
	if (l->held != NULL)
		generation_leave(l->held);
	free(l);
}

static void on_gone(struct io_task *task)
{
	listener_release(container_of(task, struct worker_listener, task));
}

/* The loop may still point at it, until the end of the tick. */
static void listener_go(struct worker_listener *l)
{
	l->state = LISTENER_GONE;
	l->task.on_run = on_gone;
	io_defer(l->worker->io, &l->task);
}

static void listener_end(struct worker_listener *l)
{
	listener_count_overflows(&l->listener);
	listener_close(&l->listener);
	if (l->clients == 0)
		listener_go(l);
}

void listener_client_gone(struct worker_listener *l)
{
	l->clients--;
	if (l->state == LISTENER_LEAVING && l->clients == 0 && l->listener.source.fd < 0 && !PLANTED(LISTENER_KEPT))
		listener_go(l);
}

bool listeners_leave_some(struct worker *w)
{
	list_each_safe(&w->leaving, node, next) {
		struct worker_listener *l = container_of(node, struct worker_listener, node);

		if (l->state != LISTENER_LEAVING || l->listener.source.fd < 0)
			continue;
		unsigned batch = l->waiting_left < LISTENER_BATCH ? l->waiting_left : LISTENER_BATCH;

		l->waiting_left -= batch;
		if (batch == 0 || !listener_accept_waiting(&l->listener, (int)batch))
			listener_end(l);
		return true;
	}
	return false;
}

void listeners_accept_waiting(struct worker *w)
{
	for (size_t i = 0; i < w->listener_count; i++)
		listener_accept_waiting(&w->listeners[i]->listener, CONFIG_BACKLOG);
	list_each_safe(&w->leaving, node, next)
		listener_accept_waiting(&container_of(node, struct worker_listener, node)->listener, CONFIG_BACKLOG);
}

void listeners_close(struct worker *w)
{
	for (size_t i = 0; i < w->listener_count; i++)
		listener_close(&w->listeners[i]->listener);
	list_each_safe(&w->leaving, node, next) {
		struct worker_listener *l = container_of(node, struct worker_listener, node);

		if (l->state == LISTENER_LEAVING && l->listener.source.fd >= 0)
			listener_end(l);
	}
}

void listeners_free(struct worker *w)
{
	for (size_t i = 0; i < w->listener_count; i++)
		list_push_back(&w->leaving, &w->listeners[i]->node);
	list_each_safe(&w->leaving, node, next) {
		struct worker_listener *l = container_of(node, struct worker_listener, node);

		io_defer_cancel(w->io, &l->task);
		listener_release(l);
	}
	free(w->listeners);
}

/* --- another generation ------------------------------------------------------------------------------------------------ */

static struct worker_listener *listener_find(const struct worker *w, const struct address *address)
{
	for (size_t i = 0; i < w->listener_count; i++)
		if (address_eq(&w->listeners[i]->config->address, address))
			return w->listeners[i];
	return NULL;
}

/* A unix socket's path can be bound once only: the first worker serves it alone. */
static bool is_another_workers(const struct config_listener *config, unsigned index)
{
	return index > 0 && config->address.u.any.sa_family == AF_UNIX;
}

static int listener_make(struct worker *w, const struct config_listener *config, struct inherited *bound,
	struct worker_listener **made)
{
	const struct io_bind_options options = {.reuse_port = true, .inherited = bound};
	struct worker_listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->worker = w;
	l->listener.on_accept = on_accept;
	l->listener.source.fd = -1;
	int error = is_another_workers(config, w->index) ? 0 : listener_bind(&l->listener, w->io, &config->address, &options);

	if (error == 0 && PLANTED(LISTENS_EARLY))
		error = io_listen(w->io, &l->listener.source, CONFIG_BACKLOG);
	if (error < 0)
		free(l);
	else
		*made = l;
	return error;
}

static void tell_error(char error_text[256], const struct config_listener *listener, int error)
{
	snprintf(error_text, 256, "cannot listen on %.*s (listener %.*s): %s", (int)listener->address_text.n,
		listener->address_text.p, (int)listener->name.n, listener->name.p, strerror(-error));
}

struct worker_listener **listeners_make(struct worker *w, const struct generation *generation, struct inherited *bound, char error_text[256])
{
	const struct config *config = generation->config;
	struct worker_listener **made = calloc(config->listener_count, sizeof(struct worker_listener *));

	for (size_t i = 0; made != NULL && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		int error = 0;

		made[i] = listener_find(w, &listener->address);
		if (made[i] == NULL)
			error = listener_make(w, listener, bound, &made[i]);
		if (error == 0)
			continue;
		tell_error(error_text, listener, error);
		listeners_discard(w, made, i);
		return NULL;
	}
	return made;
}

static int begin(struct listener *listener)
{
	return listener_begin(listener, CONFIG_BACKLOG);
}

static bool each_new(const struct config *config, struct worker_listener *const *made, int (*step)(struct listener *listener),
	char error_text[256])
{
	for (size_t i = 0; i < config->listener_count; i++) {
		struct worker_listener *l = made[i];
		bool is_new = l->state == LISTENER_MADE && l->listener.source.fd >= 0;
		int error = is_new ? step(&l->listener) : 0;

		if (error == 0)
			continue;
		tell_error(error_text, &config->listeners[i], error);
		return false;
	}
	return true;
}

bool listeners_begin(const struct config *config, struct worker_listener *const *made, char error_text[256])
{
	return each_new(config, made, listener_ready, error_text) && each_new(config, made, begin, error_text);
}

void listeners_discard(struct worker *w, struct worker_listener **made, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (made[i]->state != LISTENER_MADE || PLANTED(REFUSED_LISTENER_KEPT))
			continue;
		list_push_back(&w->leaving, &made[i]->node);
		listener_end(made[i]);
	}
	free(made);
}

void listener_secure(struct worker_listener *l)
{
	const struct tls_set *set = l->held->generation->tls;
	size_t i = (size_t)(l->config - l->held->config->listeners);

	l->tls = set != NULL ? tls_set_server(set, l->worker->index, i) : NULL;
}

/* True: it has other settings. Where only addresses of host names are others, all are the very same. */
static bool listener_adopt(struct worker_listener *l, struct held_generation *held, size_t i)
{
	const struct config_listener *config = &held->config->listeners[i];
	bool others = l->config != config && l->state == LISTENER_OPEN;

	if (l->held != NULL)
		generation_leave(l->held);
	l->held = generation_enter(held);
	l->config = config;
	l->head_limits = (struct h1_limits){.head_bytes_max = config->limits.header_bytes,
		.field_count_max = config->limits.header_count, .target_bytes_max = config->limits.target_bytes};
	l->book = held->generation->listeners[i];
	listener_secure(l);
	l->state = LISTENER_OPEN;
	return others;
}

/* Those that are not in the next generation: `held` is theirs still. */
static bool listeners_part(struct worker *w, const struct held_generation *held)
{
	bool some = false;

	for (size_t i = 0; i < w->listener_count; i++) {
		struct worker_listener *l = w->listeners[i];

		if (l->held == held)
			continue;
		l->state = LISTENER_LEAVING;
		l->waiting_left = CONFIG_BACKLOG;
		list_push_back(&w->leaving, &l->node);
		if (l->listener.source.fd < 0 && l->clients == 0)
			listener_go(l);
		some = true;
	}
	return some;
}

bool listeners_adopt(struct worker *w, struct held_generation *held, struct worker_listener **made)
{
	bool look = false;

	for (size_t i = 0; i < held->config->listener_count; i++)
		look |= listener_adopt(made[i], held, i);
	look |= listeners_part(w, held);
	free(w->listeners);
	w->listeners = made;
	w->listener_count = held->config->listener_count;
	return look;
}
