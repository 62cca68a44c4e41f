/* What the access log is told: see record.h. */
#include "gateway/grpc.h"

static uint64_t span(uint64_t from_us, uint64_t to_us)
{
	return from_us == UINT64_MAX || to_us == UINT64_MAX || to_us < from_us ? UINT64_MAX : to_us - from_us;
}

static struct view field_or_empty(const struct message *m, enum field_id id)
{
	const struct field *f = message_find(m, id);

	return f == NULL ? view_of("", 0) : field_value(f);
}

/* Empty when no head of HTTP/1 was understood. */
static struct view protocol_of(const struct exchange *ex)
{
	const struct message *m = &ex->request;

	if (stream_is_h2(ex->down))
		return VIEW("HTTP/2.0");
	if (m->method_name.n == 0)
		return view_of("", 0);
	return m->minor == 0 ? VIEW("HTTP/1.0") : VIEW("HTTP/1.1");
}

/* Where it went, as far as it got. */
static void record_upstream(struct exchange_record *r, const struct exchange *ex)
{
	r->route = ex->route->name;
	r->retries = (uint8_t)(ex->retries + ex->tries);
	/* Set when it is asked. */
	if (ex->lease.ops == NULL)
		return;
	r->upstream = ex->upstream->name;
	if (ex->lease.picked == NULL)
		return;
	r->endpoint = ex->lease.picked->address_text;
	r->queue_us = ex->lease.queue_us;
	if (ex->lease.held_since_us == 0)
		return;
	r->reused = ex->lease.reused;
	r->connect_us = ex->lease.connect_us;
	r->first_byte_us = span(ex->head_sent_us, ex->first_byte_us);
}

/* Away from the record itself: most have none. */
__attribute__((noinline)) static void record_with_tls(
	struct exchange_record *r, struct record_tls *tls, const struct tls_facts *facts)
{
	if (facts == NULL)
		return;
	*tls = (struct record_tls){
		.version = facts->version,
		.cipher = facts->cipher,
		.server_name = facts->server_name,
		.client_subject = facts->client_subject,
		.resumed = facts->resumed,
		.client_verified = facts->client_cert.n > 0,
	};
	r->tls = tls;
}

/* Chance, and not every n-th: what comes in turns is not to be told of only in part. */
static bool sample_draws(struct io *io, uint32_t ppm)
{
	return (io_random(io) >> 32) * CONFIG_SAMPLE_ALL >> 32 < ppm;
}

static bool is_always_told(const struct config_log *log, const struct exchange *ex, enum cause cause)
{
	if (log->always & CONFIG_LOG_ERRORS && (cause != CAUSE_NONE || ex->status >= 500))
		return true;
	return log->always & CONFIG_LOG_SLOW && io_now_us(ex->worker->io) - ex->started_us >= log->slow_us;
}

bool record_is_wanted(const struct exchange *ex, enum cause cause)
{
	struct worker *w = ex->worker;
	const struct config_log *log = &worker_generation(w)->config->log;
	uint32_t ppm = ex->route != NULL ? ex->route->log.sample_ppm : log->sample_ppm;

	if (ex->route != NULL && !ex->route->log.access)
		ppm = 0;
	else if (ppm == CONFIG_SAMPLE_ALL || is_always_told(log, ex, cause) || sample_draws(w->io, ppm))
		return true;
	w->stats.log_skipped++;
	return false;
}

void record_send(struct exchange *ex, enum cause cause, const char *why)
{
	struct worker *w = ex->worker;
	uint64_t now = io_now_us(w->io);
	bool fell_back = cause == CAUSE_NONE && ex->fallback_cause != CAUSE_NONE;
	struct record_tls tls;
	struct exchange_record r = {
		.started_wall_us = io_wall_us(w->io) - (now - ex->started_us),
		.listener = ex->client->listener->config->name,
		.client = ex->client_address,
		.consumer = ex->consumer != NULL ? ex->consumer->name : view_of("", 0),
		.method = ex->request.method_name,
		.host = ex->target.host,
		.target = ex->target.whole.n > 0 ? ex->target.whole : ex->request.target,
		.protocol = protocol_of(ex),
		.request_id = ex->request_id,
		.user_agent = field_or_empty(&ex->request, FIELD_USER_AGENT),
		.referer = field_or_empty(&ex->request, FIELD_REFERER),
		.status = ex->status,
		.cause = fell_back ? (enum cause)ex->fallback_cause : cause,
		.why = fell_back ? "the route's fallback has answered" : why,
		.upstream_status = ex->upstream_status,
		.upgraded = ex->upgraded,
		.bytes_in = ex->bytes_in,
		.bytes_out = ex->bytes_out,
		.queue_us = UINT64_MAX,
		.connect_us = UINT64_MAX,
		.first_byte_us = UINT64_MAX,
		.total_us = now - ex->started_us,
	};

	memcpy(r.phase_us, ex->phase_us, sizeof(r.phase_us));
	if (ex->trace != NULL)
		r.trace = ex->trace->id;
	r.trace_exported = ex->trace != NULL && ex->trace->exported;
	if (ex->grpc != NULL) {
		r.grpc = true;
		r.grpc_status = ex->grpc->status;
	}
	if (ex->client->h1.conn.tls != NULL)
		record_with_tls(&r, &tls, tls_facts(&ex->client->h1.conn));
	if (ex->route != NULL)
		record_upstream(&r, ex);
	w->observer.on_finished(w->observer.context, &r);
}
