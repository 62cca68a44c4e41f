/*
 * One HTTP/2 connection, either side: a byte stream with a session on it (http/h2.h), and its streams as sides of
 * exchanges (stream.h).
 *
 *     socket --h2_conn_receive--> scratch --> session --on_ready--> the owner of each stream that has something new
 *     streams --put--> session --(end of the tick, or h2_conn_run)--> scratch --> socket
 *
 * Streams only put; what they have put goes out together at the end of the tick, since many answers come in one. A stream is
 * blocked only when more than H2_AHEAD_BYTES of it wait behind a flush, and then until all of that is gone: less is no reason
 * to stop reading for it. So a stream may hold that and one receive. Those of a session that has H2_CROWDED_BYTES to send hold
 * H2_AHEAD_CROWDED_BYTES and as small a receive.
 *
 * One scratch serves all sessions of a worker. Nothing borrowed from it is left there when a function of this file returns.
 */
#ifndef WEIR_NET_H2_CONN_H
#define WEIR_NET_H2_CONN_H

#include <errno.h>

#include "http/h2.h"
#include "net/conn.h"
#include "net/stream_version.h"

enum {
	H2_SCRATCH_IN_BYTES = 64 * 1024,
	H2_SCRATCH_OUT_BYTES = 64 * 1024,
	H2_SCRATCH_HEAD_BYTES = 640 * 1024,  /* as H1_SCRATCH_OUT_BYTES: whoever writes heads asks for the same room */
	H2_AHEAD_BYTES = 32 * 1024,
	/* When a session has so much to send, each of its streams reads ahead less: many of them are not to hold much memory. */
	H2_CROWDED_BYTES = 1024 * 1024,
	H2_AHEAD_CROWDED_BYTES = 8 * 1024,
	/* More than one may read ahead: whoever has read so much of a stream and wants more has passed some of it on. */
	H2_WIDEN_BYTES = 48 * 1024,
};

/* A worker's scratch memory, and what its sessions share besides. */
struct h2_scratch {
	char in[H2_SCRATCH_IN_BYTES];
	char out[H2_SCRATCH_OUT_BYTES];
	char head[H2_SCRATCH_HEAD_BYTES];
	struct h2_ration ration;  /* of what is fetched from upstreams; the one thing here that stays */
};

/* NULL: out of memory. */
struct h2_scratch *h2_scratch_create(void);
void h2_scratch_free(struct h2_scratch *scratch);

struct h2_conn {
	struct conn *conn;           /* borrowed; its on_ready is the owner's, who then calls h2_conn_run */
	struct h2_session *session;  /* NULL: closed */
	struct h2_scratch *scratch;
	uint64_t heard_us;           /* when bytes came last; before any have: when it was opened */
	struct io_task more;         /* writes what was put since, or goes on receiving */
	/*
	 * A tunnel that has ended waits until the connection has taken all: owners of upstreams tell it then, of clients'
	 * nobody asks. They clear it before they tell, and that is not too early: a tunnel that still waits shuts down anew
	 * whenever it is told, and so sets it again.
	 */
	bool told_when_out;
	/* A stream has something new. It may be released, but the connection may not be closed in the call. */
	void (*on_ready)(struct h2_conn *hc, struct h2_stream *stream);
	/* After h2_conn_run by itself (from the loop): how the connection stands may have changed. May close it. */
	void (*on_ran)(struct h2_conn *hc);
};

/* One side of an exchange on an HTTP/2 connection. Embedded in its owner. */
struct h2_side {
	struct stream stream;
	struct h2_conn *conn;
	struct view scheme;          /* of requests that are written on it; empty at a server */
	struct h2_stream h2;
};

/*
 * Begins a session on an open conn. `on_stream` and `context` as in struct h2_owner. hc->on_ready and on_ran are set by
 * the owner before. False: out of memory.
 */
bool h2_conn_open(struct h2_conn *hc, struct conn *conn, enum h2_role role, const struct h2_limits *limits,
	struct h2_stream *(*on_stream)(void *context), void *context, struct h2_scratch *scratch);

/* All streams have been released. The conn is left to its owner. Legal twice. */
void h2_conn_close(struct h2_conn *hc);

/* The side of a stream whose memory is a `struct h2_side`. */
static inline struct h2_side *h2_side_of(struct h2_stream *stream)
{
	return container_of(stream, struct h2_side, h2);
}

/* The memory behind a new stream: before the session has it. */
static inline void h2_side_init(struct h2_side *side, struct h2_conn *hc)
{
	side->stream.version = STREAM_H2;
	side->conn = hc;
	side->scheme = view_of(NULL, 0);
}

/* Bytes that were received elsewhere, before there was a session. */
void h2_conn_take(struct h2_conn *hc, struct view bytes);

/*
 * Receives and sends what can be received and sent, and tells the owners of streams. When the connection has failed or ended
 * its streams are lost, which their owners are told.
 */
void h2_conn_run(struct h2_conn *hc);

/* What the connection has failed for, as h2_session_lose wants it: want of memory, or nothing of ours. */
enum cause h2_conn_cause(const struct h2_conn *hc);

/* The connection is given up without a word: its streams are lost, which their owners are told. */
void h2_conn_lose(struct h2_conn *hc);

/* What was put is sent, as much as the peer takes. */
void h2_conn_send_now(struct h2_conn *hc);

/* What was put is sent at the end of the tick. */
static inline void h2_conn_send_soon(struct h2_conn *hc)
{
	io_defer(hc->conn->io, &hc->more);
}

/* Ends the session in order, as far as the connection takes it at once. */
void h2_conn_say_goodbye(struct h2_conn *hc);

/* Nothing more will come of it: everything was said and sent, or it has failed. */
bool h2_conn_is_over(const struct h2_conn *hc);

/* --- a side as stream.h wants it ------------------------------------------------------------------------------------ */

/* The peer, the connection's end, or we have cut it off. */
static inline bool h2_side_was_reset(const struct h2_side *s)
{
	return s->h2.fate != H2_LIVE && s->h2.fate != H2_COMPLETE;
}

/* 0, or how it looks to those who know errno: -ENOMEM, -ECONNRESET. */
static inline int h2_side_error(const struct h2_side *s)
{
	if (!h2_side_was_reset(s))
		return 0;
	return s->h2.cause == CAUSE_MEMORY_EXHAUSTED ? -ENOMEM : -ECONNRESET;
}

/* What follows the head of a request for a tunnel is none of its content. */
static inline bool h2_side_body_done(const struct h2_side *s)
{
	bool asks_tunnel = s->h2.extended_connect && s->scheme.n == 0;

	return asks_tunnel || h2_stream_all_read(&s->h2);
}

/* As conn_recv tells, but there is nothing to receive: 1 when something can be read, 0 when all was. */
ssize_t h2_side_fill(struct h2_side *s);

/* As h2_stream_read_body; what was cut off reads as MORE, and the fill tells. */
enum h1_piece h2_side_read_body(struct h2_side *s, struct view *data, const char **why);

/* A piece of a tunnel; empty: there is none. */
struct view h2_side_read_raw(struct h2_side *s);

/* Nothing of what it said was looked at by the peer. */
bool h2_side_is_unsent(const struct h2_side *s);

int h2_side_flush(struct h2_side *s);

/* How much is to be received at a time for what is put on it. */
size_t h2_side_receive_bytes(const struct h2_side *s);

/* Our direction of a tunnel ends, behind what was put. */
void h2_side_shutdown(struct h2_side *s);

#endif
