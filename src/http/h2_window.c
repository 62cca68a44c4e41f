/*
 * Windows: how much content may stand here that nobody has read.
 *
 *     narrow  <--  at first  -->  wide
 *
 * A stream begins with a window of stream_window_bytes. Of sessions with a ration some grow and all may shrink. A
 * stream whose reader took everything and wants more gets stream_window_wide_bytes: a long path is to be used. One
 * whose reader is slow keeps what it has. Bytes that have come cannot be sent back, so what all streams of a worker
 * have beyond their first windows is drawn from one ration, and who comes too late stays as it is. When the unread
 * content of the worker is more than the ration, each session that may get more (it receives, or opens a stream) tells
 * its peer a narrow window for all of its streams, until half of that content is gone.
 */
#include "http/h2_state.h"

#include "base/planted.h"

void h2_window_take(struct h2_stream *stream, size_t n)
{
	struct h2_ration *ration = stream->session->owner.ration;

	stream->unread_bytes += n;
	if (ration != NULL)
		ration->unread_bytes += n;
}

/* Of all streams together no byte more may come. */
static bool is_barred(const struct h2_session *s)
{
	return nghttp2_session_get_local_window_size(s->engine) <= 0;
}

uint64_t h2_session_barred_until_us(const struct h2_session *s, uint64_t now_us)
{
	return is_barred(s) || s->unbarred ? now_us : s->barred_until_us;
}

void h2_window_give_back(struct h2_stream *stream, size_t n)
{
	struct h2_session *s = stream->session;
	bool was_barred;
	int error;

	stream->unread_bytes -= n;
	if (s->owner.ration != NULL)
		s->owner.ration->unread_bytes -= n;
	if (s->state != H2_OPEN || n == 0 || PLANTED(WINDOW_KEPT))
		return;
	was_barred = is_barred(s);
	if (stream->in != H2_WAY_ENDED && stream->fate == H2_LIVE)
		error = nghttp2_session_consume(s->engine, stream->id, n);
	else
		error = nghttp2_session_consume_connection(s->engine, n);
	s->unbarred |= was_barred && !is_barred(s);
	if (error != 0)
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory to give back a window");
}

/* --- wide ------------------------------------------------------------------------------------------------------- */

bool h2_stream_widen(struct h2_stream *stream)
{
	struct h2_session *s = stream->session;
	struct h2_ration *ration = s->owner.ration;
	uint32_t more = h2_window_growth(s);

	if (more == 0 || stream->wider_bytes > 0 || ration->wider_bytes + more > H2_RATION_BYTES)
		return false;
	if (stream->in == H2_WAY_ENDED || stream->fate != H2_LIVE || s->state != H2_OPEN)
		return false;
	int32_t window = nghttp2_session_get_stream_effective_local_window_size(s->engine, stream->id) + (int32_t)more;

	if (nghttp2_session_set_local_window_size(s->engine, NGHTTP2_FLAG_NONE, stream->id, window) != 0)
		return false;
	ration->wider_bytes += more;
	stream->wider_bytes = more;
	return true;
}

void h2_window_release(struct h2_stream *stream)
{
	if (stream->wider_bytes > 0)
		stream->session->owner.ration->wider_bytes -= stream->wider_bytes;
	stream->wider_bytes = 0;
}

/* --- narrow ----------------------------------------------------------------------------------------------------- */

/* Whether there is so much that windows are to be narrow; once they are, whether there still is. */
static bool is_scarce(const struct h2_session *s)
{
	return s->owner.ration->unread_bytes > (s->narrow ? H2_RATION_BYTES / 2 : H2_RATION_BYTES);
}

void h2_window_look(struct h2_session *s)
{
	nghttp2_settings_entry window = {.settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};

	if (h2_window_growth(s) == 0 || s->state != H2_OPEN || is_scarce(s) == s->narrow)
		return;
	s->narrow = !s->narrow;
	window.value = s->narrow ? H2_WINDOW_NARROW_BYTES : s->limits.stream_window_bytes;
	if (nghttp2_submit_settings(s->engine, NGHTTP2_FLAG_NONE, &window, 1) != 0)
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory for a window");
}
