/*
 * access: lets pass who comes from an address that is allowed, and refuses others with 403 forbidden.
 *
 * The address is the client's as the gateway believes it, after trusted_proxies and the PROXY protocol; so nobody gets in by saying
 * another one. A client of a unix socket that nobody has named has none (config/access.c says what becomes of it).
 */
#include <stdio.h>

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

static enum cause explain(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES])
{
	const struct config_access *access = &config->u.access;
	unsigned char address[16];
	bool passes;

	if (!address_bytes_parse(client, address)) {
		snprintf(told, FILTER_TOLD_BYTES, "goes by the client's address: blocks allowed %zu, denied %zu", access->allow_count,
			access->deny_count);
		return CAUSE_NONE;
	}
	passes = config_access_allows(access, address);
	snprintf(told, FILTER_TOLD_BYTES, "%s %.*s", passes ? "lets pass" : "refuses", (int)client.n, client.p);
	return passes ? CAUSE_NONE : CAUSE_FORBIDDEN;
}

const struct filter_ops filter_access = {
	.name = "access",
	.explain = explain,
	.on_request = on_request,
};
