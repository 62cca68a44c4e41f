/* See process_stats.h. Sources: proc(5). */
#include "control/process_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (dir == NULL)
		return 0;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(dir);
	/* The one that looked is gone. */
	return count - 1;
}

static uint64_t read_resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void process_stats_read(struct process_stats *stats)
{
	stats->open_fds = count_open_fds();
	stats->resident_bytes = read_resident_bytes();
	stats->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* Field 22 of the line, ticks since the system was started; false when it cannot be had. */
static bool read_start_ticks(uint64_t *ticks)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char line[1024];

	if (file == NULL)
		return false;
	line[fread(line, 1, sizeof(line) - 1, file)] = '\0';
	fclose(file);
	/* The second field is the program's name in parentheses, which may hold anything. */
	const char *rest = strrchr(line, ')');

	return rest != NULL && sscanf(rest + 1,
		" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64, ticks) == 1;
}

uint64_t process_start_us(void)
{
	uint64_t ticks;

	if (!read_start_ticks(&ticks))
		return 0;
	uint64_t age_us = clock_us(CLOCK_BOOTTIME) - ticks * US_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	return clock_us(CLOCK_REALTIME) - age_us;
}
