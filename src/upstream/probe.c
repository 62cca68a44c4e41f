/*
 * A probe asks an endpoint by the gRPC health protocol whether it serves, on a connection of its own:
 *
 *     timer --> CONNECTING --TCP, TLS--> ASKED --the answer--> ENDED: passed
 *                   '-----------------------'--failed, or health.active.timeout--> ENDED: failed
 *
 * `fall` failures in a row take the endpoint out of service, `rise` passes put it back. Until the first of either it
 * serves. The first probe comes within the interval, and within a second, by chance, so that not all endpoints are
 * asked in one moment; between two there is the interval, up to a tenth more by chance, so that many gateways do not
 * ask in step.
 *
 * A probe answers for the settings with which it has begun. A reload that changes them ends it, and the next one is the
 * first again; one that does not changes nothing.
 *
 * Source of the protocol: the gRPC project, "GRPC Health Checking Protocol" and "gRPC over HTTP2". The messages have one
 * field each, so they are written and read here: HealthCheckRequest {string service = 1}, HealthCheckResponse {enum status = 1;
 * SERVING is 1}.
 */
#include "upstream/probe.h"

#include <errno.h>
#include <stdlib.h>

#include "base/planted.h"
#include "http/grpc.h"
#include "upstream/sessions.h"

enum probe_state { PROBE_CONNECTING, PROBE_ASKED, PROBE_ENDED };

enum {
	ANSWER_MAX = 64,                           /* bytes of the answer; it has 7 */
	HEAD_ROOM = 1024,
	MESSAGE_HEAD_BYTES = 5,                    /* gRPC: compressed or not, and the length */
	MESSAGE_BYTES = 2,                         /* of HealthCheckResponse, unless it says UNKNOWN */
	SERVICE_HEAD_BYTES = 3,                    /* the field's tag, and its length as a varint of up to two bytes */
	TAG_BYTES = 1 << 3 | 2, TAG_VARINT = 1 << 3, /* of field 1 */
	SERVING = 1,
};

#define FIRST_WITHIN_US (1 * US_PER_S)

struct probe {
	struct conn conn;
	struct h2_conn h2;
	struct h2_side side;
	struct endpoint *endpoint;
	struct io_timer timer;
	struct io_task end;
	enum probe_state state;
	bool has_stream;
	enum grpc_status status;                   /* as it was told; GRPC_STATUS_COUNT: not yet */
	uint32_t answer_bytes;
	unsigned char answer[ANSWER_MAX];
};

/* --- what comes of it ------------------------------------------------------------------------------------------------- */

static void set_out(const struct endpoint *ep, bool out)
{
	atomic_store_explicit(&ep->budget->out, out, memory_order_relaxed);
}

static void passed(struct endpoint *ep)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_passed++;
	pr->fails = 0;
	if (!endpoint_budget_is_out(ep->budget) || ++pr->passes < pr->health.rise || PLANTED(NEVER_BACK_IN_SERVICE))
		return;
	set_out(ep, false);
	endpoint_tell(ep, LEVEL_INFO, "is back in service: its health checks pass");
}

static void failed(struct endpoint *ep, const char *why)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_failed++;
	pr->passes = 0;
	if (endpoint_budget_is_out(ep->budget) || ++pr->fails < pr->health.fall)
		return;
	set_out(ep, true);
	endpoint_tell(ep, LEVEL_WARNING, "is out of service, its health checks fail: %s", why);
}

/* --- its end ---------------------------------------------------------------------------------------------------------- */

static void probe_free(struct probe *p)
{
	struct io *io = p->endpoint->ups->io;

	io_timer_cancel(io, &p->timer);
	io_defer_cancel(io, &p->end);
	if (p->has_stream)
		h2_stream_release(&p->side.h2);
	if (p->h2.session != NULL)
		h2_conn_say_goodbye(&p->h2);
	h2_conn_close(&p->h2);
	conn_close(&p->conn);
	p->endpoint->prober.probe = NULL;
	free(p);
}

/* Not from inside the session. */
static void on_end(struct io_task *task)
{
	probe_free(container_of(task, struct probe, end));
}

static bool was_short_of_memory(const struct probe *p)
{
	if (p->conn.error == -ENOMEM || p->conn.send_error == -ENOMEM)
		return true;
	if (p->has_stream && p->side.h2.cause == CAUSE_MEMORY_EXHAUSTED)
		return true;
	return p->h2.session != NULL && h2_session_facts(p->h2.session).cause == CAUSE_MEMORY_EXHAUSTED;
}

/* `why` NULL: it has passed. Only the first counts; of what the gateway is short of nothing does. */
static void probe_end(struct probe *p, const char *why)
{
	if (p->state == PROBE_ENDED)
		return;
	p->state = PROBE_ENDED;
	io_defer(p->endpoint->ups->io, &p->end);
	if (why == NULL)
		passed(p->endpoint);
	else if (!was_short_of_memory(p))
		failed(p->endpoint, why);
}

/* Where it is the gateway that is short of something, that says nothing of the endpoint. */
static void probe_could_not(struct probe *p, int error)
{
	const char *why;
	enum cause cause = upstream_connect_cause(error, &why);

	if ((cause != CAUSE_FILES_EXHAUSTED && cause != CAUSE_MEMORY_EXHAUSTED) || PLANTED(SHORTAGE_FAILS_CHECK)) {
		probe_end(p, why != NULL ? why : cause_info(cause)->text);
		return;
	}
	p->state = PROBE_ENDED;
	io_defer(p->endpoint->ups->io, &p->end);
}

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

/* What came of it, where it has not ended in order: who has ended it, and if that was us, for what. */
static const char *why_cut(const struct h2_stream *stream, const char *by_peer)
{
	if (stream->cause == CAUSE_NONE)
		return stream->fate == H2_LOST ? "it closed the connection" : by_peer;
	return stream->why != NULL ? stream->why : "its answer is malformed";
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
		case H1_PIECE_BAD: probe_end(p, why_cut(&p->side.h2, "it broke the answer off")); return;
		case H1_PIECE_MORE: return;
		}
	}
}

static void on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	struct probe *p = container_of(hc, struct probe, h2);

	while (p->state == PROBE_ASKED && stream->heads > 0)
		if (!take_head(p))
			return;
	if (p->state == PROBE_ASKED && stream->in != H2_WAY_HEAD)
		take_body(p);
	else if (p->state == PROBE_ASKED && h2_side_was_reset(&p->side))
		probe_end(p, why_cut(stream, "it reset the request"));
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

static bool put_request(struct probe *p)
{
	const struct endpoint *ep = p->endpoint;
	struct h1_writer w = h2_stream_begin_head(&p->side.h2, HEAD_ROOM);

	h1_put_request_line(&w, VIEW("POST"), VIEW("/grpc.health.v1.Health/Check"));
	h1_put_field(&w, VIEW("Host"), ep->name.authority);
	h1_put_field(&w, VIEW("Content-Type"), VIEW("application/grpc"));
	h1_put_field(&w, VIEW("TE"), VIEW("trailers"));
	h1_put_field(&w, VIEW("User-Agent"), VIEW("weir"));
	if (!h2_stream_end_head(&p->side.h2, &w, FRAMING_CHUNKED, ep->tls_id != 0 ? VIEW("https") : VIEW("http")))
		return false;
	put_message(p, ep->prober.health.service);
	return true;
}

/* The bytes can flow. */
static int probe_ask(struct probe *p)
{
	struct endpoint *ep = p->endpoint;
	struct h2_limits limits = h2_limits_default(ep->head_limits);
	int error = endpoint_speak_h2(ep, &p->conn, &p->h2, &limits);

	if (error != 0)
		return error;
	h2_side_init(&p->side, &p->h2);
	h2_session_open(p->h2.session, &p->side.h2);
	p->has_stream = true;
	p->state = PROBE_ASKED;
	return put_request(p) ? 0 : -ENOMEM;
}

static void on_ran(struct h2_conn *hc)
{
	struct probe *p = container_of(hc, struct probe, h2);

	if (h2_conn_is_over(hc))
		probe_end(p, "it closed the connection");
}

static void on_conn_ready(struct conn *conn)
{
	struct probe *p = container_of(conn, struct probe, conn);

	if (p->state == PROBE_CONNECTING) {
		int error = conn_connect_result(conn);

		if (error == 0)
			error = probe_ask(p);
		if (error != 0 && error != -EINPROGRESS)
			probe_could_not(p, error);
	} else if (p->state == PROBE_ASKED) {
		h2_conn_run(&p->h2);
		on_ran(&p->h2);
	}
}

static void on_timeout(struct io_timer *timer)
{
	probe_end(container_of(timer, struct probe, timer), "it did not answer in time");
}

static void probe_begin(struct endpoint *ep)
{
	struct probe *p = calloc(1, sizeof(*p));
	int error;

	/* That says nothing of the endpoint. */
	if (p == NULL)
		return;
	ep->prober.probe = p;
	p->endpoint = ep;
	p->status = GRPC_STATUS_COUNT;
	p->timer.on_fire = on_timeout;
	p->end.on_run = on_end;
	p->conn.on_ready = on_conn_ready;
	p->h2.on_ready = on_stream_ready;
	p->h2.on_ran = on_ran;
	io_timer_set(ep->ups->io, &p->timer, deadline_after(io_now_us(ep->ups->io), ep->prober.health.timeout_us));
	error = endpoint_connect(ep, &p->conn);
	if (error == 0)
		error = probe_ask(p);
	if (error != 0 && error != -EINPROGRESS)
		probe_could_not(p, error);
}

/* --- when ------------------------------------------------------------------------------------------------------------- */

/* In `least_us`, and up to `more_us` by chance. */
static void prober_arm(struct endpoint *ep, uint64_t least_us, uint64_t more_us)
{
	uint64_t wait_us = least_us + io_random(ep->ups->io) % (more_us + 1);

	io_timer_set(ep->ups->io, &ep->prober.timer, deadline_after(io_now_us(ep->ups->io), wait_us));
}

static void on_due(struct io_timer *timer)
{
	struct endpoint *ep = container_of(timer, struct endpoint, prober.timer);
	uint64_t interval_us = ep->prober.health.interval_us;

	if (ep->prober.probe == NULL || PLANTED(CHECK_BESIDE_CHECK))
		probe_begin(ep);
	prober_arm(ep, interval_us, interval_us / 10);
}

static bool same_health(const struct config_health *a, const struct config_health *b)
{
	return a->enabled == b->enabled && a->interval_us == b->interval_us && a->timeout_us == b->timeout_us &&
	       a->rise == b->rise && a->fall == b->fall && view_eq(a->service, b->service);
}

void prober_begin(struct endpoint *ep, const struct config_health *health)
{
	struct prober *pr = &ep->prober;

	if (io_timer_armed(&pr->timer) && same_health(&pr->health, health))
		return;
	prober_stop(ep);
	pr->health = *health;
	pr->passes = pr->fails = 0;
	if (!health->enabled) {
		set_out(ep, false);
		return;
	}
	if (health->service.n > 0)
		memcpy(pr->service_text, health->service.p, health->service.n);
	pr->health.service = view_of(pr->service_text, health->service.n);
	pr->timer.on_fire = on_due;
	prober_arm(ep, 0, health->interval_us < FIRST_WITHIN_US ? health->interval_us : FIRST_WITHIN_US);
}

void prober_stop(struct endpoint *ep)
{
	io_timer_cancel(ep->ups->io, &ep->prober.timer);
	if (ep->prober.probe != NULL)
		probe_free(ep->prober.probe);
}
