/*
 * What the gateway puts down of a request when it is over: the model learns of it what only the gateway knows, and the oracle
 * compares it with what servers have seen.
 */
#ifndef WEIR_SIM_RECORD_H
#define WEIR_SIM_RECORD_H

#include <stdint.h>

struct exchange_record;

/* `acquire_us`: the longest that one wait for a connection may take. */
void record_check(const struct exchange_record *record, uint64_t acquire_us);

#endif
