/*
 * `weir leaks -c FILE`: who has had a connection longest, and which requests have been here longest. Asks the administration
 * of the running gateway (GET /v1/leaks), whose address stands in its configuration.
 *
 *       HELD    QUIET  STAGE        REQUEST
 *     12.3 s   12.3 s  waiting      GET /v1/users/7
 *            users 127.0.0.1:9001, route users, client 127.0.0.1
 *            request 5c0f6f0f31b30c8e0000000000000001, worker 0
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/admin_client.h"

enum { COLUMNS = 80 };

/* One line. On a terminal it is cut to the width; who reads it from a pipe or a file looks for what stands at its end. */
__attribute__((format(printf, 1, 2))) static void print_line(const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (strlen(line) > COLUMNS && isatty(STDOUT_FILENO))
		snprintf(line + COLUMNS - 3, 4, "...");
	puts(line);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* "12.3 s", "12m03s", "3h12m"; "-" where there is no such time. */
static const char *span_of(const json_t *entry, const char *key, char text[24])
{
	const json_t *value = json_object_get(entry, key);
	double s = json_number_value(value);
	unsigned long whole = s > 0 && s < 1e9 ? (unsigned long)s : 0;

	if (!json_is_number(value))
		snprintf(text, 24, "-");
	else if (s < 60)
		snprintf(text, 24, "%.1f s", s);
	else if (s < 3600)
		snprintf(text, 24, "%lum%02lus", whole / 60, whole % 60);
	else
		snprintf(text, 24, "%luh%02lum", whole / 3600, whole / 60 % 60);
	return text;
}

static void print_entry(const json_t *entry, const char *time_key)
{
	char time[24], quiet[24];

	span_of(entry, time_key, time);
	span_of(entry, "quiet_s", quiet);
	print_line("%10s %8s  %-12s %s %s", time, quiet, word_at(entry, "stage"), word_at(entry, "method"), word_at(entry, "path"));
	print_line("%10s %s %s, route %s, client %s", "", word_at(entry, "upstream"), word_at(entry, "endpoint"),
		word_at(entry, "route"), word_at(entry, "client"));
	print_line("%10s request %s, worker %lld", "", word_at(entry, "request_id"), integer_at(entry, "worker"));
}

static void print_list(const json_t *list, const char *title, const char *time_head, const char *time_key)
{
	const json_t *entry;
	size_t i;

	printf("%s\n", title);
	if (json_array_size(list) == 0) {
		printf("  none\n");
		return;
	}
	print_line("%10s %8s  %-12s %s", time_head, "QUIET", "STAGE", "REQUEST");
	json_array_foreach(list, i, entry)
		print_entry(entry, time_key);
}

static void print_unanswered(const json_t *workers)
{
	const json_t *worker;
	size_t i;

	json_array_foreach(workers, i, worker)
		command_complain("worker %lld did not answer in time; it is not among these",
			(long long)json_integer_value(worker));
}

/* --- the command -------------------------------------------------------------------------------------------------- */

static void print_all(const json_t *all)
{
	print_list(json_object_get(all, "leases"), "leased connections, held longest first", "HELD", "held_s");
	putchar('\n');
	print_list(json_object_get(all, "exchanges"), "requests, oldest first", "AGE", "age_s");
	fflush(stdout);
	print_unanswered(json_object_get(all, "workers_unanswered"));
}

static enum exit_code leaks_run(int argc, char **argv)
{
	struct admin_call call;
	enum exit_code code = admin_call_begin(&call, argc, argv, 0);

	if (code != EXIT_FINE)
		return code;
	json_t *all = admin_call_ask(&call, "GET /v1/leaks", &code);

	if (all != NULL)
		(call.as_json ? answer_print : print_all)(all);
	json_decref(all);
	admin_call_end(&call);
	return code;
}

const struct command command_leaks = {
	.name = "leaks",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "say who has had a connection longest",
	.help = "Asks the gateway that runs, at its administration, for the leased connections that\n"
		"are held longest and the requests that are oldest, at most 20 each, over all workers: for how long, since\n"
		"when nothing has moved (QUIET), what they wait for (STAGE), and whose they are.\n"
		"\n"
		ADMIN_CALL_HELP
		"--json  the administration's own answer (GET /v1/leaks)\n"
		"\n"
		"Exit status: 0 it answered, 1 it did not, 2 it was not said where to ask.\n",
	.run = leaks_run,
};
