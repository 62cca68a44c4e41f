/*
 * What nghttp2 calls. Everything is noted, nothing is answered from here: owners hear of it when the session's
 * caller asks.
 *
 * A stream's number leads to its owner's memory, to nothing (it never had an owner: its head was refused), or to a
 * mark that its owner has released it. In the latter two what still comes for it is taken and forgotten.
 *
 * Glitches are counted where their cause is seen, not where the frame that answers it goes out: a peer that does
 * not read would never pay for them.
 */
#include "base/planted.h"
#include "http/h2_state.h"

/* What nghttp2 keeps for a stream whose owner is done with it. */
static char released;

struct h2_stream *h2_session_stream(struct h2_session *s, int32_t id)
{
	void *stream = nghttp2_session_get_stream_user_data(s->engine, id);

	return stream == &released ? NULL : stream;
}

void h2_session_forget_stream(struct h2_session *s, int32_t id)
{
	nghttp2_session_set_stream_user_data(s->engine, id, &released);
}

/* --- heads ------------------------------------------------------------------------------------------------------ */

/* A response's head until the final one has come, and trailers after that. */
static enum h2_block_kind block_kind(struct h2_session *s, const nghttp2_frame *frame)
{
	const struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);

	if (frame->hd.type != NGHTTP2_HEADERS)
		return H2_BLOCK_UNWANTED;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return H2_BLOCK_REQUEST;
	if (stream == NULL || stream->fate != H2_LIVE)
		return H2_BLOCK_UNWANTED;
	return stream->in == H2_WAY_HEAD ? H2_BLOCK_RESPONSE : H2_BLOCK_TRAILERS;
}

static int on_begin_headers(nghttp2_session *engine, const nghttp2_frame *frame, void *context)
{
	struct h2_session *s = context;

	h2_work_of_head(s);
	h2_block_begin(s, block_kind(s, frame), frame->hd.stream_id);
	return h2_go_on(s);
}

static int on_header(nghttp2_session *engine, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
	const uint8_t *value, size_t value_n, uint8_t flags, void *context)
{
	struct h2_session *s = context;

	if (!h2_block_add(s, h2_view(name, name_n), h2_view(value, value_n))) {
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory for a head");
		return h2_go_on(s);
	}
	s->paused = !h2_work_of_field(s) && s->state <= H2_CLOSING;
	return s->paused ? NGHTTP2_ERR_PAUSE : h2_go_on(s);
}

/* nghttp2 would leave such a field out and go on. RFC 9113 §8.2.1 has the whole message malformed. */
static int on_invalid_header(nghttp2_session *engine, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
	const uint8_t *value, size_t value_n, uint8_t flags, void *context)
{
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* Nobody is to hear of this request. */
static void refuse_request(struct h2_session *s, int32_t id, enum h2_error code)
{
	if (nghttp2_submit_rst_stream(s->engine, NGHTTP2_FLAG_NONE, id, code) != 0)
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory to refuse a stream");
	if (code == H2_REFUSED_STREAM)
		h2_glitch_of_refusal(s);
	else
		h2_glitch(s);
}

/* A head for the queue of the stream's owner. */
static void queue_head(struct h2_stream *stream, struct h2_head *head)
{
	if (stream->first_head == NULL)
		stream->first_head = head;
	else
		stream->last_head->next = head;
	stream->last_head = head;
	h2_stream_ready(stream);
}

/* Its method is still known, and so that an answer to HEAD has no content. */
static void refuse_head(struct h2_stream *stream, enum cause cause, const char *why)
{
	stream->method = (uint8_t)method_of(stream->session->block.pseudo[H2_METHOD]);
	stream->cause = (uint8_t)cause;
	stream->why = why;
	h2_stream_ready(stream);
}

static void fill_request(struct h2_session *s, struct h2_stream *stream, const struct message *m)
{
	struct h2_head *head;

	if (s->block.refusal != CAUSE_NONE) {
		refuse_head(stream, (enum cause)s->block.refusal, s->block.refusal_why);
		return;
	}
	head = h2_block_copy(s, stream, m);
	if (head == NULL) {
		refuse_head(stream, CAUSE_MEMORY_EXHAUSTED, "no memory for the request head");
		return;
	}
	stream->extended_connect = m->has_upgrade;
	queue_head(stream, head);
}

static void request_received(struct h2_session *s, const nghttp2_frame *frame)
{
	bool end_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	int32_t id = frame->hd.stream_id;
	struct h2_stream *stream;
	struct message m = {0};

	if (s->block.refusal == CAUSE_NONE && h2_block_judge_request(s, end_stream, &m) != NULL) {
		refuse_request(s, id, H2_PROTOCOL_ERROR);
		return;
	}
	h2_earn(s, H2_NOISE_PER_HEAD);
	/* Not only those that the peer has open: see the top of h2.h. */
	stream = s->streams < s->limits.streams_max ? s->owner.on_stream(s->owner.context) : NULL;
	if (stream == NULL) {
		refuse_request(s, id, H2_REFUSED_STREAM);
		return;
	}
	h2_stream_begin(s, stream, id);
	stream->in = end_stream ? H2_WAY_ENDED : H2_WAY_CONTENT;
	nghttp2_session_set_stream_user_data(s->engine, id, stream);
	fill_request(s, stream, &m);
}

/* No copy could be made: a stream has room for one more head of the largest kind, until there were too many of them. */
static bool lacks_memory(const struct h2_stream *stream)
{
	const struct h1_limits *l = &stream->session->limits.head;

	return stream->arena.bytes_left >= 2 * (l->head_bytes_max + l->field_count_max * sizeof(struct field));
}

static void response_received(struct h2_session *s, struct h2_stream *stream, bool end_stream)
{
	struct message m = {0};
	const char *why = s->block.refusal != CAUSE_NONE ? "the response head is larger than is allowed" : NULL;
	struct h2_head *head = NULL;

	if (why == NULL)
		why = h2_block_judge_response(s, stream, end_stream, &m);
	if (why == NULL && stream->heads == H2_HEADS_MAX)
		why = "too many informational responses";
	if (why == NULL)
		head = h2_block_copy(s, stream, &m);
	if (head == NULL && why == NULL && lacks_memory(stream)) {
		h2_stream_starve(stream);
		return;
	}
	if (head == NULL) {
		why = why != NULL ? why : "the response heads are larger than is allowed";
		h2_stream_refuse(stream, H2_PROTOCOL_ERROR, why);
		return;
	}
	stream->heads++;
	if (m.status >= 200 || m.status == 101) {
		h2_earn(s, H2_NOISE_PER_HEAD);
		stream->in = end_stream ? H2_WAY_ENDED : H2_WAY_CONTENT;
	}
	queue_head(stream, head);
}

/* nghttp2 has seen to it that they end the stream. Who has read the content is told of those that are too large. */
static void trailers_received(struct h2_session *s, struct h2_stream *stream)
{
	struct message m = {0};

	stream->in = H2_WAY_ENDED;
	h2_stream_ready(stream);
	if (s->block.refusal != CAUSE_NONE) {
		stream->trailers_refused = true;
		h2_glitch(s);
		return;
	}
	h2_block_judge_trailers(s, &m);
	stream->trailers_in = h2_block_copy(s, stream, &m);
	if (stream->trailers_in == NULL) {
		stream->in = H2_WAY_CONTENT;
		h2_stream_starve(stream);
	}
}

static void block_received(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);

	switch ((enum h2_block_kind)s->block.kind) {
	case H2_BLOCK_REQUEST: request_received(s, frame); break;
	case H2_BLOCK_RESPONSE: response_received(s, stream, frame->hd.flags & NGHTTP2_FLAG_END_STREAM); break;
	case H2_BLOCK_TRAILERS: trailers_received(s, stream); break;
	case H2_BLOCK_UNWANTED:
	case H2_BLOCK_NONE: break;
	}
	h2_block_end(s);
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

static bool is_known(struct h2_session *s, int32_t id)
{
	nghttp2_stream *stream = nghttp2_session_find_stream(s->engine, id);

	return stream != NULL && nghttp2_stream_get_state(stream) != NGHTTP2_STREAM_STATE_IDLE;
}

/*
 * RFC 9113 §5.1.1: a number that was passed over is closed for ever. nghttp2 lets it pass, since it does not
 * remember every stream and this could be one that it has forgotten. If the peer has passed over none it is, and is
 * ignored.
 */
static void judge_id(struct h2_session *s, int32_t id)
{
	if (s->role != H2_SERVER || id % 2 == 0)
		return;
	if (id > s->last_id) {
		s->last_id = id;
		s->ids++;
	} else if (s->ids < ((uint32_t)s->last_id + 1) / 2 && !is_known(s, id)) {
		h2_session_fail(s, H2_PROTOCOL_ERROR, "a stream has a number that was passed over");
	}
}

/* A block that began with HEADERS goes on, or begins. What is in it is counted before it is decompressed. */
static void block_frame(struct h2_session *s, const nghttp2_frame_hd *hd)
{
	uint32_t head_bytes_max = s->limits.head.head_bytes_max;
	struct h2_block *b = &s->block;

	if (hd->type == NGHTTP2_HEADERS) {
		b->frames = 0;
		b->wire_bytes = 0;
		judge_id(s, hd->stream_id);
	}
	b->wire_bytes += hd->length;
	/* As much as a head could take that is answered with 431, and no more than that is read for. */
	if (b->wire_bytes > 4ULL * head_bytes_max + H2_FRAME_BYTES_MAX)
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a header block is much larger than is allowed");
	if (++b->frames > h2_block_frames_max(s))
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a header block has too many frames");
	if (hd->length == 0)
		h2_glitch(s);
	h2_noise(s);
}

static int on_begin_frame(nghttp2_session *engine, const nghttp2_frame_hd *hd, void *context)
{
	struct h2_session *s = context;

	h2_session_note_frame(s, hd->stream_id);
	switch (hd->type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_CONTINUATION: block_frame(s, hd); break;
	case NGHTTP2_DATA:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_GOAWAY: break;
	default: h2_noise(s);
	}
	return h2_go_on(s);
}

static void content_received(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);

	if (frame->hd.length <= frame->data.padlen && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		h2_glitch(s);
	if (stream == NULL || stream->fate != H2_LIVE || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return;
	stream->in = H2_WAY_ENDED;
	h2_stream_ready(stream);
}

/* A frame that RFC 9113 does not define has been counted; what is in it nobody wants. */
static int on_extension_chunk(
	nghttp2_session *engine, const nghttp2_frame_hd *hd, const uint8_t *data, size_t n, void *context)
{
	return NGHTTP2_ERR_CANCEL;
}

static int on_extension(nghttp2_session *engine, void **payload, const nghttp2_frame_hd *hd, void *context)
{
	return NGHTTP2_ERR_CANCEL;
}

static bool is_refusal(uint32_t code)
{
	return code == NGHTTP2_REFUSED_STREAM || PLANTED(RESET_TAKEN_FOR_REFUSED);
}

/*
 * The peer resets. A server pays for the work that it began, a client's peer only ends what was asked of it. Work that was
 * under way for long is not to be had in masses, and what is over for us already (answered in whole before the request was
 * complete, or refused, which has been counted) is only told once more.
 */
static void reset_received(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);
	uint32_t code = frame->rst_stream.error_code;

	if (s->role == H2_SERVER && stream == NULL)
		h2_noise(s);
	else if (s->role == H2_SERVER && stream->out != H2_WAY_ENDED && s->now_us - stream->began_us < H2_EARLY_US)
		h2_glitch(s);
	if (stream != NULL)
		h2_stream_over(stream, is_refusal(code) ? H2_REFUSED : H2_RESET_BY_PEER, code);
}

static int on_frame_recv(nghttp2_session *engine, const nghttp2_frame *frame, void *context)
{
	struct h2_session *s = context;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS: block_received(s, frame); break;
	case NGHTTP2_DATA: content_received(s, frame); break;
	case NGHTTP2_RST_STREAM: reset_received(s, frame); break;
	case NGHTTP2_SETTINGS:
		s->settled = true;
		s->acknowledged |= frame->hd.flags & NGHTTP2_FLAG_ACK;
		break;
	case NGHTTP2_GOAWAY:
		s->peer_going = true;
		s->error = s->peer_error = frame->goaway.error_code;
		break;
	case NGHTTP2_PING:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && s->drain == H2_DRAIN_NOTICE)
			h2_session_drain_finally(s);
		break;
	}
	h2_session_note_frame(s, 0);
	return h2_go_on(s);
}

/* A stream's message is malformed, or one too many; nghttp2 resets it. */
static int on_invalid_frame_recv(nghttp2_session *engine, const nghttp2_frame *frame, int error, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);

	if (error == NGHTTP2_ERR_REFUSED_STREAM)
		h2_glitch_of_refusal(s);
	else
		h2_glitch(s);
	if (frame->hd.type == NGHTTP2_HEADERS)
		h2_block_end(s);
	if (stream != NULL)
		h2_stream_malformed(stream, NGHTTP2_PROTOCOL_ERROR, NULL);
	return h2_go_on(s);
}

static int on_data_chunk(
	nghttp2_session *engine, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream = h2_session_stream(s, id);

	if (stream == NULL || stream->fate != H2_LIVE) {
		nghttp2_session_consume(s->engine, id, n);
		return h2_go_on(s);
	}
	h2_earn(s, 0);
	h2_stream_take(stream, h2_view(data, n));
	return h2_go_on(s);
}

/*
 * Both directions are closed, in order or not. What is not yet known of the reason is told by the code. Refused are
 * those that a GOAWAY leaves out; and, while we write, one whose head there was no memory for (on_frame_not_send has
 * the other reasons).
 */
static int on_stream_close(nghttp2_session *engine, int32_t id, uint32_t code, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream = h2_session_stream(s, id);

	if (stream == NULL || stream->fate != H2_LIVE)
		return h2_go_on(s);
	if (code != NGHTTP2_NO_ERROR)
		h2_wire_note_reset(s, id);
	if (code == NGHTTP2_NO_ERROR) {
		h2_forgive(s);
		h2_stream_over(stream, H2_COMPLETE, code);
	} else if (code == NGHTTP2_REFUSED_STREAM && !PLANTED(UNPROCESSED_TAKEN_FOR_RESET)) {
		stream->cause = s->to != NULL ? CAUSE_MEMORY_EXHAUSTED : CAUSE_NONE;
		h2_stream_over(stream, H2_REFUSED, code);
	} else if (stream->cause == CAUSE_MEMORY_EXHAUSTED) {
		h2_stream_over(stream, H2_RESET_HERE, code);
	} else {
		h2_glitch(s);
		h2_stream_malformed(stream, code, NULL);
	}
	return h2_go_on(s);
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

/* Static, since it outlives the session in the log; what nghttp2 writes into its GOAWAY does not. */
static const char *why_ended(uint32_t code)
{
	switch (code) {
	case NGHTTP2_PROTOCOL_ERROR: return "a frame is not one that may come there";
	case NGHTTP2_FLOW_CONTROL_ERROR: return "more has come than the window has, or the window is larger than may be";
	case NGHTTP2_STREAM_CLOSED: return "there is more of a stream that has ended";
	case NGHTTP2_FRAME_SIZE_ERROR: return "a frame has a size that it may not have";
	case NGHTTP2_COMPRESSION_ERROR: return "a head cannot be decompressed";
	default: return nghttp2_http2_strerror(code);
	}
}

/* nghttp2 ends the session. An internal error is that it had no memory to compress a head. */
static void goaway_sent(struct h2_session *s, const nghttp2_frame *frame)
{
	bool starved = frame->goaway.error_code == NGHTTP2_INTERNAL_ERROR;

	if (frame->goaway.error_code == NGHTTP2_NO_ERROR && s->drain == H2_DRAIN_NOTICE)
		h2_session_notice_sent(s);
	if (frame->goaway.error_code == NGHTTP2_NO_ERROR)
		return;
	s->state = H2_CLOSING;
	s->error = frame->goaway.error_code;
	s->cause = starved ? CAUSE_MEMORY_EXHAUSTED : h2_fault_of_peer(s);
	s->why = starved ? "no memory for a head" : why_ended(s->error);
}

/* Whatever becomes of a request's head, also of one that was cancelled before it could be written: here it leaves the queue. */
static void note_left_queue(struct h2_session *s, const nghttp2_frame *frame)
{
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST && s->requests_queued > 0)
		s->requests_queued--;
}

static int on_frame_send(nghttp2_session *engine, const nghttp2_frame *frame, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream;

	note_left_queue(s, frame);
	switch (frame->hd.type) {
	case NGHTTP2_GOAWAY: goaway_sent(s, frame); break;
	case NGHTTP2_RST_STREAM: h2_wire_note_reset(s, frame->hd.stream_id); break;
	case NGHTTP2_HEADERS:
		if (s->role == H2_CLIENT && frame->hd.stream_id > s->last_id)
			s->last_id = frame->hd.stream_id;
		break;
	}
	if (frame->hd.type > NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream = h2_session_stream(s, frame->hd.stream_id);
	if (stream != NULL) {
		stream->out = H2_WAY_ENDED;
		h2_stream_ready(stream);
	}
	return 0;
}

/*
 * A head that could not be sent: nobody would ever hear of its stream. What nghttp2 cannot compress it has no memory
 * for. Where it has had enough of the peer the answer's stream ends with the session, and for its reason.
 */
static int on_frame_not_send(nghttp2_session *engine, const nghttp2_frame *frame, int error, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream;

	note_left_queue(s, frame);
	if (frame->hd.type != NGHTTP2_HEADERS || error == NGHTTP2_ERR_STREAM_CLOSING)
		return 0;
	stream = h2_session_stream(s, frame->hd.stream_id);
	if (stream != NULL && frame->headers.cat != NGHTTP2_HCAT_REQUEST && error == NGHTTP2_ERR_SESSION_CLOSING)
		return h2_go_on(s);
	if (stream != NULL && frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		h2_stream_starve(stream);
	else if (stream != NULL && error != NGHTTP2_ERR_HEADER_COMP)
		h2_stream_over(stream, H2_REFUSED, NGHTTP2_REFUSED_STREAM);
	return h2_go_on(s);
}

static int on_send_data(nghttp2_session *engine, nghttp2_frame *frame, const uint8_t *head, size_t n,
	nghttp2_data_source *source, void *context)
{
	return h2_put_frame(context, frame, head);
}

void h2_events_callbacks(nghttp2_session_callbacks *c)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(c, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
	nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(c, on_extension_chunk);
	nghttp2_session_callbacks_set_unpack_extension_callback(c, on_extension);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
	nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
}
