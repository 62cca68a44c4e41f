/*
 * The JSON format: one object a line (RFC 8259), the same keys in the same order in every line, null for what is absent; and
 * behind them `grpc_status` in those of gRPC, and `tls` where the client's connection has it.
 *
 * JSON text is UTF-8 and a request's bytes need not be: a value that is not valid UTF-8 has its bytes beyond ASCII replaced
 * by U+FFFD.
 *
 * A line costs its writer about as much as a request costs the gateway when it is made as a tree of values first. So it is written from
 * left to right, numbers and texts of printable ASCII as they are; only what has to be escaped is jansson's. Some of the fields are
 * pieces of the whole line, in another order.
 */
#include "telemetry/format.h"

#include <jansson.h>

#include "base/check.h"
#include "http/grpc.h"
#include "telemetry/out.h"

/* The largest field of entry.c with three bytes (U+FFFD) for each of its own. */
#define REPLACED_MAX ((size_t)3 * 8192)
#define PAIR_TEXT_MAX ((size_t)8192)

/* Members of a line, those behind the usual ones too. */
enum { MEMBERS_MAX = 48 };

/* "name":value, where it stands. */
struct member {
	struct view name;
	size_t from, to;           /* the value's first byte, and behind its last one */
};

/* An object in the making; `failed` once memory has run out. */
struct line {
	struct out out;
	bool failed;
	struct member *members;    /* NULL: nobody asks where they are */
	char *begin;
	size_t count;
};

/* A comma, and the key with its quotes and colon. */
#define KEY(name) VIEW(",\"" name "\":")

static void line_key(struct line *line, struct view key)
{
	size_t at = (size_t)(line->out.at - line->begin);

	out_view(&line->out, key);
	if (line->members == NULL)
		return;
	CHECK(line->count < MEMBERS_MAX);
	if (line->count > 0)
		line->members[line->count - 1].to = at;
	line->members[line->count++] = (struct member){view_of(key.p + 2, key.n - 4), at + key.n, 0};
}

/* The first comma is the brace. */
static void line_end(struct line *line)
{
	*line->begin = '{';
	if (line->count > 0)
		line->members[line->count - 1].to = (size_t)(line->out.at - line->begin);
	out_view(&line->out, VIEW("}"));
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

/* Not for texts of printable ASCII. */
__attribute__((noinline)) static void put_escaped(struct line *line, struct view v)
{
	size_t room = (size_t)(line->out.end - line->out.at), n;
	json_t *value = json_stringn(v.p, v.n);

	if (value == NULL)
		value = json_replaced(v);
	n = value == NULL ? 0 : json_dumpb(value, line->out.at, room, JSON_ENCODE_ANY);
	CHECK(n <= room);
	json_decref(value);
	line->out.at += n;
	line->failed = line->failed || n == 0;
}

/* Printable ASCII without the quote and the backslash: it stands in JSON as it is. */
static bool is_plain(struct view v)
{
	unsigned odd = 0;

	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		odd |= (c < 0x20) | (c >= 0x7f) | (c == '"') | (c == '\\');
	}
	return odd == 0;
}

static void line_set_text(struct line *line, struct view key, struct view v)
{
	line_key(line, key);
	if (v.n == 0) {
		out_view(&line->out, VIEW("null"));
	} else if (is_plain(v)) {
		out_view(&line->out, VIEW("\""));
		out_view(&line->out, v);
		out_view(&line->out, VIEW("\""));
	} else {
		put_escaped(line, v);
	}
}

static void line_set_u64(struct line *line, struct view key, uint64_t value)
{
	line_key(line, key);
	out_u64(&line->out, value);
}

static void line_set_bool(struct line *line, struct view key, bool value)
{
	line_key(line, key);
	out_view(&line->out, value ? VIEW("true") : VIEW("false"));
}

/* Null for `none`. */
static void line_set_unless(struct line *line, struct view key, uint64_t value, uint64_t none)
{
	if (value == none)
		line_set_text(line, key, VIEW(""));
	else
		line_set_u64(line, key, value);
}

static void line_set_request(struct line *line, const struct exchange_record *record)
{
	char time[FORMAT_TIME_BYTES];

	format_time(record->started_wall_us, time);
	line_set_text(line, KEY("time"), view_of(time, sizeof(time)));
	line_set_text(line, KEY("listener"), record->listener);
	line_set_text(line, KEY("client"), record->client);
	line_set_text(line, KEY("method"), record->method);
	line_set_text(line, KEY("host"), record->host);
	line_set_text(line, KEY("target"), record->target);
	line_set_text(line, KEY("protocol"), record->protocol);
	line_set_text(line, KEY("request_id"), record->request_id);
}

static void line_set_outcome(struct line *line, const struct exchange_record *record)
{
	const char *cause = record->cause == CAUSE_NONE ? "" : cause_info(record->cause)->word;

	line_set_unless(line, KEY("status"), record->status, 0);
	line_set_text(line, KEY("cause"), view_str(cause));
	line_set_text(line, KEY("why"), view_str(record->why == NULL ? "" : record->why));
	line_set_text(line, KEY("route"), record->route);
	line_set_text(line, KEY("upstream"), record->upstream);
	line_set_text(line, KEY("endpoint"), record->endpoint);
	line_set_bool(line, KEY("reused"), record->reused);
	line_set_u64(line, KEY("retries"), record->retries);
	line_set_bool(line, KEY("upstream_status"), record->upstream_status);
}

/* All of them: together they are total_us. */
static void line_set_phases(struct line *line, const struct exchange_record *record)
{
#define PHASE_KEY(suffix, word, text) {",\"" word "\":", sizeof(",\"" word "\":") - 1},
	static const struct view keys[PHASE_COUNT] = {PHASES(PHASE_KEY)};
#undef PHASE_KEY
	struct line phases = {.failed = false};

	line_key(line, KEY("phases_us"));
	phases.out = line->out;
	phases.begin = line->out.at;
	for (unsigned i = 0; i < PHASE_COUNT; i++)
		line_set_u64(&phases, keys[i], record->phase_us[i]);
	line_end(&phases);
	line->out = phases.out;
}

static void line_set_measures(struct line *line, const struct exchange_record *record)
{
	line_set_u64(line, KEY("bytes_in"), record->bytes_in);
	line_set_u64(line, KEY("bytes_out"), record->bytes_out);
	line_set_unless(line, KEY("queue_us"), record->queue_us, UINT64_MAX);
	line_set_unless(line, KEY("connect_us"), record->connect_us, UINT64_MAX);
	line_set_unless(line, KEY("first_byte_us"), record->first_byte_us, UINT64_MAX);
	line_set_unless(line, KEY("total_us"), record->total_us, UINT64_MAX);
	line_set_phases(line, record);
	line_set_text(line, KEY("user_agent"), record->user_agent);
	line_set_text(line, KEY("referer"), record->referer);
	line_set_bool(line, KEY("upgraded"), record->upgraded);
}

/* Only where there is one, so that the lines of a gateway without tracing are what they always were. */
static void line_set_trace(struct line *line, const struct exchange_record *record)
{
	char text[TRACE_ID_BYTES];

	if ((record->trace.high | record->trace.low) == 0)
		return;
	trace_id_write(text, record->trace);
	line_set_text(line, KEY("trace_id"), view_of(text, sizeof(text)));
}

/* Only where it is a call. */
static void line_set_grpc(struct line *line, const struct exchange_record *record)
{
	bool told = record->grpc_status < GRPC_STATUS_COUNT;

	line_set_unless(line, KEY("grpc_status"), told ? record->grpc_status : GRPC_STATUS_COUNT, GRPC_STATUS_COUNT);
}

/* Only where there is TLS, so that the lines of a listener without it are what they always were. */
static void line_set_tls(struct line *line, const struct record_tls *r)
{
	struct line tls = {.failed = false};

	line_key(line, KEY("tls"));
	tls.out = line->out;
	tls.begin = line->out.at;
	line_set_text(&tls, KEY("version"), r->version);
	line_set_text(&tls, KEY("cipher"), r->cipher);
	line_set_text(&tls, KEY("server_name"), r->server_name);
	line_set_bool(&tls, KEY("resumed"), r->resumed);
	line_set_text(&tls, KEY("client_verify"), r->client_verified ? VIEW("ok") : VIEW("none"));
	line_set_text(&tls, KEY("client_subject"), r->client_subject);
	line_end(&tls);
	line->failed = line->failed || tls.failed;
	line->out = tls.out;
}

/* Everything that is known, to `line`, which is empty. False: memory is out. */
static bool line_set_record(struct line *line, const struct exchange_record *record)
{
	line_set_request(line, record);
	line_set_outcome(line, record);
	line_set_measures(line, record);
	line_set_trace(line, record);
	if (record->grpc)
		line_set_grpc(line, record);
	if (record->tls != NULL)
		line_set_tls(line, record->tls);
	line_end(line);
	return !line->failed;
}

static struct line line_begin(char *to)
{
	return (struct line){.out = {to, to + FORMAT_LINE_MAX}, .begin = to};
}

/* The value of that name; null when there is none. */
static struct view member_value(const struct line *line, struct view name)
{
	for (size_t i = 0; i < line->count; i++)
		if (view_eq(line->members[i].name, name))
			return view_of(line->begin + line->members[i].from, line->members[i].to - line->members[i].from);
	return VIEW("null");
}

/* What is asked for and not in it is null. 0: memory is out. */
static size_t format_some(const struct exchange_record *record, const struct format_fields *fields, char *to)
{
	struct member members[MEMBERS_MAX];
	char text[FORMAT_LINE_MAX];
	struct line all = line_begin(text), some = line_begin(to);

	all.members = members;
	if (!line_set_record(&all, record))
		return 0;
	for (size_t i = 0; i < fields->count; i++) {
		out_view(&some.out, VIEW(",\""));
		out_str(&some.out, fields->names[i]);
		out_view(&some.out, VIEW("\":"));
		out_view(&some.out, member_value(&all, view_str(fields->names[i])));
	}
	line_end(&some);
	out_view(&some.out, VIEW("\n"));
	return (size_t)(some.out.at - to);
}

size_t format_record_json(const struct exchange_record *record, const struct format_fields *fields, char *to)
{
	struct line line = line_begin(to);

	if (fields->count > 0)
		return format_some(record, fields, to);
	if (!line_set_record(&line, record))
		return 0;
	out_view(&line.out, VIEW("\n"));
	return (size_t)(line.out.at - to);
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

/* As values. NULL: memory is out. */
static json_t *record_json(const struct exchange_record *record)
{
	char text[FORMAT_LINE_MAX];
	struct line line = line_begin(text);

	return line_set_record(&line, record) ? json_loadb(text, (size_t)(line.out.at - text), JSON_ALLOW_NUL, NULL) : NULL;
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
