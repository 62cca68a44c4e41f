/*
 * An upstream's side: whom we believe, what we show, and the session that the next connection resumes.
 *
 * Verification is on unless the configuration says otherwise, against the CAs of its file or else the system's, and always
 * together with a name (tls_conn.c).
 */
#include <stdlib.h>

#include <openssl/err.h>

#include "net/tls_state.h"

/* The latest one counts. Where the peer gives several, the others were for connections beside each other. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_resumption *resumption = tls_conn_of(ssl)->resumption;

	tls_resumption_release(resumption);
	resumption->session = session;
	return 1;
}

void tls_resumption_release(struct tls_resumption *resumption)
{
	SSL_SESSION_free(resumption->session);
	resumption->session = NULL;
}

static bool verify_set(
	SSL_CTX *ctx, const struct config_upstream_tls *tls, X509_STORE *system, const struct tls_making *making)
{
	if (!tls->verify)
		return true;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (tls->ca.path.n > 0)
		return tls_ca_read(SSL_CTX_get_cert_store(ctx), NULL, &tls->ca, making);
	if (system != NULL)
		SSL_CTX_set1_cert_store(ctx, system);
	return system != NULL;
}

static bool certificate_set(SSL_CTX *ctx, const struct config_upstream_tls *tls, const struct tls_making *making)
{
	struct tls_certificate certificate = {0};
	bool good;

	if (tls->cert.path.n == 0)
		return true;
	good = tls_certificate_read(&certificate, &tls->cert, &tls->key, making) &&
	       tls_certificate_use(ctx, &certificate, &tls->cert, making);
	tls_certificate_release(&certificate);
	return good;
}

struct tls_client *tls_client_create(
	const struct config_upstream *config, X509_STORE *system, const struct tls_making *making)
{
	static const unsigned char h1[] = "\x08http/1.1", h2[] = "\x02h2";
	bool speaks_h2 = config->protocol == CONFIG_PROTOCOL_H2;
	struct tls_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	atomic_init(&client->references, 1);
	client->verify = config->tls.verify;
	client->ctx = tls_context_create(making->library, TLS_client_method(), config->tls.min_version);
	if (client->ctx != NULL) {
		bool verifies = verify_set(client->ctx, &config->tls, system, making);

		SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(client->ctx, on_session);
		if (certificate_set(client->ctx, &config->tls, making) && verifies &&
			SSL_CTX_set_alpn_protos(client->ctx, speaks_h2 ? h2 : h1,
				(unsigned)(speaks_h2 ? sizeof(h2) : sizeof(h1)) - 1) == 0)
			return client;
	}
	ERR_clear_error();
	tls_client_unref(client);
	return NULL;
}

struct tls_client *tls_client_ref(struct tls_client *client)
{
	if (client != NULL)
		atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
	return client;
}

void tls_client_unref(struct tls_client *client)
{
	if (client == NULL || atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(client->ctx);
	free(client);
}
