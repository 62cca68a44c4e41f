/*
 * The configuration of a run, drawn and written as a file would be.
 */
#ifndef WEIR_SIM_CONFIG_H
#define WEIR_SIM_CONFIG_H

#include "config/config.h"

#define SERVERS_MAX 3
#define SERVER_PORT 9000  /* and the ones that follow */

/* The pool of an endpoint, as configured. */
struct sim_pool {
	unsigned connections, overflow, pending, idle_min;
	uint64_t wait_max_us;  /* nobody waits longer for a connection */
};

struct sim_setup {
	const struct config *config;
	unsigned workers;
	unsigned servers;
	struct sim_pool pools[SERVERS_MAX];  /* by server: each is one endpoint */
	uint64_t longest_us;  /* after this time without any progress everything must have ended */
	uint64_t recover_us;  /* a hung attempt to connect, and the longest back-off */
	uint64_t settle_us;   /* after this time unused upstream connections and attempts must be closed */
	uint64_t drain_us;
};

/* Draws, loads (a complaint is a violation), and fills in `plan`. */
void setup_draw(struct sim_setup *setup);

#endif
