/*
 * Private to the administration: what it and a connection to it consist of. control.c has the thread and what is
 * answered, admin_conn.c moves a connection through its states.
 */
#ifndef WEIR_CONTROL_STATE_H
#define WEIR_CONTROL_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/slab.h"
#include "control/control.h"
#include "control/survey.h"
#include "net/h1_conn.h"
#include "net/listener.h"

enum {
	ADMIN_CONNS_MAX = 32,                 /* that are served */
	ADMIN_CONNS_SPARE = 8,                /* beyond them, that are just being told so; then accepting waits */
	ADMIN_CONTENT_MAX = 64 * 1024 * 1024  /* of an answer: some 4,700 endpoints */
};

struct control {
	struct control_options options;
	struct io *io;
	struct listener listener;
	struct h1_scratch *scratch;
	struct slab slab;
	struct list conns;
	struct survey survey;
	struct snapshot *sum;    /* filled for each answer that needs it */
	uint64_t start_us;       /* of the process, Unix time */
	_Atomic(bool) draining;  /* written by the main thread */
	struct io_message stop;
	bool stopping;
	pthread_t thread;
	bool started;            /* of the main thread */
};

enum admin_state {
	ADMIN_IDLE,       /* between requests */
	ADMIN_HEAD,       /* a head is incomplete */
	ADMIN_ASKING,     /* the workers are being asked */
	ADMIN_SENDING,    /* the client takes the answer */
	ADMIN_LINGERING,  /* our side is closed; what still comes is thrown away so that the answer is not reset away */
	ADMIN_CLOSED,     /* memory is freed at the end of the tick */
};

struct admin_conn;

/* What is found under a path. `answer` is called once it can be answered, and calls admin_conn_answer(). */
struct resource {
	struct view path;
	bool asks_workers;
	unsigned wants;      /* of them: enum snapshot_wants */
	void (*answer)(struct admin_conn *c);
};

struct admin_conn {
	struct h1_conn h1;
	struct control *control;
	struct list_node node;  /* in control->conns */
	struct io_timer timer;  /* every state's deadline */
	struct io_task task;    /* the next request of a batch gets its turn; later, frees the memory */
	struct survey_request survey;
	const struct resource *resource;
	struct buf content;     /* of the answer; what is not yet sent of it */
	uint64_t unsent;        /* bytes, when the client took some last */
	uint8_t state;          /* enum admin_state */
	uint8_t keep_alive;     /* the connection stays after this answer */
	uint8_t minor;          /* HTTP/1.minor of the request */
	uint8_t is_head;        /* HEAD: an answer without its content */
};

/* A new connection waits: the result of the listener's on_accept. */
int admin_conn_accept(struct control *control);

/* Legal on a closed one. */
void admin_conn_close(struct admin_conn *c);

/* Appends to the content of the answer to come. */
__attribute__((format(printf, 2, 3))) void admin_conn_say(struct admin_conn *c, const char *format, ...);

/* Answers with the content. `fields` are whole lines: Content-Type at least, where there is content. */
void admin_conn_answer(struct admin_conn *c, unsigned status, struct view fields);

/* A connection's memory is free again (control.c). */
void control_conn_gone(struct control *control);

/* What is found under a canonical path; NULL: nothing (control.c). */
const struct resource *resource_find(struct view path);

/* GET /v1/leaks (leaks.c). */
void answer_leaks(struct admin_conn *c);

/* Content-Type of everything that is only text. */
#define ADMIN_TEXT VIEW("Content-Type: text/plain; charset=utf-8\r\n")

#endif
