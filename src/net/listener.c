/* See listener.h. The order in listener_accept_all() is the whole design: take, skip the stillborn, pause when exhausted. */
#include "net/listener.h"

#include <errno.h>

static bool is_exhaustion(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static void listener_pause(struct listener *listener)
{
	listener->paused++;
	if (io_accept_shed(listener->io, &listener->source) == 0)
		listener->shed++;
	io_timer_set(listener->io, &listener->timer, deadline_after(io_now_us(listener->io), LISTENER_PAUSE_US));
}

/* Takes up to `count_max`; what ended it: 0 the count, -EAGAIN, or an exhaustion. */
static int accept_some(struct listener *listener, int count_max)
{
	for (int i = 0; i < count_max; i++) {
		int result = listener->on_accept(listener);

		if (result == -EAGAIN || is_exhaustion(result))
			return result;
		/* Any other error belongs to the one connection (reset before it was taken): go on with the next. */
	}
	return 0;
}

static void listener_accept_all(struct listener *listener)
{
	if (listener->source.fd < 0 || io_timer_armed(&listener->timer))
		return;
	int ended = accept_some(listener, LISTENER_BATCH);

	if (ended == 0)
		io_defer(listener->io, &listener->more);
	else if (ended != -EAGAIN)
		listener_pause(listener);
}

static void listener_on_event(struct io_source *source, unsigned events)
{
	listener_accept_all(container_of(source, struct listener, source));
}

static void listener_on_timer(struct io_timer *timer)
{
	listener_accept_all(container_of(timer, struct listener, timer));
}

static void listener_on_more(struct io_task *task)
{
	listener_accept_all(container_of(task, struct listener, more));
}

int listener_bind(struct listener *listener, struct io *io, const struct address *address,
	const struct io_bind_options *options)
{
	listener->io = io;
	listener->source.fd = -1;
	listener->source.on_event = listener_on_event;
	listener->timer.on_fire = listener_on_timer;
	listener->more.on_run = listener_on_more;
	int error = io_bind(io, &listener->source, address, options);

	if (error == 0)
		listener->file = io_bound_file(io, &listener->source);
	return error;
}

int listener_ready(struct listener *listener)
{
	int error = io_listen_check(listener->io, &listener->source, &listener->file);

	return error == 0 ? io_watch(listener->io, &listener->source) : error;
}

int listener_begin(struct listener *listener, int backlog)
{
	int error = io_listen(listener->io, &listener->source, backlog);

	if (error == 0)
		listener->drops = io_accept_drops(listener->io, &listener->source);
	return error;
}

int listener_open(struct listener *listener, struct io *io, const struct address *address, int backlog,
	const struct io_bind_options *options)
{
	int error = listener_bind(listener, io, address, options);

	if (error == 0)
		error = listener_ready(listener);
	if (error == 0)
		error = listener_begin(listener, backlog);
	if (error < 0)
		io_close(io, &listener->source);
	return error;
}

bool listener_accept_waiting(struct listener *listener, int count_max)
{
	return listener->source.fd >= 0 && accept_some(listener, count_max) == 0;
}

void listener_resume(struct listener *listener)
{
	if (!io_timer_armed(&listener->timer))
		return;
	io_timer_cancel(listener->io, &listener->timer);
	io_defer(listener->io, &listener->more);
}

void listener_count_overflows(struct listener *listener)
{
	uint32_t drops = listener->source.fd >= 0 ? io_accept_drops(listener->io, &listener->source) : listener->drops;

	listener->overflows += (uint32_t)(drops - listener->drops);
	listener->drops = drops;
}

void listener_close(struct listener *listener)
{
	if (listener->io == NULL)
		return;
	io_timer_cancel(listener->io, &listener->timer);
	io_defer_cancel(listener->io, &listener->more);
	io_close(listener->io, &listener->source);
}
