/*
 * The stations of a byte in a conn with TLS:
 *
 *     kernel --io_recv--> scratch.in --bio_read--> OpenSSL --SSL_read--> memory of the caller
 *                            `- what a full caller leaves: held
 *     memory of the caller --SSL_write--> OpenSSL --bio_write--> scratch.out --io_sendv--> kernel
 *                                                                    `- what it does not take: conn->out
 *
 * The BIO is ours and only copies (tls_wire.c): no system call is made from inside OpenSSL. One conn_recv receives once, unless
 * what came was no content (the rest of a record is still to come, a session ticket); one conn_sendv sends once. OpenSSL takes
 * whole or partial records and keeps what it cannot finish; with SSL_MODE_RELEASE_BUFFERS it has no buffer for a connection
 * that rests.
 *
 * Records are sized to the moment. A receiver can do nothing with a part of a record, so at the beginning each is made to
 * fit a segment of TCP; once a stream flows, large ones cost less.
 *
 * A connection's stage is one enum, and goes one way: handshaking (tls_handshake.c), open, ended (close_notify is said); failed
 * from anywhere.
 */
#include <errno.h>

#include <openssl/err.h>

#include "base/check.h"
#include "net/tls_state.h"

enum {
	RECORD_FIRST = 1369,      /* content of a record that fits a segment, whatever its headers carry */
	BURST_BYTES = 128 * 1024, /* after that much without a pause a stream flows */
};
#define BURST_PAUSE_US (1 * US_PER_S)

/* --- reading ---------------------------------------------------------------------------------------------------------- */

enum read_step { READ_CONTENT, READ_MORE, READ_END };

/* What SSL_read or SSL_peek has told. READ_END: the end or an error, which the conn says. */
static enum read_step read_step(struct conn *conn, int result)
{
	struct tls_conn *tls = conn->tls;

	if (result > 0)
		return READ_CONTENT;
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ: return READ_MORE;
	case SSL_ERROR_ZERO_RETURN: conn->at_end = conn->peer_closed = true; return READ_END;
	default:
		ERR_clear_error();
		tls_fail(conn, -EPROTO);
		return READ_END;
	}
}

/* Whether OpenSSL can say more than that it wants more. Asking it that costs about as much as reading does. */
static bool has_rest(const struct tls_conn *tls)
{
	return tls->input.n > 0 || SSL_pending(tls->ssl) > 0;
}

/* As much as there is, up to n. */
static size_t read_content(struct conn *conn, char *bytes, size_t n)
{
	struct tls_conn *tls = conn->tls;
	unsigned fills = 0;
	size_t got = 0;

	while (got < n) {
		size_t some = 0;
		enum read_step step;

		if (!has_rest(tls) && (got > 0 || !tls_input_may_fill(conn, ++fills) || !tls_input_fill(conn, n)))
			break;
		step = read_step(conn, SSL_read_ex(tls->ssl, bytes + got, n - got, &some));
		got += some;
		if (step == READ_END)
			break;
	}
	return got;
}

ssize_t tls_recv(struct conn *conn, void *bytes, size_t n)
{
	struct tls_conn *tls = conn->tls;
	size_t got;

	if (tls->stage == TLS_HANDSHAKING)
		return -EAGAIN;
	tls_input_begin(tls);
	got = read_content(conn, bytes, n);
	tls_input_end(conn);
	/* Alerts, and what answers a change of keys. */
	tls_output_send(conn);
	/* A full caller may have left something in OpenSSL or behind it; and the end must be found behind the content. */
	conn->readable = got == n || !tls->drained || conn->at_end || conn->error != 0;
	if (got > 0)
		return (ssize_t)got;
	if (conn->error != 0)
		return conn->error;
	if (conn->at_end)
		return 0;
	conn->readable = false;
	return -EAGAIN;
}

bool tls_has_news(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	enum read_step step = READ_MORE;
	unsigned fills = 0;
	char byte;
	size_t n;

	if (tls->stage == TLS_HANDSHAKING)
		return false;
	tls_input_begin(tls);
	while (step == READ_MORE) {
		if (!has_rest(tls) && (!tls_input_may_fill(conn, ++fills) || !tls_input_fill(conn, TLS_RECEIVE_MIN)))
			break;
		step = read_step(conn, SSL_peek_ex(tls->ssl, &byte, 1, &n));
	}
	tls_input_end(conn);
	tls_output_send(conn);
	conn->readable = step != READ_MORE || conn->error != 0;
	return conn->readable;
}

/* --- sending ---------------------------------------------------------------------------------------------------------- */

/* Where in the caller's pieces sending stands. */
struct pieces {
	const struct iovec *iov;
	int count;
	size_t taken; /* of the first */
};

static size_t record_max(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	uint64_t now_us = io_now_us(conn->io);

	if (now_us - tls->sent_us >= BURST_PAUSE_US)
		tls->burst_bytes = 0;
	tls->sent_us = now_us;
	return tls->burst_bytes < BURST_BYTES ? RECORD_FIRST : TLS_RECORD_MAX;
}

/* At most n bytes off the front of the first piece that is not empty. Empty: there is nothing more. */
static struct view pieces_cut(struct pieces *p, size_t n)
{
	while (p->count > 0 && p->taken == p->iov->iov_len) {
		p->iov++;
		p->count--;
		p->taken = 0;
	}
	if (p->count == 0)
		return view_of(NULL, 0);

	size_t left = p->iov->iov_len - p->taken;
	struct view cut = view_of((const char *)p->iov->iov_base + p->taken, left < n ? left : n);

	p->taken += cut.n;
	return cut;
}

/* The content of the next record: where it stands if it is in one piece, else gathered. */
static struct view pieces_gather(struct pieces *p, char *stage, size_t n)
{
	struct view first = pieces_cut(p, n), more;
	size_t staged = first.n;

	if (first.n == n || first.n == 0)
		return first;
	more = pieces_cut(p, n - staged);
	if (more.n == 0)
		return first;
	memcpy(stage, first.p, first.n);
	for (; more.n > 0; more = pieces_cut(p, n - staged)) {
		memcpy(stage + staged, more.p, more.n);
		staged += more.n;
		if (staged == n)
			break;
	}
	return view_of(stage, staged);
}

static bool write_record(struct conn *conn, struct view content)
{
	struct tls_conn *tls = conn->tls;
	size_t written;

	/* Whole records stay together in the scratch, so that spilling is left to handshakes. */
	if (sizeof(tls->scratch->out) - tls->scratch->out_used < 2 * TLS_RECORD_MAX && tls_output_send(conn) != 0)
		return false;
	if (SSL_write_ex(tls->ssl, content.p, content.n, &written) != 1) {
		ERR_clear_error();
		tls_fail(conn, -EPROTO);
		return false;
	}
	CHECK(written == content.n);
	tls->burst_bytes += tls->burst_bytes < BURST_BYTES ? (uint32_t)content.n : 0;
	return true;
}

int tls_sendv(struct conn *conn, const struct iovec *iov, int count)
{
	struct tls_conn *tls = conn->tls;
	struct pieces pieces = {iov, count, 0};
	struct view content;

	if (conn->send_error != 0)
		return conn->send_error;
	if (tls->stage != TLS_OPEN)
		return conn->send_error = -EPIPE;
	CHECK(tls->scratch->out_used == 0);
	tls_errors_forget();
	do {
		content = pieces_gather(&pieces, tls->scratch->stage, record_max(conn));
		if (content.n > 0 && !write_record(conn, content))
			break;
	} while (content.n > 0);
	if (conn->send_error != 0)
		tls->scratch->out_used = 0;
	return tls_output_send(conn);
}

void tls_end(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;

	if (tls->stage != TLS_OPEN)
		return;
	tls->stage = TLS_ENDED;
	/* Behind something that is not sent it would say that all was. */
	if (conn->send_error != 0 || conn->broken || conn->error != 0 || conn_blocked(conn))
		return;
	SSL_shutdown(tls->ssl);
	tls_errors_forget();
	tls_output_send(conn);
}
