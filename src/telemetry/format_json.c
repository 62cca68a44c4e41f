/*
 * The JSON format: one object a line (RFC 8259), the same keys in the same order in every line, null for what is absent; and
 * behind them `grpc_status` in those of gRPC, and `tls` where the client's connection has it.
 *
 * JSON text is UTF-8 and a request's bytes need not be: a value that is not valid UTF-8 has its bytes beyond ASCII replaced
 * by U+FFFD.
 */
#include "telemetry/format.h"

#include <jansson.h>

#include "base/check.h"
#include "http/grpc.h"
#include "telemetry/out.h"

/* The largest field of entry.c with three bytes (U+FFFD) for each of its own. */
#define REPLACED_MAX ((size_t)3 * 8192)
#define PAIR_TEXT_MAX ((size_t)8192)

/* An object in the making; `failed` once memory has run out. */
struct line {
	json_t *object;
	bool failed;
};

/* Takes the value; NULL stands for memory that was not there. */
static void line_set(struct line *line, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(line->object, key, value) != 0)
		line->failed = true;
}

static json_t *json_replaced(struct view v)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char bytes[REPLACED_MAX];
	size_t n = 0;

	for (size_t i = 0; i < v.n && n + 3 <= sizeof(bytes); i++) {
		if ((unsigned char)v.p[i] < 0x80) {
			bytes[n++] = v.p[i];
			continue;
		}
		memcpy(bytes + n, replacement, 3);
		n += 3;
	}
	return json_stringn(bytes, n);
}

static void line_set_text(struct line *line, const char *key, struct view v)
{
	json_t *value = v.n == 0 ? json_null() : json_stringn(v.p, v.n);

	line_set(line, key, value != NULL ? value : json_replaced(v));
}

/* Integers of this library are signed; no count of a running program reaches the sign. */
static void line_set_u64(struct line *line, const char *key, uint64_t value)
{
	line_set(line, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static void line_set_phase(struct line *line, const char *key, uint64_t us)
{
	if (us == UINT64_MAX)
		line_set(line, key, json_null());
	else
		line_set_u64(line, key, us);
}

static void line_set_request(struct line *line, const struct exchange_record *record)
{
	char time[FORMAT_TIME_BYTES];

	format_time(record->started_wall_us, time);
	line_set_text(line, "time", view_of(time, sizeof(time)));
	line_set_text(line, "listener", record->listener);
	line_set_text(line, "client", record->client);
	line_set_text(line, "method", record->method);
	line_set_text(line, "host", record->host);
	line_set_text(line, "target", record->target);
	line_set_text(line, "protocol", record->protocol);
	line_set_text(line, "request_id", record->request_id);
}

static void line_set_outcome(struct line *line, const struct exchange_record *record)
{
	const char *cause = record->cause == CAUSE_NONE ? "" : cause_info(record->cause)->word;

	line_set(line, "status", record->status == 0 ? json_null() : json_integer((json_int_t)record->status));
	line_set_text(line, "cause", view_str(cause));
	line_set_text(line, "why", view_str(record->why == NULL ? "" : record->why));
	line_set_text(line, "route", record->route);
	line_set_text(line, "upstream", record->upstream);
	line_set_text(line, "endpoint", record->endpoint);
	line_set(line, "reused", json_boolean(record->reused));
	line_set_u64(line, "retries", record->retries);
	line_set(line, "upstream_status", json_boolean(record->upstream_status));
}

/* All of them: together they are total_us. */
static void line_set_phases(struct line *line, const struct exchange_record *record)
{
	struct line phases = {.object = json_object()};

	for (unsigned i = 0; i < PHASE_COUNT && phases.object != NULL; i++)
		line_set_u64(&phases, phase_word((enum phase)i), record->phase_us[i]);
	line->failed = line->failed || phases.failed;
	line_set(line, "phases_us", phases.object);
}

static void line_set_measures(struct line *line, const struct exchange_record *record)
{
	line_set_u64(line, "bytes_in", record->bytes_in);
	line_set_u64(line, "bytes_out", record->bytes_out);
	line_set_phase(line, "queue_us", record->queue_us);
	line_set_phase(line, "connect_us", record->connect_us);
	line_set_phase(line, "first_byte_us", record->first_byte_us);
	line_set_phase(line, "total_us", record->total_us);
	line_set_phases(line, record);
	line_set_text(line, "user_agent", record->user_agent);
	line_set_text(line, "referer", record->referer);
	line_set(line, "upgraded", json_boolean(record->upgraded));
}

/* Only where there is one, so that the lines of a gateway without tracing are what they always were. */
static void line_set_trace(struct line *line, const struct exchange_record *record)
{
	char text[TRACE_ID_BYTES];

	if ((record->trace.high | record->trace.low) == 0)
		return;
	trace_id_write(text, record->trace);
	line_set_text(line, "trace_id", view_of(text, sizeof(text)));
}

/* Only where it is a call. */
static void line_set_grpc(struct line *line, const struct exchange_record *record)
{
	bool told = record->grpc_status < GRPC_STATUS_COUNT;

	line_set(line, "grpc_status", told ? json_integer(record->grpc_status) : json_null());
}

/* Only where there is TLS, so that the lines of a listener without it are what they always were. */
static void line_set_tls(struct line *line, const struct record_tls *r)
{
	struct line tls = {.object = json_object()};

	if (tls.object != NULL) {
		line_set_text(&tls, "version", r->version);
		line_set_text(&tls, "cipher", r->cipher);
		line_set_text(&tls, "server_name", r->server_name);
		line_set(&tls, "resumed", json_boolean(r->resumed));
		line_set_text(&tls, "client_verify", r->client_verified ? VIEW("ok") : VIEW("none"));
		line_set_text(&tls, "client_subject", r->client_subject);
	}
	line->failed = line->failed || tls.failed;
	line_set(line, "tls", tls.object);
}

/* Everything that is known; NULL: memory is out. */
static json_t *record_json(const struct exchange_record *record)
{
	struct line line = {.object = json_object()};

	if (line.object == NULL)
		return NULL;
	line_set_request(&line, record);
	line_set_outcome(&line, record);
	line_set_measures(&line, record);
	line_set_trace(&line, record);
	if (record->grpc)
		line_set_grpc(&line, record);
	if (record->tls != NULL)
		line_set_tls(&line, record->tls);
	if (!line.failed)
		return line.object;
	json_decref(line.object);
	return NULL;
}

/* Takes `all`; what is asked for and not in it is null. */
static json_t *pick(json_t *all, const struct format_fields *fields)
{
	struct line line = {.object = json_object()};

	for (size_t i = 0; i < fields->count && line.object != NULL && !line.failed; i++) {
		json_t *value = json_object_get(all, fields->names[i]);

		line_set(&line, fields->names[i], value != NULL ? json_incref(value) : json_null());
	}
	json_decref(all);
	if (!line.failed)
		return line.object;
	json_decref(line.object);
	return NULL;
}

size_t format_record_json(const struct exchange_record *record, const struct format_fields *fields, char *to)
{
	json_t *object = record_json(record);
	size_t n = 0;

	if (object != NULL && fields->count > 0)
		object = pick(object, fields);
	if (object != NULL)
		n = json_dumpb(object, to, FORMAT_LINE_MAX - 1, JSON_COMPACT);
	CHECK(n < FORMAT_LINE_MAX);
	if (n != 0)
		to[n++] = '\n';
	json_decref(object);
	return n;
}

/* --- as pairs ------------------------------------------------------------------------------------------------------ */

static void pair_put(struct out *out, const json_t *value);

/* first_byte:800,client:12 */
static void members_put(struct out *out, json_t *object)
{
	const char *name, *before = "";
	json_t *value;

	json_object_foreach(object, name, value) {
		out_str(out, before);
		out_str(out, name);
		out_str(out, ":");
		pair_put(out, value);
		before = ",";
	}
}

/* As long as the longest field: what has become longer, because its bytes were replaced, would not fit when it is escaped. */
static struct view text_cut(const json_t *value)
{
	size_t n = json_string_length(value);

	return view_of(json_string_value(value), n < PAIR_TEXT_MAX ? n : PAIR_TEXT_MAX);
}

static void pair_put(struct out *out, const json_t *value)
{
	if (json_is_object(value))
		members_put(out, (json_t *)(uintptr_t)value);
	else if (json_is_string(value))
		out_quoted(out, text_cut(value));
	else if (json_is_integer(value))
		out_u64(out, (uint64_t)json_integer_value(value));
	else
		out_str(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "-");
}

size_t format_record_pairs(const struct exchange_record *record, const struct format_fields *fields, char *to)
{
	struct out out = {to, to + FORMAT_LINE_MAX};
	json_t *object = record_json(record);

	if (object == NULL)
		return 0;
	for (size_t i = 0; i < fields->count; i++) {
		out_str(&out, i > 0 ? " " : "");
		out_str(&out, fields->names[i]);
		out_str(&out, "=");
		pair_put(&out, json_object_get(object, fields->names[i]));
	}
	out_str(&out, "\n");
	json_decref(object);
	return (size_t)(out.at - to);
}
