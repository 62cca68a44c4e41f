/* See gateway.h. */
#include "app/gateway.h"

#include <stdio.h>

#include "app/command.h"
#include "app/fits.h"
#include "app/notify.h"
#include "app/obeying.h"
#include "app/process.h"
#include "base/clock.h"

/* What is told of the configuration before it is in force. */
static void on_print(void *context, int level, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

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

/* Binds every socket. What was created by the time of a failure is there for gateway_end(). Owns `config`. */
static bool gateway_create(struct gateway *gateway, const struct config *config, char error[256])
{
	gateway->workers = workers_create(config, gateway->count, gateway->journal, &gateway->legacy.sockets, error);
	if (gateway->workers == NULL)
		return false;
	const struct control_options options = {
		.config = config,
		.journal = gateway->journal,
		.workers = gateway->count,
		.version = WEIR_VERSION,
		.on_order = process_tell,
		.inherited = &gateway->legacy.sockets,
	};

	gateway->control = control_create(&options, error);
	return gateway->control != NULL;
}

static bool gateway_start(struct gateway *gateway, char error[256])
{
	workers_attach(gateway->workers, gateway->control);
	return workers_start(gateway->workers, error) && control_start(gateway->control, error);
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

static void on_tell(void *context, int level, const char *text)
{
	journal_event(context, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

void gateway_init(struct gateway *gateway, const struct config *config, const char *path, unsigned count, struct journal *journal)
{
	*gateway = (struct gateway){.path = path, .journal = journal, .count = count,
		.reloading = {.path = path, .journal = journal, .count = count, .loaded = config, .names.to = {on_tell, journal}},
		.legacy = {.ready = -1, .secrets = -1}};
}

bool gateway_serve(struct gateway *gateway, char error[256])
{
	const struct config *expanded;

	if (!legacy_inherit(&gateway->legacy, error))
		return false;
	expanded = gateway_resolve(gateway, error);
	if (expanded == NULL || !gateway_create(gateway, expanded, error))
		return false;
	legacy_close_untaken(&gateway->legacy, gateway->journal);
	legacy_adopt(&gateway->legacy, gateway->workers, gateway->journal, &gateway->rotate_us);
	gateway->reloading.workers = gateway->workers;
	gateway->reloading.control = gateway->control;
	announce(gateway);
	if (!gateway_start(gateway, error))
		return false;
	reloading_start(&gateway->reloading);
	command_complain("ready (%u %s)", gateway->count, gateway->count == 1 ? "worker" : "workers");
	notify("READY=1");
	legacy_tell_ready(&gateway->legacy);
	obeying_run(gateway);
	return true;
}

/* The control asks the workers until its own end; so that comes between the end of their threads and of their memory. */
bool gateway_end(struct gateway *gateway)
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
	legacy_release(&gateway->legacy);
	return is_over;
}
