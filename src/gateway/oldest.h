/*
 * Who has been here longest: the oldest leases and exchanges of a worker, for `weir leaks`. Everything is copied, text cut
 * and made fit for any terminal, so that it can cross threads and outlive what it tells of.
 */
#ifndef WEIR_GATEWAY_OLDEST_H
#define WEIR_GATEWAY_OLDEST_H

#include "gateway/worker.h"

enum { OLDEST_MAX = 20 };

/* An exchange, a connection that is leased, or a client's. Times in microseconds; UINT64_MAX: there is none. */
struct oldest_entry {
	uint64_t age_us;           /* since the first byte of the request */
	uint64_t quiet_us;         /* since bytes moved last, or the stage changed */
	uint64_t held_us;          /* since it has its connection */
	uint32_t worker;
	char stage[16];            /* as in the diagram of exchange.c; "nobody": a leased connection that nobody holds; "exporting spans";
	                              of a client: enum client_state */
	char request_id[64];
	char method[24];
	char path[128];
	char client[48];
	char route[65], upstream[65];
	char endpoint[112];
};

struct oldest {
	uint64_t at_us;                                /* io_now_us() of the moment as of which all times are */
	uint32_t lease_count, exchange_count;
	struct oldest_entry leases[OLDEST_MAX];        /* by held_us, the oldest first */
	struct oldest_entry exchanges[OLDEST_MAX];     /* by age_us, the oldest first */
	uint32_t stuck_count, stuck_client_count;      /* of worker_stuck */
	struct oldest_entry stuck[OLDEST_MAX];         /* exchanges, by quiet_us */
	struct oldest_entry stuck_clients[OLDEST_MAX]; /* by age_us, of the last request; those first that have begun none */
};

/* No entries. */
void oldest_clear(struct oldest *oldest);

/* How long after its deadline something is told to be stuck: a loop may lag. */
#define STUCK_LATE_US (5 * US_PER_S)

/*
 * Fills `stuck` and `stuck_clients`: exchanges, and clients without one, that have no deadline, or one that has long passed. There is
 * none between ticks unless the gateway has a bug, or this worker's loop hangs. Looks at all of them.
 */
void worker_stuck(const struct worker *worker, struct oldest *oldest);

/* On the worker's thread. Looks at OLDEST_MAX leases of each endpoint and OLDEST_MAX exchanges, however many there are. */
void worker_oldest(const struct worker *worker, struct oldest *oldest);

/*
 * Adds those of `from`: what there is then is the oldest of both, as of the later of the two moments. Workers are looked at one
 * after the other; what has come to an end meanwhile is told of all the same.
 */
void oldest_merge(struct oldest *to, const struct oldest *from);

#endif
