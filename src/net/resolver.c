/*
 * The owner's side: it says which names to follow, wakes the thread (resolver_thread.c), and copies what is known. What the
 * thread has, it changes under the lock only where this side looks.
 */
#include "net/resolver_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

static void wake(struct resolver *r)
{
	uint64_t one = 1;

	/* It fails only when it is awake already. */
	if (write(r->wake, &one, sizeof(one)) < 0)
		CHECK(errno == EAGAIN);
}

static void release(struct resolver *r)
{
	free(r->table);
	free(r->next);
	pthread_cond_destroy(&r->progress);
	pthread_mutex_destroy(&r->lock);
	if (r->wake >= 0)
		close(r->wake);
	free(r);
}

static bool init(struct resolver *r)
{
	pthread_condattr_t monotonic;

	CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
	CHECK(pthread_condattr_init(&monotonic) == 0 && pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&r->progress, &monotonic) == 0);
	pthread_condattr_destroy(&monotonic);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return r->wake >= 0;
}

struct resolver *resolver_create(void (*on_change)(void *context), void *context, char error_text[256])
{
	struct resolver *r = calloc(1, sizeof(*r));
	int error = ENOMEM;

	if (r != NULL) {
		r->on_change = on_change;
		r->context = context;
		error = init(r) ? pthread_create(&r->thread, NULL, resolver_run, r) : errno;
	}
	if (error == 0)
		return r;
	snprintf(error_text, 256, "the resolver cannot be started: %s", strerror(error));
	if (r != NULL)
		release(r);
	return NULL;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	wake(r);
	pthread_join(r->thread, NULL);
	release(r);
}

static void table_options(struct resolver_table *table, const struct resolver_options *options)
{
	CHECK(options->server_count <= RESOLVER_SERVERS_MAX);
	table->server_count = options->server_count;
	for (size_t i = 0; i < options->server_count; i++)
		table->servers[i] = options->servers[i];
	table->timeout_ms = (int)(options->timeout_us / US_PER_MS);
	table->attempts = (int)options->attempts;
}

static void name_init(struct resolver_name *name, struct resolver *r, struct view text)
{
	CHECK(text.n <= RESOLVER_NAME_MAX);
	memcpy(name->text, text.p, text.n);
	name->resolver = r;
	for (int f = 0; f < HOST_FAMILIES; f++)
		name->questions[f] = (struct resolver_question){name, (enum host_family)f};
}

bool resolver_follow(struct resolver *r, const struct view *names, size_t count, const struct resolver_options *options)
{
	struct resolver_table *table = calloc(1, sizeof(*table) + count * sizeof(struct resolver_name));

	if (table == NULL)
		return false;
	table->count = count;
	table_options(table, options);
	for (size_t i = 0; i < count; i++)
		name_init(&table->names[i], r, names[i]);
	pthread_mutex_lock(&r->lock);
	struct resolver_table *unseen = r->next;

	r->next = table;
	pthread_mutex_unlock(&r->lock);
	free(unseen);
	wake(r);
	return true;
}

static bool all_tried(const struct resolver *r)
{
	if (r->next != NULL)
		return false;
	for (size_t i = 0; r->table != NULL && i < r->table->count; i++)
		if (r->table->names[i].host.attempts == 0)
			return false;
	return true;
}

void resolver_wait(struct resolver *r, uint64_t at_most_us)
{
	uint64_t until_us = clock_us(CLOCK_MONOTONIC) + at_most_us;
	const struct timespec until = {
		.tv_sec = (time_t)(until_us / US_PER_S), .tv_nsec = (long)(until_us % US_PER_S * 1000)};

	pthread_mutex_lock(&r->lock);
	while (!all_tried(r) && pthread_cond_timedwait(&r->progress, &r->lock, &until) == 0)
		;
	pthread_mutex_unlock(&r->lock);
}

struct resolver_answers *resolver_answers(struct resolver *r)
{
	pthread_mutex_lock(&r->lock);
	size_t count = r->table != NULL ? r->table->count : 0;
	struct resolver_answers *answers = calloc(1, sizeof(*answers) + count * sizeof(struct resolver_answer));

	for (size_t i = 0; answers != NULL && i < count; i++) {
		const struct resolver_name *name = &r->table->names[i];
		struct resolver_answer *answer = &answers->items[answers->count++];

		memcpy(answer->name, name->text, sizeof(answer->name));
		answer->trouble = name->host.trouble;
		answer->addresses = host_all(&name->host);
	}
	pthread_mutex_unlock(&r->lock);
	return answers;
}

static int answer_compare(const void *key, const void *item)
{
	const struct view *name = key;
	const struct resolver_answer *answer = item;
	struct view other = view_str(answer->name);
	int order = memcmp(name->p, other.p, name->n < other.n ? name->n : other.n);

	return order != 0 ? order : (name->n > other.n) - (name->n < other.n);
}

const struct resolver_answer *resolver_find(const struct resolver_answers *answers, struct view name)
{
	if (answers == NULL)
		return NULL;
	return bsearch(&name, answers->items, answers->count, sizeof(answers->items[0]), answer_compare);
}
