/*
 * Errors of handshakes as numbers, since a number is what a pool keeps of a failed connection; and their texts.
 *
 *     -100000            the peer has closed
 *     -100001            it took too long
 *     -110000 - code     a certificate was not accepted: X509_V_ERR_*
 *     -120000 - reason   whatever else OpenSSL says, alerts of the peer too: ERR_GET_REASON
 *
 * Every text is OpenSSL's own and static.
 */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "net/tls_state.h"

enum {
	VERIFY_BASE = 110000,
	REASON_BASE = 120000,
	CODES = 10000,
};

void tls_errors_forget(void)
{
	/* Clearing goes over all places of the queue, empty or not. */
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

int tls_error_take(const SSL *ssl)
{
	unsigned long error = ERR_peek_last_error();
	long verified = SSL_get_verify_result(ssl);

	ERR_clear_error();
	if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
		return -VERIFY_BASE - (int)(verified % CODES);
	return -REASON_BASE - ERR_GET_REASON(error) % CODES;
}

const char *tls_error_text(int error)
{
	const char *text;

	if (error > TLS_ERROR_EOF)
		return NULL;
	if (error == TLS_ERROR_EOF)
		return "the connection was closed during the handshake";
	if (error == TLS_TIMED_OUT)
		return "the TLS handshake was not over in time";
	if (error > -REASON_BASE)
		return X509_verify_cert_error_string(-error - VERIFY_BASE);
	text = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, -error - REASON_BASE));
	return text != NULL ? text : "the handshake was not understood";
}
