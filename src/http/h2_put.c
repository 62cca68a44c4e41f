/*
 * What the owner of a stream writes.
 *
 *     put:  head  ->  out_kept (copied)  |  lent (where the owner has it)  ->  the end, perhaps with trailers
 *
 * nghttp2 queues heads and asks for content when the windows allow it; content then goes from where it stands
 * straight to the memory that h2_session_write was given.
 */
#include "http/h2_state.h"

#include "base/check.h"
#include "base/planted.h"
#include "http/chars.h"

enum {
	FIELDS_BYTES = H2_HEAD_FIELDS_MAX * sizeof(nghttp2_nv),
	PIECE_BYTES_MIN = 1024, /* with less room than that a piece of content waits for the next write */
};

/* --- heads ------------------------------------------------------------------------------------------------------ */

struct h1_writer h2_stream_begin_head(struct h2_stream *stream, size_t room)
{
	const struct h2_owner *owner = &stream->session->owner;

	CHECK(room <= owner->scratch_bytes - FIELDS_BYTES - sizeof(void *));
	return (struct h1_writer){.p = owner->scratch, .end = owner->scratch + room};
}

/* The end of the scratch, where the fields stand. */
static nghttp2_nv *scratch_fields(const struct h2_owner *owner)
{
	uintptr_t at = (uintptr_t)(owner->scratch + owner->scratch_bytes - FIELDS_BYTES);

	return (nghttp2_nv *)(at & ~(uintptr_t)(sizeof(void *) - 1));
}

static ssize_t read_content(nghttp2_session *engine, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *context);

/* A head was put: with it the stream's direction ends, or content may follow. */
static bool head_put(struct h2_stream *stream, bool has_content)
{
	stream->out = has_content ? H2_WAY_CONTENT : H2_WAY_ENDING;
	return true;
}

static bool put_failed(struct h2_stream *stream)
{
	h2_stream_starve(stream);
	return false;
}

/* --- what the peer takes ---------------------------------------------------------------------------------------- */

enum { FIELD_BYTES = 32 }; /* that count with each field (RFC 9113 §6.5.2) */

/*
 * The setting is advice; what becomes of the connection, and of all others on it, when it is not taken is the peer's
 * choice.
 */
static bool fits_peer(struct h2_stream *stream, const struct h2_fields *fields)
{
	uint32_t most = h2_session_head_max(stream->session);
	uint64_t n = (uint64_t)fields->count * FIELD_BYTES;

	stream->beyond_peer = false;
	if (most == UINT32_MAX)
		return true;
	for (size_t i = 0; i < fields->count; i++)
		n += fields->nv[i].namelen + fields->nv[i].valuelen;
	stream->beyond_peer = n > most;
	return !stream->beyond_peer;
}

bool h2_stream_takes_trailers(struct h2_stream *stream, const struct message *trailers)
{
	uint32_t most = h2_session_head_max(stream->session);
	uint64_t n = 0;

	stream->beyond_peer = false;
	if (most == UINT32_MAX)
		return true;
	for (uint32_t i = 0; i < trailers->field_count; i++) {
		const struct field *f = &trailers->fields[i];

		n += f->dropped ? 0 : FIELD_BYTES + field_name(f).n + field_value(f).n;
	}
	stream->beyond_peer = n > most;
	return !stream->beyond_peer;
}

/* --- heads of either kind ---------------------------------------------------------------------------------------- */

/* The peer has not seen anything of it: another session may have the memory for it. */
static bool request_failed(struct h2_stream *stream)
{
	if (stream->fate == H2_LIVE)
		stream->cause = CAUSE_MEMORY_EXHAUSTED;
	h2_stream_over(stream, H2_REFUSED, NGHTTP2_REFUSED_STREAM);
	return false;
}

static bool put_request(struct h2_stream *stream, struct h2_fields *fields, bool has_content)
{
	struct h2_session *s = stream->session;
	nghttp2_data_provider content = {.read_callback = read_content};

	stream->method = (uint8_t)method_of(fields->method);
	if (stream->method == METHOD_CONNECT || (fields->upgrade && !h2_session_can_upgrade(s)))
		return false;
	if (s->peer_going || s->drain != H2_DRAIN_NONE) {
		h2_stream_over(stream, H2_REFUSED, NGHTTP2_REFUSED_STREAM);
		return false;
	}
	if (fields->upgrade)
		h2_text_extend(fields, H2_CLIENT);
	if (!fits_peer(stream, fields))
		return false;
	if (fields->upgrade)
		stream->extended_connect = has_content = true;
	int32_t id = nghttp2_submit_request(
		s->engine, NULL, fields->nv, fields->count, has_content ? &content : NULL, stream);

	if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE)
		h2_stream_over(stream, H2_REFUSED, NGHTTP2_REFUSED_STREAM);
	if (id < 0)
		return request_failed(stream);
	s->requests_queued++;
	stream->id = id;
	return head_put(stream, has_content);
}

static bool put_response(struct h2_stream *stream, struct h2_fields *fields, bool has_content)
{
	struct h2_session *s = stream->session;
	nghttp2_data_provider content = {.read_callback = read_content};
	int error;

	if (fields->status == 101) {
		if (!stream->extended_connect)
			return false;
		h2_text_extend(fields, H2_SERVER);
		has_content = true;
	}
	if (!fits_peer(stream, fields))
		return fields->status < 200;
	if (fields->status < 200) {
		error = nghttp2_submit_headers(
			s->engine, NGHTTP2_FLAG_NONE, stream->id, NULL, fields->nv, fields->count, NULL);
		return error >= 0 || put_failed(stream);
	}
	error = nghttp2_submit_response(
		s->engine, stream->id, fields->nv, fields->count, has_content ? &content : NULL);
	return error == 0 ? head_put(stream, has_content) : put_failed(stream);
}

bool h2_stream_end_head(struct h2_stream *stream, struct h1_writer *w, enum framing framing, struct view scheme)
{
	struct h2_session *s = stream->session;
	struct view text = view_of(s->owner.scratch, (size_t)(w->p - s->owner.scratch));
	struct h2_fields fields = {.nv = scratch_fields(&s->owner), .max = H2_HEAD_FIELDS_MAX};

	if (h1_is_full(w) || stream->fate != H2_LIVE || stream->out != H2_WAY_HEAD || s->state != H2_OPEN)
		return false;
	if (!h2_text_read(text, s->role, scheme, &fields))
		return false;
	if (s->role == H2_CLIENT)
		return put_request(stream, &fields, framing != FRAMING_NONE);
	return put_response(stream, &fields, framing != FRAMING_NONE);
}

/* --- content ---------------------------------------------------------------------------------------------------- */

/* There is more, or the end: nghttp2 may have given up asking. */
static void resume(struct h2_stream *stream)
{
	int error = nghttp2_session_resume_data(stream->session->engine, stream->id);

	/* It says so when it has not given up, or has not begun. */
	if (error == NGHTTP2_ERR_NOMEM)
		put_failed(stream);
}

static bool keep(struct h2_stream *stream, struct view data)
{
	return buf_append(&stream->out_kept, data, UINT32_MAX / 2) || put_failed(stream);
}

static bool keep_lent(struct h2_stream *stream)
{
	struct view lent = stream->lent;

	stream->lent = view_of(NULL, 0);
	return lent.n == 0 || keep(stream, lent);
}

void h2_stream_put_body(struct h2_stream *stream, struct view data)
{
	struct h2_session *s = stream->session;

	if (data.n == 0 || stream->fate != H2_LIVE || stream->out != H2_WAY_CONTENT || s->state != H2_OPEN)
		return;
	if (!keep_lent(stream))
		return;
	if (data.n > H2_COPY_MAX)
		stream->lent = data;
	else if (!keep(stream, data))
		return;
	stream->unsent_bytes += data.n;
	s->unsent_bytes += data.n;
	if (!list_linked(&stream->unsent_node))
		list_push_back(&s->unsent, &stream->unsent_node);
	resume(stream);
}

void h2_stream_keep_out(struct h2_stream *stream)
{
	if (keep_lent(stream))
		stream->waiting = true;
}

void h2_stream_drop_out(struct h2_stream *stream)
{
	stream->session->unsent_bytes -= stream->unsent_bytes;
	if (stream->session->unsent_bytes == 0)
		stream->session->shut_since_us = UINT64_MAX;
	stream->unsent_bytes = 0;
	stream->lent = view_of(NULL, 0);
	stream->waiting = stream->full = false;
	buf_release(&stream->out_kept);
	list_remove(&stream->unsent_node);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static struct view copy_lower(struct arena *arena, struct view name)
{
	struct view copy = arena_copy(arena, name);
	char *p = (char *)(uintptr_t)copy.p;

	for (size_t i = 0; p != NULL && i < copy.n; i++)
		p[i] = char_lower(p[i]);
	return copy;
}

/* Into the stream's arena; NULL when there are none, or no memory. */
static struct h2_trailers *copy_trailers(struct h2_stream *stream, const struct message *m)
{
	struct h2_trailers *t = arena_alloc(&stream->arena, sizeof(*t) + m->field_count * sizeof(t->fields[0]));

	if (t == NULL)
		return NULL;
	t->count = 0;
	for (uint32_t i = 0; i < m->field_count; i++) {
		if (m->fields[i].dropped)
			continue;
		struct view name = copy_lower(&stream->arena, field_name(&m->fields[i]));
		struct view value = arena_copy(&stream->arena, field_value(&m->fields[i]));

		if (name.p == NULL || value.p == NULL)
			return NULL;
		t->fields[t->count++] = (nghttp2_nv){
			.name = (uint8_t *)(uintptr_t)name.p,
			.value = (uint8_t *)(uintptr_t)value.p,
			.namelen = name.n,
			.valuelen = value.n,
		};
	}
	return t;
}

void h2_stream_put_end(struct h2_stream *stream, const struct message *trailers)
{
	if (stream->fate != H2_LIVE || stream->out != H2_WAY_CONTENT || stream->session->state != H2_OPEN)
		return;
	if (PLANTED(END_LOST_WHEN_PARTIAL) && stream->waiting)
		return;
	if (trailers != NULL && !PLANTED(TRAILERS_DROPPED)) {
		stream->trailers_out = copy_trailers(stream, trailers);
		if (stream->trailers_out == NULL) {
			put_failed(stream);
			return;
		}
	}
	stream->out = H2_WAY_ENDING;
	resume(stream);
}

/* --- what nghttp2 asks for -------------------------------------------------------------------------------------- */

/* Everything is written with this piece: END_STREAM goes with it, or with the trailers behind it. */
static int write_end(struct h2_session *s, const struct h2_stream *stream, uint32_t *flags)
{
	const struct h2_trailers *t = stream->trailers_out;

	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (t == NULL || t->count == 0)
		return 0;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return nghttp2_submit_trailer(s->engine, stream->id, t->fields, t->count);
}

/* How much content the next frame of this stream has. */
static ssize_t read_content(nghttp2_session *engine, int32_t id, uint8_t *to, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *context)
{
	struct h2_session *s = context;
	struct h2_stream *stream = h2_session_stream(s, id);

	if (stream == NULL || stream->fate != H2_LIVE)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (stream->unsent_bytes == 0 && stream->out == H2_WAY_CONTENT)
		return NGHTTP2_ERR_DEFERRED;
	n = n < stream->unsent_bytes ? n : stream->unsent_bytes;
	if (n > 0) {
		if (s->room < H2_FRAME_HEAD_BYTES + (n < PIECE_BYTES_MIN ? n : PIECE_BYTES_MIN))
			return NGHTTP2_ERR_PAUSE;
		if (n > s->room - H2_FRAME_HEAD_BYTES)
			n = s->room - H2_FRAME_HEAD_BYTES;
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	}
	if (n == stream->unsent_bytes && stream->out == H2_WAY_ENDING && write_end(s, stream, flags) != 0) {
		stream->cause = CAUSE_MEMORY_EXHAUSTED;
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

static void write_bytes(struct h2_session *s, const void *p, size_t n)
{
	memcpy(s->to, p, n);
	s->to += n;
	s->room -= n;
}

static void write_content(struct h2_session *s, struct h2_stream *stream, size_t n)
{
	struct view kept = buf_view(&stream->out_kept);
	size_t first = n < kept.n ? n : kept.n;

	if (first > 0) {
		write_bytes(s, kept.p, first);
		buf_consume(&stream->out_kept, first);
	}
	if (n > first) {
		write_bytes(s, stream->lent.p, n - first);
		stream->lent = view_from(stream->lent, n - first);
	}
	stream->unsent_bytes -= n;
	s->unsent_bytes -= n;
	s->content_written += n;
}

int h2_put_frame(struct h2_session *s, const nghttp2_frame *frame, const uint8_t *head)
{
	struct h2_stream *stream = h2_session_stream(s, frame->hd.stream_id);
	size_t n = frame->hd.length;

	/* It was asked for in the same call, so it is there, and so is the room. */
	CHECK(stream != NULL && stream->unsent_bytes >= n && s->room >= n + H2_FRAME_HEAD_BYTES);
	write_bytes(s, head, H2_FRAME_HEAD_BYTES);
	write_content(s, stream, n);
	/* Not with a window of a byte, which is there to make a frame of it. */
	if (n >= H2_NOISE_PIECE_BYTES || stream->unsent_bytes == 0)
		h2_earn(s, H2_NOISE_PER_PIECE + (uint32_t)n / H2_NOISE_PIECE_BYTES);
	if (stream->unsent_bytes > 0)
		return 0;
	list_remove(&stream->unsent_node);
	stream->full = false;
	if (stream->waiting) {
		stream->waiting = false;
		h2_stream_ready(stream);
	}
	return 0;
}
