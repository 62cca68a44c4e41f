/*
 * gRPC-Web (PROTOCOL-WEB.md), made gRPC and back: for clients that see neither trailers nor frames of HTTP/2.
 *
 *                  request                                   answer
 *     web          content as it is                          content as it is, then a frame with the trailers
 *     web-text     base64, decoded                           the same, in base64
 *
 * The content of gRPC is messages with a flag and a length before each. The frame with the trailers looks like one of them whose
 * flag has the highest bit, and what stands in it is a section of fields of HTTP/1 without the empty line.
 *
 * Where an answer stands in its messages is followed in both encodings: the frame must not stand within one, where it
 * would be read as part of that.
 *
 * Text is closed with its filling behind each message, so that a client can read that message before the next one comes.
 * Content passes in pieces that streams copy at once, so nothing is kept here but a group of base64. Which way the answer goes
 * `Accept` says, as the text form is a matter of what a browser may read; without a word of it, as the request came.
 */
#include "gateway/grpc.h"
#include "http/chars.h"
#include "net/stream.h"

enum {
	PIECE_BYTES = 1024,       /* translated in one go: as digits still what a stream copies */
	MESSAGE_HEAD_BYTES = 5,
	FLAG_TRAILERS = 0x80,
};

_Static_assert(BASE64_ENCODED_MAX(PIECE_BYTES) + 4 <= H1_COPY_MAX, "translated pieces are copied");
_Static_assert((int)H2_COPY_MAX >= (int)H1_COPY_MAX, "by both versions");

/* --- heads ----------------------------------------------------------------------------------------------------------- */

/* Gives the field another content-type: a kind, and what stood behind the old one's name. */
static bool set_content_type(struct exchange *ex, struct message *m, struct field *f, enum grpc_kind kind, struct view rest)
{
	struct view name = grpc_kind_name(kind);
	struct view value = arena_printf(&ex->arena, "%.*s%.*s", (int)name.n, name.p, (int)rest.n, rest.n > 0 ? rest.p : "");

	if (value.p == NULL)
		return false;
	message_set_value(m, f, value);
	return true;
}

/* What the answer is to be. */
static enum grpc_kind answer_kind(const struct message *request, enum grpc_kind kind)
{
	const struct field *f = message_find_name(request, VIEW("accept"));
	struct view list = f != NULL ? field_value(f) : view_of(NULL, 0), type, rest;

	while (view_next_element(&list, &type)) {
		enum grpc_kind wanted = grpc_kind_of(type, &rest);

		if (wanted == GRPC_WEB || wanted == GRPC_WEB_TEXT)
			return wanted;
	}
	return kind;
}

bool grpc_web_request(struct exchange *ex)
{
	struct message *m = &ex->request;
	struct field *f = message_find(m, FIELD_CONTENT_TYPE);

	ex->grpc->answer = (uint8_t)answer_kind(m, (enum grpc_kind)ex->grpc->kind);
	message_drop_name(m, VIEW("x-grpc-web"));
	message_drop_name(m, VIEW("accept"));
	/* Decoded it has another length. */
	if (ex->grpc->kind == GRPC_WEB_TEXT && m->framing == FRAMING_LENGTH) {
		message_drop_name(m, VIEW("content-length"));
		m->framing = FRAMING_CHUNKED;
	}
	/* A filter may have taken it out. */
	return f == NULL || set_content_type(ex, m, f, GRPC_PLAIN, ex->grpc->rest);
}

bool grpc_web_head(struct exchange *ex, struct message *head)
{
	struct field *f = message_find(head, FIELD_CONTENT_TYPE);
	struct view rest;

	/* Whatever else an upstream answers is not for us to translate. */
	if (f == NULL || grpc_kind_of(field_value(f), &rest) != GRPC_PLAIN) {
		ex->grpc->answer = GRPC_NOT;
		return true;
	}
	if (!set_content_type(ex, head, f, (enum grpc_kind)ex->grpc->answer, rest))
		return false;
	if (head->framing == FRAMING_NONE) {
		ex->grpc->answer = GRPC_NOT;
		return true;
	}
	message_drop_name(head, VIEW("content-length"));
	message_drop_name(head, VIEW("trailer"));
	if (head->framing == FRAMING_LENGTH)
		head->framing = FRAMING_CHUNKED;
	return true;
}

/* --- the request's content ------------------------------------------------------------------------------------------- */

bool grpc_take(struct exchange *ex, struct view data)
{
	char piece[BASE64_DECODED_MAX(PIECE_BYTES)];

	while (data.n > 0) {
		size_t taken = data.n < PIECE_BYTES ? data.n : PIECE_BYTES, n;

		if (!base64_decode(&ex->grpc->in, view_of(data.p, taken), piece, &n))
			return false;
		data = view_from(data, taken);
		stream_put_body(ex->lease.stream, view_of(piece, n));
		if (replay_is_unsettled(ex))
			replay_keep(ex, view_of(piece, n));
	}
	return true;
}

bool grpc_is_whole(const struct exchange *ex)
{
	return base64_decoder_is_whole(&ex->grpc->in);
}

/* --- the answer's content -------------------------------------------------------------------------------------------- */

static void put_out(struct exchange *ex, const char *p, size_t n)
{
	ex->bytes_out += n;
	stream_put_body(ex->down, view_of(p, n));
}

/* Bytes that do not end a message, or that do: then with a filling behind them. */
static void put_text(struct exchange *ex, struct view data, bool ends)
{
	char piece[BASE64_ENCODED_MAX(PIECE_BYTES) + 4];
	size_t n = base64_encode(&ex->grpc->out, data, piece);

	if (ends)
		n += base64_encode_end(&ex->grpc->out, piece + n);
	put_out(ex, piece, n);
}

/*
 * How many of `data`'s bytes, of which there are some, belong to the same message; *ends: its last one is among them.
 */
static size_t next_of_message(struct grpc_messages *m, struct view data, bool *ends)
{
	size_t n = 0;

	for (; n < data.n && m->head_bytes < MESSAGE_HEAD_BYTES; n++)
		if (m->head_bytes++ > 0)
			m->left = m->left << 8 | (unsigned char)data.p[n];
	if (m->head_bytes == MESSAGE_HEAD_BYTES) {
		size_t more = data.n - n < m->left ? data.n - n : m->left;

		n += more;
		m->left -= (uint32_t)more;
	}
	*ends = m->head_bytes == MESSAGE_HEAD_BYTES && m->left == 0;
	if (*ends)
		*m = (struct grpc_messages){0};
	return n;
}

bool grpc_put(struct exchange *ex, struct view data)
{
	bool is_text = ex->grpc->answer == GRPC_WEB_TEXT, ends;

	while (ex->grpc->answer != GRPC_NOT && data.n > 0) {
		struct view some = view_of(data.p, is_text && data.n > PIECE_BYTES ? PIECE_BYTES : data.n);

		some.n = next_of_message(&ex->grpc->messages, some, &ends);
		if (is_text)
			put_text(ex, some, ends);
		data = view_from(data, some.n);
	}
	return is_text;
}

/* --- the trailers ---------------------------------------------------------------------------------------------------- */

/* The frame in the making. */
struct frame {
	struct exchange *ex;
	size_t used;
	char bytes[PIECE_BYTES];
};

static void frame_flush(struct frame *f)
{
	struct view bytes = view_of(f->bytes, f->used);

	if (f->ex->grpc->answer == GRPC_WEB_TEXT)
		put_text(f->ex, bytes, false);
	else
		put_out(f->ex, bytes.p, bytes.n);
	f->used = 0;
}

static void frame_byte(struct frame *f, char c)
{
	f->bytes[f->used++] = c;
	if (f->used == sizeof(f->bytes))
		frame_flush(f);
}

static void frame_bytes(struct frame *f, struct view bytes)
{
	for (size_t i = 0; i < bytes.n; i++)
		frame_byte(f, bytes.p[i]);
}

static void frame_field(struct frame *f, const struct field *field)
{
	struct view name = field_name(field);

	for (size_t i = 0; i < name.n; i++)
		frame_byte(f, char_lower(name.p[i]));
	frame_bytes(f, VIEW(": "));
	frame_bytes(f, field_value(field));
	frame_bytes(f, VIEW("\r\n"));
}

static uint32_t section_bytes(const struct message *trailers)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < trailers->field_count; i++)
		if (!trailers->fields[i].dropped)
			n += trailers->fields[i].name_len + trailers->fields[i].value_len + 4u;
	return n;
}

void grpc_web_trailers(struct exchange *ex, const struct message *trailers)
{
	struct frame f = {.ex = ex};

	/* Without them nobody has said how the call has ended, and the client is to notice. */
	if (trailers != NULL) {
		uint32_t n = section_bytes(trailers);

		frame_byte(&f, (char)FLAG_TRAILERS);
		for (int shift = 24; shift >= 0; shift -= 8)
			frame_byte(&f, (char)(n >> shift & 255));
		for (uint32_t i = 0; i < trailers->field_count; i++)
			if (!trailers->fields[i].dropped)
				frame_field(&f, &trailers->fields[i]);
	}
	frame_flush(&f);
	if (ex->grpc->answer == GRPC_WEB_TEXT)
		put_text(ex, VIEW(""), true);
}
