/*
 * `weir why -c FILE`: why the throughput of the running gateway is not higher. Asks its administration (GET /v1/why), whose address
 * stands in its configuration; why_text.c has what it looks like.
 */
#include <stdio.h>
#include <string.h>

#include "app/admin_client.h"
#include "app/why_text.h"
#include "config/scalar.h"

struct wishes {
	const char *window, *upstream;  /* as the query says them; NULL: not given */
};

/* What the query takes as it stands. */
static bool is_plain(const char *text)
{
	return *text != '\0' && strlen(text) <= 64 && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] == '\0';
}

/* Takes them out of the arguments. */
static enum exit_code wishes_take(struct wishes *wishes, int *argc, char **argv)
{
	uint64_t us;

	if (!command_take_option(argc, argv, "--window", &wishes->window) || !command_take_option(argc, argv, "--upstream", &wishes->upstream))
		return EXIT_WRONG;
	if (wishes->window != NULL && (strlen(wishes->window) > 64 || scalar_parse(UNIT_TIME, view_str(wishes->window), &us) != SCALAR_OK))
		return command_refuse("why", "why: --window takes a time such as 10s, not '%s'", wishes->window);
	if (wishes->upstream != NULL && !is_plain(wishes->upstream))
		return command_refuse("why", "why: --upstream takes the name of an upstream, not '%.64s'", wishes->upstream);
	return EXIT_FINE;
}

static enum exit_code why_run(int argc, char **argv)
{
	struct admin_call call;
	struct wishes wishes = {0};
	char request[256];
	enum exit_code code = wishes_take(&wishes, &argc, argv);

	if (code == EXIT_FINE)
		code = admin_call_begin(&call, argc, argv, 0);
	if (code != EXIT_FINE)
		return code;
	snprintf(request, sizeof(request), "GET /v1/why?window=%s%s%s", wishes.window != NULL ? wishes.window : "10s",
		wishes.upstream != NULL ? "&upstream=" : "", wishes.upstream != NULL ? wishes.upstream : "");
	json_t *answer = admin_call_ask(&call, request, &code);

	if (answer != NULL)
		(call.as_json ? answer_print : why_text_print)(answer);
	json_decref(answer);
	admin_call_end(&call);
	return code;
}

const struct command command_why = {
	.name = "why",
	.arguments = ADMIN_CALL_ARGUMENTS " [--window TIME] [--upstream NAME] [--json]",
	.summary = "say why the throughput is not higher",
	.help = "Asks the gateway that runs, at its administration, what limits it: the bottleneck first, with its arithmetic and\n"
		"the knob to turn (or not to turn), then what else was found, where the time of requests goes, and what was\n"
		"ruled out. docs/why.md says how each verdict is reached.\n"
		"\n"
		ADMIN_CALL_HELP
		"--window TIME    look at the last so many seconds, 1s to 60s; 10s\n"
		"--upstream NAME  look at the endpoints of one upstream only\n"
		"--json           the administration's own answer (GET /v1/why)\n"
		"\n"
		"Exit status: 0 it answered, 1 it did not, 2 it was not said where to ask.\n",
	.run = why_run,
};
