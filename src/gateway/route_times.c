/* See route_times.h. */
#include "gateway/route_times.h"

#include <stdlib.h>

#include "base/index.h"
#include "base/line.h"
#include "base/planted.h"

void route_times_sweep(struct list *all)
{
	list_each_safe(all, node, next) {
		struct route_times *t = container_of(node, struct route_times, node);

		if (atomic_load_explicit(&t->references, memory_order_acquire) != 0)
			continue;
		list_remove(node);
		free(t->books);
		free(t);
	}
}

/* Those there are, by name. False: out of memory. */
static bool times_index(struct list *all, struct index *index)
{
	if (!index_init(index, list_count(all)))
		return false;
	list_each_safe(all, node, next) {
		struct route_times *t = container_of(node, struct route_times, node);

		index_put(index, view_of(t->name, t->name_n), VIEW(""), t);
	}
	return true;
}

static struct route_times *times_find(const struct index *known, struct view name)
{
	const struct indexed *found = index_find(known, name, VIEW(""));

	return found != NULL && !PLANTED(ROUTE_TIMES_FORGOTTEN) ? found->thing : NULL;
}

static struct worker_book *books_create(unsigned workers)
{
	struct worker_book *books = aligned_alloc(_Alignof(struct worker_book), workers * sizeof(*books));

	if (books != NULL)
		memset(books, 0, workers * sizeof(*books));
	return books;
}

static struct route_times *times_create(struct list *all, struct view name, unsigned workers)
{
	struct route_times *t = calloc(1, sizeof(*t) + name.n);

	if (t == NULL)
		return NULL;
	t->books = books_create(workers);
	if (t->books == NULL) {
		free(t);
		return NULL;
	}
	t->name_n = name.n;
	memcpy(t->name, name.p, name.n);
	list_push_back(all, &t->node);
	return t;
}

/* False: out of memory. */
static bool times_fill(
	struct route_times **times, struct list *all, const struct index *known, const struct config *config, unsigned workers)
{
	for (size_t i = 0; i < config->route_count; i++) {
		times[i] = times_find(known, config->routes[i].name);
		if (times[i] == NULL)
			times[i] = times_create(all, config->routes[i].name, workers);
		if (times[i] == NULL)
			return false;
		atomic_fetch_add_explicit(&times[i]->references, 1, memory_order_relaxed);
	}
	return true;
}

struct route_times **route_times_claim(struct list *all, const struct config *config, unsigned workers)
{
	struct route_times **times = calloc(config->route_count + 1, sizeof(struct route_times *));
	struct index known = {0};

	if (times == NULL || !times_index(all, &known) || !times_fill(times, all, &known, config, workers)) {
		route_times_drop(times, config->route_count);
		times = NULL;
	}
	index_release(&known);
	return times;
}

struct worker_book **route_times_books(struct route_times *const *times, size_t count, unsigned workers)
{
	struct worker_book **books = line_calloc((count * workers + 1) * sizeof(struct worker_book *));

	for (size_t i = 0; books != NULL && i < count; i++)
		for (unsigned k = 0; k < workers; k++)
			books[k * count + i] = &times[i]->books[k];
	return books;
}

void route_times_drop(struct route_times **times, size_t count)
{
	for (size_t i = 0; times != NULL && i < count; i++)
		if (times[i] != NULL)
			atomic_fetch_sub_explicit(&times[i]->references, 1, memory_order_release);
	free(times);
}
