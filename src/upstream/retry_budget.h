/*
 * How much of what an upstream is asked may be asked again: a share of the requests of the last seconds.
 *
 * When a service fails as a whole, retries multiply what it is asked for just when it can bear that least, and they do
 * so at each gateway of a chain. A share bounds it: with 20% a service that fails entirely is asked 1.2 times as much,
 * and not twice. The idea and its two numbers are those of Finagle (RetryBudget: a share, and a minimum a second so that
 * a quiet service can retry at all) and of the Google SRE book ("Handling Overload", per-client retry budgets); Envoy's
 * retry_budget and gRPC's throttling (proposal A6) are of the same kind.
 *
 * Differs from Finagle's: the minimum is not added to the share, the larger of both counts. So the share holds as soon as
 * there is traffic.
 *
 * The window is a ring of slots of one second. A retry is counted when it is decided, a request when it begins, so
 * requests leave the window before the retries that they were good for, and what is allowed errs to the safe side.
 *
 * One belongs to one upstream and one worker. Each worker's share of its own traffic makes the same share of all
 * traffic; the minimum is divided by the workers, and rounded up so that each may retry at all.
 *
 * Weak points: a burst of requests allows a burst of retries behind it, up to the share of the whole window at once; and
 * a worker with little traffic cannot use what another one has left.
 */
#ifndef WEIR_UPSTREAM_RETRY_BUDGET_H
#define WEIR_UPSTREAM_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_BUDGET_SLOTS = 10 };

#define RETRY_BUDGET_SLOT_US 1000000

/* Zeroed memory is an empty one. */
struct retry_budget {
	uint64_t until_us;             /* the end of the present slot */
	uint32_t at;                   /* which one that is */
	uint32_t requests_in[RETRY_BUDGET_SLOTS];
	uint32_t retries;              /* of all slots, and of each: */
	uint32_t retries_in[RETRY_BUDGET_SLOTS];
};

/* The present slot is that of now_us from here on. */
void retry_budget_move(struct retry_budget *budget, uint64_t now_us);

/* A request begins. */
static inline void retry_budget_note(struct retry_budget *budget, uint64_t now_us)
{
	if (now_us >= budget->until_us)
		retry_budget_move(budget, now_us);
	budget->requests_in[budget->at]++;
}

/* One more retry; false: there may be none. */
bool retry_budget_take(struct retry_budget *budget, uint64_t now_us, uint32_t percent, uint32_t min_per_s);

#endif
