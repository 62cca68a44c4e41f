/*
 * Local ports by destination (machine_stats.h), from the system's tables of TCP sockets:
 *
 *       sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 *        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20733 ...
 *
 * Addresses are words of 32 bits in the machine's order, one or four, ports are numbers. Each line is looked up among the
 * destinations, so these are sorted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/machine_stats.h"

struct destination {
	unsigned char host[16];
	unsigned port;
	size_t index;
};

/* What is behind it is no part of the key, the padding before it neither. */
#define KEY_BYTES (offsetof(struct destination, port) + sizeof(unsigned))

static int destination_compare(const void *a, const void *b)
{
	return memcmp(a, b, KEY_BYTES);
}

/* The remote address of a line; `words` of 32 bits are one. False: it is none. */
static bool destination_read(struct destination *d, const char *line, size_t words)
{
	static const unsigned char ipv4[12] = {[10] = 0xff, [11] = 0xff};
	const char *at = strchr(line, ':');
	unsigned char *host = d->host + sizeof(d->host) - 4 * words;

	at = at != NULL ? strchr(at + 1, ':') : NULL;
	at = at != NULL ? strchr(at, ' ') : NULL;
	if (at == NULL || strlen(++at) < 8 * words + 5)
		return false;
	memcpy(d->host, ipv4, sizeof(ipv4));
	for (size_t i = 0; i < words; i++, at += 8) {
		char digits[9] = {0};
		uint32_t word;

		memcpy(digits, at, 8);
		word = (uint32_t)strtoul(digits, NULL, 16);
		memcpy(host + 4 * i, &word, 4);
	}
	d->port = (unsigned)strtoul(at + 1, NULL, 16);
	return true;
}

static bool table_read(const char *path, size_t words, const struct destination *all, size_t count, uint64_t ports[])
{
	FILE *file = fopen(path, "re");
	char line[512];

	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL) {
		struct destination to;
		const struct destination *found = destination_read(&to, line, words)
		                                          ? bsearch(&to, all, count, sizeof(to), destination_compare)
		                                          : NULL;

		if (found != NULL)
			ports[found->index]++;
	}
	fclose(file);
	return true;
}

/* Destinations that are the same place stand side by side, and the search has found any of them. */
static void share_alike(const struct destination *all, size_t count, uint64_t ports[])
{
	for (size_t i = 0, end = 0; i < count;) {
		uint64_t sum = 0;

		for (; end < count && destination_compare(&all[i], &all[end]) == 0; end++)
			sum += ports[all[end].index];
		for (; i < end; i++)
			ports[all[i].index] = sum;
	}
}

bool machine_ports_read(const struct address *const to[], size_t count, uint64_t ports[])
{
	struct destination *all = calloc(count + 1, sizeof(*all));
	size_t n = 0;
	bool ok;

	memset(ports, 0, count * sizeof(ports[0]));
	if (all == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		all[n].port = address_port(to[i]);
		all[n].index = i;
		n += address_bytes(to[i], all[n].host);
	}
	qsort(all, n, sizeof(*all), destination_compare);
	ok = table_read("/proc/net/tcp", 1, all, n, ports);
	/* Where there is no IPv6 there is no table of it. */
	table_read("/proc/net/tcp6", 4, all, n, ports);
	share_alike(all, n, ports);
	free(all);
	return ok;
}
