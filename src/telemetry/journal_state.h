/*
 * What the journal's files share: journal.c (those who tell) and journal_writer.c (the thread that writes). Included by no others.
 *
 * Everything below the line "for the writer" in struct journal belongs to the writer thread.
 */
#ifndef WEIR_TELEMETRY_JOURNAL_STATE_H
#define WEIR_TELEMETRY_JOURNAL_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "telemetry/bell.h"
#include "telemetry/format.h"
#include "telemetry/journal.h"
#include "telemetry/ring.h"
#include "telemetry/sink.h"

#define RING_BYTES_WORKER ((size_t)1024 * 1024)
#define RING_BYTES_OTHER ((size_t)64 * 1024)

struct journal_source {
	struct ring ring;
	char name[24];                  /* "worker=0" */
	uint64_t dropped_reported;
};

/* Where lines about requests go, and what they look like. */
struct journal_output {
	struct sink sink;               /* fd -1: nowhere */
	enum config_log_format format;
	struct format_fields fields;
	struct format_moment moment;
	const char *names[CONFIG_LOG_FIELDS_MAX];  /* those of `fields` */
};

struct journal {
	_Atomic(int) level;
	_Atomic(bool) access;           /* records are wanted */
	struct journal_source *sources; /* the workers', the administration's, the main thread's */
	unsigned source_count;

	struct bell bell;               /* the writer sleeps by it */
	_Atomic(bool) is_urgent;        /* there is an entry that does not wait until a nap is over */
	_Atomic(bool) reopen_wanted;
	_Atomic(bool) stop_wanted;
	_Atomic(struct journal_output *) next;  /* NULL: the one that there is stays */
	_Atomic(uint64_t) lines, unformatted, write_errors, lines_lost, bytes_lost;
	pthread_t writer;

	/* --- for the writer --- */
	struct journal_output *output;
	struct sink events;
	uint64_t flushed_us, passed_us; /* monotonic: when lines of the access log were last written, and when rings were last looked at */
	int access_error_reported;
	uint64_t drops_reported_us;     /* Unix time */
};

/* The thread: the argument is the journal. */
void *journal_writer(void *argument);

#endif
