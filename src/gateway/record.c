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

/* Away from the record itself: most have none. NULL: nothing is known yet. */
__attribute__((noinline)) static const struct record_tls *record_of_tls(struct record_tls *tls, const struct tls_facts *facts)
{
	if (facts == NULL)
		return NULL;
	*tls = (struct record_tls){
		.version = facts->version,
		.cipher = facts->cipher,
		.server_name = facts->server_name,
		.client_subject = facts->client_subject,
		.resumed = facts->resumed,
		.client_verified = facts->client_cert.n > 0,
	};
	return tls;
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

/* One expression gives all of it its values: so none is zeroed before. */
void record_send(struct exchange *ex, enum cause cause, const char *why)
{
	struct worker *w = ex->worker;
	uint64_t now = io_now_us(w->io);
	bool fell_back = cause == CAUSE_NONE && ex->fallback_cause != CAUSE_NONE;
	const struct view none = VIEW("");
	/* Where it went, as far as it got. */
	bool was_asked = ex->route != NULL && ex->lease.ops != NULL, was_picked = was_asked && ex->lease.picked != NULL;
	bool was_held = was_picked && ex->lease.held_since_us != 0;
	struct record_tls tls;
	const struct exchange_record r = {
		.started_wall_us = io_wall_us(w->io) - (now - ex->started_us),
		.listener = ex->client->listener->config->name,
		.client = ex->client_address,
		.consumer = ex->consumer != NULL ? ex->consumer->name : none,
		.method = ex->request.method_name,
		.host = ex->target.host,
		.target = ex->target.whole.n > 0 ? ex->target.whole : ex->request.target,
		.protocol = protocol_of(ex),
		.request_id = ex->request_id,
		.trace = ex->trace != NULL ? ex->trace->id : (struct trace_id){0, 0},
		.trace_exported = ex->trace != NULL && ex->trace->exported,
		.user_agent = field_or_empty(&ex->request, FIELD_USER_AGENT),
		.referer = field_or_empty(&ex->request, FIELD_REFERER),
		.tls = ex->client->h1.conn.tls != NULL ? record_of_tls(&tls, tls_facts(&ex->client->h1.conn)) : NULL,
		.route = ex->route != NULL ? ex->route->name : none,
		.upstream = was_asked ? ex->upstream->name : none,
		.endpoint = was_picked ? ex->lease.picked->address_text : none,
		.reused = was_held && ex->lease.reused,
		.retries = ex->route != NULL ? (uint8_t)(ex->retries + ex->tries) : 0,
		.grpc_status = ex->grpc != NULL ? ex->grpc->status : 0,
		.grpc = ex->grpc != NULL,
		.status = ex->status,
		.cause = fell_back ? (enum cause)ex->fallback_cause : cause,
		.why = fell_back ? "the route's fallback has answered" : why,
		.upstream_status = ex->upstream_status,
		.upgraded = ex->upgraded,
		.bytes_in = ex->bytes_in,
		.bytes_out = ex->bytes_out,
		.queue_us = was_picked ? ex->lease.queue_us : UINT64_MAX,
		.connect_us = was_held ? ex->lease.connect_us : UINT64_MAX,
		.first_byte_us = was_held ? span(ex->head_sent_us, ex->first_byte_us) : UINT64_MAX,
		.total_us = now - ex->started_us,
#define OF_PHASE(suffix, word, text) [PHASE_##suffix] = ex->phase_us[PHASE_##suffix],
		.phase_us = {PHASES(OF_PHASE)},
#undef OF_PHASE
	};

	w->observer.on_finished(w->observer.context, &r);
}
