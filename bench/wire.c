/* See wire.h. */
#include "wire.h"

#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CIPHER "TLS_AES_128_GCM_SHA256"

static _Noreturn void die_of_tls(const char *what)
{
	fprintf(stderr, "%s: ", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

SSL_CTX *wire_context(const char *protocol)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	unsigned char offered[16] = {(unsigned char)strlen(protocol)};
	int group = NID_X25519;

	memcpy(offered + 1, protocol, offered[0]);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, CIPHER) != 1 || SSL_CTX_set1_groups(ctx, &group, 1) != 1 ||
		SSL_CTX_set_alpn_protos(ctx, offered, offered[0] + 1U) != 0)
		die_of_tls("TLS");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

static void shake_hands(struct wire *wire, SSL_CTX *ctx)
{
	int flags = fcntl(wire->fd, F_GETFL);

	wire->ssl = SSL_new(ctx);
	if (wire->ssl == NULL || SSL_set_fd(wire->ssl, wire->fd) != 1)
		die_of_tls("TLS");
	fcntl(wire->fd, F_SETFL, flags & ~O_NONBLOCK);
	if (SSL_connect(wire->ssl) != 1)
		die_of_tls("handshake");
	fcntl(wire->fd, F_SETFL, flags);
}

void wire_open(struct wire *wire, int port, SSL_CTX *ctx)
{
	wire->fd = sockets_connect(port);
	wire->ssl = NULL;
	if (ctx != NULL)
		shake_hands(wire, ctx);
}

void wire_close(struct wire *wire)
{
	SSL_free(wire->ssl);
	if (wire->fd >= 0)
		close(wire->fd);
	wire->ssl = NULL;
	wire->fd = -1;
}

static ssize_t tls_outcome(struct wire *wire, int n)
{
	int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(wire->ssl, n);

	ERR_clear_error();
	switch (error) {
	case SSL_ERROR_NONE: return n;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return WIRE_LATER;
	case SSL_ERROR_ZERO_RETURN: return WIRE_ENDED;
	default: return WIRE_BROKEN;
	}
}

ssize_t wire_recv(struct wire *wire, void *to, size_t n)
{
	ssize_t received;

	if (wire->ssl != NULL)
		return tls_outcome(wire, SSL_read(wire->ssl, to, (int)n));
	received = recv(wire->fd, to, n, 0);
	return received >= 0 ? received : errno == EAGAIN ? WIRE_LATER : WIRE_BROKEN;
}

ssize_t wire_send(struct wire *wire, const void *bytes, size_t n)
{
	ssize_t sent;

	if (wire->ssl != NULL)
		return tls_outcome(wire, SSL_write(wire->ssl, bytes, (int)n));
	sent = send(wire->fd, bytes, n, MSG_NOSIGNAL);
	return sent >= 0 ? sent : errno == EAGAIN ? WIRE_LATER : WIRE_BROKEN;
}
