/* See reloading.h. */
#include "app/reloading.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/notify.h"
#include "app/watching.h"
#include "base/clock.h"

#define UNANSWERED "%s does not answer; see to its file system (mount, network), then reload again"

/* --- telling -------------------------------------------------------------------------------------------------------- */

static void journal_tell(void *context, int level, const char *text)
{
	const struct reloading *r = context;

	journal_event(r->journal, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

__attribute__((format(printf, 3, 4))) static void tell(struct reloading *r, int level, const char *format, ...)
{
	char text[320];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	journal_tell(r, level, text);
}

/* To the journal, and into the receipt. */
static void change_tell(void *context, int level, const char *text)
{
	struct reloading *r = context;
	struct reload_teller kept = kept_lines_teller(&r->receipt.changes);

	journal_tell(r, level, text);
	kept.tell(kept.context, level, text);
}

static const char *log_name(const char *by)
{
	return strcmp(by, "signal") == 0 ? "SIGHUP" : by;
}

/* --- beginning and end ------------------------------------------------------------------------------------------------ */

static void orders_answer(struct control_order **orders, size_t *count, unsigned status, const char *json)
{
	for (size_t i = 0; i < *count; i++)
		order_done(orders[i], status, json);
	*count = 0;
}

static unsigned status_of(enum reload_outcome outcome)
{
	switch (outcome) {
	case RELOAD_REFUSED: return 422;
	case RELOAD_FAILED: return 500;
	default: return 200;
	}
}

/* It is over, whatever came of it. */
static void receipt_give(struct reloading *r)
{
	struct receipt *receipt = &r->receipt;
	char *json;

	r->state = RELOADING_IDLE;
	if (r->of_addresses) {
		receipt_release(receipt);
		return;
	}
	notify("READY=1");
	receipt->at_us = clock_us(CLOCK_REALTIME);
	receipt->workers = r->count;
	json = receipt_json(receipt);
	if (json != NULL)
		control_reloaded(r->control, receipt->outcome, receipt->at_us, json);
	orders_answer(r->orders, &r->order_count, status_of(receipt->outcome),
		json != NULL ? json : "{\"error\":\"internal\",\"message\":\"out of memory\"}");
	free(json);
	receipt_release(receipt);
}

/* False: no memory for it, or no thread. */
static bool begin(struct reloading *r, const char *by, bool of_addresses)
{
	const struct loading_task task = {.path = r->path,
		.by = by,
		.before = r->loaded,
		.workers = r->workers,
		.names = &r->names,
		.count = r->count,
		.of_addresses = of_addresses};

	r->receipt = (struct receipt){.by = by};
	r->of_addresses = of_addresses;
	r->loading = loading_begin(&task);
	if (r->loading != NULL)
		r->state = RELOADING_LOADING;
	return r->loading != NULL;
}

/* A file does not answer. */
static void unanswered_give(struct reloading *r)
{
	const struct config_place nowhere = {0};

	r->receipt.outcome = RELOAD_FAILED;
	config_complain(&r->receipt.complaints, &nowhere, UNANSWERED, r->left_file);
	tell(r, LEVEL_ERROR, "%s: not reloaded: " UNANSWERED, log_name(r->receipt.by), r->left_file);
	receipt_give(r);
}

/* Of the file. It is IDLE. */
static void reload_begin(struct reloading *r, const char *by, struct control_order *order)
{
	if (order != NULL)
		r->orders[r->order_count++] = order;
	notify_reloading();
	if (r->left != NULL) {
		r->receipt = (struct receipt){.by = by};
		r->of_addresses = false;
		unanswered_give(r);
		return;
	}
	if (begin(r, by, false))
		return;
	tell(r, LEVEL_ERROR, "%s: not reloaded: out of memory, or of threads", log_name(by));
	r->receipt.outcome = RELOAD_FAILED;
	receipt_give(r);
}

/* Whoever asked meanwhile is heard. */
static void ask_again(struct reloading *r)
{
	const char *by = r->again_by;

	if (by == NULL || r->state != RELOADING_IDLE)
		return;
	r->again_by = NULL;
	memcpy(r->orders, r->orders_again, sizeof(r->orders));
	r->order_count = r->order_again_count;
	r->order_again_count = 0;
	reload_begin(r, by, NULL);
}

void reloading_start(struct reloading *r)
{
	if (r->loaded->reload.watch && r->watching != NULL) {
		if (!watching_follow(r->watching, r->loaded))
			tell(r, LEVEL_WARNING, "reload.watch: out of memory: files that are named now and were not before are not watched");
		return;
	}
	watching_end(r->watching);
	r->watching = r->loaded->reload.watch ? watching_begin(r->path, r->loaded) : NULL;
	if (r->watching == NULL && r->loaded->reload.watch)
		tell(r, LEVEL_WARNING, "reload.watch: the files cannot be watched: %s", strerror(errno));
}

/* What was opened is used from now on. */
static void openings_take(struct reloading *r, struct opening *opening, const struct config *before, struct generation *after)
{
	if (opening->log != NULL)
		journal_adopt(r->journal, opening->log);
	if (before->log.level != after->config->log.level)
		journal_set_level(r->journal, after->config->log.level);
	if (opening->bound != NULL)
		generation_bind(after, opening->bound);
	if (opening->control != NULL)
		control_adopt(r->control, opening->control, after->config);
	*opening = (struct opening){0};
}

static void swap_begin(struct reloading *r, struct loaded *l)
{
	r->swap_begun_us = clock_us(CLOCK_MONOTONIC);
	openings_take(r, &l->opening, workers_config(r->workers), l->generation);
	if (l->config != NULL) {
		config_free(r->loaded);
		r->loaded = l->config;
		reloading_start(r);
	}
	r->state = RELOADING_SWAPPING;
	workers_reload(r->workers, l->generation);
}

static void not_reloaded_tell(struct reloading *r)
{
	if (r->of_addresses)
		tell(r, LEVEL_ERROR, "the addresses of before stay in use: out of memory");
	else if (r->receipt.outcome == RELOAD_REFUSED)
		tell(r, LEVEL_ERROR, "%s: not reloaded: the configuration of before stays in force", log_name(r->receipt.by));
	else
		tell(r, LEVEL_ERROR, "%s: not reloaded: out of memory, or of threads", log_name(r->receipt.by));
}

/* It is given up if it has read one file for too long. The thread may go on to another meanwhile: what it says is asked before the clock. */
static void patience_look(struct reloading *r)
{
	uint64_t asked_us = loading_asked_us(r->loading);
	bool waited = clock_us(CLOCK_MONOTONIC) - asked_us >= RELOADING_PATIENCE_US;

	if (r->of_addresses || !waited || !loading_leave(r->loading, r->left_file))
		return;
	r->left = r->loading;
	r->loading = NULL;
	unanswered_give(r);
}

/* The one that was left behind may have come back. Who has files watched wants what they say now. */
static void left_look(struct reloading *r)
{
	if (r->left == NULL || !loading_has_ended(r->left))
		return;
	loading_drop(r->left);
	r->left = NULL;
	tell(r, LEVEL_INFO, "%s has answered: the configuration can be reloaded again", r->left_file);
	if (r->watching != NULL)
		reloading_ask(r, "watch", NULL);
}

static void loading_look(struct reloading *r)
{
	const struct reload_teller to = {journal_tell, r};
	struct loaded l;

	if (!loading_has_ended(r->loading)) {
		patience_look(r);
		return;
	}
	l = loading_end(r->loading);
	r->loading = NULL;
	r->receipt = l.receipt;
	kept_lines_pass(&l.lines, &to);
	if (l.generation != NULL) {
		swap_begin(r, &l);
		return;
	}
	not_reloaded_tell(r);
	receipt_give(r);
}

static void changes_tell(struct reloading *r, struct reload_workers taken)
{
	const struct config *before = workers_config(r->workers), *after = workers_next(r->workers);
	const struct reload_teller to = {change_tell, r};
	const struct reload_endpoints endpoints = reload_tell_effects(&to, before, after);

	reload_tell_end(&to, before, after, &endpoints, taken);
}

/* The workers may have taken it. */
static void swap_look(struct reloading *r)
{
	const struct reload_teller to = {change_tell, r};
	struct reload_workers taken = {.count = r->count};
	char text[200];

	if (workers_reloading(r->workers) > 0 || control_is_changing(r->control))
		return;
	r->receipt.took.swap_us = clock_us(CLOCK_MONOTONIC) - r->swap_begun_us;
	r->receipt.pause = workers_pause(r->workers);
	r->receipt.refused = taken.refused = workers_refused(r->workers);
	if (taken.refused > 0)
		r->receipt.outcome = RELOAD_FAILED;
	/* Before it is told: who reads that nobody listens there finds it so. */
	opening_tidy(workers_config(r->workers), workers_next(r->workers));
	if (!r->of_addresses) {
		receipt_sum_up(&r->receipt, text);
		journal_tell(r, LEVEL_INFO, text);
		changes_tell(r, taken);
	} else if (taken.refused > 0) {
		reload_tell_refused(&to, taken);
	}
	workers_reloaded(r->workers);
	receipt_give(r);
}

/* What is being loaded is not used. */
static void drop(struct reloading *r)
{
	loading_drop(r->loading);
	r->loading = NULL;
	r->state = RELOADING_IDLE;
}

/* --- for the main thread -------------------------------------------------------------------------------------------- */

static void hold_back(struct reloading *r, const char *by, struct control_order *order)
{
	r->missed = true;
	tell(r, LEVEL_INFO, "%s: an upgrade is under way; the file is read again after it", log_name(by));
	if (order != NULL)
		order_refuse(order, 409, "not_reloaded", "an upgrade is under way; the new process reads the file again by itself");
}

static void wait_behind(struct reloading *r, const char *by, struct control_order *order)
{
	if (r->state == RELOADING_SWAPPING)
		tell(r, LEVEL_INFO, "%s: a reload is under way, which %u of %u workers have taken; the file is read again after it",
			log_name(by), r->count - workers_reloading(r->workers), r->count);
	else
		tell(r, LEVEL_INFO, "%s: a reload is under way; the file is read again after it", log_name(by));
	r->again_by = by;
	if (order != NULL)
		r->orders_again[r->order_again_count++] = order;
}

void reloading_ask(struct reloading *r, const char *by, struct control_order *order)
{
	if (r->held) {
		hold_back(r, by, order);
		return;
	}
	if (r->state != RELOADING_IDLE) {
		wait_behind(r, by, order);
		return;
	}
	reload_begin(r, by, order);
}

/* The names of the file may have other addresses than those in force. */
static void addresses_look(struct reloading *r)
{
	if (!names_look(&r->names))
		return;
	if (!begin(r, "names", true))
		tell(r, LEVEL_ERROR, "the addresses of before stay in use: out of memory");
}

void reloading_look(struct reloading *r)
{
	if (r->closed) {
		if (r->state == RELOADING_LOADING && loading_has_ended(r->loading))
			drop(r);
		return;
	}
	if (r->state == RELOADING_LOADING)
		loading_look(r);
	if (r->state == RELOADING_SWAPPING)
		swap_look(r);
	left_look(r);
	ask_again(r);
	if (r->watching != NULL && watching_take(r->watching))
		reloading_ask(r, "watch", NULL);
	if (r->state == RELOADING_IDLE)
		addresses_look(r);
}

bool reloading_is_loading(const struct reloading *r)
{
	return r->state == RELOADING_LOADING;
}

bool reloading_is_idle(const struct reloading *r)
{
	return r->state == RELOADING_IDLE && r->again_by == NULL;
}

bool reloading_unanswered(const struct reloading *r)
{
	return r->left != NULL;
}

void reloading_hold(struct reloading *r)
{
	r->held = true;
	r->missed = false;
}

void reloading_resume(struct reloading *r)
{
	r->held = false;
	if (r->missed && !r->closed)
		reloading_ask(r, "signal", NULL);
}

/* The service manager is not to wait for the end of what has none. */
static void end_is_told(struct reloading *r)
{
	if (r->state == RELOADING_IDLE || r->of_addresses)
		return;
	notify("READY=1");
	if (r->state == RELOADING_LOADING)
		tell(r, LEVEL_WARNING, "%s: not reloaded: the gateway is on its way out", log_name(r->receipt.by));
}

void reloading_close(struct reloading *r)
{
	const char *json = "{\"error\":\"draining\",\"message\":\"the gateway is on its way out\"}";

	if (r->closed)
		return;
	r->closed = true;
	end_is_told(r);
	if (r->state == RELOADING_LOADING)
		loading_close(r->loading);
	r->again_by = NULL;
	orders_answer(r->orders, &r->order_count, 503, json);
	orders_answer(r->orders_again, &r->order_again_count, 503, json);
}

bool reloading_release(struct reloading *r)
{
	if (r->state == RELOADING_LOADING) {
		/* Where only addresses have changed no file is read, so it ends. */
		if (!r->of_addresses && !loading_has_ended(r->loading))
			return false;
		drop(r);
	}
	if (r->left != NULL) {
		if (!loading_has_ended(r->left))
			return false;
		loading_drop(r->left);
	}
	watching_end(r->watching);
	receipt_release(&r->receipt);
	names_release(&r->names);
	config_free(r->loaded);
	return true;
}
