/*
 * A whole header block, made a message that looks like one of HTTP/1.1 (RFC 9113 §8.3, §8.4).
 *
 * nghttp2 has checked each field by itself, and that the pseudo-fields are there, once and first. Here is checked
 * what they say together, for a gateway that may go on with them by HTTP/1.1: an authority that both versions read
 * alike, a path that is one, a scheme that is ours.
 */
#include "http/authority.h"
#include "http/h1_field.h"
#include "http/h2_state.h"

static const char why_memory[] = "no memory for a head";

static bool is_cookie(const struct field *f)
{
	return view_eq(field_name(f), VIEW("cookie"));
}

/* RFC 9113 §8.2.3: crumbs come apart for the sake of compression, and are one field to everybody else. */
static bool join_crumbs(struct h2_block *b)
{
	static const char name[] = "cookie: ";
	size_t n = sizeof(name);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->field_count; i++)
		n += is_cookie(&b->fields[i]) ? b->fields[i].value_len + 2u : 0;
	if (!h2_block_room(b, n))
		return false;
	char *line = b->text + b->text_used;
	char *p = line + sizeof(name) - 1;

	memcpy(line, name, sizeof(name) - 1);
	for (uint32_t i = 0; i < b->field_count; i++) {
		struct field f = b->fields[i];

		if (!is_cookie(&f)) {
			b->fields[kept++] = f;
			continue;
		}
		memcpy(p, f.value, f.value_len);
		memcpy(p + f.value_len, "; ", 2);
		p += f.value_len + 2;
	}
	memcpy(p - 2, "\r\n", 2);
	b->text_used += (uint32_t)(p - line);
	b->fields[kept] = field_of(view_of(line, 6), view_of(line + 8, (size_t)(p - line) - 10));
	b->field_count = kept + 1;
	return true;
}

/* The block, which is whole now, as a message that points into it. */
static void message_begin(const struct h2_block *b, struct message *m)
{
	m->fields = b->fields;
	m->field_count = b->field_count;
	m->field_max = b->field_max;
	m->head = view_of(b->text, b->text_used);
	m->minor = 1;
	m->keep_alive = 1;
	for (uint32_t i = 0; i < b->field_count; i++)
		m->field_ids |= FIELD_BIT(b->fields[i].id);
}

/* nghttp2 has seen that there is one at most, that it is a number, and that the content is as long. */
static void read_length(struct message *m)
{
	const struct field *f = message_find(m, FIELD_CONTENT_LENGTH);

	m->has_length = f != NULL && view_parse_u64(field_value(f), &m->content_length);
}

void h2_forget_length(struct message *m)
{
	message_drop_name(m, VIEW("Content-Length"));
	m->has_length = false;
	m->content_length = 0;
}

static enum framing framing_of(const struct message *m, bool has_content)
{
	if (!has_content)
		return FRAMING_NONE;
	return m->has_length ? FRAMING_LENGTH : FRAMING_CHUNKED;
}

/* --- requests --------------------------------------------------------------------------------------------------- */

/*
 * RFC 9113 §8.3.1: Host must not contradict :authority. One host is routed on, and it is read as strictly as in
 * HTTP/1.1.
 */
static const char *judge_authority(const struct h2_block *b, struct message *m)
{
	struct view authority = b->pseudo[H2_AUTHORITY];
	const struct field *host = message_find(m, FIELD_HOST);
	struct authority read;

	if (authority.p != NULL && host != NULL && !view_eq_nocase(authority, field_value(host)))
		return "Host contradicts :authority";
	m->host = authority.p == NULL && host != NULL ? field_value(host) : authority;
	return authority_read(&read, m->host);
}

/* RFC 9113 §8.3.1; other schemes than these would let :path be anything. */
static const char *judge_path(const struct h2_block *b, struct message *m)
{
	struct view scheme = b->pseudo[H2_SCHEME];

	if (!view_eq_nocase(scheme, VIEW("http")) && !view_eq_nocase(scheme, VIEW("https")))
		return "the scheme is neither http nor https";
	m->target = b->pseudo[H2_PATH];
	if (view_starts(m->target, VIEW("/")))
		return NULL;
	if (view_eq(m->target, VIEW("*")) && m->method == METHOD_OPTIONS)
		return NULL;
	return ":path does not begin with a slash";
}

/* CONNECT for a tunnel has no path; its target is the authority, as in HTTP/1.1. */
static const char *judge_target(const struct h2_block *b, struct message *m)
{
	if (m->method != METHOD_CONNECT || b->pseudo[H2_PROTOCOL].p != NULL)
		return judge_path(b, m);
	m->target = m->host;
	return NULL;
}

/* RFC 9110 §10.1.1 */
static void read_expect(struct message *m)
{
	const struct field *f = message_find(m, FIELD_EXPECT);
	struct view list = f != NULL ? field_value(f) : view_of(NULL, 0);
	struct view element;

	while (view_next_element(&list, &element))
		m->expect_continue |= view_eq_nocase(element, VIEW("100-continue"));
}

/* RFC 8441 §5: what comes next is the WebSocket itself, which HTTP/1.1 would not call content. */
static void make_upgrade(struct message *m)
{
	m->method = METHOD_GET;
	m->method_name = method_name(METHOD_GET);
	m->has_upgrade = 1;
	m->framing = FRAMING_NONE;
}

const char *h2_block_judge_request(struct h2_session *s, bool end_stream, struct message *m)
{
	struct h2_block *b = &s->block;
	bool websocket = view_eq_nocase(b->pseudo[H2_PROTOCOL], VIEW("websocket"));
	const char *why;

	if (b->crumbs > 1 && !join_crumbs(b))
		return why_memory;
	if (websocket && !h2_block_put_field(b, VIEW("upgrade"), VIEW("websocket")))
		return why_memory;
	message_begin(b, m);
	m->method_name = b->pseudo[H2_METHOD];
	m->method = (uint8_t)method_of(m->method_name);
	why = judge_authority(b, m);
	if (why == NULL)
		why = judge_target(b, m);
	if (why != NULL)
		return why;
	read_length(m);
	/* What it sends is no content (RFC 9110 §9.3.6), and an upstream of HTTP/1 would take the next request for it. */
	if (websocket && m->has_length)
		return "an extended CONNECT has a content-length";
	read_expect(m);
	m->framing = (uint8_t)framing_of(m, !end_stream);
	if (websocket)
		make_upgrade(m);
	return NULL;
}

/* --- responses -------------------------------------------------------------------------------------------------- */

/* RFC 9110 §15: three digits, which nghttp2 has seen to. */
static const char *read_status(const struct h2_block *b, struct message *m)
{
	uint64_t status;

	if (!view_parse_u64(b->pseudo[H2_STATUS], &status) || status < 100 || status > 599)
		return "the status is not one from 100 to 599";
	m->status = (uint16_t)status;
	return NULL;
}

/* The upstream takes the WebSocket: HTTP/1.1 says 101. */
static const char *grant_upgrade(struct h2_block *b, struct message *m)
{
	uint16_t status = 101;

	if (!h2_block_put_field(b, VIEW("upgrade"), VIEW("websocket")))
		return why_memory;
	*m = (struct message){.status = status, .has_upgrade = 1};
	message_begin(b, m);
	return NULL;
}

const char *h2_block_judge_response(
	struct h2_session *s, const struct h2_stream *stream, bool end_stream, struct message *m)
{
	struct h2_block *b = &s->block;
	bool has_content = !end_stream && stream->method != METHOD_HEAD;
	const char *why = read_status(b, m);

	if (why != NULL)
		return why;
	message_begin(b, m);
	if (stream->extended_connect && m->status >= 200 && m->status < 300)
		return grant_upgrade(b, m);
	read_length(m);
	/* nghttp2 does not hold what answers a CONNECT to its length. */
	if (stream->extended_connect)
		h2_forget_length(m);
	has_content = has_content && m->status >= 200 && m->status != 204 && m->status != 304;
	m->framing = (uint8_t)framing_of(m, has_content);
	return NULL;
}

/* --- both ------------------------------------------------------------------------------------------------------- */

void h2_block_judge_trailers(struct h2_session *s, struct message *m)
{
	message_begin(&s->block, m);
	for (uint32_t i = 0; i < m->field_count; i++)
		m->fields[i].dropped = !field_may_trail(&m->fields[i]);
}

struct h2_head *h2_block_copy(struct h2_session *s, struct h2_stream *stream, const struct message *m)
{
	struct h2_head *head = arena_alloc(&stream->arena, sizeof(*head));

	if (head == NULL)
		return NULL;
	head->next = NULL;
	head->scheme = view_eq_nocase(s->block.pseudo[H2_SCHEME], VIEW("https")) ? VIEW("https") : VIEW("http");
	return message_copy(&head->message, m, &stream->arena, 0) ? head : NULL;
}
