/*
 * What an operator tells a running gateway, and asks it in a line or two: `weir status`, `weir endpoint`, `weir drain`,
 * `weir stuck`, `weir log-level`. Each is one request to the administration.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/admin_client.h"

#define NAME_BYTES 1024

/* --- asking ------------------------------------------------------------------------------------------------------- */

/* Asks, and reads the answer. NULL and *code: there is none, and it was complained of. */
static json_t *ask(const struct config *config, const char *request, struct view content, enum exit_code *code)
{
	struct fetch *f = admin_get(config, request, content, code);
	json_t *json = f != NULL ? json_loadb(f->content.p, f->content.n, 0, NULL) : NULL;

	if (f != NULL && json == NULL) {
		command_complain("the administration's answer is no JSON: is it a gateway of this version?");
		*code = EXIT_TROUBLE;
	}
	free(f);
	return json;
}

static long long number(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static const char *word(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text != NULL ? text : "-";
}

/* The whole answer, for machines. */
static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	putchar('\n');
}

struct asked {
	const struct config *config;
	int count;     /* arguments behind -c FILE, and without --json */
	char **words;
	bool as_json;
};

/* Takes -c FILE and --json off. EXIT_FINE: then config_free(asked->config). */
static enum exit_code begin(int argc, char **argv, struct asked *asked)
{
	int rest;
	const char *path = command_config_path(argc, argv, &rest);

	if (path == NULL)
		return EXIT_WRONG;
	*asked = (struct asked){.count = argc - rest, .words = argv + rest};
	if (asked->count > 0 && strcmp(asked->words[asked->count - 1], "--json") == 0) {
		asked->as_json = true;
		asked->count--;
	}
	return command_load_config(path, &asked->config);
}

/* --- status ------------------------------------------------------------------------------------------------------- */

static void print_status(const json_t *s)
{
	const json_t *requests = json_object_get(s, "requests"), *endpoints = json_object_get(s, "endpoints");
	const json_t *process = json_object_get(s, "process");

	printf("%-14s %s, version %s, since %s (%.0f s)\n", "gateway", word(s, "state"), word(s, "version"), word(s, "started_at"),
		json_number_value(json_object_get(s, "uptime_s")));
	printf("%-14s %s, the %lld. since the start\n", "configuration", word(s, "file"), number(s, "configuration"));
	printf("%-14s %lld, %zu of them do not answer\n", "workers", number(s, "workers"),
		json_array_size(json_object_get(s, "workers_unanswered")));
	printf("%-14s %lld under way, %lld in all, %lld of them failed\n", "requests", number(requests, "in_flight"),
		number(requests, "total"), number(requests, "failed"));
	printf("%-14s %lld from clients\n", "connections", number(json_object_get(s, "connections"), "open"));
	printf("%-14s %lld, %lld out of service, %lld set by the operator\n", "endpoints", number(endpoints, "total"),
		number(endpoints, "out_of_service"), number(endpoints, "set"));
	printf("%-14s %lld of %lld open files, %lld MiB, %.1f s of processor time\n", "process", number(process, "open_files"),
		number(process, "open_files_max"), number(process, "memory_bytes") >> 20,
		json_number_value(json_object_get(process, "processor_s")));
	printf("%-14s %s\n", "log level", word(s, "log_level"));
}

/* --- stuck -------------------------------------------------------------------------------------------------------- */

static void print_stuck(const json_t *all)
{
	const json_t *list = json_object_get(all, "exchanges"), *e;
	size_t i;

	if (json_array_size(list) == 0)
		printf("nothing is stuck: every request has a deadline that is not over\n");
	json_array_foreach(list, i, e)
		printf("%8.1f s  %-12s %s %s\n           %s %s, request %s, worker %lld\n",
			json_number_value(json_object_get(e, "quiet_s")), word(e, "stage"), word(e, "method"), word(e, "path"),
			word(e, "upstream"), word(e, "endpoint"), word(e, "request_id"), number(e, "worker"));
}

/* --- what asks and prints ------------------------------------------------------------------------------------------ */

static enum exit_code show(int argc, char **argv, const char *request, void (*print)(const json_t *json))
{
	struct asked asked;
	enum exit_code code = begin(argc, argv, &asked);

	if (code != EXIT_FINE)
		return code;
	json_t *json = NULL;

	if (asked.count > 0)
		code = command_refuse(argv[0], "%s: '%s' is too much; only '--json' is known", argv[0], asked.words[0]);
	else
		json = ask(asked.config, request, VIEW(""), &code);
	if (json != NULL && asked.as_json)
		print_json(json);
	else if (json != NULL)
		print(json);
	json_decref(json);
	config_free(asked.config);
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

static enum exit_code log_level_run(int argc, char **argv)
{
	struct asked asked;
	enum exit_code code = begin(argc, argv, &asked);
	char content[64];

	if (code != EXIT_FINE)
		return code;
	json_t *json = NULL;

	if (asked.count > 1 || (asked.count == 1 && strlen(asked.words[0]) > 16)) {
		code = command_refuse("log-level", "log-level: one of error, warning, info, debug, or nothing, is what it takes");
	} else if (asked.count == 0) {
		json = ask(asked.config, "GET /v1/log/level", VIEW(""), &code);
	} else {
		/* What is no level, quotes among it, the administration refuses. */
		snprintf(content, sizeof(content), "{\"level\":\"%s\"}", asked.words[0]);
		json = ask(asked.config, "PUT /v1/log/level", view_str(content), &code);
	}
	if (json != NULL)
		printf("%s\n", word(json, "level"));
	json_decref(json);
	config_free(asked.config);
	return code;
}

/* --- endpoint ----------------------------------------------------------------------------------------------------- */

static void print_endpoint(const char *upstream, const json_t *e)
{
	const json_t *set = json_object_get(e, "set"), *out = json_object_get(e, "out"), *reason;
	char why[128] = "";
	size_t i, n = 0;

	json_array_foreach(out, i, reason)
		n += (size_t)snprintf(why + n, sizeof(why) - n, "%s%s", i > 0 ? "," : "", json_string_value(reason));
	if (json_is_true(json_object_get(set, "drain")))
		snprintf(why + n, sizeof(why) - n, "%sdrained", n > 0 ? "," : "");
	printf("%-16s %-24s %6lld %9lld %8lld  %s\n", upstream, word(e, "address"), number(e, "weight"), number(e, "requests"),
		number(e, "waiting"), *why != '\0' ? why : "in service");
}

static void print_endpoints(const json_t *all)
{
	const json_t *upstream, *endpoint;
	size_t i, j;

	printf("%-16s %-24s %6s %9s %8s  %s\n", "UPSTREAM", "ENDPOINT", "WEIGHT", "REQUESTS", "WAITING", "STATE");
	json_array_foreach(json_object_get(all, "upstreams"), i, upstream)
		json_array_foreach(json_object_get(upstream, "endpoints"), j, endpoint)
			print_endpoint(word(upstream, "name"), endpoint);
}

/* What is sent for a word; NULL: it is none. `argument` is that of "weight". */
static const char *wish_of(const char *what, const char *argument, char content[64])
{
	static const char *const wishes[][2] = {{"disable", "{\"enabled\":false}"},
		{"enable", "{\"enabled\":true,\"drain\":false}"}, {"drain", "{\"drain\":true}"}};

	for (size_t i = 0; argument == NULL && i < sizeof(wishes) / sizeof(wishes[0]); i++)
		if (strcmp(wishes[i][0], what) == 0)
			return wishes[i][1];
	if (argument == NULL || strcmp(what, "weight") != 0 || strlen(argument) > 16)
		return NULL;
	snprintf(content, 64, "{\"weight\":%s}", strcmp(argument, "auto") == 0 ? "null" : argument);
	return content;
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

static enum exit_code endpoint_change(const struct asked *asked)
{
	char upstream[NAME_BYTES], endpoint[NAME_BYTES], request[3 * NAME_BYTES], content[64];
	const char *wish = wish_of(asked->words[0], asked->count == 4 ? asked->words[3] : NULL, content);
	enum exit_code code;

	if (wish == NULL || !path_escape(asked->words[1], upstream, sizeof(upstream)) ||
		!path_escape(asked->words[2], endpoint, sizeof(endpoint)))
		return command_refuse("endpoint", "endpoint: '%s' is not understood", asked->words[0]);
	snprintf(request, sizeof(request), "PATCH /v1/upstreams/%s/endpoints/%s", upstream, endpoint);
	json_t *json = ask(asked->config, request, view_str(wish), &code);

	if (json != NULL && asked->as_json)
		print_json(json);
	else if (json != NULL)
		print_endpoint(asked->words[1], json);
	json_decref(json);
	return code;
}

static enum exit_code endpoint_run(int argc, char **argv)
{
	struct asked asked;
	enum exit_code code = begin(argc, argv, &asked);

	if (code != EXIT_FINE)
		return code;
	if (asked.count == 3 || asked.count == 4) {
		code = endpoint_change(&asked);
	} else if (asked.count == 1 && strcmp(asked.words[0], "list") == 0) {
		json_t *json = ask(asked.config, "GET /v1/upstreams", VIEW(""), &code);

		if (json != NULL && asked.as_json)
			print_json(json);
		else if (json != NULL)
			print_endpoints(json);
		json_decref(json);
	} else {
		code = command_refuse("endpoint", "endpoint: say list, or what to do with which UPSTREAM's ADDRESS");
	}
	config_free(asked.config);
	return code;
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

#define EXIT_STATUS \
	"\n" \
	"It asks the administration (`admin`) of the gateway that runs with this configuration.\n" \
	"Exit status: 0 it answered, 1 it did not or refused, 2 the configuration or the usage is wrong.\n"

const struct command command_status = {
	.name = "status",
	.arguments = "-c FILE [--json]",
	.summary = "say how the running gateway is, in a few numbers",
	.help = "--json  the administration's own answer (GET /v1/status)\n" EXIT_STATUS,
	.run = status_run,
};

const struct command command_stuck = {
	.name = "stuck",
	.arguments = "-c FILE [--json]",
	.summary = "say which requests have no deadline, or are beyond it",
	.help = "There are none, unless the gateway has a bug or a worker hangs.\n"
		"\n"
		"--json  the administration's own answer (GET /v1/stuck)\n" EXIT_STATUS,
	.run = stuck_run,
};

const struct command command_drain = {
	.name = "drain",
	.arguments = "-c FILE",
	.summary = "let the running gateway finish what it has, and end",
	.help = "As SIGTERM does. `weir endpoint drain` empties one endpoint.\n" EXIT_STATUS,
	.run = drain_run,
};

const struct command command_log_level = {
	.name = "log-level",
	.arguments = "-c FILE [error|warning|info|debug]",
	.summary = "say, or change, how much the event log tells",
	.help = "The change holds until the next start.\n" EXIT_STATUS,
	.run = log_level_run,
};

const struct command command_endpoint = {
	.name = "endpoint",
	.arguments = "-c FILE list | disable|enable|drain UPSTREAM ADDRESS | weight UPSTREAM ADDRESS N|auto [--json]",
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
