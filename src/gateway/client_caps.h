/*
 * How many connections each client has, over all workers: the counts behind `limits.connections_per_client`.
 *
 * A client is a block of addresses at one listener: one IPv4 address, or an IPv6 prefix, since whoever has one IPv6 address
 * has 2^64 of them.
 *
 * Lifecycle: client_caps_create, any number of client_caps_enter and as many client_caps_leave, client_caps_free.
 */
#ifndef WEIR_GATEWAY_CLIENT_CAPS_H
#define WEIR_GATEWAY_CLIENT_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_caps;

/* The place of one connection in its client's count. */
struct client_cap;

struct client_cap_key {
	unsigned char address[16];  /* as address_bytes gives it, cut to `prefix` bits */
	uint32_t listener;
	uint32_t prefix;            /* of these 128 bits; 128 for IPv4 */
};

/* The whole of an IPv4 address, or the first `prefix` bits of an IPv6 one. */
struct client_cap_key client_cap_key(const unsigned char address[16], uint32_t listener, unsigned prefix);

/* For about so many connections; more of them only take longer to find. `seed`: not to be guessed. NULL: out of memory. */
struct client_caps *client_caps_create(size_t connections, uint64_t seed);

/* Everybody has left (CHECK). NULL is allowed. */
void client_caps_free(struct client_caps *caps);

enum client_cap_result {
	CLIENT_CAP_ENTERED,
	CLIENT_CAP_FULL,            /* the client has `max` already */
	CLIENT_CAP_NO_MEMORY,
};

/* Counts one more, unless there are `max`, at least 1. ENTERED: *place is to be given back. Any thread. */
enum client_cap_result client_caps_enter(
	struct client_caps *caps, const struct client_cap_key *key, uint32_t max, struct client_cap **place);

/* The connection has ended. Any thread. */
void client_caps_leave(struct client_caps *caps, struct client_cap *place);

/* Whether the place is of this key. On the thread that entered it. */
bool client_cap_is(const struct client_cap *place, const struct client_cap_key *key);

#endif
