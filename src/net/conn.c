/*
 * The way of a byte through a conn:
 *
 *     kernel --conn_recv--> memory of the caller
 *     memory of the caller --conn_sendv--> kernel, and what it did not take --> out --(writable)--> kernel
 *
 *     kernel --conn_recv_pipe--> pipe of the caller
 *     pipe of the caller --conn_send_pipe--> kernel, and what it did not take: stays in the pipe --(writable)--> kernel
 *                                                       `- of that the first bytes --> out
 *
 * A receive that comes back shorter than asked for has drained the socket: the next bytes make a new edge. This spares
 * the second receive that would only say EAGAIN.
 *
 * With TLS (tls_conn.c) the two ways have a station more; flushing and the flags are the same.
 */
#include "net/conn.h"

#include <errno.h>

#include "base/check.h"
#include "base/planted.h"
#include "net/tls.h"
#include "net/tls_conn.h"

/*
 * The way to TLS is made to look rare: beside what TLS costs a detour is nothing, but without it every instruction counts,
 * and these two functions are inlined only while they seem small.
 */
__attribute__((cold, noinline)) static ssize_t recv_by_tls(struct conn *conn, void *bytes, size_t n)
{
	return tls_recv(conn, bytes, n);
}

__attribute__((cold, noinline)) static int sendv_by_tls(struct conn *conn, const struct iovec *iov, int count)
{
	return tls_sendv(conn, iov, count);
}

/* What of a blocked pipe is kept in `out`. */
enum { PIPE_FIRST_BYTES = 512 };

static void pipe_release(struct conn *conn)
{
	if (conn->pipe != 0)
		io_pipe_give_back(conn->io, conn->pipe);
	conn->pipe = 0;
}

/* Nothing more goes out. */
static void out_release(struct conn *conn)
{
	buf_release(&conn->out);
	if (!PLANTED(PIPE_KEPT))
		pipe_release(conn);
}

/* Once there was a byte it is not 0 again, however many follow. */
static inline void count_taken(struct conn *conn, size_t n)
{
	if (__builtin_expect(__builtin_add_overflow(conn->taken, (uint32_t)n, &conn->taken), 0))
		conn->taken = 1;
}

static int send_failed(struct conn *conn, int error)
{
	conn->send_error = error;
	out_release(conn);
	return error;
}

/* The first `n` bytes of the pipe, or all that it holds, go to `out`. */
static int keep_of_pipe(struct conn *conn, size_t n)
{
	size_t held = io_pipe_held(conn->io, conn->pipe);

	for (size_t left = n < held ? n : held; left > 0;) {
		char *at = buf_reserve(&conn->out, left, CONN_OUT_MAX);
		ssize_t got = at == NULL ? -ENOMEM : io_pipe_read(conn->io, conn->pipe, at, left);

		/* Whatever it is, it is nothing of the socket's, and no event will tell of it. */
		if (got < 0)
			return send_failed(conn, -ENOMEM);
		buf_added(&conn->out, (size_t)got);
		left -= (size_t)got;
	}
	if (n >= held || PLANTED(PIPE_REST_FORGOTTEN))
		pipe_release(conn);
	return 0;
}

/* Moves what the pipe holds into the kernel; `out` is empty. What is not taken begins in `out`, and stands all there if the pipe is for one go. */
__attribute__((noinline)) static void flush_pipe(struct conn *conn)
{
	ssize_t sent = 0;

	while (io_pipe_held(conn->io, conn->pipe) > 0 && (sent = io_pipe_drain(conn->io, conn->pipe, &conn->source)) > 0)
		count_taken(conn, (size_t)sent);
	if (sent < 0 && sent != -EAGAIN && sent != -EOPNOTSUPP)
		send_failed(conn, (int)sent);
	else
		keep_of_pipe(conn, sent == -EAGAIN && conn->pipe <= IO_PIPES_KEPT ? PIPE_FIRST_BYTES : SIZE_MAX);
}

/* Moves what waits in `out` into the kernel, and what waits behind it. */
static void conn_flush(struct conn *conn)
{
	while (conn_blocked(conn)) {
		struct view left = buf_view(&conn->out);
		struct iovec iov = {(void *)(uintptr_t)left.p, left.n};
		ssize_t sent = conn->pipe == 0 ? io_sendv(conn->io, &conn->source, &iov, 1)
					       : io_sendv_more(conn->io, &conn->source, &iov, 1);

		if (sent == -EAGAIN)
			return;
		if (sent < 0) {
			send_failed(conn, (int)sent);
			return;
		}
		count_taken(conn, (size_t)sent);
		buf_consume(&conn->out, (size_t)sent);
		if (conn->pipe != 0 && !conn_blocked(conn))
			flush_pipe(conn);
	}
	/* The last of it was close_notify. */
	if (conn->shut && conn->tls != NULL)
		io_shutdown_write(conn->io, &conn->source);
}

/* More than that something came, or may be sent. */
__attribute__((noinline)) static void conn_on_any_event(struct conn *conn, unsigned events)
{
	if (events & (IO_PEER_CLOSED | IO_BROKEN))
		conn->readable = true;
	if (events & (IO_PEER_CLOSED | IO_BROKEN))
		conn->peer_closed = true;
	/* Once both directions have ended the kernel says "hang-up" of an orderly close, too. */
	if ((events & IO_BROKEN) && !conn->shut) {
		conn->broken = true;
		conn->reset |= !(events & IO_HUNG_UP);
	}
	if (conn->tls != NULL)
		tls_on_event(conn);
	if (conn_blocked(conn) && (events & (IO_WRITABLE | IO_BROKEN)))
		conn_flush(conn);
	conn->on_ready(conn);
}

static void conn_on_event(struct io_source *source, unsigned events)
{
	struct conn *conn = container_of(source, struct conn, source);

	if (events & IO_READABLE)
		conn->readable = true;
	if (events & (IO_PEER_CLOSED | IO_BROKEN) || conn->tls != NULL || conn_blocked(conn))
		conn_on_any_event(conn, events);
	else
		conn->on_ready(conn);
}

static void conn_init(struct conn *conn, struct io *io)
{
	conn->io = io;
	conn->tls = NULL;
	conn->source.fd = -1;
	conn->source.due = 0;
	conn->taken = 0;
	conn->source.on_event = conn_on_event;
	conn->pipe = 0;
	conn->readable = conn->peer_closed = conn->broken = conn->reset = conn->at_end = conn->shut = conn->parting = false;
	conn->error = conn->send_error = 0;
	buf_init(&conn->out);
}

int conn_accept(struct conn *conn, struct io *io, struct io_source *listener, struct address *peer)
{
	conn_init(conn, io);
	int error = io_accept(io, listener, &conn->source, peer);

	if (error < 0)
		return error;
	error = io_watch(io, &conn->source);
	if (error < 0)
		io_close(io, &conn->source);
	return error;
}

int conn_connect(struct conn *conn, struct io *io, const struct address *address)
{
	conn_init(conn, io);
	return io_connect(io, &conn->source, address);
}

int conn_connect_result(struct conn *conn)
{
	int error = io_connect_result(conn->io, &conn->source);

	if (error == 0 && conn->tls != NULL)
		error = tls_handshake(conn);
	if (error < 0 && error != -EINPROGRESS)
		conn->error = conn->send_error = error;
	return error;
}

ssize_t conn_recv(struct conn *conn, void *bytes, size_t n)
{
	if (conn->error != 0)
		return conn->error;
	if (conn->at_end)
		return 0;
	if (!conn->readable)
		return -EAGAIN;
	if (conn->tls != NULL)
		return recv_by_tls(conn, bytes, n);

	ssize_t got = io_recv(conn->io, &conn->source, bytes, n);

	if (got > 0) {
		if ((size_t)got < n && !conn->peer_closed)
			conn->readable = false;
	} else if (got == 0) {
		conn->at_end = conn->peer_closed = true;
		conn->readable = false;
	} else if (got == -EAGAIN) {
		conn->readable = false;
	} else {
		conn->error = (int)got;
		conn->readable = false;
	}
	return got;
}

/* All but the first `sent` bytes, for later. */
__attribute__((noinline)) static int keep_rest(struct conn *conn, const struct iovec *iov, int count, size_t sent)
{
	/* It goes out behind what the pipe holds. */
	if (conn->pipe != 0 && !PLANTED(PIPE_OVERTAKEN) && keep_of_pipe(conn, SIZE_MAX) < 0)
		return conn->send_error;
	for (int i = 0; i < count; i++) {
		size_t n = iov[i].iov_len;

		if (sent >= n) {
			sent -= n;
			continue;
		}
		if (!buf_append(&conn->out, view_of((const char *)iov[i].iov_base + sent, n - sent), CONN_OUT_MAX))
			return send_failed(conn, -ENOMEM);
		sent = 0;
	}
	return 0;
}

static inline int send_or_keep(struct conn *conn, const struct iovec *iov, int count)
{
	ssize_t sent;

	if (conn->send_error != 0)
		return conn->send_error;
	if (conn_blocked(conn))
		return keep_rest(conn, iov, count, 0);
	sent = __builtin_expect(conn->parting, 0) ? io_sendv_more(conn->io, &conn->source, iov, count) :
		io_sendv(conn->io, &conn->source, iov, count);
	if (sent < 0)
		return sent == -EAGAIN ? keep_rest(conn, iov, count, 0) : send_failed(conn, (int)sent);
	count_taken(conn, (size_t)sent);
	/* The ordinary case: one piece, and it was taken. */
	return count == 1 && (size_t)sent == iov->iov_len ? 0 : keep_rest(conn, iov, count, (size_t)sent);
}

int conn_sendv_plain(struct conn *conn, const struct iovec *iov, int count)
{
	return send_or_keep(conn, iov, count);
}

int conn_sendv(struct conn *conn, const struct iovec *iov, int count)
{
	if (conn->tls != NULL)
		return sendv_by_tls(conn, iov, count);
	return send_or_keep(conn, iov, count);
}

/* --- by pipe -------------------------------------------------------------------------------------------------------- */

size_t conn_recv_pipe(struct conn *conn, unsigned pipe, size_t n)
{
	if (conn->error != 0 || conn->at_end || !conn->readable)
		return 0;

	ssize_t got = io_pipe_fill(conn->io, pipe, &conn->source, n);

	/* However little it was: a pipe is full when its places are, and these do not count bytes. */
	if (got > 0)
		return (size_t)got;
	/* The socket tells its failure once. That it has nothing, or has ended, it also says before urgent data. */
	if (got < 0 && got != -EAGAIN && got != -EOPNOTSUPP) {
		conn->error = (int)got;
		conn->readable = false;
	}
	return 0;
}

static int send_before_pipe(struct conn *conn, const struct iovec *iov, int count)
{
	ssize_t sent = conn_blocked(conn) ? -EAGAIN : io_sendv_more(conn->io, &conn->source, iov, count);

	if (sent < 0 && sent != -EAGAIN)
		return send_failed(conn, (int)sent);
	if (sent < 0)
		sent = 0;
	count_taken(conn, (size_t)sent);
	return keep_rest(conn, iov, count, (size_t)sent);
}

int conn_send_pipe(struct conn *conn, const struct iovec *iov, int count, unsigned pipe)
{
	CHECK(conn->tls == NULL && conn->pipe == 0);
	if (conn->send_error != 0 || (count > 0 && send_before_pipe(conn, iov, count) < 0)) {
		io_pipe_give_back(conn->io, pipe);
		return conn->send_error;
	}
	conn->pipe = (uint8_t)pipe;
	if (!conn_blocked(conn)) {
		flush_pipe(conn);
		conn_flush(conn);
	} else if (pipe > IO_PIPES_KEPT) {
		keep_of_pipe(conn, SIZE_MAX);
	}
	return conn->send_error;
}

/* One that is closed has nothing in `out`. (A socket's buffers have less than 1 GiB: two of these sums are less than 4 GiB.) */
uint32_t conn_unsent_blocked(const struct conn *conn)
{
	size_t n = buf_len(&conn->out) + io_unsent(conn->io, &conn->source);

	return (uint32_t)(conn->pipe == 0 ? n : n + io_pipe_held(conn->io, conn->pipe));
}

bool conn_has_news(struct conn *conn)
{
	if (conn->tls != NULL && conn->readable && !conn->peer_closed && conn->error == 0)
		return tls_has_news(conn);
	return conn->readable || conn->peer_closed || conn->error != 0;
}

void conn_look_again(struct conn *conn)
{
	conn->readable = true;
	if (conn->tls != NULL)
		tls_on_event(conn);
}

void conn_shutdown_write(struct conn *conn)
{
	if (conn->shut || !conn_is_open(conn))
		return;
	if (conn->tls != NULL)
		tls_end(conn);
	conn->shut = true;
	/* What is blocked is close_notify: the end goes out behind it. */
	if (conn->tls != NULL && conn_blocked(conn))
		return;
	io_shutdown_write(conn->io, &conn->source);
}

void conn_close(struct conn *conn)
{
	if (conn->tls != NULL) {
		tls_end(conn);
		tls_release(conn);
	}
	out_release(conn);
	conn->readable = false;
	io_close(conn->io, &conn->source);
}

void conn_abort(struct conn *conn)
{
	if (conn->tls != NULL)
		tls_release(conn);
	out_release(conn);
	conn->readable = false;
	io_abort(conn->io, &conn->source);
}
