/* Private to the room: the filters that have a file of their own. `out` of each section is a struct config_filter. */
#ifndef WEIR_CONFIG_FILTERS_H
#define WEIR_CONFIG_FILTERS_H

#include "config/config.h"
#include "config/read.h"

extern const struct section access_section, rate_limit_section;

/* After its filters were read: numbers and names the limits of a route, and looks at them together. `map` is the route's. */
void rate_limits_check(struct load *l, const struct node *map, struct config_route *route);

#endif
