/*
 * One batch at a time:
 *
 *     RESTING --(the first span has waited for `interval`, or a batch is there)--> WRITING: its text, a few spans a turn
 *        ^                                                                            |
 *        |                            .---------------------------------------------> POSTING: post.c
 *        |                            |                                               |
 *        |                        PAUSING <--(no answer, 429, 502, 503, 504)----------|
 *        |                                                                            |
 *        '--(exported; rejected; tried ATTEMPTS_MAX times)----------------------------'
 *
 * The text of a batch is kept until it is taken, or given up; its spans have left the queue then. So what there is at most is the
 * queue and the text of one batch. A pause grows, with chance in it; where the collector says Retry-After that counts, up to a minute.
 *
 * Each state but RESTING has a deadline. Nothing here runs for long: spans are written a few in a turn.
 */
#include "tracing/exporter.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/planted.h"
#include "tracing/otlp.h"
#include "tracing/post.h"

enum {
	WRITE_SPANS = 4,               /* in a turn: one takes some 30 microseconds, and several times that on a busy machine */
	ATTEMPTS_MAX = 5,
};

#define PAUSE_FIRST_US (500 * US_PER_MS)
#define PAUSE_MAX_US (30 * US_PER_S)
#define RETRY_AFTER_MAX_US (60 * US_PER_S)

enum exporter_state { EXPORTER_RESTING, EXPORTER_WRITING, EXPORTER_POSTING, EXPORTER_PAUSING };

struct exporter {
	struct io *io;
	struct upstreams *ups;
	struct trace_stats *stats;
	const struct config_tracing *settings;  /* NULL: off */
	struct span_queue queue;
	struct buf text;               /* of the batch */
	size_t spans;                  /* in it */
	struct post post;
	struct io_timer timer;
	struct io_task task;           /* writes on */
	uint8_t attempts;
	uint8_t state;                 /* enum exporter_state */
	bool stopped;
	bool hurries;                  /* exporter_flush */
	void (*on_idle)(void *context);
	void *context;
	struct io_task idle;
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

/* --- a try ------------------------------------------------------------------------------------------------------------- */

/* "Full jitter", as for requests (gateway/retry.c), but never at once. */
static uint64_t pause_us(struct exporter *e)
{
	uint64_t most = PAUSE_FIRST_US << e->attempts;

	if (e->post.retry_after_us != 0)
		return e->post.retry_after_us < RETRY_AFTER_MAX_US ? e->post.retry_after_us : RETRY_AFTER_MAX_US;
	if (most > PAUSE_MAX_US)
		most = PAUSE_MAX_US;
	return most / 2 + io_random(e->io) % (most / 2);
}

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

static void count_exported(struct exporter *e)
{
	struct view answer = post_answer(&e->post);
	uint64_t rejected = answer.n > 0 ? otlp_rejected(answer) : 0;

	if (rejected > e->spans)
		rejected = e->spans;
	e->stats->dropped[TRACE_DROP_REJECTED] += rejected;
	e->stats->exported += e->spans - rejected;
	forget_batch(e);
}

static bool may_be_repeated(unsigned status)
{
	return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

static void posted(struct exporter *e)
{
	unsigned status = e->post.status;

	if (status >= 200 && status < 300) {
		count_exported(e);
		rest(e);
	} else if (may_be_repeated(status)) {
		failed(e);
	} else {
		e->stats->failures++;
		drop_batch(e, TRACE_DROP_REJECTED);
		rest(e);
	}
}

static void on_over(struct post *post)
{
	posted(container_of(post, struct exporter, post));
}

static void ask(struct exporter *e)
{
	e->state = EXPORTER_POSTING;
	io_timer_cancel(e->io, &e->timer);
	if (!post_begin(&e->post, e->ups, buf_view(&e->text)))
		posted(e);
}

bool exporter_holds(const struct upstream_lease *lease)
{
	return post_holds(lease);
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
	write_on(container_of(task, struct exporter, task));
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
	case EXPORTER_PAUSING: ask(e); return;
	case EXPORTER_WRITING:
	case EXPORTER_POSTING: return;
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
	post_init(&e->post, io, on_over);
	return e;
}

/* Nothing is under way any more. */
static void break_off(struct exporter *e, enum trace_drop why)
{
	post_break_off(&e->post);
	io_timer_cancel(e->io, &e->timer);
	io_defer_cancel(e->io, &e->task);
	drop_batch(e, why);
	drop_queued(e, why);
	e->state = EXPORTER_RESTING;
}

void exporter_adopt(struct exporter *e, const struct config_tracing *settings)
{
	e->settings = e->post.settings = settings->enabled ? settings : NULL;
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
	CHECK(e->post.state == POST_OVER && exporter_is_idle(e));
	free(e);
}
