/*
 * A probe asks an endpoint by the gRPC health protocol whether it serves, on a connection of its own:
 *
 *     timer --> CONNECTING --TCP, TLS--> ASKED --the answer--> ENDED: passed
 *                   '-----------------------'--failed, or health.active.timeout--> ENDED: failed
 *
 * `fall` failures in a row take the endpoint out of service, `rise` passes put it back. Until the first of either it serves.
 * Between two probes there is the interval, up to a tenth more by chance, so that many gateways do not ask in step.
 *
 * Source of the protocol: the gRPC project, "GRPC Health Checking Protocol" and "gRPC over HTTP2". The messages have one
 * field each, so they are written and read here: HealthCheckRequest {string service = 1}, HealthCheckResponse {enum status = 1;
 * SERVING is 1}.
 */
#include "upstream/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "upstream/sessions.h"

enum probe_state { PROBE_CONNECTING, PROBE_ASKED, PROBE_ENDED };

enum {
	ANSWER_MAX = 64,                           /* bytes of the answer's message; it has 7 */
	HEAD_ROOM = 1024,
	MESSAGE_HEAD_BYTES = 5,                    /* gRPC: compressed or not, and the length */
	SERVICE_HEAD_BYTES = 3,                    /* the field's tag, and its length as a varint of up to two bytes */
	TAG_BYTES = 1 << 3 | 2, TAG_VARINT = 1 << 3, /* of field 1 */
	SERVING = 1,
};

struct probe {
	struct conn conn;
	struct h2_conn h2;
	struct h2_side side;
	struct endpoint *endpoint;
	struct io_timer timer;
	struct io_task end;
	enum probe_state state;
	bool has_stream;
	bool has_status;                           /* grpc-status has come, and was 0 */
	uint32_t answer_bytes;
	unsigned char answer[ANSWER_MAX];
};

/* --- what comes of it ------------------------------------------------------------------------------------------------- */

static void tell(const struct endpoint *ep, int level, const char *what, const char *why)
{
	const struct upstreams *ups = ep->ups;
	char text[512];

	if (ups->on_event == NULL)
		return;
	snprintf(text, sizeof(text), "upstream %.*s, endpoint %.*s %s: %s", (int)ep->name.upstream.n, ep->name.upstream.p,
		(int)ep->name.address_text.n, ep->name.address_text.p, what, why);
	ups->on_event(ups->event_context, level, text);
}

static void set_out(const struct endpoint *ep, bool out)
{
	atomic_store_explicit(&ep->budget->out, out, memory_order_relaxed);
}

static void passed(struct endpoint *ep)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_passed++;
	pr->fails = 0;
	if (!endpoint_budget_is_out(ep->budget) || ++pr->passes < pr->health.rise)
		return;
	set_out(ep, false);
	tell(ep, LEVEL_INFO, "is back in service", "its health checks pass");
}

static void failed(struct endpoint *ep, const char *why)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_failed++;
	pr->passes = 0;
	if (endpoint_budget_is_out(ep->budget) || ++pr->fails < pr->health.fall)
		return;
	set_out(ep, true);
	tell(ep, LEVEL_WARNING, "is out of service, its health checks fail", why);
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

/* `why` NULL: it has passed. Only the first counts. */
static void probe_end(struct probe *p, const char *why)
{
	if (p->state == PROBE_ENDED)
		return;
	p->state = PROBE_ENDED;
	io_defer(p->endpoint->ups->io, &p->end);
	if (why == NULL)
		passed(p->endpoint);
	else
		failed(p->endpoint, why);
}

/* Where it is the gateway that is short of something, that says nothing of the endpoint. */
static void probe_could_not(struct probe *p, int error)
{
	const char *why;
	enum cause cause = upstream_connect_cause(error, &why);

	if (cause != CAUSE_FILES_EXHAUSTED && cause != CAUSE_MEMORY_EXHAUSTED) {
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
	const unsigned char *m = p->answer + MESSAGE_HEAD_BYTES;

	if (p->answer_bytes < MESSAGE_HEAD_BYTES || p->answer[0] != 0)
		return "what it answered is no message of gRPC";
	/* A message of no bytes says UNKNOWN. */
	if (p->answer_bytes == MESSAGE_HEAD_BYTES + 2 && p->answer[4] == 2 && m[0] == TAG_VARINT && m[1] == SERVING)
		return NULL;
	return "it does not say SERVING";
}

static const char *judge_status(struct view status)
{
	if (view_eq(status, VIEW("5")))
		return "it knows no such service (grpc-status 5)";
	if (view_eq(status, VIEW("12")))
		return "it has no grpc.health.v1.Health (grpc-status 12)";
	return "it answers with another grpc-status than 0";
}

/* grpc-status in a head or in trailers. False: the probe has ended. */
static bool take_status(struct probe *p, const struct message *m)
{
	const struct field *status = message_find_name(m, VIEW("grpc-status"));

	if (status == NULL)
		return true;
	if (!view_eq(field_value(status), VIEW("0"))) {
		probe_end(p, judge_status(field_value(status)));
		return false;
	}
	p->has_status = true;
	return true;
}

static bool take_head(struct probe *p)
{
	struct message m;
	struct h1_result result = h2_stream_read_head(&p->side.h2, &m, NULL);

	if (result.status == H1_MORE)
		return true;
	if (result.status == H1_BAD) {
		probe_end(p, result.why);
		return false;
	}
	if (m.status < 200)
		return true;
	if (m.status != 200) {
		probe_end(p, "it answers with another status than 200");
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

static void take_body(struct probe *p)
{
	struct message trailers;
	struct view data;
	const char *why;

	for (;;) {
		switch (h2_stream_read_body(&p->side.h2, &data, &why)) {
		case H1_PIECE_DATA:
			if (!take_data(p, data))
				return;
			break;
		case H1_PIECE_TRAILERS:
			h2_stream_read_trailers(&p->side.h2, &trailers);
			if (!take_status(p, &trailers))
				return;
			break;
		case H1_PIECE_END: probe_end(p, p->has_status ? judge_message(p) : "its answer has no grpc-status"); return;
		case H1_PIECE_BAD: probe_end(p, "it broke the answer off"); return;
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
		probe_end(p, stream->fate == H2_LOST ? "it closed the connection" : "it reset the request");
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
	if (ep->address.u.any.sa_family == AF_UNIX)
		h1_put_field(&w, VIEW("Host"), ep->server_name.n > 0 ? ep->server_name : VIEW("localhost"));
	else
		h1_put_field(&w, VIEW("Host"), ep->server_name.n > 0 ? ep->server_name : ep->name.address_text);
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

static void prober_arm(struct endpoint *ep)
{
	uint64_t interval_us = ep->prober.health.interval_us;
	uint64_t wait_us = interval_us + io_random(ep->ups->io) % (interval_us / 10 + 1);

	io_timer_set(ep->ups->io, &ep->prober.timer, deadline_after(io_now_us(ep->ups->io), wait_us));
}

static void on_due(struct io_timer *timer)
{
	struct endpoint *ep = container_of(timer, struct endpoint, prober.timer);

	if (ep->prober.probe == NULL)
		probe_begin(ep);
	prober_arm(ep);
}

void prober_begin(struct endpoint *ep, const struct config_health *health)
{
	struct prober *pr = &ep->prober;

	pr->health = *health;
	if (!health->enabled) {
		prober_stop(ep);
		pr->passes = pr->fails = 0;
		set_out(ep, false);
		return;
	}
	if (health->service.n > 0)
		memcpy(pr->service_text, health->service.p, health->service.n);
	pr->health.service = view_of(pr->service_text, health->service.n);
	pr->timer.on_fire = on_due;
	if (pr->probe == NULL)
		io_timer_set(ep->ups->io, &pr->timer, io_now_us(ep->ups->io));
}

void prober_stop(struct endpoint *ep)
{
	io_timer_cancel(ep->ups->io, &ep->prober.timer);
	if (ep->prober.probe != NULL)
		probe_free(ep->prober.probe);
}
