/* See process_stats.h. Sources: proc(5). */
#include "control/process_stats.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/proc.h"

enum { LINE_BYTES = 1024 };

static uint64_t max_fds(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 0;
}

/* Before Linux 6.2, which tells the number itself. */
static uint64_t count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t count = 0;

	/* There is none left to look with. */
	if (dir == NULL)
		return errno == EMFILE ? max_fds() : 0;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(dir);
	/* The one that looked is gone. */
	return count - 1;
}

static uint64_t open_fds(void)
{
	struct stat dir;

	return stat("/proc/self/fd", &dir) == 0 && dir.st_size > 0 ? (uint64_t)dir.st_size : count_open_fds();
}

static void read_memory(struct process_stats *stats)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	char line[LINE_BYTES] = "";

	proc_read("/proc/self/statm", line, sizeof(line));
	stats->virtual_bytes = proc_number(line, 0) * page;
	stats->resident_bytes = proc_number(line, 1) * page;
}

/* A field of /proc/self/stat by its number in the manual, from the third on; 0 when it cannot be had. */
static uint64_t read_stat(unsigned field)
{
	char line[LINE_BYTES];

	if (!proc_read("/proc/self/stat", line, sizeof(line)))
		return 0;
	/* The second field is the program's name in parentheses, which may hold anything. */
	const char *third = strrchr(line, ')');

	return third != NULL ? proc_number(third + 1, field - 3) : 0;
}

void process_stats_read(struct process_stats *stats)
{
	stats->max_fds = max_fds();
	stats->open_fds = open_fds();
	stats->threads = read_stat(20);
	read_memory(stats);
	stats->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t process_start_us(void)
{
	uint64_t ticks = read_stat(22); /* since the system was started */

	if (ticks == 0)
		return 0;
	uint64_t age_us = clock_us(CLOCK_BOOTTIME) - ticks * US_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);

	return clock_us(CLOCK_REALTIME) - age_us;
}
