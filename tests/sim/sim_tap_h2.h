/*
 * The tap (sim_tap.h) of an upstream connection that speaks HTTP/2: both directions, frame by frame, as far as the gateway has
 * written and read them.
 */
#ifndef WEIR_SIM_TAP_H2_H
#define WEIR_SIM_TAP_H2_H

#include <stddef.h>

struct tap_h2;

struct tap_h2 *tap_h2_new(unsigned conn_number);
void tap_h2_free(struct tap_h2 *tap);
void tap_h2_sent(struct tap_h2 *tap, const char *bytes, size_t n);
void tap_h2_received(struct tap_h2 *tap, const char *bytes, size_t n);

#endif
