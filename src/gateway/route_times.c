/* See route_times.h. */
#include "gateway/route_times.h"

#include <stdlib.h>

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

static struct route_times *times_find(struct list *all, struct view name)
{
	list_each_safe(all, node, next) {
		struct route_times *t = container_of(node, struct route_times, node);

		if (view_eq(view_of(t->name, t->name_n), name) && !PLANTED(ROUTE_TIMES_FORGOTTEN))
			return t;
	}
	return NULL;
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

struct route_times **route_times_claim(struct list *all, const struct config *config, unsigned workers)
{
	struct route_times **times = calloc(config->route_count + 1, sizeof(struct route_times *));

	for (size_t i = 0; times != NULL && i < config->route_count; i++) {
		times[i] = times_find(all, config->routes[i].name);
		if (times[i] == NULL)
			times[i] = times_create(all, config->routes[i].name, workers);
		if (times[i] == NULL) {
			route_times_drop(times, i);
			return NULL;
		}
		atomic_fetch_add_explicit(&times[i]->references, 1, memory_order_relaxed);
	}
	return times;
}

void route_times_drop(struct route_times **times, size_t count)
{
	for (size_t i = 0; times != NULL && i < count; i++)
		atomic_fetch_sub_explicit(&times[i]->references, 1, memory_order_release);
	free(times);
}
