/*
 * `weir upgrade -c FILE`: has the gateway that runs with this configuration hand over to the program that stands at its path by
 * now, and waits until that serves or has failed (POST /v1/upgrade).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/admin_client.h"
#include "app/command.h"

static enum exit_code show(const struct fetch *f)
{
	json_t *said = json_loadb(f->content.p, f->content.n, 0, NULL);
	const char *message = json_string_value(json_object_get(said, "message"));
	enum exit_code code = f->head.status == 200 ? EXIT_FINE : EXIT_TROUBLE;

	if (code == EXIT_FINE)
		printf("upgraded: process %lld serves; requests of the old one end in their own time\n",
			(long long)json_integer_value(json_object_get(said, "process")));
	else
		command_complain("no upgrade: %s", message != NULL ? message : "the administration's answer says nothing");
	json_decref(said);
	return code;
}

static enum exit_code upgrade_run(int argc, char **argv)
{
	const struct config *config;
	int rest;
	const char *path = command_config_path(argc, argv, &rest);

	if (path == NULL)
		return EXIT_WRONG;
	if (rest != argc)
		return command_refuse("upgrade", "upgrade: '%s' is too much; only '-c FILE' is known", argv[rest]);
	enum exit_code code = command_load_config(path, &config);

	if (code != EXIT_FINE)
		return code;
	struct fetch *f = admin_wait(config, "POST /v1/upgrade", &code);

	if (f != NULL)
		code = show(f);
	free(f);
	config_free(config);
	return code;
}

const struct command command_upgrade = {
	.name = "upgrade",
	.arguments = "-c FILE",
	.summary = "have a new process take the gateway's place",
	.help = "Asks the gateway that runs with this configuration, at its `admin` address, to start the program that stands at\n"
		"its own path by now, with the same arguments. The new process gets every socket that is listened on, so no\n"
		"client is refused or lost; once it serves, the old one finishes its requests and ends. If it does not start\n"
		"within a minute, the old one goes on, and this says why. SIGUSR2 does the same.\n"
		"\n"
		"Exit status: 0 the new process serves, 1 it does not, or the gateway did not answer, 2 the configuration is wrong.\n",
	.run = upgrade_run,
};
