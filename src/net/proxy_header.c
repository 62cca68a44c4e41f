/*
 * See proxy_header.h. A v1 header is one line of text:
 *
 *     PROXY TCP4 192.0.2.1 198.51.100.7 51234 443 CR LF         at most 107 bytes; TCP6 likewise; UNKNOWN and anything
 *
 * and a v2 header is binary, with a length in front:
 *
 *     signature (12) | version, command | family, transport | length (2) | addresses | TLVs
 *
 * The first byte tells which. Text is read strictly, with one spelling for everything. Of the TLVs only the checksum means
 * something here; the others must be well-formed, which tells a header whose length lies.
 */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

enum {
	V1_MIN = 15,              /* "PROXY UNKNOWN\r\n" */
	V1_MAX = 107,
	V1_SPACES = 5,
	V2_FIXED = 16,            /* all in front of the addresses */
	V2_UNIX_PATH = 108,
	TLV_HEAD = 3,
	TLV_CRC32C = 0x03,
	CRC_BYTES = 4,
};

static const struct view v1_word = {"PROXY ", 6};
static const struct view v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};

static enum proxy_header_status bad(struct proxy_header *h, const char *why)
{
	h->why = why;
	return PROXY_HEADER_BAD;
}

static enum proxy_header_status want(struct proxy_header *h, size_t more)
{
	h->more = more;
	return PROXY_HEADER_MORE;
}

/* Whether the bytes, as far as they go, are those of the prefix. */
static bool begins_like(struct view bytes, struct view prefix)
{
	return memcmp(bytes.p, prefix.p, bytes.n < prefix.n ? bytes.n : prefix.n) == 0;
}

/* --- version 1 ------------------------------------------------------------------------------------------------------ */

/* Cuts the next word off the line: words are not empty, and one space stands between two. */
static bool next_word(struct view *line, struct view *word)
{
	const char *space = line->n == 0 ? NULL : memchr(line->p, ' ', line->n);

	*word = *line;
	if (space != NULL) {
		word->n = (size_t)(space - line->p);
		/* A space is followed by a word. */
		if (word->n + 1 == line->n)
			return false;
	}
	*line = view_from(*line, word->n + (space != NULL));
	return word->n > 0;
}

static bool v1_address(struct view word, int family, unsigned char bytes[16])
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];

	if (word.n >= sizeof(text) || memchr(word.p, '\0', word.n) != NULL)
		return false;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	if (family == AF_INET6)
		return inet_pton(AF_INET6, text, bytes) == 1;
	memcpy(bytes, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, bytes + sizeof(mapped)) == 1;
}

/* Decimal, without a zero in front. */
static bool v1_port(struct view word, unsigned *port)
{
	uint64_t value;

	if (word.n > 5 || (word.n > 1 && word.p[0] == '0') || !view_parse_u64(word, &value) || value > UINT16_MAX)
		return false;
	*port = (unsigned)value;
	return true;
}

/* "192.0.2.1 198.51.100.7 51234 443" */
static bool v1_addresses(struct view line, int family, struct proxy_header *h)
{
	unsigned char source[16], destination[16];
	unsigned source_port, destination_port;
	struct view word;

	if (!next_word(&line, &word) || !v1_address(word, family, source) ||
		!next_word(&line, &word) || !v1_address(word, family, destination) ||
		!next_word(&line, &word) || !v1_port(word, &source_port) ||
		!next_word(&line, &word) || !v1_port(word, &destination_port) || line.n > 0)
		return false;
	address_from_bytes(&h->source, source, source_port);
	address_from_bytes(&h->destination, destination, destination_port);
	h->named = true;
	return true;
}

/* All between "PROXY " and the line's end. */
static bool v1_line(struct view line, struct proxy_header *h)
{
	if (view_starts(line, VIEW("TCP4 ")))
		return v1_addresses(view_from(line, 5), AF_INET, h);
	if (view_starts(line, VIEW("TCP6 ")))
		return v1_addresses(view_from(line, 5), AF_INET6, h);
	/* What stands behind it is to be passed over. */
	return view_eq(line, VIEW("UNKNOWN")) || view_starts(line, VIEW("UNKNOWN "));
}

/* How much of the line must still come: at least one byte for each word, more for an IPv4 address. */
static size_t v1_missing(struct view line)
{
	size_t spaces = 0, missing = 2;

	if (line.p[line.n - 1] == '\r')
		return 1;
	if (!view_starts(line, VIEW("PROXY TCP")))
		return missing;
	for (size_t i = 0; i < line.n; i++)
		spaces += line.p[i] == ' ';
	if (spaces < V1_SPACES)
		missing += 2 * (V1_SPACES - spaces);
	/* "0.0.0.0" */
	if (view_starts(line, VIEW("PROXY TCP4 ")) && spaces < 3)
		missing += 6 * (3 - spaces);
	/* The word behind the last space has yet to begin. */
	return missing + (spaces <= V1_SPACES && line.p[line.n - 1] == ' ');
}

static enum proxy_header_status v1_read(struct view bytes, struct proxy_header *h)
{
	size_t n = bytes.n < V1_MAX ? bytes.n : V1_MAX;
	const char *cr = memchr(bytes.p, '\r', n);
	const char *lf = memchr(bytes.p, '\n', n);

	if (lf != NULL) {
		if (cr == NULL || lf != cr + 1)
			return bad(h, "the line of a PROXY header does not end in CRLF");
		if (!v1_line(view_of(bytes.p + v1_word.n, (size_t)(cr - bytes.p) - v1_word.n), h))
			return bad(h, "the addresses in a PROXY header cannot be read");
		h->consumed = (size_t)(lf - bytes.p) + 1;
		return PROXY_HEADER_DONE;
	}
	if (n == V1_MAX || (cr != NULL && cr != bytes.p + n - 1))
		return bad(h, "the line of a PROXY header does not end in CRLF");
	size_t missing = bytes.n < V1_MIN ? V1_MIN - bytes.n : v1_missing(bytes);

	return want(h, missing < V1_MAX - n ? missing : V1_MAX - n);
}

/* --- version 2 ------------------------------------------------------------------------------------------------------ */

static unsigned byte_at(struct view v, size_t i)
{
	return (unsigned char)v.p[i];
}

static unsigned u16_at(struct view v, size_t i)
{
	return byte_at(v, i) << 8 | byte_at(v, i + 1);
}

static uint32_t u32_at(struct view v, size_t i)
{
	return (uint32_t)u16_at(v, i) << 16 | u16_at(v, i + 2);
}

/* CRC32C by halves of a byte: a header is short, and a table of 16 is enough. `crc` begins as ~0 and is inverted at the end. */
static uint32_t crc32c(uint32_t crc, struct view bytes)
{
	static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab,
		0xe330a81a, 0xf36e6f75};

	for (size_t i = 0; i < bytes.n; i++) {
		crc ^= byte_at(bytes, i);
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

/* The sum over the whole header, its own four bytes (at `at`) taken as zeros. */
static bool sum_is_right(struct view header, size_t at)
{
	uint32_t crc = crc32c(UINT32_MAX, view_of(header.p, at));

	crc = crc32c(crc, view_of("\0\0\0\0", CRC_BYTES));
	crc = crc32c(crc, view_from(header, at + CRC_BYTES));
	return ~crc == u32_at(header, at);
}

/* `at`: where they begin in the header, which ends with them. NULL: they are in order. */
static const char *tlvs_check(struct view header, size_t at)
{
	bool summed = false;

	while (at < header.n) {
		if (header.n - at < TLV_HEAD || header.n - at - TLV_HEAD < u16_at(header, at + 1))
			return "a TLV of a PROXY header is cut off";
		if (byte_at(header, at) == TLV_CRC32C) {
			if (summed || u16_at(header, at + 1) != CRC_BYTES)
				return "the checksum of a PROXY header cannot be read";
			if (!sum_is_right(header, at + TLV_HEAD))
				return "the checksum of a PROXY header is wrong";
			summed = true;
		}
		at += TLV_HEAD + u16_at(header, at + 1);
	}
	return NULL;
}

static void v2_unix(struct address *address, const char *path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&address->u.storage;

	memset(address, 0, sizeof(*address));
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, V2_UNIX_PATH);
	address->len = sizeof(*un);
}
_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == V2_UNIX_PATH, "a path is as long as the protocol's");

static void v2_inet(struct view header, struct proxy_header *h)
{
	unsigned char source[16] = {[10] = 0xff, [11] = 0xff}, destination[16] = {[10] = 0xff, [11] = 0xff};

	memcpy(source + 12, header.p + V2_FIXED, 4);
	memcpy(destination + 12, header.p + V2_FIXED + 4, 4);
	address_from_bytes(&h->source, source, u16_at(header, V2_FIXED + 8));
	address_from_bytes(&h->destination, destination, u16_at(header, V2_FIXED + 10));
}

static void v2_inet6(struct view header, struct proxy_header *h)
{
	const unsigned char *bytes = (const unsigned char *)header.p + V2_FIXED;

	address_from_bytes(&h->source, bytes, u16_at(header, V2_FIXED + 32));
	address_from_bytes(&h->destination, bytes + 16, u16_at(header, V2_FIXED + 34));
}

enum { FAMILY_UNSPEC, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, FAMILIES };

/* Bytes of both addresses. */
static const size_t v2_address_bytes[FAMILIES] = {0, 12, 36, 2 * V2_UNIX_PATH};

/* Which pairs of family and transport there are; datagrams came to whoever speaks to us by a stream. NULL: it is one. */
static const char *v2_kind_check(unsigned kind)
{
	unsigned family = kind >> 4, transport = kind & 15;

	if (family >= FAMILIES || transport > 2 || (family == FAMILY_UNSPEC) != (transport == 0))
		return "the address family of a PROXY header is not known";
	return NULL;
}

/* The header is whole. */
static enum proxy_header_status v2_proxied(struct view header, struct proxy_header *h)
{
	const char *why = v2_kind_check(byte_at(header, 13));
	unsigned family = byte_at(header, 13) >> 4;

	if (why != NULL)
		return bad(h, why);
	if (header.n - V2_FIXED < v2_address_bytes[family])
		return bad(h, "a PROXY header is too short for its addresses");
	why = tlvs_check(header, V2_FIXED + v2_address_bytes[family]);
	if (why != NULL)
		return bad(h, why);
	if (family == FAMILY_INET) {
		v2_inet(header, h);
	} else if (family == FAMILY_INET6) {
		v2_inet6(header, h);
	} else if (family == FAMILY_UNIX) {
		v2_unix(&h->source, header.p + V2_FIXED);
		v2_unix(&h->destination, header.p + V2_FIXED + V2_UNIX_PATH);
	}
	h->named = family != FAMILY_UNSPEC;
	h->consumed = header.n;
	return PROXY_HEADER_DONE;
}

static enum proxy_header_status v2_read(struct view bytes, struct proxy_header *h)
{
	enum { VERSION_2_LOCAL = 0x20, VERSION_2_PROXY = 0x21 };

	if (bytes.n > 12 && byte_at(bytes, 12) != VERSION_2_LOCAL && byte_at(bytes, 12) != VERSION_2_PROXY)
		return bad(h, "the version or command of a PROXY header is not known");
	if (bytes.n < V2_FIXED)
		return want(h, V2_FIXED - bytes.n);

	size_t n = V2_FIXED + u16_at(bytes, 14);

	if (n > PROXY_HEADER_BYTES_MAX)
		return bad(h, "a PROXY header is too long");
	if (bytes.n < n)
		return want(h, n - bytes.n);
	if (byte_at(bytes, 12) == VERSION_2_PROXY)
		return v2_proxied(view_of(bytes.p, n), h);
	/* LOCAL: the proxy speaks for itself, and the rest is to be passed over whatever it says. */
	h->consumed = n;
	return PROXY_HEADER_DONE;
}

/* --- either --------------------------------------------------------------------------------------------------------- */

enum proxy_header_status proxy_header_read(struct view bytes, unsigned versions, struct proxy_header *h)
{
	h->named = false;
	if (bytes.n == 0)
		return want(h, versions & PROXY_HEADER_V1 ? V1_MIN : V2_FIXED);
	if (versions & PROXY_HEADER_V1 && begins_like(bytes, v1_word))
		return v1_read(bytes, h);
	if (versions & PROXY_HEADER_V2 && begins_like(bytes, v2_signature))
		return v2_read(bytes, h);
	return bad(h, "the connection does not begin with a PROXY header that is allowed here");
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static size_t v1_write(char *out, int family, const unsigned char source[16], const unsigned char destination[16],
	const unsigned ports[2])
{
	size_t skip = family == AF_INET ? 12 : 0;
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	inet_ntop(family, source + skip, from, sizeof(from));
	inet_ntop(family, destination + skip, to, sizeof(to));
	return (size_t)snprintf(out, PROXY_HEADER_WRITTEN_MAX, "PROXY TCP%c %s %s %u %u\r\n",
		family == AF_INET ? '4' : '6', from, to, ports[0], ports[1]);
}

static char *put_u16(char *at, unsigned value)
{
	at[0] = (char)(value >> 8);
	at[1] = (char)value;
	return at + 2;
}

/* Signature, PROXY, family and length; where the addresses go. */
static char *v2_begin(char *out, unsigned kind, size_t address_bytes)
{
	memcpy(out, v2_signature.p, v2_signature.n);
	out[12] = 0x21;
	out[13] = (char)kind;
	return put_u16(out + 14, (unsigned)address_bytes);
}

static size_t v2_write(char *out, int family, const unsigned char source[16], const unsigned char destination[16],
	const unsigned ports[2])
{
	size_t skip = family == AF_INET ? 12 : 0, n = 16 - skip;
	char *at = v2_begin(out, family == AF_INET ? 0x11 : 0x21, 2 * n + 4);

	memcpy(at, source + skip, n);
	memcpy(at + n, destination + skip, n);
	at = put_u16(at + 2 * n, ports[0]);
	return (size_t)(put_u16(at, ports[1]) - out);
}

static size_t write_unnamed(char *out, enum proxy_header_version version)
{
	if (version == PROXY_HEADER_V2)
		return (size_t)(v2_begin(out, 0x00, 0) - out);
	memcpy(out, "PROXY UNKNOWN\r\n", V1_MIN);
	return V1_MIN;
}

size_t proxy_header_write(char out[PROXY_HEADER_WRITTEN_MAX], enum proxy_header_version version,
	const struct address *source, const struct address *destination)
{
	unsigned char from[16], to[16];

	if (source == NULL || destination == NULL || !address_bytes(source, from) || !address_bytes(destination, to))
		return write_unnamed(out, version);

	const unsigned ports[2] = {address_port(source), address_port(destination)};
	int family = address_bytes_is_ipv4(from) && address_bytes_is_ipv4(to) ? AF_INET : AF_INET6;

	return version == PROXY_HEADER_V1 ? v1_write(out, family, from, to, ports)
	                                  : v2_write(out, family, from, to, ports);
}
