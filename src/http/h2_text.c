/*
 * The text of a head of HTTP/1.1, made what HTTP/2 has in its place (RFC 9113 §8.2.2, §8.3).
 *
 *     GET /x HTTP/1.1 CRLF          :method GET  :scheme https  :authority a  :path /x
 *     Host: a CRLF             ->
 *     Via: 1.1 weir CRLF            via 1.1 weir
 *
 * Nothing is copied: names become lower case where they stand. Pseudo-fields come first but are known last, so room
 * for them is left before the fields and filled from its end.
 */
#include "http/h2_state.h"
#include "http/scan.h"

enum { PSEUDO_MAX = 5 };

/* What HTTP/1.1 says of the connection, and HTTP/2 says otherwise or not at all. */
#define OF_THE_CONNECTION \
	(FIELD_BIT(FIELD_CONNECTION) | FIELD_BIT(FIELD_KEEP_ALIVE) | FIELD_BIT(FIELD_PROXY_CONNECTION) | \
		FIELD_BIT(FIELD_TRANSFER_ENCODING) | FIELD_BIT(FIELD_UPGRADE) | FIELD_BIT(FIELD_HTTP2_SETTINGS))

static nghttp2_nv nv_of(struct view name, struct view value)
{
	/* nghttp2 wants them writable, and copies them. */
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p,
		.value = (uint8_t *)(uintptr_t)value.p,
		.namelen = name.n,
		.valuelen = value.n,
	};
}

/* Before everything that is there already. */
static void put_first(struct h2_fields *to, struct view name, struct view value)
{
	*--to->nv = nv_of(name, value);
	to->count++;
}

/* Cuts the next line off, without its end. False: there is no whole line. */
static bool next_line(struct view *text, struct view *line)
{
	const char *end = text->n > 0 ? memchr(text->p, '\r', text->n) : NULL;

	if (end == NULL || end + 1 == text->p + text->n || end[1] != '\n')
		return false;
	*line = view_of(text->p, (size_t)(end - text->p));
	*text = view_from(*text, line->n + 2);
	return true;
}

/* "HTTP/1.1 200 OK" */
static bool read_status_line(struct view line, struct view *status, struct h2_fields *to)
{
	uint64_t n;

	if (line.n < 12 || !view_starts(line, VIEW("HTTP/1.1 ")))
		return false;
	*status = view_of(line.p + 9, 3);
	if (!view_parse_u64(*status, &n) || n < 100)
		return false;
	to->status = (unsigned)n;
	return true;
}

/* "GET /x HTTP/1.1" */
static bool read_request_line(struct view line, struct view *target, struct h2_fields *to)
{
	const char *end = line.p + line.n;
	const char *blank = scan_token(line.p, end);
	struct view version = VIEW(" HTTP/1.1");

	to->method = view_of(line.p, (size_t)(blank - line.p));
	if (to->method.n == 0 || line.n < to->method.n + 2 + version.n || *blank != ' ')
		return false;
	*target = view_of(blank + 1, line.n - to->method.n - 1 - version.n);
	return view_eq(view_of(end - version.n, version.n), version);
}

/* One field line; a Host goes to *authority. */
static bool read_field(struct view line, struct view *authority, struct h2_fields *to)
{
	char *name = (char *)(uintptr_t)line.p;
	const char *end = line.p + line.n;
	const char *colon = scan_token(name, end);
	struct view value;
	enum field_id id;

	if (colon == name || colon == end || *colon != ':')
		return false;
	value = view_trim(view_of(colon + 1, (size_t)(end - colon - 1)));
	if (value.n > 0 && scan_text(value.p, end) != end)
		return false;
	id = field_id(view_of(name, (size_t)(colon - name)));
	if (id == FIELD_UPGRADE && view_eq_nocase(value, VIEW("websocket")))
		to->upgrade = true;
	if (FIELD_BIT(id) & OF_THE_CONNECTION)
		return true;
	if (id == FIELD_TE && !view_eq_nocase(value, VIEW("trailers")))
		return true;
	if (id == FIELD_HOST && authority != NULL) {
		*authority = value;
		return true;
	}
	if (to->count == to->max)
		return false;
	for (char *p = name; p < colon; p++)
		*p = char_lower(*p);
	to->nv[to->count] = nv_of(view_of(name, (size_t)(colon - name)), value);
	/* No two are alike: in the table they would push out what comes again, and be searched through for each head. */
	if (id == FIELD_X_REQUEST_ID)
		to->nv[to->count].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
	to->count++;
	return true;
}

bool h2_text_read(struct view text, enum h2_role role, struct view scheme, struct h2_fields *to)
{
	struct view line, start, authority = {NULL, 0};

	to->nv += PSEUDO_MAX;
	to->max -= PSEUDO_MAX;
	if (!next_line(&text, &line))
		return false;
	if (role == H2_SERVER ? !read_status_line(line, &start, to) : !read_request_line(line, &start, to))
		return false;
	while (text.n > 0)
		if (!next_line(&text, &line) || !read_field(line, role == H2_CLIENT ? &authority : NULL, to))
			return false;
	if (role == H2_SERVER) {
		put_first(to, VIEW(":status"), start);
		return true;
	}
	put_first(to, VIEW(":path"), start);
	if (authority.n > 0)
		put_first(to, VIEW(":authority"), authority);
	put_first(to, VIEW(":scheme"), scheme);
	put_first(to, VIEW(":method"), to->method);
	return true;
}

/* RFC 8441 §5: the handshake of RFC 6455 has no part in it. */
static bool is_handshake(const nghttp2_nv *nv)
{
	struct view name = h2_view(nv->name, nv->namelen);

	return view_eq(name, VIEW("sec-websocket-key")) || view_eq(name, VIEW("sec-websocket-accept"));
}

void h2_text_extend(struct h2_fields *fields, enum h2_role role)
{
	size_t kept = 0;

	for (size_t i = 0; i < fields->count; i++)
		if (!is_handshake(&fields->nv[i]))
			fields->nv[kept++] = fields->nv[i];
	fields->count = kept;
	if (role == H2_SERVER) {
		fields->status = 200;
		fields->nv[0] = nv_of(VIEW(":status"), VIEW("200"));
		return;
	}
	fields->nv[0] = nv_of(VIEW(":method"), VIEW("CONNECT"));
	put_first(fields, VIEW(":protocol"), VIEW("websocket"));
}
