/*
 * Load shedding: the worker refuses new work before old work suffers, as soon as one of its marks is passed (shedding.c).
 *
 * A worker has one of these; what the workers know of each other is in struct pressure. Nothing here is looked at for a
 * request while nothing presses: one byte says so.
 */
#ifndef WEIR_GATEWAY_SHEDDING_H
#define WEIR_GATEWAY_SHEDDING_H

#include <stdatomic.h>

#include "base/cause.h"
#include "config/config.h"
#include "io/io.h"

struct worker;

/* What is watched, the most pressing first. */
enum shed_mark {
	SHED_FILES,            /* open files of the process: new connections are refused, and answers end theirs */
	SHED_MEMORY,           /* of the process: new connections and requests are refused */
	SHED_LOOP_LAG,         /* how long events wait for the worker's loop: likewise */
	SHED_ACCEPT_QUEUE,     /* connections that wait to be accepted by the worker: they are refused */
	SHED_MARKS,
};

/* "files" */
const char *shed_mark_word(enum shed_mark mark);

enum { SHED_LAG_BUCKETS = 16 };

/* The bounds of the buckets of loop_lag: the first is this, each next one twice as much. */
#define SHED_LAG_FIRST_US 125

/* Counters; part of struct worker_stats. */
struct shed_stats {
	uint64_t passed[SHED_MARKS];       /* 1: at present */
	uint64_t begun[SHED_MARKS];
	uint64_t connections[SHED_MARKS];  /* refused */
	uint64_t requests[SHED_MARKS];
	uint64_t lag_counts[SHED_LAG_BUCKETS];  /* of what comes every WATCH_US: how long it waits for the loop */
	uint64_t lag_sum_us;
	uint64_t late_us;                  /* for which the loop was late */
	uint64_t accept_waiting;           /* connections that wait to be accepted, as of the last look */
};

/* What one worker tells the others; written by it alone. */
struct pressure_cell {
	atomic_size_t files;               /* sockets and pipes that its loop has open */
	atomic_size_t free_bytes;          /* memory that it holds and can use again, though the process does not give it back */
	char apart[112];                   /* from the next one: no cache line is two workers' */
};

/* What the workers have in common. Outlives them. */
struct pressure {
	struct config_machine machine;     /* files_max and memory_max; 0: not known, and a share of it is no mark */
	size_t files_beside;               /* open files that belong to no loop */
	unsigned workers;
	struct pressure_cell *cells;       /* one for each worker; NULL: there is one worker, which is told of nobody */
	atomic_uint passed[SHED_MARKS];    /* workers that are beyond it at present, of the marks of the process */
	atomic_ullong refused[SHED_MARKS]; /* since the first of them was */
};

struct shedding {
	uint8_t looks;                     /* a request that begins has to ask: it dozes, or refuses requests */
	uint8_t parts;                     /* clients are to go after their answer: their descriptors are wanted */
	struct worker *worker;
	struct config_shedding_marks marks;
	struct io_timer timer;             /* of the next look */
	uint8_t passed;                    /* set of 1 << enum shed_mark */
	uint64_t due_us;                   /* when the next look is due; 0: it dozes, and the next work wakes it */
	uint64_t since_us[SHED_MARKS];     /* when it was passed */
	uint64_t refused[SHED_MARKS];      /* since then, by this worker */
	uint64_t lag_us;                   /* smoothed */
	uint64_t queue_permille;           /* smoothed; of the listener that is worst */
	uint64_t others_us;                /* when others_files was last counted */
	size_t others_files;
	uint64_t work_seen;                /* connections and requests that had begun at the last look */
	uint64_t trimmed_us;               /* when memory was last given back */
};

void shedding_init(struct shedding *shedding, struct worker *worker);

/* Other marks from now on. */
void shedding_adopt(struct shedding *shedding, const struct config_shedding *config);

/* The worker takes no new work any more, by itself. Legal repeatedly. */
void shedding_end(struct shedding *shedding);

/* A connection has come, and is counted. CAUSE_NONE: it may stay; else why not. */
enum cause shedding_judge_connection(struct shedding *shedding, const char **why);

/* Whether there is a descriptor to spare for telling somebody that there is none. */
bool shedding_may_tell(const struct shedding *shedding);

/* A request has begun while `looks` was set. CAUSE_NONE: it may go on; else why not. */
enum cause shedding_judge_request(struct shedding *shedding, const char **why);

#endif
