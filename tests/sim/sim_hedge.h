/*
 * Hedged requests, as the gateway is configured to send them in some runs: one that waits is sent to the other server of its
 * upstream as well. What both servers answer differs in every byte of content, so that an answer is known by who gave it.
 */
#ifndef WEIR_SIM_HEDGE_H
#define WEIR_SIM_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

struct sim_answer;
struct sim_reader;
struct sim_request;
struct sim_text;
struct sim_try;

/* Of upstream 0, for all of a run. */
struct sim_hedge_plan {
	unsigned after_ms; /* 0: a percentile */
	unsigned budget;   /* per cent; 100: as much as is wanted */
	unsigned requests, sent;
};

/* Whether the run has hedged requests. */
void hedge_draw_plan(uint64_t seed);
void hedge_draw(void);

/* `serving`: so many servers of the upstream are in service. */
void hedge_write(struct sim_text *text, unsigned upstream, unsigned serving);

/* What is sent again shares a budget: a request begins; it is sent again. NULL: as it may. */
void hedge_begin_request(const struct sim_request *request);
const char *hedge_spends(const struct sim_request *request);

/* A try is written that would be beside another one, of which the gateway still expects an answer. */
bool hedge_is_beside(const struct sim_request *request, const struct sim_try *made);
/*
 * It may be: with HTTP/2 the first may have ended when what was put beside it goes out, and where the network takes nothing for
 * a while of two tries the second may go out before the first. Who is sent again for a lost connection goes to the same server,
 * as a rule, and asks no budget.
 */
bool hedge_is_late(const struct sim_request *request, const struct sim_try *made);
/* It is. NULL: as it may. Else what is wrong. */
const char *hedge_sends(struct sim_request *request, const struct sim_try *made, bool is_safe);

/* What the server answers to it; it has sent that up to the end. */
struct sim_answer *hedge_answer_to(struct sim_request *request, const struct sim_try *tried);
void hedge_replied_whole(struct sim_request *request, const struct sim_try *tried);

/* The client reads the head of an answer, whose X-Sim is `id`. */
void hedge_answer_begins(struct sim_request *request, const char *id);

/* Over all runs. */
void hedge_tell_tally(void);
bool hedge_tally_is_full(void);

#endif
