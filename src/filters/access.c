/*
 * access: lets pass who comes from an address that is allowed, and refuses others with 403 forbidden.
 *
 * The address is the client's as the gateway believes it, after trusted_proxies and the PROXY protocol; so nobody gets in by saying
 * another one. A client of a unix socket that nobody has named has none (config/access.c says what becomes of it). Of whom a proxy says
 * something that is no address nobody knows whether they are denied: they are refused, whichever list there is.
 */
#include <stdio.h>

#include "base/address.h"
#include "config/config.h"
#include "filters/filters.h"

static bool passes(const struct config_access *config, struct view client)
{
	unsigned char address[16];

	if (address_bytes_parse(client, address))
		return config_access_allows(config, address);
	return !view_eq(client, CLIENT_UNKNOWN) && config_access_allows(config, NULL);
}

static enum filter_verdict on_request(struct filter_call *call)
{
	if (passes(&call->config->u.access, call->client))
		return FILTER_CONTINUE;
	call->cause = CAUSE_FORBIDDEN;
	return FILTER_ANSWER;
}

static enum cause explain(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES])
{
	const struct config_access *access = &config->u.access;
	unsigned char address[16];
	bool is_let_in;

	if (!address_bytes_parse(client, address)) {
		snprintf(told, FILTER_TOLD_BYTES, "goes by the client's address: blocks allowed %zu, denied %zu", access->allow_count,
			access->deny_count);
		return CAUSE_NONE;
	}
	is_let_in = config_access_allows(access, address);
	snprintf(told, FILTER_TOLD_BYTES, "%s %.*s", is_let_in ? "lets pass" : "refuses", (int)client.n, client.p);
	return is_let_in ? CAUSE_NONE : CAUSE_FORBIDDEN;
}

const struct filter_ops filter_access = {
	.name = "access",
	.explain = explain,
	.on_request = on_request,
};
