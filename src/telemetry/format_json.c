/*
 * The JSON format: one object a line (RFC 8259), the same keys in the same order in every line, null for what is absent; and
 * behind them `grpc_status` in those of gRPC, and `tls` where the client's connection has it.
 *
 * There is a line for every request, and its processor time is the gateway's. So it is written from left to right with a pen
 * (base/pen.h): keys and numbers as they are, texts as tracing/json_text.h has them.
 */
#include "telemetry/format.h"

#include <jansson.h>

#include "base/pen.h"
#include "http/grpc.h"
#include "telemetry/out.h"
#include "tracing/json_text.h"

#define PAIR_TEXT_MAX ((size_t)8192)

/* All keys, numbers and quotes of a line; of chosen fields too. */
#define FIXED_MAX ((size_t)4096)

/* An object in the making. */
struct line {
	struct pen pen;
	struct format_moment *moment;
	bool failed;    /* memory has run out */
};

/* --- values -------------------------------------------------------------------------------------------------------- */

static void put_null(struct line *line)
{
	PEN_PUT(&line->pen, "null");
}

static inline void put_some_text(struct line *line, struct view v)
{
	char *behind = json_text_write(line->pen, v);

	if (behind == NULL)
		line->failed = true;
	else
		line->pen.at = behind;
}

/* Null for an empty one. */
static inline void put_text(struct line *line, struct view v)
{
	if (v.n == 0)
		put_null(line);
	else
		put_some_text(line, v);
}

/* The same, of one that is known to be plain. */
static inline void put_known(struct line *line, struct view v)
{
	if (v.n == 0)
		put_null(line);
	else
		pen_json_known(&line->pen, v);
}

/* Likewise, of one that is made of letters, digits, '_', '-', '.' and '/': a configured name, a word of ours. */
static inline void put_word(struct line *line, struct view v)
{
	if (v.n == 0) {
		put_null(line);
		return;
	}
	PEN_PUT(&line->pen, "\"");
	pen_view(&line->pen, v);
	PEN_PUT(&line->pen, "\"");
}

/* Always the same few bytes long, and static. */
static void put_protocol(struct line *line, struct view v)
{
	const size_t n = sizeof("HTTP/1.1") - 1;

	if (v.n == n) {
		PEN_PUT(&line->pen, "\"");
		pen_fixed(&line->pen, v.p, n);
		PEN_PUT(&line->pen, "\"");
	} else {
		put_word(line, v);
	}
}

static void put_u64(struct line *line, uint64_t value)
{
	pen_u64(&line->pen, value);
}

/* Null for `none`. */
static void put_unless(struct line *line, uint64_t value, uint64_t none)
{
	if (value == none)
		put_null(line);
	else
		put_u64(line, value);
}

static void put_bool(struct line *line, bool value)
{
	if (value)
		PEN_PUT(&line->pen, "true");
	else
		PEN_PUT(&line->pen, "false");
}

static void put_time(struct line *line, uint64_t wall_us)
{
	PEN_PUT(&line->pen, "\"");
	format_time_again(line->moment, wall_us, line->pen.at);
	line->pen.at += RFC3339_BYTES;
	PEN_PUT(&line->pen, "\"");
}

static void put_cause(struct line *line, enum cause cause)
{
	if (cause == CAUSE_NONE)
		put_null(line);
	else
		put_word(line, view_str(cause_info(cause)->word));
}

static void put_why(struct line *line, const char *why)
{
	if (why == NULL)
		put_null(line);
	else
		put_text(line, view_str(why));
}

/* The first comma is the brace. */
static void put_object_end(struct line *line, char *begin)
{
	*begin = '{';
	PEN_PUT(&line->pen, "}");
}

/* Those in which any time was spent: together they are total_us. */
static void put_phases(struct line *line, const uint64_t phase_us[PHASE_COUNT])
{
	char *begin = line->pen.at;

#define PUT_PHASE(suffix, word, text) \
	if (phase_us[PHASE_##suffix] != 0) { \
		PEN_PUT(&line->pen, ",\"" word "\":"); \
		put_u64(line, phase_us[PHASE_##suffix]); \
	}
	PHASES(PUT_PHASE)
#undef PUT_PHASE
	/* The brace stands where a comma would. */
	if (line->pen.at == begin)
		line->pen.at++;
	put_object_end(line, begin);
}

static void put_trace(struct line *line, struct trace_id trace)
{
	PEN_PUT(&line->pen, "\"");
	trace_id_write(line->pen.at, trace);
	line->pen.at += TRACE_ID_BYTES;
	PEN_PUT(&line->pen, "\"");
}

static void put_grpc_status(struct line *line, const struct exchange_record *record)
{
	bool told = record->grpc_status < GRPC_STATUS_COUNT;

	put_unless(line, told ? record->grpc_status : GRPC_STATUS_COUNT, GRPC_STATUS_COUNT);
}

static void put_tls(struct line *line, const struct record_tls *tls)
{
	char *begin = line->pen.at;

	PEN_PUT(&line->pen, ",\"version\":");
	put_text(line, tls->version);
	PEN_PUT(&line->pen, ",\"cipher\":");
	put_text(line, tls->cipher);
	PEN_PUT(&line->pen, ",\"server_name\":");
	put_text(line, tls->server_name);
	PEN_PUT(&line->pen, ",\"resumed\":");
	put_bool(line, tls->resumed);
	PEN_PUT(&line->pen, ",\"client_verify\":");
	put_word(line, tls->client_verified ? VIEW("ok") : VIEW("none"));
	PEN_PUT(&line->pen, ",\"client_subject\":");
	put_text(line, tls->client_subject);
	put_object_end(line, begin);
}

/* --- members ------------------------------------------------------------------------------------------------------- */

static bool is_traced(const struct exchange_record *r)
{
	return (r->trace.high | r->trace.low) != 0;
}

/*
 * X(name, whether a whole line has it, what its value is); the record's own texts go by `put_text` and `put_word`. Those that few requests
 * have are absent else, so that lines stay what they were.
 */
#define MEMBERS(X, put_text, put_word) \
	X(time, true, put_time(line, r->started_wall_us)) \
	X(listener, true, put_word(line, r->listener)) \
	X(client, true, put_text(line, r->client)) \
	X(consumer, r->consumer.n > 0, put_word(line, r->consumer)) \
	X(method, true, put_text(line, r->method)) \
	X(host, true, put_text(line, r->host)) \
	X(target, true, put_text(line, r->target)) \
	X(protocol, true, put_protocol(line, r->protocol)) \
	X(request_id, true, put_text(line, r->request_id)) \
	X(status, true, put_unless(line, r->status, 0)) \
	X(cause, true, put_cause(line, r->cause)) \
	X(why, true, put_why(line, r->why)) \
	X(route, true, put_word(line, r->route)) \
	X(upstream, true, put_word(line, r->upstream)) \
	X(endpoint, true, put_text(line, r->endpoint)) \
	X(reused, true, put_bool(line, r->reused)) \
	X(retries, true, put_u64(line, r->retries)) \
	X(upstream_status, true, put_bool(line, r->upstream_status)) \
	X(bytes_in, true, put_u64(line, r->bytes_in)) \
	X(bytes_out, true, put_u64(line, r->bytes_out)) \
	X(queue_us, true, put_unless(line, r->queue_us, UINT64_MAX)) \
	X(connect_us, true, put_unless(line, r->connect_us, UINT64_MAX)) \
	X(first_byte_us, true, put_unless(line, r->first_byte_us, UINT64_MAX)) \
	X(total_us, true, put_unless(line, r->total_us, UINT64_MAX)) \
	X(phases_us, true, put_phases(line, r->phase_us)) \
	X(user_agent, true, put_text(line, r->user_agent)) \
	X(referer, true, put_text(line, r->referer)) \
	X(upgraded, true, put_bool(line, r->upgraded)) \
	X(trace_id, is_traced(r), put_trace(line, r->trace)) \
	X(grpc_status, r->grpc, put_grpc_status(line, r)) \
	X(tls, r->tls != NULL, put_tls(line, r->tls))

#define PUT_MEMBER(name, there, value) \
	if (there) { \
		PEN_PUT(&line->pen, ",\"" #name "\":"); \
		value; \
	}

/* As far as anything in it may have to be escaped: entry_unpack() says how its texts stand. */
static bool is_plain(const struct exchange_record *r)
{
	return pen_is_plain(r->client.p, (size_t)(r->endpoint.p + r->endpoint.n - r->client.p));
}

static bool fits(const struct pen *pen, const struct exchange_record *r)
{
	return r->upstream.p + r->upstream.n - r->client.p < pen->end - pen->at;
}

/* In one function, and the pen's place in a register: each byte that is written could change one in memory. */
__attribute__((flatten)) static char *put_plain_members(struct line own, const struct exchange_record *r)
{
	struct line *line = &own;

	MEMBERS(PUT_MEMBER, put_known, put_known)
	return own.failed ? NULL : own.pen.at;
}

__attribute__((noinline, cold)) static char *put_odd_members(struct line own, const struct exchange_record *r)
{
	struct line *line = &own;

	MEMBERS(PUT_MEMBER, put_text, put_word)
	return own.failed ? NULL : own.pen.at;
}

/* Everything that is known. */
static void put_record(struct line *line, const struct exchange_record *r)
{
	char *begin = line->pen.at, *behind;

	CHECK(fits(&line->pen, r));
	behind = is_plain(r) ? put_plain_members(*line, r) : put_odd_members(*line, r);
	if (behind == NULL) {
		line->failed = true;
		return;
	}
	line->pen.at = behind;
	put_object_end(line, begin);
}
#undef PUT_MEMBER

/* One member's value, null for what is absent. */
#define MEMBER_FUNCTION(name, there, value) \
	static void member_##name(struct line *line, const struct exchange_record *r) \
	{ \
		if (there) \
			value; \
		else \
			put_null(line); \
	}
MEMBERS(MEMBER_FUNCTION, put_text, put_word)
#undef MEMBER_FUNCTION

struct member {
	struct view name;
	void (*put)(struct line *line, const struct exchange_record *r);
};

static const struct member members[] = {
#define MEMBER(name, there, value) {{#name, sizeof(#name) - 1}, member_##name},
	MEMBERS(MEMBER, put_text, put_word)
#undef MEMBER
};

/* One that does not exist is null. */
static void put_member(struct line *line, struct view name, const struct exchange_record *record)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (view_eq(members[i].name, name)) {
			members[i].put(line, record);
			return;
		}
	put_null(line);
}

static void put_chosen(struct line *line, const struct exchange_record *record, const struct format_fields *fields)
{
	char *begin = line->pen.at;

	for (size_t i = 0; i < fields->count; i++) {
		struct view name = view_str(fields->names[i]);

		PEN_PUT(&line->pen, ",\"");
		pen_view(&line->pen, name);
		PEN_PUT(&line->pen, "\":");
		put_member(line, name, record);
	}
	put_object_end(line, begin);
}

/* --- lines --------------------------------------------------------------------------------------------------------- */

static struct line line_begin(char *to, struct format_moment *moment)
{
	return (struct line){.pen = {to, to + FORMAT_LINE_MAX - FIXED_MAX}, .moment = moment};
}

size_t format_record_json(const struct exchange_record *record, const struct format_fields *fields, struct format_moment *moment, char *to)
{
	struct line line = line_begin(to, moment);

	if (fields->count > 0)
		put_chosen(&line, record, fields);
	else
		put_record(&line, record);
	PEN_PUT(&line.pen, "\n");
	return line.failed ? 0 : (size_t)(line.pen.at - to);
}

/* --- as pairs ------------------------------------------------------------------------------------------------------ */

static void pair_put(struct out *out, const json_t *value);

/* first_byte:800,client:12; "-" when there is nothing. */
static void members_put(struct out *out, json_t *object)
{
	const char *name, *before = "";
	json_t *value;

	if (json_object_size(object) == 0)
		out_str(out, "-");
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
	struct format_moment moment = {0};
	struct line line = line_begin(text, &moment);

	put_record(&line, record);
	return line.failed ? NULL : json_loadb(text, (size_t)(line.pen.at - text), JSON_ALLOW_NUL, NULL);
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
