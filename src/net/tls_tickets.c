/*
 * Keys of session tickets.
 *
 *     keys:  [old] [old] [previous] [current] [will be next] ...
 *                            taken    made
 *
 * A ticket names its key. The ring is written by one thread and read by all without a lock: `current` is moved when the
 * key behind it is whole, and a place is written again only when seven other keys have been current since, hours later.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "net/tls_state.h"

enum { KEYS_COUNT = 8, KEYS_TAKEN = 2, KEYS_VERSION = 1 };

struct ticket_key {
	unsigned char name[16];
	unsigned char cipher[32];
	unsigned char mac[32];
};

struct tls_tickets {
	struct ticket_key keys[KEYS_COUNT];
	atomic_uint current;
	unsigned made; /* keys so far; of the writing thread */
};

struct tls_tickets *tls_tickets_create(void)
{
	struct tls_tickets *tickets = calloc(1, sizeof(*tickets));

	if (tickets == NULL)
		return NULL;
	/* Twice: the place of the key before is looked at too, and zeros in it would be a key that everybody knows. */
	for (unsigned age = 0; age < KEYS_TAKEN; age++)
		tls_tickets_rotate(tickets);
	if (tickets->made == KEYS_TAKEN)
		return tickets;
	free(tickets);
	return NULL;
}

void tls_tickets_free(struct tls_tickets *tickets)
{
	if (tickets != NULL)
		OPENSSL_cleanse(tickets, sizeof(*tickets));
	free(tickets);
}

void tls_tickets_rotate(struct tls_tickets *tickets)
{
	unsigned next = tickets->made % KEYS_COUNT;

	/* Without chance the key of before stays: nobody is worse off than an hour ago. */
	if (RAND_priv_bytes((unsigned char *)&tickets->keys[next], sizeof(tickets->keys[next])) != 1)
		return;
	tickets->made++;
	atomic_store_explicit(&tickets->current, next, memory_order_release);
}

/* --- for another process ------------------------------------------------------------------------------------------- */

void tls_tickets_write(const struct tls_tickets *tickets, struct tls_ticket_keys *keys)
{
	_Static_assert(sizeof(struct ticket_key) == sizeof(keys->bytes[0]), "a key as it is");
	_Static_assert(KEYS_TAKEN == sizeof(keys->bytes) / sizeof(keys->bytes[0]), "all that are still taken");
	keys->version = KEYS_VERSION;
	for (unsigned age = 0; age < KEYS_TAKEN; age++)
		memcpy(keys->bytes[age], &tickets->keys[(tickets->made - 1 - age) % KEYS_COUNT], sizeof(keys->bytes[age]));
}

bool tls_tickets_adopt(struct tls_tickets *tickets, const struct tls_ticket_keys *keys)
{
	if (keys->version != KEYS_VERSION)
		return false;
	for (unsigned age = 0; age < KEYS_TAKEN; age++)
		memcpy(&tickets->keys[KEYS_TAKEN - 1 - age], keys->bytes[age], sizeof(keys->bytes[age]));
	tickets->made = KEYS_TAKEN;
	atomic_store_explicit(&tickets->current, KEYS_TAKEN - 1, memory_order_release);
	return true;
}

void tls_ticket_keys_wipe(struct tls_ticket_keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

/* --- tickets ------------------------------------------------------------------------------------------------------- */

/* NULL: the ticket is too old, or was never ours. *renew: it should be made anew. */
static const struct ticket_key *key_find(const struct tls_tickets *tickets, const unsigned char name[16], bool *renew)
{
	unsigned current = atomic_load_explicit(&tickets->current, memory_order_acquire);

	for (unsigned age = 0; age < KEYS_TAKEN; age++) {
		const struct ticket_key *key = &tickets->keys[(current + KEYS_COUNT - age) % KEYS_COUNT];

		*renew = age > 0;
		if (CRYPTO_memcmp(key->name, name, sizeof(key->name)) == 0)
			return key;
	}
	return NULL;
}

static bool mac_init(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	static char digest[] = "SHA256";
	unsigned char bytes[sizeof(key->mac)];
	OSSL_PARAM params[3];

	memcpy(bytes, key->mac, sizeof(bytes));
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, bytes, sizeof(bytes));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int ticket_make(const struct tls_server *server, unsigned char name[16], unsigned char *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct tls_tickets *tickets = server->tickets;
	const struct tls_library *library = server->library;
	const struct ticket_key *key = &tickets->keys[atomic_load_explicit(&tickets->current, memory_order_acquire)];

	if (RAND_bytes_ex(library->ctx, iv, 16, 0) != 1 ||
		EVP_EncryptInit_ex(cipher, library->ticket_cipher, NULL, key->cipher, iv) != 1 || !mac_init(mac, key))
		return -1;
	memcpy(name, key->name, sizeof(key->name));
	return 1;
}

int tls_on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int make)
{
	const struct tls_server *server = tls_conn_of(ssl)->server;
	const struct ticket_key *key;
	bool renew;

	if (make)
		return ticket_make(server, name, iv, cipher, mac);
	key = key_find(server->tickets, name, &renew);
	if (key == NULL)
		return 0;
	if (EVP_DecryptInit_ex(cipher, server->library->ticket_cipher, NULL, key->cipher, iv) != 1 ||
		!mac_init(mac, key))
		return -1;
	/* In TLS 1.3 a ticket is to be used once (RFC 8446 §C.4): each connection gets one for the next. */
	return renew || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

/*
 * A session has the certificate that the client once showed, and each resumption gives a ticket anew: so it is looked at again
 * whether that is still valid, or it would be for ever.
 */
static bool has_expired(SSL_SESSION *session)
{
	const X509 *cert = session != NULL ? SSL_SESSION_get0_peer(session) : NULL;

	return cert != NULL && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
}

SSL_TICKET_RETURN tls_on_ticket_taken(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_n,
	SSL_TICKET_STATUS status, void *context)
{
	switch (status) {
	case SSL_TICKET_EMPTY:
	case SSL_TICKET_NO_DECRYPT: return SSL_TICKET_RETURN_IGNORE_RENEW;
	case SSL_TICKET_SUCCESS: return has_expired(session) ? SSL_TICKET_RETURN_IGNORE_RENEW : SSL_TICKET_RETURN_USE;
	case SSL_TICKET_SUCCESS_RENEW:
		return has_expired(session) ? SSL_TICKET_RETURN_IGNORE_RENEW : SSL_TICKET_RETURN_USE_RENEW;
	default: return SSL_TICKET_RETURN_ABORT;
	}
}
