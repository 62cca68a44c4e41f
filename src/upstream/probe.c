/*
 * A probe asks an endpoint whether it serves, on a connection of its own:
 *
 *     timer --> CONNECTING --TCP, TLS--> ASKED --the answer--> ENDED: passed
 *                   '-----------------------'--failed, or health.active.timeout--> ENDED: failed
 *
 * What is asked, and which answer is a good one, stands in probe_http.c, probe_tcp.c and probe_grpc.c; here is all else.
 *
 * `fall` failures in a row take the endpoint out of service, `rise` passes put it back. Until the first of either it
 * serves. The first probe comes within the interval, and within a second, by chance, so that not all endpoints are
 * asked in one moment; between two there is the interval, up to a tenth more by chance, so that many gateways do not
 * ask in step.
 *
 * A probe answers for the settings with which it has begun. A reload that changes them ends it, and the next one is the
 * first again; one that does not changes nothing.
 */
#include "upstream/probing.h"

#include <errno.h>
#include <stdlib.h>

#include "base/planted.h"

#define FIRST_WITHIN_US (1 * US_PER_S)

/* --- what comes of it ------------------------------------------------------------------------------------------------- */

static bool is_out(const struct endpoint *ep)
{
	return (endpoint_budget_out(ep->budget) & OUT_UNHEALTHY) != 0;
}

static void set_out(const struct endpoint *ep, bool out)
{
	endpoint_budget_set_out(ep->budget, OUT_UNHEALTHY, out);
}

static void passed(struct endpoint *ep)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_passed++;
	pr->fails = 0;
	if (!is_out(ep) || ++pr->passes < pr->health.rise || PLANTED(NEVER_BACK_IN_SERVICE))
		return;
	set_out(ep, false);
	endpoint_tell(ep, LEVEL_INFO, "is back in service: its health checks pass");
	health_changed(ep, HEALTH_CHECKS_PASS);
}

static void failed(struct endpoint *ep, const char *why)
{
	struct prober *pr = &ep->prober;

	ep->stats.health_failed++;
	pr->passes = 0;
	if (is_out(ep) || ++pr->fails < pr->health.fall)
		return;
	set_out(ep, true);
	endpoint_tell(ep, LEVEL_WARNING, "is out of service, its health checks fail: %s", why);
	health_changed(ep, HEALTH_CHECKS_FAIL);
}

/* --- its end ---------------------------------------------------------------------------------------------------------- */

static void probe_close(struct probe *p)
{
	struct io *io = p->endpoint->ups->io;

	io_timer_cancel(io, &p->timer);
	io_defer_cancel(io, &p->end);
	if (p->has_stream)
		h2_stream_release(&p->side.h2);
	if (p->h2.session != NULL)
		h2_conn_say_goodbye(&p->h2);
	h2_conn_close(&p->h2);
	h1_conn_release(&p->h1);
	conn_close(&p->h1.conn);
	p->endpoint->prober.probe = NULL;
}

static void on_free(struct io_task *task)
{
	free(container_of(task, struct probe, end));
}

/* Not from inside the session. */
static void on_end(struct io_task *task)
{
	probe_close(container_of(task, struct probe, end));
	on_free(task);
}

static bool was_short_of_memory(const struct probe *p)
{
	if (p->h1.conn.error == -ENOMEM || p->h1.conn.send_error == -ENOMEM)
		return true;
	if (p->has_stream && p->side.h2.cause == CAUSE_MEMORY_EXHAUSTED)
		return true;
	return p->h2.session != NULL && h2_session_facts(p->h2.session).cause == CAUSE_MEMORY_EXHAUSTED;
}

/* Of what the gateway is short of nothing counts. */
void probe_end(struct probe *p, const char *why)
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

const char *probe_why_cut(const struct h2_stream *stream, const char *by_peer)
{
	if (stream->cause == CAUSE_NONE)
		return stream->fate == H2_LOST ? "it closed the connection" : by_peer;
	return stream->why != NULL ? stream->why : "its answer is malformed";
}

/* --- the question ----------------------------------------------------------------------------------------------------- */

static int open_stream_h2(struct probe *p)
{
	struct endpoint *ep = p->endpoint;
	struct h2_limits limits = h2_limits_default(ep->head_limits);
	int error = endpoint_speak_h2(ep, &p->h1.conn, &p->h2, &limits);

	if (error != 0)
		return error;
	h2_side_init(&p->side, &p->h2);
	h2_session_open(p->h2.session, &p->side.h2);
	p->has_stream = true;
	p->stream = &p->side.stream;
	return 0;
}

/* The bytes can flow. */
static int probe_ask(struct probe *p)
{
	const struct endpoint *ep = p->endpoint;
	enum config_health_type type = ep->prober.health.type;
	int error = 0;

	if (type == HEALTH_TCP)
		return probe_tcp_ask(p);
	if (ep->streams_max > 0)
		error = open_stream_h2(p);
	else
		p->stream = &p->h1.stream;
	if (error != 0)
		return error;
	p->state = PROBE_ASKED;
	return type == HEALTH_GRPC ? probe_grpc_ask(p) : probe_http_ask(p);
}

static void probe_read(struct probe *p)
{
	if (p->endpoint->prober.health.type == HEALTH_GRPC)
		probe_grpc_read(p);
	else
		probe_http_read(p);
}

static void on_stream_ready(struct h2_conn *hc, struct h2_stream *stream)
{
	(void)stream;
	probe_read(container_of(hc, struct probe, h2));
}

static void on_ran(struct h2_conn *hc)
{
	struct probe *p = container_of(hc, struct probe, h2);

	if (h2_conn_is_over(hc))
		probe_end(p, "it closed the connection");
}

static void on_conn_ready(struct conn *conn)
{
	struct probe *p = container_of(conn, struct probe, h1.conn);

	if (p->state == PROBE_CONNECTING) {
		int error = conn_connect_result(conn);

		if (error == 0)
			error = probe_ask(p);
		if (error != 0 && error != -EINPROGRESS)
			probe_could_not(p, error);
	} else if (p->state == PROBE_ASKED && p->has_stream) {
		h2_conn_run(&p->h2);
		on_ran(&p->h2);
	} else if (p->state == PROBE_ASKED) {
		probe_read(p);
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
	p->h1.conn.on_ready = on_conn_ready;
	h1_conn_init(&p->h1, ep->ups->scratch);
	p->h2.on_ready = on_stream_ready;
	p->h2.on_ran = on_ran;
	io_timer_set(ep->ups->io, &p->timer, deadline_after(io_now_us(ep->ups->io), ep->prober.health.timeout_us));
	error = endpoint_connect(ep, &p->h1.conn);
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
	if (is_out(ep) && PLANTED(CHECKED_SELDOM))
		interval_us *= 8;
	prober_arm(ep, interval_us, interval_us / 10);
}

static bool same_health(const struct config_health *a, const struct config_health *b)
{
	return a->enabled == b->enabled && a->type == b->type && a->interval_us == b->interval_us &&
	       a->timeout_us == b->timeout_us && a->rise == b->rise && a->fall == b->fall &&
	       a->asks_head == b->asks_head && memcmp(a->expect, b->expect, sizeof(a->expect)) == 0 &&
	       view_eq(a->service, b->service) && view_eq(a->path, b->path) && view_eq(a->host, b->host);
}

/* Behind what stands there already. */
static struct view keep(struct prober *pr, size_t *used, struct view text)
{
	char *at = pr->texts + *used;

	if (text.n > 0)
		memcpy(at, text.p, text.n);
	*used += text.n;
	return view_of(at, text.n);
}

static void keep_texts(struct prober *pr)
{
	size_t used = 0;

	pr->health.service = keep(pr, &used, pr->health.service);
	pr->health.path = keep(pr, &used, pr->health.path);
	pr->health.host = keep(pr, &used, pr->health.host);
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
	keep_texts(pr);
	pr->timer.on_fire = on_due;
	prober_arm(ep, 0, health->interval_us < FIRST_WITHIN_US ? health->interval_us : FIRST_WITHIN_US);
}

void prober_stop(struct endpoint *ep)
{
	struct probe *p = ep->prober.probe;

	io_timer_cancel(ep->ups->io, &ep->prober.timer);
	if (p == NULL)
		return;
	probe_close(p);
	/* The loop may look at its connection until the turn is over. */
	p->end.on_run = on_free;
	io_defer(ep->ups->io, &p->end);
}
