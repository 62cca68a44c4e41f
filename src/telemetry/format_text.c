/*
 * The text format: what the combined log of other servers has, in its order, then everything else as key=value.
 *
 *   203.0.113.7 - - [2026-11-21T03:25:00.123Z] "GET /a HTTP/1.1" 200 512 "-" "curl/8" listener="public" ... total_us=812
 *   phases_us=first_byte:800,client:12
 *
 * Texts are quoted, numbers are bare, what is absent is "-". Inside texts everything but printable ASCII, and the quote
 * and the backslash, is written as \xHH. The text of an event is not quoted, so there the quote and the backslash stand
 * as they are: a complaint about the configuration reads as `weir check` prints it.
 */
#include "telemetry/format.h"

#include "base/check.h"
#include "base/units.h"
#include "config/config.h"
#include "http/grpc.h"
#include "telemetry/out.h"

static void out_key(struct out *out, const char *key)
{
	out_str(out, " ");
	out_str(out, key);
	out_str(out, "=");
}

static void out_text_field(struct out *out, const char *key, struct view v)
{
	out_key(out, key);
	if (v.n == 0)
		out_str(out, "-");
	else
		out_quoted(out, v);
}

static void out_flag_field(struct out *out, const char *key, bool value)
{
	out_key(out, key);
	out_str(out, value ? "true" : "false");
}

static void out_u64_field(struct out *out, const char *key, uint64_t value)
{
	out_key(out, key);
	out_u64(out, value);
}

static void out_phase_field(struct out *out, const char *key, uint64_t us)
{
	out_key(out, key);
	if (us == UINT64_MAX)
		out_str(out, "-");
	else
		out_u64(out, us);
}

static void out_time(struct out *out, uint64_t wall_us)
{
	char text[RFC3339_BYTES];

	rfc3339_write(wall_us, text);
	out_view(out, view_of(text, sizeof(text)));
}

void format_time_again(struct format_moment *moment, uint64_t wall_us, char to[RFC3339_BYTES])
{
	if (moment->text[0] == '\0' || wall_us - moment->begin_us >= US_PER_MS) {
		moment->begin_us = wall_us - wall_us % US_PER_MS;
		rfc3339_write(wall_us, moment->text);
	}
	memcpy(to, moment->text, RFC3339_BYTES);
}

static void out_combined(struct out *out, const struct exchange_record *record)
{
	out_escaped(out, record->client.n != 0 ? record->client : VIEW("-"));
	/* Who has shown credentials is a name in the configuration: nothing in it is to be escaped. */
	out_str(out, " - ");
	out_view(out, record->consumer.n != 0 ? record->consumer : VIEW("-"));
	out_str(out, " [");
	out_time(out, record->started_wall_us);
	out_str(out, "] \"");
	out_escaped(out, record->method);
	out_str(out, " ");
	out_escaped(out, record->target);
	out_str(out, " ");
	out_escaped(out, record->protocol);
	out_str(out, "\" ");
	if (record->status == 0)
		out_str(out, "-");
	else
		out_u64(out, record->status);
	out_str(out, " ");
	out_u64(out, record->bytes_out);
	out_str(out, " ");
	out_quoted(out, record->referer);
	out_str(out, " ");
	out_quoted(out, record->user_agent);
}

static void out_origin(struct out *out, const struct exchange_record *record)
{
	const char *cause = record->cause == CAUSE_NONE ? "" : cause_info(record->cause)->word;

	out_text_field(out, "listener", record->listener);
	out_text_field(out, "host", record->host);
	out_text_field(out, "request_id", record->request_id);
	out_text_field(out, "cause", view_str(cause));
	out_text_field(out, "why", view_str(record->why == NULL ? "" : record->why));
	out_text_field(out, "route", record->route);
	out_text_field(out, "upstream", record->upstream);
	out_text_field(out, "endpoint", record->endpoint);
	out_flag_field(out, "reused", record->reused);
	out_u64_field(out, "retries", record->retries);
	out_flag_field(out, "upstream_status", record->upstream_status);
	out_flag_field(out, "upgraded", record->upgraded);
}

/* reading:12,first_byte:800: those in which any time was spent. */
static void out_time_split(struct out *out, const uint64_t phase_us[PHASE_COUNT])
{
	const char *before = "";

	for (unsigned i = 0; i < PHASE_COUNT; i++) {
		if (phase_us[i] == 0)
			continue;
		out_str(out, before);
		out_str(out, phase_word((enum phase)i));
		out_str(out, ":");
		out_u64(out, phase_us[i]);
		before = ",";
	}
	if (*before == '\0')
		out_str(out, "-");
}

static void out_phases(struct out *out, const struct exchange_record *record)
{
	out_u64_field(out, "bytes_in", record->bytes_in);
	out_phase_field(out, "queue_us", record->queue_us);
	out_phase_field(out, "connect_us", record->connect_us);
	out_phase_field(out, "first_byte_us", record->first_byte_us);
	out_phase_field(out, "total_us", record->total_us);
	out_key(out, "phases_us");
	out_time_split(out, record->phase_us);
}

static void out_trace(struct out *out, const struct exchange_record *record)
{
	char text[TRACE_ID_BYTES];

	if ((record->trace.high | record->trace.low) == 0)
		return;
	trace_id_write(text, record->trace);
	out_text_field(out, "trace_id", view_of(text, sizeof(text)));
}

size_t format_record_text(const struct exchange_record *record, char *to)
{
	struct out out = {to, to + FORMAT_LINE_MAX};

	out_combined(&out, record);
	out_origin(&out, record);
	out_phases(&out, record);
	if (record->grpc)
		out_phase_field(&out, "grpc_status",
			record->grpc_status < GRPC_STATUS_COUNT ? record->grpc_status : UINT64_MAX);
	out_trace(&out, record);
	out_str(&out, "\n");
	return (size_t)(out.at - to);
}

size_t format_event(uint64_t wall_us, int level, const char *source, struct view text, char *to)
{
	struct out out = {to, to + FORMAT_LINE_MAX};

	CHECK(level >= LEVEL_ERROR && level <= LEVEL_DEBUG);
	out_time(&out, wall_us);
	out_str(&out, " ");
	out_str(&out, config_log_level_word((enum config_log_level)level));
	out_str(&out, " ");
	out_str(&out, source);
	out_str(&out, " ");
	out_escaped_also(&out, text, "\0");
	out_str(&out, "\n");
	return (size_t)(out.at - to);
}
