/*
 * Private to the room: active health checks of one endpoint.
 *
 * The first worker asks for all of them. What comes of it stands in the endpoint's budget, where the balancers of all
 * workers look.
 */
#ifndef WEIR_UPSTREAM_PROBE_H
#define WEIR_UPSTREAM_PROBE_H

#include "config/model.h"
#include "io/io.h"

struct endpoint;
struct probe;

/* Of a service, or of a path and a host: no kind asks for all three. */
_Static_assert(CONFIG_HEALTH_SERVICE_MAX <= CONFIG_HEALTH_PATH_MAX, "there is room for either");

struct prober {
	struct config_health health;   /* its texts stand in `texts` */
	char texts[CONFIG_HEALTH_PATH_MAX + CONFIG_HEALTH_HOST_MAX];
	struct io_timer timer;         /* the next probe; not armed: there are none */
	struct probe *probe;           /* under way; NULL: none */
	uint32_t passes, fails;        /* in a row */
};

/*
 * From now on so; again with other settings, or with the same, which changes nothing. An endpoint without checks is in
 * service.
 */
void prober_begin(struct endpoint *ep, const struct config_health *health);

/* No more. Legal twice, and when it never began. */
void prober_stop(struct endpoint *ep);

#endif
