#include "sim_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/record.h"
#include "sim_faults.h"
#include "sim_frames.h"
#include "sim_model.h"
#include "sim_oracle.h"
#include "sim_text.h"
#include "sim_world.h"

/* The grain of time, twice, and the gateway's own. */
#define DEADLINE_SLACK_US 25000
/* Content up to here is kept until it is known that it need not be sent again. */
#define KEPT_LEAST 60000
/* Longer than any run that goes well. */
#define PATIENT_US 3600000000ULL

/* Numbers of gRPC that are looked at here. */
enum { CANCELLED = 1, DEADLINE_EXCEEDED = 4, RESOURCE_EXHAUSTED = 8, UNIMPLEMENTED = 12, INTERNAL = 13, UNAVAILABLE = 14, STATUSES = 17 };

static struct {
	uint64_t whole, failed, again, told, late, forms[FORM_WEB_TEXT + 1][FORM_WEB_TEXT + 1];
} tally;

/* --- drawing ------------------------------------------------------------------------------------------------------ */

void retry_draw(struct sim_retry *retry)
{
	static const unsigned char others[] = {CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL};

	*retry = (struct sim_retry){0};
	if (world_chance(250))
		return;
	retry->attempts = 1 + (unsigned)world_below(CALL_AGAIN_MAX);
	if (world_chance(900))
		retry->on |= 1u << UNAVAILABLE;
	for (size_t i = 0; i < sizeof(others); i++)
		if (world_chance(300) || (retry->on == 0 && i == sizeof(others) - 1))
			retry->on |= 1u << others[i];
}

void retry_write(struct sim_text *text, const struct sim_retry *retry)
{
	static const char *const words[STATUSES] = {[CANCELLED] = "grpc_cancelled",
		[DEADLINE_EXCEEDED] = "grpc_deadline_exceeded",
		[RESOURCE_EXHAUSTED] = "grpc_resource_exhausted",
		[INTERNAL] = "grpc_internal",
		[UNAVAILABLE] = "grpc_unavailable"};
	const char *before = "";

	if (retry->attempts == 0)
		return;
	text_printf(text, "    retry: {attempts: %u, on: [", retry->attempts);
	for (unsigned status = 0; status < STATUSES; status++) {
		if ((retry->on >> status & 1) == 0 || words[status] == NULL)
			continue;
		text_printf(text, "%s%s", before, words[status]);
		before = ", ";
	}
	/* That a budget holds is looked at elsewhere. */
	text_printf(text, "], budget: 100%%, min_retries_per_second: 100000, backoff: {base: 1ms, max: 4ms}}\n");
}

/* Where one stream is as good as its connection others fail with it: not in runs in which nothing goes wrong. */
static bool may_fail(void)
{
	return plan.clients_h2 || oracle_run_is_rough();
}

static void timeout_draw(struct sim_call *call)
{
	bool brief = world_chance(500) && may_fail();

	call->timeout_us = UINT64_MAX;
	if (world_chance(300))
		return;
	if (!brief) {
		call->timeout_us = PATIENT_US;
		strcpy(call->timeout, "1H");
	} else if (world_chance(300)) {
		call->timeout_us = world_below(30000);
		snprintf(call->timeout, sizeof(call->timeout), "%uu", (unsigned)call->timeout_us);
	} else {
		unsigned ms = 1 + (unsigned)world_below(world_chance(500) ? 100 : 1500);

		call->timeout_us = 1000ULL * ms;
		snprintf(call->timeout, sizeof(call->timeout), "%um", ms);
	}
}

static unsigned char failure_draw(void)
{
	return world_chance(600) ? UNAVAILABLE : 1 + (unsigned char)world_below(STATUSES - 1);
}

static void statuses_draw(struct sim_call *call)
{
	for (unsigned i = 0; i <= CALL_AGAIN_MAX; i++) {
		call->only[i] = world_chance(450);
		call->statuses[i] = call->only[i] || world_chance(200) ? failure_draw() : 0;
	}
}

void call_draw_form(struct sim_request *request)
{
	struct sim_call *call = &request->call;

	call->is = true;
	call->form = world_chance(600) ? FORM_GRPC : world_chance(400) ? FORM_WEB : FORM_WEB_TEXT;
	call->answer_form = call->form;
	if (call->form != FORM_GRPC && world_chance(300))
		call->answer_form = FORM_WEB + FORM_WEB_TEXT - call->form;
}

uint64_t call_content(uint64_t key, uint64_t content)
{
	uint64_t size = message_bytes(key);

	return (content + size - 1) / size * size;
}

/* What is answered to the try that is being made. */
static void answer_enter(struct sim_request *request)
{
	struct sim_answer *answer = &request->answer;

	*answer = request->whole;
	request->replied_whole = false;
	if (!request->call.only[request->call.again])
		return;
	answer->framing = SIM_NONE;
	answer->content = 0;
	answer->has_trailers = false;
	answer->hints = 0;
	answer->defect = DEFECT_NONE;
}

void call_draw(struct sim_request *request)
{
	struct sim_answer *answer = &request->answer;
	struct sim_call *call = &request->call;

	timeout_draw(call);
	call->left_us = call->timeout_us;
	call->plain = world_chance(80);
	if (!call->plain) {
		statuses_draw(call);
		answer->status = 200;
		answer->framing = SIM_CHUNKED;
		answer->content = call_content(answer_key(request, answer), answer->content);
		answer->has_trailers = true;
		call->cut = answer->content > 0 && world_chance(200) && may_fail();
		if (call->cut)
			answer->content -= 1 + world_below(message_bytes(answer_key(request, answer)) - 1);
	}
	request->whole = *answer;
	answer_enter(request);
}

bool call_may_time_out(const struct sim_request *request)
{
	return request->call.is && request->call.timeout_us < PATIENT_US;
}

bool call_is_cut(const struct sim_request *request)
{
	const struct sim_call *call = &request->call;

	return call->cut && call->form != FORM_GRPC && !call->only[call->again];
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static const char *content_type(const struct sim_request *request, enum call_form form)
{
	static const char *const types[][2] = {{"application/grpc", "application/grpc+proto"},
		{"application/grpc-web", "application/grpc-web+proto"},
		{"application/grpc-web-text", "application/grpc-web-text+proto"}};

	return types[form][request->id % 2];
}

/* Its client asks for another form. */
static bool says_accept(const struct sim_call *call)
{
	return call->answer_form != call->form;
}

static void add_status(const struct sim_request *request, struct block_writer *block)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", request->call.statuses[request->call.again]);
	block_add(block, "grpc-status", text);
}

void call_render_fields(struct sim_text *text, const struct sim_request *request)
{
	text_printf(text, "Content-Type: %s\r\n", content_type(request, request->call.form));
	if (request->call.form != FORM_GRPC)
		text_printf(text, "X-Grpc-Web: 1\r\n");
	if (says_accept(&request->call))
		text_printf(text, "Accept: text/html, %s\r\n", content_type(request, request->call.answer_form));
	if (request->call.timeout_us != UINT64_MAX)
		text_printf(text, "Grpc-Timeout: %s\r\n", request->call.timeout);
}

void call_fields(const struct sim_request *request, struct block_writer *block)
{
	block_add(block, "content-type", content_type(request, request->call.form));
	if (request->call.form != FORM_GRPC)
		block_add(block, "x-grpc-web", "1");
	if (says_accept(&request->call))
		block_add(block, "accept", content_type(request, request->call.answer_form));
	if (request->id % 3 != 0)
		block_add(block, "te", "trailers");
	if (request->call.timeout_us != UINT64_MAX)
		block_add(block, "grpc-timeout", request->call.timeout);
}

void call_answer_fields(const struct sim_request *request, struct block_writer *block)
{
	if (request->call.plain)
		return;
	block_add(block, "content-type", content_type(request, FORM_GRPC));
	if (request->call.only[request->call.again])
		add_status(request, block);
}

void call_answer_trailers(const struct sim_request *request, struct block_writer *block)
{
	if (!request->call.plain)
		add_status(request, block);
}

void call_tell_failure(struct sim_request *request)
{
	if (request->call.only[request->call.again])
		request->call.said = request->call.again + 1;
}

/* --- tries -------------------------------------------------------------------------------------------------------- */

bool call_has_failed(const struct sim_request *request)
{
	if (!request->call.is || request->try_count == 0 || request->call.said <= request->call.again)
		return false;

	const struct sim_try *last = &request->tries[request->try_count - 1];

	return last->heard > 0 || last->blind;
}

static bool is_configured(const struct sim_request *request)
{
	return plan.retry[request->upstream].on >> request->call.statuses[request->call.again] & 1;
}

/* What is left is said in whole milliseconds, and is not nothing. */
static void left_pass(struct sim_request *request)
{
	const struct sim_try *last = &request->tries[request->try_count - 1];
	uint64_t until_us = last->heard > 0 ? last->heard_us : last->at_us;
	uint64_t passed_us = until_us - request->tries[0].at_us, all_us = request->call.timeout_us;

	request->call.left_us = 1000 + (all_us > passed_us ? all_us - passed_us : 0);
	if (request->call.left_us > all_us && all_us >= 1000)
		request->call.left_us = all_us;
}

const char *call_sends_again(struct sim_request *request)
{
	if (!is_configured(request))
		return "for a status that is not configured";
	if (request->call.again == plan.retry[request->upstream].attempts)
		return "once too often";
	if (request->call.timeout_us != UINT64_MAX)
		left_pass(request);
	request->call.again++;
	tally.again++;
	answer_enter(request);
	return NULL;
}

static uint64_t timeout_us(const char *text)
{
	char *unit;
	uint64_t n = strtoull(text, &unit, 10);

	switch (*unit) {
	case 'H': return n * 3600000000ULL;
	case 'M': return n * 60000000;
	case 'S': return n * 1000000;
	case 'm': return n * 1000;
	case 'u': return n;
	case 'n': return (n + 999) / 1000;
	default: return UINT64_MAX;
	}
}

const char *call_arrival_wrong(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *type = "", *te = "", *timeout = "";
	unsigned timeouts = reader_field(reader, "Grpc-Timeout", &timeout);

	if (reader_field(reader, "Content-Type", &type) != 1 || strcmp(type, content_type(request, FORM_GRPC)) != 0)
		return "a call's Content-Type";
	if (reader_field(reader, "X-Grpc-Web", NULL) + reader_field(reader, "Accept", NULL) != 0)
		return "X-Grpc-Web or Accept";
	if (reader_field(reader, "TE", &te) != 1 || strcmp(te, "trailers") != 0)
		return "a call's TE";
	if (timeouts != (request->call.timeout_us != UINT64_MAX))
		return "a call's Grpc-Timeout";
	if (timeouts == 1 && timeout_us(timeout) > request->call.left_us)
		return "a call's Grpc-Timeout is longer than what is left";
	return NULL;
}

/* --- endings ------------------------------------------------------------------------------------------------------ */

/* How often the status stands in the trailers; *value is the last one's. */
static unsigned trailer_status(const struct sim_reader *reader, const char **value)
{
	unsigned count = 0;

	for (unsigned i = reader->trailers_from; i < reader->field_count; i++) {
		if (strcasecmp(reader->fields[i].name, "grpc-status") != 0)
			continue;
		*value = reader->fields[i].value;
		count++;
	}
	return count;
}

void call_answer_begins(const struct sim_request *request, struct sim_reader *reader)
{
	const struct sim_call *call = &request->call;

	if (call->plain || call->only[call->again] || call->form == FORM_GRPC)
		return;
	reader->text_follows = true;
	reader->pattern_end = request->answer.content;
	reader->base64 = call->answer_form == FORM_WEB_TEXT;
}

#define FRAME_PREFIX 5

uint64_t call_frame_bytes(const struct sim_reader *reader)
{
	const unsigned char *head = (const unsigned char *)reader->text;

	if (!reader->text_follows || reader->content < reader->pattern_end + FRAME_PREFIX || head[0] != 0x80)
		return 0;
	return FRAME_PREFIX + frame_u32(head + 1);
}

/* The same of those that are content. */
static unsigned frame_status(const struct sim_reader *reader, const char **value)
{
	static const char name[] = "grpc-status: ";
	const char *at = reader->text + FRAME_PREFIX;
	unsigned count = 0;

	if (call_frame_bytes(reader) == 0)
		return 0;
	for (; (at = strstr(at, name)) != NULL; count++) {
		at += sizeof(name) - 1;
		*value = at;
	}
	return count;
}

/* Nothing stood in the way of another try. */
static bool was_to_be_sent_again(const struct sim_request *request)
{
	return request->call.only[request->call.again] && is_configured(request) &&
	       request->call.again < plan.retry[request->upstream].attempts && request->content < KEPT_LEAST &&
	       !oracle_run_is_rough() && !call_may_time_out(request);
}

static void check_form(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *type = "";

	if (request->call.plain)
		return;
	if (reader_field(reader, "Content-Type", &type) != 1 ||
		strcmp(type, content_type(request, request->call.answer_form)) != 0)
		world_violation("10: a call is answered in its form", "call %u: %s", request->id, type);
	if (reader->text_follows && (reader->trailers_from != reader->field_count || reader->group_digits != 0))
		world_violation("10: a call is answered in its form", "call %u: trailers, or half a group",
			request->id);
	tally.forms[request->call.form][request->call.answer_form]++;
}

void call_check_answer(const struct sim_request *request, const struct sim_reader *reader)
{
	const struct sim_call *call = &request->call;
	bool only = call->only[call->again];
	const char *value = "";
	unsigned in_head = reader_field(reader, "grpc-status", &value);
	unsigned in_trailers = reader->text_follows ? frame_status(reader, &value) : trailer_status(reader, &value);

	if (call->plain ? in_head + in_trailers != 0 : in_head != only || in_trailers != !only)
		world_violation("10: a call has one ending", "call %u: %u statuses in the head, %u in the trailers",
			request->id, in_head, in_trailers);
	if (call_is_cut(request))
		world_violation("2: what was cut short never looks complete", "call %u ends within a message",
			request->id);
	check_form(request, reader);
	if (!call->plain && (unsigned)atoi(value) != call->statuses[call->again])
		world_violation("10: a call ends as the service says", "call %u: %s instead of %u", request->id, value,
			call->statuses[call->again]);
	if (was_to_be_sent_again(request))
		world_violation("10: a call is sent again where that is configured",
			"call %u: status %s after %u of %u", request->id, value, call->again,
			plan.retry[request->upstream].attempts);
	tally.whole += !only;
	tally.failed += only;
}

enum cause call_cause(const struct sim_reader *reader)
{
	const char *message = "";
	enum cause found = CAUSE_COUNT;
	size_t longest = 0;

	reader_field(reader, "grpc-message", &message);
	for (int cause = 1; cause < CAUSE_COUNT; cause++) {
		const char *text = cause_info((enum cause)cause)->text;
		size_t n = strlen(text);

		if (n > longest && strncmp(message, text, n) == 0) {
			longest = n;
			found = (enum cause)cause;
		}
	}
	return found;
}

/* The table of docs/grpc.md, as far as a run comes to it. */
static int status_of(enum cause cause)
{
	switch (cause) {
	case CAUSE_CLIENT_GONE: return CANCELLED;
	case CAUSE_REQUEST_DEADLINE:
	case CAUSE_FIRST_BYTE_TIMEOUT:
	case CAUSE_UPSTREAM_IDLE_TIMEOUT:
	case CAUSE_CLIENT_TIMEOUT: return DEADLINE_EXCEEDED;
	case CAUSE_RATE_LIMITED:
	case CAUSE_BODY_TOO_LARGE:
	case CAUSE_HEADERS_TOO_LARGE:
	case CAUSE_URI_TOO_LONG: return RESOURCE_EXHAUSTED;
	case CAUSE_BAD_REQUEST:
	case CAUSE_UPSTREAM_BAD_RESPONSE:
	case CAUSE_FILTER_FAILED:
	case CAUSE_INTERNAL: return INTERNAL;
	case CAUSE_NO_ROUTE: return UNIMPLEMENTED;
	case CAUSE_CONNECT_REFUSED:
	case CAUSE_CONNECT_TIMEOUT:
	case CAUSE_UPSTREAM_RESET:
	case CAUSE_POOL_QUEUE_FULL:
	case CAUSE_CONCURRENCY_LIMITED:
	case CAUSE_POOL_ACQUIRE_TIMEOUT:
	case CAUSE_BREAKER_OPEN:
	case CAUSE_NO_HEALTHY_ENDPOINT:
	case CAUSE_FILES_EXHAUSTED:
	case CAUSE_MEMORY_EXHAUSTED:
	case CAUSE_OVERLOADED:
	case CAUSE_DRAINING: return UNAVAILABLE;
	default: return -1;
	}
}

/* Its head was not understood, or did not come to its end. */
static bool is_told_as_http(const struct sim_request *request, enum cause cause)
{
	/* Connections that are turned away have said nothing yet. */
	bool turned_away = cause == CAUSE_OVERLOADED || (plan.sheds && cause == CAUSE_FILES_EXHAUSTED);
	bool fits = turned_away || cause == CAUSE_MEMORY_EXHAUSTED || cause == CAUSE_CLIENT_CONNECTIONS_LIMITED ||
		    (cause == CAUSE_CLIENT_TIMEOUT && !plan.clients_h2);

	return fits && request->try_count == 0;
}

const char *call_failure_wrong(const struct sim_request *request, const struct sim_reader *reader, enum cause cause)
{
	const char *value = "";

	if (reader->status != 200)
		return is_told_as_http(request, cause) ? NULL : "told as no failure of a call is";
	if (reader_field(reader, "grpc-status", &value) != 1)
		return "no grpc-status";
	if (atoi(value) != status_of(cause))
		return "another grpc-status than its cause has";
	if (reader->content != 0 || trailer_status(reader, &value) != 0)
		return "more than a head";
	tally.told++;
	tally.late += cause == CAUSE_REQUEST_DEADLINE;
	return NULL;
}

/* The gateway cannot have had its head before it began, nor after something of it was written to a server. */
void call_check_record(const struct sim_request *request, const struct exchange_record *record)
{
	const struct sim_call *call = &request->call;
	uint64_t span_us = call->timeout_us;
	uint64_t sent_us = request->try_count > 0 ? world_now_us() - request->tries[0].at_us : 0;
	uint64_t all_us = world_now_us() - request->started_us;

	if (!call->is || faults.clock_jumps != 0)
		return;
	if (span_us != UINT64_MAX && sent_us > span_us + DEADLINE_SLACK_US)
		world_violation("10: a call is over when its time is",
			"call %u: %llu us after it was sent, grpc-timeout is %s", request->id,
			(unsigned long long)sent_us, call->timeout);
	if (plan.request_us != 0 && plan.request_us < span_us)
		span_us = plan.request_us;
	/* With a reason it is who holds its connection for too long (reclaim_after). */
	if (record->cause == CAUSE_REQUEST_DEADLINE && record->why == NULL && all_us < span_us)
		world_violation("10: a call has all of its time", "call %u: ended after %llu of %llu us", request->id,
			(unsigned long long)all_us, (unsigned long long)span_us);
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

void call_tell_tally(void)
{
	printf("calls answered %llu, failed %llu, sent again %llu, failed by the gateway %llu, of them late %llu\n",
		(unsigned long long)tally.whole, (unsigned long long)tally.failed, (unsigned long long)tally.again,
		(unsigned long long)tally.told, (unsigned long long)tally.late);
}

bool call_tally_is_full(void)
{
	for (int i = FORM_WEB; i <= FORM_WEB_TEXT; i++)
		if (tally.forms[i][FORM_WEB] == 0 || tally.forms[i][FORM_WEB_TEXT] == 0)
			return false;
	return tally.whole > 0 && tally.failed > 0 && tally.again > 0 && tally.told > tally.late && tally.late > 0;
}
