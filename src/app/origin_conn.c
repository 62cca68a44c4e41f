/*
 * A connection to the origin, from accept to close.
 *
 *            .--------------------------------- keep-alive ---------------------------------.
 *            v                                                                              |
 * accept -> HEAD -> CONTENT -> SERVE -> QUEUED -> PAUSED -> ANSWER -> BODY | EVENTS | ECHO -+-> LINGER -> CLOSED
 *            |                   ^                            |
 *            |-- /echo, early ---'                            `--> TUNNEL, HANG
 *            `- - the prebuilt answer goes out from here
 *
 * A state has one step function, which does one thing and says whether there may be more to do now; origin_conn_run()
 * calls steps until one says no, or the client takes no more bytes. One request at a time: what is pipelined stays
 * unread until its turn. Everything that was put is flushed at the end of a run, so a batch of small answers is one
 * system call.
 */
#include "app/origin_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_US (1 * US_PER_S)

/* Steps in a run before other connections get their turn. */
#define RUN_STEPS_MAX 256

static const struct h1_limits limits = {
	.head_bytes_max = H1_SCRATCH_IN_BYTES,
	.field_count_max = H1_SCRATCH_FIELDS,
	.target_bytes_max = 32 * 1024,
};

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void conn_free(struct io_task *task)
{
	struct origin_conn *c = container_of(task, struct origin_conn, release);
	struct origin *origin = c->origin;

	slab_free(&origin->slab, c);
	origin_conn_gone(origin);
}

/* After the socket is closed. */
static void conn_gone(struct origin_conn *c)
{
	struct origin *origin = c->origin;

	c->state = CONN_CLOSED;
	h1_conn_release(&c->h1);
	free(c->owned);
	c->owned = NULL;
	if (list_linked(&c->job.node)) {
		capacity_leave(&origin->capacity, &c->job, io_now_us(origin->io));
		io_timer_set(origin->io, &origin->capacity_timer, capacity_next_us(&origin->capacity));
	}
	io_timer_cancel(origin->io, &c->timer);
	io_defer_cancel(origin->io, &c->yield);
	list_remove(&c->node);
	c->release.on_run = conn_free;
	io_defer(origin->io, &c->release);
}

void origin_conn_close(struct origin_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	conn_close(&c->h1.conn);
	conn_gone(c);
}

void origin_conn_abort(struct origin_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	conn_abort(&c->h1.conn);
	conn_gone(c);
}

/* --- going from state to state ----------------------------------------------------------------------------------- */

static void arm(struct origin_conn *c, uint64_t span_us)
{
	io_timer_set(c->origin->io, &c->timer, deadline_after(io_now_us(c->origin->io), span_us));
}

void origin_conn_pause(struct origin_conn *c, uint64_t span_us, enum origin_conn_state after)
{
	c->state = (uint8_t)after;
	if (span_us == 0)
		return;
	c->state = CONN_PAUSED;
	c->after = (uint8_t)after;
	arm(c, span_us);
}

void origin_conn_linger(struct origin_conn *c)
{
	c->state = CONN_LINGER;
	arm(c, LINGER_US);
}

void origin_conn_delay(struct origin_conn *c)
{
	/* A stream of events begins at once; the delay is between them. */
	origin_conn_pause(c, c->plan.kind == ORIGIN_EVENTS ? 0 : c->plan.delay_us, CONN_ANSWER);
}

void origin_conn_answered(struct origin_conn *c)
{
	free(c->owned);
	c->owned = NULL;
	if (!c->keep_alive) {
		origin_conn_linger(c);
	} else if (h1_body_done(&c->h1.body)) {
		c->state = CONN_HEAD;
	} else {
		c->state = CONN_CONTENT;
		c->after = CONN_HEAD;
	}
}

/* Receives more. Only when nothing that was put still points at the bytes before. */
static bool conn_fill(struct origin_conn *c)
{
	if (h1_conn_flush(&c->h1) != 0 || conn_blocked(&c->h1.conn))
		return false;
	ssize_t got = h1_conn_fill(&c->h1, H1_SCRATCH_IN_BYTES);

	if (got > 0)
		return true;
	if (got != -EAGAIN)
		origin_conn_close(c);
	return false;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* What came is not HTTP: it is said (unless the answer was given already), and nothing after it is believed. */
static bool conn_refuse(struct origin_conn *c, const char *why)
{
	if (c->state == CONN_CONTENT && c->after == CONN_HEAD) {
		origin_conn_linger(c);
		return true;
	}
	c->plan = (struct origin_plan){.status = 400};
	c->text = view_str(why);
	c->keep_alive = false;
	c->is_head = false;
	c->minor = 1;
	c->state = CONN_ANSWER;
	return true;
}

static enum origin_fault draw_fault(struct origin *origin)
{
	unsigned drawn = (unsigned)(io_random(origin->io) % 100);
	unsigned fault = ORIGIN_FAULT_NONE;

	while (++fault < ORIGIN_FAULT_COUNT) {
		if (drawn < origin->options.fault_percent[fault])
			return (enum origin_fault)fault;
		drawn -= origin->options.fault_percent[fault];
	}
	return ORIGIN_FAULT_NONE;
}

/* What a fault changes in the plan; the rest happens when the answer is due. */
static void plan_fault(struct origin_conn *c)
{
	struct origin_plan *plan = &c->plan;

	if (plan->fault == ORIGIN_FAULT_NONE && c->origin->fault_percent > 0 && plan->kind != ORIGIN_BOOKS)
		plan->fault = (uint8_t)draw_fault(c->origin);
	if (plan->fault == ORIGIN_FAULT_NONE)
		return;
	c->origin->stats.faults++;
	plan->special = true;
	if (plan->fault == ORIGIN_FAULT_ERROR)
		plan->status = 503;
	/* Half of nothing would look complete. */
	if (plan->fault == ORIGIN_FAULT_TRUNCATE && plan->size < 2)
		plan->size = 2;
}

/* Which way a request takes whose answer is not the prebuilt one. */
static void request_begin(struct origin_conn *c, const struct message *m)
{
	bool early = c->plan.fault == ORIGIN_FAULT_EARLY;

	c->content_length = m->content_length;
	c->framing = m->framing;
	c->keep_alive = m->keep_alive && !c->plan.close;
	c->minor = m->minor;
	c->is_head = m->method == METHOD_HEAD;
	c->state = CONN_CONTENT;
	c->after = CONN_SERVE;
	if (early || c->plan.kind == ORIGIN_ECHO)
		c->state = CONN_SERVE;
	/* RFC 9110 §10.1.1: not told to go on, the client may leave the content out; then a head stands there. */
	if (m->expect_continue && early)
		c->keep_alive = false;
	origin_put_informational(c, m);
}

static void request_read(struct origin_conn *c, const struct message *m)
{
	const struct origin *origin = c->origin;

	c->origin->stats.requests++;
	c->text = view_of(NULL, 0);
	c->plan =
		(struct origin_plan){.status = 200, .size = origin->options.size, .delay_us = origin->options.delay_us};
	const char *why = origin_plan_read(&c->plan, m->target);

	plan_fault(c);
	if (origin->plain_is_prebuilt && !c->plan.special && m->framing == FRAMING_NONE && m->keep_alive &&
		m->minor == 1 && m->method != METHOD_HEAD) {
		origin_put_plain(c);
		return;
	}
	request_begin(c, m);
	if (why != NULL) {
		c->plan = (struct origin_plan){.status = 400};
		c->text = view_str(why);
	} else if (!origin_note_head(c, m)) {
		origin_conn_abort(c);
	}
}

static bool step_head(struct origin_conn *c)
{
	struct message m;
	struct h1_result result = h1_conn_read_request(&c->h1, &limits, &m);

	if (result.status == H1_MORE)
		return conn_fill(c);
	if (result.status == H1_BAD)
		return conn_refuse(c, result.why);
	request_read(c, &m);
	return true;
}

/* The next piece of the content, or the trailers behind it. */
static enum h1_piece conn_read_body(struct origin_conn *c, struct view *data, struct message *trailers, const char **why)
{
	enum h1_piece piece = h1_conn_read_body(&c->h1, data, why);
	struct h1_result result;

	if (piece != H1_PIECE_TRAILERS)
		return piece;
	result = h1_conn_read_trailers(&c->h1, &limits, trailers);
	*why = result.why;
	return result.status == H1_MORE ? H1_PIECE_MORE : result.status == H1_BAD ? H1_PIECE_BAD : H1_PIECE_TRAILERS;
}

static bool step_content(struct origin_conn *c)
{
	struct message trailers;
	struct view data;
	const char *why;

	switch (conn_read_body(c, &data, &trailers, &why)) {
	case H1_PIECE_DATA:
	case H1_PIECE_TRAILERS: return true;
	case H1_PIECE_MORE: return conn_fill(c);
	case H1_PIECE_BAD: return conn_refuse(c, why);
	case H1_PIECE_END: break;
	}
	c->state = c->after;
	return true;
}

/* --- serving ----------------------------------------------------------------------------------------------------- */

/* The request is about the origin, and nothing of the load on it. */
static bool is_aside(const struct origin_conn *c)
{
	return c->plan.kind == ORIGIN_CAPACITY || c->plan.kind == ORIGIN_BOOKS;
}

static void change_capacity(struct origin *origin, unsigned concurrent)
{
	if (concurrent == 0 || origin->options.capacity.concurrent == 0)
		return;
	capacity_set(&origin->capacity, concurrent, io_now_us(origin->io));
	io_timer_set(origin->io, &origin->capacity_timer, capacity_next_us(&origin->capacity));
}

static bool step_serve(struct origin_conn *c)
{
	struct origin *origin = c->origin;

	if (c->plan.kind == ORIGIN_CAPACITY)
		change_capacity(origin, c->plan.capacity);
	if (is_aside(c) || origin->options.capacity.concurrent == 0) {
		origin_conn_delay(c);
		return true;
	}
	if (!capacity_enter(&origin->capacity, &c->job, io_now_us(origin->io))) {
		origin->stats.over_capacity++;
		origin_conn_abort(c);
		return false;
	}
	c->state = CONN_QUEUED;
	origin->stats.in_flight_max = origin->capacity.in_flight_max;
	io_timer_cancel(origin->io, &c->timer);
	io_timer_set(origin->io, &origin->capacity_timer, capacity_next_us(&origin->capacity));
	return false;
}

static bool step_wait(struct origin_conn *c)
{
	return false;
}

static bool step_hang(struct origin_conn *c)
{
	if (c->h1.conn.peer_closed)
		origin_conn_close(c);
	return false;
}

/* The content was announced with the framing of the request's, so every piece can go at once. */
static bool step_echo(struct origin_conn *c)
{
	struct message trailers;
	struct view data;
	const char *why;

	switch (conn_read_body(c, &data, &trailers, &why)) {
	case H1_PIECE_DATA: h1_conn_put_body(&c->h1, data); return true;
	case H1_PIECE_MORE: return conn_fill(c);
	case H1_PIECE_TRAILERS: h1_conn_put_end(&c->h1, &trailers); break;
	case H1_PIECE_END: break;
	case H1_PIECE_BAD: origin_conn_abort(c); return false;
	}
	origin_conn_answered(c);
	return true;
}

static bool step_tunnel(struct origin_conn *c)
{
	struct view raw = h1_conn_read_raw(&c->h1);

	if (raw.n == 0)
		return conn_fill(c);
	h1_conn_put_raw(&c->h1, raw);
	return true;
}

/* RFC 9112 §9.6: closing with unread input resets the connection, and the answer may be lost with it. */
static bool step_linger(struct origin_conn *c)
{
	if (h1_conn_flush(&c->h1) != 0 || conn_blocked(&c->h1.conn))
		return false;
	conn_shutdown_write(&c->h1.conn);
	h1_conn_read_raw(&c->h1);
	return conn_fill(c);
}

static bool (*const steps[CONN_STATE_COUNT])(struct origin_conn *c) = {
	[CONN_HEAD] = step_head,
	[CONN_CONTENT] = step_content,
	[CONN_SERVE] = step_serve,
	[CONN_QUEUED] = step_wait,
	[CONN_PAUSED] = step_wait,
	[CONN_ANSWER] = origin_step_answer,
	[CONN_BODY] = origin_step_body,
	[CONN_EVENTS] = origin_step_events,
	[CONN_ECHO] = step_echo,
	[CONN_TUNNEL] = step_tunnel,
	[CONN_HANG] = step_hang,
	[CONN_LINGER] = step_linger,
	[CONN_CLOSED] = step_wait,
};

/* Where the state's deadline is not its own, it is the idle time, and something has just moved. */
static void conn_push_deadline(struct origin_conn *c)
{
	if (c->state != CONN_PAUSED && c->state != CONN_QUEUED && c->state != CONN_LINGER)
		arm(c, c->origin->options.idle_timeout_us);
}

void origin_conn_run(struct origin_conn *c)
{
	struct conn *conn = &c->h1.conn;
	unsigned count = 0;

	while (!conn_blocked(conn) && steps[c->state](c)) {
		if (++count < RUN_STEPS_MAX)
			continue;
		io_defer(c->origin->io, &c->yield);
		break;
	}
	if (c->state == CONN_CLOSED)
		return;
	if (h1_conn_flush(&c->h1) != 0 || conn->broken)
		origin_conn_abort(c);
	else
		conn_push_deadline(c);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static void on_ready(struct conn *conn)
{
	origin_conn_run(container_of(conn, struct origin_conn, h1.conn));
}

static void on_yield(struct io_task *task)
{
	origin_conn_run(container_of(task, struct origin_conn, yield));
}

static void on_timer(struct io_timer *timer)
{
	struct origin_conn *c = container_of(timer, struct origin_conn, timer);

	switch ((enum origin_conn_state)c->state) {
	case CONN_PAUSED:
		c->state = c->after;
		origin_conn_run(c);
		return;
	case CONN_HEAD:
	case CONN_LINGER: origin_conn_close(c); return;
	default: origin_conn_abort(c);
	}
}

int origin_conn_accept(struct origin *origin)
{
	struct origin_conn *c = slab_alloc(&origin->slab);
	struct address peer;

	if (c == NULL)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->origin = origin;
	c->h1.conn.on_ready = on_ready;
	c->timer.on_fire = on_timer;
	c->yield.on_run = on_yield;
	int error = conn_accept(&c->h1.conn, origin->io, &origin->listener.source, &peer);

	if (error < 0) {
		slab_free(&origin->slab, c);
		return error;
	}
	h1_conn_init(&c->h1, origin->scratch);
	list_push_back(&origin->conns, &c->node);
	origin->stats.connections++;
	arm(c, origin->options.idle_timeout_us);
	return 0;
}
