/*
 * What a request to the administration asks for: its row in the table, its parameters, its content.
 *
 * The head is gone as soon as more is received, so what a handler needs of it is copied: path and query, decoded in place.
 */
#include <stdio.h>

#include "control/page.h"
#include "control/state.h"
#include "http/target.h"

/* --- decoding ----------------------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes in place; what is malformed stays as it is. `plus` is what '+' stands for. */
static struct view decode(struct view text, char plus)
{
	char *p = (char *)(uintptr_t)text.p;
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		bool encoded = text.p[i] == '%' && i + 2 < text.n && hex_value(text.p[i + 1]) >= 0 &&
			hex_value(text.p[i + 2]) >= 0;

		if (encoded) {
			p[n++] = (char)(hex_value(text.p[i + 1]) << 4 | hex_value(text.p[i + 2]));
			i += 2;
		} else {
			p[n++] = text.p[i] == '+' ? plus : text.p[i];
		}
	}
	return view_of(text.p, n);
}

/* Cuts the next piece off the front of *text, up to `at` or the end. */
static struct view cut(struct view *text, char at)
{
	const char *end = text->n > 0 ? memchr(text->p, at, text->n) : NULL;
	struct view piece = view_of(text->p, end != NULL ? (size_t)(end - text->p) : text->n);

	*text = view_from(*text, end != NULL ? piece.n + 1 : piece.n);
	return piece;
}

/* --- the query ---------------------------------------------------------------------------------------------------- */

static bool is_known(const char *names, struct view name)
{
	struct view rest = view_str(names);

	while (rest.n > 0)
		if (view_eq(cut(&rest, ' '), name))
			return true;
	return false;
}

/* False: the query says something that the resource does not know, or one thing twice. */
static bool query_read(struct admin_request *r, struct view query)
{
	if (r->resource->parameters == NULL)
		return true;
	while (query.n > 0) {
		struct view value = cut(&query, '&'), name = decode(cut(&value, '='), ' ');
		struct admin_parameter *parameter = &r->parameters[r->parameter_count];

		if (!is_known(r->resource->parameters, name) || r->parameter_count == RESOURCE_PARAMETERS_MAX)
			return false;
		for (unsigned i = 0; i < r->parameter_count; i++)
			if (view_eq(r->parameters[i].name, name))
				return false;
		*parameter = (struct admin_parameter){name, decode(value, ' ')};
		r->parameter_count++;
	}
	return true;
}

/* --- what is asked for -------------------------------------------------------------------------------------------- */

/* False: it does not fit. */
static bool keep(struct admin_request *r, struct target *target)
{
	size_t n = target->path.n;

	if (n + target->query.n > sizeof(r->text))
		return false;
	if (n > 0)
		memcpy(r->text, target->path.p, n);
	if (target->query.n > 0)
		memcpy(r->text + n, target->query.p, target->query.n);
	target->path = view_of(r->text, n);
	target->query = view_of(r->text + n, target->query.n);
	return true;
}

/* "GET, HEAD, PUT" */
static void methods_print(unsigned methods, char *text, size_t bytes)
{
	size_t n = 0;

	methods |= methods & 1u << METHOD_GET ? 1u << METHOD_HEAD : 0;
	for (unsigned m = 0; m < METHOD_COUNT; m++) {
		struct view name = method_name((enum method)m);

		if (methods & 1u << m)
			n += (size_t)snprintf(text + n, bytes - n, "%s%.*s", n > 0 ? ", " : "", (int)name.n, name.p);
	}
}

static void refuse_method(struct admin_conn *c, unsigned methods)
{
	char allowed[64], fields[128];

	methods_print(methods, allowed, sizeof(allowed));
	/* RFC 9110 §15.5.6 */
	snprintf(fields, sizeof(fields), "Content-Type: application/json\r\nAllow: %s\r\n", allowed);
	admin_say(c, "{\"error\":\"method_not_allowed\",\"message\":\"allowed here: %s\"}\n", allowed);
	admin_answer(c, 405, view_str(fields));
}

static bool has_content(const struct message *m)
{
	return m->framing == FRAMING_CHUNKED || (m->framing == FRAMING_LENGTH && m->content_length > 0);
}

static bool is_json(const struct message *m)
{
	const struct field *f = message_find(m, FIELD_CONTENT_TYPE);
	struct view type = f != NULL ? field_value(f) : VIEW("");

	return message_count_name(m, VIEW("content-type")) == 1 &&
		view_eq_nocase(view_trim(cut(&type, ';')), VIEW("application/json"));
}

static void refuse_content_type(struct admin_conn *c)
{
	c->control->refused[ADMIN_NO_JSON]++;
	admin_fail(c, 415, "unsupported_media_type",
		"what changes something says Content-Type: application/json, which no form of a web page can");
}

/* What is wrong with the request's form, beside its path; false: something was, and was answered. */
static bool form_check(struct admin_conn *c, const struct message *m)
{
	bool is_get = c->request.resource->method == METHOD_GET;

	if (is_get && has_content(m))
		admin_fail(c, 413, "content_too_large", "a request that only asks has no content");
	else if (m->framing == FRAMING_LENGTH && m->content_length > ADMIN_REQUEST_CONTENT_MAX)
		admin_fail(c, 413, "content_too_large", "the content is larger than 64 KiB");
	else if (!is_get && !is_json(m))
		refuse_content_type(c);
	else
		return true;
	return false;
}

/* What of the fields somebody may ask for later. */
static void fields_keep(struct admin_request *r, const struct message *m)
{
	const struct field *encoding = message_find_name(m, VIEW("accept-encoding"));
	const struct field *tags = message_find_name(m, VIEW("if-none-match"));
	struct view known = tags != NULL ? field_value(tags) : VIEW("");

	r->takes_gzip = encoding != NULL && page_takes_gzip(field_value(encoding));
	if (known.n >= sizeof(r->known_tags))
		known = VIEW("");
	memcpy(r->known_tags, known.p, known.n);
	r->known_tags[known.n] = '\0';
}

static void begin(struct admin_conn *c, const struct message *m, struct target *target)
{
	struct admin_request *r = &c->request;
	unsigned methods = 0;

	r->parameter_count = 0;
	fields_keep(r, m);
	if (!keep(r, target)) {
		admin_fail(c, 414, "uri_too_long", "path and query are longer than 4 KiB");
		return;
	}
	r->resource = resource_find((enum method)m->method, target->path, r->segments, &methods);
	if (r->resource == NULL && methods == 0)
		admin_fail(c, 404, "not_found", "there is nothing here; GET /v1 tells what there is");
	else if (r->resource == NULL)
		refuse_method(c, methods);
	else if (admin_guard(c, m) && form_check(c, m) && !query_read(r, target->query))
		admin_fail(c, 400, "bad_request", "the query has a parameter that is not known here, or one twice");
}

static struct view accept_of(const struct message *m)
{
	const struct field *f = message_find_name(m, VIEW("accept"));

	return f != NULL ? field_value(f) : VIEW("");
}

bool admin_request_begin(struct admin_conn *c, const struct message *m)
{
	_Alignas(8) char memory[ADMIN_TARGET_BYTES];
	struct arena arena;
	struct target target;

	arena_init(&arena, memory, sizeof(memory), 8 * ADMIN_TARGET_BYTES);
	const char *why = target_read(&target, m, &arena, NULL);
	uint8_t state = c->state;

	c->minor = m->minor;
	c->is_head = m->method == METHOD_HEAD;
	c->format = (uint8_t)exposition_negotiate(accept_of(m));
	/* Unless its content is read no request can follow it. */
	c->keep_alive = m->keep_alive && c->listener != NULL && !has_content(m);
	if (why != NULL)
		admin_conn_refuse(c, 400, "bad_request", why);
	else
		begin(c, m, &target);
	arena_release(&arena);
	if (c->state != state)
		return false;
	c->keep_alive = m->keep_alive && c->listener != NULL;
	for (unsigned i = 0; i < RESOURCE_SEGMENTS_MAX; i++)
		c->request.segments[i] = decode(c->request.segments[i], '+');
	return true;
}

/* What everybody may ask is small, and load balancers live by it. */
void admin_request_answer(struct admin_conn *c)
{
	struct control *control = c->control;
	uint64_t bytes = c->request.resource->access != RESOURCE_OPEN ? admin_answer_bytes(c) : 0;

	if (bytes < control->config->admin.answer_bytes) {
		c->request.resource->answer(c);
		return;
	}
	control->refused[ADMIN_TOO_MUCH]++;
	admin_fail(c, 503, "too_many_bytes", "clients have not taken %llu bytes of answers yet: admin.limits.answer_bytes",
		(unsigned long long)bytes);
}

void admin_request_serve(struct admin_conn *c)
{
	const struct resource *resource = c->request.resource;

	if (resource->asks == RESOURCE_ASKS_NOBODY) {
		admin_request_answer(c);
		return;
	}
	c->state = ADMIN_ASKING;
	c->survey.wants = resource->wants;
	io_timer_cancel(c->control->io, &c->timer);
	survey_ask(&c->control->survey, &c->survey);
}

void admin_request_release(struct admin_request *request)
{
	buf_release(&request->content);
	for (unsigned i = 0; i < RESOURCE_SEGMENTS_MAX; i++)
		request->segments[i] = VIEW("");
}

/* --- what handlers ask -------------------------------------------------------------------------------------------- */

struct view admin_segment(const struct admin_conn *c, unsigned i)
{
	return c->request.segments[i];
}

struct view admin_parameter(const struct admin_conn *c, struct view name)
{
	for (unsigned i = 0; i < c->request.parameter_count; i++)
		if (view_eq(c->request.parameters[i].name, name))
			return c->request.parameters[i].value;
	return (struct view){0};
}

json_t *admin_content(struct admin_conn *c)
{
	struct view content = buf_view(&c->request.content);
	json_error_t error;
	json_t *json = json_loadb(content.n > 0 ? content.p : "", content.n, JSON_REJECT_DUPLICATES, &error);

	if (json == NULL) {
		admin_fail(c, 400, "bad_request", "the content is no JSON: %s", error.text);
	} else if (!json_is_object(json)) {
		admin_fail(c, 400, "bad_request", "the content is to be a JSON object");
		json_decref(json);
		json = NULL;
	}
	return json;
}
