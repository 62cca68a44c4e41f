/* Private to the room: who is in service, and how the next roster is made. */
#ifndef WEIR_UPSTREAM_ROSTER_H
#define WEIR_UPSTREAM_ROSTER_H

#include "upstream/endpoint.h"

/* The group of that name; `hint` is where it stands if nothing has moved. NULL: there is none, or no roster. */
struct endpoint_group *roster_find(const struct roster *roster, struct view name, size_t hint);

/* The same for an endpoint of a group. */
struct endpoint *group_find(const struct endpoint_group *group, const struct address *address, size_t hint);

/* Its endpoints stay. */
void group_free(struct endpoint_group *group);

/* One that has not come into service, with the endpoints that were made for it. */
void roster_discard(struct roster *roster);

/* Of a zone's name; 0: it has none. */
uint64_t zone_hash(struct view zone);

/* False: out of memory. Both are borrowed. */
bool making_begin(struct roster_making *m, const struct config *config, struct endpoint_budget *const *budgets);

/* Makes some more of it, as much as `cost` allows (reload.c). */
enum upstreams_progress making_go_on(struct roster_making *m, struct upstreams *ups, int cost);

#endif
