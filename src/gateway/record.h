/*
 * What is known of an exchange when it has ended: the access log's line, and what the counters count.
 *
 * Views are borrowed from the exchange and die with the call that hands the record over.
 */
#ifndef WEIR_GATEWAY_RECORD_H
#define WEIR_GATEWAY_RECORD_H

#include "base/cause.h"
#include "base/phase.h"
#include "base/view.h"
#include "tracing/context.h"

/* How the client's connection is protected. */
struct record_tls {
	struct view version;           /* "TLSv1.3" */
	struct view cipher;
	struct view server_name;       /* what it asked for, may be empty */
	struct view client_subject;    /* of its verified certificate */
	bool resumed;
	bool client_verified;          /* false: it showed none */
};

struct exchange_record {
	/* Texts that others have chosen. */
	struct view client;            /* client address, after trusted_proxies; without port */
	struct view method;
	struct view host;              /* as routed on, may be empty */
	struct view target;            /* canonical path and query; as received when it was refused */
	struct view request_id;
	struct view user_agent;
	struct view referer;

	/* Texts of the configuration. */
	struct view endpoint;          /* that the upstream picked for it last: address text, empty: none */
	struct view listener;
	struct view consumer;          /* whose credentials it has shown; empty: none that were asked for */
	struct view route;             /* empty: none */
	struct view upstream;          /* that was asked last; empty: none */

	const struct record_tls *tls;  /* NULL: no TLS */

	uint64_t started_wall_us;      /* Unix time of the first byte of the request head */
	struct view protocol;          /* "HTTP/1.1", "HTTP/2.0": static text; empty: none was understood */
	struct trace_id trace;         /* both halves 0: it is not traced */
	bool trace_exported;           /* its spans go to the collector: it is sampled, or has failed */

	bool reused;                   /* the upstream connection had served before */
	uint8_t retries;               /* times that it was sent again: the connection was stale, or `retry` says so */
	uint8_t grpc_status;           /* enum grpc_status that the client was told; of a call of gRPC */
	bool grpc;                     /* it is one */

	unsigned status;               /* sent to the client; 499 when it left before one was; 0: connection ended without */
	enum cause cause;              /* CAUSE_NONE when the exchange succeeded */
	const char *why;               /* more precise than the cause, or NULL; static text */
	bool upstream_status;          /* the status is the upstream's own */
	bool upgraded;                 /* it became a tunnel */

	uint64_t bytes_in;             /* request content received */
	uint64_t bytes_out;            /* response content sent */

	/* The last try's, in microseconds; UINT64_MAX: it did not come to that. */
	uint64_t queue_us;             /* wait in the pool's queue, without connecting */
	uint64_t connect_us;           /* opening a connection; 0 on a reused one */
	uint64_t first_byte_us;        /* request head sent -> first byte of the answer */
	uint64_t total_us;             /* first byte of the request -> end */
	uint64_t phase_us[PHASE_COUNT];  /* and where all of that went */
};

#endif
