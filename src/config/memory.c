/*
 * How much memory the process may have: the machine's, or less where a control group says so.
 *
 * A process stands in a tree of groups, and each may have a limit; the smallest one on the way up holds. /proc/self/cgroup
 * names the process's own, once for version 2 of control groups ("0::/a/b") and once for the controller of version 1
 * ("4:memory:/a/b"). Inside a container the path may be one that is not mounted there: then only what is, is looked at.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"

enum { PATH_BYTES = 4096 };

/* A number in a file of its own; UINT64_MAX: there is none, or it says "max". */
static uint64_t limit_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char text[32] = "";

	if (f == NULL)
		return UINT64_MAX;
	bool found = fgets(text, sizeof(text), f) != NULL;
	uint64_t limit = found ? strtoull(text, NULL, 10) : 0;

	fclose(f);
	return limit > 0 ? limit : UINT64_MAX;
}

/* The smallest limit of the group and those above it. `group` is shortened on the way. */
static uint64_t limit_upward(const char *mount, const char *file, char *group)
{
	uint64_t smallest = UINT64_MAX;
	char path[2 * PATH_BYTES];

	for (;;) {
		snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);

		uint64_t limit = limit_read(path);

		smallest = limit < smallest ? limit : smallest;
		char *slash = strrchr(group, '/');

		if (slash == NULL)
			return smallest;
		*slash = '\0';
	}
}

/* A line of /proc/self/cgroup: "hierarchy:controllers:path". */
static uint64_t limit_of_line(char *line)
{
	char *controllers = strchr(line, ':');
	char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

	if (group == NULL)
		return UINT64_MAX;
	*group++ = '\0';
	group[strcspn(group, "\n")] = '\0';
	if (controllers[1] == '\0')
		return limit_upward("/sys/fs/cgroup", "memory.max", group);
	if (strcmp(controllers + 1, "memory") == 0)
		return limit_upward("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group);
	return UINT64_MAX;
}

static uint64_t limit_of_groups(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	uint64_t smallest = UINT64_MAX;
	char line[PATH_BYTES];

	if (f == NULL)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), f) != NULL) {
		uint64_t limit = limit_of_line(line);

		smallest = limit < smallest ? limit : smallest;
	}
	fclose(f);
	return smallest;
}

uint64_t config_memory_max(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
	uint64_t machine = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
	uint64_t groups = limit_of_groups();

	if (groups == UINT64_MAX)
		return machine;
	return machine != 0 && machine < groups ? machine : groups;
}
