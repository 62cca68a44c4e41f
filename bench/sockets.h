/*
 * Sockets on this machine's loopback for the programs of this folder. None of these functions fails: a bench that cannot have
 * what it needs says so and ends, with status 1.
 */
#ifndef WEIR_BENCH_SOCKETS_H
#define WEIR_BENCH_SOCKETS_H

/* Does not block, and takes any number of connections at once. */
int sockets_listen(int port);

/* Waits until it is connected; from then on it does not block, and sends at once. */
int sockets_connect(int port);

/* A connection that has come, set up like the above. -1: there is none now. */
int sockets_accept(int listener);

/* What comes to be sent on it is sent at once. */
void sockets_set_up(int fd);

/* As many descriptors as may be had. */
void sockets_raise_limit(void);

/* Says what has failed, with the reason of errno, and ends the program. */
_Noreturn void die(const char *what);

#endif
