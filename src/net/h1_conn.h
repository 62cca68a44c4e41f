/*
 * One HTTP/1 connection, either side: a byte stream, what was received and not yet read, and what is being written.
 *
 * Reading is a pull. h1_conn_fill() receives into the worker's scratch buffer and the h1_conn_read_*() functions take
 * heads and pieces from there without copying. What is left when the scratch is wanted by another connection is copied into
 * the connection's own buffer, which exists only as long as it is needed. While a head is incomplete the own buffer grows,
 * up to the limit for heads.
 *
 *     socket --fill--> scratch (or own buffer) --read--> message / pieces
 *
 * Writing gathers. Heads and small pieces are put into the scratch's output memory, large pieces are only pointed at, and
 * h1_conn_flush() hands everything to the kernel in one call. Whoever writes flushes before the bytes that were pointed
 * at go away, that is before the next fill.
 *
 *     begin_head, end_head / put_body / put_end --> gather --flush--> conn_sendv
 *
 * One scratch serves all connections of a worker, one at a time for each direction.
 */
#ifndef WEIR_NET_H1_CONN_H
#define WEIR_NET_H1_CONN_H

#include "http/h1.h"
#include "net/conn.h"
#include "net/stream_version.h"

struct h1_conn;

enum {
	H1_SCRATCH_IN_BYTES = 64 * 1024,
	H1_SCRATCH_OUT_BYTES = 640 * 1024,  /* more than the largest head that the configuration allows, with additions */
	H1_SCRATCH_IOV = 32,
	H1_SCRATCH_FIELDS = 1000,
	H1_COPY_MAX = 2048,                 /* pieces up to this size are copied rather than pointed at */
	H1_PIPE_LEAST = 16 * 1024,          /* content that is worth a pipe */
	H1_LARGE_LEAST = 32 * 1024,         /* of a message, by its Content-Length: what is received with the next one's head is little, */
	H1_FIRST_BYTES = 8 * 1024,          /* as all of it would leave nothing for a pipe */
};

/* A worker's scratch memory. */
struct h1_scratch {
	struct h1_conn *reader;  /* whose unread bytes stand in `in`; NULL: nobody's */
	struct h1_conn *writer;  /* whose output is being gathered; NULL: nobody's */
	uint32_t fills;          /* of all connections that have it; wraps */
	int iov_count;
	char *run;               /* in `out`: from here on is gathered what is no piece at `iov` yet, */
	char *at;                /* up to here */
	struct iovec iov[H1_SCRATCH_IOV];
	struct field fields[H1_SCRATCH_FIELDS];
	char in[H1_SCRATCH_IN_BYTES];
	char out[H1_SCRATCH_OUT_BYTES];
};

struct h1_conn {
	struct conn conn;
	struct stream stream;
	struct h1_scratch *scratch;  /* the worker's */
	struct view unread;          /* received, not yet consumed; in the scratch or in `in` */
	struct buf in;               /* own buffer; empty unless something had to be kept */
	struct h1_body body;         /* of the message being read */
	uint32_t head_tried;         /* bytes there were when an incomplete head was last parsed */
	uint8_t out_framing;         /* enum framing of the message being written */
	uint8_t head_lines;          /* how often an incomplete head was parsed again for a line end */
	bool expects_large;          /* its next message is likely to have large content, as the last one had */
	bool trickles;               /* its content comes in pieces that are not worth a pipe */
};

/* Where reading stands, to go back there: h1_conn_mark. */
struct h1_mark {
	struct view unread;
	struct h1_body body;
	uint32_t fills, head_tried;
	uint8_t head_lines;
};

/* NULL: out of memory. */
struct h1_scratch *h1_scratch_create(void);
void h1_scratch_free(struct h1_scratch *scratch);

/* After conn_accept/conn_connect of hc->conn. */
void h1_conn_init(struct h1_conn *hc, struct h1_scratch *scratch);

/* Releases what it owns. The conn is to be closed by the caller. */
void h1_conn_release(struct h1_conn *hc);

/* The exchange on it is over: the own buffer goes, unless something is unread. */
void h1_conn_rest(struct h1_conn *hc);

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Whether reading can bring anything now: bytes, the end, or an error. */
static inline bool h1_conn_has_input(const struct h1_conn *hc)
{
	return hc->unread.n > 0 || hc->conn.readable || hc->conn.at_end || hc->conn.error != 0;
}

/*
 * How much of at most `bytes_max` is to be received where a head begins: little, if large content is expected behind it, which is to stay
 * in the socket (h1_conn_pipe).
 */
static inline size_t h1_conn_first_bytes(const struct h1_conn *hc, size_t bytes_max)
{
	if (!__builtin_expect(hc->expects_large, 0) || hc->unread.n > 0 || bytes_max < H1_FIRST_BYTES)
		return bytes_max;
	return H1_FIRST_BYTES;
}

/* Receives more behind the unread bytes. Results as conn_recv; -ENOBUFS when `bytes_max` are unread already. */
ssize_t h1_conn_fill(struct h1_conn *hc, size_t bytes_max);

/*
 * Reads a head from the unread bytes. On H1_DONE it is consumed, its views are valid until the next fill of any
 * connection that has this scratch, and the body reader stands at its content. An incomplete head is parsed again
 * when its end may have come, when its size has doubled, and for its first few line ends: so a malformed one is refused
 * soon, and one that is sent byte by byte costs no more than a few times its length.
 */
struct h1_result h1_conn_read_request(struct h1_conn *hc, const struct h1_limits *limits, struct message *m);
struct h1_result h1_conn_read_response(struct h1_conn *hc, const struct h1_limits *limits, enum method request_method,
	struct message *m);

/* Takes the next piece of content. After H1_PIECE_TRAILERS call h1_conn_read_trailers until it is done. */
enum h1_piece h1_conn_read_body(struct h1_conn *hc, struct view *data, const char **why);

/* Takes all content that is left, if its length is known and just so much is unread. False: nothing was done. */
static inline bool h1_conn_read_rest(struct h1_conn *hc, struct view *data)
{
	if (!h1_body_is_rest(&hc->body, hc->unread.n))
		return false;
	*data = hc->unread;
	hc->unread.p += data->n;
	hc->unread.n = 0;
	h1_body_end(&hc->body);
	return true;
}

struct h1_result h1_conn_read_trailers(struct h1_conn *hc, const struct h1_limits *limits, struct message *m);

/*
 * A mark is good until the next fill of any connection that has this scratch: so long all that was taken since stands
 * where it was received. Going back makes it unread again; to a mark that is not good any more is a bug (CHECK).
 */
void h1_conn_mark(const struct h1_conn *hc, struct h1_mark *mark);
void h1_conn_rewind(struct h1_conn *hc, const struct h1_mark *mark);

/* Takes all unread bytes as they are (tunnels). */
struct view h1_conn_read_raw(struct h1_conn *hc);

/* --- writing ---------------------------------------------------------------------------------------------------- */

/* Another message begins. Nothing of the one before waits to be sent. */
static inline void h1_conn_begin_message(struct h1_conn *hc)
{
	hc->conn.taken = 0;
}

/* Whether the kernel has taken not one byte of the message: then the peer cannot have seen any. */
static inline bool h1_conn_is_unsent(const struct h1_conn *hc)
{
	return hc->conn.taken == 0;
}

/* The half of h1_conn_gather that has something gathered before it. */
void h1_conn_gather_on(struct h1_conn *hc, size_t room);

/* The gather becomes this connection's, with `room` bytes (<= H1_SCRATCH_OUT_BYTES) and places for two more pieces. */
static inline void h1_conn_gather(struct h1_conn *hc, size_t room)
{
	if (hc->scratch->writer == NULL)
		hc->scratch->writer = hc;
	else
		h1_conn_gather_on(hc, room);
}

/*
 * Begins a head: a writer with at least `room` bytes (<= H1_SCRATCH_OUT_BYTES/2). h1_conn_end_head() closes it with the
 * blank line and remembers the framing of the content that follows. False when the writer was too small.
 */
static inline struct h1_writer h1_conn_begin_head(struct h1_conn *hc, size_t room)
{
	struct h1_scratch *scratch = hc->scratch;

	h1_conn_gather(hc, room);
	return (struct h1_writer){.p = scratch->at, .end = scratch->out + sizeof(scratch->out)};
}

static inline bool h1_conn_end_head(struct h1_conn *hc, struct h1_writer *w, enum framing framing)
{
	if (!h1_has_room(w, VIEW("\r\n").n))
		return false;
	h1_put_sure(w, VIEW("\r\n"));
	hc->scratch->at = w->p;
	hc->out_framing = (uint8_t)framing;
	return true;
}

/* Bytes as they are (tunnels). */
void h1_conn_put_raw(struct h1_conn *hc, struct view data);

/* Nothing is gathered any more. */
static inline void h1_conn_gather_end(struct h1_scratch *scratch)
{
	scratch->writer = NULL;
	scratch->run = scratch->at = scratch->out;
	scratch->iov_count = 0;
}

/* All that is gathered is at `iov`: so many pieces. */
static inline int h1_conn_gathered(struct h1_scratch *scratch)
{
	if (scratch->at > scratch->run)
		scratch->iov[scratch->iov_count++] = (struct iovec){scratch->run, (size_t)(scratch->at - scratch->run)};
	scratch->run = scratch->at;
	return scratch->iov_count;
}

/* What the framing of the head says in front of `n` bytes of content that come by another way, and behind them. */
void h1_conn_begin_piece(struct h1_conn *hc, size_t n);
void h1_conn_end_piece(struct h1_conn *hc);

/* The half of h1_conn_put_body that writes chunks. */
void h1_conn_put_chunk(struct h1_conn *hc, struct view data);

/* A piece of content in the framing of the head. `data` must stay valid until the flush. Empty pieces are nothing. */
static inline void h1_conn_put_body(struct h1_conn *hc, struct view data)
{
	if (hc->out_framing == FRAMING_CHUNKED)
		h1_conn_put_chunk(hc, data);
	else
		h1_conn_put_raw(hc, data);
}

/* The end of the content; trailers (may be NULL) only go with chunked framing. */
void h1_conn_put_end(struct h1_conn *hc, const struct message *trailers);

/* --- from one to another ------------------------------------------------------------------------------------------ */

/*
 * Content that comes next on `from`, at least H1_PIPE_LEAST and at most `bytes_max` bytes, goes through a pipe to what is written on `to`
 * (h1_pipe.c); what is gathered there goes out before it. Returns how much came, which is counted and put.
 *
 * 0: nothing was done, and it is for h1_conn_fill to say what there is. There is less, or nothing now, or TLS on either side, or no pipe.
 */
size_t h1_conn_pipe(struct h1_conn *from, struct h1_conn *to, uint64_t bytes_max);

/* `from` has just begun content of this length, for `to`: from that follows what is expected of its next message. */
void h1_conn_expect(struct h1_conn *from, const struct h1_conn *to, uint64_t content_length);

/* --- sending -------------------------------------------------------------------------------------------------------- */

/* The half of h1_conn_flush that has something to send, perhaps. */
int h1_conn_flush_gathered(struct h1_conn *hc);

/* Sends what was gathered. 0 or the conn's send_error. */
static inline int h1_conn_flush(struct h1_conn *hc)
{
	return hc->scratch->writer == hc ? h1_conn_flush_gathered(hc) : hc->conn.send_error;
}

#endif
