/*
 * The way out of a connection to the administration: an answer whose length is known, handed over PIECE_BYTES at a time, or one
 * that goes on, in chunks.
 *
 *     admin_answer --> SENDING --all taken--> IDLE or LINGERING
 *     admin_stream --> STREAMING --tick--> on_tick says more ... --false--> SENDING
 *
 * A tick does nothing as long as the client has not taken what the one before has said; so what waits for a client is what one
 * tick says, at most.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "control/state.h"
#include "http/date.h"

enum {
	ANSWER_HEAD_BYTES = 2048,
	PIECE_BYTES = 64 * 1024,
	SAY_BYTES_MAX = 256,
};
#define TICK_US (1 * US_PER_S)
#define SENDING_IDLES 6  /* times `write_idle` for the whole of an answer: who takes a byte now and then holds a place, too */

/* --- sending ------------------------------------------------------------------------------------------------------ */

static struct view next_piece(const struct admin_conn *c)
{
	struct view left = buf_view(&c->content);

	return left.n < PIECE_BYTES ? left : view_of(left.p, PIECE_BYTES);
}

static uint64_t unsent_of(const struct admin_conn *c)
{
	return (uint64_t)buf_len(&c->content) + conn_unsent(&c->h1.conn);
}

/* How much is left, and when some of it went last. */
static uint64_t send_some(struct admin_conn *c)
{
	struct conn *conn = &c->h1.conn;

	while (!conn_blocked(conn) && conn->send_error == 0 && buf_len(&c->content) > 0) {
		struct view piece = next_piece(c);

		h1_conn_put_body(&c->h1, piece);
		h1_conn_flush(&c->h1);
		buf_consume(&c->content, piece.n);
	}
	uint64_t unsent = unsent_of(c);

	if (unsent != c->unsent)
		c->moved_us = io_now_us(c->control->io);
	c->unsent = unsent;
	return unsent;
}

/* Either it goes on, or it ends. */
static void sending_arm(struct admin_conn *c)
{
	uint64_t now = io_now_us(c->control->io), idle_us = c->control->config->admin.write_idle_us;
	uint64_t left_us = c->sent_by_us > now ? c->sent_by_us - now : 0;

	admin_conn_arm(c, left_us < idle_us ? left_us : idle_us);
}

void admin_conn_send(struct admin_conn *c)
{
	struct conn *conn = &c->h1.conn;
	bool streams = c->state == ADMIN_STREAMING;
	uint64_t before = c->unsent, unsent = send_some(c);

	/* Whoever ends its direction of an answer that has no end wants no more of it. */
	if (conn->send_error != 0 || conn->broken || (streams && conn->peer_closed))
		admin_conn_close(c);
	else if (streams)
		return;
	else if (unsent == 0 && c->keep_alive)
		admin_conn_rest(c);
	else if (unsent == 0)
		admin_conn_linger(c);
	else if (unsent != before)
		sending_arm(c);
}

/* There is no more to it than what is unsent. */
static void sending_begin(struct admin_conn *c)
{
	c->state = ADMIN_SENDING;
	c->unsent = UINT64_MAX;
	c->sent_by_us = io_now_us(c->control->io) + SENDING_IDLES * c->control->config->admin.write_idle_us;
}

static void put_head(struct admin_conn *c, unsigned status, struct view fields, enum framing framing)
{
	struct h1_writer w = h1_conn_begin_head(&c->h1, ANSWER_HEAD_BYTES);
	char date[HTTP_DATE_BYTES];

	h1_put_status_line(&w, status, VIEW(""));
	h1_put_field(&w, VIEW("Date"), http_date(date, io_wall_us(c->control->io) / US_PER_S));
	h1_put(&w, fields);
	h1_put(&w, VIEW("X-Content-Type-Options: nosniff\r\n"));
	/* The page says how it may be kept; of everything else nothing may. */
	if (memmem(fields.p, fields.n, "Cache-Control:", 14) == NULL)
		h1_put(&w, VIEW("Cache-Control: no-store\r\n"));
	if (framing == FRAMING_LENGTH)
		h1_put_length(&w, buf_len(&c->content));
	else if (framing == FRAMING_CHUNKED)
		h1_put(&w, VIEW("Transfer-Encoding: chunked\r\n"));
	if (!c->keep_alive)
		h1_put(&w, VIEW("Connection: close\r\n"));
	else if (c->minor == 0)
		h1_put(&w, VIEW("Connection: keep-alive\r\n"));
	CHECK(h1_conn_end_head(&c->h1, &w, framing));
}

uint64_t admin_answer_bytes(const struct admin_conn *like)
{
	uint64_t bytes = 0;

	list_each_safe(&like->control->conns, node, next) {
		const struct admin_conn *c = container_of(node, struct admin_conn, node);

		if (c->by_unix == like->by_unix)
			bytes += (uint64_t)buf_cap(&c->content) + buf_cap(&c->h1.conn.out);
	}
	return bytes;
}

/* --- what handlers say -------------------------------------------------------------------------------------------- */

void admin_put(struct admin_conn *c, struct view bytes)
{
	if (c->is_lost || buf_append(&c->content, bytes, ADMIN_CONTENT_MAX))
		return;
	c->is_lost = true;
	buf_release(&c->content);
}

void admin_say(struct admin_conn *c, const char *format, ...)
{
	char text[SAY_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	admin_put(c, view_str(text));
}

static void forget_content(struct admin_conn *c)
{
	buf_release(&c->content);
	c->is_lost = false;
}

/* What is to be told in place of an answer that is lost; when there is no memory even for that, the status stands alone. */
static void put_lost(struct admin_conn *c)
{
	forget_content(c);
	/* A handler that sends no content (304) may have said so. */
	if (!c->is_head)
		admin_put(c, VIEW("{\"error\":\"out_of_memory\",\"message\":\"there is no memory for the answer, or it is too long\"}\n"));
	c->is_lost = false;
}

void admin_answer(struct admin_conn *c, unsigned status, struct view fields)
{
	admin_request_release(&c->request);
	if (c->is_lost) {
		put_lost(c);
		status = 500;
		fields = ADMIN_JSON;
	}
	put_head(c, status, fields, FRAMING_LENGTH);
	if (c->is_head)
		buf_release(&c->content);
	sending_begin(c);
	if (buf_len(&c->content) == 0)
		h1_conn_flush(&c->h1);
	admin_conn_send(c);
}

void admin_answer_json(struct admin_conn *c, unsigned status, json_t *json)
{
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;

	json_decref(json);
	forget_content(c);
	if (text != NULL) {
		admin_put(c, view_str(text));
		admin_put(c, VIEW("\n"));
	} else {
		c->is_lost = true;
	}
	free(text);
	admin_answer(c, status, ADMIN_JSON);
}

void admin_fail(struct admin_conn *c, unsigned status, const char *error, const char *format, ...)
{
	char text[2 * SAY_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	admin_answer_json(c, status, json_pack("{s:s, s:s}", "error", error, "message", text));
}

void admin_conn_refuse(struct admin_conn *c, unsigned status, const char *error, const char *why)
{
	c->keep_alive = false;
	c->is_head = false;
	c->is_let_in = false;
	admin_fail(c, status, error, "%s", why);
}

/* --- answers that go on ------------------------------------------------------------------------------------------- */

static void stream_end(struct admin_conn *c)
{
	c->keep_alive = false;
	sending_begin(c);
	h1_conn_put_end(&c->h1, NULL);
	h1_conn_flush(&c->h1);
	admin_conn_send(c);
}

static void stream_tick(struct admin_conn *c)
{
	bool goes_on = true;

	if (c->unsent == 0)
		goes_on = c->on_tick(c);
	/* Its status is out: whoever reads sees that it has broken off. */
	if (c->is_lost) {
		admin_conn_close(c);
		return;
	}
	admin_conn_arm(c, TICK_US);
	admin_conn_send(c);
	if (!goes_on && c->state == ADMIN_STREAMING)
		stream_end(c);
}

void admin_stream(struct admin_conn *c, struct view fields, bool (*on_tick)(struct admin_conn *c))
{
	if (c->is_head) {
		admin_answer(c, 200, fields);
		return;
	}
	unsigned *streams = &c->control->streams[c->by_unix];

	/* It would go on with the last answer of a process that nobody asks any more. */
	if (c->control->handed_over) {
		admin_fail(c, 409, "handed_over", CONTROL_HANDED_OVER);
		return;
	}
	if (*streams >= c->control->config->admin.streams) {
		admin_fail(c, 503, "too_many_streams", "%u clients are being told already: admin.limits.streams", *streams);
		return;
	}
	(*streams)++;
	c->counts_as_stream = true;
	c->keep_alive = false;
	c->on_tick = on_tick;
	c->mark = 0;
	c->unsent = 0;
	forget_content(c);
	put_head(c, 200, fields, c->minor == 0 ? FRAMING_UNTIL_CLOSE : FRAMING_CHUNKED);
	h1_conn_flush(&c->h1);
	c->state = ADMIN_STREAMING;
	c->moved_us = io_now_us(c->control->io);
	stream_tick(c);
}

uint64_t *admin_stream_mark(struct admin_conn *c)
{
	return &c->mark;
}

void admin_conn_send_late(struct admin_conn *c)
{
	uint64_t now = io_now_us(c->control->io), stalled_us = now - c->moved_us;

	/* No event tells of what was taken of that which the kernel has. */
	if (c->state == ADMIN_SENDING && now < c->sent_by_us && unsent_of(c) < c->unsent)
		admin_conn_send(c);
	else if (c->state == ADMIN_STREAMING && (c->unsent == 0 || stalled_us < c->control->config->admin.write_idle_us))
		stream_tick(c);
	else
		admin_conn_close(c);
}

/* --- asking the main thread --------------------------------------------------------------------------------------- */

void admin_order(struct admin_conn *c, enum order_what what, struct view argument)
{
	if (!orders_give(&c->control->orders, what, argument, c->who, &c->asker)) {
		admin_fail(c, 503, "busy", "too much that was asked for is still under way; ask again later");
		return;
	}
	c->state = ADMIN_ORDERED;
	admin_conn_arm(c, ADMIN_ORDER_US);
}
