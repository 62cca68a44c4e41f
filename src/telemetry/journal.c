/*
 * The writer's day:
 *
 *             nothing found                     entries found
 *    asleep <----------------- a pass over all rings -----------> napping
 *      |  an entry, an order     ^     ^         5 ms, an order    |
 *      +-------------------------+     +---------------------------+
 *
 * Under load it naps between passes, so workers make no system call to wake it, and one write takes the lines of 5 ms.
 * Only the first entry after a quiet time rings the bell.
 *
 * Everything below the line "for the writer" in struct journal belongs to the writer thread.
 */
#include "telemetry/journal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "telemetry/bell.h"
#include "telemetry/entry.h"
#include "telemetry/format.h"
#include "telemetry/ring.h"
#include "telemetry/sink.h"

#define RING_BYTES_WORKER ((size_t)1024 * 1024)
#define RING_BYTES_MAIN ((size_t)64 * 1024)
#define NAP_US (5 * US_PER_MS)
#define PASS_ENTRIES_MAX 4096           /* of one ring in one pass, so that no worker keeps the others' lines waiting */
#define DROPS_REPORT_US (1 * US_PER_S)

struct journal_source {
	struct ring ring;
	char name[24];                  /* "worker=0" */
	uint64_t dropped_reported;
};

struct journal {
	struct journal_options options;
	_Atomic(int) level;
	struct journal_source *sources; /* the workers', then the main thread's */
	unsigned source_count;

	struct bell bell;               /* the writer sleeps by it */
	_Atomic(bool) reopen_wanted;
	_Atomic(bool) stop_wanted;
	_Atomic(uint64_t) lines, unformatted, write_errors, lines_lost, bytes_lost;
	pthread_t writer;

	/* --- for the writer --- */
	struct sink access;             /* fd -1: there is none */
	struct sink events;
	int access_error_reported;
	uint64_t drops_reported_us;     /* Unix time */
};

/* --- the writer ----------------------------------------------------------------------------------------------------- */

static bool journal_has_orders(struct journal *journal)
{
	return atomic_load(&journal->reopen_wanted) || atomic_load(&journal->stop_wanted);
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
	if (!journal_has_orders(journal) && !journal_has_entries(journal))
		bell_wait(&journal->bell, DEADLINE_NEVER);
	bell_get_up(&journal->bell);
}

static void journal_nap(struct journal *journal)
{
	bell_lie_down(&journal->bell, BELL_NAPPING);
	if (!journal_has_orders(journal))
		bell_wait(&journal->bell, NAP_US);
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

static size_t journal_format(const struct journal_options *options, const struct exchange_record *record, char *line)
{
	const struct format_fields fields = {options->fields, options->field_count};

	if (options->format == LOG_JSON)
		return format_record_json(record, &fields, line);
	return fields.count > 0 ? format_record_pairs(record, &fields, line) : format_record_text(record, line);
}

static void journal_write_entry(struct journal *journal, const struct journal_source *source, const void *packed)
{
	struct entry entry;

	entry_unpack(&entry, packed);
	if (entry.kind == ENTRY_EVENT) {
		journal_write_event(journal, entry.u.event.wall_us, entry.u.event.level, source->name, entry.u.event.text);
		return;
	}
	char *line = sink_line(&journal->access);

	journal_line_done(journal, &journal->access, journal_format(&journal->options, &entry.u.record, line));
}

/* Formats what waits in one ring; how many entries that were. */
static size_t journal_drain(struct journal *journal, struct journal_source *source)
{
	size_t count = 0, n;
	const void *packed;

	while (count < PASS_ENTRIES_MAX && (packed = ring_peek(&source->ring, &n)) != NULL) {
		journal_write_entry(journal, source, packed);
		ring_consume(&source->ring);
		count++;
	}
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
	const char *path = journal->access.path != NULL ? journal->access.path : "standard output";
	int error = journal->access.error;

	if (error == journal->access_error_reported)
		return;
	if (error != 0)
		journal_complain(journal, "the access log cannot be written, its lines are lost: %s: %s", path, strerror(error));
	else
		journal_complain(journal, "the access log is written again: %s (%" PRIu64 " bytes of lines were lost)", path,
			journal->access.bytes_lost);
	journal->access_error_reported = error;
}

static void journal_flush(struct journal *journal)
{
	if (journal->access.fd >= 0)
		sink_flush(&journal->access);
	journal_report_error(journal);
	sink_flush(&journal->events);
	atomic_store_explicit(&journal->write_errors, journal->access.errors + journal->events.errors, memory_order_relaxed);
	atomic_store_explicit(
		&journal->lines_lost, journal->access.lines_lost + journal->events.lines_lost, memory_order_relaxed);
	atomic_store_explicit(
		&journal->bytes_lost, journal->access.bytes_lost + journal->events.bytes_lost, memory_order_relaxed);
}

static void journal_do_reopen(struct journal *journal)
{
	int error = journal->access.fd >= 0 ? sink_reopen(&journal->access) : 0;

	if (error != 0)
		journal_complain(journal, "the access log cannot be opened anew, the old file is kept: %s: %s", journal->access.path,
			strerror(-error));
}

/* One pass over all rings. False: there was nothing to do. */
static bool journal_pass(struct journal *journal)
{
	/* The order is taken first, so that whatever was told before it is found in the rings and goes to the old file. */
	bool reopen = atomic_exchange(&journal->reopen_wanted, false);
	size_t count = 0;

	for (unsigned i = 0; i < journal->source_count; i++)
		count += journal_drain(journal, &journal->sources[i]);
	if (reopen)
		journal_do_reopen(journal);
	if (count != 0)
		journal_report_drops(journal, false);
	if (count != 0 || reopen)
		journal_flush(journal);
	return count != 0 || reopen;
}

static void *journal_writer(void *argument)
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

/* --- the others' side ----------------------------------------------------------------------------------------------- */

static void journal_put(struct journal *journal, unsigned source, const struct entry *entry)
{
	unsigned index = source == JOURNAL_MAIN ? journal->source_count - 1 : source;

	CHECK(index < journal->source_count);
	struct ring *ring = &journal->sources[index].ring;
	void *room = ring_reserve(ring, entry_size(entry));

	if (room == NULL)
		return;
	entry_pack(entry, room);
	ring_commit(ring);
	bell_ring_for_work(&journal->bell);
}

void journal_record(struct journal *journal, unsigned source, const struct exchange_record *record)
{
	struct entry entry;

	if (!journal->options.access)
		return;
	entry_of_record(&entry, record);
	journal_put(journal, source, &entry);
}

void journal_event(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text)
{
	struct entry entry = {.kind = ENTRY_EVENT, .u.event = {wall_us, level, view_str(text)}};

	if (level <= atomic_load_explicit(&journal->level, memory_order_relaxed))
		journal_put(journal, source, &entry);
}

void journal_set_level(struct journal *journal, enum config_log_level level)
{
	atomic_store(&journal->level, (int)level);
}

enum config_log_level journal_level(const struct journal *journal)
{
	return (enum config_log_level)atomic_load(&journal->level);
}

static const char *const level_words[] = {
	[LEVEL_ERROR] = "error", [LEVEL_WARNING] = "warning", [LEVEL_INFO] = "info", [LEVEL_DEBUG] = "debug"};

const char *journal_level_word(enum config_log_level level)
{
	return level_words[level];
}

bool journal_level_of(struct view word, enum config_log_level *level)
{
	for (size_t i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++)
		if (view_eq(view_str(level_words[i]), word)) {
			*level = (enum config_log_level)i;
			return true;
		}
	return false;
}

void journal_reopen(struct journal *journal)
{
	atomic_store(&journal->reopen_wanted, true);
	bell_ring(&journal->bell);
}

struct journal_stats journal_stats(const struct journal *journal)
{
	struct journal_stats stats = {
		.lines = atomic_load_explicit(&journal->lines, memory_order_relaxed),
		.dropped_memory = atomic_load_explicit(&journal->unformatted, memory_order_relaxed),
		.dropped_write = atomic_load_explicit(&journal->lines_lost, memory_order_relaxed),
		.write_errors = atomic_load_explicit(&journal->write_errors, memory_order_relaxed),
		.bytes_lost = atomic_load_explicit(&journal->bytes_lost, memory_order_relaxed),
	};

	for (unsigned i = 0; i < journal->source_count; i++)
		stats.dropped_full += ring_dropped(&journal->sources[i].ring);
	return stats;
}

/* --- beginning and end ---------------------------------------------------------------------------------------------- */

/* Frees everything but the thread; legal at any stage of creation. */
static void journal_release(struct journal *journal)
{
	sink_close(&journal->access);
	sink_close(&journal->events);
	for (unsigned i = 0; i < journal->source_count; i++)
		ring_release(&journal->sources[i].ring);
	free(journal->sources);
	free(journal);
}

static bool journal_create_sources(struct journal *journal)
{
	unsigned count = journal->options.workers + 1;

	/* aligned_alloc because each ring keeps its two sides on cache lines of their own. */
	journal->sources = aligned_alloc(RING_LINE, count * sizeof(*journal->sources));
	if (journal->sources == NULL)
		return false;
	memset(journal->sources, 0, count * sizeof(*journal->sources));
	for (unsigned i = 0; i < count; i++) {
		struct journal_source *source = &journal->sources[i];

		journal->source_count = i + 1;
		if (!ring_init(&source->ring, i + 1 < count ? RING_BYTES_WORKER : RING_BYTES_MAIN))
			return false;
		snprintf(source->name, sizeof(source->name), i + 1 < count ? "worker=%u" : "main", i);
	}
	return true;
}

struct journal *journal_create(const struct journal_options *options, char error_text[256])
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int error = 0;

	snprintf(error_text, 256, "out of memory");
	if (journal == NULL)
		return NULL;
	journal->options = *options;
	journal->level = (int)options->level;
	journal->options.path = NULL;
	journal->access.fd = -1;
	if (!journal_create_sources(journal) || sink_open_fd(&journal->events, STDERR_FILENO) != 0)
		goto failed;
	if (options->access)
		error = sink_open(&journal->access, options->path);
	if (error != 0) {
		snprintf(error_text, 256, "the access log cannot be opened: %s: %s", options->path, strerror(-error));
		goto failed;
	}
	error = pthread_create(&journal->writer, NULL, journal_writer, journal);
	if (error == 0)
		return journal;
	snprintf(error_text, 256, "the log's thread cannot be started: %s", strerror(error));
failed:
	journal_release(journal);
	return NULL;
}

bool journal_free(struct journal *journal, uint64_t timeout_us)
{
	uint64_t until_us = deadline_after(clock_us(CLOCK_REALTIME), timeout_us);
	struct timespec until = {(time_t)(until_us / US_PER_S), (long)(until_us % US_PER_S * 1000)};

	atomic_store(&journal->stop_wanted, true);
	bell_ring(&journal->bell);
	if (pthread_timedjoin_np(journal->writer, NULL, &until) != 0)
		return false;
	journal_release(journal);
	return true;
}
