/*
 * Where the administration listens. A reload may move it: what is new was bound before (app/opening.c) and is taken over here, then
 * what is gone is closed. Whoever has asked by that is answered; then, and if they have not asked, the connection ends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/state.h"
#include "io/listen.h"

static int on_accept(struct listener *listener)
{
	struct admin_listener *l = container_of(listener, struct admin_listener, listener);

	return admin_conn_accept(l->control, l);
}

static void listener_free(struct admin_listener *l)
{
	list_remove(&l->node);
	free(l);
}

static void on_gone(struct io_task *task)
{
	listener_free(container_of(task, struct admin_listener, task));
}

static struct admin_listener *listener_find(const struct control *control, const struct address *address)
{
	list_each_safe(&control->listeners, node, next) {
		struct admin_listener *l = container_of(node, struct admin_listener, node);

		if (address_eq(&l->address, address))
			return l;
	}
	return NULL;
}

/* 0 or a negative errno. */
static int listen_at(struct control *control, const struct address *address, struct inherited *bound)
{
	const struct io_bind_options options = {.unix_mode = CONTROL_UNIX_MODE, .inherited = bound};
	struct admin_listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->control = control;
	l->address = *address;
	l->listener.on_accept = on_accept;
	l->task.on_run = on_gone;
	int error = listener_open(&l->listener, control->io, address, CONTROL_BACKLOG, &options);

	if (error < 0)
		free(l);
	else
		list_push_back(&control->listeners, &l->node);
	return error;
}

static bool listen_first(struct control *control, struct view text, const struct address *address, char error_text[256])
{
	int error = text.n > 0 ? listen_at(control, address, control->options.inherited) : 0;

	if (error < 0)
		snprintf(error_text, 256, "cannot listen on %.*s (admin): %s", (int)text.n, text.p, strerror(-error));
	return error == 0;
}

bool control_listen(struct control *control, char error_text[256])
{
	const struct config_admin *admin = &control->config->admin;

	return !admin->enabled || (listen_first(control, admin->address_text, &admin->address, error_text) &&
					  listen_first(control, admin->unix_text, &admin->unix_address, error_text));
}

static void listener_end(struct control *control, struct admin_listener *l)
{
	list_each_safe(&control->conns, node, next) {
		struct admin_conn *c = container_of(node, struct admin_conn, node);

		if (c->listener == l)
			admin_conn_part(c);
	}
	listener_close(&l->listener);
	listen_tidy(&l->address);
	list_remove(&l->node);
	list_push_back(&control->gone, &l->node);
	io_defer(control->io, &l->task);
}

/* It is bound: it fails only for want of the system's memory, or if somebody listens there meanwhile. Then this address is not served. */
static void listen_next(
	struct control *control, const struct address *address, struct view text, struct inherited *bound)
{
	char line[ADMIN_TELL_BYTES];
	int error;

	if (!config_admin_listens_at(&control->config->admin, address) || listener_find(control, address) != NULL)
		return;
	error = listen_at(control, address, bound);
	if (error == 0)
		return;
	snprintf(line, sizeof(line), "admin: does not listen on %.*s: %s", (int)text.n, text.p, strerror(-error));
	journal_event(control->options.journal, JOURNAL_ADMIN, clock_us(CLOCK_REALTIME), LEVEL_ERROR, line);
}

void control_listen_again(struct control *control, struct inherited *bound)
{
	const struct config_admin *admin = &control->config->admin;

	listen_next(control, &admin->address, admin->address_text, bound);
	listen_next(control, &admin->unix_address, admin->unix_text, bound);
	list_each_safe(&control->listeners, node, next) {
		struct admin_listener *l = container_of(node, struct admin_listener, node);

		if (!config_admin_listens_at(admin, &l->address))
			listener_end(control, l);
	}
}

void control_listen_no_more(struct control *control)
{
	list_each_safe(&control->listeners, node, next)
		listener_close(&container_of(node, struct admin_listener, node)->listener);
}

void control_listeners_free(struct control *control)
{
	list_each_safe(&control->listeners, node, next)
		listener_free(container_of(node, struct admin_listener, node));
	list_each_safe(&control->gone, node, next)
		listener_free(container_of(node, struct admin_listener, node));
}
