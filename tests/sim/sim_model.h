/*
 * The requests of a run and the answers planned for them: drawn once, before anything is sent, and known to all sides.
 * The client sends what stands here, the server answers what stands here, the oracle compares both with what was seen.
 */
#ifndef WEIR_SIM_MODEL_H
#define WEIR_SIM_MODEL_H

#include "base/cause.h"
#include "sim_again.h"
#include "sim_breakers.h"
#include "sim_call.h"
#include "sim_hedge.h"
#include "sim_http.h"
#include "sim_traces.h"
#include "sim_tunnel.h"

#define REQUESTS_MAX 256
#define UPSTREAMS_MAX 2
#define UPSTREAM_MOVED 2  /* beside these: route r0 leads there in some configurations, with the settings of upstream 0 */
#define BULK_BYTES 600000  /* larger than any window */

enum sim_kind {
	KIND_PROXIED,
	KIND_UPGRADE,  /* asks for a tunnel */
	KIND_RESPOND,  /* answered by a route itself */
	KIND_REDIRECT,
	KIND_NO_ROUTE,
	KIND_WRONG_METHOD,
	KIND_MALFORMED,    /* the head is refused; nothing of it may be seen upstream */
	KIND_BAD_CONTENT,  /* the head is right, the content is not: must never look complete upstream */
};

/* How an answer is spoilt. Those from DEFECT_CLOSE on concern bytes that were right up to there. */
enum sim_defect {
	DEFECT_NONE,
	DEFECT_STATUS_LINE,
	DEFECT_FIELD,
	DEFECT_TWO_FRAMINGS,
	DEFECT_LENGTH,
	DEFECT_CODING,
	DEFECT_NOMINATION,  /* Connection names a field that must stay; in the first 103 where there is one */
	DEFECT_CHUNK,
	DEFECT_CLOSE,    /* ends in order, too early */
	DEFECT_RESET,    /* breaks off */
	DEFECT_STALL,    /* stops and says nothing more */
	DEFECT_SURPLUS,  /* bytes after the end */
	DEFECT_COUNT
};

struct sim_answer {
	unsigned status;
	unsigned minor;
	enum sim_framing framing;
	uint64_t content;
	bool has_trailers;
	bool closes;     /* says Connection: close and does so */
	bool continues;  /* sends 100 first, where it was expected */
	unsigned hints;  /* so many 103 first */
	const char *keep_alive;  /* the server's Keep-Alive field; NULL: none */
	bool early;      /* begins when `early_at` bytes of the request's content are there */
	uint64_t early_at;
	enum sim_defect defect;
	uint64_t defect_at;  /* bytes of the wire after which DEFECT_CLOSE, _RESET and _STALL come */
	uint64_t think_us, pause_us;
	size_t piece;  /* how much is sent in one go */
};

/* A request on one upstream connection, as the gateway wrote it. */
#define TRIES_MAX 4
struct sim_try {
	unsigned conn;
	unsigned port;       /* of the server */
	unsigned carried;    /* requests that the connection had carried before */
	uint64_t rested_us;  /* before the first that it carried; 0: that came as soon as it was open */
	uint64_t head_hash;  /* 0: the head was never complete */
	uint64_t heard;      /* bytes that the gateway received there since; HTTP/2: frames that were about it */
	uint64_t not_before_us;  /* its answer has asked for nothing before; 0: it has not */
	bool refused;        /* HTTP/2: the gateway was told that nobody has looked at it */
	uint64_t at_us, heard_us;
	uint64_t answered_turn; /* in which the gateway has read the first of an answer; 0: none */
	bool lost;           /* HTTP/1: its server, or the network has ended it, as far as the gateway could see */
	bool over;           /* nothing more can come back: it has ended, or the gateway has given it up */
	bool blind;          /* what comes back there cannot be followed any more */
	bool beside;         /* it was sent while another one waited */
	unsigned made;       /* of request->again: how often it had been sent again for an answer */
};

/* The second copy of a request that is hedged. */
struct sim_beside {
	bool sent;
	bool is_unsure;      /* HTTP/2: it went out when the first had ended, and may be something else */
	struct sim_answer answer;
	bool replied_whole;
	bool answers;        /* it is what the client reads */
};

struct sim_request {
	unsigned id;
	enum sim_kind kind;
	unsigned upstream;
	const char *method;
	unsigned minor;
	char target[300];     /* as the client writes it */
	char canonical[300];  /* as it must arrive */
	enum sim_framing framing;
	uint64_t content;
	bool has_trailers, expects, closes, pads_fields;
	struct sim_tunnel tunnel;  /* KIND_UPGRADE */
	struct sim_call call;      /* of KIND_PROXIED some */
	struct sim_again again;    /* of the others some, where plan.again says so */
	struct sim_traced traced;
	struct sim_beside beside;  /* of those to upstream 0 some, where plan.hedges says so */

	char *wire;  /* what the client sends; a tunnel's bytes not included */
	size_t wire_length, head_length;
	struct sim_answer answer;
	struct sim_answer whole;   /* to a try that is not answered with a failure alone */

	/* what has happened */
	bool started;  /* the client has sent a byte of it */
	uint64_t started_us;
	unsigned oldest;    /* the number of the oldest generation that was in force then */
	bool sent_complete;
	bool switched;      /* the server has sent its 101 */
	unsigned arrivals;  /* heads seen by servers */
	struct sim_try tries[TRIES_MAX + CALL_AGAIN_MAX];
	unsigned try_count;  /* connections on which the gateway has written a byte of it */
	bool reused, retried;  /* the gateway's last word: it was given a connection that had served; was sent again */
	bool fell_back;      /* to another upstream, or to the route's own answer */
	bool answer_begun;   /* the client has read the head of a final answer that was planned */
	bool arrived_complete;
	bool arrived_stale;  /* on a connection on which bytes stood that nobody had asked for, when it was sent */
	bool replied_whole;  /* the server has sent its answer up to the end */
	bool answered;       /* the client has read a final answer to its end */
	unsigned interim_seen;
	const char *failure;  /* the word of the cause that the gateway has answered with; "" */
};

/* How the gateway is configured, as far as the model needs it. */
struct sim_plan {
	bool left_when_half_closed;  /* `half_close: abort` at any time of the run */
	bool clients_h2, servers_h2;  /* what they speak in this run */
	bool tunnels;                 /* WebSockets where HTTP/2 is spoken; HTTP/1 has tunnels in every run */
	bool health;                  /* the gateway checks servers */
	bool health_http, health_tcp; /* by a request, or by connecting alone; else by gRPC, which takes HTTP/2 */
	bool wall_jumps;              /* the wall clock goes to and fro */
	bool retry_afters;            /* some of those that are answered with 503 are told when to come again */
	bool traces;                  /* requests belong to traces, and a collector gets spans */
	bool operates;                /* the operator takes endpoints out, and brings them back */
	bool subsets, zones;          /* routes ask for some of the endpoints; those of the gateway's own zone come first */
	bool reroutes;                /* routes come and go, and lead elsewhere */
	bool doors;                   /* listeners open, close and move */
	bool refuses_reloads;         /* workers refuse some of the reloads, and are told again */
	bool pipes;                   /* content may go from socket to socket through them */
	bool panics;                  /* where most endpoints are out all are used */
	bool passive;                 /* endpoints are ejected soon, and come back soon */
	bool servers_tunnel;          /* servers of HTTP/2 take extended CONNECT (RFC 8441) */
	bool calls;                   /* some requests to servers of HTTP/2 are calls of gRPC */
	bool limits;                  /* requests to upstream 0 pass rate limits, where they may wait */
	bool refuses;                 /* some requests to upstream 0 are beyond a rate limit */
	bool guards;                  /* nobody may come to routes that answer by themselves: for their address, or without a key */
	bool sheds;                   /* the gateway has marks that are passed now and then, and a cap for each client */
	struct sim_retry retry[UPSTREAMS_MAX];
	bool agains;                  /* some requests are answered with 503, and sent again for it */
	struct sim_again_plan again[UPSTREAMS_MAX];
	bool hedges;                  /* requests to upstream 0 that wait are sent to its other server as well */
	struct sim_hedge_plan hedge;
	uint64_t request_us;          /* timeouts.request; 0: none */
	unsigned upstreams;
	bool rewrites;  /* upstream 1: "/u1/..." arrives as "/in/..." */
	unsigned header_bytes, header_count, target_bytes;
	uint64_t body_bytes;   /* 0: no limit */
	bool breakers;         /* of endpoints and routes */
	enum sim_fallback fallback;  /* of requests to upstream 0 */
	bool falls_back_often;
	bool slow;             /* the network: what is written may stand for a second behind what was written before */
	uint64_t content_max;  /* what windows and latencies carry in reasonable time */
	unsigned bulks;        /* contents to come that are larger than any window */
};
extern struct sim_plan plan;

void model_begin(void);
void model_end(void);

/* Draws a request. `last`: it may be one after which the connection is of no more use. */
struct sim_request *model_request(bool last);

/* A plain GET that must be answered with 200, for asking whether the gateway is well. */
struct sim_request *model_probe(unsigned upstream);

/* By the number that travels in X-Sim; NULL: no such request. */
struct sim_request *model_find(unsigned id);

/* Some content of this run is so large that windows and latencies alone may make it late. */
bool model_is_bulky(void);

static inline uint64_t request_key(const struct sim_request *request)
{
	return (request->id * 4ULL + 1) | (request->call.is ? KEY_CALL : 0);
}

/* What its client sends of that, which differs for a call in base64. */
static inline uint64_t sent_key(const struct sim_request *request)
{
	return request_key(request) | (request->call.form == FORM_WEB_TEXT ? KEY_BASE64 : 0);
}

static inline uint64_t sent_content(const struct sim_request *request)
{
	return request->call.form == FORM_WEB_TEXT ? request->content / 3 * 4 : request->content;
}

/* The answer that the client reads. */
static inline const struct sim_answer *request_answer(const struct sim_request *request)
{
	return request->beside.answers ? &request->beside.answer : &request->answer;
}

static inline bool request_replied_whole(const struct sim_request *request)
{
	return request->beside.answers ? request->beside.replied_whole : request->replied_whole;
}

/* Of `answer`, which is one of the request's. */
static inline uint64_t answer_key(const struct sim_request *request, const struct sim_answer *answer)
{
	bool failed = request->again.made < request->again.failures;

	/* What another try was answered with is other content. */
	return ((request->id * 4ULL + 2) ^ (failed ? (request->again.made + 1ULL) << 20 : 0) ^
		       (answer == &request->beside.answer ? 1ULL << 30 : 0)) |
	       (request->call.is && !request->call.plain ? KEY_CALL : 0);
}

static inline uint64_t tunnel_key(const struct sim_request *request)
{
	return request->id * 4ULL + 3;
}

static inline uint64_t tunnel_key_down(const struct sim_request *request)
{
	return request->id * 4ULL;
}

/* Asks for a tunnel by extended CONNECT; every answer of 2xx opens one. */
static inline bool asks_connect(const struct sim_request *request)
{
	return request->kind == KIND_UPGRADE && plan.clients_h2;
}

/* The last one on that connection. */
static inline struct sim_try *request_try_on(struct sim_request *request, unsigned conn)
{
	unsigned i = request->try_count - 1;

	while (i > 0 && request->tries[i].conn != conn)
		i--;
	return &request->tries[i];
}

/* For looking at all requests in turn, from 0. NULL: no more. */
struct sim_request *model_at(unsigned i);

/* True when the answer has content on the wire. */
bool answer_has_content(const struct sim_request *request);

/* What X-Sim says in it. */
struct answer_name {
	char text[16];
};
struct answer_name answer_name(const struct sim_request *request, const struct sim_answer *answer);

/*
 * The bytes of the answer, which is one of the request's, with 103s but without 100; sim_free() them. *end is where the answer
 * ends and DEFECT_SURPLUS begins.
 */
char *answer_render(const struct sim_request *request, const struct sim_answer *answer, size_t *length, size_t *end);

#endif
