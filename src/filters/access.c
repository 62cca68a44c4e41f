/*
 * access: lets pass who comes from an address that is allowed, and refuses others with 403 forbidden.
 *
 * The address is the client's as the gateway believes it, after trusted_proxies and the PROXY protocol; so nobody gets in by saying
 * another one. A client of a unix socket that nobody has named has none (config/access.c says what becomes of it).
 */
#include "base/address.h"
#include "config/config.h"
#include "filters/filters.h"

static enum filter_verdict on_request(struct filter_call *call)
{
	unsigned char address[16];
	bool is_there = address_bytes_parse(call->client, address);

	if (config_access_allows(&call->config->u.access, is_there ? address : NULL))
		return FILTER_CONTINUE;
	call->cause = CAUSE_FORBIDDEN;
	return FILTER_ANSWER;
}

const struct filter_ops filter_access = {
	.name = "access",
	.on_request = on_request,
};
