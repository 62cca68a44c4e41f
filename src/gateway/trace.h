/*
 * A request's place in a trace: which trace it is, who has asked, and each time that it was sent.
 *
 *     exchange (server span) --> try --> try --> ...     (client spans: the first, retries, fallbacks; a hedge beside one)
 *
 * Kept for every request while `tracing` is on, since only its end tells whether it has failed; so what is kept is numbers, and
 * whatever is known elsewhere at the end is looked up then. Private to the room.
 */
#ifndef WEIR_GATEWAY_TRACE_H
#define WEIR_GATEWAY_TRACE_H

#include "base/cause.h"
#include "tracing/context.h"

struct exchange;
struct h1_writer;

/* Why the request was sent. */
enum trace_try_kind { TRY_FIRST, TRY_REPLAY, TRY_RETRY, TRY_HEDGE, TRY_FALLBACK };

struct trace_try {
	struct trace_try *next;        /* in the order of their beginning */
	uint64_t span_id;
	uint64_t asked_us;             /* for a connection */
	uint64_t ended_us;             /* 0: it goes on */
	uint64_t held_us, sent_us;     /* the connection was there; the head went out; 0: not. Set when it has ended, as are ... */
	uint64_t first_byte_us;        /* ... this, UINT64_MAX: nothing came ... */
	uint64_t connect_us;           /* ... and how much of the wait was connecting */
	struct view upstream, endpoint;  /* empty: none was picked */
	uint16_t status;               /* of the answer; 0: none */
	uint8_t cause;                 /* enum cause */
	uint8_t kind;                  /* enum trace_try_kind */
	bool is_noted;                 /* those are */
	bool is_void;                  /* a hedge that was never sent */
};

struct exchange_trace {
	struct trace_id id;
	uint64_t span_id;
	uint64_t parent_id;            /* 0: it begins here */
	uint8_t flags;                 /* as they go on */
	bool exported;                 /* trace_end() has said so */
	struct view state;             /* tracestate as it goes on; empty: none */
	struct trace_try *current;     /* of the exchange's own lease; NULL: not sent anywhere yet */
	struct trace_try *beside;      /* of its hedge's */
	struct trace_try *first_try, *last_try;
	struct trace_try first;        /* the memory of the first */
};

/* The request is there, and `tracing` is on: takes its context out of the message. Without memory it is not traced. */
void trace_begin(struct exchange *ex);

/* A connection is asked for, for the exchange's own lease; or for its hedge. What went on before has ended. */
void trace_try(struct exchange *ex, enum trace_try_kind kind);
void trace_hedge(struct exchange *ex);

/* The exchange's own try is over: with the answer that was told of, or for `cause`; CAUSE_NONE: nothing new is known. */
void trace_try_over(struct exchange *ex, enum cause cause);

/* It has its answer whole. What the lease knows of it is looked at when it is needed. */
void trace_try_answered(struct exchange *ex);

/* An answer has come, or the try has failed. */
void trace_reported(struct exchange *ex, enum cause cause, unsigned status);

/* The two have changed places; the hedge's is given up. */
void trace_hedge_swap(struct exchange *ex);
void trace_hedge_over(struct exchange *ex);

/* The exchange has ended (trace_spans.c). True: its spans were told of. Before the lease is dropped. */
bool trace_end(struct exchange *ex, enum cause cause, const char *why);

/* traceparent and tracestate for the try that is about to be sent. */
void trace_put(struct h1_writer *w, const struct exchange *ex);

#endif
