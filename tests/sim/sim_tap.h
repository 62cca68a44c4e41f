/*
 * What the gateway writes on one upstream connection and hears there, looked at where it is written: a request is tried
 * with its first byte that the kernel takes, whether or not a server ever sees it. The tries of a request and what they
 * came to are kept with the request (struct sim_try); the oracle judges a second one.
 */
#ifndef WEIR_SIM_TAP_H
#define WEIR_SIM_TAP_H

#include <stdbool.h>
#include <stddef.h>

struct sim_tap;

struct sim_tap *tap_new(unsigned conn_number, unsigned port);
void tap_free(struct sim_tap *tap);

/* The gateway has learned that the connection is open. */
void tap_opened(struct sim_tap *tap);

/* The gateway writes, whether or not a byte of it is taken. */
void tap_written(struct sim_tap *tap);

/* The next byte begins a request, and it is not the first. */
bool tap_rests(const struct sim_tap *tap);

/* Its server has ended it soon, and nothing was ever asked on it: it was of no use. */
bool tap_was_useless(const struct sim_tap *tap);

/* The end is read, or an error. */
void tap_ended(struct sim_tap *tap);

/* It is seen to have ended by itself. */
void tap_failed(struct sim_tap *tap);

/* Nothing more can come on it: it has failed, or the gateway closes it. */
void tap_over(struct sim_tap *tap);

void tap_sent(struct sim_tap *tap, const char *bytes, size_t n);
void tap_received(struct sim_tap *tap, const char *bytes, size_t n);

#endif
