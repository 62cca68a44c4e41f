/*
 * The half of stream.h that is HTTP/2's: each function is what the one of its name says. And what is not asked often.
 */
#include "net/stream.h"

struct stream_failure stream_failure(const struct stream *s)
{
	bool starved = stream_error(s) == -ENOMEM || stream_send_error(s) == -ENOMEM;

	if (stream_is_h2(s) && h2_side_was_reset(stream_h2(s)))
		return (struct stream_failure){(enum cause)stream_h2(s)->h2.cause, stream_h2(s)->h2.why};
	/* A flush tells before the session is lost. */
	if (stream_is_h2(s))
		return (struct stream_failure){h2_conn_cause(stream_h2(s)->conn), NULL};
	return (struct stream_failure){starved ? CAUSE_MEMORY_EXHAUSTED : CAUSE_NONE, NULL};
}

int stream_h2_error(const struct stream *s)
{
	return h2_side_error(stream_h2(s));
}

bool stream_h2_was_reset(const struct stream *s)
{
	return h2_side_was_reset(stream_h2(s));
}

uint32_t stream_h2_unsent(const struct stream *s)
{
	return (uint32_t)h2_stream_left(&stream_h2(s)->h2);
}

bool stream_h2_blocked(const struct stream *s)
{
	return stream_h2(s)->h2.full;
}

size_t stream_h2_receive_bytes(const struct stream *s)
{
	return h2_side_receive_bytes(stream_h2(s));
}

bool stream_h2_has_input(const struct stream *s)
{
	return h2_side_was_reset(stream_h2(s)) || stream_h2(s)->h2.heads > 0 || h2_stream_has_input(&stream_h2(s)->h2);
}

bool stream_h2_has_unread(const struct stream *s)
{
	return stream_h2(s)->h2.heads > 0 || stream_h2(s)->h2.fate == H2_MALFORMED;
}

ssize_t stream_h2_fill(struct stream *s, size_t bytes_max)
{
	return h2_side_fill(stream_h2(s));
}

struct h1_result stream_h2_read_response(struct stream *s, const struct h1_limits *limits, enum method request_method,
	struct message *m)
{
	return h2_stream_read_head(&stream_h2(s)->h2, m, NULL);
}

enum h1_piece stream_h2_read_body(struct stream *s, struct view *data, const char **why)
{
	return h2_side_read_body(stream_h2(s), data, why);
}

struct h1_result stream_h2_read_trailers(struct stream *s, const struct h1_limits *limits, struct message *m)
{
	return h2_stream_read_trailers(&stream_h2(s)->h2, m);
}

struct view stream_h2_read_raw(struct stream *s)
{
	return h2_side_read_raw(stream_h2(s));
}

bool stream_h2_body_done(const struct stream *s)
{
	return h2_side_body_done(stream_h2(s));
}

bool stream_h2_is_unsent(const struct stream *s)
{
	return h2_side_is_unsent(stream_h2(s));
}

struct h1_writer stream_h2_begin_head(struct stream *s, size_t room)
{
	return h2_stream_begin_head(&stream_h2(s)->h2, room);
}

bool stream_h2_end_head(struct stream *s, struct h1_writer w, enum framing framing)
{
	return h2_stream_end_head(&stream_h2(s)->h2, &w, framing, stream_h2(s)->scheme);
}

void stream_h2_put_body(struct stream *s, struct view data)
{
	h2_stream_put_body(&stream_h2(s)->h2, data);
}

__attribute__((noinline)) int stream_h2_flush(struct stream *s)
{
	return h2_side_flush(stream_h2(s));
}

void stream_h2_put_end(struct stream *s, const struct message *trailers)
{
	const struct h2_side *side = stream_h2(s);
	bool asks_tunnel = side->h2.extended_connect && side->scheme.n > 0;

	if (!asks_tunnel)
		h2_stream_put_end(&stream_h2(s)->h2, trailers);
}

void stream_h2_shutdown_write(struct stream *s)
{
	h2_side_shutdown(stream_h2(s));
}

bool stream_h2_is_shut(const struct stream *s)
{
	const struct h2_side *side = stream_h2(s);

	/* A client's stream outlives the tunnel until all is out; an upstream's does not, nor perhaps its connection. */
	if (side->scheme.n == 0)
		return side->h2.out == H2_WAY_ENDED || side->h2.out == H2_WAY_ENDING;
	return side->h2.out == H2_WAY_ENDED && !conn_blocked(side->conn->conn);
}
