/*
 * `weir upgrade -c FILE`: has the gateway that runs with this configuration hand over to the program that stands at its path by
 * now, and waits until that serves or has failed (POST /v1/upgrade).
 */
#include <stdio.h>

#include "app/admin_client.h"

static enum exit_code show(const struct admin_call *call, const json_t *said, unsigned status)
{
	if (status != 200) {
		command_complain("no upgrade: %s", text_or(said, "message", "the administration's answer says nothing"));
		return EXIT_TROUBLE;
	}
	if (call->as_json)
		answer_print(said);
	else
		printf("upgraded: process %lld serves; requests of the old one end in their own time\n", integer_at(said, "process"));
	return EXIT_FINE;
}

static enum exit_code upgrade_run(int argc, char **argv)
{
	struct admin_call call;
	unsigned status;
	enum exit_code code = admin_call_begin(&call, argc, argv, 0);

	if (code != EXIT_FINE)
		return code;
	json_t *said = admin_call_order(&call, "/v1/upgrade", &status, &code);

	if (said != NULL)
		code = show(&call, said, status);
	json_decref(said);
	admin_call_end(&call);
	return code;
}

const struct command command_upgrade = {
	.name = "upgrade",
	.arguments = ADMIN_CALL_ARGUMENTS " [--json]",
	.summary = "have a new process take the gateway's place",
	.help = "Asks the gateway that runs, at its administration, to start the program that stands at\n"
		"its own path by now, with the same arguments. The new process gets every socket that is listened on, so no\n"
		"client is refused or lost; once it serves, the old one finishes its requests and ends. If it does not start\n"
		"within a minute, the old one goes on, and this says why. SIGUSR2 does the same.\n"
		"\n"
		ADMIN_CALL_HELP
		"--json  the administration's own answer (POST /v1/upgrade)\n"
		"\n"
		"Exit status: 0 the new process serves, 1 it does not, or the gateway did not answer, 2 it was not\n"
		"said where to ask.\n",
	.run = upgrade_run,
};
