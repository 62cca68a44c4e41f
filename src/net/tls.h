/*
 * TLS in the byte stream (OpenSSL behind it; its headers are included in net/tls*.c only).
 *
 * A conn with TLS is used like one without: conn_recv, conn_sendv, conn_shutdown_write, conn_close, and the flags mean the
 * same. Only its beginning differs:
 *
 *     conn_accept  -> tls_accept                     -> tls_handshake until it is not -EINPROGRESS
 *     conn_connect -> tls_connect, whatever it told  -> conn_connect_result until it is not -EINPROGRESS
 *
 * What is agreed on comes from contexts that the main thread makes with a configuration: a tls_set has one for each
 * worker and each listener or upstream, made with the worker's own OpenSSL, so that workers share none. Keys of session
 * tickets are the one thing that all share.
 *
 *     tls_set --[worker][listener]--> tls_server    certificates, chosen by the name that the client asks for
 *        `------[worker][upstream]--> tls_client    whom to believe, what to show
 */
#ifndef WEIR_NET_TLS_H
#define WEIR_NET_TLS_H

#include "config/config.h"
#include "net/conn.h"

struct tls_client;
struct tls_libraries;
struct tls_scratch;
struct tls_server;
struct tls_set;
struct tls_tickets;

/* --- a connection (tls_conn.c) -------------------------------------------------------------------------------------- */

/* A worker's memory for what is on its way between the kernel and OpenSSL; one for all its connections. NULL: out of memory. */
struct tls_scratch *tls_scratch_create(void);
void tls_scratch_free(struct tls_scratch *scratch);

/* The last session with one endpoint, to be resumed by the next connection. Zero-initialise. */
struct tls_resumption {
	void *session;
};

/* Forgets it: it was made with other settings, or the endpoint goes. */
void tls_resumption_release(struct tls_resumption *resumption);

/*
 * Behind conn_accept. `scratch` is borrowed until the conn is closed. `server` may be gone before. 0 or -ENOMEM; then the conn
 * is as it was, and is to be closed.
 */
int tls_accept(struct conn *conn, struct tls_server *server, struct tls_scratch *scratch);

/*
 * Behind conn_connect, also when that is still under way. `name` is a host name or an address: what is asked for and verified;
 * empty: neither. `resumption` is borrowed like `scratch`. 0 or -ENOMEM, as above.
 */
int tls_connect(struct conn *conn, struct tls_client *client, struct tls_scratch *scratch, struct view name,
	struct tls_resumption *resumption);

/*
 * Goes on with the handshake: 0 it is done, -EINPROGRESS on_ready will tell, else the error: of the socket, or one that
 * tls_error_text() knows. Legal again after its end.
 */
int tls_handshake(struct conn *conn);

/* How long it took, of one that was over at that time; 0 without TLS. */
uint64_t tls_handshake_us(const struct conn *conn, uint64_t over_us);

/* For whoever gives a handshake a time: an error of its own, with a text. */
#define TLS_TIMED_OUT (-100001)

/* What an error of tls_handshake() says, a sentence without a stop; NULL when it is the socket's. Static text. */
const char *tls_error_text(int error);

/* What became of the handshake. Views are valid until the conn is closed. */
struct tls_facts {
	struct view version;       /* "TLSv1.3" */
	struct view cipher;        /* "TLS_AES_128_GCM_SHA256" */
	struct view server_name;   /* that the client asked for, in lower case; empty: none, or one that is no host name */
	struct view client_cert;   /* a verified one, as the value of Client-Cert (RFC 9440); empty: none was shown */
	struct view client_subject;/* its subject (RFC 2253) */
	enum config_protocol protocol;  /* what ALPN agreed on; H1 where it was not used */
	bool resumed;
};

/* NULL: no TLS, or the handshake is not over. */
const struct tls_facts *tls_facts(const struct conn *conn);

/*
 * Whether a request for this host may come on the connection: false when the host's certificate has other rules for clients'
 * certificates, by what the listener says now (`server`), than the one that the connection began with (RFC 9110 §15.5.20).
 * True without TLS.
 */
bool tls_serves_host(const struct conn *conn, const struct tls_server *server, struct view host);

/* --- OpenSSL for each worker (tls_library.c) ---------------------------------------------------------------------- */

/*
 * The main thread's, with the first configuration that has TLS: workers may run, and have not come to TLS yet. NULL:
 * out of memory.
 */
struct tls_libraries *tls_libraries_create(unsigned workers);

/* When the workers' threads have ended. NULL is allowed. */
void tls_libraries_free(struct tls_libraries *libraries);

/* --- contexts (tls_set.c) --------------------------------------------------------------------------------------------- */

/* Reads what the certificates and keys hold. Complaints are added; false when there is one. Warnings do not count. */
bool tls_check(const struct config *config, struct config_complaints *complaints, struct config_complaints *warnings);

/* Whether the configuration needs a tls_set at all. */
bool tls_is_used(const struct config *config);

/*
 * The contexts for each worker that has a library, with one reference. Refers to `config`, to `libraries` and to
 * `tickets`, which are borrowed and outlive it and all connections. NULL: out of memory, or the configuration was not
 * checked.
 */
struct tls_set *tls_set_create(
	const struct config *config, const struct tls_libraries *libraries, struct tls_tickets *tickets);

/* Any thread. NULL may be dropped. */
struct tls_set *tls_set_ref(struct tls_set *set);
void tls_set_unref(struct tls_set *set);

/* Whether the set is as good for this configuration, which differs in the addresses of endpoints at most. */
bool tls_set_serves(const struct tls_set *set, const struct config *config);

/* Borrowed from the set; NULL: that one has no TLS. By the index in the configuration. */
struct tls_server *tls_set_server(const struct tls_set *set, unsigned worker, size_t listener);
struct tls_client *tls_set_client(const struct tls_set *set, unsigned worker, size_t upstream);

/* A reference of one's own, so that it may outlive the set. Any thread. NULL is allowed, and may be dropped. */
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server);
struct tls_client *tls_client_ref(struct tls_client *client);
void tls_client_unref(struct tls_client *client);

/* --- keys of session tickets (tls_tickets.c) --------------------------------------------------------------------------- */

/* With a first key. NULL: out of memory, or of chance. */
struct tls_tickets *tls_tickets_create(void);
void tls_tickets_free(struct tls_tickets *tickets);

/* New tickets are made with a new key from now on; those of the key before are still taken. One thread, always the same. */
void tls_tickets_rotate(struct tls_tickets *tickets);

/* The keys that are in use, for another process of this program, perhaps another version of it. Secret. */
struct tls_ticket_keys {
	uint32_t version;          /* of what follows: the newest first */
	unsigned char bytes[2][80];
};

/* On the thread that rotates them. To be wiped by tls_ticket_keys_wipe(). */
void tls_tickets_write(const struct tls_tickets *tickets, struct tls_ticket_keys *keys);

/* Those instead of its own, before there is any connection. False: they say nothing that is understood; nothing has changed. */
bool tls_tickets_adopt(struct tls_tickets *tickets, const struct tls_ticket_keys *keys);

void tls_ticket_keys_wipe(struct tls_ticket_keys *keys);

#define TLS_TICKETS_ROTATE_US (3600 * US_PER_S)

/* --- the handshake of WebSocket (tls_websocket.c) ------------------------------------------------------------------------ */

enum { TLS_WEBSOCKET_KEY_BYTES = 24, TLS_WEBSOCKET_ACCEPT_BYTES = 28 };

/* Sec-WebSocket-Accept for this Sec-WebSocket-Key (RFC 6455 §4.2.2). False: the key is not as long, or there is no SHA-1. */
bool tls_websocket_accept(struct view key, char accept[TLS_WEBSOCKET_ACCEPT_BYTES]);

#endif
