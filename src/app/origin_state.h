/*
 * Private to the origin: what it and a connection consist of. origin.c has their beginning and end, origin_conn.c
 * moves a connection through its states, origin_answer.c writes.
 */
#ifndef WEIR_APP_ORIGIN_STATE_H
#define WEIR_APP_ORIGIN_STATE_H

#include "app/origin.h"
#include "base/slab.h"
#include "net/h1_conn.h"
#include "net/listener.h"

enum {
	ORIGIN_HEAD_ROOM = 1024,          /* for the origin's own heads */
	ORIGIN_PATTERN_BYTES = 64 * 1024,
};

struct origin {
	struct io *io;
	struct origin_options options;
	struct origin_stats stats;
	struct listener listener;
	struct slab slab;
	struct list conns;
	struct h1_scratch *scratch;
	struct capacity capacity;
	struct io_timer capacity_timer;
	unsigned fault_percent;           /* of all kinds together */
	void (*on_closed)(void *context); /* NULL: not closing */
	void *closed_context;
	struct io_task closed_task;

	/* Prebuilt once a second, because of Date. */
	uint64_t date_s;
	bool plain_is_prebuilt;           /* the default answer is `plain`, at once, always */
	size_t common_n, plain_n;
	char common[256];                 /* the fields that every answer has */
	char plain[H1_COPY_MAX];          /* the whole default answer */
	char pattern[ORIGIN_PATTERN_BYTES];  /* content, repeated as often as needed */
};

enum origin_conn_state {
	CONN_HEAD,       /* between requests, or a head is incomplete */
	CONN_CONTENT,    /* request content is thrown away; then `after` */
	CONN_SERVE,      /* the request is whole: to be delayed, or answered */
	CONN_QUEUED,     /* in the capacity model */
	CONN_PAUSED,     /* the timer says when to go on with `after` */
	CONN_ANSWER,     /* to be answered */
	CONN_BODY,       /* the answer's content is being sent */
	CONN_EVENTS,     /* the next event is to be sent */
	CONN_ECHO,       /* request content goes back as it comes */
	CONN_TUNNEL,     /* bytes go back as they come */
	CONN_HANG,       /* the fault: nothing happens any more */
	CONN_LINGER,     /* our side is closed; what still comes is thrown away so that the answer is not reset away */
	CONN_CLOSED,     /* memory is freed at the end of the tick */
	CONN_STATE_COUNT
};

struct origin_conn {
	struct h1_conn h1;
	struct origin *origin;
	struct list_node node;            /* in origin->conns */
	struct capacity_job job;
	struct io_timer timer;            /* every state's deadline */
	struct io_task yield;             /* others get a turn before a long run goes on */
	struct io_task release;

	struct origin_plan plan;          /* of the request being served */
	struct view text;                 /* the answer's content; p == NULL: the pattern */
	char *owned;                      /* malloc; what `text` points into, if it is not static */
	uint64_t content_length;          /* of the request, as declared */
	uint64_t left;                    /* of the answer's content */
	uint64_t put;                     /* of the answer's content so far */
	uint32_t events;                  /* sent so far */
	uint8_t state;                    /* enum origin_conn_state */
	uint8_t after;                    /* enum origin_conn_state */
	uint8_t keep_alive;               /* the connection stays after this answer */
	uint8_t minor;                    /* HTTP/1.minor of the request */
	uint8_t is_head;                  /* HEAD: an answer without its content */
	uint8_t framing;                  /* enum framing of the request */
	uint8_t may_upgrade;              /* the request offers the protocol "echo" */
};

/* A new connection waits: the result of the listener's on_accept (origin_conn.c). */
int origin_conn_accept(struct origin *origin);

/* Goes as far as it can now. */
void origin_conn_run(struct origin_conn *c);

/* Closes orderly, or with a reset; what is unsent is lost. Legal on a closed one. */
void origin_conn_close(struct origin_conn *c);
void origin_conn_abort(struct origin_conn *c);

/* The answer is complete: what happens next with the connection. */
void origin_conn_answered(struct origin_conn *c);

/* Ends our direction once everything is sent, and waits for the client's end. */
void origin_conn_linger(struct origin_conn *c);

/* Waits, then goes on in state `after`. */
void origin_conn_pause(struct origin_conn *c, uint64_t span_us, enum origin_conn_state after);

/* It has been served: the delay that was asked for, then the answer. */
void origin_conn_delay(struct origin_conn *c);

/* A connection's memory is free again (origin.c). */
void origin_conn_gone(struct origin *origin);

/* --- answering (origin_answer.c) --------------------------------------------------------------------------------- */

/* Fills the pattern and finds out whether the default answer can be prebuilt. Once. */
void origin_answer_init(struct origin *origin);

/* Puts the default answer. */
void origin_put_plain(struct origin_conn *c);

/* The 1xx answers that the request waits for or asks for; at once, also before a delay. */
void origin_put_informational(struct origin_conn *c, const struct message *m);

/* The steps of CONN_ANSWER, CONN_BODY and CONN_EVENTS. False: nothing more can be done now. */
bool origin_step_answer(struct origin_conn *c);
bool origin_step_body(struct origin_conn *c);
bool origin_step_events(struct origin_conn *c);

/* Notes what the answer needs to know of the head (origin_note.c). False: out of memory. */
bool origin_note_head(struct origin_conn *c, const struct message *m);

#endif
