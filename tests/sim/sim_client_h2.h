/*
 * A client that speaks HTTP/2: one connection, its requests as streams, some of them at a time.
 */
#ifndef WEIR_SIM_CLIENT_H2_H
#define WEIR_SIM_CLIENT_H2_H

#include "sim_actors.h"

struct sim_client_h2;

struct sim_client_h2 *client_h2_new(
	unsigned number, const struct client_manners *manners, struct sim_request **requests, unsigned count);
bool client_h2_is_over(const struct sim_client_h2 *client);
void client_h2_free(struct sim_client_h2 *client);
void client_h2_tell(const struct sim_client_h2 *client);

#endif
