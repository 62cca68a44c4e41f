/*
 * The books of time, and what the records of the same requests say: at rest they agree, to the microsecond.
 *
 * The routes' books hold every request that had a route, and the endpoints' all that such requests have spent at endpoints, with
 * tries that came to nothing: none is told of twice, and no wait is lost between two of them.
 */
#ifndef WEIR_SIM_TIMES_H
#define WEIR_SIM_TIMES_H

#include <stdbool.h>

struct exchange_record;
struct worker;

void times_begin(void);

/* A request of that worker has ended. */
void times_note(unsigned worker_number, const struct exchange_record *record);

/* Nothing runs. `is_told`: the worker's records are told; `since_begin`: its endpoints are the ones that it began with. */
void times_check_quiet(unsigned worker_number, struct worker *worker, bool is_told, bool since_begin);

#endif
