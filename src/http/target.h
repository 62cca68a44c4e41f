/*
 * The request target (RFC 9112 §3.2), made canonical. One canonical target is routed on and forwarded, so that the
 * gateway and the origin cannot disagree about what was asked for.
 *
 * Canonical path: percent-encoded unreserved characters decoded, remaining percent-encodings in upper case, characters
 * that may not stand raw in a path (RFC 3986 §3.3) percent-encoded, repeated slashes merged, dot segments removed.
 * Refused: "%00" and other encoded controls, encoded slash or backslash, raw backslash, malformed percent-encoding,
 * a fragment, raw controls and blanks, dot segments that climb above the root or carry parameters ("..;x").
 * The query is passed on as it came (raw non-ASCII percent-encoded, malformed encodings left alone), controls refused.
 * Canonical host: lower case, no trailing dot, no empty port, IPv6 as RFC 5952 writes it. docs/http1.md has the cases.
 */
#ifndef WEIR_HTTP_TARGET_H
#define WEIR_HTTP_TARGET_H

#include "base/arena.h"
#include "http/message.h"

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_ASTERISK, TARGET_AUTHORITY };

struct target {
	enum target_form form;
	struct view path;       /* canonical, begins with '/'; "*" for TARGET_ASTERISK */
	struct view query;      /* without '?'; p == NULL when there is no '?' at all */
	struct view whole;      /* path, and "?query" where there is one: what is forwarded */
	struct view host;       /* canonical: lower case, no port, v6 in brackets; from the target or the Host field */
	struct view authority;  /* host as it is forwarded: canonical host, with ":port" where one was given */
	uint16_t port;          /* 0: none given */
};

/*
 * The Host that was read last, if it was canonical as it came: most requests have the one that the request before had, and need not
 * have it read again. Zeroed memory is none.
 */
struct host_memo {
	uint16_t port;
	uint8_t n;              /* 0: none */
	uint8_t host_n;         /* without the port */
	char text[60];
};

/* What target_read() answers when the arena is exhausted: the one reason that is no fault of the client. */
extern const char target_why_memory[];

/*
 * Reads the target of a request head and its Host field together. Results point into the message or the arena.
 * NULL when right, else one static sentence saying why it is refused with 400. An absolute target must be http or https
 * and its authority must equal Host where both are given. An absent Host (HTTP/1.0) gives an empty host.
 * Authority form is accepted for CONNECT only (which the gateway refuses by itself). `memo` may be NULL.
 */
const char *target_read(struct target *t, const struct message *m, struct arena *arena, struct host_memo *memo);

/*
 * A path from the configuration made canonical in place of a request: same rules, "" when refused.
 */
struct view target_canonical_path(struct view path, struct arena *arena, const char **why);

#endif
