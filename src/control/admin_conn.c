/*
 * A connection to the administration, from accept to close.
 *
 *              .----------------------------- keep-alive -----------------------------.
 *              v                                                                      |
 *   accept -> IDLE --byte--> HEAD --head complete--> ASKING --surveyed--> SENDING ----+--> LINGERING
 *              |               |          `---- nobody is asked ------------^                  |
 *              | idle, EOF     | timeout: 408                               | takes nothing    | time, EOF
 *              `---------------+---------> CLOSED <-------------------------'------------------'
 *
 * Deadlines: IDLE, HEAD, SENDING and LINGERING have the timer, ASKING has the survey's (twice SURVEY_US at most).
 *
 * Bounds: a head of HEAD_BYTES_MAX, no request content, one answer at a time (pipelined requests stay unread until their
 * turn, each in a tick of its own), of which PIECE_BYTES are handed to the connection at a time.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "control/state.h"
#include "http/date.h"
#include "http/target.h"

enum {
	HEAD_BYTES_MAX = 8 * 1024,
	ANSWER_HEAD_BYTES = 1024,
	TARGET_BYTES_MAX = 2 * 1024,
	PIECE_BYTES = 64 * 1024,
	LINE_BYTES_MAX = 256,  /* of admin_conn_say */
	LINGER_FILLS = 16,     /* receives in one go, before the loop turns to other events */
};
#define IDLE_US (75 * US_PER_S)
#define HEAD_US (10 * US_PER_S)
#define SEND_US (10 * US_PER_S)
#define LINGER_US (1 * US_PER_S)

static const struct h1_limits limits = {
	.head_bytes_max = HEAD_BYTES_MAX, .field_count_max = 64, .target_bytes_max = TARGET_BYTES_MAX};

static void arm(struct admin_conn *c, uint64_t span_us)
{
	io_timer_set(c->control->io, &c->timer, deadline_after(io_now_us(c->control->io), span_us));
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void conn_free(struct io_task *task)
{
	struct admin_conn *c = container_of(task, struct admin_conn, task);
	struct control *control = c->control;

	slab_free(&control->slab, c);
	control_conn_gone(control);
}

void admin_conn_close(struct admin_conn *c)
{
	if (c->state == ADMIN_CLOSED)
		return;
	c->state = ADMIN_CLOSED;
	conn_close(&c->h1.conn);
	h1_conn_release(&c->h1);
	buf_release(&c->content);
	survey_cancel(&c->survey);
	io_timer_cancel(c->control->io, &c->timer);
	list_remove(&c->node);
	io_defer_cancel(c->control->io, &c->task);
	c->task.on_run = conn_free;
	io_defer(c->control->io, &c->task);
}

/* Reads away what still comes. */
static void linger_read(struct admin_conn *c)
{
	ssize_t got = 1;

	for (int i = 0; got > 0 && i < LINGER_FILLS; i++) {
		if (c->h1.unread.n > 0)
			h1_conn_read_raw(&c->h1);
		got = h1_conn_fill(&c->h1, H1_SCRATCH_IN_BYTES);
	}
	if (got > 0)
		io_defer(c->control->io, &c->task);
	else if (got != -EAGAIN)
		admin_conn_close(c);
}

/* RFC 9112 §9.6: closing with unread input resets the connection, and the answer may be lost with it. */
static void conn_linger(struct admin_conn *c)
{
	c->state = ADMIN_LINGERING;
	conn_shutdown_write(&c->h1.conn);
	arm(c, LINGER_US);
	linger_read(c);
}

/* --- answering ---------------------------------------------------------------------------------------------------- */

static void conn_idle(struct admin_conn *c)
{
	c->state = ADMIN_IDLE;
	arm(c, IDLE_US);
	if (c->h1.unread.n > 0 || c->h1.conn.readable)
		io_defer(c->control->io, &c->task);
	else
		h1_conn_rest(&c->h1);
}

static struct view next_piece(const struct admin_conn *c)
{
	struct view left = buf_view(&c->content);

	return left.n < PIECE_BYTES ? left : view_of(left.p, PIECE_BYTES);
}

/* Sends until the client takes no more, or has everything. */
static void conn_send(struct admin_conn *c)
{
	struct conn *conn = &c->h1.conn;

	while (!conn_blocked(conn) && conn->send_error == 0 && buf_len(&c->content) > 0) {
		struct view piece = next_piece(c);

		h1_conn_put_body(&c->h1, piece);
		h1_conn_flush(&c->h1);
		buf_consume(&c->content, piece.n);
	}
	uint64_t unsent = (uint64_t)buf_len(&c->content) + buf_len(&conn->out);

	if (conn->send_error != 0 || conn->broken) {
		admin_conn_close(c);
	} else if (unsent == 0 && c->keep_alive) {
		conn_idle(c);
	} else if (unsent == 0) {
		conn_linger(c);
	} else if (unsent != c->unsent) {
		c->unsent = unsent;
		arm(c, SEND_US);
	}
}

static void put_head(struct admin_conn *c, unsigned status, struct view fields)
{
	struct h1_writer w = h1_conn_begin_head(&c->h1, ANSWER_HEAD_BYTES);
	char date[HTTP_DATE_BYTES];

	h1_put_status_line(&w, status, VIEW(""));
	h1_put_field(&w, VIEW("Date"), http_date(date, io_wall_us(c->control->io) / US_PER_S));
	h1_put(&w, fields);
	h1_put(&w, VIEW("Cache-Control: no-store\r\n"));
	h1_put_length(&w, buf_len(&c->content));
	if (!c->keep_alive)
		h1_put(&w, VIEW("Connection: close\r\n"));
	else if (c->minor == 0)
		h1_put(&w, VIEW("Connection: keep-alive\r\n"));
	CHECK(h1_conn_end_head(&c->h1, &w, FRAMING_LENGTH));
}

void admin_conn_say(struct admin_conn *c, const char *format, ...)
{
	char text[LINE_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* When memory is out the status stands alone. */
	if (n > 0 && !buf_append(&c->content, view_of(text, strnlen(text, sizeof(text))), ADMIN_CONTENT_MAX))
		buf_release(&c->content);
}

void admin_conn_answer(struct admin_conn *c, unsigned status, struct view fields)
{
	put_head(c, status, fields);
	if (c->is_head)
		buf_release(&c->content);
	c->state = ADMIN_SENDING;
	c->unsent = UINT64_MAX;
	if (buf_len(&c->content) == 0)
		h1_conn_flush(&c->h1);
	conn_send(c);
}

/* Refuses what cannot be served; nothing after it is believed. */
static void conn_refuse(struct admin_conn *c, unsigned status, const char *why)
{
	c->keep_alive = false;
	c->is_head = false;
	admin_conn_say(c, "%s\n", why);
	admin_conn_answer(c, status, ADMIN_TEXT);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void on_surveyed(struct survey_request *request)
{
	struct admin_conn *c = container_of(request, struct admin_conn, survey);

	c->resource->answer(c);
}

static void conn_serve(struct admin_conn *c)
{
	if (!c->resource->asks_workers) {
		c->resource->answer(c);
		return;
	}
	c->state = ADMIN_ASKING;
	c->survey.wants = c->resource->wants;
	io_timer_cancel(c->control->io, &c->timer);
	survey_ask(&c->control->survey, &c->survey);
}

static bool has_content(const struct message *m)
{
	return m->framing == FRAMING_CHUNKED || (m->framing == FRAMING_LENGTH && m->content_length > 0);
}

/* A request whose head is complete. */
static void conn_request(struct admin_conn *c, const struct message *m)
{
	_Alignas(8) char memory[2 * TARGET_BYTES_MAX];
	struct arena arena;
	struct target target;

	arena_init(&arena, memory, sizeof(memory), HEAD_BYTES_MAX * 4);
	const char *why = target_read(&target, m, &arena);

	c->minor = m->minor;
	c->is_head = m->method == METHOD_HEAD;
	/* Content is not read, so no request can follow it. */
	c->keep_alive = m->keep_alive && !has_content(m);
	c->resource = why == NULL ? resource_find(target.path) : NULL;
	arena_release(&arena);
	if (why != NULL) {
		conn_refuse(c, 400, why);
	} else if (c->resource == NULL) {
		admin_conn_say(c, "there are /healthz, /readyz, /metrics and /v1/leaks\n");
		admin_conn_answer(c, 404, ADMIN_TEXT);
	} else if (m->method != METHOD_GET && m->method != METHOD_HEAD) {
		/* RFC 9110 §15.5.6 */
		admin_conn_say(c, "only GET and HEAD\n");
		admin_conn_answer(c, 405, VIEW("Content-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n"));
	} else if (has_content(m)) {
		conn_refuse(c, 413, "a request to the administration has no content");
	} else {
		conn_serve(c);
	}
}

/* Tries to take a head from what is unread. True: it was answered, refused, or is being served. */
static bool conn_take_head(struct admin_conn *c)
{
	struct message m;

	if (c->state == ADMIN_IDLE) {
		c->state = ADMIN_HEAD;
		arm(c, HEAD_US);
	}
	struct h1_result result = h1_conn_read_request(&c->h1, &limits, &m);

	if (result.status == H1_MORE)
		return false;
	if (result.status == H1_BAD)
		conn_refuse(c, (unsigned)cause_info(result.cause)->status, result.why);
	else
		conn_request(c, &m);
	return true;
}

static void conn_read(struct admin_conn *c)
{
	ssize_t got;

	do {
		if (c->h1.unread.n > 0 && conn_take_head(c))
			return;
		got = h1_conn_fill(&c->h1, HEAD_BYTES_MAX);
	} while (got > 0);
	if (got == -ENOBUFS)
		conn_refuse(c, 431, "the request head is too large");
	else if (got != -EAGAIN)
		admin_conn_close(c);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void conn_proceed(struct admin_conn *c)
{
	switch ((enum admin_state)c->state) {
	case ADMIN_IDLE:
	case ADMIN_HEAD: conn_read(c); return;
	case ADMIN_ASKING:
		if (c->h1.conn.broken)
			admin_conn_close(c);
		return;
	case ADMIN_SENDING: conn_send(c); return;
	case ADMIN_LINGERING: linger_read(c); return;
	case ADMIN_CLOSED: return;
	}
}

static void on_ready(struct conn *conn)
{
	conn_proceed(container_of(conn, struct admin_conn, h1.conn));
}

static void on_task(struct io_task *task)
{
	conn_proceed(container_of(task, struct admin_conn, task));
}

static void on_timer(struct io_timer *timer)
{
	struct admin_conn *c = container_of(timer, struct admin_conn, timer);

	if (c->state == ADMIN_HEAD)
		conn_refuse(c, 408, "the request head was not complete in time");
	else
		admin_conn_close(c);
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void conn_init(struct admin_conn *c, struct control *control)
{
	memset(c, 0, sizeof(*c));
	c->control = control;
	c->minor = 1;
	c->h1.conn.on_ready = on_ready;
	c->timer.on_fire = on_timer;
	c->task.on_run = on_task;
	c->survey.on_surveyed = on_surveyed;
}

int admin_conn_accept(struct control *control)
{
	struct admin_conn *c = slab_alloc(&control->slab);
	struct address peer;

	if (c == NULL)
		return -ENOMEM;
	conn_init(c, control);
	int error = conn_accept(&c->h1.conn, control->io, &control->listener.source, &peer);

	if (error < 0) {
		slab_free(&control->slab, c);
		return error;
	}
	h1_conn_init(&c->h1, control->scratch);
	list_push_back(&control->conns, &c->node);
	if (control->slab.count_live > ADMIN_CONNS_MAX)
		conn_refuse(c, 503, "the administration has as many connections as it allows");
	else
		conn_idle(c);
	return 0;
}
