/*
 * How many requests may be in flight to one endpoint: learned from how long it takes to answer. Pure: no sockets, no
 * clock, no threads, no memory of its own; time is passed in. How it thinks stands in limiter.c.
 *
 * Two structures, because several workers feed one limiter:
 *
 *     worker 1:  struct limiter_window --.
 *     worker 2:  struct limiter_window ---+--- limiter_merge() ---> struct limiter ---> limit
 *     worker 3:  struct limiter_window --'     one at a time
 *
 * A window belongs to one worker and is only added to: a few instructions a request, nothing shared, no branch on what
 * has been learned. When limiter_window_due() says so (every LIMITER_MERGE_US at most, and again as soon as a request
 * comes or ends after that) the worker tries the lock that stands beside the limiter. If it gets it, it calls
 * limiter_merge(), which takes over the sums and empties the window; if not, it goes on and tries again with the next
 * request: nothing is lost, for the window only grows. Whoever happens to bring the last sample that was missing gets the
 * new limit, and it is for him to make it known to the others (the pools' shared budget is where they look).
 *
 * A worker without requests need not merge: what it last brought is all there is of it.
 *
 * Sources: Vegas (Brakmo, Peterson: TCP Vegas, 1995), Netflix's concurrency-limits (Gradient2Limit), Envoy's adaptive
 * concurrency filter (windows of minRTT), BBR (ProbeRTT), and Little's law.
 *
 * Units: `_us` are microseconds. What a sample is: from the request's last byte sent to the answer's first byte received,
 * less the time for which the worker's own loop was late. So the time that bodies take is not in it, while a request
 * counts as in flight for as long as it holds its place.
 */
#ifndef WEIR_UPSTREAM_LIMITER_H
#define WEIR_UPSTREAM_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

/* A worker's window is merged this often. Short beside LIMITER_WINDOW_US, so that what others still hold is little. */
#define LIMITER_MERGE_US 20000

/* Longer latencies count as this one: 67 s. It keeps the sum of squares of 4,096 samples within 64 bits. */
#define LIMITER_LATENCY_MAX_US (1ULL << 26)

/* What one worker has seen since it was last merged. Zero-initialise it. */
struct limiter_window {
	/* Not side by side: a compiler that adds to neighbours as to one vector has more work with it than without. */
	uint64_t losses;          /* among `failures` */
	uint64_t latency_sum_us;  /* of samples */
	uint64_t samples;
	uint64_t latency_squares; /* likewise */
	uint64_t failures;
	uint64_t due_us;
	/* Never reset, and not side by side either. Sums of moments mean something modulo 2^64 only. */
	uint64_t in_flight; /* now, of this worker */
	uint64_t merged;    /* limiter_window_flight() at the last merge */
	uint64_t moments;   /* when they were entered: the sum of all moments of entering less that of all of leaving */
};

/* The sum over all time so far of the requests in flight: 3 of them for 2 us are 6. For differences. */
static inline uint64_t limiter_window_flight(const struct limiter_window *w, uint64_t now_us)
{
	return w->in_flight * now_us - w->moments;
}

/* A request takes its place. */
static inline void limiter_enter(struct limiter_window *w, uint64_t now_us)
{
	w->in_flight++;
	w->moments += now_us;
}

/* It gives its place back, answered or not. Once for each limiter_enter(). */
static inline void limiter_leave(struct limiter_window *w, uint64_t now_us)
{
	w->in_flight--;
	w->moments -= now_us;
}

/*
 * It was answered, or waited for until its deadline: then latency_us is how long it had waited, which is the least that
 * can be said. At most once a request. An answer that cost the backend nothing (refused, reset) is a failure instead.
 */
static inline void limiter_sample(struct limiter_window *w, uint64_t latency_us)
{
	uint64_t us = latency_us < LIMITER_LATENCY_MAX_US ? latency_us : LIMITER_LATENCY_MAX_US;

	w->samples++;
	w->latency_sum_us += us;
	w->latency_squares += us * us;
}

static inline void limiter_failure(struct limiter_window *w)
{
	w->failures++;
}

/* The same, and the backend has broken off: what it does that has come to its end. */
static inline void limiter_loss(struct limiter_window *w)
{
	w->failures++;
	w->losses++;
}

static inline bool limiter_window_due(const struct limiter_window *w, uint64_t now_us)
{
	return now_us >= w->due_us;
}

enum limiter_phase { LIMITER_CRUISE, LIMITER_DIP };

/* Why the limit is what it is: X(enum suffix, the word in metrics, the sentence in the log). */
#define LIMITER_REASONS(X) \
	X(NONE, "none", "it has not moved so far") \
	X(CONFIGURED, "configured", "the configuration says so") \
	X(RANGE, "range_changed", "the allowed range has changed") \
	X(NO_QUEUE, "no_queue", "all places were in use, and there was no queue") \
	X(QUEUE_GREW, "queue_grew", "the queue inside the backend has grown") \
	X(MEASURED, "measured", "the latency without a queue was measured again") \
	X(QUEUE_FOUND, "queue_found", "the backend is faster with fewer requests: there was a queue") \
	X(BACKEND_SLOWER, "backend_slower", "the backend has become slower by itself: fewer requests did not make it faster") \
	X(LESS_THROUGHPUT, "less_throughput", "with fewer requests there was less throughput") \
	X(NO_ANSWERS, "no_answers", "all places were taken, and no answer began") \
	X(LOSSES, "losses", "the backend has broken off most requests")

#define LIMITER_REASON_ENUM(suffix, word, text) LIMITER_##suffix,
enum limiter_reason { LIMITER_REASONS(LIMITER_REASON_ENUM) LIMITER_REASON_COUNT };
#undef LIMITER_REASON_ENUM

const char *limiter_reason_word(enum limiter_reason reason);
const char *limiter_reason_text(enum limiter_reason reason);

/* What all workers have seen; means of a closed one. Private. */
struct limiter_sums {
	double samples, failures, losses, latency_us, squares, flight_us;
};

/* One look at the backend: what it did with so many requests in flight. Private. */
struct limiter_view {
	double latency_us; /* mean */
	double in_flight;  /* mean */
	double throughput; /* answers in a microsecond */
	double error;      /* of the latency: squared, relative */
};

/* For the log and the metrics. */
struct limiter_facts {
	unsigned limit;     /* in a dip the one that comes back after it */
	double knee;        /* in flight, from which on more only queue; 0: not reached so far */
	double latency_us;  /* mean, below the knee: without a queue; 0: nothing is known */
	uint64_t moved_us;  /* when the limit last moved (dips do not count) */
	enum limiter_reason reason; /* why */
};

struct limiter {
	/* To be read. */
	unsigned limit;

	/* To be set, after limiter_init(): so many more may be in flight than the limit says (the pool's overflow). */
	unsigned beyond;

	/* Private. */
	unsigned min, max;
	enum limiter_phase phase;
	struct limiter_sums sums;
	uint64_t settle_us;         /* nothing is counted before; 0: it is being counted */
	double settle_answers;      /* or before so many more answers */
	uint64_t answered_us;       /* the latest answer, or the latest growth for want of any */
	double pace_us;             /* mean latency when it was last known, by the square of the limit */
	uint64_t lost_us;           /* from then on most requests were broken off, for the last time; 0: never */
	unsigned ceiling;           /* of growth for a while after that: half as far down as the limit fell */
	uint64_t since_us;          /* the sums begin here */
	double base_us;             /* mean latency without a queue, as far as is known; 0: nothing is known */
	struct limiter_view last;   /* of the window before; latency 0: there is none to compare with */
	struct limiter_view cruise; /* before the dip */
	struct limiter_view best;   /* that, or the step of the dip with more throughput */
	double dip_low_us, dip_high_us, dip_sum_us; /* latencies of the windows of this step */
	unsigned dip_windows;
	unsigned doubted;     /* what the limit was before a dip lowered it much, until that has proved right; 0: no doubt */
	double doubted_throughput;
	unsigned anchor; /* the limit last confirmed, by growth or by a dip; after a dip it comes back */
	uint64_t dip_began_us, dip_next_us;
	uint64_t dipped_us; /* when the latest dip ended; 0: base_us has never been measured by one */
	double spread;      /* of latencies lately: variance / mean^2 */
	double knee;
	uint64_t moved_us;
	enum limiter_reason reason;
};

/*
 * 1 <= min <= max: the limit stays between them. It begins high, with LIMITER_START or what is allowed of it, and a dip at
 * the first window's end finds out whether that is too much: who serves few at once is in trouble for that long, while a
 * limit that began low would stand in the way of all who do not, for longer the slower they answer.
 */
#define LIMITER_START 100
void limiter_init(struct limiter *limiter, unsigned min, unsigned max, uint64_t now_us);

/* The range has changed (a reload): what was learned stays. */
void limiter_set_range(struct limiter *limiter, unsigned min, unsigned max, uint64_t now_us);

/*
 * Takes over what `window` has seen, empties it, and decides when there is enough. To be called by one at a time. Returns
 * the limit. It may be lower than what is in flight: then nothing is to be started until enough have ended.
 */
unsigned limiter_merge(struct limiter *limiter, struct limiter_window *window, uint64_t now_us);

/* So long without an answer is none of the hesitations of the backend; and whether it has been as long. */
uint64_t limiter_patience_us(const struct limiter *limiter);
bool limiter_is_mute(const struct limiter *limiter, uint64_t now_us);

/*
 * All places that there are by the limit are taken, the first of them since oldest_us, and somebody waits: to be told again
 * and again while that is so, every limiter_patience_us() or sooner. When no answer has come for that long, to a request that
 * has waited as long, the limit doubles, up to the maximum, for it is not confirmed by anything: what holds the places may be
 * long polls, or requests that hang, and neither says how many more the endpoint could serve. What answers come later teach
 * the limiter anew. A backend that has broken off what was too much has 10 s for what is left of that time. Returns the limit.
 */
unsigned limiter_stagnates(struct limiter *limiter, uint64_t oldest_us, uint64_t now_us);

/* Since when the limit is lowered in order to measure; UINT64_MAX: it is not. */
static inline uint64_t limiter_dips_since_us(const struct limiter *limiter)
{
	return limiter->phase == LIMITER_DIP ? limiter->dip_began_us : UINT64_MAX;
}

struct limiter_facts limiter_facts(const struct limiter *limiter);

#endif
