/*
 * Whom the gateway can connect to, and how attempts may follow one another (rule 7 of sim_oracle.h).
 */
#ifndef WEIR_SIM_PORTS_H
#define WEIR_SIM_PORTS_H

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
	/* HTTP/2: when the latest connection that was of no use was found to be so; 0: none since the latest attempt. */
	uint64_t useless_us;
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
	bool useless;          /* a worker has read that a connection ended soon on which nothing was asked (HTTP/2) */
	bool aside;            /* its actor looks for itself at what is sent to it, which is no request of the model's */
	bool reloaded;         /* several pools of a worker may connect to it, each with a back-off of its own */
	void (*on_accept)(struct sim_port *port, struct sim_end *end);
	struct sim_port *next;
};

/* Nobody serves. */
void sim_ports_begin(void);

/* An actor serves a port. Memory is the caller's, until the next sim_io_begin. */
void sim_serve(struct sim_port *port);

/* The port that somebody serves; NULL: nobody does. */
struct sim_port *sim_port_find(unsigned number);

/* In all of these `now_us` is the worker's own clock, which stands still between two ticks. */

/* There is one more that is held. */
void port_check_held(const struct sim_port *port);

/* A worker is about to connect. */
void port_check_connect(struct sim_port *port, unsigned worker, uint64_t now_us);

/* It learns how that has ended: 0 or an error. */
void port_told(struct sim_port *port, unsigned worker, uint64_t now_us, int result);

/* It learns that a connection was of no use. */
void port_was_useless(struct sim_port *port, unsigned worker, uint64_t now_us);

#endif
