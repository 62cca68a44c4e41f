#include "h2_rig.h"

#include "http/chars.h"

struct h2_limits rig_limits(void)
{
	return h2_limits_default(
		(struct h1_limits){.head_bytes_max = 16 * 1024, .field_count_max = 100, .target_bytes_max = 8000});
}

static struct h2_stream *on_stream(void *context)
{
	struct rig_side *side = context;
	struct rig_stream *stream;

	side->asked++;
	if (side->refuses)
		return NULL;
	stream = malloc(sizeof(*stream));
	assert_non_null(stream);
	memset(stream, 0xa5, sizeof(*stream));
	stream->readied = 0;
	return &stream->h2;
}

static void side_init(struct rig *rig, struct rig_side *side, enum h2_role role, const struct h2_limits *limits)
{
	if (limits == NULL)
		return;
	side->scratch = malloc(RIG_SCRATCH_BYTES);
	assert_non_null(side->scratch);
	struct h2_owner owner = {
		.on_stream = on_stream, .context = side, .scratch = side->scratch, .scratch_bytes = RIG_SCRATCH_BYTES,
		.ration = role == H2_CLIENT ? &side->ration : NULL};

	side->session = h2_session_create(role, limits, &owner, rig->now_us);
	assert_non_null(side->session);
}

void rig_init(struct rig *rig, const struct h2_limits *server, const struct h2_limits *client)
{
	*rig = (struct rig){.now_us = 1000000};
	side_init(rig, &rig->server, H2_SERVER, server);
	side_init(rig, &rig->client, H2_CLIENT, client);
}

static void side_release(struct rig_side *side)
{
	h2_session_free(side->session);
	free(side->scratch);
}

void rig_release(struct rig *rig)
{
	side_release(&rig->server);
	side_release(&rig->client);
}

void side_receive(struct rig *rig, struct rig_side *side, struct view bytes)
{
	size_t step = side->step > 0 ? side->step : bytes.n;

	for (size_t at = 0; at < bytes.n; at += step) {
		size_t n = bytes.n - at < step ? bytes.n - at : step;
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, bytes.p + at, n);
		h2_session_receive(side->session, view_of(copy, n), rig->now_us);
		while (h2_session_is_behind(side->session))
			h2_session_receive(side->session, view_of(NULL, 0), rig->now_us);
		h2_session_keep_in(side->session);
		free(copy);
	}
}

struct view side_output(struct rig *rig, struct rig_side *side)
{
	struct bytes all = {0};
	size_t room = side->window > 0 ? side->window : 64 * 1024;
	char *piece = malloc(room);
	size_t n;

	assert_non_null(piece);
	while ((n = h2_session_write(side->session, piece, room, rig->now_us)) > 0)
		bytes_put(&all, piece, n);
	free(piece);
	h2_session_keep_out(side->session);
	return view_of(all.p, all.n);
}

void view_free(struct view bytes)
{
	free((char *)(uintptr_t)bytes.p);
}

void rig_move(struct rig *rig)
{
	bool moved = true;

	while (moved) {
		struct view up = side_output(rig, &rig->client);
		struct view down;

		side_receive(rig, &rig->server, up);
		down = side_output(rig, &rig->server);
		side_receive(rig, &rig->client, down);
		moved = up.n > 0 || down.n > 0;
		view_free(up);
		view_free(down);
	}
}

struct h2_stream *side_ready(struct rig_side *side)
{
	struct h2_stream *stream = h2_session_next_ready(side->session);

	if (stream != NULL)
		container_of(stream, struct rig_stream, h2)->readied++;
	return stream;
}

void side_drain_ready(struct rig_side *side)
{
	while (side_ready(side) != NULL)
		continue;
}

/* --- streams ---------------------------------------------------------------------------------------------------- */

bool stream_put_head(struct h2_stream *stream, const char *head, enum framing framing)
{
	struct h1_writer w = h2_stream_begin_head(stream, 128 * 1024);

	h1_put(&w, view_str(head));
	return h2_stream_end_head(stream, &w, framing, VIEW("https"));
}

struct h2_stream *rig_request(struct rig *rig, const char *head, enum framing framing)
{
	struct rig_stream *stream = malloc(sizeof(*stream));

	assert_non_null(stream);
	stream->readied = 0;
	assert_true(h2_session_can_open(rig->client.session));
	h2_session_open(rig->client.session, &stream->h2);
	assert_true(stream_put_head(&stream->h2, head, framing));
	return &stream->h2;
}

void stream_put_text(struct h2_stream *stream, const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	h2_stream_put_body(stream, view_str(copy));
	h2_session_keep_out(stream->session);
	free(copy);
}

void stream_release(struct h2_stream *stream)
{
	h2_stream_release(stream);
	memset(stream, 0xa5, sizeof(*stream));
	free(container_of(stream, struct rig_stream, h2));
}

struct message stream_head(struct h2_stream *stream)
{
	struct message m;
	struct h1_result result = h2_stream_read_head(stream, &m, NULL);

	assert_int_equal(result.status, H1_DONE);
	return m;
}

const char *fields_text(const struct message *m)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < m->field_count; i++) {
		const struct field *f = &m->fields[i];

		if (f->dropped)
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s: %.*s", n > 0 ? ", " : "", f->name_len,
			f->name, (int)f->value_len, f->value);
		assert_true(n < sizeof(text));
	}
	return text;
}

enum h1_piece stream_read(struct h2_stream *stream, char *text, size_t room)
{
	size_t n = 0;

	for (;;) {
		struct view data;
		const char *why = NULL;
		enum h1_piece piece = h2_stream_read_body(stream, &data, &why);

		if (piece != H1_PIECE_DATA) {
			text[n] = '\0';
			assert_true(piece != H1_PIECE_BAD || why != NULL);
			return piece;
		}
		assert_true(data.n > 0 && n + data.n < room);
		memcpy(text + n, data.p, data.n);
		n += data.n;
	}
}

enum h1_piece stream_skip(struct h2_stream *stream, size_t *n)
{
	for (;;) {
		struct view data;
		const char *why = NULL;
		enum h1_piece piece = h2_stream_read_body(stream, &data, &why);

		if (piece != H1_PIECE_DATA)
			return piece;
		*n += data.n;
	}
}

/* --- frames ----------------------------------------------------------------------------------------------------- */

void bytes_put(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > b->max) {
		b->max = (b->n + n) * 2;
		b->p = realloc(b->p, b->max);
		assert_non_null(b->p);
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void bytes_u32(struct bytes *b, uint32_t n)
{
	unsigned char four[4] = {
		(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};

	bytes_put(b, four, 4);
}

void bytes_free(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){0};
}

void put_frame(struct bytes *to, unsigned type, unsigned flags, uint32_t id, struct view payload)
{
	unsigned char head[5] = {(unsigned char)(payload.n >> 16), (unsigned char)(payload.n >> 8),
		(unsigned char)payload.n, (unsigned char)type, (unsigned char)flags};

	bytes_put(to, head, 5);
	bytes_u32(to, id);
	bytes_put(to, payload.p, payload.n);
}

/* RFC 7541 §5.1 with a prefix of 7 bits, and no Huffman code. */
static void put_string(struct bytes *to, struct view v)
{
	size_t n = v.n;
	unsigned char c;

	if (n < 127) {
		c = (unsigned char)n;
		bytes_put(to, &c, 1);
	} else {
		bytes_put(to, "\x7f", 1);
		for (n -= 127; n >= 128; n /= 128) {
			c = (unsigned char)(n % 128 + 128);
			bytes_put(to, &c, 1);
		}
		c = (unsigned char)n;
		bytes_put(to, &c, 1);
	}
	bytes_put(to, v.p, v.n);
}

void put_literal(struct bytes *to, struct view name, struct view value)
{
	bytes_put(to, "\x10", 1);
	put_string(to, name);
	put_string(to, value);
}

void put_indexed_literal(struct bytes *to, struct view name, struct view value)
{
	bytes_put(to, "\x40", 1);
	put_string(to, name);
	put_string(to, value);
}

void put_block(struct bytes *to, const char *fields)
{
	while (*fields != '\0') {
		struct view name = view_str(fields);
		struct view value = view_str(fields + name.n + 1);

		put_literal(to, name, value);
		fields = value.p + value.n + 1;
	}
}

void put_headers(struct bytes *to, unsigned flags, uint32_t id, struct bytes *block)
{
	struct view left = view_of(block->p, block->n);
	unsigned type = F_HEADERS;

	while (left.n > 16384) {
		put_frame(to, type, type == F_HEADERS ? flags : 0, id, view_of(left.p, 16384));
		left = view_from(left, 16384);
		type = F_CONTINUATION;
	}
	put_frame(to, type, END_HEADERS | (type == F_HEADERS ? flags : 0), id, left);
	bytes_free(block);
}

void put_preface(struct bytes *to)
{
	bytes_put(to, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	put_frame(to, F_SETTINGS, 0, 0, view_of("", 0));
}

void send_frames(struct rig *rig, struct bytes *frames)
{
	side_receive(rig, &rig->server, view_of(frames->p, frames->n));
	bytes_free(frames);
}

void put_get(struct bytes *to, uint32_t id)
{
	struct bytes block = {0};

	put_block(&block, ":method\0GET\0:scheme\0https\0:authority\0a\0:path\0/\0");
	put_headers(to, END_STREAM, id, &block);
}

uint32_t read_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

bool next_frame(struct view *bytes, struct frame *frame)
{
	if (bytes->n < 9)
		return false;
	size_t n = read_u32(bytes->p) >> 8;

	assert_true(bytes->n >= 9 + n);
	*frame = (struct frame){
		.type = (unsigned char)bytes->p[3],
		.flags = (unsigned char)bytes->p[4],
		.id = read_u32(bytes->p + 5),
		.payload = view_of(bytes->p + 9, n),
	};
	*bytes = view_from(*bytes, 9 + n);
	return true;
}

bool output_has(struct view output, unsigned type, uint32_t id, struct frame *frame)
{
	while (next_frame(&output, frame))
		if (frame->type == type && (id == 0 || frame->id == id))
			return true;
	return false;
}

/* --- what most tests begin and end with -------------------------------------------------------------------------- */

void rig_init_raw(struct rig *rig)
{
	struct h2_limits limits = rig_limits();
	struct bytes preface = {0};

	rig_init(rig, &limits, NULL);
	put_preface(&preface);
	send_frames(rig, &preface);
	view_free(side_output(rig, &rig->server));
}

void rig_lose(struct rig *rig)
{
	h2_session_lose(rig->server.session, CAUSE_NONE);
	for (struct h2_stream *stream; (stream = side_ready(&rig->server)) != NULL;)
		stream_release(stream);
	rig_release(rig);
}

struct h2_stream *rig_accept(struct rig *rig)
{
	struct h2_stream *stream;

	rig_move(rig);
	stream = side_ready(&rig->server);
	assert_non_null(stream);
	stream_head(stream);
	return stream;
}
