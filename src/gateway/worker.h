/*
 * A worker: everything that serves requests on one loop. One thread drives it; the simulator drives several in one.
 *
 * A worker owns its listeners' connections, its exchanges and its pools. What it shares with others is in generation.h: the
 * configuration, the budgets of the pools, and per-listener connection counts.
 */
#ifndef WEIR_GATEWAY_WORKER_H
#define WEIR_GATEWAY_WORKER_H

#include "base/time_book.h"
#include "gateway/generation.h"
#include "gateway/record.h"
#include "gateway/shedding.h"
#include "http/grpc.h"
#include "io/io.h"
#include "tracing/exporter.h"

struct upstreams;
struct worker;

/* Where a worker tells what happened. Called on the worker's thread, must not block. */
struct worker_observer {
	void *context;
	/*
	 * An exchange has ended (the one ending), and its configuration has an access log. `record` and its views die with the
	 * call. NULL: nobody wants to know.
	 */
	void (*on_finished)(void *context, const struct exchange_record *record);
	/* Something the operator should read; `level` is enum config_log_level. One line, no newline. */
	void (*on_event)(void *context, int level, const char *text);
	/*
	 * A reload has ended, once for each that has begun; inside worker_drain and worker_stop, too. False: out of memory, and
	 * nothing has changed.
	 */
	void (*on_reloaded)(void *context, bool taken);
	/* Draining has ended: no connection is left. Told once. */
	void (*on_drained)(void *context);
};

/* Why a connection was closed that had to begin with a PROXY header. */
enum proxy_refusal {
	PROXY_UNTRUSTED,                       /* it came from somebody else than a trusted proxy */
	PROXY_MALFORMED,                       /* it does not begin with a header, or with another version's */
	PROXY_LATE,                            /* the header was not complete in time */
	PROXY_REFUSALS,
};

/* Counters of one worker. Written by its thread only; others may read single values (aligned 64-bit loads). */
struct worker_stats {
	uint64_t responses_by_class[6];        /* [1]..[5]: 1xx..5xx final statuses sent; [0] none was sent */
	uint64_t exchanges_started, exchanges_finished;
	uint64_t bytes_in, bytes_out;
	uint64_t exchanges_by_cause[CAUSE_COUNT];
	uint64_t connections_accepted, connections_open;
	uint64_t connections_refused;          /* over the listener's limit */
	uint64_t connections_capped;           /* over the client's own */
	uint64_t accept_paused;                /* descriptors were exhausted, or accepting failed */
	uint64_t connections_shed;             /* closed unserved because of that, or with no memory for one more */
	uint64_t accept_overflows;             /* that were thrown away as too many waited to be accepted */
	uint64_t tls_handshakes;               /* that were completed */
	uint64_t tls_handshakes_resumed;       /* of them, those that went on with a session of before */
	uint64_t tls_handshakes_failed;        /* or were not over in time */
	uint64_t tls_handshakes_refused;       /* over the listener's limit: the connection was closed */
	uint64_t proxy_headers_refused[PROXY_REFUSALS];
	uint64_t exchange_double_finish;       /* a bug when not 0 */
	uint64_t exchange_stale_resume;        /* a late answer to a finished request: counted, nothing done */
	uint64_t fallbacks;                    /* requests that their route's fallback has answered, or tried to */
	uint64_t tunnels_open;
	uint64_t log_skipped;                  /* requests of which there is no line: the sample, or their route, says so */
	uint64_t grpc_responses[GRPC_STATUS_COUNT + 1];  /* calls of gRPC that ended, by what the client was told */
	struct shed_stats shed;
	uint64_t grpc_retries;                 /* times that one was sent again for its status */
	struct io_loop_stats loop;             /* as of when it was asked (control/snapshot.c), like the next one */
	uint64_t cpu_us;                       /* processor time of its thread */
	struct trace_stats trace;
	uint64_t retried[2];                   /* requests that were sent again and have ended: [1] well, [0] with a failure or 5xx */
};

/*
 * Listens on every listener of the generation, which must be the first that its `shared` made. NULL with error_text set when
 * an address cannot be bound or memory is out. `observer` is copied. `index` is 0 for the first worker.
 */
struct worker *worker_create(struct io *io, struct shared *shared, struct generation *generation, unsigned index,
	const struct worker_observer *observer, char error_text[256]);

/*
 * Has requests be served by another generation, soon; those under way end with the one that they began with (reload.c). It is
 * done in slices, so that no turn of the loop becomes long; then on_reloaded is told. Takes a reference of its own. From the
 * worker's own thread, not while another one is under way. False: out of memory. A draining worker stays as it is: true, and
 * worker_is_reloading() says that nothing has begun; nothing is told then.
 */
bool worker_reload(struct worker *worker, struct generation *generation);

bool worker_is_reloading(const struct worker *worker);

/* The one in force. Borrowed. */
struct generation *worker_generation(const struct worker *worker);

/*
 * Stops accepting, lets running exchanges finish until deadline_us, then ends them (draining); then on_drained. A connection of
 * HTTP/1 that is kept without a request is closed after idle_us, 0: at once. A request may be on its way that then fails, so
 * where somebody else accepts already, some seconds let each client come once more, to be told that this connection ends.
 * From the worker's own thread.
 */
void worker_drain(struct worker *worker, uint64_t deadline_us, uint64_t idle_us);

/* Ends everything at once (within the tick and the next). Then on_drained. */
void worker_stop(struct worker *worker);

/* After on_drained. Pools and all memory are released; CHECKs that every count is back at its baseline. */
void worker_free(struct worker *worker);

const struct worker_stats *worker_stats(struct worker *worker);

/* What it has counted of the i-th route of the generation in force, and of routes of that name before. */
const struct time_book *worker_route_times(const struct worker *worker, size_t i);
const struct time_exemplars *worker_route_exemplars(const struct worker *worker, size_t i);

/* What its loop has done so far. */
const struct io_loop_stats *worker_loop_stats(const struct worker *worker);

/* The address listener `i` is bound to (its port when 0 was asked for). */
void worker_listener_address(const struct worker *worker, size_t i, struct address *address);

struct listener_stats {
	uint64_t connections;       /* that it has */
	uint64_t accepted;          /* the next three are among them */
	uint64_t refused, capped;   /* over its limit, over the client's own */
	uint64_t handshakes_refused;  /* over its limit of them */
};

/* Of listener `i`, over all workers; all zero: there is none. */
struct listener_stats worker_listener_stats(const struct worker *worker, size_t i);

/* The worker's upstreams, for their books (upstream/upstream.h). */
const struct upstreams *worker_upstreams(const struct worker *worker);

/* Recounts pools and lists; NULL when all agree, else what does not. */
const char *worker_audit(const struct worker *worker);

#endif
