/*
 * See origin.h. The beginning and the end of an origin, and the capacity model's timer. The end waits for the
 * connections' memory, which the loop may still point at until the end of the tick in which they were closed:
 *
 *     origin_close -> listener closed, conns closed -> their memory is free -> on_closed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/origin_state.h"
#include "base/check.h"

enum { LISTEN_BACKLOG = 4096, CONNECTIONS_MAX = 100000 };

static int on_accept(struct listener *listener)
{
	return origin_conn_accept(container_of(listener, struct origin, listener));
}

static void on_served(struct io_timer *timer)
{
	struct origin *origin = container_of(timer, struct origin, capacity_timer);
	struct capacity_job *job;

	while ((job = capacity_take_ended(&origin->capacity, io_now_us(origin->io))) != NULL) {
		struct origin_conn *c = container_of(job, struct origin_conn, job);

		origin_conn_delay(c);
		origin_conn_run(c);
	}
	io_timer_set(origin->io, timer, capacity_next_us(&origin->capacity));
}

static unsigned sum(const unsigned *percent)
{
	unsigned all = 0;

	for (int i = 0; i < ORIGIN_FAULT_COUNT; i++)
		all += percent[i];
	return all;
}

struct origin *origin_create(struct io *io, const struct origin_options *options, char error_text[256])
{
	const struct io_bind_options listen = {.reuse_port = options->address_shared};
	struct origin *origin = calloc(1, sizeof(*origin));
	char text[ADDRESS_TEXT_MAX];

	snprintf(error_text, 256, "out of memory");
	if (origin == NULL)
		return NULL;
	origin->scratch = h1_scratch_create();
	if (origin->scratch == NULL)
		goto failed;
	origin->io = io;
	origin->options = *options;
	origin->fault_percent = sum(options->fault_percent);
	origin->listener.on_accept = on_accept;
	origin->capacity_timer.on_fire = on_served;
	list_init(&origin->conns);
	slab_init(&origin->slab, sizeof(struct origin_conn), CONNECTIONS_MAX);
	capacity_init(&origin->capacity, &options->capacity, io_now_us(io));
	origin_answer_init(origin);
	int error = listener_open(&origin->listener, io, &options->address, LISTEN_BACKLOG, &listen);

	if (error == 0)
		return origin;
	address_format(&options->address, text);
	snprintf(error_text, 256, "cannot listen on %s: %s", text, strerror(-error));
failed:
	h1_scratch_free(origin->scratch);
	free(origin);
	return NULL;
}

static void on_nothing_left(struct io_task *task)
{
	struct origin *origin = container_of(task, struct origin, closed_task);

	origin->on_closed(origin->closed_context);
}

void origin_conn_gone(struct origin *origin)
{
	if (origin->on_closed == NULL)
		listener_resume(&origin->listener);
	else if (origin->slab.count_live == 0)
		io_defer(origin->io, &origin->closed_task);
}

void origin_close(struct origin *origin, void (*on_closed)(void *context), void *context)
{
	origin->on_closed = on_closed;
	origin->closed_context = context;
	origin->closed_task.on_run = on_nothing_left;
	listener_close(&origin->listener);
	list_each_safe(&origin->conns, node, next)
		origin_conn_close(container_of(node, struct origin_conn, node));
	io_timer_cancel(origin->io, &origin->capacity_timer);
	if (origin->slab.count_live == 0)
		io_defer(origin->io, &origin->closed_task);
}

void origin_free(struct origin *origin)
{
	CHECK(list_empty(&origin->conns));
	slab_release(&origin->slab);
	h1_scratch_free(origin->scratch);
	free(origin);
}

void origin_address(const struct origin *origin, struct address *address)
{
	if (io_local_address(origin->io, &origin->listener.source, address) < 0)
		*address = origin->options.address;
}

const struct origin_stats *origin_stats(const struct origin *origin)
{
	return &origin->stats;
}
