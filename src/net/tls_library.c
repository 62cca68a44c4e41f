/*
 * OpenSSL, once for each worker. What it looks up for a handshake (algorithms by name, random numbers, parameters of
 * keys) it finds in tables behind locks, and everything that is made from one library context has the tables of that
 * one. So each worker has a context of its own, with its own provider and its own source of chance, and what workers
 * still share are some global tables that are read under a lock a few times for each connection (its "extra data"), and
 * the usual context for the digest of a WebSocket's handshake, which is looked up there once for each
 * (tls_websocket.c).
 *
 * They live as long as the program: what the system's openssl.cnf has said to a context is never taken back entirely.
 */
#include <openssl/conf.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "net/tls_state.h"

struct tls_libraries {
	unsigned count;
	struct tls_library each[];
};

const struct tls_library tls_library_usual;

/* As the usual context is configured by itself: mistakes in the file, and files that are not there, are passed over. */
static bool library_open(struct tls_library *library)
{
	const unsigned long flags = CONF_MFLAGS_DEFAULT_SECTION | CONF_MFLAGS_IGNORE_MISSING_FILE |
	                            CONF_MFLAGS_IGNORE_RETURN_CODES | CONF_MFLAGS_IGNORE_ERRORS;

	library->ctx = OSSL_LIB_CTX_new();
	if (library->ctx == NULL)
		return false;
	CONF_modules_load_file_ex(library->ctx, NULL, NULL, flags);
	library->ticket_cipher = EVP_CIPHER_fetch(library->ctx, "AES-256-CBC", NULL);
	ERR_clear_error();
	return library->ticket_cipher != NULL;
}

struct tls_libraries *tls_libraries_create(unsigned workers)
{
	struct tls_libraries *libraries = calloc(1, sizeof(*libraries) + workers * sizeof(libraries->each[0]));

	if (libraries == NULL)
		return NULL;
	/* The usual one reads the file first: some of what it says counts for all. */
	OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL);
	libraries->count = workers;
	for (unsigned i = 0; i < workers; i++)
		if (!library_open(&libraries->each[i])) {
			tls_libraries_free(libraries);
			return NULL;
		}
	return libraries;
}

void tls_libraries_free(struct tls_libraries *libraries)
{
	if (libraries == NULL)
		return;
	for (unsigned i = 0; i < libraries->count; i++) {
		EVP_CIPHER_free(libraries->each[i].ticket_cipher);
		OSSL_LIB_CTX_free(libraries->each[i].ctx);
	}
	free(libraries);
}

unsigned tls_libraries_count(const struct tls_libraries *libraries)
{
	return libraries->count;
}

const struct tls_library *tls_libraries_of(const struct tls_libraries *libraries, unsigned worker)
{
	return &libraries->each[worker];
}
