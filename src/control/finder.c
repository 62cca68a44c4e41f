/* See finder.h. */
#include "control/finder.h"

static bool find_upstream(struct finder *f, struct view name)
{
	const struct config *config = f->config;
	size_t at = f->upstream, begin = f->begin;

	for (size_t n = 0; n < config->upstream_count; n++) {
		if (view_eq(config->upstreams[at].name, name)) {
			f->upstream = at;
			f->begin = begin;
			f->endpoint = 0;
			return true;
		}
		begin += config->upstreams[at++].endpoint_count;
		if (at == config->upstream_count)
			at = begin = 0;
	}
	return false;
}

size_t finder_endpoint(struct finder *f, struct view upstream, const struct address *address)
{
	if (f->sought.p == NULL || !view_eq(f->sought, upstream)) {
		f->has = find_upstream(f, upstream);
		f->sought = upstream;
	}
	if (!f->has)
		return SIZE_MAX;

	const struct config_upstream *u = &f->config->upstreams[f->upstream];

	for (size_t n = 0, at = f->endpoint; n < u->endpoint_count; n++, at++) {
		at = at < u->endpoint_count ? at : 0;
		if (address_eq(&u->endpoints[at].address, address)) {
			f->endpoint = at + 1;
			return f->begin + at;
		}
	}
	return SIZE_MAX;
}

size_t finder_route(struct finder *f, struct view name)
{
	const struct config *config = f->config;

	for (size_t n = 0, at = f->route; n < config->route_count; n++, at++) {
		at = at < config->route_count ? at : 0;
		if (view_eq(config->routes[at].name, name)) {
			f->route = at + 1;
			return at;
		}
	}
	return SIZE_MAX;
}
