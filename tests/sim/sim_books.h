/*
 * The pools' books and the network's, compared: what the pools of all workers say of themselves, and what there is.
 */
#ifndef WEIR_SIM_BOOKS_H
#define WEIR_SIM_BOOKS_H

#include "base/time_book.h"
#include "sim_config.h"

struct io_source;
struct worker;

/* After every turn. `exchanges` is how many are live in the worker. */
void books_check(unsigned worker_number, struct worker *worker, uint64_t exchanges);

/* After every turn: no exchange lives on whose client has ended its direction, where that means that it has left. */
void books_check_left(unsigned worker_number, const struct worker *worker);

/* After every turn, HTTP/2 upstreams: no place rests for which the peer allows no stream. */
void books_check_sessions(unsigned worker_number, struct worker *worker);

/* After every turn of a run with one worker and one configuration: what is beyond the cap does not rest. */
void books_check_excess(const struct sim_setup *setup, struct worker *worker);

/* No health check of that server has failed. */
void books_check_health(struct worker *worker, unsigned port);

/* Nothing was against that server's serving, from then until now; the worker is the first one. */
bool books_serves_since(struct worker *worker, unsigned port, uint64_t since_us);
/* What health has made of that server; the worker is the first one. */
bool books_is_unhealthy(struct worker *worker, unsigned port);
/* The same, and since when. */
bool books_is_ejected(struct worker *worker, unsigned port, uint64_t *since_us);

/* The connection is that of a health check of one of the worker's endpoints. */
bool books_is_check(struct worker *worker, const struct io_source *source);

/* Nobody wants anything: nothing is leased, nobody waits, nothing is left beyond the cap. */
void books_check_quiet(unsigned worker_number, struct worker *worker);
void books_check_caps(const struct sim_setup *setup);

/* What all its endpoints' books of time hold. */
struct try_book books_tries(struct worker *worker);

/* Adds what the worker's pools have come to, at the end of a run. */
void books_tally(struct worker *worker);
void books_tell_tally(void);
/* As oracle_tally_is_full(). */
bool books_tally_is_full(const char **what);

#endif
