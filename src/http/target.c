/*
 * The request target, made canonical (RFC 9112 §3.2, RFC 3986 §6.2.2).
 *
 *     http://Example.com:80/a//b/%7ec?x=1        absolute form
 *     |      |              |          |
 *     |      authority      path       query
 *     scheme
 *
 * Nearly every target is canonical as it comes: one pass finds that out, and the results are slices of the message.
 * Otherwise path and query are written anew into the arena, in one piece, so that `whole` is one view in any case.
 *
 * The canonical path is built segment by segment, after decoding: "%2e%2e" is a dot segment like "..", and there is no
 * second decoding for anyone to find something new in it: what stays encoded is what may not stand raw.
 */
#include "http/target.h"

#include "base/wide.h"
#include "http/authority.h"
#include "http/scan.h"

const char target_why_memory[] = "the request target needs more memory than an exchange may have";
static const char why_path_byte[] = "the path has a character that is not allowed";

/* --- the path ---------------------------------------------------------------------------------------------------- */

/* A path being written. out[0] is '/', out[segment] the first byte of the last segment. */
struct path {
	char *out;
	size_t n;
	size_t segment;
};

/*
 * Where the path of a target that begins with '/' ends: at the '?', or at the end. NULL: it is not surely canonical: a segment is empty or
 * begins with a dot, or there is a byte that is no part of a canonical path.
 */
static inline const char *plain_path_end(struct view raw)
{
	const char *p = raw.p, *end = raw.p + raw.n;

	for (; p < end && *p != '?'; p++) {
		if (char_is(*p, CHAR_PATH))
			continue;
		if (*p != '/' || (p + 1 < end && (p[1] == '/' || p[1] == '.')))
			return NULL;
	}
	return p;
}

static void put_encoded(struct path *path, unsigned char byte)
{
	static const char hex[] = "0123456789ABCDEF";

	path->out[path->n++] = '%';
	path->out[path->n++] = hex[byte >> 4];
	path->out[path->n++] = hex[byte & 0xf];
}

/* "%XX" at p, of which `left` bytes are there. */
static const char *put_decoded(struct path *path, const char *p, size_t left)
{
	if (left < 3 || !char_is(p[1], CHAR_HEX) || !char_is(p[2], CHAR_HEX))
		return "the path has a malformed percent-encoding";
	unsigned char byte = (unsigned char)(char_hex(p[1]) << 4 | char_hex(p[2]));

	if (byte == '/' || byte == '\\')
		return "the path has an encoded slash or backslash";
	if (byte < 0x20 || byte == 0x7f)
		return "the path has an encoded control character";
	if (char_is((char)byte, CHAR_UNRESERVED))
		path->out[path->n++] = (char)byte;
	else
		put_encoded(path, byte);
	return NULL;
}

/* Anything but '/' and '%'. */
static const char *put_raw(struct path *path, char c)
{
	if (char_is(c, CHAR_PATH)) {
		path->out[path->n++] = c;
		return NULL;
	}
	if (c == '\\')
		return "the path has a backslash";
	if (c == '#')
		return "the request target has a fragment";
	if (!char_is(c, CHAR_TARGET))
		return why_path_byte;
	put_encoded(path, (unsigned char)c);
	return NULL;
}

/* At the end of a segment: "." and ".." leave nothing behind, and ".." takes the segment before with it. */
static const char *segment_end(struct path *path)
{
	struct view segment = view_of(path->out + path->segment, path->n - path->segment);

	/* "..;x" is a name by the RFC, and ".." to servers that strip parameters first. */
	if (view_starts(segment, VIEW(".;")) || view_starts(segment, VIEW("..;")))
		return "the path has a dot segment with parameters";
	if (view_eq(segment, VIEW("."))) {
		path->n = path->segment;
	} else if (view_eq(segment, VIEW(".."))) {
		if (path->segment == 1)
			return "the path climbs above the root";
		do
			path->segment--;
		while (path->out[path->segment - 1] != '/');
		path->n = path->segment;
	}
	return NULL;
}

/* Writes the canonical form of `raw`, which begins with '/', to path->out, which has room for it. */
static const char *path_write(struct path *path, struct view raw)
{
	const char *why = NULL;

	path->out[0] = '/';
	path->n = path->segment = 1;
	for (size_t i = 1; i < raw.n && why == NULL; i++) {
		char c = raw.p[i];

		if (c == '/') {
			why = segment_end(path);
			if (path->n > path->segment)
				path->out[path->n++] = '/';
			path->segment = path->n;
		} else if (c == '%') {
			why = put_decoded(path, raw.p + i, raw.n - i);
			i += 2;
		} else {
			why = put_raw(path, c);
		}
	}
	return why != NULL ? why : segment_end(path);
}

/* --- path and query ---------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong. The query is passed on as it is, but for raw non-ASCII bytes. */
static const char *query_check(struct view query)
{
	for (size_t i = 0; i < query.n; i++) {
		if (query.p[i] == '#')
			return "the request target has a fragment";
		if (!char_is(query.p[i], CHAR_TARGET))
			return "the query has a character that is not allowed";
	}
	return NULL;
}

static bool query_is_plain(struct view query)
{
	return query.n == 0 || scan_class(query.p, query.p + query.n, CHAR_QUERY) == query.p + query.n;
}

static void query_write(struct path *path, struct view query)
{
	path->out[path->n++] = '?';
	for (size_t i = 0; i < query.n; i++) {
		if (char_is(query.p[i], CHAR_QUERY))
			path->out[path->n++] = query.p[i];
		else
			put_encoded(path, (unsigned char)query.p[i]);
	}
}

/* The most bytes that `v` can take when all but the bytes of the class are percent-encoded. */
static size_t encoded_bytes_max(struct view v, enum char_class raw)
{
	size_t n = v.n;

	for (size_t i = 0; i < v.n; i++)
		n += char_is(v.p[i], raw) ? 0 : 2;
	return n;
}

/* Writes both anew. */
__attribute__((noinline)) static const char *rewrite(struct target *t, struct view raw, struct arena *arena)
{
	const char *mark = memchr(raw.p, '?', raw.n);
	struct view raw_path = view_of(raw.p, mark != NULL ? (size_t)(mark - raw.p) : raw.n);
	struct view query = mark != NULL ? view_from(raw, raw_path.n + 1) : view_of(NULL, 0);
	size_t bytes_max = encoded_bytes_max(raw_path, CHAR_PATH) + 1 + encoded_bytes_max(query, CHAR_QUERY);
	struct path path = {.out = arena_alloc(arena, bytes_max)};

	if (path.out == NULL)
		return target_why_memory;
	const char *why = path_write(&path, raw_path);

	if (why == NULL)
		why = query_check(query);
	if (why != NULL)
		return why;
	t->path = view_of(path.out, path.n);
	if (query.p != NULL) {
		query_write(&path, query);
		t->query = view_of(path.out + t->path.n + 1, path.n - t->path.n - 1);
	}
	t->whole = view_of(path.out, path.n);
	return NULL;
}

/* `raw` begins with '/'. Sets path, query and whole if they are canonical as they come. */
static inline bool read_canonical(struct target *t, struct view raw)
{
	const char *path_end = plain_path_end(raw);
	struct view query = view_of(NULL, 0);

	if (path_end != NULL && path_end < raw.p + raw.n)
		query = view_from(raw, (size_t)(path_end + 1 - raw.p));
	if (path_end == NULL || !query_is_plain(query))
		return false;
	t->path = view_of(raw.p, (size_t)(path_end - raw.p));
	t->query = query;
	t->whole = raw;
	return true;
}

/* The same, however they come. */
static const char *read_path_and_query(struct target *t, struct view raw, struct arena *arena)
{
	return read_canonical(t, raw) ? NULL : rewrite(t, raw, arena);
}

/* --- forms ------------------------------------------------------------------------------------------------------- */

static const char *set_authority(struct target *t, struct authority *a, struct arena *arena)
{
	if (!authority_make_canonical(a, arena))
		return target_why_memory;
	t->host = a->host;
	t->authority = a->text;
	t->port = a->port;
	return NULL;
}

static inline bool host_recall(struct target *t, struct view host, const struct host_memo *memo)
{
	if (memo == NULL || host.n != memo->n || !wide_same(host.p, memo->text, host.n))
		return false;
	t->host = view_of(host.p, memo->host_n);
	t->authority = host;
	t->port = memo->port;
	return true;
}

static void host_remember(struct host_memo *memo, const struct authority *a)
{
	if (memo == NULL || !a->canonical || a->text.n > sizeof(memo->text))
		return;
	memo->n = (uint8_t)a->text.n;
	memo->host_n = (uint8_t)a->host.n;
	memo->port = a->port;
	memcpy(memo->text, a->text.p, a->text.n);
}

/* It is another one than before. */
__attribute__((noinline)) static const char *read_new_host(
	struct target *t, struct view host, struct arena *arena, struct host_memo *memo)
{
	struct authority a;
	const char *why = authority_read(&a, host);

	if (why != NULL)
		return why;
	host_remember(memo, &a);
	return set_authority(t, &a, arena);
}

/* Host says where to. */
static inline const char *read_host(struct target *t, struct view host, struct arena *arena, struct host_memo *memo)
{
	if (host.n == 0 || host_recall(t, host, memo))
		return NULL; /* none in HTTP/1.0 */
	return read_new_host(t, host, arena, memo);
}

/* RFC 9112 §3.2.2: the target's authority holds; a Host that says something else is a second opinion. */
static const char *check_host(const struct target *t, struct view host, unsigned default_port, struct arena *arena)
{
	struct target other = {0};
	const char *why = read_host(&other, host, arena, NULL);

	if (why != NULL || host.n == 0)
		return why;
	unsigned port = t->port != 0 ? t->port : default_port;
	unsigned other_port = other.port != 0 ? other.port : default_port;

	if (!view_eq(t->host, other.host) || port != other_port)
		return "Host contradicts the request target";
	return NULL;
}

/* Cuts "http://" or "https://" off. The default port of the scheme, 0 when it is another. */
static unsigned cut_scheme(struct view *raw)
{
	const struct view http = VIEW("http://"), https = VIEW("https://");
	struct view scheme = raw->n >= https.n ? view_of(raw->p, https.n) : *raw;
	unsigned port = 443;

	if (!view_eq_nocase(scheme, https)) {
		scheme.n = scheme.n >= http.n ? http.n : scheme.n;
		port = 80;
		if (!view_eq_nocase(scheme, http))
			return 0;
	}
	*raw = view_from(*raw, scheme.n);
	return port;
}

/* The path may be left out before a query: "/" then stands for it. `raw` is empty, or begins with '?' or '/'. */
static const char *read_absolute_path(struct target *t, struct view raw, bool options, struct arena *arena)
{
	if (raw.n > 0 && raw.p[0] == '/')
		return read_path_and_query(t, raw, arena);
	if (raw.n > 0) {
		char *rooted = arena_alloc(arena, raw.n + 1);

		if (rooted == NULL)
			return target_why_memory;
		rooted[0] = '/';
		memcpy(rooted + 1, raw.p, raw.n);
		return read_path_and_query(t, view_of(rooted, raw.n + 1), arena);
	}
	/* RFC 9112 §3.2.4: OPTIONS for a whole server travels like this through proxies. */
	if (options)
		t->form = TARGET_ASTERISK;
	t->path = t->whole = options ? VIEW("*") : VIEW("/");
	return NULL;
}

__attribute__((noinline)) static const char *read_absolute(struct target *t, const struct message *m, struct arena *arena)
{
	struct view raw = m->target;
	unsigned default_port = cut_scheme(&raw);
	struct authority a;
	size_t n = 0;

	t->form = TARGET_ABSOLUTE;
	if (default_port == 0)
		return "the request target is neither a path nor an http or https URI";
	while (n < raw.n && raw.p[n] != '/' && raw.p[n] != '?' && raw.p[n] != '#')
		n++;
	const char *why = authority_read(&a, view_of(raw.p, n));

	if (why == NULL)
		why = set_authority(t, &a, arena);
	if (why == NULL)
		why = check_host(t, m->host, default_port, arena);
	if (why == NULL)
		why = read_absolute_path(t, view_from(raw, n), m->method == METHOD_OPTIONS, arena);
	return why;
}

/* host:port, for CONNECT (RFC 9112 §3.2.3). */
__attribute__((noinline)) static const char *read_connect(struct target *t, const struct message *m, struct arena *arena)
{
	struct authority a;
	const char *why = authority_read(&a, m->target);

	t->form = TARGET_AUTHORITY;
	if (why != NULL)
		return why;
	if (a.port == 0)
		return "the target of CONNECT has no port";
	t->whole = m->target;
	return set_authority(t, &a, arena);
}

static const char *read_asterisk(struct target *t, const struct message *m, struct arena *arena)
{
	t->form = TARGET_ASTERISK;
	if (m->method != METHOD_OPTIONS)
		return "the request target \"*\" is for OPTIONS only";
	t->path = t->whole = m->target;
	return read_host(t, m->host, arena, NULL);
}

static const char *read_origin(
	struct target *t, const struct message *m, struct arena *arena, struct host_memo *memo)
{
	const char *why = read_path_and_query(t, m->target, arena);

	return why != NULL ? why : read_host(t, m->host, arena, memo);
}

__attribute__((noinline)) static const char *read_any(
	struct target *t, const struct message *m, struct arena *arena, struct host_memo *memo)
{
	*t = (struct target){.form = TARGET_ORIGIN};
	if (m->method == METHOD_CONNECT)
		return read_connect(t, m, arena);
	if (view_starts(m->target, VIEW("/")))
		return read_origin(t, m, arena, memo);
	if (view_eq(m->target, VIEW("*")))
		return read_asterisk(t, m, arena);
	return read_absolute(t, m, arena);
}

/* A path with nothing to write anew, and the host of the request before: most requests. */
static inline bool read_ordinary(struct target *t, const struct message *m, const struct host_memo *memo)
{
	if (m->method == METHOD_CONNECT || !view_starts(m->target, VIEW("/")) || !read_canonical(t, m->target))
		return false;
	t->form = TARGET_ORIGIN;
	return m->host.n > 0 && host_recall(t, m->host, memo);
}

const char *target_read(struct target *t, const struct message *m, struct arena *arena, struct host_memo *memo)
{
	return read_ordinary(t, m, memo) ? NULL : read_any(t, m, arena, memo);
}

struct view target_canonical_path(struct view path, struct arena *arena, const char **why)
{
	struct target t = {.form = TARGET_ORIGIN};

	*why = NULL;
	if (!view_starts(path, VIEW("/")))
		*why = "a path begins with \"/\"";
	else if (memchr(path.p, '?', path.n) != NULL)
		*why = "a path has no query";
	else
		*why = read_path_and_query(&t, path, arena);
	return *why == NULL ? t.path : view_of("", 0);
}
