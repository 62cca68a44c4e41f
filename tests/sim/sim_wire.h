/*
 * One side of a connection that speaks HTTP/2, for actors: it keeps the books of streams and windows, says what the protocol
 * demands (SETTINGS, their answers, PING's), and is strict about everything that the gateway writes. What to send and when to
 * give a window back is the actor's.
 *
 *     end --wire_receive--> frames --on_head, on_data, on_reset, on_goaway--> actor
 *     actor --wire_put_*--> out --wire_flush--> end
 */
#ifndef WEIR_SIM_WIRE_H
#define WEIR_SIM_WIRE_H

#include "sim_frames.h"
#include "sim_socket.h"

struct wire_stream {
	uint32_t id;
	int64_t out_window; /* what may be sent */
	int64_t in_window;  /* what the gateway may send */
	uint64_t owed;      /* received, and not given back yet */
	bool in_ended, out_ended;
	bool reset_here, reset_there;
	void *owner; /* the actor's */
};

struct sim_wire;

struct wire_actor {
	/* A head, or trailers, in wire->block. */
	void (*on_head)(struct sim_wire *wire, struct wire_stream *stream, bool ends);
	void (*on_data)(struct sim_wire *wire, struct wire_stream *stream, const char *bytes, size_t n, bool ends);
	void (*on_reset)(struct sim_wire *wire, struct wire_stream *stream, uint32_t code);
	void (*on_goaway)(struct sim_wire *wire, uint32_t last, uint32_t code);
};

/* What it says in its SETTINGS. */
struct wire_settings {
	uint32_t window;      /* of a stream */
	uint32_t streams_max; /* a server's */
	bool connects;        /* a server's: takes extended CONNECT (RFC 8441) */
};

struct sim_wire {
	bool serves;
	bool broken; /* the actor has broken the protocol: what comes is not judged */
	struct sim_end *end;
	const struct wire_actor *actor;
	void *owner;

	struct sim_text out;
	size_t out_at;
	uint64_t put_bytes, sent_bytes; /* of the whole connection */

	struct frame_cutter cutter;
	struct block_reader block;
	nghttp2_hd_deflater *deflater;

	struct wire_stream **streams; /* in the order of their numbers */
	unsigned count, room;
	unsigned live; /* not ended in both directions, as the gateway may have it */
	int64_t out_window, in_window;
	uint64_t owed;
	uint32_t peer_window, peer_streams_max; /* its SETTINGS */
	struct wire_settings told[8], in_force; /* ours: those not acknowledged yet, and the others */
	unsigned told_count;
	bool settled; /* the gateway's first SETTINGS have come */
	bool peer_connects; /* and they take extended CONNECT */
	bool going_away;
	uint32_t last_seen; /* a server: the greatest number that came */
	unsigned pad_permille, split_permille;
	size_t padding; /* behind the content of the DATA that was put last */
};

/* Puts the preface and SETTINGS. */
struct sim_wire *wire_new(struct sim_end *end, bool serves, const struct wire_settings *settings,
	const struct wire_actor *actor, void *owner);
void wire_free(struct sim_wire *wire);

/* Takes bytes that have come. A mistake of the gateway's breaks a rule. */
void wire_receive(struct sim_wire *wire, const char *bytes, size_t n);

/* Sends up to `piece` bytes of what was put. How many; 0: nothing could be sent. */
size_t wire_flush(struct sim_wire *wire, size_t piece);

static inline size_t wire_backlog(const struct sim_wire *wire)
{
	return wire->out.length - wire->out_at;
}

/* A client begins a stream; a server has them from on_head. */
struct wire_stream *wire_open(struct sim_wire *wire, void *owner);

/* A head, or trailers. The block is emptied. */
void wire_put_head(struct sim_wire *wire, struct wire_stream *stream, struct block_writer *block, bool ends);
/* No more than wire_may_send(); 0 bytes only with an end. */
void wire_put_data(struct sim_wire *wire, struct wire_stream *stream, const char *bytes, size_t n, bool ends);
/* What windows and the largest frame allow. */
size_t wire_may_send(const struct sim_wire *wire, const struct wire_stream *stream);
void wire_put_reset(struct sim_wire *wire, struct wire_stream *stream, uint32_t code);
void wire_put_settings(struct sim_wire *wire, const struct wire_settings *settings);
void wire_put_goaway(struct sim_wire *wire, uint32_t last, uint32_t code);
void wire_put_ping(struct sim_wire *wire);
/* Any frame at all. */
void wire_put(struct sim_wire *wire, unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t n);

/* Gives back what is owed: of a stream, and of the connection. */
void wire_give_back(struct sim_wire *wire, struct wire_stream *stream);
void wire_give_back_all(struct sim_wire *wire);

/* It carries nothing more. */
static inline bool wire_stream_is_over(const struct wire_stream *stream)
{
	return stream->reset_here || stream->reset_there || (stream->in_ended && stream->out_ended);
}

#endif
