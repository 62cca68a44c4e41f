/*
 * HTTP/2 (RFC 9113), either side of it: bytes in, streams out; and back. No sockets and no clock: bytes and the
 * time are passed in. A session is one connection, a stream one request with its answer.
 *
 *     socket --bytes--> h2_session_receive -> streams with something new --h2_session_next_ready--> their owners
 *                                   owner --read_head, read_body, read_trailers--> message / pieces
 *     owner --begin_head, end_head / put_body / put_end--> stream --h2_session_write--> bytes --> socket
 *
 * Nobody is called from inside the session but for owner.on_stream, which lends memory for a new request's stream.
 * What a stream has to say it keeps, and it stands once in the ready list; its owner pulls when h2_session_receive
 * or h2_session_write has returned.
 *
 * Memory. Content that a stream was sent stands in the bytes given to h2_session_receive, and content put to a stream
 * where its owner has it: both are borrowed, and copied only when h2_session_keep_in or h2_session_keep_out says that
 * these bytes go away. What a session can hold is bounded: unread content by the windows (a byte is given back to the
 * peer's windows when it was read; h2_window.c says how large they are), content to be sent by owners who put no more
 * while h2_stream_unsent() is not 0, heads by h1_limits, everything else by limits.memory_bytes_max.
 *
 * A stream lives from on_stream (server) or h2_session_open (client) to h2_stream_release, whatever the peer does:
 * one that the peer has reset counts against the streams that it may have until the owner has let go of it.
 */
#ifndef WEIR_HTTP_H2_H
#define WEIR_HTTP_H2_H

#include "base/buf.h"
#include "base/list.h"
#include "http/h1.h"

struct h2_session;

enum h2_role { H2_SERVER, H2_CLIENT };

/* Error codes (RFC 9113 §7), as far as anybody outside has to name one. */
enum h2_error {
	H2_NO_ERROR = 0x0,
	H2_PROTOCOL_ERROR = 0x1,
	H2_INTERNAL_ERROR = 0x2,
	H2_FLOW_CONTROL_ERROR = 0x3,
	H2_STREAM_CLOSED = 0x5,
	H2_REFUSED_STREAM = 0x7,
	H2_CANCEL = 0x8,
	H2_CONNECT_ERROR = 0xa,
	H2_ENHANCE_YOUR_CALM = 0xb,
	H2_HTTP_1_1_REQUIRED = 0xd,
};

/*
 * What a peer may cost. A glitch is something that a peer may do, and that only an attacker does often: it resets a
 * young stream before the answer was complete, makes us reset one, is refused a stream, sends an empty frame, or more
 * noise than it has earned. Noise is PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION and unknown frames, and
 * bytes that bring nothing: a peer earns some with every head that it sends and every frame of content that we
 * send, since these are what honest peers answer with noise. Glitches are forgiven, slowly by time, and one by each
 * stream that comes to its proper end. More than half of glitches_max: a server drains, so that an unlucky client
 * loses nothing; more than all: the session ends with ENHANCE_YOUR_CALM.
 */
struct h2_limits {
	struct h1_limits head;           /* of a head after decompression, and of trailers: see h2_stream_read_head */
	uint32_t streams_max;            /* at a time; a client opens no more than this either */
	uint32_t stream_window_bytes;    /* content of one stream that may stand unread; 16 KiB..16 MiB */
	uint32_t stream_window_wide_bytes;  /* of one whose reader is fast; not more than the other: none grows */
	uint32_t session_window_bytes;   /* content of all streams that may stand unread; 64 KiB..128 MiB */
	uint32_t memory_bytes_max;       /* what the protocol's own books may take: header tables, queues, streams */
	uint32_t glitches_max;
	uint32_t glitches_forgiven_per_s;
	bool connect_protocol;           /* server: offer extended CONNECT (RFC 8441) */
};

enum {
	H2_STREAMS_MAX = 100,
	H2_STREAM_WINDOW_BYTES = 256 * 1024,
	H2_SESSION_WINDOW_BYTES = 1024 * 1024,
	H2_WINDOW_NARROW_BYTES = 16 * 1024,  /* of each stream, when the worker has more unread content than its ration */
	H2_RATION_BYTES = 16 * 1024 * 1024,
	H2_MEMORY_BYTES_MAX = 4 * 1024 * 1024,
	H2_GLITCHES_MAX = 400,               /* so 100,000 rapid resets begin fewer than 500 requests */
	H2_GLITCHES_FORGIVEN_PER_S = 10,
	H2_HEADS_MAX = 20,                   /* unread ones of a stream: informational, and the final one */
	H2_STREAM_FIRST_BYTES = 1536,        /* a head up to about this size costs no memory of its own */
	H2_STREAM_PIECES = 6,                /* of received content that are borrowed at a time */
	H2_COPY_MAX = 2048,                  /* content put in pieces up to this size is copied at once */
	H2_HEAD_FIELDS_MAX = 1100,           /* that h2_stream_end_head takes */
	H2_SCRATCH_BYTES_MIN = 64 * 1024,
};

/* The limits above, with these for heads, and extended CONNECT offered. */
struct h2_limits h2_limits_default(struct h1_limits head);

/* Another number of streams, and the glitches that go with it. */
void h2_limits_set_streams(struct h2_limits *limits, uint32_t streams_max);

struct h2_stream;

/*
 * What sessions of a worker share that fetch content for others: their streams have at most H2_RATION_BYTES of windows
 * beyond the first ones, and with more unread content than that the first ones become narrow. Zero-initialise.
 */
struct h2_ration {
	uint64_t wider_bytes;
	uint64_t unread_bytes;
};

/* Whom the session belongs to. */
struct h2_owner {
	/*
	 * Server: a request head is complete (or too large). The memory for its stream, of any content, which is
	 * the session's until h2_stream_release; NULL refuses it (REFUSED_STREAM: the client may safely try again).
	 * Nothing may be called from here.
	 */
	struct h2_stream *(*on_stream)(void *context);
	void *context;
	/*
	 * Where h2_stream_begin_head lends room from, used only until h2_stream_end_head: all sessions of a worker
	 * may have the same. At least H2_SCRATCH_BYTES_MIN; a head may be as large as the scratch less
	 * H2_HEAD_FIELDS_MAX * 40 bytes.
	 */
	char *scratch;
	size_t scratch_bytes;
	struct h2_ration *ration;  /* NULL: its windows stay as they are, and what it has unread is not counted */
};

/* --- sessions --------------------------------------------------------------------------------------------------- */

/* H1_DONE: these are the first bytes of HTTP/2 (RFC 9113 §3.4). H1_MORE: they may become so. H1_BAD: something else. */
enum h1_status h2_preface(struct view bytes);

/* Both are copied. Its first bytes are to be written at once. NULL: out of memory. */
struct h2_session *h2_session_create(
	enum h2_role role, const struct h2_limits *limits, const struct h2_owner *owner, uint64_t now_us);

/* All streams must have been released (CHECK). NULL is allowed. */
void h2_session_free(struct h2_session *session);

/*
 * Takes all of the bytes that have come. They stay borrowed until h2_session_keep_in or the next h2_session_receive.
 * After this there may be ready streams and something to write. A session that is over takes them and does nothing.
 *
 * A server does no more at a time than others can wait for: when many heads have come it keeps the bytes that it has not
 * looked at, and is behind. Receive nothing more then, and let it go on, with no bytes, when others have had their turn.
 */
void h2_session_receive(struct h2_session *session, struct view bytes, uint64_t now_us);
bool h2_session_is_behind(const struct h2_session *session);

/*
 * New streams have come, and something is to be written: it may be the reset of one of them, which is over when that is
 * written, and not before. Write before looking for what is ready, so that nobody begins what it asked for.
 */
bool h2_session_writes_first(const struct h2_session *session);

/* Nothing in the last bytes was of use: neither a head nor content. There is no hurry to receive the next. */
bool h2_session_was_barren(const struct h2_session *session);

/* The bytes of the last h2_session_receive are about to go away: what streams have not read of them is copied. */
void h2_session_keep_in(struct h2_session *session);

/*
 * The next stream that has something new, which is then no longer in the list; NULL: none. New is a head, content,
 * the end, a fate; that what a write had left over has all been written; that the end was written (out is
 * H2_WAY_ENDED). Look after each h2_session_receive and h2_session_write.
 */
struct h2_stream *h2_session_next_ready(struct h2_session *session);

/*
 * Writes the next bytes to be sent: frames of the session, heads, and content as far as the peer's windows allow,
 * all streams taking turns. How many; 0: nothing for now. Call it until it says 0, or until there is no room to
 * send. `room` is at least 16 KiB + 9 for content to be written in whole frames; less is used as well, but not
 * below 1 KiB.
 */
size_t h2_session_write(struct h2_session *session, char *to, size_t room, uint64_t now_us);

/* The bytes given to h2_stream_put_body are about to go away: what has not been written is copied. */
void h2_session_keep_out(struct h2_session *session);

/* Whether h2_session_write would write something now. */
bool h2_session_wants_write(const struct h2_session *session);

/*
 * Whether to receive more. Not when the session is over, and not while too much is to be written: the peer does not
 * read what it causes.
 */
bool h2_session_wants_read(const struct h2_session *session);

/*
 * The session is over, by either side, and everything that is to be said was written: close the connection once
 * that was sent. Streams that were under way are ready, with their fate.
 */
bool h2_session_must_close(const struct h2_session *session);

/*
 * No new streams from the peer. Server: a GOAWAY that takes what is on its way, and when the peer has answered the PING
 * behind it, or has not within 10 s and something is to be written, the final one (RFC 9113 §6.8). Client: one GOAWAY. When
 * the last stream is over, the session must close. A second call changes nothing.
 */
void h2_session_drain(struct h2_session *session);

/*
 * Asks the peer for a sign of life with empty SETTINGS, which it must acknowledge: bytes will come. For connections
 * that have been silent for longer than they should. What is not acknowledged is kept in the books, and so it counts as
 * their memory.
 */
void h2_session_ask(struct h2_session *session);

/* Ends the session now: GOAWAY with the code, then it must close. Streams that were under way are H2_LOST. */
void h2_session_end(struct h2_session *session, enum h2_error code);

/*
 * The connection has gone: nothing more can be written. Streams that were under way are H2_LOST, with the cause:
 * MEMORY_EXHAUSTED where we had no memory for its bytes, else NONE. What was found against the peer before goes first.
 */
void h2_session_lose(struct h2_session *session, enum cause cause);

/* Client: whether another stream may be opened now (the peer's limit, ours, no GOAWAY, numbers left). */
bool h2_session_can_open(const struct h2_session *session);

/* Client: how many streams it may have at a time: ours, or the peer's number if that is smaller. */
uint32_t h2_session_streams_max(const struct h2_session *session);

/*
 * How large a head, or trailers, the peer takes (RFC 9113 §6.5.2: 32 bytes with each field); UINT32_MAX: it does not
 * say.
 */
uint32_t h2_session_head_max(const struct h2_session *session);

/* Client: the peer understands extended CONNECT (RFC 8441). Known when h2_session_settled. */
bool h2_session_can_upgrade(const struct h2_session *session);

/* The peer's first SETTINGS have come. */
bool h2_session_settled(const struct h2_session *session);

/*
 * Until when the peer could send no content, on any stream, since the window that all share was taken up by what nobody had read: `now_us`, if
 * it still is; 0: it never was.
 */
uint64_t h2_session_barred_until_us(const struct h2_session *session, uint64_t now_us);

/* Content put to all of its streams and not yet written. */
uint64_t h2_session_unsent(const struct h2_session *session);

/* What a session has to tell of itself. A time is UINT64_MAX where the thing does not happen. */
struct h2_facts {
	uint32_t streams;            /* not yet released */
	uint64_t head_since_us;      /* a head is incomplete, since then: for timeouts.header */
	uint64_t stalled_since_us;   /* content waits for windows, since then: for timeouts.write_idle */
	uint64_t shut_since_us;      /* the same, and the window that all streams share has nothing left */
	uint64_t glitches;           /* in all */
	size_t memory_bytes;         /* of the protocol's own books, now */
	bool going_away;             /* GOAWAY was sent or received: no new streams */
	bool ended;                  /* by either side: all that is left is to write what is said last */
	uint32_t error;              /* the code that the session ended with, or that the peer's GOAWAY had */
	enum cause cause;            /* why it ended from our side; NONE: it did not, or its owner has ended it */
	const char *why;             /* the same in one static sentence, or NULL */
	size_t memory_bytes_max;     /* that the books may have */
};

struct h2_facts h2_session_facts(const struct h2_session *session);

/* --- streams ---------------------------------------------------------------------------------------------------- */

/* How far a direction has come. */
enum h2_way {
	H2_WAY_HEAD,      /* the final head has not come; has not been put */
	H2_WAY_CONTENT,
	H2_WAY_ENDING,    /* out only: the end was put, and not everything was written */
	H2_WAY_ENDED,     /* END_STREAM has come (and may stand behind unread content); was written */
};

/* What became of a stream. Anything but LIVE and COMPLETE: it carries nothing more, in either direction. */
enum h2_fate {
	H2_LIVE,
	H2_COMPLETE,        /* both directions have ended in order */
	H2_RESET_BY_PEER,   /* with `reset_code`. Content that came whole before (in == H2_WAY_ENDED) may be read */
	H2_REFUSED,         /* not processed, says the peer by RST_STREAM or GOAWAY: may safely be sent again */
	H2_MALFORMED,       /* the peer's message was, and we have reset the stream, or ended the session for it */
	H2_RESET_HERE,      /* by h2_stream_reset, or since memory was out */
	/*
	 * The session has ended. `reset_code` says that this message may have been why: it is that of the peer's GOAWAY, or
	 * of ours where the peer had broken the rules and it is not known for which stream. H2_NO_ERROR: it was not.
	 */
	H2_LOST,
};

/* Embedded in its owner's memory. What stands here may be read; it is changed only by the session. */
struct h2_stream {
	struct h2_session *session;
	int32_t id;                    /* 0: a client's whose head has not been put */
	uint8_t in;                    /* enum h2_way */
	uint8_t out;                   /* enum h2_way */
	uint8_t fate;                  /* enum h2_fate */
	bool extended_connect;         /* a request for a WebSocket by extended CONNECT: see h2_stream_read_head */
	uint8_t method;                /* client: of its request; server: of one whose head was refused */
	uint8_t cause;                 /* enum cause: what we found wrong with its message, or with us; NONE: nothing */
	bool beyond_peer;              /* a head was not put, or trailers, since the peer takes none so large */
	bool trailers_refused;         /* larger than the limits say; unread */
	uint32_t reset_code;           /* enum h2_error, or a number that we have no name for */
	const char *why;               /* of `cause`: one static sentence, or NULL */
	uint64_t unsent_bytes;         /* content put and not yet written */

	/* Private from here on. */
	uint8_t heads;                 /* unread */
	uint8_t pieces;                /* in `borrowed` */
	uint64_t began_us;
	bool waiting;                  /* content was left over by a write: the owner is to be told when it is gone */
	bool full;                     /* the same, set by the owner: no more is put until then */
	struct h2_head *first_head;    /* unread, in order */
	struct h2_head *last_head;
	struct h2_head *trailers_in;   /* unread */
	struct list_node live_node;
	struct list_node ready_node;
	struct list_node borrowing_node;
	struct list_node unsent_node;
	struct buf kept;               /* received content, before what is borrowed */
	struct view borrowed[H2_STREAM_PIECES];
	uint32_t handed;               /* of `kept`, handed out and to be dropped at the next call */
	uint64_t unread_bytes;         /* received content that was not given back to the windows */
	uint64_t read_bytes;           /* content that was */
	uint32_t wider_bytes;          /* of the ration, in its window */
	struct buf out_kept;           /* content to be written, before what is lent */
	struct view lent;
	struct h2_trailers *trailers_out;
	struct arena arena;
	char first[H2_STREAM_FIRST_BYTES] __attribute__((aligned(8)));
};

/* Client: makes `stream` (memory of any content) a stream of the session, to which a head may be put. */
void h2_session_open(struct h2_session *session, struct h2_stream *stream);

/*
 * The owner is done with it: its memory is the owner's again. One that has not ended in both directions is reset,
 * with NO_ERROR when the answer was complete (a server's early one), else with CANCEL; what was put and not written
 * is lost then, so wait until `out` is H2_WAY_ENDED. Unread content goes back to the windows.
 */
void h2_stream_release(struct h2_stream *stream);

/* Resets the stream (INTERNAL_ERROR makes an answer that has begun visibly incomplete). Nothing, when it is over. */
void h2_stream_reset(struct h2_stream *stream, enum h2_error code);

/* --- reading ---------------------------------------------------------------------------------------------------- */

/*
 * The next head: a request's, or a response's (informational ones first, each once). H1_MORE: not there yet; look
 * at the fate, too. H1_BAD: larger than the limits say, and the stream is alive: it can still be answered
 * (HEADERS_TOO_LARGE, URI_TOO_LONG). Malformed ones are not seen by a server's owner; a client's sees
 * UPSTREAM_BAD_RESPONSE.
 *
 * The message looks like one of HTTP/1.1: `host` is :authority or Host, `target` is :path, `minor` is 1,
 * `keep_alive` 1, cookies are one field (RFC 9113 §8.2.3), `framing` is NONE when the head was all, LENGTH with a
 * content-length, else CHUNKED, which here only says that the length is not known; so it does when the length is to
 * be 0 and the end has not come, and then content-length is dropped. The fields stand in `head` as "name: value
 * CRLF". It is valid until h2_stream_release.
 *
 * With `extended_connect` the request was an extended CONNECT for a WebSocket and is now what HTTP/1.1 would have:
 * GET with Upgrade: websocket (has_upgrade). A 101 put as its answer becomes a 200, and content goes both ways as
 * it is. The key that HTTP/1.1 wants (Sec-WebSocket-Key) is not there: HTTP/2 has none, and whoever goes on by
 * HTTP/1.1 makes one.
 *
 * `scheme` may be NULL; it is set to :scheme of a request.
 */
struct h1_result h2_stream_read_head(struct h2_stream *stream, struct message *m, struct view *scheme);

/*
 * The next piece of content. DATA: valid until the next call for this stream, h2_session_receive,
 * h2_session_keep_in or h2_stream_release; its bytes were given back to the windows. TRAILERS: call
 * h2_stream_read_trailers, once. BAD: the stream was reset or lost before its end; the fate says by whom.
 */
enum h1_piece h2_stream_read_body(struct h2_stream *stream, struct view *data, const char **why);

/*
 * The trailers, after H1_PIECE_TRAILERS. H1_BAD: larger than the limits say, and the stream is alive, as with heads.
 * Those that must not be trailers are dropped, as in HTTP/1.
 */
struct h1_result h2_stream_read_trailers(struct h2_stream *stream, struct message *m);

/* The peer's message is complete, and all of it was read. */
static inline bool h2_stream_all_read(const struct h2_stream *stream)
{
	return stream->in == H2_WAY_ENDED && stream->unread_bytes == 0 && stream->trailers_in == NULL &&
	       !stream->trailers_refused;
}

/*
 * Whoever reads it has taken all that came, and can take more: its window may grow. Call it when enough was read to
 * know that (read_bytes), as often as you like. True: there is something to write.
 */
bool h2_stream_widen(struct h2_stream *stream);

/* Whether h2_stream_read_body would have a piece, the end, or a failure to tell. */
bool h2_stream_has_input(const struct h2_stream *stream);

/* --- writing ---------------------------------------------------------------------------------------------------- */

/*
 * Begins a head: a writer of `room` bytes. It is filled with the text of HTTP/1.1 (a start line and field lines,
 * without the blank line), so that whoever writes heads writes one kind. h2_stream_end_head makes HTTP/2 of it:
 * pseudo-fields, names in lower case; Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade and
 * HTTP2-Settings are left out, TE but for "trailers"; Host becomes :authority. An informational head is sent as
 * such and the final one still follows. FRAMING_NONE ends the stream with the head, but for an upgrade and its 101;
 * any other wants h2_stream_put_end, also when the content of FRAMING_LENGTH is all there.
 *
 * A client's request with "Upgrade: websocket" becomes an extended CONNECT (h2_session_can_upgrade must hold), and
 * a 200 as its answer reads as 101 with has_upgrade; Sec-WebSocket-Key and Sec-WebSocket-Accept are left out on the
 * way.
 *
 * `scheme` is :scheme of a request ("http", "https"), else empty. False: the writer was too small, the text is not what
 * is asked for, the stream is over, or the peer takes no head so large (`beyond_peer`: what it would do to the whole
 * connection nobody knows); nothing was put then. An informational head that is too large for the peer is left out.
 */
struct h1_writer h2_stream_begin_head(struct h2_stream *stream, size_t room);
bool h2_stream_end_head(struct h2_stream *stream, struct h1_writer *w, enum framing framing, struct view scheme);

/*
 * A piece of content, which must stay valid until it was written, or h2_session_keep_out; up to H2_COPY_MAX bytes
 * are copied at once. Empty ones are nothing, and so is one for a stream that is over. When memory is out the
 * stream is reset.
 */
void h2_stream_put_body(struct h2_stream *stream, struct view data);

/* Whether the peer takes trailers as large as these (else `beyond_peer`). */
bool h2_stream_takes_trailers(struct h2_stream *stream, const struct message *trailers);

/* The end, with trailers (NULL: none). Nothing, when it was put or the stream is over. */
void h2_stream_put_end(struct h2_stream *stream, const struct message *trailers);

/* Content put and not yet written. Not 0 after a flush: put no more; the stream will be ready when it is 0. */
static inline uint64_t h2_stream_unsent(const struct h2_stream *stream)
{
	return stream->unsent_bytes;
}

/* The same, but only of what a flush (h2_session_keep_out) has left. The stream will be ready when it is 0. */
static inline uint64_t h2_stream_left(const struct h2_stream *stream)
{
	return stream->waiting ? stream->unsent_bytes : 0;
}

/* Whether the peer's windows have room for content of it. */
bool h2_stream_has_room(const struct h2_stream *stream);

/* Whether it carries nothing more, in either direction. */
static inline bool h2_stream_is_over(const struct h2_stream *stream)
{
	return stream->fate != H2_LIVE;
}

#endif
