/*
 * A client's look at the frames before nghttp2 has them.
 *
 * Content or heads for a stream that its peer has ended are an error (RFC 9113 §5.1). nghttp2 forgets a client's
 * streams when they are closed and lets such frames pass, since they may as well have been on their way when we
 * reset the stream. So those that we have reset are remembered here, the last H2_RESETS_KEPT of them at least; for any
 * other the connection ends.
 *
 *     bytes:  head payload | head payload | head pay...
 *                           ^ nghttp2 is given what stands before, then it knows whether this frame's stream is closed
 */
#include "http/h2_state.h"

static bool was_reset(const struct h2_wire *w, int32_t id)
{
	if (id <= w->forgotten_id)
		return true;
	for (unsigned i = 0; i < H2_RESETS_KEPT; i++)
		if (w->reset_ids[i] == id)
			return true;
	return false;
}

/* Twice for each: when RST_STREAM is written, and when the stream is closed behind it. */
void h2_wire_note_reset(struct h2_session *s, int32_t id)
{
	struct h2_wire *w = &s->wire;

	if (was_reset(w, id))
		return;
	int32_t *place = &w->reset_ids[w->resets++ % H2_RESETS_KEPT];

	/* Up to here it is not known any more. */
	if (*place > w->forgotten_id)
		w->forgotten_id = *place;
	*place = id;
}

/* The head of a frame is whole. */
static void judge(struct h2_session *s)
{
	const unsigned char *head = s->wire.head;
	int32_t id = (int32_t)((head[5] & 0x7fu) << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]);

	h2_session_note_frame(s, id);
	/* Others than those that we have opened are nghttp2's business. */
	if (id % 2 == 0 || id > s->last_id || nghttp2_session_find_stream(s->engine, id) != NULL)
		return;
	if (!was_reset(&s->wire, id))
		h2_session_fail(s, H2_STREAM_CLOSED, "there is more of a stream that has ended");
}

static bool is_judged(const struct h2_wire *w)
{
	return w->head[3] == NGHTTP2_DATA || w->head[3] == NGHTTP2_HEADERS;
}

/* Reads on in a frame's head. True when it is whole. */
static bool read_head(struct h2_wire *w, struct view *bytes)
{
	while (w->head_bytes < H2_FRAME_HEAD_BYTES && bytes->n > 0) {
		w->head[w->head_bytes++] = (unsigned char)*bytes->p;
		*bytes = view_from(*bytes, 1);
	}
	if (w->head_bytes < H2_FRAME_HEAD_BYTES)
		return false;
	w->head_bytes = 0;
	w->payload_left = (uint32_t)w->head[0] << 16 | (uint32_t)w->head[1] << 8 | w->head[2];
	return true;
}

void h2_wire_receive(struct h2_session *s, struct view bytes)
{
	struct h2_wire *w = &s->wire;
	const char *given = bytes.p;

	while (bytes.n > 0 && s->state <= H2_CLOSING) {
		const char *start = bytes.p;
		size_t skipped = w->payload_left < bytes.n ? w->payload_left : bytes.n;

		if (skipped > 0) {
			w->payload_left -= (uint32_t)skipped;
			bytes = view_from(bytes, skipped);
			continue;
		}
		if (!read_head(w, &bytes) || !is_judged(w))
			continue;
		h2_session_give_engine(s, view_of(given, (size_t)(start - given)));
		given = start;
		if (s->state <= H2_CLOSING)
			judge(s);
	}
	h2_session_give_engine(s, view_of(given, (size_t)(bytes.p + bytes.n - given)));
}
