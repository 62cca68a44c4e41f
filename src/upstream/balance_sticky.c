/*
 * Stickiness: a client that has a cookie which names an endpoint goes to that one, as long as it is in service; otherwise the
 * policy picks another, whose cookie the client then gets (gateway/balance_key.c).
 *
 * Source: insertion of cookies as HAProxy's `cookie ... insert` and nginx's `sticky cookie` do it.
 *
 * The name is a hash of the upstream and the endpoint's address: no secret, but it shows no address at a glance, and it is the
 * same after a restart and in every gateway. An endpoint of weight 0 keeps those who are bound to it and gets no others, so
 * that it can be emptied without cutting sessions.
 *
 * Weak points: sessions differ, so load follows the weights only roughly; a client can name any endpoint that it has had a
 * cookie of; an endpoint that comes back has lost its sessions.
 */
#include "upstream/balance.h"

struct endpoint *balance_sticky(const struct endpoint_group *group, const struct balance_key *key)
{
	for (size_t i = 0; i < group->count; i++) {
		struct endpoint *ep = group->endpoints[i];

		if (ep->name.id != key->bound)
			continue;
		bool fits = key->subset == NULL || config_labels_include(&ep->labels, key->subset);

		return fits && endpoint_is_available(ep) ? ep : NULL;
	}
	return NULL;
}
