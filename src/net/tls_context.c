/*
 * What every context has: versions, ciphers, curves. As Mozilla's "intermediate" of 2024 has them, without finite-field
 * Diffie-Hellman, which nobody needs who can do TLS 1.2 with elliptic curves.
 */
#include "net/tls_state.h"

#define CIPHERS_1_2 \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
/* Not const, since OpenSSL's macro would cast that away. */
static char curves[] = "X25519:P-256:P-384";

/*
 * SSL_OP_ENABLE_KTLS is not among the options: the kernel takes over only from OpenSSL's own socket BIO, and there is none
 * here, since it would make system calls by itself.
 */
SSL_CTX *tls_context_create(
	const struct tls_library *library, const SSL_METHOD *method, enum config_tls_version min_version)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(library->ctx, NULL, method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	/* A piece that could not be finished is tried again from other memory: never, since our BIO takes everything. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 0);
	if (SSL_CTX_set_min_proto_version(ctx, min_version == CONFIG_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) == 1 && SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) == 1 &&
		SSL_CTX_set1_groups_list(ctx, curves) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}
