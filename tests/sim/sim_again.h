/*
 * Requests that are sent again for what came of them, as the gateway is configured to in some runs: servers answer the first
 * tries of some with 503; in some of these also when the connection was lost before an answer, or when none has come in time. What is a
 * call has more to it (sim_call.h).
 */
#ifndef SIM_AGAIN_H
#define SIM_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

struct exchange_record;
struct sim_request;
struct sim_text;
struct sim_try;

#define AGAIN_MAX 3

/* Of an upstream, for all of a run. */
struct sim_again_plan {
	unsigned attempts; /* 0: none */
	unsigned budget;   /* per cent; 100: as much as is wanted */
	bool losses;       /* also for what was lost */
	unsigned try_ms;   /* also for what was not answered in so long a time; 0: not */
	unsigned requests, sent_again;
};

struct sim_again {
	unsigned after_s;  /* these ask for so much patience; 0: for none */
	bool after_is_date;
	bool slow;         /* its first try is answered later than a try may take */
	unsigned failures; /* tries that are answered with 503; the answer to those behind may be one, too */

	/* what has happened */
	unsigned made;     /* tries that were made for that */
	unsigned told;     /* such answers that servers have begun */
	char retry_after[32]; /* what stands in the one that is being given; "": nothing */
};

void again_plan_draw(struct sim_again_plan *plan);
void again_plan_write(struct sim_text *text, const struct sim_again_plan *plan);

/* The answer that was drawn is that of a later try. */
void again_draw(struct sim_request *request);

/* Its client begins to send it. */
void again_begin(const struct sim_request *request);

/* The answer to that try begins. */
void again_tell(struct sim_request *request, struct sim_try *tried);

/* The gateway has heard of a failure that it may send the request again for. */
bool again_has_failed(const struct sim_request *request);
/* It may for what came of the try that was made last: that was lost, or has given no answer in time. */
bool again_was_in_vain(const struct sim_request *request);

/* It does, to that port. NULL: as it may. Else what is wrong. */
const char *again_sends(struct sim_request *request, unsigned port, bool is_idempotent);

/* The budget has one try more. */
bool again_may_spend(const struct sim_request *request);
/* It has one less. NULL: as it may. */
const char *again_spends(const struct sim_request *request);

/* It was passed on in a run in which nothing stands in the way of another try, which was not made. */
bool again_was_due(const struct sim_request *request, bool is_idempotent);

/* It has ended with that failure at its first try, and nothing stood in the way of another one. */
void again_check_record(const struct sim_request *request, const struct exchange_record *record, bool is_idempotent);

/* Over all runs: how often a request was sent again; 0 as well when none of them had been asked to wait. */
uint64_t again_tally(void);

#endif
