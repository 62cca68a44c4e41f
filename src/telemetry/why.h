/*
 * Why the throughput is not higher: a judgement over one window of time. Pure: what is known stands in the evidence, what is
 * said of it in the verdicts; no sockets, no clock, no memory of its own. docs/why.md is the reader's side, with the arithmetic
 * of each verdict.
 *
 *     evidence --> rules, one file for each family (why_*.c) --> verdicts, the bottleneck first; what was ruled out, and why
 *
 * Rates are in a second, times in seconds, and `phases_s` are seconds that requests have spent in a phase in each second: by
 * Little's law that is how many requests are in it on average.
 */
#ifndef WEIR_TELEMETRY_WHY_H
#define WEIR_TELEMETRY_WHY_H

#include "base/phase.h"
#include "base/time_book.h"
#include "base/view.h"

/* X(enum suffix, the word, what its number is called, its unit) */
#define WHY_WHATS(X) \
	X(BACKEND_SATURATED, "backend_saturated", "capacity_per_s", "requests/s") \
	X(POOL_TOO_SMALL, "pool_too_small", "connections_needed", "connections") \
	X(QUEUE_TOO_SMALL, "queue_too_small", "refused_per_s", "requests/s") \
	X(DESCRIPTORS, "descriptors", "descriptors_used", "descriptors") \
	X(EPHEMERAL_PORTS, "ephemeral_ports", "ports_used", "ports") \
	X(CONNECTION_CHURN, "connection_churn", "connections_opened_per_s", "connections/s") \
	X(SLOW_ENDPOINT, "slow_endpoint", "endpoint_latency", "s") \
	X(SLOW_CONNECTS, "slow_connects", "connect_seconds", "s") \
	X(SLOW_CLIENTS, "slow_clients", "client_share", "of the time") \
	X(RATE_LIMIT, "rate_limit", "refused_per_s", "requests/s") \
	X(GATEWAY_PROCESSOR, "gateway_processor", "processors_used", "processors") \
	X(LOOP_LAG, "loop_lag", "loop_lag", "s") \
	X(ACCEPT_QUEUE, "accept_queue", "overflows_per_s", "connections/s") \
	X(LEARNED_LIMIT, "learned_limit", "limit", "requests at once") \
	X(BREAKER, "breaker", "refused_per_s", "requests/s") \
	X(MEMORY, "memory", "bytes_used", "bytes") \
	X(CLIENT_CONNECTIONS, "client_connections", "connections", "connections") \
	X(OFFERED_LOAD, "offered_load", "requests_per_s", "requests/s")

#define WHY_ENUM(suffix, word, name, unit) WHY_##suffix,
enum why_what { WHY_WHATS(WHY_ENUM) WHY_COUNT };
#undef WHY_ENUM

struct why_info {
	const char *word;
	const char *number, *unit;
};

/* CHECKs that it is one. */
const struct why_info *why_info(enum why_what what);

/* --- evidence ----------------------------------------------------------------------------------------------------- */

/* With so many requests at the endpoint when one more was sent, its answer began after so long. */
struct why_level {
	double in_flight;
	double latency_s;
	double answers;            /* that this is known of; 0: nothing is */
};

/* Levels of twice as many each: 1, 2 and 3, 4 to 7, ... */
enum { WHY_LEVELS = 14 };

struct why_endpoint {
	struct view upstream, endpoint;
	/* As configured. */
	double connections_max;
	double streams_max;        /* requests at once on one connection; 1: HTTP/1 */
	double pending_max;        /* requests of one worker that may wait */
	bool learns;               /* concurrency: auto */
	bool is_limited;           /* concurrency: a number, or learned */
	/* Of the pool. */
	double asked_per_s;        /* requests that wanted a place, whatever came of it */
	double served_per_s;       /* those that had one, and have ended */
	double served_most_per_s;  /* the most of them in any two seconds of the window */
	double queue_full_per_s, shed_per_s, timed_out_per_s;  /* those that got none */
	double leased, waiting, connecting;  /* on average */
	double owed;               /* of those leased, the ones that wait for the first byte of their answer */
	double held_long, owed_long;  /* of those leased and owed, the ones that are there, or wait so, for more than a second */
	double use_s;              /* how long a request has its place */
	double opened_per_s, open_failed_per_s;
	double port_failures_per_s;  /* of these: there was no local port */
	double connect_s;          /* what opening one took, with TLS, of those for which a request has waited; 0: none */
	double ports_used, ports_max;  /* local ports of connections to it, ended ones too; where they are few, at most so many; 0: not known */
	/* Of its answers. */
	double phases_s[PHASE_COUNT];
	double answers_per_s;      /* that were none of failure */
	double silent_per_s;       /* requests that got none before their time was up, ... */
	double broken_per_s;       /* ... whose connection was broken off, or the like, ... */
	double errors_per_s;       /* ... and that were answered 5xx */
	double latency_s;          /* from the request's last byte to the answer's first; 0: nothing was answered */
	double at_once;            /* how many were there, each itself among them, when it was sent: on average */
	struct why_level levels[WHY_LEVELS];  /* lately */
	/* What its limiter knows (upstream/limiter.h). */
	double limit;              /* requests at once */
	double knee;               /* 0: not reached */
	double base_s;             /* without a queue; 0: not known */
	double parked;             /* requests beside the limit */
	bool breaker_open;
};

struct why_rate_limit {
	struct view route, name;
	unsigned filter;           /* its place in the route */
	double passed_per_s, delayed_per_s, refused_per_s;
};

/* A route of which a breaker has refused requests: its own, or those of its upstream's endpoints. */
struct why_breaker {
	struct view route, upstream;
	struct view fallback;      /* its other upstream, whose endpoints it may have been; empty: there is none */
	double refused_per_s[BREAKER_SCOPES];
};

struct why_listener {
	struct view name;
	double connections, connections_max;
	double per_client_max;     /* 0: no limit */
	double handshakes_max;     /* of one worker */
	double accepted_per_s;     /* the next three are among them, and closed at once */
	double refused_per_s, capped_per_s;  /* by its limit, by the client's own */
	double handshakes_refused_per_s;  /* by its limit of TLS handshakes at once */
};

struct why_worker {
	double run;                /* share of a processor that it has had */
	double starved;            /* and that it was ready for, and did not get */
	double lag_s;              /* how long events have waited for its loop, on average */
	double late;               /* share of the time that some event has waited so */
	bool silent;               /* it did not answer */
};

/* Arrays are borrowed. */
struct why_evidence {
	double window_s;
	double requests_per_s;     /* that have ended */
	double failed_per_s;       /* with a cause of the gateway's */
	double failed_most_per_s;  /* of these with the most frequent cause, ... */
	const char *failed_most;   /* ... its word; NULL: none has failed */
	double in_flight;          /* on average */
	double tunnels;            /* now */
	double phases_s[PHASE_COUNT];

	const struct why_endpoint *endpoints;  /* those of one upstream stand together */
	size_t endpoint_count;
	const struct why_rate_limit *rate_limits;
	size_t rate_limit_count;
	const struct why_breaker *breakers;
	size_t breaker_count;
	const struct why_listener *listeners;
	size_t listener_count;
	const struct why_worker *workers;
	size_t worker_count;

	double breaker_refused_per_s;
	double descriptors_used, descriptors_max;
	double descriptor_failures_per_s;  /* connections and requests that were refused for want of one */
	double memory_used, memory_max;    /* 0: there is no mark */
	double memory_failures_per_s;
	double overflows_per_s;    /* connections that came to a full accept queue */
	double lag_refused_per_s;  /* connections and requests that were refused because a loop was late */
	double processors;         /* of the machine */
};

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

enum why_turn { WHY_RAISE, WHY_LOWER, WHY_LEAVE };

enum { WHY_TEXT = 400, WHY_LINE = 160, WHY_LINES = 4, WHY_KEY = 160 };

struct why_verdict {
	enum why_what what;
	double score;              /* 0 to 1: how much stands for its being the bottleneck */
	struct view upstream, endpoint, route, listener;  /* whose it is; empty: not said. The evidence's */
	double number;             /* why_info() says what it is */
	bool lost;                 /* its backend does not do what it gets */
	unsigned alike;            /* further endpoints of the upstream of which the same is true */
	char text[WHY_TEXT];
	char arithmetic[WHY_LINES][WHY_LINE];
	unsigned lines;
	char key[WHY_KEY];         /* the configuration's; empty: there is none */
	enum why_turn turn;
	double now, to;            /* of the key; 0: not said */
};

enum { WHY_VERDICTS = 16 };

struct why_verdicts {
	struct why_verdict verdicts[WHY_VERDICTS];  /* ranked; at least one */
	unsigned count;
	char ruled_out[WHY_COUNT][WHY_LINE];        /* empty: it was not */
	char summary[WHY_TEXT];
};

void why_judge(const struct why_evidence *evidence, struct why_verdicts *verdicts);

#endif
