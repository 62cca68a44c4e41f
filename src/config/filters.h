/* Private to the room: the filters that have a file of their own. `out` of each section is a struct config_filter. */
#ifndef WEIR_CONFIG_FILTERS_H
#define WEIR_CONFIG_FILTERS_H

#include "config/config.h"
#include "config/read.h"

extern const struct section access_section, api_key_section, rate_limit_section;

/* Whether filters may say something of the field of that name; complained of, if not (filters.c). */
bool field_name_check(struct load *l, const struct node *node, struct view name);

/* Who counts by the names of keys has asked for one before. `map` is the route's. */
void api_keys_check(struct load *l, const struct node *map, const struct config_route *route);

/* After its filters were read: numbers and names the limits of a route, and looks at them together. `map` is the route's. */
void rate_limits_check(struct load *l, const struct node *map, struct config_route *route);

#endif
