/*
 * See obeying.h. The main thread has one place to wait at (process.h), and is told there of everything: signals, orders of the administration,
 * ends of threads and of reloads.
 */
#include "app/obeying.h"

#include "app/gateway.h"
#include "app/main_tell.h"
#include "app/notify.h"
#include "app/process.h"
#include "base/clock.h"
#include "control/order.h"

/* --- the end ---------------------------------------------------------------------------------------------------------- */

/* Whoever asks is told that we are leaving before the first connection is closed. After a hand-over the service stays. */
static void end_begin(struct gateway *gateway)
{
	reloading_close(&gateway->reloading);
	upgrading_give_up(gateway);
	if (!gateway->draining)
		notify("STOPPING=1");
	gateway->draining = true;
	control_drain(gateway->control);
}

static void stop(struct gateway *gateway, const char *signal_name)
{
	main_tell(gateway->journal, LEVEL_INFO, signal_name, "stopping");
	end_begin(gateway);
	workers_stop(gateway->workers);
}

/* A second time it is a stop. */
static void drain(struct gateway *gateway, const char *signal_name)
{
	if (gateway->draining) {
		stop(gateway, signal_name);
		return;
	}
	main_tell(gateway->journal, LEVEL_INFO, signal_name, "draining; requests may finish for %llu ms, once more ends them",
		(unsigned long long)(workers_config(gateway->workers)->drain_timeout_us / US_PER_MS));
	end_begin(gateway);
	workers_drain(gateway->workers, 0);
}

/* --- reloading ------------------------------------------------------------------------------------------------------- */

static void reload(struct gateway *gateway)
{
	if (gateway->draining)
		main_tell(gateway->journal, LEVEL_WARNING, "SIGHUP", "not reloaded: the gateway is on its way out");
	else
		reloading_ask(&gateway->reloading, "signal", NULL);
}

static void order_reload(struct gateway *gateway, struct control_order *order)
{
	if (gateway->draining) {
		order_refuse(order, 503, "draining", "the gateway is on its way out");
	} else {
		main_tell(gateway->journal, LEVEL_INFO, order->by, "the configuration is to be read again");
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
	if (upgrade_has_successor(&gateway->upgrading.upgrade)) {
		order_refuse(order, 409, "not_set", CONTROL_SETTINGS_HELD);
		return;
	}
	main_tell(gateway->journal, LEVEL_INFO, order->by, "log level %s -> %s, until the next start, or a reload with another",
		config_log_level_word(before), config_log_level_word(level));
	journal_set_level(gateway->journal, level);
	order_answer(order, 200, json_pack("{s:s}", "level", config_log_level_word(level)));
}

/* What is told to a process in whose place another serves would mean nothing there. */
static void order_obey(struct gateway *gateway, struct control_order *order)
{
	if (upgrade_is_done(&gateway->upgrading.upgrade)) {
		order_refuse(order, 409, "handed_over", CONTROL_HANDED_OVER);
		return;
	}
	switch (order->what) {
	case ORDERED_RELOAD: order_reload(gateway, order); return;
	case ORDERED_LOG_LEVEL: order_log_level(gateway, order); return;
	case ORDERED_REOPEN:
		main_tell(gateway->journal, LEVEL_INFO, order->by, "the log files are opened anew");
		journal_reopen(gateway->journal);
		order_done(order, 202, "{\"outcome\":\"reopening\"}");
		return;
	case ORDERED_DRAIN:
		if (!gateway->draining)
			drain(gateway, order->by);
		order_done(order, 202, "{\"outcome\":\"draining\"}");
		return;
	case ORDERED_UPGRADE: upgrading_by_order(gateway, order); return;
	}
}

static void orders_look(struct gateway *gateway)
{
	struct control_order *order;

	while ((order = control_next_order(gateway->control)) != NULL)
		order_obey(gateway, order);
}

/* --- all of it -------------------------------------------------------------------------------------------------------- */

/* What the main thread does by the clock. How long until there is something to do. */
static uint64_t by_the_clock(struct gateway *gateway)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);

	/* The keys are the loading thread's, whose end is told. */
	if (reloading_is_loading(&gateway->reloading))
		return US_PER_S;
	/* Keys that were handed over are not made anew here: the new process would not know them. */
	if (gateway->draining || upgrade_is_under_way(&gateway->upgrading.upgrade)) {
		uint64_t until_us = upgrade_deadline(&gateway->upgrading.upgrade), longest_us = 60 * US_PER_S;

		return until_us <= now_us ? 0 : until_us - now_us < longest_us ? until_us - now_us : longest_us;
	}
	if (now_us >= gateway->rotate_us) {
		if (gateway->rotate_us != 0)
			workers_rotate_tickets(gateway->workers);
		gateway->rotate_us = now_us + TLS_TICKETS_ROTATE_US;
	}
	return gateway->rotate_us - now_us;
}

void obeying_run(struct gateway *gateway)
{
	const char *signal_name;

	while (workers_running(gateway->workers)) {
		switch (process_wait_for(&signal_name, by_the_clock(gateway))) {
		case ORDER_DRAIN: drain(gateway, signal_name); break;
		case ORDER_STOP: stop(gateway, signal_name); break;
		case ORDER_REOPEN: journal_reopen(gateway->journal); break;
		case ORDER_RELOAD: reload(gateway); break;
		case ORDER_UPGRADE: upgrading_by_signal(gateway, signal_name); break;
		case ORDER_LOOK:
			reloading_look(&gateway->reloading);
			workers_sweep(gateway->workers);
			orders_look(gateway);
			upgrading_look(gateway);
			break;
		}
	}
	main_tell(gateway->journal, LEVEL_INFO, NULL, "stopped");
}
