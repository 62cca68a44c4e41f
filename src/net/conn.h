/*
 * A byte stream on the loop: receiving, sending, and backpressure.
 *
 * A conn stands inside its owner (a client's or an upstream's connection). It receives into memory that the caller lends
 * and sends from there; only what the kernel did not take is copied into `out`, so an idle conn owns no buffer. Whoever
 * writes must stop while conn_blocked(): that is the whole of the backpressure, and it bounds `out` to what one caller
 * hands over in one go.
 *
 * Large content may be handed over in a pipe of the loop's, and then never enters user space. What of it the kernel does not
 * take stays in the pipe, behind `out`, which begins with some of it: so a conn is blocked as long as `out` is not empty, in any case. A
 * pipe that is for one go (IO_PIPES_KEPT) is read out instead.
 *
 * The loop tells once that something changed; the flags below remember it until it has been dealt with.
 *
 * A conn may have TLS (net/tls.h). Then `out` holds ciphertext and `taken` counts its bytes; all else is the same. An end of
 * the peer's that is not announced by close_notify is an error (-ECONNRESET) and no end: what came before it may be cut off.
 *
 * Lifecycle: zero-initialise, then conn_accept or conn_connect; conn_close or conn_abort; free the memory from a deferred
 * task (the loop may still hold an event of this tick).
 */
#ifndef WEIR_NET_CONN_H
#define WEIR_NET_CONN_H

#include "base/buf.h"
#include "io/io.h"

struct tls_conn;

struct conn {
	struct io_source source;
	struct io *io;
	struct tls_conn *tls;                 /* NULL: none (net/tls.h) */
	struct buf out;                       /* accepted from the owner, not yet taken by the kernel */
	void (*on_ready)(struct conn *conn);  /* set by the owner; some of the flags changed, or `out` went empty */
	uint32_t taken;                       /* bytes that the kernel has taken; behind UINT32_MAX comes 1; the owner may begin anew at 0 */
	bool readable;                        /* conn_recv may have something */
	bool peer_closed;                     /* FIN announced; what came before it may be unread */
	uint8_t pipe;                         /* what goes out behind `out`, which is not empty then; 0: nothing */
	bool at_end : 1;                      /* conn_recv has returned 0 */
	bool broken : 1;                      /* nothing can be sent any more; bytes before it may be unread */
	bool reset : 1;                       /* broken, and not by an orderly end: what was received may be cut off */
	bool shut : 1;                        /* our direction was ended */
	bool parting : 1;                     /* what is sent is the last: conn_part() */
	int error;                            /* negative errno once receiving has failed; 0 while it has not */
	int send_error;                       /* the same for sending; what the peer said before may still be received */
};

/* How much may wait in `out`: one receive buffer and a head on top of it. Beyond it, or without memory, sending fails with -ENOMEM. */
#define CONN_OUT_MAX (1024 * 1024)

/* Takes the next connection of a listener and watches it. Results as io_accept and io_watch. */
int conn_accept(struct conn *conn, struct io *io, struct io_source *listener, struct address *peer);

/*
 * As io_connect; when it is pending, on_ready is called and conn_connect_result() tells. With TLS it is pending until the
 * handshake is over (tls_connect).
 */
int conn_connect(struct conn *conn, struct io *io, const struct address *address);
int conn_connect_result(struct conn *conn);

/*
 * > 0 bytes; 0 at the end; -EAGAIN when nothing is there now (on_ready will tell); else the error, which is also kept in
 * conn->error.
 */
ssize_t conn_recv(struct conn *conn, void *bytes, size_t n);

/*
 * Sends everything, or keeps the rest in `out`. 0, or the error, which is also kept in conn->send_error. Never a partial
 * result: all bytes are taken. Must not be called while blocked, except for small closing pieces.
 */
int conn_sendv(struct conn *conn, const struct iovec *iov, int count);

/*
 * What is sent from now on is the last, and once all of it is taken conn_shutdown_write(), conn_close() or conn_abort() follows before
 * the owner returns to the loop. So the end may go out with it, in one segment.
 */
static inline void conn_part(struct conn *conn)
{
	conn->parting = true;
}

static inline bool conn_blocked(const struct conn *conn)
{
	/* It has no memory but for bytes. */
	return conn->out.memory != NULL;
}

/* As conn_unsent(), of one that is blocked. */
uint32_t conn_unsent_blocked(const struct conn *conn);

/*
 * Of a conn that is blocked: bytes that were accepted from the owner, and that the peer's system has not acknowledged. While nothing is
 * accepted it becomes less with all that the peer takes. Else 0, whatever the kernel has still.
 */
static inline uint32_t conn_unsent(const struct conn *conn)
{
	return __builtin_expect(conn_blocked(conn), 0) ? conn_unsent_blocked(conn) : 0;
}

/*
 * Receives, without TLS, into a pipe that the caller was lent, and returns how much; a conn that says less than `n` may have more. 0: what
 * there is, and be it nothing, the end or an error, is for conn_recv to say.
 */
size_t conn_recv_pipe(struct conn *conn, unsigned pipe, size_t n);

/* As conn_sendv, without TLS: the pieces (perhaps none), and behind them what the pipe holds, which is the conn's from here on. */
int conn_send_pipe(struct conn *conn, const struct iovec *iov, int count, unsigned pipe);

static inline bool conn_is_open(const struct conn *conn)
{
	return conn->source.fd >= 0;
}

/*
 * Whether something is to be read on a conn of which nothing is expected: content, the end, or an error. With TLS it looks
 * through what came, since a peer sends more than that (session tickets).
 */
bool conn_has_news(struct conn *conn);

/* conn_recv looks at the socket, whatever the last event told. */
void conn_look_again(struct conn *conn);

/* Ends our direction once `out` is empty (the caller sees to that). */
void conn_shutdown_write(struct conn *conn);

/*
 * Closes and forgets what was not sent. Legal twice. With TLS the peer is told that it is the end (close_notify), unless
 * something was not sent.
 */
void conn_close(struct conn *conn);

/* Closes (without close_notify) so that the peer sees a failure, not an end. */
void conn_abort(struct conn *conn);

#endif
