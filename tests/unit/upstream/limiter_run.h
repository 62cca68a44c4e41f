/*
 * Traffic through a limiter to a modelled backend: clients of whom each asks again as soon as it is answered (closed
 * loop), or arrivals that do not care (open loop). Two workers share one limiter, as in the gateway; what the limit does
 * not let in waits, first come, first served.
 */
#ifndef WEIR_TESTS_LIMITER_RUN_H
#define WEIR_TESTS_LIMITER_RUN_H

#include "backend_model.h"
#include "upstream/limiter.h"

enum { RUN_WORKERS = 2, RUN_BUCKETS_MAX = 2000, RUN_LATENCIES_MAX = 2000 };

#define RUN_BUCKET_US 50000

struct traffic {
	unsigned clients;  /* 0: open loop */
	double rate;       /* arrivals a second, of an open loop */
	uint64_t until_us; /* they arrive until then; 0: until the end */
	unsigned seconds;
	unsigned limit_max;
	unsigned limit_fixed;     /* 0: it learns */
	uint64_t measure_from_us; /* latencies and limits are told of what ends from here on */
};

struct run {
	struct backend backend;
	struct limiter limiter;
	struct limiter_window windows[RUN_WORKERS];
	struct traffic traffic;
	uint64_t now_us, arrival_us, look_us, entered;
	unsigned in_flight, waiting;

	unsigned ended[RUN_BUCKETS_MAX];              /* in each RUN_BUCKET_US */
	unsigned latency_percents[RUN_LATENCIES_MAX]; /* how many took so many times 1/50 of the service time */
	double latency_sum_us;
	unsigned measured, limit_low, limit_high, dips;
};

/* `run` is large, and not initialised. */
void run(struct run *run, const struct backend_shape *shape, const struct traffic *traffic, uint64_t seed);

/* Requests a second that ended between two moments. */
double run_goodput(const struct run *run, double from_s, double to_s);

/* Of what was measured: inside the backend. */
double run_latency_mean_us(const struct run *run);
double run_latency_quantile_us(const struct run *run, double quantile);

#endif
