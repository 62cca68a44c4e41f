/*
 * Breakers, of endpoints and of routes, and fallbacks, as some runs have them.
 *
 * A breaker that is half open has no more trials under way than it may, and none when nothing runs: a trial that is lost
 * would keep it shut for ever. When the faults are over breakers close again: at the price of one request each that finds
 * the last trial taken.
 *
 * A fallback is the last resort: its answer is the request's, nothing of another has gone to the client before it, and nothing is
 * sent to the other upstream that may not be sent twice.
 */
#ifndef WEIR_SIM_BREAKERS_H
#define WEIR_SIM_BREAKERS_H

#include "sim_config.h"

struct generation;
struct sim_reader;
struct sim_request;
struct sim_text;
struct worker;

enum sim_fallback { FALLBACK_NONE, FALLBACK_ANSWER, FALLBACK_UPSTREAM };

/* Whether the run has them. After its faults. */
void breakers_draw_plan(uint64_t seed);

/* What stands in the configuration. Some have none after a reload. `longest_ms`: no call lasts longer; 0: any may. */
void breakers_begin(void);
void breaker_write(struct sim_text *text, const char *indent, unsigned longest_ms);
void fallback_write(struct sim_text *text);

/* So long after everything has become well they are tried. */
uint64_t breakers_recover_us(void);

/* After every turn; and when nothing runs. */
void breakers_check(struct worker *worker, const struct generation *generation, uint64_t exchanges);

/* After requests enough that were served: none is open. */
void breakers_check_closed(struct worker *worker, const struct generation *generation);

/* An answer that was not planned: it is the route's fallback. */
bool fallback_answers(struct sim_request *request, const struct sim_reader *reader);

/* The request goes to that port now. NULL: as it may. Else what is wrong. */
const char *fallback_sends(struct sim_request *request, unsigned port, bool is_safe);

/* Of all runs. */
void breakers_tell_tally(void);
bool breakers_tally_is_full(void);

#endif
