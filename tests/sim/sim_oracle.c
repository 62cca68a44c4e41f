#include "sim_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim_breakers.h"
#include "sim_config.h"
#include "sim_doors.h"
#include "sim_faults.h"
#include "sim_limits.h"
#include "sim_operator.h"
#include "sim_refusals.h"
#include "sim_shapes.h"
#include "sim_wall.h"
#include "sim_world.h"

static struct sim_faults drawn;

/* Over all runs. */
static struct {
	uint64_t tunnels[4];
	uint64_t planned, own, interim, requests, replays, retries;
	uint64_t causes[CAUSE_COUNT];
	uint64_t defects[DEFECT_COUNT];
	uint64_t malformed, unanswered[ENDED_COUNT];
} tally;

void oracle_begin(void)
{
	drawn = faults;
}

bool oracle_run_is_rough(void)
{
	struct sim_faults f = drawn;

	/* These hit only the request or the client they were drawn for. */
	f.malformed = f.client_leaves = f.client_impatient = f.client_resets = f.client_breaks = 0;
#define SIM_FAULT_ANY(field) || f.field != 0
	return false SIM_HOSTILE(SIM_FAULT_ANY);
#undef SIM_FAULT_ANY
}

/* --- what a client sees ------------------------------------------------------------------------------------------- */

static bool holds_connections(void)
{
	return drawn.tight_limits || drawn.answer_defect || drawn.client_dawdles || drawn.client_stalls ||
	       drawn.clock_jumps || drawn.connect_hangs || drawn.server_hangs || drawn.server_stalls || (oracle_run_is_rough() && model_is_bulky());
}

/* Servers close connections that have carried something, or have rested. */
static bool may_go_stale(void)
{
	return drawn.server_idle_close || drawn.server_keep_alive || drawn.server_hasty || drawn.server_down;
}

static bool is_too_large(const struct sim_request *request)
{
	return plan.body_bytes != 0 && sent_content(request) > plan.body_bytes;
}

/* Nothing of it may have been written to the other upstream. */
static bool may_fall_back(const struct sim_request *request)
{
	return plan.fallback == FALLBACK_UPSTREAM && request->upstream == 0;
}

/* Rule 6. */
static bool cause_fits(const struct sim_request *request, enum cause cause)
{
	switch (cause) {
	case CAUSE_BODY_TOO_LARGE: return is_too_large(request);
	case CAUSE_BAD_REQUEST:
	case CAUSE_URI_TOO_LONG:
	case CAUSE_HEADERS_TOO_LARGE: return request->kind == KIND_MALFORMED || request->kind == KIND_BAD_CONTENT;
	case CAUSE_NO_ROUTE: return request->kind == KIND_NO_ROUTE || shapes_may_lack_route(request);
	case CAUSE_METHOD_NOT_ALLOWED: return request->kind == KIND_WRONG_METHOD || request->kind == KIND_MALFORMED;
	case CAUSE_CLIENT_TIMEOUT: return drawn.client_stalls || drawn.client_dawdles || drawn.clock_jumps;
	case CAUSE_CLIENT_CONNECTIONS_LIMITED: return drawn.tight_limits || plan.sheds;
	/* A clock that leaps looks like a loop that has stood still. */
	case CAUSE_OVERLOADED: return plan.sheds || drawn.clock_jumps;
	case CAUSE_FORBIDDEN: return plan.guards && request->kind == KIND_RESPOND;
	case CAUSE_UNAUTHORIZED: return plan.guards && request->kind == KIND_REDIRECT;
	case CAUSE_RATE_LIMITED: return limits_may_refuse(request);
	case CAUSE_POOL_QUEUE_FULL: return holds_connections();
	case CAUSE_CONCURRENCY_LIMITED: return setup_sheds();
	case CAUSE_POOL_ACQUIRE_TIMEOUT:
	case CAUSE_REQUEST_DEADLINE:
		/* The times of these runs are short, pools may have one connection, and there may be ten clients. */
		return oracle_run_is_rough() || (cause == CAUSE_REQUEST_DEADLINE && call_may_time_out(request));
	case CAUSE_CONNECT_REFUSED:
		/*
		 * With HTTP/2 a connection counts as open when the first SETTINGS have come. A server that goes away at once may take
		 * nothing more before they have been read.
		 */
		return drawn.connect_refused || drawn.connect_fails || drawn.server_down ||
		       (plan.servers_h2 && (drawn.reset || drawn.server_goes_away || upstream_was_useless(request->upstream) ||
					       (plan.reroutes && upstream_was_useless(UPSTREAM_MOVED)) ||
					       (may_fall_back(request) && upstream_was_useless(1))));
	case CAUSE_CONNECT_TIMEOUT:
		/* Also what a request is told whose wait ends while the only connection is just being opened. */
		return oracle_run_is_rough();
	case CAUSE_UPSTREAM_RESET:
		return drawn.reset || drawn.answer_defect || drawn.server_unsolicited || drawn.server_head_reset ||
		       drawn.server_down || drawn.server_refuses || drawn.server_goes_away || may_go_stale() ||
		       /*
			* A session takes its streams with it whose server leaves SETTINGS unanswered; or that has no memory for a head,
			* and those whose content was not kept, for the same want, are not sent again.
			*/
		       (plan.servers_h2 && (drawn.server_stalls || drawn.alloc_fails));
	case CAUSE_UPSTREAM_BAD_RESPONSE:
		/* To extended CONNECT that says yes, where nobody has been asked. */
		if (asks_connect(request) && request->answer.status / 100 == 2)
			return true;
		return request->answer.defect != DEFECT_NONE || call_is_cut(request) || drawn.server_unsolicited ||
		       drawn.answer_defect;
	case CAUSE_FIRST_BYTE_TIMEOUT:
		/* Who was given a place where the peer allows no stream waits in vain, and nothing of the request is written. */
		if (plan.servers_h2 && request->try_count == 0 && !plan.slow && !drawn.server_stalls &&
			!drawn.clock_jumps)
			return false;
		return holds_connections() || plan.again[request->upstream].try_ms > 0;
	case CAUSE_UPSTREAM_IDLE_TIMEOUT: return holds_connections();
	case CAUSE_BREAKER_OPEN: return plan.breakers;
	/* Where all are used when most are out nobody is turned away; a reload may come to one worker later. */
	case CAUSE_NO_HEALTHY_ENDPOINT:
		if (!oracle_run_is_rough())
			return false;
		/* The only endpoint of a subset may be out. */
		if (plan.subsets && (plan.passive || plan.health || plan.breakers))
			return true;
		return operator_has_taken_out() || (plan.health && (!plan.panics || drawn.reloads != 0));
	case CAUSE_FILES_EXHAUSTED: return drawn.connect_fails || drawn.accept_emfile || plan.sheds;
	case CAUSE_MEMORY_EXHAUSTED: return drawn.alloc_fails || drawn.watch_fails || drawn.connect_fails;
	case CAUSE_DRAINING: return drawn.drain_midway;
	default: return false;
	}
}

bool oracle_tunnel_fits(const struct sim_request *request, enum cause cause)
{
	switch (cause) {
	case CAUSE_CLIENT_GONE:
		/* A session takes its streams with it whose client takes nothing, or breaks the rules. */
		return request->tunnel.client_left || drawn.reset || drawn.client_breaks ||
		       (plan.clients_h2 && (drawn.client_stalls || drawn.client_dawdles || drawn.clock_jumps));
	case CAUSE_BAD_REQUEST: return plan.clients_h2 && drawn.client_breaks;
	/* Of tunnels it is not the request's, but the pool's. */
	case CAUSE_REQUEST_DEADLINE: return setup_reclaims();
	case CAUSE_CLIENT_TIMEOUT:
	case CAUSE_UPSTREAM_RESET:
	case CAUSE_UPSTREAM_BAD_RESPONSE:
	case CAUSE_UPSTREAM_IDLE_TIMEOUT:
	case CAUSE_MEMORY_EXHAUSTED:
	case CAUSE_DRAINING: return cause_fits(request, cause);
	default: return false;
	}
}

/* RFC 9110 §9.2.2. */
bool oracle_is_idempotent(const struct sim_request *request)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strcmp(request->method, methods[i]) == 0)
			return true;
	return false;
}

/* It was sent as what it is. */
static bool asks_switch(const struct sim_request *request)
{
	return request->kind == KIND_UPGRADE && request->tunnel.passes;
}

/* Longer than anything that may stand between the opening of a connection and the request that it was opened for. */
#define RESTED_MIN_US 5000

/*
 * Rule 6: the server had closed a connection that was idle; the request could be sent again, and was not. (One that has
 * carried nothing yet was idle when there was time between its opening and the request; with HTTP/2 a request may wait there
 * after it was given the connection, and only the gateway knows.) Memory for that may have been
 * refused, or the second connection have broken before the first byte (a server that is down may do that), or the request's
 * deadline come.
 */
static void check_not_stale(const struct sim_request *request)
{
	const struct sim_try *tried = &request->tries[0];

	bool stale = plan.servers_h2 ? request->reused && !request->retried : tried->carried > 0 || tried->rested_us >= RESTED_MIN_US;

	if (request->kind == KIND_PROXIED && request->framing == SIM_NONE && oracle_is_idempotent(request) &&
		request->try_count == 1 && stale &&
		tried->heard == 0 && !drawn.alloc_fails && !drawn.reset && !drawn.server_down && !drawn.clock_jumps)
		world_violation("6: a stale connection makes no request fail", "request %u (%s) on conn %u", request->id,
			request->method, tried->conn);
}

/* The word in the error body; CAUSE_COUNT: there is none. */
static enum cause cause_read(const struct sim_reader *reader)
{
	const char *at = strstr(reader->text, "\"error\"");
	char word[64];

	if (reader_field(reader, "grpc-message", NULL) == 1)
		return call_cause(reader);
	if (at == NULL || sscanf(at, "\"error\" : \"%63[a-z_]\"", word) != 1)
		return CAUSE_COUNT;
	for (int cause = 0; cause < CAUSE_COUNT; cause++)
		if (strcmp(cause_info((enum cause)cause)->word, word) == 0)
			return (enum cause)cause;
	return CAUSE_COUNT;
}

static bool any_cause_fits(const struct sim_request *request, unsigned status)
{
	for (int cause = 1; cause < CAUSE_COUNT; cause++)
		if (cause_info((enum cause)cause)->status == (int)status && cause_fits(request, (enum cause)cause))
			return true;
	return false;
}

/* An answer of the gateway's own that tells of a failure. */
static void check_failure(struct sim_request *request, const struct sim_reader *reader)
{
	enum cause cause = cause_read(reader);
	bool to_head = strcmp(request->method, "HEAD") == 0;

	request->failure = cause == CAUSE_COUNT ? "no cause" : cause_info(cause)->word;
	if (cause == CAUSE_UPSTREAM_RESET)
		check_not_stale(request);
	if (cause == CAUSE_RATE_LIMITED)
		limits_check_refused(request, reader);
	if (reader_field(reader, "Proxy-Status", NULL) != 1)
		world_violation("6: a failure names its cause", "request %u: status %u without Proxy-Status",
			request->id, reader->status);
	if (reader_field(reader, "WWW-Authenticate", NULL) != (reader->status == 401))
		world_violation("6: a failure names its cause", "request %u: status %u with %u challenges", request->id, reader->status,
			reader_field(reader, "WWW-Authenticate", NULL));
	if (to_head ? !any_cause_fits(request, reader->status)
		    : cause == CAUSE_COUNT || (int)reader->status != cause_info(cause)->status ||
				!cause_fits(request, cause))
		world_violation("6: the cause fits what went wrong",
			"request %u (kind %d, defect %d): status %u, %s\n%.*s", request->id, request->kind,
			request->answer.defect, reader->status, reader->text, (int)request->head_length, request->wire);
}

/* The same of a call. */
static void check_call_failure(struct sim_request *request, const struct sim_reader *reader)
{
	enum cause cause = cause_read(reader);
	const char *wrong = cause == CAUSE_COUNT ? "no cause" : call_failure_wrong(request, reader, cause);

	request->failure = cause == CAUSE_COUNT ? "no cause" : cause_info(cause)->word;
	if (wrong != NULL || reader_field(reader, "Proxy-Status", NULL) != 1)
		world_violation("10: a call's failure is told as gRPC has it", "call %u (%s): %s", request->id,
			request->failure, wrong != NULL ? wrong : "without Proxy-Status");
	if (!cause_fits(request, cause))
		world_violation("6: the cause fits what went wrong", "call %u (defect %d): %s\n%.*s", request->id,
			request->answer.defect, request->failure, (int)request->head_length, request->wire);
}

static void check_own_answer(struct sim_request *request, const struct sim_reader *reader)
{
	const char *location = "";

	if (fallback_answers(request, reader))
		return;
	if (request->call.is) {
		check_call_failure(request, reader);
	} else if (reader->status >= 400) {
		check_failure(request, reader);
	} else if (plan.guards) {
		world_violation("1: the answer is the request's", "request %u: %u, where nobody may come", request->id, reader->status);
	} else if (request->kind == KIND_RESPOND) {
		if (reader->status != 200 || strcmp(reader->text, "hello from the gateway\n") != 0)
			world_violation("1: the answer is the request's", "request %u: %u %s", request->id,
				reader->status, reader->text);
	} else if (request->kind == KIND_REDIRECT) {
		char expected[100];

		snprintf(expected, sizeof(expected), "https://example.com/new/%u?x=y", request->id);
		if (reader->status != 308 || reader_field(reader, "Location", &location) != 1 ||
			strcmp(location, expected) != 0)
			world_violation("1: the answer is the request's", "request %u: %u, Location %s", request->id,
				reader->status, location);
	} else {
		world_violation("1: the answer is the request's", "request %u: status %u from nobody", request->id,
			reader->status);
	}
}

/* Hop-by-hop fields do not arrive, in interim answers neither (RFC 9110 §7.6.1). NULL: right. */
static const char *hop_by_hop(const struct sim_reader *reader)
{
	static const char *const hop[] = {"X-Hop", "Keep-Alive", "Proxy-Connection", "TE", "Proxy-Authorization"};

	for (unsigned i = 0; i < sizeof(hop) / sizeof(*hop); i++)
		if (reader_field(reader, hop[i], NULL) != 0)
			return hop[i];
	return NULL;
}

/* End-to-end fields arrive in order and as written, hop-by-hop fields do not. NULL: right. */
static const char *fields_wrong(const struct sim_reader *reader)
{
	/* HTTP/2 knows small letters only (RFC 9113 §8.2). */
	int (*compare)(const char *, const char *) = plan.clients_h2 || plan.servers_h2 ? strcasecmp : strcmp;
	static const char *const order[][2] = {{"X-Multi", "a"}, {"x-CaSe", NULL}, {"X-Multi", "b"}};
	const char *hop = hop_by_hop(reader);
	unsigned at = 0;

	if (hop != NULL)
		return hop;
	for (unsigned i = 0; i < reader->trailers_from && at < 3; i++)
		if (compare(reader->fields[i].name, order[at][0]) == 0 &&
			(order[at][1] == NULL || strcmp(reader->fields[i].value, order[at][1]) == 0))
			at++;
	return at == 3 ? NULL : "X-Multi, x-CaSe, X-Multi";
}

static bool was_planned(const struct sim_reader *reader)
{
	return reader_field(reader, "X-Sim", NULL) != 0;
}

static void check_interim(struct sim_request *request, const struct sim_reader *reader)
{
	/* What the first upstream had said is no answer yet; the fallback's says it again. */
	unsigned hints = request->answer.hints << request->fell_back;

	if (request->minor == 0)
		world_violation("1: no interim answers for HTTP/1.0", "request %u: %u", request->id, reader->status);
	if (reader->status == 103)
		request->interim_seen++;
	if ((reader->status != 100 && reader->status != 103) || request->interim_seen > hints)
		world_violation("1: interim answers are the server's", "request %u: %u", request->id, reader->status);
	if (reader->status == 103 && request->answer.defect == DEFECT_NOMINATION)
		world_violation("1: a malformed answer is not passed on", "103 for %u", request->id);
	if (hop_by_hop(reader) != NULL || reader_field(reader, "Connection", NULL) != 0 ||
		reader_field(reader, "Link", NULL) != (reader->status == 103))
		world_violation("1: the answer's fields", "%u for %u", reader->status, request->id);
}

/* The handshake of a WebSocket is proven to who has asked for a proof, and was proven to the gateway where it has asked. */
static void check_switch(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *value = "";
	char accept[29];

	if (request->tunnel.unproven)
		world_violation("4: a handshake that is not proven opens no tunnel", "request %u", request->id);
	tunnel_accept(request->tunnel.key, false, accept);
	if (request->tunnel.websocket && accept[0] != '\0' &&
		(reader_field(reader, "Sec-WebSocket-Accept", &value) != 1 || strcmp(value, accept) != 0))
		world_violation("1: the answer's fields", "answer to %u: Sec-WebSocket-Accept is %s", request->id, value);
	if (plan.clients_h2 && reader_field(reader, "Sec-WebSocket-Accept", NULL) != 0)
		world_violation("1: the answer's fields", "answer to %u: Sec-WebSocket-Accept in HTTP/2", request->id);
}

void oracle_answer_begins(struct sim_request *request, struct sim_reader *reader)
{
	const char *id = "";

	reader->key = KEY_TEXT;
	reader_frame(reader, strcmp(request->method, "HEAD") == 0);
	if (reader->status < 200 && reader->status != 101) {
		check_interim(request, reader);
		return;
	}
	if (!was_planned(reader))
		return;
	if (reader_field(reader, "X-Sim", &id) != 1 || (unsigned)atoi(id) != request->id)
		world_violation(
			"1: answers come in the order of the requests", "where %u is due there is %s", request->id, id);
	if (request->arrivals == 0 || reader->status != request->answer.status)
		world_violation("1: the answer is the request's", "request %u: status %u instead of %u", request->id,
			reader->status, request->answer.status);
	if (reader->status == 101 && !request->switched)
		world_violation("4: a tunnel begins with the server's 101", "request %u", request->id);
	if (reader->status == 101)
		check_switch(request, reader);
	request->answer_begun = true;
	hedge_answer_begins(request, id);
	reader->key = answer_key(request, request_answer(request));
	if (request->call.is)
		call_answer_begins(request, reader);
}

static void check_planned_answer(const struct sim_request *request, const struct sim_reader *reader)
{
	const struct sim_answer *answer = request_answer(request);
	uint64_t content = answer_has_content(request) ? answer->content : 0;
	const char *wrong = fields_wrong(reader);

	if (reader->content != content + call_frame_bytes(reader) ||
		(!request_replied_whole(request) && answer_has_content(request)))
		world_violation("2: what was cut short never looks complete",
			"answer to %u (method %s, status %u): %llu of %llu bytes", request->id, request->method,
			answer->status, (unsigned long long)reader->content, (unsigned long long)content);
	if (answer->defect >= DEFECT_STATUS_LINE && answer->defect <= DEFECT_CHUNK)
		world_violation("1: a malformed answer is not passed on", "answer to %u with defect %d", request->id,
			answer->defect);
	if (wrong != NULL)
		world_violation("1: the answer's fields", "answer to %u: %s", request->id, wrong);
	if (answer->has_trailers && !reader->text_follows && content > 0 && request->minor == 1 &&
		reader->field_count == reader->trailers_from)
		world_violation("1: trailers are passed on", "answer to %u", request->id);
	if (!oracle_run_is_rough() && request->minor == 1 && request->interim_seen != answer->hints)
		world_violation("1: interim answers are passed on", "answer to %u: %u of %u", request->id,
			request->interim_seen, answer->hints);
}

static bool refuses_connect(const struct sim_request *request)
{
	return !plan.clients_h2 && strncmp(request->wire, "CONNECT ", 8) == 0;
}

void oracle_answer_complete(struct sim_request *request, const struct sim_reader *reader, bool keeps)
{
	bool planned = was_planned(reader);

	if (request->answered)
		world_violation("1: one answer for a request", "request %u", request->id);
	request->answered = true;
	if (planned)
		check_planned_answer(request, reader);
	if (planned && request->call.is)
		call_check_answer(request, reader);
	if (planned && again_was_due(request, oracle_is_idempotent(request)))
		world_violation("6: what is to be sent again is", "request %u (%s): status %u after %u tries more", request->id,
			request->method, reader->status, request->again.made);
	if (!planned) {
		check_own_answer(request, reader);
		wall_check_answer(request, reader);
	}
	tally.planned += planned;
	tally.own += !planned && reader->status < 400;
	tally.tunnels[plan.clients_h2 + 2 * plan.servers_h2] += reader->status == 101;
	tally.malformed += request->kind == KIND_MALFORMED;
	tally.causes[cause_read(reader) % CAUSE_COUNT] += !planned;
	tally.interim += request->interim_seen;
	/* CONNECT is refused for what it asks, if it comes to that, and not for how it is written. */
	if (request->kind == KIND_MALFORMED && keeps && !refuses_connect(request))
		world_violation("1: the connection of a refused request is closed", "request %u", request->id);
	/*
	 * Persistence is the rule (RFC 9112 §9.3); a gateway that closed after every answer would pass all other
	 * checks.
	 */
	if (!oracle_run_is_rough() && !plan.doors && planned && request->minor == 1 && !request->closes && !request->answer.early &&
		request->kind == KIND_PROXIED && request->sent_complete && !keeps)
		world_violation("1: a connection without fault is kept", "after request %u", request->id);
}

void oracle_unanswered(const struct sim_request *request, enum sim_end_how how)
{
	tally.unanswered[how]++;
	if (how == ENDED_BY_CLIENT || how == ENDED_HALF_CLOSED || how == ENDED_AFTER_CLOSE)
		return;
	if (request->answered || oracle_run_is_rough() || call_may_time_out(request) || call_is_cut(request))
		return;
	/* Content that turns out to be wrong when an answer is already on its way can only be told by breaking off. */
	if (request->kind == KIND_BAD_CONTENT)
		return;
	world_violation("1: every request has an answer", "request %u (kind %d) was ended by %s", request->id,
		request->kind,
		how == ENDED_BY_FIN	? "an orderly close"
		: how == ENDED_BY_RESET ? "a reset"
					: "a refused connection");
}

/* --- what the gateway writes to servers --------------------------------------------------------------------------- */

/* On a connection that may have been stale. */
static bool may_be_stale(const struct sim_try *tried)
{
	return tried->refused || tried->carried > 0 || tried->rested_us > 0;
}

/* The try that was lost; of two that were under way together either may have been the last one, if neither was answered. */
static const struct sim_try *lost_try(const struct sim_request *request)
{
	const struct sim_try *last = &request->tries[request->try_count - 1];

	for (unsigned i = 0; i < request->try_count && request->beside.sent; i++) {
		const struct sim_try *tried = &request->tries[i];

		if (tried->made == last->made && tried->answered_turn != 0)
			return tried;
		if (tried->made == last->made && (last->heard > 0 || !may_be_stale(last)))
			last = tried;
	}
	return last;
}

static const char *try_wrong(const struct sim_request *request, const struct sim_try *made)
{
	const struct sim_try *last = lost_try(request);
	/* A session without memory ends in the middle of what it reads. */
	bool forgets = plan.servers_h2 && drawn.alloc_fails;

	return request->call.replayed		? "a third time"
	       : last->refused			? NULL
	       : !oracle_is_idempotent(request)	? "of a method that is not idempotent"
	       : asks_switch(request)		? "and asks for a tunnel"
	       : !may_be_stale(last)		? "although the first connection was new"
	       : last->heard > 0 && !forgets	? "although something had come back"
	       : made->carried > 0 && !plan.servers_h2 ? "on a connection that was used before"
						: NULL;
}

/*
 * Rule 3. A try is made with the first byte that is written, whether it arrives or not: the gateway cannot know which
 * of them a server has acted on.
 */
struct sim_try *oracle_try(struct sim_request *request, const struct sim_try *made)
{
	bool again = call_has_failed(request) || again_has_failed(request), fell_back = request->fell_back;
	bool is_safe = oracle_is_idempotent(request) && !asks_switch(request);
	const char *wrong = fallback_sends(request, made->port, is_safe);

	/* What may be sent again on a connection that is stale is not counted. */
	if (!again && request->try_count > 0 && again_was_in_vain(request))
		again = try_wrong(request, made) != NULL;
	/* Not for what came of it, nor for a connection that was lost. */
	bool falls_back = request->fell_back != fell_back, beside = !falls_back && !again && hedge_is_beside(request, made);

	if (!beside && !falls_back && !again && request->try_count > 0 && is_safe && !request->call.is)
		beside = hedge_is_late(request, made);
	if (wrong == NULL && !beside && !falls_back && request->try_count > 0)
		wrong = again && request->call.is	? call_sends_again(request)
			: again && asks_switch(request) && !lost_try(request)->refused ? "and asks for a tunnel"
			: again				? again_sends(request, made->port, oracle_is_idempotent(request))
							: try_wrong(request, made);
	if (wrong == NULL && beside)
		wrong = hedge_sends(request, made, is_safe);
	if (wrong != NULL)
		world_violation("3: no unsafe replay", "request %u (%s) is sent again, %s: conn %u, tries before %u",
			request->id, request->method, wrong, made->conn, request->try_count);
	if (request->try_count == 0)
		limits_check_passed(request);
	request->call.replayed = request->call.replayed || (request->try_count > 0 && !again && !falls_back && !beside);
	tally.retries += request->try_count > 0;
	SIM_CHECK(request->try_count < sizeof(request->tries) / sizeof(*request->tries));
	request->tries[request->try_count] = *made;
	request->tries[request->try_count].at_us = world_now_us();
	request->tries[request->try_count].beside = beside;
	request->tries[request->try_count].made = request->again.made;
	return &request->tries[request->try_count++];
}

void oracle_try_head(const struct sim_request *request, struct sim_try *tried, uint64_t head_hash)
{
	uint64_t first = request->tries[0].head_hash;

	tried->head_hash = head_hash;
	if (tried != &request->tries[0] && first != 0 && first != head_hash)
		world_violation("3: what is sent again is the same", "request %u", request->id);
}

/* --- what a server sees ------------------------------------------------------------------------------------------- */

static void arrival_wrong(const struct sim_request *request, const char *what)
{
	world_violation("3: what arrives is what was intended", "request %u: %s", request->id, what);
}

static void check_arrival_framing(const struct sim_request *request, const struct sim_reader *reader)
{
	bool lies = request->kind == KIND_BAD_CONTENT && request->framing == SIM_LENGTH;

	/* HTTP/2 has said 0 and not yet the end: content that makes it malformed may still come, so nobody is told 0. */
	if (plan.clients_h2 && request->framing == SIM_LENGTH && request->content == 0 && reader->framing == SIM_CHUNKED)
		return;
	/* Its length is another one then, and not known yet. */
	if (request->call.form == FORM_WEB_TEXT && (reader->framing == SIM_CHUNKED || request->content == 0))
		return;
	if (request->framing == SIM_CHUNKED ? reader->framing != SIM_CHUNKED
					    : reader->framing == SIM_CHUNKED || reader->length != request->content + lies)
		arrival_wrong(request, "framing");
}

/* Once; a second time only after a second try, which oracle_try() has judged. */
static void check_arrival_count(struct sim_request *request)
{
	bool may_be_more = oracle_run_is_rough() || request->call.is || request->again.made > 0 || request->beside.sent;

	if (++request->arrivals > (may_be_more ? request->try_count : 1))
		world_violation("3: no unsafe replay", "request %u (%s) arrives %u times", request->id, request->method,
			request->arrivals);
}

static void check_arrival_fields(const struct sim_request *request, const struct sim_reader *reader)
{
	const char *value = "", *wrong = request->pads_fields ? fields_wrong(reader) : NULL;

	if (wrong == NULL && request->call.is)
		wrong = call_arrival_wrong(request, reader);
	if (wrong != NULL)
		arrival_wrong(request, wrong);
	if (reader_field(reader, "Host", &value) != 1 || strcmp(value, "sim.test") != 0)
		arrival_wrong(request, "Host");
	if (reader_field(reader, "X-Request-Id", NULL) != 1 || reader_field(reader, "X-Forwarded-For", NULL) != 1 ||
		reader_field(reader, "X-Forwarded-Proto", NULL) != 1 || reader_field(reader, "Via", NULL) == 0)
		arrival_wrong(request, "X-Request-Id, X-Forwarded-For, X-Forwarded-Proto or Via");
	/* The header filter of upstream 0's route. */
	if (request->upstream == 0 && (reader_field(reader, "X-Set", &value) != 1 || strcmp(value, "by gateway") != 0 ||
					      reader_field(reader, "X-Removed", NULL) != 0))
		arrival_wrong(request, "what the headers filter does");
	bool upgrades = reader_field_has(reader, "Connection", "upgrade") && reader_field(reader, "Upgrade", NULL) == 1;
	if (upgrades != asks_switch(request) || (!upgrades && reader_field(reader, "Upgrade", NULL) != 0))
		arrival_wrong(request, "Upgrade");
}

/* Whoever speaks HTTP/1 needs a key, the client's or the gateway's, and HTTP/2 has none. */
static void check_arrival_key(struct sim_request *request, const struct sim_reader *reader)
{
	struct sim_tunnel *tunnel = &request->tunnel;
	const char *key = "", *version = "";
	unsigned keys = reader_field(reader, "Sec-WebSocket-Key", &key);

	if (!asks_switch(request) || !tunnel->websocket)
		return;
	if (reader_field(reader, "Sec-WebSocket-Version", &version) != 1 || strcmp(version, "13") != 0)
		arrival_wrong(request, "Sec-WebSocket-Version");
	if (plan.servers_h2 ? keys != 0 : keys != 1)
		arrival_wrong(request, "Sec-WebSocket-Key");
	if (!plan.clients_h2 && !plan.servers_h2 && strcmp(key, tunnel->key) != 0)
		arrival_wrong(request, "Sec-WebSocket-Key is another");
	if (keys == 1 && strlen(key) != sizeof(tunnel->arrived_key) - 1)
		arrival_wrong(request, "Sec-WebSocket-Key is none");
	if (keys == 1)
		strcpy(tunnel->arrived_key, key);
}

struct sim_request *oracle_arrival(struct sim_reader *reader)
{
	const char *id = "0";
	unsigned ids = reader_field(reader, "X-Sim", &id);
	struct sim_request *request = model_find((unsigned)atoi(id));

	if (ids != 1 || request == NULL ||
		(request->kind != KIND_PROXIED && request->kind != KIND_UPGRADE && request->kind != KIND_BAD_CONTENT))
		world_violation(
			"4: nothing of a refused request arrives", "%s %s arrives", reader->first[0], reader->first[1]);
	if (strcmp(reader->first[0], request->method) != 0)
		arrival_wrong(request, "method");
	if (strcmp(reader->first[1], request->canonical) != 0)
		world_violation("3: what arrives is what was intended", "request %u: target %s instead of %s",
			request->id, reader->first[1], request->canonical);
	check_arrival_framing(request, reader);
	check_arrival_fields(request, reader);
	check_arrival_key(request, reader);
	check_arrival_count(request);
	traces_check_arrival(request, reader);
	tally.requests++;
	tally.defects[request->answer.defect]++;
	tally.replays += request->arrivals > 1;
	reader->key = request->kind == KIND_BAD_CONTENT ? KEY_TEXT : request_key(request);
	return request;
}

void oracle_arrival_complete(struct sim_request *request, const struct sim_reader *reader)
{
	request->arrived_complete = true;
	if (request->kind == KIND_BAD_CONTENT)
		world_violation("2: what was cut short never looks complete",
			"request %u has malformed content and arrives complete", request->id);
	if (is_too_large(request))
		world_violation("3: limits hold", "request %u with %llu bytes of content", request->id,
			(unsigned long long)request->content);
	if (!request->sent_complete || reader->content != request->content)
		world_violation("2: what was cut short never looks complete", "request %u: %llu of %llu bytes arrive",
			request->id, (unsigned long long)reader->content, (unsigned long long)request->content);
	if (request->has_trailers && reader->field_count == reader->trailers_from)
		world_violation("3: what arrives is what was intended", "request %u: trailers", request->id);
}

/* --- tally -------------------------------------------------------------------------------------------------------- */

void oracle_tell_tally(void)
{
	static const char *const ends[] = {"FIN", "reset", "the client", "an answer that closes", "a refusal",
		"an end of the client's direction"};

	printf("requests at servers %llu (again %llu, tried again %llu), answers passed on %llu, own %llu, interim %llu\n",
		(unsigned long long)tally.requests, (unsigned long long)tally.replays, (unsigned long long)tally.retries,
		(unsigned long long)tally.planned, (unsigned long long)tally.own,
		(unsigned long long)tally.interim);
	printf("tunnels h1-h1 %llu, h2-h1 %llu, h1-h2 %llu, h2-h2 %llu\n", (unsigned long long)tally.tunnels[0],
		(unsigned long long)tally.tunnels[1], (unsigned long long)tally.tunnels[2],
		(unsigned long long)tally.tunnels[3]);
	call_tell_tally();
	breakers_tell_tally();
	hedge_tell_tally();
	operator_tell_tally();
	traces_tell_tally();
	doors_tell_tally();
	refusals_tell_tally();
	printf("malformed and refused %llu; unanswered because of", (unsigned long long)tally.malformed);
	for (int how = 0; how < ENDED_COUNT; how++)
		printf(" %s %llu", ends[how], (unsigned long long)tally.unanswered[how]);
	printf("\nfailures:");
	for (int cause = 1; cause < CAUSE_COUNT; cause++)
		printf(" %s %llu", cause_info((enum cause)cause)->word, (unsigned long long)tally.causes[cause]);
	printf("\ndefects of answers:");
	for (int defect = 0; defect < DEFECT_COUNT; defect++)
		printf(" %d: %llu", defect, (unsigned long long)tally.defects[defect]);
	printf("\n");
}

bool oracle_tally_is_full(const char **what)
{
	/* Causes that this version's runs can come to. */
	static const enum cause expected[] = {CAUSE_BAD_REQUEST, CAUSE_CLIENT_TIMEOUT, CAUSE_NO_ROUTE,
		CAUSE_METHOD_NOT_ALLOWED, CAUSE_CLIENT_CONNECTIONS_LIMITED, CAUSE_POOL_QUEUE_FULL,
		CAUSE_POOL_ACQUIRE_TIMEOUT, CAUSE_CONNECT_REFUSED, CAUSE_CONNECT_TIMEOUT, CAUSE_UPSTREAM_RESET,
		CAUSE_UPSTREAM_BAD_RESPONSE, CAUSE_FIRST_BYTE_TIMEOUT, CAUSE_URI_TOO_LONG, CAUSE_HEADERS_TOO_LARGE,
		CAUSE_BODY_TOO_LARGE, CAUSE_NO_HEALTHY_ENDPOINT, CAUSE_REQUEST_DEADLINE, CAUSE_MEMORY_EXHAUSTED,
		CAUSE_OVERLOADED, CAUSE_BREAKER_OPEN, CAUSE_RATE_LIMITED};

	*what = "requests that are sent again";
	if (tally.retries == 0)
		return false;
	*what = "requests that are sent again for a status";
	if (again_tally() == 0)
		return false;
	*what = "breakers that open, or fallbacks";
	if (!breakers_tally_is_full())
		return false;
	*what = "clients at listeners that leave";
	if (!doors_tally_is_full())
		return false;
	*what = "reloads that are refused late, for whatever is missing";
	if (!refusals_tally_is_full())
		return false;
	*what = "traces, their spans exported and dropped";
	if (!traces_tally_is_full())
		return false;
	*what = "endpoints that the operator takes out, and brings back";
	if (!operator_tally_is_full())
		return false;
	*what = "hedged requests that the first, or the second has answered";
	if (!hedge_tally_is_full())
		return false;
	*what = "clients that end their direction and get no answer";
	if (tally.unanswered[ENDED_HALF_CLOSED] == 0)
		return false;
	*what = "tunnels of one combination of versions";
	for (int i = 0; i < 4; i++)
		if (tally.tunnels[i] == 0)
			return false;
	*what = "calls, their failures, and what is sent again of them";
	if (!call_tally_is_full())
		return false;
	*what = "interim answers, own answers, malformed requests or a defect of an answer";
	if (tally.interim == 0 || tally.own == 0 || tally.malformed == 0)
		return false;
	for (int defect = 0; defect < DEFECT_COUNT; defect++)
		if (tally.defects[defect] == 0)
			return false;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		*what = cause_info(expected[i])->word;
		if (tally.causes[expected[i]] == 0)
			return false;
	}
	return true;
}
