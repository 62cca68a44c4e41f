/*
 *     OVER --post_begin--> LEASING: a connection is asked for --> SENT: the text goes out, the answer comes in --> OVER
 *                             ^                                     |
 *                             '--(a rested connection was lost)-----'
 *
 * Each state but OVER has a deadline, which is that of the whole: settings->timeout_us. Calls from outside end in settle(), so that
 * whoever is told that it is over may do with it what it likes.
 */
#include "tracing/post.h"

#include <errno.h>
#include <string.h>

#include "http/retry_after.h"
#include "net/proxy_header.h"

enum {
	SEND_PIECES = 8,               /* in a turn */
	SEND_BYTES = 32 * 1024,        /* of one */
	READ_PIECES = 64,
	ANSWER_READ_MAX = 64 * 1024,   /* of an answer; with more the connection is closed */
	INFORMATIONAL_MAX = 16,
	HEAD_ROOM = 32 * 1024,
};

/* --- its end ------------------------------------------------------------------------------------------------------------- */

static void finish(struct post *p, bool clean)
{
	if (p->lease.stage == LEASE_HELD)
		upstream_give_back(&p->lease, clean);
	else
		upstream_drop(&p->lease);
	upstream_lease_release(&p->lease);
	io_timer_cancel(p->io, &p->timer);
	io_defer_cancel(p->io, &p->task);
	p->state = POST_OVER;
}

/* There is no answer. */
static void fail(struct post *p)
{
	finish(p, false);
	p->status = 0;
}

static void settle(struct post *p)
{
	if (p->state == POST_OVER)
		p->on_over(p);
}

static void report(struct post *p, enum cause cause, unsigned status)
{
	uint64_t now_us = io_now_us(p->io);

	if (p->lease.stage == LEASE_HELD && !p->lease.reported)
		upstream_report(&p->lease, (struct upstream_result){.cause = cause, .status = status,
			.waited_us = p->sent_us != 0 && now_us > p->sent_us ? now_us - p->sent_us : 0});
}

static void lease_answered(struct post *p, enum upstream_answer answer);

/* It had rested, and may have ended unnoticed: the same goes out at once on another. */
static bool is_stale(const struct post *p)
{
	const struct stream *s = p->lease.stream;

	return p->lease.rested && !p->was_stale && p->status == 0 && stream_error(s) != -ENOMEM && stream_send_error(s) != -ENOMEM;
}

static void ask_again(struct post *p)
{
	enum cause cause = CAUSE_NONE;

	p->was_stale = true;
	p->state = POST_LEASING;
	io_defer_cancel(p->io, &p->task);
	lease_answered(p, upstream_acquire_again(&p->lease, RETRY_RESET, &cause));
}

/* What the gateway is short of says nothing of the collector. */
static bool is_shortage(const struct post *p)
{
	const struct stream *s = p->lease.stream;

	return stream_error(s) == -ENOMEM || stream_send_error(s) == -ENOMEM || stream_failure(s).cause == CAUSE_MEMORY_EXHAUSTED;
}

/* The connection, or the answer on it, is no good. */
static void lost(struct post *p, enum cause cause)
{
	if (cause == CAUSE_UPSTREAM_RESET && is_stale(p)) {
		ask_again(p);
		return;
	}
	if (!is_shortage(p))
		report(p, cause, 0);
	fail(p);
}

/* --- the answer ---------------------------------------------------------------------------------------------------------- */

/* It is whole, or as much of it as anybody looks at. */
static void answered(struct post *p)
{
	finish(p, p->sent_us != 0 && p->keeps && p->answer_bytes <= ANSWER_READ_MAX);
}

static void take_content(struct post *p, struct view data)
{
	if (p->answer_bytes < POST_ANSWER_MAX) {
		size_t room = POST_ANSWER_MAX - p->answer_bytes, n = data.n < room ? data.n : room;

		memcpy(p->answer + p->answer_bytes, data.p, n);
	}
	p->answer_bytes += data.n < ANSWER_READ_MAX ? (uint32_t)data.n : ANSWER_READ_MAX + 1;
}

/* All of these: true: there is more to look at. False: more is needed, or it is over. */
static bool receive(struct post *p)
{
	struct stream *s = p->lease.stream;
	size_t head_bytes = p->settings->upstream->limits.header_bytes;
	ssize_t got = stream_fill(s, head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES);

	if (got > 0)
		return true;
	if (got == -EAGAIN)
		return false;
	if (got == 0 && p->status != 0 && stream_body_eof(s))
		answered(p);
	else
		lost(p, CAUSE_UPSTREAM_RESET);
	return false;
}

static void note_retry_after(struct post *p, const struct message *m)
{
	const struct field *f = message_find(m, FIELD_RETRY_AFTER);
	uint64_t after_us;

	if (f != NULL && retry_after_parse(field_value(f), io_wall_us(p->io), &after_us) && after_us > 0)
		p->retry_after_us = after_us;
}

static bool take_head(struct post *p)
{
	const struct config_upstream_limits *l = &p->settings->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message m;
	struct h1_result result = stream_read_response(p->lease.stream, &limits, METHOD_POST, &m);

	if (result.status == H1_MORE)
		return receive(p);
	if (result.status == H1_BAD || m.status == 101 || (m.status < 200 && ++p->informational > INFORMATIONAL_MAX)) {
		lost(p, CAUSE_UPSTREAM_BAD_RESPONSE);
		return false;
	}
	if (m.status < 200)
		return true;
	p->status = m.status;
	p->keeps = m.keep_alive && m.framing != FRAMING_UNTIL_CLOSE;
	note_retry_after(p, &m);
	report(p, CAUSE_NONE, m.status);
	upstream_heard(&p->lease, &m);
	return true;
}

static bool take_trailers(struct post *p)
{
	const struct config_upstream_limits *l = &p->settings->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message trailers;
	struct h1_result result = stream_read_trailers(p->lease.stream, &limits, &trailers);

	if (result.status == H1_MORE)
		return receive(p);
	if (result.status == H1_BAD)
		lost(p, CAUSE_UPSTREAM_BAD_RESPONSE);
	else if (stream_body_done(p->lease.stream))
		answered(p);
	return p->state == POST_SENT && result.status != H1_BAD;
}

static bool take_body(struct post *p)
{
	const char *why = NULL;
	struct view data;

	switch (stream_read_body(p->lease.stream, &data, &why)) {
	case H1_PIECE_DATA:
		take_content(p, data);
		if (p->answer_bytes <= ANSWER_READ_MAX)
			return true;
		answered(p);
		return false;
	case H1_PIECE_MORE: return receive(p);
	case H1_PIECE_TRAILERS: return take_trailers(p);
	case H1_PIECE_END: answered(p); return false;
	case H1_PIECE_BAD: lost(p, CAUSE_UPSTREAM_BAD_RESPONSE); return false;
	}
	return false;
}

/* --- the question ------------------------------------------------------------------------------------------------------ */

static void put_proxy_header(struct post *p)
{
	unsigned version = p->lease.conn->proxy_protocol;
	char header[PROXY_HEADER_WRITTEN_MAX];

	if (version == PROXY_PROTOCOL_OFF || stream_is_h2(p->lease.stream))
		return;
	h1_conn_put_raw(&p->lease.conn->h1,
		view_of(header, proxy_header_write(header, (enum proxy_header_version)version, NULL, NULL)));
}

static bool put_head(struct post *p)
{
	const struct config_tracing *t = p->settings;
	struct h1_writer w;

	stream_begin_message(p->lease.stream);
	put_proxy_header(p);
	w = stream_begin_head(p->lease.stream, HEAD_ROOM);
	h1_put_request_line(&w, VIEW("POST"), t->path);
	h1_put_field(&w, VIEW("Host"), p->lease.picked->authority);
	h1_put_field(&w, VIEW("User-Agent"), VIEW("weir"));
	h1_put_field(&w, VIEW("Content-Type"), VIEW("application/json"));
	for (size_t i = 0; i < t->header_count; i++)
		h1_put_field(&w, t->headers[i].name, t->headers[i].value);
	h1_put_length(&w, p->text.n);
	return stream_end_head(p->lease.stream, &w, FRAMING_LENGTH);
}

/* As much of the text as goes out now. True: there is more, and room for it. */
static bool send_text(struct post *p)
{
	struct stream *s = p->lease.stream;
	size_t n = p->text.n;

	for (int i = 0; i < SEND_PIECES && p->at < n; i++) {
		size_t piece = n - p->at < SEND_BYTES ? n - p->at : SEND_BYTES;

		if (stream_blocked(s) || stream_broken(s) || stream_send_error(s) != 0)
			return false;
		stream_put_body(s, view_from(view_of(p->text.p, p->at + piece), p->at));
		p->at += piece;
		if (p->at == n) {
			stream_put_end(s, NULL);
			p->sent_us = io_now_us(p->io);
		}
		/* What went wrong with it is seen when it is read. */
		stream_flush(s);
		if (p->at == n)
			upstream_sent(&p->lease);
	}
	return p->at < n && !stream_blocked(s);
}

static void pump(struct post *p)
{
	bool sends_more = p->at < p->text.n && send_text(p);
	int pieces = 0;

	while (p->state == POST_SENT && pieces < READ_PIECES && (p->status == 0 ? take_head(p) : take_body(p)))
		pieces++;
	if (p->state == POST_SENT && (sends_more || pieces == READ_PIECES))
		io_defer(p->io, &p->task);
}

static void send_first(struct post *p)
{
	p->state = POST_SENT;
	p->at = 0;
	p->sent_us = 0;
	p->informational = 0;
	p->answer_bytes = 0;
	p->retry_after_us = 0;
	p->keeps = false;
	if (put_head(p))
		pump(p);
	else
		lost(p, CAUSE_UPSTREAM_RESET);
}

/* --- the lease ----------------------------------------------------------------------------------------------------------- */

static void lease_answered(struct post *p, enum upstream_answer answer)
{
	switch (answer) {
	case UPSTREAM_ACQUIRED: send_first(p); return;
	case UPSTREAM_PENDING: return;
	case UPSTREAM_FAILED: fail(p); return;
	}
}

static void on_outcome(struct upstream_lease *lease, enum cause cause)
{
	struct post *p = container_of(lease, struct post, lease);

	lease_answered(p, cause == CAUSE_NONE ? UPSTREAM_ACQUIRED : UPSTREAM_FAILED);
	settle(p);
}

static void on_ready(struct upstream_lease *lease)
{
	struct post *p = container_of(lease, struct post, lease);

	pump(p);
	settle(p);
}

static uint64_t owed_since(struct upstream_lease *lease)
{
	const struct post *p = container_of(lease, struct post, lease);

	return p->status == 0 ? p->sent_us : 0;
}

static const struct upstream_lease_ops lease_ops = {
	.on_outcome = on_outcome, .on_ready = on_ready, .owed_since = owed_since};

bool post_holds(const struct upstream_lease *lease)
{
	return lease->ops == &lease_ops;
}

/* --- from outside ---------------------------------------------------------------------------------------------------------- */

static void on_task(struct io_task *task)
{
	struct post *p = container_of(task, struct post, task);

	pump(p);
	settle(p);
}

static void on_timer(struct io_timer *timer)
{
	struct post *p = container_of(timer, struct post, timer);

	if (p->state == POST_LEASING)
		fail(p);
	else
		lost(p, p->status == 0 ? CAUSE_FIRST_BYTE_TIMEOUT : CAUSE_UPSTREAM_IDLE_TIMEOUT);
	settle(p);
}

void post_init(struct post *p, struct io *io, void (*on_over)(struct post *post))
{
	*p = (struct post){.io = io, .on_over = on_over, .timer.on_fire = on_timer, .task.on_run = on_task, .state = POST_OVER};
	upstream_lease_init(&p->lease);
}

bool post_begin(struct post *p, struct upstreams *ups, struct view text)
{
	uint64_t until_us = deadline_after(io_now_us(p->io), p->settings->timeout_us);
	enum cause cause = CAUSE_NONE;

	p->state = POST_LEASING;
	p->was_stale = false;
	p->text = text;
	p->status = 0;
	p->retry_after_us = 0;
	p->sent_us = 0;
	upstream_lease_init(&p->lease);
	p->lease.ops = &lease_ops;
	/* Behind those of requests. */
	p->lease.priority = 3;
	io_timer_set(p->io, &p->timer, until_us);
	lease_answered(p, upstream_acquire(ups, p->settings->upstream, &p->lease, until_us, &cause));
	return p->state != POST_OVER;
}

void post_break_off(struct post *p)
{
	finish(p, false);
}

struct view post_answer(const struct post *p)
{
	return p->answer_bytes <= POST_ANSWER_MAX ? view_of(p->answer, p->answer_bytes) : VIEW("");
}
