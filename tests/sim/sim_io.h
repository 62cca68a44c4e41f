/*
 * The simulated side of io.h: what the driver and the actors see of it.
 */
#ifndef WEIR_SIM_IO_H
#define WEIR_SIM_IO_H

#include "io/io.h"
#include "sim_ports.h"

void sim_io_begin(void);

/* Gives the loop one tick. False: there was nothing to do. */
bool sim_io_tick(struct io *io);

/* When the loop has something to do next; UINT64_MAX: never by itself. */
uint64_t sim_io_next_us(const struct io *io);

/* An actor connects to a worker's listener. NULL: refused. The client's end is end[0]. */
struct sim_conn *sim_connect(unsigned port);

/* Sockets of the loop: that listen on that port, and that are bound to any. */
unsigned sim_listening(const struct io *io, unsigned port);
unsigned sim_bound(const struct io *io);

/* Sockets that workers hold. */
unsigned sim_sockets_open(void);

#endif
