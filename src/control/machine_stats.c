/* See machine_stats.h. */
#include "control/machine_stats.h"

#include <unistd.h>

#include "base/units.h"
#include "control/proc.h"

enum { TEXT_BYTES = 16 * 1024 };

static uint64_t kib_of(const char *text, const char *name)
{
	const char *line = proc_line(text, name);

	return line != NULL ? proc_number(line, 0) * KIB : 0;
}

static void read_memory(struct machine_stats *stats, char text[TEXT_BYTES])
{
	if (!proc_read("/proc/meminfo", text, TEXT_BYTES))
		return;
	stats->memory_bytes = kib_of(text, "MemTotal");
	stats->memory_available_bytes = kib_of(text, "MemAvailable");
}

/* "cpu  user nice system idle iowait irq softirq steal guest guest_nice"; guests are in user and nice as well. */
static void read_processors(struct machine_stats *stats, char text[TEXT_BYTES])
{
	long online = sysconf(_SC_NPROCESSORS_ONLN), ticks_per_s = sysconf(_SC_CLK_TCK);
	const char *line = proc_read("/proc/stat", text, TEXT_BYTES) ? proc_line(text, "cpu") : NULL;
	static const unsigned busy[] = {0, 1, 2, 5, 6, 7};
	uint64_t ticks = 0;

	stats->processors = online > 0 ? (uint64_t)online : 0;
	if (line == NULL)
		return;
	for (size_t i = 0; i < sizeof(busy) / sizeof(busy[0]); i++)
		ticks += proc_number(line, busy[i]);
	stats->busy_us = ticks * (US_PER_S / (uint64_t)ticks_per_s);
}

static void read_files(struct machine_stats *stats, char text[TEXT_BYTES])
{
	if (!proc_read("/proc/sys/fs/file-nr", text, TEXT_BYTES))
		return;
	stats->files_open = proc_number(text, 0) - proc_number(text, 1);
	stats->files_max = proc_number(text, 2);
}

static void read_listening(struct machine_stats *stats, char text[TEXT_BYTES])
{
	if (!proc_read("/proc/net/netstat", text, TEXT_BYTES))
		return;
	stats->listen_overflows = proc_column(text, "TcpExt", "ListenOverflows");
	stats->listen_drops = proc_column(text, "TcpExt", "ListenDrops");
}

/* "TCP: inuse 27 orphan 0 tw 3 alloc 30 mem 2", of IPv4; IPv6 tells only what is in use. */
static void read_sockets(struct machine_stats *stats, char text[TEXT_BYTES])
{
	const char *line = proc_read("/proc/net/sockstat", text, TEXT_BYTES) ? proc_line(text, "TCP") : NULL;

	if (line != NULL) {
		stats->tcp_in_use = proc_number(line, 1);
		stats->tcp_orphaned = proc_number(line, 3);
		stats->tcp_time_wait = proc_number(line, 5);
	}
	line = proc_read("/proc/net/sockstat6", text, TEXT_BYTES) ? proc_line(text, "TCP6") : NULL;
	if (line != NULL)
		stats->tcp_in_use += proc_number(line, 1);
}

static void read_port_range(struct machine_stats *stats, char text[TEXT_BYTES])
{
	if (proc_read("/proc/sys/net/ipv4/ip_local_port_range", text, TEXT_BYTES))
		stats->ports = proc_number(text, 1) - proc_number(text, 0) + 1;
}

void machine_stats_read(struct machine_stats *stats)
{
	char text[TEXT_BYTES];

	*stats = (struct machine_stats){0};
	read_memory(stats, text);
	read_processors(stats, text);
	read_files(stats, text);
	read_listening(stats, text);
	read_sockets(stats, text);
	read_port_range(stats, text);
}
