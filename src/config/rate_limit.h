/* Private to the room: what routes.c and filters.c need of the filter `rate_limit`. */
#ifndef WEIR_CONFIG_RATE_LIMIT_H
#define WEIR_CONFIG_RATE_LIMIT_H

#include "config/read.h"

/* `out` is a struct config_filter. */
extern const struct section rate_limit_section;

/* After its filters were read: numbers and names the limits of a route, and looks at them together. `map` is the route's. */
void rate_limits_check(struct load *l, const struct node *map, struct config_route *route);

#endif
