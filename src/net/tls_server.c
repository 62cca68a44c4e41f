/*
 * A listener's certificates: which one a client gets, and whether it must show its own.
 *
 *     names (sorted)          groups                      certificates
 *     *.example.com  ------>  {0, 1}  one SSL_CTX ----->  0: EC, 1: RSA
 *     example.com    ---'     {2}     one SSL_CTX ----->  2: EC
 *
 * Names that have the same certificates share a group, one certificate for each kind of key; OpenSSL chooses among them by
 * what the client can verify. Group 0 is that of the first certificate, for clients that ask for nobody whom we know.
 * tls_choice.c chooses among the groups.
 */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "net/tls_state.h"

enum { SESSION_SECONDS = 3600, NAMES_MAX = 60000 };

/* --- names ---------------------------------------------------------------------------------------------------------------- */

/* A name as certificates have it. What is no host name is passed over. False: out of memory. */
static bool name_add(struct tls_server *server, uint16_t certificate, const ASN1_STRING *string)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(string);
	size_t n = (size_t)ASN1_STRING_length(string);
	char lower[TLS_NAME_MAX + 1], *copy;

	if (server->name_count == NAMES_MAX || !tls_name_copy(lower, bytes, n))
		return true;
	if ((server->name_count & (server->name_count - 1)) == 0) {
		size_t room = server->name_count == 0 ? 1 : 2 * server->name_count;
		struct tls_name *names = realloc(server->names, room * sizeof(*names));

		if (names == NULL)
			return false;
		server->names = names;
	}
	copy = malloc(n);
	if (copy == NULL)
		return false;
	memcpy(copy, lower, n);
	server->names[server->name_count++] = (struct tls_name){.name = view_of(copy, n), .certificate = certificate};
	return true;
}

/* The DNS names of the certificate; without any, the common name of its subject. */
static bool names_collect(struct tls_server *server, uint16_t index)
{
	const X509 *cert = server->certificates[index].cert;
	GENERAL_NAMES *alternatives = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t before = server->name_count;
	bool good = true;

	for (int i = 0; good && i < sk_GENERAL_NAME_num(alternatives); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(alternatives, i);

		if (one->type == GEN_DNS)
			good = name_add(server, index, one->d.dNSName);
	}
	GENERAL_NAMES_free(alternatives);
	if (good && server->name_count == before) {
		const X509_NAME *subject = X509_get_subject_name(cert);
		int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

		if (at >= 0)
			good = name_add(server, index, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	}
	ERR_clear_error();
	return good;
}

static int name_order(const void *a, const void *b)
{
	const struct tls_name *left = a, *right = b;
	int order = tls_name_compare(left->name, right->name);

	return order != 0 ? order : (int)left->certificate - (int)right->certificate;
}

/* --- groups --------------------------------------------------------------------------------------------------------------- */

/* One more certificate, unless one with that kind of key is there. */
static void group_add(const struct tls_server *server, struct tls_group *group, uint16_t certificate)
{
	int kind = EVP_PKEY_get_base_id(server->certificates[certificate].key);

	for (unsigned i = 0; i < group->count; i++)
		if (EVP_PKEY_get_base_id(server->certificates[group->certificates[i]].key) == kind)
			return;
	if (group->count < TLS_KINDS_MAX)
		group->certificates[group->count++] = certificate;
}

static bool same_rules(const struct config_client_rules *a, const struct config_client_rules *b)
{
	return a->auth == b->auth && (a->auth == CLIENT_AUTH_NONE || view_eq(a->ca.bytes, b->ca.bytes));
}

/* Certificates beside each other for one name have the same rules: which one is chosen must not matter. */
static bool group_check(const struct tls_server *server, const struct tls_group *group, struct view name,
	const struct tls_making *making)
{
	const struct config_certificate *first = server->certificates[group->certificates[0]].config;

	for (unsigned i = 1; i < group->count; i++) {
		const struct config_certificate *other = server->certificates[group->certificates[i]].config;

		if (same_rules(&first->clients, &other->clients))
			continue;
		if (making->complaints != NULL)
			config_complain(making->complaints, &other->place,
				"the certificate for \"%.*s\" in line %u has other rules for clients' certificates; give both the "
				"same `client_auth` and `client_ca`",
				(int)name.n, name.p, first->place.line);
		return false;
	}
	return true;
}

/* The same only where resuming a session of the other is harmless. */
static bool rules_id_make(const struct tls_server *server, struct tls_group *group)
{
	const struct config_client_rules *rules = group->rules;
	bool asks = rules->auth != CLIENT_AUTH_NONE;
	const struct view parts[] = {server->config->name, rules->auth == CLIENT_AUTH_REQUIRED ? VIEW("!") : VIEW("?"),
		asks ? rules->ca.bytes : VIEW("")};
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool good = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	/* With the byte that ends each, which no name has. */
	for (size_t i = 0; good && i < sizeof(parts) / sizeof(parts[0]); i++)
		good = EVP_DigestUpdate(digest, parts[i].p, parts[i].n) == 1 && EVP_DigestUpdate(digest, "", 1) == 1;
	good = good && EVP_DigestFinal_ex(digest, group->rules_id, NULL) == 1;
	EVP_MD_CTX_free(digest);
	return good;
}

/* Clients are asked for certificates, which one of these CAs has signed. */
static bool group_verifies(struct tls_group *group, const struct tls_making *making)
{
	bool required = group->rules->auth == CLIENT_AUTH_REQUIRED;
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();

	if (names == NULL || !tls_ca_read(SSL_CTX_get_cert_store(group->ctx), names, &group->rules->ca, making)) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(group->ctx, names);
	SSL_CTX_set_verify(group->ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	return true;
}

static bool group_create_context(struct tls_server *server, struct tls_group *group, const struct tls_making *making)
{
	SSL_CTX *ctx = group->ctx =
		tls_context_create(making->library, TLS_server_method(), server->config->tls.min_version);

	group->rules = &server->certificates[group->certificates[0]].config->clients;
	if (ctx == NULL || !rules_id_make(server, group))
		return false;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
	/* OpenSSL gives two. Each costs about as much as sending the answer does, and whoever goes on with one gets the next. */
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_session_id_context(ctx, group->rules_id, sizeof(group->rules_id));
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_on_ticket);
	SSL_CTX_set_session_ticket_cb(ctx, NULL, tls_on_ticket_taken, NULL);
	SSL_CTX_set_client_hello_cb(ctx, tls_on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, tls_on_alpn, NULL);
	SSL_CTX_set_tlsext_status_cb(ctx, tls_on_status);
	for (unsigned i = 0; i < group->count; i++) {
		const struct tls_certificate *certificate = &server->certificates[group->certificates[i]];

		if (!tls_certificate_use(ctx, certificate, &certificate->config->cert, making))
			return false;
	}
	return group->rules->auth == CLIENT_AUTH_NONE || group_verifies(group, making);
}

/* The group with these certificates, made when it is the first. NULL: complained about, or out of memory. */
static struct tls_group *group_get(
	struct tls_server *server, const struct tls_group *like, struct view name, const struct tls_making *making)
{
	for (size_t i = 0; i < server->group_count; i++) {
		struct tls_group *group = &server->groups[i];

		if (group->count == like->count && memcmp(group->certificates, like->certificates,
							   like->count * sizeof(like->certificates[0])) == 0)
			return group;
	}
	struct tls_group *group = &server->groups[server->group_count];

	*group = *like;
	server->group_count++;
	if (!group_check(server, group, name, making) || !group_create_context(server, group, making))
		return NULL;
	if (!same_rules(group->rules, server->groups[0].rules))
		server->mixed_rules = true;
	return group;
}

/* The group of the name that stands at `from`; *to is behind its last entry. */
static struct tls_group *group_of_name(
	struct tls_server *server, size_t from, size_t *to, const struct tls_making *making)
{
	struct view name = server->names[from].name;
	struct tls_group like = {0};

	for (*to = from; *to < server->name_count && view_eq(server->names[*to].name, name); ++*to)
		group_add(server, &like, server->names[*to].certificate);
	return group_get(server, &like, name, making);
}

/* Group 0: the first name of the first certificate, or that certificate alone. */
static bool default_group(struct tls_server *server, const struct tls_making *making)
{
	struct tls_group like = {.count = 1};
	size_t to;

	for (size_t i = 0; i < server->name_count; i++)
		if (server->names[i].certificate == 0) {
			while (i > 0 && view_eq(server->names[i - 1].name, server->names[i].name))
				i--;
			return group_of_name(server, i, &to, making) != NULL;
		}
	return group_get(server, &like, VIEW(""), making) != NULL;
}

/* From one entry for each name and certificate to one for each name. */
static bool groups_create(struct tls_server *server, const struct tls_making *making)
{
	size_t kept = 0, to;

	if (server->name_count > 0)
		qsort(server->names, server->name_count, sizeof(*server->names), name_order);
	server->groups = calloc(server->name_count + 1, sizeof(*server->groups));
	if (server->groups == NULL || !default_group(server, making))
		return false;
	for (size_t i = 0; i < server->name_count; i = to) {
		const struct tls_group *group = group_of_name(server, i, &to, making);

		if (group == NULL)
			return false;
		server->names[i].group = (uint16_t)(group - server->groups);
	}
	for (size_t i = 0; i < server->name_count; i++) {
		if (kept > 0 && view_eq(server->names[kept - 1].name, server->names[i].name)) {
			free((void *)(uintptr_t)server->names[i].name.p);
			continue;
		}
		server->names[kept++] = server->names[i];
	}
	server->name_count = kept;
	return true;
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

static bool certificates_read(struct tls_server *server, const struct tls_making *making)
{
	const struct config_listener_tls *tls = &server->config->tls;
	bool good = true;

	server->certificates = calloc(tls->certificate_count, sizeof(*server->certificates));
	if (server->certificates == NULL)
		return false;
	for (size_t i = 0; i < tls->certificate_count; i++) {
		const struct config_certificate *config = &tls->certificates[i];

		server->certificates[i].config = config;
		server->certificate_count++;
		if (config->ocsp.path.n > 0)
			good = tls_ocsp_check(&config->ocsp, making) && good;
		if (!tls_certificate_read(&server->certificates[i], &config->cert, &config->key, making))
			good = false;
		else if (!names_collect(server, (uint16_t)i))
			return false;
	}
	return good;
}

struct tls_server *tls_server_create(const struct config *whole, const struct config_listener *config,
	struct tls_tickets *tickets, const struct tls_making *making)
{
	struct tls_server *server = calloc(1, sizeof(*server));

	if (server == NULL)
		return NULL;
	atomic_init(&server->references, 1);
	server->config = config;
	server->whole = config_ref(whole);
	server->tickets = tickets;
	server->library = making->library;
	if (certificates_read(server, making) && groups_create(server, making))
		return server;
	ERR_clear_error();
	tls_server_unref(server);
	return NULL;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
	if (server != NULL)
		atomic_fetch_add_explicit(&server->references, 1, memory_order_relaxed);
	return server;
}

void tls_server_unref(struct tls_server *server)
{
	if (server == NULL || atomic_fetch_sub_explicit(&server->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < server->group_count; i++)
		SSL_CTX_free(server->groups[i].ctx);
	for (size_t i = 0; i < server->name_count; i++)
		free((void *)(uintptr_t)server->names[i].name.p);
	for (size_t i = 0; i < server->certificate_count; i++)
		tls_certificate_release(&server->certificates[i]);
	free(server->groups);
	free(server->names);
	free(server->certificates);
	config_free(server->whole);
	free(server);
}
