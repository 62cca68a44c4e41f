/*
 * WebSockets from one version of HTTP to the other.
 *
 *     HTTP/1 (RFC 6455)                  HTTP/2 (RFC 8441)
 *     GET, Upgrade: websocket       =    CONNECT, :protocol websocket
 *     Sec-WebSocket-Key: K               (none)
 *     101                           =    200
 *     Sec-WebSocket-Accept: f(K)         (none)
 *
 * The key proves to the client that the server has understood it, and that no cache has answered. It belongs to HTTP/1
 * alone: where the other side speaks HTTP/2 this gateway is the one that it is for. Towards a client of HTTP/1 it gives
 * the proof; towards an upstream of HTTP/1 it makes the key and wants to see the proof. Between two sides of one
 * version there is nothing to do. ex->websocket_accept is the proof; what comes after the handshake is the tunnel's.
 */
#include "base/planted.h"
#include "gateway/exchange.h"
#include "http/chars.h"

/* HTTP/2 has no key: one that came would stand beside the one that is made for HTTP/1. */
void websocket_drop_key(struct message *m)
{
	message_drop_name(m, VIEW("Sec-WebSocket-Key"));
}

/* --- its handshake in HTTP/1 ------------------------------------------------------------------------------------- */

/* The one value of a field; empty when it is not there, or more than once. */
static struct view only_value(const struct message *m, struct view name)
{
	struct view value = view_of(NULL, 0);
	unsigned count = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		if (m->fields[i].dropped || !view_eq_nocase(field_name(&m->fields[i]), name))
			continue;
		value = field_value(&m->fields[i]);
		count++;
	}
	return count == 1 ? value : view_of(NULL, 0);
}

/* Whether Upgrade names WebSocket and nothing else. Dropped as every hop-by-hop field is, it is read all the same. */
static bool names_websocket(const struct message *m)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < m->field_count; i++) {
		if (m->fields[i].id != FIELD_UPGRADE)
			continue;
		if (!view_eq_nocase(field_value(&m->fields[i]), VIEW("websocket")))
			return false;
		count++;
	}
	return count == 1;
}

static bool is_base64_digit(char c)
{
	char lower = char_lower(c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* 16 bytes in base64: 22 digits and a filling (RFC 6455 §4.1). */
static bool is_key(struct view key)
{
	if (key.n != TLS_WEBSOCKET_KEY_BYTES || !view_eq(view_from(key, 22), VIEW("==")))
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!is_base64_digit(key.p[i]))
			return false;
	return true;
}

/* Settles what proves that this key was understood. False: it cannot be made. */
static bool expect_accept(struct exchange *ex, struct view key)
{
	char *accept = arena_alloc(&ex->arena, TLS_WEBSOCKET_ACCEPT_BYTES);

	if (accept == NULL || !tls_websocket_accept(key, accept))
		return false;
	ex->websocket_accept = view_of(accept, TLS_WEBSOCKET_ACCEPT_BYTES);
	return true;
}

/* 16 bytes of chance in base64. */
static void make_key(struct io *io, char key[TLS_WEBSOCKET_KEY_BYTES])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t bits[2] = {io_random(io), io_random(io)};

	for (unsigned i = 0; i < 21; i++) {
		key[i] = digits[bits[0] & 63];
		bits[0] = bits[0] >> 6 | bits[1] << 58;
		bits[1] >>= 6;
	}
	/* Two bits are left, and stand above four that are none. */
	key[21] = digits[(bits[0] & 3) << 4];
	memcpy(key + 22, "==", 2);
}

/* --- between the versions ---------------------------------------------------------------------------------------- */

/* The client's handshake ends here (RFC 6455 §4.2.1), and HTTP/2 has no other upgrade than this. */
static bool take_over(struct exchange *ex)
{
	const struct message *m = &ex->request;
	struct view key = only_value(m, VIEW("Sec-WebSocket-Key"));

	if (m->method != METHOD_GET || !names_websocket(m) || !is_key(key))
		return false;
	return view_eq(only_value(m, VIEW("Sec-WebSocket-Version")), VIEW("13")) && expect_accept(ex, key);
}

bool websocket_can_pass(struct exchange *ex)
{
	const struct stream *to = ex->lease.stream;

	if (!stream_is_h2(to))
		return true;
	return stream_can_upgrade(to) && (stream_is_h2(ex->down) || take_over(ex));
}

void websocket_put_key(struct h1_writer *w, struct exchange *ex)
{
	char key[TLS_WEBSOCKET_KEY_BYTES];

	if (!stream_is_h2(ex->down) || stream_is_h2(ex->lease.stream))
		return;
	make_key(ex->worker->io, key);
	h1_put_field(w, VIEW("Sec-WebSocket-Key"), view_of(key, sizeof(key)));
	/* Where it fails nothing that comes will be proof. */
	expect_accept(ex, view_of(key, sizeof(key)));
}

void websocket_put_accept(struct h1_writer *w, const struct exchange *ex, struct message *response)
{
	if (stream_is_h2(ex->down) || !stream_is_h2(ex->lease.stream))
		return;
	message_drop_name(response, VIEW("Sec-WebSocket-Accept"));
	h1_put_field(w, VIEW("Sec-WebSocket-Accept"), ex->websocket_accept);
}

bool websocket_is_proven(const struct exchange *ex, const struct message *response)
{
	if (!stream_is_h2(ex->down) || stream_is_h2(ex->lease.stream) || PLANTED(PROOF_UNCHECKED))
		return true;
	return names_websocket(response) && ex->websocket_accept.n > 0 &&
	       view_eq(only_value(response, VIEW("Sec-WebSocket-Accept")), ex->websocket_accept);
}
