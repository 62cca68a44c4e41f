/*
 * Requests that must be refused. '@' stands for a target that names the request, so that a server which sees anything
 * of it can tell whose it is; "/smuggled" is what a second reader with other ideas would take for a request of its own.
 */
#ifndef WEIR_SIM_MALFORMED_H
#define WEIR_SIM_MALFORMED_H

#include <stddef.h>

struct malformed {
	const char *bytes;
	size_t length;  /* some hold NULs */
};

#define MALFORMED(text) {text, sizeof(text) - 1}
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: sim.test\r\n\r\n"
#define HOST "Host: sim.test\r\n"

static const struct malformed malformed_heads[] = {
	/* framing (RFC 9112 §6) */
	MALFORMED(
		"POST @ HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST
		  "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: 0x10\r\n\r\n0123456789abcdef" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: 1,2\r\n\r\nhi" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n" SMUGGLED),
	MALFORMED(
		"POST @ HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.1\r\n" HOST "Transfer-Encoding:\x0b"
		  "chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	MALFORMED("POST @ HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	/* lines and names (RFC 9112 §2.2, §5) */
	MALFORMED("GET @ HTTP/1.1\nHost: sim.test\n\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A: a\rb\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A: a\nX-B: b\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A: a\r\n folded\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A : a\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST ": a\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X(A): a\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "nonsense\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A: a\0b\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST "X-A: a\x01"
		  "b\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n " HOST "\r\n"),
	MALFORMED("GET  @ HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @ HTTP/1.1 \r\n" HOST "\r\n"),
	MALFORMED("GET @\r\n" HOST "\r\n"),
	MALFORMED("GET @ HTTP/1.2\r\n" HOST "\r\n"),
	MALFORMED("GET @ HTTP/2.0\r\n" HOST "\r\n"),
	MALFORMED("G(T @ HTTP/1.1\r\n" HOST "\r\n"),
	/* Host (RFC 9112 §3.2) */
	MALFORMED("GET @ HTTP/1.1\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\n" HOST HOST "\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\nHost: a b\r\n\r\n"),
	MALFORMED("GET @ HTTP/1.1\r\nHost: user@sim.test\r\n\r\n"),
	MALFORMED("GET http://other.test@ HTTP/1.1\r\n" HOST "\r\n"),
	/* targets */
	MALFORMED("GET @/%00 HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @/a%2fb HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @/a%5cb HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @/a\\b HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @/%zz HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET /../../u0/bad HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("GET @#part HTTP/1.1\r\n" HOST "\r\n"),
	MALFORMED("CONNECT sim.test:443 HTTP/1.1\r\n" HOST "\r\n"),
};

/* What follows a right head with Transfer-Encoding: chunked (RFC 9112 §7.1). */
static const struct malformed malformed_contents[] = {
	MALFORMED("5\r\nhello\r\nzz\r\n"),
	MALFORMED("5\r\nhello0\r\n\r\n"),
	MALFORMED("5\r\nhelloX\r\n0\r\n\r\n"),
	MALFORMED("0x5\r\nhello\r\n0\r\n\r\n"),
	MALFORMED("+5\r\nhello\r\n0\r\n\r\n"),
	MALFORMED("-1\r\nhello\r\n0\r\n\r\n"),
	MALFORMED("5\nhello\r\n0\r\n\r\n"),
	MALFORMED("\r\nhello\r\n0\r\n\r\n"),
	MALFORMED("11111111111111111\r\nhello\r\n0\r\n\r\n"),
	MALFORMED("5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"),
	MALFORMED("5\r\nhello\r\n0\r\n folded\r\n\r\n"),
	MALFORMED("5;x=\x01\r\nhello\r\n0\r\n\r\n"),
};

#endif
