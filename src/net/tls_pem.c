/*
 * What stands in the files that the configuration names: certificates with their chains, keys, lists of CAs, OCSP responses.
 * Each complaint stands where the file is named.
 */
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/tls_state.h"

enum { CAS_MAX = 2000 };

/* --- telling ---------------------------------------------------------------------------------------------------------- */

#define TELL(list, place, ...) \
	do { \
		if ((list) != NULL) \
			config_complain(list, place, __VA_ARGS__); \
	} while (0)

/* The last error in OpenSSL's words; its queue is empty afterwards. */
static const char *last_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return reason != NULL ? reason : "it is damaged";
}

/* Reading ends with "no start line" where there is nothing more, and with another error where something is wrong. */
static bool ended_well(void)
{
	bool well = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	if (well)
		ERR_clear_error();
	return well;
}

static BIO *file_bio(const struct config_file *file)
{
	return BIO_new_mem_buf(file->bytes.p, (int)file->bytes.n);
}

/* Nobody is asked for a password: the program has no terminal. */
static int no_password(char *bytes, int n, int writing, void *context)
{
	return -1;
}

/* --- certificates ------------------------------------------------------------------------------------------------------- */

/*
 * Whatever is verified with it is looked up in the library that it was made with. NULL: there is none, or it is
 * damaged.
 */
static X509 *cert_read(BIO *bio, const struct tls_library *library,
	X509 *(*read)(BIO *bio, X509 **cert, pem_password_cb *password, void *context))
{
	X509 *cert = X509_new_ex(library->ctx, NULL);

	if (cert != NULL && read(bio, &cert, no_password, NULL) != NULL)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool chain_read(
	BIO *bio, struct tls_certificate *out, const struct config_file *file, const struct tls_making *making)
{
	X509 *next;

	out->cert = cert_read(bio, making->library, PEM_read_bio_X509);
	if (out->cert == NULL) {
		if (ended_well())
			TELL(making->complaints, &file->place, "the file \"%.*s\" holds no certificate in PEM form",
				(int)file->path.n, file->path.p);
		else
			TELL(making->complaints, &file->place, "the certificate in \"%.*s\" cannot be read: %s",
				(int)file->path.n, file->path.p, last_reason());
		return false;
	}
	out->chain = sk_X509_new_null();
	while (out->chain != NULL && (next = cert_read(bio, making->library, PEM_read_bio_X509)) != NULL)
		if (sk_X509_push(out->chain, next) == 0) {
			X509_free(next);
			return false;
		}
	if (out->chain != NULL && ended_well())
		return true;
	TELL(making->complaints, &file->place, "a certificate behind the first in \"%.*s\" cannot be read: %s",
		(int)file->path.n, file->path.p, last_reason());
	return false;
}

static bool key_read(struct tls_certificate *out, const struct config_file *file, const struct tls_making *making)
{
	BIO *bio = file_bio(file);

	if (bio != NULL)
		out->key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_password, NULL, making->library->ctx, NULL);
	BIO_free(bio);
	if (out->key != NULL) {
		ERR_clear_error();
		return true;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_BAD_PASSWORD_READ ||
		memmem(file->bytes.p, file->bytes.n, "ENCRYPTED", 9) != NULL)
		TELL(making->complaints, &file->place,
			"the key in \"%.*s\" has a password, which nobody could type; take it off", (int)file->path.n,
			file->path.p);
	else
		TELL(making->complaints, &file->place,
			"the file \"%.*s\" holds no private key in PEM form that can be read", (int)file->path.n,
			file->path.p);
	ERR_clear_error();
	return false;
}

static void time_check(const X509 *cert, const struct config_file *file, const struct tls_making *making)
{
	const ASN1_TIME *until = X509_get0_notAfter(cert), *from = X509_get0_notBefore(cert);
	struct tm tm;
	char text[64] = "?";

	if (ASN1_TIME_to_tm(X509_cmp_current_time(until) < 0 ? until : from, &tm) == 1)
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (X509_cmp_current_time(until) < 0)
		TELL(making->warnings, &file->place, "the certificate in \"%.*s\" has expired: it was valid until %s",
			(int)file->path.n, file->path.p, text);
	else if (X509_cmp_current_time(from) > 0)
		TELL(making->warnings, &file->place, "the certificate in \"%.*s\" is not valid yet: it will be from %s",
			(int)file->path.n, file->path.p, text);
}

bool tls_certificate_read(struct tls_certificate *out, const struct config_file *cert, const struct config_file *key,
	const struct tls_making *making)
{
	BIO *bio = file_bio(cert);
	bool good = bio != NULL && chain_read(bio, out, cert, making);

	BIO_free(bio);
	good = key_read(out, key, making) && good;
	if (!good)
		return false;
	if (X509_check_private_key(out->cert, out->key) != 1) {
		ERR_clear_error();
		TELL(making->complaints, &key->place,
			"the key in \"%.*s\" does not belong to the certificate in \"%.*s\"", (int)key->path.n,
			key->path.p, (int)cert->path.n, cert->path.p);
		return false;
	}
	time_check(out->cert, cert, making);
	return true;
}

void tls_certificate_release(struct tls_certificate *certificate)
{
	X509_free(certificate->cert);
	sk_X509_pop_free(certificate->chain, X509_free);
	EVP_PKEY_free(certificate->key);
}

bool tls_certificate_use(SSL_CTX *ctx, const struct tls_certificate *certificate, const struct config_file *file,
	const struct tls_making *making)
{
	if (SSL_CTX_use_cert_and_key(ctx, certificate->cert, certificate->key, certificate->chain, 1) == 1)
		return true;
	/* A key that is too short for today, for example. */
	TELL(making->complaints, &file->place, "the certificate in \"%.*s\" cannot be used: %s", (int)file->path.n,
		file->path.p, last_reason());
	return false;
}

/* --- CAs ------------------------------------------------------------------------------------------------------------------ */

static bool ca_add(X509_STORE *store, STACK_OF(X509_NAME) * names, X509 *ca)
{
	X509_NAME *name;

	if (X509_STORE_add_cert(store, ca) != 1)
		return false;
	if (names == NULL)
		return true;
	name = X509_NAME_dup(X509_get_subject_name(ca));
	if (name != NULL && sk_X509_NAME_push(names, name) != 0)
		return true;
	X509_NAME_free(name);
	return false;
}

bool tls_ca_read(
	X509_STORE *store, STACK_OF(X509_NAME) * names, const struct config_file *file, const struct tls_making *making)
{
	BIO *bio = file_bio(file);
	unsigned count = 0;
	bool good = bio != NULL;
	X509 *ca;

	while (good && count < CAS_MAX && (ca = cert_read(bio, making->library, PEM_read_bio_X509_AUX)) != NULL) {
		good = ca_add(store, names, ca);
		X509_free(ca);
		count++;
	}
	good = good && count < CAS_MAX && ended_well();
	BIO_free(bio);
	if (!good)
		TELL(making->complaints, &file->place, "the certificates in \"%.*s\" cannot be read: %s",
			(int)file->path.n, file->path.p, count == CAS_MAX ? "there are too many" : last_reason());
	else if (count == 0)
		TELL(making->complaints, &file->place, "the file \"%.*s\" holds no certificate in PEM form",
			(int)file->path.n, file->path.p);
	return good && count > 0;
}

X509_STORE *tls_system_store(const struct tls_library *library, const char **path)
{
	X509_STORE *store = X509_STORE_new();
	const char *env = getenv(X509_get_default_cert_file_env());
	const char *const paths[] = {env, "/etc/ssl/certs/ca-certificates.crt", X509_get_default_cert_file()};

	*path = env != NULL ? env : paths[1];
	for (size_t i = 0; store != NULL && i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (paths[i] != NULL && X509_STORE_load_file_ex(store, paths[i], library->ctx, NULL) == 1) {
			ERR_clear_error();
			return store;
		}
		/* What is asked for and is not there is not replaced by something else. */
		if (i == 0 && env != NULL)
			break;
	}
	ERR_clear_error();
	X509_STORE_free(store);
	return NULL;
}

/* --- OCSP ----------------------------------------------------------------------------------------------------------------- */

bool tls_ocsp_check(const struct config_file *file, const struct tls_making *making)
{
	const unsigned char *bytes = (const unsigned char *)file->bytes.p;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &bytes, (long)file->bytes.n);
	bool good = response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL;

	OCSP_RESPONSE_free(response);
	ERR_clear_error();
	if (!good)
		TELL(making->complaints, &file->place,
			"the file \"%.*s\" holds no successful OCSP response in DER form", (int)file->path.n,
			file->path.p);
	return good;
}
