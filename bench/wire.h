/*
 * A connection that bytes go through, with TLS or without: the loads that measure do not care.
 */
#ifndef WEIR_BENCH_WIRE_H
#define WEIR_BENCH_WIRE_H

#include <openssl/ssl.h>
#include <sys/types.h>

struct wire {
	int fd;
	SSL *ssl; /* NULL: it has none */
};

/* What a receive says beside a number of bytes. */
enum { WIRE_ENDED = 0, WIRE_LATER = -1, WIRE_BROKEN = -2 };

/*
 * TLS 1.3 as the servers of this bench are set up to agree on it: one cipher, one curve. Certificates are not looked at: it is the
 * server's work that is measured. `protocol`: what ALPN offers, "http/1.1" or "h2".
 */
SSL_CTX *wire_context(const char *protocol);

/* Connects, and with a context shakes hands; waits for that. Ends the program when it cannot be. */
void wire_open(struct wire *wire, int port, SSL_CTX *ctx);
void wire_close(struct wire *wire);

ssize_t wire_recv(struct wire *wire, void *to, size_t n);

/* Bytes that were taken, which may be fewer; WIRE_LATER or WIRE_BROKEN. */
ssize_t wire_send(struct wire *wire, const void *bytes, size_t n);

#endif
