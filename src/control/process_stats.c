/* See process_stats.h. Sources: proc(5). */
#include "control/process_stats.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_BYTES = 1024 };

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

/* A line of a file of the system's; false when it cannot be had. */
static bool read_line(const char *path, char line[LINE_BYTES])
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return false;
	line[fread(line, 1, LINE_BYTES - 1, file)] = '\0';
	fclose(file);
	return true;
}

/* The number behind `skip` others that blanks set apart; 0 when there is none. */
static uint64_t number_at(const char *text, unsigned skip)
{
	for (; skip > 0; skip--) {
		text += strspn(text, " ");
		text += strcspn(text, " ");
	}
	return strtoull(text, NULL, 10);
}

static uint64_t read_resident_bytes(void)
{
	char line[LINE_BYTES];

	if (!read_line("/proc/self/statm", line))
		return 0;
	return number_at(line, 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void process_stats_read(struct process_stats *stats)
{
	struct rlimit files;

	stats->max_fds = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
	stats->open_fds = count_open_fds();
	stats->resident_bytes = read_resident_bytes();
	stats->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* Since the system was started; 0 when it cannot be had. */
static uint64_t read_start_ticks(void)
{
	char line[LINE_BYTES];

	if (!read_line("/proc/self/stat", line))
		return 0;
	/* The second field is the program's name in parentheses, which may hold anything; what is wanted is the 22nd. */
	const char *third = strrchr(line, ')');

	return third != NULL ? number_at(third + 1, 22 - 3) : 0;
}

uint64_t process_start_us(void)
{
	uint64_t ticks = read_start_ticks();

	if (ticks == 0)
		return 0;
	uint64_t age_us = clock_us(CLOCK_BOOTTIME) - ticks * US_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	return clock_us(CLOCK_REALTIME) - age_us;
}
