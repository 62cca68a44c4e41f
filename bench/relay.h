/*
 * What relays that look at nothing have in common: each client has a connection of its own to the service, and what comes on one is
 * sent on the other. Edge-triggered, so there is one epoll_ctl in a connection's life. How bytes get from one side to the other is
 * the program's: relay_epoll.c, relay_splice.c.
 */
#ifndef WEIR_BENCH_RELAY_H
#define WEIR_BENCH_RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct pair;

struct side {
	int fd;
	struct side *other;
	struct pair *pair;
	/* What it has not taken yet: zero at first. Of relay_epoll in memory, of relay_splice in a pipe. */
	union {
		struct {
			char *bytes; /* NULL: never needed */
			size_t from, to;
		} kept;
		struct {
			int ends[2];
			size_t bytes;
		} pipe;
	};
};

/* --- what the program has ------------------------------------------------------------------------------------------------ */

void side_begin(struct side *side);
void side_end(struct side *side);

/* Of epoll, for a pair that is not over. */
void side_event(struct side *side, unsigned events);

/* --- what it may do ------------------------------------------------------------------------------------------------------ */

/* Both sides are closed when all events of the turn have been seen. */
void relay_finish(struct side *side);
bool relay_is_over(const struct side *side);

#endif
