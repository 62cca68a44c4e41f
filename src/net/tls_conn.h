/* What conn.c asks of a conn with TLS, and what TLS asks of the conn below. Private to the room. */
#ifndef WEIR_NET_TLS_CONN_H
#define WEIR_NET_TLS_CONN_H

#include "net/conn.h"

/* As conn_recv and conn_sendv, for a conn that has TLS and no error yet. */
__attribute__((hot, noinline)) ssize_t tls_recv(struct conn *conn, void *bytes, size_t n);
__attribute__((hot, noinline)) int tls_sendv(struct conn *conn, const struct iovec *iov, int count);

/* The socket has something new. */
void tls_on_event(struct conn *conn);

/* Says close_notify, once, if there is somebody to hear it. */
void tls_end(struct conn *conn);

/* Reads what is there until it is content, the end or an error (then true), or there is nothing. */
bool tls_has_news(struct conn *conn);

/* Frees it. The conn is being closed. */
void tls_release(struct conn *conn);

/* Sends bytes as they are, or keeps the rest in `out`: conn_sendv without TLS (conn.c). */
int conn_sendv_plain(struct conn *conn, const struct iovec *iov, int count);

#endif
