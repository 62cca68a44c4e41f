/*
 * `weir run -c FILE`: the gateway itself.
 *
 *   load -> journal -> gateway.h -> end
 *
 * What fails before it is ready is one line on standard error and undoes what was begun. After it, everything is told through
 * the event log.
 */
#include "app/command.h"
#include "app/fits.h"
#include "app/gateway.h"
#include "app/opening.h"
#include "app/process.h"

/* Owns `config`. */
static enum exit_code run(const struct config *config, const char *path)
{
	struct config_machine machine;
	struct gateway gateway;
	char error[256];

	config_machine_read(&machine);
	struct journal_options options = opening_journal(config, config->workers != 0 ? config->workers : machine.processors);
	struct journal *journal = journal_create(&options, error);

	if (journal == NULL) {
		command_complain("%s", error);
		config_free(config);
		return EXIT_TROUBLE;
	}
	gateway_init(&gateway, config, path, options.workers, journal);
	enum exit_code code = gateway_serve(&gateway, error) ? EXIT_FINE : EXIT_TROUBLE;

	if (code != EXIT_FINE)
		command_complain("%s", error);
	bool is_over = gateway_end(&gateway);

	if (!journal_free(journal, JOURNAL_END_US)) {
		command_complain("the log could not be written to its end: nobody reads it");
		code = EXIT_TROUBLE;
	}
	if (!is_over)
		process_leave((int)code);
	return code;
}

static bool idle_fits(const struct config *config, const char *path)
{
	struct config_complaints complaints;
	bool fits = fits_idle(config, &complaints);

	config_complaints_print(&complaints, path, stderr);
	config_complaints_release(&complaints);
	if (!fits)
		command_complain("%s: nothing was started", path);
	return fits;
}

static enum exit_code run_run(int argc, char **argv)
{
	const struct config *config;
	const char *path = command_need_config(&argc, argv);

	if (path == NULL)
		return EXIT_WRONG;
	if (argc != 1)
		return command_refuse("run", "run: '%s' is too much; only '-c FILE' is known", argv[1]);
	process_prepare();
	enum exit_code code = command_load_config(path, &config);

	if (code != EXIT_FINE)
		return code;
	if (idle_fits(config, path))
		return run(config, path);
	config_free(config);
	return EXIT_WRONG;
}

const struct command command_run = {
	.name = "run",
	.arguments = "-c FILE",
	.summary = "run the gateway",
	.help = "SIGTERM, SIGQUIT  drain: stop accepting, finish what runs, end at the deadline; a second one ends at once\n"
		"SIGINT            stop at once\n"
		"SIGHUP            read the configuration again; a bad one changes nothing\n"
		"SIGUSR1           open the log files anew, after they were renamed\n"
		"SIGUSR2           upgrade: start the program that stands at this one's path by now, hand over, drain\n"
		"\n"
		"Exit status: 0 stopped as told, 1 the machine does not let it start, 2 the configuration is wrong.\n",
	.run = run_run,
};
