/*
 * See shedding.h. Shedding by thresholds with hysteresis, on measurements that are smoothed where they jump: what operators
 * know from Envoy's overload manager, and from the accept limits of HAProxy. Waiting in the loop is measured as SEDA proposes
 * (Welsh, Culler, Brewer, SOSP 2001): by what an event experiences, not by processor time, which says nothing of waiting.
 *
 *     dozing --work--> watching: every WATCH_US a look at each mark --nothing new, nothing passed--> dozing
 *
 * (dozing it only tells the others now and then how many descriptors it has)
 *
 *     below --(at the mark, or above)--> passed: new work is refused --(below the relief)--> below
 *
 *     mark          what is measured                                       relief   refused
 *     files         sockets of all loops, and what else was open           15/16    connections
 *     memory        resident, less what workers hold that is free          15/16    connections, requests
 *     loop_lag      how long a letter of the loop to itself takes, or      1/2      connections, requests
 *                   how late its timer is
 *     accept_queue  the longest of the worker's, as a share of its room    1/2      connections
 *
 * New work is refused only where there is old work to protect. A worker without another client takes one, and a worker
 * without another request under way takes that, whatever the marks say: so a mark that is too low, or memory that never comes
 * back, makes the gateway slow and not dead.
 *
 * Connections are accepted and answered, or closed, rather than left in the kernel's queue: whoever waits there learns nothing
 * and keeps waiting, and a load balancer in front would not go elsewhere. Requests on connections that are there are answered
 * with 503, and the connection is kept: a new one would cost more than the request.
 *
 * When files are short, what has them is asked to go: answers of HTTP/1.1 say Connection: close, and connections that rest
 * between two requests are closed, some at each look. Requests are served: most need no new descriptor, and the rest between
 * the mark and the limit is kept for those that do.
 *
 * Lag and queue are smoothed by a quarter at each look, so that one pause (a reload, a processor that was taken away) sheds
 * nobody: it takes four times the mark of standing still, or a lag of twice the mark for three looks.
 *
 * Weak points: a look is every 100 ms, so memory may grow beyond its mark by what comes in that time. The lag is that of
 * the letter: work that one event makes is counted, work that it only begins is not. With files the workers know of each
 * other what was so at most a millisecond before they asked.
 */
#include "gateway/shedding.h"

#include <malloc.h>
#include <stdio.h>

#include "base/check.h"
#include "gateway/state.h"

#define WATCH_US (100 * US_PER_MS)
#define LOOKS_MISSED_MAX 600 /* that are made up for */
#define OTHERS_US (1 * US_PER_MS)
#define DOZE_US (1 * US_PER_S)
#define TRIM_US (1 * US_PER_S)
#define QUIET_US (10 * US_PER_MS)

enum {
	PARTED_MAX = 64,       /* connections at rest that are closed at one look */
	PARTED_LOOKED_AT = 2000,
};

#define BIT(mark) (1u << (mark))
#define REFUSE_REQUESTS (BIT(SHED_MEMORY) | BIT(SHED_LOOP_LAG))

/* Of the process: every worker sees the same. */
#define OF_PROCESS (BIT(SHED_FILES) | BIT(SHED_MEMORY))

static const struct {
	const char *word;
	enum cause cause;
	const char *why;
	unsigned relief;       /* sixteenths of the mark, below which it ends */
} marks[SHED_MARKS] = {
	[SHED_FILES] = {"files", CAUSE_FILES_EXHAUSTED, "the last open files are kept for what is under way", 15},
	[SHED_MEMORY] = {"memory", CAUSE_MEMORY_EXHAUSTED, "what is left is kept for what is under way", 15},
	[SHED_LOOP_LAG] = {"loop_lag", CAUSE_OVERLOADED, "its loop is behind", 8},
	[SHED_ACCEPT_QUEUE] = {"accept_queue", CAUSE_OVERLOADED, "too many connections wait to be accepted", 8},
};

const char *shed_mark_word(enum shed_mark mark)
{
	return marks[mark].word;
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

enum { VALUE_BYTES = 48 };

/* What is measured, as operators read it. */
static void value_format(enum shed_mark mark, unsigned long long value, char text[VALUE_BYTES])
{
	switch (mark) {
	case SHED_MEMORY: snprintf(text, VALUE_BYTES, "%llu MiB", value / MIB); return;
	case SHED_LOOP_LAG: snprintf(text, VALUE_BYTES, "%llu ms", value / US_PER_MS); return;
	case SHED_ACCEPT_QUEUE: snprintf(text, VALUE_BYTES, "%llu%%", value / 10); return;
	default: snprintf(text, VALUE_BYTES, "%llu", value); return;
	}
}

static void tell(const struct shedding *s, int level, const char *text)
{
	s->worker->observer.on_event(s->worker->observer.context, level, text);
}

static void tell_begin(const struct shedding *s, enum shed_mark mark, uint64_t value, uint64_t at)
{
	char text[200], is[VALUE_BYTES], limit[VALUE_BYTES];

	value_format(mark, value, is);
	value_format(mark, at, limit);
	snprintf(text, sizeof(text), "shedding begins: %s is at %s, the mark is %s; new %s refused", marks[mark].word, is,
		limit, REFUSE_REQUESTS & BIT(mark) ? "connections and requests are" : "connections are");
	tell(s, LEVEL_WARNING, text);
}

static void tell_end(const struct shedding *s, enum shed_mark mark, uint64_t value, uint64_t refused)
{
	unsigned long long ms = (io_now_us(s->worker->io) - s->since_us[mark]) / US_PER_MS;
	char text[200], is[VALUE_BYTES];

	value_format(mark, value, is);
	snprintf(text, sizeof(text), "shedding ends: %s is at %s; %llu were refused in %llu.%03llu s", marks[mark].word, is,
		(unsigned long long)refused, ms / 1000, ms % 1000);
	tell(s, LEVEL_WARNING, text);
}

/* --- passing a mark, and coming back ------------------------------------------------------------------------------------ */

static bool is_watched_for_anything(const struct shedding *s)
{
	const struct config_shedding_marks *m = &s->marks;

	return m->files != 0 || m->memory_bytes != 0 || m->loop_lag_us != 0 || m->accept_queue_permille != 0;
}

static void settle(struct shedding *s)
{
	s->parts = (s->passed & BIT(SHED_FILES)) != 0;
	s->looks = (s->passed & REFUSE_REQUESTS) != 0 || (is_watched_for_anything(s) && s->due_us == 0);
}

static void mark_begin(struct shedding *s, enum shed_mark mark, uint64_t value, uint64_t at)
{
	struct pressure *p = &s->worker->shared->pressure;
	struct shed_stats *stats = &s->worker->stats.shed;

	s->passed |= (uint8_t)BIT(mark);
	s->since_us[mark] = io_now_us(s->worker->io);
	s->refused[mark] = 0;
	stats->passed[mark] = 1;
	stats->begun[mark]++;
	settle(s);
	/* What is the whole process's is told by the first worker that sees it, and by the last. */
	if (BIT(mark) & OF_PROCESS && atomic_fetch_add(&p->passed[mark], 1) > 0)
		return;
	if (BIT(mark) & OF_PROCESS)
		atomic_store(&p->refused[mark], 0);
	tell_begin(s, mark, value, at);
}

static void mark_end(struct shedding *s, enum shed_mark mark, uint64_t value)
{
	struct pressure *p = &s->worker->shared->pressure;
	uint64_t refused = s->refused[mark];

	s->passed &= (uint8_t)~BIT(mark);
	s->worker->stats.shed.passed[mark] = 0;
	settle(s);
	if (BIT(mark) & OF_PROCESS) {
		atomic_fetch_add(&p->refused[mark], refused);
		refused = atomic_load(&p->refused[mark]);
		if (atomic_fetch_sub(&p->passed[mark], 1) > 1)
			return;
	}
	tell_end(s, mark, value, refused);
}

/* `at`: the mark; 0: there is none. */
static void judge(struct shedding *s, enum shed_mark mark, uint64_t value, uint64_t at)
{
	bool passed = (s->passed & BIT(mark)) != 0;

	if (!passed && at != 0 && value >= at)
		mark_begin(s, mark, value, at);
	else if (passed && (at == 0 || value < at * marks[mark].relief / 16))
		mark_end(s, mark, value);
}

/* --- measuring ------------------------------------------------------------------------------------------------------------ */

static void publish(const struct shedding *s)
{
	struct worker *w = s->worker;
	struct pressure_cell *cells = w->shared->pressure.cells;

	if (cells == NULL)
		return;
	size_t free_bytes = slab_free_bytes(&w->client_slab) + slab_free_bytes(&w->exchange_slab) +
			    slab_free_bytes(&w->stream_slab);

	atomic_store_explicit(&cells[w->index].files, io_files_open(w->io), memory_order_relaxed);
	atomic_store_explicit(&cells[w->index].free_bytes, free_bytes, memory_order_relaxed);
}

/* Those of the other loops, and what belongs to none. */
static size_t files_of_others(struct shedding *s)
{
	const struct pressure *p = &s->worker->shared->pressure;
	uint64_t now_us = io_now_us(s->worker->io);

	if (s->others_us != 0 && now_us - s->others_us < OTHERS_US)
		return s->others_files;
	s->others_us = now_us;
	s->others_files = p->files_beside;
	for (unsigned i = 0; p->cells != NULL && i < p->workers; i++)
		if (i != s->worker->index)
			s->others_files += atomic_load_explicit(&p->cells[i].files, memory_order_relaxed);
	return s->others_files;
}

static void judge_files(struct shedding *s)
{
	if (s->marks.files == 0 && !(s->passed & BIT(SHED_FILES)))
		return;
	publish(s);
	judge(s, SHED_FILES, io_files_open(s->worker->io) + files_of_others(s), s->marks.files);
}

static uint64_t memory_used(const struct shedding *s, uint64_t resident)
{
	const struct pressure *p = &s->worker->shared->pressure;
	uint64_t unused = 0;

	for (unsigned i = 0; p->cells != NULL && i < p->workers; i++)
		unused += atomic_load_explicit(&p->cells[i].free_bytes, memory_order_relaxed);
	return resident > unused ? resident - unused : 0;
}

/* Freed memory stays with the C library, and counts as resident until it is told to give it back. */
static void give_back(struct shedding *s)
{
	uint64_t now_us = io_now_us(s->worker->io);

	if (!list_empty(&s->worker->exchanges) || now_us - s->trimmed_us < TRIM_US)
		return;
	s->trimmed_us = now_us;
	malloc_trim(0);
}

static void judge_memory(struct shedding *s)
{
	if (s->marks.memory_bytes == 0 && !(s->passed & BIT(SHED_MEMORY)))
		return;
	uint64_t resident = io_resident_bytes(s->worker->io);

	/* Not known is not little. */
	if (resident != 0 || s->marks.memory_bytes == 0)
		judge(s, SHED_MEMORY, memory_used(s, resident), s->marks.memory_bytes);
	if (s->passed & BIT(SHED_MEMORY))
		give_back(s);
}

static uint64_t smooth(uint64_t before, uint64_t value)
{
	/* Rounded so that it comes to nothing in the end. */
	return before - (before + 3) / 4 + value / 4;
}

/* The look that is due. */
static uint64_t late_by(const struct shedding *s)
{
	uint64_t now_us = io_now_us(s->worker->io);

	return s->due_us != 0 && now_us > s->due_us ? now_us - s->due_us : 0;
}

/* The letter tells how long events wait behind others; the timer, when the loop has stood still as a whole. */
static uint64_t lag_measure(const struct shedding *s)
{
	uint64_t late_us = late_by(s), lag_us = io_letter_us(s->worker->io);

	/* A timer is late by up to two milliseconds as it is. */
	return late_us > lag_us && late_us > 2 * US_PER_MS ? late_us : lag_us;
}

static void note_wait(struct shed_stats *stats, uint64_t wait_us)
{
	unsigned bucket = 0;

	while (bucket + 1 < SHED_LAG_BUCKETS && wait_us >= (uint64_t)SHED_LAG_FIRST_US << bucket)
		bucket++;
	stats->lag_counts[bucket]++;
	stats->lag_sum_us += wait_us;
}

static void judge_lag(struct shedding *s)
{
	struct shed_stats *stats = &s->worker->stats.shed;
	uint64_t lag_us = lag_measure(s), wait_us = lag_us;

	stats->late_us += lag_us;
	note_wait(stats, wait_us);
	/*
	 * Looks that could not be made, as the loop stood still: what came at their time has waited for the rest of it. Of a longer
	 * time, as of a process that was stopped, the first ones do.
	 */
	for (unsigned i = 0; i < LOOKS_MISSED_MAX && wait_us >= WATCH_US; i++, wait_us -= WATCH_US)
		note_wait(stats, wait_us - WATCH_US);
	s->lag_us = smooth(s->lag_us, lag_us);
	judge(s, SHED_LOOP_LAG, s->lag_us, s->marks.loop_lag_us);
}

static void judge_queue(struct shedding *s)
{
	struct worker *w = s->worker;
	uint64_t worst = 0, together = 0;

	for (size_t i = 0; s->marks.accept_queue_permille != 0 && i < w->listener_count; i++) {
		const struct io_source *source = &w->listeners[i]->listener.source;
		unsigned waiting, max;

		if (source->fd < 0 || io_accept_queue(w->io, source, &waiting, &max) < 0 || max == 0)
			continue;
		uint64_t permille = waiting * 1000ull / max;

		worst = permille > worst ? permille : worst;
		together += waiting;
	}
	w->stats.shed.accept_waiting = together;
	s->queue_permille = smooth(s->queue_permille, worst);
	judge(s, SHED_ACCEPT_QUEUE, s->queue_permille, s->marks.accept_queue_permille);
}

/* --- the watch -------------------------------------------------------------------------------------------------------------- */

/* Some of the connections between two requests are closed, those first that were accepted first. */
static void part_some(struct shedding *s)
{
	unsigned looked_at = 0, parted = 0;

	list_each_safe(&s->worker->clients, node, next) {
		if (++looked_at > PARTED_LOOKED_AT || parted == PARTED_MAX)
			return;
		parted += client_part(container_of(node, struct client, node));
	}
}

/* In step with the ones before, so that looks which could not be made and those that are lie at one distance from each other. */
static uint64_t next_look_us(const struct shedding *s)
{
	return deadline_after(io_now_us(s->worker->io), WATCH_US - late_by(s) % WATCH_US);
}

static void watch(struct shedding *s)
{
	publish(s);
	judge_files(s);
	judge_memory(s);
	judge_lag(s);
	judge_queue(s);
	s->due_us = next_look_us(s);
	io_timer_set(s->worker->io, &s->timer, s->due_us);
	settle(s);
	if (s->parts)
		part_some(s);
}

static void doze(struct shedding *s)
{
	const struct worker *w = s->worker;

	publish(s);
	s->due_us = 0;
	settle(s);
	/* What it has beside its listeners will be closed some time, which the others are to hear of. */
	if (s->marks.files != 0 && io_files_open(w->io) > w->listener_count)
		io_timer_set(w->io, &s->timer, deadline_after(io_now_us(w->io), DOZE_US));
}

static void on_timer(struct io_timer *timer)
{
	struct shedding *s = container_of(timer, struct shedding, timer);
	const struct worker_stats *stats = &s->worker->stats;
	uint64_t work = stats->connections_accepted + stats->exchanges_started;
	bool is_quiet = work == s->work_seen && s->lag_us < QUIET_US && s->queue_permille == 0;

	s->work_seen = work;
	if (s->passed == 0 && is_quiet)
		doze(s);
	else
		watch(s);
}

static void wake(struct shedding *s)
{
	if (s->due_us != 0 || s->worker->draining)
		return;
	s->lag_us = s->queue_permille = 0;
	if (is_watched_for_anything(s))
		watch(s);
}

void shedding_init(struct shedding *s, struct worker *worker)
{
	*s = (struct shedding){.worker = worker, .timer.on_fire = on_timer};
}

void shedding_adopt(struct shedding *s, const struct config_shedding *config)
{
	s->marks = config_shedding_marks(config, &s->worker->shared->pressure.machine);
	if (is_watched_for_anything(s))
		settle(s);
	else
		shedding_end(s);
}

void shedding_end(struct shedding *s)
{
	for (int mark = 0; mark < SHED_MARKS; mark++)
		if (s->passed & BIT(mark))
			mark_end(s, (enum shed_mark)mark, 0);
	io_timer_cancel(s->worker->io, &s->timer);
	s->due_us = 0;
	s->looks = s->parts = false;
}

/* --- refusing ----------------------------------------------------------------------------------------------------------------- */

/* The first mark of `passed`, which is not empty. */
static enum cause refuse(struct shedding *s, unsigned passed, uint64_t counts[SHED_MARKS], const char **why)
{
	enum shed_mark mark = (enum shed_mark)__builtin_ctz(passed);

	s->refused[mark]++;
	counts[mark]++;
	*why = marks[mark].why;
	return marks[mark].cause;
}

enum cause shedding_judge_connection(struct shedding *s, const char **why)
{
	struct worker *w = s->worker;

	if (w->draining)
		return CAUSE_NONE;
	wake(s);
	judge_files(s);
	if (s->passed == 0 || w->stats.connections_open <= 1 + w->turned_away)
		return CAUSE_NONE;
	return refuse(s, s->passed, w->stats.shed.connections, why);
}

bool shedding_may_tell(const struct shedding *s)
{
	uint64_t max = s->worker->shared->pressure.machine.files_max;

	if (!(s->passed & BIT(SHED_FILES)))
		return true;
	return io_files_open(s->worker->io) + s->others_files < s->marks.files + (max - s->marks.files) / 2;
}

enum cause shedding_judge_request(struct shedding *s, const char **why)
{
	struct worker *w = s->worker;

	wake(s);
	settle(s);
	/* One is this request itself. */
	if (!(s->passed & REFUSE_REQUESTS) || w->stats.exchanges_started - w->stats.exchanges_finished <= 1)
		return CAUSE_NONE;
	return refuse(s, s->passed & REFUSE_REQUESTS, w->stats.shed.requests, why);
}
