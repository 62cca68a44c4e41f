/* Private to net/tls*.c: what a connection, a listener's and an upstream's contexts consist of. */
#ifndef WEIR_NET_TLS_STATE_H
#define WEIR_NET_TLS_STATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"
#include "net/tls_conn.h"

/* --- a connection ----------------------------------------------------------------------------------------------------- */

enum {
	TLS_SCRATCH_IN_BYTES = 64 * 1024,
	TLS_SCRATCH_OUT_BYTES = 160 * 1024,
	TLS_RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
	TLS_RECEIVE_MIN = TLS_RECORD_MAX + 512,
	TLS_NAME_MAX = 253,
};

/* Nothing stands in it between two calls. */
struct tls_scratch {
	size_t out_used;
	char stage[TLS_RECORD_MAX];        /* content of several pieces that becomes one record */
	char in[TLS_SCRATCH_IN_BYTES];     /* received */
	char out[TLS_SCRATCH_OUT_BYTES];   /* to be sent in one call */
};

enum tls_stage { TLS_HANDSHAKING, TLS_OPEN, TLS_ENDED, TLS_FAILED };

struct tls_conn {
	SSL *ssl;
	struct conn *conn;                 /* that it stands in */
	struct tls_scratch *scratch;       /* the worker's */
	struct tls_server *server;         /* one reference; NULL on the client's side */
	struct tls_client *client;         /* the same the other way round */
	const struct tls_group *group;     /* of the server: the certificates in use */
	struct tls_resumption *resumption; /* where a client's sessions are kept */
	struct view input;                 /* ciphertext that OpenSSL has not taken; in the scratch or in `held` */
	struct buf held;                   /* what was left over at the end of a call; usually empty */
	struct buf later;                  /* written, and to be sent with what is written next */
	uint64_t began_us;                 /* the handshake; 0: not yet */
	uint64_t sent_us;                  /* when content was last sent */
	uint32_t burst_bytes;              /* sent without a pause */
	uint8_t stage;                     /* enum tls_stage */
	bool drained;                      /* the socket has nothing more until the next event */
	int error;                         /* of the handshake; 0: none */
	struct tls_facts facts;
	char *client_text;                 /* memory of facts.client_*; NULL: none */
	char server_name[TLS_NAME_MAX + 1];
};

struct tls_conn *tls_conn_of(const SSL *ssl);

/* --- between the kernel and OpenSSL (tls_wire.c) --------------------------------------------------------------------------- */

/* Both ways go through the scratch. NULL: out of memory. */
struct tls_conn *tls_conn_create(struct conn *conn, SSL_CTX *ctx, struct tls_scratch *scratch);

/* From now on nothing is read, nor sent. */
void tls_fail(struct conn *conn, int error);

/* What was left over by the call before comes first, and OpenSSL's queue of errors is empty. */
void tls_input_begin(struct tls_conn *tls);

/* The scratch is wanted by others now: what OpenSSL has not taken is kept. */
void tls_input_end(struct conn *conn);

/* Before the `fills`th receive of one go. A peer that sends so much and says nothing has no good intentions: it fails. */
bool tls_input_may_fill(struct conn *conn, unsigned fills);

/*
 * Receives once, some `want` bytes; OpenSSL has taken all there was. True: there is more for it. An end is none of TLS's: content
 * may have been cut off, so it is an error. Before the handshake is over nothing can be, and there it has a text of its own.
 */
bool tls_input_fill(struct conn *conn, size_t want);

/* Sends what OpenSSL has written, or keeps it. 0 or the conn's send_error. */
int tls_output_send(struct conn *conn);

/* The same, with what is written next and before that: nobody waits for it. */
void tls_output_later(struct conn *conn);

/* What has gone wrong in OpenSSL last, as an error that tls_error_text() knows; its queue is empty afterwards (tls_error.c). */
int tls_error_take(const SSL *ssl);

/* What somebody has left in OpenSSL's queue would be taken for an error of the next call. */
void tls_errors_forget(void);

enum { TLS_ERROR_EOF = -100000 };

/* --- contexts ----------------------------------------------------------------------------------------------------------- */

/* A certificate with what belongs to it. */
struct tls_certificate {
	const struct config_certificate *config;
	X509 *cert;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
};

enum { TLS_KINDS_MAX = 4 };        /* kinds of keys beside each other for one name */

/* The certificates for a set of names, one of each kind of key. */
struct tls_group {
	SSL_CTX *ctx;
	uint16_t certificates[TLS_KINDS_MAX];
	uint16_t count;
	const struct config_client_rules *rules;
	unsigned char rules_id[32];    /* the same only for the same listener with the same rules */
};

struct tls_name {
	struct view name;              /* lower case; "*.example.com" for a wildcard */
	uint16_t certificate;
	uint16_t group;
};

struct tls_server {
	atomic_uint references;
	const struct config_listener *config;
	const struct config *whole;    /* one reference */
	struct tls_tickets *tickets;
	const struct tls_library *library;
	struct tls_certificate *certificates;
	size_t certificate_count;
	struct tls_name *names;        /* sorted, each once when it is done */
	size_t name_count;
	struct tls_group *groups;      /* [0]: for names that nobody has */
	size_t group_count;
	bool mixed_rules;
};

struct tls_client {
	atomic_uint references;
	SSL_CTX *ctx;
	bool verify;
};

/* A worker's OpenSSL. */
struct tls_library {
	OSSL_LIB_CTX *ctx;         /* NULL: the usual one */
	EVP_CIPHER *ticket_cipher;
};

/* For what no worker uses. */
extern const struct tls_library tls_library_usual;

unsigned tls_libraries_count(const struct tls_libraries *libraries);
const struct tls_library *tls_libraries_of(const struct tls_libraries *libraries, unsigned worker);

/* With what contexts are made, and who is told of what is wrong; both may be NULL. */
struct tls_making {
	const struct tls_library *library; /* borrowed by what is made */
	struct config_complaints *complaints;
	struct config_complaints *warnings;
};

/* tls_server.c, tls_client.c. NULL: complained about, or out of memory. `system` is borrowed (NULL: not needed, or not there). */
struct tls_server *tls_server_create(const struct config *whole, const struct config_listener *config,
	struct tls_tickets *tickets, const struct tls_making *making);
struct tls_client *tls_client_create(
	const struct config_upstream *config, X509_STORE *system, const struct tls_making *making);

/* Callbacks of a listener's contexts (tls_choice.c), and what they compare with. */
int tls_on_client_hello(SSL *ssl, int *alert, void *context);
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
	void *context);
int tls_on_status(SSL *ssl, void *context);

/* The order of tls_server's names. */
int tls_name_compare(struct view a, struct view b);

/* Host names only, in lower case. False: it is none, and counts as absent. */
bool tls_name_copy(char to[TLS_NAME_MAX + 1], const unsigned char *name, size_t n);

/* The group for a name as it stands in a request or in a ClientHello; lower case. */
const struct tls_group *tls_group_for(const struct tls_server *server, struct view name);

/* --- what both kinds of context share (tls_context.c) ------------------------------------------------------------------- */

SSL_CTX *tls_context_create(
	const struct tls_library *library, const SSL_METHOD *method, enum config_tls_version min_version);

/* --- files (tls_pem.c) ---------------------------------------------------------------------------------------------------- */

/* False: complained about, or out of memory. What was read is in *out in any case, to be released. */
bool tls_certificate_read(struct tls_certificate *out, const struct config_file *cert, const struct config_file *key,
	const struct tls_making *making);
void tls_certificate_release(struct tls_certificate *certificate);

/* The certificate (read from `file`), its chain and its key into a context. */
bool tls_certificate_use(SSL_CTX *ctx, const struct tls_certificate *certificate, const struct config_file *file,
	const struct tls_making *making);

/* All CAs of a file. `names`: their subjects, to be sent to clients; may be NULL. */
bool tls_ca_read(X509_STORE *store, STACK_OF(X509_NAME) *names, const struct config_file *file,
	const struct tls_making *making);

/* The response that the file holds is one. */
bool tls_ocsp_check(const struct config_file *file, const struct tls_making *making);

/* The system's CAs. NULL: there is no such file; *path says where it was looked for. */
X509_STORE *tls_system_store(const struct tls_library *library, const char **path);

/* --- tickets ---------------------------------------------------------------------------------------------------------------- */

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb, on contexts whose connections are a tls_conn's. */
int tls_on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int make);

/* For SSL_CTX_set_session_ticket_cb: what is done with a ticket of ours that a client shows. */
SSL_TICKET_RETURN tls_on_ticket_taken(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_n,
	SSL_TICKET_STATUS status, void *context);

#endif
