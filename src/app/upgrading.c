/* See upgrading.h. */
#include "app/upgrading.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/gateway.h"
#include "app/main_tell.h"
#include "app/notify.h"
#include "app/settings.h"
#include "control/order.h"

/* Unless another process has been told of them and serves. */
static void settings_resume(struct gateway *gateway)
{
	if (!upgrade_has_successor(&gateway->upgrading.upgrade))
		control_resume_settings(gateway->control);
}

/* It comes to nothing. */
static void refuse(struct gateway *gateway, int level, const char *by, const char *why)
{
	/* Before it is told: who reads it may set something at once. */
	settings_resume(gateway);
	main_tell(gateway->journal, level, by, "no upgrade: %s", why);
	if (gateway->upgrading.order != NULL)
		order_refuse(gateway->upgrading.order, 409, "not_upgraded", why);
	gateway->upgrading.order = NULL;
	reloading_resume(&gateway->reloading);
}

/*
 * The new process gets the keys of session tickets, so that it knows clients who come back, and what the operator has set. From here on
 * nothing is set: it would be told to nobody.
 */
static bool start(struct gateway *gateway, char why[256])
{
	struct secrets secrets = {.form = SECRETS_FORM, .rotate_us = gateway->rotate_us};
	const struct settings_of of = {workers_config(gateway->workers), workers_budgets(gateway->workers)};
	char *settings;

	control_hold_settings(gateway->control);
	if (!settings_write(&of, journal_level(gateway->journal), &settings)) {
		snprintf(why, 256, "what is set of endpoints cannot be handed over: out of memory, or more than %d bytes", SETTINGS_BYTES_MAX);
		return false;
	}
	secrets.has_tickets = workers_write_tickets(gateway->workers, &secrets.tickets);
	bool begun = upgrade_begin(&gateway->upgrading.upgrade, &secrets, view_str(settings != NULL ? settings : ""), why);

	tls_ticket_keys_wipe(&secrets.tickets);
	free(settings);
	return begun;
}

/*
 * One that is wanted begins between two reloads: what the new process is given is what the file says that it reads. If that hangs, so
 * would the new process, and whoever waits for its end.
 */
static void begin_if_wanted(struct gateway *gateway)
{
	const char *by = gateway->upgrading.by;
	char why[256];

	if (by == NULL || !reloading_is_idle(&gateway->reloading))
		return;
	gateway->upgrading.by = NULL;
	if (reloading_unanswered(&gateway->reloading))
		refuse(gateway, LEVEL_WARNING, by, "a file of the configuration does not answer");
	else if (start(gateway, why))
		main_tell(gateway->journal, LEVEL_INFO, by, "upgrading: process %d is starting", (int)gateway->upgrading.upgrade.child);
	else
		refuse(gateway, LEVEL_ERROR, by, why);
}

static void want(struct gateway *gateway, const char *by)
{
	if (gateway->draining) {
		refuse(gateway, LEVEL_WARNING, by, "the gateway is on its way out");
		return;
	}
	reloading_hold(&gateway->reloading);
	gateway->upgrading.by = by;
	if (!reloading_is_idle(&gateway->reloading))
		main_tell(gateway->journal, LEVEL_INFO, by, "a reload is under way; the upgrade begins after it");
	begin_if_wanted(gateway);
}

static bool is_upgrading(const struct gateway *gateway)
{
	return gateway->upgrading.by != NULL || upgrade_is_under_way(&gateway->upgrading.upgrade);
}

void upgrading_by_order(struct gateway *gateway, struct control_order *order)
{
	if (is_upgrading(gateway)) {
		order_refuse(order, 409, "not_upgraded", "an upgrade is under way");
		return;
	}
	gateway->upgrading.order = order;
	want(gateway, order->by);
}

void upgrading_by_signal(struct gateway *gateway, const char *signal_name)
{
	if (is_upgrading(gateway))
		main_tell(gateway->journal, LEVEL_INFO, signal_name, "an upgrade is under way");
	else
		want(gateway, signal_name);
}

void upgrading_give_up(struct gateway *gateway)
{
	upgrade_abandon(&gateway->upgrading.upgrade);
	settings_resume(gateway);
	gateway->upgrading.by = NULL;
	if (gateway->upgrading.order != NULL)
		refuse(gateway, LEVEL_WARNING, gateway->upgrading.order->by, "the gateway is on its way out");
}

/* Who has been kept connected without a request may have sent one by now. */
#define HANDED_IDLE_US (5 * US_PER_S)

static void hand_over(struct gateway *gateway)
{
	main_tell(gateway->journal, LEVEL_INFO, NULL, "upgraded: process %d serves; requests of this one may finish for %llu ms",
		(int)gateway->upgrading.upgrade.child,
		(unsigned long long)(workers_config(gateway->workers)->drain_timeout_us / US_PER_MS));
	notify("MAINPID=%d", (int)gateway->upgrading.upgrade.child);
	if (gateway->upgrading.order != NULL)
		order_answer(gateway->upgrading.order, 200,
			json_pack("{s:s, s:i}", "outcome", "upgraded", "process", (int)gateway->upgrading.upgrade.child));
	gateway->upgrading.order = NULL;
	gateway->draining = true;
	reloading_close(&gateway->reloading);
	control_hand_over(gateway->control);
	workers_drain(gateway->workers, HANDED_IDLE_US);
	/* It may have read the file before that was changed. */
	if (gateway->reloading.missed)
		kill(gateway->upgrading.upgrade.child, SIGHUP);
}

void upgrading_look(struct gateway *gateway)
{
	char why[256];

	begin_if_wanted(gateway);
	switch (upgrade_look(&gateway->upgrading.upgrade, why)) {
	case UPGRADE_NONE:
	case UPGRADE_STARTING: return;
	case UPGRADE_READY: hand_over(gateway); return;
	case UPGRADE_FAILED:
		refuse(gateway, LEVEL_ERROR, "upgrade", why);
		return;
	}
}
