#include "sim_model.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "sim_faults.h"
#include "sim_malformed.h"
#include "sim_memory.h"
#include "sim_text.h"
#include "sim_world.h"

struct sim_plan plan;

static struct {
	struct sim_request *requests[REQUESTS_MAX];
	unsigned count;
} model;

void model_begin(void)
{
	model.count = 0;
}

void model_end(void)
{
	for (unsigned i = 0; i < model.count; i++) {
		sim_free(model.requests[i]->wire);
		sim_free(model.requests[i]);
	}
	model.count = 0;
}

struct sim_request *model_find(unsigned id)
{
	return id >= 1 && id <= model.count ? model.requests[id - 1] : NULL;
}

struct sim_request *model_at(unsigned i)
{
	return model_find(i + 1);
}

bool model_is_bulky(void)
{
	for (unsigned i = 0; i < model.count; i++)
		if (model.requests[i]->content > 300000 || model.requests[i]->answer.content > 300000)
			return true;
	return false;
}

static struct sim_request *request_new(enum sim_kind kind)
{
	struct sim_request *request = sim_alloc(sizeof(*request));

	SIM_CHECK(model.count < REQUESTS_MAX);
	*request = (struct sim_request){.id = model.count + 1, .kind = kind, .method = "GET", .minor = 1, .failure = ""};
	model.requests[model.count++] = request;
	return request;
}

/* --- drawing ------------------------------------------------------------------------------------------------------ */

/* Mostly small; sometimes beyond every buffer on the way. */
static uint64_t content_draw(void)
{
	uint64_t bulk = plan.content_max;

	if (plan.bulks > 0) {
		plan.bulks--;
		return BULK_BYTES;
	}
	switch (world_below(8)) {
	case 0: return 0;
	case 1: return world_between(1, 8);
	case 2:
	case 3:
	case 4: return world_below(600);
	case 5:
	case 6: return world_below(20000);
	default: return world_chance(60) ? world_between(bulk / 3, bulk) : world_below(bulk < 120000 ? bulk : 120000);
	}
}

static void answer_draw_defect(struct sim_request *request)
{
	struct sim_answer *answer = &request->answer;

	if (!world_chance(faults.answer_defect))
		return;
	answer->defect = world_chance(150) ? DEFECT_SURPLUS : 1 + world_below(DEFECT_COUNT - 1);
	/* Without a length nobody can tell these from an answer that is right. */
	if (answer->framing == SIM_UNTIL_CLOSE && (answer->defect == DEFECT_CLOSE || answer->defect == DEFECT_SURPLUS))
		answer->defect = DEFECT_RESET;
	if (answer->defect == DEFECT_CHUNK &&
		((answer->framing != SIM_CHUNKED && !plan.servers_h2) || !answer_has_content(request)))
		answer->defect = DEFECT_STALL;
	answer->defect_at = world_chance(300) ? world_below(60) : world_below(400 + answer->content);
}

static void answer_draw(struct sim_request *request)
{
	static const unsigned statuses[] = {200, 200, 200, 200, 201, 204, 304, 404, 500, 503};
	struct sim_answer *answer = &request->answer;

	answer->status = statuses[world_below(10)];
	answer->minor = plan.servers_h2 || world_chance(950);
	answer->framing = !plan.servers_h2 && world_chance(80)	    ? SIM_UNTIL_CLOSE
			  : answer->minor == 1 && world_chance(450) ? SIM_CHUNKED
								    : SIM_LENGTH;
	answer->content = content_draw();
	answer->has_trailers = answer->framing == SIM_CHUNKED && world_chance(250);
	answer->closes = answer->framing == SIM_UNTIL_CLOSE || answer->minor == 0 ||
			 (!plan.servers_h2 && world_chance(100));
	answer->continues = request->expects && answer->minor == 1 && world_chance(700);
	answer->hints = answer->minor == 1 && world_chance(100) ? 1 + world_below(2) : 0;
	answer->early = request->framing != SIM_NONE && request->content > 0 && world_chance(150);
	answer->early_at = answer->early ? world_below(request->content) : 0;
	answer->think_us = world_chance(500) ? 0 : world_below(50000);
	answer->pause_us = world_chance(500) ? 0 : world_below(5000);
	answer->piece = world_chance(500) ? 1 << 20 : 1 + world_below(3000);
	if (answer->content / answer->piece > 200)
		answer->piece = answer->content / 200;
	answer_draw_defect(request);
}

/* A target as the client writes it, and as it must arrive (see target.h: one canonical target). */
static void target_draw(struct sim_request *request, char raw[300])
{
	static const struct {
		const char *raw, *canonical;
	} forms[] = {
		{"/u%u/r/%u", "/r/%u"},
		{"/u%u/r/%u", "/r/%u"},
		{"/u%u/r/%u?q=a%%20b&c", "/r/%u?q=a%%20b&c"},
		{"/u%u//r/./%u", "/r/%u"},
		{"/u%u/x/../r/%u", "/r/%u"},
		{"/u%u/%%72/%u", "/r/%u"},
		{"/u%u/r/%u/%%e4%%B8%%ad", "/r/%u/%%E4%%B8%%AD"},
		{"http://sim.test/u%u/r/%u", "/r/%u"},
		{"/u%u/r/%u?", "/r/%u?"},
	};
	const char *prefix = request->upstream == 1 ? plan.rewrites ? "/in" : "/u1" : "/u0";
	unsigned form = world_below(sizeof(forms) / sizeof(forms[0]));
	int n = snprintf(request->canonical, sizeof(request->canonical), "%s", prefix);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(raw, 300, forms[form].raw, request->upstream, request->id);
	snprintf(request->canonical + n, sizeof(request->canonical) - (size_t)n, forms[form].canonical, request->id);
#pragma GCC diagnostic pop
}

/* --- rendering ---------------------------------------------------------------------------------------------------- */

static void render_pattern(struct sim_text *text, uint64_t key, uint64_t offset, size_t n)
{
	char piece[4096];

	for (size_t take; n > 0; n -= take, offset += take) {
		take = n < sizeof(piece) ? n : sizeof(piece);
		pattern_fill(key, offset, piece, take);
		text_put(text, piece, take);
	}
}

static void render_chunks(struct sim_text *text, uint64_t key, uint64_t content, bool trailers)
{
	/* Many of one kind: whoever gathers pieces before sending runs out of room or places for them. */
	static const uint64_t sizes[] = {30, 900, 4000, 9000};
	uint64_t size = sizes[world_below(4)], done = 0;
	unsigned many = world_chance(500) ? 200 : 20;

	for (unsigned chunks = 0; done < content; chunks++) {
		uint64_t n = chunks >= many ? content : size / 2 + 1 + world_below(size / 2);

		if (n > content - done)
			n = content - done;
		text_printf(text, world_chance(100) ? "%llX;ext=\"v\"\r\n" : "%llx\r\n", (unsigned long long)n);
		render_pattern(text, key, done, n);
		text_put(text, "\r\n", 2);
		done += n;
	}
	text_printf(text, trailers ? "0\r\nX-Trailer: end\r\n\r\n" : "0\r\n\r\n");
}

static void render_content(
	struct sim_text *text, uint64_t key, enum sim_framing framing, uint64_t content, bool trailers)
{
	if (framing == SIM_CHUNKED)
		render_chunks(text, key, content, trailers);
	else if (framing != SIM_NONE)
		render_pattern(text, key, 0, content);
}

static void render_framing(struct sim_text *text, enum sim_framing framing, uint64_t content, bool trailers)
{
	if (framing == SIM_CHUNKED)
		text_printf(text, "Transfer-Encoding: chunked\r\n%s", trailers ? "Trailer: X-Trailer\r\n" : "");
	else if (framing == SIM_LENGTH)
		text_printf(text, "Content-Length: %llu\r\n", (unsigned long long)content);
}

/* Fields that must arrive, in this order, and fields that must not (RFC 9110 §7.6.1). */
static void render_request_fields(struct sim_text *text, struct sim_request *request)
{
	bool hop = request->minor == 1 && request->pads_fields;
	char parent[64];

	text_printf(text, "Host: sim.test\r\nX-Sim: %u\r\n", request->id);
	if (request->kind == KIND_UPGRADE)
		text_printf(text, "Connection: Upgrade\r\nUpgrade: %s\r\n", request->tunnel.websocket ? "websocket" : "sim");
	else if (request->closes)
		text_printf(text, "Connection: close%s\r\n", hop ? ", X-Hop" : "");
	else if (request->minor == 0)
		text_printf(text, "Connection: keep-alive\r\n");
	else if (hop)
		text_printf(text, "Connection: X-Hop, te\r\nTE: trailers\r\nKeep-Alive: timeout=9\r\n");
	if (request->pads_fields)
		text_printf(text,
			"X-Multi: a\r\nx-CaSe: VaLue; \"q, r\"\r\nX-Multi: b\r\nX-Set: by client\r\nX-Removed: 1\r\n"
			"Proxy-Connection: keep-alive\r\nX-Empty:\r\n%s",
			hop && request->kind != KIND_UPGRADE ? "X-Hop: 1\r\n" : "");
	if (traces_parent(request, parent))
		text_printf(text, "Traceparent: %s\r\n", parent);
	if (request->call.is)
		call_render_fields(text, request);
	if (request->expects)
		text_printf(text, "Expect: 100-continue\r\n");
	if (request->tunnel.websocket)
		text_printf(text, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
			request->tunnel.key[0] != '\0' ? request->tunnel.key : "c2hvcnQ=");
}

static void request_render(struct sim_request *request, const char *target)
{
	struct sim_text text = {0};

	snprintf(request->target, sizeof(request->target), "%s", target);
	text_printf(&text, "%s %s HTTP/1.%u\r\n", request->method, target, request->minor);
	render_request_fields(&text, request);
	render_framing(&text, request->framing, sent_content(request), request->has_trailers);
	text_put(&text, "\r\n", 2);
	request->head_length = text.length;
	if (request->kind == KIND_BAD_CONTENT) {
		const struct malformed *bad =
			&malformed_contents[world_below(sizeof(malformed_contents) / sizeof(*bad))];

		text_put(&text, bad->bytes, bad->length);
	} else {
		render_content(
			&text, sent_key(request), request->framing, sent_content(request), request->has_trailers);
	}
	request->wire = text.bytes;
	request->wire_length = text.length;
}

/* Not malformed but beyond a limit of the listener. */
static void oversized_render(struct sim_request *request)
{
	struct sim_text text = {0};
	unsigned which = world_below(3), n = which == 0	  ? plan.target_bytes
					     : which == 1 ? plan.header_bytes / 40
							  : plan.header_count;

	text_printf(&text, "GET /u0/bad/%u", request->id);
	for (unsigned i = 0; which == 0 && i < n; i++)
		text_put(&text, "x", 1);
	text_printf(&text, " HTTP/1.1\r\nHost: sim.test\r\n");
	for (unsigned i = 0; which != 0 && i < n; i++)
		text_printf(&text, "X-%u: %s\r\n", i, which == 1 ? "0123456789012345678901234567890123456789" : "");
	text_put(&text, "\r\n", 2);
	request->wire = text.bytes;
	request->wire_length = request->head_length = text.length;
}

static void malformed_render(struct sim_request *request)
{
	const struct malformed *bad = &malformed_heads[world_below(sizeof(malformed_heads) / sizeof(*bad))];
	struct sim_text text = {0};

	for (size_t i = 0; i < bad->length; i++) {
		if (bad->bytes[i] == '@' && i > 0 &&
			(bad->bytes[i - 1] == ' ' || memcmp(bad->bytes + i - 4, "test", 4) == 0))
			text_printf(&text, "/u0/bad/%u", request->id);
		else
			text_put(&text, bad->bytes + i, 1);
	}
	request->wire = text.bytes;
	request->wire_length = request->head_length = text.length;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void proxied_draw(struct sim_request *request)
{
	static const char *const methods[] = {
		"GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"};
	char raw[300];

	request->method = methods[world_below(11)];
	request->upstream = world_below(plan.upstreams);
	request->minor = plan.clients_h2 || world_chance(900);
	request->closes = !plan.clients_h2 && (request->minor == 0 ? world_chance(500) : world_chance(60));
	request->pads_fields = world_chance(500);
	if (strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0 || world_chance(50)) {
		request->framing = request->minor == 1 && world_chance(500) ? SIM_CHUNKED : SIM_LENGTH;
		request->content = content_draw();
		request->has_trailers = request->framing == SIM_CHUNKED && world_chance(250);
		request->expects = request->minor == 1 && request->content > 0 && world_chance(200);
	}
	target_draw(request, raw);
	answer_draw(request);
	request_render(request, raw);
}

static void called_draw(struct sim_request *request)
{
	char raw[300];

	call_draw_form(request);
	request->method = "POST";
	request->upstream = world_below(plan.upstreams);
	request->closes = !plan.clients_h2 && world_chance(60);
	request->framing = request->call.form != FORM_GRPC && world_chance(500) ? SIM_LENGTH : SIM_CHUNKED;
	request->content = call_content(request_key(request), content_draw());
	request->expects = request->content > 0 && world_chance(60);
	target_draw(request, raw);
	answer_draw(request);
	call_draw(request);
	request_render(request, raw);
}

static void bad_content_draw(struct sim_request *request)
{
	char raw[300];

	request->method = "POST";
	request->framing = SIM_CHUNKED;
	request->upstream = world_below(plan.upstreams);
	/* A length that is never reached, or trailers that must not be. */
	if (plan.clients_h2) {
		request->framing = world_chance(500) ? SIM_LENGTH : SIM_CHUNKED;
		request->has_trailers = request->framing == SIM_CHUNKED;
		request->content = world_below(600);
	}
	target_draw(request, raw);
	answer_draw(request);
	request->answer.early = false;
	request_render(request, raw);
}

static void upgrade_draw(struct sim_request *request, bool granted)
{
	struct sim_answer *answer = &request->answer;
	char raw[300];

	request->upstream = world_below(plan.upstreams);
	target_draw(request, raw);
	answer_draw(request);
	tunnel_draw(request);
	if (granted && request->tunnel.passes) {
		answer->status = 101;
		answer->minor = 1;
		answer->closes = false;
		answer->framing = SIM_NONE;
		answer->hints = 0;
		answer->defect = DEFECT_NONE;
	} else if (request->tunnel.passes && plan.servers_h2 && answer->status < 300) {
		/* With HTTP/2 that would grant it. */
		answer->status = 404;
	}
	/* What is said of the length of an answer to CONNECT nobody goes by. */
	if (request->tunnel.passes && plan.servers_h2 && (answer->defect == DEFECT_CHUNK || answer->defect == DEFECT_LENGTH))
		answer->defect = DEFECT_FIELD;
	request_render(request, raw);
}

static void own_draw(struct sim_request *request)
{
	char raw[300];

	switch (request->kind) {
	case KIND_RESPOND: snprintf(raw, sizeof(raw), "/hello"); break;
	case KIND_REDIRECT: snprintf(raw, sizeof(raw), "/old/%u?x=y", request->id); break;
	case KIND_NO_ROUTE: snprintf(raw, sizeof(raw), "/nowhere/%u", request->id); break;
	default:
		snprintf(raw, sizeof(raw), "/ro/%u", request->id);
		request->method = "DELETE";
		break;
	}
	request_render(request, raw);
}

/* Where HTTP/2 is spoken there are other requests behind it, or beside it. */
static bool upgrade_is_next(bool last)
{
	if (!plan.clients_h2 && !plan.servers_h2)
		return last ? world_chance(250) : plan.tunnels && world_chance(40);
	return plan.tunnels && world_chance(plan.clients_h2 ? 150 : last ? 400 : 60);
}

struct sim_request *model_request(bool last)
{
	struct sim_request *request;

	if (last && world_chance(faults.malformed)) {
		request = request_new(world_chance(700) ? KIND_MALFORMED : KIND_BAD_CONTENT);
		if (request->kind == KIND_MALFORMED && world_chance(100))
			oversized_render(request);
		else if (request->kind == KIND_MALFORMED)
			malformed_render(request);
		else
			bad_content_draw(request);
		return request;
	}
	if (upgrade_is_next(last)) {
		bool granted = world_chance(750) && (last || plan.clients_h2);

		request = request_new(KIND_UPGRADE);
		upgrade_draw(request, granted);
		/* What was said early would be taken for the next request. */
		request->tunnel.early = request->tunnel.early && (request->answer.status == 101 || plan.clients_h2);
	} else if (world_chance(100)) {
		request = request_new(KIND_RESPOND + world_below(KIND_WRONG_METHOD - KIND_RESPOND + 1));
		own_draw(request);
	} else {
		request = request_new(KIND_PROXIED);
		if (plan.calls && world_chance(400))
			called_draw(request);
		else
			proxied_draw(request);
	}
	if (plan.agains)
		again_draw(request);
	return request;
}

struct sim_request *model_probe(unsigned upstream)
{
	struct sim_request *request = request_new(KIND_PROXIED);
	char raw[300];

	request->upstream = upstream;
	request->answer =
		(struct sim_answer){.status = 200, .minor = 1, .framing = SIM_LENGTH, .content = 100, .piece = 1000};
	target_draw(request, raw);
	request_render(request, raw);
	return request;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

bool answer_has_content(const struct sim_request *request)
{
	unsigned status = request->answer.status;

	return strcmp(request->method, "HEAD") != 0 && status != 204 && status != 304 && status != 101;
}

/* Names as hop-by-hop what is not (RFC 9110 §7.6.1). */
static void render_nomination(struct sim_text *text)
{
	text_printf(text, "Connection: X-Hop, %s\r\nX-Hop: 1\r\n", world_chance(500) ? "Via" : "content-length");
}

static void render_hints(struct sim_text *text, const struct sim_answer *answer)
{
	for (unsigned i = 0; i < answer->hints; i++) {
		text_printf(text, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n");
		if (answer->defect == DEFECT_NOMINATION && i == 0)
			render_nomination(text);
		else if (world_chance(500))
			text_printf(text, "Connection: x-hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n");
		text_put(text, "\r\n", 2);
	}
}

static void render_switch(struct sim_text *text, const struct sim_request *request)
{
	const struct sim_tunnel *tunnel = &request->tunnel;
	char accept[29];

	text_printf(text, "Connection: Upgrade\r\nUpgrade: %s\r\n", tunnel->websocket ? "websocket" : "sim");
	tunnel_accept(tunnel->arrived_key, tunnel->unproven, accept);
	if (tunnel->websocket)
		text_printf(text, "Sec-WebSocket-Accept: %s\r\n", accept);
}

struct answer_name answer_name(const struct sim_request *request, const struct sim_answer *answer)
{
	struct answer_name name;

	snprintf(name.text, sizeof(name.text), "%u%s", request->id, answer == &request->beside.answer ? "/2" : "");
	return name;
}

static void render_answer_head(struct sim_text *text, const struct sim_request *request, const struct sim_answer *answer)
{
	bool framed = answer->status != 204 && answer->status != 101;

	if (answer->defect == DEFECT_STATUS_LINE)
		text_printf(text, world_chance(500) ? "HTTP/1.1 99 Low\r\n" : "HTTQ/1.1 200 OK\r\n");
	else
		text_printf(
			text, "HTTP/1.%u %u %s\r\n", answer->minor, answer->status, world_chance(900) ? "Said So" : "");
	text_printf(text, "X-Sim: %s\r\nX-Multi: a\r\nx-CaSe: VaLue\r\nX-Multi: b\r\n",
		answer_name(request, answer).text);
	if (answer->status == 101)
		render_switch(text, request);
	else if (answer->closes)
		text_printf(text, "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n");
	else if (answer->keep_alive != NULL)
		text_printf(text, "Keep-Alive: %s\r\n", answer->keep_alive);
	if (request->again.retry_after[0] != '\0')
		text_printf(text, "Retry-After: %s\r\n", request->again.retry_after);
	if (framed)
		render_framing(text, answer->framing, answer->content, answer->has_trailers);
	if (answer->defect == DEFECT_FIELD)
		text_printf(text, world_chance(500) ? "X Y: z\r\n" : "X-Y: z\r\n folded\r\n");
	else if (answer->defect == DEFECT_TWO_FRAMINGS)
		text_printf(text, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n");
	else if (answer->defect == DEFECT_LENGTH)
		text_printf(text, "Content-Length: 1\r\nContent-Length: 7\r\n");
	else if (answer->defect == DEFECT_CODING)
		text_printf(text, "Transfer-Encoding: chunked, gzip\r\n");
	else if (answer->defect == DEFECT_NOMINATION && answer->hints == 0)
		render_nomination(text);
	text_put(text, "\r\n", 2);
}

char *answer_render(const struct sim_request *request, const struct sim_answer *answer, size_t *length, size_t *end)
{
	struct sim_text text = {0};

	render_hints(&text, answer);
	render_answer_head(&text, request, answer);
	if (answer_has_content(request)) {
		if (answer->defect == DEFECT_CHUNK)
			text_printf(&text, world_chance(500) ? "0x5\r\nhello\r\n" : "zz\r\n");
		render_content(&text, answer_key(request, answer), answer->framing, answer->content, answer->has_trailers);
	}
	*end = text.length;
	if (answer->defect == DEFECT_SURPLUS)
		text_printf(&text, world_chance(500) ? "surplus" : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	*length = text.length;
	return text.bytes;
}
