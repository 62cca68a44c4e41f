/* What the commands have in common: complaining, and getting at the configuration. */
#include "app/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "net/tls.h"

static void print_complaint(const char *format, va_list arguments)
{
	fputs("weir: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void command_complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_complaint(format, arguments);
	va_end(arguments);
}

enum exit_code command_refuse(const char *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_complaint(format, arguments);
	va_end(arguments);
	fprintf(stderr, "Try 'weir help %s'.\n", command);
	return EXIT_WRONG;
}

const char *command_config_path(int argc, char **argv, int *rest)
{
	if (argc >= 2 && strncmp(argv[1], "--config=", 9) == 0) {
		*rest = 2;
		return argv[1] + 9;
	}
	if (argc >= 2 && strcmp(argv[1], "-c") != 0 && strcmp(argv[1], "--config") != 0) {
		command_refuse(argv[0], "%s: '%s' was found where '-c FILE' is needed", argv[0], argv[1]);
		return NULL;
	}
	if (argc < 3) {
		command_refuse(argv[0], "%s: the configuration is missing; say which with '-c FILE'", argv[0]);
		return NULL;
	}
	*rest = 3;
	return argv[2];
}

/* What the files of TLS hold. Warnings are told at once. */
static bool certificates_check(const char *path, const struct config *config, struct config_complaints *complaints)
{
	struct config_complaints warnings = {0};
	bool good = tls_check(config, complaints, &warnings);

	if (warnings.count > 0)
		command_complain("%s: warning:", path);
	config_complaints_print(&warnings, path, stderr);
	config_complaints_release(&warnings);
	return good;
}

enum exit_code command_load_config(const char *path, const struct config **config)
{
	struct config_complaints complaints;
	enum config_status status = config_load(path, config, &complaints);

	if (status == CONFIG_OK && !certificates_check(path, *config, &complaints)) {
		config_free(*config);
		*config = NULL;
		status = CONFIG_BAD;
	}
	config_complaints_print(&complaints, path, stderr);
	if (status == CONFIG_BAD)
		command_complain("%s: %zu %s; nothing was started", path, complaints.count + complaints.more,
			complaints.count + complaints.more == 1 ? "complaint" : "complaints");
	config_complaints_release(&complaints);
	if (status == CONFIG_OK)
		return EXIT_FINE;
	return status == CONFIG_UNREADABLE ? EXIT_TROUBLE : EXIT_WRONG;
}
