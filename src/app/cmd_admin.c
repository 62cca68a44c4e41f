/*
 * What an operator tells a running gateway, and asks it in a line or two: `weir status`, `weir endpoint`, `weir drain`,
 * `weir stuck`, `weir log-level`. Each is one request to the administration.
 */
#include <stdio.h>
#include <string.h>

#include "app/admin_client.h"

#define NAME_BYTES 1024

/* --- status ------------------------------------------------------------------------------------------------------- */

static void print_status(const json_t *s)
{
	const json_t *requests = json_object_get(s, "requests"), *endpoints = json_object_get(s, "endpoints");
	const json_t *process = json_object_get(s, "process");

	printf("%-14s %s, version %s, since %s (%.0f s)\n", "gateway", word_at(s, "state"), word_at(s, "version"), word_at(s, "started_at"),
		number_at(s, "uptime_s"));
	printf("%-14s %s, the %lld. since the start\n", "configuration", word_at(s, "file"), integer_at(s, "configuration"));
	printf("%-14s %lld, %zu of them do not answer\n", "workers", integer_at(s, "workers"),
		json_array_size(json_object_get(s, "workers_unanswered")));
	printf("%-14s %lld under way, %lld in all, %lld of them failed\n", "requests", integer_at(requests, "in_flight"),
		integer_at(requests, "total"), integer_at(requests, "failed"));
	printf("%-14s %lld from clients\n", "connections", integer_at(json_object_get(s, "connections"), "open"));
	printf("%-14s %lld, %lld out of service, %lld set by the operator\n", "endpoints", integer_at(endpoints, "total"),
		integer_at(endpoints, "out_of_service"), integer_at(endpoints, "set"));
	printf("%-14s %lld of %lld open files, %lld MiB, %.1f s of processor time\n", "process", integer_at(process, "open_files"),
		integer_at(process, "open_files_max"), integer_at(process, "memory_bytes") >> 20,
		number_at(process, "processor_s"));
	printf("%-14s %s\n", "log level", word_at(s, "log_level"));
}

/* --- stuck -------------------------------------------------------------------------------------------------------- */

static void print_stuck(const json_t *all)
{
	const json_t *list = json_object_get(all, "exchanges"), *clients = json_object_get(all, "clients"), *e;
	size_t i;

	if (json_array_size(list) == 0 && json_array_size(clients) == 0)
		printf("nothing is stuck: every request and every connection of a client has a deadline that is not over\n");
	json_array_foreach(list, i, e)
		printf("%8.1f s  %-12s %s %s\n           %s %s, request %s, worker %lld\n",
			number_at(e, "quiet_s"), word_at(e, "stage"), word_at(e, "method"), word_at(e, "path"),
			word_at(e, "upstream"), word_at(e, "endpoint"), word_at(e, "request_id"), integer_at(e, "worker"));
	json_array_foreach(clients, i, e)
		printf("%10s  %-12s client %s, worker %lld\n", "-", word_at(e, "stage"), word_at(e, "client"), integer_at(e, "worker"));
}

/* --- what asks and prints ------------------------------------------------------------------------------------------ */

static enum exit_code show(int argc, char **argv, const char *request, void (*print)(const json_t *json))
{
	struct admin_call call;
	enum exit_code code = admin_call_begin(&call, argc, argv, 0);

	if (code != EXIT_FINE)
		return code;
	json_t *json = admin_call_ask(&call, request, &code);

	if (json != NULL)
		(call.as_json ? answer_print : print)(json);
	json_decref(json);
	admin_call_end(&call);
	return code;
}

static enum exit_code status_run(int argc, char **argv)
{
	return show(argc, argv, "GET /v1/status", print_status);
}

static enum exit_code stuck_run(int argc, char **argv)
{
	return show(argc, argv, "GET /v1/stuck", print_stuck);
}

static void print_drain(const json_t *json)
{
	printf("the gateway is draining: it ends when its last request has\n");
}

static enum exit_code drain_run(int argc, char **argv)
{
	return show(argc, argv, "POST /v1/drain", print_drain);
}

/* --- log-level ---------------------------------------------------------------------------------------------------- */

static void print_log_level(const json_t *json)
{
	printf("%s\n", word_at(json, "level"));
}

static enum exit_code log_level_run(int argc, char **argv)
{
	struct admin_call call;
	enum exit_code code = admin_call_begin(&call, argc, argv, 1);
	json_t *json;

	if (code != EXIT_FINE)
		return code;
	if (call.count == 0)
		json = admin_call_ask(&call, "GET /v1/log/level", &code);
	else
		json = admin_call_tell(&call, "PUT /v1/log/level", json_pack("{s:s}", "level", call.words[0]), &code);
	if (json != NULL)
		(call.as_json ? answer_print : print_log_level)(json);
	json_decref(json);
	admin_call_end(&call);
	return code;
}

/* --- endpoint ----------------------------------------------------------------------------------------------------- */

static void print_endpoint(const char *upstream, const json_t *e)
{
	const json_t *reason;
	const char *before = "";
	size_t i;

	printf("%-16s %-24s %6lld %9lld %8lld  ", upstream, word_at(e, "address"), integer_at(e, "weight"), integer_at(e, "requests"),
		integer_at(e, "waiting"));
	json_array_foreach(json_object_get(e, "out"), i, reason) {
		printf("%s%s", before, text_of(reason, "-"));
		before = ",";
	}
	if (json_is_true(json_object_get(json_object_get(e, "set"), "drain")))
		printf("%sdrained\n", before);
	else
		printf("%s\n", *before == '\0' ? "in service" : "");
}

static void print_endpoints(const json_t *all)
{
	const json_t *upstream, *endpoint;
	size_t i, j;

	printf("%-16s %-24s %6s %9s %8s  %s\n", "UPSTREAM", "ENDPOINT", "WEIGHT", "REQUESTS", "WAITING", "STATE");
	json_array_foreach(json_object_get(all, "upstreams"), i, upstream)
		json_array_foreach(json_object_get(upstream, "endpoints"), j, endpoint)
			print_endpoint(word_at(upstream, "name"), endpoint);
}

/* "auto" takes it back. NULL: it is no weight. */
static json_t *weight_wish(const char *argument)
{
	uint64_t weight;

	if (strcmp(argument, "auto") == 0)
		return json_pack("{s:n}", "weight");
	return view_parse_u64(view_str(argument), &weight) && weight <= INT32_MAX
		? json_pack("{s:I}", "weight", (json_int_t)weight) : NULL;
}

/* What is sent for the words; NULL: they are not understood. */
static json_t *wish_of(const struct admin_call *call)
{
	const char *what = call->words[0];

	if (call->count == 4)
		return strcmp(what, "weight") == 0 ? weight_wish(call->words[3]) : NULL;
	if (strcmp(what, "disable") == 0)
		return json_pack("{s:b}", "enabled", 0);
	if (strcmp(what, "enable") == 0)
		return json_pack("{s:b, s:b}", "enabled", 1, "drain", 0);
	return strcmp(what, "drain") == 0 ? json_pack("{s:b}", "drain", 1) : NULL;
}

/* As it may stand in a path. False: it does not fit. */
static bool path_escape(const char *text, char *to, size_t bytes)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/";
	size_t n = 0;

	for (; *text != '\0' && n + 4 < bytes; text++)
		n += (size_t)snprintf(to + n, bytes - n, strchr(plain, *text) != NULL ? "%c" : "%%%02X", (unsigned char)*text);
	to[n] = '\0';
	return *text == '\0';
}

static enum exit_code endpoint_change(const struct admin_call *call)
{
	char upstream[NAME_BYTES], endpoint[NAME_BYTES], request[3 * NAME_BYTES];
	json_t *wish = wish_of(call);
	enum exit_code code;

	if (wish == NULL)
		return command_refuse("endpoint", "endpoint: '%s' is not understood%s", call->words[call->count - 1],
			call->count == 4 ? " as a weight" : "");
	if (!path_escape(call->words[1], upstream, sizeof(upstream)) || !path_escape(call->words[2], endpoint, sizeof(endpoint))) {
		json_decref(wish);
		return command_refuse("endpoint", "endpoint: such a long name has no endpoint");
	}
	snprintf(request, sizeof(request), "PATCH /v1/upstreams/%s/endpoints/%s", upstream, endpoint);
	json_t *json = admin_call_tell(call, request, wish, &code);

	if (json != NULL && call->as_json)
		answer_print(json);
	else if (json != NULL)
		print_endpoint(call->words[1], json);
	json_decref(json);
	return code;
}

static enum exit_code endpoint_list(const struct admin_call *call)
{
	enum exit_code code;
	json_t *json = admin_call_ask(call, "GET /v1/upstreams", &code);

	if (json != NULL)
		(call->as_json ? answer_print : print_endpoints)(json);
	json_decref(json);
	return code;
}

static enum exit_code endpoint_run(int argc, char **argv)
{
	struct admin_call call;
	enum exit_code code = admin_call_begin(&call, argc, argv, 4);

	if (code != EXIT_FINE)
		return code;
	if (call.count == 3 || call.count == 4)
		code = endpoint_change(&call);
	else if (call.count == 1 && strcmp(call.words[0], "list") == 0)
		code = endpoint_list(&call);
	else
		code = command_refuse("endpoint", "endpoint: say list, or what to do with which UPSTREAM's ADDRESS");
	admin_call_end(&call);
	return code;
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

#define EXIT_STATUS \
	ADMIN_CALL_HELP \
	"\n" \
	"Exit status: 0 it answered, 1 it did not or refused, 2 it was not said where to ask, or the usage is wrong.\n"

const struct command command_status = {
	.name = "status",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "say how the running gateway is, in a few numbers",
	.help = "--json  the administration's own answer (GET /v1/status)\n" EXIT_STATUS,
	.run = status_run,
};

const struct command command_stuck = {
	.name = "stuck",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "say which requests and clients have no deadline, or are beyond it",
	.help = "There are none, unless the gateway has a bug or a worker hangs.\n"
		"\n"
		"--json  the administration's own answer (GET /v1/stuck)\n" EXIT_STATUS,
	.run = stuck_run,
};

const struct command command_drain = {
	.name = "drain",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "let the running gateway finish what it has, and end",
	.help = "As SIGTERM does. `weir endpoint drain` empties one endpoint.\n"
		"\n"
		"--json  the administration's own answer (POST /v1/drain)\n" EXIT_STATUS,
	.run = drain_run,
};

const struct command command_log_level = {
	.name = "log-level",
	.arguments = ADMIN_CALL_ARGUMENTS " [error|warning|info|debug] [--json]",
	.summary = "say, or change, how much the event log tells",
	.help = "The change holds until the next start, or until a reload brings another level.\n"
		"\n"
		"--json  the administration's own answer (GET or PUT /v1/log/level)\n" EXIT_STATUS,
	.run = log_level_run,
};

const struct command command_endpoint = {
	.name = "endpoint",
	.arguments = ADMIN_CALL_ARGUMENTS " list | disable|enable|drain UPSTREAM ADDRESS | weight UPSTREAM ADDRESS N|auto [--json]",
	.summary = "list endpoints, take them out of service, drain or weigh them",
	.help = "disable  no new request goes there\n"
		"drain    only those of clients that are bound to it by a cookie\n"
		"enable   takes both back\n"
		"weight   counts in place of the configuration's; `auto` takes it back\n"
		"\n"
		"Requests that are under way finish. What is set holds over reloads, until it is taken back.\n"
		"--json   the administration's own answer\n" EXIT_STATUS,
	.run = endpoint_run,
};
