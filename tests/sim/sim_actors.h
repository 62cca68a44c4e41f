/*
 * Who talks to the gateway: clients on one side, servers on the other. Each follows a script that was drawn before and
 * reports to the oracle what it sees.
 */
#ifndef WEIR_SIM_ACTORS_H
#define WEIR_SIM_ACTORS_H

#include "sim_config.h"
#include "sim_io.h"
#include "sim_oracle.h"

#define CLIENT_REQUESTS_MAX 8

/* How a client leaves. The first three are what well-behaved clients do. */
enum client_leaving {
	LEAVES_WHEN_ANSWERED,
	LEAVES_HALF,         /* ends its sending direction after the last request and waits for the rest */
	LEAVES_NEVER,        /* waits until the gateway closes the idle connection */
	LEAVES_AT_SENT,      /* at a drawn byte of what it sends */
	LEAVES_AT_RECEIVED,  /* at a drawn byte of what it receives */
	STALLS_AT_SENT,      /* sends no more, stays */
	STALLS_AT_RECEIVED,  /* reads no more, stays */
};

struct client_manners {
	size_t piece, read_piece;          /* how much is sent and read in one go */
	uint64_t pause_us, read_pause_us;  /* and how long it rests then ... */
	unsigned rests;                    /* ... at most so often, so that every client comes to its end */
	bool pipelines;
	bool leaves_by_reset;
	enum client_leaving leaving;
	uint64_t leaving_at;
	uint64_t start_us;
	uint64_t think_us;     /* between an answer and the next request */
	uint64_t patience_us;  /* leaves when so much time has passed since the start; 0: never */
};

struct sim_client;

/* The manners as the run's faults have it. The totals are about how many bytes will be sent and come back. */
void manners_draw(struct client_manners *manners, uint64_t total, uint64_t answers_total);

struct sim_client *client_new(
	unsigned number, const struct client_manners *manners, struct sim_request **requests, unsigned count);
bool client_is_over(const struct sim_client *client);
void client_free(struct sim_client *client);

/* For the account of what hangs. */
void client_tell(const struct sim_client *client);

struct sim_server;

/* Listens on a port; answers what the model says. The gateway has that pool for it. */
struct sim_server *server_new(unsigned port, const struct sim_pool *pool);
/* The gateway has another pool for it from now on; what it was allowed before it may still hold. */
void server_pool_changes(struct sim_server *server, const struct sim_pool *pool);
/* Connections that the gateway has open to it. */
unsigned server_connections(const struct sim_server *server);
/* Health checks cannot have failed, for anything that it or the network did. */
bool server_cannot_fail_checks(const struct sim_server *server);
/* After every turn: well again, it is in service after so many checks. `is_out`: its checks keep it out. */
void server_check_back(struct sim_server *server, bool is_out);
/* Whatever troubles it is over. */
void server_recover(struct sim_server *server);
void server_free(struct sim_server *server);

#endif
