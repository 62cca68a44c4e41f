/*
 * Text to socket address and back. The text is strict: one spelling of each part, nothing before or after it.
 *
 *   address   = ipv4 ":" port / "[" ipv6 "]" ":" port / "unix:" path
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define PORT_DIGITS_MAX 5

/* What IPv4 begins with as IPv6 (RFC 4291 §2.5.5.2). */
static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static struct sockaddr_in *v4(struct address *address)
{
	return (struct sockaddr_in *)&address->u.storage;
}

static struct sockaddr_in6 *v6(struct address *address)
{
	return (struct sockaddr_in6 *)&address->u.storage;
}

static struct sockaddr_un *un(struct address *address)
{
	return (struct sockaddr_un *)&address->u.storage;
}

static const struct sockaddr_in *v4_const(const struct address *address)
{
	return (const struct sockaddr_in *)&address->u.storage;
}

static const struct sockaddr_in6 *v6_const(const struct address *address)
{
	return (const struct sockaddr_in6 *)&address->u.storage;
}

static const struct sockaddr_un *un_const(const struct address *address)
{
	return (const struct sockaddr_un *)&address->u.storage;
}

static bool parse_unix(struct address *address, const char *path)
{
	struct sockaddr_un *to = un(address);
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(to->sun_path))
		return false;
	to->sun_family = AF_UNIX;
	memcpy(to->sun_path, path, n + 1);
	address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return true;
}

static bool parse_port(const char *text, in_port_t *port)
{
	struct view v = view_str(text);
	uint64_t value;

	if (v.n > PORT_DIGITS_MAX || !view_parse_u64(v, &value) || value > UINT16_MAX)
		return false;
	*port = htons((uint16_t)value);
	return true;
}

/* `host` is without its brackets and NUL-terminated. */
static bool parse_host(struct address *address, const char *host, in_port_t port, int family)
{
	if (family == AF_INET6) {
		v6(address)->sin6_family = AF_INET6;
		v6(address)->sin6_port = port;
		address->len = sizeof(struct sockaddr_in6);
		return inet_pton(AF_INET6, host, &v6(address)->sin6_addr) == 1;
	}
	v4(address)->sin_family = AF_INET;
	v4(address)->sin_port = port;
	address->len = sizeof(struct sockaddr_in);
	return inet_pton(AF_INET, host, &v4(address)->sin_addr) == 1;
}

bool address_parse(struct address *address, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	in_port_t port;

	memset(address, 0, sizeof(*address));
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(address, text + 5);
	if (colon == NULL || !parse_port(colon + 1, &port))
		return false;
	struct view v = view_of(text, (size_t)(colon - text));
	bool bracketed = v.n >= 2 && v.p[0] == '[' && v.p[v.n - 1] == ']';

	if (bracketed)
		v = view_of(v.p + 1, v.n - 2);
	if (v.n >= sizeof(host))
		return false;
	memcpy(host, v.p, v.n);
	host[v.n] = '\0';
	return parse_host(address, host, port, bracketed ? AF_INET6 : AF_INET);
}

/* The path of a unix address; of length 0 for an unnamed (or abstract) one. */
static struct view unix_path(const struct address *address)
{
	size_t offset = offsetof(struct sockaddr_un, sun_path);

	if (address->len <= offset)
		return VIEW("");
	return view_of(un_const(address)->sun_path, strnlen(un_const(address)->sun_path, address->len - offset));
}

size_t address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	int n;

	if (address->u.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &v4_const(address)->sin_addr, host, sizeof(host));
		n = snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, address_port(address));
	} else if (address->u.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6_const(address)->sin6_addr, host, sizeof(host));
		n = snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, address_port(address));
	} else {
		struct view path = unix_path(address);

		n = snprintf(text, ADDRESS_TEXT_MAX, "unix:%.*s", (int)path.n, path.p);
	}
	return (size_t)n;
}

size_t address_format_host(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	unsigned char bytes[16];

	if (address_bytes(address, bytes))
		return address_bytes_format(bytes, text);
	memcpy(text, "unix:", sizeof("unix:"));
	return VIEW("unix:").n;
}

unsigned address_port(const struct address *address)
{
	if (address->u.any.sa_family == AF_INET)
		return ntohs(v4_const(address)->sin_port);
	if (address->u.any.sa_family == AF_INET6)
		return ntohs(v6_const(address)->sin6_port);
	return 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
	return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

bool address_bytes(const struct address *address, unsigned char bytes[16])
{
	if (address->u.any.sa_family == AF_INET6) {
		memcpy(bytes, &v6_const(address)->sin6_addr, 16);
		return true;
	}
	if (address->u.any.sa_family != AF_INET)
		return false;
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + 12, &v4_const(address)->sin_addr, 4);
	return true;
}

bool address_bytes_parse(struct view text, unsigned char bytes[16])
{
	char z[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (inet_pton(AF_INET6, z, bytes) == 1)
		return true;
	memcpy(bytes, mapped, sizeof(mapped));
	return inet_pton(AF_INET, z, bytes + sizeof(mapped)) == 1;
}

static char *put_ipv4(char *at, const unsigned char bytes[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned byte = bytes[i];

		if (byte >= 100)
			*at++ = (char)('0' + byte / 100);
		if (byte >= 10)
			*at++ = (char)('0' + byte / 10 % 10);
		*at++ = (char)('0' + byte % 10);
		*at++ = '.';
	}
	return at - 1;
}

enum { GROUPS = 8 };

/* Which groups "::" stands for: the most that are 0 in a row, two at least, and the first of several such rows. */
struct gap {
	int start, count;
};

static struct gap longest_gap(const unsigned group[GROUPS])
{
	struct gap longest = {.start = -1, .count = 1};

	for (int i = 0, count = 0; i < GROUPS; i++) {
		count = group[i] == 0 ? count + 1 : 0;
		if (count > longest.count)
			longest = (struct gap){.start = i + 1 - count, .count = count};
	}
	return longest;
}

static char *put_group(char *at, unsigned group)
{
	static const char digits[] = "0123456789abcdef";

	if (group >= 0x1000)
		*at++ = digits[group >> 12];
	if (group >= 0x100)
		*at++ = digits[group >> 8 & 15];
	if (group >= 0x10)
		*at++ = digits[group >> 4 & 15];
	*at++ = digits[group & 15];
	return at;
}

static char *put_ipv6(char *at, const unsigned char bytes[16])
{
	unsigned group[GROUPS];

	for (int i = 0; i < GROUPS; i++)
		group[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];

	struct gap gap = longest_gap(group);

	for (int i = 0; i < GROUPS; i++) {
		if (i == gap.start) {
			*at++ = ':';
			i += gap.count - 1;
			if (i == GROUPS - 1)
				*at++ = ':';
			continue;
		}
		if (i > 0)
			*at++ = ':';
		at = put_group(at, group[i]);
	}
	return at;
}

size_t address_bytes_format(const unsigned char bytes[16], char text[ADDRESS_HOST_MAX])
{
	char *end = address_bytes_is_ipv4(bytes) ? put_ipv4(text, bytes + sizeof(mapped)) : put_ipv6(text, bytes);

	*end = '\0';
	return (size_t)(end - text);
}

bool address_bytes_is_ipv4(const unsigned char bytes[16])
{
	return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

void address_bytes_cut(unsigned char bytes[16], unsigned prefix)
{
	for (unsigned i = 0; i < 16; i++, prefix = prefix > 8 ? prefix - 8 : 0)
		bytes[i] &= prefix >= 8 ? 0xff : (unsigned char)(0xff00u >> prefix);
}

void address_from_bytes(struct address *address, const unsigned char bytes[16], unsigned port)
{
	memset(address, 0, sizeof(*address));
	if (address_bytes_is_ipv4(bytes)) {
		v4(address)->sin_family = AF_INET;
		v4(address)->sin_port = htons((uint16_t)port);
		memcpy(&v4(address)->sin_addr, bytes + 12, 4);
		address->len = sizeof(struct sockaddr_in);
		return;
	}
	v6(address)->sin6_family = AF_INET6;
	v6(address)->sin6_port = htons((uint16_t)port);
	memcpy(&v6(address)->sin6_addr, bytes, 16);
	address->len = sizeof(struct sockaddr_in6);
}
