/*
 * The stations of a byte in a conn with TLS:
 *
 *     kernel --io_recv--> scratch.in --bio_read--> OpenSSL --SSL_read--> memory of the caller
 *                            `- what a full caller leaves: held
 *     memory of the caller --SSL_write--> OpenSSL --bio_write--> scratch.out --io_sendv--> kernel
 *                                                                    `- what it does not take: conn->out
 *
 * The BIO is ours and only copies: no system call is made from inside OpenSSL. One conn_recv receives once, unless what came
 * was no content (the rest of a record is still to come, a session ticket); one conn_sendv sends once. OpenSSL takes whole
 * or partial records and keeps what it cannot finish; with SSL_MODE_RELEASE_BUFFERS it has no buffer for a connection that
 * rests.
 *
 * Records are sized to the moment. A receiver can do nothing with a part of a record, so at the beginning each is made to
 * fit a segment of TCP; once a stream flows, large ones cost less.
 *
 * A connection's stage is one enum, and goes one way: handshaking, open, ended (close_notify is said); failed from anywhere.
 */
#include "net/tls_conn.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "net/tls_state.h"

enum {
	RECORD_FIRST = 1369,      /* content of a record that fits a segment, whatever its headers carry */
	BURST_BYTES = 128 * 1024, /* after that much without a pause a stream flows */
	FILLS_MAX = 16,           /* receives in one go that bring no content */
	RECEIVE_MIN = TLS_RECORD_MAX + 512,
};
#define BURST_PAUSE_US (1 * US_PER_S)

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

static int bio_write(BIO *bio, const char *bytes, int n)
{
	struct tls_conn *tls = BIO_get_data(bio);
	struct tls_scratch *scratch = tls->scratch;
	int left = n;

	BIO_clear_retry_flags(bio);
	while (left > 0) {
		size_t room = sizeof(scratch->out) - scratch->out_used;
		size_t some = room < (size_t)left ? room : (size_t)left;

		memcpy(scratch->out + scratch->out_used, bytes + (n - left), some);
		scratch->out_used += some;
		left -= (int)some;
		if (left > 0 && !spill(tls))
			return -1;
	}
	return n;
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
static struct tls_conn *tls_conn_create(struct conn *conn, SSL_CTX *ctx, struct tls_scratch *scratch)
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
	free(tls->client_text);
	free(tls);
	conn->tls = NULL;
	ERR_clear_error();
}

int tls_accept(struct conn *conn, struct tls_server *server, struct tls_scratch *scratch)
{
	struct tls_conn *tls = tls_conn_create(conn, server->groups[0].ctx, scratch);

	if (tls == NULL)
		return -ENOMEM;
	tls->server = tls_server_ref(server);
	tls->group = &server->groups[0];
	SSL_set_accept_state(tls->ssl);
	conn->tls = tls;
	return 0;
}

/* --- between the kernel and OpenSSL -------------------------------------------------------------------------------------- */

/* From now on nothing is read, nor sent. */
static void tls_fail(struct conn *conn, int error)
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

/* What was left over by the call before comes first. */
static void input_begin(struct tls_conn *tls)
{
	CHECK(tls->scratch->out_used == 0);
	/* What somebody has left in OpenSSL's queue would be taken for an error of this connection. */
	ERR_clear_error();
	tls->input = buf_view(&tls->held);
}

/* The scratch is wanted by others now: what OpenSSL has not taken is kept. */
static void input_end(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;

	if (buf_len(&tls->held) > 0)
		buf_consume(&tls->held, buf_len(&tls->held) - tls->input.n);
	else if (tls->input.n > 0 && !buf_append(&tls->held, tls->input, TLS_SCRATCH_IN_BYTES))
		tls_fail(conn, -ENOMEM);
	tls->input = view_of(NULL, 0);
}

/*
 * Receives once; OpenSSL has taken all there was. True: there is more for it. An end is none of TLS's: content may have been
 * cut off, so it is an error. Before the handshake is over nothing can be, and there it has a text of its own.
 */
static bool input_fill(struct conn *conn, size_t want)
{
	struct tls_conn *tls = conn->tls;
	size_t room = want < RECEIVE_MIN ? RECEIVE_MIN : want < TLS_SCRATCH_IN_BYTES ? want : TLS_SCRATCH_IN_BYTES;
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

/* Before the `fills`th receive of one go. A peer that sends so much and says nothing has no good intentions. */
static bool input_may_fill(struct conn *conn, unsigned fills)
{
	if (fills > FILLS_MAX)
		tls_fail(conn, -EPROTO);
	return fills <= FILLS_MAX;
}

/* Sends what OpenSSL has written, or keeps it. */
static int output_send(struct conn *conn)
{
	struct tls_scratch *scratch = conn->tls->scratch;
	struct iovec piece = {scratch->out, scratch->out_used};

	if (piece.iov_len == 0)
		return conn->send_error;
	scratch->out_used = 0;
	return conn_sendv_plain(conn, &piece, 1);
}

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

/* As much as there is, up to n. */
static size_t read_content(struct conn *conn, char *bytes, size_t n)
{
	enum read_step step = READ_CONTENT;
	unsigned fills = 0;
	size_t got = 0;

	while (got < n && step == READ_CONTENT) {
		size_t some = 0;

		step = read_step(conn, SSL_read_ex(conn->tls->ssl, bytes + got, n - got, &some));
		got += some;
		if (step != READ_MORE || got > 0)
			continue;
		if (input_may_fill(conn, ++fills) && input_fill(conn, n))
			step = READ_CONTENT;
	}
	return got;
}

ssize_t tls_recv(struct conn *conn, void *bytes, size_t n)
{
	struct tls_conn *tls = conn->tls;
	size_t got;

	if (tls->stage == TLS_HANDSHAKING)
		return -EAGAIN;
	input_begin(tls);
	got = read_content(conn, bytes, n);
	input_end(conn);
	/* Alerts, and what answers a change of keys. */
	output_send(conn);
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
	input_begin(tls);
	do
		step = read_step(conn, SSL_peek_ex(tls->ssl, &byte, 1, &n));
	while (step == READ_MORE && input_may_fill(conn, ++fills) && input_fill(conn, RECEIVE_MIN));
	input_end(conn);
	output_send(conn);
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
	if (sizeof(tls->scratch->out) - tls->scratch->out_used < 2 * TLS_RECORD_MAX && output_send(conn) != 0)
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
	ERR_clear_error();
	do {
		content = pieces_gather(&pieces, tls->scratch->stage, record_max(conn));
		if (content.n > 0 && !write_record(conn, content))
			break;
	} while (content.n > 0);
	if (conn->send_error != 0)
		tls->scratch->out_used = 0;
	return output_send(conn);
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
	ERR_clear_error();
	output_send(conn);
}

/* --- the handshake -------------------------------------------------------------------------------------------------------- */

enum { SUBJECT_MAX = 512 };

/* As RFC 2253 has it, cut when long; how many bytes. */
static size_t subject_print(const X509 *cert, char text[SUBJECT_MAX])
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio != NULL && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, text, SUBJECT_MAX);
	BIO_free(bio);
	return n > 0 ? (size_t)n : 0;
}

/* ":base64:" (RFC 8941 §3.3.5) and the subject behind it, in one allocation. */
static bool client_text_make(struct tls_conn *tls, const X509 *cert, const unsigned char *der, int n)
{
	char subject[SUBJECT_MAX], *text = malloc((size_t)n / 3 * 4 + 8 + sizeof(subject));
	size_t subject_n = subject_print(cert, subject), encoded;

	if (text == NULL)
		return false;
	encoded = 2 + (size_t)EVP_EncodeBlock((unsigned char *)text + 1, der, n);
	text[0] = text[encoded - 1] = ':';
	memcpy(text + encoded, subject, subject_n);
	tls->client_text = text;
	tls->facts.client_cert = view_of(text, encoded);
	tls->facts.client_subject = view_of(text + encoded, subject_n);
	return true;
}

/* False: out of memory. A client with a certificate must not look like one without. */
static bool facts_of_peer(struct tls_conn *tls)
{
	X509 *cert = tls->server != NULL ? SSL_get0_peer_certificate(tls->ssl) : NULL;
	unsigned char *der = NULL;
	bool made;
	int n;

	if (cert == NULL || SSL_get_verify_result(tls->ssl) != X509_V_OK)
		return true;
	n = i2d_X509(cert, &der);
	made = n > 0 && client_text_make(tls, cert, der, n);
	OPENSSL_free(der);
	return made;
}

static bool facts_fill(struct tls_conn *tls)
{
	const unsigned char *alpn;
	unsigned n;

	tls->facts.version = view_str(SSL_get_version(tls->ssl));
	tls->facts.cipher = view_str(SSL_CIPHER_standard_name(SSL_get_current_cipher(tls->ssl)));
	tls->facts.server_name = view_str(tls->server_name);
	tls->facts.resumed = SSL_session_reused(tls->ssl);
	SSL_get0_alpn_selected(tls->ssl, &alpn, &n);
	tls->facts.protocol = n == 2 && memcmp(alpn, "h2", 2) == 0 ? CONFIG_PROTOCOL_H2 : CONFIG_PROTOCOL_H1;
	return facts_of_peer(tls);
}

/* One round: what came goes in, what OpenSSL says goes out. */
static int handshake_step(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	int result = SSL_do_handshake(tls->ssl);
	int what = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, result);
	int error = what == SSL_ERROR_NONE || what == SSL_ERROR_WANT_READ ? 0 : tls_error_take(tls->ssl);

	ERR_clear_error();
	output_send(conn);
	if (error == 0 && conn->send_error != 0)
		error = conn->send_error == -ENOMEM ? -ENOMEM : TLS_ERROR_EOF;
	if (error != 0) {
		tls_fail(conn, error);
		return error;
	}
	return what == SSL_ERROR_NONE ? 0 : -EINPROGRESS;
}

static void handshake_done(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;

	tls->stage = TLS_OPEN;
	if (!facts_fill(tls))
		tls_fail(conn, -ENOMEM);
	ERR_clear_error();
}

int tls_handshake(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	unsigned fills = 0;
	int result;

	if (tls->stage != TLS_HANDSHAKING)
		return tls->stage == TLS_FAILED ? conn->error : 0;
	input_begin(tls);
	do
		result = handshake_step(conn);
	while (result == -EINPROGRESS && input_may_fill(conn, ++fills) && input_fill(conn, RECEIVE_MIN));
	if (result == 0)
		handshake_done(conn);
	input_end(conn);
	/* More may stand behind it, in OpenSSL, too. */
	conn->readable = true;
	return tls->stage == TLS_FAILED ? conn->error : result;
}

const struct tls_facts *tls_facts(const struct conn *conn)
{
	if (conn->tls == NULL || conn->tls->stage == TLS_HANDSHAKING)
		return NULL;
	return &conn->tls->facts;
}

/* --- the client's side -------------------------------------------------------------------------------------------------------- */

static bool is_address(struct view name)
{
	unsigned char bytes[16];
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	/* Only its form is asked for: a port makes it one that the parser takes. */
	if (name.n == 0 || name.n > 45)
		return false;
	snprintf(text, sizeof(text), memchr(name.p, ':', name.n) != NULL ? "[%.*s]:1" : "%.*s:1", (int)name.n, name.p);
	return address_parse(&address, text) && address_bytes(&address, bytes);
}

/* Asks for the name, and has it verified. False: out of memory. */
static bool name_set(struct tls_conn *tls, struct view name, bool verify)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);

	/* Verifying without a name would take anybody's certificate. */
	if (name.n == 0 || name.n > TLS_NAME_MAX)
		return name.n == 0 && !verify;
	memcpy(tls->server_name, name.p, name.n);
	tls->server_name[name.n] = '\0';
	if (is_address(name))
		return !verify || X509_VERIFY_PARAM_set1_ip_asc(param, tls->server_name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(tls->ssl, tls->server_name) == 1 &&
	       (!verify || X509_VERIFY_PARAM_set1_host(param, tls->server_name, 0) == 1);
}

int tls_connect(struct conn *conn, struct tls_client *client, struct tls_scratch *scratch, struct view name,
	struct tls_resumption *resumption)
{
	struct tls_conn *tls = tls_conn_create(conn, client->ctx, scratch);

	if (tls == NULL)
		return -ENOMEM;
	tls->client = tls_client_ref(client);
	tls->resumption = resumption;
	SSL_set_connect_state(tls->ssl);
	conn->tls = tls;
	if (!name_set(tls, name, client->verify)) {
		tls_release(conn);
		return -ENOMEM;
	}
	if (resumption->session != NULL)
		SSL_set_session(tls->ssl, resumption->session);
	ERR_clear_error();
	return 0;
}
