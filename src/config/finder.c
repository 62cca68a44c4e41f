/* See finder.h. */
#include "config/finder.h"

#include <stdlib.h>

#include "config/config.h"

/* As long as a host name stands for its addresses, it is what its endpoint is known by. */
static struct view endpoint_part(const struct config_endpoint *endpoint)
{
	const struct address *address = &endpoint->address;

	return address->len > 0 ? view_of((const char *)&address->u, address->len) : endpoint->address_text;
}

static bool finder_init(struct finder *f, const struct config *config)
{
	return index_init(&f->routes, config->route_count) && index_init(&f->upstreams, config->upstream_count) &&
	       index_init(&f->endpoints, config_endpoint_count(config));
}

static void upstream_put(struct finder *f, const struct config_upstream *upstream)
{
	index_put(&f->upstreams, upstream->name, VIEW(""), NULL);
	for (size_t i = 0; i < upstream->endpoint_count; i++)
		index_put(&f->endpoints, upstream->name, endpoint_part(&upstream->endpoints[i]), NULL);
}

struct finder *finder_create(const struct config *config)
{
	struct finder *f = calloc(1, sizeof(*f));

	if (f == NULL || !finder_init(f, config)) {
		finder_free(f);
		return NULL;
	}
	for (size_t i = 0; i < config->route_count; i++)
		index_put(&f->routes, config->routes[i].name, VIEW(""), NULL);
	for (size_t i = 0; i < config->upstream_count; i++)
		upstream_put(f, &config->upstreams[i]);
	return f;
}

void finder_free(struct finder *f)
{
	if (f == NULL)
		return;
	index_release(&f->routes);
	index_release(&f->upstreams);
	index_release(&f->endpoints);
	free(f);
}

static size_t place_in(const struct index *index, struct view name, struct view part)
{
	const struct indexed *found = index_find(index, name, part);

	return found != NULL ? found->place : SIZE_MAX;
}

size_t finder_route(const struct finder *f, struct view name)
{
	return place_in(&f->routes, name, VIEW(""));
}

size_t finder_upstream(const struct finder *f, struct view name)
{
	return place_in(&f->upstreams, name, VIEW(""));
}

size_t finder_endpoint(const struct finder *f, struct view upstream, const struct config_endpoint *endpoint)
{
	return place_in(&f->endpoints, upstream, endpoint_part(endpoint));
}
