/*
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): a header in front of
 * everything else on a connection, by which a proxy that knows only TCP says whom the connection is from. Sans I/O.
 *
 * The header is to be received to its last byte and no further, since what stands behind it may belong to TLS: a reader that
 * wants more says how many bytes it is sure of.
 */
#ifndef WEIR_NET_PROXY_HEADER_H
#define WEIR_NET_PROXY_HEADER_H

#include "base/address.h"
#include "base/view.h"

/* Bits of a set of versions. The configuration's words have the same values. */
enum proxy_header_version { PROXY_HEADER_V1 = 1, PROXY_HEADER_V2 = 2 };

enum {
	PROXY_HEADER_BYTES_MAX = 4096,  /* of a received one, TLVs included */
	PROXY_HEADER_WRITTEN_MAX = 108, /* of a written one */
};

enum proxy_header_status { PROXY_HEADER_DONE, PROXY_HEADER_MORE, PROXY_HEADER_BAD };

struct proxy_header {
	bool named;                     /* it names addresses; else those of the socket hold (LOCAL, UNKNOWN, UNSPEC) */
	struct address source;          /* the client: IPv4, IPv6 or a unix path; if named */
	struct address destination;     /* where the client has connected to; if named */
	size_t consumed;                /* DONE: the length of the header */
	size_t more;                    /* MORE: that many bytes are missing at least, all of them the header's */
	const char *why;                /* BAD: a static sentence */
};

/* Reads the header that `bytes` begins with; `versions` are those allowed. The same bytes and more give the same answer. */
enum proxy_header_status proxy_header_read(struct view bytes, unsigned versions, struct proxy_header *header);

/*
 * Writes a header that names the two; NULL: it names nobody (UNKNOWN, UNSPEC), and so do addresses that are not both of the
 * internet. Where one is IPv4 and the other IPv6, both are written as IPv6. Returns its length.
 */
size_t proxy_header_write(char out[PROXY_HEADER_WRITTEN_MAX], enum proxy_header_version version,
	const struct address *source, const struct address *destination);

#endif
