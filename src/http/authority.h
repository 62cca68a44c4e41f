/*
 * host[:port], as it stands in Host and in an absolute target (RFC 9110 §7.2, RFC 3986 §3.2): read strictly, and
 * brought to the one form that is compared, routed on and forwarded.
 */
#ifndef WEIR_HTTP_AUTHORITY_H
#define WEIR_HTTP_AUTHORITY_H

#include "base/arena.h"

struct authority {
	struct view text; /* as received */
	struct view host; /* without port; a literal with its brackets, a name without its trailing dot */
	struct view tail; /* ":8080", or empty */
	uint16_t port; /* 0: none given */
	bool canonical; /* `text` and `host` are canonical as they stand */
};

/*
 * Reads `text`, which stays borrowed. NULL when right, else one static sentence. A host is a name of unreserved
 * characters without empty labels (IPv4 addresses are such names), or an IPv6 address in brackets; percent-encoded and
 * sub-delimiter characters, user information, zones, other literals and ports other than 1..65535 are refused.
 */
const char *authority_read(struct authority *a, struct view text);

/*
 * Makes the authority canonical: lower case, no trailing dot, no empty port, IPv6 as RFC 5952 writes it. Copies into
 * the arena only what changes. False: arena exhausted.
 */
bool authority_make_canonical(struct authority *a, struct arena *arena);

#endif
