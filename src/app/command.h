/*
 * The command line: one command is one file cmd_*.c and one line in the table of main.c.
 *
 * Answers go to standard output, complaints to standard error, each with what to do about it.
 *
 * Options may stand before, between and behind a command's words. Each is taken out of the arguments (command_take_*), which move up: the
 * words are what is left.
 */
#ifndef WEIR_APP_COMMAND_H
#define WEIR_APP_COMMAND_H

#include "config/config.h"

/* How the program ends; docs/operations.md tells it to the operator. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_TROUBLE = 1,   /* the machine or the network does not let us: a port in use, a missing file */
	EXIT_WRONG = 2,     /* bad configuration or usage; nothing was started */
};

struct command {
	const char *name;
	const char *arguments;      /* "-c FILE", for the usage line */
	const char *summary;        /* one line */
	const char *help;           /* more, for `weir help NAME`; each line ends in a newline */
	/* argv[0] is the command's name. */
	enum exit_code (*run)(int argc, char **argv);
};

extern const struct command command_check, command_demo, command_diff, command_drain, command_endpoint, command_explain,
	command_leaks, command_log_level, command_origin, command_reload, command_run, command_status, command_stuck,
	command_top, command_upgrade, command_version, command_why;

/* "weir: TEXT" on standard error. */
__attribute__((format(printf, 1, 2))) void command_complain(const char *format, ...);

/* Complains of the usage and says where the help is. Returns EXIT_WRONG. */
__attribute__((format(printf, 2, 3))) enum exit_code command_refuse(const char *command, const char *format, ...);

/* `NAME VALUE`, or `--NAME=VALUE`; *value stays as it is, NULL, where it is not there. False: said wrongly, which was complained of. */
bool command_take_option(int *argc, char **argv, const char *name, const char **value);

/* `NAME` by itself, as often as it is there. Whether it is. */
bool command_take_flag(int *argc, char **argv, const char *name);

/* `-c FILE`, or `--config FILE`; otherwise as command_take_option(). */
bool command_take_config(int *argc, char **argv, const char **path);

/* The same for who cannot do without: NULL when it is not there either, which has been complained of. */
const char *command_need_config(int *argc, char **argv);

/* Loads the file, or prints every complaint. EXIT_FINE and *config set, or what the program is to end with. */
enum exit_code command_load_config(const char *path, const struct config **config);

#endif
