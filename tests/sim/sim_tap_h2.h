/*
 * The tap (sim_tap.h) of an upstream connection that speaks HTTP/2: both directions, frame by frame, as far as the gateway has
 * written and read them.
 */
#ifndef WEIR_SIM_TAP_H2_H
#define WEIR_SIM_TAP_H2_H

#include <stdbool.h>
#include <stddef.h>

struct tap_h2;

struct tap_h2 *tap_h2_new(unsigned conn_number, unsigned port);
void tap_h2_free(struct tap_h2 *tap);
void tap_h2_sent(struct tap_h2 *tap, const char *bytes, size_t n);
void tap_h2_received(struct tap_h2 *tap, const char *bytes, size_t n);
void tap_h2_ended(struct tap_h2 *tap);
void tap_h2_over(struct tap_h2 *tap);
bool tap_h2_was_useless(const struct tap_h2 *tap);

#endif
