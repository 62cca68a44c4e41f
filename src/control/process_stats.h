/*
 * The process as the system accounts for it.
 */
#ifndef WEIR_CONTROL_PROCESS_STATS_H
#define WEIR_CONTROL_PROCESS_STATS_H

#include <stdint.h>

/* What the system does not tell is 0. */
struct process_stats {
	uint64_t open_fds;
	uint64_t max_fds;
	uint64_t threads;
	uint64_t resident_bytes, virtual_bytes;
	uint64_t cpu_us;    /* user and system, all threads */
	uint64_t start_us;  /* Unix time */
};

/* All but start_us, which does not change and is left as it is. Reads /proc: not for a worker's thread. */
void process_stats_read(struct process_stats *stats);

/* When the process was started, Unix time. The wall clock may be set later; so this is asked once. */
uint64_t process_start_us(void);

#endif
