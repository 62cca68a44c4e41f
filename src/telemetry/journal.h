/*
 * The journal: what the workers, the administration and the main thread have to tell, written by one thread of its own.
 *
 *   worker 0 --> ring --+
 *   worker 1 --> ring --+--> writer thread --> access log (JSON or text), event log (standard error)
 *   admin    --> ring --+
 *   main     --> ring --+
 *
 * Telling never blocks and hardly ever makes a system call: the writer naps for JOURNAL_LINGER_US when it has written something, so
 * that it is woken, and writes, once for many lines. It is woken from that by events that an operator may wait for, and by a ring that
 * fills. When a ring is full the entry is dropped and counted. Lines of one thread keep their order; those of different threads may be
 * as far out of order as that.
 *
 * Lifecycle: journal_create (opens the files, starts the writer), any use, and after every other thread has ended
 * journal_free (writes what is left).
 */
#ifndef WEIR_TELEMETRY_JOURNAL_H
#define WEIR_TELEMETRY_JOURNAL_H

#include "base/units.h"
#include "config/model.h"
#include "gateway/record.h"

struct journal;
struct journal_output;

/* As `source`: the main thread, and the administration's. Workers are 0, 1, ... */
#define JOURNAL_MAIN UINT32_MAX
#define JOURNAL_ADMIN (UINT32_MAX - 1)

/* How long a line of the access log may linger until it is written. The first one after a quiet time does not. */
#define JOURNAL_LINGER_US (100 * US_PER_MS)

/* For journal_free(): how long the log may take to write what is left after the last worker has ended. */
#define JOURNAL_END_US (2 * US_PER_S)

struct journal_options {
	unsigned workers;
	bool access;                    /* false: records are not wanted, and ignored */
	enum config_log_format format;
	const char *fields[CONFIG_LOG_FIELDS_MAX];  /* of a line, in this order; static */
	size_t field_count;             /* 0: all, as the format has them */
	const char *path;               /* of the access log, "-" is standard output; copied */
	enum config_log_level level;    /* events beyond it are ignored */
};

struct journal_stats {
	uint64_t lines;                 /* formatted for either log */
	uint64_t dropped_full;          /* entries for which there was no room */
	uint64_t dropped_memory;        /* for which there was no memory to format them */
	uint64_t dropped_write;         /* lines that the file did not take */
	uint64_t write_errors;
	uint64_t bytes_lost;            /* of those lines */
};

/* NULL with error_text set when the file cannot be opened or memory or threads are out. */
struct journal *journal_create(const struct journal_options *options, char error_text[256]);

/* Takes a copy of the record. On the thread of `source` only, like journal_event. */
void journal_record(struct journal *journal, unsigned source, const struct exchange_record *record);

/* One line for the operator, without newline; `level` is enum config_log_level, `wall_us` Unix time. */
void journal_event(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text);

/* The same, told whatever the level: who has the gateway do what. */
void journal_audit(struct journal *journal, unsigned source, uint64_t wall_us, int level, const char *text);

/* From now on events beyond it are ignored. Any thread. */
void journal_set_level(struct journal *journal, enum config_log_level level);
enum config_log_level journal_level(const struct journal *journal);

/* What was told before this goes to the old file, what is told after to the one that has the path now. Any thread. */
void journal_reopen(struct journal *journal);

/*
 * Another place for the access log: `access`, `format`, `fields` and `path` of the options; nothing stays borrowed. May take as long
 * as opening the path does, so: on a thread that has the time. NULL with error_text when it cannot be opened.
 */
struct journal_output *journal_output_open(const struct journal_options *options, char error_text[256]);

/* One that was not adopted. NULL is allowed. */
void journal_output_close(struct journal_output *output);

/*
 * What was told before this goes to the old place, which is then written to its end and closed; what is told after, to this one. The
 * journal owns it. On one thread at a time; does not wait.
 */
void journal_adopt(struct journal *journal, struct journal_output *output);

/* A snapshot, any thread. */
struct journal_stats journal_stats(const struct journal *journal);

/*
 * Writes what is left and frees everything. False when the writer hangs in a write for longer than `timeout_us` (nobody
 * reads the pipe): then the memory stays with it, and the program is expected to exit.
 */
bool journal_free(struct journal *journal, uint64_t timeout_us);

#endif
