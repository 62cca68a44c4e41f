/*
 * A turn of a load, as who measures leads it by standard input and output:
 *
 *   load: "ready"    every client is connected and has had an answer: what connecting costs is not in the turn
 *   bench: a line    it begins
 *   load: JSON       everything that was asked for was answered, and nothing more comes; connections are still there
 *   bench: the end   they are closed
 *
 * An answer that is not as it has to be spoils the turn, and everything: the load says which it was and ends with status 1.
 */
#ifndef WEIR_BENCH_TURN_H
#define WEIR_BENCH_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a turn lasts: so many requests, or until a time. */
struct turn {
	double seconds;
	uint64_t requests; /* 0: as many as there are in those seconds */
	uint64_t begun, asked;
};

uint64_t turn_now_ns(void);

/* Says that all is ready, and waits for the word. */
void turn_begin(struct turn *turn);

/* Whether another request belongs to it; then it is counted as asked. */
bool turn_takes(struct turn *turn, uint64_t now_ns);

/* Prints what it was, with what `more` says in addition (JSON members, or ""), and waits for the end of the input. */
void turn_end(const struct turn *turn, uint64_t answers, const char *more);

/* Says what is wrong with an answer, of which that much is shown, and ends the program. */
_Noreturn void turn_spoil(const char *what, const char *bytes, size_t n);

#endif
