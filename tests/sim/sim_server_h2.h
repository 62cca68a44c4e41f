/*
 * The connections of a server that speaks HTTP/2 (sim_server.c has the server).
 */
#ifndef WEIR_SIM_SERVER_H2_H
#define WEIR_SIM_SERVER_H2_H

#include "base/list.h"
#include "sim_health.h"
#include "sim_mood.h"
#include "sim_socket.h"

/* What connections know of their server. */
struct serving_host {
	const struct sim_mood *mood;
	struct sim_health health;
	unsigned port;
	struct list servings;
	unsigned streams_most;     /* that the gateway may ever have had on one connection */
	uint64_t leaves_until_us;  /* whoever connects before is told at once that it goes away */
};

/* A connection that was just accepted. */
void serving_h2_new(struct serving_host *host, struct sim_end *end);

/* The mood has changed. `out`: connections end. */
void servings_h2_change(struct serving_host *host, bool out);
/* They do no more harm. */
void servings_h2_recover(struct serving_host *host);
unsigned servings_h2_count(const struct serving_host *host);
void servings_h2_free(struct serving_host *host);

#endif
