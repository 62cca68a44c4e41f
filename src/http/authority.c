/*
 * host[:port]. Nearly every Host is canonical as it comes: one pass finds that out, and nothing is copied.
 */
#include "http/authority.h"

#include <arpa/inet.h>

#include "http/chars.h"

#define HOST_BYTES_MAX 255 /* RFC 1035 §2.3.4, and more than the longest IPv6 literal */

static const char why_character[] = "the host has a character that no host may have";

/* The canonical spelling of "[...]", with its brackets, in `to`; its length, 0 when it is no IPv6 address. */
static size_t literal_format(struct view literal, char to[INET6_ADDRSTRLEN + 2])
{
	unsigned char bytes[16];
	char text[INET6_ADDRSTRLEN];

	if (literal.n - 2 >= sizeof(text) || memchr(literal.p, '\0', literal.n) != NULL)
		return 0;
	memcpy(text, literal.p + 1, literal.n - 2);
	text[literal.n - 2] = '\0';
	if (inet_pton(AF_INET6, text, bytes) != 1 || inet_ntop(AF_INET6, bytes, text, sizeof(text)) == NULL)
		return 0;
	size_t n = strlen(text);

	to[0] = '[';
	memcpy(to + 1, text, n);
	to[n + 1] = ']';
	return n + 2;
}

/* Sets `host` and `canonical` from a literal; `tail` is what follows it. */
static const char *literal_read(struct authority *a)
{
	char canonical[INET6_ADDRSTRLEN + 2];
	const char *close = memchr(a->text.p, ']', a->text.n);

	if (close == NULL)
		return "the IPv6 address of the host has no closing bracket";
	a->host = view_of(a->text.p, (size_t)(close + 1 - a->text.p));
	a->tail = view_from(a->text, a->host.n);
	size_t n = literal_format(a->host, canonical);

	if (n == 0)
		return "the host in brackets is not an IPv6 address";
	a->canonical = view_eq(a->host, view_of(canonical, n));
	return NULL;
}

/* The same for a name. */
static const char *name_read(struct authority *a)
{
	const char *end = a->text.p + a->text.n;
	const char *p = a->text.p;
	unsigned classes = 0;
	char before = '.';

	for (; p < end; p++) {
		unsigned class = chars[(unsigned char)*p];

		if (!(class & CHAR_UNRESERVED))
			break;
		if (*p == '.' && before == '.')
			return "the host has an empty label";
		classes |= class;
		before = *p;
	}
	a->host = view_of(a->text.p, (size_t)(p - a->text.p));
	a->tail = view_from(a->text, a->host.n);
	if (a->host.n == 0)
		return p == end || *p == ':' ? "the host is empty" : why_character;
	a->canonical = (classes & CHAR_UPPER) == 0;
	/* "example.com." is the same host as "example.com", and must not slip past a route or a rule for it. */
	if (p[-1] == '.') {
		a->host.n--;
		a->canonical = false;
	}
	return NULL;
}

/* Reads `tail`: nothing, or ":" and perhaps a port. */
static const char *port_read(struct authority *a)
{
	unsigned port = 0;

	a->port = 0;
	if (a->tail.n == 0)
		return NULL;
	if (a->tail.p[0] != ':')
		return why_character;
	for (size_t i = 1; i < a->tail.n; i++) {
		unsigned digit = (unsigned char)a->tail.p[i] - (unsigned)'0';

		port = port * 10 + digit;
		if (digit > 9 || port == 0 || port > UINT16_MAX)
			return "the port of the host is not a number from 1 to 65535";
	}
	a->port = (uint16_t)port;
	if (port == 0) {
		a->tail.n = 0;
		a->canonical = false;
	}
	return NULL;
}

const char *authority_read(struct authority *a, struct view text)
{
	if (text.n == 0)
		return "the host is empty";
	a->text = text;
	const char *why = text.p[0] == '[' ? literal_read(a) : name_read(a);

	if (why != NULL)
		return why;
	if (a->host.n > HOST_BYTES_MAX)
		return "the host is longer than a host may be";
	return port_read(a);
}

bool authority_make_canonical(struct authority *a, struct arena *arena)
{
	char literal[INET6_ADDRSTRLEN + 2];
	struct view host = a->host;

	if (a->canonical)
		return true;
	if (host.p[0] == '[')
		host = view_of(literal, literal_format(host, literal));
	char *p = arena_alloc(arena, host.n + a->tail.n);

	if (p == NULL)
		return false;
	for (size_t i = 0; i < host.n; i++)
		p[i] = char_lower(host.p[i]);
	if (a->tail.n > 0)
		memcpy(p + host.n, a->tail.p, a->tail.n);
	a->host = view_of(p, host.n);
	a->tail = view_of(p + host.n, a->tail.n);
	a->text = view_of(p, host.n + a->tail.n);
	a->canonical = true;
	return true;
}
