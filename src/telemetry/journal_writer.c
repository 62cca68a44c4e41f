/*
 * The writer's day:
 *
 *             nothing found                     entries found
 *    asleep <----------------- a pass over all rings -----------> napping
 *      |  an entry, an order     ^     ^       100 ms, an order    |
 *      +-------------------------+     +---------------------------+
 *
 * Under load it naps between passes, so workers hardly ever make a system call to wake it: the first entry after a quiet time rings the
 * bell, and whoever finds a ring filling. One write takes the lines of a nap, or as many as a large write takes.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "telemetry/entry.h"
#include "telemetry/journal_state.h"

#define PASS_ENTRIES_MAX 4096           /* of one ring in one pass, so that no worker keeps the others' lines waiting */
#define ORDER_ENTRIES_MAX (RING_BYTES_WORKER / 16)  /* before an order: more than a ring holds */
#define DROPS_REPORT_US (1 * US_PER_S)

static bool journal_has_orders(struct journal *journal)
{
	return atomic_load(&journal->reopen_wanted) || atomic_load(&journal->stop_wanted) || atomic_load(&journal->next) != NULL;
}

static bool journal_has_entries(struct journal *journal)
{
	for (unsigned i = 0; i < journal->source_count; i++)
		if (!ring_empty(&journal->sources[i].ring))
			return true;
	return false;
}

static void journal_sleep(struct journal *journal)
{
	bell_lie_down(&journal->bell, BELL_ASLEEP);
	/* What is urgent may be written already, by one pass; the next takes the word back. Else nobody would ring again. */
	if (!journal_has_orders(journal) && !journal_has_entries(journal) && !atomic_load(&journal->is_urgent))
		bell_wait(&journal->bell, DEADLINE_NEVER);
	bell_get_up(&journal->bell);
}

/* Until lines that wait have waited for long enough. */
static void journal_nap(struct journal *journal)
{
	uint64_t waited_us = journal->output->sink.n > 0 ? journal->passed_us - journal->flushed_us : 0;

	bell_lie_down(&journal->bell, BELL_NAPPING);
	if (!journal_has_orders(journal) && !atomic_load(&journal->is_urgent))
		bell_wait(&journal->bell, JOURNAL_LINGER_US - waited_us);
	bell_get_up(&journal->bell);
}

/* Counters have one writer, so a load and a store do. */
static void counter_add(_Atomic(uint64_t) *counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* Ends the line in the making; a length of 0 says that it could not be formatted. */
static void journal_line_done(struct journal *journal, struct sink *sink, size_t n)
{
	sink_line_done(sink, n);
	counter_add(n != 0 ? &journal->lines : &journal->unformatted, 1);
}

static void journal_write_event(struct journal *journal, uint64_t wall_us, int level, const char *source, struct view text)
{
	char *line = sink_line(&journal->events);

	journal_line_done(journal, &journal->events, format_event(wall_us, level, source, text, line));
}

/* An event of the writer's own, not subject to the level. */
__attribute__((format(printf, 2, 3))) static void journal_complain(struct journal *journal, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	journal_write_event(journal, clock_us(CLOCK_REALTIME), LEVEL_WARNING, "log", view_str(text));
}

static size_t output_format(struct journal_output *output, const struct exchange_record *record, char *line)
{
	if (output->format == LOG_JSON)
		return format_record_json(record, &output->fields, &output->moment, line);
	return output->fields.count > 0 ? format_record_pairs(record, &output->fields, line) : format_record_text(record, line);
}

static void journal_write_entry(struct journal *journal, const struct journal_source *source, void *packed)
{
	struct sink *access = &journal->output->sink;
	struct entry entry;

	entry_unpack(&entry, packed);
	if (entry.kind == ENTRY_EVENT) {
		journal_write_event(journal, entry.u.event.wall_us, entry.u.event.level, source->name, entry.u.event.text);
		return;
	}
	/* It was told before the log was turned off. */
	if (access->fd < 0)
		return;
	char *line = sink_line(access);

	journal_line_done(journal, access, output_format(journal->output, &entry.u.record, line));
}

/* Formats what waits in one ring, `max` entries at most; how many that were. */
static size_t journal_drain(struct journal *journal, struct journal_source *source, size_t max)
{
	size_t count = 0, n;
	void *packed;

	while (count < max && (packed = ring_peek(&source->ring, &n)) != NULL) {
		journal_write_entry(journal, source, packed);
		ring_consume(&source->ring);
		count++;
	}
	if (count == max)
		atomic_store(&journal->is_urgent, true);
	return count;
}

/* Says what has been dropped since the last time, but not more often than DROPS_REPORT_US. */
static void journal_report_drops(struct journal *journal, bool last_time)
{
	uint64_t now_us = clock_us(CLOCK_REALTIME);

	if (!last_time && now_us - journal->drops_reported_us < DROPS_REPORT_US)
		return;
	journal->drops_reported_us = now_us;
	for (unsigned i = 0; i < journal->source_count; i++) {
		struct journal_source *source = &journal->sources[i];
		uint64_t dropped = ring_dropped(&source->ring);

		if (dropped == source->dropped_reported)
			continue;
		journal_complain(journal, "%" PRIu64 " log lines of %s were dropped: they came faster than they could be written",
			dropped - source->dropped_reported, source->name);
		source->dropped_reported = dropped;
	}
}

/* Says when writing begins to fail, fails differently, or works again. */
static void journal_report_error(struct journal *journal)
{
	const struct sink *access = &journal->output->sink;
	const char *path = access->path != NULL ? access->path : "standard output";
	int error = access->error;

	if (error == journal->access_error_reported)
		return;
	if (error != 0)
		journal_complain(journal, "the access log cannot be written, its lines are lost: %s: %s", path, strerror(error));
	else
		journal_complain(journal, "the access log is written again: %s (%" PRIu64 " bytes of lines were lost)", path,
			access->bytes_lost);
	journal->access_error_reported = error;
}

static void journal_flush(struct journal *journal)
{
	struct sink *access = &journal->output->sink, *events = &journal->events;

	if (access->n > 0) {
		sink_flush(access);
		journal->flushed_us = journal->passed_us;
	}
	journal_report_error(journal);
	sink_flush(events);
	atomic_store_explicit(&journal->write_errors, access->errors + events->errors, memory_order_relaxed);
	atomic_store_explicit(&journal->lines_lost, access->lines_lost + events->lines_lost, memory_order_relaxed);
	atomic_store_explicit(&journal->bytes_lost, access->bytes_lost + events->bytes_lost, memory_order_relaxed);
}

static void journal_do_reopen(struct journal *journal)
{
	struct sink *access = &journal->output->sink;
	int error = access->fd >= 0 ? sink_reopen(access) : 0;

	if (error != 0)
		journal_complain(journal, "the access log cannot be opened anew, the old file is kept: %s: %s", access->path,
			strerror(-error));
}

/* The old one is written to its end and closed; what it has counted goes on. */
static void journal_do_adopt(struct journal *journal, struct journal_output *next)
{
	struct sink *old = &journal->output->sink;

	if (old->fd >= 0)
		sink_flush(old);
	journal_report_error(journal);
	sink_follow(&next->sink, old);
	journal_output_close(journal->output);
	journal->output = next;
	journal->access_error_reported = 0;
}

/* One pass over all rings. False: there was nothing to do. */
static bool journal_pass(struct journal *journal)
{
	/* Orders are taken first, so that whatever was told before them is found in the rings and goes to the old file. */
	bool reopen = atomic_exchange(&journal->reopen_wanted, false);
	struct journal_output *next = atomic_exchange(&journal->next, NULL);
	bool ordered = reopen || next != NULL;
	size_t count = 0;

	atomic_exchange(&journal->is_urgent, false);
	for (unsigned i = 0; i < journal->source_count; i++)
		count += journal_drain(journal, &journal->sources[i], ordered ? ORDER_ENTRIES_MAX : PASS_ENTRIES_MAX);
	if (reopen)
		journal_do_reopen(journal);
	if (next != NULL)
		journal_do_adopt(journal, next);
	if (count != 0)
		journal_report_drops(journal, false);
	journal->passed_us = clock_us(CLOCK_MONOTONIC);
	/* A ring that fills ends naps long before lines have to be written: the more are, the less each costs. */
	if (count == 0 || ordered || journal->passed_us - journal->flushed_us >= JOURNAL_LINGER_US)
		journal_flush(journal);
	else
		sink_flush(&journal->events);
	return count != 0 || ordered;
}

void *journal_writer(void *argument)
{
	struct journal *journal = argument;

	for (;;) {
		/* Asked before the pass: what was told before the stop is in the rings by then. */
		bool stopping = atomic_load(&journal->stop_wanted);

		if (journal_pass(journal))
			journal_nap(journal);
		else if (stopping)
			break;
		else
			journal_sleep(journal);
	}
	journal_report_drops(journal, true);
	journal_flush(journal);
	return NULL;
}
