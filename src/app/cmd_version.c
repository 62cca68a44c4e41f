/* `weir version`: what this binary was made from. */
#include <stdio.h>

#include "app/command.h"

static enum exit_code version_run(int argc, char **argv)
{
	printf("weir %s\ncompiler: %s\nlibraries: %s\n", WEIR_VERSION, WEIR_COMPILER, WEIR_LIBRARIES);
	return EXIT_FINE;
}

const struct command command_version = {
	.name = "version",
	.arguments = "",
	.summary = "print the version, the compiler and the libraries",
	.help = "",
	.run = version_run,
};
