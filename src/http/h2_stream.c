/*
 * A stream's life, and what its owner reads.
 *
 *     received:  kept (copied)  |  borrowed[] (in the bytes last received)  |  trailers  |  the end
 *
 * Content is read in this order. Bytes go back to the peer's windows when they are handed out, and all at once when
 * nobody will read them any more. So a peer can never have more of them standing here than its windows say.
 */
#include "http/h2_state.h"

#include "base/check.h"
#include "base/planted.h"

static struct h2_session *session_of(struct h2_stream *stream)
{
	return stream->session;
}

void h2_stream_ready(struct h2_stream *stream)
{
	if (!list_linked(&stream->ready_node))
		list_push_back(&stream->session->ready, &stream->ready_node);
}

/* What the heads of one message may take: twice a largest one, with cookies joined and fields described. */
static size_t arena_bytes_max(const struct h1_limits *l)
{
	return 4 * ((size_t)l->head_bytes_max + l->field_count_max * sizeof(struct field)) + 4096;
}

void h2_stream_begin(struct h2_session *s, struct h2_stream *stream, int32_t id)
{
	memset(stream, 0, offsetof(struct h2_stream, first));
	stream->session = s;
	stream->id = id;
	stream->began_us = s->now_us;
	arena_init(&stream->arena, stream->first, sizeof(stream->first), arena_bytes_max(&s->limits.head));
	list_push_back(&s->live, &stream->live_node);
	s->streams++;
}

void h2_session_open(struct h2_session *s, struct h2_stream *stream)
{
	CHECK(s->role == H2_CLIENT);
	h2_window_look(s);
	h2_stream_begin(s, stream, 0);
	if (s->state != H2_OPEN)
		h2_stream_over(stream, H2_REFUSED, s->error);
}

/* What was handed out of the kept bytes has been used. */
static void drop_handed(struct h2_stream *stream)
{
	if (stream->handed == 0)
		return;
	buf_consume(&stream->kept, stream->handed);
	stream->handed = 0;
}

static void drop_in(struct h2_stream *stream)
{
	list_remove(&stream->borrowing_node);
	buf_release(&stream->kept);
	stream->pieces = 0;
	stream->handed = 0;
	stream->trailers_in = NULL;
	stream->trailers_refused = false;
	h2_window_give_back(stream, stream->unread_bytes);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

void h2_stream_over(struct h2_stream *stream, enum h2_fate fate, uint32_t code)
{
	if (stream->fate != H2_LIVE)
		return;
	stream->fate = (uint8_t)fate;
	stream->reset_code = code;
	/* Whatever we have found before: it was not for that. (What we have no memory to send is refused as well.) */
	if (fate == H2_RESET_BY_PEER || (fate == H2_REFUSED && stream->cause != CAUSE_MEMORY_EXHAUSTED))
		stream->cause = CAUSE_NONE;
	h2_block_abandon(session_of(stream), stream->id);
	/* What came whole may still be read. */
	if (stream->in != H2_WAY_ENDED)
		drop_in(stream);
	h2_stream_drop_out(stream);
	h2_stream_ready(stream);
}

static void submit_reset(struct h2_stream *stream, uint32_t code)
{
	struct h2_session *s = session_of(stream);

	if (s->state != H2_OPEN || stream->id == 0)
		return;
	if (nghttp2_submit_rst_stream(s->engine, NGHTTP2_FLAG_NONE, stream->id, code) != 0)
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory to reset a stream");
	/* Content that is on its way comes for nothing, and not by the peer's fault. */
	if (stream->in != H2_WAY_ENDED && stream->fate == H2_LIVE)
		h2_allow(s, (s->limits.stream_window_bytes + stream->wider_bytes) / H2_NOISE_BYTES);
}

void h2_stream_malformed(struct h2_stream *stream, uint32_t code, const char *why)
{
	if (stream->fate != H2_LIVE)
		return;
	stream->cause = (uint8_t)h2_fault_of_peer(session_of(stream));
	stream->why = why;
	h2_stream_over(stream, H2_MALFORMED, code);
}

void h2_stream_refuse(struct h2_stream *stream, enum h2_error code, const char *why)
{
	if (stream->fate != H2_LIVE)
		return;
	h2_glitch(session_of(stream));
	submit_reset(stream, code);
	h2_stream_malformed(stream, code, why);
}

void h2_stream_starve(struct h2_stream *stream)
{
	if (stream->fate != H2_LIVE)
		return;
	stream->cause = CAUSE_MEMORY_EXHAUSTED;
	stream->why = NULL;
	h2_stream_reset(stream, H2_INTERNAL_ERROR);
}

void h2_stream_reset(struct h2_stream *stream, enum h2_error code)
{
	if (stream->fate != H2_LIVE)
		return;
	submit_reset(stream, code);
	h2_stream_over(stream, H2_RESET_HERE, code);
}

void h2_stream_release(struct h2_stream *stream)
{
	struct h2_session *s = session_of(stream);

	if (stream->fate == H2_LIVE)
		submit_reset(stream, stream->out == H2_WAY_ENDED && s->role == H2_SERVER ? H2_NO_ERROR : H2_CANCEL);
	if (s->state <= H2_CLOSING && stream->id != 0 && !PLANTED(CONTENT_FOR_NEXT_USER))
		h2_session_forget_stream(s, stream->id);
	h2_block_abandon(s, stream->id);
	drop_in(stream);
	h2_stream_drop_out(stream);
	h2_window_release(stream);
	list_remove(&stream->ready_node);
	list_remove(&stream->live_node);
	arena_release(&stream->arena);
	s->streams--;
}

/* --- content ---------------------------------------------------------------------------------------------------- */

/* Copies what is borrowed. No more than the stream's window comes together: nghttp2 sees to that. */
void h2_stream_keep_in(struct h2_stream *stream)
{
	drop_handed(stream);
	list_remove(&stream->borrowing_node);
	for (unsigned i = 0; i < stream->pieces; i++) {
		if (buf_append(&stream->kept, stream->borrowed[i], UINT32_MAX / 2))
			continue;
		stream->pieces = 0;
		stream->in = H2_WAY_CONTENT;
		/* It may have ended in order: its owner is still to learn that not all of it is there. */
		if (stream->fate == H2_COMPLETE) {
			stream->fate = H2_LIVE;
			stream->cause = CAUSE_MEMORY_EXHAUSTED;
			h2_stream_over(stream, H2_RESET_HERE, H2_INTERNAL_ERROR);
		}
		h2_stream_starve(stream);
		return;
	}
	stream->pieces = 0;
}

void h2_stream_take(struct h2_stream *stream, struct view data)
{
	h2_window_take(stream, data.n);
	if (stream->pieces == H2_STREAM_PIECES)
		h2_stream_keep_in(stream);
	if (stream->fate != H2_LIVE)
		return;
	stream->borrowed[stream->pieces++] = data;
	if (!list_linked(&stream->borrowing_node))
		list_push_back(&session_of(stream)->borrowing, &stream->borrowing_node);
	h2_stream_ready(stream);
}

static bool has_content(const struct h2_stream *stream)
{
	return buf_len(&stream->kept) > stream->handed || stream->pieces > 0;
}

static struct view take_content(struct h2_stream *stream)
{
	struct view data;

	if (buf_len(&stream->kept) > 0) {
		data = buf_view(&stream->kept);
		stream->handed = (uint32_t)data.n;
		return data;
	}
	data = stream->borrowed[0];
	stream->pieces--;
	memmove(stream->borrowed, stream->borrowed + 1, stream->pieces * sizeof(stream->borrowed[0]));
	if (stream->pieces == 0)
		list_remove(&stream->borrowing_node);
	return data;
}

static const char *why_over(const struct h2_stream *stream)
{
	switch ((enum h2_fate)stream->fate) {
	case H2_RESET_BY_PEER: return "the stream was reset";
	case H2_REFUSED: return "the stream was refused";
	case H2_LOST: return "the connection has ended";
	case H2_MALFORMED: return stream->why != NULL ? stream->why : "the message is malformed";
	default: return "the stream has ended early";
	}
}

enum h1_piece h2_stream_read_body(struct h2_stream *stream, struct view *data, const char **why)
{
	drop_handed(stream);
	if (has_content(stream)) {
		*data = take_content(stream);
		stream->read_bytes += data->n;
		h2_window_give_back(stream, data->n);
		if (stream->fate == H2_LIVE || stream->in == H2_WAY_ENDED)
			return H1_PIECE_DATA;
		/* There was no memory to give it back, and with the session the data has gone. */
		*data = view_of(NULL, 0);
	}
	if (stream->trailers_in != NULL || stream->trailers_refused)
		return H1_PIECE_TRAILERS;
	if (stream->in == H2_WAY_ENDED)
		return H1_PIECE_END;
	if (stream->fate == H2_LIVE)
		return H1_PIECE_MORE;
	*why = why_over(stream);
	return H1_PIECE_BAD;
}

struct h1_result h2_stream_read_trailers(struct h2_stream *stream, struct message *m)
{
	if (stream->trailers_refused) {
		stream->trailers_refused = false;
		return (struct h1_result){.status = H1_BAD, .cause = CAUSE_HEADERS_TOO_LARGE,
			.why = "the trailers are larger than is allowed"};
	}
	CHECK(stream->trailers_in != NULL);
	*m = stream->trailers_in->message;
	stream->trailers_in = NULL;
	return (struct h1_result){.status = H1_DONE};
}

bool h2_stream_has_input(const struct h2_stream *stream)
{
	return has_content(stream) || stream->in == H2_WAY_ENDED || stream->fate != H2_LIVE;
}

/* --- heads ------------------------------------------------------------------------------------------------------ */

/* In HTTP/1 a head with a length of 0 is the whole message; here the peer may still break its word (RFC 9113 §8.1.1). */
static void doubt_length(const struct h2_stream *stream, struct message *m)
{
	if (m->framing != FRAMING_LENGTH || m->content_length > 0 || stream->in == H2_WAY_ENDED)
		return;
	h2_forget_length(m);
	m->framing = FRAMING_CHUNKED;
}

struct h1_result h2_stream_read_head(struct h2_stream *stream, struct message *m, struct view *scheme)
{
	struct h2_head *head = stream->first_head;

	if (head != NULL) {
		*m = head->message;
		doubt_length(stream, m);
		if (scheme != NULL)
			*scheme = head->scheme;
		stream->first_head = head->next;
		stream->heads -= stream->heads > 0;
		return (struct h1_result){.status = H1_DONE};
	}
	if (stream->cause != CAUSE_NONE && stream->fate == H2_LIVE)
		return (struct h1_result){.status = H1_BAD, .cause = (enum cause)stream->cause, .why = stream->why};
	if (stream->session->role == H2_CLIENT && stream->fate == H2_MALFORMED)
		return (struct h1_result){
			.status = H1_BAD, .cause = CAUSE_UPSTREAM_BAD_RESPONSE, .why = why_over(stream)};
	return (struct h1_result){.status = H1_MORE};
}
