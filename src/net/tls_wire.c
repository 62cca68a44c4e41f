/*
 * Between the kernel and OpenSSL: a BIO that copies, and the memory that it copies from and to.
 *
 *     kernel --tls_input_fill--> scratch.in --bio_read--> OpenSSL --bio_write--> scratch.out --tls_output_send--> kernel
 *
 * A call for one connection begins with tls_input_begin and ends with tls_input_end; between two calls nothing stands in the
 * scratch, which belongs to all connections of the worker. What OpenSSL did not take is kept by the connection.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/check.h"
#include "net/tls_state.h"

enum { FILLS_MAX = 16 }; /* receives in one go that bring no content */

/* --- the BIO ---------------------------------------------------------------------------------------------------------- */

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static int bio_read(BIO *bio, char *bytes, int n)
{
	struct tls_conn *tls = BIO_get_data(bio);
	size_t some = tls->input.n < (size_t)n ? tls->input.n : (size_t)n;

	BIO_clear_retry_flags(bio);
	if (some == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(bytes, tls->input.p, some);
	tls->input = view_from(tls->input, some);
	return (int)some;
}

/* Behind what waits already; for more than the scratch holds at once, which is rare. */
static bool spill(struct tls_conn *tls)
{
	struct tls_scratch *scratch = tls->scratch;
	bool kept = buf_append(&tls->conn->out, view_of(scratch->out, scratch->out_used), CONN_OUT_MAX);

	scratch->out_used = 0;
	return kept;
}

static bool write_out(struct tls_conn *tls, struct view bytes)
{
	struct tls_scratch *scratch = tls->scratch;

	while (bytes.n > 0) {
		size_t room = sizeof(scratch->out) - scratch->out_used;
		size_t some = room < bytes.n ? room : bytes.n;

		memcpy(scratch->out + scratch->out_used, bytes.p, some);
		scratch->out_used += some;
		bytes = view_from(bytes, some);
		if (bytes.n > 0 && !spill(tls))
			return false;
	}
	return true;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
	struct tls_conn *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (buf_len(&tls->later) > 0) {
		if (!write_out(tls, buf_view(&tls->later)))
			return -1;
		buf_release(&tls->later);
	}
	return write_out(tls, view_of(bytes, (size_t)n)) ? n : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH;
}

static void bio_method_create(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
	if (bio_method == NULL)
		return;
	BIO_meth_set_read(bio_method, bio_read);
	BIO_meth_set_write(bio_method, bio_write);
	BIO_meth_set_ctrl(bio_method, bio_control);
}

static BIO *bio_create(struct tls_conn *tls)
{
	pthread_once(&bio_once, bio_method_create);

	BIO *bio = bio_method != NULL ? BIO_new(bio_method) : NULL;

	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	return bio;
}

/* --- memory ----------------------------------------------------------------------------------------------------------- */

struct tls_scratch *tls_scratch_create(void)
{
	/* Not zeroed: pages that are never used are never touched. */
	struct tls_scratch *scratch = malloc(sizeof(*scratch));

	if (scratch != NULL)
		scratch->out_used = 0;
	return scratch;
}

void tls_scratch_free(struct tls_scratch *scratch)
{
	free(scratch);
}

struct tls_conn *tls_conn_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

/* Both ways through one BIO. */
struct tls_conn *tls_conn_create(struct conn *conn, SSL_CTX *ctx, struct tls_scratch *scratch)
{
	struct tls_conn *tls = calloc(1, sizeof(*tls));
	BIO *bio;

	if (tls == NULL)
		return NULL;
	tls->conn = conn;
	tls->scratch = scratch;
	tls->ssl = SSL_new(ctx);
	bio = bio_create(tls);
	if (tls->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		SSL_free(tls->ssl);
		free(tls);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_app_data(tls->ssl, tls);
	return tls;
}

void tls_release(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;

	/* However it ends, its session may be resumed; OpenSSL would give that up where it heard no end. */
	if (tls->stage != TLS_FAILED && tls->stage != TLS_HANDSHAKING)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	tls_server_unref(tls->server);
	tls_client_unref(tls->client);
	buf_release(&tls->held);
	buf_release(&tls->later);
	free(tls->client_text);
	free(tls);
	conn->tls = NULL;
	tls_errors_forget();
}

/* --- between the kernel and OpenSSL -------------------------------------------------------------------------------------- */

void tls_fail(struct conn *conn, int error)
{
	conn->tls->stage = TLS_FAILED;
	conn->error = error;
	if (conn->send_error == 0)
		conn->send_error = error;
}

void tls_on_event(struct conn *conn)
{
	conn->tls->drained = false;
}

void tls_input_begin(struct tls_conn *tls)
{
	CHECK(tls->scratch->out_used == 0);
	tls_errors_forget();
	tls->input = buf_view(&tls->held);
}

void tls_input_end(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;

	if (buf_len(&tls->held) > 0)
		buf_consume(&tls->held, buf_len(&tls->held) - tls->input.n);
	else if (tls->input.n > 0 && !buf_append(&tls->held, tls->input, TLS_SCRATCH_IN_BYTES))
		tls_fail(conn, -ENOMEM);
	tls->input = view_of(NULL, 0);
}

static size_t receive_room(size_t want)
{
	if (want < TLS_RECEIVE_MIN)
		return TLS_RECEIVE_MIN;
	return want < TLS_SCRATCH_IN_BYTES ? want : TLS_SCRATCH_IN_BYTES;
}

bool tls_input_fill(struct conn *conn, size_t want)
{
	struct tls_conn *tls = conn->tls;
	size_t room = receive_room(want);
	ssize_t got;

	buf_release(&tls->held);
	if (tls->drained)
		return false;
	got = io_recv(conn->io, &conn->source, tls->scratch->in, room);
	tls->drained = got <= 0 || ((size_t)got < room && !conn->peer_closed);
	if (got > 0) {
		tls->input = view_of(tls->scratch->in, (size_t)got);
		return true;
	}
	if (got == -EAGAIN)
		return false;
	if (got == 0) {
		conn->peer_closed = true;
		got = -ECONNRESET;
	}
	if (got == -ECONNRESET && tls->stage == TLS_HANDSHAKING)
		got = TLS_ERROR_EOF;
	tls_fail(conn, (int)got);
	return false;
}

bool tls_input_may_fill(struct conn *conn, unsigned fills)
{
	if (fills > FILLS_MAX)
		tls_fail(conn, -EPROTO);
	return fills <= FILLS_MAX;
}

int tls_output_send(struct conn *conn)
{
	struct tls_scratch *scratch = conn->tls->scratch;
	struct iovec piece = {scratch->out, scratch->out_used};

	if (piece.iov_len == 0)
		return conn->send_error;
	scratch->out_used = 0;
	return conn_sendv_plain(conn, &piece, 1);
}

void tls_output_later(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	struct view written = view_of(tls->scratch->out, tls->scratch->out_used);

	tls->scratch->out_used = 0;
	/* It has its number among the records: without it nothing can follow. */
	if (written.n > 0 && !buf_append(&tls->later, written, CONN_OUT_MAX))
		tls_fail(conn, -ENOMEM);
}
