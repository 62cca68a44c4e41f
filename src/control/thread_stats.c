/* See thread_stats.h. Source: /proc/PID/task/TID/schedstat, "ran waited slices" in nanoseconds (Linux, sched-stats.rst). */
#include "control/thread_stats.h"

#include <inttypes.h>
#include <stdio.h>

void thread_stats_read(int thread, uint64_t *run_us, uint64_t *ready_us)
{
	char path[64];
	uint64_t run, ready;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", thread);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &run, &ready) == 2) {
		*run_us = run / 1000;
		*ready_us = ready / 1000;
	}
	fclose(file);
}
