/*
 * What the JSON of several resources has in common: the sum over all workers with the configuration that it is of, and JSON that is
 * put together without looking after memory at each step.
 */
#ifndef WEIR_CONTROL_TOLD_H
#define WEIR_CONTROL_TOLD_H

#include "control/state.h"

/* Of the newest configuration that a worker has told of. Borrowed, for the call of the handler. */
struct told {
	const struct generation *generation;
	const struct config *config;
	const struct snapshot *sum;
};

/* Sums up, for a handler whose row asks the workers for their counters. False: no worker has answered yet, and that is answered. */
bool told_begin(struct told *told, struct admin_conn *c);

/* The same without the sum, which is NULL, for a handler whose row asks for no counters. */
bool told_configuration(struct told *told, struct admin_conn *c);

/* Text of any bytes: what is no UTF-8 stands as "?". */
json_t *json_text(struct view text);

/* NULL becomes JSON's null. */
json_t *json_text_or_null(struct view text);

/* Seconds, to the millisecond. */
json_t *json_seconds(uint64_t us);

/* Appends; takes `item` over. A list that lost an item would look complete: it is NULL from then on. */
json_t *list_with(json_t *list, json_t *item);

/* --- v1_upstreams.c ----------------------------------------------------------------------------------------------- */

/* "closed", "open", "half_open" */
const char *breaker_word(uint64_t state);

#endif
