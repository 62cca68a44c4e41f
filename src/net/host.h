/*
 * What is known of one host name: its addresses, since when something is wrong, and when to ask again. No I/O, no clock.
 *
 * IPv4 and IPv6 addresses are asked for apart and known apart, so that a failure of one does not lose the other. What is
 * known stays known until something better is: neither silence nor "there is no such name" takes addresses away, only an
 * answer that has some does.
 */
#ifndef WEIR_NET_HOST_H
#define WEIR_NET_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

/* The time to live of an answer is cut to these; one that has none (0, /etc/hosts) counts as HOST_TTL_NONE_S. */
#define HOST_TTL_MIN_S 1
#define HOST_TTL_NONE_S 5
#define HOST_TTL_MAX_S 300

/* After the n-th failure in a row the next attempt follows in HOST_RETRY_MIN_US * 2^(n-1), less up to the half of it. */
#define HOST_RETRY_MIN_US (500 * US_PER_MS)
#define HOST_RETRY_MAX_US (30 * US_PER_S)

#define HOST_ADDRESSES_MAX 64

/* A set: sorted, IPv4 first, none twice. IPv4 is kept as IPv4-mapped IPv6. */
struct host_addresses {
	size_t count;
	unsigned char items[HOST_ADDRESSES_MAX][16];
};

/*
 * Adds one. When there are too many the lowest stay, whatever order they come in. False: it is none that a service can have
 * (unspecified, multicast, broadcast).
 */
bool host_addresses_add(struct host_addresses *set, const unsigned char address[16]);

bool host_addresses_eq(const struct host_addresses *a, const struct host_addresses *b);

enum host_family { HOST_V4, HOST_V6, HOST_FAMILIES };

enum host_result {
	HOST_FAILED,               /* no answer, or one that says nothing */
	HOST_NOTHING,              /* there is no such name, or it has no such addresses */
	HOST_FOUND,                /* at least one */
};

/* What came of one question. */
struct host_answer {
	enum host_result result;
	const char *why;           /* a static text; of no meaning when FOUND */
	uint32_t ttl_s;            /* FOUND */
	struct host_addresses addresses;
};

/* All zero: nothing is known, and it is time to ask. */
struct host {
	struct host_addresses known[HOST_FAMILIES];
	const char *trouble;       /* why the latest attempt brought nothing: a static text; NULL: it did */
	unsigned failures;         /* in a row */
	uint64_t attempts;         /* that have ended */
	uint64_t due_us;           /* when to ask again */
};

/*
 * One question has been answered while nothing is known of the other: what was found is known from now on. True: it is other
 * than before.
 */
bool host_hear(struct host *host, enum host_family family, const struct host_answer *answer);

/* Both questions have been answered. True: the addresses or the trouble are others than before. `random` is for jitter. */
bool host_settle(struct host *host, const struct host_answer answers[HOST_FAMILIES], uint64_t now_us, uint64_t random);

/* All its addresses, of both families. */
struct host_addresses host_all(const struct host *host);

#endif
