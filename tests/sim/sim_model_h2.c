#include "sim_model_h2.h"

#include <stdio.h>
#include <string.h>

#include "sim_world.h"

static void add_number(struct block_writer *block, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	block_add(block, name, text);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static const char *path_of(const struct sim_request *request)
{
	static const char origin[] = "http://sim.test";

	return strncmp(request->target, origin, sizeof(origin) - 1) == 0 ? request->target + sizeof(origin) - 1
	                                                                 : request->target;
}

static void add_pseudo(const struct sim_request *request, struct block_writer *block)
{
	block_add(block, ":method", request->kind == KIND_UPGRADE ? "CONNECT" : request->method);
	if (request->kind == KIND_UPGRADE)
		block_add(block, ":protocol", "websocket");
	block_add(block, ":scheme", "http");
	block_add(block, ":authority", "sim.test");
	block_add(block, ":path", path_of(request));
}

static void add_sundries(const struct sim_request *request, struct block_writer *block)
{
	char parent[64];

	if (traces_parent(request, parent))
		block_add(block, "traceparent", parent);
	if (request->pads_fields) {
		block_add(block, "x-multi", "a");
		block_add(block, "x-case", "VaLue; \"q, r\"");
		block_add(block, "x-multi", "b");
		block_add(block, "x-set", "by client");
		block_add(block, "x-removed", "1");
		block_add(block, "x-empty", "");
		block_add(block, "te", "trailers");
	}
	if (request->call.is)
		call_fields(request, block);
	if (request->expects)
		block_add(block, "expect", "100-continue");
	if (request->kind == KIND_UPGRADE)
		block_add(block, "sec-websocket-version", "13");
	/* HTTP/2 has none; the one that HTTP/1 needs is another. */
	if (request->kind == KIND_UPGRADE && request->id % 4 == 0)
		block_add(block, "sec-websocket-key", "bm90IGZvciB0aGUgc2VydmU=");
	if (request->framing == SIM_LENGTH)
		add_number(block, "content-length", sent_content(request) + (request->kind == KIND_BAD_CONTENT));
}

/* RFC 9113 §8.2, §8.3: each of them is malformed, or beyond a limit. */
static void malformed_fields(const struct sim_request *request, struct block_writer *block)
{
	static const char *const bad[][2] = {{"X-Capital", "1"}, {"connection", "close"},
		{"transfer-encoding", "chunked"}, {"te", "gzip"}, {":path", "/twice"}, {"x y", "1"}, {"x-cr", "a\rb"},
		{"x-lf", "a\nb"}, {":odd", "1"}, {"content-length", "5, 6"}, {"host", "other.test"}, {"upgrade", "sim"},
		{"", "nameless"}};
	unsigned which = world_below(sizeof(bad) / sizeof(*bad) + 5);
	char path[1200];
	int n = snprintf(path, sizeof(path), "/u0/bad/%u", request->id);

	if (which == 0)
		for (unsigned i = 0; i < plan.target_bytes; i++)
			path[n++] = 'x';
	path[n] = '\0';
	block_add(block, ":method", "GET");
	if (which != 1)
		block_add(block, ":scheme", "http");
	block_add(block, ":authority", "sim.test");
	if (which == 2)
		block_add(block, "x-early", "before a pseudo-field");
	if (which != 3)
		block_add(block, ":path", path);
	for (unsigned i = 0; which == 4 && i <= plan.header_count; i++)
		block_add(block, "x-many", "1");
	if (which >= 5)
		block_add(block, bad[which - 5][0], bad[which - 5][1]);
}

void request_fields(const struct sim_request *request, struct block_writer *block)
{
	if (request->kind == KIND_MALFORMED) {
		malformed_fields(request, block);
		return;
	}
	add_pseudo(request, block);
	add_number(block, "x-sim", request->id);
	add_sundries(request, block);
}

void request_trailers(const struct sim_request *request, struct block_writer *block)
{
	block_add(block, request->kind == KIND_BAD_CONTENT ? ":path" : "x-trailer", "end");
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void add_nomination(struct block_writer *block)
{
	block_add(block, "connection", "x-hop");
	block_add(block, "x-hop", "1");
}

void hint_fields(const struct sim_answer *answer, unsigned number, struct block_writer *block)
{
	block_add(block, ":status", "103");
	block_add(block, "link", "</style.css>; rel=preload");
	if (answer->defect == DEFECT_NOMINATION && number == 0)
		add_nomination(block);
}

static void add_length(const struct sim_answer *answer, struct block_writer *block)
{
	if (answer->defect == DEFECT_CHUNK)
		add_number(block, "content-length", answer->content + 1 + world_below(5));
	else if (answer->framing == SIM_LENGTH && answer->status != 204)
		add_number(block, "content-length", answer->content);
}

void answer_fields(const struct sim_request *request, const struct sim_answer *answer, struct block_writer *block)
{
	if (answer->defect == DEFECT_STATUS_LINE)
		block_add(block, ":status", world_chance(500) ? "99" : "2x0");
	else
		add_number(block, ":status", answer->status == 101 ? 200 : answer->status);
	block_add(block, "x-sim", answer_name(request, answer).text);
	block_add(block, "x-multi", "a");
	block_add(block, "x-case", "VaLue");
	block_add(block, "x-multi", "b");
	if (request->again.retry_after[0] != '\0')
		block_add(block, "retry-after", request->again.retry_after);
	if (request->call.is)
		call_answer_fields(request, block);
	add_length(answer, block);
	if (answer->defect == DEFECT_FIELD)
		block_add(block, world_chance(500) ? "X-Y" : "x y", "z");
	else if (answer->defect == DEFECT_TWO_FRAMINGS)
		block_add(block, "transfer-encoding", "chunked");
	else if (answer->defect == DEFECT_LENGTH && answer->framing == SIM_LENGTH && answer->status != 204)
		add_number(block, "content-length", answer->content + 7);
	else if (answer->defect == DEFECT_LENGTH)
		block_add(block, "content-length", "+1");
	else if (answer->defect == DEFECT_CODING)
		block_add(block, ":status", "200");
	else if (answer->defect == DEFECT_NOMINATION && answer->hints == 0)
		add_nomination(block);
}

void answer_trailers(const struct sim_request *request, struct block_writer *block)
{
	if (request->call.is)
		call_answer_trailers(request, block);
	block_add(block, "x-trailer", "end");
}
