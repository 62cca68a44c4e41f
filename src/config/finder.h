/*
 * Finds what a configuration has by name, however much that is and in whatever order (base/index.h). Each generation has one, which is
 * read by any thread.
 */
#ifndef WEIR_CONFIG_FINDER_H
#define WEIR_CONFIG_FINDER_H

#include "base/index.h"
#include "config/model.h"

struct finder {
	struct index routes, upstreams, endpoints;
};

/* The configuration is borrowed. NULL: out of memory. */
struct finder *finder_create(const struct config *config);

/* NULL is allowed. */
void finder_free(struct finder *finder);

/* Where it stands in the configuration; SIZE_MAX: nowhere. */
size_t finder_route(const struct finder *finder, struct view name);
size_t finder_upstream(const struct finder *finder, struct view name);

/* The same of the upstream's endpoint with that address, of all endpoints in the configuration's order. */
size_t finder_endpoint(const struct finder *finder, struct view upstream, const struct config_endpoint *endpoint);

#endif
