/*
 * Private to the room: what a worker, a client's connection and an exchange consist of, and who owns what.
 *
 *     worker --owns--> listeners
 *        |  `--owns--> clients --owns--> one exchange at a time --owns--> arena, filter state, lease
 *        `--owns-----> upstreams (pools and their connections)
 *
 * Pointers upward (exchange->client, client->worker) are borrowed; the one above outlives the one below.
 */
#ifndef WEIR_GATEWAY_STATE_H
#define WEIR_GATEWAY_STATE_H

#include <stdatomic.h>

#include "base/line.h"
#include "base/slab.h"
#include "gateway/client_caps.h"
#include "gateway/filter.h"
#include "gateway/generation.h"
#include "gateway/limits.h"
#include "gateway/route_times.h"
#include "gateway/router.h"
#include "gateway/trace.h"
#include "gateway/worker.h"
#include "http/target.h"
#include "net/stream.h"
#include "net/listener.h"
#include "net/tls.h"
#include "upstream/budgets.h"
#include "upstream/upstream.h"

/* --- worker --------------------------------------------------------------------------------------------------------- */

/* What outlives generations. */
struct shared {
	const struct filter_ops *const *filters;
	struct budget_registry budgets;
	struct list breakers;              /* of routes (breakers.h) */
	struct list times;                 /* of routes (route_times.h) */
	struct limit_registry limits;
	uint64_t generations;              /* made so far */
	struct list listeners;             /* books (listener_books.h) */
	struct client_caps *caps;          /* connections by client; NULL: no listener has ever had a cap for one */
	uint64_t seed;                     /* not to be guessed from outside */
	struct pressure pressure;
	unsigned workers;                  /* for as many are contexts of TLS made */
	struct tls_tickets *_Atomic tickets;  /* NULL: TLS was never used */
	struct tls_libraries *libraries;   /* the same; for each worker */
	struct inherited *inherited;       /* for the first listeners; NULL: none */
	struct tls_set *tls;               /* of the latest generation that had TLS: one reference; NULL: none has had it */
	_Atomic(struct generation *) unused;  /* that are to be freed (generation.c) */
	void (*on_unused)(void *context);  /* NULL: nobody is told */
	void *on_unused_context;
};

/*
 * A generation as its worker has it (reload.c). Used by the worker while it is in force, by each of its listeners whose
 * settings are from it, and by each exchange that began with it.
 */
struct held_generation {
	const struct config *config;
	const struct router *router;
	struct generation *generation;     /* one reference */
	size_t uses;
	bool is_traced;                    /* config->tracing.enabled */
	bool is_logged;                    /* config->log.access */
	struct worker_book *const *books;  /* this worker's, of its routes: the generation's */
};

/* For the worker `index`. The caller's use is counted. NULL: out of memory. */
struct held_generation *generation_hold(struct generation *generation, unsigned index);
void held_generation_free(struct held_generation *held);

static inline struct held_generation *generation_enter(struct held_generation *held)
{
	held->uses++;
	return held;
}

static inline void generation_leave(struct held_generation *held)
{
	if (--held->uses == 0)
		held_generation_free(held);
}

enum worker_listener_state {
	LISTENER_MADE,      /* for a generation that is not in force yet: nobody can connect */
	LISTENER_OPEN,      /* in force */
	LISTENER_LEAVING,   /* a reload has taken it away: those whom it has brought end, each after its next answer */
	LISTENER_GONE,      /* nobody is left of them; memory is freed at the end of the tick */
};

struct worker_listener {
	struct listener listener;
	struct worker *worker;
	const struct config_listener *config;
	struct h1_limits head_limits;      /* of `config` */
	struct held_generation *held;      /* whose `config` is; NULL: MADE */
	struct listener_book *book;        /* of `held`; MADE: none yet */
	struct tls_server *tls;            /* NULL: none; of `held` */
	struct list_node node;             /* LEAVING, GONE: in worker->leaving */
	struct io_task task;               /* GONE: frees the memory */
	unsigned handshakes;               /* clients in CLIENT_HANDSHAKE */
	unsigned clients;                  /* that have come by it and have memory */
	unsigned waiting_left;             /* LEAVING, while the socket is open: so many that wait there are still taken */
	uint8_t state;                     /* enum worker_listener_state */
};

/* How long who came by a listener that is leaving, and is kept connected, may take to send another request. */
#define LEAVING_IDLE_US (5 * US_PER_S)

/* A place for a paused exchange. */
struct pause_slot {
	struct exchange *exchange;         /* NULL: free */
	uint32_t generation;
	uint32_t next_free;                /* slot + 1 of the next free place; 0: none */
};

/* Where a reload is (reload.c). */
enum worker_reload_stage { WORKER_RELOAD_NONE, WORKER_RELOAD_SETTLING, WORKER_RELOAD_MAKING, WORKER_RELOAD_FOLLOWING };

struct worker_reload {
	enum worker_reload_stage stage;
	struct generation *asked;          /* SETTLING: one reference */
	struct held_generation *next;      /* MAKING */
	struct worker_listener **listeners; /* MAKING: those of `next`, in its order; some are in force already */
	uint64_t clients_left;             /* FOLLOWING: so many are still to be looked at */
	struct io_task slice;              /* the next one; also of what follows a settling */
};

/* What a small request touches stands in the first lines of the cache, as far as it goes. */
struct worker {
	_Alignas(CACHE_LINE) struct io *io;
	struct held_generation *current;   /* new exchanges begin with it */
	struct upstreams *upstreams;
	struct h1_scratch *scratch;
	struct list exchanges;
	uint64_t date_s;
	unsigned index;
	bool draining;                     /* no new connections; every answer says Connection: close */
	bool closing_upstreams;
	bool drained;

	struct slab exchange_slab;
	char id_half[16];                  /* the first 16 characters of every request id */
	struct host_memo host_memo;
	char date_line[40];                /* WORKER_DATE_LINE_BYTES of date_s */
	struct message head;               /* of a request, as it was received; good as long as its views are: until another one is read */
	struct shedding shedding;
	_Alignas(CACHE_LINE) struct worker_stats stats;

	struct shared *shared;
	struct worker_observer observer;
	size_t kept_bytes;                 /* memory of all exchanges' `kept` */
	size_t kept_bytes_max;             /* KEPT_ALL_MAX */
	struct tls_scratch *tls_scratch;   /* NULL: TLS was never used */
	struct worker_listener **listeners;  /* those of `current`, in its order */
	size_t listener_count;
	struct list leaving;               /* listeners that `current` has no more */
	struct { uint64_t paused, shed, overflows; } of_gone;  /* what listeners had counted that are gone */

	struct slab client_slab, stream_slab;
	struct h2_scratch *h2_scratch;
	struct list clients;
	struct worker_reload reload;
	struct exporter *exporter;         /* of spans */
	unsigned turned_away;              /* clients that are just being told so (beyond_limit) */

	struct pause_slot *pauses;
	uint32_t pause_count;
	uint32_t pause_free;               /* slot + 1 of the first free place; 0: none */

	struct io_timer drain_timer;
	struct io_timer settle_timer;      /* looks whether upstreams that are gone can be let go */
	struct io_timer overdue_timer;     /* armed while lines about overdue leases are counted (oldest.c) */
	uint32_t overdue_told, overdue_untold;
	uint64_t drain_idle_us;            /* draining: for how long kept connections are waited for */
};

/* The task of worker->reload. */
void worker_on_reload_slice(struct io_task *task);

/* The worker is on its way out: a reload that has not changed anything is given up. */
void worker_reload_give_up(struct worker *w);

/* Everything is closed: what still followed does not any more. */
void worker_reload_end(struct worker *w);

/* --- a worker's listeners (listeners.c) -------------------------------------------------------------------------------- */

/*
 * Those of the generation, in its order: those in force that it has too, and new ones, bound and MADE. NULL with error_text: one cannot be
 * bound, or memory is out, and nothing has changed.
 */
struct worker_listener **listeners_make(struct worker *w, const struct generation *generation, struct inherited *bound, char error_text[256]);

/* Those that are MADE listen, directly before they are adopted. False with error_text: one cannot; they are to be discarded. */
bool listeners_begin(const struct config *config, struct worker_listener *const *made, char error_text[256]);

/* The generation is not to be, after all: closes and frees those that are MADE, and the array. */
void listeners_discard(struct worker *w, struct worker_listener **made, size_t count);

/* What listeners_make() has made for the generation is in force. True: clients are to be looked at, whose listeners have other settings or leave. */
bool listeners_adopt(struct worker *w, struct held_generation *held, struct worker_listener **made);

/* Takes some of those that still wait at listeners that leave, and closes these behind the last. False: all are closed. */
bool listeners_leave_some(struct worker *w);

/* A client that it has brought has no memory any more. */
void listener_client_gone(struct worker_listener *listener);

/* Draining: whoever waits in the backlog has connected, too. */
void listeners_accept_waiting(struct worker *w);
void listeners_close(struct worker *w);

/* With the worker. All are closed. */
void listeners_free(struct worker *w);

/* settle_timer's on_fire. */
void worker_on_settle(struct io_timer *timer);

/* overdue_timer's on_fire. */
void worker_on_overdue_told(struct io_timer *timer);

/* Makes room for as many clients as all listeners allow. */
void worker_slabs_raise(struct worker *w);

/* "Date: " IMF-fixdate CRLF */
#define WORKER_DATE_LINE_BYTES 37

/* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" for now; formatted at most once a second. */
struct view worker_date_line(struct worker *w);

/* A client's connection is gone: its place may be taken, and a drain may be over. */
void worker_client_closed(struct worker *w, struct worker_listener *listener);

/* --- a client's connection (client.c) --------------------------------------------------------------------------------- */

enum client_state {
	CLIENT_HANDSHAKE,   /* TLS is being agreed on; no request can be there */
	CLIENT_IDLE,        /* between requests; nothing of the next one is there */
	CLIENT_HEAD,        /* some bytes of a request head are there */
	CLIENT_EXCHANGE,    /* an exchange runs */
	CLIENT_SESSION,     /* it speaks HTTP/2: client_h2.c; it may have many exchanges */
	CLIENT_DISCARDING,  /* it has ended; the rest of its request content is read and thrown away */
	CLIENT_FLUSHING,    /* it has ended; its last bytes are not sent yet */
	CLIENT_LINGERING,   /* our side is closed; what still comes is thrown away so that the answer is not reset away */
	CLIENT_NAMING,      /* a PROXY header is to come, which says whom the connection is from (naming.c) */
	CLIENT_CLOSED,      /* memory is freed at the end of the tick */
};

/* What is to become of the connection when its exchange has ended. */
enum client_next { CLIENT_KEEP, CLIENT_CLOSE, CLIENT_ABORT };

/* What kind of address the peer has. */
enum peer_kind { PEER_IPV4, PEER_IPV6, PEER_LOCAL };

struct client {
	struct h1_conn h1;
	struct worker *worker;
	struct worker_listener *listener;
	/* What the state is about. */
	union {
		struct exchange *exchange;         /* EXCHANGE; else client_exchange() */
		struct client_session *session;    /* SESSION */
		uint32_t flushing;                 /* FLUSHING: bytes that were unsent when the timer was last set */
		uint32_t discarded;                /* DISCARDING */
	};
	struct client_cap *cap;            /* its place among its client's connections; NULL: those are not counted */
	struct list_node node;             /* in worker->clients */
	struct io_timer timer;
	struct io_task task;               /* goes on with a pipelined request; or frees the memory */
	union {
		uint64_t head_us;          /* when the first byte of the head came; 0: none ever did */
		uint64_t linger_until_us;  /* LINGERING: however much still comes */
	};
	uint8_t state;                     /* enum client_state */
	union {
		uint8_t next;              /* FLUSHING: enum client_next */
		uint8_t proxy_versions;    /* NAMING: enum config_proxy_protocol of the listener when it was accepted */
	};
	uint8_t says_close;                /* its last request will be followed by none */
	bool speaks_h1 : 1;                /* its first bytes were a request of HTTP/1 */
	bool trusted : 1;                  /* the peer is in trusted_proxies; of requests to come */
	bool counted : 1;                  /* among the listener's connections */
	bool beyond_limit : 1;             /* it is here only to be told so, and does not count as a connection */
	bool named : 1;                    /* the peer is the one that a PROXY header has named */
	uint8_t peer_kind;                 /* enum peer_kind */
	uint8_t peer_len;                  /* of its text, but for PEER_IPV6 */
	uint16_t peer_port;                /* 0 for PEER_LOCAL */
	/* Whom it is from, in the one form that is short: client_peer() and client_peer_bytes() make the other. */
	union {
		char peer_text[16];
		unsigned char peer_bytes[16];  /* PEER_IPV6 */
	};
};

/* What an idle connection takes of memory, of which there may be tens of thousands, is this and nothing else (docs/PERFORMANCE.md). */
_Static_assert(sizeof(struct client) <= 288, "an idle connection is to take 300 bytes at most");

/* The peer's address as text, without port: the client's own, or made in `text`. */
static inline struct view client_peer(const struct client *c, char text[ADDRESS_HOST_MAX])
{
	if (__builtin_expect(c->peer_kind == PEER_IPV6, 0))
		return view_of(text, address_bytes_format(c->peer_bytes, text));
	return view_of(c->peer_text, c->peer_len);
}

/* As address_bytes gives it. False: PEER_LOCAL, which has none. */
bool client_peer_bytes(const struct client *client, unsigned char bytes[16]);

/* The one that runs on it, not in a stream of its session; NULL: none. */
static inline struct exchange *client_exchange(const struct client *c)
{
	return c->state == CLIENT_EXCHANGE ? c->exchange : NULL;
}

/* It is to end: the worker drains, or its listener is leaving. */
static inline bool client_is_leaving(const struct client *c)
{
	return c->worker->draining || c->listener->state == LISTENER_LEAVING;
}

/* --- a client's HTTP/2 connection (client_h2.c) ----------------------------------------------------------------------- */

enum {
	STREAMS_MAX = 20000,               /* of all HTTP/2 clients of a worker; beyond it a request is refused */
};

/* Of a stream in the slab. */
size_t client_stream_bytes(void);

/* It has sent the preface of HTTP/2, which is unread: it goes on as a session. It may be closed after it. */
void client_session_begin(struct client *client);

/* Its connection has something new. It may be closed after it. */
void client_session_on_ready(struct client *client);
void client_session_on_timer(struct client *client);
/* An exchange is under way on it, which has deadlines of its own, or it is about to run. */
bool client_session_carries(const struct client *client);
/* What does not balance in its books; NULL: nothing. */
const char *client_session_audit(const struct client *client);

/* The session has come to its end: its GOAWAY is on its way, and must not be reset away (client.c: LINGERING). */
void client_session_over(struct client *client);

/* It was ended for costing too much. */
bool client_session_has_flooded(const struct client *client);

/* It is about to be closed: what its streams have put is sent, as far as the client takes it now. */
void client_session_say_last(struct client *client);

/* No new requests; closes when those that there are have ended. A second call changes nothing. */
void client_session_drain(struct client *client);

/*
 * Nothing is sent or received any more, and exchanges are told. False: a tunnel goes on, of which both ends were said
 * before the connection's: what the client has said in it is still passed on.
 */
bool client_session_lose(struct client *client);

/* The connection is being closed, or gone: no stream has an exchange any more. */
void client_session_end(struct client *client);

/* As client_exchange_began and client_exchange_ended. */
uint64_t client_stream_began(struct stream *down, struct exchange *ex);
void client_stream_ended(struct stream *down, enum client_next next);

/*
 * Whether the client has taken some of what stands in its connection since then, while content of this stream waits behind that, and for
 * nothing else.
 */
bool client_stream_goes_on(struct stream *down, uint64_t since_us);

/* As h2_session_barred_until_us: a client cannot send what is waited for while content of its other requests stands unread. */
uint64_t client_stream_barred_until_us(struct stream *down);

/* Connections beyond a limit that may exist in order to be told so; one more is closed at once. */
enum { CLIENT_SPARE = 64 };

/* Whether the address (address_bytes) is in the listener's trusted_proxies. */
bool listener_trusts(const struct config_listener *listener, const unsigned char bytes[16]);

/*
 * Counts the connection among its client's, where the listener has a cap for those. False: it is one too many, and was turned
 * away.
 */
bool client_count_peer(struct client *client);

/* The same after a reload, for one that is there already, whatever the cap says now. */
void client_recount_peer(struct client *client);

/* Decides anew whether the client is trusted: the listener's trusted_proxies may be others. */
void client_retrust(struct client *client);

/* The listener's side of TLS, of the generation that it is held by. */
void listener_secure(struct worker_listener *listener);

/* Memory for TLS, if the generation has it. False: there is none. */
bool worker_secure(struct worker *w, const struct generation *generation);
/* Who the peer is, and whether it is trusted. */
void client_identify(struct client *client, const struct address *peer);

/* It is known who the client is: the connection begins. What has come already may have had its event (conn.readable tells). */
void client_begin(struct client *client);

/* Waits for the PROXY header that the listener asks for, and closes the connection if nobody may send one (naming.c). */
void client_await_name(struct client *client);

/* NAMING: something has come; or time is up. */
void client_read_name(struct client *client);
void client_name_is_late(struct client *client);

/* Takes one waiting connection; the result of the listener's on_accept. */
int client_accept(struct worker_listener *listener);

/* An exchange begins on one of its streams: is lent a timer, and told when the first byte of its request came. */
uint64_t client_exchange_began(struct client *client, struct stream *down, struct exchange *ex);

/* It has ended; everything of its answer is in the stream. Called by exchange_finish and answer_refuse only. */
void client_exchange_ended(struct client *client, struct stream *down, enum client_next next);

/*
 * The same of one whose request was read to its end, by HTTP/1, and of whose answer nothing waits to be sent: CLIENT_KEEP, or CLIENT_CLOSE.
 */
void client_exchange_answered(struct client *client, enum client_next next);

/* Whether the rest of the request's content is little enough to be read and thrown away. */
bool client_can_discard(const struct client *client);

/* Closes it if it rests between two requests. True: it did. */
bool client_part(struct client *client);

/* Draining: closes now if nothing is under way. */
void client_drain(struct client *client);

/* Closes now, whatever is under way except an exchange. */
void client_close(struct client *client);

/* How many unread bytes a client's connection may hold: a whole head or trailer section, and at least one receive. */
size_t client_input_max(const struct client *client);

/* The limits for its request heads. */
static inline const struct h1_limits *client_limits(const struct client *c)
{
	return &c->listener->head_limits;
}

/* --- an exchange (exchange.c; its other files speak through exchange.h) ------------------------------------------------------------ */

enum exchange_state {
	EXCHANGE_NEW,
	EXCHANGE_FILTERING,
	EXCHANGE_LEASING,
	EXCHANGE_BACKING_OFF,
	EXCHANGE_EXPECTING,
	EXCHANGE_REQUESTING,
	EXCHANGE_WAITING,
	EXCHANGE_RESPONDING,
	EXCHANGE_TUNNELLING,
	EXCHANGE_FLUSHING,
	EXCHANGE_ENDED,
};

enum { EXCHANGE_ARENA_BYTES = 2016 };

enum {
	KEPT_MAX = 64 * 1024,              /* of one request's content, as long as it may have to be sent again */
	KEPT_ALL_MAX = 16 * 1024 * 1024,   /* of all requests of a worker */
};

/* What of the request can be sent a second time (replay.c). */
enum replay {
	REPLAY_HEAD,   /* nothing but the head was taken from the client: that is made again */
	REPLAY_SPENT,  /* content has passed through and is gone */
	REPLAY_MARKED, /* content was taken, nothing was sent yet: the client's position before it is known */
	REPLAY_KEPT,   /* all content that was handed over is in ex->kept */
};

/* An answer that the gateway gives itself. */
struct answer {
	unsigned status;                   /* 0: none */
	struct view content_type;
	struct view body;
	struct view location;              /* empty: no Location */
	struct message *head;              /* its fields, after the response filters; in the arena */
};

struct exchange {
	struct list_node node;             /* in worker->exchanges */
	struct worker *worker;
	struct client *client;             /* whose request it is */
	struct stream *down;               /* the request is read there, the answer written; borrowed */
	struct held_generation *held;      /* what it began with: `route` and all below it */
	struct io_timer *timer;            /* lent by the client, whose connection or stream has nothing else to wait for */
	struct io_task task;               /* goes on pumping after the other events of the loop had their turn; or frees the memory */
	struct arena arena;

	struct view forward_target;        /* target.whole, or rewritten; with forward_host set by forward_rewrite */
	struct view forward_host;          /* Host as it goes upstream */
	struct view route_rest;            /* set with `route` */
	struct view peer;                  /* the client's peer as text */
	struct view client_address;        /* after trusted_proxies; or CLIENT_UNKNOWN */
	struct view request_id;
	struct target target;
	struct answer answer;              /* of a route that responds by itself; set by who is about to end with it */
	uint64_t started_us;               /* the first byte of the head */
	uint64_t head_us;                  /* its last one */
	uint64_t moved_us;                 /* when bytes last moved, or the state changed */
	uint64_t request_deadline_us;
	uint64_t first_byte_us;            /* UINT64_MAX: none came */
	uint64_t phase_since_us;           /* nothing was charged since */
	uint64_t admitted_us;              /* by its route's breaker: breaker_call */
	const char *ended_at;              /* where exchange_finish was called */
	uint8_t trusted;                   /* the peer was in trusted_proxies when it began */

	/* From here on memory is zeroed for a new exchange, up to EXCHANGE_ZEROED_END. */
	const struct config_route *route;
	const struct config_upstream *upstream;  /* where it goes: the route's, or its fallback's; NULL: nowhere */
	const struct config_consumer *consumer;  /* whose credentials it has shown; NULL: none that were asked for */
	struct allowance *allowances;      /* what limits leave the client (allowance.h); NULL: no limits; in the arena */
	struct grpc_call *grpc;            /* NULL: it is no call of gRPC (grpc.h); in the arena */
	struct exchange_trace *trace;      /* NULL: it is not traced (trace.h); in the arena */

	void **filter_states;
	uint16_t filter_at;                /* cursor: filters whose on_request was called */
	uint32_t pause_slot;               /* slot + 1 while FILTER_PAUSE; 0 otherwise */

	uint8_t state;                     /* enum exchange_state; changed by exchange_enter and exchange_enter_at; to ENDED by end() */
	uint8_t deadline_cause;            /* enum cause when the timer fires */
	uint8_t keep_client;               /* what the answer's head promised */
	uint8_t keep_upstream;             /* what the response's head promised */
	uint8_t fallback_cause;            /* enum cause for which the route's fallback has taken over; NONE: it has not */
	bool is_special;                   /* it has, or had, what few have: filters, a call of gRPC, a route's breaker, another try */
	bool is_last_hop;                  /* Max-Forwards is spent: it is answered here, once all filters have passed */

	uint8_t phase;                     /* enum phase: what its time is spent in (times.c) */
	uint16_t spent;                    /* PHASE_BIT of those in which any was */
	bool tries_told;                   /* tries that are over were told: `told_us` is theirs */
	uint64_t phase_us[PHASE_COUNT];

	struct hedge *hedge;               /* a second try beside the lease (hedge.c); NULL: there is none; in the arena */
	uint64_t hedge_at_us;              /* when one begins; 0: not thought of yet; DEADLINE_NEVER: none will */

	uint8_t replay;                    /* enum replay */
	uint8_t kept_short;                /* something that was handed over is not kept */
	bool is_beyond_peer;               /* a head, or trailers: larger than the upstream says that it takes */
	uint8_t retries;                   /* times that it was sent again on a stale connection's account: 0 or 1 */
	uint8_t tries;                     /* times that it was sent again for what came of it (retry.c) */
	struct buf kept;                   /* content as it went out, while it may have to go out again */
	const struct message *kept_trailers;  /* behind it; NULL: none; in the arena */
	struct view websocket_accept;      /* what proves the handshake; empty: it passes through (websocket.c) */

	uint64_t retry_at_us;              /* BACKING_OFF: until then */
	uint64_t not_before_us;            /* endpoints that were tried have said so (Retry-After) */
	uint32_t blocked_bytes;            /* unsent at the last look, to see whether they move */
	uint32_t informational;            /* 1xx answers so far */
	uint32_t hints;                    /* of them those that the client was told, but 100 */
	uint32_t head_limit_bytes;         /* that it takes, if so */
	uint32_t retry_after_s;            /* said when it is refused; 0: nobody knows, then a second */
	enum cause refused_for;            /* why there was no connection for it */
	uint32_t breaker_call;             /* what its route's breaker has to be told of; 0: nothing */

	/* for the record */
	uint64_t head_sent_us;             /* the request head went out; 0: not */
	uint64_t sent_us;                  /* the whole request was handed over; 0: not */
	uint64_t bytes_in, bytes_out;
	unsigned status;
	bool upstream_status, upgraded;

	/* From here on it is not. */
	struct message request;            /* set before anything else looks at it */
	struct upstream_lease lease;       /* upstream_lease_init */
	struct h1_mark mark;               /* REPLAY_MARKED: the client's h1_conn before the content */
	uint64_t told_us[PHASE_COUNT];     /* tries_told: as much of phase_us as endpoints were told */
	char id_text[32];                  /* what request_id is, unless a trusted peer has said one */
	char first[EXCHANGE_ARENA_BYTES];  /* the arena's first block */
};

/* What is zeroed of a new exchange. */
#define EXCHANGE_ZEROED offsetof(struct exchange, route)
#define EXCHANGE_ZEROED_END offsetof(struct exchange, request)

/* A request head is complete. `head` is copied. The client is in CLIENT_EXCHANGE until client_exchange_ended(). */
void exchange_start(struct client *client, struct stream *down, const struct message *head);

/*
 * What came is not a request, or came too late: an exchange that ends at once, so that it is answered, logged and counted.
 * METHOD_OTHER: it is not known.
 */
void exchange_refuse(struct client *client, struct stream *down, enum method method, enum cause cause, const char *why);

/* The client's connection has something new. */
void exchange_on_client(struct exchange *ex);

/* The timer that it was lent has fired. */
void exchange_on_timer(struct exchange *ex);

/*
 * The one ending. Writes the answer if one is still owed, or makes the failure visible if it has begun; logs, counts, and
 * releases everything. `cause` is CAUSE_NONE for success. Nothing of the exchange may be touched after it.
 */
#define exchange_finish(ex, cause, why) exchange_finish_at(ex, cause, why, __FILE__ ":" EXCHANGE_STR(__LINE__))
#define EXCHANGE_STR(x) EXCHANGE_STR_(x)
#define EXCHANGE_STR_(x) #x
void exchange_finish_at(struct exchange *ex, enum cause cause, const char *why, const char *where);

/* A refusal before there is an exchange: no memory for one, or too many connections (answer.c). `why` may be NULL. */
void answer_refuse(struct client *client, struct stream *to, enum method method, enum cause cause, const char *why);

#endif
