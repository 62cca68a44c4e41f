/*
 * One thread per worker. The main thread creates all of them first, so that a port in use is known before anything is
 * served, then hands each to its thread; from there on it speaks to them by messages only:
 *
 *   main:    create --- start ----- io_post(reload | drain | stop) ----------------- join --- free
 *   thread:             io_run ------ worker_reload | worker_drain | worker_stop ... on_drained: io_stop
 *
 * One reload is under way at a time: `next` is what it leads to, and `current` when every worker has taken it or could not.
 * Messages arrive in order, so a reload that was sent before the end of a worker is received.
 *
 * A worker whose thread was never started is ended the same way, by running its loop on the main thread.
 */
#include "app/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "app/opening.h"
#include "app/process.h"
#include "base/check.h"
#include "base/clock.h"
#include "config/config.h"
#include "control/process_stats.h"
#include "filters/filters.h"
#include "gateway/worker.h"
#include "io/inherited.h"

/* A message to a worker. It stands in its receiver: it is not sent again before it was received. */
struct order {
	struct io_message message;
	struct member *to;
	bool sent;
};

/* A worker with its loop and its thread. */
struct member {
	struct workers *all;
	unsigned index;
	struct io *io;
	struct worker *worker;
	pthread_t thread;
	bool started;
	bool drained;           /* of the worker's thread */
	struct order drain;
	struct order stop;
	struct order reload;
	struct io_pause pause;  /* of the loop, in the reload that is under way; of the worker's thread until it is over */
};

struct workers {
	struct journal *journal;
	struct shared *shared;
	struct generation *current;
	struct generation *next;        /* NULL: no reload is under way */
	_Atomic(unsigned) reloading;    /* workers that have not taken `next` yet */
	_Atomic(unsigned) refused;      /* those that could not */
	uint64_t drain_timeout_us, drain_idle_us;
	struct control *control;        /* NULL: there is none */
	_Atomic(unsigned) running;      /* threads that have not ended */
	unsigned count;                 /* members that exist */
	bool joined;
	struct member members[];
};

/* --- on the worker's thread ----------------------------------------------------------------------------------------- */

static void member_on_finished(void *context, const struct exchange_record *record)
{
	struct member *member = context;

	journal_record(member->all->journal, member->index, record);
}

static void member_on_event(void *context, int level, const char *text)
{
	struct member *member = context;

	journal_event(member->all->journal, member->index, io_wall_us(member->io), level, text);
}

static void member_on_drained(void *context)
{
	struct member *member = context;

	member->drained = true;
	io_stop(member->io);
}

static void member_on_drain(struct io_message *message)
{
	struct member *member = container_of(message, struct order, message)->to;

	if (!member->drained)
		worker_drain(member->worker, deadline_after(io_now_us(member->io), member->all->drain_timeout_us),
			member->all->drain_idle_us);
}

static void member_on_stop(struct io_message *message)
{
	struct member *member = container_of(message, struct order, message)->to;

	if (!member->drained)
		worker_stop(member->worker);
}

static void member_on_reloaded(void *context, bool taken)
{
	struct member *member = context;
	struct workers *all = member->all;

	io_pause_end(member->io);
	if (!taken)
		atomic_fetch_add(&all->refused, 1);
	if (atomic_fetch_sub(&all->reloading, 1) == 1)
		process_tell();
}

static void member_on_reload(struct io_message *message)
{
	struct member *member = container_of(message, struct order, message)->to;
	bool begun;

	io_pause_begin(member->io, &member->pause);
	begun = member->drained || worker_reload(member->worker, member->all->next);
	if (!begun || !worker_is_reloading(member->worker))
		member_on_reloaded(member, begun);
}

static void *member_run(void *argument)
{
	struct member *member = argument;

	io_run(member->io);
	if (member->all->control != NULL)
		control_worker_ended(member->all->control, member->index);
	if (atomic_fetch_sub(&member->all->running, 1) == 1)
		process_tell();
	return NULL;
}

/* --- on the main thread --------------------------------------------------------------------------------------------- */

static bool addresses_probe(const struct config *config, const struct inherited *inherited, char error_text[256])
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		bool is_there = inherited != NULL && inherited_has(inherited, &listener->address);
		int error = is_there ? 0 : opening_probe(&listener->address);

		if (error == 0)
			continue;
		snprintf(error_text, 256, "cannot listen on %.*s (listener %.*s): %s", (int)listener->address_text.n,
			listener->address_text.p, (int)listener->name.n, listener->name.p, strerror(-error));
		return false;
	}
	return true;
}

static bool member_create(struct member *member, char error_text[256])
{
	struct generation *generation = member->all->current;
	const struct worker_observer observer = {
		.context = member,
		.on_finished = member_on_finished,
		.on_event = member_on_event,
		.on_reloaded = member_on_reloaded,
		.on_drained = member_on_drained,
	};

	member->drain = (struct order){.message.on_receive = member_on_drain, .to = member};
	member->stop = (struct order){.message.on_receive = member_on_stop, .to = member};
	member->reload = (struct order){.message.on_receive = member_on_reload, .to = member};
	member->io = io_create();
	if (member->io == NULL) {
		snprintf(error_text, 256, "the loop of worker %u cannot be created: %s", member->index, strerror(errno));
		return false;
	}
	member->worker = worker_create(
		member->io, member->all->shared, generation, member->index, &observer, error_text);
	if (member->worker == NULL)
		io_free(member->io);
	return member->worker != NULL;
}

static void order_send(struct order *order)
{
	if (order->sent)
		return;
	order->sent = true;
	io_post(order->to->io, &order->message);
}

/* False: the kernel gives none. So few bytes come whole, once it has any. */
static bool secret_draw(struct shared *shared)
{
	unsigned char secret[16];

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return false;
	shared_set_secret(shared, secret);
	return true;
}

/* Each loop has three of its own beside its sockets and pipes (config/plan.c), and so has the administration's. */
static size_t files_beside(unsigned workers)
{
	struct process_stats stats;

	process_stats_read(&stats);
	return stats.open_fds + 3 * ((size_t)workers + 1);
}

/* The main thread has the time to free it. */
static void on_unused(void *context)
{
	process_tell();
}

static bool shared_begin(struct workers *workers, unsigned count)
{
	struct config_machine machine;

	workers->shared = shared_create(filter_table);
	if (workers->shared == NULL)
		return false;
	config_machine_read(&machine);
	shared_set_workers(workers->shared, count);
	shared_on_unused(workers->shared, on_unused, NULL);
	return secret_draw(workers->shared) && shared_set_machine(workers->shared, &machine, files_beside(count));
}

/* The first generation owns the configuration. */
static bool generation_begin(struct workers *workers, const struct config *config, unsigned count)
{
	if (shared_begin(workers, count))
		workers->current = generation_create(workers->shared, config);
	if (workers->current == NULL) {
		config_free(config);
		return false;
	}
	workers->drain_timeout_us = config->drain_timeout_us;
	return true;
}

static bool members_create(struct workers *workers, unsigned count, char error_text[256])
{
	for (unsigned i = 0; i < count; i++) {
		struct member *member = &workers->members[i];

		member->all = workers;
		member->index = i;
		if (!member_create(member, error_text))
			return false;
		workers->count++;
	}
	return true;
}

struct workers *workers_create(const struct config *config, unsigned count, struct journal *journal,
	struct inherited *inherited, char error_text[256])
{
	struct workers *workers = calloc(1, sizeof(*workers) + count * sizeof(workers->members[0]));

	snprintf(error_text, 256, "out of memory");
	if (workers == NULL) {
		config_free(config);
		return NULL;
	}
	workers->journal = journal;
	if (generation_begin(workers, config, count) && addresses_probe(config, inherited, error_text)) {
		shared_set_inherited(workers->shared, inherited);
		if (members_create(workers, count, error_text)) {
			shared_set_inherited(workers->shared, NULL);
			return workers;
		}
	}
	workers_stop(workers);
	workers_free(workers);
	return NULL;
}

struct endpoint_budget *const *workers_budgets(const struct workers *workers)
{
	return workers->current->budgets;
}

const struct config *workers_config(const struct workers *workers)
{
	return workers->current->config;
}

/* --- reloading ------------------------------------------------------------------------------------------------------- */

struct generation *workers_prepare(struct workers *workers, const struct config *config)
{
	return generation_create(workers->shared, config);
}

void workers_reload(struct workers *workers, struct generation *generation)
{
	CHECK(workers->next == NULL);
	workers->next = generation;
	atomic_store(&workers->refused, 0);
	atomic_store(&workers->reloading, workers->count);
	for (unsigned i = 0; i < workers->count; i++)
		io_post(workers->members[i].io, &workers->members[i].reload.message);
}

const struct config *workers_next(const struct workers *workers)
{
	return workers->next != NULL ? workers->next->config : NULL;
}

unsigned workers_reloading(const struct workers *workers)
{
	return workers->next != NULL ? atomic_load(&workers->reloading) : 0;
}

unsigned workers_refused(const struct workers *workers)
{
	return atomic_load(&workers->refused);
}

struct io_pause workers_pause(const struct workers *workers)
{
	struct io_pause longest = {0};

	for (unsigned i = 0; i < workers->count; i++) {
		const struct io_pause *pause = &workers->members[i].pause;

		longest.longest_us = pause->longest_us > longest.longest_us ? pause->longest_us : longest.longest_us;
		longest.busy_us = pause->busy_us > longest.busy_us ? pause->busy_us : longest.busy_us;
	}
	return longest;
}

void workers_sweep(struct workers *workers)
{
	shared_sweep(workers->shared);
}

void workers_reloaded(struct workers *workers)
{
	CHECK(workers->next != NULL && workers_reloading(workers) == 0);
	generation_unref(workers->current);
	workers->current = workers->next;
	workers->next = NULL;
}

void workers_rotate_tickets(struct workers *workers)
{
	shared_rotate_tickets(workers->shared);
}

bool workers_write_tickets(const struct workers *workers, struct tls_ticket_keys *keys)
{
	return shared_write_tickets(workers->shared, keys);
}

bool workers_adopt_tickets(struct workers *workers, const struct tls_ticket_keys *keys)
{
	return shared_adopt_tickets(workers->shared, keys);
}

/* --- their life ------------------------------------------------------------------------------------------------------ */

void workers_attach(struct workers *workers, struct control *control)
{
	workers->control = control;
	for (unsigned i = 0; i < workers->count; i++)
		control_attach(control, i, workers->members[i].io, workers->members[i].worker);
}

bool workers_start(struct workers *workers, char error_text[256])
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct member *member = &workers->members[i];
		int error;

		atomic_fetch_add(&workers->running, 1);
		error = pthread_create(&member->thread, NULL, member_run, member);
		if (error != 0) {
			atomic_fetch_sub(&workers->running, 1);
			snprintf(error_text, 256, "the thread of worker %u cannot be started: %s", i, strerror(error));
			return false;
		}
		member->started = true;
	}
	return true;
}

void workers_listener_address(const struct workers *workers, size_t i, struct address *address)
{
	worker_listener_address(workers->members[0].worker, i, address);
}

void workers_drain(struct workers *workers, uint64_t idle_us)
{
	/* The workers read it when they receive the message, which is sent once. */
	if (workers->count > 0 && !workers->members[0].drain.sent) {
		workers->drain_timeout_us = workers->current->config->drain_timeout_us;
		workers->drain_idle_us = idle_us;
	}
	for (unsigned i = 0; i < workers->count; i++)
		order_send(&workers->members[i].drain);
}

void workers_stop(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++)
		order_send(&workers->members[i].stop);
}

bool workers_running(const struct workers *workers)
{
	return atomic_load(&workers->running) != 0;
}

void workers_join(struct workers *workers)
{
	if (workers->joined)
		return;
	workers->joined = true;
	for (unsigned i = 0; i < workers->count; i++) {
		struct member *member = &workers->members[i];

		if (member->started)
			pthread_join(member->thread, NULL);
		else
			io_run(member->io);
	}
}

void workers_free(struct workers *workers)
{
	workers_join(workers);
	for (unsigned i = 0; i < workers->count; i++) {
		worker_free(workers->members[i].worker);
		io_free(workers->members[i].io);
	}
	generation_unref(workers->next);
	generation_unref(workers->current);
	shared_free(workers->shared);
	free(workers);
}
