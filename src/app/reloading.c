/* See reloading.h. What is told on the thread is kept, and told by the main thread: the journal has one place for both. */
#include "app/reloading.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/notify.h"
#include "app/opening.h"
#include "app/process.h"
#include "app/watching.h"
#include "base/clock.h"
#include "net/tls.h"

/* As nice(2) means it: a reload takes longer where others have work for all processors, and takes nothing from them. */
enum { LOADING_NICE = 10 };

struct loading {
	pthread_t thread;
	struct reloading *r;
	atomic_bool ended;
	struct told told;
	const struct config *config;    /* what the file says; NULL: it is not good, or it was not read */
	struct opening opening;         /* what the configuration needs that is not open yet */
	atomic_bool opened;             /* it is to be released by who sets this to false */
	struct generation *generation;  /* NULL: there is none */
};

/* --- telling -------------------------------------------------------------------------------------------------------- */

static void journal_tell(void *context, int level, const char *text)
{
	const struct reloading *r = context;

	journal_event(r->journal, JOURNAL_MAIN, clock_us(CLOCK_REALTIME), level, text);
}

__attribute__((format(printf, 3, 4))) static void tell(struct reloading *r, int level, const char *format, ...)
{
	char text[256];
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
	struct reload_teller kept = told_teller(&r->receipt.changes);

	journal_tell(r, level, text);
	kept.tell(kept.context, level, text);
}

static const char *log_name(const char *by)
{
	return strcmp(by, "signal") == 0 ? "SIGHUP" : by;
}

/* --- on the thread: looking at it ----------------------------------------------------------------------------------- */

bool reloading_plan_fits(const struct config *config, struct config_complaints *complaints)
{
	struct config_machine machine;
	FILE *nowhere = fopen("/dev/null", "w");
	bool fits;

	*complaints = (struct config_complaints){0};
	if (nowhere == NULL)
		return true;
	config_machine_read(&machine);
	fits = config_plan(config, &machine, nowhere, complaints);
	fclose(nowhere);
	return fits;
}

bool reloading_idle_fits(const struct config *config, struct config_complaints *complaints)
{
	struct config_machine machine;

	config_machine_read(&machine);
	return config_plan_idle(config, &machine, complaints);
}

void reloading_tell_left_out(const struct reload_teller *to, const struct config *config)
{
	for (size_t i = 0; i < config->upstream_count; i++) {
		const struct config_upstream *u = &config->upstreams[i];
		char text[256];

		if (u->left_out == 0)
			continue;
		snprintf(text, sizeof(text),
			"upstream %.*s: %zu endpoints are not used: it has %u already, and there are no more", (int)u->name.n,
			u->name.p, u->left_out, CONFIG_UPSTREAM_ENDPOINTS_MAX);
		to->tell(to->context, LEVEL_WARNING, text);
	}
}

static void plan_warn(struct loading *l, const struct config *config)
{
	const struct reload_teller to = told_teller(&l->told);
	struct config_complaints complaints;

	if (!reloading_plan_fits(config, &complaints)) {
		to.tell(to.context, LEVEL_WARNING, "the limits do not fit this machine:");
		reload_tell_complaints(&to, LEVEL_WARNING, l->r->path, &complaints);
	}
	config_complaints_release(&complaints);
}

/* The time since *mark, which is now. */
static uint64_t lap(uint64_t *mark)
{
	uint64_t before = *mark;

	*mark = clock_us(CLOCK_MONOTONIC);
	return *mark - before;
}

/* What the file says, if it is good. */
static void load_file(struct loading *l, uint64_t *mark)
{
	struct receipt *receipt = &l->r->receipt;
	const struct reload_teller to = told_teller(&l->told);
	const struct config *config;
	bool good = config_load_again(l->r->path, &config, &receipt->complaints) == CONFIG_OK;

	receipt->took.read_us = lap(mark);
	if (good) {
		config_complaints_release(&receipt->complaints);
		good = reloading_idle_fits(config, &receipt->complaints) &&
		       tls_check(config, &receipt->complaints, &receipt->warnings);
		reload_tell_complaints(&to, LEVEL_WARNING, l->r->path, &receipt->warnings);
	}
	receipt->took.check_us = lap(mark);
	if (good) {
		l->config = config;
		return;
	}
	receipt->outcome = RELOAD_REFUSED;
	reload_tell_complaints(&to, LEVEL_ERROR, l->r->path, &receipt->complaints);
	config_free(config);
}

/* --- on the thread: making what the workers need of it -------------------------------------------------------------- */

static bool follow_names(struct loading *l, const struct config *config)
{
	const struct reload_teller to = told_teller(&l->told);
	char error[256];

	if (names_follow(&l->r->names, config, error))
		return true;
	to.tell(to.context, LEVEL_ERROR, error);
	return false;
}

/* `config` as it was loaded, with the addresses that are known now. */
static void prepare(struct loading *l, const struct config *config)
{
	const struct reload_teller to = told_teller(&l->told);
	struct reloading *r = l->r;
	const struct config *expanded = names_expand(&r->names, config);

	if (expanded == NULL)
		return;
	if (!r->of_addresses || config_endpoint_count(expanded) > config_endpoint_count(workers_config(r->workers))) {
		plan_warn(l, expanded);
		reloading_tell_left_out(&to, expanded);
	}
	l->generation = workers_prepare(r->workers, expanded);
	if (l->generation == NULL)
		config_free(expanded);
}

/* Also by the main thread, while this one goes on. */
static void openings_close(struct loading *l)
{
	if (atomic_exchange(&l->opened, false))
		opening_release(&l->opening);
}

/* Comes to nothing. */
static void config_drop(struct loading *l)
{
	openings_close(l);
	config_free(l->config);
	l->config = NULL;
}

/* The file is good, but what it says may not be there to be had. */
static void open_all(struct loading *l, uint64_t *mark)
{
	struct receipt *receipt = &l->r->receipt;
	const struct reload_teller to = told_teller(&l->told);

	if (atomic_load(&l->r->closed)) {
		config_drop(l);
		return;
	}
	l->opening.workers = l->r->count;
	bool opened = opening_make(&l->opening, workers_config(l->r->workers), l->config, &receipt->complaints);

	receipt->took.check_us += lap(mark);
	atomic_store(&l->opened, opened);
	/* Whoever has closed it meanwhile has not seen what is open, or has closed that, too. */
	if (atomic_load(&l->r->closed))
		config_drop(l);
	if (opened)
		return;
	config_complaints_sort(&receipt->complaints);
	receipt->outcome = RELOAD_REFUSED;
	reload_tell_complaints(&to, LEVEL_ERROR, l->r->path, &receipt->complaints);
	config_drop(l);
}

/* What its keeper is told, if it is taken. */
static void changes_keep(struct loading *l)
{
	const struct reload_teller to = told_teller(&l->r->receipt.changes);

	reload_tell_keys(&to, l->r->loaded, l->config);
	reload_tell_order(&to, l->r->loaded, l->config);
}

static void load_all(struct loading *l)
{
	struct receipt *receipt = &l->r->receipt;
	uint64_t mark = clock_us(CLOCK_MONOTONIC);

	load_file(l, &mark);
	if (l->config != NULL)
		open_all(l, &mark);
	if (l->config == NULL)
		return;
	bool follows = follow_names(l, l->config);

	receipt->took.resolve_us = lap(&mark);
	if (follows)
		prepare(l, l->config);
	receipt->took.compile_us = lap(&mark);
	if (l->generation != NULL)
		changes_keep(l);
	if (l->generation != NULL)
		return;
	receipt->outcome = RELOAD_FAILED;
	config_drop(l);
	follow_names(l, l->r->loaded);
}

static void *load_run(void *argument)
{
	struct loading *l = argument;

	/* Of this thread alone: where processors are few, workers do not wait for it. Nothing is lost when it is refused. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), LOADING_NICE);
	if (l->r->of_addresses)
		prepare(l, l->r->loaded);
	else
		load_all(l);
	atomic_store(&l->ended, true);
	process_tell();
	return NULL;
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
static bool loading_begin(struct reloading *r)
{
	struct loading *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return false;
	l->r = r;
	r->loading = l;
	r->names.to = told_teller(&l->told);
	r->state = RELOADING_LOADING;
	if (pthread_create(&l->thread, NULL, load_run, l) == 0)
		return true;
	r->state = RELOADING_IDLE;
	r->names.to = (struct reload_teller){journal_tell, r};
	r->loading = NULL;
	free(l);
	return false;
}

/* Of the file. It is IDLE. */
static void reload_begin(struct reloading *r, const char *by, struct control_order *order)
{
	if (order != NULL)
		r->orders[r->order_count++] = order;
	r->receipt = (struct receipt){.by = by};
	r->of_addresses = false;
	notify_reloading();
	if (loading_begin(r))
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

/* The thread has ended, or is waited for. Its generation and what the file said are the caller's. */
static struct loading loading_end(struct reloading *r)
{
	const struct reload_teller to = {journal_tell, r};
	struct loading l;

	pthread_join(r->loading->thread, NULL);
	r->names.to = to;
	l = *r->loading;
	free(r->loading);
	r->loading = NULL;
	told_pass(&l.told, &to);
	return l;
}

void reloading_start(struct reloading *r)
{
	if (r->loaded->reload.watch && r->watching != NULL) {
		watching_follow(r->watching, r->loaded);
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

static void swap_begin(struct reloading *r, struct loading *l)
{
	openings_take(r, &l->opening, workers_config(r->workers), l->generation);
	if (l->config != NULL) {
		config_free(r->loaded);
		r->loaded = l->config;
		reloading_start(r);
	}
	r->state = RELOADING_SWAPPING;
	r->swap_begun_us = clock_us(CLOCK_MONOTONIC);
	workers_reload(r->workers, l->generation);
}

static void loading_look(struct reloading *r)
{
	if (!atomic_load(&r->loading->ended))
		return;
	struct loading l = loading_end(r);

	if (l.generation != NULL) {
		swap_begin(r, &l);
		return;
	}
	if (r->of_addresses)
		tell(r, LEVEL_ERROR, "the addresses of before stay in use: out of memory");
	else if (r->receipt.outcome == RELOAD_REFUSED)
		tell(r, LEVEL_ERROR, "%s: not reloaded: the configuration of before stays in force", log_name(r->receipt.by));
	else
		tell(r, LEVEL_ERROR, "%s: not reloaded: out of memory, or of threads", log_name(r->receipt.by));
	receipt_give(r);
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
		reload_tell_changes(&to, workers_config(r->workers), workers_next(r->workers), taken);
	} else if (taken.refused > 0) {
		reload_tell_refused(&to, taken);
	}
	workers_reloaded(r->workers);
	receipt_give(r);
}

/* What a thread that has ended, or is waited for, has made is not used. */
static void loading_drop(struct reloading *r)
{
	struct loading l = loading_end(r);

	generation_unref(l.generation);
	config_drop(&l);
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
	r->receipt = (struct receipt){.by = "names"};
	r->of_addresses = true;
	if (!loading_begin(r))
		tell(r, LEVEL_ERROR, "the addresses of before stay in use: out of memory");
}

void reloading_look(struct reloading *r)
{
	if (atomic_load(&r->closed)) {
		if (r->state == RELOADING_LOADING && atomic_load(&r->loading->ended))
			loading_drop(r);
		return;
	}
	if (r->state == RELOADING_LOADING)
		loading_look(r);
	if (r->state == RELOADING_SWAPPING)
		swap_look(r);
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

void reloading_hold(struct reloading *r)
{
	r->held = true;
	r->missed = false;
}

void reloading_resume(struct reloading *r)
{
	r->held = false;
	if (r->missed && !atomic_load(&r->closed))
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

	if (atomic_exchange(&r->closed, true))
		return;
	end_is_told(r);
	if (r->state == RELOADING_LOADING)
		openings_close(r->loading);
	r->again_by = NULL;
	orders_answer(r->orders, &r->order_count, 503, json);
	orders_answer(r->orders_again, &r->order_again_count, 503, json);
}

void reloading_release(struct reloading *r)
{
	if (r->state == RELOADING_LOADING)
		loading_drop(r);
	watching_end(r->watching);
	receipt_release(&r->receipt);
	names_release(&r->names);
	config_free(r->loaded);
}
