/* `weir check FILE`: everything that `weir run` would refuse, and whether the limits fit this machine. Starts nothing. */
#include <stdio.h>

#include "app/command.h"

/* The plan's arithmetic on standard output, what cannot work on standard error. */
static enum exit_code plan_check(const struct config *config, const char *path)
{
	struct config_machine machine;
	struct config_complaints complaints;
	bool works;

	config_machine_read(&machine);
	works = config_plan(config, &machine, stdout, &complaints);
	if (works)
		printf("%s: ok\n", path);
	fflush(stdout);
	config_complaints_print(&complaints, path, stderr);
	config_complaints_release(&complaints);
	return works ? EXIT_FINE : EXIT_WRONG;
}

static enum exit_code check_run(int argc, char **argv)
{
	const struct config *config;

	if (argc != 2)
		return command_refuse("check", "check: exactly one FILE is needed");
	enum exit_code code = command_load_config(argv[1], &config);

	if (code != EXIT_FINE)
		return code;
	code = plan_check(config, argv[1]);
	config_free(config);
	return code;
}

const struct command command_check = {
	.name = "check",
	.arguments = "FILE",
	.summary = "check a configuration and print the limits plan",
	.help = "All complaints are printed at once, each with file:line:column. Then, when there are none, the arithmetic of\n"
		"open files, ports and backlog on this machine. Exit status: 0 ok, 1 the file cannot be read, 2 complaints.\n",
	.run = check_run,
};
