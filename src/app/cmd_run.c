/*
 * `weir run -c FILE`: the gateway itself.
 *
 *   load -> journal -> workers, control (all sockets bound) -> "listening" lines -> threads -> "ready" -> orders -> end
 *
 * What fails before "ready" is one line on standard error and undoes what was begun. After it, everything is told through
 * the event log.
 */
#include <stdarg.h>
#include <stdio.h>

#include "app/command.h"
#include "app/process.h"
#include "app/workers.h"
#include "base/clock.h"
#include "control/control.h"

__attribute__((format(printf, 3, 4))) static void tell(struct journal *journal, int level, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	journal_event(journal, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

/* Limits that may not hold on this machine are said, not refused: fewer clients than allowed may well come. */
static void plan_warn(const struct config *config, const struct config_machine *machine, const char *path)
{
	struct config_complaints complaints;
	FILE *nowhere = fopen("/dev/null", "w");

	if (nowhere == NULL)
		return;
	if (!config_plan(config, machine, nowhere, &complaints)) {
		command_complain("%s: the limits do not fit this machine ('weir check %s' shows the arithmetic):", path, path);
		config_complaints_print(&complaints, path, stderr);
	}
	config_complaints_release(&complaints);
	fclose(nowhere);
}

/* What runs. */
struct gateway {
	const struct config *config;
	struct journal *journal;
	struct workers *workers;
	struct control *control;    /* NULL: `admin: off` */
	unsigned count;             /* of workers */
};

static void announce_one(const struct address *address, struct view name)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(address, text);
	command_complain("listening on %s (%.*s)", text, (int)name.n, name.p);
}

static void announce(const struct gateway *gateway)
{
	struct address address;

	for (size_t i = 0; i < gateway->config->listener_count; i++) {
		workers_listener_address(gateway->workers, i, &address);
		announce_one(&address, gateway->config->listeners[i].name);
	}
	if (gateway->control != NULL) {
		control_address(gateway->control, &address);
		announce_one(&address, VIEW("admin"));
	}
}

/* Whoever asks is told that we are leaving before the first connection is closed. */
static void gateway_not_ready(const struct gateway *gateway)
{
	if (gateway->control != NULL)
		control_drain(gateway->control);
}

static void drain(const struct gateway *gateway, const char *signal_name)
{
	tell(gateway->journal, LEVEL_INFO, "%s: draining; requests may finish for %llu ms, once more ends them", signal_name,
		(unsigned long long)(gateway->config->drain_timeout_us / US_PER_MS));
	gateway_not_ready(gateway);
	workers_drain(gateway->workers);
}

static void stop(const struct gateway *gateway, const char *signal_name)
{
	tell(gateway->journal, LEVEL_INFO, "%s: stopping", signal_name);
	gateway_not_ready(gateway);
	workers_stop(gateway->workers);
}

/* Obeys the signals until the last worker has ended. */
static void supervise(const struct gateway *gateway)
{
	bool draining = false;
	const char *signal_name;

	while (workers_running(gateway->workers)) {
		switch (process_wait(&signal_name)) {
		case ORDER_DRAIN:
			if (draining)
				stop(gateway, signal_name);
			else
				drain(gateway, signal_name);
			draining = true;
			break;
		case ORDER_STOP: stop(gateway, signal_name); break;
		case ORDER_REOPEN: journal_reopen(gateway->journal); break;
		case ORDER_RELOAD:
			tell(gateway->journal, LEVEL_WARNING,
				"SIGHUP: this version cannot reload; to read the configuration again, stop and start it");
			break;
		case ORDER_ENDED: break;
		}
	}
	tell(gateway->journal, LEVEL_INFO, "stopped");
}

/* Binds every socket. What was created by the time of a failure is there for gateway_end(). */
static bool gateway_create(struct gateway *gateway, char error[256])
{
	const struct control_options options = {
		.config = gateway->config,
		.journal = gateway->journal,
		.workers = gateway->count,
		.version = WEIR_VERSION,
	};

	gateway->workers = workers_create(gateway->config, gateway->count, gateway->journal, error);
	if (gateway->workers == NULL)
		return false;
	if (gateway->config->admin.enabled)
		gateway->control = control_create(&options, error);
	return gateway->control != NULL || !gateway->config->admin.enabled;
}

static bool gateway_start(struct gateway *gateway, char error[256])
{
	if (gateway->control != NULL)
		workers_attach(gateway->workers, gateway->control);
	return workers_start(gateway->workers, error) &&
	       (gateway->control == NULL || control_start(gateway->control, error));
}

/* The control asks the workers until its own end; so that comes between the end of their threads and of their memory. */
static void gateway_end(struct gateway *gateway)
{
	if (gateway->workers != NULL) {
		workers_stop(gateway->workers);
		workers_join(gateway->workers);
	}
	if (gateway->control != NULL)
		control_free(gateway->control);
	if (gateway->workers != NULL)
		workers_free(gateway->workers);
}

/* From bound sockets to the end. */
static enum exit_code serve(const struct config *config, unsigned count, struct journal *journal)
{
	struct gateway gateway = {.config = config, .journal = journal, .count = count};
	enum exit_code code = EXIT_TROUBLE;
	char error[256];

	if (!gateway_create(&gateway, error))
		goto end;
	announce(&gateway);
	if (!gateway_start(&gateway, error))
		goto end;
	command_complain("ready (%u %s)", count, count == 1 ? "worker" : "workers");
	supervise(&gateway);
	code = EXIT_FINE;
end:
	if (code != EXIT_FINE)
		command_complain("%s", error);
	gateway_end(&gateway);
	return code;
}

static enum exit_code run(const struct config *config, const char *path)
{
	struct config_machine machine;
	char error[256];

	config_machine_read(&machine);
	plan_warn(config, &machine, path);
	const struct journal_options options = {
		.workers = config->workers != 0 ? config->workers : machine.processors,
		.access = config->log.access,
		.format = config->log.access_format,
		.path = config->log.access_path,
		.level = config->log.level,
	};
	struct journal *journal = journal_create(&options, error);

	if (journal == NULL) {
		command_complain("%s", error);
		return EXIT_TROUBLE;
	}
	enum exit_code code = serve(config, options.workers, journal);

	if (!journal_free(journal, JOURNAL_END_US)) {
		command_complain("the log could not be written to its end: nobody reads it");
		code = EXIT_TROUBLE;
	}
	return code;
}

static enum exit_code run_run(int argc, char **argv)
{
	const struct config *config;
	int rest;
	const char *path = command_config_path(argc, argv, &rest);

	if (path == NULL)
		return EXIT_WRONG;
	if (rest != argc)
		return command_refuse("run", "run: '%s' is too much; only '-c FILE' is known", argv[rest]);
	process_prepare();
	enum exit_code code = command_load_config(path, &config);

	if (code != EXIT_FINE)
		return code;
	code = run(config, path);
	config_free(config);
	return code;
}

const struct command command_run = {
	.name = "run",
	.arguments = "-c FILE",
	.summary = "run the gateway",
	.help = "SIGTERM, SIGQUIT  drain: stop accepting, finish what runs, end at the deadline; a second one ends at once\n"
		"SIGINT            stop at once\n"
		"SIGUSR1           open the log files anew, after they were renamed\n"
		"\n"
		"Exit status: 0 stopped as told, 1 the machine does not let it start, 2 the configuration is wrong.\n",
	.run = run_run,
};
