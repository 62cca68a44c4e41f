/*
 * Whom a connection is from: taken from its first bytes, and told to upstreams in the first ones there.
 *
 * Where the listener has `proxy_protocol` a connection begins with a PROXY header (net/proxy_header.h),
 * and the address that it names is the peer from then on, in logs, limits and X-Forwarded-For alike.
 *
 * Only who is in trusted_proxies may say that; from everybody else the connection is closed at once, since it would be taken
 * for somebody whom it names. What does not begin with a header is closed too: a listener either is behind such a proxy, or is
 * not. Neither is answered, as it is not known yet what is spoken there.
 *
 * The header is received to its last byte and no further, into the own buffer of the h1_conn, which is not in use yet: what
 * stands behind it is TLS, or a request.
 */
#include <errno.h>

#include "gateway/exchange.h"
#include "net/proxy_header.h"

_Static_assert((int)PROXY_PROTOCOL_V1 == (int)PROXY_HEADER_V1 && (int)PROXY_PROTOCOL_V2 == (int)PROXY_HEADER_V2 &&
		       (int)PROXY_PROTOCOL_ANY == ((int)PROXY_HEADER_V1 | (int)PROXY_HEADER_V2),
	"the configuration's words are sets of versions");

/* Closed unserved, as where there is no memory to accept it with. */
static void shed(struct client *c)
{
	c->listener->listener.shed++;
	client_close(c);
}

static void refuse(struct client *c, enum proxy_refusal reason)
{
	c->worker->stats.proxy_headers_refused[reason]++;
	client_close(c);
}

void client_await_name(struct client *c)
{
	const struct config_listener *l = c->listener->config;

	if (!c->trusted) {
		refuse(c, PROXY_UNTRUSTED);
		return;
	}
	c->state = CLIENT_NAMING;
	c->proxy_versions = (uint8_t)l->proxy_protocol;
	io_timer_set(c->worker->io, &c->timer, deadline_after(io_now_us(c->worker->io), l->timeouts.header_us));
}

void client_name_is_late(struct client *c)
{
	refuse(c, PROXY_LATE);
}

/* Results as conn_recv. */
static ssize_t receive(struct client *c, size_t n)
{
	struct buf *in = &c->h1.in;

	char *to = buf_reserve(in, n, PROXY_HEADER_BYTES_MAX);

	if (to == NULL)
		return -ENOMEM;

	ssize_t got = conn_recv(&c->h1.conn, to, n);

	if (got > 0)
		buf_added(in, (size_t)got);
	return got;
}

static void named(struct client *c, const struct proxy_header *header)
{
	buf_release(&c->h1.in);
	if (header->named) {
		c->named = true;
		client_identify(c, &header->source);
		if (!client_count_peer(c))
			return;
	}
	client_begin(c);
}

/* It has ended before it was named. Whoever only looks whether somebody listens sends nothing, and is not counted. */
static void unnamed(struct client *c, ssize_t error)
{
	if (error == -ENOMEM)
		shed(c);
	else if (buf_len(&c->h1.in) == 0)
		client_close(c);
	else
		refuse(c, PROXY_MALFORMED);
}

void client_read_name(struct client *c)
{
	struct proxy_header header;
	enum proxy_header_status status;

	while ((status = proxy_header_read(buf_view(&c->h1.in), c->proxy_versions, &header)) == PROXY_HEADER_MORE) {
		ssize_t got = receive(c, header.more);

		if (got == -EAGAIN)
			return;
		if (got <= 0) {
			unnamed(c, got);
			return;
		}
	}
	/* A reload may have taken the trust away meanwhile. */
	if (status == PROXY_HEADER_BAD)
		refuse(c, PROXY_MALFORMED);
	else if (!c->trusted)
		refuse(c, PROXY_UNTRUSTED);
	else
		named(c, &header);
}

/*
 * What goes to upstreams names the peer, as X-Forwarded-For does behind what it was told itself, and the address of ours that
 * it has connected to. The connection was opened for this request, and will serve no other (endpoint_settings).
 */
void naming_put_header(struct exchange *ex)
{
	const struct client *c = ex->client;
	struct upstream_conn *to = ex->lease.conn;
	struct address source, destination;
	char header[PROXY_HEADER_WRITTEN_MAX];
	unsigned char bytes[16];
	bool known = client_peer_bytes(c, bytes);

	if (known) {
		address_from_bytes(&source, bytes, c->peer_port);
		known = io_local_address(ex->worker->io, &c->h1.conn.source, &destination) == 0;
	}
	h1_conn_put_raw(
		&to->h1, view_of(header, proxy_header_write(header, (enum proxy_header_version)to->proxy_protocol,
						 known ? &source : NULL, &destination)));
}
