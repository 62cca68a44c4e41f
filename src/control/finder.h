/*
 * Finds what one configuration has in another, by name. Asked in the order in which things stand there it looks on from behind the
 * last one that it has found, and once round: so all of them take about as long as there are of them, wherever a new one was put in
 * between, and only one that is not there is looked for among all.
 */
#ifndef WEIR_CONTROL_FINDER_H
#define WEIR_CONTROL_FINDER_H

#include "config/config.h"

/* All zero but for the configuration, which is borrowed. The rest is where the last ones were found. */
struct finder {
	const struct config *config;
	struct view sought;      /* the upstream that was asked for last; borrowed */
	bool has;                /* it is there */
	size_t upstream, begin;  /* the last one that was found; its first endpoint, of all */
	size_t endpoint;         /* of that, the next */
	size_t route;            /* the next */
};

/* Where the upstream's endpoint of that address stands, of all endpoints in the configuration's order; SIZE_MAX: nowhere. */
size_t finder_endpoint(struct finder *f, struct view upstream, const struct address *address);

/* The same of a route. */
size_t finder_route(struct finder *f, struct view name);

#endif
