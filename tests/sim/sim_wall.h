/*
 * The wall clock, as the workers see it. In some runs it jumps ten times a second, up to half an hour to and fro, which the clock
 * that everything waits by does not: what goes by the date is right at once, and nothing else is to notice.
 */
#ifndef WEIR_SIM_WALL_H
#define WEIR_SIM_WALL_H

#include <stdint.h>

struct sim_reader;
struct sim_request;

#define WALL_DATE_BYTES 30

/* Since the Unix epoch, when the world's clock shows `at_us`. */
uint64_t wall_us(uint64_t at_us);

/* As HTTP writes it. Returns `date`. */
const char *wall_date(uint64_t unix_s, char date[WALL_DATE_BYTES]);

/* The gateway's own answer bears the date that it was at some time since the request began. */
void wall_check_answer(const struct sim_request *request, const struct sim_reader *reader);

#endif
