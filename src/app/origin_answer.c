/*
 * What the origin writes. The default answer is prebuilt as a whole, the fields that all answers share are prebuilt
 * too; both are made anew once a second, for Date. Content is either a text or the pattern, so that content of any
 * size needs no memory: byte i of it is byte i of one line, repeated.
 */
#include <stdio.h>
#include <string.h>

#include "app/origin_state.h"
#include "base/check.h"
#include "http/date.h"

/* Pieces of the pattern that are put before they are flushed. */
#define BODY_PIECES 4

/* What a head says beside what all heads say. */
struct answer_head {
	unsigned status;
	struct view content_type;
	enum framing framing;
	uint64_t length;         /* FRAMING_LENGTH; otherwise of the content all the same */
	struct view extra;       /* whole field lines */
};

/* --- prebuilt ---------------------------------------------------------------------------------------------------- */

static void prebuild_common(struct origin *origin)
{
	struct h1_writer w = {.p = origin->common, .end = origin->common + sizeof(origin->common)};
	char date[HTTP_DATE_BYTES];

	h1_put_field(&w, VIEW("Server"), VIEW("weir-origin"));
	h1_put_field(&w, VIEW("Date"), http_date(date, origin->date_s));
	if (*origin->options.name != '\0')
		h1_put_field(&w, VIEW("X-Origin"), view_str(origin->options.name));
	CHECK(!h1_is_full(&w));
	origin->common_n = (size_t)(w.p - origin->common);
}

static void prebuild_plain(struct origin *origin)
{
	struct h1_writer w = {.p = origin->plain, .end = origin->plain + sizeof(origin->plain)};

	h1_put_status_line(&w, 200, VIEW(""));
	h1_put(&w, view_of(origin->common, origin->common_n));
	h1_put_field(&w, VIEW("Content-Type"), VIEW("text/plain"));
	h1_put_length(&w, origin->options.size);
	h1_put(&w, VIEW("\r\n"));
	h1_put(&w, view_of(origin->pattern, origin->options.size));
	CHECK(!h1_is_full(&w));
	origin->plain_n = (size_t)(w.p - origin->plain);
}

static void prebuilt_refresh(struct origin *origin)
{
	uint64_t now_s = io_wall_us(origin->io) / US_PER_S;

	if (now_s == origin->date_s)
		return;
	origin->date_s = now_s;
	prebuild_common(origin);
	if (origin->plain_is_prebuilt)
		prebuild_plain(origin);
}

void origin_answer_init(struct origin *origin)
{
	static const char line[] = "The quick brown fox jumps over the lazy dog; 0123456789 +-*/=?!\n";
	const struct origin_options *options = &origin->options;

	_Static_assert(ORIGIN_PATTERN_BYTES % (sizeof(line) - 1) == 0, "the pattern is whole lines");
	for (size_t at = 0; at < sizeof(origin->pattern); at += sizeof(line) - 1)
		memcpy(origin->pattern + at, line, sizeof(line) - 1);
	origin->plain_is_prebuilt = options->delay_us == 0 && options->capacity.concurrent == 0 &&
				    origin->fault_percent == 0 &&
				    options->size <= sizeof(origin->plain) - sizeof(origin->common) - 128;
}

void origin_put_plain(struct origin_conn *c)
{
	prebuilt_refresh(c->origin);
	h1_conn_put_raw(&c->h1, view_of(c->origin->plain, c->origin->plain_n));
}

void origin_put_informational(struct origin_conn *c, const struct message *m)
{
	/* RFC 9110 §15.2 */
	if (m->minor == 0)
		return;
	if (m->expect_continue && c->plan.fault != ORIGIN_FAULT_EARLY)
		h1_conn_put_raw(&c->h1, VIEW("HTTP/1.1 100 Continue\r\n\r\n"));
	if (c->plan.kind == ORIGIN_EARLY_HINTS)
		h1_conn_put_raw(&c->h1,
			VIEW("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"));
}

/* --- heads ------------------------------------------------------------------------------------------------------- */

/* RFC 9110 §9.3.2, §15.3.5, §15.4.5 */
static bool is_bodiless(const struct origin_conn *c, unsigned status)
{
	return c->is_head || status == 204 || status == 304;
}

/* RFC 9112 §6: HTTP/1.0 knows no chunks. */
static enum framing framing_for(struct origin_conn *c, bool chunked)
{
	if (!chunked)
		return FRAMING_LENGTH;
	if (c->minor == 1)
		return FRAMING_CHUNKED;
	c->keep_alive = false;
	return FRAMING_UNTIL_CLOSE;
}

static void write_framing(struct h1_writer *w, const struct answer_head *head)
{
	/* RFC 9110 §8.6, RFC 9112 §6.1 */
	if (head->status == 204)
		return;
	if (head->framing == FRAMING_CHUNKED)
		h1_put(w, VIEW("Transfer-Encoding: chunked\r\n"));
	if (head->framing == FRAMING_LENGTH)
		h1_put_length(w, head->length);
}

/* Puts the head; its content is to follow, in state CONN_BODY unless the caller says otherwise. */
static void put_head(struct origin_conn *c, const struct answer_head *head)
{
	bool bodiless = is_bodiless(c, head->status);

	prebuilt_refresh(c->origin);
	struct h1_writer w = h1_conn_begin_head(&c->h1, ORIGIN_HEAD_ROOM);

	h1_put_status_line(&w, head->status, VIEW(""));
	h1_put(&w, view_of(c->origin->common, c->origin->common_n));
	if (head->content_type.n > 0)
		h1_put_field(&w, VIEW("Content-Type"), head->content_type);
	write_framing(&w, head);
	if (!c->keep_alive)
		h1_put(&w, VIEW("Connection: close\r\n"));
	else if (c->minor == 0)
		h1_put(&w, VIEW("Connection: keep-alive\r\n"));
	h1_put(&w, head->extra);
	CHECK(h1_conn_end_head(&c->h1, &w, bodiless ? FRAMING_NONE : head->framing));
	c->left = bodiless ? 0 : head->length;
	c->put = 0;
	c->state = CONN_BODY;
}

/* An answer whose content is the text, or the pattern. */
static void answer_content(struct origin_conn *c, struct view content_type, struct view extra, bool chunked)
{
	struct answer_head head = {
		.status = c->plan.status,
		.content_type = content_type,
		.framing = framing_for(c, chunked),
		.length = c->text.p != NULL ? c->text.n : c->plan.size,
		.extra = extra,
	};

	/* RFC 9110 §15.3.6: a 205 has no content and says so. */
	if (head.status == 205)
		head.length = 0;
	put_head(c, &head);
	if (c->plan.fault == ORIGIN_FAULT_TRUNCATE)
		c->left /= 2;
}

static void answer_echo(struct origin_conn *c)
{
	struct answer_head head = {
		.status = c->plan.status,
		.content_type = VIEW("application/octet-stream"),
		.framing = framing_for(c, c->framing == FRAMING_CHUNKED),
		.length = c->content_length,
	};

	put_head(c, &head);
	if (!is_bodiless(c, head.status)) {
		c->left = 0;
		c->state = CONN_ECHO;
	}
}

static void answer_events(struct origin_conn *c)
{
	struct answer_head head = {
		.status = c->plan.status,
		.content_type = VIEW("text/event-stream"),
		.framing = framing_for(c, true),
		.extra = VIEW("Cache-Control: no-cache\r\n"),
	};

	put_head(c, &head);
	c->events = 0;
	if (!is_bodiless(c, head.status))
		c->state = CONN_EVENTS;
}

static void answer_upgrade(struct origin_conn *c)
{
	if (c->may_upgrade) {
		h1_conn_put_raw(&c->h1,
			VIEW("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"));
		c->state = CONN_TUNNEL;
		return;
	}
	c->plan.status = 426;
	c->text = VIEW("ask for 'Upgrade: echo'\n");
	/* RFC 9110 §15.5.22 */
	answer_content(c, VIEW("text/plain"), VIEW("Upgrade: echo\r\nConnection: Upgrade\r\n"), false);
}

static void answer_kind(struct origin_conn *c)
{
	const struct view text = VIEW("text/plain");

	switch ((enum origin_kind)c->plan.kind) {
	case ORIGIN_PLAIN:
	case ORIGIN_CAPACITY:
	case ORIGIN_EARLY_HINTS: answer_content(c, text, VIEW(""), c->plan.chunked); return;
	case ORIGIN_BOOKS:
	case ORIGIN_HEADERS: answer_content(c, VIEW("application/json"), VIEW(""), c->plan.chunked); return;
	case ORIGIN_TRAILERS: answer_content(c, text, VIEW("Trailer: X-Content-Bytes\r\n"), true); return;
	case ORIGIN_ECHO: answer_echo(c); return;
	case ORIGIN_EVENTS: answer_events(c); return;
	case ORIGIN_UPGRADE: answer_upgrade(c); return;
	}
}

bool origin_step_answer(struct origin_conn *c)
{
	switch ((enum origin_fault)c->plan.fault) {
	case ORIGIN_FAULT_RESET: origin_conn_abort(c); return false;
	case ORIGIN_FAULT_HANG: c->state = CONN_HANG; return true;
	case ORIGIN_FAULT_GARBAGE:
		h1_conn_put_raw(&c->h1, VIEW("\x16\x03\x01 this is not HTTP\r\n\r\n"));
		origin_conn_linger(c);
		return true;
	default: answer_kind(c); return true;
	}
}

/* --- content ----------------------------------------------------------------------------------------------------- */

/* What stands at the place that is next, in one piece. */
static struct view next_piece(const struct origin_conn *c)
{
	size_t at = c->text.p != NULL ? c->put : c->put % ORIGIN_PATTERN_BYTES;
	struct view whole = c->text.p != NULL ? c->text : view_of(c->origin->pattern, ORIGIN_PATTERN_BYTES);
	struct view piece = view_from(whole, at);

	return piece.n < c->left ? piece : view_of(piece.p, (size_t)c->left);
}

static void put_trailers(struct origin_conn *c)
{
	char digits[24];
	struct field field = {.name = "X-Content-Bytes", .name_len = sizeof("X-Content-Bytes") - 1, .value = digits};
	const struct message trailers = {.fields = &field, .field_count = 1, .field_max = 1};

	field.value_len = (uint32_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)c->put);
	h1_conn_put_end(&c->h1, &trailers);
}

static void put_end(struct origin_conn *c)
{
	if (c->plan.kind == ORIGIN_TRAILERS)
		put_trailers(c);
	else
		h1_conn_put_end(&c->h1, NULL);
}

bool origin_step_body(struct origin_conn *c)
{
	for (unsigned i = 0; i < BODY_PIECES && c->left > 0; i++) {
		struct view piece = next_piece(c);

		h1_conn_put_body(&c->h1, piece);
		c->put += piece.n;
		c->left -= piece.n;
	}
	if (c->left > 0)
		return h1_conn_flush(&c->h1) == 0;
	if (c->plan.fault == ORIGIN_FAULT_TRUNCATE) {
		origin_conn_linger(c);
		return true;
	}
	put_end(c);
	/* The text that was put is about to go away. */
	if (c->owned != NULL)
		h1_conn_flush(&c->h1);
	origin_conn_answered(c);
	return true;
}

bool origin_step_events(struct origin_conn *c)
{
	char text[160];

	if (c->events < c->plan.count) {
		c->events++;
		int n = snprintf(text, sizeof(text), "id: %u\ndata: event %u from %.64s\n\n", c->events, c->events,
			*c->origin->options.name != '\0' ? c->origin->options.name : "the origin");

		h1_conn_put_body(&c->h1, view_of(text, (size_t)n));
	}
	if (c->events < c->plan.count) {
		origin_conn_pause(c, c->plan.delay_us, CONN_EVENTS);
		return true;
	}
	put_end(c);
	origin_conn_answered(c);
	return true;
}
