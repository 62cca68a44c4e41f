/* See loading.h. What is told on the thread is kept, and told by the main thread: the journal has one place for both. */
#include "app/loading.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/fits.h"
#include "app/process.h"
#include "base/clock.h"
#include "net/tls.h"

/* As nice(2) means it: a reload takes longer where others have work for all processors, and takes nothing from them. */
enum { LOADING_NICE = 10 };

enum loading_stage {
	LOADING_READING,                /* nothing of others is touched */
	LOADING_MAKING,
	LOADING_LEFT,                   /* by the main thread, while it was reading */
};

struct loading {
	struct loading_task task;
	struct reload_teller names_to;  /* of the names, as it was before MAKING and is after it */
	pthread_t thread;
	pthread_mutex_t lock;           /* held for a copy */
	char file[LOADING_FILE_BYTES];  /* being read */
	atomic_uint_fast64_t asked_us;  /* that the file system was asked for it */
	atomic_int stage;               /* enum loading_stage */
	atomic_bool ended;
	atomic_bool closed;             /* nothing of it will be used */
	atomic_bool opened;             /* the opening is to be released by who sets this to false */
	struct loaded loaded;
};

/* The time since *mark, which is now. */
static uint64_t lap(uint64_t *mark)
{
	uint64_t before = *mark;

	*mark = clock_us(CLOCK_MONOTONIC);
	return *mark - before;
}

/* From now on the names are the thread's. False: it was left behind. */
static bool making_begin(struct loading *l)
{
	int reading = LOADING_READING;

	if (!atomic_compare_exchange_strong(&l->stage, &reading, LOADING_MAKING))
		return false;
	l->names_to = l->task.names->to;
	l->task.names->to = kept_lines_teller(&l->loaded.lines);
	return true;
}

/* --- the file --------------------------------------------------------------------------------------------------------- */

static void on_file(void *context, const char *path)
{
	struct loading *l = context;
	size_t n = strlen(path), most = sizeof(l->file) - sizeof("...");

	pthread_mutex_lock(&l->lock);
	snprintf(l->file, sizeof(l->file), "%s%s", n > most ? "..." : "", n > most ? path + n - most : path);
	pthread_mutex_unlock(&l->lock);
	atomic_store(&l->asked_us, clock_us(CLOCK_MONOTONIC));
}

/* False: the configuration cannot be used. */
static bool check(struct loading *l, const struct config *config)
{
	const struct reload_teller to = kept_lines_teller(&l->loaded.lines);
	struct receipt *receipt = &l->loaded.receipt;

	config_complaints_release(&receipt->complaints);

	bool good = fits_idle(config, &receipt->complaints) && tls_check(config, &receipt->complaints, &receipt->warnings);

	reload_tell_complaints(&to, LEVEL_WARNING, l->task.path, &receipt->warnings);
	return good;
}

static void refuse(struct loading *l)
{
	const struct reload_teller to = kept_lines_teller(&l->loaded.lines);
	struct receipt *receipt = &l->loaded.receipt;

	receipt->outcome = RELOAD_REFUSED;
	reload_tell_complaints(&to, LEVEL_ERROR, l->task.path, &receipt->complaints);
}

/* Also by the main thread, while this one goes on. */
static void openings_close(struct loading *l)
{
	if (atomic_exchange(&l->opened, false))
		opening_release(&l->loaded.opening);
}

/* Comes to nothing. */
static void config_drop(struct loading *l)
{
	openings_close(l);
	config_free(l->loaded.config);
	l->loaded.config = NULL;
}

/* The file is good, but what it says may not be there to be had. False: nothing is open, and there is no configuration. */
static bool open_all(struct loading *l)
{
	struct receipt *receipt = &l->loaded.receipt;
	struct opening *opening = &l->loaded.opening;
	bool opened = false, closed = atomic_load(&l->closed);

	opening->workers = l->task.count;
	if (!closed)
		opened = opening_make(opening, workers_config(l->task.workers), l->loaded.config, &receipt->complaints);
	atomic_store(&l->opened, opened);
	if (!opened && !closed) {
		config_complaints_sort(&receipt->complaints);
		refuse(l);
	}
	/* Whoever has closed it meanwhile has not seen what is open, or has closed that, too. */
	if (opened && !atomic_load(&l->closed))
		return true;
	config_drop(l);
	return false;
}

/* --- what the workers need of it ------------------------------------------------------------------------------------------ */

static bool follow_names(struct loading *l, const struct config *config)
{
	const struct reload_teller to = kept_lines_teller(&l->loaded.lines);
	char error[256];

	if (names_follow(l->task.names, config, error))
		return true;
	to.tell(to.context, LEVEL_ERROR, error);
	return false;
}

/* `config` as it was loaded, with the addresses that are known now. */
static void make(struct loading *l, const struct config *config)
{
	const struct reload_teller to = kept_lines_teller(&l->loaded.lines);
	const struct config *expanded = names_expand(l->task.names, config);

	if (expanded == NULL)
		return;
	if (!l->task.of_addresses || config_endpoint_count(expanded) > config_endpoint_count(workers_config(l->task.workers))) {
		fits_warn(&to, expanded, l->task.path);
		fits_tell_left_out(&to, expanded);
	}
	l->loaded.generation = workers_prepare(l->task.workers, expanded);
	if (l->loaded.generation == NULL)
		config_free(expanded);
}

/* What its keeper is told, if it is taken. */
static void changes_keep(struct loading *l)
{
	const struct reload_teller to = kept_lines_teller(&l->loaded.receipt.changes);

	reload_tell_keys(&to, l->task.before, l->loaded.config);
	reload_tell_order(&to, l->task.before, l->loaded.config);
}

/* There is a generation, or the names of before are followed again. */
static void make_all(struct loading *l, uint64_t *mark)
{
	struct receipt *receipt = &l->loaded.receipt;
	bool follows = follow_names(l, l->loaded.config);

	receipt->took.resolve_us = lap(mark);
	if (follows)
		make(l, l->loaded.config);
	if (l->loaded.generation != NULL) {
		changes_keep(l);
	} else {
		receipt->outcome = RELOAD_FAILED;
		config_drop(l);
		follow_names(l, l->task.before);
	}
	receipt->took.compile_us = lap(mark);
}

/* --- the thread --------------------------------------------------------------------------------------------------------- */

static void load_all(struct loading *l)
{
	struct receipt *receipt = &l->loaded.receipt;
	uint64_t mark = clock_us(CLOCK_MONOTONIC);
	bool good = config_load_again(l->task.path, &(struct config_follower){on_file, l}, &l->loaded.config, &receipt->complaints) == CONFIG_OK;

	if (!making_begin(l))
		return;
	receipt->took.read_us = lap(&mark);
	if (!good || !check(l, l->loaded.config)) {
		refuse(l);
		config_drop(l);
	}
	good = l->loaded.config != NULL && open_all(l);
	receipt->took.check_us = lap(&mark);
	if (good)
		make_all(l, &mark);
}

static void loaded_release(struct loaded *loaded)
{
	kept_lines_release(&loaded->lines);
	receipt_release(&loaded->receipt);
	generation_unref(loaded->generation);
	config_free(loaded->config);
}

static void *load_run(void *argument)
{
	struct loading *l = argument;

	/* Of this thread alone: where processors are few, workers do not wait for it. Nothing is lost when it is refused. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), LOADING_NICE);
	if (!l->task.of_addresses)
		load_all(l);
	else if (making_begin(l))
		make(l, l->task.before);
	atomic_store(&l->ended, true);
	process_tell();
	return NULL;
}

/* --- on the main thread --------------------------------------------------------------------------------------------------- */

struct loading *loading_begin(const struct loading_task *task)
{
	struct loading *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->task = *task;
	l->loaded.receipt.by = task->by;
	atomic_store(&l->asked_us, clock_us(CLOCK_MONOTONIC));
	pthread_mutex_init(&l->lock, NULL);
	if (pthread_create(&l->thread, NULL, load_run, l) == 0)
		return l;
	pthread_mutex_destroy(&l->lock);
	free(l);
	return NULL;
}

uint64_t loading_asked_us(const struct loading *l)
{
	return atomic_load(&l->asked_us);
}

bool loading_has_ended(const struct loading *l)
{
	return atomic_load(&l->ended);
}

bool loading_leave(struct loading *l, char file[LOADING_FILE_BYTES])
{
	int reading = LOADING_READING;

	pthread_mutex_lock(&l->lock);
	memcpy(file, l->file, LOADING_FILE_BYTES);
	pthread_mutex_unlock(&l->lock);
	return atomic_compare_exchange_strong(&l->stage, &reading, LOADING_LEFT);
}

void loading_close(struct loading *l)
{
	atomic_store(&l->closed, true);
	openings_close(l);
}

struct loaded loading_end(struct loading *l)
{
	struct loaded loaded;

	pthread_join(l->thread, NULL);
	if (atomic_load(&l->stage) == LOADING_MAKING)
		l->task.names->to = l->names_to;
	loaded = l->loaded;
	pthread_mutex_destroy(&l->lock);
	free(l);
	return loaded;
}

void loading_drop(struct loading *l)
{
	struct loaded loaded;

	loading_close(l);
	loaded = loading_end(l);
	loaded_release(&loaded);
}
