/* The program's door: the table of commands, and the help made from it. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "app/command.h"

static enum exit_code help_run(int argc, char **argv);

static const struct command command_help = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "say how the commands are used",
	.help = "",
	.run = help_run,
};

static const struct command *const commands[] = {
	&command_run,
	&command_check,
	&command_diff,
	&command_reload,
	&command_explain,
	&command_leaks,
	&command_why,
	&command_upgrade,
	&command_stuck,
	&command_status,
	&command_top,
	&command_endpoint,
	&command_drain,
	&command_log_level,
	&command_demo,
	&command_origin,
	&command_version,
	&command_help,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static void usage_print(FILE *to)
{
	fputs("Weir, an asynchronous API gateway.\n\nusage: weir COMMAND [ARGUMENTS]\n\n", to);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'weir help COMMAND' says more.\n", to);
}

static enum exit_code command_unknown(const char *name)
{
	command_complain("there is no command '%s'", name);
	fputs("Try 'weir help'.\n", stderr);
	return EXIT_WRONG;
}

static enum exit_code command_explain_itself(const struct command *command)
{
	printf("usage: weir %s %s\n\n%s.\n", command->name, command->arguments, command->summary);
	if (*command->help != '\0')
		printf("\n%s", command->help);
	return EXIT_FINE;
}

static enum exit_code help_run(int argc, char **argv)
{
	if (argc < 2) {
		usage_print(stdout);
		return EXIT_FINE;
	}
	const struct command *command = command_find(argv[1]);

	return command != NULL ? command_explain_itself(command) : command_unknown(argv[1]);
}

static bool is_help_option(const char *argument)
{
	return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* What libraries read from files when they are first asked, which else is in the midst of serving. */
static void read_ahead(void)
{
	tzset();             /* for gmtime_r() */
	json_object_seed(0); /* of tables in which objects keep their keys: from /dev/urandom */
}

static enum exit_code run(int argc, char **argv)
{
	if (argc < 2) {
		usage_print(stderr);
		return EXIT_WRONG;
	}
	if (is_help_option(argv[1])) {
		usage_print(stdout);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "--version") == 0)
		return command_version.run(1, argv);
	const struct command *command = command_find(argv[1]);

	if (command == NULL)
		return command_unknown(argv[1]);
	if (argc > 2 && is_help_option(argv[argc - 1]))
		return command_explain_itself(command);
	return command->run(argc - 1, argv + 1);
}

/* What was said has to have got there: a full disk may refuse the last of it only now. */
static enum exit_code ended(enum exit_code code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	command_complain("standard output could not be written");
	return code == EXIT_FINE ? EXIT_TROUBLE : code;
}

int main(int argc, char **argv)
{
	static char line[4096];

	/* What is said here goes out in whole lines: the logs' thread writes there as well. */
	setvbuf(stderr, line, _IOLBF, sizeof(line));
	read_ahead();
	return (int)ended(run(argc, argv));
}
