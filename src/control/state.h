/*
 * Private to the administration: what it and a connection to it consist of. control.c has the thread, admin_conn.c moves a
 * connection through its states, admin_request.c says what is asked for, admin_answer.c sends what resource.h's handlers say.
 */
#ifndef WEIR_CONTROL_STATE_H
#define WEIR_CONTROL_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/slab.h"
#include "control/control.h"
#include "control/exposition.h"
#include "control/refusal.h"
#include "control/reloads.h"
#include "control/resource.h"
#include "control/survey.h"
#include "control/window.h"
#include "net/h1_conn.h"
#include "net/listener.h"

enum {
	CONTROL_BACKLOG = 128,
	CONTROL_UNIX_MODE = 0600,  /* whoever reaches it has control: a unix socket is its owner's alone */
	ADMIN_CONNS_SPARE = 8,   /* beyond those that are served, that are just being told so; then accepting waits */
	ADMIN_CONNS_UNIX = 8,    /* by the unix socket, which do not count, nor do their answers: nobody else can shut its owner out */
	ADMIN_TELL_BYTES = 1024,  /* of a line of the event log, cut */
	ADMIN_TARGET_BYTES = 4 * 1024,  /* canonical path and query */
};
#define ADMIN_ORDER_US (120 * US_PER_S)  /* for the main thread to do what it was asked for */

struct admin_listener {
	struct listener listener;
	struct control *control;
	struct address address;  /* as configured */
	struct list_node node;   /* in control->listeners, or ->gone */
	struct io_task task;     /* gone: frees the memory at the end of the tick */
};

struct control {
	struct control_options options;
	struct io *io;
	const struct config *config;  /* as of the last reload: one reference */
	struct list listeners, gone;  /* in force; and closed, but not freed yet */
	struct h1_scratch *scratch;
	struct slab slab;
	struct list conns;
	unsigned unix_conns;     /* of them, and of those whose memory is not free yet: by the unix socket */
	unsigned streams[2];     /* answers that go on: by addresses, and by the unix socket */
	uint64_t refused[ADMIN_REFUSALS];  /* enum admin_refusal */
	struct survey survey;
	struct window window;
	struct live *live;
	struct snapshot *sum;    /* filled for each answer that needs it */
	struct orders orders;
	struct reloads reloads;
	uint64_t start_us;       /* of the process, Unix time */
	_Atomic(bool) draining;  /* written by the main thread */
	_Atomic(bool) changing;  /* control_adopt() has told, and it is not done yet */
	pthread_mutex_t setting; /* held by this thread while it sets something that another process would be told */
	bool settings_held;      /* behind it: nothing is set; written by the main thread */
	struct io_message hand_over, stop;
	bool handed_over;        /* another process serves: no answer that goes on is begun */
	struct io_timer grace;   /* stopping: who is still connected when it fires is closed */
	bool stopping;
	pthread_t thread;
	bool started;            /* of the main thread */
};

enum admin_state {
	ADMIN_IDLE,       /* between requests */
	ADMIN_HEAD,       /* a head is incomplete */
	ADMIN_CONTENT,    /* the request's content is incomplete */
	ADMIN_ASKING,     /* the workers are being asked */
	ADMIN_ORDERED,    /* the main thread was asked for something */
	ADMIN_SENDING,    /* the client takes the answer */
	ADMIN_STREAMING,  /* the client takes an answer that goes on */
	ADMIN_LINGERING,  /* our side is closed; what still comes is thrown away so that the answer is not reset away */
	ADMIN_CLOSED,     /* memory is freed at the end of the tick */
};

struct admin_parameter {
	struct view name, value;
};

/* What of a request is kept until it is answered. */
struct admin_request {
	const struct resource *resource;
	struct view segments[RESOURCE_SEGMENTS_MAX];
	struct admin_parameter parameters[RESOURCE_PARAMETERS_MAX];
	unsigned parameter_count;
	struct buf content;
	uint8_t takes_gzip;             /* the client does */
	char known_tags[128];           /* If-None-Match; what is longer is as good as none */
	char text[ADMIN_TARGET_BYTES];  /* what the views above point into */
};

struct admin_conn {
	struct h1_conn h1;
	struct control *control;
	struct admin_listener *listener;  /* by which it came; NULL: that is gone, or it has the last descriptor: the next answer is its last */
	struct list_node node;  /* in control->conns */
	struct io_timer timer;  /* every state's deadline */
	struct io_task task;    /* the next request of a batch gets its turn; later, frees the memory */
	struct survey_request survey;
	struct order_asker asker;
	struct admin_request request;
	struct buf content;     /* of the answer; what is not yet sent of it */
	uint64_t unsent;        /* bytes, when the client took some last */
	uint64_t moved_us;      /* when that was; 0: no answer has begun */
	uint64_t came_us;
	uint64_t sent_by_us;    /* SENDING: when the client is to have taken all of it */
	bool (*on_tick)(struct admin_conn *c);  /* STREAMING */
	uint64_t mark;          /* the stream's own */
	uint8_t state;          /* enum admin_state */
	uint8_t keep_alive;     /* the connection stays after this answer */
	uint8_t minor;          /* HTTP/1.minor of the request */
	uint8_t format;         /* enum exposition_format that the client asks for */
	uint8_t is_head;        /* HEAD: an answer without its content */
	uint8_t counts_as_stream;
	uint8_t is_lost;        /* what was said of the answer: there was no memory for it, or it was too long. So is what is said yet */
	uint8_t is_let_in;      /* the answer is not one that anybody gets: an open resource's, or a refusal */
	uint8_t by_unix;        /* it came by a unix socket */
	char who[ORDER_BY_BYTES];  /* "admin (127.0.0.1:50412)", "admin (user 0, process 412)": for the event log */
};

/* --- control_listen.c ----------------------------------------------------------------------------------------------- */

/* Listens where the configuration says. False with error_text: it cannot. What it has opened is to be closed in every case. */
bool control_listen(struct control *control, char error_text[256]);

/* Other listeners; connections that came by those that are gone end. `bound`: the sockets of new ones. */
void control_listen_again(struct control *control, struct inherited *bound);

/* Nobody new is taken. */
void control_listen_no_more(struct control *control);

void control_listeners_free(struct control *control);

/* --- admin_conn.c ------------------------------------------------------------------------------------------------- */

/* A new connection waits: the result of the listener's on_accept. */
int admin_conn_accept(struct control *control, struct admin_listener *listener);

/* Legal on a closed one. */
void admin_conn_close(struct admin_conn *c);

/* Its next answer is its last. An answer that goes on ends now. */
void admin_conn_answer_last(struct admin_conn *c);

/* Its listener is gone: it ends, behind the answer that is under way if there is one. */
void admin_conn_part(struct admin_conn *c);

/* What it was let in by is no more: ends what was let in and goes on. What has been asked for is answered; the next request is looked at anew. */
void admin_conn_revoke(struct admin_conn *c);

/* The process ends: closes who is owed no answer, or one that has no end, or that nobody gives any more. */
void admin_conn_finish(struct admin_conn *c);

/* The answer has gone out: the next request may come, or the end. */
void admin_conn_rest(struct admin_conn *c);
void admin_conn_linger(struct admin_conn *c);

void admin_conn_arm(struct admin_conn *c, uint64_t span_us);

/* --- admin_answer.c ----------------------------------------------------------------------------------------------- */

/* Sends until the client takes no more, or has everything. */
void admin_conn_send(struct admin_conn *c);

/* The timer of SENDING and STREAMING. */
void admin_conn_send_late(struct admin_conn *c);

/* Memory of all answers that clients have not taken yet, of those who came as this one has: by an address, or by the unix socket. */
uint64_t admin_answer_bytes(const struct admin_conn *like);

/* Refuses what cannot be served; nothing after it is believed. */
void admin_conn_refuse(struct admin_conn *c, unsigned status, const char *error, const char *why);

/* --- admin_request.c ---------------------------------------------------------------------------------------------- */

/* A request whose head is complete. False: it was answered, and is not to be served. */
bool admin_request_begin(struct admin_conn *c, const struct message *m);

/* Its content is there: asks the workers, if they are to be asked, or calls the handler. */
void admin_request_serve(struct admin_conn *c);

/* Calls the handler, unless as much of answers waits for clients as may wait: then that is the answer. */
void admin_request_answer(struct admin_conn *c);

void admin_request_release(struct admin_request *request);

/* --- audit.c ------------------------------------------------------------------------------------------------------ */

/* Who has connected, for c->who. */
void admin_who(struct admin_conn *c, const struct address *peer);

/* A line of the event log: who is there, and what was changed. */
__attribute__((format(printf, 2, 3))) void admin_tell(const struct admin_conn *c, const char *format, ...);

/* --- guard.c ------------------------------------------------------------------------------------------------------ */

/* Whether the request for request.resource may be served; false: it was answered. */
bool admin_guard(struct admin_conn *c, const struct message *m);

/* --- control.c ---------------------------------------------------------------------------------------------------- */

/* A connection's memory is free again. */
void control_conn_gone(struct control *control);

/* Around what is set of endpoints. False: nothing may be set now, which was answered, and there is nothing to end. */
bool control_setting_begin(struct admin_conn *c);
void control_setting_end(struct admin_conn *c);

/* --- others ------------------------------------------------------------------------------------------------------- */

void answer_index(struct admin_conn *c);  /* GET /v1 (resources.c) */
void answer_health(struct admin_conn *c); /* probes.c */
void answer_ready(struct admin_conn *c);
void answer_leaks(struct admin_conn *c);  /* leaks.c */
void answer_live(struct admin_conn *c);   /* live.c */
void answer_page(struct admin_conn *c);   /* GET / and the page's files (page.c) */
void answer_metrics(struct admin_conn *c);  /* answer_metrics.c */

/* v1_why.c */
void answer_why(struct admin_conn *c);
/* The same answer, of the last `back` samples, at least 1; `upstream` empty: of all. NULL: out of memory. */
json_t *why_json(const struct window *window, unsigned back, struct view upstream);

void answer_stuck(struct admin_conn *c);
void answer_status(struct admin_conn *c);
void answer_config(struct admin_conn *c);
void answer_explain(struct admin_conn *c);

/* v1_tables.c */
void answer_routes(struct admin_conn *c);
void answer_pools(struct admin_conn *c);
void answer_limits(struct admin_conn *c);
void answer_breakers(struct admin_conn *c);

/* v1_upstreams.c */
void answer_upstreams(struct admin_conn *c);
void answer_upstream(struct admin_conn *c);
void answer_endpoint(struct admin_conn *c);
void answer_set_endpoint(struct admin_conn *c);

/* v1_process.c */
void answer_log_level(struct admin_conn *c);
void answer_set_log_level(struct admin_conn *c);
void answer_reopen(struct admin_conn *c);
void answer_reload_receipt(struct admin_conn *c);
void answer_reload(struct admin_conn *c);
void answer_drain(struct admin_conn *c);
void answer_upgrade(struct admin_conn *c);

#endif
