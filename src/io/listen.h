/*
 * Opening a listening socket, TCP or unix. Apart from the loop: nothing here waits for events.
 */
#ifndef WEIR_IO_LISTEN_H
#define WEIR_IO_LISTEN_H

#include "io/io.h"

/* A non-blocking descriptor that is bound, and listens only if it was taken over; or a negative errno value (see io_bind). */
int listen_bind(const struct address *address, const struct io_bind_options *options);

/* See io_bound_file and io_listen_check. */
struct io_file listen_file(int fd);
int listen_check(int fd, const struct io_file *bound);

/* Removes the file of a unix socket at which nobody listens any more. Others are left alone. */
void listen_tidy(const struct address *address);

/* What every TCP socket is given: no delay, and a bound on what the kernel holds unsent. False: errno says why. */
bool tcp_set_options(int fd);

#endif
