/* See thread_stats.h. Source: /proc/PID/task/TID/schedstat, "ran waited slices" in nanoseconds (Linux, sched-stats.rst). */
#include "control/thread_stats.h"

#include <stdio.h>

#include "control/proc.h"

bool thread_stats_read(int thread, uint64_t *run_us, uint64_t *ready_us)
{
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", thread);
	if (!proc_read(path, line, sizeof(line)))
		return false;
	*run_us = proc_number(line, 0) / 1000;
	*ready_us = proc_number(line, 1) / 1000;
	return true;
}
