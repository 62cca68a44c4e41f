/*
 * A request, in the version of HTTP that requests to the upstream have, and the status that comes back.
 *
 *     GET path --> head of the final answer --expected--> content, up to BODY_MAX --> passed
 *                                           '-another----------------------------> failed
 *
 * The content says nothing, but an answer that breaks off, or does not come to its end in time, is none. One that is longer
 * than BODY_MAX passes there: nobody is to be made to send a whole page for every check. All is bounded, since while it is
 * looked at nobody else is served, and no time limit passes.
 */
#include <errno.h>
#include <stdio.h>

#include "net/proxy_header.h"
#include "upstream/probing.h"

#define BODY_MAX (64 * KIB)

enum { INFORMATIONAL_MAX = 16 };           /* as in the answers to requests */

/* --- the answer ------------------------------------------------------------------------------------------------------- */

static enum method asked_method(const struct probe *p)
{
	return p->endpoint->prober.health.asks_head ? METHOD_HEAD : METHOD_GET;
}

/* All three: true when there is more to look at, false when more is needed or the probe has ended. */
static bool receive(struct probe *p)
{
	size_t head_bytes = p->endpoint->head_limits.head_bytes_max;
	bool is_h2 = stream_is_h2(p->stream);
	const char *cut = p->has_head ? "it broke the answer off" : "it closed the connection";
	ssize_t got = stream_fill(p->stream, head_bytes > H1_SCRATCH_IN_BYTES ? head_bytes : H1_SCRATCH_IN_BYTES);

	if (got > 0)
		return true;
	if (got == -EAGAIN)
		return false;
	if (got == 0 && p->has_head && stream_body_eof(p->stream))
		probe_end(p, NULL);
	else if (got == -ENOBUFS)
		probe_end(p, "the response head is larger than is allowed");
	else
		probe_end(p, is_h2 ? probe_why_cut(&p->side.h2, p->has_head ? cut : "it reset the request") : cut);
	return false;
}

static void probe_end_with_status(struct probe *p, unsigned status)
{
	char why[64];

	snprintf(why, sizeof(why), "it answers with the status %u, which is not expected", status);
	probe_end(p, why);
}

static bool take_head(struct probe *p)
{
	struct message m;
	struct h1_result result = stream_read_response(p->stream, &p->endpoint->head_limits, asked_method(p), &m);

	if (result.status == H1_MORE)
		return receive(p);
	if (result.status == H1_BAD) {
		probe_end(p, result.why);
		return false;
	}
	if (m.status == 101 || (m.status >= 200 && !config_health_expects(&p->endpoint->prober.health, m.status))) {
		probe_end_with_status(p, m.status);
		return false;
	}
	p->has_head = m.status >= 200;
	if (p->has_head || ++p->informational <= INFORMATIONAL_MAX)
		return true;
	probe_end(p, "too many informational responses");
	return false;
}

static bool take_body(struct probe *p)
{
	struct view data;
	struct message trailers;
	const char *why = NULL;

	switch (stream_read_body(p->stream, &data, &why)) {
	case H1_PIECE_DATA:
		p->answer_bytes += (uint32_t)data.n;
		if (p->answer_bytes <= BODY_MAX)
			return true;
		probe_end(p, NULL);
		return false;
	case H1_PIECE_MORE: return receive(p);
	case H1_PIECE_TRAILERS:
		if (stream_is_h2(p->stream)) {
			h2_stream_read_trailers(&p->side.h2, &trailers);
			return true;
		}
		/* They say nothing here, and the content is complete. */
		probe_end(p, NULL);
		return false;
	case H1_PIECE_END: probe_end(p, NULL); return false;
	case H1_PIECE_BAD: probe_end(p, why != NULL ? why : "its answer is malformed"); return false;
	}
	return false;
}

void probe_http_read(struct probe *p)
{
	while (p->state == PROBE_ASKED && (p->has_head ? take_body(p) : take_head(p)))
		;
}

/* --- the question ----------------------------------------------------------------------------------------------------- */

/* A service that expects the header gets one that names nobody: it is the gateway itself that asks. */
static void put_proxy_header(struct probe *p)
{
	char header[PROXY_HEADER_WRITTEN_MAX];
	enum config_proxy_protocol version = p->endpoint->proxy_protocol;

	if (version == PROXY_PROTOCOL_OFF || stream_is_h2(p->stream))
		return;
	h1_conn_put_raw(&p->h1,
		view_of(header, proxy_header_write(header, (enum proxy_header_version)version, NULL, NULL)));
}

int probe_http_ask(struct probe *p)
{
	const struct endpoint *ep = p->endpoint;
	const struct config_health *health = &ep->prober.health;

	stream_begin_message(p->stream);
	put_proxy_header(p);

	struct h1_writer w = stream_begin_head(p->stream, PROBE_HEAD_ROOM);

	h1_put_request_line(&w, method_name(asked_method(p)), health->path.n > 0 ? health->path : VIEW("/"));
	h1_put_field(&w, VIEW("Host"), health->host.n > 0 ? health->host : ep->name.authority);
	h1_put_field(&w, VIEW("User-Agent"), VIEW("weir"));
	h1_put_field(&w, VIEW("Accept"), VIEW("*/*"));
	if (!stream_is_h2(p->stream))
		h1_put_field(&w, VIEW("Connection"), VIEW("close"));
	else
		p->side.scheme = ep->tls_id != 0 ? VIEW("https") : VIEW("http");
	if (!stream_end_head(p->stream, &w, FRAMING_NONE))
		return -ENOMEM;
	stream_put_end(p->stream, NULL);
	return stream_flush(p->stream);
}
