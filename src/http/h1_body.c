/*
 * Content by its framing (RFC 9112 §6, §7.1): pieces of the input are handed on as they are, nothing is copied.
 *
 * Chunked content is read by a small machine. Data moves in pieces; lines are read byte by byte, so that they may
 * arrive in any fragments and nothing needs to be kept but the state:
 *
 *      +-> SIZE_FIRST -> SIZE ------------------ CR --> LINE_LF --+--> DATA -> DATA_CR -> DATA_LF -+
 *      |                  | blank, ";"           ^        size 0  |                                |
 *      |                  v                      |                +--> TRAILERS -> DONE            |
 *      |       SIZE_BLANK, EXT, NAME, ..., QUOTED_END                                              |
 *      +-------------------------------------------------------------------------------------------+
 *
 * Extensions follow their grammar (RFC 9112 §7.1.1): *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ).
 * They mean nothing to us and are not passed on, but a line that two readers could end at different places is how
 * content becomes a request. The blanks are read because RFC 9110 §5.6.3 demands it; before the CR there are none.
 */
#include "base/check.h"
#include "http/chars.h"
#include "http/h1_field.h"

#define LINE_BYTES_MAX 512
#define OVERHEAD_BYTES_MAX (16 * 1024)
#define SIZE_BITS 60

enum state {
	STATE_BAD, /* 0, so that the table of transitions only names what is allowed */

	/* In a chunk-size line: these index the table. */
	STATE_SIZE_FIRST, /* before the first digit */
	STATE_SIZE,
	STATE_SIZE_BLANK, /* after a size or a value: BWS, then ";" */
	STATE_EXT, /* after ";" */
	STATE_NAME,
	STATE_NAME_BLANK, /* BWS, then "=" or ";" */
	STATE_VALUE_FIRST, /* after "=" */
	STATE_VALUE, /* in a token */
	STATE_QUOTED,
	STATE_QUOTED_PAIR, /* after "\" */
	STATE_QUOTED_END, /* after the closing quote */
	STATE_LINE_LF, /* after CR */
	STATE_LINE_END, /* after LF; left at once */

	STATE_DATA,
	STATE_DATA_CR, /* before the CR behind the data */
	STATE_DATA_LF,
	STATE_TRAILERS,

	STATE_PLAIN, /* not chunked: `left` bytes, or until the input ends */
	STATE_DONE,
};

/* clang-format off */
enum byte_class {
	CLASS_NONE, CLASS_HEX, CLASS_TOKEN, CLASS_BLANK, CLASS_SEMICOLON, CLASS_EQUALS, CLASS_QUOTE, CLASS_BACKSLASH,
	CLASS_CR, CLASS_LF, CLASS_TEXT, CLASS_COUNT
};

#define ALL_TEXT(state) \
	[CLASS_HEX] = (state), [CLASS_TOKEN] = (state), [CLASS_BLANK] = (state), [CLASS_SEMICOLON] = (state), \
	[CLASS_EQUALS] = (state), [CLASS_TEXT] = (state)

static const uint8_t transitions[STATE_LINE_END][CLASS_COUNT] = {
	[STATE_SIZE_FIRST] = {[CLASS_HEX] = STATE_SIZE},
	[STATE_SIZE] = {[CLASS_HEX] = STATE_SIZE, [CLASS_BLANK] = STATE_SIZE_BLANK, [CLASS_SEMICOLON] = STATE_EXT,
		[CLASS_CR] = STATE_LINE_LF},
	[STATE_SIZE_BLANK] = {[CLASS_BLANK] = STATE_SIZE_BLANK, [CLASS_SEMICOLON] = STATE_EXT},
	[STATE_EXT] = {[CLASS_BLANK] = STATE_EXT, [CLASS_HEX] = STATE_NAME, [CLASS_TOKEN] = STATE_NAME},
	[STATE_NAME] = {[CLASS_HEX] = STATE_NAME, [CLASS_TOKEN] = STATE_NAME, [CLASS_BLANK] = STATE_NAME_BLANK,
		[CLASS_EQUALS] = STATE_VALUE_FIRST, [CLASS_SEMICOLON] = STATE_EXT, [CLASS_CR] = STATE_LINE_LF},
	[STATE_NAME_BLANK] = {[CLASS_BLANK] = STATE_NAME_BLANK, [CLASS_EQUALS] = STATE_VALUE_FIRST,
		[CLASS_SEMICOLON] = STATE_EXT},
	[STATE_VALUE_FIRST] = {[CLASS_BLANK] = STATE_VALUE_FIRST, [CLASS_HEX] = STATE_VALUE,
		[CLASS_TOKEN] = STATE_VALUE, [CLASS_QUOTE] = STATE_QUOTED},
	[STATE_VALUE] = {[CLASS_HEX] = STATE_VALUE, [CLASS_TOKEN] = STATE_VALUE, [CLASS_BLANK] = STATE_SIZE_BLANK,
		[CLASS_SEMICOLON] = STATE_EXT, [CLASS_CR] = STATE_LINE_LF},
	[STATE_QUOTED] = {ALL_TEXT(STATE_QUOTED), [CLASS_QUOTE] = STATE_QUOTED_END,
		[CLASS_BACKSLASH] = STATE_QUOTED_PAIR},
	[STATE_QUOTED_PAIR] = {ALL_TEXT(STATE_QUOTED), [CLASS_QUOTE] = STATE_QUOTED, [CLASS_BACKSLASH] = STATE_QUOTED},
	[STATE_QUOTED_END] = {[CLASS_BLANK] = STATE_SIZE_BLANK, [CLASS_SEMICOLON] = STATE_EXT,
		[CLASS_CR] = STATE_LINE_LF},
	[STATE_LINE_LF] = {[CLASS_LF] = STATE_LINE_END},
};
/* clang-format on */

static enum byte_class class_of(char c)
{
	switch (c) {
	case ' ':
	case '\t': return CLASS_BLANK;
	case ';': return CLASS_SEMICOLON;
	case '=': return CLASS_EQUALS;
	case '"': return CLASS_QUOTE;
	case '\\': return CLASS_BACKSLASH;
	case '\r': return CLASS_CR;
	case '\n': return CLASS_LF;
	}
	if (char_is(c, CHAR_HEX))
		return CLASS_HEX;
	if (char_is(c, CHAR_TOKEN))
		return CLASS_TOKEN;
	return char_is(c, CHAR_TEXT) ? CLASS_TEXT : CLASS_NONE;
}

static inline void body_begin(struct h1_body *body, enum framing framing, enum state state, uint64_t left)
{
	*body = (struct h1_body){.framing = (uint8_t)framing, .state = (uint8_t)state, .left = left};
}

void h1_body_init(struct h1_body *body, enum framing framing, uint64_t content_length)
{
	if (framing == FRAMING_LENGTH && content_length > 0)
		body_begin(body, FRAMING_LENGTH, STATE_PLAIN, content_length);
	else if (framing == FRAMING_CHUNKED)
		body_begin(body, FRAMING_CHUNKED, STATE_SIZE_FIRST, 0);
	else if (framing == FRAMING_UNTIL_CLOSE)
		body_begin(body, FRAMING_UNTIL_CLOSE, STATE_PLAIN, UINT64_MAX);
	else
		body_begin(body, framing, STATE_DONE, 0);
}

bool h1_body_done(const struct h1_body *body)
{
	return body->state == STATE_DONE;
}

bool h1_body_eof(struct h1_body *body)
{
	if (body->framing == FRAMING_UNTIL_CLOSE)
		body->state = STATE_DONE;
	return h1_body_done(body);
}

void h1_body_end(struct h1_body *body)
{
	body->left = 0;
	body->state = STATE_DONE;
}

static enum h1_piece refuse(struct h1_body *body, const char **why, const char *text)
{
	body->state = STATE_BAD;
	*why = text;
	return H1_PIECE_BAD;
}

static void advance(struct view *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* Content until close is never counted down to 0. */
static inline void count_data(struct h1_body *body, uint64_t n)
{
	if (body->framing == FRAMING_UNTIL_CLOSE)
		return;
	body->left -= n;
	if (body->left == 0)
		body->state = body->framing == FRAMING_CHUNKED ? STATE_DATA_CR : STATE_DONE;
}

/* Cuts up to `left` bytes off the input; there is at least one. */
static enum h1_piece take_data(struct h1_body *body, struct view *in, struct view *data)
{
	*data = view_of(in->p, in->n < body->left ? in->n : (size_t)body->left);
	advance(in, data->n);
	count_data(body, data->n);
	return H1_PIECE_DATA;
}

uint64_t h1_body_coming(const struct h1_body *body)
{
	return body->state == STATE_PLAIN || body->state == STATE_DATA ? body->left : 0;
}

void h1_body_took(struct h1_body *body, uint64_t n)
{
	CHECK(n <= h1_body_coming(body));
	count_data(body, n);
}

/* Counts one byte of a chunk-size line, which `c` has just led to `state`. Returns what is wrong with it, or NULL. */
static const char *line_count(struct h1_body *body, enum state state, char c)
{
	if (++body->line_bytes > LINE_BYTES_MAX)
		return "a chunk-size line is longer than 512 bytes";
	if (state == STATE_SIZE) {
		if (body->left >> (SIZE_BITS - 4) != 0)
			return "a chunk size is too large";
		body->left = body->left << 4 | char_hex(c);
	} else if (state < STATE_LINE_LF && ++body->overhead > OVERHEAD_BYTES_MAX) {
		return "the chunk extensions are larger than 16 KiB";
	}
	return NULL;
}

/* Reads of a chunk-size line what is there. MORE: the line has ended, or the input has. */
static enum h1_piece read_line(struct h1_body *body, struct view *in, const char **why)
{
	while (in->n > 0) {
		uint8_t state = transitions[body->state][class_of(*in->p)];

		if (state == STATE_BAD)
			return refuse(body, why, "a chunk-size line is malformed");
		const char *wrong = line_count(body, state, *in->p);

		if (wrong != NULL)
			return refuse(body, why, wrong);
		advance(in, 1);
		body->state = state;
		if (state == STATE_LINE_END) {
			body->state = body->left > 0 ? STATE_DATA : STATE_TRAILERS;
			body->line_bytes = 0;
			break;
		}
	}
	return H1_PIECE_MORE;
}

/* Reads one byte, which must be `c`, of the CRLF behind a chunk's data. */
static enum h1_piece read_data_end(struct h1_body *body, struct view *in, char c, const char **why)
{
	if (*in->p != c)
		return refuse(body, why, "the data of a chunk do not end where its size says");
	advance(in, 1);
	body->state = c == '\r' ? STATE_DATA_LF : STATE_SIZE_FIRST;
	return H1_PIECE_MORE;
}

/* Of chunked content, or of none that can be read any more. */
static enum h1_piece read_on(struct h1_body *body, struct view *in, struct view *data, const char **why)
{
	for (;;) {
		enum h1_piece piece = H1_PIECE_MORE;

		switch ((enum state)body->state) {
		case STATE_TRAILERS: return H1_PIECE_TRAILERS;
		case STATE_BAD: return refuse(body, why, "the content was malformed already");
		default: break;
		}
		if (in->n == 0)
			return H1_PIECE_MORE;
		switch ((enum state)body->state) {
		case STATE_DATA: return take_data(body, in, data);
		case STATE_DATA_CR: piece = read_data_end(body, in, '\r', why); break;
		case STATE_DATA_LF: piece = read_data_end(body, in, '\n', why); break;
		default: piece = read_line(body, in, why);
		}
		if (piece == H1_PIECE_BAD)
			return piece;
	}
}

enum h1_piece h1_body_read(struct h1_body *body, struct view *in, struct view *data, const char **why)
{
	if (body->state == STATE_DONE)
		return H1_PIECE_END;
	if (body->state != STATE_PLAIN)
		return read_on(body, in, data, why);
	return in->n > 0 ? take_data(body, in, data) : H1_PIECE_MORE;
}

/* --- trailers ---------------------------------------------------------------------------------------------------- */

struct h1_result h1_read_trailers(
	struct h1_body *body, struct view bytes, const struct h1_limits *limits, struct message *m)
{
	CHECK(body->state == STATE_TRAILERS && limits->field_count_max <= m->field_max);
	struct h1_cursor at = h1_cursor(bytes, limits->head_bytes_max);
	enum h1_status status = H1_MORE;

	*m = (struct message){.fields = m->fields, .field_max = m->field_max};
	for (;;) {
		switch (h1_read_line(&at, limits->field_count_max, m)) {
		case H1_LINE_FIELD:
			m->fields[m->field_count - 1].dropped = !field_may_trail(&m->fields[m->field_count - 1]);
			continue;
		case H1_LINE_BLANK:
			status = H1_DONE;
			body->state = STATE_DONE;
			break;
		case H1_LINE_BAD:
			status = H1_BAD;
			body->state = STATE_BAD;
			break;
		case H1_LINE_MORE: break;
		}
		return h1_result(&at, status, bytes, limits->head_bytes_max);
	}
}
