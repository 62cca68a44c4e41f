/*
 * `weir run -c FILE`: the gateway itself.
 *
 *   load -> journal -> workers, control (all sockets bound) -> "listening" lines -> threads -> "ready" -> orders -> end
 *
 * A reload is begun by SIGHUP, or by the administration, and told when every worker has taken it (reloading.c).
 *
 *   as loaded --names_expand--> with addresses --workers_create, workers_reload--> in force
 *
 * What fails before "ready" is one line on standard error and undoes what was begun. After it, everything is told through
 * the event log.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/command.h"
#include "app/fits.h"
#include "app/notify.h"
#include "app/opening.h"
#include "app/process.h"
#include "app/reloading.h"
#include "app/settings.h"
#include "app/upgrade.h"
#include "app/workers.h"
#include "base/clock.h"
#include "control/control.h"
#include "control/order.h"
#include "net/tls.h"

enum { TELL_BYTES = 256 };

/* `by`: who has the gateway do what is told, which is told whatever the level; NULL: nobody has. */
__attribute__((format(printf, 4, 5))) static void tell(struct journal *journal, int level, const char *by, const char *format, ...)
{
	char text[TELL_BYTES];
	va_list arguments;
	int n = by != NULL ? snprintf(text, sizeof(text), "%.*s: ", TELL_BYTES / 2, by) : 0;

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, arguments);
	va_end(arguments);
	(by != NULL ? journal_audit : journal_event)(journal, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

/* What is told of the configuration before it is in force. */
static void on_print(void *context, int level, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

/* What runs. */
struct gateway {
	const char *path;           /* of the configuration */
	struct journal *journal;
	struct workers *workers;
	struct control *control;    /* NULL: it could not be created */
	struct reloading reloading;
	unsigned count;             /* of workers */
	struct inherited inherited; /* sockets that we were started with, until everything is bound */
	struct upgrade_legacy legacy;  /* of the process before this one, which waits to be told that we serve */
	struct upgrade upgrade;     /* to a process that takes our place */
	const char *upgrade_by;     /* who wants one as soon as no reload is under way; NULL: nobody */
	struct control_order *upgrade_order;   /* who asked for it and waits; NULL: nobody */
	uint64_t rotate_us;         /* when the keys of session tickets are next made anew */
	bool draining;
};

static void announce_one(const struct address *address, struct view name)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(address, text);
	command_complain("listening on %s (%.*s)", text, (int)name.n, name.p);
}

static void announce(const struct gateway *gateway)
{
	const struct config *config = workers_config(gateway->workers);
	struct address address;

	for (size_t i = 0; i < config->listener_count; i++) {
		workers_listener_address(gateway->workers, i, &address);
		announce_one(&address, config->listeners[i].name);
	}
	for (unsigned i = 0; control_address(gateway->control, i, &address); i++)
		announce_one(&address, VIEW("admin"));
}

/* --- upgrading ------------------------------------------------------------------------------------------------------- */

/* It comes to nothing. */
static void upgrade_refuse(struct gateway *gateway, int level, const char *by, const char *why)
{
	tell(gateway->journal, level, by, "no upgrade: %s", why);
	if (gateway->upgrade_order != NULL)
		order_refuse(gateway->upgrade_order, 409, "not_upgraded", why);
	gateway->upgrade_order = NULL;
	control_resume_settings(gateway->control);
	reloading_resume(&gateway->reloading);
}

static struct settings_of settings_of(const struct gateway *gateway)
{
	return (struct settings_of){workers_config(gateway->workers), workers_budgets(gateway->workers)};
}

/*
 * The new process gets the keys of session tickets, so that it knows clients who come back, and what the operator has set. From here on
 * nothing is set: it would be told to nobody.
 */
static bool upgrade_start(struct gateway *gateway, char why[256])
{
	struct upgrade_secrets secrets = {.form = UPGRADE_FORM, .rotate_us = gateway->rotate_us};
	const struct settings_of of = settings_of(gateway);
	char *settings;

	control_hold_settings(gateway->control);
	if (!settings_write(&of, journal_level(gateway->journal), &settings)) {
		snprintf(why, 256, "what is set of endpoints cannot be handed over: out of memory, or more than %d bytes", SETTINGS_BYTES_MAX);
		return false;
	}
	secrets.has_tickets = workers_write_tickets(gateway->workers, &secrets.tickets);
	bool begun = upgrade_begin(&gateway->upgrade, &secrets, view_str(settings != NULL ? settings : ""), why);

	tls_ticket_keys_wipe(&secrets.tickets);
	free(settings);
	return begun;
}

/* One that is wanted begins between two reloads: what the new process is given is what the file says that it reads. */
static void upgrade_if_wanted(struct gateway *gateway)
{
	const char *by = gateway->upgrade_by;
	char why[256];

	if (by == NULL || !reloading_is_idle(&gateway->reloading))
		return;
	gateway->upgrade_by = NULL;
	if (upgrade_start(gateway, why))
		tell(gateway->journal, LEVEL_INFO, by, "upgrading: process %d is starting", (int)gateway->upgrade.child);
	else
		upgrade_refuse(gateway, LEVEL_ERROR, by, why);
}

static void upgrade(struct gateway *gateway, const char *by)
{
	if (gateway->draining) {
		upgrade_refuse(gateway, LEVEL_WARNING, by, "the gateway is on its way out");
		return;
	}
	reloading_hold(&gateway->reloading);
	gateway->upgrade_by = by;
	if (!reloading_is_idle(&gateway->reloading))
		tell(gateway->journal, LEVEL_INFO, by, "a reload is under way; the upgrade begins after it");
	upgrade_if_wanted(gateway);
}

static bool is_upgrading(const struct gateway *gateway)
{
	return gateway->upgrade_by != NULL || upgrade_is_under_way(&gateway->upgrade);
}

static void upgrade_by_order(struct gateway *gateway, struct control_order *order)
{
	if (is_upgrading(gateway)) {
		order_refuse(order, 409, "not_upgraded", "an upgrade is under way");
		return;
	}
	gateway->upgrade_order = order;
	upgrade(gateway, order->by);
}

static void upgrade_by_signal(struct gateway *gateway, const char *signal_name)
{
	if (is_upgrading(gateway))
		tell(gateway->journal, LEVEL_INFO, signal_name, "an upgrade is under way");
	else
		upgrade(gateway, signal_name);
}

static void upgrade_give_up(struct gateway *gateway)
{
	upgrade_abandon(&gateway->upgrade);
	control_resume_settings(gateway->control);
	gateway->upgrade_by = NULL;
	if (gateway->upgrade_order != NULL)
		upgrade_refuse(gateway, LEVEL_WARNING, gateway->upgrade_order->by, "the gateway is on its way out");
}

/* Who has been kept connected without a request may have sent one by now. */
#define HANDED_IDLE_US (5 * US_PER_S)

static void hand_over(struct gateway *gateway)
{
	tell(gateway->journal, LEVEL_INFO, NULL, "upgraded: process %d serves; requests of this one may finish for %llu ms",
		(int)gateway->upgrade.child,
		(unsigned long long)(workers_config(gateway->workers)->drain_timeout_us / US_PER_MS));
	notify("MAINPID=%d", (int)gateway->upgrade.child);
	if (gateway->upgrade_order != NULL)
		order_answer(gateway->upgrade_order, 200,
			json_pack("{s:s, s:i}", "outcome", "upgraded", "process", (int)gateway->upgrade.child));
	gateway->upgrade_order = NULL;
	gateway->draining = true;
	reloading_close(&gateway->reloading);
	control_hand_over(gateway->control);
	workers_drain(gateway->workers, HANDED_IDLE_US);
	/* It may have read the file before that was changed. */
	if (gateway->reloading.missed)
		kill(gateway->upgrade.child, SIGHUP);
}

static void upgrade_advance(struct gateway *gateway)
{
	char why[256];

	switch (upgrade_look(&gateway->upgrade, why)) {
	case UPGRADE_NONE:
	case UPGRADE_STARTING: return;
	case UPGRADE_READY: hand_over(gateway); return;
	case UPGRADE_FAILED:
		upgrade_refuse(gateway, LEVEL_ERROR, "upgrade", why);
		return;
	}
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

/* Whoever asks is told that we are leaving before the first connection is closed. After a hand-over the service stays. */
static void gateway_not_ready(struct gateway *gateway)
{
	reloading_close(&gateway->reloading);
	upgrade_give_up(gateway);
	if (!gateway->draining)
		notify("STOPPING=1");
	gateway->draining = true;
	control_drain(gateway->control);
}

static void stop(struct gateway *gateway, const char *signal_name)
{
	tell(gateway->journal, LEVEL_INFO, signal_name, "stopping");
	gateway_not_ready(gateway);
	workers_stop(gateway->workers);
}

/* A second time it is a stop. */
static void drain(struct gateway *gateway, const char *signal_name)
{
	if (gateway->draining) {
		stop(gateway, signal_name);
		return;
	}
	tell(gateway->journal, LEVEL_INFO, signal_name, "draining; requests may finish for %llu ms, once more ends them",
		(unsigned long long)(workers_config(gateway->workers)->drain_timeout_us / US_PER_MS));
	gateway_not_ready(gateway);
	workers_drain(gateway->workers, 0);
}

/* --- reloading ------------------------------------------------------------------------------------------------------- */

static void on_tell(void *context, int level, const char *text)
{
	journal_event(context, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

static void reload(struct gateway *gateway)
{
	if (gateway->draining)
		tell(gateway->journal, LEVEL_WARNING, "SIGHUP", "not reloaded: the gateway is on its way out");
	else
		reloading_ask(&gateway->reloading, "signal", NULL);
}

static void order_reload(struct gateway *gateway, struct control_order *order)
{
	if (gateway->draining) {
		order_refuse(order, 503, "draining", "the gateway is on its way out");
	} else {
		tell(gateway->journal, LEVEL_INFO, order->by, "the configuration is to be read again");
		reloading_ask(&gateway->reloading, "admin", order);
	}
}

/* --- what the administration asks for --------------------------------------------------------------------------------- */

static void order_log_level(struct gateway *gateway, struct control_order *order)
{
	enum config_log_level before = journal_level(gateway->journal), level;

	if (!config_log_level_of(view_str(order->argument), &level)) {
		order_refuse(order, 400, "bad_request", "there is no such level");
		return;
	}
	if (upgrade_has_successor(&gateway->upgrade)) {
		order_refuse(order, 409, "not_set", CONTROL_SETTINGS_HELD);
		return;
	}
	tell(gateway->journal, LEVEL_INFO, order->by, "log level %s -> %s, until the next start, or a reload with another",
		config_log_level_word(before), config_log_level_word(level));
	journal_set_level(gateway->journal, level);
	order_answer(order, 200, json_pack("{s:s}", "level", config_log_level_word(level)));
}

static void order_obey(struct gateway *gateway, struct control_order *order)
{
	switch (order->what) {
	case ORDERED_RELOAD: order_reload(gateway, order); return;
	case ORDERED_LOG_LEVEL: order_log_level(gateway, order); return;
	case ORDERED_REOPEN:
		tell(gateway->journal, LEVEL_INFO, order->by, "the log files are opened anew");
		journal_reopen(gateway->journal);
		order_done(order, 202, "{\"outcome\":\"reopening\"}");
		return;
	case ORDERED_DRAIN:
		if (!gateway->draining)
			drain(gateway, order->by);
		order_done(order, 202, "{\"outcome\":\"draining\"}");
		return;
	case ORDERED_UPGRADE: upgrade_by_order(gateway, order); return;
	}
}

static void orders_look(struct gateway *gateway)
{
	struct control_order *order;

	while ((order = control_next_order(gateway->control)) != NULL)
		order_obey(gateway, order);
}

/* What the main thread does by the clock. How long until there is something to do. */
static uint64_t by_the_clock(struct gateway *gateway)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	/* The keys are the loading thread's, whose end is told. */
	if (reloading_is_loading(&gateway->reloading))
		return US_PER_S;
	/* Keys that were handed over are not made anew here: the new process would not know them. */
	if (gateway->draining || upgrade_is_under_way(&gateway->upgrade)) {
		uint64_t until_us = upgrade_deadline(&gateway->upgrade), longest_us = 60 * US_PER_S;

		return until_us <= now_us ? 0 : until_us - now_us < longest_us ? until_us - now_us : longest_us;
	}
	if (now_us >= gateway->rotate_us) {
		if (gateway->rotate_us != 0)
			workers_rotate_tickets(gateway->workers);
		gateway->rotate_us = now_us + TLS_TICKETS_ROTATE_US;
	}
	return gateway->rotate_us - now_us;
}

/* Obeys the signals until the last worker has ended. */
static void supervise(struct gateway *gateway)
{
	const char *signal_name;

	while (workers_running(gateway->workers)) {
		switch (process_wait_for(&signal_name, by_the_clock(gateway))) {
		case ORDER_DRAIN: drain(gateway, signal_name); break;
		case ORDER_STOP: stop(gateway, signal_name); break;
		case ORDER_REOPEN: journal_reopen(gateway->journal); break;
		case ORDER_RELOAD: reload(gateway); break;
		case ORDER_UPGRADE: upgrade_by_signal(gateway, signal_name); break;
		case ORDER_LOOK:
			reloading_look(&gateway->reloading);
			upgrade_if_wanted(gateway);
			workers_sweep(gateway->workers);
			orders_look(gateway);
			upgrade_advance(gateway);
			break;
		}
	}
	tell(gateway->journal, LEVEL_INFO, NULL, "stopped");
}

/* Binds every socket. What was created by the time of a failure is there for gateway_end(). Owns `config`. */
static bool gateway_create(struct gateway *gateway, const struct config *config, char error[256])
{
	gateway->workers = workers_create(config, gateway->count, gateway->journal, &gateway->inherited, error);
	if (gateway->workers == NULL)
		return false;
	const struct control_options options = {
		.config = config,
		.journal = gateway->journal,
		.workers = gateway->count,
		.version = WEIR_VERSION,
		.on_order = process_tell,
		.inherited = &gateway->inherited,
	};

	gateway->control = control_create(&options, error);
	return gateway->control != NULL;
}

static bool gateway_start(struct gateway *gateway, char error[256])
{
	workers_attach(gateway->workers, gateway->control);
	return workers_start(gateway->workers, error) && control_start(gateway->control, error);
}

/*
 * The control asks the workers until its own end; so that comes between the end of their threads and of their memory. False: a thread goes
 * on that has to do with what is left of it.
 */
static bool gateway_end(struct gateway *gateway)
{
	if (gateway->workers != NULL) {
		workers_stop(gateway->workers);
		workers_join(gateway->workers);
	}
	bool is_over = reloading_release(&gateway->reloading);

	if (gateway->control != NULL)
		control_free(gateway->control);
	if (gateway->workers != NULL && is_over)
		workers_free(gateway->workers);
	inherited_release(&gateway->inherited);
	return is_over;
}

/* What the file says, with the addresses that are known by now. NULL with error. */
static const struct config *gateway_resolve(struct gateway *gateway, char error[256])
{
	const struct reload_teller printed = {on_print, NULL};
	const struct config *expanded;

	if (!names_follow(&gateway->reloading.names, gateway->reloading.loaded, error))
		return NULL;
	expanded = names_expand(&gateway->reloading.names, gateway->reloading.loaded);
	if (expanded == NULL) {
		snprintf(error, 256, "out of memory");
		return NULL;
	}
	fits_warn(&printed, expanded, gateway->path);
	fits_tell_left_out(&gateway->reloading.names.to, expanded);
	return expanded;
}

/* Nobody would ever accept who connects to them. */
static void close_untaken(struct gateway *gateway)
{
	size_t count = inherited_release(&gateway->inherited);

	if (count > 0)
		tell(gateway->journal, LEVEL_WARNING, NULL,
			"%zu listening socket%s that this process was started with %s closed: no listener has such an address, or there "
			"are fewer workers now",
			count, count == 1 ? "" : "s", count == 1 ? "was" : "were");
}

/* What the operator has set for the process before holds for this one. */
static void adopt_settings(struct gateway *gateway, const char *text)
{
	enum config_log_level before = journal_level(gateway->journal);
	const struct settings_of of = settings_of(gateway);
	struct settings_read read;

	if (!settings_read(&of, view_str(text), &read)) {
		tell(gateway->journal, LEVEL_WARNING, "upgrade", "what was set of endpoints and of the log's level ends: it is told in another form");
		return;
	}
	if (read.endpoints > 0)
		tell(gateway->journal, LEVEL_INFO, "upgrade", "what was set of %zu endpoint%s holds on", read.endpoints,
			read.endpoints == 1 ? "" : "s");
	if (read.left_out > 0)
		tell(gateway->journal, LEVEL_WARNING, "upgrade", "what was set of %zu endpoint%s ends: there is none of such an address any more",
			read.left_out, read.left_out == 1 ? "" : "s");
	if (read.level != before)
		tell(gateway->journal, LEVEL_INFO, "upgrade", "log level %s -> %s, as it was set", config_log_level_word(before),
			config_log_level_word(read.level));
	journal_set_level(gateway->journal, read.level);
}

/* Whoever was known to the process before is known to this one. Without that handshakes are whole ones, once. */
static void adopt_secrets(struct gateway *gateway)
{
	uint64_t latest_us = clock_us(CLOCK_MONOTONIC) + TLS_TICKETS_ROTATE_US;
	struct upgrade_secrets secrets = {0};
	bool given = gateway->legacy.secrets >= 0;
	char *settings;

	if (!upgrade_read_secrets(&gateway->legacy, &secrets, &settings)) {
		if (given)
			tell(gateway->journal, LEVEL_WARNING, "upgrade", "what was set of endpoints and of the log's level ends: "
				"the program before this one hands it over in another form, or memory is out");
	} else {
		if (secrets.has_tickets != 0 && workers_adopt_tickets(gateway->workers, &secrets.tickets))
			gateway->rotate_us = deadline_min(secrets.rotate_us, latest_us);
		if (settings != NULL)
			adopt_settings(gateway, settings);
	}
	tls_ticket_keys_wipe(&secrets.tickets);
	free(settings);
}

/* From bound sockets to the end of the last worker. False with error: it did not get there. */
static bool gateway_serve(struct gateway *gateway, char error[256])
{
	const struct config *expanded;

	if (!upgrade_inherit(&gateway->inherited, &gateway->legacy, error))
		return false;
	expanded = gateway_resolve(gateway, error);
	if (expanded == NULL || !gateway_create(gateway, expanded, error))
		return false;
	close_untaken(gateway);
	adopt_secrets(gateway);
	gateway->reloading.workers = gateway->workers;
	gateway->reloading.control = gateway->control;
	announce(gateway);
	if (!gateway_start(gateway, error))
		return false;
	reloading_start(&gateway->reloading);
	command_complain("ready (%u %s)", gateway->count, gateway->count == 1 ? "worker" : "workers");
	notify("READY=1");
	upgrade_tell_ready(gateway->legacy.ready);
	supervise(gateway);
	return true;
}

/* *is_over: as gateway_end() says it. */
static enum exit_code serve(struct gateway *gateway, bool *is_over)
{
	char error[256];
	bool served = gateway_serve(gateway, error);

	if (!served)
		command_complain("%s", error);
	*is_over = gateway_end(gateway);
	return served ? EXIT_FINE : EXIT_TROUBLE;
}

/* Owns `config`. */
static enum exit_code run(const struct config *config, const char *path)
{
	struct config_machine machine;
	char error[256];

	config_machine_read(&machine);
	struct journal_options options = opening_journal(config, config->workers != 0 ? config->workers : machine.processors);
	struct journal *journal = journal_create(&options, error);

	if (journal == NULL) {
		command_complain("%s", error);
		config_free(config);
		return EXIT_TROUBLE;
	}
	struct gateway gateway = {.path = path, .journal = journal, .count = options.workers,
		.reloading = {.path = path, .journal = journal, .count = options.workers, .loaded = config,
			.names.to = {on_tell, journal}}};
	bool is_over;
	enum exit_code code = serve(&gateway, &is_over);

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
