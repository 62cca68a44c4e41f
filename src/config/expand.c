/*
 * From a configuration and what is known of its host names to one in which every endpoint has an address.
 *
 *     as loaded   users: [users.internal:8080 weight 2, 10.0.0.9:8080]
 *     answers     users.internal: 10.0.0.5, 10.0.0.7
 *     expanded    users: [users.internal[10.0.0.5]:8080 weight 2, users.internal[10.0.0.7]:8080 weight 2, 10.0.0.9:8080]
 *
 * Only upstreams and routes, which point at them, are made anew; all else is the origin's. So whoever reads the model need
 * not know that there are host names.
 */
#include <stdlib.h>

#include "config/owned.h"

#define LABEL_FORMAT "%.*s[%s]:%u"

struct expansion {
	struct arena *arena;
	const struct config_answers *answers;
	unsigned char found[CONFIG_HOST_ADDRESSES_MAX][16];
};

static bool has_address(const struct config_upstream *upstream, const struct address *address)
{
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		if (address_eq(&upstream->endpoints[i].address, address))
			return true;
	return false;
}

/* Where the next endpoint goes; NULL: it is there already, or there is no more room. */
static struct config_endpoint *endpoint_place(struct config_upstream *to, const struct address *address)
{
	if (has_address(to, address))
		return NULL;
	if (to->endpoint_count == CONFIG_UPSTREAM_ENDPOINTS_MAX) {
		to->left_out++;
		return NULL;
	}
	return &to->endpoints[to->endpoint_count++];
}

/* False: out of memory. */
static bool address_add(struct expansion *x, struct config_upstream *to, const struct config_endpoint *from,
	const unsigned char bytes[16])
{
	char host[ADDRESS_TEXT_MAX];
	struct address address;
	struct config_endpoint *place;

	address_from_bytes(&address, bytes, from->port);
	place = endpoint_place(to, &address);
	if (place == NULL)
		return true;
	address_format_host(&address, host);
	*place = *from;
	place->address = address;
	place->address_text = arena_printf(x->arena, LABEL_FORMAT, (int)from->host.n, from->host.p, host, from->port);
	return place->address_text.p != NULL;
}

static bool endpoint_expand(struct expansion *x, struct config_upstream *to, const struct config_endpoint *from)
{
	if (from->host.n == 0) {
		struct config_endpoint *place = endpoint_place(to, &from->address);

		if (place != NULL)
			*place = *from;
		return true;
	}
	size_t count = x->answers->addresses(x->answers->context, from->host, x->found);

	for (size_t i = 0; i < count; i++)
		if (!address_add(x, to, from, x->found[i]))
			return false;
	return true;
}

/* How many endpoints there may be at most. */
static size_t endpoints_max(const struct config_upstream *upstream)
{
	size_t sum = 0;

	for (size_t i = 0; i < upstream->endpoint_count; i++)
		sum += upstream->endpoints[i].host.n > 0 ? CONFIG_HOST_ADDRESSES_MAX : 1;
	return sum < CONFIG_UPSTREAM_ENDPOINTS_MAX ? sum : CONFIG_UPSTREAM_ENDPOINTS_MAX;
}

static bool has_host(const struct config_upstream *upstream)
{
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		if (upstream->endpoints[i].host.n > 0)
			return true;
	return false;
}

/* Collected in `room`, since how many there are is known only then. */
static bool upstream_expand(struct expansion *x, struct config_upstream *to, const struct config_upstream *from,
	struct config_endpoint *room)
{
	*to = *from;
	if (!has_host(from))
		return true;
	to->endpoints = room;
	to->endpoint_count = 0;
	for (size_t i = 0; i < from->endpoint_count; i++)
		if (!endpoint_expand(x, to, &from->endpoints[i]))
			return false;
	struct view kept =
		arena_copy(x->arena, view_of((const char *)room, to->endpoint_count * sizeof(struct config_endpoint)));

	to->endpoints = (struct config_endpoint *)(uintptr_t)kept.p;
	return kept.p != NULL;
}

static bool upstreams_expand(struct expansion *x, struct config_upstream *to, const struct config *origin)
{
	size_t most = 1;
	struct config_endpoint *room;
	bool good = true;

	for (size_t i = 0; i < origin->upstream_count; i++) {
		size_t count = endpoints_max(&origin->upstreams[i]);

		most = count > most ? count : most;
	}
	room = calloc(most, sizeof(*room));
	if (room == NULL)
		return false;
	for (size_t i = 0; i < origin->upstream_count && good; i++)
		good = upstream_expand(x, &to[i], &origin->upstreams[i], room);
	free(room);
	return good;
}

static void routes_repoint(
	struct config_route *to, const struct config *origin, const struct config_upstream *upstreams)
{
	for (size_t i = 0; i < origin->route_count; i++) {
		to[i] = origin->routes[i];
		if (to[i].upstream != NULL)
			to[i].upstream = &upstreams[to[i].upstream->index];
	}
}

const struct config *config_expand(const struct config *config, const struct config_answers *answers)
{
	struct owned_config *owned;

	if (config->host_count == 0)
		return config_ref(config);
	owned = owned_config_create();
	if (owned == NULL)
		return NULL;
	struct expansion x = {.arena = &owned->arena, .answers = answers};
	struct config_upstream *upstreams = arena_alloc_line(x.arena, config->upstream_count * sizeof(*upstreams));
	struct config_route *routes = arena_alloc_line(x.arena, config->route_count * sizeof(*routes));

	owned->config = *config;
	if (upstreams == NULL || routes == NULL || !upstreams_expand(&x, upstreams, config)) {
		config_free(&owned->config);
		return NULL;
	}
	routes_repoint(routes, config, upstreams);
	owned->config.upstreams = upstreams;
	owned->config.routes = routes;
	owned->origin = config_ref(config);
	return &owned->config;
}
