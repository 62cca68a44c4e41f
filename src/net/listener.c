/* See listener.h. The order in listener_on_event() is the whole design: take, skip the stillborn, pause when it is no use. */
#include "net/listener.h"

#include <errno.h>

/* Out of descriptors, of memory, or of what a loop may watch. */
static bool is_exhaustion(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM || error == -ENOSPC;
}

/*
 * It was the one connection's, which is gone with it: reset before it was taken, or its network has failed (accept(2)). Only of these another
 * one is asked for at once. What else may be said comes from rules of access or of the socket itself, before anybody is taken, and would be
 * said again for ever.
 */
static bool is_of_one(int error)
{
	switch (error) {
	case -ECONNABORTED:
	case -ECONNRESET:
	case -EHOSTDOWN:
	case -EHOSTUNREACH:
	case -EINTR:
	case -ENETDOWN:
	case -ENETUNREACH:
	case -ENONET:
	case -ENOPROTOOPT:
	case -EPROTO:
	case -ETIMEDOUT: return true;
	default: return false;
	}
}

static void pause_arm(struct listener *listener)
{
	io_timer_set(listener->io, &listener->timer, deadline_after(io_now_us(listener->io), LISTENER_PAUSE_US));
}

static void listener_pause(struct listener *listener, int error)
{
	listener->paused++;
	if (is_exhaustion(error) && io_accept_shed(listener->io, &listener->source) == 0)
		listener->shed++;
	io_unwatch(listener->io, &listener->source);
	pause_arm(listener);
}

static void listener_watch_again(struct listener *listener)
{
	if (io_watch(listener->io, &listener->source) != 0)
		pause_arm(listener);
}

/* Takes up to `count_max`, and counts them; what ended it: 0 the count, -EAGAIN, or why it is no use at present. */
static int accept_some(struct listener *listener, int count_max, int *count)
{
	for (*count = 0; *count < count_max; ++*count) {
		int result = listener->on_accept(listener);

		if (result < 0 && !is_of_one(result))
			return result;
	}
	return 0;
}

/* As many were there as were taken; there may have been more. */
static void note_full(struct listener *listener)
{
	if (++listener->full < LISTENER_TRIED_AFTER)
		return;
	listener->full = 0;
	if (listener->at_once < LISTENER_BATCH)
		listener->at_once *= 2;
	if (listener->at_once > LISTENER_BATCH)
		listener->at_once = LISTENER_BATCH;
}

/* None is left; or no descriptor is, which is said whether anybody waits or not: if so, that is told in the next tick. */
static void note_drained(struct listener *listener, int count)
{
	listener->full = 0;
	listener->at_once = (uint8_t)(count > 0 ? count : 1);
}

static void listener_on_event(struct io_source *source, unsigned events)
{
	struct listener *listener = container_of(source, struct listener, source);
	int count;

	/* Who came all together with others is not to wait until that is learned; and it asks in vain once in a long tick at most. */
	if (io_is_crowded(listener->io))
		listener->at_once = LISTENER_BATCH;
	int ended = accept_some(listener, listener->at_once, &count);

	if (ended == 0)
		note_full(listener);
	else if (ended == -EAGAIN || (count > 0 && is_exhaustion(ended)))
		note_drained(listener, count);
	else
		listener_pause(listener, ended);
}

static void listener_on_timer(struct io_timer *timer)
{
	listener_watch_again(container_of(timer, struct listener, timer));
}

int listener_bind(struct listener *listener, struct io *io, const struct address *address,
	const struct io_bind_options *options)
{
	listener->io = io;
	listener->source.fd = -1;
	listener->source.on_event = listener_on_event;
	listener->timer.on_fire = listener_on_timer;
	listener->at_once = 1;
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
	int count;

	return listener->source.fd >= 0 && accept_some(listener, count_max, &count) == 0;
}

void listener_resume(struct listener *listener)
{
	if (!io_timer_armed(&listener->timer))
		return;
	io_timer_cancel(listener->io, &listener->timer);
	listener_watch_again(listener);
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
	io_close(listener->io, &listener->source);
}
