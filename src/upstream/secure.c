/*
 * TLS towards endpoints: who is asked for, when two settings are the same, and with which contexts connections begin.
 */
#include "base/hash.h"
#include "upstream/endpoint.h"

static uint64_t hash_bytes(uint64_t key, struct view bytes)
{
	uint64_t word;

	key = hash_u64(key, bytes.n);
	for (; bytes.n >= sizeof(word); bytes = view_from(bytes, sizeof(word))) {
		memcpy(&word, bytes.p, sizeof(word));
		key = hash_u64(key, word);
	}
	word = 0;
	if (bytes.n > 0)
		memcpy(&word, bytes.p, bytes.n);
	return hash_u64(key, word);
}

/* What is in the files counts, not where they are: a renewed certificate is another one. */
uint64_t endpoint_tls_id(const struct config_upstream *upstream)
{
	const struct config_upstream_tls *tls = &upstream->tls;
	uint64_t id;

	if (!tls->enabled)
		return 0;
	id = hash_u64(1, (uint64_t)tls->verify << 8 | (uint64_t)tls->min_version);
	id = hash_bytes(id, tls->ca.bytes);
	id = hash_bytes(id, tls->cert.bytes);
	id = hash_bytes(id, tls->key.bytes);
	return id != 0 ? id : 1;
}

struct view endpoint_server_name(
	const struct config_upstream *upstream, const struct config_endpoint *config, char text[ADDRESS_TEXT_MAX])
{
	unsigned char bytes[16];
	struct view host = config->host;

	if (!upstream->tls.enabled)
		return view_of(NULL, 0);
	if (upstream->tls.server_name.n > 0)
		return upstream->tls.server_name;
	if (host.n > 0)
		return host.p[host.n - 1] == '.' ? view_of(host.p, host.n - 1) : host;
	return address_bytes(&config->address, bytes) ? view_of(text, address_format_host(&config->address, text))
	                                              : view_of(NULL, 0);
}

/* With a context of another configuration no session of before is resumed: it may have been accepted under other rules. */
static void endpoint_secure(struct endpoint *ep, struct tls_client *client)
{
	if (ep->tls == client)
		return;
	tls_client_unref(ep->tls);
	tls_resumption_release(&ep->resumption);
	ep->tls = tls_client_ref(client);
}

void upstreams_secure(struct upstreams *ups, const struct tls_set *set, unsigned worker, struct tls_scratch *scratch)
{
	ups->tls_scratch = scratch;
	if (set == NULL)
		return;
	for (size_t i = 0; i < ups->roster->count; i++)
		for (size_t j = 0; j < ups->roster->groups[i]->count; j++)
			endpoint_secure(ups->roster->groups[i]->endpoints[j], tls_set_client(set, worker, i));
}
