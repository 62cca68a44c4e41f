/*
 * Which certificate a client gets, what protocol, and which response goes with it: the callbacks of a listener's contexts.
 *
 * The group is chosen in the ClientHello callback, before OpenSSL looks at a session that is to be resumed: a session counts
 * only where it was made, or where the rules for clients' certificates are the same. (In the later callback for names a
 * session of TLS 1.3 is taken already.)
 */
#include <stdlib.h>

#include "net/tls_state.h"

int tls_name_compare(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_key(const void *key, const void *entry)
{
	return tls_name_compare(*(const struct view *)key, ((const struct tls_name *)entry)->name);
}

static const struct tls_name *name_find(const struct tls_server *server, struct view name)
{
	if (server->name_count == 0)
		return NULL;
	return bsearch(&name, server->names, server->name_count, sizeof(*server->names), compare_key);
}

/* A wildcard stands for one label, so for a name there is one that could fit: with '*' for its first label. */
static const struct tls_name *wildcard_find(const struct tls_server *server, struct view name)
{
	const char *dot = memchr(name.p, '.', name.n);
	char text[TLS_NAME_MAX + 1];
	struct view rest;

	if (dot == NULL || dot == name.p)
		return NULL;
	rest = view_from(name, (size_t)(dot - name.p));
	text[0] = '*';
	memcpy(text + 1, rest.p, rest.n);
	return name_find(server, view_of(text, rest.n + 1));
}

const struct tls_group *tls_group_for(const struct tls_server *server, struct view name)
{
	const struct tls_name *found;

	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > TLS_NAME_MAX)
		return &server->groups[0];
	found = name_find(server, name);
	if (found == NULL)
		found = wildcard_find(server, name);
	return &server->groups[found != NULL ? found->group : 0];
}

bool tls_serves_host(const struct conn *conn, const struct tls_server *server, struct view host)
{
	const struct tls_conn *tls = conn->tls;

	if (tls == NULL || server == NULL || (server == tls->server && !server->mixed_rules))
		return true;
	return memcmp(tls_group_for(server, host)->rules_id, tls->group->rules_id, sizeof(tls->group->rules_id)) == 0;
}

/* Host names only, in lower case. False: it is none, and counts as absent. */
bool tls_name_copy(char to[TLS_NAME_MAX + 1], const unsigned char *name, size_t n)
{
	if (n == 0 || n > TLS_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = name[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
		to[i] = (char)(c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c);
	}
	to[n] = '\0';
	return true;
}

/* RFC 6066 §3: the length of the list, then a type (0: a host name), its length, the name. Others are never sent. */
static void server_name_read(SSL *ssl, char to[TLS_NAME_MAX + 1])
{
	const unsigned char *p;
	size_t n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 || p[2] != 0)
		return;
	size_t list = (size_t)p[0] << 8 | p[1], name = (size_t)p[3] << 8 | p[4];

	if (list != n - 2 || name > n - 5 || !tls_name_copy(to, p + 5, name))
		to[0] = '\0';
}

int tls_on_client_hello(SSL *ssl, int *alert, void *context)
{
	struct tls_conn *tls = tls_conn_of(ssl);
	const struct tls_group *group;

	server_name_read(ssl, tls->server_name);
	group = tls_group_for(tls->server, view_str(tls->server_name));
	if (group != tls->group && SSL_set_SSL_CTX(ssl, group->ctx) == NULL)
		return SSL_CLIENT_HELLO_ERROR;
	tls->group = group;
	/* What SSL_set_SSL_CTX leaves as it was. */
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(group->ctx), NULL);
	SSL_set_session_id_context(ssl, group->rules_id, sizeof(group->rules_id));
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* RFC 7301 §3.2: our order counts; who offers nothing that we speak is told so. */
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
	void *context)
{
	static const unsigned char h2[] = "\x02h2", h1[] = "\x08http/1.1";
	unsigned char ours[sizeof(h2) + sizeof(h1)];
	unsigned protocols = tls_conn_of(ssl)->server->config->protocols, n = 0;
	unsigned char *chosen;

	if (protocols & 1u << CONFIG_PROTOCOL_H2) {
		memcpy(ours, h2, sizeof(h2) - 1);
		n += sizeof(h2) - 1;
	}
	if (protocols & 1u << CONFIG_PROTOCOL_H1) {
		memcpy(ours + n, h1, sizeof(h1) - 1);
		n += sizeof(h1) - 1;
	}
	if (SSL_select_next_proto(&chosen, out_n, ours, n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	/* It may point at our list, which goes: the client's has the same. */
	for (unsigned i = 0; i + 1 < in_n; i += 1u + in[i])
		if (in[i] == *out_n && i + 1 + in[i] <= in_n && memcmp(in + i + 1, chosen, *out_n) == 0) {
			*out = in + i + 1;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The response that goes with the certificate that was chosen. OpenSSL owns the copy. */
int tls_on_status(SSL *ssl, void *context)
{
	const struct tls_server *server = tls_conn_of(ssl)->server;
	const X509 *cert = SSL_get_certificate(ssl);

	for (size_t i = 0; i < server->certificate_count; i++) {
		struct view ocsp = server->certificates[i].config->ocsp.bytes;

		if (server->certificates[i].cert != cert || ocsp.n == 0)
			continue;
		unsigned char *copy = OPENSSL_memdup(ocsp.p, ocsp.n);

		if (copy == NULL)
			return SSL_TLSEXT_ERR_NOACK;
		SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)ocsp.n);
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}
