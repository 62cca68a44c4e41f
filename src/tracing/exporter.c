/*
 * One batch at a time:
 *
 *     RESTING --(the first span has waited for `interval`, or a batch is there)--> WRITING: its text, a few spans a turn
 *        ^                                                                            |
 *        |                            .---------------------------------------------> LEASING: a connection is asked for
 *        |                            |                                               |
 *        |                        PAUSING <--(no connection, lost, late,           POSTED: the text goes out, the answer comes in
 *        |                            |        429, 502, 503, 504)----------------'   |
 *        '--(exported; rejected; tried ATTEMPTS_MAX times)------------------------------'
 *
 * The text of a batch is kept until it is taken, or given up; its spans have left the queue then. So what there is at most is the
 * queue and the text of one batch. A pause grows, with chance in it; where the collector says Retry-After that counts, up to a minute.
 *
 * Each state but RESTING has a deadline. Nothing here runs for long: spans are written a few in a turn, and the text goes out in
 * pieces, as many in a turn as SEND_PIECES.
 */
#include "tracing/exporter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/planted.h"
#include "http/retry_after.h"
#include "net/proxy_header.h"
#include "tracing/otlp.h"
#include "upstream/upstream.h"

enum {
	WRITE_SPANS = 4,               /* in a turn: one takes some 30 microseconds, and several times that on a busy machine */
	SEND_PIECES = 8,               /* likewise */
	SEND_BYTES = 32 * 1024,        /* of one */
	READ_PIECES = 64,
	ANSWER_MAX = 4096,             /* that is looked at; more is thrown away ... */
	ANSWER_READ_MAX = 64 * 1024,   /* ... and of more than that the connection is closed */
	INFORMATIONAL_MAX = 16,
	ATTEMPTS_MAX = 5,
	HEAD_ROOM = 32 * 1024,
};

#define PAUSE_FIRST_US (500 * US_PER_MS)
#define PAUSE_MAX_US (30 * US_PER_S)
#define RETRY_AFTER_MAX_US (60 * US_PER_S)

enum exporter_state { EXPORTER_RESTING, EXPORTER_WRITING, EXPORTER_LEASING, EXPORTER_POSTED, EXPORTER_PAUSING };

struct exporter {
	struct io *io;
	struct upstreams *ups;
	struct trace_stats *stats;
	const struct config_tracing *settings;  /* NULL: off */
	struct span_queue queue;
	struct buf text;               /* of the batch */
	size_t spans;                  /* in it */
	uint32_t at;                   /* bytes of the text that were handed over */
	struct upstream_lease lease;
	struct io_timer timer;
	struct io_task task;           /* goes on with what was too much for one turn */
	uint64_t posted_us, sent_us;   /* sent: the last byte was handed over; 0: not yet */
	uint64_t retry_after_us;       /* as the collector says; 0: it does not */
	uint32_t answer_bytes;         /* of its content */
	uint16_t status;               /* of the final answer; 0: none yet */
	uint8_t informational;
	uint8_t attempts;
	uint8_t state;                 /* enum exporter_state */
	bool keeps;                    /* the connection can serve again */
	bool was_stale;                /* of this try: its first connection was */
	bool stopped;
	bool hurries;                  /* exporter_flush */
	void (*on_idle)(void *context);
	void *context;
	struct io_task idle;
	char answer[ANSWER_MAX];
};

const char *trace_drop_word(enum trace_drop drop)
{
	static const char *const words[TRACE_DROPS] = {
		[TRACE_DROP_QUEUE_FULL] = "queue_full",
		[TRACE_DROP_REJECTED] = "rejected",
		[TRACE_DROP_UNDELIVERED] = "undelivered",
		[TRACE_DROP_MEMORY] = "memory",
		[TRACE_DROP_OFF] = "off",
		[TRACE_DROP_SHUTDOWN] = "shutdown",
	};

	return words[drop];
}

/* --- the end of a batch ---------------------------------------------------------------------------------------------- */

static void count_here(struct exporter *e)
{
	e->stats->queued = e->queue.count + e->spans;
}

static void drop_queued(struct exporter *e, enum trace_drop why)
{
	while (span_queue_first(&e->queue) != NULL) {
		span_queue_drop(&e->queue);
		e->stats->dropped[why]++;
	}
	count_here(e);
}

/* The text is not needed any more. */
static void forget_batch(struct exporter *e)
{
	buf_release(&e->text);
	e->spans = 0;
	e->attempts = 0;
	count_here(e);
}

static void drop_batch(struct exporter *e, enum trace_drop why)
{
	if (!PLANTED(SPANS_LOST_UNCOUNTED) || why != TRACE_DROP_UNDELIVERED)
		e->stats->dropped[why] += e->spans;
	forget_batch(e);
}

static void rest(struct exporter *e);

/* --- a try that has failed --------------------------------------------------------------------------------------------- */

/* "Full jitter", as for requests (gateway/retry.c), but never at once. */
static uint64_t pause_us(struct exporter *e)
{
	uint64_t most = PAUSE_FIRST_US << e->attempts;

	if (e->retry_after_us != 0)
		return e->retry_after_us < RETRY_AFTER_MAX_US ? e->retry_after_us : RETRY_AFTER_MAX_US;
	if (most > PAUSE_MAX_US)
		most = PAUSE_MAX_US;
	return most / 2 + io_random(e->io) % (most / 2);
}

static void let_go(struct exporter *e, bool clean)
{
	if (e->lease.stage == LEASE_HELD)
		upstream_give_back(&e->lease, clean);
	else
		upstream_drop(&e->lease);
	upstream_lease_release(&e->lease);
	io_timer_cancel(e->io, &e->timer);
	io_defer_cancel(e->io, &e->task);
}

/* The lease is over. */
static void failed(struct exporter *e)
{
	e->stats->failures++;
	if (e->hurries || ++e->attempts >= ATTEMPTS_MAX) {
		drop_batch(e, TRACE_DROP_UNDELIVERED);
		/* Nobody waits for one that does not answer. */
		if (e->hurries)
			drop_queued(e, TRACE_DROP_SHUTDOWN);
		rest(e);
		return;
	}
	e->state = EXPORTER_PAUSING;
	io_timer_set(e->io, &e->timer, deadline_after(io_now_us(e->io), pause_us(e)));
}

static void report(struct exporter *e, enum cause cause, unsigned status)
{
	uint64_t now_us = io_now_us(e->io);

	if (e->lease.stage == LEASE_HELD && !e->lease.reported)
		upstream_report(&e->lease, (struct upstream_result){.cause = cause, .status = status,
			.waited_us = e->sent_us != 0 && now_us > e->sent_us ? now_us - e->sent_us : 0});
}

static void lease_answered(struct exporter *e, enum upstream_answer answer);

/* It had rested, and may have ended unnoticed: the same goes out at once on another. Spans that come twice are one. */
static bool is_stale(const struct exporter *e)
{
	const struct stream *s = e->lease.stream;

	return e->lease.rested && !e->was_stale && e->status == 0 && stream_error(s) != -ENOMEM && stream_send_error(s) != -ENOMEM;
}

static void ask_again(struct exporter *e)
{
	enum cause cause = CAUSE_NONE;

	e->was_stale = true;
	e->state = EXPORTER_LEASING;
	io_defer_cancel(e->io, &e->task);
	lease_answered(e, upstream_acquire_again(&e->lease, RETRY_RESET, &cause));
}

/* What the gateway is short of says nothing of the collector. */
static bool is_shortage(const struct exporter *e)
{
	const struct stream *s = e->lease.stream;

	return stream_error(s) == -ENOMEM || stream_send_error(s) == -ENOMEM || stream_failure(s).cause == CAUSE_MEMORY_EXHAUSTED;
}

/* The connection, or the answer on it, is no good. */
static void lost(struct exporter *e, enum cause cause)
{
	if (cause == CAUSE_UPSTREAM_RESET && is_stale(e)) {
		ask_again(e);
		return;
	}
	if (!is_shortage(e))
		report(e, cause, 0);
	let_go(e, false);
	failed(e);
}

/* --- the answer -------------------------------------------------------------------------------------------------------- */

static void count_exported(struct exporter *e)
{
	uint64_t rejected = e->answer_bytes > 0 && e->answer_bytes <= ANSWER_MAX ?
		otlp_rejected(view_of(e->answer, e->answer_bytes)) : 0;

	if (rejected > e->spans)
		rejected = e->spans;
	e->stats->dropped[TRACE_DROP_REJECTED] += rejected;
	e->stats->exported += e->spans - rejected;
	forget_batch(e);
}

static bool may_be_repeated(unsigned status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* It is whole, or as much of it as anybody looks at. */
static void answered(struct exporter *e)
{
	let_go(e, e->sent_us != 0 && e->keeps && e->answer_bytes <= ANSWER_READ_MAX);
	if (e->status >= 200 && e->status < 300) {
		count_exported(e);
		rest(e);
	} else if (may_be_repeated(e->status)) {
		failed(e);
	} else {
		e->stats->failures++;
		drop_batch(e, TRACE_DROP_REJECTED);
		rest(e);
	}
}

static void take_content(struct exporter *e, struct view data)
{
	if (e->answer_bytes < ANSWER_MAX) {
		size_t room = ANSWER_MAX - e->answer_bytes, n = data.n < room ? data.n : room;

		memcpy(e->answer + e->answer_bytes, data.p, n);
	}
	e->answer_bytes += data.n < ANSWER_READ_MAX ? (uint32_t)data.n : ANSWER_READ_MAX + 1;
}

/* All of these: true: there is more to look at. False: more is needed, or the try is over. */
static bool receive(struct exporter *e)
{
	struct stream *s = e->lease.stream;
	size_t head_bytes = e->settings->upstream->limits.header_bytes;
	ssize_t got = stream_fill(s, head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES);

	if (got > 0)
		return true;
	if (got == -EAGAIN)
		return false;
	if (got == 0 && e->status != 0 && stream_body_eof(s))
		answered(e);
	else
		lost(e, CAUSE_UPSTREAM_RESET);
	return false;
}

static void note_retry_after(struct exporter *e, const struct message *m)
{
	const struct field *f = message_find(m, FIELD_RETRY_AFTER);
	uint64_t after_us;

	if (f != NULL && retry_after_parse(field_value(f), io_wall_us(e->io), &after_us) && after_us > 0)
		e->retry_after_us = after_us;
}

static bool take_head(struct exporter *e)
{
	const struct config_upstream_limits *l = &e->settings->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message m;
	struct h1_result result = stream_read_response(e->lease.stream, &limits, METHOD_POST, &m);

	if (result.status == H1_MORE)
		return receive(e);
	if (result.status == H1_BAD || m.status == 101 || (m.status < 200 && ++e->informational > INFORMATIONAL_MAX)) {
		lost(e, CAUSE_UPSTREAM_BAD_RESPONSE);
		return false;
	}
	if (m.status < 200)
		return true;
	e->status = m.status;
	e->keeps = m.keep_alive && m.framing != FRAMING_UNTIL_CLOSE;
	note_retry_after(e, &m);
	report(e, CAUSE_NONE, m.status);
	upstream_heard(&e->lease, &m);
	return true;
}

static bool take_trailers(struct exporter *e)
{
	const struct config_upstream_limits *l = &e->settings->upstream->limits;
	struct h1_limits limits = {.head_bytes_max = l->header_bytes, .field_count_max = l->header_count};
	struct message trailers;
	struct h1_result result = stream_read_trailers(e->lease.stream, &limits, &trailers);

	if (result.status == H1_MORE)
		return receive(e);
	if (result.status == H1_BAD)
		lost(e, CAUSE_UPSTREAM_BAD_RESPONSE);
	else if (stream_body_done(e->lease.stream))
		answered(e);
	return e->state == EXPORTER_POSTED && result.status != H1_BAD;
}

static bool take_body(struct exporter *e)
{
	const char *why = NULL;
	struct view data;

	switch (stream_read_body(e->lease.stream, &data, &why)) {
	case H1_PIECE_DATA:
		take_content(e, data);
		if (e->answer_bytes <= ANSWER_READ_MAX)
			return true;
		answered(e);
		return false;
	case H1_PIECE_MORE: return receive(e);
	case H1_PIECE_TRAILERS: return take_trailers(e);
	case H1_PIECE_END: answered(e); return false;
	case H1_PIECE_BAD: lost(e, CAUSE_UPSTREAM_BAD_RESPONSE); return false;
	}
	return false;
}

/* --- the question ------------------------------------------------------------------------------------------------------ */

static void put_proxy_header(struct exporter *e)
{
	unsigned version = e->lease.conn->proxy_protocol;
	char header[PROXY_HEADER_WRITTEN_MAX];

	if (version == PROXY_PROTOCOL_OFF || stream_is_h2(e->lease.stream))
		return;
	h1_conn_put_raw(&e->lease.conn->h1,
		view_of(header, proxy_header_write(header, (enum proxy_header_version)version, NULL, NULL)));
}

static bool put_head(struct exporter *e)
{
	const struct config_tracing *t = e->settings;
	struct h1_writer w;

	stream_begin_message(e->lease.stream);
	put_proxy_header(e);
	w = stream_begin_head(e->lease.stream, HEAD_ROOM);
	h1_put_request_line(&w, VIEW("POST"), t->path);
	h1_put_field(&w, VIEW("Host"), e->lease.picked->authority);
	h1_put_field(&w, VIEW("User-Agent"), VIEW("weir"));
	h1_put_field(&w, VIEW("Content-Type"), VIEW("application/json"));
	for (size_t i = 0; i < t->header_count; i++)
		h1_put_field(&w, t->headers[i].name, t->headers[i].value);
	h1_put_length(&w, buf_len(&e->text));
	return stream_end_head(e->lease.stream, &w, FRAMING_LENGTH);
}

/* As much of the text as goes out now. True: there is more, and room for it. */
static bool send_text(struct exporter *e)
{
	struct stream *s = e->lease.stream;
	uint32_t n = buf_len(&e->text);

	for (int i = 0; i < SEND_PIECES && e->at < n; i++) {
		uint32_t piece = n - e->at < SEND_BYTES ? n - e->at : SEND_BYTES;

		if (stream_blocked(s) || stream_broken(s) || stream_send_error(s) != 0)
			return false;
		stream_put_body(s, view_from(view_of(buf_view(&e->text).p, e->at + piece), e->at));
		e->at += piece;
		if (e->at == n) {
			stream_put_end(s, NULL);
			e->sent_us = io_now_us(e->io);
		}
		/* What went wrong with it is seen when it is read. */
		stream_flush(s);
		if (e->at == n)
			upstream_sent(&e->lease);
	}
	return e->at < n && !stream_blocked(s);
}

static void pump(struct exporter *e)
{
	bool sends_more = e->at < buf_len(&e->text) && send_text(e);
	int pieces = 0;

	while (e->state == EXPORTER_POSTED && pieces < READ_PIECES && (e->status == 0 ? take_head(e) : take_body(e)))
		pieces++;
	if (e->state == EXPORTER_POSTED && (sends_more || pieces == READ_PIECES))
		io_defer(e->io, &e->task);
}

static void post(struct exporter *e)
{
	e->state = EXPORTER_POSTED;
	e->at = 0;
	e->posted_us = io_now_us(e->io);
	e->sent_us = 0;
	e->status = 0;
	e->informational = 0;
	e->answer_bytes = 0;
	e->retry_after_us = 0;
	e->keeps = false;
	if (put_head(e))
		pump(e);
	else
		lost(e, CAUSE_UPSTREAM_RESET);
}

/* --- the lease ---------------------------------------------------------------------------------------------------------- */

static void on_outcome(struct upstream_lease *lease, enum cause cause)
{
	struct exporter *e = container_of(lease, struct exporter, lease);

	if (cause == CAUSE_NONE) {
		post(e);
		return;
	}
	let_go(e, false);
	failed(e);
}

static void on_ready(struct upstream_lease *lease)
{
	pump(container_of(lease, struct exporter, lease));
}

static uint64_t owed_since(struct upstream_lease *lease)
{
	const struct exporter *e = container_of(lease, struct exporter, lease);

	return e->status == 0 ? e->sent_us : 0;
}

static const struct upstream_lease_ops lease_ops = {
	.on_outcome = on_outcome, .on_ready = on_ready, .owed_since = owed_since};

bool exporter_holds(const struct upstream_lease *lease)
{
	return lease->ops == &lease_ops;
}

static void lease_answered(struct exporter *e, enum upstream_answer answer)
{
	switch (answer) {
	case UPSTREAM_ACQUIRED: post(e); return;
	case UPSTREAM_PENDING: return;
	case UPSTREAM_FAILED:
		let_go(e, false);
		failed(e);
		return;
	}
}

static void ask(struct exporter *e)
{
	uint64_t until_us = deadline_after(io_now_us(e->io), e->settings->timeout_us);
	enum cause cause = CAUSE_NONE;

	e->state = EXPORTER_LEASING;
	e->was_stale = false;
	upstream_lease_init(&e->lease);
	e->lease.ops = &lease_ops;
	/* Behind those of requests. */
	e->lease.priority = 3;
	io_timer_set(e->io, &e->timer, until_us);
	lease_answered(e, upstream_acquire(e->ups, e->settings->upstream, &e->lease, until_us, &cause));
}

/* --- the text ----------------------------------------------------------------------------------------------------------- */

/* A few of them. False: memory is out. */
static bool write_some(struct exporter *e)
{
	bool good = e->spans > 0 || otlp_begin(&e->text, e->settings->service_name);

	for (int i = 0; good && i < WRITE_SPANS && e->spans < e->settings->batch; i++) {
		const struct trace_span *span = span_queue_first(&e->queue);

		if (span == NULL)
			break;
		good = otlp_span(&e->text, span, e->spans == 0);
		span_queue_drop(&e->queue);
		e->spans++;
	}
	count_here(e);
	return good;
}

static void write_on(struct exporter *e)
{
	bool good = write_some(e);

	if (good && e->spans < e->settings->batch && span_queue_first(&e->queue) != NULL) {
		io_defer(e->io, &e->task);
		return;
	}
	if (good && otlp_end(&e->text)) {
		ask(e);
		return;
	}
	drop_batch(e, TRACE_DROP_MEMORY);
	rest(e);
}

static void on_task(struct io_task *task)
{
	struct exporter *e = container_of(task, struct exporter, task);

	if (e->state == EXPORTER_WRITING)
		write_on(e);
	else
		pump(e);
}

/* --- when --------------------------------------------------------------------------------------------------------------- */

static void begin(struct exporter *e)
{
	e->state = EXPORTER_WRITING;
	io_timer_cancel(e->io, &e->timer);
	io_defer(e->io, &e->task);
}

/* Nothing is under way: the next batch, or the wait for it. */
static void rest(struct exporter *e)
{
	e->state = EXPORTER_RESTING;
	if (e->queue.count == 0) {
		io_timer_cancel(e->io, &e->timer);
		if (e->on_idle != NULL)
			io_defer(e->io, &e->idle);
	} else if (e->hurries || e->queue.count >= e->settings->batch) {
		begin(e);
	} else {
		io_timer_set(e->io, &e->timer, deadline_after(io_now_us(e->io), e->settings->interval_us));
	}
}

static void on_timer(struct io_timer *timer)
{
	struct exporter *e = container_of(timer, struct exporter, timer);

	switch ((enum exporter_state)e->state) {
	case EXPORTER_RESTING: begin(e); return;
	case EXPORTER_WRITING: return;
	case EXPORTER_PAUSING: ask(e); return;
	case EXPORTER_LEASING:
		let_go(e, false);
		failed(e);
		return;
	case EXPORTER_POSTED: lost(e, e->status == 0 ? CAUSE_FIRST_BYTE_TIMEOUT : CAUSE_UPSTREAM_IDLE_TIMEOUT); return;
	}
}

static void on_idle_task(struct io_task *task)
{
	struct exporter *e = container_of(task, struct exporter, idle);

	if (e->on_idle != NULL && exporter_is_idle(e))
		e->on_idle(e->context);
}

void exporter_offer(struct exporter *e, const struct trace_span *span)
{
	e->stats->offered++;
	if (e->settings == NULL || e->stopped) {
		e->stats->dropped[e->stopped ? TRACE_DROP_SHUTDOWN : TRACE_DROP_OFF]++;
		return;
	}
	if (!span_queue_put(&e->queue, span, PLANTED(SPANS_UNBOUNDED) ? SIZE_MAX : e->settings->queue_spans, e->settings->queue_bytes)) {
		e->stats->dropped[TRACE_DROP_QUEUE_FULL]++;
		return;
	}
	count_here(e);
	if (e->state != EXPORTER_RESTING)
		return;
	if (e->hurries || e->queue.count >= e->settings->batch)
		begin(e);
	else if (!io_timer_armed(&e->timer))
		rest(e);
}

/* --- its life ----------------------------------------------------------------------------------------------------------- */

struct exporter *exporter_create(struct io *io, struct upstreams *ups, struct trace_stats *stats)
{
	struct exporter *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->io = io;
	e->ups = ups;
	e->stats = stats;
	e->timer.on_fire = on_timer;
	e->task.on_run = on_task;
	e->idle.on_run = on_idle_task;
	upstream_lease_init(&e->lease);
	return e;
}

/* Nothing is under way any more. */
static void break_off(struct exporter *e, enum trace_drop why)
{
	let_go(e, false);
	drop_batch(e, why);
	drop_queued(e, why);
	e->state = EXPORTER_RESTING;
}

void exporter_adopt(struct exporter *e, const struct config_tracing *settings)
{
	e->settings = settings->enabled ? settings : NULL;
	if (e->settings == NULL)
		break_off(e, TRACE_DROP_OFF);
}

bool exporter_is_idle(const struct exporter *e)
{
	return e->state == EXPORTER_RESTING && e->queue.count == 0;
}

void exporter_flush(struct exporter *e, void (*on_idle)(void *context), void *context)
{
	e->on_idle = on_idle;
	e->context = context;
	if (e->hurries)
		return;
	e->hurries = true;
	if (e->state == EXPORTER_RESTING) {
		begin(e);
	} else if (e->state == EXPORTER_PAUSING) {
		io_timer_cancel(e->io, &e->timer);
		ask(e);
	}
}

void exporter_stop(struct exporter *e)
{
	e->stopped = true;
	e->on_idle = NULL;
	io_defer_cancel(e->io, &e->idle);
	break_off(e, TRACE_DROP_SHUTDOWN);
}

void exporter_free(struct exporter *e)
{
	if (e == NULL)
		return;
	CHECK(e->lease.stage == LEASE_NONE && exporter_is_idle(e));
	free(e);
}
