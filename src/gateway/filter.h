/*
 * What a filter is: one file in src/filters/, one `struct filter_ops`, one line in the table there.
 *
 * The exchange walks the route's filters with a cursor: requests in the order of the configuration, responses in the
 * reverse order. A filter sees heads; it does not see content. It says what happens next, and that is all it may decide:
 *
 *     FILTER_CONTINUE   go on with the next filter
 *     FILTER_PAUSE      (request only) the filter has begun something asynchronous and will call exchange_resume() with the
 *                       reference it took by exchange_pause_ref(); the exchange's deadline goes on running
 *     FILTER_ANSWER     the exchange ends with call->cause, which the filter has set
 *
 * Beside a head there are the trailers behind it, and before the final one those of 1xx. In these a filter only drops
 * fields (on_request_aside, on_response_aside): what it has taken out of the head, or decided there, is not to come
 * this way.
 *
 * State: `state_bytes` in the exchange's arena, zeroed, in existence until the exchange ends; on_finish releases what it
 * holds elsewhere and is called exactly once for each filter whose on_request was called.
 */
#ifndef WEIR_GATEWAY_FILTER_H
#define WEIR_GATEWAY_FILTER_H

#include "base/cause.h"
#include "config/model.h"
#include "gateway/allowance.h"
#include "http/message.h"
#include "http/target.h"

struct exchange;
struct io;
struct limit;
struct worker;

enum filter_verdict { FILTER_CONTINUE, FILTER_PAUSE, FILTER_ANSWER };

/* What a filter is given. Everything is borrowed for the call. */
struct filter_call {
	const struct config_filter *config;
	void *state;                  /* NULL when state_bytes is 0 */
	struct exchange *exchange;    /* for exchange_pause_ref */
	struct arena *arena;          /* the exchange's; what is allocated lives until its end */
	struct message *request;      /* may be edited by on_request */
	const struct target *target;  /* canonical */
	struct message *response;     /* on_response: may be edited; else NULL */
	struct message *aside;        /* on_*_aside: of which fields may be dropped; else NULL */
	struct view client;           /* the client's address, after trusted_proxies; or CLIENT_UNKNOWN */
	struct view consumer;         /* whose credentials a filter before this one has found to be right; empty: none has */
	struct io *io;                /* the worker's loop: its time, its timers */
	struct limit *const *limits;  /* the configuration's, by the index of a rate_limit */
	enum cause cause;             /* for FILTER_ANSWER */
	const char *why;              /* a static sentence with it, or NULL */
};

/* The client's address, where a trusted proxy names it by something that is no address. */
#define CLIENT_UNKNOWN VIEW("unknown")

#define FILTER_TOLD_BYTES 256

struct filter_ops {
	const char *name;
	/*
	 * Says in a few words what it does to a request of that client (no address: to anybody's), and for which cause it would certainly be
	 * refused; CAUSE_NONE: that is not known before.
	 */
	enum cause (*explain)(const struct config_filter *config, struct view client, char told[FILTER_TOLD_BYTES]);
	size_t state_bytes;
	enum filter_verdict (*on_request)(struct filter_call *call);   /* may be NULL */
	enum filter_verdict (*on_response)(struct filter_call *call);  /* may be NULL */
	void (*on_request_aside)(struct filter_call *call);            /* trailers; may be NULL */
	void (*on_response_aside)(struct filter_call *call);           /* a head of 1xx but 101, or trailers; may be NULL */
	void (*on_finish)(struct filter_call *call);                   /* may be NULL */
};

/* Names a paused exchange beyond its life: a late resume of one that has ended is recognised. */
struct exchange_ref {
	struct worker *worker;
	uint32_t slot;
	uint32_t generation;
};

/* To be called inside on_request by a filter that is going to return FILTER_PAUSE. slot 0: out of memory, do not pause. */
struct exchange_ref exchange_pause_ref(struct exchange *exchange);

/* Whose credentials the request has shown: the log and the filters behind are told. Lives as long as the configuration. */
void exchange_consumer(struct exchange *exchange, const struct config_consumer *consumer);

/* When the request has to be over, if nothing else ends it before (its upstream's timeouts.request). UINT64_MAX: never. */
uint64_t exchange_must_end_us(const struct exchange *exchange);

/*
 * Goes on with the exchange behind the filter that paused it, on the worker's own thread; CONTINUE or ANSWER (with cause).
 * False, counted and nothing done when that exchange has ended or was resumed already.
 */
bool exchange_resume(struct exchange_ref ref, enum filter_verdict verdict, enum cause cause, const char *why);

#endif
