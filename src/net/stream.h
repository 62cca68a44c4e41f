/*
 * One side of an exchange: a message that is read and a message that is written, whatever the version of HTTP.
 *
 *     HTTP/1   the stream is the connection (h1_conn), which carries one exchange at a time
 *     HTTP/2   the stream is one of many on its connection (h2_conn)
 *
 * Everything here decides by the version and calls the one or the other; HTTP/1 comes first, and inline, since a request
 * asks some thirty times.
 *
 * Reading is a pull, writing gathers until the flush, and a blocked sink is not read for: h1_conn.h says how, and what is
 * said there holds for both. What stands here says only where they differ.
 */
#ifndef WEIR_NET_STREAM_H
#define WEIR_NET_STREAM_H

#include <errno.h>

#include "net/h1_conn.h"
#include "net/h2_conn.h"

static inline struct h1_conn *stream_h1(const struct stream *s)
{
	return container_of((struct stream *)(uintptr_t)s, struct h1_conn, stream);
}

static inline struct h2_side *stream_h2(const struct stream *s)
{
	return container_of((struct stream *)(uintptr_t)s, struct h2_side, stream);
}

static inline bool stream_is_h2(const struct stream *s)
{
	return __builtin_expect(s->version == STREAM_H2, 0);
}

/* With HTTP/2 (stream.c): out of the way of HTTP/1, which is inline. */
int stream_h2_error(const struct stream *s);
bool stream_h2_was_reset(const struct stream *s);
uint32_t stream_h2_unsent(const struct stream *s);
bool stream_h2_blocked(const struct stream *s);
size_t stream_h2_receive_bytes(const struct stream *s);
bool stream_h2_has_input(const struct stream *s);
bool stream_h2_has_unread(const struct stream *s);
ssize_t stream_h2_fill(struct stream *s, size_t bytes_max);
struct h1_result stream_h2_read_response(struct stream *s, const struct h1_limits *limits, enum method request_method,
	struct message *m);
enum h1_piece stream_h2_read_body(struct stream *s, struct view *data, const char **why);
struct h1_result stream_h2_read_trailers(struct stream *s, const struct h1_limits *limits, struct message *m);
struct view stream_h2_read_raw(struct stream *s);
bool stream_h2_body_done(const struct stream *s);
bool stream_h2_is_unsent(const struct stream *s);
struct h1_writer stream_h2_begin_head(struct stream *s, size_t room);
bool stream_h2_end_head(struct stream *s, struct h1_writer w, enum framing framing);
void stream_h2_put_body(struct stream *s, struct view data);
int stream_h2_flush(struct stream *s);
void stream_h2_put_end(struct stream *s, const struct message *trailers);
void stream_h2_shutdown_write(struct stream *s);
bool stream_h2_is_shut(const struct stream *s);

/* --- how it stands -------------------------------------------------------------------------------------------------- */

/*
 * Negative errno once receiving has failed, 0 while it has not. HTTP/2: -ENOMEM, or -ECONNRESET whoever has reset the
 * stream: stream_failure tells that.
 */
static inline int stream_error(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_error(s);
	return stream_h1(s)->conn.error;
}

/* The same for sending; what the peer said before may still be read. */
static inline int stream_send_error(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_error(s);
	return stream_h1(s)->conn.send_error;
}

/* The peer has reset it: not an orderly end. HTTP/2: or we have. */
static inline bool stream_was_reset(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_was_reset(s);
	return stream_h1(s)->conn.reset;
}

/* Nothing can be sent any more. */
static inline bool stream_broken(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_was_reset(s);
	return stream_h1(s)->conn.broken;
}

/* The peer has ended its direction of the connection; what came before that may be unread. HTTP/2: it was cut off. */
static inline bool stream_peer_closed(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_was_reset(s);
	return stream_h1(s)->conn.peer_closed;
}

/* What we have ended it for ourselves. */
struct stream_failure {
	enum cause cause;  /* NONE: nothing, so the peer has ended it */
	const char *why;   /* one static sentence, or NULL */
};

/* Of a stream that has failed, or ended: want of memory, and what of the peer's was malformed. */
struct stream_failure stream_failure(const struct stream *s);

/* Bytes that were flushed and have not gone out. */
static inline uint32_t stream_unsent(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_unsent(s);
	return conn_unsent(&stream_h1(s)->conn);
}

/* More waits than is worth waiting for. It tells when that has changed. */
static inline bool stream_blocked(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_blocked(s);
	return conn_blocked(&stream_h1(s)->conn);
}

/* How much is to be received at a time for what is put on it: what it cannot send it has to keep. */
static inline size_t stream_receive_bytes(const struct stream *s)
{
	return stream_is_h2(s) ? stream_h2_receive_bytes(s) : SIZE_MAX;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static inline bool stream_has_input(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_has_input(s);
	return h1_conn_has_input(stream_h1(s));
}

/* Something of a head, or of what follows it, was received and is not read. */
static inline bool stream_has_unread(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_has_unread(s);
	return stream_h1(s)->unread.n > 0;
}

static inline ssize_t stream_fill(struct stream *s, size_t bytes_max)
{
	if (stream_is_h2(s))
		return stream_h2_fill(s, bytes_max);
	return h1_conn_fill(stream_h1(s), bytes_max);
}

/* As h1_conn_pipe; with HTTP/2 on either side content has to be received and put. */
static inline size_t stream_pipe(struct stream *from, struct stream *to, uint64_t bytes_max)
{
	if (stream_is_h2(from) || stream_is_h2(to))
		return 0;
	return h1_conn_pipe(stream_h1(from), stream_h1(to), bytes_max);
}

/* As h1_conn_first_bytes. */
static inline size_t stream_first_bytes(const struct stream *s, size_t bytes_max)
{
	return stream_is_h2(s) ? bytes_max : h1_conn_first_bytes(stream_h1(s), bytes_max);
}

/*
 * As h1_conn_expect, for content that does not come with its head however little is received at a time. (After less than that nothing
 * else is expected than before.)
 */
static inline void stream_expect(struct stream *from, const struct stream *to, uint64_t content_length)
{
	if (content_length > H1_FIRST_BYTES && !stream_is_h2(from) && !stream_is_h2(to))
		h1_conn_expect(stream_h1(from), stream_h1(to), content_length);
}

static inline struct h1_result stream_read_response(struct stream *s, const struct h1_limits *limits,
	enum method request_method, struct message *m)
{
	if (stream_is_h2(s))
		return stream_h2_read_response(s, limits, request_method, m);
	return h1_conn_read_response(stream_h1(s), limits, request_method, m);
}

static inline enum h1_piece stream_read_body(struct stream *s, struct view *data, const char **why)
{
	if (stream_is_h2(s))
		return stream_h2_read_body(s, data, why);
	return h1_conn_read_body(stream_h1(s), data, why);
}

static inline struct h1_result stream_read_trailers(struct stream *s, const struct h1_limits *limits, struct message *m)
{
	if (stream_is_h2(s))
		return stream_h2_read_trailers(s, limits, m);
	return h1_conn_read_trailers(stream_h1(s), limits, m);
}

static inline struct view stream_read_raw(struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_read_raw(s);
	return h1_conn_read_raw(stream_h1(s));
}

/* The content that is read is complete. */
static inline bool stream_body_done(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_body_done(s);
	return h1_body_done(&stream_h1(s)->body);
}

/* As h1_conn_mark and h1_conn_rewind. With HTTP/2 what was read is gone. */
static inline bool stream_can_rewind(const struct stream *s)
{
	return !stream_is_h2(s);
}

static inline void stream_mark(const struct stream *s, struct h1_mark *mark)
{
	h1_conn_mark(stream_h1(s), mark);
}

static inline void stream_rewind(struct stream *s, const struct h1_mark *mark)
{
	h1_conn_rewind(stream_h1(s), mark);
}

/* The connection has ended: whether that is the end of the content. HTTP/2 says the end itself. */
static inline bool stream_body_eof(struct stream *s)
{
	return !stream_is_h2(s) && h1_body_eof(&stream_h1(s)->body);
}

/* --- writing -------------------------------------------------------------------------------------------------------- */

static inline void stream_begin_message(struct stream *s)
{
	if (!stream_is_h2(s))
		h1_conn_begin_message(stream_h1(s));
}

/* The peer cannot have seen a byte of the message, or says that it has not looked at it (RFC 9113 §8.7). */
static inline bool stream_is_unsent(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_is_unsent(s);
	return h1_conn_is_unsent(stream_h1(s));
}

/* HTTP/2: the peer says that it has not looked at the message, and so it may be sent again, whatever it was. */
static inline bool stream_was_refused(const struct stream *s)
{
	return stream_is_h2(s) && h2_side_is_unsent(stream_h2(s));
}

/*
 * What failed was the connection, and not the stream by itself, of which the peer then knew; nor was it ended for an
 * error, by the peer or by us, which may have been about this very message.
 */
static inline bool stream_was_lost(const struct stream *s)
{
	return !stream_is_h2(s) || (stream_h2(s)->h2.fate == H2_LOST && stream_h2(s)->h2.reset_code == H2_NO_ERROR);
}

/* A request to switch protocols can be written on it. */
static inline bool stream_can_upgrade(const struct stream *s)
{
	return !stream_is_h2(s) || h2_session_can_upgrade(stream_h2(s)->h2.session);
}

/* It is asked for a tunnel by extended CONNECT: every answer of 2xx opens one (RFC 8441). */
static inline bool stream_asks_tunnel(const struct stream *s)
{
	return stream_is_h2(s) && stream_h2(s)->h2.extended_connect;
}

/* The head is written as HTTP/1 text for both versions; HTTP/2 takes it apart again. */
static inline struct h1_writer stream_begin_head(struct stream *s, size_t room)
{
	if (stream_is_h2(s))
		return stream_h2_begin_head(s, room);
	return h1_conn_begin_head(stream_h1(s), room);
}

static inline bool stream_end_head(struct stream *s, struct h1_writer *w, enum framing framing)
{
	if (stream_is_h2(s))
		return stream_h2_end_head(s, *w, framing);
	return h1_conn_end_head(stream_h1(s), w, framing);
}

/* A head, or trailers, could not be put since the peer takes none so large; which may be none at all. */
static inline bool stream_is_beyond_peer(const struct stream *s)
{
	return stream_is_h2(s) && stream_h2(s)->h2.beyond_peer;
}

/* How large it takes them, if that is so. */
static inline uint32_t stream_head_limit(const struct stream *s)
{
	return stream_is_beyond_peer(s) ? h2_session_head_max(stream_h2(s)->h2.session) : 0;
}

/* Whether the peer takes trailers as large as these; only HTTP/2 says how large that is. */
static inline bool stream_takes_trailers(struct stream *s, const struct message *trailers)
{
	return !stream_is_h2(s) || h2_stream_takes_trailers(&stream_h2(s)->h2, trailers);
}

static inline void stream_put_body(struct stream *s, struct view data)
{
	if (stream_is_h2(s)) {
		stream_h2_put_body(s, data);
		return;
	}
	h1_conn_put_body(stream_h1(s), data);
}

static inline int stream_flush(struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_flush(s);
	return h1_conn_flush(stream_h1(s));
}

/* As conn_part, before the flush. Of HTTP/2 no stream is the last. */
static inline void stream_part(struct stream *s)
{
	if (!stream_is_h2(s))
		conn_part(&stream_h1(s)->conn);
}

/* Content of one side to the other, which has it when what was read may go away. */
static inline void stream_pass(const struct stream *from, struct stream *to, struct view data)
{
	stream_put_body(to, data);
	/* A large piece is only pointed at; with HTTP/1 it stays until the next fill, with HTTP/2 until the next read. */
	if (stream_is_h2(from) && data.n > H1_COPY_MAX)
		stream_flush(to);
}

/* The end of a message. That of a request for a tunnel is no end of its stream: see stream_shutdown_write. */
static inline void stream_put_end(struct stream *s, const struct message *trailers)
{
	if (stream_is_h2(s)) {
		stream_h2_put_end(s, trailers);
		return;
	}
	/* Only chunks have an end that is written. */
	if (stream_h1(s)->out_framing == FRAMING_CHUNKED)
		h1_conn_put_end(stream_h1(s), trailers);
}

static inline void stream_put_raw(struct stream *s, struct view data)
{
	if (stream_is_h2(s)) {
		stream_h2_put_body(s, data);
		return;
	}
	h1_conn_put_raw(stream_h1(s), data);
}

/* Ends our direction of a tunnel; once. */
static inline void stream_shutdown_write(struct stream *s)
{
	if (stream_is_h2(s)) {
		stream_h2_shutdown_write(s);
		return;
	}
	conn_shutdown_write(&stream_h1(s)->conn);
}

static inline bool stream_is_shut(const struct stream *s)
{
	if (stream_is_h2(s))
		return stream_h2_is_shut(s);
	return stream_h1(s)->conn.shut;
}

#endif
