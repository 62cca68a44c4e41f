/*
 * The last minute: what the workers' counters said, second by second, so that rates, means and shares can be told of any span of it.
 * The one source of `weir why`, of the live page and of `weir top`.
 *
 *     survey, each second --> sample --> ring of WINDOW_SAMPLES
 *                                          |
 *         window_back(10 s) ... newest ----'   two samples: what the newer one's counters have more has come in between
 *
 * A sample keeps only what is asked for here, so the ring stays small: some 300 bytes for an endpoint and a second. With so many
 * endpoints and routes that it would take more than WINDOW_BYTES_MAX it has fewer samples, WINDOW_SAMPLES_LEAST at least.
 *
 * All samples are of the newest generation: when another one comes, what is known is moved over by name. What is new was zero before.
 * Everything is on control's loop.
 */
#ifndef WEIR_CONTROL_WINDOW_H
#define WEIR_CONTROL_WINDOW_H

#include "control/process_stats.h"
#include "control/survey.h"
#include "limits/rule.h"

enum {
	WINDOW_SAMPLES = 61,          /* a minute lies between the first and the last */
	WINDOW_SAMPLES_LEAST = 16,
	WINDOW_BYTES_MAX = 16 * 1024 * 1024,
};
#define WINDOW_STEP_US (1 * US_PER_S)

/* Counters, but for the last group. */
struct window_endpoint {
	uint64_t asked;               /* for a place, less those who gave up by themselves */
	uint64_t delivered, queue_full, shed, timed_out;
	uint64_t opened, sessions_opened, open_failed, files_exhausted, ports_exhausted;
	uint64_t used, used_us;       /* places that came back, and how long they were held */
	uint64_t tries, phase_us[PHASE_COUNT];
	uint64_t connects;            /* tries that have waited for a connect */
	uint64_t answers, at_once, latency_us;  /* sums of the load curve */
	uint64_t early, silent, broken, errors; /* as upstream_endpoint_stats */
	uint64_t limit, knee, base_us, parked;  /* now, as upstream_concurrency_stats */
	uint32_t leased, waiting, connecting;   /* now */
	uint32_t owed, owed_long, held_long;    /* now, as upstream_endpoint_stats */
	bool breaker_open;            /* now */
};

struct window_route {
	uint64_t count;
	uint64_t refused[BREAKER_SCOPES];
	uint64_t phase_us[PHASE_COUNT];
	uint64_t whole[TIME_BUCKETS];
};

struct window_worker {
	uint64_t run_us;              /* on a processor; counter */
	uint64_t ready_us;            /* ready for one, and without; counter */
	uint64_t requests;            /* that have ended; counter */
	uint64_t connections;         /* now */
	uint64_t looks, lag_us;       /* at how long events wait for its loop, and the sum of that; counters */
	uint64_t late_us;             /* for which its loop was late; counter */
	bool heard;
	bool accounted;               /* run_us and ready_us are known */
};

/* How long an endpoint took to answer with so many at once, lately. */
struct window_level {
	float in_flight, latency_us;
	float answers;                /* it is known from; at most some hundred count */
	uint32_t heard_s;             /* when, on the loop's clock */
};

/* Arrays in the configuration's order. */
struct window_sample {
	uint64_t at_us;               /* on control's loop's clock */
	struct generation *generation;  /* one reference */
	struct worker_stats worker;   /* of all of them */
	uint64_t wall_us;             /* Unix time */
	struct process_stats process; /* cpu_us is a counter; now */
	size_t worker_count, endpoint_count, route_count, limit_count, listener_count;
	struct window_worker *workers;
	struct window_endpoint *endpoints;
	struct window_route *routes;
	uint64_t (*limits)[LIMIT_VERDICTS];  /* by the filter's index; counters */
	struct listener_stats *listeners;
};

struct window {
	struct survey *survey;
	struct io_timer timer;
	struct survey_request request;
	struct snapshot *sum;
	struct window_sample *samples[WINDOW_SAMPLES];  /* NULL: none yet */
	unsigned newest;              /* where the newest stands */
	unsigned count, count_max;
	struct generation *generation;  /* of the samples, and of: one reference; NULL: none yet */
	struct load_curve *curves;    /* by endpoint: at the newest sample */
	struct window_level (*levels)[LOAD_LEVELS];
};

/* On the loop of `survey`, which is borrowed. False when memory is out; to be released all the same. */
bool window_init(struct window *window, struct survey *survey, const struct config *config);

/* Takes the first sample, and then one each second. On the loop's thread, or before it runs. */
void window_begin(struct window *window);

/* Takes no more. */
void window_close(struct window *window);

void window_release(struct window *window);

/* The newest, or so many before it; NULL: there is none. */
const struct window_sample *window_sample(const struct window *window, unsigned back);

/*
 * How many samples before the newest one lies that is about so long ago: the nearest one, and at least 1. 0: there is but one sample,
 * or none.
 */
unsigned window_back(const struct window *window, uint64_t span_us);

#endif
