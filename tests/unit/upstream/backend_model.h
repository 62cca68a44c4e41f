/*
 * Backends of several shapes as a discrete-event model: no sockets, no clock; time is passed in and never goes back.
 *
 * A backend gives service. FAIR: all requests inside share it, with the speed of `weir origin` (app/capacity.h): 1 up to
 * `servers`, then servers / n, and beyond thrash_from times `servers` divided by 1 + thrash as well. FIFO: each of
 * `servers` workers has one request, the rest waits. A pause stops everything that is inside. Who comes while there are
 * reset_above inside is not taken.
 */
#ifndef WEIR_TESTS_BACKEND_MODEL_H
#define WEIR_TESTS_BACKEND_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define BACKEND_INSIDE_MAX 4096

enum backend_sharing { BACKEND_FIFO, BACKEND_FAIR };

/* How much service a request needs; the mean is service_us in each of them. */
enum backend_law {
	BACKEND_FIXED,
	BACKEND_EXPONENTIAL,
	BACKEND_TENFOLD,   /* nine of ten need t, the tenth 10 t */
	BACKEND_LOGNORMAL, /* sigma 1: the 99th percentile is ten times the median */
};

struct backend_change {
	uint64_t at_us; /* 0: none */
	unsigned servers;
	double service_us;
};

struct backend_shape {
	const char *name;
	enum backend_sharing sharing;
	enum backend_law law;
	unsigned servers;
	double service_us;
	unsigned thrash_percent, thrash_from;
	unsigned reset_above;              /* 0: it takes all */
	uint64_t pause_every_us, pause_us; /* 0: none */
	uint64_t warm_us;                  /* for so long the service falls, from four times what it is; 0: warm */
	struct backend_change changes[2];
};

/* One request inside. */
struct backend_job {
	double ends; /* when `given` gets there; of one that waits: how much it needs */
	uint64_t entered_us;
	unsigned client;
};

struct backend {
	struct backend_shape shape;
	unsigned changed; /* how many of the changes have happened */
	uint64_t draws, seed;
	uint64_t at_us, pause_at_us, resume_at_us;
	double needed_us, needs;         /* service that all requests together needed, and how many they were */
	double given;                    /* service that a request inside all the while would have got */
	unsigned served, waiting, first; /* a heap by `ends`, and a ring of those that no worker has yet */
	struct backend_job heap[BACKEND_INSIDE_MAX], ring[BACKEND_INSIDE_MAX];
};

void backend_init(struct backend *backend, const struct backend_shape *shape, uint64_t seed);

/* A uniform number in (0, 1]. */
double backend_draw(struct backend *backend);

/* False: there are too many inside. */
bool backend_enter(struct backend *backend, unsigned client, uint64_t now_us);

/* A pause that begins now. */
void backend_pause(struct backend *backend, uint64_t now_us, uint64_t until_us);

/* When the one came that has been inside for longest; DEADLINE_NEVER: nobody is. */
uint64_t backend_oldest_us(const struct backend *backend);

/* The next moment at which something happens inside. */
uint64_t backend_next_us(const struct backend *backend);

/* A request that has ended by now; false: none has. To be called until it says so. */
bool backend_take_ended(struct backend *backend, struct backend_job *job, uint64_t now_us);

#endif
