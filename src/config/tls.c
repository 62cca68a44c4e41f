/*
 * `listeners[].tls` and `upstreams[].tls`: which files, which versions, whose certificates are believed.
 *
 * This room reads the files and knows nothing of what is in them; net/tls_set.c does.
 */
#include "config/read.h"

static const struct word version_words[] = {{"1.2", CONFIG_TLS_1_2}, {"1.3", CONFIG_TLS_1_3}, {0}};

/* --- listeners -------------------------------------------------------------------------------------------------- */

static void certificate_cert_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_certificate *)out)->cert);
}

static void certificate_key_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_certificate *)out)->key);
}

static void certificate_ocsp_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_certificate *)out)->ocsp);
}

static void certificate_client_ca_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_certificate *)out)->clients.ca);
}

static void certificate_check(struct load *l, const struct node *map, void *out)
{
	config_place_read(l, map, &((struct config_certificate *)out)->place);
}

static const struct word certificate_auth_words[] = {{"listener", CLIENT_AUTH_LISTENER}, {"none", CLIENT_AUTH_NONE},
	{"optional", CLIENT_AUTH_OPTIONAL}, {"required", CLIENT_AUTH_REQUIRED}, {0}};

static const struct key certificate_keys[] = {
	{"cert", KEY_OWN, .required = true, .read = certificate_cert_read, .hint = "a PEM file"},
	{"key", KEY_OWN, .required = true, .read = certificate_key_read, .hint = "a PEM file"},
	{"ocsp", KEY_OWN, .read = certificate_ocsp_read},
	{"client_auth", KEY_CHOICE, FIELD(struct config_certificate, clients.auth), .words = certificate_auth_words,
		.preset = CLIENT_AUTH_LISTENER},
	{"client_ca", KEY_OWN, .read = certificate_client_ca_read},
};

static const struct section certificate_section = {KEYS(certificate_keys), .check = certificate_check};

static void listener_client_ca_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_listener *)out)->tls.clients.ca);
}

static const struct word auth_words[] = {
	{"none", CLIENT_AUTH_NONE}, {"optional", CLIENT_AUTH_OPTIONAL}, {"required", CLIENT_AUTH_REQUIRED}, {0}};

static const struct key listener_tls_keys[] = {
	{"certificates", KEY_LIST, ITEMS(struct config_listener, tls.certificates, tls.certificate_count), .min = 1,
		.max = CONFIG_CERTIFICATES_MAX, .section = &certificate_section, .required = true,
		.hint = "each has cert and key"},
	{"min_version", KEY_CHOICE, FIELD(struct config_listener, tls.min_version), .words = version_words,
		.preset = CONFIG_TLS_1_2},
	{"client_auth", KEY_CHOICE, FIELD(struct config_listener, tls.clients.auth), .words = auth_words,
		.preset = CLIENT_AUTH_NONE},
	{"client_ca", KEY_OWN, .read = listener_client_ca_read},
};

/* Whoever asks for certificates says whose; a CA that nobody is held against is a mistake. */
static void rules_check(struct load *l, const struct node *map, const struct config_client_rules *rules)
{
	const struct node *auth = node_find(map, VIEW("client_auth")), *ca = node_find(map, VIEW("client_ca"));

	if (complained_of(l, auth) || complained_of(l, ca))
		return;
	if (rules->auth == CLIENT_AUTH_NONE && ca != NULL)
		complain(l, ca,
			"no client is asked for a certificate; write `client_auth: required` or `optional`, or take "
			"this out");
	else if (rules->auth != CLIENT_AUTH_NONE && rules->ca.path.n == 0)
		complain(l, auth != NULL ? auth : map,
			"clients cannot be verified without `client_ca`; write the PEM file "
			"with the CAs that sign their certificates");
}

/* What a certificate does not say itself, the listener says. */
static void rules_inherit(struct config_client_rules *rules, const struct config_client_rules *listener)
{
	if (rules->auth == CLIENT_AUTH_LISTENER)
		rules->auth = listener->auth;
	if (rules->auth != CLIENT_AUTH_NONE && rules->ca.path.n == 0)
		rules->ca = listener->ca;
}

static void listener_tls_check(struct load *l, const struct node *map, void *out)
{
	struct config_listener_tls *tls = &((struct config_listener *)out)->tls;
	const struct node *list = node_find(map, VIEW("certificates"));

	/* A CA of the listener's may be there for a certificate that asks by itself. */
	if (tls->clients.auth != CLIENT_AUTH_NONE)
		rules_check(l, map, &tls->clients);
	if (list == NULL || tls->certificates == NULL)
		return;
	node_each(list, child) {
		struct config_client_rules *rules = &tls->certificates[child->index].clients;

		rules_inherit(rules, &tls->clients);
		if (child->kind == NODE_MAP &&
			(node_find(child, VIEW("client_auth")) || node_find(child, VIEW("client_ca"))))
			rules_check(l, child, rules);
	}
}

const struct section listener_tls_section = {KEYS(listener_tls_keys), .check = listener_tls_check};

/* --- upstreams -------------------------------------------------------------------------------------------------- */

static void upstream_ca_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_upstream *)out)->tls.ca);
}

static void upstream_cert_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_upstream *)out)->tls.cert);
}

static void upstream_key_read(struct load *l, const struct node *node, void *out)
{
	config_file_read(l, node, &((struct config_upstream *)out)->tls.key);
}

static void server_name_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a host name, such as users.internal";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (host_name_is_valid(text) && text.p[text.n - 1] != '.')
		((struct config_upstream *)out)->tls.server_name = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

static const struct word verify_words[] = {{"true", true}, {"false", false}, {0}};

static const struct key upstream_tls_keys[] = {
	{"verify", KEY_CHOICE, FIELD(struct config_upstream, tls.verify), .words = verify_words, .preset = true},
	{"ca", KEY_OWN, .read = upstream_ca_read},
	{"server_name", KEY_OWN, .read = server_name_read},
	{"cert", KEY_OWN, .read = upstream_cert_read},
	{"key", KEY_OWN, .read = upstream_key_read},
	{"min_version", KEY_CHOICE, FIELD(struct config_upstream, tls.min_version), .words = version_words,
		.preset = CONFIG_TLS_1_2},
};

static void upstream_tls_section_check(struct load *l, const struct node *map, void *out)
{
	struct config_upstream_tls *tls = &((struct config_upstream *)out)->tls;
	const struct node *cert = node_find(map, VIEW("cert")), *key = node_find(map, VIEW("key"));
	const struct node *ca = node_find(map, VIEW("ca"));

	config_place_read(l, map, &tls->place);
	if (cert != NULL && key == NULL)
		complain(l, cert, "a certificate is shown with its `key`, which is missing");
	if (key != NULL && cert == NULL)
		complain(l, key, "a key is used with its `cert`, which is missing");
	if (!tls->verify && ca != NULL)
		complain(l, ca, "nothing is verified with `verify: false`; take one of the two out");
}

const struct section upstream_tls_section = {KEYS(upstream_tls_keys), .check = upstream_tls_section_check};

void upstream_tls_check(struct load *l, const struct node *map, const struct config_upstream *upstream)
{
	const struct node *tls = node_find(map, VIEW("tls"));

	if (!upstream->tls.enabled || !upstream->tls.verify || upstream->tls.server_name.n > 0 || complained_of(l, tls))
		return;
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		if (upstream->endpoints[i].address_text.n > 0 &&
			upstream->endpoints[i].address.u.any.sa_family == AF_UNIX) {
			complain(l, tls,
				"an endpoint that is a unix socket has no name to be verified; write `server_name`");
			return;
		}
}
