/*
 * Those who tell, and those who order: what they have to say goes into a ring or a word that the writer (journal_writer.c) takes, and the
 * bell is rung. Nothing here waits for it, but for the end.
 */
#include "telemetry/journal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "telemetry/entry.h"
#include "telemetry/journal_state.h"

#define OTHERS 2                        /* threads that are no workers: the administration's, the main thread */

/* --- where lines go ------------------------------------------------------------------------------------------------- */

struct journal_output *journal_output_open(const struct journal_options *options, char error_text[256])
{
	struct journal_output *output = calloc(1, sizeof(*output));
	int error = output != NULL ? 0 : -ENOMEM;

	if (error == 0 && options->access)
		error = sink_open(&output->sink, options->path);
	if (error != 0) {
		snprintf(error_text, 256, "the access log cannot be opened: %s: %s", options->path, strerror(-error));
		free(output);
		return NULL;
	}
	if (!options->access)
		output->sink.fd = -1;
	output->format = options->format;
	memcpy(output->names, options->fields, sizeof(output->names));
	output->fields = (struct format_fields){output->names, options->field_count};
	return output;
}

void journal_output_close(struct journal_output *output)
{
	if (output == NULL)
		return;
	sink_close(&output->sink);
	free(output);
}

/* --- the others' side ----------------------------------------------------------------------------------------------- */

static struct ring *journal_ring(struct journal *journal, unsigned source)
{
	unsigned index = source >= JOURNAL_ADMIN ? journal->source_count - OTHERS + (source - JOURNAL_ADMIN) : source;

	CHECK(index < journal->source_count);
	return &journal->sources[index].ring;
}

/*
 * What is committed by now is found in the pass that takes the word back: both exchange it, so either this one finds it taken back, and rings,
 * or the pass begins behind the commit. A mere look could come before the commit is seen.
 */
static void journal_hurry(struct journal *journal)
{
	if (!atomic_exchange(&journal->is_urgent, true))
		bell_ring(&journal->bell);
}

void journal_record(struct journal *journal, unsigned source, const struct exchange_record *record)
{
	struct ring *ring = journal_ring(journal, source);
	void *room;

	if (!atomic_load_explicit(&journal->access, memory_order_relaxed))
		return;
	room = ring_reserve(ring, ENTRY_RECORD_MAX);
	if (room == NULL)
		return;
	ring_commit(ring, entry_pack_record(record, room));
	if (ring_is_filling(ring))
		journal_hurry(journal);
	else
		bell_ring_for_work(&journal->bell);
}

void journal_audit(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text)
{
	const struct entry_event event = {wall_us, level, view_str(text)};
	struct ring *ring = journal_ring(journal, source);
	void *room = ring_reserve(ring, ENTRY_EVENT_MAX);

	if (room == NULL)
		return;
	ring_commit(ring, entry_pack_event(&event, room));
	if (level < LEVEL_DEBUG || ring_is_filling(ring))
		journal_hurry(journal);
	else
		bell_ring_for_work(&journal->bell);
}

void journal_event(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text)
{
	if (level <= atomic_load_explicit(&journal->level, memory_order_relaxed))
		journal_audit(journal, source, wall_us, level, text);
}

void journal_set_level(struct journal *journal, enum config_log_level level)
{
	atomic_store(&journal->level, (int)level);
}

enum config_log_level journal_level(const struct journal *journal)
{
	return (enum config_log_level)atomic_load(&journal->level);
}

void journal_reopen(struct journal *journal)
{
	atomic_store(&journal->reopen_wanted, true);
	bell_ring(&journal->bell);
}

void journal_adopt(struct journal *journal, struct journal_output *output)
{
	atomic_store(&journal->access, output->sink.fd >= 0);
	/* One that was not taken yet, as the writer is kept waiting, never is. */
	journal_output_close(atomic_exchange(&journal->next, output));
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
	journal_output_close(journal->output);
	journal_output_close(atomic_load(&journal->next));
	sink_close(&journal->events);
	for (unsigned i = 0; i < journal->source_count; i++)
		ring_release(&journal->sources[i].ring);
	free(journal->sources);
	free(journal);
}

static bool journal_create_sources(struct journal *journal, unsigned workers)
{
	unsigned count = workers + OTHERS;

	/* aligned_alloc because each ring keeps its two sides on cache lines of their own. */
	journal->sources = aligned_alloc(RING_LINE, count * sizeof(*journal->sources));
	if (journal->sources == NULL)
		return false;
	memset(journal->sources, 0, count * sizeof(*journal->sources));
	for (unsigned i = 0; i < count; i++) {
		struct journal_source *source = &journal->sources[i];

		journal->source_count = i + 1;
		if (!ring_init(&source->ring, i < workers ? RING_BYTES_WORKER : RING_BYTES_OTHER))
			return false;
		snprintf(source->name, sizeof(source->name), i < workers ? "worker=%u" : i == workers ? "control" : "main", i);
	}
	return true;
}

struct journal *journal_create(const struct journal_options *options, char error_text[256])
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int error;

	snprintf(error_text, 256, "out of memory");
	if (journal == NULL)
		return NULL;
	journal->level = (int)options->level;
	journal->access = options->access;
	journal->events.fd = -1;
	bell_init(&journal->bell);
	if (!journal_create_sources(journal, options->workers) || sink_open_fd(&journal->events, STDERR_FILENO) != 0)
		goto failed;
	journal->output = journal_output_open(options, error_text);
	if (journal->output == NULL)
		goto failed;
	error = pthread_create(&journal->writer, NULL, journal_writer, journal);
	if (error == 0)
		return journal;
	snprintf(error_text, 256, "the log's thread cannot be started: %s", strerror(error));
failed:
	journal_release(journal);
	return NULL;
}

static bool writer_has_ended_within(struct journal *journal, uint64_t span_us)
{
	uint64_t until_us = deadline_after(clock_us(CLOCK_REALTIME), span_us);
	struct timespec until = {(time_t)(until_us / US_PER_S), (long)(until_us % US_PER_S * 1000)};

	return pthread_timedjoin_np(journal->writer, NULL, &until) == 0;
}

/* The time is waited for in parts: what a stopped process does not do, and a clock that is set, costs one of them. */
enum { END_PARTS = 10 };

bool journal_free(struct journal *journal, uint64_t timeout_us)
{
	atomic_store(&journal->stop_wanted, true);
	bell_ring(&journal->bell);
	for (int part = 0; part < END_PARTS; part++) {
		if (writer_has_ended_within(journal, timeout_us / END_PARTS)) {
			journal_release(journal);
			return true;
		}
	}
	return false;
}
