/*
 * The simulated side of io.h: what the driver and the actors see of it.
 */
#ifndef WEIR_SIM_IO_H
#define WEIR_SIM_IO_H

#include "io/io.h"
#include "sim_socket.h"

/* What endpoint.c promises of attempts to connect. */
#define BACK_OFF_MIN_US 10000
#define BACK_OFF_MAX_US 300000

/* How a worker fares with connecting to a port. */
struct sim_attempts {
	unsigned failures;  /* in a row */
	uint64_t failed_us;
	bool files_short; /* the latest failed for want of a descriptor, at the first try */
	bool second;      /* it was the second one */
	uint64_t useless_us;  /* HTTP/2: when the latest connection that was of no use was found to be so; 0: none since the latest attempt */
	unsigned hasty;       /* attempts in a row that came too soon behind one */
};

/* Port numbers stand for addresses: the host part is ignored. */
struct sim_port {
	unsigned port;
	bool refuses;  /* nobody listens at the moment */
	bool hangs;    /* nobody answers at the moment, for better or worse */
	unsigned held, held_max;  /* connections and attempts of all workers, and how many there may be */
	unsigned checks;          /* of them, those that carry a health check */
	uint64_t rest_max_us;  /* what its server tells in Keep-Alive; 0: nothing */
	struct sim_attempts attempts[2];  /* by worker */
	bool reloaded;         /* several pools of a worker may connect to it, each with a back-off of its own */
	void (*on_accept)(struct sim_port *port, struct sim_end *end);
	struct sim_port *next;
};

void sim_io_begin(void);

/* Gives the loop one tick. False: there was nothing to do. */
bool sim_io_tick(struct io *io);

/* When the loop has something to do next; UINT64_MAX: never by itself. */
uint64_t sim_io_next_us(const struct io *io);

/* An actor serves a port. Memory is the caller's, until the next sim_io_begin. */
void sim_serve(struct sim_port *port);

/* An actor connects to a worker's listener. NULL: refused. The client's end is end[0]. */
struct sim_conn *sim_connect(unsigned port);

/* The port that somebody serves; NULL: nobody does. */
struct sim_port *sim_port_find(unsigned number);

/* Sockets that workers hold. */
unsigned sim_sockets_open(void);

#endif
