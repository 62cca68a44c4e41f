/*
 * `weir reload -c FILE`: has the gateway that runs with this configuration read it again, waits until that is over, and prints the
 * receipt (POST /v1/reload).
 */
#include <stdio.h>
#include <string.h>

#include "app/admin_client.h"

static void print_complaints(const json_t *complaints, const char *path, const char *kind)
{
	const json_t *c;
	size_t i;

	json_array_foreach(complaints, i, c)
		printf("%s:%.0f:%.0f: %s%s: %s\n", path, number_at(c, "line"), number_at(c, "column"), kind, text_at(c, "path"),
			text_at(c, "text"));
}

static void print_receipt(const json_t *receipt, const char *path)
{
	const json_t *took = json_object_get(receipt, "took_ms"), *line;
	const char *outcome = text_or(receipt, "outcome", "reloaded");
	size_t i;

	print_complaints(json_object_get(receipt, "warnings"), path, "warning: ");
	print_complaints(json_object_get(receipt, "complaints"), path, "");
	json_array_foreach(json_object_get(receipt, "changes"), i, line)
		printf("%s\n", text_of(line, "-"));
	if (strcmp(outcome, "refused") == 0 || (strcmp(outcome, "failed") == 0 && number_at(receipt, "refused") == 0))
		printf("%s: the configuration of before stays in force\n", outcome);
	else if (strcmp(outcome, "reloaded") != 0)
		printf("%s: %.0f of %.0f workers go on as before\n", outcome, number_at(receipt, "refused"),
			number_at(receipt, "workers"));
	printf("took: read %.1f ms, check %.1f ms, names %.1f ms, compile %.1f ms, swap %.1f ms\n", number_at(took, "read"),
		number_at(took, "check"), number_at(took, "resolve"), number_at(took, "compile"), number_at(took, "swap"));
	printf("no worker paused for longer than %.2f ms\n", number_at(receipt, "longest_pause_ms"));
}

static enum exit_code code_of(unsigned status)
{
	switch (status) {
	case 200: return EXIT_FINE;
	case 422: return EXIT_WRONG;
	default: return EXIT_TROUBLE;
	}
}

/* Everything else is an error that says why. */
static enum exit_code show(const struct admin_call *call, const json_t *said, unsigned status)
{
	if (json_object_get(said, "outcome") == NULL) {
		command_complain("not reloaded: %s", text_or(said, "message", "the administration's answer is no receipt"));
		return EXIT_TROUBLE;
	}
	if (call->as_json)
		answer_print(said);
	else
		print_receipt(said, call->path != NULL ? call->path : "configuration");
	return code_of(status);
}

static enum exit_code reload_run(int argc, char **argv)
{
	struct admin_call call;
	unsigned status;
	enum exit_code code = admin_call_begin(&call, argc, argv, 0);

	if (code != EXIT_FINE)
		return code;
	json_t *said = admin_call_order(&call, "/v1/reload", &status, &code);

	if (said != NULL)
		code = show(&call, said, status);
	json_decref(said);
	admin_call_end(&call);
	return code;
}

const struct command command_reload = {
	.name = "reload",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "have the gateway read its configuration again",
	.help = "Asks the gateway that runs, at its administration, to read it again, as SIGHUP does,\n"
		"waits until every worker has taken it, and prints the receipt: what has changed, how long each part took, and\n"
		"the longest pause of any worker. A bad file changes nothing. 'weir diff' says before what would change.\n"
		"\n"
		ADMIN_CALL_HELP
		"--json  the receipt as the administration tells it (POST /v1/reload)\n"
		"\n"
		"Exit status: 0 reloaded, 1 the gateway did not answer or could not do it, 2 the configuration is wrong, or it was not\n"
		"said where to ask.\n",
	.run = reload_run,
};
