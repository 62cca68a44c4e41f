/*
 * The beginning of a conn with TLS: which side it is, the handshake, and what became of it.
 *
 *     tls_accept, tls_connect --> handshaking --tls_handshake--> open, with facts
 *                                      `------------------------> failed, with an error that has a text (tls_error.c)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/x509v3.h>

#include "net/tls_state.h"

/* --- what became of it -------------------------------------------------------------------------------------------------------- */

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

/* --- the handshake -------------------------------------------------------------------------------------------------------- */

/*
 * All that a server says last in TLS 1.3 is a session ticket, which the client needs for its next connection only. When its
 * first request has come already, the ticket goes out with the answer.
 */
static bool may_wait(const struct tls_conn *tls, int what)
{
	return what == SSL_ERROR_NONE && tls->input.n > 0 && tls->server != NULL &&
	       SSL_version(tls->ssl) == TLS1_3_VERSION;
}

/* One round: what came goes in, what OpenSSL says goes out. */
static int handshake_step(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	int result = SSL_do_handshake(tls->ssl);
	int what = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, result);
	int error = what == SSL_ERROR_NONE || what == SSL_ERROR_WANT_READ ? 0 : tls_error_take(tls->ssl);

	tls_errors_forget();
	if (may_wait(tls, what))
		tls_output_later(conn);
	else
		tls_output_send(conn);
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
	tls_errors_forget();
}

int tls_handshake(struct conn *conn)
{
	struct tls_conn *tls = conn->tls;
	unsigned fills = 0;
	int result;

	if (tls->stage != TLS_HANDSHAKING)
		return tls->stage == TLS_FAILED ? conn->error : 0;
	if (tls->began_us == 0)
		tls->began_us = io_now_us(conn->io);
	tls_input_begin(tls);
	do
		result = handshake_step(conn);
	while (result == -EINPROGRESS && tls_input_may_fill(conn, ++fills) && tls_input_fill(conn, TLS_RECEIVE_MIN));
	if (result == 0)
		handshake_done(conn);
	tls_input_end(conn);
	/* More may stand behind it, in OpenSSL, too. */
	conn->readable = true;
	return tls->stage == TLS_FAILED ? conn->error : result;
}

uint64_t tls_handshake_us(const struct conn *conn, uint64_t over_us)
{
	return conn->tls != NULL && over_us > conn->tls->began_us ? over_us - conn->tls->began_us : 0;
}

const struct tls_facts *tls_facts(const struct conn *conn)
{
	if (conn->tls == NULL || conn->tls->stage == TLS_HANDSHAKING)
		return NULL;
	return &conn->tls->facts;
}

/* --- the two sides ------------------------------------------------------------------------------------------------------ */

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
	tls_errors_forget();
	return 0;
}
