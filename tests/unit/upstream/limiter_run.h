/*
 * Traffic through a limiter to a modelled backend: clients of whom each asks again as soon as it is answered (closed
 * loop), or arrivals that do not care (open loop). Two workers share one limiter, as in the gateway; what the limit does
 * not let in waits, first come, first served.
 *
 * On a busy machine each worker's loop stands still now and then, and so does the backend. What comes for a worker
 * meanwhile it sees when it goes on, all at once, and begins nothing until then. How long that was counts as the
 * backend's time if the loop had slept, and is subtracted, too much of it, if it stood in the middle of its work
 * (io_lag_us).
 */
#ifndef WEIR_TESTS_LIMITER_RUN_H
#define WEIR_TESTS_LIMITER_RUN_H

#include "backend_model.h"
#include "upstream/limiter.h"

enum { RUN_WORKERS = 2, RUN_BUCKETS_MAX = 2000, RUN_LATENCIES_MAX = 2000 };

#define RUN_BUCKET_US 50000

/* For a random time between the two, after a random one with that mean. */
struct stalls {
	uint64_t every_us; /* 0: none */
	uint64_t least_us, most_us;
	uint64_t until_us; /* none begins after that */
};

/* Times are told from the beginning. */
struct traffic {
	unsigned clients;  /* 0: open loop */
	double rate;       /* arrivals a second, of an open loop */
	uint64_t until_us; /* they arrive until then; 0: until the end */
	unsigned seconds;
	unsigned limit_min, limit_max; /* 0: 1 */
	unsigned limit_fixed;     /* 0: it learns */
	uint64_t measure_from_us; /* latencies and limits are told of what ends from here on */
	uint64_t begin_us;        /* by the clock; the limiter has been there since 0 */
	struct stalls stalls;
};

/* What has come for a worker. */
struct run_outcome {
	struct backend_job job;
	uint64_t at_us;
	bool lost; /* broken off instead of answered */
};

struct run_outcomes {
	struct run_outcome ring[BACKEND_INSIDE_MAX];
	unsigned first, count;
};

struct run_worker {
	struct limiter_window window;
	uint64_t stall_us, awake_us; /* it stands still from then on, until then */
	uint64_t lag_us;             /* so much of that it will know of */
	struct run_outcomes inbox;
};

struct run {
	struct backend backend;
	struct limiter limiter;
	struct run_worker workers[RUN_WORKERS];
	struct run_outcomes lost; /* on their way */
	struct traffic traffic;
	uint64_t now_us, arrival_us, look_us, backend_stall_us, entered;
	unsigned in_flight, waiting;

	unsigned ended[RUN_BUCKETS_MAX];              /* in each RUN_BUCKET_US */
	unsigned latency_percents[RUN_LATENCIES_MAX]; /* how many took so many times 1/50 of the service time */
	double latency_sum_us;
	unsigned measured, limit_low, limit_high, dips;
	unsigned losses;
	uint64_t lost_us; /* the last of them */
};

/* `run` is large, and not initialised. */
void run(struct run *run, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed);

/* Requests a second that ended between two moments. */
double run_goodput(const struct run *run, double from_s, double to_s);

/* Of what was measured: inside the backend. */
double run_latency_mean_us(const struct run *run);
double run_latency_quantile_us(const struct run *run, double quantile);

#endif
