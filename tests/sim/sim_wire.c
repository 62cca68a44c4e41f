#include "sim_wire.h"

#include <string.h>

#include "sim_memory.h"

#define WINDOW_MAX 0x7fffffff
#define WINDOW_FIRST 65535

/* Rule 9. Nothing that comes can be held against the gateway when the actor has broken the protocol before. */
static void wrong(struct sim_wire *wire, uint32_t stream, const char *what)
{
	if (!wire->broken)
		world_violation("9: what the gateway writes is HTTP/2", "conn %u, stream %u: %s",
			wire->end->conn->number, stream, what);
}

/* --- putting ------------------------------------------------------------------------------------------------------ */

void wire_put(struct sim_wire *wire, unsigned type, unsigned flags, uint32_t stream, const void *payload, size_t n)
{
	size_t before = wire->out.length;

	frame_put(&wire->out, type, flags, stream, payload, n);
	wire->put_bytes += wire->out.length - before;
}

static void put_u32(unsigned char *to, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(n >> (24 - 8 * i));
}

static void put_number(struct sim_wire *wire, unsigned type, uint32_t stream, uint32_t n)
{
	unsigned char payload[4];

	put_u32(payload, n);
	wire_put(wire, type, 0, stream, payload, sizeof(payload));
}

static size_t put_setting(unsigned char *to, unsigned id, uint32_t value)
{
	to[0] = 0;
	to[1] = (unsigned char)id;
	put_u32(to + 2, value);
	return 6;
}

void wire_put_settings(struct sim_wire *wire, const struct wire_settings *settings)
{
	unsigned char payload[18];
	size_t n = put_setting(payload, SETTINGS_INITIAL_WINDOW_SIZE, settings->window);

	SIM_CHECK(wire->told_count < sizeof(wire->told) / sizeof(*wire->told));
	wire->told[wire->told_count++] = *settings;
	if (wire->serves)
		n += put_setting(payload + n, SETTINGS_MAX_CONCURRENT_STREAMS, settings->streams_max);
	if (settings->connects)
		n += put_setting(payload + n, SETTINGS_ENABLE_CONNECT_PROTOCOL, 1);
	wire_put(wire, FRAME_SETTINGS, 0, 0, payload, n);
}

void wire_put_goaway(struct sim_wire *wire, uint32_t last, uint32_t code)
{
	unsigned char payload[8];

	put_u32(payload, last);
	put_u32(payload + 4, code);
	wire_put(wire, FRAME_GOAWAY, 0, 0, payload, sizeof(payload));
}

void wire_put_ping(struct sim_wire *wire)
{
	wire_put(wire, FRAME_PING, 0, 0, "12345678", 8);
}

static void stream_may_be_over(struct sim_wire *wire, struct wire_stream *stream, bool was_over)
{
	if (!was_over && wire_stream_is_over(stream))
		wire->live--;
}

void wire_put_reset(struct sim_wire *wire, struct wire_stream *stream, uint32_t code)
{
	bool was_over = wire_stream_is_over(stream);

	if (stream->reset_here || stream->reset_there)
		return;
	put_number(wire, FRAME_RST_STREAM, stream->id, code);
	stream->reset_here = true;
	stream_may_be_over(wire, stream, was_over);
}

static void end_out(struct sim_wire *wire, struct wire_stream *stream, bool ends)
{
	bool was_over = wire_stream_is_over(stream);

	stream->out_ended = stream->out_ended || ends;
	stream_may_be_over(wire, stream, was_over);
}

/* In one frame, or in several. */
void wire_put_head(struct sim_wire *wire, struct wire_stream *stream, struct block_writer *block, bool ends)
{
	struct sim_text bytes = {0};
	size_t at = 0;
	unsigned type = FRAME_HEADERS, flags = ends ? FLAG_END_STREAM : 0;

	block_deflate(block, wire->deflater, &bytes);
	while (at < bytes.length && world_chance(wire->split_permille)) {
		size_t n = 1 + world_below(bytes.length - at);

		if (n == bytes.length - at)
			break;
		wire_put(wire, type, flags, stream->id, bytes.bytes + at, n);
		at += n;
		type = FRAME_CONTINUATION;
		flags = 0;
	}
	wire_put(wire, type, flags | FLAG_END_HEADERS, stream->id, bytes.bytes + at, bytes.length - at);
	sim_free(bytes.bytes);
	block_writer_release(block);
	end_out(wire, stream, ends);
}

size_t wire_may_send(const struct sim_wire *wire, const struct wire_stream *stream)
{
	int64_t n = stream->out_window < wire->out_window ? stream->out_window : wire->out_window;

	return n <= 0 ? 0 : n < FRAME_MAX ? (size_t)n : FRAME_MAX;
}

void wire_put_data(struct sim_wire *wire, struct wire_stream *stream, const char *bytes, size_t n, bool ends)
{
	size_t room = wire_may_send(wire, stream), padding = 0;
	char padded[FRAME_MAX + 256];

	if (n > 0 && n + 9 < room && world_chance(wire->pad_permille))
		padding = 1 + world_below(8);
	if (padding > 0) {
		padded[0] = (char)(padding - 1);
		memcpy(padded + 1, bytes, n);
		memset(padded + 1 + n, 0, padding - 1);
		bytes = padded;
	}
	wire_put(wire, FRAME_DATA, (ends ? FLAG_END_STREAM : 0) | (padding > 0 ? FLAG_PADDED : 0), stream->id, bytes,
		n + padding);
	wire->padding = padding > 0 ? padding - 1 : 0;
	stream->out_window -= (int64_t)(n + padding);
	wire->out_window -= (int64_t)(n + padding);
	end_out(wire, stream, ends);
}

void wire_give_back(struct sim_wire *wire, struct wire_stream *stream)
{
	if (stream->owed == 0 || stream->in_ended || wire_stream_is_over(stream))
		return;
	put_number(wire, FRAME_WINDOW_UPDATE, stream->id, (uint32_t)stream->owed);
	stream->in_window += (int64_t)stream->owed;
	stream->owed = 0;
}

void wire_give_back_all(struct sim_wire *wire)
{
	if (wire->owed == 0)
		return;
	put_number(wire, FRAME_WINDOW_UPDATE, 0, (uint32_t)wire->owed);
	wire->in_window += (int64_t)wire->owed;
	wire->owed = 0;
}

/* --- streams ------------------------------------------------------------------------------------------------------ */

static struct wire_stream *stream_new(struct sim_wire *wire, uint32_t id, void *owner)
{
	struct wire_stream *stream = sim_alloc(sizeof(*stream));

	*stream = (struct wire_stream){
		.id = id, .out_window = wire->peer_window, .in_window = wire->in_force.window, .owner = owner};
	if (wire->count == wire->room) {
		wire->room = wire->room * 2 + 8;
		wire->streams = sim_resize(wire->streams, wire->room * sizeof(struct wire_stream *));
	}
	wire->streams[wire->count++] = stream;
	wire->live++;
	return stream;
}

struct wire_stream *wire_open(struct sim_wire *wire, void *owner)
{
	return stream_new(wire, 2 * wire->count + 1, owner);
}

static struct wire_stream *stream_find(const struct sim_wire *wire, uint32_t id)
{
	for (unsigned i = wire->count; i > 0; i--)
		if (wire->streams[i - 1]->id == id)
			return wire->streams[i - 1];
	return NULL;
}

struct sim_wire *wire_new(struct sim_end *end, bool serves, const struct wire_settings *settings,
	const struct wire_actor *actor, void *owner)
{
	struct sim_wire *wire = sim_alloc(sizeof(*wire));

	memset(wire, 0, sizeof(*wire));
	wire->serves = serves;
	wire->end = end;
	wire->actor = actor;
	wire->owner = owner;
	wire->deflater = deflater_new();
	block_reader_init(&wire->block);
	wire->out_window = wire->in_window = wire->peer_window = WINDOW_FIRST;
	wire->peer_streams_max = UINT32_MAX;
	wire->in_force = (struct wire_settings){WINDOW_FIRST, UINT32_MAX, false};
	if (serves) {
		wire->cutter.preface_left = sizeof(PREFACE) - 1;
	} else {
		text_put(&wire->out, PREFACE, sizeof(PREFACE) - 1);
		wire->put_bytes += sizeof(PREFACE) - 1;
	}
	wire_put_settings(wire, settings);
	return wire;
}

void wire_free(struct sim_wire *wire)
{
	for (unsigned i = 0; i < wire->count; i++)
		sim_free(wire->streams[i]);
	sim_free(wire->streams);
	sim_free(wire->out.bytes);
	nghttp2_hd_deflate_del(wire->deflater);
	block_reader_release(&wire->block);
	sim_free(wire);
}

size_t wire_flush(struct sim_wire *wire, size_t piece)
{
	size_t n = wire_backlog(wire) < piece ? wire_backlog(wire) : piece;
	ssize_t sent = n == 0 ? 0 : end_send(wire->end, wire->out.bytes + wire->out_at, n);

	if (sent <= 0)
		return 0;
	wire->out_at += (size_t)sent;
	wire->sent_bytes += (uint64_t)sent;
	if (wire->out_at == wire->out.length)
		wire->out.length = wire->out_at = 0;
	return (size_t)sent;
}

/* --- frames that come --------------------------------------------------------------------------------------------- */

/* The stream that a frame is for. NULL: none that could have it. */
static struct wire_stream *stream_of(struct sim_wire *wire, const struct frame *frame)
{
	struct wire_stream *stream = stream_find(wire, frame->stream);

	if (stream == NULL) {
		wrong(wire, frame->stream, "a frame for a stream that is idle");
	} else if (stream->reset_there && frame->type != FRAME_PRIORITY) {
		wrong(wire, frame->stream, "a frame behind RST_STREAM");
		return NULL;
	}
	return stream;
}

static void end_in(struct sim_wire *wire, struct wire_stream *stream, bool ends)
{
	bool was_over = wire_stream_is_over(stream);

	stream->in_ended = stream->in_ended || ends;
	stream_may_be_over(wire, stream, was_over);
}

/* A request's HEADERS. */
static struct wire_stream *stream_begins(struct sim_wire *wire, uint32_t id)
{
	if (id % 2 == 0 || id <= wire->last_seen) {
		wrong(wire, id, "a number that is even or not greater than all before");
		return NULL;
	}
	wire->last_seen = id;
	if (wire->live >= wire->in_force.streams_max)
		wrong(wire, id, "more streams than SETTINGS_MAX_CONCURRENT_STREAMS");
	return stream_new(wire, id, NULL);
}

static void take_block(struct sim_wire *wire, struct frame *frame)
{
	const char *why = NULL;
	bool complete = block_take(&wire->block, frame, &why);
	bool ends = wire->block.ends;
	struct wire_stream *stream;

	if (why != NULL)
		wrong(wire, frame->stream, why);
	if (!complete)
		return;
	stream = stream_find(wire, frame->stream);
	if (stream == NULL && wire->serves)
		stream = stream_begins(wire, frame->stream);
	else
		stream = stream_of(wire, frame);
	if (stream != NULL && stream->in_ended)
		wrong(wire, frame->stream, "HEADERS behind END_STREAM");
	if (stream == NULL || stream->in_ended)
		return;
	end_in(wire, stream, ends);
	if (!stream->reset_here)
		wire->actor->on_head(wire, stream, ends);
}

static void take_data(struct sim_wire *wire, struct frame *frame)
{
	struct wire_stream *stream = stream_of(wire, frame);
	int64_t n = (int64_t)frame->length;
	bool ends = frame->flags & FLAG_END_STREAM;

	wire->in_window -= n;
	wire->owed += (uint64_t)n;
	if (wire->in_window < 0)
		wrong(wire, frame->stream, "more content than the connection's window");
	if (stream == NULL)
		return;
	stream->in_window -= n;
	stream->owed += (uint64_t)n;
	if (stream->in_ended)
		wrong(wire, frame->stream, "DATA behind END_STREAM");
	/* After a reset of ours its window is not given back, and it may have been let go of. */
	if (n > 0 && stream->in_window < 0 && !stream->reset_here)
		wrong(wire, frame->stream, "more content than the stream's window");
	if (!frame_unpad(frame))
		wrong(wire, frame->stream, "more padding than payload");
	if (stream->in_ended)
		return;
	end_in(wire, stream, ends);
	if (!stream->reset_here)
		wire->actor->on_data(wire, stream, (const char *)frame->payload, frame->length, ends);
}

static void take_window(struct sim_wire *wire, const struct frame *frame)
{
	uint32_t by = frame->length == 4 ? frame_u32(frame->payload) : 0;
	struct wire_stream *stream = frame->stream != 0 ? stream_of(wire, frame) : NULL;
	int64_t *window = frame->stream == 0 ? &wire->out_window : stream != NULL ? &stream->out_window : NULL;

	if (by == 0 || by > WINDOW_MAX)
		wrong(wire, frame->stream, "WINDOW_UPDATE by nothing, or too much");
	if (window != NULL && (*window += by) > WINDOW_MAX)
		wrong(wire, frame->stream, "a window that is too large");
}

static void take_reset(struct sim_wire *wire, const struct frame *frame)
{
	struct wire_stream *stream = stream_of(wire, frame);
	bool was_over = stream != NULL && wire_stream_is_over(stream);

	if (frame->length != 4)
		wrong(wire, frame->stream, "RST_STREAM of a wrong length");
	if (stream == NULL)
		return;
	stream->reset_there = true;
	stream_may_be_over(wire, stream, was_over);
	if (!stream->reset_here)
		wire->actor->on_reset(wire, stream, frame_u32(frame->payload));
}

static void window_changes(struct sim_wire *wire, uint32_t window)
{
	int64_t by = (int64_t)window - wire->peer_window;

	for (unsigned i = 0; i < wire->count; i++)
		wire->streams[i]->out_window += by;
	wire->peer_window = window;
}

static void take_settings(struct sim_wire *wire, const struct frame *frame)
{
	for (size_t at = 0; at + 6 <= frame->length; at += 6) {
		unsigned id = (unsigned)frame->payload[at] << 8 | frame->payload[at + 1];
		uint32_t value = frame_u32(frame->payload + at + 2);

		if (id == SETTINGS_INITIAL_WINDOW_SIZE && value <= WINDOW_MAX)
			window_changes(wire, value);
		else if (id == SETTINGS_INITIAL_WINDOW_SIZE)
			wrong(wire, 0, "SETTINGS_INITIAL_WINDOW_SIZE");
		else if (id == SETTINGS_MAX_CONCURRENT_STREAMS)
			wire->peer_streams_max = value;
		else if (id == SETTINGS_ENABLE_CONNECT_PROTOCOL)
			wire->peer_connects = value == 1;
	}
	if (frame->length % 6 != 0)
		wrong(wire, 0, "SETTINGS of an odd length");
	wire->settled = true;
	wire_put(wire, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0);
}

/* From here on the gateway goes by what it was told. */
static void settings_acknowledged(struct sim_wire *wire)
{
	int64_t by;

	if (wire->told_count == 0) {
		wrong(wire, 0, "an ACK of SETTINGS that were never sent");
		return;
	}
	by = (int64_t)wire->told[0].window - wire->in_force.window;
	for (unsigned i = 0; i < wire->count; i++)
		wire->streams[i]->in_window += by;
	wire->in_force = wire->told[0];
	memmove(wire->told, wire->told + 1, --wire->told_count * sizeof(*wire->told));
}

static void take_of_connection(struct sim_wire *wire, const struct frame *frame)
{
	if (frame->stream != 0)
		wrong(wire, frame->stream, "a frame of the connection on a stream");
	if (frame->type == FRAME_SETTINGS && (frame->flags & FLAG_ACK)) {
		settings_acknowledged(wire);
	} else if (frame->type == FRAME_SETTINGS) {
		take_settings(wire, frame);
	} else if (frame->type == FRAME_PING) {
		if (frame->length != 8)
			wrong(wire, 0, "PING of a wrong length");
		if (!(frame->flags & FLAG_ACK))
			wire_put(wire, FRAME_PING, FLAG_ACK, 0, frame->payload, frame->length);
	} else if (frame->length < 8) {
		wrong(wire, 0, "GOAWAY of a wrong length");
	} else {
		wire->going_away = true;
		wire->actor->on_goaway(wire, frame_u32(frame->payload) & WINDOW_MAX, frame_u32(frame->payload + 4));
	}
}

static void take_frame(struct sim_wire *wire, struct frame *frame)
{
	if (!wire->settled && frame->type != FRAME_SETTINGS)
		wrong(wire, frame->stream, "something else before SETTINGS");
	if ((wire->block.stream != 0) != (frame->type == FRAME_CONTINUATION) ||
		(frame->type == FRAME_CONTINUATION && frame->stream != wire->block.stream))
		wrong(wire, frame->stream, "CONTINUATION where it must not be, or not where it must");
	switch (frame->type) {
	case FRAME_DATA: take_data(wire, frame); break;
	case FRAME_HEADERS:
		if (!frame_unpad(frame))
			wrong(wire, frame->stream, "more padding than payload");
		take_block(wire, frame);
		break;
	case FRAME_CONTINUATION: take_block(wire, frame); break;
	case FRAME_RST_STREAM: take_reset(wire, frame); break;
	case FRAME_WINDOW_UPDATE: take_window(wire, frame); break;
	case FRAME_SETTINGS:
	case FRAME_PING:
	case FRAME_GOAWAY: take_of_connection(wire, frame); break;
	case FRAME_PUSH_PROMISE: wrong(wire, frame->stream, "a push"); break;
	default: break;
	}
}

void wire_receive(struct sim_wire *wire, const char *bytes, size_t n)
{
	const char *p = bytes, *end = bytes + n, *why = NULL;
	struct frame frame;

	while (frame_cut(&wire->cutter, &p, end, &frame, &why))
		take_frame(wire, &frame);
	if (why != NULL)
		wrong(wire, 0, why);
}
