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

/* --- options -------------------------------------------------------------------------------------------------------- */

/* Takes `count` of them out, from the i-th on. */
static void arguments_cut(int *argc, char **argv, int i, int count)
{
	*argc -= count;
	memmove(&argv[i], &argv[i + count], (size_t)(*argc - i) * sizeof(*argv));
}

/* Whether the option stands at the i-th. *value: what is said behind it, or with '='; NULL: nothing. */
static bool option_at(int argc, char **argv, int i, const char *name, const char **value)
{
	size_t n = strlen(name);
	bool is_long = name[1] == '-';

	*value = NULL;
	if (is_long && strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
		*value = argv[i] + n + 1;
	else if (strcmp(argv[i], name) != 0)
		return false;
	else if (i + 1 < argc)
		*value = argv[i + 1];
	return true;
}

bool command_take_option(int *argc, char **argv, const char *name, const char **value)
{
	const char *found;

	for (int i = 1; i < *argc;) {
		if (!option_at(*argc, argv, i, name, &found)) {
			i++;
			continue;
		}
		if (found == NULL || *value != NULL) {
			command_refuse(argv[0], "%s: %s %s", argv[0], name, found == NULL ? "needs a value" : "is said twice");
			return false;
		}
		*value = found;
		arguments_cut(argc, argv, i, strcmp(argv[i], name) == 0 ? 2 : 1);
	}
	return true;
}

bool command_take_flag(int *argc, char **argv, const char *name)
{
	bool taken = false;

	for (int i = *argc - 1; i > 0; i--)
		if (strcmp(argv[i], name) == 0) {
			arguments_cut(argc, argv, i, 1);
			taken = true;
		}
	return taken;
}

bool command_take_config(int *argc, char **argv, const char **path)
{
	return command_take_option(argc, argv, "-c", path) && command_take_option(argc, argv, "--config", path);
}

const char *command_need_config(int *argc, char **argv)
{
	const char *path = NULL;

	if (!command_take_config(argc, argv, &path))
		return NULL;
	if (path == NULL)
		command_refuse(argv[0], "%s: the configuration is missing; say which with '-c FILE'", argv[0]);
	return path;
}

/* --- the configuration ---------------------------------------------------------------------------------------------- */

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
