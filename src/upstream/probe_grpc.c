/*
 * The gRPC health protocol: a call of grpc.health.v1.Health/Check, which passes where its one message says SERVING.
 *
 * Source: the gRPC project, "GRPC Health Checking Protocol" and "gRPC over HTTP2". The messages have one field each, so they
 * are written and read here: HealthCheckRequest {string service = 1}, HealthCheckResponse {enum status = 1; SERVING is 1}.
 */
#include <errno.h>

#include "upstream/probing.h"

enum {
	MESSAGE_HEAD_BYTES = 5,                    /* gRPC: compressed or not, and the length */
	MESSAGE_BYTES = 2,                         /* of HealthCheckResponse, unless it says UNKNOWN */
	SERVICE_HEAD_BYTES = 3,                    /* the field's tag, and its length as a varint of up to two bytes */
	TAG_BYTES = 1 << 3 | 2, TAG_VARINT = 1 << 3, /* of field 1 */
	SERVING = 1,
};

/* --- the answer ------------------------------------------------------------------------------------------------------- */

/* NULL: the message says SERVING. */
static const char *judge_message(const struct probe *p)
{
	static const unsigned char serving[] = {0, 0, 0, 0, MESSAGE_BYTES, TAG_VARINT, SERVING};
	const unsigned char *m = p->answer;
	bool has_head = p->answer_bytes >= MESSAGE_HEAD_BYTES && m[0] == 0;
	uint32_t said = has_head ? (uint32_t)m[1] << 24 | (uint32_t)m[2] << 16 | (uint32_t)m[3] << 8 | m[4] : 0;

	if (!has_head || said != p->answer_bytes - MESSAGE_HEAD_BYTES)
		return "what it answered is not one message of gRPC";
	if (p->answer_bytes == sizeof(serving) && memcmp(m, serving, sizeof(serving)) == 0)
		return NULL;
	/* A message of no bytes says UNKNOWN. */
	return "it does not say SERVING";
}

/* NULL: the call has succeeded. */
static const char *judge_status(enum grpc_status status)
{
	switch (status) {
	case GRPC_OK: return NULL;
	case GRPC_NOT_FOUND: return "it knows no such service (grpc-status 5)";
	case GRPC_UNIMPLEMENTED: return "it has no grpc.health.v1.Health (grpc-status 12)";
	default: return "it answers with another grpc-status than 0";
	}
}

/* Messages as they are defined, whatever they are called. */
static bool is_grpc_type(struct view content_type)
{
	struct view rest, proto = VIEW("+proto");

	if (grpc_kind_of(content_type, &rest) != GRPC_PLAIN)
		return false;
	if (rest.n >= proto.n && view_eq_nocase(view_of(rest.p, proto.n), proto))
		rest = view_from(rest, proto.n);
	rest = view_trim(rest);
	return rest.n == 0 || rest.p[0] == ';';
}

/* NULL: the head is one of gRPC. */
static const char *judge_head(const struct message *m)
{
	const struct field *type = message_find(m, FIELD_CONTENT_TYPE);

	if (m->status != 200)
		return "it answers with another status than 200";
	if (type == NULL || message_count_name(m, VIEW("content-type")) > 1 || !is_grpc_type(field_value(type)))
		return "it answers with another content-type than application/grpc";
	return NULL;
}

/* grpc-status in a head or in trailers. False: the probe has ended. */
static bool take_status(struct probe *p, const struct message *m)
{
	enum grpc_status status = grpc_status_of(m);
	bool again = p->status != GRPC_STATUS_COUNT || message_count_name(m, VIEW("grpc-status")) > 1;
	const char *why;

	if (status == GRPC_STATUS_COUNT)
		return true;
	why = again ? "it says more than one grpc-status" : judge_status(status);
	p->status = status;
	if (why != NULL)
		probe_end(p, why);
	return why == NULL;
}

static bool take_head(struct probe *p)
{
	struct message m;
	const char *why;
	struct h1_result result = h2_stream_read_head(&p->side.h2, &m, NULL);

	if (result.status == H1_MORE)
		return true;
	if (result.status == H1_BAD) {
		probe_end(p, result.why);
		return false;
	}
	if (m.status < 200)
		return true;
	why = judge_head(&m);
	if (why != NULL) {
		probe_end(p, why);
		return false;
	}
	return take_status(p, &m);
}

static bool take_data(struct probe *p, struct view data)
{
	if (data.n > sizeof(p->answer) - p->answer_bytes) {
		probe_end(p, "its answer is longer than any that the health protocol has");
		return false;
	}
	memcpy(p->answer + p->answer_bytes, data.p, data.n);
	p->answer_bytes += (uint32_t)data.n;
	return true;
}

/* False: the probe has ended. */
static bool take_trailers(struct probe *p)
{
	struct message trailers;
	struct h1_result result = h2_stream_read_trailers(&p->side.h2, &trailers);

	if (result.status != H1_BAD)
		return take_status(p, &trailers);
	probe_end(p, result.why);
	return false;
}

static void take_body(struct probe *p)
{
	struct view data;
	const char *why;

	for (;;) {
		switch (h2_stream_read_body(&p->side.h2, &data, &why)) {
		case H1_PIECE_DATA:
			if (!take_data(p, data))
				return;
			break;
		case H1_PIECE_TRAILERS:
			if (!take_trailers(p))
				return;
			break;
		case H1_PIECE_END:
			probe_end(p, p->status == GRPC_OK ? judge_message(p) : "its answer has no grpc-status");
			return;
		case H1_PIECE_BAD: probe_end(p, probe_why_cut(&p->side.h2, "it broke the answer off")); return;
		case H1_PIECE_MORE: return;
		}
	}
}

void probe_grpc_read(struct probe *p)
{
	struct h2_stream *stream = &p->side.h2;

	while (p->state == PROBE_ASKED && stream->heads > 0)
		if (!take_head(p))
			return;
	if (p->state == PROBE_ASKED && stream->in != H2_WAY_HEAD)
		take_body(p);
	else if (p->state == PROBE_ASKED && h2_side_was_reset(&p->side))
		probe_end(p, probe_why_cut(stream, "it reset the request"));
}

/* --- the question ----------------------------------------------------------------------------------------------------- */

static void put_message(struct probe *p, struct view service)
{
	char message[MESSAGE_HEAD_BYTES + SERVICE_HEAD_BYTES + CONFIG_HEALTH_SERVICE_MAX] = {0};
	size_t n = MESSAGE_HEAD_BYTES;

	if (service.n > 0) {
		message[n++] = TAG_BYTES;
		if (service.n >= 0x80)
			message[n++] = (char)(0x80 | (service.n & 0x7f));
		message[n++] = (char)(service.n >= 0x80 ? service.n >> 7 : service.n);
		memcpy(message + n, service.p, service.n);
		n += service.n;
	}
	message[4] = (char)(n - MESSAGE_HEAD_BYTES);
	h2_stream_put_body(&p->side.h2, view_of(message, n));
	h2_stream_put_end(&p->side.h2, NULL);
}

int probe_grpc_ask(struct probe *p)
{
	const struct endpoint *ep = p->endpoint;
	struct h1_writer w = h2_stream_begin_head(&p->side.h2, PROBE_HEAD_ROOM);

	h1_put_request_line(&w, VIEW("POST"), VIEW("/grpc.health.v1.Health/Check"));
	h1_put_field(&w, VIEW("Host"), ep->name.authority);
	h1_put_field(&w, VIEW("Content-Type"), VIEW("application/grpc"));
	h1_put_field(&w, VIEW("TE"), VIEW("trailers"));
	h1_put_field(&w, VIEW("User-Agent"), VIEW("weir"));
	if (!h2_stream_end_head(&p->side.h2, &w, FRAMING_CHUNKED, ep->tls_id != 0 ? VIEW("https") : VIEW("http")))
		return -ENOMEM;
	put_message(p, ep->prober.health.service);
	return 0;
}
