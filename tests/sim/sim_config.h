/*
 * The configuration of a run, drawn and written as a file would be.
 */
#ifndef WEIR_SIM_CONFIG_H
#define WEIR_SIM_CONFIG_H

#include "config/config.h"
#include "sim_shapes.h"

#define SERVERS_MAX 4
#define SERVER_PORT 9000  /* and the ones that follow */

/* The pool of an endpoint, as configured. */
struct sim_pool {
	unsigned connections, overflow, pending, idle_min;
	unsigned streams;  /* HTTP/2: on one connection; else 1 */
};

struct sim_setup {
	const struct config *config;
	unsigned workers;
	unsigned servers;
	struct sim_pool pools[SERVERS_MAX];  /* by server: each is one endpoint; all 0 when it is not in service */
	struct sim_shape shape;
	bool connections_age; /* there is a max_lifetime */
	uint64_t acquire_us;  /* the acquire_timeout of every pool */
	uint64_t longest_us;  /* after this time without any progress everything must have ended */
	uint64_t recover_us;  /* a hung attempt to connect, and the longest back-off */
	uint64_t settle_us;   /* after this time unused upstream connections and attempts must be closed */
	uint64_t drain_us;
};

/* Draws, loads (a complaint is a violation), and fills in `plan`. */
void setup_draw(struct sim_setup *setup);

/*
 * It is a backup, or has no weight, beside the one at SERVER_PORT, which is to get everything since *since_us unless its health
 * is against it. No breaker may be.
 */
bool setup_spares(unsigned port, uint64_t *since_us);

/* The upstream that the server belongs to. */
unsigned setup_upstream_of(unsigned port);

/* A connection to one of the upstream's servers was of no use (sim_ports.h). */
bool upstream_was_useless(unsigned upstream);

/* Who holds a connection for too long loses it (reclaim_after). */
bool setup_reclaims(void);
/* Whoever waits in vain may be told so before its time. */
bool setup_sheds(void);

/* Another configuration for the same routes: endpoints come and go, their pools are others. Changes setup->pools. */
const struct config *setup_redraw(struct sim_setup *setup);

#endif
