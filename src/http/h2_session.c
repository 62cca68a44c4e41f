/*
 * A session: its life, the bytes that come and go, and its end.
 *
 *     OPEN --h2_session_fail--> ENDING (a last GOAWAY is to be written) --written--> OVER
 *     OPEN --nghttp2 writes a last GOAWAY of its own--> CLOSING --written--> OVER
 *     any --the connection has gone--> OVER
 *
 * nghttp2 answers what breaks the protocol by itself. What breaks our limits, or what nghttp2 cannot go on after,
 * ends with a GOAWAY of ours, since nghttp2 must not be asked for anything then.
 */
#include "http/h2_state.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/planted.h"

static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct h2_limits h2_limits_default(struct h1_limits head)
{
	return (struct h2_limits){
		.head = head,
		.streams_max = H2_STREAMS_MAX,
		.stream_window_bytes = H2_STREAM_WINDOW_BYTES,
		.session_window_bytes = H2_SESSION_WINDOW_BYTES,
		.memory_bytes_max = H2_MEMORY_BYTES_MAX,
		.glitches_max = H2_GLITCHES_MAX,
		.glitches_forgiven_per_s = H2_GLITCHES_FORGIVEN_PER_S,
		.connect_protocol = true,
	};
}

/* Half of the glitches begins a drain, and whatever was under way then may still be given up. */
void h2_limits_set_streams(struct h2_limits *limits, uint32_t streams_max)
{
	limits->streams_max = streams_max;
	limits->glitches_max = streams_max > H2_GLITCHES_MAX / 4 ? 4 * streams_max : H2_GLITCHES_MAX;
}

enum h1_status h2_preface(struct view bytes)
{
	size_t n = bytes.n < sizeof(magic) - 1 ? bytes.n : sizeof(magic) - 1;

	if (n > 0 && memcmp(bytes.p, magic, n) != 0)
		return H1_BAD;
	return n == sizeof(magic) - 1 ? H1_DONE : H1_MORE;
}

/* --- life ------------------------------------------------------------------------------------------------------- */

/*
 * What a peer that counts as RFC 9113 §6.5.2 does may send us: 32 bytes go with each field there, and 4 in our
 * limits.
 */
static uint32_t header_list_max(const struct h1_limits *limits)
{
	return limits->head_bytes_max + 28 * limits->field_count_max;
}

enum { EXTENSION_FIRST = 0xa, EXTENSION_LAST = 0xff }; /* types of frames that RFC 9113 does not define */

static void set_options(nghttp2_option *option, const struct h2_session *s)
{
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_max_outbound_ack(option, H2_QUEUE_MAX);
	nghttp2_option_set_max_send_header_block_length(option, s->owner.scratch_bytes);
	/*
	 * It counts one for each piece that its head arrives in. Of blocks that it does not ignore we count them by
	 * ourselves.
	 */
	nghttp2_option_set_max_continuations(option, H2_FRAME_HEAD_BYTES * (size_t)h2_block_frames_max(s));
	/* It looks at a clock of its own, and its budget is ours. */
	nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
	/* Or it would not tell of those that it ignores. */
	for (unsigned type = EXTENSION_FIRST; type <= EXTENSION_LAST; type++)
		nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
}

static int create_engine(struct h2_session *s)
{
	nghttp2_session_callbacks *callbacks = NULL;
	nghttp2_option *option = NULL;
	nghttp2_mem memory = h2_memory(s);
	int error = nghttp2_session_callbacks_new(&callbacks);

	if (error == 0)
		error = nghttp2_option_new(&option);
	if (error != 0)
		goto out;
	h2_events_callbacks(callbacks);
	set_options(option, s);
	if (s->role == H2_SERVER)
		error = nghttp2_session_server_new3(&s->engine, callbacks, s, option, &memory);
	else
		error = nghttp2_session_client_new3(&s->engine, callbacks, s, option, &memory);
out:
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return error;
}

static int submit_settings(struct h2_session *s)
{
	const struct h2_limits *l = &s->limits;
	nghttp2_settings_entry settings[5];
	size_t n = 0;

	if (s->role == H2_SERVER)
		settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams_max};
	else
		settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, l->stream_window_bytes};
	settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, header_list_max(&l->head)};
	if (s->role == H2_SERVER && l->connect_protocol)
		settings[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
	int error = nghttp2_submit_settings(s->engine, NGHTTP2_FLAG_NONE, settings, n);
	int32_t window = (int32_t)l->session_window_bytes;

	return error != 0 ? error : nghttp2_session_set_local_window_size(s->engine, NGHTTP2_FLAG_NONE, 0, window);
}

struct h2_session *h2_session_create(
	enum h2_role role, const struct h2_limits *limits, const struct h2_owner *owner, uint64_t now_us)
{
	struct h2_session *s = calloc(1, sizeof(*s));

	CHECK(owner->scratch_bytes >= H2_SCRATCH_BYTES_MIN);
	CHECK(limits->stream_window_bytes <= NGHTTP2_MAX_WINDOW_SIZE);
	CHECK(limits->session_window_bytes <= NGHTTP2_MAX_WINDOW_SIZE);
	if (s == NULL)
		return NULL;
	s->role = role;
	s->limits = *limits;
	s->owner = *owner;
	s->now_us = now_us;
	s->stalled_since_us = s->shut_since_us = s->block.since_us = UINT64_MAX;
	list_init(&s->live);
	list_init(&s->ready);
	list_init(&s->borrowing);
	list_init(&s->unsent);
	buf_init(&s->left);
	h2_budget_init(s);
	if (create_engine(s) != 0 || submit_settings(s) != 0) {
		h2_session_free(s);
		return NULL;
	}
	return s;
}

void h2_session_free(struct h2_session *s)
{
	if (s == NULL)
		return;
	CHECK(list_empty(&s->live));
	nghttp2_session_del(s->engine);
	CHECK(s->memory_bytes == 0);
	h2_block_release(s);
	buf_free(&s->left);
	free(s);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

/*
 * A client's session that ends for what its peer did: the frame that broke the rules may belong to one of the streams.
 * Then that one is malformed, and the others have only lost their answers. Otherwise it may have been for any of them.
 */
static bool is_blamed_on_stream(const struct h2_session *s)
{
	return s->cause == CAUSE_UPSTREAM_BAD_RESPONSE && s->frame_id % 2 == 1 && s->frame_id <= s->last_id;
}

/* What the streams that are not to blame by themselves are told with H2_LOST. */
static uint32_t lost_code(const struct h2_session *s)
{
	if (s->peer_error != H2_NO_ERROR || s->cause == CAUSE_NONE || is_blamed_on_stream(s))
		return s->peer_error;
	if (s->error != H2_NO_ERROR)
		return s->error;
	return s->cause == CAUSE_MEMORY_EXHAUSTED ? H2_INTERNAL_ERROR : H2_PROTOCOL_ERROR;
}

static void lose_streams(struct h2_session *s)
{
	bool blamed = is_blamed_on_stream(s);

	for (struct list_node *n = s->live.head.next; n != &s->live.head; n = n->next) {
		struct h2_stream *stream = container_of(n, struct h2_stream, live_node);

		if (stream->fate != H2_LIVE)
			continue;
		stream->cause = (uint8_t)s->cause;
		stream->why = s->why;
		h2_stream_over(stream, blamed && stream->id == s->frame_id ? H2_MALFORMED : H2_LOST, lost_code(s));
	}
}

static void put_u32(char *to, uint32_t n)
{
	to[0] = (char)(n >> 24);
	to[1] = (char)(n >> 16);
	to[2] = (char)(n >> 8);
	to[3] = (char)n;
}

/*
 * The last GOAWAY (RFC 9113 §6.8): eight bytes, type 7, no flags, of the whole connection. Nothing may come before
 * SETTINGS (§3.4): a server that has said nothing yet says empty ones first, a client nothing at all.
 */
static void put_last(struct h2_session *s)
{
	char *p = s->last;

	if (!s->has_spoken && s->role == H2_CLIENT)
		return;
	memset(s->last, 0, sizeof(s->last));
	if (!s->has_spoken) {
		p[3] = NGHTTP2_SETTINGS;
		p += H2_FRAME_HEAD_BYTES;
	}
	p[2] = 8;
	p[3] = NGHTTP2_GOAWAY;
	put_u32(p + 9, (uint32_t)nghttp2_session_get_last_proc_stream_id(s->engine));
	put_u32(p + 13, (uint32_t)s->error);
	s->last_bytes = (uint32_t)(p + H2_GOAWAY_BYTES - s->last);
}

static void end(struct h2_session *s, enum h2_error code, enum cause cause, const char *why)
{
	if (s->state > H2_CLOSING)
		return;
	s->state = H2_ENDING;
	s->error = code;
	s->cause = cause;
	s->why = why;
	put_last(s);
	lose_streams(s);
}

void h2_session_fail(struct h2_session *s, enum h2_error code, const char *why)
{
	end(s, code, h2_fault_of_peer(s), why);
}

void h2_session_starve(struct h2_session *s, enum h2_error code, const char *why)
{
	end(s, code, CAUSE_MEMORY_EXHAUSTED, why);
}

void h2_session_end(struct h2_session *s, enum h2_error code)
{
	end(s, code, CAUSE_NONE, NULL);
}

void h2_session_lose(struct h2_session *s, enum cause cause)
{
	s->state = H2_OVER;
	s->pending = view_of(NULL, 0);
	if (s->cause == CAUSE_NONE)
		s->cause = cause;
	lose_streams(s);
}

/* nghttp2 has had enough of the peer, or of itself. */
static void engine_failed(struct h2_session *s, ssize_t error)
{
	switch (error) {
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		h2_session_fail(s, H2_PROTOCOL_ERROR, "the first bytes are not those of HTTP/2");
		break;
	case NGHTTP2_ERR_FLOODED:
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "the peer asks and does not read the answers");
		break;
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		h2_session_fail(s, H2_ENHANCE_YOUR_CALM, "a header block has too many frames");
		break;
	case NGHTTP2_ERR_NOMEM:
		h2_session_starve(s, H2_ENHANCE_YOUR_CALM, "the connection needs more memory than it may have");
		break;
	default: end(s, H2_INTERNAL_ERROR, CAUSE_INTERNAL, "HTTP/2 could not go on");
	}
}

void h2_session_drain_finally(struct h2_session *s)
{
	int32_t last_id = s->role == H2_SERVER ? nghttp2_session_get_last_proc_stream_id(s->engine) : 0;

	s->drain = H2_DRAIN_FINAL;
	if (nghttp2_submit_goaway(s->engine, NGHTTP2_FLAG_NONE, last_id, NGHTTP2_NO_ERROR, NULL, 0) != 0)
		engine_failed(s, NGHTTP2_ERR_NOMEM);
}

void h2_session_drain(struct h2_session *s)
{
	if (s->state != H2_OPEN || s->drain != H2_DRAIN_NONE)
		return;
	if (s->role == H2_CLIENT) {
		h2_session_drain_finally(s);
		return;
	}
	s->drain = H2_DRAIN_NOTICE;
	int error = nghttp2_submit_shutdown_notice(s->engine);

	if (error == 0 && PLANTED(PING_BEFORE_GOAWAY))
		error = nghttp2_submit_ping(s->engine, NGHTTP2_FLAG_NONE, NULL);
	if (error != 0)
		engine_failed(s, error);
}

/* Only now: nghttp2 sends a PING before everything that waits, and its answer is to say that the GOAWAY was read. */
void h2_session_notice_sent(struct h2_session *s)
{
	s->noticed_us = s->now_us;
	if (!PLANTED(PING_BEFORE_GOAWAY) && nghttp2_submit_ping(s->engine, NGHTTP2_FLAG_NONE, NULL) != 0)
		engine_failed(s, NGHTTP2_ERR_NOMEM);
}

void h2_session_ask(struct h2_session *s)
{
	if (s->state == H2_OPEN && nghttp2_submit_settings(s->engine, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
		engine_failed(s, NGHTTP2_ERR_NOMEM);
}

bool h2_session_must_close(const struct h2_session *s)
{
	if (s->state != H2_OPEN)
		return s->state == H2_OVER && s->pending.n == 0;
	return s->streams == 0 && !h2_session_wants_write(s) && !nghttp2_session_want_read(s->engine);
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

/*
 * nghttp2 has had enough of an upstream, and will say so. It may be gone before that is written: whatever becomes of
 * the connection now, this is why.
 */
static void notice_verdict(struct h2_session *s)
{
	if (s->state != H2_OPEN || s->role != H2_CLIENT || s->peer_going || s->drain != H2_DRAIN_NONE)
		return;
	if (s->cause != CAUSE_NONE || nghttp2_session_check_request_allowed(s->engine))
		return;
	s->cause = h2_fault_of_peer(s);
	s->why = "the upstream has broken the rules of HTTP/2";
}

void h2_session_note_frame(struct h2_session *s, int32_t id)
{
	notice_verdict(s);
	/* nghttp2 may still look at frames behind the one that it has ended the session for. */
	if (s->cause == CAUSE_NONE)
		s->frame_id = id;
}

size_t h2_session_give_engine(struct h2_session *s, struct view bytes)
{
	if (s->state > H2_CLOSING || (bytes.n == 0 && !s->paused))
		return 0;
	s->paused = false;
	ssize_t taken = nghttp2_session_mem_recv(s->engine, (const uint8_t *)bytes.p, bytes.n);

	if (taken < 0)
		engine_failed(s, taken);
	notice_verdict(s);
	return taken < 0 ? 0 : (size_t)taken;
}

static void keep_left(struct h2_session *s, struct view bytes)
{
	if (!buf_append(&s->left, bytes, UINT32_MAX / 2))
		h2_session_starve(s, H2_INTERNAL_ERROR, "no memory for what was received");
}

static void server_receive(struct h2_session *s, struct view bytes)
{
	size_t taken;

	/* What is in front of them has been used. */
	buf_consume(&s->left, s->given);
	s->given = 0;
	s->budget.work = 0;
	if (buf_len(&s->left) > 0) {
		keep_left(s, bytes);
		s->given = taken = h2_session_give_engine(s, buf_view(&s->left));
	} else {
		taken = h2_session_give_engine(s, bytes);
		if (s->paused)
			keep_left(s, view_from(bytes, taken));
	}
	if (s->budget.barren && s->state == H2_OPEN)
		h2_noise_of_bytes(s, taken);
}

static void client_receive(struct h2_session *s, struct view bytes)
{
	h2_window_look(s);
	h2_wire_receive(s, bytes);
	if (s->budget.barren && s->state == H2_OPEN)
		h2_noise_of_bytes(s, bytes.n);
}

void h2_session_receive(struct h2_session *s, struct view bytes, uint64_t now_us)
{
	h2_session_keep_in(s);
	s->now_us = now_us;
	if (s->state != H2_OPEN || (bytes.n == 0 && !s->paused))
		return;
	s->budget.barren = true;
	if (s->role == H2_SERVER)
		server_receive(s, bytes);
	else
		client_receive(s, bytes);
}

bool h2_session_is_behind(const struct h2_session *s)
{
	return s->paused && s->state == H2_OPEN;
}

bool h2_session_writes_first(const struct h2_session *s)
{
	return s->budget.work > 0 && h2_session_wants_write(s);
}

bool h2_session_was_barren(const struct h2_session *s)
{
	return s->budget.barren;
}

void h2_session_keep_in(struct h2_session *s)
{
	list_each_safe(&s->borrowing, n, next)
		h2_stream_keep_in(container_of(n, struct h2_stream, borrowing_node));
}

struct h2_stream *h2_session_next_ready(struct h2_session *s)
{
	struct list_node *n = list_pop_front(&s->ready);

	return n != NULL ? container_of(n, struct h2_stream, ready_node) : NULL;
}

/* Moves as much of *from to the output as there is room for. */
static void write_from(struct h2_session *s, struct view *from)
{
	size_t n = from->n < s->room ? from->n : s->room;

	if (n == 0)
		return;
	memcpy(s->to, from->p, n);
	s->to += n;
	s->room -= n;
	*from = view_from(*from, n);
}

static void write_last(struct h2_session *s)
{
	struct view left = view_of(s->last + s->last_used, s->last_bytes - s->last_used);

	write_from(s, &left);
	s->last_used = s->last_bytes - (uint32_t)left.n;
	if (left.n == 0)
		s->state = H2_OVER;
}

/* Frames of nghttp2, until there are none, or no room. True: there are none. */
static bool write_frames(struct h2_session *s)
{
	while (s->state <= H2_CLOSING) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(s->engine, &p);

		if (n < 0)
			engine_failed(s, n);
		if (n <= 0)
			break;
		s->pending = h2_view(p, (size_t)n);
		write_from(s, &s->pending);
		if (s->pending.n > 0)
			return false;
	}
	if (s->state == H2_CLOSING) {
		s->state = H2_OVER;
		lose_streams(s);
	}
	return true;
}

static bool window_is_shut(const struct h2_session *s)
{
	return nghttp2_session_get_remote_window_size(s->engine) <= 0;
}

bool h2_stream_has_room(const struct h2_stream *stream)
{
	const struct h2_session *s = stream->session;

	return !window_is_shut(s) && nghttp2_session_get_stream_remote_window_size(s->engine, stream->id) > 0;
}

/* Whether content has waited for the peer's windows, and for that of them which all streams share; and since when. */
static void notice_stall(struct h2_session *s, bool all)
{
	if (s->content_written > 0 || s->unsent_bytes == 0)
		s->stalled_since_us = s->shut_since_us = UINT64_MAX;
	if (!all || s->unsent_bytes == 0 || h2_session_wants_write(s))
		return;
	if (s->stalled_since_us == UINT64_MAX)
		s->stalled_since_us = s->now_us;
	if (s->shut_since_us == UINT64_MAX && window_is_shut(s))
		s->shut_since_us = s->now_us;
}

/* The window may have opened since, with nothing written yet. */
static uint64_t shut_since(const struct h2_session *s)
{
	if (s->shut_since_us == UINT64_MAX || s->unsent_bytes == 0 || !window_is_shut(s))
		return UINT64_MAX;
	return s->shut_since_us;
}

/* Here, so that nothing is received between the last stream that is taken and the GOAWAY that names it. */
static void end_notice(struct h2_session *s)
{
	if (s->drain == H2_DRAIN_NOTICE && s->state == H2_OPEN && s->noticed_us != 0 && s->now_us - s->noticed_us >= H2_NOTICE_US)
		h2_session_drain_finally(s);
}

size_t h2_session_write(struct h2_session *s, char *to, size_t room, uint64_t now_us)
{
	s->now_us = now_us;
	end_notice(s);
	s->to = to;
	s->room = room;
	s->content_written = 0;
	if (__builtin_expect(s->unbarred, 0)) {
		s->barred_until_us = now_us;
		s->unbarred = false;
	}
	write_from(s, &s->pending);
	if (s->pending.n == 0)
		notice_stall(s, write_frames(s));
	if (s->pending.n == 0 && s->state == H2_ENDING)
		write_last(s);
	s->has_spoken |= s->room < room;
	s->to = NULL;
	return room - s->room;
}

void h2_session_keep_out(struct h2_session *s)
{
	list_each_safe(&s->unsent, n, next)
		h2_stream_keep_out(container_of(n, struct h2_stream, unsent_node));
}

bool h2_session_wants_write(const struct h2_session *s)
{
	if (s->state == H2_OVER)
		return s->pending.n > 0;
	return s->pending.n > 0 || s->state == H2_ENDING || nghttp2_session_want_write(s->engine);
}

/*
 * The peer causes frames and does not take them: it is to wait. What a client asks by itself is not of its doing. A peer that
 * does not read before it has written would wait for us, and we for it: requests wait without being counted, and each stream
 * may have a window that is given back, and a reset.
 */
static size_t queue_max(const struct h2_session *s)
{
	if (s->role == H2_SERVER)
		return H2_QUEUE_MAX;
	return H2_QUEUE_MAX + s->requests_queued + 2 * (size_t)s->limits.streams_max;
}

bool h2_session_wants_read(const struct h2_session *s)
{
	if (s->state != H2_OPEN || !nghttp2_session_want_read(s->engine))
		return false;
	return nghttp2_session_get_outbound_queue_size(s->engine) < queue_max(s);
}

/* --- questions -------------------------------------------------------------------------------------------------- */

static bool is_going_away(const struct h2_session *s)
{
	return s->state != H2_OPEN || s->drain != H2_DRAIN_NONE || s->peer_going;
}

uint32_t h2_session_streams_max(const struct h2_session *s)
{
	uint32_t peers = nghttp2_session_get_remote_settings(s->engine, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return peers < s->limits.streams_max ? peers : s->limits.streams_max;
}

bool h2_session_can_open(const struct h2_session *s)
{
	if (is_going_away(s) || !nghttp2_session_check_request_allowed(s->engine))
		return false;
	return s->streams < h2_session_streams_max(s);
}

uint32_t h2_session_head_max(const struct h2_session *s)
{
	return nghttp2_session_get_remote_settings(s->engine, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
}

bool h2_session_can_upgrade(const struct h2_session *s)
{
	return nghttp2_session_get_remote_settings(s->engine, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool h2_session_settled(const struct h2_session *s)
{
	return s->settled;
}

uint64_t h2_session_unsent(const struct h2_session *s)
{
	return s->unsent_bytes;
}

struct h2_facts h2_session_facts(const struct h2_session *s)
{
	return (struct h2_facts){
		.streams = s->streams,
		.head_since_us = s->block.since_us,
		.stalled_since_us = s->unsent_bytes > 0 ? s->stalled_since_us : UINT64_MAX,
		.shut_since_us = shut_since(s),
		.glitches = s->budget.glitches,
		.memory_bytes = s->memory_bytes,
		.memory_bytes_max = s->limits.memory_bytes_max,
		.going_away = is_going_away(s),
		.ended = s->state != H2_OPEN,
		.error = s->error,
		.cause = s->cause,
		.why = s->why,
	};
}
