/*
 * Socket addresses of any family, and their text. Numeric only: names are the resolver's business.
 */
#ifndef WEIR_BASE_ADDRESS_H
#define WEIR_BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/view.h"

struct address {
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
	} u;
};

#define ADDRESS_TEXT_MAX 128
#define ADDRESS_HOST_MAX 40 /* of a numeric one without its port, with its NUL */

/* "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock" (NUL-terminated). False when malformed, port 0..65535, path too long. */
bool address_parse(struct address *address, const char *text);

/* The same form back, NUL-terminated; an unnamed unix peer is "unix:". Returns the length. */
size_t address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);

/* Only the host: "127.0.0.1", "::1" (IPv4-mapped IPv6 as IPv4), "unix:". Returns the length. */
size_t address_format_host(const struct address *address, char text[ADDRESS_TEXT_MAX]);

/* The port, 0 for unix sockets. */
unsigned address_port(const struct address *address);

/* The host as 16 bytes, IPv4 as IPv4-mapped IPv6. False for unix sockets. */
bool address_bytes(const struct address *address, unsigned char bytes[16]);

/*
 * The 16 bytes of a host as text, IPv4-mapped IPv6 as IPv4, NUL-terminated (RFC 5952 §4). Returns the length. It is quick: where
 * a peer's address is kept as bytes it is written anew for each request.
 */
size_t address_bytes_format(const unsigned char bytes[16], char text[ADDRESS_HOST_MAX]);

/* The other way round. IPv4-mapped IPv6 becomes IPv4. */
void address_from_bytes(struct address *address, const unsigned char bytes[16], unsigned port);

/* The 16 bytes of a host as text, without port or brackets. False: it is no numeric address. */
bool address_bytes_parse(struct view text, unsigned char bytes[16]);

/* It is IPv4, of which the first 96 bits are the same for all. */
bool address_bytes_is_ipv4(const unsigned char bytes[16]);

/* Only the first `prefix` bits stay, 0 to 128. */
void address_bytes_cut(unsigned char bytes[16], unsigned prefix);

/* The same place, whatever it was written like. */
bool address_eq(const struct address *a, const struct address *b);

#endif
