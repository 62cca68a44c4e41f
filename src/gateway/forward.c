/*
 * Heads made for the other side.
 *
 * A head that is forwarded is the received one without its hop-by-hop fields, with its own order and spelling, and then
 * what this hop has to say. Towards the upstream:
 *
 *     Host, the end-to-end fields, framing, Connection/Upgrade (tunnels only), Via, X-Forwarded-For, -Proto, -Host,
 *     Forwarded, X-Request-Id, Client-Cert (when one was verified)
 *
 * What a client says of who it is counts only if its peer address is in trusted_proxies: otherwise X-Forwarded-*,
 * Forwarded, X-Real-IP, Client-Cert and X-Request-Id are dropped before the filters run, and written anew.
 */
#include "base/hex.h"
#include "gateway/exchange.h"

#define HEAD_ROOM (H1_SCRATCH_OUT_BYTES / 2)
#define VIA_BYTES (sizeof("Via: 1.1 weir\r\n") - 1)

/* --- who the client is --------------------------------------------------------------------------------------------------- */

static bool in_block(const struct config_cidr *block, const unsigned char address[16])
{
	unsigned whole = block->prefix / 8, rest = block->prefix % 8;

	if (memcmp(block->address, address, whole) != 0)
		return false;
	return rest == 0 || ((block->address[whole] ^ address[whole]) & (0xff00u >> rest) & 0xffu) == 0;
}

bool listener_trusts(const struct config_listener *l, const unsigned char bytes[16])
{
	for (size_t i = 0; i < l->trusted_proxy_count; i++)
		if (in_block(&l->trusted_proxies[i], bytes))
			return true;
	return false;
}

/* ":443", or nothing. */
static bool is_port(struct view text)
{
	uint64_t port;

	return text.n == 0 || (text.p[0] == ':' && view_parse_u64(view_from(text, 1), &port) && port <= 65535);
}

/* Some proxies write the port too: "203.0.113.9:51234", "[2001:db8::1]:443", "[2001:db8::1]". False: it is nothing of that. */
__attribute__((noinline)) static bool endpoint_parse(struct view *element, unsigned char bytes[16])
{
	bool in_brackets = element->n > 0 && element->p[0] == '[';
	const char *end = element->n > 0 ? memchr(element->p, in_brackets ? ']' : ':', element->n) : NULL;
	size_t n = end != NULL ? (size_t)(end - element->p) : 0;

	if (end == NULL || !is_port(view_from(*element, n + in_brackets)))
		return false;
	*element = view_of(element->p + in_brackets, n - in_brackets);
	return address_bytes_parse(*element, bytes) && in_brackets == (memchr(element->p, ':', element->n) != NULL);
}

/*
 * The rightmost address that is not one of our own proxies: each proxy appended the address it saw, and only what a
 * trusted one wrote can be believed. Where that is none, nobody knows the client: what stands right of it is a proxy, and what
 * stands left of it is hearsay. False: stop looking.
 */
static bool walk_back(const struct config_listener *l, struct view list, struct view *client)
{
	while (list.n > 0) {
		size_t comma = list.n;
		unsigned char bytes[16];

		while (comma > 0 && list.p[comma - 1] != ',')
			comma--;

		struct view element = view_trim(view_from(list, comma));

		if (!address_bytes_parse(element, bytes) && !endpoint_parse(&element, bytes)) {
			*client = CLIENT_UNKNOWN;
			return false;
		}
		*client = element;
		if (!listener_trusts(l, bytes))
			return false;
		list.n = comma > 0 ? comma - 1 : 0;
	}
	return true;
}

/* False: it is made for the exchange, and there is no memory for that. Then nothing is known of who it is from. */
__attribute__((noinline)) static bool make_peer(struct exchange *ex)
{
	char *text = arena_alloc(&ex->arena, ADDRESS_HOST_MAX);

	if (text != NULL)
		ex->peer = ex->client_address = client_peer(ex->client, text);
	else
		ex->peer = ex->client_address = ex->request_id = view_of(NULL, 0);
	return text != NULL;
}

static inline bool identify_peer(struct exchange *ex)
{
	const struct client *c = ex->client;

	if (__builtin_expect(c->peer_kind == PEER_IPV6, 0))
		return make_peer(ex);
	ex->peer = ex->client_address = view_of(c->peer_text, c->peer_len);
	return true;
}

/* Of a trusted peer. */
static struct view told_address(const struct exchange *ex)
{
	struct view client = ex->peer;
	const struct message *m = &ex->request;

	for (uint32_t i = m->field_count; i-- > 0;)
		if (m->fields[i].id == FIELD_X_FORWARDED_FOR &&
			!walk_back(ex->client->listener->config, field_value(&m->fields[i]), &client))
			break;
	return client;
}

static bool is_request_id(struct view v)
{
	if (v.n == 0 || v.n > 128)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '"' || v.p[i] == '\\')
			return false;
	return true;
}

/*
 * 128 random bits in hexadecimal. The first half is drawn once for each worker, the second for each request, so that an
 * id is unique and says nothing about the gateway.
 */
static inline void make_request_id(struct exchange *ex)
{
	memcpy(ex->id_text, ex->worker->id_half, sizeof(ex->worker->id_half));
	hex_write(ex->id_text + sizeof(ex->worker->id_half), io_random(ex->worker->io));
	ex->request_id = view_of(ex->id_text, sizeof(ex->id_text));
}

void forward_init(struct worker *w)
{
	hex_write(w->id_half, io_random(w->io));
}

/* What a trusted peer says of both. False: there is no id. */
__attribute__((noinline)) static bool take_identity(struct exchange *ex)
{
	const struct field *id = message_find(&ex->request, FIELD_X_REQUEST_ID);

	ex->client_address = told_address(ex);
	if (id == NULL || !is_request_id(field_value(id)))
		return false;
	ex->request_id = field_value(id);
	return true;
}

bool forward_identify(struct exchange *ex)
{
	if (!identify_peer(ex))
		return false;
	if (!ex->trusted || !take_identity(ex))
		make_request_id(ex);
	return true;
}

/* --- preparing ---------------------------------------------------------------------------------------------------------- */

/*
 * Services that make variables of fields read '_' and '-' alike, so X_Forwarded_For is a second spelling of a field that is
 * replaced: it would be believed as one.
 */
__attribute__((noinline)) static bool is_second_spelling(struct view name)
{
	char folded[20];

	if (name.n > sizeof(folded) || memchr(name.p, '_', name.n) == NULL)
		return false;
	for (size_t i = 0; i < name.n; i++)
		folded[i] = name.p[i] == '_' ? '-' : name.p[i];
	return field_id(view_of(folded, name.n)) != FIELD_OTHER;
}

/* What is not passed on as it came: this hop writes it itself. */
#define REPLACED (FIELD_BIT(FIELD_HOST) | FIELD_BIT(FIELD_X_REQUEST_ID) | FIELD_BIT(FIELD_X_FORWARDED_FOR))

/* What only a trusted peer may say. */
#define BELIEVED                                                                                                            \
	(FIELD_BIT(FIELD_X_FORWARDED_PROTO) | FIELD_BIT(FIELD_X_FORWARDED_HOST) | FIELD_BIT(FIELD_FORWARDED) |              \
		FIELD_BIT(FIELD_CLIENT_CERT) | FIELD_BIT(FIELD_CLIENT_CERT_CHAIN) | FIELD_BIT(FIELD_X_REAL_IP))

/* Any of them, whoever says it. */
__attribute__((noinline)) static void drop_each(struct message *fields, uint64_t dropped, bool trusted)
{
	for (uint32_t i = 0; i < fields->field_count; i++) {
		struct field *f = &fields->fields[i];

		if (FIELD_BIT(f->id) & dropped || (f->id == FIELD_OTHER && !trusted && is_second_spelling(field_name(f))))
			message_drop(fields, f);
	}
}

/* Drops of the fields what is not passed on; `m` is the head that they belong to. */
static inline void drop_replaced(struct message *fields, const struct message *m, bool trusted)
{
	/* RFC 9110 §10.1.1: a 1.0 client cannot be sent the 100 that it would ask for. */
	uint64_t dropped = REPLACED | (trusted ? 0 : BELIEVED) | (m->minor == 0 ? FIELD_BIT(FIELD_EXPECT) : 0);
	struct field *first = fields->fields;

	/* Most of them: Host is all there is, there is one, and no name has '_' in it. */
	if (fields->lines.p != NULL && (fields->field_ids & dropped) == FIELD_BIT(FIELD_HOST) && first->id == FIELD_HOST)
		message_drop(fields, first);
	else
		drop_each(fields, dropped, trusted);
}

/* Whether any Upgrade field offers h2c. It is not passed on: it would open a second, unchecked way in. */
__attribute__((noinline)) static bool offers_h2c(const struct message *m)
{
	for (uint32_t i = 0; i < m->field_count; i++) {
		struct view list = field_value(&m->fields[i]), protocol;

		while (m->fields[i].id == FIELD_UPGRADE && view_next_element(&list, &protocol))
			if (view_eq_nocase(protocol, VIEW("h2c")))
				return true;
	}
	return false;
}

/* A certificate that was verified here: what the message says of another one is not about this client (RFC 9440 §2.4). */
static bool shows_certificate(const struct exchange *ex)
{
	const struct tls_facts *facts = tls_facts(&ex->client->h1.conn);

	return facts != NULL && facts->client_cert.n > 0;
}

static void drop_client_cert(struct message *m)
{
	for (uint32_t i = 0; i < m->field_count; i++)
		if (m->fields[i].id == FIELD_CLIENT_CERT || m->fields[i].id == FIELD_CLIENT_CERT_CHAIN)
			message_drop(m, &m->fields[i]);
}

const char *forward_prepare(struct exchange *ex)
{
	struct message *m = &ex->request;

	/* An upgrade with content would have two meanings for the bytes behind the head. */
	if (m->has_upgrade && (m->framing != FRAMING_NONE || offers_h2c(m)))
		m->has_upgrade = 0;
	if (!message_drop_hop_by_hop(m))
		return "Connection names a field that must not be removed";
	/* Before the filters: what they set is the operator's word, and stays. */
	drop_replaced(m, m, ex->trusted);
	if (ex->client->h1.conn.tls != NULL && shows_certificate(ex))
		drop_client_cert(m);
	if (m->has_upgrade && stream_is_h2(ex->down))
		websocket_drop_key(m);
	return NULL;
}

/* base + rest (+ ?query), without a copy where one of them is the whole. p == NULL: the arena is exhausted. */
__attribute__((noinline)) static struct view join(struct exchange *ex, struct view base, struct view rest, bool with_query)
{
	struct view query = with_query && ex->target.query.p != NULL ? ex->target.query : view_of(NULL, 0);
	size_t n = base.n + rest.n + (query.p != NULL ? 1 + query.n : 0);
	char *p = arena_alloc(&ex->arena, n + 1);

	if (p == NULL)
		return view_of(NULL, 0);
	memcpy(p, base.p, base.n);
	if (rest.n > 0)
		memcpy(p + base.n, rest.p, rest.n);
	if (query.p != NULL) {
		p[base.n + rest.n] = '?';
		memcpy(p + base.n + rest.n + 1, query.p, query.n);
	}
	return view_of(p, n);
}

/* What the "*" of the match stood for, to go behind `base`. An empty rest behind an empty base is the root. */
static struct view kept_rest(const struct exchange *ex, struct view base)
{
	if (ex->target.form == TARGET_ASTERISK)
		return view_of("", 0);
	return base.n == 0 && ex->route_rest.n == 0 ? VIEW("/") : ex->route_rest;
}

static struct view rewritten_target(struct exchange *ex)
{
	const struct config_rewrite *rw = &ex->route->rewrite;

	if (!ex->route->has_rewrite || !rw->path_set || ex->target.form == TARGET_ASTERISK)
		return ex->target.whole;
	return join(ex, rw->path, rw->path_keeps_rest ? kept_rest(ex, rw->path) : view_of("", 0), true);
}

static struct view redirect_location(struct exchange *ex)
{
	struct view base = ex->route->redirect.location;
	bool keeps = ex->route->redirect.location_keeps_rest;

	return join(ex, base, keeps ? kept_rest(ex, base) : view_of("", 0), keeps);
}

const char *forward_rewrite(struct exchange *ex)
{
	const struct config_route *route = ex->route;

	switch (route->action) {
	case ACTION_UPSTREAM:
		ex->forward_target = rewritten_target(ex);
		ex->forward_host = route->has_rewrite && route->rewrite.host.n > 0 ? route->rewrite.host : ex->target.authority;
		return ex->forward_target.p == NULL ? "no memory for the rewritten target" : NULL;
	case ACTION_RESPOND:
		ex->answer = (struct answer){.status = route->respond.status, .body = route->respond.body,
			.content_type = route->respond.content_type};
		return NULL;
	case ACTION_REDIRECT:
		ex->answer = (struct answer){.status = route->redirect.status, .location = redirect_location(ex)};
		return ex->answer.location.p == NULL ? "no memory for the location" : NULL;
	}
	return NULL;
}

/* --- the request ------------------------------------------------------------------------------------------------------------ */

/* Of a message that came on this stream. All are of one length, and there is room for that. */
static inline void put_via(struct h1_writer *w, const struct stream *from, const struct message *m)
{
	if (stream_is_h2(from))
		h1_put_sure(w, VIEW("Via: 2.0 weir\r\n"));
	else if (__builtin_expect(m->minor == 0, 0))
		h1_put_sure(w, VIEW("Via: 1.0 weir\r\n"));
	else
		h1_put_sure(w, VIEW("Via: 1.1 weir\r\n"));
}

/* The same with the beginning of the next line. */
static inline void put_via_and_id(struct h1_writer *w, const struct stream *from, const struct message *m)
{
	if (stream_is_h2(from))
		h1_put_sure(w, VIEW("Via: 2.0 weir\r\nX-Request-Id: "));
	else if (__builtin_expect(m->minor == 0, 0))
		h1_put_sure(w, VIEW("Via: 1.0 weir\r\nX-Request-Id: "));
	else
		h1_put_sure(w, VIEW("Via: 1.1 weir\r\nX-Request-Id: "));
}

/* A field of a trusted peer that is passed on in front of the peer's own address. */
static inline bool is_forwarded_for(const struct field *f)
{
	return f->id == FIELD_X_FORWARDED_FOR && f->value_len > 0;
}

/* At most, of put_identity, without the certificate. */
static inline size_t identity_bytes(const struct exchange *ex)
{
	enum { LITERALS = 320 };
	size_t n = LITERALS + 2 * ex->target.authority.n + 2 * ex->peer.n + ex->request_id.n;

	for (uint32_t i = 0; ex->trusted && i < ex->request.field_count; i++)
		if (is_forwarded_for(&ex->request.fields[i]))
			n += ex->request.fields[i].value_len + VIEW(", ").n;
	return n;
}

static inline bool is_ipv4(const struct client *c)
{
	return __builtin_expect(c->peer_kind == PEER_IPV4, 1);
}

/* One of IPv4 is shorter than sixteen bytes, of which as many are written. There is room, and what follows goes over them. */
static inline void put_ipv4(struct h1_writer *w, const struct client *c)
{
	wide_store(w->p, wide_load(c->peer_text));
	w->p += c->peer_len;
}

/* The received X-Forwarded-For of a trusted peer, and the peer itself behind it. */
static inline void put_forwarded_for(struct h1_writer *w, const struct exchange *ex)
{
	const struct client *c = ex->client;

	h1_put_sure(w, VIEW("X-Forwarded-For: "));
	for (uint32_t i = 0; ex->trusted && i < ex->request.field_count; i++) {
		const struct field *f = &ex->request.fields[i];

		if (!is_forwarded_for(f))
			continue;
		h1_put_sure(w, field_value(f));
		h1_put_sure(w, VIEW(", "));
	}
	if (is_ipv4(c))
		put_ipv4(w, c);
	else
		h1_put_sure(w, c->peer_kind == PEER_LOCAL ? VIEW("unknown") : ex->peer);
}

/* RFC 7239: the peer as a node identifier, quoted where the grammar wants it. */
static inline void put_node(struct h1_writer *w, const struct exchange *ex)
{
	const struct client *c = ex->client;

	if (is_ipv4(c)) {
		put_ipv4(w, c);
	} else if (c->peer_kind == PEER_LOCAL) {
		h1_put_sure(w, VIEW("unknown"));
	} else {
		h1_put_sure(w, VIEW("\"["));
		h1_put_sure(w, ex->peer);
		h1_put_sure(w, VIEW("]\""));
	}
}

static inline void put_forwarded(struct h1_writer *w, const struct exchange *ex, bool tls)
{
	h1_put_sure(w, VIEW("\r\nForwarded: for="));
	put_node(w, ex);
	if (ex->target.authority.n > 0) {
		h1_put_sure(w, VIEW(";host=\""));
		h1_put_sure(w, ex->target.authority);
		if (tls)
			h1_put_sure(w, VIEW("\";proto=https\r\nX-Request-Id: "));
		else
			h1_put_sure(w, VIEW("\";proto=http\r\nX-Request-Id: "));
	} else if (tls) {
		h1_put_sure(w, VIEW(";proto=https\r\nX-Request-Id: "));
	} else {
		h1_put_sure(w, VIEW(";proto=http\r\nX-Request-Id: "));
	}
	h1_put_sure(w, ex->request_id);
	h1_put_sure(w, VIEW("\r\n"));
}

/* RFC 9440 §2.2. */
static void put_client_cert(struct h1_writer *w, const struct exchange *ex)
{
	if (!shows_certificate(ex))
		return;
	h1_put(w, VIEW("Client-Cert: "));
	h1_put(w, tls_facts(&ex->client->h1.conn)->client_cert);
	h1_put(w, VIEW("\r\n"));
}

/* What this hop says of itself and of the client. identity_bytes() of room are there; literals are joined where they meet. */
static inline void put_identity(struct h1_writer *w, const struct exchange *ex)
{
	const struct message *m = &ex->request;
	bool tls = ex->client->h1.conn.tls != NULL;

	put_via(w, ex->down, m);
	if (message_find(m, FIELD_X_FORWARDED_PROTO) == NULL) {
		if (tls)
			h1_put_sure(w, VIEW("X-Forwarded-Proto: https\r\n"));
		else
			h1_put_sure(w, VIEW("X-Forwarded-Proto: http\r\n"));
	}
	if (ex->target.authority.n > 0 && message_find(m, FIELD_X_FORWARDED_HOST) == NULL) {
		h1_put_sure(w, VIEW("X-Forwarded-Host: "));
		h1_put_sure(w, ex->target.authority);
		h1_put_sure(w, VIEW("\r\n"));
	}
	put_forwarded_for(w, ex);
	put_forwarded(w, ex, tls);
}

__attribute__((noinline)) static void put_upgrade(struct h1_writer *w, const struct message *m)
{
	for (uint32_t i = 0; i < m->field_count; i++)
		if (m->fields[i].id == FIELD_UPGRADE)
			h1_put_field(w, field_name(&m->fields[i]), field_value(&m->fields[i]));
	h1_put(w, VIEW("Connection: Upgrade\r\n"));
}

/*
 * HTTP/2 wants an authority that is not empty (RFC 9113 §8.3.1), and servers reset the stream without one, or end the
 * whole connection. A client of HTTP/1.0 need not have named any: then it is the service's own, as for health checks.
 */
static struct view host_for(const struct exchange *ex)
{
	bool is_named = ex->forward_host.n > 0 || !stream_is_h2(ex->lease.stream);

	return is_named ? ex->forward_host : ex->lease.picked->authority;
}

static inline size_t start_bytes(const struct exchange *ex, struct view host)
{
	return ex->request.method_name.n + ex->forward_target.n + host.n + VIEW("  HTTP/1.1\r\nHost: \r\n").n;
}

/* The request line and Host, for which there is room. */
static inline void put_start(struct h1_writer *w, const struct exchange *ex, struct view host)
{
	if (ex->request.method == METHOD_GET) {
		h1_put_sure(w, VIEW("GET "));
	} else {
		h1_put_sure(w, ex->request.method_name);
		h1_put_sure(w, VIEW(" "));
	}
	h1_put_sure(w, ex->forward_target);
	h1_put_sure(w, VIEW(" HTTP/1.1\r\nHost: "));
	h1_put_sure(w, host);
	h1_put_sure(w, VIEW("\r\n"));
}

/* All of it stands at the beginning of the received head as it would be written, and the fields follow. */
static inline bool start_stands(const struct exchange *ex, struct view host)
{
	const struct message *m = &ex->request;

	return m->lines.p != NULL && m->lines.p == host.p + host.n + VIEW("\r\n").n && m->fields->value == host.p &&
	       memcmp(m->fields->name, "Host", 4) == 0 && ex->forward_target.p == m->target.p && ex->forward_target.n == m->target.n;
}

/* The same and the fields: all that is passed on as it came. */
static inline void put_passed(struct h1_writer *w, const struct exchange *ex, struct view host)
{
	const struct message *m = &ex->request;

	if (start_stands(ex, host)) {
		h1_put_lines(w, view_of(m->head.p, (size_t)(m->lines.p + m->lines.n - m->head.p)));
		return;
	}
	if (h1_has_room(w, start_bytes(ex, host)))
		put_start(w, ex, host);
	h1_put_fields(w, m);
}

/* What stands between the fields and put_identity, where there is anything. */
__attribute__((noinline)) static struct h1_writer put_framing(struct h1_writer w, struct exchange *ex)
{
	const struct message *m = &ex->request;

	if (m->framing == FRAMING_CHUNKED)
		h1_put(&w, VIEW("Transfer-Encoding: chunked\r\n"));
	if (m->has_upgrade) {
		put_upgrade(&w, m);
		websocket_put_key(&w, ex);
	}
	return w;
}

/* What stands behind it. */
__attribute__((noinline)) static struct h1_writer put_further(struct h1_writer w, const struct exchange *ex)
{
	if (ex->client->h1.conn.tls != NULL)
		put_client_cert(&w, ex);
	if (ex->trace != NULL)
		trace_put(&w, ex);
	return w;
}

bool forward_request(struct exchange *ex)
{
	struct message *m = &ex->request;
	struct stream *to = ex->lease.stream;
	struct h1_writer w = stream_begin_head(to, HEAD_ROOM);
	struct view host = host_for(ex);

	/* A server may ignore Upgrade (RFC 9110 §7.8), and so it is left out where it cannot be passed on. */
	if (m->has_upgrade)
		m->has_upgrade = websocket_can_pass(ex);
	put_passed(&w, ex, host);
	if (m->framing == FRAMING_CHUNKED || m->has_upgrade)
		w = put_framing(w, ex);
	if (h1_has_room(&w, identity_bytes(ex)))
		put_identity(&w, ex);
	if (ex->client->h1.conn.tls != NULL || ex->trace != NULL)
		w = put_further(w, ex);
	return stream_end_head(to, &w, (enum framing)m->framing);
}

void forward_request_trailers(struct exchange *ex, struct message *trailers)
{
	drop_replaced(trailers, &ex->request, ex->trusted);
	filters_on_request_aside(ex, trailers);
}

/* --- the response ----------------------------------------------------------------------------------------------------------- */

/* How the content's end is told to this client. Content of unknown length closes the connection of an HTTP/1.0 client. */
static enum framing response_framing(const struct exchange *ex, const struct message *response)
{
	if (response->framing != FRAMING_CHUNKED && response->framing != FRAMING_UNTIL_CLOSE)
		return (enum framing)response->framing;
	return ex->request.minor == 0 ? FRAMING_UNTIL_CLOSE : FRAMING_CHUNKED;
}

static inline void put_connection(struct h1_writer *w, const struct exchange *ex)
{
	if (!ex->keep_client)
		h1_put(w, VIEW("Connection: close\r\n"));
	else if (ex->request.minor == 0)
		h1_put(w, VIEW("Connection: keep-alive\r\n"));
}

/* X-Request-Id is this hop's. */
static inline void drop_id(struct message *response)
{
	for (struct field *f; (f = message_find(response, FIELD_X_REQUEST_ID)) != NULL;)
		message_drop(response, f);
}

/* Where there is none (RFC 9110 §6.6.1). */
static inline void put_date(struct h1_writer *w, struct worker *worker, const struct message *response)
{
	if (response->status >= 200 && message_find(response, FIELD_DATE) == NULL)
		h1_put_lines(w, worker_date_line(worker));
}

/* The fields that go on, and a Date. */
static inline void put_end_to_end(struct h1_writer *w, struct worker *worker, struct message *response)
{
	drop_id(response);
	h1_put_fields(w, response);
	put_date(w, worker, response);
}

/* HTTP/2 ends an answer with its head and need not say that there is no content. HTTP/1.1 would wait for the close. */
static bool lacks_length(const struct exchange *ex, const struct message *response)
{
	bool never_has_any = ex->request.method == METHOD_HEAD || response->status == 204 || response->status == 304;

	return stream_is_h2(ex->lease.stream) && !response->has_length && !never_has_any && !stream_is_h2(ex->down);
}

/* Via and the request's id: the end of every answer that is passed on. */
static inline void put_passage(struct h1_writer *w, const struct exchange *ex, const struct message *response)
{
	if (!h1_has_room(w, VIA_BYTES + VIEW("X-Request-Id: \r\n").n + ex->request_id.n))
		return;
	put_via_and_id(w, ex->lease.stream, response);
	h1_put_sure(w, ex->request_id);
	h1_put_sure(w, VIEW("\r\n"));
}

/* What an answer has in front of its own fields, where the listener or a filter says so; it may take some of these away. */
__attribute__((noinline)) static struct h1_writer put_decided(struct h1_writer w, const struct exchange *ex, struct message *response)
{
	if (ex->client->listener->config->hsts.enabled)
		https_put_hsts(&w, ex, response);
	if (ex->allowances != NULL)
		allowance_put(&w, ex, response);
	return w;
}

/* And behind them: a cookie, or that there is no content, which HTTP/2 need not say. */
__attribute__((noinline)) static struct h1_writer put_more(struct h1_writer w, const struct exchange *ex, bool says_none)
{
	if (ex->lease.key != NULL)
		balance_key_answer(&w, ex);
	if (says_none)
		h1_put_length(&w, 0);
	return w;
}

static inline bool is_decided(const struct exchange *ex)
{
	return ex->client->listener->config->hsts.enabled || ex->allowances != NULL;
}

/* The status line stands at the beginning of the received head as it would be written, and the fields follow. */
static inline bool status_stands(const struct message *response)
{
	return response->lines.p != NULL && response->lines.p == response->reason.p + response->reason.n + VIEW("\r\n").n;
}

/* All that is passed on as it came. */
static inline void put_answered(struct h1_writer *w, const struct exchange *ex, struct message *response)
{
	drop_id(response);
	if (!is_decided(ex) && status_stands(response)) {
		h1_put_lines(w, view_of(response->head.p, (size_t)(response->lines.p + response->lines.n - response->head.p)));
		return;
	}
	h1_put_status_line(w, response->status, response->reason);
	if (is_decided(ex))
		*w = put_decided(*w, ex, response);
	h1_put_fields(w, response);
}

bool forward_response(struct exchange *ex, struct message *response)
{
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, HEAD_ROOM);
	enum framing framing = response_framing(ex, response);
	bool says_none = framing == FRAMING_NONE && lacks_length(ex, response);

	ex->keep_client = framing != FRAMING_UNTIL_CLOSE && exchange_keeps_client(ex);
	put_answered(&w, ex, response);
	put_date(&w, ex->worker, response);
	if (ex->lease.key != NULL || says_none)
		w = put_more(w, ex, says_none);
	if (framing == FRAMING_CHUNKED)
		h1_put(&w, VIEW("Transfer-Encoding: chunked\r\n"));
	put_connection(&w, ex);
	put_passage(&w, ex, response);
	return stream_end_head(to, &w, framing);
}

/* Beside the final head: what is decided in that one is not said here. */
static void drop_decided(struct exchange *ex, struct message *aside)
{
	if (ex->client->listener->config->hsts.enabled)
		https_drop_hsts(aside);
	filters_on_response_aside(ex, aside);
}

void forward_response_trailers(struct exchange *ex, struct message *trailers)
{
	drop_decided(ex, trailers);
}

bool forward_informational(struct exchange *ex, struct message *response)
{
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, HEAD_ROOM);

	drop_decided(ex, response);
	h1_put_status_line(&w, response->status, response->reason);
	put_end_to_end(&w, ex->worker, response);
	return stream_end_head(to, &w, FRAMING_NONE);
}

bool forward_upgrade(struct exchange *ex, struct message *response)
{
	struct stream *to = ex->down;
	struct h1_writer w = stream_begin_head(to, HEAD_ROOM);

	h1_put_status_line(&w, response->status, response->reason);
	if (ex->client->listener->config->hsts.enabled)
		https_put_hsts(&w, ex, response);
	if (ex->allowances != NULL)
		allowance_put(&w, ex, response);
	websocket_put_accept(&w, ex, response);
	put_end_to_end(&w, ex->worker, response);
	if (ex->lease.key != NULL)
		balance_key_answer(&w, ex);
	put_upgrade(&w, response);
	if (h1_has_room(&w, VIA_BYTES))
		put_via(&w, ex->lease.stream, response);
	return stream_end_head(to, &w, FRAMING_NONE);
}
