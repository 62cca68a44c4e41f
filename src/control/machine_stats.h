/*
 * The machine as the system accounts for it: what all programs on it share, and the gateway can run out of without having
 * used it up itself. What is of the network is of the network namespace that the process is in.
 */
#ifndef WEIR_CONTROL_MACHINE_STATS_H
#define WEIR_CONTROL_MACHINE_STATS_H

#include "base/address.h"

/* What the system does not tell is 0. */
struct machine_stats {
	uint64_t processors; /* online */
	uint64_t busy_us;    /* of all of them together, since the machine was started; 10 ms exact */
	uint64_t memory_bytes;
	uint64_t memory_available_bytes; /* could be had without swapping */
	uint64_t files_open, files_max;
	uint64_t listen_overflows; /* connections that came to a full accept queue */
	uint64_t listen_drops;     /* connections thrown away before they were accepted, those among them */
	uint64_t tcp_in_use, tcp_time_wait, tcp_orphaned; /* sockets; those that wait are not in use */
	uint64_t ports; /* of the ephemeral range: so many connections to one address at most */
};

/* Some 50 µs. */
void machine_stats_read(struct machine_stats *stats);

/*
 * How many local ports connections to each of the addresses take, those that wait after their end (TIME_WAIT) among them;
 * 0 for unix sockets. Walks through all sockets of the machine: 10 ms for each ten thousand. False: memory is out, or the
 * system does not tell; then all are 0.
 */
bool machine_ports_read(const struct address *const to[], size_t count, uint64_t ports[]);

#endif
