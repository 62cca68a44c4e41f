/*
 * See control.h. The thread's beginning and end. Its end, like a worker's, waits for the connections' memory, which the loop may point at
 * until the end of the tick in which they were closed:
 *
 *     stop -> listener closed, connections closed -> their memory is free -> io_stop
 */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "config/config.h"
#include "control/process_stats.h"
#include "control/live.h"
#include "control/state.h"
#include "io/inherited.h"

/* --- what is set ---------------------------------------------------------------------------------------------------- */

bool control_setting_begin(struct admin_conn *c)
{
	pthread_mutex_lock(&c->control->setting);
	if (!c->control->settings_held)
		return true;
	pthread_mutex_unlock(&c->control->setting);
	admin_fail(c, 409, "not_set", CONTROL_SETTINGS_HELD);
	return false;
}

void control_setting_end(struct admin_conn *c)
{
	pthread_mutex_unlock(&c->control->setting);
}

static void settings_hold(struct control *control, bool held)
{
	pthread_mutex_lock(&control->setting);
	control->settings_held = held;
	pthread_mutex_unlock(&control->setting);
}

void control_hold_settings(struct control *control)
{
	settings_hold(control, true);
}

void control_resume_settings(struct control *control)
{
	settings_hold(control, false);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

#define GRACE_US (200 * US_PER_MS)

static void end(struct control *control)
{
	io_timer_cancel(control->io, &control->grace);
	survey_close(&control->survey);
	io_stop(control->io);
}

void control_conn_gone(struct control *control)
{
	list_each_safe(&control->listeners, node, next)
		if (!control->stopping)
			listener_resume(&container_of(node, struct admin_listener, node)->listener);
	if (control->stopping && control->slab.count_live == 0)
		end(control);
}

/* Who is connected still is answered once more: it may have come to us while another process took over, and is to ask that. */
static void on_hand_over(struct io_message *message)
{
	struct control *control = container_of(message, struct control, hand_over);

	control->handed_over = true;
	control_listen_no_more(control);
	list_each_safe(&control->conns, node, next)
		admin_conn_answer_last(container_of(node, struct admin_conn, node));
}

static void on_grace_over(struct io_timer *timer)
{
	struct control *control = container_of(timer, struct control, grace);

	list_each_safe(&control->conns, node, next)
		admin_conn_close(container_of(node, struct admin_conn, node));
}

/* Who has asked by now, or has just connected, is answered still: it may have come to us while another process took over. */
static void on_stop(struct io_message *message)
{
	struct control *control = container_of(message, struct control, stop);

	control->stopping = true;
	control_listen_no_more(control);
	list_each_safe(&control->conns, node, next)
		admin_conn_finish(container_of(node, struct admin_conn, node));
	window_close(&control->window);
	io_timer_set(control->io, &control->grace, deadline_after(io_now_us(control->io), GRACE_US));
	if (control->slab.count_live == 0)
		end(control);
}

/* --- another configuration ---------------------------------------------------------------------------------------- */

struct control_change {
	struct io_message message;
	struct control *control;
	const struct config *config;
	struct inherited bound;
};

/* Who comes by an address has not the last of the spare ones. */
static size_t conns_max(const struct config *config)
{
	return config->admin.connections + ADMIN_CONNS_UNIX + 2 * ADMIN_CONNS_SPARE;
}

/* Who has said a token that is none any more, or was not asked for one, is told no more. */
static void revoke(struct control *control, const struct config *before)
{
	if (view_eq(control->config->admin.token, before->admin.token))
		return;
	list_each_safe(&control->conns, node, next) {
		struct admin_conn *c = container_of(node, struct admin_conn, node);

		if (!c->by_unix)
			admin_conn_revoke(c);
	}
}

static void on_change(struct io_message *message)
{
	struct control_change *change = container_of(message, struct control_change, message);
	struct control *control = change->control;
	const struct config *before = control->config;

	control->config = change->config;
	change->config = before;
	if (!control->stopping) {
		slab_raise(&control->slab, conns_max(control->config));
		control_listen_again(control, &change->bound);
		revoke(control, before);
		if (control->config->admin.enabled && !before->admin.enabled)
			window_begin(&control->window);
		else if (!control->config->admin.enabled)
			window_close(&control->window);
	}
	control_change_free(change);
	atomic_store(&control->changing, false);
	control->options.on_order();
}

struct control_change *control_change_create(void)
{
	return calloc(1, sizeof(struct control_change));
}

int control_change_bind(struct control_change *change, const struct address *address)
{
	const struct io_bind_options options = {.unix_mode = CONTROL_UNIX_MODE};

	return inherited_bind(&change->bound, address, &options);
}

void control_change_free(struct control_change *change)
{
	if (change == NULL)
		return;
	inherited_unbind(&change->bound);
	config_free(change->config);
	free(change);
}

void control_adopt(struct control *control, struct control_change *change, const struct config *config)
{
	change->control = control;
	change->config = config_ref(config);
	change->message.on_receive = on_change;
	atomic_store(&control->changing, true);
	io_post(control->io, &change->message);
}

bool control_is_changing(const struct control *control)
{
	return atomic_load(&control->changing);
}

/* --- on the main thread ------------------------------------------------------------------------------------------- */

static void control_release(struct control *control)
{
	control_listeners_free(control);
	slab_release(&control->slab);
	live_free(control->live);
	window_release(&control->window);
	survey_release(&control->survey);
	orders_release(&control->orders);
	reloads_release(&control->reloads);
	pthread_mutex_destroy(&control->setting);
	h1_scratch_free(control->scratch);
	snapshot_free(control->sum);
	if (control->io != NULL)
		io_free(control->io);
	config_free(control->config);
	free(control);
}

struct control *control_create(const struct control_options *options, char error_text[256])
{
	struct control *control = calloc(1, sizeof(*control));

	snprintf(error_text, 256, "out of memory");
	if (control == NULL)
		return NULL;
	control->options = *options;
	control->config = config_ref(options->config);
	control->start_us = process_start_us();
	control->hand_over.on_receive = on_hand_over;
	control->grace.on_fire = on_grace_over;
	control->stop.on_receive = on_stop;
	CHECK(pthread_mutex_init(&control->setting, NULL) == 0);
	list_init(&control->conns);
	list_init(&control->listeners);
	list_init(&control->gone);
	slab_init(&control->slab, sizeof(struct admin_conn), conns_max(options->config));
	control->scratch = h1_scratch_create();
	control->sum = snapshot_create(options->config);
	control->io = io_create();
	orders_init(&control->orders, control->io, options->on_order);
	reloads_init(&control->reloads, control->start_us);
	if (control->io == NULL) {
		snprintf(error_text, 256, "the loop of the administration cannot be created: %s", strerror(errno));
		goto failed;
	}
	if (!survey_init(&control->survey, control->io, options->config, options->workers) ||
		!window_init(&control->window, &control->survey, options->config))
		goto failed;
	control->live = live_create(control);
	if (control->live != NULL && control->scratch != NULL && control->sum != NULL && control_listen(control, error_text))
		return control;
failed:
	control_listen_no_more(control);
	control_release(control);
	return NULL;
}

void control_attach(struct control *control, unsigned index, struct io *io, struct worker *worker)
{
	survey_attach(&control->survey, index, io, worker);
}

static void *control_run(void *argument)
{
	struct control *control = argument;

	io_run(control->io);
	return NULL;
}

bool control_start(struct control *control, char error_text[256])
{
	if (control->config->admin.enabled)
		window_begin(&control->window);

	int error = pthread_create(&control->thread, NULL, control_run, control);

	if (error != 0)
		snprintf(error_text, 256, "the thread of the administration cannot be started: %s", strerror(error));
	control->started = error == 0;
	return control->started;
}

bool control_address(const struct control *control, unsigned i, struct address *address)
{
	list_each_safe(&control->listeners, node, next) {
		const struct admin_listener *l = container_of(node, struct admin_listener, node);

		if (i-- > 0)
			continue;
		if (io_local_address(control->io, &l->listener.source, address) < 0)
			*address = l->address;
		return true;
	}
	return false;
}

struct control_order *control_next_order(struct control *control)
{
	return orders_next(&control->orders);
}

void control_hand_over(struct control *control)
{
	io_post(control->io, &control->hand_over);
}

void control_reloaded(struct control *control, enum reload_outcome outcome, uint64_t at_us, const char *receipt)
{
	reloads_add(&control->reloads, outcome, at_us, receipt);
}

void control_drain(struct control *control)
{
	atomic_store(&control->draining, true);
}

void control_worker_ended(struct control *control, unsigned index)
{
	survey_farewell(&control->survey, index);
}

void control_free(struct control *control)
{
	io_post(control->io, &control->stop);
	if (control->started)
		pthread_join(control->thread, NULL);
	else
		io_run(control->io);
	control_release(control);
}
